//! Installing packages: stores to install into, deliveries to install, and what an installation changed.

mod checkpoints;
mod cleaned;
#[path = "../../../../practice/tests/consistency/mod.rs"]
#[expect(dead_code, reason = "shared with the tests of the practice crate, which use more of it")]
mod consistency;
mod differentials;
pub mod generated;
mod real;
mod repaired;
mod tampered;
mod verified;
mod versions;
mod wine;

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wimwright_format::manifest::package::Payload as Carried;
use wimwright_format::manifest::{PackageId, Version};
use wimwright_format::regf::{Data, Hive};
use wimwright_format::security_descriptor::SecurityDescriptor;
use wimwright_image::registry::RegistryPath;
use wimwright_image::tree::FileId;
use wimwright_image::{Image, RegistryDiff, TreeDiff};
use wimwright_practice::store::{PackageSpec, StoreSpec};
use wimwright_servicing::cbs::dictionary::Dictionary;
use wimwright_servicing::cbs::install::{DeferredPolicy, Options, PackageReport, install};
use wimwright_servicing::cbs::plan::{PackageChange, UpdateChange};
use wimwright_servicing::cbs::source::{PackageSource, Trust, open};
use wimwright_servicing::cbs::state::State;
use wimwright_servicing::cbs::store::Store;
use wimwright_servicing::step::Payload;

use crate::windows::fresh;

/// When packages are installed, FILETIME.
const NOW: u64 = 133_800_000_000_000_000;
/// The same in seconds since 1970.
const NOW_UNIX: u64 = 1_735_526_400;

/// The dictionary of real manifests; `None`, said loudly, without test data.
fn dictionary() -> Option<Dictionary> {
    let path = wimwright_testkit::test_data("manifests/msdelta/base_manifest.bin")?;
    Some(Dictionary::new(std::fs::read(path).unwrap()))
}

/// Real packages, signed by Microsoft.
fn real_packages(files: &[&str]) -> Option<Vec<PackageSource>> {
    let dictionary = dictionary()?;
    let mut payloads = Vec::new();
    for file in files {
        let bytes = std::fs::read(wimwright_testkit::test_data(&format!("msu_cab/{file}"))?).unwrap();
        payloads.push(Payload { name: (*file).to_owned(), sha256: Sha256::digest(&bytes).into(), source: Arc::new(bytes) });
    }
    Some(open(&payloads, &dictionary, &Trust::microsoft(NOW_UNIX)).unwrap())
}

/// An image with a store in which packages of these identities are installed.
fn image_with(architecture: &str, version: [u16; 4], packages: &[PackageId]) -> Image {
    let packages = packages.iter().cloned().map(PackageSpec::installed).collect();
    let spec = StoreSpec { architecture: architecture.into(), version: Version(version), packages, ..StoreSpec::default() };
    consistency::open(wimwright_practice::store::write(&spec).unwrap())
}

/// Every package of the delivery with every update, as if all were applicable.
fn everything(number: usize, source: &PackageSource) -> Vec<PackageChange> {
    let contained = |id: &PackageId| {
        source.packages().find_map(|(owner, package)| {
            let carries = |payload: &Carried| matches!(payload, Carried::Package { identity, .. } if PackageId::from(identity) == *id);
            package.manifest.updates.iter().flat_map(|update| &update.payload).any(carries).then(|| owner.clone())
        })
    };
    let change = |(id, package): (&PackageId, &wimwright_servicing::cbs::source::SourcePackage)| PackageChange {
        package: id.clone(),
        source: Some(number),
        manifest: package.manifest.clone(),
        before: State::ABSENT,
        after: State::INSTALLED,
        updates: (0..package.manifest.updates.len())
            .map(|update| UpdateChange { update, before: State::ABSENT, after: State::INSTALLED })
            .collect(),
        visible: *id == source.root,
        owners: vec![contained(id).unwrap_or_else(|| id.clone())],
    };
    source.packages().map(change).collect()
}

/// Installs into a copy of the image.
fn installed(image: &Image, sources: &[PackageSource], changes: &[PackageChange]) -> (Image, Vec<PackageReport>) {
    let mut image = image.clone();
    let store = Store::read(&mut image, dictionary()).unwrap();
    let options = Options { time: NOW, deferred: DeferredPolicy::Omit };
    let report = install(&mut image, &store, sources, changes, &options).unwrap();
    image.commit(NOW).unwrap();
    (image, report)
}

/// Has the store judged by the rules of another program, and by our own health check.
fn check(image: &Image, architecture: &str) -> consistency::Counts {
    let dictionary = dictionary().unwrap_or_default();
    assert_eq!(crate::health::scan(image, Some(dictionary.clone())).findings, []);
    consistency::check_decoded(&mut fresh(image), architecture, &|manifest| dictionary.decode(manifest).unwrap().into_owned())
}

fn data_of(hive: &Hive, key: &str, name: &str) -> String {
    let key = hive.open(key).unwrap().unwrap();
    let value = hive.value(key, name).unwrap().unwrap();
    let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match Data::decode(value.kind(), &value.data().unwrap()) {
        Data::Text(text) => format!("{text:?}"),
        Data::ExpandableText(text) => format!("expand {text:?}"),
        Data::Texts(texts) => format!("{texts:?}"),
        Data::Dword(number) => format!("dword:{number:08x}"),
        Data::Qword(number) => format!("qword:{number:016x}"),
        // Identities and references are text in bytes.
        Data::Binary(bytes) => match bytes.iter().position(|byte| byte.is_ascii_alphabetic()) {
            Some(start @ (0 | 8)) if bytes[start..].iter().all(|byte| (b' '..0x7f).contains(byte)) => {
                format!("hex:{}'{}'", hexadecimal(&bytes[..start]), String::from_utf8_lossy(&bytes[start..]))
            }
            _ => format!("hex:{}", hexadecimal(&bytes)),
        },
        Data::Other(kind, bytes) => format!("hex({:x}):{}", kind.0, hexadecimal(&bytes)),
    }
}

/// Every difference: files with security and links, keys with security, values with data.
fn difference(before: &Image, after: &Image) -> String {
    let mut text = String::new();
    let mut names = BTreeMap::<FileId, Vec<String>>::new();
    for (path, entry) in after.tree.walk() {
        if let Some(file) = entry.file_id() {
            names.entry(file).or_default().push(path);
        }
    }
    let diff = TreeDiff::between(&before.tree, &after.tree);
    for path in &diff.added {
        let entry = after.tree.at(path).unwrap();
        let inode = entry.inode();
        let security = entry.security().map_or("none".into(), |bytes| SecurityDescriptor::decode(bytes).unwrap().to_sddl().unwrap());
        let size = inode.contents.map_or(0, |blob| after.blobs.size(&blob).unwrap());
        let others: Vec<&String> =
            entry.file_id().and_then(|file| names.get(&file)).into_iter().flatten().filter(|name| *name != path).collect();
        if others.first().is_some_and(|first| *first < path) {
            text += &format!("+ {path} = {}\n", others[0]);
        } else {
            text += &format!("+ {path} ({size} bytes, {:#x}) {security}\n", inode.attributes);
        }
    }
    diff.removed.iter().for_each(|path| text += &format!("- {path}\n"));
    for changed in &diff.changed {
        text += &format!("~ {}: {}\n", changed.path, changed.fields.keys().copied().collect::<Vec<_>>().join(", "));
    }
    let mut after = fresh(after);
    let registry = RegistryDiff::between(&mut fresh(before), &mut after).unwrap();
    for path in &registry.added {
        let (key, name) = path.split_once('!').map_or((path.as_str(), None), |(key, name)| (key, Some(name)));
        let place = RegistryPath::parse(key).unwrap();
        let hive = after.hive(place.hive).unwrap().unwrap();
        text += &match name {
            // Names of values may have exclamation marks themselves, names of keys in these tests do not.
            Some(name) => format!("+ {path} = {}\n", data_of(&hive, &place.key, name)),
            None => format!("+ {path}\n"),
        };
    }
    registry.removed.iter().for_each(|path| text += &format!("- {path}\n"));
    registry.changed.iter().for_each(|(path, old, new)| text += &format!("~ {path}: {old} -> {new}\n"));
    text
}

//! The one complete public footprint of a package that a real servicing stack installed, against what this module writes.
//!
//! CMD.Injector lays a package down on Windows 10 Mobile by hand; its `PermanentInjection.reg` is what the phone's own stack had
//! written for the same package elsewhere. The payload is not public: everything but the making of payload runs here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wimwright_format::cab::{CabinetWriter, WriterCompression};
use wimwright_format::catalog::NewCatalog;
use wimwright_format::manifest::Version;
use wimwright_format::reg_file::{self, Change};
use wimwright_format::regf::{Hive, ValueKind};
use wimwright_format::wim::Wim;
use wimwright_image::registry::HiveFile;
use wimwright_image::{Blobs, ImageFile};
use wimwright_practice::store::{StoreSpec, write as practice_store};

use super::payload::Staged;
use super::*;
use crate::cbs::dictionary::Dictionary;
use crate::cbs::plan::UpdateChange;
use crate::cbs::source::{Trust, open};
use crate::step::Payload;

const PACKAGE: &str = "FadilFadz.CMDInjector.Permanent~628844477771337a~arm~~1.0.0.0";
/// `InstallTimeHigh` and `InstallTimeLow` of the footprint.
const TIME: u64 = 0x01d1_6090_96ba_3b58;

/// All keys and values of a hive; a key has no value name.
type Contents = BTreeMap<(HiveFile, String, Option<String>), (ValueKind, Vec<u8>)>;

fn contents_of(image: &mut Image) -> Contents {
    let mut contents = Contents::new();
    for file in HiveFile::ALL {
        let Some(hive) = image.hive(file).unwrap() else { continue };
        let mut open = vec![hive.root()];
        while let Some(key) = open.pop() {
            let path = hive.path(key).unwrap().trim_start_matches('\\').to_ascii_lowercase();
            contents.insert((file, path.clone(), None), (ValueKind::NONE, Vec::new()));
            for value in hive.values(key).unwrap() {
                contents.insert((file, path.clone(), Some(value.name())), (value.kind(), value.data().unwrap().into_owned()));
            }
            open.extend(Hive::subkeys(&hive, key).unwrap());
        }
    }
    contents
}

/// The package as a cabinet, without its payload. The published catalog lists an earlier edition of the package's manifest: another one
/// takes its place.
fn cabinet(folder: &Path, dictionary: &Dictionary) -> Vec<u8> {
    let mut cabinet = CabinetWriter::new(WriterCompression::Mszip);
    let mut catalog = NewCatalog::new([1; 16], "160203000000Z");
    let mut add = |name: &str, bytes: &[u8]| cabinet.add(name, bytes, TIME, 0x20).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let bytes = std::fs::read(folder.join(&name)).unwrap();
        match name.rsplit_once('.') {
            Some((_, "manifest")) => {
                add(&name, &bytes);
                catalog.add_file(&dictionary.decode(&bytes).unwrap());
            }
            Some((_, "mum")) => {
                add("update.mum", &bytes);
                catalog.add_file(&bytes);
            }
            _ => {}
        }
    }
    add("update.cat", &catalog.to_bytes());
    let mut bytes = Vec::new();
    cabinet.finish(&mut bytes).unwrap();
    bytes
}

fn expected(folder: &Path) -> Contents {
    let mut contents = Contents::new();
    for change in reg_file::parse(&std::fs::read(folder.join("PermanentInjection.reg")).unwrap()).unwrap() {
        let path = change.path().trim_end_matches('\\').strip_prefix(r"HKEY_LOCAL_MACHINE\").unwrap();
        let (hive, path) = path.split_once('\\').unwrap();
        let hive = match hive {
            "COMPONENTS" => HiveFile::Components,
            "SOFTWARE" => HiveFile::Software,
            other => panic!("{other}"),
        };
        let path = path.to_ascii_lowercase();
        match change {
            Change::CreateKey { .. } => contents.insert((hive, path, None), (ValueKind::NONE, Vec::new())),
            Change::SetValue { name, kind, data, .. } => {
                contents.insert((hive, path.clone(), None), (ValueKind::NONE, Vec::new()));
                contents.insert((hive, path, Some(name)), (kind, data))
            }
            other => panic!("{other:?}"),
        };
    }
    contents
}

#[test]
fn real_footprint_of_an_installed_package() {
    let Some(folder) = wimwright_testkit::test_data("manifests/cmdinjector") else { return };
    let Some(dictionary) = wimwright_testkit::test_data("manifests/msdelta/base_manifest.bin") else { return };
    let dictionary = Dictionary::new(std::fs::read(dictionary).unwrap());
    let payload = Payload { name: "cmdinjector.cab".into(), sha256: [0; 32], source: std::sync::Arc::new(cabinet(&folder, &dictionary)) };
    let sources = open(&[payload], &dictionary, &Trust { allow_unsigned: true, roots: Vec::new(), time: 0 }).unwrap();
    let package = sources[0].package(&sources[0].root).unwrap();
    assert_eq!(sources[0].root.to_string(), PACKAGE);

    let spec = StoreSpec { architecture: "arm".into(), version: Version([10, 0, 15063, 0]), ..StoreSpec::default() };
    let file = ImageFile::new(vec![std::sync::Arc::new(Wim::open(std::sync::Arc::new(practice_store(&spec).unwrap())).unwrap())]).unwrap();
    let mut image = Image::open(&file, 1, &Blobs::default()).unwrap();
    let before = contents_of(&mut image);
    let store = Store::read(&mut image, Some(dictionary.clone())).unwrap();
    let changes = [PackageChange {
        package: sources[0].root.clone(),
        source: Some(0),
        manifest: package.manifest.clone(),
        before: State::ABSENT,
        after: State::INSTALLED,
        updates: vec![UpdateChange { update: 0, before: State::ABSENT, after: State::INSTALLED }],
        visible: true,
        owners: vec![sources[0].root.clone()],
    }];

    // What `install` does, but for the payload: its files stand for what is not public.
    let resolution = Resolver { store: &store, sources: &sources }.resolve(&changes).unwrap();
    assert!(payload::make(&image.blobs, &store, &sources, &resolution).is_err(), "the payload is not public");
    let stand_in = |touched: &resolve::Touched| -> Vec<Staged> {
        let files = touched.manifest.component.files.iter();
        files
            .map(|file| Staged {
                name: file.payload_name().to_owned(),
                contents: image.blobs.add_bytes(*b"stands for it"),
                differentials: Vec::new(),
            })
            .collect()
    };
    let made = resolution.components.iter().map(|(keyform, touched)| (keyform.clone(), stand_in(touched))).collect();
    let effects = Known::read(&store, &resolution).unwrap();
    let left = project::left(&resolution, &effects, &Waiting::read(&image).unwrap());
    let gone = write::stage(&mut image, &resolution, &effects, made, TIME).unwrap();
    project::project(&mut image, &store, &resolution, &effects, &left, TIME).unwrap();
    gone.remove(&mut image).unwrap();
    register::packages(&mut image, &sources, &changes, &resolution, TIME).unwrap();
    image.commit(TIME).unwrap();

    let after = contents_of(&mut image);
    let ours: Contents = after.into_iter().filter(|(place, data)| before.get(place) != Some(data)).collect();
    let theirs: Contents = expected(&folder).into_iter().filter(|(place, _)| place.2.is_some() || !before.contains_key(place)).collect();
    let mut unexplained = differences(&ours, &theirs);
    for (explained, why) in EXPLAINED {
        let count = unexplained.len();
        unexplained.retain(|difference| !difference.starts_with(explained));
        assert!(unexplained.len() < count, "no longer different: {explained} ({why})");
    }
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    // So the rest is what the real stack wrote, to the byte.
    let same: Vec<_> = theirs.iter().filter(|(place, data)| place.2.is_some() && ours.get(*place) == Some(data)).collect();
    let in_hive = |file| same.iter().filter(|(place, _)| place.0 == file).count();
    assert_eq!((in_hive(HiveFile::Components), in_hive(HiveFile::Software)), (15, 18));

    // `TemporaryInjection.reg` takes the package back by deleting those very keys.
    let mut removal = changes;
    let [change] = &mut removal;
    change.source = None;
    std::mem::swap(&mut change.before, &mut change.after);
    for update in &mut change.updates {
        std::mem::swap(&mut update.before, &mut update.after);
    }
    let store = Store::read(&mut image, Some(dictionary)).unwrap();
    install(&mut image, &store, &[], &removal, &Options { time: TIME, deferred: DeferredPolicy::Fail }).unwrap();
    image.commit(TIME).unwrap();
    // The cache is dropped, and an empty key is of no use to anybody; in a real image it would have other groups of services.
    let left = [
        r"- HKLM\COMPONENTS\deriveddata\versionedindex\10.0.15063.0 (winbuild.160101.0800)",
        r"- HKLM\COMPONENTS\deriveddata\versionedindex\10.0.15063.0 (winbuild.160101.0800)\componentfamilies",
        r"- HKLM\SOFTWARE\microsoft\windows nt\currentversion\svchost",
    ];
    assert_eq!(differences(&contents_of(&mut image), &before), left.map(str::to_owned).into());
}

/// What differs: `+` only in the first, `-` only in the second, `~` other data.
fn differences(ours: &Contents, theirs: &Contents) -> BTreeSet<String> {
    let mut differences = BTreeSet::new();
    for place in ours.keys().chain(theirs.keys()) {
        let sign = match (ours.get(place), theirs.get(place)) {
            (Some(ours), Some(theirs)) if ours == theirs => continue,
            (Some(_), Some(_)) => '~',
            (Some(_), None) => '+',
            (None, _) => '-',
        };
        differences.insert(format!("{sign} {}", describe(place)));
    }
    differences
}

fn describe((file, key, name): &(HiveFile, String, Option<String>)) -> String {
    match name {
        Some(name) => format!(r"{}\{key}!{name}", file.mount_point()),
        None => format!(r"{}\{key}", file.mount_point()),
    }
}

/// Differences (`+` only we write it, `-` only the phone has it, `~` other data), by how they begin, and why.
const EXPLAINED: [(&str, &str); 9] = [
    (r"- HKLM\COMPONENTS\deriveddata\versionedindex\", "a cache that servicing makes anew; it is dropped, not written"),
    (r"- HKLM\SOFTWARE\microsoft\windows\currentversion\component based servicing\convertedpackages", "of the phone's update of packages"),
    (r"+ HKLM\COMPONENTS\canonicaldata\catalogs\", "desktop stacks refer to catalogs; seen in all 3,983 deployments of a desktop (gowim)"),
    (
        r"+ HKLM\COMPONENTS\canonicaldata\deployments\fadilfadz.c...deployment_628844477771337a_1.0.0.0_3812df19b195b968!CatalogThumbprint",
        "the same",
    ),
    (
        r"~ HKLM\SOFTWARE\microsoft\windows\currentversion\component based servicing\packages\fadilfadz.cmdinjector.permanent~628844477771337a~arm~~1.0.0.0!InstallClient",
        "who installed it: the phone's updater, not DISM",
    ),
    (
        r"~ HKLM\SOFTWARE\microsoft\windows\currentversion\component based servicing\packages\fadilfadz.cmdinjector.permanent~628844477771337a~arm~~1.0.0.0!InstallLocation",
        "from where: the phone's staging folder",
    ),
    (
        r"+ HKLM\SOFTWARE\microsoft\windows nt\currentversion\svchost!bootshsvc",
        "what the package itself brings is not in the footprint: a service's group",
    ),
    (r"+ HKLM\SYSTEM\controlset001\services\bootsh", "the same: its service"),
    (r"+ HKLM\SYSTEM\controlset001\control\ci", "the same: a value of its own"),
];

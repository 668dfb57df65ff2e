//! Cumulative updates as Windows 11 24H2 gets them: an MSU that is a WIM, around a WIM with manifests and a PSF with differentials that
//! lead from a checkpoint and back to it (facts: learn.microsoft.com, "Checkpoint cumulative updates"; Microsoft's PSFX white paper).
//!
//! Every version of the file is 300 bytes: 100 that never change, 100 that a checkpoint changes, 100 that every update changes. A
//! differential takes from its base what the two have in common, so that it gives something else from another base.

use std::collections::HashMap;
use std::io::Cursor;

use flate2::Crc;
use wimwright_format::container_index::SourceKind;
use wimwright_format::digest::Digest as StatedDigest;
use wimwright_format::manifest::Identity;
use wimwright_format::psf::{PsfFile, write_psf};
use wimwright_format::wim::write::{BlobSource, ImageSource, ImageToWrite, WimPlan, WriteOptions};
use wimwright_format::wim::{BlobId, Dentry, ImageInfo, Metadata, file_attributes};
use wimwright_practice::store::ComponentSpec;
use wimwright_servicing::cbs::step::{DisableFeature, Packages};
use wimwright_servicing::step::{Context, Step};

use super::differentials::{component, identity};
use super::generated::{Members, assembly, cabinet, deployment, element, payload, plain_image, sealed};
use super::*;

const FILE: &str = "example.dll";
const BEFORE: u16 = 1;
const CHECKPOINT: u16 = 1742;

/// The file in a version: of the release, of the checkpoint, or of an update after it.
fn contents(revision: u16) -> Vec<u8> {
    let epoch = if revision < CHECKPOINT { BEFORE } else { CHECKPOINT };
    [0, epoch, revision]
        .into_iter()
        .flat_map(|seed| (0..100_u16).map(move |byte| (byte.wrapping_mul(seed | 1) >> 1) as u8 ^ seed as u8))
        .collect()
}

/// Bits of a delta, from the lowest on, after three for the padding at the end.
struct Bits(Vec<bool>);

impl Bits {
    fn bits(&mut self, value: u64, count: u32) -> &mut Self {
        self.0.extend((0..count).map(|bit| value >> bit & 1 != 0));
        self
    }

    fn number(&mut self, value: u64) -> &mut Self {
        let nibbles = value.max(1).ilog2() / 4;
        self.bits(1 << nibbles, nibbles + 1).bits(value, (nibbles + 1) * 4)
    }

    fn buffer(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.resize(self.0.len().next_multiple_of(8), false);
        bytes.iter().for_each(|byte| _ = self.bits((*byte).into(), 8));
        self
    }

    /// A symbol of a code that gives `count` symbols the same weight: the first get a bit less where `count` is no power of two, and the
    /// longest codes come first.
    fn symbol(&mut self, symbol: u64, count: u64) -> &mut Self {
        let (length, short) = (count.next_power_of_two().trailing_zeros(), count.next_power_of_two() - count);
        let (code, length) = if symbol < short { ((count - short) / 2 + symbol, length - 1) } else { (symbol - short, length) };
        self.bits(code.reverse_bits() >> (64 - length), length)
    }

    fn finish(&mut self) -> Vec<u8> {
        let padding = self.0.len().next_multiple_of(8) - self.0.len();
        (0..3).for_each(|bit| self.0[bit] = padding >> bit & 1 != 0);
        self.0.chunks(8).map(|byte| byte.iter().rev().fold(0, |value, bit| value << 1 | u8::from(*bit))).collect()
    }
}

fn bits() -> Bits {
    Bits(vec![false; 3])
}

/// A differential: a delta (PA30, no hash) behind its CRC-32. What base and target begin with is copied, the rest is literal.
fn differential(base: &[u8], target: &[u8]) -> Vec<u8> {
    let common = base.iter().zip(target).take_while(|(base, target)| base == target).count();
    let mut patch = bits();
    // No rift of its own, even codes.
    patch.bits(0, 1).bits(1, 1);
    if common > 8 {
        assert!(common < 264, "longer copies have another form");
        let distance = base.len() as u64;
        let bits = distance.ilog2() - 1;
        let slot = u64::from(distance.ilog2() - 2) * 2 + 11 + (distance >> bits & 1);
        patch.symbol(256 + slot * 8, 600);
        patch.bits(distance >> 4, bits - 4).symbol(distance & 15, 16).symbol(common as u64 - 8, 256);
    }
    target[if common > 8 { common } else { 0 }..].iter().for_each(|byte| _ = patch.symbol((*byte).into(), 600));
    let mut delta = b"PA30".to_vec();
    delta.extend(NOW.to_le_bytes());
    // File types, file type, flags, size of the target, hash algorithm, hash; preprocessing; the patch.
    let mut body = bits();
    body.number(1).number(1).number(0).number(target.len() as u64).number(0).buffer(b"").buffer(b"").buffer(&patch.finish());
    delta.extend(body.finish());
    assert_eq!(wimwright_codec::delta::apply(base, &delta, 1 << 20).unwrap(), target);
    let mut crc = Crc::new();
    crc.update(&delta);
    [&crc.sum().to_le_bytes()[..], &delta].concat()
}

/// A WIM of one image with these files.
fn wim(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut blobs = HashMap::<BlobId, Arc<[u8]>>::new();
    let mut root = Dentry { attributes: file_attributes::DIRECTORY, ..Dentry::default() };
    for (name, bytes) in files {
        blobs.insert(BlobId::of(bytes), Arc::from(*bytes));
        root.children.push(Dentry { name: (*name).into(), attributes: 0x20, data: Some(BlobId::of(bytes)), ..Dentry::default() });
    }
    let source = ImageSource::Tree(Box::new(Metadata { root, ..Metadata::default() }));
    let image = ImageToWrite { source, info: ImageInfo::named("update") };
    let plan = WimPlan::new(vec![image], WriteOptions::new(None, [7; 16]), &|id| blobs.get(id).cloned().map(BlobSource::Bytes)).unwrap();
    let mut output = Cursor::new(Vec::new());
    plan.write(&mut output, &mut |_| ()).unwrap();
    output.into_inner()
}

/// The cumulative update that raises the build to `revision`, with differentials from `base` and back, and a file that is new with it.
fn cumulative(revision: u16, base: u16) -> Payload {
    cumulative_if(revision, base, "")
}

/// The same, the component only under a condition.
fn cumulative_if(revision: u16, base: u16, condition: &str) -> Payload {
    let version = Version([10, 0, 26100, revision]);
    let package = Identity { version_scope: None, ..identity("Package_for_RollupFix", revision) };
    let package = Identity { version: Version([26100, revision, 1, 10]), ..package };
    let (part, new) = (identity("Example-Component", revision), identity("Example-New", revision));
    let of_build = Identity { ..identity("Microsoft-Windows-CoreOS-Revision", revision) };
    let carried = |name: &str, condition: &str| {
        format!("<update name=\"{name}\">{condition}<component>{}</component></update>", element(&identity(name, revision)))
    };
    let updates = carried("Example-Deployment", condition) + &carried("Example-Revision", "");
    let revision_value = format!(
        "<registryKeys><registryKey keyName=\"HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\"><registryValue name=\"UBR\" valueType=\"REG_DWORD\" value=\"0x{revision:08x}\"/></registryKey></registryKeys>"
    );
    let added = format!("new in {revision}").into_bytes();
    let mut members: Members = vec![(
        "update.mum".into(),
        assembly(&package, &format!("<package identifier=\"KB{revision}\" releaseType=\"Security Update\">{updates}</package>")),
    )];
    members.extend(deployment("Example-Deployment", version, &[part.clone(), new.clone()]));
    members.extend(deployment("Example-Revision", version, std::slice::from_ref(&of_build)));
    members.push((format!("{}.manifest", part.keyform()), component(&part, FILE, &contents(revision))));
    members.push((format!("{}.manifest", new.keyform()), component(&new, "new.dll", &added)));
    members.push((format!("{}.manifest", of_build.keyform()), assembly(&of_build, &revision_value)));

    let carried = [
        (format!(r"{}\f\{FILE}", part.keyform()), differential(&contents(base), &contents(revision))),
        (format!(r"{}\r\{FILE}", part.keyform()), differential(&contents(revision), &contents(base))),
        (format!(r"{}\n\new.dll", new.keyform()), differential(b"", &added)),
    ];
    let in_psf = |(name, bytes): &'static (String, Vec<u8>)| PsfFile {
        name,
        kind: SourceKind::Raw,
        carried: bytes,
        digest: StatedDigest::sha256(bytes),
        length: bytes.len() as u64,
        time: NOW,
    };
    let carried: &'static [_] = Box::leak(Box::new(carried));
    let mut psf = Vec::new();
    let index = write_psf("update", &carried.iter().map(in_psf).collect::<Vec<_>>(), &mut psf).unwrap().to_xml();
    let members = sealed(members);
    let mut inner: Vec<(&str, &[u8])> = members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    inner.push(("express.psf.cix.xml", index.as_bytes()));
    let name = format!("Windows11.0-KB{revision}-x64");
    let msu = wim(&[(&format!("{name}.wim"), &wim(&inner)), (&format!("{name}.psf"), &psf)]);
    Payload { name: format!("{name}.msu"), sha256: Sha256::digest(&msu).into(), source: Arc::new(msu) }
}

/// An image as it was released: the component is installed, without differentials.
fn released() -> Image {
    let manifest = component(&identity("Example-Component", BEFORE), FILE, &contents(BEFORE));
    let spec = StoreSpec {
        architecture: "amd64".into(),
        version: Version([10, 0, 26100, 1]),
        components: vec![ComponentSpec { manifest, stored_manifest: None, payload: vec![(FILE.into(), contents(BEFORE))] }],
        ..StoreSpec::default()
    };
    consistency::open(wimwright_practice::store::write(&spec).unwrap())
}

fn step(updates: &[Payload]) -> Packages {
    Packages { updates: updates.to_vec(), allow_unsigned: true, ..Packages::default() }
}

fn installed(updates: &[Payload], image: &Image) -> Image {
    let (after, _) = step(updates).apply(image.clone(), &Context { time: NOW }).unwrap();
    check(&after, "amd64");
    after
}

/// The file, and which differentials the store keeps beside the version.
fn file_of(image: &Image, revision: u16) -> (Vec<u8>, [bool; 2]) {
    let keyform = identity("Example-Component", revision).keyform();
    let has = |folder: &str| image.tree.at(&format!("/Windows/WinSxS/{keyform}/{folder}/{FILE}")).is_some();
    (image.read(&format!("/Windows/System32/{FILE}")).unwrap().to_vec(), [has("f"), has("r")])
}

#[test]
fn updates_lead_over_checkpoints_and_back() {
    let image = released();
    let (checkpoint, third, fourth) = (cumulative(CHECKPOINT, BEFORE), cumulative(3000, CHECKPOINT), cumulative(4000, CHECKPOINT));
    // One after the other: the fourth goes back from the third to the checkpoint, and on from there.
    let mut serviced = image.clone();
    for (update, revision) in [(&checkpoint, CHECKPOINT), (&third, 3000), (&fourth, 4000)] {
        serviced = installed(std::slice::from_ref(update), &serviced);
        assert_eq!(file_of(&serviced, revision), (contents(revision), [true, true]), "{revision}");
        assert_eq!(*serviced.read("/Windows/System32/new.dll").unwrap(), *format!("new in {revision}").as_bytes());
    }
    // At once, in any order, the checkpoint is there first.
    for updates in [[fourth.clone(), checkpoint.clone()], [checkpoint.clone(), fourth.clone()]] {
        let (after, report) = step(&updates).apply(image.clone(), &Context { time: NOW }).unwrap();
        check(&after, "amd64");
        assert_eq!(file_of(&after, 4000), (contents(4000), [true, true]));
        assert!(report.details.iter().any(|line| line.ends_with("-> 4000")), "{:?}", report.details);
    }
    // Without it, the error says what is missing, and nothing has changed.
    let error = step(std::slice::from_ref(&fourth)).apply(image.clone(), &Context { time: NOW }).err().unwrap();
    let keyform = identity("Example-Component", 4000).keyform();
    assert_eq!(
        format!("{error}; {}", error.hint()),
        format!(
            "no base for the differential of {FILE} of {keyform}: the image has versions [10.0.26100.1]; an earlier cumulative update (a \
             checkpoint) is missing; add the checkpoint updates that came before to `updates`"
        )
    );
    // The same in an image with an update from before the checkpoint, whose own way back leads to the release, not to the checkpoint.
    let early = installed(&[cumulative(500, BEFORE)], &image);
    assert!(step(std::slice::from_ref(&fourth)).apply(early.clone(), &Context { time: NOW }).is_err());
    assert_eq!(file_of(&installed(&[fourth, checkpoint], &early), 4000).0, contents(4000));
}

/// A package with a feature that has the component in the version of the release, its file whole.
fn feature_package() -> Payload {
    let part = identity("Example-Component", BEFORE);
    let deployed = identity("Example-Feature", BEFORE);
    let selectable = "<selectable disposition=\"staged\"><detectNone default=\"false\"/></selectable>";
    let update = format!("<update name=\"ExampleFeature\">{selectable}<component>{}</component></update>", element(&deployed));
    let package = Identity { version_scope: None, ..identity("Example-Feature-Package", BEFORE) };
    let manifest = assembly(&package, &format!("<package identifier=\"Feature\" releaseType=\"Feature Pack\">{update}</package>"));
    let mut members: Members = vec![("update.mum".into(), manifest)];
    members.extend(deployment("Example-Feature", deployed.version, std::slice::from_ref(&part)));
    members.push((format!("{}.manifest", part.keyform()), component(&part, FILE, &contents(BEFORE))));
    members.push((format!(r"{}\{FILE}", part.keyform()), contents(BEFORE)));
    payload("feature", cabinet(&sealed(members)))
}

#[test]
fn a_feature_without_files_does_not_keep_an_update_out() {
    let plain = plain_image();
    let staged = installed(&[feature_package()], &plain);
    let lifted = element(&identity("Example-Component", 3000));
    let condition =
        format!("<applicable disposition=\"staged\"><updateComponent elevate=\"revision\">{lifted}</updateComponent></applicable>");
    let update = || cumulative_if(3000, BEFORE, &condition);
    let keyform = identity("Example-Component", 3000).keyform();
    let stored = |image: &Image| image.tree.at(&format!("/Windows/WinSxS/{keyform}/{FILE}")).is_some();
    // Files of a feature that is off are made ready; so enabling it gives the newest.
    let ready = installed(&[update()], &staged);
    assert!(stored(&ready) && ready.tree.at(&format!("/Windows/System32/{FILE}")).is_none());
    let on = |image: &Image, source: Vec<Payload>| {
        let enabled = Packages { enable: vec!["ExampleFeature".into()], offers: source, ..step(&[]) };
        let (after, _) = enabled.apply(image.clone(), &Context { time: NOW }).unwrap();
        check(&after, "amd64");
        after
    };
    assert_eq!(file_of(&on(&ready, Vec::new()), 3000).0, contents(3000));
    // Files that have left the image give nothing to start from: the rest is updated, and the feature gets its part when it comes back.
    let feature = DisableFeature { name: "ExampleFeature".into(), remove_payload: true };
    let removal = Packages { disable: vec![feature], ..step(&[]) };
    let (without, _) = removal.apply(staged, &Context { time: NOW }).unwrap();
    assert!(without.tree.at(&format!("/Windows/WinSxS/{}/{FILE}", identity("Example-Component", BEFORE).keyform())).is_none());
    for image in [&without, &plain] {
        assert!(!stored(&installed(&[update()], image)));
    }
    let back = on(&installed(&[update()], &without), vec![feature_package(), update()]);
    assert_eq!(file_of(&back, 3000).0, contents(3000));
}

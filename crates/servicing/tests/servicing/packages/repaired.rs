//! Repairing a store: each kind of damage that a file ends is mended from an intact image and from the package that brought the file,
//! and the image is then what it was in everything, links and times among it. What is not proven is never put back.

use base64ct::Encoding;
use wimwright_codec::{Compression, Compressor, Level as Effort};
use wimwright_format::wim::Wim;
use wimwright_format::wim::write::{ImageSource, ImageToWrite, WimPlan, WriteOptions};
use wimwright_image::{Blobs, ImageFile};
use wimwright_servicing::cbs::health::repair::{OWN, Repair, Source, repair};
use wimwright_servicing::cbs::health::{FindingKind, Level, Options as Health, check};
use wimwright_servicing::cbs::store::{PACKAGES_FOLDER, manifest_path, payload_path};

use super::generated::{apply, cabinet, identity, payload, plain_image, sealed, updates, whole};
use super::*;
use crate::health::{contents, remove, rewrite};
use crate::windows::path_of;

const VERSION: Version = Version([10, 0, 26100, 5]);
const CATALOG_ROOT: &str = "/Windows/System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}";

fn delivery(version: Version) -> Payload {
    payload("Alpha", cabinet(&sealed(whole("Alpha", version, &[("alpha", version)]))))
}

/// An image with the package of this version installed.
fn image(version: Version) -> Image {
    apply(&updates(vec![delivery(version)]), &plain_image()).unwrap().0
}

fn trust() -> Trust {
    Trust { allow_unsigned: true, ..Trust::microsoft(NOW_UNIX) }
}

/// Packages as sources.
pub fn packages(files: &[Payload]) -> Vec<Source> {
    let sources = open(files, &Dictionary::default(), &trust()).unwrap();
    sources.into_iter().map(|source| Source::Package(Box::new(source))).collect()
}

fn from_package(version: Version) -> Vec<Source> {
    packages(&[delivery(version)])
}

fn from_image(image: &Image) -> Vec<Source> {
    vec![Source::Image { name: "intact.wim:1".into(), image: Box::new(fresh(image)) }]
}

/// A repaired copy of the image, and what was done.
pub fn repaired(damaged: &Image, sources: &[Source]) -> (Image, Repair) {
    repaired_with(damaged, sources, None)
}

fn repaired_with(damaged: &Image, sources: &[Source], dictionary: Option<Dictionary>) -> (Image, Repair) {
    let mut image = fresh(damaged);
    let trust = trust();
    let options = Health { level: Level::Scan, trust: &trust, dictionary, progress: &|_, _| {} };
    let before = check(&mut image, &options).unwrap();
    let repair = repair(&mut image, &before, sources, &options, NOW).unwrap();
    (image, repair)
}

/// The places of the package's files.
struct Places {
    payload: String,
    installed: String,
    manifest: String,
    package: String,
    catalog: String,
    root: String,
    stored: String,
}

impl Places {
    fn of(image: &Image) -> Self {
        let id = format!("Alpha~31bf3856ad364e35~amd64~~{VERSION}");
        let keyform = identity("alpha", VERSION).keyform();
        let catalog = format!("{PACKAGES_FOLDER}/{id}.cat");
        let thumbprint: String = Sha256::digest(contents(image, &catalog)).iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            payload: payload_path(&keyform, "alpha.exe"),
            installed: "/Windows/System32/alpha.exe".into(),
            manifest: manifest_path(&keyform),
            package: format!("{PACKAGES_FOLDER}/{id}.mum"),
            catalog,
            root: format!("{CATALOG_ROOT}/{id}.cat"),
            stored: format!("/Windows/WinSxS/Catalogs/{thumbprint}.cat"),
        }
    }
}

/// Gives one name of a file other contents; the others keep them.
fn replace(image: &mut Image, path: &str, bytes: &[u8]) {
    let mut inode = image.tree.at(path).unwrap().inode().clone();
    inode.contents = image.blobs.add_bytes(bytes.to_vec());
    image.tree.put_file(&path_of(path), inode).unwrap();
}

/// Names by file, where a file has more than one.
fn links(image: &Image) -> std::collections::BTreeSet<Vec<String>> {
    let mut names = BTreeMap::<FileId, Vec<String>>::new();
    for (path, entry) in image.tree.walk() {
        if let Some(file) = entry.file_id() {
            names.entry(file).or_default().push(path);
        }
    }
    names.into_values().filter(|names| names.len() > 1).collect()
}

#[track_caller]
fn assert_same(what: &str, intact: &Image, repaired: &Image) {
    assert_eq!(difference(intact, repaired), "", "{what}");
    assert!(TreeDiff::between(&intact.tree, &repaired.tree).is_empty(), "{what}");
    assert_eq!(links(intact), links(repaired), "{what}");
}

type Damage = fn(&mut Image, &Places);

/// Damage that the image itself can mend.
const OWN_REMEDY: &[(&str, Damage)] = &[
    ("the store's name of a file, changed", |image, places| replace(image, &places.payload, b"MZ changed")),
    ("the store's name of a file", |image, places| remove(image, &places.payload)),
    ("an installed file", |image, places| remove(image, &places.installed)),
    ("an installed file, replaced", |image, places| replace(image, &places.installed, b"MZ replaced")),
    ("an installed file that is a copy", |image, places| {
        let bytes = contents(image, &places.installed);
        replace(image, &places.installed, &bytes);
    }),
    ("the catalog beside the manifest", |image, places| remove(image, &places.catalog)),
    ("the catalog beside the manifest, changed", |image, places| replace(image, &places.catalog, b"changed")),
    ("the catalog in CatRoot", |image, places| remove(image, &places.root)),
    ("the catalog in CatRoot, changed", |image, places| replace(image, &places.root, b"changed")),
    ("the catalog of the store", |image, places| remove(image, &places.stored)),
    ("the catalog of the store, changed", |image, places| replace(image, &places.stored, b"changed")),
    ("two of three catalogs", |image, places| {
        remove(image, &places.stored);
        replace(image, &places.catalog, b"changed");
    }),
];

/// Damage that needs a source.
const FOREIGN_REMEDY: &[(&str, Damage)] = &[
    ("a file under all its names, changed", |image, places| rewrite(image, &places.payload, |bytes| bytes[0] ^= 1)),
    ("a file under all its names", |image, places| {
        remove(image, &places.payload);
        remove(image, &places.installed);
    }),
    ("a file in the store, and another in its place", |image, places| {
        remove(image, &places.payload);
        replace(image, &places.installed, b"MZ replaced");
    }),
    ("a component's manifest", |image, places| remove(image, &places.manifest)),
    ("a component's manifest, changed", |image, places| rewrite(image, &places.manifest, |xml| xml.push(b'\n'))),
    ("a component's manifest that cannot be decoded", |image, places| {
        rewrite(image, &places.manifest, |xml| *xml = b"DCM\x01PA30 is not what follows".to_vec());
    }),
    ("a package manifest", |image, places| remove(image, &places.package)),
    ("a package manifest, changed", |image, places| rewrite(image, &places.package, |xml| xml.push(b'\n'))),
    ("a package manifest that is none", |image, places| rewrite(image, &places.package, |xml| *xml = b"<assembly/>".to_vec())),
    ("all catalogs", |image, places| [&places.catalog, &places.root, &places.stored].into_iter().for_each(|path| remove(image, path))),
    ("all catalogs, changed", |image, places| {
        [&places.catalog, &places.root, &places.stored].into_iter().for_each(|path| replace(image, path, b"changed"))
    }),
    ("everything at once", |image, places| {
        let all = [&places.payload, &places.manifest, &places.package, &places.catalog, &places.root, &places.stored, &places.installed];
        all.into_iter().for_each(|path| remove(image, path));
    }),
];

#[test]
fn an_image_mends_itself_where_it_can() {
    let intact = image(VERSION);
    let places = Places::of(&intact);
    for (what, damage) in OWN_REMEDY {
        let mut damaged = intact.clone();
        damage(&mut damaged, &places);
        let (repaired, report) = repaired(&damaged, &[]);
        assert_eq!(report.left, [], "{what}");
        assert!(!report.repaired.is_empty() && report.repaired.iter().all(|repaired| repaired.source == OWN), "{what}: {report:#?}");
        assert_same(what, &intact, &repaired);
    }
}

#[test]
fn intact_files_come_from_images_and_packages() {
    let intact = image(VERSION);
    let places = Places::of(&intact);
    for (what, damage) in FOREIGN_REMEDY {
        let mut damaged = intact.clone();
        damage(&mut damaged, &places);
        for (sources, name) in [(from_image(&intact), "intact.wim:1"), (from_package(VERSION), "Alpha.cab")] {
            let (repaired, report) = repaired(&damaged, &sources);
            assert_eq!(report.left, [], "{what} from {name}");
            assert!(report.repaired.iter().any(|repaired| repaired.source == name), "{what} from {name}: {report:#?}");
            assert_same(&format!("{what} from {name}"), &intact, &repaired);
        }
        let (unchanged, report) = repaired(&damaged, &[]);
        assert!(report.unsatisfied().any(|left| left.reason.contains("no source was given")), "{what}: {report:#?}");
        // What the image can mend by itself is mended all the same.
        assert!(report.repaired.iter().all(|repaired| repaired.source == OWN), "{what}: {report:#?}");
        assert!(!report.repaired.is_empty() || TreeDiff::between(&damaged.tree, &unchanged.tree).is_empty(), "{what}");
    }
}

/// A source is never believed: neither one of another version, nor one whose files were changed.
#[test]
fn what_is_not_proven_is_not_put_back() {
    let other = Version([10, 0, 26100, 6]);
    let intact = image(VERSION);
    let places = Places::of(&intact);
    let mut forged = intact.clone();
    for path in [&places.payload, &places.manifest, &places.package, &places.catalog, &places.root, &places.stored] {
        rewrite(&mut forged, path, |bytes| bytes.extend(b"\n<!-- forged -->"));
    }
    let sources = [
        ("another version", from_image(&image(other))),
        ("a package of another version", from_package(other)),
        ("forged", from_image(&forged)),
    ];
    for (what, damage) in FOREIGN_REMEDY {
        let mut damaged = intact.clone();
        damage(&mut damaged, &places);
        for (name, sources) in &sources {
            let (after, report) = repaired(&damaged, sources);
            assert_eq!(report.repaired, [], "{what} from {name}");
            assert!(TreeDiff::between(&damaged.tree, &after.tree).is_empty(), "{what} from {name}");
            assert!(report.unsatisfied().next().is_some(), "{what} from {name}");
            let said = report.left.iter().any(|left| left.reason.contains("has another one"));
            assert!(said || *name != "forged" || report.left.iter().any(|left| left.reason.contains("no catalog")), "{what}: {report:#?}");
        }
    }
}

/// Sources are asked in their order, until one has the very file.
#[test]
fn the_first_source_with_the_file_gives_it() {
    let intact = image(VERSION);
    let places = Places::of(&intact);
    let mut damaged = intact.clone();
    rewrite(&mut damaged, &places.payload, |bytes| bytes[0] ^= 1);
    let mut sources = from_image(&damaged);
    sources.extend(from_package(Version([10, 0, 26100, 6])));
    sources.extend(from_package(VERSION));
    let (repaired, report) = repaired(&damaged, &sources);
    assert_eq!(report.repaired.iter().map(|repaired| repaired.source.as_str()).collect::<Vec<_>>(), ["Alpha.cab"]);
    assert_same("third source", &intact, &repaired);
}

/// Records stay as they are, and so does what only they could mend.
#[test]
fn records_are_not_repaired() {
    let intact = image(VERSION);
    let mut damaged = intact.clone();
    crate::windows::with_hive(&mut damaged, wimwright_image::registry::HiveFile::Components, |hive| {
        let key = format!(r"{}\{}", wimwright_servicing::cbs::store::COMPONENTS, identity("alpha", VERSION).keyform());
        crate::windows::set(hive, &key, "S256H", &Data::Binary(vec![7; 32]));
        crate::windows::set(hive, &key, "CF", &Data::Dword(2));
    });
    let (after, report) = repaired(&damaged, &from_image(&intact));
    assert_eq!(report.repaired, []);
    let left: Vec<_> = report.left.iter().map(|left| (left.finding.kind, left.reason.as_str())).collect();
    let [(FindingKind::CorruptionRecorded, noted), (FindingKind::ManifestHash, hash)] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!(*noted, "this is what Windows noted, and only Windows takes it back");
    assert!(hash.starts_with("no source has the manifest of amd64_alpha_") && hash.ends_with("intact.wim:1 has another one"), "{hash}");
    assert_same("records", &damaged, &after);
}

/// Where the image file itself is damaged, a file has the right hash by name, and cannot be read: the repaired file is written anew.
#[test]
fn what_cannot_be_read_is_written_anew() {
    let intact = image(VERSION);
    let places = Places::of(&intact);
    let options = WriteOptions { compression: None, ..WriteOptions::new(None, [1; 16]) };
    let write = |image: &Image| {
        let written = ImageToWrite { source: ImageSource::Tree(Box::new(image.tree.to_metadata())), info: image.info.clone() };
        let plan = WimPlan::new(vec![written], options.clone(), &|id| image.blobs.source(id).ok()).unwrap();
        let mut bytes = std::io::Cursor::new(Vec::new());
        plan.write(&mut bytes, &mut |_| {}).unwrap();
        bytes.into_inner()
    };
    let read = |bytes: Vec<u8>| {
        let file = ImageFile::new(vec![Arc::new(Wim::open(Arc::new(bytes)).unwrap())]).unwrap();
        Image::open(&file, 1, &Blobs::default()).unwrap()
    };
    let mut bytes = write(&intact);
    let wim = Wim::open(Arc::new(bytes.clone())).unwrap();
    for path in [&places.payload, &places.manifest] {
        let resource = wim.blob(&intact.tree.at(path).unwrap().inode().contents.unwrap()).unwrap().resource;
        bytes[resource.offset as usize] ^= 0xff;
    }
    let damaged = read(bytes);
    let (repaired, report) = repaired(&damaged, &from_package(VERSION));
    assert_eq!(report.left, []);
    let kinds: Vec<_> = report.repaired.iter().map(|repaired| repaired.kind).collect();
    assert_eq!(kinds, [FindingKind::Unreadable, FindingKind::Unreadable]);
    let whole = read(write(&repaired));
    assert_eq!(crate::health::scan(&whole, None).findings, []);
    assert_eq!(contents(&whole, &places.payload), contents(&intact, &places.payload));
}

/// A file as the store keeps it compressed, in one block.
fn compressed(file: &[u8]) -> Vec<u8> {
    let mut packed = vec![0; file.len() + 4096];
    let mut compressor = Compressor::new(Compression::Lzms, file.len().max(1 << 15), Effort::default()).unwrap();
    let length = compressor.compress(file, &mut packed).unwrap();
    let mut stored = b"DCS\x01".to_vec();
    [1, file.len(), length + 4, file.len()].into_iter().for_each(|number| stored.extend((number as u32).to_le_bytes()));
    stored.extend(&packed[..length]);
    stored
}

/// What the store keeps compressed is expanded, here and in a source: the hash is that of the file itself.
#[test]
fn compressed_files_are_expanded() {
    let contents_of_alpha = "alpha ".repeat(2000).into_bytes();
    let mut members = whole("Alpha", VERSION, &[("alpha", VERSION)]);
    let digest = |bytes: &[u8]| base64ct::Base64::encode_string(&Sha256::digest(bytes));
    let old = digest(format!("alpha {VERSION}").as_bytes());
    for (name, bytes) in &mut members {
        if name.ends_with(".exe") {
            bytes.clone_from(&contents_of_alpha);
        } else if name.ends_with(".manifest") {
            *bytes = String::from_utf8_lossy(bytes).replace(&old, &digest(&contents_of_alpha)).into_bytes();
        }
    }
    let intact = apply(&updates(vec![payload("Alpha", cabinet(&sealed(members)))]), &plain_image()).unwrap().0;
    let places = Places::of(&intact);
    let mut packed = intact.clone();
    replace(&mut packed, &places.payload, &compressed(&contents_of_alpha));
    assert_eq!(crate::health::scan(&packed, None).findings, []);
    // A source that has it compressed.
    let mut damaged = intact.clone();
    rewrite(&mut damaged, &places.payload, |bytes| bytes[0] ^= 1);
    let (whole, report) = repaired(&damaged, &from_image(&packed));
    assert_eq!(report.left, []);
    assert_same("from a compressed file", &intact, &whole);
    // The store has it compressed: the installed file is one of its own.
    let mut missing = packed.clone();
    remove(&mut missing, &places.installed);
    let (whole, report) = repaired(&missing, &[]);
    assert_eq!(report.left, []);
    assert_same("next to a compressed file", &packed, &whole);
    // The compressed file is damaged: the installed one becomes the store's.
    let mut damaged = packed.clone();
    rewrite(&mut damaged, &places.payload, |bytes| bytes.truncate(bytes.len() - 1));
    let (whole, report) = repaired(&damaged, &[]);
    assert_eq!(report.left, []);
    assert_same("instead of a compressed file", &intact, &whole);
}

/// Everything that Microsoft's own package put into the store and its places is gone, and comes back out of the package.
#[test]
fn real_package_gives_all_of_its_files_back() {
    let Some(dictionary) = dictionary() else { return };
    let Some(sources) = real_packages(&[real::OPENSSH_20348]) else { return };
    let before = image_with("amd64", [10, 0, 20348, 1], &real::parents(&sources[0]));
    let (intact, _) = installed(&before, &sources, &everything(0, &sources[0]));
    let stored: std::collections::BTreeSet<FileId> = intact.tree.at("/Windows/WinSxS").into_iter().flat_map(files_below).collect();
    let mut damaged = fresh(&intact);
    let mut gone = 0;
    // A package of packages has no hash in COMPONENTS: its manifest is what says which catalog is right, and no record asks for the
    // store's copy of it.
    let kept = format!("{PACKAGES_FOLDER}/{}.mum", sources[0].root);
    let root = sources[0].package(&sources[0].root).unwrap();
    let unasked = format!("/Windows/WinSxS/Catalogs/{}.cat", root.catalog_thumbprint().unwrap());
    for path in TreeDiff::between(&before.tree, &intact.tree).added {
        let Some(file) = intact.tree.at(&path).and_then(|entry| entry.file_id()) else { continue };
        if path == kept || path == unasked {
            continue;
        }
        if stored.contains(&file) || path.starts_with(PACKAGES_FOLDER) || path.starts_with(CATALOG_ROOT) {
            remove(&mut damaged, &path);
            gone += 1;
        }
    }
    assert!(gone > 30, "{gone}");
    let sources: Vec<Source> = sources.into_iter().map(|source| Source::Package(Box::new(source))).collect();
    let (whole, report) = repaired_with(&damaged, &sources, Some(dictionary.clone()));
    assert_eq!(report.left, []);
    assert_same("OpenSSH", &intact, &whole);
    // Without it, nothing is taken at its word.
    remove(&mut damaged, &kept);
    let (_, report) = repaired_with(&damaged, &sources, Some(dictionary));
    let left: Vec<_> = report.left.iter().map(|left| left.finding.kind).collect();
    assert_eq!(left, [FindingKind::PackageManifestMissing, FindingKind::CatalogMissing]);
}

fn files_below(entry: wimwright_image::tree::Entry<'_>) -> Vec<FileId> {
    let children = entry.children();
    children.flat_map(|child| child.file_id().map_or_else(|| files_below(child), |file| vec![file])).collect()
}

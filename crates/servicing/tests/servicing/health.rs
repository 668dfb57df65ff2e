//! The health check: a consistent store has no findings, and each kind of damage gives its own finding and no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wimwright_codec::{Compression, Compressor, Level as Effort};
use wimwright_format::manifest::macros::Directories;
use wimwright_format::manifest::store_name::{Reference, ReferenceKind};
use wimwright_format::manifest::{PackageId, Version};
use wimwright_format::regf::{Data, Hive};
use wimwright_format::security_descriptor::SecurityDescriptor;
use wimwright_format::wim::Wim;
use wimwright_image::registry::{self, HiveFile};
use wimwright_image::{Blobs, Image, ImageFile};
use wimwright_practice::store::{PackageSpec, State, StoreSpec, write};
use wimwright_servicing::cbs::dictionary::Dictionary;
use wimwright_servicing::cbs::health::{FindingKind, Level, Options, Report, Severity, check};
use wimwright_servicing::cbs::listing::Listing;
use wimwright_servicing::cbs::source::Trust;
use wimwright_servicing::cbs::store::{COMPONENTS, DEPLOYMENTS, PACKAGES_FOLDER, SERVICING, Store, WINNERS, payload_path};

use crate::windows::{fresh, path_of, put, set, with_hive};

const PACKAGE: &str = "Practice-Package~31bf3856ad364e35~amd64~~10.0.26100.1";
const CATALOG_ROOT: &str = "/Windows/System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}";

fn id(text: &str) -> PackageId {
    text.parse().unwrap()
}

fn store_bytes() -> Vec<u8> {
    let staged = PackageSpec { state: State::Staged, ..PackageSpec::installed(id("Practice-Staged~31bf3856ad364e35~amd64~~10.0.26100.1")) };
    let features = vec![("Practice-On".to_owned(), State::Installed), ("Practice-Off".to_owned(), State::Staged)];
    let package = PackageSpec { features, ..PackageSpec::installed(id(PACKAGE)) };
    let version = Version([10, 0, 26100, 1]);
    write(&StoreSpec { architecture: "amd64".into(), version, packages: vec![package, staged], components: Vec::new(), filler: 40 })
        .unwrap()
}

fn open(bytes: Vec<u8>) -> Image {
    let file = ImageFile::new(vec![Arc::new(Wim::open(Arc::new(bytes)).unwrap())]).unwrap();
    Image::open(&file, 1, &Blobs::default()).unwrap()
}

fn trust(allow_unsigned: bool) -> Trust {
    // 2026-01-01.
    Trust { allow_unsigned, ..Trust::microsoft(1_767_225_600) }
}

fn report(image: &Image, level: Level, dictionary: Option<Dictionary>) -> Report {
    let trust = trust(true);
    check(&mut fresh(image), &Options { level, trust: &trust, dictionary, progress: &|_, _| {} }).unwrap()
}

/// Everything that can be found, unsigned catalogs accepted.
pub fn scan(image: &Image, dictionary: Option<Dictionary>) -> Report {
    report(image, Level::Scan, dictionary)
}

/// A component of the package, with a file in the store and in its place.
struct Victim {
    keyform: String,
    family: String,
    deployment: String,
    payload: String,
    installed: String,
}

impl Victim {
    fn of(image: &Image) -> Self {
        let store = Store::read(&mut fresh(image), None).unwrap();
        let hive = store.components_hive().unwrap();
        let found = registry::subkey_names(hive, COMPONENTS).unwrap().into_iter().find_map(|keyform| {
            let component = store.component(&keyform).unwrap()?.component;
            let file = component.files.first().filter(|_| !keyform.contains("servicingstack"))?;
            let destination = component.with_macros(Directories::Native, &|_| None, |macros| file.destination(macros).unwrap())?;
            let key = hive.open(&format!(r"{COMPONENTS}\{keyform}")).unwrap().unwrap();
            let names: Vec<String> = hive.values(key).unwrap().iter().map(|value| value.name()).collect();
            let deployment = names.iter().find_map(|name| name.strip_prefix("c!")).unwrap().to_owned();
            let winner = store.winner(&component.identity).unwrap()?;
            let (payload, installed) = (payload_path(&keyform, file.payload_name()), destination.replace('\\', "/"));
            let family = component.identity.family_key();
            (winner.version == component.identity.version).then_some(Self { keyform, family, deployment, payload, installed })
        });
        found.unwrap()
    }

    fn key(&self) -> String {
        format!(r"{COMPONENTS}\{}", self.keyform)
    }

    fn manifest(&self) -> String {
        format!("/Windows/WinSxS/Manifests/{}.manifest", self.keyform)
    }
}

pub fn contents(image: &Image, path: &str) -> Vec<u8> {
    image.read(path).unwrap().to_vec()
}

pub fn remove(image: &mut Image, path: &str) {
    image.tree.remove(&path_of(path)).unwrap();
}

/// Gives a file, under all its names, other contents.
pub fn rewrite(image: &mut Image, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = contents(image, path);
    change(&mut bytes);
    let blob = image.blobs.add_bytes(bytes);
    image.tree.update(&path_of(path), |inode| inode.contents = blob).unwrap();
}

fn delete_key(hive: &mut Hive, path: &str) {
    let key = hive.open(path).unwrap().unwrap();
    hive.delete_key(key, 1).unwrap();
}

fn delete_value(hive: &mut Hive, path: &str, name: &str) {
    let key = hive.open(path).unwrap().unwrap();
    assert!(hive.delete_value(key, name, 1).unwrap(), "{path} {name}");
}

fn components(image: &mut Image, change: impl FnOnce(&mut Hive)) {
    with_hive(image, HiveFile::Components, change);
}

fn software(image: &mut Image, change: impl FnOnce(&mut Hive)) {
    with_hive(image, HiveFile::Software, change);
}

/// The first value of a key whose name starts like that.
fn value_name(hive: &Hive, key: &str, start: &str) -> String {
    let key = hive.open(key).unwrap().unwrap();
    hive.values(key).unwrap().iter().map(|value| value.name()).find(|name| name.starts_with(start)).unwrap()
}

fn thumbprint(image: &Image, victim: &Victim) -> String {
    let store = Store::read(&mut fresh(image), None).unwrap();
    store.deployment(&victim.deployment).unwrap().unwrap().catalog.unwrap()
}

type Damage = fn(&mut Image, &Victim);

#[test]
fn a_consistent_store_is_healthy() {
    let image = open(store_bytes());
    let (done, total) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |now, all| {
        assert!(now <= all);
        done.fetch_max(now, Ordering::Relaxed);
        total.store(all, Ordering::Relaxed);
    };
    let trust = trust(true);
    let report = check(&mut fresh(&image), &Options { level: Level::Scan, trust: &trust, dictionary: None, progress: &progress }).unwrap();
    assert_eq!(report.findings, []);
    assert!(report.is_healthy());
    let checked = report.checked;
    assert!(checked.packages >= 4 && checked.catalogs >= 4 && checked.components > 40 && checked.deployments >= 4, "{checked:?}");
    assert!(checked.payload_files >= 4 && checked.installed_files >= 2 && checked.bytes > 10_000, "{checked:?}");
    assert_eq!(done.into_inner(), total.into_inner());
}

#[test]
fn each_damage_has_its_finding() {
    use FindingKind as K;
    let cases: &[(&str, &[K], Damage)] = &[
        ("a byte of a payload file", &[K::PayloadDamaged], |image, victim| rewrite(image, &victim.payload, |bytes| bytes[0] ^= 1)),
        ("a payload file", &[K::PayloadMissing], |image, victim| remove(image, &victim.payload)),
        ("a payload file, removed on purpose", &[], |image, victim| {
            remove(image, &victim.payload);
            components(image, |hive| set(hive, &victim.key(), "CF", &Data::Dword(0x40)));
        }),
        ("the record of a payload file", &[K::PayloadUnrecorded], |image, victim| {
            components(image, |hive| {
                let name = value_name(hive, &victim.key(), "f!");
                delete_value(hive, &victim.key(), &name);
            });
        }),
        ("an installed file", &[K::FileMissing], |image, victim| remove(image, &victim.installed)),
        ("an installed file that is a copy", &[K::FileNotLinked], |image, victim| {
            let inode = image.tree.at(&victim.installed).unwrap().inode().clone();
            image.tree.put_file(&path_of(&victim.installed), inode).unwrap();
        }),
        ("an installed file that was replaced", &[K::FileNotLinked], |image, victim| {
            let mut inode = image.tree.at(&victim.installed).unwrap().inode().clone();
            inode.contents = image.blobs.add_bytes(b"MZ replaced".to_vec());
            image.tree.put_file(&path_of(&victim.installed), inode).unwrap();
        }),
        ("who may use a file", &[K::SecurityDiffers], |image, victim| {
            let descriptor = SecurityDescriptor::from_sddl("O:WDG:WDD:(A;;FA;;;WD)").unwrap().encode().unwrap();
            let security = image.tree.add_security(&descriptor);
            image.tree.update(&path_of(&victim.installed), |inode| inode.security = Some(security)).unwrap();
        }),
        ("a manifest", &[K::ManifestMissing], |image, victim| remove(image, &victim.manifest())),
        ("a byte of a manifest", &[K::ManifestHash], |image, victim| rewrite(image, &victim.manifest(), |xml| xml.push(b'\n'))),
        ("a manifest that cannot be decoded", &[K::ManifestDamaged], |image, victim| {
            rewrite(image, &victim.manifest(), |xml| *xml = b"DCM\x01PA30 is not what follows".to_vec());
        }),
        ("a recorded hash", &[K::ManifestHash], |image, victim| {
            components(image, |hive| set(hive, &victim.key(), "S256H", &Data::Binary(vec![7; 32])));
        }),
        ("a recorded identity", &[K::ManifestName, K::WinnerMissing, K::WinnerUnknown], |image, victim| {
            components(image, |hive| {
                let other =
                    b"Practice-Other, Culture=neutral, Version=1.0.0.0, PublicKeyToken=31bf3856ad364e35, ProcessorArchitecture=amd64";
                set(hive, &victim.key(), "identity", &Data::Binary(other.to_vec()));
            });
        }),
        ("a component's key", &[K::ComponentUnregistered, K::WinnerUnknown, K::FolderOrphaned], |image, victim| {
            components(image, |hive| delete_key(hive, &victim.key()));
        }),
        ("a component that no deployment has", &[K::WinnerNotInstalled, K::ComponentUnreferenced], |image, victim| {
            components(image, |hive| {
                let name = value_name(hive, &victim.key(), "c!");
                delete_value(hive, &victim.key(), &name);
            });
        }),
        ("a deployment that is not there", &[K::DeploymentUnknown], |image, victim| {
            components(image, |hive| set(hive, &victim.key(), "c!nowhere_1_1.0.0.0_0123456789abcdef", &Data::Binary(Vec::new())));
        }),
        ("a deployment's identity", &[K::DeploymentName], |image, victim| {
            components(image, |hive| set(hive, &format!(r"{DEPLOYMENTS}\{}", victim.deployment), "appid", &Data::Binary(b"?".to_vec())));
        }),
        ("a reference of an unknown package", &[K::ReferenceUnknown], |image, victim| {
            let reference = Reference::new(&id("Nobody~31bf3856ad364e35~amd64~~1.0.0.0"), "Update");
            let key = format!(r"{DEPLOYMENTS}\{}", victim.deployment);
            components(image, |hive| set(hive, &key, &reference.value_name(ReferenceKind::Installed), &Data::Binary(reference.data())));
        }),
        ("a reference of an unknown update", &[K::ReferenceUnknown], |image, victim| {
            let reference = Reference::new(&id(PACKAGE), "Nothing");
            let key = format!(r"{DEPLOYMENTS}\{}", victim.deployment);
            components(image, |hive| set(hive, &key, &reference.value_name(ReferenceKind::Staged), &Data::Binary(reference.data())));
        }),
        ("a winner", &[K::WinnerMissing], |image, victim| {
            software(image, |hive| delete_key(hive, &format!(r"{WINNERS}\{}\10.0", victim.family)));
        }),
        ("a winner that is not the highest", &[K::WinnerWrong], |image, victim| {
            software(image, |hive| set(hive, &format!(r"{WINNERS}\{}\10.0", victim.family), "", &Data::Text("10.0.1.1".into())));
        }),
        ("a version that the store does not have", &[K::WinnerUnknown], |image, victim| {
            let key = format!(r"{WINNERS}\{}\10.0", victim.family);
            software(image, |hive| set(hive, &key, "10.0.1.1", &Data::Binary(vec![1])));
        }),
        ("a package manifest", &[K::PackageManifestMissing], |image, _| remove(image, &format!("{PACKAGES_FOLDER}/{PACKAGE}.mum"))),
        ("a byte of a package manifest", &[K::PackageManifestUnlisted], |image, _| {
            rewrite(image, &format!("{PACKAGES_FOLDER}/{PACKAGE}.mum"), |xml| xml.push(b'\n'));
        }),
        ("a package manifest that is none", &[K::PackageManifestDamaged], |image, _| {
            put(image, &format!("{PACKAGES_FOLDER}/{PACKAGE}.mum"), b"<assembly/>");
        }),
        ("a package manifest of nobody", &[K::PackageUnregistered], |image, _| {
            put(image, &format!("{PACKAGES_FOLDER}/Nobody~31bf3856ad364e35~amd64~~1.0.0.0.mum"), b"<assembly/>");
        }),
        ("a catalog beside the manifest", &[K::CatalogMissing], |image, _| remove(image, &format!("{PACKAGES_FOLDER}/{PACKAGE}.cat"))),
        ("a catalog in CatRoot", &[K::CatalogMissing], |image, _| remove(image, &format!("{CATALOG_ROOT}/{PACKAGE}.cat"))),
        ("a catalog of the store", &[K::CatalogMissing], |image, victim| {
            let path = format!("/Windows/WinSxS/Catalogs/{}.cat", thumbprint(image, victim));
            remove(image, &path);
        }),
        ("a catalog beside the manifest, changed", &[K::CatalogDiffers], |image, _| {
            put(image, &format!("{PACKAGES_FOLDER}/{PACKAGE}.cat"), b"changed");
        }),
        ("a catalog in CatRoot, changed", &[K::CatalogDiffers], |image, _| {
            put(image, &format!("{CATALOG_ROOT}/{PACKAGE}.cat"), b"changed")
        }),
        ("a catalog of the store that is another's", &[K::CatalogDiffers], |image, _| {
            let bytes = contents(image, &format!("{PACKAGES_FOLDER}/{PACKAGE}.cat"));
            put(image, &format!("/Windows/WinSxS/Catalogs/{}.cat", "0".repeat(64)), &bytes);
        }),
        ("the record of a catalog", &[K::CatalogUnknown], |image, victim| {
            let key = format!(r"CanonicalData\Catalogs\{}", thumbprint(image, victim));
            components(image, |hive| delete_value(hive, &key, &format!("c!{}", victim.deployment)));
        }),
        ("the index of packages", &[K::IndexIncomplete], |image, _| {
            let key = format!(r"{SERVICING}\PackageIndex\Practice-Package~31bf3856ad364e35~amd64~~0.0.0.0");
            software(image, |hive| delete_value(hive, &key, PACKAGE));
        }),
        ("the index of packages, with one that is not there", &[K::IndexUnknownPackage], |image, _| {
            let key = format!(r"{SERVICING}\PackageIndex\Nobody~31bf3856ad364e35~amd64~~0.0.0.0");
            software(image, |hive| set(hive, &key, "Nobody~31bf3856ad364e35~amd64~~1.0.0.0", &Data::Dword(0)));
        }),
        ("an owner", &[K::OwnerUnknown], |image, _| {
            let key = format!(r"{SERVICING}\Packages\{PACKAGE}\Owners");
            software(image, |hive| set(hive, &key, "Nobody~31bf3856ad364e35~amd64~~1.0.0.0", &Data::Dword(0x2_0070)));
        }),
        ("a folder", &[K::FolderOrphaned], |image, _| {
            put(image, "/Windows/WinSxS/amd64_nobody_31bf3856ad364e35_1.0.0.0_none_0123456789abcdef/a.dll", b"MZ");
        }),
        ("COMPONENTS", &[K::HiveMissing], |image, _| remove(image, HiveFile::Components.path())),
        ("COMPONENTS, damaged", &[K::HiveDamaged], |image, _| put(image, HiveFile::Components.path(), b"no hive")),
        ("what Windows noted of a component", &[K::CorruptionRecorded], |image, victim| {
            components(image, |hive| set(hive, &victim.key(), "CF", &Data::Dword(2)));
        }),
        ("what Windows noted of the store", &[K::MarkedUnserviceable], |image, _| {
            software(image, |hive| set(hive, SERVICING, "Unserviceable", &Data::Dword(1)));
        }),
        ("an operation that is not finished", &[K::OperationPending], |image, _| put(image, "/Windows/WinSxS/pending.xml", b"<a/>")),
    ];
    let image = open(store_bytes());
    let victim = Victim::of(&image);
    let mut wrong = Vec::new();
    for (what, expected, damage) in cases {
        let mut damaged = image.clone();
        damage(&mut damaged, &victim);
        let report = scan(&damaged, None);
        let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
        if kinds != *expected {
            wrong.push(format!("{what}: {:#?}", report.findings));
        }
        assert_eq!(report.is_healthy(), kinds.iter().all(|kind| kind.severity() == Severity::Note), "{what}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_index_that_leads_to_nobody_by_parents_or_components_is_worth_knowing() {
    let mut image = open(store_bytes());
    software(&mut image, |hive| {
        let parent = format!(r"{SERVICING}\PackageDetect\Practice-Package~31bf3856ad364e35~amd64~~0.0.0.0");
        set(hive, &parent, "Nobody~31bf3856ad364e35~amd64~~1.0.0.0", &Data::Dword(0));
        let component = format!(r"{SERVICING}\ComponentDetect\amd64_nobody_31bf3856ad364e35_0.0.0.0_none_0123456789abcdef");
        set(hive, &component, "Nobody-Else~31bf3856ad364e35~amd64~~1.0.0.0.An update", &Data::Text("1.0.0.0@2".into()));
    });
    let report = scan(&image, None);
    let findings: Vec<_> = report.findings.iter().map(|finding| (finding.kind, finding.detail.as_str())).collect();
    let expected =
        ["Nobody-Else~31bf3856ad364e35~amd64~~1.0.0.0 is not registered", "Nobody~31bf3856ad364e35~amd64~~1.0.0.0 is not registered"];
    assert_eq!(findings, expected.map(|detail| (FindingKind::IndexUnknownPackage, detail)));
    assert!(report.is_healthy());
}

#[test]
fn a_quick_check_asks_what_windows_noted() {
    let image = open(store_bytes());
    let victim = Victim::of(&image);
    let mut damaged = image.clone();
    remove(&mut damaged, &victim.manifest());
    assert!(report(&damaged, Level::Check, None).is_healthy());
    components(&mut damaged, |hive| {
        set(hive, &victim.key(), "CF", &Data::Dword(2));
        set(hive, "", "PendingXmlIdentifier", &Data::Binary(vec![1]));
    });
    software(&mut damaged, |hive| set(hive, &format!(r"{SERVICING}\Packages\{PACKAGE}"), "CurrentState", &Data::Dword(0x60)));
    let kinds: Vec<_> = report(&damaged, Level::Check, None).findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::CorruptionRecorded, FindingKind::OperationPending, FindingKind::OperationPending]);
}

#[test]
fn unsigned_catalogs_are_not_believed_unless_allowed() {
    let mut image = open(store_bytes());
    let trust = trust(false);
    let report = check(&mut image, &Options { level: Level::Scan, trust: &trust, dictionary: None, progress: &|_, _| {} }).unwrap();
    assert!(!report.findings.is_empty() && report.findings.len() == report.checked.catalogs, "{:?}", report.findings);
    assert!(
        report.findings.iter().all(|finding| finding.kind == FindingKind::CatalogUntrusted && finding.place.starts_with(PACKAGES_FOLDER))
    );
}

#[test]
fn compressed_payload_is_expanded() {
    let mut image = open(store_bytes());
    let victim = Victim::of(&image);
    let file = contents(&image, &victim.payload);
    let mut packed = vec![0; file.len()];
    let mut compressor = Compressor::new(Compression::Lzms, file.len().max(1 << 15), Effort::default()).unwrap();
    let length = compressor.compress(&file, &mut packed).unwrap();
    let mut stored = b"DCS\x01".to_vec();
    for number in [1, file.len(), length + 4, file.len()] {
        stored.extend((number as u32).to_le_bytes());
    }
    stored.extend(&packed[..length]);
    put(&mut image, &victim.payload, &stored);
    assert_eq!(scan(&image, None).findings, []);
    *stored.last_mut().unwrap() ^= 0x80;
    stored.truncate(stored.len() - 1);
    put(&mut image, &victim.payload, &stored);
    let kinds: Vec<_> = scan(&image, None).findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::PayloadDamaged]);
}

/// Damage to the image file itself stops nothing: the damaged files are named, all others are checked.
#[test]
fn a_damaged_image_file_is_told_file_by_file() {
    let mut bytes = store_bytes();
    let image = open(bytes.clone());
    let victim = Victim::of(&image);
    let wim = Wim::open(Arc::new(bytes.clone())).unwrap();
    let blob = |path: &str| image.tree.at(path).unwrap().inode().contents.unwrap();
    for path in [victim.payload.clone(), victim.manifest()] {
        let resource = wim.blob(&blob(&path)).unwrap().resource;
        let last = (resource.offset + resource.stored_size - 1) as usize;
        bytes[last] ^= 0xff;
    }
    let found = scan(&open(bytes), None).findings;
    let kinds: Vec<_> = found.iter().map(|finding| (finding.kind, finding.place.as_str())).collect();
    // The file's component cannot be known without its manifest.
    assert_eq!(kinds, [(FindingKind::Unreadable, victim.manifest().as_str())]);
}

#[test]
fn features_are_listed_with_or_without_record() {
    let image = open(store_bytes());
    let listed = |image: &Image| {
        let listing = Listing::read(&Store::read(&mut fresh(image), None).unwrap()).unwrap();
        let features = listing.features.iter().map(|feature| format!("{}: {}", feature.name, feature.state.feature_words()));
        features.collect::<Vec<_>>()
    };
    let expected = ["Practice-Off: Disabled", "Practice-On: Enabled"];
    assert_eq!(listed(&image), expected);
    // Without the values, the deployments tell.
    let mut without = image.clone();
    software(&mut without, |hive| delete_key(hive, &format!(r"{SERVICING}\Packages\{PACKAGE}\Updates")));
    assert_eq!(listed(&without), expected);
    // Of packages that are not in the store, nothing is offered.
    let mut absent = without.clone();
    software(&mut absent, |hive| set(hive, &format!(r"{SERVICING}\Packages\{PACKAGE}"), "CurrentState", &Data::Dword(0)));
    assert_eq!(listed(&absent), [""; 0]);
}

//! Judges a component store by the rules that CheckHealth and ScanHealth of Windows go by, as far as they are public. It shares the
//! naming rules and readers of the format crate with what it judges, but no code of servicing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wimwright_format::catalog::Catalog;
use wimwright_format::manifest::macros::Directories;
use wimwright_format::manifest::store_name::payload_value_name;
use wimwright_format::manifest::{Component, Identity, Package, PackageId, Version};
use wimwright_format::regf::{Hive, KeyId};
use wimwright_format::wim::Wim;
use wimwright_image::registry::HiveFile;
use wimwright_image::{Blobs, Image, ImageFile};

pub const SERVICING: &str = r"Microsoft\Windows\CurrentVersion\Component Based Servicing";
const WINNERS: &str = r"Microsoft\Windows\CurrentVersion\SideBySide\Winners";
const CATALOG_ROOT: &str = "/Windows/System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}";

/// What a store has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub packages: usize,
    pub deployments: usize,
    pub components: usize,
    pub files: usize,
    pub winners: usize,
}

/// Opens the only image of a WIM.
pub fn open(wim: Vec<u8>) -> Image {
    let file = ImageFile::new(vec![Arc::new(Wim::open(Arc::new(wim)).unwrap())]).unwrap();
    Image::open(&file, 1, &Blobs::default()).unwrap()
}

fn subkeys(hive: &Hive, path: &str) -> Vec<(String, KeyId)> {
    let key = hive.open(path).unwrap().unwrap_or_else(|| panic!("no key {path}"));
    hive.subkeys(key).unwrap().into_iter().map(|key| (hive.name(key).unwrap(), key)).collect()
}

fn values(hive: &Hive, key: KeyId) -> BTreeMap<String, Vec<u8>> {
    hive.values(key).unwrap().iter().map(|value| (value.name(), value.data().unwrap().into_owned())).collect()
}

fn text(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).take_while(|unit| *unit != 0).collect();
    String::from_utf16(&units).unwrap()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What `PackageDetect` and `ComponentDetect` are to hold for a package: key and value, data.
fn expected_index(package: &Package) -> Vec<((String, String), String)> {
    let id = package.id();
    let mut parents: Vec<_> = package.parents.iter().collect();
    let mut expected = Vec::new();
    while let Some(parent) = parents.pop() {
        parents.extend(&parent.parents);
        for identity in &parent.identities {
            let key = format!(r"PackageDetect\{}", PackageId::from(identity).with_version(Version::ZERO));
            expected.push(((key, id.to_string()), "[0, 0, 0, 0]".to_owned()));
        }
    }
    for update in &package.updates {
        for elevation in update.applicable.iter().flat_map(|applicable| &applicable.components) {
            let [identity] = &elevation.identities[..] else { continue };
            let key = format!(r"ComponentDetect\{}", Identity { version: Version::ZERO, ..identity.clone() }.keyform());
            let number = match elevation.elevate.as_deref() {
                Some("revision") => 2,
                Some("distribution") => 4,
                Some("serviceLevel") => 8,
                Some("install") => 16,
                other => panic!("{other:?}"),
            };
            expected.push(((key, format!("{id}.{}", update.name)), format!("{}@{number}", identity.version)));
        }
    }
    expected
}

/// Panics at the first thing that is wrong with the store of an image for this architecture.
pub fn check(image: &mut Image, image_architecture: &str) -> Counts {
    check_decoded(image, image_architecture, &|manifest| manifest.to_vec())
}

/// The same for a store with compressed manifests, which `decode` decodes.
pub fn check_decoded(image: &mut Image, image_architecture: &str, decode: &dyn Fn(&[u8]) -> Vec<u8>) -> Counts {
    let software = image.hive(HiveFile::Software).unwrap().unwrap();
    let components = image.hive(HiveFile::Components).unwrap().unwrap();
    let mut counts = Counts::default();

    // Winners: by family, the winning version.
    let mut winners = BTreeMap::new();
    for (family, key) in subkeys(&software, WINNERS) {
        let bucket = text(&values(&software, key)[""]);
        let bucket_key = software.subkey(key, &bucket).unwrap().unwrap();
        let mut versions = values(&software, bucket_key);
        let winner: Version = text(&versions.remove("").unwrap()).parse().unwrap();
        assert!(versions.values().all(|data| data == &[1]), "{family}");
        assert_eq!(versions.keys().map(|version| version.parse::<Version>().unwrap()).max(), Some(winner), "{family}");
        winners.insert(family, winner);
    }
    counts.winners = winners.len();

    // Packages: manifest, catalog in three places. Then what catalogs list.
    let mut catalogs: BTreeMap<String, Catalog> = BTreeMap::new();
    let mut indexed = BTreeMap::new();
    for (name, _) in subkeys(&software, &format!(r"{SERVICING}\Packages")) {
        let id: PackageId = name.parse().unwrap();
        let manifest = image.read(&format!("/Windows/servicing/Packages/{name}.mum")).unwrap();
        let package = Package::parse(&manifest).unwrap();
        assert_eq!(package.id(), id);
        indexed.extend(expected_index(&package));
        let catalog = image.read(&format!("/Windows/servicing/Packages/{name}.cat")).unwrap();
        assert_eq!(image.read(&format!("{CATALOG_ROOT}/{name}.cat")).unwrap(), catalog);
        let thumbprint = hexadecimal(&Sha256::digest(&catalog));
        assert_eq!(image.read(&format!("/Windows/WinSxS/Catalogs/{thumbprint}.cat")).unwrap(), catalog);
        let catalog = Catalog::parse(&catalog).unwrap();
        assert!(catalog.lists(&manifest).is_some(), "{name}");
        catalogs.insert(thumbprint, catalog);
        let index = format!(r"{SERVICING}\PackageIndex\{}", id.with_version(Version::ZERO));
        let index = software.open(&index).unwrap().unwrap();
        assert!(software.value(index, &name).unwrap().is_some());
        counts.packages += 1;
    }

    // What leads to packages by their parents and by the components that they lift: nothing else, and nothing is missing.
    let found: BTreeMap<(String, String), String> = ["PackageDetect", "ComponentDetect"]
        .into_iter()
        .flat_map(|index| subkeys(&software, &format!(r"{SERVICING}\{index}")).into_iter().map(move |(name, key)| (index, name, key)))
        .flat_map(|(index, name, key)| {
            let text = move |data: &[u8]| if index == "PackageDetect" { format!("{data:?}") } else { text(data) };
            values(&software, key).into_iter().map(move |(value, data)| ((format!(r"{index}\{name}"), value), text(&data)))
        })
        .collect();
    assert_eq!(found, indexed);

    // Deployments: each has its component; the closure refers back.
    let mut deployments = BTreeMap::new();
    for (name, key) in subkeys(&components, r"CanonicalData\Deployments") {
        let values = values(&components, key);
        let identity = Identity::from_component_string(std::str::from_utf8(&values["appid"]).unwrap()).unwrap();
        assert_eq!(identity.deployment_key(), name);
        let thumbprint = text(&values["CatalogThumbprint"]);
        assert!(catalogs.contains_key(&thumbprint), "{name}");
        let catalog = components.open(&format!(r"CanonicalData\Catalogs\{thumbprint}")).unwrap().unwrap();
        assert!(components.value(catalog, &format!("c!{name}")).unwrap().is_some(), "{name}");
        assert!(values.keys().any(|value| value.starts_with("p!CBS_")), "{name}");
        let installed = values.keys().any(|value| value.starts_with("i!CBS_"));
        deployments.insert(name, (identity, thumbprint, installed));
    }
    counts.deployments = deployments.len();
    for (name, _) in subkeys(&components, r"CanonicalData\Catalogs") {
        assert!(catalogs.contains_key(&name), "{name}");
    }

    let keys: BTreeMap<String, KeyId> = subkeys(&components, r"DerivedData\Components").into_iter().collect();
    let manifests = image.tree.at("/Windows/WinSxS/Manifests").unwrap();
    let manifests: BTreeSet<String> = manifests.children().map(|entry| entry.name().trim_end_matches(".manifest").to_owned()).collect();
    assert_eq!(manifests, keys.keys().cloned().collect());
    for (name, key) in &keys {
        let values = values(&components, *key);
        let flags = values.get("CF").map_or(0, |data| data[0]);
        let manifest = decode(&image.read(&format!("/Windows/WinSxS/Manifests/{name}.manifest")).unwrap());
        assert_eq!(values["S256H"], Sha256::digest(&manifest).as_slice(), "{name}");
        let component = Component::parse(&manifest).unwrap();
        assert_eq!(&component.identity.keyform(), name);
        assert_eq!(values["identity"], component.identity.component_string().into_bytes(), "{name}");
        assert_eq!(component.is_deployment, flags & 4 != 0, "{name}");
        let of: Vec<_> = values.keys().filter_map(|value| value.strip_prefix("c!")).collect();
        assert!(!of.is_empty(), "{name}");
        let mut installed = false;
        for deployment in &of {
            let (_, thumbprint, is_installed) = &deployments[*deployment];
            assert!(catalogs[thumbprint].lists(&manifest).is_some(), "{name}");
            installed |= is_installed;
        }
        let winner = winners.get(&component.identity.family_key());
        assert!(!installed || winner.is_some(), "{name}");
        if component.is_deployment {
            // One that only other deployments need is their component, and has no key of its own.
            let own = component.identity.deployment_key();
            assert!(of.contains(&own.as_str()) || !deployments.contains_key(&own), "{name}");
            for identity in component.install_dependencies() {
                let key = keys.get(&identity.keyform()).unwrap_or_else(|| panic!("{name} needs {}", identity.keyform()));
                for deployment in &of {
                    assert!(components.value(*key, &format!("c!{deployment}")).unwrap().is_some(), "{name}");
                }
            }
        }
        let architecture = component.identity.architecture.as_deref().unwrap();
        let directories = Directories::of(architecture, image_architecture).unwrap();
        assert_eq!(values.keys().filter(|value| value.starts_with("f!")).count(), component.files.len(), "{name}");
        for file in &component.files {
            let payload = file.payload_name();
            let beside = |folder: &str| format!("/Windows/WinSxS/{name}/{folder}{}", payload.replace('\\', "/"));
            let path = beside("");
            // 0x40: with differentials from the base and back.
            let both_ways = ["f/", "r/"].iter().all(|folder| image.tree.at(&beside(folder)).is_some());
            assert_eq!(values[&payload_value_name(payload)], [if both_ways { 0x41 } else { 1 }, 0, 0, 0], "{name}");
            if flags & 0x40 != 0 {
                assert!(image.tree.at(&path).is_none());
                continue;
            }
            let stored = image.tree.at(&path).unwrap_or_else(|| panic!("no file {path}"));
            let bytes = image.contents(stored).unwrap();
            assert!(file.hash.as_ref().unwrap().matches(&bytes), "{path}");
            let destination = component.with_macros(directories, &|_| None, |macros| file.destination(macros)).unwrap();
            if let Some(destination) = destination {
                let destination = destination.replace('\\', "/");
                let projected = image.tree.at(&destination).and_then(|entry| entry.file_id());
                assert_eq!(projected == stored.file_id(), installed && winner == Some(&component.identity.version), "{destination}");
            }
            counts.files += 1;
        }
    }
    counts.components = keys.len();
    counts
}

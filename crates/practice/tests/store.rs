//! Component stores of practice images: of the medium, and made to measure for the real packages of the test data.

mod consistency;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};

use wimwright_format::cab::Cabinet;
use wimwright_format::manifest::{Identity, Package, PackageId, Version};
use wimwright_format::msu::Update;
use wimwright_format::regf::Data;
use wimwright_image::medium::Medium;
use wimwright_image::registry::HiveFile;
use wimwright_image::{Blobs, Image};
use wimwright_practice::store::{ComponentSpec, PackageSpec, State, StoreSpec, elevated_by, parents_of, write};
use wimwright_practice::{Options, write_medium};

use consistency::{Counts, check, open};

#[test]
fn every_image_of_the_medium_is_consistent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("practice.iso");
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    write_medium(&Options::default(), &file).unwrap();
    let medium = Medium::open(&path).unwrap();
    for (name, count) in [("install", 3), ("boot", 2)] {
        let images = medium.open_images(medium.image_file(name).unwrap()).unwrap();
        for index in 1..=count {
            let mut image = Image::open(&images, index, &Blobs::default()).unwrap();
            let counts = check(&mut image, "amd64");
            assert!(counts.packages >= 5 && counts.files >= 12 && counts.components <= 400, "{name} {index}: {counts:?}");
            let software = image.hive(HiveFile::Software).unwrap().unwrap();
            let revision = wimwright_image::registry::value(&software, r"Microsoft\Windows NT\CurrentVersion", "UBR").unwrap();
            assert_eq!(revision, Some(Data::Dword(1742)));
        }
    }
}

fn id(text: &str) -> PackageId {
    text.parse().unwrap()
}

#[test]
fn a_store_has_what_its_specification_says() {
    let component = |version| {
        ComponentSpec::of_identity(Identity {
            name: "Practice-Component".into(),
            version,
            architecture: Some("wow64".into()),
            public_key_token: Some("31bf3856ad364e35".into()),
            version_scope: Some("nonSxS".into()),
            ..Identity::default()
        })
    };
    let spec = StoreSpec {
        architecture: "amd64".into(),
        version: Version([10, 0, 20348, 1]),
        packages: vec![
            PackageSpec {
                id: id("Microsoft-Windows-Server-Features-Package~31bf3856ad364e35~amd64~~10.0.20348.1"),
                state: State::Installed,
                features: vec![("WebServer".into(), State::Staged), ("Telnet".into(), State::Installed), ("NetFx3".into(), State::Removed)],
            },
            PackageSpec { id: id("Staged-Package~31bf3856ad364e35~amd64~de-DE~1.0.0.0"), state: State::Staged, features: Vec::new() },
        ],
        components: vec![component(Version([10, 0, 20348, 1])), component(Version([10, 0, 20348, 2]))],
        filler: 700,
    };
    let wim = write(&spec).unwrap();
    assert!(wim == write(&spec).unwrap());
    let mut image = open(wim);
    let counts = check(&mut image, "amd64");
    // Packages: two, stack, cumulative update and what is in it, components, filler. Three deployments with a component each are not
    // installed; of two versions of a component one wins.
    assert_eq!(counts, Counts { packages: 7, deployments: 10, components: 10 + 5 + 2 + 2 + 700, files: 5, winners: 712 });
    let software = image.hive(HiveFile::Software).unwrap().unwrap();
    let key = software.open(&format!(r"{}\Packages\{}\Updates", consistency::SERVICING, spec.packages[0].id)).unwrap().unwrap();
    let states: Vec<_> = software.values(key).unwrap().iter().map(|value| (value.name(), value.data().unwrap()[0])).collect();
    assert_eq!(states, [("WebServer".to_owned(), 0x40), ("Telnet".to_owned(), 0x70), ("NetFx3".to_owned(), 0)]);
}

/// The package manifests of a real update.
fn package_manifests(path: &Path) -> Vec<Package> {
    let update = Update::open(Arc::new(std::fs::read(path).unwrap())).unwrap();
    let manifests = Mutex::new(BTreeMap::new());
    for package in &update.packages {
        let keep = |name: &str, bytes: &[u8]| {
            manifests.lock().unwrap().insert(name.to_owned(), Package::parse(bytes)?);
            Ok(())
        };
        package.make(&|name| name.to_ascii_lowercase().ends_with(".mum"), &keep).unwrap();
    }
    manifests.into_inner().unwrap().into_values().collect()
}

/// A store for each real package, with the parents that it needs and the components that it replaces.
#[test]
fn real_packages_find_their_parents() {
    for (path, architecture, version, parents, elevated) in [
        ("OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab", "amd64", [10, 0, 20348, 1], 3, 0),
        ("OpenSSH-19041/OpenSSH-Client-Package~31bf3856ad364e35~amd64~~.cab", "amd64", [10, 0, 19041, 1], 3, 0),
        ("OpenSSH-19041/OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab", "amd64", [10, 0, 19041, 1], 3, 0),
        ("microsoft-windows-internetexplorer-optional-package~31bf3856ad364e35~amd64~~.cab", "amd64", [10, 0, 19041, 1], 3, 0),
        ("KB2999226/Windows6.1-x64/Windows6.1-KB2999226-x64.cab", "amd64", [6, 1, 7601, 17514], 2, 4),
        ("KB2999226/Windows8.1-x64/Windows8.1-KB2999226-x64.cab", "amd64", [6, 3, 9600, 16384], 2, 4),
        ("Windows8.1-KB2937592-x86.msu", "x86", [6, 3, 9600, 16384], 49, 48),
        ("Windows6.1-KB2465285-x64.msu", "amd64", [6, 1, 7601, 17514], 3, 2),
        ("Windows6.1-KB2584475-x86.msu", "x86", [6, 1, 7601, 17514], 4, 4),
        ("Windows6.1-KB2780124-x64.msu", "amd64", [6, 1, 7601, 17514], 5, 3),
        ("Windows6.1-KB3040017-x86.msu", "x86", [6, 1, 7601, 17514], 2, 1),
    ] {
        let Some(file) = wimwright_testkit::test_data(&format!("msu_cab/{path}")) else { return };
        let manifests = package_manifests(&file);
        let own: Vec<PackageId> = manifests.iter().map(Package::id).collect();
        let mut packages: Vec<PackageId> = manifests.iter().flat_map(parents_of).filter(|id| !own.contains(id)).collect();
        packages.sort();
        packages.dedup();
        let mut components: Vec<Identity> = manifests.iter().flat_map(elevated_by).collect();
        components.sort_by_cached_key(Identity::keyform);
        components.dedup();
        let spec = StoreSpec {
            architecture: architecture.into(),
            version: Version(version),
            packages: packages.into_iter().map(PackageSpec::installed).collect(),
            components: components.into_iter().map(ComponentSpec::of_identity).collect(),
            filler: 0,
        };
        assert_eq!((spec.packages.len(), spec.components.len()), (parents, elevated), "{path}");
        check(&mut open(write(&spec).unwrap()), architecture);
    }
}

/// Real components with their files are a consistent store too, here with manifests decoded.
#[test]
fn real_components_are_put_in_their_places() {
    let Some(file) = wimwright_testkit::test_data("msu_cab/OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab") else { return };
    let Some(dictionary) = wimwright_testkit::test_data("manifests/msdelta/base_manifest.bin") else { return };
    let dictionary = std::fs::read(dictionary).unwrap();
    let cabinet = Cabinet::open(Arc::new(std::fs::read(file).unwrap())).unwrap();
    let members: BTreeMap<&str, usize> = cabinet.members().iter().zip(0..).map(|(member, index)| (member.name.as_str(), index)).collect();
    let mut components = Vec::new();
    for (name, index) in &members {
        let Some(key_form) = name.strip_suffix(".manifest") else { continue };
        let stored = cabinet.read_member(*index).unwrap();
        let Some(delta) = stored.strip_prefix(b"DCM\x01") else { continue };
        let folder = format!(r"{key_form}\");
        let payload = members.iter().filter_map(|(name, index)| {
            let name = name.strip_prefix(&folder)?;
            Some((name.to_owned(), cabinet.read_member(*index).unwrap()))
        });
        let manifest = wimwright_codec::delta::apply(&dictionary, delta, 1 << 20).unwrap();
        components.push(ComponentSpec { manifest, stored_manifest: None, payload: payload.collect() });
    }
    assert_eq!(components.len(), 3);
    let spec = StoreSpec { architecture: "amd64".into(), version: Version([10, 0, 20348, 1]), components, ..StoreSpec::default() };
    let mut image = open(write(&spec).unwrap());
    let counts = check(&mut image, "amd64");
    assert_eq!((counts.components, counts.files), (3 + 1 + 2 + 2, 10 + 1));
    for path in ["/Windows/System32/OpenSSH/sshd.exe", "/Windows/System32/libcrypto.dll"] {
        assert!(image.tree.at(path).is_some(), "{path}");
    }
}

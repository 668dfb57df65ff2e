//! Practice packages are what they claim to be.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use wimwright_format::catalog::Catalog;
use wimwright_format::file_hashes::{FILE_NAME, parse_file_hashes};
use wimwright_format::manifest::package::{PackageClass, Payload, classify};
use wimwright_format::manifest::{Component, Package, PackageId};
use wimwright_format::msu::{Generation, Layout, Update};
use wimwright_practice::updates::{CAPABILITY, UpdateOptions, files};

type Members = BTreeMap<String, Vec<u8>>;

/// The one package of an update.
fn members(bytes: &[u8]) -> (Update, Members) {
    let update = Update::open(Arc::new(bytes.to_vec())).unwrap();
    let [package] = update.packages.as_slice() else { panic!("one package") };
    assert_eq!(package.layout, Layout::Expanded);
    let members = Mutex::new(Members::new());
    package
        .visit(&|_| true, &mut |name, reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            members.lock().unwrap().insert(name.to_owned(), bytes);
            Ok(())
        })
        .unwrap();
    (update, members.into_inner().unwrap())
}

/// Everything in a package has the name and the hash that it should, and nothing is missing or too much.
fn check(members: &Members) -> Package {
    let mut left: Vec<&str> = members.keys().map(String::as_str).filter(|name| *name != FILE_NAME).collect();
    let hashes = parse_file_hashes(&members[FILE_NAME]).unwrap();
    assert_eq!(hashes.len(), left.len());
    hashes.iter().for_each(|hash| hash.verify(&members[&hash.name]).unwrap());
    let root = Package::parse(&members["update.mum"]).unwrap();
    assert_eq!(members["update.mum"], members[&format!("{}.mum", root.id())]);
    assert_eq!(members["update.cat"], members[&format!("{}.cat", root.id())]);
    left.retain(|name| !name.starts_with("update."));
    let mut packages = vec![root.clone()];
    let mut take = |name: &str| left.retain(|left| *left != name);
    while let Some(package) = packages.pop() {
        let (manifest, catalog) = (format!("{}.mum", package.id()), format!("{}.cat", package.id()));
        let listed = Catalog::parse(&members[&catalog]).unwrap();
        assert!(listed.lists(&members[&manifest]).is_some());
        take(&manifest);
        take(&catalog);
        let mut assemblies = Vec::new();
        for update in &package.updates {
            match &update.payload[0] {
                Payload::Component(identity) => assemblies.push(identity.clone()),
                Payload::Package { identity, .. } => {
                    let name = format!("{}.mum", PackageId::from(identity));
                    packages.push(Package::parse(&members[&name]).unwrap());
                }
                other => panic!("unexpected: {other:?}"),
            }
        }
        while let Some(identity) = assemblies.pop() {
            let key_form = identity.keyform();
            let manifest = format!("{key_form}.manifest");
            assert!(listed.lists(&members[&manifest]).is_some(), "{manifest}");
            let component = Component::parse(&members[&manifest]).unwrap();
            assert_eq!(component.identity.keyform(), key_form);
            take(&manifest);
            assemblies.extend(component.install_dependencies().cloned());
            for file in &component.files {
                let name = format!(r"{key_form}\{}", file.payload_name());
                assert!(file.hash.as_ref().unwrap().matches(&members[&name]), "{name}");
                take(&name);
            }
        }
    }
    assert!(left.is_empty(), "{left:?}");
    root
}

#[test]
fn packages_are_what_they_claim_to_be() {
    let options = UpdateOptions { files: 130, ..UpdateOptions::default() };
    let files = files(&options).unwrap();
    assert_eq!(files, wimwright_practice::updates::files(&options).unwrap());
    let mut found = Vec::new();
    for file in &files {
        let (update, members) = members(&file.bytes);
        let root = check(&members);
        let expected = if file.path.ends_with(".msu") { Generation::Classic } else { Generation::Package };
        assert_eq!(update.generation, expected, "{}", file.path);
        if expected == Generation::Classic {
            assert_eq!(update.requests[0].identity.name, root.identity.name);
            assert_eq!(update.properties.unwrap().get("Installer Engine"), Some("Component Based Servicing - WUSA.exe"));
        }
        found.push((file.path.as_str(), root.id().to_string(), classify(Some(&root), members.keys().map(String::as_str)), members.len()));
        if let [declaration] = root.capabilities.as_slice() {
            assert_eq!(root.capability_name(&declaration.capabilities[0]), CAPABILITY);
        }
    }
    let expected = [
        ("Windows11.0-KB5004061-x64.msu", "Package_for_RollupFix~31bf3856ad364e35~amd64~~26100.4061.1.10", PackageClass::Cumulative, 268),
        (
            "SSU-26100.4061-x64.cab",
            "Package_for_ServicingStack_4061~31bf3856ad364e35~amd64~~26100.4061.1.1",
            PackageClass::ServicingStack,
            8,
        ),
        (
            "Practice-Tools-Package~31bf3856ad364e35~amd64~~.cab",
            "Practice-Tools-Package~31bf3856ad364e35~amd64~~10.0.26100.1",
            PackageClass::FeatureOnDemand,
            13,
        ),
        (
            "Practice-Tools-Package~31bf3856ad364e35~amd64~en-US~.cab",
            "Practice-Tools-Package~31bf3856ad364e35~amd64~en-US~10.0.26100.1",
            PackageClass::FeatureOnDemand,
            8,
        ),
    ];
    assert_eq!(found, expected.map(|(path, id, class, members)| (path, id.to_owned(), class, members)));
}

#[test]
fn oracle_cabextract_reads_the_packages() {
    if !wimwright_testkit::oracles(&["cabextract"]) {
        return;
    }
    for file in files(&UpdateOptions::default()).unwrap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(&file.path);
        std::fs::write(&path, &file.bytes).unwrap();
        wimwright_testkit::run(Command::new("cabextract").arg("-q").arg("-d").arg(folder.path()).arg(&path));
        if file.path.ends_with(".msu") {
            let inner = path.with_extension("cab");
            wimwright_testkit::run(Command::new("cabextract").arg("-q").arg("-d").arg(folder.path()).arg(inner));
        }
        assert!(folder.path().join("update.mum").is_file(), "{}", file.path);
    }
}

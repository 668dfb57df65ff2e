//! Stores with a great many of one thing: what takes time in proportion is done in a moment, what takes its square never ends.

use wimwright_format::regf::{Data, Hive};
use wimwright_image::registry::{self, HiveFile};
use wimwright_servicing::cbs::store::{COMPONENTS, DEPLOYMENTS, PACKAGES_FOLDER, SERVICING, WINNERS};

use super::*;
use crate::packages::generated::assembly;
use crate::windows::{path_of, put, set, with_hive};

/// Sets values of one key, which is looked up once.
fn set_many(hive: &mut Hive, path: &str, values: impl Iterator<Item = (String, Data)>) {
    let key = hive.create_path(path, 1).unwrap();
    values.for_each(|(name, data)| hive.set_data(key, &name, &data, 1).unwrap());
}

fn id(number: usize) -> String {
    format!("Many-{number:05}~31bf3856ad364e35~amd64~~10.0.26100.1")
}

/// Registers packages: state, owner.
fn register(hive: &mut Hive, count: usize, state: u32, owner: impl Fn(usize) -> Option<usize>) {
    let root = hive.create_path(&format!("{SERVICING}\\Packages"), 1).unwrap();
    for number in 0..count {
        let key = hive.create_key(root, &id(number), 1).unwrap();
        hive.set_data(key, "CurrentState", &Data::Dword(state), 1).unwrap();
        let owners = hive.create_key(key, "Owners", 1).unwrap();
        hive.set_data(owners, &id(owner(number).unwrap_or(number)), &Data::Dword(0x2_0070), 1).unwrap();
    }
}

/// The same bytes under many names.
fn many_names(image: &mut Image, folder: &str, names: impl Iterator<Item = String>, bytes: &[u8]) {
    put(image, &format!("{folder}/first"), bytes);
    let inode = image.tree.at(&format!("{folder}/first")).unwrap().inode().clone();
    names.for_each(|name| image.tree.put_file(&path_of(&format!("{folder}/{name}")), inode.clone()).unwrap());
    image.tree.remove(&path_of(&format!("{folder}/first"))).unwrap();
}

/// A package manifest with so many features.
fn manifest(number: usize, features: usize) -> Vec<u8> {
    let own = wimwright_format::manifest::Identity {
        version_scope: None,
        ..crate::packages::generated::identity(&format!("Many-{number:05}"), VERSION)
    };
    let update = |number| format!("<update name=\"Feature{number}\"><selectable disposition=\"staged\"/></update>");
    assembly(&own, &format!("<package identifier=\"x\">{}</package>", (0..features).map(update).collect::<String>()))
}

/// Each owned by the next, all superseded: looking for what goes with the first must not look at all for each.
#[test]
fn owners_in_a_long_chain() {
    const COUNT: usize = 2000;
    let mut image = sound();
    with_hive(&mut image, HiveFile::Software, |hive| register(hive, COUNT, 0x50, |number| (number + 1 < COUNT).then_some(number + 1)));
    for number in 0..COUNT {
        put(&mut image, &format!("{PACKAGES_FOLDER}/{}.mum", id(number)), &manifest(number, 0));
    }
    insta::assert_snapshot!(survive(&image));
}

/// One large manifest for 4,000 packages: it is that of one.
#[test]
fn one_package_manifest_under_many_names() {
    let mut image = sound();
    with_hive(&mut image, HiveFile::Software, |hive| register(hive, 4000, 0x70, |_| None));
    many_names(&mut image, PACKAGES_FOLDER, (0..4000).map(|number| format!("{}.mum", id(number))), &manifest(7, 10_000));
    insta::assert_snapshot!(survive(&image));
}

/// One component manifest under 4,000 names, of which each is a component.
#[test]
fn one_component_manifest_under_many_names() {
    let mut image = sound();
    let names = || (0..4000).map(|number| format!("amd64_many_31bf3856ad364e35_10.0.26100.1_none_{number:016x}"));
    let directory = |number| format!("<directory destinationPath=\"$(runtime.system32)\\{number}\"/>");
    let inner = format!("<directories>{}</directories>", (0..5000).map(directory).collect::<String>());
    let bytes = assembly(&crate::packages::generated::identity("Many", VERSION), &inner);
    with_hive(&mut image, HiveFile::Components, |hive| {
        let root = hive.open(COMPONENTS).unwrap().unwrap();
        for name in names() {
            let key = hive.create_key(root, &name, 1).unwrap();
            hive.set_data(key, "identity", &Data::Binary(b"x".to_vec()), 1).unwrap();
        }
    });
    // As many families that could be of that name.
    with_hive(&mut image, HiveFile::Software, |hive| {
        for number in 0..4000 {
            set(hive, &format!("{WINNERS}\\amd64_many_31bf3856ad364e35_none_{number:016x}\\10.0"), "10.0.26100.1", &Data::Binary(vec![1]));
        }
    });
    many_names(&mut image, "/Windows/WinSxS/Manifests", names().map(|name| format!("{name}.manifest")), &bytes);
    insta::assert_snapshot!(survive(&image));
}

/// Features by the ten thousand, of one package and of the registry.
#[test]
fn many_features() {
    let mut image = sound();
    with_hive(&mut image, HiveFile::Software, |hive| {
        register(hive, 1, 0x70, |_| None);
        let values = (0..20_000).map(|number| (format!("Feature{number}"), Data::Dword(0x70)));
        set_many(hive, &format!("{SERVICING}\\Packages\\{}\\Updates", id(0)), values);
    });
    put(&mut image, &format!("{PACKAGES_FOLDER}/{}.mum", id(0)), &manifest(0, 40_000));
    insta::assert_snapshot!(survive(&image));
}

/// Deployments in the wrong order, so that none is found where it is looked for first.
#[test]
fn keys_out_of_order() {
    let mut image = sound();
    with_hive(&mut image, HiveFile::Components, |hive| {
        let root = hive.open(DEPLOYMENTS).unwrap().unwrap();
        for number in 0..20_000 {
            hive.create_key(root, &format!("aaaa{number:05}"), 1).unwrap();
        }
    });
    let mut bytes = image.read(HiveFile::Components.path()).unwrap().to_vec();
    // Ascending names become descending ones.
    for position in 0..bytes.len() - 9 {
        if bytes[position..].starts_with(b"aaaa") && bytes[position + 4..position + 9].iter().all(u8::is_ascii_digit) {
            bytes[position + 4..position + 9].iter_mut().for_each(|digit| *digit = b'0' + b'9' - *digit);
        }
    }
    put(&mut image, HiveFile::Components.path(), &bytes);
    let hive = fresh(&image).hive(HiveFile::Components).unwrap().unwrap();
    let names = registry::subkey_names(&hive, DEPLOYMENTS).unwrap();
    assert!(names.iter().any(|name| name == "aaaa99999"));
    insta::assert_snapshot!(survive(&image));
}

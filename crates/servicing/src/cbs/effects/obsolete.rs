//! What an older version of a component made and a newer does not make again.

use std::collections::HashSet;

use wimwright_image::registry::{HiveFile, RegistryPath};

use super::{Effects, Operation, RegistryEffect, ValueEffect};

/// What is to go when one component replaces another, or nothing replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Obsolete {
    /// Names of files, paths in the image: projected payload and other files.
    pub names: Vec<String>,
    /// Directories, the deepest first: to be deleted when they are empty.
    pub directories: Vec<String>,
    /// Values, and entries of lists.
    pub values: Vec<ObsoleteValue>,
    /// Keys, the deepest first: to be deleted when they hold neither values nor subkeys.
    pub keys: Vec<RegistryPath>,
}

/// A value that is to go. By its operation: the whole value, or the entries of its data from a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObsoleteValue {
    /// Its key.
    pub path: RegistryPath,
    /// The value as it was made.
    pub value: ValueEffect,
}

/// Names are compared as Windows compares them: without regard to case.
fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).collect()
}

fn names(effects: &Effects) -> impl Iterator<Item = &String> {
    let new_files = effects.new_files.iter().map(|file| &file.path);
    effects.files.iter().flat_map(|file| &file.names).chain(new_files)
}

fn key_of(path: &RegistryPath) -> (HiveFile, String) {
    (path.hive, folded(&path.key))
}

/// What makes a value the same: its place; for lists also what is added to them.
fn value_of(key: &RegistryEffect, value: &ValueEffect) -> (HiveFile, String, String, Option<Vec<u8>>) {
    let (hive, path) = key_of(&key.path);
    let entries = (value.operation != Operation::Set).then(|| value.data.clone());
    (hive, path, folded(&value.name), entries)
}

/// What `old` made and `new` does not, as far as it belongs to the component: owned directories, keys and values. Mutable values
/// may have been changed on purpose: they stay as long as `new` makes their key. For a removal `new` is empty.
///
/// Another component may have made the same: whoever deletes has to look at the effects of all components that stay.
#[must_use]
pub fn obsolete(old: &Effects, new: &Effects) -> Obsolete {
    let mut kept: HashSet<String> = names(new).map(|name| folded(name)).collect();
    let names = names(old).filter(|name| kept.insert(folded(name))).cloned().collect();

    let mut kept: HashSet<String> = new.directories.iter().map(|directory| folded(&directory.path)).collect();
    let owned = old.directories.iter().filter(|directory| directory.owner);
    let mut directories: Vec<String> =
        owned.filter(|directory| kept.insert(folded(&directory.path))).map(|directory| directory.path.clone()).collect();
    directories.sort_by_key(|path| std::cmp::Reverse(path.split('\\').count()));

    let mut kept: HashSet<_> = new.registry.iter().flat_map(|key| key.values.iter().map(|value| value_of(key, value))).collect();
    let kept_keys: HashSet<_> = new.registry.iter().map(|key| key_of(&key.path)).collect();
    let mut values = Vec::new();
    for key in &old.registry {
        let key_stays = kept_keys.contains(&key_of(&key.path));
        for value in key.values.iter().filter(|value| value.owner) {
            if !(value.mutable && key_stays) && kept.insert(value_of(key, value)) {
                values.push(ObsoleteValue { path: key.path.clone(), value: value.clone() });
            }
        }
    }

    let mut kept = kept_keys;
    let owned = old.registry.iter().filter(|key| key.owner);
    let mut keys: Vec<RegistryPath> = owned.filter(|key| kept.insert(key_of(&key.path))).map(|key| key.path.clone()).collect();
    keys.sort_by_key(|path| std::cmp::Reverse(path.key.split('\\').count()));
    Obsolete { names, directories, values, keys }
}

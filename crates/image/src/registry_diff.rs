//! What differs between the registries of two images: keys, values, and who may use them.

use std::collections::BTreeMap;

use wimwright_format::regf::{self, Hive, KeyId};
use wimwright_format::upcase;

use crate::image::{Image, ImageError};
use crate::registry::HiveFile;

/// Deepest key that is compared: the registry's own limit (Microsoft, "Registry element size limits").
const MAX_DEPTH: usize = 512;

/// The difference between two registries. A key is written `HKLM\SOFTWARE\Contoso`, a value `HKLM\SOFTWARE\Contoso!Name`,
/// as in Microsoft's Group Policy references; the default value has an empty name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryDiff {
    /// What only the second has.
    pub added: Vec<String>,
    /// What only the first has.
    pub removed: Vec<String>,
    /// What both have, with what it was and is: a value's data, a key's class or security.
    pub changed: Vec<(String, String, String)>,
}

impl RegistryDiff {
    /// Compares all hives of two images. Hives whose files are the same bytes are not opened.
    ///
    /// # Errors
    /// A hive cannot be read.
    pub fn between(before: &mut Image, after: &mut Image) -> Result<Self, ImageError> {
        let mut diff = Self::default();
        for file in HiveFile::ALL {
            let blob = |image: &Image| image.tree.at(file.path()).and_then(|entry| entry.inode().contents);
            if blob(before) == blob(after) {
                continue;
            }
            let failed = |source| ImageError::Hive { path: file.path().to_owned(), source };
            let (left, right) = (before.hive(file)?, after.hive(file)?);
            match (left, right) {
                (Some(left), Some(right)) => {
                    diff.keys(file.mount_point(), (&left, left.root()), (&right, right.root()), 0).map_err(failed)?
                }
                (Some(left), None) => list(file.mount_point(), (&left, left.root()), &mut diff.removed, 0).map_err(failed)?,
                (None, Some(right)) => list(file.mount_point(), (&right, right.root()), &mut diff.added, 0).map_err(failed)?,
                (None, None) => {}
            }
        }
        Ok(diff)
    }

    fn keys(&mut self, path: &str, before: (&Hive, KeyId), after: (&Hive, KeyId), depth: usize) -> Result<(), regf::Error> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        let class = |(hive, key): (&Hive, KeyId)| hive.class(key).map(Option::unwrap_or_default);
        let (old_class, new_class) = (class(before)?, class(after)?);
        if old_class != new_class {
            self.changed.push((path.to_owned(), format!("class {old_class}"), format!("class {new_class}")));
        }
        let (old_security, new_security) = (before.0.security(before.1)?, after.0.security(after.1)?);
        if old_security != new_security {
            let text = |bytes: &[u8]| format!("security {}", hexadecimal(bytes));
            self.changed.push((path.to_owned(), text(old_security), text(new_security)));
        }
        self.values(path, before, after)?;
        let (mut old, new) = (subkeys(before)?, subkeys(after)?);
        for (folded, (name, key)) in new {
            let below = format!("{path}\\{name}");
            match old.remove(&folded) {
                Some((_, earlier)) => self.keys(&below, (before.0, earlier), (after.0, key), depth + 1)?,
                None => list(&below, (after.0, key), &mut self.added, depth + 1)?,
            }
        }
        old.into_values().try_for_each(|(name, key)| list(&format!("{path}\\{name}"), (before.0, key), &mut self.removed, depth + 1))
    }

    fn values(&mut self, path: &str, before: (&Hive, KeyId), after: (&Hive, KeyId)) -> Result<(), regf::Error> {
        let (mut old, new) = (values(before)?, values(after)?);
        for (folded, (name, data)) in new {
            let at = format!("{path}!{name}");
            match old.remove(&folded) {
                Some((_, earlier)) if earlier == data => {}
                Some((_, earlier)) => self.changed.push((at, earlier.to_string(), data.to_string())),
                None => self.added.push(at),
            }
        }
        self.removed.extend(old.into_values().map(|(name, _)| format!("{path}!{name}")));
        Ok(())
    }
}

#[derive(PartialEq)]
struct Stored {
    kind: u32,
    data: Vec<u8>,
}

impl std::fmt::Display for Stored {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match regf::Data::decode(regf::ValueKind(self.kind), &self.data) {
            regf::Data::Text(text) | regf::Data::ExpandableText(text) => write!(formatter, "{text:?}"),
            regf::Data::Texts(texts) => write!(formatter, "{texts:?}"),
            regf::Data::Dword(number) => write!(formatter, "dword:{number:08x}"),
            regf::Data::Qword(number) => write!(formatter, "qword:{number:016x}"),
            regf::Data::Binary(bytes) => write!(formatter, "hex:{}", hexadecimal(&bytes)),
            regf::Data::Other(kind, bytes) => write!(formatter, "hex({:x}):{}", kind.0, hexadecimal(&bytes)),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fold(name: &str) -> Vec<u16> {
    name.encode_utf16().map(upcase::upcase).collect()
}

fn subkeys((hive, key): (&Hive, KeyId)) -> Result<BTreeMap<Vec<u16>, (String, KeyId)>, regf::Error> {
    hive.subkeys(key)?.into_iter().map(|subkey| hive.name(subkey).map(|name| (fold(&name), (name, subkey)))).collect()
}

fn values((hive, key): (&Hive, KeyId)) -> Result<BTreeMap<Vec<u16>, (String, Stored)>, regf::Error> {
    let entry = |value: regf::Value<'_>| {
        let name = value.name();
        Ok((fold(&name), (name, Stored { kind: value.kind().0, data: value.data()?.into_owned() })))
    };
    hive.values(key)?.into_iter().map(entry).collect()
}

/// A key with its values and all that is below it.
fn list(path: &str, at: (&Hive, KeyId), into: &mut Vec<String>, depth: usize) -> Result<(), regf::Error> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    into.push(path.to_owned());
    into.extend(values(at)?.into_values().map(|(name, _)| format!("{path}!{name}")));
    subkeys(at)?.into_values().try_for_each(|(name, key)| list(&format!("{path}\\{name}"), (at.0, key), into, depth + 1))
}

//! Holding our own rules against an image: would we have done what Windows did?
//!
//! Two questions to an image that the real servicing stack made. What would a plan change now? Nothing, if our rules of
//! applicability are right: every package has come as far as it should. And is every winner's every file, key and value in the image
//! as our effects say? What differs is either a change that somebody made since, or a rule of ours that is wrong: the report names it,
//! so that a person can tell.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;
use thiserror::Error;
use wimwright_format::manifest::{Identity, Version};
use wimwright_format::regf::{self, Hive};
use wimwright_format::security_descriptor::SecurityDescriptor;
use wimwright_image::registry::{self, HiveFile};
use wimwright_image::{Image, ImageError};

use crate::inheritance::{Kind, encoded_with_inherited};

use super::effects::{Effects, Operation, RegistryEffect, effects};
use super::plan::{PlanError, Request, plan};
use super::store::{STORE_FOLDER, Store, StoreError, WINNERS, payload_path};

/// Why an image cannot be verified.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It has no store, or a damaged one.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plan cannot be made.
    #[error("the image's packages cannot be planned anew")]
    Plan(#[from] PlanError),
}

/// A kind of difference. `native` differences speak against our rules; the others may be anybody's change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// A plan would change the package, although nothing was asked for.
    PlanChanges,
    /// A component of a name whose manifest has another.
    WrongName,
    /// The manifest has something that we do not understand.
    NotUnderstood,
    /// A file that we would have projected is not there.
    FileMissing,
    /// It is there, but no link to the store's file.
    FileNotLinked,
    /// It has another security descriptor.
    FileSecurity,
    /// A directory that we would have made is not there.
    DirectoryMissing,
    /// A key that we would have made is not there.
    KeyMissing,
    /// A value that we would have set is not there.
    ValueMissing,
    /// It has other data.
    ValueDiffers,
    /// An entry that we would have added to a list is not there.
    EntryMissing,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Found {
    /// What kind.
    pub difference: Difference,
    /// The package or component.
    pub of: String,
    /// The path, key or value.
    pub place: String,
    /// What we would have expected; empty where the place says it all.
    pub expected: String,
    /// What is there; empty where nothing is.
    pub found: String,
}

/// What was compared, and what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Packages that were planned anew.
    pub packages: usize,
    /// Winners whose effects were compared.
    pub components: usize,
    /// Names of files that were compared.
    pub files: usize,
    /// Values that were compared.
    pub values: usize,
    /// Parts that only Windows' own installers could do, by element: how many there are.
    pub deferred: BTreeMap<String, usize>,
    /// Everything that differs, in stable order.
    pub differences: Vec<Found>,
}

/// Longest data that is shown of a value, in characters.
const LONGEST_SHOWN: usize = 120;

/// Verifies the image that `store` was read from. `progress` is told how many winners of how many are done, from any thread.
///
/// # Errors
/// The store is damaged so that nothing can be compared.
pub fn verify(image: &mut Image, store: &Store, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Verification, VerifyError> {
    let mut verification = Verification { packages: store.packages().len(), ..Verification::default() };
    for change in plan(store, &[], &Request::default())?.changes {
        verification.differences.push(Found {
            difference: Difference::PlanChanges,
            of: change.package.to_string(),
            place: change
                .updates
                .iter()
                .filter_map(|update| Some(change.manifest.updates.get(update.update)?.name.as_str()))
                .collect::<Vec<_>>()
                .join(", "),
            expected: change.after.to_string(),
            found: change.before.to_string(),
        });
    }
    let mut hives = BTreeMap::new();
    for file in HiveFile::ALL {
        if let Some(hive) = image.hive(file)? {
            hives.insert(file, hive);
        }
    }
    let hives: BTreeMap<HiveFile, &Hive> = hives.iter().map(|(file, hive)| (*file, &**hive)).collect();
    let winners = winners(store)?;
    let done = std::sync::atomic::AtomicUsize::new(0);
    let compared: Vec<Verification> = winners
        .par_iter()
        .map(|(family, version)| {
            let compared = component(store, &hives, family, *version)?;
            progress(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, winners.len());
            Ok(compared)
        })
        .collect::<Result<_, VerifyError>>()?;
    for compared in compared {
        verification.components += compared.components;
        verification.files += compared.files;
        verification.values += compared.values;
        for (installer, count) in compared.deferred {
            *verification.deferred.entry(installer).or_default() += count;
        }
        verification.differences.extend(compared.differences);
    }
    verification.differences.sort();
    Ok(verification)
}

/// Every family with its winning versions.
pub(super) fn winners(store: &Store) -> Result<Vec<(String, Version)>, StoreError> {
    let names = registry::subkey_names(store.software_hive(), WINNERS);
    let names = names.map_err(|source| StoreError::Hive { path: HiveFile::Software.path(), source })?;
    let mut winners = Vec::new();
    for family in names {
        winners.extend(store.winners(&family)?.into_values().map(|winner| (family.clone(), winner.version)));
    }
    Ok(winners)
}

/// Compares one winner.
fn component(store: &Store, hives: &BTreeMap<HiveFile, &Hive>, family: &str, version: Version) -> Result<Verification, VerifyError> {
    let mut compared = Verification { components: 1, ..Verification::default() };
    let Some(identity) = identity_of(store, family, version)? else {
        compared.add(Difference::WrongName, family, version.to_string(), "a manifest of this version", "none");
        return Ok(compared);
    };
    let keyform = identity.keyform();
    let Some(manifest) = store.component(&keyform)? else { return Ok(compared) };
    let effects = match effects(&manifest.component, store.architecture) {
        Ok(effects) => effects,
        Err(error) => {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            compared.add(Difference::NotUnderstood, &keyform, String::new(), "", format!("{error}{source}"));
            return Ok(compared);
        }
    };
    for deferred in &effects.deferred {
        *compared.deferred.entry(deferred.installer.clone()).or_default() += 1;
    }
    compared.files(store, &keyform, &effects);
    for effect in &effects.registry {
        let Some(hive) = hives.get(&effect.path.hive) else { continue };
        let failed = |source| StoreError::Hive { path: effect.path.hive.path(), source };
        compared.key(hive, &keyform, effect).map_err(failed)?;
    }
    Ok(compared)
}

/// The identity of the component that wins: of the manifests whose names fit the family and the version, the one whose family it is.
fn identity_of(store: &Store, family: &str, version: Version) -> Result<Option<Identity>, StoreError> {
    // The keyform is the family's key with the version before the culture; only the hash differs.
    let mut parts: Vec<&str> = family.rsplitn(3, '_').collect();
    parts.reverse();
    let &[front, culture, _] = parts.as_slice() else { return Ok(None) };
    let prefix = format!("{front}_{version}_{culture}_");
    let Some(manifests) = store.tree().at(&format!("{STORE_FOLDER}/Manifests")) else { return Ok(None) };
    // The names stand in order: all that start alike stand together.
    for child in manifests.children_from(&prefix).take_while(|child| child.name().to_ascii_lowercase().starts_with(&prefix)) {
        let name = child.name().to_ascii_lowercase();
        let Some(manifest) = store.component(name.trim_end_matches(".manifest"))? else { continue };
        if manifest.component.identity.family_key() == family.to_ascii_lowercase() {
            return Ok(Some(manifest.component.identity.clone()));
        }
    }
    Ok(None)
}

impl Verification {
    fn add(&mut self, difference: Difference, of: &str, place: String, expected: impl Into<String>, found: impl Into<String>) {
        self.differences.push(Found { difference, of: of.to_owned(), place, expected: expected.into(), found: found.into() });
    }

    fn files(&mut self, store: &Store, keyform: &str, effects: &Effects) {
        let tree = store.tree();
        for directory in &effects.directories {
            if tree.at(&directory.path).is_none() {
                self.add(Difference::DirectoryMissing, keyform, directory.path.clone(), "", "");
            }
        }
        for file in &effects.files {
            let stored = tree.at(&payload_path(keyform, &file.payload));
            for name in &file.names {
                self.files += 1;
                let Some(entry) = tree.at(name) else {
                    self.add(Difference::FileMissing, keyform, name.clone(), "", "");
                    continue;
                };
                if stored.is_some_and(|stored| stored.file_id() != entry.file_id()) && !file.writeable {
                    self.add(Difference::FileNotLinked, keyform, name.clone(), "", "");
                }
                if let (Some(expected), Some(found)) = (&file.security, entry.security())
                    && expected != found
                {
                    let parent = name.rsplit_once('\\').and_then(|(parent, _)| tree.at(parent)?.security());
                    let expected = parent.map_or_else(|| expected.to_vec(), |parent| encoded_with_inherited(expected, parent, Kind::File));
                    let (expected, found) = (descriptor_text(&expected), descriptor_text(found));
                    // Two descriptors that say the same may be laid out differently.
                    if expected != found {
                        self.add(Difference::FileSecurity, keyform, name.clone(), expected, found);
                    }
                }
            }
        }
    }

    fn key(&mut self, hive: &Hive, keyform: &str, effect: &RegistryEffect) -> Result<(), regf::Error> {
        let path = effect.path.resolved(hive)?;
        let Some(key) = hive.open(&path)? else {
            self.add(Difference::KeyMissing, keyform, effect.path.to_string(), "", "");
            return Ok(());
        };
        for value in &effect.values {
            self.values += 1;
            let place = format!("{}!{}", effect.path, value.name);
            let Some(current) = hive.value(key, &value.name)? else {
                if !value.mutable {
                    self.add(Difference::ValueMissing, keyform, place, shown(value.kind, &value.data), "");
                }
                continue;
            };
            let data = current.data()?;
            match value.operation {
                Operation::Set if !value.mutable && (current.kind() != value.kind || *data != *value.data) => {
                    self.add(Difference::ValueDiffers, keyform, place, shown(value.kind, &value.data), shown(current.kind(), &data));
                }
                Operation::Set => {}
                _ => {
                    let has = entries(current.kind(), &data);
                    let missing: Vec<String> = entries(value.kind, &value.data).into_iter().filter(|entry| !has.contains(entry)).collect();
                    if !missing.is_empty() {
                        self.add(Difference::EntryMissing, keyform, place, missing.join("; "), shown(current.kind(), &data));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A security descriptor in SDDL; empty when it is damaged.
fn descriptor_text(bytes: &[u8]) -> String {
    SecurityDescriptor::decode(bytes).ok().and_then(|descriptor| descriptor.to_sddl().ok()).unwrap_or_default()
}

/// Entries of a list, as they are compared.
fn entries(kind: regf::ValueKind, data: &[u8]) -> Vec<String> {
    match regf::Data::decode(kind, data) {
        regf::Data::Texts(texts) => texts.iter().map(|text| text.to_lowercase()).collect(),
        regf::Data::Text(text) | regf::Data::ExpandableText(text) => {
            text.split(';').map(|directory| directory.trim_end_matches('\\').to_lowercase()).collect()
        }
        _ => Vec::new(),
    }
}

fn shown(kind: regf::ValueKind, data: &[u8]) -> String {
    let text = match regf::Data::decode(kind, data) {
        regf::Data::Text(text) | regf::Data::ExpandableText(text) => text,
        regf::Data::Texts(texts) => texts.join(" | "),
        regf::Data::Dword(number) => format!("{number:#x}"),
        regf::Data::Qword(number) => format!("{number:#x}"),
        regf::Data::Binary(bytes) | regf::Data::Other(_, bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    text.chars().take(LONGEST_SHOWN).collect()
}

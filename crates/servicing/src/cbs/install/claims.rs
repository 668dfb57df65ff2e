//! What is to be taken back, and what of it other winners make as well.
//!
//! A name of a file, a directory, a key, a value or an entry of a list may be made by several components: it goes when the last winner
//! that makes it goes. Which winners do can only be read in their manifests, all of them: an image has no index of it (`f!` values
//! name payload, not places). Installing must not cost that, so first it is found out what would really go; where that is nothing,
//! or winners of the plan make it, nothing is read.
//!
//! What cannot be read or understood may make anything: then more stays, never less.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use wimwright_format::manifest::{Component, Version};
use wimwright_format::regf::{Data, Hive, ValueKind};
use wimwright_format::wim::BlobId;
use wimwright_image::registry::{HiveFile, RegistryPath};
use wimwright_image::{Image, ImageError};

use super::resolve::Resolution;
use super::{InstallError, Known, image_path};
use crate::cbs::effects::{self, Effects, Obsolete, Operation};
use crate::cbs::health::reading::{Contents, Meter, read_all};
use crate::cbs::store::{STORE_FOLDER, Store, bucket, payload_path};

/// A value: its hive, its key and its name, both in lower case.
pub(super) type Place = (HiveFile, String, String);

pub(super) fn value_place(path: &RegistryPath, name: &str) -> Place {
    (path.hive, path.key.to_lowercase(), name.to_lowercase())
}

pub(super) fn texts(kind: ValueKind, data: &[u8]) -> Vec<String> {
    match Data::decode(kind, data) {
        Data::Texts(texts) => texts,
        Data::Text(text) | Data::ExpandableText(text) => vec![text],
        _ => Vec::new(),
    }
}

/// A directory as it is compared in a list of directories.
pub(super) fn folded_directory(directory: &str) -> String {
    directory.trim().trim_end_matches('\\').to_ascii_lowercase()
}

/// The entries of a list's data, as they are compared.
pub(super) fn folded_entries(operation: Operation, kind: ValueKind, data: &[u8]) -> Vec<String> {
    let texts = texts(kind, data);
    match operation {
        Operation::AppendPath | Operation::PrependPath => texts.iter().flat_map(|list| list.split(';')).map(folded_directory).collect(),
        _ => texts.iter().map(|text| text.to_ascii_lowercase()).collect(),
    }
}

/// What goes unless a winner makes it.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Names of files and directories, in lower case.
    names: BTreeSet<String>,
    keys: BTreeSet<(HiveFile, String)>,
    values: BTreeSet<Place>,
    entries: BTreeSet<(Place, String)>,
}

impl Candidates {
    /// Adds what of a former winner is still there as it made it.
    pub fn add(&mut self, image: &mut Image, keyform: &str, old: &Effects, obsolete: &Obsolete) -> Result<(), InstallError> {
        for name in &obsolete.names {
            if is_own(image, keyform, old, name)? {
                self.names.insert(name.to_lowercase());
            }
        }
        let directories = obsolete.directories.iter().filter(|directory| image.tree.at(directory).is_some());
        self.names.extend(directories.map(|directory| directory.to_lowercase()));
        for file in HiveFile::ALL {
            let values = || obsolete.values.iter().filter(|gone| gone.path.hive == file);
            let keys = || obsolete.keys.iter().filter(|path| path.hive == file);
            if values().next().is_none() && keys().next().is_none() {
                continue;
            }
            let Some(hive) = image.hive(file)? else { continue };
            let failed = |source| InstallError::from(ImageError::hive_edit(file, "", source));
            for path in keys() {
                if hive.open(&path.resolved(&hive).map_err(failed)?).map_err(failed)?.is_some() {
                    self.keys.insert((file, path.key.to_lowercase()));
                }
            }
            for gone in values() {
                let Some((kind, data)) = current(&hive, &gone.path, &gone.value.name).map_err(failed)? else { continue };
                let place = value_place(&gone.path, &gone.value.name);
                if gone.value.operation == Operation::Set {
                    if (kind, &data) == (gone.value.kind, &gone.value.data) {
                        self.values.insert(place);
                    }
                    continue;
                }
                let there: HashSet<String> = folded_entries(gone.value.operation, kind, &data).into_iter().collect();
                let entries = folded_entries(gone.value.operation, gone.value.kind, &gone.value.data);
                self.entries.extend(entries.into_iter().filter(|entry| there.contains(entry)).map(|entry| (place.clone(), entry)));
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.keys.is_empty() && self.values.is_empty() && self.entries.is_empty()
    }

    /// Leaves out what is claimed.
    fn without(mut self, claims: &Claims) -> Self {
        self.names.retain(|name| !claims.names.contains_key(name));
        self.keys.retain(|key| !claims.keys.contains(key));
        self.values.retain(|place| !claims.values.contains_key(place));
        self.entries.retain(|entry| !claims.entries.contains(entry));
        self
    }

    /// What of this a component makes.
    fn claimed_by(&self, keyform: &str, effects: &Effects) -> Claims {
        let mut claims = Claims::default();
        let mut name = |path: &str, payload: Option<&str>| {
            let folded = path.to_lowercase();
            if self.names.contains(&folded) {
                claims.names.insert(folded, payload.map(|payload| payload_path(keyform, payload)));
            }
        };
        effects.files.iter().for_each(|file| file.names.iter().for_each(|path| name(path, Some(&file.payload))));
        effects.new_files.iter().for_each(|file| name(&file.path, None));
        effects.directories.iter().for_each(|directory| name(&directory.path, None));
        for effect in &effects.registry {
            let key = (effect.path.hive, effect.path.key.to_lowercase());
            if self.keys.contains(&key) {
                claims.keys.insert(key);
            }
            for value in &effect.values {
                let place = value_place(&effect.path, &value.name);
                let whole = value.operation == Operation::Set;
                if self.values.contains(&place) {
                    claims.values.insert(place.clone(), whole.then(|| (value.kind, value.data.clone())));
                }
                if whole {
                    // The value is what it says: entries of others in it are its own.
                    let entries = self.entries.range((place.clone(), String::new())..).take_while(|(other, _)| *other == place);
                    claims.entries.extend(entries.cloned());
                } else {
                    let entries = folded_entries(value.operation, value.kind, &value.data).into_iter();
                    claims.entries.extend(entries.map(|entry| (place.clone(), entry)).filter(|entry| self.entries.contains(entry)));
                }
            }
        }
        claims
    }

    /// What of this a manifest may make of which not everything is understood: whatever it has a word for.
    fn claimed_by_text(&self, manifest: &str) -> Claims {
        let manifest = manifest.to_lowercase();
        let last = |path: &str| path.rsplit('\\').next().unwrap_or_default().to_owned();
        // What XML writes in another way may stand there unseen.
        let says = |word: &str| word.is_empty() || word.contains(['&', '<', '>', '"', '\'']) || manifest.contains(word);
        let values =
            self.values.iter().filter(|(_, key, name)| says(if name.is_empty() { key.rsplit('\\').next().unwrap_or("") } else { name }));
        Claims {
            names: self.names.iter().filter(|name| says(&last(name))).map(|name| (name.clone(), None)).collect(),
            keys: self.keys.iter().filter(|(_, key)| says(&last(key))).cloned().collect(),
            values: values.map(|place| (place.clone(), None)).collect(),
            entries: self.entries.iter().filter(|(_, entry)| says(&last(entry))).cloned().collect(),
        }
    }

    fn all_claimed(&self) -> Claims {
        Claims {
            names: self.names.iter().map(|name| (name.clone(), None)).collect(),
            keys: self.keys.clone(),
            values: self.values.iter().map(|place| (place.clone(), None)).collect(),
            entries: self.entries.clone(),
        }
    }
}

/// What stays, since a winner makes it.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Names in lower case, with the payload that a file is a link to.
    names: BTreeMap<String, Option<String>>,
    keys: BTreeSet<(HiveFile, String)>,
    /// Values with what they are to be; nothing where that is not known.
    values: BTreeMap<Place, Option<(ValueKind, Vec<u8>)>>,
    entries: BTreeSet<(Place, String)>,
}

impl Claims {
    /// Finds out which of the candidates winners make: those of the plan, then all others.
    pub fn find(candidates: Candidates, store: &Store, resolution: &Resolution, known: &Known) -> Result<Self, InstallError> {
        let mut claims = Self::default();
        for family in resolution.families.values() {
            let Some(winner) = &family.after else { continue };
            let keyform = family.keyform(winner.version);
            if let Some(effects) = known.get(&keyform) {
                claims.add(candidates.claimed_by(&keyform, effects));
            }
        }
        let left = candidates.without(&claims);
        if !left.is_empty() {
            others(&left, store, resolution)?.into_iter().for_each(|other| claims.add(other));
        }
        Ok(claims)
    }

    /// Of two components that make the same, the later one counts; one that is understood counts more.
    fn add(&mut self, other: Self) {
        for (name, payload) in other.names {
            let known = self.names.entry(name).or_default();
            *known = payload.or(known.take());
        }
        for (place, data) in other.values {
            let known = self.values.entry(place).or_default();
            *known = data.or(known.take());
        }
        self.keys.extend(other.keys);
        self.entries.extend(other.entries);
    }

    /// The claim on a name; inside, the payload that it is a link to.
    pub fn name(&self, name: &str) -> Option<Option<&str>> {
        self.names.get(&name.to_lowercase()).map(Option::as_deref)
    }

    pub fn key(&self, path: &RegistryPath) -> bool {
        self.keys.contains(&(path.hive, path.key.to_lowercase()))
    }

    /// The claim on a value; inside, what it is to be.
    pub fn value(&self, place: &Place) -> Option<Option<&(ValueKind, Vec<u8>)>> {
        self.values.get(place).map(Option::as_ref)
    }

    /// True for an entry of a list, as it is compared.
    pub fn entry(&self, place: &Place, entry: &str) -> bool {
        self.entries.contains(&(place.clone(), entry.to_owned()))
    }
}

/// True when a name is the file that a component put there.
pub(super) fn is_own(image: &Image, keyform: &str, old: &Effects, name: &String) -> Result<bool, InstallError> {
    let path = image_path(keyform, name)?;
    let Some(current) = image.tree.get(&path) else { return Ok(false) };
    let file = old.files.iter().find(|file| file.names.contains(name));
    Ok(match (file, old.new_files.iter().find(|file| file.path == *name)) {
        (Some(file), _) => image.tree.at(&payload_path(keyform, &file.payload)).is_some_and(|stored| stored.file_id() == current.file_id()),
        (None, Some(file)) => !current.is_directory() && *image.contents(current)? == *file.contents,
        (None, None) => false,
    })
}

fn current(hive: &Hive, path: &RegistryPath, name: &str) -> Result<Option<(ValueKind, Vec<u8>)>, wimwright_format::regf::Error> {
    let Some(key) = hive.open(&path.resolved(hive)?)? else { return Ok(None) };
    let Some(value) = hive.value(key, name)? else { return Ok(None) };
    Ok(Some((value.kind(), value.data()?.into_owned())))
}

/// What of the candidates winners outside of the plan make, by keyform.
fn others(candidates: &Candidates, store: &Store, resolution: &Resolution) -> Result<Vec<Claims>, InstallError> {
    let winners = store.all_winners()?.into_iter();
    let wanted: HashSet<(String, Version)> = winners
        .flat_map(|(family, winners)| winners.into_values().map(move |winner| (family.clone(), winner.version)))
        .filter(|(family, version)| !resolution.families.contains_key(&(family.clone(), bucket(*version))))
        .collect();
    let fronts: HashSet<String> = wanted.iter().filter_map(|(family, version)| front(family, *version)).collect();
    let folder = store.tree().at(&format!("{STORE_FOLDER}/Manifests"));
    let manifests: HashSet<BlobId> = folder
        .into_iter()
        .flat_map(|folder| folder.children())
        .filter(|entry| entry.name().rsplit_once('_').is_some_and(|(start, _hash)| fronts.contains(&start.to_ascii_lowercase())))
        .filter_map(|entry| entry.inode().contents)
        .collect();
    let found = Mutex::new((HashSet::new(), BTreeMap::new()));
    let work = |_, contents: Contents<'_>| {
        // What cannot be read is not found.
        let Contents::Whole(bytes) = contents else { return };
        let Some((winner, keyform, claims)) = read(candidates, store, bytes) else { return };
        if wanted.contains(&winner) {
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.0.insert(winner);
            found.1.insert(keyform, claims);
        }
    };
    read_all(store.blobs(), &manifests, &Meter::silent(), &work);
    let (found, claims) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let unknown = wanted.iter().any(|winner| !found.contains(winner)).then(|| candidates.all_claimed());
    Ok(unknown.into_iter().chain(claims.into_values()).collect())
}

/// A component's family and version, its keyform, and what of the candidates it makes; `None` when its manifest cannot be read.
fn read(candidates: &Candidates, store: &Store, stored: &[u8]) -> Option<((String, Version), String, Claims)> {
    let xml = store.dictionary.decode(stored).ok()?;
    let component = Component::parse(&xml).ok()?;
    let keyform = component.identity.keyform();
    let claims = match effects::effects(&component, store.architecture) {
        Ok(effects) => candidates.claimed_by(&keyform, &effects),
        Err(_) => candidates.claimed_by_text(&String::from_utf8_lossy(&xml)),
    };
    Some(((component.identity.family_key(), component.identity.version), keyform, claims))
}

/// A keyform without its hash, from the family's key: there the version stands before the culture.
fn front(family: &str, version: Version) -> Option<String> {
    let (named, _hash) = family.rsplit_once('_')?;
    let (front, culture) = named.rsplit_once('_')?;
    Some(format!("{front}_{version}_{culture}"))
}

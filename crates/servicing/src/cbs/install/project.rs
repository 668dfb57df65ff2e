//! What winners do to the image: links to their files, directories, registry values; and what losers no longer do.
//!
//! Only what is still as the loser left it is taken back: a file that is another one by now, or a value that was changed, belongs to
//! somebody else.

use std::collections::{BTreeMap, BTreeSet};

use wimwright_format::regf::{self, Data, Hive, KeyId, ValueKind};
use wimwright_image::registry::{HiveFile, RegistryPath};
use wimwright_image::{Image, ImageError, ImagePath};

use super::claims::{Candidates, Claims, folded_directory, folded_entries, is_own, texts, value_place};
use super::first_boot::Waiting;
use super::resolve::Resolution;
use super::{Done, InstallError, Known, image_path};
use crate::cbs::effects::{Deferred, Effects, Obsolete, ObsoleteValue, Operation, RegistryEffect, ValueEffect, obsolete};
use crate::cbs::store::{Store, payload_path};
use crate::files::NewFile;
use crate::inheritance::{Kind, encoded_with_inherited};

/// A component that wins or loses: the keyforms of the version before and after.
struct Change {
    before: Option<String>,
    after: Option<String>,
}

fn changes(resolution: &Resolution) -> Vec<Change> {
    let one = |family: &super::resolve::FamilyChange| Change {
        before: family.before.as_ref().map(|winner| family.keyform(winner.version)),
        after: family.after.as_ref().map(|winner| family.keyform(winner.version)),
    };
    resolution.families.values().map(one).filter(|change| change.before != change.after).collect()
}

/// Parts that only Windows can finish, each with the keyform of its component.
pub(super) struct Left {
    /// Of the new winners: what the installers of Windows have not done for the version before.
    pub added: Vec<(String, Deferred)>,
    /// Of the former winners.
    pub former: Vec<(String, Deferred)>,
}

impl Left {
    /// True when the command of a part that is left to Windows reads the file.
    fn reads(&self, path: &str) -> bool {
        self.added.iter().any(|(_, part)| part.command.as_ref().is_some_and(|command| command.contains(path)))
    }
}

/// What the change of winners leaves to Windows. A part that the version before has in the same words is done already, unless that is
/// `waiting` for the first start itself, or was left out.
pub(super) fn left(resolution: &Resolution, effects: &Known, waiting: &Waiting) -> Left {
    let mut left = Left { added: Vec::new(), former: Vec::new() };
    for Change { before, after } in changes(resolution) {
        let parts = |keyform: &Option<String>| {
            let known = keyform.as_ref().and_then(|keyform| Some((keyform, effects.get(keyform)?)));
            known.into_iter().flat_map(|(keyform, effects)| effects.deferred.iter().map(|part| (keyform.clone(), part.clone()))).collect()
        };
        let (old, new): (Vec<_>, Vec<_>) = (parts(&before), parts(&after));
        let is_done = |part: &Deferred| old.iter().any(|(keyform, older)| part.is_same_as(older) && !waiting.has(keyform, older));
        left.added.extend(new.into_iter().filter(|(_, part)| !is_done(part)));
        left.former.extend(old);
    }
    left
}

/// Projects the new winners and takes back what the old ones did.
pub(super) fn project(
    image: &mut Image,
    store: &Store,
    resolution: &Resolution,
    effects: &Known,
    left: &Left,
    time: u64,
) -> Result<BTreeMap<String, Done>, InstallError> {
    let mut done = BTreeMap::<String, Done>::new();
    let changes = changes(resolution);
    let none = Effects::default();
    let of = |keyform: &Option<String>| keyform.as_ref().and_then(|keyform| effects.get(keyform)).unwrap_or(&none);
    for change in &changes {
        let Some(keyform) = &change.after else { continue };
        let done = done.entry(keyform.clone()).or_default();
        done.files += project_files(image, keyform, of(&change.after), of(&change.before), change.before.as_deref(), time)?;
    }
    for change in &changes {
        let Some(keyform) = &change.after else { continue };
        for file in of(&change.after).new_files.iter().filter(|file| left.reads(&file.path)) {
            let blob = image.blobs.add_bytes(file.contents.clone());
            NewFile { attributes: None, security: None, time }.put_blob(image, &image_path(keyform, &file.path)?, blob)?;
            done.entry(keyform.clone()).or_default().files += 1;
        }
    }
    let mut former = Vec::new();
    let mut candidates = Candidates::default();
    for change in &changes {
        let Some(keyform) = &change.before else { continue };
        let (old, gone) = (of(&change.before), obsolete(of(&change.before), of(&change.after)));
        candidates.add(image, keyform, old, &gone)?;
        former.push((keyform, old, gone));
    }
    // What any winner does stays, whoever did it before.
    let claims = Claims::find(candidates, store, resolution, effects)?;
    for (keyform, old, gone) in &former {
        take_back_files(image, keyform, old, gone, &claims)?;
    }
    // A directory may hold files of several components: it goes when they all have gone.
    for (keyform, _, gone) in &former {
        take_back_directories(image, keyform, gone, &claims)?;
    }
    let mut hives = BTreeSet::new();
    for change in &changes {
        hives.extend(of(&change.before).registry.iter().chain(&of(&change.after).registry).map(|effect| effect.path.hive));
    }
    for file in hives {
        image.edit_hive(file, |hive| {
            for change in &changes {
                let (old, new) = (of(&change.before), of(&change.after));
                for effect in new.registry.iter().filter(|effect| effect.path.hive == file) {
                    let values =
                        set_key(hive, effect, old, time).map_err(|source| ImageError::hive_edit(file, &effect.path.key, source))?;
                    if let Some(keyform) = &change.after {
                        done.entry(keyform.clone()).or_default().values += values;
                    }
                }
            }
            for (_, _, gone) in &former {
                take_back_values(hive, file, gone, &claims, time).map_err(|source| ImageError::hive_edit(file, "", source))?;
            }
            Ok::<_, ImageError>(())
        })?;
    }
    Ok(done)
}

/// Directories, links and other files of a winner. Returns how many names it has now.
fn project_files(
    image: &mut Image,
    keyform: &str,
    new: &Effects,
    old: &Effects,
    before: Option<&str>,
    time: u64,
) -> Result<usize, InstallError> {
    for directory in &new.directories {
        let path = image_path(keyform, &directory.path)?;
        NewFile { attributes: None, security: None, time }.put(image, &path, None)?;
        let security = directory.security.as_ref().map(|descriptor| complete_security(image, &path, descriptor, Kind::Directory));
        let security = security.map(|descriptor| image.tree.add_security(&descriptor));
        if !path.is_root() {
            image.tree.update(&path, |inode| {
                inode.attributes |= directory.attributes;
                inode.security = security.or(inode.security);
            })?;
        }
    }
    let mut names = 0;
    for file in &new.files {
        let stored = image_path(keyform, &payload_path(keyform, &file.payload))?;
        // What the file's own descriptor leaves to its folder is that of the first place where it goes.
        if let (Some(descriptor), Some(first)) = (&file.security, file.names.first())
            && image.tree.get(&stored).is_some()
        {
            if let Some(parent) = image_path(keyform, first)?.parent() {
                NewFile { attributes: None, security: None, time }.put(image, &parent, None)?;
            }
            let descriptor = complete_security(image, &image_path(keyform, first)?, descriptor, Kind::File);
            let security = image.tree.add_security(&descriptor);
            image.tree.update(&stored, |inode| inode.security = Some(security))?;
        }
        for name in &file.names {
            let path = image_path(keyform, name)?;
            if file.writeable && is_changed(image, name, old, before)? {
                continue;
            }
            if let Some(parent) = path.parent() {
                NewFile { attributes: None, security: None, time }.put(image, &parent, None)?;
            }
            image.tree.link(&stored, &path)?;
            names += 1;
        }
    }
    Ok(names)
}

/// The descriptor of something at `path`, with what the folder above hands down.
fn complete_security(image: &Image, path: &ImagePath, descriptor: &[u8], kind: Kind) -> Vec<u8> {
    let parent = path.parent().and_then(|parent| image.tree.get(&parent)?.security().cloned());
    parent.map_or_else(|| descriptor.to_vec(), |parent| encoded_with_inherited(descriptor, &parent, kind))
}

/// True when a file that may change after installation has: it is there, and not the one that the former winner projected.
fn is_changed(image: &Image, name: &str, old: &Effects, before: Option<&str>) -> Result<bool, InstallError> {
    let Some(current) = image.tree.at(name) else { return Ok(false) };
    let Some(before) = before else { return Ok(true) };
    let projected = old.files.iter().find(|file| file.names.iter().any(|known| known.eq_ignore_ascii_case(name)));
    let stored = projected.and_then(|file| image.tree.at(&payload_path(before, &file.payload)));
    Ok(stored.is_none_or(|stored| stored.inode().contents != current.inode().contents))
}

fn take_back_files(image: &mut Image, keyform: &str, old: &Effects, gone: &Obsolete, claims: &Claims) -> Result<(), InstallError> {
    for name in &gone.names {
        if !is_own(image, keyform, old, name)? {
            continue;
        }
        let path = image_path(keyform, name)?;
        match claims.name(name) {
            None => image.tree.remove(&path)?,
            // The winner that stays has the file in the store: from now on it is that one.
            Some(Some(payload)) if image.tree.at(payload).is_some() => image.tree.link(&image_path(keyform, payload)?, &path)?,
            Some(_) => {}
        }
    }
    Ok(())
}

fn take_back_directories(image: &mut Image, keyform: &str, gone: &Obsolete, claims: &Claims) -> Result<(), InstallError> {
    for directory in gone.directories.iter().filter(|directory| claims.name(directory).is_none()) {
        let path = image_path(keyform, directory)?;
        if image.tree.get(&path).is_some_and(|entry| entry.is_directory() && entry.children().len() == 0) && !path.is_root() {
            image.tree.remove(&path)?;
        }
    }
    Ok(())
}

/// Creates a key and sets its values. Returns how many were set.
fn set_key(hive: &mut Hive, effect: &RegistryEffect, old: &Effects, time: u64) -> Result<usize, regf::Error> {
    let path = effect.path.resolved(hive)?;
    let key = hive.create_path(&path, time)?;
    if let Some(descriptor) = &effect.security {
        let parent = hive.parent(key)?.map(|parent| hive.security(parent).map(<[u8]>::to_vec)).transpose()?;
        match parent {
            Some(parent) => hive.set_security(key, &encoded_with_inherited(descriptor, &parent, Kind::Key))?,
            None => hive.set_security(key, descriptor)?,
        }
    }
    let mut set = 0;
    for value in &effect.values {
        set += usize::from(set_value(hive, key, &effect.path, value, old, time)?);
    }
    Ok(set)
}

fn set_value(hive: &mut Hive, key: KeyId, path: &RegistryPath, value: &ValueEffect, old: &Effects, time: u64) -> Result<bool, regf::Error> {
    let current = match hive.value(key, &value.name)? {
        Some(current) => Some((current.kind(), current.data()?.into_owned())),
        None => None,
    };
    let (kind, data) = match value.operation {
        Operation::Set => {
            // What may be changed by users stays when it was: it is neither what the former version set, nor absent.
            if value.mutable
                && let Some(current) = &current
                && !was_set(old, path, &value.name, current)
            {
                return Ok(false);
            }
            (value.kind, value.data.clone())
        }
        Operation::AppendEntries | Operation::PrependEntries => {
            (value.kind, with_entries(current.as_ref(), value, value.operation == Operation::PrependEntries))
        }
        Operation::AppendPath | Operation::PrependPath => with_path(current.as_ref(), value, value.operation == Operation::PrependPath),
    };
    if current.as_ref().is_some_and(|(known, bytes)| *known == kind && *bytes == data) {
        return Ok(true);
    }
    hive.set_value(key, &value.name, kind, &data, time)?;
    Ok(true)
}

fn was_set(old: &Effects, path: &RegistryPath, name: &str, current: &(ValueKind, Vec<u8>)) -> bool {
    let place = value_place(path, name);
    old.registry.iter().filter(|effect| effect.path.hive == path.hive).any(|effect| {
        effect
            .values
            .iter()
            .any(|value| value_place(&effect.path, &value.name) == place && (value.kind, &value.data) == (current.0, &current.1))
    })
}

/// A REG_MULTI_SZ with entries added that it does not have.
fn with_entries(current: Option<&(ValueKind, Vec<u8>)>, value: &ValueEffect, first: bool) -> Vec<u8> {
    let mut entries = current.map(|(kind, data)| texts(*kind, data)).unwrap_or_default();
    let missing: Vec<String> =
        texts(value.kind, &value.data).into_iter().filter(|entry| !entries.iter().any(|known| known.eq_ignore_ascii_case(entry))).collect();
    if missing.is_empty()
        && let Some((_, data)) = current
    {
        return data.clone();
    }
    if first {
        entries.splice(0..0, missing);
    } else {
        entries.extend(missing);
    }
    Data::Texts(entries).encode().1
}

/// A list of directories with those added that it does not have; of the type that it has.
fn with_path(current: Option<&(ValueKind, Vec<u8>)>, value: &ValueEffect, first: bool) -> (ValueKind, Vec<u8>) {
    let list = |kind, data: &[u8]| texts(kind, data).into_iter().next().unwrap_or_default();
    let (kind, old) = current.map_or((value.kind, String::new()), |(kind, data)| (*kind, list(*kind, data)));
    let has = |directory: &str| old.split(';').any(|known| folded_directory(known) == folded_directory(directory));
    let added = list(value.kind, &value.data);
    let missing: Vec<&str> = added.split(';').filter(|directory| !directory.is_empty() && !has(directory)).collect();
    if missing.is_empty()
        && let Some(current) = current
    {
        return current.clone();
    }
    let old = (!old.is_empty()).then_some(old.trim_end_matches(';'));
    let new = missing.join(";");
    let parts: Vec<&str> =
        if first { std::iter::once(new.as_str()).chain(old).collect() } else { old.into_iter().chain([new.as_str()]).collect() };
    let text = parts.join(";");
    let data = if kind == ValueKind::EXPAND_SZ { Data::ExpandableText(text) } else { Data::Text(text) };
    data.encode()
}

fn take_back_values(hive: &mut Hive, file: HiveFile, gone: &Obsolete, claims: &Claims, time: u64) -> Result<(), regf::Error> {
    for ObsoleteValue { path, value } in gone.values.iter().filter(|gone| gone.path.hive == file) {
        let Some(key) = hive.open(&path.resolved(hive)?)? else { continue };
        let Some(current) = hive.value(key, &value.name)? else { continue };
        let current = (current.kind(), current.data()?.into_owned());
        let place = value_place(path, &value.name);
        let mut gone = folded_entries(value.operation, value.kind, &value.data);
        gone.retain(|entry| !claims.entry(&place, entry));
        match value.operation {
            Operation::Set => match claims.value(&place) {
                _ if current != (value.kind, value.data.clone()) => {}
                None => {
                    hive.delete_value(key, &value.name, time)?;
                }
                Some(Some((kind, data))) if (*kind, data) != (current.0, &current.1) => {
                    hive.set_value(key, &value.name, *kind, data, time)?;
                }
                Some(_) => {}
            },
            _ if gone.is_empty() => {}
            Operation::AppendEntries | Operation::PrependEntries => {
                let left = texts(current.0, &current.1).into_iter().filter(|entry| !gone.contains(&entry.to_ascii_lowercase()));
                let left: Vec<String> = left.collect();
                if left.is_empty() {
                    hive.delete_value(key, &value.name, time)?;
                } else {
                    hive.set_data(key, &value.name, &Data::Texts(left), time)?;
                }
            }
            Operation::AppendPath | Operation::PrependPath => {
                let list = texts(current.0, &current.1).into_iter().next().unwrap_or_default();
                let left: Vec<&str> = list.split(';').filter(|directory| !gone.contains(&folded_directory(directory))).collect();
                let text = left.join(";");
                let data = if current.0 == ValueKind::EXPAND_SZ { Data::ExpandableText(text) } else { Data::Text(text) };
                hive.set_data(key, &value.name, &data, time)?;
            }
        }
    }
    for path in gone.keys.iter().filter(|path| path.hive == file && !claims.key(path)) {
        if let Some(key) = hive.open(&path.resolved(hive)?)?
            && hive.values(key)?.is_empty()
            && hive.subkeys(key)?.is_empty()
        {
            hive.delete_key(key, time)?;
        }
    }
    Ok(())
}

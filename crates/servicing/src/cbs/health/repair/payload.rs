//! Files of components: proven by the hash in the component's manifest, which COMPONENTS proves. The payload in the store first, then
//! its further names in the image.

use std::collections::HashMap;
use std::sync::Arc;

use wimwright_format::manifest::component::{Component, File};
use wimwright_format::manifest::{Identity, Version};
use wimwright_format::wim::BlobId;
use wimwright_image::tree::{Entry, FileId};
use wimwright_image::{Image, ImagePath, MAX_WHOLE_BLOB};

use super::super::components::is_driver;
use super::super::reading::reason;
use super::super::{Finding, Wanted};
use super::put::{complete_security, make_folder_of, put};
use super::{OWN, Outcome, PutError, Round, Source, nowhere};
use crate::cbs::effects::{FileEffect, effects};
use crate::cbs::expand::{expand, is_compressed};
use crate::cbs::install::{Sought, single_files};
use crate::cbs::source::PackageSource;
use crate::cbs::store::payload_path;
use crate::files::NewFile;

/// A file of the store that is to be put back.
struct Broken<'a> {
    finding: &'a Finding,
    keyform: &'a str,
    component: Arc<Component>,
    /// Its number in the manifest.
    number: usize,
    effect: FileEffect,
    /// What sources have that is not the file.
    others: Vec<String>,
}

impl Broken<'_> {
    fn file(&self) -> Option<&File> {
        self.component.files.get(self.number)
    }

    fn is_proven(&self, bytes: &[u8]) -> bool {
        self.effect.hash.as_ref().is_some_and(|hash| hash.matches(bytes))
    }
}

impl Round<'_> {
    /// Puts the files of the store back.
    pub(super) fn payload(&mut self, open: &[Finding]) {
        let mut broken = Vec::new();
        for finding in open {
            let Some(Wanted::Payload { component, name, .. }) = &finding.wanted else { continue };
            match self.broken(finding, component, name) {
                Ok(Some(found)) => broken.push(found),
                Ok(None) => self.outcomes.push((finding.clone(), Ok(OWN.to_owned()))),
                Err(reason) => self.outcomes.push((finding.clone(), Err(reason))),
            }
        }
        for source in self.sources {
            if broken.is_empty() {
                break;
            }
            let found = match source {
                Source::Image { image, .. } => out_of_image(image, &mut broken, source.name()),
                Source::Package(package) => self.out_of_package(package, &mut broken),
            };
            let mut left = Vec::new();
            for (file, bytes) in broken.into_iter().zip(found) {
                let Some(bytes) = bytes else {
                    left.push(file);
                    continue;
                };
                let put = self.put_payload(&file, bytes);
                self.outcomes.push((file.finding.clone(), put.map(|()| source.name().to_owned()).map_err(|error| reason(&error))));
            }
            broken = left;
        }
        for file in broken {
            let wanted = file.finding.wanted.as_ref().map(ToString::to_string).unwrap_or_default();
            self.outcomes.push((file.finding.clone(), Err(nowhere(&wanted, self.sources, &file.others))));
        }
    }

    /// What is known of a file that is broken; `None` when an intact name of it was in the image, and it is whole again.
    fn broken<'a>(&mut self, finding: &'a Finding, keyform: &'a str, name: &str) -> Result<Option<Broken<'a>>, String> {
        let (component, number, effect) = self.known(keyform, name)?;
        if effect.hash.is_none() {
            return Err("its manifest states no hash: nothing would prove another one".to_owned());
        }
        let broken = Broken { finding, keyform, component, number, effect, others: Vec::new() };
        let intact = broken.effect.names.iter().find(|name| {
            self.image.tree.at(name).is_some_and(|entry| !entry.is_directory())
                && self.image.read(name).is_ok_and(|bytes| broken.is_proven(&bytes))
        });
        let Some(intact) = intact else { return Ok(Some(broken)) };
        self.link_payload(&broken, intact).map_err(|error| reason(&error))?;
        Ok(None)
    }

    /// A component's manifest, and what it does with a file.
    fn known(&self, keyform: &str, name: &str) -> Result<(Arc<Component>, usize, FileEffect), String> {
        let component = self.store.component(keyform).map_err(|error| reason(&error))?;
        let component = component.ok_or_else(|| format!("the manifest of {keyform} is not there"))?.component;
        let effects = effects(&component, self.store.architecture).map_err(|error| reason(&error))?;
        let found = effects.files.into_iter().zip(0..).find(|(file, _)| file.payload.eq_ignore_ascii_case(name));
        let (effect, number) = found.ok_or_else(|| format!("the manifest of {keyform} does not list it"))?;
        Ok((component, number, effect))
    }

    /// The store gets the file that an installed name leads to.
    fn link_payload(&mut self, broken: &Broken<'_>, intact: &str) -> Result<(), PutError> {
        let stored = ImagePath::parse(&payload_path(broken.keyform, &broken.effect.payload))?;
        make_folder_of(self.image, &stored, self.time)?;
        self.image.tree.link(&ImagePath::parse(intact)?, &stored)?;
        self.project(broken, &stored, None)
    }

    /// Puts a file into the store, and its further names to it.
    fn put_payload(&mut self, broken: &Broken<'_>, bytes: Arc<[u8]>) -> Result<(), PutError> {
        let effect = &broken.effect;
        let stored = ImagePath::parse(&payload_path(broken.keyform, &effect.payload))?;
        let before = self.image.tree.get(&stored).filter(|entry| !entry.is_directory()).and_then(|entry| entry.file_id());
        make_folder_of(self.image, &stored, self.time)?;
        let new = NewFile { attributes: effect.attributes, security: effect.security.as_deref(), time: self.time };
        put(self.image, &stored, bytes, &new)?;
        // What a new file's descriptor leaves to its folder is that of the first place where it goes.
        if let (None, Some(descriptor), Some(first)) = (before, &effect.security, effect.names.first()) {
            let first = ImagePath::parse(first)?;
            make_folder_of(self.image, &first, self.time)?;
            let descriptor = complete_security(self.image, &first, descriptor);
            let security = self.image.tree.add_security(&descriptor);
            self.image.tree.update(&stored, |inode| inode.security = Some(security))?;
        }
        self.project(broken, &stored, before)
    }

    /// Makes the names of a winner links to the store. Names that led to what the store had `before` still do.
    fn project(&mut self, broken: &Broken<'_>, stored: &ImagePath, before: Option<FileId>) -> Result<(), PutError> {
        let record = self.records.components.get(&broken.keyform.to_ascii_lowercase());
        let identity = &broken.component.identity;
        let wins = record.is_some_and(|record| self.records.wins(record, identity)) && !is_driver(identity);
        for name in &broken.effect.names {
            let path = ImagePath::parse(name)?;
            let there = self.image.tree.get(&path);
            let follows = match there.as_ref().and_then(Entry::file_id) {
                // Programs may have written to it.
                Some(file) => Some(file) == before || wins && !broken.effect.writeable,
                None => there.is_none() && wins,
            };
            if follows {
                make_folder_of(self.image, &path, self.time)?;
                self.image.tree.link(stored, &path)?;
            }
        }
        Ok(())
    }

    /// Makes a place in the image a further name of a file in the store.
    /// `stored` is what became of that, where it was broken as well.
    pub(super) fn link(&mut self, keyform: &str, name: &str, place: &str, stored: Option<&Outcome>) -> Outcome {
        let source = match stored {
            Some(Err(_)) => return Err(format!("the file {name} of {keyform} is damaged in the store as well")),
            Some(Ok(source)) => source.clone(),
            None => OWN.to_owned(),
        };
        let (component, _, effect) = self.known(keyform, name)?;
        let stored = self.image.read(&payload_path(keyform, &effect.payload)).map_err(|error| reason(&error))?;
        let expanded = expand(&stored, |version| other_version(self.image, &component.identity, &effect.payload, version));
        let expanded = expanded.map_err(|error| reason(&error))?;
        // Programs may have written to it.
        if !effect.writeable && !effect.hash.as_ref().is_some_and(|hash| hash.matches(&expanded)) {
            return Err(format!("the file {name} of {keyform} in the store is not proven to be intact"));
        }
        let own = is_compressed(&stored).then(|| Arc::from(expanded.into_owned()));
        self.put_link(keyform, &effect, place, own).map_err(|error| reason(&error))?;
        Ok(source)
    }

    /// A file that the store keeps compressed, and only such, is a file of its `own` in its place.
    fn put_link(&mut self, keyform: &str, effect: &FileEffect, place: &str, own: Option<Arc<[u8]>>) -> Result<(), PutError> {
        let (stored, place) = (ImagePath::parse(&payload_path(keyform, &effect.payload))?, ImagePath::parse(place)?);
        make_folder_of(self.image, &place, self.time)?;
        let Some(bytes) = own else { return Ok(self.image.tree.link(&stored, &place)?) };
        let security = effect.security.as_deref().map(|descriptor| complete_security(self.image, &place, descriptor));
        put(self.image, &place, bytes, &NewFile { attributes: effect.attributes, security: security.as_deref(), time: self.time })
    }

    /// Files out of a package.
    fn out_of_package(&self, source: &PackageSource, broken: &mut [Broken<'_>]) -> Vec<Option<Arc<[u8]>>> {
        let delivered: Vec<usize> = (0..broken.len())
            .filter(|number| {
                let payload = broken.get(*number).map(|file| (file.keyform, file.effect.payload.as_str()));
                payload.is_some_and(|(keyform, name)| source.payload_form(keyform, name).is_some())
            })
            .collect();
        let sought = delivered.iter().filter_map(|number| {
            let file = broken.get(*number)?;
            Some(Sought { keyform: file.keyform, identity: &file.component.identity, file: file.file()? })
        });
        let sought: Vec<_> = sought.collect();
        let made = match single_files(&self.store, source, &sought) {
            Ok(made) => made.into_iter().map(|made| made.map_err(|error| reason(&error))).collect(),
            Err(error) => vec![Err(reason(&error)); sought.len()],
        };
        let mut found = vec![None; broken.len()];
        for (number, made) in delivered.into_iter().zip(made) {
            match (made, broken.get_mut(number), found.get_mut(number)) {
                (Ok(bytes), _, Some(slot)) => *slot = Some(bytes),
                (Err(why), Some(file), _) => file.others.push(format!("{}: {why}", source.name)),
                _ => {}
            }
        }
        found
    }
}

/// Files out of another image, in the order of their place in it.
fn out_of_image(source: &Image, broken: &mut [Broken<'_>], name: &str) -> Vec<Option<Arc<[u8]>>> {
    let mut wanted: HashMap<BlobId, Vec<usize>> = HashMap::new();
    let mut found = vec![None; broken.len()];
    for (number, file) in broken.iter().enumerate() {
        let entry = source.tree.at(&payload_path(file.keyform, &file.effect.payload)).filter(|entry| !entry.is_directory());
        let blob = entry.and_then(|entry| entry.inode().contents);
        // It is held in memory; nothing of Windows is larger.
        if let Some(blob) = blob.filter(|blob| source.blobs.size(blob).is_some_and(|size| size <= MAX_WHOLE_BLOB)) {
            wanted.entry(blob).or_default().push(number);
        }
    }
    let mut take = |blob: &BlobId, bytes: &[u8]| {
        for number in wanted.get(blob).into_iter().flatten() {
            let (Some(file), Some(slot)) = (broken.get_mut(*number), found.get_mut(*number)) else { continue };
            let base = |version| other_version(source, &file.component.identity, &file.effect.payload, version);
            match expand(bytes, base) {
                Ok(bytes) if file.is_proven(&bytes) => *slot = Some(Arc::from(bytes.into_owned())),
                Ok(_) => file.others.push(format!("{name} has another one")),
                Err(error) => file.others.push(format!("{name} has it compressed: {}", reason(&error))),
            }
        }
    };
    let mut arriving = Vec::new();
    let mut seen = Vec::new();
    let read = source.blobs.for_each(wanted.keys().copied(), |blob, size, position, piece| {
        if position == 0 {
            arriving.clear();
        }
        arriving.extend_from_slice(piece);
        if arriving.len() as u64 == size {
            take(&blob, &arriving);
            seen.push(blob);
        }
    });
    if read.is_err() {
        // One of them is damaged: each of the others by itself.
        for blob in wanted.keys().filter(|blob| !seen.contains(blob)) {
            if let Ok(bytes) = source.blobs.read(blob) {
                take(blob, &bytes);
            }
        }
    }
    found
}

/// The same file of another version of a component.
fn other_version(image: &Image, identity: &Identity, name: &str, version: Version) -> Option<Arc<[u8]>> {
    let other = Identity { version, ..identity.clone() };
    image.read(&payload_path(&other.keyform(), name)).ok()
}

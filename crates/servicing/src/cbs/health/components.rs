//! Components: their manifests, what each expects of the store and of the image.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use wimwright_format::manifest::component::{File, FileHash};
use wimwright_format::manifest::store_name::payload_value_name;
use wimwright_format::manifest::{Component, HashAlgorithm, Identity};
use wimwright_format::security_descriptor::SecurityDescriptor;
use wimwright_format::wim::BlobId;
use wimwright_image::tree::Entry;

use super::catalogs::{Digests, ReadCatalogs};
use super::reading::{Contents, reason};
use super::records::{ComponentRecord, PAYLOAD_DELETED};
use super::{Finding, FindingKind, Scan, Wanted};
use crate::cbs::source::hexadecimal;
use crate::cbs::store::{COMPONENTS, STORE_FOLDER, manifest_path, payload_path};

/// A payload file as its manifest states it.
pub(super) struct ExpectedFile {
    /// Keyform of the component.
    pub(super) component: String,
    /// Name in the component's folder.
    pub(super) name: String,
    pub(super) identity: Identity,
    pub(super) hash: FileHash,
    /// True when programs may write to it.
    pub(super) writeable: bool,
}

/// What was learned from all manifests.
#[derive(Default)]
pub(super) struct Learned {
    /// Payload by contents.
    pub(super) payload: HashMap<BlobId, Vec<ExpectedFile>>,
    pub(super) payload_files: usize,
    pub(super) installed_files: usize,
    /// Hashes of the decoded manifests.
    digests: BTreeMap<String, Digests>,
}

/// A manifest, decoded: its hashes and what it says, or why that cannot be told.
type Decoded = Result<(Digests, Result<Component, String>), String>;

/// The component manifests of an image.
#[derive(Default)]
pub(super) struct ComponentManifests {
    /// Keyforms in lower case by the manifest's contents.
    keyforms: HashMap<BlobId, Vec<String>>,
    learned: Mutex<Learned>,
}

impl ComponentManifests {
    pub(super) fn find(scan: &Scan<'_>) -> Self {
        let mut found = Self::default();
        // Without the hive, no component is known, which is reported.
        if scan.store.components_hive().is_none() {
            return found;
        }
        let mut there = HashSet::new();
        let folder = scan.store.tree().at(&format!("{STORE_FOLDER}/Manifests"));
        for child in folder.into_iter().flat_map(|folder| folder.children()) {
            let name = child.name();
            let Some(keyform) = name.to_ascii_lowercase().strip_suffix(".manifest").map(str::to_owned) else { continue };
            if !scan.records.components.contains_key(&keyform) {
                let place = format!(r"HKLM\COMPONENTS\{COMPONENTS}\{keyform}");
                scan.findings.add(FindingKind::ComponentUnregistered, place, format!("`{STORE_FOLDER}/Manifests/{name}` is there"));
            }
            match child.inode().contents {
                Some(blob) => found.keyforms.entry(blob).or_default().push(keyform.clone()),
                None => {
                    let wanted = scan.records.manifest(&keyform);
                    scan.findings.want(FindingKind::ManifestDamaged, manifest_path(&keyform), "it is empty", wanted);
                }
            }
            there.insert(keyform);
        }
        for (keyform, record) in scan.records.components.iter().filter(|(keyform, _)| !there.contains(*keyform)) {
            let wanted = scan.records.manifest(keyform);
            scan.findings.want(FindingKind::ManifestMissing, manifest_path(keyform), format!("{} is there", record.key()), wanted);
        }
        found
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = BlobId> {
        self.keyforms.keys().copied()
    }

    /// Takes what was read, when it is a component manifest.
    pub(super) fn read(&self, scan: &Scan<'_>, blob: BlobId, contents: &Contents<'_>) {
        // However many names this file has, it is the manifest of one component, and read once.
        let known = OnceCell::new();
        for keyform in self.keyforms.get(&blob).into_iter().flatten() {
            let damaged = |kind, detail: &str| scan.findings.want(kind, manifest_path(keyform), detail, scan.records.manifest(keyform));
            let bytes = match contents {
                Contents::Whole(bytes) => bytes,
                Contents::Hashed { .. } => {
                    damaged(FindingKind::ManifestDamaged, "it is larger than any manifest");
                    continue;
                }
                Contents::Unreadable(why) => {
                    damaged(FindingKind::Unreadable, why);
                    continue;
                }
            };
            let decoded = known.get_or_init(|| {
                let xml = scan.store.dictionary.decode(bytes).map_err(|error| reason(&error))?;
                Ok((Digests::of(&xml), Component::parse(&xml).map_err(|error| reason(&error))))
            });
            self.read_manifest(scan, keyform, decoded);
        }
    }

    fn read_manifest(&self, scan: &Scan<'_>, keyform: &str, decoded: &Decoded) {
        let path = manifest_path(keyform);
        let record = scan.records.components.get(keyform);
        let wanted = || scan.records.manifest(keyform);
        let (digests, component) = match decoded {
            Ok(decoded) => decoded,
            Err(why) => return scan.findings.want(FindingKind::ManifestDamaged, path, why, wanted()),
        };
        if let Some(record) = record.filter(|record| record.sha256.as_ref() != Some(&digests.sha256)) {
            let recorded = record.sha256.as_deref().map_or("none".to_owned(), hexadecimal);
            let detail = format!("its SHA-256 is {}, recorded is {recorded}", hexadecimal(&digests.sha256));
            return scan.findings.want(FindingKind::ManifestHash, path, detail, wanted());
        }
        let component = match component {
            Ok(component) => component,
            Err(why) => return scan.findings.want(FindingKind::ManifestDamaged, path, why, wanted()),
        };
        let own = component.identity.keyform();
        if own != *keyform {
            return scan.findings.add(FindingKind::ManifestName, path, format!("it is the manifest of {own}"));
        }
        let Some(record) = record else { return };
        let identity = component.identity.component_string();
        if !record.identity.as_ref().is_some_and(|recorded| recorded.eq_ignore_ascii_case(&identity)) {
            let recorded = record.identity.as_deref().unwrap_or("nothing");
            scan.findings.add(
                FindingKind::ManifestName,
                record.key(),
                format!("`identity` is {recorded}, and the manifest's is {identity}"),
            );
        }
        let learned = scan.expectations(keyform, record, component);
        let mut all = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        all.digests.insert(keyform.to_owned(), digests.clone());
        all.payload_files += learned.payload_files;
        all.installed_files += learned.installed_files;
        for (blob, files) in learned.payload {
            all.payload.entry(blob).or_default().extend(files);
        }
    }

    /// Holds the manifests against the catalogs.
    pub(super) fn check(self, scan: &Scan<'_>, catalogs: &ReadCatalogs) -> Learned {
        let learned = self.learned.into_inner().unwrap_or_else(PoisonError::into_inner);
        let listed = catalogs.union();
        for (keyform, digests) in &learned.digests {
            if !listed.contains(digests.sha256.as_slice()) && !listed.contains(digests.sha1.as_slice()) {
                let finding = Finding::new(FindingKind::ManifestUnlisted, manifest_path(keyform), "no catalog lists its hash");
                let catalog = scan.records.catalog_of_component(keyform);
                scan.findings.push(match catalog {
                    Some(catalog) => finding.wanting(Wanted::Catalog { package: None, sha256: Some(catalog) }),
                    None => finding,
                });
            }
        }
        learned
    }
}

/// A file of a component as a finding names it.
pub(super) fn payload(component: &str, name: &str, hash: Option<&FileHash>) -> Wanted {
    let stated = |hash: &FileHash| {
        let algorithm = match hash.algorithm {
            HashAlgorithm::Sha1 => "SHA-1",
            HashAlgorithm::Sha256 => "SHA-256",
        };
        format!("{algorithm} {}", hexadecimal(&hash.digest))
    };
    Wanted::Payload { component: component.to_owned(), name: name.to_owned(), hash: hash.map(stated) }
}

/// True for drivers: where their files go is for their INF files to say.
pub(super) fn is_driver(identity: &Identity) -> bool {
    identity.assembly_type.as_deref().is_some_and(|kind| kind.to_ascii_lowercase().contains("driver"))
}

fn link(component: &str, file: &File) -> Wanted {
    Wanted::Link { component: component.to_owned(), name: file.payload_name().to_owned() }
}

impl Scan<'_> {
    /// What a manifest expects: its payload in the store, and the installed files of a winner.
    fn expectations(&self, keyform: &str, record: &ComponentRecord, component: &Component) -> Learned {
        let mut learned = Learned::default();
        let excused = record.has_flag(PAYLOAD_DELETED) || !self.records.is_staged(record);
        for file in &component.files {
            let name = file.payload_name();
            let path = payload_path(keyform, name);
            let Some(entry) = self.store.tree().at(&path).filter(|entry| !entry.is_directory()) else {
                if !excused {
                    self.findings.want(FindingKind::PayloadMissing, path, "it is not there", payload(keyform, name, file.hash.as_ref()));
                }
                continue;
            };
            learned.payload_files += 1;
            if !record.payload.contains(&payload_value_name(name).to_ascii_lowercase()) {
                let detail = format!("it has no value `{}`", payload_value_name(name));
                self.findings.add(FindingKind::PayloadUnrecorded, record.key(), detail);
            }
            let Some(hash) = &file.hash else { continue };
            match entry.inode().contents {
                Some(blob) => {
                    let expected = ExpectedFile {
                        component: keyform.to_owned(),
                        name: name.to_owned(),
                        identity: component.identity.clone(),
                        hash: hash.clone(),
                        writeable: file.writeable_type.is_some(),
                    };
                    learned.payload.entry(blob).or_default().push(expected);
                }
                None if hash.matches(&[]) => {}
                None => self.findings.want(FindingKind::PayloadDamaged, path, "it is empty", payload(keyform, name, Some(hash))),
            }
        }
        if self.records.wins(record, &component.identity) {
            learned.installed_files = self.check_projection(keyform, component);
        }
        learned
    }

    /// The installed files of a winner: each is a further name of the file in the store. Returns how many there are.
    fn check_projection(&self, keyform: &str, component: &Component) -> usize {
        let directories = self.directories(component.identity.architecture.as_deref());
        let Some(directories) = directories.filter(|_| !is_driver(&component.identity)) else { return 0 };
        component.with_macros(directories, &|_| None, |macros| {
            let mut count = 0;
            for file in &component.files {
                let links = file.links.iter().map(|link| macros.path(link).map(Some));
                for destination in std::iter::once(file.destination(macros)).chain(links) {
                    match destination {
                        Ok(None) => {}
                        Ok(Some(path)) => {
                            count += 1;
                            self.check_installed(keyform, component, file, &path.replace('\\', "/"));
                        }
                        Err(error) => self.findings.add(FindingKind::DestinationUnknown, manifest_path(keyform), reason(&error)),
                    }
                }
            }
            count
        })
    }

    fn check_installed(&self, keyform: &str, component: &Component, file: &File, path: &str) {
        let tree = self.store.tree();
        let Some(installed) = tree.at(path).filter(|entry| !entry.is_directory()) else {
            return self.findings.want(FindingKind::FileMissing, path, format!("{keyform} has it"), link(keyform, file));
        };
        let Some(stored) = tree.at(&payload_path(keyform, file.payload_name())) else { return };
        if file.writeable_type.is_none() && installed.file_id() != stored.file_id() && !self.is_expanded(stored, installed) {
            let same = installed.inode().contents == stored.inode().contents;
            let detail = if same { "has the same contents, but is another file" } else { "has other contents" };
            let detail = format!("it {detail} than that of {keyform}");
            self.findings.want(FindingKind::FileNotLinked, path, detail, link(keyform, file));
        }
        self.check_security(component, file, path, installed);
    }

    /// True when the store's file is kept compressed, so that no link can lead to it.
    fn is_expanded(&self, stored: Entry<'_>, installed: Entry<'_>) -> bool {
        if stored.inode().contents == installed.inode().contents {
            return false;
        }
        let start = stored.inode().contents.and_then(|id| {
            let mut start = [0; 4];
            self.blobs.view(&id).ok()?.read_exact_at(&mut start, 0).ok()?;
            Some(start)
        });
        start.is_some_and(|start| crate::cbs::expand::is_compressed(&start))
    }

    fn check_security(&self, component: &Component, file: &File, path: &str, installed: Entry<'_>) {
        let definitions = component.sddl_by_name();
        let stated = file.security_descriptors.iter().find_map(|reference| definitions.get(&reference.name.to_ascii_lowercase()));
        let stated = stated.and_then(|sddl| SecurityDescriptor::from_sddl(sddl).ok());
        let found = installed.security().and_then(|bytes| SecurityDescriptor::decode(bytes).ok());
        let (Some(stated), Some(found)) = (stated, found) else { return };
        let (stated, found) = (super::security::normal(stated), super::security::normal(found));
        let differ = [
            (stated.owner.is_some() && stated.owner != found.owner, "owner"),
            (stated.dacl.is_some() && stated.dacl != found.dacl, "access control list"),
        ];
        let differ: Vec<_> = differ.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what).collect();
        if !differ.is_empty() {
            self.findings.add(FindingKind::SecurityDiffers, path, format!("{}: not as in the manifest", differ.join(" and ")));
        }
    }
}

//! The files of components, from what was delivered: every one proven by the hash in its manifest before anything is written.
//!
//! A cumulative update of Windows 10 and 11 brings *differentials* (Microsoft's PSFX white paper; W10UI's readme): `f\` leads from
//! the base version to the new one, `r\` back again, `n\` makes a file from nothing. Each is a delta after the CRC-32 of its bytes.
//! The base is the version that the image was released with, or a checkpoint. Where the image has a later version, its own `r\`
//! leads back to the base first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use wimwright_codec::delta;
use wimwright_format::manifest::component::{File, FileHash};
use wimwright_format::manifest::{Identity, Version};

use super::InstallError;
use super::resolve::{Resolution, Touched};
use crate::cbs::source::{self, PackageSource, PayloadForm};
use crate::cbs::store::{self, KeyformPattern, Store};

/// Largest file that a differential may make, in bytes: as in [`wimwright_format::msu::LARGEST_MEMBER`].
const LARGEST_FILE: u64 = 2 << 30;

/// A payload file as the store is to hold it.
pub(super) struct Staged {
    /// Name in the component's folder.
    pub name: String,
    /// Its bytes, shared by the entries of a manifest that share the payload file.
    pub bytes: Arc<[u8]>,
    /// Differentials that are kept beside it: folder (`f`, `r`, `n`) and bytes.
    pub differentials: Vec<(&'static str, Arc<[u8]>)>,
}

impl Staged {
    /// The flags of the file's `f!` value: 1 staged, 0x40 with differentials both ways. A flag for files made from nothing is known by
    /// name (0x80), but a real image whose cumulative update brought such files has none with it (gowim's counts, facts).
    pub fn flags(&self) -> u32 {
        if self.differentials.iter().any(|(folder, _)| *folder == "r") { 0x41 } else { 1 }
    }
}

/// Files by the keyform of their component.
pub(super) type Made = BTreeMap<String, Vec<Staged>>;

/// A file that is delivered as a differential and waits for its base.
struct Waiting<'a> {
    keyform: &'a str,
    identity: &'a Identity,
    file: &'a File,
    /// Where it goes in the list of its component's files.
    place: usize,
    forward: Arc<[u8]>,
    back: Option<Arc<[u8]>>,
}

/// Makes the files of all components that are to be staged, by keyform.
pub(super) fn make(store: &Store, sources: &[PackageSource], resolution: &Resolution) -> Result<Made, InstallError> {
    let mut made = Made::new();
    let mut waiting = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let staged: Vec<(&String, &Touched)> =
            resolution.components.iter().filter(|(_, touched)| touched.stage && touched.source == Some(number)).collect();
        if !staged.is_empty() {
            make_of(source, &staged, &mut made, &mut waiting)?;
        }
    }
    // A base may be made by the same plan: by a checkpoint, or by the package that first brings the component.
    while !waiting.is_empty() {
        let mut left = Vec::new();
        let before = waiting.len();
        let mut tried = Vec::new();
        for file in waiting {
            match from_base(store, &made, &file, &mut tried)? {
                Some(bytes) => {
                    let differentials = [("f", Some(file.forward)), ("r", file.back)];
                    let differentials = differentials.into_iter().filter_map(|(folder, bytes)| Some((folder, bytes?))).collect();
                    if let Some(slot) = made.get_mut(file.keyform).and_then(|files| files.get_mut(file.place)) {
                        *slot = Staged { name: file.file.payload_name().to_owned(), bytes, differentials };
                    }
                }
                None => left.push(file),
            }
        }
        if let (Some(first), true) = (left.first(), left.len() == before) {
            from_base(store, &made, first, &mut tried)?;
            return Err(InstallError::NoBase {
                component: first.keyform.to_owned(),
                file: first.file.payload_name().to_owned(),
                tried: tried.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            });
        }
        waiting = left;
    }
    Ok(made)
}

/// Makes what a delivery brings whole or from nothing; what has a base waits.
fn make_of<'a>(
    source: &PackageSource,
    staged: &[(&'a String, &'a Touched)],
    made: &mut Made,
    waiting: &mut Vec<Waiting<'a>>,
) -> Result<(), InstallError> {
    let mut wanted = HashMap::new();
    for (keyform, touched) in staged {
        for file in &touched.manifest.component.files {
            for folder in folders(form(source, keyform, file)?) {
                wanted.insert(source::payload_path(keyform, folder, file.payload_name()), ());
            }
        }
    }
    let read = Mutex::new(HashMap::with_capacity(wanted.len()));
    source.read_files(&wanted, &|path, bytes| {
        read.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), Arc::<[u8]>::from(bytes));
        Ok(())
    })?;
    let read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
    for &(keyform, touched) in staged {
        let mut files = Vec::with_capacity(touched.manifest.component.files.len());
        for (place, file) in touched.manifest.component.files.iter().enumerate() {
            // Two entries of a manifest may share one payload file.
            let take = |folder: &str| {
                let path = source::payload_path(keyform, folder, file.payload_name());
                read.get(&path).cloned().ok_or_else(|| missing(keyform, file))
            };
            let (bytes, differentials): (Arc<[u8]>, _) = match form(source, keyform, file)? {
                PayloadForm::Whole => (take("")?, Vec::new()),
                PayloadForm::Null => {
                    let differential = take("n\\")?;
                    (apply(keyform, file, &[], &differential)?.into(), vec![("n", differential)])
                }
                PayloadForm::Forward { reverse } => {
                    let (forward, back) = (take("f\\")?, if reverse { Some(take("r\\")?) } else { None });
                    waiting.push(Waiting { keyform, identity: &touched.manifest.component.identity, file, place, forward, back });
                    files.push(Staged { name: file.payload_name().to_owned(), bytes: Arc::from([]), differentials: Vec::new() });
                    continue;
                }
            };
            if !hash_of(keyform, file)?.matches(&bytes) {
                return Err(InstallError::WrongHash { component: keyform.clone(), file: file.payload_name().to_owned() });
            }
            files.push(Staged { name: file.payload_name().to_owned(), bytes, differentials });
        }
        made.insert(keyform.clone(), files);
    }
    Ok(())
}

fn hash_of<'a>(keyform: &str, file: &'a File) -> Result<&'a FileHash, InstallError> {
    file.hash.as_ref().ok_or_else(|| InstallError::NoHash { component: keyform.to_owned(), file: file.payload_name().to_owned() })
}

fn missing(keyform: &str, file: &File) -> InstallError {
    InstallError::NoFile { component: keyform.to_owned(), file: file.payload_name().to_owned() }
}

fn form(source: &PackageSource, keyform: &str, file: &File) -> Result<PayloadForm, InstallError> {
    source.payload_form(keyform, file.payload_name()).ok_or_else(|| missing(keyform, file))
}

fn folders(form: PayloadForm) -> &'static [&'static str] {
    match form {
        PayloadForm::Whole => &[""],
        PayloadForm::Null => &["n\\"],
        PayloadForm::Forward { reverse: false } => &["f\\"],
        PayloadForm::Forward { reverse: true } => &["f\\", "r\\"],
    }
}

/// Applies a differential: CRC-32 of the rest (little-endian), then the delta.
fn apply(keyform: &str, file: &File, base: &[u8], differential: &[u8]) -> Result<Vec<u8>, InstallError> {
    let place = || (keyform.to_owned(), file.payload_name().to_owned());
    let damaged = |why| {
        let (component, file) = place();
        InstallError::Differential { component, file, why }
    };
    let (stated, bytes) = differential.split_first_chunk::<4>().ok_or_else(|| damaged("it is cut short"))?;
    if u32::from_le_bytes(*stated) != crc32(bytes) {
        return Err(damaged("its checksum is wrong"));
    }
    delta::apply(base, bytes, LARGEST_FILE).map_err(|source| {
        let (component, file) = place();
        InstallError::Delta { component, file, source: source.into() }
    })
}

/// CRC-32 as zlib and cabinets of PSFX compute it: reflected polynomial 0xEDB88320.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// Makes a file from the base version that its differential was made against: tries every version of the component that the image or
/// this plan has, the winner first, each as it is and led back by its own differential. The manifest's hash tells which was right.
/// `tried` gets the versions.
fn from_base(store: &Store, made: &Made, waiting: &Waiting<'_>, tried: &mut Vec<Version>) -> Result<Option<Arc<[u8]>>, InstallError> {
    let Waiting { keyform, identity, file, forward, .. } = waiting;
    let hash = hash_of(keyform, file)?;
    let winner = store.winner(identity)?.map(|winner| winner.version);
    *tried = versions(store, made, identity);
    tried.sort_by_key(|version| (winner != Some(*version), std::cmp::Reverse(*version)));
    for version in tried.iter() {
        let older = Identity { version: *version, ..(*identity).clone() }.keyform();
        let own = made.get(&older).and_then(|files| files.iter().find(|made| made.name.eq_ignore_ascii_case(file.payload_name())));
        let (bytes, back) = match own {
            Some(own) => {
                let back = own.differentials.iter().find(|(folder, _)| *folder == "r");
                (own.bytes.clone(), back.map(|(_, back)| back.clone()))
            }
            None => {
                let Some(bytes) = store.read_file(&store::payload_path(&older, file.payload_name()))? else { continue };
                (bytes, store.read_file(&store::payload_path(&older, &format!("r\\{}", file.payload_name())))?)
            }
        };
        let led_back = back.and_then(|back| apply(&older, file, &bytes, &back).ok());
        let forward = |base: &[u8]| apply(keyform, file, base, forward).ok().filter(|made| hash.matches(made));
        // Most have to be led back. A checkpoint is a base itself, and leads back to the one before it.
        if let Some(made) = led_back.and_then(|base| forward(&base)).or_else(|| forward(&bytes)) {
            return Ok(Some(made.into()));
        }
    }
    Ok(None)
}

/// Versions of a component of which the store or this plan has files, but its own.
fn versions(store: &Store, made: &Made, identity: &Identity) -> Vec<Version> {
    let pattern = KeyformPattern::of(identity);
    let planned = made.range(pattern.prefix.clone()..).map(|(name, _)| name).take_while(|name| name.starts_with(&pattern.prefix));
    let mut versions = store.payload_versions(identity);
    versions.extend(planned.filter_map(|name| pattern.version(name)));
    versions.sort();
    versions.dedup();
    versions.retain(|version| *version != identity.version);
    versions
}

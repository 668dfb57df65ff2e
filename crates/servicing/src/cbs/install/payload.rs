//! The files of components, from what was delivered: every one proven by the hash in its manifest before anything is written.
//!
//! A cumulative update of Windows 10 and 11 brings *differentials* (Microsoft's PSFX white paper; W10UI's readme): `f\` leads from
//! the base version to the new one, `r\` back again, `n\` makes a file from nothing. Each is a delta after the CRC-32 of its bytes.
//! The base is the version that the image was released with, or a checkpoint. Where the image has a later version, its own `r\`
//! leads back to the base first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use wimwright_codec::delta;
use wimwright_format::manifest::component::File;
use wimwright_format::manifest::{Identity, Version};

use super::InstallError;
use super::resolve::{Resolution, Touched};
use crate::cbs::source::{self, PackageSource, PayloadForm};
use crate::cbs::store::{self, Store};

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

/// Makes the files of all components that are to be staged, by keyform.
pub(super) fn make(
    store: &Store,
    sources: &[PackageSource],
    resolution: &Resolution,
) -> Result<BTreeMap<String, Vec<Staged>>, InstallError> {
    let mut made = BTreeMap::new();
    for (number, source) in sources.iter().enumerate() {
        let staged: Vec<(&String, &Touched)> =
            resolution.components.iter().filter(|(_, touched)| touched.stage && touched.source == Some(number)).collect();
        if staged.is_empty() {
            continue;
        }
        let mut wanted = HashMap::new();
        for (keyform, touched) in &staged {
            for file in &touched.manifest.component.files {
                for folder in folders(form(source, keyform, file)?) {
                    wanted.insert(source::payload_path(keyform, folder, file.payload_name()), ());
                }
            }
        }
        let read = Mutex::new(HashMap::with_capacity(wanted.len()));
        source.read_files(&wanted, &|path, bytes| {
            read.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), Arc::from(bytes));
            Ok(())
        })?;
        let mut read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (keyform, touched) in staged {
            let mut files = Vec::with_capacity(touched.manifest.component.files.len());
            for file in &touched.manifest.component.files {
                let mut take = |folder: &str| {
                    let path = source::payload_path(keyform, folder, file.payload_name());
                    read.remove(&path).ok_or_else(|| missing(keyform, file))
                };
                files.push(match form(source, keyform, file)? {
                    // Two entries of a manifest may share one payload file.
                    PayloadForm::Whole => {
                        let path = source::payload_path(keyform, "", file.payload_name());
                        let bytes = read.get(&path).cloned().ok_or_else(|| missing(keyform, file))?;
                        Staged { name: file.payload_name().to_owned(), bytes, differentials: Vec::new() }
                    }
                    PayloadForm::Null => {
                        let differential = take("n\\")?;
                        let bytes = apply(keyform, file, &[], &differential)?.into();
                        Staged { name: file.payload_name().to_owned(), bytes, differentials: vec![("n", differential)] }
                    }
                    PayloadForm::Forward { reverse } => {
                        let forward = take("f\\")?;
                        let back = if reverse { Some(take("r\\")?) } else { None };
                        let bytes = from_base(store, &touched.manifest.component.identity, keyform, file, &forward)?.into();
                        let differentials = [("f", Some(forward)), ("r", back)];
                        let differentials = differentials.into_iter().filter_map(|(folder, bytes)| Some((folder, bytes?))).collect();
                        Staged { name: file.payload_name().to_owned(), bytes, differentials }
                    }
                });
            }
            for (file, staged) in touched.manifest.component.files.iter().zip(&files) {
                let hash = file.hash.as_ref();
                let hash = hash.ok_or_else(|| InstallError::NoHash { component: keyform.clone(), file: staged.name.clone() })?;
                if !hash.matches(&staged.bytes) {
                    return Err(InstallError::WrongHash { component: keyform.clone(), file: staged.name.clone() });
                }
            }
            made.insert(keyform.clone(), files);
        }
    }
    Ok(made)
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

/// Makes a file from the base version that its differential was made against: tries the versions of the component that the image
/// has, the winner first, each as it is and led back by its own differential. The manifest's hash tells which was right.
fn from_base(store: &Store, identity: &Identity, keyform: &str, file: &File, forward: &[u8]) -> Result<Vec<u8>, InstallError> {
    let winner = store.winner(identity)?;
    let mut versions: Vec<Version> = winner.iter().flat_map(|winner| winner.installed.iter().copied()).collect();
    versions.sort_by_key(|version| (winner.as_ref().map(|winner| winner.version) != Some(*version), std::cmp::Reverse(*version)));
    let hash =
        file.hash.as_ref().ok_or_else(|| InstallError::NoHash { component: keyform.to_owned(), file: file.payload_name().to_owned() })?;
    for version in &versions {
        let older = Identity { version: *version, ..identity.clone() }.keyform();
        let Some(bytes) = store.read_file(&store::payload_path(&older, file.payload_name()))? else { continue };
        let back = store.read_file(&store::payload_path(&older, &format!("r\\{}", file.payload_name())))?;
        let base = match &back {
            Some(back) => apply(&older, file, &bytes, back).ok(),
            None => Some(bytes.to_vec()),
        };
        if let Some(made) = base.and_then(|base| apply(keyform, file, &base, forward).ok())
            && hash.matches(&made)
        {
            return Ok(made);
        }
    }
    Err(InstallError::NoBase {
        component: keyform.to_owned(),
        file: file.payload_name().to_owned(),
        tried: versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    })
}

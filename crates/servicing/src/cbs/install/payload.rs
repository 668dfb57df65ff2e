//! The files of components, from what was delivered: every one proven by the hash in its manifest before anything is written.
//!
//! A cumulative update of Windows 10 and 11 brings *differentials* (Microsoft's PSFX white paper; W10UI's readme): `f\` leads from
//! the base version to the new one, `r\` back again, `n\` makes a file from nothing. Each is a delta after the CRC-32 of its bytes.
//! The base is the version that the image was released with, or a checkpoint. Where the image has a later version, its own `r\`
//! leads back to the base first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use wimwright_codec::delta;
use wimwright_format::manifest::component::{File, FileHash};
use wimwright_format::manifest::{Identity, Version};
use wimwright_format::wim::BlobId;
use wimwright_image::{Blobs, ImageError};

use super::InstallError;
use super::resolve::{Resolution, Touched};
use crate::cbs::source::{self, PackageSource, PayloadForm};
use crate::cbs::store::{self, KeyformPattern, Store};

/// Largest file that a differential may make, in bytes: as in [`wimwright_format::msu::LARGEST_MEMBER`].
const LARGEST_FILE: u64 = 2 << 30;

/// Contents among those of the image's run; `None` for no bytes. What is made here may be gigabytes, and is not held in memory.
type Contents = Option<BlobId>;

/// A payload file as the store is to hold it.
pub(super) struct Staged {
    /// Name in the component's folder.
    pub name: String,
    /// Its bytes.
    pub contents: Contents,
    /// Differentials that are kept beside it: folder (`f`, `r`, `n`) and bytes.
    pub differentials: Vec<(&'static str, Contents)>,
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
    forward: Contents,
    back: Option<Contents>,
}

/// A file of a delivery.
enum Delivered<'a> {
    Made(Staged),
    Waiting(Waiting<'a>),
}

/// Makes the files of all components that are to be staged, by keyform. Their bytes are added to `blobs`.
pub(super) fn make(blobs: &Blobs, store: &Store, sources: &[PackageSource], resolution: &Resolution) -> Result<Made, InstallError> {
    let mut made = Made::new();
    let mut waiting = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let staged: Vec<(&String, &Touched)> =
            resolution.components.iter().filter(|(_, touched)| touched.stage && touched.source == Some(number)).collect();
        for (keyform, files) in delivered(blobs, source, &staged)? {
            let mut staged = Vec::with_capacity(files.len());
            for file in files {
                staged.push(match file {
                    Delivered::Made(file) => file,
                    Delivered::Waiting(file) => {
                        let name = file.file.payload_name().to_owned();
                        waiting.push(file);
                        Staged { name, contents: None, differentials: Vec::new() }
                    }
                });
            }
            made.insert(keyform.clone(), staged);
        }
    }
    // A base may be made by the same plan: by a checkpoint, or by the package that first brings the component.
    while !waiting.is_empty() {
        let attempt = |file: &Waiting<'_>| from_base(blobs, store, &made, file);
        let attempts: Vec<_> = waiting.par_iter().map(attempt).collect::<Result<_, _>>()?;
        let mut left = Vec::new();
        let before = waiting.len();
        for (file, contents) in waiting.into_iter().zip(attempts) {
            let Some(contents) = contents else {
                left.push(file);
                continue;
            };
            let differentials = [("f", Some(file.forward)), ("r", file.back)];
            let differentials = differentials.into_iter().filter_map(|(folder, contents)| Some((folder, contents?))).collect();
            if let Some(slot) = made.get_mut(file.keyform).and_then(|files| files.get_mut(file.place)) {
                *slot = Staged { name: file.file.payload_name().to_owned(), contents, differentials };
            }
        }
        if let (Some(first), true) = (left.first(), left.len() == before) {
            return Err(InstallError::NoBase {
                component: first.keyform.to_owned(),
                file: first.file.payload_name().to_owned(),
                tried: versions(store, &made, first.identity).iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            });
        }
        waiting = left;
    }
    Ok(made)
}

/// The files of components in a delivery: what is whole or comes from nothing is made; what has a base waits.
fn delivered<'a>(
    blobs: &Blobs,
    source: &PackageSource,
    staged: &[(&'a String, &'a Touched)],
) -> Result<Vec<(&'a String, Vec<Delivered<'a>>)>, InstallError> {
    let mut wanted = HashMap::new();
    for (keyform, touched) in staged {
        for file in &touched.manifest.component.files {
            for folder in folders(form(source, keyform, file)?) {
                wanted.insert(source::payload_path(keyform, folder, file.payload_name()), ());
            }
        }
    }
    if wanted.is_empty() {
        return Ok(staged.iter().map(|(keyform, _)| (*keyform, Vec::new())).collect());
    }
    let read = Mutex::new(HashMap::with_capacity(wanted.len()));
    source.read_files(&wanted, &|path, bytes| {
        let contents = blobs.add_vec(bytes.to_vec());
        read.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), contents);
        Ok(())
    })?;
    let read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
    let of_component = |&(keyform, touched): &(&'a String, &'a Touched)| {
        let files = touched.manifest.component.files.iter().enumerate();
        let files = files.map(|(place, file)| {
            // Two entries of a manifest may share one payload file.
            let take = |folder: &str| {
                let path = source::payload_path(keyform, folder, file.payload_name());
                read.get(&path).copied().ok_or_else(|| missing(keyform, file))
            };
            let (contents, bytes, differentials) = match form(source, keyform, file)? {
                PayloadForm::Whole => {
                    let contents = take("")?;
                    (contents, bytes_of(blobs, contents)?, Vec::new())
                }
                PayloadForm::Null => {
                    let differential = take("n\\")?;
                    let bytes = apply(keyform, file, &[], &bytes_of(blobs, differential)?)?;
                    (blobs.add_bytes(&*bytes), bytes.into(), vec![("n", differential)])
                }
                PayloadForm::Forward { reverse } => {
                    let (forward, back) = (take("f\\")?, if reverse { Some(take("r\\")?) } else { None });
                    let identity = &touched.manifest.component.identity;
                    return Ok(Delivered::Waiting(Waiting { keyform, identity, file, place, forward, back }));
                }
            };
            if !hash_of(keyform, file)?.matches(&bytes) {
                return Err(InstallError::WrongHash { component: keyform.clone(), file: file.payload_name().to_owned() });
            }
            Ok(Delivered::Made(Staged { name: file.payload_name().to_owned(), contents, differentials }))
        });
        Ok((keyform, files.collect::<Result<_, InstallError>>()?))
    };
    staged.par_iter().map(of_component).collect()
}

fn bytes_of(blobs: &Blobs, contents: Contents) -> Result<Arc<[u8]>, InstallError> {
    Ok(match contents {
        Some(id) => blobs.read(&id).map_err(ImageError::from)?,
        None => Arc::from([]),
    })
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
fn from_base(blobs: &Blobs, store: &Store, made: &Made, waiting: &Waiting<'_>) -> Result<Option<Contents>, InstallError> {
    let Waiting { keyform, identity, file, .. } = waiting;
    let hash = hash_of(keyform, file)?;
    let forward = bytes_of(blobs, waiting.forward)?;
    let winner = store.winner(identity)?.map(|winner| winner.version);
    let mut versions = versions(store, made, identity);
    versions.sort_by_key(|version| (winner != Some(*version), std::cmp::Reverse(*version)));
    for version in versions {
        let older = Identity { version, ..(*identity).clone() }.keyform();
        let own = made.get(&older).and_then(|files| files.iter().find(|made| made.name.eq_ignore_ascii_case(file.payload_name())));
        let (bytes, back) = match own {
            Some(own) => {
                let back = own.differentials.iter().find(|(folder, _)| *folder == "r");
                (bytes_of(blobs, own.contents)?, back.map(|(_, back)| bytes_of(blobs, *back)).transpose()?)
            }
            None => {
                let Some(bytes) = store.read_file(&store::payload_path(&older, file.payload_name()))? else { continue };
                (bytes, store.read_file(&store::payload_path(&older, &format!("r\\{}", file.payload_name())))?)
            }
        };
        let led_back = back.and_then(|back| apply(&older, file, &bytes, &back).ok());
        let forward = |base: &[u8]| apply(keyform, file, base, &forward).ok().filter(|made| hash.matches(made));
        // Most have to be led back. A checkpoint is a base itself, and leads back to the one before it.
        if let Some(made) = led_back.and_then(|base| forward(&base)).or_else(|| forward(&bytes)) {
            return Ok(Some(blobs.add_vec(made)));
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

//! The library: a folder of ordinary files that can be looked at without us.
//!
//! ```text
//! library/
//! ├── README.txt            what this folder is
//! ├── library.json          format version
//! ├── lock                  shared while in use, exclusive while something is removed
//! ├── media/NAME/           one imported medium
//! │   ├── medium.json       what it is: every index with its inventory and provenance
//! │   └── FILE              the medium itself (ISO, WIM, ESD, SWM parts), unless it was imported in place
//! ├── cache/KEY.wim         a step's result: a delta WIM with the new metadata and the new blobs
//! ├── cache/KEY.json        what made it, what it needs, what it reported
//! └── outputs/ID.json       what an output file was made from, to know that it is up to date
//! ```
//!
//! Every file is written under a temporary name, synced and renamed: a killed run leaves the library as it was, plus at
//! most a temporary file or a part of an import, which `cache prune` removes.

mod media;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use crate::durable::{self, At, FileError};

pub use media::{ImportError, ListedImage, MediumRecord, NewestImage, inspect};

/// Version of the folder's layout. Raised only for changes that an older release would damage.
const FORMAT: u64 = 1;

const README: &str = "This folder belongs to Wimwright (`wimwright list`, `wimwright cache size`).\n\
media/    imported installation media, with what is known of each in medium.json\n\
cache/    results of servicing steps; all of it can be made again (`wimwright cache clear`)\n\
outputs/  what the newest outputs were made from\n";

/// Why the library cannot be used.
#[derive(Debug, Error)]
pub enum LibraryError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not what it should be.
    #[error("`{}` is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Made by a later release.
    #[error("`{}` has format {found}, this release knows {FORMAT}: use a newer Wimwright or another --library", path.display())]
    Format {
        /// The library.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// Another process uses what is to be removed.
    #[error("the library `{}` is in use by another Wimwright", path.display())]
    InUse {
        /// The library.
        path: PathBuf,
    },
}

/// An opened library. Holds a shared lock: nothing is removed while it is open.
#[derive(Debug)]
pub struct Library {
    root: PathBuf,
    lock: File,
}

impl Library {
    /// Opens the library at `root`, making it when it is not there.
    ///
    /// # Errors
    /// The folder cannot be used, or belongs to a later release.
    pub fn open(root: &Path) -> Result<Self, LibraryError> {
        fs::create_dir_all(root).at("create the library", root)?;
        let lock_path = root.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path).at("open", &lock_path)?;
        flock(&lock, FlockOperation::LockShared).map_err(io::Error::from).at("lock", &lock_path)?;
        let marker = root.join("library.json");
        match fs::read(&marker) {
            Ok(bytes) => {
                let value: serde_json::Value = serde_json::from_slice(&bytes)
                    .map_err(|error| LibraryError::Damaged { path: marker.clone(), problem: error.to_string() })?;
                let found = value["format"].as_u64().unwrap_or_default();
                if found != FORMAT {
                    return Err(LibraryError::Format { path: root.to_owned(), found });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                durable::write(&root.join("README.txt"), README.as_bytes())?;
                durable::write(&marker, format!("{{\"format\": {FORMAT}}}\n").as_bytes())?;
            }
            Err(error) => return Err(error).at("read", &marker).map_err(Into::into),
        }
        Ok(Self { root: root.to_owned(), lock })
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes what killed runs left anywhere in the library: temporary files, and media whose import did not end. Nobody
    /// else may use the library meanwhile. Returns the bytes that were removed.
    pub(crate) fn remove_leftovers(&self) -> Result<u64, FileError> {
        let mut removed = 0;
        let mut waiting = vec![self.root.clone()];
        while let Some(folder) = waiting.pop() {
            removed += durable::remove_leftovers(&folder)?;
            let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).at("list", &folder)?;
            for path in entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir() && !path.is_symlink()) {
                if folder.ends_with("media") && folder.parent() == Some(&self.root) && !path.join("medium.json").exists() {
                    removed += size_of(&path)?;
                    fs::remove_dir_all(&path).at("remove", &path)?;
                } else {
                    waiting.push(path);
                }
            }
        }
        Ok(removed)
    }

    /// Runs `remove` while no other process uses the library.
    ///
    /// # Errors
    /// It is in use, or `remove` fails.
    pub fn exclusively<T>(&self, remove: impl FnOnce() -> Result<T, LibraryError>) -> Result<T, LibraryError> {
        match flock(&self.lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(LibraryError::InUse { path: self.root.clone() }),
            Err(error) => return Err(io::Error::from(error)).at("lock", &self.root).map_err(Into::into),
        }
        let result = remove();
        flock(&self.lock, FlockOperation::LockShared).map_err(io::Error::from).at("lock", &self.root)?;
        result
    }
}

/// Bytes of all files below a folder.
fn size_of(folder: &Path) -> Result<u64, FileError> {
    let mut size = 0;
    for entry in fs::read_dir(folder).at("list", folder)? {
        let entry = entry.at("list", folder)?;
        let metadata = entry.metadata().at("read", &entry.path())?;
        size += if metadata.is_dir() { size_of(&entry.path())? } else { metadata.len() };
    }
    Ok(size)
}

//! An image: its tree, its entry in the WIM's XML data, its blobs, and its hives while they are being edited.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;
use wimwright_format::regf::{self, Hive};
use wimwright_format::wim::{self, BlobId, ImageInfo};

use crate::blobs::{BlobError, Blobs};
use crate::image_file::ImageFile;
use crate::registry::HiveFile;
use crate::tree::{EditError, Entry, MetadataError, Tree};

/// Why an image cannot be read or changed.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The WIM cannot be read.
    #[error(transparent)]
    Wim(#[from] wim::Error),
    /// Its metadata does not make a tree.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Bytes cannot be had.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The tree cannot be changed like that.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A file that must be there is not.
    #[error("the image has no {what} (`{path}`)")]
    NoFile {
        /// What the file is.
        what: &'static str,
        /// Where it should be.
        path: String,
    },
    /// A hive cannot be read.
    #[error("the hive `{path}` cannot be read")]
    Hive {
        /// The file in the image.
        path: String,
        /// What is wrong with it.
        source: regf::Error,
    },
    /// A key cannot be changed.
    #[error("`{key}` cannot be changed")]
    HiveEdit {
        /// The key.
        key: String,
        /// Why.
        source: regf::Error,
    },
}

impl ImageError {
    /// An edit of `key` (below the root of `hive`) that failed.
    #[must_use]
    pub fn hive_edit(hive: HiveFile, key: &str, source: regf::Error) -> Self {
        let separator = if key.is_empty() { "" } else { "\\" };
        Self::HiveEdit { key: format!("{}{separator}{key}", hive.mount_point()), source }
    }
}

#[derive(Clone)]
struct LoadedHive {
    hive: Arc<Hive>,
    changed: bool,
}

/// An image. Clones are cheap and independent; they share the blobs, which only ever grow.
#[derive(Clone)]
pub struct Image {
    /// The files.
    pub tree: Tree,
    /// The image's entry in the XML data.
    pub info: ImageInfo,
    /// The bytes.
    pub blobs: Blobs,
    hives: BTreeMap<HiveFile, LoadedHive>,
}

impl Image {
    /// An image of a tree whose contents are in `blobs`.
    #[must_use]
    pub fn new(tree: Tree, info: ImageInfo, blobs: Blobs) -> Self {
        Self { tree, info, blobs, hives: BTreeMap::new() }
    }

    /// Image number `index` (from 1) of an image file, whose blobs are added to `blobs`. Reads its metadata resource only.
    ///
    /// # Errors
    /// There is no such image, or its metadata is damaged.
    pub fn open(file: &ImageFile, index: u32, blobs: &Blobs) -> Result<Self, ImageError> {
        let tree = Tree::from_metadata(file.metadata(index)?)?;
        file.parts().iter().for_each(|part| blobs.add_pack(part.clone()));
        Ok(Self::new(tree, file.info(index), blobs.clone()))
    }

    /// The contents of a file (its unnamed stream).
    ///
    /// # Errors
    /// Nothing is there, it is a directory, or the bytes cannot be had.
    pub fn read(&self, path: &str) -> Result<Arc<[u8]>, ImageError> {
        let entry = self.tree.at(path).filter(|entry| !entry.is_directory());
        let entry = entry.ok_or_else(|| ImageError::NoFile { what: "file", path: path.to_owned() })?;
        self.contents(entry)
    }

    /// The contents of a tree entry.
    ///
    /// # Errors
    /// The bytes cannot be had.
    pub fn contents(&self, entry: Entry<'_>) -> Result<Arc<[u8]>, ImageError> {
        match entry.inode().contents {
            Some(id) => Ok(self.blobs.read(&id)?),
            None => Ok(Arc::from([])),
        }
    }

    /// A hive, read on first touch with its transaction logs applied; `None` when the image does not have it.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn hive(&mut self, file: HiveFile) -> Result<Option<Arc<Hive>>, ImageError> {
        if let Some(loaded) = self.hives.get(&file) {
            return Ok(Some(loaded.hive.clone()));
        }
        let Some(primary) = self.tree.at(file.path()).and_then(|entry| entry.inode().contents) else { return Ok(None) };
        let primary = self.blobs.read_to_vec(&primary)?;
        let mut logs = Vec::new();
        for path in log_paths(file) {
            if let Some(log) = self.tree.at(&path).filter(|log| !log.is_directory()) {
                logs.push(self.contents(log)?);
            }
        }
        let logs: Vec<_> = logs.iter().map(AsRef::as_ref).collect();
        let hive = Hive::recover(primary, &logs).map_err(|source| ImageError::Hive { path: file.path().to_owned(), source })?;
        let hive = Arc::new(hive);
        self.hives.insert(file, LoadedHive { hive: hive.clone(), changed: false });
        Ok(Some(hive))
    }

    /// Changes a hive. The change is in the tree after [`Image::commit`].
    ///
    /// # Errors
    /// The image has no such hive, it cannot be read, or `change` fails.
    pub fn edit_hive<T, E: From<ImageError>>(&mut self, file: HiveFile, change: impl FnOnce(&mut Hive) -> Result<T, E>) -> Result<T, E> {
        if self.hive(file)?.is_none() {
            return Err(ImageError::NoFile { what: "registry hive", path: file.path().to_owned() }.into());
        }
        let Some(loaded) = self.hives.get_mut(&file) else { unreachable!("the hive was loaded just now") };
        loaded.changed = true;
        change(Arc::make_mut(&mut loaded.hive))
    }

    /// Writes hives whose bytes changed back as blobs and empties their logs, whose entries are now part of the hive. `time` becomes
    /// the files' write time (FILETIME).
    ///
    /// # Errors
    /// The tree cannot be changed.
    pub fn commit(&mut self, time: u64) -> Result<(), ImageError> {
        let changed: Vec<HiveFile> = self.hives.iter().filter(|(_, loaded)| loaded.changed).map(|(file, _)| *file).collect();
        for file in changed {
            // From now on the hive is what a reader of the file gets, with its new sequence numbers: what is done next must not
            // depend on whether this image stayed in memory.
            let Some(loaded) = self.hives.remove(&file) else { continue };
            let blob: Option<BlobId> = self.blobs.add_vec(Arc::unwrap_or_clone(loaded.hive).into_bytes());
            let path = crate::ImagePath::parse(file.path()).unwrap_or_default();
            // An edit that changed nothing leaves the file alone, its time included.
            if self.tree.get(&path).is_some_and(|entry| entry.inode().contents == blob) {
                continue;
            }
            self.tree.update(&path, |inode| {
                inode.contents = blob;
                inode.written = time;
            })?;
            for log in log_paths(file) {
                let path = crate::ImagePath::parse(&log).unwrap_or_default();
                if self.tree.get(&path).is_some_and(|entry| entry.inode().contents.is_some()) {
                    self.tree.update(&path, |inode| {
                        inode.contents = None;
                        inode.written = time;
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// The transaction logs of a hive file: both of the current generation, and the one of Windows XP.
fn log_paths(file: HiveFile) -> [String; 3] {
    ["LOG1", "LOG2", "LOG"].map(|suffix| format!("{}.{suffix}", file.path()))
}

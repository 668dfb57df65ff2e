//! Where the bytes of an image live: in packs (WIM files) and in staged contents that no pack holds yet.
//!
//! A blob is named by the SHA-1 of its bytes, so what is added never changes what was there, and all images of a build
//! can share one store. Nothing is read before it is asked for.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use sha1::{Digest, Sha1};
use thiserror::Error;
use wimwright_format::io::{ReadAt, Reader};
use wimwright_format::wim::write::BlobSource;
use wimwright_format::wim::{self, BlobId, BlobView, Wim};

use crate::spool::{MakeFile, Spool};

/// Largest blob that is read into memory as a whole (a hive, a configuration file). COMPONENTS, the largest hive seen on
/// real images, stays below 200 MB.
pub const MAX_WHOLE_BLOB: u64 = 1 << 30;

/// Bytes of staged contents that are held in memory where there is a file for what is more. Hives, scripts and small updates stay below.
const MAX_HELD: u64 = 128 << 20;

/// Why bytes cannot be had.
#[derive(Debug, Error)]
pub enum BlobError {
    /// No pack holds the blob.
    #[error("blob {id} is in none of the packs: the image refers to contents that are not here")]
    Missing {
        /// The blob.
        id: BlobId,
    },
    /// A pack could not give it.
    #[error("blob {id} cannot be read")]
    Read {
        /// The blob.
        id: BlobId,
        /// What the pack says.
        source: wim::Error,
    },
    /// A staged source could not be read.
    #[error("the contents that were to be added cannot be read")]
    Staged {
        /// What the system says.
        source: std::io::Error,
    },
    /// Too large to be held in memory.
    #[error("blob {id} has {size} bytes: more than {MAX_WHOLE_BLOB} are not read at once")]
    TooLarge {
        /// The blob.
        id: BlobId,
        /// Its size in bytes.
        size: u64,
    },
}

/// Contents that no pack holds yet.
#[derive(Clone)]
enum Staged {
    Bytes(Arc<[u8]>),
    Source {
        source: Arc<dyn ReadAt>,
        /// Whether that is memory.
        held: bool,
    },
}

impl Staged {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Source { source, .. } => source.size(),
        }
    }

    /// How much of it is in memory.
    fn held(&self) -> u64 {
        match self {
            Self::Bytes(_) | Self::Source { held: true, .. } => self.size(),
            Self::Source { held: false, .. } => 0,
        }
    }
}

#[derive(Default)]
struct Inner {
    packs: Vec<Arc<Wim>>,
    staged: HashMap<BlobId, Staged>,
    /// Bytes of the staged contents that are held in memory.
    held: u64,
    spool: Option<Spool>,
}

impl Inner {
    fn has(&self, id: &BlobId) -> bool {
        self.staged.contains_key(id) || self.packs.iter().any(|pack| pack.blob(id).is_some())
    }
}

/// The store. Clones are handles to the same store.
#[derive(Clone, Default)]
pub struct Blobs {
    inner: Arc<Mutex<Inner>>,
}

impl Blobs {
    fn with<T>(&self, action: impl FnOnce(&mut Inner) -> T) -> T {
        action(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An empty store that writes added bytes to a file when they become too many for memory.
    #[must_use]
    pub fn with_spool(make: MakeFile) -> Self {
        let blobs = Self::default();
        blobs.with(|inner| inner.spool = Some(Spool::new(make)));
        blobs
    }

    /// Makes the blobs of a pack available. Blobs that were staged and are in the pack are read from it from now on.
    pub fn add_pack(&self, pack: Arc<Wim>) {
        self.with(|inner| {
            inner.staged.retain(|id, _| pack.blob(id).is_none());
            inner.held = inner.staged.values().map(Staged::held).sum();
            if let Some(spool) = &mut inner.spool {
                spool.release();
            }
            if !inner.packs.iter().any(|known| Arc::ptr_eq(known, &pack)) {
                inner.packs.push(pack);
            }
        });
    }

    /// Adds bytes. `None` for no bytes: an empty stream has no blob.
    pub fn add_bytes(&self, bytes: impl Into<Arc<[u8]>>) -> Option<BlobId> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return None;
        }
        let id = BlobId(Sha1::digest(&bytes).into());
        let spooled = self.spool(&id, &bytes);
        self.stage(id, spooled.unwrap_or(Staged::Bytes(bytes)));
        Some(id)
    }

    /// Writes bytes to the file for what is too much for memory; `None` when they are to be held there: there is room, there is no such
    /// file, or it cannot be written.
    fn spool(&self, id: &BlobId, bytes: &[u8]) -> Option<Staged> {
        let size = bytes.len() as u64;
        let spooled = self.with(|inner| {
            let held = inner.held.saturating_add(size);
            if inner.has(id) || held <= MAX_HELD {
                return None;
            }
            inner.spool.as_mut()?.reserve(size).ok()
        })?;
        spooled.fill(bytes).ok()?;
        Some(Staged::Source { source: Arc::new(spooled), held: false })
    }

    /// Like [`Self::add_bytes`], without copying them.
    pub fn add_vec(&self, bytes: Vec<u8>) -> Option<BlobId> {
        if bytes.is_empty() {
            return None;
        }
        let id = BlobId(Sha1::digest(&bytes).into());
        let spooled = self.spool(&id, &bytes);
        self.stage(id, spooled.unwrap_or_else(|| Staged::Source { source: Arc::new(bytes), held: true }));
        Some(id)
    }

    /// Adds the contents of a source, which is read now for its hash and again when it is written. `None` when empty.
    ///
    /// # Errors
    /// The source cannot be read.
    pub fn add_source(&self, source: Arc<dyn ReadAt>) -> Result<Option<BlobId>, BlobError> {
        if source.size() == 0 {
            return Ok(None);
        }
        let mut hash = Sha1::new();
        let mut reader = Reader::new(&source);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match reader.read(&mut buffer).map_err(|source| BlobError::Staged { source })? {
                0 => break,
                length => hash.update(&buffer[..length]),
            }
        }
        let id = BlobId(hash.finalize().into());
        self.stage(id, Staged::Source { source, held: false });
        Ok(Some(id))
    }

    fn stage(&self, id: BlobId, contents: Staged) {
        self.with(|inner| {
            if !inner.has(&id) {
                inner.held = inner.held.saturating_add(contents.held());
                inner.staged.insert(id, contents);
            }
        });
    }

    fn pack_of(&self, id: &BlobId) -> Option<Arc<Wim>> {
        self.with(|inner| inner.packs.iter().find(|pack| pack.blob(id).is_some()).cloned())
    }

    /// True when the blob is staged: no pack holds it yet.
    #[must_use]
    pub fn is_staged(&self, id: &BlobId) -> bool {
        self.with(|inner| inner.staged.contains_key(id))
    }

    /// Uncompressed size in bytes; `None` when the blob is nowhere.
    #[must_use]
    pub fn size(&self, id: &BlobId) -> Option<u64> {
        self.with(|inner| {
            inner.staged.get(id).map(Staged::size).or_else(|| inner.packs.iter().find_map(|pack| pack.blob(id)).map(|blob| blob.size))
        })
    }

    /// Reads a whole blob and checks its hash.
    ///
    /// # Errors
    /// It is missing, damaged, or larger than [`MAX_WHOLE_BLOB`].
    pub fn read(&self, id: &BlobId) -> Result<Arc<[u8]>, BlobError> {
        match self.with(|inner| inner.staged.get(id).cloned()) {
            Some(Staged::Bytes(bytes)) => Ok(bytes),
            _ => self.read_to_vec(id).map(Into::into),
        }
    }

    /// Like [`Self::read`], for whoever changes the bytes: with room for an eighth more, so that they can grow in place.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_to_vec(&self, id: &BlobId) -> Result<Vec<u8>, BlobError> {
        let staged = self.with(|inner| inner.staged.get(id).cloned());
        let size = self.size(id).ok_or(BlobError::Missing { id: *id })?;
        if size > MAX_WHOLE_BLOB {
            return Err(BlobError::TooLarge { id: *id, size });
        }
        let (mut bytes, room) = (Vec::new(), (size + size / 8) as usize);
        match staged {
            Some(Staged::Bytes(staged)) => {
                bytes.reserve_exact(room);
                bytes.extend_from_slice(&staged);
            }
            Some(Staged::Source { source, .. }) => {
                bytes.reserve_exact(room);
                bytes.resize(size as usize, 0);
                source.read_exact_at(&mut bytes, 0).map_err(|source| BlobError::Staged { source })?;
            }
            None => {
                let pack = self.pack_of(id).ok_or(BlobError::Missing { id: *id })?;
                let read = pack.for_each_blob::<wim::Error>([*id], |_, _, piece| {
                    // Not before the first piece: a size that nothing stands behind is not allocated.
                    if bytes.is_empty() {
                        bytes.reserve_exact(room);
                    }
                    bytes.extend_from_slice(piece);
                    Ok(())
                });
                read.map_err(|source| BlobError::Read { id: *id, source })?;
            }
        }
        Ok(bytes)
    }

    /// Copies a blob of any size and checks its hash.
    ///
    /// # Errors
    /// It is missing or damaged, or `output` fails.
    pub fn copy(&self, id: &BlobId, output: &mut dyn std::io::Write) -> Result<(), BlobError> {
        match self.with(|inner| inner.staged.get(id).cloned()) {
            Some(Staged::Bytes(bytes)) => output.write_all(&bytes).map_err(|source| BlobError::Staged { source }),
            Some(Staged::Source { source, .. }) => {
                std::io::copy(&mut Reader::new(source), output).map(drop).map_err(|source| BlobError::Staged { source })
            }
            None => {
                let pack = self.pack_of(id).ok_or(BlobError::Missing { id: *id })?;
                pack.copy_blob(id, output).map_err(|source| BlobError::Read { id: *id, source })
            }
        }
    }

    /// Hands over many blobs, each once: those of a pack in the order of their place in it, so that chunks of solid resources are
    /// decompressed once. `visit` gets the blob, its size, a position in it, and the bytes there; the pieces of a blob come in
    /// order, one blob after the other. Hashes are checked.
    ///
    /// # Errors
    /// The first blob that is missing or damaged; those that come after it are not read.
    pub fn for_each(&self, ids: impl IntoIterator<Item = BlobId>, mut visit: impl FnMut(BlobId, u64, u64, &[u8])) -> Result<(), BlobError> {
        let packs = self.with(|inner| inner.packs.clone());
        let mut of_packs: Vec<Vec<BlobId>> = vec![Vec::new(); packs.len()];
        for id in ids {
            match packs.iter().position(|pack| pack.blob(&id).is_some()) {
                Some(pack) => of_packs[pack].push(id),
                None => {
                    let bytes = self.read(&id)?;
                    visit(id, bytes.len() as u64, 0, &bytes);
                }
            }
        }
        for (pack, ids) in packs.iter().zip(of_packs) {
            let Some(first) = ids.first().copied() else { continue };
            let mut reached = first;
            let read = pack.for_each_blob::<wim::Error>(ids, |blob, position, piece| {
                reached = blob.id;
                visit(blob.id, blob.size, position, piece);
                Ok(())
            });
            read.map_err(|source| BlobError::Read { id: reached, source })?;
        }
        Ok(())
    }

    /// The blob as a byte source that decodes only what is read: for a WIM inside an image. Its hash is not checked.
    ///
    /// # Errors
    /// It is missing.
    pub fn view(&self, id: &BlobId) -> Result<Arc<dyn ReadAt>, BlobError> {
        match self.with(|inner| inner.staged.get(id).cloned()) {
            Some(Staged::Bytes(bytes)) => Ok(Arc::new(bytes.to_vec())),
            Some(Staged::Source { source, .. }) => Ok(source),
            None => {
                let pack = self.pack_of(id).ok_or(BlobError::Missing { id: *id })?;
                let view = BlobView::new(&pack, id).map_err(|source| BlobError::Read { id: *id, source })?;
                Ok(Arc::new(view))
            }
        }
    }

    /// Where a WIM writer takes the blob from.
    ///
    /// # Errors
    /// It is missing.
    pub fn source(&self, id: &BlobId) -> Result<BlobSource, BlobError> {
        match self.with(|inner| inner.staged.get(id).cloned()) {
            Some(Staged::Bytes(bytes)) => Ok(BlobSource::Bytes(bytes)),
            Some(Staged::Source { source, .. }) => {
                let size = source.size();
                Ok(BlobSource::Stream { size, open: Arc::new(move || Ok(Box::new(Reader::new(source.clone())))) })
            }
            None => self.pack_of(id).map(BlobSource::Wim).ok_or(BlobError::Missing { id: *id }),
        }
    }
}

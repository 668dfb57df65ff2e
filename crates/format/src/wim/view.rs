//! A blob as a byte source: a file in an image, read at any place without being extracted.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::extract::ChunkReader;
use super::resource::{ChunkTable, Layout};
use super::{Blob, BlobId, Error, Wim};
use crate::io::ReadAt;

/// Uncompressed bytes of chunks that a view keeps; at least one chunk.
const CACHE_SIZE: u64 = 8 << 20;

/// A blob that can be read at any offset: an image inside an image, for one (`winre.wim` in `install.wim`).
///
/// Only the chunks asked for are decompressed, and the last ones are kept. The blob's SHA-1 is *not* checked: that would
/// need all of it.
pub struct BlobView {
    wim: Arc<Wim>,
    blob: Blob,
    table: ChunkTable,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    reader: ChunkReader,
    /// Chunks by number, the latest last.
    chunks: VecDeque<(u64, Arc<Vec<u8>>)>,
    size: u64,
}

impl BlobView {
    /// A view of a blob of `wim`.
    ///
    /// # Errors
    /// [`Error::BlobMissing`], or [`Error::Resource`] for a malformed chunk table.
    pub fn new(wim: &Arc<Wim>, id: &BlobId) -> Result<Self, Error> {
        let blob = *wim.blob(id).ok_or(Error::BlobMissing { id: *id })?;
        let table = blob.resource.chunk_table(&**wim.source())?;
        Ok(Self { wim: Arc::clone(wim), blob, table, cache: Mutex::default() })
    }

    /// A chunk's bytes, from the cache or decompressed.
    fn chunk(&self, number: u64) -> Result<Arc<Vec<u8>>, Error> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = cache.chunks.iter().find(|(known, _)| *known == number) {
            return Ok(Arc::clone(bytes));
        }
        let resource = &self.blob.resource;
        let missing = Error::Resource { offset: resource.offset, reason: "a blob lies outside it" };
        let chunk = self.table.chunk(number).ok_or(missing)?;
        let bytes = Arc::new(cache.reader.read(&**self.wim.source(), resource, number, chunk)?);
        cache.size = cache.size.saturating_add(bytes.len() as u64);
        cache.chunks.push_back((number, Arc::clone(&bytes)));
        while cache.size > CACHE_SIZE && cache.chunks.len() > 1 {
            let dropped = cache.chunks.pop_front().map_or(0, |(_, bytes)| bytes.len() as u64);
            cache.size = cache.size.saturating_sub(dropped);
        }
        Ok(bytes)
    }
}

impl ReadAt for BlobView {
    fn size(&self) -> u64 {
        self.blob.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.blob.size);
        if end.is_none() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("offset {offset} lies past the end of blob {}", self.blob.id),
            ));
        }
        let mut position = self.blob.offset.saturating_add(offset);
        let mut rest = buffer;
        while !rest.is_empty() {
            let number = position.checked_div(self.table.chunk_size()).unwrap_or_default();
            let chunk = self.chunk(number).map_err(io::Error::other)?;
            let skip = position.saturating_sub(number.saturating_mul(self.table.chunk_size()));
            let bytes = usize::try_from(skip).ok().and_then(|skip| chunk.get(skip..)).unwrap_or_default();
            let (now, later) = rest.split_at_mut(bytes.len().min(rest.len()));
            if now.is_empty() {
                return Err(io::Error::other("a chunk is shorter than its table says"));
            }
            now.copy_from_slice(bytes.get(..now.len()).unwrap_or_default());
            position = position.saturating_add(now.len() as u64);
            rest = later;
        }
        Ok(())
    }

    fn host_range(&self, offset: u64, length: u64) -> Option<(&File, u64)> {
        if self.blob.resource.layout != Layout::Plain || offset.checked_add(length)? > self.blob.size {
            return None;
        }
        self.wim.source().host_range(self.blob.resource.offset.checked_add(offset)?, length)
    }
}

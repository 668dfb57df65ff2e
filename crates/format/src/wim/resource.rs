//! Resources: runs of the file that hold data, plain or in compressed chunks.
//!
//! A compressed resource is cut into chunks of equal uncompressed length (the last may be shorter). A chunk as long
//! stored as uncompressed is stored plain. Where the chunks start stands in a chunk table, in one of three forms:
//!
//! | form | table | |
//! |---|---|---|
//! | standard | before the chunks | offsets of all chunks but the first, from the table's end; u32, or u64 above 4 GiB |
//! | solid | `{ size: u64, chunk size: u32, compression: u32 }`, then the table, then the chunks | u32 *lengths* of all chunks |
//! | pipable | after the chunks | as standard; each chunk has its u32 length before it, which the offsets don't count |
//!
//! Sources: wimlib's `resource.h`, `resource.c`; checked against its output.

use wimwright_codec::Compression;

use super::Error;
use super::fields::Fields;
use super::header::ResourceHeader;
use crate::io::ReadAt;

/// Length of the header of a solid resource.
pub(super) const SOLID_HEADER_SIZE: u64 = 16;
/// Length of the stored length before each chunk of a pipable resource.
pub(super) const PIPABLE_CHUNK_HEADER_SIZE: u64 = 4;
/// From this uncompressed size on, standard chunk tables have entries of eight bytes.
pub(super) const LARGE_RESOURCE: u64 = 1 << 32;

/// A plain resource is read in pieces of this size.
const PLAIN_PIECE_SIZE: u64 = 1 << 20;

/// How a resource's chunk table is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkForm {
    /// Table of offsets, then chunks.
    Standard,
    /// Several blobs in one resource: header, table of lengths, chunks.
    Solid,
    /// wimlib's form that can be read from a pipe.
    Pipable,
}

/// How a resource's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As they are.
    Plain,
    /// In compressed chunks.
    Chunked {
        /// The chunks' format; `None` for a solid resource that stores its chunks plain.
        compression: Option<Compression>,
        /// Uncompressed bytes in a chunk.
        chunk_size: u32,
        /// Where the chunks' positions stand.
        form: ChunkForm,
    },
}

/// Where and how a resource is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// Position in the file.
    pub offset: u64,
    /// Bytes in the file, tables included.
    pub stored_size: u64,
    /// Uncompressed bytes.
    pub size: u64,
    /// How the bytes are stored.
    pub layout: Layout,
}

/// A chunk: where its stored bytes are and what they become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) offset: u64,
    pub(super) stored_size: u64,
    pub(super) size: u64,
}

/// Where every chunk of a resource lies.
pub(super) struct ChunkTable {
    /// The stored bytes of chunk `i` are between entry `i` and entry `i + 1`, headers aside. `None`: stored plain.
    bounds: Option<Vec<u64>>,
    resource: Resource,
    chunk_size: u64,
    /// Bytes at the start of a stored chunk that are not data.
    chunk_header: u64,
}

impl Resource {
    /// A resource that is not solid.
    pub(super) fn from_header(header: &ResourceHeader, compression: Option<Compression>, chunk_size: u32, pipable: bool) -> Self {
        let compressed = header.flags & super::header::resource_flags::COMPRESSED != 0 && compression.is_some();
        let form = if pipable { ChunkForm::Pipable } else { ChunkForm::Standard };
        let layout = if compressed { Layout::Chunked { compression, chunk_size, form } } else { Layout::Plain };
        Self { offset: header.offset, stored_size: header.stored_size, size: header.size, layout }
    }

    /// Reads the header of the solid resource at `offset`.
    pub(super) fn read_solid(source: &dyn ReadAt, offset: u64, stored_size: u64) -> Result<Self, Error> {
        let bad = |reason| Error::Resource { offset, reason };
        let mut header = [0; SOLID_HEADER_SIZE as usize];
        read(source, "header of a solid resource", offset, &mut header)?;
        let fields = Fields(&header);
        let size = fields.u64(0).unwrap_or_default();
        let chunk_size = fields.u32(8).unwrap_or_default();
        let compression = match fields.u32(12).unwrap_or_default() {
            0 => None,
            1 => Some(Compression::Xpress),
            2 => Some(Compression::Lzx),
            3 => Some(Compression::Lzms),
            _ => return Err(bad("unknown compression of a solid resource")),
        };
        if !compression.map_or(chunk_size.is_power_of_two(), |compression| compression.supports_chunk_size(chunk_size)) {
            return Err(bad("the compression has no such chunk size"));
        }
        Ok(Self { offset, stored_size, size, layout: Layout::Chunked { compression, chunk_size, form: ChunkForm::Solid } })
    }

    /// Reads where the chunks lie. A plain resource is treated as chunks of [`PLAIN_PIECE_SIZE`] stored as they are.
    pub(super) fn chunk_table(&self, source: &dyn ReadAt) -> Result<ChunkTable, Error> {
        let bad = |reason| Error::Resource { offset: self.offset, reason };
        let end = self.offset.checked_add(self.stored_size).filter(|end| *end <= source.size());
        let end = end.ok_or_else(|| bad("it reaches past the end of the file"))?;
        let Layout::Chunked { chunk_size, form, .. } = self.layout else {
            if self.size != self.stored_size {
                return Err(bad("stored plain, but the stored and the uncompressed size differ"));
            }
            return Ok(ChunkTable { bounds: None, resource: *self, chunk_size: PLAIN_PIECE_SIZE, chunk_header: 0 });
        };
        let count = self.size.div_ceil(u64::from(chunk_size));
        let (entry_size, entries) = match form {
            ChunkForm::Solid => (4, count),
            _ => (if self.size < LARGE_RESOURCE { 4_u64 } else { 8 }, count.saturating_sub(1)),
        };
        let table_size = entries.saturating_mul(entry_size);
        let chunk_header = if form == ChunkForm::Pipable { PIPABLE_CHUNK_HEADER_SIZE } else { 0 };
        let overhead = match form {
            ChunkForm::Standard => table_size,
            ChunkForm::Solid => table_size.saturating_add(SOLID_HEADER_SIZE),
            ChunkForm::Pipable => table_size.saturating_add(count.saturating_mul(chunk_header)),
        };
        // Also bounds the allocations below by the file's size.
        let data_size = self.stored_size.checked_sub(overhead).ok_or_else(|| bad("its chunk table does not fit into it"))?;
        let (table_offset, data_offset) = match form {
            ChunkForm::Standard => (self.offset, self.offset.saturating_add(table_size)),
            ChunkForm::Solid => {
                (self.offset.saturating_add(SOLID_HEADER_SIZE), self.offset.saturating_add(SOLID_HEADER_SIZE).saturating_add(table_size))
            }
            ChunkForm::Pipable => (end.saturating_sub(table_size), self.offset),
        };
        let mut table = vec![0; usize::try_from(table_size).map_err(|_| bad("its chunk table does not fit into memory"))?];
        read(source, "chunk table", table_offset, &mut table)?;
        let mut bounds = Vec::with_capacity(usize::try_from(count).unwrap_or_default().saturating_add(1));
        bounds.push(0);
        let mut sum = 0_u64;
        for entry in table.chunks_exact(if entry_size == 8 { 8 } else { 4 }) {
            let value = entry.try_into().map_or_else(|_| Fields(entry).u32(0).map_or(0, u64::from), u64::from_le_bytes);
            sum = if form == ChunkForm::Solid { sum.saturating_add(value) } else { value };
            bounds.push(sum);
        }
        if form != ChunkForm::Solid && count > 0 {
            bounds.push(data_size);
        }
        if bounds.windows(2).any(|pair| matches!(pair, [start, end] if start > end)) || bounds.last().is_some_and(|last| *last > data_size)
        {
            return Err(bad("its chunk table contradicts itself"));
        }
        for (index, bound) in bounds.iter_mut().enumerate() {
            *bound = bound.saturating_add(data_offset).saturating_add((index as u64).saturating_mul(chunk_header));
        }
        let table = ChunkTable { bounds: Some(bounds), resource: *self, chunk_size: u64::from(chunk_size), chunk_header };
        if (0..count).any(|index| table.chunk(index).is_none_or(|chunk| chunk.stored_size > chunk.size || chunk.stored_size == 0)) {
            return Err(bad("a chunk is empty, or longer stored than uncompressed"));
        }
        Ok(table)
    }
}

impl ChunkTable {
    /// Uncompressed bytes in every chunk but the last.
    pub(super) fn chunk_size(&self) -> u64 {
        self.chunk_size
    }

    pub(super) fn chunk(&self, index: u64) -> Option<Chunk> {
        let position = index.checked_mul(self.chunk_size)?;
        let size = self.resource.size.checked_sub(position)?.min(self.chunk_size);
        let Some(bounds) = &self.bounds else {
            return Some(Chunk { offset: self.resource.offset.checked_add(position)?, stored_size: size, size });
        };
        let at = usize::try_from(index).ok()?;
        let start = bounds.get(at)?.checked_add(self.chunk_header)?;
        let end = *bounds.get(at.checked_add(1)?)?;
        Some(Chunk { offset: start, stored_size: end.checked_sub(start)?, size })
    }
}

/// Reads bytes of the WIM and says what they were to be when that fails.
pub(super) fn read(source: &dyn ReadAt, what: &'static str, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
    source.read_exact_at(buffer, offset).map_err(|source| Error::Read { what, offset, source })
}

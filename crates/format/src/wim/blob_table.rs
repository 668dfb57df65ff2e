//! The blob table ("lookup table"): which blobs the file stores, where, and how often they are used.
//!
//! Entries of 50 bytes: `{ resource header: 24, part number: u16, reference count: u32, SHA-1: 20 }`. Metadata resources
//! are entries too, one per image, in the images' order.
//!
//! Solid resources come as a run of entries with the solid flag: those whose uncompressed size is 2^32 (an impossible
//! value that serves as a mark) are the resources, the others are blobs. A blob's resource header gives its size and its
//! position in the uncompressed data of *all* resources of the run, one after the other. Sources: wimlib's `blob_table.c`.

use std::collections::HashMap;

use wimwright_codec::Compression;

use super::fields::Fields;
use super::header::{Header, ResourceHeader, resource_flags};
use super::resource::{ChunkForm, Layout, Resource};
use super::{BlobId, Error};
use crate::io::ReadAt;

/// Length of an entry on disk.
pub(super) const ENTRY_SIZE: usize = 50;
/// The uncompressed size that marks a solid resource.
pub(super) const SOLID_RESOURCE_MARK: u64 = 1 << 32;
/// Largest blob table we load: 20 million entries. Real ones have a few hundred thousand.
pub const MAX_BLOB_TABLE_SIZE: u64 = 1_000_000_000;

/// A blob as a WIM stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// Its name.
    pub id: BlobId,
    /// Uncompressed bytes.
    pub size: u64,
    /// How many times the images refer to it, as the table says.
    pub reference_count: u32,
    /// The resource that holds it.
    pub resource: Resource,
    /// Where in the resource's uncompressed data it starts: 0 unless the resource is solid.
    pub offset: u64,
}

/// What a blob table says.
pub(super) struct BlobTable {
    /// Contents, in order of their place on disk.
    pub(super) blobs: Vec<Blob>,
    /// Metadata resources, in the images' order.
    pub(super) metadata: Vec<Blob>,
    index: HashMap<BlobId, u32>,
}

impl BlobTable {
    pub(super) fn get(&self, id: &BlobId) -> Option<&Blob> {
        self.blobs.get(usize::try_from(*self.index.get(id)?).ok()?)
    }

    /// Reads the table. The source is needed for the headers of solid resources.
    pub(super) fn decode(bytes: &[u8], header: &Header, source: &dyn ReadAt) -> Result<Self, Error> {
        let mut blobs = Vec::new();
        let mut metadata = Vec::new();
        // The run of solid entries that is being read: its resources, and where its blobs wait for them.
        let mut solid: Vec<Resource> = Vec::new();
        let mut waiting: Vec<(usize, Blob, u64, bool)> = Vec::new();
        for (entry, bytes) in bytes.chunks_exact(ENTRY_SIZE).enumerate() {
            let bad = |reason| Error::BlobTable { entry, reason };
            let fields = Fields(bytes);
            let place = ResourceHeader::decode(fields, 0).unwrap_or_default();
            let is_solid = place.flags & resource_flags::SOLID != 0 && header.version == super::header::VERSION_SOLID;
            if !is_solid {
                close_run(&mut solid, &mut waiting, &mut blobs, &mut metadata)?;
            }
            if is_solid && place.size == SOLID_RESOURCE_MARK {
                solid.push(Resource::read_solid(source, place.offset, place.stored_size)?);
                continue;
            }
            // wimlib warns of entries of other parts and of freed ones, and passes over them.
            let other_part = fields.u16(24) != Some(header.part_number);
            if other_part || place.flags & resource_flags::FREE != 0 {
                continue;
            }
            let reference_count = fields.u32(26).unwrap_or_default();
            let is_metadata = place.flags & resource_flags::METADATA != 0;
            let id = BlobId::from_field(fields.array(30).unwrap_or_default());
            if is_metadata && (reference_count == 0 || header.part_number != 1) {
                continue;
            }
            let Some(id) = id else {
                if is_metadata {
                    return Err(bad("metadata without a SHA-1"));
                }
                continue;
            };
            let resource = Resource::from_header(&place, header.compression, header.chunk_size, header.pipable);
            let mut blob = Blob { id, size: place.size, reference_count, resource, offset: 0 };
            if is_solid {
                blob.size = place.stored_size;
                waiting.push((entry, blob, place.offset, is_metadata));
            } else if blob.size > 0 {
                if is_metadata { &mut metadata } else { &mut blobs }.push(blob);
            }
        }
        close_run(&mut solid, &mut waiting, &mut blobs, &mut metadata)?;
        blobs.sort_by_key(|blob| (blob.resource.offset, blob.offset));
        let mut index = HashMap::with_capacity(blobs.len());
        let mut kept: Vec<Blob> = Vec::with_capacity(blobs.len());
        for blob in blobs {
            // Of several entries for the same contents the first on disk serves.
            let position = u32::try_from(kept.len()).map_err(|_| Error::BlobTable { entry: kept.len(), reason: "too many entries" })?;
            if let std::collections::hash_map::Entry::Vacant(vacant) = index.entry(blob.id) {
                vacant.insert(position);
                kept.push(blob);
            }
        }
        check_extent(&kept, source.size())?;
        metadata.truncate(usize::try_from(header.image_count).unwrap_or(usize::MAX));
        Ok(Self { blobs: kept, metadata, index })
    }
}

/// Refuses tables whose resources are longer together than the file, or whose blobs are longer together than their solid
/// resource. No writer lets contents overlap, and a few kilobytes of overlapping entries could stand for years of work.
fn check_extent(blobs: &[Blob], file_size: u64) -> Result<(), Error> {
    let mut stored = 0_u64;
    for group in blobs.chunk_by(|left, right| left.resource == right.resource) {
        let Some(Resource { offset, stored_size, size, layout }) = group.first().map(|blob| blob.resource) else { continue };
        let is_solid = matches!(layout, Layout::Chunked { form: ChunkForm::Solid, .. });
        let count = if is_solid { 1 } else { group.len() as u64 };
        stored = stored.saturating_add(stored_size.saturating_mul(count));
        let bytes = group.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
        if is_solid && bytes > size {
            return Err(Error::Resource { offset, reason: "its blobs are longer together than it" });
        }
        if stored > file_size {
            return Err(Error::Resource { offset, reason: "it and the resources before it are longer than the file" });
        }
    }
    Ok(())
}

/// Ends a run of solid entries: finds every blob's resource.
fn close_run(
    solid: &mut Vec<Resource>,
    waiting: &mut Vec<(usize, Blob, u64, bool)>,
    blobs: &mut Vec<Blob>,
    metadata: &mut Vec<Blob>,
) -> Result<(), Error> {
    if solid.is_empty() && waiting.is_empty() {
        return Ok(());
    }
    // Where each resource starts in the uncompressed data of the run.
    let mut starts = Vec::with_capacity(solid.len());
    let mut total = 0_u64;
    for resource in solid.iter() {
        starts.push(total);
        total = total.saturating_add(resource.size);
    }
    for (entry, mut blob, position, is_metadata) in waiting.drain(..) {
        let bad = |reason| Error::BlobTable { entry, reason };
        let index = starts.partition_point(|start| *start <= position).checked_sub(1).ok_or_else(|| bad("no solid resource for it"))?;
        let (start, resource) = starts.get(index).zip(solid.get(index)).ok_or_else(|| bad("no solid resource for it"))?;
        blob.offset = position.saturating_sub(*start);
        blob.resource = *resource;
        if blob.offset.checked_add(blob.size).is_none_or(|end| end > resource.size) {
            return Err(bad("it reaches past the end of its solid resource"));
        }
        if blob.size > 0 {
            if is_metadata { &mut *metadata } else { &mut *blobs }.push(blob);
        }
    }
    solid.clear();
    Ok(())
}

/// Appends one entry.
pub(super) fn encode_entry(output: &mut Vec<u8>, place: &ResourceHeader, part_number: u16, reference_count: u32, id: Option<BlobId>) {
    place.encode(output);
    output.extend(part_number.to_le_bytes());
    output.extend(reference_count.to_le_bytes());
    output.extend(BlobId::to_field(id));
}

/// The number by which a solid resource's header names its compression.
pub(super) fn solid_compression_code(compression: Compression) -> u32 {
    match compression {
        Compression::Xpress => 1,
        Compression::Lzx => 2,
        Compression::Lzms => 3,
    }
}

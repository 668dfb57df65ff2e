//! What stands at the end of a WIM: blob table, XML data, integrity table.

use crate::wim::blob_table::{SOLID_RESOURCE_MARK, encode_entry};
use crate::wim::header::{ResourceHeader, resource_flags};
use crate::wim::{BlobId, Compression};

/// Starts the 40 bytes before every resource of a pipable WIM. Source: output of wimlib 1.13.6.
const PIPABLE_BLOB_MAGIC: u64 = 0x2b9b_9ba2_443d_b9d8;
/// Length of what stands before every resource of a pipable WIM.
pub(super) const PIPABLE_PREFIX_SIZE: u64 = 40;

/// A resource of the blob table.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// A blob, or metadata, in its own resource.
    Single {
        /// Name.
        id: BlobId,
        /// References from images.
        references: u32,
        /// Where it lies.
        place: ResourceHeader,
    },
    /// A solid resource with its blobs.
    Solid {
        /// Where it lies; `size` is its uncompressed size.
        place: ResourceHeader,
        /// Its blobs: name, references, position, size.
        blobs: Vec<(BlobId, u32, u64, u64)>,
    },
}

/// The blob table of one file. `entries` in the order in which they are to stand, metadata first.
pub(super) fn encode_blob_table(entries: &[Entry], part_number: u16) -> Vec<u8> {
    let mut output = Vec::new();
    // Positions of blobs count through all solid resources of a run.
    let mut run_position = 0_u64;
    for entry in entries {
        match entry {
            Entry::Single { id, references, place } => {
                run_position = 0;
                encode_entry(&mut output, place, part_number, *references, Some(*id));
            }
            Entry::Solid { place, blobs } => {
                let mark = ResourceHeader { size: SOLID_RESOURCE_MARK, flags: resource_flags::SOLID, ..*place };
                encode_entry(&mut output, &mark, part_number, 1, None);
                for (id, references, position, size) in blobs {
                    let offset = run_position.saturating_add(*position);
                    let blob = ResourceHeader { stored_size: *size, flags: resource_flags::SOLID, offset, size: 0 };
                    encode_entry(&mut output, &blob, part_number, *references, Some(*id));
                }
                run_position = run_position.saturating_add(place.size);
            }
        }
    }
    output
}

/// What stands before every resource of a pipable WIM.
pub(super) fn pipable_prefix(id: BlobId, size: u64, flags: u8) -> Vec<u8> {
    let mut output = PIPABLE_BLOB_MAGIC.to_le_bytes().to_vec();
    output.extend(size.to_le_bytes());
    output.extend(id.0);
    output.extend(u32::from(flags).to_le_bytes());
    output
}

/// The header of a solid resource.
pub(super) fn solid_prefix(size: u64, chunk_size: u32, compression: Compression) -> Vec<u8> {
    let mut output = size.to_le_bytes().to_vec();
    output.extend(chunk_size.to_le_bytes());
    output.extend(crate::wim::blob_table::solid_compression_code(compression).to_le_bytes());
    output
}

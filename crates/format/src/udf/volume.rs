//! From the image to the root directory.

use std::sync::Arc;

use super::partition::{Descriptors, Space};
use super::{file, identifier, tag};
use crate::io::ReadAt;
use crate::media::VolumeError;
use crate::media::bytes::{Fields, read as read_bytes};
use crate::media::volume::{FileSystem, Tree};

/// Where volume recognition starts, in bytes: sector 16 of 2048.
const RECOGNITION_START: u64 = 32_768;
/// Descriptors of 2048 bytes that are searched for the announcement. ISO 9660's come first: three or four of them.
const RECOGNITION_SEARCH: u64 = 64;
/// Sectors read of one volume descriptor sequence; UDF's writers use 16.
const MAX_SEQUENCE_SECTORS: u64 = 256;
/// Volume descriptor pointers followed (3/8.4.2); none is usual.
const MAX_SEQUENCE_LINKS: usize = 16;
/// Logical sector sizes, the usual one first.
const SECTOR_SIZES: [u64; 4] = [2048, 512, 4096, 1024];

/// True when the volume recognition sequence announces UDF.
pub(crate) fn is_announced(source: &dyn ReadAt) -> Result<bool, VolumeError> {
    for index in 0..RECOGNITION_SEARCH {
        let offset = RECOGNITION_START.saturating_add(index.saturating_mul(2048));
        if offset.saturating_add(2048) > source.size() {
            break;
        }
        // 0 structure type, 1 standard identifier
        let descriptor = read_bytes(source, "volume recognition sequence", offset, 6)?;
        if matches!(descriptor.get(1..), Some(b"NSR02" | b"NSR03")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The extents of the two volume descriptor sequences, as (sector, bytes), from the first anchor that is sound.
fn anchor(source: &dyn ReadAt) -> Result<(u64, [(u64, u64); 2]), VolumeError> {
    for sector in SECTOR_SIZES {
        let sectors = source.size().checked_div(sector).unwrap_or(0);
        for location in [Some(256), sectors.checked_sub(1), sectors.checked_sub(257)].into_iter().flatten() {
            let offset = location.saturating_mul(sector);
            let Ok(bytes) = read_bytes(source, "anchor volume descriptor pointer", offset, 512) else { continue };
            let fields = Fields::new(&bytes, "anchor volume descriptor pointer", offset);
            // The location tells the sector sizes apart: 256 sectors of 2048 bytes are 1024 of 512.
            if tag::expect(&fields, tag::ANCHOR).is_ok() && u64::from(fields.u32(12)?) == location {
                // 16 main sequence, 24 reserve sequence: length in bytes, first sector.
                let extent = |at: usize| Ok((fields.u32(at.saturating_add(4))?.into(), fields.u32(at)?.into()));
                return Ok((sector, [extent(16)?, extent(24)?]));
            }
        }
    }
    Err(VolumeError::Malformed {
        structure: "anchor volume descriptor pointer",
        offset: RECOGNITION_START,
        problem: "UDF is announced, but there is no anchor in sector 256, the last one, or 256 before that",
    })
}

/// What matters of a volume descriptor sequence.
struct Sequence {
    partitions: Descriptors,
    /// The logical volume descriptor (3/10.6) with the highest sequence number, and its offset.
    volume: (u64, Vec<u8>),
}

fn sequence(source: &dyn ReadAt, sector: u64, extent: (u64, u64)) -> Result<Sequence, VolumeError> {
    let mut partitions = Descriptors::new();
    let mut numbers = std::collections::BTreeMap::new();
    let mut volume: Option<(u32, u64, Vec<u8>)> = None;
    let (mut location, mut length) = extent;
    let start = location.saturating_mul(sector);
    'links: for _ in 0..MAX_SEQUENCE_LINKS {
        for index in 0..length.checked_div(sector).unwrap_or(0).min(MAX_SEQUENCE_SECTORS) {
            let offset = location.saturating_add(index).saturating_mul(sector);
            let bytes = read_bytes(source, "volume descriptor", offset, usize::try_from(sector).unwrap_or(0))?;
            let fields = Fields::new(&bytes, "volume descriptor", offset);
            if fields.bytes(0, tag::LENGTH)?.iter().all(|byte| *byte == 0) {
                // Not recorded, which ends the sequence like a terminating descriptor (3/8.4.2).
                break 'links;
            }
            // Of several descriptors of one kind the one with the highest number, at 16, prevails (3/8.4.3).
            let number = fields.u32(16)?;
            match tag::identifier(&fields)? {
                tag::PARTITION => {
                    // 22 partition number, 188 first sector, 192 sectors
                    let partition = fields.u16(22)?;
                    if numbers.get(&partition).is_none_or(|last| *last <= number) {
                        numbers.insert(partition, number);
                        partitions.insert(partition, (fields.u32(188)?.into(), fields.u32(192)?.into()));
                    }
                }
                tag::LOGICAL_VOLUME if volume.as_ref().is_none_or(|(last, ..)| *last <= number) => volume = Some((number, offset, bytes)),
                tag::VOLUME_POINTER => {
                    // 20 next extent of the sequence: bytes, sector
                    (length, location) = (fields.u32(20)?.into(), fields.u32(24)?.into());
                    continue 'links;
                }
                tag::TERMINATING => break 'links,
                _ => {}
            }
        }
        break;
    }
    let Some((_, offset, bytes)) = volume else {
        let (structure, problem) = ("volume descriptor sequence", "it holds no logical volume descriptor");
        return Err(VolumeError::Malformed { structure, offset: start, problem });
    };
    Ok(Sequence { partitions, volume: (offset, bytes) })
}

/// Reads the volume: file system with revision, label, all entries.
pub(crate) fn read(source: &Arc<dyn ReadAt>) -> Result<(FileSystem, String, Tree), VolumeError> {
    let (sector, [main, reserve]) = anchor(&**source)?;
    let found = match sequence(&**source, sector, main) {
        Ok(found) => found,
        Err(first) => sequence(&**source, sector, reserve).map_err(|_| first)?,
    };
    let (offset, bytes) = &found.volume;
    let volume = Fields::new(bytes, "logical volume descriptor", *offset);
    // 84 label, 212 bytes in a block, 216 domain (in it 24 the revision), 248 file set descriptor as a long allocation descriptor
    if u64::from(volume.u32(212)?) != sector {
        return Err(volume.unsupported("blocks of another size than sectors"));
    }
    let label = identifier::decode_field(&volume, 84, 128)?;
    let revision = volume.u16(240)?;
    let mut tree = Tree::new();
    let space = Space::new(Arc::clone(source), sector, &volume, &found.partitions, &mut tree)?;

    let offset = space.offset(volume.u16(256)?, volume.u32(252)?, &mut tree)?;
    let bytes = read_bytes(&**source, "file set descriptor", offset, 512)?;
    let file_set = Fields::new(&bytes, "file set descriptor", offset);
    tag::expect(&file_set, tag::FILE_SET)?;
    // 400 the root directory's ICB as a long allocation descriptor: in it 4 the block, 8 the partition
    let root = file::read(&space, file_set.u16(408)?, file_set.u32(404)?, &mut tree)?;
    if root.file_type != 4 {
        return Err(file_set.malformed("its root is not a directory"));
    }
    let root = root.record(String::new());
    let tree = tree.walk(source, root, |bytes, extents, listing| {
        let offset = extents.first().and_then(|extent| extent.offset).unwrap_or(0);
        file::list(&space, bytes, offset, listing)
    })?;
    Ok((FileSystem::Udf { revision }, label, tree))
}

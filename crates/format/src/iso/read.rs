//! From the image to the root directory, and directory records.

use std::sync::Arc;

use crate::io::{Extent, ReadAt};
use crate::media::bytes::{Fields, read as read_bytes};
use crate::media::time;
use crate::media::volume::{EntryKind, FileSystem, Listing, Record, Tree};
use crate::media::{SECTOR, VolumeError};

/// Volume descriptors read; discs have three or four.
const MAX_DESCRIPTORS: u64 = 64;
/// Extents of one file: 4 GiB each, so that 256 make 1 TiB.
const MAX_FILE_EXTENTS: usize = 256;

/// A primary or Joliet volume descriptor (ECMA-119 8.4, 8.5).
pub(crate) struct VolumeDescriptor {
    label: String,
    /// Bytes in a logical block: 2048, or 512 or 1024.
    block: u64,
    /// The root's directory record.
    root: Vec<u8>,
    offset: u64,
    joliet: bool,
}

/// What the row of volume descriptors holds.
pub(crate) struct Descriptors {
    primary: VolumeDescriptor,
    joliet: Option<VolumeDescriptor>,
    /// Where the El Torito boot catalog lies.
    pub boot_catalog: Option<u64>,
}

/// Reads the volume descriptors; `None` when there is no primary one.
pub(crate) fn descriptors(source: &dyn ReadAt) -> Result<Option<Descriptors>, VolumeError> {
    let (mut primary, mut joliet, mut boot_catalog) = (None, None, None);
    for index in 0..MAX_DESCRIPTORS {
        let offset = index.saturating_add(16).saturating_mul(SECTOR);
        if offset.saturating_add(SECTOR) > source.size() {
            break;
        }
        let bytes = read_bytes(source, "volume descriptor", offset, 2048)?;
        let fields = Fields::new(&bytes, "volume descriptor", offset);
        // 0 type, 1 standard identifier
        if fields.bytes(1, 5)? != b"CD001" {
            break;
        }
        match fields.u8(0)? {
            // 7 boot system identifier, 71 sector of the catalog
            0 if fields.bytes(7, 23)? == b"EL TORITO SPECIFICATION" => {
                boot_catalog = boot_catalog.or(Some(u64::from(fields.u32(71)?).saturating_mul(SECTOR)));
            }
            1 if primary.is_none() => primary = Some(volume_descriptor(&fields, offset, false)?),
            2 if joliet.is_none() && matches!(fields.bytes(88, 3)?, b"%/@" | b"%/C" | b"%/E") => {
                joliet = Some(volume_descriptor(&fields, offset, true)?);
            }
            255 => break,
            _ => {}
        }
    }
    Ok(primary.map(|primary| Descriptors { primary, joliet, boot_catalog }))
}

/// 40 volume identifier, 128 bytes in a block, 156 the root's directory record.
fn volume_descriptor(fields: &Fields<'_>, offset: u64, joliet: bool) -> Result<VolumeDescriptor, VolumeError> {
    let block = u64::from(fields.u16(128)?);
    if ![512, 1024, 2048].contains(&block) {
        return Err(fields.malformed("its block size is not 512, 1024 or 2048"));
    }
    let identifier = fields.bytes(40, 32)?;
    let label = match joliet {
        // Cut off names are common here: half a surrogate pair is no reason to refuse the disc.
        true => String::from_utf16_lossy(&identifier.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit)).collect::<Vec<_>>()),
        false => latin(identifier),
    };
    let label = label.trim_end_matches(['\0', ' ']).to_owned();
    Ok(VolumeDescriptor { label, block, root: fields.bytes(156, 34)?.to_vec(), offset, joliet })
}

/// Names are meant to be ASCII; what else is found is read as Latin-1, so that no two names become one.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Reads the volume: Joliet's tree where there is one.
pub(crate) fn read(source: &Arc<dyn ReadAt>, descriptors: &Descriptors) -> Result<(FileSystem, String, Tree), VolumeError> {
    let volume = descriptors.joliet.as_ref().unwrap_or(&descriptors.primary);
    let file_system = if volume.joliet { FileSystem::Joliet } else { FileSystem::Iso9660 };
    let mut tree = Tree::new();
    let fields = Fields::new(&volume.root, "root directory record", volume.offset);
    let record = DirectoryRecord::new(fields)?;
    let Extent { offset, length } = record.extent(volume.block)?;
    let mut list = tree.extent_list(length);
    list.push(Extent { offset, length })?;
    let root = Record {
        name: String::new(),
        kind: EntryKind::Directory,
        size: length,
        extents: list.extents,
        created: None,
        modified: record.modified()?,
        accessed: None,
        identity: offset.unwrap_or(0),
    };
    let tree = tree.walk(source, root, |bytes, extents, listing| {
        let offset = extents.first().and_then(|extent| extent.offset).unwrap_or(0);
        list_directory(volume, bytes, offset, listing)
    })?;
    Ok((file_system, volume.label.clone(), tree))
}

/// A directory record (ECMA-119 9.1): 0 its length, 1 blocks of the extended attribute record, 2 first block, 10 bytes of data,
/// 18 time, 25 flags, 26 file unit size, 27 interleave gap, 28 volume sequence number, 32 length of the name, 33 name.
struct DirectoryRecord<'a>(Fields<'a>);

const FLAG_DIRECTORY: u8 = 0x02;
const FLAG_ASSOCIATED: u8 = 0x04;
const FLAG_MULTI_EXTENT: u8 = 0x80;

impl<'a> DirectoryRecord<'a> {
    fn new(fields: Fields<'a>) -> Result<Self, VolumeError> {
        if fields.u8(26)? != 0 || fields.u8(27)? != 0 {
            return Err(fields.unsupported("interleaved files"));
        }
        Ok(Self(fields))
    }

    fn extent(&self, block: u64) -> Result<Extent, VolumeError> {
        let first = u64::from(self.0.u32(2)?).saturating_add(self.0.u8(1)?.into());
        Ok(Extent { offset: Some(first.saturating_mul(block)), length: self.0.u32(10)?.into() })
    }

    fn modified(&self) -> Result<Option<u64>, VolumeError> {
        self.0.bytes(18, 7).map(time::from_record)
    }

    fn flags(&self) -> Result<u8, VolumeError> {
        self.0.u8(25)
    }

    /// The name as recorded; one byte 0 or 1 for the directory itself and its parent.
    fn raw_name(&self) -> Result<&'a [u8], VolumeError> {
        self.0.bytes(33, self.0.u8(32)?.into())
    }

    /// The name without its version.
    fn name(&self, joliet: bool) -> Result<String, VolumeError> {
        let raw = self.raw_name()?;
        let mut name = if joliet {
            let units = raw.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit));
            char::decode_utf16(units).collect::<Result<String, _>>().map_err(|_| self.0.malformed("a Joliet name is not UTF-16"))?
        } else {
            latin(raw)
        };
        if let Some((plain, version)) = name.rsplit_once(';')
            && self.flags()? & FLAG_DIRECTORY == 0
            && !version.is_empty()
            && version.bytes().all(|digit| digit.is_ascii_digit())
        {
            name.truncate(plain.len());
        }
        Ok(name)
    }
}

/// Adds what a directory's records name.
fn list_directory(volume: &VolumeDescriptor, bytes: &[u8], offset: u64, listing: &mut Listing<'_>) -> Result<(), VolumeError> {
    // The extents so far of a file whose last record is still to come.
    let mut pending: Vec<Extent> = Vec::new();
    let mut last_name = None;
    for sector in bytes.chunks(2048) {
        let mut rest = sector;
        while let Some(length) = rest.first().copied().map(usize::from).filter(|length| *length != 0) {
            let outer = Fields::new(rest, "directory record", offset);
            let fields = Fields::new(outer.bytes(0, length)?, "directory record", offset);
            rest = rest.get(length..).unwrap_or_default();
            let record = DirectoryRecord::new(fields)?;
            let flags = record.flags()?;
            if matches!(record.raw_name()?, [0] | [1]) || flags & FLAG_ASSOCIATED != 0 {
                continue;
            }
            pending.push(record.extent(volume.block)?);
            if flags & FLAG_MULTI_EXTENT != 0 {
                if pending.len() >= MAX_FILE_EXTENTS {
                    return Err(VolumeError::Limit { what: "extents of one file", limit: MAX_FILE_EXTENTS as u64 });
                }
                continue;
            }
            let recorded = record.name(volume.joliet)?;
            let size = pending.iter().fold(0_u64, |size, extent| size.saturating_add(extent.length));
            let mut list = listing.tree().extent_list(size);
            for extent in pending.drain(..) {
                list.push(extent)?;
            }
            let extents = list.extents;
            // Versions of one file stand together, the highest first (ECMA-119 9.3): it is the file.
            if flags & FLAG_DIRECTORY == 0 && last_name.as_ref() == Some(&recorded) {
                continue;
            }
            // A file without extension is recorded with a dot at its end, which is not part of its name.
            let plain = recorded.strip_suffix('.').filter(|plain| flags & FLAG_DIRECTORY == 0 && !plain.is_empty());
            let name = plain.filter(|plain| !listing.contains(plain)).unwrap_or(&recorded).to_owned();
            last_name = Some(recorded);
            let kind = if flags & FLAG_DIRECTORY != 0 { EntryKind::Directory } else { EntryKind::File };
            let identity = record.extent(volume.block)?.offset.unwrap_or(0);
            listing.push(Record { name, kind, size, extents, created: None, modified: record.modified()?, accessed: None, identity })?;
        }
    }
    if pending.is_empty() { Ok(()) } else { Err(Fields::new(bytes, "directory", offset).malformed("its last file lacks its last extent")) }
}

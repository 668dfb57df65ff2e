//! The header: 208 bytes at the start of a WIM (of a pipable WIM: at its start, incomplete, and at its end).
//!
//! Source of the layout: Microsoft, "Windows Imaging File Format (WIM)" white paper, 2007; wimlib's `header.h` for the
//! versions and flags that came later (solid resources, LZMS).

use wimwright_codec::Compression;

use super::Error;
use super::fields::Fields;

/// Length of the header on disk in bytes.
pub const HEADER_SIZE: u64 = 208;
/// Signature of a WIM.
const MAGIC: [u8; 8] = *b"MSWIM\0\0\0";
/// Signature of wimlib's pipable WIM, which Microsoft's tools do not read.
const PIPABLE_MAGIC: [u8; 8] = *b"WLPWM\0\0\0";
/// Version of all WIMs without solid resources.
pub const VERSION: u32 = 0x10d00;
/// Version of WIMs that may have solid resources (ESD files).
pub const VERSION_SOLID: u32 = 0xe00;
/// Most images we accept: every one costs memory as soon as the file is opened; wimlib has the same limit.
pub const MAX_IMAGES: u32 = 65535;

/// Bits of the header's flags field.
pub mod header_flags {
    /// Resources may be compressed.
    pub const COMPRESSION: u32 = 0x2;
    /// The owner wants no changes.
    pub const READ_ONLY: u32 = 0x4;
    /// The file is one part of a split WIM.
    pub const SPANNED: u32 = 0x8;
    /// Only resources, no metadata.
    pub const RESOURCE_ONLY: u32 = 0x10;
    /// Only metadata, no file contents.
    pub const METADATA_ONLY: u32 = 0x20;
    /// Somebody is, or was, changing the file in place.
    pub const WRITE_IN_PROGRESS: u32 = 0x40;
    /// Absolute symbolic links and junctions were made relative to the image root at capture.
    pub const REPARSE_POINT_FIX: u32 = 0x80;
    /// Compressed with XPRESS.
    pub const XPRESS: u32 = 0x2_0000;
    /// Compressed with LZX.
    pub const LZX: u32 = 0x4_0000;
    /// Compressed with LZMS.
    pub const LZMS: u32 = 0x8_0000;
    /// Compressed with XPRESS; some Microsoft versions write this bit for chunk sizes other than 32 KiB.
    pub const XPRESS_2: u32 = 0x20_0000;
}

/// Where a resource lies: a "resource header" of 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResourceHeader {
    /// Offset 0, 7 bytes: bytes in the file.
    pub stored_size: u64,
    /// Offset 7, 1 byte: [`resource_flags`].
    pub flags: u8,
    /// Offset 8: position in the file. In a solid resource's blob: position in the uncompressed data.
    pub offset: u64,
    /// Offset 16: uncompressed bytes.
    pub size: u64,
}

/// Bits of a resource header's flags field.
pub mod resource_flags {
    /// Free for reuse; nobody is known to write it.
    pub const FREE: u8 = 0x01;
    /// Metadata of an image; also set for the blob table and the XML data.
    pub const METADATA: u8 = 0x02;
    /// Stored in compressed chunks.
    pub const COMPRESSED: u8 = 0x04;
    /// Never used.
    pub const SPANNED: u8 = 0x08;
    /// A solid resource, or a blob in one.
    pub const SOLID: u8 = 0x10;
}

impl ResourceHeader {
    /// Reads the 24 bytes at `offset` of `fields`.
    pub(super) fn decode(fields: Fields<'_>, offset: usize) -> Option<Self> {
        let packed = fields.u64(offset)?;
        Some(Self {
            stored_size: packed & 0x00ff_ffff_ffff_ffff,
            flags: packed.to_le_bytes()[7],
            offset: fields.u64(offset.checked_add(8)?)?,
            size: fields.u64(offset.checked_add(16)?)?,
        })
    }

    pub(super) fn encode(&self, output: &mut Vec<u8>) {
        let mut packed = self.stored_size.to_le_bytes();
        packed[7] = self.flags;
        output.extend(packed);
        output.extend(self.offset.to_le_bytes());
        output.extend(self.size.to_le_bytes());
    }
}

/// The header of a WIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Offset 0: `MSWIM` or wimlib's `WLPWM`.
    pub pipable: bool,
    /// Offset 12: [`VERSION`] or [`VERSION_SOLID`].
    pub version: u32,
    /// Offset 16: [`header_flags`].
    pub flags: u32,
    /// From the flags: how resources are compressed. Solid resources state their own compression.
    pub compression: Option<Compression>,
    /// Offset 20: uncompressed bytes in a chunk; 0 when not compressed.
    pub chunk_size: u32,
    /// Offset 24: identity of the WIM; all parts of a split WIM have the same.
    pub guid: [u8; 16],
    /// Offset 40: this part's number in a split WIM, from 1.
    pub part_number: u16,
    /// Offset 42: how many parts there are.
    pub total_parts: u16,
    /// Offset 44: how many images there are; parts after the first repeat it although they hold no metadata.
    pub image_count: u32,
    /// Offset 48: the blob table ("lookup table" in Microsoft's words).
    pub blob_table: ResourceHeader,
    /// Offset 72: the XML data.
    pub xml: ResourceHeader,
    /// Offset 96: metadata of the boot image, zeros where there is none.
    pub boot_metadata: ResourceHeader,
    /// Offset 120: number of the image that boots, from 1; 0 for none.
    pub boot_index: u32,
    /// Offset 124: the integrity table, zeros where there is none. (60 unused bytes follow.)
    pub integrity: ResourceHeader,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`Error::Signature`], or [`Error::Header`] for a field outside its range.
    pub fn decode(bytes: &[u8; HEADER_SIZE as usize]) -> Result<Self, Error> {
        let fields = Fields(bytes);
        let found = fields.array(0).unwrap_or_default();
        let pipable = match found {
            MAGIC => false,
            PIPABLE_MAGIC => true,
            _ => return Err(Error::Signature { found }),
        };
        let u32_at = |offset| fields.u32(offset).unwrap_or_default();
        let resource_at = |offset| ResourceHeader::decode(fields, offset).unwrap_or_default();
        let bad = |field, value: u32, reason| Error::Header { field, value: u64::from(value), reason };
        if u64::from(u32_at(8)) != HEADER_SIZE {
            return Err(bad("size", u32_at(8), "208 expected"));
        }
        let version = u32_at(12);
        if version != VERSION && version != VERSION_SOLID {
            return Err(bad("version", version, "only 0x10d00 and 0xe00 are known"));
        }
        let flags = u32_at(16);
        let compression = compression_of(flags).ok_or_else(|| bad("flags", flags, "compressed, but by no known compression"))?;
        let chunk_size = u32_at(20);
        if let Some(compression) = compression
            && !compression.supports_chunk_size(chunk_size)
        {
            return Err(bad("chunk size", chunk_size, "the compression has no such chunk size"));
        }
        let header = Self {
            pipable,
            version,
            flags,
            compression,
            chunk_size,
            guid: fields.array(24).unwrap_or_default(),
            part_number: fields.u16(40).unwrap_or_default(),
            total_parts: fields.u16(42).unwrap_or_default(),
            image_count: u32_at(44),
            blob_table: resource_at(48),
            xml: resource_at(72),
            boot_metadata: resource_at(96),
            boot_index: u32_at(120),
            integrity: resource_at(124),
        };
        if header.part_number == 0 || header.part_number > header.total_parts {
            return Err(bad("part number", u32::from(header.part_number), "outside 1..=total parts"));
        }
        if header.image_count > MAX_IMAGES {
            return Err(bad("image count", header.image_count, "more than 65535"));
        }
        if header.boot_index > header.image_count {
            return Err(bad("boot index", header.boot_index, "no such image"));
        }
        Ok(header)
    }

    /// The header's bytes on disk. The compression bits come from `compression`, the others from `flags`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        use header_flags as bits;
        let mut output = Vec::with_capacity(208);
        output.extend(if self.pipable { PIPABLE_MAGIC } else { MAGIC });
        output.extend((HEADER_SIZE as u32).to_le_bytes());
        output.extend(self.version.to_le_bytes());
        let compression = match self.compression {
            None => 0,
            Some(Compression::Xpress) => bits::COMPRESSION | bits::XPRESS,
            Some(Compression::Lzx) => bits::COMPRESSION | bits::LZX,
            Some(Compression::Lzms) => bits::COMPRESSION | bits::LZMS,
        };
        let others = self.flags & !(bits::COMPRESSION | bits::XPRESS | bits::XPRESS_2 | bits::LZX | bits::LZMS);
        output.extend((compression | others).to_le_bytes());
        output.extend(self.chunk_size.to_le_bytes());
        output.extend(self.guid);
        output.extend(self.part_number.to_le_bytes());
        output.extend(self.total_parts.to_le_bytes());
        output.extend(self.image_count.to_le_bytes());
        self.blob_table.encode(&mut output);
        self.xml.encode(&mut output);
        self.boot_metadata.encode(&mut output);
        output.extend(self.boot_index.to_le_bytes());
        self.integrity.encode(&mut output);
        output.resize(HEADER_SIZE as usize, 0);
        output
    }
}

/// The compression that header flags state: outer `None` for a contradiction.
fn compression_of(flags: u32) -> Option<Option<Compression>> {
    use header_flags as bits;
    if flags & bits::COMPRESSION == 0 {
        return Some(None);
    }
    match flags & (bits::XPRESS | bits::XPRESS_2 | bits::LZX | bits::LZMS) {
        bits::LZX => Some(Some(Compression::Lzx)),
        bits::LZMS => Some(Some(Compression::Lzms)),
        kind if kind != 0 && kind & !(bits::XPRESS | bits::XPRESS_2) == 0 => Some(Some(Compression::Xpress)),
        _ => None,
    }
}

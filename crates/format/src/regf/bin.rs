//! Hive bins: runs of a multiple of 4096 bytes, each a header and then cells without gaps.

use super::field::{put, u32_at};

/// Bins are made of these.
pub(super) const BIN_UNIT: u32 = 4096;
/// Bytes before a bin's first cell.
pub(super) const BIN_HEADER_SIZE: u32 = 32;
/// Where a FILETIME lies in the header of the first bin: a second copy of the base block's time.
pub(super) const BIN_TIME: u32 = 20;

/// What a bin's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BinHeader {
    /// Offset of the bin from the first bin; must be where the bin is.
    pub offset: u32,
    /// Bytes of the bin with its header.
    pub size: u32,
}

impl BinHeader {
    /// Reads a header; `None` without its signature.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        // Offset 12: 8 reserved bytes. 20: time (first bin). 28: memory bookkeeping without meaning on disk.
        bytes.starts_with(b"hbin").then_some(Self { offset: u32_at(bytes, 4)?, size: u32_at(bytes, 8)? })
    }

    /// True for a bin that can stand at `offset` with `available` bytes behind it.
    pub fn fits(&self, offset: u32, available: u32) -> bool {
        self.offset == offset && self.size >= BIN_UNIT && self.size.is_multiple_of(BIN_UNIT) && self.size <= available
    }

    /// Writes the header over zeroed bytes. `None` when `bytes` is too short.
    pub fn write(&self, bytes: &mut [u8]) -> Option<()> {
        put(bytes, 0, b"hbin")?;
        put(bytes, 4, &self.offset.to_le_bytes())?;
        put(bytes, 8, &self.size.to_le_bytes())
    }
}

/// How many bytes of well-formed bins `bins` starts with.
pub(super) fn measure(bins: &[u8]) -> u32 {
    let mut offset = 0_u32;
    let length = u32::try_from(bins.len()).unwrap_or(u32::MAX);
    while let Some(header) = usize::try_from(offset).ok().and_then(|start| bins.get(start..)).and_then(BinHeader::parse) {
        if !header.fits(offset, length.saturating_sub(offset)) {
            break;
        }
        offset = offset.saturating_add(header.size);
    }
    offset
}

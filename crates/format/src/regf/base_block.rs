//! The base block: the first 4096 bytes of a hive file, and the first 512 of a transaction log.
//!
//! Source of all fields: Maxim Suhanov, "Windows registry file format specification" (github.com/msuhanov/regf).

use super::Error;
use super::field::{put, u32_at, u64_at};

/// Bytes before the first hive bin.
pub(super) const BASE_BLOCK_SIZE: usize = 4096;

/// Where each field that we read or write lies. The rest (GUIDs of the transaction manager, reorganisation time,
/// offreg's marks) is kept as it is.
pub(super) mod at {
    /// "regf".
    pub const SIGNATURE: usize = 0;
    /// Incremented when a write of the primary file begins.
    pub const PRIMARY_SEQUENCE: usize = 4;
    /// Incremented when it ends; equal to the primary number in a clean hive.
    pub const SECONDARY_SEQUENCE: usize = 8;
    /// FILETIME. Windows 8.1 and later set it only when they make the hive.
    pub const LAST_WRITTEN: usize = 12;
    /// 1.
    pub const MAJOR: usize = 20;
    /// 3, 4, 5 or 6 in what we accept.
    pub const MINOR: usize = 24;
    /// 0 primary file, 1 or 2 old transaction log, 6 new transaction log.
    pub const FILE_TYPE: usize = 28;
    /// 1: direct memory load.
    pub const FILE_FORMAT: usize = 32;
    /// Offset of the root key's cell.
    pub const ROOT_CELL: usize = 36;
    /// Bytes of hive bins behind the base block.
    pub const BINS_SIZE: usize = 40;
    /// Sector size / 512; Windows 8 and later always write 1.
    pub const CLUSTERING_FACTOR: usize = 44;
    /// 64 bytes of UTF-16: the tail of the hive's path, for debugging.
    pub const FILE_NAME: usize = 48;
    /// Bit 0: the kernel transaction manager locked the hive.
    pub const FLAGS: usize = 144;
    /// XOR of the 127 numbers before it.
    pub const CHECKSUM: usize = 508;
}

/// Bytes of the file name field.
pub(super) const FILE_NAME_SIZE: usize = 64;

/// The fields of a base block that matter to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BaseBlock {
    pub primary_sequence: u32,
    pub secondary_sequence: u32,
    pub last_written: u64,
    pub major: u32,
    pub minor: u32,
    pub file_type: u32,
    pub root_cell: u32,
    pub bins_size: u32,
    /// The stored checksum is the right one.
    pub checksum_valid: bool,
}

impl BaseBlock {
    /// Reads the first 512 bytes of `file`.
    pub fn parse(file: &[u8]) -> Result<Self, Error> {
        if !file.starts_with(b"regf") {
            let found: Vec<u8> = file.iter().copied().take(4).collect();
            return Err(Error::NotAHive { found });
        }
        let short = Error::Truncated { needed: BASE_BLOCK_SIZE as u64, available: file.len() as u64 };
        Self::fields(file).ok_or(short)
    }

    fn fields(file: &[u8]) -> Option<Self> {
        Some(Self {
            primary_sequence: u32_at(file, at::PRIMARY_SEQUENCE)?,
            secondary_sequence: u32_at(file, at::SECONDARY_SEQUENCE)?,
            last_written: u64_at(file, at::LAST_WRITTEN)?,
            major: u32_at(file, at::MAJOR)?,
            minor: u32_at(file, at::MINOR)?,
            file_type: u32_at(file, at::FILE_TYPE)?,
            root_cell: u32_at(file, at::ROOT_CELL)?,
            bins_size: u32_at(file, at::BINS_SIZE)?,
            checksum_valid: u32_at(file, at::CHECKSUM)? == checksum(file)?,
        })
    }

    /// The hive must be recovered from its logs before it can be trusted.
    pub fn is_dirty(&self) -> bool {
        !self.checksum_valid || self.primary_sequence != self.secondary_sequence
    }
}

/// The checksum that the first 508 bytes of `file` call for; `None` when they are not there.
pub(super) fn checksum(file: &[u8]) -> Option<u32> {
    let mut sum = 0;
    for word in file.get(..at::CHECKSUM)?.chunks_exact(4) {
        sum ^= u32_at(word, 0)?;
    }
    Some(match sum {
        u32::MAX => u32::MAX ^ 1,
        0 => 1,
        sum => sum,
    })
}

/// Writes the checksum field. `None` when `file` is shorter than a sector.
pub(super) fn seal(file: &mut [u8]) -> Option<()> {
    let sum = checksum(file)?;
    put(file, at::CHECKSUM, &sum.to_le_bytes())
}

/// An empty primary base block: sequence numbers 1, no bins, unsealed.
pub(super) fn new_base_block(minor: u32, name: &str, last_written: u64) -> Vec<u8> {
    let mut block = vec![0; BASE_BLOCK_SIZE];
    let mut file_name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    // Windows keeps the tail of a long path, and one null character behind it.
    let room = FILE_NAME_SIZE.saturating_sub(2);
    let file_name = file_name.split_off(file_name.len().saturating_sub(room));
    let fields: [(usize, &[u8]); 9] = [
        (at::SIGNATURE, b"regf"),
        (at::PRIMARY_SEQUENCE, &1_u32.to_le_bytes()),
        (at::SECONDARY_SEQUENCE, &1_u32.to_le_bytes()),
        (at::LAST_WRITTEN, &last_written.to_le_bytes()),
        (at::MAJOR, &1_u32.to_le_bytes()),
        (at::MINOR, &minor.to_le_bytes()),
        (at::FILE_FORMAT, &1_u32.to_le_bytes()),
        (at::CLUSTERING_FACTOR, &1_u32.to_le_bytes()),
        (at::FILE_NAME, &file_name),
    ];
    for (offset, field) in fields {
        // Every field lies inside the 4096 bytes made above.
        let _written: Option<()> = put(&mut block, offset, field);
    }
    block
}

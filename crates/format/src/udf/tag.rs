//! The descriptor tag (3/7.2): 16 bytes before every UDF structure.

use crate::media::VolumeError;
use crate::media::bytes::Fields;

/// Length of the tag.
pub const LENGTH: usize = 16;

pub const PRIMARY_VOLUME: u16 = 1;
pub const ANCHOR: u16 = 2;
pub const VOLUME_POINTER: u16 = 3;
pub const IMPLEMENTATION_USE: u16 = 4;
pub const PARTITION: u16 = 5;
pub const LOGICAL_VOLUME: u16 = 6;
pub const UNALLOCATED_SPACE: u16 = 7;
pub const TERMINATING: u16 = 8;
pub const LOGICAL_VOLUME_INTEGRITY: u16 = 9;
pub const FILE_SET: u16 = 256;
pub const FILE_IDENTIFIER: u16 = 257;
pub const ALLOCATION_EXTENT: u16 = 258;
pub const FILE_ENTRY: u16 = 261;
pub const EXTENDED_FILE_ENTRY: u16 = 266;

/// The CRC of 3/7.2.6: polynomial x^16 + x^12 + x^5 + 1, starting at 0, high bit first.
const CRC_TABLE: [u16; 256] = crc_table();

#[expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "computed by the compiler, which refuses an overflow")]
const fn crc_table() -> [u16; 256] {
    let mut table = [0_u16; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let index = usize::from((crc >> 8) ^ u16::from(*byte));
        (crc << 8) ^ CRC_TABLE.get(index).copied().unwrap_or(0)
    })
}

/// Sum of the tag's bytes except the checksum itself, at 4.
fn checksum(tag: &[u8]) -> u8 {
    tag.iter().take(LENGTH).enumerate().filter(|(at, _)| *at != 4).fold(0_u8, |sum, (_, byte)| sum.wrapping_add(*byte))
}

/// Checks the tag at the start of `fields` and returns its identifier. The location is not checked: images cut out of a larger
/// medium keep the old one.
pub fn identifier(fields: &Fields<'_>) -> Result<u16, VolumeError> {
    if fields.u8(4)? != checksum(fields.bytes(0, LENGTH)?) {
        return Err(fields.malformed("the checksum of its tag is wrong"));
    }
    let length = fields.u16(10)?;
    if fields.u16(8)? != crc(fields.bytes(LENGTH, length.into())?) {
        return Err(fields.malformed("its CRC is wrong"));
    }
    fields.u16(0)
}

/// Checks that `fields` start with a tag of the given identifier.
pub fn expect(fields: &Fields<'_>, wanted: u16) -> Result<(), VolumeError> {
    if identifier(fields)? == wanted { Ok(()) } else { Err(fields.malformed("its tag is of another structure")) }
}

/// Fills in the tag of a finished structure: its first 16 bytes are overwritten, the CRC spans all that follow.
/// `location` is the number of its sector in the volume, or of its block in the partition.
pub fn seal(structure: &mut [u8], identifier: u16, location: u32) {
    let Some((tag, body)) = structure.split_at_mut_checked(LENGTH) else { return };
    // 65,519 bytes at most lie behind a tag in all we write: one block holds each.
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let [id_low, id_high] = identifier.to_le_bytes();
    let [crc_low, crc_high] = crc(body.get(..length.into()).unwrap_or_default()).to_le_bytes();
    let [length_low, length_high] = length.to_le_bytes();
    let [a, b, c, d] = location.to_le_bytes();
    // 0 identifier, 2 descriptor version 2 (NSR02), 4 checksum, 5 reserved, 6 serial number 0, 8 CRC, 10 its length, 12 location
    let mut bytes = [id_low, id_high, 2, 0, 0, 0, 0, 0, crc_low, crc_high, length_low, length_high, a, b, c, d];
    let sum = checksum(&bytes);
    if let Some(byte) = bytes.get_mut(4) {
        *byte = sum;
    }
    tag.copy_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_that_of_the_standard() {
        // The example of UDF 2.60, 6.5: bytes 70 6A 77 give 3299.
        assert_eq!(crc(&[0x70, 0x6A, 0x77]), 0x3299);
    }

    #[test]
    fn a_sealed_structure_is_accepted_until_a_byte_changes() {
        let mut structure = vec![7; 100];
        seal(&mut structure, FILE_SET, 5);
        assert_eq!(identifier(&Fields::new(&structure, "test", 0)).unwrap(), FILE_SET);
        for at in (0..100).filter(|at| ![6, 7].contains(at)) {
            structure[at] ^= 1;
            assert!(identifier(&Fields::new(&structure, "test", 0)).is_err(), "{at}");
            structure[at] ^= 1;
        }
    }
}

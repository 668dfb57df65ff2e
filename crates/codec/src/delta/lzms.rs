//! The patch buffer of PA31 where it is not that of PA30: a buffer of the Windows Compression API, LZMS. It holds the target
//! itself, or, where it unpacks to another length, a bsdiff patch.
//!
//! | offset | what |
//! |---|---|
//! | 0 | u32, 0xC0E5510A |
//! | 4 | u16, size of this header: 24 |
//! | 6 | u8, low byte of the CRC-32 of the header without this byte; not verified, since the target is |
//! | 7 | u8, algorithm: 5 is LZMS |
//! | 8 | u64, uncompressed size in bytes |
//! | 16 | u32, uncompressed size of a chunk in bytes: at most 64 MiB, the last one may be shorter |
//! | 20 | u32, flags; 0 in all that is known |
//! | 24 | chunks: u32, compressed size, then so many bytes; as long as uncompressed, they are stored as they are |
//!
//! The bsdiff patch is a sequence of records: three 64-bit numbers (magnitude, little endian, and a sign bit on top), how
//! many bytes of the base to add to, how many to insert, and how far to step in the base; then the bytes to add and the
//! bytes to insert.
//!
//! Source: jlevere/msdelta (facts of the container, 377 deltas of a cumulative update; of bsdiff, unverified by us).

use super::Error;
use crate::{Compression, Decompressor};

const MAGIC: [u8; 4] = 0xC0E5_510A_u32.to_le_bytes();
const ALGORITHM_LZMS: u8 = 5;
/// The largest chunk that the Compression API writes, in bytes.
const MAX_CHUNK: usize = 64 << 20;
/// How much longer than target and base together a bsdiff patch is allowed to be, in bytes: its records' numbers.
const BSDIFF_OVERHEAD: u64 = 1 << 20;

const WHAT: &str = "LZMS container";

/// Whether a patch buffer is such a container.
pub(super) fn is_container(patch: &[u8]) -> bool {
    patch.starts_with(&MAGIC)
}

/// Decodes a container into the target of `target_size` bytes, which the caller has compared with its limit.
pub(super) fn decode(base: &[u8], container: &[u8], target_size: usize) -> Result<Vec<u8>, Error> {
    let unpacked = unpack(container, target_size)?;
    if unpacked.len() == target_size {
        return Ok(unpacked);
    }
    apply_bsdiff(base, &unpacked, target_size)
}

/// Decompresses a container.
fn unpack(container: &[u8], target_size: usize) -> Result<Vec<u8>, Error> {
    const TRUNCATED: Error = Error::Truncated { what: WHAT };
    let (header, mut chunks) = container.split_first_chunk::<24>().ok_or(TRUNCATED)?;
    let &[_, _, _, _, size_low, size_high, _, algorithm, a, b, c, d, e, f, g, h, i, j, k, l, flags, _, _, _] = header;
    let size = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let chunk_size = u32::from_le_bytes([i, j, k, l]) as usize;
    if u16::from_le_bytes([size_low, size_high]) != 24 || algorithm != ALGORITHM_LZMS || flags & 1 != 0 {
        return Err(Error::Unsupported { what: "a Compression API container that is not plain LZMS" });
    }
    // More than a bsdiff patch can sensibly have is not decompressed.
    let limit = (target_size as u64).saturating_mul(2).saturating_add(BSDIFF_OVERHEAD);
    let size = usize::try_from(size).ok().filter(|&size| size as u64 <= limit).ok_or(Error::TooLarge { size, limit })?;
    if chunk_size == 0 || chunk_size > MAX_CHUNK {
        return Err(Error::Malformed { what: WHAT, why: "chunks of nothing or of more than 64 MiB" });
    }
    let mut unpacked = vec![0; size];
    let mut decompressor = None;
    for into in unpacked.chunks_mut(chunk_size) {
        let (length, rest) = chunks.split_first_chunk().ok_or(TRUNCATED)?;
        let (packed, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(TRUNCATED)?;
        chunks = rest;
        if packed.len() == into.len() {
            into.copy_from_slice(packed);
            continue;
        }
        let decompressor = match &mut decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::new(Compression::Lzms, chunk_size)?),
        };
        decompressor.decompress(packed, into)?;
    }
    Ok(unpacked)
}

/// Applies a bsdiff patch.
fn apply_bsdiff(base: &[u8], mut patch: &[u8], target_size: usize) -> Result<Vec<u8>, Error> {
    const TRUNCATED: Error = Error::Truncated { what: "bsdiff patch" };
    const OUTSIDE: Error = Error::Malformed { what: "bsdiff patch", why: "a record reaches past the target" };
    let mut target = Vec::with_capacity(target_size);
    let mut position = 0i64;
    while target.len() < target_size {
        let mut numbers = [0i64; 3];
        for number in &mut numbers {
            let (raw, rest) = patch.split_first_chunk().ok_or(TRUNCATED)?;
            patch = rest;
            let raw = i64::from_le_bytes(*raw);
            *number = if raw < 0 { (raw & i64::MAX).wrapping_neg() } else { raw };
        }
        let [add, insert, step] = numbers;
        let length = |number: i64| usize::try_from(number).map_err(|_| OUTSIDE);
        let (differences, rest) = patch.split_at_checked(length(add)?).ok_or(TRUNCATED)?;
        let (inserted, rest) = rest.split_at_checked(length(insert)?).ok_or(TRUNCATED)?;
        patch = rest;
        if differences.len().saturating_add(inserted.len()) > target_size.saturating_sub(target.len()) {
            return Err(OUTSIDE);
        }
        for (place, difference) in (position..).zip(differences) {
            let byte = usize::try_from(place).ok().and_then(|place| base.get(place)).copied().unwrap_or(0);
            target.push(byte.wrapping_add(*difference));
        }
        target.extend_from_slice(inserted);
        position = position.wrapping_add(add).wrapping_add(step);
    }
    Ok(target)
}

//! The wrappers of compressed files in the component store (`WinSxS`). Each begins with three letters and a one.
//!
//! | wrapper | what follows | found as |
//! |---|---|---|
//! | `DCM` | a delta against the base manifest of the servicing stack | manifests |
//! | `DCN` | a null delta | payload |
//! | `DCD` | 8 bytes of unknown meaning, a delta against the file of another version | payload |
//! | `DCS` | LZMS blocks: their count and the file's size (u32 each), then for each block its length less 4 and its uncompressed size (u32 each), and raw LZMS | payload after cleanup |
//!
//! The base manifest is the resource 614/1 of `wcp.dll`; it is the caller's, and has been the same from Windows 10 to
//! Windows 11 24H2.
//!
//! Sources: himselfv/manifestenum (notes on `DCD`), hfiref0x/SXSEXP (structures).

use super::{Error, allowed_size, apply};
use crate::{Compression, Decompressor};

/// The largest LZMS block, in bytes.
const MAX_BLOCK: usize = 1 << 30;

/// The wrapper of a file of the component store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapper {
    /// `DCM`: a manifest, against the base manifest.
    Dcm,
    /// `DCN`: against nothing.
    Dcn,
    /// `DCD`: against the file of another version.
    Dcd,
    /// `DCS`: LZMS blocks.
    Dcs,
}

/// The wrapper that a file begins with, if any: manifests are also stored as they are.
#[must_use]
pub fn wrapper(file: &[u8]) -> Option<Wrapper> {
    match file.first_chunk()? {
        b"DCM\x01" => Some(Wrapper::Dcm),
        b"DCN\x01" => Some(Wrapper::Dcn),
        b"DCD\x01" => Some(Wrapper::Dcd),
        b"DCS\x01" => Some(Wrapper::Dcs),
        _ => None,
    }
}

/// Unwraps a file. `base` is the base manifest for `DCM`, the file of the other version for `DCD`, and not used else.
/// `limit` is the largest file in bytes that the caller wants.
///
/// # Errors
/// [`Error::NotWrapped`], those of [`apply`], and for `DCS` [`Error::Lzms`].
pub fn unwrap(base: &[u8], file: &[u8], limit: u64) -> Result<Vec<u8>, Error> {
    let wrapper = wrapper(file).ok_or_else(|| Error::NotWrapped { found: file.iter().copied().take(4).collect() })?;
    let skipped = if wrapper == Wrapper::Dcd { 12 } else { 4 };
    let inner = file.get(skipped..).ok_or(Error::Truncated { what: "wrapped file" })?;
    match wrapper {
        Wrapper::Dcm | Wrapper::Dcd => apply(base, inner, limit),
        Wrapper::Dcn => apply(&[], inner, limit),
        Wrapper::Dcs => unwrap_blocks(inner, limit),
    }
}

/// Splits a little-endian number off the front.
fn take_u32(bytes: &mut &[u8]) -> Result<u32, Error> {
    let (number, rest) = bytes.split_first_chunk().ok_or(Error::Truncated { what: "DCS file" })?;
    *bytes = rest;
    Ok(u32::from_le_bytes(*number))
}

/// Decompresses the blocks of a `DCS` file.
fn unwrap_blocks(mut bytes: &[u8], limit: u64) -> Result<Vec<u8>, Error> {
    const WRONG_SIZE: Error = Error::Malformed { what: "DCS file", why: "its blocks do not add up to its size" };
    let blocks = take_u32(&mut bytes)?;
    let size = allowed_size(take_u32(&mut bytes)?.into(), limit)?;
    let mut decompressor = Decompressor::new(Compression::Lzms, size.clamp(1, MAX_BLOCK))?;
    let mut file = Vec::new();
    for _ in 0..blocks {
        let length = (take_u32(&mut bytes)? as usize)
            .checked_sub(4)
            .ok_or(Error::Malformed { what: "DCS file", why: "a block of less than 4 bytes" })?;
        let unpacked = take_u32(&mut bytes)? as usize;
        let (packed, rest) = bytes.split_at_checked(length).ok_or(Error::Truncated { what: "DCS file" })?;
        bytes = rest;
        let start = file.len();
        let end = start.checked_add(unpacked).filter(|&end| end <= size).ok_or(WRONG_SIZE)?;
        file.resize(end, 0);
        let into = file.get_mut(start..).unwrap_or_default();
        decompressor.decompress(packed, into)?;
    }
    if file.len() != size {
        return Err(WRONG_SIZE);
    }
    Ok(file)
}

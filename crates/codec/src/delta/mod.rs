//! Binary deltas of Windows servicing: PA30 and PA31 (`msdelta.dll`, `UpdateCompression.dll`), PA19 (`mspatcha.dll`), and
//! the wrappers of the component store (`DCM`, `DCN`, `DCD`, `DCS`, see [`store`]).
//!
//! A delta turns a base into a target. A null delta has an empty base: it is a compressed file. PA30 knows what it works
//! on: between PE images, the base is first transformed to what it would be if its code and data lay where they do in the
//! target (see [`pe`]), so that what is left to store is what the programmers changed. Then a kin of LZX Delta copies from
//! the base and from the target itself (see [`patch`]). PA31 has the same inside, or an LZMS container.
//!
//! A PA30 or PA31 file:
//!
//! | offset | what |
//! |---|---|
//! | 0 | `PA30` or `PA31` |
//! | 4 | last write time of the target, FILETIME, little endian |
//! | 12 | bit stream (see [`bits`]): file type set, file type, flags, size of the target, hash algorithm (numbers), hash (buffer); then the preprocess buffer and the patch buffer. PA31 has the fields up to the hash, and more, in a buffer of their own |
//!
//! Invariants: the target's size is compared with the caller's limit before anything is allocated; the target has the
//! stated hash; every byte string, as base and as delta, gives a value or an error.
//!
//! What we know, with sources, stands in `docs/formats/delta.md`.
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod bits;
mod huffman;
mod lzms;
mod lzx;
mod pa19;
mod patch;
mod pe;
mod rift;
pub mod store;
#[cfg(test)]
mod tests;

use bits::BitReader;
use md5::{Digest as _, Md5};
use rift::Rift;
use sha1::Sha1;
use sha2::Sha256;

/// Bytes of the longest hash that a header may hold, as `DELTA_HASH` has it.
const MAX_HASH: usize = 32;

/// The file type of deltas that are not between PE images.
const FILE_TYPE_RAW: u64 = 1;

/// Bit of the file type set: the delta holds data that turn the target back into the base.
const REVERSAL: u64 = 0x100;

/// Why a delta could not be read or applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no delta.
    #[error("these bytes are no delta: they begin with {found:02x?}, not with PA19, PA30 or PA31")]
    NotADelta {
        /// The first bytes, four at most.
        found: Vec<u8>,
    },
    /// The bytes are no file of the component store that is wrapped.
    #[error("these bytes are no wrapped file: they begin with {found:02x?}, not with DCM, DCN, DCD or DCS and a one")]
    NotWrapped {
        /// The first bytes, four at most.
        found: Vec<u8>,
    },
    /// The delta ends early.
    #[error("the {what} ends early")]
    Truncated {
        /// The part that ends early.
        what: &'static str,
    },
    /// The delta breaks a rule of its format.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// The part that is wrong.
        what: &'static str,
        /// The rule.
        why: &'static str,
    },
    /// The delta needs what is not implemented.
    #[error("{what}: not supported")]
    Unsupported {
        /// What it needs.
        what: &'static str,
    },
    /// The target is larger than the caller allows.
    #[error("the delta's target has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Size of the target in bytes.
        size: u64,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// The base is none that the delta is made for. PA19 only: later deltas do not describe their base.
    #[error("the delta is not made for this base of {size} bytes")]
    WrongBase {
        /// Size of the base in bytes.
        size: usize,
    },
    /// The result is not what the header promises: the base is not the one that the delta was made against, or the delta
    /// is damaged.
    #[error("the target does not have the {algorithm:?} hash that the delta states: wrong base or damaged delta")]
    HashMismatch {
        /// The algorithm of the header's hash.
        algorithm: HashAlgorithm,
    },
    /// An LZMS block could not be decompressed.
    #[error("LZMS block of the delta")]
    Lzms {
        /// Why not.
        #[from]
        source: crate::Error,
    },
}

/// The format of a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `PA19`, of Windows 2000 and later: LZX Delta.
    Pa19,
    /// `PA30`, of Windows Vista and later.
    Pa30,
    /// `PA31`, of Windows 11 and later.
    Pa31,
}

/// The algorithm of a header's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// CRC-32 as in zip files (PA19).
    Crc32,
    /// MD5 (`CALG_MD5`).
    Md5,
    /// SHA-1 (`CALG_SHA1`).
    Sha1,
    /// SHA-256 (`CALG_SHA_256`).
    Sha256,
    /// Another one, by its `ALG_ID`. Such a hash is not verified.
    Other(u32),
}

/// What a delta says of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The format.
    pub kind: Kind,
    /// What the delta was made for: `DELTA_FILE_TYPE_…` bits. 0 for PA19.
    pub file_type_set: u64,
    /// What the files turned out to be, one of those bits: 1 raw, 2 and 0x10 i386, 8 and 0x20 x64. 0 for PA19.
    pub file_type: u64,
    /// `DELTA_FLAG_…`, for PA19 `PATCH_OPTION_…`.
    pub flags: u64,
    /// Size of the target in bytes.
    pub target_size: u64,
    /// Last write time of the target, FILETIME: units of 100 ns since 1601. 0 where the delta has none.
    pub file_time: u64,
    /// Hash of the target; a CRC-32 is big endian here.
    pub hash: Option<(HashAlgorithm, Vec<u8>)>,
}

impl Header {
    /// Compares the target with the hash.
    fn verify(&self, target: &[u8]) -> Result<(), Error> {
        let Some((algorithm, expected)) = &self.hash else { return Ok(()) };
        let same = match algorithm {
            HashAlgorithm::Md5 => Md5::digest(target).as_slice() == expected,
            HashAlgorithm::Sha1 => Sha1::digest(target).as_slice() == expected,
            HashAlgorithm::Sha256 => Sha256::digest(target).as_slice() == expected,
            // PA19 verifies its CRC, which leaves out ranges, where it knows these.
            HashAlgorithm::Crc32 | HashAlgorithm::Other(_) => true,
        };
        if same { Ok(()) } else { Err(Error::HashMismatch { algorithm: *algorithm }) }
    }
}

/// The buffers behind a PA30 or PA31 header.
struct Body<'a> {
    /// What the transforms of a PE base need; empty for raw deltas.
    preprocess: &'a [u8],
    /// How the target is put together.
    patch: &'a [u8],
}

/// Reads a delta's header.
///
/// # Errors
/// [`Error::NotADelta`], [`Error::Truncated`], [`Error::Malformed`].
pub fn header(delta: &[u8]) -> Result<Header, Error> {
    Ok(match kind(delta)? {
        Kind::Pa19 => pa19::Patch::read(delta)?.header(),
        kind => read(kind, delta)?.0,
    })
}

/// Applies `delta` to `base`, which is empty for null deltas, and gives the target.
///
/// `limit` is the largest target in bytes that the caller wants. Memory: base and target, and for PE images the base
/// once more.
///
/// # Errors
/// All of [`Error`] but [`Error::NotWrapped`].
pub fn apply(base: &[u8], delta: &[u8], limit: u64) -> Result<Vec<u8>, Error> {
    let kind = kind(delta)?;
    if kind == Kind::Pa19 {
        return pa19::Patch::read(delta)?.apply(base, limit);
    }
    let (header, body) = read(kind, delta)?;
    let size = allowed_size(header.target_size, limit)?;
    if header.file_type_set & REVERSAL != 0 {
        return Err(Error::Unsupported { what: "reversal data" });
    }
    let mut target = if lzms::is_container(body.patch) {
        lzms::decode(base, body.patch, size)?
    } else if header.file_type == FILE_TYPE_RAW || body.preprocess.is_empty() {
        patch::decode(base, body.patch, size, Rift::default())?
    } else {
        let (source, rift) = pe::Preprocess::read(body.preprocess)?.apply(base, header.flags)?;
        patch::decode(&source, body.patch, size, rift)?
    };
    if header.flags & pe::flag::E8 != 0 {
        pe::untranslate_calls(&mut target);
    }
    header.verify(&target)?;
    Ok(target)
}

/// Compares a target's size with the limit.
fn allowed_size(size: u64, limit: u64) -> Result<usize, Error> {
    usize::try_from(size).ok().filter(|_| size <= limit).ok_or(Error::TooLarge { size, limit })
}

/// The format that the first bytes name.
fn kind(delta: &[u8]) -> Result<Kind, Error> {
    match delta.first_chunk() {
        Some(b"PA19") => Ok(Kind::Pa19),
        Some(b"PA30") => Ok(Kind::Pa30),
        Some(b"PA31") => Ok(Kind::Pa31),
        _ => Err(Error::NotADelta { found: delta.iter().copied().take(4).collect() }),
    }
}

/// Reads a PA30 or PA31 header, and finds the buffers behind it.
fn read(kind: Kind, delta: &[u8]) -> Result<(Header, Body<'_>), Error> {
    const TRUNCATED: Error = Error::Truncated { what: "header of the delta" };
    let file_time = delta.get(4..12).and_then(<[u8]>::first_chunk).ok_or(TRUNCATED)?;
    let mut outer = BitReader::new(delta.get(12..).ok_or(TRUNCATED)?)?;
    let mut fields = if kind == Kind::Pa31 { BitReader::new(outer.buffer()?)? } else { outer };
    let file_type_set = fields.number()?;
    let file_type = fields.number()?;
    let flags = fields.number()?;
    let target_size = fields.number()?;
    let algorithm = fields.number()?;
    let hash = fields.buffer()?;
    if hash.len() > MAX_HASH {
        return Err(Error::Malformed { what: "header of the delta", why: "its hash is longer than 32 bytes" });
    }
    let algorithm = match algorithm {
        0x8003 => HashAlgorithm::Md5,
        0x8004 => HashAlgorithm::Sha1,
        0x800C => HashAlgorithm::Sha256,
        other => HashAlgorithm::Other(other as u32),
    };
    // PA31 goes on in its own buffer: three numbers and another hash, whose meaning is not known.
    let mut rest = if kind == Kind::Pa31 { outer } else { fields };
    let header = Header {
        kind,
        file_type_set,
        file_type,
        flags,
        target_size,
        file_time: u64::from_le_bytes(*file_time),
        hash: (!hash.is_empty()).then(|| (algorithm, hash.to_vec())),
    };
    let body = if file_type_set & REVERSAL != 0 {
        Body { preprocess: &[], patch: rest.buffer()? }
    } else {
        Body { preprocess: rest.buffer()?, patch: rest.buffer()? }
    };
    Ok((header, body))
}

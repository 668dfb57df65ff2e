//! Payload files as the store holds them: as they are, or compressed by the servicing stack.
//!
//! After a cleanup the store keeps files that are no winner's in one of three forms, told by their first four bytes:
//!
//! | Bytes | What follows, little-endian |
//! |---|---|
//! | `DCN\x01` | a PA30 delta against nothing |
//! | `DCD\x01` | the version of the component whose file is the base (8 bytes, four numbers; of a component 10.0.26200.6 first 6, last 10), a PA30 delta |
//! | `DCS\x01` | how many blocks (4 bytes), size of the file (4 bytes); then each block: its length without these 4 bytes (4 bytes), its size uncompressed (4 bytes), LZMS |
//!
//! Hashes of manifests are those of the file itself. Sources: himselfv/manifestenum and hfiref0x/SXSEXP (facts); no real sample was
//! at hand for `DCD` and `DCS`.

use std::borrow::Cow;
use std::sync::Arc;

use thiserror::Error;
use wimwright_codec::{Compression, Decompressor, delta};
use wimwright_format::manifest::Version;

/// Largest file that is expanded, in bytes: it is held in memory.
const LARGEST_FILE: u64 = 1 << 30;

/// Why a stored file cannot be expanded.
#[derive(Debug, Error)]
pub enum ExpandError {
    /// The delta is damaged, or made for another base.
    #[error("the delta cannot be applied")]
    Delta(#[source] delta::Error),
    /// The file that the delta builds on is not there.
    #[error("the delta builds on version {version} of the file, which the store does not have")]
    NoBase {
        /// The version of the component.
        version: Version,
    },
    /// The blocks are not as long as they say.
    #[error("the compressed file is damaged: {what}")]
    Blocks {
        /// What is wrong.
        what: &'static str,
    },
    /// A block cannot be decompressed.
    #[error("a block of the compressed file is damaged")]
    Block(#[source] wimwright_codec::Error),
}

/// The file: as it is, or expanded. `base` gives the same file of another version of the component.
///
/// # Errors
/// It is damaged, or its base is missing.
pub fn expand<'a>(stored: &'a [u8], base: impl FnOnce(Version) -> Option<Arc<[u8]>>) -> Result<Cow<'a, [u8]>, ExpandError> {
    let apply = |base: &[u8], bytes: &[u8]| delta::apply(base, bytes, LARGEST_FILE).map(Cow::Owned).map_err(ExpandError::Delta);
    match stored {
        [b'D', b'C', b'N', 1, delta @ ..] => apply(&[], delta),
        [b'D', b'C', b'D', 1, rest @ ..] => {
            let (version, delta) = rest.split_first_chunk::<8>().ok_or(ExpandError::Blocks { what: "it ends within its header" })?;
            let packed = u64::from_le_bytes(*version);
            let version = Version([48, 32, 16, 0].map(|shift| (packed >> shift) as u16));
            apply(&base(version).ok_or(ExpandError::NoBase { version })?, delta)
        }
        [b'D', b'C', b'S', 1, rest @ ..] => expand_blocks(rest).map(Cow::Owned),
        plain => Ok(Cow::Borrowed(plain)),
    }
}

/// True when the first bytes are those of a compressed file.
#[must_use]
pub fn is_compressed(stored: &[u8]) -> bool {
    matches!(stored, [b'D', b'C', b'N' | b'D' | b'S', 1, ..])
}

fn expand_blocks(bytes: &[u8]) -> Result<Vec<u8>, ExpandError> {
    let mut rest = bytes;
    let mut number = || -> Result<u32, ExpandError> {
        let (field, after) = rest.split_first_chunk::<4>().ok_or(ExpandError::Blocks { what: "it ends within a header" })?;
        rest = after;
        Ok(u32::from_le_bytes(*field))
    };
    let (count, size) = (number()?, number()?);
    if u64::from(size) > LARGEST_FILE {
        return Err(ExpandError::Blocks { what: "it says to be larger than any file of Windows" });
    }
    let mut file = Vec::new();
    for _ in 0..count {
        let too_long = ExpandError::Blocks { what: "a block is longer than the file" };
        let (field, after) = rest.split_first_chunk::<8>().ok_or(ExpandError::Blocks { what: "it ends within a header" })?;
        let [a, b, c, d, e, f, g, h] = *field;
        let (stored, raw) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        // The stored length counts the field behind it.
        let length = stored.checked_sub(4).ok_or(ExpandError::Blocks { what: "a block is shorter than its header" })?;
        let (block, after) = after.split_at_checked(length as usize).ok_or(ExpandError::Blocks { what: "it ends within a block" })?;
        if file.len() as u64 + u64::from(raw) > u64::from(size) {
            return Err(too_long);
        }
        rest = after;
        let start = file.len();
        file.resize(start + raw as usize, 0);
        let mut decompressor = Decompressor::new(Compression::Lzms, (raw as usize).max(1 << 15)).map_err(ExpandError::Block)?;
        decompressor.decompress(block, &mut file[start..]).map_err(ExpandError::Block)?;
    }
    if file.len() as u64 == u64::from(size) { Ok(file) } else { Err(ExpandError::Blocks { what: "it is shorter than it says" }) }
}

#[cfg(test)]
mod tests {
    use wimwright_codec::{Compressor, Level};

    use super::*;

    fn blocks(parts: &[&[u8]]) -> Vec<u8> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let mut bytes = b"DCS\x01".to_vec();
        bytes.extend((parts.len() as u32).to_le_bytes());
        bytes.extend((total as u32).to_le_bytes());
        for part in parts {
            let mut packed = vec![0; part.len()];
            let mut compressor = Compressor::new(Compression::Lzms, part.len().max(1 << 15), Level::default()).unwrap();
            let length = compressor.compress(part, &mut packed).unwrap();
            bytes.extend((length as u32 + 4).to_le_bytes());
            bytes.extend((part.len() as u32).to_le_bytes());
            bytes.extend(&packed[..length]);
        }
        bytes
    }

    #[test]
    fn blocks_are_joined() {
        let (first, second) = (b"practice ".repeat(4000), b"store ".repeat(300));
        let stored = blocks(&[&first, &second]);
        assert!(is_compressed(&stored));
        assert_eq!(expand(&stored, |_| None).unwrap().as_ref(), [first, second].concat());
        for length in 0..stored.len() {
            // Nothing that was cut short is taken for a file, nor does it stop us.
            let cut = expand(&stored[..length], |_| None);
            assert!(length < 4 || cut.is_err(), "{length}");
        }
    }

    #[test]
    fn what_is_not_compressed_stays() {
        assert_eq!(expand(b"MZ", |_| None).unwrap().as_ref(), b"MZ");
        assert_eq!(expand(b"DCX\x01", |_| None).unwrap().as_ref(), b"DCX\x01");
    }

    #[test]
    fn the_base_is_asked_for_by_its_version() {
        let stored = b"DCD\x01\x06\x00\x58\x66\x00\x00\x0a\x00PA30";
        let error = expand(stored, |_| None).unwrap_err();
        assert!(matches!(error, ExpandError::NoBase { version: Version([10, 0, 26200, 6]) }), "{error}");
        assert!(matches!(expand(stored, |_| Some([].into())), Err(ExpandError::Delta(_))));
        assert!(matches!(expand(b"DCN\x01PA30", |_| None), Err(ExpandError::Delta(_))));
    }
}

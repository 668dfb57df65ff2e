//! The name of a blob.

use std::fmt;
use std::str::FromStr;

use sha1::{Digest, Sha1};

/// SHA-1 of a stream's bytes: how a WIM names contents.
///
/// An empty stream has no blob: on disk its identifier is all zeros, here it is `None` of `Option<BlobId>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub [u8; 20]);

impl BlobId {
    /// The identifier of `bytes`. (Of no bytes at all it is SHA-1 of nothing, which no WIM stores.)
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha1::digest(bytes).into())
    }

    /// Reads the on-disk form, where zeros stand for "no blob".
    #[must_use]
    pub fn from_field(field: [u8; 20]) -> Option<Self> {
        (field != [0; 20]).then_some(Self(field))
    }

    /// The on-disk form of an optional identifier: zeros for none.
    #[must_use]
    pub fn to_field(id: Option<Self>) -> [u8; 20] {
        id.map_or([0; 20], |id| id.0)
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BlobId({self})")
    }
}

/// A text is not 40 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a blob identifier: 40 hexadecimal digits expected")]
pub struct ParseBlobIdError {
    /// The text, cut after 64 characters.
    pub text: String,
}

impl FromStr for BlobId {
    type Err = ParseBlobIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseBlobIdError { text: text.chars().take(64).collect() };
        if text.len() != 40 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(error());
        }
        let mut id = [0; 20];
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| error())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| error())?;
        }
        Ok(Self(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_both_ways() {
        let id = BlobId::of(b"hello\n");
        assert_eq!(id.to_string(), "f572d396fae9206628714fb2ce00f72e94f2258f");
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for bad in ["", "f572", "+572d396fae9206628714fb2ce00f72e94f2258f", "é572d396fae9206628714fb2ce00f72e94f2258"] {
            assert!(bad.parse::<BlobId>().is_err(), "{bad}");
        }
        assert_eq!(BlobId::from_field([0; 20]), None);
    }
}

//! Digests as update packages state them: SHA-1 up to Windows 8, SHA-256 since.

use std::fmt;

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// The digest of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Digest {
    /// SHA-1.
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
}

impl Digest {
    /// The digest of `bytes` by SHA-1.
    #[must_use]
    pub fn sha1(bytes: &[u8]) -> Self {
        Self::Sha1(Sha1::digest(bytes).into())
    }

    /// The digest of `bytes` by SHA-256.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::Sha256(Sha256::digest(bytes).into())
    }

    /// The digest of `bytes` by the algorithm of this digest.
    #[must_use]
    pub fn of_same_kind(&self, bytes: &[u8]) -> Self {
        match self {
            Self::Sha1(_) => Self::sha1(bytes),
            Self::Sha256(_) => Self::sha256(bytes),
        }
    }

    /// The algorithm as container indexes write it.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha1(_) => "SHA1",
            Self::Sha256(_) => "SHA256",
        }
    }

    /// Reads a digest from an algorithm's name and hexadecimal digits, both in any case. `None` for another algorithm or
    /// a value of another length.
    #[must_use]
    pub fn parse(algorithm: &str, digits: &str) -> Option<Self> {
        if algorithm.eq_ignore_ascii_case("SHA1") {
            Some(Self::Sha1(from_hexadecimal(digits)?))
        } else if algorithm.eq_ignore_ascii_case("SHA256") {
            Some(Self::Sha256(from_hexadecimal(digits)?))
        } else {
            None
        }
    }
}

fn from_hexadecimal<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |character: &u8| char::from(*character).to_digit(16);
        *byte = u8::try_from(digit(high)? << 4 | digit(low)?).ok()?;
    }
    Some(bytes)
}

/// Lower-case hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let bytes: &[u8] = match self {
            Self::Sha1(bytes) => bytes,
            Self::Sha256(bytes) => bytes,
        };
        bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_and_printed() {
        // `printf abc | sha1sum`, `printf abc | sha256sum`.
        let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::parse("sha1", &sha1.to_uppercase()), Some(Digest::sha1(b"abc")));
        assert_eq!(Digest::parse("SHA256", sha256), Some(Digest::sha256(b"abc")));
        assert_eq!(Digest::sha256(b"abc").to_string(), sha256);
        assert_eq!(Digest::parse("SHA1", sha256), None);
        assert_eq!(Digest::parse("MD5", sha1), None);
        assert_eq!(Digest::parse("SHA1", &format!("{}xy", &sha1[2..])), None);
        assert_eq!(Digest::parse("SHA1", &sha1.replace('a', "ä")), None);
    }
}

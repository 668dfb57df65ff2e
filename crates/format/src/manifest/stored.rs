//! How the component store holds a manifest: as XML, or as a delta against a dictionary.
//!
//! A stored manifest starts with `DCM\x01` and a PA30 delta whose base is the fixed dictionary in `wcp.dll` (resource type
//! 614), or it is the XML itself; the servicing stack reads both (Pandapip1/gowim: 401 of 28,069 on a real image are plain).
//! Catalogs and the COMPONENTS hive hash the *decoded* XML. Payload files know three more forms (`DCN`, `DCD`, `DCS`;
//! hfiref0x/SXSEXP), of which a manifest may be `DCN`, a delta against nothing.

use std::borrow::Cow;

use super::Error;

/// The bytes of a stored manifest, told apart by their first four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored<'a> {
    /// XML as it is.
    Plain(&'a [u8]),
    /// `DCM\x01`: the rest is a PA30 delta against the manifest dictionary.
    Dictionary(&'a [u8]),
    /// `DCN\x01`: the rest is a PA30 delta against nothing.
    Standalone(&'a [u8]),
}

impl<'a> Stored<'a> {
    /// Looks at the first four bytes.
    ///
    /// # Errors
    /// [`Error::StoredForm`] for the forms that only payload files have.
    pub fn of(bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes {
            [b'D', b'C', b'M', 1, delta @ ..] => Ok(Self::Dictionary(delta)),
            [b'D', b'C', b'N', 1, delta @ ..] => Ok(Self::Standalone(delta)),
            [b'D', b'C', kind @ (b'D' | b'S'), 1, ..] => Err(Error::StoredForm { magic: format!("DC{}\\x01", char::from(*kind)) }),
            plain => Ok(Self::Plain(plain)),
        }
    }

    /// The XML: as it is, or what `decompress` makes of the delta. The flag tells it whether the dictionary is the base.
    ///
    /// # Errors
    /// [`Error::Decompress`] with the error of `decompress`.
    pub fn decode<E>(self, decompress: impl FnOnce(&[u8], bool) -> Result<Vec<u8>, E>) -> Result<Cow<'a, [u8]>, Error>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (delta, with_dictionary) = match self {
            Self::Plain(xml) => return Ok(Cow::Borrowed(xml)),
            Self::Dictionary(delta) => (delta, true),
            Self::Standalone(delta) => (delta, false),
        };
        decompress(delta, with_dictionary).map(Cow::Owned).map_err(|source| Error::Decompress { source: source.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_by_their_magic() {
        assert_eq!(Stored::of(b"<a/>").unwrap(), Stored::Plain(b"<a/>"));
        assert_eq!(Stored::of(b"").unwrap(), Stored::Plain(b""));
        assert_eq!(Stored::of(b"DCM\x01PA30").unwrap(), Stored::Dictionary(b"PA30"));
        assert_eq!(Stored::of(b"DCN\x01PA30").unwrap(), Stored::Standalone(b"PA30"));
        assert!(matches!(Stored::of(b"DCS\x01"), Err(Error::StoredForm { .. })));
    }

    #[test]
    fn only_deltas_are_decompressed() {
        let upper = |delta: &[u8], dictionary: bool| if dictionary { Ok(delta.to_ascii_uppercase()) } else { Err("no") };
        assert_eq!(Stored::Plain(b"<a/>").decode(upper).unwrap().as_ref(), b"<a/>");
        assert_eq!(Stored::Dictionary(b"abc").decode(upper).unwrap().as_ref(), b"ABC");
        assert!(matches!(Stored::Standalone(b"abc").decode(upper), Err(Error::Decompress { .. })));
    }
}

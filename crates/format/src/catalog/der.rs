//! DER, read as a tree of borrowed elements: every signature and digest here is over bytes as they stand in the file.

use der::asn1::ObjectIdentifier;
use der::{Decode, Header, Reader, SliceReader, Tag, TagNumber};

use super::Error;

/// An element: tag, contents, and both with the length between them.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub tag: Tag,
    pub value: &'a [u8],
    pub whole: &'a [u8],
}

/// The elements of a constructed value, in order. `what` names the structure in errors.
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    what: &'static str,
}

/// `[number]`, constructed.
pub(super) fn context(number: u8) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber::new(number) }
}

impl<'a> Elements<'a> {
    pub(super) fn new(contents: &'a [u8], what: &'static str) -> Self {
        Self { rest: contents, what }
    }

    pub(super) fn error(&self) -> Error {
        Error::Structure { what: self.what }
    }

    /// The next element; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Element<'a>>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let read = |rest: &'a [u8]| {
            let mut reader = SliceReader::new(rest)?;
            let header = Header::decode(&mut reader)?;
            let start = usize::try_from(reader.position())?;
            let length = usize::try_from(header.length)?;
            Ok::<_, der::Error>((header.tag, start, length))
        };
        let (tag, start, length) = read(self.rest).map_err(|_| self.error())?;
        let end = start.checked_add(length).ok_or_else(|| self.error())?;
        let (whole, rest) = self.rest.split_at_checked(end).ok_or_else(|| self.error())?;
        let value = whole.get(start..).ok_or_else(|| self.error())?;
        self.rest = rest;
        Ok(Some(Element { tag, value, whole }))
    }

    /// The next element, which must be there.
    pub(super) fn any(&mut self) -> Result<Element<'a>, Error> {
        self.next()?.ok_or_else(|| self.error())
    }

    /// The next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: Tag) -> Result<Element<'a>, Error> {
        self.any()?.check(tag, self.what)
    }

    /// The next element when it has this tag.
    pub(super) fn optional(&mut self, tag: Tag) -> Result<Option<Element<'a>>, Error> {
        let rest = self.rest;
        let next = self.next()?;
        if next.is_some_and(|element| element.tag == tag) {
            return Ok(next);
        }
        self.rest = rest;
        Ok(None)
    }

    /// The elements of the sequence that comes next.
    pub(super) fn sequence(&mut self) -> Result<Elements<'a>, Error> {
        Ok(Elements::new(self.expect(Tag::Sequence)?.value, self.what))
    }

    /// The object identifier that comes next.
    pub(super) fn identifier(&mut self) -> Result<ObjectIdentifier, Error> {
        ObjectIdentifier::from_bytes(self.expect(Tag::ObjectIdentifier)?.value).map_err(|_| self.error())
    }

    /// The algorithm identifier that comes next, without its parameters.
    pub(super) fn algorithm(&mut self) -> Result<ObjectIdentifier, Error> {
        self.sequence()?.identifier()
    }
}

impl<'a> Element<'a> {
    pub(super) fn check(self, tag: Tag, what: &'static str) -> Result<Self, Error> {
        if self.tag == tag { Ok(self) } else { Err(Error::Structure { what }) }
    }

    pub(super) fn elements(self, what: &'static str) -> Elements<'a> {
        Elements::new(self.value, what)
    }

    /// A point in time (UTCTime or GeneralizedTime, in UTC, fractions cut off) in seconds since 1970.
    pub(super) fn time(self, what: &'static str) -> Result<u64, Error> {
        let digits = |at: usize, count: usize| -> Option<u16> {
            let text = self.value.get(at..at.checked_add(count)?)?;
            text.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(text).ok()?.parse().ok())?
        };
        let read = || {
            let (year, at) = match self.tag {
                // Two digits: 1950 to 2049 (RFC 5280).
                Tag::UtcTime => {
                    digits(0, 2).map(|year| (if year < 50 { 2000_u16.saturating_add(year) } else { 1900_u16.saturating_add(year) }, 2))?
                }
                Tag::GeneralizedTime => (digits(0, 4)?, 4_usize),
                _ => return None,
            };
            let part = |index: usize| u8::try_from(digits(at.checked_add(index.checked_mul(2)?)?, 2)?).ok();
            let time = der::DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?).ok()?;
            (self.value.last() == Some(&b'Z')).then(|| time.unix_duration().as_secs())
        };
        read().ok_or(Error::Structure { what })
    }
}

/// The bytes of an element with another tag byte: attributes are tagged `[0]` in a signature but signed as a SET.
pub(super) fn retagged(element: Element<'_>, tag: u8) -> Vec<u8> {
    let mut bytes = element.whole.to_vec();
    if let Some(first) = bytes.first_mut() {
        *first = tag;
    }
    bytes
}

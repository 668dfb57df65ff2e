//! XML documents of Windows deployment: text encodings, limits, and places in the source.
//!
//! A document is read as a tree. Two things must hold before the tree is built, because it costs more than linear time
//! otherwise: an element has few attributes, and few namespace declarations are in scope. Document type definitions, and with
//! them every kind of entity but the five of XML itself, are refused.

use quick_xml::events::Event;
use std::borrow::Cow;
use std::fmt;

/// Largest document that is read, in bytes. The largest answer file seen has 0.2 MB, the largest block map of an app package
/// (one line for each 64 KiB) some 5 MB.
pub const MAX_BYTES: usize = 64 << 20;
/// Deepest nesting of elements. Answer files and manifests stay below 20.
pub const MAX_DEPTH: usize = 256;
/// Most attributes of one element, declarations of namespaces included. App manifests declare some 30 namespaces on their root.
pub const MAX_ATTRIBUTES: usize = 256;
/// Most declarations of namespaces in scope at one place.
pub const MAX_NAMESPACES: usize = 256;

/// A place in a text. Lines and columns are counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// Why bytes are no XML document that is read here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// The bytes are not text in UTF-8 or UTF-16.
    #[error("not text in {encoding}: byte {offset} cannot be read")]
    Encoding {
        /// The encoding that the first bytes announce.
        encoding: &'static str,
        /// Where reading failed, in bytes.
        offset: usize,
    },
    /// The text is no well-formed XML.
    #[error("not well-formed XML at {position}: {problem}")]
    Syntax {
        /// Where.
        position: Position,
        /// What is wrong.
        problem: String,
    },
    /// The document is larger or deeper than any real one.
    #[error("XML with {found} {what}: at most {limit} are read")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much there is, or how much had been read when reading stopped.
        found: usize,
        /// How much is read.
        limit: usize,
    },
}

/// Joins the two bytes of a UTF-16 unit.
type ByteOrder = fn([u8; 2]) -> u16;

/// The text of a document: UTF-8, or UTF-16 with a byte order mark. The mark is not part of the text.
///
/// # Errors
/// When the bytes are no such text, or too many.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    limit("bytes", bytes.len(), MAX_BYTES)?;
    let utf16: Option<(&[u8], ByteOrder, &'static str)> = match bytes {
        [0xFF, 0xFE, rest @ ..] => Some((rest, u16::from_le_bytes, "UTF-16LE")),
        [0xFE, 0xFF, rest @ ..] => Some((rest, u16::from_be_bytes, "UTF-16BE")),
        _ => None,
    };
    if let Some((rest, unit, encoding)) = utf16 {
        let (pairs, odd) = rest.as_chunks::<2>();
        let mut text = String::with_capacity(pairs.len());
        let mut offset = 2_usize;
        for character in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
            let character = character.map_err(|_| XmlError::Encoding { encoding, offset })?;
            offset = offset.saturating_add(character.len_utf16().saturating_mul(2));
            text.push(character);
        }
        return if odd.is_empty() { Ok(Cow::Owned(text)) } else { Err(XmlError::Encoding { encoding, offset }) };
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| XmlError::Encoding { encoding: "UTF-8", offset: error.valid_up_to() })
}

/// The tree of a document.
///
/// # Errors
/// When the text is not well-formed, has a DTD, or exceeds a limit.
pub fn parse(text: &str) -> Result<roxmltree::Document<'_>, XmlError> {
    check_limits(text)?;
    roxmltree::Document::parse(text).map_err(|error| {
        let place = error.pos();
        let position = Position { line: usize::try_from(place.row).unwrap_or(1), column: usize::try_from(place.col).unwrap_or(1) };
        let said = error.to_string();
        // roxmltree repeats the place, in its own words, at the end or in the middle.
        XmlError::Syntax { position, problem: said.replace(&format!(" at {}:{}", place.row, place.col), "") }
    })
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), XmlError> {
    if found > limit { Err(XmlError::Limit { what, found, limit }) } else { Ok(()) }
}

/// One quick pass over the tags, in linear time.
fn check_limits(text: &str) -> Result<(), XmlError> {
    limit("bytes", text.len(), MAX_BYTES)?;
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    // Declarations of namespaces on each open element.
    let mut open: Vec<usize> = Vec::new();
    let mut in_scope = 0_usize;
    loop {
        let event = reader.read_event().map_err(|error| {
            let offset = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
            XmlError::Syntax { position: Positions::new(text).at(offset), problem: error.to_string() }
        })?;
        match &event {
            Event::Start(tag) | Event::Empty(tag) => {
                let (mut count, mut namespaces) = (0_usize, 0_usize);
                for attribute in tag.attributes().with_checks(false) {
                    count = count.saturating_add(1);
                    limit("attributes on one element", count, MAX_ATTRIBUTES)?;
                    let declares = attribute.is_ok_and(|attribute| attribute.key.as_namespace_binding().is_some());
                    namespaces = namespaces.saturating_add(usize::from(declares));
                }
                limit("namespace declarations in scope", in_scope.saturating_add(namespaces), MAX_NAMESPACES)?;
                if matches!(event, Event::Start(_)) {
                    in_scope = in_scope.saturating_add(namespaces);
                    open.push(namespaces);
                    limit("nested elements", open.len(), MAX_DEPTH)?;
                }
            }
            Event::End(_) => in_scope = in_scope.saturating_sub(open.pop().unwrap_or(0)),
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// Finds the line and column of byte offsets, in one pass over the text when asked in rising order.
#[derive(Debug, Clone)]
pub struct Positions<'a> {
    text: &'a str,
    offset: usize,
    position: Position,
}

impl<'a> Positions<'a> {
    /// Places in `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, offset: 0, position: Position { line: 1, column: 1 } }
    }

    /// The place of a byte offset; that of the end for an offset behind it.
    pub fn at(&mut self, offset: usize) -> Position {
        if offset < self.offset {
            *self = Self::new(self.text);
        }
        for character in self.text.get(self.offset..).unwrap_or_default().chars() {
            if self.offset >= offset {
                break;
            }
            self.offset = self.offset.saturating_add(character.len_utf8());
            self.position = match character {
                '\n' => Position { line: self.position.line.saturating_add(1), column: 1 },
                _ => Position { column: self.position.column.saturating_add(1), ..self.position },
            };
        }
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(unit).collect()
    }

    #[test]
    fn encodings() {
        for bytes in [b"<a/>".to_vec(), b"\xEF\xBB\xBF<a/>".to_vec(), utf16("<a/>", u16::to_le_bytes), utf16("<a/>", u16::to_be_bytes)] {
            assert_eq!(decode(&bytes).unwrap(), "<a/>");
        }
        assert_eq!(decode(b"<a>\xFF"), Err(XmlError::Encoding { encoding: "UTF-8", offset: 3 }));
        assert_eq!(decode(b"\xFF\xFE<\0\x00\xD8"), Err(XmlError::Encoding { encoding: "UTF-16LE", offset: 4 }));
        assert_eq!(decode(b"\xFF\xFE<"), Err(XmlError::Encoding { encoding: "UTF-16LE", offset: 2 }));
    }

    #[test]
    fn entities_and_excess_are_refused() {
        assert!(matches!(parse("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>"), Err(XmlError::Syntax { .. })));
        assert!(matches!(parse("<a>&x;</a>"), Err(XmlError::Syntax { .. })));
        let many_attributes: String = (0..300).map(|index| format!(" a{index}=''")).collect();
        assert!(matches!(parse(&format!("<a{many_attributes}/>")), Err(XmlError::Limit { .. })));
        let nested = |tag: &str, count| tag.repeat(count);
        assert!(matches!(parse(&nested("<a>", 1000)), Err(XmlError::Limit { what: "nested elements", .. })));
        let namespaces: String = (0..200).map(|index| format!(" xmlns:a{index}='b'")).collect();
        assert!(matches!(
            parse(&nested(&format!("<a{namespaces}>"), 2)),
            Err(XmlError::Limit { what: "namespace declarations in scope", .. })
        ));
    }

    #[test]
    fn places_of_problems() {
        let error = parse("<a>\n  <b></c>\n</a>").unwrap_err();
        assert!(error.to_string().starts_with("not well-formed XML at 2:"), "{error}");
        assert_eq!(error.to_string().matches("2:").count(), 1, "{error}");
        let mut positions = Positions::new("aä\nb");
        let places: Vec<_> = [0, 1, 3, 4, 9, 1].into_iter().map(|offset| positions.at(offset).to_string()).collect();
        assert_eq!(places, ["1:1", "1:2", "1:3", "2:1", "2:2", "1:2"]);
    }
}

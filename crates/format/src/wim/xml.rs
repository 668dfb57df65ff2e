//! The XML data: what a WIM says of its images, in UTF-16LE with a byte order mark.
//!
//! ```text
//! <WIM><TOTALBYTES>4461218778</TOTALBYTES><IMAGE INDEX="1"><DIRCOUNT>15107</DIRCOUNT>… </IMAGE>…</WIM>
//! ```
//!
//! WIMGAPI and DISM keep elements they don't know, and so do we: an [`Element`] preserves names, attributes, text and
//! their order. Comments and processing instructions are dropped. There are no DTDs and no entities but XML's own five.

use std::fmt::Write as _;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// Largest XML data we load. Real ones have some kilobytes per image.
pub const MAX_XML_SIZE: u64 = 64 << 20;
/// Deepest nesting of elements; Microsoft's files have five levels.
pub const MAX_ELEMENT_DEPTH: usize = 64;

/// Why XML data cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XmlError {
    /// Not UTF-16LE.
    #[error("not well-formed UTF-16LE text")]
    Encoding,
    /// Not well-formed XML.
    #[error("not well-formed at byte {position} of the UTF-8 form")]
    Syntax {
        /// Where.
        position: u64,
        /// What the parser said.
        source: Box<quick_xml::Error>,
    },
    /// Well formed, but refused.
    #[error("refused at byte {position} of the UTF-8 form: {reason}")]
    Refused {
        /// Where.
        position: u64,
        /// Why.
        reason: &'static str,
    },
}

/// What an element contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Text, unescaped.
    Text(String),
}

/// An XML element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// The name, with its prefix if it has one.
    pub name: String,
    /// Attributes as (name, unescaped value), in order.
    pub attributes: Vec<(String, String)>,
    /// What it contains, in order.
    pub children: Vec<Node>,
}

impl Element {
    /// An element that contains nothing.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Reads the document's root element.
    ///
    /// # Errors
    /// [`XmlError`]: a document type, an entity, or nesting beyond [`MAX_ELEMENT_DEPTH`] is refused.
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        let mut root = None;
        loop {
            let event = reader.read_event();
            let position = reader.buffer_position();
            let syntax = |source: quick_xml::Error| XmlError::Syntax { position, source: Box::new(source) };
            let refused = |reason| XmlError::Refused { position, reason };
            let closed = match event.map_err(syntax)? {
                Event::Start(tag) => {
                    if open.len() >= MAX_ELEMENT_DEPTH {
                        return Err(refused("elements are nested too deeply"));
                    }
                    open.push(start(&tag).map_err(syntax)?);
                    continue;
                }
                Event::Empty(tag) => Some(start(&tag).map_err(syntax)?),
                Event::End(_) => open.pop(),
                Event::Text(text) => {
                    append_text(&mut open, &text.xml10_content());
                    continue;
                }
                Event::CData(text) => {
                    append_text(&mut open, &text.xml10_content());
                    continue;
                }
                Event::GeneralRef(reference) => {
                    let character = reference.resolve_char_ref().map_err(syntax)?;
                    let name = reference.xml10_content();
                    let text = match (character, &*name) {
                        (Some(character), _) => character,
                        (None, "amp") => '&',
                        (None, "lt") => '<',
                        (None, "gt") => '>',
                        (None, "quot") => '"',
                        (None, "apos") => '\'',
                        (None, _) => return Err(refused("an entity")),
                    };
                    append_text(&mut open, text.encode_utf8(&mut [0; 4]));
                    continue;
                }
                Event::DocType(_) => return Err(refused("a document type definition")),
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => continue,
            };
            let Some(closed) = closed else { return Err(refused("an end tag without a start")) };
            match open.last_mut() {
                Some(parent) => parent.children.push(Node::Element(closed)),
                None if root.is_none() => root = Some(closed),
                None => return Err(refused("a second root element")),
            }
        }
        let position = reader.buffer_position();
        root.filter(|_| open.is_empty()).ok_or(XmlError::Refused { position, reason: "the document ends inside its root element" })
    }

    /// The elements inside, in order.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first element inside of this name.
    #[must_use]
    pub fn element(&self, name: &str) -> Option<&Self> {
        self.elements().find(|element| element.name == name)
    }

    /// The first element at a path of names, `WINDOWS/VERSION/BUILD`.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |element, name| element.element(name))
    }

    /// Sets the text of the first element at a path, making the elements that are absent.
    pub fn set_text_at(&mut self, path: &str, text: &str) {
        let (name, rest) = path.split_once('/').map_or((path, None), |(name, rest)| (name, Some(rest)));
        if self.element(name).is_none() {
            self.children.push(Node::Element(Self::new(name)));
        }
        let found = self.children.iter_mut().find_map(|node| match node {
            Node::Element(element) if element.name == name => Some(element),
            _ => None,
        });
        match (found, rest) {
            (Some(element), Some(rest)) => element.set_text_at(rest, text),
            (Some(element), None) => element.set_text(text),
            (None, _) => {}
        }
    }

    /// The element's own text, pieces joined.
    #[must_use]
    pub fn text(&self) -> String {
        self.children
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }

    /// Replaces all that the element contains by text.
    pub fn set_text(&mut self, text: &str) {
        self.children.clear();
        if !text.is_empty() {
            self.children.push(Node::Text(text.to_owned()));
        }
    }

    /// An attribute's value.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Sets an attribute, in place or at the end.
    pub fn set_attribute(&mut self, name: &str, value: &str) {
        match self.attributes.iter_mut().find(|(found, _)| found == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.attributes.push((name.to_owned(), value.to_owned())),
        }
    }

    /// The element as XML text, without a declaration. Characters that XML cannot carry become U+FFFD.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut output = String::new();
        self.write(&mut output);
        output
    }

    fn write(&self, output: &mut String) {
        output.push('<');
        output.push_str(&self.name);
        for (name, value) in &self.attributes {
            output.push(' ');
            output.push_str(name);
            output.push_str("=\"");
            escape(output, value, true);
            output.push('"');
        }
        output.push('>');
        for node in &self.children {
            match node {
                Node::Element(element) => element.write(output),
                Node::Text(text) => escape(output, text, false),
            }
        }
        output.push_str("</");
        output.push_str(&self.name);
        output.push('>');
    }
}

fn escape(output: &mut String, text: &str, attribute: bool) {
    for character in text.chars() {
        match character {
            '&' => output.push_str("&amp;"),
            '<' => output.push_str("&lt;"),
            '>' => output.push_str("&gt;"),
            '"' if attribute => output.push_str("&quot;"),
            '\t' | '\n' if !attribute => output.push(character),
            '\t' | '\n' | '\r' => {
                let _infallible = write!(output, "&#{};", u32::from(character));
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => output.push('\u{fffd}'),
            character => output.push(character),
        }
    }
}

fn start(tag: &BytesStart<'_>) -> Result<Element, quick_xml::Error> {
    let mut element = Element::new(tag.name().into_inner());
    for attribute in tag.attributes() {
        let attribute = attribute?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0)?;
        element.attributes.push((attribute.key.into_inner().to_owned(), value.into_owned()));
    }
    Ok(element)
}

/// Adds text to the innermost open element; around the root there is only white space.
fn append_text(open: &mut [Element], text: &str) {
    let Some(element) = open.last_mut() else { return };
    match element.children.last_mut() {
        Some(Node::Text(last)) => last.push_str(text),
        _ => element.children.push(Node::Text(text.to_owned())),
    }
}

/// Decodes the XML data's UTF-16LE, with or without a byte order mark.
///
/// # Errors
/// [`XmlError::Encoding`] for an odd length or unpaired surrogates.
pub fn decode_text(bytes: &[u8]) -> Result<String, XmlError> {
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(XmlError::Encoding);
    }
    let units: Vec<u16> = pairs.map(|pair| u16::from_le_bytes(pair.try_into().unwrap_or_default())).collect();
    let text = String::from_utf16(&units).map_err(|_| XmlError::Encoding)?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}

/// Encodes text as UTF-16LE with a byte order mark.
#[must_use]
pub fn encode_text(text: &str) -> Vec<u8> {
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

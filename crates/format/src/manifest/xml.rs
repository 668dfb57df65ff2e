//! The XML that manifests are written in: decoded, bounded, then parsed into a tree.
//!
//! A first pass over the tokens refuses what a manifest never contains (document types, and with them entities) and what
//! would make a tree parser slow or deep; only then is the tree built. Names are matched on the local name and the
//! vocabulary, because Microsoft's files vary the prefixes (`asmv3:`, `mum2:`, none).

use std::borrow::Cow;
use std::fmt::Write as _;

use quick_xml::events::{BytesStart, Event};
use roxmltree::{Document, Node, ParsingOptions};

use super::Error;

/// Largest manifest that is read, in bytes: the largest real ones (package manifests of cumulative updates) stay below 16 MiB.
pub const MAXIMUM_SIZE: usize = 32 << 20;
/// Deepest nesting of elements. Real manifests stay below 20; 128 leaves the call stack of any thread unharmed.
pub const MAXIMUM_DEPTH: usize = 128;
/// Most attributes of one element. The richest real element (`firewallRule`) has about 30.
pub const MAXIMUM_ATTRIBUTES: usize = 256;
/// Most namespace declarations in scope at one place: the tree parser copies them where one is added. Real ones have six.
pub const MAXIMUM_NAMESPACES: usize = 32;
/// Longest name of a namespace, in bytes: it is repeated in every element that is kept. Microsoft's have less than 100.
const MAXIMUM_NAMESPACE_LENGTH: usize = 256;
/// Most nodes of one document: bounds the memory of the tree at about 100 bytes each.
const MAXIMUM_NODES: u32 = 8 << 20;

/// Decodes the bytes of a manifest: UTF-8 with or without byte order mark, or UTF-16 with one.
pub(super) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    if bytes.len() > MAXIMUM_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAXIMUM_SIZE });
    }
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units = pairs.iter().map(|pair| unit(*pair));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.ok().filter(|_| rest.is_empty()).map(Cow::Owned).ok_or(Error::Encoding { expected: "UTF-16" })
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest),
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => utf8(bytes),
    }
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Error::Encoding { expected: "UTF-8" })
}

/// Parses decoded text after the bounds above were checked.
pub(super) fn parse(text: &str) -> Result<Document<'_>, Error> {
    check_bounds(text)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAXIMUM_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|source| Error::NotWellFormed { source })
}

fn check_bounds(text: &str) -> Result<(), Error> {
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_end_names = false;
    let mut namespaces: Vec<usize> = Vec::new();
    let mut in_scope = 0_usize;
    loop {
        let offset = reader.buffer_position();
        let event = reader.read_event().map_err(|source| Error::NotTokens { offset, source })?;
        match event {
            Event::Start(tag) => {
                let declared = check_tag(&tag, offset)?;
                in_scope = in_scope.saturating_add(declared);
                namespaces.push(declared);
                if namespaces.len() > MAXIMUM_DEPTH || in_scope > MAXIMUM_NAMESPACES {
                    return Err(Error::TooDeep { offset, limit: MAXIMUM_DEPTH });
                }
            }
            Event::Empty(tag) => {
                check_tag(&tag, offset)?;
            }
            Event::End(_) => in_scope = in_scope.saturating_sub(namespaces.pop().unwrap_or(0)),
            Event::DocType(_) => return Err(Error::DocumentType { offset }),
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// Counts the namespace declarations of a tag whose attributes are within bounds.
fn check_tag(tag: &BytesStart<'_>, offset: u64) -> Result<usize, Error> {
    let (mut attributes, mut declared) = (0_usize, 0_usize);
    for attribute in tag.attributes().with_checks(false) {
        attributes = attributes.saturating_add(1);
        let namespace = attribute.ok().filter(|attribute| attribute.key.as_ref().starts_with("xmlns"));
        declared = declared.saturating_add(usize::from(namespace.is_some()));
        let long = namespace.is_some_and(|namespace| namespace.value.len() > MAXIMUM_NAMESPACE_LENGTH);
        if attributes > MAXIMUM_ATTRIBUTES || declared > MAXIMUM_NAMESPACES || long {
            return Err(Error::TooManyAttributes { offset, limit: MAXIMUM_ATTRIBUTES });
        }
    }
    Ok(declared)
}

/// True for an element of one of the vocabularies that manifests are written in: asm.v1 to asm.v3, XML signatures, event
/// instrumentation, or none (migration manifests).
fn in_vocabulary(node: Node<'_, '_>) -> bool {
    match node.tag_name().namespace() {
        None | Some("" | "http://www.w3.org/2000/09/xmldsig#") => true,
        Some(namespace) => {
            namespace.starts_with("urn:schemas-microsoft-com:asm.v")
                || namespace.starts_with("http://schemas.microsoft.com/win/2004/08/events")
                || namespace.starts_with("http://manifests.microsoft.com/win/2004/08/windows/events")
        }
    }
}

/// The local name of an element of a known vocabulary; empty for any other node.
pub(super) fn name<'a>(node: Node<'a, '_>) -> &'a str {
    if node.is_element() && in_vocabulary(node) { node.tag_name().name() } else { "" }
}

/// The child elements, in order.
pub(super) fn elements<'a, 'input: 'a>(node: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(Node::is_element)
}

/// The first child element called `wanted`.
pub(super) fn child<'a, 'input: 'a>(node: Node<'a, 'input>, wanted: &str) -> Option<Node<'a, 'input>> {
    elements(node).find(|element| name(*element) == wanted)
}

/// An attribute without namespace: its exact name, otherwise ignoring case (Microsoft's `firewallRule` mixes case).
pub(super) fn attribute<'a>(node: Node<'a, '_>, wanted: &str) -> Option<&'a str> {
    let mut own = node.attributes().filter(|attribute| attribute.namespace().is_none());
    node.attribute(wanted).or_else(|| own.find(|attribute| attribute.name().eq_ignore_ascii_case(wanted)).map(|found| found.value()))
}

/// An attribute as an owned string.
pub(super) fn owned(node: Node<'_, '_>, wanted: &str) -> Option<String> {
    attribute(node, wanted).map(str::to_owned)
}

/// An attribute that the element cannot do without.
pub(super) fn required(node: Node<'_, '_>, wanted: &'static str) -> Result<String, Error> {
    owned(node, wanted).ok_or_else(|| Error::MissingAttribute { element: element_name(node), attribute: wanted, line: line(node) })
}

/// An attribute that says yes or no: `yes`, `no`, `true`, `false`, `1`, `0`, in any case.
pub(super) fn boolean(node: Node<'_, '_>, wanted: &'static str) -> Result<Option<bool>, Error> {
    let Some(value) = attribute(node, wanted) else { return Ok(None) };
    match value.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Ok(Some(true)),
        "no" | "false" | "0" => Ok(Some(false)),
        _ => Err(invalid(node, wanted, value, "yes, no, true or false")),
    }
}

/// The error for an attribute whose value is none of those known.
pub(super) fn invalid(node: Node<'_, '_>, attribute: &'static str, value: &str, expected: &'static str) -> Error {
    let value = value.chars().take(80).collect();
    Error::Value { element: element_name(node), attribute, value, expected, line: line(node) }
}

/// The name of an element for an error text.
pub(super) fn element_name(node: Node<'_, '_>) -> String {
    node.tag_name().name().chars().take(80).collect()
}

/// The line that an element starts on, from 1.
pub(super) fn line(node: Node<'_, '_>) -> u32 {
    node.document().text_pos_at(node.range().start).row
}

/// An element with everything in it, as a document of its own: namespace declarations that it inherits and uses are
/// written into its start tag.
pub(super) fn standalone(node: Node<'_, '_>) -> String {
    let source = node.document().input_text().get(node.range()).unwrap_or_default();
    let mut reader = quick_xml::Reader::from_str(source);
    let declared: Vec<String> = match reader.read_event() {
        Ok(Event::Start(tag) | Event::Empty(tag)) => {
            tag.attributes().with_checks(false).filter_map(Result::ok).map(|attribute| attribute.key.as_ref().to_owned()).collect()
        }
        _ => Vec::new(),
    };
    let end_of_name = source.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).unwrap_or(source.len());
    let (start, rest) = source.split_at(end_of_name);
    let mut text = String::from(start);
    for namespace in node.namespaces() {
        let key = namespace.name().map_or_else(|| "xmlns".to_owned(), |prefix| format!("xmlns:{prefix}"));
        let used = namespace.name().is_none_or(|prefix| source.contains(&format!("{prefix}:")));
        if key == "xmlns:xml" || declared.contains(&key) || !used {
            continue;
        }
        let uri = namespace.uri().replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        let written = write!(text, " {key}=\"{uri}\"");
        debug_assert!(written.is_ok(), "a String takes any text");
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_by_their_mark() {
        let utf16: Vec<u8> = "\u{feff}<a/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&utf16).unwrap(), "<a/>");
        let utf16: Vec<u8> = "\u{feff}<a/>".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(text(&utf16).unwrap(), "<a/>");
        assert_eq!(text(b"\xEF\xBB\xBF<a/>").unwrap(), "<a/>");
        assert!(matches!(text(b"<a b='\xE9'/>"), Err(Error::Encoding { expected: "UTF-8" })));
        assert!(matches!(text(b"\xFF\xFE<"), Err(Error::Encoding { expected: "UTF-16" })));
    }

    #[test]
    fn hostile_documents_are_refused() {
        let deep = "<a>".repeat(10_000);
        assert!(matches!(parse(&deep), Err(Error::TooDeep { .. })));
        let entities = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><a>&b;</a>";
        assert!(matches!(parse(entities), Err(Error::DocumentType { .. })));
        let wide = format!("<a {}/>", (0..10_000).map(|n| format!("a{n}='' ")).collect::<String>());
        assert!(matches!(parse(&wide), Err(Error::TooManyAttributes { .. })));
        let spaces: String = (0..100).map(|n| format!("<a xmlns:p{n}='u{n}'>")).collect();
        assert!(matches!(parse(&spaces), Err(Error::TooDeep { .. })));
    }

    #[test]
    fn a_standalone_element_declares_what_it_inherits() {
        let outer = "<a xmlns='urn:x' xmlns:p='urn:y&amp;z'><b xmlns='urn:own' p:c='1'><d/></b></a>";
        let document = parse(outer).unwrap();
        let inner = document.root_element().first_element_child().unwrap();
        let text = standalone(inner);
        assert_eq!(text, "<b xmlns:p=\"urn:y&amp;z\" xmlns='urn:own' p:c='1'><d/></b>");
        assert!(parse(&text).is_ok());
    }
}

//! The elements of manifests: found by their local names, their attributes in the forms that Microsoft uses.
//!
//! Names are matched within the vocabularies that manifests are written in, whatever the prefix (`asmv3:`, `mum2:`, none).

use std::fmt::Write as _;

use quick_xml::events::Event;
use roxmltree::Node;

use super::Error;

/// Longest name of a namespace that is repeated in an element kept, in bytes. Microsoft's have less than 100.
const MAXIMUM_NAMESPACE_LENGTH: usize = 256;

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
        if key == "xmlns:xml" || declared.contains(&key) || !used || namespace.uri().len() > MAXIMUM_NAMESPACE_LENGTH {
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
    fn a_standalone_element_declares_what_it_inherits() {
        let outer = "<a xmlns='urn:x' xmlns:p='urn:y&amp;z'><b xmlns='urn:own' p:c='1'><d/></b></a>";
        let document = crate::xml::parse(outer).unwrap();
        let inner = document.root_element().first_element_child().unwrap();
        let text = standalone(inner);
        assert_eq!(text, "<b xmlns:p=\"urn:y&amp;z\" xmlns='urn:own' p:c='1'><d/></b>");
        assert!(crate::xml::parse(&text).is_ok());
    }
}

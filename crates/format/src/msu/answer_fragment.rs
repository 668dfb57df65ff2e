//! The two texts beside the package in a classic `.msu`: an answer file fragment and a list of properties.

use roxmltree::{Document, Node, ParsingOptions};

use crate::file_hashes::decode_text;

/// Namespace of answer files.
const NAMESPACE: &str = "urn:schemas-microsoft-com:unattend";
/// Nodes of the fragment at most; Microsoft's have about 20.
const MOST_NODES: u32 = 10_000;

/// Why a text is refused.
#[derive(Debug, thiserror::Error)]
pub enum FragmentError {
    /// Neither UTF-8 nor UTF-16.
    #[error("the text is neither UTF-8 nor UTF-16")]
    Encoding,
    /// Not well-formed, or with a document type definition.
    #[error("the answer file fragment is not well-formed")]
    Xml(#[from] roxmltree::Error),
    /// A package without an identity.
    #[error("a package in the answer file fragment has no {0}")]
    Missing(&'static str),
    /// A line of the properties is not `Key="Value"`.
    #[error("line {line} of the properties is not Key=\"Value\": {text:?}")]
    Property {
        /// Number, from 1.
        line: usize,
        /// The line.
        text: String,
    },
}

/// Identity of a package as the fragment names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageIdentity {
    /// Name.
    pub name: String,
    /// Four numbers.
    pub version: String,
    /// `neutral` or a language.
    pub language: String,
    /// `amd64`, `x86`, `arm64`, …
    pub architecture: String,
    /// Sixteen hexadecimal digits.
    pub public_key_token: String,
}

/// A package that the fragment asks Windows to service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicingRequest {
    /// `install`, `stage` or `remove`.
    pub action: String,
    /// Which package.
    pub identity: PackageIdentity,
    /// Where its cabinet lies: `%configsetroot%\name.CAB`.
    pub location: Option<String>,
}

/// Reads the packages of an answer file fragment: `unattend/servicing/package`. `None` if the XML is something else.
///
/// # Errors
/// See [`FragmentError`].
pub fn parse_servicing_requests(xml: &[u8]) -> Result<Option<Vec<ServicingRequest>>, FragmentError> {
    let text = decode_text(xml).ok_or(FragmentError::Encoding)?;
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    // What is no answer file may have more nodes or a document type; it is not for us to judge.
    if !text.contains(NAMESPACE) {
        return Ok(None);
    }
    let document = Document::parse_with_options(&text, options)?;
    let root = document.root_element();
    if !root.has_tag_name((NAMESPACE, "unattend")) {
        return Ok(None);
    }
    let servicing = children(root, "servicing");
    let packages = servicing.flat_map(|servicing| children(servicing, "package"));
    packages.map(request).collect::<Result<_, _>>().map(Some)
}

fn children<'a, 'input>(node: Node<'a, 'input>, name: &'static str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.has_tag_name((NAMESPACE, name)))
}

fn request(package: Node) -> Result<ServicingRequest, FragmentError> {
    let identity = children(package, "assemblyIdentity").next().ok_or(FragmentError::Missing("assemblyIdentity"))?;
    let of = |name: &'static str| identity.attribute(name).map(str::to_owned).ok_or(FragmentError::Missing(name));
    Ok(ServicingRequest {
        action: package.attribute("action").ok_or(FragmentError::Missing("action"))?.to_owned(),
        identity: PackageIdentity {
            name: of("name")?,
            version: of("version")?,
            language: of("language")?,
            architecture: of("processorArchitecture")?,
            public_key_token: of("publicKeyToken")?,
        },
        location: children(package, "source").next().and_then(|source| source.attribute("location")).map(str::to_owned),
    })
}

/// The properties of a package, `Key="Value"`, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageProperties(pub Vec<(String, String)>);

impl PackageProperties {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Reads the text of properties.
///
/// # Errors
/// See [`FragmentError`].
pub fn parse_package_properties(bytes: &[u8]) -> Result<PackageProperties, FragmentError> {
    let text = decode_text(bytes).ok_or(FragmentError::Encoding)?;
    let mut properties = Vec::new();
    for (line, text) in text.lines().map(str::trim).enumerate().filter(|(_, text)| !text.is_empty()) {
        let pair = text.split_once('=').and_then(|(key, value)| Some((key.trim(), value.trim().strip_prefix('"')?.strip_suffix('"')?)));
        let (key, value) = pair.ok_or_else(|| FragmentError::Property { line: line.saturating_add(1), text: text.to_owned() })?;
        properties.push((key.to_owned(), value.to_owned()));
    }
    Ok(PackageProperties(properties))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_name_their_packages() {
        let xml = br#"<?xml version="1.0" encoding="utf-8"?>
<unattend xmlns="urn:schemas-microsoft-com:unattend"><servicing><package action="install">
<assemblyIdentity  name="P" version="6.1.1.0" language="neutral" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35"/>
<source location="%configsetroot%\P.CAB" /></package></servicing></unattend>"#;
        let identity = PackageIdentity {
            name: "P".into(),
            version: "6.1.1.0".into(),
            language: "neutral".into(),
            architecture: "amd64".into(),
            public_key_token: "31bf3856ad364e35".into(),
        };
        let request = ServicingRequest { action: "install".into(), identity, location: Some(r"%configsetroot%\P.CAB".into()) };
        assert_eq!(parse_servicing_requests(xml).unwrap(), Some(vec![request]));
        assert_eq!(parse_servicing_requests(b"<toc/>").unwrap(), None);
        assert_eq!(parse_servicing_requests(b"<a x='urn:schemas-microsoft-com:unattend'/>").unwrap(), None);
        let entity = br#"<!DOCTYPE a [<!ENTITY b "c">]><unattend xmlns="urn:schemas-microsoft-com:unattend">&b;</unattend>"#;
        assert!(matches!(parse_servicing_requests(entity), Err(FragmentError::Xml(_))));
        let bare = br#"<unattend xmlns="urn:schemas-microsoft-com:unattend"><servicing><package action="install"/></servicing></unattend>"#;
        assert!(matches!(parse_servicing_requests(bare), Err(FragmentError::Missing("assemblyIdentity"))));
    }

    #[test]
    fn properties_are_pairs() {
        let properties = parse_package_properties(b"KB Article Number=\"2465285\"\r\n\r\nApplies to=\"Windows 6.1\"\r\n").unwrap();
        assert_eq!(properties.get("KB Article Number"), Some("2465285"));
        assert_eq!(properties.get("Applies to"), Some("Windows 6.1"));
        assert_eq!(properties.get("none"), None);
        assert!(matches!(parse_package_properties(b"a\nb"), Err(FragmentError::Property { line: 1, .. })));
    }
}

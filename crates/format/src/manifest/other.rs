//! Elements that the models have no field for: kept, so that nothing is dropped silently.

use std::collections::BTreeMap;

use roxmltree::Node;

use super::{Error, xml};

/// Most elements kept of one manifest. Real ones have a handful.
const MAXIMUM_KEPT: usize = 10_000;
/// Most bytes kept of one manifest: as many as a document may have, although namespaces are repeated.
const MAXIMUM_KEPT_BYTES: usize = crate::xml::MAX_BYTES;

/// An element that is not part of the model, kept whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OtherElement {
    /// Names from below the root down to the element: `mof`, `file/gac`, `instrumentation/counters`.
    pub path: String,
    /// Namespace of the element, empty for none.
    pub namespace: String,
    /// The element as an XML document of its own.
    pub xml: String,
}

impl OtherElement {
    /// The element's own name, the last of its path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Elements that ask nothing of an installer: marks for the loader, the build, the setup of applications, or the migration
/// of settings (facts/cbs.md 2.3).
const INERT: &[&str] = &[
    "application",
    "bindingRedirect",
    "buildFilter",
    "cmi",
    "compatibility",
    "deconstructionTool",
    "feature",
    "mvid",
    "noInherit",
    "noInheritable",
    "requestedPrivileges",
    "signatureInfo",
    "supportedComponents",
    "systemProtection",
];

/// Collects what no field takes while a manifest is read.
#[derive(Default)]
pub(super) struct OtherElements {
    elements: Vec<OtherElement>,
    inert: BTreeMap<String, usize>,
    bytes: usize,
    overflow: bool,
}

impl OtherElements {
    pub(super) fn keep(&mut self, node: Node<'_, '_>) {
        let mut names: Vec<String> = node.ancestors().filter(Node::is_element).map(xml::element_name).collect();
        names.pop();
        names.reverse();
        let path = names.join("/");
        if INERT.contains(&node.tag_name().name()) {
            let count = self.inert.entry(path).or_default();
            *count = count.saturating_add(1);
        } else if self.elements.len() < MAXIMUM_KEPT {
            let namespace = node.tag_name().namespace().unwrap_or_default().to_owned();
            let xml = self.standalone(node);
            self.elements.push(OtherElement { path, namespace, xml });
        } else {
            self.overflow = true;
        }
    }

    /// An element as a document of its own; empty when too much is kept already.
    pub(super) fn standalone(&mut self, node: Node<'_, '_>) -> String {
        if self.bytes > MAXIMUM_KEPT_BYTES {
            self.overflow = true;
            return String::new();
        }
        let xml = xml::standalone(node);
        self.bytes = self.bytes.saturating_add(xml.len());
        xml
    }

    /// Keeps all child elements.
    pub(super) fn keep_children(&mut self, node: Node<'_, '_>) {
        xml::elements(node).for_each(|element| self.keep(element));
    }

    /// The elements kept, and how often each inert one was there.
    pub(super) fn finish(self) -> Result<(Vec<OtherElement>, BTreeMap<String, usize>), Error> {
        if self.overflow {
            return Err(Error::TooManyElements { elements: MAXIMUM_KEPT, bytes: MAXIMUM_KEPT_BYTES });
        }
        Ok((self.elements, self.inert))
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::{Component, Error};

    #[test]
    fn a_flood_of_unknown_elements_is_refused() {
        let flood = |count: usize| format!("<assembly><assemblyIdentity name='a' version='1.0.0.0'/>{}</assembly>", "<mof/>".repeat(count));
        assert_eq!(Component::parse(flood(10_000).as_bytes()).unwrap().other.len(), 10_000);
        assert!(matches!(Component::parse(flood(10_001).as_bytes()), Err(Error::TooManyElements { .. })));
    }
}

//! Capabilities that a package declares.

use roxmltree::Node;

use super::super::other::OtherElements;
use super::super::{Error, xml};

/// A `declareCapability` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CapabilityDeclaration {
    /// The capabilities that the package brings.
    pub capabilities: Vec<CapabilityIdentity>,
    /// Capabilities that must be there first.
    pub dependencies: Vec<CapabilityIdentity>,
    /// Languages and the like that come with it.
    pub satellites: Vec<Satellite>,
}

/// A `capabilityIdentity` element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CapabilityIdentity {
    /// `name`, `Language.Basic`.
    pub name: String,
    /// `version`, two numbers, `1.0`.
    pub version: Option<String>,
    /// `language`.
    pub language: Option<String>,
}

/// A child of `satelliteInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Satellite {
    /// `applyTo`, `declare` or `require`.
    pub relation: String,
    /// `type`, `language`.
    pub kind: Option<String>,
    /// `value`, a language tag.
    pub value: Option<String>,
}

impl CapabilityIdentity {
    pub(super) fn read(node: Node<'_, '_>) -> Result<Self, Error> {
        let given = |attribute| xml::owned(node, attribute).filter(|value| !value.is_empty());
        let language = given("language").filter(|language| !language.eq_ignore_ascii_case("neutral"));
        Ok(Self { name: xml::required(node, "name")?, version: given("version"), language })
    }
}

impl CapabilityDeclaration {
    pub(super) fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let mut declaration = Self::default();
        for element in xml::elements(node) {
            match xml::name(element) {
                "capability" | "dependency" => {
                    for identity in xml::elements(element) {
                        match (xml::name(identity), xml::name(element)) {
                            ("capabilityIdentity", "capability") => declaration.capabilities.push(CapabilityIdentity::read(identity)?),
                            ("capabilityIdentity", _) => declaration.dependencies.push(CapabilityIdentity::read(identity)?),
                            _ => other.keep(identity),
                        }
                    }
                }
                "satelliteInfo" => declaration.satellites.extend(xml::elements(element).map(|satellite| Satellite {
                    relation: xml::element_name(satellite),
                    kind: xml::owned(satellite, "type"),
                    value: xml::owned(satellite, "value"),
                })),
                _ => other.keep(element),
            }
        }
        Ok(declaration)
    }
}

//! Package manifests (`.mum`): when a package is applicable and what it carries.
//!
//! A package has *parents* (packages that must be there, as alternatives), and *updates*: named units that carry a deployment,
//! a driver or another package, each applicable under conditions of its own. An update that can be selected is what people
//! call a feature. Which updates apply in an image is for the servicing engine to decide; this module only reads.
//!
//! Structure: smx-smx/Winter's schema (names only), seven-mile/UFCase, and 186 real manifests (facts/cbs.md 2.2).

mod capability;
mod class;
mod update;

use roxmltree::Node;

pub use capability::{CapabilityDeclaration, CapabilityIdentity, Satellite};
pub use class::{PackageClass, classify};
pub use update::{Applicability, Detection, Elevation, Payload, Selectable, Update};

use super::other::OtherElements;
use super::{Error, Identity, OtherElement, PackageId, Version, xml};

/// What a package manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Package {
    /// Who it is.
    pub identity: Identity,
    /// `displayName` of the assembly.
    pub display_name: Option<String>,
    /// `description` of the assembly.
    pub description: Option<String>,
    /// `company`.
    pub company: Option<String>,
    /// `copyright`.
    pub copyright: Option<String>,
    /// `supportInformation`: an address.
    pub support_information: Option<String>,
    /// `creationTimeStamp`, as written (`2015-09-02T19:03:44Z`).
    pub creation_time: Option<String>,
    /// `lastUpdateTimeStamp`, as written.
    pub last_update_time: Option<String>,
    /// `identifier`: `KB2999226`, or the name of what it brings.
    pub identifier: Option<String>,
    /// `releaseType`: `Update`, `Security Update`, `OnDemand Pack`, `Language Pack`, `Feature Pack`, `Product`, …
    pub release_type: Option<String>,
    /// `restart`: `possible` or `required`.
    pub restart: Option<String>,
    /// `applicabilityEvaluation="deep"`: applicable only when one of its updates is.
    pub deep_evaluation: bool,
    /// `selfUpdate`.
    pub self_update: Option<bool>,
    /// `permanence`: `permanent` for what cannot be removed.
    pub permanence: Option<String>,
    /// `psfName`: the file with its payload.
    pub psf_name: Option<String>,
    /// `targetPartition` (packages of devices).
    pub target_partition: Option<String>,
    /// `binaryPartition` (packages of devices).
    pub binary_partition: Option<bool>,
    /// Names and descriptions by language.
    pub localized_strings: Vec<LocalizedString>,
    /// `customInformation`, when there is one.
    pub custom_information: Option<CustomInformation>,
    /// `installerAssembly`: the oldest servicing stack that understands the package.
    pub installer: Option<Identity>,
    /// Packages that must be there: one of these blocks has to match. None means no condition.
    pub parents: Vec<Parent>,
    /// Capabilities that it declares.
    pub capabilities: Vec<CapabilityDeclaration>,
    /// Its updates, in order.
    pub updates: Vec<Update>,
    /// `packageExtended/@completelyOfflineCapable`.
    pub completely_offline_capable: Option<bool>,
    /// `packageExtended/@packageSize` in bytes.
    pub size: Option<u64>,
    /// All elements without a field above.
    pub other: Vec<OtherElement>,
}

/// A `string` of `localizedStrings`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalizedString {
    /// Language tag.
    pub language: String,
    /// Name for people.
    pub display_name: Option<String>,
    /// Description for people.
    pub description: Option<String>,
}

/// A `customInformation` element: notes for other parts of Windows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CustomInformation {
    /// Its attributes: `PackageFormat`, `PSFXDeltaFormat`, `LPType`, `SoftBlockLink`, …
    pub attributes: Vec<(String, String)>,
    /// The whole element as an XML document of its own.
    pub xml: String,
}

impl CustomInformation {
    /// An attribute by its name, case ignored.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Self {
        let attributes = node.attributes().map(|attribute| (attribute.name().to_owned(), attribute.value().to_owned()));
        Self { attributes: attributes.collect(), xml: other.standalone(node) }
    }
}

/// A `parent` element: packages of which one must be there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parent {
    /// `disposition`: how far the parent must have come.
    pub disposition: Option<Disposition>,
    /// `integrate`: `separate`, `delegate`, `standalone`, `hidden`.
    pub integrate: Option<String>,
    /// `set`.
    pub set: Option<String>,
    /// `name`: an update of the parent package, in `detectUpdate`.
    pub name: Option<String>,
    /// How the parts of the version compare.
    pub compare: VersionComparison,
    /// Packages, any of which will do.
    pub identities: Vec<Identity>,
    /// Conditions on the parents' own parents.
    pub parents: Vec<Parent>,
}

/// How far something must have come, or shall go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disposition {
    /// `detect`: whatever the conditions say; for a parent, installed.
    Detect,
    /// `staged`: in the store.
    Staged,
    /// `install`: installed.
    Install,
}

impl Disposition {
    fn read(node: Node<'_, '_>) -> Result<Option<Self>, Error> {
        let Some(word) = xml::attribute(node, "disposition") else { return Ok(None) };
        match word.to_ascii_lowercase().as_str() {
            "detect" => Ok(Some(Self::Detect)),
            "staged" => Ok(Some(Self::Staged)),
            "install" | "installed" => Ok(Some(Self::Install)),
            _ => Err(xml::invalid(node, "disposition", word, "detect, staged or install")),
        }
    }
}

/// How one part of a version compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparison {
    /// `EQ`: equal.
    Equal,
    /// `GE`: greater or equal.
    GreaterOrEqual,
}

/// The compare attributes of a `parent`; an absent one means equal (inferred from 365 real parents).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VersionComparison {
    /// `buildCompare`: the first three numbers.
    pub build: Option<Comparison>,
    /// `serviceCompare`: part of the fourth.
    pub service: Option<Comparison>,
    /// `revisionCompare`: part of the fourth.
    pub revision: Option<Comparison>,
    /// `distributionCompare`: part of the fourth.
    pub distribution: Option<Comparison>,
}

impl VersionComparison {
    fn read(node: Node<'_, '_>) -> Result<Self, Error> {
        let comparison = |attribute| match xml::attribute(node, attribute).map(str::to_ascii_uppercase).as_deref() {
            None => Ok(None),
            Some("EQ") => Ok(Some(Comparison::Equal)),
            Some("GE") => Ok(Some(Comparison::GreaterOrEqual)),
            Some(other) => Err(xml::invalid(node, attribute, other, "EQ or GE")),
        };
        Ok(Self {
            build: comparison("buildCompare")?,
            service: comparison("serviceCompare")?,
            revision: comparison("revisionCompare")?,
            distribution: comparison("distributionCompare")?,
        })
    }
}

impl Parent {
    fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let mut parent = Self {
            disposition: Disposition::read(node)?,
            integrate: xml::owned(node, "integrate"),
            set: xml::owned(node, "set"),
            name: xml::owned(node, "name"),
            compare: VersionComparison::read(node)?,
            ..Self::default()
        };
        // Depth is bounded by `crate::xml::MAX_DEPTH`.
        for element in xml::elements(node) {
            match xml::name(element) {
                "assemblyIdentity" => parent.identities.push(Identity::read(element)?),
                "parent" => parent.parents.push(Self::read(element, other)?),
                _ => other.keep(element),
            }
        }
        Ok(parent)
    }
}

impl Package {
    /// Reads a package manifest, UTF-8 or UTF-16.
    ///
    /// # Errors
    /// When it is not XML within the bounds of this module, has no identity or no `package` element, or holds a value that
    /// cannot be understood.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = crate::xml::decode(bytes)?;
        let document = crate::xml::parse(&text)?;
        let root = document.root_element();
        let missing = |element| Error::MissingElement { parent: xml::element_name(root), element, wanted: "package" };
        if xml::name(root) != "assembly" {
            return Err(missing("assembly"));
        }
        let identity = xml::child(root, "assemblyIdentity").ok_or_else(|| missing("assemblyIdentity"))?;
        let node = xml::child(root, "package").ok_or_else(|| missing("package"))?;
        let mut package = Self::read_attributes(root, node)?;
        package.identity = Identity::read(identity)?;
        let mut other = OtherElements::default();
        for element in xml::elements(root).filter(|element| !matches!(xml::name(*element), "assemblyIdentity" | "package")) {
            other.keep(element);
        }
        for element in xml::elements(node) {
            package.read_element(element, &mut other)?;
        }
        (package.other, _) = other.finish()?;
        Ok(package)
    }

    fn read_attributes(root: Node<'_, '_>, node: Node<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            display_name: xml::owned(root, "displayName"),
            description: xml::owned(root, "description"),
            company: xml::owned(root, "company"),
            copyright: xml::owned(root, "copyright"),
            support_information: xml::owned(root, "supportInformation"),
            creation_time: xml::owned(root, "creationTimeStamp"),
            last_update_time: xml::owned(root, "lastUpdateTimeStamp"),
            identifier: xml::owned(node, "identifier"),
            release_type: xml::owned(node, "releaseType"),
            restart: xml::owned(node, "restart"),
            deep_evaluation: xml::attribute(node, "applicabilityEvaluation").is_some_and(|word| word.eq_ignore_ascii_case("deep")),
            self_update: xml::boolean(node, "selfUpdate")?,
            permanence: xml::owned(node, "permanence"),
            psf_name: xml::owned(node, "psfName"),
            target_partition: xml::owned(node, "targetPartition"),
            binary_partition: xml::boolean(node, "binaryPartition")?,
            ..Self::default()
        })
    }

    fn read_element(&mut self, node: Node<'_, '_>, other: &mut OtherElements) -> Result<(), Error> {
        match xml::name(node) {
            "localizedStrings" => {
                for element in xml::elements(node) {
                    self.localized_strings.push(LocalizedString {
                        language: xml::owned(element, "language").unwrap_or_default(),
                        display_name: xml::owned(element, "displayName"),
                        description: xml::owned(element, "description"),
                    });
                }
            }
            "customInformation" if self.custom_information.is_none() => {
                self.custom_information = Some(CustomInformation::read(node, other))
            }
            "installerAssembly" => self.installer = Some(Identity::read(node)?),
            "parent" => self.parents.push(Parent::read(node, other)?),
            "declareCapability" => self.capabilities.push(CapabilityDeclaration::read(node, other)?),
            "update" => self.updates.push(Update::read(node, other)?),
            "packageExtended" => {
                self.completely_offline_capable = xml::boolean(node, "completelyOfflineCapable")?;
                self.size = xml::attribute(node, "packageSize").and_then(|size| size.parse().ok());
            }
            _ => other.keep(node),
        }
        Ok(())
    }

    /// Its package identity.
    #[must_use]
    pub fn id(&self) -> PackageId {
        PackageId::from(&self.identity)
    }

    /// Updates that can be selected: features.
    pub fn features(&self) -> impl Iterator<Item = &Update> {
        self.updates.iter().filter(|update| update.selectable.is_some())
    }

    /// The name of a capability of this package as `dism /Get-Capabilities` prints it, `OpenSSH.Server~~~~0.0.1.0`.
    ///
    /// `0.0.` stands before the two numbers that the manifest states; the language is that of the declaration or else of the
    /// package.
    #[must_use]
    pub fn capability_name(&self, capability: &CapabilityIdentity) -> String {
        let language = capability.language.as_deref().or(self.identity.language.as_deref()).unwrap_or_default();
        let version: Option<Version> = capability.version.as_deref().and_then(|version| format!("0.0.{version}").parse().ok());
        let version = version.map_or_else(|| capability.version.clone().unwrap_or_default(), |version| version.to_string());
        format!("{}~~~{language}~{version}", capability.name)
    }
}

#[cfg(test)]
mod tests;

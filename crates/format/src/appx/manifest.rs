//! `AppxManifest.xml`.

use super::identity::{Architecture, Identity, IdentityError, Version};
use super::{AppxError, MANIFEST, Result, part_error};
use crate::xml;

/// Namespaces of the manifest's root: Windows 8 and 8.1, Windows 10 and later.
const NAMESPACES: [&str; 2] =
    ["http://schemas.microsoft.com/appx/2010/manifest", "http://schemas.microsoft.com/appx/manifest/foundation/windows10"];

pub(super) type Node<'a> = roxmltree::Node<'a, 'a>;

/// What a package says about itself, as far as provisioning needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Who it is.
    pub identity: Identity,
    /// The name for people; often a reference `ms-resource:…`.
    pub display_name: Option<String>,
    /// A framework: other packages depend on it, and it is in no start menu.
    pub framework: bool,
    /// A resource package: languages or scales of a main package.
    pub resource_package: bool,
    /// The oldest Windows that takes it (Windows 8: `OSMinVersion`; later ones have it per device family).
    pub os_min_version: Option<String>,
    /// Kinds of Windows that it is for.
    pub target_device_families: Vec<TargetDeviceFamily>,
    /// Packages that must be there too.
    pub dependencies: Vec<PackageDependency>,
    /// The languages, scales and graphics levels of its resources.
    pub qualifiers: Qualifiers,
    /// Its applications; none in frameworks and resource packages.
    pub applications: Vec<Application>,
}

/// A kind of Windows and its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetDeviceFamily {
    /// `Windows.Desktop`, `Windows.Universal`, …
    pub name: String,
    /// The oldest that takes the package.
    pub min_version: Version,
    /// The newest it was tested with.
    pub max_version_tested: Option<Version>,
}

/// A package that another needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageDependency {
    /// Its name.
    pub name: String,
    /// Its publisher; Windows 8 packages may leave it out.
    pub publisher: Option<String>,
    /// The oldest that will do.
    pub min_version: Option<Version>,
}

impl PackageDependency {
    /// The family name of the package that is needed, if its publisher is known.
    #[must_use]
    pub fn family_name(&self) -> Option<String> {
        self.publisher.as_deref().map(|publisher| format!("{}_{}", self.name, super::publisher_id(publisher)))
    }
}

/// What resources are for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Qualifiers {
    /// Languages, such as `de-de`.
    pub languages: Vec<String>,
    /// Scales in percent.
    pub scales: Vec<u16>,
    /// Graphics levels, such as `dx11`.
    pub graphics_levels: Vec<String>,
}

impl Qualifiers {
    /// Reads the `Resource` elements below `parent`'s `Resources`, whatever their namespace.
    pub(super) fn read(parent: Node<'_>) -> Self {
        let mut qualifiers = Self::default();
        for resource in child(parent, "Resources").into_iter().flat_map(|resources| children(resources, "Resource")) {
            qualifiers.languages.extend(attribute(resource, "Language").map(str::to_owned));
            qualifiers.scales.extend(attribute(resource, "Scale").and_then(|scale| scale.parse::<u16>().ok()));
            qualifiers.graphics_levels.extend(attribute(resource, "DXFeatureLevel").map(str::to_owned));
        }
        qualifiers
    }
}

/// An application of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its id within the package. `FamilyName!Id` is the Application User Model ID.
    pub id: String,
    /// The program, if it is not started by other means.
    pub executable: Option<String>,
    /// The class that is activated.
    pub entry_point: Option<String>,
}

/// Elements of any namespace: the manifest's schema moves elements between versions of its namespaces.
pub(super) fn children<'a>(node: Node<'a>, name: &'static str) -> impl Iterator<Item = Node<'a>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

pub(super) fn child<'a>(node: Node<'a>, name: &'static str) -> Option<Node<'a>> {
    children(node, name).next()
}

/// An attribute of any namespace: `Scale`, `uap:Scale`.
pub(super) fn attribute<'a>(node: Node<'a>, name: &str) -> Option<&'a str> {
    node.attributes().find(|attribute| attribute.name() == name).map(|attribute| attribute.value())
}

pub(super) fn identity_error(part: &'static str) -> impl Fn(IdentityError) -> AppxError {
    move |source| AppxError::Identity { part, source }
}

/// An attribute as text that names something.
pub(super) fn required<'a>(node: Node<'a>, attribute: &'static str) -> std::result::Result<&'a str, IdentityError> {
    node.attribute(attribute).ok_or(IdentityError::Missing { attribute })
}

pub(super) fn target_device_families(node: Node<'_>) -> std::result::Result<Vec<TargetDeviceFamily>, IdentityError> {
    let read = |family| {
        Ok(TargetDeviceFamily {
            name: required(family, "Name")?.to_owned(),
            min_version: required(family, "MinVersion")?.parse()?,
            max_version_tested: family.attribute("MaxVersionTested").map(str::parse).transpose()?,
        })
    };
    child(node, "Dependencies").into_iter().flat_map(|node| children(node, "TargetDeviceFamily")).map(read).collect()
}

impl Manifest {
    /// Reads the manifest of a package.
    ///
    /// # Errors
    /// When it is no XML, no package manifest, or gives no valid identity.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let xml_error = |source| AppxError::Xml { part: MANIFEST, source };
        let text = xml::decode(bytes).map_err(xml_error)?;
        let document = xml::parse(&text).map_err(xml_error)?;
        let root = document.root_element();
        if !NAMESPACES.iter().any(|namespace| root.has_tag_name((*namespace, "Package"))) {
            return part_error(MANIFEST, "the root is not `Package` of a known manifest schema");
        }
        Self::read(root).map_err(identity_error(MANIFEST))
    }

    fn read(root: Node<'_>) -> std::result::Result<Self, IdentityError> {
        let element = child(root, "Identity").ok_or(IdentityError::Missing { attribute: "Identity element" })?;
        let architecture = element.attribute("ProcessorArchitecture").map(str::parse).transpose()?;
        let identity = Identity {
            name: required(element, "Name")?.to_owned(),
            publisher: required(element, "Publisher")?.to_owned(),
            version: required(element, "Version")?.parse()?,
            architecture: architecture.unwrap_or(Architecture::Neutral),
            resource_id: element.attribute("ResourceId").unwrap_or_default().to_owned(),
        };
        let property = |name| child(root, "Properties").and_then(|properties| child(properties, name)).and_then(|node| node.text());
        let flag = |name| property(name).is_some_and(|text| matches!(text.trim(), "true" | "1"));
        let dependency = |node| {
            Ok(PackageDependency {
                name: required(node, "Name")?.to_owned(),
                publisher: node.attribute("Publisher").map(str::to_owned),
                min_version: node.attribute("MinVersion").map(str::parse).transpose()?,
            })
        };
        let dependencies = child(root, "Dependencies").into_iter().flat_map(|node| children(node, "PackageDependency"));
        let application = |node: Node<'_>| {
            let attribute = |name| node.attribute(name).map(str::to_owned);
            Ok(Application {
                id: required(node, "Id")?.to_owned(),
                executable: attribute("Executable"),
                entry_point: attribute("EntryPoint"),
            })
        };
        let applications = child(root, "Applications").into_iter().flat_map(|node| children(node, "Application"));
        let os_min_version = child(root, "Prerequisites").and_then(|node| child(node, "OSMinVersion")).and_then(|node| node.text());
        Ok(Self {
            identity: identity.checked()?,
            display_name: property("DisplayName").map(str::to_owned),
            framework: flag("Framework"),
            resource_package: flag("ResourcePackage"),
            os_min_version: os_min_version.map(|text| text.trim().to_owned()),
            target_device_families: target_device_families(root)?,
            dependencies: dependencies.map(dependency).collect::<std::result::Result<_, IdentityError>>()?,
            qualifiers: Qualifiers::read(root),
            applications: applications.map(application).collect::<std::result::Result<_, IdentityError>>()?,
        })
    }
}

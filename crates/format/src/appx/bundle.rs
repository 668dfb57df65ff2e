//! `AppxBundleManifest.xml`.

use super::identity::{Architecture, BUNDLE_RESOURCE_ID, Identity, IdentityError, Version};
use super::manifest::{Node, Qualifiers, TargetDeviceFamily, attribute, child, children, identity_error, required, target_device_families};
use super::{AppxError, BUNDLE_MANIFEST, Result, part_error};
use crate::xml;

/// What a bundle says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleManifest {
    /// Who it is; its resource id is `~`.
    pub identity: Identity,
    /// The packages, in the order of the manifest.
    pub packages: Vec<BundledPackage>,
}

/// The kind of a package in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PackageKind {
    /// The app itself, for one architecture.
    Application,
    /// Languages or scales for it.
    Resource,
}

/// A package of a bundle. Name and publisher are those of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundledPackage {
    /// What it is.
    pub kind: PackageKind,
    /// Who it is.
    pub identity: Identity,
    /// The name of its file in the bundle, or beside it if the bundle is flat.
    pub file_name: String,
    /// Where its file starts in the bundle's file; `None` in flat bundles.
    pub offset: Option<u64>,
    /// Size of its file in bytes.
    pub size: Option<u64>,
    /// A stub: a small app that fetches the real one.
    pub stub: bool,
    /// What its resources are for.
    pub qualifiers: Qualifiers,
    /// Kinds of Windows that it is for.
    pub target_device_families: Vec<TargetDeviceFamily>,
}

impl BundleManifest {
    /// Reads the manifest of a bundle.
    ///
    /// # Errors
    /// When it is no XML, no bundle manifest, or an identity in it is not valid.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let xml_error = |source| AppxError::Xml { part: BUNDLE_MANIFEST, source };
        let text = xml::decode(bytes).map_err(xml_error)?;
        let document = xml::parse(&text).map_err(xml_error)?;
        let root = document.root_element();
        // http://schemas.microsoft.com/appx/2013/bundle, then 2016, 2017, …
        let namespace = root.tag_name().namespace().unwrap_or_default();
        let known = namespace.starts_with("http://schemas.microsoft.com/appx/") && namespace.ends_with("/bundle");
        if root.tag_name().name() != "Bundle" || !known {
            return part_error(BUNDLE_MANIFEST, "the root is not `Bundle` of a known bundle schema");
        }
        Self::read(root).map_err(identity_error(BUNDLE_MANIFEST))
    }

    fn read(root: Node<'_>) -> std::result::Result<Self, IdentityError> {
        let element = child(root, "Identity").ok_or(IdentityError::Missing { attribute: "Identity element" })?;
        let identity = Identity {
            name: required(element, "Name")?.to_owned(),
            publisher: required(element, "Publisher")?.to_owned(),
            version: required(element, "Version")?.parse()?,
            architecture: Architecture::Neutral,
            resource_id: BUNDLE_RESOURCE_ID.to_owned(),
        }
        .checked()?;
        let packages = child(root, "Packages").into_iter().flat_map(|packages| children(packages, "Package"));
        let packages = packages.map(|node| BundledPackage::read(node, &identity)).collect::<std::result::Result<_, _>>()?;
        Ok(Self { identity, packages })
    }

    /// The application package for a machine: of its own architecture, neutral, or one that it emulates, in that order.
    /// Stubs are passed over.
    #[must_use]
    pub fn application_for(&self, machine: Architecture) -> Option<&BundledPackage> {
        let applications = || self.packages.iter().filter(|package| package.kind == PackageKind::Application && !package.stub);
        machine.runs().iter().find_map(|architecture| applications().find(|package| package.identity.architecture == *architecture))
    }

    /// The resource packages with one of the languages (or, for `de`, any `de-…`) or one of the scales.
    pub fn resources_for<'a>(&'a self, languages: &'a [&'a str], scales: &'a [u16]) -> impl Iterator<Item = &'a BundledPackage> {
        let speaks = |own: &str, wanted: &str| {
            own.eq_ignore_ascii_case(wanted) || own.split_once('-').is_some_and(|(language, _)| language.eq_ignore_ascii_case(wanted))
        };
        self.packages.iter().filter(move |package| {
            let Qualifiers { languages: own_languages, scales: own_scales, .. } = &package.qualifiers;
            package.kind == PackageKind::Resource
                && (own_languages.iter().any(|own| languages.iter().any(|wanted| speaks(own, wanted)))
                    || own_scales.iter().any(|own| scales.contains(own)))
        })
    }
}

impl BundledPackage {
    fn read(node: Node<'_>, bundle: &Identity) -> std::result::Result<Self, IdentityError> {
        let number = |name| node.attribute(name).and_then(|text| text.parse().ok());
        let version: Version = required(node, "Version")?.parse()?;
        let architecture = node.attribute("Architecture").map(str::parse).transpose()?;
        let identity = Identity {
            version,
            architecture: architecture.unwrap_or(Architecture::Neutral),
            resource_id: node.attribute("ResourceId").unwrap_or_default().to_owned(),
            ..bundle.clone()
        };
        Ok(Self {
            // The schema's default is `resource`.
            kind: if node.attribute("Type") == Some("application") { PackageKind::Application } else { PackageKind::Resource },
            identity: identity.checked()?,
            file_name: required(node, "FileName")?.to_owned(),
            offset: number("Offset"),
            size: number("Size"),
            stub: attribute(node, "IsStub") == Some("true"),
            qualifiers: Qualifiers::read(node),
            target_device_families: target_device_families(node)?,
        })
    }
}

//! Updates: the units of a package.

use roxmltree::Node;

use super::super::other::OtherElements;
use super::super::{Error, Identity, xml};
use super::{CapabilityIdentity, CustomInformation, Disposition, Parent};

/// An `update` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// `name`, unique in the package; of a feature, its name.
    pub name: String,
    /// `displayName`.
    pub display_name: Option<String>,
    /// `description`.
    pub description: Option<String>,
    /// `restart`: `possible` or `required`.
    pub restart: Option<String>,
    /// `customInformation`, when there is one.
    pub custom_information: Option<CustomInformation>,
    /// When given, the update is a feature.
    pub selectable: Option<Selectable>,
    /// When given, the conditions under which it applies.
    pub applicable: Option<Applicability>,
    /// What it carries; one, in every real manifest.
    pub payload: Vec<Payload>,
}

/// A `selectable` element: the update is a feature.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selectable {
    /// `disposition`.
    pub disposition: Option<Disposition>,
    /// `detectNone/@default`: whether the feature is on where no older version says otherwise; `None` when not stated. Evidence: Hyper-V
    /// (`false`), Internet Explorer and the search engine (`true`), see `docs/formats/cbs_plan.md`.
    pub detect_none: Option<bool>,
}

/// An `applicable` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applicability {
    /// `disposition`.
    pub disposition: Option<Disposition>,
    /// Packages or features of which one must be there (`detectUpdate`).
    pub detections: Vec<Detection>,
    /// Components whose older version must be there (`updateComponent`).
    pub components: Vec<Elevation>,
    /// Drivers whose older version must be there (`updateDriver`).
    pub drivers: Vec<Elevation>,
}

/// A child of `detectUpdate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detection {
    /// `parent`: an update of a parent package, by name.
    Parent(Parent),
    /// `update`: another update, by name.
    Update {
        /// Its name.
        name: String,
    },
}

/// An `updateComponent` or `updateDriver` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elevation {
    /// `elevate`: `install`, `serviceLevel`, `distribution`, `revision`.
    pub elevate: Option<String>,
    /// The components in their new versions, one at least. Several are alternatives (`docs/formats/cbs_plan.md`).
    pub identities: Vec<Identity>,
}

/// What an update carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// `component`: a deployment, or a component directly.
    Component(Identity),
    /// `package`: another package.
    Package {
        /// Which.
        identity: Identity,
        /// `contained`.
        contained: Option<bool>,
        /// `integrate`: `hidden`, `visible`, `liberate`, …
        integrate: Option<String>,
    },
    /// `driver`: a driver component.
    Driver {
        /// Which.
        identity: Identity,
        /// `inf`: its INF file.
        inf: Option<String>,
        /// `ranking`: `normal` or `currentDevices`.
        ranking: Option<String>,
        /// `driverExtended/@deviceInstallRequired`.
        device_install_required: Option<bool>,
    },
    /// `capability`.
    Capability(CapabilityIdentity),
}

impl Update {
    pub(super) fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let mut update = Self {
            name: xml::required(node, "name")?,
            display_name: xml::owned(node, "displayName"),
            description: xml::owned(node, "description"),
            restart: xml::owned(node, "restart"),
            ..Self::default()
        };
        for element in xml::elements(node) {
            match xml::name(element) {
                "customInformation" if update.custom_information.is_none() => {
                    update.custom_information = Some(CustomInformation::read(element, other));
                }
                "selectable" if update.selectable.is_none() => update.selectable = Some(Selectable::read(element, other)?),
                "applicable" if update.applicable.is_none() => update.applicable = Some(Applicability::read(element, other)?),
                "component" | "package" | "driver" | "capability" => update.payload.push(Payload::read(element, other)?),
                _ => other.keep(element),
            }
        }
        Ok(update)
    }
}

impl Selectable {
    fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let mut selectable = Self { disposition: Disposition::read(node)?, detect_none: None };
        for element in xml::elements(node) {
            match xml::name(element) {
                "detectNone" => selectable.detect_none = xml::boolean(element, "default")?,
                _ => other.keep(element),
            }
        }
        Ok(selectable)
    }
}

impl Applicability {
    fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let mut applicability = Self { disposition: Disposition::read(node)?, ..Self::default() };
        for element in xml::elements(node) {
            match xml::name(element) {
                "detectUpdate" => {
                    for detection in xml::elements(element) {
                        match xml::name(detection) {
                            "parent" => applicability.detections.push(Detection::Parent(Parent::read(detection, other)?)),
                            "update" => {
                                let name = xml::required(detection, "name")?;
                                applicability.detections.push(Detection::Update { name });
                            }
                            _ => other.keep(detection),
                        }
                    }
                }
                "updateComponent" => applicability.components.push(Elevation::read(element)?),
                "updateDriver" => applicability.drivers.push(Elevation::read(element)?),
                _ => other.keep(element),
            }
        }
        Ok(applicability)
    }
}

/// The `assemblyIdentity` that an element is about.
fn identity_of(node: Node<'_, '_>) -> Result<Identity, Error> {
    let missing = || Error::MissingElement { parent: xml::element_name(node), element: "assemblyIdentity", wanted: "package" };
    Identity::read(xml::child(node, "assemblyIdentity").ok_or_else(missing)?)
}

impl Elevation {
    fn read(node: Node<'_, '_>) -> Result<Self, Error> {
        let mut identities = vec![identity_of(node)?];
        for other in xml::elements(node).filter(|element| xml::name(*element) == "assemblyIdentity").skip(1) {
            identities.push(Identity::read(other)?);
        }
        Ok(Self { elevate: xml::owned(node, "elevate"), identities })
    }
}

impl Payload {
    fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let known: &[&str] = match xml::name(node) {
            "driver" => &["assemblyIdentity", "driverExtended"],
            "capability" => &["capabilityIdentity"],
            _ => &["assemblyIdentity"],
        };
        let unknown = xml::elements(node).filter(|element| !known.contains(&xml::name(*element)));
        unknown.for_each(|element| other.keep(element));
        Ok(match xml::name(node) {
            "package" => Self::Package {
                identity: identity_of(node)?,
                contained: xml::boolean(node, "contained")?,
                integrate: xml::owned(node, "integrate"),
            },
            "driver" => Self::Driver {
                identity: identity_of(node)?,
                inf: xml::owned(node, "inf"),
                ranking: xml::owned(node, "ranking"),
                device_install_required: match xml::child(node, "driverExtended") {
                    Some(extended) => xml::boolean(extended, "deviceInstallRequired")?,
                    None => None,
                },
            },
            "capability" => {
                let missing = || Error::MissingElement { parent: "capability".into(), element: "capabilityIdentity", wanted: "package" };
                Self::Capability(CapabilityIdentity::read(xml::child(node, "capabilityIdentity").ok_or_else(missing)?)?)
            }
            _ => Self::Component(identity_of(node)?),
        })
    }
}

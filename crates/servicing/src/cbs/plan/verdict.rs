//! What was looked at, and why it was decided as it was.

use std::fmt;

use serde::{Serialize, Serializer};
use wimwright_format::manifest::package::PackageClass;
use wimwright_format::manifest::{PackageId, Version};

use super::super::state::State;

/// What was decided about a package or an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The package.
    #[serde(serialize_with = "as_text")]
    pub package: PackageId,
    /// The update, when it is about one.
    pub update: Option<String>,
    /// Whether it applies to the image.
    pub applicable: bool,
    /// Its state before.
    pub before: State,
    /// Its state after.
    pub after: State,
    /// What was decided.
    pub decision: Decision,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// What was decided about a package or an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is installed.
    Install,
    /// It goes into the store without effect.
    Stage,
    /// It is taken back into the store, without effect.
    Disable,
    /// It is removed.
    Remove,
    /// A newer version replaces it.
    Supersede,
    /// It stays as it is, since it is what it ought to be.
    Unchanged,
    /// It stays as it is, since the image has something newer.
    Superseded,
    /// It is left out, since it does not apply.
    NotApplicable,
    /// It ought to be completed, and stays as it is, since what it lacks was not delivered.
    Incomplete,
}

/// A reason for a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// The request asks for it.
    Requested,
    /// It has no conditions.
    Unconditional,
    /// A parent is there.
    ParentMatches {
        /// Which.
        #[serde(serialize_with = "as_text")]
        parent: PackageId,
        /// Its state.
        state: State,
    },
    /// A parent is there, and not far enough.
    ParentState {
        /// Which.
        #[serde(serialize_with = "as_text")]
        parent: PackageId,
        /// Its state.
        state: State,
    },
    /// A parent is there in a version that does not fit.
    ParentVersion {
        /// Which was wanted.
        #[serde(serialize_with = "as_text")]
        wanted: PackageId,
        /// The version that is there.
        #[serde(serialize_with = "as_text")]
        found: Version,
        /// What the manifest demands of it.
        rule: String,
    },
    /// A parent is not there.
    ParentMissing {
        /// Which.
        #[serde(serialize_with = "as_text")]
        wanted: PackageId,
    },
    /// None of its updates applies, and it asks for that.
    NothingApplies,
    /// A component is older, or not there, as the manifest asks for.
    Elevates {
        /// The component's family.
        component: String,
        /// Its version in the update.
        #[serde(serialize_with = "as_text")]
        version: Version,
        /// The version that is installed.
        #[serde(serialize_with = "as_optional_text")]
        winner: Option<Version>,
        /// The manifest's word.
        elevate: String,
    },
    /// A component is installed in the same or a newer version.
    Newer {
        /// The component's family.
        component: String,
        /// Its version in the update.
        #[serde(serialize_with = "as_text")]
        version: Version,
        /// The version that is installed.
        #[serde(serialize_with = "as_text")]
        winner: Version,
    },
    /// A component is not there, or of a branch that this update does not lift.
    NotElevated {
        /// The component's family.
        component: String,
        /// Its version in the update.
        #[serde(serialize_with = "as_text")]
        version: Version,
        /// The version that is installed.
        #[serde(serialize_with = "as_optional_text")]
        winner: Option<Version>,
        /// The manifest's word.
        elevate: String,
    },
    /// A feature that it follows.
    Feature {
        /// Its name.
        name: String,
        /// Whether it is on.
        on: bool,
        /// Whose it is; none when the image has no such feature.
        #[serde(serialize_with = "as_optional_text")]
        package: Option<PackageId>,
    },
    /// It is a feature: on or off, and who says so.
    Selected {
        /// Whether it is on.
        on: bool,
        /// Who says so.
        by: Selector,
    },
    /// What it carries is only staged or not there, since its owner is.
    Owner {
        /// How far its owner goes.
        state: State,
    },
    /// The package that it carries is neither in the image nor delivered.
    Missing {
        /// Which.
        #[serde(serialize_with = "as_text")]
        package: PackageId,
    },
    /// The image registers the package, and has lost its manifest.
    NoManifest {
        /// Which.
        #[serde(serialize_with = "as_text")]
        package: PackageId,
    },
    /// A component comes as a differential, and the image has no version to start from.
    NoBase {
        /// The component's keyform.
        component: String,
    },
    /// What it needs was not delivered.
    NoPayload {
        /// What, and of which package.
        why: String,
    },
    /// It is installed already.
    AlreadyInstalled,
    /// A newer version of the package is installed.
    NewerInstalled {
        /// Which.
        #[serde(serialize_with = "as_text")]
        package: PackageId,
    },
    /// It is replaced by a newer version.
    ReplacedBy {
        /// Which.
        #[serde(serialize_with = "as_text")]
        package: PackageId,
    },
    /// It comes back, since the newer version is removed.
    Restored {
        /// The newer version.
        #[serde(serialize_with = "as_text")]
        package: PackageId,
    },
    /// Its last owner is removed.
    OwnerRemoved {
        /// The owner.
        #[serde(serialize_with = "as_text")]
        package: PackageId,
    },
    /// The class of the delivery.
    Class {
        /// Which.
        #[serde(serialize_with = "as_debug")]
        class: PackageClass,
    },
}

/// Who says whether a feature is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// The request.
    Request,
    /// A feature of the request needs it.
    Dependant,
    /// The image.
    Image,
    /// The older version of the package.
    OlderVersion,
    /// The manifest, where nobody else does.
    Default,
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_debug<S: Serializer>(value: &impl fmt::Debug, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:?}"))
}

fn as_optional_text<S: Serializer>(value: &Option<impl fmt::Display>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.package)?;
        if let Some(update) = &self.update {
            write!(formatter, " `{update}`")?;
        }
        let word = match self.decision {
            Decision::Install => "is installed",
            Decision::Stage => "is staged",
            Decision::Disable => "is turned off",
            Decision::Remove => "is removed",
            Decision::Supersede => "is superseded",
            Decision::Unchanged => "stays as it is",
            Decision::Superseded => "is older than what is installed",
            Decision::NotApplicable => "does not apply",
            Decision::Incomplete => "cannot be completed",
        };
        write!(formatter, " {word}")?;
        for (number, reason) in self.reasons.iter().enumerate() {
            write!(formatter, "{} {reason}", if number == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |winner: &Option<Version>| winner.map_or_else(|| "none".to_owned(), |winner| winner.to_string());
        match self {
            Self::Requested => formatter.write_str("asked for"),
            Self::Unconditional => formatter.write_str("it has no conditions"),
            Self::ParentMatches { parent, state } => write!(formatter, "its parent {parent} is there ({state})"),
            Self::ParentState { parent, state } => write!(formatter, "its parent {parent} is not installed ({state})"),
            Self::ParentVersion { wanted, found, rule } => write!(formatter, "its parent {wanted} is there as {found}, not {rule}"),
            Self::ParentMissing { wanted } => write!(formatter, "its parent {wanted} is not there"),
            Self::NothingApplies => formatter.write_str("none of its updates applies"),
            Self::Elevates { component, version, winner, elevate } => {
                write!(formatter, "it lifts {component} from {} to {version} ({elevate})", or_none(winner))
            }
            Self::Newer { component, version, winner } => {
                write!(formatter, "{component} is installed as {winner}, not older than {version}")
            }
            Self::NotElevated { component, version, winner, elevate } => {
                write!(formatter, "it does not lift {component} from {} to {version} ({elevate})", or_none(winner))
            }
            Self::Feature { name, on, package: Some(package) } => {
                write!(formatter, "feature `{name}` of {package} is {}", if *on { "on" } else { "off" })
            }
            Self::Feature { name, .. } => write!(formatter, "the image has no feature `{name}`"),
            Self::Selected { on, by } => {
                let by = match by {
                    Selector::Request => "as asked for",
                    Selector::Dependant => "needed by a feature that is asked for",
                    Selector::Image => "as in the image",
                    Selector::OlderVersion => "as in the older version",
                    Selector::Default => "by default",
                };
                write!(formatter, "the feature is {}, {by}", if *on { "on" } else { "off" })
            }
            Self::Owner { state } => write!(formatter, "what carries it is {state}"),
            Self::Missing { package } => write!(formatter, "{package} is neither in the image nor delivered"),
            Self::NoManifest { package } => {
                write!(formatter, "the manifest of {package} is missing in the image: nobody knows what it needs")
            }
            Self::NoBase { component } => write!(formatter, "the image has no version of {component} for its differentials to start from"),
            Self::NoPayload { why } => formatter.write_str(why),
            Self::AlreadyInstalled => formatter.write_str("it is installed already"),
            Self::NewerInstalled { package } => write!(formatter, "{package} is installed"),
            Self::ReplacedBy { package } => write!(formatter, "{package} replaces it"),
            Self::Restored { package } => write!(formatter, "{package} is removed"),
            Self::OwnerRemoved { package } => write!(formatter, "{package}, which owned it, is removed"),
            Self::Class { class } => write!(formatter, "its class is {class:?}"),
        }
    }
}

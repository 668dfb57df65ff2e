//! Why a request cannot be planned.

use std::fmt::Write as _;

use thiserror::Error;
use wimwright_format::manifest::package::PackageClass;

use super::super::source::SourceError;
use super::super::state::State;
use super::super::store::StoreError;
use super::Verdict;

/// Why a request cannot be planned. Nothing was changed.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A delivery cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The request names a delivery that was not given.
    #[error("there is no delivery number {number}: {count} are given")]
    NoDelivery {
        /// Its number.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// The delivery is for something else than this image.
    #[error("`{delivery}` ({package}) is {what}: not for this image")]
    WrongKind {
        /// The delivery.
        delivery: String,
        /// Its root package.
        package: String,
        /// Its class.
        class: PackageClass,
        /// What that is.
        what: &'static str,
    },
    /// Nothing of the delivery applies to the image.
    #[error("`{delivery}` ({package}) does not apply to this image{}", listed(.verdicts))]
    NotApplicable {
        /// The delivery.
        delivery: String,
        /// Its root package.
        package: String,
        /// What was looked at, and why not.
        verdicts: Vec<Verdict>,
    },
    /// A package contains itself.
    #[error("package {package} contains itself")]
    Cyclic {
        /// The package.
        package: String,
    },
    /// Packages within packages beyond all reason.
    #[error("package {package} lies deeper than {limit} packages within each other")]
    TooDeep {
        /// The package.
        package: String,
        /// How many are taken.
        limit: usize,
    },
    /// A package is needed and is nowhere.
    #[error("package {package} contains {missing} (update `{update}`), which is neither in the image nor in any delivery")]
    MissingPackage {
        /// The package that contains it.
        package: String,
        /// Its update.
        update: String,
        /// What is missing.
        missing: String,
    },
    /// The packages switch each other on and off.
    #[error("the packages do not come to rest after {rounds} rounds; the last to change was {package}")]
    Restless {
        /// A package that changed in the last round.
        package: String,
        /// How many rounds were tried.
        rounds: usize,
    },
    /// No such feature.
    #[error("the image has no feature `{name}`{}", near(.nearest))]
    UnknownFeature {
        /// What was asked for.
        name: String,
        /// Names like it.
        nearest: Vec<String>,
    },
    /// The feature is known, and its package is not in effect.
    #[error("the image knows the feature `{name}`, but its package {package} is not installed ({state})")]
    FeatureOfPackage {
        /// What was asked for.
        name: String,
        /// The package that has it.
        package: String,
        /// How far that has come.
        state: State,
    },
    /// The feature cannot be turned on.
    #[error("feature `{name}` cannot be turned on: {reason}")]
    FeatureUnavailable {
        /// What was asked for.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A feature is both asked for and unwanted.
    #[error("feature `{name}` is to be turned on and off")]
    Contradiction {
        /// The feature.
        name: String,
    },
    /// The files of an update that is to be installed are not in the image.
    #[error("the files of `{feature}` are not in the image: supply the package {package}")]
    PayloadRemoved {
        /// The update: in most cases, a feature.
        feature: String,
        /// What has them.
        package: String,
    },
    /// No such capability.
    #[error("neither the image nor any delivered package has the capability `{name}`{}", near(.nearest))]
    UnknownCapability {
        /// What was asked for.
        name: String,
        /// Names like it.
        nearest: Vec<String>,
    },
    /// A capability needs another.
    #[error("the capability of {package} needs `{name}`, which is neither in the image nor in any delivery")]
    CapabilityDependency {
        /// The package of the capability.
        package: String,
        /// What it needs.
        name: String,
    },
    /// No such package.
    #[error("the image has no package `{name}`{}", near(.nearest))]
    UnknownPackage {
        /// What was asked for.
        name: String,
        /// Identities like it.
        nearest: Vec<String>,
    },
    /// The image registers a package that the plan depends on, and has lost its manifest.
    #[error("the manifest of package {package} is missing in the image, and {need}: deliver the package, or repair the image")]
    NoManifest {
        /// The package.
        package: String,
        /// What it is needed for.
        need: String,
    },
    /// The package is to stay.
    #[error("package {package} is permanent: it cannot be removed")]
    Permanent {
        /// The package.
        package: String,
    },
    /// The package is a part of another.
    #[error("package {package} belongs to {}: remove that", .owners.join(", "))]
    Owned {
        /// The package.
        package: String,
        /// Its owners.
        owners: Vec<String>,
    },
    /// Others need the package.
    #[error("{} cannot be removed: {} would be left without parent", .packages.join(", "), .dependants.join(", "))]
    Needed {
        /// The packages to remove.
        packages: Vec<String>,
        /// Installed packages that name it as their parent.
        dependants: Vec<String>,
    },
}

impl PlanError {
    /// What of the request it is about: the name of a delivery, capability, feature or package, as it was given. `None` where it is about
    /// what follows from the request.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        match self {
            Self::WrongKind { delivery, .. } | Self::NotApplicable { delivery, .. } => Some(delivery),
            Self::UnknownFeature { name, .. }
            | Self::FeatureOfPackage { name, .. }
            | Self::FeatureUnavailable { name, .. }
            | Self::Contradiction { name }
            | Self::UnknownCapability { name, .. }
            | Self::UnknownPackage { name, .. } => Some(name),
            Self::Permanent { package } | Self::Owned { package, .. } => Some(package),
            Self::Needed { packages, .. } => packages.first().map(String::as_str),
            _ => None,
        }
    }
}

/// Verdicts shown in an error at most: the plan prints all.
const MAX_VERDICTS: usize = 40;

fn listed(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts.iter().take(MAX_VERDICTS) {
        let _ = write!(text, "\n  {verdict}");
    }
    if verdicts.len() > MAX_VERDICTS {
        let _ = write!(text, "\n  and {} more", verdicts.len().saturating_sub(MAX_VERDICTS));
    }
    text
}

fn near(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) }
}

/// Names shown at most.
const MAX_NEAREST: usize = 3;
/// Letters compared at most: a hostile name costs no more than a real one.
const MAX_LETTERS: usize = 128;

/// The names like `name`: those that begin with it or hold it, else those that differ by a slip (a third of the letters).
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let plain = |text: &str| text.chars().take(MAX_LETTERS).flat_map(char::to_lowercase).collect::<String>();
    let wanted = plain(name);
    let limit = (wanted.chars().count() / 3).max(1);
    let mut found: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = plain(candidate);
            let distance = if wanted.len() > 2 && other.contains(&wanted) { 0 } else { strsim::damerau_levenshtein(&wanted, &other) };
            (distance <= limit).then_some((distance, candidate))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(MAX_NEAREST).map(|(_, candidate)| candidate.to_owned()).collect()
}

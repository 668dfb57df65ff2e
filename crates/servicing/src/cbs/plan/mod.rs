//! The plan: which packages and updates change their state, in which order, and why.
//!
//! Planning is pure: it reads the image's store and the deliveries, and touches nothing. Carrying the plan out
//! adds no decision of its own.
//!
//! A model starts as what the store says and grows by every decision, so that each later question is asked of the image
//! as it will be. An assessment says what a package and all that it carries ought to be in a model: a function of the model
//! alone. A delivery that is asked for becomes what its assessment says. Then everything installed is assessed twice, in the
//! image as it was and as it will be, and where the two differ the difference is decided too, until there is none: so a
//! language satellite, a cumulative update or what depends on a feature completes itself. Where they do not differ, the image
//! is left as it is, even if it is not what the rules say: whoever serviced it before us may have known more.
//!
//! What the words of the manifests mean, and how sure that is: `docs/formats/cbs_plan.md`.

mod applicability;
mod apply;
mod assess;
mod capability;
mod error;
mod feature;
mod model;
pub(super) mod order;
mod planner;
mod removal;
mod verdict;

use std::sync::Arc;

use wimwright_format::manifest::{Package, PackageId};

use super::source::PackageSource;
use super::state::State;
use super::store::Store;

pub use error::{PlanError, nearest};
pub use verdict::{Decision, Reason, Verdict};

/// What a recipe asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Deliveries to install, by their numbers, in any order.
    pub updates: Vec<usize>,
    /// Capabilities to add: `Name~~~language~version`, or the name alone.
    pub capabilities: Vec<String>,
    /// Features to turn on.
    pub enable: Vec<String>,
    /// Features to turn off.
    pub disable: Vec<Disable>,
    /// Packages to remove: whole package identities, as `dism /PackageName` takes them.
    pub remove: Vec<String>,
}

/// A feature to turn off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disable {
    /// Its name.
    pub name: String,
    /// Its files leave the image, too.
    pub remove_payload: bool,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Packages that change, in the order in which that is carried out: what a package carries goes before it. A package comes once; a
    /// second time when it is superseded, without updates.
    pub changes: Vec<PackageChange>,
    /// Everything that was looked at, with the reasons for each yes and no.
    pub verdicts: Vec<Verdict>,
}

impl Plan {
    /// An installed update that the plan makes apply in a part whose files are nowhere: the image would be without that part of it.
    #[must_use]
    pub fn incomplete(&self) -> Option<&Verdict> {
        self.verdicts.iter().find(|verdict| verdict.decision == Decision::Incomplete)
    }
}

/// A package that changes.
#[derive(Debug, Clone)]
pub struct PackageChange {
    /// The package.
    pub package: PackageId,
    /// Which delivery it comes from, by its number; `None` when the image's own store has everything.
    pub source: Option<usize>,
    /// Its manifest.
    pub manifest: Arc<Package>,
    /// Its state now.
    pub before: State,
    /// Its state after the change; [`State::ABSENT`] removes it.
    pub after: State,
    /// Its updates that change. Those that carry a package appear too: that package has a change of its own.
    pub updates: Vec<UpdateChange>,
    /// Whether `dism /Get-Packages` is to list it.
    pub visible: bool,
    /// All packages that own it from now on; itself when it is installed for its own sake.
    pub owners: Vec<PackageId>,
}

/// An update of a package that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateChange {
    /// Its number in the manifest's `updates`.
    pub update: usize,
    /// Its state now.
    pub before: State,
    /// Its state after the change.
    pub after: State,
}

/// Plans a request. `sources` are all deliveries that the recipe offers: those that the request does not list serve for its
/// capabilities, and for features whose files were removed.
///
/// The plan does not depend on the order of the deliveries, nor on that of the request's lists.
///
/// # Errors
/// The request cannot be met as a whole: [`PlanError`] names what and why.
pub fn plan(store: &Store, sources: &[PackageSource], request: &Request) -> Result<Plan, PlanError> {
    planner::Planner::new(store, sources).plan(request)
}

#[cfg(test)]
mod tests;

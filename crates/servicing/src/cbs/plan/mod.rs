//! The plan: which packages and updates change their state, in which order, and why.
//!
//! Planning is pure: it reads the image's store and the deliveries, and touches nothing. Carrying the plan out
//! adds no decision of its own.

use std::sync::Arc;

use wimwright_format::manifest::{Package, PackageId};

use super::state::State;

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
    /// Packages that own it from now on; itself when it is installed for its own sake.
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

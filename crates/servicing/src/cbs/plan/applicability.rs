//! Conditions: parents of packages, and what updates need.

use wimwright_format::manifest::package::{Applicability, Comparison, Detection, Disposition, Elevation, Parent, VersionComparison};
use wimwright_format::manifest::{Identity, Package, PackageId, Version};

use super::super::state::State;
use super::error::PlanError;
use super::model::Model;
use super::verdict::Reason;

/// The first revision of the branch with all fixes (LDR) of Windows Vista to 8.1; lower ones are of the general branch (GDR).
const LIMITED_DISTRIBUTION: u16 = 20_000;

/// What a condition gives.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// Whether it is met.
    pub met: bool,
    /// Not met only because a component is newer than what is offered.
    pub newer: bool,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// How far a package may go by its parents: installed when one of the blocks matches. Otherwise a block with
/// `disposition="staged"` lets it into the store, where it waits for its parent.
pub(super) fn parents(model: &Model<'_>, manifest: &Package) -> (State, Vec<Reason>) {
    if manifest.parents.is_empty() {
        return (State::INSTALLED, vec![Reason::Unconditional]);
    }
    let mut reasons = Vec::new();
    for block in &manifest.parents {
        let outcome = block_matches(model, block);
        if outcome.met {
            return (State::INSTALLED, outcome.reasons);
        }
        reasons.extend(outcome.reasons);
    }
    let waits = manifest.parents.iter().any(|block| block.disposition == Some(Disposition::Staged));
    (if waits { State::STAGED } else { State::ABSENT }, reasons)
}

/// A block matches when one of its identities does and, where it has nested blocks, one of those, too.
fn block_matches(model: &Model<'_>, block: &Parent) -> Outcome {
    let mut outcome = Outcome { met: block.identities.is_empty() && !block.parents.is_empty(), ..Outcome::default() };
    for identity in &block.identities {
        let found = identity_matches(model, identity, block.compare);
        if found.met {
            outcome = found;
            break;
        }
        outcome.reasons.extend(found.reasons);
    }
    if !outcome.met || block.parents.is_empty() {
        return outcome;
    }
    // Depth is bounded by that of the XML.
    let mut nested = Outcome::default();
    for inner in &block.parents {
        let found = block_matches(model, inner);
        nested.met |= found.met;
        nested.reasons.extend(found.reasons);
        if nested.met {
            break;
        }
    }
    outcome.met = nested.met;
    outcome.reasons.extend(nested.reasons);
    outcome
}

fn identity_matches(model: &Model<'_>, wanted: &Identity, compare: VersionComparison) -> Outcome {
    let wanted = PackageId::from(wanted);
    let (mut state, mut version) = (None, None);
    for (id, known) in model.versions(&wanted).rev().filter(|(_, known)| known.state != State::ABSENT) {
        if !fits(compare, wanted.version, id.version) {
            version.get_or_insert(id.version);
        } else if model.is_effective(id, known.state) {
            let reason = Reason::ParentMatches { parent: id.clone(), state: known.state };
            return Outcome { met: true, newer: false, reasons: vec![reason] };
        } else {
            state.get_or_insert(Reason::ParentState { parent: id.clone(), state: known.state });
        }
    }
    let reason = match (state, version) {
        (Some(reason), _) => reason,
        (None, Some(found)) => Reason::ParentVersion { rule: rule(compare, wanted.version), wanted, found },
        (None, None) => Reason::ParentMissing { wanted },
    };
    Outcome { met: false, newer: false, reasons: vec![reason] }
}

/// Packages that a package names as its parents, in any state, in versions that fit.
fn parents_of<'m>(model: &'m Model<'_>, blocks: &[Parent]) -> Vec<&'m PackageId> {
    let identities = blocks.iter().flat_map(|block| block.identities.iter().map(|identity| (identity, block.compare)));
    let mut found = Vec::new();
    for (identity, compare) in identities {
        let wanted = PackageId::from(identity);
        let fitting = model.versions(&wanted).filter(|(id, _)| fits(compare, wanted.version, id.version));
        found.extend(fitting.map(|(id, _)| id));
    }
    found
}

/// Whether a version fits the knobs: `buildCompare` is about the first three numbers, all others about the fourth; no knob means
/// equal. With `GE`, a greater build fits whatever its fourth number.
pub(super) fn fits(compare: VersionComparison, Version(wanted): Version, Version(found): Version) -> bool {
    let ([w0, w1, w2, w3], [f0, f1, f2, f3]) = (wanted, found);
    let (wanted_build, found_build) = ([w0, w1, w2], [f0, f1, f2]);
    if found_build != wanted_build {
        return compare.build == Some(Comparison::GreaterOrEqual) && found_build > wanted_build;
    }
    if last_may_be_greater(compare) { f3 >= w3 } else { f3 == w3 }
}

fn last_may_be_greater(compare: VersionComparison) -> bool {
    [compare.service, compare.revision, compare.distribution].contains(&Some(Comparison::GreaterOrEqual))
}

fn rule(compare: VersionComparison, wanted: Version) -> String {
    let Version([a, b, c, d]) = wanted;
    match (compare.build == Some(Comparison::GreaterOrEqual), last_may_be_greater(compare)) {
        (true, true) => format!("{wanted} or newer"),
        (true, false) => format!("{wanted} or a newer build than {a}.{b}.{c}"),
        (false, true) => format!("{a}.{b}.{c} with {d} or more"),
        (false, false) => format!("{wanted}"),
    }
}

/// Whether one of the components is lifted by the update. `kept` is true for an update that is installed: what it brought itself
/// does not make it inapplicable.
pub(super) fn components(model: &Model<'_>, applicable: &Applicability, kept: bool) -> Result<Outcome, PlanError> {
    let mut outcome = Outcome { met: kept, newer: false, reasons: if kept { vec![Reason::AlreadyInstalled] } else { Vec::new() } };
    let elevations = applicable.components.iter().chain(&applicable.drivers);
    for (elevation, identity) in elevations.flat_map(|elevation| elevation.identities.iter().map(move |identity| (elevation, identity))) {
        if outcome.met {
            break;
        }
        let (met, reason) = lifts(model, elevation, identity)?;
        outcome.newer |= matches!(reason, Reason::Newer { .. });
        if met {
            outcome.reasons.clear();
        }
        outcome.met = met;
        outcome.reasons.push(reason);
    }
    outcome.newer &= !outcome.met;
    Ok(outcome)
}

/// Whether an update lifts a component. Each word names the greatest step that is taken: `revision` within a branch,
/// `distribution` to the other branch, `serviceLevel` over a service pack, `install` from nothing at all.
fn lifts(model: &Model<'_>, elevation: &Elevation, identity: &Identity) -> Result<(bool, Reason), PlanError> {
    let (component, version) = (identity.family_key(), identity.version);
    let elevate = elevation.elevate.clone().unwrap_or_default();
    let winner = model.winner(identity)?;
    let met = match winner {
        None => elevate.eq_ignore_ascii_case("install"),
        Some(winner) if winner > version => return Ok((false, Reason::Newer { component, version, winner })),
        Some(winner) => {
            let (Version([a, b, old_build, old]), Version([.., new_build, new])) = (winner, version);
            let branches = (a, b) <= (6, 3);
            let same_branch = !branches || (old < LIMITED_DISTRIBUTION) == (new < LIMITED_DISTRIBUTION);
            match elevate.to_ascii_lowercase().as_str() {
                "revision" => old_build == new_build && same_branch,
                "distribution" => old_build == new_build,
                _ => true,
            }
        }
    };
    let reason = if met {
        Reason::Elevates { component, version, winner, elevate }
    } else {
        Reason::NotElevated { component, version, winner, elevate }
    };
    Ok((met, reason))
}

/// Whether a feature of another package is on: `Detection::Parent` looks among the parents, `Detection::Update` everywhere else.
pub(super) fn feature(model: &Model<'_>, manifest: &Package, detection: &Detection) -> Result<Outcome, PlanError> {
    let (name, candidates): (&str, Vec<&PackageId>) = match detection {
        Detection::Update { name } => {
            let own = manifest.id();
            (name, model.named(name).filter(|id| **id != own).collect())
        }
        Detection::Parent(parent) if parent.name.is_none() => return Ok(block_matches(model, parent)),
        Detection::Parent(parent) => {
            let own = !parent.identities.is_empty();
            let found = parents_of(model, if own { std::slice::from_ref(parent) } else { &manifest.parents });
            (parent.name.as_deref().unwrap_or_default(), found)
        }
    };
    let mut reason = Reason::Feature { name: name.to_owned(), on: false, package: None };
    for id in candidates {
        if !model.is_effective(id, model.state(id)) {
            continue;
        }
        let Some(candidate) = model.manifest(id)? else {
            if model.lacks_manifest(id) {
                reason = Reason::NoManifest { package: id.clone() };
            }
            continue;
        };
        let Some(update) = candidate.updates.iter().find(|update| update.name.eq_ignore_ascii_case(name)) else { continue };
        let on = model.update_state(id, update)?.is_installed();
        reason = Reason::Feature { name: name.to_owned(), on, package: Some(id.clone()) };
        if on {
            return Ok(Outcome { met: true, newer: false, reasons: vec![reason] });
        }
    }
    Ok(Outcome { met: false, newer: false, reasons: vec![reason] })
}

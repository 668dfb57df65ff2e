//! From a request to a plan.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use wimwright_format::manifest::package::{Disposition, PackageClass};
use wimwright_format::manifest::{Package, PackageId};

use super::super::source::PackageSource;
use super::super::state::State;
use super::super::store::Store;
use super::applicability;
use super::apply::{Decider, Log, carries_itself};
use super::assess::{Assessment, Assessor};
use super::error::PlanError;
use super::model::Model;
use super::verdict::{Decision, Reason, Verdict};
use super::{PackageChange, Plan, Request, UpdateChange, order};

/// Rounds of re-evaluation at most. Each follows one more step of a chain of packages that complete each other.
const MAX_ROUNDS: usize = 64;

/// Plans one request.
pub(super) struct Planner<'a> {
    /// The image as it is.
    pub base: Model<'a>,
    /// The image as it will be.
    pub model: Model<'a>,
    pub log: Log,
}

/// A delivery that waits for its turn.
struct Waiting {
    number: usize,
    /// It comes along with a capability: that it does not apply is no error.
    optional: bool,
}

impl<'a> Planner<'a> {
    pub(super) fn new(store: &'a Store, sources: &'a [PackageSource]) -> Self {
        let base = Model::new(store, sources);
        Self { model: base.clone(), base, log: Log::default() }
    }

    pub(super) fn plan(mut self, request: &Request) -> Result<Plan, PlanError> {
        self.remove(&request.remove)?;
        let mut companions = self.resolve_capabilities(request)?;
        self.resolve_features(request, &mut companions)?;
        let required: BTreeSet<usize> = request.updates.iter().chain(&companions.required).copied().collect();
        let mut numbers: Vec<usize> = required.iter().chain(&companions.optional).copied().collect();
        order::sort(&mut numbers, self.model.sources);
        let waiting = numbers.into_iter().map(|number| Waiting { number, optional: !required.contains(&number) }).collect();
        self.install(waiting)?;
        self.select_features(request)?;
        self.settle()?;
        self.check_features(request)?;
        self.finish()
    }

    /// A delivery by its number.
    fn delivery(&self, number: usize) -> Result<&'a PackageSource, PlanError> {
        let sources = self.model.sources;
        sources.get(number).ok_or(PlanError::NoDelivery { number, count: sources.len() })
    }

    /// Installs deliveries, each as soon as it applies: what one brings can be what another waits for.
    fn install(&mut self, mut waiting: Vec<Waiting>) -> Result<(), PlanError> {
        for delivery in &waiting {
            self.refuse_others(self.delivery(delivery.number)?)?;
        }
        loop {
            let mut progress = false;
            let mut left = Vec::new();
            for delivery in waiting {
                // One that came later may have made an earlier one of the order applicable: that goes first.
                if progress || !self.try_install(delivery.number, None)? {
                    left.push(delivery);
                } else {
                    progress = true;
                }
            }
            waiting = left;
            if !progress {
                break;
            }
        }
        for delivery in waiting {
            let source = self.delivery(delivery.number)?;
            let mut verdicts = Vec::new();
            self.try_install(delivery.number, Some(&mut verdicts))?;
            let superseded = verdicts.first().is_some_and(|root| root.decision == Decision::Superseded);
            if !delivery.optional && !superseded {
                let (delivery, package) = (source.name.clone(), source.root.to_string());
                return Err(PlanError::NotApplicable { delivery, package, verdicts });
            }
            verdicts.into_iter().for_each(|verdict| self.log.say(verdict));
        }
        Ok(())
    }

    /// Deliveries that are for other things than this image.
    fn refuse_others(&self, source: &PackageSource) -> Result<(), PlanError> {
        let recovery = || self.base.packages.iter().any(|(id, known)| known.state.is_installed() && is_preinstallation(id));
        let what = match source.class {
            PackageClass::Setup => "a dynamic update for Windows Setup",
            PackageClass::SafeOs if !recovery() => "an update for the recovery environment (Safe OS)",
            PackageClass::Driver => "a package of drivers alone, which Windows chooses for the devices that it finds",
            _ => return Ok(()),
        };
        Err(PlanError::WrongKind { delivery: source.name.clone(), package: source.root.to_string(), class: source.class, what })
    }

    /// Installs a delivery if it applies; true when nothing is left to do. With `verdicts`, only says why it does not.
    fn try_install(&mut self, number: usize, verdicts: Option<&mut Vec<Verdict>>) -> Result<bool, PlanError> {
        let source = self.delivery(number)?;
        let id = &source.root;
        let state = self.model.state(id);
        let there = if state.is_installed() {
            Some(Reason::AlreadyInstalled)
        } else {
            self.model.newer(id).cloned().map(|package| Reason::NewerInstalled { package })
        };
        if let Some(reason) = there {
            let newer = matches!(reason, Reason::NewerInstalled { .. });
            let decision = if newer { Decision::Superseded } else { Decision::Unchanged };
            let verdict = Verdict {
                package: id.clone(),
                update: None,
                applicable: true,
                before: state,
                after: state,
                decision,
                reasons: vec![reason],
            };
            self.log.say(verdict);
            return Ok(true);
        }
        // The root's manifest was delivered: `PackageSource` has it.
        let Some(assessment) = Assessor::new(&self.model).assess(id, State::INSTALLED)? else { return Ok(false) };
        if let Some(verdicts) = verdicts {
            explain(&self.model, &assessment, &mut HashSet::new(), verdicts);
            verdicts.first_mut().into_iter().for_each(|root| root.reasons.push(Reason::Class { class: source.class }));
            return Ok(false);
        }
        if !assessment.state.is_installed() {
            return Ok(false);
        }
        self.model.choose(number);
        let mut decider = Decider::new(&mut self.model, &mut self.log);
        decider.take(&assessment, None, Some(id), true)?;
        if let Some(known) = self.model.packages.get_mut(id) {
            known.owners.insert(id.clone());
            known.visible = true;
        }
        Ok(true)
    }

    /// Assesses everything that is installed, in the image as it was and as it will be, and decides where they differ; until they
    /// do not.
    pub(super) fn settle(&mut self) -> Result<(), PlanError> {
        // Where nothing was decided and nothing is asked for, nothing differs: the manifests of the image need not be read.
        if self.log.touched().is_empty() && self.model.selected.is_empty() {
            return Ok(());
        }
        self.say_lost();
        let mut before = BTreeMap::new();
        let mut last = None;
        for _ in 0..MAX_ROUNDS {
            let pairs = self.differences(&mut before)?;
            let mut decider = Decider::new(&mut self.model, &mut self.log);
            for (now, base) in &pairs {
                decider.take(now, base.as_deref(), None, true)?;
            }
            last = decider.changed;
            if last.is_none() {
                return Ok(());
            }
        }
        let package = last.map(|package| package.to_string()).unwrap_or_default();
        Err(PlanError::Restless { package, rounds: MAX_ROUNDS })
    }

    /// Assessments of all root packages now, and as the image was; for what is new, nothing.
    fn differences(&self, before: &mut BTreeMap<PackageId, Option<Rc<Assessment>>>) -> Result<Vec<Pair>, PlanError> {
        let mut assessor = Assessor::new(&self.model);
        let mut base_assessor = Assessor::new(&self.base);
        let mut pairs = Vec::new();
        for (id, known) in &self.model.packages {
            if !is_root(id, known.owners.iter()) || !self.is_settled(id, known.state)? {
                continue;
            }
            let Some(now) = assessor.assess(id, State::INSTALLED)? else { continue };
            let was_there = self.base.state(id) >= State::STAGED;
            if !before.contains_key(id) {
                let base = if was_there { base_assessor.assess(id, State::INSTALLED)? } else { None };
                before.insert(id.clone(), base);
            }
            let base = before.get(id).cloned().flatten();
            pairs.push((now, base));
        }
        Ok(pairs)
    }

    /// Whether a root package takes part in re-evaluation: when it is installed, or waits in the store for a parent. Editions
    /// in the store that are not this image's wait for nobody.
    fn is_settled(&self, id: &PackageId, state: State) -> Result<bool, PlanError> {
        if state != State::STAGED {
            return Ok(state.is_installed());
        }
        let Some(manifest) = self.model.manifest(id)? else { return Ok(false) };
        Ok(manifest.parents.iter().any(|parent| parent.disposition == Some(Disposition::Staged)))
    }

    /// What differs between the image as it is and as it will be.
    fn finish(self) -> Result<Plan, PlanError> {
        let mut changes = Vec::new();
        for (package, superseded) in self.log.touched() {
            let Some(manifest) = self.model.manifest(&package)? else {
                if self.model.lacks_manifest(&package) {
                    let need = if superseded { "a newer version replaces it" } else { "its state changes" };
                    return Err(PlanError::NoManifest { package: package.to_string(), need: need.to_owned() });
                }
                continue;
            };
            self.require_parent(&package, &manifest)?;
            changes.extend(self.change(package, manifest, superseded)?);
        }
        Ok(Plan { changes, verdicts: self.log.into_verdicts() })
    }

    /// A package that is new needs more of its parent than its name.
    fn require_parent(&self, package: &PackageId, manifest: &Package) -> Result<(), PlanError> {
        if self.base.state(package) >= State::STAGED || !self.model.state(package).is_installed() {
            return Ok(());
        }
        for reason in applicability::parents(&self.model, manifest).1 {
            if let Reason::ParentMatches { parent, .. } = reason
                && self.model.lacks_manifest(&parent)
            {
                return Err(PlanError::NoManifest { package: parent.to_string(), need: format!("it is the parent of {package}") });
            }
        }
        Ok(())
    }

    /// Packages of the image that have lost their manifests: they stay as they are, whatever they would become.
    fn say_lost(&mut self) {
        let staged = self.base.packages.iter().filter(|(_, known)| known.state.is_staged());
        let lost: Vec<_> = staged.filter(|(id, _)| self.model.lacks_manifest(id)).map(|(id, known)| (id.clone(), known.state)).collect();
        for (package, state) in lost {
            let reasons = vec![Reason::NoManifest { package: package.clone() }];
            let decision = Decision::Unchanged;
            self.log.say(Verdict { package, update: None, applicable: false, before: state, after: state, decision, reasons });
        }
    }

    fn change(&self, package: PackageId, manifest: Arc<Package>, superseded: bool) -> Result<Option<PackageChange>, PlanError> {
        let Some(known) = self.model.packages.get(&package) else { return Ok(None) };
        let (owners, visible) = (known.owners.iter().cloned().collect(), known.visible);
        if superseded {
            let before = self.base.packages.get(&package).map_or(State::INSTALLED, |base| base.state.max(State::INSTALLED));
            let (after, updates) = (State::SUPERSEDED, Vec::new());
            return Ok(Some(PackageChange { package, source: None, manifest, before, after, updates, visible, owners }));
        }
        let before = self.base.state(&package);
        let after = if self.log.supersedes(&package) { State::INSTALLED } else { known.state };
        let mut updates = Vec::new();
        let mut incomplete = before < State::STAGED;
        for (number, update) in manifest.updates.iter().enumerate() {
            let (old, new) = (self.base.update_state(&package, update)?, self.model.update_state(&package, update)?);
            if old != new {
                incomplete |= carries_itself(update) && old < State::STAGED && new >= State::STAGED;
                updates.push(UpdateChange { update: number, before: old, after: new });
            }
        }
        let base = self.base.packages.get(&package);
        let same = base.is_some_and(|base| base.state == after && base.visible == visible && base.owners == known.owners);
        if updates.is_empty() && (same || before == State::ABSENT && after == State::ABSENT) {
            return Ok(None);
        }
        let source = if incomplete { self.model.delivery_number(&package) } else { None };
        Ok(Some(PackageChange { package, source, manifest, before, after, updates, visible, owners }))
    }
}

type Pair = (Rc<Assessment>, Option<Rc<Assessment>>);

/// A package that is there for its own sake, or of which nobody says why it is there.
fn is_root<'o>(id: &PackageId, mut owners: impl Iterator<Item = &'o PackageId>) -> bool {
    match owners.next() {
        None => true,
        Some(first) => first == id || owners.any(|owner| owner == id),
    }
}

/// Windows PE, and the recovery environment that is made of it.
fn is_preinstallation(id: &PackageId) -> bool {
    let name = id.name.to_ascii_lowercase();
    name.starts_with("winpe-") || name.starts_with("microsoft-windows-winpe-")
}

/// Verdicts on a package that does not apply, and on all that it carries.
fn explain(model: &Model<'_>, assessment: &Assessment, known: &mut HashSet<PackageId>, verdicts: &mut Vec<Verdict>) {
    // Each package once, however many carry it.
    if !known.insert(assessment.id.clone()) {
        return;
    }
    let decision = if assessment.is_outdated { Decision::Superseded } else { Decision::NotApplicable };
    let state = model.state(&assessment.id);
    let verdict = |update, reasons| Verdict {
        package: assessment.id.clone(),
        update,
        applicable: false,
        before: state,
        after: state,
        decision,
        reasons,
    };
    verdicts.push(verdict(None, assessment.reasons.clone()));
    if !assessment.has_parents {
        return;
    }
    for (update, assessed) in assessment.manifest.updates.iter().zip(&assessment.updates) {
        if assessed.children.is_empty() {
            verdicts.push(verdict(Some(update.name.clone()), assessed.reasons.clone()));
        }
        for child in &assessed.children {
            explain(model, &child.assessment, known, verdicts);
        }
    }
}

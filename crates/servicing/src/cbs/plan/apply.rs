//! Decisions: a model takes over what an assessment says.

use std::collections::{BTreeSet, HashMap, HashSet};

use wimwright_format::manifest::package::{Payload, Update};
use wimwright_format::manifest::{PackageId, Version};

use super::super::state::State;
use super::assess::{Assessment, Child, UpdateAssessment};
use super::error::PlanError;
use super::model::{Known, Model};
use super::verdict::{Decision, Reason, Verdict};

/// What was decided, in order.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// When a package was last touched.
    sequence: HashMap<PackageId, usize>,
    /// When a package was superseded: a step of its own, since it may have been installed by this very plan.
    superseded: HashMap<PackageId, usize>,
    count: usize,
    verdicts: Vec<Verdict>,
    /// Where the verdict on a package or an update is.
    places: HashMap<(PackageId, Option<String>), usize>,
}

impl Log {
    /// The state that a package or an update had when it was first judged.
    fn first(&self, package: &PackageId, update: Option<&str>) -> Option<State> {
        let key = (package.clone(), update.map(str::to_owned));
        self.places.get(&key).and_then(|place| self.verdicts.get(*place)).map(|verdict| verdict.before)
    }

    fn touch(&mut self, id: &PackageId) {
        self.count = self.count.saturating_add(1);
        self.sequence.insert(id.clone(), self.count);
    }

    fn supersede(&mut self, id: &PackageId) {
        self.count = self.count.saturating_add(1);
        self.superseded.insert(id.clone(), self.count);
    }

    /// Takes a verdict; a later one on the same thing replaces the earlier.
    pub(super) fn say(&mut self, verdict: Verdict) {
        let key = (verdict.package.clone(), verdict.update.clone());
        match self.places.get(&key).and_then(|place| self.verdicts.get_mut(*place)) {
            Some(known) => *known = verdict,
            None => {
                self.places.insert(key, self.verdicts.len());
                self.verdicts.push(verdict);
            }
        }
    }

    /// Everything that was touched, in order; true where it is superseded.
    pub(super) fn touched(&self) -> Vec<(PackageId, bool)> {
        let touched = self.sequence.iter().map(|(id, number)| (*number, id, false));
        let mut touched: Vec<_> = touched.chain(self.superseded.iter().map(|(id, number)| (*number, id, true))).collect();
        touched.sort_unstable_by_key(|(number, ..)| *number);
        touched.into_iter().map(|(_, id, superseded)| (id.clone(), superseded)).collect()
    }

    /// True when the package is superseded by this plan.
    pub(super) fn supersedes(&self, id: &PackageId) -> bool {
        self.superseded.contains_key(id)
    }

    pub(super) fn into_verdicts(self) -> Vec<Verdict> {
        self.verdicts
    }
}

/// True when an update carries components itself, not only packages.
pub(super) fn carries_itself(update: &Update) -> bool {
    update.payload.iter().any(|payload| matches!(payload, Payload::Component(_) | Payload::Driver { .. }))
}

/// What the image has in its store stays there, unless it is to leave.
fn floor(before: State, wanted: State, unwanted: bool) -> State {
    if unwanted { wanted } else { wanted.max(before.min(State::STAGED)) }
}

/// Takes over assessments into a model.
pub(super) struct Decider<'m, 'a> {
    pub model: &'m mut Model<'a>,
    pub log: &'m mut Log,
    /// What was taken over already, and how far.
    seen: HashSet<(PackageId, State)>,
    /// The last package that changed.
    pub changed: Option<PackageId>,
}

impl<'m, 'a> Decider<'m, 'a> {
    pub(super) fn new(model: &'m mut Model<'a>, log: &'m mut Log) -> Self {
        Self { model, log, seen: HashSet::new(), changed: None }
    }

    /// Takes over what a package ought to be: all of it, or what differs from `base`. What it carries goes first, so that it is there.
    pub(super) fn take(
        &mut self,
        now: &Assessment,
        base: Option<&Assessment>,
        owner: Option<&PackageId>,
        visible: bool,
    ) -> Result<(), PlanError> {
        if !self.seen.insert((now.id.clone(), now.state)) {
            return Ok(());
        }
        let before = self.model.state(&now.id);
        for (number, update) in now.updates.iter().enumerate() {
            let base_update = base.and_then(|base| base.updates.get(number));
            let differs = base_update.is_none_or(|base| base.state != update.state);
            for child in &update.children {
                let base_child = base_update.and_then(|base| base.children.iter().find(|other| other.assessment.id == child.assessment.id));
                self.take_child(&now.id, update, child, base_child, differs)?;
            }
            if differs {
                self.take_update(now, number, update, base.is_none())?;
            }
        }
        if base.is_none_or(|base| base.state != now.state) {
            self.take_package(now, before, owner, visible, base.is_none())?;
        }
        Ok(())
    }

    fn take_child(
        &mut self,
        owner: &PackageId,
        update: &UpdateAssessment,
        child: &Child,
        base: Option<&Child>,
        differs: bool,
    ) -> Result<(), PlanError> {
        let assessment = &*child.assessment;
        let id = &assessment.id;
        // Something newer is there: this version is not added to it.
        if assessment.state == State::SUPERSEDED {
            return Ok(());
        }
        if update.unwanted {
            return self.release(owner, id);
        }
        if assessment.state == State::ABSENT && self.model.state(id) < State::STAGED {
            return Ok(());
        }
        let lowered = assessment.state < self.model.state(id);
        if !(lowered && self.others_want(id, owner)?) {
            self.take(assessment, base.map(|base| &*base.assessment), Some(owner), child.visible)?;
        }
        if differs && assessment.state != State::ABSENT {
            self.own(id, owner, child.visible);
        }
        Ok(())
    }

    fn own(&mut self, id: &PackageId, owner: &PackageId, visible: bool) {
        if let Some(known) = self.model.packages.get_mut(id) {
            let added = known.owners.insert(owner.clone());
            if added || visible && !known.visible {
                known.visible |= visible;
                self.log.touch(id);
                self.changed = Some(id.clone());
            }
        }
    }

    /// True when another owner has it installed, or when nobody knows who owns it.
    fn others_want(&self, id: &PackageId, owner: &PackageId) -> Result<bool, PlanError> {
        let Some(known) = self.model.packages.get(id) else { return Ok(false) };
        if known.owners.is_empty() {
            return Ok(true);
        }
        for other in known.owners.iter().filter(|other| *other != owner) {
            if other == id {
                return Ok(true);
            }
            let Some(manifest) = self.model.manifest(other)? else {
                if self.model.lacks_manifest(other) {
                    return Ok(true);
                }
                continue;
            };
            for update in &manifest.updates {
                let carries = |payload: &Payload| matches!(payload, Payload::Package { identity, .. } if PackageId::from(identity) == *id);
                if update.payload.iter().any(carries) && self.model.update_state(other, update)?.is_installed() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// An owner gives a package up: it goes with its last owner, and gives up what it carries.
    pub(super) fn release(&mut self, owner: &PackageId, id: &PackageId) -> Result<(), PlanError> {
        let mut open = vec![(owner.clone(), id.clone())];
        while let Some((owner, id)) = open.pop() {
            let Some(known) = self.model.packages.get_mut(&id) else { continue };
            if !known.owners.remove(&owner) {
                continue;
            }
            self.log.touch(&id);
            self.changed = Some(id.clone());
            if known.owners.is_empty() {
                open.extend(self.remove(&id, Reason::OwnerRemoved { package: owner })?.into_iter().map(|child| (id.clone(), child)));
            }
        }
        Ok(())
    }

    /// Takes a package away; gives what it carries.
    pub(super) fn remove(&mut self, id: &PackageId, reason: Reason) -> Result<Vec<PackageId>, PlanError> {
        let before = self.model.state(id);
        self.set(id, State::ABSENT);
        self.verdict(id, None, before, State::ABSENT, vec![reason]);
        let Some(manifest) = self.model.manifest(id)? else { return Ok(Vec::new()) };
        let mut carried = Vec::new();
        for update in &manifest.updates {
            self.model.decide(id, update, State::ABSENT)?;
            carried.extend(update.payload.iter().filter_map(|payload| match payload {
                Payload::Package { identity, .. } => Some(PackageId::from(identity)),
                _ => None,
            }));
        }
        Ok(carried)
    }

    fn take_update(&mut self, now: &Assessment, number: usize, assessed: &UpdateAssessment, all: bool) -> Result<(), PlanError> {
        let Some(update) = now.manifest.updates.get(number) else { return Ok(()) };
        let before = self.model.update_state(&now.id, update)?;
        let state = floor(before, assessed.state, assessed.unwanted);
        if let Some(error) = self.lack(now, update, assessed, before)? {
            // What is asked for must be had. What would merely complete itself stays as it is, and is said.
            if all || update.selectable.is_some() {
                return Err(error);
            }
            let reasons = [assessed.reasons.clone(), vec![Reason::NoPayload { why: error.to_string() }]].concat();
            let (package, update) = (now.id.clone(), Some(update.name.clone()));
            let decision = Decision::Incomplete;
            self.log.say(Verdict { package, update, applicable: true, before, after: before, decision, reasons });
            return Ok(());
        }
        if before != state {
            self.log.touch(&now.id);
            self.changed = Some(now.id.clone());
        }
        if before != state || !self.model.is_decided(&now.id, update) {
            self.model.decide(&now.id, update, state)?;
        }
        if before != state || all && self.log.first(&now.id, Some(&update.name)).is_none() {
            self.verdict(&now.id, Some(update.name.clone()), before, state, assessed.reasons.clone());
        }
        Ok(())
    }

    /// What an update that is to be installed lacks: a package that it carries, or its own files.
    fn lack(&self, now: &Assessment, update: &Update, assessed: &UpdateAssessment, before: State) -> Result<Option<PlanError>, PlanError> {
        let package = now.id.to_string();
        if let (Some(missing), true) = (&assessed.missing, now.state.is_installed()) {
            return Ok(Some(PlanError::MissingPackage { package, update: update.name.clone(), missing: missing.to_string() }));
        }
        let raised = assessed.state.is_installed() && before < State::STAGED && carries_itself(update);
        let known = self.model.store.packages().contains_key(&now.id);
        if raised && known && self.model.delivery(&now.id).is_none() {
            return Ok(Some(PlanError::PayloadRemoved { feature: update.name.clone(), package }));
        }
        Ok(None)
    }

    fn take_package(
        &mut self,
        now: &Assessment,
        before: State,
        owner: Option<&PackageId>,
        visible: bool,
        all: bool,
    ) -> Result<(), PlanError> {
        let state = floor(before, now.state, false);
        if before != state {
            let owners = owner.into_iter().cloned().collect::<BTreeSet<_>>();
            let fresh = Known { state, visible, owners };
            let known = self.model.packages.entry(now.id.clone()).or_insert(fresh);
            known.state = state;
            self.log.touch(&now.id);
            self.changed = Some(now.id.clone());
        }
        if before != state || all && self.log.first(&now.id, None).is_none() {
            self.verdict(&now.id, None, before, state, now.reasons.clone());
        }
        if state.is_installed() {
            self.supersede_older(&now.id);
        }
        Ok(())
    }

    /// Older versions of a package that is installed have done their work.
    fn supersede_older(&mut self, id: &PackageId) {
        let range = id.with_version(Version::ZERO)..id.clone();
        let older: Vec<(PackageId, State)> = self.model.packages.range(range).map(|(older, known)| (older.clone(), known.state)).collect();
        for (older, before) in older.into_iter().filter(|(_, state)| state.is_installed()) {
            if let Some(known) = self.model.packages.get_mut(&older) {
                known.state = State::SUPERSEDED;
            }
            self.log.supersede(&older);
            self.changed = Some(older.clone());
            let before = self.log.first(&older, None).unwrap_or(before);
            let reasons = vec![Reason::ReplacedBy { package: id.clone() }];
            let (decision, after) = (Decision::Supersede, State::SUPERSEDED);
            self.log.say(Verdict { package: older, update: None, applicable: true, before, after, decision, reasons });
        }
    }

    /// Sets the state of a known package.
    pub(super) fn set(&mut self, id: &PackageId, state: State) {
        if let Some(known) = self.model.packages.get_mut(id) {
            known.state = state;
            self.log.touch(id);
            self.changed = Some(id.clone());
        }
    }

    /// Says what was decided.
    pub(super) fn verdict(&mut self, package: &PackageId, update: Option<String>, before: State, after: State, reasons: Vec<Reason>) {
        let before = self.log.first(package, update.as_deref()).unwrap_or(before);
        let decision = match after {
            _ if before == after && after != State::ABSENT => Decision::Unchanged,
            State::SUPERSEDED => Decision::Superseded,
            State::ABSENT if before == State::ABSENT => Decision::NotApplicable,
            State::ABSENT => Decision::Remove,
            State::STAGED if before.is_installed() => Decision::Disable,
            State::STAGED => Decision::Stage,
            _ => Decision::Install,
        };
        let applicable = after >= State::SUPERSEDED;
        self.log.say(Verdict { package: package.clone(), update, applicable, before, after, decision, reasons });
    }
}

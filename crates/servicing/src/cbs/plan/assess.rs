//! What a package, and all that it carries, ought to be in a model.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use wimwright_format::manifest::package::{Applicability, Detection, Disposition, Payload, Selectable, Update};
use wimwright_format::manifest::{Package, PackageId};

use super::super::state::State;
use super::applicability::{self, Outcome};
use super::error::PlanError;
use super::model::Model;
use super::verdict::{Reason, Selector};

/// Packages within packages at most. Real ones reach about ten: an edition over its language packs down to single components.
const MAX_DEPTH: usize = 64;

/// What a package ought to be: absent, staged, superseded (something newer is installed) or installed.
#[derive(Debug)]
pub(super) struct Assessment {
    /// The package.
    pub id: PackageId,
    /// Its manifest.
    pub manifest: Arc<Package>,
    /// How far it is to go.
    pub state: State,
    /// Whether its parents let it into the image at all.
    pub has_parents: bool,
    /// Its updates, in the manifest's order.
    pub updates: Vec<UpdateAssessment>,
    /// True when nothing applies, and some of that because the image has newer components.
    pub is_outdated: bool,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// What an update ought to be.
#[derive(Debug)]
pub(super) struct UpdateAssessment {
    /// How far it is to go.
    pub state: State,
    /// A feature whose files are to leave the image.
    pub unwanted: bool,
    /// Its conditions are not met because the image has newer components.
    pub newer: bool,
    /// Why.
    pub reasons: Vec<Reason>,
    /// The packages that it carries.
    pub children: Vec<Child>,
    /// A package that it carries and that is nowhere, when it is to be installed.
    pub missing: Option<PackageId>,
}

/// A package that an update carries.
#[derive(Debug, Clone)]
pub(super) struct Child {
    /// What it ought to be.
    pub assessment: Rc<Assessment>,
    /// Whether it is listed for itself (`integrate` is not `hidden`).
    pub visible: bool,
}

/// A package, how far it may go, and whether something of it must apply.
type Key = (PackageId, State, bool);

/// Assesses packages in one state of a model, each once.
pub(super) struct Assessor<'m, 'a> {
    model: &'m Model<'a>,
    known: HashMap<Key, Rc<Assessment>>,
    open: Vec<PackageId>,
}

impl<'m, 'a> Assessor<'m, 'a> {
    pub(super) fn new(model: &'m Model<'a>) -> Self {
        Self { model, known: HashMap::new(), open: Vec::new() }
    }

    /// What a package ought to be if it may go as far as `limit`; `None` when its manifest is nowhere.
    pub(super) fn assess(&mut self, id: &PackageId, limit: State) -> Result<Option<Rc<Assessment>>, PlanError> {
        self.assess_within(id, limit, false)
    }

    /// `deep`: a package around it goes no further than the best of what is in it; that holds down to the last package.
    fn assess_within(&mut self, id: &PackageId, limit: State, deep: bool) -> Result<Option<Rc<Assessment>>, PlanError> {
        let key = (id.clone(), limit, deep);
        if let Some(known) = self.known.get(&key) {
            return Ok(Some(known.clone()));
        }
        if self.open.contains(id) {
            return Err(PlanError::Cyclic { package: id.to_string() });
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(PlanError::TooDeep { package: id.to_string(), limit: MAX_DEPTH });
        }
        let Some(manifest) = self.model.manifest(id)? else { return Ok(None) };
        self.open.push(id.clone());
        let deep = deep || manifest.deep_evaluation;
        let assessed = self.assess_manifest(id, manifest, limit, deep);
        self.open.pop();
        let assessed = Rc::new(assessed?);
        self.known.insert(key, assessed.clone());
        Ok(Some(assessed))
    }

    fn assess_manifest(&mut self, id: &PackageId, manifest: Arc<Package>, limit: State, deep: bool) -> Result<Assessment, PlanError> {
        if let Some(newer) = self.model.newer(id).filter(|_| !self.model.state(id).is_installed()) {
            let reasons = vec![Reason::NewerInstalled { package: newer.clone() }];
            let state = limit.min(State::SUPERSEDED);
            let is_outdated = state == State::SUPERSEDED;
            return Ok(Assessment { id: id.clone(), manifest, state, has_parents: true, updates: Vec::new(), is_outdated, reasons });
        }
        let (by_parents, mut reasons) = applicability::parents(self.model, &manifest);
        let mut state = by_parents.min(limit);
        if limit < by_parents {
            reasons.push(Reason::Owner { state: limit });
        }
        let updates = Updates::new(self, id, &manifest, state, deep).all()?;
        // A package without updates has nothing that could not apply.
        let best = updates.iter().map(|update| update.state).max().filter(|_| deep).unwrap_or(state);
        if best < state {
            reasons.push(Reason::NothingApplies);
            state = best;
        }
        let has_parents = by_parents != State::ABSENT;
        let outdated = |update: &UpdateAssessment| update.newer || update.children.iter().any(|child| child.assessment.is_outdated);
        let is_outdated = state == State::SUPERSEDED || has_parents && !state.is_installed() && updates.iter().any(outdated);
        Ok(Assessment { id: id.clone(), manifest, state, has_parents, updates, is_outdated, reasons })
    }
}

/// The updates of one package, of which some follow others.
struct Updates<'s, 'm, 'a> {
    assessor: &'s mut Assessor<'m, 'a>,
    id: &'s PackageId,
    manifest: &'s Package,
    limit: State,
    deep: bool,
    done: Vec<Option<UpdateAssessment>>,
    /// Updates that are being assessed.
    open: Vec<usize>,
    /// Places of the updates by their names in lower case.
    places: HashMap<String, usize>,
    /// Which features are on in older versions of the package that have effect, by name in lower case; read when first asked for.
    older: Option<HashMap<String, bool>>,
}

impl<'s, 'm, 'a> Updates<'s, 'm, 'a> {
    fn new(assessor: &'s mut Assessor<'m, 'a>, id: &'s PackageId, manifest: &'s Package, limit: State, deep: bool) -> Self {
        let mut done = Vec::new();
        done.resize_with(manifest.updates.len(), || None);
        let places = manifest.updates.iter().enumerate().rev();
        let places = places.map(|(number, update)| (update.name.to_ascii_lowercase(), number)).collect();
        Self { assessor, id, manifest, limit, deep, done, open: Vec::new(), places, older: None }
    }

    fn all(mut self) -> Result<Vec<UpdateAssessment>, PlanError> {
        for number in 0..self.done.len() {
            self.assess(number)?;
        }
        Ok(self.done.into_iter().flatten().collect())
    }

    fn assess(&mut self, number: usize) -> Result<(), PlanError> {
        let (Some(None), Some(update)) = (self.done.get(number), self.manifest.updates.get(number)) else { return Ok(()) };
        // Updates that follow each other in a circle, or in a chain beyond reason, are off.
        if self.open.contains(&number) || self.open.len() >= MAX_DEPTH {
            return Ok(());
        }
        self.open.push(number);
        let assessed = self.assess_update(update);
        self.open.pop();
        if let Some(place) = self.done.get_mut(number) {
            *place = Some(assessed?);
        }
        Ok(())
    }

    fn assess_update(&mut self, update: &Update) -> Result<UpdateAssessment, PlanError> {
        let model = self.assessor.model;
        let mut state = self.limit;
        let mut outcome = Outcome { met: true, newer: false, reasons: Vec::new() };
        if let Some(applicable) = &update.applicable {
            outcome = self.conditions(update, applicable)?;
            if !outcome.met {
                state = state.min(unmet(applicable));
            }
        }
        let mut reasons = outcome.reasons;
        let mut unwanted = false;
        if let Some(selectable) = &update.selectable {
            let (on, by) = self.selected(update, selectable)?;
            reasons.push(Reason::Selected { on, by });
            if !on {
                unwanted = model.unwanted.contains(&update.name.to_ascii_lowercase());
                state = state.min(if unwanted { State::ABSENT } else { State::STAGED });
            }
        }
        if reasons.is_empty() {
            reasons.push(if self.limit.is_installed() { Reason::Unconditional } else { Reason::Owner { state: self.limit } });
        }
        // What only waits must not fail for want of something to start from: it would be wanted only if that were there.
        if state == State::STAGED
            && model.update_state(self.id, update)? < State::STAGED
            && let Some(component) = model.lacks_base(self.id, update)?
        {
            state = State::ABSENT;
            reasons.push(Reason::NoBase { component });
        }
        let mut assessed = UpdateAssessment { state, unwanted, newer: outcome.newer, reasons, children: Vec::new(), missing: None };
        if state != State::ABSENT || unwanted {
            for payload in &update.payload {
                if let Payload::Package { identity, integrate, .. } = payload {
                    let id = PackageId::from(identity);
                    let visible = !integrate.as_deref().is_none_or(|word| word.eq_ignore_ascii_case("hidden"));
                    self.carry(&mut assessed, &id, visible)?;
                }
            }
        }
        Ok(assessed)
    }

    /// An update goes no further than the package that it carries.
    fn carry(&mut self, update: &mut UpdateAssessment, id: &PackageId, visible: bool) -> Result<(), PlanError> {
        match self.assessor.assess_within(id, update.state, self.deep)? {
            Some(assessment) => {
                // What was superseded after it was installed has done its part.
                let done = assessment.state == State::SUPERSEDED && self.assessor.model.state(id) == State::SUPERSEDED;
                if assessment.state < update.state && !done {
                    update.state = assessment.state;
                    update.reasons = assessment.reasons.clone();
                }
                update.children.push(Child { assessment, visible });
            }
            None => {
                if update.state.is_installed() {
                    update.missing = Some(id.clone());
                }
                update.state = State::ABSENT;
                update.reasons.push(Reason::Missing { package: id.clone() });
            }
        }
        Ok(())
    }

    fn conditions(&mut self, update: &Update, applicable: &Applicability) -> Result<Outcome, PlanError> {
        let model = self.assessor.model;
        let mut outcome = Outcome::default();
        if !applicable.components.is_empty() || !applicable.drivers.is_empty() {
            let kept = model.update_state(self.id, update)?.is_installed();
            outcome = applicability::components(model, applicable, kept)?;
        }
        for detection in &applicable.detections {
            if outcome.met {
                break;
            }
            let found = match self.own(update, detection) {
                Some((number, name)) => {
                    self.assess(number)?;
                    let on = self.done.get(number).and_then(Option::as_ref).is_some_and(|other| other.state.is_installed());
                    let reason = Reason::Feature { name: name.to_owned(), on, package: Some(self.id.clone()) };
                    Outcome { met: on, newer: false, reasons: vec![reason] }
                }
                None => applicability::feature(model, self.manifest, detection)?,
            };
            outcome.met = found.met;
            if found.met {
                outcome.reasons.clear();
                outcome.newer = false;
            }
            outcome.reasons.extend(found.reasons);
        }
        Ok(outcome)
    }

    /// The update of this package that a detection is about; one of its own name is that of another package.
    fn own<'d>(&self, update: &Update, detection: &'d Detection) -> Option<(usize, &'d str)> {
        let Detection::Update { name } = detection else { return None };
        if update.name.eq_ignore_ascii_case(name) {
            return None;
        }
        Some((*self.places.get(&name.to_ascii_lowercase())?, name))
    }

    /// Whether a feature is on, and who says so: the request; the image, where the feature could have been on; the older version of
    /// the package; the manifest.
    fn selected(&mut self, update: &Update, selectable: &Selectable) -> Result<(bool, Selector), PlanError> {
        let model = self.assessor.model;
        let name = update.name.to_ascii_lowercase();
        if let Some(selected) = model.selected.get(&name) {
            return Ok(*selected);
        }
        if model.state(self.id).is_installed() {
            let on = model.update_state(self.id, update)?.is_installed();
            if on || self.could_be_on(update)? {
                return Ok((on, Selector::Image));
            }
        } else if let Some(on) = self.older()?.get(&name) {
            return Ok((*on, Selector::OlderVersion));
        }
        Ok((selectable.detect_none.unwrap_or(false), Selector::Default))
    }

    fn older(&mut self) -> Result<&HashMap<String, bool>, PlanError> {
        if self.older.is_none() {
            let model = self.assessor.model;
            let mut found = HashMap::new();
            let versions = model.versions(self.id).rev();
            for (id, known) in versions.filter(|(id, _)| id.version < self.id.version) {
                let Some(manifest) = model.manifest(id)?.filter(|_| model.is_effective(id, known.state)) else { continue };
                for update in manifest.features() {
                    let on = model.update_state(id, update)?.is_installed();
                    found.entry(update.name.to_ascii_lowercase()).or_insert(on);
                }
            }
            self.older = Some(found);
        }
        Ok(self.older.get_or_insert_default())
    }

    /// Whether what a feature follows is on in the model as it stands: only then its being off means something.
    fn could_be_on(&self, update: &Update) -> Result<bool, PlanError> {
        let model = self.assessor.model;
        let Some(applicable) = update.applicable.as_ref().filter(|applicable| !applicable.detections.is_empty()) else { return Ok(true) };
        for detection in &applicable.detections {
            let met = match self.own(update, detection).and_then(|(number, _)| self.manifest.updates.get(number)) {
                Some(other) => model.update_state(self.id, other)?.is_installed(),
                None => applicability::feature(model, self.manifest, detection)?.met,
            };
            if met {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What becomes of an update whose conditions are not met. What follows a feature waits in the store for it, whatever the manifest
/// says: features of an image can be turned on without its medium. Otherwise `disposition="staged"` waits, too: of an update for
/// both branches of a component, the one that does not apply.
fn unmet(applicable: &Applicability) -> State {
    let waits = !applicable.detections.is_empty() || applicable.disposition == Some(Disposition::Staged);
    if waits { State::STAGED } else { State::ABSENT }
}

//! The image as it will be: what its store says, and every decision so far.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use wimwright_format::manifest::component::File;
use wimwright_format::manifest::package::{Payload, Update};
use wimwright_format::manifest::{Component, Identity, Package, PackageId, Version};

use super::super::source::{PackageSource, PayloadForm};
use super::super::state::State;
use super::super::store::{Store, StoreError, payload_path};
use super::error::PlanError;
use super::verdict::Selector;

/// Components in the closure of one deployment at most; all of Windows has 30,000.
const MAX_CLOSURE: usize = 200_000;

/// A package in the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Its state.
    pub state: State,
    /// Whether it is listed.
    pub visible: bool,
    /// Who owns it.
    pub owners: BTreeSet<PackageId>,
}

/// The deliveries by the packages in them.
type Deliveries = HashMap<PackageId, usize>;

/// An update's name as one of its packages spells it, and its packages.
#[derive(Clone)]
struct Named {
    name: String,
    packages: BTreeSet<PackageId>,
}

impl Named {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), packages: BTreeSet::new() }
    }
}

/// The image as it will be.
#[derive(Clone)]
pub(super) struct Model<'a> {
    pub store: &'a Store,
    pub sources: &'a [PackageSource],
    delivered: Arc<Deliveries>,
    /// Deliveries whose packages are preferred, since the plan installs them.
    chosen: Deliveries,
    pub packages: BTreeMap<PackageId, Known>,
    /// States of updates that the image records, by package and name in lower case.
    recorded: Arc<HashMap<(PackageId, String), State>>,
    /// Those that were decided.
    decided: HashMap<(PackageId, String), State>,
    /// Packages that have an update of a name (lower case), as far as known without reading every manifest.
    named: HashMap<String, Named>,
    /// Versions that were decided to be installed, by family and `major.minor`.
    winners: HashMap<(String, String), Version>,
    /// Features that the request is about, in lower case.
    pub selected: HashMap<String, (bool, Selector)>,
    /// Features whose files are to leave the image, in lower case.
    pub unwanted: HashSet<String>,
}

impl<'a> Model<'a> {
    pub(super) fn new(store: &'a Store, sources: &'a [PackageSource]) -> Self {
        let mut numbers: Vec<usize> = (0..sources.len()).collect();
        super::order::sort(&mut numbers, sources);
        let mut delivered = Deliveries::new();
        for number in numbers {
            for (id, _) in sources.get(number).into_iter().flat_map(PackageSource::packages) {
                delivered.entry(id.clone()).or_insert(number);
            }
        }
        let mut packages = BTreeMap::new();
        let mut recorded = HashMap::new();
        let mut named: HashMap<String, Named> = HashMap::new();
        for (id, record) in store.packages() {
            for (name, state) in &record.updates {
                recorded.insert((id.clone(), name.to_ascii_lowercase()), *state);
                named.entry(name.to_ascii_lowercase()).or_insert_with(|| Named::new(name)).packages.insert(id.clone());
            }
            let owners = record.owners.keys().cloned().collect();
            packages.insert(id.clone(), Known { state: record.state, visible: record.visible, owners });
        }
        Self {
            store,
            sources,
            delivered: Arc::new(delivered),
            chosen: Deliveries::new(),
            packages,
            recorded: Arc::new(recorded),
            decided: HashMap::new(),
            named,
            winners: HashMap::new(),
            selected: HashMap::new(),
            unwanted: HashSet::new(),
        }
    }

    /// The state of a package.
    pub(super) fn state(&self, id: &PackageId) -> State {
        self.packages.get(id).map_or(State::ABSENT, |known| known.state)
    }

    /// All versions of a package, oldest first.
    pub(super) fn versions<'m>(&'m self, id: &PackageId) -> impl DoubleEndedIterator<Item = (&'m PackageId, &'m Known)> + use<'m, 'a> {
        self.packages.range(id.with_version(Version::ZERO)..=id.with_version(Version([u16::MAX; 4])))
    }

    /// The newest version that is installed, if it is newer.
    pub(super) fn newer(&self, id: &PackageId) -> Option<&PackageId> {
        self.versions(id).rev().find(|(other, known)| known.state.is_installed() && other.version > id.version).map(|(other, _)| other)
    }

    /// True when it has effect, or had it until a newer version of the same package took over.
    pub(super) fn is_effective(&self, id: &PackageId, state: State) -> bool {
        state.is_installed() || state == State::SUPERSEDED && self.newer(id).is_some()
    }

    /// The manifest of a package of the store or of a delivery; `None` when it is nowhere.
    pub(super) fn manifest(&self, id: &PackageId) -> Result<Option<Arc<Package>>, PlanError> {
        if self.store.packages().contains_key(id) {
            match self.store.package_manifest(id) {
                Ok(manifest) => return Ok(Some(manifest)),
                // Registered without its manifest: what depends on it is an error, all else is said (`lacks_manifest`).
                Err(StoreError::NoPackageManifest { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.delivery(id).and_then(|source| source.package(id)).map(|package| package.manifest.clone()))
    }

    /// True for a package of the store whose manifest is neither there nor delivered: the store is damaged.
    pub(super) fn lacks_manifest(&self, id: &PackageId) -> bool {
        let known = self.store.packages().get(id).is_some_and(|record| record.state.is_staged());
        known && !self.store.has_package_manifest(id) && self.delivery(id).is_none()
    }

    /// The delivery that has a package.
    pub(super) fn delivery(&self, id: &PackageId) -> Option<&'a PackageSource> {
        self.delivery_number(id).and_then(|number| self.sources.get(number))
    }

    /// The number of the delivery that has a package.
    pub(super) fn delivery_number(&self, id: &PackageId) -> Option<usize> {
        self.chosen.get(id).or_else(|| self.delivered.get(id)).copied()
    }

    /// A delivery is installed: what is in it comes from there, unless it came from an earlier one.
    pub(super) fn choose(&mut self, number: usize) {
        for (id, _) in self.sources.get(number).into_iter().flat_map(PackageSource::packages) {
            self.chosen.entry(id.clone()).or_insert(number);
        }
    }

    /// The state of an update.
    pub(super) fn update_state(&self, package: &PackageId, update: &Update) -> Result<State, PlanError> {
        let key = (package.clone(), update.name.to_ascii_lowercase());
        match self.decided.get(&key).or_else(|| self.recorded.get(&key)) {
            Some(state) => Ok(*state),
            None => Ok(self.store.update_state(package, update)?),
        }
    }

    /// True when a decision was made about the update.
    pub(super) fn is_decided(&self, package: &PackageId, update: &Update) -> bool {
        self.decided.contains_key(&(package.clone(), update.name.to_ascii_lowercase()))
    }

    /// Decides the state of an update.
    pub(super) fn decide(&mut self, package: &PackageId, update: &Update, state: State) -> Result<(), PlanError> {
        let name = update.name.to_ascii_lowercase();
        self.named.entry(name.clone()).or_insert_with(|| Named::new(&update.name)).packages.insert(package.clone());
        self.decided.insert((package.clone(), name), state);
        if state.is_installed() {
            for payload in &update.payload {
                if let Payload::Component(identity) | Payload::Driver { identity, .. } = payload {
                    self.install(package, identity)?;
                }
            }
        }
        Ok(())
    }

    /// Packages with an update of that name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &PackageId> {
        self.named.get(&name.to_ascii_lowercase()).into_iter().flat_map(|named| &named.packages)
    }

    /// All names of updates that are known.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.named.values().map(|named| named.name.as_str())
    }

    /// The version of a component's family that wins in its `major.minor`.
    pub(super) fn winner(&self, identity: &Identity) -> Result<Option<Version>, PlanError> {
        let decided = self.winners.get(&(identity.family_key(), identity.version.bucket())).copied();
        let stored = self.store.winner(identity)?.map(|winner| winner.version);
        Ok(decided.max(stored))
    }

    /// Raises the winners of everything that a deployment stands for.
    fn install(&mut self, package: &PackageId, deployment: &Identity) -> Result<(), PlanError> {
        for (_, component) in self.closure(package, deployment)? {
            let identity = &component.identity;
            let winner = self.winners.entry((identity.family_key(), identity.version.bucket())).or_insert(identity.version);
            *winner = identity.version.max(*winner);
        }
        Ok(())
    }

    /// The components that a deployment stands for, with their keyforms. What is nowhere is an error of the installer, which names it.
    fn closure(&self, package: &PackageId, deployment: &Identity) -> Result<Vec<(String, Arc<Component>)>, PlanError> {
        let source = self.delivery(package);
        let mut open = vec![deployment.clone()];
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        while let Some(identity) = open.pop() {
            let keyform = identity.keyform();
            if !seen.insert(keyform.clone()) || seen.len() > MAX_CLOSURE {
                continue;
            }
            let component: Option<Arc<Component>> = match source.filter(|source| source.has_component(&keyform)) {
                Some(source) => Some(source.component(&keyform)?.component),
                None => self.store.component(&keyform)?.map(|found| found.component),
            };
            let Some(component) = component else { continue };
            open.extend(component.install_dependencies().cloned());
            if !component.is_deployment {
                found.push((keyform, component));
            }
        }
        Ok(found)
    }

    /// A component of an update that comes as a differential, and of which the image has no file to start from: it never had the component,
    /// or its files were removed with a feature.
    pub(super) fn lacks_base(&self, package: &PackageId, update: &Update) -> Result<Option<String>, PlanError> {
        let Some(source) = self.delivery(package) else { return Ok(None) };
        for payload in &update.payload {
            let (Payload::Component(deployment) | Payload::Driver { identity: deployment, .. }) = payload else { continue };
            for (keyform, component) in self.closure(package, deployment)? {
                let form = |file: &File| source.payload_form(&keyform, file.payload_name());
                let mut differentials = component.files.iter().filter(|file| matches!(form(file), Some(PayloadForm::Forward { .. })));
                if self.winner(&component.identity)?.is_none() && differentials.any(|file| !self.has_file(&component.identity, file)) {
                    return Ok(Some(keyform));
                }
            }
        }
        Ok(None)
    }

    /// True when the store has the file in any version of the component.
    fn has_file(&self, identity: &Identity, file: &File) -> bool {
        let versions = self.store.payload_versions(identity).into_iter();
        let mut keyforms = versions.map(|version| Identity { version, ..identity.clone() }.keyform());
        keyforms.any(|keyform| self.store.tree().at(&payload_path(&keyform, file.payload_name())).is_some())
    }
}

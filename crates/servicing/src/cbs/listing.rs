//! What a store offers to people: packages, features and capabilities, each with its state.
//!
//! The registry says what is known and how far it has come ([`Listing::of_registry`]): quick, and enough to count and to compare.
//! The package manifests add what each thing is called and what it is for, and the features that the registry does not name
//! ([`Listing::read`]).
//!
//! A feature may be in several packages: in the versions of one, and in the satellites that follow it to a language. It is one
//! feature nevertheless, in the state that the furthest of them has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use wimwright_format::manifest::{Package, PackageId, package::Update};
use wimwright_format::regf::{self, Hive};
use wimwright_image::registry::{self, HiveFile};

use super::state::State;
use super::store::{PackageRecord, SERVICING, Store, StoreError, hive_error};

/// The manifests of packages, as far as they were read.
type Manifests = BTreeMap<PackageId, Arc<Package>>;

/// Everything that `dism /Get-Packages`, `/Get-Features` and `/Get-Capabilities` list, each sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Packages, the hidden ones too.
    pub packages: Vec<ListedPackage>,
    /// Features.
    pub features: Vec<ListedFeature>,
    /// Capabilities that packages of the image declare. Those that could be fetched, which DISM lists as `Not Present`, stand in the
    /// metadata of a source, not in the image.
    pub capabilities: Vec<ListedCapability>,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPackage {
    /// Who it is.
    pub id: PackageId,
    /// How far it has come.
    pub state: State,
    /// True when DISM lists it.
    pub visible: bool,
    /// When it was installed, FILETIME; 0 when not stated.
    pub installed: u64,
    /// `releaseType` of its manifest; empty when not stated or not read.
    pub release_type: String,
}

/// A feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFeature {
    /// Its name.
    pub name: String,
    /// How far it has come.
    pub state: State,
    /// The package that has it: of several, the one whose state this is.
    pub package: PackageId,
}

/// A capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCapability {
    /// `Name~~~language~version`.
    pub name: String,
    /// The state of the furthest of its packages.
    pub state: State,
    /// The packages that bring it.
    pub packages: Vec<PackageId>,
}

impl Listing {
    /// What the SOFTWARE hive says.
    ///
    /// # Errors
    /// It is damaged.
    pub fn of_registry(software: &Hive) -> Result<Self, regf::Error> {
        Self::build(software, &PackageRecord::read_all(software)?, &BTreeMap::new())
    }

    /// The same, completed from the package manifests. A manifest that is missing or damaged adds nothing: that is for the health check
    /// to report.
    ///
    /// # Errors
    /// A hive is damaged, or bytes of the image cannot be had.
    pub fn read(store: &Store) -> Result<Self, StoreError> {
        let manifests = store.package_manifests()?;
        let mut listing = Self::build(store.software_hive(), store.packages(), &manifests).map_err(hive_error(HiveFile::Software))?;
        let mut known: HashSet<String> = listing.features.iter().map(|feature| feature.name.to_ascii_lowercase()).collect();
        for (id, manifest) in &manifests {
            let offers = store.packages().get(id).is_some_and(|record| record.state.is_staged());
            for feature in manifest.features().filter(|_| offers) {
                if known.insert(feature.name.to_ascii_lowercase()) {
                    let state = state_without_record(store, id, feature)?;
                    listing.features.push(ListedFeature { name: feature.name.clone(), state, package: id.clone() });
                }
            }
        }
        listing.features.sort_by_cached_key(|feature| feature.name.to_ascii_lowercase());
        Ok(listing)
    }

    fn build(software: &Hive, records: &BTreeMap<PackageId, PackageRecord>, manifests: &Manifests) -> Result<Self, regf::Error> {
        let manifest = |id: &PackageId| manifests.get(id).map(Arc::as_ref);
        let listed = |(id, record): (&PackageId, &PackageRecord)| ListedPackage {
            id: id.clone(),
            state: record.state,
            visible: record.visible,
            installed: record.installed,
            release_type: manifest(id).and_then(|manifest| manifest.release_type.clone()).unwrap_or_default(),
        };
        let mut features: HashMap<String, ListedFeature> = HashMap::new();
        for (id, record) in records.iter().filter(|(_, record)| !record.updates.is_empty()) {
            // The manifest knows which of its updates are features.
            let is_feature = |update: &Update| (update.name.to_ascii_lowercase(), update.selectable.is_some());
            let updates = manifest(id).map(|manifest| manifest.updates.iter().rev().map(is_feature).collect::<HashMap<_, _>>());
            for (name, state) in record.updates.iter().filter(|(name, _)| is_feature_name(name)) {
                if updates.as_ref().and_then(|updates| updates.get(&name.to_ascii_lowercase())) == Some(&false) {
                    continue;
                }
                let found = ListedFeature { name: name.clone(), state: *state, package: id.clone() };
                features
                    .entry(name.to_ascii_lowercase())
                    .and_modify(|known| {
                        if (known.state, known.package.version) <= (found.state, found.package.version) {
                            *known = found.clone();
                        }
                    })
                    .or_insert(found);
            }
        }
        let mut features: Vec<_> = features.into_values().collect();
        features.sort_by_cached_key(|feature| feature.name.to_ascii_lowercase());
        Ok(Self { packages: records.iter().map(listed).collect(), features, capabilities: capabilities(software, records, manifests)? })
    }

    /// The package of an identity.
    #[must_use]
    pub fn package(&self, identity: &str) -> Option<&ListedPackage> {
        self.packages.iter().find(|package| package.id.to_string().eq_ignore_ascii_case(identity))
    }

    /// The feature of a name.
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<&ListedFeature> {
        self.features.iter().find(|feature| feature.name.eq_ignore_ascii_case(name))
    }

    /// The capability of a name.
    #[must_use]
    pub fn capability(&self, name: &str) -> Option<&ListedCapability> {
        self.capabilities.iter().find(|capability| capability.name.eq_ignore_ascii_case(name))
    }
}

/// `CapabilityIndex` has a key for each capability, with a value for each package that brings it, named like the package
/// (public readers of the key: `docs/reference/inventory.md`). The manifests say the same by `declareCapability`.
fn capabilities(
    software: &Hive,
    records: &BTreeMap<PackageId, PackageRecord>,
    manifests: &Manifests,
) -> Result<Vec<ListedCapability>, regf::Error> {
    let mut found: BTreeMap<String, ListedCapability> = BTreeMap::new();
    let mut add = |name: &str, package: Option<PackageId>| {
        let empty = || ListedCapability { name: name.to_owned(), state: State::ABSENT, packages: Vec::new() };
        let capability = found.entry(name.to_ascii_lowercase()).or_insert_with(empty);
        if let Some(package) = package.filter(|package| !capability.packages.contains(package)) {
            let state = records.get(&package).map_or(State::ABSENT, |record| record.state);
            // A newer package supersedes the older one of the same capability.
            capability.state = capability.state.max(state);
            capability.packages.push(package);
        }
    };
    let index = format!("{SERVICING}\\CapabilityIndex");
    for name in registry::subkey_names(software, &index)? {
        add(&name, None);
        let Some(key) = software.open(&format!("{index}\\{name}"))? else { continue };
        software.values(key)?.iter().for_each(|value| add(&name, value.name().parse().ok()));
    }
    for (id, manifest) in manifests {
        for capability in manifest.capabilities.iter().flat_map(|declared| &declared.capabilities) {
            add(&manifest.capability_name(capability), Some(id.clone()));
        }
    }
    Ok(found.into_values().collect())
}

/// The state of a feature that its package's `Updates` key does not name: what its deployment is referred to for. One that carries
/// nothing is as far as its package, but not on.
fn state_without_record(store: &Store, package: &PackageId, feature: &Update) -> Result<State, StoreError> {
    if feature.payload.is_empty() { Ok(State::STAGED) } else { store.update_state(package, feature) }
}

/// Updates whose name is a GUID or a hash are internal; features have names.
fn is_feature_name(name: &str) -> bool {
    !name.is_empty() && !name.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'{' | b'}'))
}

//! From packages to deployments, components and winners: everything that a plan touches in the store, before anything is written.
//!
//! A deployment is there as long as updates refer to it; a component as long as deployments do (`c!`); a version of a component is
//! installed as long as one of its deployments is referred to as installed (`i!`). All of it is counted anew here.

use std::collections::{BTreeMap, BTreeSet};

use wimwright_format::manifest::package::Payload;
use wimwright_format::manifest::store_name::{Reference, ReferenceKind};
use wimwright_format::manifest::{Identity, Version};
use wimwright_format::regf;
use wimwright_image::registry::HiveFile;

use super::InstallError;
use crate::cbs::plan::PackageChange;
use crate::cbs::source::{PackageSource, SourceComponent};
use crate::cbs::state::State;
use crate::cbs::store::{self, COMPONENTS, Store, StoreError, Winner};

/// Most components that one deployment may stand for. The largest real ones have some thousand.
const MOST_COMPONENTS: usize = 100_000;

/// A component that the plan concerns.
pub(super) struct Touched {
    /// Its manifest.
    pub manifest: SourceComponent,
    /// The delivery that has its files; `None` when they are in the store.
    pub source: Option<usize>,
    /// True when its manifest and files are to be put into the store.
    pub stage: bool,
    /// Deployments that it belongs to from now on.
    pub added: BTreeSet<String>,
    /// Deployments that it belongs to no more.
    pub dropped: BTreeSet<String>,
}

/// A deployment whose references change.
pub(super) struct DeploymentChange {
    /// Its identity.
    pub identity: Identity,
    /// SHA-256 of the catalog that vouches for it.
    pub catalog: Option<String>,
    /// True when COMPONENTS has a key for it.
    pub existed: bool,
    /// References that it gets: name of the value, data.
    pub added: BTreeMap<String, Vec<u8>>,
    /// References that it loses, by the name of the value in lower case.
    pub removed: BTreeSet<String>,
    /// References that it has afterwards, by the name of the value in lower case.
    pub references: BTreeSet<String>,
    /// All components that it stands for, itself among them.
    pub closure: Vec<String>,
}

impl DeploymentChange {
    /// True when an update has it installed.
    pub fn is_installed(&self) -> bool {
        self.references.iter().any(|name| name.starts_with("i!"))
    }

    /// True when nothing refers to it any more.
    pub fn is_dropped(&self) -> bool {
        self.references.is_empty()
    }
}

/// A component family whose winner may change, within one `major.minor`.
pub(super) struct FamilyChange {
    /// Identity of any version.
    pub identity: Identity,
    /// What there was.
    pub before: Option<Winner>,
    /// What there is.
    pub after: Option<Winner>,
}

/// What a plan touches.
#[derive(Default)]
pub(super) struct Resolution {
    pub components: BTreeMap<String, Touched>,
    pub deployments: BTreeMap<String, DeploymentChange>,
    /// By key of the family and `major.minor`.
    pub families: BTreeMap<(String, String), FamilyChange>,
}

/// Where components are looked up.
pub(super) struct Resolver<'a> {
    pub store: &'a Store,
    pub sources: &'a [PackageSource],
}

impl Resolver<'_> {
    pub fn resolve(&self, changes: &[PackageChange]) -> Result<Resolution, InstallError> {
        let mut resolution = Resolution::default();
        for change in changes {
            self.add_package(change, &mut resolution)?;
        }
        self.count_deployments(&mut resolution)?;
        self.count_versions(&mut resolution)?;
        Ok(resolution)
    }

    fn add_package(&self, change: &PackageChange, resolution: &mut Resolution) -> Result<(), InstallError> {
        for update_change in &change.updates {
            let update = change.manifest.updates.get(update_change.update);
            let update =
                update.ok_or_else(|| InstallError::NoUpdate { package: change.package.to_string(), update: update_change.update })?;
            let reference = Reference::new(&change.package, &update.name);
            for payload in &update.payload {
                let (Payload::Component(identity) | Payload::Driver { identity, .. }) = payload else { continue };
                let key = identity.deployment_key();
                if !resolution.deployments.contains_key(&key) {
                    let opened = self.open_deployment(change, identity, &key, resolution)?;
                    resolution.deployments.insert(key.clone(), opened);
                }
                let Some(deployment) = resolution.deployments.get_mut(&key) else { continue };
                let kinds: &[ReferenceKind] = match update_change.after {
                    State::INSTALLED | State::PERMANENT => &[ReferenceKind::Planned, ReferenceKind::Staged, ReferenceKind::Installed],
                    state if state.is_staged() => &[ReferenceKind::Planned, ReferenceKind::Staged],
                    _ => &[],
                };
                for kind in [ReferenceKind::Planned, ReferenceKind::Staged, ReferenceKind::Installed] {
                    let name = reference.value_name(kind);
                    let folded = name.to_ascii_lowercase();
                    if kinds.contains(&kind) {
                        if deployment.references.insert(folded.clone()) {
                            deployment.added.insert(name, reference.data());
                        }
                        deployment.removed.remove(&folded);
                    } else if deployment.references.remove(&folded) {
                        deployment.added.remove(&name);
                        deployment.removed.insert(folded);
                    }
                }
                if change.source.is_some() && deployment.catalog.is_none() {
                    deployment.catalog = self.catalog_of(change);
                }
            }
        }
        Ok(())
    }

    fn catalog_of(&self, change: &PackageChange) -> Option<String> {
        self.sources.get(change.source?)?.package(&change.package)?.catalog_thumbprint()
    }

    fn open_deployment(
        &self,
        change: &PackageChange,
        identity: &Identity,
        key: &str,
        resolution: &mut Resolution,
    ) -> Result<DeploymentChange, InstallError> {
        let known = self.store.deployment(key)?;
        let existed = known.is_some();
        let known = known.unwrap_or_default();
        let removing = !change.after.is_staged();
        let closure = self.closure(change, identity, removing, resolution)?;
        Ok(DeploymentChange {
            identity: identity.clone(),
            catalog: known.catalog,
            existed,
            added: BTreeMap::new(),
            removed: BTreeSet::new(),
            references: known.references.keys().map(|name| name.to_ascii_lowercase()).collect(),
            closure,
        })
    }

    /// The deployment with all components that it stands for. What is being removed may have lost manifests already.
    fn closure(
        &self,
        change: &PackageChange,
        root: &Identity,
        removing: bool,
        resolution: &mut Resolution,
    ) -> Result<Vec<String>, InstallError> {
        let mut closure = BTreeSet::new();
        // The way down from the deployment, each step with what is still to be looked at below it.
        let mut way = vec![(String::new(), vec![root.clone()])];
        let mut on_way = BTreeSet::new();
        while let Some((above, below)) = way.last_mut() {
            let Some(identity) = below.pop() else {
                on_way.remove(above);
                way.pop();
                continue;
            };
            let keyform = identity.keyform();
            if on_way.contains(&keyform) {
                return Err(InstallError::Cycle { package: change.package.to_string(), component: keyform });
            }
            if !closure.insert(keyform.clone()) {
                continue;
            }
            if closure.len() > MOST_COMPONENTS {
                return Err(InstallError::TooManyComponents { package: change.package.to_string(), limit: MOST_COMPONENTS });
            }
            if !resolution.components.contains_key(&keyform) {
                match self.find(change, &keyform)? {
                    Some(touched) => {
                        resolution.components.insert(keyform.clone(), touched);
                    }
                    None if removing => continue,
                    None => {
                        return Err(InstallError::NoComponent { package: change.package.to_string(), component: keyform });
                    }
                }
            }
            if let Some(touched) = resolution.components.get(&keyform) {
                let below = touched.manifest.component.install_dependencies().cloned().collect();
                on_way.insert(keyform.clone());
                way.push((keyform, below));
            }
        }
        Ok(closure.into_iter().collect())
    }

    /// A component: in the delivery of the package, in the store, or in any other delivery.
    fn find(&self, change: &PackageChange, keyform: &str) -> Result<Option<Touched>, InstallError> {
        let others = 0..self.sources.len();
        let source = change
            .source
            .into_iter()
            .chain(others)
            .find(|number| self.sources.get(*number).is_some_and(|source| source.has_component(keyform)));
        let stored = if self.store.has_component(keyform) { self.store.component(keyform)? } else { None };
        let delivered = match source.and_then(|number| self.sources.get(number)) {
            Some(source) => Some(source.component(keyform)?),
            None => None,
        };
        let (manifest, stage) = match (stored, delivered) {
            (Some(stored), delivered) => {
                let complete = self.has_payload(keyform, &stored);
                if let Some(delivered) = &delivered
                    && delivered.sha256 != stored.sha256
                {
                    return Err(InstallError::DifferentComponent { component: keyform.to_owned() });
                }
                if !complete && delivered.is_none() && change.after.is_staged() {
                    return Err(InstallError::NoPayload { package: change.package.to_string(), component: keyform.to_owned() });
                }
                (stored, !complete && delivered.is_some())
            }
            (None, Some(delivered)) => (delivered, true),
            (None, None) => return Ok(None),
        };
        Ok(Some(Touched { manifest, source, stage, added: BTreeSet::new(), dropped: BTreeSet::new() }))
    }

    /// True when every file of the component is in the store.
    fn has_payload(&self, keyform: &str, manifest: &SourceComponent) -> bool {
        manifest.component.files.iter().all(|file| self.store.tree().at(&store::payload_path(keyform, file.payload_name())).is_some())
    }

    /// Which components belong to which deployments from now on.
    fn count_deployments(&self, resolution: &mut Resolution) -> Result<(), InstallError> {
        for (key, deployment) in &resolution.deployments {
            for keyform in &deployment.closure {
                let Some(touched) = resolution.components.get_mut(keyform) else { continue };
                let set = if deployment.is_dropped() { &mut touched.dropped } else { &mut touched.added };
                set.insert(key.clone());
            }
        }
        Ok(())
    }

    /// Which versions are installed from now on, and which win.
    fn count_versions(&self, resolution: &mut Resolution) -> Result<(), InstallError> {
        let mut concerned = BTreeSet::new();
        for deployment in resolution.deployments.values() {
            let gains = deployment.added.keys().any(|name| name.starts_with("i!"));
            let loses = deployment.removed.iter().any(|name| name.starts_with("i!"));
            if gains || loses {
                concerned.extend(deployment.closure.iter().cloned());
            }
        }
        for keyform in concerned {
            let Some(touched) = resolution.components.get(&keyform) else { continue };
            let identity = touched.manifest.component.identity.clone();
            let mut installed = false;
            let known = component_deployments(self.store, &keyform)?;
            for key in known.iter().chain(&touched.added) {
                installed |= match resolution.deployments.get(key) {
                    Some(deployment) => deployment.is_installed(),
                    None => {
                        let deployment = self.store.deployment(key)?.unwrap_or_default();
                        deployment.references.keys().any(|name| name.to_ascii_lowercase().starts_with("i!"))
                    }
                };
            }
            let place = (identity.family_key(), store::bucket(identity.version));
            if !resolution.families.contains_key(&place) {
                let before = self.store.winner(&identity)?;
                let after = before.clone();
                resolution.families.insert(place.clone(), FamilyChange { identity: identity.clone(), before, after });
            }
            let Some(family) = resolution.families.get_mut(&place) else { continue };
            let mut versions: BTreeSet<Version> =
                family.after.take().map(|winner| winner.installed.into_iter().collect()).unwrap_or_default();
            if installed {
                versions.insert(identity.version);
            } else {
                versions.remove(&identity.version);
            }
            family.after = versions.last().map(|version| Winner { version: *version, installed: versions.iter().copied().collect() });
        }
        resolution.families.retain(|_, family| family.before != family.after);
        Ok(())
    }
}

/// Keys of the deployments that a component belongs to (`c!` values), in lower case.
pub(super) fn component_deployments(store: &Store, keyform: &str) -> Result<BTreeSet<String>, StoreError> {
    let read = || -> Result<BTreeSet<String>, regf::Error> {
        let Some(hive) = store.components_hive() else { return Ok(BTreeSet::new()) };
        let Some(key) = hive.open(&format!("{COMPONENTS}\\{keyform}"))? else { return Ok(BTreeSet::new()) };
        let names = hive.values(key)?.into_iter().map(|value| value.name().to_ascii_lowercase());
        Ok(names.filter_map(|name| name.strip_prefix("c!").map(str::to_owned)).collect())
    };
    read().map_err(|source| StoreError::Hive { path: HiveFile::Components.path(), source })
}

//! Carrying a plan out: files, hives, links.
//!
//! In three parts, so that nothing is half done: what is touched is [resolved](resolve), every byte is [made and proven](payload), and
//! only then the image is written: the [store](write), the [projection](project) of its winners into the image, the
//! [records](register) of packages. The image is a value: an error leaves the caller's as it was.

mod claims;
mod first_boot;
mod payload;
mod project;
mod register;
mod resolve;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use wimwright_format::manifest::PackageId;
use wimwright_image::{EditError, Image, ImageError, ImagePath, PathError};

use super::effects::{self, Deferred, EffectError, Effects};
use super::plan::PackageChange;
use super::source::{PackageSource, Signature, SourceError};
use super::state::State;
use super::store::{Store, StoreError};
use crate::step::{Certainty, StepError};
use first_boot::Waiting;
pub(super) use payload::{Sought, single_files};
pub(super) use resolve::component_deployments;
use resolve::{Resolution, Resolver};

/// Parts that an error names; a cumulative update may have thousands.
const MOST_NAMED: usize = 10;

/// Why a plan cannot be carried out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The image cannot be read or written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The tree cannot be changed like that.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A file or directory cannot be placed.
    #[error(transparent)]
    Place(#[from] StepError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A delivery cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A component's manifest has no known meaning.
    #[error(transparent)]
    Effects(#[from] EffectError),
    /// A path of a component is none.
    #[error("component {component} names a path that no image has")]
    Path {
        /// Keyform of the component.
        component: String,
        /// What is wrong.
        source: PathError,
    },
    /// The plan names an update that the package does not have.
    #[error("package {package} has no update number {update}")]
    NoUpdate {
        /// The package.
        package: String,
        /// The number.
        update: usize,
    },
    /// A component is nowhere.
    #[error("package {package} needs the component {component}, which is neither in the image nor in what was delivered")]
    NoComponent {
        /// The package.
        package: String,
        /// Keyform of the component.
        component: String,
    },
    /// The files of a component were removed from the store.
    #[error("package {package} needs the files of {component}, which were removed from the image's store, and no delivery has them")]
    NoPayload {
        /// The package.
        package: String,
        /// Keyform of the component.
        component: String,
    },
    /// One name, two manifests.
    #[error("the image and the delivery have different manifests of {component}: one of them is damaged or forged")]
    DifferentComponent {
        /// Keyform of the component.
        component: String,
    },
    /// A component needs what needs the component.
    #[error("the component {component}, which package {package} needs, depends on itself")]
    Cycle {
        /// The package.
        package: String,
        /// Keyform of the component.
        component: String,
    },
    /// More components than any package has.
    #[error("a deployment of package {package} stands for more than {limit} components")]
    TooManyComponents {
        /// The package.
        package: String,
        /// The limit.
        limit: usize,
    },
    /// A payload file is not in the delivery.
    #[error("the file {file} of {component} is not in what was delivered")]
    NoFile {
        /// Keyform of the component.
        component: String,
        /// The file.
        file: String,
    },
    /// The manifest states no hash for a payload file.
    #[error("the manifest of {component} states no hash for {file}: nothing vouches for it")]
    NoHash {
        /// Keyform of the component.
        component: String,
        /// The file.
        file: String,
    },
    /// A payload file is not what the manifest states.
    #[error("the file {file} of {component} does not have the hash that its manifest states")]
    WrongHash {
        /// Keyform of the component.
        component: String,
        /// The file.
        file: String,
    },
    /// A differential is damaged.
    #[error("the differential of {file} of {component} is damaged: {why}")]
    Differential {
        /// Keyform of the component.
        component: String,
        /// The file.
        file: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A delta cannot be applied.
    #[error("the differential of {file} of {component} cannot be applied")]
    Delta {
        /// Keyform of the component.
        component: String,
        /// The file.
        file: String,
        /// Why.
        source: Box<wimwright_codec::delta::Error>,
    },
    /// No version that the image has is the base of a differential.
    #[error(
        "no base for the differential of {file} of {component}: the image has versions [{tried}]; an earlier cumulative update (a checkpoint) is missing"
    )]
    NoBase {
        /// Keyform of the component.
        component: String,
        /// The file.
        file: String,
        /// Versions that were tried.
        tried: String,
    },
    /// Work that Windows itself would have to do, and the recipe forbids it.
    #[error("{} can only be finished by Windows at its first start: {}", parts(*.count), .what)]
    Deferred {
        /// How many.
        count: usize,
        /// The first of them, by component.
        what: String,
    },
    /// Work that only Windows' own installers do, and that no tool has them do.
    #[error("{} can be finished neither here nor by a tool of Windows: {}", parts(*.count), .what)]
    NoTool {
        /// How many.
        count: usize,
        /// The first of them, by component.
        what: String,
    },
}

/// What happens to parts of components that only Windows' own installers can finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeferredPolicy {
    /// A script finishes them at the first start of Windows, with Windows' own tools. What no tool does is an error.
    #[default]
    Defer,
    /// The same, but what no tool does is left out, and reported as not done.
    Omit,
    /// All of them are an error.
    Fail,
}

/// How a plan is carried out.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The time that is written, FILETIME.
    pub time: u64,
    /// What happens to parts that only Windows can finish.
    pub deferred: DeferredPolicy,
}

/// What was done with a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageReport {
    /// The package.
    pub package: String,
    /// The file that it came from; `None` when the image had everything.
    pub file: Option<String>,
    /// Who vouches for it; `None` when the image had it.
    pub signature: Option<Signature>,
    /// Its state before.
    pub before: State,
    /// Its state after.
    pub after: State,
    /// Components that its updates stand for.
    pub components: usize,
    /// Names of files that were projected into the image for it.
    pub files: usize,
    /// Registry values that were set for it.
    pub values: usize,
    /// What was not done: Windows finishes it at its first start, or, where there is no command, nobody does.
    pub deferred: Vec<DeferredReport>,
    /// How sure it is.
    pub certainty: Certainty,
}

/// A part of a component that only Windows can finish.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DeferredReport {
    /// Keyform of the component.
    pub component: String,
    /// The part, by its element in the manifest.
    pub installer: String,
    /// Which file, task or channel.
    pub what: String,
    /// The command of the first start. Absent when no tool of Windows does it: then it is not done at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Why it is left to Windows.
    pub reason: String,
}

/// What happened for the sake of a component.
#[derive(Debug, Default)]
struct Done {
    files: usize,
    values: usize,
    deferred: Vec<Deferred>,
}

/// Carries out `changes` on the image that `store` was read from. Hives are edited, not yet committed.
///
/// # Errors
/// See [`InstallError`]. The image must then be thrown away; the caller keeps the one it cloned.
pub fn install(
    image: &mut Image,
    store: &Store,
    sources: &[PackageSource],
    changes: &[PackageChange],
    options: &Options,
) -> Result<Vec<PackageReport>, InstallError> {
    let resolution = Resolver { store, sources }.resolve(changes)?;
    let made = payload::make(&image.blobs, store, sources, &resolution)?;
    let effects = Known::read(store, &resolution)?;
    let left = project::left(&resolution, &effects, &Waiting::read(image)?);
    refuse_deferred(&left.added, options.deferred)?;
    let gone = write::stage(image, &resolution, &effects, made, options.time)?;
    let mut done = project::project(image, store, &resolution, &effects, &left, options.time)?;
    gone.remove(image)?;
    first_boot::update(image, &left, options.time)?;
    register::packages(image, sources, changes, &resolution, options.time)?;
    for (keyform, part) in left.added {
        done.entry(keyform).or_default().deferred.push(part);
    }
    Ok(report(sources, changes, &resolution, &done))
}

/// What [`install`] would leave to Windows, or not do, of each change; nothing is changed.
///
/// # Errors
/// The policy does not allow it; a component or deployment that the changes need is neither in the store nor delivered, or cannot be read.
pub fn foresee(
    image: &Image,
    store: &Store,
    sources: &[PackageSource],
    changes: &[PackageChange],
    policy: DeferredPolicy,
) -> Result<Vec<Vec<DeferredReport>>, InstallError> {
    let resolution = Resolver { store, sources }.resolve(changes)?;
    let left = project::left(&resolution, &Known::read(store, &resolution)?, &Waiting::read(image)?);
    refuse_deferred(&left.added, policy)?;
    let of_change = |change: &PackageChange| {
        let components = components_of(change, &resolution);
        let parts = left.added.iter().filter(|(keyform, _)| components.binary_search(&keyform).is_ok());
        parts.map(|(keyform, part)| DeferredReport::of(keyform, part)).collect()
    };
    Ok(changes.iter().map(of_change).collect())
}

/// Refuses what the policy does not leave to Windows, or leave out.
fn refuse_deferred(deferred: &[(String, Deferred)], policy: DeferredPolicy) -> Result<(), InstallError> {
    let refused = |(_, part): &&(String, Deferred)| match policy {
        DeferredPolicy::Defer => part.command.is_none(),
        DeferredPolicy::Omit => false,
        DeferredPolicy::Fail => true,
    };
    let refused: Vec<_> = deferred.iter().filter(refused).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let name = |(component, part): &&(String, Deferred)| format!("{} of {component}", part.installer);
    let mut what = refused.iter().take(MOST_NAMED).map(name).collect::<Vec<_>>().join(", ");
    let count = refused.len();
    if count > MOST_NAMED {
        what += ", …";
    }
    Err(if policy == DeferredPolicy::Fail { InstallError::Deferred { count, what } } else { InstallError::NoTool { count, what } })
}

fn parts(count: usize) -> String {
    if count == 1 { "one part".to_owned() } else { format!("{count} parts") }
}

/// The effects of all components that are staged, win or lose, by keyform.
struct Known {
    by_keyform: BTreeMap<String, Effects>,
}

impl Known {
    fn read(store: &Store, resolution: &Resolution) -> Result<Self, InstallError> {
        let mut by_keyform = BTreeMap::new();
        for (keyform, touched) in &resolution.components {
            by_keyform.insert(keyform.clone(), effects::effects(&touched.manifest.component, store.architecture)?);
        }
        for family in resolution.families.values() {
            for winner in [&family.before, &family.after].into_iter().flatten() {
                let keyform = family.keyform(winner.version);
                if by_keyform.contains_key(&keyform) {
                    continue;
                }
                // A version whose manifest is gone had been removed from the store: what it did cannot be undone any more.
                if let Some(manifest) = store.component(&keyform)? {
                    by_keyform.insert(keyform, effects::effects(&manifest.component, store.architecture)?);
                }
            }
        }
        Ok(Self { by_keyform })
    }

    fn get(&self, keyform: &str) -> Option<&Effects> {
        self.by_keyform.get(keyform)
    }
}

impl resolve::FamilyChange {
    fn keyform(&self, version: wimwright_format::manifest::Version) -> String {
        wimwright_format::manifest::Identity { version, ..self.identity.clone() }.keyform()
    }
}

fn image_path(component: &str, path: &str) -> Result<ImagePath, InstallError> {
    ImagePath::parse(path).map_err(|source| InstallError::Path { component: component.to_owned(), source })
}

fn report(
    sources: &[PackageSource],
    changes: &[PackageChange],
    resolution: &Resolution,
    done: &BTreeMap<String, Done>,
) -> Vec<PackageReport> {
    let one = |change: &PackageChange| {
        let source = change.source.and_then(|number| sources.get(number));
        let components = components_of(change, resolution);
        let of_package = || components.iter().filter_map(|keyform| Some((*keyform, done.get(*keyform)?)));
        let deferred: Vec<DeferredReport> = of_package()
            .flat_map(|(keyform, done)| done.deferred.iter().map(move |deferred| DeferredReport::of(keyform, deferred)))
            .collect();
        PackageReport {
            package: change.package.to_string(),
            file: source.map(|source| source.name.clone()),
            signature: source.and_then(|source| source.package(&change.package)).map(|package| package.signature.clone()),
            before: change.before,
            after: change.after,
            components: components.len(),
            files: of_package().map(|(_, done)| done.files).sum(),
            values: of_package().map(|(_, done)| done.values).sum(),
            certainty: if deferred.is_empty() { Certainty::Exact } else { Certainty::Deferred },
            deferred,
        }
    };
    changes.iter().map(one).collect()
}

/// Keyforms of the components that the changed updates of a package bring, in order.
fn components_of<'r>(change: &PackageChange, resolution: &'r Resolution) -> Vec<&'r String> {
    let deployments = deployments_of(change).filter_map(|key| resolution.deployments.get(&key));
    let mut components: Vec<_> = deployments.flat_map(|deployment| &deployment.closure).collect();
    components.sort();
    components.dedup();
    components
}

/// Keys of the deployments that the changed updates of a package carry.
fn deployments_of(change: &PackageChange) -> impl Iterator<Item = String> {
    use wimwright_format::manifest::package::Payload;
    let updates = change.updates.iter().filter_map(|update| change.manifest.updates.get(update.update));
    updates.flat_map(|update| &update.payload).filter_map(|payload| match payload {
        Payload::Component(identity) | Payload::Driver { identity, .. } => Some(identity.deployment_key()),
        Payload::Package { .. } | Payload::Capability(_) => None,
    })
}

impl DeferredReport {
    fn of(component: &str, deferred: &Deferred) -> Self {
        Self {
            component: component.to_owned(),
            installer: deferred.installer.clone(),
            what: deferred.what.clone(),
            command: deferred.command.clone(),
            reason: deferred.reason.to_owned(),
        }
    }
}

/// The key of a package with version 0.0.0.0, as indexes name it.
fn index_name(package: &PackageId) -> String {
    package.with_version(wimwright_format::manifest::Version::ZERO).to_string()
}

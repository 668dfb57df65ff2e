//! The step `packages`: updates, capabilities, features, removal, cleanup, in the order that Microsoft prescribes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use wimwright_format::catalog::Root;
use wimwright_format::manifest::package::PackageClass;
use wimwright_format::regf::Data;
use wimwright_image::registry::{self, HiveFile};
use wimwright_image::{Image, ImageError};

use super::cleanup;
use super::dictionary::Dictionary;
use super::install::{DeferredPolicy, DeferredReport, InstallError, Options, PackageReport, foresee, install};
use super::plan::{Decision, Disable, PackageChange, Plan, PlanError, Request, Verdict, plan};
use super::source::{Opened, PackageSource, SourceError, Trust};
use super::state::State;
use super::store::{Store, StoreError};
use crate::inventory::pending_operations;
use crate::step::{Certainty, Context, Payload, Step, StepError, StepKind, StepReport};

/// Largest dictionary or certificate that a recipe may give, in bytes.
const LARGEST_SMALL_FILE: u64 = 1 << 20;
/// 1970-01-01 as FILETIME.
const UNIX_EPOCH: u64 = 116_444_736_000_000_000;
const CURRENT_VERSION: &str = r"Microsoft\Windows NT\CurrentVersion";

/// The step. See the module.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Packages {
    /// Update files to install, in any order: MSU, CAB, ESD, PSF beside them.
    pub updates: Vec<Payload>,
    /// Files that capabilities and features are taken from.
    pub offers: Vec<Payload>,
    /// Capabilities to add.
    pub capabilities: Vec<String>,
    /// Features to enable.
    pub enable: Vec<String>,
    /// Features to disable.
    pub disable: Vec<DisableFeature>,
    /// Packages to remove.
    pub remove: Vec<String>,
    /// Whether superseded components are removed at the end.
    pub cleanup: bool,
    /// Whether packages are taken whose catalogs are not signed by a trusted root.
    pub allow_unsigned: bool,
    /// Certificates to trust instead of Microsoft's, DER.
    pub roots: Vec<Payload>,
    /// The dictionary of manifests, for an image whose servicing stack is missing or damaged.
    pub dictionary: Option<Payload>,
    /// What happens to parts that only Windows can finish.
    pub deferred: DeferredPolicy,
    /// The deliveries when they are opened, for all steps that share this.
    #[serde(skip)]
    pub opened: Opened,
}

/// A feature to disable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DisableFeature {
    /// Its name.
    pub name: String,
    /// Whether its files are removed as well (`/Remove`).
    pub remove_payload: bool,
}

impl From<SourceError> for StepError {
    fn from(error: SourceError) -> Self {
        let hint = match &error {
            SourceError::Catalog { .. } | SourceError::NoCatalog { .. } => {
                "only take files that Microsoft's catalog gave you; `servicing: { allow-unsigned: true }` takes others at your own risk"
            }
            SourceError::SetupUpdate { .. } => "put its files into the medium's `sources` folder",
            SourceError::Container { .. } | SourceError::NoPackage { .. } => {
                "an update is an .msu, .cab or .esd file: a damaged one has to be downloaded again, and a program (EXE, MSI) is installed when Windows is deployed"
            }
            SourceError::Decode { .. } => {
                "the image's servicing stack gives the dictionary; `servicing: { dictionary: FILE }` gives another"
            }
            _ => "the file is damaged or was changed: download it again",
        };
        Self::caused(error, hint)
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Image(error) => Self::Image(error),
            error => Self::caused(error, "`wimwright health` shows what is wrong with the image's component store"),
        }
    }
}

impl From<InstallError> for StepError {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Image(error) => Self::Image(error),
            InstallError::Place(error) => error,
            InstallError::Store(error) => error.into(),
            InstallError::Source(error) => error.into(),
            InstallError::Deferred { .. } => {
                Self::caused(error, "`servicing: { deferred: defer }` has Windows finish it at its first start")
            }
            InstallError::NoTool { .. } => Self::caused(
                error,
                "`servicing: { deferred: omit }` leaves these parts out, and the report says of each that it was not done; `engine: setup` has Windows Setup install the update",
            ),
            InstallError::NoBase { .. } => Self::caused(error, "add the checkpoint updates that came before to `updates`"),
            InstallError::NoPayload { .. } => Self::caused(error, "name the folder with the package under `source`"),
            error => Self::caused(error, ""),
        }
    }
}

impl From<PlanError> for StepError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Store(error) => error.into(),
            PlanError::Source(error) => error.into(),
            error => {
                let hint = match &error {
                    PlanError::NotApplicable { .. } => {
                        "an update must match the image's edition, architecture, language and build; `wimwright packages` shows what the image has"
                    }
                    PlanError::UnknownFeature { .. } => "`wimwright features` lists the image's features",
                    PlanError::UnknownCapability { .. } | PlanError::CapabilityDependency { .. } | PlanError::MissingPackage { .. } => {
                        "name the folder with the packages of the features on demand under `source`"
                    }
                    PlanError::PayloadRemoved { .. } => "name the folder with that package under `source`",
                    PlanError::UnknownPackage { .. } => "`wimwright packages` lists the image's packages",
                    _ => "",
                };
                Self::caused(error, hint)
            }
        }
    }
}

/// An image and what is to be done with it.
pub(super) struct Prepared {
    pub store: Store,
    pub sources: Arc<Vec<PackageSource>>,
    /// What will be done, and why.
    pub plan: Plan,
}

/// What [`Packages`] will do, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackagePlan {
    /// Packages that change, in the order in which that is carried out.
    pub changes: Vec<PlannedPackage>,
    /// Everything that was looked at, with the reasons for each yes and no.
    pub verdicts: Vec<Verdict>,
}

/// A package that will change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedPackage {
    /// The package.
    pub package: String,
    /// The file that it comes from; `None` when the image has everything.
    pub file: Option<String>,
    /// Its state now.
    pub before: State,
    /// Its state then.
    pub after: State,
    /// Its features that are switched: name, and whether they are on then.
    pub features: Vec<(String, bool)>,
    /// What will not be done: Windows finishes it at its first start, or, where there is no command, nobody does.
    pub deferred: Vec<DeferredReport>,
}

impl PlannedPackage {
    fn of(change: &PackageChange, sources: &[PackageSource], deferred: Vec<DeferredReport>) -> Self {
        let features = change.updates.iter().filter_map(|changed| {
            let update = change.manifest.updates.get(changed.update)?;
            update.selectable.as_ref()?;
            (changed.before.is_installed() != changed.after.is_installed()).then(|| (update.name.clone(), changed.after.is_installed()))
        });
        Self {
            package: change.package.to_string(),
            file: change.source.and_then(|number| sources.get(number)).map(|source| source.name.clone()),
            before: change.before,
            after: change.after,
            features: features.collect(),
            deferred,
        }
    }
}

impl std::fmt::Display for PlannedPackage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: ", self.package)?;
        if self.before == self.after {
            write!(formatter, "stays {}", self.after)?;
        } else {
            write!(formatter, "{} -> {}", self.before, self.after)?;
        }
        for (feature, on) in &self.features {
            write!(formatter, ", feature {feature} {}", if *on { "on" } else { "off" })?;
        }
        if let Some(file) = &self.file {
            write!(formatter, ", from {file}")?;
        }
        formatter.write_str(&left(&self.deferred))
    }
}

impl Packages {
    /// Opens what the recipe gives and plans, changing nothing.
    ///
    /// # Errors
    /// The image has pending operations or no store; a delivery is not to be trusted; something is not applicable.
    pub(super) fn prepare(&self, image: &mut Image, context: &Context) -> Result<Prepared, StepError> {
        let pending = pending_operations(image)?;
        if !pending.is_empty() {
            return Err(StepError::refused(
                format!("the image has pending operations: {}", pending.join("; ")),
                "let Windows finish them and capture the image again, or start from an image without them",
            ));
        }
        let given = match &self.dictionary {
            Some(payload) => Some(Dictionary::new(payload.bytes(LARGEST_SMALL_FILE)?)),
            None => None,
        };
        let store = Store::read(image, given)?;
        let (updates, offers) = self.payloads();
        let payloads = [updates, offers].concat();
        let sources = self.opened.open(&payloads, &store.dictionary, self.trust(context)?)?;
        let request = Request {
            updates: (0..sources.len()).filter(|number| sources.get(*number).is_some_and(|source| wanted(self, source))).collect(),
            capabilities: self.capabilities.clone(),
            enable: self.enable.clone(),
            disable: self
                .disable
                .iter()
                .map(|feature| Disable { name: feature.name.clone(), remove_payload: feature.remove_payload })
                .collect(),
            remove: self.remove.clone(),
        };
        let plan = plan(&store, &sources, &request)?;
        if let Some(verdict) = plan.incomplete() {
            return Err(StepError::refused(
                format!("an installed update has to complete itself with this change, and its files are not there: {verdict}"),
                "add that update to `updates` again",
            ));
        }
        if !plan.changes.is_empty() && store.components_hive().is_none() {
            return Err(StoreError::NoStore { missing: HiveFile::Components.path().to_owned() }.into());
        }
        Ok(Prepared { store, sources, plan })
    }

    /// Updates, and offers that are no updates: each once, in an order that their names have no part in.
    fn payloads(&self) -> (Vec<Payload>, Vec<Payload>) {
        let mut offers = distinct(&self.offers);
        offers.retain(|offer| self.updates.iter().all(|update| update.sha256 != offer.sha256));
        (distinct(&self.updates), offers)
    }

    /// True when there is nothing to do.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let names = [&self.capabilities, &self.enable, &self.remove];
        self.updates.is_empty() && self.disable.is_empty() && !self.cleanup && names.iter().all(|names| names.is_empty())
    }

    /// True when the other does not do the same.
    #[must_use]
    pub fn options_differ(&self, other: &Self) -> bool {
        self.options() != other.options()
    }

    pub(super) fn trust(&self, context: &Context) -> Result<Trust, StepError> {
        let mut trust = Trust::microsoft(context.time.saturating_sub(UNIX_EPOCH) / 10_000_000);
        trust.allow_unsigned = self.allow_unsigned;
        if !self.roots.is_empty() {
            trust.roots.clear();
            for payload in &self.roots {
                trust.roots.push(Root {
                    name: payload.name.clone().into(),
                    certificate: payload.bytes(LARGEST_SMALL_FILE)?.into(),
                    source: "the recipe".into(),
                });
            }
        }
        Ok(trust)
    }
}

impl Step for Packages {
    fn kind(&self) -> StepKind {
        StepKind { name: "packages", revision: 1 }
    }

    fn options(&self) -> serde_json::Value {
        // In which order they are written does not matter to the plan.
        let (updates, offers) = self.payloads();
        let mut canonical = Self { updates, offers, ..self.clone() };
        for names in [&mut canonical.capabilities, &mut canonical.enable, &mut canonical.remove] {
            names.sort();
            names.dedup();
        }
        canonical.disable.sort();
        canonical.disable.dedup();
        serde_json::json!(canonical)
    }

    fn writes_time(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.updates.iter().map(|update| format!("install {}", update.name)).collect();
        lines.extend(self.remove.iter().map(|package| format!("remove package {package}")));
        lines.extend(self.capabilities.iter().map(|capability| format!("add capability {capability}")));
        lines.extend(self.enable.iter().map(|feature| format!("enable feature {feature}")));
        lines.extend(self.disable.iter().map(|feature| {
            format!("disable feature {}{}", feature.name, if feature.remove_payload { " and remove its files" } else { "" })
        }));
        if self.cleanup {
            lines.push("remove superseded components".to_owned());
        }
        lines
    }

    fn plan_packages(&self, image: &mut Image, context: &Context) -> Result<Option<PackagePlan>, StepError> {
        let Prepared { store, sources, plan } = self.prepare(image, context)?;
        let deferred = foresee(image, &store, &sources, &plan.changes, self.deferred)?;
        let changes = plan.changes.iter().zip(deferred).map(|(change, deferred)| PlannedPackage::of(change, &sources, deferred)).collect();
        Ok(Some(PackagePlan { changes, verdicts: plan.verdicts }))
    }

    fn apply(&self, mut image: Image, context: &Context) -> Result<(Image, StepReport), StepError> {
        let Prepared { store, sources, plan } = self.prepare(&mut image, context)?;
        let options = Options { time: context.time, deferred: self.deferred };
        let before = revision(&mut image)?;
        let mut packages = install(&mut image, &store, &sources, &plan.changes, &options)?;
        let after = revision(&mut image)?;
        // One that is there already may complete itself, and raises nothing.
        let cumulative = plan.changes.iter().find(|change| {
            let source = change.source.and_then(|number| sources.get(number));
            source.is_some_and(|source| source.class == PackageClass::Cumulative && source.root == change.package)
                && change.after.is_installed()
                && !change.before.is_installed()
        });
        if let Some(change) = cumulative
            && before == after
        {
            return Err(StepError::refused(
                format!("cumulative update {} left the update build revision at {}", change.package, shown(before)),
                "this must not happen: report it with the output of `wimwright health`",
            ));
        }
        let mut details: Vec<String> = packages.iter().map(line).collect();
        details.extend(sources.iter().filter(|source| wanted(self, source)).filter_map(|source| stays(&plan, source)));
        if before != after {
            details.push(format!("update build revision {} -> {}", shown(before), shown(after)));
            image.info.set("WINDOWS/VERSION/SPBUILD", &shown(after));
        }
        if self.cleanup {
            let removed = clean_up(&mut image, &store.dictionary, &options)?;
            details.push(format!("removed {} superseded packages", removed.len()));
            packages.extend(removed);
        }
        image.commit(context.time)?;
        let certainty = packages.iter().map(|package| package.certainty).find(|certainty| *certainty == Certainty::Deferred);
        Ok((image, StepReport { certainty: certainty.unwrap_or(Certainty::Exact), details, packages }))
    }
}

/// Payloads by content, each once.
fn distinct(payloads: &[Payload]) -> Vec<Payload> {
    let mut payloads = payloads.to_vec();
    payloads.sort_by(|left, right| (left.sha256, &left.name).cmp(&(right.sha256, &right.name)));
    payloads.dedup_by_key(|payload| payload.sha256);
    payloads
}

/// True when the recipe wants the delivery installed: the others serve for capabilities and features.
fn wanted(step: &Packages, source: &PackageSource) -> bool {
    step.updates.iter().any(|payload| source.file == payload.name)
}

/// Says so when a delivery changes nothing.
fn stays(plan: &Plan, source: &PackageSource) -> Option<String> {
    let verdict = plan.verdicts.iter().find(|verdict| verdict.update.is_none() && verdict.package == source.root)?;
    match verdict.decision {
        Decision::Unchanged => Some(format!("{} is installed already", source.root)),
        Decision::Superseded => Some(format!("{} is superseded by what the image has", source.root)),
        _ => None,
    }
}

/// Removes superseded packages.
fn clean_up(image: &mut Image, dictionary: &Dictionary, options: &Options) -> Result<Vec<PackageReport>, StepError> {
    let store = Store::read(image, Some(dictionary.clone()))?;
    let changes = cleanup::superseded(&store)?;
    Ok(install(image, &store, &[], &changes, options)?)
}

fn line(package: &PackageReport) -> String {
    let mut text = format!("{}: {} -> {}", package.package, package.before, package.after);
    if package.files > 0 || package.values > 0 {
        text += &format!(", {} files, {} registry values", package.files, package.values);
    }
    text + &left(&package.deferred)
}

/// What is left to Windows, or to nobody, by installer.
fn left(deferred: &[DeferredReport]) -> String {
    let mut text = String::new();
    for (has_command, what) in [(true, "left to the first start of Windows"), (false, "not done, since no tool of Windows does it")] {
        let mut left = BTreeMap::<&str, usize>::new();
        for part in deferred.iter().filter(|part| part.command.is_some() == has_command) {
            *left.entry(&part.installer).or_default() += 1;
        }
        if !left.is_empty() {
            let left: Vec<String> = left.into_iter().map(|(installer, count)| format!("{count} {installer}")).collect();
            text += &format!("; {what}: {}", left.join(", "));
        }
    }
    text
}

fn shown(revision: Option<u32>) -> String {
    revision.map_or_else(|| "none".to_owned(), |revision| revision.to_string())
}

/// `UBR`, what cumulative updates raise; `None` when the image has none.
fn revision(image: &mut Image) -> Result<Option<u32>, ImageError> {
    let Some(hive) = image.hive(HiveFile::Software)? else { return Ok(None) };
    let value = registry::value(&hive, CURRENT_VERSION, "UBR");
    let value = value.map_err(|source| ImageError::Hive { path: HiveFile::Software.path().to_owned(), source })?;
    Ok(match value {
        Some(Data::Dword(number)) => Some(number),
        _ => None,
    })
}

//! Whether a component store is what its own records say: `CheckHealth` and `ScanHealth` of DISM, without Windows.
//!
//! [`Level::Check`] asks what Windows itself has noted: a store given up, components found damaged, operations not finished.
//! [`Level::Scan`] holds everything against everything: catalogs against their signatures, manifests against catalogs and the
//! COMPONENTS hive, payload against manifests, installed files against payload, and every reference against what it refers to.
//! All files of the store are read once, in the order of their place on disk; memory stays bounded.
//!
//! What is found is a [`Finding`] of a kind that is either damage or a note. A rule that is only inferred, not known from real
//! images, gives notes. Rules and their sources: `docs/formats/cbs.md`, 5.6 of the facts.

mod catalogs;
mod components;
mod finding;
mod packages;
mod payload;
pub(in crate::cbs) mod reading;
mod records;
mod references;
pub mod repair;
mod security;

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use wimwright_format::manifest::macros::Directories;
use wimwright_format::regf::Data;
use wimwright_format::wim::BlobId;
use wimwright_image::registry::HiveFile;
use wimwright_image::{Blobs, Image, ImageError};

use super::dictionary::{Dictionary, DictionaryError};
use super::source::Trust;
use super::store::{PACKAGES_FOLDER, SERVICING, STORE_FOLDER, Store, StoreError, hive_error};
use crate::inventory::pending_operations;

use catalogs::Catalogs;
use components::ComponentManifests;
pub use finding::{Finding, FindingKind, Remedy, Severity, Wanted};
use packages::PackageManifests;
use reading::{Meter, read_all};
use records::Records;

/// How thorough a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// What Windows has noted of the store. A moment.
    Check,
    /// Everything is read and compared.
    Scan,
}

/// How a store is checked.
pub struct Options<'a> {
    /// How thorough.
    pub level: Level,
    /// Who may sign catalogs.
    pub trust: &'a Trust,
    /// For images whose servicing stack is damaged: the dictionary of manifests, instead of the image's own.
    pub dictionary: Option<Dictionary>,
    /// Is told of the work: bytes done, bytes in all. From any thread.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Checked {
    /// Packages of the registry.
    pub packages: usize,
    /// Catalogs, each once.
    pub catalogs: usize,
    /// Components of the COMPONENTS hive.
    pub components: usize,
    /// Deployments of the COMPONENTS hive.
    pub deployments: usize,
    /// Payload files that manifests list.
    pub payload_files: usize,
    /// Names of installed files.
    pub installed_files: usize,
    /// Bytes that were read.
    pub bytes: u64,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How thorough it was.
    pub level: Level,
    /// What was looked at.
    pub checked: Checked,
    /// What was found: damage first, then by kind and place.
    pub findings: Vec<Finding>,
}

impl Report {
    /// True when nothing is damaged; notes do not count.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }
}

/// Checks the component store of an image. Reads only.
///
/// # Errors
/// The image has no component store, or its SOFTWARE hive cannot be found. What is damaged is no error but a finding.
pub fn check(image: &mut Image, options: &Options<'_>) -> Result<Report, StoreError> {
    let findings = Findings::default();
    let mut checked = Checked::default();
    let store = match Store::read(image, options.dictionary.clone()) {
        // Without the dictionary, plain manifests can be checked nevertheless.
        Err(StoreError::Dictionary(DictionaryError::Program { path, source })) => {
            findings.add(FindingKind::PayloadDamaged, path, reading::reason(&source));
            Store::read(image, Some(Dictionary::default()))
        }
        read => read,
    };
    match store {
        Ok(store) => match check_store(image, &store, options, &findings) {
            Ok(counts) => checked = counts,
            Err(error) => findings.damaged_hive(error)?,
        },
        Err(error) => findings.damaged_hive(error)?,
    }
    let mut findings = findings.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    findings.sort();
    findings.dedup();
    Ok(Report { level: options.level, checked, findings })
}

fn check_store(image: &mut Image, store: &Store, options: &Options<'_>, findings: &Findings) -> Result<Checked, StoreError> {
    let records = Records::read(store)?;
    check_notes(image, store, &records, findings)?;
    let mut checked = Checked {
        packages: store.packages().len(),
        components: records.components.len(),
        deployments: records.deployments.len(),
        ..Checked::default()
    };
    if options.level == Level::Scan {
        Scan::new(image, store, &records, options, findings).run(&mut checked)?;
    }
    Ok(checked)
}

/// What Windows has noted itself.
fn check_notes(image: &mut Image, store: &Store, records: &Records, findings: &Findings) -> Result<(), StoreError> {
    let software = store.software_hive();
    let value = |name: &str| {
        let key = software.open(SERVICING)?;
        let value = key.map(|key| software.value(key, name)).transpose()?.flatten();
        value.map(|value| Ok(Data::decode(value.kind(), &value.data()?))).transpose()
    };
    match value("Unserviceable").map_err(hive_error(HiveFile::Software))? {
        None | Some(Data::Dword(0)) => {}
        Some(_) => findings.add(FindingKind::MarkedUnserviceable, format!(r"HKLM\SOFTWARE\{SERVICING}"), "`Unserviceable` is set"),
    }
    for pending in pending_operations(image)? {
        findings.add(FindingKind::OperationPending, "the image", pending);
    }
    for (id, record) in store.packages().iter().filter(|(_, record)| record.state.is_pending()) {
        findings.add(FindingKind::OperationPending, id.to_string(), format!("the package is {}", record.state));
    }
    match store.components_hive() {
        None => findings.add(FindingKind::HiveMissing, HiveFile::Components.path(), "it is not there"),
        Some(hive) => {
            let pending = hive.value(hive.root(), "PendingXmlIdentifier").map_err(hive_error(HiveFile::Components))?;
            if pending.is_some() {
                findings.add(FindingKind::OperationPending, r"HKLM\COMPONENTS", "`PendingXmlIdentifier` is there");
            }
        }
    }
    for component in records.components.values().filter(|component| component.has_flag(records::CORRUPTION_DETECTED)) {
        findings.add(FindingKind::CorruptionRecorded, component.key(), "`CF` has the bit CorruptionDetected (2)");
    }
    Ok(())
}

/// Findings as they come, from all threads.
#[derive(Default)]
struct Findings(Mutex<Vec<Finding>>);

impl Findings {
    fn push(&self, finding: Finding) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }

    fn add(&self, kind: FindingKind, place: impl Into<String>, detail: impl Into<String>) {
        self.push(Finding::new(kind, place, detail));
    }

    fn want(&self, kind: FindingKind, place: impl Into<String>, detail: impl Into<String>, wanted: Wanted) {
        self.push(Finding::new(kind, place, detail).wanting(wanted));
    }

    /// A hive that cannot be read is a finding; any other error is one.
    fn damaged_hive(&self, error: StoreError) -> Result<(), StoreError> {
        let (place, detail) = match &error {
            StoreError::Hive { path, source } => ((*path).to_owned(), reading::reason(source)),
            StoreError::Image(ImageError::Hive { path, source }) => (path.clone(), reading::reason(source)),
            _ => return Err(error),
        };
        self.add(FindingKind::HiveDamaged, place, detail);
        Ok(())
    }
}

/// What all parts of a scan share.
struct Scan<'a> {
    store: &'a Store,
    records: &'a Records,
    trust: &'a Trust,
    findings: &'a Findings,
    blobs: Blobs,
    meter: Meter<'a>,
}

impl<'a> Scan<'a> {
    fn new(image: &Image, store: &'a Store, records: &'a Records, options: &'a Options<'_>, findings: &'a Findings) -> Self {
        let mut seen = HashSet::new();
        for folder in [STORE_FOLDER, PACKAGES_FOLDER] {
            if let Some(entry) = store.tree().at(folder) {
                blobs_below(entry, &mut seen);
            }
        }
        let total = seen.iter().filter_map(|id| image.blobs.size(id)).sum();
        let meter = Meter { progress: options.progress, total, done: AtomicU64::new(0) };
        Self { store, records, trust: options.trust, findings, blobs: image.blobs.clone(), meter }
    }

    fn run(&self, checked: &mut Checked) -> Result<(), StoreError> {
        let (catalogs, packages, components) = (Catalogs::find(self), PackageManifests::find(self), ComponentManifests::find(self));
        let ids: HashSet<BlobId> = catalogs.ids().chain(packages.ids()).chain(components.ids()).collect();
        read_all(&self.blobs, &ids, &self.meter, &|id, contents| {
            catalogs.read(self, id, &contents);
            packages.read(self, id, &contents);
            components.read(self, id, &contents);
        });
        let catalogs = catalogs.finish();
        checked.catalogs = catalogs.count();
        let updates = packages.check(self, &catalogs);
        let expected = components.check(self, &catalogs);
        checked.payload_files = expected.payload_files;
        checked.installed_files = expected.installed_files;
        self.check_payload(&expected.payload);
        self.check_references(&updates)?;
        self.meter.finish();
        checked.bytes = self.meter.done.load(std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// The contents of a file; `None` when it is not there, or empty.
    fn blob_at(&self, path: &str) -> Option<BlobId> {
        self.store.tree().at(path).filter(|entry| !entry.is_directory())?.inode().contents
    }

    /// Whose directories a component uses; `None` where that cannot be told.
    fn directories(&self, architecture: Option<&str>) -> Option<Directories> {
        Directories::of(architecture.unwrap_or(self.store.architecture), self.store.architecture).ok()
    }
}

fn blobs_below(entry: wimwright_image::tree::Entry<'_>, seen: &mut HashSet<BlobId>) {
    for child in entry.children() {
        seen.extend(child.inode().contents);
        if child.is_directory() {
            blobs_below(child, seen);
        }
    }
}

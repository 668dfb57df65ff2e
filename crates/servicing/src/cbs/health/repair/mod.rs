//! Putting intact files back: `RestoreHealth` of DISM, without Windows.
//!
//! What a scan [found](Finding) is looked for in the image itself, then in the sources, in their order: other images, and packages.
//! No source is believed. A file is put back when it has the hash that the image states: of a catalog and of a component manifest
//! that of the COMPONENTS hive (`CatalogThumbprint`, `S256H`), of a package manifest one that its catalog in the image lists, of a
//! payload file that of its component's manifest. Installed files become links to the store again.
//!
//! Records are not touched: where the registry contradicts itself or the files, nothing in the image proves which of the two is
//! right. Notes are left, too: they do no harm.
//!
//! What is mended can bring new findings to light (the files of a component can be checked once its manifest is there), so the store
//! is scanned again until a round puts nothing back. The last scan says what is left.

mod catalogs;
mod manifests;
mod payload;
mod put;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use thiserror::Error;
use wimwright_image::{EditError, Image, ImageError, PathError};

use super::records::Records;
use super::{Finding, FindingKind, Level, Options, Remedy, Report, Severity, Wanted, check};
use crate::cbs::source::PackageSource;
use crate::cbs::store::{Store, StoreError};
use crate::step::StepError;

/// What a report calls the image itself when it gives an intact file.
pub const OWN: &str = "the image itself";

/// Where intact files are looked for.
pub enum Source {
    /// An image with a component store.
    Image {
        /// What reports call it.
        name: String,
        /// The image.
        image: Box<Image>,
    },
    /// A package with what was delivered with it.
    Package(Box<PackageSource>),
}

impl Source {
    /// What reports call it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Image { name, .. } => name,
            Self::Package(source) => &source.name,
        }
    }
}

/// Something that was put back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Repaired {
    /// What had been found.
    pub kind: FindingKind,
    /// Where: a path in the image.
    pub place: String,
    /// Where the intact file was: the name of a source, or [`OWN`].
    pub source: String,
}

/// Damage that is still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// Why it was not repaired.
    pub reason: String,
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// What was put back, by kind and place.
    pub repaired: Vec<Repaired>,
    /// Damage that is still there, in the order of the findings.
    pub left: Vec<Left>,
}

impl Repair {
    /// Damage that an intact file would have ended, had there been one.
    pub fn unsatisfied(&self) -> impl Iterator<Item = &Left> {
        self.left.iter().filter(|left| left.finding.wanted.is_some())
    }
}

/// Why a file cannot be put back.
#[derive(Debug, Error)]
enum PutError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The tree cannot be changed like that.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The file cannot be placed.
    #[error(transparent)]
    Place(#[from] StepError),
    /// The place is no path.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Where the intact file was, or why the finding stays.
type Outcome = Result<String, String>;
/// A file, and the name of the source that gives it.
type Given = (String, Arc<[u8]>);

/// Repairs an image of which `before` is what a scan found. `time` (FILETIME) is given to files of which nothing is left.
///
/// The image is changed in memory; `Err` leaves it half done, to be thrown away.
///
/// # Errors
/// The store cannot be read.
pub fn repair(image: &mut Image, before: &Report, sources: &[Source], options: &Options<'_>, time: u64) -> Result<Repair, StoreError> {
    let mut found = before.clone();
    let mut repaired = BTreeMap::new();
    let mut reasons = BTreeMap::new();
    loop {
        let key = |finding: &Finding| (finding.kind, finding.place.clone());
        // What was put back once and is found again stays: a second time would change nothing.
        let open = found.findings.iter().filter(|finding| is_repairable(finding) && !repaired.contains_key(&key(finding)));
        let open: Vec<Finding> = open.cloned().collect();
        let store = Store::read(image, options.dictionary.clone())?;
        let records = Records::read(&store)?;
        let delivered = OnceLock::new();
        let mut round = Round { image, store, records, sources, options, time, delivered, outcomes: Vec::new() };
        round.run(&open)?;
        let before = repaired.len();
        for (finding, outcome) in round.outcomes {
            match outcome {
                Ok(source) => drop(repaired.insert(key(&finding), source)),
                Err(reason) => drop(reasons.insert(key(&finding), reason)),
            }
        }
        if repaired.len() == before {
            break;
        }
        found = check(image, &Options { level: Level::Scan, dictionary: options.dictionary.clone(), ..*options })?;
    }
    let damage = || found.findings.iter().filter(|finding| finding.severity == Severity::Damage);
    let still: BTreeSet<_> = damage().map(|finding| (finding.kind, finding.place.as_str())).collect();
    let gone = repaired.iter().filter(|((kind, place), _)| !still.contains(&(*kind, place.as_str())));
    let left = damage().map(|finding| {
        let tried = reasons.get(&(finding.kind, finding.place.clone()));
        Left { finding: finding.clone(), reason: tried.cloned().unwrap_or_else(|| unrepairable(finding).to_owned()) }
    });
    Ok(Repair {
        repaired: gone.map(|((kind, place), source)| Repaired { kind: *kind, place: place.clone(), source: source.clone() }).collect(),
        left: left.collect(),
    })
}

/// True for damage that an intact file ends.
fn is_repairable(finding: &Finding) -> bool {
    finding.severity == Severity::Damage && finding.wanted.is_some()
}

/// Why a finding was not even tried.
fn unrepairable(finding: &Finding) -> &'static str {
    match (&finding.wanted, finding.remedy) {
        (Some(_), _) => "the intact file was put back, and it is still found",
        (None, Remedy::File | Remedy::Store) => "nothing in the image says which file would be the intact one",
        (None, Remedy::None) => match finding.kind {
            FindingKind::OperationPending => "Windows has to finish this itself",
            FindingKind::MarkedUnserviceable | FindingKind::CorruptionRecorded => {
                "this is what Windows noted, and only Windows takes it back"
            }
            FindingKind::HiveMissing | FindingKind::HiveDamaged => {
                "a hive is no file of a package: take it from a backup of this very image"
            }
            _ => "the records contradict one another, and nothing in the image proves which is right",
        },
    }
}

/// One round: everything that is found is looked for once.
struct Round<'a> {
    image: &'a mut Image,
    store: Store,
    records: Records,
    sources: &'a [Source],
    options: &'a Options<'a>,
    time: u64,
    /// Catalogs of packages by SHA-256, once somebody asks.
    delivered: OnceLock<HashMap<String, Given>>,
    outcomes: Vec<(Finding, Outcome)>,
}

impl Round<'_> {
    /// Catalogs come first, since they prove package manifests; then manifests, which prove payload; then what links to it.
    fn run(&mut self, open: &[Finding]) -> Result<(), StoreError> {
        for finding in open {
            if let Some(Wanted::Catalog { package, sha256 }) = &finding.wanted {
                let outcome = self.catalog(&finding.place, package.as_ref(), sha256.as_deref());
                self.outcomes.push((finding.clone(), outcome));
            }
        }
        for finding in open {
            let outcome = match &finding.wanted {
                Some(Wanted::PackageManifest { package }) => self.package_manifest(package),
                Some(Wanted::ComponentManifest { component, sha256 }) => self.component_manifest(component, sha256.as_deref()),
                _ => continue,
            };
            self.outcomes.push((finding.clone(), outcome));
        }
        // From here on, manifests are read that may just have been put back.
        self.store = Store::read(self.image, self.options.dictionary.clone())?;
        self.payload(open);
        // What became of the files in the store.
        let mut stored = HashMap::new();
        for (finding, outcome) in &self.outcomes {
            if let Some(Wanted::Payload { component, name, .. }) = &finding.wanted {
                stored.insert((component.clone(), name.to_ascii_lowercase()), outcome.clone());
            }
        }
        for finding in open {
            if let Some(Wanted::Link { component, name }) = &finding.wanted {
                let outcome = self.link(component, name, &finding.place, stored.get(&(component.clone(), name.to_ascii_lowercase())));
                self.outcomes.push((finding.clone(), outcome));
            }
        }
        Ok(())
    }
}

/// What is said when no source has an intact file. `others` are those that have another one.
fn nowhere(wanted: &str, sources: &[Source], others: &[String]) -> String {
    match (sources, others) {
        ([], _) => format!("{wanted} is not in the image, and no source was given"),
        (_, []) => format!("no source has {wanted}"),
        (_, others) => format!("no source has {wanted}: {}", others.join("; ")),
    }
}

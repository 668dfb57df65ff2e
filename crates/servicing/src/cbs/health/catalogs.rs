//! Catalogs of packages: what each lists, and whether it can be believed.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use wimwright_format::catalog::{Catalog, Member, Policy};
use wimwright_format::manifest::PackageId;
use wimwright_format::wim::BlobId;

use super::reading::{Contents, reason};
use super::{FindingKind, Scan, Wanted};
use crate::cbs::store::{PACKAGES_FOLDER, STORE_FOLDER};

/// Where Windows' cryptographic service looks for the catalogs of packages.
pub(super) const CATALOG_ROOT: &str = "/Windows/System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}";

/// Where the store keeps a catalog, by its SHA-256 in hexadecimal.
pub(super) fn stored_catalog(thumbprint: &str) -> String {
    format!("{STORE_FOLDER}/Catalogs/{thumbprint}.cat")
}

/// A catalog that was read.
#[derive(Default)]
pub(super) struct CatalogFacts {
    /// SHA-256 in lower-case hexadecimal.
    pub(super) thumbprint: String,
    /// Why it cannot be believed, or not be read.
    pub(super) problem: Option<(FindingKind, String)>,
    digests: HashSet<Vec<u8>>,
}

impl CatalogFacts {
    /// True when it can be told what it lists.
    pub(super) fn is_readable(&self) -> bool {
        !matches!(self.problem, Some((FindingKind::CatalogDamaged | FindingKind::Unreadable, _)))
    }

    pub(super) fn lists(&self, digests: &Digests) -> bool {
        self.digests.contains(digests.sha256.as_slice()) || self.digests.contains(digests.sha1.as_slice())
    }
}

/// The hashes by which a catalog may list a file.
#[derive(Clone)]
pub(super) struct Digests {
    pub(super) sha256: Vec<u8>,
    pub(super) sha1: Vec<u8>,
}

impl Digests {
    pub(super) fn of(bytes: &[u8]) -> Self {
        use wimwright_format::manifest::HashAlgorithm::{Sha1, Sha256};
        Self { sha256: Sha256.digest(bytes), sha1: Sha1.digest(bytes) }
    }
}

/// Where a catalog lies.
struct Place {
    path: String,
    /// The package that it lies beside; `None` in the store.
    package: Option<PackageId>,
}

/// All catalogs of packages, by their contents.
#[derive(Default)]
pub(super) struct Catalogs {
    /// Where each lies; the store's own copy last.
    places: HashMap<BlobId, Vec<Place>>,
    facts: Mutex<HashMap<BlobId, CatalogFacts>>,
}

impl Catalogs {
    /// Finds them: those of the registered packages, and all of the store.
    pub(super) fn find(scan: &Scan<'_>) -> Self {
        let mut catalogs = Self::default();
        let mut add = |path: String, package: Option<&PackageId>| {
            if let Some(id) = scan.blob_at(&path) {
                catalogs.places.entry(id).or_default().push(Place { path, package: package.cloned() });
            }
        };
        for id in scan.store.packages().keys() {
            add(format!("{PACKAGES_FOLDER}/{id}.cat"), Some(id));
            add(format!("{CATALOG_ROOT}/{id}.cat"), Some(id));
        }
        let folder = format!("{STORE_FOLDER}/Catalogs");
        for child in scan.store.tree().at(&folder).into_iter().flat_map(|folder| folder.children()) {
            add(format!("{folder}/{}", child.name()), None);
        }
        catalogs
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = BlobId> {
        self.places.keys().copied()
    }

    /// Takes what was read, when it is a catalog.
    pub(super) fn read(&self, scan: &Scan<'_>, id: BlobId, contents: &Contents<'_>) {
        if !self.places.contains_key(&id) {
            return;
        }
        let facts = match contents {
            Contents::Whole(bytes) => read_catalog(scan, bytes),
            Contents::Hashed { .. } => CatalogFacts {
                problem: Some((FindingKind::CatalogDamaged, "it is larger than any catalog".to_owned())),
                ..CatalogFacts::default()
            },
            Contents::Unreadable(why) => CatalogFacts { problem: Some((FindingKind::Unreadable, why.clone())), ..CatalogFacts::default() },
        };
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).insert(id, facts);
    }

    /// What was read.
    pub(super) fn finish(self) -> ReadCatalogs {
        ReadCatalogs { places: self.places, facts: self.facts.into_inner().unwrap_or_else(PoisonError::into_inner) }
    }
}

fn read_catalog(scan: &Scan<'_>, bytes: &[u8]) -> CatalogFacts {
    let thumbprint = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let catalog = match Catalog::parse(bytes) {
        Ok(catalog) => catalog,
        Err(error) => {
            return CatalogFacts { thumbprint, problem: Some((FindingKind::CatalogDamaged, reason(&error))), ..CatalogFacts::default() };
        }
    };
    let policy = Policy { roots: &scan.trust.roots, time: scan.trust.time, require_system_component: false };
    let problem = match catalog.verify(&policy) {
        Err(error) if !scan.trust.allow_unsigned => Some((FindingKind::CatalogUntrusted, reason(&error))),
        _ => None,
    };
    CatalogFacts { thumbprint, problem, digests: catalog.members.iter().filter_map(Member::hash).map(|(_, digest)| digest).collect() }
}

/// All catalogs, read.
pub(super) struct ReadCatalogs {
    places: HashMap<BlobId, Vec<Place>>,
    facts: HashMap<BlobId, CatalogFacts>,
}

impl ReadCatalogs {
    pub(super) fn count(&self) -> usize {
        self.facts.len()
    }

    pub(super) fn facts(&self, id: &BlobId) -> Option<&CatalogFacts> {
        self.facts.get(id)
    }

    /// All hashes that any catalog lists.
    pub(super) fn union(&self) -> HashSet<&[u8]> {
        self.facts.values().flat_map(|facts| &facts.digests).map(Vec::as_slice).collect()
    }

    /// The intact copy that the store has of a catalog.
    pub(super) fn stored(&self, scan: &Scan<'_>, thumbprint: &str) -> Option<BlobId> {
        let id = scan.blob_at(&stored_catalog(thumbprint))?;
        self.facts(&id).filter(|facts| facts.thumbprint.eq_ignore_ascii_case(thumbprint)).map(|_| id)
    }

    /// Catalogs that cannot be believed: those that packages rely on, and those of the store. Those of the store under a name that is
    /// not their hash are another's, changed.
    pub(super) fn report(&self, scan: &Scan<'_>, relied_on: &HashSet<BlobId>) {
        let folder = format!("{STORE_FOLDER}/Catalogs/");
        // The name in the store, which is to be the hash.
        let stored_as = |place: &Place| Some(place.path.strip_prefix(&folder)?.strip_suffix(".cat")?.to_owned());
        let wanted = |place: &Place| {
            let sha256 = place.package.as_ref().map_or_else(|| stored_as(place), |package| scan.records.catalog_of_package(package));
            Wanted::Catalog { package: place.package.clone(), sha256 }
        };
        for (id, places) in &self.places {
            let Some(facts) = self.facts(id) else { continue };
            let is_misnamed = |place: &Place| {
                stored_as(place).is_some_and(|name| !facts.thumbprint.is_empty() && !name.eq_ignore_ascii_case(&facts.thumbprint))
            };
            for place in places.iter().filter(|place| is_misnamed(place)) {
                let detail = format!("its SHA-256 is {}, which is not its name", facts.thumbprint);
                scan.findings.want(FindingKind::CatalogDiffers, &place.path, detail, wanted(place));
            }
            let of_store = places.iter().find(|place| place.package.is_none() && !is_misnamed(place));
            let place = if relied_on.contains(id) { places.first() } else { of_store };
            if let (Some(place), Some((kind, detail))) = (place, &facts.problem) {
                scan.findings.want(*kind, &place.path, detail, wanted(place));
            }
        }
    }
}

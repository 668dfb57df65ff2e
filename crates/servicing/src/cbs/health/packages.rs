//! Packages: their manifests, the catalogs that vouch for them, and the index by which Windows finds them.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use wimwright_format::manifest::package::{Payload, Update};
use wimwright_format::manifest::{Package, PackageId, Version};
use wimwright_format::regf::{self};
use wimwright_format::wim::BlobId;
use wimwright_image::registry::{self, HiveFile};

use super::catalogs::{CATALOG_ROOT, Digests, ReadCatalogs};
use super::reading::{Contents, reason};
use super::references::split_reference;
use super::{Finding, FindingKind, Scan, Wanted};
use crate::cbs::state::State;
use crate::cbs::store::{PACKAGES_FOLDER, PackageRecord, SERVICING, StoreError, hive_error};

/// A package manifest that was read.
struct ManifestFacts {
    digests: Digests,
    /// `None` when it cannot be understood.
    manifest: Option<Package>,
}

/// The package manifests of an image.
#[derive(Default)]
pub(super) struct PackageManifests {
    packages: HashMap<BlobId, Vec<PackageId>>,
    facts: Mutex<HashMap<PackageId, ManifestFacts>>,
}

/// The updates of packages by name in lower case, for those whose manifest is intact.
pub(super) type UpdateNames = HashMap<PackageId, HashSet<String>>;

fn manifest_path(id: &PackageId) -> String {
    format!("{PACKAGES_FOLDER}/{id}.mum")
}

fn wanted(id: &PackageId) -> Wanted {
    Wanted::PackageManifest { package: id.clone() }
}

impl PackageManifests {
    pub(super) fn find(scan: &Scan<'_>) -> Self {
        let mut found = Self::default();
        for (id, record) in scan.store.packages() {
            match scan.blob_at(&manifest_path(id)) {
                Some(blob) => found.packages.entry(blob).or_default().push(id.clone()),
                // Of packages that are not in the store, only the key is left.
                None if record.state.is_staged() => {
                    scan.findings.want(FindingKind::PackageManifestMissing, manifest_path(id), "it is not there", wanted(id));
                }
                None => {}
            }
        }
        found
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = BlobId> {
        self.packages.keys().copied()
    }

    /// Takes what was read, when it is a package manifest.
    pub(super) fn read(&self, scan: &Scan<'_>, blob: BlobId, contents: &Contents<'_>) {
        // However many packages have this file, it is the manifest of one, and read once.
        let known = OnceCell::new();
        for id in self.packages.get(&blob).into_iter().flatten() {
            let damaged = |kind, detail: String| scan.findings.want(kind, manifest_path(id), detail, wanted(id));
            let bytes = match contents {
                Contents::Whole(bytes) => bytes,
                Contents::Hashed { .. } => {
                    damaged(FindingKind::PackageManifestDamaged, "it is larger than any manifest".to_owned());
                    continue;
                }
                Contents::Unreadable(why) => {
                    damaged(FindingKind::Unreadable, why.clone());
                    continue;
                }
            };
            let (digests, parsed) = known.get_or_init(|| (Digests::of(bytes), Package::parse(bytes)));
            let manifest = match parsed {
                Ok(manifest) if manifest.id() == *id => Some(manifest.clone()),
                Ok(manifest) => {
                    damaged(FindingKind::PackageManifestDamaged, format!("it is the manifest of {}", manifest.id()));
                    None
                }
                Err(error) => {
                    damaged(FindingKind::PackageManifestDamaged, reason(error));
                    None
                }
            };
            let facts = ManifestFacts { digests: digests.clone(), manifest };
            self.facts.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), facts);
        }
    }

    /// Holds the packages against their catalogs.
    pub(super) fn check(self, scan: &Scan<'_>, catalogs: &ReadCatalogs) -> UpdateNames {
        let facts = self.facts.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut relied_on = HashSet::new();
        for (id, record) in scan.store.packages().iter().filter(|(_, record)| record.state.is_staged()) {
            let facts = facts.get(id);
            let manifest = facts.and_then(|facts| facts.manifest.as_ref());
            let catalog = scan.check_copies(id, record, manifest, catalogs);
            let Some(catalog) = catalog else { continue };
            relied_on.insert(catalog);
            let (Some(catalog), Some(facts)) = (catalogs.facts(&catalog).filter(|catalog| catalog.is_readable()), facts) else { continue };
            // One that cannot be understood is damaged, and reported as that.
            if facts.manifest.is_some() && !catalog.lists(&facts.digests) {
                let detail = "its catalog does not list its hash";
                scan.findings.want(FindingKind::PackageManifestUnlisted, manifest_path(id), detail, wanted(id));
            }
        }
        catalogs.report(scan, &relied_on);
        let names = |manifest: &Package| manifest.updates.iter().map(|update| update.name.to_ascii_lowercase()).collect();
        facts.iter().filter_map(|(id, facts)| Some((id.clone(), names(facts.manifest.as_ref()?)))).collect()
    }
}

impl Scan<'_> {
    /// Compares the copies of a package's catalog and says which is the true one.
    fn check_copies(&self, id: &PackageId, record: &PackageRecord, manifest: Option<&Package>, catalogs: &ReadCatalogs) -> Option<BlobId> {
        let places = [format!("{PACKAGES_FOLDER}/{id}.cat"), format!("{CATALOG_ROOT}/{id}.cat")];
        let copies = places.each_ref().map(|path| self.blob_at(path));
        let thumbprint = manifest.and_then(|manifest| self.thumbprint(id, manifest));
        let stored = thumbprint.as_ref().and_then(|thumbprint| catalogs.stored(self, thumbprint));
        let Some(truth) = stored.or(copies[0]).or(copies[1]) else {
            let sha256 = thumbprint.or_else(|| self.records.catalog_of_package(id));
            let wanted = Wanted::Catalog { package: Some(id.clone()), sha256 };
            self.findings.want(FindingKind::CatalogMissing, &places[0], "it is not there", wanted);
            return None;
        };
        let wanted = || {
            let sha256 = thumbprint.clone().or_else(|| self.records.catalog_of_package(id));
            Wanted::Catalog { package: Some(id.clone()), sha256 }
        };
        for ((path, copy), beside_manifest) in places.iter().zip(copies).zip([true, false]) {
            match copy {
                Some(copy) if copy == truth => {}
                Some(_) => {
                    let detail = "it is not the catalog that the package was installed with";
                    self.findings.want(FindingKind::CatalogDiffers, path, detail, wanted());
                }
                None => {
                    let finding = Finding::new(FindingKind::CatalogMissing, path, "it is not there").wanting(wanted());
                    // That catalogs of staged packages are here as well is not known for sure.
                    let matters = beside_manifest || record.state.is_installed();
                    self.findings.push(if matters { finding } else { finding.as_note() });
                }
            }
        }
        Some(truth)
    }

    /// The catalog that the deployments of this package, and of no other, were installed with.
    fn thumbprint(&self, id: &PackageId, manifest: &Package) -> Option<String> {
        let own = format!("{id}.").to_ascii_lowercase();
        let identities = manifest.updates.iter().flat_map(|update: &Update| &update.payload).filter_map(|payload| match payload {
            Payload::Component(identity) | Payload::Driver { identity, .. } => Some(identity),
            Payload::Package { .. } | Payload::Capability(_) => None,
        });
        let deployments = identities.filter_map(|identity| self.records.deployments.get(&identity.deployment_key()));
        let mut owned =
            deployments.filter(|deployment| deployment.references.values().all(|text| text.to_ascii_lowercase().starts_with(&own)));
        owned.find_map(|deployment| deployment.catalog.clone())
    }

    /// `PackageIndex`, `PackageDetect`, `ComponentDetect`, `Owners`, and manifests that nobody registered.
    pub(super) fn check_index(&self) -> Result<(), StoreError> {
        let packages = self.store.packages();
        let key = format!(r"{SERVICING}\PackageIndex");
        let index = self.read_index(&key).map_err(hive_error(HiveFile::Software))?;
        for (id, record) in packages {
            if record.state.is_staged() && !index.contains(id) {
                let place = format!(r"HKLM\SOFTWARE\{key}\{}", id.with_version(Version::ZERO));
                self.findings.add(FindingKind::IndexIncomplete, place, format!("version {} of the package is missing", id.version));
            }
            for owner in record.owners.keys().filter(|owner| !packages.contains_key(owner)) {
                self.findings.add(FindingKind::OwnerUnknown, id.to_string(), format!("its owner {owner} is not registered"));
            }
        }
        for id in index.iter().filter(|id| !packages.contains_key(id)) {
            let place = format!(r"HKLM\SOFTWARE\{key}\{}", id.with_version(Version::ZERO));
            self.findings.add(FindingKind::IndexUnknownPackage, place, format!("{id} is not registered"));
        }
        // What leads to a package by its parents and components only makes Windows look at it once more.
        for name in ["PackageDetect", "ComponentDetect"] {
            let key = format!(r"{SERVICING}\{name}");
            let index = self.read_index(&key).map_err(hive_error(HiveFile::Software))?;
            for id in index.iter().filter(|id| !packages.contains_key(id)) {
                let place = format!(r"HKLM\SOFTWARE\{key}");
                self.findings.push(Finding::new(FindingKind::IndexUnknownPackage, place, format!("{id} is not registered")).as_note());
            }
        }
        let folder = self.store.tree().at(PACKAGES_FOLDER);
        for child in folder.into_iter().flat_map(|folder| folder.children()) {
            let name = child.name();
            let id = name.strip_suffix(".mum").and_then(|stem| stem.parse::<PackageId>().ok());
            if id.is_some_and(|id| packages.get(&id).is_none_or(|record| record.state == State::ABSENT)) {
                self.findings.add(
                    FindingKind::PackageUnregistered,
                    format!("{PACKAGES_FOLDER}/{name}"),
                    "the registry knows no such package",
                );
            }
        }
        Ok(())
    }

    fn read_index(&self, key: &str) -> Result<HashSet<PackageId>, regf::Error> {
        let hive = self.store.software_hive();
        let mut found = HashSet::new();
        for name in registry::subkey_names(hive, key)? {
            let Some(key) = hive.open(&format!("{key}\\{name}"))? else { continue };
            found.extend(hive.values(key)?.into_iter().filter_map(|value| indexed_package(&value.name())));
        }
        Ok(found)
    }
}

/// The package of an index's value: its identity, in `ComponentDetect` with the name of an update after it.
fn indexed_package(name: &str) -> Option<PackageId> {
    name.parse().ok().or_else(|| split_reference(name).map(|(package, _)| package))
}

//! What the registry says of components, deployments and winners, read as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::OnceLock;

use wimwright_format::manifest::{Identity, PackageId};
use wimwright_format::regf::{self, Data, Hive, KeyId};
use wimwright_image::registry::HiveFile;

use super::Wanted;
use super::references::split_reference;
use crate::cbs::source::hexadecimal;
use crate::cbs::store::{CATALOGS, COMPONENTS, Deployment, Store, StoreError, Winner, bucket, hive_error};

/// Bit of `CF`: Windows found the component damaged.
pub(super) const CORRUPTION_DETECTED: u32 = 0x02;
/// Bit of `CF`: the payload was removed on purpose (a feature that was removed, a cleanup).
pub(super) const PAYLOAD_DELETED: u32 = 0x40;

/// A component's key in COMPONENTS. Names in lower case.
#[derive(Default)]
pub(super) struct ComponentRecord {
    /// Keyform as spelled.
    pub(super) keyform: String,
    /// `identity`.
    pub(super) identity: Option<String>,
    /// `S256H`.
    pub(super) sha256: Option<Vec<u8>>,
    /// `CF`; 0 when absent.
    pub(super) flags: u32,
    /// Deployments (`c!`).
    pub(super) deployments: BTreeSet<String>,
    /// Values for payload files (`f!…`).
    pub(super) payload: HashSet<String>,
}

impl ComponentRecord {
    pub(super) fn has_flag(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The key, as findings name it.
    pub(super) fn key(&self) -> String {
        format!(r"HKLM\COMPONENTS\{COMPONENTS}\{}", self.keyform)
    }
}

/// Everything, by names in lower case.
#[derive(Default)]
pub(super) struct Records {
    pub(super) components: HashMap<String, ComponentRecord>,
    pub(super) deployments: BTreeMap<String, Deployment>,
    /// Registered catalogs, with the deployments that use each (`c!`).
    pub(super) catalogs: BTreeMap<String, BTreeSet<String>>,
    /// Winners by family and `major.minor`.
    pub(super) winners: BTreeMap<String, BTreeMap<String, Winner>>,
    installed: HashSet<String>,
    staged: HashSet<String>,
    /// Catalogs of the packages that have one to themselves, once somebody asks.
    catalogs_of_packages: OnceLock<HashMap<PackageId, String>>,
}

impl Records {
    pub(super) fn read(store: &Store) -> Result<Self, StoreError> {
        let mut records = Self::default();
        let damaged = hive_error(HiveFile::Components);
        if let Some(hive) = store.components_hive() {
            records.components = read_components(hive).map_err(&damaged)?;
            records.catalogs = read_catalogs(hive).map_err(&damaged)?;
        }
        for (key, deployment) in store.deployments()? {
            let has =
                |kind: &str| deployment.references.keys().any(|name| name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(kind)));
            if has("i!") {
                records.installed.insert(key.clone());
            }
            if has("i!") || has("s!") {
                records.staged.insert(key.clone());
            }
            records.deployments.insert(key, deployment);
        }
        records.winners = store.all_winners()?;
        Ok(records)
    }

    /// True when a deployment of the component is installed.
    pub(super) fn is_installed(&self, component: &ComponentRecord) -> bool {
        component.deployments.iter().any(|deployment| self.installed.contains(deployment))
    }

    /// True when the component's files are to be in their places: it is installed, and the winner of its family.
    pub(super) fn wins(&self, component: &ComponentRecord, identity: &Identity) -> bool {
        let winner = self.winners.get(&identity.family_key()).and_then(|winners| winners.get(&bucket(identity.version)));
        winner.is_some_and(|winner| winner.version == identity.version) && self.is_installed(component)
    }

    /// The manifest of a component, as COMPONENTS knows it.
    pub(super) fn manifest(&self, keyform: &str) -> Wanted {
        let sha256 = self.components.get(keyform).and_then(|record| record.sha256.as_deref()).map(hexadecimal);
        Wanted::ComponentManifest { component: keyform.to_owned(), sha256 }
    }

    /// The catalog that a component was installed with.
    pub(super) fn catalog_of_component(&self, keyform: &str) -> Option<String> {
        let deployments = self.components.get(keyform)?.deployments.iter();
        deployments.filter_map(|deployment| self.deployments.get(deployment)).find_map(|deployment| deployment.catalog.clone())
    }

    /// The catalog that the deployments of this package, and of no other, were installed with.
    pub(super) fn catalog_of_package(&self, package: &PackageId) -> Option<String> {
        self.catalogs_of_packages.get_or_init(|| self.read_catalogs_of_packages()).get(package).cloned()
    }

    fn read_catalogs_of_packages(&self) -> HashMap<PackageId, String> {
        let mut catalogs = HashMap::new();
        for deployment in self.deployments.values() {
            let Some(catalog) = &deployment.catalog else { continue };
            let mut packages = deployment.references.values().map(|text| split_reference(text).map(|(package, _)| package));
            if let Some(Some(first)) = packages.next()
                && packages.all(|package| package.as_ref() == Some(&first))
            {
                catalogs.entry(first).or_insert_with(|| catalog.clone());
            }
        }
        catalogs
    }

    /// The packages that have deployments of a catalog.
    pub(super) fn packages_of_catalog(&self, sha256: &str) -> BTreeSet<PackageId> {
        let named = |deployment: &&Deployment| deployment.catalog.as_deref().is_some_and(|catalog| catalog.eq_ignore_ascii_case(sha256));
        let references = self.deployments.values().filter(named).flat_map(|deployment| deployment.references.values());
        references.filter_map(|text| Some(split_reference(text)?.0)).collect()
    }

    /// True when a deployment of the component is staged or installed.
    pub(super) fn is_staged(&self, component: &ComponentRecord) -> bool {
        component.deployments.iter().any(|deployment| self.staged.contains(deployment))
    }
}

fn read_components(hive: &Hive) -> Result<HashMap<String, ComponentRecord>, regf::Error> {
    let mut components = HashMap::new();
    let Some(root) = hive.open(COMPONENTS)? else { return Ok(components) };
    for key in hive.subkeys(root)? {
        let mut record = ComponentRecord { keyform: hive.name(key)?, ..ComponentRecord::default() };
        for value in hive.values(key)? {
            let name = value.name().to_ascii_lowercase();
            if let Some(deployment) = name.strip_prefix("c!") {
                record.deployments.insert(deployment.to_owned());
            } else if name.starts_with("f!") {
                record.payload.insert(name);
            } else {
                match (name.as_str(), Data::decode(value.kind(), &value.data()?)) {
                    ("identity", Data::Binary(bytes)) => record.identity = String::from_utf8(bytes).ok(),
                    ("s256h", Data::Binary(bytes)) => record.sha256 = Some(bytes),
                    ("cf", Data::Dword(flags)) => record.flags = flags,
                    _ => {}
                }
            }
        }
        components.insert(record.keyform.to_ascii_lowercase(), record);
    }
    Ok(components)
}

fn read_catalogs(hive: &Hive) -> Result<BTreeMap<String, BTreeSet<String>>, regf::Error> {
    let mut catalogs = BTreeMap::new();
    let Some(root) = hive.open(CATALOGS)? else { return Ok(catalogs) };
    for key in hive.subkeys(root)? {
        catalogs.insert(hive.name(key)?.to_ascii_lowercase(), deployments_of(hive, key)?);
    }
    Ok(catalogs)
}

/// Deployments that a key names (`c!`).
fn deployments_of(hive: &Hive, key: KeyId) -> Result<BTreeSet<String>, regf::Error> {
    let names = hive.values(key)?.into_iter().map(|value| value.name().to_ascii_lowercase());
    Ok(names.filter_map(|name| name.strip_prefix("c!").map(str::to_owned)).collect())
}

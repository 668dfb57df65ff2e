//! The component store of an image, read: packages, updates, deployments, components, winners.
//!
//! Packages are listed at once, since there are some thousand keys and everything asks for them; manifests and components are read
//! when they are asked for, since there are 30,000 of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use thiserror::Error;
use wimwright_format::manifest::package::{Payload, Update};
use wimwright_format::manifest::store_name::{Reference, ReferenceKind};
use wimwright_format::manifest::{Component, Identity, Package, PackageId, Version};
use wimwright_format::regf::{self, Data, Hive, KeyId};
use wimwright_format::wim::BlobId;
use wimwright_image::registry::HiveFile;
use wimwright_image::{Blobs, Image, ImageError, Tree};

use super::dictionary::{Dictionary, DictionaryError};
use super::source::SourceComponent;
use super::state::State;
use crate::inventory::architecture_name;

/// Component based servicing in the SOFTWARE hive.
pub const SERVICING: &str = r"Microsoft\Windows\CurrentVersion\Component Based Servicing";
/// Winners of component families in the SOFTWARE hive.
pub const WINNERS: &str = r"Microsoft\Windows\CurrentVersion\SideBySide\Winners";
/// Deployments in the COMPONENTS hive.
pub const DEPLOYMENTS: &str = r"CanonicalData\Deployments";
/// Catalogs in the COMPONENTS hive.
pub const CATALOGS: &str = r"CanonicalData\Catalogs";
/// Components in the COMPONENTS hive.
pub const COMPONENTS: &str = r"DerivedData\Components";
/// Package manifests and catalogs in the image.
pub const PACKAGES_FOLDER: &str = "/Windows/servicing/Packages";
/// The store's folder in the image.
pub const STORE_FOLDER: &str = "/Windows/WinSxS";

/// Largest package manifest that is read, in bytes. Those of cumulative updates have up to 20 MB.
const LARGEST_PACKAGE_MANIFEST: u64 = 64 << 20;

/// Why a store cannot be read.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A hive is damaged.
    #[error("`{path}` is damaged")]
    Hive {
        /// The hive's file.
        path: &'static str,
        /// What is wrong.
        source: regf::Error,
    },
    /// The image has no component store.
    #[error("the image has no component store: `{missing}` is not there")]
    NoStore {
        /// What is missing.
        missing: String,
    },
    /// The architecture is not known.
    #[error("the image does not say for which processor architecture it is")]
    NoArchitecture,
    /// The dictionary cannot be had.
    #[error("the manifests of the store cannot be read")]
    Dictionary(#[from] DictionaryError),
    /// A package is registered, and its manifest is not there.
    #[error("the manifest of package {package} is missing (`{path}`): the component store is damaged")]
    NoPackageManifest {
        /// The package.
        package: String,
        /// Where it should be.
        path: String,
    },
    /// A manifest of the store cannot be understood.
    #[error("the manifest `{path}` is damaged")]
    Manifest {
        /// The file.
        path: String,
        /// What is wrong.
        source: Box<wimwright_format::manifest::Error>,
    },
    /// A manifest is that of something else than its name says.
    #[error("the manifest `{path}` is that of {of}: the component store is damaged")]
    WrongManifest {
        /// The file.
        path: String,
        /// Whose it is.
        of: String,
    },
    /// A component manifest cannot be decoded.
    #[error("the manifest `{path}` cannot be decoded")]
    Decode {
        /// The file.
        path: String,
        /// What is wrong.
        source: Box<DictionaryError>,
    },
}

/// A package that the image knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRecord {
    /// How far it has come.
    pub state: State,
    /// True when `dism /Get-Packages` lists it (`Visibility` 1).
    pub visible: bool,
    /// Its updates and features by name, as spelled.
    pub updates: BTreeMap<String, State>,
    /// Packages that own it, itself when it was installed for its own sake.
    pub owners: BTreeMap<PackageId, u32>,
    /// When it was installed, FILETIME; 0 when not stated.
    pub installed: u64,
    /// States of updates by name in lower case.
    states: HashMap<String, State>,
}

impl PackageRecord {
    /// The state of an update; `None` when the registry has none.
    #[must_use]
    pub fn update_state(&self, name: &str) -> Option<State> {
        self.states.get(&name.to_ascii_lowercase()).copied()
    }

    /// All packages that a SOFTWARE hive knows.
    ///
    /// # Errors
    /// The hive is damaged.
    pub fn read_all(hive: &Hive) -> Result<BTreeMap<PackageId, Self>, regf::Error> {
        let mut packages = BTreeMap::new();
        let Some(root) = hive.open(&format!("{SERVICING}\\Packages"))? else { return Ok(packages) };
        for key in hive.subkeys(root)? {
            // What is not named like a package is none.
            let Ok(id) = hive.name(key)?.parse::<PackageId>() else { continue };
            let number = |name: &str| -> Result<Option<u32>, regf::Error> {
                let Some(value) = hive.value(key, name)? else { return Ok(None) };
                Ok(as_number(&Data::decode(value.kind(), &value.data()?)))
            };
            let mut record = Self {
                state: State(number("CurrentState")?.unwrap_or_default()),
                visible: number("Visibility")? != Some(2),
                updates: BTreeMap::new(),
                owners: BTreeMap::new(),
                installed: u64::from(number("InstallTimeHigh")?.unwrap_or_default()) << 32
                    | u64::from(number("InstallTimeLow")?.unwrap_or_default()),
                states: HashMap::new(),
            };
            for (name, state) in numbers(hive, key, "Updates")? {
                record.states.insert(name.to_ascii_lowercase(), State(state));
                record.updates.insert(name, State(state));
            }
            for (name, flags) in numbers(hive, key, "Owners")? {
                if let Ok(owner) = name.parse() {
                    record.owners.insert(owner, flags);
                }
            }
            packages.insert(id, record);
        }
        Ok(packages)
    }
}

/// The versions of a component family within one `major.minor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Winner {
    /// The highest installed version, whose files are projected.
    pub version: Version,
    /// All installed versions.
    pub installed: Vec<Version>,
}

impl Winner {
    /// The winners below the key of a family, by `major.minor`.
    fn read_all(hive: &Hive, family: KeyId) -> Result<BTreeMap<String, Self>, regf::Error> {
        let mut winners = BTreeMap::new();
        for bucket in hive.subkeys(family)? {
            let mut installed = Vec::new();
            let mut version = None;
            for value in hive.values(bucket)? {
                let name = value.name();
                if name.is_empty() {
                    if let Data::Text(text) = Data::decode(value.kind(), &value.data()?) {
                        version = text.parse().ok();
                    }
                } else if let Ok(parsed) = name.parse::<Version>() {
                    installed.push(parsed);
                }
            }
            installed.sort();
            let version = version.or_else(|| installed.last().copied());
            if let Some(version) = version {
                winners.insert(hive.name(bucket)?, Self { version, installed });
            }
        }
        Ok(winners)
    }
}

/// A deployment's key in COMPONENTS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deployment {
    /// `appid`: its identity.
    pub identity: Option<Identity>,
    /// `CatalogThumbprint`.
    pub catalog: Option<String>,
    /// References by the name of their value (`i!CBS_…`), with their text (`PackageId.UpdateName`).
    pub references: BTreeMap<String, String>,
}

impl Deployment {
    fn read(hive: &Hive, key: KeyId) -> Result<Self, regf::Error> {
        let mut deployment = Self::default();
        for value in hive.values(key)? {
            let (name, data) = (value.name(), value.data()?);
            match Data::decode(value.kind(), &data) {
                Data::Text(text) if name.eq_ignore_ascii_case("CatalogThumbprint") => deployment.catalog = Some(text),
                Data::Binary(bytes) if name.eq_ignore_ascii_case("appid") => {
                    let text = std::str::from_utf8(&bytes).unwrap_or_default();
                    deployment.identity = Identity::from_component_string(text).ok();
                }
                Data::Binary(bytes) => {
                    if let Some(text) = Reference::text_of(&bytes) {
                        deployment.references.insert(name, text.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(deployment)
    }
}

/// A component store.
pub struct Store {
    /// `amd64`, `x86`, `arm64`, `arm`.
    pub architecture: &'static str,
    /// Decodes manifests.
    pub dictionary: Dictionary,
    tree: Tree,
    blobs: Blobs,
    software: Arc<Hive>,
    components: Option<Arc<Hive>>,
    packages: BTreeMap<PackageId, PackageRecord>,
    manifests: Mutex<HashMap<PackageId, Arc<Package>>>,
}

pub(super) fn hive_error(file: HiveFile) -> impl Fn(regf::Error) -> StoreError {
    move |source| StoreError::Hive { path: file.path(), source }
}

impl Store {
    /// Reads the store of an image. `dictionary` is for images whose servicing stack is missing or damaged; without it the image's own
    /// is used.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn read(image: &mut Image, dictionary: Option<Dictionary>) -> Result<Self, StoreError> {
        let missing = |file: HiveFile| StoreError::NoStore { missing: file.path().to_owned() };
        let software = image.hive(HiveFile::Software)?.ok_or_else(|| missing(HiveFile::Software))?;
        let components = image.hive(HiveFile::Components)?;
        let dictionary = match dictionary {
            Some(given) => given,
            None => Dictionary::of_image(image)?,
        };
        let mut store = Self {
            architecture: architecture_name(&image.info).ok_or(StoreError::NoArchitecture)?,
            dictionary,
            tree: image.tree.clone(),
            blobs: image.blobs.clone(),
            software,
            components,
            packages: BTreeMap::new(),
            manifests: Mutex::default(),
        };
        store.packages = PackageRecord::read_all(&store.software).map_err(hive_error(HiveFile::Software))?;
        Ok(store)
    }

    /// All packages.
    #[must_use]
    pub fn packages(&self) -> &BTreeMap<PackageId, PackageRecord> {
        &self.packages
    }

    /// The manifest of a package, read once.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn package_manifest(&self, id: &PackageId) -> Result<Arc<Package>, StoreError> {
        if let Some(known) = self.manifests.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(known.clone());
        }
        let path = format!("{PACKAGES_FOLDER}/{id}.mum");
        let bytes = self.read_file(&path)?.ok_or_else(|| StoreError::NoPackageManifest { package: id.to_string(), path: path.clone() })?;
        let manifest = match Package::parse(&bytes) {
            Ok(manifest) if manifest.id() == *id => Arc::new(manifest),
            Ok(manifest) => return Err(StoreError::WrongManifest { path, of: manifest.id().to_string() }),
            Err(source) => return Err(StoreError::Manifest { path, source: source.into() }),
        };
        self.manifests.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), manifest.clone());
        Ok(manifest)
    }

    /// True when the manifest of a package is there.
    #[must_use]
    pub fn has_package_manifest(&self, id: &PackageId) -> bool {
        self.tree.at(&format!("{PACKAGES_FOLDER}/{id}.mum")).is_some()
    }

    /// The manifests of all packages, read in one pass; of those that are missing, damaged or another package's, nothing.
    ///
    /// # Errors
    /// Bytes of the image cannot be had.
    pub fn package_manifests(&self) -> Result<BTreeMap<PackageId, Arc<Package>>, StoreError> {
        let mut wanted: HashMap<BlobId, Vec<&PackageId>> = HashMap::new();
        for id in self.packages.keys() {
            let entry = self.tree.at(&format!("{PACKAGES_FOLDER}/{id}.mum"));
            if let Some(blob) = entry.and_then(|entry| entry.inode().contents) {
                wanted.entry(blob).or_default().push(id);
            }
        }
        let mut found = BTreeMap::new();
        let mut bytes = Vec::new();
        let visited = self.blobs.for_each(wanted.keys().copied(), |blob, size, position, piece| {
            if size > LARGEST_PACKAGE_MANIFEST {
                return;
            }
            if position == 0 {
                bytes.clear();
            }
            bytes.extend_from_slice(piece);
            if bytes.len() as u64 == size
                && let Ok(manifest) = Package::parse(&bytes).map(Arc::new)
            {
                let own = manifest.id();
                let ids = wanted.get(&blob).into_iter().flatten().filter(|id| ***id == own);
                found.extend(ids.map(|id| ((*id).clone(), manifest.clone())));
            }
        });
        visited.map_err(ImageError::from)?;
        Ok(found)
    }

    /// A file of the image; `None` when it is not there.
    ///
    /// # Errors
    /// Its bytes cannot be had.
    pub fn read_file(&self, path: &str) -> Result<Option<Arc<[u8]>>, StoreError> {
        let Some(entry) = self.tree.at(path).filter(|entry| !entry.is_directory()) else { return Ok(None) };
        Ok(Some(match entry.inode().contents {
            Some(id) => self.blobs.read(&id).map_err(ImageError::from)?,
            None => Arc::from([]),
        }))
    }

    /// The image's tree.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The image's bytes.
    pub(super) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The winners of a component family by `major.minor`; none when no version is installed.
    ///
    /// # Errors
    /// The SOFTWARE hive is damaged.
    pub fn winners(&self, family_key: &str) -> Result<BTreeMap<String, Winner>, StoreError> {
        self.read_winners(family_key).map_err(hive_error(HiveFile::Software))
    }

    fn read_winners(&self, family_key: &str) -> Result<BTreeMap<String, Winner>, regf::Error> {
        match self.software.open(&format!("{WINNERS}\\{family_key}"))? {
            Some(family) => Winner::read_all(&self.software, family),
            None => Ok(BTreeMap::new()),
        }
    }

    /// The winners of all families by the names of their keys in lower case and `major.minor`.
    ///
    /// # Errors
    /// The SOFTWARE hive is damaged.
    pub fn all_winners(&self) -> Result<BTreeMap<String, BTreeMap<String, Winner>>, StoreError> {
        let hive = &*self.software;
        let read = || match hive.open(WINNERS)? {
            Some(root) => hive
                .subkeys(root)?
                .into_iter()
                .map(|key| Ok((hive.name(key)?.to_ascii_lowercase(), Winner::read_all(hive, key)?)))
                .collect(),
            None => Ok(BTreeMap::new()),
        };
        read().map_err(hive_error(HiveFile::Software))
    }

    /// The winner of a component's family in the `major.minor` of `identity`.
    ///
    /// # Errors
    /// The SOFTWARE hive is damaged.
    pub fn winner(&self, identity: &Identity) -> Result<Option<Winner>, StoreError> {
        Ok(self.winners(&identity.family_key())?.remove(&bucket(identity.version)))
    }

    /// True when the store holds the component's manifest.
    #[must_use]
    pub fn has_component(&self, keyform: &str) -> bool {
        self.tree.at(&manifest_path(keyform)).is_some()
    }

    /// A component's manifest; `None` when the store does not have it.
    ///
    /// # Errors
    /// It is damaged, or another component's.
    pub fn component(&self, keyform: &str) -> Result<Option<SourceComponent>, StoreError> {
        let path = manifest_path(keyform);
        let Some(stored) = self.read_file(&path)? else { return Ok(None) };
        let xml = self.dictionary.decode(&stored).map_err(|source| StoreError::Decode { path: path.clone(), source: source.into() })?;
        let component = match Component::parse(&xml) {
            Ok(component) => component,
            Err(source) => return Err(StoreError::Manifest { path, source: source.into() }),
        };
        let own = component.identity.keyform();
        if !own.eq_ignore_ascii_case(keyform) {
            return Err(StoreError::WrongManifest { path, of: own });
        }
        let sha256 = Sha256::digest(&xml).into();
        Ok(Some(SourceComponent { stored: stored.clone(), sha256, component: Arc::new(component) }))
    }

    /// A deployment's key in COMPONENTS; `None` when it is not there.
    ///
    /// # Errors
    /// The COMPONENTS hive is damaged.
    pub fn deployment(&self, deployment_key: &str) -> Result<Option<Deployment>, StoreError> {
        let Some(hive) = &self.components else { return Ok(None) };
        let read = || match hive.open(&format!("{DEPLOYMENTS}\\{deployment_key}"))? {
            Some(key) => Ok(Some(Deployment::read(hive, key)?)),
            None => Ok(None),
        };
        read().map_err(hive_error(HiveFile::Components))
    }

    /// The state of an update of a package. A feature's stands beside its package; that of any other follows from what its
    /// deployment is referred to for (`i!`, `s!`), and for one that carries a package, from that package.
    ///
    /// # Errors
    /// A hive is damaged.
    pub fn update_state(&self, package: &PackageId, update: &Update) -> Result<State, StoreError> {
        let Some(record) = self.packages.get(package) else { return Ok(State::ABSENT) };
        if let Some(state) = record.update_state(&update.name) {
            return Ok(state);
        }
        let reference = Reference::new(package, &update.name);
        let mut found = State::ABSENT;
        for payload in &update.payload {
            let state = match payload {
                Payload::Component(identity) | Payload::Driver { identity, .. } => {
                    let deployment = self.deployment(&identity.deployment_key())?.unwrap_or_default();
                    let has = |kind| {
                        let name = reference.value_name(kind);
                        deployment.references.keys().any(|known| known.eq_ignore_ascii_case(&name))
                    };
                    match () {
                        () if has(ReferenceKind::Installed) => State::INSTALLED,
                        () if has(ReferenceKind::Staged) => State::STAGED,
                        () => State::ABSENT,
                    }
                }
                Payload::Package { identity, .. } => {
                    let inner = self.packages.get(&PackageId::from(identity));
                    inner.filter(|inner| inner.owners.contains_key(package)).map_or(State::ABSENT, |inner| inner.state)
                }
                Payload::Capability(_) => continue,
            };
            found = found.max(state);
        }
        Ok(found)
    }

    /// All deployments in COMPONENTS, by the names of their keys in lower case.
    ///
    /// # Errors
    /// The COMPONENTS hive is damaged.
    pub fn deployments(&self) -> Result<BTreeMap<String, Deployment>, StoreError> {
        let Some(hive) = &self.components else { return Ok(BTreeMap::new()) };
        // Each key as it is listed: a list out of order would have to be searched as a whole for every name.
        let read = || match hive.open(DEPLOYMENTS)? {
            Some(root) => hive
                .subkeys(root)?
                .into_iter()
                .map(|key| Ok((hive.name(key)?.to_ascii_lowercase(), Deployment::read(hive, key)?)))
                .collect(),
            None => Ok(BTreeMap::new()),
        };
        read().map_err(hive_error(HiveFile::Components))
    }

    /// Versions of a component that have a folder with files in the store.
    #[must_use]
    pub fn payload_versions(&self, identity: &Identity) -> Vec<Version> {
        let pattern = KeyformPattern::of(identity);
        let folder = self.tree().at(STORE_FOLDER);
        let names = folder.into_iter().flat_map(|folder| folder.children_from(&pattern.prefix));
        let names = names.map(|child| child.name().to_ascii_lowercase()).take_while(|name| name.starts_with(&pattern.prefix));
        names.filter_map(|name| pattern.version(&name)).collect()
    }

    /// The hive COMPONENTS; `None` when the image has none.
    #[must_use]
    pub fn components_hive(&self) -> Option<&Hive> {
        self.components.as_deref()
    }

    /// The hive SOFTWARE.
    #[must_use]
    pub fn software_hive(&self) -> &Hive {
        &self.software
    }
}

/// Where a component's manifest lies in an image.
#[must_use]
pub fn manifest_path(keyform: &str) -> String {
    format!("{STORE_FOLDER}/Manifests/{keyform}.manifest")
}

/// How keyforms of a component look, whatever its version: `architecture_name_token_VERSION_culture_hash`.
pub(super) struct KeyformPattern {
    /// Up to the version.
    pub prefix: String,
    /// From the version on, up to the hash.
    suffix: String,
}

impl KeyformPattern {
    pub fn of(identity: &Identity) -> Self {
        let keyform = identity.keyform();
        let mut parts = keyform.rsplitn(4, '_').skip(1);
        let culture = parts.next().unwrap_or_default();
        let front = parts.nth(1).unwrap_or_default();
        Self { prefix: format!("{front}_"), suffix: format!("_{culture}_") }
    }

    /// The version in a keyform, in lower case; `None` for other components.
    pub fn version(&self, keyform: &str) -> Option<Version> {
        let rest = keyform.strip_prefix(&self.prefix)?;
        let (version, rest) = rest.split_at_checked(rest.find('_')?)?;
        rest.strip_prefix(&self.suffix)?;
        version.parse().ok()
    }
}

/// Where a payload file of a component lies in an image; `name` may have folders in it.
#[must_use]
pub fn payload_path(keyform: &str, name: &str) -> String {
    format!("{STORE_FOLDER}/{keyform}/{}", name.replace('\\', "/"))
}

/// The part of the `Winners` key that versions compete in: `major.minor`.
#[must_use]
pub fn bucket(version: Version) -> String {
    let Version([major, minor, ..]) = version;
    format!("{major}.{minor}")
}

fn as_number(data: &Data) -> Option<u32> {
    match data {
        Data::Dword(number) => Some(*number),
        _ => None,
    }
}

/// The values of a subkey that are numbers.
fn numbers(hive: &Hive, key: KeyId, subkey: &str) -> Result<Vec<(String, u32)>, regf::Error> {
    let Some(key) = hive.subkey(key, subkey)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for value in hive.values(key)? {
        if let Some(number) = as_number(&Data::decode(value.kind(), &value.data()?)) {
            found.push((value.name(), number));
        }
    }
    Ok(found)
}

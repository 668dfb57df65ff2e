//! Packages as they are delivered: one interface over every container and layout.
//!
//! An update file (`.msu`, `.cab`, `.esd`) holds one or more *deliveries*: a servicing stack update beside the cumulative update, for
//! one. Each has a root package, the packages in it, component manifests, and payload, as whole files or as differentials. Nothing
//! of it is believed before it is proven: a catalog is signed, lists the hash of its package manifest and of every component
//! manifest (decoded); a component manifest states the hash of every payload file.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use wimwright_format::archive::ArchiveError;
use wimwright_format::catalog::{self, Catalog, Policy, Root};
use wimwright_format::io::ReadAt;
use wimwright_format::manifest::package::{PackageClass, classify};
use wimwright_format::manifest::{Component, HashAlgorithm, Package, PackageId};
use wimwright_format::msu::{FilesError, Generation, Layout, MsuError, PackageArchive, Update};

use super::dictionary::{Dictionary, DictionaryError};
use crate::step::Payload;

/// Largest manifest or catalog in a delivery, in bytes: all are read before anything is proven. The largest real ones have 3 MB.
const LARGEST_MANIFEST: u64 = 64 << 20;
/// Payload that is kept from the pass that reads the manifests, in bytes, over all deliveries: what is small is decompressed once, and
/// what is large takes no memory.
const MOST_KEPT: u64 = 64 << 20;
/// First bytes of a PSF.
const PSF_MAGIC: &[u8] = b"PSTREAM\0";

/// Endings of the files that a folder is searched for. What a file is, its contents say.
pub const ENDINGS: [&str; 4] = [".msu", ".cab", ".psf", ".esd"];

/// True for a name with one of the [`ENDINGS`].
#[must_use]
pub fn has_ending(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Take packages whose catalog is not signed by one of the roots. What the catalogs list is checked nevertheless.
    pub allow_unsigned: bool,
    /// Certificates that signatures must lead to.
    pub roots: Vec<Root>,
    /// The time at which a signature without timestamp is judged, in seconds since 1970.
    pub time: u64,
}

impl Trust {
    /// Microsoft's roots, nothing unsigned.
    #[must_use]
    pub fn microsoft(time: u64) -> Self {
        Self { allow_unsigned: false, roots: Root::microsoft(), time }
    }
}

/// Who vouches for a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Signature {
    /// Its catalog is signed, and the chain ends in a trusted root.
    Trusted {
        /// Subject of the signer's certificate.
        signer: String,
        /// Name of the root.
        root: String,
    },
    /// Nobody: taken because the user allows it.
    Unsigned {
        /// What is wrong with the signature.
        reason: String,
    },
}

/// Why a delivery cannot be used. Nothing of it is installed then.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The container is refused.
    #[error("`{file}` is no update that can be read")]
    Container {
        /// The file.
        file: String,
        /// Why.
        source: Box<MsuError>,
    },
    /// There is no package in it.
    #[error("`{file}` holds no package")]
    NoPackage {
        /// The file.
        file: String,
    },
    /// A dynamic update for Setup: files for the medium.
    #[error("`{file}` is a dynamic update for Windows Setup: files for the `sources` folder of the medium, no package of an image")]
    SetupUpdate {
        /// The file.
        file: String,
    },
    /// Its files cannot be made.
    #[error("the files of `{file}` cannot be read")]
    Files {
        /// The file.
        file: String,
        /// Why.
        source: Box<FilesError>,
    },
    /// A manifest or catalog is larger than any.
    #[error("`{member}` in `{file}` has {length} bytes: at most {LARGEST_MANIFEST} are read")]
    TooLarge {
        /// The file.
        file: String,
        /// The member.
        member: String,
        /// Bytes that it claims.
        length: u64,
    },
    /// A manifest is damaged.
    #[error("`{member}` in `{file}` is no manifest")]
    Manifest {
        /// The file.
        file: String,
        /// The member.
        member: String,
        /// Why.
        source: Box<wimwright_format::manifest::Error>,
    },
    /// A component manifest cannot be decoded.
    #[error("the manifest of {component} in `{file}` cannot be decoded")]
    Decode {
        /// The file.
        file: String,
        /// The component.
        component: String,
        /// Why.
        source: Box<DictionaryError>,
    },
    /// There is no catalog.
    #[error("package {package} in `{file}` has no catalog: nobody vouches for it")]
    NoCatalog {
        /// The file.
        file: String,
        /// The package.
        package: String,
    },
    /// A catalog is damaged, or its signature does not hold.
    #[error("the catalog of {package} in `{file}` is not trusted")]
    Catalog {
        /// The file.
        file: String,
        /// The package.
        package: String,
        /// Why.
        source: Box<catalog::Error>,
    },
    /// A manifest is in no catalog.
    #[error("the manifest `{member}` in `{file}` is listed in no catalog of the package: it was changed after it was signed")]
    Unlisted {
        /// The file.
        file: String,
        /// The member.
        member: String,
    },
    /// Two members claim one identity.
    #[error("`{file}` has two manifests of {what}")]
    Duplicate {
        /// The file.
        file: String,
        /// The identity.
        what: String,
    },
    /// A component that the package needs is not in it.
    #[error("`{file}` does not contain the component {component}")]
    NoComponent {
        /// The file.
        file: String,
        /// The component.
        component: String,
    },
    /// A component's manifest has another identity than its name says.
    #[error("the manifest `{member}` in `{file}` is that of another component, {found}")]
    WrongName {
        /// The file.
        file: String,
        /// The member's name.
        member: String,
        /// The name that its identity gives.
        found: String,
    },
}

impl SourceError {
    /// The delivered file that it is about.
    #[must_use]
    pub fn file(&self) -> &str {
        match self {
            Self::Container { file, .. }
            | Self::NoPackage { file, .. }
            | Self::SetupUpdate { file, .. }
            | Self::Files { file, .. }
            | Self::TooLarge { file, .. }
            | Self::Manifest { file, .. }
            | Self::Decode { file, .. }
            | Self::NoCatalog { file, .. }
            | Self::Catalog { file, .. }
            | Self::Unlisted { file, .. }
            | Self::Duplicate { file, .. }
            | Self::NoComponent { file, .. }
            | Self::WrongName { file, .. } => file,
        }
    }
}

/// A package manifest with what vouches for it.
pub struct SourcePackage {
    /// The manifest.
    pub manifest: Arc<Package>,
    /// Its bytes.
    pub manifest_bytes: Arc<[u8]>,
    /// The bytes of its catalog; `None` only where unsigned packages are allowed.
    pub catalog: Option<Arc<[u8]>>,
    /// Who vouches for it.
    pub signature: Signature,
}

impl SourcePackage {
    /// The name of its catalog in `WinSxS\Catalogs` and in COMPONENTS: SHA-256 in lower-case hexadecimal digits.
    #[must_use]
    pub fn catalog_thumbprint(&self) -> Option<String> {
        self.catalog.as_ref().map(|catalog| hexadecimal(&Sha256::digest(catalog)))
    }
}

/// Bytes in lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A component manifest as delivered.
#[derive(Debug, Clone)]
pub struct SourceComponent {
    /// As the store keeps it, perhaps compressed.
    pub stored: Arc<[u8]>,
    /// SHA-256 of the decoded manifest: `S256H` of its key.
    pub sha256: [u8; 32],
    /// What it says.
    pub component: Arc<Component>,
}

/// How a payload file is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadForm {
    /// Whole.
    Whole,
    /// As a differential from the base version (`f\`), and perhaps one back to it (`r\`).
    Forward {
        /// True when the way back is there as well.
        reverse: bool,
    },
    /// As a differential from nothing (`n\`).
    Null,
}

/// A root package with everything that was delivered with it.
pub struct PackageSource {
    /// The file as the user wrote it.
    pub file: String,
    /// The file, and the name inside where it holds several packages.
    pub name: String,
    /// The root package.
    pub root: PackageId,
    /// What kind it is.
    pub class: PackageClass,
    archive: PackageArchive,
    packages: BTreeMap<PackageId, SourcePackage>,
    /// Stored manifests of components by keyform.
    manifests: HashMap<String, Arc<[u8]>>,
    /// By digest: whether a catalog lists it.
    listed: HashMap<Vec<u8>, ()>,
    allow_unsigned: bool,
    /// Names of all files that are no manifests, in lower case.
    files: HashMap<String, u64>,
    dictionary: Dictionary,
    decoded: Mutex<HashMap<String, SourceComponent>>,
    /// All files that are no manifests, by names as in `files`, where they were kept.
    kept: Option<BTreeMap<String, Arc<[u8]>>>,
}

impl fmt::Debug for PackageSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PackageSource").field("name", &self.name).field("root", &self.root.to_string()).finish_non_exhaustive()
    }
}

/// Deliveries as they were opened last: the images of a build mostly take the same ones, and a large one is opened for many seconds.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    last: Arc<Mutex<Option<Last>>>,
}

/// Deliveries, and all that they depend on.
type Last = (OpenedWith, Arc<Vec<PackageSource>>);

/// All that opened deliveries depend on.
#[derive(Debug, PartialEq, Eq)]
struct OpenedWith {
    /// Names and SHA-256.
    files: Vec<(String, [u8; 32])>,
    dictionary: Dictionary,
    trust: Trust,
}

impl Opened {
    /// Opens update files like [`open`], unless they were the last to be opened.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(&self, files: &[Payload], dictionary: &Dictionary, trust: Trust) -> Result<Arc<Vec<PackageSource>>, SourceError> {
        let names = files.iter().map(|payload| (payload.name.clone(), payload.sha256)).collect();
        let with = OpenedWith { files: names, dictionary: dictionary.clone(), trust };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, sources)) = &*last
            && *known == with
        {
            return Ok(sources.clone());
        }
        // What is held goes first: two large updates need not fit into memory.
        *last = None;
        let sources = Arc::new(open(files, dictionary, &with.trust)?);
        *last = Some((with, sources.clone()));
        Ok(sources)
    }
}

/// Opens update files in any order; a `.psf` belongs to the package that states its length.
///
/// # Errors
/// The first that cannot be used; see [`SourceError`].
pub fn open(files: &[Payload], dictionary: &Dictionary, trust: &Trust) -> Result<Vec<PackageSource>, SourceError> {
    let starts_with_psf = |payload: &Payload| {
        let mut magic = [0; 8];
        payload.source.size() >= 8 && payload.source.read_exact_at(&mut magic, 0).is_ok() && magic == PSF_MAGIC
    };
    let (psf, updates): (Vec<&Payload>, Vec<&Payload>) = files.iter().partition(|payload| starts_with_psf(payload));
    let mut sources = Vec::new();
    let mut room = MOST_KEPT;
    for payload in updates {
        let file = || payload.name.clone();
        let update =
            Update::open(payload.source.clone()).map_err(|source| SourceError::Container { file: file(), source: source.into() })?;
        if update.packages.is_empty() {
            let loose = update.generation == Generation::Loose;
            return Err(if loose { SourceError::SetupUpdate { file: file() } } else { SourceError::NoPackage { file: file() } });
        }
        for mut archive in update.packages {
            let name = if archive.name.is_empty() { file() } else { format!("{}:{}", payload.name, archive.name) };
            if let (Layout::Psf { index, .. }, None) = (&archive.layout, &archive.psf) {
                let fits = |payload: &&&Payload| index.length == 0 || payload.source.size() == index.length;
                let found: Option<Arc<dyn ReadAt>> = psf.iter().find(fits).map(|payload| payload.source.clone());
                archive.psf = found;
            }
            sources.push(PackageSource::read(payload.name.clone(), name, archive, dictionary, trust, &mut room)?);
        }
    }
    Ok(sources)
}

impl PackageSource {
    /// Reads the manifests; the payload, too, where there is `room` for it and it needs no deltas.
    fn read(
        file: String,
        name: String,
        archive: PackageArchive,
        dictionary: &Dictionary,
        trust: &Trust,
        room: &mut u64,
    ) -> Result<Self, SourceError> {
        let files = archive.files();
        let is_manifest = |name: &str| {
            let lower = name.to_ascii_lowercase();
            !lower.contains('\\') && [".mum", ".cat", ".manifest"].iter().any(|ending| lower.ends_with(ending))
        };
        if let Some((member, length)) = files.iter().find(|(member, length)| is_manifest(member) && *length > LARGEST_MANIFEST) {
            return Err(SourceError::TooLarge { file: name, member: member.clone(), length: *length });
        }
        let read = |select: &(dyn Fn(&str) -> bool + Sync)| -> Result<BTreeMap<String, Arc<[u8]>>, FilesError> {
            let read = Mutex::new(BTreeMap::<String, Arc<[u8]>>::new());
            archive.make(select, &|name, bytes| {
                read.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_ascii_lowercase(), bytes.into());
                Ok(())
            })?;
            Ok(read.into_inner().unwrap_or_else(PoisonError::into_inner))
        };
        let total = files.iter().fold(0_u64, |sum, (_, length)| sum.saturating_add(*length));
        let fits = matches!(archive.layout, Layout::Expanded) && total <= *room;
        // A file that cannot be read is the business of who needs it.
        let all = if fits { read(&|_| true).ok() } else { None };
        let (members, kept) = match all {
            Some(all) => {
                *room -= total;
                let (manifests, payload): (BTreeMap<_, _>, BTreeMap<_, _>) = all.into_iter().partition(|(name, _)| is_manifest(name));
                (manifests, Some(payload))
            }
            None => (read(&is_manifest).map_err(|source| SourceError::Files { file: name.clone(), source: source.into() })?, None),
        };
        let mut source = Self {
            file,
            root: PackageId::from(&wimwright_format::manifest::Identity::default()),
            class: PackageClass::Other,
            archive,
            packages: BTreeMap::new(),
            manifests: HashMap::new(),
            listed: HashMap::new(),
            allow_unsigned: trust.allow_unsigned,
            files: HashMap::new(),
            dictionary: dictionary.clone(),
            decoded: Mutex::default(),
            kept,
            name,
        };
        let mut root = None;
        for (member, bytes) in &members {
            if let Some(stem) = member.strip_suffix(".mum") {
                let id = source.add_package(member, bytes.clone(), members.get(&format!("{stem}.cat")).cloned(), trust)?;
                if stem == "update" {
                    root = Some(id);
                }
            } else if let Some(stem) = member.strip_suffix(".manifest") {
                source.manifests.insert(stem.to_owned(), bytes.clone());
            }
        }
        source.root = root.ok_or_else(|| SourceError::NoPackage { file: source.name.clone() })?;
        let manifest = source.packages.get(&source.root).map(|package| package.manifest.clone());
        source.class = classify(manifest.as_deref(), files.iter().map(|(name, _)| name.as_str()));
        source.files =
            files.into_iter().filter(|(name, _)| !is_manifest(name)).map(|(name, length)| (name.to_ascii_lowercase(), length)).collect();
        Ok(source)
    }

    fn add_package(&mut self, member: &str, bytes: Arc<[u8]>, catalog: Option<Arc<[u8]>>, trust: &Trust) -> Result<PackageId, SourceError> {
        let file = || self.name.clone();
        let parsed = Package::parse(&bytes).map_err(|source| SourceError::Manifest {
            file: file(),
            member: member.to_owned(),
            source: source.into(),
        })?;
        let id = parsed.id();
        let package = || id.to_string();
        let signature = match &catalog {
            None if trust.allow_unsigned => Signature::Unsigned { reason: "it has no catalog".to_owned() },
            None => return Err(SourceError::NoCatalog { file: file(), package: package() }),
            Some(catalog) => {
                let untrusted = |source: catalog::Error| SourceError::Catalog { file: file(), package: package(), source: source.into() };
                let catalog = Catalog::parse(catalog).map_err(untrusted)?;
                if catalog.lists(&bytes).is_none() {
                    return Err(SourceError::Unlisted { file: file(), member: member.to_owned() });
                }
                let policy = Policy { roots: &trust.roots, time: trust.time, require_system_component: false };
                let signature = match catalog.verify(&policy) {
                    Ok(verification) => {
                        let signer = verification.signer().map(|signer| signer.subject.clone()).unwrap_or_default();
                        Signature::Trusted { signer, root: verification.root }
                    }
                    Err(error) if trust.allow_unsigned => Signature::Unsigned { reason: error.to_string() },
                    Err(error) => return Err(untrusted(error)),
                };
                self.listed.extend(catalog.members.iter().filter_map(catalog::Member::hash).map(|(_, digest)| (digest, ())));
                signature
            }
        };
        let added = SourcePackage { manifest: Arc::new(parsed), manifest_bytes: bytes, catalog, signature };
        match self.packages.get(&id) {
            // The root's manifest is there under two names, with the same bytes.
            Some(known) if known.manifest_bytes != added.manifest_bytes => {
                Err(SourceError::Duplicate { file: file(), what: id.to_string() })
            }
            _ => {
                self.packages.insert(id.clone(), added);
                Ok(id)
            }
        }
    }

    /// Its bytes, if it is one cabinet with everything in it: what DISM and Windows Setup take.
    #[must_use]
    pub fn cabinet(&self) -> Option<&Arc<dyn ReadAt>> {
        self.archive.whole()
    }

    /// All packages of the delivery, the root among them.
    pub fn packages(&self) -> impl Iterator<Item = (&PackageId, &SourcePackage)> {
        self.packages.iter()
    }

    /// A package of the delivery.
    #[must_use]
    pub fn package(&self, id: &PackageId) -> Option<&SourcePackage> {
        self.packages.get(id)
    }

    /// True when the component's manifest was delivered.
    #[must_use]
    pub fn has_component(&self, keyform: &str) -> bool {
        self.manifests.contains_key(&keyform.to_ascii_lowercase())
    }

    /// Keyforms of all delivered components and deployments.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.manifests.keys().map(String::as_str)
    }

    /// A component's manifest, decoded once and proven by a catalog of the delivery.
    ///
    /// # Errors
    /// It is not there, damaged, listed nowhere, or of another identity.
    pub fn component(&self, keyform: &str) -> Result<SourceComponent, SourceError> {
        let keyform = keyform.to_ascii_lowercase();
        if let Some(known) = self.decoded.lock().unwrap_or_else(PoisonError::into_inner).get(&keyform) {
            return Ok(known.clone());
        }
        let file = || self.name.clone();
        let missing = || SourceError::NoComponent { file: file(), component: keyform.clone() };
        let stored = self.manifests.get(&keyform).ok_or_else(missing)?;
        let decode = |source: DictionaryError| SourceError::Decode { file: file(), component: keyform.clone(), source: source.into() };
        let xml = self.dictionary.decode(stored).map_err(decode)?;
        let listed = [HashAlgorithm::Sha256, HashAlgorithm::Sha1].iter().any(|algorithm| self.listed.contains_key(&algorithm.digest(&xml)));
        let member = || format!("{keyform}.manifest");
        // Without any catalog there is nothing to hold it against.
        let nothing_listed = self.allow_unsigned && self.listed.is_empty();
        if !listed && !nothing_listed {
            return Err(SourceError::Unlisted { file: file(), member: member() });
        }
        let component =
            Component::parse(&xml).map_err(|source| SourceError::Manifest { file: file(), member: member(), source: source.into() })?;
        let found = component.identity.keyform();
        if found != keyform {
            return Err(SourceError::WrongName { file: file(), member: member(), found });
        }
        let read = SourceComponent { stored: stored.clone(), sha256: Sha256::digest(&xml).into(), component: Arc::new(component) };
        self.decoded.lock().unwrap_or_else(PoisonError::into_inner).insert(keyform, read.clone());
        Ok(read)
    }

    /// How a payload file of a component is delivered; `None` when it is not.
    #[must_use]
    pub fn payload_form(&self, keyform: &str, name: &str) -> Option<PayloadForm> {
        let there = |folder: &str| self.files.contains_key(&payload_path(keyform, folder, name));
        if there("") {
            Some(PayloadForm::Whole)
        } else if there("f\\") {
            Some(PayloadForm::Forward { reverse: there("r\\") })
        } else if there("n\\") {
            Some(PayloadForm::Null)
        } else {
            None
        }
    }

    /// Reads delivered files by their paths in the delivery (see [`payload_path`]), in one pass. `sink` gets the path in lower case,
    /// from any thread.
    ///
    /// # Errors
    /// A file cannot be made, or `sink` fails.
    pub fn read_files(&self, wanted: &HashMap<String, ()>, sink: &wimwright_format::msu::Sink) -> Result<(), SourceError> {
        if let Some(kept) = &self.kept {
            for (name, bytes) in kept.iter().filter(|(name, _)| wanted.contains_key(*name)) {
                sink(name, bytes).map_err(|source| {
                    let source = FilesError::Archive(ArchiveError::Visit { name: name.clone(), source });
                    SourceError::Files { file: self.name.clone(), source: source.into() }
                })?;
            }
            return Ok(());
        }
        let made = self
            .archive
            .make(&|name| wanted.contains_key(&name.to_ascii_lowercase()), &|name, bytes| sink(&name.to_ascii_lowercase(), bytes));
        made.map_err(|source| SourceError::Files { file: self.name.clone(), source: source.into() })
    }
}

/// The path of a payload file in a delivery, in lower case: `folder` is empty for the whole file, `f\`, `r\` or `n\` for a differential.
#[must_use]
pub fn payload_path(keyform: &str, folder: &str, name: &str) -> String {
    format!("{keyform}\\{folder}{name}").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wimwright_format::io::FileSource;

    /// 2026-01-01: only packages without timestamp depend on it.
    const TIME: u64 = 1_767_225_600;

    fn payload(path: &std::path::Path) -> Payload {
        let source = FileSource::new(std::fs::File::open(path).unwrap()).unwrap();
        Payload { name: path.file_name().unwrap().to_string_lossy().into_owned(), sha256: [0; 32], source: Arc::new(source) }
    }

    /// What was kept of a small delivery is what a pass over a large one gives.
    #[test]
    fn payload_is_the_same_kept_or_not() {
        use wimwright_practice::updates::{UpdateOptions, files};
        let read = |source: &PackageSource, wanted: &HashMap<String, ()>| {
            let read = Mutex::new(BTreeMap::new());
            let keep = |name: &str, bytes: &[u8]| {
                read.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
                Ok(())
            };
            source.read_files(wanted, &keep).unwrap();
            read.into_inner().unwrap()
        };
        let payloads: Vec<Payload> = files(&UpdateOptions::default())
            .unwrap()
            .into_iter()
            .map(|file| Payload { name: file.path, sha256: [0; 32], source: Arc::new(file.bytes) })
            .collect();
        let trust = Trust { allow_unsigned: true, ..Trust::microsoft(TIME) };
        let mut read_files = 0;
        for mut source in open(&payloads, &Dictionary::default(), &trust).unwrap() {
            let all: HashMap<String, ()> = source.files.keys().map(|name| (name.clone(), ())).collect();
            let one: HashMap<String, ()> = all.keys().take(1).map(|name| (name.clone(), ())).collect();
            assert_eq!(source.kept.as_ref().map(BTreeMap::len), Some(all.len()), "{}", source.name);
            let kept = (read(&source, &all), read(&source, &one));
            source.kept = None;
            assert_eq!((read(&source, &all), read(&source, &one)), kept, "{}", source.name);
            assert_eq!((kept.0.len(), kept.1.len()), (all.len(), one.len()), "{}", source.name);
            read_files += all.len();
        }
        assert!(read_files > 0);
        // Without room nothing is kept.
        for payload in &payloads {
            for archive in Update::open(payload.source.clone()).unwrap().packages {
                let (file, mut room) = (payload.name.clone(), 10);
                let source = PackageSource::read(file.clone(), file, archive, &Dictionary::default(), &trust, &mut room).unwrap();
                assert!(source.kept.is_none() && room == 10);
            }
        }
    }

    /// Every real package: signed by Microsoft, every manifest listed, every name as its identity says.
    #[test]
    fn real_packages_prove_themselves() {
        let Some(folder) = wimwright_testkit::test_data("msu_cab") else { return };
        let Some(base) = wimwright_testkit::test_data("manifests/msdelta/base_manifest.bin") else { return };
        let dictionary = Dictionary::new(std::fs::read(base).unwrap());
        for (file, root, class, packages, components) in [
            (
                "OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab",
                "OpenSSH-Server-Package~31bf3856ad364e35~amd64~~10.0.20348.1",
                PackageClass::FeatureOnDemand,
                4,
                6,
            ),
            (
                "OpenSSH-19041/OpenSSH-Client-Package~31bf3856ad364e35~amd64~~.cab",
                "OpenSSH-Client-Package~31bf3856ad364e35~amd64~~10.0.19041.1",
                PackageClass::FeatureOnDemand,
                4,
                6,
            ),
            (
                "OpenSSH-19041/OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab",
                "OpenSSH-Server-Package~31bf3856ad364e35~amd64~~10.0.19041.1",
                PackageClass::FeatureOnDemand,
                4,
                6,
            ),
            (
                "microsoft-windows-internetexplorer-optional-package~31bf3856ad364e35~amd64~~.cab",
                "Microsoft-Windows-InternetExplorer-Optional-Package~31bf3856ad364e35~amd64~~11.0.19041.1",
                PackageClass::FeatureOnDemand,
                2,
                11,
            ),
            ("Windows6.1-KB2465285-x64.msu", "Package_for_KB2465285~31bf3856ad364e35~amd64~~6.1.1.0", PackageClass::Other, 7, 4),
            ("Windows8.1-KB2937592-x86.msu", "Package_for_KB2937592~31bf3856ad364e35~x86~~6.3.1.0", PackageClass::Feature, 52, 96),
        ] {
            let sources = open(&[payload(&folder.join(file))], &dictionary, &Trust::microsoft(TIME)).unwrap();
            let [source] = sources.as_slice() else { panic!("{file}") };
            for keyform in source.components() {
                source.component(keyform).unwrap();
            }
            assert!(source.packages().all(|(_, package)| matches!(package.signature, Signature::Trusted { .. })), "{file}");
            let found = (source.root.to_string(), source.class, source.packages().count(), source.components().count());
            assert_eq!(found, (root.to_owned(), class, packages, components), "{file}");
        }
    }

    #[test]
    fn real_package_without_trust_is_refused() {
        let Some(path) = wimwright_testkit::test_data("msu_cab/OpenSSH-19041/OpenSSH-Client-Package~31bf3856ad364e35~amd64~~.cab") else {
            return;
        };
        let nobody = Trust { allow_unsigned: false, roots: Vec::new(), time: TIME };
        assert!(matches!(open(&[payload(&path)], &Dictionary::default(), &nobody), Err(SourceError::Catalog { .. })));
        let anybody = Trust { allow_unsigned: true, ..nobody };
        let sources = open(&[payload(&path)], &Dictionary::default(), &anybody).unwrap();
        assert!(sources[0].packages().all(|(_, package)| matches!(package.signature, Signature::Unsigned { .. })));
        let compressed = sources[0].components().find(|keyform| matches!(sources[0].component(keyform), Err(SourceError::Decode { .. })));
        assert!(compressed.is_some(), "without dictionary");
    }
}

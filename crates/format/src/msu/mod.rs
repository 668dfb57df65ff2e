//! Update containers (`.msu`, `.cab`, `.esd`): which generation, and which packages are in it. Told apart by content.
//!
//! An `.msu` is an archive around packages. A *package* is an archive with `update.mum` at its root. Generations
//! (documented in `docs/formats/msu.md`):
//! - classic (Windows Vista to 10): a cabinet with one package cabinet, an answer file fragment, a text of properties and
//!   `WSUSSCAN.cab`;
//! - combined (Windows 10 of 2021): a cabinet with the servicing stack's and the cumulative update's cabinets;
//! - UUP (Windows 11): the same with metadata, deployment tools, and payloads in PSF files;
//! - the same as a WIM (Windows 11 24H2).
//!
//! A package may be the file itself, and a large one may be spread over nested cabinets, with a `*cablist.ini`.

mod answer_fragment;
mod files;

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::Arc;

pub use answer_fragment::{
    FragmentError, PackageIdentity, PackageProperties, ServicingRequest, parse_package_properties, parse_servicing_requests,
};
pub use files::{FilesError, LARGEST_MEMBER, Sink};

use crate::archive::{Archive, ArchiveError, ArchiveMember};
use crate::cab::{CabError, Cabinet};
use crate::container_index::{ContainerIndex, ContainerKind, IndexError};
use crate::io::{ReadAt, Reader};
use crate::member_name::fold_name;
use crate::wim::WimArchive;

/// Bytes of all members of a cabinet that are opened at once, since they may have to be decoded into memory. The largest
/// cumulative updates that came in cabinets have less than 1 GiB.
pub const LARGEST_NESTED: u64 = 4 << 30;

/// Bytes of an answer file fragment or a text of properties at most; they have about 500.
pub const LARGEST_TEXT: u64 = 1 << 20;

/// Members at most of a cabinet around packages: a UUP update has about ten, a nested language pack some dozens, a dynamic
/// update for Setup some hundred.
pub const MOST_NESTED: usize = 10_000;

/// Name of the root package's manifest.
const ROOT_MANIFEST: &str = "update.mum";

/// Why a file is no update container that we can read.
#[derive(Debug, thiserror::Error)]
pub enum MsuError {
    /// The file cannot be read.
    #[error("cannot read the update")]
    Io(#[from] io::Error),
    /// Neither a cabinet nor a WIM.
    #[error("no update: the file is neither a cabinet nor a WIM")]
    UnknownFormat,
    /// A cabinet is refused.
    #[error("cannot open the cabinet {name:?}")]
    Cabinet {
        /// Name of the member; empty for the file itself.
        name: String,
        /// Why.
        source: CabError,
    },
    /// A WIM is refused.
    #[error("cannot open the WIM {name:?}")]
    Wim {
        /// Name of the member; empty for the file itself.
        name: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A member cannot be read.
    #[error("cannot read the update's members")]
    Archive(#[from] ArchiveError),
    /// A member is too large, or there are too many.
    #[error("update {name:?} exceeds the limits: {reason}")]
    TooLarge {
        /// Name of the archive; empty for the file itself.
        name: String,
        /// Which limit.
        reason: &'static str,
    },
    /// An index of deltas is refused.
    #[error("the index {name:?} is refused")]
    Index {
        /// Name of the member.
        name: String,
        /// Why.
        source: IndexError,
    },
    /// A package needs a PSF, and there is none that fits.
    #[error("package {package:?} takes its files from a PSF of {length} bytes, which is missing or not the only one")]
    NoPsf {
        /// Name of the package.
        package: String,
        /// Length that the index states.
        length: u64,
    },
    /// The answer file fragment or the properties are refused.
    #[error("cannot read {name:?}")]
    Fragment {
        /// Name of the member.
        name: String,
        /// Why.
        source: FragmentError,
    },
}

/// How an update is shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// The file is itself a package: a cabinet, or a WIM with the extension `.esd`.
    Package,
    /// A cabinet around one package.
    Classic,
    /// A cabinet around several packages.
    Combined,
    /// A cabinet around packages, metadata, deployment tools or PSF files.
    Uup,
    /// A WIM around such.
    Wim,
    /// No package at all: loose files, as the dynamic updates for Setup are.
    Loose,
}

/// Where a package's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// As members.
    Expanded,
    /// Some are deltas between each other; members are the sources of the index.
    Deltas {
        /// Name of the member that is the index.
        index_name: String,
        /// The index.
        index: ContainerIndex,
    },
    /// In a PSF, apart from the manifests.
    Psf {
        /// Name of the member that is the index.
        index_name: String,
        /// The index.
        index: ContainerIndex,
    },
}

/// A package in an update.
pub struct PackageArchive {
    /// Path in the update; empty if the update is the package.
    pub name: String,
    /// Where its files are.
    pub layout: Layout,
    /// The PSF, for [`Layout::Psf`].
    pub psf: Option<Arc<dyn ReadAt>>,
    /// The bytes of the cabinet, if the package is one.
    pub cabinet: Option<Arc<dyn ReadAt>>,
    /// The archive, and the cabinets nested in it. Where they have the same member, the last one counts, as with `expand.exe`.
    parts: Vec<Arc<dyn Archive>>,
    /// By folded name: the part, and the member's name there.
    places: HashMap<Vec<u16>, (usize, ArchiveMember)>,
}

/// An update, taken apart down to its packages.
pub struct Update {
    /// How it is shipped.
    pub generation: Generation,
    /// The packages, in the order of the container.
    pub packages: Vec<PackageArchive>,
    /// Packages that the answer file fragment installs.
    pub requests: Vec<ServicingRequest>,
    /// The text of properties.
    pub properties: Option<PackageProperties>,
    /// Members that are neither packages nor read here: scan data, metadata, deployment tools, loose files.
    pub others: Vec<ArchiveMember>,
}

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Magic {
    Cabinet,
    Wim,
    Psf,
    Other,
}

impl Magic {
    fn of(start: &[u8]) -> Self {
        if start.starts_with(b"MSCF") {
            Self::Cabinet
        } else if start.starts_with(b"MSWIM\0\0\0") {
            Self::Wim
        } else if start.starts_with(b"PSTREAM\0") {
            Self::Psf
        } else {
            Self::Other
        }
    }

    fn read(source: &dyn ReadAt) -> io::Result<Self> {
        let mut start = [0; 8];
        let length = usize::try_from(source.size()).unwrap_or(8).min(8);
        let start = start.get_mut(..length).unwrap_or_default();
        source.read_exact_at(start, 0)?;
        Ok(Self::of(start))
    }
}

fn open_archive(source: Arc<dyn ReadAt>, name: &str) -> Result<Option<Arc<dyn Archive>>, MsuError> {
    Ok(match Magic::read(&*source)? {
        Magic::Cabinet => {
            let cabinet = Cabinet::open(source).map_err(|source| MsuError::Cabinet { name: name.to_owned(), source })?;
            Some(Arc::new(cabinet))
        }
        Magic::Wim => Some(Arc::new(WimArchive::open(source).map_err(|source| MsuError::Wim { name: name.to_owned(), source })?)),
        Magic::Psf | Magic::Other => None,
    })
}

fn has_extension(name: &str, extension: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, found)| found.eq_ignore_ascii_case(extension))
}

fn ends_with(name: &str, end: &str) -> bool {
    name.len().checked_sub(end.len()).and_then(|start| name.get(start..)).is_some_and(|found| found.eq_ignore_ascii_case(end))
}

fn stem(name: &str) -> Vec<u16> {
    fold_name(name.rsplit_once('.').map_or(name, |(stem, _)| stem))
}

impl Update {
    /// Takes an update apart.
    ///
    /// # Errors
    /// See [`MsuError`].
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Self, MsuError> {
        let magic = Magic::read(&*source)?;
        let archive = open_archive(source.clone(), "")?.ok_or(MsuError::UnknownFormat)?;
        let mut update =
            Self { generation: Generation::Loose, packages: Vec::new(), requests: Vec::new(), properties: None, others: Vec::new() };
        if is_package(&archive.members()) {
            update.generation = Generation::Package;
            let mut package = PackageArchive::open(String::new(), archive, None)?;
            package.cabinet = (magic == Magic::Cabinet).then_some(source);
            update.packages.push(package);
            return Ok(update);
        }
        let mut contents = Contents::read(&*archive, magic)?;
        update.generation = contents.generation(magic);
        for (name, archive, cabinet) in std::mem::take(&mut contents.packages) {
            let mut package = PackageArchive::open(name, archive, Some(&contents.psf))?;
            package.cabinet = cabinet;
            update.packages.push(package);
        }
        update.requests = contents.requests;
        update.properties = contents.properties;
        update.others = contents.others;
        Ok(update)
    }
}

/// A package has its manifest at the root, or a list of cabinets that hold it.
fn is_package(members: &[ArchiveMember]) -> bool {
    members.iter().any(|member| member.name.eq_ignore_ascii_case(ROOT_MANIFEST) || ends_with(&member.name, "cablist.ini"))
}

fn check_memory<'a>(name: &str, members: impl IntoIterator<Item = &'a ArchiveMember>) -> Result<(), MsuError> {
    let (mut count, mut length) = (0_usize, 0_u64);
    for member in members {
        (count, length) = (count.saturating_add(1), length.saturating_add(member.length));
    }
    let limit = if count > MOST_NESTED {
        "too many members around packages"
    } else if length > LARGEST_NESTED {
        "members around packages of more than 4 GiB"
    } else {
        return Ok(());
    };
    Err(MsuError::TooLarge { name: name.to_owned(), reason: limit })
}

/// A package in a container: its name, its files, and the cabinet itself where it is one.
type NestedPackage = (String, Arc<dyn Archive>, Option<Arc<dyn ReadAt>>);

/// What lies in a container that is not itself a package.
#[derive(Default)]
struct Contents {
    /// Name, archive, and the bytes where it is a cabinet.
    packages: Vec<NestedPackage>,
    psf: Vec<(String, Arc<dyn ReadAt>)>,
    requests: Vec<ServicingRequest>,
    properties: Option<PackageProperties>,
    /// A nested archive of composition databases, or of the servicing tools.
    has_metadata: bool,
    others: Vec<ArchiveMember>,
}

impl Contents {
    fn read(archive: &dyn Archive, outer: Magic) -> Result<Self, MsuError> {
        let members = archive.members();
        if outer == Magic::Cabinet {
            check_memory("", &members)?;
        }
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        let sources = archive.open(&names)?;
        let mut contents = Self::default();
        for (member, source) in members.into_iter().zip(sources) {
            let magic = Magic::read(&*source)?;
            let is_text = has_extension(&member.name, "xml") || ends_with(&member.name, "pkgProperties.txt");
            if magic != Magic::Other {
                contents.add_nested(member, magic, source)?;
            } else if is_text && member.length <= LARGEST_TEXT {
                contents.add_text(member, source)?;
            } else {
                contents.others.push(member);
            }
        }
        Ok(contents)
    }

    fn add_nested(&mut self, member: ArchiveMember, magic: Magic, source: Arc<dyn ReadAt>) -> Result<(), MsuError> {
        if magic == Magic::Psf {
            self.psf.push((member.name, source));
            return Ok(());
        }
        let Some(archive) = open_archive(source.clone(), &member.name)? else { return Ok(()) };
        let members = archive.members();
        if is_package(&members) {
            self.packages.push((member.name, archive, (magic == Magic::Cabinet).then_some(source)));
            return Ok(());
        }
        let tells = |inner: &ArchiveMember| {
            let name = inner.name.to_ascii_lowercase();
            name.contains("compdb") || name == "dpx.dll" || name.ends_with("\\dpx.dll")
        };
        self.has_metadata |= members.iter().any(tells);
        self.others.push(member);
        Ok(())
    }

    fn add_text(&mut self, member: ArchiveMember, source: Arc<dyn ReadAt>) -> Result<(), MsuError> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut Reader::new(source), &mut bytes)?;
        let wrong = |source| MsuError::Fragment { name: member.name.clone(), source };
        if has_extension(&member.name, "xml") {
            match parse_servicing_requests(&bytes).map_err(wrong)? {
                Some(requests) => self.requests.extend(requests),
                None => self.others.push(member),
            }
        } else {
            self.properties = Some(parse_package_properties(&bytes).map_err(wrong)?);
        }
        Ok(())
    }

    fn generation(&self, outer: Magic) -> Generation {
        match (outer, self.packages.len()) {
            (_, 0) => Generation::Loose,
            (Magic::Wim, _) => Generation::Wim,
            _ if self.has_metadata || !self.psf.is_empty() => Generation::Uup,
            (_, 1) => Generation::Classic,
            _ => Generation::Combined,
        }
    }
}

impl PackageArchive {
    /// Its bytes, if it is one cabinet with everything in it: what DISM and Windows Setup take.
    #[must_use]
    pub fn whole(&self) -> Option<&Arc<dyn ReadAt>> {
        self.cabinet.as_ref().filter(|_| !matches!(self.layout, Layout::Psf { .. }))
    }

    /// Opens a package. `psf` are the PSF files beside it; `None` where the package stands alone, and its PSF, if it needs
    /// one, is for the caller to find.
    fn open(name: String, archive: Arc<dyn Archive>, psf: Option<&[(String, Arc<dyn ReadAt>)]>) -> Result<Self, MsuError> {
        let mut package = Self { name, layout: Layout::Expanded, psf: None, cabinet: None, parts: Vec::new(), places: HashMap::new() };
        package.add_part(archive.clone());
        let members = archive.members();
        if members.iter().any(|member| ends_with(&member.name, "cablist.ini")) {
            package.add_nested(&*archive, &members)?;
        }
        let is_index = |member: &&ArchiveMember| {
            member.name.eq_ignore_ascii_case("_manifest_.cix.xml")
                || (ends_with(&member.name, ".psf.cix.xml") && !member.name.contains('\\'))
        };
        let Some(index_name) = package.members().find(is_index).map(|member| member.name.clone()) else { return Ok(package) };
        let mut xml = Vec::new();
        for source in package.open_members(&[&index_name])? {
            io::Read::read_to_end(&mut Reader::new(source), &mut xml)?;
        }
        let index = ContainerIndex::parse(&xml).map_err(|source| MsuError::Index { name: index_name.clone(), source })?;
        package.layout = match index.kind {
            ContainerKind::Cab => Layout::Deltas { index_name, index },
            ContainerKind::Psf | ContainerKind::Psfx => {
                if let Some(files) = psf {
                    package.psf = Some(find_psf(&package.name, &index, files)?);
                }
                Layout::Psf { index_name, index }
            }
        };
        Ok(package)
    }

    fn add_part(&mut self, archive: Arc<dyn Archive>) {
        for member in archive.members() {
            self.places.insert(fold_name(&member.name), (self.parts.len(), member));
        }
        self.parts.push(archive);
    }

    /// Adds the cabinets of a package that is spread over several.
    fn add_nested(&mut self, archive: &dyn Archive, members: &[ArchiveMember]) -> Result<(), MsuError> {
        let cabinets: Vec<&ArchiveMember> = members.iter().filter(|member| has_extension(&member.name, "cab")).collect();
        check_memory(&self.name, cabinets.iter().copied())?;
        let names: Vec<&str> = cabinets.iter().map(|member| member.name.as_str()).collect();
        for (member, source) in cabinets.iter().zip(archive.open(&names)?) {
            let cabinet = Cabinet::open(source).map_err(|source| MsuError::Cabinet { name: member.name.clone(), source })?;
            self.places.remove(&fold_name(&member.name));
            self.add_part(Arc::new(cabinet));
        }
        Ok(())
    }

    /// All files of the package's archives, in no defined order. With deltas or a PSF these are not the package's files:
    /// see [`Layout`].
    pub fn members(&self) -> impl Iterator<Item = &ArchiveMember> {
        self.places.values().map(|(_, member)| member)
    }

    /// The file of a name, compared as Windows compares names.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&ArchiveMember> {
        self.places.get(&fold_name(name)).map(|(_, member)| member)
    }

    /// Opens files of the package's archives, in the order of `names`.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn open_members(&self, names: &[&str]) -> Result<Vec<Arc<dyn ReadAt>>, ArchiveError> {
        let mut by_part: Vec<Vec<(usize, &str)>> = vec![Vec::new(); self.parts.len()];
        for (position, name) in names.iter().enumerate() {
            let (part, member) = self.places.get(&fold_name(name)).ok_or_else(|| ArchiveError::NoSuchMember((*name).to_owned()))?;
            if let Some(list) = by_part.get_mut(*part) {
                list.push((position, &member.name));
            }
        }
        let mut opened: Vec<(usize, Arc<dyn ReadAt>)> = Vec::with_capacity(names.len());
        for (part, list) in self.parts.iter().zip(by_part).filter(|(_, list)| !list.is_empty()) {
            let wanted: Vec<&str> = list.iter().map(|(_, name)| *name).collect();
            opened.extend(list.iter().map(|(position, _)| *position).zip(part.open(&wanted)?));
        }
        opened.sort_by_key(|(position, _)| *position);
        Ok(opened.into_iter().map(|(_, source)| source).collect())
    }

    /// Reads the files that `select` wants from front to back, each archive in one pass.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn visit(&self, select: &dyn Fn(&str) -> bool, visitor: &mut crate::archive::Visitor) -> Result<(), ArchiveError> {
        for (number, part) in self.parts.iter().enumerate() {
            let counts = |name: &str| self.places.get(&fold_name(name)).is_some_and(|(part, _)| *part == number);
            part.visit(&|name| counts(name) && select(name), visitor)?;
        }
        Ok(())
    }
}

/// The PSF that an index means: by its length, then by the name that it shares with the package, then the only one.
fn find_psf(package: &str, index: &ContainerIndex, files: &[(String, Arc<dyn ReadAt>)]) -> Result<Arc<dyn ReadAt>, MsuError> {
    let fits = |psf: &&(String, Arc<dyn ReadAt>)| index.length == 0 || psf.1.size() == index.length;
    let fitting: Vec<_> = files.iter().filter(fits).collect();
    let same_name = fitting.iter().find(|(name, _)| stem(name) == stem(package));
    match (same_name, fitting.as_slice()) {
        (Some((_, psf)), _) | (None, [(_, psf)]) => Ok(psf.clone()),
        _ => Err(MsuError::NoPsf { package: package.to_owned(), length: index.length }),
    }
}

#[cfg(test)]
mod tests;

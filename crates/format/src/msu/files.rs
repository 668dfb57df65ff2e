//! The files that a package gives, whatever its layout: members as they are, or made from deltas and proven by their digests.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use wimwright_codec::delta;

use super::{Layout, PackageArchive};
use crate::archive::ArchiveError;
use crate::container_index::{ContainerIndex, DeltaError, Place, ReadSource, RebuildError, Rebuilder, Source, SourceKind};
use crate::member_name::fold_name;
use crate::psf::{Psf, PsfError};

/// Largest member that is read whole, in bytes. The largest files of Windows packages (language models, `mrt.exe`) stay below 300 MB.
pub const LARGEST_MEMBER: u64 = 2 << 30;

/// Why a package's files cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file cannot be made from what the package carries.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// The PSF is refused.
    #[error("the PSF of the package is refused")]
    Psf(#[from] PsfError),
    /// The payload is in a PSF, and none was found beside the package.
    #[error("the package takes its files from a PSF, which is missing")]
    NoPsf,
    /// A member is larger than anything in a package.
    #[error("{name:?} has {length} bytes, more than the limit of {LARGEST_MEMBER}")]
    TooLarge {
        /// Name of the member.
        name: String,
        /// Bytes that it claims.
        length: u64,
    },
}

/// Takes a file's name and bytes; called from any thread.
pub type Sink<'a> = dyn Fn(&str, &[u8]) -> Result<(), DeltaError> + Sync + 'a;

impl PackageArchive {
    /// Names and lengths of the files that the package gives, sorted by name as Windows compares it.
    #[must_use]
    pub fn files(&self) -> Vec<(String, u64)> {
        let mut files: Vec<(String, u64)> = self.plain_members().map(|(name, length)| (name.to_owned(), length)).collect();
        if let Some(index) = self.index() {
            files.extend(index.files.iter().map(|file| (file.name.clone(), file.length)));
        }
        files.sort_by_cached_key(|(name, _)| fold_name(name));
        files.dedup_by_key(|(name, _)| fold_name(name));
        files
    }

    fn index(&self) -> Option<&ContainerIndex> {
        match &self.layout {
            Layout::Expanded => None,
            Layout::Deltas { index, .. } | Layout::Psf { index, .. } => Some(index),
        }
    }

    /// Members that are files of the package: neither an index nor only the source of a delta.
    fn plain_members(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut hidden: HashMap<Vec<u16>, ()> = HashMap::new();
        if let Layout::Deltas { index_name, index } | Layout::Psf { index_name, index } = &self.layout {
            hidden.insert(fold_name(index_name), ());
            let sources = index.files.iter().flat_map(|file| &file.deltas).filter_map(|delta| delta.source.as_ref());
            for source in sources {
                if let Place::Member(name) = &source.place {
                    hidden.insert(fold_name(name), ());
                }
            }
            for file in &index.files {
                hidden.insert(fold_name(&file.name), ());
            }
        }
        self.members()
            .filter(move |member| !hidden.contains_key(&fold_name(&member.name)))
            .map(|member| (member.name.as_str(), member.length))
    }

    /// Makes the files that `select` wants and gives each to `sink`, from any thread and in no defined order. What the package's
    /// index states a digest for is checked.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub fn make(&self, select: &(dyn Fn(&str) -> bool + Sync), sink: &Sink) -> Result<(), FilesError> {
        let plain: HashMap<Vec<u16>, u64> = self.plain_members().map(|(name, length)| (fold_name(name), length)).collect();
        if let Some((name, length)) = self.plain_members().find(|(name, length)| *length > LARGEST_MEMBER && select(name)) {
            return Err(FilesError::TooLarge { name: name.to_owned(), length });
        }
        self.visit(&|name| plain.contains_key(&fold_name(name)) && select(name), &mut |name, reader| {
            let mut bytes = Vec::new();
            reader.take(LARGEST_MEMBER).read_to_end(&mut bytes)?;
            sink(name, &bytes)
        })?;
        match &self.layout {
            Layout::Expanded => Ok(()),
            Layout::Deltas { index, .. } => {
                let sources = self.sources(index, select)?;
                let read = |source: &Source| member_of(&sources, source);
                rebuild(index, &read, select, sink)
            }
            Layout::Psf { index, .. } => {
                let psf = Psf::open(self.psf.clone().ok_or(FilesError::NoPsf)?)?;
                let read = |source: &Source| Ok(Cow::Owned(psf.read(source)?));
                rebuild(index, &read, select, sink)
            }
        }
    }

    /// The members that the wanted files, and those that they are made from, have as sources; read in one pass.
    fn sources(&self, index: &ContainerIndex, select: &(dyn Fn(&str) -> bool + Sync)) -> Result<HashMap<Vec<u16>, Vec<u8>>, FilesError> {
        let mut wanted: HashMap<Vec<u16>, ()> = HashMap::new();
        let mut seen = vec![false; index.files.len()];
        let mut open: Vec<usize> =
            (0..index.files.len()).filter(|number| index.files.get(*number).is_some_and(|file| select(&file.name))).collect();
        while let Some(number) = open.pop() {
            let Some(mark) = seen.get_mut(number).filter(|mark| !**mark) else { continue };
            *mark = true;
            for delta in index.files.get(number).into_iter().flat_map(|file| &file.deltas) {
                open.extend(delta.basis_file());
                if let Some(Source { place: Place::Member(name), .. }) = &delta.source {
                    wanted.insert(fold_name(name), ());
                }
            }
        }
        let read = Mutex::new(HashMap::with_capacity(wanted.len()));
        self.visit(&|name| wanted.contains_key(&fold_name(name)), &mut |name, reader| {
            let mut bytes = Vec::new();
            reader.take(LARGEST_MEMBER).read_to_end(&mut bytes)?;
            read.lock().unwrap_or_else(PoisonError::into_inner).insert(fold_name(name), bytes);
            Ok(())
        })?;
        Ok(read.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// One file of the package, whole.
    ///
    /// # Errors
    /// See [`FilesError`]; [`ArchiveError::NoSuchMember`] when the package does not give it.
    pub fn file(&self, name: &str) -> Result<Vec<u8>, FilesError> {
        let wanted = fold_name(name);
        let found = Mutex::new(None);
        self.make(&|file| fold_name(file) == wanted, &|_, bytes| {
            *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes.to_vec());
            Ok(())
        })?;
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.ok_or_else(|| ArchiveError::NoSuchMember(name.to_owned()).into())
    }
}

fn member_of<'a>(sources: &'a HashMap<Vec<u16>, Vec<u8>>, source: &Source) -> Result<Cow<'a, [u8]>, DeltaError> {
    match &source.place {
        Place::Member(name) => {
            let missing = || Box::<dyn Error + Send + Sync>::from(format!("the package has no member {name:?}"));
            sources.get(&fold_name(name)).map(|bytes| Cow::Borrowed(bytes.as_slice())).ok_or_else(missing)
        }
        Place::Range { .. } => Err("the index names a range of bytes, but the package is a cabinet".into()),
    }
}

fn rebuild<'a>(
    index: &ContainerIndex,
    read: &'a ReadSource<'a>,
    select: &(dyn Fn(&str) -> bool + Sync),
    sink: &Sink,
) -> Result<(), FilesError> {
    let rebuilder = Rebuilder { read, apply: &apply, find_basis: &|_, _, _| None };
    Ok(rebuilder.rebuild(index, |file| select(&file.name), |file, bytes| sink(&file.name, bytes))?)
}

/// Applies a binary delta to `basis`.
fn apply(kind: SourceKind, basis: &[u8], source: &[u8], limit: u64) -> Result<Vec<u8>, DeltaError> {
    match kind {
        SourceKind::Raw => Ok(source.to_vec()),
        SourceKind::Pa19 | SourceKind::Pa30 | SourceKind::Pa31 => Ok(delta::apply(basis, source, limit)?),
        SourceKind::Lzx | SourceKind::Xpress | SourceKind::Lzms => {
            Err("a source that is compressed by itself: no public package has one, so its frame is not known".into())
        }
    }
}

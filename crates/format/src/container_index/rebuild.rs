//! Making the files of a package from its sources, every byte proven by its digest.
//!
//! Files and their bases form trees: a file is made right after its basis, depth first, so only the files on the way
//! from a root are held in memory. Trees are independent and made by several threads.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use rayon::prelude::*;

use super::{Basis, ContainerIndex, IndexedFile, Source, SourceKind};
use crate::digest::Digest;

/// What a caller's function found wrong.
pub type DeltaError = Box<dyn Error + Send + Sync>;

/// Why a file cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// There is no way to make the file: no delta at all, or only some on bases that were not found.
    #[error("{0:?} cannot be made: the package has no source for it, or its basis was not found")]
    NoWay(String),
    /// The source cannot be read.
    #[error("cannot read the source of {name:?}")]
    Read {
        /// Name of the file.
        name: String,
        /// What the caller's function found.
        source: DeltaError,
    },
    /// The delta cannot be applied.
    #[error("cannot apply the delta of {name:?}")]
    Apply {
        /// Name of the file.
        name: String,
        /// What the caller's function found.
        source: DeltaError,
    },
    /// The bytes are not those that the index states.
    #[error("the {what} of {name:?} is not what the package states: {found} instead of {stated}")]
    Mismatch {
        /// Name of the file.
        name: String,
        /// `source`, `basis` or `content`.
        what: &'static str,
        /// The digest stated.
        stated: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// The file has another length than stated.
    #[error("{name:?} has {found} bytes instead of {stated}")]
    Length {
        /// Name of the file.
        name: String,
        /// Bytes stated.
        stated: u64,
        /// Bytes made.
        found: u64,
    },
    /// The caller could not take the file.
    #[error("cannot take {name:?}")]
    Sink {
        /// Name of the file.
        name: String,
        /// What the caller's function found.
        source: DeltaError,
    },
}

/// Reads a source's bytes.
pub type ReadSource<'a> = dyn Fn(&Source) -> Result<Cow<'a, [u8]>, DeltaError> + Sync + 'a;
/// Finds a basis outside of the package, for a file, by length and digest. `None` where there is none.
pub type FindBasis<'a> = dyn Fn(&IndexedFile, u64, &Digest) -> Option<Vec<u8>> + Sync + 'a;
/// Applies a delta of some kind: basis (empty for none), delta, and the most bytes that the result may have.
pub type ApplyDelta<'a> = dyn Fn(SourceKind, &[u8], &[u8], u64) -> Result<Vec<u8>, DeltaError> + Sync + 'a;

/// The functions that rebuilding needs.
pub struct Rebuilder<'a> {
    /// Reads a source's bytes from the container.
    pub read: &'a ReadSource<'a>,
    /// Applies a binary delta or decompresses.
    pub apply: &'a ApplyDelta<'a>,
    /// Finds a basis outside of the package.
    pub find_basis: &'a FindBasis<'a>,
}

impl Rebuilder<'_> {
    /// Makes the files that `select` wants and gives each to `sink`, from any thread, in no defined order.
    ///
    /// # Errors
    /// The first error by the order of the index's roots; see [`RebuildError`].
    pub fn rebuild(
        &self,
        index: &ContainerIndex,
        select: impl Fn(&IndexedFile) -> bool + Sync,
        sink: impl Fn(&IndexedFile, &[u8]) -> Result<(), DeltaError> + Sync,
    ) -> Result<(), RebuildError> {
        let forest = Forest::new(index, &select);
        let results: Vec<Result<(), RebuildError>> =
            forest.roots.par_iter().map(|root| self.rebuild_tree(index, &forest, *root, &select, &sink)).collect();
        results.into_iter().collect()
    }

    fn rebuild_tree(
        &self,
        index: &ContainerIndex,
        forest: &Forest,
        root: usize,
        select: &impl Fn(&IndexedFile) -> bool,
        sink: &impl Fn(&IndexedFile, &[u8]) -> Result<(), DeltaError>,
    ) -> Result<(), RebuildError> {
        let mut stack: Vec<(usize, Option<Arc<Vec<u8>>>)> = vec![(root, None)];
        while let Some((number, basis)) = stack.pop() {
            let Some(file) = index.files.get(number) else { continue };
            let bytes = Arc::new(self.make(file, basis.as_ref().map(|basis| basis.as_slice()))?);
            drop(basis);
            if select(file) {
                sink(file, &bytes).map_err(|source| RebuildError::Sink { name: file.name.clone(), source })?;
            }
            for dependent in forest.dependents.get(number).into_iter().flatten() {
                stack.push((*dependent, Some(bytes.clone())));
            }
        }
        Ok(())
    }

    /// Makes one file. `inner` is its basis, where that is a file of the index.
    fn make(&self, file: &IndexedFile, inner: Option<&[u8]>) -> Result<Vec<u8>, RebuildError> {
        let name = || file.name.clone();
        let way = file.deltas.iter().enumerate().find_map(|(number, delta)| match delta.basis {
            None => Some((delta, Cow::Borrowed(&[][..]))),
            // The trees follow the first deltas.
            Some(Basis::File(_)) if number == 0 => inner.map(|bytes| (delta, Cow::Borrowed(bytes))),
            Some(Basis::File(_)) => None,
            Some(Basis::External { length, digest }) => (self.find_basis)(file, length, &digest).map(|bytes| (delta, Cow::Owned(bytes))),
        });
        let (delta, basis) = way.ok_or_else(|| RebuildError::NoWay(name()))?;
        if let Some(Basis::External { digest, .. }) = delta.basis {
            check(&name, "basis", &digest, &basis)?;
        }
        let bytes = match &delta.source {
            None => basis.into_owned(),
            Some(source) => {
                let carried = (self.read)(source).map_err(|source| RebuildError::Read { name: name(), source })?;
                if let Some(digest) = source.digest.filter(|digest| source.kind != SourceKind::Raw || *digest != file.digest) {
                    check(&name, "source", &digest, &carried)?;
                }
                match source.kind {
                    SourceKind::Raw => carried.into_owned(),
                    kind => {
                        (self.apply)(kind, &basis, &carried, file.length).map_err(|source| RebuildError::Apply { name: name(), source })?
                    }
                }
            }
        };
        if bytes.len() as u64 != file.length {
            return Err(RebuildError::Length { name: name(), stated: file.length, found: bytes.len() as u64 });
        }
        check(&name, "content", &file.digest, &bytes)?;
        Ok(bytes)
    }
}

fn check(name: &impl Fn() -> String, what: &'static str, stated: &Digest, bytes: &[u8]) -> Result<(), RebuildError> {
    let found = stated.of_same_kind(bytes);
    if found == *stated { Ok(()) } else { Err(RebuildError::Mismatch { name: name(), what, stated: *stated, found }) }
}

/// The file of the index that a file is made after: the basis of its first delta.
fn preferred_basis(file: &IndexedFile) -> Option<usize> {
    file.deltas.first()?.basis_file()
}

/// Which files have to be made, and after which.
struct Forest {
    /// By file: the files that are made from it.
    dependents: Vec<Vec<usize>>,
    roots: Vec<usize>,
}

impl Forest {
    /// The wanted files with all their bases. The index has no cycles.
    fn new(index: &ContainerIndex, select: impl Fn(&IndexedFile) -> bool) -> Self {
        let mut forest = Self { dependents: vec![Vec::new(); index.files.len()], roots: Vec::new() };
        let mut planned = vec![false; index.files.len()];
        for (start, _) in index.files.iter().enumerate().filter(|(_, file)| select(file)) {
            let mut number = start;
            while let Some(mark) = planned.get_mut(number).filter(|mark| !**mark) {
                *mark = true;
                match index.files.get(number).and_then(preferred_basis) {
                    None => forest.roots.push(number),
                    Some(basis) => {
                        if let Some(list) = forest.dependents.get_mut(basis) {
                            list.push(number);
                        }
                        number = basis;
                    }
                }
            }
        }
        forest
    }
}

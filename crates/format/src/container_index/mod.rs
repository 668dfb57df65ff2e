//! Container indexes (`urn:ContainerIndex`, "cix"): how the files of an update package are made from what it carries.
//!
//! Three kinds of container have one: a cabinet with intra-package deltas (Windows Vista to 8.1; `_manifest_.cix.xml`,
//! the sources are members named `0`, `1`, …), a PSF (`express.psf.cix.xml`, the sources are byte ranges), and PSFX
//! (version 2, the sources are files that a PSF gave, the bases are files of the image).
//!
//! A file has *deltas*, ways to make it. A delta has a *source* (stored bytes or a binary delta) and a *basis* that a
//! binary delta is applied to: another file of the same index, a file outside of it named by its digest, or nothing. A
//! basis without a source means a plain copy.
//!
//! Invariants of a read index: ids and names are unique, names are safe paths, every basis exists, nothing is its own
//! basis, byte ranges lie inside the container.

mod rebuild;
mod xml;

use std::collections::HashSet;

pub use rebuild::{ApplyDelta, DeltaError, FindBasis, ReadSource, RebuildError, Rebuilder};

use crate::digest::Digest;
use crate::member_name::{NameError, check_name, fold_name};

/// Files in one index at most. The largest cumulative updates of Windows 11 have about 300,000.
pub const LARGEST_COUNT: usize = 4_000_000;

/// Bytes of one rebuilt file at most: no file in Windows reaches 4 GiB.
pub const LARGEST_FILE: u64 = 4 << 30;

/// Why a container index is refused.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not UTF-8.
    #[error("the container index is not UTF-8")]
    Encoding(#[from] std::str::Utf8Error),
    /// Not well-formed.
    #[error("the container index is not well-formed XML at byte {position}")]
    Xml {
        /// Where reading stopped.
        position: u64,
        /// What the XML reader found.
        source: quick_xml::Error,
    },
    /// A document type definition: never needed, and a way to attack XML readers.
    #[error("the container index has a document type definition")]
    DocumentType,
    /// The document is not a container index, or ends inside of one.
    #[error("no container index: {0}")]
    Structure(&'static str),
    /// An attribute is missing.
    #[error("element {element} of the container index has no {attribute}")]
    Missing {
        /// Element.
        element: &'static str,
        /// Attribute or child.
        attribute: &'static str,
    },
    /// An attribute has a value that cannot be understood.
    #[error("attribute {attribute} of element {element} in the container index has the value {value:?}")]
    Value {
        /// Element.
        element: &'static str,
        /// Attribute.
        attribute: &'static str,
        /// Its value.
        value: String,
    },
    /// Too many files, nested elements or attributes.
    #[error("the container index has too many {0}")]
    TooMany(&'static str),
    /// Two files have the same id.
    #[error("the container index has two files of id {0}")]
    DuplicateId(u64),
    /// Two files have the same name.
    #[error("the container index has two files of the name {0:?}")]
    DuplicateName(String),
    /// A name is no safe path.
    #[error("the container index has a file of the name {name:?}, which is refused")]
    Name {
        /// The name as written.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// A basis names a file that does not exist.
    #[error("{name:?} is based on file {basis}, which the container index does not have")]
    NoSuchBasis {
        /// Name of the file.
        name: String,
        /// The id it is based on.
        basis: u64,
    },
    /// A file is, by way of others, based on itself.
    #[error("{0:?} is based on itself, by way of its basis")]
    Cycle(String),
    /// A source's bytes lie outside of the container.
    #[error("{name:?} has its source at {offset}, {length} bytes long, outside of the container of {container}")]
    OutsideContainer {
        /// Name of the file.
        name: String,
        /// Offset of the source.
        offset: u64,
        /// Length of the source.
        length: u64,
        /// Length of the container.
        container: u64,
    },
    /// A file is larger than [`LARGEST_FILE`].
    #[error("{name:?} claims {length} bytes")]
    TooLarge {
        /// Name of the file.
        name: String,
        /// Bytes that it claims.
        length: u64,
    },
}

/// What the index describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerKind {
    /// A cabinet: sources are named members.
    Cab,
    /// A PSF: sources are byte ranges.
    Psf,
    /// Files that a PSF gave, and bases outside of the package.
    Psfx,
}

/// Encoding of a source: the magic of the bytes, where they have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// The file itself.
    Raw,
    /// Binary delta, first generation (PatchAPI).
    Pa19,
    /// Binary delta (MSDelta).
    Pa30,
    /// Binary delta of Windows 11.
    Pa31,
    /// Compressed by LZX.
    Lzx,
    /// Compressed by XPRESS.
    Xpress,
    /// Compressed by LZMS.
    Lzms,
}

/// Where a source's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A member of the archive that holds the index.
    Member(String),
    /// A run of bytes of the container.
    Range {
        /// From its start.
        offset: u64,
        /// Bytes.
        length: u64,
    },
}

/// Bytes that the container carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// How they are encoded.
    pub kind: SourceKind,
    /// Where they are.
    pub place: Place,
    /// Their digest, as they lie in the container.
    pub digest: Option<Digest>,
}

/// What a binary delta is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// A file of the same index, by its number in [`ContainerIndex::files`].
    File(usize),
    /// A file that the package does not carry.
    External {
        /// Bytes.
        length: u64,
        /// Digest.
        digest: Digest,
    },
}

/// One way to make a file. Without a source the basis is copied; without a basis the source stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// What the container carries.
    pub source: Option<Source>,
    /// What the source is applied to.
    pub basis: Option<Basis>,
}

/// A file that the package gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedFile {
    /// Number by which others name it as their basis.
    pub id: u64,
    /// Safe relative path with `\` between its parts.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// Last write, in 100 ns since 1601; 0 where it is not stated.
    pub time: u64,
    /// `FILE_ATTRIBUTE_*`.
    pub attributes: u32,
    /// Digest of the whole file.
    pub digest: Digest,
    /// Ways to make it, the preferred one first.
    pub deltas: Vec<Delta>,
}

/// A folder in which bases outside of the package are to be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasisLocation {
    /// Number.
    pub id: u64,
    /// Path with variables, such as `{windir}\winsxs`.
    pub path: String,
    /// Meaning unknown; seen: `2000001`.
    pub flags: String,
}

/// A container index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerIndex {
    /// Name of the container when it was made. Nothing depends on it.
    pub name: String,
    /// What is described.
    pub kind: ContainerKind,
    /// Bytes of the container, 0 where it is not stated. For a cabinet this is not the size of the file as shipped.
    pub length: u64,
    /// 1, or 2 for PSFX.
    pub version: u32,
    /// Where to look for bases.
    pub locations: Vec<BasisLocation>,
    /// All files.
    pub files: Vec<IndexedFile>,
}

impl ContainerIndex {
    /// Reads an index.
    ///
    /// # Errors
    /// See [`IndexError`].
    pub fn parse(xml: &[u8]) -> Result<Self, IndexError> {
        let index = xml::parse(xml)?;
        index.check()?;
        Ok(index)
    }

    /// Writes the index as Microsoft's tools lay it out: one line, no white space between elements.
    #[must_use]
    pub fn to_xml(&self) -> String {
        xml::write(self)
    }

    fn check(&self) -> Result<(), IndexError> {
        let mut names = HashSet::with_capacity(self.files.len());
        for file in &self.files {
            if file.length > LARGEST_FILE {
                return Err(IndexError::TooLarge { name: file.name.clone(), length: file.length });
            }
            if !names.insert(fold_name(&file.name)) {
                return Err(IndexError::DuplicateName(file.name.clone()));
            }
            for source in file.deltas.iter().filter_map(|delta| delta.source.as_ref()) {
                if let Place::Range { offset, length } = source.place
                    && self.length > 0
                    && offset.checked_add(length).is_none_or(|end| end > self.length)
                {
                    return Err(IndexError::OutsideContainer { name: file.name.clone(), offset, length, container: self.length });
                }
            }
        }
        self.check_cycles()
    }

    /// Removes files without a basis, then those based on removed ones only; what cannot be removed is in a cycle.
    fn check_cycles(&self) -> Result<(), IndexError> {
        let bases = |file: &IndexedFile| file.deltas.iter().filter_map(Delta::basis_file).collect::<Vec<_>>();
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); self.files.len()];
        let mut waiting: Vec<usize> = Vec::with_capacity(self.files.len());
        for (index, file) in self.files.iter().enumerate() {
            let bases = bases(file);
            waiting.push(bases.len());
            for basis in bases {
                if let Some(list) = dependents.get_mut(basis) {
                    list.push(index);
                }
            }
        }
        let mut ready: Vec<usize> = (0..self.files.len()).filter(|index| waiting.get(*index) == Some(&0)).collect();
        while let Some(index) = ready.pop() {
            for dependent in dependents.get(index).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(*dependent) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        ready.push(*dependent);
                    }
                }
            }
        }
        match self.files.iter().zip(&waiting).find(|(_, count)| **count > 0) {
            Some((file, _)) => Err(IndexError::Cycle(file.name.clone())),
            None => Ok(()),
        }
    }
}

impl Delta {
    /// The file of the same index that this delta is applied to.
    #[must_use]
    pub fn basis_file(&self) -> Option<usize> {
        match self.basis {
            Some(Basis::File(index)) => Some(index),
            _ => None,
        }
    }
}

fn checked_name(name: &str) -> Result<String, IndexError> {
    check_name(name).map_err(|source| IndexError::Name { name: name.to_owned(), source })
}

#[cfg(test)]
mod tests;

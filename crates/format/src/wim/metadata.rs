//! The metadata resource: the tree of one image.
//!
//! It starts with the security data, `{ total length: u32, count: u32, sizes: u64 x count, descriptors }`, padded to
//! eight. The root entry follows, then an end-of-directory mark (eight zero bytes), then the children's lists, each ended
//! by such a mark. A directory's entry points to its list; lists stand in depth-first order.
//!
//! A dentry is a *name* of a file: entries of one hard link group repeat the file's fields.

use std::collections::HashSet;
use std::sync::Arc;

use super::dentry::{Dentry, fill};
use super::fields::{Fields, align8};
use super::{BlobId, Statistics};

/// Deepest directory nesting that is read or written. Windows' longest path allows 16383, but trees are walked by
/// recursion in places, and no image comes near this.
pub const MAX_DEPTH: usize = 1024;

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameProblem {
    /// Only the root has an empty name.
    Empty,
    /// `.` or `..`, which would lead elsewhere when extracted.
    DotOrDotDot,
    /// A NUL or path separator inside.
    Separator,
    /// Another entry of the directory has the same name.
    Duplicate,
}

/// Why metadata cannot be read or written. Offsets are in bytes from the start of the metadata.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The metadata end inside a structure.
    #[error("the metadata end inside the structure at offset {offset}")]
    Truncated {
        /// Where the structure starts.
        offset: usize,
    },
    /// The security data contradict themselves.
    #[error("the security data: {reason}")]
    SecurityData {
        /// What is wrong.
        reason: &'static str,
    },
    /// There is no root directory.
    #[error("there is no root directory")]
    NoRoot,
    /// An entry is too short for what it must hold.
    #[error("the entry at offset {offset} is {length} bytes long, too short for its fields")]
    EntryLength {
        /// Where the entry starts.
        offset: usize,
        /// Its stated length in bytes.
        length: usize,
    },
    /// Two directories share their list, or a directory contains itself.
    #[error("the directory list at offset {offset} is used twice: directories overlap or form a cycle")]
    SharedDirectory {
        /// Where the list starts.
        offset: u64,
    },
    /// Lists overlap.
    #[error("the entries are longer than the metadata: directories overlap")]
    Overlap,
    /// Directories are nested too deeply.
    #[error("directories are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// A name that no file can have.
    #[error("the name {name:?} in directory {directory:?} is refused: {problem:?}")]
    Name {
        /// The name, unpaired surrogates replaced.
        name: String,
        /// The name of the directory.
        directory: String,
        /// What is wrong with it.
        problem: NameProblem,
    },
    /// A value that the format cannot express.
    #[error("{name:?} cannot be written: {reason}")]
    Unrepresentable {
        /// The entry's name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Self-relative security descriptors, in the order by which entries refer to them.
pub type SecurityDescriptors = Vec<Arc<[u8]>>;

/// The tree of an image, with its security descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Referred to by [`Dentry::security_id`].
    pub security_descriptors: SecurityDescriptors,
    /// The root directory; its name is empty.
    pub root: Dentry,
}

/// A directory whose list is being read.
struct OpenDirectory {
    directory: Dentry,
    next: usize,
}

impl Metadata {
    /// Reads an uncompressed metadata resource.
    ///
    /// # Errors
    /// [`MetadataError`]. Unlike wimlib, which drops entries of bad names with a warning, we refuse them.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetadataError> {
        let (security_descriptors, root_offset) = decode_security_data(bytes)?;
        let descriptors = security_descriptors.len();
        let (root, list, mut read) = Dentry::decode(bytes, root_offset, descriptors)?.ok_or(MetadataError::NoRoot)?;
        if !root.is_directory() {
            return Err(MetadataError::NoRoot);
        }
        let mut seen = HashSet::new();
        let mut open: Vec<OpenDirectory> = Vec::new();
        let mut closed = enter(bytes, root, list, &mut open, &mut seen)?;
        loop {
            if let Some(entry) = closed.take() {
                let Some(parent) = open.last_mut() else { return Ok(Self { security_descriptors, root: entry }) };
                parent.directory.children.push(entry);
            }
            let Some(current) = open.last_mut() else { return Err(MetadataError::NoRoot) };
            let Some((entry, list, length)) = Dentry::decode(bytes, current.next, descriptors)? else {
                closed = open.pop().map(|open| open.directory);
                if let Some(directory) = &closed {
                    check_names(directory)?;
                }
                continue;
            };
            current.next = current.next.saturating_add(length);
            // Entries that don't overlap cannot be longer than the metadata together: bounds time and memory.
            read = read.saturating_add(length);
            if read > bytes.len() {
                return Err(MetadataError::Overlap);
            }
            closed = enter(bytes, entry, list, &mut open, &mut seen)?;
        }
    }

    /// The uncompressed metadata resource, as wimlib lays it out: an empty directory has a list too.
    ///
    /// # Errors
    /// [`MetadataError::Unrepresentable`], [`MetadataError::Name`] or [`MetadataError::TooDeep`].
    pub fn encode(&self) -> Result<Vec<u8>, MetadataError> {
        let mut output = Vec::new();
        self.encode_security_data(&mut output)?;
        let field = self.root.encode(&mut output)?;
        output.extend([0; 8]);
        let mut waiting = vec![(&self.root, field, 0_usize)];
        while let Some((directory, field, depth)) = waiting.pop() {
            if depth > MAX_DEPTH {
                return Err(MetadataError::TooDeep);
            }
            check_names(directory)?;
            let list = output.len() as u64;
            fill(&mut output, field, list);
            let first = waiting.len();
            for entry in &directory.children {
                let known = entry.security_id.is_none_or(|id| usize::try_from(id).is_ok_and(|id| id < self.security_descriptors.len()));
                if !known {
                    let name = entry.name.to_string_lossy();
                    return Err(MetadataError::Unrepresentable { name, reason: "its security descriptor does not exist" });
                }
                let field = entry.encode(&mut output)?;
                // A reparse point's target has the children; it has a list only where it was given one.
                if entry.is_directory() && (entry.reparse.is_none() || !entry.children.is_empty()) {
                    waiting.push((entry, field, depth.saturating_add(1)));
                }
            }
            output.extend([0; 8]);
            if let Some(new) = waiting.get_mut(first..) {
                new.reverse();
            }
        }
        Ok(output)
    }

    /// Calls `visit` for every entry, parents first, in the order of the file.
    pub fn for_each<'a>(&'a self, mut visit: impl FnMut(&'a Dentry)) {
        let mut waiting = vec![&self.root];
        while let Some(entry) = waiting.pop() {
            visit(entry);
            waiting.extend(entry.children.iter().rev());
        }
    }

    /// Counts what the image contains, by Microsoft's rules (seen in DISM's captures): the root does not count, a
    /// directory that is a reparse point counts as a file, and bytes are those of unnamed streams. (wimlib counts the root,
    /// and all streams.) `size_of` gives a blob's bytes.
    #[must_use]
    pub fn statistics(&self, size_of: &dyn Fn(&BlobId) -> u64) -> Statistics {
        let mut statistics = Statistics::default();
        let mut groups = HashSet::new();
        let mut waiting: Vec<&Dentry> = self.root.children.iter().collect();
        while let Some(entry) = waiting.pop() {
            waiting.extend(&entry.children);
            if entry.is_directory() && entry.reparse.is_none() {
                statistics.directories = statistics.directories.saturating_add(1);
                continue;
            }
            statistics.files = statistics.files.saturating_add(1);
            let bytes = entry.data.as_ref().map_or(0, size_of);
            statistics.total_bytes = statistics.total_bytes.saturating_add(bytes);
            if entry.hard_link_group != 0 && !groups.insert(entry.hard_link_group) {
                statistics.hard_link_bytes = statistics.hard_link_bytes.saturating_add(bytes);
            }
        }
        statistics
    }

    fn encode_security_data(&self, output: &mut Vec<u8>) -> Result<(), MetadataError> {
        let invalid = |reason| MetadataError::SecurityData { reason };
        let count = u32::try_from(self.security_descriptors.len()).map_err(|_| invalid("too many descriptors"))?;
        output.extend([0; 4]);
        output.extend(count.to_le_bytes());
        for descriptor in &self.security_descriptors {
            output.extend((descriptor.len() as u64).to_le_bytes());
        }
        for descriptor in &self.security_descriptors {
            output.extend(descriptor.iter());
        }
        output.resize(align8(output.len()), 0);
        let total = u32::try_from(output.len()).map_err(|_| invalid("4 GiB of descriptors"))?;
        if let Some(field) = output.get_mut(..4) {
            field.copy_from_slice(&total.to_le_bytes());
        }
        Ok(())
    }
}

/// Opens a directory's list, or hands the entry back when it has none.
fn enter(
    bytes: &[u8],
    entry: Dentry,
    list: u64,
    open: &mut Vec<OpenDirectory>,
    seen: &mut HashSet<u64>,
) -> Result<Option<Dentry>, MetadataError> {
    if list == 0 {
        return Ok(Some(entry));
    }
    let next = usize::try_from(list).unwrap_or(usize::MAX);
    // Directories may share an end mark, but not entries.
    let is_empty = Fields(bytes.get(next..).unwrap_or_default()).u64(0).is_some_and(|length| length <= 8);
    if is_empty {
        return Ok(Some(entry));
    }
    if !seen.insert(list) {
        return Err(MetadataError::SharedDirectory { offset: list });
    }
    if open.len() >= MAX_DEPTH {
        return Err(MetadataError::TooDeep);
    }
    open.push(OpenDirectory { directory: entry, next });
    Ok(None)
}

/// Refuses names that cannot be, among the children of a directory.
fn check_names(directory: &Dentry) -> Result<(), MetadataError> {
    let refused = |entry: &Dentry, problem| MetadataError::Name {
        name: entry.name.to_string_lossy(),
        directory: directory.name.to_string_lossy(),
        problem,
    };
    let mut names: Vec<&Dentry> = directory.children.iter().collect();
    names.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    for (index, entry) in names.iter().enumerate() {
        if let Some(problem) = entry.name_problem() {
            return Err(refused(entry, problem));
        }
        if names.get(index.saturating_add(1)).is_some_and(|next| next.name == entry.name) {
            return Err(refused(entry, NameProblem::Duplicate));
        }
    }
    Ok(())
}

/// Reads the security data: the descriptors, and where the root entry starts.
fn decode_security_data(bytes: &[u8]) -> Result<(SecurityDescriptors, usize), MetadataError> {
    let invalid = |reason| MetadataError::SecurityData { reason };
    let truncated = || MetadataError::Truncated { offset: 0 };
    let fields = Fields(bytes);
    let total = usize::try_from(fields.u32(0).ok_or_else(truncated)?).map_err(|_| truncated())?;
    let count = usize::try_from(fields.u32(4).ok_or_else(truncated)?).map_err(|_| truncated())?;
    // A total of 0 occurs where there are no descriptors; the two fields still stand there.
    let total = total.max(8);
    let data = Fields(fields.bytes(0, total).ok_or_else(|| invalid("longer than the metadata"))?);
    let sizes_end = count.checked_mul(8).and_then(|sizes| sizes.checked_add(8)).filter(|end| *end <= total);
    let mut start = sizes_end.ok_or_else(|| invalid("more descriptors than fit"))?;
    let mut descriptors = Vec::with_capacity(count);
    for index in 0..count {
        let size = data.u64(index.saturating_mul(8).saturating_add(8)).and_then(|size| usize::try_from(size).ok());
        let descriptor = size.and_then(|size| data.bytes(start, size)).ok_or_else(|| invalid("a descriptor is longer than the data"))?;
        start = start.saturating_add(descriptor.len());
        descriptors.push(Arc::from(descriptor));
    }
    Ok((descriptors, align8(total)))
}

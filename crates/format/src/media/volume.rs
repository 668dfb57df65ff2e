//! [`Volume`]: the files of an optical disc image, whatever its file system, read in place.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::Platform;
use crate::io::{Extent, ReadAt, Section};
use crate::{iso, udf};

/// Files and directories in one volume. Microsoft's fullest media hold some 10,000.
pub const MAX_ENTRIES: usize = 1 << 20;
/// Extents of all files and directories together: 4 million would describe 4 PiB in UDF's largest extents.
pub const MAX_EXTENTS: usize = 1 << 22;
/// Levels of directories. UDF limits a path to 1023 bytes (UDF 1.02, section 2, "Maximum Pathsize"), which leaves 511 names.
pub const MAX_DEPTH: u16 = 511;
/// Bytes of all directories together: 256 for each of [`MAX_ENTRIES`]. Bounds the memory that a directory asks for.
pub const MAX_DIRECTORY_BYTES: u64 = 1 << 28;

/// Why an image cannot be read. Offsets are bytes from the start of the image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The medium failed.
    #[error("cannot read the {structure} at offset {offset} of the image")]
    Read {
        /// The structure's name in its standard.
        structure: &'static str,
        /// Where it lies.
        offset: u64,
        /// What the medium reported.
        source: io::Error,
    },
    /// Nothing here is an optical file system.
    #[error("the image holds neither a UDF nor an ISO 9660 volume: no volume descriptor at offset 32768")]
    NotAVolume,
    /// A structure contradicts its standard, so that what it describes is not known.
    #[error("the {structure} at offset {offset} of the image is malformed: {problem}")]
    Malformed {
        /// The structure's name in its standard.
        structure: &'static str,
        /// Where it lies.
        offset: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A correct structure that this reader does not know.
    #[error("the {structure} at offset {offset} of the image uses {feature}, which is not supported")]
    Unsupported {
        /// The structure's name in its standard.
        structure: &'static str,
        /// Where it lies.
        offset: u64,
        /// What it asks for.
        feature: &'static str,
    },
    /// A name that cannot be a file's name below its directory.
    #[error("the directory {directory:?} of the image holds the name {name:?}: {problem}")]
    Name {
        /// Path of the directory.
        directory: String,
        /// The name as recorded.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The same directory is listed twice: a cycle, or two parents.
    #[error("the directory at offset {offset} of the image is listed in more than one directory")]
    DirectoryCycle {
        /// Where its file entry or extent lies.
        offset: u64,
    },
    /// More than any real medium holds.
    #[error("the image holds more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is accepted.
        limit: u64,
    },
    /// [`Volume::open_file`] of something else.
    #[error("{path:?} in the image is not a file")]
    NotAFile {
        /// Path of the entry.
        path: String,
    },
}

/// The file system that a volume was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// UDF, with its revision in binary-coded decimal: 0x0102, 0x0150, 0x0201, 0x0250, 0x0260.
    Udf {
        /// The revision that the logical volume's domain identifier names.
        revision: u16,
    },
    /// ISO 9660 with Joliet's Unicode names.
    Joliet,
    /// ISO 9660 alone, levels 1 to 3.
    Iso9660,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with bytes.
    File,
    /// A directory.
    Directory,
    /// Something without bytes on a Windows medium: device, symbolic link, socket.
    Other,
}

/// A file or directory of a volume. Times are FILETIME (100 ns since 1601-01-01 UTC), `None` where not recorded.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name, empty for the root. Never `.`, `..`, and free of `/`, `\` and NUL.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes in the file, or in the directory's own records.
    pub size: u64,
    /// Where the bytes lie in the image, in order; `size` bytes in all. May reach past the end of a truncated image.
    pub extents: Vec<Extent>,
    /// When it was made: only extended file entries (UDF 2.00 and later) record it.
    pub created: Option<u64>,
    /// When its bytes were last changed; ISO 9660's recording time.
    pub modified: Option<u64>,
    /// When it was last read (UDF only).
    pub accessed: Option<u64>,
    /// Index of the directory that lists it; the root's is its own.
    parent: usize,
    /// Levels below the root.
    depth: u16,
    /// A directory's entries.
    children: Range<usize>,
}

/// What a file system's reader says of one file or directory.
pub(crate) struct Record {
    pub name: String,
    pub kind: EntryKind,
    pub size: u64,
    pub extents: Vec<Extent>,
    pub created: Option<u64>,
    pub modified: Option<u64>,
    pub accessed: Option<u64>,
    /// A directory's identity: offset of the structure that describes it.
    pub identity: u64,
}

/// An entry of the El Torito boot catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootImage {
    /// For which firmware it is.
    pub platform: Platform,
    /// False for an entry that is marked as not bootable.
    pub bootable: bool,
    /// Media type: 0 no emulation, 1-3 a floppy disk, 4 a hard disk.
    pub emulation: u8,
    /// Real-mode segment that the image is loaded to; 0 stands for 0x7C0.
    pub load_segment: u16,
    /// 512-byte sectors that the firmware loads, as recorded. Microsoft records 8 for BIOS, 1 for UEFI.
    pub load_sectors: u16,
    /// Offset of the image.
    pub offset: u64,
    /// Bytes of the image. The catalog does not record it: it is the size of the volume's file that starts there, else of the
    /// FAT volume there, else what is loaded.
    pub size: u64,
}

/// An opened optical disc image.
pub struct Volume {
    source: Arc<dyn ReadAt>,
    file_system: FileSystem,
    label: String,
    entries: Vec<Entry>,
    /// (directory, name folded) to entry.
    names: HashMap<(usize, String), usize>,
    boot_images: Vec<BootImage>,
}

impl Volume {
    /// Opens UDF (1.02 to 2.60) where the image announces it, else Joliet, else ISO 9660. Reads all directories.
    ///
    /// An image that announces a UDF volume which cannot be read is an error, although it may hold an ISO 9660 volume too: on
    /// Windows media that one holds only a notice.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Self, VolumeError> {
        let descriptors = iso::descriptors(&*source)?;
        let (file_system, label, tree) = if udf::is_announced(&*source)? {
            udf::read(&source)?
        } else if let Some(descriptors) = &descriptors {
            iso::read(&source, descriptors)?
        } else {
            return Err(VolumeError::NotAVolume);
        };
        let mut volume = Self { source, file_system, label, entries: tree.entries, names: HashMap::new(), boot_images: Vec::new() };
        for (index, entry) in volume.entries.iter().enumerate().skip(1) {
            volume.names.entry((entry.parent, fold(&entry.name))).or_insert(index);
        }
        if let Some(catalog) = descriptors.and_then(|descriptors| descriptors.boot_catalog) {
            let mut images = iso::boot_catalog(&*volume.source, catalog)?;
            let sizes: HashMap<u64, u64> = volume.entries.iter().filter_map(|entry| Some((entry.start()?, entry.size))).collect();
            for image in &mut images {
                image.size = match sizes.get(&image.offset) {
                    Some(size) => *size,
                    None => iso::boot_image_size(&*volume.source, image),
                };
            }
            volume.boot_images = images;
        }
        Ok(volume)
    }

    /// Which file system the entries come from.
    #[must_use]
    pub fn file_system(&self) -> FileSystem {
        self.file_system
    }

    /// The volume's label, without trailing spaces.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// All entries: the root first, each directory before what it holds, a directory's entries together in recorded order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries of a directory; empty for a file.
    #[must_use]
    pub fn children(&self, directory: &Entry) -> &[Entry] {
        self.entries.get(directory.children.clone()).unwrap_or_default()
    }

    /// Path of an entry of this volume, components joined by `/`, without a leading one; empty for the root.
    #[must_use]
    pub fn path(&self, entry: &Entry) -> String {
        path(&self.entries, entry)
    }

    /// The entry at `path`, components separated by `/` or `\`, upper and lower case being one. Where two names differ in
    /// case only, the first is found. The empty path is the root.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Entry> {
        let mut index = 0;
        for name in path.split(['/', '\\']).filter(|name| !name.is_empty()) {
            index = *self.names.get(&(index, fold(name)))?;
        }
        self.entries.get(index)
    }

    /// A file's bytes, read in place.
    ///
    /// # Errors
    /// `NotAFile`; `Malformed` when the file reaches past the end of the image (a truncated download).
    pub fn open_file(&self, entry: &Entry) -> Result<Section, VolumeError> {
        if entry.kind != EntryKind::File {
            return Err(VolumeError::NotAFile { path: self.path(entry) });
        }
        Section::new(Arc::clone(&self.source), entry.extents.iter().copied()).map_err(|_| outside("file", entry.start().unwrap_or(0)))
    }

    /// The El Torito boot catalog, in its order; empty for a disc that does not boot.
    #[must_use]
    pub fn boot_images(&self) -> &[BootImage] {
        &self.boot_images
    }

    /// A boot image's bytes, read in place.
    ///
    /// # Errors
    /// `Malformed` when it reaches past the end of the image.
    pub fn open_boot_image(&self, image: &BootImage) -> Result<Section, VolumeError> {
        let extent = Extent { offset: Some(image.offset), length: image.size };
        Section::new(Arc::clone(&self.source), [extent]).map_err(|_| outside("boot image", image.offset))
    }
}

fn outside(structure: &'static str, offset: u64) -> VolumeError {
    VolumeError::Malformed { structure, offset, problem: "it reaches past the end of the image, which may be truncated" }
}

impl Entry {
    /// Where the first byte lies, for an entry that has one.
    fn start(&self) -> Option<u64> {
        self.extents.first()?.offset
    }
}

/// Case folding for lookup: simple upper-casing, one character to one, as Windows does it.
pub(crate) fn fold(name: &str) -> String {
    let upper = |character: char| {
        let mut all = character.to_uppercase();
        match (all.next(), all.next()) {
            (Some(single), None) => single,
            _ => character,
        }
    };
    name.chars().map(upper).collect()
}

fn path(entries: &[Entry], entry: &Entry) -> String {
    let mut names = vec![entry.name.as_str()];
    let mut at = entry;
    while let Some(parent) = entries.get(at.parent).filter(|parent| parent.depth > 0 && parent.depth < at.depth) {
        names.push(&parent.name);
        at = parent;
    }
    names.reverse();
    names.join("/")
}

/// What is wrong with a name for a file below a directory, if anything.
pub(crate) fn name_problem(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it is empty"),
        "." | ".." => Some("it would leave its directory"),
        _ if name.contains(['/', '\\']) => Some("it contains a path separator"),
        _ if name.contains('\0') => Some("it contains NUL"),
        _ => None,
    }
}

/// The extents of one file while they are gathered: adjacent ones are joined, all are counted against a budget.
pub(crate) struct ExtentList<'a> {
    pub extents: Vec<Extent>,
    budget: &'a mut usize,
    /// Bytes still wanted.
    left: u64,
}

impl ExtentList<'_> {
    /// Appends an extent, cut to what the file still needs.
    pub fn push(&mut self, extent: Extent) -> Result<(), VolumeError> {
        let limit = VolumeError::Limit { what: "extents", limit: MAX_EXTENTS as u64 };
        *self.budget = self.budget.checked_sub(1).ok_or(limit)?;
        let length = extent.length.min(self.left);
        self.left = self.left.saturating_sub(length);
        if length == 0 {
            return Ok(());
        }
        if let Some(last) = self.extents.last_mut() {
            let adjacent = match (last.offset, extent.offset) {
                (None, None) => true,
                (Some(start), Some(next)) => start.checked_add(last.length) == Some(next),
                _ => false,
            };
            if let Some(joined) = last.length.checked_add(length).filter(|_| adjacent) {
                last.length = joined;
                return Ok(());
            }
        }
        self.extents.push(Extent { offset: extent.offset, length });
        Ok(())
    }

    /// Another list, of `size` bytes, that counts against the same budget.
    pub fn separate(&mut self, size: u64) -> ExtentList<'_> {
        ExtentList { extents: Vec::new(), budget: self.budget, left: size }
    }

    /// True when all bytes of the file are accounted for.
    pub fn is_complete(&self) -> bool {
        self.left == 0
    }
}

/// The entries of a volume while they are read: directories in a queue (no recursion), within the limits.
pub(crate) struct Tree {
    pub entries: Vec<Entry>,
    directories: HashSet<u64>,
    extents_left: usize,
    directory_bytes_left: u64,
}

/// What a reader finds in a directory: the tree to add it to, and the directory's index.
pub(crate) struct Listing<'a> {
    tree: &'a mut Tree,
    directory: usize,
    names: HashSet<String>,
}

impl Tree {
    pub fn new() -> Self {
        Self { entries: Vec::new(), directories: HashSet::new(), extents_left: MAX_EXTENTS, directory_bytes_left: MAX_DIRECTORY_BYTES }
    }

    /// Starts the extents of a file of `size` bytes.
    pub fn extent_list(&mut self, size: u64) -> ExtentList<'_> {
        ExtentList { extents: Vec::new(), budget: &mut self.extents_left, left: size }
    }

    fn push(&mut self, record: Record, parent: usize, depth: u16) -> Result<(), VolumeError> {
        if self.entries.len() >= MAX_ENTRIES {
            return Err(VolumeError::Limit { what: "files and directories", limit: MAX_ENTRIES as u64 });
        }
        if depth > MAX_DEPTH {
            return Err(VolumeError::Limit { what: "levels of directories", limit: MAX_DEPTH.into() });
        }
        // An empty directory has no place of its own on some discs.
        if record.kind == EntryKind::Directory && record.size > 0 && !self.directories.insert(record.identity) {
            return Err(VolumeError::DirectoryCycle { offset: record.identity });
        }
        let Record { name, kind, size, extents, created, modified, accessed, .. } = record;
        self.entries.push(Entry { name, kind, size, extents, created, modified, accessed, parent, depth, children: 0..0 });
        Ok(())
    }

    /// Walks all directories from `root`, breadth first; `list` reads the records in a directory's bytes.
    pub fn walk(
        mut self,
        source: &Arc<dyn ReadAt>,
        root: Record,
        mut list: impl FnMut(&[u8], &[Extent], &mut Listing<'_>) -> Result<(), VolumeError>,
    ) -> Result<Self, VolumeError> {
        self.push(root, 0, 0)?;
        let mut index = 0_usize;
        while let Some(entry) = self.entries.get(index) {
            if entry.kind == EntryKind::Directory {
                let limit = VolumeError::Limit { what: "bytes of directories", limit: MAX_DIRECTORY_BYTES };
                self.directory_bytes_left = self.directory_bytes_left.checked_sub(entry.size).ok_or(limit)?;
                let (extents, start) = (entry.extents.clone(), entry.start().unwrap_or(0));
                let section = Section::new(Arc::clone(source), extents.iter().copied()).map_err(|_| outside("directory", start))?;
                let read = |source| VolumeError::Read { structure: "directory", offset: start, source };
                let mut bytes = vec![0; usize::try_from(entry.size).unwrap_or(usize::MAX)];
                section.read_exact_at(&mut bytes, 0).map_err(read)?;
                let first = self.entries.len();
                list(&bytes, &extents, &mut Listing { tree: &mut self, directory: index, names: HashSet::new() })?;
                let children = first..self.entries.len();
                if let Some(entry) = self.entries.get_mut(index) {
                    entry.children = children;
                }
            }
            index = index.saturating_add(1);
        }
        Ok(self)
    }
}

impl Listing<'_> {
    /// Where the extents of an entry are counted.
    pub fn tree(&mut self) -> &mut Tree {
        self.tree
    }

    fn name_error(&self, name: String, problem: &'static str) -> VolumeError {
        let directory = self.tree.entries.get(self.directory).map(|directory| path(&self.tree.entries, directory));
        VolumeError::Name { directory: directory.unwrap_or_default(), name, problem }
    }

    /// True when the directory holds this very name already.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Adds a file or directory.
    pub fn push(&mut self, record: Record) -> Result<(), VolumeError> {
        if let Some(problem) = name_problem(&record.name) {
            return Err(self.name_error(record.name, problem));
        }
        if !self.names.insert(record.name.clone()) {
            return Err(self.name_error(record.name, "it is there twice"));
        }
        let depth = self.tree.entries.get(self.directory).map_or(0, |directory| directory.depth).saturating_add(1);
        self.tree.push(record, self.directory, depth)
    }
}

//! [`Bridge`]: writes an installation disc, in one pass over its files.
//!
//! Metadata lie before the files, but are written after them: their room depends on names and largest possible sizes only. So a
//! file may be produced in its place without its size being known before, and nothing is written twice. The layout is
//! described in [`crate::media`]. The bytes depend on nothing but what is given here.

mod tree;
mod window;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

pub use window::Window;

use super::Platform;
use super::volume::{fold, name_problem};
use crate::io::ReadAt;
use crate::{iso, udf};
pub(crate) use tree::{Node, NodeKind, Placed, Tree};
pub(crate) use write::Output;

/// Characters in a label, as with Microsoft's `oscdimg -l`.
pub const MAX_LABEL: usize = 32;
/// Bytes of an encoded name: its length is recorded in one byte (ECMA-167 4/14.4.4).
pub const MAX_NAME_BYTES: usize = 255;
/// Bytes of an encoded path with separators (UDF 1.02, section 2, "Maximum Pathsize").
pub const MAX_PATH_BYTES: usize = 1023;
/// Bytes of a file: as many extents as fit into its file entry. 234 GiB.
pub const MAX_FILE_SIZE: u64 = udf::MAX_FILE_SIZE;

/// Why a disc cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// The label cannot be recorded.
    #[error("the label {label:?} has more than {MAX_LABEL} characters")]
    Label {
        /// The label as given.
        label: String,
    },
    /// A path that cannot be on a disc.
    #[error("{path:?} cannot be written to the disc: {problem}")]
    Path {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two files, or a file and a directory, of one name, upper and lower case being one.
    #[error("{path:?} is on the disc already")]
    Exists {
        /// The path as given.
        path: String,
    },
    /// A content identifier that another [`Bridge`] gave.
    #[error("{path:?} refers to a content that was not added to this disc")]
    UnknownContent {
        /// Path of the file, or `boot image`.
        path: String,
    },
    /// A file larger than UDF can record in one file entry.
    #[error("{path:?} may grow to {size} bytes; a file on a disc has {MAX_FILE_SIZE} at most")]
    FileTooLarge {
        /// Path of the file.
        path: String,
        /// Its size in bytes.
        size: u64,
    },
    /// More than 2^32 sectors: 8 TiB.
    #[error("the disc would have more than 2^32 sectors")]
    ImageTooLarge,
    /// ISO 9660's path table numbers directories with 16 bits.
    #[error("the disc has {directories} directories; ISO 9660 knows 65535 at most (the UDF volume alone would take them)")]
    TooManyDirectories {
        /// How many there are.
        directories: usize,
    },
    /// The boot catalog is one sector.
    #[error("the disc has {entries} boot entries; the boot catalog takes {} at most", iso::MAX_BOOT_ENTRIES)]
    TooManyBootEntries {
        /// How many there are.
        entries: usize,
    },
    /// A content could not be read, produced or stored.
    #[error("cannot write {path:?} to the disc")]
    Content {
        /// Path of the file, or `boot image`.
        path: String,
        /// What failed.
        source: io::Error,
    },
    /// The image file failed.
    #[error("cannot write the image at offset {offset}")]
    Output {
        /// Where in the image.
        offset: u64,
        /// What failed.
        source: io::Error,
    },
}

/// What the ISO 9660 volume shows, to systems and programs that don't read UDF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsoView {
    /// A notice `README.TXT`, as `oscdimg -u2` writes it.
    #[default]
    Stub,
    /// All files, by level 3 names and by Joliet names; they share the files' bytes with UDF.
    Full,
}

/// What a disc is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The volume's label, 32 characters at most.
    pub label: String,
    /// Time of the volume, and of directories that were not added by name: FILETIME, 100 ns since 1601-01-01 UTC.
    pub time: u64,
    /// Tells this volume set from others with the same label (UDF 2.2.2.5 wants it unique): a hash of what is on the disc, say.
    pub volume_set: [u8; 8],
    /// What the ISO 9660 volume shows.
    pub iso_view: IsoView,
    /// Store [`Content::Source`]s with the same bytes once, as `oscdimg -o` does. Those of equal size are read twice for it.
    pub share_identical: bool,
}

/// Produces the bytes of a file in their place on the disc.
pub type Produce<'a> = Box<dyn FnOnce(&mut Window<'_>) -> io::Result<()> + Send + 'a>;

/// The bytes of a file.
pub enum Content<'a> {
    /// A copy of a source, by the kernel where it can.
    Source(Arc<dyn ReadAt>),
    /// Bytes that are produced while the disc is written.
    Produced {
        /// The most that `produce` will write. The file has the size that it wrote.
        maximum: u64,
        /// Called once, when the file's turn comes.
        produce: Produce<'a>,
    },
}

impl Content<'_> {
    /// A file of these bytes.
    #[must_use]
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self::Source(Arc::new(bytes))
    }

    fn maximum(&self) -> u64 {
        match self {
            Self::Source(source) => source.size(),
            Self::Produced { maximum, .. } => *maximum,
        }
    }
}

/// A content that was added to a [`Bridge`]. Files and boot entries that name the same one share its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentId(usize);

/// An entry of the boot catalog, without emulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootEntry {
    /// For which firmware it is.
    pub platform: Platform,
    /// The boot image.
    pub image: ContentId,
    /// 512-byte sectors that the firmware is told to load.
    pub load_sectors: u16,
}

impl BootEntry {
    /// A BIOS boot image such as `etfsboot.com`: 8 sectors are loaded, as `oscdimg` has it.
    #[must_use]
    pub fn bios(image: ContentId) -> Self {
        Self { platform: Platform::Bios, image, load_sectors: 8 }
    }

    /// A FAT volume such as `efisys.bin`. One sector is recorded, as on Microsoft's media: UEFI reads 0 and 1 as "to the end of
    /// the disc" (UEFI specification 13.3.2.1), and the FAT volume knows its size.
    #[must_use]
    pub fn uefi(image: ContentId) -> Self {
        Self { platform: Platform::Uefi, image, load_sectors: 1 }
    }
}

/// Where a file came to lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Path on the disc, components joined by `/`.
    pub path: String,
    /// Offset of its first byte in the image; 0 for an empty file. Its bytes are in one piece.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// A disc that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenImage {
    /// Bytes of the image.
    pub size: u64,
    /// All files, directory by directory.
    pub files: Vec<WrittenFile>,
}

/// A disc being put together.
pub struct Bridge<'a> {
    options: Options,
    tree: Tree,
    contents: Vec<Content<'a>>,
    boot: Vec<BootEntry>,
}

impl<'a> Bridge<'a> {
    /// An empty disc.
    ///
    /// # Errors
    /// `Label`.
    pub fn new(options: Options) -> Result<Self, BridgeError> {
        if options.label.encode_utf16().count() > MAX_LABEL {
            return Err(BridgeError::Label { label: options.label });
        }
        let tree = Tree::new(options.time);
        Ok(Self { options, tree, contents: Vec::new(), boot: Vec::new() })
    }

    /// Adds the bytes of a file or boot image. Contents lie on the disc in the order in which they were added; one that nothing
    /// refers to is left out.
    pub fn add_content(&mut self, content: Content<'a>) -> ContentId {
        self.contents.push(content);
        ContentId(self.contents.len().saturating_sub(1))
    }

    /// Adds a file. `path` has components separated by `/`; directories that are missing are made with the volume's time.
    ///
    /// # Errors
    /// `Path`, `Exists`, `UnknownContent`, `FileTooLarge`.
    pub fn add_file(&mut self, path: &str, modified: u64, content: ContentId) -> Result<(), BridgeError> {
        let size = self.contents.get(content.0).map(Content::maximum);
        let size = size.ok_or_else(|| BridgeError::UnknownContent { path: path.to_owned() })?;
        if size > MAX_FILE_SIZE {
            return Err(BridgeError::FileTooLarge { path: path.to_owned(), size });
        }
        let (directory, name) = self.enter(path)?;
        self.insert(path, directory, name, modified, NodeKind::File { content: content.0 }).map(drop)
    }

    /// Adds a directory, or gives one that is there already its time. The empty path is the root.
    ///
    /// # Errors
    /// `Path`, `Exists` when it is a file.
    pub fn add_directory(&mut self, path: &str, modified: u64) -> Result<(), BridgeError> {
        let index = if path.is_empty() {
            0
        } else {
            let (directory, name) = self.enter(path)?;
            self.directory(path, directory, name)?
        };
        if let Some(node) = self.tree.nodes.get_mut(index) {
            node.modified = modified;
        }
        Ok(())
    }

    /// Adds an entry to the boot catalog. The first one is the default entry.
    ///
    /// # Errors
    /// `UnknownContent`, `TooManyBootEntries`.
    pub fn add_boot_entry(&mut self, entry: BootEntry) -> Result<(), BridgeError> {
        if entry.image.0 >= self.contents.len() {
            return Err(BridgeError::UnknownContent { path: BOOT_IMAGE.to_owned() });
        }
        self.boot.push(entry);
        match self.boot.len() {
            entries if entries > iso::MAX_BOOT_ENTRIES => Err(BridgeError::TooManyBootEntries { entries }),
            _ => Ok(()),
        }
    }

    /// Finds the directory that `path` lies in, and the last name.
    fn enter<'p>(&mut self, path: &'p str) -> Result<(usize, &'p str), BridgeError> {
        let error = |problem| BridgeError::Path { path: path.to_owned(), problem };
        let mut bytes = 0_usize;
        for name in path.split('/') {
            if let Some(problem) = name_problem(name) {
                return Err(error(problem));
            }
            let length = udf::identifier_length(name);
            if length > MAX_NAME_BYTES {
                return Err(error("a name in it is longer than 254 characters, or 127 beyond Latin-1"));
            }
            bytes = bytes.saturating_add(length).saturating_add(1);
        }
        if bytes > MAX_PATH_BYTES {
            return Err(error("it is longer than the 1023 bytes that UDF allows"));
        }
        let (parents, last) = path.rsplit_once('/').map_or((None, path), |(parents, last)| (Some(parents), last));
        let mut directory = 0;
        for name in parents.iter().flat_map(|parents| parents.split('/')) {
            directory = self.directory(path, directory, name)?;
        }
        Ok((directory, last))
    }

    /// The directory `name` in `directory`, made if it is missing.
    fn directory(&mut self, path: &str, directory: usize, name: &str) -> Result<usize, BridgeError> {
        match self.tree.child(directory, &fold(name)) {
            None => self.insert(path, directory, name, self.options.time, NodeKind::Directory { children: BTreeMap::new() }),
            Some(index) if self.tree.is_directory(index) => Ok(index),
            Some(_) => Err(BridgeError::Exists { path: path.to_owned() }),
        }
    }

    fn insert(&mut self, path: &str, directory: usize, name: &str, modified: u64, kind: NodeKind) -> Result<usize, BridgeError> {
        let node = Node { name: name.to_owned(), parent: directory, modified, kind };
        self.tree.insert(fold(name), node).ok_or_else(|| BridgeError::Exists { path: path.to_owned() })
    }
}

/// What stands for the path of a content that only the boot catalog refers to.
const BOOT_IMAGE: &str = "boot image";

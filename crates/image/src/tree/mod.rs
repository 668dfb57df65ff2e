//! The immutable tree of an image: directories, files and links, with every field that a WIM dentry has.
//!
//! - A [`Tree`] is a value. Cloning it costs nothing; an edit copies only the directories on the way to what it changes.
//! - A dentry is a *name* of a file, not a file. What several names share (contents, times, security) is an [`Inode`];
//!   a file with hard links is one inode that several names point to. Directories have one name each.
//! - Names keep their case; lookup ignores it by the rule of `wimwright_format::upcase`. Children are kept in that order,
//!   so every walk is stable.
//! - Contents are named by [`BlobId`]; the bytes live in [`crate::Blobs`]. An empty stream has no blob.

mod edit;
mod identity;
mod metadata;

use std::cmp::Ordering;
use std::sync::Arc;

use wimwright_format::upcase;
use wimwright_format::wim::{BlobId, Name, NamedStream, Reparse, TaggedItems};

use crate::path::ImagePath;

pub use edit::EditError;
pub use identity::TreeId;
pub use metadata::MetadataError;

/// `FILE_ATTRIBUTE_READONLY`.
pub const ATTRIBUTE_READONLY: u32 = 0x1;
/// `FILE_ATTRIBUTE_HIDDEN`.
pub const ATTRIBUTE_HIDDEN: u32 = 0x2;
/// `FILE_ATTRIBUTE_SYSTEM`.
pub const ATTRIBUTE_SYSTEM: u32 = 0x4;
/// `FILE_ATTRIBUTE_DIRECTORY`.
pub const ATTRIBUTE_DIRECTORY: u32 = 0x10;
/// `FILE_ATTRIBUTE_ARCHIVE`.
pub const ATTRIBUTE_ARCHIVE: u32 = 0x20;
/// `FILE_ATTRIBUTE_NORMAL`: no other attribute is set.
pub const ATTRIBUTE_NORMAL: u32 = 0x80;
/// `FILE_ATTRIBUTE_REPARSE_POINT`.
pub const ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
/// `FILE_ATTRIBUTE_NOT_CONTENT_INDEXED`.
pub const ATTRIBUTE_NOT_CONTENT_INDEXED: u32 = 0x2000;

/// Number of an inode in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

/// Number of a security descriptor in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecurityId(u32);

/// What all names of a file share, and what a directory has besides its children.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inode {
    /// `FILE_ATTRIBUTE_…` bits.
    pub attributes: u32,
    /// Security descriptor; `None` when the image stores none for it.
    pub security: Option<SecurityId>,
    /// Creation time, FILETIME (100 ns since 1601, UTC).
    pub created: u64,
    /// Last access time, FILETIME.
    pub accessed: u64,
    /// Last write time, FILETIME.
    pub written: u64,
    /// Contents of the unnamed stream; `None` when empty.
    pub contents: Option<BlobId>,
    /// What makes it a reparse point (a symbolic link, a junction).
    pub reparse: Option<Reparse>,
    /// Named streams in stored order.
    pub streams: Vec<NamedStream>,
    /// Number of the hard-link group that the WIM gave it; 0 for none. Kept, so that what is not touched is written as it
    /// was; which names share a file is told by [`Entry::file_id`].
    pub hard_link_group: u64,
    /// Object identifier, extended attributes, and other items.
    pub tagged_items: TaggedItems,
    /// Two fields without known meaning; carried through.
    pub unused: [u64; 2],
    /// A field without known meaning; carried through.
    pub unknown: u32,
}

impl Inode {
    /// Every blob that the file refers to: contents, reparse data, named streams.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> {
        let reparse = self.reparse.as_ref().and_then(|reparse| reparse.data);
        self.contents.into_iter().chain(reparse).chain(self.streams.iter().filter_map(|stream| stream.blob))
    }
}

/// A directory: its own metadata and its children, sorted.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    inode: Inode,
    children: Vec<Child>,
}

/// A name in a directory.
#[derive(Debug, Clone)]
pub struct Child {
    name: Name,
    short_name: Name,
    node: Node,
}

#[derive(Debug, Clone)]
enum Node {
    Directory(Arc<Directory>),
    File(FileId),
}

/// An immutable tree of files. See the module.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    root: Arc<Directory>,
    inodes: Arc<Vec<Arc<Inode>>>,
    security: Arc<Vec<Arc<[u8]>>>,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'tree> {
    tree: &'tree Tree,
    /// `None` for the root, which has no name.
    child: Option<&'tree Child>,
    directory: Option<&'tree Directory>,
    file: Option<FileId>,
}

impl<'tree> Entry<'tree> {
    fn of_child(tree: &'tree Tree, child: &'tree Child) -> Self {
        match &child.node {
            Node::Directory(directory) => Self { tree, child: Some(child), directory: Some(directory), file: None },
            Node::File(file) => Self { tree, child: Some(child), directory: None, file: Some(*file) },
        }
    }

    /// The name as stored; empty for the root.
    #[must_use]
    pub fn name(&self) -> String {
        self.child.map(|child| child.name.to_string()).unwrap_or_default()
    }

    /// The DOS (8.3) name as stored; empty when there is none.
    #[must_use]
    pub fn short_name(&self) -> String {
        self.child.map(|child| child.short_name.to_string()).unwrap_or_default()
    }

    /// How the names of two entries stand in a directory, without regard to case.
    #[must_use]
    pub fn name_order(&self, other: &Self) -> Ordering {
        let units = |entry: &Self| entry.child.map(|child| child.name.clone()).unwrap_or_default();
        upcase::compare(units(self).units(), units(other).units())
    }

    /// True for a directory (a junction, too, is one).
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.directory.is_some()
    }

    /// The file that this name points to; `None` for a directory.
    #[must_use]
    pub fn file_id(&self) -> Option<FileId> {
        self.file
    }

    /// The metadata.
    #[must_use]
    pub fn inode(&self) -> &'tree Inode {
        match (self.directory, self.file) {
            (Some(directory), _) => &directory.inode,
            (None, Some(file)) => self.tree.inode(file),
            (None, None) => unreachable!("an entry is a directory or a file"),
        }
    }

    /// The security descriptor in self-relative form.
    #[must_use]
    pub fn security(&self) -> Option<&'tree Arc<[u8]>> {
        self.inode().security.map(|id| self.tree.security_descriptor(id))
    }

    /// The children in order; none for a file.
    pub fn children(&self) -> impl ExactSizeIterator<Item = Entry<'tree>> + DoubleEndedIterator + use<'tree> {
        let tree = self.tree;
        self.directory.map_or(&[][..], |directory| &directory.children).iter().map(move |child| Entry::of_child(tree, child))
    }

    /// The children from the first whose name is not below `name`, in order, without regard to case.
    pub fn children_from(&self, name: &str) -> impl Iterator<Item = Entry<'tree>> + use<'tree> {
        let tree = self.tree;
        let name = Name::from(name);
        let children = self.directory.map_or(&[][..], |directory| &directory.children);
        let first = children.partition_point(|child| upcase::compare(child.name.units(), name.units()).is_lt());
        children[first..].iter().map(move |child| Entry::of_child(tree, child))
    }

    /// The child of that name, without regard to case.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<Entry<'tree>> {
        let directory = self.directory?;
        directory.child(&Name::from(name)).map(|child| Entry::of_child(self.tree, child))
    }
}

/// The order of children: by folded name, then by exact name. Two names that differ only in case are legal in a WIM.
fn order(left: &Name, right: &Name) -> Ordering {
    upcase::compare(left.units(), right.units()).then_with(|| left.units().cmp(right.units()))
}

impl Directory {
    /// Where a child of that name stands: its exact spelling if present, else the first that differs only in case,
    /// else where it would be inserted.
    fn position(&self, name: &Name) -> Result<usize, usize> {
        match self.children.binary_search_by(|child| order(&child.name, name)) {
            Ok(exact) => Ok(exact),
            Err(insert) => {
                let same =
                    |index: usize| self.children.get(index).is_some_and(|child| upcase::compare(child.name.units(), name.units()).is_eq());
                let first = self.children.partition_point(|child| upcase::compare(child.name.units(), name.units()).is_lt());
                if same(first) { Ok(first) } else { Err(insert) }
            }
        }
    }

    fn child(&self, name: &Name) -> Option<&Child> {
        self.position(name).ok().and_then(|index| self.children.get(index))
    }
}

impl Tree {
    fn inode(&self, file: FileId) -> &Inode {
        &self.inodes[file.0 as usize]
    }

    fn security_descriptor(&self, id: SecurityId) -> &Arc<[u8]> {
        &self.security[id.0 as usize]
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> Entry<'_> {
        Entry { tree: self, child: None, directory: Some(&self.root), file: None }
    }

    /// What `path` leads to, without regard to case. Reparse points are not followed.
    #[must_use]
    pub fn get(&self, path: &ImagePath) -> Option<Entry<'_>> {
        path.components().try_fold(self.root(), |entry, name| entry.child(name))
    }

    /// The same for a path in text form; `None` also when it is not a path.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<Entry<'_>> {
        self.get(&ImagePath::parse(path).ok()?)
    }

    /// Every entry below the root with its path (`/Windows/…`), parents first, in stable order.
    pub fn walk(&self) -> Walk<'_> {
        Walk { stack: vec![(String::new(), self.root())] }
    }

    /// Every blob that a reachable name refers to, in order of first reference, once.
    #[must_use]
    pub fn blobs(&self) -> Vec<BlobId> {
        let mut seen = std::collections::HashSet::new();
        std::iter::once(self.root())
            .chain(self.walk().map(|(_, entry)| entry))
            .flat_map(|entry| entry.inode().blobs())
            .filter(|blob| seen.insert(*blob))
            .collect()
    }
}

/// See [`Tree::walk`].
pub struct Walk<'tree> {
    stack: Vec<(String, Entry<'tree>)>,
}

impl<'tree> Iterator for Walk<'tree> {
    type Item = (String, Entry<'tree>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (path, entry) = self.stack.pop()?;
            self.stack.extend(entry.children().rev().map(|child| (format!("{path}/{}", child.name()), child)));
            if !path.is_empty() {
                return Some((path, entry));
            }
        }
    }
}

//! Between the tree and the metadata resource of a WIM: nothing is lost on the way in or out.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;
use wimwright_format::wim::{Dentry, Metadata};

use super::{Child, Directory, FileId, Inode, Node, SecurityId, Tree, order};

/// Most files that an image may have: what a `u32` can number, far above the some 200,000 of a real one.
const MAX_FILES: usize = u32::MAX as usize;

/// Why a WIM's metadata does not make a tree.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MetadataError {
    /// Names of one hard-link group disagree on what the file is.
    #[error("hard link group {group:#x} has names with different contents: the metadata is inconsistent")]
    LinkGroup {
        /// The group's number.
        group: u64,
    },
    /// More files than can be numbered.
    #[error("more than {MAX_FILES} files")]
    TooManyFiles,
}

impl Tree {
    /// The tree of an image's metadata.
    ///
    /// Names of one hard-link group share an inode when all they say of the file agrees; a group whose times or attributes
    /// differ from name to name (wimlib tolerates those, too) is kept as separate files of the same group number, so that
    /// it is written back as it was.
    ///
    /// # Errors
    /// See [`MetadataError`].
    pub fn from_metadata(metadata: Metadata) -> Result<Self, MetadataError> {
        let mut reader = FromMetadata { inodes: Vec::new(), groups: HashMap::new() };
        let root = reader.directory(metadata.root)?;
        Ok(Self { root: Arc::new(root), inodes: Arc::new(reader.inodes), security: Arc::new(metadata.security_descriptors) })
    }

    /// Gives files that have more than one name a hard-link group, in the order of [`Tree::walk`]; those that had one keep its number.
    /// The tree is then what [`Tree::from_metadata`] makes of [`Tree::to_metadata`], and has the same id.
    pub fn number_hard_links(&mut self) {
        let mut names = HashMap::<FileId, u32>::new();
        let mut highest = 0;
        let mut order = Vec::new();
        for (_, entry) in self.walk() {
            let inode = entry.inode();
            highest = highest.max(inode.hard_link_group);
            if let Some(file) = entry.file_id() {
                let count = names.entry(file).or_default();
                *count += 1;
                if *count == 1 && inode.hard_link_group == 0 && inode.reparse.is_none() {
                    order.push(file);
                }
            }
        }
        for file in order.into_iter().filter(|file| names.get(file).is_some_and(|count| *count > 1)) {
            highest += 1;
            Arc::make_mut(&mut Arc::make_mut(&mut self.inodes)[file.0 as usize]).hard_link_group = highest;
        }
    }

    /// The metadata of this tree, children in the tree's order. Files that have more than one name get a hard-link group;
    /// those that had one keep its number.
    #[must_use]
    pub fn to_metadata(&self) -> Metadata {
        let mut numbered = self.clone();
        numbered.number_hard_links();
        Metadata { security_descriptors: numbered.security.to_vec(), root: numbered.dentries(&numbered.root) }
    }

    fn dentries(&self, directory: &Directory) -> Dentry {
        let mut dentry = directory.inode.to_dentry();
        dentry.children.reserve_exact(directory.children.len());
        for child in &directory.children {
            let mut below = match &child.node {
                Node::Directory(directory) => self.dentries(directory),
                Node::File(file) => self.inode(*file).to_dentry(),
            };
            below.name = child.name.clone();
            below.short_name = child.short_name.clone();
            dentry.children.push(below);
        }
        dentry
    }
}

struct FromMetadata {
    inodes: Vec<Arc<Inode>>,
    groups: HashMap<u64, FileId>,
}

impl FromMetadata {
    fn directory(&mut self, mut dentry: Dentry) -> Result<Directory, MetadataError> {
        let mut children = Vec::with_capacity(dentry.children.len());
        for mut below in std::mem::take(&mut dentry.children) {
            let name = std::mem::take(&mut below.name);
            let short_name = std::mem::take(&mut below.short_name);
            let node = if below.is_directory() { Node::Directory(Arc::new(self.directory(below)?)) } else { Node::File(self.file(below)?) };
            children.push(Child { name, short_name, node });
        }
        children.sort_by(|left, right| order(&left.name, &right.name));
        Ok(Directory { inode: Inode::from_dentry(dentry), children })
    }

    fn file(&mut self, dentry: Dentry) -> Result<FileId, MetadataError> {
        let inode = Inode::from_dentry(dentry);
        let group = inode.hard_link_group;
        if let Some(known) = self.groups.get(&group) {
            let first = &self.inodes[known.0 as usize];
            if **first == inode {
                return Ok(*known);
            }
            if first.contents != inode.contents {
                return Err(MetadataError::LinkGroup { group });
            }
        }
        let file = FileId(u32::try_from(self.inodes.len()).map_err(|_| MetadataError::TooManyFiles)?);
        self.inodes.push(Arc::new(inode));
        if group != 0 {
            self.groups.entry(group).or_insert(file);
        }
        Ok(file)
    }
}

impl Inode {
    fn from_dentry(dentry: Dentry) -> Self {
        Self {
            attributes: dentry.attributes,
            security: dentry.security_id.map(SecurityId),
            created: dentry.creation_time,
            accessed: dentry.last_access_time,
            written: dentry.last_write_time,
            contents: dentry.data,
            reparse: dentry.reparse,
            streams: dentry.named_streams,
            hard_link_group: dentry.hard_link_group,
            tagged_items: dentry.tagged_items,
            unused: dentry.unused,
            unknown: dentry.unknown,
        }
    }

    fn to_dentry(&self) -> Dentry {
        Dentry {
            attributes: self.attributes,
            security_id: self.security.map(|id| id.0),
            creation_time: self.created,
            last_access_time: self.accessed,
            last_write_time: self.written,
            data: self.contents,
            reparse: self.reparse.clone(),
            named_streams: self.streams.clone(),
            hard_link_group: self.hard_link_group,
            tagged_items: self.tagged_items.clone(),
            unused: self.unused,
            unknown: self.unknown,
            ..Dentry::default()
        }
    }

    /// This file after its contents were replaced: an ordinary file without other names, streams or reparse data. What
    /// describes it to a person (attributes, security, creation time) stays.
    #[must_use]
    pub fn replaced(&self) -> Self {
        Self {
            attributes: self.attributes & !super::ATTRIBUTE_REPARSE_POINT,
            security: self.security,
            created: self.created,
            accessed: self.accessed,
            written: self.written,
            ..Self::default()
        }
    }
}

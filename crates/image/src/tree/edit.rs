//! Edits: each gives the tree a new version and leaves every clone as it was.

use std::sync::Arc;

use thiserror::Error;
use wimwright_format::wim::Name;

use super::{ATTRIBUTE_DIRECTORY, Child, Directory, FileId, Inode, Node, SecurityId, Tree};
use crate::path::ImagePath;

/// Why an edit is not possible.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EditError {
    /// Nothing is there.
    #[error("`{path}` does not exist in the image")]
    Missing {
        /// The path asked for.
        path: String,
    },
    /// A component on the way is a file.
    #[error("`{path}` is a file, not a directory")]
    NotADirectory {
        /// The path of the file.
        path: String,
    },
    /// A directory stands where a file was to be written.
    #[error("`{path}` is a directory: a file cannot replace it")]
    IsADirectory {
        /// The path of the directory.
        path: String,
    },
    /// Something is there already.
    #[error("`{path}` exists already")]
    Exists {
        /// The path asked for.
        path: String,
    },
    /// The root can be neither replaced, removed nor renamed.
    #[error("the root of an image cannot be replaced, removed or renamed")]
    Root,
    /// A directory was to be moved below itself.
    #[error("`{path}` cannot be moved into itself")]
    IntoItself {
        /// The directory.
        path: String,
    },
}

fn missing(path: &ImagePath) -> EditError {
    EditError::Missing { path: path.to_string() }
}

impl Tree {
    /// The number of this security descriptor (self-relative form), added to the tree when it is new.
    pub fn add_security(&mut self, descriptor: &[u8]) -> SecurityId {
        let position = self.security.iter().position(|known| **known == *descriptor).unwrap_or_else(|| {
            Arc::make_mut(&mut self.security).push(descriptor.into());
            self.security.len() - 1
        });
        SecurityId(position as u32)
    }

    /// The directory at `path`, made unshared for editing.
    fn directory_mut(&mut self, path: &ImagePath) -> Result<&mut Directory, EditError> {
        let mut directory = Arc::make_mut(&mut self.root);
        for (depth, name) in path.components().enumerate() {
            let so_far = || path.components().take(depth + 1).fold(String::new(), |text, name| text + "/" + name);
            let index = directory.position(&Name::from(name)).map_err(|_| EditError::Missing { path: so_far() })?;
            match &mut directory.children[index].node {
                Node::Directory(next) => directory = Arc::make_mut(next),
                Node::File(_) => return Err(EditError::NotADirectory { path: so_far() }),
            }
        }
        Ok(directory)
    }

    fn add_inode(&mut self, inode: Inode) -> FileId {
        let inodes = Arc::make_mut(&mut self.inodes);
        inodes.push(Arc::new(inode));
        FileId(inodes.len() as u32 - 1)
    }

    fn split(path: &ImagePath) -> Result<(ImagePath, Name), EditError> {
        Ok((path.parent().ok_or(EditError::Root)?, Name::from(path.name().ok_or(EditError::Root)?)))
    }

    /// Gives `path` the file `inode`. A file of that name is replaced and keeps its name's spelling and DOS name; other
    /// hard links of the replaced file keep the old contents.
    ///
    /// # Errors
    /// The parent is missing or a file, or a directory has that name.
    pub fn put_file(&mut self, path: &ImagePath, inode: Inode) -> Result<(), EditError> {
        Self::split(path)?;
        let file = self.add_inode(inode);
        self.put_name(path, file)
    }

    fn put_name(&mut self, path: &ImagePath, file: FileId) -> Result<(), EditError> {
        let (parent, name) = Self::split(path)?;
        let directory = self.directory_mut(&parent)?;
        match directory.position(&name) {
            Ok(index) => match &mut directory.children[index].node {
                Node::Directory(_) => return Err(EditError::IsADirectory { path: path.to_string() }),
                node => *node = Node::File(file),
            },
            Err(index) => directory.children.insert(index, Child { name, short_name: Name::default(), node: Node::File(file) }),
        }
        Ok(())
    }

    /// Gives the file at `existing` a further name: a hard link. A file that has the name is replaced, and keeps its spelling; its
    /// other hard links keep their contents.
    ///
    /// # Errors
    /// `existing` is no file; the new name's parent is missing or a file, or a directory has that name.
    pub fn link(&mut self, existing: &ImagePath, path: &ImagePath) -> Result<(), EditError> {
        let source = self.get(existing).ok_or_else(|| missing(existing))?;
        let file = source.file_id().ok_or_else(|| EditError::IsADirectory { path: existing.to_string() })?;
        self.put_name(path, file)
    }

    /// Creates the directory `path` and those above it that are missing, each with a copy of `inode`. Returns the paths
    /// that were created, outermost first; none when the directory was there.
    ///
    /// # Errors
    /// A component is a file.
    pub fn make_directories(&mut self, path: &ImagePath, inode: &Inode) -> Result<Vec<ImagePath>, EditError> {
        let mut created = Vec::new();
        let mut so_far = ImagePath::root();
        for name in path.components() {
            let parent = so_far.clone();
            so_far = so_far.join(&ImagePath { components: vec![name.to_owned()] });
            let name = Name::from(name);
            let directory = self.directory_mut(&parent)?;
            match directory.position(&name) {
                Ok(index) => {
                    if matches!(directory.children[index].node, Node::File(_)) {
                        return Err(EditError::NotADirectory { path: so_far.to_string() });
                    }
                }
                Err(index) => {
                    let inode = Inode { attributes: inode.attributes | ATTRIBUTE_DIRECTORY, ..inode.clone() };
                    let node = Node::Directory(Arc::new(Directory { inode, children: Vec::new() }));
                    directory.children.insert(index, Child { name, short_name: Name::default(), node });
                    created.push(so_far.clone());
                }
            }
        }
        Ok(created)
    }

    /// Removes the file, or the directory with all that is in it.
    ///
    /// # Errors
    /// Nothing is there, or it is the root.
    pub fn remove(&mut self, path: &ImagePath) -> Result<(), EditError> {
        self.take(path).map(drop)
    }

    fn take(&mut self, path: &ImagePath) -> Result<Child, EditError> {
        let (parent, name) = Self::split(path)?;
        if self.get(path).is_none() {
            return Err(missing(path));
        }
        let directory = self.directory_mut(&parent)?;
        let index = directory.position(&name).map_err(|_| missing(path))?;
        Ok(directory.children.remove(index))
    }

    /// Moves a file or directory. The new parent must exist. The DOS name is dropped: it was made from the old name.
    ///
    /// # Errors
    /// The source is missing, the target exists (unless it is the source in other case), or lies inside the source.
    pub fn rename(&mut self, from: &ImagePath, to: &ImagePath) -> Result<(), EditError> {
        let (parent, name) = Self::split(to)?;
        let source = self.get(from).ok_or_else(|| missing(from))?;
        let same = |path: &ImagePath| std::ptr::eq(source.inode(), self.get(path).map_or(std::ptr::null(), |entry| entry.inode()));
        if self.get(to).is_some() && !same(to) {
            return Err(EditError::Exists { path: to.to_string() });
        }
        if source.is_directory() && std::iter::successors(Some(parent.clone()), ImagePath::parent).any(|above| same(&above)) {
            return Err(EditError::IntoItself { path: from.to_string() });
        }
        match self.get(&parent) {
            None => return Err(missing(&parent)),
            Some(entry) if !entry.is_directory() => return Err(EditError::NotADirectory { path: parent.to_string() }),
            Some(_) => {}
        }
        let child = self.take(from)?;
        let directory = self.directory_mut(&parent)?;
        let index = directory.position(&name).unwrap_or_else(|insert| insert);
        directory.children.insert(index, Child { name, short_name: Name::default(), node: child.node });
        Ok(())
    }

    /// Changes the metadata of what `path` leads to; for a file, that of all its hard links.
    ///
    /// # Errors
    /// Nothing is there.
    pub fn update(&mut self, path: &ImagePath, change: impl FnOnce(&mut Inode)) -> Result<(), EditError> {
        let entry = self.get(path).ok_or_else(|| missing(path))?;
        match entry.file_id() {
            Some(file) => change(Arc::make_mut(&mut Arc::make_mut(&mut self.inodes)[file.0 as usize])),
            None => change(&mut self.directory_mut(path)?.inode),
        }
        Ok(())
    }
}

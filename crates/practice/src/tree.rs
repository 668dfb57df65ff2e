//! Puts the tree of an image together, path by path.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use wimwright_format::reparse::{ReparsePoint, Target};
use wimwright_format::security_descriptor::SecurityDescriptor;
use wimwright_format::wim::{
    BlobId, Dentry, Metadata, Name, NamedStream, Reparse, TAG_EXTENDED_ATTRIBUTES, TAG_OBJECT_ID, file_attributes,
};

use crate::contents::Contents;
use crate::data;
use crate::error::Error;
use crate::generated::seed_of;
use crate::security;

/// `FILE_ATTRIBUTE_READONLY`.
pub(crate) const READONLY: u32 = 0x1;
/// `FILE_ATTRIBUTE_HIDDEN`.
pub(crate) const HIDDEN: u32 = 0x2;
/// `FILE_ATTRIBUTE_SYSTEM`.
pub(crate) const SYSTEM: u32 = 0x4;
/// `FILE_ATTRIBUTE_ARCHIVE`.
pub(crate) const ARCHIVE: u32 = 0x20;
/// `FILE_ATTRIBUTE_NOT_CONTENT_INDEXED`.
pub(crate) const NOT_INDEXED: u32 = 0x2000;

/// An entry with its children by folded name, which is the order that Windows stores them in.
#[derive(Default)]
struct Node {
    dentry: Dentry,
    children: BTreeMap<String, Node>,
}

/// An image being put together. Paths have components separated by `/`; directories that are missing are made. Attributes,
/// times and security follow from the path, as on a real medium, and can be changed afterwards.
pub(crate) struct ImageTree {
    root: Node,
    descriptors: Vec<Arc<[u8]>>,
    by_sddl: HashMap<String, u32>,
    hard_links: u64,
}

impl ImageTree {
    /// A root directory.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut tree = Self { root: Node::default(), descriptors: Vec::new(), by_sddl: HashMap::new(), hard_links: 0 };
        tree.root.dentry = tree.new_entry("", "", true)?;
        Ok(tree)
    }

    /// The directory at a path, made if it is missing.
    pub(crate) fn directory(&mut self, path: &str) -> Result<&mut Dentry, Error> {
        self.entry(path, true)
    }

    /// A file at a path.
    pub(crate) fn file(&mut self, path: &str, data: Option<BlobId>) -> Result<&mut Dentry, Error> {
        let entry = self.entry(path, false)?;
        entry.data = data;
        Ok(entry)
    }

    /// One more name for the file at `existing`.
    pub(crate) fn link(&mut self, existing: &str, path: &str) -> Result<(), Error> {
        let next = self.hard_links + 1;
        let file = self.entry(existing, false)?;
        let is_new = file.hard_link_group == 0;
        if is_new {
            file.hard_link_group = next;
        }
        let file = file.clone();
        self.hard_links = if is_new { next } else { self.hard_links };
        let entry = self.entry(path, false)?;
        *entry = Dentry { name: entry.name.clone(), short_name: Name::default(), ..file };
        Ok(())
    }

    /// A junction to a path on drive C, hidden and closed to everyone, as Windows has them for old programs.
    pub(crate) fn junction(&mut self, contents: &mut Contents, path: &str, target: &str) -> Result<(), Error> {
        let target = format!("C:\\{}", target.replace('/', "\\"));
        let target = Target { substitute_name: format!("\\??\\{target}"), print_name: target };
        let (tag, bytes) = ReparsePoint::encode_mount_point(&target)?;
        self.reparse_point(path, true, tag, contents.add(bytes))?.attributes |= HIDDEN | SYSTEM | NOT_INDEXED;
        let security = self.security_id(security::JUNCTION)?;
        self.directory(path)?.security_id = Some(security);
        Ok(())
    }

    /// A symbolic link.
    pub(crate) fn symlink(&mut self, contents: &mut Contents, path: &str, target: &str, is_directory: bool) -> Result<(), Error> {
        let relative = !target.starts_with("C:");
        let print_name = target.replace('/', "\\");
        let substitute_name = if relative { print_name.clone() } else { format!("\\??\\{print_name}") };
        let (tag, bytes) = ReparsePoint::encode_symlink(&Target { substitute_name, print_name }, relative)?;
        self.reparse_point(path, is_directory, tag, contents.add(bytes))?;
        Ok(())
    }

    fn reparse_point(&mut self, path: &str, is_directory: bool, tag: u32, data: Option<BlobId>) -> Result<&mut Dentry, Error> {
        let entry = self.entry(path, is_directory)?;
        entry.attributes |= file_attributes::REPARSE_POINT;
        entry.reparse = Some(Reparse { tag, reserved: 0, flags: 0, data });
        Ok(entry)
    }

    /// The number of a security descriptor in this image.
    pub(crate) fn security_id(&mut self, sddl: &str) -> Result<u32, Error> {
        if let Some(id) = self.by_sddl.get(sddl) {
            return Ok(*id);
        }
        let descriptor = descriptor(sddl)?;
        let id = self.descriptors.len() as u32;
        self.descriptors.push(descriptor.into());
        self.by_sddl.insert(sddl.to_owned(), id);
        Ok(id)
    }

    /// The finished tree.
    pub(crate) fn into_metadata(self) -> Metadata {
        Metadata { security_descriptors: self.descriptors, root: into_dentry(self.root) }
    }

    fn entry(&mut self, path: &str, is_directory: bool) -> Result<&mut Dentry, Error> {
        let mut missing = Vec::new();
        let mut at = &self.root;
        let mut walked = String::new();
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        for (depth, name) in names.iter().enumerate() {
            walked.push('/');
            walked.push_str(name);
            match at.children.get(&fold(name)) {
                Some(node) if missing.is_empty() => at = node,
                _ => missing.push((walked.clone(), *name, is_directory || depth + 1 < names.len())),
            }
        }
        let mut made = Vec::new();
        for (path, name, is_directory) in missing {
            made.push(self.new_entry(&path, name, is_directory)?);
        }
        let mut made = made.into_iter();
        let mut at = &mut self.root;
        for name in &names {
            at = at.children.entry(fold(name)).or_insert_with(|| Node { dentry: made.next().unwrap_or_default(), ..Node::default() });
        }
        Ok(&mut at.dentry)
    }

    fn new_entry(&mut self, path: &str, name: &str, is_directory: bool) -> Result<Dentry, Error> {
        let security = self.security_id(security::of(path, is_directory))?;
        // Files of one build were written within hours of each other.
        let written = data::BUILD_TIME + seed_of(path) % (6 * 3600 * 10_000_000);
        Ok(Dentry {
            name: Name::from(name),
            attributes: if is_directory { file_attributes::DIRECTORY } else { ARCHIVE },
            security_id: Some(security),
            creation_time: written,
            last_access_time: written + 7 * 10_000_000,
            last_write_time: written,
            ..Dentry::default()
        })
    }
}

fn fold(name: &str) -> String {
    name.to_uppercase()
}

fn into_dentry(node: Node) -> Dentry {
    let children = node.children.into_values().map(into_dentry).collect();
    Dentry { children, ..node.dentry }
}

/// A security descriptor as it is stored.
pub(crate) fn descriptor(sddl: &str) -> Result<Vec<u8>, Error> {
    let text = security::spelled_out(sddl);
    let descriptor = SecurityDescriptor::from_sddl(&text).map_err(|source| Error::Sddl { sddl: text.clone(), source })?;
    descriptor.encode().map_err(|source| Error::Descriptor { sddl: text, source })
}

/// Gives a file a named stream.
pub(crate) fn add_stream(entry: &mut Dentry, name: &str, blob: Option<BlobId>) {
    entry.named_streams.push(NamedStream { name: Name::from(name), blob, reserved: 0 });
}

/// Gives a file an extended attribute: `{ value length: u16, name length: u8, flags: u8, name, NUL, value }`.
pub(crate) fn set_extended_attribute(entry: &mut Dentry, name: &str, value: &[u8]) {
    let mut data = (value.len() as u16).to_le_bytes().to_vec();
    data.extend([name.len() as u8, 0]);
    data.extend(name.bytes());
    data.push(0);
    data.extend(value);
    entry.tagged_items.set(TAG_EXTENDED_ATTRIBUTES, Some(&data));
}

/// Gives a file an NTFS object identifier.
pub(crate) fn set_object_id(entry: &mut Dentry, id: [u8; 16]) {
    entry.tagged_items.set(TAG_OBJECT_ID, Some(&id));
}

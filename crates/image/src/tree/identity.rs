//! The identity of a tree: the SHA-256 of its canonical encoding.
//!
//! The encoding is specified in `docs/formats/tree.md`; [`ENCODING_VERSION`] is its first byte and changes with it. Two
//! trees have one id exactly when they would be written as the same metadata: names (with case), DOS names, attributes,
//! times, security descriptors by content, streams by blob, carried fields and hard-link groups.

use std::fmt;

use sha2::{Digest, Sha256};
use wimwright_format::wim::{BlobId, Name};

use super::{Entry, Tree};

/// Version of the canonical encoding.
const ENCODING_VERSION: u8 = 1;

/// SHA-256 of a tree's canonical encoding: what an image *is*.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreeId(pub [u8; 32]);

impl fmt::Display for TreeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for TreeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TreeId({self})")
    }
}

struct Encoder(Sha256);

impl Encoder {
    fn number(&mut self, value: u64) {
        self.0.update(value.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn name(&mut self, name: &Name) {
        self.number(name.units().len() as u64);
        name.units().iter().for_each(|unit| self.0.update(unit.to_le_bytes()));
    }

    fn blob(&mut self, blob: Option<BlobId>) {
        self.0.update(blob.map_or([0; 20], |id| id.0));
    }

    fn entry(&mut self, entry: Entry<'_>) {
        let inode = entry.inode();
        match entry.child {
            Some(child) => {
                self.name(&child.name);
                self.name(&child.short_name);
            }
            None => self.number(0),
        }
        self.number(u64::from(inode.attributes));
        [inode.created, inode.accessed, inode.written].into_iter().for_each(|time| self.number(time));
        self.bytes(entry.security().map_or(&[][..], |descriptor| descriptor));
        self.blob(inode.contents);
        self.number(u64::from(inode.reparse.is_some()));
        if let Some(reparse) = &inode.reparse {
            [u64::from(reparse.tag), u64::from(reparse.reserved), u64::from(reparse.flags)]
                .into_iter()
                .for_each(|field| self.number(field));
            self.blob(reparse.data);
        }
        self.number(inode.streams.len() as u64);
        for stream in &inode.streams {
            self.name(&stream.name);
            self.number(stream.reserved);
            self.blob(stream.blob);
        }
        self.number(inode.hard_link_group);
        self.bytes(inode.tagged_items.as_bytes());
        [inode.unused[0], inode.unused[1], u64::from(inode.unknown)].into_iter().for_each(|field| self.number(field));
        self.number(u64::from(entry.is_directory()));
        self.number(entry.children().len() as u64);
        // Children follow their directory at once: the count makes the nesting unambiguous.
        let children: Vec<_> = entry.children().collect();
        children.into_iter().for_each(|child| self.entry(child));
    }
}

impl Tree {
    /// The identity of this tree. Reads metadata only, never contents.
    #[must_use]
    pub fn id(&self) -> TreeId {
        let mut encoder = Encoder(Sha256::new());
        encoder.0.update([ENCODING_VERSION]);
        encoder.entry(self.root());
        TreeId(encoder.0.finalize().into())
    }
}

//! Registry hives ("regf" files).
//!
//! A hive is a base block of 4096 bytes and then *bins*, each filled with *cells* (see `cell`). Everything is a cell,
//! named by its offset from the first bin: *key nodes* form a tree, each with a sorted *subkey list* and a list of
//! *values*; *security cells* are shared and form a ring. Windows maps the file and uses the cells in place, so the
//! structures must be right to the byte: what [`Hive::verify`] checks.
//!
//! [`Hive`] does the same. It keeps the file in memory (or, opened by [`Hive::open_file`], the bins that were needed so
//! far), reads from it, and edits in place with an allocator over the free cells: whatever an edit does not concern keeps
//! its place and its bytes, known to us or not. Opening costs nothing.
//! The first edit checks that the bins leave no gaps; the cells of a bin are looked over when an edit first takes room
//! from it or frees a cell in it. The first edit that deletes or renames a key or changes a security descriptor checks
//! the whole hive, as [`Hive::verify`] does, because it must know that what it frees is used by nothing else. A hive of
//! doubtful origin should be verified before any edit. A hive of which an edit has failed may have half of that edit.
//!
//! A hive whose sequence numbers differ was not written to its end: [`Hive::recover`] applies the transaction logs.
//!
//! Sources: Maxim Suhanov, "Windows registry file format specification" (github.com/msuhanov/regf); what else was
//! learned from real hives stands in `docs/formats/regf.md`.

mod base_block;
mod big_data;
mod bin;
mod cell;
mod data;
mod edit;
mod field;
mod key_node;
mod log;
mod marvin32;
mod name;
mod order;
mod pieces;
mod read;
mod security;
mod subkey_list;
#[cfg(test)]
mod tests;
mod value;
mod verify;

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::sync::Arc;

use thiserror::Error as ThisError;

use crate::io::ReadAt;

use base_block::{BASE_BLOCK_SIZE, BaseBlock, at, new_base_block, seal};
use bin::{BIN_TIME, BIN_UNIT};
use cell::{Cells, MAX_BINS_SIZE, NIL};
use edit::Editor;
use field::put;
use key_node::{FLAG_HIVE_ENTRY, FLAG_NO_DELETE, KeyNode, NewKeyNode};
use order::KnownOrder;
use pieces::Pieces;

pub use data::{Data, ValueKind};
pub use name::{MAX_KEY_NAME, MAX_VALUE_NAME};
pub use read::Walk;
pub use value::Value;
pub use verify::{MAX_DEPTH, Problem, ProblemKind, Verification};

/// What can go wrong with a hive.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The file does not begin like a hive.
    #[error("not a registry hive: it begins with {found:02x?} instead of \"regf\"")]
    NotAHive {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// The file is a transaction log.
    #[error("this is a transaction log (base block type {file_type}), not a hive")]
    Log {
        /// The type that the base block gives.
        file_type: u32,
    },
    /// A version from before Windows NT 4, or one not known yet.
    #[error("registry hive version {major}.{minor} is not supported (1.3 to 1.6 are)")]
    Version {
        /// Major version.
        major: u32,
        /// Minor version.
        minor: u32,
    },
    /// The file is shorter than its base block says.
    #[error("the hive is cut off: it needs {needed} bytes and has {available}")]
    Truncated {
        /// Bytes that it should have.
        needed: u64,
        /// Bytes that it has.
        available: u64,
    },
    /// A structure in the hive is damaged.
    #[error("damaged hive: cell {cell:#x}: {what}")]
    Damaged {
        /// The cell's offset from the first bin.
        cell: u32,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The key tree is deeper than Windows allows, or runs in a circle.
    #[error("the keys under cell {cell:#x} are deeper than {MAX_DEPTH} levels or run in a circle")]
    TooDeep {
        /// The key where the limit was met.
        cell: u32,
    },
    /// The hive was not written to its end and must be recovered from its logs before it is edited.
    #[error("the hive is dirty (its last write did not end): recover it with its transaction logs before editing it")]
    Dirty,
    /// None of the logs belongs to this dirty hive.
    #[error("the hive is dirty, and none of its {logs} transaction logs can be applied")]
    NoUsableLog {
        /// Number of logs given.
        logs: usize,
    },
    /// A log entry with right hashes that cannot be applied.
    #[error("transaction log entry {sequence} describes pages that it does not hold")]
    LogPage {
        /// Its sequence number.
        sequence: u32,
    },
    /// The hive is too damaged to be edited: see [`ProblemKind::blocks_editing`].
    #[error("the hive cannot be edited safely: {first} ({count} such problems)")]
    Unsafe {
        /// The first problem.
        first: Problem,
        /// Number of problems that forbid editing.
        count: usize,
    },
    /// A key whose subkeys are not in order cannot take or lose one.
    #[error("the subkeys of the key in cell {cell:#x} are not in order, so they cannot be changed")]
    Unsorted {
        /// The parent key.
        cell: u32,
    },
    /// A name that Windows does not allow.
    #[error("{name:?} cannot be the name of a key or value: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The parent already has a subkey of that name.
    #[error("there already is a key {name:?}")]
    Exists {
        /// The name.
        name: String,
    },
    /// The root key cannot be deleted or renamed.
    #[error("the root key of a hive cannot be deleted or renamed")]
    Root,
    /// Not a self-relative security descriptor.
    #[error("the bytes are no self-relative security descriptor")]
    SecurityDescriptor,
    /// A bin of a hive that is read on demand could not be read.
    #[error("the hive's file cannot be read")]
    Read(#[from] io::Error),
    /// The hive, or the value, has reached the format's limit.
    #[error("the hive has no room: its format ends at 2 GiB of bins and about 1 GiB of data in a value")]
    Full,
}

/// What a transaction log (LOG, LOG1, LOG2) without anything to apply is: a file of no bytes, as in installation images.
pub const EMPTY_LOG: &[u8] = &[];

/// A key of a hive: the offset of its cell. Valid for the hive that gave it, until the key is deleted or renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u32);

impl KeyId {
    /// The offset of the key's cell from the first bin.
    #[must_use]
    pub fn cell(self) -> u32 {
        self.0
    }
}

/// What a new hive begins with.
#[derive(Debug, Clone, Copy)]
pub struct NewHive<'a> {
    /// Minor version, 3 to 6. Windows makes 5 for hives of the system, 3 for BCD stores and (to Windows 7) of users.
    pub minor: u32,
    /// File name for debugging; only its last 31 UTF-16 units are kept.
    pub file_name: &'a str,
    /// Name of the root key, which is never shown. Windows uses "ROOT" or a GUID.
    pub root_name: &'a str,
    /// Self-relative security descriptor of the root key.
    pub security: &'a [u8],
    /// FILETIME of the hive and its root key.
    pub last_written: u64,
}

/// A hive that is all in memory.
#[derive(Debug, Clone, Copy)]
pub enum InMemory {}

/// A hive whose bins are read from its file when they are first needed. It is written back by [`Hive::update`] only.
#[derive(Debug, Clone, Copy)]
pub enum OnDemand {}

/// A registry hive.
#[derive(Clone)]
pub struct Hive<S = InMemory> {
    cells: Cells,
    root: KeyId,
    minor: u32,
    dirty: bool,
    /// The file is no longer as it was read, even if no cell was written.
    modified: bool,
    /// What editing needs to know; from the first edit on.
    editor: Option<Box<Editor>>,
    order: KnownOrder,
    stored: PhantomData<S>,
}

impl<S> std::fmt::Debug for Hive<S> {
    fn fmt(&self, output: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = output.debug_struct("Hive");
        shown.field("minor", &self.minor).field("bins", &self.cells.size()).field("dirty", &self.dirty);
        shown.finish_non_exhaustive()
    }
}

impl Hive {
    /// Takes a hive file. Only the base block and the root key are looked at.
    ///
    /// A dirty hive can be read (it may lack its last changes, or have half of them) but not edited. Where the base
    /// block itself is damaged, the size of the bins is measured, as the self-healing of Windows does.
    ///
    /// # Errors
    /// When this is no hive (a log, say), of an unknown version, cut off, or without a root key.
    pub fn from_bytes(file: Vec<u8>) -> Result<Self, Error> {
        Self::from_pieces(Pieces::whole(file))
    }

    /// Takes a hive file with its transaction logs, LOG1 first. Logs of both generations are understood; logs of a clean
    /// hive are ignored, as Windows ignores them.
    ///
    /// # Errors
    /// As [`Hive::from_bytes`]; [`Error::NoUsableLog`] when the hive is dirty and no log fits it.
    pub fn recover(primary: Vec<u8>, logs: &[&[u8]]) -> Result<Self, Error> {
        let dirty = BaseBlock::parse(&primary)?.is_dirty();
        let mut hive = Self::from_bytes(log::recover(primary, logs)?)?;
        hive.modified = dirty;
        Ok(hive)
    }

    /// Makes a hive with nothing but a root key (at offset 0x20) and its security descriptor.
    ///
    /// # Errors
    /// When the version, the root's name or the descriptor is not possible.
    pub fn new(new: &NewHive<'_>) -> Result<Self, Error> {
        if !(3..=6).contains(&new.minor) {
            return Err(Error::Version { major: 1, minor: new.minor });
        }
        edit::check_key_name(new.root_name)?;
        security::check_descriptor(new.security)?;
        let base_block = new_base_block(new.minor, new.file_name, new.last_written);
        let mut cells = Cells::new(Pieces::whole(base_block), 0);
        let extra_flags = FLAG_HIVE_ENTRY | FLAG_NO_DELETE;
        let node =
            NewKeyNode { name: new.root_name, extra_flags, last_written: new.last_written, parent: NIL, security: NIL, inherit: None };
        let root = cells.allocate(&node.encode()?, 0)?;
        let security = security::create(&mut cells, new.security, None)?;
        cells.put_u32(root, key_node::at::SECURITY, security)?;
        put(cells.base_block_mut(), at::ROOT_CELL, &root.to_le_bytes()).ok_or(Error::Full)?;
        cells.put_raw(BIN_TIME, &new.last_written.to_le_bytes());
        Ok(Self {
            cells,
            root: KeyId(root),
            minor: new.minor,
            dirty: false,
            modified: true,
            editor: None,
            order: KnownOrder::default(),
            stored: PhantomData,
        })
    }

    /// The hive as a file. An unmodified hive comes out byte for byte as it came in; a modified one has equal sequence
    /// numbers, one above the old. Whoever replaces a hive by a modified one must make its transaction logs
    /// [`EMPTY_LOG`]s, so that nobody ever applies them to it.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        if self.is_modified() {
            self.finish();
        }
        self.cells.into_file()
    }

    /// Like [`Hive::into_bytes`], on a copy.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.clone().into_bytes()
    }
}

impl Hive<OnDemand> {
    /// Takes a hive file of which only the base block, the headers of the bins and the root key are read now: the rest
    /// when it is needed. The file must not change meanwhile.
    ///
    /// # Errors
    /// As [`Hive::from_bytes`]; [`Error::Read`].
    pub fn open_file(file: Arc<dyn ReadAt>) -> Result<Self, Error> {
        Self::from_pieces(Pieces::on_demand(file)?)
    }
}

impl<S> Hive<S> {
    fn from_pieces(file: Pieces) -> Result<Self, Error> {
        let base = BaseBlock::parse(file.at(0)?)?;
        if base.major != 1 || !(3..=6).contains(&base.minor) {
            return Err(Error::Version { major: base.major, minor: base.minor });
        }
        if base.checksum_valid && base.file_type != 0 {
            return Err(Error::Log { file_type: base.file_type });
        }
        let available = file.len() as u64;
        let Some(bins) = file.len().checked_sub(BASE_BLOCK_SIZE) else {
            return Err(Error::Truncated { needed: BASE_BLOCK_SIZE as u64, available });
        };
        let size = if base.checksum_valid { base.bins_size } else { file.measure_bins()? };
        if bins < size as usize {
            return Err(Error::Truncated { needed: (BASE_BLOCK_SIZE as u64).saturating_add(u64::from(size)), available });
        }
        if !size.is_multiple_of(BIN_UNIT) || size >= MAX_BINS_SIZE {
            return Err(Error::Damaged { cell: 0, what: "the base block gives an impossible size of the bins" });
        }
        let cells = Cells::new(file, size);
        KeyNode::read(&cells, base.root_cell)?;
        let (root, dirty) = (KeyId(base.root_cell), base.is_dirty());
        Ok(Self { cells, root, minor: base.minor, dirty, modified: false, editor: None, order: KnownOrder::default(), stored: PhantomData })
    }

    /// Minor version of the format: 3 to 6.
    #[must_use]
    pub fn minor_version(&self) -> u32 {
        self.minor
    }

    /// True while the hive's last write did not end and no log has been applied.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// True once the hive differs from the file that it was made from: it must be written, and its logs emptied.
    #[must_use]
    pub fn is_modified(&self) -> bool {
        self.modified || self.cells.is_modified()
    }

    /// Takes a dirty hive as it stands, without logs: as the self-healing of Windows does when no log is usable. What the
    /// interrupted write had meant to change may be missing or half done; run [`Hive::verify`] first.
    pub fn accept_dirty(&mut self) {
        self.modified |= self.dirty;
        self.dirty = false;
    }

    /// Brings the file from which the hive was made to what [`Hive::into_bytes`] gives, by writing only the pages that
    /// changed, as Windows does: of a large hive with a few changes, almost nothing.
    ///
    /// While this goes on the file is dirty, and stays so when it is interrupted; there is no transaction log then. Whoever
    /// must not lose a hive writes it to a new file.
    ///
    /// # Errors
    /// What `file` says.
    pub fn update(mut self, file: &mut (impl Write + Seek)) -> io::Result<()> {
        if !self.is_modified() {
            return Ok(());
        }
        self.finish();
        let mut output = BufWriter::new(file);
        let mut position = None;
        let mut write = |offset: usize, bytes: &[u8]| {
            if position != Some(offset) {
                output.seek(SeekFrom::Start(offset as u64))?;
            }
            position = offset.checked_add(bytes.len());
            output.write_all(bytes)
        };
        let base_block = self.cells.base_block();
        write(at::PRIMARY_SEQUENCE, base_block.get(at::PRIMARY_SEQUENCE..at::SECONDARY_SEQUENCE).unwrap_or_default())?;
        // Applied logs have changed what no page tells of.
        for page in self.cells.pages(self.modified) {
            let (offset, bytes) = page.map_err(io::Error::other)?;
            write(offset, bytes)?;
        }
        write(0, base_block)?;
        output.flush()
    }

    /// Brings the base block of a modified hive up to date.
    fn finish(&mut self) {
        let size = self.cells.size();
        let file = self.cells.base_block_mut();
        let numbers = BaseBlock::parse(file).map(|base| base.primary_sequence.max(base.secondary_sequence));
        let sequence = numbers.unwrap_or_default().wrapping_add(1);
        for (offset, number) in [(at::PRIMARY_SEQUENCE, sequence), (at::SECONDARY_SEQUENCE, sequence), (at::BINS_SIZE, size)] {
            // The base block is there from the start.
            let _written: Option<()> = put(file, offset, &number.to_le_bytes());
        }
        let _sealed: Option<()> = seal(file);
    }
}

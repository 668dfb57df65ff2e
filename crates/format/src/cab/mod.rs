//! Cabinets (CAB, [MS-CAB]): the archive format of Windows updates, features on demand, language packs and drivers.
//!
//! A cabinet is a header, a table of *folders*, a table of *files* (here: members), and the folders' data. A folder is one
//! compressed stream, cut into *data blocks* of at most 32 KiB of output; a member is a range of its folder's output. To
//! read a member one must decode its folder from the start, so everything here reads a folder's members in one pass:
//! [`Cabinet::for_each_member`] costs the same for one member and for ten thousand.
//!
//! A *set* spans several cabinet files: a folder, and even a data block, may continue in the next one.
//!
//! Invariants of an opened [`Cabinet`]: names are safe relative paths without duplicates (case folded as Windows does);
//! members lie apart in their folder or are the same bytes (makecab stores equal files once); every member lies inside its folder; the sum of all members is bounded by
//! the size of the cabinet. Bytes after the cabinet's end (an Authenticode signature) are tolerated and can be asked for.

mod folder;
mod header;
mod writer;

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

pub use folder::MemberReader;
pub use writer::{CabinetWriter, WriterCompression, WriterError};

use crate::io::{Extent, ReadAt, Section};
use crate::member_name::{NameError, fold_name};
use folder::FolderReader;
use header::{Continuation, Part};

/// Output of one data block at most ([MS-CAB] 2.4: cbUncomp).
pub const BLOCK_OUTPUT: usize = 0x8000;

/// Input of one data block at most: Quantum and LZX may exceed the output by 6 KiB (Cabinet SDK, FCI.H).
pub const BLOCK_INPUT: usize = BLOCK_OUTPUT + 6144;

/// All members together may have this many times the bytes of the cabinet: a block has a header of eight bytes and gives
/// 32 KiB at most, so only a cabinet whose folders share their data can claim more.
pub const LARGEST_RATIO: u64 = 4096;

/// All members together may have this many bytes: 64 GiB, more than any Windows image.
pub const LARGEST_TOTAL: u64 = 64 << 30;

/// Cabinets of one set at most: a set on floppy disks has a few dozen.
pub const LARGEST_SET: usize = 1000;

/// Why a cabinet cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum CabError {
    /// The source cannot be read.
    #[error("cannot read the cabinet")]
    Io(#[from] io::Error),
    /// The source does not begin with `MSCF`.
    #[error("no cabinet: the file does not begin with MSCF")]
    NoSignature,
    /// A structure reaches past the end of the source.
    #[error("the cabinet is cut off: its {structure} reaches past the end at {size}")]
    Truncated {
        /// The structure that is cut off.
        structure: &'static str,
        /// Bytes of the source.
        size: u64,
    },
    /// Only version 1 exists.
    #[error("cabinet version {major}.{minor} is unknown")]
    Version {
        /// Major version.
        major: u8,
        /// Minor version.
        minor: u8,
    },
    /// No folders or no files.
    #[error("the cabinet has no {0}")]
    Empty(&'static str),
    /// A text in the header or a name has no end within 256 bytes.
    #[error("the {0} in the cabinet has no end within 256 bytes")]
    UnterminatedText(&'static str),
    /// A file names a folder that does not exist.
    #[error("file {index} of the cabinet lies in folder {folder:#06x} of {folders}")]
    NoSuchFolder {
        /// Number of the file entry.
        index: usize,
        /// The folder it names.
        folder: u16,
        /// Folders that exist.
        folders: usize,
    },
    /// A folder has a compression that [MS-CAB] does not know.
    #[error("folder {folder} of the cabinet has the unknown compression {value:#06x}")]
    Compression {
        /// Number of the folder.
        folder: usize,
        /// Field typeCompress.
        value: u16,
    },
    /// A member's name is no safe path.
    #[error("the name {name:?} of file {index} in the cabinet is refused")]
    Name {
        /// Number of the file entry.
        index: usize,
        /// The name as it stands in the cabinet.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// Two members have names that are the same file on Windows.
    #[error("the cabinet has two files of the name {0:?}")]
    DuplicateName(String),
    /// A member reaches past what its folder can hold.
    #[error("{name:?} ends at byte {end} of a folder that holds {capacity} at most")]
    OutsideFolder {
        /// Name of the member.
        name: String,
        /// End of the member in the folder's output.
        end: u64,
        /// Bytes that the folder's blocks can give.
        capacity: u64,
    },
    /// Two members share some of their bytes. Equal files may share all of them.
    #[error("{0:?} and {1:?} overlap in their folder")]
    Overlap(String, String),
    /// The members claim more bytes than the cabinet can hold.
    #[error("the members claim {claimed} bytes, more than a cabinet of {size} bytes can hold")]
    TooLarge {
        /// Sum of the members' lengths.
        claimed: u64,
        /// Bytes of the cabinet or set.
        size: u64,
    },
    /// The cabinets given are no set.
    #[error("the cabinets are not one set: {0}")]
    SetMismatch(&'static str),
    /// A folder continues in a cabinet that was not given.
    #[error("folder {folder} continues in another cabinet of the set, {cabinet:?}, which is missing")]
    SetIncomplete {
        /// Number of the folder.
        folder: usize,
        /// The name that the header gives for that cabinet.
        cabinet: String,
    },
    /// A data block is larger than allowed, or empty.
    #[error("block {block} of folder {folder} has {input} bytes that give {output}: outside of the limits")]
    BlockSize {
        /// Number of the folder.
        folder: usize,
        /// Number of the block in it.
        block: usize,
        /// Bytes in the cabinet.
        input: usize,
        /// Bytes decoded.
        output: usize,
    },
    /// A data block does not match its checksum.
    #[error("block {block} of folder {folder} is damaged: its checksum is {found:#010x}, not {stated:#010x}")]
    Checksum {
        /// Number of the folder.
        folder: usize,
        /// Number of the block in it.
        block: usize,
        /// The checksum in the cabinet.
        stated: u32,
        /// The checksum of the data.
        found: u32,
    },
    /// A data block cannot be decoded.
    #[error("block {block} of folder {folder} cannot be decoded")]
    Codec {
        /// Number of the folder.
        folder: usize,
        /// Number of the block in it.
        block: usize,
        /// What the codec found.
        source: CodecError,
    },
    /// The folder ends before a member does.
    #[error("folder {folder} ends at byte {end}, before its members do")]
    FolderEnd {
        /// Number of the folder.
        folder: usize,
        /// Bytes that the folder gave.
        end: u64,
    },
    /// An earlier error in the same pass left the folder unreadable.
    #[error("folder {0} cannot be read any further after an error")]
    Abandoned(usize),
    /// No such member.
    #[error("the cabinet has no member number {0}")]
    NoSuchMember(usize),
}

/// What a codec of a folder found.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// A stored block must have as many bytes as it gives.
    #[error("a stored block of {input} bytes claims to give {output}")]
    Stored {
        /// Bytes in the cabinet.
        input: usize,
        /// Bytes claimed.
        output: usize,
    },
    /// MSZIP.
    #[error(transparent)]
    Mszip(#[from] wimwright_codec::mszip::MszipError),
    /// Quantum.
    #[error(transparent)]
    Quantum(#[from] wimwright_codec::quantum::QuantumError),
    /// LZX.
    #[error(transparent)]
    Lzx(#[from] wimwright_codec::cabinet_lzx::CabinetLzxError),
}

/// How a folder is compressed ([MS-CAB] 2.2: typeCompress).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Stored,
    /// Deflate in blocks of 32 KiB.
    Mszip,
    /// Quantum with a window of `1 << window_bits` bytes.
    Quantum {
        /// 10 to 21.
        window_bits: u8,
    },
    /// LZX with a window of `1 << window_bits` bytes.
    Lzx {
        /// 15 to 21.
        window_bits: u8,
    },
}

/// A file in a cabinet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Safe relative path with `\` between its parts.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// `FILE_ATTRIBUTE_*`: read-only 0x01, hidden 0x02, system 0x04, archive 0x20; 0x40 asks to run the file after
    /// extraction. The bit that marks the name as UTF-8 is left out.
    pub attributes: u16,
    /// Last write, in 100 ns since 1601. A cabinet holds local time of an unknown zone, to two seconds: it is taken as
    /// if it were UTC. `None` where the fields are no date.
    pub modified: Option<u64>,
    /// Number of the folder that holds it.
    pub folder: usize,
    /// Where it begins in the folder's output.
    pub offset: u64,
}

impl Member {
    /// Where its bytes lie in the folder's output: start and length.
    fn range(&self) -> (u64, u64) {
        (self.offset, self.length)
    }
}

/// A run of data blocks of a folder in one cabinet file.
#[derive(Debug, Clone, Copy)]
struct Segment {
    /// Number of the cabinet in the set.
    part: usize,
    /// Where the first block's header lies.
    offset: u64,
    blocks: u16,
}

struct Folder {
    compression: Compression,
    segments: Vec<Segment>,
    /// The folder begins in a cabinet that was not given.
    missing_start: bool,
    /// The folder continues in a cabinet that was not given.
    missing_end: bool,
    /// Its members, by number, in the order of their bytes.
    members: Vec<usize>,
}

/// An opened cabinet, or set of cabinets.
pub struct Cabinet {
    parts: Vec<Part>,
    folders: Vec<Folder>,
    members: Vec<Member>,
}

impl Cabinet {
    /// Reads the tables of one cabinet. If it is a part of a set, members that lie wholly in it can be read.
    ///
    /// # Errors
    /// See [`CabError`].
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Self, CabError> {
        Self::open_set([source])
    }

    /// Reads the tables of all cabinets of a set, given in any order.
    ///
    /// # Errors
    /// See [`CabError`].
    pub fn open_set(sources: impl IntoIterator<Item = Arc<dyn ReadAt>>) -> Result<Self, CabError> {
        let mut parts = Vec::new();
        for source in sources {
            if parts.len() == LARGEST_SET {
                return Err(CabError::SetMismatch("too many cabinets"));
            }
            parts.push(Part::read(source)?);
        }
        parts.sort_by_key(|part| part.number);
        let follows = |pair: &[Part]| match pair {
            [left, right] => left.set_id == right.set_id && left.number.checked_add(1) == Some(right.number),
            _ => true,
        };
        if !parts.windows(2).all(follows) {
            return Err(CabError::SetMismatch("they are not numbered one after another, or belong to several sets"));
        }
        let mut cabinet = Self { parts: Vec::new(), folders: Vec::new(), members: Vec::new() };
        for (index, part) in parts.iter_mut().enumerate() {
            cabinet.append(index, part)?;
        }
        cabinet.parts = parts;
        if cabinet.parts.is_empty() {
            return Err(CabError::SetMismatch("no cabinet at all"));
        }
        cabinet.check_sizes()?;
        cabinet.check_duplicates()?;
        Ok(cabinet)
    }

    /// Adds the folders and members of the next cabinet of the set. `self.parts` is not filled yet.
    fn append(&mut self, part_index: usize, part: &mut Part) -> Result<(), CabError> {
        let entries = std::mem::take(&mut part.files);
        let starts_before = entries.iter().any(|entry| matches!(entry.continuation, Continuation::FromPrevious | Continuation::Both));
        let ends_later = entries.iter().any(|entry| matches!(entry.continuation, Continuation::ToNext | Continuation::Both));
        let open_end = self.folders.last().is_some_and(|folder| folder.missing_end);
        if part_index > 0 && open_end != starts_before {
            return Err(CabError::SetMismatch("a folder continues in a cabinet that does not continue it"));
        }
        let joined = part_index > 0 && starts_before;
        let first_folder = self.folders.len().saturating_sub(usize::from(joined));
        for (index, entry) in part.folders.iter().enumerate() {
            let segment = Segment { part: part_index, offset: entry.offset, blocks: entry.blocks };
            let before = if joined && index == 0 { self.folders.last_mut() } else { None };
            if let Some(folder) = before {
                if folder.compression != entry.compression {
                    return Err(CabError::SetMismatch("a folder continues with another compression"));
                }
                folder.segments.push(segment);
                folder.missing_end = false;
            } else {
                self.folders.push(Folder {
                    compression: entry.compression,
                    segments: vec![segment],
                    missing_start: starts_before && index == 0,
                    missing_end: false,
                    members: Vec::new(),
                });
            }
        }
        if let Some(last) = self.folders.last_mut() {
            last.missing_end = ends_later;
        }
        // The members that go on were already listed by the cabinet in which they began.
        let listed: HashSet<(String, u64, u64)> = match self.folders.get(first_folder).filter(|_| joined) {
            Some(folder) => folder
                .members
                .iter()
                .filter_map(|index| self.members.get(*index))
                .map(|member| (member.name.clone(), member.offset, member.length))
                .collect(),
            None => HashSet::new(),
        };
        for entry in entries {
            let continued = matches!(entry.continuation, Continuation::FromPrevious | Continuation::Both);
            let member = Member { folder: first_folder.saturating_add(entry.member.folder), ..entry.member };
            if joined && continued {
                if !listed.contains(&(member.name, member.offset, member.length)) {
                    return Err(CabError::SetMismatch("a file continues that did not begin"));
                }
                continue;
            }
            if let Some(folder) = self.folders.get_mut(member.folder) {
                folder.members.push(self.members.len());
            }
            self.members.push(member);
        }
        Ok(())
    }

    fn check_sizes(&mut self) -> Result<(), CabError> {
        let claimed = self.members.iter().fold(0_u64, |sum, member| sum.saturating_add(member.length));
        let size = self.parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.size));
        if claimed > LARGEST_TOTAL || claimed > size.saturating_mul(LARGEST_RATIO) {
            return Err(CabError::TooLarge { claimed, size });
        }
        let members = &self.members;
        for folder in &mut self.folders {
            let key = |index: &usize| members.get(*index).map(|member| member.range());
            folder.members.sort_by_key(key);
            let blocks: u64 = folder.segments.iter().map(|segment| u64::from(segment.blocks)).sum();
            let capacity = blocks.saturating_mul(BLOCK_OUTPUT as u64);
            let complete = !folder.missing_start && !folder.missing_end;
            let mut before: Option<(&Member, u64)> = None;
            for member in folder.members.iter().filter_map(|index| members.get(*index)) {
                let end = member.offset.saturating_add(member.length);
                if end > capacity && complete {
                    return Err(CabError::OutsideFolder { name: member.name.clone(), end, capacity });
                }
                if member.length == 0 {
                    continue;
                }
                if let Some((earlier, earlier_end)) = before
                    && earlier_end > member.offset
                    && earlier.range() != member.range()
                {
                    return Err(CabError::Overlap(earlier.name.clone(), member.name.clone()));
                }
                before = Some((member, end));
            }
        }
        Ok(())
    }

    fn check_duplicates(&self) -> Result<(), CabError> {
        let mut names = HashSet::with_capacity(self.members.len());
        match self.members.iter().find(|member| !names.insert(fold_name(&member.name))) {
            Some(member) => Err(CabError::DuplicateName(member.name.clone())),
            None => Ok(()),
        }
    }

    /// All members, in the order of the file tables.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Compression of each folder.
    pub fn compressions(&self) -> impl Iterator<Item = Compression> {
        self.folders.iter().map(|folder| folder.compression)
    }

    /// Name of the cabinet that comes before this one or this set, as the header gives it. It is not checked to be safe.
    pub fn previous_cabinet(&self) -> Option<&str> {
        self.parts.first()?.previous.as_deref()
    }

    /// Name of the cabinet that comes after this one or this set, as the header gives it. It is not checked to be safe.
    pub fn next_cabinet(&self) -> Option<&str> {
        self.parts.last()?.next.as_deref()
    }

    /// Bytes behind the end of the (first) cabinet, such as an Authenticode signature. Empty where there are none.
    pub fn trailing_bytes(&self) -> Range<u64> {
        self.parts.first().map_or(0..0, |part| part.size..part.source.size())
    }

    /// The application's reserved bytes in the header of the (first) cabinet: a signed cabinet keeps there where its
    /// signature lies.
    pub fn header_reserve(&self) -> &[u8] {
        self.parts.first().map_or(&[], |part| &part.reserve)
    }

    /// Reads the members that `select` wants in one pass over each folder, in the order of their bytes, one after another.
    ///
    /// # Errors
    /// What `visit` returns, or why the cabinet cannot be read: see [`CabError`].
    pub fn for_each_member<E: From<CabError>>(
        &self,
        select: impl Fn(&Member) -> bool,
        mut visit: impl FnMut(&Member, &mut MemberReader) -> Result<(), E>,
    ) -> Result<(), E> {
        (0..self.folders.len()).try_for_each(|folder| self.visit_folder(folder, &select, &mut visit))
    }

    fn visit_folder<E: From<CabError>>(
        &self,
        index: usize,
        select: &impl Fn(&Member) -> bool,
        visit: &mut impl FnMut(&Member, &mut MemberReader) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(folder) = self.folders.get(index) else { return Ok(()) };
        let selected: Vec<&Member> =
            folder.members.iter().filter_map(|index| self.members.get(*index)).filter(|member| select(member)).collect();
        if selected.is_empty() {
            return Ok(());
        }
        let mut reader = FolderReader::new(&self.parts, folder, index)?;
        for same in selected.chunk_by(|left, right| left.range() == right.range()) {
            let Some(first) = same.first() else { continue };
            if first.length > 0 {
                reader.skip_to(first.offset)?;
            }
            if let [member] = same {
                visit(member, &mut reader.member(member.length))?;
                continue;
            }
            let bytes = reader.member(first.length).read_all()?;
            for member in same {
                visit(member, &mut MemberReader::in_memory(&bytes))?;
            }
        }
        Ok(())
    }

    /// Decodes one member. For several, [`Self::for_each_member`] costs no more than this.
    ///
    /// # Errors
    /// See [`CabError`].
    pub fn read_member(&self, index: usize) -> Result<Vec<u8>, CabError> {
        let member = self.members.get(index).ok_or(CabError::NoSuchMember(index))?;
        let mut bytes = Vec::new();
        self.for_each_member(
            |other| std::ptr::eq(other, member),
            |_, reader| {
                bytes = reader.read_all()?;
                Ok::<_, CabError>(())
            },
        )?;
        Ok(bytes)
    }

    /// Makes one member a source: a view of the cabinet if it is stored there, otherwise decoded into memory.
    ///
    /// The view does not check the data blocks' checksums; whoever reads from it has a hash to compare.
    ///
    /// # Errors
    /// See [`CabError`].
    pub fn open_member(&self, index: usize) -> Result<Arc<dyn ReadAt>, CabError> {
        let member = self.members.get(index).ok_or(CabError::NoSuchMember(index))?;
        let folder = self.folders.get(member.folder).ok_or(CabError::NoSuchMember(index))?;
        let ([segment], Compression::Stored, false) = (folder.segments.as_slice(), folder.compression, folder.missing_start) else {
            return Ok(Arc::new(self.read_member(index)?));
        };
        let part = self.parts.get(segment.part).ok_or(CabError::NoSuchMember(index))?;
        let member_end = member.offset.saturating_add(member.length);
        let (mut position, mut extents) = (0_u64, Vec::new());
        for block in folder::blocks(part, segment, member.folder) {
            let block = block?;
            let end = position.saturating_add(block.data.length);
            if u64::from(block.output) != block.data.length {
                let source = CodecError::Stored { input: usize::from(block.input), output: usize::from(block.output) };
                return Err(CabError::Codec { folder: member.folder, block: block.number, source });
            }
            let (from, to) = (position.max(member.offset), end.min(member_end));
            if from < to {
                let offset = block.data.offset.map(|start| start.saturating_add(from.saturating_sub(position)));
                extents.push(Extent { offset, length: to.saturating_sub(from) });
            }
            position = end;
            if position >= member_end {
                return Ok(Arc::new(Section::new(part.source.clone(), extents)?));
            }
        }
        if member.length == 0 {
            return Ok(Arc::new(Vec::new()));
        }
        Err(CabError::FolderEnd { folder: member.folder, end: position })
    }
}

#[cfg(test)]
mod tests;

//! A directory entry and its fixed fields on disk.
//!
//! | offset | field | |
//! |---|---|---|
//! | 0 | length: u64 | of fixed fields, names and tagged items; extra stream entries follow at the next multiple of 8 |
//! | 8 | attributes: u32 | `FILE_ATTRIBUTE_*` |
//! | 12 | security id: i32 | index into the security data, -1 for none |
//! | 16 | subdirectory offset: u64 | of the children's list; 0 for none |
//! | 24 | unused: 2 x u64 | zero in all files seen; kept |
//! | 40 | creation, last access, last write time: 3 x u64 | FILETIME: 100 ns since 1601-01-01 UTC |
//! | 64 | hash: 20 bytes | of the unnamed stream, or of the reparse data; zeros when extra stream entries give it |
//! | 84 | unknown: u32 | zero in most files; kept |
//! | 88 | hard link group: u64, **or** reparse tag: u32, reserved: u16, flags: u16 | by the reparse point attribute |
//! | 96 | extra stream entries: u16 | how many |
//! | 98 | short name length: u16, name length: u16 | bytes, without NUL |
//! | 102 | name, NUL, short name, NUL | UTF-16; an empty one has no NUL either |
//! | next multiple of 8 | tagged items | see [`super::tagged`] |
//!
//! An extra stream entry is `{ length: u64, reserved: u64, hash: 20 bytes, name length: u16, name, NUL }`, padded to 8.
//! Where an entry has more than one stream, all are extra entries, reparse data and the unnamed stream first, and the hash
//! is zero. Sources: wimlib's `dentry.c` and `inode.h`; checked against wimlib 1.13.6, DISM and WIMGAPI files.

use super::fields::{Fields, align8};
use super::metadata::{MetadataError, NameProblem};
use super::tagged::TaggedItems;
use super::{BlobId, Name};

/// Bits of a dentry's attributes that this crate looks at.
pub mod file_attributes {
    /// The entry is a directory.
    pub const DIRECTORY: u32 = 0x10;
    /// The entry is a reparse point: a symbolic link, junction, or other tagged file.
    pub const REPARSE_POINT: u32 = 0x400;
    /// The contents are encrypted by EFS; the blob is the raw export.
    pub const ENCRYPTED: u32 = 0x4000;
}

/// Length of the fixed fields.
const FIXED_SIZE: usize = 102;
/// Length of an extra stream entry's fixed fields.
const STREAM_FIXED_SIZE: usize = 38;

/// What makes a file a reparse point.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reparse {
    /// `IO_REPARSE_TAG_*`.
    pub tag: u32,
    /// Reserved field of the reparse header; kept.
    pub reserved: u16,
    /// Bit 0: the target was *not* made relative to the image root at capture. Others unknown; kept.
    pub flags: u16,
    /// The reparse data that follow the eight-byte header.
    pub data: Option<BlobId>,
}

/// A named stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedStream {
    /// The stream's name, not empty.
    pub name: Name,
    /// Its contents; `None` when empty.
    pub blob: Option<BlobId>,
    /// Reserved field; kept.
    pub reserved: u64,
}

/// A directory entry with everything below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dentry {
    /// The name; empty for the root.
    pub name: Name,
    /// The 8.3 name; empty when there is none.
    pub short_name: Name,
    /// `FILE_ATTRIBUTE_*`.
    pub attributes: u32,
    /// Index into the image's security descriptors.
    pub security_id: Option<u32>,
    /// FILETIME: 100 ns since 1601-01-01 UTC.
    pub creation_time: u64,
    /// FILETIME.
    pub last_access_time: u64,
    /// FILETIME.
    pub last_write_time: u64,
    /// The unnamed stream; `None` when empty or a directory.
    pub data: Option<BlobId>,
    /// Present exactly when the attributes have [`file_attributes::REPARSE_POINT`].
    pub reparse: Option<Reparse>,
    /// Entries of the same non-zero number are one file; 0 for a file of one name. A reparse point cannot have one.
    pub hard_link_group: u64,
    /// Named streams in the order of the file.
    pub named_streams: Vec<NamedStream>,
    /// Object identifier, extended attributes, and whatever else follows the names.
    pub tagged_items: TaggedItems,
    /// The two fields at offset 24; kept.
    pub unused: [u64; 2],
    /// The field at offset 84; kept.
    pub unknown: u32,
    /// What a directory contains, in the order of the file.
    pub children: Vec<Dentry>,
}

impl Dentry {
    /// True for a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.attributes & file_attributes::DIRECTORY != 0
    }

    /// Every blob that the entry itself refers to: data, reparse data, named streams.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> {
        let reparse = self.reparse.as_ref().and_then(|reparse| reparse.data);
        self.data.into_iter().chain(reparse).chain(self.named_streams.iter().filter_map(|stream| stream.blob))
    }

    /// Reads the entry at `offset` of the metadata: the entry without children, the offset of its children's list (0 for
    /// none) and its length with all that belongs to it. `None` for an end-of-directory mark.
    pub(super) fn decode(metadata: &[u8], offset: usize, descriptors: usize) -> Result<Option<(Self, u64, usize)>, MetadataError> {
        let truncated = || MetadataError::Truncated { offset };
        let rest = Fields(metadata.get(offset..).ok_or_else(truncated)?);
        let length = usize::try_from(rest.u64(0).ok_or_else(truncated)?).map_err(|_| truncated())?;
        // Microsoft writes 0 here; wimlib takes anything too short to be an entry for the end as well.
        if length <= 8 {
            return Ok(None);
        }
        let fields = Fields(rest.bytes(0, length).ok_or_else(truncated)?);
        let short = || MetadataError::EntryLength { offset, length };
        let u64_at = |at| fields.u64(at).ok_or_else(short);
        let u16_at = |at| fields.u16(at).ok_or_else(short);

        let attributes = fields.u32(8).ok_or_else(short)?;
        let security_id = fields.u32(12).filter(|id| usize::try_from(*id).is_ok_and(|id| id < descriptors));
        let hash = BlobId::from_field(fields.array(64).ok_or_else(short)?);
        let unknown = fields.u32(84).ok_or_else(short)?;
        let stream_count = u16_at(96)?;
        let (short_length, name_length) = (usize::from(u16_at(98)?), usize::from(u16_at(100)?));
        let (name, after_name) = read_name(fields, FIXED_SIZE, name_length).ok_or_else(short)?;
        let (short_name, after_names) = read_name(fields, after_name, short_length).ok_or_else(short)?;
        let tagged_items = TaggedItems::from_bytes(fields.0.get(align8(after_names)..).unwrap_or_default());
        let is_reparse = attributes & file_attributes::REPARSE_POINT != 0;
        let mut entry = Self {
            name,
            short_name,
            attributes,
            security_id,
            creation_time: u64_at(40)?,
            last_access_time: u64_at(48)?,
            last_write_time: u64_at(56)?,
            data: None,
            reparse: None,
            hard_link_group: if is_reparse { 0 } else { u64_at(88)? },
            named_streams: Vec::new(),
            tagged_items,
            unused: [u64_at(24)?, u64_at(32)?],
            unknown,
            children: Vec::new(),
        };
        if is_reparse {
            let tag = fields.u32(88).ok_or_else(short)?;
            entry.reparse = Some(Reparse { tag, reserved: u16_at(92)?, flags: u16_at(94)?, data: None });
        }
        let mut unnamed: Vec<Option<BlobId>> = hash.map(Some).into_iter().collect();
        let subdirectory = if entry.is_directory() { u64_at(16)? } else { 0 };
        let mut total = align8(length);
        for _ in 0..stream_count {
            let (stream, length) = decode_stream(rest, total).ok_or_else(truncated)?;
            total = total.saturating_add(length);
            if stream.name.is_empty() {
                unnamed.push(stream.blob);
            } else {
                entry.named_streams.push(stream);
            }
        }
        // A zero hash in the entry itself says nothing where extra entries are. Of a reparse point's unnamed streams the
        // first is the reparse data.
        let mut unnamed = unnamed.into_iter();
        if let Some(reparse) = &mut entry.reparse
            && attributes & file_attributes::ENCRYPTED == 0
        {
            reparse.data = unnamed.next().flatten();
        }
        entry.data = unnamed.next().flatten();
        Ok(Some((entry, subdirectory, total)))
    }

    /// The streams to be stored: the hash of the entry itself, and the extra entries.
    ///
    /// DISM's rules (wimlib 1.14.2 documents them; earlier wimlib versions wrote directories otherwise, which Windows 8's
    /// Setup and newer DISMs refuse): a reparse point has its reparse data, everything but a directory has an unnamed
    /// stream, empty or not. One unnamed stream alone stands in the entry; otherwise all have extra entries.
    fn stored_streams(&self) -> (Option<BlobId>, Vec<NamedStream>) {
        let mut unnamed = Vec::new();
        let is_encrypted = self.attributes & file_attributes::ENCRYPTED != 0;
        if let Some(reparse) = self.reparse.as_ref().filter(|_| !is_encrypted) {
            unnamed.push(reparse.data);
        }
        if !self.is_directory() || is_encrypted || self.data.is_some() {
            unnamed.push(self.data);
        }
        if unnamed.len() <= 1 && self.named_streams.is_empty() {
            return (unnamed.first().copied().flatten(), Vec::new());
        }
        let unnamed = unnamed.into_iter().map(|blob| NamedStream { name: Name::default(), blob, reserved: 0 });
        (None, unnamed.chain(self.named_streams.iter().cloned()).collect())
    }

    /// Appends the entry (without children) and returns where its subdirectory offset stands, to be filled in.
    pub(super) fn encode(&self, output: &mut Vec<u8>) -> Result<usize, MetadataError> {
        let invalid = |reason| MetadataError::Unrepresentable { name: self.name.to_string_lossy(), reason };
        let is_reparse = self.attributes & file_attributes::REPARSE_POINT != 0;
        if is_reparse != self.reparse.is_some() {
            return Err(invalid("the reparse point attribute and the reparse data disagree"));
        }
        if is_reparse && self.hard_link_group != 0 {
            return Err(invalid("a reparse point cannot be in a hard link group"));
        }
        if !self.children.is_empty() && !self.is_directory() {
            return Err(invalid("it has children but is not a directory"));
        }
        if self.attributes & file_attributes::ENCRYPTED != 0 && self.reparse.as_ref().is_some_and(|reparse| reparse.data.is_some()) {
            return Err(invalid("an encrypted file cannot have reparse data"));
        }
        let (hash, streams) = self.stored_streams();
        let start = output.len();
        let name_length = length_field(&self.name).ok_or_else(|| invalid("the name is too long"))?;
        let short_length = length_field(&self.short_name).ok_or_else(|| invalid("the short name is too long"))?;
        let stream_count = u16::try_from(streams.len()).map_err(|_| invalid("too many streams"))?;
        output.extend(0_u64.to_le_bytes());
        output.extend(self.attributes.to_le_bytes());
        output.extend(self.security_id.unwrap_or(u32::MAX).to_le_bytes());
        let subdirectory_field = output.len();
        output.extend(0_u64.to_le_bytes());
        for value in self.unused.into_iter().chain([self.creation_time, self.last_access_time, self.last_write_time]) {
            output.extend(value.to_le_bytes());
        }
        output.extend(BlobId::to_field(hash));
        output.extend(self.unknown.to_le_bytes());
        match &self.reparse {
            Some(reparse) => {
                output.extend(reparse.tag.to_le_bytes());
                output.extend(reparse.reserved.to_le_bytes());
                output.extend(reparse.flags.to_le_bytes());
            }
            None => output.extend(self.hard_link_group.to_le_bytes()),
        }
        output.extend(stream_count.to_le_bytes());
        output.extend(short_length.to_le_bytes());
        output.extend(name_length.to_le_bytes());
        append_name(output, &self.name);
        append_name(output, &self.short_name);
        output.resize(align8(output.len()), 0);
        output.extend(self.tagged_items.as_bytes());
        let length = output.len().saturating_sub(start);
        fill(output, start, length as u64);
        output.resize(align8(output.len()), 0);
        for stream in &streams {
            let length = length_field(&stream.name).ok_or_else(|| invalid("a stream name is too long"))?;
            let start = output.len();
            output.extend(0_u64.to_le_bytes());
            output.extend(stream.reserved.to_le_bytes());
            output.extend(BlobId::to_field(stream.blob));
            output.extend(length.to_le_bytes());
            append_name(output, &stream.name);
            output.resize(align8(output.len()), 0);
            let length = output.len().saturating_sub(start);
            fill(output, start, length as u64);
        }
        Ok(subdirectory_field)
    }

    /// What is wrong with the names of an entry below the root.
    pub(super) fn name_problem(&self) -> Option<NameProblem> {
        let units = self.name.units();
        let dot = u16::from(b'.');
        if units.is_empty() {
            return Some(NameProblem::Empty);
        }
        if units == [dot] || units == [dot, dot] {
            return Some(NameProblem::DotOrDotDot);
        }
        let forbidden = |units: &[u16]| units.iter().any(|unit| matches!(char::from_u32(u32::from(*unit)), Some('\0' | '/' | '\\')));
        let all = [units, self.short_name.units()].into_iter().chain(self.named_streams.iter().map(|stream| stream.name.units()));
        all.into_iter().any(forbidden).then_some(NameProblem::Separator)
    }
}

/// Writes an eight-byte value over the placeholder at `at`.
pub(super) fn fill(output: &mut [u8], at: usize, value: u64) {
    if let Some(field) = output.get_mut(at..at.saturating_add(8)) {
        field.copy_from_slice(&value.to_le_bytes());
    }
}

fn read_name(fields: Fields<'_>, at: usize, length: usize) -> Option<(Name, usize)> {
    if length == 0 {
        return Some((Name::default(), at));
    }
    let name = Name::from_le_bytes(fields.bytes(at, length)?);
    // The NUL belongs to the format, but a reader loses nothing without it.
    Some((name, at.checked_add(length)?.checked_add(2)?))
}

fn length_field(name: &Name) -> Option<u16> {
    u16::try_from(name.units().len().checked_mul(2)?).ok()
}

fn append_name(output: &mut Vec<u8>, name: &Name) {
    if !name.is_empty() {
        output.extend(name.units().iter().flat_map(|unit| unit.to_le_bytes()));
        output.extend([0, 0]);
    }
}

/// Reads the extra stream entry at `at`, with its length on disk.
fn decode_stream(rest: Fields<'_>, at: usize) -> Option<(NamedStream, usize)> {
    let length = usize::try_from(rest.u64(at)?).ok()?;
    if length < STREAM_FIXED_SIZE {
        return None;
    }
    let fields = Fields(rest.bytes(at, length)?);
    let name_length = usize::from(fields.u16(36)?);
    let name = Name::from_le_bytes(fields.bytes(STREAM_FIXED_SIZE, name_length)?);
    let stream = NamedStream { name, blob: BlobId::from_field(fields.array(16)?), reserved: fields.u64(8)? };
    Some((stream, align8(length)))
}

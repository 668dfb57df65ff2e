//! A plain cabinet writer for practice packages and tests: stored or MSZIP, one cabinet, nothing reserved, no signature.
//!
//! The same calls give the same bytes. The data blocks carry checksums; header fields are those that Microsoft's tools write.

use std::collections::HashSet;
use std::io::{self, Write};

use wimwright_codec::mszip::{MszipError, encode_mszip};

use super::BLOCK_OUTPUT;
use super::folder::block_checksum;
use crate::member_name::{NameError, check_name, fold_name};

/// Attribute: the name is UTF-8.
const NAME_IS_UTF8: u16 = 0x80;
/// 100 ns from 1601 to 1980, where DOS dates begin.
const DOS_EPOCH: u64 = 119_600_064_000_000_000;
/// 100 ns in two seconds, the step of DOS times.
const DOS_STEP: u64 = 20_000_000;

/// What the writer does with the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterCompression {
    /// Nothing.
    Stored,
    /// Deflate, each block for itself.
    Mszip,
}

/// Why a cabinet cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The output cannot be written.
    #[error("cannot write the cabinet")]
    Io(#[from] io::Error),
    /// The name is no safe path.
    #[error("{name:?} cannot be a name in a cabinet")]
    Name {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// The same name as that of an earlier member.
    #[error("the cabinet already has a file of the name {0:?}")]
    DuplicateName(String),
    /// The time is before 1980 or after 2107.
    #[error("{name:?} has a time that a cabinet cannot hold: {modified} (100 ns since 1601)")]
    Time {
        /// Name of the member.
        name: String,
        /// The time as given.
        modified: u64,
    },
    /// More files, blocks, folders or bytes than the fields of a cabinet can count.
    #[error("the cabinet has too many {0}")]
    TooMany(&'static str),
    /// The codec refused a block.
    #[error("cannot compress a block")]
    Codec(#[from] MszipError),
}

struct Folder {
    /// Bytes taken so far.
    length: usize,
    /// Bytes that do not fill a block yet.
    pending: Vec<u8>,
    /// Finished blocks with their headers.
    blocks: Vec<u8>,
    count: u16,
}

struct Entry {
    name: String,
    length: u32,
    offset: u32,
    folder: u16,
    date: u16,
    time: u16,
    attributes: u16,
}

/// Collects members, then writes one cabinet.
pub struct CabinetWriter {
    compression: WriterCompression,
    folders: Vec<Folder>,
    entries: Vec<Entry>,
    names: HashSet<Vec<u16>>,
}

impl CabinetWriter {
    /// An empty cabinet.
    #[must_use]
    pub fn new(compression: WriterCompression) -> Self {
        Self { compression, folders: Vec::new(), entries: Vec::new(), names: HashSet::new() }
    }

    /// Puts the members that follow into a new folder, which can be decoded beside the others.
    pub fn start_folder(&mut self) {
        if self.folders.last().is_none_or(|folder| folder.length > 0) {
            self.folders.push(Folder { length: 0, pending: Vec::new(), blocks: Vec::new(), count: 0 });
        }
    }

    /// Adds a member. `modified` is in 100 ns since 1601 and written verbatim as local time, in steps of two seconds.
    /// `attributes` are `FILE_ATTRIBUTE_*`; only read-only, hidden, system, archive and the run-after-extraction bit are kept.
    ///
    /// # Errors
    /// See [`WriterError`].
    pub fn add(&mut self, name: &str, data: &[u8], modified: u64, attributes: u16) -> Result<(), WriterError> {
        let checked = check_name(name).map_err(|source| WriterError::Name { name: name.to_owned(), source })?;
        if checked.len() > 255 {
            return Err(WriterError::Name { name: checked, source: NameError::TooLong });
        }
        let (date, time) = dos_time(modified).ok_or_else(|| WriterError::Time { name: checked.clone(), modified })?;
        if !self.names.insert(fold_name(&checked)) {
            return Err(WriterError::DuplicateName(checked));
        }
        if self.folders.is_empty() {
            self.start_folder();
        }
        let too_many = |_| WriterError::TooMany("folders");
        let folder_number = u16::try_from(self.folders.len().saturating_sub(1)).map_err(too_many)?;
        let Some(folder) = self.folders.last_mut() else { return Err(WriterError::TooMany("folders")) };
        let bytes = |value: usize| u32::try_from(value).map_err(|_| WriterError::TooMany("bytes in a folder"));
        let utf8 = if checked.is_ascii() { 0 } else { NAME_IS_UTF8 };
        self.entries.push(Entry {
            length: bytes(data.len())?,
            offset: bytes(folder.length)?,
            folder: folder_number,
            date,
            time,
            attributes: attributes & 0x67 | utf8,
            name: checked,
        });
        folder.add(data, self.compression)
    }

    /// Writes the cabinet.
    ///
    /// # Errors
    /// See [`WriterError`].
    pub fn finish(mut self, output: &mut impl Write) -> Result<(), WriterError> {
        for folder in &mut self.folders {
            folder.flush(self.compression)?;
        }
        let folder_count = u16::try_from(self.folders.len()).map_err(|_| WriterError::TooMany("folders"))?;
        let file_count = u16::try_from(self.entries.len()).map_err(|_| WriterError::TooMany("files"))?;
        let mut files = Vec::new();
        for entry in &self.entries {
            for field in [entry.length, entry.offset] {
                files.extend_from_slice(&field.to_le_bytes());
            }
            for field in [entry.folder, entry.date, entry.time, entry.attributes] {
                files.extend_from_slice(&field.to_le_bytes());
            }
            files.extend_from_slice(entry.name.as_bytes());
            files.push(0);
        }
        let bytes = |value: usize| u32::try_from(value).map_err(|_| WriterError::TooMany("bytes"));
        let files_offset = self.folders.len().saturating_mul(8).saturating_add(36);
        let data_offset = files_offset.saturating_add(files.len());
        let size = self.folders.iter().fold(data_offset, |sum, folder| sum.saturating_add(folder.blocks.len()));

        let mut tables = Vec::new();
        tables.extend_from_slice(b"MSCF");
        for field in [0, bytes(size)?, 0, bytes(files_offset)?, 0] {
            tables.extend_from_slice(&field.to_le_bytes());
        }
        tables.extend_from_slice(&[3, 1]);
        for field in [folder_count, file_count, 0, 0, 0] {
            tables.extend_from_slice(&field.to_le_bytes());
        }
        let mut offset = data_offset;
        for folder in &self.folders {
            tables.extend_from_slice(&bytes(offset)?.to_le_bytes());
            tables.extend_from_slice(&folder.count.to_le_bytes());
            tables.extend_from_slice(&[u8::from(self.compression == WriterCompression::Mszip), 0]);
            offset = offset.saturating_add(folder.blocks.len());
        }
        output.write_all(&tables)?;
        output.write_all(&files)?;
        for folder in &self.folders {
            output.write_all(&folder.blocks)?;
        }
        Ok(())
    }
}

impl Folder {
    fn add(&mut self, mut data: &[u8], compression: WriterCompression) -> Result<(), WriterError> {
        self.length = self.length.saturating_add(data.len());
        while !data.is_empty() {
            let room = BLOCK_OUTPUT.saturating_sub(self.pending.len());
            let (now, later) = data.split_at(room.min(data.len()));
            self.pending.extend_from_slice(now);
            data = later;
            if self.pending.len() == BLOCK_OUTPUT {
                self.flush(compression)?;
            }
        }
        Ok(())
    }

    /// Writes the pending bytes as a block.
    fn flush(&mut self, compression: WriterCompression) -> Result<(), WriterError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let data = match compression {
            WriterCompression::Stored => self.pending.clone(),
            WriterCompression::Mszip => encode_mszip(&self.pending)?,
        };
        let size = |value: usize| u16::try_from(value).map_err(|_| WriterError::TooMany("bytes in a block"));
        let (input, output) = (size(data.len())?, size(self.pending.len())?);
        self.blocks.extend_from_slice(&block_checksum(&data, input, output).to_le_bytes());
        self.blocks.extend_from_slice(&input.to_le_bytes());
        self.blocks.extend_from_slice(&output.to_le_bytes());
        self.blocks.extend_from_slice(&data);
        self.count = self.count.checked_add(1).ok_or(WriterError::TooMany("blocks in a folder"))?;
        self.pending.clear();
        Ok(())
    }
}

/// 100 ns since 1601 to a DOS date and time.
fn dos_time(modified: u64) -> Option<(u16, u16)> {
    let steps = modified.checked_sub(DOS_EPOCH)?.checked_div(DOS_STEP)?;
    let (days, steps) = (steps.checked_div(43_200)?, steps.checked_rem(43_200)?);
    // Days since 1980-01-01 to a date: 2100 is the only year up to 2107 that breaks the rule of four.
    let days = if days >= 43_889 { days.checked_add(1)? } else { days };
    let (cycle, in_cycle) = (days.checked_div(1461)?, days.checked_rem(1461)?);
    let leap = in_cycle < 366;
    let (year_in_cycle, mut day) = if leap {
        (0, in_cycle)
    } else {
        let rest = in_cycle.checked_sub(366)?;
        (rest.checked_div(365)?.checked_add(1)?, rest.checked_rem(365)?)
    };
    let year = cycle.checked_mul(4)?.checked_add(year_in_cycle)?;
    let mut month = 1_u64;
    for length in [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        let Some(rest) = day.checked_sub(length) else { break };
        (day, month) = (rest, month.checked_add(1)?);
    }
    let date = u16::try_from(year).ok().filter(|year| *year < 128)? << 9 | u16::try_from(month << 5 | day.checked_add(1)?).ok()?;
    let (minutes, step) = (steps.checked_div(30)?, steps.checked_rem(30)?);
    let time = minutes.checked_div(60)? << 11 | minutes.checked_rem(60)? << 5 | step;
    Some((date, u16::try_from(time).ok()?))
}

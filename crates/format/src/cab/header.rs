//! The tables of one cabinet file: CFHEADER, CFFOLDER and CFFILE ([MS-CAB] 2.1 to 2.3). All numbers are little-endian.

use std::sync::Arc;

use super::{CabError, Compression, Member};
use crate::io::ReadAt;
use crate::member_name::{NameError, check_name};

/// Flag: names of the cabinet and disk before follow in the header.
const HAS_PREVIOUS: u16 = 1;
/// Flag: names of the cabinet and disk after follow in the header.
const HAS_NEXT: u16 = 2;
/// Flag: sizes of reserved areas follow in the header.
const HAS_RESERVE: u16 = 4;
/// Attribute: the name is UTF-8.
const NAME_IS_UTF8: u16 = 0x80;
/// Bytes of a text at most, with the zero at its end.
const LONGEST_TEXT: usize = 256;
/// Bytes read at once.
const CHUNK: u64 = 1 << 16;
/// 100 ns in a second.
const TICKS: u64 = 10_000_000;

/// Where else the folder of a file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuation {
    None,
    FromPrevious,
    ToNext,
    Both,
}

pub(super) struct FileEntry {
    /// `folder` counts from this cabinet's first folder.
    pub member: Member,
    pub continuation: Continuation,
}

pub(super) struct FolderEntry {
    /// Of the first data block's header.
    pub offset: u64,
    pub blocks: u16,
    pub compression: Compression,
}

/// One cabinet file.
pub(super) struct Part {
    pub source: Arc<dyn ReadAt>,
    /// Bytes of the cabinet, as its header states (cbCabinet). The source may be longer.
    pub size: u64,
    /// The same in all cabinets of a set (setID).
    pub set_id: u16,
    /// Number of the cabinet in its set (iCabinet).
    pub number: u16,
    pub previous: Option<String>,
    pub next: Option<String>,
    /// Reserved bytes of the header (abReserve).
    pub reserve: Vec<u8>,
    /// Reserved bytes after the header of each data block (cbCFData).
    pub block_reserve: u8,
    pub folders: Vec<FolderEntry>,
    pub files: Vec<FileEntry>,
}

/// Fields one after another, read in chunks.
struct Fields<'a> {
    source: &'a dyn ReadAt,
    position: u64,
    chunk: Vec<u8>,
    chunk_start: u64,
    structure: &'static str,
}

impl<'a> Fields<'a> {
    fn new(source: &'a dyn ReadAt) -> Self {
        Self { source, position: 0, chunk: Vec::new(), chunk_start: 0, structure: "header" }
    }

    /// Up to `length` bytes from here, fewer at the end of the source.
    fn peek(&mut self, length: usize) -> Result<&[u8], CabError> {
        let inside =
            |fields: &Self| usize::try_from(fields.position.checked_sub(fields.chunk_start)?).ok().filter(|at| *at <= fields.chunk.len());
        let held = inside(self).map_or(0, |at| self.chunk.len().saturating_sub(at));
        if held < length {
            let left = self.source.size().saturating_sub(self.position).min(CHUNK);
            self.chunk.resize(usize::try_from(left).unwrap_or(0), 0);
            self.source.read_exact_at(&mut self.chunk, self.position)?;
            self.chunk_start = self.position;
        }
        let rest = inside(self).and_then(|at| self.chunk.get(at..)).unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CabError> {
        let (structure, size) = (self.structure, self.source.size());
        let bytes = self.peek(N)?.first_chunk::<N>().copied().ok_or(CabError::Truncated { structure, size })?;
        self.position = self.position.saturating_add(N as u64);
        Ok(bytes)
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, CabError> {
        let (structure, size) = (self.structure, self.source.size());
        let bytes = self.peek(length)?.to_vec();
        self.position = self.position.saturating_add(length as u64);
        if bytes.len() == length { Ok(bytes) } else { Err(CabError::Truncated { structure, size }) }
    }

    fn u8(&mut self) -> Result<u8, CabError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, CabError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, CabError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A text that ends in a zero byte, without it.
    fn text(&mut self, what: &'static str) -> Result<Vec<u8>, CabError> {
        let size = self.source.size();
        let bytes = self.peek(LONGEST_TEXT)?;
        let Some(length) = bytes.iter().position(|byte| *byte == 0) else {
            let cut_off = bytes.len() < LONGEST_TEXT;
            return Err(if cut_off { CabError::Truncated { structure: what, size } } else { CabError::UnterminatedText(what) });
        };
        let text = bytes.get(..length).unwrap_or_default().to_vec();
        self.position = self.position.saturating_add(length as u64).saturating_add(1);
        Ok(text)
    }
}

impl Part {
    pub fn read(source: Arc<dyn ReadAt>) -> Result<Self, CabError> {
        let mut fields = Fields::new(&*source);
        // 0: signature. 4: reserved1, 0 (a checksum of the header in old tools; ignored as Windows does).
        if fields.peek(4)? != b"MSCF" {
            return Err(CabError::NoSignature);
        }
        fields.position = 8;
        // 8: cbCabinet. 12: reserved2, 0.
        let size = u64::from(fields.u32()?);
        fields.position = 16;
        // 16: coffFiles. 20: reserved3, 0.
        let files_offset = u64::from(fields.u32()?);
        fields.position = 24;
        // 24: versionMinor, 3. 25: versionMajor, 1.
        let (minor, major) = (fields.u8()?, fields.u8()?);
        if major != 1 {
            return Err(CabError::Version { major, minor });
        }
        // 26: cFolders. 28: cFiles. 30: flags. 32: setID, the same in the whole set, any value. 34: iCabinet, from 0.
        let (folder_count, file_count) = (fields.u16()?, fields.u16()?);
        let (flags, set_id, number) = (fields.u16()?, fields.u16()?, fields.u16()?);
        let (mut reserve, mut folder_reserve, mut block_reserve) = (Vec::new(), 0, 0);
        if flags & HAS_RESERVE != 0 {
            // 36: cbCFHeader. 38: cbCFFolder. 39: cbCFData. 40: abReserve.
            let length = fields.u16()?;
            (folder_reserve, block_reserve) = (fields.u8()?, fields.u8()?);
            reserve = fields.bytes(usize::from(length))?;
        }
        let mut neighbour = |flag: u16, what: &'static str| -> Result<Option<String>, CabError> {
            if flags & flag == 0 {
                return Ok(None);
            }
            let name = fields.text(what)?;
            fields.text("disk name")?;
            Ok(Some(western(&name)))
        };
        let previous = neighbour(HAS_PREVIOUS, "name of the previous cabinet")?;
        let next = neighbour(HAS_NEXT, "name of the next cabinet")?;
        if folder_count == 0 {
            return Err(CabError::Empty("folders"));
        }
        if file_count == 0 {
            return Err(CabError::Empty("files"));
        }
        if size > source.size() {
            return Err(CabError::Truncated { structure: "stated length", size: source.size() });
        }
        fields.structure = "folder table";
        let folders =
            (0..usize::from(folder_count)).map(|index| folder(&mut fields, index, folder_reserve)).collect::<Result<Vec<_>, _>>()?;
        fields.position = files_offset;
        fields.structure = "file table";
        let files = (0..usize::from(file_count)).map(|index| file(&mut fields, index, folders.len())).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { size, set_id, number, previous, next, reserve, block_reserve, folders, files, source: source.clone() })
    }
}

fn folder(fields: &mut Fields, index: usize, reserve: u8) -> Result<FolderEntry, CabError> {
    // 0: coffCabStart. 4: cCFData. 6: typeCompress. 8: abReserve.
    let (offset, blocks, value) = (u64::from(fields.u32()?), fields.u16()?, fields.u16()?);
    fields.bytes(usize::from(reserve))?;
    // Bits 0-3: type. Quantum: bits 4-7 level, 8-12 window. LZX: bits 8-12 window.
    let window_bits = (value >> 8 & 0x1F) as u8;
    let compression = match value & 0xF {
        0 => Compression::Stored,
        1 => Compression::Mszip,
        2 => Compression::Quantum { window_bits },
        3 => Compression::Lzx { window_bits },
        _ => return Err(CabError::Compression { folder: index, value }),
    };
    Ok(FolderEntry { offset, blocks, compression })
}

fn file(fields: &mut Fields, index: usize, folders: usize) -> Result<FileEntry, CabError> {
    // 0: cbFile. 4: uoffFolderStart. 8: iFolder. 10: date. 12: time. 14: attribs. 16: szName.
    let (length, offset) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
    let (folder, date, time, attributes) = (fields.u16()?, fields.u16()?, fields.u16()?, fields.u16()?);
    let raw = fields.text("file name")?;
    let last = folders.saturating_sub(1);
    let (number, continuation) = match folder {
        0xFFFD => (0, Continuation::FromPrevious),
        0xFFFE => (last, Continuation::ToNext),
        0xFFFF if folders == 1 => (0, Continuation::Both),
        _ => (usize::from(folder), Continuation::None),
    };
    if number >= folders {
        return Err(CabError::NoSuchFolder { index, folder, folders });
    }
    let refused = |source| CabError::Name { index, name: western(&raw), source };
    let text = match std::str::from_utf8(&raw) {
        Ok(text) => text.to_owned(),
        Err(_) if attributes & NAME_IS_UTF8 != 0 => return Err(refused(NameError::Encoding)),
        Err(_) => western(&raw),
    };
    let name = check_name(&text).map_err(refused)?;
    let member = Member { name, length, attributes: attributes & !NAME_IS_UTF8, modified: filetime(date, time), folder: number, offset };
    Ok(FileEntry { member, continuation })
}

/// Text in the code page of Western Windows (1252). Which code page an old cabinet means is nowhere stated.
fn western(bytes: &[u8]) -> String {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•',
        '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    let character = |byte: &u8| match byte {
        0x80..0xA0 => HIGH.get(usize::from(byte & 0x1F)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
        other => char::from(*other),
    };
    bytes.iter().map(character).collect()
}

/// DOS date and time to 100 ns since 1601, as if they were UTC.
fn filetime(date: u16, time: u16) -> Option<u64> {
    let (year, month, day) = (1980_u64.saturating_add(u64::from(date >> 9)), u64::from(date >> 5 & 0xF), u64::from(date & 0x1F));
    let (hour, minute, second) = (u64::from(time >> 11), u64::from(time >> 5 & 0x3F), u64::from(time & 0x1F).saturating_mul(2));
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month).ok()?.checked_sub(1)?;
    if day == 0 || day > *lengths.get(before)? || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let months: u64 = lengths.iter().take(before).sum();
    let years = year.checked_sub(1601)?;
    let leaps = years.checked_div(4)?.checked_sub(years.checked_div(100)?)?.checked_add(years.checked_div(400)?)?;
    let days = years.checked_mul(365)?.checked_add(leaps)?.checked_add(months)?.checked_add(day)?.checked_sub(1)?;
    let hours = days.checked_mul(24)?.checked_add(hour)?;
    hours.checked_mul(60)?.checked_add(minute)?.checked_mul(60)?.checked_add(second)?.checked_mul(TICKS)
}

#[cfg(test)]
mod tests {
    use super::filetime;

    #[test]
    fn dos_times_become_file_times_verbatim() {
        // 1980-01-01 00:00:00, and 2010-12-22 13:14:58; by `date -u -d ... +%s`.
        assert_eq!(filetime(0x21, 0), Some((315_532_800 + 11_644_473_600) * 10_000_000));
        assert_eq!(filetime(30 << 9 | 12 << 5 | 22, 13 << 11 | 14 << 5 | 29), Some((1_293_023_698 + 11_644_473_600) * 10_000_000));
        assert_eq!(filetime(40 << 9 | 2 << 5 | 29, 0), Some((1_582_934_400 + 11_644_473_600) * 10_000_000));
        assert_eq!(filetime(41 << 9 | 2 << 5 | 29, 0), None);
        assert_eq!(filetime(0, 0), None);
        assert_eq!(filetime(0x21, 24 << 11), None);
    }
}

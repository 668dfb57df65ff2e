//! The ZIP file of a package: its parts, by their decoded names, and their bytes.
//!
//! The directory is read by the `zip` crate (ZIP64 too); the bytes of a part are read here, straight from the source, so that
//! a package inside a bundle is a section of the bundle and many parts can be read at once.

use super::{AppxError, Result, part_error};
use crate::io::{Extent, ReadAt, Reader, Section};
use std::collections::HashMap;
use std::io::{BufReader, Error, ErrorKind, Read, Seek, SeekFrom};
use std::sync::Arc;

/// Most parts of a package. The largest seen have some 20,000.
pub const MAX_MEMBERS: u64 = 200_000;
/// How many times larger than the file its parts may be in all. Deflate reaches 1032; real packages stay below 20.
pub const MAX_EXPANSION: u64 = 200;
/// A file smaller than this may expand to `MAX_EXPANSION` times this, so that tiny test packages are not refused.
const SMALL_FILE: u64 = 1 << 20;
/// Largest part that is read into memory at once, in bytes. Larger ones are read as a stream.
pub const MAX_IN_MEMORY: u64 = 1 << 30;
/// Longest path of a part, in characters: what the Windows API takes in one piece.
const MAX_PATH: usize = 32_000;

/// A part of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Path below the package's folder with `\` between components; percent-encoding is undone.
    pub path: String,
    /// Size in bytes when unpacked.
    pub size: u64,
    /// Size in bytes as it stands in the file.
    pub compressed_size: u64,
    /// True when the bytes stand in the file as they are.
    pub stored: bool,
    /// Where the (compressed) bytes start in the file.
    pub data_start: u64,
}

/// An opened package or bundle, whatever it contains.
pub struct Archive {
    source: Arc<dyn ReadAt>,
    members: Vec<Member>,
    /// Places in `members` by paths in lower case.
    by_path: HashMap<String, usize>,
}

impl Archive {
    /// Reads the directory of a ZIP file.
    ///
    /// # Errors
    /// When it is damaged, has parts with unsafe names, the same name twice (Windows ignores case), compression other than
    /// deflate, or would unpack to far more than a real package.
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Self> {
        // Nothing may stand before the first part: offsets count from the start of the file.
        let config = zip::read::Config { archive_offset: zip::read::ArchiveOffset::Known(0) };
        let mut zip = zip::ZipArchive::with_config(config, BufReader::new(SeekableReader { source: source.clone(), position: 0 }))?;
        let count = zip.len();
        limit("parts", count as u64, MAX_MEMBERS)?;
        let mut members = Vec::with_capacity(count);
        let mut by_path = HashMap::with_capacity(count);
        let mut total = 0_u64;
        for index in 0..count {
            let file = zip.by_index_raw(index)?;
            let name = String::from_utf8_lossy(file.name_raw()).into_owned();
            if file.is_dir() {
                continue;
            }
            let stored = match file.compression() {
                zip::CompressionMethod::Stored => true,
                zip::CompressionMethod::Deflated => false,
                other => return part_error(&name, format!("compressed with {other}; only deflate is used in packages")),
            };
            if file.encrypted() {
                return part_error(&name, "encrypted");
            }
            let Some(data_start) = file.data_start() else { return part_error(&name, "its data cannot be found") };
            let member =
                Member { path: decode_name(&name)?, size: file.size(), compressed_size: file.compressed_size(), stored, data_start };
            if stored && member.size != member.compressed_size {
                return part_error(&name, format!("stored, but {} bytes are to become {}", member.compressed_size, member.size));
            }
            if by_path.insert(member.path.to_lowercase(), members.len()).is_some() {
                return part_error(&name, "appears twice");
            }
            total = total.saturating_add(member.size);
            limit("bytes of parts", total, source.size().max(SMALL_FILE).saturating_mul(MAX_EXPANSION))?;
            members.push(member);
        }
        Ok(Self { source, members, by_path })
    }

    /// The parts, in the order of the file's directory.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The part with this path; case does not matter.
    #[must_use]
    pub fn member(&self, path: &str) -> Option<&Member> {
        self.members.get(*self.by_path.get(&path.to_lowercase())?)
    }

    pub(super) fn require(&self, path: &str) -> Result<&Member> {
        self.member(path).ok_or_else(|| AppxError::Missing { part: path.to_owned() })
    }

    /// The bytes of a part as they stand in the file, as a source of their own. For a stored part these are its contents.
    ///
    /// # Errors
    /// When they reach past the end of the file.
    pub fn section(&self, member: &Member) -> Result<Section> {
        Ok(Section::new(self.source.clone(), [Extent { offset: Some(member.data_start), length: member.compressed_size }])?)
    }

    /// Reads a part from front to back, unpacked. It ends after exactly `member.size` bytes, or with an error.
    ///
    /// # Errors
    /// When the part reaches past the end of the file.
    pub fn reader(&self, member: &Member) -> Result<Box<dyn Read + Send>> {
        let packed = Reader::new(self.section(member)?);
        let unpacked: Box<dyn Read + Send> =
            if member.stored { Box::new(packed) } else { Box::new(flate2::bufread::DeflateDecoder::new(BufReader::new(packed))) };
        Ok(Box::new(Exact { inner: unpacked, left: member.size }))
    }

    /// The contents of a part.
    ///
    /// # Errors
    /// When it is larger than [`MAX_IN_MEMORY`], or damaged.
    pub fn read(&self, member: &Member) -> Result<Vec<u8>> {
        limit("bytes in one part", member.size, MAX_IN_MEMORY)?;
        let mut contents = Vec::new();
        match self.reader(member)?.read_to_end(&mut contents) {
            Ok(_) => Ok(contents),
            Err(error) => part_error(&member.path, error.to_string()),
        }
    }
}

fn limit(what: &'static str, found: u64, limit: u64) -> Result<()> {
    if found > limit { Err(AppxError::Limit { what, found, limit }) } else { Ok(()) }
}

/// Gives exactly as many bytes as announced: neither more nor fewer are let through.
struct Exact {
    inner: Box<dyn Read + Send>,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wrong = |text| Err(Error::new(ErrorKind::InvalidData, text));
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            // Packing tools that flush after every 64 KiB may leave out deflate's final block: then nothing more is there to
            // be read, which the decoder reports as an error.
            return if matches!(self.inner.read(&mut [0]), Ok(1..)) { wrong("unpacks to more bytes than it says") } else { Ok(0) };
        }
        let length = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let (now, _) = buffer.split_at_mut(length);
        let count = self.inner.read(now)?;
        if count == 0 {
            return wrong("unpacks to fewer bytes than it says");
        }
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// A source as the `zip` crate wants it.
struct SeekableReader {
    source: Arc<dyn ReadAt>,
    position: u64,
}

impl Read for SeekableReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.source.size().saturating_sub(self.position)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let (now, _) = buffer.split_at_mut(length);
        self.source.read_exact_at(now, self.position)?;
        self.position = self.position.saturating_add(length as u64);
        Ok(length)
    }
}

impl Seek for SeekableReader {
    fn seek(&mut self, target: SeekFrom) -> std::io::Result<u64> {
        let position = match target {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.source.size().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "seek before the start"))?;
        Ok(self.position)
    }
}

/// The path of a part from its name in the ZIP file: percent-encoding undone, `/` turned to `\`, nothing that Windows could
/// not create or that would leave the package's folder.
fn decode_name(name: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return part_error(name, "has a `%` without two hexadecimal digits in its name"),
        }
    }
    let Ok(path) = String::from_utf8(bytes) else { return part_error(name, "has a name that is not UTF-8") };
    if path.encode_utf16().count() > MAX_PATH {
        return part_error(name, format!("has a name of more than {MAX_PATH} characters"));
    }
    if !path.split('/').all(is_safe_component) {
        return part_error(name, "has a name that Windows cannot create below the package's folder");
    }
    Ok(path.replace('/', "\\"))
}

fn is_safe_component(component: &str) -> bool {
    let forbidden = |character: char| character.is_control() || matches!(character, '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\\');
    !component.is_empty() && !component.ends_with(['.', ' ']) && !component.contains(forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_and_kept_inside() {
        assert_eq!(decode_name("Assets/a%20b/%E0%A4%AE.png").unwrap(), "Assets\\a b\\म.png");
        assert_eq!(decode_name("[Content_Types].xml").unwrap(), "[Content_Types].xml");
        for wrong in ["../a", "a/../b", "/a", "a//b", "a\\b", "c:/a", "%2e%2e/a", "a%5cb", "a%00", "a%2", "%FF", "a.", "a ", ".", "a?b", ""]
        {
            assert!(decode_name(wrong).is_err(), "{wrong}");
        }
    }
}

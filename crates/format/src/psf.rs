//! PSF (patch storage file, `PSTREAM`): the payload of cumulative updates since Windows 10, beside a cabinet or WIM that
//! holds the manifests and the index.
//!
//! A header of 128 bytes, then the sources one after another; which is which stands in a container index
//! ([`crate::container_index`]) that is embedded or, as a rule, delivered as `express.psf.cix.xml`. The first generation
//! (2018) has a text index instead, with the extension `.psm`: [`parse_psm`].
//!
//! Sources: facts of jlevere/psf (header, first stream at 128), Secant1006/PSFExtractor (the `.psm`). No real PSF was at
//! hand when this was written.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;

use crate::container_index::{ContainerIndex, ContainerKind, Delta, IndexError, IndexedFile, Place, Source, SourceKind};
use crate::digest::Digest;
use crate::io::{Extent, ReadAt, Section};
use crate::member_name::{NameError, check_name, fold_name};

/// Bytes before the first source.
pub const HEADER: u64 = 0x80;

/// Bytes of an embedded index at most: that of a cumulative update of Windows 11 has about 100 MB.
pub const LARGEST_INDEX: u64 = 1 << 30;

/// Bytes of a `.psm` at most.
pub const LARGEST_PSM: usize = 256 << 20;

/// Why a PSF or its `.psm` is refused.
#[derive(Debug, thiserror::Error)]
pub enum PsfError {
    /// The source cannot be read.
    #[error("cannot read the PSF")]
    Io(#[from] io::Error),
    /// No `PSTREAM` at the start.
    #[error("no PSF: the file does not begin with PSTREAM")]
    NoSignature,
    /// Only version 2 is known.
    #[error("PSF version {major}.{minor} is unknown")]
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// Bytes outside of the file.
    #[error("{length} bytes at {offset} lie outside of the PSF, which has {size}")]
    OutsideFile {
        /// Where they should begin.
        offset: u64,
        /// How many they are.
        length: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The embedded index is larger than [`LARGEST_INDEX`].
    #[error("the PSF claims an index of {0} bytes")]
    IndexTooLarge(u64),
    /// The embedded index is refused.
    #[error("the index in the PSF is refused")]
    Index(#[from] IndexError),
    /// A source that names a member of an archive, not bytes of a PSF.
    #[error("the source {0:?} is no range of the PSF")]
    NoRange(String),
    /// The bytes are not those stated.
    #[error("the bytes at {offset} of the PSF are not what the index states: {found} instead of {stated}")]
    Mismatch {
        /// Where they begin.
        offset: u64,
        /// The digest stated.
        stated: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// The `.psm` is neither UTF-8 nor UTF-16, or too large.
    #[error("the .psm is no text of at most {LARGEST_PSM} bytes")]
    PsmText,
    /// A line of the `.psm` is not understood.
    #[error("line {line} of the .psm is not understood: {text:?}")]
    PsmLine {
        /// Number, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A name in the `.psm` is no safe path.
    #[error("the .psm has a file of the name {name:?}, which is refused")]
    PsmName {
        /// The name as written.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// Two files in the `.psm` have the same name.
    #[error("the .psm has two files of the name {0:?}")]
    PsmDuplicate(String),
}

/// An opened PSF.
pub struct Psf {
    source: Arc<dyn ReadAt>,
    index: Option<ContainerIndex>,
}

impl Psf {
    /// Reads the header and, where there is one, the embedded index.
    ///
    /// # Errors
    /// See [`PsfError`].
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Self, PsfError> {
        let mut header = [0; 0x30];
        source.read_exact_at(&mut header, 0).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => PsfError::NoSignature,
            _ => PsfError::Io(error),
        })?;
        // 0: magic, with a zero at its end.
        if !header.starts_with(b"PSTREAM\0") {
            return Err(PsfError::NoSignature);
        }
        let field = |offset: usize| {
            let bytes = header.get(offset..).and_then(|rest| rest.first_chunk::<4>());
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        // 8: major version, 2. 10: minor version, 2.
        let version = field(8);
        let (major, minor) = ((version & 0xFFFF) as u16, (version >> 16) as u16);
        if major != 2 {
            return Err(PsfError::Version { major, minor });
        }
        // 12 to 0x27: unknown. 0x28: offset of the embedded index. 0x2C: its length; 0 where there is none.
        let (offset, length) = (u64::from(field(0x28)), u64::from(field(0x2C)));
        let mut psf = Self { source, index: None };
        if length > LARGEST_INDEX {
            return Err(PsfError::IndexTooLarge(length));
        }
        if length > 0 {
            psf.index = Some(ContainerIndex::parse(&psf.read_range(offset, length)?)?);
        }
        Ok(psf)
    }

    /// The embedded index.
    pub fn index(&self) -> Option<&ContainerIndex> {
        self.index.as_ref()
    }

    fn check_range(&self, offset: u64, length: u64) -> Result<(), PsfError> {
        let size = self.source.size();
        match offset.checked_add(length) {
            Some(end) if end <= size => Ok(()),
            _ => Err(PsfError::OutsideFile { offset, length, size }),
        }
    }

    /// Some bytes of the file.
    ///
    /// # Errors
    /// See [`PsfError`].
    pub fn read_range(&self, offset: u64, length: u64) -> Result<Vec<u8>, PsfError> {
        self.check_range(offset, length)?;
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| PsfError::OutsideFile { offset, length, size: self.source.size() })?];
        self.source.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// The bytes of a source of the index, checked against the digest that it states.
    ///
    /// # Errors
    /// See [`PsfError`].
    pub fn read(&self, source: &Source) -> Result<Vec<u8>, PsfError> {
        let Place::Range { offset, length } = source.place else { return Err(not_a_range(source)) };
        let bytes = self.read_range(offset, length)?;
        if let Some(stated) = source.digest {
            let found = stated.of_same_kind(&bytes);
            if found != stated {
                return Err(PsfError::Mismatch { offset, stated, found });
            }
        }
        Ok(bytes)
    }

    /// The bytes of a source of the index as they lie in the file. The digest is not checked.
    ///
    /// # Errors
    /// See [`PsfError`].
    pub fn section(&self, source: &Source) -> Result<Section, PsfError> {
        let Place::Range { offset, length } = source.place else { return Err(not_a_range(source)) };
        self.check_range(offset, length)?;
        Ok(Section::new(self.source.clone(), [Extent { offset: Some(offset), length }])?)
    }
}

fn not_a_range(source: &Source) -> PsfError {
    match &source.place {
        Place::Member(name) => PsfError::NoRange(name.clone()),
        Place::Range { .. } => PsfError::NoRange(String::new()),
    }
}

/// A file of a first-generation PSF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PsmEntry {
    /// Safe relative path with `\` between its parts.
    pub name: String,
    /// Where its bytes lie, and how they are encoded: stored, or PA19 on no basis. No digest is stated.
    pub source: Source,
}

/// Reads the index of a first-generation PSF: sections `[name]`, each with `p0=offset,length` (a PA19 delta on no basis)
/// or `full=offset,length` (stored), in hexadecimal.
///
/// # Errors
/// See [`PsfError`].
pub fn parse_psm(bytes: &[u8]) -> Result<Vec<PsmEntry>, PsfError> {
    if bytes.len() > LARGEST_PSM {
        return Err(PsfError::PsmText);
    }
    let text = crate::file_hashes::decode_text(bytes).ok_or(PsfError::PsmText)?;
    let (mut entries, mut names, mut section) = (Vec::new(), HashSet::new(), None);
    for (line, text) in text.lines().map(str::trim).enumerate() {
        let not_understood = || PsfError::PsmLine { line: line.saturating_add(1), text: text.to_owned() };
        if text.is_empty() || text.starts_with(';') {
            continue;
        }
        if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = Some(check_name(name).map_err(|source| PsfError::PsmName { name: name.to_owned(), source })?);
            continue;
        }
        let (key, value) = text.split_once('=').ok_or_else(not_understood)?;
        let kind = match key.trim() {
            "p0" => SourceKind::Pa19,
            "full" => SourceKind::Raw,
            _ => continue,
        };
        let number = |digits: &str| u64::from_str_radix(digits.trim().trim_start_matches("0x"), 16).map_err(|_| not_understood());
        let (offset, length) = value.split_once(',').ok_or_else(not_understood)?;
        let place = Place::Range { offset: number(offset)?, length: number(length)? };
        let name = section.take().ok_or_else(not_understood)?;
        if !names.insert(fold_name(&name)) {
            return Err(PsfError::PsmDuplicate(name));
        }
        entries.push(PsmEntry { name, source: Source { kind, place, digest: None } });
    }
    Ok(entries)
}

/// A file to be written into a PSF.
#[derive(Debug, Clone, Copy)]
pub struct PsfFile<'a> {
    /// Name in the index.
    pub name: &'a str,
    /// How `carried` is encoded.
    pub kind: SourceKind,
    /// The bytes that the PSF carries.
    pub carried: &'a [u8],
    /// Digest of the file that they make.
    pub digest: Digest,
    /// Length of the file that they make.
    pub length: u64,
    /// Last write, in 100 ns since 1601.
    pub time: u64,
}

/// Writes a PSF and gives its index, which belongs beside it as `express.psf.cix.xml`. Equal files give equal bytes.
///
/// # Errors
/// When the output cannot be written.
pub fn write_psf(container_name: &str, files: &[PsfFile], output: &mut impl Write) -> io::Result<ContainerIndex> {
    let mut header = [0; HEADER as usize];
    for (place, byte) in header.iter_mut().zip(b"PSTREAM\0\x02\0\x02\0") {
        *place = *byte;
    }
    output.write_all(&header)?;
    let mut offset = HEADER;
    let mut indexed = Vec::with_capacity(files.len());
    for (file, id) in files.iter().zip(1_u64..) {
        output.write_all(file.carried)?;
        let length = file.carried.len() as u64;
        let source = Source { kind: file.kind, place: Place::Range { offset, length }, digest: Some(Digest::sha256(file.carried)) };
        indexed.push(IndexedFile {
            id,
            name: file.name.to_owned(),
            length: file.length,
            time: file.time,
            attributes: 0x80,
            digest: file.digest,
            deltas: vec![Delta { source: Some(source), basis: None }],
        });
        offset = offset.saturating_add(length);
    }
    Ok(ContainerIndex {
        name: container_name.to_owned(),
        kind: ContainerKind::Psf,
        length: offset,
        version: 1,
        locations: Vec::new(),
        files: indexed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Vec<u8>, ContainerIndex) {
        let file = |name, carried: &'static [u8]| PsfFile {
            name,
            kind: SourceKind::Raw,
            carried,
            digest: Digest::sha256(carried),
            length: carried.len() as u64,
            time: 7,
        };
        let mut bytes = Vec::new();
        let files = [file("a\\n\\one.dll", b"first"), file("two.dll", b"second file"), file("empty", b"")];
        let index = write_psf("kb.psf", &files, &mut bytes).unwrap();
        (bytes, index)
    }

    #[test]
    fn what_is_written_is_read_by_its_external_index() {
        let (bytes, index) = sample();
        assert_eq!(ContainerIndex::parse(index.to_xml().as_bytes()).unwrap(), index);
        let psf = Psf::open(Arc::new(bytes)).unwrap();
        assert!(psf.index().is_none());
        let read = |number: usize| psf.read(index.files[number].deltas[0].source.as_ref().unwrap()).unwrap();
        assert_eq!([read(0), read(1), read(2)], [b"first".to_vec(), b"second file".to_vec(), Vec::new()]);
        assert_eq!(psf.section(index.files[1].deltas[0].source.as_ref().unwrap()).unwrap().size(), 11);
    }

    #[test]
    fn an_embedded_index_is_found() {
        let (mut bytes, index) = sample();
        let xml = index.to_xml();
        let (offset, length) = (bytes.len() as u32, xml.len() as u32);
        bytes[0x28..0x2C].copy_from_slice(&offset.to_le_bytes());
        bytes[0x2C..0x30].copy_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(xml.as_bytes());
        assert_eq!(Psf::open(Arc::new(bytes.clone())).unwrap().index(), Some(&index));
        bytes.pop();
        assert!(matches!(Psf::open(Arc::new(bytes)), Err(PsfError::OutsideFile { .. })));
    }

    #[test]
    fn damage_is_found() {
        let (mut bytes, index) = sample();
        let source = index.files[1].deltas[0].source.clone().unwrap();
        bytes[0x80 + 6] ^= 1;
        assert!(matches!(Psf::open(Arc::new(bytes.clone())).unwrap().read(&source), Err(PsfError::Mismatch { offset: 0x85, .. })));
        bytes.truncate(0x88);
        assert!(matches!(Psf::open(Arc::new(bytes.clone())).unwrap().read(&source), Err(PsfError::OutsideFile { .. })));
        bytes[8] = 3;
        assert!(matches!(Psf::open(Arc::new(bytes.clone())), Err(PsfError::Version { major: 3, minor: 2 })));
        bytes[0] = b'Q';
        assert!(matches!(Psf::open(Arc::new(bytes)), Err(PsfError::NoSignature)));
        assert!(matches!(Psf::open(Arc::new(b"PSTREAM\0".to_vec())), Err(PsfError::NoSignature)));
    }

    #[test]
    fn the_text_index_of_the_first_generation_is_read() {
        let psm = "[a\\one.dll]\r\np0=80,1f\r\n\r\n[two.dll]\r\nfull=9F,A\r\n";
        let source = |kind, offset, length| Source { kind, place: Place::Range { offset, length }, digest: None };
        let expected = [
            PsmEntry { name: "a\\one.dll".into(), source: source(SourceKind::Pa19, 0x80, 0x1f) },
            PsmEntry { name: "two.dll".into(), source: source(SourceKind::Raw, 0x9f, 0xa) },
        ];
        assert_eq!(parse_psm(psm.as_bytes()).unwrap(), expected);
        let wide: Vec<u8> = "\u{feff}".encode_utf16().chain(psm.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(parse_psm(&wide).unwrap(), expected);
        for (broken, line) in [("p0=1,2", 1), ("[a]\np0=1", 2), ("[a]\np0=x,1", 2), ("[a]\nfull=1,2\nfull=1,2", 3), ("[a]\nnonsense", 2)] {
            assert!(matches!(parse_psm(broken.as_bytes()), Err(PsfError::PsmLine { line: found, .. }) if found == line), "{broken}");
        }
        assert!(matches!(parse_psm(b"[..\\a]\np0=1,2"), Err(PsfError::PsmName { .. })));
        assert!(matches!(parse_psm(b"[a]\np0=1,2\n[A]\np0=1,2"), Err(PsfError::PsmDuplicate(_))));
    }
}

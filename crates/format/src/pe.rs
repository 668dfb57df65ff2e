//! Portable Executable files, as far as servicing asks: for which machine, program or library, which version.
//!
//! Only headers and the resource asked for are read, so a file of any size costs a few small reads.
//!
//! ```text
//! 0x3C u32 offset of "PE\0\0"; COFF header behind it: 0 u16 machine, 2 u16 sections, 16 u16 size of the optional header,
//! 18 u16 characteristics; optional header: 0 u16 magic (0x10B 32-bit, 0x20B 64-bit), 68 u16 subsystem, from 96 (112) the data
//! directories of 8 bytes, the third for resources; sections of 40 bytes: 8 u32 virtual size, 12 u32 address, 16 u32 size,
//! 20 u32 offset. Resources are a tree of directories, type, name, language: 12 u16 named, 14 u16 numbered entries, then
//! entries of u32 id, u32 offset (high bit: directory).
//! ```
//! Source: learn.microsoft.com "PE Format"; "VS_VERSIONINFO structure".

use crate::io::ReadAt;
use std::fmt;

/// Most sections of a file that Windows loads.
const MAX_SECTIONS: u16 = 96;
/// Most entries of a resource directory that are looked through.
const MAX_RESOURCE_ENTRIES: usize = 4096;
/// Largest version resource that is read, in bytes. Real ones have about a kilobyte per language.
const MAX_VERSION_RESOURCE: usize = 64 << 10;
/// `RT_VERSION`.
const VERSION_RESOURCE: u32 = 16;
/// Marks `VS_FIXEDFILEINFO`.
const FIXED_FILE_INFO: [u8; 4] = 0xFEEF_04BD_u32.to_le_bytes();
/// `IMAGE_FILE_DLL`.
const DLL: u16 = 0x2000;

/// Why bytes are no Portable Executable.
#[derive(Debug, thiserror::Error)]
pub enum PeError {
    /// The bytes could not be read.
    #[error("PE file: the {part} cannot be read: {source}")]
    Io {
        /// What was being read.
        part: &'static str,
        /// What the medium said; `UnexpectedEof` when the file ends before.
        source: std::io::Error,
    },
    /// Something other than a PE file.
    #[error("not a PE file: {reason}")]
    NotPe {
        /// Why.
        reason: &'static str,
    },
    /// A resource directory is damaged.
    #[error("PE file: the resources are damaged: {reason}")]
    Resources {
        /// How.
        reason: &'static str,
    },
}

/// The machine that code is for (`IMAGE_FILE_MACHINE_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// `IMAGE_FILE_MACHINE_I386`; also .NET programs for any machine.
    X86,
    /// `IMAGE_FILE_MACHINE_AMD64`.
    X64,
    /// `IMAGE_FILE_MACHINE_ARMNT`.
    Arm,
    /// `IMAGE_FILE_MACHINE_ARM64`; also the ARM64X files of Windows 11.
    Arm64,
    /// `IMAGE_FILE_MACHINE_IA64`.
    Itanium,
    /// Another.
    Other(u16),
}

impl Machine {
    fn from_code(code: u16) -> Self {
        match code {
            0x014C => Self::X86,
            0x8664 => Self::X64,
            0x01C4 => Self::Arm,
            0xAA64 => Self::Arm64,
            0x0200 => Self::Itanium,
            other => Self::Other(other),
        }
    }
}

/// A file version: major, minor, build, revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileVersion(pub [u16; 4]);

impl fmt::Display for FileVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([major, minor, build, revision]) = self;
        write!(formatter, "{major}.{minor}.{build}.{revision}")
    }
}

/// What the headers of a PE file say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeFile {
    /// The machine that its code is for.
    pub machine: Machine,
    /// A library (`.dll`, and most `.sys` are not marked so).
    pub library: bool,
    /// `IMAGE_SUBSYSTEM_…`: 1 native (drivers), 2 windows, 3 console, 10 EFI application, 16 boot application.
    pub subsystem: u16,
    /// Versions of the file and of the product it belongs to, from the fixed part of the version resource.
    pub versions: Option<Versions>,
}

/// The two versions of a version resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Versions {
    /// `dwFileVersion`.
    pub file: FileVersion,
    /// `dwProductVersion`.
    pub product: FileVersion,
}

impl PeFile {
    /// Reads the headers and, if there is one, the first version resource.
    ///
    /// # Errors
    /// When the file is no PE file, ends too early, or its resource directories are damaged.
    pub fn read(source: &dyn ReadAt) -> Result<Self, PeError> {
        let headers = Headers::read(source)?;
        let version = headers.resources()?.map(|resources| resources.first(VERSION_RESOURCE, None, MAX_VERSION_RESOURCE)).transpose()?;
        let versions = version.flatten().as_deref().and_then(fixed_versions);
        Ok(Self {
            machine: Machine::from_code(headers.coff.u16(0)?),
            library: headers.coff.u16(18)? & DLL != 0,
            subsystem: headers.optional.u16(68)?,
            versions,
        })
    }

    /// The bytes of the resource of a type and a name, both numbers, in its first language; `None` when there is none. No more than
    /// `limit` bytes are read.
    ///
    /// # Errors
    /// As [`PeFile::read`].
    pub fn resource(source: &dyn ReadAt, kind: u32, name: u32, limit: usize) -> Result<Option<Vec<u8>>, PeError> {
        let headers = Headers::read(source)?;
        Ok(headers.resources()?.map(|resources| resources.first(kind, Some(name), limit)).transpose()?.flatten())
    }
}

/// Where the headers lie.
struct Headers<'a> {
    coff: Bytes<'a>,
    optional: Bytes<'a>,
    /// The section table.
    table: Bytes<'a>,
    sections: u16,
    /// Offset of the third data directory in the optional header; `None` when it has none.
    resources: Option<u64>,
}

impl<'a> Headers<'a> {
    fn read(source: &'a dyn ReadAt) -> Result<Self, PeError> {
        let file = Bytes { source, base: 0, part: "DOS header" };
        if file.array::<2>(0)? != *b"MZ" {
            return Err(PeError::NotPe { reason: "it does not start with MZ" });
        }
        let header = u64::from(file.u32(0x3C)?);
        let pe = Bytes { base: header, part: "PE header", ..file };
        if pe.array::<4>(0)? != *b"PE\0\0" {
            return Err(PeError::NotPe { reason: "there is no PE header where the DOS header says" });
        }
        let coff = Bytes { base: header.saturating_add(4), ..pe };
        let optional = Bytes { base: header.saturating_add(24), part: "optional header", ..file };
        let optional_size = u64::from(coff.u16(16)?);
        let directories: u64 = match optional.u16(0)? {
            0x10B => 96,
            0x20B => 112,
            _ => return Err(PeError::NotPe { reason: "the optional header is neither 32-bit nor 64-bit" }),
        };
        let sections = coff.u16(2)?;
        if sections > MAX_SECTIONS {
            return Err(PeError::NotPe { reason: "it has more sections than Windows loads" });
        }
        let table = Bytes { base: optional.base.saturating_add(optional_size), part: "section table", ..file };
        // The third directory is there if its end lies inside the optional header.
        let resources = (optional_size >= directories.saturating_add(24)).then(|| directories.saturating_add(16));
        Ok(Self { coff, optional, table, sections, resources })
    }

    fn resources(&self) -> Result<Option<Resources<'a>>, PeError> {
        let address = self.resources.map(|offset| self.optional.u32(offset)).transpose()?.unwrap_or_default();
        Ok((address != 0).then_some(Resources { table: self.table, sections: self.sections, address }))
    }
}

/// A file from some place on.
#[derive(Clone, Copy)]
struct Bytes<'a> {
    source: &'a dyn ReadAt,
    base: u64,
    part: &'static str,
}

impl Bytes<'_> {
    fn fill(&self, buffer: &mut [u8], offset: u64) -> Result<(), PeError> {
        let read = self.source.read_exact_at(buffer, self.base.saturating_add(offset));
        read.map_err(|source| PeError::Io { part: self.part, source })
    }

    fn array<const N: usize>(&self, offset: u64) -> Result<[u8; N], PeError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn u16(&self, offset: u64) -> Result<u16, PeError> {
        self.array(offset).map(u16::from_le_bytes)
    }

    fn u32(&self, offset: u64) -> Result<u32, PeError> {
        self.array(offset).map(u32::from_le_bytes)
    }
}

struct Resources<'a> {
    table: Bytes<'a>,
    sections: u16,
    /// Where the resources are in memory.
    address: u32,
}

impl<'a> Resources<'a> {
    /// Where an address of memory lies in the file.
    fn locate(&self, address: u32) -> Result<Option<Bytes<'a>>, PeError> {
        for index in 0..u64::from(self.sections) {
            let section = Bytes { base: self.table.base.saturating_add(index.saturating_mul(40)), ..self.table };
            let (start, size, offset) = (section.u32(12)?, section.u32(16)?, section.u32(20)?);
            if let Some(inside) = address.checked_sub(start).filter(|inside| *inside < size) {
                let base = u64::from(offset).saturating_add(u64::from(inside));
                return Ok(Some(Bytes { base, part: "resources", ..self.table }));
            }
        }
        Ok(None)
    }

    /// The value of a directory's entry: that with `id`, or the first.
    fn entry(root: &Bytes<'_>, directory: u32, id: Option<u32>) -> Result<Option<u32>, PeError> {
        let start = u64::from(directory);
        let count = |offset| root.u16(start.saturating_add(offset)).map(usize::from);
        let entries = count(12)?.saturating_add(count(14)?);
        for index in 0..entries.min(MAX_RESOURCE_ENTRIES) as u64 {
            let entry = start.saturating_add(16).saturating_add(index.saturating_mul(8));
            if id.is_none_or(|id| root.u32(entry).is_ok_and(|own| own == id)) {
                return root.u32(entry.saturating_add(4)).map(Some);
            }
        }
        Ok(None)
    }

    /// The resource of a type, with a name or the first, in the first language; at most `limit` bytes of it.
    fn first(&self, kind: u32, name: Option<u32>, limit: usize) -> Result<Option<Vec<u8>>, PeError> {
        const SUBDIRECTORY: u32 = 0x8000_0000;
        let Some(root) = self.locate(self.address)? else { return Err(PeError::Resources { reason: "they lie in no section" }) };
        let mut directory = 0;
        // Three levels: type, name, language.
        for id in [Some(kind), name, None] {
            directory = match Self::entry(&root, directory & !SUBDIRECTORY, id)? {
                Some(entry) => entry,
                None if id.is_some() => return Ok(None),
                None => return Err(PeError::Resources { reason: "a directory is empty" }),
            };
        }
        if directory & SUBDIRECTORY != 0 {
            return Err(PeError::Resources { reason: "directories are nested deeper than type, name and language" });
        }
        let leaf = u64::from(directory);
        let (address, size) = (root.u32(leaf)?, root.u32(leaf.saturating_add(4))?);
        let Some(data) = self.locate(address)? else { return Err(PeError::Resources { reason: "a resource lies in no section" }) };
        let length = usize::try_from(size).unwrap_or(usize::MAX).min(limit).min(usize::try_from(data.source.size()).unwrap_or(usize::MAX));
        let mut bytes = vec![0; length];
        data.fill(&mut bytes, 0)?;
        Ok(Some(bytes))
    }
}

/// The fixed part of a version resource: behind the key `VS_VERSION_INFO`, at a multiple of four.
fn fixed_versions(resource: &[u8]) -> Option<Versions> {
    let (words, _) = resource.as_chunks::<4>();
    let start = words.iter().position(|word| *word == FIXED_FILE_INFO)?;
    let version = |index: usize| {
        let word = |index: usize| words.get(start.checked_add(index)?).map(|word| u32::from_le_bytes(*word));
        let halves = |word: u32| [(word >> 16) as u16, (word & 0xFFFF) as u16];
        let ([major, minor], [build, revision]) = (halves(word(index)?), halves(word(index.checked_add(1)?)?));
        Some(FileVersion([major, minor, build, revision]))
    };
    Some(Versions { file: version(2)?, product: version(4)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::FileSource;
    use std::fs::File;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    fn programs_below(folder: &Path, found: &mut Vec<PathBuf>) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                programs_below(&path, found);
            } else if path
                .extension()
                .is_some_and(|extension| ["exe", "dll", "sys", "efi"].iter().any(|known| extension.eq_ignore_ascii_case(known)))
            {
                found.push(path);
            }
        }
    }

    fn programs() -> Vec<PathBuf> {
        let mut found = Vec::new();
        if let Some(folder) = wimwright_testkit::test_data("drivers") {
            programs_below(&folder, &mut found);
        }
        found.sort();
        found
    }

    /// 7-Zip shows the fixed version as the first lines of the resource in text form.
    fn said_by_7z(path: &Path) -> Option<String> {
        let output = Command::new("7z").args(["x", "-so"]).arg(path).arg(".rsrc/version.txt").output().unwrap();
        let (units, _) = output.stdout.as_chunks::<2>();
        let text = String::from_utf16_lossy(&units.iter().map(|unit| u16::from_le_bytes(*unit)).collect::<Vec<_>>());
        let value = |key| {
            Some(text.lines().find_map(|line| line.trim_start_matches('\u{feff}').trim().strip_prefix(key))?.trim().replace(',', "."))
        };
        Some(format!("{} {}", value("FILEVERSION")?, value("PRODUCTVERSION")?))
    }

    #[test]
    fn oracle_7z_sees_the_same_versions() {
        if !wimwright_testkit::oracles(&["7z"]) {
            return;
        }
        let programs = programs();
        let mut compared = 0;
        for path in &programs {
            let file = PeFile::read(&FileSource::new(File::open(path).unwrap()).unwrap()).unwrap();
            let ours = file.versions.map(|versions| format!("{} {}", versions.file, versions.product));
            // 7-Zip does not show every version resource.
            if let Some(theirs) = said_by_7z(path) {
                assert_eq!(ours.as_ref(), Some(&theirs), "{}", path.display());
                compared += 1;
            }
        }
        assert!(programs.is_empty() || compared > 15, "{compared} of {}", programs.len());
    }

    #[test]
    fn real_damaged_programs_give_a_value_or_an_error() {
        let Some(path) = programs().into_iter().next() else { return };
        let mut bytes = std::fs::read(path).unwrap();
        bytes.truncate(1 << 16);
        let header = u32::from_le_bytes(bytes[0x3C..0x40].try_into().unwrap()) as usize;
        for index in (0..0x40).chain(header..header + 600) {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0xFF;
            let _ = PeFile::read(&damaged);
            let _ = PeFile::read(&bytes[..index].to_vec());
        }
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(PeFile::read(&b"#!/bin/sh".to_vec()), Err(PeError::NotPe { .. })));
        assert!(matches!(PeFile::read(&b"MZ".to_vec()), Err(PeError::Io { .. })));
    }
}

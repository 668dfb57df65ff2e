//! `$filehashes$.dat`: digests of the files of a feature on demand or language pack, as they lie in its cabinet.
//!
//! UTF-16 with a byte order mark. Sections `[sha1]` and `[sha256]`, each with one line `relative\path=digest,length` for
//! every file, digest and length in hexadecimal. Compressed manifests are listed by their compressed bytes. Installation
//! does not need it; it is a check of the container that needs no signature. Source: the real packages in our test data.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::digest::Digest;
use crate::member_name::{NameError, check_name, fold_name};

/// Name of the file in a package.
pub const FILE_NAME: &str = "$filehashes$.dat";

/// Bytes at most: a package of 100,000 files needs about 30 MB.
pub const LARGEST: usize = 256 << 20;

/// Why a list of hashes is refused, or a file does not match it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileHashesError {
    /// Neither UTF-16 nor UTF-8, or too large.
    #[error("$filehashes$.dat is no text of at most {LARGEST} bytes")]
    Text,
    /// A section other than `[sha1]` and `[sha256]`.
    #[error("$filehashes$.dat has the unknown section [{0}]")]
    Section(String),
    /// A line is not understood.
    #[error("line {line} of $filehashes$.dat is not understood: {text:?}")]
    Line {
        /// Number, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A name is no safe path.
    #[error("$filehashes$.dat has a file of the name {name:?}, which is refused")]
    Name {
        /// The name as written.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// Two lines of one section have the same name, or the sections differ in its length.
    #[error("$filehashes$.dat contradicts or repeats itself about {0:?}")]
    Duplicate(String),
    /// A file has another length.
    #[error("{name:?} has {found} bytes, not {stated} as $filehashes$.dat states")]
    Length {
        /// Name.
        name: String,
        /// Bytes stated.
        stated: u64,
        /// Bytes found.
        found: u64,
    },
    /// A file has another digest.
    #[error("{name:?} is not what $filehashes$.dat states: {found} instead of {stated}")]
    Mismatch {
        /// Name.
        name: String,
        /// Digest stated.
        stated: Digest,
        /// Digest found.
        found: Digest,
    },
}

/// What is stated of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHash {
    /// Safe relative path with `\` between its parts.
    pub name: String,
    /// Bytes in the cabinet.
    pub length: u64,
    /// Digests of its bytes in the cabinet, one of each algorithm.
    pub digests: Vec<Digest>,
}

impl FileHash {
    /// Compares a file's bytes with what is stated.
    ///
    /// # Errors
    /// [`FileHashesError::Length`] or [`FileHashesError::Mismatch`].
    pub fn verify(&self, bytes: &[u8]) -> Result<(), FileHashesError> {
        let length = bytes.len() as u64;
        if length != self.length {
            return Err(FileHashesError::Length { name: self.name.clone(), stated: self.length, found: length });
        }
        for stated in &self.digests {
            let found = stated.of_same_kind(bytes);
            if found != *stated {
                return Err(FileHashesError::Mismatch { name: self.name.clone(), stated: *stated, found });
            }
        }
        Ok(())
    }
}

/// UTF-16 little-endian with a byte order mark, or UTF-8 with or without one.
pub(crate) fn decode_text(bytes: &[u8]) -> Option<String> {
    if let Some(wide) = bytes.strip_prefix(b"\xff\xfe") {
        let (units, rest) = wide.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        return if rest.is_empty() { String::from_utf16(&units).ok() } else { None };
    }
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
}

/// Reads the list.
///
/// # Errors
/// See [`FileHashesError`].
pub fn parse_file_hashes(bytes: &[u8]) -> Result<Vec<FileHash>, FileHashesError> {
    let text = Some(bytes).filter(|bytes| bytes.len() <= LARGEST).and_then(decode_text).ok_or(FileHashesError::Text)?;
    let (mut hashes, mut numbers, mut algorithm) = (Vec::<FileHash>::new(), HashMap::new(), None);
    for (line, text) in text.lines().map(str::trim).enumerate() {
        if text.is_empty() {
            continue;
        }
        if let Some(section) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            algorithm = match section.to_ascii_lowercase().as_str() {
                "sha1" => Some("SHA1"),
                "sha256" => Some("SHA256"),
                _ => return Err(FileHashesError::Section(section.to_owned())),
            };
            continue;
        }
        let not_understood = || FileHashesError::Line { line: line.saturating_add(1), text: text.to_owned() };
        let parsed = text.rsplit_once('=').and_then(|(name, value)| {
            let (digest, length) = value.split_once(',')?;
            Some((name, Digest::parse(algorithm?, digest.trim())?, u64::from_str_radix(length.trim(), 16).ok()?))
        });
        let (name, digest, length) = parsed.ok_or_else(not_understood)?;
        let name = check_name(name).map_err(|source| FileHashesError::Name { name: name.to_owned(), source })?;
        match numbers.entry(fold_name(&name)) {
            Entry::Vacant(entry) => {
                entry.insert(hashes.len());
                hashes.push(FileHash { name, length, digests: vec![digest] });
            }
            Entry::Occupied(entry) => {
                let repeated =
                    |hash: &FileHash| hash.length != length || hash.digests.iter().any(|other| other.algorithm() == digest.algorithm());
                match hashes.get_mut(*entry.get()) {
                    Some(hash) if !repeated(hash) => hash.digests.push(digest),
                    _ => return Err(FileHashesError::Duplicate(name)),
                }
            }
        }
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "A9993E364706816ABA3E25717850C26C9CD0D89D";

    #[test]
    fn lists_are_read_and_files_checked() {
        let text = format!("\u{feff}[sha1]\r\n\r\na\\b.dll={ABC},3\r\nupdate.mum={ABC},1A\r\n");
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let hashes = parse_file_hashes(&wide).unwrap();
        assert_eq!(hashes, parse_file_hashes(text.as_bytes()).unwrap());
        assert_eq!(hashes[0], FileHash { name: "a\\b.dll".into(), length: 3, digests: vec![Digest::sha1(b"abc")] });
        assert_eq!(hashes[0].verify(b"abc"), Ok(()));
        assert!(matches!(hashes[0].verify(b"abd"), Err(FileHashesError::Mismatch { .. })));
        assert!(matches!(hashes[1].verify(b"abc"), Err(FileHashesError::Length { stated: 26, found: 3, .. })));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let parse = |text: &str| parse_file_hashes(text.as_bytes());
        assert!(matches!(parse(&format!("a={ABC},3")), Err(FileHashesError::Line { line: 1, .. })), "no section");
        assert!(matches!(parse("[sha1]\na=12,3"), Err(FileHashesError::Line { line: 2, .. })));
        assert!(matches!(parse(&format!("[sha1]\na={ABC},x")), Err(FileHashesError::Line { .. })));
        assert!(matches!(parse("[md5]"), Err(FileHashesError::Section(_))));
        assert!(matches!(parse(&format!("[sha1]\n..\\a={ABC},3")), Err(FileHashesError::Name { .. })));
        assert!(matches!(parse(&format!("[sha1]\na={ABC},3\nA={ABC},3")), Err(FileHashesError::Duplicate(_))));
        let sha256 = Digest::sha256(b"abc");
        let both = parse(&format!("[sha1]\na={ABC},3\n[sha256]\nA={sha256},3")).unwrap();
        assert_eq!(both, [FileHash { name: "a".into(), length: 3, digests: vec![Digest::sha1(b"abc"), sha256] }]);
        assert!(matches!(parse(&format!("[sha1]\na={ABC},3\n[sha256]\na={sha256},4")), Err(FileHashesError::Duplicate(_))));
        assert_eq!(parse_file_hashes(b"\xff\xfe\x00"), Err(FileHashesError::Text));
        assert_eq!(parse_file_hashes(b"\xff"), Err(FileHashesError::Text));
    }

    #[test]
    fn real_lists_match_their_packages() {
        for (cabinet, count) in [
            ("OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab", 26),
            ("OpenSSH-19041/OpenSSH-Client-Package~31bf3856ad364e35~amd64~~.cab", 24),
            ("OpenSSH-19041/OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab", 25),
            ("microsoft-windows-internetexplorer-optional-package~31bf3856ad364e35~amd64~~.cab", 19),
            ("Microsoft-Windows-InternetExplorer-Optional-Package~31bf3856ad364e35~amd64~en-US~.cab", 13),
        ] {
            let Some(path) = wimwright_testkit::test_data(&format!("msu_cab/{cabinet}")) else { return };
            let cabinet = crate::cab::Cabinet::open(std::sync::Arc::new(std::fs::read(path).unwrap())).unwrap();
            let find = |name: &str| cabinet.members().iter().position(|member| fold_name(&member.name) == fold_name(name));
            let list = parse_file_hashes(&cabinet.read_member(find(FILE_NAME).unwrap()).unwrap()).unwrap();
            assert_eq!(list.len(), count);
            assert!(list.iter().all(|hash| hash.digests.len() == 2));
            for hash in &list {
                hash.verify(&cabinet.read_member(find(&hash.name).unwrap()).unwrap()).unwrap();
            }
        }
    }
}

//! Names in the two ISO 9660 trees, made from the files' own.

use std::collections::{HashMap, HashSet};

/// Which rules names follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Level 3 of ECMA-119: A-Z, 0-9, `_`, one dot; 30 characters and the dot, directories 31 without a dot.
    Primary,
    /// UTF-16, big-endian, 64 units, none of `* / : ; ? \`.
    Joliet,
}

/// Characters of a file's name without its dot (ECMA-119 7.5.1), and of a directory's (7.6.3, level 3).
const PRIMARY_FILE: usize = 30;
const PRIMARY_DIRECTORY: usize = 31;
/// UTF-16 units of a Joliet name.
const JOLIET: usize = 64;
/// What a file's name ends with.
const VERSION: &str = ";1";

/// Gives the names of one directory, each once.
pub(super) struct NameGiver {
    names: Names,
    taken: HashSet<String>,
    /// The next number for a name that others want too.
    numbers: HashMap<String, u32>,
}

impl NameGiver {
    pub fn new(names: Names) -> Self {
        Self { names, taken: HashSet::new(), numbers: HashMap::new() }
    }

    /// The recorded name for `name`. What does not fit is cut off; what would be there twice gets a number at the end of its stem.
    pub fn give(&mut self, name: &str, directory: bool) -> Vec<u8> {
        let legal: String = name.chars().map(|character| self.legal(character, directory)).collect();
        let (stem, extension) = match legal.rsplit_once('.') {
            Some((stem, extension)) if !directory && !stem.is_empty() => (stem, extension),
            _ => (legal.as_str(), ""),
        };
        let stem = if self.names == Names::Primary { stem.replace('.', "_") } else { stem.to_owned() };
        let (limit, dot) = match (self.names, directory) {
            (Names::Primary, true) => (PRIMARY_DIRECTORY, ""),
            (Names::Primary, false) => (PRIMARY_FILE, "."),
            (Names::Joliet, _) => (JOLIET.saturating_sub(1), if extension.is_empty() { "" } else { "." }),
        };
        let fits = units(&stem).saturating_add(units(extension)) <= limit;
        let whole = fits.then(|| format!("{stem}{dot}{extension}"));
        // Where something has to go, an extension keeps two thirds of the room at most, so that a stem remains to carry a number.
        let extension = cut(extension, limit.saturating_mul(2).div_euclid(3));
        let room = limit.saturating_sub(units(extension));
        let first = whole.unwrap_or_else(|| format!("{}{dot}{extension}", cut(&stem, room)));
        let mut candidate = first.clone();
        // Readers take the dot away that ends a name without extension: then a directory may not have that name.
        while !self.taken.insert(candidate.trim_end_matches('.').to_uppercase()) {
            let number = self.numbers.entry(first.clone()).or_default();
            *number = number.saturating_add(1);
            let suffix = format!("_{number}");
            candidate = format!("{}{suffix}{dot}{extension}", cut(&stem, room.saturating_sub(suffix.len())));
        }
        if !directory {
            candidate.push_str(VERSION);
        }
        match self.names {
            Names::Primary => candidate.into_bytes(),
            Names::Joliet => candidate.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }

    fn legal(&self, character: char, directory: bool) -> char {
        match (self.names, character) {
            (Names::Primary, 'a'..='z') => character.to_ascii_uppercase(),
            (Names::Primary, 'A'..='Z' | '0'..='9' | '_') => character,
            (Names::Primary, '.') if !directory => character,
            (Names::Primary, _) | (Names::Joliet, '*' | '/' | ':' | ';' | '?' | '\\' | '\0'..='\x1F') => '_',
            (Names::Joliet, _) => character,
        }
    }
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The start of `text`, `limit` UTF-16 units at most, without half a surrogate pair.
fn cut(text: &str, limit: usize) -> &str {
    let mut length = 0_usize;
    let end = text.char_indices().find(|(_, character)| {
        length = length.saturating_add(character.len_utf16());
        length > limit
    });
    end.map_or(text, |(at, _)| text.get(..at).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn give(names: Names, list: &[(&str, bool)]) -> Vec<String> {
        let mut giver = NameGiver::new(names);
        let text = |bytes: Vec<u8>| match names {
            Names::Primary => String::from_utf8(bytes).unwrap(),
            Names::Joliet => {
                String::from_utf16(&bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit)).collect::<Vec<_>>()).unwrap()
            }
        };
        list.iter().map(|(name, directory)| text(giver.give(name, *directory))).collect()
    }

    #[test]
    fn primary_names_are_legal_and_unique() {
        let long = "Microsoft-Windows-Foundation-Package~31bf3856ad364e35~amd64~~.cab";
        let given = give(
            Names::Primary,
            &[("install.wim", false), ("a.b.c", false), ("en-us", true), ("v1.0", true), (".rc", false), (long, false), (long, false)],
        );
        let wanted = [
            "INSTALL.WIM;1",
            "A_B.C;1",
            "EN_US",
            "V1_0",
            "_RC.;1",
            "MICROSOFT_WINDOWS_FOUNDATIO.CAB;1",
            "MICROSOFT_WINDOWS_FOUNDAT_1.CAB;1",
        ];
        assert_eq!(given, wanted);
        assert_eq!(give(Names::Primary, &[("ä", true), ("ö", false)]), ["_", "__1.;1"]);
    }

    #[test]
    fn joliet_names_keep_what_they_can() {
        let long = "x".repeat(70);
        let given = give(
            Names::Joliet,
            &[("Ünïcode 😀.txt", false), ("a:b", true), (&long, false), (&long, false), (&format!("{long}.cab"), false)],
        );
        assert_eq!(given[..2], ["Ünïcode 😀.txt;1", "a_b"]);
        assert_eq!(given[2], format!("{};1", "x".repeat(63)));
        assert_eq!(given[3], format!("{}_1;1", "x".repeat(61)));
        assert_eq!(given[4], format!("{}.cab;1", "x".repeat(60)));
        // What fits stays as it is, however long what stands behind its dot is.
        let extension = "y".repeat(61);
        let given = give(Names::Joliet, &[(&format!("a.{extension}"), false), (&format!("A.{extension}"), false)]);
        assert_eq!(given, [format!("a.{extension};1"), format!("A_1.{};1", "y".repeat(42))]);
    }
}

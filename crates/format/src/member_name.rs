//! Names inside packages, made safe: a relative Windows path that stays below the folder it is extracted to.
//!
//! Cabinets, container indexes and PSF indexes carry names that a hostile package may choose freely. What Windows would
//! not take as the name of an ordinary file is refused here, once, so that no later layer has to.

use crate::upcase::upcase;

/// Longest name that is accepted, in bytes: the longest path of Windows (32,767 UTF-16 units) is not reached by any package.
pub const LONGEST_NAME: usize = 4096;

/// Names that are devices in every folder, with any extension
/// (learn.microsoft.com, "Naming Files, Paths, and Namespaces").
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No name, or an empty folder name: `a\\b`, `a\`.
    #[error("a part of the name is empty")]
    Empty,
    /// Longer than [`LONGEST_NAME`].
    #[error("the name is longer than {LONGEST_NAME} bytes")]
    TooLong,
    /// Begins at a root: `\a`, `\\server\a`.
    #[error("the path is absolute")]
    Absolute,
    /// `.` or `..`.
    #[error("the path has a relative part")]
    Relative,
    /// A character that no Windows name has. A colon would name a drive or an alternate data stream.
    #[error("the name has the character {0:?}")]
    Character(char),
    /// Windows drops trailing dots and spaces, so the name would mean another file.
    #[error("a part of the name ends in a dot or a space")]
    TrailingDotOrSpace,
    /// `CON`, `nul.txt`, `COM1`.
    #[error("a part of the name is a device")]
    Device,
    /// Stated to be UTF-8 and is not.
    #[error("the name is not valid UTF-8")]
    Encoding,
}

/// Checks a name and gives it with `\` between its parts; `/` is taken as a separator too.
///
/// # Errors
/// See [`NameError`].
pub fn check_name(name: &str) -> Result<String, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > LONGEST_NAME {
        return Err(NameError::TooLong);
    }
    if name.starts_with(['\\', '/']) {
        return Err(NameError::Absolute);
    }
    let mut checked = String::with_capacity(name.len());
    for part in name.split(['\\', '/']) {
        if !checked.is_empty() {
            checked.push('\\');
        }
        check_part(part)?;
        checked.push_str(part);
    }
    Ok(checked)
}

/// The name as Windows compares it: names that fold alike are one file.
#[must_use]
pub fn fold_name(name: &str) -> Vec<u16> {
    name.encode_utf16().map(upcase).collect()
}

fn check_part(part: &str) -> Result<(), NameError> {
    if part.is_empty() {
        return Err(NameError::Empty);
    }
    if part == "." || part == ".." {
        return Err(NameError::Relative);
    }
    if let Some(character) = part.chars().find(|character| *character < ' ' || r#"<>:"|?*"#.contains(*character)) {
        return Err(NameError::Character(character));
    }
    if part.ends_with(['.', ' ']) {
        return Err(NameError::TrailingDotOrSpace);
    }
    let stem = part.split('.').next().unwrap_or_default().trim_end_matches(' ');
    let numbered = || {
        let mut characters = stem.chars().rev();
        let number = characters.next().is_some_and(|last| last.is_ascii_digit() || "¹²³".contains(last));
        let port: String = characters.collect();
        number && (port.eq_ignore_ascii_case("MOC") || port.eq_ignore_ascii_case("TPL"))
    };
    if DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device)) || numbered() {
        return Err(NameError::Device);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for name in [
            "update.mum",
            "$filehashes$.dat",
            r"amd64_openssh_31bf_10.0.1_none_46157a50\f\ssh.exe",
            "..a",
            "common",
            "COM10",
            "com",
            "console.txt",
            "auxiliary",
            "mülltonne",
        ] {
            assert_eq!(check_name(name), Ok(name.to_owned()));
        }
        assert_eq!(check_name("a/b\\c"), Ok(r"a\b\c".to_owned()));
    }

    #[test]
    fn names_that_leave_the_folder_or_are_no_files_are_refused() {
        use NameError::*;
        for (name, error) in [
            ("", Empty),
            (r"a\\b", Empty),
            (r"a\", Empty),
            (r"\a", Absolute),
            ("/etc/passwd", Absolute),
            (r"\\server\share", Absolute),
            (r"..\a", Relative),
            ("a/../b", Relative),
            (r".\a", Relative),
            (r"C:\a", Character(':')),
            ("a:stream", Character(':')),
            ("a\nb", Character('\n')),
            ("a?", Character('?')),
            ("a.", TrailingDotOrSpace),
            (r".. \a", TrailingDotOrSpace),
            ("con", Device),
            (r"a\NUL.txt", Device),
            ("Com1.tar.gz", Device),
            ("LPT²", Device),
            ("aux .h", Device),
            ("CONIN$", Device),
        ] {
            assert_eq!(check_name(name), Err(error), "{name:?}");
        }
        assert_eq!(check_name(&"a".repeat(LONGEST_NAME + 1)), Err(TooLong));
    }
}

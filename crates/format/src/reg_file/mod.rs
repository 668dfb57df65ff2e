//! Registry scripts: `.reg` files and the `Registry.xml` of Group Policy Preferences.
//!
//! Both are read into the same [`Change`]s: what is to happen, with full paths from the root (`HKEY_LOCAL_MACHINE\…`),
//! in the order of the script. Which hive a root belongs to, and what `CurrentControlSet` is, is for others to say.
//! [`export()`] writes a part of a hive as a `.reg` file.
//!
//! Nothing in a script is skipped silently: what cannot be understood is an error with its line. Sources stand in
//! `docs/formats/reg_file.md`.

mod export;
mod parse;
mod preferences;
#[cfg(test)]
mod tests;
mod text;

use thiserror::Error as ThisError;

use crate::regf::ValueKind;

pub use export::{encode, export};
pub use parse::parse;
pub use preferences::parse_preferences;

/// One thing that a registry script does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The key is made, with all above it, where it is missing.
    CreateKey {
        /// Full path: `HKEY_LOCAL_MACHINE\SOFTWARE\…`.
        path: String,
    },
    /// The key goes, with all below it, where it exists.
    DeleteKey {
        /// Full path.
        path: String,
    },
    /// The value is set; its key is made where it is missing.
    SetValue {
        /// Full path of the key.
        path: String,
        /// Name of the value; empty for the default value.
        name: String,
        /// Type of the data.
        kind: ValueKind,
        /// The data as it is stored.
        data: Vec<u8>,
    },
    /// The value goes where it exists.
    DeleteValue {
        /// Full path of the key.
        path: String,
        /// Name of the value; empty for the default value.
        name: String,
    },
}

impl Change {
    /// The full path of the key that it is about.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::CreateKey { path } | Self::DeleteKey { path } | Self::SetValue { path, .. } | Self::DeleteValue { path, .. } => path,
        }
    }
}

/// Why a script cannot be read. Lines count from 1.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The file is no text in a known encoding.
    #[error("the file is not text: {0}")]
    Encoding(&'static str),
    /// The first line is not that of a `.reg` file.
    #[error("line {line}: a .reg file begins with \"Windows Registry Editor Version 5.00\" or \"REGEDIT4\", not {found:?}")]
    Header {
        /// The line.
        line: usize,
        /// What stands there.
        found: String,
    },
    /// A line that means nothing.
    #[error("line {line}: {what}")]
    Syntax {
        /// The line.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A key under no root of the registry.
    #[error("line {line}: {path:?} is under no root of the registry (HKEY_LOCAL_MACHINE, HKEY_CURRENT_USER, …)")]
    Root {
        /// The line.
        line: usize,
        /// The path as written.
        path: String,
    },
    /// The XML cannot be parsed.
    #[error("the XML cannot be read")]
    Xml(#[from] roxmltree::Error),
    /// The XML is something else.
    #[error("the XML is no RegistrySettings document: its root is {root:?}")]
    NotPreferences {
        /// Name of the root element.
        root: String,
    },
    /// A preference that depends on the machine it is applied to, or that is not understood.
    #[error("line {line}: {what}")]
    Preference {
        /// The line of the element.
        line: usize,
        /// What is not possible.
        what: String,
    },
}

/// The roots of the registry, with their abbreviations.
const ROOTS: [(&str, &str); 5] = [
    ("HKEY_LOCAL_MACHINE", "HKLM"),
    ("HKEY_CURRENT_USER", "HKCU"),
    ("HKEY_CLASSES_ROOT", "HKCR"),
    ("HKEY_USERS", "HKU"),
    ("HKEY_CURRENT_CONFIG", "HKCC"),
];

/// A path with its root's full name and without empty parts. `None` when it is under no root.
fn normalize_path(path: &str) -> Option<String> {
    let mut parts = path.split('\\').filter(|part| !part.is_empty());
    let first = parts.next()?;
    let is_root = |(name, short): &&(&str, &str)| first.eq_ignore_ascii_case(name) || first.eq_ignore_ascii_case(short);
    let (root, _) = ROOTS.iter().find(is_root)?;
    Some(parts.fold((*root).to_owned(), |path, part| path + "\\" + part))
}

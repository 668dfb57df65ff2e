//! The registry of an image: which file holds which part of it, and how a path that a person writes leads there.

use thiserror::Error;
use wimwright_format::regf::{self, Data, Hive};

/// A hive file of a Windows image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HiveFile {
    /// `HKEY_LOCAL_MACHINE\SOFTWARE`.
    Software,
    /// `HKEY_LOCAL_MACHINE\SYSTEM`.
    System,
    /// `HKEY_LOCAL_MACHINE\COMPONENTS`, loaded by the servicing stack only.
    Components,
    /// `HKEY_LOCAL_MACHINE\DRIVERS`, loaded by the servicing stack only.
    Drivers,
    /// `HKEY_LOCAL_MACHINE\SAM`.
    Sam,
    /// `HKEY_LOCAL_MACHINE\SECURITY`.
    Security,
    /// The registry of the LocalSystem account: `HKEY_USERS\S-1-5-18`.
    LocalSystem,
    /// The registry that each new user's profile starts from: `HKEY_CURRENT_USER` of an image.
    DefaultUser,
    /// The template of the boot configuration: `HKEY_LOCAL_MACHINE\BCD00000000`.
    Bcd,
}

impl HiveFile {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Software,
        Self::System,
        Self::Components,
        Self::Drivers,
        Self::Sam,
        Self::Security,
        Self::LocalSystem,
        Self::DefaultUser,
        Self::Bcd,
    ];

    /// Where the file stands in an image.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Software => "/Windows/System32/config/SOFTWARE",
            Self::System => "/Windows/System32/config/SYSTEM",
            Self::Components => "/Windows/System32/config/COMPONENTS",
            Self::Drivers => "/Windows/System32/config/DRIVERS",
            Self::Sam => "/Windows/System32/config/SAM",
            Self::Security => "/Windows/System32/config/SECURITY",
            Self::LocalSystem => "/Windows/System32/config/DEFAULT",
            Self::DefaultUser => "/Users/Default/NTUSER.DAT",
            Self::Bcd => "/Windows/System32/config/BCD-Template",
        }
    }

    /// The key under which its root appears in a path.
    #[must_use]
    pub fn mount_point(self) -> &'static str {
        match self {
            Self::Software => r"HKLM\SOFTWARE",
            Self::System => r"HKLM\SYSTEM",
            Self::Components => r"HKLM\COMPONENTS",
            Self::Drivers => r"HKLM\DRIVERS",
            Self::Sam => r"HKLM\SAM",
            Self::Security => r"HKLM\SECURITY",
            Self::LocalSystem => r"HKU\S-1-5-18",
            Self::DefaultUser => "HKCU",
            Self::Bcd => r"HKLM\BCD00000000",
        }
    }
}

/// A key in a hive of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryPath {
    /// The hive.
    pub hive: HiveFile,
    /// The key below the hive's root, with backslashes; empty for the root.
    pub key: String,
}

/// Why a text is not a registry path of an image.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RegistryPathError {
    /// The root is unknown.
    #[error("`{path}`: an image has no registry root `{root}`; use HKLM, HKCR, HKCU or HKU")]
    Root {
        /// The whole path.
        path: String,
        /// Its first component.
        root: String,
    },
    /// A root without a hive below it.
    #[error("`{path}` names no hive: an image has {known}")]
    NoHive {
        /// The whole path.
        path: String,
        /// The hives there are.
        known: String,
    },
    /// A key name that the registry cannot store.
    #[error("`{path}`: a key name of more than 255 UTF-16 units")]
    NameTooLong {
        /// The whole path.
        path: String,
    },
}

impl RegistryPath {
    /// Reads a path such as `HKLM\SOFTWARE\Contoso` or `HKEY_CURRENT_USER\Software`.
    ///
    /// As in OSDBuilder, `HKEY_CURRENT_USER` and `HKEY_USERS\.DEFAULT` mean the default user's hive; the account
    /// LocalSystem, which Windows shows as `.DEFAULT`, is `HKEY_USERS\S-1-5-18`. `HKEY_CLASSES_ROOT` is `SOFTWARE\Classes`.
    ///
    /// # Errors
    /// Unknown roots and hives, names that are too long.
    pub fn parse(path: &str) -> Result<Self, RegistryPathError> {
        // Names of keys may have slashes (`Channels\OpenSSH/Admin`); a path without any backslash was typed with slashes.
        let separator = if path.contains('\\') { '\\' } else { '/' };
        let mut parts = path.split(separator).filter(|part| !part.is_empty());
        let root = parts.next().unwrap_or_default().to_ascii_uppercase();
        let root = root.trim_end_matches(':');
        let (hive, prefix) = match root {
            "HKEY_CURRENT_USER" | "HKCU" => (HiveFile::DefaultUser, None),
            "HKEY_CLASSES_ROOT" | "HKCR" => (HiveFile::Software, Some("Classes")),
            "HKEY_LOCAL_MACHINE" | "HKLM" | "HKEY_USERS" | "HKU" => {
                let short = if root.ends_with('M') || root.ends_with("MACHINE") { "HKLM" } else { "HKU" };
                let name = parts.next().unwrap_or_default();
                (Self::hive_below(short, name).ok_or_else(|| Self::no_hive(path, short))?, None)
            }
            other => return Err(RegistryPathError::Root { path: path.to_owned(), root: other.to_owned() }),
        };
        let names: Vec<_> = prefix.into_iter().chain(parts).collect();
        if names.iter().any(|name| name.encode_utf16().count() > 255) {
            return Err(RegistryPathError::NameTooLong { path: path.to_owned() });
        }
        Ok(Self { hive, key: names.join("\\") })
    }

    fn hive_below(root: &str, name: &str) -> Option<HiveFile> {
        if root == "HKU" && name.eq_ignore_ascii_case(".DEFAULT") {
            return Some(HiveFile::DefaultUser);
        }
        HiveFile::ALL
            .into_iter()
            .find(|hive| hive.mount_point().split_once('\\').is_some_and(|(mount, last)| mount == root && last.eq_ignore_ascii_case(name)))
    }

    fn no_hive(path: &str, root: &str) -> RegistryPathError {
        let known: Vec<_> = HiveFile::ALL.into_iter().map(HiveFile::mount_point).filter(|mount| mount.starts_with(root)).collect();
        RegistryPathError::NoHive { path: path.to_owned(), known: known.join(", ") }
    }

    /// The same key with `CurrentControlSet`, which only exists in a running Windows, replaced by the control set that the
    /// SYSTEM hive will start with (`Select\Default`; 1 when the hive does not say).
    ///
    /// # Errors
    /// The hive is damaged.
    pub fn resolved(&self, hive: &Hive) -> Result<String, regf::Error> {
        const ALIAS: &str = "CurrentControlSet";
        let (first, rest) = self.key.split_at(self.key.find('\\').unwrap_or(self.key.len()));
        if self.hive != HiveFile::System || !first.eq_ignore_ascii_case(ALIAS) {
            return Ok(self.key.clone());
        }
        let default = number(hive, "Select", "Default")?.filter(|set| (1..=999).contains(set)).unwrap_or(1);
        Ok(format!("ControlSet{default:03}{rest}"))
    }
}

/// A value decoded by its type; `None` when the key or the value is not there. The key is named from the hive's root.
///
/// # Errors
/// The hive is damaged.
pub fn value(hive: &Hive, key: &str, name: &str) -> Result<Option<Data>, regf::Error> {
    let Some(key) = hive.open(key)? else { return Ok(None) };
    let Some(value) = hive.value(key, name)? else { return Ok(None) };
    Ok(Some(Data::decode(value.kind(), &value.data()?)))
}

/// The same for a text (REG_SZ or REG_EXPAND_SZ).
///
/// # Errors
/// The hive is damaged.
pub fn text(hive: &Hive, key: &str, name: &str) -> Result<Option<String>, regf::Error> {
    Ok(match value(hive, key, name)? {
        Some(Data::Text(text) | Data::ExpandableText(text)) => Some(text),
        _ => None,
    })
}

/// The same for a number (REG_DWORD).
///
/// # Errors
/// The hive is damaged.
pub fn number(hive: &Hive, key: &str, name: &str) -> Result<Option<u32>, regf::Error> {
    Ok(match value(hive, key, name)? {
        Some(Data::Dword(number)) => Some(number),
        _ => None,
    })
}

/// The names of a key's subkeys; none when the key is not there.
///
/// # Errors
/// The hive is damaged.
pub fn subkey_names(hive: &Hive, key: &str) -> Result<Vec<String>, regf::Error> {
    match hive.open(key)? {
        Some(key) => hive.subkeys(key)?.into_iter().map(|subkey| hive.name(subkey)).collect(),
        None => Ok(Vec::new()),
    }
}

impl std::fmt::Display for RegistryPath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.hive.mount_point())?;
        if self.key.is_empty() { Ok(()) } else { write!(formatter, "\\{}", self.key) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_lead_to_hives() {
        let parse = |path: &str| RegistryPath::parse(path).unwrap().to_string();
        assert_eq!(parse(r"HKEY_LOCAL_MACHINE\software\Contoso"), r"HKLM\SOFTWARE\Contoso");
        assert_eq!(parse(r"HKLM:\SYSTEM\CurrentControlSet"), r"HKLM\SYSTEM\CurrentControlSet");
        assert_eq!(parse(r"HKCR\.txt"), r"HKLM\SOFTWARE\Classes\.txt");
        assert_eq!(parse(r"HKEY_USERS\.Default\Software"), r"HKCU\Software");
        assert_eq!(parse(r"HKU\S-1-5-18\Software"), r"HKU\S-1-5-18\Software");
        assert_eq!(parse(r"HKLM\BCD00000000\Objects"), r"HKLM\BCD00000000\Objects");
        assert_eq!(parse(r"HKCU"), "HKCU");
        assert_eq!(parse("HKLM/SOFTWARE/Contoso"), r"HKLM\SOFTWARE\Contoso");
        assert_eq!(parse(r"HKLM\SOFTWARE\Channels\OpenSSH/Admin"), r"HKLM\SOFTWARE\Channels\OpenSSH/Admin");
    }

    #[test]
    fn unknown_roots_say_what_there_is() {
        assert!(matches!(RegistryPath::parse(r"HKXX\a"), Err(RegistryPathError::Root { .. })));
        assert!(RegistryPath::parse(r"HKLM\Foo").unwrap_err().to_string().contains(r"HKLM\SOFTWARE"));
    }
}

//! Who a package is: names, versions, architectures.

use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Why a text is no part of a package's identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not four numbers.
    #[error("`{text}` is no package version: it has four numbers below 65536, like 1.0.0.0")]
    Version {
        /// What was read.
        text: String,
    },
    /// Not an architecture of app packages.
    #[error("`{text}` is no package architecture: x86, x64, arm, arm64, x86a64 or neutral")]
    Architecture {
        /// What was read.
        text: String,
    },
    /// Not a package name or resource id.
    #[error("`{text}` is no package name: letters, digits, `.` and `-`, {limit} at most")]
    Name {
        /// What was read.
        text: String,
        /// How long it may be.
        limit: usize,
    },
    /// Not five parts joined by `_`.
    #[error("`{text}` is no package full name: Name_Version_Architecture_ResourceId_PublisherId")]
    FullName {
        /// What was read.
        text: String,
    },
    /// An attribute is missing.
    #[error("the identity has no {attribute}")]
    Missing {
        /// Its name.
        attribute: &'static str,
    },
}

/// Longest package name; the schema's limit.
const MAX_NAME: usize = 50;
/// Longest resource id; the schema's limit.
const MAX_RESOURCE_ID: usize = 30;

fn excerpt(text: &str) -> String {
    text.chars().take(200).collect()
}

/// A package version: major, minor, build, revision. Compared number by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub [u16; 4]);

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([major, minor, build, revision]) = self;
        write!(formatter, "{major}.{minor}.{build}.{revision}")
    }
}

impl FromStr for Version {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let numbers: Option<Vec<u16>> = text.split('.').take(5).map(|number| number.parse().ok()).collect();
        let numbers = numbers.and_then(|numbers| <[u16; 4]>::try_from(numbers).ok());
        let digits_only = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        numbers.filter(|_| digits_only).map(Self).ok_or_else(|| IdentityError::Version { text: excerpt(text) })
    }
}

/// The architecture of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// 32-bit Intel.
    X86,
    /// 64-bit AMD and Intel.
    X64,
    /// 32-bit ARM.
    Arm,
    /// 64-bit ARM.
    Arm64,
    /// 32-bit Intel code for ARM64 machines only.
    X86OnArm64,
    /// Any.
    Neutral,
}

const ARCHITECTURES: [(Architecture, &str); 6] = [
    (Architecture::X86, "x86"),
    (Architecture::X64, "x64"),
    (Architecture::Arm, "arm"),
    (Architecture::Arm64, "arm64"),
    (Architecture::X86OnArm64, "x86a64"),
    (Architecture::Neutral, "neutral"),
];

impl Architecture {
    /// Architectures of packages that run on a machine of this one, best first.
    /// Source: the list that Microsoft's own imaging tools use for x86, x64 and arm; arm64 Windows also runs x64 since Windows 11.
    #[must_use]
    pub fn runs(self) -> &'static [Self] {
        match self {
            Self::X86 | Self::X86OnArm64 => &[Self::X86, Self::Neutral],
            Self::X64 => &[Self::X64, Self::Neutral, Self::X86],
            Self::Arm => &[Self::Arm, Self::Neutral],
            Self::Arm64 => &[Self::Arm64, Self::Neutral, Self::Arm, Self::X64, Self::X86OnArm64, Self::X86],
            Self::Neutral => &[Self::Neutral],
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ARCHITECTURES.iter().find(|(architecture, _)| architecture == self).map_or("", |(_, name)| name);
        formatter.write_str(name)
    }
}

impl FromStr for Architecture {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let found = ARCHITECTURES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        found.map(|(architecture, _)| *architecture).ok_or_else(|| IdentityError::Architecture { text: excerpt(text) })
    }
}

/// The identity of a package or bundle, as its manifest gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Such as `Microsoft.WindowsCalculator`.
    pub name: String,
    /// The subject of the signing certificate, such as `CN=Microsoft Corporation, O=…`.
    pub publisher: String,
    /// The version.
    pub version: Version,
    /// The architecture; `neutral` where the manifest has none, and for bundles.
    pub architecture: Architecture,
    /// Empty for main packages, `~` for bundles, `split.scale-125` and the like for resource packages.
    pub resource_id: String,
}

/// The resource id in the full name of a bundle.
pub(super) const BUNDLE_RESOURCE_ID: &str = "~";

impl Identity {
    /// Checks the name and resource id, which become parts of paths.
    pub(super) fn checked(self) -> Result<Self, IdentityError> {
        check_name(&self.name, MAX_NAME)?;
        if !self.resource_id.is_empty() && self.resource_id != BUNDLE_RESOURCE_ID {
            check_name(&self.resource_id, MAX_RESOURCE_ID)?;
        }
        Ok(self)
    }

    /// The full name, which names the package's folder.
    #[must_use]
    pub fn full_name(&self) -> PackageFullName {
        PackageFullName {
            name: self.name.clone(),
            version: self.version,
            architecture: self.architecture,
            resource_id: self.resource_id.clone(),
            publisher_id: publisher_id(&self.publisher),
        }
    }

    /// The family name, the same for all versions and architectures.
    #[must_use]
    pub fn family_name(&self) -> String {
        self.full_name().family_name()
    }
}

fn check_name(text: &str, limit: usize) -> Result<(), IdentityError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-');
    let names_a_folder = !text.starts_with('.') && !text.ends_with('.') && !text.contains("..");
    if text.is_empty() || text.len() > limit || !text.chars().all(allowed) || !names_a_folder {
        return Err(IdentityError::Name { text: excerpt(text), limit });
    }
    Ok(())
}

/// A full name taken apart: `Name_Version_Architecture_ResourceId_PublisherId`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageFullName {
    /// The package name.
    pub name: String,
    /// The version.
    pub version: Version,
    /// The architecture.
    pub architecture: Architecture,
    /// The resource id, often empty.
    pub resource_id: String,
    /// The 13 characters made of the publisher.
    pub publisher_id: String,
}

impl PackageFullName {
    /// `Name_PublisherId`.
    #[must_use]
    pub fn family_name(&self) -> String {
        format!("{}_{}", self.name, self.publisher_id)
    }

    /// True for the full name of a bundle.
    #[must_use]
    pub fn is_bundle(&self) -> bool {
        self.resource_id == BUNDLE_RESOURCE_ID
    }
}

impl fmt::Display for PackageFullName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}_{}_{}_{}_{}", self.name, self.version, self.architecture, self.resource_id, self.publisher_id)
    }
}

impl FromStr for PackageFullName {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let parts: Vec<&str> = text.split('_').take(6).collect();
        let [name, version, architecture, resource_id, publisher_id] = parts.as_slice() else {
            return Err(IdentityError::FullName { text: excerpt(text) });
        };
        let hash_like = publisher_id.len() == PUBLISHER_ID_LENGTH && publisher_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !hash_like {
            return Err(IdentityError::FullName { text: excerpt(text) });
        }
        // The name and resource id end up in paths like those of a manifest.
        let identity = Identity {
            name: (*name).to_owned(),
            publisher: String::new(),
            version: version.parse()?,
            architecture: architecture.parse()?,
            resource_id: (*resource_id).to_owned(),
        }
        .checked()?;
        Ok(Self {
            name: identity.name,
            version: identity.version,
            architecture: identity.architecture,
            resource_id: identity.resource_id,
            publisher_id: (*publisher_id).to_owned(),
        })
    }
}

const PUBLISHER_ID_LENGTH: usize = 13;

/// The 13 characters that stand for a publisher in full and family names: the first 64 bits of the SHA-256 of its UTF-16LE
/// text and a zero bit, in base 32 with the digits of Crockford's alphabet.
///
/// Source: what `PackageFamilyNameFromId` returns; described by the MSIX team ("Package identity", Inside MSIX) and others.
#[must_use]
pub fn publisher_id(publisher: &str) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let bytes: Vec<u8> = publisher.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bits = Sha256::digest(&bytes).iter().take(8).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte)) << 1;
    (0..PUBLISHER_ID_LENGTH)
        .rev()
        .map(|digit| {
            let value = bits >> digit.saturating_mul(5) & 31;
            usize::try_from(value).ok().and_then(|value| DIGITS.get(value)).copied().map_or('0', char::from)
        })
        .collect()
}

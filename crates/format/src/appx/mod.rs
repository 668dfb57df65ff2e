//! App packages (`.appx`, `.msix`) and bundles of them (`.appxbundle`, `.msixbundle`).
//!
//! A package is a ZIP file in the shape of the Open Packaging Conventions: part names are percent-encoded, with `/`. Three
//! parts carry its meaning: `AppxManifest.xml` says what it is, `AppxBlockMap.xml` has a hash of every 64 KiB of every file,
//! and `AppxSignature.p7x` signs the hash of that map. A bundle holds whole packages, stored without compression, and its own
//! manifest with the place of each; a *flat* bundle only names them.
//!
//! A package is identified by name, version, architecture, resource id and publisher. Two texts are made of that: the full
//! name (`Name_Version_Architecture_ResourceId_PublisherId`) names its folder in `Program Files\WindowsApps`, the family
//! name (`Name_PublisherId`) is the same for all versions.
//!
//! Signatures are not checked here. Windows does so when it registers the app.
//!
//! Source: learn.microsoft.com "Package manifest schema reference", "App package block map schema", "App package architecture";
//! what provisioning leaves on disk: `docs/formats/appx.md`.

mod archive;
mod block_map;
mod bundle;
mod identity;
mod license;
mod manifest;
mod package;
pub mod provisioning;
#[cfg(test)]
mod tests;

pub use archive::{Archive, MAX_EXPANSION, MAX_IN_MEMORY, MAX_MEMBERS, Member};
pub use bundle::{BundleManifest, BundledPackage, PackageKind};
pub use identity::{Architecture, Identity, IdentityError, PackageFullName, Version, publisher_id};
pub use license::License;
pub use manifest::{Application, Manifest, PackageDependency, Qualifiers, TargetDeviceFamily};
pub use package::{AppFile, Bundle, Package};

use crate::xml::XmlError;

/// The manifest of a package.
pub const MANIFEST: &str = "AppxManifest.xml";
/// The manifest of a bundle.
pub const BUNDLE_MANIFEST: &str = r"AppxMetadata\AppxBundleManifest.xml";
/// The hashes of a package's or bundle's parts.
pub const BLOCK_MAP: &str = "AppxBlockMap.xml";
/// The signature.
pub const SIGNATURE: &str = "AppxSignature.p7x";
/// The media types that the Open Packaging Conventions ask for. Windows does not install this part.
pub const CONTENT_TYPES: &str = "[Content_Types].xml";
/// The catalogue of the package's executables, added when it is signed.
pub const CODE_INTEGRITY: &str = r"AppxMetadata\CodeIntegrity.cat";

/// Why an app package, bundle or one of their companions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AppxError {
    /// The bytes could not be read.
    #[error("app package: {source}")]
    Io {
        /// What the medium said.
        #[from]
        source: std::io::Error,
    },
    /// The bytes are no ZIP file.
    #[error("app package: not a ZIP file that can be read: {source}")]
    Zip {
        /// What is wrong.
        #[from]
        source: zip::result::ZipError,
    },
    /// A part that must be there is not.
    #[error("app package: there is no {part}")]
    Missing {
        /// The part.
        part: String,
    },
    /// Something is wrong with one part.
    #[error("app package: {part}: {problem}")]
    Part {
        /// The part.
        part: String,
        /// What is wrong.
        problem: String,
    },
    /// A part is no XML.
    #[error("app package: {part}: {source}")]
    Xml {
        /// The part.
        part: &'static str,
        /// What is wrong.
        source: XmlError,
    },
    /// An identity in a manifest is not one.
    #[error("app package: {part}: {source}")]
    Identity {
        /// The part.
        part: &'static str,
        /// What is wrong.
        source: IdentityError,
    },
    /// The file would unpack to more than any real package does.
    #[error("app package: {found} {what}; at most {limit} are read")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much is read.
        limit: u64,
    },
}

type Result<T> = std::result::Result<T, AppxError>;

fn part_error<T>(part: &str, problem: impl Into<String>) -> Result<T> {
    Err(AppxError::Part { part: part.to_owned(), problem: problem.into() })
}

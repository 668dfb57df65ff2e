//! What can go wrong.

use std::io;

use wimwright_format::cab::WriterError;
use wimwright_format::media::BridgeError;
use wimwright_format::wim::write::WriteError;
use wimwright_format::{manifest, reg_file, regf, reparse, security_descriptor};

/// Why a practice medium could not be made. But for [`Error::Io`], [`Error::Disc`] and [`Error::Wim`], which the host may cause,
/// each would be a mistake in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disc cannot be written.
    #[error("the practice medium cannot be written")]
    Disc(#[from] BridgeError),
    /// An image file cannot be written.
    #[error("a WIM of the practice medium cannot be written")]
    Wim(#[from] WriteError),
    /// A boot image or archive cannot be made.
    #[error("a file of the practice medium cannot be made")]
    Io(#[from] io::Error),
    /// A hive cannot be made.
    #[error("a hive of the practice medium cannot be made")]
    Hive(#[from] regf::Error),
    /// A script with a hive's keys cannot be read.
    #[error("the keys of a hive cannot be read")]
    Keys(#[from] reg_file::Error),
    /// A security descriptor is not one.
    #[error("`{sddl}` is no security descriptor")]
    Sddl {
        /// The text.
        sddl: String,
        /// What is wrong with it.
        source: security_descriptor::SddlError,
    },
    /// A security descriptor cannot be encoded.
    #[error("`{sddl}` cannot be encoded")]
    Descriptor {
        /// The text.
        sddl: String,
        /// What is wrong with it.
        source: security_descriptor::EncodeError,
    },
    /// A link cannot be encoded.
    #[error("a link of the practice medium cannot be made")]
    Reparse(#[from] reparse::ReparseError),
    /// The manifest of a component that a store is to have cannot be read.
    #[error("a component of the store cannot be made")]
    Manifest(#[from] manifest::Error),
    /// An update cannot be put together.
    #[error("a cabinet cannot be made")]
    Cabinet(#[from] WriterError),
    /// An app package cannot be put together.
    #[error("an app package cannot be made")]
    Zip(#[from] zip::result::ZipError),
}

//! The engine `setup`: packages that Windows Setup installs, with its own servicing stack, while it applies an image.
//!
//! Nothing happens to the image here. A package is handed out as the cabinet that lies on the medium, with the identity by which the
//! medium's answer file names it (`wimwright_format::answer_file::add_packages`). Its signature is checked as that of any package.

use std::sync::Arc;

use thiserror::Error;
use wimwright_format::io::ReadAt;
use wimwright_format::manifest::PackageId;
use wimwright_format::manifest::package::PackageClass;

use super::dictionary::Dictionary;
use super::plan::order;
use super::source::{self, PackageSource, Signature};
use super::step::Packages;
use crate::step::{Context, StepError};

/// A package for Windows Setup.
pub struct SetupPackage {
    /// Its root package.
    pub package: PackageId,
    /// The file that it came from, and the name inside where that holds several.
    pub file: String,
    /// Its cabinet.
    pub cabinet: Arc<dyn ReadAt>,
    /// Who vouches for it.
    pub signature: Signature,
}

/// Why a package is none for Windows Setup.
#[derive(Debug, Error)]
pub enum SetupError {
    /// Its files are not in a cabinet.
    #[error("`{file}` is no cabinet with all of its files in it (they lie in a WIM or PSF): Windows Setup takes only those")]
    NoCabinet {
        /// The file.
        file: String,
    },
    /// It is for Windows PE.
    #[error("`{file}` is for the recovery environment: Windows Setup installs packages of Windows only")]
    SafeOs {
        /// The file.
        file: String,
    },
}

impl Packages {
    /// The updates as packages for Windows Setup, in the order in which they are installed. What Setup will say of them is not known: it
    /// alone decides whether they apply.
    ///
    /// # Errors
    /// A package cannot be read, is not trusted, or is none that Setup takes.
    pub fn for_setup(&self, context: &Context) -> Result<Vec<SetupPackage>, StepError> {
        // Setup's packages stay as they are: no manifest of a component has to be decoded.
        let sources = source::open(&self.updates, &Dictionary::default(), &self.trust(context)?)?;
        let mut numbers = (0..sources.len()).collect();
        order::sort(&mut numbers, &sources);
        numbers.into_iter().filter_map(|number| sources.get(number)).map(SetupPackage::of).collect()
    }
}

impl SetupPackage {
    fn of(source: &PackageSource) -> Result<Self, StepError> {
        let file = source.name.clone();
        if source.class == PackageClass::SafeOs {
            return Err(StepError::caused(SetupError::SafeOs { file }, "leave it out: WinRE is serviced in its own image"));
        }
        let native = "have it installed natively: `engine: native`";
        let cabinet = source.cabinet().ok_or_else(|| StepError::caused(SetupError::NoCabinet { file: file.clone() }, native))?;
        let signature = source.package(&source.root).map(|package| package.signature.clone());
        let signature = signature.unwrap_or(Signature::Unsigned { reason: "it has no root package".to_owned() });
        Ok(Self { package: source.root.clone(), file, cabinet, signature })
    }
}

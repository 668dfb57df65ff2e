//! The engine `setup`: packages that Windows Setup installs, with its own servicing stack, while it applies an image.
//!
//! With the engine `auto` it takes the updates that have a part that neither we nor a tool of Windows can do ([`Packages::beyond_native`]).
//!
//! Nothing happens to the image here. A package is handed out as the cabinet that lies on the medium, with the identity by which the
//! medium's answer file names it (`wimwright_format::answer_file::add_packages`). Its signature is checked as that of any package.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;
use wimwright_format::io::ReadAt;
use wimwright_format::manifest::PackageId;
use wimwright_format::manifest::package::PackageClass;
use wimwright_format::msu::Update;
use wimwright_image::Image;

use super::dictionary::Dictionary;
use super::install::{DeferredPolicy, foresee};
use super::plan::order;
use super::source::{self, PackageSource, Signature};
use super::step::{Packages, Prepared};
use crate::step::{Context, Payload, StepError};

/// A package for Windows Setup.
pub struct SetupPackage {
    /// Its root package.
    pub package: PackageId,
    /// The file that it came from, and the name inside where that holds several.
    pub file: String,
    /// SHA-256 of that file.
    pub update: [u8; 32],
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
    /// The files of updates that the image's native engine could only install without a part of them, with the reason. Only of those in
    /// `movable` (SHA-256), and only what Windows Setup takes.
    ///
    /// # Errors
    /// What [`crate::step::Step::apply`] would fail with, whoever installs.
    pub fn beyond_native(
        &self,
        image: &mut Image,
        context: &Context,
        movable: &BTreeSet<[u8; 32]>,
    ) -> Result<BTreeMap<[u8; 32], String>, StepError> {
        let may_move = |update: &&Payload| movable.contains(&update.sha256) && is_for_setup(update);
        let candidates: Vec<&Payload> = self.updates.iter().filter(may_move).collect();
        let mut beyond = BTreeMap::new();
        if candidates.is_empty() {
            return Ok(beyond);
        }
        let Prepared { store, sources, plan } = self.prepare(image, context)?;
        let deferred = foresee(image, &store, &sources, &plan.changes, DeferredPolicy::Omit)?;
        for (change, deferred) in plan.changes.iter().zip(deferred) {
            let Some(part) = deferred.iter().find(|part| part.command.is_none()) else { continue };
            let file = change.source.and_then(|number| sources.get(number)).map(|source| &source.file);
            let Some(update) = candidates.iter().find(|update| Some(&update.name) == file) else { continue };
            let reason = format!("{} of {} can be done neither natively nor by a tool of Windows", part.installer, part.component);
            beyond.entry(update.sha256).or_insert(reason);
        }
        Ok(beyond)
    }

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
        numbers.into_iter().filter_map(|number| sources.get(number)).map(|source| SetupPackage::of(source, &self.updates)).collect()
    }
}

/// True when Windows Setup takes every package in the file. One that cannot be read is none: whoever installs it says why.
fn is_for_setup(update: &Payload) -> bool {
    Update::open(update.source.clone())
        .is_ok_and(|update| !update.packages.is_empty() && update.packages.iter().all(|package| package.whole().is_some()))
}

impl SetupPackage {
    fn of(source: &PackageSource, updates: &[Payload]) -> Result<Self, StepError> {
        let file = source.name.clone();
        let update = updates.iter().find(|update| update.name == source.file).map(|update| update.sha256).unwrap_or_default();
        if source.class == PackageClass::SafeOs {
            return Err(StepError::caused(SetupError::SafeOs { file }, "leave it out: WinRE is serviced in its own image"));
        }
        let native = "have it installed natively: `engine: native`";
        let cabinet = source.cabinet().cloned().ok_or_else(|| StepError::caused(SetupError::NoCabinet { file: file.clone() }, native))?;
        let signature = source.package(&source.root).map(|package| package.signature.clone());
        let signature = signature.unwrap_or(Signature::Unsigned { reason: "it has no root package".to_owned() });
        Ok(Self { package: source.root.clone(), file, update, cabinet, signature })
    }
}

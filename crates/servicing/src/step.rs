//! What a step is: a function from image to image, with options that identify it.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;
use wimwright_format::io::ReadAt;
use wimwright_image::{Image, ImageError};

use crate::cbs::install::PackageReport;
use crate::cbs::step::PackagePlan;

/// The kind of a step and its revision. The revision is raised whenever the result for equal input changes, so that
/// results cached by an older release are not taken for this one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepKind {
    /// The recipe's name of the step, such as `files`.
    pub name: &'static str,
    /// Starts at 1.
    pub revision: u32,
}

/// How sure it is that Windows will see what the step says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Public semantics, checked by another program.
    Exact,
    /// Windows itself will do it, at the time the report names.
    Deferred,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// How sure it is.
    pub certainty: Certainty,
    /// What was done, one line each.
    pub details: Vec<String>,
    /// What was done with each Windows package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageReport>,
}

impl StepReport {
    /// A report of things that were done exactly.
    #[must_use]
    pub fn exact(details: Vec<String>) -> Self {
        Self { certainty: Certainty::Exact, details, packages: Vec::new() }
    }
}

/// What a step is given besides the image. No clock, network or environment.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The time that steps write, FILETIME (100 ns since 1601, UTC).
    pub time: u64,
}

/// Why a step failed. A failed step fails the build.
#[derive(Debug, Error)]
pub enum StepError {
    /// The image cannot be read or edited.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// What the recipe asks for does not fit this image, or is not possible.
    #[error("{what}")]
    Refused {
        /// What, where and why.
        what: String,
        /// What to do instead; empty when nothing can be said.
        hint: String,
    },
    /// A part of the work failed, or found what it was given unfit.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// An error of a part of a step, with what can be done about it.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong.
    error: Box<dyn std::error::Error + Send + Sync>,
    /// What to do; empty when nothing can be said.
    hint: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(formatter)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl StepError {
    /// What can be done about it; empty when nothing can be said.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            Self::Image(_) => "",
            Self::Refused { hint, .. } | Self::Failed(Failure { hint, .. }) => hint,
        }
    }

    /// The error that a part of the step failed with; `None` where the step itself refused.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(failure) => Some(&*failure.error),
            Self::Image(_) | Self::Refused { .. } => None,
        }
    }

    /// An error of a part of the step, with a hint.
    pub fn caused(error: impl std::error::Error + Send + Sync + 'static, hint: impl Into<String>) -> Self {
        Self::Failed(Failure { error: Box::new(error), hint: hint.into() })
    }

    /// Refuses, with a hint.
    pub fn refused(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), hint: hint.into() }
    }
}

impl From<wimwright_image::EditError> for StepError {
    fn from(error: wimwright_image::EditError) -> Self {
        Self::Image(error.into())
    }
}

impl From<wimwright_image::BlobError> for StepError {
    fn from(error: wimwright_image::BlobError) -> Self {
        Self::Image(error.into())
    }
}

/// A step: typed options, and a pure function of them and the image.
///
/// # What enters a step's key
/// Kind and revision, [`Step::options`], the input tree, and the time if [`Step::writes_time`]. Payloads are part of the
/// options by their SHA-256. Names of payloads, comments, host and thread count are not: they must not matter.
pub trait Step: Send + Sync {
    /// Kind and revision.
    fn kind(&self) -> StepKind;

    /// The options in canonical form: equal values mean the same change.
    fn options(&self) -> serde_json::Value;

    /// Whether the result depends on [`Context::time`].
    fn writes_time(&self) -> bool;

    /// What will be done, one line each, for `plan`.
    fn describe(&self) -> Vec<String>;

    /// What it will do with each Windows package, and why; `None` for a step that is not about packages. The image is read only.
    ///
    /// # Errors
    /// What [`Step::apply`] would fail with before it changes anything.
    fn plan_packages(&self, _image: &mut Image, _context: &Context) -> Result<Option<PackagePlan>, StepError> {
        Ok(None)
    }

    /// Does it.
    ///
    /// # Errors
    /// Whatever keeps any part of it from being done; the image is then to be discarded.
    fn apply(&self, image: Image, context: &Context) -> Result<(Image, StepReport), StepError>;
}

/// Bytes that a recipe brings in. Identified by content; the name only serves messages.
#[derive(Clone)]
pub struct Payload {
    /// Where it comes from, as the user wrote it.
    pub name: String,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// The bytes.
    pub source: Arc<dyn ReadAt>,
}

impl Payload {
    /// Reads it whole, up to `limit` bytes.
    ///
    /// # Errors
    /// It is larger, or cannot be read.
    pub fn bytes(&self, limit: u64) -> Result<Vec<u8>, StepError> {
        let size = self.source.size();
        if size > limit {
            return Err(StepError::refused(format!("`{}` has {size} bytes: more than {limit} make no sense here", self.name), ""));
        }
        let mut bytes = vec![0; size as usize];
        let read = self.source.read_exact_at(&mut bytes, 0);
        read.map_err(|error| StepError::refused(format!("cannot read `{}`: {error}", self.name), ""))?;
        Ok(bytes)
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Payload").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hexadecimal: String = self.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&hexadecimal)
    }
}

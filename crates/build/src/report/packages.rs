//! What a build did with each Windows package.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wimwright_servicing::cbs::install;
pub use wimwright_servicing::cbs::install::DeferredReport as DeferredPart;
pub use wimwright_servicing::cbs::source::Signature;
use wimwright_servicing::step::Certainty as StepCertainty;

use super::Certainty;
use crate::run;

/// What was done with a Windows package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackageReport {
    /// Its identity, as `dism /Get-Packages` shows it.
    pub package: String,
    /// Who installs it.
    pub engine: Engine,
    /// The file that it came from, and its name in that file where there are several. Absent when the image had everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Who vouches for it. Absent when the image had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// Its state before, in DISM's words: `Not Present`, `Staged`, `Superseded`, `Installed`.
    pub before: String,
    /// Its state after.
    pub after: String,
    /// Components that it carries and that were dealt with.
    pub components: u64,
    /// Files that appeared in the image for it, or were replaced.
    pub files: u64,
    /// Registry values that were set for it.
    pub values: u64,
    /// What was not done, part by part: Windows finishes it at its first start, or, where there is no command, nobody does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deferred: Vec<DeferredPart>,
    /// How sure the result is: `deferred` when anything was not done here.
    pub certainty: Certainty,
}

/// A package that Windows Setup will install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetupPackage {
    /// Its identity.
    pub package: String,
    /// Who installs it: always `setup`.
    pub engine: Engine,
    /// The file that it came from.
    pub file: String,
    /// Where it lies on the medium.
    pub path: String,
    /// SHA-256 of its cabinet in hexadecimal.
    pub sha256: String,
    /// Why it is Setup that installs it.
    pub reason: String,
    /// Who vouches for it.
    pub signature: Signature,
    /// How sure it is: always `deferred`.
    pub certainty: Certainty,
}

impl From<&run::SetupPackage> for SetupPackage {
    fn from(package: &run::SetupPackage) -> Self {
        Self {
            package: package.package.clone(),
            engine: Engine::Setup,
            file: package.file.clone(),
            path: package.path.clone(),
            sha256: package.sha256.clone(),
            reason: package.reason.clone(),
            signature: package.signature.clone(),
            certainty: Certainty::Deferred,
        }
    }
}

/// Who installs a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Wimwright did, into the image.
    Native,
    /// Windows Setup does, from the medium, while it applies an image.
    Setup,
}

impl From<&install::PackageReport> for PackageReport {
    fn from(report: &install::PackageReport) -> Self {
        Self {
            package: report.package.clone(),
            engine: Engine::Native,
            file: report.file.clone(),
            signature: report.signature.clone(),
            before: report.before.to_string(),
            after: report.after.to_string(),
            components: report.components as u64,
            files: report.files as u64,
            values: report.values as u64,
            deferred: report.deferred.clone(),
            certainty: report.certainty.into(),
        }
    }
}

impl From<StepCertainty> for Certainty {
    fn from(certainty: StepCertainty) -> Self {
        match certainty {
            StepCertainty::Exact => Self::Exact,
            StepCertainty::Deferred => Self::Deferred,
        }
    }
}

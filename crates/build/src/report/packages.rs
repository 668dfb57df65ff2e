//! What a build did with each Windows package.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wimwright_servicing::cbs::{install, source};
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
    /// What is left to Windows, part by part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deferred: Vec<DeferredPart>,
    /// How sure the result is: `deferred` when anything is left to Windows.
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
            signature: package.signature.clone().into(),
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

/// Who vouches for a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Signature {
    /// Its catalog is signed, and the chain ends in a trusted root.
    Trusted {
        /// Subject of the signer's certificate.
        signer: String,
        /// Name of the root.
        root: String,
    },
    /// Nobody: taken since the recipe allows it.
    Unsigned {
        /// What is wrong with the signature.
        reason: String,
    },
}

/// A part of a package that only Windows can finish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeferredPart {
    /// The component that it belongs to.
    pub component: String,
    /// What kind of part: the name of its element in the component's manifest.
    pub installer: String,
    /// Which file, task or channel.
    pub what: String,
    /// The command that finishes it at the first start of Windows. Absent when no tool of Windows does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Why it is left to Windows.
    pub reason: String,
}

impl From<source::Signature> for Signature {
    fn from(signature: source::Signature) -> Self {
        match signature {
            source::Signature::Trusted { signer, root } => Self::Trusted { signer, root },
            source::Signature::Unsigned { reason } => Self::Unsigned { reason },
        }
    }
}

impl From<&install::PackageReport> for PackageReport {
    fn from(report: &install::PackageReport) -> Self {
        let deferred = report.deferred.iter().map(|part| DeferredPart {
            component: part.component.clone(),
            installer: part.installer.clone(),
            what: part.what.clone(),
            command: part.command.clone(),
            reason: part.reason.clone(),
        });
        Self {
            package: report.package.clone(),
            engine: Engine::Native,
            file: report.file.clone(),
            signature: report.signature.clone().map(Signature::from),
            before: report.before.to_string(),
            after: report.after.to_string(),
            components: report.components as u64,
            files: report.files as u64,
            values: report.values as u64,
            deferred: deferred.collect(),
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

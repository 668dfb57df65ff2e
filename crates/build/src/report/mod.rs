//! The report of a build: what went in, what was done, what came out.
//!
//! A thing was done, was taken from the cache, or failed: there are no warnings. [`Report`] is the one source; the
//! terminal, JSON ([`Report::to_json`], schema [`json_schema`]) and the HTML file ([`html`]) show the same.
//!
//! Invariant: two builds of the same inputs with the same recipe give the same report, but for [`Report::timing`],
//! [`Step::duration_seconds`] and whether a step was `done` or `cached`. [`Report::reproducible`] leaves those out.

mod assemble;
mod html;
mod packages;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};

pub(crate) use assemble::error_chain;
pub use html::html;
pub use packages::{DeferredPart, Engine, PackageReport, SetupPackage, Signature};

/// What a build did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Version of the report format: 1.
    pub report: u32,
    /// Version of Wimwright that built.
    pub tool_version: String,
    /// The recipe.
    pub recipe: RecipeIdentity,
    /// The medium that the build started from.
    pub input: InputMedium,
    /// The images of the medium, by index.
    pub images: Vec<ImageReport>,
    /// Packages that Windows Setup will install, from the medium into whichever image it applies. Not installed when an image is applied
    /// without Setup. Absent when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setup_packages: Vec<SetupPackage>,
    /// What was written, in the recipe's order.
    pub outputs: Vec<OutputReport>,
    /// Why the build failed where no single step did. Absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When and how long it ran. Absent in a report that is to be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
}

/// Which recipe was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecipeIdentity {
    /// Its name, or that of its file.
    pub name: String,
    /// SHA-256 of its canonical form, in hexadecimal.
    pub digest: String,
}

/// The medium that a build started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InputMedium {
    /// Its path, or its name in the library.
    pub path: String,
    /// What it is.
    pub kind: MediumKind,
}

/// The form of a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediumKind {
    /// An ISO image.
    Iso,
    /// A folder with a medium's files.
    Folder,
    /// A WIM file.
    Wim,
    /// A solid WIM file.
    Esd,
    /// A split WIM.
    Swm,
}

/// One image of the medium.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageReport {
    /// Its index in the input; the first is 1.
    pub index: u32,
    /// Its name in the input.
    pub name: String,
    /// What it was.
    pub before: ImageState,
    /// What it became. Absent when it was dropped, or when the build failed before it was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ImageState>,
    /// Whether the recipe left it out of the result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
    /// How much differs between before and after.
    pub changes: Changes,
    /// What was done to it, in order.
    pub steps: Vec<Step>,
}

/// What an image contains at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageState {
    /// Name in the WIM.
    pub name: String,
    /// Windows' version: `10.0`. Empty where the image does not say.
    pub version: String,
    /// Build number: 26100. Absent where the image does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<u32>,
    /// Update build revision: the number after the build in `26100.4061`. Absent where the image does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ubr: Option<u32>,
    /// Edition id: `Professional`.
    pub edition: String,
    /// Languages: `en-US`.
    pub languages: Vec<String>,
    /// Identities of the installed packages.
    pub packages: Vec<String>,
    /// Names of the enabled optional features.
    pub features: Vec<String>,
    /// Full names of the provisioned apps.
    pub apps: Vec<String>,
    /// Number of files.
    pub file_count: u64,
    /// Bytes of all files, each hard link counted once.
    pub total_bytes: u64,
    /// Bytes that the image takes in its WIM, what it shares with other images included. Absent where not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_bytes: Option<u64>,
}

impl ImageState {
    /// Version, build and UBR as Windows shows them: `10.0.26100.4061`.
    #[must_use]
    pub fn full_version(&self) -> String {
        let numbers = [self.build, self.ubr].into_iter().map_while(|number| number.map(|number| number.to_string()));
        std::iter::once(self.version.clone()).filter(|version| !version.is_empty()).chain(numbers).collect::<Vec<_>>().join(".")
    }
}

/// How much differs between two states of an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changes {
    /// Files and folders.
    pub files: Counts,
    /// Registry values, and keys without values.
    pub registry: Counts,
}

/// Numbers of additions, removals and changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// There now, not before.
    pub added: u64,
    /// There before, not now.
    pub removed: u64,
    /// There before and now, but different.
    pub changed: u64,
}

/// One step of one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// The step's kind, as the recipe names it: `files`, `apps.remove`.
    pub kind: String,
    /// What it does, in a few words.
    pub title: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How sure the result is.
    pub certainty: Certainty,
    /// What was done, one line each.
    pub details: Vec<String>,
    /// What was done with each Windows package, in order. Absent where a step is not about packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageReport>,
    /// The key of its result in the cache, in hexadecimal.
    pub key: String,
    /// How long it took. Absent in a report that is to be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// An earlier build had done the same to the same image; its result was taken.
    Cached,
    /// It was not done.
    Failed {
        /// What, where and why.
        error: String,
    },
}

/// How sure a step's result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// The image has the result.
    Exact,
    /// Windows does it itself later; the details say when.
    Deferred,
}

/// Something that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputReport {
    /// Where.
    pub path: String,
    /// In which form.
    pub kind: MediumKind,
    /// Bytes; of a folder or a split WIM, of all its files.
    pub size: u64,
}

/// When a build ran and how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    /// When it began, in UTC: `2026-11-01T08:30:00Z`.
    pub started: String,
    /// From its beginning to its end.
    pub total_seconds: f64,
}

impl Report {
    /// Whether everything was done.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.error.is_none() && self.failures().next().is_none()
    }

    /// The steps that failed, with their images.
    pub fn failures(&self) -> impl Iterator<Item = (&ImageReport, &Step)> {
        self.images
            .iter()
            .flat_map(|image| image.steps.iter().map(move |step| (image, step)))
            .filter(|(_, step)| matches!(step.outcome, Outcome::Failed { .. }))
    }

    /// The report as JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The part that depends on the inputs and the recipe alone: without times, and with `cached` told as `done`.
    #[must_use]
    pub fn reproducible(mut self) -> Self {
        self.timing = None;
        for step in self.images.iter_mut().flat_map(|image| &mut image.steps) {
            step.duration_seconds = None;
            if step.outcome == Outcome::Cached {
                step.outcome = Outcome::Done;
            }
        }
        self
    }
}

/// The JSON Schema of a report (`docs/reference/report.schema.json`).
#[must_use]
pub fn json_schema() -> serde_json::Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<Report>().to_value()
}

#[cfg(test)]
mod tests;

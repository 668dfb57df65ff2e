//! The recipe: what a person writes down once, and every build follows.
//!
//! A recipe is YAML with a published JSON Schema ([`json_schema`]); `docs/guides/recipe.md` explains it. Reading one has
//! four stages, each a module: [`yaml`] turns text into nodes with positions, [`load`] merges the included files,
//! [`variables`] fills in `${name}`, and the types themselves decode what is left ([`decode`]). Anything wrong is a
//! [`RecipeError`] that shows file, line, column and the nearest right word; several problems are reported at once.
//!
//! Invariants:
//! - Two recipes that differ only in comments, anchors, key order, quoting or include layout are equal, and so are
//!   their canonical forms ([`Recipe::canonical_json`]), which are recipes again.
//! - Positions ([`Spanned`]) are no part of the meaning.
//! - Nothing depends on where the recipe lies, on the environment or on the clock.

mod decode;
mod error;
mod files;
mod image;
mod load;
mod lock;
mod output;
mod packages;
mod registry;
mod select;
mod source;
#[cfg(test)]
mod tests;
mod values;
mod variables;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use sha2::{Digest, Sha256};

pub use error::{Problem, ProblemKind, RecipeError};
pub use files::{AddFile, Attribute, DeleteFile, FileChange, FileProperties, Missing, RenameFile, WriteFile};
pub use image::{AddApp, Apps, ImageEntry, Metadata, StepSpec, Unattend};
pub use load::ReadFile;
pub use lock::{Fingerprint, Input, Lock, LockChange, LockError, LockedInput, fingerprint};
pub use output::{
    BootPrompt, Compression, EsdOutput, FolderOutput, InstallFormat, InstallImage, IsoOutput, Level, Output, SwmOutput, WimCompression,
    WimOutput,
};
pub use packages::{AddUpdate, Capabilities, Deferred, DisableFeature, Engine, Features, Packages, RemovePackages, Servicing};
pub use registry::{DEFAULT_VALUE, DeleteKey, RegistryChange, RegistryData, SetValues};
pub use select::{ImageFacts, Selection, Selector};
pub use source::{Location, Position, Sources, Spanned};
pub use values::{ByteSize, HostPath, ImagePath, Name, Pattern, Timestamp};

use decode::{Context, Decode, Fields, Reported};
use values::OneOrMany;
use yaml::{Node, Value};

/// A Wimwright recipe: from a Windows medium to a serviced one.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Recipe {
    /// Version of the recipe format: 1.
    #[serde(rename = "recipe")]
    #[schemars(with = "u32", range(min = 1, max = 1))]
    version: u32,
    /// A name for the report. Without it: the file's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The time that steps write where a time must be written. Without it: the time of the input image, so that the
    /// same input and recipe give the same bytes on any day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Timestamp>,
    /// The Windows medium to start from. The command line may name another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// What is done to which images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<ImageEntry>")]
    pub images: Vec<ImageEntry>,
    /// Images that are left out of the result. They keep their numbers for `select`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<Selector>")]
    pub drop: Vec<Spanned<Selector>>,
    /// What is written.
    #[serde(rename = "output", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<Output>")]
    pub outputs: Vec<Output>,
    /// The files that this was read from.
    #[serde(skip)]
    pub sources: Sources,
}

/// The Windows medium that a build starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Media {
    /// An ISO, a folder, or a WIM, ESD or SWM file on this machine.
    Path(HostPath),
    /// The newest medium of a family in the library, or the one with this name.
    Library(LibraryMedia),
}

/// A medium in the library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LibraryMedia {
    /// The name of a medium, or of a family, which means its newest medium, as `wimwright list` shows them.
    #[serde(rename = "library")]
    pub name: Spanned<String>,
}

impl Recipe {
    /// Loads a recipe and what it includes through `read`, which is given paths joined to the folder of `path`.
    /// `settings` give variables their values (`--set name=value`).
    ///
    /// # Errors
    /// Everything that is wrong with the recipe, each with its place.
    pub fn load(path: &Path, settings: &BTreeMap<String, String>, read: ReadFile<'_>) -> Result<Self, RecipeError> {
        load::load(path, settings, read)
    }

    /// [`Self::load`] from the file system.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn read(path: &Path, settings: &BTreeMap<String, String>) -> Result<Self, RecipeError> {
        Self::load(path, settings, &mut |path| std::fs::read(path))
    }

    /// What a person calls this recipe: its name, or that of its file.
    #[must_use]
    pub fn title(&self) -> String {
        let stem = || self.sources.paths().next().and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
        self.name.clone().or_else(stem).unwrap_or_default()
    }

    /// The steps for one image, in the order in which they are done. Empty when no entry means it.
    #[must_use]
    pub fn steps(&self, image: ImageFacts<'_>) -> Vec<StepSpec> {
        image::ordered_steps(self.images.iter().filter(|entry| entry.select.matches(image)))
    }

    /// Whether an image is left out of the result.
    #[must_use]
    pub fn drops(&self, image: ImageFacts<'_>) -> bool {
        self.drop.iter().any(|selector| selector.matches(image))
    }

    /// Checks that every selector means at least one of the medium's images: one that means none is a slip.
    ///
    /// # Errors
    /// The selectors that mean no image.
    pub fn check_selectors(&self, images: &[ImageFacts<'_>]) -> Result<(), RecipeError> {
        let selected = self.images.iter().flat_map(|entry| match &entry.select {
            Selection::All => &[],
            Selection::AnyOf(selectors) => selectors.as_slice(),
        });
        let problems: Vec<_> = selected
            .chain(&self.drop)
            .filter(|selector| !images.iter().any(|image| selector.matches(*image)))
            .map(|selector| {
                let listed = images.iter().map(|image| format!("{} {} ({})", image.index, image.name, image.edition));
                let advice = format!("the medium has: {}", listed.collect::<Vec<_>>().join("; "));
                Problem { advice: Some(advice), ..self.problem(selector.position, format!("no image has {}", selector.value)) }
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(RecipeError { problems }) }
    }

    /// A problem with a value of this recipe that was found later, shown where the value was written.
    #[must_use]
    pub fn problem(&self, position: Option<Position>, reason: impl Into<String>) -> Problem {
        Problem::new(ProblemKind::InvalidValue { reason: reason.into() }, position, &self.sources)
    }

    /// Where the recipe names the update files (or their folders), capabilities, features and packages of Windows.
    #[must_use]
    pub fn package_places(&self) -> Vec<(String, Location)> {
        let mut packages = Packages::default();
        self.images.iter().for_each(|entry| packages.add(entry));
        packages.places().filter_map(|(name, position)| Some((name, self.sources.locate(position)?))).collect()
    }

    /// The recipe's meaning as JSON: includes merged, variables filled in, every list a list, keys in one order. It is a
    /// recipe again, with the same canonical form. Paths are relative to the recipe's folder.
    #[must_use]
    pub fn canonical_json(&self) -> serde_json::Value {
        fn escape(value: &mut serde_json::Value) {
            match value {
                serde_json::Value::String(text) => *text = variables::escape(text),
                serde_json::Value::Array(items) => items.iter_mut().for_each(escape),
                serde_json::Value::Object(map) => map.values_mut().for_each(escape),
                _ => {}
            }
        }
        let mut value = serde_json::to_value(self).unwrap_or_default();
        escape(&mut value);
        value
    }

    /// [`Self::canonical_json`] as compact text. What JSON allows in a string and YAML does not is escaped.
    #[must_use]
    pub fn canonical_text(&self) -> String {
        let mut text = String::new();
        for c in self.canonical_json().to_string().chars() {
            match c {
                '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => text.push(c),
            }
        }
        text
    }

    /// SHA-256 of the canonical form's text, in hexadecimal.
    #[must_use]
    pub fn canonical_digest(&self) -> String {
        hex(&Sha256::digest(self.canonical_text()))
    }
}

/// Bytes as lower-case hexadecimal digits.
/// Reads a YAML (or JSON) file that is no recipe as a JSON value, under the same limits.
///
/// # Errors
/// A syntax error, with its place.
pub fn yaml_value(path: &Path, text: &str) -> Result<serde_json::Value, RecipeError> {
    let mut sources = Sources::default();
    let source = sources.add(source::Source { path: path.to_owned(), text: text.to_owned(), canonical_folder: std::path::PathBuf::new() });
    let node = yaml::parse(text, source).map_err(|(kind, position)| RecipeError::from(Problem::new(kind, position, &sources)))?;
    Ok(node.to_json())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl PartialEq for Recipe {
    /// Equal in meaning: where it was read from does not count.
    fn eq(&self, other: &Self) -> bool {
        self.canonical_json() == other.canonical_json()
    }
}

impl Decode for Recipe {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let mut fields = Fields::of(node, context)?;
        let version = fields.required("recipe");
        let (name, epoch, media) = (fields.optional("name"), fields.optional("epoch"), fields.optional("media"));
        let (images, outputs) = (fields.or_default("images"), fields.or_default("output"));
        let drop = fields.node("drop").map(|node| select::selectors(node, fields.context)).transpose();
        fields.also_allow(&["include", "variables"]);
        fields.finish();
        Ok(Self {
            version: version?,
            name: name?,
            epoch: epoch?,
            media: media?,
            images: images?,
            drop: drop?.unwrap_or_default(),
            outputs: outputs?,
            sources: Sources::default(),
        })
    }
}

impl Decode for Media {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        if matches!(node.value, Value::Scalar { .. }) {
            return HostPath::decode(node, context).map(Self::Path);
        }
        let mut fields = Fields::of(node, context)?;
        let name = fields.required("library");
        fields.finish();
        Ok(Self::Library(LibraryMedia { name: name? }))
    }
}

/// The JSON Schema of a recipe as it is written (`docs/reference/recipe.schema.json`).
#[must_use]
pub fn json_schema() -> serde_json::Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Recipe>();
    // What a file may have beside what it means once it is read.
    if let Some(properties) = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
        let path = serde_json::json!({ "type": "string", "minLength": 1 });
        properties.insert(
            "include".to_owned(),
            serde_json::json!({
                "description": "Recipe files that are merged before this one: lists are appended, variables joined by name, all else replaced.",
                "anyOf": [path, { "type": "array", "items": path }]
            }),
        );
        properties.insert(
            "variables".to_owned(),
            serde_json::json!({
                "description": "Names and values for `${name}`. One without a value must be set with --set. `$${` is the text `${`.",
                "type": "object",
                "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_-]*$" },
                "additionalProperties": { "type": ["string", "number", "boolean", "null"] }
            }),
        );
    }
    schema.to_value()
}

//! `files:` — what is added to, deleted from and renamed in an image.

use schemars::JsonSchema;
use serde::Serialize;

use super::decode::{Context, Decode, Fields, Reported};
use super::source::Spanned;
use super::values::{HostPath, ImagePath, OneOrMany, Timestamp};
use super::yaml::Node;

/// One change of an image's files. Changes are made in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum FileChange {
    /// A file or folder of this machine is copied in.
    Add(AddFile),
    /// A file is written from text in the recipe.
    Write(WriteFile),
    /// A file, or a folder and all in it, is deleted.
    Delete(DeleteFile),
    /// A file or folder is renamed or moved.
    Rename(RenameFile),
}

/// Copies a file, or a folder with all that is in it, into the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AddFile {
    /// The file or folder on this machine. What is in a folder is merged into the folder that is already there.
    #[serde(rename = "add")]
    pub source: HostPath,
    /// Where it goes: the full path that the file or folder has in the image. Missing folders are made.
    pub to: ImagePath,
    /// What every added file and folder gets.
    #[serde(flatten)]
    pub properties: FileProperties,
}

/// Writes a file from text in the recipe, as UTF-8 and with the line ends as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WriteFile {
    /// The text. A `${` that is not meant as a variable is written `$${`.
    pub content: String,
    /// The full path of the file in the image. A file that is there is replaced.
    pub to: ImagePath,
    /// What the file gets.
    #[serde(flatten)]
    pub properties: FileProperties,
}

/// What an added file is given. What is not said, it takes from the folder it comes into, as on a running Windows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FileProperties {
    /// File attributes that are set, beside those that the kind of file has anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<Attribute>")]
    pub attributes: Vec<Attribute>,
    /// Owner and access rights as SDDL: `O:BAG:SYD:P(A;OICI;FA;;;BA)(A;OICI;FRFX;;;BU)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Spanned<String>>,
    /// Creation, write and access time. Without it: the recipe's `epoch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

/// A file attribute that a person sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Attribute {
    /// Read-only (`FILE_ATTRIBUTE_READONLY`).
    Readonly,
    /// Hidden (`FILE_ATTRIBUTE_HIDDEN`).
    Hidden,
    /// A file of the system (`FILE_ATTRIBUTE_SYSTEM`).
    System,
    /// To be archived (`FILE_ATTRIBUTE_ARCHIVE`).
    Archive,
    /// Not indexed by the search service (`FILE_ATTRIBUTE_NOT_CONTENT_INDEXED`).
    NotContentIndexed,
}

/// Deletes a file, or a folder and all that is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeleteFile {
    /// The path in the image.
    #[serde(rename = "delete")]
    pub path: Spanned<ImagePath>,
    /// What happens when it is not there.
    #[serde(default, skip_serializing_if = "Missing::is_error")]
    pub missing: Missing,
}

/// What happens when that which is to be removed is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The build fails.
    #[default]
    Error,
    /// Nothing: it is gone, as wanted.
    Ignore,
}

impl Missing {
    /// True for the default.
    pub(super) fn is_error(&self) -> bool {
        *self == Self::Error
    }
}

/// Renames or moves a file or folder within the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RenameFile {
    /// The path it has.
    #[serde(rename = "rename")]
    pub path: Spanned<ImagePath>,
    /// The path it gets. Nothing may be there.
    pub to: Spanned<ImagePath>,
}

impl Decode for FileChange {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let mut fields = Fields::of(node, context)?;
        match fields.choice(&["add", "content", "delete", "rename"])? {
            "add" => {
                let (source, to, properties) = (fields.required("add"), fields.required("to"), properties(&mut fields));
                fields.finish();
                Ok(Self::Add(AddFile { source: source?, to: to?, properties: properties? }))
            }
            "content" => {
                let (content, to, properties) = (fields.required("content"), fields.required("to"), properties(&mut fields));
                fields.finish();
                Ok(Self::Write(WriteFile { content: content?, to: to?, properties: properties? }))
            }
            "delete" => {
                let (path, missing) = (fields.required("delete"), fields.or_default("missing"));
                fields.finish();
                Ok(Self::Delete(DeleteFile { path: path?, missing: missing? }))
            }
            _ => {
                let (path, to) = (fields.required("rename"), fields.required("to"));
                fields.finish();
                Ok(Self::Rename(RenameFile { path: path?, to: to? }))
            }
        }
    }
}

fn properties(fields: &mut Fields) -> Result<FileProperties, Reported> {
    let attributes = fields.or_default::<Vec<Attribute>>("attributes");
    let (security, time) = (fields.optional("security"), fields.optional("time"));
    let mut attributes = attributes?;
    attributes.sort_unstable();
    attributes.dedup();
    Ok(FileProperties { attributes, security: security?, time: time? })
}

impl Decode for Attribute {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let words = [
            ("readonly", Self::Readonly),
            ("hidden", Self::Hidden),
            ("system", Self::System),
            ("archive", Self::Archive),
            ("not-content-indexed", Self::NotContentIndexed),
        ];
        context.word(node, &words)
    }
}

impl Decode for Missing {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        context.word(node, &[("error", Self::Error), ("ignore", Self::Ignore)])
    }
}

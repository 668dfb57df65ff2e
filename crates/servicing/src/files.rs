//! The step `files`: adds, deletes and renames files and directories.
//!
//! A new file gets what Windows would give it when a person copied it into the mounted image: the attribute *archive*,
//! the recipe's time, and the security that its directory hands down. A file that is replaced keeps its own attributes
//! and security, as it does when Windows overwrites a file; other hard links of it keep the old contents.

use serde::Serialize;
use wimwright_format::security_descriptor::SecurityDescriptor;
use wimwright_format::wim::BlobId;
use wimwright_image::registry::HiveFile;
use wimwright_image::tree::{ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY, Inode};
use wimwright_image::{Image, ImagePath};

use crate::inheritance::inherited_by_child;
use crate::step::{Context, Payload, Step, StepError, StepKind, StepReport};

/// One operation of the step, in the recipe's order.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Operation {
    /// Puts files and directories at `to`.
    Add {
        /// Where they go.
        to: String,
        /// The files and directories, by path below `to`; a single file has the path "".
        items: Vec<Item>,
        /// Attributes to set besides *archive* and *directory* (`FILE_ATTRIBUTE_…` bits); `None` for the usual ones.
        attributes: Option<u32>,
        /// Security of everything that is added, in SDDL; `None` to inherit.
        security: Option<String>,
        /// Created, accessed and written time, FILETIME; `None` for the recipe's.
        time: Option<u64>,
    },
    /// Deletes a file, or a directory with its contents.
    Delete {
        /// What is deleted.
        path: String,
        /// Whether it is no error when nothing is there.
        ignore_missing: bool,
    },
    /// Renames or moves.
    Rename {
        /// What is there.
        from: String,
        /// What it will be called.
        to: String,
    },
}

/// A file or directory to be added.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// Path below the target, with slashes.
    pub path: String,
    /// Contents; `None` for a directory.
    pub contents: Option<Payload>,
}

/// The step. See the module.
#[derive(Debug, Clone, Serialize)]
pub struct Files {
    /// What is done, in order.
    pub operations: Vec<Operation>,
}

impl Step for Files {
    fn kind(&self) -> StepKind {
        StepKind { name: "files", revision: 1 }
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    fn writes_time(&self) -> bool {
        self.operations.iter().any(|operation| matches!(operation, Operation::Add { time: None, .. }))
    }

    fn describe(&self) -> Vec<String> {
        self.operations
            .iter()
            .map(|operation| match operation {
                Operation::Add { to, items, .. } => {
                    let files: Vec<_> = items.iter().filter_map(|item| item.contents.as_ref()).collect();
                    let size: u64 = files.iter().map(|payload| payload.source.size()).sum();
                    format!("add {} files ({size} bytes) to {to}", files.len())
                }
                Operation::Delete { path, .. } => format!("delete {path}"),
                Operation::Rename { from, to } => format!("rename {from} to {to}"),
            })
            .collect()
    }

    fn apply(&self, mut image: Image, context: &Context) -> Result<(Image, StepReport), StepError> {
        let before = hive_files(&image);
        let mut details = Vec::new();
        for operation in &self.operations {
            match operation {
                Operation::Add { to, items, attributes, security, time } => {
                    let to = parse(to)?;
                    let security = security.as_deref().map(encode_security).transpose()?;
                    let new = NewFile { attributes: *attributes, security: security.as_deref(), time: time.unwrap_or(context.time) };
                    for item in items {
                        let path = to.join(&parse(&item.path)?);
                        details.push(new.put(&mut image, &path, item.contents.as_ref())?);
                    }
                }
                Operation::Delete { path, ignore_missing } => {
                    let path = parse(path)?;
                    if *ignore_missing && image.tree.get(&path).is_none() {
                        details.push(format!("{path} was not there"));
                        continue;
                    }
                    image.tree.remove(&path)?;
                    details.push(format!("deleted {path}"));
                }
                Operation::Rename { from, to } => {
                    let (from, to) = (parse(from)?, parse(to)?);
                    refuse_links(&image, &to)?;
                    image.tree.rename(&from, &to)?;
                    details.push(format!("renamed {from} to {to}"));
                }
            }
        }
        // Hives that are loaded would hide the files that took their place.
        if hive_files(&image) != before {
            image = Image::new(image.tree, image.info, image.blobs);
        }
        Ok((image, StepReport::exact(details)))
    }
}

/// The contents of every hive file and its logs.
fn hive_files(image: &Image) -> Vec<Option<BlobId>> {
    let paths = HiveFile::ALL.iter().flat_map(|file| ["", ".LOG", ".LOG1", ".LOG2"].map(|suffix| format!("{}{suffix}", file.path())));
    paths.map(|path| image.tree.at(&path).and_then(|entry| entry.inode().contents)).collect()
}

/// Windows would look for what is put below a link where the link leads; the image would hold it where nothing finds it.
fn refuse_links(image: &Image, path: &ImagePath) -> Result<(), StepError> {
    for above in std::iter::successors(path.parent(), ImagePath::parent) {
        if image.tree.get(&above).is_some_and(|entry| entry.inode().reparse.is_some()) {
            return Err(StepError::refused(
                format!("`{path}` cannot be put below `{above}`, which is a link to another folder"),
                "name the folder that the link leads to (`/ProgramData` for `/Users/All Users`, `/Users/Default` for `/Users/Default User`)",
            ));
        }
    }
    Ok(())
}

fn parse(path: &str) -> Result<ImagePath, StepError> {
    ImagePath::parse(path).map_err(|error| StepError::refused(error.to_string(), ""))
}

/// SDDL as a self-relative security descriptor.
fn encode_security(sddl: &str) -> Result<Vec<u8>, StepError> {
    let refused = |error: &dyn std::fmt::Display| StepError::refused(format!("`{sddl}` is not usable SDDL: {error}"), "");
    let descriptor = SecurityDescriptor::from_sddl(sddl).map_err(|error| refused(&error))?;
    descriptor.encode().map_err(|error| refused(&error))
}

/// How new files look: shared with the steps that place one known file.
pub(crate) struct NewFile<'a> {
    pub attributes: Option<u32>,
    pub security: Option<&'a [u8]>,
    pub time: u64,
}

impl NewFile<'_> {
    /// Puts a file (or a directory, without contents) at `path` and says what happened. Directories that are missing on
    /// the way are created.
    pub fn put(&self, image: &mut Image, path: &ImagePath, contents: Option<&Payload>) -> Result<String, StepError> {
        let Some(payload) = contents else {
            refuse_links(image, path)?;
            let created = self.directories(image, path)?;
            return Ok(if created > 0 { format!("created {path}") } else { format!("{path} is there") });
        };
        let blob = image.blobs.add_source(payload.source.clone())?;
        self.put_blob(image, path, blob)
    }

    /// The same for contents that are in the image's blobs.
    pub fn put_blob(&self, image: &mut Image, path: &ImagePath, blob: Option<BlobId>) -> Result<String, StepError> {
        let parent = path.parent().ok_or_else(|| StepError::refused("the root of an image is not a file", ""))?;
        refuse_links(image, path)?;
        self.directories(image, &parent)?;
        let existing = image.tree.get(path).map(|entry| entry.inode().clone());
        let replaced = existing.is_some();
        let mut inode = match existing {
            // Windows keeps what the file had and writes through; streams belong to the old contents.
            Some(inode) => Inode { accessed: self.time, written: self.time, ..inode.replaced() },
            None => Inode { security: self.inherited(image, &parent, false), ..self.inode(ATTRIBUTE_ARCHIVE) },
        };
        if let Some(attributes) = self.attributes {
            inode.attributes = attributes | ATTRIBUTE_ARCHIVE;
        }
        if let Some(security) = self.security {
            inode.security = Some(image.tree.add_security(security));
        }
        inode.contents = blob;
        image.tree.put_file(path, inode)?;
        Ok(format!("{} {path}", if replaced { "replaced" } else { "added" }))
    }

    fn inode(&self, attributes: u32) -> Inode {
        Inode { attributes, created: self.time, accessed: self.time, written: self.time, ..Inode::default() }
    }

    /// Creates missing directories and gives each the security that the one above hands down.
    fn directories(&self, image: &mut Image, path: &ImagePath) -> Result<usize, StepError> {
        let created = image.tree.make_directories(path, &self.inode(ATTRIBUTE_DIRECTORY))?;
        for directory in &created {
            let security = match self.security {
                Some(security) => Some(image.tree.add_security(security)),
                None => self.inherited(image, &directory.parent().unwrap_or_default(), true),
            };
            image.tree.update(directory, |inode| inode.security = security)?;
        }
        Ok(created.len())
    }

    /// What a new child of `parent` inherits; nothing where the image stores no security.
    fn inherited(&self, image: &mut Image, parent: &ImagePath, directory: bool) -> Option<wimwright_image::tree::SecurityId> {
        let descriptor = image.tree.get(parent)?.security()?.clone();
        let inherited = inherited_by_child(&SecurityDescriptor::decode(&descriptor).ok()?, directory);
        Some(image.tree.add_security(&inherited.encode().ok()?))
    }
}

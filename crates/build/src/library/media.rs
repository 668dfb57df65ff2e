//! Imported media: the medium itself, or where it lies, and everything known about its images.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use wimwright_image::medium::{Medium, MediumError};
use wimwright_image::{Blobs, Image, ImageError};
use wimwright_servicing::inventory::Inventory;

use super::{Library, LibraryError};
use crate::durable::{self, At, FileError, Pending};
use crate::events::{Event, Events};

/// What the library knows of a medium: `media/NAME/medium.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MediumRecord {
    /// Its name in the library.
    pub name: String,
    /// Where it lies: relative to its folder in the library, or absolute when it was imported in place.
    pub location: PathBuf,
    /// Size of the host file in bytes when it was imported (of a folder: of all its files).
    pub size: u64,
    /// Volume label.
    pub label: String,
    /// The image file that was read, as a path on the medium.
    pub image_file: String,
    /// Its images.
    pub images: Vec<Inventory>,
}

/// An image of the library, and whether a newer one of its family is there.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ListedImage {
    /// Name of the medium in the library.
    pub medium: String,
    /// The image.
    pub image: Inventory,
    /// The newest image of its family, when that is another one.
    pub superseded_by: Option<NewestImage>,
}

/// The newest image of a family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NewestImage {
    /// Name of its medium in the library.
    pub medium: String,
    /// Its number, from 1.
    pub index: u32,
    /// Its media name.
    pub media_name: String,
}

/// Why a medium cannot be imported or used.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The library cannot be used.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The medium cannot be read.
    #[error(transparent)]
    Medium(#[from] MediumError),
    /// An image of it cannot be read.
    #[error("image {index} of `{file}` cannot be read")]
    Image {
        /// The image file.
        file: String,
        /// Number of the image.
        index: u32,
        /// What is wrong with it.
        source: Box<ImageError>,
    },
    /// A name that is no folder name.
    #[error("`{name}` cannot be the name of a medium: use letters, digits, spaces, `.`, `-` and `_`")]
    Name {
        /// The name.
        name: String,
    },
    /// The name is taken by another medium.
    #[error("the library has another medium named `{name}`")]
    Exists {
        /// The name.
        name: String,
    },
    /// The library has no such medium.
    #[error("the library has no medium `{name}`; it has: {present}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        present: String,
    },
}

impl From<FileError> for ImportError {
    fn from(error: FileError) -> Self {
        Self::Library(error.into())
    }
}

/// Reads what is known of every image of a medium. Opens metadata and hives, never the other contents.
///
/// # Errors
/// The medium has no image file, or an image cannot be read.
pub fn inspect(medium: &Medium) -> Result<Vec<Inventory>, ImportError> {
    let file = medium.install_file()?;
    let images = medium.open_images(file)?;
    let mut inventories = Vec::new();
    for index in 1..=images.image_count() {
        let failed = |source| ImportError::Image { file: file.path.clone(), index, source: Box::new(source) };
        let mut image = Image::open(&images, index, &Blobs::default()).map_err(failed)?;
        inventories.push(Inventory::read(&mut image, index).map_err(failed)?);
    }
    Ok(inventories)
}

impl Library {
    fn media_folder(&self) -> PathBuf {
        self.root().join("media")
    }

    /// Takes a medium into the library: copied (shared with the original where the file system can), or with `in_place` only
    /// its location. Importing the same medium again gives the record that is there.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub fn import(&self, path: &Path, name: Option<&str>, in_place: bool, events: &dyn Events) -> Result<MediumRecord, ImportError> {
        let medium = Medium::open(path)?;
        let images = inspect(&medium)?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.map_or(stem, str::to_owned);
        let legal = |character: char| character.is_alphanumeric() || " .-_()".contains(character);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(legal) {
            return Err(ImportError::Name { name });
        }
        let size = medium.files.iter().map(|file| file.source.size()).sum();
        let image_file = medium.install_file()?.path.clone();
        let mut record =
            MediumRecord { name: name.clone(), location: PathBuf::new(), size, label: medium.label.clone(), image_file, images };
        let folder = self.media_folder().join(&name);
        if folder.join("medium.json").exists() {
            let known = self.medium(&name)?;
            return if known.images == record.images && known.size == record.size { Ok(known) } else { Err(ImportError::Exists { name }) };
        }
        record.location =
            if in_place { fs::canonicalize(path).at("find", path)? } else { self.copy_medium(&medium, path, &folder, events)? };
        let json = serde_json::to_vec_pretty(&record)
            .map_err(|error| LibraryError::Damaged { path: folder.clone(), problem: error.to_string() })?;
        durable::write(&folder.join("medium.json"), &json)?;
        Ok(record)
    }

    /// Copies the host files of a medium; returns the path below `folder` that opens it.
    fn copy_medium(&self, medium: &Medium, path: &Path, folder: &Path, events: &dyn Events) -> Result<PathBuf, ImportError> {
        use wimwright_image::medium::MediumKind;
        let file_name = path.file_name().map_or_else(|| PathBuf::from("medium"), PathBuf::from);
        let copies: Vec<(PathBuf, PathBuf)> = match medium.kind {
            MediumKind::Iso => vec![(path.to_owned(), file_name.clone())],
            MediumKind::ImageFile => medium.files.iter().map(|file| (path.with_file_name(&file.path), PathBuf::from(&file.path))).collect(),
            MediumKind::Folder => medium.files.iter().map(|file| (path.join(&file.path), file_name.join(&file.path))).collect(),
        };
        for (from, below) in copies {
            copy_file(&from, &folder.join(below), events)?;
        }
        Ok(file_name)
    }

    /// The record of a medium.
    ///
    /// # Errors
    /// There is none of that name, or it is damaged.
    pub fn medium(&self, name: &str) -> Result<MediumRecord, ImportError> {
        let path = self.media_folder().join(name).join("medium.json");
        let simple = Path::new(name).components().count() == 1 && !name.starts_with('.');
        let bytes = match fs::read(&path) {
            Ok(bytes) if simple => bytes,
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).at("read", &path)?,
            _ => {
                let names: Vec<_> = self.media()?.into_iter().map(|record| record.name).collect();
                let present = if names.is_empty() { "none (see `wimwright import`)".to_owned() } else { names.join(", ") };
                return Err(ImportError::Unknown { name: name.to_owned(), present });
            }
        };
        serde_json::from_slice(&bytes).map_err(|error| LibraryError::Damaged { path, problem: error.to_string() }.into())
    }

    /// All media, by name.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn media(&self) -> Result<Vec<MediumRecord>, ImportError> {
        let folder = self.media_folder();
        let mut names = Vec::new();
        match fs::read_dir(&folder) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry.at("list", &folder)?;
                    // A folder without a record is an import that was interrupted.
                    if entry.path().join("medium.json").exists() {
                        names.push(entry.file_name().to_string_lossy().into_owned());
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).at("list", &folder)?,
        }
        names.sort();
        names.iter().map(|name| self.medium(name)).collect()
    }

    /// The host path that opens a medium of the library.
    #[must_use]
    pub fn medium_path(&self, record: &MediumRecord) -> PathBuf {
        self.media_folder().join(&record.name).join(&record.location)
    }

    /// All images, families together, newest first; of each family all but the newest are superseded. As in OSDBuilder, the
    /// newest is the one with the highest build and UBR that was changed last.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn list(&self) -> Result<Vec<ListedImage>, ImportError> {
        let mut all: Vec<(String, Inventory)> =
            self.media()?.into_iter().flat_map(|record| record.images.into_iter().map(move |image| (record.name.clone(), image))).collect();
        all.sort_by(|(left_medium, left), (right_medium, right)| {
            let newest = |image: &Inventory| std::cmp::Reverse((image.build, image.ubr, image.modified));
            (&left.family, newest(left), left_medium, left.index).cmp(&(&right.family, newest(right), right_medium, right.index))
        });
        let mut newest: Option<(String, NewestImage)> = None;
        let mut listed = Vec::new();
        for (medium, image) in all {
            let superseded_by = match &newest {
                Some((family, newest)) if *family == image.family && !family.is_empty() => Some(newest.clone()),
                _ => {
                    let (index, media_name) = (image.index, image.media_name.clone());
                    newest = Some((image.family.clone(), NewestImage { medium: medium.clone(), index, media_name }));
                    None
                }
            };
            listed.push(ListedImage { medium, image, superseded_by });
        }
        Ok(listed)
    }
}

/// Copies a file durably; on file systems that can share blocks, without copying them.
fn copy_file(from: &Path, to: &Path, events: &dyn Events) -> Result<(), ImportError> {
    /// Bytes that are copied between two reports of progress.
    const STEP: u64 = 64 << 20;
    let source = File::open(from).at("open", from)?;
    let total = source.metadata().at("read", from)?.len();
    let pending = Pending::create(to)?;
    if rustix::fs::ioctl_ficlone(pending.file(), &source).is_err() {
        let mut done = 0;
        while done < total {
            let copied = std::io::copy(&mut std::io::Read::take(&source, STEP), &mut pending.file()).at("copy", from)?;
            if copied == 0 {
                break;
            }
            done += copied;
            events.event(Event::Progress { work: "copy", subject: from.display().to_string(), done, total });
        }
    }
    pending.publish()?;
    Ok(())
}

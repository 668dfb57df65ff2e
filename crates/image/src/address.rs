//! How a person names something on a medium: `MEDIUM[:PLACE]…`.
//!
//! ```text
//! win.iso                                   the medium
//! win.iso:/setup.exe                        a file of the medium
//! win.iso:1                                 image 1 of its install.wim (or .esd, .swm)
//! win.iso:1/Windows/System32                a path in that image
//! win.iso:boot.wim:2/sources                the same in another image file of the medium
//! install.wim:3/Windows                     a bare image file works alike
//! win.iso:1/Windows/System32/Recovery/winre.wim:1/Windows       an image inside an image
//! ```
//!
//! A place is an image's number with an optional path in it, the name of an image file, or a path that starts with `/`.
//! The longest prefix that exists on the host is the medium, so host paths may contain colons.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use wimwright_format::wim::Wim;

use crate::blobs::Blobs;
use crate::image::{Image, ImageError};
use crate::image_file::ImageFile;
use crate::medium::{Medium, MediumError};
use crate::path::{ImagePath, PathError};

/// Deepest nesting of images that an address may ask for.
const MAX_PLACES: usize = 16;

/// One step of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A path on the medium itself.
    MediumPath(String),
    /// An image file of the medium.
    ImageFile(String),
    /// An image, and a path in it.
    Image {
        /// Number of the image, from 1.
        index: u32,
        /// The path; the root when none was given.
        path: ImagePath,
    },
}

/// A parsed address. See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The medium on the host.
    pub medium: PathBuf,
    /// Where in it, outermost first.
    pub places: Vec<Place>,
}

/// Why an address leads nowhere.
#[derive(Debug, Error)]
pub enum AddressError {
    /// No prefix exists on the host.
    #[error("`{address}`: there is no such file or folder")]
    NoMedium {
        /// The address.
        address: String,
    },
    /// A place is not understood, or stands where it makes no sense.
    #[error("`{address}`: `{place}` {problem}")]
    Place {
        /// The address.
        address: String,
        /// The place.
        place: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A path in an image is not one.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The medium cannot be read.
    #[error(transparent)]
    Medium(#[from] MediumError),
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Nothing is there.
    #[error("`{address}`: {missing} does not exist")]
    Missing {
        /// The address.
        address: String,
        /// What is missing.
        missing: String,
    },
}

/// What an address leads to.
pub enum Target {
    /// A medium as a whole.
    Medium(Medium),
    /// A file or folder of a medium (a path with slashes, without a leading one).
    MediumPath(Medium, String),
    /// All images of an image file.
    Images(ImageFile),
    /// A path in an image (the root when none was given).
    Image(Box<Image>, ImagePath),
}

impl Address {
    /// Reads an address. Asks the host which prefix of it exists.
    ///
    /// # Errors
    /// No prefix exists, or a place is not understood.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let mut end = text.len();
        while !Path::new(&text[..end]).exists() {
            end = text[..end].rfind(':').ok_or_else(|| AddressError::NoMedium { address: text.to_owned() })?;
        }
        let medium = PathBuf::from(&text[..end]);
        let mut places = Vec::new();
        for place in text[end..].split(':').skip(1) {
            let digits = place.len() - place.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
            let (number, rest) = place.split_at(digits);
            let problem = |problem| AddressError::Place { address: text.to_owned(), place: place.to_owned(), problem };
            places.push(if place.is_empty() {
                return Err(problem("is empty"));
            } else if digits > 0 && (rest.is_empty() || rest.starts_with(['/', '\\'])) {
                let index = number
                    .parse()
                    .ok()
                    .filter(|index| *index > 0)
                    .ok_or_else(|| problem("is not the number of an image: they count from 1"))?;
                Place::Image { index, path: ImagePath::parse(rest)? }
            } else if place.starts_with(['/', '\\']) {
                Place::MediumPath(place.trim_matches(['/', '\\']).replace('\\', "/"))
            } else {
                Place::ImageFile(place.replace('\\', "/"))
            });
            if places.len() > MAX_PLACES {
                return Err(problem("nests too deep"));
            }
        }
        Ok(Self { medium, places })
    }

    /// Opens what the address names.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn open(&self) -> Result<Target, AddressError> {
        let mut target = Target::Medium(Medium::open(&self.medium)?);
        for place in &self.places {
            target = self.enter(target, place)?;
        }
        Ok(target)
    }

    fn enter(&self, target: Target, place: &Place) -> Result<Target, AddressError> {
        let problem = |problem| AddressError::Place { address: self.to_string(), place: place.to_string(), problem };
        Ok(match (target, place) {
            (Target::Medium(medium), Place::MediumPath(path)) => Target::MediumPath(medium, path.clone()),
            (Target::Medium(medium), Place::ImageFile(name)) => Target::Images(medium.open_images(medium.image_file(name)?)?),
            (Target::Medium(medium), Place::Image { .. }) => {
                let images = medium.open_images(medium.install_file()?)?;
                self.enter(Target::Images(images), place)?
            }
            (Target::MediumPath(medium, path), Place::Image { .. }) => {
                let images = medium.open_images(medium.image_file(&path)?)?;
                self.enter(Target::Images(images), place)?
            }
            (Target::Images(images), Place::Image { index, path }) => {
                let image = Image::open(&images, *index, &Blobs::default())?;
                Target::Image(Box::new(image), path.clone())
            }
            (Target::Image(image, path), Place::Image { .. }) => {
                let images = self.nested(&image, &path)?;
                self.enter(Target::Images(images), place)?
            }
            (Target::MediumPath(..) | Target::Image(..), Place::ImageFile(_) | Place::MediumPath(_)) => {
                return Err(problem("stands inside an image: the number of an image is expected"));
            }
            (Target::Images(_), _) => return Err(problem("stands behind an image file: the number of an image is expected")),
        })
    }

    /// The WIM that is a file of an image.
    fn nested(&self, image: &Image, path: &ImagePath) -> Result<ImageFile, AddressError> {
        let entry = image.tree.get(path).ok_or_else(|| AddressError::Missing { address: self.to_string(), missing: path.to_string() })?;
        let missing = || AddressError::Missing { address: self.to_string(), missing: format!("a WIM in {path}") };
        let source = image.blobs.view(&entry.inode().contents.ok_or_else(missing)?).map_err(ImageError::from)?;
        let opened = Wim::open(source).and_then(|wim| ImageFile::new(vec![Arc::new(wim)]));
        Ok(opened.map_err(|source| MediumError::Wim { file: path.to_string(), source })?)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MediumPath(path) => write!(formatter, "/{path}"),
            Self::ImageFile(name) => formatter.write_str(name),
            Self::Image { index, path } if path.is_root() => write!(formatter, "{index}"),
            Self::Image { index, path } => write!(formatter, "{index}{path}"),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.medium.display())?;
        self.places.iter().try_for_each(|place| write!(formatter, ":{place}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let medium = folder.path().join("a:b.iso");
        std::fs::write(&medium, b"").unwrap();
        let parse = |places: &str| Address::parse(&format!("{}{places}", medium.display()));
        let image = |index, path| Place::Image { index, path: ImagePath::parse(path).unwrap() };
        assert_eq!(parse("").unwrap().places, []);
        assert_eq!(parse(":2").unwrap().places, [image(2, "")]);
        assert_eq!(parse(":install.wim:1/Windows").unwrap().places, [Place::ImageFile("install.wim".into()), image(1, "/Windows")]);
        assert_eq!(parse(r":1\Windows\winre.wim:1/sources").unwrap().places, [image(1, "Windows/winre.wim"), image(1, "sources")]);
        assert_eq!(parse(":/sources/ei.cfg").unwrap().places, [Place::MediumPath("sources/ei.cfg".into())]);
        assert_eq!(parse(":1/Windows").unwrap().to_string(), format!("{}:1/Windows", medium.display()));
        assert!(matches!(parse(":0"), Err(AddressError::Place { .. })));
        assert!(matches!(parse(":"), Err(AddressError::Place { .. })));
        assert!(matches!(parse(":1/../x"), Err(AddressError::Path(_))));
        assert!(matches!(Address::parse("no/such/file:1"), Err(AddressError::NoMedium { .. })));
    }
}

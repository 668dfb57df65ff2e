//! An image file: one WIM, or the parts of a split one.

use std::sync::Arc;

use wimwright_format::wim::{Error, ImageInfo, Metadata, Wim, WimSet};

/// A WIM with all of its parts.
pub struct ImageFile {
    parts: Vec<Arc<Wim>>,
}

impl ImageFile {
    /// Puts a set together.
    ///
    /// # Errors
    /// A part is missing, comes twice, or belongs to another set.
    pub fn new(parts: Vec<Arc<Wim>>) -> Result<Self, Error> {
        let set = WimSet::new(parts, Vec::new())?;
        Ok(Self { parts: set.wims().cloned().collect() })
    }

    /// The parts, the first with the metadata first.
    #[must_use]
    pub fn parts(&self) -> &[Arc<Wim>] {
        &self.parts
    }

    /// The part that has the metadata.
    #[must_use]
    pub fn first(&self) -> &Arc<Wim> {
        &self.parts[0]
    }

    /// How many images it has.
    #[must_use]
    pub fn image_count(&self) -> u32 {
        self.first().image_count()
    }

    /// What the XML data say of each image.
    #[must_use]
    pub fn images(&self) -> &[ImageInfo] {
        self.first().images()
    }

    /// What the XML data say of image number `index` (from 1).
    #[must_use]
    pub fn info(&self, index: u32) -> ImageInfo {
        self.images().get((index as usize).wrapping_sub(1)).cloned().unwrap_or_default()
    }

    /// The metadata of image number `index` (from 1).
    ///
    /// # Errors
    /// There is no such image, or its metadata is damaged.
    pub fn metadata(&self, index: u32) -> Result<Metadata, Error> {
        self.first().metadata(index)
    }
}

//! An image file: one WIM, or the parts of a split one.

use std::sync::Arc;

use thiserror::Error;
use wimwright_format::wim::{self, ImageInfo, Metadata, Wim};

/// Why parts do not make an image file.
#[derive(Debug, Error)]
pub enum ImageFileError {
    /// A part is damaged or not a WIM.
    #[error(transparent)]
    Wim(#[from] wim::Error),
    /// The file is a later part of a split set.
    #[error("it is part {part} of a split set of {total}: open the first part")]
    LaterPart {
        /// Its number.
        part: u16,
        /// How many parts the set has.
        total: u16,
    },
    /// A part is not there.
    #[error("part {part} of {total} is missing: the other parts of a split set must lie beside the first")]
    MissingPart {
        /// Its number.
        part: u16,
        /// How many parts the set has.
        total: u16,
    },
    /// A file of the right name belongs to another set.
    #[error("the file that should be part {part} belongs to another split set")]
    ForeignPart {
        /// Its number.
        part: u16,
    },
}

/// A WIM with all of its parts.
pub struct ImageFile {
    parts: Vec<Arc<Wim>>,
}

impl ImageFile {
    /// Puts a set together. The parts come in their order, the first first.
    ///
    /// # Errors
    /// A part is missing, or belongs to another set.
    pub fn new(parts: Vec<Arc<Wim>>) -> Result<Self, ImageFileError> {
        let header = parts.first().map(|first| first.header().clone());
        let Some(header) = header else { return Err(ImageFileError::MissingPart { part: 1, total: 1 }) };
        let total = header.total_parts;
        if header.part_number != 1 {
            return Err(ImageFileError::LaterPart { part: header.part_number, total });
        }
        for part in 1..=total {
            let Some(wim) = parts.get(usize::from(part) - 1) else { return Err(ImageFileError::MissingPart { part, total }) };
            let found = wim.header();
            if found.guid != header.guid || found.part_number != part || found.total_parts != total {
                return Err(ImageFileError::ForeignPart { part });
            }
        }
        Ok(Self { parts })
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
    pub fn metadata(&self, index: u32) -> Result<Metadata, wim::Error> {
        self.first().metadata(index)
    }
}

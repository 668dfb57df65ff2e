//! Several files that together have an image's blobs: the parts of a split WIM, or a delta WIM with those it builds on.

use std::io::Write;
use std::sync::Arc;

use super::{Blob, BlobId, Error, Wim};

/// A WIM and the files that have the rest of its blobs.
#[derive(Debug, Clone)]
pub struct WimSet {
    first: Arc<Wim>,
    others: Vec<Arc<Wim>>,
}

impl WimSet {
    /// Joins the parts of a split WIM (one part where it is not split) with `references`: other WIMs that may have blobs
    /// of a delta WIM. Parts may come in any order.
    ///
    /// # Errors
    /// [`Error::Set`] when a part is missing (its number is named), comes twice, or belongs to another WIM.
    pub fn new(mut parts: Vec<Arc<Wim>>, references: Vec<Arc<Wim>>) -> Result<Self, Error> {
        let refused = |reason: String| Error::Set { reason };
        parts.sort_by_key(|part| part.header().part_number);
        let first = parts.first().ok_or_else(|| refused("no part was given".to_owned()))?.header().clone();
        for (expected, part) in (1..).zip(&parts) {
            let header = part.header();
            if header.guid != first.guid || header.total_parts != first.total_parts {
                return Err(refused(format!("part {} belongs to another WIM", header.part_number)));
            }
            if header.part_number < expected {
                return Err(refused(format!("part {} was given twice", header.part_number)));
            }
            if header.part_number > expected {
                return Err(refused(format!("part {expected} of {} is missing", first.total_parts)));
            }
        }
        if parts.len() < usize::from(first.total_parts) {
            return Err(refused(format!("part {} of {} is missing", parts.len().saturating_add(1), first.total_parts)));
        }
        let mut wims = parts.into_iter();
        let first = wims.next().ok_or_else(|| refused("no part was given".to_owned()))?;
        Ok(Self { first, others: wims.chain(references).collect() })
    }

    /// The part that has the metadata.
    #[must_use]
    pub fn first(&self) -> &Arc<Wim> {
        &self.first
    }

    /// All files: the parts in order, then the references.
    pub fn wims(&self) -> impl Iterator<Item = &Arc<Wim>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The file that has a blob, and where.
    #[must_use]
    pub fn find(&self, id: &BlobId) -> Option<(&Arc<Wim>, &Blob)> {
        self.wims().find_map(|wim| Some((wim, wim.blob(id)?)))
    }

    /// Reads a blob; as [`Wim::read_blob`].
    ///
    /// # Errors
    /// As [`Wim::read_blob`].
    pub fn read_blob(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.find(id).ok_or(Error::BlobMissing { id: *id })?.0.read_blob(id, limit)
    }

    /// Writes a blob to `output`; as [`Wim::copy_blob`].
    ///
    /// # Errors
    /// As [`Wim::copy_blob`].
    pub fn copy_blob(&self, id: &BlobId, output: &mut dyn Write) -> Result<(), Error> {
        self.find(id).ok_or(Error::BlobMissing { id: *id })?.0.copy_blob(id, output)
    }
}

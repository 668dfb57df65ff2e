//! Where the bytes of an image's files are.

use std::collections::HashMap;

use rayon::prelude::*;
use wimwright_format::wim::BlobId;
use wimwright_format::wim::write::BlobSource;

use crate::generated::Generated;

/// The blobs of one image file.
#[derive(Default)]
pub(crate) struct Contents(HashMap<BlobId, BlobSource>);

impl Contents {
    /// Takes bytes; nothing for none, since an empty stream has no blob.
    pub(crate) fn add(&mut self, bytes: impl Into<Vec<u8>>) -> Option<BlobId> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return None;
        }
        let id = BlobId::of(&bytes);
        self.0.entry(id).or_insert_with(|| BlobSource::Bytes(bytes.into()));
        Some(id)
    }

    /// Takes generated contents, hashed on all cores.
    pub(crate) fn add_generated(&mut self, all: &[Generated]) -> Vec<BlobId> {
        let ids: Vec<BlobId> = all.par_iter().map(Generated::id).collect();
        self.0.extend(ids.iter().zip(all).map(|(id, generated)| (*id, generated.source())));
        ids
    }

    /// Where a blob's bytes are.
    pub(crate) fn source(&self, id: &BlobId) -> Option<BlobSource> {
        self.0.get(id).cloned()
    }

    /// A blob's bytes; 0 for one that is not here.
    pub(crate) fn size(&self, id: &BlobId) -> u64 {
        match self.0.get(id) {
            Some(BlobSource::Bytes(bytes)) => bytes.len() as u64,
            Some(BlobSource::Stream { size, .. }) => *size,
            _ => 0,
        }
    }
}

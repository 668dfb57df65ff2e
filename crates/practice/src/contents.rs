//! Where the bytes of an image's files are.

use std::collections::HashMap;
use std::io::{self, Read};

use rayon::prelude::*;
use sha2::{Digest, Sha256};
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

    /// Takes bytes, and gives their SHA-256 too.
    pub(crate) fn add_hashed(&mut self, bytes: impl Into<Vec<u8>>) -> (Option<BlobId>, [u8; 32]) {
        let bytes = bytes.into();
        let hash = Sha256::digest(&bytes).into();
        (self.add(bytes), hash)
    }

    /// Takes generated contents, hashed on all cores.
    pub(crate) fn add_generated(&mut self, all: &[Generated]) -> Vec<(BlobId, [u8; 32])> {
        let hashes: Vec<_> = all.par_iter().map(Generated::hashes).collect();
        self.0.extend(hashes.iter().zip(all).map(|((id, _), generated)| (*id, generated.source())));
        hashes
    }

    /// A blob's bytes; nothing for one that is not here.
    pub(crate) fn bytes(&self, id: Option<&BlobId>) -> io::Result<Vec<u8>> {
        match id.and_then(|id| self.0.get(id)) {
            Some(BlobSource::Bytes(bytes)) => Ok(bytes.to_vec()),
            Some(BlobSource::Stream { open, .. }) => {
                let mut bytes = Vec::new();
                open()?.read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            _ => Ok(Vec::new()),
        }
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

//! Reading the blobs that are written anew, and checking that they are what their names say.

use std::io::Read;
use std::sync::Arc;

use sha1::{Digest, Sha1};

use super::{BlobSource, WriteError};
use crate::wim::{Blob, BlobId};

/// Bytes read at once.
const PIECE_SIZE: usize = 1 << 20;

/// A blob to be written anew.
pub(super) struct PlannedBlob {
    pub(super) id: BlobId,
    pub(super) size: u64,
    pub(super) references: u32,
    pub(super) source: BlobSource,
}

/// Receives bytes: (number of the blob, position in it, bytes).
pub(super) type Take<'a> = dyn FnMut(usize, u64, &[u8]) -> Result<(), WriteError> + 'a;

/// Hands over the bytes of blobs in order.
pub(super) fn feed(blobs: &[PlannedBlob], take: &mut Take<'_>) -> Result<(), WriteError> {
    let mut number = 0_usize;
    while let Some(blob) = blobs.get(number) {
        match &blob.source {
            BlobSource::Wim(wim) => {
                // All that follow from the same WIM, so that they are decompressed together.
                let same = |blob: &PlannedBlob| matches!(&blob.source, BlobSource::Wim(other) if Arc::ptr_eq(wim, other));
                let rest = blobs.get(number..).unwrap_or_default();
                let group: Vec<Blob> = rest.iter().take_while(|blob| same(blob)).filter_map(|blob| wim.blob(&blob.id).copied()).collect();
                let mut current = number;
                wim.visit(&group, &mut |blob, position, bytes| {
                    take(current, position, bytes)?;
                    if position.saturating_add(bytes.len() as u64) == blob.size {
                        current = current.saturating_add(1);
                    }
                    Ok::<(), WriteError>(())
                })?;
                number = number.saturating_add(group.len().max(1));
                continue;
            }
            BlobSource::Bytes(bytes) => read_through(number, blob, &mut &**bytes, take)?,
            BlobSource::Stream { open, .. } => {
                let mut stream = open().map_err(|source| WriteError::ReadBlob { id: blob.id, source })?;
                read_through(number, blob, &mut stream, take)?;
            }
            BlobSource::Elsewhere => {}
        }
        number = number.saturating_add(1);
    }
    Ok(())
}

/// Reads one blob to its end and checks its size and SHA-1.
fn read_through(number: usize, blob: &PlannedBlob, stream: &mut dyn Read, take: &mut Take<'_>) -> Result<(), WriteError> {
    let mut hash = Sha1::new();
    let mut position = 0_u64;
    let mut buffer = vec![0; PIECE_SIZE.min(usize::try_from(blob.size).unwrap_or(PIECE_SIZE).saturating_add(1))];
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(WriteError::ReadBlob { id: blob.id, source }),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        hash.update(bytes);
        let end = position.saturating_add(count as u64);
        if end > blob.size {
            position = end;
            break;
        }
        take(number, position, bytes)?;
        position = end;
    }
    let found = BlobId(hash.finalize().into());
    if position != blob.size || found != blob.id {
        return Err(WriteError::BlobChanged { id: blob.id, size: position, found });
    }
    Ok(())
}

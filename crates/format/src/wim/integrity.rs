//! The integrity table: SHA-1 of every 10 MiB of the file between the header and the end of the blob table.
//!
//! `{ size: u32, count: u32, chunk size: u32, SHA-1: 20 x count }`. The XML data and the table itself are not covered.
//! Source: wimlib's `integrity.c`.

use std::num::NonZeroUsize;

use sha1::{Digest, Sha1};

use super::Error;
use super::fields::Fields;
use super::header::{HEADER_SIZE, Header};
use super::resource::read;
use super::workers::Workers;
use crate::io::ReadAt;

/// Bytes that one hash covers, as Microsoft's tools and wimlib write it.
pub(super) const CHUNK_SIZE: u32 = 10 << 20;
/// Length of the table's fixed fields.
const FIXED_SIZE: u64 = 12;
/// Largest chunk size we accept: chunks are held in memory, one for each thread.
const MAX_CHUNK_SIZE: u32 = 64 << 20;

/// Fills a buffer from a position of the WIM.
type ReadPiece<'a, E> = dyn FnMut(&mut [u8], u64) -> Result<(), E> + 'a;

/// Length in bytes of the table for a WIM whose blob table ends at `end`.
pub(super) fn table_size(end: u64) -> u64 {
    let chunks = end.saturating_sub(HEADER_SIZE).div_ceil(u64::from(CHUNK_SIZE));
    chunks.saturating_mul(20).saturating_add(FIXED_SIZE)
}

/// Computes the table's bytes.
pub(super) fn compute<E>(end: u64, read: &mut ReadPiece<'_, E>, threads: NonZeroUsize) -> Result<Vec<u8>, E> {
    let mut hashes = Vec::new();
    hash_chunks(HEADER_SIZE..end, CHUNK_SIZE, read, threads, &mut |_, hash| {
        hashes.extend(hash);
        Ok(())
    })?;
    let mut output = Vec::with_capacity(hashes.len().saturating_add(12));
    output.extend(u32::try_from(table_size(end)).unwrap_or(u32::MAX).to_le_bytes());
    output.extend(u32::try_from(hashes.len().div_euclid(20)).unwrap_or(u32::MAX).to_le_bytes());
    output.extend(CHUNK_SIZE.to_le_bytes());
    output.extend(hashes);
    Ok(output)
}

/// Hashes a range piece by piece, on all threads; `take` gets (position, SHA-1) in order.
fn hash_chunks<E>(
    range: std::ops::Range<u64>,
    chunk_size: u32,
    read: &mut ReadPiece<'_, E>,
    threads: NonZeroUsize,
    take: &mut dyn FnMut(u64, [u8; 20]) -> Result<(), E>,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        let work = |_: &mut (), (position, buffer): (u64, Vec<u8>)| {
            let hash: [u8; 20] = Sha1::digest(&buffer).into();
            (position, buffer, hash)
        };
        let mut workers = Workers::start(scope, threads, || (), work);
        let mut spare = Vec::new();
        let mut position = range.start;
        while position < range.end || workers.in_flight() > 0 {
            if position < range.end && workers.in_flight() <= threads.get() {
                let length = range.end.saturating_sub(position).min(u64::from(chunk_size));
                let mut buffer: Vec<u8> = spare.pop().unwrap_or_default();
                buffer.resize(usize::try_from(length).unwrap_or_default(), 0);
                read(&mut buffer, position)?;
                workers.submit((position, buffer), length);
                position = position.saturating_add(length);
            } else if let Some((position, buffer, hash)) = workers.oldest() {
                take(position, hash)?;
                spare.push(buffer);
            }
        }
        Ok(())
    })
}

/// Checks the file against its integrity table.
pub(super) fn verify(source: &dyn ReadAt, header: &Header, threads: NonZeroUsize) -> Result<(), Error> {
    let bad = |reason| Error::IntegrityTable { reason };
    let end = header.blob_table.offset.saturating_add(header.blob_table.stored_size);
    if end < HEADER_SIZE || end > source.size() {
        return Err(bad("the bytes that it covers are not in the file"));
    }
    let place = header.integrity;
    if place.stored_size < FIXED_SIZE || place.offset.checked_add(place.stored_size).is_none_or(|end| end > source.size()) {
        return Err(bad("it is not in the file"));
    }
    let mut table = vec![0; usize::try_from(place.stored_size).map_err(|_| bad("it does not fit into memory"))?];
    read(source, "integrity table", place.offset, &mut table)?;
    let fields = Fields(&table);
    let [size, count, chunk_size] = [0, 4, 8].map(|offset| fields.u32(offset).unwrap_or_default());
    if chunk_size == 0 || chunk_size > MAX_CHUNK_SIZE {
        return Err(bad("its chunk size is not between 1 byte and 64 MiB"));
    }
    let expected = end.saturating_sub(HEADER_SIZE).div_ceil(u64::from(chunk_size));
    let fits = u64::from(count).checked_mul(20).and_then(|hashes| hashes.checked_add(FIXED_SIZE)) == Some(place.stored_size);
    if u64::from(count) != expected || !fits || u64::from(size) != place.stored_size {
        return Err(bad("its size does not match the file"));
    }
    let mut hashes = table.get(12..).unwrap_or_default().chunks_exact(20);
    let mut read_piece = |buffer: &mut [u8], offset| read(source, "bytes covered by the integrity table", offset, buffer);
    hash_chunks(HEADER_SIZE..end, chunk_size, &mut read_piece, threads, &mut |offset, hash| {
        if hashes.next() == Some(&hash) {
            return Ok(());
        }
        Err(Error::IntegrityMismatch { offset, length: end.saturating_sub(offset).min(u64::from(chunk_size)) })
    })
}

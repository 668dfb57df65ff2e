//! Many files of an image, read once each in the order of their place on disk, and worked on by all processors.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use wimwright_format::wim::BlobId;
use wimwright_image::{BlobError, Blobs};

/// Bytes that are collected before all processors get to work on them.
const BATCH: u64 = 32 << 20;
/// Largest blob that is held in memory as a whole; of a larger one only the hash is kept.
const LARGEST_WHOLE: u64 = 64 << 20;

/// What is known of a blob after reading.
pub(in crate::cbs) enum Contents<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// Too large to be held: its SHA-256, and its first bytes.
    Hashed { sha256: [u8; 32], start: &'a [u8] },
    /// It cannot be read.
    Unreadable(String),
}

/// What is done with a blob, on any thread.
pub(in crate::cbs) type Work<'a> = dyn Fn(BlobId, Contents<'_>) + Sync + 'a;

/// What is told of the work: `done` of `total` bytes.
pub(in crate::cbs) struct Meter<'a> {
    pub(in crate::cbs) progress: &'a (dyn Fn(u64, u64) + Sync),
    pub(in crate::cbs) total: u64,
    pub(in crate::cbs) done: AtomicU64,
}

impl Meter<'_> {
    /// Tells nobody.
    pub(in crate::cbs) fn silent() -> Self {
        Self { progress: &|_, _| {}, total: 0, done: AtomicU64::new(0) }
    }

    fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.progress)(done.min(self.total), self.total);
    }

    pub(in crate::cbs) fn finish(&self) {
        (self.progress)(self.total, self.total);
    }
}

/// A blob on its way: what has come so far.
struct Arriving {
    id: BlobId,
    bytes: Vec<u8>,
    hash: Option<Sha256>,
}

impl Arriving {
    fn new(id: BlobId, size: u64) -> Self {
        Self { id, bytes: Vec::new(), hash: (size > LARGEST_WHOLE).then(Sha256::new) }
    }

    fn add(&mut self, piece: &[u8]) {
        match &mut self.hash {
            Some(hash) => {
                if self.bytes.is_empty() {
                    self.bytes.extend(piece.iter().take(8));
                }
                hash.update(piece);
            }
            None => self.bytes.extend_from_slice(piece),
        }
    }

    fn hand_over(self, work: &Work<'_>) {
        match self.hash {
            Some(hash) => work(self.id, Contents::Hashed { sha256: hash.finalize().into(), start: &self.bytes }),
            None => work(self.id, Contents::Whole(&self.bytes)),
        }
    }
}

/// Reads blobs and hands each to `work`, in no particular order.
pub(in crate::cbs) fn read_all(blobs: &Blobs, ids: &HashSet<BlobId>, meter: &Meter<'_>, work: &Work<'_>) {
    let mut read: HashSet<BlobId> = HashSet::new();
    let mut batch: Vec<Arriving> = Vec::new();
    let mut weight = 0;
    let result = blobs.for_each(ids.iter().copied(), |id, size, position, piece| {
        if position == 0 {
            // What came before is complete, and its hash was right.
            if weight >= BATCH {
                weight = 0;
                read.extend(batch.iter().map(|arrived| arrived.id));
                work_on(&mut batch, work);
            }
            weight += size.min(LARGEST_WHOLE);
            batch.push(Arriving::new(id, size));
        }
        if let Some(arriving) = batch.last_mut() {
            arriving.add(piece);
        }
        meter.add(piece.len() as u64);
    });
    if result.is_err() {
        batch.pop();
    }
    read.extend(batch.iter().map(|arrived| arrived.id));
    work_on(&mut batch, work);
    if result.is_err() {
        // One of them is damaged. Each of the others by itself, to tell which.
        let mut rest: Vec<BlobId> = ids.difference(&read).copied().collect();
        rest.sort_unstable();
        rest.par_iter().for_each(|id| {
            meter.add(blobs.size(id).unwrap_or_default());
            match read_one(blobs, id) {
                Ok(arrived) => arrived.hand_over(work),
                Err(error) => work(*id, Contents::Unreadable(reason(&error))),
            }
        });
    }
}

fn work_on(batch: &mut Vec<Arriving>, work: &Work<'_>) {
    batch.par_drain(..).for_each(|arrived| arrived.hand_over(work));
}

fn read_one(blobs: &Blobs, id: &BlobId) -> Result<Arriving, BlobError> {
    struct Writer(Arriving);
    impl std::io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.add(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut writer = Writer(Arriving::new(*id, blobs.size(id).ok_or(BlobError::Missing { id: *id })?));
    blobs.copy(id, &mut writer)?;
    Ok(writer.0)
}

/// An error with its causes in one line.
pub(in crate::cbs) fn reason(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

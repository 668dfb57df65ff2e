//! Compression on all cores: bytes go in, chunks come out in order, resources are written as they complete.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::thread::Scope;

use wimwright_codec::{Compression, Compressor, Level};

use super::WriteError;
use super::destination::Destination;
use super::resource_writer::ResourceWriter;
use crate::wim::header::ResourceHeader;
use crate::wim::resource::ChunkForm;
use crate::wim::workers::Workers;

/// Uncompressed bytes handed to a worker at once, unless a single chunk is larger: many small blobs make one job.
const JOB_SIZE: usize = 1 << 19;

/// How chunks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) compression: Compression,
    pub(super) chunk_size: u32,
    pub(super) level: Level,
    pub(super) form: ChunkForm,
}

/// Chunks to be compressed together; the buffers are used again for later jobs.
#[derive(Default)]
struct Job {
    input: Vec<u8>,
    /// Where in `input` each chunk ends.
    ends: Vec<usize>,
    output: Vec<u8>,
    /// Where in `output` each chunk is stored, and whether plain.
    stored: Vec<(Range<usize>, bool)>,
}

impl Job {
    fn run(&mut self, compressor: &mut Compressor) {
        self.output.clear();
        self.stored.clear();
        let mut start = 0;
        for end in &self.ends {
            let chunk = self.input.get(start..*end).unwrap_or_default();
            let at = self.output.len();
            self.output.resize(at.saturating_add(chunk.len()), 0);
            let room = self.output.get_mut(at..at.saturating_add(chunk.len()).saturating_sub(1)).unwrap_or_default();
            let packed = compressor.compress(chunk, room);
            if let Some(length) = packed {
                self.output.truncate(at.saturating_add(length));
            } else if let Some(place) = self.output.get_mut(at..) {
                place.copy_from_slice(chunk);
            }
            self.stored.push((at..self.output.len(), packed.is_none()));
            start = *end;
        }
    }

    fn clear(&mut self) {
        self.input.clear();
        self.ends.clear();
    }
}

/// A resource whose bytes have been pushed, or are being pushed.
struct Begun {
    tag: usize,
    size: u64,
    chunks_left: u64,
    prefix: Vec<u8>,
}

/// A resource that is complete.
pub(super) struct Finished {
    /// What the caller calls it.
    pub(super) tag: usize,
    /// Where it lies; `None` when it is not smaller than its plain bytes. The caller must write those before it goes on.
    pub(super) place: Option<ResourceHeader>,
}

/// Is told of complete resources, in order.
pub(super) type OnFinished<'a> = dyn FnMut(&mut Destination<'_>, Finished) -> Result<(), WriteError> + 'a;

/// Compresses a sequence of resources.
pub(super) struct Encoder {
    workers: Workers<Job, Result<Job, WriteError>>,
    threads: usize,
    coding: Coding,
    chunk_size: usize,
    job: Job,
    /// Where in the job's input the chunk in progress starts.
    chunk_start: usize,
    spare: Vec<Job>,
    begun: VecDeque<Begun>,
    /// Bytes still to be pushed of the resource begun last.
    to_come: u64,
    current: Option<ResourceWriter>,
}

impl Encoder {
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, coding: Coding, threads: NonZeroUsize) -> Self {
        let chunk_size = usize::try_from(coding.chunk_size).unwrap_or(usize::MAX);
        let make = move || Compressor::new(coding.compression, chunk_size, coding.level);
        let work = |compressor: &mut Result<Compressor, wimwright_codec::Error>, mut job: Job| match compressor {
            Ok(compressor) => {
                job.run(compressor);
                Ok(job)
            }
            Err(wimwright_codec::Error::OutOfMemory { compression, max_block }) => {
                Err(wimwright_codec::Error::OutOfMemory { compression: *compression, max_block: *max_block }.into())
            }
            Err(_) => Err(WriteError::Options { reason: "the compression has no such chunk size" }),
        };
        Self {
            workers: Workers::start(scope, threads, make, work),
            threads: threads.get(),
            coding,
            chunk_size,
            job: Job::default(),
            chunk_start: 0,
            spare: Vec::new(),
            begun: VecDeque::new(),
            to_come: 0,
            current: None,
        }
    }

    /// Begins a resource of `size` bytes, which must be pushed before the next begins.
    pub(super) fn begin(&mut self, tag: usize, size: u64, prefix: Vec<u8>) {
        let chunks_left = size.div_ceil(u64::from(self.coding.chunk_size.max(1)));
        self.begun.push_back(Begun { tag, size, chunks_left, prefix });
        self.to_come = size;
    }

    /// Takes the next bytes of the resource begun last; bytes beyond its size are not looked at.
    pub(super) fn push(
        &mut self,
        destination: &mut Destination<'_>,
        mut bytes: &[u8],
        finished: &mut OnFinished<'_>,
    ) -> Result<(), WriteError> {
        while !bytes.is_empty() && self.to_come > 0 {
            let filled = self.job.input.len().saturating_sub(self.chunk_start);
            let room = self.chunk_size.saturating_sub(filled).min(usize::try_from(self.to_come).unwrap_or(usize::MAX));
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.job.input.extend_from_slice(now);
            self.to_come = self.to_come.saturating_sub(now.len() as u64);
            bytes = later;
            let filled = filled.saturating_add(now.len());
            if filled == self.chunk_size || self.to_come == 0 {
                self.chunk_start = self.job.input.len();
                self.job.ends.push(self.chunk_start);
                if self.job.input.len().saturating_add(self.chunk_size) > JOB_SIZE {
                    self.submit(destination, finished)?;
                }
            }
        }
        Ok(())
    }

    /// Waits for everything pushed so far.
    pub(super) fn drain(&mut self, destination: &mut Destination<'_>, finished: &mut OnFinished<'_>) -> Result<(), WriteError> {
        self.submit(destination, finished)?;
        while self.workers.in_flight() > 0 {
            self.take_oldest(destination, finished)?;
        }
        Ok(())
    }

    fn submit(&mut self, destination: &mut Destination<'_>, finished: &mut OnFinished<'_>) -> Result<(), WriteError> {
        if self.job.ends.is_empty() {
            return Ok(());
        }
        // Jobs of many small chunks may queue up; of chunks above the job size each thread holds one.
        let most = if self.chunk_size > JOB_SIZE { self.threads } else { self.threads.saturating_mul(4) };
        if self.workers.in_flight() >= most {
            self.take_oldest(destination, finished)?;
        }
        let job = std::mem::replace(&mut self.job, self.spare.pop().unwrap_or_default());
        self.chunk_start = 0;
        let weight = job.input.len() as u64;
        self.workers.submit(job, weight);
        Ok(())
    }

    fn take_oldest(&mut self, destination: &mut Destination<'_>, finished: &mut OnFinished<'_>) -> Result<(), WriteError> {
        let mut job = self.workers.oldest().ok_or(WriteError::Thread)??;
        for (range, plain) in &job.stored {
            let Some(begun) = self.begun.front_mut() else { break };
            let coding = self.coding;
            let prefix = &mut begun.prefix;
            let new = || ResourceWriter::new(destination, coding.form, begun.size, coding.chunk_size, std::mem::take(prefix));
            let mut current = self.current.take().unwrap_or_else(new);
            current.chunk(destination, job.output.get(range.clone()).unwrap_or_default(), *plain)?;
            begun.chunks_left = begun.chunks_left.saturating_sub(1);
            if begun.chunks_left > 0 {
                self.current = Some(current);
                continue;
            }
            let tag = begun.tag;
            self.begun.pop_front();
            let place = current.finish(destination)?;
            finished(destination, Finished { tag, place })?;
        }
        job.clear();
        self.spare.push(job);
        Ok(())
    }
}

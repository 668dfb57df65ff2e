//! Getting blobs out of resources: chunks decompressed on all cores, bytes handed over in order.

use std::num::NonZeroUsize;
use std::ops::Range;

use sha1::{Digest, Sha1};
use wimwright_codec::{Compression, Decompressor};

use super::blob_table::Blob;
use super::resource::{Chunk, ChunkTable, Layout, Resource, read};
use super::workers::Workers;
use super::{BlobId, Error};
use crate::io::ReadAt;

/// Uncompressed bytes that one job covers, unless a single chunk is larger: enough to make handing it over cheap.
const JOB_SIZE: usize = 1 << 20;
/// Work below this size is done on the calling thread: starting threads would cost more.
const INLINE_SIZE: u64 = 2 << 20;
/// Bytes in flight, compressed and not: two 64 MiB chunks of a solid resource, while a third is handed over.
const MAX_WEIGHT: u64 = 200 << 20;

/// A chunk within a job.
struct ChunkJob {
    input: Range<usize>,
    output: Range<usize>,
    /// `None`: stored plain.
    codec: Option<(Compression, u32)>,
    resource: u64,
    number: u64,
}

/// A part of a blob within a job's output.
struct Piece {
    /// Which of the requested blobs.
    request: usize,
    /// Where in the blob the piece lies.
    position: u64,
    output: Range<usize>,
}

/// Chunks to be decompressed together; the buffers are used again for later jobs.
#[derive(Default)]
struct Job {
    input: Vec<u8>,
    output: Vec<u8>,
    /// Bytes of `output` in use.
    filled: usize,
    chunks: Vec<ChunkJob>,
    pieces: Vec<Piece>,
}

/// Decompressors of one thread, one for each kind met.
#[derive(Default)]
struct Decompressors(Vec<((Compression, u32), Decompressor)>);

impl Decompressors {
    fn get(&mut self, kind: (Compression, u32)) -> Result<&mut Decompressor, Error> {
        let known = self.0.iter().position(|(found, _)| *found == kind);
        if known.is_none() {
            let size = usize::try_from(kind.1).unwrap_or(usize::MAX);
            self.0.push((kind, Decompressor::new(kind.0, size).map_err(Error::Codec)?));
        }
        let place = known.unwrap_or_else(|| self.0.len().saturating_sub(1));
        let missing = Error::Resource { offset: 0, reason: "no decompressor" };
        self.0.get_mut(place).map(|(_, decompressor)| decompressor).ok_or(missing)
    }
}

impl Job {
    /// Does the job.
    fn run(&mut self, decompressors: &mut Decompressors) -> Result<(), Error> {
        if self.output.len() < self.filled {
            // Fresh zeros cost nothing until they are written to: a chunk that only claims to be large stays cheap.
            self.output = vec![0; self.filled];
        }
        for chunk in &self.chunks {
            let outside = || Error::Resource { offset: chunk.resource, reason: "a chunk lies outside its job" };
            let input = self.input.get(chunk.input.clone()).ok_or_else(outside)?;
            let output = self.output.get_mut(chunk.output.clone()).ok_or_else(outside)?;
            match chunk.codec {
                Some(kind) => decompressors.get(kind)?.decompress(input, output).map_err(|source| Error::Chunk {
                    offset: chunk.resource,
                    chunk: chunk.number,
                    source,
                })?,
                None => output.copy_from_slice(input),
            }
        }
        Ok(())
    }

    /// Adds a chunk and returns where its bytes will be.
    fn add_chunk(&mut self, source: &dyn ReadAt, resource: &Resource, number: u64, chunk: Chunk) -> Result<Range<usize>, Error> {
        let bad = || Error::Resource { offset: resource.offset, reason: "a chunk does not fit into memory" };
        let stored = usize::try_from(chunk.stored_size).map_err(|_| bad())?;
        let size = usize::try_from(chunk.size).map_err(|_| bad())?;
        let start = self.input.len();
        self.input.resize(start.saturating_add(stored), 0);
        read(source, "chunk", chunk.offset, self.input.get_mut(start..).unwrap_or_default())?;
        let output = self.filled..self.filled.saturating_add(size);
        self.filled = output.end;
        let codec = match resource.layout {
            Layout::Chunked { compression: Some(compression), chunk_size, .. } if stored < size => Some((compression, chunk_size)),
            _ if stored == size => None,
            _ => return Err(Error::Resource { offset: resource.offset, reason: "a chunk that is not compressed has another length" }),
        };
        let input = start..start.saturating_add(stored);
        self.chunks.push(ChunkJob { input, output: output.clone(), codec, resource: resource.offset, number });
        Ok(output)
    }

    fn weight(&self) -> u64 {
        (self.input.len() as u64).saturating_add(self.filled as u64)
    }

    fn clear(&mut self) {
        self.input.clear();
        self.filled = 0;
        self.chunks.clear();
        self.pieces.clear();
    }
}

type JobResult = Result<Job, Error>;

/// Receives the bytes of blobs: (blob, position in it, bytes).
pub(super) type Visit<'a, E> = dyn FnMut(&Blob, u64, &[u8]) -> Result<(), E> + 'a;

/// Hands the bytes of `blobs` to `visit`, blob after blob, piece after piece: (blob, position in the blob, bytes).
///
/// The blobs should be in order of their place on disk: chunks of solid resources are then decompressed once. Every blob's
/// SHA-1 is checked after its last piece.
pub(super) fn visit_blobs<E: From<Error>>(
    source: &dyn ReadAt,
    blobs: &[Blob],
    threads: NonZeroUsize,
    visit: &mut Visit<'_, E>,
) -> Result<(), E> {
    let total = blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
    let receiver = Receiver { blobs, visit, hash: Sha1::new() };
    if total <= INLINE_SIZE || threads.get() == 1 {
        let executor = Executor::Inline(Decompressors::default());
        return Extraction { source, executor, receiver, job: Job::default(), spare: Vec::new() }.run();
    }
    std::thread::scope(|scope| {
        let work = |decompressors: &mut Decompressors, mut job: Job| job.run(decompressors).map(|()| job);
        let executor = Executor::Workers(Workers::start(scope, threads, Decompressors::default, work), threads.get());
        Extraction { source, executor, receiver, job: Job::default(), spare: Vec::new() }.run()
    })
}

/// Decompresses single chunks, on the calling thread.
#[derive(Default)]
pub(super) struct ChunkReader(Decompressors);

impl ChunkReader {
    pub(super) fn read(&mut self, source: &dyn ReadAt, resource: &Resource, number: u64, chunk: Chunk) -> Result<Vec<u8>, Error> {
        let mut job = Job::default();
        job.add_chunk(source, resource, number, chunk)?;
        job.run(&mut self.0)?;
        Ok(job.output)
    }
}

/// Reads a whole resource that has no SHA-1: the blob table or the XML data.
pub(super) fn read_resource(source: &dyn ReadAt, resource: &Resource) -> Result<Vec<u8>, Error> {
    let table = resource.chunk_table(source)?;
    let mut chunks = ChunkReader::default();
    let mut output = Vec::new();
    for number in 0..resource.size.div_ceil(table.chunk_size()) {
        let Some(chunk) = table.chunk(number) else { break };
        output.extend(chunks.read(source, resource, number, chunk)?);
    }
    Ok(output)
}

enum Executor {
    Inline(Decompressors),
    Workers(Workers<Job, JobResult>, usize),
}

/// Where pieces go.
struct Receiver<'a, E> {
    blobs: &'a [Blob],
    visit: &'a mut Visit<'a, E>,
    hash: Sha1,
}

impl<E: From<Error>> Receiver<'_, E> {
    fn take(&mut self, job: &Job) -> Result<(), E> {
        for piece in &job.pieces {
            let (Some(blob), Some(bytes)) = (self.blobs.get(piece.request), job.output.get(piece.output.clone())) else { continue };
            self.hash.update(bytes);
            (self.visit)(blob, piece.position, bytes)?;
            if piece.position.saturating_add(bytes.len() as u64) == blob.size {
                let found = BlobId(self.hash.finalize_reset().into());
                if found != blob.id {
                    return Err(Error::BlobDamaged { id: blob.id, found }.into());
                }
            }
        }
        Ok(())
    }
}

/// The work in progress.
struct Extraction<'a, E> {
    source: &'a dyn ReadAt,
    executor: Executor,
    receiver: Receiver<'a, E>,
    /// The job that is being put together.
    job: Job,
    /// Done jobs, kept for their buffers.
    spare: Vec<Job>,
}

/// The chunk added last, which the next blob of a solid resource may share.
struct LastChunk {
    resource: u64,
    number: u64,
    output: Range<usize>,
}

impl<E: From<Error>> Extraction<'_, E> {
    fn run(mut self) -> Result<(), E> {
        let blobs = self.receiver.blobs;
        let mut table: Option<(Resource, ChunkTable)> = None;
        let mut last: Option<LastChunk> = None;
        for (request, blob) in blobs.iter().enumerate() {
            if table.as_ref().is_none_or(|(resource, _)| *resource != blob.resource) {
                table = Some((blob.resource, blob.resource.chunk_table(self.source)?));
            }
            let Some((_, table)) = &table else { continue };
            let mut position = 0;
            while position < blob.size {
                let inside = blob.offset.saturating_add(position);
                let number = inside.checked_div(table.chunk_size()).unwrap_or_default();
                let bad = || Error::Resource { offset: blob.resource.offset, reason: "a blob lies outside it" };
                let chunk = table.chunk(number).ok_or_else(bad)?;
                let shared = last.as_ref().filter(|last| last.resource == blob.resource.offset && last.number == number);
                let output = match shared {
                    // Only the chunk that ends the job in progress can be shared: its bytes are still to come.
                    Some(last) => last.output.clone(),
                    None => {
                        let size = usize::try_from(chunk.size).map_err(|_| bad())?;
                        if self.job.filled > 0 && self.job.filled.saturating_add(size) > JOB_SIZE {
                            self.flush()?;
                        }
                        self.job.add_chunk(self.source, &blob.resource, number, chunk)?
                    }
                };
                let skip = inside.saturating_sub(number.saturating_mul(table.chunk_size()));
                let length = chunk.size.saturating_sub(skip).min(blob.size.saturating_sub(position));
                if length == 0 {
                    return Err(bad().into());
                }
                let start = output.start.saturating_add(usize::try_from(skip).unwrap_or(usize::MAX));
                let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
                self.job.pieces.push(Piece { request, position, output: start..end });
                position = position.saturating_add(length);
                last = Some(LastChunk { resource: blob.resource.offset, number, output });
            }
        }
        self.flush()?;
        while let Executor::Workers(workers, _) = &mut self.executor
            && workers.in_flight() > 0
        {
            self.take_oldest()?;
        }
        Ok(())
    }

    /// Hands out the job in progress and starts the next.
    fn flush(&mut self) -> Result<(), E> {
        if self.job.chunks.is_empty() {
            return Ok(());
        }
        match &mut self.executor {
            Executor::Inline(decompressors) => {
                self.job.run(decompressors)?;
                self.receiver.take(&self.job)?;
                self.job.clear();
                Ok(())
            }
            Executor::Workers(workers, threads) => {
                let next = self.spare.pop().unwrap_or_default();
                let job = std::mem::replace(&mut self.job, next);
                let weight = job.weight();
                let most = threads.saturating_mul(2).saturating_add(1);
                let full = workers.in_flight() >= most || workers.weight().saturating_add(weight) > MAX_WEIGHT;
                let wait = full && workers.in_flight() > 0;
                workers.submit(job, weight);
                if wait { self.take_oldest() } else { Ok(()) }
            }
        }
    }

    fn take_oldest(&mut self) -> Result<(), E> {
        let Executor::Workers(workers, _) = &mut self.executor else { return Ok(()) };
        let Some(result) = workers.oldest() else {
            return Err(Error::Resource { offset: 0, reason: "a decompression thread stopped" }.into());
        };
        let mut job = result?;
        self.receiver.take(&job)?;
        job.clear();
        self.spare.push(job);
        Ok(())
    }
}

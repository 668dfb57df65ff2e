//! Writing WIM files.
//!
//! A [`WimPlan`] decides everything before a byte is written: which blobs, in which order, which are copied raw (still
//! compressed) and which are compressed. Metadata are compressed while planning. So where nothing else needs compression,
//! [`WimPlan::planned_size`] knows the file's size in advance, and a WIM can be written into the middle of an ISO image.
//!
//! Layout: header, blobs, metadata, blob table, XML data, integrity table; of a pipable WIM: header, XML data, metadata,
//! blobs, blob table, XML data, integrity table, header again. Blobs from other WIMs come first, in order of WIM and place,
//! so that reading is sequential; then new ones in the order of first reference. Every output byte depends only on the
//! plan's inputs, not on the number of threads.

mod destination;
mod encoder;
mod plan;
mod resource_writer;
mod source;
mod split;
mod tables;

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::Arc;

use wimwright_codec::{Compression, Level};

pub use destination::Output;
pub use plan::WimPlan;
pub use split::{SplitPart, split};

use super::{BlobId, Error, ImageInfo, Metadata, MetadataError, Wim, header_flags};

/// Opens a stream of bytes from its start.
pub type OpenStream = Arc<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// Where a blob's bytes come from.
#[derive(Clone)]
pub enum BlobSource {
    /// A blob of another WIM, copied raw where the formats match.
    Wim(Arc<Wim>),
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
    /// A stream, which may be opened more than once.
    Stream {
        /// Its length in bytes, not 0.
        size: u64,
        /// Opens it.
        open: OpenStream,
    },
    /// Not to be stored: another WIM, which readers will have at hand, has it. Makes the output a delta WIM.
    Elsewhere,
}

/// The tree of an image to write.
pub enum ImageSource {
    /// A tree.
    Tree(Box<Metadata>),
    /// An image of another WIM, unchanged: its metadata resource is copied raw where the formats match.
    Wim {
        /// The WIM.
        wim: Arc<Wim>,
        /// The image's number in it, from 1.
        index: u32,
    },
}

/// An image to write.
pub struct ImageToWrite {
    /// Its tree.
    pub source: ImageSource,
    /// What the XML data will say of it. Its counts are the caller's: see [`Metadata::statistics`].
    pub info: ImageInfo,
}

/// How solid resources are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solid {
    /// The format; Microsoft's tools write LZMS only.
    pub compression: Compression,
    /// Uncompressed bytes in a chunk, a power of two; see [`Compression::default_solid_chunk_size`].
    pub chunk_size: u32,
}

/// How a WIM is written.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// How resources are compressed.
    pub compression: Option<Compression>,
    /// Uncompressed bytes in a chunk, a power of two; without meaning when not compressed.
    pub chunk_size: u32,
    /// How hard the compressor searches.
    pub level: Level,
    /// Pack all blobs into one solid resource (an ESD file).
    pub solid: Option<Solid>,
    /// Compress again what could be copied raw.
    pub recompress: bool,
    /// Write an integrity table. The output must be readable then.
    pub integrity: bool,
    /// Write wimlib's pipable form, which Microsoft's tools do not read.
    pub pipable: bool,
    /// Identity of the new WIM.
    pub guid: [u8; 16],
    /// Number of the image that boots, from 1; 0 for none.
    pub boot_index: u32,
    /// Further [`header_flags`], such as `REPARSE_POINT_FIX`.
    pub flags: u32,
    /// Threads that compress. Solid LZMS with 64 MiB chunks takes almost 1 GB of memory for each.
    pub threads: NonZeroUsize,
}

impl WriteOptions {
    /// What DISM does by default for this compression: its default chunk size, default level, not solid, no integrity
    /// table; on all cores.
    #[must_use]
    pub fn new(compression: Option<Compression>, guid: [u8; 16]) -> Self {
        Self {
            compression,
            chunk_size: compression.map_or(0, Compression::default_chunk_size),
            level: Level::DEFAULT,
            solid: None,
            recompress: false,
            integrity: false,
            pipable: false,
            guid,
            boot_index: 0,
            flags: header_flags::REPARSE_POINT_FIX,
            threads: super::workers::available_threads(),
        }
    }

    /// An ESD file as DISM's recovery compression makes it: LZMS, one solid resource with chunks of 64 MiB.
    #[must_use]
    pub fn solid(guid: [u8; 16]) -> Self {
        let compression = Compression::Lzms;
        let solid = Solid { compression, chunk_size: compression.default_solid_chunk_size() };
        Self { solid: Some(solid), ..Self::new(Some(compression), guid) }
    }
}

/// Why a WIM cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The options contradict each other or the format.
    #[error("no WIM can be written with these options: {reason}")]
    Options {
        /// What is wrong.
        reason: &'static str,
    },
    /// Nobody has a blob that an image refers to.
    #[error("image {image} needs blob {id}, which no source has")]
    BlobUnavailable {
        /// The blob.
        id: BlobId,
        /// The first image that refers to it, from 1.
        image: u32,
    },
    /// An image's tree cannot be written.
    #[error("the tree of image {image} cannot be written")]
    Metadata {
        /// The image's number, from 1.
        image: u32,
        /// What is wrong.
        source: MetadataError,
    },
    /// A source changed after it was hashed.
    #[error("blob {id} has changed since it was hashed: now {size} bytes with SHA-1 {found}")]
    BlobChanged {
        /// The blob.
        id: BlobId,
        /// Bytes read, at most one more than expected.
        size: u64,
        /// SHA-1 of the bytes read.
        found: BlobId,
    },
    /// A source cannot be read.
    #[error("cannot read blob {id}")]
    ReadBlob {
        /// The blob.
        id: BlobId,
        /// What the medium said.
        source: io::Error,
    },
    /// A source WIM cannot be read.
    #[error("cannot read a source WIM")]
    Source(#[from] Error),
    /// No compressor could be made.
    #[error("cannot compress")]
    Codec(#[from] wimwright_codec::Error),
    /// The output failed.
    #[error("cannot write the WIM at offset {offset}")]
    Output {
        /// Where, in bytes from the start of the WIM.
        offset: u64,
        /// What the medium said.
        source: io::Error,
    },
    /// A compression thread stopped.
    #[error("a compression thread stopped")]
    Thread,
    /// A part size too small, or a plan that cannot be split.
    #[error("cannot split: {reason}")]
    Split {
        /// Why.
        reason: String,
    },
}

/// How far writing has come, in uncompressed bytes of blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

//! What can be wrong with a WIM file.

use std::io;

use super::metadata::MetadataError;
use super::{BlobId, XmlError};

/// Why a WIM file, or something in it, cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The medium failed, or the file ends too early.
    #[error("cannot read the {what} at offset {offset}")]
    Read {
        /// What was read.
        what: &'static str,
        /// Where, in bytes from the start of the WIM.
        offset: u64,
        /// What the medium said.
        source: io::Error,
    },
    /// The file does not start with a WIM signature.
    #[error("not a WIM file: it starts with {found:02x?}")]
    Signature {
        /// The first eight bytes.
        found: [u8; 8],
    },
    /// A header field has a value that no WIM has.
    #[error("the WIM header's {field} is {value:#x}: {reason}")]
    Header {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something is larger than what we agree to hold in memory.
    #[error("the {what} has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its stated size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// An entry of the blob table makes no sense.
    #[error("entry {entry} of the blob table: {reason}")]
    BlobTable {
        /// Its number, from 0.
        entry: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A resource's own structure makes no sense.
    #[error("the resource at offset {offset}: {reason}")]
    Resource {
        /// Where the resource starts, in bytes from the start of the WIM.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A compressed chunk is damaged.
    #[error("chunk {chunk} of the resource at offset {offset} is damaged")]
    Chunk {
        /// Where the resource starts, in bytes from the start of the WIM.
        offset: u64,
        /// The chunk's number, from 0.
        chunk: u64,
        /// What the codec said.
        source: wimwright_codec::Error,
    },
    /// No codec could be made.
    #[error("cannot decompress")]
    Codec(#[source] wimwright_codec::Error),
    /// The bytes of a blob are not those that its name promises.
    #[error("blob {id} is damaged: its bytes have SHA-1 {found}")]
    BlobDamaged {
        /// The blob's name.
        id: BlobId,
        /// SHA-1 of what is stored.
        found: BlobId,
    },
    /// A blob is not in this file (or set of files).
    #[error("blob {id} is not stored here")]
    BlobMissing {
        /// The blob's name.
        id: BlobId,
    },
    /// There is no image of this number.
    #[error("there is no image {index}: the WIM has {count}")]
    NoSuchImage {
        /// The number asked for, from 1.
        index: u32,
        /// How many images there are.
        count: u32,
    },
    /// The metadata of an image are malformed.
    #[error("the metadata of image {index}")]
    Metadata {
        /// The image's number, from 1.
        index: u32,
        /// What is wrong.
        source: MetadataError,
    },
    /// The XML data are malformed.
    #[error("the WIM's XML data")]
    Xml(#[from] XmlError),
    /// The integrity table is malformed.
    #[error("the integrity table: {reason}")]
    IntegrityTable {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Bytes covered by the integrity table have changed.
    #[error("the {length} bytes at offset {offset} differ from what the integrity table recorded")]
    IntegrityMismatch {
        /// Start of the damaged piece, in bytes from the start of the WIM.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// The parts given do not make a set.
    #[error("not one split WIM: {reason}")]
    Set {
        /// What is wrong.
        reason: String,
    },
    /// The receiver of the bytes refused them.
    #[error("cannot hand over the bytes of blob {id}")]
    Receiver {
        /// The blob.
        id: BlobId,
        /// What the receiver said.
        source: io::Error,
    },
}

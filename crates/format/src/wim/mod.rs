//! Windows Imaging files (WIM, ESD, SWM).
//!
//! A WIM stores *blobs*: streams of bytes, named by SHA-1 and stored once, however many files of however many images have
//! them. An image is a *metadata resource*: the tree of names, attributes, times and security descriptors, whose entries
//! refer to blobs. The *blob table* says where each blob lies, the *XML data* describe the images to people.
//!
//! ```text
//! header | resources: blobs, metadata | blob table | XML data | integrity table
//! ```
//!
//! * A *resource* is a run of the file, plain or cut into compressed chunks. A *solid* resource holds many blobs.
//! * An empty stream has no blob.
//! * A *split* WIM spreads its blobs over parts that share a GUID; the first has the metadata. A *delta* WIM leaves out
//!   blobs that another WIM has. [`WimSet`] finds blobs in either.
//! * A *pipable* WIM (wimlib's own variant) can be written to and read from a pipe.
//!
//! Reading: [`Wim::open`]. Writing: [`write::WimPlan`]. What the format is, with sources and limits: `docs/formats/wim.md`.

mod archive;
mod blob_id;
mod blob_table;
mod dentry;
mod error;
mod extract;
mod fields;
mod file;
mod header;
mod image_info;
mod integrity;
mod metadata;
mod name;
mod resource;
mod set;
mod tagged;
#[cfg(test)]
mod tests;
mod view;
mod workers;
pub mod write;
pub mod xml;

pub use archive::WimArchive;
pub use blob_id::{BlobId, ParseBlobIdError};
pub use blob_table::{Blob, MAX_BLOB_TABLE_SIZE};
pub use dentry::{Dentry, NamedStream, Reparse, file_attributes};
pub use error::Error;
pub use file::{MAX_METADATA_SIZE, Wim};
pub use header::{HEADER_SIZE, Header, MAX_IMAGES, ResourceHeader, VERSION, VERSION_SOLID, header_flags, resource_flags};
pub use image_info::{ImageInfo, Statistics, WindowsInfo};
pub use metadata::{MAX_DEPTH, Metadata, MetadataError, NameProblem, SecurityDescriptors};
pub use name::Name;
pub use resource::{ChunkForm, Layout, Resource};
pub use set::WimSet;
pub use tagged::{ExtendedAttribute, TAG_EXTENDED_ATTRIBUTES, TAG_OBJECT_ID, TAG_WIMLIB_UNIX_DATA, TaggedItems};
pub use view::BlobView;
pub use wimwright_codec::{Compression, Level};
pub use xml::XmlError;

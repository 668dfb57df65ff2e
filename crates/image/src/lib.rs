//! The immutable tree of a Windows image, and where its bytes live.
//!
//! An [`Image`] is a value: a [`Tree`] whose files are named by hash, the image's entry in the WIM's XML data, and a handle
//! to the [`Blobs`]. Servicing makes new values out of old ones. Nothing is mounted, nothing is extracted that is not read.

pub mod address;
mod blobs;
mod diff;
mod host_file;
mod image;
mod image_file;
pub mod medium;
mod path;
pub mod registry;
mod registry_diff;
mod spool;
pub mod tree;

pub use blobs::{BlobError, Blobs, MAX_WHOLE_BLOB};
pub use diff::{Changed, TreeDiff};
pub use host_file::open_host_file;
pub use image::{Image, ImageError};
pub use image_file::ImageFile;
pub use path::{ImagePath, PathError};
pub use registry_diff::RegistryDiff;
pub use spool::MakeFile;
pub use tree::{EditError, Tree, TreeId};

//! How a file gets into the image.

use std::sync::Arc;

use wimwright_image::tree::Inode;
use wimwright_image::{Image, ImagePath};

use super::PutError;
use crate::files::NewFile;
use crate::inheritance::{Kind, encoded_with_inherited};

/// Gives a file its intact contents. What is left of it keeps its attributes, times and security; one of which nothing is left gets
/// what `new` says.
pub(super) fn put(image: &mut Image, path: &ImagePath, bytes: Arc<[u8]>, new: &NewFile<'_>) -> Result<(), PutError> {
    let mut blob = image.blobs.add_bytes(bytes.clone());
    // The image file may have these very bytes, and be damaged where they are.
    if blob.is_some_and(|id| image.blobs.read(&id).is_err()) {
        blob = image.blobs.add_intact(bytes);
    }
    match image.tree.get(path).filter(|entry| !entry.is_directory()).map(|entry| entry.inode().replaced()) {
        Some(inode) => image.tree.put_file(path, Inode { contents: blob, ..inode })?,
        None => drop(new.put_blob(image, path, blob)?),
    }
    Ok(())
}

/// The same for a file about which nothing is known but its folder.
pub(super) fn put_plain(image: &mut Image, path: &str, bytes: Arc<[u8]>, time: u64) -> Result<(), PutError> {
    put(image, &ImagePath::parse(path)?, bytes, &NewFile { attributes: None, security: None, time })
}

/// Creates the folders above `path` that are missing.
pub(super) fn make_folder_of(image: &mut Image, path: &ImagePath, time: u64) -> Result<(), PutError> {
    if let Some(parent) = path.parent() {
        NewFile { attributes: None, security: None, time }.put(image, &parent, None)?;
    }
    Ok(())
}

/// The descriptor of a file at `path`, with what its folder hands down.
pub(super) fn complete_security(image: &Image, path: &ImagePath, descriptor: &[u8]) -> Vec<u8> {
    let parent = path.parent().and_then(|parent| image.tree.get(&parent)?.security().cloned());
    parent.map_or_else(|| descriptor.to_vec(), |parent| encoded_with_inherited(descriptor, &parent, Kind::File))
}

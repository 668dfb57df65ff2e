//! An image file again, with some of its images changed: everything else is copied as it is stored.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use wimwright_format::wim::write::{ImageSource, ImageToWrite, WimPlan, WriteError, WriteOptions};
use wimwright_format::wim::{Blob, ChunkForm, Layout, header_flags};
use wimwright_image::{Blobs, Image, ImageFile};

use super::images::failed;
use super::{OutputError, Written, finish};
use crate::durable::{self, Pending};

/// Refuses a path where something is: a rewritten image file never replaces anything, least of all the one that it was made from.
///
/// # Errors
/// [`OutputError::Refused`].
pub fn refuse_existing(path: &Path) -> Result<(), OutputError> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let what = format!("`{}` is there already, and is not replaced", path.display());
    Err(OutputError::Refused { what, hint: "remove it, or choose another name".to_owned() })
}

/// Writes the images of `file` to `path`, those in `changed` (by number, from 1) as they are now. `blobs` has the contents of all. The
/// form is that of the file; a split set becomes one file. `progress` gets bytes done, and bytes in all.
///
/// # Errors
/// Something is at `path`, or it cannot be written.
pub fn rewrite(
    path: &Path,
    file: &ImageFile,
    changed: &BTreeMap<u32, Image>,
    blobs: &Blobs,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Written, OutputError> {
    refuse_existing(path)?;
    let plan = plan(file, changed, blobs).map_err(|source| failed(path, source))?;
    durable::remove_leftovers(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    let pending = Pending::create(path)?;
    plan.write(&mut pending.file(), &mut |written| progress(written.done, written.total)).map_err(|source| failed(path, source))?;
    // Somebody else may have been faster.
    refuse_existing(path)?;
    finish(path, pending)
}

fn plan(file: &ImageFile, changed: &BTreeMap<u32, Image>, blobs: &Blobs) -> Result<WimPlan, WriteError> {
    let header = file.first().header();
    let is_solid = |blob: &Blob| matches!(blob.resource.layout, Layout::Chunked { form: ChunkForm::Solid, .. });
    let solid = file.parts().iter().flat_map(|part| part.blobs()).any(is_solid);
    // The identity follows from that of the input and from what was changed.
    let mut hash = Sha256::new();
    hash.update("wimwright rewrite");
    hash.update(header.guid);
    let mut images = Vec::new();
    for (info, index) in file.images().iter().zip(1..) {
        let Some(image) = changed.get(&index) else {
            images.push(ImageToWrite { source: ImageSource::Wim { wim: file.first().clone(), index }, info: info.clone() });
            continue;
        };
        hash.update(index.to_le_bytes());
        hash.update(image.tree.id().0);
        let metadata = image.tree.to_metadata();
        let mut info = image.info.clone();
        info.set_statistics(&metadata.statistics(&|id| blobs.size(id).unwrap_or_default()));
        images.push(ImageToWrite { source: ImageSource::Tree(Box::new(metadata)), info });
    }
    let mut guid = [0; 16];
    guid.copy_from_slice(&hash.finalize()[..16]);
    let mut options = if solid { WriteOptions::solid(guid) } else { WriteOptions::new(header.compression, guid) };
    if !solid && header.chunk_size > 0 {
        options.chunk_size = header.chunk_size;
    }
    options.integrity = header.integrity.size > 0;
    options.flags = header.flags & header_flags::REPARSE_POINT_FIX;
    options.boot_index = header.boot_index;
    WimPlan::new(images, options, &|id| blobs.source(id).ok())
}

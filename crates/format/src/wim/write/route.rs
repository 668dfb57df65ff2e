//! Which blobs are wanted, and how each gets into the new WIM: copied as it is stored, or written anew.

use std::collections::HashMap;
use std::sync::Arc;

use super::source::PlannedBlob;
use super::tables::Entry;
use super::{BlobSource, WriteError, WriteOptions};
use crate::wim::blob_table::{Blob, ENTRY_SIZE};
use crate::wim::header::{ResourceHeader, resource_flags};
use crate::wim::resource::{ChunkForm, Layout, Resource};
use crate::wim::{BlobId, Dentry, Metadata, Wim};

/// A blob, or a solid resource, that is copied as it is stored.
pub(super) struct RawResource {
    pub(super) wim: Arc<Wim>,
    pub(super) resource: Resource,
    /// Name, references, position, size of each blob in it.
    pub(super) blobs: Vec<(BlobId, u32, u64, u64)>,
}

impl RawResource {
    /// Bytes that it takes in a file, with its entries in the blob table.
    pub(super) fn part_bytes(&self) -> u64 {
        let entries = if self.is_solid() { self.blobs.len().saturating_add(1) } else { 1 };
        self.resource.stored_size.saturating_add((entries as u64).saturating_mul(ENTRY_SIZE as u64))
    }

    pub(super) fn is_solid(&self) -> bool {
        is_solid(&self.resource)
    }

    pub(super) fn flags(&self) -> u8 {
        match self.resource.layout {
            Layout::Plain => 0,
            Layout::Chunked { form: ChunkForm::Solid, .. } => resource_flags::SOLID,
            Layout::Chunked { .. } => resource_flags::COMPRESSED,
        }
    }

    pub(super) fn entry(&self, offset: u64) -> Entry {
        let place = ResourceHeader { stored_size: self.resource.stored_size, flags: self.flags(), offset, size: self.resource.size };
        match self.blobs.first() {
            Some((id, references, _, _)) if !self.is_solid() => Entry::Single { id: *id, references: *references, place },
            _ => Entry::Solid { place, blobs: self.blobs.clone() },
        }
    }
}

/// The blobs to which images refer.
pub(super) struct References {
    blobs: HashMap<BlobId, Reference>,
    /// The blobs will stand in a solid resource.
    solid: bool,
}

/// A blob that some image refers to.
struct Reference {
    references: u32,
    image: u32,
    order: usize,
    /// Where the blob stands in a solid resource.
    kinship: Kinship,
}

/// Extension and name of the first file with a blob, in lower case: files alike stand together in a solid resource, where
/// each chunk is compressed as one. Both empty when the WIM is not to be solid.
type Kinship = (Vec<u16>, Vec<u16>);

fn kinship(entry: &Dentry) -> Kinship {
    let lower = |unit: &u16| u8::try_from(*unit).map_or(*unit, |byte| u16::from(byte.to_ascii_lowercase()));
    let name: Vec<u16> = entry.name.units().iter().map(lower).collect();
    let extension = name.rsplit(|unit| *unit == u16::from(b'.')).next().filter(|extension| extension.len() < name.len());
    (extension.unwrap_or_default().to_vec(), name)
}

impl References {
    pub(super) fn new(solid: bool) -> Self {
        Self { blobs: HashMap::new(), solid }
    }

    /// Counts what an image refers to.
    pub(super) fn add(&mut self, tree: &Metadata, image: u32) {
        tree.for_each(|entry| {
            for id in entry.blobs() {
                let order = self.blobs.len();
                let solid = self.solid;
                let kinship = || if solid { kinship(entry) } else { Kinship::default() };
                let reference = self.blobs.entry(id).or_insert_with(|| Reference { references: 0, image, order, kinship: kinship() });
                reference.references = reference.references.saturating_add(1);
            }
        });
    }

    /// Decides what is copied raw and what is written anew, and in which order.
    pub(super) fn route(
        self,
        options: &WriteOptions,
        resolve: &dyn Fn(&BlobId) -> Option<BlobSource>,
    ) -> Result<(Vec<RawResource>, Vec<PlannedBlob>), WriteError> {
        let mut wanted: Vec<(BlobId, Reference)> = self.blobs.into_iter().collect();
        wanted.sort_unstable_by_key(|(_, reference)| reference.order);
        // Blobs of other WIMs, with the WIM's number by first reference.
        let mut wims: Vec<Arc<Wim>> = Vec::new();
        let mut stored: Vec<(usize, Blob, Reference)> = Vec::new();
        let mut new = Vec::new();
        for (id, reference) in wanted {
            let unavailable = WriteError::BlobUnavailable { id, image: reference.image };
            let source = resolve(&id).ok_or(WriteError::BlobUnavailable { id, image: reference.image })?;
            let size = match &source {
                BlobSource::Elsewhere => continue,
                BlobSource::Bytes(bytes) => bytes.len() as u64,
                BlobSource::Stream { size, .. } => *size,
                BlobSource::Wim(wim) => {
                    let blob = *wim.blob(&id).ok_or(unavailable)?;
                    let number = wims.iter().position(|known| Arc::ptr_eq(known, wim)).unwrap_or_else(|| {
                        wims.push(Arc::clone(wim));
                        wims.len().saturating_sub(1)
                    });
                    stored.push((number, blob, reference));
                    continue;
                }
            };
            new.push((reference.kinship, PlannedBlob { id, size, references: reference.references, source }));
        }
        stored.sort_by_key(|(wim, blob, _)| (*wim, blob.resource.offset, blob.offset));
        let mut raw = Vec::new();
        let mut decoded = Vec::new();
        let mut sortable: Vec<(Kinship, PlannedBlob)> = Vec::new();
        for group in stored.chunk_by(|left, right| left.0 == right.0 && left.1.resource == right.1.resource) {
            let Some((wim, resource)) = group.first().and_then(|(wim, blob, _)| Some((wims.get(*wim)?, blob.resource))) else { continue };
            let bytes = group.iter().fold(0_u64, |sum, (_, blob, _)| sum.saturating_add(blob.size));
            let whole = bytes == resource.size;
            if whole && is_same_format(wim, &resource, options) {
                let blobs = group.iter().map(|(_, blob, reference)| (blob.id, reference.references, blob.offset, blob.size)).collect();
                raw.push(RawResource { wim: Arc::clone(wim), resource, blobs });
                continue;
            }
            for (_, blob, reference) in group {
                let source = BlobSource::Wim(Arc::clone(wim));
                let planned = PlannedBlob { id: blob.id, size: blob.size, references: reference.references, source };
                // Blobs of a solid resource keep their order: any other would decompress its chunks many times.
                if is_solid(&resource) {
                    decoded.push(planned);
                } else {
                    sortable.push((reference.kinship.clone(), planned));
                }
            }
        }
        sortable.append(&mut new);
        sortable.sort_by(|left, right| left.0.cmp(&right.0));
        decoded.extend(sortable.into_iter().map(|(_, planned)| planned));
        Ok((raw, decoded))
    }
}

/// True for a resource that holds many blobs.
fn is_solid(resource: &Resource) -> bool {
    matches!(resource.layout, Layout::Chunked { form: ChunkForm::Solid, .. })
}

/// True when a resource of `wim` can be copied as it is stored. Of solid resources this holds when all blobs are wanted.
pub(super) fn is_same_format(wim: &Wim, resource: &Resource, options: &WriteOptions) -> bool {
    let header = wim.header();
    if options.recompress || header.pipable != options.pipable {
        return false;
    }
    match (resource.layout, options.solid) {
        (Layout::Chunked { compression, chunk_size, form: ChunkForm::Solid }, Some(solid)) => {
            compression == Some(solid.compression) && chunk_size == solid.chunk_size
        }
        (Layout::Chunked { form: ChunkForm::Solid, .. }, None) | (_, Some(_)) => false,
        (Layout::Chunked { compression, chunk_size, .. }, None) => compression == options.compression && chunk_size == options.chunk_size,
        // Stored plain in a WIM of the same compression: it did not get smaller.
        (Layout::Plain, None) => {
            options.compression.is_none() || (header.compression == options.compression && header.chunk_size == options.chunk_size)
        }
    }
}

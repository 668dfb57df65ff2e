//! An opened WIM file.

use std::io::Write;
use std::sync::Arc;

use super::blob_table::{Blob, BlobTable, ENTRY_SIZE, MAX_BLOB_TABLE_SIZE};
use super::extract::{Visit, visit_blobs};
use super::header::{HEADER_SIZE, Header, ResourceHeader};
use super::image_info::{ImageInfo, images_of};
use super::metadata::Metadata;
use super::resource::{Resource, read};
use super::workers::available_threads;
use super::xml::{self, Element, MAX_XML_SIZE};
use super::{BlobId, Error, integrity};
use crate::io::ReadAt;

/// Largest metadata resource we hold in memory, uncompressed. A Windows image has 30 to 60 MB.
pub const MAX_METADATA_SIZE: u64 = 1 << 30;

/// A WIM file: header, blob table and XML data in memory, contents read when asked for.
///
/// Opening costs the same for 5 MB and 5 GB: no contents are read. A `Wim` never changes and is shared as `Arc<Wim>`.
pub struct Wim {
    source: Arc<dyn ReadAt>,
    header: Header,
    table: BlobTable,
    xml: Vec<u8>,
    images: Vec<ImageInfo>,
}

impl std::fmt::Debug for Wim {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Wim").field("header", &self.header).field("blobs", &self.table.blobs.len()).finish_non_exhaustive()
    }
}

impl Wim {
    /// Opens a WIM, an ESD, one part of a split WIM, or a pipable WIM.
    ///
    /// # Errors
    /// [`Error`]: the header, blob table or XML data are malformed or outside our limits.
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Self, Error> {
        let mut bytes = [0; HEADER_SIZE as usize];
        read(&source, "header", 0, &mut bytes)?;
        let mut header = Header::decode(&bytes)?;
        if header.pipable {
            // The header at the start was written before the tables' places were known.
            let offset = source.size().saturating_sub(HEADER_SIZE);
            read(&source, "header at the end of a pipable WIM", offset, &mut bytes)?;
            header = Header::decode(&bytes)?;
        }
        let table = read_table(&source, "blob table", &header.blob_table, MAX_BLOB_TABLE_SIZE, &header)?;
        let table = BlobTable::decode(&table, &header, &*source)?;
        let xml = read_table(&source, "XML data", &header.xml, MAX_XML_SIZE, &header)?;
        let root = if xml.is_empty() { Element::new("WIM") } else { Element::parse(&xml::decode_text(&xml)?)? };
        let mut images = Vec::new();
        for (index, info) in images_of(&root) {
            // An image that the XML data pass over has an empty description.
            let place = usize::try_from(index).unwrap_or_default().saturating_sub(1);
            if index == 0 || index > header.image_count || place < images.len() {
                continue;
            }
            images.resize_with(place, ImageInfo::default);
            images.push(info);
        }
        images.resize_with(usize::try_from(header.image_count).unwrap_or_default(), ImageInfo::default);
        Ok(Self { source, header, table, xml, images })
    }

    /// The bytes of the file.
    #[must_use]
    pub fn source(&self) -> &Arc<dyn ReadAt> {
        &self.source
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All blobs of the file, in order of their place on disk; metadata resources are not among them.
    #[must_use]
    pub fn blobs(&self) -> &[Blob] {
        &self.table.blobs
    }

    /// Where a blob is, when this file has it.
    #[must_use]
    pub fn blob(&self, id: &BlobId) -> Option<&Blob> {
        self.table.get(id)
    }

    /// The XML data as they stand in the file: UTF-16LE, usually with a byte order mark.
    #[must_use]
    pub fn xml(&self) -> &[u8] {
        &self.xml
    }

    /// Number of images. A part of a split WIM other than the first states them too, without having their metadata.
    #[must_use]
    pub fn image_count(&self) -> u32 {
        self.header.image_count
    }

    /// What the XML data say of each image, in order.
    #[must_use]
    pub fn images(&self) -> &[ImageInfo] {
        &self.images
    }

    /// The metadata resource of an image; `index` counts from 1.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], also for an image whose metadata are in another part of a split WIM.
    pub fn metadata_resource(&self, index: u32) -> Result<&Blob, Error> {
        let place = usize::try_from(index).ok().and_then(|index| index.checked_sub(1));
        let count = u32::try_from(self.table.metadata.len()).unwrap_or(u32::MAX);
        place.and_then(|place| self.table.metadata.get(place)).ok_or(Error::NoSuchImage { index, count })
    }

    /// Reads the tree of an image; `index` counts from 1.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], [`Error::Metadata`], or what reading the resource gives.
    pub fn metadata(&self, index: u32) -> Result<Metadata, Error> {
        let bytes = self.metadata_bytes(index)?;
        Metadata::decode(&bytes).map_err(|source| Error::Metadata { index, source })
    }

    /// Reads the uncompressed metadata resource of an image; `index` counts from 1.
    ///
    /// # Errors
    /// As [`Wim::metadata`].
    pub fn metadata_bytes(&self, index: u32) -> Result<Vec<u8>, Error> {
        self.read_resource("metadata of an image", self.metadata_resource(index)?, MAX_METADATA_SIZE)
    }

    /// Reads a blob of at most `limit` bytes and checks its SHA-1.
    ///
    /// # Errors
    /// [`Error::BlobMissing`], [`Error::TooLarge`], [`Error::BlobDamaged`], or what reading gives.
    pub fn read_blob(&self, id: &BlobId, limit: u64) -> Result<Vec<u8>, Error> {
        self.read_resource("blob", self.blob(id).ok_or(Error::BlobMissing { id: *id })?, limit)
    }

    /// Writes a blob to `output` and checks its SHA-1. Memory stays bounded at any size.
    ///
    /// # Errors
    /// [`Error::BlobMissing`], [`Error::BlobDamaged`] (all bytes have been written then), [`Error::Receiver`], or what
    /// reading gives.
    pub fn copy_blob(&self, id: &BlobId, output: &mut dyn Write) -> Result<(), Error> {
        let blob = self.blob(id).ok_or(Error::BlobMissing { id: *id })?;
        self.visit(&[*blob], &mut |blob, _, bytes| output.write_all(bytes).map_err(|source| Error::Receiver { id: blob.id, source }))
    }

    /// Hands over many blobs, each once, in order of their place on disk, and checks their SHA-1: `visit` gets the blob,
    /// a position in it, and the bytes there. The pieces of a blob come in order, one blob after the other; the last piece
    /// ends at the blob's size. Chunks of solid resources are decompressed once, all chunks on all cores.
    ///
    /// # Errors
    /// [`Error::BlobMissing`] before anything is read; later [`Error::BlobDamaged`], what reading gives, what `visit` gives.
    pub fn for_each_blob<E: From<Error>>(
        &self,
        ids: impl IntoIterator<Item = BlobId>,
        mut visit: impl FnMut(&Blob, u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut blobs = Vec::new();
        for id in ids {
            blobs.push(*self.blob(&id).ok_or(Error::BlobMissing { id })?);
        }
        blobs.sort_by_key(|blob| (blob.resource.offset, blob.offset));
        blobs.dedup_by_key(|blob| blob.id);
        self.visit(&blobs, &mut visit)
    }

    /// Checks everything that has a checksum: the integrity table if there is one, the metadata, every blob.
    /// `progress` is told how many uncompressed bytes of blobs are done.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<(), Error> {
        if self.header.integrity.stored_size > 0 {
            integrity::verify(&*self.source, &self.header, available_threads())?;
        }
        for index in (1..).take(self.table.metadata.len()) {
            self.metadata(index)?;
        }
        let mut done = 0_u64;
        self.visit(&self.table.blobs, &mut |_, _, bytes| {
            done = done.saturating_add(bytes.len() as u64);
            progress(done);
            Ok(())
        })
    }

    fn read_resource(&self, what: &'static str, blob: &Blob, limit: u64) -> Result<Vec<u8>, Error> {
        let too_large = Error::TooLarge { what, size: blob.size, limit };
        let size = usize::try_from(blob.size).ok().filter(|_| blob.size <= limit).ok_or(too_large)?;
        let mut bytes = Vec::new();
        self.visit::<Error>(&[*blob], &mut |_, _, piece| {
            // Not before the first piece: a size that nothing stands behind is not allocated.
            if bytes.is_empty() {
                bytes.reserve_exact(size);
            }
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// As [`Wim::for_each_blob`], for blobs of this file in the order given.
    pub(super) fn visit<E: From<Error>>(&self, blobs: &[Blob], visit: &mut Visit<'_, E>) -> Result<(), E> {
        visit_blobs(&*self.source, blobs, available_threads(), visit)
    }
}

/// Reads the blob table or the XML data, which may be compressed like any resource (no known tool does so).
fn read_table(source: &Arc<dyn ReadAt>, what: &'static str, place: &ResourceHeader, limit: u64, header: &Header) -> Result<Vec<u8>, Error> {
    if place.size > limit {
        return Err(Error::TooLarge { what, size: place.size, limit });
    }
    let resource = Resource::from_header(place, header.compression, header.chunk_size, header.pipable);
    let bytes = super::extract::read_resource(&**source, &resource)?;
    if what == "blob table" && !bytes.len().is_multiple_of(ENTRY_SIZE) {
        return Err(Error::BlobTable { entry: bytes.len().div_euclid(ENTRY_SIZE), reason: "the table ends inside it" });
    }
    Ok(bytes)
}

//! What will be written, and writing it.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use super::destination::{Destination, Output};
use super::encoder::{Coding, Encoder};
use super::source::{PlannedBlob, feed};
use super::tables::{Entry, PIPABLE_PREFIX_SIZE, encode_blob_table, pipable_prefix, solid_prefix};
use super::{BlobSource, ImageSource, ImageToWrite, Progress, WriteError, WriteOptions};
use crate::wim::blob_table::{Blob, ENTRY_SIZE};
use crate::wim::header::{HEADER_SIZE, Header, MAX_IMAGES, ResourceHeader, VERSION, VERSION_SOLID, header_flags, resource_flags};
use crate::wim::image_info::encode_xml;
use crate::wim::resource::{ChunkForm, Layout, Resource};
use crate::wim::{BlobId, Compression, ImageInfo, Metadata, Wim, integrity};

/// A metadata resource, ready to be written.
struct PlannedMetadata {
    id: BlobId,
    size: u64,
    stored: Vec<u8>,
    flags: u8,
}

/// A blob, or a solid resource, that is copied as it is stored.
pub(super) struct RawResource {
    wim: Arc<Wim>,
    pub(super) resource: Resource,
    /// Name, references, position, size of each blob in it.
    blobs: Vec<(BlobId, u32, u64, u64)>,
}

/// Everything about a WIM to be written, decided. See the [module](super).
pub struct WimPlan {
    pub(super) options: WriteOptions,
    images: Vec<ImageInfo>,
    metadata: Vec<PlannedMetadata>,
    pub(super) raw: Vec<RawResource>,
    pub(super) new: Vec<PlannedBlob>,
}

/// Which part of a set a file is.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) number: u16,
    pub(super) total: u16,
}

/// A blob that some image refers to.
struct Reference {
    references: u32,
    image: u32,
    order: usize,
}

impl WimPlan {
    /// Plans a WIM of `images`. `resolve` says where each blob's bytes come from.
    ///
    /// Reads source WIMs' metadata, encodes and compresses the new ones; reads no blob.
    ///
    /// # Errors
    /// [`WriteError::BlobUnavailable`] when `resolve` has no answer, [`WriteError::Metadata`], [`WriteError::Options`].
    pub fn new(
        images: Vec<ImageToWrite>,
        options: WriteOptions,
        resolve: &dyn Fn(&BlobId) -> Option<BlobSource>,
    ) -> Result<Self, WriteError> {
        check(&options, images.len())?;
        let mut references: HashMap<BlobId, Reference> = HashMap::new();
        let mut infos = Vec::with_capacity(images.len());
        let mut metadata = Vec::with_capacity(images.len());
        for (image, ImageToWrite { source, info }) in (1_u32..).zip(images) {
            let tree = match &source {
                ImageSource::Tree(tree) => tree,
                ImageSource::Wim { wim, index } => &Box::new(wim.metadata(*index)?),
            };
            tree.for_each(|entry| {
                for id in entry.blobs() {
                    let order = references.len();
                    let reference = references.entry(id).or_insert(Reference { references: 0, image, order });
                    reference.references = reference.references.saturating_add(1);
                }
            });
            metadata.push(plan_metadata(&source, tree, image, &options)?);
            infos.push(info);
        }
        let (raw, new) = route(references, &options, resolve)?;
        Ok(Self { options, images: infos, metadata, raw, new })
    }

    /// The size of the WIM in bytes, when it does not depend on how well something compresses.
    #[must_use]
    pub fn planned_size(&self) -> Option<u64> {
        if !self.new.is_empty() && (self.options.compression.is_some() || self.options.solid.is_some()) {
            return None;
        }
        let prefix = if self.options.pipable { PIPABLE_PREFIX_SIZE } else { 0 };
        let resources = self.raw.iter().map(|raw| raw.resource.stored_size).chain(self.new.iter().map(|blob| blob.size));
        let resources = resources.chain(self.metadata.iter().map(|metadata| metadata.stored.len() as u64));
        let mut end = resources.fold(HEADER_SIZE, |end, size| end.saturating_add(size).saturating_add(prefix));
        if self.options.pipable {
            end = end.saturating_add(prefix).saturating_add(self.xml(None).len() as u64);
        }
        let entries = self.raw.iter().map(|raw| match raw.is_solid() {
            true => raw.blobs.len().saturating_add(1),
            false => 1,
        });
        let entries = entries.fold(self.new.len().saturating_add(self.metadata.len()), usize::saturating_add);
        let table = (entries as u64).saturating_mul(ENTRY_SIZE as u64);
        end = end.saturating_add(prefix).saturating_add(table);
        let mut size = end.saturating_add(prefix).saturating_add(self.xml(Some(end)).len() as u64);
        if self.options.integrity {
            size = size.saturating_add(integrity::table_size(end));
        }
        if self.options.pipable {
            size = size.saturating_add(HEADER_SIZE);
        }
        Some(size)
    }

    /// The most bytes that writing may take: every new blob as if it did not get smaller, with its chunk table.
    #[must_use]
    pub fn maximum_size(&self) -> u64 {
        /// Room for what does not depend on the blobs: header, XML data, and what a chunk table adds to a short blob.
        const FIXED: u64 = 16 << 20;
        /// A chunk table has eight bytes for each chunk, which has 4096 bytes at least; the integrity table has less.
        const TABLES: u64 = 256;
        let blobs = self.raw.iter().map(|raw| raw.resource.stored_size).chain(self.new.iter().map(|blob| blob.size));
        let entries = self.raw.iter().map(|raw| raw.blobs.len()).fold(self.new.len(), usize::saturating_add);
        let bytes = blobs.chain(self.metadata.iter().map(|metadata| metadata.stored.len() as u64)).fold(0_u64, u64::saturating_add);
        let tables = (bytes / TABLES).saturating_add((entries as u64).saturating_mul(4 * ENTRY_SIZE as u64));
        bytes.saturating_add(tables).saturating_add(FIXED)
    }

    /// Writes the WIM where `output` stands, and returns its size in bytes.
    ///
    /// # Errors
    /// [`WriteError`]. The output holds no readable WIM then: its header is written last.
    pub fn write(&self, output: &mut dyn Output, progress: &mut dyn FnMut(Progress)) -> Result<u64, WriteError> {
        self.write_part(output, Part { number: 1, total: 1 }, &self.raw, progress)
    }

    /// Writes one file: new blobs and metadata go into the first part.
    pub(super) fn write_part(
        &self,
        output: &mut dyn Output,
        part: Part,
        raw: &[RawResource],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<u64, WriteError> {
        let first = part.number == 1;
        let new = if first { self.new.as_slice() } else { &[] };
        let sizes = raw.iter().flat_map(|raw| &raw.blobs).map(|(_, _, _, size)| *size).chain(new.iter().map(|blob| blob.size));
        let total = sizes.fold(0, u64::saturating_add);
        let mut writer = Writer {
            plan: self,
            destination: Destination::new(output)?,
            entries: Vec::new(),
            done: 0,
            progress: &mut |done| progress(Progress { done, total }),
        };
        writer.run(part, raw, new)?;
        writer.destination.finish()
    }

    /// Bytes of every part that do not depend on its blobs, and room for an integrity table's hashes of 4 GiB.
    pub(super) fn part_overhead(&self) -> u64 {
        let integrity = if self.options.integrity { integrity::table_size(1 << 32) } else { 0 };
        HEADER_SIZE.saturating_add(self.xml(Some(u64::MAX)).len() as u64).saturating_add(integrity)
    }

    /// Bytes of the metadata resources, with their entries in the blob table.
    pub(super) fn metadata_size(&self) -> u64 {
        self.metadata.iter().fold(0, |sum, metadata| sum.saturating_add(metadata.stored.len() as u64).saturating_add(ENTRY_SIZE as u64))
    }

    fn xml(&self, total_bytes: Option<u64>) -> Vec<u8> {
        encode_xml(&self.images, total_bytes)
    }

    fn header(&self, part: Part) -> Header {
        let options = &self.options;
        let solid = options.solid.is_some() || options.compression == Some(Compression::Lzms);
        let spanned = if part.total > 1 { header_flags::SPANNED } else { 0 };
        Header {
            pipable: options.pipable,
            version: if solid { VERSION_SOLID } else { VERSION },
            flags: options.flags | spanned,
            compression: options.compression,
            chunk_size: if options.compression.is_some() { options.chunk_size } else { 0 },
            guid: options.guid,
            part_number: part.number,
            total_parts: part.total,
            image_count: u32::try_from(self.images.len()).unwrap_or(u32::MAX),
            blob_table: ResourceHeader::default(),
            xml: ResourceHeader::default(),
            boot_metadata: ResourceHeader::default(),
            boot_index: options.boot_index,
            integrity: ResourceHeader::default(),
        }
    }
}

impl RawResource {
    /// Bytes that it takes in a file, with its entries in the blob table.
    pub(super) fn part_bytes(&self) -> u64 {
        let entries = if self.is_solid() { self.blobs.len().saturating_add(1) } else { 1 };
        self.resource.stored_size.saturating_add((entries as u64).saturating_mul(ENTRY_SIZE as u64))
    }

    fn is_solid(&self) -> bool {
        matches!(self.resource.layout, Layout::Chunked { form: ChunkForm::Solid, .. })
    }
}

/// Writing in progress.
struct Writer<'a> {
    plan: &'a WimPlan,
    destination: Destination<'a>,
    /// The blob table so far, without metadata.
    entries: Vec<Entry>,
    done: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Writer<'_> {
    fn run(&mut self, part: Part, raw: &[RawResource], new: &[PlannedBlob]) -> Result<(), WriteError> {
        let options = &self.plan.options;
        let mut header = self.plan.header(part);
        self.destination.write(&if options.pipable { header.encode() } else { vec![0; HEADER_SIZE as usize] })?;
        let mut metadata = Vec::new();
        if options.pipable {
            self.write_plain(&self.plan.xml(None))?;
            metadata = self.write_metadata(part)?;
        }
        self.copy_raw(raw)?;
        match (options.solid, options.compression) {
            _ if new.is_empty() => {}
            (Some(solid), _) => {
                let form = ChunkForm::Solid;
                let coding = Coding { compression: solid.compression, chunk_size: solid.chunk_size, level: options.level, form };
                self.encode(new, coding)?;
            }
            (None, Some(compression)) => self.encode(new, coding(options, compression))?,
            (None, None) => self.store(new)?,
        }
        if !options.pipable {
            metadata = self.write_metadata(part)?;
        }
        let boot = options.boot_index.checked_sub(1).and_then(|index| metadata.get(usize::try_from(index).ok()?));
        if let Some(Entry::Single { place, .. }) = boot {
            header.boot_metadata = *place;
        }
        metadata.append(&mut self.entries);
        header.blob_table = self.write_plain(&encode_blob_table(&metadata, part.number))?;
        let end = self.destination.position();
        header.xml = self.write_plain(&self.plan.xml(Some(end)))?;
        if options.integrity {
            let destination = &mut self.destination;
            let table = integrity::compute(end, &mut |buffer, position| destination.read_at(buffer, position), options.threads)?;
            let size = table.len() as u64;
            header.integrity = ResourceHeader { stored_size: size, flags: 0, offset: self.destination.position(), size };
            self.destination.write(&table)?;
        }
        if options.pipable { self.destination.write(&header.encode()) } else { self.destination.write_at(0, &header.encode()) }
    }

    /// Writes the blob table or the XML data.
    fn write_plain(&mut self, bytes: &[u8]) -> Result<ResourceHeader, WriteError> {
        let size = bytes.len() as u64;
        if self.plan.options.pipable {
            self.destination.write(&pipable_prefix(BlobId::of(bytes), size, resource_flags::METADATA))?;
        }
        let place = ResourceHeader { stored_size: size, flags: resource_flags::METADATA, offset: self.destination.position(), size };
        self.destination.write(bytes)?;
        Ok(place)
    }

    /// Writes the metadata resources, which the first part has.
    fn write_metadata(&mut self, part: Part) -> Result<Vec<Entry>, WriteError> {
        let mut entries = Vec::new();
        for metadata in self.plan.metadata.iter().filter(|_| part.number == 1) {
            let flags = metadata.flags | resource_flags::METADATA;
            if self.plan.options.pipable {
                self.destination.write(&pipable_prefix(metadata.id, metadata.size, flags))?;
            }
            let stored_size = metadata.stored.len() as u64;
            let place = ResourceHeader { stored_size, flags, offset: self.destination.position(), size: metadata.size };
            self.destination.write(&metadata.stored)?;
            entries.push(Entry::Single { id: metadata.id, references: 1, place });
        }
        Ok(entries)
    }

    /// Copies resources as they are stored; neighbours in one go.
    fn copy_raw(&mut self, raw: &[RawResource]) -> Result<(), WriteError> {
        let pipable = self.plan.options.pipable;
        let mut rest = raw;
        while let Some(first) = rest.first() {
            let mut end = first.resource.offset;
            let continues = |raw: &RawResource, end: u64| Arc::ptr_eq(&raw.wim, &first.wim) && raw.resource.offset == end;
            let mut length = 0_usize;
            while let Some(raw) = rest.get(length).filter(|raw| length == 0 || (!pipable && continues(raw, end))) {
                if pipable {
                    let prefix = raw.blobs.first().map(|(id, _, _, size)| pipable_prefix(*id, *size, raw.flags()));
                    self.destination.write(&prefix.unwrap_or_default())?;
                }
                let start = self.destination.position().saturating_add(end.saturating_sub(first.resource.offset));
                self.entries.push(raw.entry(start));
                end = end.saturating_add(raw.resource.stored_size);
                let sizes = raw.blobs.iter().map(|(_, _, _, size)| *size);
                self.done = sizes.fold(self.done, u64::saturating_add);
                length = length.saturating_add(1);
            }
            self.destination.copy(&**first.wim.source(), first.resource.offset, end.saturating_sub(first.resource.offset))?;
            (self.progress)(self.done);
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(())
    }

    /// Compresses blobs, each into its own resource or all into a solid one.
    fn encode(&mut self, blobs: &[PlannedBlob], coding: Coding) -> Result<(), WriteError> {
        let Self { plan, destination, entries, done, progress } = self;
        let solid = coding.form == ChunkForm::Solid;
        let total = blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
        let mut positions = 0_u64;
        let contents: Vec<_> = blobs
            .iter()
            .filter(|_| solid)
            .map(|blob| {
                let position = positions;
                positions = positions.saturating_add(blob.size);
                (blob.id, blob.references, position, blob.size)
            })
            .collect();
        let mut finished = |destination: &mut Destination<'_>, finished: super::encoder::Finished| {
            if solid {
                if let Some(place) = finished.place {
                    entries.push(Entry::Solid { place, blobs: contents.clone() });
                }
                return Ok(());
            }
            let Some(blob) = blobs.get(finished.tag) else { return Ok(()) };
            let place = match finished.place {
                Some(place) => place,
                None => {
                    let offset = destination.position();
                    feed(std::slice::from_ref(blob), &mut |_, _, bytes| destination.write(bytes))?;
                    ResourceHeader { stored_size: blob.size, flags: 0, offset, size: blob.size }
                }
            };
            entries.push(Entry::Single { id: blob.id, references: blob.references, place });
            Ok(())
        };
        std::thread::scope(|scope| {
            let mut encoder = Encoder::start(scope, coding, plan.options.threads);
            if solid {
                encoder.begin(0, total, solid_prefix(total, coding.chunk_size, coding.compression));
            }
            feed(blobs, &mut |index, position, bytes| {
                if position == 0
                    && !solid
                    && let Some(blob) = blobs.get(index)
                {
                    let prefix = match coding.form {
                        ChunkForm::Pipable => pipable_prefix(blob.id, blob.size, resource_flags::COMPRESSED),
                        _ => Vec::new(),
                    };
                    encoder.begin(index, blob.size, prefix);
                }
                encoder.push(destination, bytes, &mut finished)?;
                *done = done.saturating_add(bytes.len() as u64);
                progress(*done);
                Ok(())
            })?;
            encoder.drain(destination, &mut finished)
        })
    }

    /// Stores blobs without compression.
    fn store(&mut self, blobs: &[PlannedBlob]) -> Result<(), WriteError> {
        let Self { plan, destination, entries, done, progress } = self;
        feed(blobs, &mut |index, position, bytes| {
            if position == 0
                && let Some(blob) = blobs.get(index)
            {
                if plan.options.pipable {
                    destination.write(&pipable_prefix(blob.id, blob.size, 0))?;
                }
                let place = ResourceHeader { stored_size: blob.size, flags: 0, offset: destination.position(), size: blob.size };
                entries.push(Entry::Single { id: blob.id, references: blob.references, place });
            }
            destination.write(bytes)?;
            *done = done.saturating_add(bytes.len() as u64);
            progress(*done);
            Ok(())
        })
    }
}

impl RawResource {
    fn flags(&self) -> u8 {
        match self.resource.layout {
            Layout::Plain => 0,
            Layout::Chunked { form: ChunkForm::Solid, .. } => resource_flags::SOLID,
            Layout::Chunked { .. } => resource_flags::COMPRESSED,
        }
    }

    fn entry(&self, offset: u64) -> Entry {
        let place = ResourceHeader { stored_size: self.resource.stored_size, flags: self.flags(), offset, size: self.resource.size };
        match self.blobs.first() {
            Some((id, references, _, _)) if !self.is_solid() => Entry::Single { id: *id, references: *references, place },
            _ => Entry::Solid { place, blobs: self.blobs.clone() },
        }
    }
}

/// How blobs that are not solid are compressed.
fn coding(options: &WriteOptions, compression: Compression) -> Coding {
    let form = if options.pipable { ChunkForm::Pipable } else { ChunkForm::Standard };
    Coding { compression, chunk_size: options.chunk_size, level: options.level, form }
}

fn check(options: &WriteOptions, images: usize) -> Result<(), WriteError> {
    let refused = |reason| Err(WriteError::Options { reason });
    if options.compression.is_some_and(|compression| !compression.supports_chunk_size(options.chunk_size)) {
        return refused("the compression has no such chunk size");
    }
    if options.solid.is_some_and(|solid| !solid.compression.supports_chunk_size(solid.chunk_size)) {
        return refused("the solid resource's compression has no such chunk size");
    }
    if options.solid.is_some() && options.pipable {
        return refused("a pipable WIM cannot have solid resources");
    }
    if options.solid.is_some() && options.compression.is_none() {
        return refused("a WIM with solid resources must be compressed");
    }
    if images > MAX_IMAGES as usize {
        return refused("more than 65535 images");
    }
    if options.boot_index as usize > images {
        return refused("the boot index names no image");
    }
    Ok(())
}

/// True when a resource of `wim` can be copied as it is stored. Of solid resources this holds when all blobs are wanted.
fn is_same_format(wim: &Wim, resource: &Resource, options: &WriteOptions) -> bool {
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

/// Encodes, hashes and compresses an image's metadata; or reads them as they are stored.
fn plan_metadata(source: &ImageSource, tree: &Metadata, image: u32, options: &WriteOptions) -> Result<PlannedMetadata, WriteError> {
    let bytes = match source {
        ImageSource::Tree(_) => tree.encode().map_err(|source| WriteError::Metadata { image, source })?,
        ImageSource::Wim { wim, index } => {
            let blob = wim.metadata_resource(*index)?;
            let resource = &blob.resource;
            let solid = matches!(resource.layout, Layout::Chunked { form: ChunkForm::Solid, .. });
            let own_resources = WriteOptions { solid: None, ..options.clone() };
            if !solid && is_same_format(wim, resource, &own_resources) {
                let mut stored = vec![0; usize::try_from(resource.stored_size).unwrap_or(usize::MAX)];
                crate::wim::resource::read(&**wim.source(), "metadata of an image", resource.offset, &mut stored)?;
                let flags = if resource.layout == Layout::Plain { 0 } else { resource_flags::COMPRESSED };
                return Ok(PlannedMetadata { id: blob.id, size: blob.size, stored, flags });
            }
            wim.metadata_bytes(*index)?
        }
    };
    let (id, size) = (BlobId::of(&bytes), bytes.len() as u64);
    let Some(compression) = options.compression else { return Ok(PlannedMetadata { id, size, stored: bytes, flags: 0 }) };
    let mut output = Cursor::new(Vec::new());
    let mut destination = Destination::new(&mut output)?;
    let mut place = None;
    std::thread::scope(|scope| {
        let mut encoder = Encoder::start(scope, coding(options, compression), options.threads);
        encoder.begin(0, size, Vec::new());
        let mut finished = |_: &mut Destination<'_>, finished: super::encoder::Finished| {
            place = finished.place;
            Ok(())
        };
        encoder.push(&mut destination, &bytes, &mut finished)?;
        encoder.drain(&mut destination, &mut finished)
    })?;
    destination.finish()?;
    match place {
        Some(place) => Ok(PlannedMetadata { id, size, stored: output.into_inner(), flags: place.flags }),
        None => Ok(PlannedMetadata { id, size, stored: bytes, flags: 0 }),
    }
}

/// Decides what is copied raw and what is written anew, and in which order.
fn route(
    references: HashMap<BlobId, Reference>,
    options: &WriteOptions,
    resolve: &dyn Fn(&BlobId) -> Option<BlobSource>,
) -> Result<(Vec<RawResource>, Vec<PlannedBlob>), WriteError> {
    let mut wanted: Vec<(BlobId, Reference)> = references.into_iter().collect();
    wanted.sort_unstable_by_key(|(_, reference)| reference.order);
    // Blobs of other WIMs, with the WIM's number by first reference.
    let mut wims: Vec<Arc<Wim>> = Vec::new();
    let mut stored: Vec<(usize, Blob, u32)> = Vec::new();
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
                stored.push((number, blob, reference.references));
                continue;
            }
        };
        new.push(PlannedBlob { id, size, references: reference.references, source });
    }
    stored.sort_by_key(|(wim, blob, _)| (*wim, blob.resource.offset, blob.offset));
    let mut raw = Vec::new();
    let mut decoded = Vec::new();
    for group in stored.chunk_by(|left, right| left.0 == right.0 && left.1.resource == right.1.resource) {
        let Some((wim, resource)) = group.first().and_then(|(wim, blob, _)| Some((wims.get(*wim)?, blob.resource))) else { continue };
        let bytes = group.iter().fold(0_u64, |sum, (_, blob, _)| sum.saturating_add(blob.size));
        let whole = bytes == resource.size;
        if whole && is_same_format(wim, &resource, options) {
            let blobs = group.iter().map(|(_, blob, references)| (blob.id, *references, blob.offset, blob.size)).collect();
            raw.push(RawResource { wim: Arc::clone(wim), resource, blobs });
            continue;
        }
        decoded.extend(group.iter().map(|(_, blob, references)| PlannedBlob {
            id: blob.id,
            size: blob.size,
            references: *references,
            source: BlobSource::Wim(Arc::clone(wim)),
        }));
    }
    decoded.append(&mut new);
    Ok((raw, decoded))
}

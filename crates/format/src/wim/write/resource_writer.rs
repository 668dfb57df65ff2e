//! One compressed resource being written, chunk by chunk.

use super::WriteError;
use super::destination::Destination;
use crate::wim::header::{ResourceHeader, resource_flags};
use crate::wim::resource::{ChunkForm, LARGE_RESOURCE, PIPABLE_CHUNK_HEADER_SIZE, SOLID_HEADER_SIZE};

/// Chunks held back until the resource is complete, so that most chunk tables are written in one go.
const HOLD_SIZE: usize = 4 << 20;

/// A compressed resource of which the chunks arrive in order.
pub(super) struct ResourceWriter {
    form: ChunkForm,
    /// Where the resource starts.
    start: u64,
    size: u64,
    /// Stored lengths of the chunks.
    lengths: Vec<u32>,
    /// Stored bytes that have not been written yet. Empty once `spilled`.
    held: Vec<u8>,
    spilled: bool,
    /// True as long as no chunk became smaller.
    plain: bool,
    chunks: u64,
    /// The first bytes: of a solid resource its header; of a pipable one what stands before it.
    prefix: Vec<u8>,
}

impl ResourceWriter {
    /// A resource of `size` uncompressed bytes in chunks of `chunk_size`, starting where the destination stands.
    /// `prefix` stands before everything: the header of a solid resource, or what precedes a pipable resource.
    pub(super) fn new(destination: &Destination<'_>, form: ChunkForm, size: u64, chunk_size: u32, prefix: Vec<u8>) -> Self {
        let chunks = size.div_ceil(u64::from(chunk_size.max(1)));
        let start = destination.position();
        Self { form, start, size, lengths: Vec::new(), held: Vec::new(), spilled: false, plain: true, chunks, prefix }
    }

    /// Bytes before the first chunk.
    fn head_size(&self) -> u64 {
        match self.form {
            ChunkForm::Standard => self.table_size(),
            ChunkForm::Solid => self.table_size().saturating_add(SOLID_HEADER_SIZE),
            ChunkForm::Pipable => 0,
        }
    }

    fn table_size(&self) -> u64 {
        match self.form {
            ChunkForm::Solid => self.chunks.saturating_mul(4),
            _ => self.chunks.saturating_sub(1).saturating_mul(if self.size < LARGE_RESOURCE { 4 } else { 8 }),
        }
    }

    fn table(&self) -> Vec<u8> {
        let mut table = Vec::new();
        let mut offset = 0_u64;
        let last = self.lengths.len().saturating_sub(1);
        for (index, length) in self.lengths.iter().enumerate() {
            if self.form == ChunkForm::Solid {
                table.extend(length.to_le_bytes());
                continue;
            }
            offset = offset.saturating_add(u64::from(*length));
            if index < last && self.size < LARGE_RESOURCE {
                table.extend(u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes());
            } else if index < last {
                table.extend(offset.to_le_bytes());
            }
        }
        table
    }

    /// Takes the next chunk. `plain`: it is stored uncompressed.
    pub(super) fn chunk(&mut self, destination: &mut Destination<'_>, bytes: &[u8], plain: bool) -> Result<(), WriteError> {
        self.plain &= plain;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.lengths.push(length);
        if self.form == ChunkForm::Pipable {
            if !self.spilled {
                self.spilled = true;
                destination.write(&self.prefix)?;
                self.start = destination.position();
            }
            destination.write(&length.to_le_bytes())?;
        }
        if !self.spilled && self.held.len().saturating_add(bytes.len()) > HOLD_SIZE {
            self.spilled = true;
            let head = usize::try_from(self.head_size()).unwrap_or_default();
            destination.write(&vec![0; head])?;
            destination.write(&std::mem::take(&mut self.held))?;
        }
        if self.spilled {
            return destination.write(bytes);
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the resource after its last chunk and says where it lies. `None`: it is not smaller than the plain bytes,
    /// which are to be written instead where the destination now stands.
    pub(super) fn finish(mut self, destination: &mut Destination<'_>) -> Result<Option<ResourceHeader>, WriteError> {
        let stored = self.lengths.iter().fold(0_u64, |sum, length| sum.saturating_add(u64::from(*length)));
        let chunk_headers = if self.form == ChunkForm::Pipable { self.chunks.saturating_mul(PIPABLE_CHUNK_HEADER_SIZE) } else { 0 };
        let tables = if self.form == ChunkForm::Pipable { self.table_size() } else { self.head_size() };
        let stored_size = stored.saturating_add(tables).saturating_add(chunk_headers);
        let flags = if self.form == ChunkForm::Solid { resource_flags::SOLID } else { resource_flags::COMPRESSED };
        let place = ResourceHeader { stored_size, flags, offset: self.start, size: self.size };
        if self.form == ChunkForm::Standard && stored_size >= self.size {
            if self.plain && !self.spilled {
                destination.write(&self.held)?;
                return Ok(Some(ResourceHeader { stored_size: self.size, flags: 0, ..place }));
            }
            if self.spilled {
                destination.rewind(self.start)?;
            }
            return Ok(None);
        }
        let table = self.table();
        match (self.form, self.spilled) {
            (ChunkForm::Pipable, _) => destination.write(&table)?,
            (_, true) => {
                self.prefix.extend(table);
                destination.write_at(self.start, &self.prefix)?;
            }
            (_, false) => {
                destination.write(&self.prefix)?;
                destination.write(&table)?;
                destination.write(&self.held)?;
            }
        }
        Ok(Some(place))
    }
}

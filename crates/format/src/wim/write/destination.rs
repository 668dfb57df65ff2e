//! Where a WIM is written to.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use super::WriteError;
use crate::io::{ReadAt, copy_by_kernel};

/// Bytes collected before they are written.
const BUFFER_SIZE: usize = 1 << 20;
/// Bytes copied at once where the kernel cannot copy.
const COPY_SIZE: u64 = 4 << 20;

/// A place to write to. Reading is needed for integrity tables only.
pub trait Output: Read + Write + Seek {
    /// The host file behind, and where in it the output's first byte lies: the kernel can copy into it then.
    fn host_file(&self) -> Option<(&File, u64)> {
        None
    }

    /// Cuts the output off after `length` bytes. Asked for only where the writer wrote further before and has thought
    /// better of it: a blob that did not get smaller was the last large one.
    ///
    /// # Errors
    /// What the medium says.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

impl Output for File {
    fn host_file(&self) -> Option<(&File, u64)> {
        Some((self, 0))
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

impl Output for &File {
    fn host_file(&self) -> Option<(&File, u64)> {
        Some((self, 0))
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

impl Output for Cursor<Vec<u8>> {
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.get_mut().truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }
}

/// An output with a buffer, whose positions count from the start of the WIM.
pub(super) struct Destination<'a> {
    output: &'a mut dyn Output,
    /// Where in the output the WIM starts.
    base: u64,
    /// Bytes handed to the output.
    flushed: u64,
    /// The furthest position from which the writer went back.
    furthest: u64,
    buffer: Vec<u8>,
}

impl<'a> Destination<'a> {
    /// Starts at the output's current position.
    pub(super) fn new(output: &'a mut dyn Output) -> Result<Self, WriteError> {
        let base = output.stream_position().map_err(|source| WriteError::Output { offset: 0, source })?;
        Ok(Self { output, base, flushed: 0, furthest: 0, buffer: Vec::with_capacity(BUFFER_SIZE) })
    }

    pub(super) fn position(&self) -> u64 {
        self.flushed.saturating_add(self.buffer.len() as u64)
    }

    fn failed(&self) -> impl Fn(io::Error) -> WriteError + use<> {
        let offset = self.flushed;
        move |source| WriteError::Output { offset, source }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if self.buffer.len().saturating_add(bytes.len()) > BUFFER_SIZE {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_SIZE {
            self.output.write_all(bytes).map_err(self.failed())?;
            self.flushed = self.flushed.saturating_add(bytes.len() as u64);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), WriteError> {
        self.output.write_all(&self.buffer).map_err(self.failed())?;
        self.flushed = self.flushed.saturating_add(self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }

    /// Writes over bytes written before.
    pub(super) fn write_at(&mut self, position: u64, bytes: &[u8]) -> Result<(), WriteError> {
        if let Some(start) = position.checked_sub(self.flushed).and_then(|start| usize::try_from(start).ok())
            && let Some(place) = self.buffer.get_mut(start..).and_then(|rest| rest.get_mut(..bytes.len()))
        {
            place.copy_from_slice(bytes);
            return Ok(());
        }
        self.flush()?;
        self.seek(position)?;
        self.output.write_all(bytes).map_err(self.failed())?;
        self.seek(self.flushed)
    }

    /// Goes back to `position` and forgets what was written after it.
    pub(super) fn rewind(&mut self, position: u64) -> Result<(), WriteError> {
        self.flush()?;
        self.furthest = self.furthest.max(self.flushed);
        self.seek(position)?;
        self.flushed = position;
        Ok(())
    }

    /// Ends the WIM here, and returns its size.
    pub(super) fn finish(mut self) -> Result<u64, WriteError> {
        self.flush()?;
        if self.furthest > self.flushed {
            self.output.truncate(self.base.saturating_add(self.flushed)).map_err(self.failed())?;
        }
        self.output.flush().map_err(self.failed())?;
        Ok(self.flushed)
    }

    /// Reads bytes written before.
    pub(super) fn read_at(&mut self, buffer: &mut [u8], position: u64) -> Result<(), WriteError> {
        self.flush()?;
        self.seek(position)?;
        self.output.read_exact(buffer).map_err(|source| WriteError::Output { offset: position, source })?;
        self.seek(self.flushed)
    }

    fn seek(&mut self, position: u64) -> Result<(), WriteError> {
        let place = SeekFrom::Start(self.base.saturating_add(position));
        self.output.seek(place).map(drop).map_err(self.failed())
    }

    /// Copies bytes of a source; by the kernel where both are host files.
    pub(super) fn copy(&mut self, source: &dyn ReadAt, offset: u64, length: u64) -> Result<(), WriteError> {
        if length <= BUFFER_SIZE as u64 {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
            read_source(source, offset, &mut bytes)?;
            return self.write(&bytes);
        }
        self.flush()?;
        let copied = self.copy_by_kernel(source, offset, length)?;
        let mut offset = offset.saturating_add(copied);
        let mut left = length.saturating_sub(copied);
        let mut buffer = Vec::new();
        while left > 0 {
            buffer.resize(usize::try_from(left.min(COPY_SIZE)).unwrap_or_default(), 0);
            read_source(source, offset, &mut buffer)?;
            self.write(&buffer)?;
            offset = offset.saturating_add(buffer.len() as u64);
            left = left.saturating_sub(buffer.len() as u64);
        }
        Ok(())
    }

    /// Copies as much as the kernel agrees to, and returns how much that was.
    fn copy_by_kernel(&mut self, source: &dyn ReadAt, offset: u64, length: u64) -> Result<u64, WriteError> {
        let Some((file, origin)) = self.output.host_file() else { return Ok(0) };
        let position = origin.saturating_add(self.base).saturating_add(self.flushed);
        let copied = copy_by_kernel(source, offset, length, file, position).unwrap_or_default();
        self.flushed = self.flushed.saturating_add(copied);
        if copied > 0 {
            self.seek(self.flushed)?;
        }
        Ok(copied)
    }
}

fn read_source(source: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<(), WriteError> {
    Ok(crate::wim::resource::read(source, "resource to copy", offset, buffer)?)
}

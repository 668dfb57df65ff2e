//! The place of one file on a disc that is being written.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use crate::io::{ReadAt, copy_by_kernel};
use crate::wim;

/// Bytes that are read and written at once where the kernel cannot copy.
const BUFFER: usize = 1 << 20;
/// Bytes that the kernel is asked to copy at once.
const KERNEL_COPY: u64 = 1 << 30;

/// The place of one file on a disc that is being written: positions count from the file's first byte.
///
/// Nothing can be written past the promised maximum. What was skipped over reads as zeros. Reading back needs an image file that
/// was opened for reading too.
pub struct Window<'a> {
    file: &'a File,
    start: u64,
    maximum: u64,
    position: u64,
    end: u64,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: &'a File, start: u64, maximum: u64) -> Self {
        Self { file, start, maximum, position: 0, end: 0 }
    }

    /// Bytes in the file so far: the end of what was written last in it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.end
    }

    /// Offset in the image of `length` bytes at the current position.
    fn offset(&self, length: u64) -> Result<u64> {
        let end = self.position.checked_add(length).filter(|end| *end <= self.maximum);
        let full = || {
            let text = format!("{length} bytes at {} reach past the {} bytes that were promised", self.position, self.maximum);
            Error::new(ErrorKind::StorageFull, text)
        };
        end.and_then(|_| self.start.checked_add(self.position)).ok_or_else(full)
    }

    fn advance(&mut self, length: u64) {
        self.position = self.position.saturating_add(length);
        self.end = self.end.max(self.position);
    }

    /// Writes `length` bytes of `source` from `offset` on: by the kernel where the source lies in a host file, without a copy
    /// where the host's file system can share blocks.
    ///
    /// # Errors
    /// What `source` or the image file reports; `StorageFull` past the promised maximum.
    pub fn copy_from(&mut self, source: &dyn ReadAt, offset: u64, length: u64) -> Result<()> {
        self.offset(length)?;
        let (mut offset, mut left) = (offset, length);
        let mut buffer = Vec::new();
        let mut kernel = true;
        while left > 0 {
            let copied = if kernel { self.copy_in_kernel(source, offset, left.min(KERNEL_COPY))? } else { None };
            let done = match copied {
                Some(copied) if copied > 0 => copied,
                _ => {
                    // The kernel declined (some file systems), or the range is in several pieces: then it is asked again.
                    kernel = copied.is_none();
                    buffer.resize(BUFFER, 0);
                    let (now, _) = buffer.split_at_mut(BUFFER.min(usize::try_from(left).unwrap_or(BUFFER)));
                    source.read_exact_at(now, offset)?;
                    // Beyond the end so far the image holds zeros.
                    if self.position < self.end || now.iter().any(|byte| *byte != 0) {
                        self.file.write_all_at(now, self.offset(now.len() as u64)?)?;
                    }
                    self.advance(now.len() as u64);
                    now.len() as u64
                }
            };
            offset = offset.saturating_add(done);
            left = left.saturating_sub(done);
        }
        Ok(())
    }

    /// Bytes that the kernel copied, 0 when it would not; `None` when the range does not lie in a host file in one piece.
    fn copy_in_kernel(&mut self, source: &dyn ReadAt, offset: u64, length: u64) -> Result<Option<u64>> {
        let copied = copy_by_kernel(source, offset, length, self.file, self.offset(length)?);
        self.advance(copied.unwrap_or_default());
        Ok(copied)
    }
}

impl wim::write::Output for Window<'_> {
    fn host_file(&self) -> Option<(&File, u64)> {
        Some((self.file, self.start))
    }

    fn truncate(&mut self, length: u64) -> Result<()> {
        self.end = self.end.min(length);
        Ok(())
    }
}

impl Write for Window<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.file.write_all_at(bytes, self.offset(bytes.len() as u64)?)?;
        self.advance(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(0);
        }
        let (now, _) = buffer.split_at_mut(left.min(buffer.len()));
        let offset = self.offset(now.len() as u64)?;
        let length = match self.file.read_at(now, offset)? {
            // Zeros that were skipped when they were written, at the end of the image file.
            0 => {
                now.fill(0);
                now.len()
            }
            length => length,
        };
        self.position = self.position.saturating_add(length as u64);
        Ok(length)
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.end.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a seek before the start of the file"))?;
        Ok(self.position)
    }
}

//! Random-access byte sources: what every container format here is read from.
//!
//! A file inside a container (an `install.wim` inside an ISO) is itself a [`Section`] of that container, so formats nest
//! without anything being extracted.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{Advice, copy_file_range, fadvise};

/// Bytes that can be read at any offset, from any thread.
pub trait ReadAt: Send + Sync {
    /// Total length in bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes at `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the range does not lie inside the source; otherwise what the medium reports.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()>;

    /// The host file and the offset in it that hold `length` bytes at `offset`, when they lie there in one piece.
    /// Lets a writer ask the kernel to copy them.
    fn host_range(&self, _offset: u64, _length: u64) -> Option<(&File, u64)> {
        None
    }
}

fn end_of_source(offset: u64, length: usize, size: u64) -> Error {
    Error::new(ErrorKind::UnexpectedEof, format!("{length} bytes at offset {offset} reach past the end at {size}"))
}

fn check_range(offset: u64, length: usize, size: u64) -> Result<()> {
    match u64::try_from(length).ok().and_then(|length| offset.checked_add(length)) {
        Some(end) if end <= size => Ok(()),
        _ => Err(end_of_source(offset, length, size)),
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buffer.len(), self.size())?;
        let source = usize::try_from(offset).ok().and_then(|start| self.get(start..)?.get(..buffer.len()));
        buffer.copy_from_slice(source.ok_or_else(|| end_of_source(offset, buffer.len(), self.size()))?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        (**self).read_exact_at(buffer, offset)
    }

    fn host_range(&self, offset: u64, length: u64) -> Option<(&File, u64)> {
        (**self).host_range(offset, length)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        (**self).read_exact_at(buffer, offset)
    }

    fn host_range(&self, offset: u64, length: u64) -> Option<(&File, u64)> {
        (**self).host_range(offset, length)
    }
}

/// An opened host file, with its size as it was when opened.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    size: u64,
}

impl FileSource {
    /// Wraps an opened file.
    ///
    /// # Errors
    /// When the file's size cannot be asked.
    pub fn new(file: File) -> Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl ReadAt for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buffer.len(), self.size)?;
        self.file.read_exact_at(buffer, offset)
    }

    fn host_range(&self, offset: u64, length: u64) -> Option<(&File, u64)> {
        (offset.checked_add(length)? <= self.size).then_some((&self.file, offset))
    }
}

/// A run of bytes inside a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where the run starts in the outer source; `None` for a hole, which reads as zeros.
    pub offset: Option<u64>,
    /// Bytes in the run.
    pub length: u64,
}

/// A file inside a container: runs of an outer source, read as one source.
pub struct Section {
    source: Arc<dyn ReadAt>,
    /// Runs with the position of each in the section.
    runs: Vec<(u64, Extent)>,
    size: u64,
}

impl Section {
    /// Joins `extents` of `source` in order.
    ///
    /// # Errors
    /// `UnexpectedEof` when an extent reaches past the end of `source`, or the lengths overflow.
    pub fn new(source: Arc<dyn ReadAt>, extents: impl IntoIterator<Item = Extent>) -> Result<Self> {
        let mut runs = Vec::new();
        let mut size = 0_u64;
        for extent in extents {
            let inside = extent.offset.is_none_or(|start| start.checked_add(extent.length).is_some_and(|end| end <= source.size()));
            let next = size.checked_add(extent.length).filter(|_| inside);
            let next =
                next.ok_or_else(|| Error::new(ErrorKind::UnexpectedEof, format!("{extent:?} reaches past the end at {}", source.size())))?;
            if extent.length > 0 {
                runs.push((size, extent));
            }
            size = next;
        }
        Ok(Self { source, runs, size })
    }

    /// The run that holds `position`, as (index of the run, offset inside it).
    fn run_at(&self, position: u64) -> Option<(usize, u64)> {
        let index = self.runs.partition_point(|(start, _)| *start <= position).checked_sub(1)?;
        let (start, _) = self.runs.get(index)?;
        Some((index, position.checked_sub(*start)?))
    }
}

impl ReadAt for Section {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buffer.len(), self.size)?;
        let mut rest = buffer;
        let mut position = offset;
        while !rest.is_empty() {
            let run = self.run_at(position).and_then(|(index, inside)| Some((self.runs.get(index)?.1, inside)));
            let Some((extent, inside)) = run else { return Err(end_of_source(position, rest.len(), self.size)) };
            let available = usize::try_from(extent.length.saturating_sub(inside)).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_mut(available.min(rest.len()));
            match extent.offset {
                Some(start) => self.source.read_exact_at(now, start.saturating_add(inside))?,
                None => now.fill(0),
            }
            position = position.saturating_add(now.len() as u64);
            rest = later;
        }
        Ok(())
    }

    fn host_range(&self, offset: u64, length: u64) -> Option<(&File, u64)> {
        let (index, inside) = self.run_at(offset)?;
        let (_, extent) = self.runs.get(index)?;
        if inside.checked_add(length)? > extent.length {
            return None;
        }
        self.source.host_range(extent.offset?.checked_add(inside)?, length)
    }
}

/// Bytes that the kernel copies before their way to the disk begins. Measured: smaller steps are not faster.
const COPY_STEP: u64 = 8 << 20;

/// Lets the kernel copy `length` bytes of `source` at `offset` to `position` in `file`: without a copy where the host's file
/// system shares blocks. The disk writes what is copied while the rest is being copied, so that a sync has little to wait for.
///
/// Returns how many bytes were copied: fewer than `length` where the kernel declined (other file systems, old kernels; reading
/// and writing the rest will tell if there is more to it), `None` where the range does not lie in a host file in one piece.
pub(crate) fn copy_by_kernel(source: &dyn ReadAt, offset: u64, length: u64, file: &File, position: u64) -> Option<u64> {
    let (input, mut from) = source.host_range(offset, length)?;
    let mut to = position;
    let mut left = length;
    while left > 0 {
        let step = usize::try_from(left.min(COPY_STEP)).unwrap_or(usize::MAX);
        let Ok(count @ 1..) = copy_file_range(input, Some(&mut from), file, Some(&mut to), step) else { break };
        let count = count as u64;
        // What is not needed in memory is written out at once. The pages stay until that is done, so whoever reads the file next
        // mostly finds them still there. Only advice: nothing is lost when it is not taken.
        let _advice = fadvise(file, to.saturating_sub(count), NonZeroU64::new(count), Advice::DontNeed);
        left = left.saturating_sub(count);
    }
    Some(length.saturating_sub(left))
}

/// Reads a source from front to back.
pub struct Reader<S> {
    source: S,
    position: u64,
}

impl<S: ReadAt> Reader<S> {
    /// Starts at the first byte of `source`.
    pub fn new(source: S) -> Self {
        Self { source, position: 0 }
    }
}

impl<S: ReadAt> Read for Reader<S> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.source.size().saturating_sub(self.position)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let (now, _) = buffer.split_at_mut(length);
        self.source.read_exact_at(now, self.position)?;
        self.position = self.position.saturating_add(length as u64);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_reads_across_runs_and_holes() {
        let outer: Arc<dyn ReadAt> = Arc::new(b"abcdefghij".to_vec());
        let run = |offset, length| Extent { offset, length };
        let section = Section::new(outer.clone(), [run(Some(8), 2), run(None, 3), run(Some(0), 4)]).unwrap();
        let mut all = Vec::new();
        Reader::new(section).read_to_end(&mut all).unwrap();
        assert_eq!(all, b"ij\0\0\0abcd");
        assert!(Section::new(outer, [run(Some(8), 3)]).is_err());
    }

    #[test]
    fn the_kernel_copies_in_steps() {
        let bytes: Vec<u8> = (0..COPY_STEP + 5).map(|number| (number % 251) as u8).collect();
        let from = tempfile::tempfile().unwrap();
        from.write_all_at(&bytes, 0).unwrap();
        let source = FileSource::new(from).unwrap();
        let to = tempfile::tempfile().unwrap();
        let length = COPY_STEP + 2;
        // Wherever the host's file system declines, nothing was copied.
        let copied = copy_by_kernel(&source, 3, length, &to, 1).unwrap();
        let mut found = vec![0; copied as usize];
        to.read_exact_at(&mut found, 1).unwrap();
        assert!(copied == length || copied == 0, "{copied}");
        assert_eq!(found, bytes[3..][..copied as usize]);
        assert_eq!(copy_by_kernel(&source, 4, length, &to, 0), None, "the range reaches past the end");
        assert_eq!(copy_by_kernel(&bytes, 0, length, &to, 0), None, "the range lies in no file");
    }

    #[test]
    fn ranges_outside_a_source_are_errors() {
        let source = b"abc".to_vec();
        let mut two = [0; 2];
        assert!(source.read_exact_at(&mut two, 1).is_ok());
        assert_eq!(source.read_exact_at(&mut two, 2).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(source.read_exact_at(&mut two, u64::MAX).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}

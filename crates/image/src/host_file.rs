//! A file of the host as a byte source, without holding thousands of descriptors open.

use std::fs::File;
use std::io::{self, Result};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wimwright_format::io::{FileSource, ReadAt};

/// Files of at least this size are kept open; smaller ones are opened for each read. A medium has some thousand files, and
/// processes may usually hold 1,024 open.
const KEPT_OPEN: u64 = 16 << 20;

/// Opens a file of the host for reading.
///
/// # Errors
/// It cannot be opened, or is not a regular file.
pub fn open_host_file(path: &Path) -> Result<Arc<dyn ReadAt>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    if metadata.len() >= KEPT_OPEN {
        return Ok(Arc::new(FileSource::new(file)?));
    }
    Ok(Arc::new(SmallFile { path: path.to_owned(), size: metadata.len() }))
}

struct SmallFile {
    path: PathBuf,
    size: u64,
}

impl ReadAt for SmallFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} ended early", self.path.display())));
        }
        File::open(&self.path)?.read_exact_at(buffer, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_files_read_alike() {
        let folder = tempfile::tempdir().unwrap();
        let (small, large) = (folder.path().join("small"), folder.path().join("large"));
        std::fs::write(&small, b"abcdef").unwrap();
        File::create(&large).unwrap().set_len(KEPT_OPEN).unwrap();
        let mut two = [1; 2];
        let source = open_host_file(&small).unwrap();
        source.read_exact_at(&mut two, 4).unwrap();
        assert_eq!(&two, b"ef");
        assert!(source.read_exact_at(&mut two, 5).is_err());
        let source = open_host_file(&large).unwrap();
        source.read_exact_at(&mut two, KEPT_OPEN - 2).unwrap();
        assert_eq!(two, [0; 2]);
        assert!(open_host_file(folder.path()).is_err());
    }
}

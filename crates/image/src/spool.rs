//! A file without a name for contents that are too much for memory: a cumulative update brings gigabytes, of which nothing is written
//! to its place before all of it is proven.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use wimwright_format::io::ReadAt;

/// Makes an empty file, open for reading and writing, that nobody else writes to.
pub type MakeFile = Arc<dyn Fn() -> Result<File> + Send + Sync>;

/// The file, made when it is first needed, and again when nothing in it is needed any more.
#[derive(Clone)]
pub(crate) struct Spool {
    make: MakeFile,
    file: Option<Arc<File>>,
    /// Where the next contents go.
    end: u64,
}

/// Contents in the file. The file stays as long as one of these does.
pub(crate) struct Spooled {
    file: Arc<File>,
    offset: u64,
    size: u64,
}

impl Spool {
    pub fn new(make: MakeFile) -> Self {
        Self { make, file: None, end: 0 }
    }

    /// A place for `size` bytes. Whoever got it writes there.
    pub fn reserve(&mut self, size: u64) -> Result<Spooled> {
        let full = || Error::new(ErrorKind::FileTooLarge, "more than 2^64 bytes");
        let file = match self.file.take() {
            // Nothing in it is referred to: it begins anew, and gives the disk its space back.
            Some(file) if Arc::strong_count(&file) > 1 => file,
            _ => {
                self.end = 0;
                Arc::new((self.make)()?)
            }
        };
        let spooled = Spooled { file: file.clone(), offset: self.end, size };
        self.file = Some(file);
        self.end = self.end.checked_add(size).ok_or_else(full)?;
        Ok(spooled)
    }

    /// Gives the disk its space back if nothing in the file is referred to.
    pub fn release(&mut self) {
        self.file = self.file.take().filter(|file| Arc::strong_count(file) > 1);
    }
}

impl Spooled {
    /// Writes the contents.
    pub fn fill(&self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.offset)
    }
}

impl ReadAt for Spooled {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let place = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size).and_then(|_| self.offset.checked_add(offset));
        let place = place.ok_or_else(|| Error::new(ErrorKind::UnexpectedEof, "past the end of the contents"))?;
        self.file.read_exact_at(buffer, place)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Blobs;

    const PIECE: usize = 48 << 20;

    fn piece(number: u8) -> Vec<u8> {
        (0..PIECE).map(|place| (place >> 12) as u8 ^ number).collect()
    }

    #[test]
    fn what_is_too_much_for_memory_goes_to_the_file_and_reads_the_same() {
        let files = Arc::new(AtomicUsize::new(0));
        let counted = files.clone();
        let blobs = Blobs::with_spool(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            tempfile::tempfile()
        }));
        let made = || files.load(Ordering::Relaxed);
        let ids: Vec<_> = (0..5).map(|number| blobs.add_vec(piece(number)).unwrap()).collect();
        assert_eq!(made(), 1, "two are held, three are in the file");
        assert_eq!(blobs.add_vec(piece(4)), Some(ids[4]), "known already");
        for (number, id) in (0..).zip(&ids) {
            assert_eq!(blobs.size(id), Some(PIECE as u64));
            assert!(*blobs.read(id).unwrap() == *piece(number), "{number}");
            let view = blobs.view(id).unwrap();
            let mut bytes = [0; 8];
            view.read_exact_at(&mut bytes, PIECE as u64 - 8).unwrap();
            assert!(bytes == piece(number)[PIECE - 8..] && view.read_exact_at(&mut bytes, PIECE as u64 - 7).is_err());
        }
    }

    #[test]
    fn without_a_file_everything_stays_in_memory() {
        let blobs = Blobs::with_spool(Arc::new(|| Err(Error::other("the disk is full"))));
        let ids: Vec<_> = (0..3).map(|number| blobs.add_bytes(piece(number)).unwrap()).collect();
        assert!((0..).zip(&ids).all(|(number, id)| *blobs.read(id).unwrap() == *piece(number)));
    }

    #[test]
    fn the_file_begins_anew_when_nothing_in_it_is_needed() {
        let mut spool = Spool::new(Arc::new(tempfile::tempfile));
        let (first, second) = (spool.reserve(3).unwrap(), spool.reserve(4).unwrap());
        first.fill(b"one").unwrap();
        second.fill(b"four").unwrap();
        let mut bytes = [0; 3];
        first.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!((&bytes, first.offset, second.offset), (b"one", 0, 3));
        drop(first);
        spool.release();
        assert!(spool.file.is_some(), "the second is in it");
        drop(second);
        spool.release();
        assert!(spool.file.is_none());
        assert_eq!(spool.reserve(1).unwrap().offset, 0);
    }
}

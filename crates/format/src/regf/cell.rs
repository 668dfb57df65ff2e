//! Cells: the blocks that everything in a hive is stored in, and their allocator.
//!
//! A cell starts with its size as a signed number: negative while allocated. Cells fill a bin without gaps and never
//! cross its end. An offset names a cell, counted from the first bin. A free cell's neighbours in the same bin are
//! never free (they are joined), which this allocator keeps true.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use super::base_block::BASE_BLOCK_SIZE;
use super::bin::{BIN_HEADER_SIZE, BIN_UNIT, BinHeader};
use super::field::{put, u32_at};
use super::pieces::Pieces;
use super::verify::{Problem, ProblemKind};

/// Offset that points nowhere.
pub(super) const NIL: u32 = u32::MAX;
/// Bytes of the size field before a cell's contents.
pub(super) const CELL_HEADER_SIZE: u32 = 4;
/// Sizes and offsets of cells are multiples of this.
pub(super) const CELL_UNIT: u32 = 8;
/// Hive bins end below this: offsets with the top bit set name the volatile half that only a running Windows has.
pub(super) const MAX_BINS_SIZE: u32 = 0x8000_0000;

/// A hive file's bytes, seen as cells.
#[derive(Clone)]
pub(super) struct Cells {
    /// Base block, bins, and whatever follows the bins in the file.
    file: Pieces,
    /// Bytes of bins.
    size: u32,
    /// The free cells, as far as they are known.
    free: FreeCells,
    /// What was written to since the file was read.
    changed: Pages,
}

/// Why the contents of a cell cannot be had.
const PAST_THE_END: &str = "the cell reaches past the end of its bin or of the file";
/// Bytes of a page: bins and the base block are made of them.
pub(super) const PAGE: usize = 4096;

/// Pages of a file that were written to.
#[derive(Clone, Default)]
struct Pages(Vec<bool>);

impl Pages {
    /// Notes that `length` bytes at `start` were written to.
    fn mark(&mut self, start: usize, length: usize) {
        let (first, end) = (start / PAGE, start.saturating_add(length).div_ceil(PAGE));
        if self.0.len() < end {
            self.0.resize(end, false);
        }
        self.0.get_mut(first..end).unwrap_or_default().fill(true);
    }
}

/// The free cells of the bins that were looked into.
#[derive(Clone, Default)]
struct FreeCells {
    /// Bins not looked into yet: offset to size.
    unknown: BTreeMap<u32, u32>,
    /// (size, offset) of each free cell: the first that is large enough is the best fit.
    by_size: BTreeSet<(u32, u32)>,
    /// Offset to size.
    by_offset: BTreeMap<u32, u32>,
}

impl FreeCells {
    fn insert(&mut self, offset: u32, size: u32) {
        self.by_size.insert((size, offset));
        self.by_offset.insert(offset, size);
    }

    fn remove(&mut self, offset: u32, size: u32) {
        self.by_size.remove(&(size, offset));
        self.by_offset.remove(&offset);
    }
}

/// A cell's place: its size field included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub offset: u32,
    pub size: u32,
    pub allocated: bool,
}

impl Extent {
    /// What `bytes` say of the cell at `offset` that they begin with.
    fn parse(bytes: &[u8], offset: u32, end: u32) -> Option<Self> {
        let raw = u32_at(bytes, 0)?.cast_signed();
        let size = raw.unsigned_abs();
        let fits = size >= CELL_UNIT && size.is_multiple_of(CELL_UNIT) && size <= end.checked_sub(offset)?;
        fits.then_some(Self { offset, size, allocated: raw < 0 })
    }
}

/// Where in the file an offset from the first bin lies.
fn file_offset(offset: u32) -> usize {
    BASE_BLOCK_SIZE.saturating_add(offset as usize)
}

impl Cells {
    /// Takes a file whose first `size` bytes after the base block are bins. The caller has checked that they are there.
    pub fn new(file: Pieces, size: u32) -> Self {
        Self { file, size, free: FreeCells::default(), changed: Pages::default() }
    }

    /// True once something was written.
    pub fn is_modified(&self) -> bool {
        !self.changed.0.is_empty()
    }

    /// The base block, to be changed.
    pub fn base_block_mut(&mut self) -> &mut [u8] {
        self.changed.mark(0, BASE_BLOCK_SIZE);
        // It was read when the hive was opened.
        self.file.at_mut(0).unwrap_or_default().get_mut(..BASE_BLOCK_SIZE).unwrap_or_default()
    }

    /// The base block.
    pub fn base_block(&self) -> &[u8] {
        self.file.at(0).unwrap_or_default().get(..BASE_BLOCK_SIZE).unwrap_or_default()
    }

    /// The pages behind the base block that were written to, or all of them, in order, each with its offset in the file.
    pub fn pages(&self, all: bool) -> impl Iterator<Item = Result<(usize, &[u8]), Error>> + '_ {
        let behind_base_block = BASE_BLOCK_SIZE / PAGE..self.file.len().div_ceil(PAGE);
        let wanted = behind_base_block.filter(move |page| all || self.changed.0.get(*page).is_some_and(|changed| *changed));
        wanted.map(|page| {
            let start = page.saturating_mul(PAGE);
            let rest = self.file.at(start)?;
            Ok((start, rest.get(..PAGE).unwrap_or(rest)))
        })
    }

    /// The file, of a hive in memory.
    pub fn into_file(self) -> Vec<u8> {
        self.file.into_whole()
    }

    /// Bytes of bins.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Bytes of the allocated cell at `offset`, with the size field that `bytes` begin with.
    fn allocated(&self, offset: u32, bytes: &[u8]) -> Result<usize, Error> {
        let possible = offset >= BIN_HEADER_SIZE && offset.is_multiple_of(CELL_UNIT);
        let extent = Extent::parse(bytes, offset, self.size).filter(|extent| possible && extent.allocated);
        extent.map(|extent| extent.size as usize).ok_or(Error::Damaged { cell: offset, what: "no allocated cell lies there" })
    }

    /// The contents of the allocated cell at `offset`.
    pub fn cell(&self, offset: u32) -> Result<&[u8], Error> {
        let bytes = self.file.at(file_offset(offset))?;
        let cell = bytes.get(CELL_HEADER_SIZE as usize..self.allocated(offset, bytes)?);
        cell.ok_or(Error::Damaged { cell: offset, what: PAST_THE_END })
    }

    /// The contents of the allocated cell at `offset`, to be changed.
    pub fn cell_mut(&mut self, offset: u32) -> Result<&mut [u8], Error> {
        let size = self.allocated(offset, self.file.at(file_offset(offset))?)?;
        self.changed.mark(file_offset(offset), size);
        let cell = self.file.at_mut(file_offset(offset))?.get_mut(CELL_HEADER_SIZE as usize..size);
        cell.ok_or(Error::Damaged { cell: offset, what: PAST_THE_END })
    }

    /// Overwrites `field` bytes `at` bytes into a cell.
    pub fn put(&mut self, offset: u32, at: usize, field: &[u8]) -> Result<(), Error> {
        put(self.cell_mut(offset)?, at, field).ok_or(Error::Damaged { cell: offset, what: "the cell is too short for its structure" })
    }

    /// Overwrites a 32-bit number.
    pub fn put_u32(&mut self, offset: u32, at: usize, value: u32) -> Result<(), Error> {
        self.put(offset, at, &value.to_le_bytes())
    }

    /// Bytes that the contents of the cell at `offset` can have.
    pub fn capacity(&self, offset: u32) -> Result<usize, Error> {
        Ok(self.cell(offset)?.len())
    }

    /// The bins in order; where a header is damaged its place, and nothing more.
    pub fn bin_headers(&self) -> impl Iterator<Item = Result<BinHeader, Problem>> + '_ {
        let mut offset = 0_u32;
        std::iter::from_fn(move || {
            let left = self.size.checked_sub(offset).filter(|left| *left > 0)?;
            let header = self.file.bin(offset).filter(|header| header.fits(offset, left));
            let bin = header.ok_or(Problem { cell: offset, kind: ProblemKind::Bin });
            offset = header.map_or(self.size, |header| offset.saturating_add(header.size));
            Some(bin)
        })
    }

    /// The cells of a bin in order; where a size is impossible the place, and nothing more.
    pub fn cells_of(&self, bin: BinHeader) -> impl Iterator<Item = Result<Extent, Problem>> + '_ {
        let end = bin.offset.saturating_add(bin.size);
        let bytes = self.file.at(file_offset(bin.offset)).unwrap_or_default();
        let mut offset = bin.offset.saturating_add(BIN_HEADER_SIZE);
        std::iter::from_fn(move || {
            if offset >= end {
                return None;
            }
            let cell = bytes.get(offset.saturating_sub(bin.offset) as usize..).unwrap_or_default();
            let extent = Extent::parse(cell, offset, end);
            let cell = extent.ok_or(Problem { cell: offset, kind: ProblemKind::CellSize });
            offset = extent.map_or(end, |extent| offset.saturating_add(extent.size));
            Some(cell)
        })
    }

    /// Turns the allocator on: checks that the bins leave no gaps. Their cells are looked at when the allocator first
    /// needs room in a bin, or frees a cell of it.
    ///
    /// # Errors
    /// [`Error::Unsafe`].
    pub fn start_allocating(&mut self) -> Result<(), Error> {
        let unknown = self.bin_headers().map(|bin| bin.map(|bin| (bin.offset, bin.size))).collect::<Result<_, _>>();
        self.free = FreeCells { unknown: unknown.map_err(unsafe_to_edit)?, ..FreeCells::default() };
        Ok(())
    }

    /// Learns the free cells of a bin that was not looked into yet.
    fn look_into(&mut self, bin: BinHeader) -> Result<(), Error> {
        // What cannot be read is not damaged.
        self.file.at(file_offset(bin.offset))?;
        let is_used = |cell: &Result<Extent, Problem>| cell.as_ref().is_ok_and(|cell| cell.allocated);
        let free: Vec<Extent> = self.cells_of(bin).filter(|cell| !is_used(cell)).collect::<Result<_, _>>().map_err(unsafe_to_edit)?;
        self.free.unknown.remove(&bin.offset);
        for cell in free {
            self.free.insert(cell.offset, cell.size);
        }
        Ok(())
    }

    /// (size, offset) of the free cell for an allocation of `size` bytes. Bins are looked into, the last first, until one
    /// of them has room; one is appended only when none has.
    fn find_free(&mut self, size: u32) -> Result<(u32, u32), Error> {
        loop {
            if let Some(found) = self.free.by_size.range((size, 0)..).next() {
                return Ok(*found);
            }
            match self.free.unknown.last_key_value() {
                Some((&offset, &size)) => self.look_into(BinHeader { offset, size })?,
                None => return self.append_bin(size),
            }
        }
    }

    /// Stores `contents` in a new cell with room for at least `capacity` bytes; returns its offset.
    ///
    /// Of the free cells known the smallest that is large enough is taken, the lowest of equals; what is left of it stays
    /// free.
    pub fn allocate(&mut self, contents: &[u8], capacity: usize) -> Result<u32, Error> {
        let wanted = contents.len().max(capacity);
        let size = u32::try_from(wanted).ok().and_then(|wanted| wanted.checked_add(CELL_HEADER_SIZE));
        let size = size.and_then(|size| size.checked_next_multiple_of(CELL_UNIT)).ok_or(Error::Full)?;
        let (found_size, offset) = self.find_free(size)?;
        self.free.remove(offset, found_size);
        let rest = found_size.saturating_sub(size);
        if rest > 0 {
            self.mark_free(offset.saturating_add(size), rest);
        }
        self.put_raw(offset, &size.cast_signed().wrapping_neg().to_le_bytes());
        let cell = self.cell_mut(offset)?;
        let (now, padding) = cell.split_at_mut_checked(contents.len()).ok_or(Error::Full)?;
        now.copy_from_slice(contents);
        padding.fill(0);
        Ok(offset)
    }

    /// Frees the cell at `offset`, joins it with free neighbours, and clears its contents.
    pub fn release(&mut self, offset: u32) -> Result<(), Error> {
        let unknown = self.free.unknown.range(..=offset).next_back().map(|(offset, size)| BinHeader { offset: *offset, size: *size });
        if let Some(bin) = unknown.filter(|bin| offset < bin.offset.saturating_add(bin.size)) {
            self.look_into(bin)?;
        }
        let contents = self.cell_mut(offset)?;
        contents.fill(0);
        let mut start = offset;
        let mut size = u32::try_from(contents.len()).unwrap_or_default().saturating_add(CELL_HEADER_SIZE);
        self.put_raw(offset, &[0; 4]);
        let before = self.free.by_offset.range(..offset).next_back().map(|(start, size)| (*start, *size));
        if let Some((before, before_size)) = before.filter(|(start, size)| start.saturating_add(*size) == offset) {
            self.free.remove(before, before_size);
            start = before;
            size = size.saturating_add(before_size);
        }
        let next = start.saturating_add(size);
        if let Some(next_size) = self.free.by_offset.get(&next).copied() {
            self.free.remove(next, next_size);
            self.put_raw(next, &[0; 4]);
            size = size.saturating_add(next_size);
        }
        self.mark_free(start, size);
        Ok(())
    }

    /// Makes the contents of a cell at least `capacity` bytes long, moving it where needed; returns where it is now.
    pub fn grow(&mut self, offset: u32, capacity: usize) -> Result<u32, Error> {
        if self.capacity(offset)? >= capacity {
            return Ok(offset);
        }
        let contents = self.cell(offset)?.to_vec();
        let moved = self.allocate(&contents, capacity)?;
        self.release(offset)?;
        Ok(moved)
    }

    fn mark_free(&mut self, offset: u32, size: u32) {
        self.put_raw(offset, &size.to_le_bytes());
        self.free.insert(offset, size);
    }

    /// Writes at an offset from the first bin that the caller knows to be inside the bins.
    pub fn put_raw(&mut self, offset: u32, field: &[u8]) {
        self.changed.mark(file_offset(offset), field.len());
        // The allocator has looked into the bin, so it is there.
        let _inside: Option<()> = put(self.file.at_mut(file_offset(offset)).unwrap_or_default(), 0, field);
    }

    /// Adds a bin with one free cell of at least `size` bytes; returns its (size, offset).
    fn append_bin(&mut self, size: u32) -> Result<(u32, u32), Error> {
        let offset = self.size;
        let bin_size = size.checked_add(BIN_HEADER_SIZE).and_then(|size| size.checked_next_multiple_of(BIN_UNIT)).ok_or(Error::Full)?;
        let end = offset.checked_add(bin_size).filter(|end| *end < MAX_BINS_SIZE).ok_or(Error::Full)?;
        let start = file_offset(offset);
        self.file.append(start, bin_size as usize)?;
        self.changed.mark(start, bin_size as usize);
        BinHeader { offset, size: bin_size }.write(self.file.at_mut(start)?).ok_or(Error::Full)?;
        self.size = end;
        let (cell, cell_size) = (offset.saturating_add(BIN_HEADER_SIZE), bin_size.saturating_sub(BIN_HEADER_SIZE));
        self.mark_free(cell, cell_size);
        Ok((cell_size, cell))
    }
}

fn unsafe_to_edit(first: Problem) -> Error {
    Error::Unsafe { first, count: 1 }
}

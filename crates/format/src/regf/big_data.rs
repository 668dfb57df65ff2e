//! Big data (`db`): a value's data in segments, in hives of version 1.4 and later.

use super::Error;
use super::cell::Cells;
use super::field::{u16_at, u32_at};

/// Bytes of data in every segment but the last, and the largest data that is stored in one cell.
pub(super) const SEGMENT_SIZE: usize = 16_344;
/// First minor version whose hives split large data.
pub(super) const FIRST_MINOR: u32 = 4;
/// Windows gives every segment's cell this many bytes more than its data.
const SEGMENT_PADDING: usize = 4;

/// A big data record as read.
pub(super) struct BigData<'a> {
    /// Cell of the segment list.
    pub list: u32,
    entries: &'a [u8],
}

impl<'a> BigData<'a> {
    /// Reads the record in the cell at `offset`.
    pub fn read(cells: &'a Cells, offset: u32) -> Result<Self, Error> {
        let damaged = |what| Error::Damaged { cell: offset, what };
        let cell = cells.cell(offset)?;
        // 0: "db". 2: number of segments. 4: cell of the segment list.
        let (true, Some(count), Some(list)) = (cell.starts_with(b"db"), u16_at(cell, 2), u32_at(cell, 4)) else {
            return Err(damaged("the data's cell is too short for it and holds no big data record"));
        };
        let entries = cells.cell(list)?.get(..usize::from(count).saturating_mul(4));
        Ok(Self { list, entries: entries.ok_or(damaged("the segment list is shorter than its count"))? })
    }

    /// The cells of the segments.
    pub fn segments(&self) -> impl Iterator<Item = u32> + 'a {
        self.entries.chunks_exact(4).filter_map(|entry| u32_at(entry, 0))
    }

    /// Joins `length` bytes.
    pub fn join(&self, cells: &Cells, offset: u32, length: usize) -> Result<Vec<u8>, Error> {
        let most = self.segments().count().saturating_mul(SEGMENT_SIZE);
        if most < length {
            return Err(Error::Damaged { cell: offset, what: "the segments hold less than the value's size" });
        }
        let mut data = Vec::with_capacity(length);
        for segment in self.segments() {
            let wanted = length.saturating_sub(data.len()).min(SEGMENT_SIZE);
            let bytes = cells.cell(segment)?.get(..wanted);
            data.extend_from_slice(bytes.ok_or(Error::Damaged { cell: segment, what: "a data segment is too short" })?);
        }
        Ok(data)
    }
}

/// Stores `data` in segments; returns the cell of the record.
pub(super) fn store(cells: &mut Cells, data: &[u8]) -> Result<u32, Error> {
    let mut list = Vec::new();
    for segment in data.chunks(SEGMENT_SIZE) {
        let cell = cells.allocate(segment, segment.len().saturating_add(SEGMENT_PADDING))?;
        list.extend_from_slice(&cell.to_le_bytes());
    }
    let count = u16::try_from(data.len().div_ceil(SEGMENT_SIZE)).map_err(|_| Error::Full)?;
    let list = cells.allocate(&list, 0)?;
    let mut record = b"db".to_vec();
    record.extend_from_slice(&count.to_le_bytes());
    record.extend_from_slice(&list.to_le_bytes());
    cells.allocate(&record, 0)
}

/// Frees the record at `offset` with its list and segments.
pub(super) fn release(cells: &mut Cells, offset: u32) -> Result<(), Error> {
    let record = BigData::read(cells, offset)?;
    let (list, segments) = (record.list, record.segments().collect::<Vec<_>>());
    for segment in segments {
        cells.release(segment)?;
    }
    cells.release(list)?;
    cells.release(offset)
}

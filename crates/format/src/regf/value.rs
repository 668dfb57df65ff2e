//! Values (`vk`): a name, a type and data.

use std::borrow::Cow;
use std::fmt;

use super::Error;
use super::big_data::{self, BigData};
use super::cell::{Cells, NIL};
use super::data::ValueKind;
use super::field::{u16_at, u32_at};
use super::name::{Name, encode};

/// In the size field: the data (at most 4 bytes) lies in the offset field itself.
const RESIDENT: u32 = 0x8000_0000;
/// The most data that lies in the offset field.
const MAX_RESIDENT: usize = 4;
/// The name is stored in the compressed form.
const FLAG_COMPRESSED_NAME: u16 = 1;
/// The value hides one of the layer below (Windows 10 containers).
const FLAG_TOMBSTONE: u16 = 2;
/// The most data that a value can have: segments are counted in 16 bits.
pub(super) const MAX_DATA: usize = 65_535 * big_data::SEGMENT_SIZE;

/// Where each field of a value lies in its cell.
mod at {
    /// Bytes of the name.
    pub const NAME_LENGTH: usize = 2;
    /// Bytes of the data; the top bit marks resident data.
    pub const DATA_SIZE: usize = 4;
    /// Cell of the data, or the data.
    pub const DATA: usize = 8;
    /// Type of the data.
    pub const KIND: usize = 12;
    /// `FLAG_…`.
    pub const FLAGS: usize = 16;
    // 18: unused.
    /// The name.
    pub const NAME: usize = 20;
}

/// One value of a key, borrowed from its hive.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    cells: &'a Cells,
    minor: u32,
    pub(super) cell: u32,
    pub(super) stored_name: Name<'a>,
    size_field: u32,
    data_cell: u32,
    kind: u32,
    flags: u16,
}

/// Where a value's data lies.
pub(super) enum Storage {
    /// Nowhere, or in the value's own cell.
    Resident,
    /// In one cell.
    Cell(u32),
    /// In segments, under this record.
    BigData(u32),
}

impl<'a> Value<'a> {
    /// Reads the value in the cell at `cell`.
    pub(super) fn read(cells: &'a Cells, minor: u32, cell: u32) -> Result<Self, Error> {
        let contents = cells.cell(cell)?;
        let parse = || {
            let flags = u16_at(contents, at::FLAGS)?;
            let name_length = usize::from(u16_at(contents, at::NAME_LENGTH)?);
            let stored_name = Name { bytes: contents.get(at::NAME..)?.get(..name_length)?, compressed: flags & FLAG_COMPRESSED_NAME != 0 };
            contents.starts_with(b"vk").then_some(Self {
                cells,
                minor,
                cell,
                stored_name,
                size_field: u32_at(contents, at::DATA_SIZE)?,
                data_cell: u32_at(contents, at::DATA)?,
                kind: u32_at(contents, at::KIND)?,
                flags,
            })
        };
        parse().ok_or(Error::Damaged { cell, what: "the cell holds no value" })
    }

    /// The name; empty for the key's default value. Unpaired surrogates show as U+FFFD.
    #[must_use]
    pub fn name(&self) -> String {
        self.stored_name.to_string()
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        ValueKind(self.kind)
    }

    /// True for a value that hides one of the layer below, in hives of Windows 10 containers.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.flags & FLAG_TOMBSTONE != 0
    }

    /// Bytes of data.
    #[must_use]
    pub fn size(&self) -> usize {
        (self.size_field & !RESIDENT) as usize
    }

    /// The data as stored.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the cells do not hold as much as the value says.
    pub fn data(&self) -> Result<Cow<'a, [u8]>, Error> {
        let size = self.size();
        let damaged = |what| Error::Damaged { cell: self.cell, what };
        match self.storage()? {
            Storage::Resident => {
                let field = self.cells.cell(self.cell)?.get(at::DATA..at::KIND).unwrap_or_default();
                field.get(..size).map(Cow::Borrowed).ok_or(damaged("resident data of more than 4 bytes"))
            }
            Storage::Cell(cell) => self.cells.cell(cell)?.get(..size).map(Cow::Borrowed).ok_or(damaged("the data is larger than its cell")),
            Storage::BigData(cell) => BigData::read(self.cells, cell)?.join(self.cells, cell, size).map(Cow::Owned),
        }
    }

    /// Where the data lies. Data of any size that fits its cell is taken as plain: hivex writes such in new hives too.
    pub(super) fn storage(&self) -> Result<Storage, Error> {
        let size = self.size();
        if self.size_field & RESIDENT != 0 || size == 0 || (self.data_cell == NIL && self.is_tombstone()) {
            return Ok(Storage::Resident);
        }
        let segmented = size > big_data::SEGMENT_SIZE && self.minor >= big_data::FIRST_MINOR;
        if segmented && self.cells.capacity(self.data_cell)? < size {
            return Ok(Storage::BigData(self.data_cell));
        }
        Ok(Storage::Cell(self.data_cell))
    }

    /// True for data that Windows would have stored in segments.
    pub(super) fn is_oversized_cell(&self) -> bool {
        let segmented = self.size() > big_data::SEGMENT_SIZE && self.minor >= big_data::FIRST_MINOR;
        segmented && matches!(self.storage(), Ok(Storage::Cell(_)))
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = output.debug_struct("Value");
        shown.field("cell", &self.cell).field("name", &self.name()).field("kind", &self.kind()).field("size", &self.size());
        shown.finish_non_exhaustive()
    }
}

/// Makes a value without data; returns its cell.
pub(super) fn create(cells: &mut Cells, name: &str) -> Result<u32, Error> {
    let (name_bytes, compressed) = encode(name);
    let length = u16::try_from(name_bytes.len()).map_err(|_| Error::Name { name: name.into(), why: "it is too long" })?;
    let flags = if compressed { FLAG_COMPRESSED_NAME } else { 0 };
    let mut cell = b"vk".to_vec();
    cell.extend_from_slice(&length.to_le_bytes());
    cell.extend_from_slice(&RESIDENT.to_le_bytes());
    cell.extend_from_slice(&[0; 8]);
    cell.extend_from_slice(&flags.to_le_bytes());
    cell.extend_from_slice(&[0; 2]);
    cell.extend_from_slice(&name_bytes);
    cells.allocate(&cell, 0)
}

/// Replaces the data and the type of the value at `cell`.
pub(super) fn set_data(cells: &mut Cells, minor: u32, cell: u32, kind: ValueKind, data: &[u8]) -> Result<(), Error> {
    let value = Value::read(cells, minor, cell)?;
    let (old, flags) = (value.storage()?, value.flags & !FLAG_TOMBSTONE);
    let size = u32::try_from(data.len()).ok().filter(|_| data.len() <= MAX_DATA).ok_or(Error::Full)?;
    let (size_field, data_field) = if data.len() <= MAX_RESIDENT {
        release_storage(cells, &old)?;
        let mut field = [0; MAX_RESIDENT];
        field.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
        (size | RESIDENT, u32::from_le_bytes(field))
    } else if data.len() > big_data::SEGMENT_SIZE && minor >= big_data::FIRST_MINOR {
        let record = big_data::store(cells, data)?;
        release_storage(cells, &old)?;
        (size, record)
    } else {
        (size, store_plain(cells, &old, data)?)
    };
    cells.put_u32(cell, at::DATA_SIZE, size_field)?;
    cells.put_u32(cell, at::DATA, data_field)?;
    cells.put_u32(cell, at::KIND, kind.0)?;
    cells.put(cell, at::FLAGS, &flags.to_le_bytes())
}

/// Stores `data` in the cell of the old data where it fits, else in a new one.
fn store_plain(cells: &mut Cells, old: &Storage, data: &[u8]) -> Result<u32, Error> {
    if let Storage::Cell(cell) = old {
        let contents = cells.cell_mut(*cell)?;
        // A cell twice too large is given back.
        let worth_keeping = contents.len() <= data.len().saturating_mul(2).saturating_add(MAX_RESIDENT);
        if let Some((now, padding)) = contents.split_at_mut_checked(data.len()).filter(|_| worth_keeping) {
            now.copy_from_slice(data);
            padding.fill(0);
            return Ok(*cell);
        }
    }
    let cell = cells.allocate(data, 0)?;
    release_storage(cells, old)?;
    Ok(cell)
}

fn release_storage(cells: &mut Cells, storage: &Storage) -> Result<(), Error> {
    match storage {
        Storage::Resident => Ok(()),
        Storage::Cell(cell) => cells.release(*cell),
        Storage::BigData(record) => big_data::release(cells, *record),
    }
}

/// Frees the value at `cell` with its data.
pub(super) fn release(cells: &mut Cells, minor: u32, cell: u32) -> Result<(), Error> {
    let storage = Value::read(cells, minor, cell)?.storage()?;
    release_storage(cells, &storage)?;
    cells.release(cell)
}

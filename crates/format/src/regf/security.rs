//! Security cells (`sk`): a security descriptor, shared by the keys that have the same one.
//!
//! All security cells of a hive form one ring of forward and backward offsets. Each counts the keys that point at it,
//! and is freed at zero.

use super::Error;
use super::cell::Cells;
use super::field::{u16_at, u32_at};

/// Where each field lies in its cell.
pub(super) mod at {
    /// The next cell of the ring.
    pub const FORWARD: usize = 4;
    /// The cell before.
    pub const BACKWARD: usize = 8;
    /// Number of keys that point here.
    pub const REFERENCES: usize = 12;
    /// Bytes of the security descriptor.
    pub const SIZE: usize = 16;
    /// The self-relative security descriptor.
    pub const DESCRIPTOR: usize = 20;
}

/// Bytes of a self-relative descriptor without owner, group and lists.
const MIN_DESCRIPTOR: usize = 20;
/// SE_SELF_RELATIVE in the control word.
const SELF_RELATIVE: u16 = 0x8000;

/// A security cell as read.
#[derive(Clone, Copy)]
pub(super) struct SecurityCell<'a> {
    pub forward: u32,
    pub backward: u32,
    pub references: u32,
    pub descriptor: &'a [u8],
}

impl<'a> SecurityCell<'a> {
    /// Reads the security cell at `offset`.
    pub fn read(cells: &'a Cells, offset: u32) -> Result<Self, Error> {
        let cell = cells.cell(offset)?;
        let parse = || {
            let size = u32_at(cell, at::SIZE)? as usize;
            cell.starts_with(b"sk").then_some(Self {
                forward: u32_at(cell, at::FORWARD)?,
                backward: u32_at(cell, at::BACKWARD)?,
                references: u32_at(cell, at::REFERENCES)?,
                descriptor: cell.get(at::DESCRIPTOR..)?.get(..size)?,
            })
        };
        parse().ok_or(Error::Damaged { cell: offset, what: "the cell holds no security descriptor" })
    }
}

/// Refuses what cannot be a self-relative security descriptor.
pub(super) fn check_descriptor(descriptor: &[u8]) -> Result<(), Error> {
    let self_relative = u16_at(descriptor, 2).is_some_and(|control| control & SELF_RELATIVE != 0);
    if descriptor.len() < MIN_DESCRIPTOR || descriptor.first() != Some(&1) || !self_relative {
        return Err(Error::SecurityDescriptor);
    }
    Ok(())
}

/// Makes a security cell with one reference and links it into the ring behind `neighbour`; a ring of its own without.
pub(super) fn create(cells: &mut Cells, descriptor: &[u8], neighbour: Option<u32>) -> Result<u32, Error> {
    let size = u32::try_from(descriptor.len()).map_err(|_| Error::Full)?;
    let mut contents = b"sk\0\0\0\0\0\0\0\0\0\0".to_vec();
    contents.extend_from_slice(&1_u32.to_le_bytes());
    contents.extend_from_slice(&size.to_le_bytes());
    contents.extend_from_slice(descriptor);
    let cell = cells.allocate(&contents, 0)?;
    let before = neighbour.unwrap_or(cell);
    let after = match neighbour {
        Some(neighbour) => SecurityCell::read(cells, neighbour)?.forward,
        None => cell,
    };
    cells.put_u32(cell, at::BACKWARD, before)?;
    cells.put_u32(cell, at::FORWARD, after)?;
    cells.put_u32(before, at::FORWARD, cell)?;
    cells.put_u32(after, at::BACKWARD, cell)?;
    Ok(cell)
}

/// Takes a security cell out of the ring and frees it.
pub(super) fn release(cells: &mut Cells, cell: u32) -> Result<(), Error> {
    let SecurityCell { forward, backward, .. } = SecurityCell::read(cells, cell)?;
    cells.put_u32(backward, at::FORWARD, forward)?;
    cells.put_u32(forward, at::BACKWARD, backward)?;
    cells.release(cell)
}

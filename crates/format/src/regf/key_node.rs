//! Key nodes (`nk`): one per key.

use super::Error;
use super::cell::{Cells, NIL};
use super::field::{put, u16_at, u32_at, u64_at};
use super::name::{Name, encode};

/// The root key of its hive.
pub(super) const FLAG_HIVE_ENTRY: u16 = 0x0004;
/// Windows does not let the key be deleted.
pub(super) const FLAG_NO_DELETE: u16 = 0x0008;
/// The name is stored in the compressed form.
pub(super) const FLAG_COMPRESSED_NAME: u16 = 0x0020;
/// The value count is a handle instead: the key has no values.
pub(super) const FLAG_PREDEFINED_HANDLE: u16 = 0x0040;
/// In the largest-subkey-name field: children inherit the virtualization flags.
const VIRTUALIZATION_RECURSE: u32 = 0x0008_0000;
/// The virtualization flags in that field.
const VIRTUALIZATION_MASK: u32 = 0x000F_0000;

/// Where each field of a key node lies in its cell.
pub(super) mod at {
    /// Bit mask, `FLAG_…`.
    pub const FLAGS: usize = 2;
    /// FILETIME.
    pub const LAST_WRITTEN: usize = 4;
    // 12: access bits (Windows 8) and layered key bits (Windows 10); new keys have 0.
    /// Cell of the parent key; without meaning in the root.
    pub const PARENT: usize = 16;
    /// Number of subkeys.
    pub const SUBKEY_COUNT: usize = 20;
    // 24: number of volatile subkeys, 0 on disk.
    /// Cell of the subkey list.
    pub const SUBKEY_LIST: usize = 28;
    /// Cell of the volatile subkey list, without meaning on disk.
    pub const VOLATILE_LIST: usize = 32;
    /// Number of values.
    pub const VALUE_COUNT: usize = 36;
    /// Cell of the value list.
    pub const VALUE_LIST: usize = 40;
    /// Cell of the security descriptor.
    pub const SECURITY: usize = 44;
    /// Cell of the class name.
    pub const CLASS: usize = 48;
    /// Low half: length of the longest subkey name, in bytes of UTF-16. High half: virtualization, WOW64 and debug bits.
    pub const LARGEST_SUBKEY_NAME: usize = 52;
    /// Length of the longest class name of a subkey, in bytes.
    pub const LARGEST_CLASS: usize = 56;
    /// Length of the longest value name, in bytes of UTF-16.
    pub const LARGEST_VALUE_NAME: usize = 60;
    /// Length of the largest value data, in bytes.
    pub const LARGEST_VALUE_DATA: usize = 64;
    // 68: a lookup cache of Windows 2000.
    /// Bytes of the name.
    pub const NAME_LENGTH: usize = 72;
    /// Bytes of the class name.
    pub const CLASS_LENGTH: usize = 74;
    /// The name.
    pub const NAME: usize = 76;
}

/// A key node as read.
#[derive(Clone, Copy)]
pub(super) struct KeyNode<'a> {
    pub flags: u16,
    pub last_written: u64,
    pub parent: u32,
    pub subkey_count: u32,
    pub subkey_list: u32,
    pub value_count: u32,
    pub value_list: u32,
    pub security: u32,
    pub class: u32,
    pub class_length: u16,
    pub largest_subkey_name: u32,
    pub largest_class: u32,
    pub largest_value_name: u32,
    pub largest_value_data: u32,
    pub name: Name<'a>,
}

impl<'a> KeyNode<'a> {
    /// Reads the key node in the cell at `offset`.
    pub fn read(cells: &'a Cells, offset: u32) -> Result<Self, Error> {
        Self::parse(cells.cell(offset)?).ok_or(Error::Damaged { cell: offset, what: "the cell holds no key node" })
    }

    fn parse(cell: &'a [u8]) -> Option<Self> {
        if !cell.starts_with(b"nk") {
            return None;
        }
        let flags = u16_at(cell, at::FLAGS)?;
        let name_length = usize::from(u16_at(cell, at::NAME_LENGTH)?);
        let value_count = if flags & FLAG_PREDEFINED_HANDLE == 0 { u32_at(cell, at::VALUE_COUNT)? } else { 0 };
        Some(Self {
            flags,
            last_written: u64_at(cell, at::LAST_WRITTEN)?,
            parent: u32_at(cell, at::PARENT)?,
            subkey_count: u32_at(cell, at::SUBKEY_COUNT)?,
            subkey_list: u32_at(cell, at::SUBKEY_LIST)?,
            value_count,
            value_list: u32_at(cell, at::VALUE_LIST)?,
            security: u32_at(cell, at::SECURITY)?,
            class: u32_at(cell, at::CLASS)?,
            class_length: u16_at(cell, at::CLASS_LENGTH)?,
            largest_subkey_name: u32_at(cell, at::LARGEST_SUBKEY_NAME)?,
            largest_class: u32_at(cell, at::LARGEST_CLASS)?,
            largest_value_name: u32_at(cell, at::LARGEST_VALUE_NAME)?,
            largest_value_data: u32_at(cell, at::LARGEST_VALUE_DATA)?,
            name: Name { bytes: cell.get(at::NAME..)?.get(..name_length)?, compressed: flags & FLAG_COMPRESSED_NAME != 0 },
        })
    }

    /// The cells of the key's values, in the order of the list.
    pub fn value_cells(&self, cells: &Cells) -> Result<Vec<u32>, Error> {
        if self.value_count == 0 {
            return Ok(Vec::new());
        }
        let list = cells.cell(self.value_list)?;
        let length = (self.value_count as usize).checked_mul(4);
        let entries = length.and_then(|length| list.get(..length));
        let entries =
            entries.ok_or(Error::Damaged { cell: self.value_list, what: "the value list is shorter than the key's value count" })?;
        Ok(entries.chunks_exact(4).filter_map(|entry| u32_at(entry, 0)).collect())
    }

    /// The class name's bytes (UTF-16), if the key has one.
    pub fn class_bytes(&self, cells: &'a Cells) -> Result<Option<&'a [u8]>, Error> {
        if self.class == NIL || self.class_length == 0 {
            return Ok(None);
        }
        let bytes = cells.cell(self.class)?.get(..usize::from(self.class_length));
        bytes.map(Some).ok_or(Error::Damaged { cell: self.class, what: "the class name is longer than its cell" })
    }

    /// The virtualization flags that a new child of this key gets.
    fn inherited_flags(&self) -> u32 {
        if self.largest_subkey_name & VIRTUALIZATION_RECURSE == 0 { 0 } else { self.largest_subkey_name & VIRTUALIZATION_MASK }
    }
}

/// What a new key node starts with; it has no subkeys, values or class name.
pub(super) struct NewKeyNode<'a> {
    pub name: &'a str,
    pub extra_flags: u16,
    pub last_written: u64,
    pub parent: u32,
    pub security: u32,
    /// The parent as it is, to inherit from.
    pub inherit: Option<&'a KeyNode<'a>>,
}

impl NewKeyNode<'_> {
    /// The cell's contents.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let (name, compressed) = encode(self.name);
        let flags = if compressed { self.extra_flags | FLAG_COMPRESSED_NAME } else { self.extra_flags };
        let name_length = u16::try_from(name.len()).map_err(|_| Error::Name { name: self.name.into(), why: "it is too long" })?;
        let mut cell = vec![0; at::NAME.saturating_add(name.len())];
        let virtualization = self.inherit.map_or(0, KeyNode::inherited_flags);
        let fields: [(usize, &[u8]); 13] = [
            (0, b"nk"),
            (at::FLAGS, &flags.to_le_bytes()),
            (at::LAST_WRITTEN, &self.last_written.to_le_bytes()),
            (at::PARENT, &self.parent.to_le_bytes()),
            (at::SUBKEY_COUNT, &0_u32.to_le_bytes()),
            (at::SUBKEY_LIST, &NIL.to_le_bytes()),
            (at::VOLATILE_LIST, &NIL.to_le_bytes()),
            (at::VALUE_LIST, &NIL.to_le_bytes()),
            (at::SECURITY, &self.security.to_le_bytes()),
            (at::CLASS, &NIL.to_le_bytes()),
            (at::LARGEST_SUBKEY_NAME, &virtualization.to_le_bytes()),
            (at::NAME_LENGTH, &name_length.to_le_bytes()),
            (at::NAME, &name),
        ];
        for (offset, field) in fields {
            // Every field lies inside the cell made above.
            let _written: Option<()> = put(&mut cell, offset, field);
        }
        Ok(cell)
    }
}

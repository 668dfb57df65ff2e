//! Tagged items: what follows the names in a dentry.
//!
//! Each item is `{ tag: u32, length: u32, data }`, and the next starts at the next multiple of eight. Known tags: 1, the
//! NTFS object identifier (Microsoft); 2, extended attributes (Microsoft); 0x337dd873 and 0x337dd874, wimlib's UNIX data
//! and Linux extended attributes. Source: wimlib's `inode.h`, `object_id.h`, `xattr.h`, `unix_data.h`; item 2 also seen in
//! Windows 10 images. Unknown items, even unreadable ones, are kept byte by byte.

use super::fields::{Fields, align8};

/// Tag of the NTFS object identifier: 16 bytes, or 64 with the birth identifiers.
pub const TAG_OBJECT_ID: u32 = 1;
/// Tag of extended attributes.
pub const TAG_EXTENDED_ATTRIBUTES: u32 = 2;
/// Tag of wimlib's owner, group and mode of a UNIX file.
pub const TAG_WIMLIB_UNIX_DATA: u32 = 0x337d_d873;

/// One extended attribute of NTFS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedAttribute {
    /// `FILE_NEED_EA` (0x80) or 0.
    pub flags: u8,
    /// The name, in the OEM character set, without its NUL.
    pub name: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// The tagged items of a dentry, verbatim.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct TaggedItems(Vec<u8>);

impl TaggedItems {
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The bytes as they stand in the dentry.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The items as (tag, data), up to the first that is malformed.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let fields = Fields(&self.0);
            let tag = fields.u32(at)?;
            let start = at.checked_add(8)?;
            let length = usize::try_from(fields.u32(at.checked_add(4)?)?).ok()?;
            let data = fields.bytes(start, length)?;
            at = align8(start.checked_add(length)?);
            Some((tag, data))
        })
    }

    /// The data of the first item with this tag.
    #[must_use]
    pub fn get(&self, tag: u32) -> Option<&[u8]> {
        self.iter().find(|(found, _)| *found == tag).map(|(_, data)| data)
    }

    /// Replaces every item with this tag by one, appended; `None` only removes. Other items keep their order; bytes after
    /// a malformed item are dropped.
    pub fn set(&mut self, tag: u32, data: Option<&[u8]>) {
        let mut output = Vec::new();
        for (other, data) in self.iter().filter(|(other, _)| *other != tag).chain(data.map(|data| (tag, data))) {
            output.extend(other.to_le_bytes());
            output.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
            output.extend(data);
            output.resize(align8(output.len()), 0);
        }
        self.0 = output;
    }

    /// The NTFS object identifier: a GUID in its on-disk byte order.
    #[must_use]
    pub fn object_id(&self) -> Option<[u8; 16]> {
        Fields(self.get(TAG_OBJECT_ID)?).array(0)
    }

    /// The NTFS extended attributes: `None` when the item is absent or malformed.
    ///
    /// Each is `{ value length: u16, name length: u8, flags: u8, name, NUL, value }`, without padding between them.
    #[must_use]
    pub fn extended_attributes(&self) -> Option<Vec<ExtendedAttribute>> {
        let data = Fields(self.get(TAG_EXTENDED_ATTRIBUTES)?);
        let mut attributes = Vec::new();
        let mut at = 0_usize;
        while at < data.0.len() {
            let value_length = usize::from(data.u16(at)?);
            let [name_length, flags] = data.array(at.checked_add(2)?)?;
            let name_start = at.checked_add(4)?;
            let value_start = name_start.checked_add(usize::from(name_length))?.checked_add(1)?;
            attributes.push(ExtendedAttribute {
                flags,
                name: data.bytes(name_start, usize::from(name_length))?.to_vec(),
                value: data.bytes(value_start, value_length)?.to_vec(),
            });
            at = value_start.checked_add(value_length)?;
        }
        Some(attributes)
    }
}

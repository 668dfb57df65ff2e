//! The self-relative binary form (MS-DTYP 2.4).
//!
//! ```text
//! header   0  u8   revision, 1
//!          1  u8   Sbz1: resource manager control, if control says so
//!          2  u16  control
//!          4  u32  offset of the owner SID, 0 = none
//!          8  u32  offset of the group SID
//!         12  u32  offset of the SACL; 0 with SACL_PRESENT = null
//!         16  u32  offset of the DACL; 0 with DACL_PRESENT = null
//! SID      0  u8   revision, 1;  1 u8 count;  2 u48 authority, BIG-endian;  8 u32 × count
//! ACL      0  u8   revision 2 or 4;  1 u8 Sbz1;  2 u16 size, unused tail included;  4 u16 ACE count;  6 u16 Sbz2
//! ACE      0  u8   type;  1 u8 flags;  2 u16 size, header included;  4 … body
//! body        u32  mask; [object types: u32 flags, 16 GUID, 16 GUID]; SID; application data
//! ```
//! Windows' own descriptors in hives hold the parts in the order SACL, DACL, owner, group (379 of 382 `sk` cells of the
//! project's test hives); we write them so. An ACL that Windows stored may be larger than its entries; we write no unused tail.

use super::ace::Shape;
use super::{Ace, AceBody, AceType, Acl, Guid, SecurityDescriptor, Sid, control};

/// Length of the header in bytes.
const HEADER_LENGTH: usize = 20;
/// `ACE_OBJECT_TYPE_PRESENT`.
const OBJECT_TYPE_PRESENT: u32 = 1;
/// `ACE_INHERITED_OBJECT_TYPE_PRESENT`.
const INHERITED_OBJECT_TYPE_PRESENT: u32 = 2;

/// Why bytes are no security descriptor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A part reaches past the end of the bytes.
    #[error("security descriptor: the {part} at offset {offset} reaches past the end at {length}")]
    OutOfBounds {
        /// Which part.
        part: &'static str,
        /// Where it starts.
        offset: usize,
        /// How long the descriptor is.
        length: usize,
    },
    /// A structure has a revision that does not exist.
    #[error("security descriptor: the {part} at offset {offset} has the unknown revision {revision}")]
    Revision {
        /// Which part.
        part: &'static str,
        /// Where it starts.
        offset: usize,
        /// What stands there.
        revision: u8,
    },
    /// The descriptor is not self-relative, so its offsets are pointers of a process long gone.
    #[error("security descriptor: not self-relative (control {control:#06x}): it holds pointers, not offsets")]
    Absolute {
        /// The control bits.
        control: u16,
    },
    /// A SID says that it has more than 15 sub-authorities.
    #[error("security descriptor: the SID at offset {offset} has {count} sub-authorities; Windows allows 15")]
    SidLength {
        /// Where the SID starts.
        offset: usize,
        /// How many it claims.
        count: u8,
    },
    /// An ACE is smaller than its own header, or its size is no multiple of four.
    #[error("security descriptor: the ACE at offset {offset} has the size {size}; it must be a multiple of 4 and hold its header")]
    AceSize {
        /// Where the ACE starts.
        offset: usize,
        /// The size it gives.
        size: u16,
    },
}

/// Why a security descriptor has no binary form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// An ACL or ACE is larger than its 16-bit size can say.
    #[error("the {part} needs {size} bytes; a security descriptor's 16-bit size allows 65535")]
    TooLarge {
        /// `ACL` or `ACE`.
        part: &'static str,
        /// What it would need.
        size: usize,
    },
}

/// Bytes with a name for what is being read.
#[derive(Clone, Copy)]
struct Input<'a> {
    bytes: &'a [u8],
    part: &'static str,
}

impl<'a> Input<'a> {
    fn take(&self, offset: usize, length: usize) -> Result<&'a [u8], DecodeError> {
        offset.checked_add(length).and_then(|end| self.bytes.get(offset..end)).ok_or(DecodeError::OutOfBounds {
            part: self.part,
            offset,
            length: self.bytes.len(),
        })
    }

    fn array<const N: usize>(&self, offset: usize) -> Result<[u8; N], DecodeError> {
        let bytes = self.take(offset, N)?;
        <[u8; N]>::try_from(bytes).map_err(|_| DecodeError::OutOfBounds { part: self.part, offset, length: self.bytes.len() })
    }

    fn u8(&self, offset: usize) -> Result<u8, DecodeError> {
        self.array(offset).map(|[byte]| byte)
    }

    fn u16(&self, offset: usize) -> Result<u16, DecodeError> {
        self.array(offset).map(u16::from_le_bytes)
    }

    fn u32(&self, offset: usize) -> Result<u32, DecodeError> {
        self.array(offset).map(u32::from_le_bytes)
    }

    fn part(&self, part: &'static str) -> Self {
        Self { part, ..*self }
    }
}

impl SecurityDescriptor {
    /// Reads the self-relative form. Bytes behind the last part are not looked at.
    ///
    /// # Errors
    /// When a part lies outside the bytes, has an unknown revision, or the descriptor is not self-relative.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let input = Input { bytes, part: "header" };
        let revision = input.u8(0)?;
        if revision != 1 {
            return Err(DecodeError::Revision { part: "header", offset: 0, revision });
        }
        let control = input.u16(2)?;
        if control & control::SELF_RELATIVE == 0 {
            return Err(DecodeError::Absolute { control });
        }
        let offset_at = |position| input.u32(position).map(|offset| usize::try_from(offset).ok().filter(|offset| *offset != 0));
        let sid_at = |position, part| -> Result<Option<Sid>, DecodeError> {
            offset_at(position)?.map(|offset| decode_sid(&input.part(part), offset).map(|(sid, _)| sid)).transpose()
        };
        let acl_at = |position, part, present| -> Result<Option<Acl>, DecodeError> {
            offset_at(position)?.filter(|_| control & present != 0).map(|offset| decode_acl(&input.part(part), offset)).transpose()
        };
        Ok(Self {
            control,
            resource_manager_control: input.u8(1)?,
            owner: sid_at(4, "owner")?,
            group: sid_at(8, "group")?,
            sacl: acl_at(12, "SACL", control::SACL_PRESENT)?,
            dacl: acl_at(16, "DACL", control::DACL_PRESENT)?,
        })
    }

    /// Writes the self-relative form: header, SACL, DACL, owner, group, with no space between.
    ///
    /// # Errors
    /// When an ACE or ACL is larger than 65535 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut parts = Vec::new();
        let mut place = |part: Option<Vec<u8>>| match part {
            Some(part) => {
                let offset = HEADER_LENGTH.saturating_add(parts.len());
                parts.extend_from_slice(&part);
                u32::try_from(offset).unwrap_or(u32::MAX)
            }
            None => 0,
        };
        let sacl = place(self.sacl.as_ref().map(encode_acl).transpose()?);
        let dacl = place(self.dacl.as_ref().map(encode_acl).transpose()?);
        let owner = place(self.owner.as_ref().map(encode_sid));
        let group = place(self.group.as_ref().map(encode_sid));
        let mut bytes = vec![1, self.resource_manager_control];
        bytes.extend_from_slice(&self.effective_control().to_le_bytes());
        for offset in [owner, group, sacl, dacl] {
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        bytes.append(&mut parts);
        Ok(bytes)
    }
}

/// The SID at `offset`, and where it ends.
fn decode_sid(input: &Input<'_>, offset: usize) -> Result<(Sid, usize), DecodeError> {
    let [revision, count, ..] = input.array::<8>(offset)?;
    if revision != Sid::REVISION {
        return Err(DecodeError::Revision { part: input.part, offset, revision });
    }
    let authority = u64::from_be_bytes(input.array(offset)?) & 0xFFFF_FFFF_FFFF;
    let start = offset.saturating_add(8);
    let numbers = input.take(start, usize::from(count).saturating_mul(4))?;
    let sub_authorities: Vec<u32> = numbers.chunks_exact(4).filter_map(|bytes| bytes.try_into().ok().map(u32::from_le_bytes)).collect();
    let sid = Sid::new(authority, sub_authorities).map_err(|_| DecodeError::SidLength { offset, count })?;
    Ok((sid, start.saturating_add(numbers.len())))
}

fn encode_sid(sid: &Sid) -> Vec<u8> {
    let mut bytes = sid.authority().to_be_bytes().to_vec();
    // The authority has 48 bits: its two leading bytes are free for revision and count.
    let count = u8::try_from(sid.sub_authorities().len()).unwrap_or(u8::MAX);
    for (byte, value) in bytes.iter_mut().zip([Sid::REVISION, count]) {
        *byte = value;
    }
    sid.sub_authorities().iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    bytes
}

fn decode_acl(input: &Input<'_>, offset: usize) -> Result<Acl, DecodeError> {
    let revision = input.u8(offset)?;
    if !(Acl::REVISION..=Acl::REVISION_DS).contains(&revision) {
        return Err(DecodeError::Revision { part: input.part, offset, revision });
    }
    let whole = input.take(offset, usize::from(input.u16(offset.saturating_add(2))?))?;
    let count = input.u16(offset.saturating_add(4))?;
    let input = Input { bytes: whole, part: input.part };
    let mut aces = Vec::new();
    let mut position = 8_usize;
    for _ in 0..count {
        let size = input.u16(position.saturating_add(2))?;
        if size < 4 || size % 4 != 0 {
            return Err(DecodeError::AceSize { offset: offset.saturating_add(position), size });
        }
        aces.push(decode_ace(input.take(position, usize::from(size))?)?);
        position = position.saturating_add(usize::from(size));
    }
    Ok(Acl { revision, aces })
}

/// Reads one whole ACE. A body that does not fit its type is kept raw: Windows skips such an entry too.
fn decode_ace(bytes: &[u8]) -> Result<Ace, DecodeError> {
    let input = Input { bytes, part: "ACE" };
    let ace_type = AceType::from_code(input.u8(0)?);
    let body = match ace_type.shape() {
        Shape::Simple => decode_simple_body(&input),
        Shape::Object => decode_object_body(&input),
        Shape::Unknown => None,
    };
    let raw = || AceBody::Raw(bytes.get(4..).unwrap_or_default().to_vec());
    Ok(Ace { ace_type, flags: input.u8(1)?, body: body.unwrap_or_else(raw) })
}

fn decode_simple_body(input: &Input<'_>) -> Option<AceBody> {
    let (sid, end) = decode_sid(input, 8).ok()?;
    Some(AceBody::Simple { mask: input.u32(4).ok()?, sid, application_data: input.bytes.get(end..)?.to_vec() })
}

fn decode_object_body(input: &Input<'_>) -> Option<AceBody> {
    let flags = input.u32(8).ok()?;
    if flags & !(OBJECT_TYPE_PRESENT | INHERITED_OBJECT_TYPE_PRESENT) != 0 {
        return None;
    }
    let mut position = 12_usize;
    let mut guid = |present| {
        if flags & present == 0 {
            return Some(None);
        }
        let guid = Guid(input.array(position).ok()?);
        position = position.saturating_add(16);
        Some(Some(guid))
    };
    let object_type = guid(OBJECT_TYPE_PRESENT)?;
    let inherited_object_type = guid(INHERITED_OBJECT_TYPE_PRESENT)?;
    let (sid, end) = decode_sid(input, position).ok()?;
    let application_data = input.bytes.get(end..)?.to_vec();
    Some(AceBody::Object { mask: input.u32(4).ok()?, object_type, inherited_object_type, sid, application_data })
}

fn encode_acl(acl: &Acl) -> Result<Vec<u8>, EncodeError> {
    let mut entries = Vec::new();
    for ace in &acl.aces {
        entries.extend(encode_ace(ace)?);
    }
    let size = entries.len().saturating_add(8);
    let too_large = |_| EncodeError::TooLarge { part: "ACL", size };
    let mut bytes = vec![acl.revision, 0];
    bytes.extend_from_slice(&u16::try_from(size).map_err(too_large)?.to_le_bytes());
    bytes.extend_from_slice(&u16::try_from(acl.aces.len()).map_err(too_large)?.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.append(&mut entries);
    Ok(bytes)
}

fn encode_ace(ace: &Ace) -> Result<Vec<u8>, EncodeError> {
    let mut body = Vec::new();
    match &ace.body {
        AceBody::Simple { mask, sid, application_data } => {
            body.extend_from_slice(&mask.to_le_bytes());
            body.extend(encode_sid(sid));
            body.extend_from_slice(application_data);
        }
        AceBody::Object { mask, object_type, inherited_object_type, sid, application_data } => {
            let present = |guid: &Option<Guid>, bit| if guid.is_some() { bit } else { 0 };
            let flags = present(object_type, OBJECT_TYPE_PRESENT) | present(inherited_object_type, INHERITED_OBJECT_TYPE_PRESENT);
            body.extend_from_slice(&mask.to_le_bytes());
            body.extend_from_slice(&flags.to_le_bytes());
            [object_type, inherited_object_type].into_iter().flatten().for_each(|guid| body.extend_from_slice(&guid.0));
            body.extend(encode_sid(sid));
            body.extend_from_slice(application_data);
        }
        AceBody::Raw(bytes) => body.extend_from_slice(bytes),
    }
    // MS-DTYP 2.4.4.1: the size is a multiple of four.
    body.resize(body.len().next_multiple_of(4), 0);
    let size = body.len().saturating_add(4);
    let stored = u16::try_from(size).map_err(|_| EncodeError::TooLarge { part: "ACE", size })?;
    let mut bytes = vec![ace.ace_type.code(), ace.flags];
    bytes.extend_from_slice(&stored.to_le_bytes());
    bytes.append(&mut body);
    Ok(bytes)
}

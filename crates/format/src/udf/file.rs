//! File entries, allocation descriptors and file identifier descriptors.

use super::partition::Space;
use super::{identifier, tag};
use crate::io::Extent;
use crate::media::VolumeError;
use crate::media::bytes::{Fields, read as read_bytes};
use crate::media::time;
use crate::media::volume::{EntryKind, ExtentList, Listing, Record, Tree};

/// The 30 low bits of an allocation descriptor's length; the two above are its type.
const LENGTH_MASK: u32 = 0x3FFF_FFFF;

/// What a file entry tells.
pub struct File {
    pub file_type: u8,
    pub size: u64,
    pub extents: Vec<Extent>,
    /// Where the entry lies in the image.
    pub offset: u64,
    created: Option<u64>,
    modified: Option<u64>,
    accessed: Option<u64>,
}

impl File {
    pub fn record(self, name: String) -> Record {
        let kind = match self.file_type {
            4 => EntryKind::Directory,
            // 5: a file. 0: not specified, which 1.50's writers use. 249: a real-time file.
            0 | 5 | 249 => EntryKind::File,
            _ => EntryKind::Other,
        };
        let Self { size, extents, offset, created, modified, accessed, .. } = self;
        Record { name, kind, size, extents, created, modified, accessed, identity: offset }
    }
}

/// Reads the file entry (4/14.9) or extended file entry (4/14.17) at a block.
pub fn read(space: &Space, reference: u16, block: u32, tree: &mut Tree) -> Result<File, VolumeError> {
    let offset = space.offset(reference, block, tree)?;
    let bytes = read_bytes(&**space.source(), "file entry", offset, usize::try_from(space.block()).unwrap_or(0))?;
    let fields = Fields::new(&bytes, "file entry", offset);
    // The extended form inserts the size of all streams (at 64), the time of creation and the stream directory.
    let extended = match tag::identifier(&fields)? {
        tag::FILE_ENTRY => false,
        tag::EXTENDED_FILE_ENTRY => true,
        _ => return Err(fields.malformed("its tag is of another structure")),
    };
    // The ICB tag (4/14.6) lies at 16: in it 4 the strategy, 11 the file type, 18 the flags.
    if fields.u16(20)? != 4 {
        return Err(fields.unsupported("an ICB strategy other than 4"));
    }
    let (file_type, flags, size) = (fields.u8(27)?, fields.u16(34)?, fields.u64(56)?);
    let moment = |at| fields.bytes(at, 12).map(time::from_udf);
    let (accessed, modified, created) = if extended { (moment(80)?, moment(92)?, moment(104)?) } else { (moment(72)?, moment(84)?, None) };
    // Length of extended attributes, length of allocation descriptors, then both.
    let lengths = if extended { 208_usize } else { 168 };
    let header = lengths.saturating_add(8);
    let start = usize::try_from(fields.u32(lengths)?).unwrap_or(usize::MAX).saturating_add(header);
    let length = usize::try_from(fields.u32(lengths.saturating_add(4))?).unwrap_or(usize::MAX);
    let descriptors = fields.bytes(start, length)?;

    let mut list = tree.extent_list(size);
    match flags & 7 {
        // The file's bytes lie in place of the descriptors.
        3 => list.push(Extent { offset: offset.checked_add(start as u64), length: length as u64 })?,
        form @ 0..=2 => {
            let kind = [Form::Short, Form::Long, Form::Extended].into_iter().nth(form.into()).unwrap_or(Form::Short);
            gather(space, reference, kind, Fields::new(descriptors, "allocation descriptors", offset), &mut list)?;
        }
        _ => return Err(fields.unsupported("an unknown form of allocation descriptors")),
    }
    if !list.is_complete() {
        return Err(fields.malformed("its allocation descriptors hold less than its size"));
    }
    let extents = list.extents;
    Ok(File { file_type, size, extents, offset, created, modified, accessed })
}

/// The three forms of allocation descriptors (4/14.14).
#[derive(Clone, Copy)]
enum Form {
    /// 8 bytes: 0 length and type, 4 block in the file entry's own partition.
    Short,
    /// 16 bytes: 0 length and type, 4 block, 8 partition reference, 10 for the implementation.
    Long,
    /// 20 bytes: 0 length and type, 4 recorded length, 8 length after decompression, 12 block, 16 partition, 18 for the implementation.
    Extended,
}

/// Follows the descriptors in `fields`, and the blocks of more of them that the last one may name.
fn gather(space: &Space, own: u16, form: Form, fields: Fields<'_>, list: &mut ExtentList<'_>) -> Result<(), VolumeError> {
    let step = match form {
        Form::Short => 8_usize,
        Form::Long => 16,
        Form::Extended => 20,
    };
    let mut next = descriptors(space, own, form, step, &fields, list)?;
    while let Some((reference, block)) = next {
        // A chain that returns to itself ends with the budget of extents, to which each link counts.
        list.push(Extent { offset: None, length: 0 })?;
        let mut location = list.separate(space.block());
        space.locate(reference, block, space.block(), &mut location)?;
        let Some(offset) = location.extents.first().and_then(|extent| extent.offset) else {
            return Err(fields.malformed("its continuation has no place"));
        };
        let bytes = read_bytes(&**space.source(), "allocation extent descriptor", offset, usize::try_from(space.block()).unwrap_or(0))?;
        let link = Fields::new(&bytes, "allocation extent descriptor", offset);
        // 4/14.5: 16 the previous one, 20 bytes of descriptors, 24 descriptors.
        tag::expect(&link, tag::ALLOCATION_EXTENT)?;
        let length = usize::try_from(link.u32(20)?).unwrap_or(usize::MAX);
        let inner = Fields::new(link.bytes(24, length)?, "allocation extent descriptor", offset);
        next = descriptors(space, own, form, step, &inner, list)?;
    }
    Ok(())
}

/// Appends the extents of one run of descriptors; returns where the next run lies.
fn descriptors(
    space: &Space,
    own: u16,
    form: Form,
    step: usize,
    fields: &Fields<'_>,
    list: &mut ExtentList<'_>,
) -> Result<Option<(u16, u32)>, VolumeError> {
    let mut at = 0_usize;
    while let Ok(descriptor) = fields.bytes(at, step) {
        let descriptor = Fields::new(descriptor, "allocation descriptor", 0);
        let word = descriptor.u32(0)?;
        let length = word & LENGTH_MASK;
        let (block, reference) = match form {
            Form::Short => (descriptor.u32(4)?, own),
            Form::Long => (descriptor.u32(4)?, descriptor.u16(8)?),
            Form::Extended => {
                if descriptor.u32(4)? & LENGTH_MASK != length || descriptor.u32(8)? != length {
                    return Err(fields.unsupported("compressed extents"));
                }
                (descriptor.u32(12)?, descriptor.u16(16)?)
            }
        };
        if length == 0 || list.is_complete() {
            return Ok(None);
        }
        match word >> 30 {
            0 => space.locate(reference, block, length.into(), list)?,
            // 1: allocated, not recorded. 2: not allocated. Both read as zeros.
            1 | 2 => list.push(Extent { offset: None, length: length.into() })?,
            _ => return Ok(Some((reference, block))),
        }
        at = at.saturating_add(step);
    }
    Ok(None)
}

/// Adds what the file identifier descriptors (4/14.4) in a directory's bytes name.
pub fn list(space: &Space, bytes: &[u8], offset: u64, listing: &mut Listing<'_>) -> Result<(), VolumeError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        // 18 characteristics, 19 length of the name, 20 ICB as a long allocation descriptor, 36 length for the implementation,
        // 38 that, then the name; filled to a multiple of 4.
        let fields = Fields::new(rest, "file identifier descriptor", offset);
        let (name_length, implementation) = (usize::from(fields.u8(19)?), usize::from(fields.u16(36)?));
        let name_at = implementation.saturating_add(38);
        let total = name_at.saturating_add(name_length).next_multiple_of(4);
        tag::expect(&fields, tag::FILE_IDENTIFIER)?;
        // 4: deleted. 8: the parent.
        if fields.u8(18)? & (4 | 8) == 0 {
            let name = identifier::decode(&fields, fields.bytes(name_at, name_length)?)?;
            let file = read(space, fields.u16(28)?, fields.u32(24)?, listing.tree())?;
            listing.push(file.record(name))?;
        }
        rest = rest.get(total..).unwrap_or_default();
    }
    Ok(())
}

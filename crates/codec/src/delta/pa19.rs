//! PA19, the patches of the Patch API: LZX Delta against one of several old files.
//!
//! | what | type |
//! |---|---|
//! | `PA19` | 4 bytes |
//! | options, `PATCH_OPTION_…` | u32 |
//! | more options, with option 0x8000_0000 | u32 |
//! | last write time of the new file in seconds since 1970, with option 0x0080_0000 | u32 |
//! | rebase, without option 0x0004_0000 | unsigned |
//! | size of the new file | unsigned |
//! | CRC-32 of the new file, its retained ranges as zeros | u32 |
//! | count of old files | u8 |
//! | for each old file: how much longer it is than the new one | signed |
//! | … its CRC-32, ranges as zeros | u32 |
//! | … count of ignored ranges, and for each the distance from the end of the one before, and its length | u8; signed, unsigned |
//! | … count of retained ranges, and for each the distance from the end of the one before, the distance to its place in the new file, and its length | u8; signed, signed, unsigned |
//! | … count of pairs that undo the transforms of 32-bit images: not supported | unsigned |
//! | … length of its stream | unsigned |
//! | the streams of all old files | |
//! | what makes the CRC-32 of the whole patch 0xFFFF_FFFF | u32 |
//!
//! Numbers of variable length are groups of seven bits, lowest first; the last one has bit 7 set. In signed ones bit 6 of
//! the first group is the sign. A stream of length zero says that old and new file are the same.
//!
//! Ignored ranges of the old file are read as zeros. Retained ones too, and are then copied to the new file.
//!
//! Source: Wine, `dlls/mspatcha/pa19.c` (facts of the header).

use super::{Error, HashAlgorithm, Header, Kind, allowed_size, lzx};

const WHAT: &str = "PA19 patch";

/// `PATCH_OPTION_USE_LZX_LARGE`: the window may have 32 MiB.
const LARGE_WINDOW: u32 = 0x4;
/// `PATCH_OPTION_NO_REBASE`.
const NO_REBASE: u32 = 0x0004_0000;
/// `PATCH_OPTION_NO_TIMESTAMP`; in a patch it means that there is one.
const TIME_STAMP: u32 = 0x0080_0000;
/// `PATCH_OPTION_INTERLEAVE_FILES`.
const INTERLEAVE: u32 = 0x4000_0000;
/// More options follow.
const MORE_OPTIONS: u32 = 0x8000_0000;

/// FILETIME of 1970-01-01.
const UNIX_EPOCH: u64 = 116_444_736_000_000_000;

/// A range of a file, in bytes.
#[derive(Clone, Copy, Debug)]
struct Range {
    old: usize,
    new: usize,
    length: usize,
}

/// One old file that the patch is made for.
#[derive(Debug)]
struct OldFile<'a> {
    size: usize,
    crc: u32,
    ignored: Vec<Range>,
    retained: Vec<Range>,
    stream: Option<&'a [u8]>,
}

/// A patch.
#[derive(Debug)]
pub(super) struct Patch<'a> {
    options: u32,
    time_stamp: u32,
    new_size: u64,
    new_crc: u32,
    old_files: Vec<OldFile<'a>>,
}

impl<'a> Patch<'a> {
    /// Reads a patch's header. A patch may end behind it: then it only tells whether an old file fits.
    pub fn read(patch: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader { rest: patch.get(4..).unwrap_or_default() };
        let options = reader.u32()?;
        if options & MORE_OPTIONS != 0 {
            reader.u32()?;
        }
        let time_stamp = if options & TIME_STAMP != 0 { reader.u32()? } else { 0 };
        if options & NO_REBASE == 0 {
            reader.unsigned()?;
        }
        let new_size = reader.unsigned()?;
        let new_crc = reader.u32()?;
        let mut old_files = Vec::new();
        let mut lengths = Vec::new();
        for _ in 0..reader.u8()? {
            let (file, length) = OldFile::read(&mut reader, new_size, options)?;
            old_files.push(file);
            lengths.push(length);
        }
        for (file, length) in old_files.iter_mut().zip(lengths) {
            file.stream = usize::try_from(length).ok().and_then(|length| reader.take(length).ok());
        }
        Ok(Self { options, time_stamp, new_size, new_crc, old_files })
    }

    /// What the patch says of its target.
    pub fn header(&self) -> Header {
        let file_time = u64::from(self.time_stamp).wrapping_mul(10_000_000).wrapping_add(UNIX_EPOCH);
        Header {
            kind: Kind::Pa19,
            file_type_set: 0,
            file_type: 0,
            flags: self.options.into(),
            target_size: self.new_size,
            file_time: if self.options & TIME_STAMP != 0 { file_time } else { 0 },
            hash: Some((HashAlgorithm::Crc32, self.new_crc.to_be_bytes().to_vec())),
        }
    }

    /// Applies the patch to `base`, one of its old files, and gives the new file.
    pub fn apply(&self, base: &[u8], limit: u64) -> Result<Vec<u8>, Error> {
        let size = allowed_size(self.new_size, limit)?;
        let candidates = self.old_files.iter().filter(|file| file.size == base.len());
        let found = candidates.map(|file| (file, file.masked(base))).find(|(file, masked)| crc32fast::hash(masked) == file.crc);
        let (file, masked) = found.ok_or(Error::WrongBase { size: base.len() })?;
        let stream = file.stream.ok_or(Error::Truncated { what: WHAT })?;
        let mut target = match stream {
            [] if base.len() == size => masked,
            [] => return Err(Error::Malformed { what: WHAT, why: "a stream is missing" }),
            stream => lzx::decode(masked, stream, size, self.options & LARGE_WINDOW != 0)?,
        };
        for range in &file.retained {
            fill(&mut target, range.new, range.length);
        }
        if crc32fast::hash(&target) != self.new_crc {
            return Err(Error::HashMismatch { algorithm: HashAlgorithm::Crc32 });
        }
        for range in &file.retained {
            let from = base.get(range.old..).and_then(|bytes| bytes.get(..range.length));
            let into = target.get_mut(range.new..).and_then(|bytes| bytes.get_mut(..range.length));
            if let (Some(into), Some(from)) = (into, from) {
                into.copy_from_slice(from);
            }
        }
        Ok(target)
    }
}

/// Zeros `length` bytes at `start`, as far as there are any.
fn fill(bytes: &mut [u8], start: usize, length: usize) {
    bytes.iter_mut().skip(start).take(length).for_each(|byte| *byte = 0);
}

impl OldFile<'_> {
    /// Reads the description of an old file; gives it with the length of its stream.
    fn read(reader: &mut Reader<'_>, new_size: u64, options: u32) -> Result<(Self, u64), Error> {
        const OUTSIDE: Error = Error::Malformed { what: WHAT, why: "a size or range below zero or past the end of its file" };
        let size = new_size.checked_add_signed(reader.signed()?).and_then(|size| usize::try_from(size).ok()).ok_or(OUTSIDE)?;
        let crc = reader.u32()?;
        let place = |from: usize, by: i64| from.checked_add_signed(isize::try_from(by).ok()?);
        let ends_within = |start: usize, length: usize, size: u64| start.checked_add(length).is_some_and(|end| end as u64 <= size);
        let mut lists = [Vec::new(), Vec::new()];
        for (list, retained) in lists.iter_mut().zip([false, true]) {
            let mut end = 0;
            for _ in 0..reader.u8()? {
                let old = place(end, reader.signed()?).ok_or(OUTSIDE)?;
                let new = if retained { place(old, reader.signed()?).ok_or(OUTSIDE)? } else { 0 };
                let length = usize::try_from(reader.unsigned()?).map_err(|_| OUTSIDE)?;
                if !ends_within(old, length, size as u64) || retained && !ends_within(new, length, new_size) {
                    return Err(OUTSIDE);
                }
                end = old.saturating_add(length);
                list.push(Range { old, new, length });
            }
        }
        let [ignored, retained] = lists;
        if reader.unsigned()? != 0 || options & INTERLEAVE != 0 {
            return Err(Error::Unsupported { what: "PA19 patch of a 32-bit image, or with interleaved files" });
        }
        let length = reader.unsigned()?;
        Ok((Self { size, crc, ignored, retained, stream: None }, length))
    }

    /// The old file with its ranges as zeros.
    fn masked(&self, base: &[u8]) -> Vec<u8> {
        let mut masked = base.to_vec();
        for range in self.ignored.iter().chain(&self.retained) {
            fill(&mut masked, range.old, range.length);
        }
        masked
    }
}

/// Reads the header's fields.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(Error::Truncated { what: WHAT })?;
        self.rest = rest;
        Ok(bytes)
    }

    fn u8(&mut self) -> Result<u8, Error> {
        let (&byte, rest) = self.rest.split_first().ok_or(Error::Truncated { what: WHAT })?;
        self.rest = rest;
        Ok(byte)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Error::Truncated { what: WHAT })?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    /// Reads a number of variable length whose first group has `first` bits; gives it with that group.
    fn number(&mut self, first: u32) -> Result<(u64, u8), Error> {
        let group = self.u8()?;
        let mut value = u64::from(group) & (1u64 << first).wrapping_sub(1);
        let mut shift = first;
        let mut last = group;
        while last & 0x80 == 0 {
            if shift > 55 {
                return Err(Error::Malformed { what: WHAT, why: "a number of more than 62 bits" });
            }
            last = self.u8()?;
            value |= u64::from(last & 0x7F) << shift;
            shift = shift.wrapping_add(7);
        }
        Ok((value, group))
    }

    fn unsigned(&mut self) -> Result<u64, Error> {
        Ok(self.number(7)?.0)
    }

    fn signed(&mut self) -> Result<i64, Error> {
        let (magnitude, first) = self.number(6)?;
        let magnitude = magnitude as i64;
        Ok(if first & 0x40 != 0 { magnitude.wrapping_neg() } else { magnitude })
    }
}

#[cfg(test)]
mod tests {
    use super::super::lzx::tests::uncompressed_stream;
    use super::super::{apply, header};
    use super::*;

    fn unsigned(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value > 0x7F {
            bytes.push((value & 0x7F) as u8);
            value >>= 7;
        }
        bytes.push(value as u8 | 0x80);
        bytes
    }

    fn signed(value: i64) -> Vec<u8> {
        let sign = if value < 0 { 0x40 } else { 0 };
        let magnitude = value.unsigned_abs();
        if magnitude < 0x40 {
            return vec![magnitude as u8 | sign | 0x80];
        }
        let mut bytes = vec![(magnitude & 0x3F) as u8 | sign];
        bytes.extend(unsigned(magnitude >> 6));
        bytes
    }

    /// An old file: its bytes, its ignored ranges, its retained ranges (with their places in the new file), its stream.
    type Old<'a> = (&'a [u8], &'a [(i64, u64)], &'a [(i64, i64, u64)], &'a [u8]);

    /// A patch to `new`, whose retained ranges are zeros in `masked`.
    fn patch(options: u32, masked: &[u8], old_files: &[Old<'_>]) -> Vec<u8> {
        let mut patch = b"PA19".to_vec();
        patch.extend(options.to_le_bytes());
        if options & TIME_STAMP != 0 {
            patch.extend(1_000_000_000u32.to_le_bytes());
        }
        patch.extend(unsigned(masked.len() as u64));
        patch.extend(crc32fast::hash(masked).to_le_bytes());
        patch.push(old_files.len() as u8);
        for &(old, ignored, retained, stream) in old_files {
            patch.extend(signed(old.len() as i64 - masked.len() as i64));
            let mut zeroed = old.to_vec();
            let (mut place, mut list) = (0, vec![ignored.len() as u8]);
            for &(distance, length) in ignored {
                fill(&mut zeroed, (place + distance) as usize, length as usize);
                place += distance + length as i64;
                list.extend([signed(distance), unsigned(length)].concat());
            }
            place = 0;
            list.push(retained.len() as u8);
            for &(distance, shift, length) in retained {
                fill(&mut zeroed, (place + distance) as usize, length as usize);
                place += distance + length as i64;
                list.extend([signed(distance), signed(shift), unsigned(length)].concat());
            }
            patch.extend(crc32fast::hash(&zeroed).to_le_bytes());
            patch.extend(list);
            patch.extend(unsigned(0));
            patch.extend(unsigned(stream.len() as u64));
        }
        for (.., stream) in old_files {
            patch.extend(*stream);
        }
        patch
    }

    #[test]
    fn the_old_file_that_fits_is_found_and_its_ranges_kept() {
        let stream = uncompressed_stream(b"new \0\0\0\0 file");
        // Two bytes of the first old file do not matter, four at its end are kept, at offset 4 of the new one.
        let first: Old<'_> = (b"old??file KEEP", &[(3, 2)], &[(10, -6, 4)], &stream);
        let second: Old<'_> = (b"another", &[], &[], &[]);
        let whole = patch(NO_REBASE | TIME_STAMP, b"new \0\0\0\0 file", &[second, first]);
        assert_eq!(apply(b"old!!file kept", &whole, 100).unwrap(), b"new kept file");
        assert_eq!(apply(b"old  file \0\0\0\0", &whole, 100).unwrap(), b"new \0\0\0\0 file");
        assert!(matches!(apply(b"older file kept", &whole, 100), Err(Error::WrongBase { size: 15 })));
        assert!(matches!(apply(b"OLD!!file kept", &whole, 100), Err(Error::WrongBase { size: 14 })));
        assert!(matches!(apply(b"old!!file kept", &whole, 12), Err(Error::TooLarge { .. })));
        // The second one has no stream, and is not the new file.
        assert!(matches!(apply(b"another", &whole, 100), Err(Error::Malformed { .. })));
        let header = header(&whole).unwrap();
        assert_eq!((header.kind, header.target_size, header.flags), (Kind::Pa19, 13, u64::from(NO_REBASE | TIME_STAMP)));
        // 2001-09-09 01:46:40.
        assert_eq!(header.file_time, 126_444_736_000_000_000);
        // What is missing: the streams, then parts of the header.
        assert!(matches!(apply(b"old!!file kept", &whole[..whole.len() - 1], 100), Err(Error::Truncated { .. })));
        for length in 4..whole.len() - stream.len() {
            assert!(apply(b"old!!file kept", &whole[..length], 100).is_err(), "{length}");
        }
    }

    #[test]
    fn the_same_file_needs_no_stream() {
        let whole = patch(NO_REBASE, b"same", &[(b"same", &[], &[], &[])]);
        assert_eq!(apply(b"same", &whole, 4).unwrap(), b"same");
        assert_eq!(header(&whole).unwrap().file_time, 0);
    }

    #[test]
    fn a_wrong_result_is_refused() {
        let stream = uncompressed_stream(b"news");
        let whole = patch(NO_REBASE, b"olds", &[(b"", &[], &[], &stream)]);
        assert!(matches!(apply(b"", &whole, 4), Err(Error::HashMismatch { algorithm: HashAlgorithm::Crc32 })));
    }

    #[test]
    fn ranges_outside_of_their_files_are_refused() {
        for retained in [(-1, 1, 1), (0, 0, 5), (0, 1, 4), (0, -1, 1), (3, 0, 2)] {
            let mut whole = patch(NO_REBASE, b"1234", &[(b"1234", &[], &[], &[])]);
            let list = whole.len() - 3;
            let range = [vec![1], signed(retained.0), signed(retained.1), unsigned(retained.2)].concat();
            whole.splice(list..list + 1, range);
            assert!(matches!(apply(b"1234", &whole, 4), Err(Error::Malformed { .. })), "{retained:?}");
        }
    }

    #[test]
    fn transforms_of_images_are_not_supported() {
        let mut whole = patch(NO_REBASE, b"1234", &[(b"1234", &[], &[], &[])]);
        let pairs = whole.len() - 2;
        whole[pairs] = 0x81;
        assert!(matches!(apply(b"1234", &whole, 4), Err(Error::Unsupported { .. })));
    }
}

//! Preprocessing of PE images.
//!
//! Two versions of a program differ in far more bytes than in meaning: what moves changes every address of it. So a delta
//! between images is not made against the source as it is, but against the source with all addresses rewritten to where
//! they point in the target, as far as the rift of the preprocess buffer tells. To apply such a delta, the same transforms
//! have to be made, byte for byte, in the same order; the flags of the header say which.
//!
//! Sources: Microsoft, "MSDelta" (flags and their meaning); jlevere/msdelta (facts of each transform); observation.

mod directories;
mod image;
mod relocations;
#[cfg(test)]
mod tests;
mod x64;
mod x86;

pub(super) use x86::untranslate_calls;

use super::Error;
use super::bits::BitReader;
use super::rift::{Entry, Rift, Segment};
use image::{Image, put};

/// Transform flags of a delta's header (`DELTA_FLAG_…`).
pub(super) mod flag {
    /// Calls in the whole target were translated to absolute ones.
    pub const E8: u64 = 0x1;
    /// Claim what is not executable.
    pub const MARK: u64 = 0x2;
    pub const IMPORTS: u64 = 0x4;
    pub const EXPORTS: u64 = 0x8;
    pub const RESOURCES: u64 = 0x10;
    pub const RELOCATIONS: u64 = 0x20;
    pub const I386_JUMPS: u64 = 0x80;
    pub const I386_CALLS: u64 = 0x100;
    pub const AMD64_DISASSEMBLE: u64 = 0x200;
    pub const AMD64_PDATA: u64 = 0x400;
    pub const UNBIND: u64 = 0x2000;
}

/// How much of a base the transforms look at, in multiples of its size: in a real image tables do not overlap, in a hostile
/// one thousands of them may name the same bytes.
const WORK_PER_BYTE: usize = 16;

/// The preprocess buffer of a delta between images.
pub(super) struct Preprocess {
    /// Image base of the target.
    base: u64,
    /// Checksum of the target; 0 in all known deltas, whose patches state it.
    check_sum: u32,
    /// Time stamp of the target.
    time_stamp: u32,
    /// From RVAs of the target to its file offsets.
    target_offsets: Rift,
    /// From RVAs of the source to RVAs of the target.
    moves: Rift,
}

impl Preprocess {
    /// Reads the buffer.
    pub fn read(buffer: &[u8]) -> Result<Self, Error> {
        let mut reader = BitReader::new(buffer)?;
        let base = reader.bits64()?;
        let check_sum = reader.bits(32)? as u32;
        let time_stamp = reader.bits(32)? as u32;
        let target_offsets = Rift::read(&mut reader)?;
        let managed = Error::Unsupported { what: "the transforms of managed (.NET) code" };
        if reader.flag()? {
            return Err(managed);
        }
        let moves = Rift::read(&mut reader)?;
        if reader.remaining() > 0 && reader.flag()? {
            return Err(managed);
        }
        Ok(Self { base, check_sum, time_stamp, target_offsets, moves })
    }

    /// Transforms a base image; gives it with the rift from window positions of the target to those of the base.
    pub fn apply(&self, base: &[u8], flags: u64) -> Result<(Vec<u8>, Rift), Error> {
        let Some(image) = Image::read(base) else {
            return Err(Error::Malformed { what: "base", why: "the delta is one between PE images, and this is none" });
        };
        let rift = self.window_rift(&image, base.len())?;
        let work = base.len().saturating_mul(WORK_PER_BYTE);
        let mut source = Source { bytes: base.to_vec(), claimed: vec![false; base.len()], work, image, preprocess: self };
        source.transform(flags);
        if source.work == 0 {
            return Err(Error::Malformed { what: "base", why: "its tables name the same bytes over and over" });
        }
        Ok((source.bytes, rift))
    }

    /// The rift from window positions of the target to those of the source.
    fn window_rift(&self, image: &Image, source_size: usize) -> Result<Rift, Error> {
        let mut rvas = vec![Entry { source: 0, target: 0 }];
        let mapped = image.sections.iter().filter(|section| section.rva != 0 && section.raw != 0);
        rvas.extend(mapped.map(|section| Entry { source: section.raw.into(), target: section.rva.into() }));
        let to_target = Rift::new(rvas).then(&self.moves)?.then(&self.target_offsets)?;
        let mut entries = to_target.reverse().entries;
        for entry in &mut entries {
            entry.source = entry.source.wrapping_add(source_size as i64);
        }
        Ok(Rift::new(entries))
    }
}

/// A source image on its way to what the delta was made against.
struct Source<'a> {
    bytes: Vec<u8>,
    /// For each byte whether a transform of data has claimed it; those of code then leave it.
    claimed: Vec<bool>,
    /// How many more steps the transforms may take.
    work: usize,
    image: Image,
    preprocess: &'a Preprocess,
}

/// A transform: its flag, whether it is one for the image's machine, what it does.
type Transform<'a> = (u64, bool, fn(&mut Source<'a>));

impl<'a> Source<'a> {
    /// Makes all transforms that `flags` name, in their order.
    fn transform(&mut self, flags: u64) {
        put(&mut self.bytes, self.image.check_sum_field, self.preprocess.check_sum.to_le_bytes());
        if flags & flag::UNBIND != 0 {
            self.unbind();
        }
        put(&mut self.bytes, self.image.time_stamp_field, self.preprocess.time_stamp.to_le_bytes());
        let i386 = self.image.machine == image::MACHINE_I386;
        let amd64 = self.image.machine == image::MACHINE_AMD64;
        // Without a move, code stays as it is.
        let i386_code = i386 && !self.preprocess.moves.entries.is_empty();
        let amd64_code = amd64 && !self.preprocess.moves.entries.is_empty();
        let transforms: [Transform<'a>; 9] = [
            (flag::MARK, i386_code, Self::mark_non_executable),
            (flag::IMPORTS, true, Self::transform_imports),
            (flag::EXPORTS, true, Self::transform_exports),
            (flag::RESOURCES, true, Self::transform_resources),
            (flag::RELOCATIONS, true, Self::transform_relocations),
            (flag::I386_JUMPS, i386_code, Self::transform_jumps),
            (flag::I386_CALLS, i386_code, Self::transform_calls),
            (flag::AMD64_DISASSEMBLE, amd64_code, Self::transform_functions),
            (flag::AMD64_PDATA, amd64_code, Self::transform_runtime_functions),
        ];
        for (flag, applicable, transform) in transforms {
            if flags & flag != 0 && applicable {
                transform(self);
            }
        }
        let base = self.preprocess.base;
        if self.image.wide {
            put(&mut self.bytes, self.image.base_field, base.to_le_bytes());
        } else {
            put(&mut self.bytes, self.image.base_field, (base as u32).to_le_bytes());
        }
    }

    /// Counts `steps`; false where there have been too many, and the transform is to stop.
    fn spend(&mut self, steps: usize) -> bool {
        self.work = self.work.saturating_sub(steps);
        self.work > 0
    }

    /// Claims `length` bytes at a file offset.
    fn claim(&mut self, offset: usize, length: usize) {
        self.claimed.iter_mut().skip(offset).take(length).for_each(|claimed| *claimed = true);
    }

    /// Where an RVA of the source is in the target.
    fn moved(&self, rva: u32) -> u32 {
        self.preprocess.moves.map(rva.into()) as u32
    }

    /// Where an RVA of the source is in the target, for RVAs that follow each other.
    fn moved_near(&self, near: &mut Segment, rva: u32) -> u32 {
        if !near.holds(rva.into()) {
            *near = self.preprocess.moves.segment(rva.into());
        }
        near.map(rva.into()) as u32
    }

    /// Rewrites an absolute address of `width` bytes, for its place and the target's image base, and claims it.
    fn move_address(&mut self, offset: usize, width: usize) {
        let base = self.image.base;
        let moved = |address: u64| {
            let rva = address.wrapping_sub(base) as i64;
            self.preprocess.base.wrapping_add(self.preprocess.moves.map(rva) as u64)
        };
        if width == 8 {
            if let Some(address) = image::u64_at(&self.bytes, offset) {
                put(&mut self.bytes, offset, moved(address).to_le_bytes());
            }
        } else if let Some(address) = image::u32_at(&self.bytes, offset) {
            put(&mut self.bytes, offset, (moved(address.into()) as u32).to_le_bytes());
        }
        self.claim(offset, width);
    }
}

//! The transforms of i386 code: relative jumps and calls whose place or target moved.
//!
//! Code is not disassembled: every byte sequence that looks like a near branch into executable memory is taken for one,
//! unless its bytes were claimed by another transform.

use super::Source;
use super::image::{Image, MACHINE_I386, Section, directory, put, u32_at};
use std::ops::Range;

impl Source<'_> {
    /// Claims all that is not in an executable section.
    pub fn mark_non_executable(&mut self) {
        self.claimed.fill(true);
        for section in self.image.sections.iter().filter(|section| section.executable) {
            let range = section.bytes(self.bytes.len());
            self.claimed.get_mut(range).unwrap_or_default().fill(false);
        }
    }

    /// Whether any of `length` bytes at a file offset is claimed.
    fn is_claimed(&self, offset: usize, length: usize) -> bool {
        self.claimed.iter().skip(offset).take(length).any(|&claimed| claimed)
    }

    /// The new displacement of a branch whose next instruction is at `next`, or `None` where it cannot be a branch: its
    /// target must lie in the image, in bytes that are not claimed.
    fn branch(&self, next: u32, displacement: u32) -> Option<u32> {
        let target = next.wrapping_add(displacement);
        if target == 0 || target >= self.image.size {
            return None;
        }
        let offset = if target < self.image.first_section() {
            target as usize
        } else {
            self.image.section(target)?;
            self.image.offset(target).unwrap_or(target as usize)
        };
        if self.is_claimed(offset, 1) {
            return None;
        }
        Some(self.moved(target).wrapping_sub(self.moved(next)))
    }

    /// Near calls, E8.
    pub fn transform_calls(&mut self) {
        for section in self.image.sections.clone().into_iter().filter(|section| section.executable) {
            let range = section.bytes(self.bytes.len());
            let mut offset = range.start;
            while let Some(call) = self.find(offset..range.end, |byte| byte == 0xE8) {
                let next = section.rva.wrapping_add(call.saturating_sub(range.start) as u32).wrapping_add(5);
                let operand = call.saturating_add(1);
                let moved = u32_at(&self.bytes, operand)
                    .filter(|_| !self.is_claimed(call, 5))
                    .and_then(|displacement| self.branch(next, displacement));
                match moved {
                    Some(displacement) => {
                        put(&mut self.bytes, operand, displacement.to_le_bytes());
                        offset = call.saturating_add(5);
                    }
                    None => offset = operand,
                }
            }
        }
    }

    /// The first of the bytes in `range` that is wanted and has four behind it in the range.
    fn find(&self, range: Range<usize>, wanted: impl Fn(u8) -> bool) -> Option<usize> {
        let bytes = self.bytes.get(range.start..range.end.saturating_sub(4))?;
        bytes.iter().position(|&byte| wanted(byte)).map(|index| range.start.saturating_add(index))
    }

    /// Near jumps: E9, and 0F 80 to 0F 8F. One that fits a byte in the target becomes a short one.
    pub fn transform_jumps(&mut self) {
        for section in self.image.sections.clone().into_iter().filter(|section| section.executable) {
            let range = section.bytes(self.bytes.len());
            let mut offset = range.start;
            while let Some(jump) = self.find(offset..range.end, |byte| byte == 0xE9 || byte == 0x0F) {
                offset = self.transform_jump(&section, range.start, jump).unwrap_or(jump.saturating_add(1));
            }
        }
    }

    /// Transforms the jump at `offset`; gives the offset that follows it, or `None` where there is no jump.
    fn transform_jump(&mut self, section: &Section, start: usize, offset: usize) -> Option<usize> {
        let at = |index: usize| self.bytes.get(index).copied();
        let opcode = match at(offset)? {
            0xE9 => offset,
            0x0F if at(offset.checked_add(1)?)? & 0xF0 == 0x80 => offset.checked_add(1)?,
            _ => return None,
        };
        let conditional = opcode != offset;
        let operand = opcode.checked_add(1)?;
        let displacement = u32_at(&self.bytes, operand)?;
        if self.is_claimed(opcode, 5) || i8::try_from(displacement as i32).is_ok() {
            return None;
        }
        let next = section.rva.wrapping_add(opcode.saturating_sub(start) as u32).wrapping_add(5);
        let moved = self.branch(next, displacement)?;
        match i8::try_from(moved as i32) {
            Ok(short) if conditional && !self.is_claimed(offset, 1) => {
                let condition = at(opcode)? & 0x0F | 0x70;
                put(&mut self.bytes, offset, [condition, short as u8]);
            }
            Ok(short) if !conditional => put(&mut self.bytes, opcode, [0xEB, short as u8]),
            _ => put(&mut self.bytes, operand, moved.to_le_bytes()),
        }
        operand.checked_add(4)
    }
}

/// Undoes the translation of calls in the target: an operand of E8 in `-position..size` is an absolute one.
///
/// This is the filter of LZX, over the whole file. The last ten bytes stay as they are, and so does what is no i386 image,
/// or one of nothing but managed code.
pub(in super::super) fn untranslate_calls(target: &mut [u8]) {
    if !is_native_i386(target) {
        return;
    }
    let Ok(size) = i32::try_from(target.len()) else { return };
    let end = target.len().saturating_sub(10);
    let mut offset = 0usize;
    while offset < end {
        if target.get(offset) != Some(&0xE8) {
            offset = offset.saturating_add(1);
            continue;
        }
        let operand = offset.saturating_add(1);
        let absolute = u32_at(target, operand).unwrap_or(0) as i32;
        let position = offset as i32;
        if absolute >= position.wrapping_neg() && absolute < size {
            let relative = if absolute >= 0 { absolute.wrapping_sub(position) } else { absolute.wrapping_add(size) };
            put(target, operand, relative.to_le_bytes());
        }
        offset = offset.saturating_add(5);
    }
}

/// Whether these are the bytes of an i386 image that is not managed code alone (`COMIMAGE_FLAGS_ILONLY`).
fn is_native_i386(bytes: &[u8]) -> bool {
    let Some(image) = Image::read(bytes).filter(|image| image.machine == MACHINE_I386 && !image.wide) else { return false };
    let clr = image.directory(directory::CLR).and_then(|(rva, _)| image.offset(rva));
    let flags = clr.and_then(|clr| u32_at(bytes, clr.checked_add(16)?));
    flags.is_none_or(|flags| flags & 1 == 0)
}

//! The transform of base relocations: the pointers they name, then the relocation blocks themselves.

use super::Source;
use super::image::{directory, put, u16_at, u32_at};

/// `IMAGE_REL_BASED_HIGHLOW`: a 32-bit address.
const HIGH_LOW: u16 = 3;
/// `IMAGE_REL_BASED_HIGHADJ`: the next entry is its parameter.
const HIGH_ADJUST: u16 = 4;
/// `IMAGE_REL_BASED_DIR64`: a 64-bit address.
const DIR64: u16 = 10;

/// A relocation at its place in the target.
struct Relocation {
    rva: u32,
    kind: u16,
    parameter: u16,
}

impl Source<'_> {
    /// Rewrites the addresses that relocations name, and rebuilds the relocation blocks for the places in the target.
    pub fn transform_relocations(&mut self) {
        let Some((rva, size)) = self.image.directory(directory::RELOCATION) else { return };
        let Some(start) = self.image.offset(rva) else { return };
        let end = start.saturating_add(size as usize).min(self.bytes.len());
        let mut relocations = Vec::new();
        let mut block = start;
        while let (Some(page), Some(length)) = (u32_at(&self.bytes, block), u32_at(&self.bytes, block.saturating_add(4))) {
            let block_end = block.saturating_add(length as usize);
            if length < 8 || block_end > end {
                break;
            }
            let mut entry = block.saturating_add(8);
            while let Some(raw) = u16_at(&self.bytes, entry).filter(|_| entry.saturating_add(2) <= block_end) {
                let kind = raw >> 12;
                if kind == 0 {
                    break;
                }
                let place = page.wrapping_add(u32::from(raw & 0xFFF));
                let mut relocation = Relocation { rva: self.moved(place), kind, parameter: 0 };
                if let Some(offset) = self.image.offset(place) {
                    match kind {
                        HIGH_LOW => self.move_address(offset, 4),
                        DIR64 => self.move_address(offset, 8),
                        1 | 2 => self.claim(offset, 2),
                        HIGH_ADJUST => {
                            self.claim(offset, 2);
                            entry = entry.saturating_add(2);
                            relocation.parameter = u16_at(&self.bytes, entry).unwrap_or(0);
                        }
                        _ => relocation.kind = 0,
                    }
                }
                relocations.push(relocation);
                entry = entry.saturating_add(2);
            }
            block = block_end;
        }
        // The new blocks may take all of the section's raw data.
        let section = self.image.section(rva).map_or(size, |section| section.raw_size.saturating_sub(rva.wrapping_sub(section.rva)));
        let limit = start.saturating_add((section.max(size) & !1) as usize).min(self.bytes.len());
        relocations.sort_by_key(|relocation| relocation.rva);
        self.write_relocations(start, limit, &relocations);
    }

    /// Writes sorted relocations as blocks of one page each, padded to four bytes, up to `limit`.
    fn write_relocations(&mut self, start: usize, limit: usize, relocations: &[Relocation]) {
        let mut next = start;
        for block in relocations.chunk_by(|one, other| one.rva >> 12 == other.rva >> 12) {
            let header = next;
            if header.saturating_add(8) > limit {
                return;
            }
            next = header.saturating_add(8);
            let mut write = |value: u16| {
                if next.saturating_add(2) <= limit {
                    put(&mut self.bytes, next, value.to_le_bytes());
                    next = next.saturating_add(2);
                }
            };
            let mut odd = false;
            for relocation in block {
                write(relocation.kind << 12 | relocation.rva as u16 & 0xFFF);
                odd = !odd;
                if relocation.kind == HIGH_ADJUST {
                    write(relocation.parameter);
                    odd = !odd;
                }
            }
            if odd {
                write(0);
            }
            let page = block.first().map_or(0, |relocation| relocation.rva & !0xFFF);
            put(&mut self.bytes, header, page.to_le_bytes());
            put(&mut self.bytes, header.saturating_add(4), (next.saturating_sub(header) as u32).to_le_bytes());
        }
    }
}

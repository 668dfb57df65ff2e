//! The transforms of data directories: imports, exports, resources. Each rewrites the RVAs of the source image to what
//! they are in the target, by the rift, and claims the bytes so that no later transform takes them for code.

use super::Source;
use super::image::{directory, put, u16_at, u32_at, u64_at};
use std::collections::HashSet;

/// Import descriptors that are looked at: a table without a terminator must end somewhere.
const MAX_IMPORT_DESCRIPTORS: usize = 4096;

/// Resource directories that are looked at, and remembered; real images have some thousands.
const MAX_RESOURCE_DIRECTORIES: usize = 1 << 20;

/// Flag of a resource directory entry: its name is a string, its data is a subdirectory.
const HIGH_BIT: u32 = 1 << 31;

impl Source<'_> {
    /// Rewrites the RVA at a file offset, unless it is zero, and claims it.
    fn move_rva(&mut self, offset: usize) {
        if let Some(rva) = u32_at(&self.bytes, offset)
            && rva != 0
        {
            let moved = self.moved(rva);
            put(&mut self.bytes, offset, moved.to_le_bytes());
        }
        self.claim(offset, 4);
    }

    /// Claims a string that ends with zero, and `before` bytes in front of it.
    fn claim_name(&mut self, rva: u32, before: usize) {
        if let Some(start) = self.image.offset(rva) {
            let name = self.bytes.get(start.saturating_add(before)..).unwrap_or_default();
            let length = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
            if self.spend(length) {
                self.claim(start, length.saturating_add(before).saturating_add(1));
            }
        }
    }

    /// File offsets of the import descriptors that are in use.
    fn import_descriptors(&self) -> Vec<usize> {
        let start = self.image.directory(directory::IMPORT).and_then(|(rva, _)| self.image.offset(rva));
        let descriptors = start.into_iter().flat_map(|start| (start..).step_by(20)).take(MAX_IMPORT_DESCRIPTORS);
        let used =
            |offset: &usize| [0, 12, 16].iter().any(|field| u32_at(&self.bytes, offset.saturating_add(*field)).is_some_and(|rva| rva != 0));
        descriptors.take_while(used).collect()
    }

    /// Undoes binding: clears the time stamps and forwarder chains of bound descriptors, copies their import lookup table
    /// over the import address table, clears the bound import directory, and marks `.idata` as readable and writable.
    pub fn unbind(&mut self) {
        let width = if self.image.wide { 8 } else { 4 };
        for descriptor in self.import_descriptors() {
            let field = |bytes: &[u8], relative| u32_at(bytes, descriptor.saturating_add(relative)).unwrap_or(0);
            if field(&self.bytes, 4) == 0 {
                continue;
            }
            put(&mut self.bytes, descriptor.saturating_add(4), [0; 8]);
            let (lookup, address) = (field(&self.bytes, 0), field(&self.bytes, 16));
            let (Some(lookup), Some(address)) = (self.image.offset(lookup), self.image.offset(address)) else { continue };
            let thunks = self.bytes.get(lookup..).unwrap_or_default().chunks_exact(width);
            let length = thunks.take(self.work).take_while(|thunk| thunk.iter().any(|&byte| byte != 0)).count();
            if !self.spend(length) {
                return;
            }
            let length = length.saturating_mul(width).min(self.bytes.len().saturating_sub(address));
            if let Some(end) = lookup.checked_add(length).filter(|_| length != 0) {
                self.bytes.copy_within(lookup..end, address);
            }
        }
        if let Some((rva, size)) = self.image.directory(directory::BOUND_IMPORT) {
            if let Some(start) = self.image.offset_or_header(rva) {
                self.bytes.iter_mut().skip(start).take(size as usize).for_each(|byte| *byte = 0);
            }
            put(&mut self.bytes, self.image.directory_field(directory::BOUND_IMPORT), [0; 8]);
        }
        for section in &self.image.sections {
            if section.name.eq_ignore_ascii_case(b".idata\0\0") {
                let field = section.header.saturating_add(36);
                let characteristics = u32_at(&self.bytes, field).unwrap_or(0) | 0xC000_0000;
                put(&mut self.bytes, field, characteristics.to_le_bytes());
            }
        }
    }

    /// Imports: the thunks that hold RVAs of names, and the RVAs of the descriptors.
    pub fn transform_imports(&mut self) {
        for descriptor in self.import_descriptors() {
            let field = |bytes: &[u8], relative| u32_at(bytes, descriptor.saturating_add(relative)).unwrap_or(0);
            let bound = field(&self.bytes, 4) != 0;
            self.transform_thunks(field(&self.bytes, 0), false);
            self.transform_thunks(field(&self.bytes, 16), bound);
            self.claim_name(field(&self.bytes, 12), 0);
            for relative in [12, 0, 16] {
                self.move_rva(descriptor.saturating_add(relative));
            }
        }
    }

    /// A table of thunks, which ends with zero. Bound ones are addresses of functions in other images.
    fn transform_thunks(&mut self, table: u32, bound: bool) {
        let Some(start) = self.image.offset(table).filter(|_| table != 0) else { return };
        let width = if self.image.wide { 8 } else { 4 };
        for offset in (start..self.bytes.len()).step_by(width) {
            let thunk = if self.image.wide { u64_at(&self.bytes, offset) } else { u32_at(&self.bytes, offset).map(u64::from) };
            let Some(thunk) = thunk.filter(|&thunk| thunk != 0 && self.spend(1)) else { break };
            let by_ordinal = thunk >> (width.saturating_mul(8).saturating_sub(1)) != 0;
            if bound {
                self.move_address(offset, width);
            } else if !by_ordinal {
                self.claim_name(thunk as u32, 2);
                self.move_rva(offset);
            }
            self.claim(offset, width);
        }
    }

    /// Exports: the tables of functions and of names, and the RVAs of the directory.
    pub fn transform_exports(&mut self) {
        let Some(exports) = self.image.directory(directory::EXPORT).and_then(|(rva, _)| self.image.offset(rva)) else { return };
        let field = |bytes: &[u8], relative| u32_at(bytes, exports.saturating_add(relative));
        let (Some(functions), Some(names)) = (field(&self.bytes, 28), field(&self.bytes, 32)) else { return };
        let counts = (field(&self.bytes, 20).unwrap_or(0), field(&self.bytes, 24).unwrap_or(0));
        for (table, count) in [(functions, counts.0), (names, counts.1)] {
            let Some(start) = self.image.offset(table).filter(|_| table != 0) else { continue };
            for offset in (start..self.bytes.len()).step_by(4).take(count as usize) {
                self.move_rva(offset);
            }
        }
        for relative in [12, 28, 32, 36] {
            self.move_rva(exports.saturating_add(relative));
        }
    }

    /// Resources: offsets within the directory tree, and the RVAs of the data. All move relative to the directory's start.
    pub fn transform_resources(&mut self) {
        let Some((root, size)) = self.image.directory(directory::RESOURCE) else { return };
        let Some(start) = self.image.offset(root) else { return };
        let end = start.saturating_add(size as usize).min(self.bytes.len());
        let moved_root = self.moved(root);
        let moved = |source: &Self, relative: u32| source.moved(root.wrapping_add(relative)).wrapping_sub(moved_root);
        let mut seen = HashSet::from([start]);
        let mut pending = vec![start];
        while let Some(table) = pending.pop() {
            let entries = table.saturating_add(16);
            if entries > end {
                continue;
            }
            let count = |offset| usize::from(u16_at(&self.bytes, table.saturating_add(offset)).unwrap_or(0));
            let count = count(12).saturating_add(count(14)).min(end.saturating_sub(entries) / 8);
            for entry in (entries..).step_by(8).take(count) {
                let (Some(name), Some(data)) = (u32_at(&self.bytes, entry), u32_at(&self.bytes, entry.saturating_add(4))) else { break };
                let place = start.saturating_add((data & !HIGH_BIT) as usize);
                if !self.spend(1) {
                    return;
                }
                if data & HIGH_BIT != 0 {
                    if place > entry && seen.len() < MAX_RESOURCE_DIRECTORIES && seen.insert(place) {
                        pending.push(place);
                    }
                    let value = moved(self, data & !HIGH_BIT) | HIGH_BIT;
                    put(&mut self.bytes, entry.saturating_add(4), value.to_le_bytes());
                    self.claim(entry.saturating_add(4), 4);
                } else if place.saturating_add(16) <= end {
                    let value = moved(self, u32_at(&self.bytes, place).unwrap_or(0));
                    put(&mut self.bytes, place, value.to_le_bytes());
                    self.claim(place, 4);
                }
                if name & HIGH_BIT != 0 {
                    let value = moved(self, name & !HIGH_BIT) | HIGH_BIT;
                    put(&mut self.bytes, entry, value.to_le_bytes());
                    self.claim(entry, 4);
                }
            }
        }
    }
}

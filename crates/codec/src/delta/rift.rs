//! Rift tables: piecewise translations of addresses, the way PA30 says what moved where.
//!
//! A rift maps the ring of 64-bit integers to itself. Its entries `(source, target)` are sorted by source; every address
//! from one entry's source up to the next one's is moved by the same `target - source`. Addresses before the first entry
//! lie, around the ring, behind the last one and move with it. The empty rift moves nothing.
//!
//! Sources: smilingthax/msdelta-pa30-format (README), jlevere/msdelta (facts of the wire format and of composition).

use super::Error;
use super::bits::BitReader;
use super::huffman::Huffman;
use std::collections::BTreeMap;

/// Symbols of a [`NumberFormat`]: 126 classes of numbers from zero up, and 126 of those below.
const CLASSES: usize = 126;

/// Entries that a rift may have: a composition of two hostile ones would have the product of theirs. Rifts of real deltas
/// have some thousands.
const MAX_ENTRIES: usize = 1 << 22;

/// One entry: from `source` on, addresses move by `target - source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub source: i64,
    pub target: i64,
}

impl Entry {
    /// How far the addresses of this entry move.
    pub fn offset(self) -> i64 {
        self.target.wrapping_sub(self.source)
    }
}

/// Addresses that move by the same offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    first: i64,
    last: i64,
    offset: i64,
}

impl Segment {
    /// Whether the segment holds `address`.
    pub fn holds(&self, address: i64) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// Where `address`, which the segment holds, moves to.
    pub fn map(&self, address: i64) -> i64 {
        address.wrapping_add(self.offset)
    }
}

/// The segment of no address.
impl Default for Segment {
    fn default() -> Self {
        Self { first: i64::MAX, last: i64::MIN, offset: 0 }
    }
}

/// A rift table, sorted by source. Of entries with the same source, the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rift {
    pub entries: Vec<Entry>,
}

impl Rift {
    /// A rift of these entries, which need not be sorted.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by_key(|entry| entry.source);
        Self { entries }
    }

    /// Reads a rift: one bit says whether there is one, then come two number formats, the count, and for each entry the
    /// step of its source and the step of its offset.
    pub fn read(reader: &mut BitReader<'_>) -> Result<Self, Error> {
        if !reader.flag()? {
            return Ok(Self::default());
        }
        let sources = NumberFormat::read(reader)?;
        let offsets = NumberFormat::read(reader)?;
        let count = reader.number()?;
        // Every entry takes a bit or more.
        if count > reader.remaining().min(MAX_ENTRIES as u64) {
            return Err(Error::Malformed { what: "rift table", why: "more entries than bits, or than four million" });
        }
        let mut entries = Vec::with_capacity(count as usize);
        let (mut source, mut offset) = (0i64, 0i64);
        for _ in 0..count {
            source = source.wrapping_add(sources.number(reader)?);
            offset = offset.wrapping_add(offsets.number(reader)?);
            entries.push(Entry { source, target: source.wrapping_add(offset) });
        }
        Ok(Self::new(entries))
    }

    /// The segment that holds `address`.
    pub fn segment(&self, address: i64) -> Segment {
        let next = self.entries.partition_point(|entry| entry.source <= address);
        let entry = match next.checked_sub(1) {
            Some(index) => self.entries.get(index),
            None => self.entries.last(),
        };
        Segment {
            first: if next == 0 { i64::MIN } else { entry.map_or(i64::MIN, |entry| entry.source) },
            last: self.entries.get(next).map_or(i64::MAX, |entry| entry.source.wrapping_sub(1)),
            offset: entry.map_or(0, |entry| entry.offset()),
        }
    }

    /// Where `address` moves to.
    pub fn map(&self, address: i64) -> i64 {
        self.segment(address).map(address)
    }

    /// The rift that moves by this one, then by `next`.
    pub fn then(&self, next: &Rift) -> Result<Rift, Error> {
        if self.entries.is_empty() {
            return Ok(next.clone());
        }
        if next.entries.is_empty() {
            return Ok(self.clone());
        }
        let mut entries = Vec::new();
        self.each_segment(|start, end, offset| {
            let mut source = start;
            loop {
                let image = source.wrapping_add(offset);
                let segment = next.segment(image);
                entries.push(Entry { source, target: segment.map(image) });
                // Both distances are counted upwards around the ring.
                let step = segment.last.wrapping_sub(image) as u64;
                if step >= end.wrapping_sub(source) as u64 || entries.len() > MAX_ENTRIES {
                    break;
                }
                source = source.wrapping_add(step as i64).wrapping_add(1);
            }
        });
        if entries.len() > MAX_ENTRIES {
            return Err(Error::Malformed { what: "rift table", why: "composed rifts have more than four million entries" });
        }
        Ok(Rift::new(entries))
    }

    /// Calls `visit(first, last, offset)` for every segment, from `i64::MIN` up.
    fn each_segment(&self, mut visit: impl FnMut(i64, i64, i64)) {
        let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) else { return };
        if first.source != i64::MIN {
            visit(i64::MIN, first.source.wrapping_sub(1), last.offset());
        }
        for (index, entry) in self.entries.iter().enumerate() {
            match self.entries.get(index.wrapping_add(1)) {
                Some(next) if next.source == entry.source => {}
                Some(next) => visit(entry.source, next.source.wrapping_sub(1), entry.offset()),
                None => visit(entry.source, i64::MAX, entry.offset()),
            }
        }
    }

    /// The rift back from targets to sources. Where several sources move to one target the first one counts, in the order
    /// from zero up and around the ring. Targets that nothing moves to go with the entry before them.
    pub fn reverse(&self) -> Rift {
        let mut segments = Vec::with_capacity(self.entries.len().saturating_add(2));
        self.each_segment(|start, end, offset| {
            if start < 0 && end >= 0 {
                segments.push((start, -1, offset));
                segments.push((0, end, offset));
            } else {
                segments.push((start, end, offset));
            }
        });
        let from_zero = segments.partition_point(|segment| segment.0 < 0);
        segments.rotate_left(from_zero);
        let mut covered = Coverage::default();
        let mut entries = Vec::new();
        for (start, end, offset) in segments {
            let (low, high) = (start.wrapping_add(offset), end.wrapping_add(offset));
            let mut claim =
                |low, high| covered.claim(low, high, |target| entries.push(Entry { source: target, target: target.wrapping_sub(offset) }));
            if low <= high {
                claim(low, high);
            } else {
                claim(low, i64::MAX);
                claim(i64::MIN, high);
            }
        }
        Rift::new(entries)
    }
}

/// The addresses already claimed: first address to last one, neither touching nor overlapping.
#[derive(Default)]
struct Coverage {
    ranges: BTreeMap<i64, i64>,
}

impl Coverage {
    /// Claims `low..=high`; calls `visit` with the first address of every part that was free.
    fn claim(&mut self, low: i64, high: i64, mut visit: impl FnMut(i64)) {
        let mut next = low;
        let (mut first, mut last) = (low, high);
        // Ranges that begin before `high` and end at `low - 1` or later, in ascending order.
        let mut touched = Vec::new();
        for (&start, &end) in self.ranges.range(..=high.saturating_add(1)).rev() {
            if end < low.saturating_sub(1) {
                break;
            }
            touched.push((start, end));
        }
        let mut full = false;
        for &(start, end) in touched.iter().rev() {
            if next < start && !full {
                visit(next);
            }
            first = first.min(start);
            last = last.max(end);
            match end.checked_add(1) {
                Some(after) => next = next.max(after),
                None => full = true,
            }
            self.ranges.remove(&start);
        }
        if !full && next <= high {
            visit(next);
        }
        self.ranges.insert(first, last);
    }
}

/// How the numbers of a rift are coded: a Huffman symbol for the number's class, then its lower bits.
///
/// Class `c < 4` is the number `c`; above, the class holds the two highest bits of the number and the count of those that
/// follow. The upper half of the symbols are the complements of the same classes.
pub(super) struct NumberFormat {
    classes: Huffman,
}

impl NumberFormat {
    /// Reads the code lengths: so many are explicit for numbers from zero up and for those below, the rest have one
    /// default length, and from a given point on one bit less.
    pub fn read(reader: &mut BitReader<'_>) -> Result<Self, Error> {
        let positive = reader.bits(8)? as usize;
        let negative = reader.bits(8)? as usize;
        let defaults = reader.bits(8)? as usize;
        if positive > CLASSES || negative > CLASSES || defaults > (2 * CLASSES).saturating_sub(positive).saturating_sub(negative) {
            return Err(Error::Malformed { what: "number format of a rift table", why: "more code lengths than classes" });
        }
        let mut lengths = [0u8; 2 * CLASSES];
        let (up, down) = lengths.split_at_mut(CLASSES);
        for length in up.iter_mut().take(positive).chain(down.iter_mut().take(negative)) {
            *length = (reader.bits(4)? as u8).wrapping_add(1);
        }
        let default = (reader.bits(4)? as u8).wrapping_add(1);
        for (index, length) in up.iter_mut().skip(positive).chain(down.iter_mut().skip(negative)).enumerate() {
            *length = if index < defaults { default } else { default.wrapping_sub(1) };
        }
        Ok(Self { classes: Huffman::new(&lengths)? })
    }

    /// Reads a number.
    pub fn number(&self, reader: &mut BitReader<'_>) -> Result<i64, Error> {
        let symbol = usize::from(self.classes.read(reader)?);
        let (class, complement) = if symbol < CLASSES { (symbol, 0) } else { (symbol.wrapping_sub(CLASSES), -1) };
        let magnitude = if class < 4 {
            class as i64
        } else {
            let bits = (class as u32 >> 1).wrapping_sub(1);
            let top = (class as i64 & 1 | 2).wrapping_shl(bits);
            let low = if bits > 32 { reader.bits(32)? | reader.bits(bits.wrapping_sub(32))? << 32 } else { reader.bits(bits)? };
            top | low as i64
        };
        Ok(magnitude ^ complement)
    }
}

#[cfg(test)]
mod tests {
    use super::super::bits::writer::BitWriter;
    use super::super::huffman::tests::codes;
    use super::*;
    use proptest::prelude::*;

    fn rift(entries: &[(i64, i64)]) -> Rift {
        Rift::new(entries.iter().map(|&(source, target)| Entry { source, target }).collect())
    }

    #[test]
    fn addresses_before_the_first_entry_move_with_the_last_one() {
        let moves = rift(&[(0x1000, 0x1100), (0x2000, 0x2020)]);
        assert_eq!([0xFFF, 0x1000, 0x1FFF, 0x2000, -1].map(|address| moves.map(address)), [0x101F, 0x1100, 0x20FF, 0x2020, 0x1F]);
        assert_eq!(Rift::default().map(7), 7);
    }

    /// Writes a rift whose numbers have even codes: 248 classes of eight bits, the last four of seven.
    fn write(entries: &[(i64, i64)]) -> Vec<u8> {
        let lengths: Vec<u8> = (0..2 * CLASSES).map(|class| if class < 248 { 8 } else { 7 }).collect();
        let codes = codes(&lengths);
        let mut writer = BitWriter::new();
        writer.bits(1, 1);
        for _ in 0..2 {
            writer.bits(0, 16).bits(248, 8).bits(7, 4);
        }
        writer.number(entries.len() as u64);
        let mut number = |number: i64| {
            let magnitude = (if number < 0 { !number } else { number }) as u64;
            let bits = magnitude.max(1).ilog2().saturating_sub(1);
            let class = if magnitude < 4 { magnitude } else { u64::from(bits + 1) * 2 + (magnitude >> bits & 1) };
            let code = codes[class as usize + if number < 0 { CLASSES } else { 0 }];
            writer.bits(code.0, code.1);
            if magnitude >= 4 {
                writer.bits(magnitude, bits);
            }
        };
        let mut last = Entry { source: 0, target: 0 };
        for &(source, target) in entries {
            let entry = Entry { source, target };
            number(source.wrapping_sub(last.source));
            number(entry.offset().wrapping_sub(last.offset()));
            last = entry;
        }
        writer.finish()
    }

    #[test]
    fn more_entries_than_bits_are_refused() {
        let mut writer = BitWriter::new();
        writer.bits(1, 1).bits(0, 16).bits(248, 8).bits(7, 4).bits(0, 16).bits(248, 8).bits(7, 4).number(u64::MAX);
        let stream = writer.finish();
        assert!(matches!(Rift::read(&mut BitReader::new(&stream).unwrap()), Err(Error::Malformed { .. })));
        let mut writer = BitWriter::new();
        let stream = writer.bits(1, 1).bits(127, 8).bits(0, 40).finish();
        assert!(matches!(Rift::read(&mut BitReader::new(&stream).unwrap()), Err(Error::Malformed { .. })));
    }

    #[test]
    fn the_first_of_several_sources_is_the_way_back() {
        // Two sections overlap in the target from 0x1100 to 0x11FF.
        let back = rift(&[(0, 0), (0x1000, 0x1000), (0x1200, 0x1100), (0x1400, 0x5000)]).reverse();
        assert_eq!(
            [0x10FF, 0x1100, 0x11FF, 0x1200, 0x12FF, 0x5000].map(|target| back.map(target)),
            [0x10FF, 0x1100, 0x11FF, 0x1300, 0x13FF, 0x1400]
        );
        // No address from zero up moves to 0x1300, but one below zero does, with the last entry.
        assert_eq!(back.map(0x1300), -0x2900);
    }

    #[test]
    fn a_composition_without_end_is_refused() {
        let fine = Rift::new((0..4000).map(|step| Entry { source: step, target: step * 2 }).collect());
        let folded = Rift::new((0..4000).map(|step| Entry { source: step << 32, target: -1 }).collect());
        assert!(matches!(folded.then(&fine), Err(Error::Malformed { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn written_entries_are_read(entries in prop::collection::vec((any::<i64>(), any::<i64>(), 0u32..64), 0..20)) {
            let entries: Vec<(i64, i64)> = entries.into_iter().map(|(source, target, shift)| (source >> shift, target >> shift)).collect();
            let stream = write(&entries);
            let read = Rift::read(&mut BitReader::new(&stream).unwrap()).unwrap();
            prop_assert_eq!(read, rift(&entries));
        }

        #[test]
        fn compositions_and_ways_back_agree_with_single_addresses(
            first in prop::collection::vec((0i64..60, 0i64..60), 0..8),
            second in prop::collection::vec((0i64..60, 0i64..60), 0..8),
        ) {
            let (first, second) = (rift(&first), rift(&second));
            let both = first.then(&second).unwrap();
            for address in -150..150 {
                prop_assert_eq!(both.map(address), second.map(first.map(address)), "{}", address);
            }
            let back = both.reverse();
            for target in -100..200 {
                if let Some(source) = (0..400).find(|&source| both.map(source) == target) {
                    prop_assert_eq!(back.map(target), source, "{}", target);
                }
            }
        }
    }
}

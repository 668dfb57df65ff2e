//! The patch buffer: how the target is put together from the source and from itself.
//!
//! The format is a kin of LZX Delta. Source and target are one window: position 0 is the first byte of the (transformed)
//! source, the target begins where the source ends. Three Huffman codes are in use at a time: 600 main symbols (256
//! literal bytes, then 43 offset slots of 8 lengths), 256 longer lengths, 16 low nibbles of offsets. A patch may change
//! its codes at given positions ("blocks").
//!
//! A match copies from `position - distance`. Distances come in five kinds: relative to the rift (slots 0 to 2), along the
//! rift (slot 3: where a rift entry begins, the copy goes on from the new place), one of the last three distances (slots 4
//! to 6), and plain ones (slots 7 to 42, and up to 70 by an escape).
//!
//! Source: smilingthax/msdelta-pa30-format (README, "Patch buffer"); lengths as observed.

use super::Error;
use super::bits::BitReader;
use super::huffman::{Huffman, even_lengths};
use super::rift::{Entry, Rift};
use std::sync::LazyLock;

const MAIN_SYMBOLS: usize = 600;
const LENGTH_SYMBOLS: usize = 256;
const NIBBLE_SYMBOLS: usize = 16;
const ALL_SYMBOLS: usize = MAIN_SYMBOLS + LENGTH_SYMBOLS + NIBBLE_SYMBOLS;
const PRETREE_SYMBOLS: usize = 39;

/// Blocks that a patch may have, which hold 872 code lengths each. Real ones have some tens of KiB of the target in a block.
const MAX_BLOCKS: u64 = 1 << 16;

/// The three codes of a block.
struct Codes {
    main: Huffman,
    lengths: Huffman,
    nibbles: Huffman,
}

impl Codes {
    fn new(lengths: &[u8; ALL_SYMBOLS]) -> Result<Self, Error> {
        let (main, rest) = lengths.split_at(MAIN_SYMBOLS);
        let (lengths, nibbles) = rest.split_at(LENGTH_SYMBOLS);
        Ok(Self { main: Huffman::new(main)?, lengths: Huffman::new(lengths)?, nibbles: Huffman::new(nibbles)? })
    }
}

/// The codes that give all symbols the same weight. Small patches use them, and would spend their time on building them.
static EVEN_CODES: LazyLock<Result<Codes, Error>> = LazyLock::new(|| {
    Ok(Codes {
        main: Huffman::new(&even_lengths(MAIN_SYMBOLS))?,
        lengths: Huffman::new(&even_lengths(LENGTH_SYMBOLS))?,
        nibbles: Huffman::new(&even_lengths(NIBBLE_SYMBOLS))?,
    })
});

/// The blocks of a patch: each has a start, in window positions, and code lengths. Tables are built on entry.
#[derive(Default)]
struct Blocks {
    /// Start and code lengths of the blocks that have not been entered, the next one last.
    pending: Vec<(u64, Box<[u8; ALL_SYMBOLS]>)>,
    /// Start of the next block.
    next: u64,
    /// The codes of the current block; `None` for even ones.
    codes: Option<Codes>,
}

impl Blocks {
    /// No blocks: all of the patch has even codes.
    fn even() -> Self {
        Self { next: u64::MAX, ..Self::default() }
    }

    /// The codes at `position`, which is not below the last one asked for.
    #[inline(always)]
    fn codes(&mut self, position: u64) -> Result<&Codes, Error> {
        if position >= self.next {
            self.enter(position)?;
        }
        match (&self.codes, &*EVEN_CODES) {
            (Some(codes), _) => Ok(codes),
            (None, Ok(codes)) => Ok(codes),
            (None, Err(_)) => Err(Error::Malformed { what: "patch", why: "a block has no codes" }),
        }
    }

    /// Builds the codes of the last block that starts at `position` or before it. The first block starts anywhere.
    #[cold]
    fn enter(&mut self, position: u64) -> Result<(), Error> {
        let mut lengths = None;
        while let Some((_, next)) = self.pending.pop_if(|(start, _)| *start <= position || self.codes.is_none() && lengths.is_none()) {
            lengths = Some(next);
        }
        if let Some(lengths) = lengths {
            self.codes = Some(Codes::new(&lengths)?);
        }
        self.next = self.pending.last().map_or(u64::MAX, |(start, _)| *start);
        Ok(())
    }

    /// Reads the compression parameters that follow the bit `is default`.
    fn read(reader: &mut BitReader<'_>) -> Result<Self, Error> {
        const WHAT: &str = "compression parameters";
        let count = reader.number()?;
        if count == 0 || count > MAX_BLOCKS {
            return Err(Error::Malformed { what: WHAT, why: "no blocks, or more than 65536" });
        }
        let mut starts = Vec::new();
        let mut start = 0u64;
        for _ in 0..count {
            start = start.checked_add(reader.number()?).ok_or(Error::Malformed { what: WHAT, why: "a block starts past 64 bits" })?;
            starts.push(start);
        }
        let mut pretree = [0u8; PRETREE_SYMBOLS];
        for length in &mut pretree {
            *length = reader.bits(4)? as u8;
        }
        let pretree = Huffman::new(&pretree)?;
        let mut previous = [0u8; ALL_SYMBOLS];
        let mut pending = Vec::new();
        for start in starts {
            previous = Self::read_lengths(reader, &pretree, &previous)?;
            pending.push((start, Box::new(previous)));
        }
        pending.reverse();
        Ok(Self { pending, next: 0, codes: None })
    }

    /// Reads one block's lengths: as they are, as steps from the previous block's, or as runs.
    fn read_lengths(reader: &mut BitReader<'_>, pretree: &Huffman, previous: &[u8; ALL_SYMBOLS]) -> Result<[u8; ALL_SYMBOLS], Error> {
        const WHAT: &str = "code lengths of a block";
        let mut lengths = [0u8; ALL_SYMBOLS];
        let mut index = 0usize;
        while let Some(&before) = previous.get(index) {
            let symbol = pretree.read(reader)? as u8;
            let (run, value) = match symbol {
                0..=16 => (1, Some(symbol)),
                17..=19 => (1, Some(before.wrapping_add(symbol.wrapping_sub(16)))),
                20..=22 => (1, Some(before.wrapping_sub(symbol.wrapping_sub(19)))),
                _ => {
                    let class = symbol.wrapping_sub(23);
                    let run = match class & 7 {
                        short @ 0..=2 => usize::from(short).wrapping_add(1),
                        long => {
                            let bits = u32::from(long).wrapping_sub(1);
                            1usize << bits | reader.bits(bits)? as usize
                        }
                    };
                    if class >= 8 {
                        (run, None)
                    } else {
                        let last = index.checked_sub(1).and_then(|last| lengths.get(last)).copied();
                        (run, Some(last.ok_or(Error::Malformed { what: WHAT, why: "a run repeats the length before the first" })?))
                    }
                }
            };
            let end = index.wrapping_add(run);
            let (Some(into), Some(from)) = (lengths.get_mut(index..end), previous.get(index..end)) else {
                return Err(Error::Malformed { what: WHAT, why: "a run reaches past the last symbol" });
            };
            match value {
                Some(value) => into.fill(value),
                None => into.copy_from_slice(from),
            }
            index = end;
        }
        Ok(lengths)
    }
}

/// A rift read along rising positions.
struct RiftCursor {
    entries: Vec<Entry>,
    /// The entry that holds at the last position asked for, plus one; 0 is the last entry, around the ring.
    next: usize,
    /// The offset at the last position asked for.
    offset: i64,
}

impl RiftCursor {
    fn new(rift: Rift) -> Self {
        let offset = rift.entries.last().map_or(0, |entry| entry.offset());
        Self { entries: rift.entries, next: 0, offset }
    }

    /// The offset at `position`, which is not below the last one asked for.
    #[inline(always)]
    fn offset(&mut self, position: u64) -> i64 {
        while let Some(entry) = self.entries.get(self.next)
            && entry.source <= position as i64
        {
            self.offset = entry.offset();
            self.next = self.next.wrapping_add(1);
        }
        self.offset
    }

    /// The position at which the offset changes next.
    fn end(&self) -> u64 {
        self.entries.get(self.next).map_or(u64::MAX, |entry| entry.source as u64)
    }
}

/// Decodes `patch` into the `target_size` bytes that follow `source` in the window.
///
/// `rift` is what preprocessing says of the window: from positions of the target to those of the source. The caller has
/// checked `target_size` against its limit.
pub(super) fn decode(source: &[u8], patch: &[u8], target_size: usize, rift: Rift) -> Result<Vec<u8>, Error> {
    if patch.is_empty() && target_size == 0 {
        return Ok(Vec::new());
    }
    let mut reader = BitReader::new(patch)?;
    let mut entries = Rift::read(&mut reader)?.entries;
    entries.extend(rift.entries);
    // At the start of the target, the source's start is meant.
    entries.push(Entry { source: source.len() as i64, target: 0 });
    let mut rift = RiftCursor::new(Rift::new(entries));
    let mut blocks = if reader.flag()? { Blocks::even() } else { Blocks::read(&mut reader)? };
    let mut last = [0i64; 3];
    let mut window = Window { source, target: vec![0; target_size], written: 0 };
    while window.written < target_size {
        let codes = blocks.codes(window.position())?;
        let symbol = codes.main.read(&mut reader)?;
        if symbol < 256 {
            window.write(symbol as u8);
            continue;
        }
        let class = u32::from(symbol).wrapping_sub(256);
        let slot = class >> 3;
        let offset = rift.offset(window.position());
        let distance = match slot {
            0 => (reader.bits(14)? as i64).wrapping_sub(0x2000).wrapping_sub(offset),
            1 => outward(reader.bits(16)? as i64, 0x8000, 0x2000).wrapping_sub(offset),
            2 => outward(reader.bits(18)? as i64, 0x2_0000, 0xA000).wrapping_sub(offset),
            3 => offset.wrapping_neg(),
            4..=6 => last.get(slot.wrapping_sub(4) as usize).copied().unwrap_or_default(),
            _ => plain_distance(slot, &codes.nibbles, &mut reader)?,
        };
        if last[0] != distance {
            let [first, second, _] = last;
            last[0] = distance;
            last[1] = first;
            if second != distance {
                last[2] = second;
            }
        }
        let length = match class & 7 {
            0 => match codes.lengths.read(&mut reader)? {
                0 => long_length(&mut reader)?,
                length => usize::from(length).wrapping_add(8),
            },
            short => short.wrapping_add(1) as usize,
        };
        let length = length.min(target_size.wrapping_sub(window.written));
        if slot != 3 {
            window.copy(distance, length)?;
            continue;
        }
        let end = window.position().wrapping_add(length as u64);
        while window.position() < end {
            let offset = rift.offset(window.position());
            let length = rift.end().min(end).wrapping_sub(window.position());
            window.copy(offset.wrapping_neg(), length as usize)?;
        }
    }
    Ok(window.target)
}

/// A number of `2 * half` values, from which the middle ones, `-gap` to `gap`, are left out.
fn outward(raw: i64, half: i64, gap: i64) -> i64 {
    let number = raw.wrapping_sub(half);
    if number < 0 { number.wrapping_sub(gap) } else { number.wrapping_add(gap) }
}

/// Reads the plain distance of a slot from 7 up.
fn plain_distance(slot: u32, nibbles: &Huffman, reader: &mut BitReader<'_>) -> Result<i64, Error> {
    let slot = if slot != 7 {
        slot.into()
    } else if !reader.flag()? {
        reader.bits(2)?.wrapping_add(43)
    } else if !reader.flag()? {
        reader.bits(3)?.wrapping_add(47)
    } else {
        reader.bits(4)?.wrapping_add(55)
    };
    if slot <= 10 {
        return Ok(slot.wrapping_sub(7) as i64);
    }
    let class = slot.wrapping_sub(11) as u32;
    let top = u64::from(class & 1 | 2);
    let bits = (class >> 1).wrapping_add(1);
    let distance = if bits < 4 {
        top << bits | reader.bits(bits)?
    } else {
        let high = top << bits.wrapping_sub(4) | reader.bits(bits.wrapping_sub(4))?;
        high << 4 | u64::from(nibbles.read(reader)?)
    };
    Ok(distance as i64)
}

/// Reads a match length of 264 or more.
fn long_length(reader: &mut BitReader<'_>) -> Result<usize, Error> {
    let zeros = (reader.peek() | 1 << 24).trailing_zeros();
    if zeros > 23 {
        return Err(Error::Malformed { what: "patch", why: "a match length of more than 32 bits" });
    }
    reader.skip(zeros.wrapping_add(1))?;
    let bits = zeros.wrapping_add(8);
    let length = 1u64 << bits | reader.bits(bits)?;
    usize::try_from(length)
        .map(|length| length.saturating_add(8))
        .map_err(|_| Error::Malformed { what: "patch", why: "a match length of more than the address space" })
}

/// Source and target, one behind the other.
struct Window<'a> {
    source: &'a [u8],
    target: Vec<u8>,
    /// Bytes of the target that are done.
    written: usize,
}

impl Window<'_> {
    /// Where the next byte goes.
    #[inline(always)]
    fn position(&self) -> u64 {
        (self.source.len() as u64).wrapping_add(self.written as u64)
    }

    /// Writes a byte.
    #[inline(always)]
    fn write(&mut self, byte: u8) {
        if let Some(place) = self.target.get_mut(self.written) {
            *place = byte;
        }
        self.written = self.written.wrapping_add(1);
    }

    /// Copies `length` bytes, which the target has room for, from `distance` bytes before the position; what is read may be
    /// what is written.
    #[inline(always)]
    fn copy(&mut self, distance: i64, length: usize) -> Result<(), Error> {
        const OUTSIDE: Error = Error::Malformed { what: "patch", why: "a match begins outside of the window" };
        let from = self.position().checked_sub_signed(distance).filter(|_| distance > 0).ok_or(OUTSIDE)? as usize;
        let end = self.written.wrapping_add(length);
        let (done, rest) = self.target.split_at_mut_checked(self.written).ok_or(OUTSIDE)?;
        let into = rest.get_mut(..length).ok_or(OUTSIDE)?;
        match from.checked_sub(self.source.len()) {
            None => match self.source.get(from..from.wrapping_add(length)) {
                Some(bytes) => into.copy_from_slice(bytes),
                None => {
                    // The match goes on in the target.
                    let bytes = self.source.get(from..).unwrap_or_default();
                    into.get_mut(..bytes.len()).ok_or(OUTSIDE)?.copy_from_slice(bytes);
                    let rest = length.wrapping_sub(bytes.len());
                    self.written = self.written.wrapping_add(bytes.len());
                    return self.copy(self.written as i64, rest);
                }
            },
            Some(from) => match done.get(from..from.wrapping_add(length)) {
                Some(bytes) => into.copy_from_slice(bytes),
                None => {
                    // A period of `distance` bytes repeats.
                    let period = done.get(from..).ok_or(OUTSIDE)?;
                    for chunk in into.chunks_mut(distance as usize) {
                        chunk.copy_from_slice(period.get(..chunk.len()).ok_or(OUTSIDE)?);
                    }
                }
            },
        }
        self.written = end;
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::bits::writer::BitWriter;
    use super::super::huffman::tests::codes;
    use super::*;
    use proptest::prelude::*;

    /// What a patch says, in the order of the target.
    #[derive(Clone, Debug)]
    pub enum Step {
        Literal(u8),
        /// A match: how far back, how long.
        Back(u64, u64),
        /// A match along the rift.
        Rift(u64),
        /// A match at one of the last distances.
        Again(usize, u64),
        /// A match relative to the rift.
        Near(i64, u64),
    }

    /// Writes a patch with even codes and without a rift of its own.
    pub fn patch(steps: &[Step]) -> Vec<u8> {
        let (main, lengths, nibbles) = (codes(&even_lengths(600)), codes(&even_lengths(256)), codes(&even_lengths(16)));
        let mut writer = BitWriter::new();
        writer.bits(0, 1).bits(1, 1);
        for step in steps {
            let (slot, length) = match *step {
                Step::Literal(byte) => {
                    writer.bits(main[usize::from(byte)].0, main[usize::from(byte)].1);
                    continue;
                }
                Step::Back(distance, length) => match distance {
                    1..=3 => (distance + 7, length),
                    _ => ((u64::from(distance.ilog2()) - 2) * 2 + 11 + (distance >> (distance.ilog2() - 1) & 1), length),
                },
                Step::Rift(length) => (3, length),
                Step::Again(index, length) => (4 + index as u64, length),
                Step::Near(distance, length) => match distance.unsigned_abs() {
                    0..0x1FFF => (0, length),
                    0x1FFF..0x9000 => (1, length),
                    _ => (2, length),
                },
            };
            let short = if length <= 8 { length - 1 } else { 0 };
            let symbol = (256 + slot.min(if slot < 43 { slot } else { 7 }) * 8 + short) as usize;
            writer.bits(main[symbol].0, main[symbol].1);
            match *step {
                Step::Back(distance, _) if distance > 3 => {
                    if slot >= 55 {
                        writer.bits(0b11, 2).bits(slot - 55, 4);
                    } else if slot >= 47 {
                        writer.bits(0b01, 2).bits(slot - 47, 3);
                    } else if slot >= 43 {
                        writer.bits(0, 1).bits(slot - 43, 2);
                    }
                    let bits = distance.ilog2() - 1;
                    if bits < 4 {
                        writer.bits(distance, bits);
                    } else {
                        let nibble = nibbles[(distance & 15) as usize];
                        writer.bits(distance >> 4, bits - 4).bits(nibble.0, nibble.1);
                    }
                }
                Step::Near(distance, _) => {
                    let raw = match (slot, distance < 0) {
                        (0, _) => distance + 0x2000,
                        (1, true) => distance + 0x2000 + 0x8000,
                        (1, false) => distance - 0x2000 + 0x8000,
                        (_, true) => distance + 0xA000 + 0x2_0000,
                        (_, false) => distance - 0xA000 + 0x2_0000,
                    };
                    writer.bits(raw as u64, 14 + 2 * slot as u32);
                }
                _ => {}
            }
            if length >= 264 {
                let long = length - 8;
                let bits = long.ilog2();
                writer.bits(lengths[0].0, lengths[0].1).bits(1 << (bits - 8), bits - 7).bits(long, bits);
            } else if length > 8 {
                writer.bits(lengths[length as usize - 8].0, lengths[length as usize - 8].1);
            }
        }
        writer.finish()
    }

    /// What a patch gives, byte by byte.
    fn expect(source: &[u8], steps: &[Step]) -> Vec<u8> {
        let mut window = source.to_vec();
        let mut last = [0u64; 3];
        for step in steps {
            let (distance, length) = match *step {
                Step::Literal(byte) => {
                    window.push(byte);
                    continue;
                }
                Step::Back(distance, length) => (distance, length),
                Step::Rift(length) => (source.len() as u64, length),
                Step::Again(index, length) => (last[index], length),
                Step::Near(distance, length) => ((source.len() as u64).wrapping_add_signed(distance), length),
            };
            let index = last.iter().position(|&one| one == distance).unwrap_or(2);
            last[..=index].rotate_right(1);
            last[0] = distance;
            for _ in 0..length {
                window.push(window[window.len() - distance as usize]);
            }
        }
        window.split_off(source.len())
    }

    fn assert_decodes(source: &[u8], steps: &[Step]) {
        let target = expect(source, steps);
        let decoded = decode(source, &patch(steps), target.len(), Rift::default()).unwrap();
        assert!(decoded == target, "{steps:?}");
    }

    #[test]
    fn matches_of_every_kind_decode() {
        let source: Vec<u8> = (0..200_000u32).map(|index| (index.wrapping_mul(index) >> 7) as u8).collect();
        assert_decodes(
            &source,
            &[
                Step::Literal(7),
                Step::Back(1, 300),
                Step::Back(3, 10),
                Step::Back(5, 2),
                Step::Back(40, 9),
                Step::Back(100_000, 70_000),
                Step::Rift(263),
                Step::Rift(264),
                Step::Again(0, 5),
                Step::Again(1, 3),
                Step::Again(2, 8),
                Step::Near(-100, 20),
                Step::Near(100, 20),
                Step::Near(-0x3000, 20),
                Step::Near(-0xB000, 20),
                Step::Near(0x3000, 20),
            ],
        );
        // From the source into the target, and on.
        assert_decodes(b"abcdef", &[Step::Back(3, 20), Step::Literal(0), Step::Back(25, 4)]);
    }

    #[test]
    fn large_distances_take_the_escape() {
        let source: Vec<u8> = (0..20_000_000u32).map(|index| (index >> 3) as u8).collect();
        assert_decodes(&source, &[Step::Back(130_000, 4), Step::Back(300_000, 4), Step::Back(1_500_000, 4), Step::Back(19_000_000, 50)]);
    }

    #[test]
    fn copies_along_a_rift_go_on_where_its_entry_says() {
        let source = b"0123456789";
        let rift = Rift::new(vec![Entry { source: 10, target: 0 }, Entry { source: 14, target: 7 }]);
        assert_eq!(decode(source, &patch(&[Step::Rift(6)]), 6, rift).unwrap(), b"012378");
    }

    #[test]
    fn matches_outside_of_the_window_are_refused() {
        for step in [Step::Back(11, 2), Step::Again(0, 2), Step::Near(20, 2), Step::Near(-11, 2)] {
            let outcome = decode(b"0123456789", &patch(std::slice::from_ref(&step)), 2, Rift::default());
            assert!(matches!(outcome, Err(Error::Malformed { .. })), "{step:?}");
        }
        assert!(decode(b"", &patch(&[Step::Rift(2)]), 2, Rift::default()).is_err());
    }

    #[test]
    fn a_patch_that_ends_early_is_refused() {
        let whole = patch(&[Step::Literal(1), Step::Literal(2), Step::Literal(3)]);
        assert!(matches!(decode(b"", &whole, 4, Rift::default()), Err(Error::Truncated { .. })));
        assert!(decode(b"", &[], 1, Rift::default()).is_err());
        assert_eq!(decode(b"", &[], 0, Rift::default()).unwrap(), b"");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn any_steps_decode(source in prop::collection::vec(any::<u8>(), 20..60), steps in prop::collection::vec((0u8..4, any::<u8>(), 1u64..20, 2u64..40), 0..40)) {
            let mut done = 0u64;
            let steps: Vec<Step> = steps.into_iter().map(|(kind, byte, distance, length)| {
                let step = match kind {
                    0 => Step::Literal(byte),
                    1 if done > 0 => Step::Again(0, length),
                    2 => Step::Rift(length),
                    _ => Step::Back(distance, length),
                };
                if !matches!(step, Step::Literal(_)) { done += 1; }
                step
            }).collect();
            let target = expect(&source, &steps);
            prop_assert_eq!(decode(&source, &patch(&steps), target.len(), Rift::default()).unwrap(), target);
        }

        #[test]
        fn any_bytes_decode_or_fail(source in prop::collection::vec(any::<u8>(), 0..40), bytes in prop::collection::vec(any::<u8>(), 0..200), size in 0usize..5000) {
            if let Ok(target) = decode(&source, &bytes, size, Rift::default()) {
                prop_assert_eq!(target.len(), size);
            }
        }
    }
}

//! LZX Delta, the compression of PA19: LZX whose window begins with the old file.
//!
//! Bits come from 16-bit little-endian words, highest first. The stream is cut into chunks of 32 KiB of the target, each
//! with its compressed length (u16) in front; codes and blocks go on across chunks, bits left in a chunk's last word do not.
//!
//! Sources: Microsoft, MS-PATCH; Wine, `dlls/mspatcha/lzxd_dec.c` (facts not in the specification: the window's size
//! follows from the sizes of the files; before the window lie zeros; padding before uncompressed blocks).

use super::Error;

const WHAT: &str = "LZX Delta stream";
/// Bytes of the target in a chunk.
const CHUNK: usize = 0x8000;
const PRETREE_SYMBOLS: usize = 20;
const LENGTH_SYMBOLS: usize = 249;
const ALIGNED_SYMBOLS: usize = 8;
/// Position slots of the largest window, 32 MiB.
const MAX_SLOTS: usize = 290;
/// Match lengths from here on have more bits.
const LONG_LENGTH: usize = 257;
/// Bytes at the end of each chunk in which no call is translated.
const CALL_MARGIN: usize = 10;
/// Bytes of the target in which calls are translated.
const CALL_LIMIT: usize = 1 << 30;

/// Decodes `stream` into the `target_size` bytes that follow `source` in the window.
///
/// The caller has checked `target_size` against its limit. `large` allows windows of more than 8 MiB.
pub(super) fn decode(source: Vec<u8>, stream: &[u8], target_size: usize, large: bool) -> Result<Vec<u8>, Error> {
    let source_size = source.len();
    let max_window = if large { 32 << 20 } else { 8 << 20 };
    if source_size > max_window {
        return Err(Error::Unsupported { what: "LZX Delta of an old file that is larger than the window" });
    }
    let end =
        source_size.checked_add(target_size).ok_or(Error::Malformed { what: WHAT, why: "source and target exceed the address space" })?;
    let mut window = source;
    window.resize(end, 0);
    let mut decoder = Decoder {
        input: stream,
        chunk: &[],
        next: 0,
        bits: 0,
        count: 0,
        window,
        position: source_size,
        chunk_end: source_size,
        last: [1; 3],
        main: vec![0; 256usize.wrapping_add(slots(source_size, target_size, max_window).wrapping_mul(8))],
        lengths: vec![0; LENGTH_SYMBOLS],
    };
    let translation = decoder.translation()?;
    while decoder.position < end {
        decoder.block()?;
    }
    let mut target = decoder.window.split_off(source_size);
    if let Some(size) = translation {
        untranslate_calls(&mut target, size);
    }
    Ok(target)
}

/// Position slots of the window that holds both files: the smallest power of two from 128 KiB up that does.
fn slots(source_size: usize, target_size: usize, max_window: usize) -> usize {
    let total = source_size.next_multiple_of(CHUNK).saturating_add(target_size);
    let mut window = 1usize << 17;
    let mut slots = 34usize;
    while window < total && window < max_window {
        // Each slot of a window above 512 KiB has 128 KiB.
        slots = slots.saturating_add(if window < 1 << 19 { 2 } else { window >> 17 });
        window = window.saturating_mul(2);
    }
    slots.min(MAX_SLOTS)
}

/// A canonical code: within a length, codes grow with the symbol; shorter codes are smaller.
struct Code {
    /// For each length from 1 to 16: the first code behind that length, aligned to 16 bits, and what to add to a code of
    /// the length to get an index of `symbols`.
    lengths: [(u32, i32); 16],
    symbols: Vec<u16>,
}

impl Code {
    fn new(lengths: &[u8]) -> Result<Self, Error> {
        let mut symbols = Vec::new();
        let mut ends = [(0, 0); 16];
        let mut code = 0u32;
        for (length, slot) in (1u8..=16).zip(&mut ends) {
            code = code.wrapping_mul(2);
            let before = symbols.len() as i32;
            *slot = (0, before.wrapping_sub(code as i32));
            symbols.extend(lengths.iter().zip(0u16..).filter(|(one, _)| **one == length).map(|(_, symbol)| symbol));
            code = code.wrapping_add((symbols.len() as u32).wrapping_sub(before as u32));
            if code > 1 << length {
                return Err(Error::Malformed { what: WHAT, why: "more codes than their lengths allow" });
            }
            slot.0 = code << 16u8.wrapping_sub(length);
        }
        Ok(Self { lengths: ends, symbols })
    }
}

/// The state of a stream.
struct Decoder<'a> {
    /// What follows the chunk.
    input: &'a [u8],
    chunk: &'a [u8],
    /// Offset in the chunk of the next word; past its end, words are zeros.
    next: usize,
    /// Bits read from the chunk, the next one is bit `count - 1`.
    bits: u64,
    count: u32,
    window: Vec<u8>,
    position: usize,
    /// Window position at which the chunk ends.
    chunk_end: usize,
    last: [usize; 3],
    main: Vec<u8>,
    lengths: Vec<u8>,
}

impl Decoder<'_> {
    /// Opens the next chunk where the last one has given all its bytes.
    fn open_chunk(&mut self) -> Result<(), Error> {
        if self.position < self.chunk_end {
            return Ok(());
        }
        let truncated = Error::Truncated { what: WHAT };
        let Some((length, rest)) = self.input.split_first_chunk() else { return Err(truncated) };
        let Some((chunk, rest)) = rest.split_at_checked(u16::from_le_bytes(*length).into()) else { return Err(truncated) };
        (self.chunk, self.input) = (chunk, rest);
        (self.next, self.bits, self.count) = (0, 0, 0);
        self.chunk_end = self.position.saturating_add(CHUNK).min(self.window.len());
        Ok(())
    }

    /// Makes sure that more than 32 bits are there.
    fn fill(&mut self) {
        while self.count <= 32 {
            let word = self.chunk.get(self.next..).and_then(<[u8]>::first_chunk);
            self.bits = self.bits << 16 | u64::from(word.map_or(0, |word| u16::from_le_bytes(*word)));
            self.next = self.next.saturating_add(2);
            self.count = self.count.wrapping_add(16);
        }
    }

    /// Reads a number of `count` bits, at most 24.
    fn read(&mut self, count: u32) -> usize {
        self.fill();
        self.count = self.count.wrapping_sub(count);
        (self.bits >> self.count) as usize & (1usize << count).wrapping_sub(1)
    }

    /// Reads a symbol.
    fn symbol(&mut self, code: &Code) -> Result<usize, Error> {
        self.fill();
        let bits = (self.bits >> self.count.wrapping_sub(16)) as u32 & 0xFFFF;
        for (length, (end, offset)) in (1u32..).zip(code.lengths) {
            if bits < end {
                self.count = self.count.wrapping_sub(length);
                let index = (bits >> 16u32.wrapping_sub(length)) as i32;
                return code
                    .symbols
                    .get(index.wrapping_add(offset) as usize)
                    .map(|&symbol| symbol.into())
                    .ok_or(Error::Malformed { what: WHAT, why: "an unknown code" });
            }
        }
        Err(Error::Malformed { what: WHAT, why: "an unknown code" })
    }

    /// Reads the stream's head: whether calls are translated, and for which file size.
    fn translation(&mut self) -> Result<Option<i32>, Error> {
        if self.window.len() == self.position {
            return Ok(None);
        }
        self.open_chunk()?;
        if self.read(1) == 0 {
            return Ok(None);
        }
        let high = self.read(16);
        Ok(Some((high << 16 | self.read(16)) as u32 as i32))
    }

    /// Decodes a block.
    fn block(&mut self) -> Result<(), Error> {
        self.open_chunk()?;
        let kind = self.read(3);
        let high = self.read(8);
        let size = high << 16 | self.read(16);
        let end = self.position.saturating_add(size).min(self.window.len());
        if size == 0 {
            return Err(Error::Malformed { what: WHAT, why: "a block of nothing" });
        }
        let mut aligned = [0u8; ALIGNED_SYMBOLS];
        match kind {
            1 => {}
            2 => aligned.iter_mut().for_each(|length| *length = self.read(3) as u8),
            3 => return self.uncompressed(end),
            _ => return Err(Error::Malformed { what: WHAT, why: "a block of unknown type" }),
        }
        let mut main = std::mem::take(&mut self.main);
        let (literals, matches) = main.split_at_mut(256);
        self.read_lengths(literals)?;
        self.read_lengths(matches)?;
        let main_code = Code::new(&main)?;
        self.main = main;
        let mut lengths = std::mem::take(&mut self.lengths);
        self.read_lengths(&mut lengths)?;
        let length_code = Code::new(&lengths)?;
        self.lengths = lengths;
        let aligned = if kind == 2 { Some(Code::new(&aligned)?) } else { None };
        while self.position < end {
            self.open_chunk()?;
            let symbol = self.symbol(&main_code)?;
            let Some(class) = symbol.checked_sub(256) else {
                if let Some(byte) = self.window.get_mut(self.position) {
                    *byte = symbol as u8;
                }
                self.position = self.position.wrapping_add(1);
                continue;
            };
            let mut length = (class & 7).wrapping_add(2);
            if length == 9 {
                length = self.symbol(&length_code)?.wrapping_add(9);
            }
            let distance = self.distance(class >> 3, aligned.as_ref())?;
            if length == LONG_LENGTH {
                length = self.long_length();
            }
            self.copy(distance, length.min(end.wrapping_sub(self.position)));
        }
        Ok(())
    }

    /// Reads code lengths as differences to those before, modulo 17, or as runs.
    fn read_lengths(&mut self, lengths: &mut [u8]) -> Result<(), Error> {
        let mut pretree = [0u8; PRETREE_SYMBOLS];
        pretree.iter_mut().for_each(|length| *length = self.read(4) as u8);
        let pretree = Code::new(&pretree)?;
        let mut rest = lengths.iter_mut();
        while rest.len() > 0 {
            let mut symbol = self.symbol(&pretree)?;
            let run = match symbol {
                17 => self.read(4).wrapping_add(4),
                18 => self.read(5).wrapping_add(20),
                19 => {
                    let run = self.read(1).wrapping_add(4);
                    symbol = self.symbol(&pretree)?;
                    if symbol > 16 {
                        return Err(Error::Malformed { what: WHAT, why: "a run of runs" });
                    }
                    run
                }
                _ => 1,
            };
            let mut value = None;
            for length in rest.by_ref().take(run) {
                let zeros = symbol > 16;
                let new = if zeros { 0 } else { length.wrapping_add(17).wrapping_sub(symbol as u8) % 17 };
                *length = *value.get_or_insert(new);
            }
        }
        Ok(())
    }

    /// Reads the distance of a position slot, and remembers it.
    fn distance(&mut self, slot: usize, aligned: Option<&Code>) -> Result<usize, Error> {
        if let Some(&distance) = self.last.get(slot) {
            self.last.swap(0, slot);
            return Ok(distance);
        }
        let (base, bits) = match slot {
            3 => (3, 0),
            4..38 => {
                let bits = (slot as u32 >> 1).wrapping_sub(1);
                ((slot & 1 | 2) << bits, bits)
            }
            _ => (slot.wrapping_sub(34) << 17, 17),
        };
        let low = match aligned {
            Some(code) if bits >= 3 => {
                let high = if bits > 3 { self.read(bits.wrapping_sub(3)) << 3 } else { 0 };
                high | self.symbol(code)?
            }
            _ if bits > 0 => self.read(bits),
            _ => 0,
        };
        let distance = base.wrapping_add(low).wrapping_sub(2);
        self.last = [distance, self.last[0], self.last[1]];
        Ok(distance)
    }

    /// Reads a match length of 257 or more.
    fn long_length(&mut self) -> usize {
        let (bits, base) = if self.read(1) == 0 {
            (8, 0x101)
        } else if self.read(1) == 0 {
            (10, 0x201)
        } else if self.read(1) == 0 {
            (12, 0x601)
        } else {
            (15, 0x101)
        };
        self.read(bits).wrapping_add(base)
    }

    /// Copies `length` bytes from `distance` bytes before the position; before the window lie zeros.
    fn copy(&mut self, distance: usize, length: usize) {
        for _ in 0..length {
            let byte = self.position.checked_sub(distance).and_then(|from| self.window.get(from)).copied().unwrap_or(0);
            if let Some(place) = self.window.get_mut(self.position) {
                *place = byte;
            }
            self.position = self.position.wrapping_add(1);
        }
    }

    /// Copies an uncompressed block: padding to a word, the last distances, its bytes, padding to an even number of them.
    fn uncompressed(&mut self, end: usize) -> Result<(), Error> {
        // The padding of a stream that is already aligned is none, or a word of zeros; a distance is not zero.
        self.fill();
        self.count &= !15;
        if self.bits >> self.count.wrapping_sub(16) & 0xFFFF == 0 {
            self.count = self.count.wrapping_sub(16);
        }
        let mut last = [0; 3];
        for distance in &mut last {
            let low = self.read(16);
            *distance = self.read(16) << 16 | low;
        }
        self.last = last;
        // Words that were read ahead go back.
        self.next = self.next.saturating_sub((self.count >> 4).wrapping_mul(2) as usize);
        (self.bits, self.count) = (0, 0);
        let size = end.saturating_sub(self.position);
        while self.position < end {
            self.open_chunk()?;
            let length = end.min(self.chunk_end).saturating_sub(self.position);
            let bytes = self.chunk.get(self.next..).and_then(|rest| rest.get(..length)).ok_or(Error::Truncated { what: WHAT })?;
            if let Some(into) = self.window.get_mut(self.position..).and_then(|rest| rest.get_mut(..length)) {
                into.copy_from_slice(bytes);
            }
            self.next = self.next.wrapping_add(length);
            self.position = self.position.wrapping_add(length);
        }
        self.next = self.next.wrapping_add(size & 1);
        Ok(())
    }
}

/// Undoes the translation of calls, chunk by chunk: an operand of E8 in `-position..size` is an absolute one.
fn untranslate_calls(target: &mut [u8], size: i32) {
    let end = target.len().min(CALL_LIMIT);
    for (index, chunk) in target.get_mut(..end).unwrap_or_default().chunks_mut(CHUNK).enumerate() {
        let mut offset = 0usize;
        while offset < chunk.len().saturating_sub(CALL_MARGIN) {
            if chunk.get(offset) != Some(&0xE8) {
                offset = offset.wrapping_add(1);
                continue;
            }
            let position = index.wrapping_mul(CHUNK).wrapping_add(offset) as i32;
            if let Some(operand) = chunk.get_mut(offset.wrapping_add(1)..).and_then(<[u8]>::first_chunk_mut) {
                let absolute = i32::from_le_bytes(*operand);
                if absolute >= position.wrapping_neg() && absolute < size {
                    let relative = if absolute >= 0 { absolute.wrapping_sub(position) } else { absolute.wrapping_add(size) };
                    *operand = relative.to_le_bytes();
                }
            }
            offset = offset.wrapping_add(5);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes bits as LZX has them.
    #[derive(Default)]
    struct BitWriter {
        bits: Vec<bool>,
    }

    impl BitWriter {
        fn bits(&mut self, value: u32, count: u32) -> &mut Self {
            self.bits.extend((0..count).rev().map(|bit| value >> bit & 1 != 0));
            self
        }

        fn words(&self) -> Vec<u8> {
            let words =
                self.bits.chunks(16).map(|word| (0..16).fold(0, |value: u16, bit| value << 1 | u16::from(word.get(bit) == Some(&true))));
            words.flat_map(u16::to_le_bytes).collect()
        }
    }

    fn chunk(bytes: Vec<u8>) -> Vec<u8> {
        [(bytes.len() as u16).to_le_bytes().to_vec(), bytes].concat()
    }

    /// A stream of one uncompressed block.
    pub fn uncompressed_stream(target: &[u8]) -> Vec<u8> {
        let mut head = BitWriter::default();
        head.bits(0, 1).bits(3, 3).bits(target.len() as u32, 24);
        let mut chunks = target.chunks(CHUNK);
        let mut first = head.words();
        first.extend([1, 0, 0, 0].repeat(3));
        first.extend(chunks.next().unwrap_or_default());
        if target.len() & 1 != 0 && target.len() < CHUNK {
            first.push(0);
        }
        let mut stream = chunk(first);
        chunks.for_each(|bytes| stream.extend(chunk(bytes.to_vec())));
        stream
    }

    /// Writes the lengths of a code whose symbols all have 0, or the length of [`flat`].
    fn lengths(writer: &mut BitWriter, count: usize, used: &[usize], length: u32) {
        // Pretree: symbol 0 (no change) and the symbol of `length`, one bit each.
        let symbol = 17 - length;
        (0..20).for_each(|one| _ = writer.bits(u32::from(one == 0 || one == symbol), 4));
        (0..count).for_each(|one| _ = writer.bits(u32::from(used.contains(&one)), 1));
    }

    /// A stream of one block of type 1 or 2: main symbols with two bits each, then what follows them.
    fn compressed_stream(kind: u32, size: u32, mut used: [usize; 4], symbols: &[(usize, u32, u32)], translation: Option<u32>) -> Vec<u8> {
        used.sort_unstable();
        let mut writer = BitWriter::default();
        match translation {
            Some(size) => writer.bits(1, 1).bits(size >> 16, 16).bits(size & 0xFFFF, 16),
            None => writer.bits(0, 1),
        };
        writer.bits(kind, 3).bits(size, 24);
        if kind == 2 {
            (0..8).for_each(|_| _ = writer.bits(3, 3));
        }
        lengths(&mut writer, 256, &used, 2);
        let matches: Vec<usize> = used.iter().filter_map(|symbol| symbol.checked_sub(256)).collect();
        lengths(&mut writer, 34 * 8, &matches, 2);
        // Lengths: the first two symbols with one bit each.
        lengths(&mut writer, LENGTH_SYMBOLS, &[0, 248], 1);
        for &(symbol, extra, count) in symbols {
            let code = used.iter().position(|&one| one == symbol).unwrap();
            writer.bits(code as u32, 2).bits(extra, count);
        }
        chunk(writer.words())
    }

    #[test]
    fn uncompressed_blocks_cross_chunks() {
        for size in [0, 1, 2, 301, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let target: Vec<u8> = (0..size).map(|index| (index % 253) as u8).collect();
            assert!(decode(b"old".to_vec(), &uncompressed_stream(&target), size, false).unwrap() == target, "{size}");
        }
    }

    #[test]
    fn compressed_blocks_decode() {
        // Symbols: `a`, a match of 2 at the last distance, one of 5 at slot 8, one of 9 and more at slot 5.
        let used = [97, 256, 256 + 8 * 8 + 3, 256 + 5 * 8 + 7];
        // Slot 8: 3 bits behind 16, less 2; in a block of type 2 the aligned code has them. Slot 5: a bit behind 6, less 2.
        let symbols = [(used[0], 0, 0), (used[1], 0, 0), (used[2], 0b101, 3), (used[0], 0, 0), (used[3], 0b00, 2)];
        let old = [&b"0123456789".repeat(2)[..], &b"\0\0"[..]].concat();
        // Position 25 less 19: old[6..11].
        let expected = [&b"aaa"[..], &[old[6], old[7], old[8], old[9], old[10]], b"a"].concat();
        for kind in [1, 2] {
            let stream = compressed_stream(kind, 18, used, &symbols, None);
            let decoded = decode(old.clone(), &stream, 18, false).unwrap();
            assert_eq!(decoded[..9], expected, "{kind}");
            // The last match repeats what is four bytes back.
            assert_eq!(decoded[9..], (0..9).map(|index| decoded[5 + index]).collect::<Vec<_>>(), "{kind}");
        }
    }

    #[test]
    fn long_matches_have_more_bits() {
        let used = [97, 98, 99, 256 + 7];
        // A bit for the longest of the plain lengths, the prefix of the long one, its bits.
        for (extra, count, length) in [
            (0b10_0000_0011, 10, 0x104),
            (0b1_1000_0000_0001, 13, 0x202),
            (0b1110_0000_0000_0010, 16, 0x603),
            (0b111_1000_0000_0000_1000, 19, 0x109),
        ] {
            let size = length as u32 + 1;
            let stream = compressed_stream(1, size, used, &[(97, 0, 0), (used[3], extra, count)], None);
            assert_eq!(decode(Vec::new(), &stream, size as usize, false).unwrap(), vec![97; size as usize], "{length:x}");
        }
    }

    #[test]
    fn before_the_window_lie_zeros() {
        // A match of 9 at slot 9, distance 22, at the start of a window without an old file.
        let used = [97, 98, 99, 256 + 9 * 8 + 7];
        let stream = compressed_stream(1, 9, used, &[(used[3], 0, 4)], None);
        assert_eq!(decode(Vec::new(), &stream, 9, false).unwrap(), [0; 9]);
    }

    #[test]
    fn calls_are_translated_back() {
        let used = [0xE8, 0, 1, 2];
        let mut symbols = vec![(0, 0, 0), (0xE8, 0, 0), (1, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)];
        symbols.extend([(2, 0, 0); 14]);
        let target = decode(Vec::new(), &compressed_stream(1, 20, used, &symbols, Some(20)), 20, false).unwrap();
        assert_eq!(target[..6], [0, 0xE8, 0, 0, 0, 0]);
        let target = decode(Vec::new(), &compressed_stream(1, 20, used, &symbols, None), 20, false).unwrap();
        assert_eq!(target[..6], [0, 0xE8, 1, 0, 0, 0]);
    }

    #[test]
    fn damaged_streams_are_refused() {
        assert!(matches!(decode(Vec::new(), b"", 1, false), Err(Error::Truncated { .. })));
        assert!(matches!(decode(Vec::new(), &[0xFF, 0xFF, 1], 1, false), Err(Error::Truncated { .. })));
        assert!(matches!(decode(vec![0; (8 << 20) + 1], &[2, 0, 0, 0], 1, false), Err(Error::Unsupported { .. })));
        // Types 0 and 4, a block of nothing, codes of nothing.
        for words in [[0x00, 0x00, 0x10, 0x00], [0x00, 0x40, 0x10, 0x00], [0x00, 0x10, 0x00, 0x00], [0x00, 0x10, 0x10, 0x00]] {
            assert!(matches!(decode(Vec::new(), &chunk(words.to_vec()), 9, false), Err(Error::Malformed { .. })), "{words:?}");
        }
        assert!(decode(Vec::new(), &uncompressed_stream(b"12345678")[..20], 8, false).is_err());
    }

    #[test]
    fn the_window_has_the_slots_of_its_size() {
        let sizes = [1 << 17, 1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22, 1 << 23];
        assert_eq!(sizes.map(|size| slots(0, size, 8 << 20)), [34, 36, 38, 42, 50, 66, 98]);
        assert_eq!((slots(0, 1 << 24, 8 << 20), slots(0, 1 << 25, 32 << 20)), (98, 290));
        // The old file counts in whole chunks.
        assert_eq!((slots(1, (1 << 17) - CHUNK, 8 << 20), slots(1, (1 << 17) - CHUNK + 1, 8 << 20)), (34, 36));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_decode_or_fail(source in prop::collection::vec(any::<u8>(), 0..100), bytes in prop::collection::vec(any::<u8>(), 0..300), size in 0usize..5000) {
            if let Ok(target) = decode(source, &chunk(bytes), size, false) {
                prop_assert_eq!(target.len(), size);
            }
        }
    }
}

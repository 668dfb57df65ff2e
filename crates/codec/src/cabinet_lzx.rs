//! LZX as cabinets use it: LZ77 with Huffman codes, windows of 32 KiB to 2 MiB, and the x86 call translation.
//!
//! Sources: [MS-PATCH] 2.1 to 2.6 (the same coding with larger windows), the LZX specification in the Cabinet SDK, and
//! the values that real cabinets show. A stream is a row of *frames*: 32 KiB of output each, the last one shorter, and
//! one frame is one data block of the cabinet. Independently of the frames it is a row of *blocks* (verbatim, aligned
//! offset, uncompressed). Bits are taken from 16-bit little-endian words, highest bit first; every frame begins on a new word.
//!
//! Why not the crate `lzxd` 0.2.7: its E8 translation leaves a call to absolute address 0 wrong, it accepts matches that
//! reach before the first byte, hostile repeat offsets overflow its arithmetic, and it took 2.8 times as long as 7-Zip.

use crate::window::{FRAME, OutsideWindow, Window};

/// Symbols of the main tree that are literals.
const LITERALS: usize = 256;
/// Symbols of the length tree.
const LENGTHS: usize = 249;
/// Symbols of the main tree of the largest window: 50 position slots with 8 length headers each.
const MAIN_SYMBOLS: usize = LITERALS + 50 * 8;
/// Longest code in bits.
const LONGEST_CODE: usize = 16;
/// Frames that the x86 translation applies to: the first gigabyte.
const TRANSLATED_FRAMES: u32 = 0x8000;
/// Bytes at the end of a frame in which no call begins.
const TRANSLATION_TAIL: usize = 10;

/// Why an LZX frame cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CabinetLzxError {
    /// Cabinets know windows of 15 to 21 bits.
    #[error("an LZX window of {0} bits: cabinets know 15 to 21")]
    WindowBits(u8),
    /// A frame may decode to 32 KiB at most, and nothing follows a shorter one.
    #[error("an LZX frame of {0} bytes: only the last frame differs from 32768, and it is shorter")]
    FrameLength(usize),
    /// The frame needs more input than there is.
    #[error("the LZX frame ends too early")]
    EndOfInput,
    /// Block type 0 or above 3, or a block of no bytes.
    #[error("LZX block of type {kind} and {length} bytes")]
    Block {
        /// The type in the block's header.
        kind: u32,
        /// The length in the block's header, in bytes of output.
        length: u32,
    },
    /// Code lengths that are no complete prefix code.
    #[error("the code lengths of an LZX tree are no prefix code")]
    Tree,
    /// A match before the first byte, beyond the window, or past the end of its frame or block.
    #[error("an LZX match outside of the window, its block or its frame")]
    Match,
}

impl From<OutsideWindow> for CabinetLzxError {
    fn from(OutsideWindow: OutsideWindow) -> Self {
        Self::Match
    }
}

/// Bits of one frame.
#[derive(Clone, Copy)]
struct Bits<'a> {
    input: &'a [u8],
    /// Bytes of `input` that were moved into `buffer`; counts whole words, so it can pass the end by one.
    position: usize,
    /// The next bits, from the highest bit on. Behind the `count` bits that were taken in stand those that follow in the
    /// input, as far as they were read, or zeros.
    buffer: u64,
    /// Bits of `buffer` that were taken in.
    count: u32,
}

/// The four 16-bit little-endian words of `bytes`, the first one highest.
#[inline]
fn four_words(bytes: [u8; 8]) -> u64 {
    const SECOND: u64 = 0x0000_FFFF_0000_FFFF;
    let pairs = u64::from_le_bytes(bytes).rotate_left(32);
    (pairs & SECOND) << 16 | (pairs >> 16) & SECOND
}

impl<'a> Bits<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0, buffer: 0, count: 0 }
    }

    /// Takes in as many words as there is room for: at least 48 bits are there afterwards, unless the input ends.
    #[inline]
    fn refill(&mut self) {
        if let Some(bytes) = self.input.get(self.position..).and_then(<[u8]>::first_chunk) {
            // Of the last word what has no room is read again next time, to the same place.
            self.buffer |= four_words(*bytes) >> self.count;
            let words = (63 - self.count) / 16;
            self.count += 16 * words;
            self.position += 2 * words as usize;
        } else {
            // By value: a loop can keep the bits in registers.
            *self = self.refilled_at_end();
        }
    }

    #[cold]
    fn refilled_at_end(mut self) -> Self {
        while self.count < 48 {
            let word = match self.input.get(self.position..) {
                Some([low, high, ..]) => u16::from_le_bytes([*low, *high]),
                Some([low]) => u16::from(*low),
                _ => break,
            };
            self.buffer |= u64::from(word) << (48 - self.count);
            self.count += 16;
            self.position += 2;
        }
        self
    }

    /// The next `length` bits (0 to 32), without taking them.
    #[inline]
    fn peek(&self, length: u32) -> u32 {
        (self.buffer >> 1 >> (63 - length)) as u32
    }

    #[inline]
    fn take(&mut self, length: u32) -> Result<(), CabinetLzxError> {
        self.count = self.count.checked_sub(length).ok_or(CabinetLzxError::EndOfInput)?;
        self.buffer <<= length;
        Ok(())
    }

    /// Takes `length` bits (0 to 32) of those that are there.
    #[inline]
    fn next(&mut self, length: u32) -> Result<u32, CabinetLzxError> {
        let value = self.peek(length);
        self.take(length)?;
        Ok(value)
    }

    /// Takes `length` bits (0 to 32).
    #[inline]
    fn read(&mut self, length: u32) -> Result<u32, CabinetLzxError> {
        self.refill();
        self.next(length)
    }

    /// Ends the bit stream before an uncompressed block: 1 to 16 bits of padding up to the next word.
    fn align(&mut self) -> Result<(), CabinetLzxError> {
        self.refill();
        self.take(match self.count % 16 {
            0 => 16,
            partial => partial,
        })?;
        self.position -= self.count as usize / 8;
        (self.buffer, self.count) = (0, 0);
        Ok(())
    }

    /// Takes bytes after [`Self::align`].
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], CabinetLzxError> {
        let bytes = self.input.get(self.position..).and_then(|rest| rest.get(..length)).ok_or(CabinetLzxError::EndOfInput)?;
        self.position += length;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, CabinetLzxError> {
        Ok(self.bytes(4)?.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }
}

/// A canonical Huffman code: shorter codes first, and in symbol order among equal lengths.
struct Code {
    /// By the next `lookup_bits` bits: the symbol and the length of its code; 0 for longer codes.
    lookup: Vec<u16>,
    lookup_bits: u32,
    /// By length: the first 16-bit value beyond the codes of that length, and what to add to the code for its index in `symbols`.
    limits: [(u32, u32); LONGEST_CODE + 1],
    symbols: Vec<u16>,
}

impl Code {
    fn new(lookup_bits: u32) -> Self {
        Self { lookup: Vec::new(), lookup_bits, limits: [(0, 0); LONGEST_CODE + 1], symbols: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// Makes the code of `lengths`, by symbol, 0 for no code. All zero gives an empty code.
    fn build(&mut self, lengths: &[u8]) -> Result<(), CabinetLzxError> {
        let mut counts = [0_u32; LONGEST_CODE + 1];
        for length in lengths {
            *counts.get_mut(usize::from(*length)).ok_or(CabinetLzxError::Tree)? += 1;
        }
        counts[0] = 0;
        self.symbols.clear();
        let used: u32 = counts.iter().sum();
        if used == 0 {
            return Ok(());
        }
        // `code`: the next unused code, at the left of 16 bits.
        let (mut code, mut index) = (0_u32, 0_u32);
        let mut next = [0_usize; LONGEST_CODE + 1];
        for length in 1..=LONGEST_CODE {
            let shift = LONGEST_CODE - length;
            self.limits[length].1 = index.wrapping_sub(code >> shift);
            next[length] = index as usize;
            code += counts[length] << shift;
            index += counts[length];
            self.limits[length].0 = code;
        }
        if code != 1 << LONGEST_CODE {
            self.symbols.clear();
            return Err(CabinetLzxError::Tree);
        }
        self.symbols.resize(used as usize, 0);
        for (symbol, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let place = &mut next[usize::from(*length)];
            self.symbols[*place] = symbol as u16;
            *place += 1;
        }
        self.lookup.clear();
        self.lookup.reserve(1 << self.lookup_bits);
        for symbol in &self.symbols {
            let length = u32::from(lengths[usize::from(*symbol)]);
            if length > self.lookup_bits {
                break;
            }
            let entry = symbol << 5 | length as u16;
            self.lookup.extend(std::iter::repeat_n(entry, 1 << (self.lookup_bits - length)));
        }
        self.lookup.resize(1 << self.lookup_bits, 0);
        Ok(())
    }

    /// Takes the next symbol. The caller has called [`Bits::refill`].
    #[inline]
    fn symbol(&self, bits: &mut Bits) -> Result<usize, CabinetLzxError> {
        let entry = self.lookup.get(bits.peek(self.lookup_bits) as usize).copied().unwrap_or(0);
        if entry != 0 {
            bits.take(u32::from(entry & 31))?;
            return Ok(usize::from(entry >> 5));
        }
        let value = bits.peek(16);
        for length in self.lookup_bits as usize + 1..=LONGEST_CODE {
            let (limit, to_index) = self.limits[length];
            if value < limit {
                bits.take(length as u32)?;
                let index = (value >> (LONGEST_CODE - length)).wrapping_add(to_index);
                return self.symbols.get(index as usize).map(|symbol| usize::from(*symbol)).ok_or(CabinetLzxError::Tree);
            }
        }
        Err(CabinetLzxError::Tree)
    }
}

/// What is common to the rest of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Verbatim,
    AlignedOffset,
    Uncompressed,
}

/// Decodes the frames of one folder in order.
pub struct CabinetLzxDecoder {
    window: Window,
    /// Symbols of the main tree: 256 literals and 8 for each position slot of the window.
    main_symbols: usize,
    /// Code lengths are sent as differences to those of the block before.
    main_lengths: [u8; MAIN_SYMBOLS],
    length_lengths: [u8; LENGTHS],
    main: Code,
    length: Code,
    aligned: Code,
    pretree: Code,
    /// The three latest match distances, latest first.
    repeated: [u32; 3],
    kind: Kind,
    /// Bytes of the current block that are still to be decoded.
    block_left: usize,
    /// The current uncompressed block has an odd length: a byte of padding follows it.
    padding: bool,
    /// Frames decoded.
    frames: u32,
    /// Size of the x86 code as the encoder stated it: the operand of call translation. 0 for no translation.
    translation_size: i32,
}

impl CabinetLzxDecoder {
    /// A decoder at the start of a folder, with a window of `1 << window_bits` bytes.
    ///
    /// # Errors
    /// [`CabinetLzxError::WindowBits`] unless `window_bits` is 15 to 21.
    pub fn new(window_bits: u8) -> Result<Self, CabinetLzxError> {
        let slots = match window_bits {
            15..=19 => usize::from(window_bits) * 2,
            20 => 42,
            21 => 50,
            _ => return Err(CabinetLzxError::WindowBits(window_bits)),
        };
        Ok(Self {
            window: Window::new(window_bits),
            main_symbols: LITERALS + 8 * slots,
            main_lengths: [0; MAIN_SYMBOLS],
            length_lengths: [0; LENGTHS],
            main: Code::new(11),
            length: Code::new(9),
            aligned: Code::new(7),
            pretree: Code::new(8),
            repeated: [1; 3],
            kind: Kind::Verbatim,
            block_left: 0,
            padding: false,
            frames: 0,
            translation_size: 0,
        })
    }

    /// Decodes the next frame into `output`, which has the length that the cabinet states.
    ///
    /// # Errors
    /// See [`CabinetLzxError`]. The decoder is of no use afterwards.
    pub fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), CabinetLzxError> {
        if !self.window.start_frame(output.len()) {
            return Err(CabinetLzxError::FrameLength(output.len()));
        }
        let mut bits = Bits::new(input);
        if self.block_left == 0 && std::mem::take(&mut self.padding) {
            bits.position = 1;
        }
        if self.frames == 0 && bits.read(1)? == 1 {
            self.translation_size = bits.read(32)?.cast_signed();
        }
        if self.block_left > 0 && self.kind == Kind::Uncompressed {
            self.uncompressed(&mut bits)?;
        }
        while self.window.left() > 0 {
            if self.block_left == 0 {
                self.start_block(&mut bits)?;
            }
            match self.kind {
                Kind::Uncompressed => self.uncompressed(&mut bits)?,
                Kind::Verbatim => self.compressed::<false>(&mut bits)?,
                Kind::AlignedOffset => self.compressed::<true>(&mut bits)?,
            }
        }
        output.copy_from_slice(self.window.frame());
        if self.translation_size != 0 && self.frames < TRANSLATED_FRAMES {
            translate_calls(output, (self.frames * FRAME as u32).cast_signed(), self.translation_size);
        }
        self.frames = self.frames.saturating_add(1);
        Ok(())
    }

    fn start_block(&mut self, bits: &mut Bits) -> Result<(), CabinetLzxError> {
        let kind = bits.read(3)?;
        let length = bits.read(24)?;
        self.kind = match kind {
            1 => Kind::Verbatim,
            2 => Kind::AlignedOffset,
            3 => Kind::Uncompressed,
            _ => return Err(CabinetLzxError::Block { kind, length }),
        };
        if length == 0 {
            return Err(CabinetLzxError::Block { kind, length });
        }
        self.block_left = length as usize;
        if self.kind == Kind::Uncompressed {
            self.padding = length % 2 == 1;
            bits.align()?;
            self.repeated = [bits.u32()?, bits.u32()?, bits.u32()?];
            return Ok(());
        }
        if self.kind == Kind::AlignedOffset {
            let mut lengths = [0; 8];
            for length in &mut lengths {
                *length = bits.read(3)? as u8;
            }
            self.aligned.build(&lengths)?;
            if self.aligned.is_empty() {
                return Err(CabinetLzxError::Tree);
            }
        }
        let (literals, matches) = self.main_lengths.split_at_mut(LITERALS);
        read_lengths(bits, &mut self.pretree, literals)?;
        read_lengths(bits, &mut self.pretree, matches.get_mut(..self.main_symbols - LITERALS).ok_or(CabinetLzxError::Tree)?)?;
        self.main.build(&self.main_lengths)?;
        if self.main.is_empty() {
            return Err(CabinetLzxError::Tree);
        }
        read_lengths(bits, &mut self.pretree, &mut self.length_lengths)?;
        self.length.build(&self.length_lengths)
    }

    /// Copies what of an uncompressed block lies in this frame.
    fn uncompressed(&mut self, bits: &mut Bits) -> Result<(), CabinetLzxError> {
        let length = self.block_left.min(self.window.left());
        self.window.extend(bits.bytes(length)?);
        self.block_left -= length;
        if self.block_left == 0 && self.padding && bits.position < bits.input.len() {
            // Where the block ends with its frame, the padding may stand in the next one.
            bits.position += 1;
            self.padding = false;
        }
        Ok(())
    }

    /// Decodes what of a compressed block lies in this frame.
    fn compressed<const ALIGNED: bool>(&mut self, bits: &mut Bits) -> Result<(), CabinetLzxError> {
        let length = self.block_left.min(self.window.left());
        let mut run = self.window.run(length);
        let mut bits_left = *bits;
        while run.left() > 0 {
            bits_left.refill();
            let symbol = self.main.symbol(&mut bits_left)?;
            let Some(matched) = symbol.checked_sub(LITERALS) else {
                run.push(symbol as u8);
                continue;
            };
            let mut length = matched % 8 + 2;
            if length == 9 {
                if self.length.is_empty() {
                    return Err(CabinetLzxError::Tree);
                }
                length += self.length.symbol(&mut bits_left)?;
                bits_left.refill();
            }
            let distance = match matched / 8 {
                slot @ 0..=2 => {
                    self.repeated.swap(0, slot);
                    self.repeated[0]
                }
                slot => {
                    // At most 17 bits, and 16 of a main symbol before them: they are there.
                    let (base, extra) = position_slot(slot as u32);
                    let footer = if ALIGNED && extra >= 3 {
                        let high = bits_left.next(extra - 3)? << 3;
                        high | self.aligned.symbol(&mut bits_left)? as u32
                    } else {
                        bits_left.next(extra)?
                    };
                    let distance = base + footer - 2;
                    self.repeated = [distance, self.repeated[0], self.repeated[1]];
                    distance
                }
            };
            run.copy(distance as usize, length)?;
        }
        *bits = bits_left;
        self.window.advance(length);
        self.block_left -= length;
        Ok(())
    }
}

/// First distance of a position slot from 3 on, plus 2, and the bits that follow its symbol.
#[inline]
fn position_slot(slot: u32) -> (u32, u32) {
    match slot {
        0..=3 => (slot, 0),
        4..=35 => {
            let extra = slot / 2 - 1;
            ((2 + slot % 2) << extra, extra)
        }
        _ => ((slot - 34) << 17, 17),
    }
}

/// Reads the code lengths of a part of a tree, sent as differences to `lengths`, by way of a code of their own.
fn read_lengths(bits: &mut Bits, pretree: &mut Code, lengths: &mut [u8]) -> Result<(), CabinetLzxError> {
    let mut code_lengths = [0; 20];
    for length in &mut code_lengths {
        *length = bits.read(4)? as u8;
    }
    pretree.build(&code_lengths)?;
    let symbol = |bits: &mut Bits| {
        bits.refill();
        if pretree.is_empty() { Err(CabinetLzxError::Tree) } else { pretree.symbol(bits) }
    };
    let difference = |old: u8, symbol: usize| -> Result<u8, CabinetLzxError> {
        // Old lengths and symbols are 0 to 16.
        if symbol > LONGEST_CODE { Err(CabinetLzxError::Tree) } else { Ok(((usize::from(old) + 17 - symbol) % 17) as u8) }
    };
    let mut index = 0;
    while let Some(old) = lengths.get(index).copied() {
        let (run, length) = match symbol(bits)? {
            17 => (bits.read(4)? + 4, 0),
            18 => (bits.read(5)? + 20, 0),
            19 => {
                let run = bits.read(1)? + 4;
                (run, difference(old, symbol(bits)?)?)
            }
            code => (1, difference(old, code)?),
        };
        let end = index + run as usize;
        lengths.get_mut(index..end).ok_or(CabinetLzxError::Tree)?.fill(length);
        index = end;
    }
    Ok(())
}

/// Undoes the encoder's x86 translation: the operand of each `call` (E8) was made absolute, so equal targets look equal.
fn translate_calls(frame: &mut [u8], frame_offset: i32, size: i32) {
    let end = frame.len().saturating_sub(TRANSLATION_TAIL);
    let mut index = 0;
    while let Some(found) = frame.get(index..end).and_then(|rest| memchr::memchr(0xE8, rest)) {
        index += found;
        let position = frame_offset.wrapping_add(index as i32);
        let Some(operand) = frame.get_mut(index + 1..).and_then(|rest| rest.first_chunk_mut::<4>()) else { return };
        let absolute = i32::from_le_bytes(*operand);
        if absolute >= position.wrapping_neg() && absolute < size {
            let relative = if absolute >= 0 { absolute.wrapping_sub(position) } else { absolute.wrapping_add(size) };
            *operand = relative.to_le_bytes();
        }
        index += 5;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of one uncompressed block, without translation: the header's bits, then repeat offsets and bytes.
    fn uncompressed(length: u32, data: &[u8], translation: Option<i32>) -> Vec<u8> {
        let mut bits = String::new();
        match translation {
            Some(size) => bits.push_str(&format!("1{size:032b}")),
            None => bits.push('0'),
        }
        bits.push_str(&format!("011{length:024b}"));
        let padded = (bits.len() + 1).next_multiple_of(16);
        bits.push_str(&"0".repeat(padded - bits.len()));
        let words = bits.as_bytes().chunks(16).map(|word| u16::from_str_radix(std::str::from_utf8(word).unwrap(), 2).unwrap());
        let mut stream: Vec<u8> = words.flat_map(u16::to_le_bytes).collect();
        stream.extend([1_u32, 1, 1].into_iter().flat_map(u32::to_le_bytes));
        stream.extend_from_slice(data);
        stream
    }

    #[test]
    fn uncompressed_blocks_are_copied() {
        let mut output = [0; 3];
        CabinetLzxDecoder::new(15).unwrap().decode(&uncompressed(3, b"abc\0", None), &mut output).unwrap();
        assert_eq!(&output, b"abc");
        // Cut off, longer than stated, of no bytes, of no type.
        let decode = |stream: &[u8], length: usize| CabinetLzxDecoder::new(15).unwrap().decode(stream, &mut vec![0; length]);
        assert_eq!(decode(&uncompressed(3, b"ab", None), 3), Err(CabinetLzxError::EndOfInput));
        assert_eq!(decode(&uncompressed(3, b"abc\0", None), 4), Err(CabinetLzxError::EndOfInput));
        assert_eq!(decode(&uncompressed(0, b"", None), 1), Err(CabinetLzxError::Block { kind: 3, length: 0 }));
        assert_eq!(decode(&[0; 20], 1), Err(CabinetLzxError::Block { kind: 0, length: 0 }));
        assert_eq!(decode(&[], 1), Err(CabinetLzxError::EndOfInput));
        assert_eq!(decode(&[], FRAME + 1), Err(CabinetLzxError::FrameLength(FRAME + 1)));
        assert!([14, 22].into_iter().all(|bits| matches!(CabinetLzxDecoder::new(bits), Err(CabinetLzxError::WindowBits(_)))));
    }

    #[test]
    fn frames_follow_each_other_until_a_short_one() {
        let data: Vec<u8> = (0..FRAME + 5).map(|index| (index % 253) as u8).collect();
        let mut decoder = CabinetLzxDecoder::new(15).unwrap();
        let mut first = vec![0; FRAME];
        decoder.decode(&uncompressed(FRAME as u32, &data[..FRAME], None), &mut first).unwrap();
        assert_eq!(first, data[..FRAME]);
        // Another block in the second frame: its header has no translation bit.
        let mut second = uncompressed(5, &data[FRAME..], None);
        // Bits 0 011 … become 011 …: shift the first two words left by one.
        let header = u32::from(u16::from_le_bytes([second[0], second[1]])) << 16 | u32::from(u16::from_le_bytes([second[2], second[3]]));
        let shifted = header << 1;
        second[..4].copy_from_slice(&[(shifted >> 16) as u8, (shifted >> 24) as u8, shifted as u8, (shifted >> 8) as u8]);
        let mut output = vec![0; 5];
        decoder.decode(&second, &mut output).unwrap();
        assert_eq!(output, data[FRAME..]);
        assert_eq!(decoder.decode(&second, &mut output), Err(CabinetLzxError::FrameLength(5)), "nothing follows a short frame");
    }

    #[test]
    fn calls_are_made_relative_again() {
        let call = |operand: i32| [&[0x90, 0xE8][..], &operand.to_le_bytes(), &[0x90; 12]].concat();
        let translated = |operand: i32, offset: i32| {
            let mut frame = call(operand);
            translate_calls(&mut frame, offset, 1000);
            i32::from_le_bytes(frame[2..6].try_into().unwrap())
        };
        // [MS-PATCH] 2.6.1: the call stands at offset + 1.
        assert_eq!(translated(500, 99), 400);
        assert_eq!(translated(0, 99), -100, "address 0 is an address");
        assert_eq!(translated(-100, 99), 900);
        assert_eq!(translated(-101, 99), -101);
        assert_eq!(translated(999, 99), 899);
        assert_eq!(translated(1000, 99), 1000);
        // No call begins in the last ten bytes.
        let mut tail = vec![0xE8; 10];
        translate_calls(&mut tail, 0, 1000);
        assert_eq!(tail, [0xE8; 10]);
        let mut output = [0; 18];
        CabinetLzxDecoder::new(15).unwrap().decode(&uncompressed(18, &call(500), Some(1000)), &mut output).unwrap();
        assert_eq!(output[..6], [0x90, 0xE8, 243, 1, 0, 0]);
    }

    #[test]
    fn position_slots_cover_the_window() {
        let mut next = 3;
        for slot in 3..50 {
            let (base, extra) = position_slot(slot);
            assert_eq!(base, next, "slot {slot}");
            next = base + (1 << extra);
        }
        assert_eq!(next, 1 << 21);
    }

    #[test]
    fn codes_are_canonical_and_complete() {
        let mut code = Code::new(4);
        // Symbols 0 to 3 of lengths 2, 1, 3, 3: codes 10, 0, 110, 111.
        code.build(&[2, 1, 3, 3]).unwrap();
        let mut bits = Bits::new(&[0b1110_0000, 0b1001_1011]);
        bits.refill();
        // 10 0 110 111 1 100000, and so on.
        assert_eq!((0..4).map(|_| code.symbol(&mut bits).unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let mut deep = [0; 20];
        for (length, place) in (1..=16).zip(&mut deep) {
            *place = length;
        }
        deep[16] = 16;
        code.build(&deep).unwrap();
        let mut bits = Bits::new(&[0xFF, 0xFF, 0xFE, 0xFF, 0xFF, 0x7F]);
        bits.refill();
        assert_eq!((0..3).map(|_| code.symbol(&mut bits).unwrap()).collect::<Vec<_>>(), [16, 15, 0]);
        assert_eq!(code.build(&[1, 2]), Err(CabinetLzxError::Tree), "incomplete");
        assert_eq!(code.build(&[1, 1, 1]), Err(CabinetLzxError::Tree), "oversubscribed");
        assert_eq!(code.build(&[17]), Err(CabinetLzxError::Tree));
        code.build(&[0, 0]).unwrap();
        assert!(code.is_empty());
    }
}

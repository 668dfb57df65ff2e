//! Canonical Huffman codes as PA30 has them: codes lean to the left, so the longest codes are the smallest numbers, and
//! within a length the code grows with the symbol. Codes are at most 16 bits, and complete: every bit string decodes.
//!
//! Sources: smilingthax/msdelta-pa30-format (README); MS-PATCH 2.2 (order of the codes).

use super::Error;
use super::bits::BitReader;

/// The longest code, in bits.
pub(super) const MAX_LENGTH: u8 = 16;

const TOO_LONG: Error = Error::Malformed { what: "Huffman code", why: "a code of more than 16 bits" };

/// Bits decoded by the first look-up, at most; longer codes take a second one.
const ROOT_BITS: u32 = 10;

/// An entry of the decoding table: a symbol and the bits it consumes, or (`length` 0xFF) the subtable of a long code.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The symbol, or the subtable's first entry.
    value: u16,
    /// Bits of the whole code, or [`SUBTABLE`] and the bits that index the subtable.
    length: u8,
}

/// Marks an entry of the first table that leads to a subtable.
const SUBTABLE: u8 = 0x80;

/// A decoding table.
#[derive(Clone, Debug, Default)]
pub(super) struct Huffman {
    /// The first table, which is indexed with `root_bits` bits, and behind it the subtables.
    entries: Vec<Entry>,
    root_bits: u32,
    root_mask: u32,
}

/// The lowest `bits` bits.
fn mask(bits: u32) -> u32 {
    (1u32 << bits).wrapping_sub(1)
}

impl Huffman {
    /// Builds the table of the given code lengths, in bits; 0 is a symbol that does not occur. A code without symbols is
    /// allowed as long as nothing is read with it.
    pub fn new(lengths: &[u8]) -> Result<Self, Error> {
        let incomplete = Error::Malformed { what: "Huffman code", why: "its code lengths do not form a complete code" };
        let mut counts = [0u32; MAX_LENGTH as usize + 1];
        for &length in lengths {
            let count = counts.get_mut(usize::from(length)).ok_or(TOO_LONG)?;
            *count = count.wrapping_add(1);
        }
        let used: u32 = counts.iter().skip(1).sum();
        if used == 0 {
            return Ok(Self::default());
        }
        // One symbol alone takes a bit, whatever that is: the only code that is allowed to be incomplete.
        if used == 1 && counts[1] == 1 {
            let value = lengths.iter().position(|&length| length == 1).unwrap_or_default() as u16;
            return Ok(Self { root_mask: 0, root_bits: 0, entries: vec![Entry { value, length: 1 }] });
        }
        // From the longest codes to the shortest: each length starts where the longer ones, halved, end.
        let mut next = [0u32; MAX_LENGTH as usize + 1];
        let mut code = 0u32;
        for (length, start) in next.iter_mut().enumerate().skip(1).rev() {
            *start = code;
            let end = code.wrapping_add(counts.get(length).copied().unwrap_or_default());
            if end & 1 != 0 {
                return Err(incomplete);
            }
            code = end >> 1;
        }
        // A complete code fills the one code of length zero.
        if code != 1 {
            return Err(incomplete);
        }
        let longest = counts.iter().rposition(|&count| count != 0).unwrap_or(0) as u32;
        let root_bits = longest.min(ROOT_BITS);
        let mut table = Self { root_mask: mask(root_bits), root_bits, entries: vec![Entry::default(); 1 << root_bits] };
        let mut codes = Vec::with_capacity(used as usize);
        for (symbol, &length) in (0u16..).zip(lengths).filter(|(_, length)| **length != 0) {
            let slot = next.get_mut(usize::from(length)).ok_or(TOO_LONG)?;
            let reversed = slot.reverse_bits() >> 32u32.wrapping_sub(length.into());
            *slot = slot.wrapping_add(1);
            codes.push((Entry { value: symbol, length }, reversed));
        }
        if longest > root_bits {
            table.add_subtables(&codes);
        }
        for (entry, reversed) in codes {
            table.add(entry, reversed);
        }
        Ok(table)
    }

    /// Makes room behind the first table for the codes that do not fit it.
    fn add_subtables(&mut self, codes: &[(Entry, u32)]) {
        for (entry, reversed) in codes.iter().filter(|(entry, _)| u32::from(entry.length) > self.root_bits) {
            if let Some(root) = self.entries.get_mut((reversed & self.root_mask) as usize) {
                root.length = root.length.max(SUBTABLE | entry.length.wrapping_sub(self.root_bits as u8));
            }
        }
        for index in 0..self.entries.len() {
            let start = self.entries.len();
            if let Some(root) = self.entries.get_mut(index).filter(|root| root.length & SUBTABLE != 0) {
                root.value = start as u16;
                let size = 1usize << (root.length & !SUBTABLE);
                self.entries.resize(start.wrapping_add(size), Entry::default());
            }
        }
    }

    /// Writes a code to every place of its table where the bits behind it vary.
    fn add(&mut self, entry: Entry, reversed: u32) {
        let length = u32::from(entry.length);
        let (start, size, code, length) = if length <= self.root_bits {
            (0, 1usize << self.root_bits, reversed, length)
        } else {
            let root = self.entries.get((reversed & self.root_mask) as usize).copied().unwrap_or_default();
            (root.value.into(), 1 << (root.length & !SUBTABLE), reversed >> self.root_bits, length.wrapping_sub(self.root_bits))
        };
        let table = self.entries.get_mut(start..).and_then(|rest| rest.get_mut(..size)).unwrap_or_default();
        let mut index = code as usize;
        while let Some(place) = table.get_mut(index) {
            *place = entry;
            index = index.wrapping_add(1 << length);
        }
    }

    /// Reads a symbol.
    #[inline(always)]
    pub fn read(&self, reader: &mut BitReader<'_>) -> Result<u16, Error> {
        let bits = reader.peek();
        let mut entry = self.look_up((bits as u32 & self.root_mask) as usize)?;
        if entry.length & SUBTABLE != 0 {
            let index = (bits >> self.root_bits) & (1u64 << (entry.length & !SUBTABLE & 31)).wrapping_sub(1);
            entry = self.look_up(usize::from(entry.value).wrapping_add(index as usize))?;
        }
        reader.skip(u32::from(entry.length))?;
        Ok(entry.value)
    }

    #[inline(always)]
    fn look_up(&self, index: usize) -> Result<Entry, Error> {
        self.entries.get(index).copied().ok_or(Error::Malformed { what: "Huffman code", why: "a symbol is read with an empty code" })
    }
}

/// The lengths of the code that gives `symbols` symbols the same weight: the first ones are one bit shorter where the
/// count is not a power of two.
pub(super) fn even_lengths(symbols: usize) -> Vec<u8> {
    let bits = symbols.next_power_of_two().trailing_zeros() as u8;
    let short = symbols.next_power_of_two().saturating_sub(symbols);
    (0..symbols).map(|symbol| if symbol < short { bits.saturating_sub(1) } else { bits }).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::bits::writer::BitWriter;
    use super::*;

    /// The codes of symbols, bit by bit, derived from the rule: longest codes first, from zero up.
    pub fn codes(lengths: &[u8]) -> Vec<(u64, u32)> {
        let mut codes = vec![(0, 0); lengths.len()];
        let mut code = 0u64;
        for length in (1..=MAX_LENGTH).rev() {
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, one)| **one == length) {
                codes[symbol] = (code.reverse_bits() >> (64 - u32::from(length)), length.into());
                code += 1;
            }
            code >>= 1;
        }
        codes
    }

    fn assert_decodes(lengths: &[u8]) {
        let table = Huffman::new(lengths).unwrap();
        let used: Vec<usize> = (0..lengths.len()).filter(|&symbol| lengths[symbol] != 0).collect();
        let codes = codes(lengths);
        let mut writer = BitWriter::new();
        for &symbol in &used {
            writer.bits(codes[symbol].0, codes[symbol].1);
        }
        let stream = writer.finish();
        let mut reader = BitReader::new(&stream).unwrap();
        for &symbol in &used {
            assert_eq!(usize::from(table.read(&mut reader).unwrap()), symbol);
        }
        assert!(table.read(&mut reader).is_err());
    }

    #[test]
    fn short_long_and_even_codes_decode() {
        assert_decodes(&[1, 2, 2]);
        assert_decodes(&[2, 0, 1, 0, 2]);
        for symbols in [2, 16, 252, 256, 600] {
            assert_decodes(&even_lengths(symbols));
        }
        // Subtables: one code of each length, two of the longest.
        let mut lengths: Vec<u8> = (1..=MAX_LENGTH).collect();
        lengths.push(MAX_LENGTH);
        assert_decodes(&lengths);
        // Several subtables of different sizes.
        let mut lengths = vec![2, 2, 2];
        lengths.extend([11; 256]);
        lengths.extend([12; 256]);
        lengths.extend([13; 512]);
        assert_decodes(&lengths);
    }

    #[test]
    fn codes_that_are_not_complete_are_refused_except_one_alone() {
        for lengths in [&[1, 1, 1][..], &[1, 2], &[2, 2, 2], &[3], &[17]] {
            assert!(matches!(Huffman::new(lengths), Err(Error::Malformed { .. })), "{lengths:?}");
        }
        let alone = Huffman::new(&[0, 0, 1]).unwrap();
        let stream = BitWriter::new().bits(0b10, 2).finish();
        let mut reader = BitReader::new(&stream).unwrap();
        assert_eq!((alone.read(&mut reader).unwrap(), alone.read(&mut reader).unwrap()), (2, 2));
        let unused = Huffman::new(&[0, 0]).unwrap();
        assert!(unused.read(&mut BitReader::new(&stream).unwrap()).is_err());
    }
}

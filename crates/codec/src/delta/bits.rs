//! The bit streams of PA30: least significant bit first, the first three bits counting the padding bits of the last byte.
//!
//! Source: smilingthax/msdelta-pa30-format (README, "BitStreams").

use super::Error;

/// Reads one bit stream. Every nested buffer of a delta is such a stream of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct BitReader<'a> {
    data: &'a [u8],
    /// Index of the next bit; bit 0 is the lowest bit of the first byte.
    position: u64,
    /// Bits of the stream, the padding excluded.
    end: u64,
}

impl<'a> BitReader<'a> {
    /// Opens a stream: its first three bits are consumed here.
    pub fn new(data: &'a [u8]) -> Result<Self, Error> {
        let padding = u64::from(data.first().ok_or(Error::Truncated { what: "bit stream" })? & 7);
        let end = (data.len() as u64).saturating_mul(8).checked_sub(padding).ok_or(Error::Truncated { what: "bit stream" })?;
        let mut reader = Self { data, position: 0, end };
        reader.skip(3)?;
        Ok(reader)
    }

    /// The next 57 bits or more, zeros past the end; nothing is consumed.
    #[inline(always)]
    pub fn peek(&self) -> u64 {
        let byte = (self.position >> 3) as usize;
        let shift = self.position & 7;
        match self.data.get(byte..).and_then(<[u8]>::first_chunk::<8>) {
            Some(word) => u64::from_le_bytes(*word) >> shift,
            None => self.peek_at_end(byte) >> shift,
        }
    }

    #[cold]
    fn peek_at_end(&self, byte: usize) -> u64 {
        let rest = self.data.get(byte..).unwrap_or_default();
        rest.iter().take(8).rev().fold(0, |word, &next| word << 8 | u64::from(next))
    }

    /// Consumes `count` bits.
    #[inline(always)]
    pub fn skip(&mut self, count: u32) -> Result<(), Error> {
        self.position = self.position.wrapping_add(u64::from(count));
        if self.position > self.end {
            return Err(Error::Truncated { what: "bit stream" });
        }
        Ok(())
    }

    /// Reads an unsigned number of `count` bits, at most 56.
    #[inline(always)]
    pub fn bits(&mut self, count: u32) -> Result<u64, Error> {
        let value = self.peek() & (1u64 << (count & 63)).wrapping_sub(1);
        self.skip(count)?;
        Ok(value)
    }

    /// Reads a number of 64 bits.
    pub fn bits64(&mut self) -> Result<u64, Error> {
        let low = self.bits(32)?;
        Ok(self.bits(32)? << 32 | low)
    }

    /// Reads one bit.
    pub fn flag(&mut self) -> Result<bool, Error> {
        Ok(self.bits(1)? != 0)
    }

    /// Reads a number of variable length: `n` zeros and a one, then `n + 1` nibbles. Numbers are at most 64 bits.
    pub fn number(&mut self) -> Result<u64, Error> {
        let nibbles = (self.peek() | 1 << 16).trailing_zeros().wrapping_add(1);
        if nibbles > 16 {
            return Err(Error::Malformed { what: "bit stream", why: "a number of more than 64 bits" });
        }
        self.skip(nibbles)?;
        let bits = nibbles.wrapping_mul(4);
        if bits <= 32 {
            return self.bits(bits);
        }
        let low = self.bits(32)?;
        Ok(self.bits(bits.wrapping_sub(32))? << 32 | low)
    }

    /// Reads a nested buffer: its length as a number, padding to the next byte, its bytes.
    pub fn buffer(&mut self) -> Result<&'a [u8], Error> {
        let length = self.number()?;
        let start = self.position.next_multiple_of(8);
        let end = length.checked_mul(8).and_then(|bits| start.checked_add(bits)).filter(|&end| end <= self.end);
        let end = end.ok_or(Error::Truncated { what: "buffer of the delta" })?;
        self.position = end;
        self.data.get((start >> 3) as usize..(end >> 3) as usize).ok_or(Error::Truncated { what: "buffer of the delta" })
    }

    /// Bits left.
    pub fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }
}

/// Writes a bit stream, for tests.
#[cfg(test)]
pub(super) mod writer {
    /// A stream under construction.
    pub struct BitWriter {
        bits: Vec<bool>,
    }

    impl BitWriter {
        pub fn new() -> Self {
            Self { bits: vec![false; 3] }
        }

        pub fn bits(&mut self, value: u64, count: u32) -> &mut Self {
            self.bits.extend((0..count).map(|bit| value >> bit & 1 != 0));
            self
        }

        pub fn number(&mut self, value: u64) -> &mut Self {
            let nibbles = value.max(1).ilog2() / 4;
            self.bits(1 << nibbles, nibbles + 1).bits(value, (nibbles + 1) * 4)
        }

        pub fn buffer(&mut self, bytes: &[u8]) -> &mut Self {
            self.number(bytes.len() as u64);
            self.bits.resize(self.bits.len().next_multiple_of(8), false);
            for &byte in bytes {
                self.bits(byte.into(), 8);
            }
            self
        }

        /// The stream's bytes, with the count of padding bits in front.
        pub fn finish(&self) -> Vec<u8> {
            let mut bits = self.bits.clone();
            let padding = bits.len().next_multiple_of(8) - bits.len();
            (0..3).for_each(|bit| bits[bit] = padding >> bit & 1 != 0);
            bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |value, &bit| value << 1 | u8::from(bit))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::writer::BitWriter;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_format_description_reads() {
        // smilingthax/msdelta-pa30-format gives E9 46, for one bit of padding; alone, the two numbers leave six.
        let stream = BitWriter::new().number(14).number(17).finish();
        assert_eq!(stream, [0xE9 & !7 | 6, 0x46, 0x00]);
        let mut reader = BitReader::new(&stream).unwrap();
        assert_eq!((reader.number().unwrap(), reader.number().unwrap()), (14, 17));
        assert!(matches!(reader.number(), Err(Error::Truncated { .. } | Error::Malformed { .. })));
    }

    #[test]
    fn nothing_is_read_from_an_empty_stream_or_behind_the_padding() {
        assert!(BitReader::new(&[]).is_err());
        // Seven bits of padding leave less than the three bits that say so.
        assert!(BitReader::new(&[7]).is_err());
        let stream = BitWriter::new().bits(5, 3).finish();
        let mut reader = BitReader::new(&stream).unwrap();
        assert_eq!(reader.bits(3).unwrap(), 5);
        assert!(reader.flag().is_err());
    }

    #[test]
    fn a_buffer_that_is_longer_than_the_stream_is_refused() {
        let stream = BitWriter::new().number(1 << 40).finish();
        assert!(matches!(BitReader::new(&stream).unwrap().buffer(), Err(Error::Truncated { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn numbers_and_buffers_come_back(values in prop::collection::vec((any::<u64>(), 0u32..64, prop::collection::vec(any::<u8>(), 0..20)), 0..20)) {
            let mut writer = BitWriter::new();
            for (value, shift, bytes) in &values {
                writer.number(value >> shift).buffer(bytes);
            }
            let stream = writer.finish();
            let mut reader = BitReader::new(&stream).unwrap();
            for (value, shift, bytes) in &values {
                prop_assert_eq!(reader.number().unwrap(), value >> shift);
                prop_assert_eq!(reader.buffer().unwrap(), bytes.as_slice());
            }
            prop_assert_eq!(reader.remaining(), 0);
        }
    }
}

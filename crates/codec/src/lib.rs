//! Bytes to bytes: the compression formats of Windows images. No I/O, no policy.
//!
//! A WIM cuts data into chunks and compresses each one alone, so a block here is one chunk. The three formats carry
//! neither their compressed nor their uncompressed length: the container keeps both.
//!
//! | format | window | used by |
//! |---|---|---|
//! | XPRESS (Huffman variant, MS-XCA 2.1) | 64 KiB | fast capture, WIMBoot, `CompactOS` |
//! | LZX (WIM variant: no framing, a fixed E8 translation size) | 2 MiB | `install.wim`, `boot.wim` |
//! | LZMS (range coder, Huffman, x86 filter, delta matches) | 1 GiB | ESD files, solid resources |
//!
//! The implementation is libwim (<https://wimlib.net>), linked dynamically. It stands behind [`Compressor`] and
//! [`Decompressor`] so that one in Rust can replace it, format by format.

pub mod cabinet_lzx;
pub mod delta;
mod ffi;
pub mod mszip;
pub mod quantum;
mod window;

use std::fmt;
use std::ops::RangeInclusive;

/// Uncompressed bytes of the shortest LZMS block that libwim is given. It derives the offset alphabet from this length, and
/// below three bytes (1.13.6) reads and writes memory that is not its own; so short a block cannot shrink anyhow.
const SHORTEST_LZMS_BLOCK: usize = 3;

/// Why a codec refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The codec's tables could not be allocated.
    #[error("no memory for a {compression} codec of {max_block}-byte blocks")]
    OutOfMemory {
        /// The format asked for.
        compression: Compression,
        /// The largest block asked for, in bytes.
        max_block: usize,
    },
    /// The codec does not exist with these parameters.
    #[error("{compression} does not support blocks of {max_block} bytes (libwim error {code})")]
    Parameters {
        /// The format asked for.
        compression: Compression,
        /// The largest block asked for, in bytes.
        max_block: usize,
        /// libwim's `enum wimlib_error_code`.
        code: i32,
    },
    /// The compressed data are damaged, or are not of this format and length.
    #[error("{compression} data of {input} bytes do not decompress to {output} bytes")]
    Data {
        /// The format expected.
        compression: Compression,
        /// Compressed length in bytes.
        input: usize,
        /// Expected uncompressed length in bytes.
        output: usize,
    },
    /// A block is larger than the codec was made for.
    #[error("a block of {length} bytes is more than this codec's {max_block}")]
    BlockTooLarge {
        /// Length of the block in bytes.
        length: usize,
        /// The codec's limit in bytes.
        max_block: usize,
    },
}

/// A compression format of WIM files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// XPRESS with Huffman coding.
    Xpress,
    /// LZX as WIM files have it.
    Lzx,
    /// LZMS.
    Lzms,
}

impl Compression {
    /// The chunk size that Microsoft's tools write, in bytes: 32 KiB for XPRESS and LZX, 128 KiB for LZMS.
    #[must_use]
    pub const fn default_chunk_size(self) -> u32 {
        match self {
            Self::Xpress | Self::Lzx => 1 << 15,
            Self::Lzms => 1 << 17,
        }
    }

    /// The chunk size of a solid resource that Microsoft's tools write, in bytes: 64 MiB for LZMS, the format's largest
    /// for the others (which only wimlib puts into solid resources).
    #[must_use]
    pub const fn default_solid_chunk_size(self) -> u32 {
        match self {
            Self::Xpress => 1 << 16,
            Self::Lzx => 1 << 21,
            Self::Lzms => 1 << 26,
        }
    }

    /// The chunk sizes that readers accept, in bytes; powers of two only.
    #[must_use]
    pub const fn chunk_sizes(self) -> RangeInclusive<u32> {
        match self {
            Self::Xpress => 1 << 12..=1 << 16,
            Self::Lzx => 1 << 15..=1 << 21,
            Self::Lzms => 1 << 15..=1 << 30,
        }
    }

    /// True when `size` is a chunk size that readers of this format accept.
    #[must_use]
    pub fn supports_chunk_size(self, size: u32) -> bool {
        size.is_power_of_two() && self.chunk_sizes().contains(&size)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Xpress => "XPRESS",
            Self::Lzx => "LZX",
            Self::Lzms => "LZMS",
        })
    }
}

/// How hard a compressor searches, on libwim's scale of 1 to 100.
///
/// Measured on 210 MB of PE files, LZX 32 KiB: level 50 gives 10 MB/s per core, level 20 gives 81 MB/s at 3.2 % more size
/// (lazy instead of near-optimal parsing); levels above 50 gain below one percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u32);

impl Level {
    /// libwim's default, comparable to Microsoft's "maximum".
    pub const DEFAULT: Self = Self(50);
    /// The fast level: about eight times quicker than the default in LZX, for 3 % more size.
    pub const FAST: Self = Self(20);

    /// A level between 1 (fastest) and 100 (smallest); values outside are moved to the nearer end.
    #[must_use]
    pub const fn new(level: u32) -> Self {
        match level {
            0 => Self(1),
            1..=100 => Self(level),
            _ => Self(100),
        }
    }

    /// The level as a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Compresses blocks of one format. The same input gives the same output for the same format, block limit and level.
pub struct Compressor {
    codec: ffi::Compressor,
    max_block: usize,
}

impl Compressor {
    /// Makes a compressor for blocks of up to `max_block` bytes.
    ///
    /// # Errors
    /// [`Error::Parameters`] for a limit that the format does not have, [`Error::OutOfMemory`].
    pub fn new(compression: Compression, max_block: usize, level: Level) -> Result<Self, Error> {
        Ok(Self { codec: ffi::Compressor::new(compression, max_block, level.0)?, max_block })
    }

    /// Bytes of memory that such a compressor takes: 0.5 MB for LZX with 32 KiB blocks, 0.7 GB for LZMS with 64 MiB.
    /// 0 for parameters that [`Compressor::new`] refuses.
    #[must_use]
    pub fn memory(compression: Compression, max_block: usize, level: Level) -> u64 {
        ffi::compressor_memory(compression, max_block, level.0)
    }

    /// Compresses `input` into `output` and returns the compressed length.
    ///
    /// `None` when the result does not fit `output`, or `input` is empty or above the block limit. A container that wants
    /// "smaller or stored" gives one byte less than the input as room.
    pub fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        if input.is_empty() || input.len() > self.max_block {
            return None;
        }
        self.codec.compress(input, output)
    }
}

/// Decompresses blocks of one format.
pub struct Decompressor {
    codec: ffi::Decompressor,
    compression: Compression,
    max_block: usize,
}

impl Decompressor {
    /// Makes a decompressor for blocks of up to `max_block` uncompressed bytes: the container's chunk size exactly, since
    /// LZX derives its alphabet from it.
    ///
    /// # Errors
    /// [`Error::Parameters`] for a limit that the format does not have, [`Error::OutOfMemory`].
    pub fn new(compression: Compression, max_block: usize) -> Result<Self, Error> {
        Ok(Self { codec: ffi::Decompressor::new(compression, max_block)?, compression, max_block })
    }

    /// Fills `output`, whose length is the block's uncompressed length, from the compressed block `input`.
    ///
    /// # Errors
    /// [`Error::Data`] when `input` is not such a block (then `output` holds nothing of use), [`Error::BlockTooLarge`].
    pub fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), Error> {
        if output.len() > self.max_block {
            return Err(Error::BlockTooLarge { length: output.len(), max_block: self.max_block });
        }
        let too_short = self.compression == Compression::Lzms && output.len() < SHORTEST_LZMS_BLOCK;
        if !too_short && self.codec.decompress(input, output) {
            return Ok(());
        }
        Err(Error::Data { compression: self.compression, input: input.len(), output: output.len() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Compression; 3] = [Compression::Xpress, Compression::Lzx, Compression::Lzms];

    fn round_trip(compression: Compression, input: &[u8]) {
        let block = compression.default_chunk_size() as usize;
        let mut compressor = Compressor::new(compression, block, Level::DEFAULT).unwrap();
        let mut packed = vec![0; input.len().saturating_sub(1)];
        let Some(length) = compressor.compress(input, &mut packed) else { return };
        let mut unpacked = vec![0; input.len()];
        Decompressor::new(compression, block).unwrap().decompress(&packed[..length], &mut unpacked).unwrap();
        assert_eq!(unpacked, input, "{compression}");
    }

    #[test]
    fn repetitive_data_shrink_and_come_back() {
        let input: Vec<u8> = (0..30_000_u32).map(|index| (index % 251) as u8).collect();
        for compression in ALL {
            let mut compressor = Compressor::new(compression, 1 << 15, Level::FAST).unwrap();
            let mut packed = vec![0; input.len() - 1];
            assert!(compressor.compress(&input, &mut packed).is_some_and(|length| length < 1000), "{compression}");
            round_trip(compression, &input);
        }
    }

    #[test]
    fn what_does_not_fit_is_none() {
        for compression in ALL {
            let mut compressor = Compressor::new(compression, 1 << 15, Level::DEFAULT).unwrap();
            assert_eq!(compressor.compress(b"", &mut [0; 10]), None);
            assert_eq!(compressor.compress(b"xyz", &mut [0; 2]), None);
            assert_eq!(compressor.compress(&vec![0; (1 << 15) + 1], &mut [0; 1000]), None);
        }
    }

    #[test]
    fn parameters_outside_a_format_are_typed_errors() {
        assert!(matches!(Compressor::new(Compression::Xpress, 1 << 30, Level::DEFAULT), Err(Error::Parameters { .. })));
        assert!(matches!(Decompressor::new(Compression::Lzx, 1 << 30), Err(Error::Parameters { .. })));
        let mut decompressor = Decompressor::new(Compression::Lzx, 1 << 15).unwrap();
        assert!(matches!(decompressor.decompress(&[0; 8], &mut vec![0; (1 << 15) + 1]), Err(Error::BlockTooLarge { .. })));
        assert!(matches!(decompressor.decompress(&[0xff; 8], &mut [0; 4096]), Err(Error::Data { .. })));
        assert!(!Compression::Lzx.supports_chunk_size(40_000) && Compression::Lzx.supports_chunk_size(1 << 15));
    }

    #[test]
    fn a_solid_lzms_compressor_states_its_memory() {
        let memory = Compressor::memory(Compression::Lzms, 1 << 26, Level::DEFAULT);
        assert!((1 << 28..1 << 30).contains(&memory), "{memory}");
    }

    #[test]
    fn lzms_blocks_that_libwim_cannot_hold_are_refused() {
        let mut decompressor = Decompressor::new(Compression::Lzms, 1 << 15).unwrap();
        for length in 0..SHORTEST_LZMS_BLOCK {
            for input in [&[0; 4][..], &[0xff; 40], &[0x55; 9]] {
                assert!(matches!(decompressor.decompress(input, &mut vec![0; length]), Err(Error::Data { .. })));
            }
        }
    }

    /// Buffers of the Windows Compression API: a header (magic, CRC, algorithm, sizes), then chunks, each with its length.
    #[test]
    fn real_lzms_of_cabinet_dll_decodes() {
        for name in ["pattern", "sequential", "single_byte", "small", "zeros"] {
            let Some(packed) = wimwright_testkit::test_data(&format!("manifests/lzms/{name}.lzms")) else { return };
            let raw = std::fs::read(packed.with_extension("raw")).unwrap();
            let packed = std::fs::read(packed).unwrap();
            let mut output = vec![0; raw.len()];
            let mut decompressor = Decompressor::new(Compression::Lzms, 1 << 20).unwrap();
            decompressor.decompress(&packed[28..], &mut output).unwrap();
            assert!(output == raw, "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_block_comes_back(seed in prop::collection::vec(any::<u8>(), 1..200), repeat in 1_usize..100) {
            let input: Vec<u8> = seed.iter().copied().cycle().take(seed.len() * repeat).collect();
            for compression in ALL {
                round_trip(compression, &input);
            }
        }

        #[test]
        fn any_bytes_decode_or_fail(input in prop::collection::vec(any::<u8>(), 0..600), length in 0_usize..4000) {
            for compression in ALL {
                let mut decompressor = Decompressor::new(compression, 1 << 15).unwrap();
                let _outcome = decompressor.decompress(&input, &mut vec![0; length]);
            }
        }
    }
}

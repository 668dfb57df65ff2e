//! MSZIP: Deflate in blocks of a cabinet ([MS-MCI], "Microsoft ZIP (MSZIP) Compression and Decompression").
//!
//! Each block is the two bytes `CK` and one raw Deflate stream ([RFC 1951]) of at most 32 KiB of output. The stream ends
//! with its block, but its matches may reach back into the 32 KiB before it: the window is carried across blocks.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::window::FRAME;

/// Why an MSZIP block cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum MszipError {
    /// The block does not begin with `CK`.
    #[error("the MSZIP block does not begin with CK")]
    NoSignature,
    /// A block may decode to 32 KiB at most.
    #[error("an MSZIP block of {0} bytes is longer than 32768")]
    TooLong(usize),
    /// The Deflate stream is broken or refers to bytes before the window.
    #[error("the Deflate stream of the MSZIP block is broken")]
    Deflate(#[from] flate2::DecompressError),
    /// The Deflate stream does not give just as many bytes as the cabinet states.
    #[error("the MSZIP block gives {found} bytes instead of {expected}, or does not end there")]
    Length {
        /// Bytes that the cabinet states.
        expected: usize,
        /// Bytes decoded.
        found: u64,
    },
}

/// Decodes the blocks of one folder in order.
pub struct MszipDecoder {
    inflate: Decompress,
    /// The output of the block before.
    previous: Vec<u8>,
}

impl Default for MszipDecoder {
    fn default() -> Self {
        Self { inflate: Decompress::new(false), previous: Vec::with_capacity(FRAME) }
    }
}

impl MszipDecoder {
    /// Decodes the next block into `output`, which has the length that the cabinet states.
    ///
    /// # Errors
    /// See [`MszipError`]. The decoder is of no use afterwards.
    pub fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), MszipError> {
        let deflate = input.strip_prefix(b"CK").ok_or(MszipError::NoSignature)?;
        if output.len() > FRAME {
            return Err(MszipError::TooLong(output.len()));
        }
        self.inflate.reset(false);
        if !self.previous.is_empty() {
            self.inflate.set_dictionary(&self.previous)?;
        }
        let mut status = self.inflate.decompress(deflate, output, FlushDecompress::Finish)?;
        if status != Status::StreamEnd && self.inflate.total_out() == output.len() as u64 {
            // The output is full: all that may follow is the end code of the stream.
            let rest = usize::try_from(self.inflate.total_in()).ok().and_then(|read| deflate.get(read..)).unwrap_or_default();
            status = self.inflate.decompress(rest, &mut [], FlushDecompress::Finish)?;
        }
        let found = self.inflate.total_out();
        if status != Status::StreamEnd || found != output.len() as u64 {
            return Err(MszipError::Length { expected: output.len(), found });
        }
        if output.len() == FRAME {
            self.previous.clear();
        } else {
            // Only a short block leaves a part of the window before it in reach.
            let surplus = (self.previous.len() + output.len()).saturating_sub(FRAME);
            self.previous.drain(..surplus);
        }
        self.previous.extend_from_slice(output);
        Ok(())
    }
}

/// Encodes `input`, at most 32 KiB, as one MSZIP block that needs no block before it.
///
/// # Errors
/// When `input` is longer than 32 KiB.
pub fn encode_mszip(input: &[u8]) -> Result<Vec<u8>, MszipError> {
    if input.len() > FRAME {
        return Err(MszipError::TooLong(input.len()));
    }
    // What stored Deflate blocks add at worst, and the signature.
    let mut block = Vec::with_capacity(input.len() + input.len() / 8 + 64);
    block.extend_from_slice(b"CK");
    let mut deflate = Compress::new(Compression::default(), false);
    let status = deflate.compress_vec(input, &mut block, FlushCompress::Finish);
    if !matches!(status, Ok(Status::StreamEnd)) || block.len() > FRAME {
        block.truncate(2);
        store(input, &mut block);
    }
    Ok(block)
}

/// One stored Deflate block ([RFC 1951] 3.2.4).
fn store(input: &[u8], block: &mut Vec<u8>) {
    let length = u16::try_from(input.len()).unwrap_or(u16::MAX);
    block.push(1);
    block.extend_from_slice(&length.to_le_bytes());
    block.extend_from_slice(&(!length).to_le_bytes());
    block.extend_from_slice(input);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_carried_across_blocks() {
        let first: Vec<u8> = (0..FRAME).map(|index| (index * index / 7) as u8).collect();
        let mut second = Compress::new(Compression::best(), false);
        second.set_dictionary(&first).unwrap();
        let mut block = Vec::with_capacity(FRAME);
        block.extend_from_slice(b"CK");
        second.compress_vec(&first[..FRAME - 9], &mut block, FlushCompress::Finish).unwrap();
        assert!(block.len() < 2000, "the second block is matches only: {}", block.len());

        let mut decoder = MszipDecoder::default();
        let mut output = vec![0; FRAME];
        decoder.decode(&encode_mszip(&first).unwrap(), &mut output).unwrap();
        assert_eq!(output, first);
        let mut output = vec![0; FRAME - 9];
        decoder.decode(&block, &mut output).unwrap();
        assert_eq!(output, first[..FRAME - 9]);
        assert!(MszipDecoder::default().decode(&block, &mut output).is_err(), "without the first block it must not decode");
    }

    #[test]
    fn a_block_gives_the_stated_length_or_an_error() {
        for data in [&b""[..], b"a", b"abcabcabcabcabcabc"] {
            let block = encode_mszip(data).unwrap();
            for length in 0..=data.len() + 1 {
                let mut output = vec![0; length];
                let decoded = MszipDecoder::default().decode(&block, &mut output);
                assert_eq!(decoded.is_ok(), length == data.len(), "{length} of {data:?}: {decoded:?}");
            }
        }
        assert!(matches!(MszipDecoder::default().decode(b"KC", &mut []), Err(MszipError::NoSignature)));
    }

    #[test]
    fn noise_is_stored() {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let data: Vec<u8> = (0..FRAME).map(|_| noise()).collect();
        let block = encode_mszip(&data).unwrap();
        assert!(block.len() <= FRAME + 12, "the longest block of [MS-MCI]: {}", block.len());
        let mut output = vec![0; FRAME];
        MszipDecoder::default().decode(&block, &mut output).unwrap();
        assert_eq!(output, data);
    }
}

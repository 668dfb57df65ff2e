//! The decoded bytes of one folder, from front to back.

use std::io::{self, Read};

use wimwright_codec::cabinet_lzx::CabinetLzxDecoder;
use wimwright_codec::mszip::MszipDecoder;
use wimwright_codec::quantum::QuantumDecoder;

use super::header::Part;
use super::{BLOCK_INPUT, BLOCK_OUTPUT, CabError, CodecError, Compression, Folder, Segment};
use crate::io::{Extent, ReadAt};

/// Bytes of a data block's header: csum, cbData, cbUncomp.
const BLOCK_HEADER: u64 = 8;

/// A member's buffer grows with what is decoded, from at most this size on: a length in the file table is only a claim.
const FIRST_CAPACITY: u64 = 1 << 20;

/// Header of a data block, CFDATA ([MS-CAB] 2.4).
pub(super) struct Block {
    /// Number in its segment.
    pub number: usize,
    /// 0: checksum over the rest of the header and the data; 0 for none.
    checksum: u32,
    /// 4: bytes of data in the cabinet (cbData).
    pub input: u16,
    /// 6: bytes that they decode to (cbUncomp); 0 where the block continues in the next cabinet.
    pub output: u16,
    /// Where the data lies, behind the reserved bytes.
    pub data: Extent,
}

/// The headers of a segment's data blocks, one after another.
pub(super) fn blocks(part: &Part, segment: &Segment, folder: usize) -> impl Iterator<Item = Result<Block, CabError>> {
    let mut offset = segment.offset;
    (0..usize::from(segment.blocks)).map(move |number| {
        let block = block(part, offset, number, folder)?;
        offset = block.data.offset.unwrap_or(offset).saturating_add(block.data.length);
        Ok(block)
    })
}

fn block(part: &Part, offset: u64, number: usize, folder: usize) -> Result<Block, CabError> {
    let mut header = [0; BLOCK_HEADER as usize];
    part.source.read_exact_at(&mut header, offset).map_err(|error| cut_off(error, part))?;
    let [c0, c1, c2, c3, i0, i1, o0, o1] = header;
    let (input, output) = (u16::from_le_bytes([i0, i1]), u16::from_le_bytes([o0, o1]));
    if usize::from(input) > BLOCK_INPUT || usize::from(output) > BLOCK_OUTPUT {
        return Err(CabError::BlockSize { folder, block: number, input: input.into(), output: output.into() });
    }
    let data_offset = offset.saturating_add(BLOCK_HEADER).saturating_add(u64::from(part.block_reserve));
    let data = Extent { offset: Some(data_offset), length: u64::from(input) };
    Ok(Block { number, checksum: u32::from_le_bytes([c0, c1, c2, c3]), input, output, data })
}

fn cut_off(error: io::Error, part: &Part) -> CabError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => CabError::Truncated { structure: "data", size: part.source.size() },
        _ => CabError::Io(error),
    }
}

/// Exclusive or of 32-bit words; up to three bytes at the end count from the highest ([MS-CAB] 3.1).
fn checksum(data: &[u8], seed: u32) -> u32 {
    let (words, rest) = data.as_chunks::<4>();
    let sum = words.iter().fold(seed, |sum, word| sum ^ u32::from_le_bytes(*word));
    sum ^ rest.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// The checksum of a data block.
pub(super) fn block_checksum(data: &[u8], input: u16, output: u16) -> u32 {
    checksum(data, 0) ^ (u32::from(input) | u32::from(output) << 16)
}

enum Decoder {
    Stored,
    Mszip(Box<MszipDecoder>),
    Quantum(Box<QuantumDecoder>),
    Lzx(Box<CabinetLzxDecoder>),
}

impl Decoder {
    fn new(compression: Compression) -> Result<Self, CodecError> {
        Ok(match compression {
            Compression::Stored => Self::Stored,
            Compression::Mszip => Self::Mszip(Box::default()),
            Compression::Quantum { window_bits } => Self::Quantum(Box::new(QuantumDecoder::new(window_bits)?)),
            Compression::Lzx { window_bits } => Self::Lzx(Box::new(CabinetLzxDecoder::new(window_bits)?)),
        })
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), CodecError> {
        match self {
            Self::Stored if input.len() == output.len() => output.copy_from_slice(input),
            Self::Stored => return Err(CodecError::Stored { input: input.len(), output: output.len() }),
            Self::Mszip(decoder) => decoder.decode(input, output)?,
            Self::Quantum(decoder) => decoder.decode(input, output)?,
            Self::Lzx(decoder) => decoder.decode(input, output)?,
        }
        Ok(())
    }
}

/// Decodes a folder block by block.
pub(super) struct FolderReader<'a> {
    parts: &'a [Part],
    folder: &'a Folder,
    index: usize,
    decoder: Decoder,
    /// The segment being read, the blocks read of it, and where the next one lies.
    segment: usize,
    block: usize,
    offset: u64,
    /// Bytes of the current block in the cabinet.
    input: Vec<u8>,
    /// The current block, decoded.
    output: Vec<u8>,
    /// Bytes of `output` already given away.
    taken: usize,
    /// Where `output` ends in the folder.
    end: u64,
    failed: bool,
}

impl<'a> FolderReader<'a> {
    pub fn new(parts: &'a [Part], folder: &'a Folder, index: usize) -> Result<Self, CabError> {
        if folder.missing_start {
            let cabinet = parts.first().and_then(|part| part.previous.clone()).unwrap_or_default();
            return Err(CabError::SetIncomplete { folder: index, cabinet });
        }
        let decoder = Decoder::new(folder.compression).map_err(|source| CabError::Codec { folder: index, block: 0, source })?;
        let offset = folder.segments.first().map_or(0, |segment| segment.offset);
        Ok(Self {
            parts,
            folder,
            index,
            decoder,
            segment: 0,
            block: 0,
            offset,
            input: Vec::new(),
            output: Vec::new(),
            taken: 0,
            end: 0,
            failed: false,
        })
    }

    /// The next block of the current segment, or of the next one.
    fn next_header(&mut self) -> Result<(&'a Part, Block), CabError> {
        loop {
            let segment = self.folder.segments.get(self.segment);
            let part = segment.and_then(|segment| self.parts.get(segment.part));
            let (Some(segment), Some(part)) = (segment, part) else {
                return Err(if self.folder.missing_end {
                    let cabinet = self.parts.last().and_then(|part| part.next.clone()).unwrap_or_default();
                    CabError::SetIncomplete { folder: self.index, cabinet }
                } else {
                    CabError::FolderEnd { folder: self.index, end: self.end }
                });
            };
            if self.block < usize::from(segment.blocks) {
                let block = block(part, self.offset, self.block, self.index)?;
                self.block = self.block.saturating_add(1);
                self.offset = block.data.offset.unwrap_or(self.offset).saturating_add(block.data.length);
                return Ok((part, block));
            }
            self.segment = self.segment.saturating_add(1);
            self.block = 0;
            self.offset = self.folder.segments.get(self.segment).map_or(0, |next| next.offset);
        }
    }

    /// Decodes the next block into `output`.
    fn next_block(&mut self) -> Result<(), CabError> {
        self.input.clear();
        let mut last_of_segment = true;
        let output = loop {
            let (part, block) = self.next_header()?;
            let size_error =
                |input| CabError::BlockSize { folder: self.index, block: block.number, input, output: usize::from(block.output) };
            let start = self.input.len();
            let end = start.saturating_add(usize::from(block.input));
            // Only the last block in a cabinet can continue in the next one.
            if end > BLOCK_INPUT || !last_of_segment {
                return Err(size_error(end));
            }
            self.input.resize(end, 0);
            let data = self.input.get_mut(start..).unwrap_or_default();
            part.source.read_exact_at(data, block.data.offset.unwrap_or(0)).map_err(|error| cut_off(error, part))?;
            if block.checksum != 0 {
                let found = block_checksum(data, block.input, block.output);
                if found != block.checksum {
                    return Err(CabError::Checksum { folder: self.index, block: block.number, stated: block.checksum, found });
                }
            }
            if block.output > 0 {
                break usize::from(block.output);
            }
            last_of_segment = self.folder.segments.get(self.segment).is_some_and(|segment| self.block == usize::from(segment.blocks));
        };
        self.output.resize(output, 0);
        let number = self.block.saturating_sub(1);
        self.decoder.decode(&self.input, &mut self.output).map_err(|source| CabError::Codec {
            folder: self.index,
            block: number,
            source,
        })?;
        self.taken = 0;
        self.end = self.end.saturating_add(output as u64);
        Ok(())
    }

    /// Decodes until bytes are at hand.
    fn fill(&mut self) -> Result<&[u8], CabError> {
        if self.failed {
            return Err(CabError::Abandoned(self.index));
        }
        if self.taken >= self.output.len() {
            // Cleared by success only.
            self.failed = true;
            self.next_block()?;
            self.failed = false;
        }
        Ok(self.output.get(self.taken..).unwrap_or_default())
    }

    /// Decodes up to byte `offset` of the folder.
    pub fn skip_to(&mut self, offset: u64) -> Result<(), CabError> {
        loop {
            let position = self.end.saturating_sub(self.output.len().saturating_sub(self.taken) as u64);
            let Some(distance) = offset.checked_sub(position).filter(|distance| *distance > 0) else { return Ok(()) };
            let held = self.fill()?.len();
            self.taken = self.taken.saturating_add(usize::try_from(distance).unwrap_or(usize::MAX).min(held));
        }
    }

    /// The next `length` bytes as a member.
    pub fn member(&mut self, length: u64) -> MemberReader<'_, 'a> {
        MemberReader { bytes: Bytes::Folder(self), left: length }
    }
}

enum Bytes<'r, 'a> {
    Folder(&'r mut FolderReader<'a>),
    /// Decoded before, for members that are the same bytes.
    Memory(&'r [u8]),
}

/// The bytes of one member, while its folder is being decoded. What is left unread is skipped.
pub struct MemberReader<'r, 'a> {
    bytes: Bytes<'r, 'a>,
    left: u64,
}

impl<'r> MemberReader<'r, '_> {
    pub(super) fn in_memory(bytes: &'r [u8]) -> Self {
        Self { bytes: Bytes::Memory(bytes), left: bytes.len() as u64 }
    }

    /// Bytes that are at hand, at least one unless the member has ended; decodes a block if there are none.
    fn fill(&mut self) -> Result<&[u8], CabError> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let held = match &mut self.bytes {
            Bytes::Folder(folder) => folder.fill()?,
            Bytes::Memory(bytes) => bytes,
        };
        Ok(usize::try_from(self.left).ok().and_then(|left| held.get(..left)).unwrap_or(held))
    }

    fn consume(&mut self, length: usize) {
        match &mut self.bytes {
            Bytes::Folder(folder) => folder.taken = folder.taken.saturating_add(length),
            Bytes::Memory(bytes) => *bytes = bytes.get(length..).unwrap_or_default(),
        }
        self.left = self.left.saturating_sub(length as u64);
    }

    /// Decodes what is left of the member into memory.
    ///
    /// # Errors
    /// See [`CabError`].
    pub fn read_all(&mut self) -> Result<Vec<u8>, CabError> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.left.min(FIRST_CAPACITY)).unwrap_or(0));
        loop {
            let held = self.fill()?;
            if held.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(held);
            let length = held.len();
            self.consume(length);
        }
    }
}

impl Read for MemberReader<'_, '_> {
    /// An error holds the [`CabError`] as its source.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut held = self.fill().map_err(io::Error::other)?;
        let length = held.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

//! The bytes of a hive file: all in memory, or read bin by bin when they are first needed.

use std::sync::{Arc, OnceLock};

use super::Error;
use super::base_block::BASE_BLOCK_SIZE;
use super::bin::{BIN_HEADER_SIZE, BinHeader, measure};
use super::cell::PAGE;
use crate::io::ReadAt;

/// A file in pieces, in order and without gaps.
#[derive(Clone)]
pub(super) struct Pieces {
    /// Of a file in memory the only one. Else the base block, one for each bin, and one for what is behind the bins.
    pieces: Vec<Piece>,
    /// Of each page of a file in several pieces, which of them it lies in.
    pages: Vec<usize>,
    /// What the pieces are read from; none where all are there.
    source: Option<Arc<dyn ReadAt>>,
    /// Bytes of well-formed bins behind the base block, where they were measured.
    measured: Option<u32>,
}

struct Piece {
    start: usize,
    length: usize,
    bytes: OnceLock<Vec<u8>>,
}

impl Clone for Piece {
    /// With the same room to grow: a hive is cloned to be edited.
    fn clone(&self) -> Self {
        let bytes = self.bytes.get().map(|bytes| {
            let mut copy = Vec::with_capacity(bytes.capacity());
            copy.extend_from_slice(bytes);
            copy
        });
        Self { start: self.start, length: self.length, bytes: bytes.map_or_else(OnceLock::new, OnceLock::from) }
    }
}

impl Pieces {
    /// A file in memory.
    pub fn whole(file: Vec<u8>) -> Self {
        let piece = Piece { start: 0, length: file.len(), bytes: OnceLock::from(file) };
        Self { pieces: vec![piece], pages: Vec::new(), source: None, measured: None }
    }

    /// A file of which only the headers of the bins are read now.
    pub fn on_demand(source: Arc<dyn ReadAt>) -> Result<Self, Error> {
        let size = usize::try_from(source.size()).map_err(|_| Error::Full)?;
        let piece = |start: usize, length| Piece { start, length, bytes: OnceLock::new() };
        let mut pieces = vec![piece(0, size.min(BASE_BLOCK_SIZE))];
        let mut at = 0_u32;
        let left = |at: u32| size.saturating_sub(BASE_BLOCK_SIZE).saturating_sub(at as usize);
        while left(at) > BIN_HEADER_SIZE as usize {
            let mut header = [0; BIN_HEADER_SIZE as usize];
            let start = BASE_BLOCK_SIZE.saturating_add(at as usize);
            source.read_exact_at(&mut header, start as u64)?;
            let available = u32::try_from(left(at)).unwrap_or(u32::MAX);
            let Some(bin) = BinHeader::parse(&header).filter(|bin| bin.fits(at, available)) else { break };
            pieces.push(piece(start, bin.size as usize));
            at = at.saturating_add(bin.size);
        }
        if left(at) > 0 {
            pieces.push(piece(BASE_BLOCK_SIZE.saturating_add(at as usize), left(at)));
        }
        let mut file = Self { pieces, pages: Vec::new(), source: Some(source), measured: Some(at) };
        file.note_pages(0);
        Ok(file)
    }

    /// Bytes of the file.
    pub fn len(&self) -> usize {
        self.pieces.last().map_or(0, |piece| piece.start.saturating_add(piece.length))
    }

    /// Bytes of well-formed bins that follow the base block.
    pub fn measure_bins(&self) -> Result<u32, Error> {
        self.measured.map_or_else(|| Ok(measure(self.at(BASE_BLOCK_SIZE)?)), Ok)
    }

    /// The header of the bin at an offset from the first bin.
    pub fn bin(&self, offset: u32) -> Option<BinHeader> {
        let start = BASE_BLOCK_SIZE.saturating_add(offset as usize);
        if self.measured.is_some_and(|measured| offset < measured) {
            let index = self.pieces.binary_search_by_key(&start, |piece| piece.start).ok()?;
            return Some(BinHeader { offset, size: u32::try_from(self.pieces.get(index)?.length).ok()? });
        }
        BinHeader::parse(self.at(start).ok()?)
    }

    fn index(&self, at: usize) -> usize {
        self.pages.get(at / PAGE).copied().unwrap_or(self.pieces.len().saturating_sub(1))
    }

    /// Notes which pages the pieces from the one at an index on take.
    fn note_pages(&mut self, first: usize) {
        for (index, piece) in self.pieces.iter().enumerate().skip(first) {
            self.pages.resize(piece.start.saturating_add(piece.length).div_ceil(PAGE), index);
        }
    }

    /// From a place in the file to the end of its piece; nothing behind the file's end.
    pub fn at(&self, at: usize) -> Result<&[u8], Error> {
        let Some(piece) = self.pieces.get(self.index(at)) else { return Ok(&[]) };
        let bytes = match piece.bytes.get() {
            Some(bytes) => bytes,
            None => {
                let mut read = vec![0; piece.length];
                self.source.as_ref().map_or(Ok(()), |source| source.read_exact_at(&mut read, piece.start as u64))?;
                piece.bytes.get_or_init(|| read)
            }
        };
        Ok(bytes.get(at.saturating_sub(piece.start)..).unwrap_or_default())
    }

    /// Like [`Pieces::at`], to be changed.
    pub fn at_mut(&mut self, at: usize) -> Result<&mut [u8], Error> {
        self.at(at)?;
        let index = self.index(at);
        let Some(piece) = self.pieces.get_mut(index) else { return Ok(&mut []) };
        let within = at.saturating_sub(piece.start);
        Ok(piece.bytes.get_mut().and_then(|bytes| bytes.get_mut(within..)).unwrap_or_default())
    }

    /// Makes room for a bin at `start`, where the bins end; what was there is zeroed.
    pub fn append(&mut self, start: usize, length: usize) -> Result<(), Error> {
        let end = start.saturating_add(length);
        if self.source.is_some() {
            // What follows the bins in the file stays there, behind the new bin.
            let before = self.pieces.partition_point(|piece| piece.start < start);
            self.pieces.truncate(before);
            self.pages.truncate(start / PAGE);
            self.pieces.push(Piece { start, length, bytes: OnceLock::from(vec![0; length]) });
            self.note_pages(before);
            self.measured = u32::try_from(end.saturating_sub(BASE_BLOCK_SIZE)).ok();
            return Ok(());
        }
        let Some(Piece { length: all, bytes, .. }) = self.pieces.last_mut() else { return Ok(()) };
        let bytes = bytes.get_mut().ok_or(Error::Full)?;
        if bytes.len() < end {
            bytes.resize(end, 0);
            *all = end;
        }
        bytes.get_mut(start..end).unwrap_or_default().fill(0);
        Ok(())
    }

    /// The bytes of a file in memory.
    pub fn into_whole(self) -> Vec<u8> {
        self.pieces.into_iter().next().and_then(|piece| piece.bytes.into_inner()).unwrap_or_default()
    }
}

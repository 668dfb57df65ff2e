//! Quantum, the oldest strong compression of cabinets: LZ77 with an adaptive arithmetic coder.
//!
//! Source: Matthew Russotto, "Quantum compression format" (russotto.net/quantumcomp.html); the framing is that of cabinets.
//! A *selector* (7 symbols) chooses what follows: four kinds of literal (64 values each), a match of length 3, one of
//! length 4, or a match with a coded length. Each has a model of its own, which adapts to what it has seen. Models and
//! window are carried across frames; the arithmetic coder begins anew with each.

use crate::window::{OutsideWindow, Window};

/// Added to a symbol's frequency each time that it is seen.
const STEP: u16 = 8;
/// Total frequency above which a model is scaled down.
const MAXIMUM_TOTAL: u16 = 3800;
/// Scalings before a model is first sorted.
const FIRST_SORT: u32 = 4;
/// Scalings between two sorts.
const SORT_PERIOD: u32 = 50;
/// Bits that the decoder may look at behind the input: the coder holds 16, and encoders may leave out trailing bits.
const LOOKAHEAD: usize = 32;

/// Why a Quantum frame cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantumError {
    /// Cabinets know windows of 10 to 21 bits.
    #[error("a Quantum window of {0} bits: cabinets know 10 to 21")]
    WindowBits(u8),
    /// A frame may decode to 32 KiB at most, and nothing follows a shorter one.
    #[error("a Quantum frame of {0} bytes: only the last frame differs from 32768, and it is shorter")]
    FrameLength(usize),
    /// The frame needs more input than there is.
    #[error("the Quantum frame ends too early")]
    EndOfInput,
    /// A match before the first byte, beyond the window, or past the end of its frame.
    #[error("a Quantum match outside of the window or its frame")]
    Match,
}

impl From<OutsideWindow> for QuantumError {
    fn from(OutsideWindow: OutsideWindow) -> Self {
        Self::Match
    }
}

/// An adaptive model: symbols with their cumulative frequencies.
struct Model {
    /// Symbol and *cumulative* frequency: that of this and all later entries. Never 0, and falling.
    entries: Vec<(u8, u16)>,
    until_sort: u32,
}

impl Model {
    /// `count` symbols, from `first` on, of frequency 1 each.
    fn new(first: u8, count: u8) -> Self {
        Self { entries: (0..count).map(|index| (first + index, u16::from(count - index))).collect(), until_sort: FIRST_SORT }
    }

    fn total(&self) -> u32 {
        self.entries.first().map_or(1, |entry| u32::from(entry.1))
    }

    /// Cumulative frequency behind the entry at `index`.
    fn below(&self, index: usize) -> u16 {
        self.entries.get(index + 1).map_or(0, |entry| entry.1)
    }

    /// Counts the symbol at `index`.
    fn see(&mut self, index: usize) {
        for entry in self.entries.iter_mut().take(index + 1) {
            entry.1 += STEP;
        }
        if self.total() <= u32::from(MAXIMUM_TOTAL) {
            return;
        }
        self.until_sort -= 1;
        if self.until_sort > 0 {
            let mut below = 0;
            for entry in self.entries.iter_mut().rev() {
                entry.1 = (entry.1 / 2).max(below + 1);
                below = entry.1;
            }
            return;
        }
        self.until_sort = SORT_PERIOD;
        for index in 0..self.entries.len() {
            let below = self.below(index);
            self.entries[index].1 = (self.entries[index].1 - below).div_ceil(2);
        }
        // The order of equal frequencies is a part of the format: that of this exchange sort.
        for index in 0..self.entries.len() {
            for later in index + 1..self.entries.len() {
                if self.entries[index].1 < self.entries[later].1 {
                    self.entries.swap(index, later);
                }
            }
        }
        let mut below = 0;
        for entry in self.entries.iter_mut().rev() {
            entry.1 += below;
            below = entry.1;
        }
    }
}

/// The arithmetic coder's state over the bits of one frame.
struct Coder<'a> {
    input: &'a [u8],
    /// Bits taken from `input`.
    position: usize,
    low: u16,
    high: u16,
    code: u16,
}

impl<'a> Coder<'a> {
    fn new(input: &'a [u8]) -> Result<Self, QuantumError> {
        let mut coder = Self { input, position: 0, low: 0, high: 0xFFFF, code: 0 };
        coder.code = coder.bits(16)? as u16;
        Ok(coder)
    }

    /// The next bit; zeros for a while behind the end.
    fn bit(&mut self) -> Result<u16, QuantumError> {
        let byte = self.input.get(self.position / 8).copied();
        if byte.is_none() && self.position >= self.input.len() * 8 + LOOKAHEAD {
            return Err(QuantumError::EndOfInput);
        }
        let bit = byte.unwrap_or(0) >> (7 - self.position % 8) & 1;
        self.position += 1;
        Ok(u16::from(bit))
    }

    /// Plain bits, highest first.
    fn bits(&mut self, count: u32) -> Result<u32, QuantumError> {
        (0..count).try_fold(0, |value, _| Ok(value << 1 | u32::from(self.bit()?)))
    }

    fn symbol(&mut self, model: &mut Model) -> Result<u8, QuantumError> {
        let range = u32::from(self.high.wrapping_sub(self.low)) + 1;
        let total = model.total();
        let frequency = ((u32::from(self.code.wrapping_sub(self.low)) + 1) * total - 1) / range;
        let index = model.entries.iter().skip(1).position(|entry| u32::from(entry.1) <= frequency).unwrap_or(model.entries.len() - 1);
        let (symbol, above) = model.entries[index];
        let below = model.below(index);
        self.high = self.low.wrapping_add((u32::from(above) * range / total).wrapping_sub(1) as u16);
        self.low = self.low.wrapping_add((u32::from(below) * range / total) as u16);
        model.see(index);
        // Shift out what both bounds agree on; where they only straddle the middle, leave out their second bit.
        loop {
            if (self.low ^ self.high) & 0x8000 != 0 {
                if self.low & 0x4000 == 0 || self.high & 0x4000 != 0 {
                    return Ok(symbol);
                }
                self.code ^= 0x4000;
                self.low &= 0x3FFF;
                self.high |= 0x4000;
            }
            self.low <<= 1;
            self.high = self.high << 1 | 1;
            self.code = self.code << 1 | self.bit()?;
        }
    }
}

/// The models, carried across frames.
struct Models {
    selector: Model,
    literals: [Model; 4],
    /// Position slots of matches of length 3, of length 4, and of a coded length.
    positions: [Model; 3],
    length: Model,
}

impl Models {
    fn new(window_bits: u8) -> Self {
        let slots = window_bits * 2;
        Self {
            selector: Model::new(0, 7),
            literals: [Model::new(0, 64), Model::new(64, 64), Model::new(128, 64), Model::new(192, 64)],
            positions: [Model::new(0, slots.min(24)), Model::new(0, slots.min(36)), Model::new(0, slots)],
            length: Model::new(0, 27),
        }
    }
}

/// Base and extra bits of a position slot.
fn position_slot(slot: u8) -> (u32, u32) {
    match u32::from(slot) {
        slot @ 0..4 => (slot, 0),
        slot => {
            let extra = slot / 2 - 1;
            ((2 + slot % 2) << extra, extra)
        }
    }
}

/// Base and extra bits of a length slot, of 27.
fn length_slot(slot: u8) -> (u32, u32) {
    match u32::from(slot) {
        slot @ 0..6 => (slot, 0),
        slot @ 6..26 => {
            let (group, step) = ((slot - 6) / 4 + 1, (slot - 6) % 4);
            ((4 << group) - 2 + (step << group), group)
        }
        _ => (254, 0),
    }
}

/// Decodes the frames of one folder in order.
pub struct QuantumDecoder {
    window: Window,
    models: Models,
}

impl QuantumDecoder {
    /// A decoder at the start of a folder, with a window of `1 << window_bits` bytes.
    ///
    /// # Errors
    /// [`QuantumError::WindowBits`] unless `window_bits` is 10 to 21.
    pub fn new(window_bits: u8) -> Result<Self, QuantumError> {
        if !(10..=21).contains(&window_bits) {
            return Err(QuantumError::WindowBits(window_bits));
        }
        Ok(Self { window: Window::new(window_bits), models: Models::new(window_bits) })
    }

    /// Decodes the next frame into `output`, which has the length that the cabinet states.
    ///
    /// # Errors
    /// See [`QuantumError`]. The decoder is of no use afterwards.
    pub fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), QuantumError> {
        if !self.window.start_frame(output.len()) {
            return Err(QuantumError::FrameLength(output.len()));
        }
        let mut coder = Coder::new(input)?;
        let Models { selector, literals, positions, length } = &mut self.models;
        while self.window.left() > 0 {
            let selected = usize::from(coder.symbol(selector)?);
            if let Some(model) = literals.get_mut(selected) {
                let literal = coder.symbol(model)?;
                self.window.push(literal);
                continue;
            }
            let matched = match selected {
                4 => 3,
                5 => 4,
                _ => {
                    let (base, extra) = length_slot(coder.symbol(length)?);
                    5 + base + coder.bits(extra)?
                }
            };
            let model = positions.get_mut(selected - 4).ok_or(QuantumError::Match)?;
            let (base, extra) = position_slot(coder.symbol(model)?);
            let distance = base + coder.bits(extra)? + 1;
            self.window.copy(distance as usize, matched as usize)?;
        }
        output.copy_from_slice(self.window.frame());
        Ok(())
    }
}

#[cfg(test)]
mod tests;

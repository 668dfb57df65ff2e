//! An encoder for the tests: no program that writes Quantum is at hand. It shares only the models with the decoder, and
//! its output is judged by cabextract and 7-Zip.

use std::collections::HashMap;
use std::process::Command;

use proptest::prelude::*;
use wimwright_testkit::{oracles, run};

use super::*;
use crate::window::FRAME;

/// What the decoder reads next: a bit of the arithmetic code, or a plain one.
enum Slot {
    Arithmetic,
    Plain(bool),
}

/// The encoder's side of [`Coder`].
struct FrameEncoder {
    slots: Vec<Slot>,
    /// Bits of the arithmetic code, in order.
    code: Vec<bool>,
    low: u16,
    high: u16,
    /// Shifts whose bit is not decided yet.
    pending: usize,
}

impl FrameEncoder {
    fn new() -> Self {
        Self { slots: (0..16).map(|_| Slot::Arithmetic).collect(), code: Vec::new(), low: 0, high: 0xFFFF, pending: 0 }
    }

    fn emit(&mut self, bit: bool) {
        self.code.push(bit);
        self.code.extend(std::iter::repeat_n(!bit, self.pending));
        self.pending = 0;
    }

    fn symbol(&mut self, model: &mut Model, symbol: u8) {
        let index = model.entries.iter().position(|entry| entry.0 == symbol).unwrap();
        let (range, total) = (u32::from(self.high - self.low) + 1, model.total());
        let (above, below) = (u32::from(model.entries[index].1), u32::from(model.below(index)));
        self.high = self.low + (above * range / total - 1) as u16;
        self.low += (below * range / total) as u16;
        model.see(index);
        loop {
            if (self.low ^ self.high) & 0x8000 == 0 {
                self.emit(self.low & 0x8000 != 0);
            } else if self.low & 0x4000 != 0 && self.high & 0x4000 == 0 {
                self.pending += 1;
                self.low &= 0x3FFF;
                self.high |= 0x4000;
            } else {
                return;
            }
            self.low <<= 1;
            self.high = self.high << 1 | 1;
            self.slots.push(Slot::Arithmetic);
        }
    }

    fn bits(&mut self, value: u32, count: u32) {
        self.slots.extend((0..count).rev().map(|bit| Slot::Plain(value >> bit & 1 == 1)));
    }

    fn finish(mut self) -> Vec<u8> {
        self.pending += 1;
        self.emit(self.low & 0x4000 != 0);
        let mut code = self.code.into_iter();
        let mut bits: Vec<bool> = self
            .slots
            .iter()
            .map(|slot| match slot {
                Slot::Arithmetic => code.next().unwrap_or(false),
                Slot::Plain(bit) => *bit,
            })
            .collect();
        // 7-Zip asks for two zero bits behind what the decoder has read.
        bits.resize((bits.len() + 2).next_multiple_of(8), false);
        bits.chunks(8).map(|byte| byte.iter().fold(0, |value, bit| value << 1 | u8::from(*bit))).collect()
    }
}

/// The slot of a value, with what is left for its extra bits.
fn slot_of(value: u32, count: u8, slot: fn(u8) -> (u32, u32)) -> Option<(u8, u32, u32)> {
    let number = (0..count).rev().find(|number| slot(*number).0 <= value)?;
    let (base, extra) = slot(number);
    (value - base < 1 << extra).then_some((number, value - base, extra))
}

/// Encodes `data` as the frames of one folder.
fn encode(data: &[u8], window_bits: u8) -> Vec<Vec<u8>> {
    let mut models = Models::new(window_bits);
    let mut latest: HashMap<&[u8], usize> = HashMap::new();
    let mut frames = Vec::new();
    for start in (0..data.len()).step_by(FRAME) {
        let end = data.len().min(start + FRAME);
        let mut encoder = FrameEncoder::new();
        let mut position = start;
        while position < end {
            let here = data.get(position..position + 3);
            let before = here.and_then(|three| latest.get(three)).copied().filter(|before| position - before <= 1 << window_bits);
            let found = before.and_then(|before| {
                let length = (0..(end - position).min(259)).take_while(|offset| data[before + offset] == data[position + offset]).count();
                let distance = (position - before - 1) as u32;
                let kind = length.checked_sub(3)?.min(2);
                let slots = models.positions[kind].entries.len() as u8;
                slot_of(distance, slots, position_slot).map(|distance| (length, kind, distance))
            });
            let length = if let Some((length, kind, (slot, rest, extra))) = found {
                encoder.symbol(&mut models.selector, 4 + kind as u8);
                if kind == 2 {
                    let (slot, rest, extra) = slot_of(length as u32 - 5, 27, length_slot).unwrap();
                    encoder.symbol(&mut models.length, slot);
                    encoder.bits(rest, extra);
                }
                encoder.symbol(&mut models.positions[kind], slot);
                encoder.bits(rest, extra);
                length
            } else {
                let literal = data[position];
                encoder.symbol(&mut models.selector, literal >> 6);
                encoder.symbol(&mut models.literals[usize::from(literal >> 6)], literal);
                1
            };
            for place in position..position + length {
                if let Some(three) = data.get(place..place + 3) {
                    latest.insert(three, place);
                }
            }
            position += length;
        }
        frames.push(encoder.finish());
    }
    frames
}

fn decode(frames: &[Vec<u8>], length: usize, window_bits: u8) -> Result<Vec<u8>, QuantumError> {
    let mut decoder = QuantumDecoder::new(window_bits)?;
    let mut data = vec![0; length];
    for (frame, output) in frames.iter().zip(data.chunks_mut(FRAME)) {
        decoder.decode(frame, output)?;
    }
    Ok(data)
}

/// A cabinet of one file, `data`, with the frames as its blocks; without checksums.
fn cabinet(frames: &[Vec<u8>], length: usize, window_bits: u8) -> Vec<u8> {
    let mut bytes = b"MSCF\0\0\0\0".to_vec();
    let size = 36 + 8 + 16 + 5 + frames.iter().map(|frame| 8 + frame.len()).sum::<usize>();
    for field in [size as u32, 0, 44, 0] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend([3, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(65_u32.to_le_bytes());
    bytes.extend((frames.len() as u16).to_le_bytes());
    bytes.extend([0x72, window_bits]);
    bytes.extend((length as u32).to_le_bytes());
    bytes.extend([0, 0, 0, 0, 0, 0, 0x21, 0x50, 0, 0, 0x20, 0]);
    bytes.extend(b"data\0");
    for (number, frame) in frames.iter().enumerate() {
        bytes.extend([0; 4]);
        bytes.extend((frame.len() as u16).to_le_bytes());
        bytes.extend(((length - number * FRAME).min(FRAME) as u16).to_le_bytes());
        bytes.extend(frame);
    }
    assert_eq!(bytes.len(), size);
    bytes
}

/// Words in changing order with runs and noise between them: literals and matches of every kind.
fn words(length: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let mut random = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut data = Vec::with_capacity(length + 600);
    while data.len() < length {
        match random(12) {
            0 => data.extend((0..random(20)).map(|_| random(256) as u8)),
            1 => data.extend(std::iter::repeat_n(random(256) as u8, random(600) as usize)),
            2 => {
                let start = random(data.len().max(1) as u32) as usize;
                let end = data.len().min(start + random(300) as usize);
                data.extend_from_within(start..end);
            }
            number => data.extend(format!("component_{}_{number} ", random(40)).bytes()),
        }
    }
    data.truncate(length);
    data
}

#[test]
fn oracle_both_judges_decode_what_we_decode() {
    if !oracles(&["cabextract", "7z"]) {
        return;
    }
    for (window_bits, length) in [(10, 100_000), (15, 200_001), (18, 300_000), (21, 3 * FRAME)] {
        let data = words(length);
        let frames = encode(&data, window_bits);
        let compressed: usize = frames.iter().map(Vec::len).sum();
        assert!(compressed < length * 2 / 3, "matches were found: {compressed} of {length}");
        assert!(decode(&frames, length, window_bits).unwrap() == data, "ours, {window_bits} bits");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quantum.cab");
        std::fs::write(&path, cabinet(&frames, length, window_bits)).unwrap();
        assert!(run(Command::new("cabextract").args(["-q", "-p"]).arg(&path)).stdout == data, "cabextract, {window_bits} bits");
        assert!(run(Command::new("7z").args(["x", "-so"]).arg(&path)).stdout == data, "7-Zip, {window_bits} bits");
    }
}

#[test]
fn broken_frames_are_errors() {
    let data = words(40_000);
    let frames = encode(&data, 15);
    let cut_off = decode(&[frames[0][..100].to_vec()], FRAME, 15);
    assert!(matches!(cut_off, Err(QuantumError::EndOfInput | QuantumError::Match)), "{cut_off:?}");
    assert_eq!(decode(&[Vec::new()], FRAME, 15), Err(QuantumError::EndOfInput), "zeros behind the end are read for a while only");
    assert_eq!(decode(&frames, 40_000, 9).unwrap_err(), QuantumError::WindowBits(9));
    let mut decoder = QuantumDecoder::new(15).unwrap();
    assert_eq!(decoder.decode(&frames[0], &mut vec![0; FRAME + 1]), Err(QuantumError::FrameLength(FRAME + 1)));
    // The second frame alone refers to the first.
    assert_eq!(decode(&frames[1..], 40_000 - FRAME, 15).ok().filter(|decoded| *decoded == data[FRAME..]), None);
    for place in (0..frames[0].len()).step_by(37) {
        let mut broken = frames[0].clone();
        broken[place] ^= 0x10;
        let _ = decode(&[broken], FRAME, 15);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_data_comes_back(seed in prop::collection::vec(any::<u8>(), 0..300), times in 1_usize..200, window_bits in 10_u8..=21) {
        let data = seed.repeat(times);
        prop_assert!(decode(&encode(&data, window_bits), data.len(), window_bits).unwrap() == data);
    }
}

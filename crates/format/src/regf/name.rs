//! Names of keys and values: how they are stored, compared and hashed.
//!
//! A name is UTF-16. Where every unit is below 256 Windows stores the low bytes only ("compressed"). Comparison and
//! hashing see the name in upper case (`upcase`).

use std::fmt;

use super::upcase::upcase;

/// Longest key name in UTF-16 units (Microsoft Learn, "Registry element size limits").
pub const MAX_KEY_NAME: usize = 255;
/// Longest value name in UTF-16 units (same source).
pub const MAX_VALUE_NAME: usize = 16_383;

/// A name as it lies in a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub bytes: &'a [u8],
    pub compressed: bool,
}

impl<'a> Name<'a> {
    /// The UTF-16 units. An odd byte at the end of an uncompressed name is left out, as Windows leaves it.
    pub fn units(self) -> impl Iterator<Item = u16> + Clone + 'a {
        let step = if self.compressed { 1 } else { 2 };
        self.bytes.chunks_exact(step).map(|unit| match unit {
            [low, high] => u16::from_le_bytes([*low, *high]),
            [low, ..] => u16::from(*low),
            [] => 0,
        })
    }

    /// The units in upper case.
    pub fn upcased(self) -> impl Iterator<Item = u16> + Clone + 'a {
        self.units().map(upcase)
    }

    /// Bytes of the name as UTF-16.
    pub fn utf16_length(self) -> u32 {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        if self.compressed { length.saturating_mul(2) } else { length }
    }
}

impl fmt::Display for Name<'_> {
    /// Unpaired surrogates show as U+FFFD.
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        char::decode_utf16(self.units()).try_for_each(|unit| write!(output, "{}", unit.unwrap_or(char::REPLACEMENT_CHARACTER)))
    }
}

/// The bytes that store `name`, and whether they are the compressed form.
pub(super) fn encode(name: &str) -> (Vec<u8>, bool) {
    let low_bytes: Option<Vec<u8>> = name.encode_utf16().map(|unit| u8::try_from(unit).ok()).collect();
    match low_bytes {
        Some(bytes) => (bytes, true),
        None => (name.encode_utf16().flat_map(u16::to_le_bytes).collect(), false),
    }
}

/// A name to look for: upper case, ready to be compared.
pub(super) fn upcased(name: &str) -> Vec<u16> {
    name.encode_utf16().map(upcase).collect()
}

/// The hash that an `lh` list stores beside a key.
pub(super) fn hash(upcased: impl Iterator<Item = u16>) -> u32 {
    upcased.fold(0, |hash: u32, unit| hash.wrapping_mul(37).wrapping_add(u32::from(unit)))
}

/// The hint that an `lf` list stores beside a key: the low bytes of the first four units, or zero where one of them has
/// no such form.
pub(super) fn hint(units: impl Iterator<Item = u16>) -> u32 {
    let mut bytes = [0; 4];
    for (byte, unit) in bytes.iter_mut().zip(units) {
        let Ok(low) = u8::try_from(unit) else { return 0 };
        *byte = low;
    }
    u32::from_le_bytes(bytes)
}

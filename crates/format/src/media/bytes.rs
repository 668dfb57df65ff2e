//! Fields of on-disk structures: read with bounds checked, appended with offsets counted.

use super::volume::VolumeError;
use crate::io::ReadAt;

/// The bytes of one structure, and where it lies, for errors that say so.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    structure: &'static str,
    offset: u64,
}

impl<'a> Fields<'a> {
    /// `bytes` of the `structure` at `offset` in the image.
    pub fn new(bytes: &'a [u8], structure: &'static str, offset: u64) -> Self {
        Self { bytes, structure, offset }
    }

    pub fn malformed(&self, problem: &'static str) -> VolumeError {
        VolumeError::Malformed { structure: self.structure, offset: self.offset, problem }
    }

    pub fn unsupported(&self, feature: &'static str) -> VolumeError {
        VolumeError::Unsupported { structure: self.structure, offset: self.offset, feature }
    }

    pub fn bytes(&self, at: usize, length: usize) -> Result<&'a [u8], VolumeError> {
        let found = at.checked_add(length).and_then(|end| self.bytes.get(at..end));
        found.ok_or_else(|| self.malformed("a field reaches past its end"))
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], VolumeError> {
        let bytes = self.bytes(at, N)?;
        bytes.try_into().map_err(|_| self.malformed("a field reaches past its end"))
    }

    pub fn u8(&self, at: usize) -> Result<u8, VolumeError> {
        Ok(u8::from_le_bytes(self.array(at)?))
    }

    /// Little-endian, as everything in UDF.
    pub fn u16(&self, at: usize) -> Result<u16, VolumeError> {
        Ok(u16::from_le_bytes(self.array(at)?))
    }

    /// Little-endian.
    pub fn u32(&self, at: usize) -> Result<u32, VolumeError> {
        Ok(u32::from_le_bytes(self.array(at)?))
    }

    /// Little-endian.
    pub fn u64(&self, at: usize) -> Result<u64, VolumeError> {
        Ok(u64::from_le_bytes(self.array(at)?))
    }
}

/// Reads `length` bytes at `offset`; the caller has bounded `length`.
pub(crate) fn read(source: &dyn ReadAt, structure: &'static str, offset: u64, length: usize) -> Result<Vec<u8>, VolumeError> {
    // Asked first, so that a small image with a large number in it costs no memory.
    if offset.checked_add(length as u64).is_none_or(|end| end > source.size()) {
        return Err(VolumeError::Malformed { structure, offset, problem: "it lies outside the image" });
    }
    let mut bytes = vec![0; length];
    source.read_exact_at(&mut bytes, offset).map_err(|source| VolumeError::Read { structure, offset, source })?;
    Ok(bytes)
}

/// A structure being written: fields are appended in their on-disk order.
#[derive(Default)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    /// Little-endian.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Little-endian.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Little-endian.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Both byte orders, little first: ISO 9660's numbers (ECMA-119 7.2.3).
    pub fn both16(&mut self, value: u16) -> &mut Self {
        self.u16(value).bytes(&value.to_be_bytes())
    }

    /// Both byte orders, little first (ECMA-119 7.3.3).
    pub fn both32(&mut self, value: u32) -> &mut Self {
        self.u32(value).bytes(&value.to_be_bytes())
    }

    /// Zeros up to `length` bytes in all.
    pub fn pad_to(&mut self, length: usize) -> &mut Self {
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
        self
    }

    /// Zeros up to the next multiple of `alignment` (not 0).
    pub fn align(&mut self, alignment: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        self
    }

    /// `text` cut to `length` bytes and filled with spaces: ISO 9660's character fields.
    pub fn text(&mut self, text: &str, length: usize) -> &mut Self {
        let end = self.bytes.len().saturating_add(length);
        self.bytes.extend(text.bytes().take(length));
        self.bytes.resize(end, b' ');
        self
    }

    /// What was appended; the encoder is empty afterwards.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

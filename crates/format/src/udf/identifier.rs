//! Names in OSTA compressed Unicode (UDF 2.1.1): a compression identifier, then 8 or 16 bits for each code unit.

use crate::media::VolumeError;
use crate::media::bytes::{Encoder, Fields};

/// Decodes compressed Unicode: 8 and 16, and 254 and 255 of deleted names. Empty bytes are the empty name.
pub fn decode(fields: &Fields<'_>, bytes: &[u8]) -> Result<String, VolumeError> {
    match bytes.split_first() {
        None => Ok(String::new()),
        Some((8 | 254, units)) => Ok(units.iter().map(|unit| char::from(*unit)).collect()),
        Some((16 | 255, units)) => {
            let (units, rest) = units.as_chunks::<2>();
            let name = char::decode_utf16(units.iter().map(|unit| u16::from_be_bytes(*unit))).collect::<Result<String, _>>();
            match name {
                Ok(name) if rest.is_empty() => Ok(name),
                _ => Err(fields.malformed("a name is not UTF-16")),
            }
        }
        Some(_) => Err(fields.malformed("a name has an unknown compression identifier")),
    }
}

/// Decodes a fixed-length field (1/7.2.12): compressed Unicode, filled with zeros, its length in the last byte.
pub fn decode_field(fields: &Fields<'_>, at: usize, length: usize) -> Result<String, VolumeError> {
    let field = fields.bytes(at, length)?;
    let used = field.last().copied().unwrap_or(0);
    let Some(bytes) = field.get(..usize::from(used)) else { return Err(fields.malformed("a name is longer than its field")) };
    Ok(decode(fields, bytes)?.trim_end_matches(['\0', ' ']).to_owned())
}

/// Encodes a name in 8 bits for each character if it can be, else in UTF-16, big-endian.
pub fn encode(name: &str) -> Vec<u8> {
    if name.is_empty() {
        return Vec::new();
    }
    let narrow: Option<Vec<u8>> = name.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect();
    match narrow {
        Some(units) => [&[8], units.as_slice()].concat(),
        None => [16].into_iter().chain(name.encode_utf16().flat_map(u16::to_be_bytes)).collect(),
    }
}

/// Bytes of the encoded name. A file identifier may have 255 at most.
pub fn length(name: &str) -> usize {
    encode(name).len()
}

/// Writes a fixed-length field of `length` bytes, with as many characters of `name` as fit.
pub fn put_field(encoder: &mut Encoder, name: &str, length: usize) {
    let mut name = name;
    let room = length.saturating_sub(1);
    let encoded = loop {
        let encoded = encode(name);
        match name.char_indices().next_back() {
            Some((at, _)) if encoded.len() > room => name = name.get(..at).unwrap_or_default(),
            _ => break encoded,
        }
    };
    let end = encoder.length().saturating_add(room);
    encoder.bytes(&encoded).pad_to(end).u8(u8::try_from(encoded.len()).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_keep_what_fits() {
        let mut encoder = Encoder::default();
        put_field(&mut encoder, "ABCDEFG", 6);
        put_field(&mut encoder, "Ж€Ж", 6);
        put_field(&mut encoder, "", 4);
        assert_eq!(encoder.take(), b"\x08ABCD\x05\x10\x04\x16\x20\xAC\x05\0\0\0\0");
    }

    proptest! {
        #[test]
        fn names_round_trip(name in "\\PC{0,60}") {
            let encoded = encode(&name);
            prop_assert_eq!(decode(&Fields::new(&[], "test", 0), &encoded).unwrap(), name);
        }

        #[test]
        fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let fields = Fields::new(&bytes, "test", 0);
            let _ = (decode(&fields, &bytes), decode_field(&fields, 0, bytes.len()));
        }
    }
}

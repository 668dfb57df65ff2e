//! Encodings of scripts.

use super::Error;

/// The characters of Windows-1252 from 0x80 to 0x9F. The five codes without a character stay what they are, as in
/// Windows.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8D}', 'Ž', '\u{8F}', '\u{90}', '‘', '’', '“', '”', '•', '–',
    '—', '˜', '™', 'š', '›', 'œ', '\u{9D}', 'ž', 'Ÿ',
];

/// A text file as a string: UTF-16 by its byte order mark (or by the zeros beside its ASCII letters), UTF-8 where it is
/// that, else Windows-1252.
pub(super) fn decode(bytes: &[u8]) -> Result<String, Error> {
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest),
        [first, 0, ..] if *first != 0 => utf16(bytes, u16::from_le_bytes),
        [0, second, ..] if *second != 0 => utf16(bytes, u16::from_be_bytes),
        _ => Ok(std::str::from_utf8(bytes).map_or_else(|_| windows_1252(bytes), str::to_owned)),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, Error> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Error::Encoding("it has the mark of UTF-8 and is not UTF-8"))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Error> {
    let (units, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(Error::Encoding("it is UTF-16 with half a character at its end"));
    }
    let units = units.iter().map(|bytes| unit(*bytes));
    char::decode_utf16(units).collect::<Result<_, _>>().map_err(|_| Error::Encoding("it is UTF-16 with an unpaired surrogate"))
}

/// Text in the code page of western Windows.
pub(super) fn windows_1252(bytes: &[u8]) -> String {
    let decode = |byte: &u8| match byte {
        0x80..=0x9F => WINDOWS_1252.get(usize::from(byte & 0x1F)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
        other => char::from(*other),
    };
    bytes.iter().map(decode).collect()
}

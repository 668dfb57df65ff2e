//! Types of value data, and their encodings.

use std::fmt;

/// The type of a value's data, as stored. Windows keeps any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueKind(pub u32);

impl ValueKind {
    /// No type.
    pub const NONE: Self = Self(0);
    /// UTF-16 text with a null character at its end.
    pub const SZ: Self = Self(1);
    /// Text with `%variables%`.
    pub const EXPAND_SZ: Self = Self(2);
    /// Bytes.
    pub const BINARY: Self = Self(3);
    /// 32-bit number, little-endian.
    pub const DWORD: Self = Self(4);
    /// 32-bit number, big-endian.
    pub const DWORD_BIG_ENDIAN: Self = Self(5);
    /// Target of a symbolic link: UTF-16 text without a null character at its end.
    pub const LINK: Self = Self(6);
    /// Texts, each with a null character at its end, and one null character more.
    pub const MULTI_SZ: Self = Self(7);
    /// Hardware resources.
    pub const RESOURCE_LIST: Self = Self(8);
    /// Hardware resources.
    pub const FULL_RESOURCE_DESCRIPTOR: Self = Self(9);
    /// Hardware resources.
    pub const RESOURCE_REQUIREMENTS_LIST: Self = Self(10);
    /// 64-bit number, little-endian.
    pub const QWORD: Self = Self(11);
}

impl fmt::Display for ValueKind {
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "REG_NONE",
            1 => "REG_SZ",
            2 => "REG_EXPAND_SZ",
            3 => "REG_BINARY",
            4 => "REG_DWORD",
            5 => "REG_DWORD_BIG_ENDIAN",
            6 => "REG_LINK",
            7 => "REG_MULTI_SZ",
            8 => "REG_RESOURCE_LIST",
            9 => "REG_FULL_RESOURCE_DESCRIPTOR",
            10 => "REG_RESOURCE_REQUIREMENTS_LIST",
            11 => "REG_QWORD",
            other => return write!(output, "{other:#x}"),
        };
        output.write_str(name)
    }
}

/// A value's data by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// REG_SZ.
    Text(String),
    /// REG_EXPAND_SZ.
    ExpandableText(String),
    /// REG_MULTI_SZ.
    Texts(Vec<String>),
    /// REG_DWORD.
    Dword(u32),
    /// REG_QWORD.
    Qword(u64),
    /// REG_BINARY.
    Binary(Vec<u8>),
    /// Any other type, or data that does not fit its type.
    Other(ValueKind, Vec<u8>),
}

impl Data {
    /// Reads `bytes` as `kind` says.
    ///
    /// Text ends at its first null character, as for programs that call `RegGetValue`; unpaired surrogates become
    /// U+FFFD. So `decode` then `encode` need not give the same bytes: to carry data over, carry the bytes.
    #[must_use]
    pub fn decode(kind: ValueKind, bytes: &[u8]) -> Self {
        match (kind, bytes.len()) {
            (ValueKind::SZ, _) => Self::Text(first_text(bytes)),
            (ValueKind::EXPAND_SZ, _) => Self::ExpandableText(first_text(bytes)),
            (ValueKind::MULTI_SZ, _) => Self::Texts(texts(bytes)),
            (ValueKind::DWORD, 4) => super::field::u32_at(bytes, 0).map_or_else(|| Self::Other(kind, bytes.to_vec()), Self::Dword),
            (ValueKind::QWORD, 8) => super::field::u64_at(bytes, 0).map_or_else(|| Self::Other(kind, bytes.to_vec()), Self::Qword),
            (ValueKind::BINARY, _) => Self::Binary(bytes.to_vec()),
            _ => Self::Other(kind, bytes.to_vec()),
        }
    }

    /// The type and the bytes to store. Text gets its null characters.
    #[must_use]
    pub fn encode(&self) -> (ValueKind, Vec<u8>) {
        match self {
            Self::Text(text) => (ValueKind::SZ, encode_text(text)),
            Self::ExpandableText(text) => (ValueKind::EXPAND_SZ, encode_text(text)),
            Self::Texts(texts) => {
                let mut bytes: Vec<u8> = texts.iter().flat_map(|text| encode_text(text)).collect();
                bytes.extend_from_slice(&[0, 0]);
                (ValueKind::MULTI_SZ, bytes)
            }
            Self::Dword(number) => (ValueKind::DWORD, number.to_le_bytes().to_vec()),
            Self::Qword(number) => (ValueKind::QWORD, number.to_le_bytes().to_vec()),
            Self::Binary(bytes) => (ValueKind::BINARY, bytes.clone()),
            Self::Other(kind, bytes) => (*kind, bytes.clone()),
        }
    }
}

fn units(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).filter_map(|unit| super::field::u16_at(unit, 0))
}

fn decode_units(units: impl Iterator<Item = u16>) -> String {
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn first_text(bytes: &[u8]) -> String {
    decode_units(units(bytes).take_while(|unit| *unit != 0))
}

fn texts(bytes: &[u8]) -> Vec<String> {
    let all: Vec<u16> = units(bytes).collect();
    all.split(|unit| *unit == 0).take_while(|text| !text.is_empty()).map(|text| decode_units(text.iter().copied())).collect()
}

fn encode_text(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

//! Writing `.reg` files of version 5, in the layout of regedit.

use std::fmt::Write as _;

use crate::regf::{Data, Error, Hive, KeyId, Value, ValueKind};

/// A line of hex data goes on in the next once it is longer than this: as in files of regedit.
const WRAP_COLUMN: usize = 76;

/// The text of a `.reg` file that holds a key and everything below it. `path` is what to call the key:
/// `HKEY_LOCAL_MACHINE\SOFTWARE\…`. Use [`encode`] for the bytes of the file.
///
/// A `.reg` file has no place for class names, security descriptors and times; names with unpaired surrogates are
/// written with U+FFFD.
///
/// # Errors
/// When the hive is damaged below the key.
pub fn export(hive: &Hive, key: KeyId, path: &str) -> Result<String, Error> {
    let mut text = "Windows Registry Editor Version 5.00\r\n\r\n".to_owned();
    // The path down to the key of the walk, by depth.
    let mut parts: Vec<String> = Vec::new();
    for step in hive.walk(key) {
        let (key, depth) = step?;
        parts.truncate(depth);
        parts.push(if depth == 0 { path.to_owned() } else { hive.name(key)? });
        text += "[";
        text += &parts.join("\\");
        text += "]\r\n";
        let mut values = hive.values(key)?;
        // Regedit puts the default value first.
        values.sort_by_key(|value| !value.name().is_empty());
        for value in values {
            write_value(&mut text, &value)?;
        }
        text += "\r\n";
    }
    Ok(text)
}

/// The file of a `.reg` text: UTF-16, little-endian, with a byte order mark.
#[must_use]
pub fn encode(text: &str) -> Vec<u8> {
    ['\u{FEFF}'].into_iter().chain(text.chars()).flat_map(encode_character).collect()
}

fn encode_character(character: char) -> impl Iterator<Item = u8> {
    let mut units = [0; 2];
    let length = character.encode_utf16(&mut units).len();
    units.into_iter().take(length).flat_map(u16::to_le_bytes)
}

fn write_value(text: &mut String, value: &Value<'_>) -> Result<(), Error> {
    let name = value.name();
    let mut line = if name.is_empty() { "@=".to_owned() } else { format!("{}=", quote(&name)) };
    let (kind, data) = (value.kind(), value.data()?);
    match Data::decode(kind, &data) {
        // Only a string whose bytes come back the same can be written as one.
        Data::Text(string) if Data::Text(string.clone()).encode().1 == *data => line += &quote(&string),
        // Writing to a String cannot fail.
        Data::Dword(number) => write!(line, "dword:{number:08x}").unwrap_or_default(),
        _ => write_hex(&mut line, kind, &data),
    }
    text.push_str(&line);
    text.push_str("\r\n");
    Ok(())
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn write_hex(line: &mut String, kind: ValueKind, data: &[u8]) {
    *line += &if kind == ValueKind::BINARY { "hex:".to_owned() } else { format!("hex({:x}):", kind.0) };
    let mut column = line.encode_utf16().count();
    let mut bytes = data.iter().peekable();
    while let Some(byte) = bytes.next() {
        if column > WRAP_COLUMN {
            line.push_str("\\\r\n  ");
            column = 2;
        }
        // Writing to a String cannot fail.
        write!(line, "{byte:02x}").unwrap_or_default();
        if bytes.peek().is_some() {
            line.push(',');
        }
        column = column.saturating_add(3);
    }
}

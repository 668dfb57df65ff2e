//! Reading `.reg` files.

use std::iter::Peekable;
use std::str::Chars;

use super::{Change, Error, normalize_path, text};
use crate::regf::{Data, ValueKind};

/// Reads a `.reg` file of version 4 (`REGEDIT4`) or 5.
///
/// The encoding is UTF-16 (with or without a byte order mark), UTF-8, or Windows-1252. In version 4, `hex(2)` and
/// `hex(7)` data is text in Windows-1252, which becomes UTF-16.
///
/// # Errors
/// [`Error`] with the line of whatever Windows would not read as it was meant, or would skip.
pub fn parse(file: &[u8]) -> Result<Vec<Change>, Error> {
    let text = text::decode(file)?;
    let mut parser = Parser { rest: text.chars().peekable(), line: 1, version_4: false, key: Key::None, changes: Vec::new() };
    parser.header()?;
    while parser.skip_blank() {
        match parser.rest.peek() {
            Some('[') => parser.key()?,
            Some('@' | '"') => parser.value()?,
            _ => return parser.fail("neither a key, a value nor a comment"),
        }
    }
    Ok(parser.changes)
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
    version_4: bool,
    key: Key,
    changes: Vec<Change>,
}

/// The key that values belong to.
enum Key {
    /// None yet.
    None,
    /// One that was deleted.
    Deleted,
    /// This one.
    Path(String),
}

impl Parser<'_> {
    fn fail<T>(&self, what: &'static str) -> Result<T, Error> {
        Err(Error::Syntax { line: self.line, what })
    }

    /// The next character. Any of CR LF, LF and CR counts as one line end.
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        let ends_line = next == '\n' || (next == '\r' && self.rest.peek() != Some(&'\n'));
        self.line = self.line.saturating_add(usize::from(ends_line));
        Some(next)
    }

    fn next_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        self.rest.peek().copied().filter(|next| wanted(*next))?;
        self.next()
    }

    /// Passes blanks of this line.
    fn skip_spaces(&mut self) {
        while self.next_if(|next| next == ' ' || next == '\t').is_some() {}
    }

    /// The rest of the line; the line end stays.
    fn rest_of_line(&mut self) -> String {
        let mut text = String::new();
        while let Some(next) = self.next_if(|next| !is_line_end(next)) {
            text.push(next);
        }
        text
    }

    /// Passes blank lines and comments; false at the end of the file.
    fn skip_blank(&mut self) -> bool {
        loop {
            while self.next_if(|next| next.is_whitespace() || next == '\0').is_some() {}
            if self.rest.peek() != Some(&';') {
                return self.rest.peek().is_some();
            }
            self.rest_of_line();
        }
    }

    /// Passes what may stand behind a value: blanks and a comment.
    fn end_of_line(&mut self) -> Result<(), Error> {
        self.skip_spaces();
        if self.rest.peek() == Some(&';') {
            self.rest_of_line();
        }
        match self.rest.peek() {
            Some(next) if !is_line_end(*next) => self.fail("something stands behind the value"),
            _ => Ok(()),
        }
    }

    fn header(&mut self) -> Result<(), Error> {
        self.skip_blank();
        let line = self.line;
        let found = self.rest_of_line();
        match found.trim_end() {
            "REGEDIT4" => self.version_4 = true,
            "Windows Registry Editor Version 5.00" => {}
            _ => return Err(Error::Header { line, found: found.chars().take(60).collect() }),
        }
        Ok(())
    }

    /// `[path]` or `[-path]`. The name goes to the last bracket of the line: names may have brackets.
    fn key(&mut self) -> Result<(), Error> {
        let line = self.line;
        let text = self.rest_of_line();
        let Some((inside, _behind)) = text.strip_prefix('[').and_then(|text| text.rsplit_once(']')) else {
            return Err(Error::Syntax { line, what: "a key without its closing bracket" });
        };
        let (deletes, path) = inside.strip_prefix('-').map_or((false, inside), |path| (true, path));
        let path = normalize_path(path).ok_or_else(|| Error::Root { line, path: path.to_owned() })?;
        if deletes {
            self.key = Key::Deleted;
            self.changes.push(Change::DeleteKey { path });
        } else {
            self.key = Key::Path(path.clone());
            self.changes.push(Change::CreateKey { path });
        }
        Ok(())
    }

    /// `"name"=data` or `@=data`.
    fn value(&mut self) -> Result<(), Error> {
        let path = match &self.key {
            Key::Path(path) => path.clone(),
            Key::None => return self.fail("a value before any key"),
            Key::Deleted => return self.fail("a value under a deleted key"),
        };
        let name = if self.next_if(|next| next == '@').is_some() { String::new() } else { self.quoted()? };
        self.skip_spaces();
        if self.next_if(|next| next == '=').is_none() {
            return self.fail("a value's name without '=' behind it");
        }
        self.skip_spaces();
        let data = match self.rest.peek() {
            Some('"') => Some(Data::Text(self.quoted()?).encode()),
            Some('-') => {
                self.next();
                None
            }
            _ => Some(self.typed_data()?),
        };
        self.end_of_line()?;
        self.changes.push(match data {
            Some((kind, data)) => Change::SetValue { path, name, kind, data },
            None => Change::DeleteValue { path, name },
        });
        Ok(())
    }

    /// A quoted string, which may run over several lines.
    fn quoted(&mut self) -> Result<String, Error> {
        let start = self.line;
        let mut text = String::new();
        self.next();
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => match self.next() {
                    Some(escaped @ ('\\' | '"')) => text.push(escaped),
                    _ => return self.fail("a backslash in a string that is followed by neither a backslash nor a quote"),
                },
                Some('\0') => return self.fail("a null character in a string"),
                Some(other) => text.push(other),
                None => return Err(Error::Syntax { line: start, what: "a string without its closing quote" }),
            }
        }
    }

    /// `dword:…`, `hex:…` or `hex(type):…`.
    fn typed_data(&mut self) -> Result<(ValueKind, Vec<u8>), Error> {
        let mut label = String::new();
        while let Some(next) = self.next_if(|next| next != ':' && !is_line_end(next)) {
            label.push(next);
        }
        if self.next().filter(|next| *next == ':').is_none() {
            return self.fail("data that is neither a string, dword:, hex: nor '-'");
        }
        let label = label.trim_end().to_ascii_lowercase();
        let kind = match label.as_str() {
            "dword" => return self.dword(),
            "hex" => ValueKind::BINARY,
            other => {
                let number = other.strip_prefix("hex(").and_then(|number| number.strip_suffix(')'));
                let number = number.filter(|number| number.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let Some(number) = number.and_then(|number| u32::from_str_radix(number, 16).ok()) else {
                    return self.fail("data of an unknown kind");
                };
                ValueKind(number)
            }
        };
        let data = self.hex()?;
        let is_ansi = self.version_4 && (kind == ValueKind::EXPAND_SZ || kind == ValueKind::MULTI_SZ);
        Ok((kind, if is_ansi { ansi_to_utf16(&data) } else { data }))
    }

    fn dword(&mut self) -> Result<(ValueKind, Vec<u8>), Error> {
        self.skip_spaces();
        let mut digits = String::new();
        while let Some(digit) = self.next_if(|next| next.is_ascii_hexdigit()) {
            digits.push(digit);
        }
        match u32::from_str_radix(&digits, 16) {
            Ok(number) if digits.len() <= 8 => Ok((ValueKind::DWORD, number.to_le_bytes().to_vec())),
            _ => self.fail("dword: needs one to eight hexadecimal digits"),
        }
    }

    /// Bytes in hexadecimal, with commas between; a backslash at the end of a line carries on in the next.
    fn hex(&mut self) -> Result<Vec<u8>, Error> {
        let mut data = Vec::new();
        let mut comma = true;
        loop {
            self.skip_spaces();
            match self.rest.peek().copied() {
                Some('\\') => self.continuation()?,
                Some(',') if !comma => {
                    comma = true;
                    self.next();
                }
                Some(digit) if digit.is_ascii_hexdigit() && comma => {
                    data.push(self.byte());
                    comma = false;
                }
                Some(';') | None => return Ok(data),
                Some(end) if is_line_end(end) => return Ok(data),
                _ => return self.fail("hex data that is not bytes of one or two digits with commas between"),
            }
        }
    }

    /// One or two digits; the caller has seen the first.
    fn byte(&mut self) -> u8 {
        let mut byte = 0_u8;
        for _ in 0..2 {
            let digit = self.rest.peek().and_then(|digit| digit.to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
            let Some(digit) = digit else { break };
            byte = byte << 4 | digit;
            self.next();
        }
        byte
    }

    /// A backslash, blanks or a comment, the line's end, and then blanks and whole lines of comment.
    fn continuation(&mut self) -> Result<(), Error> {
        self.next();
        self.skip_spaces();
        match self.rest.peek() {
            Some(';') | None => {}
            Some(next) if is_line_end(*next) => {}
            _ => return self.fail("a backslash in hex data that does not end its line"),
        }
        // A blank line ends the data; only one line end is passed here.
        if self.rest.peek() == Some(&';') {
            self.rest_of_line();
        }
        if self.next_if(|next| next == '\r').is_none() || self.rest.peek() == Some(&'\n') {
            self.next_if(|next| next == '\n');
        }
        self.skip_spaces();
        while self.rest.peek() == Some(&';') {
            self.rest_of_line();
            self.next_if(|next| next == '\r');
            self.next_if(|next| next == '\n');
            self.skip_spaces();
        }
        Ok(())
    }
}

fn is_line_end(character: char) -> bool {
    matches!(character, '\r' | '\n')
}

fn ansi_to_utf16(data: &[u8]) -> Vec<u8> {
    text::windows_1252(data).encode_utf16().flat_map(u16::to_le_bytes).collect()
}

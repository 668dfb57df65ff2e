//! Where output goes. The only place that writes to stdout and stderr.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::error::CommandError;
use crate::args::Format;

/// Prints results to stdout and messages to stderr.
#[derive(Debug)]
pub struct Printer {
    format: Format,
    quiet: bool,
}

impl Printer {
    pub fn new(format: Format, quiet: bool) -> Self {
        Self { format, quiet }
    }

    /// True when results are for programs.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// True when progress may be drawn.
    pub fn shows_progress(&self) -> bool {
        !self.quiet && !self.is_json() && io::stderr().is_terminal()
    }

    /// True when colour may be used on stderr.
    pub fn colours(&self) -> bool {
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    /// Prints a result: the document as JSON, or the text for people.
    pub fn result<T: Serialize>(&self, document: &T, text: impl FnOnce() -> String) -> Result<(), CommandError> {
        if self.is_json() { self.json(document) } else { self.bytes(text().as_bytes()) }
    }

    /// Prints an indented JSON document.
    pub fn json<T: Serialize>(&self, document: &T) -> Result<(), CommandError> {
        let mut text = serde_json::to_string_pretty(document).map_err(CommandError::internal_source)?;
        text.push('\n');
        self.bytes(text.as_bytes())
    }

    /// Prints a JSON object on one line: an event of a longer piece of work.
    pub fn json_line<T: Serialize>(&self, event: &T) -> Result<(), CommandError> {
        let mut text = serde_json::to_string(event).map_err(CommandError::internal_source)?;
        text.push('\n');
        self.bytes(text.as_bytes())
    }

    /// Prints bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut output = io::stdout().lock();
        match output.write_all(bytes).and_then(|()| output.flush()) {
            // Whoever read us has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => Err(CommandError::user(format!("cannot write to the standard output: {error}"))),
            Ok(()) => Ok(()),
        }
    }

    /// Says something on stderr, unless told to be quiet.
    pub fn message(&self, text: &str) {
        if !self.quiet {
            self.error_text(&format!("{text}\n"));
        }
    }

    /// Writes to stderr in any case.
    pub fn error_text(&self, text: &str) {
        // Nobody is left to tell when stderr is gone.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

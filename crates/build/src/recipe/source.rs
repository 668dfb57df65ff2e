//! Where something was written: the files a recipe consists of, and places in them.

use std::borrow::Cow;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

/// A place in one of the files of a recipe. Meaningless without the [`Sources`] it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Index of the file in [`Sources`].
    pub(super) source: u32,
    /// Line, the first is 1.
    pub line: u32,
    /// Column in characters, the first is 1.
    pub column: u32,
    /// Characters from the column on that are meant; never past the end of the line.
    pub length: u32,
}

/// A value and the place where a person wrote it, so that an error found later can still point there.
///
/// The place is no part of the meaning: it enters neither comparison nor serialization. There is none when the value
/// did not come from a recipe (a command line option).
#[derive(Debug, Clone, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub position: Option<Position>,
}

impl<T> Deref for Spanned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T> From<T> for Spanned<T> {
    /// A value that was not read from a recipe.
    fn from(value: T) -> Self {
        Self { value, position: None }
    }
}

impl<T: Serialize> Serialize for Spanned<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// One file of a recipe.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// The path it was opened under.
    pub path: PathBuf,
    /// Its whole text, for the lines that errors show.
    pub text: String,
    /// The folder that its relative paths start from, relative to the folder of the recipe itself: how the canonical
    /// form names inputs without naming the machine.
    pub canonical_folder: PathBuf,
}

/// The files that a recipe consists of: itself first, then what it includes.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a file and returns its index.
    pub(super) fn add(&mut self, source: Source) -> u32 {
        self.files.push(source);
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// The file at an index that [`Self::add`] returned.
    pub(super) fn get(&self, source: u32) -> Option<&Source> {
        self.files.get(usize::try_from(source).ok()?)
    }

    /// The paths of all files, in the order in which they were read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|source| source.path.as_path())
    }

    /// What is needed to show a place to a person.
    #[must_use]
    pub fn locate(&self, position: Position) -> Option<Location> {
        let source = self.get(position.source)?;
        let line_index = usize::try_from(position.line).ok()?.checked_sub(1)?;
        Some(Location {
            path: source.path.clone(),
            line: position.line,
            column: position.column,
            length: position.length,
            text: source.text.lines().nth(line_index).unwrap_or_default().trim_start_matches('\u{feff}').to_owned(),
        })
    }
}

/// A place as a person sees it: file, line, column, and the line's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub path: PathBuf,
    /// Line, the first is 1.
    pub line: u32,
    /// Column in characters, the first is 1.
    pub column: u32,
    /// Characters from the column on that are meant.
    pub length: u32,
    /// The text of the line.
    pub text: String,
}

//! Paths inside an image: a list of names below the root, compared without regard to case.

use std::fmt;

use thiserror::Error;

/// Longest path that is accepted, in components. Windows itself stops at 32,767 UTF-16 units, which is less than half as
/// many components of one letter each; deeper paths only occur in hostile input.
const MAX_COMPONENTS: usize = 16_384;

/// Why a text is not a path inside an image.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PathError {
    /// `..` would leave the root or hide what is meant.
    #[error("`{path}` contains `..`: a path inside an image cannot go up")]
    GoesUp {
        /// The whole path.
        path: String,
    },
    /// A character that no name on NTFS can contain.
    #[error("`{path}`: the name `{component}` contains {character:?}, which Windows does not allow in file names")]
    Character {
        /// The whole path.
        path: String,
        /// The offending name.
        component: String,
        /// The offending character.
        character: char,
    },
    /// A name longer than NTFS can store.
    #[error("`{path}`: the name `{component}` is longer than 255 UTF-16 units")]
    NameTooLong {
        /// The whole path.
        path: String,
        /// The offending name.
        component: String,
    },
    /// More components than any Windows path has.
    #[error("a path of more than {MAX_COMPONENTS} names")]
    TooDeep,
}

/// A path inside an image: `/Windows/System32`, printed with slashes, read with either kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImagePath {
    pub(crate) components: Vec<String>,
}

impl ImagePath {
    /// The root of an image.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a path that a person wrote: `/Windows`, `\Windows`, `Windows\System32`, `C:\Windows`. Empty components and
    /// `.` are dropped.
    ///
    /// # Errors
    /// `..`, characters and lengths that NTFS does not allow.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let rest = match text.as_bytes() {
            [letter, b':', ..] if letter.is_ascii_alphabetic() => &text[2..],
            _ => text,
        };
        let mut components = Vec::new();
        for component in rest.split(['/', '\\']).filter(|component| !component.is_empty() && *component != ".") {
            if component == ".." {
                return Err(PathError::GoesUp { path: text.to_owned() });
            }
            if let Some(character) = component.chars().find(|c| matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*') || u32::from(*c) < 32)
            {
                return Err(PathError::Character { path: text.to_owned(), component: component.to_owned(), character });
            }
            if component.encode_utf16().count() > 255 {
                return Err(PathError::NameTooLong { path: text.to_owned(), component: component.to_owned() });
            }
            components.push(component.to_owned());
            if components.len() > MAX_COMPONENTS {
                return Err(PathError::TooDeep);
            }
        }
        Ok(Self { components })
    }

    /// The names from the root down.
    pub fn components(&self) -> impl ExactSizeIterator<Item = &str> + DoubleEndedIterator {
        self.components.iter().map(String::as_str)
    }

    /// True for the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.components.is_empty()
    }

    /// The last name; `None` for the root.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.components.last().map(String::as_str)
    }

    /// The folder that holds this path; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, parents) = self.components.split_last()?;
        Some(Self { components: parents.to_vec() })
    }

    /// This path with the components of `below` appended.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        Self { components: self.components.iter().chain(&below.components).cloned().collect() }
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return formatter.write_str("/");
        }
        self.components.iter().try_for_each(|component| write!(formatter, "/{component}"))
    }
}

impl std::str::FromStr for ImagePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_gives_the_same_path() {
        for text in ["/Windows/System32", r"\Windows\System32", r"C:\Windows\System32\", "Windows/./System32", "//Windows//System32"] {
            assert_eq!(ImagePath::parse(text).unwrap().to_string(), "/Windows/System32", "{text}");
        }
        assert!(ImagePath::parse("").unwrap().is_root());
    }

    #[test]
    fn paths_that_no_image_can_hold_are_refused() {
        assert!(matches!(ImagePath::parse("/a/../b"), Err(PathError::GoesUp { .. })));
        assert!(matches!(ImagePath::parse("/a:b"), Err(PathError::Character { character: ':', .. })));
        assert!(matches!(ImagePath::parse("/a\u{1}"), Err(PathError::Character { .. })));
        assert!(matches!(ImagePath::parse(&"x".repeat(256)), Err(PathError::NameTooLong { .. })));
    }
}

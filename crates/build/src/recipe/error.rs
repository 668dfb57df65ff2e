//! What can be wrong with a recipe, and how it is shown: what, where, the line itself, and the way out.

use std::fmt;
use std::path::PathBuf;

use super::source::{Location, Position, Sources};

/// What is wrong at one place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// Not YAML, or YAML that recipes do not use.
    #[error("{reason}")]
    Syntax {
        /// What the parser met.
        reason: String,
    },
    /// A limit on hostile input was reached.
    #[error("more than {limit} {what}")]
    TooLarge {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A key that has no meaning here.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The keys that have a meaning here.
        allowed: Vec<&'static str>,
    },
    /// The same key twice in one mapping.
    #[error("key `{key}` is given twice, first in line {first}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Line of the first.
        first: u32,
    },
    /// A key that must be there is not.
    #[error("missing key `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// None of the keys that would say what is meant.
    #[error("nothing here says what to do")]
    NoChoice {
        /// One of them is needed.
        allowed: Vec<&'static str>,
    },
    /// Keys that exclude each other.
    #[error("`{first}` and `{second}` exclude each other")]
    Conflict {
        /// One key.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Text, number, list or mapping where something else belongs.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What belongs here.
        expected: &'static str,
        /// What stands here.
        found: &'static str,
    },
    /// A word that is none of the known ones.
    #[error("unknown value `{value}`")]
    UnknownValue {
        /// The word as written.
        value: String,
        /// The known ones.
        allowed: Vec<&'static str>,
    },
    /// A value of the right type that cannot be.
    #[error("{reason}")]
    InvalidValue {
        /// What is wrong with it.
        reason: String,
    },
    /// `${name}` where no variable has that name.
    #[error("undefined variable `{name}`")]
    UndefinedVariable {
        /// The name.
        name: String,
        /// The variables that are defined.
        defined: Vec<String>,
    },
    /// A file includes itself, directly or through others.
    #[error("`{}` includes itself", path.display())]
    IncludeCycle {
        /// The file.
        path: PathBuf,
    },
    /// A file of the recipe cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// One thing that is wrong, and where.
#[derive(Debug)]
pub struct Problem {
    /// What is wrong.
    pub kind: ProblemKind,
    /// Where. None when it was not written in a file (a command line option, the recipe's own path).
    pub location: Option<Location>,
    /// What to do about it, where more can be said than the kind knows.
    pub advice: Option<String>,
}

impl Problem {
    pub(super) fn new(kind: ProblemKind, position: Option<Position>, sources: &Sources) -> Self {
        Self { kind, location: position.and_then(|position| sources.locate(position)), advice: None }
    }

    /// The nearest thing that would be right, and everything that is allowed; `None` when neither is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        if let Some(advice) = &self.advice {
            return Some(advice.clone());
        }
        match &self.kind {
            ProblemKind::UnknownKey { key, allowed } => Some(suggest(key, allowed, "allowed here: ")),
            ProblemKind::NoChoice { allowed } => Some(format!("one of these keys is needed: {}", quoted(allowed))),
            ProblemKind::UnknownValue { value, allowed } => Some(suggest(value, allowed, "allowed: ")),
            ProblemKind::UndefinedVariable { name, defined } if defined.is_empty() => {
                Some(format!("define it under `variables:`, or write `$${{{name}}}` for the text itself"))
            }
            ProblemKind::UndefinedVariable { name, defined } => Some(suggest(name, defined, "defined: ")),
            _ => None,
        }
    }
}

/// All that is wrong with a recipe; never empty.
#[derive(Debug)]
pub struct RecipeError {
    /// In the order in which they were found.
    pub problems: Vec<Problem>,
}

impl std::error::Error for RecipeError {}

impl From<Problem> for RecipeError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// Candidates shown at most: a longer list helps nobody.
const MAX_LISTED: usize = 24;

/// The name nearest to `name` if it is near enough to be a slip: a third of its length, at least one letter.
pub(super) fn nearest<'a, S: AsRef<str>>(name: &str, candidates: &'a [S]) -> Option<&'a str> {
    // Compared without regard to case and to `-` or `_`; a hostile name costs no more than a real one.
    let plain =
        |text: &str| text.chars().take(64).filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect::<String>();
    let wanted = plain(name);
    let limit = (wanted.chars().count() / 3).max(1);
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate.as_ref())), candidate.as_ref()))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    let mut text = names.iter().take(MAX_LISTED).map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ");
    if names.len() > MAX_LISTED {
        text.push_str(", …");
    }
    text
}

fn suggest<S: AsRef<str>>(name: &str, candidates: &[S], list_label: &str) -> String {
    let list = format!("{list_label}{}", quoted(candidates));
    nearest(name, candidates).map_or(list.clone(), |near| format!("did you mean `{near}`? {list}"))
}

/// Characters of a source line that an error shows at most.
const SNIPPET_WIDTH: usize = 120;

impl fmt::Display for Location {
    /// File, line, column; then the line with a mark under what is meant.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = usize::try_from(self.column.max(1)).unwrap_or(usize::MAX) - 1;
        let skipped = if column >= SNIPPET_WIDTH { column - SNIPPET_WIDTH / 2 } else { 0 };
        // Control characters would move a terminal's cursor; a tab keeps its one column.
        let shown: String = self
            .text
            .chars()
            .skip(skipped)
            .take(SNIPPET_WIDTH)
            .map(|c| {
                if c == '\t' {
                    ' '
                } else if is_unprintable(c) {
                    '\u{fffd}'
                } else {
                    c
                }
            })
            .collect();
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(column - skipped);
        let room = shown.chars().count().saturating_sub(column - skipped).max(1);
        let marks = "^".repeat(usize::try_from(self.length).unwrap_or(usize::MAX).clamp(1, room));
        writeln!(formatter, "{margin}--> {}:{}:{}", self.path.display(), self.line, self.column)?;
        writeln!(formatter, "{margin} |")?;
        writeln!(formatter, "{number} | {}", shown.trim_end())?;
        write!(formatter, "{margin} | {indent}{marks}")
    }
}

/// Control characters, and those that reorder or hide text.
fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message: String = self.kind.to_string().chars().map(|c| if is_unprintable(c) { '\u{fffd}' } else { c }).collect();
        write!(formatter, "{message}")?;
        if let Some(location) = &self.location {
            write!(formatter, "\n{location}")?;
        }
        if let Some(hint) = self.hint() {
            write!(formatter, "\n  = {}", hint.chars().map(|c| if is_unprintable(c) { '\u{fffd}' } else { c }).collect::<String>())?;
        }
        Ok(())
    }
}

impl fmt::Display for RecipeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                write!(formatter, "\n\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

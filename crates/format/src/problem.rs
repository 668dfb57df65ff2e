//! Findings in documents that people write for Windows: answer files, start layouts, default associations.

use crate::xml::Position;
use std::fmt;

/// How sure it is that something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Windows ignores or refuses it.
    Error,
    /// It may be right, but we cannot tell: no reference that we know has it.
    Unknown,
}

/// A finding, with its place and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How sure it is.
    pub severity: Severity,
    /// Where.
    pub position: Position,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Unknown => "unknown",
        };
        write!(formatter, "{}: {severity}: {}", self.position, self.message)
    }
}

/// Findings being gathered.
#[derive(Default)]
pub(crate) struct Findings(Vec<Problem>);

impl Findings {
    pub(crate) fn error(&mut self, position: Position, message: impl Into<String>) {
        self.0.push(Problem { severity: Severity::Error, position, message: message.into() });
    }

    pub(crate) fn unknown(&mut self, position: Position, message: impl Into<String>) {
        self.0.push(Problem { severity: Severity::Unknown, position, message: message.into() });
    }

    /// All of them, in the order of the document.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let Self(mut problems) = self;
        problems.sort_by_key(|problem| problem.position);
        problems
    }
}

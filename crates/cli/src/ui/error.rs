//! Errors as people see them: what, where, why, and what to do next. They decide the exit code.

use std::fmt::Write as _;
use std::process::ExitCode;

use wimwright_build::job::JobError;
use wimwright_build::library::LibraryError;
use wimwright_build::output::OutputError;
use wimwright_build::recipe::{LockError, RecipeError};
use wimwright_build::run::{LayerError, RunError};
use wimwright_image::address::AddressError;
use wimwright_image::medium::MediumError;
use wimwright_image::{ImageError, PathError};
use wimwright_servicing::step::StepError;

use super::printer::Printer;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The user can fix it: exit code 1.
    User,
    /// It is our fault: exit code 2.
    Internal,
}

/// An error of a command.
#[derive(Debug)]
pub struct CommandError {
    kind: Kind,
    message: String,
    /// What led to it, outermost first.
    causes: Vec<String>,
    hints: Vec<String>,
}

impl CommandError {
    /// Something that the user can fix.
    pub fn user(message: impl Into<String>) -> Self {
        Self { kind: Kind::User, message: message.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// Something that must not happen.
    pub fn internal(message: impl Into<String>) -> Self {
        let hint = "please report it with the command line and the output above".to_owned();
        Self { kind: Kind::Internal, message: message.into(), causes: Vec::new(), hints: vec![hint] }
    }

    /// The same for an error of a library.
    pub fn internal_source(error: impl std::error::Error) -> Self {
        Self::internal(error.to_string())
    }

    /// The same as the cause of something else.
    pub fn within(mut self, message: impl Into<String>) -> Self {
        let cause = std::mem::replace(&mut self.message, message.into());
        self.causes.insert(0, cause);
        self
    }

    /// Adds what to do next.
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !hint.is_empty() {
            self.hints.push(hint);
        }
        self
    }

    fn from_chain(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut found = Self::user(error.to_string());
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Transparent layers repeat what they wrap.
            if found.causes.last().unwrap_or(&found.message) != &text {
                found.causes.push(text);
            }
            next = cause.source();
        }
        found
    }

    /// The error and its causes in one text.
    pub fn text(&self) -> String {
        let mut text = self.message.clone();
        for cause in &self.causes {
            let _ = write!(text, "\n  because: {cause}");
        }
        text
    }

    /// Prints the error and gives the exit code.
    pub fn report(&self, printer: &Printer) -> ExitCode {
        if printer.is_json() {
            let value = serde_json::json!({ "error": { "message": self.message, "causes": self.causes, "hints": self.hints } });
            printer.error_text(&format!("{value}\n"));
        } else {
            let paint = |code: &str, text: &str| if printer.colours() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() };
            let mut text = format!("{} {}\n", paint("1;31", "error:"), self.text());
            for hint in &self.hints {
                let _ = writeln!(text, "{} {hint}", paint("1;36", "hint:"));
            }
            printer.error_text(&text);
        }
        ExitCode::from(match self.kind {
            Kind::User => 1,
            Kind::Internal => 2,
        })
    }
}

/// The hint that a failed step or a refused output gives, wherever in the chain it stands.
fn refusal_hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
        let output = error.downcast_ref::<OutputError>().or_else(|| match error.downcast_ref::<JobError>() {
            // Transparent: the error is no source of its wrapper.
            Some(JobError::Output(output)) => Some(output),
            _ => None,
        });
        match (error.downcast_ref::<StepError>(), output) {
            (Some(step), _) => Some(step.hint().to_owned()),
            (_, Some(OutputError::Refused { hint, .. })) => Some(hint.clone()),
            _ => None,
        }
    })
}

macro_rules! user_errors {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                let hint = refusal_hint(&error).unwrap_or_default();
                Self::from_chain(&error).hinted(hint)
            }
        }
    )+};
}

user_errors!(
    AddressError,
    ImageError,
    LayerError,
    LibraryError,
    LockError,
    MediumError,
    OutputError,
    PathError,
    RecipeError,
    RunError,
    StepError,
    wimwright_build::FileError,
    JobError,
    wimwright_build::library::ImportError,
    wimwright_image::registry::RegistryPathError,
    wimwright_servicing::cbs::source::SourceError,
    wimwright_servicing::cbs::store::StoreError,
    wimwright_servicing::cbs::verify::VerifyError,
);

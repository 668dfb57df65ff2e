//! What a running build says of itself. The library emits, the command line renders.

use std::time::Duration;

use serde::Serialize;

/// Something that happened. Serialized as one JSON object a line by `--format json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A step of an image begins.
    StepStarted {
        /// Image index, from 1.
        image: u32,
        /// The step's kind.
        step: String,
    },
    /// A step of an image is done.
    StepFinished {
        /// Image index, from 1.
        image: u32,
        /// The step's kind.
        step: String,
        /// True when the result was in the cache.
        cached: bool,
        /// How long it took.
        seconds: f64,
    },
    /// A result in the cache is damaged. It was removed: the image is done again from the step that made it.
    ResultDiscarded {
        /// Image index, from 1.
        image: u32,
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes of a long piece of work. Sent often; a renderer shows the newest.
    Progress {
        /// What is being done: `compress`, `write`, `copy`.
        work: &'static str,
        /// On what.
        subject: String,
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// An output is in its place.
    OutputWritten {
        /// Its path.
        path: String,
        /// Its size in bytes.
        size: u64,
    },
}

/// Who listens to a build, and holds the watch: the library has no clock of its own. Called from any thread.
pub trait Events: Sync {
    /// Takes an event.
    fn event(&self, event: Event);

    /// Time since some fixed moment. Only for reports: no result depends on it.
    fn elapsed(&self) -> Duration;
}

/// Nobody listens, and no time passes.
pub struct Silent;

impl Events for Silent {
    fn event(&self, _event: Event) {}

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

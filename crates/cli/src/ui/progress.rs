//! Progress of long work: drawn on a terminal, or as events for programs.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use wimwright_build::events::{Event, Events};

use super::printer::Printer;
use super::text;

/// Shortest time between two progress events for programs.
const EVENT_INTERVAL: Duration = Duration::from_millis(200);

/// Shows what a build says of itself, and holds its watch.
pub struct Progress<'a> {
    printer: &'a Printer,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    bar: ProgressBar,
    /// What the bar counts at the moment.
    subject: String,
    last_event: Option<Instant>,
}

impl<'a> Progress<'a> {
    pub fn new(printer: &'a Printer) -> Self {
        let target = if printer.shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let state = State { bar, subject: String::new(), last_event: None };
        Self { printer, started: Instant::now(), state: Mutex::new(state) }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Ok(state) = self.state.lock() {
            state.bar.finish_and_clear();
        }
    }

    fn draw(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else { return };
        match event {
            Event::Progress { work, subject, done, total } => {
                let subject = format!("{work} {subject}");
                if state.subject != subject {
                    let style = ProgressStyle::with_template(
                        "{msg} {bar:30} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}, {eta} left",
                    );
                    state.bar.reset();
                    state.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                    state.bar.set_message(subject.clone());
                    state.subject = subject;
                }
                state.bar.set_length(*total);
                state.bar.set_position(*done);
            }
            Event::StepFinished { image, step, cached, seconds } => {
                let time = if *cached { "cached".to_owned() } else { text::duration(Duration::from_secs_f64(*seconds)) };
                state.bar.suspend(|| self.printer.message(&format!("image {image}: {step} ({time})")));
            }
            Event::ResultDiscarded { image, path, reason } => {
                let message = format!("image {image}: the cached result {path} is damaged ({reason}): it was removed, and is made again");
                state.bar.suspend(|| self.printer.message(&message));
            }
            Event::OutputWritten { path, size } => {
                state.bar.suspend(|| self.printer.message(&format!("wrote {path} ({})", text::size(*size))));
            }
            Event::StepStarted { .. } => {}
        }
    }

    /// True when this event is to be passed on: of progress, only some.
    fn is_due(&self, event: &Event) -> bool {
        let Event::Progress { done, total, .. } = event else { return true };
        let Ok(mut state) = self.state.lock() else { return false };
        let now = Instant::now();
        let due = done == total || state.last_event.is_none_or(|last| now.duration_since(last) >= EVENT_INTERVAL);
        if due {
            state.last_event = Some(now);
        }
        due
    }
}

impl Events for Progress<'_> {
    fn event(&self, event: Event) {
        if !self.printer.is_json() {
            self.draw(&event);
        } else if self.is_due(&event) {
            // A reader that is gone ends the program by itself.
            let _ = self.printer.json_line(&event);
        }
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

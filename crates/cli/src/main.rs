//! The command line of Wimwright.

mod args;
mod commands;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Format};
use ui::error::CommandError;
use ui::printer::Printer;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let printer = Printer::new(arguments.global.format, arguments.global.quiet);
    // A panic is our fault, and says so like every other fault of ours.
    let result = std::panic::catch_unwind(|| commands::run(arguments, &printer));
    match result {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => error.report(&printer),
        Err(_) => CommandError::internal("Wimwright stopped unexpectedly: this is a bug").report(&printer),
    }
}

/// Help and version go to stdout with exit code 0; a wrong command line is something the user can fix: exit code 1.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && asks_for_json() {
        let text = error.render().to_string();
        let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim_end();
        return CommandError::user(message).hinted("see `wimwright --help`").report(&Printer::new(Format::Json, false));
    }
    let shown = error.print();
    if error.use_stderr() || shown.is_err() { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

/// Whether a command line that cannot be parsed asks for JSON all the same.
fn asks_for_json() -> bool {
    let arguments: Vec<_> = std::env::args_os().collect();
    arguments.iter().any(|argument| argument == "--format=json")
        || arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

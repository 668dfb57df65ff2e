//! The command line of Wimwright.

mod args;
mod commands;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use args::Arguments;
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
    let shown = error.print();
    if error.use_stderr() || shown.is_err() { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

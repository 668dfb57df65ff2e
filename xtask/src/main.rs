//! The project's own tasks: `cargo xtask generate`, `verify` and `bench`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task tells its user what it did")]

mod arrows;
mod bench;
mod fuzz_targets;
mod generated;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

const USAGE: &str = "usage: cargo xtask COMMAND

  bench      time Wimwright against its peers (through scripts/bench); `bench peer`: the whole job only; `bench registry`,
             `bench exports`, `bench growth`, `bench cabinets`, `bench deltas`, `bench installing`: only these rows
  generate   write what is derived from the code: schemas, command reference
  verify     check that the crates depend downwards only, that generated files are up to date, that every fuzz target is declared";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["bench"] => bench::run(),
        ["bench", "peer"] => bench::whole_job(),
        ["bench", "registry"] => bench::some(bench::Rows::Registry),
        ["bench", "exports"] => bench::some(bench::Rows::Exports),
        ["bench", "growth"] => bench::some(bench::Rows::Growth),
        ["bench", "cabinets"] => bench::some(bench::Rows::Cabinets),
        ["bench", "deltas"] => bench::some(bench::Rows::Deltas),
        ["bench", "installing"] => bench::some(bench::Rows::Installing),
        ["generate"] => generated::write(),
        ["verify"] => verify(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(1);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(1)
        }
    }
}

/// Every check, all of them even if one fails.
fn verify() -> Result<()> {
    let problems = [arrows::problems()?, generated::problems()?, fuzz_targets::problems()?].concat();
    for problem in &problems {
        eprintln!("{problem}");
    }
    anyhow::ensure!(problems.is_empty(), "{} problem(s)", problems.len());
    Ok(())
}

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

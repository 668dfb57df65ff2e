//! Files that are derived from the code and kept in the repository, where people and editors find them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::CommandFactory;
use serde_json::Value;

#[path = "../../crates/cli/src/args.rs"]
mod args;

/// Width of the help texts, in columns.
const HELP_WIDTH: usize = 100;

/// Every generated file: its path from the root, and what it is to contain.
fn files() -> Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("docs/reference/recipe.schema.json", pretty(&wimwright_build::recipe::json_schema())?),
        ("docs/reference/report.schema.json", pretty(&wimwright_build::report::json_schema())?),
        ("docs/reference/commands.md", commands()),
    ])
}

/// Writes the files that are not up to date.
pub fn write() -> Result<()> {
    for (path, wanted) in files()? {
        let (path, there) = read(path);
        if there.as_deref() != Some(&wanted) {
            std::fs::write(&path, wanted).with_context(|| path.display().to_string())?;
            println!("wrote {}", path.display());
        }
    }
    Ok(())
}

/// The files that are not up to date.
pub fn problems() -> Result<Vec<String>> {
    let stale = files()?.into_iter().filter(|(path, wanted)| read(path).1.as_deref() != Some(wanted));
    Ok(stale.map(|(path, _)| format!("{path}: not what the code says: run `cargo xtask generate`")).collect())
}

/// A file and its text; none where it cannot be read.
fn read(path: impl AsRef<Path>) -> (PathBuf, Option<String>) {
    let path = crate::root().join(path);
    let text = std::fs::read_to_string(&path).ok();
    (path, text)
}

fn pretty(value: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// The command reference: the help of every command.
fn commands() -> String {
    let mut text = "# Commands\n\nWritten by `cargo xtask generate` from the program's own help. The options of `wimwright` itself hold for every command.\n".to_owned();
    let mut program = args::Arguments::command().term_width(HELP_WIDTH);
    // Gives every command its full name.
    program.build();
    describe(&mut program, 2, &mut text);
    text
}

fn describe(command: &mut clap::Command, level: usize, text: &mut String) {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let mut shown = command.clone();
    if level > 2 {
        shown = shown.mut_args(|argument| if argument.is_global_set() { argument.hide(true) } else { argument });
    }
    let help = shown.render_long_help().to_string();
    // Writing to a string cannot fail.
    let _ = write!(text, "\n{} {name}\n\n```text\n", "#".repeat(level));
    for line in help.trim_end().lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str("```\n");
    for subcommand in command.get_subcommands_mut().filter(|subcommand| subcommand.get_name() != "help") {
        describe(subcommand, level + 1, text);
    }
}

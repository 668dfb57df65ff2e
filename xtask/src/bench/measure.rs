//! Runs a program and measures it: wall time here, processor time and peak memory by `/usr/bin/time`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Seconds on the clock.
    pub wall: f64,
    /// Seconds of all processors.
    pub cpu: f64,
    /// Largest resident memory of the program or of one of its children, bytes.
    pub memory: u64,
}

/// Runs a program to its end. What was written before is on disk when it begins, so that no run pays for another.
pub fn run<S: AsRef<OsStr>>(folder: &Path, program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = S>) -> Result<Measured> {
    Ok(run_printing(folder, program, arguments)?.0)
}

/// As [`run`], with the figures that the program prints.
pub fn run_printing<S: AsRef<OsStr>>(
    folder: &Path,
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Result<(Measured, Vec<f64>)> {
    ensure!(Command::new("sync").status()?.success(), "sync failed");
    let program = program.as_ref();
    let measured = folder.join("measured");
    let mut command = Command::new("/usr/bin/time");
    command.args(["--quiet", "--format", "%U %S %M", "--output"]).arg(&measured).arg(program).args(arguments);
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output().context("/usr/bin/time")?;
    let wall = begun.elapsed().as_secs_f64();
    ensure!(output.status.success(), "{}: {}\n{}", program.display(), output.status, String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&measured)?;
    let [user, system, kibibytes] = figures(&text)[..] else { anyhow::bail!("/usr/bin/time gave `{text}`") };
    let measured = Measured { wall, cpu: user + system, memory: (kibibytes * 1024.0) as u64 };
    Ok((measured, figures(&String::from_utf8_lossy(&output.stdout))))
}

/// The words of a text that are numbers.
fn figures(text: &str) -> Vec<f64> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Runs a program that is over soon to its end: seconds on the clock, without those that `/usr/bin/time` takes to start it.
pub fn seconds<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = S>) -> Result<f64> {
    ensure!(Command::new("sync").status()?.success(), "sync failed");
    let program = program.as_ref();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.status().with_context(|| program.display().to_string())?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(status.success(), "{}: {status}", program.display());
    Ok(seconds)
}

/// The middle of an odd number of figures, the upper middle of an even one.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

//! Test support: other people's programs as judges, and the real files of `WIMWRIGHT_TESTDATA`.
#![allow(clippy::print_stderr, reason = "a skipped test must say so where it is seen")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// True where a missing oracle or missing data must fail the test instead of skipping it.
fn in_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// The folder of real test data: `WIMWRIGHT_TESTDATA`, or `../shared/testdata` beside the checkout.
/// `None`, said loudly, where it is absent: the test is to return at once.
///
/// Test data is optional even in CI: it cannot be redistributed.
#[must_use]
pub fn test_data(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("WIMWRIGHT_TESTDATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata"), PathBuf::from);
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no test data at {}", path.display());
    None
}

/// True when every one of `programs` can be run. Where one is missing: panics in CI, says so elsewhere.
///
/// # Panics
/// In CI, when a program is missing.
#[must_use]
pub fn oracles(programs: &[&str]) -> bool {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<_> =
        programs.iter().filter(|program| !std::env::split_paths(&search).any(|folder| folder.join(program).is_file())).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(!in_ci(), "oracle programs missing in CI: {missing:?}");
    eprintln!("skipped: no oracle {missing:?}");
    false
}

/// True when `path` is there, which an oracle needs besides its program (OVMF for QEMU). Same rules as [`oracles`].
///
/// # Panics
/// In CI, when it is missing.
#[must_use]
pub fn oracle_file(path: &str) -> bool {
    if Path::new(path).is_file() {
        return true;
    }
    assert!(!in_ci(), "oracle file missing in CI: {path}");
    eprintln!("skipped: no oracle {path}");
    false
}

/// True when `python3` can import every one of `modules` (regipy, hivex). Same rules as [`oracles`].
///
/// # Panics
/// In CI, when a module is missing.
#[must_use]
pub fn python_oracles(modules: &[&str]) -> bool {
    let found = python().args(["-c", &format!("import {}", modules.join(","))]).output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(!in_ci(), "Python oracle modules missing in CI: {modules:?}");
        eprintln!("skipped: no Python oracle {modules:?}");
    }
    found
}

/// Python with the oracle modules: `WIMWRIGHT_PYTHON`, or the system's interpreter (Debian's hivex binding lives there).
#[must_use]
pub fn python() -> Command {
    Command::new(std::env::var_os("WIMWRIGHT_PYTHON").unwrap_or_else(|| "/usr/bin/python3".into()))
}

/// Runs a program to its end and returns what it printed.
///
/// # Panics
/// When it cannot be started or does not succeed: shows all that it printed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

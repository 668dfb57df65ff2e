//! `fuzz/Cargo.toml` declares exactly the targets that `fuzz/fuzz_targets` has.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

/// Targets without a declaration, declarations without a file.
pub fn problems() -> Result<Vec<String>> {
    let folder = crate::root().join("fuzz");
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(folder.join("fuzz_targets")).context("fuzz/fuzz_targets")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            files.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
        }
    }
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).context("fuzz/Cargo.toml")?;
    let declared: BTreeSet<_> = declared(&manifest).map(str::to_owned).collect();
    let undeclared = files.difference(&declared).map(|name| format!("fuzz/Cargo.toml: does not declare fuzz_targets/{name}.rs"));
    let without_file =
        declared.difference(&files).map(|name| format!("fuzz/Cargo.toml: declares {name}, which has no file in fuzz_targets"));
    Ok(undeclared.chain(without_file).collect())
}

/// The names of targets: our manifest gives each path on a line of its own.
fn declared(manifest: &str) -> impl Iterator<Item = &str> {
    manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
}

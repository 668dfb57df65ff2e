//! Which crate may depend on which: downwards only.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The layers, lowest first. A crate may depend on those of lower layers; crates of one layer know nothing of each other.
const LAYERS: &[&[&str]] = &[
    &["wimwright-codec"],
    &["wimwright-format"],
    &["wimwright-image"],
    &["wimwright-servicing"],
    &["wimwright-build", "wimwright-practice"],
    &["wimwright-machine", "wimwright-fleet"],
    &["wimwright"],
    &["xtask"],
];

/// What tests of any layer may use beside their own and lower layers: the judges, and media made for practice.
const FOR_TESTS: &[&str] = &["wimwright-testkit", "wimwright-practice"];

/// Asks Cargo for the dependencies, and tells which ones point the wrong way.
pub fn problems() -> Result<Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(crate::root())
        .output()
        .context("cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    wrong_arrows(&serde_json::from_slice(&output.stdout)?)
}

fn wrong_arrows(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let mut problems = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package without a name")?;
        // The testkit serves all layers, so it may know none of them: layer 0 has nothing below.
        let own = if name == "wimwright-testkit" { Some(0) } else { layer(name) };
        let Some(own) = own else {
            problems.push(format!("{name}: is in no layer: give it its place in xtask/src/arrows.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            // Only crates of the workspace have a path.
            let (Some(to), true) = (dependency["name"].as_str(), dependency["path"].is_string()) else { continue };
            let in_tests = dependency["kind"].as_str() == Some("dev");
            // What is never shipped may use what judges.
            let in_tests = in_tests || name == "xtask";
            let allowed = match layer(to) {
                Some(other) if in_tests => other <= own || FOR_TESTS.contains(&to),
                Some(other) => other < own,
                None => in_tests && FOR_TESTS.contains(&to),
            };
            if !allowed {
                problems.push(format!("{name} -> {to}: points up or sideways; docs/ARCHITECTURE.md shows the layers"));
            }
        }
    }
    Ok(problems)
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judge(name: &str, to: &str, kind: Option<&str>) -> usize {
        let dependency = json!({ "name": to, "kind": kind, "path": "/somewhere" });
        wrong_arrows(&json!({ "packages": [{ "name": name, "dependencies": [dependency] }] })).unwrap().len()
    }

    #[test]
    fn arrows_point_down() {
        assert_eq!(judge("wimwright-image", "wimwright-codec", None), 0);
        assert_eq!(judge("wimwright-codec", "wimwright-image", None), 1);
        assert_eq!(judge("wimwright-build", "wimwright-practice", None), 1);
        assert_eq!(judge("wimwright-build", "wimwright-practice", Some("dev")), 0);
        assert_eq!(judge("wimwright-practice", "wimwright-build", Some("dev")), 0);
        assert_eq!(judge("wimwright-format", "wimwright-build", Some("dev")), 1);
        assert_eq!(judge("wimwright-format", "wimwright-testkit", Some("dev")), 0);
        assert_eq!(judge("wimwright-format", "wimwright-testkit", None), 1);
        assert_eq!(judge("wimwright-testkit", "wimwright-codec", None), 1);
        assert_eq!(judge("wimwright-newcomer", "wimwright-codec", None), 1);
    }
}

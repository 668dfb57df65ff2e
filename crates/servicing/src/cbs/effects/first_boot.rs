//! The script that lets Windows finish what was deferred.
//!
//! Commands are built from names in manifests. A manifest is no more trusted than the programs in its package, but a name
//! shall not become a command: [`quoted`] refuses everything that ends a quoted argument or that `cmd` expands.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::Deferred;

/// Where Windows Setup looks for scripts, a path in the image.
pub(super) const SCRIPTS: &str = r"\Windows\Setup\Scripts";

/// An argument in quotes; `None` when `cmd` could read it as anything else.
pub(super) fn quoted(argument: &str) -> Option<String> {
    let plain = !argument.is_empty() && argument.chars().all(|c| !c.is_control() && !matches!(c, '"' | '%' | '!' | '^'));
    // A backslash before the closing quote would escape it for most programs.
    (plain && !argument.ends_with('\\')).then(|| format!("\"{argument}\""))
}

/// A path in the image as an argument, on whatever drive Windows runs from.
pub(super) fn quoted_path(path: &str) -> Option<String> {
    let path = quoted(path)?;
    Some(format!("\"%SystemDrive%{}", path.strip_prefix('"')?))
}

/// The script that runs the commands of deferred items, in their order, each once; `None` when there are none.
///
/// `items` are deferred items with the components that they come from. The text has CRLF ends of lines and is meant to be
/// called by `Windows\Setup\Scripts\SetupComplete.cmd`, which Windows Setup runs as LocalSystem before the first logon. What
/// the tools print goes to `%windir%\Logs\wimwright-first-boot.log`. A command that fails does not keep the others from running.
/// Items without a command are not mentioned: they belong into the report.
#[must_use]
pub fn first_boot_script(items: &[(String, Deferred)]) -> Option<String> {
    let mut script = String::from("@echo off\r\nrem Work that servicing this image offline left to Windows.\r\n");
    let mut written = HashSet::new();
    for (component, item) in items {
        let Some(command) = item.command.as_deref().filter(|command| written.insert(*command)) else { continue };
        let line = write!(
            script,
            "rem {}: {} {}\r\n{command} >>\"%windir%\\Logs\\wimwright-first-boot.log\" 2>&1\r\n",
            remark(component),
            remark(&item.installer),
            remark(&item.what)
        );
        debug_assert!(line.is_ok(), "a String takes any text");
    }
    script.push_str("exit /b 0\r\n");
    (!written.is_empty()).then_some(script)
}

/// A text that may stand behind `rem`.
fn remark(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | '/' | '\\' | '{' | '}' | '(' | ')');
    text.chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

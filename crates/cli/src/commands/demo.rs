//! `demo`: makes a practice medium, services it, checks the result.
use super::Result;
use crate::args::Demo;
use crate::ui::printer::Printer;

/// Runs the demo.
pub fn run(_arguments: &Demo, _printer: &Printer) -> Result {
    Ok(())
}

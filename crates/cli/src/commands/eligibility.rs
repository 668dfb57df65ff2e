//! `eligibility`: may an image upgrade an installed Windows?
use super::Result;
use crate::args::Eligibility;
use crate::ui::printer::Printer;

/// Assesses.
pub fn run(_arguments: &Eligibility, _printer: &Printer) -> Result {
    Ok(())
}

//! `cache`: the results of earlier builds.

use super::{Result, library};
use crate::args::{CachePrune, Global};
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;
use crate::ui::text;

/// Shows how much there is.
pub fn size(global: &Global, printer: &Printer) -> Result {
    let size = library(global)?.cache_size()?;
    printer.result(&size, || format!("{} results, {}\n", size.layers, text::size(size.bytes)))
}

/// Removes leftovers and the oldest results.
pub fn prune(arguments: &CachePrune, global: &Global, printer: &Printer) -> Result {
    let limit = text::parse_size(&arguments.max_size)
        .ok_or_else(|| CommandError::user(format!("`{}` is not a size", arguments.max_size)).hinted("write it like 20GB"))?;
    let removed = library(global)?.prune_cache(limit)?;
    printer.result(&removed, || format!("removed {} results, {}\n", removed.layers, text::size(removed.bytes)))
}

/// Removes all results.
pub fn clear(global: &Global, printer: &Printer) -> Result {
    let removed = library(global)?.clear_cache()?;
    printer.result(&removed, || format!("removed {} results, {}\n", removed.layers, text::size(removed.bytes)))
}

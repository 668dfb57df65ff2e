//! Split WIMs: one WIM as several files, none larger than asked where that is possible.

use super::plan::{Part, WimPlan};
use super::{Output, Progress, WriteError};

/// A part of a split WIM that has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitPart {
    /// Its number, from 1.
    pub number: u16,
    /// Its size in bytes.
    pub size: u64,
}

/// Writes a plan as a split WIM of parts of at most `part_size` bytes.
///
/// Blobs are not cut: a blob (or solid resource) above the size gets a part of its own, which is larger then. The first
/// part has the metadata. `create` opens the output of a part by its number; by custom `NAME.swm`, `NAME2.swm`, ….
///
/// # Errors
/// [`WriteError::Split`] when something in the plan would have to be compressed first (write it as one WIM, then split
/// that), or for more than 65535 parts; else as [`WimPlan::write`].
pub fn split(
    plan: &WimPlan,
    part_size: u64,
    create: &mut dyn FnMut(u16) -> Result<Box<dyn Output>, WriteError>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<SplitPart>, WriteError> {
    let refused = |reason: &str| WriteError::Split { reason: reason.to_owned() };
    if !plan.new.is_empty() {
        return Err(refused("some blobs would have to be compressed first: write one WIM, then split it"));
    }
    if plan.options.pipable {
        return Err(refused("a pipable WIM has no parts"));
    }
    let fixed = plan.part_overhead();
    // Where in the raw resources each part starts. The first part's metadata count as its first bytes.
    let mut starts = vec![0_usize];
    let mut size = plan.metadata_size().saturating_add(fixed);
    let mut in_part = 0_usize;
    for (index, raw) in plan.raw.iter().enumerate() {
        let more = raw.part_bytes();
        // The first part may hold metadata alone.
        if size.saturating_add(more) > part_size && (in_part > 0 || starts.len() == 1) {
            starts.push(index);
            size = fixed;
            in_part = 0;
        }
        size = size.saturating_add(more);
        in_part = in_part.saturating_add(1);
    }
    let total = u16::try_from(starts.len()).map_err(|_| refused("more than 65535 parts: the part size is too small"))?;
    let mut parts = Vec::new();
    let ends = starts.iter().skip(1).copied().chain([plan.raw.len()]);
    for ((number, start), end) in (1..).zip(&starts).zip(ends) {
        let mut output = create(number)?;
        let raw = plan.raw.get(*start..end).unwrap_or_default();
        let size = plan.write_part(&mut *output, Part { number, total }, raw, progress)?;
        parts.push(SplitPart { number, size });
    }
    Ok(parts)
}

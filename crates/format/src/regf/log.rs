//! Transaction logs: bringing a dirty hive to the state its writer had reached.
//!
//! Two generations. Old logs (to Windows 8): a bitmap of 512-byte pages and the pages. New logs (from Windows 8.1):
//! log entries, each with a sequence number, page references, pages and two Marvin32 hashes.
//! Source: Maxim Suhanov, "Windows registry file format specification".

use super::Error;
use super::base_block::{BASE_BLOCK_SIZE, BaseBlock, at, seal};
use super::bin::{BIN_TIME, BIN_UNIT};
use super::cell::MAX_BINS_SIZE;
use super::field::{put, u32_at, u64_at};
use super::marvin32::marvin32;

/// Logs are made of sectors: the base block fills the first.
const SECTOR: usize = 512;
/// Bytes of a log entry before its page references.
const ENTRY_HEADER: usize = 40;
/// File type of a log of the new generation.
const NEW_LOG: u32 = 6;
/// Seed of the hashes, as Windows has it.
const HASH_SEED: u64 = 0x82EF_4D88_7A4E_55C5;

/// A log that could be applied.
struct Log<'a> {
    base: BaseBlock,
    bytes: &'a [u8],
}

impl<'a> Log<'a> {
    /// `None` for what is no intact log; an empty file among them.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let base = BaseBlock::parse(bytes).ok().filter(|base| base.checksum_valid)?;
        let possible = base.bins_size.is_multiple_of(BIN_UNIT) && base.bins_size < MAX_BINS_SIZE;
        (possible && base.file_type != 0).then_some(Self { base, bytes })
    }

    /// The entries from the first sector on, as long as they are intact and their numbers follow each other.
    fn entries(&self) -> Vec<Entry<'a>> {
        let mut entries = Vec::new();
        let mut expected = self.base.primary_sequence;
        let mut rest = self.bytes.get(SECTOR..).unwrap_or_default();
        while let Some(entry) = Entry::parse(rest).filter(|entry| entry.sequence == expected) {
            rest = rest.get(entry.bytes.len()..).unwrap_or_default();
            entries.push(entry);
            expected = expected.wrapping_add(1);
        }
        entries
    }
}

/// One write of a new log.
struct Entry<'a> {
    flags: u32,
    sequence: u32,
    bins_size: u32,
    page_count: usize,
    bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    fn parse(log: &'a [u8]) -> Option<Self> {
        if !log.starts_with(b"HvLE") {
            return None;
        }
        // 4: size. 8: flags. 12: sequence number. 16: bins size. 20: page count. 24, 32: hashes. 40: page references.
        let size = u32_at(log, 4)? as usize;
        let bytes = log.get(..size).filter(|_| size.is_multiple_of(SECTOR) && size >= ENTRY_HEADER)?;
        let bins_size = u32_at(bytes, 16)?;
        let data_hash = marvin32(HASH_SEED, bytes.get(ENTRY_HEADER..)?);
        let header_hash = marvin32(HASH_SEED, bytes.get(..32)?);
        let intact = u64_at(bytes, 24)? == data_hash && u64_at(bytes, 32)? == header_hash;
        let possible = bins_size.is_multiple_of(BIN_UNIT) && bins_size < MAX_BINS_SIZE;
        let page_count = u32_at(bytes, 20)? as usize;
        (intact && possible).then_some(Self { flags: u32_at(bytes, 8)?, sequence: u32_at(bytes, 12)?, bins_size, page_count, bytes })
    }

    /// Copies the pages into the hive. `None` when a page does not fit.
    fn apply(&self, file: &mut Vec<u8>) -> Option<()> {
        resize_bins(file, self.bins_size, self.bytes.len())?;
        let mut page_at = self.page_count.checked_mul(8)?.checked_add(ENTRY_HEADER)?;
        for reference in self.bytes.get(ENTRY_HEADER..page_at)?.chunks_exact(8) {
            let (offset, size) = (u32_at(reference, 0)?, u32_at(reference, 4)? as usize);
            let page = self.bytes.get(page_at..)?.get(..size)?;
            put(file, BASE_BLOCK_SIZE.checked_add(offset as usize)?, page)?;
            page_at = page_at.checked_add(size)?;
        }
        put(file, at::BINS_SIZE, &self.bins_size.to_le_bytes())?;
        // Only the lowest flag is carried by log entries.
        let flags = u32_at(file, at::FLAGS)? & !1 | self.flags & 1;
        put(file, at::FLAGS, &flags.to_le_bytes())
    }
}

/// Grows the file so that it can hold `size` bytes of bins. `None` when it would grow by more than the log holds: all
/// pages of a new bin are dirty, so they lie in the log.
fn resize_bins(file: &mut Vec<u8>, size: u32, log_length: usize) -> Option<()> {
    let needed = BASE_BLOCK_SIZE.checked_add(size as usize)?;
    if file.len() < needed {
        if needed.checked_sub(file.len())? > log_length {
            return None;
        }
        file.resize(needed, 0);
    }
    Some(())
}

/// Applies `logs` (LOG1 first) to a dirty hive; returns the recovered file, its base block clean.
pub(super) fn recover(mut file: Vec<u8>, logs: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let base = BaseBlock::parse(&file)?;
    if file.len() < BASE_BLOCK_SIZE {
        return Err(Error::Truncated { needed: BASE_BLOCK_SIZE as u64, available: file.len() as u64 });
    }
    if !base.is_dirty() {
        return Ok(file);
    }
    let (new, old): (Vec<Log<'_>>, Vec<Log<'_>>) =
        logs.iter().filter_map(|bytes| Log::parse(bytes)).partition(|log| log.base.file_type == NEW_LOG);
    let sequence = match apply_new(&mut file, &base, &new)? {
        Some(sequence) => sequence,
        None => apply_old(&mut file, &base, &old)?.ok_or(Error::NoUsableLog { logs: logs.len() })?,
    };
    mark_clean(&mut file, sequence).ok_or(Error::NoUsableLog { logs: logs.len() })?;
    Ok(file)
}

fn mark_clean(file: &mut [u8], sequence: u32) -> Option<()> {
    put(file, at::PRIMARY_SEQUENCE, &sequence.to_le_bytes())?;
    put(file, at::SECONDARY_SEQUENCE, &sequence.to_le_bytes())?;
    put(file, at::FILE_TYPE, &0_u32.to_le_bytes())?;
    seal(file)
}

/// Applies new logs; returns the last sequence number, or `None` when no entry applies.
fn apply_new(file: &mut Vec<u8>, base: &BaseBlock, logs: &[Log<'_>]) -> Result<Option<u32>, Error> {
    let mut lists: Vec<(&Log<'_>, Vec<Entry<'_>>)> = logs.iter().map(|log| (log, log.entries())).collect();
    lists.retain(|(_, entries)| !entries.is_empty());
    lists.sort_by_key(|(log, _)| log.base.primary_sequence);
    if base.checksum_valid {
        lists.retain(|(log, _)| log.base.primary_sequence >= base.secondary_sequence);
    } else {
        // The log with the latest entries alone, and its base block.
        lists = lists.pop().into_iter().collect();
        if let Some((log, _)) = lists.first() {
            put(file, 0, log.bytes.get(..SECTOR).unwrap_or_default()).ok_or(Error::NoUsableLog { logs: logs.len() })?;
        }
    }
    let mut last: Option<u32> = None;
    for entry in lists.iter().flat_map(|(_, entries)| entries) {
        if last.is_some_and(|last| last.wrapping_add(1) != entry.sequence) {
            break;
        }
        entry.apply(file).ok_or(Error::LogPage { sequence: entry.sequence })?;
        last = Some(entry.sequence);
    }
    Ok(last)
}

/// Applies the first old log that belongs to the hive: of the same time, or, where the hive's base block is damaged, not
/// older than its first bin. Returns the sequence number, or `None` when none does.
fn apply_old(file: &mut Vec<u8>, base: &BaseBlock, logs: &[Log<'_>]) -> Result<Option<u32>, Error> {
    // The first bin has a copy of the time, but of the last write that ended: the log of the interrupted write is later.
    let ended = u64_at(file, BASE_BLOCK_SIZE.saturating_add(BIN_TIME as usize)).unwrap_or_default();
    let belongs = |time: u64| if base.checksum_valid { time == base.last_written } else { time >= ended };
    let complete = |log: &&Log<'_>| log.base.primary_sequence == log.base.secondary_sequence && belongs(log.base.last_written);
    let Some(log) = logs.iter().find(complete) else { return Ok(None) };
    if !base.checksum_valid {
        put(file, 0, log.bytes.get(..SECTOR).unwrap_or_default()).ok_or(Error::NoUsableLog { logs: logs.len() })?;
    }
    apply_pages(file, log).ok_or(Error::LogPage { sequence: log.base.primary_sequence })?;
    Ok(Some(base.primary_sequence.max(log.base.primary_sequence)))
}

/// Copies the dirty pages of an old log into the hive. `None` when the log lacks some, or one does not fit.
fn apply_pages(file: &mut Vec<u8>, log: &Log<'_>) -> Option<()> {
    let bitmap_length = (log.base.bins_size as usize).checked_div(SECTOR)?.div_ceil(8);
    let vector = log.bytes.get(SECTOR..)?;
    let bitmap = vector.starts_with(b"DIRT").then_some(vector)?.get(4..)?.get(..bitmap_length)?;
    let pages_at = SECTOR.checked_add(4)?.checked_add(bitmap_length)?.checked_next_multiple_of(SECTOR)?;
    let mut pages = log.bytes.get(pages_at..)?.chunks_exact(SECTOR);
    resize_bins(file, log.base.bins_size, log.bytes.len())?;
    let dirty = bitmap.iter().enumerate().flat_map(|(index, byte)| {
        (0..8_usize).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| index.saturating_mul(8).saturating_add(bit))
    });
    for page in dirty {
        put(file, page.checked_mul(SECTOR)?.checked_add(BASE_BLOCK_SIZE)?, pages.next()?)?;
    }
    put(file, at::BINS_SIZE, &log.base.bins_size.to_le_bytes())
}

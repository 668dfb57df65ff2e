//! Partitions: from (partition reference, block) to bytes of the image.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{file, tag};
use crate::io::{Extent, ReadAt, Section};
use crate::media::VolumeError;
use crate::media::bytes::{Fields, read};
use crate::media::volume::{ExtentList, Tree};

/// Partition maps in a logical volume; UDF knows volumes with one or two.
const MAX_PARTITION_MAPS: u32 = 16;
/// Bytes of a sparing or virtual allocation table: 16 million blocks of 2048 bytes are 32 GiB.
const MAX_TABLE_BYTES: u64 = 1 << 26;
/// Sectors at the end of the medium that are searched for the virtual allocation table; drives add up to 150 of padding.
const VIRTUAL_TABLE_SEARCH: u64 = 256;

const OUT_OF_RANGE: &str = "it refers to a block outside its partition";

/// How one partition map finds blocks.
enum Partition {
    /// A run of sectors (type 1 map).
    Physical { start: u64, blocks: u64 },
    /// A run of sectors in which some packets lie elsewhere: packet's first block to sector (UDF 2.2.9).
    Sparable { start: u64, blocks: u64, packet: u64, moved: BTreeMap<u64, u64> },
    /// Blocks are looked up in a table, which gives blocks of partition `inner` (UDF 2.2.8).
    Virtual { inner: usize, table: Vec<u32> },
    /// Blocks are those of a file: (position in it, extent of the image) (UDF 2.2.10).
    Metadata { runs: Vec<(u64, Extent)> },
}

/// All partitions of a logical volume.
pub struct Space {
    source: Arc<dyn ReadAt>,
    /// Bytes in a logical block, which is a sector too (UDF 2.2.4.2).
    block: u64,
    partitions: Vec<Partition>,
}

/// What the volume descriptor sequence says of a partition: first sector, and sectors, by number.
pub type Descriptors = BTreeMap<u16, (u64, u64)>;

impl Space {
    /// Reads the partition maps behind the logical volume descriptor `volume` (offset 440), and the tables they name.
    pub fn new(
        source: Arc<dyn ReadAt>,
        block: u64,
        volume: &Fields<'_>,
        descriptors: &Descriptors,
        tree: &mut Tree,
    ) -> Result<Self, VolumeError> {
        let mut space = Self { source, block, partitions: Vec::new() };
        let count = volume.u32(268)?;
        if count > MAX_PARTITION_MAPS {
            return Err(VolumeError::Limit { what: "partition maps", limit: MAX_PARTITION_MAPS.into() });
        }
        let mut at = 440_usize;
        for _ in 0..count {
            let (kind, length) = (volume.u8(at)?, usize::from(volume.u8(at.saturating_add(1))?));
            let map = Fields::new(volume.bytes(at, length)?, "partition map", 0);
            // Type 1: 4 the partition's number. Type 2: 4 an entity identifier, 38 the number.
            let number = map.u16(if kind == 1 { 4 } else { 38 })?;
            let Some(&(start, blocks)) = descriptors.get(&number) else {
                return Err(volume.malformed("a partition map names a partition that no descriptor describes"));
            };
            let partition = match (kind, if kind == 2 { map.bytes(5, 23)? } else { &[] }) {
                (1, _) => Partition::Physical { start, blocks },
                (2, name) if name.starts_with(b"*UDF Sparable Partition") => space.sparable(&map, start, blocks)?,
                (2, name) if name.starts_with(b"*UDF Virtual Partition") => space.virtual_partition(&map, start, tree)?,
                (2, name) if name.starts_with(b"*UDF Metadata Partition") => space.metadata(&map, start, tree)?,
                _ => return Err(volume.unsupported("an unknown kind of partition map")),
            };
            space.partitions.push(partition);
            at = at.saturating_add(length);
        }
        Ok(space)
    }

    pub fn source(&self) -> &Arc<dyn ReadAt> {
        &self.source
    }

    /// Bytes in a block.
    pub fn block(&self) -> u64 {
        self.block
    }

    /// Index of the physical (or sparable) map that starts at sector `start`, which a dependent map builds upon.
    fn inner(&self, map: &Fields<'_>, start: u64) -> Result<usize, VolumeError> {
        let found = self.partitions.iter().position(
            |partition| matches!(partition, Partition::Physical { start: s, .. } | Partition::Sparable { start: s, .. } if *s == start),
        );
        found.ok_or_else(|| map.unsupported("a map that precedes the one it depends on"))
    }

    /// Sparable: 40 blocks in a packet, 42 number of tables, 44 bytes of each, 48 their sectors.
    fn sparable(&self, map: &Fields<'_>, start: u64, blocks: u64) -> Result<Partition, VolumeError> {
        let packet = u64::from(map.u16(40)?);
        let size = u64::from(map.u32(44)?).min(MAX_TABLE_BYTES);
        let mut moved = BTreeMap::new();
        if map.u8(42)? == 0 || packet == 0 {
            return Err(map.malformed("a sparable partition without a sparing table"));
        }
        let offset = u64::from(map.u32(48)?).saturating_mul(self.block);
        let bytes = read(&*self.source, "sparing table", offset, usize::try_from(size).unwrap_or(0))?;
        let table = Fields::new(&bytes, "sparing table", offset);
        // 48 number of entries, 56 entries: original block, sector that holds it. From 0xFFFFFFF0 on: unused, defective.
        tag::identifier(&table)?;
        for index in 0..usize::from(table.u16(48)?) {
            let at = index.saturating_mul(8).saturating_add(56);
            let (original, mapped) = (table.u32(at)?, table.u32(at.saturating_add(4))?);
            if original < 0xFFFF_FFF0 {
                moved.insert(original.into(), mapped.into());
            }
        }
        Ok(Partition::Sparable { start, blocks, packet, moved })
    }

    /// The virtual allocation table is a file, whose ICB is the last sector that was written.
    fn virtual_partition(&self, map: &Fields<'_>, start: u64, tree: &mut Tree) -> Result<Partition, VolumeError> {
        let inner = self.inner(map, start)?;
        let reference = u16::try_from(inner).unwrap_or(u16::MAX);
        let sectors = self.source.size().checked_div(self.block).unwrap_or(0);
        for back in 1..=VIRTUAL_TABLE_SEARCH {
            let Some(block) = sectors.checked_sub(back).and_then(|sector| sector.checked_sub(start)) else { break };
            let Ok(block) = u32::try_from(block) else { continue };
            let Ok(entry) = file::read(self, reference, block, tree) else { continue };
            // File type 248 since UDF 2.00. In 1.50 it is 0, and the table ends with an identifier and the previous ICB.
            let newer = entry.file_type == 248;
            if (!newer && entry.file_type != 0) || entry.size > MAX_TABLE_BYTES {
                continue;
            }
            let failed = |source| VolumeError::Read { structure: "virtual allocation table", offset: 0, source };
            let section = Section::new(Arc::clone(&self.source), entry.extents).map_err(failed)?;
            let mut bytes = vec![0; usize::try_from(entry.size).unwrap_or(0)];
            section.read_exact_at(&mut bytes, 0).map_err(failed)?;
            let table = Fields::new(&bytes, "virtual allocation table", 0);
            let entries = if newer {
                bytes.get(usize::from(table.u16(0)?)..)
            } else {
                let end = bytes.len().checked_sub(36);
                end.filter(|end| {
                    bytes.get(*end..).is_some_and(|tail| tail.get(1..).unwrap_or_default().starts_with(b"*UDF Virtual Alloc Tbl"))
                })
                .and_then(|end| bytes.get(..end))
            };
            if let Some(entries) = entries {
                let table = entries.as_chunks::<4>().0.iter().map(|entry| u32::from_le_bytes(*entry)).collect();
                return Ok(Partition::Virtual { inner, table });
            }
        }
        Err(map.malformed("no virtual allocation table at the end of the image"))
    }

    /// Metadata: 40 block of the metadata file's ICB, 44 of its mirror's.
    fn metadata(&self, map: &Fields<'_>, start: u64, tree: &mut Tree) -> Result<Partition, VolumeError> {
        let reference = u16::try_from(self.inner(map, start)?).unwrap_or(u16::MAX);
        let entry = match file::read(self, reference, map.u32(40)?, tree) {
            Ok(entry) => entry,
            Err(first) => file::read(self, reference, map.u32(44)?, tree).map_err(|_| first)?,
        };
        let mut position = 0_u64;
        let runs = entry.extents.into_iter().map(|extent| {
            let run = (position, extent);
            position = position.saturating_add(extent.length);
            run
        });
        Ok(Partition::Metadata { runs: runs.collect() })
    }

    /// Appends the extents of the image that hold `length` bytes from `block` of the partition on.
    pub fn locate(&self, reference: u16, block: u32, length: u64, list: &mut ExtentList<'_>) -> Result<(), VolumeError> {
        let partition = self.partitions.get(usize::from(reference));
        let malformed = |problem| VolumeError::Malformed { structure: "allocation descriptor", offset: 0, problem };
        let end = u64::from(block).saturating_add(length.div_ceil(self.block));
        match partition {
            None => Err(malformed("it names a partition that the volume does not have")),
            Some(Partition::Physical { blocks, .. } | Partition::Sparable { blocks, .. }) if end > *blocks => Err(malformed(OUT_OF_RANGE)),
            Some(Partition::Physical { start, .. }) => {
                let sector = start.saturating_add(block.into());
                list.push(Extent { offset: Some(sector.saturating_mul(self.block)), length })
            }
            Some(Partition::Sparable { start, packet, moved, .. }) => {
                let (mut block, mut left) = (u64::from(block), length);
                while left > 0 && !list.is_complete() {
                    let inside = block.checked_rem(*packet).unwrap_or(0);
                    let first = block.saturating_sub(inside);
                    let sector = moved.get(&first).map_or(start.saturating_add(block), |sector| sector.saturating_add(inside));
                    let run = packet.saturating_sub(inside).saturating_mul(self.block).min(left);
                    list.push(Extent { offset: Some(sector.saturating_mul(self.block)), length: run })?;
                    block = first.saturating_add(*packet);
                    left = left.saturating_sub(run);
                }
                Ok(())
            }
            Some(Partition::Virtual { inner, table }) => {
                let (mut index, mut left) = (usize::try_from(block).unwrap_or(usize::MAX), length);
                while left > 0 && !list.is_complete() {
                    let block = table.get(index).ok_or_else(|| malformed(OUT_OF_RANGE))?;
                    let run = self.block.min(left);
                    // `inner` is physical or sparable, so this nests once.
                    self.locate(u16::try_from(*inner).unwrap_or(u16::MAX), *block, run, list)?;
                    index = index.saturating_add(1);
                    left = left.saturating_sub(run);
                }
                Ok(())
            }
            Some(Partition::Metadata { runs }) => {
                let (mut position, mut left) = (u64::from(block).saturating_mul(self.block), length);
                while left > 0 && !list.is_complete() {
                    let index = runs.partition_point(|(start, _)| *start <= position).checked_sub(1);
                    let (start, extent) = index.and_then(|index| runs.get(index)).ok_or_else(|| malformed(OUT_OF_RANGE))?;
                    let inside = position.saturating_sub(*start);
                    let run = extent.length.saturating_sub(inside).min(left);
                    let offset = extent.offset.map(|offset| offset.saturating_add(inside));
                    if run == 0 || offset.is_none() {
                        return Err(malformed(OUT_OF_RANGE));
                    }
                    list.push(Extent { offset, length: run })?;
                    position = position.saturating_add(run);
                    left = left.saturating_sub(run);
                }
                Ok(())
            }
        }
    }

    /// The image offset of a whole block, where structures lie.
    pub fn offset(&self, reference: u16, block: u32, tree: &mut Tree) -> Result<u64, VolumeError> {
        let mut list = tree.extent_list(self.block);
        self.locate(reference, block, self.block, &mut list)?;
        match list.extents.as_slice() {
            [Extent { offset: Some(offset), .. }] => Ok(*offset),
            _ => Err(VolumeError::Malformed { structure: "block", offset: 0, problem: "it is not in one piece" }),
        }
    }
}

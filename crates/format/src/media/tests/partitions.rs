//! Partitions that re-map blocks, which our writer does not make and mkudffs only without files: an image of ours is rebuilt so
//! that its structures are found through one.

use super::*;

/// The image's parts that are rewritten.
struct Rebuilt {
    bytes: Vec<u8>,
    /// First sector of the partition.
    partition: usize,
}

impl Rebuilt {
    /// The partition starts a sector earlier than before, so that block n of the re-mapped partition is n + 1 of the physical one;
    /// everything refers to partition map 1, which `map` is.
    fn new(map: &[u8]) -> Self {
        let mut bytes = image(bridge(IsoView::Stub, &sample()));
        let partition = (257..).find(|sector| bytes[sector * 2048..sector * 2048 + 2] == 256_u16.to_le_bytes()).unwrap() - 1;
        let end = bytes.len() / 2048;
        for sector in (32..38).chain(48..54) {
            let descriptor = &mut bytes[sector * 2048..(sector + 1) * 2048];
            match descriptor[0] {
                5 => {
                    descriptor[188..192].copy_from_slice(&(partition as u32).to_le_bytes());
                    descriptor[192..196].copy_from_slice(&((end - partition) as u32).to_le_bytes());
                }
                6 => {
                    descriptor[256] = 1;
                    descriptor[268] = 2;
                    descriptor[446..446 + map.len()].copy_from_slice(map);
                    descriptor[10..12].copy_from_slice(&(430 + map.len() as u16).to_le_bytes());
                }
                _ => continue,
            }
            reseal(descriptor);
        }
        for sector in partition + 1..end {
            let start = sector * 2048;
            match u16::from_le_bytes([bytes[start], bytes[start + 1]]) {
                256 => bytes[start + 408] = 1,
                // The file identifiers of a directory follow its file entry; they may go on into the next sector.
                261 if bytes[start + 27] == 4 => {
                    let size = u64::from_le_bytes(bytes[start + 56..start + 64].try_into().unwrap()) as usize;
                    let (mut at, directory_end) = (start + 2048, start + 2048 + size);
                    while at < directory_end {
                        bytes[at + 28] = 1;
                        reseal(&mut bytes[at..]);
                        at += (38 + usize::from(bytes[at + 19])).next_multiple_of(4);
                    }
                    continue;
                }
                _ => continue,
            }
            reseal(&mut bytes[start..start + 2048]);
        }
        Self { bytes, partition }
    }

    /// Writes a file entry into the last sector (the second anchor is not needed).
    fn put_file_entry(&mut self, file_type: u8, flags: u16, size: u64, descriptors: &[u8]) {
        let sector = self.bytes.len() / 2048 - 1;
        let mut entry = vec![0; 176];
        (entry[20], entry[27]) = (4, file_type);
        entry[34..36].copy_from_slice(&flags.to_le_bytes());
        entry[56..64].copy_from_slice(&size.to_le_bytes());
        entry[172..176].copy_from_slice(&(descriptors.len() as u32).to_le_bytes());
        entry.extend(descriptors);
        seal(&mut entry, 261, (sector - self.partition) as u32);
        self.bytes[sector * 2048..][..2048].fill(0);
        self.bytes[sector * 2048..][..entry.len()].copy_from_slice(&entry);
    }

    /// Blocks of the partition before that last sector.
    fn blocks(&self) -> u32 {
        (self.bytes.len() / 2048 - 1 - self.partition) as u32
    }
}

/// A type 2 partition map: 2 type, 4 identifier, 36 volume 1, 38 partition 0, then `rest`.
fn map(identifier: &[u8], rest: &[u32]) -> Vec<u8> {
    let mut map = vec![0; 64];
    (map[0], map[1], map[36]) = (2, 64, 1);
    map[5..5 + identifier.len()].copy_from_slice(identifier);
    for (at, value) in (40..).step_by(4).zip(rest) {
        map[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    map
}

#[test]
fn a_metadata_partition_is_followed() {
    let last = Rebuilt::new(&map(b"*UDF Metadata Partition", &[0, 0])).blocks();
    // The first copy of the metadata file is missing: its mirror is read.
    for locations in [[last, 0], [0, last]] {
        let mut rebuilt = Rebuilt::new(&map(b"*UDF Metadata Partition", &locations));
        // Two extents that are not adjacent in the order of the file: block 1 on, in pieces.
        let pieces = [(3_u32, 1_u32), (last - 4, 4)];
        let descriptors: Vec<u8> =
            pieces.into_iter().flat_map(|(blocks, first)| [blocks * 2048, first]).flat_map(u32::to_le_bytes).collect();
        rebuilt.put_file_entry(250, 0, u64::from(last - 1) * 2048, &descriptors);
        assert_same(&contents(&open(rebuilt.bytes)), &sample(), "metadata partition");
    }
}

#[test]
fn a_virtual_partition_is_followed() {
    // UDF 1.50: entries, then an identifier and the previous table; in the file entry itself or, as here, in an extent of its own.
    // UDF 2.00: a header whose length comes first, then entries.
    for newer in [false, true] {
        let mut rebuilt = Rebuilt::new(&map(b"*UDF Virtual Partition", &[]));
        let entries: Vec<u8> = (1..rebuilt.blocks()).flat_map(u32::to_le_bytes).collect();
        let table = if newer {
            [&152_u16.to_le_bytes()[..], &[0; 150], &entries].concat()
        } else {
            [&entries, &b"\0*UDF Virtual Alloc Tbl\0\0\0\0\0\0\0\0\0"[..], &[0xFF; 4]].concat()
        };
        // The table lies behind the partition's blocks so far; the file entry in the sector behind it.
        let first = rebuilt.blocks();
        let mut padded = table.clone();
        padded.resize(table.len().next_multiple_of(2048) + 2048, 0);
        rebuilt.bytes.truncate(rebuilt.bytes.len() - 2048);
        rebuilt.bytes.extend(padded);
        let blocks = (rebuilt.bytes.len() / 2048 - rebuilt.partition) as u32;
        for sector in [34, 50] {
            rebuilt.bytes[sector * 2048 + 192..sector * 2048 + 196].copy_from_slice(&blocks.to_le_bytes());
            reseal(&mut rebuilt.bytes[sector * 2048..(sector + 1) * 2048]);
        }
        let descriptors: Vec<u8> = [table.len() as u32, first].into_iter().flat_map(u32::to_le_bytes).collect();
        rebuilt.put_file_entry(if newer { 248 } else { 0 }, 0, table.len() as u64, &descriptors);
        assert_same(&contents(&open(rebuilt.bytes)), &sample(), "virtual partition");
    }
}

//! Writes a UDF 1.02 volume: one read-only partition, everything in blocks of 2048 bytes, times in UTC.

use super::{identifier, tag};
use crate::media::SECTOR;
use crate::media::bridge::{BridgeError, NodeKind, Output, Placed, Tree};
use crate::media::bytes::Encoder;
use crate::media::time;

/// Where the sequences lie, as with genisoimage: 16 sectors each is the least (UDF 2.2.3.1).
const MAIN_SEQUENCE: u32 = 32;
const RESERVE_SEQUENCE: u32 = 48;
const SEQUENCE_BYTES: u32 = 16 * 2048;
const INTEGRITY_SEQUENCE: u32 = 64;
const FIRST_ANCHOR: u32 = 256;
/// UDF 1.02, binary-coded decimal.
const REVISION: u16 = 0x0102;
const BLOCK: usize = 2048;
/// Allocation descriptors of 8 bytes that fit into a file entry's block behind its 176 fixed bytes.
const MAX_EXTENTS: u64 = 234;
/// Bytes of one extent: the most whole blocks below 2^30.
const EXTENT: u64 = (1 << 30) - SECTOR;
const EXTENT_BLOCKS: u32 = (1 << 19) - 1;
/// Bytes of a file that fits into one file entry.
pub(crate) const MAX_FILE_SIZE: u64 = MAX_EXTENTS * EXTENT;
/// Blocks of the partition: the file set descriptor and the terminating descriptor behind it come first.
const FILE_SET_BLOCK: u32 = 0;
const FIRST_NODE_BLOCK: u32 = 2;
/// Unique identifiers below 16 are kept for the Macintosh; the root's is 0 (UDF 3.2.1.1).
const FIRST_UNIQUE_ID: u64 = 16;
/// Flag of a file entry: the file is to be archived, as Windows marks every new file.
const ARCHIVE: u16 = 0x20;
/// Permissions of a file entry: all may read and execute (4/14.9.5).
const READ_AND_EXECUTE: u32 = 0x14A5;
/// Who wrote the volume.
const APPLICATION: &[u8] = b"*Wimwright";
/// The rules that the volume follows. Suffix: revision, and that it is write protected, by the medium and by choice.
const DOMAIN: &[u8] = b"*OSTA UDF Compliant";
const DOMAIN_SUFFIX: [u8; 3] = [0x02, 0x01, 0x03];
/// File identifier characteristics.
const IS_DIRECTORY: u8 = 0x02;
const IS_PARENT: u8 = 0x08;

/// What is common to the whole volume.
pub(crate) struct Volume<'a> {
    pub label: &'a str,
    pub volume_set: [u8; 8],
    /// FILETIME.
    pub time: u64,
    /// First sector of the partition.
    pub partition: u32,
    /// Blocks in the partition.
    pub blocks: u32,
}

/// Where the file entries and directories lie in the partition.
pub(crate) struct Layout {
    directories: Vec<usize>,
    /// For each node: the block of its file entry.
    entries: Vec<u32>,
    /// For each node that is a directory: bytes of its file identifiers, which follow its file entry.
    directory_bytes: Vec<u64>,
    blocks: u64,
}

/// Bytes of a file identifier descriptor.
fn identifier_size(name: &str) -> usize {
    identifier::length(name).saturating_add(38).next_multiple_of(4)
}

impl Layout {
    /// Places each directory's file entry, its file identifiers, then the file entries of its files.
    pub fn new(tree: &Tree) -> Result<Self, BridgeError> {
        let directories = tree.directories();
        let mut layout = Self {
            directories,
            entries: vec![0; tree.nodes.len()],
            directory_bytes: vec![0; tree.nodes.len()],
            blocks: FIRST_NODE_BLOCK.into(),
        };
        for directory in layout.directories.clone() {
            layout.place(directory)?;
            let names = tree.children(directory).filter_map(|child| tree.nodes.get(child)).map(|node| identifier_size(&node.name) as u64);
            let bytes = names.fold(identifier_size("") as u64, u64::saturating_add);
            if let Some(slot) = layout.directory_bytes.get_mut(directory) {
                *slot = bytes;
            }
            layout.blocks = layout.blocks.saturating_add(bytes.div_ceil(SECTOR));
            for file in tree.children(directory).filter(|child| !tree.is_directory(*child)) {
                layout.place(file)?;
            }
        }
        Ok(layout)
    }

    fn place(&mut self, node: usize) -> Result<(), BridgeError> {
        if let Some(slot) = self.entries.get_mut(node) {
            *slot = u32::try_from(self.blocks).map_err(|_| BridgeError::ImageTooLarge)?;
        }
        self.blocks = self.blocks.saturating_add(1);
        Ok(())
    }

    /// Blocks of the partition before the first file.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    fn entry(&self, node: usize) -> u32 {
        self.entries.get(node).copied().unwrap_or(0)
    }

    /// Writes what comes before the partition: the recognition sequence at sector `recognition`, both volume descriptor sequences,
    /// the integrity sequence, the first anchor.
    pub fn write_descriptors(
        &self,
        tree: &Tree,
        volume: &Volume<'_>,
        recognition: u64,
        output: &mut Output<'_>,
    ) -> Result<(), BridgeError> {
        for (name, sector) in [b"BEA01", b"NSR02", b"TEA01"].into_iter().zip(recognition..) {
            // 0 structure type, 1 identifier, 6 version
            output.sectors(sector, &Encoder::default().u8(0).bytes(name).u8(1).pad_to(BLOCK).take())?;
        }
        let sequence = [
            (tag::PRIMARY_VOLUME, primary_volume(volume)),
            (tag::IMPLEMENTATION_USE, implementation_use(volume)),
            (tag::PARTITION, partition(volume)),
            (tag::LOGICAL_VOLUME, logical_volume(volume)),
            // 16 sequence number, 20 number of unallocated extents
            (tag::UNALLOCATED_SPACE, descriptor().u32(4).u32(0).take()),
            (tag::TERMINATING, descriptor().pad_to(512).take()),
        ];
        for start in [MAIN_SEQUENCE, RESERVE_SEQUENCE] {
            for ((kind, bytes), sector) in sequence.iter().zip(start..) {
                let mut bytes = bytes.clone();
                tag::seal(&mut bytes, *kind, sector);
                output.sectors(sector.into(), &bytes)?;
            }
        }
        let sequence = [(tag::LOGICAL_VOLUME_INTEGRITY, self.integrity(tree, volume)), (tag::TERMINATING, descriptor().pad_to(512).take())];
        for ((kind, mut bytes), sector) in sequence.into_iter().zip(INTEGRITY_SEQUENCE..) {
            tag::seal(&mut bytes, kind, sector);
            output.sectors(sector.into(), &bytes)?;
        }
        self.write_anchor(FIRST_ANCHOR.into(), output)
    }

    /// Writes an anchor (3/10.2): 16 main sequence, 24 reserve sequence, each as bytes and sector.
    pub fn write_anchor(&self, sector: u64, output: &mut Output<'_>) -> Result<(), BridgeError> {
        let mut anchor = descriptor();
        for start in [MAIN_SEQUENCE, RESERVE_SEQUENCE] {
            anchor.u32(SEQUENCE_BYTES).u32(start);
        }
        let mut anchor = anchor.pad_to(512).take();
        tag::seal(&mut anchor, tag::ANCHOR, u32::try_from(sector).map_err(|_| BridgeError::ImageTooLarge)?);
        output.sectors(sector, &anchor)
    }

    /// Logical volume integrity descriptor (3/10.10).
    fn integrity(&self, tree: &Tree, volume: &Volume<'_>) -> Vec<u8> {
        let mut bytes = descriptor();
        time::put_udf(&mut bytes, volume.time); // 16 recording time
        bytes.u32(1); // 28 integrity type: closed
        bytes.u32(0).u32(0); // 32 no further integrity extent
        bytes.u64(unique_id(tree.nodes.len())).pad_to(72); // 40 contents use: the next unique identifier
        bytes.u32(1).u32(46); // 72 partitions, 76 bytes for the implementation
        bytes.u32(0).u32(volume.blocks); // 80 free blocks, 84 blocks of the partition
        put_entity(&mut bytes, APPLICATION, &[]); // 88 implementation
        let directories = count(self.directories.len());
        bytes.u32(count(tree.nodes.len()).saturating_sub(directories)).u32(directories); // 120 files, 124 directories
        bytes.u16(REVISION).u16(REVISION).u16(REVISION); // 128 least revision to read, to write, most to write
        bytes.take()
    }

    /// Writes the partition up to the first file.
    pub fn write_partition(&self, tree: &Tree, volume: &Volume<'_>, placed: &[Placed], output: &mut Output<'_>) -> Result<(), BridgeError> {
        let sequence = [
            (tag::FILE_SET, self.file_set(volume)),
            // The file set sequence ends like a volume descriptor sequence (4/8.3.1).
            (tag::TERMINATING, descriptor().pad_to(512).take()),
        ];
        for ((kind, mut bytes), block) in sequence.into_iter().zip(FILE_SET_BLOCK..) {
            tag::seal(&mut bytes, kind, block);
            output.sectors(u64::from(volume.partition).saturating_add(block.into()), &bytes)?;
        }
        for directory in &self.directories {
            self.write_file_entry(tree, *directory, volume, placed, output)?;
            let first = u64::from(self.entry(*directory)).saturating_add(1);
            output.sectors(first.saturating_add(volume.partition.into()), &self.file_identifiers(tree, *directory, first))?;
            for file in tree.children(*directory).filter(|child| !tree.is_directory(*child)) {
                self.write_file_entry(tree, file, volume, placed, output)?;
            }
        }
        Ok(())
    }

    /// File set descriptor (4/14.1).
    fn file_set(&self, volume: &Volume<'_>) -> Vec<u8> {
        let mut bytes = descriptor();
        time::put_udf(&mut bytes, volume.time); // 16 recording time
        bytes.u16(3).u16(3).u32(1).u32(1); // 28 interchange level, its maximum; 32 character sets, their maximum
        bytes.u32(0).u32(0); // 40 number of the file set, of the descriptor
        put_character_set(&mut bytes); // 48
        identifier::put_field(&mut bytes, volume.label, 128); // 112 logical volume identifier
        put_character_set(&mut bytes); // 240
        identifier::put_field(&mut bytes, volume.label, 32); // 304 file set identifier
        bytes.pad_to(400); // 336 no copyright file, 368 no abstract file
        put_long(&mut bytes, 2048, self.entry(0), 0); // 400 the root's ICB
        put_entity(&mut bytes, DOMAIN, &DOMAIN_SUFFIX); // 416
        bytes.pad_to(512).take() // 448 no further file set
    }

    /// File entry (4/14.9), one block.
    fn write_file_entry(
        &self,
        tree: &Tree,
        index: usize,
        volume: &Volume<'_>,
        placed: &[Placed],
        output: &mut Output<'_>,
    ) -> Result<(), BridgeError> {
        let Some(node) = tree.nodes.get(index) else { return Ok(()) };
        let block = self.entry(index);
        // A directory is linked from its own parent entry or its parent, and from the parent entry of each directory in it.
        let (file_type, links, first, size) = match &node.kind {
            NodeKind::Directory { .. } => {
                let inner = tree.children(index).filter(|child| tree.is_directory(*child)).count();
                let bytes = self.directory_bytes.get(index).copied().unwrap_or(0);
                (4_u8, inner.saturating_add(1), block.saturating_add(1), bytes)
            }
            NodeKind::File { content } => {
                let place = placed.get(*content).copied().unwrap_or_default();
                (5, 1, place.sector.saturating_sub(volume.partition), place.size)
            }
        };
        let mut bytes = descriptor();
        // 16 ICB tag: prior entries 0, strategy 4, its parameter 0, entries 1, reserved, file type
        bytes.u32(0).u16(4).u16(0).u16(1).u8(0).u8(file_type);
        bytes.pad_to(34); // 28 no parent ICB
        bytes.u16(if file_type == 4 { 0 } else { ARCHIVE }); // 34 flags: short allocation descriptors
        bytes.u32(u32::MAX).u32(u32::MAX); // 36 owner, 40 group: not specified
        bytes.u32(READ_AND_EXECUTE); // 44 permissions
        bytes.u16(u16::try_from(links).unwrap_or(u16::MAX)); // 48 links
        bytes.u8(0).u8(0).u32(0); // 50 no record format, display attributes, record length
        bytes.u64(size).u64(size.div_ceil(SECTOR)); // 56 size, 64 blocks recorded
        for _ in 0..3 {
            time::put_udf(&mut bytes, node.modified); // 72 accessed, 84 modified, 96 attributes changed
        }
        bytes.u32(1).pad_to(128); // 108 checkpoint, 112 no extended attributes' ICB
        put_entity(&mut bytes, APPLICATION, &[]); // 128 implementation
        bytes.u64(if index == 0 { 0 } else { unique_id(index) }); // 160 unique identifier
        let extents = size.div_ceil(EXTENT);
        bytes.u32(0).u32(u32::try_from(extents.saturating_mul(8)).unwrap_or(0)); // 168 extended attributes, 172 allocation descriptors
        let (mut block_of_extent, mut left) = (first, size);
        while left > 0 {
            let length = left.min(EXTENT);
            bytes.u32(u32::try_from(length).unwrap_or(0)).u32(block_of_extent); // 176 each: bytes (type 0: recorded), block
            block_of_extent = block_of_extent.saturating_add(EXTENT_BLOCKS);
            left = left.saturating_sub(length);
        }
        let mut bytes = bytes.take();
        tag::seal(&mut bytes, tag::FILE_ENTRY, block);
        output.sectors(u64::from(volume.partition).saturating_add(block.into()), &bytes)
    }

    /// All file identifier descriptors (4/14.4) of a directory, which starts at `block`.
    fn file_identifiers(&self, tree: &Tree, directory: usize, block: u64) -> Vec<u8> {
        let parent = tree.nodes.get(directory).map_or(0, |node| node.parent);
        let parent = (parent, "", IS_DIRECTORY | IS_PARENT);
        let children = tree.children(directory).filter_map(|child| {
            let characteristics = if tree.is_directory(child) { IS_DIRECTORY } else { 0 };
            Some((child, tree.nodes.get(child)?.name.as_str(), characteristics))
        });
        let mut all = Vec::new();
        for (node, name, characteristics) in [parent].into_iter().chain(children) {
            let name = identifier::encode(name);
            let mut bytes = descriptor();
            bytes.u16(1).u8(characteristics).u8(u8::try_from(name.len()).unwrap_or(0)); // 16 version, 18, 19 length of the name
            let unique = if node == 0 { 0 } else { unique_id(node) };
            put_long(&mut bytes, 2048, self.entry(node), u32::try_from(unique).unwrap_or(0)); // 20 ICB
            bytes.u16(0).bytes(&name).align(4); // 36 nothing for the implementation, 38 name
            let mut bytes = bytes.take();
            // The block in which the descriptor starts; it may end in the next.
            let location = block.saturating_add((all.len() as u64).div_euclid(SECTOR));
            tag::seal(&mut bytes, tag::FILE_IDENTIFIER, u32::try_from(location).unwrap_or(0));
            all.append(&mut bytes);
        }
        all
    }
}

/// A structure with room for its tag.
fn descriptor() -> Encoder {
    let mut bytes = Encoder::default();
    bytes.pad_to(tag::LENGTH);
    bytes
}

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The unique identifier of a node other than the root.
fn unique_id(node: usize) -> u64 {
    FIRST_UNIQUE_ID.saturating_add(node as u64)
}

/// Character set specification (1/7.2.1): type 0, "OSTA Compressed Unicode", 64 bytes.
fn put_character_set(bytes: &mut Encoder) {
    let end = bytes.length().saturating_add(64);
    bytes.u8(0).bytes(b"OSTA Compressed Unicode").pad_to(end);
}

/// Entity identifier (1/7.4): 0 flags, 1 identifier (23 bytes), 24 suffix (8 bytes).
fn put_entity(bytes: &mut Encoder, identifier: &[u8], suffix: &[u8]) {
    let start = bytes.length();
    bytes.u8(0).bytes(identifier).pad_to(start.saturating_add(24));
    bytes.bytes(suffix).pad_to(start.saturating_add(32));
}

/// Long allocation descriptor (4/14.14.2): 0 bytes, 4 block, 8 partition 0, 10 flags, 12 unique identifier (UDF 2.3.4.3).
fn put_long(bytes: &mut Encoder, length: u32, block: u32, unique_id: u32) {
    bytes.u32(length).u32(block).u16(0).u16(0).u32(unique_id);
}

/// Primary volume descriptor (3/10.1).
fn primary_volume(volume: &Volume<'_>) -> Vec<u8> {
    let mut bytes = descriptor();
    bytes.u32(0).u32(0); // 16 sequence number, 20 number of the descriptor
    identifier::put_field(&mut bytes, volume.label, 32); // 24 volume identifier
    bytes.u16(1).u16(1).u16(2).u16(2); // 56 volume 1 of 1; 60 interchange level 2: a volume set of one volume
    bytes.u32(1).u32(1); // 64 character sets, their maximum
    // 72 volume set identifier: 16 characters that are unique, then a name
    let unique = u64::from_be_bytes(volume.volume_set);
    identifier::put_field(&mut bytes, &format!("{unique:016X}{}", volume.label), 128);
    put_character_set(&mut bytes); // 200 of the descriptor
    put_character_set(&mut bytes); // 264 explanatory
    bytes.pad_to(344); // 328 no abstract, 336 no copyright notice
    put_entity(&mut bytes, APPLICATION, &[]); // 344 application
    time::put_udf(&mut bytes, volume.time); // 376 recording time
    put_entity(&mut bytes, APPLICATION, &[]); // 388 implementation
    bytes.pad_to(512).take() // 420 for the implementation, 484 no predecessor, 488 flags
}

/// Implementation use volume descriptor with "*UDF LV Info" (UDF 2.2.7).
fn implementation_use(volume: &Volume<'_>) -> Vec<u8> {
    let mut bytes = descriptor();
    bytes.u32(1); // 16 sequence number
    put_entity(&mut bytes, b"*UDF LV Info", &REVISION.to_le_bytes()); // 20
    put_character_set(&mut bytes); // 52
    identifier::put_field(&mut bytes, volume.label, 128); // 116 logical volume identifier
    bytes.pad_to(352); // 244 owner, organization, contact: empty
    put_entity(&mut bytes, APPLICATION, &[]); // 352 implementation
    bytes.pad_to(512).take()
}

/// Partition descriptor (3/10.5).
fn partition(volume: &Volume<'_>) -> Vec<u8> {
    let mut bytes = descriptor();
    bytes.u32(2).u16(1).u16(0); // 16 sequence number, 20 flags: allocated, 22 partition 0
    put_entity(&mut bytes, b"+NSR02", &[]); // 24 contents
    bytes.pad_to(184); // 56 contents use: no space bitmaps
    bytes.u32(1).u32(volume.partition).u32(volume.blocks); // 184 access: read only, 188 first sector, 192 sectors
    put_entity(&mut bytes, APPLICATION, &[]); // 196 implementation
    bytes.pad_to(512).take()
}

/// Logical volume descriptor (3/10.6).
fn logical_volume(volume: &Volume<'_>) -> Vec<u8> {
    let mut bytes = descriptor();
    bytes.u32(3); // 16 sequence number
    put_character_set(&mut bytes); // 20
    identifier::put_field(&mut bytes, volume.label, 128); // 84 logical volume identifier
    bytes.u32(2048); // 212 bytes in a block
    put_entity(&mut bytes, DOMAIN, &DOMAIN_SUFFIX); // 216
    put_long(&mut bytes, 4096, FILE_SET_BLOCK, 0); // 248 the file set sequence: the descriptor and its terminator
    bytes.u32(6).u32(1); // 264 bytes of partition maps, 268 their number
    put_entity(&mut bytes, APPLICATION, &[]); // 272 implementation
    bytes.pad_to(432); // 304 for the implementation
    bytes.u32(4096).u32(INTEGRITY_SEQUENCE); // 432 integrity sequence
    bytes.u8(1).u8(6).u16(1).u16(0); // 440 map: type 1, 6 bytes, volume 1, partition 0
    bytes.take()
}

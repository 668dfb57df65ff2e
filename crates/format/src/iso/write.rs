//! Writes ISO 9660 volumes: descriptors, path tables, directories.

use super::boot::{CatalogEntry, encode_catalog};
use super::name::{NameGiver, Names};
use crate::media::SECTOR;
use crate::media::bridge::{BridgeError, NodeKind, Output, Placed, Tree};
use crate::media::bytes::Encoder;
use crate::media::time;

/// The first volume descriptor.
const DESCRIPTORS: u64 = 16;
/// Bytes in one extent of a file: the most whole sectors below 2^32.
const EXTENT: u64 = (1 << 32) - SECTOR;
const EXTENT_SECTORS: u32 = (1 << 21) - 1;
/// Flags of a directory record.
const FLAG_DIRECTORY: u8 = 0x02;
const FLAG_MULTI_EXTENT: u8 = 0x80;
/// What a directory calls itself, and its parent.
const SELF: &[u8] = &[0];
const PARENT: &[u8] = &[1];
/// Who wrote the volume; the fields' own spelling, upper case.
const APPLICATION: &str = "WIMWRIGHT";

/// What is common to the volume's trees.
pub(crate) struct Volume<'a> {
    pub label: &'a str,
    pub volume_set: [u8; 8],
    /// FILETIME.
    pub time: u64,
    /// Sectors of the whole image.
    pub sectors: u32,
}

/// A directory of one tree.
struct Directory {
    node: usize,
    /// Index of its parent among the tree's directories.
    parent: usize,
    /// Recorded name; `SELF` for the root.
    name: Vec<u8>,
    /// Its entries in recorded order: name, node, and for a directory the index of it.
    entries: Vec<(Vec<u8>, usize)>,
    sector: u32,
}

/// One tree with its path tables.
struct TreeLayout {
    names: Names,
    /// In path table order: breadth first, each directory's in the order of its names.
    directories: Vec<Directory>,
    /// For each node that is a directory: its index among them.
    index: Vec<usize>,
    path_table_bytes: u32,
    /// Sectors of the little-endian and of the big-endian path table.
    path_tables: [u32; 2],
}

/// What lies where.
pub(crate) struct Layout {
    trees: Vec<TreeLayout>,
    catalog: Option<u32>,
    end: u64,
}

/// Bytes of a directory record.
fn record_size(name: &[u8]) -> usize {
    name.len().saturating_add(33).next_multiple_of(2)
}

/// Records that a file of `size` bytes takes.
fn record_count(size: u64) -> u64 {
    size.div_ceil(EXTENT).max(1)
}

impl Layout {
    /// Places the boot catalog if there is one, and a tree for each of `views`, from sector `start` on. `maximum` gives the most
    /// bytes that a content can have.
    pub fn new(tree: &Tree, views: &[Names], start: u64, boots: bool, maximum: impl Fn(usize) -> u64) -> Result<Self, BridgeError> {
        let mut next = Sectors(start);
        let catalog = if boots { Some(next.take(1)?) } else { None };
        let mut trees = Vec::new();
        for names in views {
            trees.push(TreeLayout::new(tree, *names, &mut next, &maximum)?);
        }
        Ok(Self { trees, catalog, end: next.0 })
    }

    /// The first sector behind all this.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The first sector behind the volume descriptors: a descriptor for each tree, the boot record, the terminator.
    pub fn descriptors_end(&self) -> u64 {
        let descriptors = self.trees.len().saturating_add(usize::from(self.catalog.is_some())).saturating_add(1);
        DESCRIPTORS.saturating_add(descriptors as u64)
    }

    /// Writes the volume descriptors: primary, boot record (which El Torito wants in sector 17), Joliet, terminator.
    pub fn write_descriptors(
        &self,
        tree: &Tree,
        volume: &Volume<'_>,
        placed: &[Placed],
        output: &mut Output<'_>,
    ) -> Result<(), BridgeError> {
        let mut sector = DESCRIPTORS;
        for (index, layout) in self.trees.iter().enumerate() {
            output.sectors(sector, &layout.descriptor(tree, volume, placed))?;
            sector = sector.saturating_add(1);
            if let Some(catalog) = self.catalog.filter(|_| index == 0) {
                // 0 type, 1 identifier, 6 version, 7 boot system, 71 sector of the catalog
                let mut record = Encoder::default();
                record.u8(0).bytes(b"CD001").u8(1).bytes(b"EL TORITO SPECIFICATION").pad_to(71).u32(catalog);
                output.sectors(sector, &record.pad_to(2048).take())?;
                sector = sector.saturating_add(1);
            }
        }
        output.sectors(sector, &Encoder::default().u8(255).bytes(b"CD001").u8(1).pad_to(2048).take())
    }

    /// Writes the boot catalog, the path tables and the directories.
    pub fn write_trees(&self, tree: &Tree, placed: &[Placed], boot: &[CatalogEntry], output: &mut Output<'_>) -> Result<(), BridgeError> {
        if let Some(catalog) = self.catalog {
            output.sectors(catalog.into(), &encode_catalog(boot))?;
        }
        for layout in &self.trees {
            let [little, big] = layout.path_tables;
            output.sectors(little.into(), &layout.path_table(u32::to_le_bytes, u16::to_le_bytes))?;
            output.sectors(big.into(), &layout.path_table(u32::to_be_bytes, u16::to_be_bytes))?;
            let size = |content: usize| placed.get(content).map_or(0, |place| place.size);
            let lengths: Vec<u32> = layout.directories.iter().map(|directory| layout.length(tree, directory, size)).collect();
            for directory in &layout.directories {
                output.sectors(directory.sector.into(), &layout.records(tree, directory, &lengths, placed))?;
            }
        }
        Ok(())
    }
}

/// Sectors given away one after the other.
struct Sectors(u64);

impl Sectors {
    fn take(&mut self, count: u64) -> Result<u32, BridgeError> {
        let first = u32::try_from(self.0).map_err(|_| BridgeError::ImageTooLarge)?;
        self.0 = self.0.saturating_add(count);
        Ok(first)
    }
}

impl TreeLayout {
    fn new(tree: &Tree, names: Names, next: &mut Sectors, maximum: &impl Fn(usize) -> u64) -> Result<Self, BridgeError> {
        let mut layout =
            Self { names, directories: Vec::new(), index: vec![0; tree.nodes.len()], path_table_bytes: 0, path_tables: [0; 2] };
        layout.directories.push(Directory { node: 0, parent: 0, name: SELF.to_vec(), entries: Vec::new(), sector: 0 });
        let mut at = 0_usize;
        while let Some(directory) = layout.directories.get(at) {
            let mut giver = NameGiver::new(names);
            let children = tree.children(directory.node);
            let mut entries: Vec<(Vec<u8>, usize)> =
                children.filter_map(|child| Some((giver.give(&tree.nodes.get(child)?.name, tree.is_directory(child)), child))).collect();
            // Names are of legal characters, so that the order of their bytes is that of ECMA-119 9.3.
            entries.sort_unstable();
            for (name, node) in entries.iter().filter(|(_, node)| tree.is_directory(*node)) {
                if let Some(slot) = layout.index.get_mut(*node) {
                    *slot = layout.directories.len();
                }
                let (node, name) = (*node, name.clone());
                layout.directories.push(Directory { node, parent: at, name, entries: Vec::new(), sector: 0 });
            }
            if let Some(directory) = layout.directories.get_mut(at) {
                directory.entries = entries;
            }
            at = at.saturating_add(1);
        }
        if u16::try_from(layout.directories.len()).is_err() {
            return Err(BridgeError::TooManyDirectories { directories: layout.directories.len() });
        }
        let path_table = layout.path_table(u32::to_le_bytes, u16::to_le_bytes).len();
        layout.path_table_bytes = u32::try_from(path_table).map_err(|_| BridgeError::ImageTooLarge)?;
        for table in &mut layout.path_tables {
            *table = next.take(u64::from(layout.path_table_bytes).div_ceil(SECTOR))?;
        }
        let lengths: Vec<u32> = layout.directories.iter().map(|directory| layout.length(tree, directory, maximum)).collect();
        for (directory, length) in layout.directories.iter_mut().zip(lengths) {
            directory.sector = next.take(u64::from(length).div_ceil(SECTOR))?;
        }
        Ok(layout)
    }

    /// Bytes of a directory, whole sectors: no record crosses the end of one. Fewer records never need more sectors.
    fn length(&self, tree: &Tree, directory: &Directory, size: impl Fn(usize) -> u64) -> u32 {
        let (mut sectors, mut used) = (1_u32, record_size(SELF).saturating_add(record_size(PARENT)));
        for (name, node) in &directory.entries {
            let content = tree.nodes.get(*node).and_then(crate::media::bridge::Node::content);
            for _ in 0..content.map_or(1, |content| record_count(size(content))) {
                used = used.saturating_add(record_size(name));
                if used > 2048 {
                    (sectors, used) = (sectors.saturating_add(1), record_size(name));
                }
            }
        }
        sectors.saturating_mul(2048)
    }

    /// The directory's records. `lengths` are those of all directories.
    fn records(&self, tree: &Tree, directory: &Directory, lengths: &[u32], placed: &[Placed]) -> Vec<u8> {
        let mut bytes = Encoder::default();
        let directory_record = |bytes: &mut Encoder, index: usize, name: &[u8]| {
            let sector = self.directories.get(index).map_or(0, |directory| directory.sector);
            let time = self.directories.get(index).and_then(|directory| tree.nodes.get(directory.node)).map_or(0, |node| node.modified);
            put_record(bytes, name, FLAG_DIRECTORY, sector, lengths.get(index).copied().unwrap_or(0), time);
        };
        let own = self.index.get(directory.node).copied().unwrap_or(0);
        directory_record(&mut bytes, own, SELF);
        directory_record(&mut bytes, directory.parent, PARENT);
        for (name, index) in &directory.entries {
            let Some(node) = tree.nodes.get(*index) else { continue };
            match node.kind {
                NodeKind::Directory { .. } => directory_record(&mut bytes, self.index.get(*index).copied().unwrap_or(0), name),
                NodeKind::File { content } => {
                    let place = placed.get(content).copied().unwrap_or_default();
                    let (mut sector, mut left) = (place.sector, place.size);
                    loop {
                        let length = left.min(EXTENT);
                        left = left.saturating_sub(length);
                        let flags = if left > 0 { FLAG_MULTI_EXTENT } else { 0 };
                        put_record(&mut bytes, name, flags, sector, u32::try_from(length).unwrap_or(0), node.modified);
                        sector = sector.saturating_add(EXTENT_SECTORS);
                        if left == 0 {
                            break;
                        }
                    }
                }
            }
        }
        bytes.align(2048).take()
    }

    /// The path table (ECMA-119 9.4), its numbers in the byte order that is given: 0 length of the name, 1 blocks of the extended
    /// attribute record, 2 sector, 6 number of the parent, counted from 1, 8 name.
    fn path_table(&self, long: impl Fn(u32) -> [u8; 4], short: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mut bytes = Encoder::default();
        for directory in &self.directories {
            let parent = u16::try_from(directory.parent.saturating_add(1)).unwrap_or(u16::MAX);
            bytes.u8(u8::try_from(directory.name.len()).unwrap_or(0)).u8(0);
            bytes.bytes(&long(directory.sector)).bytes(&short(parent)).bytes(&directory.name).align(2);
        }
        bytes.take()
    }

    /// Primary (ECMA-119 8.4) or supplementary volume descriptor (8.5, Joliet).
    fn descriptor(&self, tree: &Tree, volume: &Volume<'_>, placed: &[Placed]) -> Vec<u8> {
        let joliet = self.names == Names::Joliet;
        let text = |bytes: &mut Encoder, text: &str, length: usize| match joliet {
            true => {
                let (units, end) = (length.div_euclid(2), bytes.length().saturating_add(length));
                let text = text.encode_utf16().chain(std::iter::repeat(u16::from(b' ')));
                let text: Vec<u8> = text.take(units).flat_map(u16::to_be_bytes).collect();
                bytes.bytes(&text).pad_to(end);
            }
            false => {
                let text: String = text.chars().map(|character| if matches!(character, ' '..='~') { character } else { '_' }).collect();
                bytes.text(&text, length);
            }
        };
        let root = self.directories.first();
        let [little, big] = self.path_tables;
        let mut bytes = Encoder::default();
        bytes.u8(if joliet { 2 } else { 1 }).bytes(b"CD001").u8(1).u8(0); // 0 type, 1 identifier, 6 version, 7 flags
        text(&mut bytes, "", 32); // 8 system
        text(&mut bytes, volume.label, 32); // 40 volume, as given: oscdimg too keeps lower case and hyphens
        bytes.pad_to(80).both32(volume.sectors); // 72 unused, 80 sectors of the image
        bytes.bytes(if joliet { b"%/E" } else { &[] }).pad_to(120); // 88 escape sequence: UCS-2 level 3
        bytes.both16(1).both16(1).both16(2048); // 120 volumes, 124 number of this one, 128 bytes in a block
        bytes.both32(self.path_table_bytes); // 132
        bytes.u32(little).u32(0).bytes(&big.to_be_bytes()).u32(0); // 140 path tables: little-endian, its copy, big-endian, its copy
        let size = |content: usize| placed.get(content).map_or(0, |place| place.size);
        let (sector, length) = root.map_or((0, 0), |root| (root.sector, self.length(tree, root, size)));
        let modified = tree.nodes.first().map_or(0, |node| node.modified);
        put_record(&mut bytes, SELF, FLAG_DIRECTORY, sector, length, modified); // 156 root
        let unique = u64::from_be_bytes(volume.volume_set);
        text(&mut bytes, &format!("{unique:016X}"), 128); // 190 volume set
        text(&mut bytes, "", 128); // 318 publisher
        text(&mut bytes, "", 128); // 446 data preparer
        text(&mut bytes, APPLICATION, 128); // 574 application
        for _ in 0..3 {
            text(&mut bytes, "", 37); // 702 copyright file, 739 abstract file, 776 bibliographic file
        }
        time::put_digits(&mut bytes, volume.time); // 813 creation
        time::put_digits(&mut bytes, volume.time); // 830 modification
        for _ in 0..2 {
            bytes.bytes(&[b'0'; 16]).u8(0); // 847 expiration, 864 effective from: not specified
        }
        bytes.u8(1).pad_to(2048).take() // 881 version of the file structure
    }
}

/// Appends a directory record (ECMA-119 9.1) where it does not cross the end of a sector.
fn put_record(bytes: &mut Encoder, name: &[u8], flags: u8, sector: u32, length: u32, modified: u64) {
    let size = record_size(name);
    let used = bytes.length().rem_euclid(2048);
    // A volume descriptor's root record has offset 156: it fits in any case.
    if used.saturating_add(size) > 2048 {
        bytes.align(2048);
    }
    bytes.u8(u8::try_from(size).unwrap_or(0)).u8(0); // 0 length, 1 extended attribute record
    bytes.both32(sector).both32(length); // 2, 10
    time::put_record(bytes, modified); // 18
    bytes.u8(flags).u8(0).u8(0).both16(1); // 25, 26 not interleaved, 28 volume 1
    bytes.u8(u8::try_from(name.len()).unwrap_or(0)).bytes(name).align(2); // 32 length of the name, 33 name
}

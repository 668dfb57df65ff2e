//! The two passes: files first, then the metadata that tell where they lie.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use super::{BOOT_IMAGE, Bridge, BridgeError, Content, IsoView, Node, NodeKind, Placed, Tree, Window, WrittenFile, WrittenImage};
use crate::io::ReadAt;
use crate::media::SECTOR;
use crate::{iso, udf};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 20;
/// The sector behind the first anchor: what has no fixed place starts here.
const FIRST_FREE_SECTOR: u64 = 257;
/// The name of the notice for systems that do not read UDF.
const NOTICE_NAME: &str = "README.TXT";
const NOTICE: &str = "This disc contains a \"UDF\" file system and requires an operating system\r\n\
    that supports the ISO-13346 \"UDF\" file system specification.\r\n";

/// Sectors of an image; those that follow one another are written together.
pub(crate) struct Output<'a> {
    file: &'a File,
    /// Where the buffer belongs in the image.
    start: u64,
    buffer: Vec<u8>,
}

impl<'a> Output<'a> {
    fn new(file: &'a File) -> Self {
        Self { file, start: 0, buffer: Vec::new() }
    }

    /// Writes from the start of a sector on.
    pub fn sectors(&mut self, sector: u64, bytes: &[u8]) -> Result<(), BridgeError> {
        let offset = sector.saturating_mul(SECTOR);
        if self.start.saturating_add(self.buffer.len() as u64) != offset || self.buffer.len() >= BUFFER {
            self.flush()?;
            self.start = offset;
        }
        self.buffer.extend_from_slice(bytes);
        self.buffer.resize(self.buffer.len().next_multiple_of(2048), 0);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BridgeError> {
        let failed = |source| BridgeError::Output { offset: self.start, source };
        self.file.write_all_at(&self.buffer, self.start).map_err(failed)?;
        self.buffer.clear();
        Ok(())
    }
}

/// The ISO 9660 and UDF volumes' shapes: what is where before the first file.
struct Layout {
    iso: iso::Layout,
    udf: udf::Layout,
    /// Sector of the notice, where there is one: before the partition, as UDF does not know of it.
    notice: u32,
    /// First sector of the UDF partition.
    partition: u64,
    /// First sector of the files.
    data: u64,
}

impl Bridge<'_> {
    /// The most bytes that the image will have. Exact when every content is a [`Content::Source`] and none are shared.
    ///
    /// # Errors
    /// `ImageTooLarge`, `TooManyDirectories`.
    pub fn maximum_size(&self) -> Result<u64, BridgeError> {
        let Layout { data, .. } = self.layout()?;
        let contents = self.used_contents().into_iter().filter_map(|content| self.contents.get(content));
        let sectors = contents.fold(data, |sum, content| sum.saturating_add(content.maximum().div_ceil(SECTOR)));
        // The anchor in the last sector.
        Ok(u64::from(check_sector(sectors.saturating_add(1))?).saturating_mul(SECTOR))
    }

    /// What the ISO 9660 volume shows beside UDF. The notice is the content after the last.
    fn notice_tree(&self) -> Tree {
        let mut tree = Tree::new(self.options.time);
        let kind = NodeKind::File { content: self.contents.len() };
        tree.insert(NOTICE_NAME.to_owned(), Node { name: NOTICE_NAME.to_owned(), parent: 0, modified: self.options.time, kind });
        tree
    }

    fn layout(&self) -> Result<Layout, BridgeError> {
        let maximum = |content: usize| self.contents.get(content).map_or(NOTICE.len() as u64, Content::maximum);
        let boots = !self.boot.is_empty();
        let iso = match self.options.iso_view {
            IsoView::Stub => iso::Layout::new(&self.notice_tree(), &[iso::Names::Primary], FIRST_FREE_SECTOR, boots, maximum)?,
            IsoView::Full => iso::Layout::new(&self.tree, &[iso::Names::Primary, iso::Names::Joliet], FIRST_FREE_SECTOR, boots, maximum)?,
        };
        let notice = check_sector(iso.end())?;
        let partition = iso.end().saturating_add(u64::from(self.options.iso_view == IsoView::Stub));
        let udf = udf::Layout::new(&self.tree)?;
        let data = partition.saturating_add(udf.blocks());
        check_sector(data)?;
        Ok(Layout { iso, udf, notice, partition, data })
    }

    /// Contents that files or boot entries refer to, as they will lie on the disc: boot images first, as on Microsoft's media, so
    /// that no sector that UDF does not know follows its files (7-Zip takes such for rubbish behind the end).
    fn used_contents(&self) -> Vec<usize> {
        let boot: BTreeSet<usize> = self.boot.iter().map(|entry| entry.image.0).collect();
        let files: BTreeSet<usize> = self.tree.nodes.iter().filter_map(Node::content).collect();
        boot.iter().chain(files.difference(&boot)).copied().collect()
    }

    /// What a content is called in errors: the first path that refers to it.
    fn content_path(&self, content: usize) -> String {
        let node = self.tree.nodes.iter().position(|node| node.content() == Some(content));
        node.map_or_else(|| BOOT_IMAGE.to_owned(), |node| self.tree.path(node))
    }

    /// For each source that equals an earlier one: that one.
    fn identical(&self, used: &[usize]) -> Result<HashMap<usize, usize>, BridgeError> {
        let mut by_size: BTreeMap<u64, Vec<(usize, &dyn ReadAt)>> = BTreeMap::new();
        for content in used.iter().copied().filter(|_| self.options.share_identical) {
            if let Some(Content::Source(source)) = self.contents.get(content) {
                by_size.entry(source.size()).or_default().push((content, &**source));
            }
        }
        let mut same = HashMap::new();
        for sources in by_size.values().filter(|sources| sources.len() > 1) {
            let mut first = HashMap::new();
            for (content, source) in sources {
                let mut hash = Sha256::new();
                let failed = |source| BridgeError::Content { path: self.content_path(*content), source };
                hash_source(*source, &mut hash).map_err(failed)?;
                let earlier = *first.entry(hash.finalize()).or_insert(*content);
                if earlier != *content {
                    same.insert(*content, earlier);
                }
            }
        }
        Ok(same)
    }

    /// Writes the image to `file`, whose former contents are lost. Open it for reading too where contents are produced that
    /// read back what they wrote.
    ///
    /// # Errors
    /// See [`BridgeError`]; `file` is then of no use.
    pub fn write(mut self, file: &File) -> Result<WrittenImage, BridgeError> {
        self.maximum_size()?;
        let layout = self.layout()?;
        let failed = |source| BridgeError::Output { offset: 0, source };
        file.set_len(0).map_err(failed)?;
        let notice_tree = self.notice_tree();
        let Contents { mut placed, end } = self.write_contents(file, layout.data)?;
        placed.push(Placed { sector: layout.notice, size: NOTICE.len() as u64 });

        let boot: Vec<iso::CatalogEntry> = self
            .boot
            .iter()
            .map(|entry| {
                let sector = placed.get(entry.image.0).map_or(0, |image| image.sector);
                iso::CatalogEntry { platform: entry.platform, load_sectors: entry.load_sectors, sector }
            })
            .collect();
        let mut output = Output::new(file);
        let sectors = end.saturating_add(1);
        let volume = iso::Volume {
            label: &self.options.label,
            volume_set: self.options.volume_set,
            time: self.options.time,
            sectors: check_sector(sectors)?,
        };
        let iso_tree = if self.options.iso_view == IsoView::Stub { &notice_tree } else { &self.tree };
        layout.iso.write_descriptors(iso_tree, &volume, &placed, &mut output)?;
        let volume = udf::Volume {
            label: &self.options.label,
            volume_set: self.options.volume_set,
            time: self.options.time,
            partition: check_sector(layout.partition)?,
            blocks: check_sector(end.saturating_sub(layout.partition))?,
        };
        layout.udf.write_descriptors(&self.tree, &volume, layout.iso.descriptors_end(), &mut output)?;
        if self.options.iso_view == IsoView::Stub {
            output.sectors(layout.notice.into(), NOTICE.as_bytes())?;
        }
        layout.iso.write_trees(iso_tree, &placed, &boot, &mut output)?;
        layout.udf.write_partition(&self.tree, &volume, &placed, &mut output)?;
        layout.udf.write_anchor(end, &mut output)?;
        output.flush()?;
        let size = sectors.saturating_mul(SECTOR);
        file.set_len(size).map_err(failed)?;

        let files = self.tree.directories().into_iter().flat_map(|directory| self.tree.children(directory)).filter_map(|child| {
            let placed = placed.get(self.tree.nodes.get(child)?.content()?)?;
            Some(WrittenFile { path: self.tree.path(child), offset: u64::from(placed.sector).saturating_mul(SECTOR), size: placed.size })
        });
        Ok(WrittenImage { size, files: files.collect() })
    }

    /// Writes all contents from sector `start` on.
    fn write_contents(&mut self, file: &File, start: u64) -> Result<Contents, BridgeError> {
        let used = self.used_contents();
        let same = self.identical(&used)?;
        let mut contents: Vec<Option<Content>> = std::mem::take(&mut self.contents).into_iter().map(Some).collect();
        let mut placed = vec![Placed::default(); contents.len()];
        let mut sector = start;
        for index in used {
            let place = match same.get(&index).and_then(|earlier| placed.get(*earlier)) {
                Some(earlier) => *earlier,
                None => {
                    let Some(content) = contents.get_mut(index).and_then(Option::take) else { continue };
                    let mut window = Window::new(file, sector.saturating_mul(SECTOR), content.maximum());
                    let result = match content {
                        Content::Source(source) => window.copy_from(&*source, 0, source.size()),
                        Content::Produced { produce, .. } => produce(&mut window),
                    };
                    result.map_err(|source| BridgeError::Content { path: self.content_path(index), source })?;
                    let size = window.size();
                    let place = Placed { sector: if size == 0 { 0 } else { check_sector(sector)? }, size };
                    sector = sector.saturating_add(size.div_ceil(SECTOR));
                    place
                }
            };
            if let Some(slot) = placed.get_mut(index) {
                *slot = place;
            }
        }
        Ok(Contents { placed, end: sector })
    }
}

/// Where all contents lie, and the first sector behind them.
struct Contents {
    placed: Vec<Placed>,
    end: u64,
}

fn hash_source(source: &dyn ReadAt, hash: &mut Sha256) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut offset = 0_u64;
    while offset < source.size() {
        let left = usize::try_from(source.size().saturating_sub(offset)).unwrap_or(BUFFER);
        let (now, _) = buffer.split_at_mut(left.min(BUFFER));
        source.read_exact_at(now, offset)?;
        hash.update(&*now);
        offset = offset.saturating_add(now.len() as u64);
    }
    Ok(())
}

fn check_sector(sector: u64) -> Result<u32, BridgeError> {
    u32::try_from(sector).map_err(|_| BridgeError::ImageTooLarge)
}

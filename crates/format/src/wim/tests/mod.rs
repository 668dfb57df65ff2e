//! Tests that cut across the modules: real files, oracles, round trips.

mod metadata;

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use wimwright_testkit::{oracles, run};

use super::write::{BlobSource, ImageSource, ImageToWrite, Solid, WimPlan, WriteOptions};
use super::*;
use crate::io::FileSource;

fn open(path: &Path) -> Arc<Wim> {
    Arc::new(Wim::open(Arc::new(FileSource::new(File::open(path).unwrap()).unwrap())).unwrap())
}

/// Every image of a WIM, as trees or unchanged, all blobs from it.
fn plan_of(wim: &Arc<Wim>, as_trees: bool, options: WriteOptions) -> WimPlan {
    let images = (1..=wim.image_count()).zip(wim.images()).map(|(index, info)| {
        let source = match as_trees {
            true => ImageSource::Tree(Box::new(wim.metadata(index).unwrap())),
            false => ImageSource::Wim { wim: Arc::clone(wim), index },
        };
        ImageToWrite { source, info: info.clone() }
    });
    WimPlan::new(images.collect(), options, &|_| Some(BlobSource::Wim(Arc::clone(wim)))).unwrap()
}

fn write(plan: &WimPlan) -> Vec<u8> {
    let mut output = Cursor::new(Vec::new());
    let size = plan.write(&mut output, &mut |_| ()).unwrap();
    let bytes = output.into_inner();
    assert_eq!(size, bytes.len() as u64);
    if let Some(planned) = plan.planned_size() {
        assert_eq!(size, planned);
    }
    bytes
}

fn wimlib(arguments: &[&str], path: &Path) -> String {
    let mut command = Command::new("wimlib-imagex");
    let output = run(command.arg(arguments[0]).arg(path).args(&arguments[1..]));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with many kinds of files, and a WIM that wimlib made of it.
struct Captured {
    folder: TempDir,
}

impl Captured {
    fn new(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir_all(tree.join("deep/er/and/deeper")).unwrap();
        std::fs::create_dir(tree.join("empty")).unwrap();
        std::fs::write(tree.join("empty file"), b"").unwrap();
        std::fs::write(tree.join("small.txt"), b"hello\n").unwrap();
        std::fs::hard_link(tree.join("small.txt"), tree.join("deep/link.txt")).unwrap();
        std::fs::write(tree.join("deep/same.txt"), b"hello\n").unwrap();
        std::os::unix::fs::symlink("small.txt", tree.join("symlink")).unwrap();
        std::os::unix::fs::symlink("deep", tree.join("directory symlink")).unwrap();
        let text: Vec<u8> = (0..400_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect();
        std::fs::write(tree.join("deep/er/compressible"), &text).unwrap();
        std::fs::write(tree.join("deep/er/zeros"), vec![0; 300_000]).unwrap();
        let mut state = 1_u64;
        let mut noise = |length: usize| -> Vec<u8> {
            (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect()
        };
        std::fs::write(tree.join("noise"), noise(6_000_000)).unwrap();
        let mut mixed = noise(100_000);
        mixed.extend([0; 50]);
        std::fs::write(tree.join("almost noise"), mixed).unwrap();
        for number in 0..200 {
            std::fs::write(tree.join(format!("deep/er/and/file {number}")), noise(number * 7)).unwrap();
        }
        let captured = Self { folder };
        let mut command = Command::new("wimlib-imagex");
        run(command.arg("capture").arg(&tree).arg(captured.wim()).args(["Name & <tag>", "--quiet"]).args(options));
        captured
    }

    fn wim(&self) -> PathBuf {
        self.folder.path().join("captured.wim")
    }

    fn put(&self, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join("written.wim");
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// What wimlib shows of a WIM, apart from how it is stored.
fn shown(path: &Path) -> String {
    let detailed = wimlib(&["dir", "1", "--detailed"], path);
    let storage =
        ["Compressed size", "Offset in WIM", "Raw compressed size", "Raw uncompressed size", "Solid resource", "Solid offset", "Flags "];
    let kept = detailed.lines().filter(|line| !storage.iter().any(|word| line.trim_start().starts_with(word)));
    let xml = run(Command::new("wimlib-imagex").arg("info").arg(path).args(["--extract-xml", "/dev/stdout"])).stdout;
    let xml = xml::decode_text(&xml).unwrap();
    let image = &xml[xml.find("<IMAGE").unwrap()..xml.rfind("</IMAGE>").unwrap()];
    format!("{}\n{image}", kept.collect::<Vec<_>>().join("\n"))
}

fn apply(path: &Path, folder: &Path) {
    let mut command = Command::new("wimlib-imagex");
    run(command.arg("apply").arg(path).arg("1").arg(folder).arg("--quiet"));
}

const XPRESS_4K: (Option<Compression>, u32) = (Some(Compression::Xpress), 4096);
const KINDS: [(Option<Compression>, u32); 5] =
    [(None, 0), XPRESS_4K, (Some(Compression::Xpress), 32768), (Some(Compression::Lzx), 32768), (Some(Compression::Lzms), 131_072)];

#[test]
fn oracle_wimlib_reads_what_we_write() {
    if !oracles(&["wimlib-imagex"]) {
        return;
    }
    let captured = Captured::new(&["--compress=LZX:20"]);
    let wim = open(&captured.wim());
    let expected = shown(&captured.wim());
    for (compression, chunk_size) in KINDS {
        for (as_trees, integrity, pipable, solid) in
            [(true, true, false, false), (false, false, false, false), (true, true, true, false), (false, true, false, true)]
        {
            if solid && compression.is_none() {
                continue;
            }
            let solid = solid.then_some(Solid { compression: Compression::Lzms, chunk_size: 1 << 20 });
            let mut options = WriteOptions { chunk_size, integrity, pipable, solid, ..WriteOptions::new(compression, [7; 16]) };
            options.level = Level::FAST;
            let bytes = write(&plan_of(&wim, as_trees, options));
            let path = captured.put(&bytes);
            let case = format!("{compression:?} {chunk_size} trees {as_trees} pipable {pipable} solid {}", solid.is_some());
            wimlib(&["verify"], &path);
            assert_eq!(shown(&path), expected, "{case}");
            open(&path).verify(&mut |_| ()).unwrap();
            let applied = tempfile::tempdir().unwrap();
            apply(&path, applied.path());
            run(Command::new("diff").arg("-r").arg("--no-dereference").arg(captured.folder.path().join("tree")).arg(applied.path()));
        }
    }
}

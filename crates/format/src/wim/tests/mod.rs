//! Tests that cut across the modules: real files, oracles, round trips.

mod metadata;
mod oracle;
mod real;
mod robustness;
mod writing;

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use wimwright_testkit::run;

use super::write::{BlobSource, ImageSource, ImageToWrite, WimPlan, WriteOptions};
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
        let text: Vec<u8> = (0..60_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect();
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
        std::fs::write(tree.join("noise"), noise(300_000)).unwrap();
        let mut mixed = noise(100_000);
        mixed.extend([0; 50]);
        std::fs::write(tree.join("almost noise"), mixed).unwrap();
        for number in 0..60 {
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

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn put(&self, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join("written.wim");
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

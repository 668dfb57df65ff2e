//! A practice medium is what it claims to be: read by our own code and by other people's.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use wimwright_format::regf::Hive;
use wimwright_image::medium::Medium;
use wimwright_image::{Blobs, Image};
use wimwright_practice::{Capture, Options, write_medium};
use wimwright_servicing::provenance::{Provenance, Verdict};

fn make(options: &Options, path: &Path) {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    write_medium(options, &file).unwrap();
}

/// The default medium, made once for all tests.
fn default_medium() -> &'static Path {
    static MEDIUM: std::sync::OnceLock<(tempfile::TempDir, PathBuf)> = std::sync::OnceLock::new();
    let (_, path) = MEDIUM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("practice.iso");
        make(&Options::default(), &path);
        (folder, path)
    });
    path
}

fn open_image(medium: &Path, file: &str, index: u32) -> Image {
    let medium = Medium::open(medium).unwrap();
    let images = medium.open_images(medium.image_file(file).unwrap()).unwrap();
    Image::open(&images, index, &Blobs::default()).unwrap()
}

#[test]
fn the_medium_has_its_image_files() {
    let medium = Medium::open(default_medium()).unwrap();
    assert_eq!(medium.label, "CCCOMA_X64FRE_EN-US_DV9");
    assert_eq!(medium.boot.len(), 2);
    let boot = medium.open_images(medium.image_file("boot").unwrap()).unwrap();
    assert_eq!((boot.image_count(), boot.first().header().boot_index), (2, 2));
    let install = medium.open_images(medium.install_file().unwrap()).unwrap();
    let names: Vec<_> = install.images().iter().map(|image| image.name().unwrap()).collect();
    assert_eq!(names, ["Windows 11 Pro", "Windows 11 Enterprise", "Windows 11 Pro N"]);
    let size = std::fs::metadata(default_medium()).unwrap().len();
    assert!((8 << 20..24 << 20).contains(&size), "{size}");
}

#[test]
fn provenance_is_as_asked_for() {
    let verdict = |path: &Path, index| {
        let provenance = Provenance::weigh(&mut open_image(path, "install", index)).unwrap();
        (provenance.verdict, format!("{:#?}", provenance.evidence))
    };
    for index in 1..=3 {
        let (found, evidence) = verdict(default_medium(), index);
        assert_eq!(found, Verdict::Uncaptured, "{evidence}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (generalized, expected) in [(false, Verdict::Captured), (true, Verdict::CapturedAndGeneralized)] {
        let path = folder.path().join("captured.iso");
        make(&Options { captured: Some(Capture { generalized }), ..Options::default() }, &path);
        let (found, evidence) = verdict(&path, 1);
        assert_eq!(found, expected, "{evidence}");
    }
}

#[test]
fn the_same_bytes_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let again = folder.path().join("again.iso");
    make(&Options::default(), &again);
    assert!(std::fs::read(default_medium()).unwrap() == std::fs::read(again).unwrap());
}

#[test]
fn oracle_wimlib_and_7zip_read_the_medium() {
    if !wimwright_testkit::oracles(&["7z", "wimlib-imagex"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tested = wimwright_testkit::run(Command::new("7z").arg("t").arg(default_medium()));
    assert!(String::from_utf8_lossy(&tested.stdout).contains("Everything is Ok"));
    wimwright_testkit::run(Command::new("7z").arg("x").arg(format!("-o{}", folder.path().display())).arg(default_medium()));
    let wim = |name: &str| folder.path().join("sources").join(name);
    let wimlib = |arguments: &[&str], path: &Path| {
        let output = wimwright_testkit::run(Command::new("wimlib-imagex").arg(arguments[0]).arg(path).args(&arguments[1..]));
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    for (name, images) in [("boot.wim", 2), ("install.wim", 3)] {
        wimlib(&["verify"], &wim(name));
        for index in 1..=images {
            let listing = wimlib(&["dir", &index.to_string(), "--detailed"], &wim(name));
            assert!(listing.contains("ntdll.dll"), "{name} {index}");
        }
    }
    let info = wimlib(&["info", "2"], &wim("install.wim"));
    for line in
        ["Windows 11 Enterprise", "Edition ID:             Enterprise", "Build:                  26100", "Service Pack Build:     1742"]
    {
        assert!(info.contains(line), "{line}:\n{info}");
    }
    wimlib(&["extract", "1", "/Windows/System32/Recovery/Winre.wim", "--dest-dir", folder.path().to_str().unwrap()], &wim("install.wim"));
    let recovery = folder.path().join("Winre.wim");
    wimlib(&["verify"], &recovery);
    let info = wimlib(&["info"], &recovery);
    assert!(info.contains("Boot Index:     1") && info.contains("Microsoft Windows Recovery Environment (x64)"), "{info}");
}

/// Every hive of an edition, by its path.
fn hives() -> Vec<(String, Vec<u8>)> {
    let image = open_image(default_medium(), "install", 1);
    let config = image.tree.at("/Windows/System32/config").unwrap();
    let mut paths: Vec<_> = config.children().filter(|entry| !entry.is_directory()).map(|entry| entry.name()).collect();
    paths.retain(|name| !name.contains(".LOG"));
    let mut paths: Vec<_> = paths.into_iter().map(|name| format!("/Windows/System32/config/{name}")).collect();
    paths.push("/Users/Default/NTUSER.DAT".to_owned());
    paths.into_iter().map(|path| (path.clone(), image.read(&path).unwrap().to_vec())).collect()
}

#[test]
fn hives_are_sound() {
    let all = hives();
    assert_eq!(all.len(), 9);
    for (path, bytes) in all {
        let verification = Hive::from_bytes(bytes).unwrap().verify();
        assert!(verification.problems.is_empty(), "{path}: {:?}", verification.problems);
    }
}

/// Counts keys and values of hives; the oracle prints `keys values` of each.
fn judge_hives(module: &str, script: &str) {
    if !wimwright_testkit::python_oracles(&[module]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in hives() {
        let host = folder.path().join("hive");
        std::fs::write(&host, &bytes).unwrap();
        let output = wimwright_testkit::run(wimwright_testkit::python().args(["-c", script]).arg(&host));
        let counts = Hive::from_bytes(bytes).unwrap().verify();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("{} {}", counts.keys, counts.values), "{path}");
    }
}

#[test]
fn oracle_hivex_reads_the_hives() {
    judge_hives(
        "hivex",
        "import hivex, sys
h = hivex.Hivex(sys.argv[1])
keys, values, waiting = 0, 0, [h.root()]
while waiting:
    node = waiting.pop()
    keys += 1
    values += len([h.value_value(value) for value in h.node_values(node)])
    waiting += h.node_children(node)
print(keys, values)",
    );
}

#[test]
fn oracle_regipy_reads_the_hives() {
    judge_hives(
        "regipy",
        "import sys
from regipy.registry import RegistryHive
keys, values, waiting = 0, 0, [RegistryHive(sys.argv[1]).root]
while waiting:
    node = waiting.pop()
    keys += 1
    values += node.values_count
    waiting += list(node.iter_subkeys()) if node.subkey_count else []
print(keys, values)",
    );
}

//! Volumes as wholes: what we write, what others write, what nobody should.

mod hostile;
mod partitions;
mod reading;
mod writing;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{BootEntry, Bridge, Content, EntryKind, IsoView, Options, Volume};
use crate::io::{ReadAt, Reader};
use crate::udf::seal;

const TIME: u64 = 133_500_000_000_000_000;
const LABEL: &str = "CCCOMA_X64FRE_EN-US_DV9";

/// Paths and bytes; a path that ends with `/` is an empty directory.
type Files = BTreeMap<String, Vec<u8>>;

fn options(iso_view: IsoView) -> Options {
    Options { label: LABEL.into(), time: TIME, volume_set: *b"12345678", iso_view, share_identical: false }
}

/// Writes the image and returns it in memory.
fn image(bridge: Bridge) -> Vec<u8> {
    let maximum = bridge.maximum_size().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let written = bridge.write(file.as_file()).unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    assert_eq!(bytes.len() as u64, written.size);
    assert!(written.size <= maximum, "{} {maximum}", written.size);
    bytes
}

/// A disc of these files, and of the boot images among them.
fn bridge(iso_view: IsoView, files: &Files) -> Bridge<'static> {
    let mut bridge = Bridge::new(options(iso_view)).unwrap();
    for (path, bytes) in files {
        let Some(directory) = path.strip_suffix('/') else {
            let content = bridge.add_content(Content::bytes(bytes.clone()));
            bridge.add_file(path, TIME, content).unwrap();
            match path.as_str() {
                "boot/etfsboot.com" => bridge.add_boot_entry(BootEntry::bios(content)).unwrap(),
                "efi/microsoft/boot/efisys.bin" => bridge.add_boot_entry(BootEntry::uefi(content)).unwrap(),
                _ => {}
            }
            continue;
        };
        bridge.add_directory(directory, TIME).unwrap();
    }
    bridge
}

/// Like a Windows medium: boot images that are files too, long names, Unicode, many entries in a directory, empty ones.
fn sample() -> Files {
    let mut files = Files::from([
        ("boot/etfsboot.com".into(), vec![0xF4; 4096]),
        ("efi/microsoft/boot/efisys.bin".into(), vec![0xE9; 70_000]),
        ("sources/install.wim".into(), (0..300_000_u32).flat_map(u32::to_le_bytes).collect()),
        ("sources/zero".into(), Vec::new()),
        ("sources/ünïcode/Жук 😀.txt".into(), b"hi".to_vec()),
        ("empty/".into(), Vec::new()),
    ]);
    for number in 0..60 {
        files.insert(format!("sources/Microsoft-Windows-Foundation-Package~31bf3856ad364e35~amd64~~{number}.cab"), vec![number; 3]);
    }
    files
}

fn open(image: Vec<u8>) -> Volume {
    Volume::open(Arc::new(image)).unwrap()
}

fn read_all(source: impl ReadAt) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut Reader::new(source), &mut bytes).unwrap();
    bytes
}

/// All files, and the directories that are empty.
fn contents(volume: &Volume) -> Files {
    let mut files = Files::new();
    for entry in volume.entries().iter().skip(1) {
        match entry.kind {
            EntryKind::File => drop(files.insert(volume.path(entry), read_all(volume.open_file(entry).unwrap()))),
            EntryKind::Directory if volume.children(entry).is_empty() => drop(files.insert(volume.path(entry) + "/", Vec::new())),
            _ => {}
        }
    }
    files
}

/// The same below a folder of the host.
fn folder_contents(folder: &Path) -> Files {
    fn walk(root: &Path, folder: &Path, files: &mut Files) {
        let mut entries = std::fs::read_dir(folder).unwrap().peekable();
        let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if entries.peek().is_none() && folder != root {
            files.insert(name(folder) + "/", Vec::new());
        }
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, files);
            } else {
                files.insert(name(&path), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut files = Files::new();
    walk(folder, folder, &mut files);
    files
}

/// Compares, and names only what differs.
fn assert_same(found: &Files, wanted: &Files, what: &str) {
    let paths: std::collections::BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let size = |files: &Files, path: &String| files.get(path).map(Vec::len);
    let different: Vec<_> = paths.into_iter().filter(|path| found.get(*path) != wanted.get(*path)).collect();
    let different: Vec<_> = different.iter().map(|path| (path, size(found, path), size(wanted, path))).collect();
    assert!(different.is_empty(), "{what}: (path, bytes found, bytes wanted): {different:#?}");
}

/// Takes the announcement of UDF away, so that the ISO 9660 volume is read.
fn without_udf(mut image: Vec<u8>) -> Vec<u8> {
    let sector = (16..64).find(|sector| &image[sector * 2048 + 1..sector * 2048 + 6] == b"NSR02").unwrap();
    image[sector * 2048 + 1] = b'X';
    image
}

/// Takes the Joliet volume away too.
fn without_joliet(image: Vec<u8>) -> Vec<u8> {
    let mut image = without_udf(image);
    let sector = (16..64).find(|sector| &image[sector * 2048..sector * 2048 + 6] == b"\x02CD001").unwrap();
    image[sector * 2048] = 3;
    image
}

/// Makes checksum and CRC of the UDF structure at the start of `bytes` right again.
fn reseal(bytes: &mut [u8]) {
    let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let (identifier, length) = (number(0), usize::from(number(10)));
    let location = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
    seal(&mut bytes[..16 + length], identifier, location);
}

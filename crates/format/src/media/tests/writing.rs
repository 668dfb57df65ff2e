//! What we write: read by us and by other programs.

use std::io::{Read, Seek, SeekFrom, Write};
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::io::{Extent, FileSource};
use crate::media::{BridgeError, FileSystem, Platform};

#[test]
fn a_disc_reads_as_it_was_written() {
    for view in [IsoView::Stub, IsoView::Full] {
        let volume = open(image(bridge(view, &sample())));
        assert_eq!(volume.file_system(), FileSystem::Udf { revision: 0x0102 });
        assert_eq!(volume.label(), LABEL);
        assert_same(&contents(&volume), &sample(), "read back");
        assert!(volume.entries().iter().all(|entry| entry.modified == Some(TIME)));

        let [bios, uefi] = volume.boot_images() else { panic!("{:?}", volume.boot_images()) };
        assert_eq!((bios.platform, bios.load_sectors, bios.size), (Platform::Bios, 8, 4096));
        assert_eq!((uefi.platform, uefi.load_sectors, uefi.size), (Platform::Uefi, 1, 70_000));
        for (image, path) in [(bios, "BOOT/ETFSBOOT.COM"), (uefi, "efi\\Microsoft\\boot\\efisys.bin")] {
            let entry = volume.find(path).unwrap();
            assert_eq!(entry.extents, [Extent { offset: Some(image.offset), length: image.size }]);
            assert_eq!(read_all(volume.open_boot_image(image).unwrap()), read_all(volume.open_file(entry).unwrap()));
        }
        assert!(volume.find("sources/missing").is_none());
        assert!(volume.open_file(volume.find("sources").unwrap()).is_err());
    }
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let first = image(bridge(IsoView::Full, &sample()));
    assert!(first == image(bridge(IsoView::Full, &sample())));
}

#[test]
fn the_iso_view_is_a_notice_or_shows_all() {
    let notice = open(without_udf(image(bridge(IsoView::Stub, &sample()))));
    assert_eq!((notice.file_system(), notice.label()), (FileSystem::Iso9660, LABEL));
    let files = contents(&notice);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["README.TXT"]);
    assert!(files["README.TXT"].starts_with(b"This disc contains a \"UDF\" file system"));
    assert_eq!(notice.boot_images().len(), 2);

    let full = image(bridge(IsoView::Full, &sample()));
    let joliet = open(without_udf(full.clone()));
    assert_eq!((joliet.file_system(), joliet.label()), (FileSystem::Joliet, &LABEL[..16]));
    // Joliet cuts the long names; in both trees every file is there once.
    let short = |files: &Files| {
        files.iter().filter(|(path, _)| !path.contains('~')).map(|(path, bytes)| (path.clone(), bytes.clone())).collect::<Files>()
    };
    assert_same(&short(&contents(&joliet)), &short(&sample()), "Joliet");
    let primary = open(without_joliet(full));
    assert_eq!((primary.file_system(), primary.label()), (FileSystem::Iso9660, LABEL));
    for volume in [joliet, primary] {
        let sorted = |files: Files| {
            let mut bytes: Vec<_> = files.into_values().collect();
            bytes.sort();
            bytes
        };
        assert!(sorted(contents(&volume)) == sorted(sample()));
    }
}

#[test]
fn contents_are_shared_when_they_are_named_or_found_to_be_the_same() {
    let mut bridge = Bridge::new(Options { share_identical: true, ..options(IsoView::Stub) }).unwrap();
    let one = bridge.add_content(Content::bytes(vec![1; 5000]));
    let two = bridge.add_content(Content::bytes(vec![2; 5000]));
    let equal = bridge.add_content(Content::bytes(vec![1; 5000]));
    let unused = bridge.add_content(Content::bytes(vec![3; 1_000_000]));
    for (path, content) in [("a", one), ("b", one), ("c", two), ("d", equal)] {
        bridge.add_file(path, TIME, content).unwrap();
    }
    let _ = unused;
    let image = image(bridge);
    assert!(image.len() < 600_000, "{}", image.len());
    let volume = open(image);
    let extents = |path| volume.find(path).unwrap().extents.clone();
    assert_eq!(extents("a"), extents("b"));
    assert_eq!(extents("a"), extents("d"));
    assert_ne!(extents("a"), extents("c"));
    assert_eq!(contents(&volume)["d"], vec![1; 5000]);
}

#[test]
fn files_are_produced_in_their_place() {
    for view in [IsoView::Stub, IsoView::Full] {
        let mut bridge = Bridge::new(options(view)).unwrap();
        let produced = bridge.add_content(Content::Produced {
            maximum: 10 << 30,
            produce: Box::new(|window| {
                // A header that is known last, as in a WIM file.
                window.write_all(&[0; 100])?;
                window.copy_from(&b"0123456789".to_vec(), 2, 5)?;
                window.seek(SeekFrom::Start(50))?;
                window.write_all(b"header")?;
                let mut back = [0; 6];
                window.seek(SeekFrom::Current(-6))?;
                window.read_exact(&mut back)?;
                assert_eq!(&back, b"header");
                window.seek(SeekFrom::End(0))?;
                window.write_all(b"end")
            }),
        });
        let after = bridge.add_content(Content::bytes(b"after".to_vec()));
        bridge.add_file("install.wim", TIME, produced).unwrap();
        bridge.add_file("after", TIME, after).unwrap();
        let file = tempfile::tempfile().unwrap();
        let written = bridge.write(&file).unwrap();
        let volume = Volume::open(Arc::new(FileSource::new(file).unwrap())).unwrap();
        let files = contents(&volume);
        let wanted = [&[0; 50][..], b"header", &[0; 44], b"23456end"].concat();
        assert_eq!((files["install.wim"].clone(), files["after"].as_slice()), (wanted, &b"after"[..]));
        let place = written.files.iter().find(|file| file.path == "install.wim").unwrap();
        assert_eq!(volume.find("install.wim").unwrap().extents, [Extent { offset: Some(place.offset), length: 108 }]);
    }
}

#[test]
fn a_producer_that_fails_or_writes_too_much_is_an_error_that_names_the_file() {
    for produce in [
        Box::new(|window: &mut crate::media::Window<'_>| window.write_all(&[0; 11])) as crate::media::bridge::Produce,
        Box::new(|_: &mut crate::media::Window<'_>| Err(std::io::Error::other("no"))),
    ] {
        let mut bridge = Bridge::new(options(IsoView::Stub)).unwrap();
        let content = bridge.add_content(Content::Produced { maximum: 10, produce });
        bridge.add_file("some/where", TIME, content).unwrap();
        let error = bridge.write(&tempfile::tempfile().unwrap()).unwrap_err();
        assert!(matches!(&error, BridgeError::Content { path, .. } if path == "some/where"), "{error:?}");
    }
}

#[test]
fn what_cannot_be_on_a_disc_is_refused() {
    let mut bridge = Bridge::new(options(IsoView::Stub)).unwrap();
    let content = bridge.add_content(Content::bytes(vec![1]));
    let long = "x".repeat(255);
    let deep = ["directory"; 110].join("/");
    for path in ["", "/a", "a//b", "a/", "a/../b", ".", "a\\b", "a\0b", &long, &"Ж".repeat(128), &deep] {
        assert!(matches!(bridge.add_file(path, TIME, content), Err(BridgeError::Path { .. })), "{path:?}");
    }
    bridge.add_file("a/b", TIME, content).unwrap();
    bridge.add_file(&long[..254], TIME, content).unwrap();
    for path in ["a/B", "A", "a/b/c"] {
        assert!(matches!(bridge.add_file(path, TIME, content), Err(BridgeError::Exists { .. })), "{path:?}");
    }
    assert!(matches!(bridge.add_directory("a/b", TIME), Err(BridgeError::Exists { .. })));
    bridge.add_directory("A", TIME + 10).unwrap();
    bridge.add_directory("", TIME + 20).unwrap();
    let other = Bridge::new(options(IsoView::Stub)).unwrap().add_file("a", TIME, content);
    assert!(matches!(other, Err(BridgeError::UnknownContent { .. })));
    let huge = bridge.add_content(Content::Produced { maximum: u64::MAX, produce: Box::new(|_| Ok(())) });
    assert!(matches!(bridge.add_file("huge", TIME, huge), Err(BridgeError::FileTooLarge { .. })));
    let label = Options { label: "x".repeat(33), ..options(IsoView::Stub) };
    assert!(matches!(Bridge::new(label), Err(BridgeError::Label { .. })));
    for _ in 0..crate::iso::MAX_BOOT_ENTRIES {
        bridge.add_boot_entry(BootEntry::uefi(content)).unwrap();
    }
    assert!(matches!(bridge.add_boot_entry(BootEntry::uefi(content)), Err(BridgeError::TooManyBootEntries { .. })));

    let mut bridge = bridge_of_boot_entries(crate::iso::MAX_BOOT_ENTRIES);
    bridge.add_directory("A", TIME + 10).unwrap();
    bridge.add_directory("", TIME + 20).unwrap();
    let volume = open(image(bridge));
    assert_eq!(volume.boot_images().len(), crate::iso::MAX_BOOT_ENTRIES);
    assert_eq!((volume.find("a").unwrap().modified, volume.find("").unwrap().modified), (Some(TIME + 10), Some(TIME + 20)));
}

fn bridge_of_boot_entries(count: usize) -> Bridge<'static> {
    let mut bridge = Bridge::new(options(IsoView::Stub)).unwrap();
    let content = bridge.add_content(Content::bytes(vec![1]));
    for _ in 0..count {
        bridge.add_boot_entry(BootEntry::uefi(content)).unwrap();
    }
    bridge
}

/// Zeros, in which every position that is a multiple of 2^30 - 1 holds a mark.
struct Marked(u64);

const STEP: u64 = (1 << 30) - 1;

impl ReadAt for Marked {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        buffer.fill(0);
        let first = offset.next_multiple_of(STEP);
        for position in (first..offset + buffer.len() as u64).step_by(STEP as usize) {
            buffer[(position - offset) as usize] = (position / STEP) as u8 + 1;
        }
        Ok(())
    }
}

#[test]
fn oracle_files_beyond_4_gib_are_whole_in_udf_and_iso() {
    let size = 5 * STEP + 3;
    let mut bridge = Bridge::new(options(IsoView::Full)).unwrap();
    let content = bridge.add_content(Content::Source(Arc::new(Marked(size))));
    bridge.add_file("sources/install.wim", TIME, content).unwrap();
    let last = bridge.add_content(Content::bytes(b"last".to_vec()));
    bridge.add_file("sources/last", TIME, last).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    bridge.write(file.as_file()).unwrap();

    let check = |file_system: FileSystem| {
        let source = FileSource::new(std::fs::File::open(file.path()).unwrap()).unwrap();
        let volume = Volume::open(Arc::new(source)).unwrap();
        assert_eq!(volume.file_system(), file_system);
        let entry = volume.find("sources/install.wim").unwrap();
        assert_eq!((entry.size, entry.extents.len()), (size, 1));
        let section = volume.open_file(entry).unwrap();
        for mark in 0..=5 {
            let mut bytes = [9; 3];
            section.read_exact_at(&mut bytes, mark * STEP).unwrap();
            assert_eq!(bytes, [mark as u8 + 1, 0, 0]);
        }
        assert_eq!(read_all(volume.open_file(volume.find("sources/last").unwrap()).unwrap()), b"last");
    };
    check(FileSystem::Udf { revision: 0x0102 });
    if wimwright_testkit::oracles(&["7z", "isoinfo"]) {
        for kind in ["-tudf", "-tiso"] {
            let output = wimwright_testkit::run(Command::new("7z").args(["l", kind]).arg(file.path()));
            let listing = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(listing.contains(&size.to_string()) && !listing.contains("WARNING") && !listing.contains("ERROR"), "{listing}");
        }
        let output = wimwright_testkit::run(Command::new("isoinfo").args(["-l", "-i"]).arg(file.path()));
        let listing = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(listing.matches("INSTALL.WIM;1").count(), 2, "{listing}");
    }
    let mut head = vec![0; 64 * 2048];
    std::os::unix::fs::FileExt::read_exact_at(file.as_file(), &mut head, 0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(file.as_file(), &without_udf(head), 0).unwrap();
    check(FileSystem::Joliet);
}

#[test]
fn oracle_7_zip_finds_nothing_to_complain_of() {
    if !wimwright_testkit::oracles(&["7z"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for view in [IsoView::Stub, IsoView::Full] {
        let path = folder.path().join("image.iso");
        std::fs::write(&path, image(bridge(view, &sample()))).unwrap();
        for arguments in [["l", "-tudf"], ["t", "-tudf"], ["t", "-tiso"]] {
            let output = wimwright_testkit::run(Command::new("7z").args(arguments).arg(&path));
            let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
            assert!(!text.contains("error") && !text.contains("warning") && !text.contains("tail"), "{text}");
        }
        let target = folder.path().join(format!("{view:?}"));
        wimwright_testkit::run(Command::new("7z").arg("x").arg(format!("-o{}", target.display())).arg(&path));
        assert_same(&folder_contents(&target), &sample(), "7z x");
    }
}

#[test]
fn oracle_other_programs_agree_on_boot_images_and_volume() {
    if !wimwright_testkit::oracles(&["xorriso", "isoinfo", "udfinfo"]) {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    for view in [IsoView::Stub, IsoView::Full] {
        let bytes = image(bridge(view, &sample()));
        std::fs::write(file.path(), &bytes).unwrap();
        let output = wimwright_testkit::run(Command::new("xorriso").arg("-indev").arg(file.path()).args(["-report_el_torito", "plain"]));
        let report: Vec<String> =
            String::from_utf8_lossy(&output.stdout).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let volume = open(bytes.clone());
        for (index, (image, name)) in volume.boot_images().iter().zip(["BIOS", "UEFI"]).enumerate() {
            let sector = image.offset / 2048;
            let line = format!("El Torito boot img : {} {name} y none 0x0000 0x00 {} {sector}", index + 1, image.load_sectors);
            assert!(report.contains(&line), "{line}\n{report:#?}");
        }
        let output = wimwright_testkit::run(Command::new("udfinfo").arg(file.path()));
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let blocks = format!("blocks={}", bytes.len() / 2048);
        for wanted in
            ["label=CCCOMA_X64FRE_EN-US_DV9", "udfrev=1.02", "integrity=closed", "accesstype=readonly", "numfiles=65", "numdirs=8", &blocks]
        {
            assert!(report.lines().any(|line| line == wanted), "{wanted}\n{report}");
        }
        let output = wimwright_testkit::run(Command::new("isoinfo").args(["-d", "-i"]).arg(file.path()));
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            report.contains(&format!("Volume size is: {}", bytes.len() / 2048)) && report.contains("El Torito VD version 1 found"),
            "{report}"
        );
    }
}

/// Trees of short names from a small alphabet, so that directories and names meet.
fn trees() -> impl Strategy<Value = Files> {
    let name = "[a-c]{1,2}|[äЖ😀]{1,3}|[a-z~ .-]{40,60}x";
    let path = proptest::collection::vec(name, 1..5).prop_map(|names| names.join("/"));
    proptest::collection::vec((path, 0_usize..9000, any::<u8>()), 0..40).prop_map(|list| {
        let mut files = Files::new();
        for (path, size, byte) in list {
            let folded = path.to_uppercase() + "/";
            // A file is no directory, and no name is there twice.
            let clash = files.keys().any(|other| {
                let other = other.to_uppercase() + "/";
                other.starts_with(&folded) || folded.starts_with(&other)
            });
            if !clash {
                files.insert(path, vec![byte; size]);
            }
        }
        files
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_tree_round_trips(files in trees(), full in any::<bool>()) {
        let view = if full { IsoView::Full } else { IsoView::Stub };
        let bytes = image(bridge(view, &files));
        assert_same(&contents(&open(bytes.clone())), &files, "UDF");
        if full {
            assert_same(&contents(&open(without_udf(bytes.clone()))), &files, "Joliet");
            prop_assert_eq!(contents(&open(without_joliet(bytes))).len(), files.len());
        }
    }
}

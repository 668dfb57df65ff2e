//! What others wrote.

use std::process::Command;

use super::*;
use crate::io::FileSource;
use crate::media::FileSystem;

fn open_path(path: &Path) -> Volume {
    let source = FileSource::new(std::fs::File::open(path).unwrap()).unwrap();
    Volume::open(Arc::new(source)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What 7-Zip extracts of the image; `kind` chooses the file system.
fn extracted(path: &Path, kind: &str) -> Files {
    let target = tempfile::tempdir().unwrap();
    let output = format!("-o{}", target.path().display());
    wimwright_testkit::run(Command::new("7z").args(["x", kind, &output]).arg(path).arg("-x![BOOT]"));
    folder_contents(target.path())
}

/// A folder with the sample's files.
fn sample_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in sample() {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if path.to_str().unwrap().ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::write(path, bytes).unwrap();
        }
    }
    folder
}

#[test]
fn real_images_hold_what_7_zip_extracts() {
    let samples = [
        ("iso/libcdio/test-udf1.iso", "-tudf", FileSystem::Udf { revision: 0x0102 }),
        ("iso/libcdio/joliet.iso", "-tiso", FileSystem::Joliet),
        ("iso/libcdio/multi_extent_8k.iso", "-tiso", FileSystem::Iso9660),
        ("iso/NTBOOT.iso", "-tiso", FileSystem::Joliet),
    ];
    for (name, kind, file_system) in samples {
        let Some(path) = wimwright_testkit::test_data(name) else { return };
        if !wimwright_testkit::oracles(&["7z"]) {
            return;
        }
        let volume = open_path(&path);
        assert_eq!(volume.file_system(), file_system, "{name}");
        // 7-Zip shows Rock Ridge's names, in lower case in these images, and keeps the dot at the end of a name.
        let plain = |path: &str| path.trim_end_matches('.').to_uppercase();
        let strip = |files: Files| files.into_iter().map(|(path, bytes)| (plain(&path), bytes)).collect::<Files>();
        assert_same(&strip(contents(&volume)), &strip(extracted(&path, kind)), name);
    }
}

#[test]
fn real_boot_images_are_found() {
    let Some(path) = wimwright_testkit::test_data("iso/NTBOOT.iso") else { return };
    let volume = open_path(&path);
    let [image] = volume.boot_images() else { panic!("{:?}", volume.boot_images()) };
    // As xorriso reports it: BIOS, no emulation, 4 sectors, at 38, /grldr.
    assert_eq!((image.emulation, image.load_sectors, image.offset), (0, 4, 38 * 2048));
    assert_eq!(image.size, volume.find("grldr").unwrap().size);
}

#[test]
fn real_malformed_images_are_errors() {
    let Some(path) = wimwright_testkit::test_data("iso/libcdio/malformed.iso") else { return };
    assert!(Volume::open(Arc::new(std::fs::read(path).unwrap())).is_err());
}

#[test]
fn oracle_genisoimage_images_are_read() {
    if !wimwright_testkit::oracles(&["genisoimage"]) {
        return;
    }
    let folder = sample_folder();
    let target = tempfile::NamedTempFile::new().unwrap();
    let make = |arguments: &[&str]| {
        let boot = ["-b", "boot/etfsboot.com", "-no-emul-boot", "-boot-load-size", "8", "-eltorito-alt-boot"];
        let efi = ["-e", "efi/microsoft/boot/efisys.bin", "-no-emul-boot", "-input-charset", "utf-8", "-quiet", "-o"];
        let mut command = Command::new("genisoimage");
        wimwright_testkit::run(command.args(arguments).args(boot).args(efi).arg(target.path()).arg(folder.path()));
        open_path(target.path())
    };
    let mut wanted = sample();
    let volume = make(&["-udf", "-V", "LABEL"]);
    assert_eq!((volume.file_system(), volume.label()), (FileSystem::Udf { revision: 0x0102 }, "LABEL"));
    let [bios, uefi] = volume.boot_images() else { panic!("{:?}", volume.boot_images()) };
    assert_eq!((bios.size, uefi.size), (4096, 70_000));
    let mut found = contents(&volume);
    // genisoimage adds its boot catalog, and cuts a name at a character beyond UCS-2.
    let comparable = |files: &mut Files| files.retain(|path, _| !path.starts_with("boot.cat") && !path.contains("Жук"));
    comparable(&mut wanted);
    comparable(&mut found);
    assert_same(&found, &wanted, "-udf");

    let volume = make(&["-J", "-joliet-long"]);
    assert_eq!(volume.file_system(), FileSystem::Joliet);
    let mut found = contents(&volume);
    comparable(&mut found);
    assert_same(&found, &wanted, "-J");

    let volume = make(&["-iso-level", "3"]);
    assert_eq!(volume.file_system(), FileSystem::Iso9660);
    assert_eq!(read_all(volume.open_file(volume.find("sources/install.wim").unwrap()).unwrap()), wanted["sources/install.wim"]);
}

#[test]
fn oracle_mkudffs_volumes_are_read() {
    // mkudffs lies in /usr/sbin.
    if !Path::new("/usr/sbin/mkudffs").exists() && !wimwright_testkit::oracles(&["mkudffs"]) {
        return;
    }
    let make = |arguments: &[&str]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(16 << 20).unwrap();
        let label = ["-l", "Übung €"];
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        wimwright_testkit::run(Command::new("mkudffs").env("PATH", path).arg("--utf8").args(arguments).args(label).arg(file.path()));
        open_path(file.path())
    };
    let kinds: [(&[&str], u16); 8] = [
        (&["-m", "hd", "-b", "2048", "-r", "1.02"], 0x0102),
        (&["-m", "hd", "-b", "512", "-r", "1.02", "--ad=short"], 0x0102),
        (&["-m", "hd", "-b", "2048", "-r", "1.50", "--ad=long"], 0x0150),
        (&["-m", "hd", "-b", "2048", "-r", "2.01"], 0x0201),
        (&["-m", "hd", "-b", "4096", "-r", "2.01"], 0x0201),
        (&["-m", "hd", "-b", "1024", "-r", "2.00", "--noefe"], 0x0200),
        (&["-m", "cdrw", "-r", "1.50"], 0x0150),
        (&["-m", "cdrw", "-r", "2.01"], 0x0201),
    ];
    for (arguments, revision) in kinds {
        let volume = make(arguments);
        assert_eq!((volume.file_system(), volume.label()), (FileSystem::Udf { revision }, "Übung €"), "{arguments:?}");
        // A sparable volume of 1.50 lists its spare blocks as a file.
        let names: Vec<&str> = volume.entries().iter().skip(1).map(|entry| entry.name.as_str()).collect();
        assert!(names.is_empty() || (names == ["Non-Allocatable Space"] && revision == 0x0150), "{arguments:?}: {names:?}");
    }
}

#[test]
fn oracle_pycdlib_images_are_read() {
    if !wimwright_testkit::python_oracles(&["pycdlib"]) {
        return;
    }
    let target = tempfile::NamedTempFile::new().unwrap();
    let script = r#"
import io, sys, pycdlib
iso = pycdlib.PyCdlib()
iso.new(interchange_level=3, udf="2.60", vol_ident="PYCDLIB", joliet=3)
iso.add_directory("/SOURCES", udf_path="/sources", joliet_path="/sources")
data = bytes(range(256)) * 40
iso.add_fp(io.BytesIO(data), len(data), "/SOURCES/INSTALL.WIM;1", udf_path="/sources/install.wim", joliet_path="/sources/install.wim")
iso.add_fp(io.BytesIO(b"x"), 1, "/X.;1", udf_path="/x", joliet_path="/x")
iso.write(sys.argv[1])
"#;
    wimwright_testkit::run(wimwright_testkit::python().args(["-c", script]).arg(target.path()));
    let wanted = Files::from([("sources/install.wim".into(), (0..=255).cycle().take(10_240).collect()), ("x".into(), b"x".to_vec())]);
    let bytes = std::fs::read(target.path()).unwrap();
    let volume = open(bytes.clone());
    assert!(matches!(volume.file_system(), FileSystem::Udf { .. }));
    assert_same(&contents(&volume), &wanted, "pycdlib");
    let mut bytes = bytes;
    for sector in 16..64 {
        if bytes[sector * 2048 + 1..].starts_with(b"NSR0") {
            bytes[sector * 2048 + 1] = b'X';
        }
    }
    let volume = open(bytes);
    assert_eq!(volume.file_system(), FileSystem::Joliet);
    assert_same(&contents(&volume), &wanted, "pycdlib");
}

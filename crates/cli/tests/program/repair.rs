//! `health --repair`: what it prints, what it writes, and what it leaves alone.

use std::io::Cursor;
use std::sync::Arc;

use insta::assert_snapshot;
use wimwright_format::manifest::Version;
use wimwright_format::wim::write::{ImageSource, ImageToWrite, WimPlan, WriteOptions};
use wimwright_format::wim::{Compression, ImageInfo, Wim};
use wimwright_image::medium::Medium;
use wimwright_image::registry::HiveFile;
use wimwright_image::{Blobs, Image, ImageFile, ImagePath};
use wimwright_practice::store::{PackageSpec, StoreSpec, write};
use wimwright_testkit::{oracles, run};

use crate::commands::session;
use crate::workshop::Workshop;

const PACKAGE: &str = "Practice-Package~31bf3856ad364e35~amd64~~10.0.26100.1";

fn store() -> Vec<u8> {
    let packages = vec![PackageSpec::installed(PACKAGE.parse().unwrap())];
    let version = Version([10, 0, 26100, 1]);
    write(&StoreSpec { architecture: "amd64".into(), version, packages, ..StoreSpec::default() }).unwrap()
}

fn open(bytes: Vec<u8>) -> Image {
    let file = ImageFile::new(vec![Arc::new(Wim::open(Arc::new(bytes)).unwrap())]).unwrap();
    Image::open(&file, 1, &Blobs::default()).unwrap()
}

/// An image file of images that share their blobs.
fn wim(images: &[&Image], options: &WriteOptions) -> Vec<u8> {
    let to_write = images.iter().zip(1..).map(|(image, number)| {
        let info = ImageInfo::named(&format!("Practice {number}"));
        let info = ["WINDOWS/ARCH"].into_iter().fold(info, |mut info, field| {
            info.set(field, "9");
            info
        });
        ImageToWrite { source: ImageSource::Tree(Box::new(image.tree.to_metadata())), info }
    });
    let plan = WimPlan::new(to_write.collect(), options.clone(), &|id| images[0].blobs.source(id).ok()).unwrap();
    let mut bytes = Cursor::new(Vec::new());
    plan.write(&mut bytes, &mut |_| {}).unwrap();
    bytes.into_inner()
}

fn lzx() -> WriteOptions {
    WriteOptions::new(Some(Compression::Lzx), [7; 16])
}

/// A file of the store that is installed: its name there, and its place.
fn linked_file(image: &Image) -> (String, String) {
    let names: Vec<_> = image.tree.walk().filter_map(|(path, entry)| Some((entry.file_id()?, path))).collect();
    let (stored, installed): (Vec<_>, Vec<_>) = names.into_iter().partition(|(_, path)| path.starts_with("/Windows/WinSxS/"));
    let linked = stored.into_iter().find_map(|(file, payload)| {
        let place = installed.iter().find(|(other, _)| *other == file)?.1.clone();
        Some((payload, place))
    });
    linked.unwrap()
}

fn spoil(image: &mut Image, path: &str) {
    let blob = image.blobs.add_bytes(b"MZ spoiled".to_vec());
    image.tree.update(&ImagePath::parse(path).unwrap(), |inode| inode.contents = blob).unwrap();
}

/// A workshop with `intact.wim`; `damaged.wim`, whose first image is damaged in a file and a manifest; and `link.wim`, where a link is
/// missing.
fn workshop() -> Workshop {
    let workshop = Workshop::empty();
    let intact = open(store());
    let (payload, place) = linked_file(&intact);
    let mut damaged = intact.clone();
    spoil(&mut damaged, &payload);
    damaged.tree.remove(&ImagePath::parse(&format!("/Windows/servicing/Packages/{PACKAGE}.mum")).unwrap()).unwrap();
    let mut link = intact.clone();
    link.tree.remove(&ImagePath::parse(&place).unwrap()).unwrap();
    workshop.write("intact.wim", wim(&[&intact], &lzx()));
    workshop.write("damaged.wim", wim(&[&damaged, &intact], &lzx()));
    workshop.write("link.wim", wim(&[&link], &lzx()));
    workshop
}

#[test]
fn repairing() {
    let workshop = workshop();
    workshop.write("taken.wim", "somebody's");
    workshop.write("empty/readme.txt", "no package");
    workshop.write("text.cab", "no package either");
    let repair = |image: &'static str, rest: &[&'static str]| -> Vec<&'static str> {
        [&["health", image, "--allow-unsigned", "--repair"], rest].concat()
    };
    let commands = [
        vec!["health", "damaged.wim", "--allow-unsigned"],
        repair("damaged.wim", &["--source", "intact.wim", "--out", "out/repaired.wim"]),
        vec!["health", "out/repaired.wim", "--allow-unsigned"],
        repair("damaged.wim:1", &["--source", "damaged.wim:2", "--out", "repaired.wim", "--format", "json"]),
        // Nothing but what the image has is needed.
        repair("link.wim", &["--out", "linked.wim"]),
        repair("intact.wim", &["--out", "nothing.wim"]),
        repair("intact.wim", &["--out", "nothing.wim", "--format", "json"]),
        // No source, and one that does not have it.
        repair("damaged.wim", &["--out", "none.wim"]),
        repair("damaged.wim", &["--source", "damaged.wim:1", "--out", "none.wim"]),
        // What is wrong with the command.
        repair("damaged.wim", &["--source", "nowhere.wim", "--out", "none.wim"]),
        repair("damaged.wim", &["--source", "empty", "--out", "none.wim"]),
        repair("damaged.wim", &["--source", "text.cab", "--out", "none.wim"]),
        repair("damaged.wim", &["--source", "intact.wim", "--out", "taken.wim"]),
        repair("damaged.wim", &["--source", "intact.wim", "--out", "damaged.wim"]),
        repair("damaged.wim:3", &["--source", "intact.wim", "--out", "none.wim"]),
        repair("damaged.wim", &["--source", "intact.wim"]),
        vec!["health", "damaged.wim", "--source", "intact.wim"],
        repair("damaged.wim", &["--quick", "--out", "none.wim"]),
    ];
    let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
    assert_snapshot!(session(&workshop, &commands));
    assert_eq!(workshop.read("taken.wim"), b"somebody's");
    for path in ["nothing.wim", "none.wim"] {
        assert!(!workshop.path(path).exists(), "{path}");
    }
    let left: Vec<_> = workshop.listing("").into_iter().filter(|name| name.contains(".wimwright-")).collect();
    assert!(left.is_empty(), "{left:?}");
    // The same again gives the same bytes, whoever gave the files.
    assert!(workshop.read("out/repaired.wim") == workshop.read("repaired.wim"));
}

/// What no file mends is told, and what files mend is written.
#[test]
fn damage_that_no_file_mends() {
    let workshop = Workshop::empty();
    let intact = open(store());
    let (_, place) = linked_file(&intact);
    let mut damaged = intact.clone();
    damaged.tree.remove(&ImagePath::parse(&place).unwrap()).unwrap();
    damaged
        .edit_hive(HiveFile::Components, |hive| {
            let root = hive.root();
            let pending = wimwright_format::regf::Data::Binary(vec![1]);
            hive.set_data(root, "PendingXmlIdentifier", &pending, 1)
                .map_err(|source| wimwright_image::ImageError::hive_edit(HiveFile::Components, "", source))
        })
        .unwrap();
    damaged.commit(1).unwrap();
    workshop.write("damaged.wim", wim(&[&damaged], &lzx()));
    let commands: [&[&str]; 2] = [
        &["health", "damaged.wim", "--allow-unsigned", "--repair", "--out", "repaired.wim"],
        &["health", "repaired.wim", "--allow-unsigned", "--repair", "--out", "again.wim"],
    ];
    assert_snapshot!(session(&workshop, &commands));
    assert!(!workshop.path("again.wim").exists());
}

/// Another program finds the output sound, with the other image as it was, in every form that image files have.
#[test]
fn oracle_the_repaired_file_is_sound() {
    if !oracles(&["wimlib-imagex", "7z"]) {
        return;
    }
    let intact = open(store());
    let (payload, _) = linked_file(&intact);
    let mut damaged = intact.clone();
    spoil(&mut damaged, &payload);
    let solid = WriteOptions::solid([7; 16]);
    let integrity = WriteOptions { integrity: true, boot_index: 2, ..WriteOptions::new(Some(Compression::Xpress), [7; 16]) };
    for (name, options) in [("lzx.wim", lzx()), ("solid.esd", solid), ("integrity.wim", integrity)] {
        let workshop = Workshop::empty();
        workshop.write("intact.wim", wim(&[&intact], &lzx()));
        workshop.write(name, wim(&[&damaged, &intact], &options));
        let before = workshop.read(name);
        let arguments = ["health", name, "--allow-unsigned", "--repair", "--source", "intact.wim", "--out", "repaired.wim"];
        workshop.run(&arguments).succeeded();
        assert!(workshop.read(name) == before, "the input stays as it was");
        run(workshop.other("wimlib-imagex").args(["verify", "repaired.wim"]));
        run(workshop.other("7z").args(["t", "repaired.wim"]));
        let extract = ["extract", "repaired.wim", "1", &payload, "--to-stdout"];
        let extracted = run(workshop.other("wimlib-imagex").args(extract)).stdout;
        assert!(extracted == *intact.read(&payload).unwrap(), "{name}");
        let (old, new) = (Wim::open(Arc::new(before)).unwrap(), Wim::open(Arc::new(workshop.read("repaired.wim"))).unwrap());
        assert_eq!(old.metadata_bytes(2).unwrap(), new.metadata_bytes(2).unwrap(), "{name}");
        assert_eq!(old.images()[1], new.images()[1], "{name}");
        let (old, new) = (old.header(), new.header());
        assert_eq!((old.version, old.compression, old.boot_index), (new.version, new.compression, new.boot_index), "{name}");
        assert_eq!(old.integrity.size > 0, new.integrity.size > 0, "{name}");
    }
}

/// An image file that is damaged itself has files that no program can read. They are written anew for all images that have them.
#[test]
fn oracle_damaged_bytes_are_replaced() {
    if !oracles(&["wimlib-imagex"]) {
        return;
    }
    let intact = open(store());
    let (payload, _) = linked_file(&intact);
    let workshop = Workshop::empty();
    workshop.write("intact.wim", wim(&[&intact], &lzx()));
    let mut bytes = wim(&[&intact, &intact], &WriteOptions::new(None, [7; 16]));
    let blob = intact.tree.at(&payload).unwrap().inode().contents.unwrap();
    let resource = Wim::open(Arc::new(bytes.clone())).unwrap().blob(&blob).unwrap().resource;
    bytes[resource.offset as usize] ^= 0xff;
    workshop.write("damaged.wim", &bytes);
    let damaged = workshop.other("wimlib-imagex").args(["verify", "damaged.wim"]).output().unwrap();
    assert!(!damaged.status.success());
    let arguments = ["health", "damaged.wim", "--allow-unsigned", "--repair", "--source", "intact.wim", "--out", "repaired.wim"];
    workshop.run(&arguments).succeeded();
    run(workshop.other("wimlib-imagex").args(["verify", "repaired.wim"]));
    workshop.run(&["health", "repaired.wim", "--allow-unsigned"]).succeeded();
}

/// Sources are told apart by their contents: a folder of packages, a medium with images, a package by itself.
#[test]
fn packages_and_media_give_files() {
    let workshop = Workshop::new();
    workshop.run(&["build", "recipe.yaml", "--out", "out.iso"]).succeeded();
    let medium = Medium::open(&workshop.path("out.iso")).unwrap();
    let file = medium.open_images(medium.install_file().unwrap()).unwrap();
    let mut image = Image::open(&file, 1, &Blobs::default()).unwrap();
    // Files of the capability, which its package brought.
    let of_capability = |path: &str| path.contains("/amd64_practice-tools-") && path.ends_with(".exe");
    let (payload, _) = image.tree.walk().find(|(path, _)| of_capability(path)).unwrap();
    let manifest = image.tree.walk().find(|(path, _)| path.contains("/Manifests/amd64_practice-tools-agent_")).unwrap().0;
    spoil(&mut image, &payload);
    image.tree.remove(&ImagePath::parse(&manifest).unwrap()).unwrap();
    let to_write = ImageToWrite { source: ImageSource::Tree(Box::new(image.tree.to_metadata())), info: image.info.clone() };
    let plan = WimPlan::new(vec![to_write], lzx(), &|id| image.blobs.source(id).ok()).unwrap();
    let mut bytes = Cursor::new(Vec::new());
    plan.write(&mut bytes, &mut |_| {}).unwrap();
    workshop.write("damaged.wim", bytes.into_inner());
    let repair = |sources: &[&str], out: &str| {
        let arguments =
            [&["health", "damaged.wim", "--allow-unsigned", "--format", "json", "--repair", "--source"], sources, &["--out", out]];
        workshop.run(&arguments.concat())
    };
    let given_by = |sources: &[&str], out: &str| -> Vec<String> {
        let report = repair(sources, out).succeeded().json();
        let image = &report["images"][0];
        assert_eq!(image["left"], serde_json::json!([]), "{sources:?}");
        image["repaired"].as_array().unwrap().iter().map(|repaired| repaired["source"].as_str().unwrap().to_owned()).collect()
    };
    let package = "inputs/features/Practice-Tools-Package~31bf3856ad364e35~amd64~~.cab";
    assert_eq!(given_by(&["inputs/features"], "folder.wim"), [package, package]);
    assert_eq!(given_by(&[package], "package.wim"), [package, package]);
    // Images are asked before packages; that which never had the capability has nothing to give.
    assert_eq!(given_by(&["inputs/features", "practice.iso:1", "out.iso"], "medium.wim"), ["out.iso:1", "out.iso:1"]);
    assert!(workshop.read("folder.wim") == workshop.read("medium.wim") && workshop.read("folder.wim") == workshop.read("package.wim"));
    let ran = repair(&["practice.iso", "inputs/updates"], "none.wim");
    let left = ran.json()["images"][0]["left"].clone();
    assert_eq!(ran.code, Some(1));
    assert!(left[0]["reason"].as_str().unwrap().starts_with("no source has the manifest of amd64_practice-tools-agent_"), "{left}");
    assert_eq!(left[0]["wanted"]["file"], "component_manifest");
    assert!(!workshop.path("none.wim").exists());
}

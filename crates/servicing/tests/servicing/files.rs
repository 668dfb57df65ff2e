//! The step `files`.

use wimwright_format::reparse;
use wimwright_format::wim::{NamedStream, Reparse};
use wimwright_image::Image;
use wimwright_image::tree::{ATTRIBUTE_DIRECTORY, ATTRIBUTE_HIDDEN, ATTRIBUTE_READONLY, ATTRIBUTE_REPARSE_POINT};
use wimwright_servicing::files::{Files, Item, Operation};
use wimwright_servicing::step::Step;

use crate::windows::{apply, effect, hive, ignores_time, path_of, payload, put, refused, set, windows};

fn add(to: &str, path: &str, contents: Option<&[u8]>) -> Operation {
    let contents = contents.map(|bytes| payload("source", bytes));
    Operation::Add { to: to.into(), items: vec![Item { path: path.into(), contents }], attributes: None, security: None, time: None }
}

fn step(operations: Vec<Operation>) -> Files {
    Files { operations }
}

#[test]
fn new_files_inherit_security_and_get_the_recipes_time() {
    let step = step(vec![
        add("/Company", "tools/run.cmd", Some(b"@echo off")),
        add("/Company/empty", "", None),
        add("/Windows", "empty.txt", Some(b"")),
    ]);
    insta::assert_snapshot!(effect(&step, &windows()), @r"
    + /Company (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Company/empty (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Company/tools (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Company/tools/run.cmd (9 bytes, attributes 0x20, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)
    + /Windows/empty.txt (0 bytes, attributes 0x20, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)
    report (Exact):
      added /Company/tools/run.cmd
      created /Company/empty
      added /Windows/empty.txt
    ");
}

#[test]
fn replaced_files_keep_what_describes_them_and_other_links_keep_the_contents() {
    let image = windows();
    let replaced = step(vec![add("/windows/NOTEPAD.EXE", "", Some(b"MZ other"))]);
    insta::assert_snapshot!(effect(&replaced, &image), @r"
    ~ /Windows/notepad.exe
        accessed: 1 -> 2
        contents
        hard_link_group: 7 -> 0
        written: 1 -> 2
    report (Exact):
      replaced /windows/NOTEPAD.EXE
    ");
    let after = apply(&replaced, &image);
    assert_eq!(&*after.read("/Windows/notepad.exe").unwrap(), b"MZ other");
    assert_eq!(&*after.read("/Windows/System32/notepad.exe").unwrap(), b"MZ notepad");
    assert_eq!(&*image.read("/Windows/notepad.exe").unwrap(), b"MZ notepad", "the image before is a value of its own");
}

#[test]
fn streams_belong_to_the_old_contents() {
    let mut image = windows();
    let blob = image.blobs.add_bytes(b"[ZoneTransfer]".to_vec());
    let stream = NamedStream { name: "Zone.Identifier".into(), blob, reserved: 0 };
    image.tree.update(&path_of("/Windows/win.ini"), |inode| inode.streams = vec![stream]).unwrap();
    let after = apply(&step(vec![add("/Windows/win.ini", "", Some(b"new"))]), &image);
    assert_eq!(after.tree.at("/Windows/win.ini").unwrap().inode().streams, []);
}

#[test]
fn attributes_security_and_time_can_be_given() {
    let operation = Operation::Add {
        to: "/Company/secret".into(),
        items: vec![Item { path: "key.bin".into(), contents: Some(payload("key", b"k")) }],
        attributes: Some(ATTRIBUTE_HIDDEN | ATTRIBUTE_READONLY),
        security: Some("O:BAG:SYD:P(A;;FA;;;BA)".into()),
        time: Some(99),
    };
    let step = step(vec![operation]);
    insta::assert_snapshot!(effect(&step, &windows()), @r"
    + /Company (0 bytes, attributes 0x10, times 99 99 99)
        O:BAG:SYD:P(A;;FA;;;BA)
    + /Company/secret (0 bytes, attributes 0x10, times 99 99 99)
        O:BAG:SYD:P(A;;FA;;;BA)
    + /Company/secret/key.bin (1 bytes, attributes 0x23, times 99 99 99)
        O:BAG:SYD:P(A;;FA;;;BA)
    report (Exact):
      added /Company/secret/key.bin
    ");
    assert!(!step.writes_time());
    assert!(ignores_time(&step, &windows()));
}

#[test]
fn deleting_and_renaming() {
    let image = windows();
    let operations = vec![
        Operation::Delete { path: "/Windows/win.ini".into(), ignore_missing: false },
        Operation::Delete { path: "/no/such".into(), ignore_missing: true },
        Operation::Rename { from: "/Windows/notepad.exe".into(), to: "/Windows/editor.exe".into() },
    ];
    let step = step(operations);
    insta::assert_snapshot!(effect(&step, &image), @r"
    + /Windows/editor.exe (10 bytes, attributes 0x20, times 1 1 1)
        O:SYG:SYD:AI(A;;0x1200a9;;;SY)
    - /Windows/notepad.exe
    - /Windows/win.ini
    report (Exact):
      deleted /Windows/win.ini
      /no/such was not there
      renamed /Windows/notepad.exe to /Windows/editor.exe
    ");
    assert!(!step.writes_time());
    assert!(ignores_time(&step, &image));
}

#[test]
fn what_cannot_be_done_is_an_error() {
    let image = windows();
    let rename = |from: &str, to: &str| Operation::Rename { from: from.into(), to: to.into() };
    let cases = [
        Operation::Delete { path: "/no/such".into(), ignore_missing: false },
        Operation::Delete { path: "/".into(), ignore_missing: true },
        rename("/Windows/win.ini", "/Windows/notepad.exe"),
        rename("/no/such", "/other"),
        rename("/Windows", "/Windows/System32/Windows"),
        add("/Windows/System32", "", Some(b"a file")),
        add("/Windows/win.ini/below", "", Some(b"x")),
        add("/Windows/../../etc/passwd", "", Some(b"x")),
        Operation::Add {
            to: "/x".into(),
            items: vec![Item { path: "y".into(), contents: Some(payload("y", b"y")) }],
            attributes: None,
            security: Some("D:(A;;XX;;;BA)".into()),
            time: None,
        },
    ];
    let messages: Vec<_> = cases.into_iter().map(|operation| refused(&step(vec![operation]), &image)).collect();
    insta::assert_snapshot!(messages.join("\n"), @r"
    `/no/such` does not exist in the image
    the root of an image cannot be replaced, removed or renamed
    `/Windows/notepad.exe` exists already
    `/no/such` does not exist in the image
    `/Windows` cannot be moved into itself
    `/Windows/System32` is a directory: a file cannot replace it
    `/Windows/win.ini` is a file, not a directory
    `/Windows/../../etc/passwd` contains `..`: a path inside an image cannot go up
    `D:(A;;XX;;;BA)` is not usable SDDL: SDDL, character 6: `XX` is no access right
    ");
}

/// `/Users/All Users` of every Windows: a link, which must not get children of its own.
fn with_link() -> Image {
    let mut image = windows();
    put(&mut image, "/Users/All Users/x", b"");
    image.tree.remove(&path_of("/Users/All Users/x")).unwrap();
    let link = Reparse { tag: reparse::tag::SYMLINK, reserved: 0, flags: 0, data: image.blobs.add_bytes(vec![0; 12]) };
    let change = |inode: &mut wimwright_image::tree::Inode| {
        inode.attributes = ATTRIBUTE_DIRECTORY | ATTRIBUTE_REPARSE_POINT;
        inode.reparse = Some(link);
    };
    image.tree.update(&path_of("/Users/All Users"), change).unwrap();
    image
}

#[test]
fn links_get_no_children() {
    let image = with_link();
    let rename = Operation::Rename { from: "/Windows/win.ini".into(), to: "/Users/All Users/win.ini".into() };
    let messages = [add("/Users/all users/Company", "a.txt", Some(b"a")), rename].map(|operation| refused(&step(vec![operation]), &image));
    insta::assert_snapshot!(messages.join("\n"), @r"
    `/Users/all users/Company/a.txt` cannot be put below `/Users/all users`, which is a link to another folder
    hint: name the folder that the link leads to (`/ProgramData` for `/Users/All Users`, `/Users/Default` for `/Users/Default User`)
    `/Users/All Users/win.ini` cannot be put below `/Users/All Users`, which is a link to another folder
    hint: name the folder that the link leads to (`/ProgramData` for `/Users/All Users`, `/Users/Default` for `/Users/Default User`)
    ");
    let gone = step(vec![Operation::Delete { path: "/Users/All Users".into(), ignore_missing: false }]);
    assert!(apply(&gone, &image).tree.at("/Users/All Users").is_none());
}

#[test]
fn a_replaced_hive_is_the_one_that_later_steps_see() {
    let mut image = windows();
    let file = wimwright_image::registry::HiveFile::Software;
    assert!(image.hive(file).unwrap().is_some(), "the old hive is loaded");
    let mut other = hive();
    set(&mut other, "Contoso", "New", &wimwright_format::regf::Data::Dword(1));
    let mut after = apply(&step(vec![add(file.path(), "", Some(&other.into_bytes()))]), &image);
    let loaded = after.hive(file).unwrap().unwrap();
    assert!(loaded.open("Contoso").unwrap().is_some());
}

#[test]
fn equal_options_mean_equal_results() {
    let image = windows();
    let named = |name: &str| {
        let item = Item { path: "a".into(), contents: Some(payload(name, b"same")) };
        step(vec![Operation::Add { to: "/x".into(), items: vec![item], attributes: None, security: None, time: None }])
    };
    let (left, right) = (named("one.txt"), named("other.txt"));
    assert_eq!(left.options(), right.options());
    assert_eq!(apply(&left, &image).tree.id(), apply(&right, &image).tree.id());
    assert_ne!(left.options(), step(vec![add("/x", "a", Some(b"different"))]).options());
}

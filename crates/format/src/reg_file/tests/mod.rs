//! Tests of registry scripts.

mod oracle;
mod preferences;
mod robustness;

use super::{Change, Error, encode, export, parse};
use crate::regf::{Data, Hive, NewHive, ValueKind};

const KEY: &str = r"HKEY_LOCAL_MACHINE\SOFTWARE\Test";

/// Parses version 5 lines under [`KEY`].
fn values(lines: &str) -> Result<Vec<Change>, Error> {
    let text = format!("Windows Registry Editor Version 5.00\r\n\r\n[{KEY}]\r\n{lines}\r\n");
    let mut changes = parse(&encode(&text))?;
    assert_eq!(changes.remove(0), Change::CreateKey { path: KEY.into() });
    Ok(changes)
}

fn set(name: &str, kind: ValueKind, data: &[u8]) -> Change {
    Change::SetValue { path: KEY.into(), name: name.into(), kind, data: data.to_vec() }
}

fn set_text(name: &str, text: &str) -> Change {
    let (kind, data) = Data::Text(text.into()).encode();
    set(name, kind, &data)
}

#[track_caller]
fn assert_fails(lines: &str, expected_line: usize, expected: &str) {
    match values(lines) {
        Err(Error::Syntax { line, what }) => assert_eq!((line, what.contains(expected)), (expected_line, true), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_of_value() {
    let lines = concat!(
        "@=\"default\" ; comment\r\n",
        " \"a \\\"quoted\\\" C:\\\\path\" = \"b\"\r\n",
        "\"multi\"=\"one\r\ntwo\"\r\n",
        "\"d\"=dword:0000abCD\r\n",
        "\"short\"=dword:7\r\n",
        "\"h\"=hex:01,2,\\\r\n  ff , 03\r\n",
        "\"empty\"=hex:\r\n",
        "\"none\"=hex(0):\r\n",
        "\"expand\"=hex(2):25,00,00,00 ; comment\r\n",
        "\"q\"=hex(b):01,00,00,00,00,00,00,00\r\n",
        "\"odd\"=hex(ffff0012):aa,\\\r\n  ; a comment between\r\n  bb,\r\n",
        "\"gone\"=-\r\n",
        "@=-\r\n",
    );
    let delete = |name: &str| Change::DeleteValue { path: KEY.into(), name: name.into() };
    let expected = [
        set_text("", "default"),
        set_text("a \"quoted\" C:\\path", "b"),
        set_text("multi", "one\r\ntwo"),
        set("d", ValueKind::DWORD, &[0xCD, 0xAB, 0, 0]),
        set("short", ValueKind::DWORD, &[7, 0, 0, 0]),
        set("h", ValueKind::BINARY, &[1, 2, 0xFF, 3]),
        set("empty", ValueKind::BINARY, &[]),
        set("none", ValueKind::NONE, &[]),
        set("expand", ValueKind::EXPAND_SZ, &[0x25, 0, 0, 0]),
        set("q", ValueKind::QWORD, &[1, 0, 0, 0, 0, 0, 0, 0]),
        set("odd", ValueKind(0xFFFF_0012), &[0xAA, 0xBB]),
        delete("gone"),
        delete(""),
    ];
    assert_eq!(values(lines).unwrap(), expected);
}

#[test]
fn keys_and_roots() {
    let text = concat!(
        "\r\n; made by hand\r\nWindows Registry Editor Version 5.00\r\n",
        "[hkey_local_machine\\A\\b [c]\\]\r\n",
        "[-HKLM\\A]\r\n",
        "[HKCU]\r\n",
        "[HKEY_USERS\\.DEFAULT\\x] trailing\r\n",
        "[HKCR\\.txt]",
    );
    let create = |path: &str| Change::CreateKey { path: path.into() };
    let expected = [
        create(r"HKEY_LOCAL_MACHINE\A\b [c]"),
        Change::DeleteKey { path: r"HKEY_LOCAL_MACHINE\A".into() },
        create("HKEY_CURRENT_USER"),
        create(r"HKEY_USERS\.DEFAULT\x"),
        create(r"HKEY_CLASSES_ROOT\.txt"),
    ];
    assert_eq!(parse(text.as_bytes()).unwrap(), expected);
    let unknown = b"REGEDIT4\n\n[SOFTWARE\\x]\n";
    assert!(matches!(parse(unknown), Err(Error::Root { line: 3, path }) if path == r"SOFTWARE\x"));
}

#[test]
fn encodings_give_the_same() {
    let text = format!("Windows Registry Editor Version 5.00\n[{KEY}]\n\"ä€\"=\"ß\"\n");
    let units: Vec<u16> = text.encode_utf16().collect();
    let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    let ansi: Vec<u8> = text
        .chars()
        .map(|character| match character {
            'ä' => 0xE4,
            'ß' => 0xDF,
            '€' => 0x80,
            other => other as u8,
        })
        .collect();
    let expected = parse(text.as_bytes()).unwrap();
    assert_eq!(expected[1], set_text("ä€", "ß"));
    for bytes in [
        little.clone(),
        big.clone(),
        [&[0xFF, 0xFE], &little[..]].concat(),
        [&[0xFE, 0xFF], &big[..]].concat(),
        [&[0xEF, 0xBB, 0xBF], text.as_bytes()].concat(),
        ansi,
        encode(&text),
    ] {
        assert_eq!(parse(&bytes).unwrap(), expected);
    }
    assert!(matches!(parse(&[0xFF, 0xFE, 0x52]), Err(Error::Encoding(_))));
}

#[test]
fn version_4_texts_in_hex_become_utf_16() {
    let text = b"REGEDIT4\r\n\r\n[HKLM\\a]\r\n\"e\"=hex(2):25,80,00\r\n\"m\"=hex(7):61,00,62,00,00\r\n\"b\"=hex:80\r\n";
    let changes = parse(text).unwrap();
    let data = |index: usize| match &changes[index] {
        Change::SetValue { data, .. } => data.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(data(1), [0x25, 0, 0xAC, 0x20, 0, 0]);
    assert_eq!(data(2), [0x61, 0, 0, 0, 0x62, 0, 0, 0, 0, 0]);
    assert_eq!(data(3), [0x80]);
}

#[test]
fn errors_name_their_line() {
    assert!(matches!(parse(b"REGEDIT5\n"), Err(Error::Header { line: 1, .. })));
    assert!(matches!(parse(b""), Err(Error::Header { line: 1, .. })));
    assert_fails("\"a\"=\"b\"\r\nnonsense", 5, "neither");
    assert_fails("\"a\"=\"b\" c", 4, "behind");
    assert_fails("\"a\"=\"C:\\temp\"", 4, "backslash");
    assert_fails("\"a\"=dword:123456789", 4, "dword");
    assert_fails("\"a\"=dword:", 4, "dword");
    assert_fails("\"a\"=hex:1g", 4, "hex");
    assert_fails("\"a\"=hex:01 02", 4, "hex");
    assert_fails("\"a\"=hex:01,\\ 02", 4, "backslash");
    assert_fails("\"a\"=hex(xyz):01", 4, "unknown");
    assert_fails("\"a\"=hex(+2):01", 4, "unknown");
    assert_fails("\"a\"=word", 4, "neither a string");
    assert_fails("\"a\" \"b\"", 4, "'='");
    assert_fails("\r\n\r\n\"a\"=\"no end\r\n\r\n", 6, "closing");
    assert_fails("[HKLM\\x", 4, "bracket");
    assert_fails("[-HKLM\\x]\r\n\"a\"=\"b\"", 5, "deleted");
    let before = parse(b"REGEDIT4\n\"a\"=\"b\"\n");
    assert!(matches!(before, Err(Error::Syntax { line: 2, what }) if what.contains("before any key")));
}

/// A self-relative security descriptor with nothing in it.
const DESCRIPTOR: [u8; 20] = [1, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn empty_hive() -> Hive {
    Hive::new(&NewHive { minor: 5, file_name: "T", root_name: "ROOT", security: &DESCRIPTOR, last_written: 1 }).unwrap()
}

/// Applies changes below `prefix` to a hive.
fn apply(hive: &mut Hive, prefix: &str, changes: &[Change]) {
    let below = |path: &str| path.strip_prefix(prefix).unwrap().to_owned();
    for change in changes {
        match change {
            Change::CreateKey { path } => {
                hive.create_path(&below(path), 2).unwrap();
            }
            Change::DeleteKey { path } => {
                if let Some(key) = hive.open(&below(path)).unwrap() {
                    hive.delete_key(key, 2).unwrap();
                }
            }
            Change::SetValue { path, name, kind, data } => {
                let key = hive.create_path(&below(path), 2).unwrap();
                hive.set_value(key, name, *kind, data, 2).unwrap();
            }
            Change::DeleteValue { path, name } => {
                if let Some(key) = hive.open(&below(path)).unwrap() {
                    hive.delete_value(key, name, 2).unwrap();
                }
            }
        }
    }
}

#[test]
fn an_export_is_as_regedit_writes_it() {
    let mut hive = empty_hive();
    let key = hive.create_path(r"Vendor\App", 1).unwrap();
    hive.set_value(key, "x", ValueKind::DWORD, &[0xCD, 0xAB, 0, 0], 1).unwrap();
    // The first bytes of a real export of regedit: 22 bytes on the first line, 25 on the next.
    let bytes: Vec<u8> = (0x46..0x46 + 50).collect();
    hive.set_value(key, "appid", ValueKind::BINARY, &bytes, 1).unwrap();
    hive.set_value(key, &"long ".repeat(20), ValueKind::EXPAND_SZ, &[0x25, 0], 1).unwrap();
    let (kind, data) = Data::Text("C:\\ \"x\"".into()).encode();
    hive.set_value(key, "", kind, &data, 1).unwrap();
    hive.set_value(key, "no end", ValueKind::SZ, &[0x41, 0], 1).unwrap();
    let vendor = hive.open("Vendor").unwrap().unwrap();
    let text = export(&hive, vendor, r"HKEY_LOCAL_MACHINE\SOFTWARE\Vendor").unwrap();
    let expected = [
        "Windows Registry Editor Version 5.00",
        "",
        r"[HKEY_LOCAL_MACHINE\SOFTWARE\Vendor]",
        "",
        r"[HKEY_LOCAL_MACHINE\SOFTWARE\Vendor\App]",
        r#"@="C:\\ \"x\"""#,
        r#""x"=dword:0000abcd"#,
        r#""appid"=hex:46,47,48,49,4a,4b,4c,4d,4e,4f,50,51,52,53,54,55,56,57,58,59,5a,5b,\"#,
        r"  5c,5d,5e,5f,60,61,62,63,64,65,66,67,68,69,6a,6b,6c,6d,6e,6f,70,71,72,73,74,\",
        r"  75,76,77",
        &format!("\"{}\"=hex(2):\\", "long ".repeat(20)),
        r"  25,00",
        r#""no end"=hex(1):41,00"#,
        "",
        "",
    ];
    assert_eq!(text, expected.join("\r\n"));
}

#[test]
fn an_export_comes_back() {
    let mut hive = empty_hive();
    let kinds = [0, 1, 2, 3, 4, 7, 11, 0x0010_0000];
    for (index, kind) in kinds.into_iter().cycle().take(120).enumerate() {
        let key = hive.create_path(&format!(r"k{}\Ünï {}]", index % 7, index % 3), 2).unwrap();
        let data: Vec<u8> = (0..index * 3 % 101).map(|byte| (byte * 31 + index) as u8).collect();
        let (kind, data) = if index % 5 == 0 { Data::Text(format!("text\r\n{index} \\\"")).encode() } else { (ValueKind(kind), data) };
        hive.set_value(key, &format!("näme \\ \" {index}"), kind, &data, 2).unwrap();
    }
    let text = export(&hive, hive.root(), "HKEY_LOCAL_MACHINE\\X").unwrap();
    let mut again = empty_hive();
    apply(&mut again, "HKEY_LOCAL_MACHINE\\X", &parse(&encode(&text)).unwrap());
    assert_eq!(export(&again, again.root(), "HKEY_LOCAL_MACHINE\\X").unwrap(), text);
    assert_eq!(again.verify().problems, []);
}

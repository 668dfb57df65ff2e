//! hivexregedit as judge: merging a script with it must leave what applying our reading of it leaves.

use std::process::Command;

use super::super::{encode, export, parse};
use super::{apply, empty_hive};
use crate::regf::Hive;

const PREFIX: &str = r"HKEY_LOCAL_MACHINE\SOFTWARE";

/// What hivexregedit makes of a hive and a script.
fn merge(hive: &Hive, script: &[u8]) -> Hive {
    let folder = tempfile::tempdir().unwrap();
    let (hive_path, script_path) = (folder.path().join("hive"), folder.path().join("script.reg"));
    std::fs::write(&hive_path, hive.to_bytes()).unwrap();
    std::fs::write(&script_path, script).unwrap();
    wimwright_testkit::run(Command::new("hivexregedit").args(["--merge", "--prefix", PREFIX]).arg(&hive_path).arg(&script_path));
    Hive::from_bytes(std::fs::read(hive_path).unwrap()).unwrap()
}

/// A key's path and values.
#[derive(Debug, PartialEq)]
struct Contents {
    path: String,
    values: Vec<(String, u32, Vec<u8>)>,
}

/// The contents of a hive, whatever the order of values.
fn contents(hive: &Hive) -> Vec<Contents> {
    let keys = hive.walk(hive.root()).map(|step| step.unwrap().0);
    keys.map(|key| {
        let values = hive.values(key).unwrap().into_iter();
        let mut values: Vec<_> = values.map(|value| (value.name(), value.kind().0, value.data().unwrap().into_owned())).collect();
        values.sort();
        Contents { path: hive.path(key).unwrap(), values }
    })
    .collect()
}

#[test]
fn oracle_hivexregedit_merges_the_same() {
    if !wimwright_testkit::oracles(&["hivexregedit"]) {
        return;
    }
    let script = concat!(
        "Windows Registry Editor Version 5.00\r\n\r\n",
        "[HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n",
        "@=\"default\"\r\n",
        "\"path\"=\"C:\\\\Windows \\\"x\\\"\"\r\n",
        "\"number\"=dword:0000abcd\r\n",
        "\"bytes\"=hex:01,02,03,\\\r\n  04,05\r\n",
        "\"expand\"=hex(2):25,00,78,00,25,00,00,00\r\n",
        "\"quad\"=hex(b):01,02,03,04,05,06,07,08\r\n",
        "\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\A\\B]\r\n",
        "\"gone\"=\"x\"\r\n\"kept\"=\"y\"\r\n",
        "\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\C]\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\C\\D]\r\n@=\"e\"\r\n",
        "\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\A\\B]\r\n\"gone\"=-\r\n",
        "\r\n[-HKEY_LOCAL_MACHINE\\SOFTWARE\\C]\r\n",
    );
    let hive = empty_hive();
    let theirs = merge(&hive, script.as_bytes());
    let mut ours = hive;
    apply(&mut ours, PREFIX, &parse(script.as_bytes()).unwrap());
    assert_eq!(contents(&ours), contents(&theirs));
}

#[test]
fn real_hives_exported_merge_the_same_by_hivexregedit() {
    // SAM hives are left to ourselves: hivexregedit reads the number of a hex(…) type only where it is decimal.
    for (name, judged) in
        [("yarp/RemnantData", true), ("ezimm/UsrClassDeletedBags.dat", true), ("plaso/100_sub_keys.hiv", true), ("ezimm/SAM", false)]
    {
        let Some(path) = wimwright_testkit::test_data(&format!("hives/{name}")) else { return };
        let source = Hive::from_bytes(std::fs::read(path).unwrap()).unwrap();
        let text = export(&source, source.root(), PREFIX).unwrap();
        let mut ours = empty_hive();
        apply(&mut ours, PREFIX, &parse(&encode(&text)).unwrap());
        assert_eq!(contents(&ours), contents(&source), "{name}");
        if judged && wimwright_testkit::oracles(&["hivexregedit"]) {
            assert_eq!(contents(&merge(&empty_hive(), text.as_bytes())), contents(&source), "hivexregedit on {name}");
        }
    }
}

#[test]
fn real_scripts_are_read() {
    for name in ["PermanentInjection", "TemporaryInjection"] {
        let Some(path) = wimwright_testkit::test_data(&format!("manifests/cmdinjector/{name}.reg")) else { return };
        let bytes = std::fs::read(path).unwrap();
        // These have no string over several lines: each key and value starts a line.
        let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).skip(1).collect();
        let expected = String::from_utf16(&units).unwrap().lines().filter(|line| line.starts_with(['[', '"', '@'])).count();
        assert_eq!(parse(&bytes).unwrap().len(), expected, "{name}");
    }
}

//! Other readers of hives as judges: hivex and regipy must read what we read, of real hives and of edited ones.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

use sha1::{Digest as _, Sha1};

use super::super::{Hive, KeyId, ValueKind};
use super::{REAL_HIVES, assert_sound, descriptor, empty, hive_file};

/// The most bytes of a hive that regipy is asked to read: it needs seconds for a megabyte.
const REGIPY_LIMIT: usize = 1_000_000;

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// What a hive holds, in sorted lines, as the scripts write it.
fn dump(hive: &Hive, with_class: bool) -> String {
    let mut lines = Vec::new();
    let mut waiting = vec![(hive.root(), String::new())];
    while let Some((key, at)) = waiting.pop() {
        let mut line = format!("k {at} {}", hive.last_written(key).unwrap());
        if with_class {
            line += &format!(" {}", hive.class(key).unwrap().map_or_else(|| "-".to_owned(), |class| hex(&class)));
        }
        lines.push(line);
        for value in hive.values(key).unwrap() {
            let data = value.data().unwrap();
            let digest = Sha1::digest(&*data).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            lines.push(format!("v {at} {} {} {} {digest}", hex(&value.name()), value.kind().0, data.len()));
        }
        for child in hive.subkeys(key).unwrap() {
            waiting.push((child, format!("{at}/{}", hex(&hive.name(child).unwrap()))));
        }
    }
    lines.sort();
    lines.join("\n")
}

struct Oracle {
    module: &'static str,
    script: &'static str,
    with_class: bool,
    limit: usize,
    /// Hives that it does not read as we do, with the reason.
    disagreements: &'static [(&'static str, &'static str)],
}

const HIVEX: Oracle = Oracle {
    module: "hivex",
    script: include_str!("oracle_hivex.py"),
    with_class: false,
    limit: usize::MAX,
    disagreements: &[
        ("yarp/EffectiveSizeHive", "refused: wrong checksum"),
        ("yarp/GarbageHive", "refused: wrong checksum"),
        ("yarp/System_Delta", "refused: a tombstone value has no data cell"),
        ("yarp/TruncatedPairHive", "refused: a name with an unpaired surrogate"),
        ("yarp/TruncatedPairHive2", "refused: a name with an unpaired surrogate"),
    ],
};

const REGIPY: Oracle =
    Oracle { module: "regipy", script: include_str!("oracle_regipy.py"), with_class: true, limit: REGIPY_LIMIT, disagreements: &[] };

impl Oracle {
    /// Compares what the oracle reads of each hive with what we read.
    fn judge(&self, hives: &[(String, Vec<u8>)]) {
        let folder = tempfile::tempdir().unwrap();
        let path = |index: usize, suffix: &str| folder.path().join(format!("{index}{suffix}"));
        let mut list = String::new();
        for (index, (_, bytes)) in hives.iter().enumerate() {
            std::fs::write(path(index, ""), bytes).unwrap();
            writeln!(list, "{}\t{}", path(index, "").display(), path(index, ".dump").display()).unwrap();
        }
        self.run(folder.path(), &list);
        let mut surprises = Vec::new();
        for (index, (name, bytes)) in hives.iter().enumerate() {
            let theirs = std::fs::read_to_string(path(index, ".dump")).unwrap();
            let ours = dump(&Hive::from_bytes(bytes.clone()).unwrap(), self.with_class);
            let known = self.disagreements.iter().any(|(known, _)| known == name);
            if known == (theirs == ours) {
                let (ours, theirs): (Vec<_>, Vec<_>) = (ours.lines().collect(), theirs.lines().collect());
                let only_ours: Vec<_> = ours.iter().filter(|line| theirs.binary_search(line).is_err()).take(3).collect();
                let only_theirs: Vec<_> = theirs.iter().filter(|line| ours.binary_search(line).is_err()).take(3).collect();
                surprises.push(format!("{name}: only ours {only_ours:#?}, only theirs {only_theirs:#?}"));
            }
        }
        assert!(surprises.is_empty(), "{}: {}", self.module, surprises.join("\n"));
    }

    fn run(&self, folder: &Path, list: &str) {
        let input = folder.join("list");
        std::fs::write(&input, list).unwrap();
        let mut python = wimwright_testkit::python();
        python.args(["-c", self.script]).stdin(Stdio::from(std::fs::File::open(input).unwrap()));
        wimwright_testkit::run(&mut python);
    }

    fn is_here(&self) -> bool {
        wimwright_testkit::python_oracles(&[self.module])
    }

    /// The real hives that the oracle is asked about.
    fn real_hives(&self) -> Vec<(String, Vec<u8>)> {
        let files = REAL_HIVES.iter().filter_map(|name| Some(((*name).to_owned(), hive_file(&format!("hives/{name}"))?)));
        files.filter(|(_, bytes)| bytes.len() <= self.limit).collect()
    }
}

/// Edits of every kind, all over a hive.
fn edit_everywhere(hive: &mut Hive) {
    let root = hive.root();
    let keys: Vec<KeyId> = hive.walk(root).map(|step| step.unwrap().0).step_by(7).take(60).collect();
    for (index, key) in keys.iter().enumerate() {
        let size = [0, 3, 9, 200, 5000, 16_344, 16_345, 50_000][index % 8];
        let data: Vec<u8> = (0..size).map(|byte| (byte * 7 + index) as u8).collect();
        hive.set_value(*key, &format!("Wimwright {index}"), ValueKind::BINARY, &data, 0x01D9_0000_0000_0000).unwrap();
        let first = hive.values(*key).unwrap().first().map(|value| value.name()).unwrap();
        if index % 3 == 0 {
            hive.delete_value(*key, &first, 0x01D9_0000_0000_0001).unwrap();
        }
        hive.set_class(*key, (index % 4 == 0).then_some("Clâss"), 0x01D9_0000_0000_0002).unwrap();
        hive.set_security(*key, &descriptor(&[0; 4][..index % 5])).unwrap();
        let child = hive.create_key(*key, &format!("Näme {index} {}", "long".repeat(index)), 0x01D9_0000_0000_0003).unwrap();
        hive.rename_key(child, "Wïmwright 漢", 0x01D9_0000_0000_0004).unwrap();
    }
    for index in 0..1500 {
        hive.create_path(&format!(r"Wimwright many\{index}"), 0x01D9_0000_0000_0005).unwrap();
    }
    let children = hive.subkeys(root).unwrap();
    if children.len() > 2 {
        hive.delete_key(children[0], 0x01D9_0000_0000_0006).unwrap();
    }
    assert_eq!(hive.verify().problems.iter().filter(|problem| problem.kind.blocks_editing()).count(), 0);
}

fn judge_edits(oracle: &Oracle) {
    let mut hives: Vec<(String, Vec<u8>)> = (3..=5).map(|minor| (format!("new 1.{minor}"), empty(minor).into_bytes())).collect();
    hives.extend(oracle.real_hives().into_iter().filter(|(name, _)| !oracle.disagreements.iter().any(|(known, _)| known == name)));
    let mut edited = Vec::new();
    for (name, bytes) in hives {
        let mut hive = Hive::from_bytes(bytes).unwrap();
        hive.accept_dirty();
        let before = hive.verify();
        if before.problems.is_empty() {
            edit_everywhere(&mut hive);
            if before.lost_cells == 0 {
                assert_sound(&hive);
            }
            edited.push((name, hive.into_bytes()));
        }
    }
    oracle.judge(&edited);
}

#[test]
fn oracle_hivex_reads_real_hives_as_we_do() {
    if HIVEX.is_here() {
        HIVEX.judge(&HIVEX.real_hives());
    }
}

#[test]
fn oracle_hivex_reads_edited_hives_as_we_do() {
    if HIVEX.is_here() {
        judge_edits(&HIVEX);
    }
}

#[test]
fn oracle_regipy_reads_real_hives_as_we_do() {
    if REGIPY.is_here() {
        REGIPY.judge(&REGIPY.real_hives());
    }
}

#[test]
fn oracle_regipy_reads_edited_hives_as_we_do() {
    if REGIPY.is_here() {
        judge_edits(&REGIPY);
    }
}

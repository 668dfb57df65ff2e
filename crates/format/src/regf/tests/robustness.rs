//! Damaged hives: every one must be read to a value or an error, in bounded time, and never harm an edit.

use std::sync::Arc;

use super::super::{Hive, KeyId, ValueKind};
use super::{descriptor, empty, hive_file};

/// A small hive with every structure: all list kinds, big data, class names, two security cells.
fn sample() -> Vec<u8> {
    let mut hive = empty(5);
    let key = hive.create_path(r"a\b", 3).unwrap();
    hive.set_class(key, Some("class"), 3).unwrap();
    hive.set_security(key, &descriptor(&[1; 4])).unwrap();
    hive.set_value(key, "big", ValueKind::BINARY, &[7; 20_000], 3).unwrap();
    hive.set_value(key, "small", ValueKind::DWORD, &[7; 4], 3).unwrap();
    let many = hive.create_path("many", 3).unwrap();
    for index in 0..1100 {
        hive.create_key(many, &index.to_string(), 3).unwrap();
    }
    hive.into_bytes()
}

/// Reads and edits whatever can be.
fn use_all_of(file: Vec<u8>) {
    if let Ok(hive) = Hive::open_file(Arc::new(file.clone())) {
        use_hive(hive);
    }
    if let Ok(hive) = Hive::from_bytes(file) {
        use_hive(hive);
    }
}

fn use_hive<S>(mut hive: Hive<S>) {
    for step in hive.walk(hive.root()) {
        let Ok((key, _)) = step else { break };
        look_at(&hive, key);
    }
    let verification = hive.verify();
    hive.accept_dirty();
    let root = hive.root();
    let edits = |hive: &mut Hive<S>| {
        let key = hive.create_path(r"a\new", 9)?;
        hive.set_value(key, "value", ValueKind::SZ, &[0; 300], 9)?;
        hive.set_security(key, &descriptor(&[2; 4]))?;
        for child in hive.subkeys(root)? {
            hive.delete_key(child, 9)?;
        }
        Ok::<_, super::super::Error>(())
    };
    let outcome = edits(&mut hive);
    if outcome.is_ok() && verification.problems.is_empty() {
        assert_eq!(hive.verify().problems, []);
    }
}

fn look_at<S>(hive: &Hive<S>, key: KeyId) {
    let (_name, _class, _security, _path) = (hive.name(key), hive.class(key), hive.security(key), hive.path(key));
    let _found = hive.subkey(key, "x");
    for value in hive.values(key).into_iter().flatten() {
        let _data = value.data();
    }
}

/// Numbers that look random and are the same each time.
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    move |limit| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    }
}

fn damage_and_use(sample: &[u8], times: usize) {
    let mut random = numbers();
    // Structures lie at the start of the bins; the rest is mostly a long list.
    let interesting = sample.len().min(16_384);
    for round in 0..times {
        let mut file = sample.to_vec();
        for _ in 0..=round % 3 {
            let at = if round % 4 == 0 { random(sample.len()) } else { 4096 + random(interesting - 4096) };
            file[at] = [0, 0xFF, 0x80, 1, random(256) as u8][random(5)];
        }
        use_all_of(file);
    }
    for _ in 0..times / 10 {
        use_all_of(sample[..random(sample.len())].to_vec());
    }
}

#[test]
fn damaged_hives_never_panic() {
    damage_and_use(&sample(), 1500);
}

#[test]
fn real_hives_damaged_never_panic() {
    for name in ["yarp/BadListHive", "nt-hive-testhive", "yarp/System_Delta"] {
        let Some(bytes) = hive_file(&format!("hives/{name}")) else { return };
        damage_and_use(&bytes, 150);
    }
}

#[test]
fn real_damaged_logs_never_panic() {
    for (primary, log) in [
        ("yarp/NewDirtyHive1/NewDirtyHive", "yarp/NewDirtyHive1/NewDirtyHive.LOG1"),
        ("yarp/OldDirtyHive/OldDirtyHive", "yarp/OldDirtyHive/OldDirtyHive.LOG1"),
    ] {
        let (Some(primary), Some(log)) = (hive_file(&format!("hives/{primary}")), hive_file(&format!("hives/{log}"))) else { return };
        let mut random = numbers();
        for _ in 0..300 {
            let mut damaged = log.clone();
            let at = random(1200);
            damaged[at] ^= 1 << random(8);
            if let Ok(hive) = Hive::recover(primary.clone(), &[&damaged]) {
                assert!(!hive.is_dirty());
                look_at(&hive, hive.root());
            }
        }
    }
}

#[test]
fn circles_end() {
    let mut hive = empty(5);
    let a = hive.create_path("a", 1).unwrap();
    let b = hive.create_path(r"a\b", 1).unwrap();
    let mut file = hive.into_bytes();
    // Let b have a's list of subkeys: b is its own child.
    let list = |cell: KeyId| 4096 + cell.cell() as usize + 4 + 28;
    let (from, to) = (list(a), list(b));
    file.copy_within(from..from + 4, to);
    file[to - 8] = 1;
    let hive = Hive::from_bytes(file).unwrap();
    assert!(hive.walk(hive.root()).last().unwrap().is_err());
    assert!(hive.verify().problems.iter().any(|problem| problem.kind == super::super::ProblemKind::Shared));
}

#[test]
fn lists_shared_by_many_keys_end() {
    let mut hive = empty(5);
    let root = hive.root();
    for index in 0..1000 {
        let key = hive.create_key(root, &format!("k{index}"), 1).unwrap();
        hive.create_key(key, "child", 1).unwrap();
    }
    let keys = hive.subkeys(root).unwrap();
    let mut file = hive.into_bytes();
    // Every key gets the root's list: a thousand keys of a thousand keys each, to any depth.
    let field = |cell: KeyId, at: usize| 4096 + cell.cell() as usize + 4 + at;
    for key in keys {
        for at in [20, 28] {
            let from = field(root, at);
            file.copy_within(from..from + 4, field(key, at));
        }
    }
    let hive = Hive::from_bytes(file).unwrap();
    assert!(hive.walk(hive.root()).last().unwrap().is_err());
    assert!(!hive.verify().problems.is_empty());
}

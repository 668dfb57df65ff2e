//! Real hives: what the check says of them, and what their logs make of them.

use super::super::{Error, Hive, ProblemKind};
use super::{REAL_HIVES, hive_file};

fn file(name: &str) -> Option<Vec<u8>> {
    hive_file(&format!("hives/{name}"))
}

/// Hives of the test data with something wrong, and what the check must say of each.
fn expected_problem(name: &str) -> Option<fn(&ProblemKind) -> bool> {
    Some(match name {
        "yarp/BadListHive" | "yarp/BadSubkeyHive" => |kind| *kind == ProblemKind::Shared,
        "yarp/CompHive" => |kind| matches!(kind, ProblemKind::NameTag { .. }),
        "yarp/HealedHive" => |kind| matches!(kind, ProblemKind::References { stored: 8, counted: 4 }),
        "yarp/InvalidParentHive" => |kind| matches!(kind, ProblemKind::Parent { stored: 0x20, parent: 0x140 }),
        "yarp/WrongOrderHive" => |kind| *kind == ProblemKind::Order,
        _ => return None,
    })
}

#[test]
fn real_hives_of_windows_are_sound() {
    for name in REAL_HIVES {
        let Some(bytes) = file(name) else { return };
        let hive = Hive::from_bytes(bytes.clone()).unwrap();
        let problems = hive.verify().problems;
        match expected_problem(name) {
            Some(expected) => assert!(problems.iter().any(|problem| expected(&problem.kind)), "{name}: {problems:?}"),
            None => assert_eq!(problems, [], "{name}"),
        }
        assert!(hive.into_bytes() == bytes, "{name}: an unmodified hive must come out as it came in");
    }
}

#[test]
fn real_damaged_hives_are_refused_or_reported() {
    let refused = |name: &str, expected: fn(&Error) -> bool| {
        let Some(bytes) = file(name) else { return };
        let error = Hive::from_bytes(bytes).unwrap_err();
        assert!(expected(&error), "{name}: {error}");
    };
    refused("dfwinreg/SYSTEM.DAT", |error| matches!(error, Error::NotAHive { .. }));
    refused("ezimm/NotAHive", |error| matches!(error, Error::NotAHive { .. }));
    refused("yarp/SqliteFragment", |error| matches!(error, Error::NotAHive { .. }));
    refused("yarp/TruncatedHive", |error| matches!(error, Error::Truncated { needed: 491_520, available: 12_288 }));
    refused("yarp/BadBaseBlockHive/BadBaseBlockHive", |error| matches!(error, Error::Version { major: 1, minor: 1 }));
    refused("bcd/installed-bios.LOG", |error| matches!(error, Error::Log { file_type: 6 }));
    refused("yarp/OldDirtyHive/OldDirtyHive.LOG1", |error| matches!(error, Error::Log { file_type: 1 }));

    // What is damaged for every edit, and what only for edits that free something.
    for (name, for_all) in [
        ("ezimm/SAMBadHBinHeader", true),
        ("regipy/corrupted_system_hive.xz", true),
        ("plaso/corrupt_sub_key_list.hiv", false),
        ("yarp/BadListHive", false),
        ("yarp/BadSubkeyHive", false),
    ] {
        let Some(bytes) = file(name) else { return };
        let mut hive = Hive::from_bytes(bytes.clone()).unwrap();
        assert!(hive.verify().problems.iter().any(|problem| problem.kind.blocks_editing()), "{name}");
        let root = hive.root();
        let refused = if for_all { hive.set_last_written(root, 1) } else { hive.set_security(root, &super::descriptor(&[])) };
        assert!(matches!(refused, Err(Error::Unsafe { .. })), "{name}: {refused:?}");
        assert!(!hive.is_modified() && hive.into_bytes() == bytes, "{name}: a refused edit must change nothing");
    }
}

#[test]
fn real_unsorted_lists_are_read_but_not_edited() {
    let Some(bytes) = file("yarp/WrongOrderHive") else { return };
    let mut hive = Hive::from_bytes(bytes).unwrap();
    for name in ["1", "2", "3", "4"] {
        assert!(hive.open(&format!(r"1\{name}")).unwrap().is_some(), "{name}");
    }
    let unsorted = hive.open("1").unwrap().unwrap();
    assert!(matches!(hive.create_key(unsorted, "5", 1), Err(Error::Unsorted { .. })));
    let sorted = hive.root();
    hive.create_key(sorted, "5", 1).unwrap();
}

/// A key's path, time and values.
#[derive(Debug, PartialEq)]
struct Contents {
    path: String,
    last_written: u64,
    values: Vec<(String, u32, Vec<u8>)>,
}

/// Everything in a hive.
fn contents(hive: &Hive) -> Vec<Contents> {
    let keys = hive.walk(hive.root()).map(|step| step.unwrap().0);
    keys.map(|key| {
        let values = hive.values(key).unwrap().into_iter();
        let values = values.map(|value| (value.name(), value.kind().0, value.data().unwrap().into_owned())).collect();
        Contents { path: hive.path(key).unwrap(), last_written: hive.last_written(key).unwrap(), values }
    })
    .collect()
}

fn recover(primary: &str, logs: &[&str]) -> Option<Result<Hive, Error>> {
    let logs: Vec<Vec<u8>> = logs.iter().map(|log| file(log)).collect::<Option<_>>()?;
    let logs: Vec<&[u8]> = logs.iter().map(Vec::as_slice).collect();
    Some(Hive::recover(file(primary)?, &logs))
}

#[test]
fn real_dirty_hives_recover_as_in_windows() {
    let pairs: [(&str, &[&str], &str); 2] = [
        (
            "yarp/NewDirtyHive1/NewDirtyHive",
            &["yarp/NewDirtyHive1/NewDirtyHive.LOG1", "yarp/NewDirtyHive1/NewDirtyHive.LOG2"],
            "yarp/NewDirtyHive1/RecoveredHive_Windows10",
        ),
        ("yarp/OldDirtyHive/OldDirtyHive", &["yarp/OldDirtyHive/OldDirtyHive.LOG1"], "yarp/OldDirtyHive/RecoveredHive_Windows7"),
    ];
    for (primary, logs, windows) in pairs {
        let Some(recovered) = recover(primary, logs) else { return };
        let recovered = recovered.unwrap();
        assert!(!recovered.is_dirty() && recovered.is_modified());
        assert_eq!(recovered.verify().problems, [], "{primary}");
        let mut updated = std::io::Cursor::new(file(primary).unwrap());
        recovered.clone().update(&mut updated).unwrap();
        assert!(updated.into_inner() == recovered.to_bytes(), "{primary}");
        let windows = Hive::from_bytes(file(windows).unwrap()).unwrap();
        let (ours, theirs) = (contents(&recovered), contents(&windows));
        let difference = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs);
        assert_eq!(ours.len(), theirs.len());
        assert_eq!(difference, None, "{primary}");
    }
}

#[test]
fn real_large_dirty_hives_recover_soundly() {
    let pairs: [(&str, &[&str]); 2] = [
        ("regipy/SYSTEM_B.xz", &["regipy/SYSTEM_B.LOG1.xz", "regipy/SYSTEM_B.LOG2.xz"]),
        ("regipy/transactions_NTUSER.DAT.xz", &["regipy/transactions_ntuser.dat.log1.xz", "regipy/transactions_ntuser.dat.log2.xz"]),
    ];
    for (primary, logs) in pairs {
        let Some(recovered) = recover(primary, logs) else { return };
        let recovered = recovered.unwrap();
        assert_eq!(recovered.verify().problems, [], "{primary}");
        let before = Hive::from_bytes(file(primary).unwrap()).unwrap();
        assert_ne!(contents(&before), contents(&recovered), "{primary}: the logs change something");
        let mut edited = recovered;
        let root = edited.root();
        edited.create_key(root, "after recovery", 1).unwrap();
        assert_eq!(edited.verify().problems, []);
    }
}

#[test]
fn real_base_blocks_come_back_from_the_log_and_bad_logs_are_refused() {
    let folder = "yarp/BadBaseBlockHive/BadBaseBlockHive";
    let Some(recovered) = recover(folder, &[&format!("{folder}.LOG1")]) else { return };
    let recovered = recovered.unwrap();
    assert_eq!((recovered.minor_version(), recovered.verify().keys), (3, 5003));
    for folder in ["yarp/BadLogHive1/BadLogHive", "yarp/BadLogHive2/BadLogHive"] {
        let refused = recover(folder, &[&format!("{folder}.LOG1")]).unwrap();
        assert!(refused.is_err(), "{folder}");
        let mut hive = Hive::from_bytes(file(folder).unwrap()).unwrap();
        let root = hive.root();
        assert!(matches!(hive.create_key(root, "x", 1), Err(Error::Dirty)));
        hive.accept_dirty();
        hive.create_key(root, "x", 1).unwrap();
        assert!(!Hive::from_bytes(hive.into_bytes()).unwrap().is_dirty());
    }
}

#[test]
fn real_untouched_cells_keep_their_bytes() {
    let Some(bytes) = file("notatin/win7_ntuser.dat") else { return };
    let mut hive = Hive::from_bytes(bytes.clone()).unwrap();
    let key = hive.open(r"Software\Microsoft").unwrap().unwrap();
    let child = hive.create_key(key, "Wimwright", 5).unwrap();
    hive.delete_key(child, 5).unwrap();
    let after = hive.into_bytes();
    assert_eq!(after.len(), bytes.len());
    let changed = bytes.iter().zip(&after).filter(|(before, after)| before != after).count();
    // The base block, the parent's time, its list (moved to a larger cell) and what that cell left behind.
    assert!(changed < 3000, "{changed} bytes changed");
}

//! Edits against a simple model.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::sync::Arc;

use proptest::prelude::*;

use super::super::{Data, Error, Hive, KeyId, ValueKind};
use super::{assert_sound, descriptor, empty};

#[test]
fn a_new_hive_is_sound_and_opens_again() {
    for minor in 3..=6 {
        let hive = empty(minor);
        assert_sound(&hive);
        let file = hive.to_bytes();
        assert_eq!(file.len(), 8192);
        let again = Hive::from_bytes(file.clone()).unwrap();
        assert!(!again.is_dirty());
        assert_eq!(again.root().cell(), 0x20);
        assert_eq!(again.name(again.root()).unwrap(), "ROOT");
        assert_eq!(again.into_bytes(), file);
    }
}

#[test]
fn keys_and_values_of_every_size() {
    for minor in [3, 5] {
        let mut hive = empty(minor);
        let key = hive.create_path(r"Software\Ünïcode\日本", 9).unwrap();
        let sizes = [0, 1, 4, 5, 100, 16_344, 16_345, 40_000, 200_000];
        for size in sizes {
            let data: Vec<u8> = (0..size).map(|index| index as u8).collect();
            hive.set_value(key, &format!("v{size}"), ValueKind::BINARY, &data, 10).unwrap();
        }
        assert_sound(&hive);
        let hive = Hive::from_bytes(hive.into_bytes()).unwrap();
        let key = hive.open(r"SOFTWARE\üNÏCODE\日本").unwrap().unwrap();
        assert_eq!(hive.last_written(key).unwrap(), 10);
        assert_eq!(hive.path(key).unwrap(), r"Software\Ünïcode\日本");
        for size in sizes {
            let value = hive.value(key, &format!("V{size}")).unwrap().unwrap();
            let data: Vec<u8> = (0..size).map(|index| index as u8).collect();
            assert_eq!(&*value.data().unwrap(), &data[..]);
        }
        assert_eq!(hive.values(key).unwrap().len(), sizes.len());
    }
}

#[test]
fn an_update_writes_only_pages_that_changed() {
    /// Counts the bytes that are written to it.
    struct Counting(Cursor<Vec<u8>>, usize);
    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += bytes.len();
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
    impl Seek for Counting {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let mut hive = empty(5);
    for number in 0..2000 {
        let key = hive.create_key(hive.root(), &format!("key {number}"), 0).unwrap();
        hive.set_data(key, "value", &Data::Text("text".repeat(20)), 0).unwrap();
    }
    let file = hive.into_bytes();
    let mut hive = Hive::from_bytes(file.clone()).unwrap();
    let mut output = Counting(Cursor::new(file.clone()), 0);
    hive.clone().update(&mut output).unwrap();
    assert_eq!(output.1, 0, "nothing changed");
    let key = hive.open("key 1234").unwrap().unwrap();
    hive.set_data(key, "value", &Data::Dword(1), 0).unwrap();
    hive.clone().update(&mut output).unwrap();
    assert!(output.1 < 5 * 4096 && file.len() > 100 * 4096, "{} of {} bytes", output.1, file.len());
    assert!(*output.0.get_ref() == hive.into_bytes());
    // Interrupted: the sequence numbers tell.
    let mut interrupted = file;
    interrupted[4] += 1;
    assert!(Hive::from_bytes(interrupted).unwrap().is_dirty());
}

#[test]
fn data_by_type_comes_back() {
    let mut hive = empty(5);
    let root = hive.root();
    let texts = |texts: &[&str]| Data::Texts(texts.iter().map(|text| (*text).to_owned()).collect());
    for data in [
        Data::Text("C:\\Wïndows 漢".into()),
        Data::Text(String::new()),
        Data::ExpandableText("%SystemRoot%".into()),
        texts(&["a", "bc"]),
        texts(&[]),
        Data::Dword(0x8000_0001),
        Data::Qword(u64::MAX),
        Data::Binary(vec![0, 0xFF]),
        Data::Other(ValueKind::LINK, vec![1, 2]),
    ] {
        hive.set_data(root, "v", &data, 1).unwrap();
        assert_eq!(hive.value(root, "V").unwrap().unwrap().decode().unwrap(), data);
    }
    // A number of a wrong size is none; text ends at its first null character, or where the data ends.
    assert_eq!(Data::decode(ValueKind::DWORD, &[1, 2]), Data::Other(ValueKind::DWORD, vec![1, 2]));
    assert_eq!(Data::decode(ValueKind::SZ, &[0x41, 0, 0, 0, 0x42, 0]), Data::Text("A".into()));
    assert_eq!(Data::decode(ValueKind::SZ, &[0x41, 0, 0x42, 0, 0x43]), Data::Text("AB".into()));
}

#[test]
fn lists_split_and_shrink_again() {
    for minor in [3, 5] {
        let mut hive = empty(minor);
        let root = hive.root();
        let empty_size = hive.verify().free_bytes;
        let name = |index: u32| format!("key {:x}", index.wrapping_mul(2_654_435_761));
        for index in 0..5000 {
            hive.create_key(root, &name(index), 1).unwrap();
        }
        assert_sound(&hive);
        let names: Vec<String> = hive.subkeys(root).unwrap().into_iter().map(|key| hive.name(key).unwrap()).collect();
        assert_eq!(names.len(), 5000);
        for index in 0..5000 {
            let key = hive.subkey(root, &name(index)).unwrap().unwrap();
            hive.delete_key(key, 2).unwrap();
            if index == 2500 {
                assert_sound(&hive);
            }
        }
        assert_sound(&hive);
        assert!(hive.subkeys(root).unwrap().is_empty());
        assert!(hive.verify().free_bytes > empty_size);
    }
}

#[test]
fn security_cells_are_shared_and_freed() {
    let mut hive = empty(5);
    let (a, b) = (hive.create_path("a", 1).unwrap(), hive.create_path(r"a\b", 1).unwrap());
    let other = descriptor(&[1; 8]);
    hive.set_security(a, &other).unwrap();
    hive.set_security(b, &other).unwrap();
    assert_sound(&hive);
    assert_eq!(hive.security(a).unwrap(), other);
    let child = hive.create_key(a, "inherits", 1).unwrap();
    assert_eq!(hive.security(child).unwrap(), other);
    hive.set_security(a, &descriptor(&[])).unwrap();
    hive.set_security(b, &descriptor(&[])).unwrap();
    assert_sound(&hive);
    hive.delete_key(child, 1).unwrap();
    assert_sound(&hive);
    assert!(matches!(hive.set_security(a, b"no descriptor"), Err(Error::SecurityDescriptor)));
}

#[test]
fn impossible_edits_are_refused() {
    let mut hive = empty(5);
    let root = hive.root();
    assert!(matches!(hive.delete_key(root, 1), Err(Error::Root)));
    assert!(matches!(hive.create_key(root, "", 1), Err(Error::Name { .. })));
    assert!(matches!(hive.create_key(root, r"a\b", 1), Err(Error::Name { .. })));
    assert!(matches!(hive.create_key(root, &"x".repeat(256), 1), Err(Error::Name { .. })));
    assert!(matches!(hive.set_value(root, &"x".repeat(16_384), ValueKind::SZ, b"", 1), Err(Error::Name { .. })));
    let a = hive.create_key(root, "a", 1).unwrap();
    hive.create_key(root, "b", 1).unwrap();
    assert!(matches!(hive.rename_key(a, "B", 1), Err(Error::Exists { .. })));
    assert_sound(&hive);
}

/// What a key is in the model. Names are in upper case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ModelKey {
    class: Option<String>,
    security: Vec<u8>,
    values: BTreeMap<String, (u32, Vec<u8>)>,
    keys: BTreeMap<String, ModelKey>,
}

impl ModelKey {
    fn at(&mut self, path: &[u8]) -> Option<&mut Self> {
        path.iter().try_fold(self, |key, part| key.keys.get_mut(&name(*part).to_uppercase()))
    }
}

/// The model of what the hive holds.
fn model_of<S>(hive: &Hive<S>, key: KeyId) -> ModelKey {
    let upper = |text: String| text.to_uppercase();
    ModelKey {
        class: hive.class(key).unwrap(),
        security: hive.security(key).unwrap().to_vec(),
        values: hive
            .values(key)
            .unwrap()
            .into_iter()
            .map(|value| (upper(value.name()), (value.kind().0, value.data().unwrap().into_owned())))
            .collect(),
        keys: hive.subkeys(key).unwrap().into_iter().map(|child| (upper(hive.name(child).unwrap()), model_of(hive, child))).collect(),
    }
}

/// A name for a number: some compressed, some not, some of them equal but for case.
fn name(number: u8) -> String {
    let stem = ["Alpha", "ALPHA", "beta", "Ünï", "ünÏ", "漢字", "a", ""][usize::from(number % 8)];
    format!("{stem}{}", "x".repeat(usize::from(number / 8) + 1))
}

#[derive(Debug, Clone)]
enum Edit {
    Create(Vec<u8>, u8),
    Delete(Vec<u8>),
    Rename(Vec<u8>, u8),
    SetValue(Vec<u8>, u8, u32, usize),
    DeleteValue(Vec<u8>, u8),
    SetClass(Vec<u8>, Option<String>),
    SetSecurity(Vec<u8>, u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    let path = || proptest::collection::vec(0..12_u8, 0..4);
    let size = prop_oneof![4 => 0..40_usize, 1 => 0..600_usize, 1 => 16_000..40_000_usize];
    prop_oneof![
        6 => (path(), 0..24_u8).prop_map(|(path, name)| Edit::Create(path, name)),
        2 => path().prop_map(Edit::Delete),
        1 => (path(), 0..24_u8).prop_map(|(path, name)| Edit::Rename(path, name)),
        6 => (path(), 0..24_u8, 0..12_u32, size).prop_map(|(path, name, kind, size)| Edit::SetValue(path, name, kind, size)),
        2 => (path(), 0..24_u8).prop_map(|(path, name)| Edit::DeleteValue(path, name)),
        1 => (path(), proptest::option::of("[a-z漢]{1,20}")).prop_map(|(path, class)| Edit::SetClass(path, class)),
        1 => (path(), 0..3_u8).prop_map(|(path, kind)| Edit::SetSecurity(path, kind)),
    ]
}

/// Applies an edit to both.
fn apply<S>(hive: &mut Hive<S>, model: &mut ModelKey, edit: &Edit) {
    let (Edit::Create(path, _)
    | Edit::Delete(path)
    | Edit::Rename(path, _)
    | Edit::SetValue(path, ..)
    | Edit::DeleteValue(path, _)
    | Edit::SetClass(path, _)
    | Edit::SetSecurity(path, _)) = edit;
    let text: Vec<String> = path.iter().map(|part| name(*part)).collect();
    let key = hive.open(&text.join("\\")).unwrap();
    let there = model.at(path);
    assert_eq!(key.is_some(), there.is_some());
    let (Some(key), Some(there)) = (key, there) else { return };
    match edit {
        Edit::Create(_, child) => {
            hive.create_key(key, &name(*child), 5).unwrap();
            let security = there.security.clone();
            there.keys.entry(name(*child).to_uppercase()).or_insert_with(|| ModelKey { security, ..ModelKey::default() });
        }
        Edit::Delete(path) => {
            let deleted = hive.delete_key(key, 6);
            match path.split_last() {
                Some((last, parent)) => {
                    deleted.unwrap();
                    model.at(parent).unwrap().keys.remove(&name(*last).to_uppercase()).unwrap();
                }
                None => assert!(matches!(deleted, Err(Error::Root))),
            }
        }
        Edit::Rename(path, new) => {
            let renamed = hive.rename_key(key, &name(*new), 7);
            let Some((last, parent)) = path.split_last() else {
                return assert!(matches!(renamed, Err(Error::Root)));
            };
            let siblings = &mut model.at(parent).unwrap().keys;
            let (old, new) = (name(*last).to_uppercase(), name(*new).to_uppercase());
            if old != new && siblings.contains_key(&new) {
                return assert!(matches!(renamed, Err(Error::Exists { .. })));
            }
            renamed.unwrap();
            let moved = siblings.remove(&old).unwrap();
            siblings.insert(new, moved);
        }
        Edit::SetValue(_, value, kind, size) => {
            let data: Vec<u8> = (0..*size).map(|index| (index % 251) as u8 ^ value).collect();
            hive.set_value(key, &name(*value), ValueKind(*kind), &data, 8).unwrap();
            there.values.insert(name(*value).to_uppercase(), (*kind, data));
        }
        Edit::DeleteValue(_, value) => {
            let deleted = hive.delete_value(key, &name(*value), 9).unwrap();
            assert_eq!(deleted, there.values.remove(&name(*value).to_uppercase()).is_some());
        }
        Edit::SetClass(_, class) => {
            hive.set_class(key, class.as_deref(), 10).unwrap();
            there.class.clone_from(class);
        }
        Edit::SetSecurity(_, kind) => {
            let security = descriptor(&vec![*kind; usize::from(*kind) * 4]);
            hive.set_security(key, &security).unwrap();
            there.security = security;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_edits_agree_with_the_model(minor in 3..=6_u32, edits in proptest::collection::vec(edit(), 1..120)) {
        let mut hive = empty(minor);
        let mut model = model_of(&hive, hive.root());
        for edit in &edits {
            apply(&mut hive, &mut model, edit);
        }
        assert_sound(&hive);
        prop_assert_eq!(&model_of(&hive, hive.root()), &model);
        let mut updated = Cursor::new(Vec::new());
        hive.clone().update(&mut updated).unwrap();
        let file = hive.into_bytes();
        prop_assert!(updated.get_ref() == &file, "a new hive, written as an update of nothing");

        let mut again = Hive::from_bytes(file).unwrap();
        assert_sound(&again);
        prop_assert_eq!(&model_of(&again, again.root()), &model);
        for edit in &edits {
            apply(&mut again, &mut model, edit);
        }
        again.clone().update(&mut updated).unwrap();
        prop_assert!(updated.get_ref() == &again.into_bytes(), "an edited hive, written as an update of the file before");
    }
    #[test]
    fn edits_in_many_sessions_agree_with_the_model(sessions in proptest::collection::vec(proptest::collection::vec(edit(), 1..16), 2..12)) {
        let mut file = empty(5).into_bytes();
        let mut model = model_of(&empty(5), empty(5).root());
        for edits in &sessions {
            let mut model_before = model.clone();
            let mut hive = Hive::from_bytes(file.clone()).unwrap();
            for edit in edits {
                apply(&mut hive, &mut model, edit);
            }
            // No cell is used twice, none is lost.
            assert_sound(&hive);
            let mut on_demand = Hive::open_file(Arc::new(file.clone())).unwrap();
            for edit in edits {
                apply(&mut on_demand, &mut model_before, edit);
            }
            prop_assert_eq!(&model_of(&on_demand, on_demand.root()), &model);
            prop_assert_eq!(on_demand.verify(), hive.verify());
            let mut updated_on_demand = Cursor::new(file.clone());
            on_demand.update(&mut updated_on_demand).unwrap();
            let mut updated = Cursor::new(file);
            hive.clone().update(&mut updated).unwrap();
            file = updated.into_inner();
            prop_assert!(file == hive.into_bytes());
            prop_assert!(file == updated_on_demand.into_inner());
            let again = Hive::from_bytes(file.clone()).unwrap();
            assert_sound(&again);
            prop_assert_eq!(&model_of(&again, again.root()), &model);
        }
    }

    #[test]
    fn room_is_used_again_in_later_sessions(sessions in proptest::collection::vec(proptest::collection::vec((0..20_u8, 0..6000_usize), 10), 30)) {
        let mut file = empty(5).into_bytes();
        for edits in &sessions {
            let mut hive = Hive::from_bytes(file).unwrap();
            for (value, size) in edits {
                hive.set_value(hive.root(), &name(*value), ValueKind::BINARY, &vec![7; *size], 5).unwrap();
            }
            assert_sound(&hive);
            file = hive.into_bytes();
        }
        // 20 values of at most 6,000 bytes, though 900,000 bytes were written.
        prop_assert!(file.len() < 20 * 6000 * 2, "{} bytes", file.len());
    }
}

#[test]
fn a_queue_over_many_sessions_does_not_grow_without_end() {
    let mut file = empty(5).into_bytes();
    let mut early = 0;
    for session in 0..150_u32 {
        let mut hive = Hive::from_bytes(file).unwrap();
        // What goes lies far from what was written last; every second session frees before it writes.
        let write = |hive: &mut Hive| {
            let key = hive.create_path(&format!(r"queue\{session}"), 1).unwrap();
            hive.set_value(key, "data", ValueKind::BINARY, &[7; 9000], 1).unwrap();
        };
        if session % 2 == 0 {
            write(&mut hive);
        }
        if let Some(oldest) = session.checked_sub(20).and_then(|oldest| hive.open(&format!(r"queue\{oldest}")).unwrap()) {
            hive.delete_key(oldest, 1).unwrap();
        }
        if session % 2 == 1 {
            write(&mut hive);
        }
        assert_sound(&hive);
        file = hive.into_bytes();
        if session == 30 {
            early = file.len();
        }
    }
    assert!(early > 20 * 9000 && file.len() <= early, "{} bytes, {early} early", file.len());
}

#[test]
fn an_edit_is_refused_where_cells_leave_gaps() {
    let mut hive = empty(5);
    for index in 0..400 {
        let key = hive.create_path(&format!("key {index}"), 0).unwrap();
        hive.set_value(key, "value", ValueKind::BINARY, &[7; 100], 0).unwrap();
    }
    let file = hive.into_bytes();
    // The free cell at the end of the last bin reaches past it; so no edit may take room there.
    let mut damaged = file.clone();
    let last = file.len() - 4096;
    assert_eq!(damaged[last..last + 4], *b"hbin");
    let mut cell = last + 32;
    let size = loop {
        let size = i32::from_le_bytes(damaged[cell..cell + 4].try_into().unwrap());
        if size > 0 {
            break size;
        }
        cell += size.unsigned_abs() as usize;
    };
    damaged[cell..cell + 4].copy_from_slice(&(size + 8).to_le_bytes());
    let mut hive = Hive::from_bytes(damaged).unwrap();
    let refused = hive.create_path("one more", 0).unwrap_err();
    assert!(matches!(refused, Error::Unsafe { count: 1, .. }), "{refused}");
    // Bins that leave a gap are refused by every edit.
    let mut damaged = file;
    damaged[last] = b'x';
    let mut hive = Hive::from_bytes(damaged).unwrap();
    let root = hive.root();
    assert!(matches!(hive.set_last_written(root, 9), Err(Error::Unsafe { .. })));
}

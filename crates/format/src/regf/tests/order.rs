//! Looking up keys in lists that are in order and in lists that are not, against a scan of the names.

use proptest::prelude::*;

use super::super::{Error, Hive, KeyId, subkey_list};
use super::{assert_sound, empty};

#[derive(Debug, Clone, Copy)]
enum Step {
    Find(u16),
    Create(u16),
    Delete(u16),
    Rename(u16, u16),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..400_u16;
    prop_oneof![
        6 => name().prop_map(Step::Find),
        2 => name().prop_map(Step::Create),
        1 => name().prop_map(Step::Delete),
        1 => (name(), name()).prop_map(|(old, new)| Step::Rename(old, new)),
    ]
}

fn name(number: u16) -> String {
    format!("Ä key {number}")
}

/// The subkey of a name, among all of them.
fn found_by_name(hive: &Hive, parent: KeyId, wanted: &str) -> Option<KeyId> {
    let is_it = |key: &KeyId| hive.name(*key).unwrap().to_uppercase() == wanted.to_uppercase();
    hive.subkeys(parent).unwrap().into_iter().find(is_it)
}

/// Exchanges two entries of a leaf.
fn exchange(hive: &mut Hive, list: u32, first: usize, second: usize) {
    let contents = hive.cells.cell_mut(list).unwrap();
    let size = if contents.starts_with(b"li") { 4 } else { 8 };
    for byte in 0..size {
        contents.swap(4 + first * size + byte, 4 + second * size + byte);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn lookups_agree_with_a_scan(
        minor in prop_oneof![Just(3_u32), Just(5)],
        names in proptest::collection::btree_set(0..400_u16, 2..300),
        disorder in proptest::option::of((0..1000_usize, 0..1000_usize)),
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let mut hive = empty(minor);
        let parent = hive.create_key(hive.root(), "parent", 0).unwrap();
        for number in &names {
            hive.create_key(parent, &name(*number), 0).unwrap();
        }
        let list = hive.node(parent).unwrap().subkey_list;
        let places = disorder.map(|(first, second)| (first % names.len(), second % names.len()));
        if let Some((first, second)) = places {
            exchange(&mut hive, list, first, second);
        }
        let sorted = places.is_none_or(|(first, second)| first == second);
        let mut hive = Hive::from_bytes(hive.into_bytes()).unwrap();
        let parent = hive.open("parent").unwrap().unwrap();
        // More often than the order of a list is left unknown.
        for number in 400..440 {
            prop_assert_eq!(hive.subkey(parent, &name(number)).unwrap(), None);
        }
        prop_assert_eq!(hive.order.is_sorted(parent), sorted);
        for step in steps {
            let (Step::Find(number) | Step::Create(number) | Step::Delete(number) | Step::Rename(number, _)) = step;
            let there = found_by_name(&hive, parent, &name(number));
            prop_assert_eq!(hive.subkey(parent, &name(number).to_uppercase()).unwrap(), there);
            match (step, there) {
                (Step::Create(_), Some(key)) => prop_assert_eq!(hive.create_key(parent, &name(number), 1).unwrap(), key),
                (Step::Create(_), None) if sorted => {
                    hive.create_key(parent, &name(number), 1).unwrap();
                }
                (Step::Create(_), None) => {
                    let refused = hive.create_key(parent, &name(number), 1);
                    prop_assert!(matches!(refused, Err(Error::Unsorted { .. })), "{:?}", refused);
                }
                // The whole of an unsorted hive is found unfit for deleting and renaming.
                (Step::Delete(_), Some(key)) => prop_assert_eq!(hive.delete_key(key, 2).is_ok(), sorted),
                (Step::Rename(_, new), Some(key)) => {
                    let taken = found_by_name(&hive, parent, &name(new)).is_some_and(|other| other != key);
                    prop_assert_eq!(hive.rename_key(key, &name(new), 3).is_ok(), sorted && !taken);
                }
                _ => (),
            }
        }
        prop_assert_eq!(hive.order.is_sorted(parent), sorted);
        if sorted {
            let list = hive.node(parent).unwrap();
            prop_assert!(list.subkey_count == 0 || subkey_list::is_sorted(&hive.cells, list.subkey_list).unwrap());
            assert_sound(&hive);
        }
        for number in 0..400 {
            prop_assert_eq!(hive.subkey(parent, &name(number)).unwrap(), found_by_name(&hive, parent, &name(number)));
        }
        // What is known of a key goes with it.
        if sorted {
            let moved = hive.rename_key(parent, "moved", 4).unwrap();
            prop_assert!(hive.order.is_sorted(moved) && !hive.order.is_sorted(parent));
            hive.delete_key(moved, 5).unwrap();
            prop_assert!(!hive.order.is_sorted(moved));
        }
    }
}

//! What the writer writes, we read, cabextract reads, 7-Zip reads.

use proptest::prelude::*;
use wimwright_testkit::oracles;

use super::oracle::{assert_same, cabextract, seven_zip};
use super::*;
use crate::member_name::fold_name;

const TIME: u64 = 132_000_000_000_000_000;

/// Members with folder starts before those that say so.
fn write(compression: WriterCompression, members: &[(String, Vec<u8>, bool)]) -> Vec<u8> {
    let mut writer = CabinetWriter::new(compression);
    for (name, data, starts_folder) in members {
        if *starts_folder {
            writer.start_folder();
        }
        writer.add(name, data, TIME, 0x20).unwrap();
    }
    let mut bytes = Vec::new();
    writer.finish(&mut bytes).unwrap();
    bytes
}

/// Some text-like bytes that compress, of any length.
fn text(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| (index * index / 97 + seed) as u8 & 0x3F | 0x20).collect()
}

fn sample() -> Vec<(String, Vec<u8>, bool)> {
    let member = |name: &str, length: usize, starts| (name.to_owned(), text(length, name.len()), starts);
    vec![
        member("update.mum", 1000, false),
        member("empty", 0, false),
        member(r"amd64_component\large.dll", 100_001, false),
        member("block", 0x8000, true),
        member("größe.txt", 70_000, false),
        member("last", 5, true),
    ]
}

#[test]
fn oracle_written_cabinets_are_read_by_all() {
    if !oracles(&["cabextract", "7z"]) {
        return;
    }
    for compression in [WriterCompression::Stored, WriterCompression::Mszip] {
        let members = sample();
        let bytes = write(compression, &members);
        assert_eq!(bytes, write(compression, &members), "same calls, same bytes");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("written.cab");
        std::fs::write(&path, &bytes).unwrap();
        let ours = read_all(&open(bytes).unwrap()).unwrap();
        let given: BTreeMap<String, Vec<u8>> = members.into_iter().map(|(name, data, _)| (name, data)).collect();
        assert_same(&ours, &given, "given");
        assert_same(&ours, &cabextract(&path), "cabextract");
        assert_same(&ours, &seven_zip(&path), "7-Zip");
    }
}

#[test]
fn metadata_is_kept() {
    let bytes = write(WriterCompression::Mszip, &sample());
    let cabinet = open(bytes.clone()).unwrap();
    assert_eq!(cabinet.trailing_bytes(), bytes.len() as u64..bytes.len() as u64);
    assert_eq!(cabinet.compressions().collect::<Vec<_>>(), [Compression::Mszip; 3]);
    let names: Vec<_> = cabinet.members().iter().map(|member| (member.name.as_str(), member.folder, member.attributes)).collect();
    assert_eq!(names[2..5], [(r"amd64_component\large.dll", 0, 0x20), ("block", 1, 0x20), ("größe.txt", 1, 0x20)]);
    assert!(cabinet.members().iter().all(|member| member.modified == Some(TIME)));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let mut writer = CabinetWriter::new(WriterCompression::Stored);
    writer.add("a", b"", TIME, 0).unwrap();
    assert!(matches!(writer.add("A", b"", TIME, 0), Err(WriterError::DuplicateName(_))));
    assert!(matches!(writer.add("../b", b"", TIME, 0), Err(WriterError::Name { .. })));
    assert!(matches!(writer.add(&"x".repeat(256), b"", TIME, 0), Err(WriterError::Name { .. })));
    assert!(matches!(writer.add("b", b"", 0, 0), Err(WriterError::Time { .. })));
    assert!(matches!(writer.add("b", b"", u64::MAX, 0), Err(WriterError::Time { .. })));
}

#[test]
fn members_are_visited_in_part() {
    let members = sample();
    let cabinet = open(write(WriterCompression::Mszip, &members)).unwrap();
    let mut found = BTreeMap::new();
    cabinet
        .for_each_member(
            |member| member.name.ends_with("last") || member.name.contains("large"),
            |member, reader| {
                found.insert(member.name.clone(), reader.read_all()?);
                Ok::<_, CabError>(())
            },
        )
        .unwrap();
    let wanted = |name: &String| name.ends_with("last") || name.contains("large");
    let expected: BTreeMap<_, _> =
        members.iter().filter(|(name, ..)| wanted(name)).map(|(name, data, _)| (name.clone(), data.clone())).collect();
    assert_eq!(found, expected);
    // A visitor need not read all, and each member alone gives the same.
    for (index, (_, data, _)) in members.iter().enumerate() {
        assert_eq!(cabinet.read_member(index).unwrap(), *data);
        let source = cabinet.open_member(index).unwrap();
        let mut bytes = vec![0; data.len()];
        source.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!((source.size(), &bytes), (data.len() as u64, data));
    }
    let mut firsts = Vec::new();
    cabinet
        .for_each_member(
            |_| true,
            |_, reader| {
                let mut byte = [0];
                firsts.push(io::Read::read(reader, &mut byte)?);
                Ok::<_, CabError>(())
            },
        )
        .unwrap();
    assert_eq!(firsts.iter().sum::<usize>(), 5, "all but the empty one");
    let stopped = cabinet.for_each_member(|_| true, |member, _| Err::<(), _>(CabError::DuplicateName(member.name.clone())));
    assert!(matches!(stopped, Err(CabError::DuplicateName(name)) if name == "empty" || name == "update.mum"));
}

#[test]
fn reading_ten_thousand_members_decodes_their_folder_once() {
    let members: Vec<_> = (0..10_000).map(|number| (format!("file{number}"), text(1 + number % 700, number), false)).collect();
    let cabinet = open(write(WriterCompression::Mszip, &members)).unwrap();
    assert_eq!(read_all(&cabinet).unwrap().len(), 10_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_members_come_back(
        stored: bool,
        members in prop::collection::vec(("[a-zA-Z0-9_é]{1,12}(\\\\[a-z0-9]{1,8}x){0,2}", prop::collection::vec(any::<u8>(), 0..500), 0_usize..200, any::<bool>()), 1..12),
    ) {
        let mut names = HashSet::new();
        let members: Vec<(String, Vec<u8>, bool)> = members
            .into_iter()
            .filter(|(name, ..)| crate::member_name::check_name(name).is_ok() && names.insert(fold_name(name)))
            .map(|(name, data, times, starts)| (name, data.repeat(times), starts))
            .collect();
        prop_assume!(!members.is_empty());
        let compression = if stored { WriterCompression::Stored } else { WriterCompression::Mszip };
        let cabinet = open(write(compression, &members)).unwrap();
        let ours = read_all(&cabinet).unwrap();
        prop_assert_eq!(ours, members.into_iter().map(|(name, data, _)| (name, data)).collect::<BTreeMap<_, _>>());
    }
}

//! Hostile cabinets give an error in bounded time, never a panic.

use wimwright_testkit::test_data;

use super::*;

/// Opens and reads whatever the bytes are. Returns the members' bytes if all went well.
fn attempt(bytes: Vec<u8>) -> Option<BTreeMap<String, Vec<u8>>> {
    read_all(&open(bytes).ok()?).ok()
}

/// The cabinet with the checksums of its blocks taken out, so that damage reaches the codecs.
fn without_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    let cabinet = open(bytes.clone()).unwrap();
    for (number, folder) in cabinet.folders.iter().enumerate() {
        for segment in &folder.segments {
            let part = &cabinet.parts[segment.part];
            for block in folder::blocks(part, segment, number) {
                let header = block.unwrap().data.offset.unwrap() - u64::from(part.block_reserve) - 8;
                bytes[header as usize..][..4].fill(0);
            }
        }
    }
    bytes
}

#[test]
fn real_cabinets_survive_flipped_and_missing_bytes() {
    // One of each compression, all small.
    for sample in [
        "libmspack/normal_2files_2folders",
        "libmspack/reserve_HFD",
        "libarchive/test_fuzz",
        "libarchive/test_read_format_cab_lzx_e8",
        "cabextract/cve-2010-2801-qtm-flush",
        "cabextract/simple",
        "wix/test",
        "wix/signed_cab1",
    ] {
        let Some(path) = test_data(&format!("msu_cab/{sample}.cab")) else { return };
        let bytes = without_checksums(std::fs::read(path).unwrap());
        for place in 0..bytes.len().min(1000) {
            for flip in [1, 0x80, 0xFF] {
                let mut broken = bytes.clone();
                broken[place] ^= flip;
                attempt(broken);
            }
            attempt(bytes[..place].to_vec());
        }
    }
}

/// Damage deep in the data of large folders: a megabyte each of LZX with all block types, and of MSZIP.
#[test]
fn real_codecs_survive_damage() {
    for sample in
        ["onecore-arm64/Cityman/Microsoft-OneCore-Cityman-PLAT-Package~31bf3856ad364e35~ARM64~~.cab", "Windows6.1-KB2584475-x86.msu"]
    {
        let Some(path) = test_data(&format!("msu_cab/{sample}")) else { return };
        let bytes = without_checksums(std::fs::read(path).unwrap());
        let end = usize::try_from(open(bytes.clone()).unwrap().trailing_bytes().start).unwrap();
        for number in 0..150 {
            let mut broken = bytes.clone();
            // Places all over the second half, a few bits in each.
            let place = end / 2 + number * 7919 % (end / 2);
            broken[place] ^= 1 << (number % 8);
            broken[(place + number) % end] ^= 0x55;
            attempt(broken);
        }
    }
}

#[test]
fn real_damage_in_the_data_is_always_found() {
    let Some(path) = test_data("msu_cab/OpenSSH-19041/OpenSSH-Client-Package~31bf3856ad364e35~amd64~~.cab") else { return };
    let bytes = std::fs::read(path).unwrap();
    let end = usize::try_from(open(bytes.clone()).unwrap().trailing_bytes().start).unwrap();
    assert!(attempt(bytes.clone()).is_some());
    for place in [end / 2, end / 2 + 1, end - 1] {
        let mut broken = bytes.clone();
        broken[place] ^= 4;
        assert!(matches!(read_all(&open(broken).unwrap()), Err(CabError::Checksum { .. })), "byte {place}");
    }
}

/// A stored cabinet of two members in one folder, to be broken.
fn two_members() -> Vec<u8> {
    let mut writer = CabinetWriter::new(WriterCompression::Stored);
    writer.add("one", b"11111", 132_000_000_000_000_000, 0).unwrap();
    writer.add("two", b"22222", 132_000_000_000_000_000, 0).unwrap();
    let mut bytes = Vec::new();
    writer.finish(&mut bytes).unwrap();
    bytes
}

/// Offsets in `two_members`: the second file entry, and its name.
const SECOND: usize = 36 + 8 + 20;

#[test]
fn members_overlap_only_when_they_are_the_same_bytes() {
    let mut bytes = two_members();
    // Offset of the second: 5. At 0 it is the same bytes as the first.
    bytes[SECOND + 4] = 0;
    let members = attempt(bytes.clone()).unwrap();
    assert_eq!((&members["one"][..], &members["two"][..]), (&b"11111"[..], &b"11111"[..]));
    bytes[SECOND + 4] = 1;
    assert!(matches!(open(bytes.clone()), Err(CabError::Overlap(..))));
    bytes[SECOND + 4] = 5;
    bytes[SECOND] = 6;
    assert!(matches!(read_all(&open(bytes.clone()).unwrap()), Err(CabError::FolderEnd { end: 10, .. })));
    bytes[SECOND + 1] = 0x80;
    assert!(matches!(open(bytes), Err(CabError::OutsideFolder { capacity: 0x8000, .. })));
}

#[test]
fn names_are_checked() {
    let with_name = |name: &[u8; 3]| {
        let mut bytes = two_members();
        bytes[SECOND + 16..SECOND + 19].copy_from_slice(name);
        open(bytes).err()
    };
    assert!(with_name(b"tw_").is_none());
    assert!(matches!(with_name(b"ONE"), Some(CabError::DuplicateName(name)) if name == "ONE"));
    for name in [b"\\tw", b"..\\", b"C:x", b"a:b", b"con", b"a/\0", b"tw."] {
        assert!(matches!(with_name(name), Some(CabError::Name { index: 1, .. })), "{name:?}");
    }
}

#[test]
fn claims_beyond_any_cabinet_are_refused() {
    let mut bytes = two_members();
    // The folder claims 65,535 blocks, the second member 2 GiB.
    bytes[36 + 4..36 + 6].fill(0xFF);
    bytes[SECOND..SECOND + 4].copy_from_slice(&0x7FFF_0000_u32.to_le_bytes());
    assert!(matches!(open(bytes), Err(CabError::TooLarge { claimed: 0x7FFF_0005, .. })));
}

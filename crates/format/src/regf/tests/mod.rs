//! Tests of hives.

mod edits;
mod oracles;
mod order;
mod real;
mod robustness;

use super::{Hive, NewHive};

/// A self-relative security descriptor with nothing in it but a distinguishing group offset of zero.
pub(super) fn descriptor(group_tail: &[u8]) -> Vec<u8> {
    let mut descriptor = vec![1, 0, 0x00, 0x80];
    descriptor.extend_from_slice(&[0; 16]);
    descriptor.extend_from_slice(group_tail);
    descriptor
}

/// An empty hive.
pub(super) fn empty(minor: u32) -> Hive {
    let security = descriptor(&[]);
    Hive::new(&NewHive { minor, file_name: "TEST", root_name: "ROOT", security: &security, last_written: 7 }).unwrap()
}

/// Asserts that every rule of the format holds, and that nothing is lost.
#[track_caller]
pub(super) fn assert_sound(hive: &Hive) {
    let verification = hive.verify();
    assert_eq!(verification.problems, [], "problems");
    assert_eq!(verification.lost_cells, 0, "lost cells");
}

/// A file of the test data; `.xz` files unpacked. `None` where there is none.
pub(super) fn hive_file(relative: &str) -> Option<Vec<u8>> {
    let path = wimwright_testkit::test_data(relative)?;
    if path.extension().is_some_and(|extension| extension == "xz") {
        if !wimwright_testkit::oracles(&["xz"]) {
            return None;
        }
        return Some(wimwright_testkit::run(std::process::Command::new("xz").arg("-dc").arg(path)).stdout);
    }
    Some(std::fs::read(path).unwrap())
}

/// The hives of the test data that are read without an error, relative to its folder `hives`.
pub(super) const REAL_HIVES: &[&str] = &[
    "bcd/aioboot-8k",
    "bcd/installed-bios",
    "bcd/installed-efi-X230T",
    "bcd/win10-22h2-media-bios",
    "bcd/win10-22h2-media-efi",
    "bcd/win10-aio-bios",
    "bcd/win8-media-bios",
    "bcd/winpe-bios",
    "bcd/winpe-efi-ia32",
    "dfwinreg/NTUSER.DAT",
    "ezimm/BCD",
    "ezimm/SAM",
    "ezimm/SAM_DUPENAME",
    "ezimm/SAM_RootValue",
    "ezimm/SECURITYNoRoot",
    "ezimm/UsrClassDeletedBags.dat",
    "hivex/minimal",
    "hivex/rlenvalue_test_hive",
    "notatin/win7_ntuser.dat",
    "nt-hive-testhive",
    "plaso/100_sub_keys.hiv",
    "plaso/NTUSER-CCLEANER.DAT",
    "python-registry/UNICODE_TESTS",
    "python-registry/issue22.hive",
    "regipy/BCD.xz",
    "regipy/NTUSER.DAT.xz",
    "regipy/SAM.xz",
    "regipy/SECURITY.xz",
    "regipy/SYSTEM_B.xz",
    "regipy/SYSTEM_WIN_10_1709.xz",
    "regipy/amcache.hve.xz",
    "regipy/ntuser_software_partial.xz",
    "regipy/transactions_NTUSER.DAT.xz",
    "velociraptor/SAM",
    "velociraptor/ntuser.dat",
    "yarp/BadListHive",
    "yarp/BadLogHive1/BadLogHive",
    "yarp/BadLogHive2/BadLogHive",
    "yarp/BadSubkeyHive",
    "yarp/BogusKeyNamesHive",
    "yarp/CompHive",
    "yarp/DeletedTreeHive",
    "yarp/DeletedTreePartialPathHive",
    "yarp/DupNameHive",
    "yarp/EffectiveSizeHive",
    "yarp/EmptyHive",
    "yarp/GarbageHive",
    "yarp/HealedHive",
    "yarp/InvalidParentHive",
    "yarp/ManySubkeysHive",
    "yarp/NewDirtyHive1/NewDirtyHive",
    "yarp/NewDirtyHive1/RecoveredHive_Windows10",
    "yarp/NewFlagsHive",
    "yarp/OffHive",
    "yarp/OldDirtyHive/OldDirtyHive",
    "yarp/OldDirtyHive/RecoveredHive_Windows7",
    "yarp/PairHive",
    "yarp/ReallocValueDataHive",
    "yarp/RemnantData",
    "yarp/RemnantsHive",
    "yarp/StringValuesHive",
    "yarp/System_Delta",
    "yarp/TruncatedPairHive",
    "yarp/TruncatedPairHive2",
    "yarp/UnicodeHive",
    "yarp/UpcaseHive",
    "yarp/WrongOrderHive",
];

#[test]
fn upper_case_is_one_to_one_and_stable() {
    for unit in 0..=u16::MAX {
        assert_eq!(crate::upcase::upcase(crate::upcase::upcase(unit)), crate::upcase::upcase(unit), "{unit:#x}");
    }
    let upper: Vec<u16> = "aé\u{ff}ßıµſςДж漢ǆ".encode_utf16().map(crate::upcase::upcase).collect();
    assert_eq!(String::from_utf16(&upper).unwrap(), "AÉ\u{178}ßıµſςДЖ漢Ǆ");
}

/// Wine's `l_intl.nls` holds the same upper case table as that of Windows: an array of offsets behind two levels of
/// indexes.
#[test]
fn oracle_wine_upper_cases_as_we_do() {
    // Not every Wine package has the table; the one above pins the mappings that matter.
    let Ok(bytes) = std::fs::read("/usr/share/wine/nls/l_intl.nls") else { return };
    let table: Vec<u16> = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).skip(2).collect();
    for unit in 0..=u16::MAX {
        let row = usize::from(table[usize::from(unit >> 8)]);
        let block = usize::from(table[row + usize::from(unit >> 4 & 0xF)]);
        let offset = table[block + usize::from(unit & 0xF)];
        assert_eq!(crate::upcase::upcase(unit), unit.wrapping_add(offset), "{unit:#x}");
    }
}

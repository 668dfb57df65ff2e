//! The catalogued edge cases: what the test suites of cabextract, libmspack and libarchive keep, with what we make of each
//! and what cabextract says. A difference has its reason beside it.

use std::process::Command;

use wimwright_testkit::{oracles, test_data};

use super::oracle::{assert_same, cabextract};
use super::*;

/// What we expect of a sample.
#[derive(Clone, Copy)]
enum Ours {
    /// Opens, and all members are the bytes of cabextract.
    Reads,
    /// Is refused when opened.
    RefusedAtOpen(fn(&CabError) -> bool),
    /// Opens; reading the members is refused.
    RefusedAtRead(fn(&CabError) -> bool),
}
use Ours::{Reads, RefusedAtOpen, RefusedAtRead};

/// Sample, our verdict, and whether `cabextract -t` accepts it.
const SAMPLES: &[(&str, Ours, bool)] = &[
    ("cabextract/simple", Reads, true),
    ("cabextract/case-ascii", Reads, true),
    ("cabextract/case-utf8", Reads, true),
    ("cabextract/large-files-cab", Reads, true),
    // The last match runs past the end of its frame: the length in the header was lowered by hand. 7-Zip refuses it too.
    ("cabextract/cve-2010-2801-qtm-flush", RefusedAtRead(codec), true),
    ("cabextract/cve-2014-9556-qtm-infinite-loop", RefusedAtOpen(|error| matches!(error, CabError::TooLarge { .. })), false),
    ("cabextract/cve-2015-4470-mszip-over-read", RefusedAtOpen(|error| matches!(error, CabError::Version { major: 129, .. })), false),
    ("cabextract/cve-2015-4471-lzx-under-read", RefusedAtOpen(truncated), false),
    // Absolute and parent paths: cabextract takes them apart into harmless ones, we take no part in it.
    ("cabextract/dirwalk-vulns", RefusedAtOpen(name), true),
    // A name in an unknown code page that reads as one with a question mark.
    ("cabextract/encoding-koi8", RefusedAtOpen(name), true),
    // Said to be UTF-8, with overlong sequences.
    ("cabextract/utf8-stresstest", RefusedAtOpen(name), true),
    ("cabextract/filename-read-violation-2", RefusedAtOpen(truncated), false),
    ("cabextract/filename-read-violation-3", RefusedAtOpen(name), false),
    ("cabextract/lzx-main-tree-no-lengths", RefusedAtRead(codec), false),
    ("cabextract/lzx-premature-matches", RefusedAtRead(codec), false),
    // A cabinet somewhere inside another file: cabextract searches for it, we do not guess.
    ("cabextract/search", RefusedAtOpen(|error| matches!(error, CabError::NoSignature)), true),
    ("libmspack/search_basic", RefusedAtOpen(|error| matches!(error, CabError::NoSignature)), true),
    ("libmspack/normal_2files_2folders", Reads, true),
    ("libmspack/reserve_--D", Reads, true),
    ("libmspack/reserve_-F-", Reads, true),
    ("libmspack/reserve_H--", Reads, true),
    ("libmspack/reserve_H-D", Reads, true),
    ("libmspack/reserve_HFD", Reads, true),
    ("libmspack/bad_folderindex", RefusedAtOpen(|error| matches!(error, CabError::NoSuchFolder { folder: 1, .. })), false),
    ("libmspack/bad_nofiles", RefusedAtOpen(|error| matches!(error, CabError::Empty("files"))), false),
    ("libmspack/bad_signature", RefusedAtOpen(|error| matches!(error, CabError::NoSignature)), false),
    ("libmspack/cve-2017-11423-fname-overread", RefusedAtOpen(|error| matches!(error, CabError::UnterminatedText(_))), false),
    ("libmspack/hidden-file-bad-folderid", RefusedAtOpen(truncated), false),
    ("libmspack/hidden-file-beyond-eof", RefusedAtOpen(truncated), false),
    ("libmspack/partial_nofiles", RefusedAtOpen(truncated), false),
    ("libmspack/partial_nofolder", RefusedAtOpen(truncated), false),
    ("libmspack/partial_shortfile1", RefusedAtOpen(truncated), false),
    ("libmspack/partial_shortfile2", RefusedAtOpen(truncated), false),
    ("libmspack/partial_shortheader", RefusedAtOpen(truncated), false),
    ("libmspack/partial_str_nofname", RefusedAtOpen(truncated), false),
    ("libmspack/partial_str_nonname", RefusedAtOpen(truncated), false),
    ("libmspack/partial_str_nopinfo", RefusedAtOpen(truncated), false),
    ("libmspack/partial_str_shortfname", RefusedAtOpen(truncated), false),
    ("libmspack/partial_str_shortninfo", RefusedAtOpen(truncated), false),
    ("libmspack/partial_str_shortpinfo", RefusedAtOpen(truncated), false),
    ("libmspack/partial_str_shortpname", RefusedAtOpen(truncated), false),
    // One part of a set alone; the whole sets are in `oracle`.
    ("libmspack/multi_basic_pt1", RefusedAtRead(incomplete), false),
    ("libmspack/multi_basic_pt2", RefusedAtRead(incomplete), false),
    ("libmspack/multi_basic_pt5", RefusedAtRead(incomplete), false),
    ("libarchive/test_read_format_cab_1", Reads, true),
    ("libarchive/test_read_format_cab_3", Reads, true),
    ("libarchive/test_read_format_cab_lzx_e8", Reads, true),
    ("libarchive/test_fuzz", Reads, true),
    ("libarchive/test_read_format_cab_lzx_invalid_history", RefusedAtRead(codec), false),
    ("libarchive/test_read_format_cab_lzx_oob", RefusedAtOpen(|error| matches!(error, CabError::Version { major: 0, .. })), false),
    ("libarchive/test_read_format_cab_skip_malformed", RefusedAtOpen(|error| matches!(error, CabError::Version { major: 0, .. })), false),
];

fn truncated(error: &CabError) -> bool {
    matches!(error, CabError::Truncated { .. })
}

fn name(error: &CabError) -> bool {
    matches!(error, CabError::Name { .. })
}

fn codec(error: &CabError) -> bool {
    matches!(error, CabError::Codec { .. })
}

fn incomplete(error: &CabError) -> bool {
    matches!(error, CabError::SetIncomplete { .. })
}

#[test]
fn oracle_real_edge_cases_have_their_verdicts() {
    if !oracles(&["cabextract"]) {
        return;
    }
    for (sample, ours, theirs) in SAMPLES {
        let Some(path) = test_data(&format!("msu_cab/{sample}.cab")) else { return };
        let accepted = Command::new("cabextract").arg("-t").arg(&path).output().unwrap().status.success();
        assert_eq!(accepted, *theirs, "{sample}: cabextract's verdict");
        let opened = open(std::fs::read(&path).unwrap());
        match (ours, opened) {
            (Reads, Ok(cabinet)) => assert_same(&read_all(&cabinet).unwrap(), &cabextract(&path), sample),
            (RefusedAtOpen(expected), Err(error)) => assert!(expected(&error), "{sample}: {error:?}"),
            (RefusedAtRead(expected), Ok(cabinet)) => {
                let error = read_all(&cabinet).expect_err(sample);
                assert!(expected(&error), "{sample}: {error:?}");
            }
            (_, opened) => panic!("{sample}: {:?}", opened.err()),
        }
    }
}

/// Names in an unknown code page are read as Western: the bytes are right, the names may not be.
#[test]
fn real_names_of_unknown_code_pages_are_western() {
    let Some(path) = test_data("msu_cab/libarchive/test_read_format_cab_filename_cp932.cab") else { return };
    let members = read_all(&open(std::fs::read(path).unwrap()).unwrap()).unwrap();
    // In code page 932: 表だよ\漢字.txt and 表だよ\一覧表.txt; the second byte of 表 is a backslash.
    assert_eq!(members.keys().collect::<Vec<_>>(), [r"•\‚¾‚æ\Š¿Žš.txt", r"•\‚¾‚æ\ˆê——•\.txt"]);
    assert_eq!(members.values().map(Vec::len).collect::<Vec<_>>(), [5, 5]);
}

#[test]
fn real_signatures_lie_behind_the_cabinet() {
    let Some(path) = test_data("msu_cab/Windows6.1-KB2465285-x64.msu") else { return };
    let bytes = std::fs::read(path).unwrap();
    let cabinet = open(bytes.clone()).unwrap();
    // By cabextract: "possible 6936 extra bytes at end of file".
    assert_eq!(cabinet.trailing_bytes(), 284_300..291_236);
    // The reserved bytes of the header say the same: offset and length, behind four bytes of a tag.
    let [_, _, _, _, fields @ ..] = cabinet.header_reserve() else { panic!("reserved bytes") };
    assert_eq!(fields[..8], [284_300_u32.to_le_bytes(), 6936_u32.to_le_bytes()].concat());
    // PKCS #7 begins with an ASN.1 sequence.
    assert_eq!(bytes[284_300], 0x30);
}

//! cabextract and 7-Zip as judges: the same members, the same bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use wimwright_testkit::{oracles, run, test_data};

use super::*;

/// Every file below `root`, by its path with `\`.
pub(super) fn files_below(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('/', "\\");
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

pub(super) fn cabextract(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("cabextract").arg("-q").arg("-d").arg(folder.path()).arg(path));
    files_below(folder.path())
}

pub(super) fn seven_zip(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let mut output = std::ffi::OsString::from("-o");
    output.push(folder.path());
    run(Command::new("7z").args(["x", "-y", "-bd"]).arg(output).arg(path));
    files_below(folder.path())
}

pub(super) fn assert_same(ours: &BTreeMap<String, Vec<u8>>, theirs: &BTreeMap<String, Vec<u8>>, what: &str) {
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{what}: names");
    for (name, bytes) in ours {
        assert!(theirs[name] == *bytes, "{what}: {name} differs");
    }
}

/// Compares a cabinet with both judges, then the cabinets in it. Returns how many members were compared.
fn compare(path: &Path, folder: &Path) -> usize {
    let ours = read_all(&Cabinet::open(Arc::new(std::fs::read(path).unwrap())).unwrap()).unwrap();
    assert_same(&ours, &cabextract(path), &format!("{} by cabextract", path.display()));
    assert_same(&ours, &seven_zip(path), &format!("{} by 7-Zip", path.display()));
    let mut count = ours.len();
    // The scan data of Windows Update is left out here: some thousand tiny files in each update, and much alike.
    for (name, bytes) in ours.iter().filter(|(name, bytes)| bytes.starts_with(b"MSCF") && *name != "WSUSSCAN.cab") {
        let nested = folder.join(format!("{} {name}", folder.read_dir().unwrap().count()));
        std::fs::write(&nested, bytes).unwrap();
        count += compare(&nested, folder);
    }
    count
}

fn compare_all(paths: impl IntoIterator<Item = PathBuf>) -> usize {
    let folder = tempfile::tempdir().unwrap();
    paths.into_iter().map(|path| compare(&path, folder.path())).sum()
}

fn cabinets_in(folder: &Path) -> Vec<PathBuf> {
    let is_cabinet = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "cab" || extension == "msu");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(is_cabinet).collect();
    paths.sort();
    paths
}

#[test]
fn oracle_real_packages_have_the_members_of_both_judges() {
    if !oracles(&["cabextract", "7z"]) {
        return;
    }
    let Some(root) = test_data("msu_cab") else { return };
    let mut paths = cabinets_in(&root);
    assert_eq!(paths.len(), 14);
    paths.extend(cabinets_in(&root.join("OpenSSH-19041")));
    for folder in ["Windows6.0-x86", "Windows6.1-x64", "Windows8-RT-x86", "Windows8.1-x64"] {
        let scan = |path: &PathBuf| folder != "Windows6.0-x86" && path.ends_with("WSUSSCAN.cab");
        paths.extend(cabinets_in(&root.join("KB2999226").join(folder)).into_iter().filter(|path| !scan(path)));
    }
    // With the packages in the .msu files, and one scan cabinet to its innermost file.
    assert_eq!(compare_all(paths), 11_236);
}

#[test]
fn oracle_real_packages_of_other_makers() {
    if !oracles(&["cabextract", "7z"]) {
        return;
    }
    let Some(root) = test_data("msu_cab") else { return };
    let paths = ["onecore-arm64/Cityman", "pebakery", "wix", "gcab"].into_iter().flat_map(|folder| cabinets_in(&root.join(folder)));
    assert_eq!(compare_all(paths), 78);
}

#[test]
fn oracle_real_times_and_attributes_are_those_of_cabextract() {
    if !oracles(&["cabextract"]) {
        return;
    }
    let Some(path) = test_data("msu_cab/OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab") else { return };
    // Lines like ` 5888 | 09.05.2021 09:14:18 | update.mum`, behind two lines of header.
    let list = run(Command::new("cabextract").arg("-l").arg(&path));
    let list = String::from_utf8(list.stdout).unwrap();
    let theirs: Vec<(u64, u64)> = list.lines().filter_map(parse_line).collect();
    let cabinet = Cabinet::open(Arc::new(std::fs::read(path).unwrap())).unwrap();
    let ours: Vec<(u64, u64)> = cabinet.members().iter().map(|member| (member.length, member.modified.unwrap())).collect();
    assert_eq!(ours.len(), 27);
    assert_eq!(ours, theirs);
    assert!(cabinet.members().iter().all(|member| member.attributes == 0x20));
}

/// Length and time, in 100 ns since 1601, of a line of `cabextract -l`.
fn parse_line(line: &str) -> Option<(u64, u64)> {
    let (length, rest) = line.split_once('|')?;
    let (time, _) = rest.split_once('|')?;
    let numbers: Vec<u64> =
        time.split(['.', ':', ' ']).filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [day, month, year, hour, minute, second] = numbers.try_into().ok()?;
    // Days from civil date, by the count of a year that begins in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 584_694;
    Some((length.trim().parse().ok()?, ((days * 24 + hour) * 60 + minute) * 600_000_000 + second * 10_000_000))
}

#[test]
fn oracle_real_spanned_sets_are_joined() {
    if !oracles(&["cabextract"]) {
        return;
    }
    for (pattern, count, members) in
        [("cabextract/split-", 5, 6), ("libmspack/multi_basic_pt", 5, 3), ("libarchive/test_read_format_cab_multi.p", 2, 1)]
    {
        let Some(first) = test_data(&format!("msu_cab/{pattern}1.cab")) else { return };
        // The headers name the next cabinet as it was called when it was made.
        let folder = tempfile::tempdir().unwrap();
        let mut sources: Vec<Arc<dyn ReadAt>> = Vec::new();
        let mut name = "first.cab".to_owned();
        for number in 1..=count {
            let bytes = std::fs::read(test_data(&format!("msu_cab/{pattern}{number}.cab")).unwrap()).unwrap();
            std::fs::write(folder.path().join(&name), &bytes).unwrap();
            let source: Arc<dyn ReadAt> = Arc::new(bytes);
            name = Cabinet::open(source.clone()).unwrap().next_cabinet().unwrap_or("end").to_owned();
            sources.push(source);
        }
        sources.reverse();
        let set = Cabinet::open_set(sources.clone()).unwrap();
        assert_eq!((set.previous_cabinet(), set.next_cabinet()), (None, None));
        let theirs = folder.path().join("out");
        run(Command::new("cabextract").arg("-q").arg("-d").arg(&theirs).arg(folder.path().join("first.cab")));
        let ours = read_all(&set).unwrap();
        assert_same(&ours, &files_below(&theirs), &format!("{} to {count}", first.display()));
        assert_eq!(ours.len(), members, "{pattern}");

        // Without the last part, what lies before the gap can be read, and the part that is missing is named.
        sources.remove(0);
        let incomplete = Cabinet::open_set(sources.clone()).unwrap();
        let error = read_all(&incomplete).unwrap_err();
        assert!(matches!(&error, CabError::SetIncomplete { cabinet, .. } if !cabinet.is_empty()), "{pattern}: {error:?}");
        // With a gap in the middle it is no set.
        if count > 2 {
            sources.remove(1);
            assert!(matches!(Cabinet::open_set(sources), Err(CabError::SetMismatch(_))), "{pattern}");
        }
    }
}

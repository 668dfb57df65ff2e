//! Deltas that Microsoft made, against what they are to give.

use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use wimwright_codec::delta::{self, Kind, store};
use wimwright_testkit::{oracles, run, test_data};

/// More than any target here has.
const LIMIT: u64 = 64 << 20;

/// The packages with an index of deltas (`_manifest_.cix.xml`), and how many files each index names.
const PACKAGES: [(&str, usize); 10] = [
    ("msu_cab/Windows6.1-KB2465285-x64.msu", 34),
    ("msu_cab/Windows6.1-KB2584475-x86.msu", 34),
    ("msu_cab/Windows6.1-KB2780124-x64.msu", 33),
    ("msu_cab/Windows6.1-KB2883457-amd64.cab", 22),
    ("msu_cab/Windows6.1-KB3040017-x86.msu", 40),
    ("msu_cab/Windows8.1-KB2937592-x86.msu", 247),
    ("msu_cab/KB2999226/Windows6.0-x86/Windows6.0-KB2999226-x86.cab", 132),
    ("msu_cab/KB2999226/Windows6.1-x64/Windows6.1-KB2999226-x64.cab", 122),
    ("msu_cab/KB2999226/Windows8-RT-x86/Windows8-RT-KB2999226-x86.cab", 58),
    ("msu_cab/KB2999226/Windows8.1-x64/Windows8.1-KB2999226-x64.cab", 45),
];

/// Files of these packages that do not rebuild, as `package/file`.
const KNOWN_FAILURES: [&str; 0] = [];

/// Deltas in these packages.
const DELTAS: usize = 275;

/// Extracts a cabinet, and the cabinet of the package in it where it is an MSU.
fn expand(package: &Path, folder: &Path) -> PathBuf {
    let extract = |cabinet: &Path, folder: &Path| {
        run(Command::new("cabextract").arg("-q").arg("-d").arg(folder).arg(cabinet));
    };
    let outer = folder.join("outer");
    extract(package, &outer);
    if package.extension().is_some_and(|extension| extension == "cab") {
        return outer;
    }
    let inner = folder.join("inner");
    extract(&outer.join(package.with_extension("cab").file_name().unwrap()), &inner);
    inner
}

/// A file of the index.
struct File {
    name: String,
    algorithm: String,
    hash: String,
    /// Type and name of the source, in the package.
    source: Option<(String, String)>,
    /// Identifier of the file that is the base.
    basis: Option<String>,
}

/// The index of a package, by the identifiers of files.
fn index(folder: &Path) -> HashMap<String, File> {
    let text = std::fs::read_to_string(folder.join("_manifest_.cix.xml")).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let mut index = HashMap::new();
    for file in document.descendants().filter(|node| node.has_tag_name(("urn:ContainerIndex", "File"))) {
        let hash = file.children().find(|node| node.tag_name().name() == "Hash").unwrap();
        let delta = file.children().find(|node| node.tag_name().name() == "Delta").unwrap();
        let source = delta.children().find(|node| node.tag_name().name() == "Source");
        let basis = delta.children().find(|node| node.tag_name().name() == "Basis");
        let entry = File {
            name: file.attribute("name").unwrap().to_owned(),
            algorithm: hash.attribute("alg").unwrap().to_owned(),
            hash: hash.attribute("value").unwrap().to_lowercase(),
            source: source.map(|node| (node.attribute("type").unwrap().to_owned(), node.attribute("name").unwrap().replace('\\', "/"))),
            basis: basis.map(|node| node.attribute("file").unwrap().to_owned()),
        };
        index.insert(file.attribute("id").unwrap().to_owned(), entry);
    }
    index
}

/// A package's files, rebuilt as they are asked for; `None` where one does not have its hash.
struct Package {
    folder: PathBuf,
    index: HashMap<String, File>,
    done: HashMap<String, Option<Vec<u8>>>,
    /// Bases and deltas of what was rebuilt.
    deltas: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Package {
    fn file(&mut self, id: &str) -> Option<Vec<u8>> {
        if let Some(done) = self.done.get(id) {
            return done.clone();
        }
        let built = self.build(id).filter(|bytes| {
            let file = &self.index[id];
            let hash = if file.algorithm == "SHA1" { Sha1::digest(bytes).to_vec() } else { Sha256::digest(bytes).to_vec() };
            hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == file.hash
        });
        self.done.insert(id.to_owned(), built.clone());
        built
    }

    fn build(&mut self, id: &str) -> Option<Vec<u8>> {
        let base = match self.index[id].basis.clone() {
            Some(basis) => self.file(&basis)?,
            None => Vec::new(),
        };
        let Some((kind, name)) = &self.index[id].source else { return Some(base) };
        let bytes = std::fs::read(self.folder.join(name)).unwrap();
        if kind == "RAW" {
            return Some(bytes);
        }
        let built = delta::apply(&base, &bytes, LIMIT).ok()?;
        self.deltas.push((base, bytes));
        Some(built)
    }
}

fn package(path: &Path) -> (tempfile::TempDir, Package) {
    let folder = tempfile::tempdir().unwrap();
    let expanded = expand(path, folder.path());
    let package = Package { index: index(&expanded), folder: expanded, done: HashMap::new(), deltas: Vec::new() };
    (folder, package)
}

#[test]
fn real_every_file_of_every_package_rebuilds() {
    if test_data("msu_cab").is_none() || !oracles(&["cabextract"]) {
        return;
    }
    let mut failures = Vec::new();
    let mut deltas = 0;
    for (name, files) in PACKAGES {
        let Some(path) = test_data(name) else { return };
        let (_folder, mut package) = package(&path);
        assert_eq!(package.index.len(), files, "{name}");
        let mut ids: Vec<String> = package.index.keys().cloned().collect();
        ids.sort();
        for id in ids {
            if package.file(&id).is_none() {
                failures.push(format!("{name}/{}", package.index[&id].name));
            }
        }
        deltas += package.deltas.len();
    }
    assert_eq!(failures, KNOWN_FAILURES);
    assert_eq!(deltas, DELTAS);
}

#[test]
fn real_damaged_deltas_give_a_value_or_an_error() {
    let (Some(path), true) = (test_data("msu_cab/Windows6.1-KB2584475-x86.msu"), oracles(&["cabextract"])) else { return };
    let (_folder, mut package) = package(&path);
    for id in package.index.keys().cloned().collect::<Vec<_>>() {
        package.file(&id).unwrap();
    }
    let mut tried = 0;
    for (base, delta) in package.deltas.iter().filter(|(base, _)| base.starts_with(b"MZ")) {
        for step in 0..60 {
            let place = (step * 7919 + step * step * 31) % delta.len();
            let mut damaged = delta.clone();
            damaged[place] ^= 1 << (step % 8);
            let _outcome = delta::apply(base, &damaged, LIMIT);
            let _outcome = delta::apply(base, &delta[..place], LIMIT);
            // The headers of the base: its tables lead anywhere.
            let mut other = base.clone();
            other[(step * 37) % 0x400] ^= 1 << (step % 8);
            let _outcome = delta::apply(&other, delta, LIMIT);
            let _outcome = delta::apply(&base[..base.len() * step / 60], delta, LIMIT);
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried}");
}

#[test]
fn real_manifests_are_unwrapped() {
    let Some(folder) = test_data("manifests/msdelta") else { return };
    let base = std::fs::read(folder.join("base_manifest.bin")).unwrap();
    let mut manifests = 0;
    for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_none_or(|extension| extension != "manifest") {
            continue;
        }
        let file = std::fs::read(entry.path()).unwrap();
        assert_eq!(store::wrapper(&file), Some(store::Wrapper::Dcm));
        let manifest = store::unwrap(&base, &file, LIMIT).unwrap();
        roxmltree::Document::parse(std::str::from_utf8(&manifest).unwrap().trim_start_matches('\u{feff}')).unwrap();
        if entry.file_name().to_string_lossy().starts_with("wow64") {
            assert!(manifest == std::fs::read(folder.join("wow64_golden.xml")).unwrap());
        }
        manifests += 1;
    }
    assert!(manifests >= 5, "{manifests}");
}

/// Catalogs state the hashes of the manifests as they are unwrapped.
#[test]
fn real_manifests_of_features_are_in_their_catalogs() {
    let Some(base) = test_data("manifests/msdelta/base_manifest.bin") else { return };
    let base = std::fs::read(base).unwrap();
    let mut manifests = 0;
    for name in ["manifests/fod-openssh-server", "manifests/fod-ie-neutral"] {
        let Some(folder) = test_data(name) else { return };
        let files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        let with = |end: &'static str| files.iter().filter(move |path| path.to_string_lossy().ends_with(end));
        let catalogs: Vec<Vec<u8>> = with(".cat").map(|path| std::fs::read(path).unwrap()).collect();
        for path in with(".manifest") {
            let file = std::fs::read(path).unwrap();
            if store::wrapper(&file).is_none() {
                continue;
            }
            let manifest = store::unwrap(&base, &file, LIMIT).unwrap();
            let stated = |hash: &[u8]| catalogs.iter().any(|catalog| catalog.windows(hash.len()).any(|window| window == hash));
            assert!(stated(&Sha256::digest(&manifest)) || stated(&Sha1::digest(&manifest)), "{}", path.display());
            manifests += 1;
        }
    }
    assert_eq!(manifests, 11);
}

#[test]
fn real_deltas_of_windows_11_apply() {
    let Some(folder) = test_data("manifests/msdelta") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    for (delta, base, target) in [
        ("cmd__to__notepad__raw.pa30", "cmd.exe", "notepad.exe"),
        ("cmd__to__notepad__raw_flag0x20000.pa30", "cmd.exe", "notepad.exe"),
        ("cmd__to__notepad__raw_bsdiff_flag0x100.pa30", "cmd.exe", "notepad.exe"),
        ("cmd__to__cmd_patched__pe_amd64.pa30", "cmd.exe", "cmd_patched.exe"),
        ("advapi32_raw.pa30", "advapi32_old.dll", "advapi32_new.dll"),
        ("advapi32_pe.pa30", "advapi32_old.dll", "advapi32_new.dll"),
        ("genuine/advapi32_pe_genuine.pa30", "advapi32_old.dll", "advapi32_new.dll"),
    ] {
        let bytes = read(&format!("deltas/{delta}"));
        let target = read(&format!("deltas/sources/{target}"));
        assert_eq!(delta::header(&bytes).unwrap().target_size, target.len() as u64);
        assert!(delta::apply(&read(&format!("deltas/sources/{base}")), &bytes, LIMIT).unwrap() == target, "{delta}");
    }
    for name in ["amd64_kbdwol", "amd64_provdiagnostics"] {
        let [base, bytes, target] = ["base.bin", "delta.pa30", "target.bin"].map(|file| read(&format!("pe-decode/{name}/{file}")));
        assert_eq!(delta::header(&bytes).unwrap().kind, Kind::Pa30);
        assert!(delta::apply(&base, &bytes, LIMIT).unwrap() == target, "{name}");
    }
}

/// Inputs that once made another decoder crash or run away.
#[test]
fn real_inputs_of_fuzzers_give_a_value_or_an_error() {
    let Some(folder) = test_data("manifests/msdelta") else { return };
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if !entry.file_name().to_string_lossy().starts_with("fuzz_crash") {
            continue;
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        let _outcome = delta::apply(b"", &bytes, LIMIT);
        let _outcome = delta::apply(&[0; 4096], &bytes, LIMIT);
        tried += 1;
    }
    assert!(tried >= 5, "{tried}");
}

//! The real manifests and catalogs of the test data, for tests: loose files, members of cabinets and MSU files (by
//! cabextract), and members of delta packages that are stored whole.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A file of the corpus.
pub(crate) struct Sample {
    /// Where it came from: path in the test data, then in the cabinet.
    pub path: String,
    /// Its name alone.
    pub name: String,
    /// The folder that it lies in, on disk: payload may lie beside it.
    pub folder: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The corpus, extracted while a test holds it.
pub(crate) struct Corpus {
    samples: Vec<Sample>,
    _scratch: tempfile::TempDir,
}

impl Corpus {
    /// All files with one of the extensions.
    pub(crate) fn with_extension(&self, extension: &str) -> Vec<&Sample> {
        let suffix = format!(".{extension}");
        self.samples.iter().filter(|sample| sample.name.ends_with(&suffix)).collect()
    }
}

/// The corpus. `None`, said loudly, without test data or cabextract.
pub(crate) fn corpus() -> Option<Arc<Corpus>> {
    // Tests run at the same time: the first extracts, the others share.
    static SHARED: Mutex<Weak<Corpus>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(corpus) = shared.upgrade() {
        return Some(corpus);
    }
    let corpus = Arc::new(extract(&["manifest", "mum", "man", "cat"])?);
    *shared = Arc::downgrade(&corpus);
    Some(corpus)
}

fn extract(extensions: &[&str]) -> Option<Corpus> {
    let manifests = wimwright_testkit::test_data("manifests")?;
    let cabinets = wimwright_testkit::test_data("msu_cab")?;
    if !wimwright_testkit::oracles(&["cabextract"]) {
        return None;
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    collect(&manifests, "manifests", extensions, &mut found);
    let mut archives = Vec::new();
    for file in files(&cabinets) {
        let relative = file.strip_prefix(&cabinets).unwrap().to_string_lossy().into_owned();
        let unrelated = ["cabextract/", "libmspack/", "pebakery/", "gcab/"].iter().any(|folder| relative.starts_with(folder));
        if !unrelated && (relative.ends_with(".cab") || relative.ends_with(".msu")) {
            archives.push((file, relative));
        }
    }
    while let Some((archive, relative)) = archives.pop() {
        let folder = scratch.path().join(&relative);
        std::fs::create_dir_all(&folder).unwrap();
        // cabextract says so when a signature follows the cabinet; what it extracted is looked at, not what it said.
        Command::new("cabextract").arg("-q").arg("-d").arg(&folder).arg(&archive).output().unwrap();
        rebuild_stored(&folder);
        collect(&folder, &relative, extensions, &mut found);
        for inner in files(&folder).into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "cab")) {
            let name = inner.file_name().unwrap().to_string_lossy().into_owned();
            archives.push((inner, format!("{relative}.in/{name}")));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Some(Corpus { samples: found, _scratch: scratch })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn collect(folder: &Path, prefix: &str, extensions: &[&str], found: &mut Vec<Sample>) {
    for file in files(folder) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if extensions.iter().any(|extension| name.ends_with(&format!(".{extension}"))) {
            let relative = file.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            let bytes = std::fs::read(&file).unwrap();
            found.push(Sample { path: format!("{prefix}/{relative}"), name, folder: file.parent().unwrap().to_path_buf(), bytes });
        }
    }
}

/// Gives the members of a delta package (`_manifest_.cix.xml`) that are stored whole their names.
fn rebuild_stored(folder: &Path) {
    let Ok(bytes) = std::fs::read(folder.join("_manifest_.cix.xml")) else { return };
    let text = crate::xml::decode(&bytes).unwrap();
    let document = crate::xml::parse(&text).unwrap();
    for file in document.descendants().filter(|node| node.tag_name().name() == "File") {
        let source = file.descendants().find(|node| node.tag_name().name() == "Source" && node.attribute("type") == Some("RAW"));
        let Some(member) = source.and_then(|source| source.attribute("name")) else { continue };
        let target = folder.join(file.attribute("name").unwrap().replace('\\', "/"));
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        let member = folder.join(member.replace('\\', "/"));
        if member != target {
            std::fs::copy(member, target).unwrap();
        }
    }
}

//! The real component manifests of the test data: loose files, members of cabinets, of cabinets in cabinets, and of
//! packages whose files are deltas against one another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use wimwright_codec::delta;
use wimwright_format::archive::Archive as _;
use wimwright_format::cab::Cabinet;
use wimwright_format::container_index::{ContainerIndex, Place, Rebuilder};
use wimwright_format::io::{FileSource, ReadAt};
use wimwright_format::manifest::stored::Stored;

/// Largest manifest that is decoded, in bytes.
const LIMIT: u64 = 16 << 20;

/// All manifests as XML, by their file names; of several equal ones the first.
pub(super) fn manifests() -> Option<&'static BTreeMap<String, Vec<u8>>> {
    static SHARED: OnceLock<Option<BTreeMap<String, Vec<u8>>>> = OnceLock::new();
    SHARED.get_or_init(read).as_ref()
}

fn read() -> Option<BTreeMap<String, Vec<u8>>> {
    let loose = wimwright_testkit::test_data("manifests")?;
    let text = wimwright_testkit::test_data("text/unattend/UFCase-comp_unattend-manifest.xml")?;
    let cabinets = wimwright_testkit::test_data("msu_cab")?;
    let dictionary = std::fs::read(wimwright_testkit::test_data("manifests/msdelta/base_manifest.bin")?).unwrap();
    let mut stored = BTreeMap::new();
    for path in files(&loose).into_iter().chain([text]) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".manifest") || name.starts_with("UFCase-comp_") {
            stored.entry(name).or_insert_with(|| std::fs::read(&path).unwrap());
        }
    }
    for path in files(&cabinets) {
        let relative = path.strip_prefix(&cabinets).unwrap().to_string_lossy().into_owned();
        let of_other_tools =
            ["cabextract/", "libmspack/", "libarchive/", "pebakery/", "gcab/"].iter().any(|folder| relative.starts_with(folder));
        if !of_other_tools && (relative.ends_with(".cab") || relative.ends_with(".msu")) {
            read_cabinet(Arc::new(FileSource::new(std::fs::File::open(&path).unwrap()).unwrap()), &mut stored);
        }
    }
    let decode = |(name, bytes): (String, Vec<u8>)| {
        let base = |with_dictionary| if with_dictionary { dictionary.as_slice() } else { &[] };
        let xml = Stored::of(&bytes).unwrap().decode(|bytes, with_dictionary| delta::apply(base(with_dictionary), bytes, LIMIT));
        (name, xml.unwrap().into_owned())
    };
    Some(stored.into_iter().map(decode).collect())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn read_cabinet(source: Arc<dyn ReadAt>, stored: &mut BTreeMap<String, Vec<u8>>) {
    let cabinet = Cabinet::open(source).unwrap();
    let names: Vec<String> = cabinet.members().iter().map(|member| member.name.clone()).collect();
    let open = |name: &str| {
        let source = cabinet.open(&[name]).unwrap().remove(0);
        let mut bytes = vec![0; usize::try_from(source.size()).unwrap()];
        source.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    };
    for name in &names {
        if name.ends_with(".manifest") {
            let last = name.rsplit('\\').next().unwrap();
            stored.entry(last.to_owned()).or_insert_with(|| open(name));
        } else if name.ends_with(".cab") {
            read_cabinet(cabinet.open(&[name]).unwrap().remove(0), stored);
        } else if name == "_manifest_.cix.xml" {
            let index = ContainerIndex::parse(&open(name)).unwrap();
            let rebuilt = Mutex::new(BTreeMap::new());
            let rebuilder = Rebuilder {
                read: &|source| match &source.place {
                    Place::Member(name) => Ok(open(name).into()),
                    place => Err(format!("{place:?}").into()),
                },
                apply: &|_, basis, bytes, limit| delta::apply(basis, bytes, limit).map_err(Into::into),
                find_basis: &|_, _, _| None,
            };
            let wanted = |name: &str| name.ends_with(".manifest");
            let keep = |name: &str, bytes: &[u8]| rebuilt.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
            rebuilder
                .rebuild(
                    &index,
                    |file| wanted(&file.name),
                    |file, bytes| {
                        keep(&file.name, bytes);
                        Ok(())
                    },
                )
                .unwrap();
            for (name, bytes) in rebuilt.into_inner().unwrap() {
                stored.entry(name.rsplit('\\').next().unwrap().to_owned()).or_insert(bytes);
            }
        }
    }
}

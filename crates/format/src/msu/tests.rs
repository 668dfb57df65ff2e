use std::io::Write;

use super::*;
use crate::cab::{CabinetWriter, WriterCompression};
use crate::digest::Digest;
use crate::psf::{PsfFile, write_psf};

const TIME: u64 = 132_000_000_000_000_000;

fn cabinet(compression: WriterCompression, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = CabinetWriter::new(compression);
    for (name, data) in members {
        writer.add(name, data, TIME, 0x20).unwrap();
    }
    let mut bytes = Vec::new();
    writer.finish(&mut bytes).unwrap();
    bytes
}

fn package(mark: &[u8]) -> Vec<u8> {
    cabinet(WriterCompression::Mszip, &[("update.mum", mark), ("a\\b.dll", b"payload")])
}

fn open(bytes: Vec<u8>) -> Result<Update, MsuError> {
    Update::open(Arc::new(bytes))
}

fn read(package: &PackageArchive, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for source in package.open_members(&[name]).unwrap() {
        io::Read::read_to_end(&mut Reader::new(source), &mut bytes).unwrap();
    }
    bytes
}

fn names(update: &Update) -> Vec<&str> {
    update.packages.iter().map(|package| package.name.as_str()).collect()
}

#[test]
fn a_package_may_stand_alone() {
    let update = open(package(b"one")).unwrap();
    assert_eq!((update.generation, names(&update)), (Generation::Package, vec![""]));
    assert_eq!(update.packages[0].layout, Layout::Expanded);
    assert_eq!(read(&update.packages[0], "A/B.DLL".replace('/', "\\").as_str()), b"payload");
    assert!(matches!(open(b"%PDF".to_vec()), Err(MsuError::UnknownFormat)));
    assert!(matches!(open(Vec::new()), Err(MsuError::UnknownFormat)));
}

#[test]
fn generations_are_told_apart_by_content() {
    let (one, two) = (package(b"one"), package(b"two"));
    let scan = cabinet(WriterCompression::Mszip, &[("package.xml", b"<scan/>")]);
    let tools = cabinet(WriterCompression::Mszip, &[("dpx.dll", b"MZ")]);
    for compression in [WriterCompression::Stored, WriterCompression::Mszip] {
        // The names say the opposite of the content.
        let classic = open(cabinet(compression, &[("WSUSSCAN.cab", &one), ("Windows.cab", &scan), ("x.xml", b"<toc/>")])).unwrap();
        assert_eq!((classic.generation, names(&classic)), (Generation::Classic, vec!["WSUSSCAN.cab"]));
        assert_eq!(classic.others.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["Windows.cab", "x.xml"]);
        let combined = open(cabinet(compression, &[("SSU.cab", &one), ("LCU.cab", &two)])).unwrap();
        assert_eq!((combined.generation, names(&combined)), (Generation::Combined, vec!["SSU.cab", "LCU.cab"]));
        assert_eq!(read(&combined.packages[1], "update.mum"), b"two");
        let uup = open(cabinet(compression, &[("a.cab", &one), ("b.cab", &tools)])).unwrap();
        assert_eq!((uup.generation, names(&uup)), (Generation::Uup, vec!["a.cab"]));
        let loose = open(cabinet(compression, &[("setup.exe", b"MZ"), ("nested.cab", &tools)])).unwrap();
        assert_eq!((loose.generation, loose.packages.len(), loose.others.len()), (Generation::Loose, 0, 2));
    }
}

/// A package with an external index, and its PSF.
fn package_with_psf(container: &str, content: &'static [u8]) -> (Vec<u8>, Vec<u8>) {
    let mut psf = Vec::new();
    let file = PsfFile {
        name: "c\\f\\file.dll",
        kind: crate::container_index::SourceKind::Raw,
        carried: content,
        digest: Digest::sha256(content),
        length: content.len() as u64,
        time: TIME,
    };
    let index = write_psf(container, &[file], &mut psf).unwrap().to_xml();
    (cabinet(WriterCompression::Mszip, &[("update.mum", b"mum"), ("express.psf.cix.xml", index.as_bytes())]), psf)
}

#[test]
fn a_package_finds_its_psf() {
    let (package, psf) = package_with_psf("any", b"content");
    let (_, other) = package_with_psf("any", b"longer content");
    let uup =
        open(cabinet(WriterCompression::Stored, &[("Windows11.0-KB1-x64.cab", &package), ("x.psf", &other), ("y.psf", &psf)])).unwrap();
    assert_eq!(uup.generation, Generation::Uup);
    let [found] = uup.packages.as_slice() else { panic!("one package") };
    let Layout::Psf { index_name, index } = &found.layout else { panic!("a PSF layout") };
    assert_eq!((index_name.as_str(), index.files.len()), ("express.psf.cix.xml", 1));
    let psf_file = crate::psf::Psf::open(found.psf.clone().unwrap()).unwrap();
    assert_eq!(psf_file.read(index.files[0].deltas[0].source.as_ref().unwrap()).unwrap(), b"content");

    // Two of the same length: the name decides.
    let same = cabinet(WriterCompression::Stored, &[("KB1.cab", &package), ("KB2.psf", &psf), ("kb1.PSF", &psf)]);
    assert!(open(same).unwrap().packages[0].psf.is_some());
    let ambiguous = cabinet(WriterCompression::Stored, &[("KB1.cab", &package), ("KB2.psf", &psf), ("KB3.psf", &psf)]);
    assert!(matches!(open(ambiguous), Err(MsuError::NoPsf { length, .. }) if length == psf.len() as u64));
    let missing = cabinet(WriterCompression::Stored, &[("KB1.cab", &package), ("x.psf", &other)]);
    assert!(matches!(open(missing), Err(MsuError::NoPsf { .. })));
    assert!(open(package).unwrap().packages[0].psf.is_none(), "alone, the caller finds the PSF");
}

#[test]
fn nested_cabinets_are_one_package() {
    let first = cabinet(WriterCompression::Mszip, &[("update.mum", b"mum"), ("a", b"old")]);
    let second = cabinet(WriterCompression::Mszip, &[("b\\c", b"c"), ("A", b"new")]);
    let outer = cabinet(WriterCompression::Stored, &[("cabinet.cablist.ini", b"[x]"), ("Cab1.cab", &first), ("Cab2.cab", &second)]);
    let update = open(outer).unwrap();
    assert_eq!(update.generation, Generation::Package);
    let package = &update.packages[0];
    let mut members: Vec<_> = package.members().map(|member| member.name.clone()).collect();
    members.sort();
    assert_eq!(members, ["A", "b\\c", "cabinet.cablist.ini", "update.mum"]);
    assert_eq!((read(package, "a"), read(package, "update.mum")), (b"new".to_vec(), b"mum".to_vec()));
    let mut visited = Vec::new();
    package
        .visit(&|_| true, &mut |name, reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            visited.push((name.to_owned(), bytes.len()));
            Ok(())
        })
        .unwrap();
    visited.sort();
    assert_eq!(visited, [("A".into(), 3), ("b\\c".into(), 1), ("cabinet.cablist.ini".into(), 3), ("update.mum".into(), 3)]);
}

/// A WIM of one image with these files.
fn wim(files: &[(&str, &[u8])]) -> Vec<u8> {
    use crate::wim::write::{BlobSource, ImageSource, ImageToWrite, WimPlan, WriteOptions};
    use crate::wim::{BlobId, Dentry, ImageInfo, Metadata, file_attributes};
    let mut root = Dentry { attributes: file_attributes::DIRECTORY, ..Dentry::default() };
    let mut blobs: HashMap<BlobId, Arc<[u8]>> = HashMap::new();
    for (path, bytes) in files {
        let mut folder = &mut root.children;
        let mut parts: Vec<&str> = path.split('\\').collect();
        let name = parts.pop().unwrap();
        for part in parts {
            folder.push(Dentry { name: part.into(), attributes: file_attributes::DIRECTORY, ..Dentry::default() });
            folder = &mut folder.last_mut().unwrap().children;
        }
        let id = (!bytes.is_empty()).then(|| BlobId::of(bytes));
        folder.push(Dentry { name: name.into(), attributes: 0x20, data: id, ..Dentry::default() });
        blobs.extend(id.map(|id| (id, Arc::from(*bytes))));
    }
    let metadata = Box::new(Metadata { root, ..Metadata::default() });
    let image = ImageToWrite { source: ImageSource::Tree(metadata), info: ImageInfo::named("update") };
    let plan = WimPlan::new(vec![image], WriteOptions::new(None, [7; 16]), &|id| blobs.get(id).cloned().map(BlobSource::Bytes)).unwrap();
    let mut output = io::Cursor::new(Vec::new());
    plan.write(&mut output, &mut |_| ()).unwrap();
    output.into_inner()
}

#[test]
fn an_update_may_be_a_wim_around_wims_and_cabinets() {
    let stack = package(b"stack");
    let mut psf = Vec::new();
    let content = b"content of the file".to_vec();
    let file = PsfFile {
        name: r"amd64_a\f.dll",
        kind: crate::container_index::SourceKind::Raw,
        carried: &content,
        digest: Digest::sha256(&content),
        length: content.len() as u64,
        time: 0,
    };
    let index = write_psf("c", &[file], &mut psf).unwrap();
    let cumulative = wim(&[("update.mum", b"mum"), ("express.psf.cix.xml", index.to_xml().as_bytes())]);
    let update = open(wim(&[("SSU.cab", &stack), ("KB1.wim", &cumulative), ("KB1.psf", &psf), ("empty.txt", b"")])).unwrap();
    assert_eq!(update.generation, Generation::Wim);
    assert_eq!(names(&update), ["SSU.cab", "KB1.wim"]);
    let [stack, cumulative] = update.packages.as_slice() else { panic!("two packages") };
    let files = cumulative.files();
    assert_eq!(files, [(r"amd64_a\f.dll".to_owned(), 19), ("update.mum".to_owned(), 3)]);
    assert_eq!(cumulative.file(r"AMD64_A\F.DLL").unwrap(), content);
    assert_eq!(cumulative.file("update.mum").unwrap(), b"mum");
    assert!(matches!(cumulative.file("express.psf.cix.xml"), Err(FilesError::Archive(ArchiveError::NoSuchMember(_)))));
    assert_eq!(stack.file(r"a\b.dll").unwrap(), b"payload");
    let mut wim = b"MSWIM\0\0\0".to_vec();
    wim.write_all(&[0; 200]).unwrap();
    assert!(matches!(open(wim), Err(MsuError::Wim { .. })));
}

/// Every file of every real package, by its stated digest.
#[test]
fn real_packages_give_all_their_files() {
    for (file, count) in [
        ("Windows6.1-KB2465285-x64.msu", 34),
        ("Windows8.1-KB2937592-x86.msu", 247),
        ("OpenSSH-19041/OpenSSH-Client-Package~31bf3856ad364e35~amd64~~.cab", 25),
    ] {
        let Some(path) = wimwright_testkit::test_data(&format!("msu_cab/{file}")) else { return };
        let update = open(std::fs::read(path).unwrap()).unwrap();
        let package = &update.packages[0];
        let made = std::sync::Mutex::new(Vec::new());
        package
            .make(&|_| true, &|name, bytes| {
                made.lock().unwrap().push((name.to_owned(), bytes.len() as u64));
                Ok(())
            })
            .unwrap();
        let mut made = made.into_inner().unwrap();
        made.sort_by_cached_key(|(name, _)| fold_name(name));
        assert_eq!(made, package.files(), "{file}");
        assert_eq!(made.len(), count, "{file}");
        assert!(!package.file("update.mum").unwrap().is_empty());
    }
}

#[test]
fn real_updates_of_the_classic_generation() {
    for (file, identity, version, deltas) in [
        ("Windows6.1-KB2465285-x64.msu", "Package_for_KB2465285", "6.1.1.0", 34),
        ("Windows6.1-KB2584475-x86.msu", "Package_for_KB2584475", "6.1.1.0", 34),
        ("Windows6.1-KB2780124-x64.msu", "Package_for_KB2780124", "6.1.1.0", 33),
        ("Windows6.1-KB3040017-x86.msu", "Package_for_KB3040017", "6.1.1.0", 40),
        ("Windows8.1-KB2937592-x86.msu", "Package_for_KB2937592", "6.3.1.0", 247),
    ] {
        let Some(path) = wimwright_testkit::test_data(&format!("msu_cab/{file}")) else { return };
        let update = open(std::fs::read(path).unwrap()).unwrap();
        assert_eq!(update.generation, Generation::Classic, "{file}");
        assert_eq!(update.others.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["WSUSSCAN.cab"]);
        let [request] = update.requests.as_slice() else { panic!("{file}: {:?}", update.requests) };
        assert_eq!(
            (request.action.as_str(), request.identity.name.as_str(), request.identity.version.as_str()),
            ("install", identity, version)
        );
        let location = request.location.as_deref().unwrap();
        assert!(ends_with(location, &update.packages[0].name), "{location} ends in {}", update.packages[0].name);
        assert_eq!(update.properties.as_ref().unwrap().get("KB Article Number"), Some(&identity[14..]));
        let [package] = update.packages.as_slice() else { panic!("{file}") };
        let Layout::Deltas { index, .. } = &package.layout else { panic!("{file}: {:?}", package.layout) };
        assert_eq!(index.files.len(), deltas, "{file}");
    }
}

#[test]
fn real_packages_that_stand_alone() {
    for (file, members) in [
        ("OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab", 27),
        ("HyperV-IC-2019-Windows6.2-HyperVIntegrationServices-x64.cab", 73),
        ("onecore-arm64/Cityman/Microsoft-OneCore-Cityman-PLAT-Package~31bf3856ad364e35~ARM64~~.cab", 19),
    ] {
        let Some(path) = wimwright_testkit::test_data(&format!("msu_cab/{file}")) else { return };
        let update = open(std::fs::read(path).unwrap()).unwrap();
        assert_eq!((update.generation, update.packages.len()), (Generation::Package, 1), "{file}");
        assert_eq!((update.packages[0].members().count(), &update.packages[0].layout), (members, &Layout::Expanded), "{file}");
    }
}

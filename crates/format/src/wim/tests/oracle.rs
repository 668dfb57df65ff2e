//! wimlib as the judge: it reads what we write, we read what it writes.

use super::*;
use crate::wim::write::{Output, Solid, split};
use wimwright_testkit::oracles;

fn wimlib(arguments: &[&str], path: &Path) -> String {
    let mut command = Command::new("wimlib-imagex");
    let output = run(command.arg(arguments[0]).arg(path).args(&arguments[1..]));
    String::from_utf8(output.stdout).unwrap()
}

/// What wimlib shows of a WIM, apart from how it is stored.
fn shown(path: &Path) -> String {
    let detailed = wimlib(&["dir", "1", "--detailed"], path);
    let storage =
        ["Compressed size", "Offset in WIM", "Raw compressed size", "Raw uncompressed size", "Solid resource", "Solid offset", "Flags "];
    let kept = detailed.lines().filter(|line| !storage.iter().any(|word| line.trim_start().starts_with(word)));
    let xml = run(Command::new("wimlib-imagex").arg("info").arg(path).args(["--extract-xml", "/dev/stdout"])).stdout;
    let xml = xml::decode_text(&xml).unwrap();
    let image = &xml[xml.find("<IMAGE").unwrap()..xml.rfind("</IMAGE>").unwrap()];
    format!("{}\n{image}", kept.collect::<Vec<_>>().join("\n"))
}

/// Lets wimlib extract image 1 and compares the result with a folder.
fn assert_applies(path: &Path, tree: &Path, options: &[&str]) {
    let applied = tempfile::tempdir().unwrap();
    let mut command = Command::new("wimlib-imagex");
    run(command.arg("apply").arg(path).arg("1").arg(applied.path()).arg("--quiet").args(options));
    run(Command::new("diff").arg("-r").arg("--no-dereference").arg(tree).arg(applied.path()));
}

/// Compares an image's files with those of a folder, all read by us.
fn assert_contains(set: &WimSet, tree: &Path) {
    let metadata = set.first().metadata(1).unwrap();
    let mut waiting = vec![(&metadata.root, tree.to_owned())];
    let mut files = 0;
    while let Some((entry, path)) = waiting.pop() {
        for child in &entry.children {
            waiting.push((child, path.join(child.name.to_string_lossy())));
        }
        if entry.is_directory() || entry.reparse.is_some() {
            continue;
        }
        files += 1;
        let mut bytes = Vec::new();
        if let Some(id) = entry.data {
            set.copy_blob(&id, &mut bytes).unwrap();
        }
        assert!(bytes == std::fs::read(&path).unwrap(), "{}", path.display());
    }
    assert_eq!(files, 68);
}

#[test]
fn oracle_wimlib_reads_what_we_write() {
    if !oracles(&["wimlib-imagex"]) {
        return;
    }
    let captured = Captured::new(&["--compress=LZX:20"]);
    let wim = open(&captured.wim());
    let expected = shown(&captured.wim());
    let own = |compression, chunk_size| WriteOptions { chunk_size, integrity: true, ..WriteOptions::new(compression, [7; 16]) };
    let (none, xpress) = (own(None, 0), own(Some(Compression::Xpress), 4096));
    let (lzx, lzms) = (own(Some(Compression::Lzx), 1 << 15), own(Some(Compression::Lzms), 1 << 17));
    let solid = Some(Solid { compression: Compression::Lzms, chunk_size: 1 << 20 });
    let cases = [
        (true, none.clone()),
        (true, xpress.clone()),
        (true, lzx.clone()),
        (false, lzx.clone()),
        (true, lzms.clone()),
        (false, WriteOptions { recompress: true, integrity: false, ..lzx.clone() }),
        (true, WriteOptions { pipable: true, ..none }),
        (false, WriteOptions { pipable: true, ..xpress }),
        (true, WriteOptions { solid, ..lzx }),
        (false, WriteOptions { solid, ..lzms }),
    ];
    for (as_trees, options) in cases {
        let options = WriteOptions { level: Level::FAST, ..options };
        let case = format!("trees {as_trees}: {options:?}");
        let bytes = write(&plan_of(&wim, as_trees, options));
        let path = captured.put(&bytes);
        wimlib(&["verify"], &path);
        assert_eq!(shown(&path), expected, "{case}");
        open(&path).verify(&mut |_| ()).unwrap();
        assert_applies(&path, &captured.tree(), &[]);
    }
}

#[test]
fn oracle_we_read_what_wimlib_writes() {
    if !oracles(&["wimlib-imagex"]) {
        return;
    }
    let variants: [&[&str]; 10] = [
        &["--compress=none", "--check"],
        &["--compress=XPRESS", "--chunk-size=4K", "--unix-data"],
        &["--compress=XPRESS", "--wimboot"],
        &["--compress=LZX:20", "--check", "--boot"],
        &["--compress=LZX:20", "--chunk-size=2M"],
        &["--compress=LZMS:20"],
        &["--compress=LZMS:20", "--solid", "--solid-chunk-size=128K", "--solid-compress=LZMS:20"],
        &["--compress=LZX:20", "--solid", "--solid-compress=XPRESS", "--solid-chunk-size=64K"],
        &["--compress=LZX:20", "--pipable", "--check"],
        &["--compress=none", "--pipable"],
    ];
    for options in variants {
        let captured = Captured::new(options);
        let wim = open(&captured.wim());
        wim.verify(&mut |_| ()).unwrap_or_else(|error| panic!("{options:?}: {error:?}"));
        assert_eq!(wim.images()[0].name().as_deref(), Some("Name & <tag>"));
        assert_eq!(wim.header().boot_index, u32::from(options.contains(&"--boot")));
        assert_eq!(wim.images()[0].get("WIMBOOT").is_some(), options.contains(&"--wimboot"), "{options:?}");
        let metadata = wim.metadata(1).unwrap();
        let unix = metadata.root.tagged_items.get(TAG_WIMLIB_UNIX_DATA).is_some();
        assert_eq!(unix, options.contains(&"--unix-data"), "{options:?}");
        assert_contains(&WimSet::new(vec![Arc::clone(&wim)], Vec::new()).unwrap(), &captured.tree());
        // All of it copied raw, or for an ESD whole.
        let mut same = WriteOptions { chunk_size: wim.header().chunk_size, ..WriteOptions::new(wim.header().compression, [3; 16]) };
        same.pipable = wim.header().pipable;
        if let Some(Layout::Chunked { compression: Some(compression), chunk_size, form: ChunkForm::Solid }) =
            wim.blobs().first().map(|blob| blob.resource.layout)
        {
            same.solid = Some(Solid { compression, chunk_size });
        }
        let plan = plan_of(&wim, false, same);
        assert!(plan.planned_size().is_some(), "{options:?}");
        let path = captured.put(&write(&plan));
        wimlib(&["verify"], &path);
        assert_eq!(shown(&path), shown(&captured.wim()), "{options:?}");
    }
}

#[test]
fn oracle_split_wims_both_ways() {
    if !oracles(&["wimlib-imagex"]) {
        return;
    }
    let captured = Captured::new(&["--compress=LZX:20"]);
    let folder = captured.folder.path();
    run(Command::new("wimlib-imagex").arg("split").arg(captured.wim()).arg(folder.join("theirs.swm")).arg("0.15"));
    let parts = (1..10).map(|number| folder.join(if number == 1 { "theirs.swm".to_owned() } else { format!("theirs{number}.swm") }));
    let parts: Vec<_> = parts.take_while(|path| path.exists()).map(|path| open(&path)).collect();
    assert!(parts.len() > 2);
    assert_contains(&WimSet::new(parts, Vec::new()).unwrap(), &captured.tree());

    let wim = open(&captured.wim());
    let mut options = WriteOptions::new(Some(Compression::Lzx), [9; 16]);
    options.integrity = true;
    let plan = plan_of(&wim, false, options);
    let name = |number| folder.join(if number == 1 { "ours.swm".to_owned() } else { format!("ours{number}.swm") });
    let mut create = |number| {
        let file = File::options().read(true).write(true).create_new(true).open(name(number)).unwrap();
        Ok(Box::new(file) as Box<dyn Output>)
    };
    let parts = split(&plan, 150_000, &mut create, &mut |_| ()).unwrap();
    assert!(parts.len() > 1);
    for part in &parts {
        assert_eq!(part.size, std::fs::metadata(name(part.number)).unwrap().len());
        let ours = open(&name(part.number));
        assert!(part.size <= 150_000 || ours.blobs().len() == 1, "{part:?}");
        ours.verify(&mut |_| ()).unwrap();
    }
    let pattern = format!("--ref={}", folder.join("ours*.swm").display());
    assert_applies(&name(1), &captured.tree(), &[&pattern, "--check"]);
    assert_contains(&WimSet::new(parts.iter().map(|part| open(&name(part.number))).collect(), Vec::new()).unwrap(), &captured.tree());
}

#[test]
fn oracle_delta_wims_both_ways() {
    if !oracles(&["wimlib-imagex"]) {
        return;
    }
    let captured = Captured::new(&["--compress=LZX:20"]);
    let base = open(&captured.wim());
    std::fs::write(captured.tree().join("small.txt"), b"changed\n").unwrap();
    let delta = captured.folder.path().join("delta.wim");
    let mut command = Command::new("wimlib-imagex");
    run(command.arg("capture").arg(captured.tree()).arg(&delta).arg("--quiet").arg(format!("--delta-from={}", captured.wim().display())));
    let theirs = open(&delta);
    assert_eq!(theirs.blobs().len(), 1);
    let set = WimSet::new(vec![Arc::clone(&theirs)], vec![Arc::clone(&base)]).unwrap();
    assert_contains(&set, &captured.tree());

    let changed: Arc<[u8]> = Arc::from(&b"changed\n"[..]);
    let images = vec![ImageToWrite { source: ImageSource::Tree(Box::new(theirs.metadata(1).unwrap())), info: theirs.images()[0].clone() }];
    let resolve = |id: &BlobId| match base.blob(id) {
        Some(_) => Some(BlobSource::Elsewhere),
        None => Some(BlobSource::Bytes(Arc::clone(&changed))),
    };
    let plan = WimPlan::new(images, WriteOptions::new(Some(Compression::Lzx), [4; 16]), &resolve).unwrap();
    let path = captured.put(&write(&plan));
    let ours = open(&path);
    assert_eq!(ours.blobs().len(), 1);
    assert_applies(&path, &captured.tree(), &[&format!("--ref={}", captured.wim().display())]);
    assert_contains(&WimSet::new(vec![ours], vec![base]).unwrap(), &captured.tree());
}

/// What no Linux capture makes: short names, named streams, object identifiers, extended attributes, junctions.
#[test]
fn oracle_wimlib_shows_every_field_as_we_wrote_it() {
    if !oracles(&["wimlib-imagex"]) {
        return;
    }
    let data: Arc<[u8]> = Arc::from(&b"contents"[..]);
    let id = BlobId::of(&data);
    let mut file = Dentry {
        name: "Long file name.txt".into(),
        short_name: "LONGFI~1.TXT".into(),
        attributes: 0x20,
        security_id: Some(0),
        creation_time: 132_000_000_000_000_000,
        last_write_time: 132_000_000_010_000_000,
        data: Some(id),
        hard_link_group: 77,
        named_streams: vec![NamedStream { name: "Zone.Identifier".into(), blob: Some(id), reserved: 0 }],
        ..Dentry::default()
    };
    file.tagged_items.set(TAG_OBJECT_ID, Some(&[0xab; 16]));
    file.tagged_items.set(TAG_EXTENDED_ATTRIBUTES, Some(b"\x03\x00\x02\x00EA\0val"));
    let junction = Dentry {
        name: "junction".into(),
        attributes: file_attributes::DIRECTORY | file_attributes::REPARSE_POINT,
        reparse: Some(Reparse { tag: 0xa000_0003, reserved: 0, flags: 1, data: Some(id) }),
        ..Dentry::default()
    };
    let second = Dentry { name: "second name".into(), short_name: Name::default(), ..file.clone() };
    let folder = Dentry { name: "folder".into(), attributes: file_attributes::DIRECTORY, children: vec![second], ..Dentry::default() };
    let root = Dentry { attributes: file_attributes::DIRECTORY, children: vec![file, junction, folder], ..Dentry::default() };
    // Owner and group S-1-5-18, no lists.
    let sid = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    let descriptor: Vec<u8> = [1, 0, 0, 0x80, 20, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].into_iter().chain(sid).chain(sid).collect();
    let metadata = Metadata { security_descriptors: vec![Arc::from(descriptor)], root };
    let mut info = ImageInfo::named("all fields");
    info.set_statistics(&metadata.statistics(&|_| 8));
    info.set("WINDOWS/VERSION/BUILD", "26100");
    let images = vec![ImageToWrite { source: ImageSource::Tree(Box::new(metadata.clone())), info }];
    let options = WriteOptions { boot_index: 1, ..WriteOptions::new(Some(Compression::Lzx), [5; 16]) };
    let plan = WimPlan::new(images, options, &|_| Some(BlobSource::Bytes(Arc::clone(&data)))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fields.wim");
    std::fs::write(&path, write(&plan)).unwrap();
    wimlib(&["verify"], &path);
    let detailed = wimlib(&["dir", "1", "--detailed"], &path);
    for expected in [
        "Full Path           = \"/Long file name.txt\"",
        "Short Name          = \"LONGFI~1.TXT\"",
        "Named data stream \"Zone.Identifier\"",
        "Link Count          = 2",
        "Reparse Tag         = 0xa0000003",
        "Creation Time       = Wed Apr 17 18:40:00 2019 UTC",
        "Object ID           = 0xabababababababababababababababab",
        "Security Descriptor = 0100008014",
    ] {
        assert!(detailed.contains(expected), "{expected}:\n{detailed}");
    }
    let table = wimlib(&["info", "--blobs"], &path);
    assert!(table.contains("Reference Count   = 5"), "{table}");
    assert!(wimlib(&["info"], &path).contains("Boot Index:     1"));
    assert!(wimlib(&["info", "1"], &path).contains("Build:                  26100"));
    assert_eq!(open(&path).metadata(1).unwrap(), metadata);
}

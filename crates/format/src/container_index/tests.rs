use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use wimwright_testkit::test_data;

use super::*;
use crate::cab::Cabinet;

const NAMESPACE: &str = r#"xmlns="urn:ContainerIndex""#;

fn container(files: &str) -> Result<ContainerIndex, IndexError> {
    ContainerIndex::parse(format!(r#"<?xml version="1.0"?><Container name="c" type="CAB" length="99" version="1" {NAMESPACE}><Description/><Files>{files}</Files></Container>"#).as_bytes())
}

fn file(id: u64, name: &str, delta: &str) -> String {
    let hash = Digest::sha1(b"");
    format!(r#"<File id="{id}" name="{name}" length="0" time="1" attr="32"><Hash alg="SHA1" value="{hash}"/><Delta>{delta}</Delta></File>"#)
}

#[test]
fn files_sources_and_bases_are_read() {
    let digest = Digest::sha256(b"x");
    let hash = format!(r#"<Hash alg="SHA256" value="{digest}"/>"#);
    let xml = format!(
        r#"<Container name="PSFX.CIX" type="PSFX" version="2" {NAMESPACE}><DeltaBasisSearch><Location id="0" path="{{windir}}\winsxs" flags="2000001" /></DeltaBasisSearch>
        <Files><!-- a comment --><File id="7" name="c\a &amp; b.dll" length="30" time="134225614730000000" attr="128">{hash}
        <Delta><Source type="PA30" name="c\f\a.dll">{hash}</Source><Basis length="10">{hash}</Basis></Delta>
        <Delta><Source type="RAW" offset="128" length="30"/></Delta></File>
        <File id="8" name="copy" length="30">{hash}<Delta><Basis file="7"/></Delta></File></Files></Container>"#
    );
    let index = ContainerIndex::parse(xml.as_bytes()).unwrap();
    assert_eq!((index.kind, index.version, index.length, index.name.as_str()), (ContainerKind::Psfx, 2, 0, "PSFX.CIX"));
    assert_eq!(index.locations, [BasisLocation { id: 0, path: r"{windir}\winsxs".into(), flags: "2000001".into() }]);
    let source = |kind, place, digest| Some(Source { kind, place, digest });
    let expected = IndexedFile {
        id: 7,
        name: r"c\a & b.dll".into(),
        length: 30,
        time: 134_225_614_730_000_000,
        attributes: 128,
        digest,
        deltas: vec![
            Delta {
                source: source(SourceKind::Pa30, Place::Member(r"c\f\a.dll".into()), Some(digest)),
                basis: Some(Basis::External { length: 10, digest }),
            },
            Delta { source: source(SourceKind::Raw, Place::Range { offset: 128, length: 30 }, None), basis: None },
        ],
    };
    assert_eq!(index.files[0], expected);
    assert_eq!(index.files[1].deltas, [Delta { source: None, basis: Some(Basis::File(0)) }]);
    assert_eq!((index.files[1].time, index.files[1].attributes), (0, 0));
    assert_eq!(ContainerIndex::parse(index.to_xml().as_bytes()).unwrap(), index, "written and read again");
}

#[test]
fn contradictions_are_refused() {
    let raw = r#"<Source type="RAW" name="0"/>"#;
    assert!(container(&file(1, "a", raw)).is_ok());
    let two = |left: &str, right: &str| container(&format!("{left}{right}"));
    assert!(matches!(two(&file(1, "a", raw), &file(1, "b", raw)), Err(IndexError::DuplicateId(1))));
    assert!(matches!(two(&file(1, "a", raw), &file(2, "A", raw)), Err(IndexError::DuplicateName(_))));
    assert!(matches!(container(&file(1, "..\\a", raw)), Err(IndexError::Name { .. })));
    let on = |basis: u64| format!(r#"<Basis file="{basis}"/>"#);
    assert!(matches!(container(&file(1, "a", &on(2))), Err(IndexError::NoSuchBasis { basis: 2, .. })));
    assert!(matches!(container(&file(1, "a", &on(1))), Err(IndexError::Cycle(_))));
    assert!(matches!(two(&file(1, "a", &on(2)), &file(2, "b", &on(1))), Err(IndexError::Cycle(_))));
    assert!(matches!(container(&file(1, "a", "")), Err(IndexError::Missing { element: "Delta", .. })));
    assert!(matches!(container(&file(1, "a", &raw.repeat(2))), Err(IndexError::TooMany(_))));
    assert!(matches!(container(&file(1, "a", r#"<Source type="ZIP" name="0"/>"#)), Err(IndexError::Value { attribute: "type", .. })));
    assert!(matches!(container(&file(1, "a", r#"<Source type="RAW"/>"#)), Err(IndexError::Missing { attribute: "offset", .. })));
    let range = |offset: u64| file(1, "a", &format!(r#"<Source type="RAW" offset="{offset}" length="9"/>"#));
    assert!(container(&range(90)).is_ok());
    assert!(matches!(container(&range(91)), Err(IndexError::OutsideContainer { container: 99, .. })));
    assert!(matches!(container(&range(u64::MAX)), Err(IndexError::OutsideContainer { .. })));
    let large = file(1, "a", raw).replace(r#"length="0""#, r#"length="99999999999""#);
    assert!(matches!(container(&large), Err(IndexError::TooLarge { .. })));
    assert!(matches!(container(r#"<File id="1" name="a" length="0"/>"#), Err(IndexError::Missing { element: "File", attribute: "Hash" })));
}

#[test]
fn hostile_documents_are_refused() {
    let parse = |xml: &str| ContainerIndex::parse(xml.as_bytes());
    assert!(matches!(parse(""), Err(IndexError::Structure(_))));
    assert!(matches!(parse("<html/>"), Err(IndexError::Structure(_))));
    assert!(matches!(parse(r#"<Container xmlns="urn:other" type="CAB"/>"#), Err(IndexError::Structure(_))));
    assert!(matches!(parse(&format!(r#"<Container type="CAB" {NAMESPACE}>"#)), Err(IndexError::Structure(_))));
    assert!(matches!(parse(&format!(r#"<Container type="CAB" {NAMESPACE}></Files>"#)), Err(IndexError::Xml { .. })));
    assert!(matches!(parse("<!DOCTYPE a [<!ENTITY b 'c'>]><Container/>"), Err(IndexError::DocumentType)));
    let deep = format!(r#"<Container type="CAB" {NAMESPACE}>{}"#, "<a>".repeat(10_000));
    assert!(matches!(parse(&deep), Err(IndexError::TooMany("nested elements"))));
    let wide: String = (0..100_000).map(|number| format!(" a{number}='x'")).collect();
    assert!(matches!(parse(&format!("<Container type='CAB' {NAMESPACE}{wide}/>")), Err(IndexError::TooMany("attributes"))));
    assert!(matches!(ContainerIndex::parse(b"\xff\xfe<\0"), Err(IndexError::Encoding(_))));
    assert!(ContainerIndex::parse(format!("\u{feff}<Container type='CAB' {NAMESPACE}/>").as_bytes()).unwrap().files.is_empty());
}

/// The tests' delta: every byte of the basis, then the bytes of the delta.
fn append(_: SourceKind, basis: &[u8], delta: &[u8], limit: u64) -> Result<Vec<u8>, DeltaError> {
    let result = [basis, delta].concat();
    if result.len() as u64 > limit { Err("too long".into()) } else { Ok(result) }
}

fn indexed(id: u64, content: &[u8], delta: Delta) -> IndexedFile {
    let name = format!("f{id}");
    IndexedFile { id, name, length: content.len() as u64, time: 0, attributes: 0, digest: Digest::sha256(content), deltas: vec![delta] }
}

fn index_of(files: Vec<IndexedFile>) -> ContainerIndex {
    ContainerIndex { name: String::new(), kind: ContainerKind::Cab, length: 0, version: 1, locations: Vec::new(), files }
}

/// A delta that carries `text` itself as the name of its source.
fn carried(kind: SourceKind, text: &str, basis: Option<Basis>) -> Delta {
    Delta { source: Some(Source { kind, place: Place::Member(text.into()), digest: Some(Digest::sha256(text.as_bytes())) }), basis }
}

fn rebuild(index: &ContainerIndex, select: impl Fn(&IndexedFile) -> bool + Sync) -> Result<BTreeMap<u64, Vec<u8>>, RebuildError> {
    let read = |source: &Source| match &source.place {
        Place::Member(text) if text == "unreadable" => Err("unreadable".into()),
        Place::Member(text) => Ok(Cow::Owned(text.clone().into_bytes())),
        Place::Range { .. } => Err("no range".into()),
    };
    let find_basis = |_: &IndexedFile, _: u64, digest: &Digest| (*digest == Digest::sha256(b"outer ")).then(|| b"outer ".to_vec());
    let made = Mutex::new(BTreeMap::new());
    Rebuilder { read: &read, apply: &append, find_basis: &find_basis }.rebuild(index, select, |file, bytes| {
        assert!(made.lock().unwrap().insert(file.id, bytes.to_vec()).is_none(), "each file once");
        Ok(())
    })?;
    Ok(made.into_inner().unwrap())
}

#[test]
fn files_are_made_after_their_bases() {
    use SourceKind::{Pa30, Raw};
    let outer = Basis::External { length: 6, digest: Digest::sha256(b"outer ") };
    let unknown = Basis::External { length: 6, digest: Digest::sha256(b"gone") };
    let mut two_ways = indexed(6, b"raw", carried(Pa30, "x", Some(unknown)));
    two_ways.deltas.push(carried(Raw, "raw", None));
    let index = index_of(vec![
        indexed(1, b"abc", carried(Pa30, "c", Some(Basis::File(1)))),
        indexed(2, b"ab", carried(Pa30, "b", Some(Basis::File(2)))),
        indexed(3, b"a", carried(Raw, "a", None)),
        indexed(4, b"ab", Delta { source: None, basis: Some(Basis::File(1)) }),
        indexed(5, b"outer x", carried(Pa30, "x", Some(outer))),
        two_ways,
    ]);
    let all = rebuild(&index, |_| true).unwrap();
    let expected: [(u64, &[u8]); 6] = [(1, b"abc"), (2, b"ab"), (3, b"a"), (4, b"ab"), (5, b"outer x"), (6, b"raw")];
    assert_eq!(all, expected.into_iter().map(|(id, bytes)| (id, bytes.to_vec())).collect());
    assert_eq!(rebuild(&index, |file| file.id == 1).unwrap(), BTreeMap::from([(1, b"abc".to_vec())]), "bases are made, not given");
}

#[test]
fn nothing_unproven_is_given() {
    use SourceKind::{Pa30, Raw};
    let attempt = |file: IndexedFile| rebuild(&index_of(vec![file]), |_| true).unwrap_err();
    assert!(matches!(attempt(indexed(1, b"x", carried(Raw, "y", None))), RebuildError::Mismatch { what: "content", .. }));
    assert!(matches!(attempt(indexed(1, b"x", carried(Raw, "xy", None))), RebuildError::Length { stated: 1, found: 2, .. }));
    let mut wrong_source = carried(Pa30, "x", None);
    wrong_source.source.as_mut().unwrap().digest = Some(Digest::sha1(b"y"));
    assert!(matches!(attempt(indexed(1, b"x", wrong_source)), RebuildError::Mismatch { what: "source", .. }));
    assert!(matches!(attempt(indexed(1, b"x", carried(Pa30, "too long", None))), RebuildError::Apply { .. }));
    assert!(matches!(attempt(indexed(1, b"long", carried(Pa30, "x", None))), RebuildError::Length { stated: 4, found: 1, .. }));
    assert!(matches!(attempt(indexed(1, b"x", carried(Pa30, "unreadable", None))), RebuildError::Read { .. }));
    let unknown = Basis::External { length: 6, digest: Digest::sha256(b"gone") };
    assert!(matches!(attempt(indexed(1, b"x", carried(Pa30, "x", Some(unknown)))), RebuildError::NoWay(_)));
    let mut no_delta = indexed(1, b"x", carried(Raw, "x", None));
    no_delta.deltas.clear();
    assert!(matches!(attempt(no_delta), RebuildError::NoWay(_)));
}

#[test]
fn a_long_chain_needs_no_stack() {
    let first = indexed(0, b"", carried(SourceKind::Raw, "", None));
    let copy = |id: u64| indexed(id, b"", Delta { source: None, basis: Some(Basis::File(id as usize - 1)) });
    let index = index_of(std::iter::once(first).chain((1..50_000).map(copy)).collect());
    index.check().unwrap();
    assert_eq!(rebuild(&index, |file| file.id == 49_999).unwrap().len(), 1);
}

/// Every index of the real packages: what needs no delta is made and has its stated digest.
#[test]
fn real_indexes_are_read_and_stored_files_made() {
    // File, and of its index: files, sources RAW, PA30, plain copies (by grep).
    for (path, files, raw, pa30, copies) in [
        ("Windows6.1-KB2465285-x64.msu", 34, 18, 12, 4),
        ("Windows6.1-KB2584475-x86.msu", 34, 22, 12, 0),
        ("Windows6.1-KB2780124-x64.msu", 33, 18, 9, 6),
        ("Windows6.1-KB3040017-x86.msu", 40, 10, 30, 0),
        ("Windows8.1-KB2937592-x86.msu", 247, 200, 47, 0),
        ("Windows6.1-KB2883457-amd64.cab", 22, 16, 6, 0),
        ("KB2999226/Windows6.0-x86/Windows6.0-KB2999226-x86.cab", 132, 46, 43, 43),
        ("KB2999226/Windows6.1-x64/Windows6.1-KB2999226-x64.cab", 122, 26, 48, 48),
        ("KB2999226/Windows8-RT-x86/Windows8-RT-KB2999226-x86.cab", 58, 22, 36, 0),
        ("KB2999226/Windows8.1-x64/Windows8.1-KB2999226-x64.cab", 45, 13, 32, 0),
    ] {
        let Some(file) = test_data(&format!("msu_cab/{path}")) else { return };
        let update = crate::msu::Update::open(Arc::new(std::fs::read(file).unwrap())).unwrap();
        let [package] = update.packages.as_slice() else { panic!("{path}: one package") };
        let crate::msu::Layout::Deltas { index, .. } = &package.layout else { panic!("{path}: an index") };
        let count = |kind| {
            index.files.iter().flat_map(|file| &file.deltas).filter(|delta| delta.source.as_ref().map(|source| source.kind) == kind).count()
        };
        assert_eq!(
            (index.files.len(), count(Some(SourceKind::Raw)), count(Some(SourceKind::Pa30)), count(None)),
            (files, raw, pa30, copies),
            "{path}"
        );
        assert_eq!(ContainerIndex::parse(index.to_xml().as_bytes()).unwrap(), *index);

        let made = Mutex::new(0);
        package
            .make(&|name| index.files.iter().any(|file| file.name == name), &|_, _| {
                *made.lock().unwrap() += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(made.into_inner().unwrap(), files, "{path}: every file with its stated digest");
    }
}

#[test]
fn real_index_survives_flipped_and_missing_bytes() {
    let Some(path) = test_data("msu_cab/Windows6.1-KB2883457-amd64.cab") else { return };
    let cabinet = Cabinet::open(Arc::new(std::fs::read(path).unwrap())).unwrap();
    let number = cabinet.members().iter().position(|member| member.name == "_manifest_.cix.xml").unwrap();
    let xml = cabinet.read_member(number).unwrap();
    assert!(ContainerIndex::parse(&xml).is_ok());
    for place in (0..xml.len()).step_by(11) {
        assert!(ContainerIndex::parse(&xml[..place]).is_err(), "cut off at {place}");
        for byte in [b'<', b'"', b'&', b'0', 0, 0xFF] {
            let mut broken = xml.clone();
            broken[place] = byte;
            let _ = ContainerIndex::parse(&broken);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_index_comes_back(names in prop::collection::hash_set("[a-z&<]{1,6}x(\\\\[a-z']{1,5}y){0,2}", 1..20), offsets in prop::collection::vec(0_u64..1000, 20)) {
        let names: Vec<String> = names.into_iter().filter(|name| crate::member_name::check_name(name).is_ok()).collect();
        let files = names.iter().zip(&offsets).enumerate().map(|(number, (name, offset))| {
            let digest = Digest::sha256(name.as_bytes());
            let source = (offset % 3 > 0).then_some(Source { kind: SourceKind::Pa31, place: Place::Range { offset: *offset, length: 5 }, digest: None });
            let basis = if number > 0 && offset % 3 < 2 { Some(Basis::File(number - 1)) } else { None };
            let deltas = if source.is_some() || basis.is_some() { vec![Delta { source, basis }] } else { Vec::new() };
            IndexedFile { id: number as u64 * 3, name: name.clone(), length: *offset, time: *offset, attributes: 32, digest, deltas }
        });
        let index = index_of(files.collect());
        prop_assert_eq!(ContainerIndex::parse(index.to_xml().as_bytes()).unwrap(), index);
    }
}

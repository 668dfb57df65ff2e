//! Metadata: round trips of random trees, and damaged ones.

use std::sync::Arc;

use proptest::prelude::*;

use crate::wim::*;

fn name() -> impl Strategy<Value = Name> {
    let unit = any::<u16>().prop_filter("separators", |unit| ![0, 0x2f, 0x5c].contains(unit));
    prop::collection::vec(unit, 1..12).prop_filter("dots", |units| units.iter().any(|unit| *unit != 0x2e)).prop_map(Name::from_units)
}

fn blob() -> impl Strategy<Value = Option<BlobId>> {
    prop::option::of(any::<[u8; 20]>().prop_filter("zeros mean none", |bytes| bytes != &[0; 20]).prop_map(BlobId))
}

fn stream() -> impl Strategy<Value = NamedStream> {
    (name(), blob(), any::<u64>()).prop_map(|(name, blob, reserved)| NamedStream { name, blob, reserved })
}

fn tagged_items() -> impl Strategy<Value = TaggedItems> {
    prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..30)), 0..3).prop_map(|items| {
        let mut tagged = TaggedItems::default();
        for (tag, data) in items {
            tagged.set(tag, Some(&data));
        }
        tagged
    })
}

/// An entry without children, consistent in itself.
fn entry() -> impl Strategy<Value = Dentry> {
    let times = any::<[u64; 3]>();
    let reparse = prop::option::of((any::<u32>(), any::<u16>(), any::<u16>(), blob()));
    let streams = prop::collection::vec(stream(), 0..3);
    let fixed = (any::<u32>(), prop::option::of(0_u32..3), times, any::<u64>(), any::<[u64; 2]>(), any::<u32>());
    (name(), prop::option::of(name()), fixed, (blob(), reparse, streams), tagged_items()).prop_map(
        |(name, short_name, (attributes, security_id, times, hard_link_group, unused, unknown), (data, reparse, named_streams), tagged)| {
            let clear = file_attributes::REPARSE_POINT | file_attributes::ENCRYPTED;
            let attributes = attributes & !clear | if reparse.is_some() { file_attributes::REPARSE_POINT } else { 0 };
            let reparse = reparse.map(|(tag, reserved, flags, data)| Reparse { tag, reserved, flags, data });
            let [creation_time, last_access_time, last_write_time] = times;
            let hard_link_group = if reparse.is_some() { 0 } else { hard_link_group };
            let (short_name, tagged_items) = (short_name.unwrap_or_default(), tagged);
            Dentry {
                name,
                short_name,
                attributes,
                security_id,
                creation_time,
                last_access_time,
                last_write_time,
                data,
                reparse,
                hard_link_group,
                named_streams,
                tagged_items,
                unused,
                unknown,
                children: Vec::new(),
            }
        },
    )
}

fn tree() -> impl Strategy<Value = Dentry> {
    entry().prop_recursive(4, 24, 5, |inner| {
        (entry(), prop::collection::vec(inner, 0..5)).prop_map(|(mut directory, mut children)| {
            directory.attributes |= file_attributes::DIRECTORY;
            children.sort_by(|left, right| left.name.cmp(&right.name));
            children.dedup_by(|left, right| left.name == right.name);
            directory.children = children;
            directory
        })
    })
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let descriptors = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 3..5);
    (descriptors, tree()).prop_map(|(descriptors, mut root)| {
        root.name = Name::default();
        root.attributes |= file_attributes::DIRECTORY;
        Metadata { security_descriptors: descriptors.into_iter().map(Arc::from).collect(), root }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_tree_comes_back(metadata in metadata()) {
        let bytes = metadata.encode().unwrap();
        prop_assert_eq!(Metadata::decode(&bytes).unwrap(), metadata);
    }

    #[test]
    fn damaged_metadata_give_a_value_or_an_error(metadata in metadata(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = metadata.encode().unwrap();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Ok(metadata) = Metadata::decode(&bytes) {
            metadata.encode().unwrap();
        }
        let half = bytes.len() / 2;
        let _outcome = Metadata::decode(&bytes[..half]);
    }
}

fn directory(name: &str, children: Vec<Dentry>) -> Dentry {
    Dentry { name: name.into(), attributes: file_attributes::DIRECTORY, children, ..Dentry::default() }
}

fn file(name: &str) -> Dentry {
    Dentry { name: name.into(), attributes: 0x20, ..Dentry::default() }
}

fn of(root: Dentry) -> Metadata {
    Metadata { root, ..Metadata::default() }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let problem = |name: &str| match of(directory("", vec![file(name)])).encode() {
        Err(MetadataError::Name { problem, .. }) => Some(problem),
        other => panic!("{name:?}: {other:?}"),
    };
    assert_eq!(problem("."), Some(NameProblem::DotOrDotDot));
    assert_eq!(problem(".."), Some(NameProblem::DotOrDotDot));
    assert_eq!(problem(""), Some(NameProblem::Empty));
    for name in ["a/b", "a\\b", "a\0"] {
        assert_eq!(problem(name), Some(NameProblem::Separator), "{name:?}");
    }
    let twice = of(directory("", vec![file("same"), file("other"), file("same")]));
    assert!(matches!(twice.encode(), Err(MetadataError::Name { problem: NameProblem::Duplicate, .. })));
    of(directory("", vec![file("same"), file("Same"), file("...")])).encode().unwrap();
}

#[test]
fn the_same_names_are_refused_when_read() {
    let bytes = of(directory("", vec![file("xy")])).encode().unwrap();
    let at = bytes.windows(4).position(|window| window == [b'x', 0, b'y', 0]).unwrap();
    for (replacement, expected) in [(*b"..", NameProblem::DotOrDotDot), (*b"a/", NameProblem::Separator)] {
        let mut bytes = bytes.clone();
        (bytes[at], bytes[at + 2]) = (replacement[0], replacement[1]);
        assert!(matches!(Metadata::decode(&bytes), Err(MetadataError::Name { problem, .. }) if problem == expected));
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| (0..depth).fold(directory("d", Vec::new()), |inner, _| directory("d", vec![inner]));
    let mut root = nested(MAX_DEPTH - 1);
    root.name = Name::default();
    let bytes = of(root.clone()).encode().unwrap();
    assert_eq!(Metadata::decode(&bytes).unwrap().root, root);
    let mut root = nested(MAX_DEPTH + 1);
    root.name = Name::default();
    assert_eq!(of(root).encode(), Err(MetadataError::TooDeep));
}

#[test]
fn contradictions_are_not_written() {
    let refused = |entry: Dentry| {
        assert!(matches!(of(directory("", vec![entry])).encode(), Err(MetadataError::Unrepresentable { .. })));
    };
    refused(Dentry { attributes: file_attributes::REPARSE_POINT, ..file("no reparse data") });
    refused(Dentry { reparse: Some(Reparse::default()), ..file("no attribute") });
    let reparse = Some(Reparse::default());
    refused(Dentry { attributes: file_attributes::REPARSE_POINT, reparse, hard_link_group: 1, ..file("both") });
    refused(Dentry { children: vec![file("child")], ..file("not a directory") });
    refused(Dentry { security_id: Some(0), ..file("no such descriptor") });
}

#[test]
fn streams_stand_where_dism_puts_them() {
    let id = |number| Some(BlobId([number; 20]));
    let junction = Dentry {
        attributes: file_attributes::DIRECTORY | file_attributes::REPARSE_POINT,
        reparse: Some(Reparse { tag: 0xa000_0003, data: id(1), ..Reparse::default() }),
        ..directory("junction", Vec::new())
    };
    let stream_count = |entry: &Dentry| {
        let bytes = of(directory("", vec![entry.clone()])).encode().unwrap();
        let at = bytes.windows(2).position(|window| window == [entry.name.units()[0] as u8, 0]).unwrap();
        u16::from_le_bytes([bytes[at - 6], bytes[at - 5]])
    };
    assert_eq!(stream_count(&junction), 0);
    assert_eq!(stream_count(&Dentry { attributes: file_attributes::REPARSE_POINT, ..junction.clone() }), 2);
    let named_streams = vec![NamedStream { name: "ads".into(), blob: id(2), reserved: 0 }];
    assert_eq!(stream_count(&Dentry { named_streams: named_streams.clone(), ..directory("folder", Vec::new()) }), 1);
    assert_eq!(stream_count(&Dentry { named_streams, ..file("file") }), 2);
}

#[test]
fn statistics_follow_microsofts_rules() {
    let linked = |name| Dentry { hard_link_group: 5, data: Some(BlobId([1; 20])), ..file(name) };
    let junction = Dentry {
        attributes: file_attributes::DIRECTORY | file_attributes::REPARSE_POINT,
        reparse: Some(Reparse { data: Some(BlobId([2; 20])), ..Reparse::default() }),
        ..file("junction")
    };
    let tree = of(directory("", vec![directory("d", vec![linked("a"), junction]), linked("b"), file("empty")]));
    let expected = Statistics { directories: 1, files: 4, total_bytes: 200, hard_link_bytes: 100 };
    assert_eq!(tree.statistics(&|_| 100), expected);
}

#[test]
fn tagged_items_keep_what_they_do_not_know() {
    let mut items = TaggedItems::default();
    items.set(77, Some(b"unknown"));
    items.set(TAG_OBJECT_ID, Some(&[9; 64]));
    items.set(TAG_EXTENDED_ATTRIBUTES, Some(b"\x03\x00\x02\x80EA\0val\x00\x00\x01\x00X\0"));
    assert_eq!(items.object_id(), Some([9; 16]));
    let attributes = items.extended_attributes().unwrap();
    assert_eq!(attributes[0], ExtendedAttribute { flags: 0x80, name: b"EA".to_vec(), value: b"val".to_vec() });
    assert_eq!((attributes.len(), attributes[1].value.len()), (2, 0));
    items.set(TAG_OBJECT_ID, None);
    assert_eq!(items.iter().map(|(tag, _)| tag).collect::<Vec<_>>(), [77, TAG_EXTENDED_ATTRIBUTES]);
    assert_eq!(items.get(77), Some(&b"unknown"[..]));
}

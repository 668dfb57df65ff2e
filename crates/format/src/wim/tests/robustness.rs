//! Damaged files give a value or an error, in bounded time.

use super::*;

/// A small WIM with everything in it, made without other programs.
fn sample(solid: bool, pipable: bool, compression: Option<Compression>) -> Vec<u8> {
    let contents: Vec<Arc<[u8]>> = (1..5_u8).map(|number| Arc::from(vec![number; 1000 * usize::from(number)])).collect();
    let children = contents.iter().zip(["a", "b", "c", "d"]).map(|(bytes, name)| Dentry {
        name: name.into(),
        short_name: "SHORT~1".into(),
        attributes: 0x20,
        security_id: Some(0),
        data: Some(BlobId::of(bytes)),
        named_streams: vec![NamedStream { name: "stream".into(), blob: Some(BlobId::of(bytes)), reserved: 0 }],
        ..Dentry::default()
    });
    let folder = Dentry { name: "folder".into(), attributes: 0x10, children: children.collect(), ..Dentry::default() };
    let root = Dentry { attributes: 0x10, children: vec![folder], ..Dentry::default() };
    let metadata = Metadata { security_descriptors: vec![Arc::from(&[1_u8; 20][..])], root };
    let images = vec![ImageToWrite { source: ImageSource::Tree(Box::new(metadata)), info: ImageInfo::named("sample") }];
    let mut options = WriteOptions { pipable, integrity: true, ..WriteOptions::new(compression, [1; 16]) };
    if solid {
        options.solid = Some(write::Solid { compression: Compression::Lzms, chunk_size: 1 << 15 });
    }
    let resolve = |id: &BlobId| contents.iter().find(|bytes| BlobId::of(bytes) == *id).map(|bytes| BlobSource::Bytes(Arc::clone(bytes)));
    write(&WimPlan::new(images, options, &resolve).unwrap())
}

fn touch_everything(bytes: Vec<u8>) {
    let Ok(wim) = Wim::open(Arc::new(bytes)) else { return };
    let wim = Arc::new(wim);
    let _outcome = wim.verify(&mut |_| ());
    for index in 1..=wim.image_count().min(4) {
        if let Ok(metadata) = wim.metadata(index) {
            metadata.encode().unwrap();
        }
    }
    for blob in wim.blobs() {
        let _outcome = wim.read_blob(&blob.id, 1 << 20);
        if let Ok(view) = BlobView::new(&wim, &blob.id) {
            let _outcome = crate::io::ReadAt::read_exact_at(&view, &mut [0; 16], blob.size / 2);
        }
    }
    let _windows: Vec<_> = wim.images().iter().map(ImageInfo::windows).collect();
}

#[test]
fn damaged_files_give_a_value_or_an_error() {
    let kinds = [
        (false, false, None),
        (false, false, Some(Compression::Xpress)),
        (false, true, Some(Compression::Lzx)),
        (true, false, Some(Compression::Lzms)),
    ];
    for (solid, pipable, compression) in kinds {
        let whole = sample(solid, pipable, compression);
        touch_everything(whole.clone());
        // Headers and tables at both ends are damaged most densely.
        let places = (0..whole.len()).filter(|place| *place < 220 || place + 400 > whole.len() || place % 37 == 0);
        for (count, place) in places.enumerate() {
            let mut bytes = whole.clone();
            bytes[place] = [0xff, 0, bytes[place] ^ 1, bytes[place].wrapping_add(0x10)][count % 4];
            touch_everything(bytes);
            if count % 8 == 0 {
                touch_everything(whole[..place].to_vec());
            }
        }
    }
}

/// A few kilobytes of table must not stand for years of decompression.
#[test]
fn overlapping_resources_are_refused() {
    let mut bytes = sample(false, false, None);
    let wim = Wim::open(Arc::new(bytes.clone())).unwrap();
    let table = usize::try_from(wim.header().blob_table.offset).unwrap();
    let size = bytes.len() as u64;
    // Entry 1 is the first blob, entry 0 the metadata: let all blobs be the whole file.
    for entry in 1..5 {
        let place = table + entry * 50;
        bytes[place..place + 7].copy_from_slice(&size.to_le_bytes()[..7]);
        bytes[place + 8..place + 16].copy_from_slice(&0_u64.to_le_bytes());
        bytes[place + 16..place + 24].copy_from_slice(&size.to_le_bytes());
    }
    assert!(matches!(Wim::open(Arc::new(bytes)), Err(Error::Resource { .. })));
}

#[test]
fn xml_data_have_no_entities_and_no_depth() {
    let refused = |text: &str| matches!(xml::Element::parse(text), Err(XmlError::Refused { .. }));
    assert!(refused("<!DOCTYPE a [<!ENTITY b 'c'>]><WIM>&b;</WIM>"));
    assert!(refused("<WIM>&b;</WIM>"));
    assert!(refused(&"<WIM>".repeat(1000)));
    assert!(refused("<WIM/><WIM/>") && refused("") && refused("<WIM>"));
    assert!(matches!(xml::Element::parse("<WIM></IMAGE>"), Err(XmlError::Syntax { .. })));
    assert!(matches!(xml::decode_text(&[0, 0xd8, 0]), Err(XmlError::Encoding)));
    let text = "<A b=\"1 &amp; &quot;2&quot;\">x &lt; y\n<!-- gone --><C/>&#x20AC;</A>";
    let element = xml::Element::parse(text).unwrap();
    assert_eq!(element.to_xml(), "<A b=\"1 &amp; &quot;2&quot;\">x &lt; y\n<C></C>€</A>");
    assert_eq!(xml::Element::parse(&element.to_xml()).unwrap(), element);
}

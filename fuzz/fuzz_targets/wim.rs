#![no_main]
//! Any bytes as a WIM file, as metadata, and as XML data: a value or an error; metadata survive a round trip.
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wimwright_format::io::ReadAt;
use wimwright_format::wim::{BlobView, Metadata, Wim, xml};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(metadata) = Metadata::decode(bytes)
        && let Ok(encoded) = metadata.encode()
    {
        assert_eq!(Metadata::decode(&encoded).as_ref(), Ok(&metadata));
    }
    if let Ok(text) = xml::decode_text(bytes)
        && let Ok(element) = xml::Element::parse(&text)
    {
        let _printed = element.to_xml();
    }
    let Ok(wim) = Wim::open(Arc::new(bytes.to_vec())).map(Arc::new) else { return };
    let _verified = wim.verify(&mut |_| ());
    for blob in wim.blobs() {
        let _read = wim.read_blob(&blob.id, 1 << 20);
        if let Ok(view) = BlobView::new(&wim, &blob.id) {
            let _read = view.read_exact_at(&mut [0; 16], blob.size / 2);
        }
    }
    for image in wim.images() {
        let _described = (image.windows(), image.statistics(), image.time("CREATIONTIME"));
    }
});

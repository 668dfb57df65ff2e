//! Any bytes from sector 16 on as an ISO 9660 volume: without UDF's announcement, so that its reader is not entered.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wimwright_format::media::Volume;

fuzz_target!(|bytes: &[u8]| {
    let mut image = vec![0; 16 * 2048];
    image.extend_from_slice(bytes);
    for descriptor in image.chunks_mut(2048).skip(16) {
        if let Some(identifier) = descriptor.get_mut(1..4).filter(|identifier| **identifier == *b"NSR") {
            identifier.fill(0);
        }
    }
    let Ok(volume) = Volume::open(Arc::new(image)) else { return };
    for entry in volume.entries() {
        let _ = volume.open_file(entry);
    }
    for image in volume.boot_images() {
        let _ = volume.open_boot_image(image);
    }
});

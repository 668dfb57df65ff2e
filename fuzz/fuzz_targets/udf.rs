//! Any bytes as an optical disc image: lists it, and reads the start of each file.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wimwright_format::io::ReadAt;
use wimwright_format::media::Volume;

fuzz_target!(|bytes: &[u8]| {
    let Ok(volume) = Volume::open(Arc::new(bytes.to_vec())) else { return };
    for entry in volume.entries() {
        let _ = volume.find(&volume.path(entry));
        if let Ok(section) = volume.open_file(entry) {
            let length = usize::try_from(section.size()).unwrap_or(64).min(64);
            let _ = section.read_exact_at(&mut [0; 64][..length], 0);
        }
    }
});

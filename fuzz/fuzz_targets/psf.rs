//! PSF files, the text index of their first generation, and `$filehashes$.dat`.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wimwright_format::file_hashes::parse_file_hashes;
use wimwright_format::psf::{Psf, parse_psm};

fuzz_target!(|data: &[u8]| {
    let _ = parse_psm(data);
    let _ = parse_file_hashes(data);
    let Ok(psf) = Psf::open(Arc::new(data.to_vec())) else { return };
    let sources = psf.index().into_iter().flat_map(|index| &index.files).flat_map(|file| &file.deltas).filter_map(|delta| delta.source.as_ref());
    for source in sources {
        let _ = psf.read(source);
    }
});

#![no_main]
//! Any bytes as a PE file: headers and versions, or an error.
use libfuzzer_sys::fuzz_target;
use wimwright_format::pe::PeFile;

fuzz_target!(|bytes: &[u8]| {
    let _ = PeFile::read(&bytes.to_vec());
});

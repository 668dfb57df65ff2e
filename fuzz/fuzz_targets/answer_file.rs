#![no_main]
//! Any bytes as an answer file: a value that can be checked, or an error.
use libfuzzer_sys::fuzz_target;
use wimwright_format::answer_file::AnswerFile;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = AnswerFile::parse(bytes) {
        let _ = file.check(Some("amd64"));
    }
});

#![no_main]
//! Any text as a time: what is read is printed, and read again the same.
use libfuzzer_sys::fuzz_target;
use wimwright_format::file_time::FileTime;

fuzz_target!(|text: &str| {
    if let Ok(time) = text.parse::<FileTime>() {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
});

//! Any bytes as a registry script of either kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wimwright_format::reg_file::{parse, parse_preferences};

fuzz_target!(|input: &[u8]| {
    let _changes = parse(input);
    let _changes = parse_preferences(input);
});

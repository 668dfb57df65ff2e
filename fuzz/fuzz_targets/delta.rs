//! Deltas and wrapped files: any base and any delta give a value or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wimwright_codec::delta::{self, store};

/// Targets above this only cost time.
const LIMIT: u64 = 1 << 20;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (base, bytes) = input;
    let header = delta::header(bytes);
    if let Ok(target) = delta::apply(base, bytes, LIMIT) {
        assert_eq!(target.len() as u64, header.expect("an applied delta has a header").target_size);
    }
    let _file = store::unwrap(base, bytes, LIMIT);
});

//! Cabinets: whatever the bytes are, opening and reading gives members or an error.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wimwright_format::cab::{CabError, Cabinet};

/// Members above this are left out: a large one only costs time.
const LARGEST_MEMBER: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Ok(cabinet) = Cabinet::open(Arc::new(data.to_vec())) else { return };
    let _ = cabinet.for_each_member(
        |member| member.offset < LARGEST_MEMBER && member.length < LARGEST_MEMBER,
        |member, reader| {
            assert_eq!(reader.read_all()?.len() as u64, member.length);
            Ok::<_, CabError>(())
        },
    );
});

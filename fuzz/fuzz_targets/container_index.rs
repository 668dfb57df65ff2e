//! Container indexes: whatever the bytes are, an index or an error; and an index that was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wimwright_format::container_index::ContainerIndex;

fuzz_target!(|data: &[u8]| {
    let Ok(index) = ContainerIndex::parse(data) else { return };
    assert_eq!(ContainerIndex::parse(index.to_xml().as_bytes()).expect("a written index is read"), index);
});

#![no_main]
//! Any bytes as a catalog: a value or an error; the signature is right or an error.
use libfuzzer_sys::fuzz_target;
use wimwright_format::catalog::{Catalog, Policy, Root};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(catalog) = Catalog::parse(bytes) {
        let _ = catalog.lists(bytes);
        let roots = Root::microsoft();
        let _ = catalog.verify(&Policy { roots: &roots, time: 1_780_000_000, require_system_component: false });
    }
});

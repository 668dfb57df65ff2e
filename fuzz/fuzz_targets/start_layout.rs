#![no_main]
//! Any bytes as a start layout, XML or JSON, or as default associations: a value that can be checked, or an error.
use libfuzzer_sys::fuzz_target;
use wimwright_format::default_associations::DefaultAssociations;
use wimwright_format::start_layout::{PinList, StartLayout};

fuzz_target!(|bytes: &[u8]| {
    let _ = StartLayout::parse(bytes).map(|layout| layout.check());
    let _ = PinList::parse(bytes).map(|list| list.check());
    let _ = DefaultAssociations::parse(bytes).map(|list| list.check());
});

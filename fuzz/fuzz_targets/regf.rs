//! Any bytes as a hive, and as a hive with a log: read all, check, edit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wimwright_format::regf::{Hive, ValueKind};

fuzz_target!(|input: (&[u8], &[u8])| {
    let (primary, log) = input;
    let _recovered = Hive::recover(primary.to_vec(), &[log]);
    let Ok(mut hive) = Hive::from_bytes(primary.to_vec()) else { return };
    for step in hive.walk(hive.root()) {
        let Ok((key, _)) = step else { break };
        let _read = (hive.name(key), hive.class(key), hive.security(key).map(<[u8]>::len), hive.path(key));
        for value in hive.values(key).into_iter().flatten() {
            let _data = (value.name(), value.data());
        }
    }
    let sound = hive.verify().problems.is_empty();
    hive.accept_dirty();
    let Ok(key) = hive.create_path(r"a\b", 1) else { return };
    let edited = hive.set_value(key, "value", ValueKind::BINARY, &[0; 20_000], 1).is_ok();
    let deleted = hive.delete_key(key, 1).is_ok();
    assert!(!(sound && edited && deleted) || hive.verify().problems.is_empty());
});

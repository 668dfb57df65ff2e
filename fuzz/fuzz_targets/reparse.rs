#![no_main]
//! Any tag and data as a reparse point: a value or an error, and links survive a round trip.
use libfuzzer_sys::fuzz_target;
use wimwright_format::reparse::ReparsePoint;

fuzz_target!(|input: (u32, &[u8])| {
    let (tag, data) = input;
    let again = match ReparsePoint::decode(tag, data) {
        Ok(Some(ReparsePoint::Symlink { ref target, relative })) => ReparsePoint::encode_symlink(target, relative),
        Ok(Some(ReparsePoint::MountPoint { ref target })) => ReparsePoint::encode_mount_point(target),
        _ => return,
    };
    if let Ok((tag, encoded)) = again {
        assert_eq!(ReparsePoint::decode(tag, &encoded), ReparsePoint::decode(tag, data));
    }
});

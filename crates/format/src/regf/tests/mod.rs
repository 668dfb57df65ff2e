//! Tests of hives.

mod edits;

use super::{Hive, NewHive};

/// A self-relative security descriptor with nothing in it but a distinguishing group offset of zero.
pub(super) fn descriptor(group_tail: &[u8]) -> Vec<u8> {
    let mut descriptor = vec![1, 0, 0x00, 0x80];
    descriptor.extend_from_slice(&[0; 16]);
    descriptor.extend_from_slice(group_tail);
    descriptor
}

/// An empty hive.
pub(super) fn empty(minor: u32) -> Hive {
    let security = descriptor(&[]);
    Hive::new(&NewHive { minor, file_name: "TEST", root_name: "ROOT", security: &security, last_written: 7 }).unwrap()
}

/// Asserts that every rule of the format holds, and that nothing is lost.
#[track_caller]
pub(super) fn assert_sound(hive: &Hive) {
    let verification = hive.verify();
    assert_eq!(verification.problems, [], "problems");
    assert_eq!(verification.lost_cells, 0, "lost cells");
}

//! Damaged bytes: of the hives, and of every kind of file that the store has.

use wimwright_image::registry::HiveFile;

use super::*;
use crate::windows::put;

/// Numbers that are always the same and look random (Knuth's MMIX generator).
fn positions(seed: u64, count: usize, below: usize) -> impl Iterator<Item = usize> {
    let mut state = seed;
    (0..count).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 16) as usize % below.max(1)
    })
}

/// Behind the base block, whose checksum would give a flip away at once.
const FIRST_BIN: usize = 4096;

#[test]
fn hives_with_flipped_bits() {
    let image = sound();
    for file in [HiveFile::Components, HiveFile::Software, HiveFile::System] {
        let sound = image.read(file.path()).unwrap();
        for round in 0..24 {
            let mut bytes = sound.to_vec();
            // One flip meets one reader; many meet each other.
            for position in positions(round, 1 << (round % 7), bytes.len() - FIRST_BIN) {
                bytes[FIRST_BIN + position] ^= 1 << (position % 8);
            }
            let mut damaged = fresh(&image);
            put(&mut damaged, file.path(), &bytes);
            survive(&damaged);
        }
    }
}

#[test]
fn hives_cut_short() {
    let image = sound();
    for file in [HiveFile::Components, HiveFile::Software, HiveFile::System] {
        let sound = image.read(file.path()).unwrap();
        for length in [0, 1, 511, FIRST_BIN, FIRST_BIN + 40, sound.len() / 2, sound.len() - 4096, sound.len() - 1] {
            let mut damaged = fresh(&image);
            put(&mut damaged, file.path(), &sound[..length]);
            survive(&damaged);
        }
    }
}

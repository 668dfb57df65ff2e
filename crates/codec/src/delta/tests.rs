//! Headers and whole deltas that are made here.

use super::bits::writer::BitWriter;
use super::patch::tests::{Step, patch};
use super::*;
use crate::{Compression, Compressor, Level};

/// A delta whose header states these.
pub(super) fn delta(magic: &[u8; 4], file_type_set: u64, target_size: u64, algorithm: u64, hash: &[u8], patch: &[u8]) -> Vec<u8> {
    let mut fields = BitWriter::new();
    fields.number(file_type_set).number(1).number(0x2_0000).number(target_size).number(algorithm).buffer(hash);
    let mut body = BitWriter::new();
    let body = if magic == b"PA31" { body.buffer(&fields.number(1).number(2).number(3).buffer(b"").finish()) } else { &mut fields };
    if file_type_set & REVERSAL == 0 {
        body.buffer(b"");
    }
    let mut delta = magic.to_vec();
    delta.extend(0x01CC_780E_D446_318Cu64.to_le_bytes());
    delta.extend(body.buffer(patch).finish());
    delta
}

/// A null delta of a short text.
pub(super) fn null_delta(text: &[u8]) -> Vec<u8> {
    let steps: Vec<Step> = text.iter().map(|&byte| Step::Literal(byte)).collect();
    delta(b"PA30", 1, text.len() as u64, 0x8003, &Md5::digest(text), &patch(&steps))
}

#[test]
fn headers_read() {
    for (magic, kind) in [(b"PA30", Kind::Pa30), (b"PA31", Kind::Pa31)] {
        let header = header(&delta(magic, 0xF, 77, 0x800C, &[5; 32], b"x")).unwrap();
        assert_eq!(
            header,
            Header {
                kind,
                file_type_set: 0xF,
                file_type: 1,
                flags: 0x2_0000,
                target_size: 77,
                file_time: 0x01CC_780E_D446_318C,
                hash: Some((HashAlgorithm::Sha256, vec![5; 32])),
            }
        );
    }
    assert_eq!(header(&delta(b"PA30", 1, 0, 0, b"", b"")).unwrap().hash, None);
    assert!(matches!(header(&delta(b"PA30", 1, 0, 0x8003, &[0; 33], b"")), Err(Error::Malformed { .. })));
    assert!(matches!(header(b"PA32xxxxxxxxxxxx"), Err(Error::NotADelta { .. })));
    assert!(matches!(header(b"PA"), Err(Error::NotADelta { .. })));
    let whole = null_delta(b"text");
    for length in 4..whole.len() {
        assert!(header(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn every_hash_is_verified() {
    let target = b"seven";
    let steps: Vec<Step> = target.iter().map(|&byte| Step::Literal(byte)).collect();
    let patch = patch(&steps);
    for (algorithm, hash) in
        [(0x8003, Md5::digest(target).to_vec()), (0x8004, Sha1::digest(target).to_vec()), (0x800C, Sha256::digest(target).to_vec())]
    {
        let good = delta(b"PA31", 1, 5, algorithm, &hash, &patch);
        assert_eq!(apply(b"", &good, 5).unwrap(), target);
        let bad = delta(b"PA31", 1, 5, algorithm, &hash[1..], &patch);
        assert!(matches!(apply(b"", &bad, 5), Err(Error::HashMismatch { .. })));
    }
    // An unknown algorithm, and no hash at all.
    assert_eq!(apply(b"", &delta(b"PA30", 1, 5, 0x1234, b"?", &patch), 5).unwrap(), target);
    assert_eq!(apply(b"", &delta(b"PA30", 1, 5, 0, b"", &patch), 5).unwrap(), target);
}

#[test]
fn the_limit_holds_before_anything_is_allocated() {
    let huge = delta(b"PA30", 1, u64::MAX >> 1, 0, b"", &patch(&[Step::Literal(0)]));
    assert!(matches!(apply(b"", &huge, 1 << 30), Err(Error::TooLarge { limit: 0x4000_0000, .. })));
    assert!(matches!(apply(b"", &null_delta(b"12345"), 4), Err(Error::TooLarge { size: 5, limit: 4 })));
}

#[test]
fn what_is_not_supported_says_so() {
    assert!(matches!(apply(b"", &delta(b"PA30", 0x101, 1, 0, b"", b"PRSM"), 9), Err(Error::Unsupported { what: "reversal data" })));
}

#[test]
fn a_base_is_copied_from() {
    let steps = [Step::Rift(4), Step::Literal(b'!'), Step::Back(13, 4)];
    let delta = delta(b"PA30", 1, 9, 0x8003, &Md5::digest(b"base!base"), &patch(&steps));
    assert_eq!(apply(b"base----", &delta, 9).unwrap(), b"base!base");
    assert!(matches!(apply(b"BASE----", &delta, 9), Err(Error::HashMismatch { algorithm: HashAlgorithm::Md5 })));
}

/// A container of the Compression API with chunks of 4096 bytes.
fn lzms_container(data: &[u8]) -> Vec<u8> {
    let mut container = [&0xC0E5_510A_u32.to_le_bytes()[..], &24u16.to_le_bytes(), &[0, 5], &(data.len() as u64).to_le_bytes()].concat();
    container.extend(4096u32.to_le_bytes());
    container.extend(0u32.to_le_bytes());
    let mut compressor = Compressor::new(Compression::Lzms, 4096, Level::FAST).unwrap();
    for chunk in data.chunks(4096) {
        let mut packed = vec![0; chunk.len()];
        match compressor.compress(chunk, &mut packed[..chunk.len() - 1]) {
            Some(length) => packed.truncate(length),
            None => packed.copy_from_slice(chunk),
        }
        container.extend((packed.len() as u32).to_le_bytes());
        container.extend(packed);
    }
    container
}

#[test]
fn lzms_holds_the_target_or_a_bsdiff_patch() {
    // One chunk that does not shrink, one that does.
    let mut state = 1u32;
    let mut target: Vec<u8> = (0..4096)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    target.extend([7; 3000]);
    let whole = delta(b"PA31", 1, target.len() as u64, 0x8004, &Sha1::digest(&target), &lzms_container(&target));
    assert_eq!(apply(b"", &whole, 1 << 20).unwrap(), target);

    let number = |number: i64| (number.unsigned_abs() | if number < 0 { 1 << 63 } else { 0 }).to_le_bytes();
    // Four bytes plus one each, two new ones, eight back; then three bytes as they are, of which the first are before the base.
    let patch = [&number(4)[..], &number(2), &number(-6), &[1, 1, 1, 1], b"xy", &number(3), &number(0), &number(0), &[0; 3]].concat();
    let expected = b"bcdexy\0\0a";
    let differences = delta(b"PA31", 1, 9, 0x8004, &Sha1::digest(expected), &lzms_container(&patch));
    assert_eq!(apply(b"abcdefgh", &differences, 9).unwrap(), expected);
}

#[test]
fn damaged_lzms_is_refused() {
    let target = [9; 5000];
    let container = lzms_container(&target);
    for (offset, value) in [(4, 25), (7, 4), (13, 0xFF), (16, 0), (19, 0xFF), (20, 1), (24, 0xFF), (30, 0x55)] {
        let mut damaged = container.clone();
        damaged[offset] ^= value;
        if offset == 16 {
            damaged[17] = 0;
        }
        let delta = delta(b"PA31", 1, 5000, 0x8004, &Sha1::digest(target), &damaged);
        assert!(apply(b"", &delta, 1 << 20).is_err(), "{offset}");
    }
}

mod wrappers {
    use super::super::store::{Wrapper, unwrap, wrapper};
    use super::*;

    fn wrap(letters: &[u8; 3], inner: &[u8]) -> Vec<u8> {
        [letters, &[1][..], inner].concat()
    }

    #[test]
    fn deltas_are_unwrapped() {
        let null = null_delta(b"manifest");
        assert_eq!(unwrap(b"", &wrap(b"DCM", &null), 100).unwrap(), b"manifest");
        assert_eq!(unwrap(b"", &wrap(b"DCN", &null), 100).unwrap(), b"manifest");
        let with_base = delta(b"PA30", 1, 4, 0x8003, &Md5::digest(b"base"), &patch(&[Step::Rift(4)]));
        assert_eq!(unwrap(b"base", &wrap(b"DCD", &[&[0; 8], &with_base[..]].concat()), 100).unwrap(), b"base");
        assert_eq!(wrapper(&wrap(b"DCM", b"")), Some(Wrapper::Dcm));
        assert_eq!(wrapper(b"<?xml"), None);
        assert!(matches!(unwrap(b"", b"<?xml", 100), Err(Error::NotWrapped { .. })));
        assert!(matches!(unwrap(b"", &wrap(b"DCD", &[0; 7]), 100), Err(Error::Truncated { .. })));
        assert!(matches!(unwrap(b"", &wrap(b"DCN", &null), 7), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn blocks_are_unwrapped() {
        let file: Vec<u8> = (0..10_000u32).map(|index| (index / 50) as u8).collect();
        let mut inner = [2u32.to_le_bytes(), 10_000u32.to_le_bytes()].concat();
        for block in file.chunks(6000) {
            let mut packed = vec![0; 6000];
            let length = Compressor::new(Compression::Lzms, 1 << 15, Level::FAST).unwrap().compress(block, &mut packed).unwrap();
            inner.extend((length as u32 + 4).to_le_bytes());
            inner.extend((block.len() as u32).to_le_bytes());
            inner.extend(&packed[..length]);
        }
        let whole = wrap(b"DCS", &inner);
        assert_eq!(unwrap(b"", &whole, 10_000).unwrap(), file);
        assert!(matches!(unwrap(b"", &whole, 9_999), Err(Error::TooLarge { .. })));
        for length in 4..whole.len() {
            assert!(unwrap(b"", &whole[..length], 10_000).is_err(), "{length}");
        }
        // One block less, sizes that do not fit.
        for (offset, value) in [(4, 1), (8, 9), (12, 3), (16, 1)] {
            let mut damaged = whole.clone();
            damaged[offset..offset + 4].copy_from_slice(&u32::to_le_bytes(value));
            assert!(unwrap(b"", &damaged, 10_000).is_err(), "{offset}");
        }
    }
}

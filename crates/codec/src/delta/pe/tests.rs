//! The transforms on images made here: one section of code at RVA 0x1000, which moves.

use super::image::directory;
use super::*;

const IMAGE_BASE: u32 = 0x40_0000;
const TEXT: usize = 0x400;
const ALL: u64 = 0x2E1FE;

/// An image with one executable section, `text`, at RVA 0x1000.
fn image(machine: u16, text: &[u8], directories: &[(usize, u32, u32)]) -> Vec<u8> {
    let wide = machine == image::MACHINE_AMD64;
    let mut bytes = vec![0; TEXT + 0x1000];
    put(&mut bytes, 0, *b"MZ");
    put(&mut bytes, 0x3C, 0x80u32.to_le_bytes());
    put(&mut bytes, 0x80, *b"PE\0\0");
    put(&mut bytes, 0x84, machine.to_le_bytes());
    put(&mut bytes, 0x86, 1u16.to_le_bytes());
    put(&mut bytes, 0x88, 0x1111_1111_u32.to_le_bytes());
    let directory = if wide { 0x98 + 112 } else { 0x98 + 96 };
    put(&mut bytes, 0x94, ((directory + 128 - 0x98) as u16).to_le_bytes());
    put(&mut bytes, 0x98, if wide { 0x20Bu16 } else { 0x10B }.to_le_bytes());
    put(&mut bytes, 0x98 + if wide { 24 } else { 28 }, IMAGE_BASE.to_le_bytes());
    put(&mut bytes, 0x98 + 56, 0x10_0000u32.to_le_bytes());
    put(&mut bytes, 0x98 + 64, 0x2222_2222_u32.to_le_bytes());
    put(&mut bytes, directory - 4, 16u32.to_le_bytes());
    for &(index, rva, size) in directories {
        put(&mut bytes, directory + index * 8, rva.to_le_bytes());
        put(&mut bytes, directory + index * 8 + 4, size.to_le_bytes());
    }
    let section = directory + 128;
    put(&mut bytes, section, *b".text\0\0\0");
    for (field, value) in [(8, 0x1000u32), (12, 0x1000), (16, 0x1000), (20, TEXT as u32), (36, 0x6000_0020)] {
        put(&mut bytes, section + field, value.to_le_bytes());
    }
    bytes[TEXT..TEXT + text.len()].copy_from_slice(text);
    bytes
}

/// A preprocess buffer of these moves; the target's image base is 0x10000 higher.
fn preprocess(moves: &[(i64, i64)]) -> Preprocess {
    Preprocess {
        base: u64::from(IMAGE_BASE) + 0x1_0000,
        check_sum: 0,
        time_stamp: 0x3333_3333,
        target_offsets: Rift::new(vec![Entry { source: 0, target: 0 }, Entry { source: 0x1000, target: 0x400 }]),
        moves: Rift::new(moves.iter().map(|&(source, target)| Entry { source, target }).collect()),
    }
}

fn transform(bytes: &[u8], moves: &[(i64, i64)]) -> Vec<u8> {
    preprocess(moves).apply(bytes, ALL).unwrap().0
}

fn u32s(bytes: &[u8], rva: usize, count: usize) -> Vec<u32> {
    (0..count).map(|index| image::u32_at(bytes, TEXT + rva - 0x1000 + index * 4).unwrap()).collect()
}

/// A number at an RVA.
type Number = (usize, u32);
/// Bytes at an RVA.
type Bytes = (usize, &'static [u8]);

/// Text of 0x1000 bytes with these in it.
fn text(numbers: &[Number], bytes: &[Bytes]) -> Vec<u8> {
    let mut text = vec![0; 0x1000];
    for &(rva, number) in numbers {
        put(&mut text, rva - 0x1000, number.to_le_bytes());
    }
    for &(rva, bytes) in bytes {
        text[rva - 0x1000..rva - 0x1000 + bytes.len()].copy_from_slice(bytes);
    }
    text
}

#[test]
fn headers_get_what_the_target_has() {
    let transformed = transform(&image(image::MACHINE_I386, &[], &[]), &[(0, 0)]);
    assert_eq!(image::u32_at(&transformed, 0x88), Some(0x3333_3333));
    assert_eq!(image::u32_at(&transformed, 0x98 + 64), Some(0));
    assert_eq!(image::u32_at(&transformed, 0x98 + 28), Some(IMAGE_BASE + 0x1_0000));
}

#[test]
fn what_is_no_image_cannot_be_transformed() {
    for bytes in [&b""[..], b"MZ", &image(image::MACHINE_I386, &[], &[])[..0x99]] {
        assert!(matches!(preprocess(&[]).apply(bytes, ALL), Err(Error::Malformed { .. })));
    }
}

#[test]
fn calls_and_jumps_follow_what_moves() {
    // From RVA 0x1800 on, code moves by 0x40.
    let moves = [(0, 0), (0x1800, 0x1840)];
    let code = text(
        &[],
        &[
            (0x1100, &[0xE8, 0xFB, 0x06, 0, 0]),             // call 0x1800
            (0x1200, &[0xE8, 0xFB, 0, 0, 0]),                // call 0x1300, which does not move
            (0x1300, &[0x0F, 0x84, 0xFA, 0x05, 0, 0]),       // je 0x1900
            (0x1400, &[0xE9, 0xFB, 0xFF, 0x0F, 0]),          // jmp past the section's end
            (0x17C0, &[0xE9, 0xBB, 0xFE, 0xFF, 0xFF]),       // jmp 0x1680
            (0x1900, &[0x0F, 0x85, 0xFA, 0xFD, 0xFF, 0xFF]), // jne 0x1700
        ],
    );
    let transformed = transform(&image(image::MACHINE_I386, &code, &[]), &moves);
    let at = |rva: usize, count: usize| &transformed[TEXT + rva - 0x1000..TEXT + rva - 0x1000 + count];
    assert_eq!(at(0x1100, 5), [0xE8, 0x3B, 0x07, 0, 0]);
    assert_eq!(at(0x1200, 5), [0xE8, 0xFB, 0, 0, 0]);
    assert_eq!(at(0x1300, 6), [0x0F, 0x84, 0x3A, 0x06, 0, 0]);
    assert_eq!(at(0x1400, 5), [0xE9, 0xFB, 0xFF, 0x0F, 0]);
    assert_eq!(at(0x17C0, 5), [0xE9, 0xBB, 0xFE, 0xFF, 0xFF]);
    assert_eq!(at(0x1900, 6), [0x0F, 0x85, 0xBA, 0xFD, 0xFF, 0xFF]);
}

#[test]
fn jumps_that_get_near_become_short() {
    let code = text(&[], &[(0x1700, &[0xE9, 0xFB, 0x00, 0, 0]), (0x1720, &[0x0F, 0x8F, 0xDA, 0, 0, 0])]);
    // What was at 0x1800 is at 0x1740 in the target.
    let transformed = transform(&image(image::MACHINE_I386, &code, &[]), &[(0, 0), (0x1800, 0x1740)]);
    let at = |rva: usize, count: usize| &transformed[TEXT + rva - 0x1000..TEXT + rva - 0x1000 + count];
    // The displacement keeps the length of the near form, and the rest of the operand stays.
    assert_eq!(at(0x1700, 5), [0xEB, 0x3B, 0x00, 0, 0]);
    assert_eq!(at(0x1720, 6), [0x7F, 0x1A, 0xDA, 0, 0, 0]);
}

/// An import directory at 0x1200 with one descriptor: lookup table 0x1240, address table 0x1260, one name at 0x1280.
fn imports(time_stamp: u32) -> (Vec<Number>, Vec<Bytes>) {
    let numbers = vec![
        (0x1200, 0x1240),
        (0x1204, time_stamp),
        (0x1208, 0xFFFF_FFFF),
        (0x120C, 0x12A0),
        (0x1210, 0x1260),
        (0x1240, 0x1280),
        (0x1244, 0x8000_0007),
        (0x1260, if time_stamp == 0 { 0x1280 } else { 0x7777_0000 }),
        (0x1264, if time_stamp == 0 { 0x8000_0007 } else { 0x7777_1000 }),
    ];
    (numbers, vec![(0x1280, b"\x01\x00ExFreePoolWithTag\0"), (0x12A0, b"ntoskrnl.exe\0")])
}

#[test]
fn imports_move_and_are_unbound() {
    let (mut numbers, bytes) = imports(0x4444_4444);
    // The bound import directory, here within the section.
    numbers.push((0x1F00, 0x5555_5555));
    let bound =
        image(image::MACHINE_I386, &text(&numbers, &bytes), &[(directory::IMPORT, 0x1200, 40), (directory::BOUND_IMPORT, 0x1F00, 8)]);
    let transformed = transform(&bound, &[(0, 0), (0x1280, 0x1290)]);
    assert_eq!(u32s(&transformed, 0x1200, 5), [0x1240, 0, 0, 0x12B0, 0x1260]);
    assert_eq!(u32s(&transformed, 0x1240, 2), [0x1290, 0x8000_0007]);
    assert_eq!(u32s(&transformed, 0x1260, 2), [0x1290, 0x8000_0007]);
    assert_eq!(u32s(&transformed, 0x1F00, 1), [0]);
    assert_eq!(Image::read(&transformed).unwrap().directory(directory::BOUND_IMPORT), None);
}

/// KB2584475, sffp_mmc.sys: E8 in an operand of another instruction looks like a call to the name of an import.
#[test]
fn what_would_call_the_name_of_an_import_is_no_call() {
    let (numbers, mut bytes) = imports(0);
    bytes.push((0x1100, &[0xE8, 0x8D, 0x01, 0, 0])); // "call" 0x1292, in the name
    bytes.push((0x1120, &[0xE8, 0x7B, 0x01, 0, 0])); // "call" 0x12A0, the module's name
    bytes.push((0x1140, &[0xE8, 0xBB, 0x01, 0, 0])); // call 0x1300
    let source = image(image::MACHINE_I386, &text(&numbers, &bytes), &[(directory::IMPORT, 0x1200, 40)]);
    let transformed = transform(&source, &[(0, 0), (0x1280, 0x1290)]);
    let displacements = [0x1101, 0x1121, 0x1141].map(|rva| image::u32_at(&transformed, TEXT + rva - 0x1000).unwrap());
    assert_eq!(displacements, [0x18D, 0x17B, 0x1CB]);
}

#[test]
fn exports_and_resources_move() {
    let numbers = [
        // Exports: name, two functions, one name, and the tables.
        (0x110C, 0x1180),
        (0x1114, 2),
        (0x1118, 1),
        (0x111C, 0x1140),
        (0x1120, 0x1148),
        (0x1124, 0x114C),
        (0x1140, 0x1900),
        (0x1144, 0),
        (0x1148, 0x1190),
        // Resources: one named entry with a directory of one identifier, whose data are at RVA 0x1900.
        (0x1400 + 12, 1),
        (0x1400 + 16, 0x8000_0200),
        (0x1400 + 20, 0x8000_0018),
        (0x1418 + 12, 1 << 16),
        (0x1418 + 16, 7),
        (0x1418 + 20, 0x40),
        (0x1440, 0x500),
        (0x1444, 16),
    ];
    let source =
        image(image::MACHINE_I386, &text(&numbers, &[]), &[(directory::EXPORT, 0x1100, 0x40), (directory::RESOURCE, 0x1400, 0x600)]);
    let transformed =
        transform(&source, &[(0, 0), (0x1180, 0x1188), (0x1400, 0x1420), (0x1430, 0x1460), (0x1600, 0x1640), (0x1900, 0x2000)]);
    assert_eq!(u32s(&transformed, 0x110C, 1), [0x1188]);
    assert_eq!(u32s(&transformed, 0x111C, 3), [0x1140, 0x1148, 0x114C]);
    assert_eq!(u32s(&transformed, 0x1140, 3), [0x2000, 0, 0x1198]);
    // The root moves by 0x20; the name by 0x40, the directory with the root, the data by 0x700.
    assert_eq!(u32s(&transformed, 0x1410, 2), [0x8000_0220, 0x8000_0018]);
    assert_eq!(u32s(&transformed, 0x1440, 2), [0x500 + 0x700 - 0x20, 16]);
}

#[test]
fn relocations_move_and_are_grouped_anew() {
    let numbers = [(0x1010, IMAGE_BASE + 0x1900), (0x1FF0, IMAGE_BASE + 0x1010), (0x1800, 0x1000), (0x1804, 12), (0x1808, 0x3FF0_3010)];
    let mut source = image(image::MACHINE_I386, &text(&numbers, &[]), &[(directory::RELOCATION, 0x1800, 12)]);
    // The second of the two relocations first: they are sorted.
    let transformed = transform(&source, &[(0, 0), (0x1100, 0x1180)]);
    assert_eq!(u32s(&transformed, 0x1010, 1), [IMAGE_BASE + 0x1_0000 + 0x1980]);
    assert_eq!(u32s(&transformed, 0x1FF0, 1), [IMAGE_BASE + 0x1_0000 + 0x1010]);
    // 0x1FF0 is at 0x2070 now: another page, another block, each padded to four bytes.
    assert_eq!(u32s(&transformed, 0x1800, 6), [0x1000, 12, 0x3010, 0x2000, 12, 0x3070]);
    // A block that reaches past the directory ends the table; the places of relocations stay.
    put(&mut source, TEXT + 0x804, 0x4000_0000_u32.to_le_bytes());
    assert_eq!(u32s(&transform(&source, &[(0, 0), (0x1100, 0x1180)]), 0x1010, 1), [IMAGE_BASE + 0x1900]);
}

#[test]
fn x64_functions_and_their_unwind_information_move() {
    let numbers = [
        (0x1800, 0x1100), // begin, end, unwind information
        (0x1804, 0x1110),
        (0x1808, 0x1900),
        (0x1900, 0x0001_0009), // version 1 with a handler, no prologue, one code
        (0x1908, 0x1700),
    ];
    let code: &'static [u8] = &[
        0x48, 0x8B, 0x05, 0xF9, 0x04, 0, 0, // mov rax, [rip + 0x4F9]: 0x1600
        0xE8, 0xF4, 0x05, 0, 0, // call 0x1700
        0x90, 0xC3,
    ];
    let text = text(&numbers, &[(0x1100, code), (0x1200, &[0xE8, 0xFB, 0x04, 0, 0])]);
    let source = image(image::MACHINE_AMD64, &text, &[(directory::EXCEPTION, 0x1800, 12)]);
    let transformed = preprocess(&[(0, 0), (0x1600, 0x1620), (0x1700, 0x1750), (0x1900, 0x1980)]).apply(&source, 0x2E63E).unwrap().0;
    assert_eq!(image::u32_at(&transformed, TEXT + 0x103), Some(0x4F9 + 0x20));
    assert_eq!(image::u32_at(&transformed, TEXT + 0x108), Some(0x5F4 + 0x50));
    // What is in no function stays.
    assert_eq!(image::u32_at(&transformed, TEXT + 0x201), Some(0x4FB));
    assert_eq!(u32s(&transformed, 0x1800, 3), [0x1100, 0x1110, 0x1980]);
    assert_eq!(u32s(&transformed, 0x1908, 1), [0x1750]);
}

#[test]
fn calls_in_the_target_become_relative_again() {
    let mut target = image(image::MACHINE_I386, &[0xE8, 0x00, 0x10, 0, 0, 0xE8, 0xF0, 0xFF, 0xFF, 0xFF, 0xE8, 0, 0, 0, 0x70], &[]);
    untranslate_calls(&mut target);
    let size = target.len() as u32;
    assert_eq!(image::u32_at(&target, TEXT + 1), Some(0x1000 - TEXT as u32));
    assert_eq!(image::u32_at(&target, TEXT + 6), Some(0xFFFF_FFF0u32.wrapping_add(size)));
    assert_eq!(image::u32_at(&target, TEXT + 11), Some(0x7000_0000));
    let mut other = image(image::MACHINE_AMD64, &[0xE8, 0x00, 0x10, 0, 0], &[]);
    untranslate_calls(&mut other);
    assert_eq!(image::u32_at(&other, TEXT + 1), Some(0x1000));
}

#[test]
fn an_image_whose_tables_name_the_same_bytes_over_and_over_is_refused() {
    // Import descriptors with the same thunks, all of the same long name.
    let mut numbers: Vec<Number> = (0..150).flat_map(|index| [(0x1000 + index * 20, 0x1C00), (0x1010 + index * 20, 0x1C00)]).collect();
    numbers.extend((0..127).map(|index| (0x1C00 + index * 4, 0x1E00)));
    let source = image(image::MACHINE_I386, &text(&numbers, &[(0x1E00, &[b'n'; 0x1FF])]), &[(directory::IMPORT, 0x1000, 40)]);
    assert!(matches!(preprocess(&[(0, 0)]).apply(&source, ALL), Err(Error::Malformed { .. })));
}

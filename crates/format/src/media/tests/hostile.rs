//! What nobody should write.

use super::*;
use crate::io::Extent;
use crate::media::VolumeError;

fn small() -> Files {
    Files::from([
        ("boot/etfsboot.com".into(), vec![0xF4; 4096]),
        ("directory/inner/file".into(), vec![1; 3000]),
        ("other".into(), vec![2; 10]),
    ])
}

/// An image in which one sector is another.
struct Patched {
    image: Arc<Vec<u8>>,
    offset: usize,
    sector: Vec<u8>,
}

impl ReadAt for Patched {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.image.read_exact_at(buffer, offset)?;
        let start = offset as usize;
        let (from, to) = (self.offset.max(start), (self.offset + self.sector.len()).min(start + buffer.len()));
        if from < to {
            buffer[from - start..to - start].copy_from_slice(&self.sector[from - self.offset..to - self.offset]);
        }
        Ok(())
    }
}

/// Opens what may be anything, and reads some of each file.
fn exercise(image: Arc<dyn ReadAt>) -> Result<(), VolumeError> {
    let volume = Volume::open(image)?;
    for entry in volume.entries() {
        let _ = volume.find(&volume.path(entry));
        if let Ok(section) = volume.open_file(entry) {
            let mut buffer = [0; 64];
            let length = usize::try_from(section.size()).unwrap_or(64).min(64);
            let _ = section.read_exact_at(&mut buffer[..length], 0);
        }
    }
    for image in volume.boot_images() {
        let _ = volume.open_boot_image(image);
    }
    Ok(())
}

/// Sectors that hold anything.
fn used_sectors(image: &[u8]) -> Vec<usize> {
    (16..image.len() / 2048).filter(|sector| image[sector * 2048..(sector + 1) * 2048].iter().any(|byte| *byte != 0)).collect()
}

/// The block in the UDF partition where the structure with this tag lies first, as offset.
fn structure(image: &[u8], identifier: u16) -> usize {
    let sector = (257..image.len() / 2048).find(|sector| image[sector * 2048..].starts_with(&identifier.to_le_bytes()));
    sector.unwrap_or_else(|| panic!("no {identifier}")) * 2048
}

#[test]
fn damaged_images_give_a_value_or_an_error() {
    let udf = image(bridge(IsoView::Stub, &small()));
    let full = image(bridge(IsoView::Full, &small()));
    for (image, sealed) in [(udf.clone(), true), (udf, false), (without_udf(full), false)] {
        let image = Arc::new(image);
        let mut opened = 0;
        for sector in used_sectors(&image) {
            let offset = sector * 2048;
            let original = &image[offset..offset + 2048];
            // A tag's version and the zero behind its checksum tell UDF's structures from other sectors.
            if sealed && (original[2..4] != [2, 0] || original[5] != 0) {
                continue;
            }
            for at in (0..512).step_by(if sealed { 1 } else { 5 }) {
                for value in [0, 0x7F, 0xFF, original[at] ^ 1] {
                    let mut sector = original.to_vec();
                    sector[at] = value;
                    if sealed && !(10..12).contains(&at) {
                        reseal(&mut sector);
                    }
                    opened += usize::from(exercise(Arc::new(Patched { image: Arc::clone(&image), offset, sector })).is_ok());
                }
            }
        }
        assert!(opened > 0);
        for length in (0..image.len()).step_by(1024) {
            let _ = exercise(Arc::new(image[..length].to_vec()));
        }
    }
}

#[test]
fn a_udf_directory_that_lists_the_root_is_a_cycle() {
    let mut bytes = image(bridge(IsoView::Stub, &small()));
    // The root's file identifiers: the parent takes 40 bytes; then `boot`, whose ICB's block is at 24 of it.
    let identifiers = structure(&bytes, 257);
    let root: [u8; 4] = bytes[identifiers + 24..identifiers + 28].try_into().unwrap();
    bytes[identifiers + 40 + 24..identifiers + 40 + 28].copy_from_slice(&root);
    reseal(&mut bytes[identifiers + 40..]);
    let error = Volume::open(Arc::new(bytes)).map(drop).unwrap_err();
    assert!(matches!(error, VolumeError::DirectoryCycle { .. }), "{error:?}");
}

#[test]
fn an_iso_directory_that_lists_the_root_is_a_cycle() {
    let mut bytes = without_joliet(image(bridge(IsoView::Full, &small())));
    let root = u32::from_le_bytes(bytes[16 * 2048 + 158..16 * 2048 + 162].try_into().unwrap());
    // Two records of 34 bytes for itself and its parent, then `BOOT`.
    let record = root as usize * 2048 + 68;
    assert_eq!(&bytes[record + 33..record + 37], b"BOOT");
    bytes[record + 2..record + 6].copy_from_slice(&root.to_le_bytes());
    let error = Volume::open(Arc::new(bytes)).map(drop).unwrap_err();
    assert!(matches!(error, VolumeError::DirectoryCycle { .. }), "{error:?}");
}

#[test]
fn names_that_would_leave_their_directory_are_refused() {
    let original = image(bridge(IsoView::Stub, &small()));
    let identifiers = structure(&original, 257) + 40;
    assert_eq!(&original[identifiers + 38..identifiers + 43], b"\x08boot");
    for name in [&b"\x08a/bc"[..], b"\x08a\\bc", b"\x08..", b"\x08.", b"\x08a\0bc", b"\x08"] {
        let mut bytes = original.clone();
        bytes[identifiers + 38..identifiers + 43].fill(0);
        bytes[identifiers + 38..identifiers + 38 + name.len()].copy_from_slice(name);
        bytes[identifiers + 19] = name.len() as u8;
        // A shorter name would make a shorter descriptor: the length for the implementation, at 36, keeps it.
        reseal(&mut bytes[identifiers..]);
        let error = Volume::open(Arc::new(bytes)).map(drop).unwrap_err();
        assert!(matches!(error, VolumeError::Name { .. }), "{name:?}: {error:?}");
    }
}

/// Rewrites the first file entry of a file of `small`: its allocation descriptors become `descriptors`, its size `size`.
fn with_descriptors(size: u64, flags: u16, descriptors: &[u8]) -> Vec<u8> {
    let mut bytes = image(bridge(IsoView::Stub, &small()));
    let entry = (257..bytes.len() / 2048)
        .map(|sector| sector * 2048)
        .find(|at| bytes[*at..*at + 2] == 261_u16.to_le_bytes() && bytes[at + 56..at + 64] == 4096_u64.to_le_bytes())
        .unwrap();
    bytes[entry + 34..entry + 36].copy_from_slice(&flags.to_le_bytes());
    bytes[entry + 56..entry + 64].copy_from_slice(&size.to_le_bytes());
    bytes[entry + 172..entry + 176].copy_from_slice(&(descriptors.len() as u32).to_le_bytes());
    bytes[entry + 176..entry + 176 + descriptors.len()].copy_from_slice(descriptors);
    bytes[entry + 10..entry + 12].copy_from_slice(&(160 + descriptors.len() as u16).to_le_bytes());
    reseal(&mut bytes[entry..]);
    bytes
}

fn short(kind: u32, length: u32, block: u32) -> Vec<u8> {
    [(kind << 30) | length, block].into_iter().flat_map(u32::to_le_bytes).collect()
}

#[test]
fn every_form_of_allocation_is_understood() {
    let read = |bytes| {
        let volume = open(bytes);
        let entry = volume.find("boot/etfsboot.com").unwrap();
        (entry.extents.clone(), read_all(volume.open_file(entry).unwrap()))
    };
    // Bytes in the file entry itself.
    assert_eq!(read(with_descriptors(5, 3, b"embed")).1, b"embed");
    // A hole, and a recorded block behind it (block 0 holds the file set descriptor, tag 256).
    let (extents, bytes) = read(with_descriptors(4096, 0, &[short(2, 2048, 0), short(0, 2048, 0)].concat()));
    assert_eq!((extents.len(), extents[0]), (2, Extent { offset: None, length: 2048 }));
    assert_eq!((&bytes[..2048], &bytes[2048..2050]), (&[0; 2048][..], &[0, 1][..]));
    // Long descriptors, of two adjacent extents.
    let long = |length: u32, block: u32| [length.to_le_bytes(), block.to_le_bytes(), [0; 4], [0; 4]].concat();
    let (extents, _) = read(with_descriptors(4000, 1, &[long(2048, 0), long(2048, 1)].concat()));
    assert_eq!(extents.iter().map(|extent| extent.length).collect::<Vec<_>>(), [4000]);
    // Extended descriptors.
    let words = [100_u32, 100, 100, 0, 0];
    let extended: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    assert_eq!(read(with_descriptors(100, 2, &extended)).1.len(), 100);
}

#[test]
fn allocation_that_is_too_short_or_endless_is_an_error() {
    let error = |bytes: Vec<u8>| Volume::open(Arc::new(bytes)).map(drop).unwrap_err();
    assert!(matches!(error(with_descriptors(4096, 0, &short(0, 2048, 0))), VolumeError::Malformed { .. }));
    assert!(matches!(error(with_descriptors(4096, 0, &short(0, 2048, u32::MAX))), VolumeError::Malformed { .. }));
    assert!(matches!(error(with_descriptors(4096, 4, &short(0, 2048, 0))), VolumeError::Unsupported { .. }));

    // The continuation in the last block of the partition continues with itself.
    let mut bytes = with_descriptors(1 << 40, 0, &short(3, 2048, 0));
    let entry = (257..).map(|sector| sector * 2048).find(|at| bytes[at + 56..at + 64] == (1_u64 << 40).to_le_bytes()).unwrap();
    let partition = (257..).find(|sector| bytes[sector * 2048..sector * 2048 + 2] == 256_u16.to_le_bytes()).unwrap();
    let last = bytes.len() / 2048 - 2;
    let block = (last - partition) as u32;
    bytes[entry + 180..entry + 184].copy_from_slice(&block.to_le_bytes());
    reseal(&mut bytes[entry..]);
    let mut link = vec![0; 24];
    link[20..24].copy_from_slice(&8_u32.to_le_bytes());
    link.extend(short(3, 2048, block));
    seal(&mut link, 258, block);
    bytes[last * 2048..last * 2048 + link.len()].copy_from_slice(&link);
    let error = error(bytes);
    assert!(matches!(error, VolumeError::Limit { what: "extents", .. }), "{error:?}");
}

#[test]
fn a_truncated_image_lists_but_does_not_read() {
    let mut bytes = image(bridge(IsoView::Full, &small()));
    bytes.truncate(bytes.len() - 3 * 2048);
    // UDF's other anchor is in sector 256.
    let volume = open(bytes);
    assert_eq!(volume.entries().len(), 7);
    assert!(volume.open_file(volume.find("other").unwrap()).is_err());
}

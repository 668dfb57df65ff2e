//! The El Torito boot catalog ("El Torito" Bootable CD-ROM Format Specification 1.0; UEFI specification 13.3.2.1).

use crate::io::ReadAt;
use crate::media::bytes::{Encoder, Fields, read as read_bytes};
use crate::media::volume::BootImage;
use crate::media::{Platform, SECTOR, VolumeError};

/// Bytes in an entry.
const ENTRY: usize = 32;
/// What marks an entry as bootable.
const BOOTABLE: u8 = 0x88;
/// What every catalog's first entry begins and ends with.
const VALIDATION: u8 = 1;
const VALIDATION_KEY: [u8; 2] = [0x55, 0xAA];
/// Section headers: more follow; the last one.
const SECTION: u8 = 0x90;
const LAST_SECTION: u8 = 0x91;
/// An entry that continues the one before it with selection criteria.
const EXTENSION: u8 = 0x44;

/// Reads the catalog at `offset`: one sector, the only size that firmware reads. Sizes of the images are 0.
pub(crate) fn boot_catalog(source: &dyn ReadAt, offset: u64) -> Result<Vec<BootImage>, VolumeError> {
    let bytes = read_bytes(source, "boot catalog", offset, 2048)?;
    let fields = Fields::new(&bytes, "boot catalog", offset);
    // Validation entry: 0 header, 1 platform, 4 maker, 28 checksum, 30 key. All its words sum up to 0.
    let (validation, entries) = bytes.split_at_checked(ENTRY).unwrap_or_default();
    let sum = validation.as_chunks::<2>().0.iter().fold(0_u16, |sum, word| sum.wrapping_add(u16::from_le_bytes(*word)));
    if fields.u8(0)? != VALIDATION || fields.bytes(30, 2)? != VALIDATION_KEY || sum != 0 {
        return Err(fields.malformed("its validation entry is not valid"));
    }
    let mut platform = Platform::from_id(fields.u8(1)?);
    let mut images = Vec::new();
    // The default entry belongs to the validation entry; sections of counted entries follow.
    let (mut expected, mut more_sections) = (1_u16, true);
    for entry in entries.as_chunks::<ENTRY>().0 {
        let entry = Fields::new(entry, "boot catalog", offset);
        match entry.u8(0)? {
            EXTENSION => {}
            // Section header: 1 platform, 2 entries
            header @ (SECTION | LAST_SECTION) if expected == 0 && more_sections => {
                platform = Platform::from_id(entry.u8(1)?);
                expected = entry.u16(2)?;
                more_sections = header == SECTION;
            }
            // 0 boot indicator, 1 media type, 2 load segment, 4 system type, 6 sectors, 8 first sector of the image
            indicator if expected > 0 => {
                expected = expected.saturating_sub(1);
                images.push(BootImage {
                    platform,
                    bootable: indicator == BOOTABLE,
                    emulation: entry.u8(1)? & 0x0F,
                    load_segment: entry.u16(2)?,
                    load_sectors: entry.u16(6)?,
                    offset: u64::from(entry.u32(8)?).saturating_mul(SECTOR),
                    size: 0,
                });
            }
            _ => break,
        }
    }
    Ok(images)
}

/// Bytes of a boot image that no file of the volume starts with: an emulated floppy disk's, a FAT volume's, or what is loaded.
pub(crate) fn boot_image_size(source: &dyn ReadAt, image: &BootImage) -> u64 {
    let floppy = match image.emulation {
        1 => Some(1_228_800),
        2 => Some(1_474_560),
        3 => Some(2_949_120),
        _ => None,
    };
    let loaded = u64::from(image.load_sectors).saturating_mul(512);
    let size = floppy.or_else(|| fat_volume_size(source, image.offset)).unwrap_or(loaded);
    size.min(source.size().saturating_sub(image.offset))
}

/// The size that a FAT boot sector records: 11 bytes in a sector, 19 sectors, or 32 if that is 0; 510 signature.
fn fat_volume_size(source: &dyn ReadAt, offset: u64) -> Option<u64> {
    let bytes = read_bytes(source, "boot image", offset, 512).ok()?;
    let fields = Fields::new(&bytes, "boot image", offset);
    let sector = u64::from(fields.u16(11).ok()?);
    let is_fat = matches!(fields.u8(0).ok()?, 0xEB | 0xE9) && fields.bytes(510, 2).ok()? == [0x55, 0xAA];
    let sectors = match fields.u16(19).ok()? {
        0 => fields.u32(32).ok()?,
        few => few.into(),
    };
    (is_fat && [512, 1024, 2048, 4096].contains(&sector) && sectors > 0).then(|| sector.saturating_mul(sectors.into()))
}

/// An entry to be written: an image without emulation.
pub(crate) struct CatalogEntry {
    pub platform: Platform,
    pub load_sectors: u16,
    /// First sector of the image.
    pub sector: u32,
}

/// Entries of a catalog: the validation entry and the default one, then a header and an entry for each further one.
pub(crate) const MAX_BOOT_ENTRIES: usize = 32;

/// Writes the catalog, one sector. The first entry is the default one, each further one makes a section.
pub(crate) fn encode_catalog(entries: &[CatalogEntry]) -> Vec<u8> {
    let mut catalog = Encoder::default();
    let platform = entries.first().map_or(0, |entry| entry.platform.id());
    // The words of the validation entry are (1 | platform << 8), the key, and the checksum, which brings their sum to 0.
    let sum = u16::from_le_bytes([VALIDATION, platform]).wrapping_add(u16::from_le_bytes(VALIDATION_KEY));
    catalog.u8(VALIDATION).u8(platform).pad_to(28).u16(sum.wrapping_neg()).bytes(&VALIDATION_KEY);
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            let header = if index.saturating_add(1) == entries.len() { LAST_SECTION } else { SECTION };
            catalog.u8(header).u8(entry.platform.id()).u16(1).align(ENTRY);
        }
        // 0 bootable, 1 no emulation, 2 load segment 0x7C0, 4 system type, 6 sectors to load, 8 first sector
        catalog.u8(BOOTABLE).u8(0).u16(0).u16(0).u16(entry.load_sectors).u32(entry.sector).align(ENTRY);
    }
    catalog.pad_to(2048).take()
}

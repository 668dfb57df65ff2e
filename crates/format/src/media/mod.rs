//! Optical media: reading UDF, Joliet and ISO 9660 volumes in place, and writing the "bridge" that Windows installation
//! media is.
//!
//! # What an installation disc looks like
//!
//! The image is a row of 2048-byte sectors. The first 16 belong to the system. From sector 16 a row of *volume
//! descriptors* follows, 2048 bytes each, which two standards share: those of ISO 9660 (ECMA-119) carry `CD001`, those of
//! UDF (ECMA-167) carry `BEA01`, `NSR02`/`NSR03`, `TEA01`. A disc that carries both is a *bridge*. On Microsoft's media
//! the UDF volume (revision 1.02) holds the files, and the ISO 9660 volume holds only a `README.TXT` which tells old
//! systems so, and the El Torito record, which tells the firmware where the boot images lie.
//!
//! ```text
//! sector 0        16                32 … 64        256      257              p                             N
//!        │ system │ ISO + El Torito │ UDF volume   │ anchor │ boot catalog,  │ UDF partition: file set,    │ anchor │
//!        │ area   │ + UDF recognit. │ descriptors  │        │ ISO folders    │ file entries, folders, data │        │
//! ```
//!
//! # The modules
//!
//! [`Volume`] reads whichever file system is the best one present, and yields each file as a section of the image.
//! [`Bridge`] writes. The structures themselves are in [`crate::udf`] and [`crate::iso`]. What the standards and
//! Microsoft's tools do is in `docs/formats/udf.md` and `docs/formats/iso.md`.

pub mod bridge;
pub(crate) mod bytes;
#[cfg(test)]
mod tests;
pub(crate) mod time;
pub mod volume;

pub use bridge::{BootEntry, Bridge, BridgeError, Content, ContentId, IsoView, Options, Window, WrittenFile, WrittenImage};
pub use volume::{BootImage, Entry, EntryKind, FileSystem, Volume, VolumeError};

/// Bytes in a sector of an optical disc, and in a logical block of the volumes that we write.
pub const SECTOR: u64 = 2048;

/// A platform in the El Torito boot catalog: for which firmware an entry is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// 0x00: a PC with BIOS; the image is a boot sector that is loaded and run.
    Bios,
    /// 0xEF: UEFI; the image is a FAT volume that holds `EFI/BOOT/BOOT*.EFI`.
    Uefi,
    /// Another identifier (1 PowerPC, 2 Macintosh).
    Other(u8),
}

impl Platform {
    pub(crate) fn from_id(id: u8) -> Self {
        match id {
            0 => Self::Bios,
            0xEF => Self::Uefi,
            other => Self::Other(other),
        }
    }

    pub(crate) fn id(self) -> u8 {
        match self {
            Self::Bios => 0,
            Self::Uefi => 0xEF,
            Self::Other(other) => other,
        }
    }
}

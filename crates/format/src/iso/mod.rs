//! ISO 9660 (ECMA-119) with Joliet's Unicode names and El Torito's boot catalog.
//!
//! # From the first byte to a file
//!
//! 1. From sector 16 (2048 bytes each) *volume descriptors* follow: type 1 the primary, 2 supplementary (Joliet if its escape
//!    sequence, at 88, is `%/@`, `%/C` or `%/E`), 0 a boot record (El Torito if it says so), 255 the end.
//! 2. A volume descriptor holds the root's *directory record*. A directory is a run of sectors of such records; none crosses
//!    the end of a sector. A record gives name, first block, length, time and flags.
//! 3. A file larger than 4 GiB has several records of one name in a row: all but the last carry the *multi-extent* flag (level 3).
//! 4. The boot record names the sector of the *boot catalog*: 32-byte entries, the first of which validates it.
//!
//! Numbers are recorded in both byte orders, of which this reader takes the little-endian one. Names in the primary tree are upper
//! case with a version (`README.TXT;1`); Joliet's are UTF-16, big-endian. *Path tables* repeat the directories for readers
//! with little memory; this reader does not need them. Rock Ridge is not read.

mod boot;
mod name;
mod read;
mod write;

pub(crate) use boot::{CatalogEntry, MAX_BOOT_ENTRIES, boot_catalog, boot_image_size};
pub(crate) use name::Names;
pub(crate) use read::{descriptors, read};
pub(crate) use write::{Layout, Volume};

//! UDF: the file system of Windows installation media (ECMA-167 structures, restricted by the OSTA UDF specification).
//!
//! # From the first byte to a file
//!
//! 1. The *volume recognition sequence* from byte 32768 announces UDF by a descriptor `NSR02` or `NSR03`.
//! 2. An *anchor* (at sector 256, in the last sector, or 256 before it) gives two copies of the *volume descriptor sequence*.
//! 3. That sequence holds the *partition descriptors* (a partition is a run of sectors) and the *logical volume descriptor*,
//!    which numbers the partitions by *partition maps*. A map may re-map blocks: the *metadata partition* (2.50 and
//!    later) is a file in another partition; the *virtual* and *sparable* partitions serve write-once and rewritable discs.
//! 4. The logical volume gives the *file set descriptor*, and that the root directory's *ICB*.
//! 5. An ICB holds the *file entry* (or extended file entry): size, times, and the *allocation descriptors*, which are the
//!    file's extents, or the file's bytes themselves when they are few.
//! 6. A directory's bytes are *file identifier descriptors*: a name and an ICB each.
//!
//! Every structure begins with a 16-byte *tag*: its kind, a checksum of the tag, a CRC of what follows, and the block it lies in.
//! Everything is little-endian. Numbers in brackets in this module, such as `4/14.9`, are parts and clauses of ECMA-167.

mod file;
mod identifier;
mod partition;
mod tag;
mod volume;
mod write;

pub(crate) use identifier::length as identifier_length;
#[cfg(test)]
pub(crate) use tag::seal;
pub(crate) use volume::{is_announced, read};
pub(crate) use write::{Layout, MAX_FILE_SIZE, Volume};

//! Bytes to structures and back: the on-disk formats that Windows deployment uses.
//!
//! Every module is usable alone, knows no policy and no host paths, and treats its input as hostile: any byte string
//! gives a value or an error. What we know of each format, with sources, stands in `docs/formats/`.
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod answer_file;
pub mod appx;
pub mod archive;
pub mod cab;
pub mod catalog;
pub mod container_index;
pub mod default_associations;
pub mod digest;
pub mod file_hashes;
pub mod file_time;
pub mod io;
pub mod iso;
pub mod manifest;
pub mod media;
pub mod member_name;
pub mod msu;
pub mod pe;
pub mod problem;
pub mod psf;
pub mod reg_file;
pub mod regf;
pub mod reparse;
pub mod security_descriptor;
pub mod start_layout;
pub mod udf;
pub mod upcase;
pub mod wim;
pub mod xml;

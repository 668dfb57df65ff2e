//! Bytes to structures and back: the on-disk formats that Windows deployment uses.
//!
//! Every module is usable alone, knows no policy and no host paths, and treats its input as hostile: any byte string
//! gives a value or an error. What we know of each format, with sources, stands in `docs/formats/`.
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod answer_file;
pub mod appx;
pub mod default_associations;
pub mod file_time;
pub mod io;
pub mod iso;
pub mod media;
pub mod problem;
pub mod reg_file;
pub mod regf;
pub mod security_descriptor;
pub mod udf;
pub mod upcase;
pub mod wim;
pub mod xml;

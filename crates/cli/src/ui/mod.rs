//! How the program talks: results to stdout, everything else to stderr.

pub mod error;
pub mod printer;
pub mod progress;
pub mod text;

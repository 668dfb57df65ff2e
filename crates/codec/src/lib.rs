//! Bytes to bytes: the compression formats of Windows images. No I/O, no policy.

pub mod cabinet_lzx;
pub mod mszip;
pub mod quantum;
mod window;

//! Bytes to bytes: the compression formats of Windows images. No I/O, no policy.

pub mod delta;

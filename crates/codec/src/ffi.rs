//! The one module that calls C: libwim's public compressor and decompressor functions (`wimlib.h`, "Compression and
//! decompression functions"). Nothing else of libwim is used, and nothing here leaks past the crate.
#![expect(unsafe_code, reason = "libwim is a C library; every call is in this module")]

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::NonNull;

use crate::{Compression, Error};

/// `WIMLIB_ERR_NOMEM` of `wimlib.h`.
const WIMLIB_ERR_NOMEM: c_int = 39;

#[repr(C)]
struct WimlibCompressor {
    _opaque: [u8; 0],
}

#[repr(C)]
struct WimlibDecompressor {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn wimlib_get_compressor_needed_memory(compression_type: c_int, max_block_size: usize, compression_level: c_uint) -> u64;
    fn wimlib_create_compressor(
        compression_type: c_int,
        max_block_size: usize,
        compression_level: c_uint,
        compressor: *mut *mut WimlibCompressor,
    ) -> c_int;
    fn wimlib_compress(
        input: *const c_void,
        input_size: usize,
        output: *mut c_void,
        output_available: usize,
        compressor: *mut WimlibCompressor,
    ) -> usize;
    fn wimlib_free_compressor(compressor: *mut WimlibCompressor);
    fn wimlib_create_decompressor(compression_type: c_int, max_block_size: usize, decompressor: *mut *mut WimlibDecompressor) -> c_int;
    fn wimlib_decompress(
        input: *const c_void,
        input_size: usize,
        output: *mut c_void,
        output_size: usize,
        decompressor: *mut WimlibDecompressor,
    ) -> c_int;
    fn wimlib_free_decompressor(decompressor: *mut WimlibDecompressor);
}

/// `enum wimlib_compression_type`.
fn compression_type(compression: Compression) -> c_int {
    match compression {
        Compression::Xpress => 1,
        Compression::Lzx => 2,
        Compression::Lzms => 3,
    }
}

fn creation_error(code: c_int, compression: Compression, max_block: usize) -> Error {
    match code {
        WIMLIB_ERR_NOMEM => Error::OutOfMemory { compression, max_block },
        code => Error::Parameters { compression, max_block, code },
    }
}

/// Bytes of memory that a compressor takes; 0 when the parameters are not valid.
pub(crate) fn compressor_memory(compression: Compression, max_block: usize, level: u32) -> u64 {
    // SAFETY: takes values only and reads no memory of ours.
    unsafe { wimlib_get_compressor_needed_memory(compression_type(compression), max_block, level) }
}

/// An owned `struct wimlib_compressor`.
pub(crate) struct Compressor(NonNull<WimlibCompressor>);

// SAFETY: `wimlib.h` allows a compressor on any thread, one at a time: it has no thread-local state. It is not Sync:
// `compress` takes `&mut self`.
unsafe impl Send for Compressor {}

impl Compressor {
    pub(crate) fn new(compression: Compression, max_block: usize, level: u32) -> Result<Self, Error> {
        let mut pointer = std::ptr::null_mut();
        // SAFETY: `pointer` is a valid place for the result.
        let code = unsafe { wimlib_create_compressor(compression_type(compression), max_block, level, &raw mut pointer) };
        match NonNull::new(pointer) {
            Some(pointer) if code == 0 => Ok(Self(pointer)),
            _ => Err(creation_error(code, compression, max_block)),
        }
    }

    pub(crate) fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        // SAFETY: both slices are valid for the lengths given, they don't overlap (one is `&mut`), the compressor is
        // live and used by this thread alone. It was not created destructive, so `input` is only read.
        let size =
            unsafe { wimlib_compress(input.as_ptr().cast(), input.len(), output.as_mut_ptr().cast(), output.len(), self.0.as_ptr()) };
        (size > 0 && size <= output.len()).then_some(size)
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `wimlib_create_compressor` and is freed once.
        unsafe { wimlib_free_compressor(self.0.as_ptr()) }
    }
}

/// An owned `struct wimlib_decompressor`.
pub(crate) struct Decompressor(NonNull<WimlibDecompressor>);

// SAFETY: as for `Compressor`.
unsafe impl Send for Decompressor {}

impl Decompressor {
    pub(crate) fn new(compression: Compression, max_block: usize) -> Result<Self, Error> {
        let mut pointer = std::ptr::null_mut();
        // SAFETY: `pointer` is a valid place for the result.
        let code = unsafe { wimlib_create_decompressor(compression_type(compression), max_block, &raw mut pointer) };
        match NonNull::new(pointer) {
            Some(pointer) if code == 0 => Ok(Self(pointer)),
            _ => Err(creation_error(code, compression, max_block)),
        }
    }

    pub(crate) fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> bool {
        // SAFETY: both slices are valid for the lengths given and don't overlap; the decompressor is live and used by
        // this thread alone. libwim checks every length that the compressed data claims.
        let code =
            unsafe { wimlib_decompress(input.as_ptr().cast(), input.len(), output.as_mut_ptr().cast(), output.len(), self.0.as_ptr()) };
        code == 0
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `wimlib_create_decompressor` and is freed once.
        unsafe { wimlib_free_decompressor(self.0.as_ptr()) }
    }
}

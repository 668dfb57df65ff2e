//! Binary deltas of Windows servicing: PA30 and PA31 (`msdelta.dll`), PA19 (`mspatcha.dll`).

mod bits;
mod huffman;
mod patch;
mod pe;
mod rift;

use bits::BitReader;
use rift::Rift;

/// Why a delta could not be read or applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The delta ends early.
    #[error("the {what} ends early")]
    Truncated {
        /// The part that ends early.
        what: &'static str,
    },
    /// The delta breaks a rule of its format.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// The part that is wrong.
        what: &'static str,
        /// The rule.
        why: &'static str,
    },
    /// The delta needs what is not implemented.
    #[error("{what} are not supported")]
    Unsupported {
        /// What it needs.
        what: &'static str,
    },
    /// The target is larger than the caller allows.
    #[error("the delta's target has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Size of the target in bytes.
        size: u64,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// What came out is not what the header promises.
    #[error("the target does not have the hash that the delta states")]
    Hash,
}

/// Header.
#[derive(Clone, Debug)]
pub struct Header {
    /// file type
    pub file_type: u64,
    /// flags
    pub flags: u64,
    /// size
    pub target_size: u64,
    /// hash
    pub hash_algorithm: u32,
    /// hash
    pub hash: Vec<u8>,
}

/// Apply.
pub fn apply(base: &[u8], delta: &[u8], limit: u64) -> Result<Vec<u8>, Error> {
    let target = apply_unverified(base, delta, limit)?;
    let h = target.1;
    use md5::Digest as _;
    if h.hash_algorithm == 0x8003 && md5::Md5::digest(&target.0).as_slice() != h.hash { return Err(Error::Hash); }
    Ok(target.0)
}

/// Apply.
pub fn apply_unverified(base: &[u8], delta: &[u8], limit: u64) -> Result<(Vec<u8>, Header), Error> {
    let mut reader = BitReader::new(delta.get(12..).ok_or(Error::Truncated { what: "delta" })?)?;
    let pa31 = delta.starts_with(b"PA31");
    let mut outer = reader.clone();
    if pa31 { let b = outer.buffer()?; reader = BitReader::new(b)?; }
    let _set = reader.number()?;
    let file_type = reader.number()?;
    let flags = reader.number()?;
    let target_size = reader.number()?;
    let hash_algorithm = reader.number()? as u32;
    let hash = reader.buffer()?.to_vec();
    if !pa31 { outer = reader; }
    if target_size > limit { return Err(Error::TooLarge { size: target_size, limit }); }
    let pre = outer.buffer()?;
    let patch = outer.buffer()?;
    let (window, rift) = if file_type != 1 && !pre.is_empty() {
        pe::Preprocess::read(pre)?.apply(base, flags)
    } else { (base.to_vec(), Rift::default()) };
    if let Ok(d) = std::env::var("PROV") {
        std::fs::write(format!("{d}.t"), &window).unwrap();
        for (n, f) in [("0", (|i: usize| i as u8) as fn(usize) -> u8), ("1", |i| (i >> 8) as u8), ("2", |i| (i >> 16) as u8), ("a", |_| 0xAA), ("5", |_| 0x55)] {
            let w: Vec<u8> = (0..window.len()).map(f).collect();
            std::fs::write(format!("{d}.{n}"), patch::decode(w, patch, target_size as usize, rift.clone())?).unwrap();
        }
    }
    let mut out = patch::decode(window, patch, target_size as usize, rift)?;
    if flags & pe::flag::E8 != 0 { pe::untranslate_calls(&mut out); }
    Ok((out, Header { file_type, flags, target_size, hash_algorithm, hash }))
}

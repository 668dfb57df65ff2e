//! The block map: hashes of every 64 KiB of every part.
//!
//! Source: learn.microsoft.com "App package block map schema reference".

use super::{AppxError, Archive, BLOCK_MAP, CODE_INTEGRITY, CONTENT_TYPES, Member, Result, SIGNATURE, part_error};
use crate::xml;
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::collections::HashMap;
use std::io::Read;

const NAMESPACE: &str = "http://schemas.microsoft.com/appx/2010/blockmap";
/// Bytes of a part that one hash covers; the last covers what is left.
const BLOCK_SIZE: usize = 64 << 10;

type Hash = fn(&[u8]) -> Vec<u8>;

/// Hash methods by their names in the map.
const HASH_METHODS: [(&str, Hash); 3] = [
    ("http://www.w3.org/2001/04/xmlenc#sha256", |bytes| Sha256::digest(bytes).to_vec()),
    ("http://www.w3.org/2001/04/xmldsig-more#sha384", |bytes| Sha384::digest(bytes).to_vec()),
    ("http://www.w3.org/2001/04/xmlenc#sha512", |bytes| Sha512::digest(bytes).to_vec()),
];

/// A parsed block map.
pub(super) struct BlockMap {
    hash: Hash,
    files: Vec<MappedFile>,
}

struct MappedFile {
    path: String,
    size: u64,
    /// Hashes in base 64, as the map has them.
    blocks: Vec<String>,
}

impl BlockMap {
    pub(super) fn read(archive: &Archive) -> Result<Self> {
        Self::parse(&archive.read(archive.require(BLOCK_MAP)?)?)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let xml_error = |source| AppxError::Xml { part: BLOCK_MAP, source };
        let text = xml::decode(bytes).map_err(xml_error)?;
        let document = xml::parse(&text).map_err(xml_error)?;
        let root = document.root_element();
        if !root.has_tag_name((NAMESPACE, "BlockMap")) {
            return part_error(BLOCK_MAP, format!("the root is not `BlockMap` in the namespace {NAMESPACE}"));
        }
        let method = root.attribute("HashMethod").unwrap_or_default();
        let Some((_, hash)) = HASH_METHODS.iter().find(|(name, _)| *name == method) else {
            return part_error(BLOCK_MAP, format!("the hash method `{method}` is not known"));
        };
        let mut files = Vec::new();
        for file in root.children().filter(|child| child.has_tag_name((NAMESPACE, "File"))) {
            let (Some(path), Some(size)) = (file.attribute("Name"), file.attribute("Size").and_then(|size| size.parse().ok())) else {
                return part_error(BLOCK_MAP, "a `File` has no Name or no Size");
            };
            let blocks = file.children().filter(|child| child.has_tag_name((NAMESPACE, "Block")));
            let blocks = blocks.map(|block| block.attribute("Hash").unwrap_or_default().to_owned()).collect();
            files.push(MappedFile { path: path.to_owned(), size, blocks });
        }
        Ok(Self { hash: *hash, files })
    }

    /// Checks every part of `archive` but those that no map covers, and those for which `elsewhere` is true.
    pub(super) fn verify(&self, archive: &Archive, elsewhere: impl Fn(&Member) -> bool) -> Result<()> {
        let mut members: HashMap<String, &Member> = archive.members().iter().map(|member| (member.path.to_lowercase(), member)).collect();
        for file in &self.files {
            let Some(member) = members.remove(&file.path.to_lowercase()) else {
                return part_error(&file.path, "in the block map, but not in the package, or twice in the map");
            };
            self.verify_file(archive, file, member)?;
        }
        let outside = |member: &Member| {
            [BLOCK_MAP, SIGNATURE, CONTENT_TYPES, CODE_INTEGRITY].iter().any(|path| path.eq_ignore_ascii_case(&member.path))
        };
        // In the order of the directory, so that the same part is named every time.
        let left = |member: &&Member| members.contains_key(&member.path.to_lowercase());
        match archive.members().iter().filter(left).find(|member| !outside(member) && !elsewhere(member)) {
            Some(member) => part_error(&member.path, "in the package, but not in the block map"),
            None => Ok(()),
        }
    }

    fn verify_file(&self, archive: &Archive, file: &MappedFile, member: &Member) -> Result<()> {
        if member.size != file.size {
            return part_error(&file.path, format!("has {} bytes; the block map says {}", member.size, file.size));
        }
        if file.blocks.len() as u64 != file.size.div_ceil(BLOCK_SIZE as u64) {
            return part_error(&file.path, format!("has {} bytes, but {} hashes in the block map", file.size, file.blocks.len()));
        }
        let mut reader = archive.reader(member)?;
        let mut block = Vec::with_capacity(BLOCK_SIZE);
        for (index, expected) in file.blocks.iter().enumerate() {
            block.clear();
            if let Err(error) = reader.by_ref().take(BLOCK_SIZE as u64).read_to_end(&mut block) {
                return part_error(&file.path, error.to_string());
            }
            if base64(&(self.hash)(&block)) != *expected {
                return part_error(&file.path, format!("the 64 KiB block {index} does not have the hash of the block map"));
            }
        }
        Ok(())
    }
}

/// Base 64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| usize::try_from(bits & 63).ok().and_then(|value| DIGITS.get(value)).copied().map_or('=', char::from);
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |index| group.get(index).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digits = [18, 12, 6, 0].map(|shift| digit(bits >> shift));
        text.extend(digits.iter().take(group.len().saturating_add(1)));
        text.extend(std::iter::repeat_n('=', 3_usize.saturating_sub(group.len())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_of_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}

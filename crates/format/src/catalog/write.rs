//! Writes unsigned catalogs: the certificate trust list of a package in a PKCS #7 frame without signers.
//!
//! The list has the shape of the catalogs of Windows 10 and later: each file is a member twice, by SHA-1 with nothing but the tag
//! and by SHA-256 with an `SPC_INDIRECT_DATA` attribute; members are sorted by tag. Practice packages are made with this, and tests
//! put a signature around it. Nothing that is written here claims to be from Microsoft: Windows trusts none of it.

use std::collections::BTreeMap;

use ::der::Encode;
use ::der::asn1::ObjectIdentifier;

use super::{CATALOG_LIST, CERTIFICATE_TRUST_LIST, INDIRECT_DATA, NAME_VALUE};
use crate::manifest::HashAlgorithm;

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const OCTETS: u8 = 0x04;
/// `[0]`, constructed.
pub(super) const CONTEXT_0: u8 = 0xA0;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// `szOID_CATALOG_LIST_MEMBER2`: the algorithm of a list by hashes.
const LIST_MEMBER_2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.1.3");
/// `CAT_MEMBERINFO2`: an attribute that every member by hash has, and nothing in it.
const MEMBER_INFORMATION_2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.2.3");
/// `SPC_CAB_DATA_OBJID`: the kind of data of a member by hash.
const PLAIN_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.25");

/// What a catalog is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCatalog {
    /// `listIdentifier`: a GUID. Microsoft's is random.
    pub list_identifier: [u8; 16],
    /// `ctlThisUpdate` as UTCTime: `YYMMDDhhmmssZ`.
    pub created: String,
    /// Names and texts of the catalog itself: `OSAttr`, `PackageName`, ….
    pub attributes: Vec<(String, String)>,
    /// Members: tag, and whether it is a SHA-256.
    members: BTreeMap<Vec<u8>, bool>,
}

impl NewCatalog {
    /// A catalog without members.
    #[must_use]
    pub fn new(list_identifier: [u8; 16], created: &str) -> Self {
        Self { list_identifier, created: created.to_owned(), attributes: Vec::new(), members: BTreeMap::new() }
    }

    /// Vouches for a file by the hashes of its bytes.
    pub fn add_file(&mut self, bytes: &[u8]) {
        self.members.insert(HashAlgorithm::Sha256.digest(bytes), true);
        self.members.insert(HashAlgorithm::Sha1.digest(bytes), false);
    }

    /// The catalog as a file, unsigned.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        signed_data(CERTIFICATE_TRUST_LIST, &element(SEQUENCE, &[&self.list()]), &[], &[])
    }

    /// The contents of the certificate trust list, without its tag and length: what a signature covers.
    fn list(&self) -> Vec<u8> {
        let members: Vec<u8> = self.members.iter().flat_map(|(tag, by_sha256)| member(tag, *by_sha256)).collect();
        let attributes: Vec<u8> = self.attributes.iter().flat_map(|(name, text)| name_value(name, text)).collect();
        let mut list = [
            element(SEQUENCE, &[&oid(CATALOG_LIST)]),
            element(OCTETS, &[&self.list_identifier]),
            element(0x17, &[self.created.as_bytes()]),
            algorithm(LIST_MEMBER_2),
            element(SEQUENCE, &[&members]),
        ]
        .concat();
        if !attributes.is_empty() {
            list.extend(element(CONTEXT_0, &[&element(SEQUENCE, &[&attributes])]));
        }
        list
    }
}

fn member(tag: &[u8], by_sha256: bool) -> Vec<u8> {
    let attribute = |kind: ObjectIdentifier, value: &[u8]| element(SEQUENCE, &[&oid(kind), &element(SET, &[value])]);
    let mut attributes = attribute(MEMBER_INFORMATION_2, &element(0x82, &[]));
    if by_sha256 {
        let data = element(SEQUENCE, &[&oid(PLAIN_DATA), &element(0xA2, &[&element(0x80, &[])])]);
        let hash = element(SEQUENCE, &[&algorithm(SHA256), &element(OCTETS, &[tag])]);
        attributes.extend(attribute(INDIRECT_DATA, &element(SEQUENCE, &[&data, &hash])));
    }
    element(SEQUENCE, &[&element(OCTETS, &[tag]), &element(SET, &[&attributes])])
}

/// An extension of the list: a `CatalogNameValue`.
pub(super) fn name_value(name: &str, text: &str) -> Vec<u8> {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let text: Vec<u8> = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    // Flags 0x00010001: authenticated, the text is not base64 (`mscat.h`).
    let value = element(SEQUENCE, &[&element(0x1E, &[&name]), &[2, 4, 0, 1, 0, 1], &element(OCTETS, &[&text])]);
    element(SEQUENCE, &[&oid(NAME_VALUE), &element(OCTETS, &[&value])])
}

/// A PKCS #7 `SignedData` in its `ContentInfo`: `content` with its tag, certificates and signers one after another.
pub(super) fn signed_data(content_type: ObjectIdentifier, content: &[u8], certificates: &[u8], signers: &[u8]) -> Vec<u8> {
    let content = element(SEQUENCE, &[&oid(content_type), &element(CONTEXT_0, &[content])]);
    let certificates = if certificates.is_empty() { Vec::new() } else { element(CONTEXT_0, &[certificates]) };
    let digests = element(SET, &[&algorithm(SHA256)]);
    let data = element(SEQUENCE, &[&[2, 1, 1], &digests, &content, &certificates, &element(SET, &[signers])]);
    element(SEQUENCE, &[&oid(SIGNED_DATA), &element(CONTEXT_0, &[&data])])
}

/// An element of DER: tag, length in its shortest form, value.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = value.len().to_be_bytes();
    let digits = length.iter().position(|byte| *byte != 0).map_or(&[][..], |first| length.get(first..).unwrap_or_default());
    let mut out = vec![tag];
    match digits {
        [] => out.push(0),
        [short @ 0..=127] => out.push(*short),
        // A usize has at most 8 bytes.
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    out.extend(value);
    out
}

pub(super) fn algorithm(id: ObjectIdentifier) -> Vec<u8> {
    element(SEQUENCE, &[&oid(id), &[5, 0]])
}

pub(super) fn oid(id: ObjectIdentifier) -> Vec<u8> {
    // Cannot fail: an identifier is at most 39 bytes.
    id.to_der().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Error, Policy};

    fn small() -> NewCatalog {
        let mut new = NewCatalog::new(*b"practice catalog", "240906000000Z");
        new.attributes.push(("OSAttr".into(), "2:10.0".into()));
        new.add_file(b"one");
        new.add_file(b"two");
        new
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = small().to_bytes();
        let catalog = Catalog::parse(&bytes).unwrap();
        assert_eq!((catalog.members.len(), catalog.attribute("osattr")), (4, Some("2:10.0")));
        assert_eq!((catalog.created, catalog.list_identifier.as_slice()), (1_725_580_800, &b"practice catalog"[..]));
        for file in [b"one", b"two"] {
            assert_eq!(catalog.lists(file), Some(HashAlgorithm::Sha256));
            assert!(catalog.contains(&HashAlgorithm::Sha1.digest(file)));
        }
        assert_eq!(catalog.lists(b"three"), None);
        let policy = Policy { roots: &[], time: 1_780_000_000, require_system_component: true };
        assert!(matches!(catalog.verify(&policy), Err(Error::Unsigned)));
        assert_eq!(bytes, small().to_bytes());
    }

    #[test]
    fn lengths_have_their_shortest_form() {
        for (length, header) in
            [(0, &[4, 0][..]), (127, &[4, 127]), (128, &[4, 0x81, 128]), (256, &[4, 0x82, 1, 0]), (70_000, &[4, 0x83, 1, 17, 112])]
        {
            let bytes = element(4, &[&vec![0; length]]);
            assert_eq!((bytes.len(), &bytes[..header.len()]), (header.len() + length, header));
        }
    }

    #[test]
    fn oracle_openssl_reads_the_catalog() {
        if !wimwright_testkit::oracles(&["openssl"]) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.cat");
        std::fs::write(&path, small().to_bytes()).unwrap();
        let mut command = std::process::Command::new("openssl");
        let output = wimwright_testkit::run(command.args(["asn1parse", "-inform", "DER", "-in"]).arg(&path));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("1.3.6.1.4.1.311.12.1.1") && text.matches("1.3.6.1.4.1.311.12.2.3").count() == 4, "{text}");
    }
}

//! Makes small catalogs with a chain of certificates, a signature and a timestamp: right ones and wrong ones.

use std::borrow::Cow;

use ::der::asn1::ObjectIdentifier;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey};

use super::super::write::{CONTEXT_0, OCTETS, SEQUENCE, SET, element, name_value};
use super::super::{DigestAlgorithm, Root, TimestampForm, write};
use crate::manifest::HashAlgorithm;

/// The caller's clock in these tests: 2026.
pub const NOW: u64 = 1_780_000_000;

/// What to make; the default is a right catalog without timestamp.
pub struct Forge {
    pub signer_end: &'static str,
    pub signer_usages: &'static [&'static str],
    pub issuer_is_authority: bool,
    pub signed: bool,
    pub timestamp: Option<TimestampForm>,
    pub timestamp_usage: &'static str,
    pub timestamp_of_other: bool,
}

impl Default for Forge {
    fn default() -> Self {
        Self {
            signer_end: "300101000000Z",
            signer_usages: &["1.3.6.1.5.5.7.3.3", "1.3.6.1.4.1.311.10.3.6"],
            issuer_is_authority: true,
            signed: true,
            timestamp: None,
            timestamp_usage: "1.3.6.1.5.5.7.3.8",
            timestamp_of_other: false,
        }
    }
}

fn oid(text: &str) -> Vec<u8> {
    write::oid(ObjectIdentifier::new(text).unwrap())
}

fn algorithm(text: &str) -> Vec<u8> {
    write::algorithm(ObjectIdentifier::new(text).unwrap())
}

fn integer(value: &[u8]) -> Vec<u8> {
    element(2, &[&[0], value])
}

const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const SHA256_RSA: &str = "1.2.840.113549.1.1.11";
const RSA: &str = "1.2.840.113549.1.1.1";
const LIST: &str = "1.3.6.1.4.1.311.10.1";

/// One key for all: what is tested is the structure.
fn key() -> RsaPrivateKey {
    let prime = |digits: &str| BigUint::parse_bytes(digits.as_bytes(), 16).unwrap();
    let p = prime(
        "ceabe55ff954b0d1f04f5a1d2b56b6854e8d346627d1f20f8aa475ad306f5baa444ee4556558217de0affd0b20cfd327acee4434194b8f9f22ad0179e688f571",
    );
    let q = prime(
        "c198839c2a06de9c33a83ddbae434b6372d6b7583edec554b76732c0167347ad34047a8bb7c1bee9669c6dd9586909473a22b5e9ac3856df1f5b58c83ac567c5",
    );
    RsaPrivateKey::from_p_q(p, q, BigUint::from(65537_u32)).unwrap()
}

fn sign(bytes: &[u8]) -> Vec<u8> {
    let sha256 = DigestAlgorithm::Sha256;
    let scheme = Pkcs1v15Sign { hash_len: Some(32), prefix: sha256.prefix().into() };
    key().sign(scheme, &sha256.digest(bytes)).unwrap()
}

fn name(text: &str) -> Vec<u8> {
    element(SEQUENCE, &[&element(SET, &[&element(SEQUENCE, &[&oid("2.5.4.3"), &element(0x0C, &[text.as_bytes()])])])])
}

fn certificate(serial: u8, subject: &str, issuer: &str, end: &str, usages: &[&str], authority: bool) -> Vec<u8> {
    let key = key();
    let key = element(SEQUENCE, &[&integer(&key.n().to_bytes_be()), &integer(&key.e().to_bytes_be())]);
    let key = element(SEQUENCE, &[&algorithm(RSA), &element(3, &[&[0], &key])]);
    let validity = element(SEQUENCE, &[&element(0x17, &[b"200101000000Z"]), &element(0x17, &[end.as_bytes()])]);
    let extension = |id: &str, value: Vec<u8>| element(SEQUENCE, &[&oid(id), &element(OCTETS, &[&value])]);
    let mut extensions = Vec::new();
    if authority {
        extensions.extend(extension("2.5.29.19", element(SEQUENCE, &[&[1, 1, 0xFF]])));
    }
    if !usages.is_empty() {
        let usages: Vec<u8> = usages.iter().flat_map(|usage| oid(usage)).collect();
        extensions.extend(extension("2.5.29.37", element(SEQUENCE, &[&usages])));
    }
    let extensions = if extensions.is_empty() { Vec::new() } else { element(0xA3, &[&element(SEQUENCE, &[&extensions])]) };
    let version = element(CONTEXT_0, &[&[2, 1, 2]]);
    let parts: [&[u8]; 8] =
        [&version, &[2, 1, serial], &algorithm(SHA256_RSA), &name(issuer), &validity, &name(subject), &key, &extensions];
    let covered = element(SEQUENCE, &parts);
    element(SEQUENCE, &[&covered, &algorithm(SHA256_RSA), &element(3, &[&[0], &sign(&covered)])])
}

/// A `SignerInfo` over `content`.
fn signer(issuer: &str, serial: u8, content: &[u8], content_type: &str, more: &[u8], unsigned: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let attribute = |id: &str, value: Vec<u8>| element(SEQUENCE, &[&oid(id), &element(SET, &[&value])]);
    let attributes = [
        attribute("1.2.840.113549.1.9.3", oid(content_type)),
        more.to_vec(),
        attribute("1.2.840.113549.1.9.4", element(OCTETS, &[&DigestAlgorithm::Sha256.digest(content)])),
    ]
    .concat();
    let signature = sign(&element(SET, &[&attributes]));
    let identifier = element(SEQUENCE, &[&name(issuer), &[2, 1, serial]]);
    let signed = element(CONTEXT_0, &[&attributes]);
    let octets = element(OCTETS, &[&signature]);
    let parts: [&[u8]; 7] = [&[2, 1, 1], &identifier, &algorithm(SHA256), &signed, &algorithm(RSA), &octets, unsigned];
    (element(SEQUENCE, &parts), signature)
}

fn signed_data(content_type: &str, content: &[u8], certificates: &[Vec<u8>], signers: &[u8]) -> Vec<u8> {
    write::signed_data(ObjectIdentifier::new(content_type).unwrap(), content, &certificates.concat(), signers)
}

/// The contents of the list, without its tag and length.
fn list() -> Vec<u8> {
    let little = |text: &str| format!("{text}\0").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let indirect = |digest: Vec<u8>| {
        let data = element(SEQUENCE, &[&oid("1.3.6.1.4.1.311.2.1.25"), &[0xA2, 2, 0x80, 0]]);
        let information = element(SEQUENCE, &[&algorithm(SHA256), &element(OCTETS, &[&digest])]);
        let value = element(SEQUENCE, &[&data, &information]);
        element(SET, &[&element(SEQUENCE, &[&oid("1.3.6.1.4.1.311.2.1.4"), &element(SET, &[&value])])])
    };
    let hexadecimal: String = HashAlgorithm::Sha1.digest(b"by sha1 text").iter().map(|byte| format!("{byte:02X}")).collect();
    let members = [
        element(SEQUENCE, &[&element(OCTETS, &[&HashAlgorithm::Sha256.digest(b"by sha256")])]),
        element(SEQUENCE, &[&element(OCTETS, &[&little(&hexadecimal)])]),
        element(SEQUENCE, &[&element(OCTETS, &[&little("name")]), &indirect(HashAlgorithm::Sha256.digest(b"named, hash in an attribute"))]),
    ];
    [
        element(SEQUENCE, &[&oid("1.3.6.1.4.1.311.12.1.1")]),
        element(OCTETS, &[&[7; 16]]),
        element(0x17, &[b"200913122640Z"]),
        algorithm("1.3.6.1.4.1.311.12.1.3"),
        element(SEQUENCE, &[&members.concat()]),
        element(CONTEXT_0, &[&element(SEQUENCE, &[&name_value("OSAttr", "2:10.0")])]),
    ]
    .concat()
}

impl Forge {
    fn root_certificate() -> Vec<u8> {
        certificate(1, "root", "root", "350101000000Z", &[], true)
    }

    /// The root that everything made here chains to.
    pub fn root(&self) -> Root {
        Root { name: "forged root".into(), certificate: Cow::Owned(Self::root_certificate()), source: "this test".into() }
    }

    /// An unsigned attribute with the timestamp 2023-11-14 22:13:20 of a signature.
    fn timestamp_of(&self, form: TimestampForm, signature: &[u8], certificates: &[Vec<u8>]) -> Vec<u8> {
        let signature = if self.timestamp_of_other { b"another signature" } else { signature };
        let (id, value) = match form {
            TimestampForm::Countersignature => {
                let time = element(SEQUENCE, &[&oid("1.2.840.113549.1.9.5"), &element(SET, &[&element(0x17, &[b"231114221320Z"])])]);
                ("1.2.840.113549.1.9.6", signer("issuer", 4, signature, "1.2.840.113549.1.7.1", &time, &[]).0)
            }
            TimestampForm::Rfc3161 => {
                const INFORMATION: &str = "1.2.840.113549.1.9.16.1.4";
                let imprint = element(SEQUENCE, &[&algorithm(SHA256), &element(OCTETS, &[&DigestAlgorithm::Sha256.digest(signature)])]);
                let time = element(0x18, &[b"20231114221320.123Z"]);
                let information = element(SEQUENCE, &[&[2, 1, 1], &oid("1.2.3"), &imprint, &[2, 1, 9], &time]);
                let (signer, _) = signer("issuer", 4, &information, INFORMATION, &[], &[]);
                ("1.3.6.1.4.1.311.3.3.1", signed_data(INFORMATION, &element(OCTETS, &[&information]), certificates, &signer))
            }
        };
        element(0xA1, &[&element(SEQUENCE, &[&oid(id), &element(SET, &[&value])])])
    }

    /// The catalog: signer, issuer and timestamp authority inside, the root not.
    pub fn catalog(&self) -> Vec<u8> {
        let certificates = [
            certificate(2, "issuer", "root", "330101000000Z", &[], self.issuer_is_authority),
            certificate(3, "signer", "issuer", self.signer_end, self.signer_usages, false),
            certificate(4, "timestamps", "issuer", "330101000000Z", &[self.timestamp_usage], false),
        ];
        let list = list();
        let mut info = signer("issuer", 3, &list, LIST, &[], &[]);
        if let Some(form) = self.timestamp {
            let unsigned = self.timestamp_of(form, &info.1, &certificates);
            info = signer("issuer", 3, &list, LIST, &[], &unsigned);
        }
        let signers = if self.signed { info.0 } else { Vec::new() };
        signed_data(LIST, &element(SEQUENCE, &[&list]), &certificates, &signers)
    }
}

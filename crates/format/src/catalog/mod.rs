//! Catalogs (`.cat`): signed lists of hashes.
//!
//! A catalog is a PKCS #7 `SignedData` whose content is a certificate trust list: *members*, each tagged with the hash of a file,
//! with attributes. Component based servicing lists in the catalog of a package the hashes of its manifests (of the decoded
//! XML, never of the stored delta); the payload is covered by the hashes in those manifests. Old catalogs list SHA-1 hashes,
//! the tag being hexadecimal text; since Windows 8 the tags are the hashes themselves, SHA-1 and SHA-256 side by side.
//!
//! [`Catalog::parse`] only reads. [`Catalog::verify`] proves who signed, and its result says exactly what was proven. Nothing asks a
//! network: revocation is not checked.
//!
//! Sources: RFC 2315, RFC 5652, RFC 5280, RFC 3161; Microsoft's documentation of certificate trust lists (`CTL_INFO`) and of
//! Authenticode; the object identifiers of `wintrust.h` and `mscat.h`.

mod certificate;
mod der;
mod roots;
mod signature;
mod timestamp;
mod write;

use std::collections::BTreeSet;

use ::der::Tag;
use ::der::asn1::ObjectIdentifier;

use crate::manifest::HashAlgorithm;
use der::{Element, Elements, context};

pub use certificate::CertificateSummary;
pub use roots::Root;
pub use signature::{DigestAlgorithm, Policy, SigningTime, TimestampForm, Verification};
pub use write::NewCatalog;

/// Largest catalog that is read, in bytes. The largest real ones (cumulative updates) stay below 8 MiB.
pub const MAXIMUM_SIZE: usize = 64 << 20;

const CERTIFICATE_TRUST_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.10.1");
/// `szOID_CATALOG_LIST`: what the list is for.
const CATALOG_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.1.1");
/// `SPC_INDIRECT_DATA`: an attribute with the hash of the member.
const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
/// `CAT_NAMEVALUE`: an attribute with a name and a text.
const NAME_VALUE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.2.1");
/// `CAT_MEMBERINFO`: an attribute with the GUID of the subject type.
const MEMBER_INFORMATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.12.2.2");

/// What is wrong with a catalog or its signature.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The file is larger than any real one.
    #[error("the catalog has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Bytes it has.
        size: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// The bytes are not DER, or not in the order that the format asks for.
    #[error("the catalog's {what} is damaged")]
    Structure {
        /// The part.
        what: &'static str,
    },
    /// Signed data, but of something else.
    #[error("the signed content is not a catalog: its type is {found}")]
    NotACatalog {
        /// Object identifier of the type.
        found: String,
    },
    /// The catalog has no signature.
    #[error("the catalog is not signed")]
    Unsigned,
    /// An algorithm that Windows' catalogs do not use, or that is broken.
    #[error("{what} uses the algorithm {found}, which is not accepted")]
    Algorithm {
        /// What uses it.
        what: &'static str,
        /// Its object identifier.
        found: String,
    },
    /// The certificate of a signer is not in the file.
    #[error("the certificate of the {role} is not in the catalog")]
    NoCertificate {
        /// Signer or timestamp authority.
        role: &'static str,
    },
    /// A hash or signature does not fit what it covers.
    #[error("{what} does not match: the catalog was changed after it was signed, or is forged")]
    Mismatch {
        /// Which.
        what: &'static str,
    },
    /// No chain of certificates leads from the signer to a trusted root.
    #[error("no chain leads from the {role} \"{subject}\" to a trusted root: {reason}")]
    Untrusted {
        /// Signer or timestamp authority.
        role: &'static str,
        /// Subject of the last certificate that was found.
        subject: String,
        /// Why it ends there.
        reason: &'static str,
    },
    /// A certificate may not be used for this.
    #[error("the certificate of the {role} \"{subject}\" is not for {usage}")]
    Usage {
        /// Signer or timestamp authority.
        role: &'static str,
        /// Subject of the certificate.
        subject: String,
        /// What it is not for.
        usage: &'static str,
    },
}

/// A member: a file that the catalog vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// The tag as it stands: the hash itself, or hexadecimal text in UTF-16LE with a NUL, or any name in the latter form.
    pub tag: Vec<u8>,
    /// The hash of the member by its own attribute, where it has one.
    pub digest: Option<(HashAlgorithm, Vec<u8>)>,
    /// Names and texts: `File`, `OSAttr`, …
    pub attributes: Vec<(String, String)>,
    /// GUID of the kind of subject, where it is stated.
    pub subject: Option<String>,
}

impl Member {
    /// What the member hashes to: its attribute, or the tag where that is a hash or spells one.
    #[must_use]
    pub fn hash(&self) -> Option<(HashAlgorithm, Vec<u8>)> {
        let by_length = |digest: Vec<u8>| match digest.len() {
            20 => Some((HashAlgorithm::Sha1, digest)),
            32 => Some((HashAlgorithm::Sha256, digest)),
            _ => None,
        };
        if let Some(digest) = &self.digest {
            return Some(digest.clone());
        }
        by_length(self.tag.clone()).or_else(|| by_length(hexadecimal(&utf16(&self.tag)?)?))
    }
}

/// A catalog as read; what is in it is only worth what [`Catalog::verify`] says of its signature.
pub struct Catalog {
    bytes: Vec<u8>,
    /// `listIdentifier`: a random GUID.
    pub list_identifier: Vec<u8>,
    /// `ctlThisUpdate`: when it was made, in seconds since 1970.
    pub created: u64,
    /// Members, in order.
    pub members: Vec<Member>,
    /// Names and texts of the catalog itself: `OSAttr`, `PackageName`, `PackageVersion`, …
    pub attributes: Vec<(String, String)>,
    digests: BTreeSet<Vec<u8>>,
}

impl Catalog {
    /// Reads a catalog.
    ///
    /// # Errors
    /// When it is larger than [`MAXIMUM_SIZE`], not DER, followed by anything, or not a catalog.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAXIMUM_SIZE {
            return Err(Error::TooLarge { size: bytes.len(), limit: MAXIMUM_SIZE });
        }
        let signed = signature::SignedData::read(bytes)?;
        if signed.content_type != CERTIFICATE_TRUST_LIST {
            return Err(Error::NotACatalog { found: signed.content_type.to_string() });
        }
        let mut list = signed.content.check(Tag::Sequence, LIST)?.elements(LIST);
        list.optional(Tag::Integer)?;
        let mut usage = list.sequence()?;
        let purpose = usage.identifier()?;
        if purpose != CATALOG_LIST {
            return Err(Error::NotACatalog { found: purpose.to_string() });
        }
        let list_identifier = list.optional(Tag::OctetString)?.map(|element| element.value.to_vec()).unwrap_or_default();
        list.optional(Tag::Integer)?;
        let created = list.any()?.time(LIST)?;
        for time in [Tag::UtcTime, Tag::GeneralizedTime] {
            list.optional(time)?;
        }
        list.algorithm()?;
        let mut members = Vec::new();
        if let Some(subjects) = list.optional(Tag::Sequence)? {
            let mut subjects = subjects.elements("list of members");
            while let Some(subject) = subjects.next()? {
                members.push(Member::read(subject)?);
            }
        }
        let mut attributes = Vec::new();
        if let Some(extensions) = list.optional(context(0))? {
            let mut extensions = extensions.elements("list of attributes").sequence()?;
            while let Some(extension) = extensions.next()? {
                let mut parts = extension.check(Tag::Sequence, LIST)?.elements(LIST);
                let kind = parts.identifier()?;
                parts.optional(Tag::Boolean)?;
                let value = parts.expect(Tag::OctetString)?;
                if kind == NAME_VALUE {
                    attributes.push(read_name_value(value.elements("attribute").any()?)?);
                }
            }
        }
        let digests = members.iter().filter_map(Member::hash).map(|(_, digest)| digest).collect();
        Ok(Self { bytes: bytes.to_vec(), list_identifier, created, members, attributes, digests })
    }

    /// True when a member has this hash, SHA-1 or SHA-256.
    #[must_use]
    pub fn contains(&self, digest: &[u8]) -> bool {
        self.digests.contains(digest)
    }

    /// The strongest algorithm by which `bytes` are a member; `None` when they are none.
    #[must_use]
    pub fn lists(&self, bytes: &[u8]) -> Option<HashAlgorithm> {
        [HashAlgorithm::Sha256, HashAlgorithm::Sha1].into_iter().find(|algorithm| self.contains(&algorithm.digest(bytes)))
    }

    /// A text of the catalog itself, by name in any case.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Verifies the signature: content, signer, chain, time. See [`Verification`] for what that proves.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing of the catalog can be trusted then.
    pub fn verify(&self, policy: &Policy<'_>) -> Result<Verification, Error> {
        signature::verify(&signature::SignedData::read(&self.bytes)?, policy)
    }
}

const LIST: &str = "certificate trust list";

impl Member {
    fn read(subject: Element<'_>) -> Result<Self, Error> {
        const WHAT: &str = "member";
        let mut parts = subject.check(Tag::Sequence, WHAT)?.elements(WHAT);
        let mut member = Self { tag: parts.expect(Tag::OctetString)?.value.to_vec(), ..Self::default() };
        let Some(attributes) = parts.optional(Tag::Set)? else { return Ok(member) };
        let mut attributes = attributes.elements(WHAT);
        while let Some(attribute) = attributes.next()? {
            let mut parts = attribute.check(Tag::Sequence, WHAT)?.elements(WHAT);
            let kind = parts.identifier()?;
            let mut values = parts.expect(Tag::Set)?.elements(WHAT);
            let Some(value) = values.next()? else { continue };
            if kind == INDIRECT_DATA {
                member.digest = read_indirect_data(value)?;
            } else if kind == NAME_VALUE {
                member.attributes.push(read_name_value(value)?);
            } else if kind == MEMBER_INFORMATION {
                let guid = value.check(Tag::Sequence, WHAT)?.elements(WHAT).any()?;
                member.subject = (guid.tag == Tag::BmpString).then(|| bmp_text(guid.value));
            }
        }
        Ok(member)
    }
}

/// `SpcIndirectDataContent`: type and value of the data, then the hash. `None` for an algorithm that files are not listed by.
fn read_indirect_data(value: Element<'_>) -> Result<Option<(HashAlgorithm, Vec<u8>)>, Error> {
    const WHAT: &str = "hash of a member";
    let mut parts = value.check(Tag::Sequence, WHAT)?.elements(WHAT);
    parts.expect(Tag::Sequence)?;
    let mut information = parts.sequence()?;
    let algorithm = DigestAlgorithm::of(information.algorithm()?);
    let digest = information.expect(Tag::OctetString)?.value.to_vec();
    let algorithm = match algorithm {
        Some(DigestAlgorithm::Sha1) => HashAlgorithm::Sha1,
        Some(DigestAlgorithm::Sha256) => HashAlgorithm::Sha256,
        _ => return Ok(None),
    };
    if digest.len() == algorithm.digest_length() { Ok(Some((algorithm, digest))) } else { Err(Error::Structure { what: WHAT }) }
}

/// `CatalogNameValue`: the name, flags, the text in UTF-16LE with a NUL.
fn read_name_value(value: Element<'_>) -> Result<(String, String), Error> {
    const WHAT: &str = "attribute";
    let mut parts: Elements<'_> = value.check(Tag::Sequence, WHAT)?.elements(WHAT);
    let name = parts.expect(Tag::BmpString)?;
    parts.expect(Tag::Integer)?;
    let text = parts.expect(Tag::OctetString)?;
    Ok((bmp_text(name.value), utf16(text.value).unwrap_or_default()))
}

/// Text in UTF-16BE.
fn bmp_text(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let text = char::decode_utf16(pairs.iter().map(|pair| u16::from_be_bytes(*pair))).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
    text.collect()
}

/// Text in UTF-16LE up to its NUL; `None` when it is no text.
fn utf16(bytes: &[u8]) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).take_while(|unit| *unit != 0);
    let text: Result<String, _> = char::decode_utf16(units).collect();
    text.ok().filter(|_| rest.is_empty())
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| (high << 4) | low).collect())
}

#[cfg(test)]
mod tests;

//! Signed data: who signed the content, and when.

use ::der::asn1::ObjectIdentifier;
use ::der::{Encode, Tag};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::certificate::{CODE_SIGNING, CertificateSummary, ChainSearch, SYSTEM_COMPONENT, Signed};
use super::der::{Element, Elements, context, retagged};
use super::timestamp;
use super::{Error, Root};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Most certificates of one signature: bounds the search for a chain.
const MAXIMUM_CERTIFICATES: usize = 64;

/// What a signature must satisfy.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// Certificates that chains may end in; [`Root::microsoft`] unless the user says otherwise.
    pub roots: &'a [Root],
    /// The time that a signature without timestamp is judged at, in seconds since 1970.
    pub time: u64,
    /// Whether the signer must be allowed to sign parts of Windows itself (Windows System Component Verification), as those of
    /// packages and components are; drivers and applications are signed without.
    pub require_system_component: bool,
}

/// What [`super::Catalog::verify`] has proven: the content is what `signer` signed; the certificates of `chain` lead from there to
/// one of the policy's roots, each signed by the next with RSA, each an authority except the first, each valid at `time`, each
/// allowing code signing. Not proven: that no certificate was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The signer, its authorities, the root.
    pub chain: Vec<CertificateSummary>,
    /// Name of the root in the policy.
    pub root: String,
    /// What the content and the signature are hashed with.
    pub digest: DigestAlgorithm,
    /// When it was signed.
    pub time: SigningTime,
    /// True when the signer may sign parts of Windows itself.
    pub system_component: bool,
}

impl Verification {
    /// The certificate that signed.
    #[must_use]
    pub fn signer(&self) -> Option<&CertificateSummary> {
        self.chain.first()
    }
}

/// The time that the certificates were valid at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningTime {
    /// An authority, whose own chain leads to a root of the policy, has confirmed that the signature existed at this time.
    Timestamped {
        /// In seconds since 1970.
        seconds: u64,
        /// How it confirms.
        form: TimestampForm,
        /// The authority, its authorities, the root.
        chain: Vec<CertificateSummary>,
    },
    /// There is no timestamp: the policy's time was used.
    Assumed {
        /// In seconds since 1970.
        seconds: u64,
    },
}

impl SigningTime {
    /// In seconds since 1970.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        match self {
            Self::Timestamped { seconds, .. } | Self::Assumed { seconds } => *seconds,
        }
    }
}

/// The two ways in which a signature is timestamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimestampForm {
    /// A token by RFC 3161.
    Rfc3161,
    /// A countersignature by PKCS #9.
    Countersignature,
}

/// Hash algorithms of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestAlgorithm {
    /// SHA-1: before Windows 8.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Object identifiers of the hash and of RSA PKCS #1 v1.5 signatures with it.
    fn identifiers(self) -> [ObjectIdentifier; 2] {
        let [hash, signature] = match self {
            Self::Sha1 => ["1.3.14.3.2.26", "1.2.840.113549.1.1.5"],
            Self::Sha256 => ["2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.11"],
            Self::Sha384 => ["2.16.840.1.101.3.4.2.2", "1.2.840.113549.1.1.12"],
            Self::Sha512 => ["2.16.840.1.101.3.4.2.3", "1.2.840.113549.1.1.13"],
        };
        [hash, signature].map(ObjectIdentifier::new_unwrap)
    }

    pub(super) fn of(identifier: ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.identifiers().first() == Some(&identifier))
    }

    pub(super) fn of_signature(identifier: ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.identifiers().last() == Some(&identifier))
    }

    /// Bytes of a digest.
    #[must_use]
    pub fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    pub(super) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// What stands before the digest in a PKCS #1 v1.5 signature: a `DigestInfo` without the digest (RFC 8017, 9.2).
    pub(super) fn prefix(self) -> Vec<u8> {
        let [hash, _] = self.identifiers();
        let identifier = hash.to_der().unwrap_or_default();
        // Lengths of these identifiers and digests all fit one byte.
        let short = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        let algorithm = [&identifier[..], &[5, 0]].concat();
        let total = algorithm.len().saturating_add(self.length()).saturating_add(4);
        let mut prefix = vec![0x30, short(total), 0x30, short(algorithm.len())];
        prefix.extend(algorithm);
        prefix.extend([4, short(self.length())]);
        prefix
    }
}

/// `SignedData`, its parts still where they stand in the file.
pub(super) struct SignedData<'a> {
    pub content_type: ObjectIdentifier,
    pub content: Element<'a>,
    pub certificates: Vec<Signed<'a>>,
    pub signers: Vec<SignerInfo<'a>>,
}

/// `SignerInfo`.
pub(super) struct SignerInfo<'a> {
    signer: Element<'a>,
    digest: ObjectIdentifier,
    signature_algorithm: ObjectIdentifier,
    /// The attributes, tagged `[0]`.
    signed_attributes: Option<Element<'a>>,
    pub signature: &'a [u8],
    unsigned_attributes: Option<Element<'a>>,
}

impl<'a> SignedData<'a> {
    /// Reads a `ContentInfo` with signed data.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        const WHAT: &str = "signed data";
        let mut file = Elements::new(bytes, WHAT);
        let mut outer = file.sequence()?;
        if file.next()?.is_some() {
            return Err(file.error());
        }
        if outer.identifier()? != SIGNED_DATA {
            return Err(outer.error());
        }
        let mut parts = outer.expect(context(0))?.elements(WHAT).sequence()?;
        parts.expect(Tag::Integer)?;
        parts.expect(Tag::Set)?;
        let mut content = parts.sequence()?;
        let content_type = content.identifier()?;
        let content = content.expect(context(0))?.elements(WHAT).any()?;
        let mut certificates = Vec::new();
        if let Some(element) = parts.optional(context(0))? {
            let mut elements = element.elements("list of certificates");
            while let Some(certificate) = elements.next()? {
                certificates.extend(Signed::read(certificate.whole));
                if certificates.len() > MAXIMUM_CERTIFICATES {
                    return Err(elements.error());
                }
            }
        }
        parts.optional(context(1))?;
        let mut signers = Vec::new();
        let mut elements = parts.expect(Tag::Set)?.elements("signer");
        while let Some(signer) = elements.next()? {
            signers.push(SignerInfo::read(signer)?);
        }
        Ok(Self { content_type, content, certificates, signers })
    }

    /// The only signer: Windows looks at the first, and more than one has not been seen.
    pub(super) fn signer(&self) -> Result<&SignerInfo<'a>, Error> {
        self.signers.first().ok_or(Error::Unsigned)
    }
}

impl<'a> SignerInfo<'a> {
    pub(super) fn read(element: Element<'a>) -> Result<Self, Error> {
        const WHAT: &str = "signer";
        let mut parts = element.check(Tag::Sequence, WHAT)?.elements(WHAT);
        parts.expect(Tag::Integer)?;
        Ok(Self {
            signer: parts.any()?,
            digest: parts.algorithm()?,
            signed_attributes: parts.optional(context(0))?,
            signature_algorithm: parts.algorithm()?,
            signature: parts.expect(Tag::OctetString)?.value,
            unsigned_attributes: parts.optional(context(1))?,
        })
    }

    /// The first value of an attribute.
    fn attribute(attributes: Option<Element<'a>>, wanted: ObjectIdentifier) -> Result<Option<Element<'a>>, Error> {
        const WHAT: &str = "attribute of a signer";
        let Some(attributes) = attributes else { return Ok(None) };
        let mut elements = attributes.elements(WHAT);
        while let Some(attribute) = elements.next()? {
            let mut parts = attribute.check(Tag::Sequence, WHAT)?.elements(WHAT);
            if parts.identifier()? == wanted {
                return parts.expect(Tag::Set)?.elements(WHAT).any().map(Some);
            }
        }
        Ok(None)
    }

    pub(super) fn signed_attribute(&self, wanted: ObjectIdentifier) -> Result<Option<Element<'a>>, Error> {
        Self::attribute(self.signed_attributes, wanted)
    }

    pub(super) fn unsigned_attribute(&self, wanted: ObjectIdentifier) -> Result<Option<Element<'a>>, Error> {
        Self::attribute(self.unsigned_attributes, wanted)
    }

    pub(super) fn digest_algorithm(&self, what: &'static str) -> Result<DigestAlgorithm, Error> {
        DigestAlgorithm::of(self.digest).ok_or_else(|| Error::Algorithm { what, found: self.digest.to_string() })
    }

    /// The certificate whose issuer and serial number, or key identifier, the signer names.
    pub(super) fn certificate<'c>(&self, pool: &'c [Signed<'a>], role: &'static str) -> Result<&'c Signed<'a>, Error> {
        let missing = Error::NoCertificate { role };
        if self.signer.tag != Tag::Sequence {
            // By key identifier: possible in CMS, not seen in Windows' files.
            return Err(missing);
        }
        let mut parts = self.signer.elements("signer");
        let issuer = parts.any()?.whole;
        let serial = parts.expect(Tag::Integer)?.value;
        let named = |certificate: &&Signed<'_>| {
            let tbs = &certificate.certificate.tbs_certificate;
            strip_sign(tbs.serial_number.as_bytes()) == strip_sign(serial) && tbs.issuer.to_der().is_ok_and(|name| name == issuer)
        };
        pool.iter().find(named).ok_or(missing)
    }

    /// Verifies that `certificate` signed `content` of a type: the signature is over attributes that hold the hash and the type.
    pub(super) fn verify(
        &self,
        certificate: &Signed<'_>,
        content: &[u8],
        content_type: ObjectIdentifier,
        role: &'static str,
    ) -> Result<(), Error> {
        let algorithm = self.digest_algorithm(role)?;
        if self.signature_algorithm != RSA && DigestAlgorithm::of_signature(self.signature_algorithm) != Some(algorithm) {
            return Err(Error::Algorithm { what: role, found: self.signature_algorithm.to_string() });
        }
        let digest = algorithm.digest(content);
        // They are optional only for content of type "data" (RFC 5652, 5.3), which is never signed here.
        let attributes = self.signed_attributes.ok_or(Error::Structure { what: "list of signed attributes" })?;
        let stated = self.signed_attribute(MESSAGE_DIGEST)?.map(|element| element.value);
        if stated != Some(digest.as_slice()) {
            return Err(Error::Mismatch { what: "hash of the signed content" });
        }
        let kind = self.signed_attribute(CONTENT_TYPE)?.and_then(|element| ObjectIdentifier::from_bytes(element.value).ok());
        if kind != Some(content_type) {
            return Err(Error::Mismatch { what: "type of the signed content" });
        }
        // 0x31: a SET, whatever tag the attributes have in the file.
        certificate.verify(algorithm, &algorithm.digest(&retagged(attributes, 0x31)), self.signature, "signature")
    }
}

/// A serial number without the zero byte that keeps it positive.
fn strip_sign(serial: &[u8]) -> &[u8] {
    match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        _ => serial,
    }
}

pub(super) fn verify(signed: &SignedData<'_>, policy: &Policy<'_>) -> Result<Verification, Error> {
    const ROLE: &str = "signer";
    let signer = signed.signer()?;
    let certificate = signer.certificate(&signed.certificates, ROLE)?;
    signer.verify(certificate, signed.content.value, signed.content_type, ROLE)?;
    let time = timestamp::verify(signer, &signed.certificates, policy)?;
    let time = time.unwrap_or(SigningTime::Assumed { seconds: policy.time });
    let search = ChainSearch {
        pool: &signed.certificates,
        roots: policy.roots,
        time: time.seconds(),
        usage: CODE_SIGNING,
        role: ROLE,
        usage_name: "code signing",
    };
    let chain = search.find(certificate)?;
    let system_component = certificate.usages().is_some_and(|usages| usages.contains(&SYSTEM_COMPONENT));
    if policy.require_system_component && !system_component {
        return Err(Error::Usage { role: ROLE, subject: certificate.subject(), usage: "parts of Windows" });
    }
    Ok(Verification { chain: chain.certificates, root: chain.root, digest: signer.digest_algorithm(ROLE)?, time, system_component })
}

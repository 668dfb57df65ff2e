//! Certificates, and chains of them from a signer to a root.

use ::der::Decode;
use ::der::asn1::ObjectIdentifier;
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use sha1::{Digest, Sha1};
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use super::der::Elements;
use super::signature::DigestAlgorithm;
use super::{Error, Root};

/// Longest chain, root included. Microsoft's have three or four certificates.
const MAXIMUM_CHAIN: usize = 8;
/// Most signatures checked for one chain: certificates of one name can otherwise form many chains.
const MAXIMUM_CHECKS: usize = 64;

pub(super) const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
pub(super) const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
/// `szOID_NT5_CRYPTO`: Windows System Component Verification.
pub(super) const SYSTEM_COMPONENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.10.3.6");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// Who a certificate is for, for reports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateSummary {
    /// Distinguished name of the subject (RFC 4514).
    pub subject: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// SHA-1 of the certificate, as Windows shows it.
    pub thumbprint: [u8; 20],
    /// Start of validity, in seconds since 1970.
    pub not_before: u64,
    /// End of validity, in seconds since 1970.
    pub not_after: u64,
}

/// A certificate with the bytes that its signature covers.
pub(super) struct Signed<'a> {
    pub certificate: Certificate,
    whole: &'a [u8],
    covered: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// `None` for what is no certificate: a file may carry some that nothing needs.
    pub(super) fn read(whole: &'a [u8]) -> Option<Self> {
        const WHAT: &str = "certificate";
        let mut parts = Elements::new(whole, WHAT).sequence().ok()?;
        let covered = parts.any().ok()?.whole;
        parts.any().ok()?;
        // A BIT STRING starts with the number of unused bits: none.
        let signature = parts.any().ok()?.value.strip_prefix(&[0])?;
        Some(Self { certificate: Certificate::from_der(whole).ok()?, whole, covered, signature })
    }

    pub(super) fn subject(&self) -> String {
        self.certificate.tbs_certificate.subject.to_string()
    }

    pub(super) fn summary(&self) -> CertificateSummary {
        let (not_before, not_after) = self.validity();
        CertificateSummary {
            subject: self.subject(),
            issuer: self.certificate.tbs_certificate.issuer.to_string(),
            thumbprint: Sha1::digest(self.whole).into(),
            not_before,
            not_after,
        }
    }

    fn validity(&self) -> (u64, u64) {
        let validity = &self.certificate.tbs_certificate.validity;
        (validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs())
    }

    fn is_valid_at(&self, time: u64) -> bool {
        let (from, to) = self.validity();
        (from..=to).contains(&time)
    }

    /// The purposes that it is limited to; `None` without limit.
    pub(super) fn usages(&self) -> Option<Vec<ObjectIdentifier>> {
        self.certificate.tbs_certificate.get::<ExtendedKeyUsage>().ok().flatten().map(|(_, usages)| usages.0)
    }

    /// True when its purposes, if limited, include this one.
    fn allows(&self, usage: ObjectIdentifier) -> bool {
        self.usages().is_none_or(|usages| usages.contains(&usage) || usages.contains(&ANY_USAGE))
    }

    /// True when it may sign certificates with `below` more authorities under it.
    fn is_authority(&self, below: usize) -> bool {
        let tbs = &self.certificate.tbs_certificate;
        let basic = tbs.get::<BasicConstraints>().ok().flatten().map(|(_, basic)| basic);
        let usage = tbs.get::<KeyUsage>().ok().flatten().map(|(_, usage)| usage);
        let length_fits = |limit: Option<u8>| limit.is_none_or(|limit| usize::from(limit) >= below);
        basic.is_some_and(|basic| basic.ca && length_fits(basic.path_len_constraint)) && usage.is_none_or(|usage| usage.key_cert_sign())
    }

    /// Verifies a signature made with this certificate's key.
    pub(super) fn verify(&self, algorithm: DigestAlgorithm, digest: &[u8], signature: &[u8], what: &'static str) -> Result<(), Error> {
        let key = self.key().ok_or_else(|| {
            let found = self.certificate.tbs_certificate.subject_public_key_info.algorithm.oid.to_string();
            Error::Algorithm { what: "a public key", found }
        })?;
        let scheme = Pkcs1v15Sign { hash_len: Some(algorithm.length()), prefix: algorithm.prefix().into() };
        key.verify(scheme, digest, signature).map_err(|_| Error::Mismatch { what })
    }

    fn key(&self) -> Option<RsaPublicKey> {
        const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
        let information = &self.certificate.tbs_certificate.subject_public_key_info;
        let bits = information.subject_public_key.as_bytes().filter(|_| information.algorithm.oid == RSA)?;
        let mut numbers = Elements::new(bits, "public key").sequence().ok()?;
        let mut number = || Some(BigUint::from_bytes_be(numbers.expect(::der::Tag::Integer).ok()?.value));
        RsaPublicKey::new(number()?, number()?).ok()
    }

    /// True when `issuer` signed this certificate.
    fn is_signed_by(&self, issuer: &Signed<'_>) -> bool {
        let Some(algorithm) = DigestAlgorithm::of_signature(self.certificate.signature_algorithm.oid) else { return false };
        issuer.verify(algorithm, &algorithm.digest(self.covered), self.signature, "certificate").is_ok()
    }
}

/// A chain that was found: the signer, its authorities, and the root that it ends in.
pub(super) struct Chain {
    pub certificates: Vec<CertificateSummary>,
    pub root: String,
}

/// Finds the chain from `signer` to one of `roots` at a point in time.
pub(super) struct ChainSearch<'a> {
    /// Certificates that came with the signature.
    pub pool: &'a [Signed<'a>],
    pub roots: &'a [Root],
    pub time: u64,
    /// What every certificate of the chain must allow.
    pub usage: ObjectIdentifier,
    /// Who the signer is, for errors.
    pub role: &'static str,
    /// What the usage is called, for errors.
    pub usage_name: &'static str,
}

impl ChainSearch<'_> {
    pub(super) fn find(&self, signer: &Signed<'_>) -> Result<Chain, Error> {
        // Unlike an authority, a signer must say what it is for.
        if !signer.usages().is_some_and(|usages| usages.contains(&self.usage)) {
            return Err(Error::Usage { role: self.role, subject: signer.subject(), usage: self.usage_name });
        }
        let trusted: Vec<(Signed<'_>, &Root)> =
            self.roots.iter().filter_map(|root| Some((Signed::read(&root.certificate)?, root))).collect();
        let mut chain = vec![signer];
        let mut checks = 0;
        let mut failure = self.untrusted(signer, "its issuer is not known");
        match self.extend(&mut chain, &trusted, &mut checks, &mut failure) {
            Some((root, name)) => {
                let mut certificates: Vec<_> = chain.iter().map(|certificate| certificate.summary()).collect();
                if certificates.last() != Some(&root) {
                    certificates.push(root);
                }
                Ok(Chain { certificates, root: name })
            }
            None => Err(failure),
        }
    }

    fn untrusted(&self, certificate: &Signed<'_>, reason: &'static str) -> Error {
        Error::Untrusted { role: self.role, subject: certificate.subject(), reason }
    }

    fn extend<'b>(
        &'b self,
        chain: &mut Vec<&'b Signed<'b>>,
        trusted: &'b [(Signed<'b>, &'b Root)],
        checks: &mut usize,
        failure: &mut Error,
    ) -> Option<(CertificateSummary, String)> {
        let last = *chain.last()?;
        if !last.is_valid_at(self.time) {
            *failure = self.untrusted(last, "it was not valid at the time of signing");
            return None;
        }
        if let Some((root, found)) = trusted.iter().find(|(root, _)| root.whole == last.whole) {
            return Some((root.summary(), found.name.clone().into_owned()));
        }
        // The signer is no authority, so that the authorities below the next one are one fewer.
        let below = chain.len().saturating_sub(1);
        if chain.len() >= MAXIMUM_CHAIN {
            *failure = self.untrusted(last, "the chain is too long");
            return None;
        }
        let roots = trusted.iter().map(|(root, _)| root);
        for candidate in roots.chain(self.pool) {
            let names_fit = candidate.certificate.tbs_certificate.subject == last.certificate.tbs_certificate.issuer;
            let repeated = chain.iter().any(|certificate| certificate.whole == candidate.whole);
            if !names_fit || repeated {
                continue;
            }
            *checks = checks.saturating_add(1);
            if *checks > MAXIMUM_CHECKS {
                *failure = self.untrusted(last, "too many certificates of the same name");
                return None;
            }
            // The root of 1997 has no basic constraints; a root is trusted as an authority by being one.
            let is_root = trusted.iter().any(|(root, _)| root.whole == candidate.whole);
            if !is_root && !candidate.is_authority(below) {
                *failure = self.untrusted(last, "its issuer may not issue certificates");
            } else if !candidate.allows(self.usage) {
                *failure = Error::Usage { role: self.role, subject: candidate.subject(), usage: self.usage_name };
            } else if !last.is_signed_by(candidate) {
                *failure = self.untrusted(last, "the signature of its issuer does not match, or uses a broken algorithm");
            } else {
                chain.push(candidate);
                if let Some(found) = self.extend(chain, trusted, checks, failure) {
                    return Some(found);
                }
                chain.pop();
            }
        }
        None
    }
}

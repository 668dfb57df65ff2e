//! Timestamps: an authority confirms that a signature existed at a time, so that it outlives its certificate.

use ::der::Tag;
use ::der::asn1::ObjectIdentifier;

use super::Error;
use super::certificate::{ChainSearch, Signed, TIME_STAMPING};
use super::signature::{DigestAlgorithm, Policy, SignedData, SignerInfo, SigningTime, TimestampForm};

/// Microsoft's unsigned attribute with a token by RFC 3161.
const TOKEN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.3.3.1");
/// Unsigned attribute with a countersignature (PKCS #9).
const COUNTERSIGNATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.6");
const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
/// Type of the content of a token: `TSTInfo`.
const TOKEN_INFORMATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");

const ROLE: &str = "timestamp authority";

/// Verifies the timestamp of a signature. `None` when it has none; a timestamp that is there must be right.
pub(super) fn verify(signer: &SignerInfo<'_>, pool: &[Signed<'_>], policy: &Policy<'_>) -> Result<Option<SigningTime>, Error> {
    if let Some(token) = signer.unsigned_attribute(TOKEN)? {
        return verify_token(token.whole, signer.signature, policy).map(Some);
    }
    match signer.unsigned_attribute(COUNTERSIGNATURE)? {
        Some(element) => verify_countersignature(&SignerInfo::read(element)?, signer.signature, pool, policy).map(Some),
        None => Ok(None),
    }
}

fn timestamped(
    certificate: &Signed<'_>,
    pool: &[Signed<'_>],
    seconds: u64,
    form: TimestampForm,
    policy: &Policy<'_>,
) -> Result<SigningTime, Error> {
    let search = ChainSearch { pool, roots: policy.roots, time: seconds, usage: TIME_STAMPING, role: ROLE, usage_name: "timestamps" };
    let chain = search.find(certificate)?;
    Ok(SigningTime::Timestamped { seconds, form, chain: chain.certificates })
}

/// A token is signed data of its own, whose content names the hash of the signature and the time.
fn verify_token(token: &[u8], signature: &[u8], policy: &Policy<'_>) -> Result<SigningTime, Error> {
    const WHAT: &str = "timestamp";
    let signed = SignedData::read(token)?;
    if signed.content_type != TOKEN_INFORMATION {
        return Err(Error::Structure { what: WHAT });
    }
    let content = signed.content.check(Tag::OctetString, WHAT)?;
    let mut information = content.elements(WHAT).sequence()?;
    information.expect(Tag::Integer)?;
    // The authority's policy.
    information.expect(Tag::ObjectIdentifier)?;
    let mut imprint = information.sequence()?;
    let identifier = imprint.algorithm()?;
    let algorithm = DigestAlgorithm::of(identifier).ok_or_else(|| Error::Algorithm { what: WHAT, found: identifier.to_string() })?;
    if imprint.expect(Tag::OctetString)?.value != algorithm.digest(signature) {
        return Err(Error::Mismatch { what: "hash of the signature in the timestamp" });
    }
    information.expect(Tag::Integer)?;
    let seconds = information.expect(Tag::GeneralizedTime)?.time(WHAT)?;
    let signer = signed.signer()?;
    let certificate = signer.certificate(&signed.certificates, ROLE)?;
    signer.verify(certificate, content.value, TOKEN_INFORMATION, ROLE)?;
    timestamped(certificate, &signed.certificates, seconds, TimestampForm::Rfc3161, policy)
}

/// A countersignature signs the bytes of the signature and states the time in a signed attribute.
fn verify_countersignature(
    counter: &SignerInfo<'_>,
    signature: &[u8],
    pool: &[Signed<'_>],
    policy: &Policy<'_>,
) -> Result<SigningTime, Error> {
    const WHAT: &str = "countersignature";
    let certificate = counter.certificate(pool, ROLE)?;
    counter.verify(certificate, signature, DATA, ROLE)?;
    let time = counter.signed_attribute(SIGNING_TIME)?.ok_or(Error::Structure { what: WHAT })?;
    timestamped(certificate, pool, time.time(WHAT)?, TimestampForm::Countersignature, policy)
}

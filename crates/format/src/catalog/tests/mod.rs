mod forge;

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use sha1::{Digest, Sha1};

use super::*;
use crate::manifest::corpus::corpus;
use crate::manifest::stored::Stored;
use forge::{Forge, NOW};

fn read_and_verify(forge: &Forge, roots: &[Root], require_system_component: bool) -> Result<Verification, Error> {
    let policy = Policy { roots, time: NOW, require_system_component };
    Catalog::parse(&forge.catalog())?.verify(&policy)
}

#[test]
fn members_are_found_by_their_hash() {
    let catalog = Catalog::parse(&Forge::default().catalog()).unwrap();
    assert_eq!(catalog.members.len(), 3);
    assert_eq!(catalog.lists(b"by sha256"), Some(HashAlgorithm::Sha256));
    assert_eq!(catalog.lists(b"by sha1 text"), Some(HashAlgorithm::Sha1));
    assert_eq!(catalog.lists(b"named, hash in an attribute"), Some(HashAlgorithm::Sha256));
    assert_eq!(catalog.lists(b"something else"), None);
    assert_eq!(catalog.attribute("osattr"), Some("2:10.0"));
    assert_eq!(catalog.created, 1_600_000_000);
}

#[test]
fn a_signature_without_timestamp_is_judged_at_the_time_given() {
    let forge = Forge::default();
    let verification = read_and_verify(&forge, &[forge.root()], true).unwrap();
    assert_eq!(verification.chain.len(), 3);
    assert_eq!(verification.signer().unwrap().subject, "CN=signer");
    assert_eq!(verification.root, "forged root");
    assert_eq!(verification.time, SigningTime::Assumed { seconds: NOW });
    let expired = Forge { signer_end: "250101000000Z", ..Forge::default() };
    let error = read_and_verify(&expired, &[expired.root()], false).unwrap_err();
    assert!(matches!(error, Error::Untrusted { reason: "it was not valid at the time of signing", .. }), "{error}");
}

#[test]
fn an_expired_signature_with_a_timestamp_is_valid() {
    for form in [TimestampForm::Countersignature, TimestampForm::Rfc3161] {
        let forge = Forge { signer_end: "250101000000Z", timestamp: Some(form), ..Forge::default() };
        let verification = read_and_verify(&forge, &[forge.root()], false).unwrap();
        let SigningTime::Timestamped { seconds: 1_700_000_000, form: found, chain } = verification.time else {
            panic!("{:?}", verification.time)
        };
        assert_eq!((found, chain[0].subject.as_str()), (form, "CN=timestamps"));
        let late = Forge { signer_end: "230101000000Z", timestamp: Some(form), ..Forge::default() };
        assert!(matches!(read_and_verify(&late, &[late.root()], false), Err(Error::Untrusted { .. })));
        let wrong = Forge { timestamp: Some(form), timestamp_usage: "1.3.6.1.5.5.7.3.3", ..Forge::default() };
        assert!(matches!(read_and_verify(&wrong, &[wrong.root()], false), Err(Error::Usage { usage: "timestamps", .. })));
        let other = Forge { timestamp: Some(form), timestamp_of_other: true, ..Forge::default() };
        assert!(matches!(read_and_verify(&other, &[other.root()], false), Err(Error::Mismatch { .. })));
    }
}

#[test]
fn what_is_signed_by_others_or_for_something_else_is_refused() {
    let forge = Forge::default();
    assert!(matches!(read_and_verify(&forge, &Root::microsoft(), false), Err(Error::Untrusted { .. })));
    assert!(matches!(read_and_verify(&forge, &[], false), Err(Error::Untrusted { .. })));
    let other = Forge { signer_usages: &["1.3.6.1.5.5.7.3.8"], ..Forge::default() };
    assert!(matches!(read_and_verify(&other, &[other.root()], false), Err(Error::Usage { usage: "code signing", .. })));
    let plain = Forge { signer_usages: &["1.3.6.1.5.5.7.3.3"], ..Forge::default() };
    assert!(!read_and_verify(&plain, &[plain.root()], false).unwrap().system_component);
    assert!(matches!(read_and_verify(&plain, &[plain.root()], true), Err(Error::Usage { usage: "parts of Windows", .. })));
    let no_authority = Forge { issuer_is_authority: false, ..Forge::default() };
    let error = read_and_verify(&no_authority, &[no_authority.root()], false).unwrap_err();
    assert!(matches!(error, Error::Untrusted { reason: "its issuer may not issue certificates", .. }), "{error}");
    let unsigned = Forge { signed: false, ..Forge::default() };
    assert_eq!(read_and_verify(&unsigned, &[unsigned.root()], false), Err(Error::Unsigned));
}

/// Any changed byte that the signature covers is noticed; no damage anywhere panics.
#[test]
fn damaged_catalogs_are_noticed() {
    let forge = Forge { timestamp: Some(TimestampForm::Rfc3161), ..Forge::default() };
    let bytes = forge.catalog();
    let roots = [forge.root()];
    let policy = Policy { roots: &roots, time: NOW, require_system_component: false };
    let member = bytes.windows(32).position(|window| window == HashAlgorithm::Sha256.digest(b"by sha256")).unwrap();
    let mut changed = bytes.clone();
    changed[member] ^= 1;
    assert_eq!(Catalog::parse(&changed).unwrap().verify(&policy), Err(Error::Mismatch { what: "hash of the signed content" }));
    for place in 0..bytes.len() {
        assert!(Catalog::parse(&bytes[..place]).is_err());
        if place % 5 == 0 {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x81;
            if let Ok(catalog) = Catalog::parse(&damaged) {
                let same_members = catalog.digests == Catalog::parse(&bytes).unwrap().digests;
                assert!(catalog.verify(&policy).is_err() || same_members, "byte {place}");
            }
        }
    }
}

#[test]
fn roots_have_their_published_thumbprints() {
    for (name, thumbprint, _, certificate) in roots::MICROSOFT {
        assert_eq!(Sha1::digest(certificate).to_vec(), hexadecimal(thumbprint).unwrap(), "{name}");
        let read = certificate::Signed::read(certificate).unwrap();
        assert!(read.subject().contains(name), "{}", read.subject());
    }
}

fn outcome(bytes: &[u8], policy: &Policy<'_>) -> String {
    match Catalog::parse(bytes).and_then(|catalog| catalog.verify(policy)) {
        Ok(verification) => format!("{}, {:?}, {}", verification.root, verification.digest, verification.system_component),
        Err(Error::Untrusted { role, subject, .. }) => format!("untrusted {role} {}", subject.split(',').next().unwrap()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn real_catalogs_are_read_and_verified() {
    let Some(corpus) = corpus() else { return };
    let roots = Root::microsoft();
    let policy = Policy { roots: &roots, time: NOW, require_system_component: false };
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for sample in corpus.with_extension("cat") {
        *outcomes.entry(outcome(&sample.bytes, &policy)).or_default() += 1;
        if let Ok(catalog) = Catalog::parse(&sample.bytes) {
            assert!(!catalog.members.is_empty() && catalog.members.iter().all(|member| member.hash().is_some()), "{}", sample.path);
            // A signature without timestamp would be judged by the caller's clock: none of these is.
            let time = catalog.verify(&policy).map(|verification| verification.time);
            assert!(time.is_err() || matches!(time, Ok(SigningTime::Timestamped { .. })), "{}", sample.path);
        }
    }
    let expected = [
        ("Microsoft Root Certificate Authority 2010, Sha256, true", 102),
        ("Microsoft Root Certificate Authority, Sha1, true", 69),
        // Side-by-side assemblies of Visual C++.
        ("Microsoft Root Certificate Authority, Sha1, false", 7),
        // Packages of a device maker and of a development branch.
        ("the catalog is not signed", 14),
        ("untrusted signer CN=Microsoft Windows", 2),
        ("untrusted signer CN=Windows Phone OEM Test Cert 2013 (TEST ONLY)", 1),
        // Its line ends were changed by git.
        ("the catalog's signed data is damaged", 1),
    ];
    assert_eq!(outcomes, expected.map(|(outcome, count)| (outcome.to_owned(), count)).into());
}

/// OpenSSL accepts exactly the catalogs that we accept.
#[test]
fn oracle_openssl_agrees_on_signatures() {
    if !wimwright_testkit::oracles(&["openssl"]) {
        return;
    }
    let Some(corpus) = corpus() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let roots = Root::microsoft();
    let policy = Policy { roots: &roots, time: NOW, require_system_component: false };
    let (trusted, content, file) = (scratch.path().join("roots.pem"), scratch.path().join("content"), scratch.path().join("cat"));
    let mut pem = std::fs::File::create(&trusted).unwrap();
    for root in &roots {
        let certificate = scratch.path().join("root.der");
        std::fs::write(&certificate, &root.certificate).unwrap();
        let output = wimwright_testkit::run(Command::new("openssl").args(["x509", "-inform", "DER", "-in"]).arg(&certificate));
        pem.write_all(&output.stdout).unwrap();
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for sample in corpus.with_extension("cat") {
        // Three of each kind are enough: OpenSSL is started for each.
        let ours = outcome(&sample.bytes, &policy);
        let count = seen.entry(ours.clone()).or_default();
        *count += 1;
        if *count > 3 {
            continue;
        }
        let verified = Catalog::parse(&sample.bytes).and_then(|catalog| catalog.verify(&policy)).is_ok();
        std::fs::write(&file, &sample.bytes).unwrap();
        // OpenSSL does not know this type of content and must be given it.
        let value = signature::SignedData::read(&sample.bytes).map(|signed| signed.content.value.to_vec());
        std::fs::write(&content, value.unwrap_or_default()).unwrap();
        let mut command = Command::new("openssl");
        command.args(["smime", "-verify", "-inform", "DER", "-purpose", "any", "-no_check_time", "-out", "/dev/null", "-in"]);
        command.arg(&file).arg("-content").arg(&content).arg("-CAfile").arg(&trusted);
        assert_eq!(command.output().unwrap().status.success(), verified, "{} ({ours})", sample.path);
    }
    assert_eq!(seen.len(), 7);
}

/// A catalog lists the manifests beside it by the hash of their XML.
#[test]
fn real_manifests_are_listed_in_the_catalogs_beside_them() {
    let Some(corpus) = corpus() else { return };
    let mut catalogs: HashMap<PathBuf, Vec<Catalog>> = HashMap::new();
    for sample in corpus.with_extension("cat") {
        catalogs.entry(sample.folder.clone()).or_default().extend(Catalog::parse(&sample.bytes));
    }
    let mut listed: BTreeMap<Option<HashAlgorithm>, usize> = BTreeMap::new();
    for sample in corpus.with_extension("manifest").into_iter().chain(corpus.with_extension("mum")) {
        let Stored::Plain(bytes) = Stored::of(&sample.bytes).unwrap() else { continue };
        let beside = catalogs.get(&sample.folder).unwrap();
        let found = beside.iter().filter_map(|catalog| catalog.lists(bytes)).max();
        *listed.entry(found).or_default() += 1;
        // Line ends changed by git; manifests of the side-by-side store before Windows Vista; a home-made package.
        let changed = ["manifests/kb2999226-6.1-x64/", "manifests/vc90-winsxs/", "manifests/cmdinjector/"];
        assert_eq!(
            found.is_some(),
            !changed.iter().any(|folder| sample.path.starts_with(folder)) || is_listed_mum(&sample.path),
            "{}",
            sample.path
        );
    }
    assert_eq!(listed, [(None, 15), (Some(HashAlgorithm::Sha1), 103), (Some(HashAlgorithm::Sha256), 309)].into());
}

/// The package manifests of KB2999226 came through git unchanged.
fn is_listed_mum(path: &str) -> bool {
    path.starts_with("manifests/kb2999226-6.1-x64/") && path.ends_with(".mum")
}

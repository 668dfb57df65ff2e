//! Payload: every file of a component against the hash that its manifest states.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use wimwright_format::manifest::{HashAlgorithm, Identity, Version};
use wimwright_format::wim::BlobId;

use super::components::{ExpectedFile, payload};
use super::reading::{Contents, read_all, reason};
use super::{Finding, FindingKind, Scan, Wanted};
use crate::cbs::expand::{expand, is_compressed};
use crate::cbs::store::payload_path;

impl ExpectedFile {
    fn wanted(&self) -> Wanted {
        payload(&self.component, &self.name, Some(&self.hash))
    }
}

impl Scan<'_> {
    /// Reads all payload.
    pub(super) fn check_payload(&self, expected: &HashMap<BlobId, Vec<ExpectedFile>>) {
        let ids: HashSet<BlobId> = expected.keys().copied().collect();
        read_all(&self.blobs, &ids, &self.meter, &|id, contents| {
            let files = expected.get(&id).map(Vec::as_slice).unwrap_or_default();
            // Most files have one component; those that have many are hashed once.
            let mut known: Vec<(HashAlgorithm, Vec<u8>)> = vec![(HashAlgorithm::Sha1, id.0.to_vec())];
            for file in files {
                self.check_file(file, &contents, &mut known);
            }
        });
    }

    fn check_file(&self, file: &ExpectedFile, contents: &Contents<'_>, known: &mut Vec<(HashAlgorithm, Vec<u8>)>) {
        let path = payload_path(&file.component, &file.name);
        let algorithm = file.hash.algorithm;
        let mut digest = |bytes: Option<&[u8]>| match known.iter().find(|(kind, _)| *kind == algorithm) {
            Some((_, digest)) => Some(digest.clone()),
            None => {
                let digest = algorithm.digest(bytes?);
                known.push((algorithm, digest.clone()));
                Some(digest)
            }
        };
        let found = match contents {
            Contents::Unreadable(why) => return self.findings.want(FindingKind::Unreadable, path, why, file.wanted()),
            Contents::Whole(bytes) => digest(Some(bytes)),
            Contents::Hashed { sha256, .. } => digest(None).or_else(|| Some(sha256.to_vec())),
        };
        if found.as_ref() == Some(&file.hash.digest) {
            return;
        }
        let detail = match contents {
            Contents::Whole(bytes) if is_compressed(bytes) => match expand(bytes, |version| self.base(file, version)) {
                Ok(expanded) if file.hash.matches(&expanded) => return,
                Ok(_) => "expanded, it is not what the manifest states".to_owned(),
                Err(error) => reason(&error),
            },
            Contents::Hashed { start, .. } if is_compressed(start) => return self.check_large(file, path),
            _ => "it has another hash than the manifest states".to_owned(),
        };
        let finding = Finding::new(FindingKind::PayloadDamaged, path, detail).wanting(file.wanted());
        self.findings.push(if file.writeable { finding.as_note() } else { finding });
    }

    /// A compressed file that is too large to be held with the others: one at a time.
    fn check_large(&self, file: &ExpectedFile, path: String) {
        let bytes = match self.store.read_file(&path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(error) => return self.findings.want(FindingKind::Unreadable, path, reason(&error), file.wanted()),
        };
        match expand(&bytes, |version| self.base(file, version)) {
            Ok(expanded) if file.hash.matches(&expanded) => {}
            Ok(_) => {
                let detail = "expanded, it is not what the manifest states";
                self.findings.want(FindingKind::PayloadDamaged, path, detail, file.wanted());
            }
            Err(error) => self.findings.want(FindingKind::PayloadDamaged, path, reason(&error), file.wanted()),
        }
    }

    /// The same file of another version of the component.
    fn base(&self, file: &ExpectedFile, version: Version) -> Option<Arc<[u8]>> {
        let other = Identity { version, ..file.identity.clone() };
        self.store.read_file(&payload_path(&other.keyform(), &file.name)).ok().flatten()
    }
}

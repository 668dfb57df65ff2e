//! Catalogs: proven by the hash that COMPONENTS states of them. Where it states none (packages that hold nothing but packages), by
//! their signature, and by listing the package's manifest as it is in the image.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wimwright_format::catalog::{Catalog, Policy};
use wimwright_format::manifest::{Package, PackageId};
use wimwright_image::Image;

use super::super::catalogs::{CATALOG_ROOT, stored_catalog};
use super::super::reading::reason;
use super::put::put_plain;
use super::{Given, OWN, Outcome, Round, Source, nowhere};
use crate::cbs::source::hexadecimal;
use crate::cbs::store::PACKAGES_FOLDER;

impl Round<'_> {
    /// Puts a catalog back: beside `package` at `place`, or into the store under the name `sha256`.
    pub(super) fn catalog(&mut self, place: &str, package: Option<&PackageId>, sha256: Option<&str>) -> Outcome {
        let target = match (package, sha256) {
            (Some(_), _) => place.to_owned(),
            (None, Some(sha256)) => stored_catalog(sha256),
            (None, None) => return Err("its name states no hash".to_owned()),
        };
        let packages: Vec<PackageId> = match (package, sha256) {
            (Some(package), _) => vec![package.clone()],
            (None, sha256) => sha256.map(|sha256| self.records.packages_of_catalog(sha256)).unwrap_or_default().into_iter().collect(),
        };
        let proof = self.proof(package, sha256)?;
        let mut others = Vec::new();
        let own = copies(self.image, &packages, sha256).into_iter().find(|bytes| self.is_proven(bytes, &proof));
        let mut found = own.map(|bytes| (OWN.to_owned(), bytes));
        for source in self.sources {
            if found.is_some() {
                break;
            }
            let copies = match source {
                Source::Image { image, .. } => copies(image, &packages, sha256),
                Source::Package(source) => packages.iter().filter_map(|id| source.package(id)?.catalog.clone()).collect(),
            };
            match copies.iter().find(|bytes| self.is_proven(bytes, &proof)) {
                Some(bytes) => found = Some((source.name().to_owned(), bytes.clone())),
                None if copies.is_empty() => {}
                None => others.push(format!("{} has another one", source.name())),
            }
        }
        // Packages that share deployments may share the catalog: whosever it is, the hash tells.
        if let (None, Proof::Hash(sha256)) = (&found, &proof) {
            found = self.delivered.get_or_init(|| delivered(self.sources)).get(sha256).cloned();
        }
        let wanted = match (&proof, package) {
            (Proof::Hash(sha256), _) => format!("the catalog with SHA-256 {sha256}"),
            (Proof::Lists(_), Some(package)) => format!("a trusted catalog that lists the manifest of {package}"),
            (Proof::Lists(_), None) => "the catalog".to_owned(),
        };
        let (name, bytes) = found.ok_or_else(|| nowhere(&wanted, self.sources, &others))?;
        if self.image.read(&target).is_ok_and(|there| there == bytes) {
            return Err("what is there is what the image records: another file would be a wrong one".to_owned());
        }
        put_plain(self.image, &target, bytes, self.time).map_err(|error| reason(&error))?;
        Ok(name)
    }

    /// What proves a catalog, or why nothing does.
    fn proof(&self, package: Option<&PackageId>, sha256: Option<&str>) -> Result<Proof, String> {
        if let Some(sha256) = sha256 {
            return Ok(Proof::Hash(sha256.to_ascii_lowercase()));
        }
        let unknown = "COMPONENTS does not state its hash, and there is no intact manifest of the package that it would have to list";
        let manifest = package.and_then(|package| {
            let bytes = self.image.read(&format!("{PACKAGES_FOLDER}/{package}.mum")).ok()?;
            (Package::parse(&bytes).ok()?.id() == *package).then_some(bytes)
        });
        manifest.map(Proof::Lists).ok_or_else(|| unknown.to_owned())
    }

    fn is_proven(&self, bytes: &[u8], proof: &Proof) -> bool {
        match proof {
            Proof::Hash(sha256) => hexadecimal(&Sha256::digest(bytes)) == *sha256,
            Proof::Lists(manifest) => self.is_believed(bytes).is_some_and(|catalog| catalog.lists(manifest).is_some()),
        }
    }

    /// The catalog, if somebody trusted vouches for it.
    pub(super) fn is_believed(&self, bytes: &[u8]) -> Option<Catalog> {
        let trust = self.options.trust;
        let policy = Policy { roots: &trust.roots, time: trust.time, require_system_component: false };
        Catalog::parse(bytes).ok().filter(|catalog| trust.allow_unsigned || catalog.verify(&policy).is_ok())
    }

    /// The catalog in the image that vouches for the manifest of a package.
    pub(super) fn catalog_of(&self, package: &PackageId) -> Option<Catalog> {
        let sha256 = self.records.catalog_of_package(package);
        let proven = |bytes: &Arc<[u8]>| match &sha256 {
            Some(sha256) => hexadecimal(&Sha256::digest(bytes)).eq_ignore_ascii_case(sha256),
            None => true,
        };
        let copies = copies(self.image, std::slice::from_ref(package), sha256.as_deref());
        copies.iter().filter(|bytes| proven(bytes)).find_map(|bytes| self.is_believed(bytes))
    }
}

/// What proves a catalog.
enum Proof {
    /// Its SHA-256, in lower-case hexadecimal digits.
    Hash(String),
    /// That it is trusted, and lists this package manifest.
    Lists(Arc<[u8]>),
}

/// The catalogs of all packages by SHA-256 in lower-case hexadecimal digits, each with the name of its source.
fn delivered(sources: &[Source]) -> HashMap<String, Given> {
    let mut catalogs = HashMap::new();
    for source in sources {
        let Source::Package(package) = source else { continue };
        for (_, package) in package.packages() {
            if let (Some(bytes), Some(sha256)) = (&package.catalog, package.catalog_thumbprint()) {
                catalogs.entry(sha256).or_insert_with(|| (source.name().to_owned(), bytes.clone()));
            }
        }
    }
    catalogs
}

/// All copies of a catalog in an image: that of the store, and those beside packages.
fn copies(image: &Image, packages: &[PackageId], sha256: Option<&str>) -> Vec<Arc<[u8]>> {
    let stored = sha256.map(stored_catalog).into_iter();
    let beside = packages.iter().flat_map(|id| [PACKAGES_FOLDER, CATALOG_ROOT].map(|folder| format!("{folder}/{id}.cat")));
    let mut copies: Vec<Arc<[u8]>> = stored.chain(beside).filter_map(|path| image.read(&path).ok()).collect();
    copies.dedup();
    copies
}

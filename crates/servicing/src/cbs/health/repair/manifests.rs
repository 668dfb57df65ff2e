//! Manifests: those of packages are proven by their catalog in the image, those of components by the hash in COMPONENTS.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use wimwright_format::manifest::{Package, PackageId};

use super::super::Wanted;
use super::super::reading::reason;
use super::put::put_plain;
use super::{Given, Outcome, Round, Source, nowhere};
use crate::cbs::source::hexadecimal;
use crate::cbs::store::{PACKAGES_FOLDER, manifest_path};

impl Round<'_> {
    /// Puts the manifest of a package back.
    pub(super) fn package_manifest(&mut self, package: &PackageId) -> Outcome {
        let catalog = self.catalog_of(package);
        let catalog =
            catalog.ok_or("no catalog of the package that could be believed is in the image, and nothing else vouches for its manifest")?;
        let path = format!("{PACKAGES_FOLDER}/{package}.mum");
        let found = self.search(
            |source| match source {
                Source::Image { image, .. } => image.read(&path).ok(),
                Source::Package(source) => source.package(package).map(|package| package.manifest_bytes.clone()),
            },
            |bytes| catalog.lists(bytes).is_some() && Package::parse(bytes).is_ok_and(|manifest| manifest.id() == *package),
        );
        let (name, bytes) =
            found.map_err(|others| nowhere(&Wanted::PackageManifest { package: package.clone() }.to_string(), self.sources, &others))?;
        put_plain(self.image, &path, bytes, self.time).map_err(|error| reason(&error))?;
        Ok(name)
    }

    /// Puts the manifest of a component back.
    pub(super) fn component_manifest(&mut self, component: &str, sha256: Option<&str>) -> Outcome {
        let sha256 = sha256.ok_or("COMPONENTS states no hash of it: nothing would prove another one")?;
        let path = manifest_path(component);
        let dictionary = &self.store.dictionary;
        let found = self.search(
            |source| match source {
                Source::Image { image, .. } => image.read(&path).ok(),
                Source::Package(source) => source.component(component).ok().map(|component| component.stored),
            },
            |bytes| dictionary.decode(bytes).is_ok_and(|xml| hexadecimal(&Sha256::digest(&xml)) == sha256),
        );
        let wanted = Wanted::ComponentManifest { component: component.to_owned(), sha256: Some(sha256.to_owned()) };
        let (name, bytes) = found.map_err(|others| nowhere(&wanted.to_string(), self.sources, &others))?;
        put_plain(self.image, &path, bytes, self.time).map_err(|error| reason(&error))?;
        Ok(name)
    }

    /// The first source whose file is proven, or what the others have.
    fn search(&self, file: impl Fn(&Source) -> Option<Arc<[u8]>>, is_proven: impl Fn(&[u8]) -> bool) -> Result<Given, Vec<String>> {
        let mut others = Vec::new();
        for source in self.sources {
            match file(source) {
                Some(bytes) if is_proven(&bytes) => return Ok((source.name().to_owned(), bytes)),
                Some(_) => others.push(format!("{} has another one", source.name())),
                None => {}
            }
        }
        Err(others)
    }
}

//! Opened packages and bundles.

use super::block_map::BlockMap;
use super::{Archive, BUNDLE_MANIFEST, BundleManifest, BundledPackage, MANIFEST, Manifest, PackageKind, Result, part_error};
use crate::io::ReadAt;
use std::collections::HashSet;
use std::sync::Arc;

/// A file that is a package or a bundle.
pub enum AppFile {
    /// `.appx`, `.msix`.
    Package(Package),
    /// `.appxbundle`, `.msixbundle`.
    Bundle(Bundle),
}

impl AppFile {
    /// Opens a file of either kind: a bundle is what has a bundle's manifest.
    ///
    /// # Errors
    /// When it is neither, or damaged.
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Self> {
        let archive = Archive::open(source)?;
        if archive.member(BUNDLE_MANIFEST).is_some() {
            return Bundle::new(archive).map(Self::Bundle);
        }
        Package::new(archive).map(Self::Package)
    }
}

/// An opened package.
pub struct Package {
    archive: Archive,
    manifest: Manifest,
}

impl Package {
    /// Opens a package.
    ///
    /// # Errors
    /// When it is none, or damaged.
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Self> {
        Self::new(Archive::open(source)?)
    }

    fn new(archive: Archive) -> Result<Self> {
        let manifest = Manifest::parse(&archive.read(archive.require(MANIFEST)?)?)?;
        Ok(Self { archive, manifest })
    }

    /// Its parts.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// What it says about itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Checks every part against the block map.
    ///
    /// # Errors
    /// Names the first part that is missing, too much, or changed.
    pub fn verify(&self) -> Result<()> {
        BlockMap::read(&self.archive)?.verify(&self.archive, |_| false)
    }
}

/// An opened bundle.
pub struct Bundle {
    archive: Archive,
    manifest: BundleManifest,
}

impl Bundle {
    /// Opens a bundle.
    ///
    /// # Errors
    /// When it is none, or damaged.
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Self> {
        Self::new(Archive::open(source)?)
    }

    fn new(archive: Archive) -> Result<Self> {
        let manifest = BundleManifest::parse(&archive.read(archive.require(BUNDLE_MANIFEST)?)?)?;
        Ok(Self { archive, manifest })
    }

    /// Its parts.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// What it says about itself.
    #[must_use]
    pub fn manifest(&self) -> &BundleManifest {
        &self.manifest
    }

    /// Opens a package of the bundle, in place, and checks that it is what the bundle's manifest says.
    ///
    /// # Errors
    /// When it is not in the bundle (a flat bundle has its packages beside it), compressed, elsewhere, or another package.
    pub fn package(&self, entry: &BundledPackage) -> Result<Package> {
        let part = &entry.file_name;
        let member = self.archive.require(part)?;
        if !member.stored {
            return part_error(part, "a package in a bundle must not be compressed");
        }
        if let Some(size) = entry.size.filter(|size| *size != member.size) {
            return part_error(part, format!("has {} bytes; the bundle's manifest says {size}", member.size));
        }
        if let Some(offset) = entry.offset.filter(|offset| *offset != member.data_start) {
            return part_error(part, format!("starts at {}; the bundle's manifest says {offset}", member.data_start));
        }
        let package = Package::open(Arc::new(self.archive.section(member)?))?;
        let own = &package.manifest.identity;
        if *own != entry.identity {
            return part_error(part, format!("is {}; the bundle's manifest says {}", own.full_name(), entry.identity.full_name()));
        }
        if package.manifest.resource_package != (entry.kind == PackageKind::Resource) {
            return part_error(part, format!("is not of the kind that the bundle's manifest says: {:?}", entry.kind));
        }
        Ok(package)
    }

    /// Checks the bundle's own parts against its block map, and every package in it against the manifest and its own map.
    /// The packages of a flat bundle are not there to be checked.
    ///
    /// # Errors
    /// Names the first part that is wrong.
    pub fn verify(&self) -> Result<()> {
        let listed: HashSet<String> = self.manifest.packages.iter().map(|entry| entry.file_name.to_lowercase()).collect();
        BlockMap::read(&self.archive)?.verify(&self.archive, |member| listed.contains(&member.path.to_lowercase()))?;
        for entry in self.manifest.packages.iter().filter(|entry| entry.offset.is_some()) {
            self.package(entry)?.verify()?;
        }
        Ok(())
    }
}

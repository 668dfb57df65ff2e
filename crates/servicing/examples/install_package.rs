//! How long the installation of a real package takes, into a practice store that has the parents that it needs and the components it
//! replaces, but not the files that differentials start from.
//!
//! `cargo run --release -p wimwright-servicing --example install_package -- DICTIONARY ARCHITECTURE VERSION PACKAGE`
#![allow(clippy::print_stdout, reason = "an example that measures")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use sha2::{Digest, Sha256};
use wimwright_format::manifest::{Identity, Package, PackageId};
use wimwright_format::msu::Update;
use wimwright_format::wim::Wim;
use wimwright_image::{Blobs, Image, ImageFile};
use wimwright_practice::store::{ComponentSpec, PackageSpec, StoreSpec, elevated_by, parents_of, write};
use wimwright_servicing::cbs::install::DeferredPolicy;
use wimwright_servicing::cbs::step::Packages;
use wimwright_servicing::step::{Context, Payload, Step};

const TIME: u64 = 133_800_000_000_000_000;

/// The store that the package goes into.
fn store(package: Vec<u8>, architecture: &str, version: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let manifests = Mutex::new(BTreeMap::new());
    for package in Update::open(Arc::new(package))?.packages {
        let keep = |name: &str, bytes: &[u8]| {
            let mut manifests = manifests.lock().map_err(|_| "another thread stopped")?;
            manifests.insert(name.to_owned(), Package::parse(bytes)?);
            Ok(())
        };
        package.make(&|name| name.to_ascii_lowercase().ends_with(".mum"), &keep)?;
    }
    let manifests: Vec<Package> = manifests.into_inner()?.into_values().collect();
    let own: Vec<PackageId> = manifests.iter().map(Package::id).collect();
    let mut packages: Vec<PackageId> = manifests.iter().flat_map(parents_of).filter(|id| !own.contains(id)).collect();
    packages.sort();
    packages.dedup();
    let mut components: Vec<Identity> = manifests.iter().flat_map(elevated_by).collect();
    components.sort_by_cached_key(Identity::keyform);
    components.dedup();
    let spec = StoreSpec {
        architecture: architecture.into(),
        version: version.parse()?,
        packages: packages.into_iter().map(PackageSpec::installed).collect(),
        components: components.into_iter().map(ComponentSpec::of_identity).collect(),
        filler: 0,
    };
    Ok(write(&spec)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dictionary, architecture, version, package] = arguments.as_slice() else {
        return Err("usage: install_package DICTIONARY ARCHITECTURE VERSION PACKAGE".into());
    };
    let payload = |path: &str| -> Result<Payload, Box<dyn Error>> {
        let bytes = std::fs::read(path)?;
        Ok(Payload { name: path.to_owned(), sha256: Sha256::digest(&bytes).into(), source: Arc::new(bytes) })
    };
    let (dictionary, update) = (payload(dictionary)?, payload(package)?);
    let store = store(std::fs::read(package)?, architecture, version)?;
    let file = ImageFile::new(vec![Arc::new(Wim::open(Arc::new(store))?)])?;
    let image = Image::open(&file, 1, &Blobs::default())?;
    let step = Packages { updates: vec![update], dictionary: Some(dictionary), deferred: DeferredPolicy::Omit, ..Packages::default() };
    let begun = Instant::now();
    let (_, report) = step.apply(image, &Context { time: TIME })?;
    let seconds = begun.elapsed().as_secs_f64();
    let count = |of: fn(&wimwright_servicing::cbs::install::PackageReport) -> usize| report.packages.iter().map(of).sum::<usize>();
    println!("{seconds:.4} {} {}", count(|package| package.components), count(|package| package.files));
    Ok(())
}

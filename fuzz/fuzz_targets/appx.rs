#![no_main]
//! Any bytes as a package, bundle, manifest, licence or provision list: a value or an error.
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use wimwright_format::appx::provisioning::ProvisionList;
use wimwright_format::appx::{AppFile, BundleManifest, License, Manifest};

fuzz_target!(|bytes: &[u8]| {
    match AppFile::open(Arc::new(bytes.to_vec())) {
        Ok(AppFile::Package(package)) => drop(package.verify()),
        Ok(AppFile::Bundle(bundle)) => drop(bundle.verify()),
        Err(_) => {}
    }
    let _ = Manifest::parse(bytes);
    let _ = BundleManifest::parse(bytes);
    let _ = License::parse(bytes);
    if let Ok(list) = ProvisionList::parse(bytes) {
        let again = ProvisionList::parse(list.to_xml().as_bytes()).expect("what we write, we read");
        assert_eq!(again, list);
    }
});

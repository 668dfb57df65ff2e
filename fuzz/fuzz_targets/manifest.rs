#![no_main]
//! Any bytes as a component or package manifest: a value or an error, and everything that is computed from the value.
use libfuzzer_sys::fuzz_target;
use wimwright_format::manifest::component::CategoryEntry;
use wimwright_format::manifest::macros::Directories;
use wimwright_format::manifest::package::classify;
use wimwright_format::manifest::stored::Stored;
use wimwright_format::manifest::{Component, Identity, Package, PackageId};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Stored::Plain(bytes)) = Stored::of(bytes) else { return };
    if let Ok(component) = Component::parse(bytes) {
        let again = Identity::from_component_string(&component.identity.component_string());
        if let Ok(again) = again {
            assert_eq!(again.family_key().len(), component.identity.family_key().len());
        }
        let _ = (component.identity.keyform(), component.identity.deployment_key(), component.sddl_by_name().len());
        component.with_macros(Directories::Wow64, &|_| None, |macros| {
            for file in &component.files {
                if let Ok(Some(path)) = file.destination(macros) {
                    assert!(path.is_empty() || path.starts_with('\\'), "{path}");
                    assert!(!path.split('\\').any(|name| name == ".."), "{path}");
                }
            }
            for key in &component.registry_keys {
                let _ = key.path(Directories::Wow64, |text| macros.text(text));
                for value in &key.values {
                    let _ = value.data.bytes(|text| macros.text(text));
                }
            }
        });
        for entry in component.memberships.iter().flat_map(|membership| &membership.instances).flat_map(|instance| &instance.entries) {
            if let CategoryEntry::Service(service) = entry {
                let _ = (service.type_bits(), service.start_type(), service.failure_actions.as_ref().map(|actions| actions.bytes()));
            }
        }
    }
    if let Ok(package) = Package::parse(bytes) {
        let _ = classify(Some(&package), ["a.manifest"]);
        for capability in package.capabilities.iter().flat_map(|declaration| &declaration.capabilities) {
            let _ = package.capability_name(capability);
        }
    }
    if let Ok(Ok(id)) = std::str::from_utf8(bytes).map(str::parse::<PackageId>) {
        assert_eq!(id.to_string().parse::<PackageId>().expect("what we print, we read"), id);
    }
});

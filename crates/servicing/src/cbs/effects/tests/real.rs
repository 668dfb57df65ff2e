//! Effects of real manifests.

use wimwright_format::manifest::Component;

use super::super::effects;
use super::corpus;

/// An image that a component of this architecture belongs into.
fn image_for(component: &Component) -> &str {
    match component.identity.architecture.as_deref() {
        Some("wow64" | "msil") | None => "amd64",
        Some(own) => own,
    }
}

#[test]
fn real_components_have_effects() {
    let Some(manifests) = corpus::manifests() else { return };
    for (name, bytes) in manifests {
        let component = Component::parse(bytes).unwrap();
        assert!(effects(&component, image_for(&component)).is_ok(), "{name}");
    }
    assert!(manifests.len() >= 240, "{}", manifests.len());
}

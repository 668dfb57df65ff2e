//! Real packages into practice stores.

use wimwright_practice::store::parents_of;

use wimwright_servicing::cbs::step::Packages;
use wimwright_servicing::step::{Context, Step};

use super::*;

pub const OPENSSH_20348: &str = "OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab";

pub fn parents(source: &PackageSource) -> Vec<PackageId> {
    let own: Vec<&PackageId> = source.packages().map(|(id, _)| id).collect();
    let mut ids: Vec<PackageId> =
        source.packages().flat_map(|(_, package)| parents_of(&package.manifest)).filter(|id| !own.contains(&id)).collect();
    ids.sort();
    ids.dedup();
    ids
}

#[test]
fn real_openssh_server_leaves_its_whole_footprint() {
    let Some(sources) = real_packages(&[OPENSSH_20348]) else { return };
    let image = image_with("amd64", [10, 0, 20348, 1], &parents(&sources[0]));
    let (after, report) = installed(&image, &sources, &everything(0, &sources[0]));
    check(&after, "amd64");
    insta::assert_snapshot!("openssh_server", difference(&image, &after));
    insta::assert_snapshot!("openssh_server_report", serde_json::to_string_pretty(&report).unwrap());
}

pub fn payload(file: &str) -> Option<Payload> {
    let bytes = std::fs::read(wimwright_testkit::test_data(&format!("msu_cab/{file}"))?).unwrap();
    Some(Payload { name: file.to_owned(), sha256: Sha256::digest(&bytes).into(), source: Arc::new(bytes) })
}

pub fn dictionary_payload() -> Option<Payload> {
    let bytes = std::fs::read(wimwright_testkit::test_data("manifests/msdelta/base_manifest.bin")?).unwrap();
    Some(Payload { name: "base_manifest.bin".into(), sha256: Sha256::digest(&bytes).into(), source: Arc::new(bytes) })
}

/// What the step does by its own plan is what installing everything does: the package has no condition that is not met.
#[test]
fn real_step_plans_and_installs() {
    let (Some(sources), Some(update)) = (real_packages(&[OPENSSH_20348]), payload(OPENSSH_20348)) else { return };
    let image = image_with("amd64", [10, 0, 20348, 1], &parents(&sources[0]));
    let step = Packages { updates: vec![update.clone()], dictionary: dictionary_payload(), ..Packages::default() };
    let (after, report) = step.apply(image.clone(), &Context { time: NOW }).unwrap();
    let (expected, _) = installed(&image, &sources, &everything(0, &sources[0]));
    assert_eq!(difference(&expected, &after), "");
    assert_eq!(report.packages.len(), 4);
    // Again: nothing to do.
    let (again, report) = step.apply(after.clone(), &Context { time: NOW + 1 }).unwrap();
    assert_eq!(difference(&after, &again), "");
    assert_eq!(report.details, ["OpenSSH-Server-Package~31bf3856ad364e35~amd64~~10.0.20348.1 is installed already"]);
    // The same as a capability.
    let step = Packages {
        offers: vec![update],
        capabilities: vec!["OpenSSH.Server~~~~0.0.1.0".into()],
        dictionary: dictionary_payload(),
        ..Packages::default()
    };
    let (capability, _) = step.apply(image.clone(), &Context { time: NOW }).unwrap();
    assert_eq!(difference(&after, &capability), "");
    // And away again: what is left are caches that were dropped, and keys that are empty or were there for good.
    let step = Packages { remove: vec![sources[0].root.to_string()], dictionary: dictionary_payload(), ..Packages::default() };
    let (removed, _) = step.apply(after, &Context { time: NOW }).unwrap();
    check(&removed, "amd64");
    insta::assert_snapshot!("openssh_server_removed", difference(&image, &removed));
}

//! Real packages into practice stores.

use wimwright_practice::store::parents_of;

use super::*;

const OPENSSH_20348: &str = "OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab";

fn parents(source: &PackageSource) -> Vec<PackageId> {
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

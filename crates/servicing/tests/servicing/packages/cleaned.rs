//! Cleanup: what is superseded goes, with all that it alone owns; what still wins stays.

use wimwright_practice::updates::{UpdateOptions, files};
use wimwright_servicing::cbs::step::Packages;
use wimwright_servicing::step::{Context, Step};

use super::*;

/// The practice medium's cumulative update, as a step on an image.
fn cumulative(revision: u16, cleanup: bool) -> Packages {
    let update = files(&UpdateOptions { revision, files: 2, ..UpdateOptions::default() })
        .unwrap()
        .into_iter()
        .find(|file| file.path.ends_with(".msu"))
        .unwrap();
    let payload = Payload { name: update.path, sha256: Sha256::digest(&update.bytes).into(), source: Arc::new(update.bytes) };
    Packages { updates: vec![payload], allow_unsigned: true, cleanup, ..Packages::default() }
}

fn states(image: &Image) -> Vec<String> {
    let store = Store::read(&mut fresh(image), None).unwrap();
    let rollups = store.packages().iter().filter(|(id, _)| id.name.starts_with("Package_"));
    rollups.map(|(id, record)| format!("{} {}: {}", id.name, id.version, record.state)).collect()
}

#[test]
fn superseded_packages_go_with_what_they_own() {
    let parent = "Microsoft-Windows-Foundation-Package~31bf3856ad364e35~amd64~~10.0.26100.1742".parse().unwrap();
    let image = image_with("amd64", [10, 0, 26100, 1742], &[parent]);
    let apply = |step: Packages, image: &Image| step.apply(image.clone(), &Context { time: NOW }).unwrap().0;
    // The first update brings files that its successor has, too; what the image came with has nothing that still wins.
    let first = apply(cumulative(4000, false), &image);
    check(&first, "amd64");
    insta::assert_snapshot!("updated", states(&first).join("\n"));
    let second = apply(cumulative(5000, true), &first);
    check(&second, "amd64");
    insta::assert_snapshot!("updated_and_cleaned", states(&second).join("\n"));
    // Nothing of the first is left in the store.
    let left: Vec<_> = second.tree.walk().map(|(path, _)| path).filter(|path| path.contains("26100.4000")).collect();
    assert_eq!(left, Vec::<String>::new());
}

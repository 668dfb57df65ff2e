//! Cleanup: what is superseded goes, with all that it alone owns; what still wins stays.

use wimwright_practice::updates::{UpdateOptions, files};
use wimwright_servicing::cbs::step::Packages;
use wimwright_servicing::step::{Context, Step};

use super::generated::{Members, apply, cabinet, payload, plain_image, sealed, updates, whole};
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

/// Two superseded packages have a component that nobody else has: one of them stays, so that what wins is not lost.
#[test]
fn a_winner_of_two_superseded_packages_stays() {
    let version = |last| Version([10, 0, 26100, last]);
    let image = plain_image();
    let install =
        |image: &Image, name: &str, members: Members| apply(&updates(vec![payload(name, cabinet(&sealed(members)))]), image).unwrap().0;
    // Both bring `Part` of one version; the third, which supersedes them, is without it.
    let brings = |last| whole("Example", version(last), &[("Part", version(1))]);
    let image = install(&image, "one", brings(1));
    let image = install(&image, "two", brings(2));
    let image = install(&image, "three", whole("Example", version(3), &[("Other", version(3))]));
    let cleaned = apply(&Packages { cleanup: true, allow_unsigned: true, ..Packages::default() }, &image).unwrap().0;
    check(&cleaned, "amd64");
    assert!(cleaned.tree.at("/Windows/System32/Part.exe").is_some());
    let store = Store::read(&mut fresh(&cleaned), None).unwrap();
    let left: Vec<_> = store
        .packages()
        .iter()
        .filter(|(id, _)| id.name == "Example")
        .map(|(id, record)| format!("{} {}", id.version, record.state))
        .collect();
    assert_eq!(left, ["10.0.26100.2 Superseded", "10.0.26100.3 Installed"]);
}

//! Cleanup: what is superseded goes, with all that it alone owns; what still wins stays.

use wimwright_image::registry::HiveFile;
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

/// A cumulative update with a package of its own, both with a component; `says` stands in the root's manifest.
fn rollup(revision: u16, says: &str) -> Payload {
    use generated::{deployment, element, identity, package, whole};
    let version = Version([26100, revision, 1, 20]);
    let part = Version([10, 0, 26100, revision]);
    let mut members = whole("Package_for_RollupFix", version, &[("Part", part)]);
    // What the image's build revision becomes.
    let part_manifest = format!("{}.manifest", identity("Part", part).keyform());
    let (_, bytes) = members.iter_mut().find(|(name, _)| *name == part_manifest).unwrap();
    let key = r#"<registryKeys><registryKey keyName="HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion">"#;
    let value = format!("{}<registryValue name=\"UBR\" valueType=\"REG_DWORD\" value=\"{revision:#010x}\"/></registryKey>", key);
    *bytes = String::from_utf8(bytes.clone()).unwrap().replace("<registryKeys>", &value).into();
    let inner = identity("Inner", version);
    let update = format!(
        "<customInformation PackageFormat=\"PSFX\"{says}/><update name=\"Inner\"><package integrate=\"hidden\">{}</package></update>",
        element(&wimwright_format::manifest::Identity { version_scope: None, ..inner.clone() })
    );
    let root = &mut members[0].1;
    *root = String::from_utf8(root.clone()).unwrap().replacen("<update ", &format!("{update}<update "), 1).into();
    let mut inner_members = package("Inner", version, &identity("Inner-Deployment", version));
    inner_members[0].0 = "Inner.mum".into();
    members.extend(inner_members);
    members.extend(deployment("Inner-Deployment", version, &[identity("Other", part)]));
    members.extend(generated::component("Other", part));
    let mut members = generated::sealed(members);
    let catalog = members.last().unwrap().1.clone();
    members.push(("Inner.cat".into(), catalog));
    generated::payload(&format!("rollup-{revision}"), generated::cabinet(&members))
}

#[test]
fn checkpoints_are_marked_and_stay() {
    let image = generated::plain_image();
    let apply = |update: Payload, cleanup: bool, image: &Image| {
        generated::apply(&Packages { cleanup, ..generated::updates(vec![update]) }, image).unwrap().0
    };
    let marks = |image: &Image| {
        let hive = fresh(image).hive(HiveFile::Software).unwrap().unwrap();
        let packages = hive.open(&format!(r"{}\Packages", wimwright_servicing::cbs::store::SERVICING)).unwrap().unwrap();
        let marked = hive.subkeys(packages).unwrap().into_iter().filter(|key| hive.value(*key, "Baseline").unwrap().is_some());
        marked.map(|key| hive.name(key).unwrap().replace("~31bf3856ad364e35~amd64~~", " ")).collect::<Vec<_>>()
    };
    let manifests =
        |image: &Image, of: &str| image.tree.walk().filter(|(path, _)| path.contains("Manifests/") && path.contains(of)).count();

    let said = " PSFXDeltaFormat=\"Baseline\"";
    let checkpoint = apply(rollup(100, said), false, &image);
    assert_eq!(marks(&checkpoint), ["Package_for_RollupFix 26100.100.1.20"]);
    let updated = apply(rollup(200, ""), true, &checkpoint);
    assert_eq!(marks(&updated), ["Package_for_RollupFix 26100.100.1.20"]);
    check(&updated, "amd64");
    // Two deployments and their components, of the checkpoint and of what follows it.
    assert_eq!((manifests(&updated, "26100.100"), manifests(&updated, "26100.200")), (4, 4));
    let states = states(&updated);
    for state in ["Package_for_RollupFix 26100.100.1.20: Superseded", "Package_for_RollupFix 26100.200.1.20: Installed"] {
        assert!(states.iter().any(|known| known == state), "{states:?}");
    }

    // Of a package that carries the mark, the next checkpoint's has it as well.
    let mut marked = fresh(&checkpoint);
    let inner = r"Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\Inner~31bf3856ad364e35~amd64~~26100.100.1.20";
    marked
        .edit_hive(HiveFile::Software, |hive| {
            let key = hive.open(inner).unwrap().unwrap();
            hive.set_data(key, "Baseline", &wimwright_format::regf::Data::Dword(1), NOW).unwrap();
            Ok::<_, wimwright_image::ImageError>(())
        })
        .unwrap();
    let second = apply(rollup(300, said), false, &marked);
    assert_eq!(marks(&second).len(), 4);

    // What is none goes when it is superseded.
    let plain = apply(rollup(200, ""), true, &apply(rollup(100, ""), false, &image));
    assert_eq!((marks(&plain).len(), manifests(&plain, "26100.100"), manifests(&plain, "26100.200")), (0, 0, 4));
}

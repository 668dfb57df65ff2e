//! Packages that are damaged or forged: an error, or the very same result where nothing that matters was touched; the image as it was.

use std::sync::Mutex;

use wimwright_format::manifest::Identity;
use wimwright_format::msu::Update;
use wimwright_servicing::cbs::step::Packages;
use wimwright_servicing::step::{Context, Step, StepError};

use super::generated::{
    Members, apply, assembly, cabinet, component, deployment, element, identity, package, payload, plain_image, sealed, updates, whole,
};
use super::*;

const VERSION: Version = Version([10, 0, 26100, 1]);

fn good() -> Members {
    whole("Example", VERSION, &[("Part", VERSION), ("Other", VERSION)])
}

fn member<'m>(members: &'m mut Members, end: &str) -> &'m mut (String, Vec<u8>) {
    members.iter_mut().find(|(name, _)| name.ends_with(end)).unwrap()
}

/// What is wrong, with all causes.
fn chain(error: &StepError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Installs, and gives the error; the image must be as it was.
#[track_caller]
fn refused(image: &Image, step: &Packages) -> String {
    let before = image.tree.id();
    let error = step.apply(image.clone(), &Context { time: NOW }).err().expect("it must be refused");
    assert_eq!(image.tree.id(), before);
    chain(&error)
}

#[track_caller]
fn refused_members(members: &Members) -> String {
    refused(&plain_image(), &updates(vec![payload("example", cabinet(members))]))
}

#[test]
fn what_is_missing_or_forged_is_named() {
    assert!(apply(&updates(vec![payload("example", cabinet(&sealed(good())))]), &plain_image()).is_ok(), "the package itself is good");
    let part = identity("Part", VERSION).keyform();

    // A file is missing, or is another one.
    let mut members = sealed(good());
    members.retain(|(name, _)| !name.ends_with("Part.exe"));
    assert_eq!(refused_members(&members), format!("the file Part.exe of {part} is not in what was delivered"));
    let mut members = sealed(good());
    member(&mut members, "Part.exe").1[0] ^= 1;
    assert_eq!(refused_members(&members), format!("the file Part.exe of {part} does not have the hash that its manifest states"));
    // Its manifest states no hash.
    let mut members = good();
    let manifest = member(&mut members, &format!("{part}.manifest"));
    let text = String::from_utf8(manifest.1.clone()).unwrap();
    let (start, rest) = text.split_once("<hash").unwrap();
    manifest.1 = format!("{start}{}", rest.split_once("</hash>").unwrap().1).into();
    assert_eq!(refused_members(&sealed(members)), format!("the manifest of {part} states no hash for Part.exe: nothing vouches for it"));

    // The manifest of a component is missing, changed after the catalog was made, or that of another component.
    let mut members = sealed(good());
    members.retain(|(name, _)| *name != format!("{part}.manifest"));
    assert!(refused_members(&members).contains(&part));
    let mut members = sealed(good());
    member(&mut members, &format!("{part}.manifest")).1.extend(b"<!-- -->");
    let unlisted = format!(
        "the manifest `{part}.manifest` in `example.cab` is listed in no catalog of the package: it was changed after it was signed"
    );
    assert_eq!(refused_members(&members), unlisted);
    let mut members = good();
    let forged = component("Part", Version([10, 0, 26100, 7]))[0].1.clone();
    member(&mut members, &format!("{part}.manifest")).1 = forged;
    let other = identity("Part", Version([10, 0, 26100, 7])).keyform();
    assert_eq!(
        refused_members(&sealed(members)),
        format!("the manifest `{part}.manifest` in `example.cab` is that of another component, {other}")
    );

    // The package's manifest was changed; the catalog is missing or damaged.
    let mut members = sealed(good());
    member(&mut members, "update.mum").1.extend(b"\n");
    assert!(refused_members(&members).contains("`update.mum` in `example.cab` is listed in no catalog"));
    let signed = Packages { allow_unsigned: false, ..updates(vec![payload("example", cabinet(&good()))]) };
    assert!(refused(&plain_image(), &signed).contains("has no catalog: nobody vouches for it"));
    let mut members = sealed(good());
    member(&mut members, "update.cat").1.truncate(40);
    assert!(refused_members(&members).contains("the catalog of Example~31bf3856ad364e35~amd64~~10.0.26100.1"));
    let signed = Packages { allow_unsigned: false, ..updates(vec![payload("example", cabinet(&sealed(good())))]) };
    assert!(refused(&plain_image(), &signed).contains("is not trusted"));
}

/// The image has a component of that name already, with other contents.
#[test]
fn a_second_component_of_the_same_name_is_refused() {
    let (image, _) = apply(&updates(vec![payload("example", cabinet(&sealed(good())))]), &plain_image()).unwrap();
    let part = identity("Part", VERSION).keyform();
    let mut members = whole("Another", VERSION, &[("Part", VERSION)]);
    let manifest = member(&mut members, &format!("{part}.manifest"));
    manifest.1 = String::from_utf8(manifest.1.clone()).unwrap().replace("Example", "Elsewhere").into();
    let error = refused(&image, &updates(vec![payload("another", cabinet(&sealed(members)))]));
    assert_eq!(error, format!("the image and the delivery have different manifests of {part}: one of them is damaged or forged"));
}

#[test]
fn cycles_are_refused() {
    // Deployments that depend on each other, and one that depends on itself.
    let (one, two) = (identity("One-Deployment", VERSION), identity("Two-Deployment", VERSION));
    for cycle in [[(&one, &two), (&two, &one)], [(&one, &one), (&two, &one)]] {
        let mut members = package("Example", VERSION, &one);
        for (deployed, of) in cycle {
            members.extend(deployment(&deployed.name, VERSION, std::slice::from_ref(of)));
        }
        let error = refused_members(&sealed(members));
        assert!(error.contains("depends on itself") && error.contains("-deployment_"), "{error}");
    }
    // Packages that carry each other.
    let packages = ["One", "Two"].map(|name| Identity { version_scope: None, ..identity(name, VERSION) });
    let carrying = |outer: &Identity, inner: &Identity| {
        let update = format!("<update name=\"carries\"><package integrate=\"hidden\">{}</package></update>", element(inner));
        assembly(outer, &format!("<package identifier=\"Example\" releaseType=\"Update\">{update}</package>"))
    };
    let [one, two] = &packages;
    let mut members = vec![("update.mum".to_owned(), carrying(one, two)), ("two.mum".to_owned(), carrying(two, one))];
    members = sealed(members);
    let catalog = member(&mut members, "update.cat").1.clone();
    members.push(("two.cat".into(), catalog));
    assert!(refused_members(&members).ends_with("contains itself"));
}

#[test]
fn a_diamond_is_no_cycle() {
    let [top, left, right] = ["Top", "Left", "Right"].map(|name| identity(&format!("{name}-Deployment"), VERSION));
    let bottom = identity("Part", VERSION);
    let mut members = package("Example", VERSION, &top);
    members.extend(deployment(&top.name, VERSION, &[left.clone(), right.clone()]));
    members.extend(deployment(&left.name, VERSION, std::slice::from_ref(&bottom)));
    members.extend(deployment(&right.name, VERSION, &[bottom]));
    members.extend(component("Part", VERSION));
    let (after, _) = apply(&updates(vec![payload("example", cabinet(&sealed(members)))]), &plain_image()).unwrap();
    assert!(after.tree.at("/Windows/System32/Part.exe").is_some());
}

#[test]
fn deep_xml_is_refused() {
    let deep = |identity: &Identity, around: [&str; 2]| {
        let nest = format!("{}{}", "<parent>".repeat(10_000), "</parent>".repeat(10_000));
        assembly(identity, &around.join(&nest))
    };
    let mut members = good();
    let id = Identity { version_scope: None, ..identity("Example", VERSION) };
    member(&mut members, "update.mum").1 = deep(&id, ["<package identifier=\"x\" releaseType=\"Update\">", "</package>"]);
    assert!(refused_members(&sealed(members)).contains("nested elements"));
    let mut members = good();
    let part = identity("Part", VERSION);
    member(&mut members, &format!("{}.manifest", part.keyform())).1 = deep(&part, ["", ""]);
    assert!(refused_members(&sealed(members)).contains("nested elements"));
}

/// Members that grow out of all proportion: the cabinet has a thousandth of their length.
#[test]
fn bombs_are_refused() {
    for (end, expected) in [
        ("update.mum", "`update.mum` in `example.cab` has 134217728 bytes: at most 67108864 are read"),
        ("Part.exe", "does not have the hash that its manifest states"),
    ] {
        let mut members = sealed(good());
        member(&mut members, end).1 = vec![b' '; 128 << 20];
        let bomb = cabinet(&members);
        assert!(bomb.len() < 1 << 20);
        drop(members);
        let error = refused(&plain_image(), &updates(vec![payload("example", bomb)]));
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn a_truncated_cabinet_is_refused() {
    let whole = cabinet(&sealed(good()));
    let image = plain_image();
    for length in (0..whole.len()).step_by(whole.len() / 40) {
        refused(&image, &updates(vec![payload("example", whole[..length].to_vec())]));
    }
    refused(&image, &updates(vec![payload("example", whole[..whole.len() - 1].to_vec())]));
}

/// Numbers that are always the same and look random (Knuth's MMIX generator).
fn positions(count: usize, below: usize) -> impl Iterator<Item = usize> {
    let mut state = 0x57_494d_u64;
    (0..count).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 16) as usize % below
    })
}

const SATELLITE: &str = "Microsoft-Windows-InternetExplorer-Optional-Package~31bf3856ad364e35~amd64~en-US~.cab";
const OPENSSH: &str = "OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab";

/// A real package, the image that it is installed into, and the image with it.
struct Real {
    whole: Vec<u8>,
    image: Image,
    expected: Image,
}

impl Real {
    fn new(file: &str) -> Option<Self> {
        let sources = real_packages(&[file])?;
        let whole = std::fs::read(wimwright_testkit::test_data(&format!("msu_cab/{file}"))?).unwrap();
        let image = image_with("amd64", [10, 0, 20348, 1], &super::real::parents(&sources[0]));
        let (expected, _) = installed(&image, &sources, &everything(0, &sources[0]));
        Some(Self { whole, image, expected })
    }

    /// Installs the package from these bytes, if they are believed.
    fn install(&self, bytes: Vec<u8>) -> Option<Image> {
        let dictionary = dictionary().unwrap();
        let payload = Payload { name: "example.cab".into(), sha256: [0; 32], source: Arc::new(bytes) };
        let attempt = || -> Result<Image, StepError> {
            let sources = open(&[payload], &dictionary, &Trust::microsoft(NOW_UNIX))?;
            let mut image = self.image.clone();
            let store = Store::read(&mut image, Some(dictionary.clone()))?;
            let changes = everything(0, &sources[0]);
            install(&mut image, &store, &sources, &changes, &Options { time: NOW, deferred: DeferredPolicy::Omit })?;
            image.commit(NOW)?;
            Ok(image)
        };
        let before = self.image.tree.id();
        let result = attempt().ok();
        assert_eq!(self.image.tree.id(), before);
        result
    }
}

/// One bit of the cabinet: what nothing covers (dates, the outer signature) changes nothing, all else is refused.
#[test]
fn real_packages_with_a_flipped_bit() {
    for (file, count) in [(SATELLITE, 150), (OPENSSH, 12)] {
        let Some(real) = Real::new(file) else { return };
        let mut refused = 0;
        // The header and the tables of the cabinet, and anywhere.
        for (number, position) in (0..count / 4).chain(positions(count, real.whole.len())).enumerate() {
            let mut bytes = real.whole.clone();
            bytes[position] ^= 1 << (number % 8);
            match real.install(bytes) {
                Some(after) => assert_eq!(after.tree.id(), real.expected.tree.id(), "{file}: byte {position:#x} changed what is installed"),
                None => refused += 1,
            }
        }
        assert!(refused > count / 2, "{file}: {refused}");
    }
}

/// One bit of a member, in a cabinet that is in order: what the cabinet's own checksums cannot find.
#[test]
fn real_packages_with_a_flipped_bit_in_a_member() {
    for (file, count) in [(SATELLITE, 6), (OPENSSH, 1)] {
        let Some(real) = Real::new(file) else { return };
        let update = Update::open(Arc::new(real.whole.clone())).unwrap();
        let members = Mutex::new(Members::new());
        let made = update.packages[0].make(&|_| true, &|name, bytes| {
            members.lock().unwrap().push((name.to_owned(), bytes.to_vec()));
            Ok(())
        });
        made.unwrap();
        let members = members.into_inner().unwrap();
        assert_eq!(real.install(cabinet(&members)).unwrap().tree.id(), real.expected.tree.id());
        for number in 0..members.len() {
            for position in positions(count, members[number].1.len()) {
                let mut spoilt = members.clone();
                let (name, bytes) = &mut spoilt[number];
                bytes[position] ^= 1 << (position % 8);
                let name = name.clone();
                let Some(after) = real.install(cabinet(&spoilt)) else { continue };
                // `$filehashes$.dat` is not needed. A signature does not cover all of the catalog that it is in.
                let allowed = |line: &str| {
                    let of_catalog = [".cat", "CatalogThumbprint", r"CanonicalData\Catalogs", "~ /Windows/System32/config/"];
                    name.ends_with(".cat") && of_catalog.iter().any(|part| line.contains(part))
                };
                let difference = difference(&real.expected, &after);
                let other: Vec<&str> = difference.lines().filter(|line| !allowed(line)).collect();
                assert!(other.is_empty() && (name.ends_with(".cat") || name == "$filehashes$.dat"), "{name} {position:#x}: {other:#?}");
            }
        }
    }
}

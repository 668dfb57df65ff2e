//! Several packages in one image: shared parts, older and newer versions, satellites, features on and off.

use wimwright_practice::store::{ComponentSpec, elevated_by};
use wimwright_servicing::cbs::step::{DisableFeature, Packages};
use wimwright_servicing::step::{Certainty, Context, Step};

use wimwright_image::registry::HiveFile;

use super::generated::{self, apply, identity, plain_image, sealed, updates, whole};
use super::*;

const V1: Version = Version([10, 0, 26100, 1]);
const V2: Version = Version([10, 0, 26100, 2]);

/// What removal leaves, whatever was installed: a cache stays dropped, and directories and keys stay that only stand above what was
/// installed, since nobody says that they belong to it (what is in them would have a line of its own).
fn is_expected_after_removal(line: &str) -> bool {
    let caches = ["- /Windows/WinSxS/ManifestCache/", r"- HKLM\COMPONENTS\DerivedData\VersionedIndex\"];
    let empty_directory = line.starts_with("+ /") && line.contains(" (0 bytes, 0x10) ");
    let empty_key = line.starts_with("+ HKLM") && !line.contains('!');
    line.starts_with("~ /Windows/System32/config/") || caches.iter().any(|cache| line.starts_with(cache)) || empty_directory || empty_key
}

fn unexpected(difference: &str) -> Vec<&str> {
    difference.lines().filter(|line| !is_expected_after_removal(line)).collect()
}

/// The same files, links and registry; the bytes of hives may differ with the order of what was written to them.
#[track_caller]
fn assert_same(one: &Image, other: &Image) {
    let difference = difference(one, other);
    let real: Vec<&str> = difference.lines().filter(|line| !line.starts_with("~ /Windows/System32/config/")).collect();
    assert!(real.is_empty(), "{real:#?}");
}

fn cab(name: &str, version: Version, components: &[(&str, Version)]) -> Payload {
    generated::payload(&format!("{name}-{version}"), generated::cabinet(&sealed(whole(name, version, components))))
}

fn id(name: &str, version: Version) -> String {
    format!("{name}~31bf3856ad364e35~amd64~~{version}")
}

fn text(image: &Image, path: &str) -> Option<String> {
    image.tree.at(path).map(|_| String::from_utf8(image.read(path).unwrap().to_vec()).unwrap())
}

fn done(step: &Packages, image: &Image) -> Image {
    let (after, _) = apply(step, image).unwrap();
    check(&after, "amd64");
    after
}

fn removal(packages: &[String]) -> Packages {
    Packages { remove: packages.to_vec(), ..updates(Vec::new()) }
}

fn state(image: &Image, package: &str) -> Option<State> {
    let store = Store::read(&mut fresh(image), dictionary()).unwrap();
    store.packages().get(&package.parse().unwrap()).map(|record| record.state)
}

#[test]
fn a_shared_component_stays_until_its_last_package_goes() {
    let image = plain_image();
    let first = done(&updates(vec![cab("One", V1, &[("Shared", V1), ("Own", V1)])]), &image);
    let both = done(&updates(vec![cab("Two", V1, &[("Shared", V1)])]), &first);
    assert_same(&both, &done(&updates(vec![cab("Two", V1, &[("Shared", V1)]), cab("One", V1, &[("Shared", V1), ("Own", V1)])]), &image));

    let without_one = done(&removal(&[id("One", V1)]), &both);
    assert_eq!(text(&without_one, "/Windows/System32/Shared.exe").unwrap(), "Shared 10.0.26100.1");
    assert_eq!(text(&without_one, "/Windows/System32/Own.exe"), None);
    // Removing in any order gives what there was.
    let alone = done(&removal(&[id("Two", V1)]), &both);
    assert_same(&first, &alone);
    let neither = done(&removal(&[id("Two", V1)]), &without_one);
    assert_eq!(unexpected(&difference(&image, &neither)), [""; 0]);
    let at_once = done(&removal(&[id("One", V1), id("Two", V1)]), &both);
    assert_eq!(unexpected(&difference(&image, &at_once)), [""; 0]);
}

#[test]
fn the_newest_version_wins_whatever_came_first() {
    let image = plain_image();
    let (old, new) = (cab("Example", V1, &[("Part", V1), ("Gone", V1)]), cab("Example", V2, &[("Part", V2), ("Added", V2)]));
    let alone = done(&updates(vec![new.clone()]), &image);
    let upgraded = done(&updates(vec![new.clone()]), &done(&updates(vec![old.clone()]), &image));
    for after in [&alone, &upgraded] {
        assert_eq!(text(after, "/Windows/System32/Part.exe").unwrap(), "Part 10.0.26100.2");
        assert_eq!(text(after, "/Windows/System32/Added.exe").unwrap(), "Added 10.0.26100.2");
        let store = Store::read(&mut fresh(after), None).unwrap();
        assert_eq!(store.winner(&identity("Part", V1)).unwrap().unwrap().version, V2);
        assert_eq!(state(after, &id("Example", V2)), Some(State::INSTALLED));
    }
    assert_eq!(state(&upgraded, &id("Example", V1)), Some(State::SUPERSEDED));
    let store = Store::read(&mut fresh(&upgraded), None).unwrap();
    assert_eq!(store.winner(&identity("Part", V1)).unwrap().unwrap().installed, [V1, V2]);
    // A component that the new version does not have any more still has its winner: the old package's.
    assert_eq!(text(&upgraded, "/Windows/System32/Gone.exe").unwrap(), "Gone 10.0.26100.1");

    // The older one after the newer: superseded at once, and nothing in the image changes hands.
    let (late, report) = apply(&updates(vec![old.clone()]), &alone).unwrap();
    assert_eq!(report.details, [format!("{} is superseded by what the image has", id("Example", V1))]);
    assert_same(&alone, &late);
    // Both at once.
    let both = done(&updates(vec![new, old.clone()]), &image);
    assert_eq!(text(&both, "/Windows/System32/Part.exe").unwrap(), "Part 10.0.26100.2");

    // Cleanup leaves the older package, which has a winner that nothing else has; without that one, it leaves what the newer alone is.
    let clean = |image: &Image| done(&Packages { cleanup: true, ..updates(Vec::new()) }, image);
    assert_eq!(unexpected(&difference(&upgraded, &clean(&upgraded))), [""; 0]);
    let without = cab("Example", V1, &[("Part", V1)]);
    let replaced = done(&updates(vec![cab("Example", V2, &[("Part", V2), ("Added", V2)])]), &done(&updates(vec![without]), &image));
    assert_eq!(unexpected(&difference(&alone, &clean(&replaced))), [""; 0]);
    // Removal of the newer brings the older back; removal of both, the image.
    let back = done(&removal(&[id("Example", V2)]), &upgraded);
    assert_eq!(text(&back, "/Windows/System32/Part.exe").unwrap(), "Part 10.0.26100.1");
    assert_eq!(unexpected(&difference(&done(&updates(vec![old]), &image), &back)), [""; 0]);
    let none = done(&removal(&[id("Example", V1)]), &back);
    assert_eq!(unexpected(&difference(&image, &none)), [""; 0]);
}

/// A package whose component `name` leaves something to the first start of Windows.
fn deferring(name: &str, version: Version, component: &str) -> Payload {
    with_element(name, version, component, &format!("<mof name=\"$(runtime.wbem)\\{component}-{}.mof\"/>", version.0[3]))
}

/// A package whose component has this element besides.
fn with_element(name: &str, version: Version, component: &str, element: &str) -> Payload {
    let mut members = whole(name, version, &[(component, version)]);
    let manifest = format!("{}.manifest", identity(component, version).keyform());
    let (_, bytes) = members.iter_mut().find(|(name, _)| *name == manifest).unwrap();
    *bytes = String::from_utf8(bytes.clone()).unwrap().replace("<registryKeys>", &format!("{element}<registryKeys>")).into();
    generated::payload(&format!("{name}-{version}"), generated::cabinet(&sealed(members)))
}

#[test]
fn the_first_start_runs_what_is_installed_and_no_more() {
    const COMPLETE: &str = "/Windows/Setup/Scripts/SetupComplete.cmd";
    let commands = |image: &Image| -> Vec<String> {
        let script = text(image, "/Windows/Setup/Scripts/wimwright-first-boot.cmd").unwrap_or_default();
        let lines: Vec<&str> = script.lines().collect();
        assert_eq!(lines.iter().position(|line| line.starts_with("exit")), lines.len().checked_sub(1), "the end comes last: {script}");
        let commands = lines.into_iter().filter_map(|line| line.strip_prefix("mofcomp.exe \"%SystemDrive%\\Windows\\System32\\wbem\\"));
        commands.map(|command| command.split('"').next().unwrap().to_owned()).collect()
    };
    let mut image = plain_image();
    crate::windows::put(&mut image, COMPLETE, b"echo mine");
    let one = done(&updates(vec![deferring("One", V1, "First")]), &image);
    assert_eq!(commands(&one), ["First-1.mof"]);
    let call = "call \"%WINDIR%\\Setup\\Scripts\\wimwright-first-boot.cmd\"\r\n";
    assert_eq!(text(&one, COMPLETE).unwrap(), format!("echo mine\r\n{call}"));
    let both = done(&updates(vec![deferring("Two", V1, "Second")]), &one);
    assert_eq!(commands(&both), ["First-1.mof", "Second-1.mof"]);
    let newer = done(&updates(vec![deferring("One", V2, "First")]), &both);
    assert_eq!(commands(&newer), ["Second-1.mof", "First-2.mof"]);
    assert_eq!(commands(&done(&removal(&[id("One", V2)]), &newer)), ["Second-1.mof", "First-1.mof"]);
    let last = done(&removal(&[id("One", V1)]), &both);
    assert_eq!(commands(&last), ["Second-1.mof"]);
    let none = done(&removal(&[id("Two", V1)]), &last);
    assert_eq!(commands(&none), [""; 0]);
    assert_eq!(text(&none, COMPLETE).unwrap(), "echo mine\r\n");
    assert!(none.tree.at("/Windows/Setup/Scripts/wimwright-first-boot.cmd").is_none());
}

#[test]
fn what_nobody_would_do_is_an_error_unless_it_is_left_out_by_name() {
    let image = plain_image();
    let step = |update: Payload, deferred| Packages { deferred, ..updates(vec![update]) };
    let error = |step: Packages| {
        let error = apply(&step, &image).err().unwrap();
        format!("{error}; {}", error.hint())
    };
    let unknown = || with_element("One", V1, "First", "<unattendActions/>");
    let of = identity("First", V1).keyform();
    assert_eq!(
        error(step(unknown(), DeferredPolicy::Defer)),
        format!(
            "one part can be finished neither here nor by a tool of Windows: unattendActions of {of}; `servicing: {{ deferred: omit }}` leaves \
             these parts out, and the report says of each that it was not done; `engine: setup` has Windows Setup install the update"
        )
    );
    assert_eq!(
        error(step(deferring("One", V1, "First"), DeferredPolicy::Fail)),
        format!(
            "one part can only be finished by Windows at its first start: mof of {of}; `servicing: {{ deferred: defer }}` has Windows finish it \
             at its first start"
        )
    );
    let (_, report) = apply(&step(unknown(), DeferredPolicy::Omit), &image).unwrap();
    assert!(report.details[0].ends_with("; not done, since no tool of Windows does it: 1 unattendActions"), "{:?}", report.details);
    assert_eq!(report.packages[0].deferred[0].command, None);
    assert_eq!(report.packages[0].certainty, Certainty::Deferred);
}

#[test]
fn what_windows_did_for_the_same_words_of_an_older_version_is_done() {
    const NOT_DONE: &str = "/Windows/Logs/wimwright-not-done.log";
    let package = |version, element| with_element("One", version, "First", element);
    let step = |update: Payload, deferred| Packages { deferred, ..updates(vec![update]) };
    let omitted = done(&step(package(V1, "<imaging a=\"1\"/><unattendActions/>"), DeferredPolicy::Omit), &plain_image());
    let listed = text(&omitted, NOT_DONE).unwrap();
    let of = identity("First", V1).keyform();
    let starts = [format!("{of}: imaging : "), format!("{of}: unattendActions : ")];
    assert!(listed.lines().count() == 2 && listed.lines().zip(&starts).all(|(line, start)| line.starts_with(start)), "{listed}");
    // Nobody has done it yet, so that the newer version does not find it done.
    let same = || package(V2, "<imaging a=\"1\"/>");
    assert!(apply(&step(same(), DeferredPolicy::Defer), &omitted).is_err());
    let (newer, report) = apply(&step(same(), DeferredPolicy::Omit), &omitted).unwrap();
    assert_eq!(report.packages[0].deferred.len(), 1);
    assert!(text(&newer, NOT_DONE).unwrap().starts_with(&format!("{}: imaging : ", identity("First", V2).keyform())));
    // In an image whose older version Windows installed, it is done.
    let mut by_windows = omitted;
    let path = wimwright_image::ImagePath::parse(NOT_DONE).unwrap();
    by_windows.tree.remove(&path).unwrap();
    let (newer, report) = apply(&step(same(), DeferredPolicy::Fail), &by_windows).unwrap();
    assert_eq!((report.certainty, text(&newer, NOT_DONE)), (Certainty::Exact, None));
    // Other words, and what also depends on files, are not.
    for element in ["<imaging a=\"2\"/>", "<unattendActions/>"] {
        assert!(apply(&step(package(V2, element), DeferredPolicy::Defer), &by_windows).is_err(), "{element}");
    }
}

fn real_payload(file: &str) -> Option<Payload> {
    let bytes = std::fs::read(wimwright_testkit::test_data(&format!("msu_cab/{file}"))?).unwrap();
    Some(Payload { name: file.to_owned(), sha256: Sha256::digest(&bytes).into(), source: Arc::new(bytes) })
}

/// Real packages, signed by Microsoft, with the dictionary of their manifests.
fn real_step(files: &[&str]) -> Option<Packages> {
    let dictionary = std::fs::read(wimwright_testkit::test_data("manifests/msdelta/base_manifest.bin")?).unwrap();
    let dictionary = Payload { name: "base_manifest.bin".into(), sha256: Sha256::digest(&dictionary).into(), source: Arc::new(dictionary) };
    let updates = files.iter().map(|file| real_payload(file)).collect::<Option<_>>()?;
    // Internet Explorer has parts that no tool does.
    Some(Packages { updates, dictionary: Some(dictionary), deferred: DeferredPolicy::Omit, ..Packages::default() })
}

/// An image that the packages apply to.
fn image_for(files: &[&str], architecture: &str, version: [u16; 4]) -> Option<Image> {
    let sources = real_packages(files)?;
    let mut parents: Vec<PackageId> = sources.iter().flat_map(super::real::parents).collect();
    parents.sort();
    // Of several versions of a parent the highest serves all.
    parents.reverse();
    parents.dedup_by(|later, first| later.same_package(first));
    parents.retain(|parent| !sources.iter().any(|source| source.package(parent).is_some()));
    parents.reverse();
    let manifests: Vec<_> = sources.iter().flat_map(|source| source.packages().map(|(_, package)| package.manifest.clone())).collect();
    let mut components: Vec<_> = manifests.iter().flat_map(|manifest| elevated_by(manifest)).collect();
    components.sort_by_cached_key(|identity| identity.keyform());
    components.dedup_by_key(|identity| identity.keyform());
    // KB2780124 replaces one file in two components: that of clients, and that of servers. No image has both.
    components.retain(|identity| !identity.name.ends_with("-ClientSku"));
    let packages = parents.into_iter().map(PackageSpec::installed).collect();
    let components = components.into_iter().map(ComponentSpec::of_identity).collect();
    let spec = StoreSpec { architecture: architecture.into(), version: Version(version), packages, components, ..StoreSpec::default() };
    Some(consistency::open(wimwright_practice::store::write(&spec).unwrap()))
}

fn owners(image: &Image, package: &str) -> Vec<String> {
    let store = Store::read(&mut fresh(image), dictionary()).unwrap();
    store.packages()[&package.parse::<PackageId>().unwrap()].owners.keys().map(ToString::to_string).collect()
}

#[test]
fn real_openssh_client_and_server_share_their_parts() {
    const CLIENT: &str = "OpenSSH-19041/OpenSSH-Client-Package~31bf3856ad364e35~amd64~~.cab";
    const SERVER: &str = "OpenSSH-19041/OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab";
    const NEWER: &str = "OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab";
    let Some(image) = image_for(&[CLIENT, SERVER, NEWER], "amd64", [10, 0, 20348, 1]) else { return };
    let package = |name: &str, version: &str| format!("{name}~31bf3856ad364e35~amd64~~{version}");
    let old = |name: &str| package(name, "10.0.19041.1");
    let new = |name: &str| package(name, "10.0.20348.1");
    let step = |files: &[&str]| real_step(files).unwrap();
    let remove = |packages: &[String]| Packages { remove: packages.to_vec(), ..step(&[]) };
    let shared = ["Microsoft-OneCore-LibreSSL-Package", "Microsoft-OneCore-OpenSSH-Common-Package"];

    let client = done(&step(&[CLIENT]), &image);
    let both = done(&step(&[SERVER]), &client);
    assert_same(&both, &done(&step(&[SERVER, CLIENT]), &image));
    for name in shared {
        assert_eq!(owners(&both, &old(name)), [old("OpenSSH-Client-Package"), old("OpenSSH-Server-Package")], "{name}");
    }
    assert_eq!(owners(&both, &old("Microsoft-OneCore-OpenSSH-ServerOnly-Package")), [old("OpenSSH-Server-Package")]);

    // One goes: what both share stays. Both go: the image is what it was.
    let without_server = done(&remove(&[old("OpenSSH-Server-Package")]), &both);
    assert_eq!(unexpected(&difference(&client, &without_server)), [""; 0]);
    for name in shared {
        assert_eq!(owners(&without_server, &old(name)), [old("OpenSSH-Client-Package")], "{name}");
    }
    let neither = done(&remove(&[old("OpenSSH-Client-Package")]), &without_server);
    assert_eq!(unexpected(&difference(&image, &neither)), [""; 0]);
    let at_once = done(&remove(&[old("OpenSSH-Client-Package"), old("OpenSSH-Server-Package")]), &both);
    assert_same(&neither, &at_once);

    // A newer server over both.
    let upgraded = done(&step(&[NEWER]), &both);
    for (name, old_state) in shared.map(|name| (name, State::SUPERSEDED)).into_iter().chain([("OpenSSH-Server-Package", State::SUPERSEDED)])
    {
        assert_eq!(state(&upgraded, &old(name)), Some(old_state), "{name}");
        assert_eq!(state(&upgraded, &new(name)), Some(State::INSTALLED), "{name}");
    }
    assert_eq!(state(&upgraded, &old("OpenSSH-Client-Package")), Some(State::INSTALLED));
    let alone = done(&step(&[NEWER]), &image);
    let store = Store::read(&mut fresh(&upgraded), dictionary()).unwrap();
    for (path, entry) in alone.tree.walk() {
        if path.starts_with("/Windows/System32/OpenSSH/") && !entry.is_directory() {
            assert_eq!(*alone.contents(entry).unwrap(), *upgraded.read(&path).unwrap(), "{path}");
        }
    }
    for source in real_packages(&[NEWER]).unwrap() {
        for keyform in source.components() {
            let component = source.component(keyform).unwrap().component;
            assert_eq!(store.winner(&component.identity).unwrap().unwrap().version, Version([10, 0, 20348, 1]), "{keyform}");
        }
    }
    // And back.
    let back = done(&remove(&[new("OpenSSH-Server-Package")]), &upgraded);
    assert_eq!(unexpected(&difference(&both, &back)), [""; 0]);
}

#[test]
fn real_satellite_follows_its_package_in_any_order() {
    const NEUTRAL: &str = "microsoft-windows-internetexplorer-optional-package~31bf3856ad364e35~amd64~~.cab";
    const ENGLISH: &str = "Microsoft-Windows-InternetExplorer-Optional-Package~31bf3856ad364e35~amd64~en-US~.cab";
    const FEATURE: &str = "Internet-Explorer-Optional-amd64";
    let Some(image) = image_for(&[NEUTRAL, ENGLISH], "amd64", [10, 0, 19041, 1]) else { return };
    let step = |files: &[&str]| real_step(files).unwrap();
    let switched = |on: bool| {
        let feature = FEATURE.to_owned();
        match on {
            true => Packages { enable: vec![feature], ..step(&[]) },
            false => Packages { disable: vec![DisableFeature { name: feature, remove_payload: false }], ..step(&[]) },
        }
    };
    let one = done(&step(&[NEUTRAL, ENGLISH]), &image);
    assert_eq!(one.tree.id(), done(&step(&[ENGLISH, NEUTRAL]), &image).tree.id());
    let neutral = done(&step(&[NEUTRAL]), &image);
    assert_same(&one, &done(&step(&[ENGLISH]), &neutral));
    // Alone it does not apply.
    assert!(apply(&step(&[ENGLISH]), &image).is_err());

    // The feature, and with it what the satellite brings.
    let projected = |image: &Image, on: bool| {
        for path in ["/Program Files/Internet Explorer/iexplore.exe", "/Program Files/Internet Explorer/en-US/iexplore.exe.mui"] {
            assert_eq!(image.tree.at(path).is_some(), on, "{path}");
        }
    };
    let off = done(&switched(false), &done(&switched(true), &one));
    projected(&off, false);
    let on = done(&switched(true), &off);
    projected(&on, true);
    // Off and on again and off: nothing is left of it, and nothing is lost.
    assert_same(&on, &done(&switched(true), &done(&switched(false), &on)));
    assert_same(&off, &done(&switched(false), &on));
    // Its files leave the image, and come again with the packages only.
    let remove_payload = DisableFeature { name: FEATURE.into(), remove_payload: true };
    let bare = done(&Packages { disable: vec![remove_payload], ..step(&[]) }, &on);
    projected(&bare, false);
    assert!(bare.tree.walk().all(|(path, entry)| entry.is_directory() || !path.ends_with("iexplore.exe")));
    let refusal = apply(&switched(true), &bare).err().unwrap().to_string();
    assert!(refusal.contains(FEATURE), "{refusal}");
    let id = |package: &PackageId| package.name.starts_with("Microsoft-Windows-InternetExplorer");
    let roots = real_packages(&[ENGLISH, NEUTRAL]).unwrap().into_iter().map(|source| source.root).filter(id);
    let removed = done(&Packages { remove: roots.map(|root| root.to_string()).collect(), ..step(&[]) }, &bare);
    assert_eq!(unexpected(&difference(&image, &removed)), [""; 0]);
    assert_same(&on, &done(&Packages { offers: step(&[NEUTRAL, ENGLISH]).updates, ..switched(true) }, &bare));
    // The feature first, its satellite later.
    let late = done(&step(&[ENGLISH]), &done(&switched(true), &neutral));
    assert_same(&on, &late);
}

/// Packages of Windows 7 and 8.1 into stores that have what they replace, judged by the independent check.
#[test]
fn real_packages_of_older_windows() {
    for (file, architecture, version) in [
        ("KB2999226/Windows6.1-x64/Windows6.1-KB2999226-x64.cab", "amd64", [6, 1, 7601, 17514]),
        ("KB2999226/Windows8.1-x64/Windows8.1-KB2999226-x64.cab", "amd64", [6, 3, 9600, 16384]),
        ("Windows8.1-KB2937592-x86.msu", "x86", [6, 3, 9600, 16384]),
        ("Windows6.1-KB2465285-x64.msu", "amd64", [6, 1, 7601, 17514]),
        ("Windows6.1-KB2584475-x86.msu", "x86", [6, 1, 7601, 17514]),
        ("Windows6.1-KB2780124-x64.msu", "amd64", [6, 1, 7601, 17514]),
        ("Windows6.1-KB3040017-x86.msu", "x86", [6, 1, 7601, 17514]),
    ] {
        let (Some(image), Some(step)) = (image_for(&[file], architecture, version), real_step(&[file])) else { return };
        let before = check(&image, architecture);
        let (after, report) = step.apply(image.clone(), &Context { time: NOW }).unwrap_or_else(|error| panic!("{file}: {error}"));
        let counts = check(&after, architecture);
        // Parts that are for another service pack are staged: they wait for their parents.
        let added = report.packages.iter().filter(|package| package.before == State::ABSENT).count();
        assert!(report.packages.iter().all(|package| package.after.is_staged()), "{file}: {:#?}", report.details);
        assert!(counts.packages == before.packages + added && counts.files > before.files, "{file}: {before:?} {counts:?}");
        // What one installs can be removed again.
        let root = real_packages(&[file]).unwrap().remove(0).root.to_string();
        let (removed, _) = Packages { remove: vec![root], ..real_step(&[]).unwrap() }.apply(after, &Context { time: NOW }).unwrap();
        check(&removed, architecture);
        assert_eq!(unexpected(&difference(&image, &removed)), [""; 0], "{file}");
    }
}

/// A component that makes the same value, entry of a list, directory, key and file as others of this kind.
fn sharing(name: &str, component: &str, data: &str) -> Payload {
    let mut members = whole(name, V1, &[(component, V1)]);
    let manifest = format!("{}.manifest", identity(component, V1).keyform());
    let (_, bytes) = members.iter_mut().find(|(name, _)| *name == manifest).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let text = text.replacen(
        &format!("<file name=\"{component}.exe\""),
        &format!("<file name=\"{component}.exe\" destinationName=\"Shared.exe\""),
        1,
    );
    let more = format!(
        "<directories><directory destinationPath=\"$(runtime.programData)\\Shared\" owner=\"true\"/></directories><registryKeys>\
<registryKey keyName=\"HKEY_LOCAL_MACHINE\\SOFTWARE\\Shared\">\
<registryValue name=\"Same\" valueType=\"REG_SZ\" value=\"same\"/><registryValue name=\"Other\" valueType=\"REG_SZ\" value=\"{data}\"/>\
<registryValue name=\"List\" valueType=\"REG_MULTI_SZ\" value=\"&quot;both&quot;,&quot;{component}&quot;\" operationHint=\"append\"/></registryKey>\
<registryKey keyName=\"HKEY_LOCAL_MACHINE\\SOFTWARE\\Empty\"/>"
    );
    *bytes = text.replacen("<registryKeys>", &more, 1).into();
    generated::payload(name, generated::cabinet(&sealed(members)))
}

/// What a value below SOFTWARE holds.
fn software_value(image: &Image, key: &str, name: &str) -> Option<String> {
    let hive = fresh(image).hive(HiveFile::Software).unwrap().unwrap();
    let found = hive.open(key).unwrap()?;
    hive.value(found, name).unwrap().map(|_| data_of(&hive, key, name))
}

#[test]
fn what_another_winner_makes_stays_when_one_goes() {
    // Two winners of one place are nothing that the check of consistency knows.
    let step = |step: &Packages, image: &Image| apply(step, image).unwrap().0;
    let image = plain_image();
    let (first, second) = (sharing("First", "FirstPart", "first"), sharing("Second", "SecondPart", "second"));
    let alone = done(&updates(vec![first]), &image);
    // Each in a plan of its own: the other is outside of it.
    let both = step(&updates(vec![second.clone()]), &alone);
    let file = "/Windows/System32/Shared.exe";
    let shared = |image: &Image| ["Same", "Other", "List"].map(|name| software_value(image, "Shared", name));
    let list = |entries: &[&str]| Some(format!("{entries:?}"));
    assert_eq!(text(&both, file).unwrap(), "SecondPart 10.0.26100.1");
    let quoted = |text: &str| Some(format!("{text:?}"));
    assert_eq!(shared(&both), [quoted("same"), quoted("second"), list(&["both", "FirstPart", "SecondPart"])]);
    // The one that goes had the file and the value last: they become what the other makes.
    let without_second = done(&removal(&[id("Second", V1)]), &both);
    assert_eq!(shared(&without_second), [quoted("same"), quoted("first"), list(&["both", "FirstPart"])]);
    assert_eq!(text(&without_second, file).unwrap(), "FirstPart 10.0.26100.1");
    assert_eq!(unexpected(&difference(&alone, &without_second)), [""; 0]);
    // The one that goes had nothing last.
    let without_first = done(&removal(&[id("First", V1)]), &both);
    assert_eq!(shared(&without_first), [quoted("same"), quoted("second"), list(&["both", "SecondPart"])]);
    assert_eq!(unexpected(&difference(&done(&updates(vec![second]), &image), &without_first)), [""; 0]);
    // What nobody makes any more goes.
    for none in [
        done(&removal(&[id("First", V1), id("Second", V1)]), &both),
        done(&removal(&[id("First", V1)]), &without_second),
        done(&removal(&[id("Second", V1)]), &without_first),
    ] {
        assert_eq!(unexpected(&difference(&image, &none)), [""; 0]);
    }

    // A winner whose manifest nobody can read may make anything, one of which a word is not understood what it has words for.
    let path = format!("/Windows/WinSxS/Manifests/{}.manifest", identity("FirstPart", V1).keyform());
    let path = wimwright_image::ImagePath::parse(&path).unwrap();
    let own = |image: &Image| software_value(image, "Example", "SecondPart");
    let mut damaged = fresh(&both);
    damaged.tree.remove(&path).unwrap();
    let kept = step(&removal(&[id("Second", V1)]), &damaged);
    assert_eq!((shared(&kept), own(&kept), text(&kept, file)), (shared(&both), own(&both), text(&both, file)));
    let mut odd = fresh(&both);
    let manifest = String::from_utf8(odd.read(&path.to_string()).unwrap().to_vec()).unwrap();
    let blob = odd.blobs.add_bytes(manifest.replace("name=\"Same\"", "name=\"Same\" operationHint=\"append\"").into_bytes());
    odd.tree.update(&path, |inode| inode.contents = blob).unwrap();
    let kept = step(&removal(&[id("Second", V1)]), &odd);
    assert_eq!((shared(&kept)[..2].to_vec(), own(&kept), text(&kept, file)), (shared(&both)[..2].to_vec(), None, text(&both, file)));
    assert_eq!(shared(&kept)[2], list(&["both", "FirstPart"]));
}

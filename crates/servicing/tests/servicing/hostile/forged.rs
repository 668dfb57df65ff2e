//! Manifests, catalogs and names in the image that were cut, encoded otherwise, or written to be misunderstood.

use sha2::{Digest, Sha256};
use wimwright_format::manifest::PackageId;
use wimwright_format::regf::Data;
use wimwright_image::registry::{self, HiveFile};
use wimwright_servicing::cbs::store::{COMPONENTS, PACKAGES_FOLDER, SERVICING, manifest_path};

use super::*;
use crate::packages::generated::{Members, assembly, element, identity};
use crate::windows::{put, set, with_hive};

/// A text that is no XML that anybody should read: what it is, and its bytes.
fn spoilt(sound: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let text = String::from_utf8(sound.to_vec()).unwrap();
    let utf16 = |bytes: fn(u16) -> [u8; 2], mark: &[u8]| [mark, &text.encode_utf16().flat_map(bytes).collect::<Vec<_>>()].concat();
    let start = text.find("<assembly").unwrap();
    let root = &text[start..];
    let entities: String = (1..12).map(|n| format!("<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(10))).collect();
    let inner = |more: &str| text.replacen("</assembly>", &format!("{more}</assembly>"), 1).into_bytes();
    vec![
        ("empty", Vec::new()),
        ("cut in the middle", sound[..sound.len() / 2].to_vec()),
        ("cut by one", sound[..sound.len() - 1].to_vec()),
        ("UTF-16, little endian", utf16(u16::to_le_bytes, &[0xff, 0xfe])),
        ("UTF-16, big endian", utf16(u16::to_be_bytes, &[0xfe, 0xff])),
        ("UTF-16 without mark", utf16(u16::to_le_bytes, &[])),
        (
            "not UTF-8",
            text.replace("Practice", "\u{e9}\u{e9}").into_bytes().into_iter().map(|byte| if byte == 0xc3 { 0xe9 } else { byte }).collect(),
        ),
        ("zeros", vec![0; 4096]),
        ("a compressed manifest of garbage", [b"DCM\x01PA30".as_slice(), &[0xa5; 200]].concat()),
        ("a compressed manifest without contents", b"DCN\x01".to_vec()),
        ("10,000 elements within each other", inner(&format!("{}{}", "<a>".repeat(10_000), "</a>".repeat(10_000)))),
        (
            "entities of entities",
            format!("<!DOCTYPE assembly [<!ENTITY e0 \"x\">{entities}]>{}", root.replacen("</assembly>", "&e11;</assembly>", 1)).into(),
        ),
        ("an external entity", format!("<!DOCTYPE assembly SYSTEM \"file:///etc/passwd\">{root}").into()),
        ("an attribute twice", text.replacen("name=", "name=\"x\" name=", 1).into()),
        (
            "two identities",
            text.replacen("<assemblyIdentity", "<assemblyIdentity name=\"Other\" version=\"1.0.0.0\"/><assemblyIdentity", 1).into(),
        ),
        ("a version beyond all numbers", text.replacen("version=\"10.0.26100.1\"", "version=\"4294967296.0.0.0\"", 1).into()),
        ("a name of 100,000 letters", text.replacen("name=\"Practice", &format!("name=\"{}", "x".repeat(100_000)), 1).into()),
        (
            "300 attributes",
            text.replacen(
                "<assemblyIdentity",
                &format!("<assemblyIdentity {}", (0..300).map(|n| format!("a{n}=\"\" ")).collect::<String>()),
                1,
            )
            .into(),
        ),
    ]
}

fn mum(id: &str) -> String {
    format!("{PACKAGES_FOLDER}/{id}.mum")
}

#[test]
fn package_manifests() {
    let image = sound();
    let mut text = String::new();
    for id in [PACKAGE, OLD] {
        for (what, bytes) in spoilt(&image.read(&mum(id)).unwrap()) {
            let mut forged = fresh(&image);
            put(&mut forged, &mum(id), &bytes);
            let _ = writeln!(text, "## {id}: {what}\n{}", unlike_sound(&forged));
        }
    }
    insta::assert_snapshot!(text);
}

/// Gives a component another manifest, with its hash recorded.
fn replace_manifest(image: &mut Image, keyform: &str, bytes: &[u8]) {
    put(image, &manifest_path(keyform), bytes);
    with_hive(image, HiveFile::Components, |hive| {
        set(hive, &format!("{COMPONENTS}\\{keyform}"), "S256H", &Data::Binary(Sha256::digest(bytes).to_vec()));
    });
}

/// The keyform of the component with a file whose name has this in it.
fn keyform(image: &Image, part: &str) -> String {
    let store = Store::read(&mut fresh(image), None).unwrap();
    let names = registry::subkey_names(store.components_hive().unwrap(), COMPONENTS).unwrap();
    let has_files = |name: &String| !store.component(name).unwrap().unwrap().component.files.is_empty();
    names.into_iter().find(|name| name.contains(part) && has_files(name)).unwrap()
}

#[test]
fn component_manifests() {
    let image = sound();
    let mut text = String::new();
    for part in ["practice-old", "practice-off"] {
        let keyform = keyform(&image, part);
        for (what, bytes) in spoilt(&image.read(&manifest_path(&keyform)).unwrap()) {
            let mut forged = fresh(&image);
            replace_manifest(&mut forged, &keyform, &bytes);
            let _ = writeln!(text, "## {part}: {what}\n{}", unlike_sound(&forged));
        }
    }
    insta::assert_snapshot!(text);
}

/// What a manifest can ask for that leads out of the image, or is no name, key or value of Windows.
#[test]
fn component_manifests_that_reach_for_more() {
    let image = sound();
    let long = "x".repeat(32_000);
    let file = |name: &str, destination: &str| format!("<file name=\"{name}\" destinationPath=\"{destination}\"/>");
    let key = |key: &str, name: &str, kind: &str, value: &str| {
        format!(
            "<registryKeys><registryKey keyName=\"{key}\"><registryValue name=\"{name}\" valueType=\"{kind}\" value=\"{value}\"/></registryKey></registryKeys>"
        )
    };
    let software = r"HKEY_LOCAL_MACHINE\SOFTWARE\Example";
    let cases = [
        ("a destination above the root", file("a.dll", r"$(runtime.windows)\..\..\x")),
        ("a destination with ..", file("a.dll", r"..\..\x")),
        ("a payload above its folder", file(r"..\..\..\System32\config\SAM", r"$(runtime.system32)\")),
        ("another place of the payload", r#"<file name="a.dll" sourceName="..\..\x" sourcePath="..\..\" destinationPath="$(runtime.system32)\"/>"#.to_owned()),
        ("a NUL in a name", file("a&#0;.dll", r"$(runtime.system32)\")),
        ("a control character in a name", file("a&#9;b\u{7f}.dll", r"$(runtime.system32)\")),
        ("a stream", file("a.dll:stream", r"$(runtime.system32)\")),
        ("a device", file("CON", r"\\.\PhysicalDrive0\")),
        ("a share", file("a.dll", r"\\server\share\")),
        ("another drive", file("a.dll", r"D:\x\")),
        ("a long name", file(&long, r"$(runtime.system32)\")),
        ("a long path", file("a.dll", &format!(r"$(runtime.system32)\{}", r"a\".repeat(20_000)))),
        ("an unknown macro", file("a.dll", "$(runtime.nowhere)")),
        ("a macro that is never closed", file("a.dll", "$(runtime.system32")),
        ("macros of macros", file("a.dll", "$($($(runtime.system32)))")),
        ("a place that is the store", file("a.dll", r"$(runtime.windows)\WinSxS\Manifests\")),
        ("a place that is a file", file("a.dll", r"$(runtime.system32)\config\SOFTWARE\")),
        ("a place that is a hive", file("SOFTWARE", r"$(runtime.system32)\config\")),
        ("10,000 names of one file", format!("<file name=\"a.dll\" destinationPath=\"$(runtime.system32)\\\">{}</file>", (0..10_000).map(|n| format!("<link destination=\"$(runtime.system32)\\{n}.dll\"/>")).collect::<String>())),
        ("directories above the root", r#"<directories><directory destinationPath="$(runtime.system32)\..\..\..\x" owner="true"/></directories>"#.to_owned()),
        ("a key above the hives", key(r"HKEY_LOCAL_MACHINE\..\..\x", "a", "REG_SZ", "")),
        ("a key in no hive", key(r"HKEY_NOWHERE\x", "a", "REG_SZ", "")),
        ("a key of a long name", key(&format!("{software}\\{long}"), "a", "REG_SZ", "")),
        ("a key 5,000 deep", key(&format!("{software}{}", r"\a".repeat(5000)), "a", "REG_SZ", "")),
        ("a key in COMPONENTS", key(r"HKEY_LOCAL_MACHINE\COMPONENTS\DerivedData", "a", "REG_SZ", "")),
        ("a key of servicing", key(&format!(r"HKEY_LOCAL_MACHINE\SOFTWARE\{SERVICING}\Packages\x"), "CurrentState", "REG_DWORD", "0x70")),
        ("a value of a long name", key(software, &"x".repeat(20_000), "REG_SZ", "")),
        ("a value that is no number", key(software, "a", "REG_DWORD", "0x100000000")),
        ("a value that is no bytes", key(software, "a", "REG_BINARY", "0g1")),
        ("a value of an unknown type", key(software, "a", "REG_FULL_RESOURCE_DESCRIPTOR_X", "")),
        ("rights that are none", format!("<file name=\"a.dll\" destinationPath=\"$(runtime.system32)\\\"><securityDescriptor name=\"A\"/></file><trustInfo><security><accessControl><securityDescriptorDefinitions><securityDescriptorDefinition name=\"A\" sddl=\"D:{}\"/></securityDescriptorDefinitions></accessControl></security></trustInfo>", "(A;;GA;;;WD".repeat(3000))),
        ("rights that are not there", "<file name=\"a.dll\" destinationPath=\"$(runtime.system32)\\\"><securityDescriptor name=\"Nowhere\"/></file>".to_owned()),
        ("a service without a name", "<memberships><categoryMembership><id name=\"Microsoft.Windows.Categories.Services\" version=\"1.0.0.0\" publicKeyToken=\"365143bb27e7ac8b\" typeName=\"Service\"/><categoryInstance subcategory=\"\"><serviceData name=\"\" start=\"x\" type=\"y\" errorControl=\"z\"/></categoryInstance></categoryMembership></memberships>".to_owned()),
        ("a service above its key", "<memberships><categoryMembership><id name=\"Microsoft.Windows.Categories.Services\" version=\"1.0.0.0\" publicKeyToken=\"365143bb27e7ac8b\" typeName=\"Service\"/><categoryInstance subcategory=\"..\\..\\x\"><serviceData name=\"..\\..\\x\" start=\"auto\" type=\"win32OwnProcess\" errorControl=\"normal\" imagePath=\"x\"/></categoryInstance></categoryMembership></memberships>".to_owned()),
    ];
    let mut text = String::new();
    // One that goes with the superseded package, and one that comes with the feature.
    for part in ["practice-old", "practice-off"] {
        let keyform = keyform(&image, part);
        let sound = String::from_utf8(image.read(&manifest_path(&keyform)).unwrap().to_vec()).unwrap();
        for (what, inner) in &cases {
            let mut forged = fresh(&image);
            let manifest = sound.replacen("</assembly>", &format!("{inner}</assembly>"), 1);
            assert_ne!(manifest, sound);
            replace_manifest(&mut forged, &keyform, manifest.as_bytes());
            for payload in ["a.dll", "CON", "SOFTWARE"] {
                put(&mut forged, &format!("/Windows/WinSxS/{keyform}/{payload}"), b"MZ");
            }
            let _ = writeln!(text, "## {part}: {what}\n{}", unlike_sound(&forged));
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn catalogs() {
    let image = sound();
    let path = format!("{PACKAGES_FOLDER}/{OLD}.cat");
    let sound = image.read(&path).unwrap().to_vec();
    let mut text = String::new();
    let cases = [
        ("empty", Vec::new()),
        ("cut", sound[..sound.len() / 2].to_vec()),
        ("zeros", vec![0; 4096]),
        ("10,000 sequences within each other", [0x30, 0x80].repeat(10_000)),
        ("a length beyond all memory", vec![0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 6, 9]),
        ("another's", image.read(&format!("{PACKAGES_FOLDER}/{PACKAGE}.cat")).unwrap().to_vec()),
    ];
    for (what, bytes) in cases {
        let mut forged = fresh(&image);
        put(&mut forged, &path, &bytes);
        let _ = writeln!(text, "## {what}\n{}", unlike_sound(&forged));
    }
    for position in (0..sound.len()).step_by(sound.len() / 24) {
        let mut bytes = sound.clone();
        bytes[position] ^= 0x81;
        let mut forged = fresh(&image);
        put(&mut forged, &path, &bytes);
        survive(&forged);
    }
    insta::assert_snapshot!(text);
}

/// Registers an installed package with this manifest.
fn register(image: &mut Image, packages: &[(PackageId, Vec<u8>)]) {
    for (id, manifest) in packages {
        put(image, &mum(&id.to_string()), manifest);
    }
    with_hive(image, HiveFile::Software, |hive| {
        for (id, _) in packages {
            let key = format!("{SERVICING}\\Packages\\{id}");
            set(hive, &key, "CurrentState", &Data::Dword(0x70));
            set(hive, &format!("{key}\\Owners"), &id.to_string(), &Data::Dword(0x2_0070));
        }
    });
}

/// A package whose updates carry packages.
fn carrier(name: &str, carried: &[&str], more: &str) -> (PackageId, Vec<u8>) {
    let own = wimwright_format::manifest::Identity { version_scope: None, ..identity(name, VERSION) };
    let update = |(number, name): (usize, &&str)| {
        let inner = wimwright_format::manifest::Identity { version_scope: None, ..identity(name, VERSION) };
        format!("<update name=\"u{number}\"><package integrate=\"hidden\">{}</package></update>", element(&inner))
    };
    let updates: String = carried.iter().enumerate().map(update).collect();
    let manifest = assembly(&own, &format!("<package identifier=\"{name}\" releaseType=\"Update\">{more}{updates}</package>"));
    (PackageId::from(&own), manifest)
}

#[test]
fn packages_within_packages() {
    let image = sound();
    let level = |number: usize| format!("Level{number}");
    let mut text = String::new();
    let mut say = |what: &str, packages: &[(PackageId, Vec<u8>)]| {
        let mut forged = fresh(&image);
        register(&mut forged, packages);
        let _ = writeln!(text, "## {what}\n{}", unlike_sound(&forged));
    };
    say("one in itself", &[carrier("One", &["One"], "")]);
    say("two in each other", &[carrier("One", &["Two"], ""), carrier("Two", &["One"], "")]);
    let chain: Vec<_> = (0..100).map(|number| carrier(&level(number), &[&level(number + 1)], "")).collect();
    say("a hundred within each other", &chain);
    // As many ways to the innermost as there are grains of sand.
    let doubled = |number: usize| carrier(&level(number), &[&level(number + 1), &level(number + 1)], "");
    let diamond: Vec<_> = (0..60).map(doubled).chain([carrier(&level(60), &[], "")]).collect();
    say("sixty, each twice in the one around it", &diamond);
    let many: Vec<String> = (0..2000).map(level).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    say("one that carries 2,000 that are nowhere", &[carrier("One", &many, "")]);
    say("parents within parents", &[carrier("One", &[], &format!("{}{}", "<parent>".repeat(200), "</parent>".repeat(200)))]);
    insta::assert_snapshot!(text);
}

/// The same in a delivery that does not apply: why not is asked of each package once, not on each of the 2^60 ways to it.
#[test]
fn a_delivery_with_sixty_packages_each_twice_in_the_one_around_it() {
    let level = |number: usize| format!("Level{number}");
    let nowhere = element(&wimwright_format::manifest::Identity { version_scope: None, ..identity("Nowhere", VERSION) });
    let parent = format!("<parent disposition=\"staged\">{nowhere}</parent>");
    let mut members = Members::new();
    for number in 0..=60 {
        let carried = [level(number + 1), level(number + 1)];
        let carried: Vec<&str> = carried.iter().map(String::as_str).filter(|_| number < 60).collect();
        let name = if number == 0 { "update.mum".to_owned() } else { format!("{}.mum", level(number)) };
        members.push((name, carrier(&level(number), &carried, if number == 0 { &parent } else { "" }).1));
    }
    let mut members = sealed(members);
    let (_, catalog) = members.last().unwrap().clone();
    members.extend((1..=60).map(|number| (format!("{}.cat", level(number)), catalog.clone())));
    let step = updates(vec![payload("example", cabinet(&members))]);
    let error = step.apply(sound(), &Context { time: NOW }).err().expect("its parent is not there");
    assert!(error.to_string().contains("does not apply to this image"), "{error}");
}

//! Hives that are in order as hives, and say what no Windows ever said.

use wimwright_format::manifest::store_name::{Reference, ReferenceKind};
use wimwright_format::regf::{Data, Hive};
use wimwright_image::registry::{self, HiveFile};
use wimwright_servicing::cbs::store::{CATALOGS, COMPONENTS, DEPLOYMENTS, SERVICING, WINNERS};

use super::*;
use crate::windows::{path_of, put, set, with_hive};

/// Names that lead elsewhere, are none, or are more than a name.
const NAMES: [&str; 8] = ["..", "../../etc/passwd", "a/b", ".", " ", "nul\0l", "\u{130}\u{fffd}\u{1f600}", "~~~~"];

fn names(hive: &Hive, key: &str) -> Vec<String> {
    registry::subkey_names(hive, key).unwrap()
}

fn component(hive: &Hive, part: &str) -> String {
    let found = names(hive, COMPONENTS).into_iter().find(|name| name.contains(part)).unwrap();
    format!("{COMPONENTS}\\{found}")
}

fn binary(text: &str) -> Data {
    Data::Binary(text.as_bytes().to_vec())
}

fn package(id: &str) -> String {
    format!("{SERVICING}\\Packages\\{id}")
}

type Absurdity = fn(&mut Hive);

const COMPONENTS_CASES: &[(&str, Absurdity)] = &[
    ("values of other types", |hive| {
        for key in names(hive, COMPONENTS) {
            let key = format!("{COMPONENTS}\\{key}");
            set(hive, &key, "identity", &Data::Dword(7));
            set(hive, &key, "S256H", &Data::Texts(vec!["a".into(), String::new()]));
            set(hive, &key, "CF", &Data::Binary(Vec::new()));
        }
        for key in names(hive, DEPLOYMENTS) {
            let key = format!("{DEPLOYMENTS}\\{key}");
            set(hive, &key, "appid", &Data::Text("text".into()));
            set(hive, &key, "CatalogThumbprint", &Data::Dword(1));
        }
    }),
    ("hashes of absurd lengths", |hive| {
        for (number, key) in names(hive, COMPONENTS).into_iter().enumerate() {
            set(hive, &format!("{COMPONENTS}\\{key}"), "S256H", &Data::Binary(vec![1; number * 20_000]));
        }
    }),
    ("identities that are none", |hive| {
        let identities = [
            "",
            ",",
            "=",
            "Version=",
            "a, Version=4294967296.0.0.0",
            "a, Version=1.0.0.0, Version=2.0.0.0",
            "\u{1f600}, Culture=\0",
            "../.., Culture=../.., Version=1.0.0.0, PublicKeyToken=../..,ProcessorArchitecture=..",
        ];
        for (number, key) in names(hive, COMPONENTS).into_iter().enumerate() {
            set(hive, &format!("{COMPONENTS}\\{key}"), "identity", &binary(identities[number % identities.len()]));
        }
        for (number, key) in names(hive, DEPLOYMENTS).into_iter().enumerate() {
            set(hive, &format!("{DEPLOYMENTS}\\{key}"), "appid", &binary(identities[number % identities.len()]));
        }
        set(hive, &component(hive, "practice-old"), "identity", &Data::Binary(vec![0xff; 70_000]));
    }),
    ("one identity for all", |hive| {
        let one = b"Practice-Old, Culture=neutral, Version=10.0.26100.1, PublicKeyToken=31bf3856ad364e35, ProcessorArchitecture=amd64, versionScope=NonSxS";
        for key in names(hive, COMPONENTS) {
            set(hive, &format!("{COMPONENTS}\\{key}"), "identity", &Data::Binary(one.to_vec()));
        }
    }),
    ("keys that are no components, deployments, catalogs", |hive| {
        for name in NAMES.iter().map(ToString::to_string).chain(["x".repeat(255)]) {
            for parent in [COMPONENTS, DEPLOYMENTS, CATALOGS] {
                let key = format!("{parent}\\{name}");
                set(hive, &key, &format!("c!{name}"), &Data::Binary(Vec::new()));
                set(hive, &key, "appid", &binary("x"));
                set(hive, &key, "i!CBS_", &Data::Binary(vec![0; 8]));
                set(hive, &key, "CatalogThumbprint", &Data::Text(name.clone()));
            }
        }
    }),
    ("files that are nowhere, and outside", |hive| {
        let key = component(hive, "practice-old");
        for name in NAMES.iter().map(ToString::to_string).chain(["x".repeat(16_000), r"..\..\..\Windows\System32\ntdll.dll".into()]) {
            set(hive, &key, &format!("f!{name}"), &Data::Dword(u32::MAX));
        }
        set(hive, &key, "f!", &Data::Text("text".into()));
        set(hive, &key, "c!", &Data::Text("text".into()));
    }),
    ("references that are none", |hive| {
        for key in names(hive, DEPLOYMENTS) {
            let key = format!("{DEPLOYMENTS}\\{key}");
            for (number, text) in ["", "....", "~.~.~", "a~b~c~d~1.2.3.4", "a~b~c~d~1.2.3.4.", "\u{1f600}~~~~1.0.0.0.x"].iter().enumerate()
            {
                let data = [&(number as u64).to_le_bytes()[..], text.as_bytes()].concat();
                set(hive, &key, &format!("i!CBS_{text}"), &Data::Binary(data));
            }
            set(hive, &key, "i!", &Data::Binary(vec![0xff; 9]));
            set(hive, &key, "s!CBS_\u{130}", &Data::Binary(vec![1, 0]));
            set(hive, &key, "\u{130}!", &Data::Binary(vec![8; 40]));
        }
    }),
    ("every deployment has every component, and every catalog every deployment", |hive| {
        let deployments = names(hive, DEPLOYMENTS);
        for parent in [COMPONENTS, CATALOGS] {
            for key in names(hive, parent) {
                for deployment in &deployments {
                    set(hive, &format!("{parent}\\{key}"), &format!("c!{deployment}"), &Data::Binary(Vec::new()));
                }
            }
        }
    }),
    ("everything is referred to by everybody", |hive| {
        for key in names(hive, DEPLOYMENTS) {
            for id in [PACKAGE, OLD, "Practice-Old~31bf3856ad364e35~amd64~~10.0.26100.2"] {
                let reference = Reference::new(&id.parse().unwrap(), "Practice-On");
                let name = reference.value_name(ReferenceKind::Installed);
                set(hive, &format!("{DEPLOYMENTS}\\{key}"), &name, &Data::Binary(reference.data()));
            }
        }
    }),
    ("everything below has the name of what is above", |hive| {
        set(hive, &format!("{COMPONENTS}\\{COMPONENTS}\\{COMPONENTS}"), "c!", &Data::Binary(Vec::new()));
        set(hive, &format!("{DEPLOYMENTS}\\{DEPLOYMENTS}"), "i!", &Data::Binary(Vec::new()));
    }),
    ("nothing at all", |hive| {
        for key in ["CanonicalData", "DerivedData"] {
            let key = hive.open(key).unwrap().unwrap();
            hive.delete_key(key, 1).unwrap();
        }
    }),
];

const SOFTWARE_CASES: &[(&str, Absurdity)] = &[
    ("states that are none", |hive| {
        let states = [Data::Dword(u32::MAX), Data::Text("112".into()), Data::Binary(vec![0x70]), Data::Dword(0x71), Data::Qword(0x70)];
        for (number, id) in names(hive, &format!("{SERVICING}\\Packages")).into_iter().enumerate() {
            set(hive, &package(&id), "CurrentState", &states[number % states.len()]);
            set(hive, &package(&id), "Visibility", &Data::Dword(u32::MAX));
            set(hive, &package(&id), "InstallTimeHigh", &Data::Dword(u32::MAX));
            set(hive, &package(&id), "InstallTimeLow", &Data::Text("now".into()));
        }
    }),
    ("packages that are none", |hive| {
        let versions = ["4294967296.0.0.0", "1.0.0", "1.0.0.0.0", "-1.0.0.0", "65536.1.1.1", "\u{661}.0.0.0", ""];
        let other = NAMES.iter().map(ToString::to_string).chain(versions.map(|version| format!("a~b~amd64~~{version}")));
        for name in other.chain(["..~..~../..~..~1.0.0.0".into(), "~~~~1.0.0.0".into(), "\u{130}~\u{130}~\u{130}~\u{130}~1.0.0.0".into()]) {
            set(hive, &package(&name), "CurrentState", &Data::Dword(0x70));
            set(hive, &format!("{}\\Owners", package(&name)), &name, &Data::Dword(0x2_0070));
            set(hive, &format!("{}\\Updates", package(&name)), "", &Data::Dword(0x70));
            for index in ["PackageIndex", "PackageDetect", "UpdateDetect", "ComponentDetect", "CapabilityIndex"] {
                set(hive, &format!("{SERVICING}\\{index}\\{name}"), &name, &Data::Text(name.clone()));
                set(hive, &format!("{SERVICING}\\{index}\\{name}\\{name}"), "", &Data::Text(String::new()));
            }
        }
    }),
    ("owners in a circle", |hive| {
        let newer = "Practice-Old~31bf3856ad364e35~amd64~~10.0.26100.2";
        for (one, other) in [(PACKAGE, OLD), (OLD, newer), (newer, PACKAGE)] {
            let key = hive.open(&format!("{}\\Owners", package(one))).unwrap().unwrap();
            hive.delete_value(key, one, 1).unwrap();
            set(hive, &format!("{}\\Owners", package(one)), other, &Data::Dword(0x2_0070));
        }
    }),
    ("owners of other types", |hive| {
        for id in names(hive, &format!("{SERVICING}\\Packages")) {
            let key = format!("{}\\Owners", package(&id));
            set(hive, &key, &id, &Data::Text("x".into()));
            set(hive, &key, "", &Data::Dword(u32::MAX));
            set(hive, &key, "..\\..", &Data::Dword(0));
        }
    }),
    ("features of absurd names and states", |hive| {
        for id in names(hive, &format!("{SERVICING}\\Packages")) {
            let key = format!("{}\\Updates", package(&id));
            for name in NAMES.iter().map(ToString::to_string).chain([String::new(), "F".repeat(16_383), "Practice-Off".into()]) {
                set(hive, &key, &name, &Data::Dword(0x70));
            }
            set(hive, &key, "PRACTICE-ON", &Data::Text("on".into()));
        }
    }),
    ("every package has the same feature, in all states", |hive| {
        for (number, id) in names(hive, &format!("{SERVICING}\\Packages")).into_iter().enumerate() {
            set(hive, &format!("{}\\Updates", package(&id)), "Practice-On", &Data::Dword(number as u32 * 0x10));
        }
    }),
    ("winners of absurd versions", |hive| {
        let numbers = ["4294967296.0.0.0", "65536.0.0.0", "..", "", "10.0.26100.1", "10.0.26100.1 "];
        for family in names(hive, WINNERS) {
            for bucket in ["10.0", "4294967296.0", "..", "x", "6.1"] {
                let key = format!("{WINNERS}\\{family}\\{bucket}");
                set(hive, &key, "", &Data::Binary(vec![1]));
                numbers.iter().for_each(|number| set(hive, &key, &format!(" {number}"), &Data::Dword(1)));
                set(hive, &key, "65535.65535.65535.65535", &Data::Dword(1));
                numbers.iter().for_each(|number| set(hive, &key, number, &Data::Text((*number).into())));
            }
            set(hive, &format!("{WINNERS}\\{family}"), "", &Data::Dword(10));
        }
    }),
    ("families that are none", |hive| {
        for name in NAMES.iter().map(ToString::to_string).chain(["_".into(), "__".into(), "_".repeat(250), "amd64__..._.._../..".into()]) {
            set(hive, &format!("{WINNERS}\\{name}\\10.0"), "10.0.1.1", &Data::Binary(vec![1]));
        }
    }),
    ("a revision and a version that are none", |hive| {
        let key = r"Microsoft\Windows NT\CurrentVersion";
        set(hive, key, "UBR", &Data::Text("4294967296".into()));
        set(hive, key, "CurrentBuildNumber", &Data::Dword(1));
        set(hive, key, "EditionID", &Data::Binary(vec![0xd8; 3]));
    }),
    ("no servicing", |hive| {
        let key = hive.open(SERVICING).unwrap().unwrap();
        hive.delete_key(key, 1).unwrap();
    }),
    ("marks of other types", |hive| {
        set(hive, SERVICING, "Unserviceable", &Data::Text(String::new()));
        set(hive, &format!("{SERVICING}\\SessionsPending"), "Exclusive", &Data::Text("0".into()));
        set(hive, &format!("{SERVICING}\\PackagesPending"), "", &Data::Text("x".into()));
    }),
];

const SYSTEM_CASES: &[(&str, Absurdity)] = &[
    ("a control set that is not there", |hive| {
        for name in ["Current", "Default", "Failed", "LastKnownGood"] {
            set(hive, "Select", name, &Data::Dword(u32::MAX));
        }
    }),
    ("a control set of another type", |hive| set(hive, "Select", "Default", &Data::Text("1".into()))),
    ("no control sets", |hive| {
        for name in names(hive, "") {
            let key = hive.open(&name).unwrap().unwrap();
            hive.delete_key(key, 1).unwrap();
        }
    }),
];

/// What each says is in the snapshot: read it when it changes.
#[test]
fn sound_hives_with_absurd_contents() {
    let image = sound();
    let mut text = String::new();
    let hives = [(HiveFile::Components, COMPONENTS_CASES), (HiveFile::Software, SOFTWARE_CASES), (HiveFile::System, SYSTEM_CASES)];
    for (file, cases) in hives {
        for (what, change) in cases {
            let mut absurd = fresh(&image);
            with_hive(&mut absurd, file, change);
            let _ = writeln!(text, "## {file:?}: {what}\n{}", unlike_sound(&absurd));
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn hives_that_are_not_there_or_are_directories() {
    let image = sound();
    let mut text = String::new();
    for file in [HiveFile::Components, HiveFile::Software, HiveFile::System] {
        let mut without = fresh(&image);
        without.tree.remove(&path_of(file.path())).unwrap();
        let _ = writeln!(text, "## no {file:?}\n{}", unlike_sound(&without));
        put(&mut without, &format!("{}/file", file.path()), b"x");
        let _ = writeln!(text, "## {file:?} is a directory\n{}", unlike_sound(&without));
    }
    insta::assert_snapshot!(text);
}

/// The dictionary of manifests is in a program of the image: garbage, cut short, a directory.
#[test]
fn dictionaries_that_are_garbage() {
    let image = sound();
    let program =
        "/Windows/WinSxS/amd64_microsoft-windows-servicingstack_31bf3856ad364e35_65535.4294967296.0.0_none_0123456789abcdef/wcp.dll";
    let mut text = String::new();
    for (what, bytes) in [("empty", Vec::new()), ("garbage", vec![0xa5; 5000]), ("a program cut short", b"MZ".repeat(40))] {
        let mut absurd = fresh(&image);
        put(&mut absurd, program, &bytes);
        let _ = writeln!(text, "## {what}\n{}", unlike_sound(&absurd));
    }
    let mut absurd = fresh(&image);
    put(&mut absurd, &format!("{program}/file"), b"x");
    let _ = writeln!(text, "## a directory\n{}", unlike_sound(&absurd));
    insta::assert_snapshot!(text);
}

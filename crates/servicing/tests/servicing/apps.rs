//! The steps `apps.add` and `apps.remove`.

use std::io::{Cursor, Write};

use sha2::{Digest, Sha256};
use wimwright_format::regf::Data;
use wimwright_image::registry::HiveFile;
use wimwright_image::{Image, RegistryDiff, TreeDiff};
use wimwright_servicing::apps::{AddApps, App, RemoveApps};
use wimwright_servicing::step::{Payload, Step};
use wimwright_testkit::test_data;

use crate::windows::{apply, difference, effect, fresh, ignores_time, payload, put, refusal, refused, set, windows, with_hive};

const CONTOSO: &str = "CN=Contoso";
const STORE: &str = r"Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore";

/// Base 64 (RFC 4648, section 4) of a SHA-256.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, index| bits << 8 | usize::from(group.get(index).copied().unwrap_or_default()));
        let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[bits >> shift & 63]));
        text.extend(&digits[..=group.len()]);
        text.extend(std::iter::repeat_n('=', 3 - group.len()));
    }
    text
}

fn zip_of(parts: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, contents) in parts {
        zip.start_file(*name, options).unwrap();
        zip.write_all(contents).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A package file: the identity's attributes, dependencies (name and least version), and one program.
fn package(name: &str, version: &str, architecture: &str, dependencies: &[(&str, &str)]) -> Vec<u8> {
    let dependencies: String = dependencies
        .iter()
        .map(|(name, version)| format!("<PackageDependency Name=\"{name}\" MinVersion=\"{version}\" Publisher=\"{CONTOSO}\"/>"))
        .collect();
    let manifest = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Package xmlns=\"http://schemas.microsoft.com/appx/manifest/foundation/windows10\">\
<Identity Name=\"{name}\" Publisher=\"{CONTOSO}\" Version=\"{version}\" ProcessorArchitecture=\"{architecture}\"/>\
<Properties><DisplayName>{name}</DisplayName><PublisherDisplayName>Contoso</PublisherDisplayName><Logo>logo.png</Logo></Properties>\
<Resources><Resource Language=\"en-us\"/></Resources>\
<Dependencies><TargetDeviceFamily Name=\"Windows.Desktop\" MinVersion=\"10.0.19041.0\" MaxVersionTested=\"10.0.26100.0\"/>{dependencies}</Dependencies></Package>"
    );
    let parts = [("AppxManifest.xml", manifest.into_bytes()), ("app/main.exe", b"MZ app".to_vec())];
    let files: String = parts
        .iter()
        .map(|(path, contents)| {
            let (path, size, header, hash) = (path.replace('/', "\\"), contents.len(), 30 + path.len(), base64(&Sha256::digest(contents)));
            format!("<File Name=\"{path}\" Size=\"{size}\" LfhSize=\"{header}\"><Block Hash=\"{hash}\"/></File>")
        })
        .collect();
    let map = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><BlockMap xmlns=\"http://schemas.microsoft.com/appx/2010/blockmap\" \
HashMethod=\"http://www.w3.org/2001/04/xmlenc#sha256\">{files}</BlockMap>"
    );
    let types = "<?xml version=\"1.0\"?><Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>";
    let mut all = parts.to_vec();
    all.push(("AppxBlockMap.xml", map.into_bytes()));
    all.push(("[Content_Types].xml", types.into()));
    zip_of(&all)
}

fn app(package: &[u8], dependencies: &[&[u8]]) -> App {
    App {
        package: payload("app.msix", package),
        dependencies: dependencies.iter().map(|bytes| payload("framework.appx", bytes)).collect(),
        license: None,
    }
}

fn add(package: &[u8], dependencies: &[&[u8]]) -> AddApps {
    AddApps::new(vec![app(package, dependencies)]).unwrap()
}

fn remove(pattern: &str) -> RemoveApps {
    RemoveApps { patterns: vec![pattern.into()], ignore_missing: false }
}

#[test]
fn adding_an_app_with_its_framework() {
    let framework = package("Contoso.Framework", "2.1.0.0", "x64", &[]);
    let step = add(&package("Contoso.Editor", "1.2.3.4", "x64", &[("Contoso.Framework", "2.0.0.0")]), &[&framework]);
    insta::assert_snapshot!(effect(&step, &windows()), @r"
    + /Program Files (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Program Files/WindowsApps (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Program Files/WindowsApps/Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Program Files/WindowsApps/Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt/app (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Program Files/WindowsApps/Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt/app/main.exe (6 bytes, attributes 0x20, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)
    + /Program Files/WindowsApps/Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt/AppxBlockMap.xml (404 bytes, attributes 0x20, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)
    + /Program Files/WindowsApps/Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt/AppxManifest.xml (641 bytes, attributes 0x20, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)
    + /Program Files/WindowsApps/Contoso.Framework_2.1.0.0_x64__h91ms92gdsmmt (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Program Files/WindowsApps/Contoso.Framework_2.1.0.0_x64__h91ms92gdsmmt/app (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Program Files/WindowsApps/Contoso.Framework_2.1.0.0_x64__h91ms92gdsmmt/app/main.exe (6 bytes, attributes 0x20, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)
    + /Program Files/WindowsApps/Contoso.Framework_2.1.0.0_x64__h91ms92gdsmmt/AppxBlockMap.xml (404 bytes, attributes 0x20, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)
    + /Program Files/WindowsApps/Contoso.Framework_2.1.0.0_x64__h91ms92gdsmmt/AppxManifest.xml (558 bytes, attributes 0x20, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)
    ~ /Windows/System32/config/SOFTWARE
        contents
        written: 1 -> 2
    + HKLM\SOFTWARE\Microsoft\Windows
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Applications
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Applications\Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Applications\Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt!Path
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Applications\Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt\Contoso.Framework_2.1.0.0_x64__h91ms92gdsmmt
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Applications\Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt\Contoso.Framework_2.1.0.0_x64__h91ms92gdsmmt!Path
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Staged
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Staged\Contoso.Editor_h91ms92gdsmmt
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Staged\Contoso.Editor_h91ms92gdsmmt\Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Staged\Contoso.Editor_h91ms92gdsmmt\Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt!Path
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Staged\Contoso.Framework_h91ms92gdsmmt
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Staged\Contoso.Framework_h91ms92gdsmmt\Contoso.Framework_2.1.0.0_x64__h91ms92gdsmmt
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Staged\Contoso.Framework_h91ms92gdsmmt\Contoso.Framework_2.1.0.0_x64__h91ms92gdsmmt!Path
    report (Deferred):
      provisioned Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt: 6 files in 2 folders
      Windows checks signature and licence, and registers the app, at each user's first sign-in
    ");
    assert!(step.writes_time());
    assert!(!ignores_time(&step, &windows()));
}

#[test]
fn removing_an_app_leaves_only_the_mark_that_it_must_not_come_back() {
    let image = apply(&add(&package("Contoso.Editor", "1.2.3.4", "x64", &[]), &[]), &windows());
    insta::assert_snapshot!(effect(&remove("contoso.edit*"), &image), @r"
    - /Program Files/WindowsApps/Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt
    - /Program Files/WindowsApps/Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt/app
    - /Program Files/WindowsApps/Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt/app/main.exe
    - /Program Files/WindowsApps/Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt/AppxBlockMap.xml
    - /Program Files/WindowsApps/Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt/AppxManifest.xml
    ~ /Windows/System32/config/SOFTWARE
        contents
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Deprovisioned
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Deprovisioned\Contoso.Editor_h91ms92gdsmmt
    - HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Applications\Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt
    - HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Applications\Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt!Path
    - HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Staged\Contoso.Editor_h91ms92gdsmmt
    - HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Staged\Contoso.Editor_h91ms92gdsmmt\Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt
    - HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Staged\Contoso.Editor_h91ms92gdsmmt\Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt!Path
    report (Exact):
      deleted /Program Files/WindowsApps/Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt
      Contoso.Editor_h91ms92gdsmmt is not provisioned any more and will not come back with an upgrade
    ");
}

#[test]
fn adding_takes_the_mark_of_an_earlier_removal_away() {
    let editor = package("Contoso.Editor", "1.2.3.4", "x64", &[]);
    let once = apply(&add(&editor, &[]), &windows());
    let again = apply(&add(&editor, &[]), &apply(&remove("*"), &once));
    assert!(TreeDiff::between(&once.tree, &again.tree).changed.iter().all(|changed| changed.path.ends_with("config/SOFTWARE")));
    assert_eq!(RegistryDiff::between(&mut fresh(&once), &mut fresh(&again)).unwrap().removed, [""; 0]);
    assert!(again.clone().hive(HiveFile::Software).unwrap().unwrap().open(&format!(r"{STORE}\Deprovisioned")).unwrap().is_some());
}

#[test]
fn a_framework_of_the_image_is_enough_when_it_is_new_enough() {
    let framework = package("Contoso.Framework", "2.1.0.0", "x64", &[]);
    let image = apply(&add(&package("Contoso.One", "1.0.0.0", "x64", &[("Contoso.Framework", "2.0.0.0")]), &[&framework]), &windows());
    let second = |least| package("Contoso.Two", "1.0.0.0", "neutral", &[("Contoso.Framework", least)]);
    assert!(apply(&add(&second("2.1.0.0"), &[]), &image).tree.at("/Program Files/WindowsApps").is_some());
    let messages = [refused(&add(&second("2.2.0.0"), &[]), &image), refused(&add(&second("1.0.0.0"), &[]), &windows())];
    insta::assert_snapshot!(messages.join("\n"), @r"
    `app.msix` needs the framework Contoso.Framework 2.2.0.0 or newer, which neither comes with it nor is in the image
    hint: name the framework's package under `dependencies`
    `app.msix` needs the framework Contoso.Framework 1.0.0.0 or newer, which neither comes with it nor is in the image
    hint: name the framework's package under `dependencies`
    ");
}

#[test]
fn what_does_not_fit_the_image_is_refused() {
    let editor = package("Contoso.Editor", "1.2.3.4", "x64", &[]);
    let provisioned = apply(&add(&editor, &[]), &windows());
    let mut started = windows();
    put(&mut started, "/ProgramData/Microsoft/Windows/AppRepository/StateRepository-Machine.srd", b"SQLite format 3\0");
    let mut of_no_architecture = windows();
    of_no_architecture.info.remove("WINDOWS");
    let mut without_hive = windows();
    without_hive.tree.remove(&crate::windows::path_of(HiveFile::Software.path())).unwrap();
    let messages = [
        refused(&add(&editor, &[]), &provisioned),
        refused(&add(&package("Contoso.Editor", "1.2.3.4", "arm64", &[]), &[]), &windows()),
        refused(&add(&editor, &[&package("Contoso.Framework", "1.0.0.0", "arm64", &[])]), &windows()),
        refused(&add(&editor, &[]), &started),
        refused(&remove("*"), &started),
        refused(&add(&editor, &[]), &of_no_architecture),
        refused(&add(&editor, &[]), &without_hive),
        refused(&remove("Microsoft.Xbox*"), &provisioned),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    Contoso.Editor_1.2.3.4_x64__h91ms92gdsmmt is provisioned already
    hint: remove it first: `apps: { remove: [Contoso.Editor] }`
    `app.msix` holds no package for x64 Windows
    `framework.appx` holds no package for x64 Windows
    this Windows has been started: what is provisioned stands in `/ProgramData/Microsoft/Windows/AppRepository/StateRepository-Machine.srd`, which only Windows may change
    hint: change the apps in an image that was never started, and capture again from that
    this Windows has been started: what is provisioned stands in `/ProgramData/Microsoft/Windows/AppRepository/StateRepository-Machine.srd`, which only Windows may change
    hint: change the apps in an image that was never started, and capture again from that
    the image does not say for which processor it is
    hint: set WINDOWS/ARCH in its XML data
    the image has no registry hive (`/Windows/System32/config/SOFTWARE`)
    no provisioned app is called `Microsoft.Xbox*`
    hint: the image has: Contoso.Editor; with `missing: ignore` it is no error
    ");
    let ignoring = RemoveApps { patterns: vec!["Microsoft.Xbox*".into()], ignore_missing: true };
    assert_eq!(difference(&provisioned, &apply(&ignoring, &provisioned)), "");
}

#[test]
fn installers_and_damaged_packages_are_refused_at_once() {
    let mut damaged = package("Contoso.Editor", "1.2.3.4", "x64", &[]);
    let program = damaged.windows(6).position(|bytes| bytes == b"MZ app").unwrap();
    damaged[program] = b'X';
    let msi = [&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1][..], &[0; 504]].concat();
    let new = |name: &str, bytes: &[u8]| {
        refusal(AddApps::new(vec![App { package: payload(name, bytes), dependencies: Vec::new(), license: None }]))
    };
    let messages =
        [new("setup.exe", b"MZ\x90\0\x03\0\0\0\x04"), new("setup.msi", &msi), new("short", b"MZ"), new("damaged.msix", &damaged)];
    insta::assert_snapshot!(messages.join("\n"), @r"
    `setup.exe` is a program installer (EXE or MSI): it only runs in a started Windows, and an image that was never started, the only kind that can upgrade a Windows, cannot take it
    hint: install it when Windows is deployed (task sequence, Intune, winget, SetupComplete.cmd), or build a reference image that holds it
    `setup.msi` is a program installer (EXE or MSI): it only runs in a started Windows, and an image that was never started, the only kind that can upgrade a Windows, cannot take it
    hint: install it when Windows is deployed (task sequence, Intune, winget, SetupComplete.cmd), or build a reference image that holds it
    `short` is not an app package: app package: not a ZIP file that can be read: invalid Zip archive: Could not find EOCD
    `damaged.msix` is not a sound app package: app package: app\main.exe: the 64 KiB block 0 does not have the hash of the block map
    ");
}

#[test]
fn a_licence_of_another_app_is_refused() {
    let license = b"<License LicenseID=\"5c834b0b-64f8-6383-854a-915ac7ddab77\" xmlns=\"urn:schemas-microsoft-com:windows:store:licensing:ls\"><Binding><PFM>other.app_8wekyb3d8bbwe</PFM></Binding></License>";
    let mut app = app(&package("Contoso.Editor", "1.2.3.4", "x64", &[]), &[]);
    app.license = Some(payload("license.xml", license));
    insta::assert_snapshot!(refused(&AddApps::new(vec![app]).unwrap(), &windows()), @r"
    the licence given with `app.msix` is for other.app_8wekyb3d8bbwe, not for Contoso.Editor_h91ms92gdsmmt
    hint: give the licence that was downloaded with the app
    ");
}

#[test]
fn several_versions_and_frameworks_of_a_family() {
    // DISM leaves an older version staged beside the provisioned one; a removal takes both.
    let mut image = apply(&add(&package("Contoso.Editor", "2.0.0.0", "x64", &[]), &[]), &windows());
    let old = "Contoso.Editor_1.0.0.0_x64__";
    let family = image
        .clone()
        .hive(HiveFile::Software)
        .unwrap()
        .map(|hive| wimwright_image::registry::subkey_names(&hive, &format!(r"{STORE}\Staged")).unwrap())
        .unwrap();
    let family = &family[0];
    let publisher = family.rsplit_once('_').unwrap().1.to_owned();
    put(&mut image, &format!("/Program Files/WindowsApps/{old}{publisher}/AppxManifest.xml"), b"<Package/>");
    with_hive(&mut image, HiveFile::Software, |hive| {
        set(hive, &format!(r"{STORE}\Staged\{family}\{old}{publisher}"), "Path", &Data::Text(String::new()));
    });
    let after = apply(&remove("Contoso.Editor"), &image);
    let left: Vec<_> = after.tree.at("/Program Files/WindowsApps").unwrap().children().map(|entry| entry.name()).collect();
    assert_eq!(left, [""; 0]);
}

fn real(path: &str) -> Option<Payload> {
    let path = test_data(&format!("appx/{path}"))?;
    Some(payload(&path.display().to_string(), &std::fs::read(&path).unwrap()))
}

/// After adding and removing, only these differ from the image before: the folder of apps (there before in a real Windows),
/// the folder of licences, frameworks (other apps may need them), and the store's keys.
fn add_and_remove(app: App, image: &Image, pattern: &str) -> String {
    let frameworks = app.dependencies.len();
    let added = apply(&AddApps::new(vec![app]).unwrap(), image);
    let apps = added.tree.at("/Program Files/WindowsApps").unwrap();
    assert!(apps.children().len() > frameworks);
    for entry in apps.children() {
        let manifests = ["AppxManifest.xml", "AppxMetadata"].iter().filter(|name| entry.child(name).is_some());
        assert!(manifests.count() > 0, "{}", entry.name());
        assert!(entry.child("AppxBlockMap.xml").is_some() && entry.child("[Content_Types].xml").is_none());
    }
    difference(image, &apply(&remove(pattern), &added))
}

#[test]
fn real_app_with_licence_leaves_as_it_came() {
    let (Some(package), Some(license)) =
        (real("Microsoft.VP9VideoExtensions_8wekyb3d8bbwe.x86.Appx"), real("Microsoft.VP9VideoExtensions_8wekyb3d8bbwe.x86.xml"))
    else {
        return;
    };
    let mut image = windows();
    image.info.set("WINDOWS/ARCH", "0");
    let app = App { package, dependencies: Vec::new(), license: Some(license) };
    let license = "/ProgramData/Microsoft/Windows/ClipSVC/Install/Apps/microsoft.vp9videoextensions_8wekyb3d8bbwe.xml";
    assert!(apply(&AddApps::new(vec![app.clone()]).unwrap(), &image).tree.at(license).is_some());
    insta::assert_snapshot!(add_and_remove(app, &image, "Microsoft.VP9*"), @r"
    + /Program Files (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Program Files/WindowsApps (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /ProgramData (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /ProgramData/Microsoft (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /ProgramData/Microsoft/Windows (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /ProgramData/Microsoft/Windows/ClipSVC (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /ProgramData/Microsoft/Windows/ClipSVC/Install (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /ProgramData/Microsoft/Windows/ClipSVC/Install/Apps (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    ~ /Windows/System32/config/SOFTWARE
        contents
        written: 1 -> 2
    + HKLM\SOFTWARE\Microsoft\Windows
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Applications
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Deprovisioned
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Deprovisioned\Microsoft.VP9VideoExtensions_8wekyb3d8bbwe
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Staged
    ");
}

#[test]
fn real_bundle_brings_the_packages_that_fit() {
    let Some(package) = real("LumiaWOA.Tips_btf4vqatnxdpt.appxbundle") else { return };
    let app = App { package, dependencies: Vec::new(), license: None };
    insta::assert_snapshot!(refused(&AddApps::new(vec![app.clone()]).unwrap(), &windows()).replace(&app.package.name, "the bundle"), @"`the bundle` holds no package for x64 Windows");
    let mut image = windows();
    image.info.set("WINDOWS/ARCH", "12");
    // The frameworks that it needs are in the image.
    with_hive(&mut image, HiveFile::Software, |hive| {
        for name in
            ["Microsoft.UI.Xaml.2.6", "Microsoft.NET.Native.Framework.2.2", "Microsoft.NET.Native.Runtime.2.2", "Microsoft.VCLibs.140.00"]
        {
            let staged = format!(r"{STORE}\Staged\{name}_8wekyb3d8bbwe\{name}_99.0.0.0_arm64__8wekyb3d8bbwe");
            set(hive, &staged, "Path", &Data::Text(String::new()));
        }
    });
    let added = apply(&AddApps::new(vec![app.clone()]).unwrap(), &image);
    let folders: Vec<_> = added.tree.at("/Program Files/WindowsApps").unwrap().children().map(|entry| entry.name()).collect();
    insta::assert_snapshot!(folders.join("\n"), @r"
    LumiaWOA.Tips_1.0.3.0_arm64__btf4vqatnxdpt
    LumiaWOA.Tips_1.0.3.0_neutral_split.scale-100_btf4vqatnxdpt
    LumiaWOA.Tips_1.0.3.0_neutral_~_btf4vqatnxdpt
    ");
    insta::assert_snapshot!(add_and_remove(app, &image, "LumiaWOA.Tips_*_neutral_~_*"), @r"
    + /Program Files (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Program Files/WindowsApps (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    ~ /Windows/System32/config/SOFTWARE
        contents
        written: 1 -> 2
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Applications
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Deprovisioned
    + HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Deprovisioned\LumiaWOA.Tips_btf4vqatnxdpt
    ");
}

#[test]
fn real_framework_must_be_the_one_that_is_needed() {
    let (Some(package), Some(framework)) = (real("IoTOnboardingTask-x64.appx"), real("Microsoft.NET.Native.Runtime.2.1-x64.appx")) else {
        return;
    };
    let app = App { package, dependencies: vec![framework], license: None };
    let message = refused(&AddApps::new(vec![app.clone()]).unwrap(), &windows());
    insta::assert_snapshot!(message.replace(&app.package.name, "the app"), @r"
`the app` needs the framework Microsoft.VCLibs.140.00 14.0.24123.0 or newer, which neither comes with it nor is in the image
hint: name the framework's package under `dependencies`
");
}

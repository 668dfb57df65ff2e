//! The inventory of an image.

use wimwright_format::regf::Data;
use wimwright_format::wim::ImageInfo;
use wimwright_image::registry::HiveFile;
use wimwright_image::{Blobs, Image, Tree};
use wimwright_servicing::inventory::{Feature, Inventory, pending_operations};

use crate::windows::{put, set, windows, with_hive};

const SERVICING: &str = r"Microsoft\Windows\CurrentVersion\Component Based Servicing";

fn package(name: &str) -> String {
    format!("{name}~31bf3856ad364e35~amd64~~10.0.26100.1742")
}

#[test]
fn capabilities_have_the_state_of_their_packages() {
    let mut image = windows();
    with_hive(&mut image, HiveFile::Software, |hive| {
        let state = |hive: &mut _, name: &str, state: u32| {
            set(hive, &format!(r"{SERVICING}\Packages\{}", package(name)), "CurrentState", &Data::Dword(state))
        };
        state(hive, "OpenSSH-Client-Package", 0x70);
        state(hive, "OpenSSH-Client-Package-Old", 0x50);
        state(hive, "WordPad-Package", 0x40);
        let mut capability = |name: &str, packages: &[&str]| {
            hive.create_path(&format!(r"{SERVICING}\CapabilityIndex\{name}"), 1).unwrap();
            packages
                .iter()
                .for_each(|name_of| set(hive, &format!(r"{SERVICING}\CapabilityIndex\{name}"), &package(name_of), &Data::Dword(0)));
        };
        capability("OpenSSH.Client~~~~0.0.1.0", &["OpenSSH-Client-Package-Old", "OpenSSH-Client-Package"]);
        capability("Microsoft.Windows.WordPad~~~~0.0.1.0", &["WordPad-Package"]);
        capability("XPS.Viewer~~~~0.0.1.0", &["Gone-Package"]);
        capability("Empty~~~~0.0.1.0", &[]);
    });
    let found = Inventory::read(&mut image, 1).unwrap().capabilities;
    let feature = |name: &str, state: &str| Feature { name: name.into(), state: state.into() };
    let expected = [
        feature("Empty~~~~0.0.1.0", "Not Present"),
        feature("Microsoft.Windows.WordPad~~~~0.0.1.0", "Staged"),
        feature("OpenSSH.Client~~~~0.0.1.0", "Installed"),
        feature("XPS.Viewer~~~~0.0.1.0", "Not Present"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn features_packages_applications_and_versions() {
    let mut image = windows();
    with_hive(&mut image, HiveFile::Software, |hive| {
        let version = r"Microsoft\Windows NT\CurrentVersion";
        set(hive, version, "CurrentBuild", &Data::Text("26100".into()));
        set(hive, version, "UBR", &Data::Dword(1742));
        set(hive, version, "CurrentMajorVersionNumber", &Data::Dword(10));
        set(hive, version, "CurrentMinorVersionNumber", &Data::Dword(0));
        set(hive, version, "ReleaseId", &Data::Text("2009".into()));
        set(hive, version, "DisplayVersion", &Data::Text("24H2".into()));
        set(hive, version, "InstallationType", &Data::Text("Client".into()));
        let foundation = format!(r"{SERVICING}\Packages\{}", package("Foundation"));
        set(hive, &foundation, "CurrentState", &Data::Dword(0x70));
        for (name, state) in [("NetFx3", 0), ("SMB1Protocol", 0x40), ("TelnetClient", 0x70), ("b5b7a1a0e5f4", 0x70)] {
            set(hive, &format!(r"{foundation}\Updates"), name, &Data::Dword(state));
        }
        let uninstall = r"Microsoft\Windows\CurrentVersion\Uninstall";
        set(hive, &format!(r"{uninstall}\Archiver"), "DisplayName", &Data::Text("Contoso Archiver".into()));
        set(hive, &format!(r"{uninstall}\Hidden"), "DisplayName", &Data::Text("Hidden".into()));
        set(hive, &format!(r"{uninstall}\Hidden"), "SystemComponent", &Data::Dword(1));
    });
    let inventory = Inventory::read(&mut image, 1).unwrap();
    assert_eq!(inventory.version, "10.0.26100.1742");
    assert_eq!(inventory.media_name, "Windows 11 Pro x64 24H2 26100.1742");
    assert_eq!(inventory.family, "Client Professional x64 26100 en-US");
    let features: Vec<_> = inventory.features.iter().map(|feature| format!("{}: {}", feature.name, feature.state)).collect();
    assert_eq!(features, ["NetFx3: Disabled with Payload Removed", "SMB1Protocol: Disabled", "TelnetClient: Enabled"]);
    assert_eq!(inventory.packages.len(), 1);
    assert_eq!(inventory.applications.len(), 1);
    assert_eq!(inventory.pending, [""; 0]);
}

#[test]
fn pending_operations_are_told() {
    let mut image = windows();
    put(&mut image, "/Windows/WinSxS/pending.xml", b"<PendingTransaction/>");
    with_hive(&mut image, HiveFile::Software, |hive| {
        hive.create_path(&format!(r"{SERVICING}\PackagesPending\Package_for_KB1"), 1).unwrap();
    });
    let pending = pending_operations(&mut image).unwrap();
    assert_eq!(pending, ["`/Windows/WinSxS/pending.xml` is there", "package Package_for_KB1 is pending"]);
}

#[test]
fn an_image_without_windows_has_an_inventory() {
    let mut image = Image::new(Tree::default(), ImageInfo::named("data"), Blobs::default());
    let inventory = Inventory::read(&mut image, 3).unwrap();
    assert_eq!((inventory.index, inventory.name.as_str(), inventory.version.as_str(), inventory.build), (3, "data", "", 0));
    assert_eq!(inventory.media_name, "data");
}

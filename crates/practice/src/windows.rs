//! A full Windows image: one edition.

use wimwright_format::wim::write::{ImageSource, ImageToWrite};

use crate::apps;
use crate::captured;
use crate::contents::Contents;
use crate::data;
use crate::disc::Capture;
use crate::error::Error;
use crate::hives;
use crate::info::{Description, describe};
use crate::packages::{PackageMaker, WINDOWS};
use crate::store::{self, ServicedHives};
use crate::system::System;
use crate::tree::{HIDDEN, ImageTree, NOT_INDEXED, READONLY, SYSTEM, add_stream, set_extended_attribute, set_object_id};

/// An edition of Windows.
pub(crate) struct Edition {
    /// `NAME` in the XML data.
    pub name: &'static str,
    /// `EditionID`.
    pub id: &'static str,
    /// `CompositionEditionID`: the edition that it is composed from.
    pub composition: &'static str,
    /// `ProductName`, which still says Windows 10.
    pub product_name: &'static str,
    /// Of so many system files one is in the edition.
    pub share: usize,
}

/// The editions of the practice medium, in the order of their indexes.
pub(crate) const EDITIONS: [Edition; 3] = [
    Edition { name: "Windows 11 Pro", id: "Professional", composition: "Enterprise", product_name: "Windows 10 Pro", share: 1 },
    Edition { name: "Windows 11 Enterprise", id: "Enterprise", composition: "Enterprise", product_name: "Windows 10 Enterprise", share: 1 },
    Edition { name: "Windows 11 Pro N", id: "ProfessionalN", composition: "EnterpriseN", product_name: "Windows 10 Pro N", share: 8 },
];

/// What editions have in common.
pub(crate) struct Shared<'a> {
    /// Files of Windows.
    pub system: &'a System,
    /// The recovery environment: the bytes of its WIM.
    pub recovery: Vec<u8>,
    /// Classes in the registry beyond the usual few.
    pub classes: u64,
}

/// Makes an edition's image.
pub(crate) fn image(
    edition: &Edition,
    shared: &Shared<'_>,
    capture: Option<Capture>,
    contents: &mut Contents,
) -> Result<ImageToWrite, Error> {
    let mut tree = ImageTree::new()?;
    let mut software = hives::software(edition, shared.classes)?;
    let mut system = hives::system("amd64")?;
    let mut components = hives::components("amd64", data::STACK_VERSION)?;
    directories(&mut tree, contents)?;
    let system_files: Vec<_> = shared.system.files.iter().step_by(edition.share).collect();
    let packages = PackageMaker { contents, architecture: "amd64", version: WINDOWS }.of_edition(&system_files)?;
    let serviced = ServicedHives { software: &mut software, components: &mut components };
    store::add_packages(&mut tree, contents, serviced, &packages, ("amd64", data::STACK_VERSION))?;
    apps::add(&mut tree, contents, &mut software)?;
    files(&mut tree, contents, edition, shared)?;
    if let Some(capture) = capture {
        captured::add(&mut tree, contents, &mut software, &mut system, capture)?;
    }

    let mut written = vec![
        ("Windows/System32/config/SOFTWARE", software),
        ("Windows/System32/config/SYSTEM", system),
        ("Windows/System32/config/COMPONENTS", components),
    ];
    written.extend(hives::small()?);
    for (path, hive) in written {
        let blob = contents.add(hive.into_bytes());
        let is_profile = path.ends_with("NTUSER.DAT");
        tree.file(path, blob)?.attributes |= if is_profile { HIDDEN } else { 0 };
        if !path.ends_with("BCD-Template") {
            for log in ["LOG1", "LOG2"] {
                tree.file(&format!("{path}.{log}"), None)?.attributes |= HIDDEN | SYSTEM;
            }
        }
    }
    short_names(&mut tree)?;
    let metadata = tree.into_metadata();
    let description = Description {
        name: edition.name,
        edition: edition.id,
        installation_type: "Client",
        flags: edition.id,
        captured_at: capture.map(|_| data::CAPTURE_TIME),
        architecture: 9,
        version: data::VERSION,
    };
    let info = describe(&description, &metadata, contents);
    Ok(ImageToWrite { source: ImageSource::Tree(Box::new(metadata)), info })
}

fn directories(tree: &mut ImageTree, contents: &mut Contents) -> Result<(), Error> {
    tree.directory("")?.attributes |= HIDDEN | SYSTEM;
    for path in data::DIRECTORIES.split('|') {
        tree.directory(path)?;
    }
    for path in ["Program Files", "Program Files (x86)", "Users/Public"] {
        tree.directory(path)?.attributes |= READONLY;
    }
    for path in ["ProgramData", "Users/Default", "Program Files/WindowsApps"] {
        tree.directory(path)?.attributes |= HIDDEN;
    }
    tree.directory("Windows/System32/config")?.attributes |= NOT_INDEXED;
    profile(tree, contents, "Default")?;
    for folder in ["Desktop", "Documents", "Downloads", "Libraries", "Music", "Pictures", "Videos"] {
        tree.directory(&format!("Users/Public/{folder}"))?.attributes |= READONLY;
    }
    tree.junction(contents, "Documents and Settings", "Users")?;
    tree.junction(contents, "Users/Default User", "Users/Default")?;
    tree.symlink(contents, "Users/All Users", "C:/ProgramData", true)?;
    for (path, target) in [
        ("Application Data", "ProgramData"),
        ("Desktop", "Users/Public/Desktop"),
        ("Documents", "Users/Public/Documents"),
        ("Start Menu", "ProgramData/Microsoft/Windows/Start Menu"),
        ("Templates", "ProgramData/Microsoft/Windows/Templates"),
    ] {
        tree.junction(contents, &format!("ProgramData/{path}"), target)?;
    }
    Ok(())
}

/// The folders of a user's profile.
pub(crate) fn profile(tree: &mut ImageTree, contents: &mut Contents, user: &str) -> Result<(), Error> {
    for folder in data::PROFILE_FOLDERS.split('|') {
        tree.directory(&format!("Users/{user}/{folder}"))?;
    }
    tree.directory(&format!("Users/{user}/AppData"))?.attributes |= HIDDEN;
    for (path, target) in data::PROFILE_JUNCTIONS {
        tree.junction(contents, &format!("Users/{user}/{path}"), &format!("Users/{user}/{target}"))?;
    }
    Ok(())
}

fn files(tree: &mut ImageTree, contents: &mut Contents, edition: &Edition, shared: &Shared<'_>) -> Result<(), Error> {
    let texts: [(&str, &str); 11] = [
        ("Users/desktop.ini", "[.ShellClassInfo]\r\nLocalizedResourceName=@%SystemRoot%\\system32\\shell32.dll,-21813\r\n"),
        ("Windows/win.ini", "; for 16-bit app support\r\n[fonts]\r\n[extensions]\r\n[mci extensions]\r\n[files]\r\n[Mail]\r\nMAPI=1\r\n"),
        ("Windows/system.ini", "; for 16-bit app support\r\n[386Enh]\r\nwoafont=dosapp.fon\r\n[drivers]\r\nwave=mmdrv.dll\r\n"),
        ("Windows/Setup/State/State.ini", "[State]\r\nImageState=IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE\r\n"),
        ("Windows/System32/drivers/etc/hosts", "# Practice hosts file\r\n#\t127.0.0.1       localhost\r\n"),
        ("Windows/System32/drivers/etc/services", "echo                7/tcp\r\nhttp               80/tcp    www www-http\r\n"),
        ("Windows/System32/Recovery/ReAgent.xml", REAGENT),
        ("Windows/System32/oobe/info/oobe.xml", "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<FirstExperience/>\r\n"),
        ("Windows/INF/disk.inf", "[Version]\r\nSignature=\"$Windows NT$\"\r\nClass=DiskDrive\r\nProvider=\"Practice\"\r\n"),
        (
            "Windows/PolicyDefinitions/Windows.admx",
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<policyDefinitions revision=\"1.0\" schemaVersion=\"1.0\"/>\r\n",
        ),
        ("Program Files/desktop.ini", "[.ShellClassInfo]\r\nLocalizedResourceName=@%SystemRoot%\\system32\\shell32.dll,-21781\r\n"),
    ];
    for (path, text) in texts {
        let hidden = if path.ends_with("desktop.ini") { HIDDEN | SYSTEM } else { 0 };
        tree.file(path, contents.add(text))?.attributes |= hidden;
    }
    let license = format!("{} practice licence\r\n", edition.name);
    tree.file("Windows/System32/license.rtf", contents.add(license))?;
    let edition_manifest =
        format!("<?xml version=\"1.0\"?>\r\n<assembly xmlns=\"urn:schemas-microsoft-com:asm.v3\"><!-- {} --></assembly>\r\n", edition.id);
    tree.file(&format!("Windows/servicing/Editions/{}Edition.xml", edition.id), contents.add(edition_manifest))?;
    tree.file("Windows/System32/Sysprep/sysprep.exe", contents.add(apps::program("sysprep.exe", 64 << 10)?))?;
    tree.file("Windows/explorer.exe", contents.add(apps::program("explorer.exe", 256 << 10)?))?;
    tree.file("Windows/System32/Recovery/Winre.wim", contents.add(shared.recovery.clone()))?.attributes |= HIDDEN | SYSTEM;

    // What only some files have: an empty file, named streams, an object identifier, extended attributes, a relative link.
    tree.file("Windows/System32/catroot2/dberr.txt", None)?;
    let mark = contents.add("[ZoneTransfer]\r\nZoneId=3\r\n");
    let sample = contents.add(apps::picture("Sample")?);
    add_stream(tree.file("Users/Public/Pictures/sample.jpg", sample)?, "Zone.Identifier", mark);
    let guid = *b"practice-object!";
    set_object_id(tree.file("Windows/Web/Screen/img100.jpg", contents.add(apps::picture("img100")?))?, guid);
    let driver = contents.add(apps::program("practice.sys", 32 << 10)?);
    let driver = tree.file("Windows/System32/drivers/practice.sys", driver)?;
    set_extended_attribute(driver, "$CI.CATALOGHINT", b"\x01\x00\x1c\x00Microsoft-Windows-Practice~");
    tree.symlink(contents, "Users/Public/Documents/hosts.lnk.txt", "../../../Windows/System32/drivers/etc/hosts", false)?;
    Ok(())
}

/// DOS names of the directories that every Windows has them for.
fn short_names(tree: &mut ImageTree) -> Result<(), Error> {
    for (path, name) in [
        ("Program Files", "PROGRA~1"),
        ("Program Files (x86)", "PROGRA~2"),
        ("ProgramData", "PROGRA~3"),
        ("Documents and Settings", "DOCUME~1"),
        ("Users/Default User", "DEFAUL~1"),
        ("Program Files/Common Files", "COMMON~1"),
        ("Program Files/Internet Explorer", "INTERN~1"),
    ] {
        tree.directory(path)?.short_name = name.into();
    }
    Ok(())
}

const REAGENT: &str = "<?xml version='1.0' encoding='utf-8' standalone='yes'?>\r\n<WindowsRE version=\"2.0\">\r\n\
  <WinreBCD id=\"\"/>\r\n  <WinreLocation path=\"\" id=\"0\" offset=\"0\"/>\r\n  <ImageLocation path=\"\" id=\"0\" offset=\"0\"/>\r\n\
  <InstallState state=\"0\"/>\r\n  <OsInstallAvailable state=\"0\"/>\r\n  <WinREStaged state=\"0\"/>\r\n  <ScheduledOperation state=\"4\"/>\r\n\
</WindowsRE>\r\n";

//! Windows PE: the images of `boot.wim` and `winre.wim`.

use std::io::Cursor;

use wimwright_format::wim::write::{ImageSource, ImageToWrite, WimPlan};

use crate::apps;
use crate::contents::Contents;
use crate::data::{STACK_VERSION, VERSION};
use crate::disc::wim_options;
use crate::error::Error;
use crate::hives::{self, HiveFile};
use crate::info::{Description, describe};
use crate::packages::{PackageMaker, WINDOWS};
use crate::store::{self, ServicedHives};
use crate::system::{System, SystemFile};
use crate::tree::{HIDDEN, ImageTree, SYSTEM};

/// What a Windows PE is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Bare,
    Setup,
    Recovery,
}

/// `boot.wim`: Windows PE, and Windows Setup, which boots. `setup_files` are those of the medium's `sources` that it has too.
pub(crate) fn boot_wim(system: &System, setup_files: &[(String, Vec<u8>)], contents: &mut Contents) -> Result<WimPlan, Error> {
    let images = vec![image(Role::Bare, system, &[], contents)?, image(Role::Setup, system, setup_files, contents)?];
    Ok(WimPlan::new(images, wim_options(*b"practice boot.wi", 2), &|id| contents.source(id))?)
}

/// `winre.wim`: the recovery environment, as bytes.
pub(crate) fn recovery_wim(system: &System, contents: &mut Contents) -> Result<Vec<u8>, Error> {
    let images = vec![image(Role::Recovery, system, &[], contents)?];
    let plan = WimPlan::new(images, wim_options(*b"practice winre.w", 1), &|id| contents.source(id))?;
    let mut output = Cursor::new(Vec::new());
    plan.write(&mut output, &mut |_| {})?;
    Ok(output.into_inner())
}

fn image(role: Role, system: &System, setup_files: &[(String, Vec<u8>)], contents: &mut Contents) -> Result<ImageToWrite, Error> {
    let mut tree = ImageTree::new()?;
    for path in
        ["Program Files", "Program Files (x86)", "ProgramData", "Users/Default", "Users/Public", "Windows/Temp", "Windows/WinSxS/Manifests"]
    {
        tree.directory(path)?;
    }
    // Windows PE has the files without which nothing starts.
    const CORE: [&str; 12] = [
        "ntdll.dll",
        "kernel32.dll",
        "kernelbase.dll",
        "ntoskrnl.exe",
        "winload.exe",
        "winload.efi",
        "hal.dll",
        "smss.exe",
        "csrss.exe",
        "wininit.exe",
        "cmd.exe",
        "wimgapi.dll",
    ];
    let is_core = |path: &str| path.strip_prefix("Windows/System32/").is_some_and(|name| CORE.contains(&name));
    let is_in_core = |file: &&SystemFile| file.payload.destination.as_deref().is_some_and(is_core);
    let files: Vec<&SystemFile> = system.files.iter().filter(is_in_core).collect();
    let mut software = hives::preinstallation_software()?;
    let mut components = hives::components("amd64", STACK_VERSION)?;
    let mut setup = HiveFile::new(r"\SystemRoot\System32\Config\SYSTEM", "ROOT")?;
    setup.script(include_str!("hives/system.reg"))?;
    let packages = PackageMaker { contents, architecture: "amd64", version: WINDOWS }.of_preinstallation(&files)?;
    let serviced = ServicedHives { software: &mut software, components: &mut components };
    store::add_packages(&mut tree, contents, serviced, &packages, ("amd64", STACK_VERSION))?;
    for (path, hive) in [("SOFTWARE", software), ("SYSTEM", setup), ("COMPONENTS", components)] {
        tree.file(&format!("Windows/System32/config/{path}"), contents.add(hive.into_bytes()))?;
    }
    tree.file("Windows/System32/startnet.cmd", contents.add("wpeinit\r\n"))?;
    let start = match role {
        Role::Bare => None,
        Role::Setup => Some("[LaunchApps]\r\n%SYSTEMDRIVE%\\setup.exe\r\n"),
        Role::Recovery => Some("[LaunchApp]\r\nAppPath=X:\\sources\\recovery\\recenv.exe\r\n"),
    };
    if let Some(start) = start {
        tree.file("Windows/System32/winpeshl.ini", contents.add(start))?;
    }
    if role == Role::Recovery {
        tree.file("sources/recovery/RecEnv.exe", contents.add(apps::program("recenv.exe", 128 << 10)?))?;
    }
    for (path, bytes) in setup_files {
        tree.file(path, contents.add(bytes.clone()))?;
    }
    tree.directory("")?.attributes |= HIDDEN | SYSTEM;
    let metadata = tree.into_metadata();
    let (name, flags) = match role {
        Role::Bare => ("Microsoft Windows PE (x64)", "9"),
        Role::Setup => ("Microsoft Windows Setup (x64)", "2"),
        Role::Recovery => ("Microsoft Windows Recovery Environment (x64)", "9"),
    };
    let description = Description {
        name,
        edition: "WindowsPE",
        installation_type: "WindowsPE",
        flags,
        captured_at: None,
        architecture: 9,
        version: VERSION,
    };
    let info = describe(&description, &metadata, contents);
    Ok(ImageToWrite { source: ImageSource::Tree(Box::new(metadata)), info })
}

//! What an installed Windows leaves behind: an image with it looks captured.

use wimwright_format::regf::Data;

use crate::contents::Contents;
use crate::data::CAPTURE_TIME;
use crate::disc::Capture;
use crate::error::Error;
use crate::hives::HiveFile;
use crate::tree::ImageTree;
use crate::windows;

/// The account that used the machine.
const USER: &str = "Administrator";
const USER_SID: &str = "S-1-5-21-1111111111-2222222222-3333333333-500";

/// Adds the traces of an installation, and of `sysprep /generalize` where that ran.
pub(crate) fn add(
    tree: &mut ImageTree,
    contents: &mut Contents,
    software: &mut HiveFile,
    system: &mut HiveFile,
    capture: Capture,
) -> Result<(), Error> {
    windows::profile(tree, contents, USER)?;
    let log = contents.add("2024-11-20 09:12:44, Info                  SYSPRP practice log\r\n");
    let mut logs = vec!["Windows/Panther/setupact.log", "Windows/Panther/setuperr.log", "Windows/INF/setupapi.dev.log"];
    if capture.generalized {
        logs.extend(["Windows/System32/Sysprep/Panther/setupact.log", "Windows/System32/Sysprep/Panther/setuperr.log"]);
        tree.file("Windows/System32/Sysprep/Sysprep_succeeded.tag", None)?;
    }
    for path in logs {
        tree.file(path, log)?.last_write_time = CAPTURE_TIME;
    }
    let trace = contents.add(vec![0x5A; 4096]);
    for path in [
        "Windows/Prefetch/NOTEPAD.EXE-C5670914.pf",
        "Windows/Prefetch/CMD.EXE-0BD30981.pf",
        "Windows/System32/winevt/Logs/System.evtx",
        "Windows/System32/winevt/Logs/Application.evtx",
        "Windows/SoftwareDistribution/DataStore/DataStore.edb",
        "Windows/bootstat.dat",
    ] {
        tree.file(path, trace)?;
    }

    let profile = format!(r"Microsoft\Windows NT\CurrentVersion\ProfileList\{USER_SID}");
    software.set(&profile, "ProfileImagePath", &Data::ExpandableText(format!(r"C:\Users\{USER}")))?;
    let application = r"Microsoft\Windows\CurrentVersion\Uninstall\{23170F69-40C1-2702-2408-000001000000}";
    software.set(application, "DisplayName", &Data::Text("Contoso Archiver 24.08".into()))?;
    software.set(application, "Publisher", &Data::Text("Contoso".into()))?;
    if capture.generalized {
        software.key(r"Microsoft\Windows\CurrentVersion\Setup\Sysprep")?;
        system.set("Setup", "CloneTag", &Data::Texts(vec!["Wed Nov 20 09:12:44 2024".into()]))?;
        return Ok(());
    }
    let state = r"Microsoft\Windows\CurrentVersion\Setup\State";
    software.set(state, "ImageState", &Data::Text("IMAGE_STATE_COMPLETE".into()))?;
    let state = contents.add("[State]\r\nImageState=IMAGE_STATE_COMPLETE\r\n");
    tree.file("Windows/Setup/State/State.ini", state)?;
    for (name, number) in [("SystemSetupInProgress", 0), ("SetupType", 0), ("OOBEInProgress", 0), ("SetupPhase", 0)] {
        system.set("Setup", name, &Data::Dword(number))?;
    }
    system.set("Setup", "CmdLine", &Data::Text(String::new()))?;
    system.set(r"Setup\Status\SysprepStatus", "GeneralizationState", &Data::Dword(3))?;
    system.set(r"ControlSet001\Control\ComputerName\ComputerName", "ComputerName", &Data::Text("CONTOSO-REF01".into()))?;
    for device in [
        r"ACPI\PNP0A08\2&daba3ff&0",
        r"PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00\3&13c0b0c5&0&20",
        r"SCSI\Disk&Ven_QEMU\4&35424867&0&000000",
    ] {
        system.set(&format!(r"ControlSet001\Enum\{device}"), "ConfigFlags", &Data::Dword(0))?;
    }
    system.set("MountedDevices", r"\DosDevices\C:", &Data::Binary(vec![1, 2, 3, 4, 0, 0, 16, 0, 0, 0, 0, 0]))?;
    Ok(())
}

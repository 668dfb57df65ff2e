//! Practice media boot: QEMU with SeaBIOS and with OVMF is the judge.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use wimwright_format::media::{BootEntry, Bridge, Content, IsoView, Options};
use wimwright_practice::boot;

const OVMF: &str = "/usr/share/ovmf/OVMF.fd";
/// Emulation takes seconds for this; a busy machine may take long.
const PATIENCE: Duration = Duration::from_secs(90);
const TIME: u64 = 133_500_000_000_000_000;

fn write_medium(path: &Path, view: IsoView, bios: Vec<u8>, uefi: Vec<u8>, files: &[(&str, Vec<u8>)]) {
    let options = Options { label: "PRACTICE".into(), time: TIME, volume_set: *b"practice", iso_view: view, share_identical: false };
    let mut bridge = Bridge::new(options).unwrap();
    let bios = bridge.add_content(Content::bytes(bios));
    let uefi = bridge.add_content(Content::bytes(uefi));
    bridge.add_file("boot/etfsboot.com", TIME, bios).unwrap();
    bridge.add_file("efi/microsoft/boot/efisys.bin", TIME, uefi).unwrap();
    bridge.add_boot_entry(BootEntry::bios(bios)).unwrap();
    bridge.add_boot_entry(BootEntry::uefi(uefi)).unwrap();
    for (path, bytes) in files {
        let content = bridge.add_content(Content::bytes(bytes.clone()));
        bridge.add_file(path, TIME, content).unwrap();
    }
    bridge.write(&std::fs::File::create(path).unwrap()).unwrap();
}

/// Boots `medium` and returns what came over the serial port until `wanted` was in it, or until patience ended.
fn boot_until(medium: &Path, firmware: &[&str], wanted: &str) -> String {
    let mut machine = Command::new("qemu-system-x86_64")
        .args(["-accel", "tcg", "-m", "256", "-display", "none", "-monitor", "none", "-serial", "stdio", "-net", "none", "-no-reboot"])
        .args(firmware)
        .arg("-cdrom")
        .arg(medium)
        .args(["-boot", "d"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut serial = machine.stdout.take().unwrap();
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut bytes = [0; 256];
        while let Ok(length) = serial.read(&mut bytes) {
            if length == 0 || sender.send(bytes[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    let end = std::time::Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        match receiver.recv_timeout(end.saturating_duration_since(std::time::Instant::now())) {
            Ok(bytes) => seen.extend(bytes),
            Err(_) => break,
        }
    }
    machine.kill().unwrap();
    machine.wait().unwrap();
    reader.join().unwrap();
    String::from_utf8_lossy(&seen).into_owned()
}

/// Boots a practice medium of each kind, and sees that `wanted` comes over the serial port.
#[track_caller]
fn boots(firmware: &[&str], wanted: &str) {
    let folder = tempfile::tempdir().unwrap();
    for view in [IsoView::Stub, IsoView::Full] {
        let medium = folder.path().join("practice.iso");
        write_medium(&medium, view, boot::etfsboot(), boot::efisys().unwrap(), &[]);
        let seen = boot_until(&medium, firmware, wanted);
        assert!(seen.contains(wanted), "{view:?}: {seen:?}");
    }
}

#[test]
fn oracle_practice_media_boot_with_bios() {
    if !wimwright_testkit::oracles(&["qemu-system-x86_64"]) {
        return;
    }
    boots(&[], boot::MESSAGE);
}

#[test]
fn oracle_practice_media_boot_with_uefi() {
    if !wimwright_testkit::oracles(&["qemu-system-x86_64"]) || !wimwright_testkit::oracle_file(OVMF) {
        return;
    }
    // The message comes twice: from the console, which OVMF copies to the serial port, and from the port itself.
    boots(&["-bios", OVMF], &format!("{0}\r\n{0}", boot::MESSAGE));
}

/// Stands for `bootmgr`: real mode, loaded anywhere. Prints `bootmgr runs` on the serial port.
fn bootmgr() -> Vec<u8> {
    #[rustfmt::skip]
    let mut program = vec![
        0xE8, 0x00, 0x00, // 00        call 03
        0x5E,             // 03        pop si              ; where this is
        0x0E,             // 04        push cs
        0x1F,             // 05        pop ds
        0x83, 0xC6, 0x19, // 06        add si, 0x19        ; the message at 1C
        0xFC,             // 09        cld
        0xAC,             // 0A next:  lodsb
        0x84, 0xC0,       // 0B        test al, al
        0x74, 0x0B,       // 0D        jz halt
        0xBA, 0xF8, 0x03, // 0F        mov dx, 0x3F8
        0xEE,             // 12        out dx, al
        0xB9, 0xFF, 0xFF, // 13        mov cx, 0xFFFF      ; time for the port
        0xE2, 0xFE,       // 16        loop 16
        0xEB, 0xF0,       // 18        jmp next
        0xF4,             // 1A halt:  hlt
        0x90,             // 1B        nop
    ];
    program.extend(b"bootmgr runs\r\n\0");
    // Microsoft's is some 400 KB: more than one read.
    program.resize(400_000, 0);
    program
}

/// Microsoft's own boot sector reads the UDF volume that we wrote, on which alone the file lies.
#[test]
fn real_etfsboot_finds_bootmgr_on_the_udf_volume() {
    let (Some(bios), Some(uefi)) =
        (wimwright_testkit::test_data("iso/bootparts/etfsboot.com"), wimwright_testkit::test_data("iso/bootparts/efisys.bin"))
    else {
        return;
    };
    if !wimwright_testkit::oracles(&["qemu-system-x86_64"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (bios, uefi) = (std::fs::read(bios).unwrap(), std::fs::read(uefi).unwrap());
    for view in [IsoView::Stub, IsoView::Full] {
        let medium = folder.path().join("medium.iso");
        write_medium(&medium, view, bios.clone(), uefi.clone(), &[("bootmgr", bootmgr()), ("sources/boot.wim", vec![1; 5000])]);
        let seen = boot_until(&medium, &[], "bootmgr runs");
        assert!(seen.contains("bootmgr runs"), "{view:?}: {seen:?}");
    }
}

//! The medium: an ISO as Microsoft's are.

use std::fs::File;
use std::io;

use wimwright_format::media::{self, BootEntry, Bridge, Content, IsoView};
use wimwright_format::wim::write::{WimPlan, WriteOptions};
use wimwright_format::wim::{Compression, Level};

use crate::contents::Contents;
use crate::data::{self, BUILD_TIME};
use crate::error::Error;
use crate::generated::{Generated, Kind, Random, seed_of};
use crate::program::Program;
use crate::system::System;
use crate::windows::{self, EDITIONS, Shared};
use crate::{boot, preinstallation};

/// The label of Microsoft's English media.
const LABEL: &str = "CCCOMA_X64FRE_EN-US_DV9";
/// Bytes of an ISO besides the system files of `install.wim`, about.
const FIXED_SIZE: u64 = 9 << 20;
/// Bytes of system files where no size is asked for.
const DEFAULT_SYSTEM: u64 = 16 << 20;
/// Bytes of system files that become 100 bytes of `install.wim`, as measured.
const PERCENT: u64 = 230;

/// How an image that looks captured came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// `sysprep /generalize` ran before.
    pub generalized: bool,
}

/// What a practice medium is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// About how many bytes the ISO has. Larger ones have more and larger files; the smallest is also made when none is asked for.
    pub size: Option<u64>,
    /// Make `install.wim` look captured from an installed Windows. Otherwise it looks as Microsoft's do.
    pub captured: Option<Capture>,
}

/// Writes a practice medium into an empty file that is open for reading and writing. The bytes depend on the options alone.
///
/// # Errors
/// [`Error`]: the file cannot be written.
pub fn write_medium(options: &Options, output: &File) -> Result<(), Error> {
    let system_bytes = options.size.map_or(DEFAULT_SYSTEM, |size| (size.saturating_sub(FIXED_SIZE) / 100 * PERCENT).max(DEFAULT_SYSTEM));
    let mut contents = Contents::default();
    let system = System::new(&mut contents, system_bytes);
    let recovery = preinstallation::recovery_wim(&system, &mut contents)?;
    let files = medium_files()?;
    let setup_files: Vec<_> = files.iter().filter(|(path, _)| is_in_setup(path)).cloned().collect();
    let boot_wim = preinstallation::boot_wim(&system, &setup_files, &mut contents)?;
    let shared = Shared { system: &system, recovery, classes: 64 + (system_bytes >> 20) * 4 };
    let install_wim = install_wim(&shared, options.captured, &mut contents)?;

    let bridge_options =
        media::Options { label: LABEL.into(), time: BUILD_TIME, volume_set: *b"practice", iso_view: IsoView::Stub, share_identical: true };
    let mut bridge = Bridge::new(bridge_options)?;
    let bios = bridge.add_content(Content::bytes(boot::etfsboot()));
    let uefi = bridge.add_content(Content::bytes(boot::efisys()?));
    bridge.add_boot_entry(BootEntry::bios(bios))?;
    bridge.add_boot_entry(BootEntry::uefi(uefi))?;
    bridge.add_file("boot/etfsboot.com", BUILD_TIME, bios)?;
    bridge.add_file("efi/microsoft/boot/efisys.bin", BUILD_TIME, uefi)?;
    bridge.add_file("efi/microsoft/boot/efisys_noprompt.bin", BUILD_TIME, uefi)?;
    for (path, bytes) in files {
        let content = bridge.add_content(Content::bytes(bytes));
        bridge.add_file(&path, BUILD_TIME, content)?;
    }
    for (path, plan) in [("sources/boot.wim", &boot_wim), ("sources/install.wim", &install_wim)] {
        let maximum = plan.maximum_size();
        let produce = move |window: &mut media::Window<'_>| plan.write(window, &mut |_| {}).map(drop).map_err(io::Error::other);
        let content = bridge.add_content(Content::Produced { maximum, produce: Box::new(produce) });
        bridge.add_file(path, BUILD_TIME, content)?;
    }
    bridge.write(output)?;
    Ok(())
}

fn install_wim(shared: &Shared<'_>, capture: Option<Capture>, contents: &mut Contents) -> Result<WimPlan, Error> {
    let mut images = Vec::new();
    for edition in &EDITIONS {
        images.push(windows::image(edition, shared, capture, contents)?);
    }
    Ok(WimPlan::new(images, wim_options(*b"practice install", 0), &|id| contents.source(id))?)
}

/// LZX, compressed quickly.
pub(crate) fn wim_options(guid: [u8; 16], boot_index: u32) -> WriteOptions {
    WriteOptions { level: Level::FAST, boot_index, ..WriteOptions::new(Some(Compression::Lzx), guid) }
}

/// What Windows Setup has in `boot.wim` too.
fn is_in_setup(path: &str) -> bool {
    path == "setup.exe" || path == "sources/lang.ini" || path.starts_with("sources/setup") || path == "sources/winsetup.dll"
}

/// The files of a medium but boot images and image files.
fn medium_files() -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut files: Vec<(String, Vec<u8>)> = vec![
        ("autorun.inf".into(), b"[AutoRun.Amd64]\r\nopen=setup.exe\r\nicon=setup.exe,0\r\n\r\n[AutoRun]\r\nopen=sources\\setup.exe\r\nicon=sources\\setup.exe,0\r\n".to_vec()),
        ("efi/boot/bootx64.efi".into(), boot::bootx64()),
        ("sources/idwbinfo.txt".into(), b"[BUILDINFO]\r\nBuildArch=amd64\r\nBuildType=fre\r\nBuildBranch=ge_release\r\n".to_vec()),
        ("sources/lang.ini".into(), b"[Available UI Languages]\r\nen-us = 3\r\n\r\n[Fallback Languages]\r\nen-us = en-us\r\n".to_vec()),
        ("sources/cversion.ini".into(), b"[HostBuild]\r\nMinClient=6.1.7600.0\r\nMinServer=6.1.7600.0\r\n".to_vec()),
        ("sources/setupplatform.cfg".into(), b"[SetupPlatform]\r\nVersion=10.0.26100.1742\r\n".to_vec()),
        ("sources/inf/setup.cfg".into(), b"[Media]\r\ntype=client\r\nOffer=Off\r\n".to_vec()),
        ("sources/$oem$/$$/setup/scripts/readme.txt".into(), b"Practice medium\r\n".to_vec()),
    ];
    for path in ["bootmgr", "boot/bcd", "boot/boot.sdi", "boot/bootfix.bin", "efi/microsoft/boot/bcd", "boot/fonts/segoe_slboot.ttf"] {
        let size = 4096 + Random::new(seed_of(path)).below(20_000);
        files.push((path.into(), Generated { kind: Kind::Packed, seed: seed_of(path), size }.bytes()?));
    }
    for path in data::MEDIUM_PROGRAMS.split('|') {
        let name = path.rsplit('/').next().unwrap_or(path);
        let size = (8192 + Random::new(seed_of(path)).below(48_000)).next_multiple_of(512);
        files.push((path.into(), Generated { kind: Kind::Program(Program::of_name(name, true)), seed: seed_of(path), size }.bytes()?));
    }
    Ok(files)
}

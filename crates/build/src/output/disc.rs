//! The medium as an ISO image that boots under BIOS and UEFI.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wimwright_format::io::FileSource;
use wimwright_format::media::{BootEntry, Bridge, Content, IsoView, Options, Platform, Window};
use wimwright_image::medium::{Medium, MediumKind};

use super::images::{self, write_to};
use super::{Job, OutputError, Written, finish};
use crate::durable::{At, Pending, PendingFolder};
use crate::recipe::{BootPrompt, IsoOutput};

/// Where Microsoft's media keep the UEFI boot images: one asks for a key, one does not.
const PROMPT: &str = "efi/microsoft/boot/efisys.bin";
const NO_PROMPT: &str = "efi/microsoft/boot/efisys_noprompt.bin";
/// Where they keep the BIOS boot image.
const BIOS: &str = "boot/etfsboot.com";

pub(super) fn check(output: &IsoOutput, medium: &Medium) -> Result<(), OutputError> {
    if medium.kind == MediumKind::ImageFile {
        let what = format!("`{}` is an image file, not a medium: there is no setup program to put on an ISO", medium.path.display());
        return Err(OutputError::Refused {
            what,
            hint: "give the ISO or folder that it came from as the medium, or write a `wim` output".to_owned(),
        });
    }
    if output.boot == BootPrompt::NoPrompt && !medium.files.iter().any(|file| file.path.eq_ignore_ascii_case(NO_PROMPT)) {
        let what = format!("the medium has no `{NO_PROMPT}`, which `boot: no-prompt` needs");
        return Err(OutputError::Refused { what, hint: "leave out `boot`, or add the file to the medium".to_owned() });
    }
    Ok(())
}

pub(super) fn write(job: &Job<'_>, output: &IsoOutput) -> Result<Written, OutputError> {
    let path = &output.path.path;
    let medium = &job.plan.medium;
    let failed = |source| OutputError::Disc { path: path.clone(), source };
    let (install_path, form, part_size) = images::on_medium(job, &output.install);
    let time = job.time();
    let label = output.label.clone().unwrap_or_else(|| medium.label.clone());
    let options = Options { label, time, volume_set: volume_set(job), iso_view: IsoView::Stub, share_identical: true };
    let mut bridge = Bridge::new(options).map_err(failed)?;
    for folder in &medium.folders {
        bridge.add_directory(folder, time).map_err(failed)?;
    }
    let replaced = replaced_files(job);
    let mut contents = std::collections::HashMap::new();
    for file in medium.files.iter().filter(|file| !replaced.contains(&file.path)) {
        let content = bridge.add_content(Content::Source(file.source.clone()));
        contents.insert(file.path.to_ascii_lowercase(), content);
        bridge.add_file(&file.path, file.written.unwrap_or(time), content).map_err(failed)?;
    }
    for entry in boot_entries(&mut bridge, medium, &contents, output.boot) {
        bridge.add_boot_entry(entry).map_err(failed)?;
    }

    match part_size {
        None => {
            let wim = images::plan(job, &form, path)?;
            let maximum = wim.maximum_size();
            let produce =
                Box::new(move |window: &mut Window<'_>| write_to(job, &wim, window, path).map(drop).map_err(std::io::Error::other));
            let content = bridge.add_content(Content::Produced { maximum, produce });
            bridge.add_file(&install_path, time, content).map_err(failed)?;
        }
        Some(part_size) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let temporary = PendingFolder::create_in(folder)?;
            let first = temporary.path().join("install.swm");
            images::write_split(job, &first, &form, part_size)?;
            for number in 1.. {
                let part = images::part_path(&first, number);
                if !part.exists() {
                    break;
                }
                let source = File::open(&part).and_then(FileSource::new).at("open", &part)?;
                let content = bridge.add_content(Content::Source(Arc::new(source)));
                let name = images::part_path(Path::new(&install_path), number);
                bridge.add_file(&name.to_string_lossy(), time, content).map_err(failed)?;
            }
        }
    }
    let pending = Pending::create(path)?;
    bridge.write(pending.file()).map_err(failed)?;
    finish(path, pending)
}

/// The image file of the input with all its parts: what the output has its own of.
pub(super) fn replaced_files(job: &Job<'_>) -> Vec<String> {
    let first = std::path::PathBuf::from(&job.plan.image_path);
    (1..=job.plan.image_file.parts().len()).map(|number| images::part_path(&first, number).to_string_lossy().into_owned()).collect()
}

fn boot_entries(
    bridge: &mut Bridge<'_>,
    medium: &Medium,
    contents: &std::collections::HashMap<String, wimwright_format::media::ContentId>,
    prompt: BootPrompt,
) -> Vec<BootEntry> {
    let mut entries = Vec::new();
    if let Some(image) = contents.get(BIOS) {
        entries.push(BootEntry::bios(*image));
    } else if let Some(code) = medium.boot.iter().find(|code| code.platform == Platform::Bios) {
        let image = bridge.add_content(Content::Source(code.source.clone()));
        entries.push(BootEntry { load_sectors: code.load_sectors, ..BootEntry::bios(image) });
    }
    let wanted = match prompt {
        BootPrompt::Prompt => PROMPT,
        BootPrompt::NoPrompt => NO_PROMPT,
    };
    let from_catalog = medium.boot.iter().find(|code| code.platform == Platform::Uefi);
    if let Some(image) = contents.get(wanted) {
        entries.push(BootEntry::uefi(*image));
    } else if let Some(code) = from_catalog {
        let image = bridge.add_content(Content::Source(code.source.clone()));
        entries.push(BootEntry { load_sectors: code.load_sectors, ..BootEntry::uefi(image) });
    }
    // A catalog may have more than one entry of a platform: genisoimage writes UEFI entries as such of BIOS.
    for (number, code) in medium.boot.iter().enumerate() {
        let known = [Platform::Bios, Platform::Uefi].contains(&code.platform);
        if !known || medium.boot.iter().take(number).any(|earlier| earlier.platform == code.platform) {
            let image = bridge.add_content(Content::Source(code.source.clone()));
            entries.push(BootEntry { platform: code.platform, load_sectors: code.load_sectors, image });
        }
    }
    entries
}

/// Tells this volume from others: a hash of what is on it.
fn volume_set(job: &Job<'_>) -> [u8; 8] {
    let mut hash = Sha256::new();
    for image in job.images {
        hash.update(image.after.tree.id().0);
    }
    for (path, size) in job.plan.medium.listing() {
        hash.update(path);
        hash.update(size.to_le_bytes());
    }
    let mut id = [0; 8];
    id.copy_from_slice(&hash.finalize()[..8]);
    id
}

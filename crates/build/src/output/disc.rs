//! The medium as an ISO image that boots under BIOS and UEFI.

use sha2::{Digest, Sha256};
use wimwright_format::media::{BootEntry, Bridge, BridgeError, Content, IsoView, Options, Platform};
use wimwright_image::medium::{Medium, MediumKind};

use super::images::{self, write_to};
use super::{Job, OutputError, Written, finish};
use crate::durable::Pending;
use crate::recipe::{BootPrompt, IsoOutput};

/// Where Microsoft's media keep the UEFI boot images: one asks for a key, one does not.
const PROMPT: &str = "efi/microsoft/boot/efisys.bin";
const NO_PROMPT: &str = "efi/microsoft/boot/efisys_noprompt.bin";
/// Where they keep the BIOS boot image.
const BIOS: &str = "boot/etfsboot.com";

pub(super) fn write(job: &Job<'_>, output: &IsoOutput) -> Result<Written, OutputError> {
    let path = &output.path.path;
    let medium = &job.plan.medium;
    if medium.kind == MediumKind::ImageFile {
        let what = format!("`{}` is an image file, not a medium: there is no setup program to put on an ISO", medium.path.display());
        return Err(OutputError::Refused { what, hint: "give the ISO or folder that it came from as the medium, or write a `wim` output".to_owned() });
    }
    let failed = |source| OutputError::Disc { path: path.clone(), source };
    let (install_path, form, part_size) = images::on_medium(job, &output.install);
    let wim = images::plan(job, &form, path)?;

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
    for entry in boot_entries(&mut bridge, medium, &contents, output.boot)? {
        bridge.add_boot_entry(entry).map_err(failed)?;
    }

    let pending = Pending::create(path)?;
    let plans = match part_size {
        Some(size) => wimwright_format::wim::split(wim, size).map_err(|source| images::failed(path, source))?,
        None => vec![wim],
    };
    let install = std::path::PathBuf::from(&install_path);
    let names: Vec<_> = (1..=plans.len()).map(|number| images::part_path(&install, number).to_string_lossy().into_owned()).collect();
    std::thread::scope(|_| {
        for (plan, name) in plans.into_iter().zip(&names) {
            let maximum = plan.maximum_size();
            let content = bridge.add_content(Content::Produced {
                maximum,
                produce: Box::new(move |window| write_to(job, &plan, window, path).map(drop).map_err(std::io::Error::other)),
            });
            bridge.add_file(name, time, content).map_err(failed)?;
        }
        bridge.write(pending.file(), &mut |done, total| job.progress("write", path, done, total)).map_err(failed)
    })?;
    finish(path, pending, job)
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
) -> Result<Vec<BootEntry>, OutputError> {
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
    } else if prompt == BootPrompt::NoPrompt {
        let what = format!("the medium has no `{NO_PROMPT}`, which `boot: no-prompt` needs");
        return Err(OutputError::Refused { what, hint: "leave out `boot`, or add the file to the medium".to_owned() });
    } else if let Some(code) = from_catalog {
        let image = bridge.add_content(Content::Source(code.source.clone()));
        entries.push(BootEntry { load_sectors: code.load_sectors, ..BootEntry::uefi(image) });
    }
    Ok(entries)
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

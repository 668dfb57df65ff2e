//! The medium as a folder, to be copied to a USB stick or a deployment share.

use std::fs;
use std::io;
use std::path::Path;

use wimwright_format::io::Reader;
use wimwright_image::medium::{Medium, MediumKind};

use super::disc::replaced_files;
use super::images::{self, write_to};
use super::{Job, OutputError, Written};
use crate::durable::{At, Pending, PendingFolder};
use crate::job::is_ours;
use crate::library::Library;
use crate::recipe::FolderOutput;

pub(super) fn check(output: &FolderOutput, medium: &Medium, library: &Library) -> Result<(), OutputError> {
    let path = &output.path.path;
    if medium.kind == MediumKind::ImageFile {
        let what = format!("`{}` is an image file, not a medium: there are no files to put into a folder", medium.path.display());
        return Err(OutputError::Refused { what, hint: "write a `wim` output".to_owned() });
    }
    let occupied = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !is_ours(library, path) {
        let what = format!("`{}` holds files that no build wrote, or that were changed since: it is not overwritten", path.display());
        return Err(OutputError::Refused { what, hint: "remove it, or choose another folder".to_owned() });
    }
    Ok(())
}

pub(super) fn write(job: &Job<'_>, output: &FolderOutput) -> Result<Written, OutputError> {
    let path = &output.path.path;
    // Again: the steps may have taken long.
    check(output, &job.plan.medium, job.library)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let pending = PendingFolder::create_in(parent)?;
    let size = fill(job, output, pending.path())?;
    pending.publish(path)?;
    Ok(Written { path: path.clone(), size })
}

fn fill(job: &Job<'_>, output: &FolderOutput, root: &Path) -> Result<u64, OutputError> {
    let medium = &job.plan.medium;
    let replaced = replaced_files(job);
    for folder in &medium.folders {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).at("create the folder", &folder)?;
    }
    let total: u64 = medium.files.iter().map(|file| file.source.size()).sum();
    let mut size = 0;
    for file in medium.files.iter().filter(|file| !replaced.contains(&file.path)) {
        let target = root.join(&file.path);
        let pending = Pending::create(&target)?;
        size += io::copy(&mut Reader::new(&file.source), &mut pending.file()).at("write", &target)?;
        pending.publish()?;
        job.progress("write", &output.path.path, size, total);
    }
    let (install_path, form, part_size) = images::on_medium(job, &output.install);
    let target = root.join(install_path);
    Ok(size
        + match part_size {
            Some(part_size) => images::write_split(job, &target, &form, part_size)?.size,
            None => {
                let plan = images::plan(job, &form, &target)?;
                let pending = Pending::create(&target)?;
                let written = write_to(job, &plan, &mut pending.file(), &target)?;
                pending.publish()?;
                written
            }
        })
}

//! The serviced images as one WIM, ESD, or split WIM.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wimwright_format::io::FileSource;
use wimwright_format::wim::write::{self, BlobSource, ImageSource, ImageToWrite, Output as WimOutput, WimPlan, WriteError, WriteOptions};
use wimwright_format::wim::{BlobId, Compression, ImageInfo, Level, VERSION_SOLID, Wim, header_flags};
use wimwright_image::medium::MediumKind;

use super::{Job, OutputError, Written, finish};
use crate::durable::{At, Pending};
use crate::job::is_ours;
use crate::recipe::{self, InstallFormat, InstallImage, WimCompression};

/// How images are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    compression: recipe::Compression,
    level: Option<u32>,
    integrity: bool,
    solid: bool,
}

impl Form {
    pub(super) fn wim(compression: &WimCompression) -> Self {
        Self {
            compression: compression.compression,
            level: compression.level.map(|level| level.0),
            integrity: compression.integrity,
            solid: false,
        }
    }

    pub(super) fn esd(level: Option<recipe::Level>, integrity: bool) -> Self {
        Self { compression: recipe::Compression::Lzms, level: level.map(|level| level.0), integrity, solid: true }
    }
}

/// The file name of the install image on a medium, its form, and the size of its parts when it is split.
pub(super) fn on_medium(job: &Job<'_>, install: &InstallImage) -> (String, Form, Option<u64>) {
    let input = &job.plan.image_path;
    // A bare image file becomes the install image of the medium that it is put on.
    let input = if job.plan.medium.kind == MediumKind::ImageFile { format!("sources/install{}", extension(input)) } else { input.clone() };
    let stem = &input[..input.len() - extension(&input).len()];
    let format = install.install.unwrap_or(match extension(&input).to_ascii_lowercase().as_str() {
        ".esd" => InstallFormat::Esd,
        ".swm" => InstallFormat::Swm,
        _ => InstallFormat::Wim,
    });
    let form = Form::wim(&install.compression);
    match format {
        InstallFormat::Wim => (format!("{stem}.wim"), form, None),
        InstallFormat::Esd => (format!("{stem}.esd"), Form::esd(install.compression.level, install.compression.integrity), None),
        InstallFormat::Swm => {
            // Without a size in the recipe: the largest part of the input, as whoever split it meant it.
            let parts = job.plan.image_file.parts();
            let largest = if parts.len() > 1 { parts.iter().map(|part| part.source().size()).max() } else { None };
            /// What fits on FAT32 with room to spare, Microsoft's own value in its documentation of `/Split-Image`.
            const DEFAULT_PART: u64 = 3_800 << 20;
            (format!("{stem}.swm"), form, Some(install.size.map(|size| size.bytes).or(largest).unwrap_or(DEFAULT_PART)))
        }
    }
}

fn extension(path: &str) -> &str {
    path.rfind('.').map_or("", |dot| &path[dot..])
}

/// Decides everything about the WIM of a job.
pub(super) fn plan(job: &Job<'_>, form: &Form, path: &Path) -> Result<WimPlan, OutputError> {
    let parts = job.plan.image_file.parts();
    let input = job.plan.image_file.first().header();
    let input_is_solid = input.version == VERSION_SOLID;
    let compression = match form.compression {
        // A solid input keeps its class only as an ESD; as a WIM it becomes what Microsoft's media are.
        recipe::Compression::Keep if input_is_solid => Some(Compression::Lzx),
        recipe::Compression::Keep => input.compression,
        recipe::Compression::Lzx => Some(Compression::Lzx),
        recipe::Compression::Xpress => Some(Compression::Xpress),
        recipe::Compression::Lzms => Some(Compression::Lzms),
        recipe::Compression::None => None,
    };
    let mut options = if form.solid { WriteOptions::solid(guid(job)) } else { WriteOptions::new(compression, guid(job)) };
    if !input_is_solid && !form.solid && compression == input.compression && input.chunk_size > 0 {
        options.chunk_size = input.chunk_size;
    }
    options.level = form.level.map_or(options.level, Level::new);
    options.integrity = form.integrity || (job.plan.image_file.first().header().integrity.size > 0);
    options.flags = input.flags & header_flags::REPARSE_POINT_FIX;
    options.boot_index = boot_index(job);

    let images = job.images.iter().map(|image| {
        let untouched = image.steps.is_empty();
        let source = if untouched {
            ImageSource::Wim { wim: job.plan.image_file.first().clone(), index: image.index }
        } else {
            ImageSource::Tree(Box::new(image.after.tree.to_metadata()))
        };
        ImageToWrite { source, info: image.after.info.clone() }
    });
    let blobs = job.images.first().map(|image| image.after.blobs.clone()).unwrap_or_default();
    let recompress_new = form.level.is_some();
    let resolve = |id: &BlobId| {
        let source = blobs.source(id).ok()?;
        match source {
            // What the cache compressed quickly is compressed again when a level is asked for.
            BlobSource::Wim(wim) if recompress_new && !parts.iter().any(|part| Arc::ptr_eq(part, &wim)) => {
                let blobs = blobs.clone();
                let id = *id;
                let size = wim.blob(&id)?.size;
                Some(BlobSource::Stream {
                    size,
                    open: Arc::new(move || {
                        let bytes = blobs.read(&id).map_err(std::io::Error::other)?;
                        Ok(Box::new(std::io::Cursor::new(bytes)))
                    }),
                })
            }
            source => Some(source),
        }
    };
    WimPlan::new(images.collect(), options, &resolve).map_err(|source| failed(path, source))
}

pub(super) fn failed(path: &Path, source: WriteError) -> OutputError {
    OutputError::Wim { path: path.to_owned(), source }
}

/// The bootable image of the input, if it is still there, by its number in the output.
fn boot_index(job: &Job<'_>) -> u32 {
    let wanted = job.plan.image_file.first().header().boot_index;
    job.images.iter().zip(1..).find(|(image, _)| image.index == wanted).map_or(0, |(_, index)| index)
}

/// A GUID that follows from what the images are.
fn guid(job: &Job<'_>) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update("wimwright output");
    for image in job.images {
        hash.update(image.result.bytes());
    }
    let mut guid = [0; 16];
    guid.copy_from_slice(&hash.finalize()[..16]);
    guid
}

/// Writes a WIM or ESD file.
pub(super) fn write_file(job: &Job<'_>, path: &Path, form: &Form) -> Result<Written, OutputError> {
    let plan = plan(job, form, path)?;
    let pending = Pending::create(path)?;
    write_to(job, &plan, &mut pending.file(), path)?;
    finish(path, pending)
}

/// Writes a planned WIM to where `output` stands.
pub(super) fn write_to(job: &Job<'_>, plan: &WimPlan, output: &mut dyn WimOutput, path: &Path) -> Result<u64, OutputError> {
    plan.write(output, &mut |progress| job.progress("write", path, progress.done, progress.total)).map_err(|source| failed(path, source))
}

/// Writes a split WIM: the first part at `path`, the others beside it.
pub(super) fn write_split(job: &Job<'_>, path: &Path, form: &Form, part_size: u64) -> Result<Written, OutputError> {
    let mut plan = plan(job, form, path)?;
    // Only what is compressed already can be cut into parts: the rest is compressed into one WIM first.
    let mut whole = None;
    if plan.planned_size().is_none() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).at("create the folder", folder)?;
        let file = tempfile::tempfile_in(folder).at("create a file in", folder)?;
        write_to(job, &plan, &mut &file, path)?;
        let source = FileSource::new(file).at("read", path)?;
        let wim = Arc::new(Wim::open(Arc::new(source)).map_err(|error| failed(path, error.into()))?);
        plan = replan(&wim).map_err(|source| failed(path, source))?;
        whole = Some(wim);
    }
    let mut parts: Vec<Pending> = Vec::new();
    let mut failure = None;
    let written = write::split(
        &plan,
        part_size,
        &mut |number| {
            let part = Pending::create(&part_path(path, usize::from(number))).and_then(|pending| {
                let file = pending.file().try_clone().at("write", path)?;
                parts.push(pending);
                Ok(file)
            });
            match part {
                Ok(file) => Ok(Box::new(Part(file))),
                Err(error) => {
                    failure = Some(error);
                    Err(WriteError::Output { offset: 0, source: std::io::Error::other("no file for the next part") })
                }
            }
        },
        &mut |progress| job.progress("write", path, progress.done, progress.total),
    );
    drop(whole);
    if let Some(error) = failure {
        return Err(error.into());
    }
    let size = written.map_err(|source| failed(path, source))?.iter().map(|part| part.size).sum();
    // What follows the last part would be taken for a part of this set.
    let stale: Vec<_> = (parts.len() + 1..).map(|number| part_path(path, number)).take_while(|part| part.exists()).collect();
    if let Some(part) = stale.first()
        && !is_ours(job.library, path)
    {
        let what = format!("`{}` would look like a part of the split WIM, and no build wrote it: it is not removed", part.display());
        return Err(OutputError::Refused { what, hint: "remove it, or choose another name".to_owned() });
    }
    // The first part goes first and comes last: where it is, the set is whole.
    for old in std::iter::once(path).chain(stale.iter().map(PathBuf::as_path)).filter(|old| old.exists()) {
        std::fs::remove_file(old).at("remove", old)?;
    }
    for part in parts.into_iter().rev() {
        part.publish()?;
    }
    Ok(Written { path: path.to_owned(), size })
}

/// The same images out of a WIM that holds all of them.
fn replan(wim: &Arc<Wim>) -> Result<WimPlan, WriteError> {
    let header = wim.header();
    let mut options = WriteOptions::new(header.compression, header.guid);
    options.chunk_size = header.chunk_size;
    options.flags = header.flags & header_flags::REPARSE_POINT_FIX;
    options.boot_index = header.boot_index;
    let image =
        |(info, index): (&ImageInfo, u32)| ImageToWrite { source: ImageSource::Wim { wim: wim.clone(), index }, info: info.clone() };
    WimPlan::new(wim.images().iter().zip(1..).map(image).collect(), options, &|_| Some(BlobSource::Wim(wim.clone())))
}

/// A part of a split WIM, as the writer wants to own it.
struct Part(File);

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

impl WimOutput for Part {
    fn host_file(&self) -> Option<(&File, u64)> {
        Some((&self.0, 0))
    }

    fn truncate(&mut self, length: u64) -> std::io::Result<()> {
        self.0.set_len(length)
    }
}

/// `install.swm`, 2 → `install2.swm`.
pub(crate) fn part_path(first: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return first.to_owned();
    }
    let stem = first.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let extension = first.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    first.with_file_name(format!("{stem}{number}{extension}"))
}

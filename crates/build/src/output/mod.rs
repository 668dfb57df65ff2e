//! Outputs: serviced images as WIM, ESD, SWM, folder or ISO. Each is written once, under a temporary name, synced, renamed.

mod disc;
mod folder;
mod images;
mod rewrite;

pub(crate) use images::part_path;
pub use rewrite::{refuse_existing, rewrite};

use std::path::{Path, PathBuf};

use thiserror::Error;
use wimwright_format::media::BridgeError;
use wimwright_format::wim::write::WriteError;
use wimwright_image::BlobError;

use crate::durable::{self, At, FileError, Pending};
use crate::events::{Event, Events};
use crate::library::Library;
use crate::recipe::Output;
use crate::run::{Plan, ServicedImage};

/// Why an output cannot be written.
#[derive(Debug, Error)]
pub enum OutputError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The images cannot be written.
    #[error("the images cannot be written to `{}`", path.display())]
    Wim {
        /// The output.
        path: PathBuf,
        /// Why.
        source: WriteError,
    },
    /// The disc cannot be written.
    #[error("the disc image `{}` cannot be written", path.display())]
    Disc {
        /// The output.
        path: PathBuf,
        /// Why.
        source: BridgeError,
    },
    /// An image refers to contents that are not there.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The recipe asks for what the medium cannot give.
    #[error("{what}")]
    Refused {
        /// What and why.
        what: String,
        /// What to do instead.
        hint: String,
    },
}

/// An output that is in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its path; of a split set the first part's.
    pub path: PathBuf,
    /// Bytes in all of its files.
    pub size: u64,
}

/// Finds what keeps an output from being written before any work is done for it.
///
/// # Errors
/// [`OutputError::Refused`].
pub fn check(output: &Output, plan: &Plan, library: &Library) -> Result<(), OutputError> {
    match output {
        Output::Iso(iso) => disc::check(iso, &plan.medium),
        Output::Folder(folder) => folder::check(folder, &plan.medium, library),
        Output::Wim(_) | Output::Esd(_) | Output::Swm(_) => Ok(()),
    }
}

/// Writes one output of a plan that was run, and removes what killed runs left beside it.
///
/// # Errors
/// See [`OutputError`]. What stood at the output's path before stays there.
pub fn write(
    output: &Output,
    plan: &Plan,
    images: &[ServicedImage],
    library: &Library,
    events: &dyn Events,
) -> Result<Written, OutputError> {
    let job = Job { plan, images, library, events };
    let path = &output.path().path;
    durable::remove_leftovers(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    let written = match output {
        Output::Iso(iso) => disc::write(&job, iso)?,
        Output::Folder(folder) => folder::write(&job, folder)?,
        Output::Wim(wim) => images::write_file(&job, &wim.path.path, &images::Form::wim(&wim.compression))?,
        Output::Esd(esd) => images::write_file(&job, &esd.path.path, &images::Form::esd(esd.level, esd.integrity))?,
        Output::Swm(swm) => images::write_split(&job, &swm.path.path, &images::Form::wim(&swm.compression), swm.size.bytes)?,
    };
    events.event(Event::OutputWritten { path: written.path.display().to_string(), size: written.size });
    Ok(written)
}

/// What every kind of output needs.
struct Job<'a> {
    plan: &'a Plan,
    images: &'a [ServicedImage],
    library: &'a Library,
    events: &'a dyn Events,
}

impl Job<'_> {
    fn progress(&self, work: &'static str, path: &Path, done: u64, total: u64) {
        self.events.event(Event::Progress { work, subject: path.display().to_string(), done, total });
    }

    /// The newest time of any image: what the medium itself is dated with.
    fn time(&self) -> u64 {
        self.images.iter().filter_map(|image| image.after.info.time("LASTMODIFICATIONTIME")).max().unwrap_or_default()
    }
}

/// Publishes a finished file.
fn finish(path: &Path, pending: Pending) -> Result<Written, OutputError> {
    let size = pending.file().metadata().at("read", path)?.len();
    pending.publish()?;
    Ok(Written { path: path.to_owned(), size })
}

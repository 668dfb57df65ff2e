//! A whole build: recipe and medium in, outputs and report out. Does nothing when nothing changed.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use wimwright_image::medium::{Medium, MediumError, MediumKind};

use crate::durable::{self, FileError};
use crate::events::Events;
use crate::library::Library;
use crate::output::{self, OutputError, part_path};
use crate::recipe::{Output, Recipe, RecipeError};
use crate::report::{Outcome, Report, Timing, error_chain};
use crate::run::{InputId, Plan, RunError};

/// What is to be built, and how.
pub struct Job<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// Its name, when it gives itself none.
    pub recipe_name: String,
    /// The medium.
    pub medium: Medium,
    /// What is written.
    pub outputs: Vec<Output>,
    /// Threads that work; all processors when `None`.
    pub threads: Option<NonZeroUsize>,
    /// Where results are kept.
    pub library: &'a Library,
    /// Who is told.
    pub events: &'a dyn Events,
    /// When the build began, for the report: `2026-11-01T08:30:00Z`.
    pub started: String,
    /// Version of the program, for the report.
    pub tool_version: &'a str,
}

/// Why a build failed.
#[derive(Debug, Error)]
pub enum JobError {
    /// Nothing was to be written.
    #[error("the recipe has no `output`, and none was given")]
    NoOutput,
    /// Packages for Windows Setup need a medium.
    #[error("`{}` is no medium: packages with `engine: setup` are installed by Windows Setup, from an `iso` or `folder`", path.display())]
    SetupWithoutMedium {
        /// The output.
        path: PathBuf,
    },
    /// The recipe does not fit the medium.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The medium cannot be used.
    #[error(transparent)]
    Medium(#[from] MediumError),
    /// A step failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// An output cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system gives no threads.
    #[error("no threads can be started")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// How a build ended.
pub struct Built {
    /// What was done.
    pub report: Report,
    /// True when everything was there already.
    pub up_to_date: bool,
    /// Why it failed, if it did.
    pub error: Option<JobError>,
}

/// What an output was made from: `outputs/ID.json`.
#[derive(Debug, Serialize, Deserialize)]
struct OutputRecord {
    /// Absolute path of the output.
    path: PathBuf,
    /// Everything that it depends on.
    made_from: String,
    /// How the file looked when it was finished.
    stamp: Stamp,
    /// The report of the build that made it.
    report: Report,
}

/// What tells that an output was not touched since: size, time and inode of every file, hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp(String);

impl Stamp {
    /// Of a file, of a folder with all that is in it, or of a split set by its first part.
    fn of(path: &Path) -> Option<Self> {
        let mut hash = Sha256::new();
        let mut waiting = vec![path.to_owned()];
        waiting.extend((2..).map(|number| part_path(path, number)).take_while(|part| has_extension(part, "swm") && part.is_file()));
        while let Some(path) = waiting.pop() {
            let metadata = fs::symlink_metadata(&path).ok()?;
            if metadata.is_dir() {
                let entries = fs::read_dir(&path).ok()?.collect::<Result<Vec<_>, _>>().ok()?;
                waiting.extend(entries.into_iter().map(|entry| entry.path()));
                waiting.sort();
            } else {
                hash.update(path.as_os_str().as_encoded_bytes());
                hash.update(format!("\n{} {} {} {}\n", metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino()));
            }
        }
        Some(Self(hexadecimal(&hash.finalize())))
    }
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(wanted))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Job<'_> {
    /// Builds.
    ///
    /// # Errors
    /// What keeps a report from being made: no output, a recipe that does not fit the medium, a medium that cannot be read. What
    /// fails later is in the report, and in [`Built::error`].
    pub fn build(self) -> Result<Built, JobError> {
        match self.threads {
            // Whatever works on several threads takes as many as the pool has in which it runs.
            Some(threads) => rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build()?.install(|| self.run()),
            None => self.run(),
        }
    }

    fn run(self) -> Result<Built, JobError> {
        if self.outputs.is_empty() {
            return Err(JobError::NoOutput);
        }
        let begun = self.events.elapsed();
        let Self { recipe, recipe_name, medium, outputs, threads: _, library, events, started, tool_version } = self;
        let medium_stamp = medium_stamp(&medium);
        let plan = Plan::new(recipe, medium, &outputs, library)?;
        if !plan.setup.is_empty()
            && let Some(output) = outputs.iter().find(|output| !matches!(output, Output::Iso(_) | Output::Folder(_)))
        {
            return Err(JobError::SetupWithoutMedium { path: output.path().path.clone() });
        }
        let medium_stamp = format!("{medium_stamp}\n{}", serde_json::to_string(&plan.setup).unwrap_or_default());
        let made_from = |output: &Output, results: &[InputId]| fingerprint(output, results, &medium_stamp, tool_version);
        let timing = || Timing { started: started.clone(), total_seconds: events.elapsed().saturating_sub(begun).as_secs_f64() };

        if let Some(results) = plan.cached_results(library)? {
            let fresh = |output: &Output| up_to_date(library, output, &made_from(output, &results));
            if let Some(mut reports) = outputs.iter().map(fresh).collect::<Option<Vec<_>>>()
                && let Some(mut report) = reports.pop()
            {
                for step in report.images.iter_mut().flat_map(|image| &mut image.steps) {
                    step.outcome = Outcome::Cached;
                    step.duration_seconds = Some(0.0);
                }
                report.timing = Some(timing());
                return Ok(Built { report, up_to_date: true, error: None });
            }
        }

        let mut report = Report::begin(&plan, recipe, &recipe_name, tool_version);
        if let Some(refused) = outputs.iter().find_map(|output| output::check(output, &plan, library).err()) {
            report.error = Some(error_chain(&refused));
            report.timing = Some(timing());
            return Ok(Built { report, up_to_date: false, error: Some(refused.into()) });
        }
        let images = match plan.run(library, events) {
            Ok(images) => images,
            Err(failure) => {
                report.add_failure(&failure);
                report.timing = Some(timing());
                return Ok(Built { report, up_to_date: false, error: Some(failure.error.into()) });
            }
        };
        let mut error = report.add_images(&images).map_err(JobError::Run).err();
        let results: Vec<_> = images.iter().map(|image| image.result).collect();
        let mut written = Vec::new();
        for output in outputs.iter().take_while(|_| error.is_none()).collect::<Vec<_>>() {
            match output::write(output, &plan, &images, library, events) {
                Ok(done) => {
                    report.add_output(output, &done);
                    written.push((output, done));
                }
                Err(failed) => {
                    error = Some(failed.into());
                    break;
                }
            }
        }
        report.error = error.as_ref().map(|error| error_chain(error));
        report.timing = Some(timing());
        for (output, done) in &written {
            record_output(library, output, &done.path, made_from(output, &results), &report)?;
        }
        Ok(Built { report, up_to_date: false, error })
    }
}

/// Tells whether the medium is the one that an output was made from, without reading its contents.
fn medium_stamp(medium: &Medium) -> String {
    let stamp = match medium.kind {
        MediumKind::Folder => {
            medium.files.iter().map(|file| format!("{} {} {:?}\n", file.path, file.source.size(), file.written)).collect()
        }
        MediumKind::Iso | MediumKind::ImageFile => format!("{:?}", Stamp::of(&medium.path)),
    };
    format!("{}\n{stamp}", medium.path.display())
}

/// Everything that an output depends on.
fn fingerprint(output: &Output, results: &[InputId], medium_stamp: &str, tool_version: &str) -> String {
    let mut hash = Sha256::new();
    let output = serde_json::to_string(output).unwrap_or_default();
    let results: Vec<_> = results.iter().map(|result| format!("{result:?}")).collect();
    for part in [tool_version, &output, medium_stamp, &results.join(" ")] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hexadecimal(&hash.finalize())
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn record_path(library: &Library, output: &Path) -> PathBuf {
    let id = hexadecimal(&Sha256::digest(absolute(output).as_os_str().as_encoded_bytes())[..16]);
    library.root().join("outputs").join(format!("{id}.json"))
}

/// The report of the build that made this output, if it is still what it was.
fn up_to_date(library: &Library, output: &Output, made_from: &str) -> Option<Report> {
    let path = &output.path().path;
    let record: OutputRecord = serde_json::from_slice(&fs::read(record_path(library, path)).ok()?).ok()?;
    (record.made_from == made_from && Stamp::of(path) == Some(record.stamp)).then_some(record.report)
}

/// True when the library knows that it wrote this output: it may be replaced.
pub(crate) fn is_ours(library: &Library, path: &Path) -> bool {
    let record = fs::read(record_path(library, path)).ok().and_then(|bytes| serde_json::from_slice::<OutputRecord>(&bytes).ok());
    record.is_some_and(|record| Stamp::of(path) == Some(record.stamp))
}

fn record_output(library: &Library, output: &Output, path: &Path, made_from: String, report: &Report) -> Result<(), FileError> {
    let Some(stamp) = Stamp::of(path) else { return Ok(()) };
    let record = OutputRecord { path: absolute(path), made_from, stamp, report: report.clone() };
    durable::write(&record_path(library, &output.path().path), serde_json::to_string_pretty(&record).unwrap_or_default().as_bytes())
}

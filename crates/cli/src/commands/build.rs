//! `build`: does what a recipe describes.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wimwright_build::job::{Built, Job};
use wimwright_build::recipe::{EsdOutput, FolderOutput, HostPath, InstallImage, IsoOutput, Output, Recipe, SwmOutput, WimOutput};
use wimwright_build::report::{self, Outcome, PackageReport, Report, Signature};
use wimwright_format::file_time::FileTime;
use wimwright_image::medium::Medium;

use super::{Result, library, recipe};
use crate::args::{Build, Global};
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;
use crate::ui::progress::Progress;
use crate::ui::text;

/// Largest part of a split WIM when the command line asks for one: what fits on FAT32.
const SWM_PART: u64 = 3_800 << 20;

/// Builds.
pub fn run(arguments: &Build, global: &Global, printer: &Printer) -> Result {
    let recipe = recipe::read(&arguments.recipe)?;
    let library = library(global)?;
    let media = recipe::medium_path(&arguments.recipe, &recipe, &library)?;
    recipe::verify_lock(&arguments.recipe, &recipe, &library)?;
    let outputs = outputs(&recipe, arguments.out.as_deref())?;
    let report_base = match (&arguments.report, outputs.first()) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(output)) => Some(with_suffix(&output.path().path, ".report")),
        (None, None) => None,
    };
    let progress = Progress::new(printer);
    let job = Job {
        recipe: &recipe,
        recipe_name: arguments.recipe.recipe.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
        medium: Medium::open(&media)?,
        outputs,
        threads: arguments.threads,
        library: &library,
        events: &progress,
        started: now(),
        tool_version: env!("CARGO_PKG_VERSION"),
    };
    let built = job.build();
    progress.finish();
    finish(built?, report_base.as_deref(), printer)
}

/// Writes the reports and tells how the build ended.
pub fn finish(built: Built, report_base: Option<&Path>, printer: &Printer) -> Result {
    let Built { report, up_to_date, error } = built;
    let mut written = Vec::new();
    if let Some(base) = report_base {
        for (suffix, contents) in [(".html", report::html(&report)), (".json", report.to_json())] {
            let path = with_suffix(base, suffix);
            // A build that had nothing to do leaves the report of the one that did.
            if !up_to_date || !path.exists() {
                wimwright_build::write_file(&path, contents.as_bytes())?;
            }
            written.push(path);
        }
    }
    if printer.is_json() {
        printer.json_line(
            &serde_json::json!({ "event": "finished", "succeeded": report.succeeded(), "up_to_date": up_to_date, "report": report }),
        )?;
    } else if error.is_none() {
        printer.bytes(render(&report, up_to_date, &written).as_bytes())?;
    }
    match error {
        Some(error) => Err(match written.first() {
            Some(path) => CommandError::from(error).hinted(format!("the whole report is in {}", path.display())),
            None => error.into(),
        }),
        None => Ok(()),
    }
}

/// The outputs of the recipe, or the one that the command line asks for.
fn outputs(recipe: &Recipe, out: Option<&Path>) -> Result<Vec<Output>> {
    let Some(out) = out else {
        if recipe.outputs.is_empty() {
            return Err(
                CommandError::user("the recipe has no `output`").hinted("add `output: { iso: ./windows.iso }` to it, or give --out PATH")
            );
        }
        return Ok(recipe.outputs.clone());
    };
    let path = HostPath::new(out);
    if let [output] = recipe.outputs.as_slice() {
        return Ok(vec![output.clone().with_path(path)]);
    }
    if !recipe.outputs.is_empty() {
        let message = format!("the recipe has {} outputs: --out cannot say which one goes to `{}`", recipe.outputs.len(), out.display());
        return Err(CommandError::user(message));
    }
    let extension = out.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    Ok(vec![match extension.as_str() {
        "iso" => Output::Iso(IsoOutput { path, label: None, boot: Default::default(), install: InstallImage::default() }),
        "wim" => Output::Wim(WimOutput { path, compression: Default::default() }),
        "esd" => Output::Esd(EsdOutput { path, level: None, integrity: false }),
        "swm" => {
            Output::Swm(SwmOutput { path, size: wimwright_build::recipe::ByteSize { bytes: SWM_PART }, compression: Default::default() })
        }
        _ => Output::Folder(FolderOutput { path, install: InstallImage::default() }),
    }])
}

/// `out.iso` and `.report` give `out.iso.report`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The time of day, for the report. No result depends on it.
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).ok().and_then(FileTime::from_unix_seconds).unwrap_or_default().to_string()
}

/// What was done with a package, in one line.
fn package_line(package: &PackageReport) -> String {
    let state = if package.before == package.after { package.after.clone() } else { format!("{} -> {}", package.before, package.after) };
    let unsigned = if matches!(package.signature, Some(Signature::Unsigned { .. })) { ", unsigned" } else { "" };
    let (deferred, omitted): (Vec<_>, Vec<_>) = package.deferred.iter().partition(|part| part.command.is_some());
    let parts =
        |count: usize, what: &str| if count == 0 { String::new() } else { format!(", {} {what}", text::plural(count as u64, "part")) };
    let left = parts(deferred.len(), "left to the first start of Windows") + &parts(omitted.len(), "NOT DONE");
    let (files, values) = (text::plural(package.files, "file"), text::plural(package.values, "value"));
    format!("{}: {state}, {files}, {values}{unsigned}{left}", package.package)
}

/// The report for a terminal.
fn render(report: &Report, up_to_date: bool, written: &[PathBuf]) -> String {
    let mut lines = Vec::new();
    for image in &report.images {
        let Some(after) = &image.after else { continue };
        let arrow = |before: String, after: String| if before == after { after } else { format!("{before} -> {after}") };
        lines.push(format!("image {}: {}", image.index, arrow(image.before.name.clone(), after.name.clone())));
        let mut rows = vec![
            vec!["  version".to_owned(), arrow(image.before.full_version(), after.full_version())],
            vec!["  apps".to_owned(), arrow(image.before.apps.len().to_string(), after.apps.len().to_string())],
            vec![
                "  files".to_owned(),
                format!(
                    "{} added, {} removed, {} changed",
                    image.changes.files.added, image.changes.files.removed, image.changes.files.changed
                ),
            ],
        ];
        let registry = image.changes.registry;
        rows.push(vec![
            "  registry".to_owned(),
            format!("{} added, {} removed, {} changed", registry.added, registry.removed, registry.changed),
        ]);
        lines.push(text::table(&rows).trim_end().to_owned());
        for step in &image.steps {
            let how = match &step.outcome {
                Outcome::Done => format!("done in {}", text::duration(Duration::from_secs_f64(step.duration_seconds.unwrap_or_default()))),
                Outcome::Cached => "cached".to_owned(),
                Outcome::Failed { error } => format!("failed: {error}"),
            };
            lines.push(format!("  {}: {how}", step.kind));
            step.packages.iter().for_each(|package| lines.push(format!("    {}", package_line(package))));
        }
    }
    if !report.setup_packages.is_empty() {
        lines.push("left to Windows Setup, which installs it into whichever image it applies (not with a plain image apply)".to_owned());
    }
    report.setup_packages.iter().for_each(|package| lines.push(format!("  {} as {}", package.package, package.path)));
    for output in &report.outputs {
        lines.push(format!("output {} ({})", output.path, text::size(output.size)));
    }
    written.iter().for_each(|path| lines.push(format!("report {}", path.display())));
    let time = text::duration(Duration::from_secs_f64(report.timing.as_ref().map_or(0.0, |timing| timing.total_seconds)));
    lines.push(if up_to_date { format!("nothing to do: everything is up to date ({time})") } else { format!("done in {time}") });
    lines.join("\n") + "\n"
}

//! `health`: is the component store what its records say?

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use wimwright_build::events::{Event, Events};
use wimwright_servicing::cbs::dictionary::Dictionary;
use wimwright_servicing::cbs::health::{self, Finding, FindingKind, Level, Options, Remedy, Report, Severity};
use wimwright_servicing::cbs::source::Trust;

use super::{Result, open_images};
use crate::args::Health;
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;
use crate::ui::progress::Progress;
use crate::ui::text;

/// Most findings of one kind that are shown to people; programs get all.
pub(super) const MOST_SHOWN: usize = 20;

/// The result for every image.
#[derive(Serialize)]
struct Checked {
    images: Vec<OfImage>,
}

/// The result for an image.
#[derive(Serialize)]
pub(super) struct OfImage {
    /// Number of the image, from 1.
    pub(super) index: u32,
    /// Its name in the XML data.
    pub(super) name: String,
    /// Whether nothing is damaged.
    pub(super) healthy: bool,
    #[serde(flatten)]
    pub(super) report: Report,
}

/// Checks all images, or repairs them. Damage is an error: exit code 1.
pub fn run(arguments: &Health, printer: &Printer) -> Result {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let trust = Trust { allow_unsigned: arguments.allow_unsigned, ..Trust::microsoft(seconds) };
    let dictionary = arguments.dictionary.as_ref().map(|path| {
        let bytes = std::fs::read(path).map_err(|error| CommandError::user(format!("cannot read `{}`: {error}", path.display())))?;
        Ok::<_, CommandError>(Dictionary::new(bytes))
    });
    let dictionary = dictionary.transpose()?;
    if let (true, Some(out)) = (arguments.repair, &arguments.out) {
        return super::repair::run(arguments, out, &trust, dictionary, printer);
    }
    let level = if arguments.quick { Level::Check } else { Level::Scan };
    let progress = Progress::new(printer);
    let mut images = Vec::new();
    for (index, mut image) in open_images(&arguments.image)? {
        let name = image.info.name().unwrap_or_default();
        let told = |done, total| {
            // The result is one document: no events among it.
            if printer.shows_progress() {
                progress.event(Event::Progress { work: "check", subject: format!("image {index}"), done, total });
            }
        };
        let options = Options { level, trust: &trust, dictionary: dictionary.clone(), progress: &told };
        let report = health::check(&mut image, &options);
        progress.finish();
        let report = report?;
        images.push(OfImage { index, name, healthy: report.is_healthy(), report });
    }
    let checked = Checked { images };
    printer.result(&checked, || checked.images.iter().map(render).collect::<Vec<_>>().join("\n"))?;
    let damaged: Vec<_> = checked.images.iter().filter(|image| !image.healthy).map(|image| format!("image {}", image.index)).collect();
    if damaged.is_empty() {
        return Ok(());
    }
    let findings = || checked.images.iter().flat_map(|image| &image.report.findings);
    let repairable =
        |found: &&Finding| found.severity == Severity::Damage && found.wanted.is_some() && found.kind != FindingKind::CatalogUntrusted;
    let repair = "`wimwright health IMAGE --repair --source PATH --out FILE` puts intact files back";
    let error = CommandError::user(format!("the component store is damaged: {}", damaged.join(", ")));
    let error = error.hinted(if findings().any(|found| repairable(&found)) { repair } else { "" });
    Err(error.hinted(unsigned_hint(findings())))
}

/// What to do about catalogs that nobody known has signed.
pub(super) fn unsigned_hint<'a>(mut findings: impl Iterator<Item = &'a Finding>) -> &'static str {
    let unsigned = findings.any(|found| found.kind == FindingKind::CatalogUntrusted);
    if unsigned { "--allow-unsigned accepts catalogs that nobody known has signed" } else { "" }
}

pub(super) fn render(image: &OfImage) -> String {
    let report = &image.report;
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let verdict = match (image.healthy, report.level) {
        (true, Level::Scan) => "healthy".to_owned(),
        (true, Level::Check) => "nothing noted against it (not scanned)".to_owned(),
        (false, _) => format!("DAMAGED in {}", text::plural(count(Severity::Damage) as u64, "place")),
    };
    let mut text = format!("{}: {}: {verdict}\n", image.index, image.name);
    let checked = &report.checked;
    let mut rows = vec![
        ("packages", checked.packages.to_string()),
        ("components", format!("{} in {} deployments", checked.components, checked.deployments)),
    ];
    if report.level == Level::Scan {
        rows.push(("catalogs", checked.catalogs.to_string()));
        rows.push(("files", format!("{} in the store, {} installed", checked.payload_files, checked.installed_files)));
        rows.push(("read", text::size(checked.bytes)));
    }
    if count(Severity::Note) > 0 {
        rows.push(("notes", count(Severity::Note).to_string()));
    }
    text.push_str(&text::table(&rows.into_iter().map(|(name, value)| vec![format!("  {name}"), value]).collect::<Vec<_>>()));
    for kinds in report.findings.chunk_by(|left, right| (left.severity, left.kind) == (right.severity, right.kind)) {
        text.push_str(&render_kind(kinds));
    }
    text
}

fn render_kind(findings: &[Finding]) -> String {
    let Some(first) = findings.first() else { return String::new() };
    let severity = match first.severity {
        Severity::Damage => "damage",
        Severity::Note => "note",
    };
    let remedy = match first.remedy {
        Remedy::File => " Remedy: the intact file, from the package or an image of the same build.",
        Remedy::Store => " Remedy: the file in the store.",
        Remedy::None => "",
    };
    let mut text = format!("\n{severity}: {}{remedy}\n", first.kind.meaning());
    for finding in findings.iter().take(MOST_SHOWN) {
        let _ = writeln!(text, "  {}: {}", finding.place, finding.detail);
    }
    if findings.len() > MOST_SHOWN {
        let _ = writeln!(text, "  and {} more, which --format json lists", findings.len() - MOST_SHOWN);
    }
    text
}

//! The report as one HTML file for people: no scripts, nothing loaded from elsewhere, readable on paper, in the dark and
//! with a screen reader. The verdict stands on top, then what changed, then everything else, long lists folded.

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, PreEscaped, html as markup};

use super::{
    Certainty, Counts, ImageReport, ImageState, MediumKind, Outcome, OutputReport, PackageReport, Report, SetupPackage, Signature, Step,
};

const STYLE: &str = include_str!("style.css");

/// The whole file. All text of the report is escaped.
#[must_use]
pub fn html(report: &Report) -> String {
    let word = if report.succeeded() { "done" } else { "failed" };
    markup! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (shown(&report.recipe.name)) ": " (word) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (shown(&report.recipe.name)) }
                    p.soft { "Windows image build from " (code(&report.input.path)) " (" (kind_name(report.input.kind)) ")" }
                }
                main {
                    (verdict(report))
                    (glance(report))
                    @if !report.setup_packages.is_empty() { (setup_packages(&report.setup_packages)) }
                    @if !report.outputs.is_empty() { (outputs(&report.outputs)) }
                    @for image in &report.images { (image_section(image)) }
                }
                footer {
                    p { "Recipe " (code(&report.recipe.digest)) }
                    p {
                        "Wimwright " (shown(&report.tool_version))
                        @if let Some(timing) = &report.timing { ", started " (shown(&timing.started)) ", took " (duration(timing.total_seconds)) }
                    }
                }
            }
        }
    }
    .into_string()
}

fn verdict(report: &Report) -> Markup {
    let images = report.images.iter().filter(|image| !image.dropped).count();
    let steps = report.images.iter().map(|image| image.steps.len()).sum();
    let cached = report.images.iter().flat_map(|image| &image.steps).filter(|step| step.outcome == Outcome::Cached).count();
    let failures: Vec<_> = report.failures().collect();
    markup! {
        @if report.succeeded() {
            section.verdict.done aria-label="Verdict" {
                p { "Done" }
                p {
                    (plural(images, "image")) ", " (plural(steps, "step"))
                    @if cached > 0 { " (" (cached) " taken from an earlier build)" }
                    @if !report.outputs.is_empty() { ", " (plural(report.outputs.len(), "output")) " written" }
                    "."
                }
            }
        } @else {
            section.verdict.failed aria-label="Verdict" {
                p { "Failed" }
                p {
                    @if report.outputs.is_empty() { "Nothing was written." } @else { (plural(report.outputs.len(), "output")) " written before the failure." }
                }
                ul {
                    @if let Some(error) = &report.error { li { pre { (shown(error)) } } }
                    @for (image, step) in &failures {
                        li {
                            (shown(&step.title)) " in image " (image.index) " (" (shown(&image.name)) "):"
                            @if let Outcome::Failed { error } = &step.outcome { pre { (shown(error)) } }
                        }
                    }
                }
            }
        }
    }
}

/// What changed in all finished images together.
fn glance(report: &Report) -> Markup {
    let finished: Vec<_> = report.images.iter().filter_map(|image| Some((image, image.after.as_ref()?))).collect();
    let total = |part: fn(&ImageReport) -> Counts| {
        finished.iter().map(|(image, _)| part(image)).fold(Counts::default(), |sum, counts| Counts {
            added: sum.added.saturating_add(counts.added),
            removed: sum.removed.saturating_add(counts.removed),
            changed: sum.changed.saturating_add(counts.changed),
        })
    };
    // An app that several editions have is one app.
    let (mut apps_added, mut apps_removed) = (BTreeSet::new(), BTreeSet::new());
    for (image, after) in &finished {
        let (added, removed) = difference(&image.before.apps, &after.apps);
        apps_added.extend(added);
        apps_removed.extend(removed);
    }
    let apps = Counts { added: apps_added.len() as u64, removed: apps_removed.len() as u64, changed: 0 };
    let rows = [
        ("Files", total(|image| image.changes.files)),
        ("Registry entries", total(|image| image.changes.registry)),
        ("Provisioned apps", apps),
    ];
    markup! {
        @if !finished.is_empty() {
            h2 { "What changed" }
            div.scroll { table.glance {
                thead { tr { th scope="col" { "" } th.right scope="col" { "Added" } th.right scope="col" { "Removed" } th.right scope="col" { "Changed" } } }
                tbody { @for (label, counts) in rows {
                    tr {
                        th scope="row" { (label) }
                        @for count in [counts.added, counts.removed, counts.changed] { td.right.none[count == 0] { (grouped(count)) } }
                    }
                } }
            } }
            @if finished.len() > 1 { p.soft { "In " (plural(finished.len(), "image")) " together; an app that several have counts once." } }
        }
    }
}

fn outputs(outputs: &[OutputReport]) -> Markup {
    markup! {
        h2 { "What was written" }
        div.scroll { table {
            thead { tr { th scope="col" { "File" } th scope="col" { "Kind" } th.right scope="col" { "Size" } } }
            tbody { @for output in outputs {
                tr {
                    th scope="row" { (code(&output.path)) }
                    td { (kind_name(output.kind)) }
                    td.right { (bytes(output.size)) }
                }
            } }
        } }
    }
}

fn image_section(image: &ImageReport) -> Markup {
    let state = image.after.as_ref().unwrap_or(&image.before);
    markup! {
        section {
            h2 { "Image " (image.index) ": " (shown(&image.name)) }
            @if image.dropped { p { "Left out of the result, as the recipe says." } }
            @else {
                @if let Some(after) = &image.after { (before_and_after(&image.before, after, image)) } @else { (before_only(&image.before)) }
                @if !image.steps.is_empty() { (steps(&image.steps)) }
                @if image.steps.iter().any(|step| !step.packages.is_empty()) { (packages(&image.steps)) }
                h3 { "Full lists" }
                (folded("Packages", &state.packages))
                (folded("Features", &state.features))
                (folded("Provisioned apps", &state.apps))
            }
        }
    }
}

/// One row of the comparison: what, before, after.
struct Row {
    label: &'static str,
    before: String,
    after: String,
}

fn rows(before: &ImageState, after: &ImageState) -> Vec<Row> {
    let row = |label, text: fn(&ImageState) -> String| Row { label, before: text(before), after: text(after) };
    vec![
        row("Name", |state| state.name.clone()),
        row("Version", ImageState::full_version),
        row("Edition", |state| state.edition.clone()),
        row("Languages", |state| state.languages.join(", ")),
        row("Packages", |state| grouped(state.packages.len() as u64)),
        row("Features", |state| grouped(state.features.len() as u64)),
        row("Provisioned apps", |state| grouped(state.apps.len() as u64)),
        row("Files", |state| grouped(state.file_count)),
        row("Size of the files", |state| bytes(state.total_bytes)),
        row("Size in the WIM", |state| state.image_bytes.map(bytes).unwrap_or_default()),
    ]
}

fn before_and_after(before: &ImageState, after: &ImageState, image: &ImageReport) -> Markup {
    let lists = [
        ("Packages", difference(&before.packages, &after.packages)),
        ("Features", difference(&before.features, &after.features)),
        ("Provisioned apps", difference(&before.apps, &after.apps)),
    ];
    markup! {
        p { "Files: " (counts_text(image.changes.files)) ". Registry: " (counts_text(image.changes.registry)) "." }
        h3 { "Before and after" }
        div.scroll { table {
            thead { tr { th scope="col" { "" } th scope="col" { "Before" } th scope="col" { "After" } } }
            tbody { @for row in rows(before, after) {
                tr.same[row.before == row.after] {
                    th scope="row" { (row.label) }
                    td { (or_dash(&row.before)) }
                    td {
                        (or_dash(&row.after))
                        @if let Some((_, (added, removed))) = lists.iter().find(|(label, _)| *label == row.label) {
                            (folded_owned("added", added)) (folded_owned("removed", removed))
                        }
                    }
                }
            } }
        } }
    }
}

fn before_only(before: &ImageState) -> Markup {
    markup! {
        h3 { "Before; it was not finished" }
        div.scroll { table {
            tbody { @for row in rows(before, before) { tr { th scope="row" { (row.label) } td { (or_dash(&row.before)) } } } }
        } }
    }
}

fn steps(steps: &[Step]) -> Markup {
    markup! {
        h3 { "Steps, in the order in which they were done" }
        div.scroll { table {
            thead { tr { th scope="col" { "Step" } th scope="col" { "Result" } th.right scope="col" { "Time" } } }
            tbody { @for step in steps {
                tr {
                    th scope="row" {
                        (shown(&step.title)) " " span.soft { (code(&step.kind)) }
                        @if let Outcome::Failed { error } = &step.outcome { div.error { (shown(error)) } }
                        @if !step.details.is_empty() {
                            details {
                                summary { (plural(step.details.len(), "detail")) }
                                ul { @for detail in &step.details { li { (shown(detail)) } } }
                            }
                        }
                    }
                    td { (outcome(step)) }
                    td.right { @if let Some(seconds) = step.duration_seconds { (duration(seconds)) } }
                }
            } }
        } }
    }
}

/// Windows packages, one row each, with what is left to Windows behind its number.
fn packages(steps: &[Step]) -> Markup {
    markup! {
        h3 { "Windows packages that changed" }
        div.scroll { table {
            thead { tr {
                th scope="col" { "Package" } th scope="col" { "Before" } th scope="col" { "After" }
                th.right scope="col" { "Components" } th.right scope="col" { "Files" } th.right scope="col" { "Values" }
                th scope="col" { "Signature" } th scope="col" { "Certainty" }
            } }
            tbody { @for package in steps.iter().flat_map(|step| &step.packages) {
                tr {
                    th scope="row" {
                        (code(&package.package))
                        @if let Some(file) = &package.file { div.soft { "from " (code(file)) } }
                    }
                    td { (shown(&package.before)) }
                    td { (shown(&package.after)) }
                    td.right { (grouped(package.components)) }
                    td.right { (grouped(package.files)) }
                    td.right { (grouped(package.values)) }
                    td { (signature(package.signature.as_ref())) }
                    td { (certainty(package)) }
                }
            } }
        } }
    }
}

fn setup_packages(packages: &[SetupPackage]) -> Markup {
    markup! {
        h2 { "What Windows Setup will install" }
        p { "From the medium, into whichever image it applies. An image that is applied without Setup does not get it." }
        div.scroll { table {
            thead { tr { th scope="col" { "Package" } th scope="col" { "On the medium" } th scope="col" { "Why not natively" } th scope="col" { "Signature" } } }
            tbody { @for package in packages {
                tr {
                    th scope="row" { (code(&package.package)) div.soft { "from " (code(&package.file)) } }
                    td { (code(&package.path)) details { summary { "SHA-256" } (code(&package.sha256)) } }
                    td { (shown(&package.reason)) }
                    td { (signature(Some(&package.signature))) }
                }
            } }
        } }
    }
}

fn signature(signature: Option<&Signature>) -> Markup {
    markup! {
        @match signature {
            Some(Signature::Trusted { signer, root }) => { details { summary { "trusted" } (shown(signer)) ", " (shown(root)) } }
            Some(Signature::Unsigned { reason }) => { details { summary { "unsigned" } (shown(reason)) } }
            None => { span.soft { "in the image" } }
        }
    }
}

fn certainty(package: &PackageReport) -> Markup {
    markup! {
        @if package.deferred.is_empty() { "exact" } @else {
            @if package.deferred.iter().any(|part| part.command.is_none()) {
                span.mark.failed { "not all done" }
            } @else {
                span.mark.deferred { "Windows does it later" }
            }
            details {
                summary { (plural(package.deferred.len(), "part")) " that only Windows' own installers do" }
                ul { @for part in &package.deferred {
                    li {
                        (code(&part.component)) ": " (shown(&part.installer)) " " (code(&part.what)) ", since " (shown(&part.reason)) ": "
                        @match &part.command { Some(command) => (code(command)), None => "not done: no tool of Windows does it" }
                    }
                } }
            }
        }
    }
}

fn outcome(step: &Step) -> Markup {
    markup! {
        @match step.outcome {
            Outcome::Done => { span.mark.done { "done" } }
            Outcome::Cached => { span.mark.cached { "cached" } }
            Outcome::Failed { .. } => { span.mark.failed { "failed" } }
        }
        @if step.certainty == Certainty::Deferred { " " span.mark.deferred { "Windows does it later" } }
    }
}

/// A list behind its name and length; nothing when it is empty.
fn folded(label: &str, items: &[String]) -> Markup {
    markup! {
        @if items.is_empty() { p.soft { (label) ": none" } }
        @else { details { summary { (label) ": " (items.len()) } ul { @for item in items { li { (code(item)) } } } } }
    }
}

fn folded_owned(label: &str, items: &[&str]) -> Markup {
    markup! {
        @if !items.is_empty() {
            details { summary { (items.len()) " " (label) } ul { @for item in items { li { (code(item)) } } } }
        }
    }
}

/// What is only in `after`, and what is only in `before`.
fn difference<'s>(before: &'s [String], after: &'s [String]) -> (Vec<&'s str>, Vec<&'s str>) {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.iter().collect(), after.iter().collect());
    (new.difference(&old).map(|item| item.as_str()).collect(), old.difference(&new).map(|item| item.as_str()).collect())
}

/// Text with what would reorder or hide it made visible; the markup escapes the rest.
fn shown(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}

fn code(text: &str) -> Markup {
    markup! { code { (shown(text)) } }
}

fn or_dash(text: &str) -> Markup {
    markup! { @if text.is_empty() { span.soft { "not known" } } @else { (shown(text)) } }
}

fn kind_name(kind: MediumKind) -> &'static str {
    match kind {
        MediumKind::Iso => "ISO image",
        MediumKind::Folder => "folder",
        MediumKind::Wim => "WIM file",
        MediumKind::Esd => "ESD file",
        MediumKind::Swm => "split WIM",
    }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{} {noun}s", grouped(count as u64)) }
}

fn counts_text(counts: Counts) -> String {
    format!("{} added, {} removed, {} changed", grouped(counts.added), grouped(counts.removed), grouped(counts.changed))
}

/// A number with a thin space between each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A size in the largest unit in which it is at least one. Units are powers of 1024, as Windows shows sizes.
fn bytes(count: u64) -> String {
    let units = [(30, "GB"), (20, "MB"), (10, "KB")];
    match units.iter().find(|(shift, _)| count >> shift > 0) {
        Some((shift, unit)) => format!("{:.1}\u{202f}{unit}", count as f64 / f64::from(1_u32 << shift)),
        None => format!("{count}\u{202f}bytes"),
    }
}

fn duration(seconds: f64) -> String {
    if seconds < 0.0005 {
        "0\u{202f}ms".to_owned()
    } else if seconds < 1.0 {
        format!("{:.0}\u{202f}ms", seconds * 1000.0)
    } else if seconds < 60.0 {
        format!("{seconds:.1}\u{202f}s")
    } else {
        format!("{}\u{202f}min {:02}\u{202f}s", (seconds / 60.0) as u64, (seconds % 60.0) as u64)
    }
}

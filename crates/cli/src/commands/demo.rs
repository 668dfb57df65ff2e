//! `demo`: makes a practice medium, services it with every step there is, checks the result.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use wimwright_build::events::{Event, Events};
use wimwright_build::job::Job;
use wimwright_build::library::Library;
use wimwright_build::recipe::Recipe;
use wimwright_image::medium::Medium;
use wimwright_image::{Blobs, Image, TreeDiff};
use wimwright_practice::updates::{CAPABILITY_FEATURE, FEATURE_OFF, FEATURE_ON, UpdateOptions};
use wimwright_servicing::cbs::health;
use wimwright_servicing::cbs::source::Trust;
use wimwright_servicing::inventory::Inventory;

use super::{Result, build};
use crate::args::Demo;
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;
use crate::ui::progress::Progress;
use crate::ui::text;

/// Runs the demonstration.
pub fn run(arguments: &Demo, printer: &Printer) -> Result {
    let size = arguments.size.as_deref().map(|size| {
        text::parse_size(size)
            .filter(|size| *size > 0)
            .ok_or_else(|| CommandError::user(format!("`{size}` is not a size")).hinted("write it like 5GB"))
    });
    let folder = &arguments.out;
    let cannot =
        |what: &str, path: &Path, error: &dyn std::fmt::Display| CommandError::user(format!("cannot {what} `{}`: {error}", path.display()));
    std::fs::create_dir_all(folder).map_err(|error| cannot("create the folder", folder, &error))?;

    printer.message("making a practice medium (nothing in it is Microsoft's)");
    let medium_path = folder.join("practice.iso");
    let options = wimwright_practice::Options { size: size.transpose()?, captured: None };
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&medium_path)
        .map_err(|error| cannot("write", &medium_path, &error))?;
    wimwright_practice::write_medium(&options, &file).map_err(|error| cannot("make", &medium_path, &error))?;
    for input in wimwright_practice::recipe::files().map_err(|error| cannot("make the recipe in", folder, &error))? {
        wimwright_build::write_file(&folder.join(&input.path), &input.bytes)?;
    }

    let library = Library::open(&folder.join("library"))?;
    let progress = Progress::new(printer);
    let record = library.import(&medium_path, Some("practice"), true, &progress)?;
    printer.message(&format!(
        "imported it: {} images, {}",
        record.images.len(),
        record.images.first().map_or("", |image| &image.media_name)
    ));

    let recipe_path = folder.join("recipe.yaml");
    let recipe = Recipe::read(&recipe_path, &BTreeMap::new())?;
    let begin = || -> Result<Job<'_>> {
        Ok(Job {
            recipe: &recipe,
            recipe_name: "demo".to_owned(),
            medium: Medium::open(&medium_path)?,
            outputs: recipe.outputs.clone(),
            threads: None,
            library: &library,
            events: &progress,
            started: build::now(),
            tool_version: env!("CARGO_PKG_VERSION"),
        })
    };
    let built = begin()?.build();
    progress.finish();
    build::finish(built?, Some(&folder.join("report")), printer)?;

    check(&medium_path, &folder.join("serviced.iso"), &progress)?;
    progress.finish();
    if !begin()?.build()?.up_to_date {
        return Err(CommandError::internal("a second build of the same recipe did not find everything done"));
    }
    let lines = [
        "checked: every file of the serviced images has the hash that its name says; the update, the capability and the features are there; \
         their component stores are healthy; a second build has nothing to do"
            .to_owned(),
        format!("practice medium  {}", medium_path.display()),
        format!("recipe           {}", recipe_path.display()),
        format!("serviced medium  {}", folder.join("serviced.iso").display()),
        format!("report           {}", folder.join("report.html").display()),
        format!("                 {}", folder.join("report.json").display()),
    ];
    if !printer.is_json() {
        printer.bytes((lines.join("\n") + "\n").as_bytes())?;
    }
    Ok(())
}

/// Opens the serviced medium as a user would: every blob is read and its hash compared, every image differs from the original, and has what
/// the recipe's packages bring.
fn check(before: &Path, after: &Path, progress: &Progress<'_>) -> Result {
    let (before, after) = (Medium::open(before)?, Medium::open(after)?);
    if after.boot.len() != before.boot.len() {
        return Err(CommandError::internal("the serviced medium has lost a boot entry"));
    }
    let old = before.open_images(before.install_file()?)?;
    let new = after.open_images(after.install_file()?)?;
    for part in new.parts() {
        part.verify(&mut |_| {}).map_err(CommandError::internal_source)?;
    }
    for (info, index) in new.images().iter().zip(1..) {
        let mut image = Image::open(&new, index, &Blobs::default())?;
        let original = old.images().iter().zip(1..).find(|(other, _)| other.get("WINDOWS/EDITIONID") == info.get("WINDOWS/EDITIONID"));
        let Some((_, original)) = original else { continue };
        let original = Image::open(&old, original, &Blobs::default())?;
        if TreeDiff::between(&original.tree, &image.tree).is_empty() {
            return Err(CommandError::internal(format!("image {index} was not changed")));
        }
        check_packages(&mut image, index, progress)?;
    }
    Ok(())
}

/// The update, the capability and the features of the practice recipe are in the image, and its component store is whole.
fn check_packages(image: &mut Image, index: u32, progress: &Progress<'_>) -> Result {
    let wrong = |what: String| Err(CommandError::internal(format!("image {index}: {what}")));
    let inventory = Inventory::read(image, index)?;
    let revision = u32::from(UpdateOptions::default().revision);
    if inventory.ubr != revision {
        return wrong(format!("the update build revision is {}, not {revision}", inventory.ubr));
    }
    for (name, wanted) in [(FEATURE_OFF, true), (FEATURE_ON, false), (CAPABILITY_FEATURE, true)] {
        if inventory.features.iter().any(|feature| feature.name == name && feature.state == "Enabled") != wanted {
            return wrong(format!("feature {name} is {}", if wanted { "off" } else { "on" }));
        }
    }
    let trust = Trust { allow_unsigned: true, ..Trust::microsoft(0) };
    let told = |done, total| progress.event(Event::Progress { work: "check", subject: format!("image {index}"), done, total });
    let options = health::Options { level: health::Level::Scan, trust: &trust, dictionary: None, progress: &told };
    match health::check(image, &options)?.findings.iter().find(|finding| finding.severity != health::Severity::Note) {
        Some(finding) => wrong(format!("the component store is damaged: {finding:?}")),
        None => Ok(()),
    }
}

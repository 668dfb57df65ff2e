//! `inspect`: what is in the images of a medium, and whether they were captured.

use std::fmt::Write as _;

use serde::Serialize;
use wimwright_format::file_time::FileTime;
use wimwright_image::address::{Address, Target};
use wimwright_image::{Blobs, Image, ImageFile};
use wimwright_servicing::inventory::Inventory;

use super::Result;
use crate::args::Inspect;
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;
use crate::ui::text;

/// What is known of a medium.
#[derive(Serialize)]
struct Inspected {
    /// The path that was inspected.
    path: String,
    /// Volume label.
    label: String,
    /// The image file that was read, as a path on the medium.
    image_file: String,
    /// The medium's other image files.
    other_image_files: Vec<String>,
    images: Vec<Inventory>,
}

/// Shows what is in the images of a medium.
pub fn run(arguments: &Inspect, printer: &Printer) -> Result {
    let path = arguments.medium.clone();
    let inspected = match Address::parse(&arguments.medium)?.open()? {
        Target::Medium(medium) => {
            let file = medium.install_file().or_else(|missing| medium.image_files().next().ok_or(missing))?;
            let images = read_all(&medium.open_images(file)?)?;
            let other_image_files = medium.image_files().map(|other| other.path.clone()).filter(|other| *other != file.path).collect();
            Inspected { path, label: medium.label.clone(), image_file: file.path.clone(), other_image_files, images }
        }
        Target::Images(images) => {
            Inspected { path, label: String::new(), image_file: String::new(), other_image_files: Vec::new(), images: read_all(&images)? }
        }
        Target::Image(mut image, image_path) if image_path.is_root() => {
            let images = vec![Inventory::read(&mut image, 1)?];
            Inspected { path, label: String::new(), image_file: String::new(), other_image_files: Vec::new(), images }
        }
        Target::MediumPath(..) | Target::Image(..) => {
            return Err(CommandError::user(format!("`{path}` is a path, not a medium or an image")));
        }
    };
    printer.result(&inspected, || render(&inspected))
}

fn read_all(images: &ImageFile) -> Result<Vec<Inventory>> {
    let read = |index| Ok(Inventory::read(&mut Image::open(images, index, &Blobs::default())?, index)?);
    (1..=images.image_count()).map(read).collect()
}

/// The same for a medium of the library.
pub fn render_images(images: &[Inventory]) -> String {
    let mut text = String::new();
    for image in images {
        let _ = writeln!(text, "\n{}: {}", image.index, image.name);
        let written = if image.modified > 0 { FileTime(image.modified).to_string() } else { String::new() };
        let count = |what: &str, count: usize| format!("{count} {what}");
        let contents = [
            count("packages", image.packages.len()),
            count("features", image.features.len()),
            count("capabilities", image.capabilities.len()),
            count("provisioned apps", image.provisioned_apps.len()),
            count("third-party drivers", image.drivers.len()),
            count("installed applications", image.applications.len()),
        ];
        let rows = [
            ("media name", image.media_name.clone()),
            ("family", image.family.clone()),
            ("version", format!("{} {}", image.version, image.release)),
            ("edition", format!("{} ({}, {})", image.edition, image.installation_type, image.architecture)),
            ("languages", format!("{} (starts with {})", image.languages.join(", "), image.default_language)),
            ("files", format!("{} in {} folders, {}", image.files, image.directories, text::size(image.total_bytes))),
            ("contents", contents.join(", ")),
            ("changed", written),
            ("pending", image.pending.join("; ")),
            ("provenance", image.provenance.verdict.to_string()),
        ];
        let shown = rows
            .into_iter()
            .filter(|(_, value)| !value.trim().is_empty())
            .map(|(name, value)| vec![format!("  {name}"), value.trim().to_owned()]);
        text.push_str(&text::table(&shown.collect::<Vec<_>>()));
        for evidence in &image.provenance.evidence {
            let side = match evidence.weight.signum() {
                1 => format!("captured +{}", evidence.weight),
                -1 => format!("uncaptured +{}", -evidence.weight),
                _ => "says nothing".to_owned(),
            };
            let _ = writeln!(text, "    {side:<14} {}: {}", evidence.mark, evidence.found);
        }
    }
    text
}

fn render(inspected: &Inspected) -> String {
    let mut text = format!("{}\n", inspected.path);
    if !inspected.label.is_empty() {
        let _ = writeln!(text, "label {}", inspected.label);
    }
    if !inspected.image_file.is_empty() {
        let _ = writeln!(text, "images of {}", inspected.image_file);
    }
    if !inspected.other_image_files.is_empty() {
        let _ = writeln!(text, "other image files: {}", inspected.other_image_files.join(", "));
    }
    text + &render_images(&inspected.images)
}

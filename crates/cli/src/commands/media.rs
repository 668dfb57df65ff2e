//! `import`, `list` and `show`: the library's media.

use wimwright_build::library::{ListedImage, NewestImage};

use super::{Result, inspect, library};
use crate::args::{Global, Import, Show};
use crate::ui::printer::Printer;
use crate::ui::progress::Progress;
use crate::ui::text;

/// Takes a medium into the library.
pub fn import(arguments: &Import, global: &Global, printer: &Printer) -> Result {
    let library = library(global)?;
    let progress = Progress::new(printer);
    let imported = library.import(&arguments.medium, arguments.name.as_deref(), arguments.in_place, &progress);
    progress.finish();
    let record = imported?;
    printer.result(&record, || {
        let place = library.medium_path(&record);
        format!("{} is in the library: {} ({} images)\n", record.name, place.display(), record.images.len())
    })
}

/// Lists the images of the library.
pub fn list(global: &Global, printer: &Printer) -> Result {
    let listed = library(global)?.list()?;
    printer.result(&listed, || {
        if listed.is_empty() {
            return "The library is empty: see `wimwright import --help`\n".to_owned();
        }
        let head = ["MEDIUM", "IMAGE", "NAME", "FAMILY", "PROVENANCE", "STATE"].map(str::to_owned).to_vec();
        let row = |listed: &ListedImage| {
            let superseded =
                |newest: &NewestImage| format!("superseded by {}, image {} of {}", newest.media_name, newest.index, newest.medium);
            let state = listed.superseded_by.as_ref().map_or("newest".to_owned(), superseded);
            let image = &listed.image;
            vec![
                listed.medium.clone(),
                image.index.to_string(),
                image.media_name.clone(),
                image.family.clone(),
                image.provenance.verdict.to_string(),
                state,
            ]
        };
        text::table(&std::iter::once(head).chain(listed.iter().map(row)).collect::<Vec<_>>())
    })
}

/// Shows everything known of a medium.
pub fn show(arguments: &Show, global: &Global, printer: &Printer) -> Result {
    let library = library(global)?;
    let record = library.medium(&arguments.name)?;
    printer.result(&record, || {
        let place = library.medium_path(&record);
        format!(
            "{}\n{} ({}), images of {}\n{}",
            record.name,
            place.display(),
            text::size(record.size),
            record.image_file,
            inspect::render_images(&record.images)
        )
    })
}

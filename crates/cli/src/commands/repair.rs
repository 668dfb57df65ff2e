//! `health --repair`: intact files are put back, and the image file is written anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wimwright_build::events::{Event, Events};
use wimwright_build::output::{refuse_existing, rewrite};
use wimwright_image::address::{Address, Place, Target};
use wimwright_image::medium::{Medium, MediumError, MediumFile, MediumKind};
use wimwright_image::{Blobs, Image, ImageFile, open_host_file};
use wimwright_servicing::cbs::dictionary::Dictionary;
use wimwright_servicing::cbs::health::repair::{Left, Repair, Source, repair};
use wimwright_servicing::cbs::health::{self, Options};
use wimwright_servicing::cbs::source::{self, SourceError, Trust};
use wimwright_servicing::cbs::store::STORE_FOLDER;
use wimwright_servicing::step::Payload;

use super::Result;
use super::health::{MOST_SHOWN, OfImage, render, unsigned_hint};
use crate::args::Health;
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;
use crate::ui::progress::Progress;
use crate::ui::text;

/// The result.
#[derive(Serialize)]
struct Repaired {
    images: Vec<RepairedImage>,
    /// The image file that was written; absent when none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<PathBuf>,
}

/// The result for an image.
#[derive(Serialize)]
struct RepairedImage {
    /// What was found before.
    #[serde(flatten)]
    before: OfImage,
    #[serde(flatten)]
    repair: Repair,
}

/// Repairs all images that the address leads to.
pub fn run(arguments: &Health, out: &Path, trust: &Trust, dictionary: Option<Dictionary>, printer: &Printer) -> Result {
    refuse_existing(out)?;
    // A mistyped path is told before anything is read.
    let addresses = arguments.source.iter().map(|source| Address::parse(source)).collect::<std::result::Result<Vec<_>, _>>()?;
    let (file, indexes) = open_file(&arguments.image)?;
    let blobs = Blobs::default();
    let progress = Progress::new(printer);
    let mut sources = None;
    let mut result = Repaired { images: Vec::new(), output: None };
    let mut changed = BTreeMap::new();
    for index in indexes {
        let mut image = Image::open(&file, index, &blobs)?;
        let name = image.info.name().unwrap_or_default();
        let told = |done, total| {
            // The result is one document: no events among it.
            if printer.shows_progress() {
                progress.event(Event::Progress { work: "check", subject: format!("image {index}"), done, total });
            }
        };
        let options = Options { level: health::Level::Scan, trust, dictionary: dictionary.clone(), progress: &told };
        let before = health::check(&mut image, &options)?;
        let mut done = Repair { repaired: Vec::new(), left: Vec::new() };
        if !before.is_healthy() {
            if sources.is_none() {
                let dictionary = match &dictionary {
                    Some(dictionary) => dictionary.clone(),
                    None => Dictionary::of_image(&image).map_err(wimwright_servicing::cbs::store::StoreError::from)?,
                };
                sources = Some(open_sources(&addresses, &dictionary, trust)?);
            }
            let time = image.info.time("LASTMODIFICATIONTIME").unwrap_or_default();
            done = repair(&mut image, &before, sources.as_deref().unwrap_or_default(), &options, time)?;
        }
        progress.finish();
        if !done.repaired.is_empty() {
            changed.insert(index, image);
        }
        let before = OfImage { index, name, healthy: before.is_healthy(), report: before };
        result.images.push(RepairedImage { before, repair: done });
    }
    let unsatisfied = result.images.iter().flat_map(|image| image.repair.unsatisfied()).count();
    if unsatisfied == 0 && !changed.is_empty() {
        let written = rewrite(out, &file, &changed, &blobs, &mut |done, total| {
            if printer.shows_progress() {
                progress.event(Event::Progress { work: "write", subject: out.display().to_string(), done, total });
            }
        });
        progress.finish();
        written?;
        result.output = Some(out.to_owned());
    }
    printer.result(&result, || result.images.iter().map(render_repair).chain([render_output(&result)]).collect::<Vec<_>>().join("\n"))?;
    judge(&result, arguments)
}

/// The image file that an address leads to, and the numbers of the images that are meant.
fn open_file(address: &str) -> Result<(ImageFile, Vec<u32>)> {
    let mut parsed = Address::parse(address)?;
    let wanted = match parsed.places.pop_if(|place| matches!(place, Place::Image { .. })) {
        Some(Place::Image { index, .. }) => Some(index),
        _ => None,
    };
    let file = match parsed.open()? {
        Target::Images(file) => file,
        Target::Medium(medium) => {
            let file = medium.install_file().or_else(|missing| medium.image_files().next().ok_or(missing))?;
            medium.open_images(file)?
        }
        Target::MediumPath(medium, path) => medium.open_images(medium.image_file(&path)?)?,
        Target::Image(..) => {
            let error = CommandError::user(format!("`{address}` is an image inside an image, which is not written by itself"));
            return Err(error.hinted("take the image file out with `wimwright cat`, and repair that"));
        }
    };
    let indexes = match wanted {
        // Asking for it gives the error of one that is not there.
        Some(index) => {
            file.metadata(index).map_err(wimwright_image::ImageError::from)?;
            vec![index]
        }
        None => (1..=file.image_count()).collect(),
    };
    Ok((file, indexes))
}

/// Opens sources, told apart by their contents: images first, then packages.
fn open_sources(addresses: &[Address], dictionary: &Dictionary, trust: &Trust) -> Result<Vec<Source>> {
    let (mut sources, mut packages) = (Vec::new(), Vec::new());
    for address in addresses {
        let target = match address.open() {
            // Neither disc nor image: a package.
            Err(wimwright_image::address::AddressError::Medium(MediumError::Unknown { path })) => {
                let source = open_host_file(&path).map_err(|source| MediumError::Host { path: path.clone(), source })?;
                packages.push(Payload { name: path.display().to_string(), sha256: [0; 32], source });
                continue;
            }
            target => target?,
        };
        match target {
            Target::Image(image, _) => sources.push(Source::Image { name: address.to_string(), image }),
            Target::Images(file) => sources.extend(images_of(&file, address)?),
            Target::MediumPath(medium, path) => packages.push(package(address, medium.file(&path).ok_or_else(|| no_source(address))?)),
            Target::Medium(medium) => open_medium(&medium, address, &mut sources, &mut packages)?,
        }
    }
    let packages = source::open(&packages, dictionary, trust).map_err(|error| {
        let unsigned = matches!(error, SourceError::NoCatalog { .. } | SourceError::Catalog { .. });
        CommandError::from(error).hinted(if unsigned { "--allow-unsigned accepts packages that nobody known has signed" } else { "" })
    })?;
    sources.extend(packages.into_iter().map(|source| Source::Package(Box::new(source))));
    Ok(sources)
}

/// A medium with images is those; any other, the packages on it.
fn open_medium(medium: &Medium, address: &Address, sources: &mut Vec<Source>, packages: &mut Vec<Payload>) -> Result {
    if let Ok(file) = medium.install_file() {
        let images = images_of(&medium.open_images(file)?, address)?;
        if !images.is_empty() {
            sources.extend(images);
            return Ok(());
        }
    }
    let is_package = |file: &&MediumFile| medium.kind == MediumKind::ImageFile || source::has_ending(&file.path);
    let found: Vec<_> = medium.files.iter().filter(is_package).map(|file| package(address, file)).collect();
    if found.is_empty() {
        return Err(no_source(address));
    }
    packages.extend(found);
    Ok(())
}

/// The images of a file that have a component store.
fn images_of(file: &ImageFile, address: &Address) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for index in 1..=file.image_count() {
        let image = Image::open(file, index, &Blobs::default())?;
        if image.tree.at(STORE_FOLDER).is_some() {
            found.push(Source::Image { name: format!("{address}:{index}"), image: Box::new(image) });
        }
    }
    Ok(found)
}

fn package(address: &Address, file: &MediumFile) -> Payload {
    let name = if address.medium.is_dir() { address.medium.join(&file.path).display().to_string() } else { address.to_string() };
    Payload { name, sha256: [0; 32], source: file.source.clone() }
}

fn no_source(address: &Address) -> CommandError {
    CommandError::user(format!("`{address}` has neither an image with a component store nor a package"))
        .hinted("a source is an image of the same build (install.wim:1), or the package that brought the files (.msu, .cab)")
}

fn render_repair(image: &RepairedImage) -> String {
    let Repair { repaired, left } = &image.repair;
    let mut text = render(&image.before);
    let mut list = |title: String, lines: Vec<String>| {
        if lines.is_empty() {
            return;
        }
        text.push_str(&format!("\n{title}\n"));
        lines.iter().take(MOST_SHOWN).for_each(|line| text.push_str(&format!("  {line}\n")));
        if lines.len() > MOST_SHOWN {
            text.push_str(&format!("  and {} more, which --format json lists\n", lines.len() - MOST_SHOWN));
        }
    };
    let from = |repaired: &health::repair::Repaired| format!("{}: from {}", repaired.place, repaired.source);
    list(format!("repaired: {}", repaired.len()), repaired.iter().map(from).collect());
    let why = |left: &Left| format!("{}: {}\n    {}", left.finding.place, left.finding.detail, left.reason);
    list(format!("NOT repaired: {}", left.len()), left.iter().map(why).collect());
    text
}

fn render_output(result: &Repaired) -> String {
    match &result.output {
        Some(path) => {
            let size = path.metadata().map_or(0, |metadata| metadata.len());
            format!("output {} ({})\n", path.display(), text::size(size))
        }
        None if result.images.iter().all(|image| image.before.healthy) => "nothing to repair: nothing was written\n".to_owned(),
        None => "nothing was written\n".to_owned(),
    }
}

/// What is left is an error: exit code 1.
fn judge(result: &Repaired, arguments: &Health) -> Result {
    let of = |is_left: &dyn Fn(&RepairedImage) -> bool| {
        let found: Vec<_> = result.images.iter().filter(|image| is_left(image)).map(|image| image.before.index.to_string()).collect();
        found.join(", ")
    };
    let unsatisfied = of(&|image| image.repair.unsatisfied().next().is_some());
    if !unsatisfied.is_empty() {
        let error =
            CommandError::user(format!("image {unsatisfied} cannot be repaired: intact files are missing, and nothing was written"));
        let source = if arguments.source.is_empty() { "give --source PATH" } else { "give another --source PATH" };
        let hint = format!("{source}: an image of the same build, or the packages that brought the files (those named above)");
        let left = result.images.iter().flat_map(|image| &image.repair.left);
        return Err(error.hinted(hint).hinted(unsigned_hint(left.map(|left| &left.finding))));
    }
    let left = of(&|image| !image.repair.left.is_empty());
    if left.is_empty() {
        return Ok(());
    }
    Err(CommandError::user(format!("the component store of image {left} is still damaged where no file mends it")))
}

//! One file per command.

mod browse;
mod build;
mod cache;
mod demo;
mod diff;
mod eligibility;
mod health;
mod inspect;
mod media;
mod recipe;
mod registry;
mod repair;
mod servicing;
mod verify_native;

use std::path::PathBuf;

use wimwright_build::library::Library;
use wimwright_image::address::{Address, Place, Target};
use wimwright_image::{Blobs, Image, ImagePath};

use crate::args::{Arguments, Cache, Command, Global, Registry, SchemaOf};
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;

type Result<T = ()> = std::result::Result<T, CommandError>;

/// Runs a command.
pub fn run(arguments: Arguments, printer: &Printer) -> Result {
    let global = &arguments.global;
    match arguments.command {
        Command::Demo(demo) => demo::run(&demo, printer),
        Command::Build(build) => build::run(&build, global, printer),
        Command::Plan(plan) => recipe::plan(&plan, global, printer),
        Command::Lock(lock) => recipe::lock(&lock, global, printer),
        Command::Inspect(inspect) => inspect::run(&inspect, printer),
        Command::Diff(diff) => diff::run(&diff, printer),
        Command::Eligibility(eligibility) => eligibility::run(&eligibility, printer),
        Command::Packages(packages) => servicing::packages(&packages, printer),
        Command::Features(features) => servicing::features(&features, printer),
        Command::Capabilities(capabilities) => servicing::capabilities(&capabilities, printer),
        Command::Health(health) => health::run(&health, printer),
        Command::VerifyNative(verify) => verify_native::run(&verify, printer),
        Command::Import(import) => media::import(&import, global, printer),
        Command::List => media::list(global, printer),
        Command::Show(show) => media::show(&show, global, printer),
        Command::Ls(ls) => browse::ls(&ls, printer),
        Command::Cat(cat) => browse::cat(&cat, printer),
        Command::Registry(Registry::Get(get)) => registry::get(&get, printer),
        Command::Registry(Registry::Export(export)) => registry::export(&export, printer),
        Command::Cache(Cache::Size) => cache::size(global, printer),
        Command::Cache(Cache::Prune(prune)) => cache::prune(&prune, global, printer),
        Command::Cache(Cache::Clear) => cache::clear(global, printer),
        Command::Schema(schema) => printer.json(&match schema.of {
            SchemaOf::Recipe => wimwright_build::recipe::json_schema(),
            SchemaOf::Report => wimwright_build::report::json_schema(),
        }),
    }
}

/// The library that the user named, else the one in the user's data folder.
fn library(global: &Global) -> Result<Library> {
    let root = match &global.library {
        Some(path) => path.clone(),
        None => data_folder()?.join("wimwright"),
    };
    Ok(Library::open(&root)?)
}

/// The user's data folder by the XDG base directory specification.
fn data_folder() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .ok_or_else(|| CommandError::user("there is no home folder to keep the library in").hinted("name a folder with --library DIR"))
}

/// The image that an address leads to; of a medium or image file, its only image.
fn open_image(address: &str) -> Result<(Image, ImagePath)> {
    let parsed = Address::parse(address)?;
    let images = match parsed.open()? {
        Target::Image(image, path) => return Ok((*image, path)),
        Target::Images(images) => images,
        Target::Medium(medium) => medium.open_images(medium.install_file()?)?,
        Target::MediumPath(..) => return Err(CommandError::user(format!("`{address}` is a path on a medium, not an image"))),
    };
    if images.image_count() != 1 {
        let listed: Vec<_> =
            images.images().iter().zip(1..).map(|(info, index)| format!("{index} ({})", info.name().unwrap_or_default())).collect();
        let hint = format!("add its number, as in `{address}:1`: {}", listed.join(", "));
        return Err(CommandError::user(format!("`{address}` has {} images: say which one", images.image_count())).hinted(hint));
    }
    Ok((Image::open(&images, 1, &Blobs::default())?, ImagePath::root()))
}

/// The number of the image that an address leads to; 1 when it names none.
fn image_number(address: &Address) -> u32 {
    let numbers = address.places.iter().rev().filter_map(|place| match place {
        Place::Image { index, .. } => Some(*index),
        Place::MediumPath(_) | Place::ImageFile(_) => None,
    });
    numbers.into_iter().next().unwrap_or(1)
}

/// All images that an address leads to, with their numbers: that image, or those of the medium or image file.
fn open_images(address: &str) -> Result<Vec<(u32, Image)>> {
    let parsed = Address::parse(address)?;
    let images = match parsed.open()? {
        Target::Image(image, path) if path == ImagePath::root() => return Ok(vec![(image_number(&parsed), *image)]),
        Target::Image(..) => return Err(CommandError::user(format!("`{address}` is a path in an image, not an image"))),
        Target::Images(images) => images,
        Target::Medium(medium) => {
            let file = medium.install_file().or_else(|missing| medium.image_files().next().ok_or(missing))?;
            medium.open_images(file)?
        }
        Target::MediumPath(..) => return Err(CommandError::user(format!("`{address}` is a path on a medium, not an image"))),
    };
    let open = |index| Ok((index, Image::open(&images, index, &Blobs::default())?));
    (1..=images.image_count()).map(open).collect()
}

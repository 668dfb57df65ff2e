//! One file per command.

mod browse;
mod build;
mod cache;
mod demo;
mod diff;
mod eligibility;
mod inspect;
mod media;
mod recipe;
mod registry;

use std::path::PathBuf;

use wimwright_build::library::Library;
use wimwright_image::Image;
use wimwright_image::ImagePath;
use wimwright_image::address::{Address, Target};

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
    Ok((Image::open(&images, 1, &wimwright_image::Blobs::default())?, ImagePath::root()))
}

//! How long an installation takes by the number of components in the package: in a practice store with some number of components, or
//! in the first image of a medium. Prints the seconds of opening the image, and of planning, installing and committing.
//!
//! `cargo run --release -p wimwright-servicing --example install_growth -- PACKAGE-COMPONENTS STORE-COMPONENTS|MEDIUM`
#![allow(clippy::print_stdout, reason = "an example that measures")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};
use wimwright_format::manifest::Version;
use wimwright_format::wim::Wim;
use wimwright_image::medium::Medium;
use wimwright_image::{Blobs, Image, ImageFile};
use wimwright_practice::store::{PackageSpec, StoreSpec, write};
use wimwright_practice::updates::{UpdateOptions, files};
use wimwright_servicing::cbs::step::Packages;
use wimwright_servicing::step::{Context, Payload, Step};

const TIME: u64 = 133_800_000_000_000_000;

fn store(filler: usize) -> Result<ImageFile, Box<dyn Error>> {
    let spec = StoreSpec {
        architecture: "amd64".into(),
        version: Version([10, 0, 26100, 1742]),
        packages: vec![PackageSpec::installed("Microsoft-Windows-Foundation-Package~31bf3856ad364e35~amd64~~10.0.26100.1742".parse()?)],
        filler,
        ..StoreSpec::default()
    };
    Ok(ImageFile::new(vec![Arc::new(Wim::open(Arc::new(write(&spec)?))?)])?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [components, place] = arguments.as_slice() else {
        return Err("usage: install_growth PACKAGE-COMPONENTS STORE-COMPONENTS|MEDIUM".into());
    };
    let updates = files(&UpdateOptions { files: components.parse()?, ..UpdateOptions::default() })?;
    let update = updates.into_iter().find(|file| file.path.ends_with(".msu")).ok_or("no cumulative update")?;
    let update = Payload { name: update.path, sha256: Sha256::digest(&update.bytes).into(), source: Arc::new(update.bytes) };
    let step = Packages { updates: vec![update], allow_unsigned: true, ..Packages::default() };
    let store = place.parse().ok().map(store).transpose()?;

    let begun = Instant::now();
    let file = match store {
        Some(store) => store,
        None => {
            let medium = Medium::open(Path::new(place))?;
            medium.open_images(medium.install_file()?)?
        }
    };
    let image = Image::open(&file, 1, &Blobs::default())?;
    let opened = begun.elapsed();
    let (_, report) = step.apply(image, &Context { time: TIME })?;
    let applied = begun.elapsed() - opened;
    if report.packages.iter().map(|package| package.files).sum::<usize>() < components.parse()? {
        return Err(format!("not everything was installed: {report:?}").into());
    }
    println!("{:.4} {:.4}", opened.as_secs_f64(), applied.as_secs_f64());
    Ok(())
}

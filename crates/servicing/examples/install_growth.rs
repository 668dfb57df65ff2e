//! How long an installation takes by the size of the package: on a store of 30,000 components, and on a small one.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example that measures")]

use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};
use wimwright_format::manifest::{PackageId, Version};
use wimwright_format::wim::Wim;
use wimwright_image::{Blobs, Image, ImageFile};
use wimwright_practice::store::{PackageSpec, StoreSpec, write};
use wimwright_practice::updates::{UpdateOptions, files};
use wimwright_servicing::cbs::step::Packages;
use wimwright_servicing::step::{Context, Payload, Step};

const TIME: u64 = 133_800_000_000_000_000;

fn image(filler: usize) -> Image {
    let parent: PackageId = "Microsoft-Windows-Foundation-Package~31bf3856ad364e35~amd64~~10.0.26100.1742".parse().unwrap();
    let spec = StoreSpec {
        architecture: "amd64".into(),
        version: Version([10, 0, 26100, 1742]),
        packages: vec![PackageSpec::installed(parent)],
        filler,
        ..StoreSpec::default()
    };
    let file = ImageFile::new(vec![Arc::new(Wim::open(Arc::new(write(&spec).unwrap())).unwrap())]).unwrap();
    Image::open(&file, 1, &Blobs::default()).unwrap()
}

fn main() {
    println!("components in the store | components of the update | seconds");
    for filler in [0, 30_000] {
        for components in [1, 10, 100, 1_000] {
            let updates = files(&UpdateOptions { files: components, ..UpdateOptions::default() }).unwrap();
            let update = updates.into_iter().find(|file| file.path.ends_with(".msu")).unwrap();
            let payload = Payload { name: update.path, sha256: Sha256::digest(&update.bytes).into(), source: Arc::new(update.bytes) };
            let step = Packages { updates: vec![payload], allow_unsigned: true, ..Packages::default() };
            // A new image each time: what is read is read for the first time.
            let image = image(filler);
            let start = Instant::now();
            let (_, report) = step.apply(image, &Context { time: TIME }).unwrap();
            println!("{filler:>23} | {components:>24} | {:.3}", start.elapsed().as_secs_f64());
            assert!(!report.packages.is_empty());
        }
    }
}

//! `verify-native`: would our own servicing have made this image as it is?

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use wimwright_build::events::{Event, Events};
use wimwright_servicing::cbs::dictionary::Dictionary;
use wimwright_servicing::cbs::store::Store;
use wimwright_servicing::cbs::verify::{Difference, Found, Verification, verify};

use super::{Result, open_images};
use crate::args::VerifyNative;
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;
use crate::ui::progress::Progress;
use crate::ui::text;

/// Most differences of one kind that are shown to people; programs get all.
const MOST_SHOWN: usize = 20;

/// The result for every image.
#[derive(Serialize)]
struct Verified {
    /// Of this program.
    version: &'static str,
    images: Vec<OfImage>,
}

/// The result for an image.
#[derive(Serialize)]
struct OfImage {
    /// Number of the image, from 1.
    index: u32,
    /// Its name in the XML data.
    name: String,
    /// Major, minor, build and update build revision, as the XML data have them.
    build: String,
    #[serde(flatten)]
    verification: Verification,
}

/// Compares all images with what we would have made. A difference is an error: exit code 1.
pub fn run(arguments: &VerifyNative, printer: &Printer) -> Result {
    let dictionary = match &arguments.dictionary {
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|error| CommandError::user(format!("cannot read `{}`: {error}", path.display())))?;
            Some(Dictionary::new(bytes))
        }
        None => None,
    };
    let progress = Progress::new(printer);
    let mut images = Vec::new();
    for (index, mut image) in open_images(&arguments.image)? {
        let told = |done: usize, total: usize| {
            if printer.shows_progress() {
                let (done, total) = (done as u64, total as u64);
                progress.event(Event::Progress { work: "verify", subject: format!("image {index}"), done, total });
            }
        };
        let in_image = |error: CommandError| error.within(format!("image {index} of `{}` cannot be compared", arguments.image));
        let verified = Store::read(&mut image, dictionary.clone()).map(|store| verify(&mut image, &store, &told));
        progress.finish();
        let verification = verified.map_err(|error| in_image(error.into()))?.map_err(|error| in_image(error.into()))?;
        let parts =
            ["MAJOR", "MINOR", "BUILD", "SPBUILD"].map(|part| image.info.get(&format!("WINDOWS/VERSION/{part}")).unwrap_or_default());
        images.push(OfImage { index, name: image.info.name().unwrap_or_default(), build: parts.join("."), verification });
    }
    let verified = Verified { version: env!("CARGO_PKG_VERSION"), images };
    printer.result(&verified, || render(&verified))?;
    let differing: Vec<_> =
        verified.images.iter().filter(|image| !image.verification.differences.is_empty()).map(|image| image.index.to_string()).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let error = CommandError::user(format!("image {} differs from what native servicing would have made", differing.join(", ")));
    Err(error.hinted("on an image as Microsoft shipped it that is our fault: paste this output into a bug report"))
}

fn render(verified: &Verified) -> String {
    let mut text = format!("wimwright {}\n", verified.version);
    for image in &verified.images {
        let Verification { packages, components, files, values, deferred, differences } = &image.verification;
        let _ = writeln!(text, "\n{}: {} ({})", image.index, image.name, image.build);
        let rows = [
            ("packages planned", packages),
            ("components compared", components),
            ("files compared", files),
            ("registry values compared", values),
            ("parts that only Windows can do", &deferred.values().sum()),
            ("differences", &differences.len()),
        ];
        text.push_str(&text::table(&rows.map(|(name, count)| vec![format!("  {name}"), count.to_string()])));
        let mut kinds = BTreeMap::<Difference, Vec<&Found>>::new();
        for found in differences {
            kinds.entry(found.difference).or_default().push(found);
        }
        for (kind, found) in kinds {
            let _ = writeln!(text, "\n  {} ({})", meaning(kind), found.len());
            for one in found.iter().take(MOST_SHOWN) {
                let _ = write!(text, "    {} {}", one.of, one.place);
                if !one.expected.is_empty() {
                    let _ = write!(text, "\n      expected {}", one.expected);
                }
                if !one.found.is_empty() {
                    let _ = write!(text, "\n      found    {}", one.found);
                }
                text.push('\n');
            }
            if found.len() > MOST_SHOWN {
                let _ = writeln!(text, "    and {} more, which --format json lists", found.len() - MOST_SHOWN);
            }
        }
    }
    text
}

fn meaning(difference: Difference) -> &'static str {
    match difference {
        Difference::PlanChanges => "a plan would change the package, although nothing was asked for",
        Difference::WrongName => "a winner without a manifest of its version",
        Difference::NotUnderstood => "manifests with something that we do not understand",
        Difference::FileMissing => "files that are not there",
        Difference::FileNotLinked => "files that are no links to the store",
        Difference::FileSecurity => "files with another security descriptor",
        Difference::DirectoryMissing => "directories that are not there",
        Difference::KeyMissing => "keys that are not there",
        Difference::ValueMissing => "values that are not there",
        Difference::ValueDiffers => "values with other data",
        Difference::EntryMissing => "entries that are not in their lists",
    }
}

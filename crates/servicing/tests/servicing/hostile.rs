//! The image's own store as hostile input: damaged hives, sound hives with absurd contents, forged manifests, names and catalogs.
//!
//! Whatever is in it, everything that reads a store ends, with a result or a typed error; and a step that fails leaves the image as
//! it was. What would loop or grow without bound shows as a test that never ends or a process without memory, so no clock is asked.

mod absurd;
mod damaged;
mod forged;
mod large;

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use wimwright_format::manifest::Version;
use wimwright_format::wim::Wim;
use wimwright_image::registry::HiveFile;
use wimwright_image::{Blobs, Image, ImageFile};
use wimwright_practice::store::{PackageSpec, State, StoreSpec, write};
use wimwright_servicing::cbs::health::{Level, Options, check};
use wimwright_servicing::cbs::listing::Listing;
use wimwright_servicing::cbs::plan::{Request, plan};
use wimwright_servicing::cbs::source::Trust;
use wimwright_servicing::cbs::step::{DisableFeature, Packages};
use wimwright_servicing::cbs::store::Store;
use wimwright_servicing::cbs::verify::verify;
use wimwright_servicing::step::{Context, Step};

use crate::packages::generated::{cabinet, payload, sealed, updates, whole};
use crate::windows::fresh;

const VERSION: Version = Version([10, 0, 26100, 1]);
const PACKAGE: &str = "Practice-Package~31bf3856ad364e35~amd64~~10.0.26100.1";
const OLD: &str = "Practice-Old~31bf3856ad364e35~amd64~~10.0.26100.1";
/// When things are done, FILETIME.
const NOW: u64 = 133_800_000_000_000_000;

/// A sound image: an installed package with two features, a staged one, a superseded one, a capability's worth of components.
fn sound() -> Image {
    let spec = |id: &str, state| PackageSpec { state, ..PackageSpec::installed(id.parse().unwrap()) };
    let features = vec![("Practice-On".to_owned(), State::Installed), ("Practice-Off".to_owned(), State::Staged)];
    let packages = vec![
        PackageSpec { features, ..spec(PACKAGE, State::Installed) },
        spec("Practice-Staged~31bf3856ad364e35~amd64~~10.0.26100.1", State::Staged),
        spec(OLD, State::Superseded),
        spec("Practice-Old~31bf3856ad364e35~amd64~~10.0.26100.2", State::Installed),
    ];
    let spec = StoreSpec { architecture: "amd64".into(), version: VERSION, packages, components: Vec::new(), filler: 4 };
    open(write(&spec).unwrap())
}

fn open(bytes: Vec<u8>) -> Image {
    let file = ImageFile::new(vec![Arc::new(Wim::open(Arc::new(bytes)).unwrap())]).unwrap();
    Image::open(&file, 1, &Blobs::default()).unwrap()
}

/// The steps that a user would have done: one adds, one takes away.
fn steps() -> &'static [Packages; 2] {
    static STEPS: OnceLock<[Packages; 2]> = OnceLock::new();
    STEPS.get_or_init(make_steps)
}

fn make_steps() -> [Packages; 2] {
    let example = whole("Example", VERSION, &[("Part", VERSION)]);
    let install =
        Packages { enable: vec!["Practice-Off".into()], cleanup: true, ..updates(vec![payload("example", cabinet(&sealed(example)))]) };
    let disable = vec![DisableFeature { name: "Practice-On".into(), remove_payload: true }];
    [install, Packages { disable, cleanup: true, ..updates(Vec::new()) }]
}

/// An error with its causes in one line, without what differs between runs.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source()).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// The bytes of the hives as they are in the image, loaded or not.
fn hives(image: &Image) -> Vec<Option<Arc<[u8]>>> {
    [HiveFile::Components, HiveFile::Software, HiveFile::System].iter().map(|hive| image.read(hive.path()).ok()).collect()
}

/// Does everything that reads or changes a store, and says how each went, a line each.
#[track_caller]
fn survive(image: &Image) -> String {
    let (tree, before) = (image.tree.id(), hives(image));
    let mut text = String::new();
    let mut say = |what: &str, result: Result<String, String>| {
        let _ = writeln!(text, "{what}: {}", result.unwrap_or_else(|error| format!("error: {error}")));
    };
    say("list", list(image));
    for (what, level) in [("check", Level::Check), ("scan", Level::Scan)] {
        say(what, judge(image, level));
    }
    let mut copy = fresh(image);
    let verified = Store::read(&mut copy, None).map_err(|error| chain(&error)).and_then(|store| {
        let verified = verify(&mut copy, &store, &|_, _| {}).map_err(|error| chain(&error))?;
        let mut kinds: Vec<_> = verified.differences.iter().map(|found| format!("{:?}", found.difference)).collect();
        kinds.dedup();
        Ok(format!("{} components, {}", verified.components, if kinds.is_empty() { "none differs".into() } else { kinds.join(" ") }))
    });
    say("verify", verified);
    let planned = Store::read(&mut fresh(image), None).map_err(|error| chain(&error)).and_then(|store| {
        let request = Request { enable: vec!["Practice-Off".into()], ..Request::default() };
        let planned = plan(&store, &[], &request).map_err(|error| chain(&error))?;
        Ok(format!("{} changes", planned.changes.len()))
    });
    say("plan", planned);
    for (what, step) in ["install", "remove"].into_iter().zip(steps()) {
        let given = fresh(image);
        let result = step.apply(given.clone(), &Context { time: NOW });
        // The image is a value: whatever happened, the one that was given is as it was.
        assert_eq!(given.tree.id(), tree);
        assert_eq!(hives(&given), before);
        say(
            what,
            result
                .map_err(|error| chain(&error))
                .map(|(after, _)| list(&after).map_or_else(|error| format!("unreadable: {error}"), |_| "done".into())),
        );
    }
    assert_eq!(image.tree.id(), tree);
    text
}

/// What goes otherwise with an image than with a sound one, a line each, long names shortened.
fn unlike_sound(image: &Image) -> String {
    static SOUND: OnceLock<String> = OnceLock::new();
    let sound = SOUND.get_or_init(|| survive(&self::sound()));
    let said = survive(image);
    let unlike =
        said.lines().zip(sound.lines()).filter(|(line, sound)| line != sound).map(|(line, _)| match line.char_indices().nth(500) {
            Some((end, _)) => format!("{} [{} bytes]\n", &line[..end], line.len()),
            None => format!("{line}\n"),
        });
    unlike.collect()
}

fn list(image: &Image) -> Result<String, String> {
    let store = Store::read(&mut fresh(image), None).map_err(|error| chain(&error))?;
    Listing::of_registry(store.software_hive()).map_err(|error| chain(&error))?;
    let listing = Listing::read(&store).map_err(|error| chain(&error))?;
    let (packages, features, capabilities) = (listing.packages.len(), listing.features.len(), listing.capabilities.len());
    Ok(format!("{packages} packages, {features} features, {capabilities} capabilities"))
}

fn judge(image: &Image, level: Level) -> Result<String, String> {
    let trust = Trust { allow_unsigned: true, ..Trust::microsoft(1_767_225_600) };
    let report = check(&mut fresh(image), &Options { level, trust: &trust, dictionary: None, progress: &|_, _| {} });
    let report = report.map_err(|error| chain(&error))?;
    let mut kinds: Vec<_> = report.findings.iter().map(|finding| format!("{:?}", finding.kind)).collect();
    kinds.dedup();
    Ok(if kinds.is_empty() { "healthy".into() } else { kinds.join(" ") })
}

#[test]
fn a_sound_image_is_taken() {
    let said = survive(&sound());
    let expected = [
        "list: 8 packages, 2 features, 0 capabilities",
        "check: healthy",
        "scan: healthy",
        "verify: 15 components, none differs",
        "plan: 1 changes",
        "install: done",
        "remove: done",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

//! The cache: what is done again, what is not, and that damage never gets into an output.

use std::fs;

use crate::workshop::{Watched, Workshop, practice_medium};

/// Two images, three steps each.
const RECIPE: &str = "\
recipe: 1
images:
  - select: { index: [1, 2] }
    files:
      - { add: ./payload.bin, to: /payload.bin }
    registry:
      - { key: 'HKLM\\SOFTWARE\\Contoso', values: { a: 1 } }
    metadata: { flags: Renamed }
drop: { index: 3 }
output: { wim: ./out.wim }
";

/// A workshop with a payload that compresses badly.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    workshop.write("payload.bin", (0..600_000).map(|_| noise()).collect::<Vec<_>>());
    workshop
}

fn step(image: u32, step: &str, cached: bool) -> (u32, String, bool) {
    (image, step.to_owned(), cached)
}

/// All steps of [`RECIPE`] on one image.
fn steps(image: u32, cached: [bool; 3]) -> Vec<(u32, String, bool)> {
    ["files", "registry", "metadata"].into_iter().zip(cached).map(|(name, cached)| step(image, name, cached)).collect()
}

#[test]
fn a_second_build_does_nothing() {
    let workshop = workshop();
    let library = workshop.library("library");
    assert_eq!(workshop.build(RECIPE, &library), (false, [steps(1, [false; 3]), steps(2, [false; 3])].concat()));
    let (library_before, output_before) = (workshop.files("library"), workshop.files(".")["out.wim"]);
    assert_eq!(workshop.build(RECIPE, &library), (true, Vec::new()));
    assert_eq!(workshop.files("library"), library_before);
    assert_eq!(workshop.files(".")["out.wim"], output_before);
    // An output that was touched is not trusted.
    let whole = workshop.read("out.wim");
    workshop.write("out.wim", &whole[..1000]);
    assert_eq!(workshop.build(RECIPE, &library), (false, [steps(1, [true; 3]), steps(2, [true; 3])].concat()));
    assert!(workshop.read("out.wim") == whole);
}

#[test]
fn only_what_follows_a_change_is_done_again() {
    let workshop = workshop();
    let library = workshop.library("library");
    workshop.build(RECIPE, &library);
    let last = RECIPE.replace("Renamed", "Named");
    assert_eq!(workshop.build(&last, &library).1, [steps(1, [true, true, false]), steps(2, [true, true, false])].concat());
    let middle = RECIPE.replace("a: 1", "a: 2");
    assert_eq!(workshop.build(&middle, &library).1, [steps(1, [true, false, false]), steps(2, [true, false, false])].concat());
    let one_image = RECIPE.replace("drop:", "  - select: { index: 2 }\n    default-apps: ./apps.xml\ndrop:");
    let apps = wimwright_practice::recipe::files().unwrap().into_iter().find(|file| file.path.ends_with("DefaultAssociations.xml"));
    workshop.write("apps.xml", apps.unwrap().bytes);
    let (_, done) = workshop.build(&one_image, &library);
    assert_eq!(done[..3], steps(1, [true; 3]));
    assert!(done.contains(&step(2, "default-apps", false)));
}

#[test]
fn a_step_that_changes_nothing_lets_the_later_ones_be() {
    let workshop = workshop();
    let library = workshop.library("library");
    workshop.build(RECIPE, &library);
    let same_result = RECIPE.replace("    registry:", "      - { delete: /is/not/there, missing: ignore }\n    registry:");
    assert_eq!(workshop.build(&same_result, &library).1, [steps(1, [false, true, true]), steps(2, [false, true, true])].concat());
}

#[test]
fn the_last_modification_is_that_of_the_recipe() {
    let workshop = workshop();
    let (shared, fresh) = (workshop.library("shared"), workshop.library("fresh"));
    let recipe = |epoch: &str| {
        format!("recipe: 1\nepoch: {epoch}\nimages:\n  - select: all\n    metadata: {{ flags: Renamed }}\noutput: {{ wim: ./out.wim }}\n")
    };
    workshop.build(&recipe("2024-11-01T00:00:00Z"), &shared);
    workshop.build(&recipe("2025-11-01T00:00:00Z"), &shared);
    let out_of_the_cache = workshop.read("out.wim");
    fs::remove_file(workshop.path("out.wim")).unwrap();
    workshop.build(&recipe("2025-11-01T00:00:00Z"), &fresh);
    assert!(workshop.read("out.wim") == out_of_the_cache, "the time of another recipe came out of the cache");
}

#[test]
fn a_build_that_goes_on_anywhere_ends_alike() {
    let workshop = workshop();
    let library = workshop.library("library");
    workshop.build(RECIPE, &library);
    let whole = workshop.read("out.wim");
    let mut layers: Vec<_> = workshop.files("library/cache").into_iter().filter(|(name, _)| name.ends_with(".json")).collect();
    layers.sort_by_key(|(_, (_, seconds, nanoseconds, _))| (*seconds, *nanoseconds));
    assert_eq!(layers.len(), 6);
    // As if the build had ended after each of its steps, before the record of the next one.
    for (record, _) in layers.iter().rev() {
        fs::remove_file(workshop.path(record)).unwrap();
        fs::remove_file(workshop.path("out.wim")).unwrap();
        let records: Vec<_> = workshop
            .files("library/cache")
            .into_keys()
            .filter(|name| name.ends_with(".json"))
            .map(|name| (workshop.read(&name), name))
            .collect();
        workshop.build(RECIPE, &library);
        assert!(workshop.read("out.wim") == whole, "without {record}");
        for name in workshop.files("library/cache").into_keys().filter(|name| name.ends_with(".json")) {
            if !records.iter().any(|(_, known)| *known == name) {
                fs::remove_file(workshop.path(&name)).unwrap();
            }
        }
    }
}

#[test]
fn what_is_damaged_in_the_cache_is_made_again() {
    let workshop = workshop();
    let library = workshop.library("library");
    workshop.build(RECIPE, &library);
    let (whole, layers) = (workshop.read("out.wim"), workshop.layers("library"));
    let mut discarded = 0;
    for name in workshop.files("library/cache").into_keys() {
        let bytes = workshop.read(&name);
        let flipped = |position: usize| {
            let mut bytes = bytes.clone();
            bytes[position] ^= 0x10;
            bytes
        };
        let length = bytes.len();
        let damaged = [bytes[..length / 2].to_vec(), Vec::new(), flipped(0), flipped(length / 3), flipped(length / 2), flipped(length - 2)];
        for (number, damaged) in damaged.into_iter().enumerate() {
            workshop.write(&name, damaged);
            fs::remove_file(workshop.path("out.wim")).unwrap();
            let watched = Watched::default();
            let built = workshop.try_build(RECIPE, practice_medium(), &library, None, &watched).unwrap();
            assert!(built.error.is_none(), "{name}, damage {number}: {:?}", built.error);
            assert!(workshop.read("out.wim") == whole, "{name}, damage {number}: a wrong output");
            discarded += watched.discarded().len();
            workshop.write(&name, &bytes);
        }
    }
    assert!(discarded >= layers.len(), "{discarded} results were removed");

    // The events tell which, and what was done again: the second step of the first image.
    let second = workshop.plan(RECIPE).cached_steps(&workshop.plan(RECIPE).images[0], &library).unwrap()[2].0;
    let name = format!("library/cache/{second}.wim");
    workshop.write(&name, "damaged");
    fs::remove_file(workshop.path("out.wim")).unwrap();
    let watched = Watched::default();
    workshop.try_build(RECIPE, practice_medium(), &library, None, &watched).unwrap();
    assert_eq!(watched.discarded(), [(1, workshop.path(&name).display().to_string())]);
    let done = watched.done();
    assert_eq!(done[done.len() - 6..], [steps(1, [true, true, false]), steps(2, [true; 3])].concat());
    assert!(workshop.read("out.wim") == whole);
    assert_eq!(workshop.layers("library"), layers);
}

#[test]
fn layers_hold_what_is_new_and_are_useless_without_their_base() {
    let workshop = workshop();
    let library = workshop.library("library");
    let text =
        "recipe: 1\nimages:\n  - select: all\n    files:\n      - { add: ./payload.bin, to: /payload.bin }\noutput: { wim: ./out.wim }\n";
    workshop.build(text, &library);
    let whole = workshop.read("out.wim");
    // 600 kB that cannot be compressed are in one of the three layers.
    let mut sizes: Vec<_> = workshop
        .files("library/cache")
        .into_iter()
        .filter(|(name, _)| name.ends_with(".wim"))
        .map(|(name, stamp)| (stamp.0, name))
        .collect();
    sizes.sort();
    assert_eq!(sizes.len(), 3);
    assert!(sizes[2].0 > 600_000 && sizes[1].0 < 300_000, "{sizes:?}");

    let cached = || {
        let plan = workshop.plan(text);
        plan.images.iter().map(|image| plan.cached_steps(image, &library).unwrap()[0].1).collect::<Vec<_>>()
    };
    assert_eq!(cached(), [true; 3]);
    // The layer with the payload was written first, so it is removed first.
    let total = library.cache_size().unwrap();
    let removed = library.prune_cache(total.bytes - 1).unwrap();
    assert_eq!((removed.layers, library.cache_size().unwrap().layers), (3, 0), "what builds on a removed layer goes, too");
    assert_eq!(cached(), [false; 3]);
    fs::remove_file(workshop.path("out.wim")).unwrap();
    workshop.build(text, &library);
    assert!(workshop.read("out.wim") == whole);
    // Without the base, but not pruned.
    fs::remove_file(workshop.path(&sizes[2].1)).unwrap();
    assert_eq!(cached(), [false; 3]);
    fs::remove_file(workshop.path("out.wim")).unwrap();
    workshop.build(text, &library);
    assert!(workshop.read("out.wim") == whole);
}

#[test]
fn nothing_is_removed_while_another_process_uses_the_library() {
    let workshop = workshop();
    let library = workshop.library("library");
    workshop.build(RECIPE, &library);
    let other = workshop.library("library");
    assert!(library.clear_cache().is_err());
    assert!(library.prune_cache(0).is_err());
    assert_eq!(library.cache_size().unwrap().layers, 6);
    drop(other);
    assert_eq!(library.prune_cache(0).unwrap().layers, 6);
}

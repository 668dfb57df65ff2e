//! Imported media, and folders that are not ours.

use std::fs;

use wimwright_build::events::Silent;
use wimwright_build::job::JobError;
use wimwright_build::output::OutputError;
use wimwright_image::medium::Medium;

use crate::workshop::{Workshop, practice_medium};

#[test]
fn an_import_copies_and_one_in_place_does_not() {
    let workshop = Workshop::new();
    let library = workshop.library("library");
    fs::copy(practice_medium(), workshop.path("original.iso")).unwrap();
    let copied = library.import(&workshop.path("original.iso"), Some("copy"), false, &Silent).unwrap();
    let referenced = library.import(&workshop.path("original.iso"), None, true, &Silent).unwrap();
    assert_eq!((copied.name.as_str(), referenced.name.as_str()), ("copy", "original"));
    assert_eq!(library.medium_path(&referenced), fs::canonicalize(workshop.path("original.iso")).unwrap());
    assert_eq!(workshop.files("library/media/original").len(), 1);
    fs::remove_file(workshop.path("original.iso")).unwrap();
    assert!(Medium::open(&library.medium_path(&copied)).is_ok());
    assert!(Medium::open(&library.medium_path(&referenced)).is_err());
    // Both are still known.
    let names: Vec<_> = library.media().unwrap().into_iter().map(|record| record.name).collect();
    assert_eq!(names, ["copy", "original"]);
    assert_eq!(library.medium("copy").unwrap(), copied);
    assert!(library.medium("nope").is_err() && library.medium("../media/copy").is_err());
}

#[test]
fn a_folder_and_a_split_set_are_imported_whole() {
    let workshop = Workshop::new();
    let library = workshop.library("library");
    let images = "recipe: 1\nimages:\n  - select: all\n    metadata: { flags: Other }\n";
    workshop.build(&format!("{images}output:\n  - folder: ./medium\n  - {{ swm: ./parts/install.swm, size: 4MB }}\n"), &library);
    for (path, files) in [("medium", 0), ("parts/install.swm", 4)] {
        let record = library.import(&workshop.path(path), None, false, &Silent).unwrap();
        assert_eq!(record.images.len(), 3);
        let medium = Medium::open(&library.medium_path(&record)).unwrap();
        assert_eq!(medium.open_images(medium.install_file().unwrap()).unwrap().image_count(), 3);
        let imported = workshop.files(&format!("library/media/{}", record.name));
        let expected = if files == 0 { workshop.files("medium").len() + 1 } else { files };
        assert_eq!(imported.len(), expected, "{imported:?}");
    }
}

#[test]
fn the_newest_of_a_family_supersedes_the_others() {
    let workshop = Workshop::new();
    let library = workshop.library("library");
    let newer = "recipe: 1\nepoch: 2025-01-01T00:00:00Z\nimages:\n  - select: { index: 1 }\n    files: [{ content: x, to: /x }]\noutput: { wim: ./newer.wim }\n";
    workshop.build(newer, &library);
    library.import(practice_medium(), None, true, &Silent).unwrap();
    library.import(&workshop.path("newer.wim"), None, true, &Silent).unwrap();
    let listed = library.list().unwrap();
    let shown: Vec<_> =
        listed.iter().map(|listed| (listed.image.edition.as_str(), listed.medium.as_str(), listed.superseded_by.is_some())).collect();
    assert_eq!(shown[2..4], [("Professional", "newer", false), ("Professional", "practice", true)]);
    assert_eq!(shown.len(), 6);
    assert_eq!(shown.iter().filter(|(.., superseded)| *superseded).count(), 3);
    let newest = listed[3].superseded_by.as_ref().unwrap();
    assert_eq!((newest.medium.as_str(), newest.index, &newest.media_name), ("newer", 1, &listed[2].image.media_name));
}

#[test]
fn foreign_folders_are_not_overwritten() {
    let workshop = Workshop::new();
    let library = workshop.library("library");
    let recipe = |content: &str| {
        format!("recipe: 1\nimages:\n  - select: all\n    files: [{{ content: {content}, to: /x }}]\noutput: {{ folder: ./out }}\n")
    };
    let is_refused = |content: &str| {
        let built = workshop.try_build(&recipe(content), practice_medium(), &library, None, &Silent).unwrap();
        matches!(built.error, Some(JobError::Output(OutputError::Refused { .. })))
    };
    workshop.write("out/notes.txt", "the user's");
    assert!(is_refused("a"));
    assert!(!workshop.path("library/cache").exists(), "it is refused before any work");
    assert_eq!(workshop.read("out/notes.txt"), b"the user's");
    fs::remove_file(workshop.path("out/notes.txt")).unwrap();

    // An empty one is taken, our own is replaced.
    workshop.build(&recipe("a"), &library);
    let first = workshop.read("out/sources/install.wim");
    workshop.build(&recipe("b"), &library);
    assert!(workshop.read("out/sources/install.wim") != first);
    // Until somebody puts something into it, or changes it.
    workshop.write("out/added.txt", "the user's");
    assert!(is_refused("c"));
    assert_eq!(workshop.read("out/added.txt"), b"the user's");
    // Another library knows nothing of it.
    fs::remove_file(workshop.path("out/added.txt")).unwrap();
    let other = workshop.library("other");
    let built = workshop.try_build(&recipe("c"), practice_medium(), &other, None, &Silent).unwrap();
    assert!(matches!(built.error, Some(JobError::Output(OutputError::Refused { .. }))));
}

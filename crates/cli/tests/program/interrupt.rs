//! Builds and imports that are killed at any moment: what was whole stays whole, and the next run ends as if nothing had been.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::workshop::Workshop;

/// Moments at which a build is killed, spread over the time that it takes.
const MOMENTS: u32 = 15;

/// A recipe that is done quickly, for an output that must survive.
const EARLIER: &str = "\
recipe: 1
media: ./practice.iso
images:
  - select: { index: 1 }
    files:
      - content: earlier
        to: /earlier.txt
drop: { index: [2, 3] }
output: { wim: ./earlier.wim }
";

/// Starts the program, kills it after `delay` unless it ended before, and waits for it.
fn kill_after(workshop: &Workshop, arguments: &[&str], delay: Duration) {
    let mut child = workshop.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    // SIGKILL: no handler of ours can run.
    child.kill().unwrap();
    child.wait().unwrap();
}

/// How long a command takes.
fn time_of(workshop: &Workshop, arguments: &[&str]) -> Duration {
    let started = Instant::now();
    workshop.run(arguments).succeeded();
    started.elapsed()
}

/// Temporary files and folders of ours anywhere below `folder`.
fn leftovers(workshop: &Workshop, folder: &str) -> Vec<String> {
    let is_temporary = |path: &String| Path::new(path).file_name().unwrap().to_string_lossy().starts_with(".wimwright-");
    workshop.listing(folder).into_iter().filter(is_temporary).collect()
}

#[test]
fn a_killed_build_leaves_everything_whole() {
    let workshop = Workshop::new();
    workshop.write("earlier.yaml", EARLIER);
    workshop.run(&["build", "earlier.yaml", "--library", "library"]).succeeded();
    let earlier = workshop.read("earlier.wim");
    let time = time_of(&workshop, &["build", "recipe.yaml", "--library", "reference", "--out", "reference.iso"]);
    let reference = workshop.read("reference.iso");

    let build = ["build", "recipe.yaml", "--library", "library", "--out", "out/serviced.iso", "--quiet"];
    let mut unfinished = 0;
    for moment in 0..MOMENTS {
        workshop.run(&["cache", "clear", "--library", "library"]).succeeded();
        let old = (moment % 2 == 1).then(|| b"what was there before".to_vec());
        match &old {
            Some(old) => workshop.write("out/serviced.iso", old),
            None => drop(std::fs::remove_file(workshop.path("out/serviced.iso"))),
        }
        kill_after(&workshop, &build, time * moment / MOMENTS + Duration::from_millis(2));

        let found = std::fs::read(workshop.path("out/serviced.iso")).ok();
        let is_whole = found.as_ref() == Some(&reference);
        assert!(found == old || is_whole, "moment {moment}: a part of an output");
        unfinished += u32::from(!is_whole);
        assert!(workshop.read("earlier.wim") == earlier, "moment {moment}: the earlier output changed");
        workshop.run(&["cache", "size", "--library", "library"]).succeeded();
        workshop.run(&["list", "--library", "library"]).succeeded();
        if moment % 3 == 0 {
            workshop.run(&["cache", "prune", "--library", "library"]).succeeded();
            assert_eq!(leftovers(&workshop, "library"), Vec::<String>::new(), "moment {moment}");
        }
        workshop.run(&build).succeeded();
        assert!(workshop.read("out/serviced.iso") == reference, "moment {moment}: a resumed build gives other bytes");
        assert_eq!(leftovers(&workshop, "out"), Vec::<String>::new(), "moment {moment}");
    }
    assert!(unfinished >= MOMENTS / 3, "only {unfinished} builds were interrupted: the moments are badly chosen");
    workshop.run(&["cache", "prune", "--library", "library"]).succeeded();
    assert_eq!(leftovers(&workshop, "."), Vec::<String>::new());
}

#[test]
fn a_killed_build_never_leaves_half_a_folder() {
    let workshop = Workshop::new();
    let build = |out: &'static str| ["build", "folder.yaml", "--media", "practice.iso", "--library", "library", "--out", out];
    workshop.write("folder.yaml", "recipe: 1\nimages:\n  - select: all\n    files:\n      - { content: x, to: /x.txt }\n");
    let time = time_of(&workshop, &build("reference"));
    let relative = |folder: &str| -> Vec<_> {
        let inside = workshop.listing(folder);
        inside.into_iter().map(|path| path[folder.len()..].to_owned()).collect()
    };
    let reference = relative("reference");
    for moment in 0..5 {
        kill_after(&workshop, &build("out/medium"), time * moment / 5);
        if workshop.path("out/medium").exists() {
            assert_eq!(relative("out/medium"), reference, "moment {moment}");
            std::fs::remove_dir_all(workshop.path("out/medium")).unwrap();
        }
    }
    workshop.run(&build("out/medium")).succeeded();
    assert_eq!(relative("out/medium"), reference);
    assert_eq!(leftovers(&workshop, "out"), Vec::<String>::new());
    assert!(workshop.read("out/medium/sources/install.wim") == workshop.read("reference/sources/install.wim"));
}

#[test]
fn a_killed_import_is_as_if_it_had_not_been() {
    let workshop = Workshop::new();
    let import = ["import", "practice.iso", "--library", "library"];
    let time = time_of(&workshop, &["import", "practice.iso", "--library", "reference"]);
    for moment in 0..6 {
        kill_after(&workshop, &import, time * moment / 6);
        let listed = workshop.run(&["list", "--library", "library", "--format", "json"]).succeeded().json();
        assert!([0, 3].contains(&listed.as_array().unwrap().len()), "{listed}");
    }
    // An import that ended without its record is no medium, and pruned.
    workshop.write("library/media/half/practice.iso", "half");
    workshop.write("library/media/half/.wimwright-aB3dEf", "quarter");
    workshop.run(&["cache", "prune", "--library", "library"]).succeeded();
    assert!(!workshop.path("library/media/half").exists());
    workshop.run(&import).succeeded();
    assert!(workshop.read("library/media/practice/practice.iso") == workshop.read("practice.iso"));
    workshop.run(&["cache", "prune", "--library", "library"]).succeeded();
    assert_eq!(leftovers(&workshop, "library"), Vec::<String>::new());
}

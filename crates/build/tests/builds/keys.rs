//! What the key of a step depends on, and what it does not.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Duration;

use wimwright_build::events::{Event, Events};

use crate::workshop::{Workshop, practice_medium};

/// A recipe for one image, with the steps files, registry and metadata.
fn recipe(head: &str, files: &str, registry: &str, tail: &str) -> String {
    format!(
        "recipe: 1\n{head}images:\n  - select: {{ index: 1 }}\n    files:\n      - {files}\n    registry:\n      - {registry}\n    metadata: {{ name: Renamed }}\n\
         drop: {{ index: [2, 3] }}\n{tail}"
    )
}

const FILES: &str = "{ add: ./payload.bin, to: /payload.bin }";
const REGISTRY: &str = "{ key: 'HKLM\\SOFTWARE\\Contoso', values: { a: 1 } }";
const OUTPUT: &str = "output: { wim: ./out.wim }\n";

/// The keys of all steps of a recipe; it is run in a library of its own.
fn keys(workshop: &Workshop, recipe: &str) -> Vec<String> {
    let library = workshop.library("keys");
    library.clear_cache().unwrap();
    let images =
        workshop.plan(recipe).run(&library, &wimwright_build::events::Silent).unwrap_or_else(|failure| panic!("{}", failure.error));
    images[0].steps.iter().map(|step| step.key.to_string()).collect()
}

#[test]
fn names_comments_paths_and_outputs_are_in_no_key() {
    let workshop = Workshop::new();
    workshop.write("payload.bin", "payload");
    workshop.write("elsewhere/copy.bin", "payload");
    let reference = keys(&workshop, &recipe("", FILES, REGISTRY, OUTPUT));
    assert_eq!(reference.len(), 3);
    let same = [
        recipe("name: Another name\n# and a comment\n", FILES, REGISTRY, OUTPUT),
        recipe("variables: { where: payload }\n", "{ add: ./payload.bin, to: '/${where}.bin' }", REGISTRY, OUTPUT),
        recipe("", "{ add: ./elsewhere/copy.bin, to: /payload.bin }", REGISTRY, OUTPUT),
        recipe("", FILES, REGISTRY, "output: { iso: ./other.iso, install: esd }\n"),
    ];
    for recipe in same {
        assert_eq!(keys(&workshop, &recipe), reference, "{recipe}");
    }
}

#[test]
fn options_contents_input_and_time_are_in_the_key() {
    let workshop = Workshop::new();
    workshop.write("payload.bin", "payload");
    workshop.write("other.bin", "another payload");
    let reference = keys(&workshop, &recipe("", FILES, REGISTRY, OUTPUT));
    let mut seen = vec![reference.clone()];
    let others = [
        recipe("", "{ add: ./payload.bin, to: /elsewhere.bin }", REGISTRY, OUTPUT),
        recipe("", "{ add: ./payload.bin, to: /payload.bin, attributes: [hidden] }", REGISTRY, OUTPUT),
        recipe("", "{ add: ./other.bin, to: /payload.bin }", REGISTRY, OUTPUT),
        recipe("epoch: 2024-11-01T00:00:00Z\n", FILES, REGISTRY, OUTPUT),
        recipe("", FILES, REGISTRY, OUTPUT).replace("index: 1 }", "index: 2 }").replace("[2, 3]", "[1, 3]"),
    ];
    for recipe in others {
        let keys = keys(&workshop, &recipe);
        assert!(seen.iter().all(|other| other[0] != keys[0]), "{recipe}");
        seen.push(keys);
    }
    // A change of a later step leaves the keys of the earlier ones.
    let changed = keys(&workshop, &recipe("", FILES, &REGISTRY.replace("a: 1", "a: 2"), OUTPUT));
    assert_eq!(changed[0], reference[0]);
    assert_ne!(changed[1], reference[1]);
}

#[test]
fn the_time_is_only_in_the_keys_of_steps_that_write_it() {
    let workshop = Workshop::new();
    let recipe = |epoch: &str, metadata: &str| {
        let step = if metadata.is_empty() { "files: [{ content: x, to: /x }]" } else { metadata };
        format!("recipe: 1\nepoch: {epoch}\nimages:\n  - select: {{ index: 1 }}\n    {step}\ndrop: {{ index: [2, 3] }}\n")
    };
    let (early, late) = ("2024-11-01T00:00:00Z", "2025-11-01T00:00:00Z");
    assert_ne!(keys(&workshop, &recipe(early, "")), keys(&workshop, &recipe(late, "")));
    let metadata = "metadata: { name: Renamed }";
    assert_eq!(keys(&workshop, &recipe(early, metadata)), keys(&workshop, &recipe(late, metadata)));
}

/// Notes how many threads there are for whatever runs where the events come from.
#[derive(Default)]
struct Counted(Mutex<BTreeSet<usize>>);

impl Events for Counted {
    fn event(&self, _: Event) {
        self.0.lock().unwrap().insert(rayon::current_num_threads());
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn keys_and_layers_do_not_depend_on_threads() {
    let workshop = Workshop::new();
    workshop.write("payload.bin", (0..3_000_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect::<Vec<_>>());
    let text = recipe("", FILES, REGISTRY, OUTPUT);
    for (library, threads) in [("one", 1), ("four", 4)] {
        let opened = workshop.library(library);
        let counted = Counted::default();
        let built = workshop.try_build(&text, practice_medium(), &opened, NonZeroUsize::new(threads), &counted).unwrap();
        assert!(built.error.is_none() && !built.up_to_date);
        assert_eq!(counted.0.into_inner().unwrap(), BTreeSet::from([threads]), "threads that steps and outputs may use");
    }
    assert_eq!(workshop.layers("one"), workshop.layers("four"));
    for layer in workshop.layers("one") {
        assert!(workshop.read(&format!("one/cache/{layer}")) == workshop.read(&format!("four/cache/{layer}")), "{layer}");
    }
}

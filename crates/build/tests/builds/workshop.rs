//! A folder with the practice medium, and builds in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use wimwright_build::events::{Event, Events};
use wimwright_build::job::{Built, Job, JobError};
use wimwright_build::library::Library;
use wimwright_build::recipe::Recipe;
use wimwright_build::run::Plan;
use wimwright_image::medium::Medium;

/// Where this binary keeps its files: emptied when it starts.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("builds");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
});

/// The practice medium, made once.
pub fn practice_medium() -> &'static Path {
    static MEDIUM: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = FOLDER.join("practice.iso");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        wimwright_practice::write_medium(&wimwright_practice::Options::default(), &file).unwrap();
        path
    });
    &MEDIUM
}

/// Notes what a build says of itself.
#[derive(Default)]
pub struct Watched(Mutex<Vec<Event>>);

impl Watched {
    /// Which steps were done, and whether they were in the cache.
    pub fn done(&self) -> Vec<(u32, String, bool)> {
        let step = |event: &Event| match event {
            Event::StepFinished { image, step, cached, .. } => Some((*image, step.clone(), *cached)),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(step).collect()
    }

    /// Which results were removed from the cache: image and file.
    pub fn discarded(&self) -> Vec<(u32, String)> {
        let discarded = |event: &Event| match event {
            Event::ResultDiscarded { image, path, .. } => Some((*image, path.clone())),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(discarded).collect()
    }
}

impl Events for Watched {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// A file as a listing shows it: what changes when somebody writes it.
pub type Stamp = (u64, i64, i64, u64);

/// A folder of its own for a test.
pub struct Workshop {
    folder: TempDir,
}

impl Workshop {
    pub fn new() -> Self {
        Self { folder: TempDir::new_in(&*FOLDER).unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub fn library(&self, name: &str) -> Library {
        Library::open(&self.path(name)).unwrap()
    }

    /// A recipe out of its text. It is written to a file, since paths in it start from there.
    pub fn recipe(&self, text: &str) -> Recipe {
        self.write("recipe.yaml", text);
        Recipe::read(&self.path("recipe.yaml"), &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A recipe on the practice medium, checked.
    pub fn plan(&self, text: &str) -> Plan {
        let recipe = self.recipe(text);
        Plan::new(&recipe, Medium::open(practice_medium()).unwrap(), &recipe.outputs, &self.library("plan")).unwrap()
    }

    /// Runs a recipe on a medium.
    pub fn try_build(
        &self,
        text: &str,
        medium: &Path,
        library: &Library,
        threads: Option<NonZeroUsize>,
        events: &dyn Events,
    ) -> Result<Built, JobError> {
        let recipe = self.recipe(text);
        let outputs = recipe.outputs.clone();
        let medium = Medium::open(medium).unwrap();
        let started = "2026-11-01T08:30:00Z".to_owned();
        Job { recipe: &recipe, recipe_name: "test".to_owned(), medium, outputs, threads, library, events, started, tool_version: "test" }
            .build()
    }

    /// Runs a recipe on the practice medium. Tells whether there was nothing to do, and which steps were in the cache.
    #[track_caller]
    pub fn build(&self, text: &str, library: &Library) -> (bool, Vec<(u32, String, bool)>) {
        let watched = Watched::default();
        let built = self.try_build(text, practice_medium(), library, None, &watched).unwrap();
        assert!(built.error.is_none(), "{:?}", built.error);
        (built.up_to_date, watched.done())
    }

    /// All files below a folder.
    pub fn files(&self, name: &str) -> BTreeMap<String, Stamp> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![self.path(name)];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                if metadata.is_dir() {
                    waiting.push(path);
                } else {
                    let name = path.strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_owned();
                    found.insert(name, (metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino()));
                }
            }
        }
        found
    }

    /// File names of the layers in a library.
    pub fn layers(&self, library: &str) -> BTreeSet<String> {
        let files = self.files(&format!("{library}/cache")).into_keys();
        files.filter(|name| name.ends_with(".wim")).map(|name| name.rsplit('/').next().unwrap().to_owned()).collect()
    }
}

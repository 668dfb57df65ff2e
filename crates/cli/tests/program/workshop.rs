//! A folder with the practice medium and its recipe, and the program run in it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;
use wimwright_practice::{Capture, Options};

/// Where this binary keeps its media: emptied when it starts.
static MEDIA: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("program");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
});

/// The practice medium, made once.
pub fn practice_medium() -> &'static Path {
    static MEDIUM: LazyLock<PathBuf> = LazyLock::new(|| make_medium("practice.iso", None));
    &MEDIUM
}

/// The practice medium whose images were captured, made once.
pub fn captured_medium(generalized: bool) -> &'static Path {
    static GENERALIZED: LazyLock<PathBuf> = LazyLock::new(|| make_medium("generalized.iso", Some(Capture { generalized: true })));
    static CAPTURED: LazyLock<PathBuf> = LazyLock::new(|| make_medium("captured.iso", Some(Capture { generalized: false })));
    if generalized { &GENERALIZED } else { &CAPTURED }
}

fn make_medium(name: &str, captured: Option<Capture>) -> PathBuf {
    let path = MEDIA.join(name);
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    wimwright_practice::write_medium(&Options { size: None, captured }, &file).unwrap();
    path
}

/// What a run of the program left.
pub struct Ran {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The run, which must have succeeded.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// The last line of standard output as JSON, or all of it when it is one document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let last = || serde_json::from_str(self.stdout.lines().last().unwrap_or_default());
        serde_json::from_str(&self.stdout).or_else(|_| last()).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

/// A folder of its own for a test.
pub struct Workshop {
    folder: TempDir,
}

impl Workshop {
    /// An empty one.
    pub fn empty() -> Self {
        Self { folder: TempDir::new_in(&*MEDIA).unwrap() }
    }

    /// With the practice medium as `practice.iso`, its `recipe.yaml` and the recipe's inputs.
    pub fn new() -> Self {
        let workshop = Self::empty();
        workshop.link(practice_medium(), "practice.iso");
        for file in wimwright_practice::recipe::files().unwrap() {
            workshop.write(&file.path, &file.bytes);
        }
        workshop
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gives a file a name in the folder, without copying it where that is possible.
    pub fn link(&self, file: &Path, name: &str) {
        if fs::hard_link(file, self.path(name)).is_err() {
            fs::copy(file, self.path(name)).unwrap();
        }
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The program, to be started in the folder, with `library` in it unless the arguments name another one.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wimwright"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_clear().env("XDG_DATA_HOME", self.path("data"));
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Another program, to be run in the folder.
    pub fn other(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Names of all files and folders below `name`, sorted.
    pub fn listing(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut waiting = vec![self.path(name)];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(self.folder.path()).unwrap().to_string_lossy().into_owned());
                if path.is_dir() {
                    waiting.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

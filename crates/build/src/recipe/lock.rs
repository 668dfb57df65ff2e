//! The lock: a recipe with every input pinned by content.
//!
//! `recipe.lock` lies beside the recipe, is JSON, and is meant to be committed: it says which files a build read, so
//! that the same build can be repeated and an unexpected change of an input is an error instead of a different result.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{FileChange, HostPath, Media, Recipe, RegistryChange, Spanned, hex};

/// Something outside the recipe that a build reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'r> {
    /// A file or folder of this machine.
    Path(&'r HostPath),
    /// A medium of the library, by name.
    Library(&'r Spanned<String>),
    /// The medium that was given for a recipe that names none.
    Given,
}

/// Name of [`Input::Given`] in a lock: where it was given.
const GIVEN: &str = "--media";

impl Input<'_> {
    /// Its name in the lock.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Path(path) => path.canonical().to_owned(),
            Self::Library(name) => format!("library:{}", name.value),
            Self::Given => GIVEN.to_owned(),
        }
    }
}

/// The identity of an input's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// SHA-256 in hexadecimal: of a file its bytes, of a folder the listing that [`fingerprint`] describes.
    pub sha256: String,
    /// Bytes of the file, or of all files in the folder.
    pub size: u64,
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({} bytes)", self.sha256, self.size)
    }
}

/// One input as the lock pins it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedInput {
    /// The path relative to the recipe's folder, `library:NAME`, or `--media` for the medium that was given for a recipe without one.
    pub name: String,
    /// What it contains.
    #[serde(flatten)]
    pub fingerprint: Fingerprint,
}

/// A recipe's digest and the content of every input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of the lock format: 1.
    version: u32,
    /// [`Recipe::canonical_digest`] of the recipe.
    pub recipe: String,
    /// The inputs, by name.
    pub inputs: Vec<LockedInput>,
}

/// The only version of the lock format.
const VERSION: u32 = 1;

/// Why a lock cannot be made, read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// An input cannot be read.
    #[error("cannot read the input `{name}`: {source}")]
    Read {
        /// The input.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// The text is not a lock.
    #[error("not a lock file: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A lock of another version.
    #[error("version {0} of the lock format is not known; this program knows {VERSION}")]
    Version(u32),
    /// The recipe or its inputs are not those that were locked.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Changed(Vec<LockChange>),
}

/// One way in which a build would differ from what was locked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockChange {
    /// The recipe means something else now.
    #[error("the recipe changed since it was locked: from {from} to {to}")]
    Recipe {
        /// Digest in the lock.
        from: String,
        /// Digest now.
        to: String,
    },
    /// An input has other content now.
    #[error("the input `{name}` changed: from {from} to {to}")]
    Input {
        /// The input.
        name: String,
        /// Content in the lock.
        from: Fingerprint,
        /// Content now.
        to: Fingerprint,
    },
    /// The recipe names an input that the lock does not have.
    #[error("the input `{name}` is not in the lock")]
    Added {
        /// The input.
        name: String,
    },
    /// The lock has an input that the recipe does not name.
    #[error("the locked input `{name}` is not in the recipe any more")]
    Removed {
        /// The input.
        name: String,
    },
}

impl Recipe {
    /// Everything outside the recipe that a build reads, each once, by name.
    #[must_use]
    pub fn inputs(&self) -> Vec<Input<'_>> {
        let media = self.media.iter().map(|media| match media {
            Media::Path(path) => Input::Path(path),
            Media::Library(media) => Input::Library(&media.name),
        });
        let paths = self.images.iter().flat_map(entry_paths).map(Input::Path);
        let inputs: BTreeMap<_, _> = media.chain(paths).map(|input| (input.name(), input)).collect();
        inputs.into_values().collect()
    }
}

/// The paths that one entry's steps read.
fn entry_paths(entry: &super::ImageEntry) -> Vec<&HostPath> {
    let files = entry.files.iter().filter_map(|change| match change {
        FileChange::Add(add) => Some(&add.source),
        _ => None,
    });
    let registry = entry.registry.iter().filter_map(|change| match change {
        RegistryChange::File(path) => Some(path),
        _ => None,
    });
    let apps = entry.apps.iter().flat_map(|apps| &apps.add);
    let apps = apps.flat_map(|app| std::iter::once(&app.package).chain(&app.dependencies).chain(&app.license));
    let offers = entry.capabilities.iter().flat_map(|capabilities| &capabilities.source);
    let offers = offers.chain(entry.features.iter().flat_map(|features| &features.source));
    let servicing = entry.servicing.iter().flat_map(|servicing| servicing.roots.iter().chain(&servicing.dictionary));
    let packages = entry.updates.iter().map(|update| &update.path).chain(offers).chain(servicing);
    let single =
        [&entry.start_layout, &entry.default_apps].into_iter().flatten().chain(entry.unattend.as_ref().map(|unattend| &unattend.file));
    packages.chain(files).chain(registry).chain(apps).chain(single).collect()
}

impl Lock {
    /// Pins what a recipe's inputs contain now, as `fingerprint` finds them: [`fingerprint`] for paths; what a name in
    /// the library means, and which medium was given, the caller knows. `given`: [`Input::Given`] is one of the inputs.
    ///
    /// # Errors
    /// An input that cannot be read.
    pub fn create(
        recipe: &Recipe,
        given: bool,
        fingerprint: &mut dyn FnMut(Input<'_>) -> io::Result<Fingerprint>,
    ) -> Result<Self, LockError> {
        let inputs = recipe.inputs().into_iter().chain(given.then_some(Input::Given)).map(|input| {
            let name = input.name();
            match fingerprint(input) {
                Ok(fingerprint) => Ok(LockedInput { name, fingerprint }),
                Err(source) => Err(LockError::Read { name, source }),
            }
        });
        Ok(Self { version: VERSION, recipe: recipe.canonical_digest(), inputs: inputs.collect::<Result<_, _>>()? })
    }

    /// Checks that the recipe and its inputs are those that were locked. A lock that pins no medium leaves it open which one is
    /// given.
    ///
    /// # Errors
    /// [`LockError::Changed`] with everything that differs; an input that cannot be read.
    pub fn verify(&self, recipe: &Recipe, fingerprint: &mut dyn FnMut(Input<'_>) -> io::Result<Fingerprint>) -> Result<(), LockError> {
        let given = self.inputs.iter().any(|input| input.name == GIVEN);
        let now = Self::create(recipe, given, fingerprint)?;
        let mut changes = Vec::new();
        if self.recipe != now.recipe {
            changes.push(LockChange::Recipe { from: self.recipe.clone(), to: now.recipe.clone() });
        }
        let locked: BTreeMap<_, _> = self.inputs.iter().map(|input| (&input.name, &input.fingerprint)).collect();
        let present: BTreeMap<_, _> = now.inputs.iter().map(|input| (&input.name, &input.fingerprint)).collect();
        for (&name, &to) in &present {
            match locked.get(name) {
                None => changes.push(LockChange::Added { name: name.clone() }),
                Some(&from) if from != to => changes.push(LockChange::Input { name: name.clone(), from: from.clone(), to: to.clone() }),
                Some(_) => {}
            }
        }
        changes.extend(locked.keys().filter(|name| !present.contains_key(*name)).map(|&name| LockChange::Removed { name: name.clone() }));
        if changes.is_empty() { Ok(()) } else { Err(LockError::Changed(changes)) }
    }

    /// The lock file's text: the same lock, the same text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a lock file's text.
    ///
    /// # Errors
    /// Text that is not a lock, or a lock of another version.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let lock: Self = serde_json::from_str(text)?;
        if lock.version == VERSION { Ok(lock) } else { Err(LockError::Version(lock.version)) }
    }
}

/// Folders in folders that are followed: deeper than any path that Windows can hold.
const MAX_DEPTH: usize = 256;

/// Fingerprint of a file or folder of this machine.
///
/// Of a file: SHA-256 of its bytes. Of a folder: SHA-256 of a listing with one line per entry below it, sorted by the
/// bytes of the relative path: `d PATH`, `f SIZE SHA256 PATH` or `l TARGET-LENGTH TARGET PATH` (links are not followed),
/// each ended by a null byte. Times, owners and modes do not count: they do not get into an image.
///
/// # Errors
/// What cannot be read; anything that is neither file, folder nor link.
pub fn fingerprint(path: &Path) -> io::Result<Fingerprint> {
    if fs::metadata(path)?.is_dir() {
        let mut listing = Listing::default();
        listing.folder(path, "", 0)?;
        let mut hash = Sha256::new();
        for (name, line) in &listing.lines {
            hash.update(format!("{line} {name}\0"));
        }
        return Ok(Fingerprint { sha256: hex(&hash.finalize()), size: listing.size });
    }
    let (sha256, size) = hash_file(path)?;
    Ok(Fingerprint { sha256, size })
}

/// The entries below a folder: relative path to the rest of its line.
#[derive(Default)]
struct Listing {
    lines: BTreeMap<String, String>,
    size: u64,
}

impl Listing {
    fn folder(&mut self, path: &Path, name: &str, depth: usize) -> io::Result<()> {
        let invalid = |reason: &str, path: &Path| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {reason}", path.display()));
        if depth > MAX_DEPTH {
            return Err(invalid("folders are nested too deeply", path));
        }
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let file_name = entry.file_name().into_string().map_err(|_| invalid("a name in it is not UTF-8", path))?;
            let name = if name.is_empty() { file_name } else { format!("{name}/{file_name}") };
            let path = entry.path();
            let kind = entry.file_type()?;
            let line = if kind.is_dir() {
                self.folder(&path, &name, depth + 1)?;
                "d".to_owned()
            } else if kind.is_file() {
                let (sha256, size) = hash_file(&path)?;
                self.size = self.size.saturating_add(size);
                format!("f {size} {sha256}")
            } else if kind.is_symlink() {
                let target = fs::read_link(&path)?;
                let target = target.to_str().ok_or_else(|| invalid("the link's target is not UTF-8", &path))?;
                format!("l {} {target}", target.len())
            } else {
                return Err(invalid("neither file, folder nor link", &path));
            };
            self.lines.insert(name, line);
        }
        Ok(())
    }
}

/// Bytes read at once.
const BUFFER: usize = 1 << 20;

fn hash_file(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut size = 0_u64;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hex(&hash.finalize()), size));
        }
        hash.update(&buffer[..count]);
        size = size.saturating_add(count as u64);
    }
}

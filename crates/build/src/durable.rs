//! Files that are whole or absent: written under a temporary name, synced, renamed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::{Builder, TempDir, TempPath};
use thiserror::Error;

/// A file operation of the library or of an output that failed.
#[derive(Debug, Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct FileError {
    /// What was tried.
    pub action: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// Names the path in an I/O error.
pub(crate) trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, FileError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError { action, path: path.to_owned(), source })
    }
}

/// Prefix of temporary names, so that what a killed run left behind can be told from a user's files.
const TEMPORARY_PREFIX: &str = ".wimwright-";
/// Random letters and digits after the prefix.
const RANDOM_LENGTH: usize = 6;

/// Locks what was just made under a temporary name, for as long as `file` is open: the system drops the lock of a killed
/// process. False when [`remove_leftovers`] of another process was faster.
fn claim(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::LockExclusive) {
        // On a file system without locks nothing is ever taken for a leftover.
        Ok(()) | Err(rustix::io::Errno::NOLCK | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            Ok(file.metadata()?.nlink() > 0)
        }
        Err(error) => Err(error.into()),
    }
}

/// True for names that [`Pending`] and [`PendingFolder`] give.
fn is_temporary(name: &OsStr) -> bool {
    let random = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY_PREFIX));
    random.is_some_and(|random| random.len() == RANDOM_LENGTH && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Removes the temporary files and folders in `folder` whose process is gone: they carry our prefix, and nobody locks them.
/// Returns the bytes of the files that were removed.
///
/// # Errors
/// The folder cannot be listed, or a leftover cannot be removed. A folder that is not there has none.
pub(crate) fn remove_leftovers(folder: &Path) -> Result<u64, FileError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.at("list", folder)?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry.at("list", folder)?;
        let path = entry.path();
        let metadata = entry.metadata().at("read", &path)?;
        if !is_temporary(&entry.file_name()) || metadata.is_symlink() {
            continue;
        }
        // What cannot be opened any more was finished or removed meanwhile.
        let Ok(file) = File::open(&path) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        match if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) } {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("remove", &path),
            _ => removed += if metadata.is_dir() { 0 } else { metadata.len() },
        }
    }
    Ok(removed)
}

/// A folder in the making, or one for files that are needed for a while. Dropped, it is removed with all that is in it.
pub(crate) struct PendingFolder {
    folder: TempDir,
    _lock: File,
}

impl PendingFolder {
    /// Makes a folder in `parent`, which is created when it is missing.
    pub fn create_in(parent: &Path) -> Result<Self, FileError> {
        fs::create_dir_all(parent).at("create the folder", parent)?;
        loop {
            let folder =
                Builder::new().prefix(TEMPORARY_PREFIX).rand_bytes(RANDOM_LENGTH).tempdir_in(parent).at("create a folder in", parent)?;
            let lock = File::open(folder.path()).at("open", folder.path())?;
            if claim(&lock).at("lock", folder.path())? {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives the folder its name. What had that name before is replaced in one step, and then removed.
    pub fn publish(self, target: &Path) -> Result<(), FileError> {
        let path = self.folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).at("change", path)?;
        if target.exists() {
            // The two change names: what was there before goes with the temporary folder.
            let exchanged = rustix::fs::renameat_with(rustix::fs::CWD, path, rustix::fs::CWD, target, rustix::fs::RenameFlags::EXCHANGE);
            exchanged.map_err(io::Error::from).at("rename the finished folder to", target)?;
        } else {
            // The folder has its name afterwards: nothing is left to remove.
            fs::rename(self.folder.keep(), target).at("rename the finished folder to", target)?;
        }
        sync_folder_of(target)
    }
}

/// A file in the making beside its final place. Dropped before [`Pending::publish`], it is removed.
pub(crate) struct Pending {
    file: File,
    temporary: TempPath,
    target: PathBuf,
}

impl Pending {
    /// Starts a file that will become `target`. Missing folders are created.
    pub fn create(target: &Path) -> Result<Self, FileError> {
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder).at("create the folder", folder)?;
        loop {
            let mut builder = Builder::new();
            builder.prefix(TEMPORARY_PREFIX).rand_bytes(RANDOM_LENGTH).permissions(fs::Permissions::from_mode(0o644));
            let (file, temporary) = builder.tempfile_in(folder).at("create a file in", folder)?.into_parts();
            if claim(&file).at("lock", &temporary)? {
                return Ok(Self { file, temporary, target: target.to_owned() });
            }
        }
    }

    /// The file, open for reading and writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes the bytes durable, then gives the file its name. What had that name before is replaced in one step.
    pub fn publish(self) -> Result<(), FileError> {
        self.file.sync_all().at("sync", &self.target)?;
        self.temporary.persist(&self.target).map_err(|error| error.error).at("rename the finished file to", &self.target)?;
        sync_folder_of(&self.target)
    }
}

/// Makes a rename in the folder of `path` durable.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).at("sync the folder", folder)
}

/// Writes a small file durably: under a temporary name, synced, renamed.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn write(target: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let pending = Pending::create(target)?;
    io::Write::write_all(&mut pending.file(), bytes).at("write", target)?;
    pending.publish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("below/file");
        drop(Pending::create(&target).unwrap());
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 0, "an abandoned file is removed");
        write(&target, b"one").unwrap();
        write(&target, b"two").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"two");
    }

    #[test]
    fn only_what_nobody_writes_any_more_is_a_leftover() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (file, below) = (Pending::create(&path("file")).unwrap(), PendingFolder::create_in(folder.path()).unwrap());
        fs::write(path(".wimwright-Abc123"), "of a killed run").unwrap();
        fs::create_dir_all(path(".wimwright-000000/below")).unwrap();
        for name in [".wimwright-notes.txt", ".wimwright-abc", "out.iso"] {
            fs::write(path(name), "the user's").unwrap();
        }
        assert_eq!(remove_leftovers(folder.path()).unwrap(), 15);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
        file.publish().unwrap();
        below.publish(&path("folder")).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [".wimwright-abc", ".wimwright-notes.txt", "file", "folder", "out.iso"]);
        assert_eq!(remove_leftovers(&path("nowhere")).unwrap(), 0);
    }
}

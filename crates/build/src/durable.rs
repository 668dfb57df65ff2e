//! Files that are whole or absent: written under a temporary name, synced, renamed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};
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

/// Prefix of temporary files, so that what a killed run left behind can be told from a user's files.
pub(crate) const TEMPORARY_PREFIX: &str = ".wimwright-";

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
        let made =
            Builder::new().prefix(TEMPORARY_PREFIX).permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644)).tempfile_in(folder);
        let (file, temporary) = made.at("create a file in", folder)?.into_parts();
        Ok(Self { file, temporary, target: target.to_owned() })
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
}

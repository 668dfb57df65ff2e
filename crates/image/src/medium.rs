//! Installation media: an ISO, a folder, or a bare WIM, ESD or SWM file, seen as one list of files. Nothing is mounted or
//! extracted: a WIM inside an ISO is read where it lies.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use wimwright_format::io::ReadAt;
use wimwright_format::media::{EntryKind, Platform, Volume, VolumeError};
use wimwright_format::wim::{self, Wim};

use crate::host_file::open_host_file;
use crate::image_file::ImageFile;

/// First bytes of a WIM, and of one that wimlib wrote for pipes.
const WIM_MAGIC: &[u8; 8] = b"MSWIM\0\0\0";
const PIPABLE_MAGIC: &[u8; 8] = b"WLPWM\0\0\0";

/// Deepest folder below a medium's root. Real media stay below ten.
const MAX_DEPTH: usize = 64;

/// Why a medium cannot be used.
#[derive(Debug, Error)]
pub enum MediumError {
    /// The host cannot give it.
    #[error("cannot read `{}`", path.display())]
    Host {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The optical disc image is damaged or not one.
    #[error("`{}` cannot be read as a disc image", path.display())]
    Volume {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        source: VolumeError,
    },
    /// An image file is damaged or not one.
    #[error("`{file}` cannot be read as a WIM")]
    Wim {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: wim::Error,
    },
    /// Neither disc image, WIM nor folder.
    #[error("`{}` is neither an ISO, a WIM, ESD or SWM file, nor a folder", path.display())]
    Unknown {
        /// The path.
        path: PathBuf,
    },
    /// A folder below a folder below a folder …
    #[error("`{}` lies more than {MAX_DEPTH} folders deep", path.display())]
    TooDeep {
        /// The path.
        path: PathBuf,
    },
    /// The medium holds no such image file.
    #[error("`{medium}` has no `{wanted}`; its image files are: {present}")]
    NoImageFile {
        /// The medium.
        medium: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        present: String,
    },
}

/// What a medium is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediumKind {
    /// A disc image.
    Iso,
    /// A folder with the files of a medium.
    Folder,
    /// A bare image file.
    ImageFile,
}

/// A file of a medium.
#[derive(Clone)]
pub struct MediumFile {
    /// Path on the medium, with slashes and without a leading one.
    pub path: String,
    /// The bytes.
    pub source: Arc<dyn ReadAt>,
    /// When it was last changed, FILETIME; `None` where not recorded.
    pub written: Option<u64>,
}

/// Boot code of a medium, as its boot catalog names it.
#[derive(Clone)]
pub struct BootCode {
    /// The firmware it is for.
    pub platform: Platform,
    /// 512-byte sectors that the firmware loads.
    pub load_sectors: u16,
    /// The bytes.
    pub source: Arc<dyn ReadAt>,
}

/// An opened medium.
pub struct Medium {
    /// The host path it was opened from.
    pub path: PathBuf,
    /// What it is.
    pub kind: MediumKind,
    /// Volume label; empty where there is none.
    pub label: String,
    /// Its folders, outermost first.
    pub folders: Vec<String>,
    /// Its files.
    pub files: Vec<MediumFile>,
    /// Its boot catalog.
    pub boot: Vec<BootCode>,
}

impl Medium {
    /// Opens an ISO, a folder, or a WIM, ESD or SWM file, told apart by content.
    ///
    /// # Errors
    /// See [`MediumError`].
    pub fn open(path: &Path) -> Result<Self, MediumError> {
        let host = |source| MediumError::Host { path: path.to_owned(), source };
        if fs::metadata(path).map_err(host)?.is_dir() {
            return Self::open_folder(path);
        }
        let source = open_host_file(path).map_err(host)?;
        let mut magic = [0; 8];
        let known = source.size() >= 8 && source.read_exact_at(&mut magic, 0).is_ok();
        if known && matches!(&magic, WIM_MAGIC | PIPABLE_MAGIC) {
            return Self::open_image_file(path, source);
        }
        match Volume::open(source) {
            Ok(volume) => Self::from_volume(path, &volume),
            Err(VolumeError::NotAVolume) => Err(MediumError::Unknown { path: path.to_owned() }),
            Err(source) => Err(MediumError::Volume { path: path.to_owned(), source }),
        }
    }

    fn empty(path: &Path, kind: MediumKind) -> Self {
        Self { path: path.to_owned(), kind, label: String::new(), folders: Vec::new(), files: Vec::new(), boot: Vec::new() }
    }

    fn from_volume(path: &Path, volume: &Volume) -> Result<Self, MediumError> {
        let failed = |source| MediumError::Volume { path: path.to_owned(), source };
        let mut medium = Self { label: volume.label().to_owned(), ..Self::empty(path, MediumKind::Iso) };
        for entry in volume.entries().iter().skip(1) {
            let at = volume.path(entry);
            match entry.kind {
                EntryKind::Directory => medium.folders.push(at),
                EntryKind::File => {
                    medium.files.push(MediumFile {
                        path: at,
                        source: Arc::new(volume.open_file(entry).map_err(failed)?),
                        written: entry.modified,
                    });
                }
                EntryKind::Other => {}
            }
        }
        for image in volume.boot_images().iter().filter(|image| image.bootable) {
            let source = Arc::new(volume.open_boot_image(image).map_err(failed)?);
            medium.boot.push(BootCode { platform: image.platform, load_sectors: image.load_sectors, source });
        }
        medium.sort();
        Ok(medium)
    }

    fn open_folder(root: &Path) -> Result<Self, MediumError> {
        let mut medium = Self::empty(root, MediumKind::Folder);
        medium.add_folder(root, "", 0)?;
        medium.sort();
        Ok(medium)
    }

    fn add_folder(&mut self, folder: &Path, below: &str, depth: usize) -> Result<(), MediumError> {
        if depth > MAX_DEPTH {
            return Err(MediumError::TooDeep { path: folder.to_owned() });
        }
        let failed = |path: &Path, source| MediumError::Host { path: path.to_owned(), source };
        for entry in fs::read_dir(folder).map_err(|source| failed(folder, source))? {
            let entry = entry.map_err(|source| failed(folder, source))?;
            let host = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            let metadata = fs::metadata(&host).map_err(|source| failed(&host, source))?;
            if metadata.is_dir() {
                self.folders.push(path.clone());
                self.add_folder(&host, &path, depth + 1)?;
            } else if metadata.is_file() {
                let written = host_time(&metadata);
                let source = open_host_file(&host).map_err(|source| failed(&host, source))?;
                self.files.push(MediumFile { path, source, written });
            }
        }
        Ok(())
    }

    fn open_image_file(path: &Path, source: Arc<dyn ReadAt>) -> Result<Self, MediumError> {
        let mut medium = Self::empty(path, MediumKind::ImageFile);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let failed = |path: &Path, source| MediumError::Host { path: path.to_owned(), source };
        let written = fs::metadata(path).ok().as_ref().and_then(host_time);
        medium.files.push(MediumFile { path: name.clone(), source, written });
        // The other parts of a split set lie beside the first.
        for number in 2.. {
            let Some(part) = part_name(&name, number) else { break };
            let host = path.with_file_name(&part);
            let source = match open_host_file(&host) {
                Ok(source) => source,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(failed(&host, error)),
            };
            medium.files.push(MediumFile { path: part, source, written });
        }
        Ok(medium)
    }

    /// Folders before what they hold, everything in the order of its path.
    fn sort(&mut self) {
        self.folders.sort();
        self.files.sort_by(|left, right| left.path.cmp(&right.path));
    }

    /// The file at `path` (slashes or backslashes), without regard to case.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&MediumFile> {
        let wanted = path.trim_matches(['/', '\\']).replace('\\', "/");
        self.files.iter().find(|file| file.path.eq_ignore_ascii_case(&wanted))
    }

    /// The image files: WIM, ESD, and the first parts of split sets.
    pub fn image_files(&self) -> impl Iterator<Item = &MediumFile> {
        self.files.iter().filter(|file| {
            let name = file.path.to_ascii_lowercase();
            let later_part = name.strip_suffix(".swm").is_some_and(|stem| {
                let first = stem.trim_end_matches(|digit: char| digit.is_ascii_digit());
                first.len() < stem.len() && self.file(&format!("{first}.swm")).is_some()
            });
            [".wim", ".esd", ".swm"].iter().any(|suffix| name.ends_with(suffix)) && !later_part
        })
    }

    /// The image file that a person means by `name`: a path on the medium, or a name such as `install.wim` or `boot.wim`
    /// in one of the folders where Windows media keep them. `install` stands for whichever of WIM, ESD and SWM is there.
    ///
    /// # Errors
    /// There is none.
    pub fn image_file(&self, name: &str) -> Result<&MediumFile, MediumError> {
        let candidates = ["", "sources/", "x64/sources/", "x86/sources/", "arm64/sources/"];
        let found = candidates
            .iter()
            .flat_map(|folder| ["", ".wim", ".esd", ".swm"].map(|suffix| format!("{folder}{name}{suffix}")))
            .find_map(|path| {
                let file = self.file(&path)?;
                self.image_files().find(|known| known.path == file.path)
            });
        found.ok_or_else(|| {
            let present: Vec<_> = self.image_files().map(|file| file.path.as_str()).collect();
            let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
            MediumError::NoImageFile { medium: self.path.display().to_string(), wanted: name.to_owned(), present }
        })
    }

    /// The image file that Windows is installed from; of a bare image file, that file.
    ///
    /// # Errors
    /// The medium has none.
    pub fn install_file(&self) -> Result<&MediumFile, MediumError> {
        match (self.kind, self.files.first()) {
            (MediumKind::ImageFile, Some(file)) => Ok(file),
            _ => self.image_file("install"),
        }
    }

    /// Opens an image file of the medium with all parts of its set. Reads header, blob table and XML data only.
    ///
    /// # Errors
    /// It is damaged, or a part is missing.
    pub fn open_images(&self, file: &MediumFile) -> Result<ImageFile, MediumError> {
        let failed = |name: &str, source| MediumError::Wim { file: name.to_owned(), source };
        let open = |file: &MediumFile| Wim::open(file.source.clone()).map(Arc::new).map_err(|source| failed(&file.path, source));
        let mut parts = vec![open(file)?];
        for number in 2..=parts[0].header().total_parts {
            if let Some(part) = part_name(&file.path, u32::from(number)).and_then(|path| self.file(&path)) {
                parts.push(open(part)?);
            }
        }
        ImageFile::new(parts).map_err(|source| failed(&file.path, source))
    }

    /// All files and sizes, for telling whether two media hold the same.
    #[must_use]
    pub fn listing(&self) -> BTreeMap<&str, u64> {
        self.files.iter().map(|file| (file.path.as_str(), file.source.size())).collect()
    }
}

/// `install.swm`, 2 → `install2.swm`; `None` for other names.
fn part_name(first: &str, number: u32) -> Option<String> {
    let stem = first.get(..first.len().checked_sub(4)?)?;
    let suffix = first.get(stem.len()..)?;
    suffix.eq_ignore_ascii_case(".swm").then(|| format!("{stem}{number}{suffix}"))
}

/// A host file's modification time as FILETIME.
fn host_time(metadata: &fs::Metadata) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    /// Seconds from 1601 to 1970.
    const EPOCH_DIFFERENCE: i64 = 11_644_473_600;
    let seconds = metadata.mtime().checked_add(EPOCH_DIFFERENCE)?;
    u64::try_from(seconds).ok()?.checked_mul(10_000_000)?.checked_add(u64::try_from(metadata.mtime_nsec()).ok()? / 100)
}

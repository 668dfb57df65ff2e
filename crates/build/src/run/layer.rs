//! The cache: a step's result is a *layer*, a delta WIM with the new metadata and only the blobs that are new. It is an
//! ordinary WIM file: wimlib reads it, given what it builds on.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use wimwright_format::io::FileSource;
use wimwright_format::wim::write::{BlobSource, ImageSource, ImageToWrite, WimPlan, WriteError, WriteOptions};
use wimwright_format::wim::{self, BlobId, Compression, Level, VERSION_SOLID, Wim};
use wimwright_image::{Blobs, Image, ImageError, ImageFile};
use wimwright_servicing::step::StepReport;

use super::key::{InputId, StepKey};
use crate::durable::{self, At, FileError, Pending};
use crate::events::{Event, Events};
use crate::library::{Library, LibraryError};
use crate::recipe::{Fingerprint, fingerprint};

/// How hard new blobs are compressed: eight times as fast as libwim's default for 3 % more bytes (docs/reference/performance.md).
/// An output that asks for a level has them compressed again.
pub(crate) const LAYER_LEVEL: Level = Level::FAST;

/// Why the cache cannot be used.
#[derive(Debug, Error)]
pub enum LayerError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A layer cannot be written.
    #[error("the result of a step cannot be written to the cache")]
    Write(#[from] WriteError),
    /// A layer cannot be read back.
    #[error("the cached layer `{}` is damaged: remove it with `wimwright cache clear`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The image to be stored is not consistent.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// What is known of a layer: `cache/KEY.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// Identity of the image that the step made.
    pub output: InputId,
    /// What the step reported.
    pub report: StepReport,
    /// Other layers whose blobs the image refers to.
    pub bases: BTreeSet<StepKey>,
    /// What the layer's file must be: outputs copy compressed blobs as they are, so damage would get into them unseen.
    pub file: Fingerprint,
}

/// The layers that a run has opened, and the image file that the first of them builds on.
pub(crate) struct OpenLayers<'a> {
    library: &'a Library,
    base: &'a ImageFile,
    /// The blobs of all images of the run.
    blobs: Blobs,
    layers: HashMap<StepKey, Arc<Wim>>,
}

/// What the cache takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CacheSize {
    /// How many layers.
    pub layers: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

impl Library {
    fn cache_folder(&self) -> PathBuf {
        self.root().join("cache")
    }

    fn layer_path(&self, key: StepKey, extension: &str) -> PathBuf {
        self.cache_folder().join(format!("{key}.{extension}"))
    }

    /// The record of a layer, if it and all that it builds on are there.
    pub(crate) fn layer(&self, key: StepKey) -> Result<Option<LayerRecord>, LayerError> {
        let path = self.layer_path(key, "json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at("read", &path)?,
        };
        // A record that cannot be read is a result that is not there: it is made again.
        let Ok(record) = serde_json::from_slice::<LayerRecord>(&bytes) else { return Ok(None) };
        let is_there = |layer| ["wim", "json"].iter().all(|extension| self.layer_path(layer, extension).is_file());
        let whole = std::iter::once(key).chain(record.bases.iter().copied()).all(is_there);
        Ok(whole.then_some(record))
    }

    /// A store for the blobs of a run. What is too much for memory goes into the library, as a system's folder for temporary files may be
    /// memory itself.
    pub(crate) fn blobs(&self) -> Blobs {
        let folder = self.cache_folder();
        Blobs::with_spool(Arc::new(move || {
            fs::create_dir_all(&folder)?;
            tempfile::tempfile_in(&folder)
        }))
    }

    /// Removes a layer, of which `path` is the file or the record, whatever of it is there.
    pub(crate) fn discard_layer(&self, path: &Path) -> Result<(), FileError> {
        // The record first: a layer without one is not there.
        for path in [path.with_extension("json"), path.with_extension("wim")] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("remove", &path),
                _ => {}
            }
        }
        Ok(())
    }

    /// All files of the cache: path, size, when last written.
    fn cache_files(&self) -> Result<Vec<(PathBuf, fs::Metadata)>, LayerError> {
        let folder = self.cache_folder();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).at("list", &folder)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.at("list", &folder)?;
            let metadata = entry.metadata().at("read", &entry.path())?;
            files.push((entry.path(), metadata));
        }
        files.sort_by(|(left, _), (right, _)| left.cmp(right));
        Ok(files)
    }

    /// How much the cache holds.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn cache_size(&self) -> Result<CacheSize, LayerError> {
        let files = self.cache_files()?;
        let layers = files.iter().filter(|(path, _)| has_extension(path, "wim")).count() as u64;
        Ok(CacheSize { layers, bytes: files.iter().map(|(_, metadata)| metadata.len()).sum() })
    }

    /// Removes what killed runs left behind, then the layers that were written longest ago until the rest takes at most
    /// `limit` bytes, then every layer that builds on a removed one. Returns what was removed.
    ///
    /// # Errors
    /// Another process uses the library, or a file cannot be removed.
    pub fn prune_cache(&self, limit: u64) -> Result<CacheSize, LibraryError> {
        self.exclusively(|| self.prune(limit).map_err(LibraryError::from))
    }

    fn prune(&self, limit: u64) -> Result<CacheSize, LayerError> {
        let mut removed = CacheSize { layers: 0, bytes: self.remove_leftovers()? };
        let mut kept = Vec::new();
        for (path, metadata) in self.cache_files()? {
            let orphan = has_extension(&path, "wim") != has_extension(&path, "json") && !twin(&path).is_file();
            if orphan {
                remove(&path, &metadata, &mut removed)?;
            } else {
                kept.push((path, metadata));
            }
        }
        kept.sort_by_key(|(path, metadata)| (metadata.modified().ok(), path.clone()));
        let mut total: u64 = kept.iter().map(|(_, metadata)| metadata.len()).sum();
        for (path, metadata) in kept.iter().filter(|(path, _)| has_extension(path, "wim")) {
            if total <= limit {
                break;
            }
            let record = twin(path);
            let record_metadata = fs::metadata(&record).at("read", &record)?;
            remove(&record, &record_metadata, &mut removed)?;
            remove(path, metadata, &mut removed)?;
            removed.layers += 1;
            total -= metadata.len() + record_metadata.len();
        }
        // Layers whose base is gone are never used again.
        for (path, metadata) in kept.iter().filter(|(path, _)| has_extension(path, "wim") && path.is_file()) {
            let key = path.file_stem().and_then(|stem| StepKey::try_from(stem.to_string_lossy().into_owned()).ok());
            let usable = match key {
                Some(key) => self.layer(key)?.is_some(),
                None => false,
            };
            if !usable {
                let record = twin(path);
                if let Ok(record_metadata) = fs::metadata(&record) {
                    remove(&record, &record_metadata, &mut removed)?;
                }
                remove(path, metadata, &mut removed)?;
                removed.layers += 1;
            }
        }
        Ok(removed)
    }

    /// Removes all layers. Returns what was removed.
    ///
    /// # Errors
    /// Another process uses the library, or a file cannot be removed.
    pub fn clear_cache(&self) -> Result<CacheSize, LibraryError> {
        self.exclusively(|| {
            let mut removed = CacheSize::default();
            for (path, metadata) in self.cache_files()? {
                removed.layers += u64::from(has_extension(&path, "wim"));
                remove(&path, &metadata, &mut removed)?;
            }
            Ok(removed)
        })
    }
}

impl<'a> OpenLayers<'a> {
    /// `blobs` are those of all images of the run.
    pub fn new(library: &'a Library, base: &'a ImageFile, blobs: Blobs) -> Self {
        Self { library, base, blobs, layers: HashMap::new() }
    }

    /// Stores the result of a step. `image` gets its statistics; its new blobs are in the layer
    /// from now on.
    pub fn add(&mut self, key: StepKey, image: &mut Image, report: StepReport, events: &dyn Events) -> Result<LayerRecord, LayerError> {
        // What the next step is given, and the key that it has, is the same whether it comes from here or out of the cache.
        image.tree.number_hard_links();
        let metadata = image.tree.to_metadata();
        image.info.set_statistics(&metadata.statistics(&|id| image.blobs.size(id).unwrap_or_default()));
        let blobs: Vec<BlobId> = image.tree.blobs();
        let in_base = |id: &BlobId| self.base.parts().iter().any(|part| part.blob(id).is_some());
        let bases = self
            .layers
            .iter()
            .filter(|(_, wim)| blobs.iter().any(|id| wim.blob(id).is_some() && !in_base(id)))
            .map(|(key, _)| *key)
            .collect();

        let images = vec![ImageToWrite { source: ImageSource::Tree(Box::new(metadata)), info: image.info.clone() }];
        let resolve = |id: &BlobId| if image.blobs.is_staged(id) { image.blobs.source(id).ok() } else { Some(BlobSource::Elsewhere) };
        let plan = WimPlan::new(images, self.write_options(key), &resolve)?;
        let path = self.library.layer_path(key, "wim");
        let pending = Pending::create(&path)?;
        let subject = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        plan.write(&mut pending.file(), &mut |progress| {
            events.event(Event::Progress { work: "compress", subject: subject.clone(), done: progress.done, total: progress.total });
        })?;
        pending.publish()?;

        let file = fingerprint(&path).at("read", &path)?;
        let record = LayerRecord { output: InputId::of(image), report, bases, file };
        let json = serde_json::to_vec_pretty(&record).map_err(|error| LayerError::Damaged { path, source: error.into() })?;
        durable::write(&self.library.layer_path(key, "json"), &json)?;
        self.open_file(key, None)?;
        Ok(record)
    }

    /// As the image file is compressed, so that outputs can copy what a layer holds.
    fn write_options(&self, key: StepKey) -> WriteOptions {
        let header = self.base.first().header();
        let solid = header.version == VERSION_SOLID;
        let mut options = WriteOptions::new(if solid { Some(Compression::Lzx) } else { header.compression }, layer_guid(key));
        options.level = LAYER_LEVEL;
        if !solid && header.chunk_size > 0 {
            options.chunk_size = header.chunk_size;
        }
        options
    }

    /// The layer as a WIM, its blobs added to those of the run. `expected` is compared first; `None` for one just written.
    fn open_file(&mut self, key: StepKey, expected: Option<&Fingerprint>) -> Result<Arc<Wim>, LayerError> {
        if let Some(wim) = self.layers.get(&key) {
            return Ok(wim.clone());
        }
        let path = self.library.layer_path(key, "wim");
        if let Some(expected) = expected {
            let found = fingerprint(&path).at("read", &path)?;
            if found != *expected {
                let difference = format!("its SHA-256 is {found}, it was {expected}");
                return Err(LayerError::Damaged { path, source: difference.into() });
            }
        }
        let source = File::open(&path).and_then(FileSource::new).at("open", &path)?;
        let wim = Wim::open(Arc::new(source)).map(Arc::new).map_err(|error| LayerError::Damaged { path, source: error.into() })?;
        self.blobs.add_pack(wim.clone());
        self.layers.insert(key, wim.clone());
        Ok(wim)
    }

    /// The record of a layer that has to be there.
    fn record(&self, key: StepKey) -> Result<LayerRecord, LayerError> {
        let missing =
            || LayerError::Damaged { path: self.library.layer_path(key, "json"), source: "it is not there, or cannot be read".into() };
        self.library.layer(key)?.ok_or_else(missing)
    }

    /// The image that a layer holds, with everything that it builds on opened.
    pub fn open(&mut self, key: StepKey) -> Result<Image, LayerError> {
        let record = self.record(key)?;
        for base in &record.bases {
            let base_record = self.record(*base)?;
            self.open_file(*base, Some(&base_record.file))?;
        }
        let wim = self.open_file(key, Some(&record.file))?;
        let damaged = |error: wim::Error| LayerError::Damaged { path: self.library.layer_path(key, "wim"), source: error.into() };
        let file = ImageFile::new(vec![wim]).map_err(damaged)?;
        Ok(Image::open(&file, 1, &self.blobs)?)
    }
}

impl From<LayerError> for LibraryError {
    fn from(error: LayerError) -> Self {
        match error {
            LayerError::File(error) => Self::File(error),
            other => Self::Damaged { path: PathBuf::from("cache"), problem: other.to_string() },
        }
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// The record of a layer, or the layer of a record.
fn twin(path: &Path) -> PathBuf {
    path.with_extension(if has_extension(path, "wim") { "json" } else { "wim" })
}

fn remove(path: &Path, metadata: &fs::Metadata, removed: &mut CacheSize) -> Result<(), FileError> {
    fs::remove_file(path).at("remove", path)?;
    removed.bytes += metadata.len();
    Ok(())
}

/// A WIM's GUID from the key that made it: the same result has the same bytes.
fn layer_guid(key: StepKey) -> [u8; 16] {
    let mut guid = [0; 16];
    guid.copy_from_slice(&key.bytes()[..16]);
    guid
}

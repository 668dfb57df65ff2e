//! From what a recipe says to steps: reads and checks every input, so that all that can be wrong is said before work begins.

mod packages;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use wimwright_format::io::{ReadAt, Reader};
use wimwright_format::reg_file::{self, Change};
use wimwright_format::regf::{Data, ValueKind};
use wimwright_image::open_host_file;
use wimwright_servicing::apps::{AddApps, App, RemoveApps};
use wimwright_servicing::cbs::source::Opened;
use wimwright_servicing::files::{Files, Item, Operation};
use wimwright_servicing::metadata::Metadata;
use wimwright_servicing::placed::{DefaultApps, StartLayout, Unattend};
use wimwright_servicing::registry::Registry;
use wimwright_servicing::step::{Payload, Step, StepError};

use super::setup::{Moved, SetupRequest};
use crate::recipe::{
    Attribute, FileChange, FileProperties, HostPath, Missing, Problem, Recipe, RecipeError, RegistryChange, RegistryData, Spanned, StepSpec,
};

/// Largest registry script or answer file that is read. Microsoft's own largest `.reg` exports stay below.
const MAX_SCRIPT: u64 = 256 << 20;

/// Deepest folder that is added to an image.
const MAX_DEPTH: usize = 128;

/// Makes steps out of what a recipe says. A file that several steps or images name is read once.
pub(super) struct Resolver<'a> {
    recipe: &'a Recipe,
    /// Updates that Windows Setup has to install.
    pub moved: Moved,
    /// Updates and packages as they were opened for the image before.
    deliveries: Opened,
    opened: Mutex<HashMap<PathBuf, Payload>>,
}

type Resolved<T> = Result<T, Box<Problem>>;

impl<'a> Resolver<'a> {
    pub fn new(recipe: &'a Recipe) -> Self {
        Self { recipe, moved: Moved::new(), deliveries: Opened::default(), opened: Mutex::default() }
    }

    /// The steps of an image, and what it leaves to Windows Setup.
    ///
    /// # Errors
    /// Every input that cannot be read or makes no sense, with its place in the recipe.
    pub fn steps(&self, specs: Vec<StepSpec>) -> Result<(Vec<Box<dyn Step>>, SetupRequest), RecipeError> {
        let mut steps = Vec::new();
        let mut setup = SetupRequest::default();
        let mut problems = Vec::new();
        for spec in specs {
            match self.step(spec, &mut setup) {
                Ok(step) => steps.extend(step),
                Err(problem) => problems.push(*problem),
            }
        }
        if problems.is_empty() { Ok((steps, setup)) } else { Err(RecipeError { problems }) }
    }

    fn problem(&self, path: &HostPath, reason: impl std::fmt::Display) -> Box<Problem> {
        Box::new(self.recipe.problem(path.position, format!("`{}`: {reason}", path.path.display())))
    }

    /// A step's own objection to what the recipe gives it, with its hint.
    fn step_problem(&self, path: Option<&HostPath>, error: &StepError) -> Box<Problem> {
        let mut problem = self.recipe.problem(path.and_then(|path| path.position), error.to_string());
        if !error.hint().is_empty() {
            problem.advice = Some(error.hint().to_owned());
        }
        Box::new(problem)
    }

    /// A step; `None` when it is all left to Setup.
    fn step(&self, spec: StepSpec, setup: &mut SetupRequest) -> Resolved<Option<Box<dyn Step>>> {
        Ok(Some(match spec {
            StepSpec::Packages(packages) => {
                let native = self.packages(*packages, setup)?;
                if native.is_nothing() {
                    return Ok(None);
                }
                Box::new(native)
            }
            StepSpec::RemoveApps { apps, missing } => {
                let patterns = apps.into_iter().map(|pattern| pattern.value.as_str().to_owned()).collect();
                Box::new(RemoveApps { patterns, ignore_missing: missing == Missing::Ignore })
            }
            StepSpec::AddApps(apps) => {
                let resolve = |app: crate::recipe::AddApp| {
                    Ok(App {
                        package: self.payload(&app.package)?,
                        dependencies: app.dependencies.iter().map(|path| self.payload(path)).collect::<Resolved<_>>()?,
                        license: app.license.as_ref().map(|path| self.payload(path)).transpose()?,
                    })
                };
                let position = apps.first().map(|app| app.package.clone());
                let apps = apps.into_iter().map(resolve).collect::<Resolved<_>>()?;
                Box::new(AddApps::new(apps).map_err(|error| self.step_problem(position.as_ref(), &error))?)
            }
            StepSpec::Files(changes) => {
                Box::new(Files { operations: changes.into_iter().map(|change| self.file_change(change)).collect::<Resolved<_>>()? })
            }
            StepSpec::StartLayout(path) => {
                Box::new(StartLayout::new(self.payload(&path)?).map_err(|error| self.step_problem(Some(&path), &error))?)
            }
            StepSpec::DefaultApps(path) => {
                Box::new(DefaultApps::new(self.payload(&path)?).map_err(|error| self.step_problem(Some(&path), &error))?)
            }
            StepSpec::Registry(changes) => {
                let mut all = Vec::new();
                for change in changes {
                    self.registry_change(change, &mut all)?;
                }
                Box::new(Registry { changes: all })
            }
            StepSpec::Unattend(unattend) => {
                let to = unattend.to.as_ref().map(|path| path.as_str().to_owned());
                let file = self.payload(&unattend.file)?;
                if to.is_none() {
                    setup.unattend = Some(file.clone());
                }
                Box::new(Unattend::new(file, to).map_err(|error| self.step_problem(Some(&unattend.file), &error))?)
            }
            StepSpec::Metadata(metadata) => {
                let fields = [
                    ("NAME", metadata.name.map(|name| name.value)),
                    ("DESCRIPTION", metadata.description),
                    ("FLAGS", metadata.flags),
                    ("DISPLAYNAME", metadata.display_name),
                    ("DISPLAYDESCRIPTION", metadata.display_description),
                ];
                let set = fields.into_iter().filter_map(|(field, text)| Some((field.to_owned(), text?)));
                Box::new(Metadata { fields: set.collect() })
            }
        }))
    }

    fn payload(&self, path: &HostPath) -> Resolved<Payload> {
        self.open(&path.path).map_err(|error| self.problem(path, error))
    }

    /// Opens and hashes a file, unless that was done already.
    fn open(&self, path: &Path) -> io::Result<Payload> {
        let known = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(payload) = known().get(path) {
            return Ok(payload.clone());
        }
        let payload = open_payload(path)?;
        known().insert(path.to_owned(), payload.clone());
        Ok(payload)
    }

    fn file_change(&self, change: FileChange) -> Resolved<Operation> {
        Ok(match change {
            FileChange::Add(add) => {
                let items = self.items(&add.source)?;
                self.add(add.to.as_str(), items, add.properties)?
            }
            FileChange::Write(write) => {
                let bytes = write.content.into_bytes();
                let contents =
                    Payload { name: write.to.as_str().to_owned(), sha256: Sha256::digest(&bytes).into(), source: Arc::new(bytes) };
                self.add(write.to.as_str(), vec![Item { path: String::new(), contents: Some(contents) }], write.properties)?
            }
            FileChange::Delete(delete) => {
                Operation::Delete { path: delete.path.value.as_str().to_owned(), ignore_missing: delete.missing == Missing::Ignore }
            }
            FileChange::Rename(rename) => {
                Operation::Rename { from: rename.path.value.as_str().to_owned(), to: rename.to.value.as_str().to_owned() }
            }
        })
    }

    fn add(&self, to: &str, items: Vec<Item>, properties: FileProperties) -> Resolved<Operation> {
        use wimwright_image::tree;
        let bits = |attribute: &Attribute| match attribute {
            Attribute::Readonly => tree::ATTRIBUTE_READONLY,
            Attribute::Hidden => tree::ATTRIBUTE_HIDDEN,
            Attribute::System => tree::ATTRIBUTE_SYSTEM,
            Attribute::Archive => tree::ATTRIBUTE_ARCHIVE,
            Attribute::NotContentIndexed => tree::ATTRIBUTE_NOT_CONTENT_INDEXED,
        };
        let attributes = (!properties.attributes.is_empty()).then(|| properties.attributes.iter().map(bits).fold(0, |all, bit| all | bit));
        if let Some(Spanned { value, position, .. }) = &properties.security {
            let checked = wimwright_format::security_descriptor::SecurityDescriptor::from_sddl(value);
            checked.map_err(|error| Box::new(self.recipe.problem(*position, format!("`{value}` is not SDDL: {error}"))))?;
        }
        let security = properties.security.map(|security| security.value);
        Ok(Operation::Add { to: to.to_owned(), items, attributes, security, time: properties.time.map(|time| time.filetime) })
    }

    /// A file, or a folder with all that is below it, hashed on all cores.
    fn items(&self, source: &HostPath) -> Resolved<Vec<Item>> {
        let mut found = Vec::new();
        list(&source.path, "", 0, &mut found).map_err(|error| self.problem(source, error))?;
        let open = |(path, host): (String, Option<PathBuf>)| {
            let contents = host
                .map(|host| self.open(&host).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", host.display()))))
                .transpose()?;
            Ok(Item { path, contents })
        };
        found.into_par_iter().map(open).collect::<io::Result<_>>().map_err(|error| self.problem(source, error))
    }

    fn registry_change(&self, change: RegistryChange, into: &mut Vec<Change>) -> Resolved<()> {
        match change {
            RegistryChange::File(path) => {
                let bytes = read_limited(&path.path, MAX_SCRIPT).map_err(|error| self.problem(&path, error))?;
                let is_xml = bytes.iter().find(|byte| !matches!(byte, 0xff | 0xfe | 0xef | 0xbb | 0xbf | 0 | b' ' | b'\t' | b'\r' | b'\n'))
                    == Some(&b'<');
                let changes = if is_xml { reg_file::parse_preferences(&bytes) } else { reg_file::parse(&bytes) };
                let changes = changes.map_err(|error| self.problem(&path, error))?;
                for change in &changes {
                    wimwright_image::registry::RegistryPath::parse(change.path()).map_err(|error| self.problem(&path, error))?;
                }
                into.extend(changes);
            }
            RegistryChange::Set(set) => {
                let path = self.registry_key(&set.key)?;
                into.push(Change::CreateKey { path: path.clone() });
                for (name, data) in set.values {
                    let name = if name == crate::recipe::DEFAULT_VALUE { String::new() } else { name };
                    into.push(match registry_data(data) {
                        Some((kind, data)) => Change::SetValue { path: path.clone(), name, kind, data },
                        None => Change::DeleteValue { path: path.clone(), name },
                    });
                }
            }
            RegistryChange::Delete(delete) => into.push(Change::DeleteKey { path: self.registry_key(&delete.key)? }),
        }
        Ok(())
    }

    fn registry_key(&self, key: &Spanned<String>) -> Resolved<String> {
        let parsed = wimwright_image::registry::RegistryPath::parse(&key.value);
        let path = parsed.map_err(|error| Box::new(self.recipe.problem(key.position, error.to_string())))?;
        Ok(path.to_string())
    }
}

fn registry_data(data: RegistryData) -> Option<(ValueKind, Vec<u8>)> {
    let data = match data {
        RegistryData::Delete => return None,
        RegistryData::String(text) => Data::Text(text),
        RegistryData::ExpandString(text) => Data::ExpandableText(text),
        RegistryData::MultiString(texts) => Data::Texts(texts),
        RegistryData::Dword(number) => Data::Dword(number),
        RegistryData::Qword(number) => Data::Qword(number),
        RegistryData::Binary(bytes) => Data::Binary(bytes),
        RegistryData::None(bytes) => Data::Other(ValueKind::NONE, bytes),
    };
    Some(data.encode())
}

/// Everything below `path`, in the order of names: relative paths with slashes, and the file to read (none for a folder).
fn list(path: &Path, below: &str, depth: usize, into: &mut Vec<(String, Option<PathBuf>)>) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other(format!("{} lies more than {MAX_DEPTH} folders deep", path.display())));
    }
    if !fs::metadata(path)?.is_dir() {
        into.push((below.to_owned(), Some(path.to_owned())));
        return Ok(());
    }
    into.push((below.to_owned(), None));
    let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().map_err(|name| io::Error::other(format!("the name {name:?} is not Unicode")))?;
        list(&entry.path(), &if below.is_empty() { name } else { format!("{below}/{name}") }, depth + 1, into)?;
    }
    Ok(())
}

/// Opens a file of the host and hashes it.
fn open_payload(path: &Path) -> io::Result<Payload> {
    let source = open_host_file(path)?;
    Ok(Payload { name: path.display().to_string(), sha256: hash(&*source)?, source })
}

/// SHA-256 of all bytes.
pub(super) fn hash(source: &dyn ReadAt) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut reader = Reader::new(source);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            length => hash.update(&buffer[..length]),
        }
    }
}

fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let source = open_host_file(path)?;
    if source.size() > limit {
        return Err(io::Error::other(format!("{} bytes: more than {limit} are not read", source.size())));
    }
    let mut bytes = Vec::new();
    Reader::new(&source).read_to_end(&mut bytes)?;
    Ok(bytes)
}

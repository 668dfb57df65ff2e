//! What installing one component does to an image, as pure data.
//!
//! A component manifest says it in three ways. *Primitives* have a literal result: files, directories, registry values,
//! security descriptors. *Categories and settings with a known result* are read by Windows' own installers, but what these
//! write is public: services, groups of `svchost`, the `Path` variable, firewall rules, publishers of the event log. All
//! *others* are read by installers whose results are not public; each such element is a [`Deferred`] item, with the tool of
//! Windows that does the work at the first start where there is one. Nothing is left out silently: what asks nothing of an
//! installer is listed in [`elements`], with the reason.
//!
//! [`effects`] neither reads nor changes an image. Whoever applies its result has to know three things:
//!
//! - Paths start with a backslash and mean the root of the image; texts in the registry name the drive `C:`.
//! - A security descriptor is complete (owner, group, rights of the object's own kind), except that a DACL that is not
//!   protected (`SE_DACL_PROTECTED`, 0x1000) also takes over what its parent hands down, at its place in the image.
//! - `CurrentControlSet` in a [`RegistryPath`] is resolved against the image's own SYSTEM hive.
//!
//! Sources and what is exact: `docs/formats/component_effects.md`.

pub mod elements;
mod events;
mod files;
mod firewall;
mod first_boot;
mod keys;
mod languages;
mod obsolete;
mod security;
mod services;
mod tasks;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use wimwright_format::manifest::component::{Component, FileHash};
use wimwright_format::manifest::macros::{Directories, Macros};
use wimwright_format::manifest::{self};
use wimwright_format::regf::{Data, ValueKind};
use wimwright_format::security_descriptor::{EncodeError, SddlError};
use wimwright_image::registry::{RegistryPath, RegistryPathError};

pub use first_boot::first_boot_script;
pub use obsolete::{Obsolete, ObsoleteValue, obsolete};

/// Everything that a component's installation does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// Directories that are to exist, in the order of the manifest.
    pub directories: Vec<DirectoryEffect>,
    /// The payload, in the order of the manifest.
    pub files: Vec<FileEffect>,
    /// Keys and values. A key may occur more than once; of two values with one name the later counts.
    pub registry: Vec<RegistryEffect>,
    /// Files that are no payload: what a deferred item's tool reads.
    pub new_files: Vec<NewFile>,
    /// What is left to Windows.
    pub deferred: Vec<Deferred>,
}

/// A directory that is to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEffect {
    /// Path in the image, `\Windows\…`; empty for the root.
    pub path: String,
    /// `FILE_ATTRIBUTE_…`, with `FILE_ATTRIBUTE_DIRECTORY` (0x10).
    pub attributes: u32,
    /// Self-relative security descriptor; `None` for what the parent hands down.
    pub security: Option<Arc<[u8]>>,
    /// True when removing the component deletes the directory, if it is empty then.
    pub owner: bool,
}

/// A payload file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEffect {
    /// Its path inside the component's directory in the store.
    pub payload: String,
    /// Its other names, `\Windows\…`: hard links to the payload. Empty for a file that stays in the store.
    pub names: Vec<String>,
    /// `FILE_ATTRIBUTE_…`; `None` when the manifest says nothing.
    pub attributes: Option<u32>,
    /// Self-relative security descriptor; `None` for what the parent hands down.
    pub security: Option<Arc<[u8]>>,
    /// What its bytes hash to, where the manifest says so.
    pub hash: Option<FileHash>,
    /// True when it may differ from its hash after installation.
    pub writeable: bool,
}

/// A key that is to exist, with values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryEffect {
    /// The key; `CurrentControlSet` is not resolved.
    pub path: RegistryPath,
    /// Self-relative security descriptor; `None` for what the parent hands down.
    pub security: Option<Arc<[u8]>>,
    /// True when removing the component deletes the key, if it is empty then.
    pub owner: bool,
    /// Values; none means that the key alone is to exist.
    pub values: Vec<ValueEffect>,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueEffect {
    /// Name; empty for the key's default value.
    pub name: String,
    /// Its type.
    pub kind: ValueKind,
    /// Its data as a hive holds it. For the operations on lists: the entries to add, in the form of a list.
    pub data: Vec<u8>,
    /// What is done with it.
    pub operation: Operation,
    /// True when a value that is already there stays: it may have been changed on purpose.
    pub mutable: bool,
    /// True when removing the component deletes the value, or its entries from a list.
    pub owner: bool,
}

impl ValueEffect {
    fn set(name: &str, data: &Data) -> Self {
        let (kind, data) = data.encode();
        Self { name: name.to_owned(), kind, data, operation: Operation::Set, mutable: false, owner: true }
    }
}

/// How a value meets one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Replaces it.
    Set,
    /// Adds entries at the end of a REG_MULTI_SZ that does not have them (case ignored).
    AppendEntries,
    /// Adds entries at its start.
    PrependEntries,
    /// Adds a directory at the end of a list with semicolons that does not have it (case and a last backslash ignored).
    AppendPath,
    /// Adds a directory at its start.
    PrependPath,
}

/// A file that is no payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Path in the image.
    pub path: String,
    /// Its bytes.
    pub contents: Vec<u8>,
}

/// Work that is left to Windows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deferred {
    /// Path of the element in the manifest: `mof`, `instrumentation/counters`; a category as `memberships/<type name>`.
    pub installer: String,
    /// Which file, task or channel it is about; empty when the element names nothing.
    pub what: String,
    /// The command that does it at the first start; `None` when no public tool of Windows does.
    pub command: Option<String>,
    /// Why it is not done here, and what is missing until it is done.
    pub reason: String,
    /// What the manifest says of it, when the result depends on nothing else. `None` when it also depends on the contents of files, or
    /// when no source says on what.
    pub definition: Option<String>,
}

impl Deferred {
    /// True when an older version of the component asks for the very same: once that was done, nothing is left to do.
    #[must_use]
    pub fn is_same_as(&self, older: &Self) -> bool {
        self.definition.is_some() && (&self.installer, &self.what, &self.definition) == (&older.installer, &older.what, &older.definition)
    }
}

/// Why the effects of a component are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EffectError {
    /// A path, macro, word or architecture of the manifest.
    #[error("component {component} cannot be installed")]
    Manifest {
        /// Keyform of the component.
        component: String,
        /// What is wrong.
        source: manifest::Error,
    },
    /// A reference to a security descriptor that the manifest does not define.
    #[error("component {component} refers to the security descriptor {name}, which it does not define")]
    UndefinedSecurity {
        /// Keyform of the component.
        component: String,
        /// The name.
        name: String,
    },
    /// Several references of one object to different security descriptors.
    #[error("component {component} gives one object the security descriptors {names}, which differ")]
    AmbiguousSecurity {
        /// Keyform of the component.
        component: String,
        /// Their names.
        names: String,
    },
    /// A security descriptor that is no SDDL.
    #[error("the security descriptor {name} of component {component} cannot be read")]
    Sddl {
        /// Keyform of the component.
        component: String,
        /// Its name.
        name: String,
        /// What is wrong.
        source: SddlError,
    },
    /// A security descriptor that has no binary form.
    #[error("the security descriptor {name} of component {component} cannot be stored")]
    EncodeSecurity {
        /// Keyform of the component.
        component: String,
        /// Its name.
        name: String,
        /// What is wrong.
        source: EncodeError,
    },
    /// A key outside of the hives of an image.
    #[error("component {component} has a registry key that no hive of an image holds")]
    RegistryPath {
        /// Keyform of the component.
        component: String,
        /// Which.
        source: RegistryPathError,
    },
    /// A setting whose meaning no public source gives.
    #[error("component {component}: {setting} is \"{value}\", which has no known meaning")]
    UnknownValue {
        /// Keyform of the component.
        component: String,
        /// What it sets.
        setting: String,
        /// The value, shortened.
        value: String,
    },
}

/// What every part of a component is translated with.
struct Context<'a> {
    component: &'a Component,
    macros: &'a Macros<'a>,
    /// SDDL by name in lower case.
    sddl: HashMap<String, &'a str>,
    /// Descriptors already made, by name in lower case and kind of object.
    descriptors: HashMap<(String, security::ObjectKind), Option<Arc<[u8]>>>,
    /// Bytes of texts and paths with expanded macros so far.
    expanded: Cell<usize>,
}

/// Most bytes of texts and paths with expanded macros. The largest component of the test data has 0.5 MiB; without a limit a small
/// manifest whose values repeat a long text of its string table would need any amount of memory.
const MAXIMUM_EXPANDED: usize = 64 << 20;

impl<'a> Context<'a> {
    fn new(component: &'a Component, macros: &'a Macros<'a>) -> Self {
        Self { component, macros, sddl: component.sddl_by_name(), descriptors: HashMap::new(), expanded: Cell::new(0) }
    }

    fn keyform(&self) -> String {
        self.macros.component.to_owned()
    }

    fn manifest_error(&self, source: manifest::Error) -> EffectError {
        EffectError::Manifest { component: self.keyform(), source }
    }

    fn unknown(&self, setting: impl Into<String>, value: &str) -> EffectError {
        EffectError::UnknownValue { component: self.keyform(), setting: setting.into(), value: value.chars().take(80).collect() }
    }

    /// Counts a text with expanded macros.
    fn counted(&self, expanded: String) -> Result<String, manifest::Error> {
        let total = self.expanded.get().saturating_add(expanded.len());
        self.expanded.set(total);
        if total > MAXIMUM_EXPANDED {
            let text = expanded.chars().take(80).collect();
            return Err(manifest::Error::Expansion { component: self.keyform(), text, limit: MAXIMUM_EXPANDED });
        }
        Ok(expanded)
    }

    /// A text as Windows sees it, with the error of the manifest.
    fn expand(&self, text: &str) -> Result<String, manifest::Error> {
        self.macros.text(text).and_then(|text| self.counted(text))
    }

    /// A text as Windows sees it.
    fn text(&self, text: &str) -> Result<String, EffectError> {
        self.expand(text).map_err(|error| self.manifest_error(error))
    }

    /// A path in the image.
    fn path(&self, path: &str) -> Result<String, EffectError> {
        self.macros.path(path).and_then(|path| self.counted(path)).map_err(|error| self.manifest_error(error))
    }

    /// A key of `HKEY_…`, as a 32-bit component on a 64-bit image means it.
    fn registry_path(&self, key: &str) -> Result<RegistryPath, EffectError> {
        match self.macros.directories {
            Directories::Native => self.native_registry_path(key),
            Directories::Wow64 => self.native_registry_path(&manifest::component::registry::redirected(key)),
        }
    }

    /// A key of `HKEY_…`. To Windows `HKEY_USERS\.DEFAULT` is LocalSystem; only people mean new users by it.
    fn native_registry_path(&self, key: &str) -> Result<RegistryPath, EffectError> {
        const DEFAULT: &str = r"HKEY_USERS\.DEFAULT";
        let below = key.split_at_checked(DEFAULT.len()).filter(|(start, _)| start.eq_ignore_ascii_case(DEFAULT)).map(|(_, below)| below);
        let key = match below {
            Some(below) if below.is_empty() || below.starts_with('\\') => format!(r"HKEY_USERS\S-1-5-18{below}"),
            _ => key.to_owned(),
        };
        RegistryPath::parse(&key).map_err(|source| EffectError::RegistryPath { component: self.keyform(), source })
    }

    /// A key with values that the component makes.
    fn key(&self, key: &str, owner: bool, values: Vec<ValueEffect>) -> Result<RegistryEffect, EffectError> {
        Ok(RegistryEffect { path: self.registry_path(key)?, security: None, owner, values })
    }
}

/// What installing `component` into an image for `image_architecture` (`amd64`, `x86`, `arm64`) does.
///
/// # Errors
/// When anything in the manifest has no known meaning: a macro, a word, a reference, an attribute. A path or a security
/// descriptor is never guessed. See [`EffectError`].
pub fn effects(component: &Component, image_architecture: &str) -> Result<Effects, EffectError> {
    let architecture = component.identity.architecture.as_deref().unwrap_or("neutral");
    let directories = Directories::of(architecture, image_architecture)
        .map_err(|source| EffectError::Manifest { component: component.identity.keyform(), source })?;
    component.with_macros(directories, &|_| None, |macros| {
        let mut context = Context::new(component, macros);
        let mut effects = Effects::default();
        context.add_directories(&mut effects)?;
        context.add_files(&mut effects)?;
        context.add_keys(&mut effects)?;
        context.add_categories(&mut effects)?;
        context.add_firewall_rules(&mut effects)?;
        context.add_event_providers(&mut effects)?;
        context.add_tasks(&mut effects)?;
        context.add_elements(&mut effects)?;
        Ok(effects)
    })
}

//! `images:` — what happens to images: one entry selects some and lists what is done to them.
//!
//! A person writes in any order. The order in which it is done is [`StepSpec`]'s: what Microsoft's dynamic update
//! documentation orders (`windows/deployment/update/media-dynamic-update.md` of windows-itpro-docs) comes in that order;
//! packages of Windows come first, since all else builds on them, and within them its order holds (`wimwright_servicing::cbs::plan`);
//! what it leaves open (apps, files, layout, registry, answer file) follows OSDBuilder's `New-OSBuild`, which removes apps
//! before it adds files.

use schemars::JsonSchema;
use serde::Serialize;

use super::decode::{Context, Decode, Fields, Reported};
use super::files::{FileChange, Missing};
use super::packages::{AddUpdate, Capabilities, Features, Packages, RemovePackages, Servicing};
use super::registry::RegistryChange;
use super::select::Selection;
use super::source::Spanned;
use super::values::{HostPath, ImagePath, OneOrMany, Pattern, text_alone};
use super::yaml::{Node, Value};

/// What is done to some of the medium's images. Several entries may mean the same image: all of them apply, in the
/// order in which they are written, step kind by step kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ImageEntry {
    /// Which images; without it, all.
    #[serde(default)]
    pub select: Selection,
    /// Updates to install: files, and folders in which they are looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<AddUpdate>")]
    pub updates: Vec<AddUpdate>,
    /// Features on demand to add.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Optional features to enable and to disable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Features>,
    /// Packages to remove.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<RemovePackages>,
    /// How updates, capabilities, features and packages are dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servicing: Option<Servicing>,
    /// Provisioned apps to remove and to add.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apps: Option<Apps>,
    /// Files to add, delete and rename.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<FileChange>")]
    pub files: Vec<FileChange>,
    /// The start layout for new users: `LayoutModification.xml` or `.json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_layout: Option<HostPath>,
    /// The default app associations for new users: the XML that `DISM /Export-DefaultAppAssociations` writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_apps: Option<HostPath>,
    /// Changes of the registry: `.reg` files, `Registry.xml` files, keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<RegistryChange>")]
    pub registry: Vec<RegistryChange>,
    /// The answer file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unattend: Option<Unattend>,
    /// What the WIM says of the image: name, description, flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// `apps:` — provisioned apps (Appx and MSIX), which every new user gets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Apps {
    /// Apps to remove, by package name: `Microsoft.BingNews`, `Microsoft.Xbox*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<Pattern>")]
    pub remove: Vec<Spanned<Pattern>>,
    /// What happens when an app to remove is not there.
    #[serde(default, skip_serializing_if = "Missing::is_error")]
    pub missing: Missing,
    /// App packages to add.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<AddApp>")]
    pub add: Vec<AddApp>,
}

/// An app package to provision. A path alone is its `package`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(transform = text_alone)]
pub struct AddApp {
    /// The package or bundle: `.appx`, `.msix`, `.appxbundle`, `.msixbundle`.
    pub package: HostPath,
    /// Packages that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<HostPath>")]
    pub dependencies: Vec<HostPath>,
    /// Its license file. Without one the app gets none, as with DISM's `/SkipLicense`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<HostPath>,
}

/// The answer file. A path alone is its `file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(transform = text_alone)]
pub struct Unattend {
    /// The answer file on this machine.
    pub file: HostPath,
    /// Where it goes in the image. Without it: `/Windows/Panther/Unattend.xml`, where Windows looks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<ImagePath>,
}

/// What the WIM says of an image. What is not given stays as it is; empty text removes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Metadata {
    /// The name (`NAME`): what DISM and Setup's `/IMAGE/NAME` select by. Unique in the medium.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Spanned<String>>,
    /// The description (`DESCRIPTION`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The name that Windows Setup shows (`DISPLAYNAME`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The description that Windows Setup shows (`DISPLAYDESCRIPTION`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_description: Option<String>,
    /// The edition flags (`FLAGS`): `Professional`, `Enterprise`, `ServerStandardCore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<String>,
}

/// What one step does, with its typed options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepSpec {
    /// Updates, capabilities and features are installed, packages removed.
    Packages(Box<Packages>),
    /// Provisioned apps are removed.
    RemoveApps {
        /// The names.
        apps: Vec<Spanned<Pattern>>,
        /// What happens when one is not there.
        missing: Missing,
    },
    /// Apps are provisioned.
    AddApps(Vec<AddApp>),
    /// Files are added, deleted, renamed.
    Files(Vec<FileChange>),
    /// The start layout is placed.
    StartLayout(HostPath),
    /// The default app associations are placed.
    DefaultApps(HostPath),
    /// The registry is changed.
    Registry(Vec<RegistryChange>),
    /// The answer file is placed.
    Unattend(Unattend),
    /// The WIM's description of the image is changed.
    Metadata(Metadata),
}

impl StepSpec {
    /// The step's kind as its key in the recipe names it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Packages(_) => "packages",
            Self::RemoveApps { .. } => "apps.remove",
            Self::AddApps(_) => "apps.add",
            Self::Files(_) => "files",
            Self::StartLayout(_) => "start-layout",
            Self::DefaultApps(_) => "default-apps",
            Self::Registry(_) => "registry",
            Self::Unattend(_) => "unattend",
            Self::Metadata(_) => "metadata",
        }
    }

    /// Place in the canonical order: smaller is done first.
    fn rank(&self) -> usize {
        match self {
            Self::Packages(_) => 0,
            Self::RemoveApps { .. } => 1,
            Self::AddApps(_) => 2,
            Self::Files(_) => 3,
            Self::StartLayout(_) => 4,
            Self::DefaultApps(_) => 5,
            Self::Registry(_) => 6,
            Self::Unattend(_) => 7,
            Self::Metadata(_) => 8,
        }
    }
}

impl ImageEntry {
    /// The entry's steps in no particular order, but for packages.
    fn specs(&self) -> impl Iterator<Item = StepSpec> {
        let apps = self.apps.clone().unwrap_or_default();
        [
            (!apps.remove.is_empty()).then_some(StepSpec::RemoveApps { apps: apps.remove, missing: apps.missing }),
            (!apps.add.is_empty()).then_some(StepSpec::AddApps(apps.add)),
            (!self.files.is_empty()).then(|| StepSpec::Files(self.files.clone())),
            self.start_layout.clone().map(StepSpec::StartLayout),
            self.default_apps.clone().map(StepSpec::DefaultApps),
            (!self.registry.is_empty()).then(|| StepSpec::Registry(self.registry.clone())),
            self.unattend.clone().map(StepSpec::Unattend),
            self.metadata.clone().map(StepSpec::Metadata),
        ]
        .into_iter()
        .flatten()
    }
}

/// The steps of several entries in the order in which they are done: by kind, and within a kind as written. What all of them say of
/// packages is one step.
pub(super) fn ordered_steps<'e>(entries: impl Iterator<Item = &'e ImageEntry> + Clone) -> Vec<StepSpec> {
    let mut packages = Packages::default();
    entries.clone().for_each(|entry| packages.add(entry));
    let mut steps: Vec<_> = entries.flat_map(ImageEntry::specs).collect();
    if !packages.is_nothing() {
        steps.push(StepSpec::Packages(Box::new(packages)));
    }
    steps.sort_by_key(StepSpec::rank);
    steps
}

impl Decode for ImageEntry {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let mut fields = Fields::of(node, context)?;
        let (select, updates, capabilities) = (fields.or_default("select"), fields.or_default("updates"), fields.optional("capabilities"));
        let (features, packages, servicing) = (fields.optional("features"), fields.optional("packages"), fields.optional("servicing"));
        let (apps, files) = (fields.optional("apps"), fields.or_default("files"));
        let (start_layout, default_apps) = (fields.optional("start-layout"), fields.optional("default-apps"));
        let (registry, unattend, metadata) = (fields.or_default("registry"), fields.optional("unattend"), fields.optional("metadata"));
        fields.finish();
        Ok(Self {
            select: select?,
            updates: updates?,
            capabilities: capabilities?,
            features: features?,
            packages: packages?,
            servicing: servicing?,
            apps: apps?,
            files: files?,
            start_layout: start_layout?,
            default_apps: default_apps?,
            registry: registry?,
            unattend: unattend?,
            metadata: metadata?,
        })
    }
}

impl Decode for Apps {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let mut fields = Fields::of(node, context)?;
        let (remove, missing, add) = (fields.or_default("remove"), fields.or_default("missing"), fields.or_default("add"));
        fields.finish();
        Ok(Self { remove: remove?, missing: missing?, add: add? })
    }
}

impl Decode for AddApp {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        if matches!(node.value, Value::Scalar { .. }) {
            return Ok(Self { package: HostPath::decode(node, context)?, dependencies: Vec::new(), license: None });
        }
        let mut fields = Fields::of(node, context)?;
        let (package, dependencies, license) = (fields.required("package"), fields.or_default("dependencies"), fields.optional("license"));
        fields.finish();
        Ok(Self { package: package?, dependencies: dependencies?, license: license? })
    }
}

impl Decode for Unattend {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        if matches!(node.value, Value::Scalar { .. }) {
            return Ok(Self { file: HostPath::decode(node, context)?, to: None });
        }
        let mut fields = Fields::of(node, context)?;
        let (file, to) = (fields.required("file"), fields.optional("to"));
        fields.finish();
        Ok(Self { file: file?, to: to? })
    }
}

impl Decode for Metadata {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let mut fields = Fields::of(node, context)?;
        let (name, description, display_name) = (fields.optional("name"), fields.optional("description"), fields.optional("display-name"));
        let (display_description, flags) = (fields.optional("display-description"), fields.optional("flags"));
        fields.finish();
        Ok(Self {
            name: name?,
            description: description?,
            display_name: display_name?,
            display_description: display_description?,
            flags: flags?,
        })
    }
}

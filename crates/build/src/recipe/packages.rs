//! `updates:`, `capabilities:`, `features:`, `packages:` and `servicing:` — Windows' own packages.
//!
//! All that the entries of an image say together is one step: the order within is Microsoft's, not the author's.

use schemars::JsonSchema;
use serde::Serialize;

use super::decode::{Context, Decode, Fields, Reported};
use super::source::Spanned;
use super::values::{HostPath, Name, OneOrMany, text_alone};
use super::yaml::{Node, Value};

/// Updates to install. A path alone is its `path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(transform = text_alone)]
pub struct AddUpdate {
    /// An update file (`.msu`, `.cab`, `.esd`, a `.psf` beside its `.cab`), or a folder in which they are looked for, by these
    /// endings. In any order: what they are, they say themselves.
    pub path: HostPath,
    /// Who installs them. Without it: what `servicing` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
}

/// Who installs a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// `native`; but `setup` for an update with a part that neither Wimwright nor a tool of Windows can do, if it is one cabinet, all outputs
    /// are media, and `deferred` does not say otherwise.
    Auto,
    /// Wimwright, into the image.
    Native,
    /// Windows Setup, while it applies the image: the package lies on the medium, and the medium's answer file names it. Only for
    /// updates, and for outputs that are media (`iso`, `folder`).
    Setup,
}

/// `capabilities:` — features on demand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Capabilities {
    /// Capabilities to add, as `dism /Get-Capabilities` names them: `OpenSSH.Server~~~~0.0.1.0`, or `OpenSSH.Server`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<Name>")]
    pub add: Vec<Spanned<Name>>,
    /// Packages that have them: files, and folders in which they are looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<HostPath>")]
    pub source: Vec<HostPath>,
}

/// `features:` — optional features, which the image has or had.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Features {
    /// Features to enable, with those that they need: `NetFx3`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<Name>")]
    pub enable: Vec<Spanned<Name>>,
    /// Features to disable: `SMB1Protocol`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<DisableFeature>")]
    pub disable: Vec<DisableFeature>,
    /// Packages that have the files of features whose files the image does not have: files, and folders in which they are looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<HostPath>")]
    pub source: Vec<HostPath>,
}

/// A feature to disable. A name alone is its `name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(transform = text_alone)]
pub struct DisableFeature {
    /// Its name.
    pub name: Name,
    /// Whether its files leave the image as well, as with DISM's `/Remove`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove_files: bool,
}

/// `packages:` — packages that leave the image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RemovePackages {
    /// Whole package identities, as `dism /Get-Packages` lists them: `Name~publickeytoken~amd64~~10.0.1.2`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<Name>")]
    pub remove: Vec<Spanned<Name>>,
}

/// `servicing:` — how packages are installed. What several entries say of one image is joined; the last wins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Servicing {
    /// Who installs updates that say nothing of it themselves. Without it: `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// Whether packages are taken that no trusted root has signed. Without it: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_unsigned: Option<bool>,
    /// Certificates to trust instead of Microsoft's roots: DER files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<HostPath>")]
    pub roots: Vec<HostPath>,
    /// The dictionary that manifests are compressed against, for an image whose own servicing stack is missing or damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dictionary: Option<HostPath>,
    /// What happens to parts of packages that only Windows can finish. Without it: `defer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deferred: Option<Deferred>,
    /// Whether superseded components are removed at the end, as `dism /Cleanup-Image /StartComponentCleanup` does. Without it: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<bool>,
}

/// What happens to parts of packages that only Windows can finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Deferred {
    /// Windows finishes them at its first start; the report lists them. If no tool of Windows does one, the build fails.
    Defer,
    /// The same, but what no tool does is left out, and the report says so.
    Omit,
    /// The build fails.
    Fail,
}

/// All that the entries of one image say of packages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packages {
    /// Updates to install.
    pub updates: Vec<AddUpdate>,
    /// Capabilities to add.
    pub capabilities: Vec<Spanned<Name>>,
    /// Features to enable.
    pub enable: Vec<Spanned<Name>>,
    /// Features to disable.
    pub disable: Vec<DisableFeature>,
    /// Packages that capabilities and features are taken from.
    pub offers: Vec<HostPath>,
    /// Packages to remove.
    pub remove: Vec<Spanned<Name>>,
    /// How.
    pub servicing: Servicing,
}

impl Packages {
    /// Adds what one more entry says.
    pub(super) fn add(&mut self, entry: &super::ImageEntry) {
        self.updates.extend_from_slice(&entry.updates);
        if let Some(capabilities) = &entry.capabilities {
            self.capabilities.extend_from_slice(&capabilities.add);
            self.offers.extend_from_slice(&capabilities.source);
        }
        if let Some(features) = &entry.features {
            self.enable.extend_from_slice(&features.enable);
            self.disable.extend_from_slice(&features.disable);
            self.offers.extend_from_slice(&features.source);
        }
        if let Some(packages) = &entry.packages {
            self.remove.extend_from_slice(&packages.remove);
        }
        if let Some(servicing) = &entry.servicing {
            let last = &mut self.servicing;
            last.engine = servicing.engine.or(last.engine);
            last.allow_unsigned = servicing.allow_unsigned.or(last.allow_unsigned);
            last.roots.extend_from_slice(&servicing.roots);
            last.dictionary = servicing.dictionary.clone().or(last.dictionary.take());
            last.deferred = servicing.deferred.or(last.deferred);
            last.cleanup = servicing.cleanup.or(last.cleanup);
        }
    }

    /// True when there is nothing to do, however it would be done.
    pub(super) fn is_nothing(&self) -> bool {
        self.updates.is_empty()
            && self.capabilities.is_empty()
            && self.enable.is_empty()
            && self.disable.is_empty()
            && self.remove.is_empty()
            && self.servicing.cleanup != Some(true)
    }
}

impl Decode for AddUpdate {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        if matches!(node.value, Value::Scalar { .. }) {
            return Ok(Self { path: HostPath::decode(node, context)?, engine: None });
        }
        let mut fields = Fields::of(node, context)?;
        let (path, engine) = (fields.required("path"), fields.optional("engine"));
        fields.finish();
        Ok(Self { path: path?, engine: engine? })
    }
}

impl Decode for Engine {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        context.word(node, &[("auto", Self::Auto), ("native", Self::Native), ("setup", Self::Setup)])
    }
}

impl Decode for Capabilities {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let mut fields = Fields::of(node, context)?;
        let (add, source) = (fields.or_default("add"), fields.or_default("source"));
        fields.finish();
        Ok(Self { add: add?, source: source? })
    }
}

impl Decode for Features {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let mut fields = Fields::of(node, context)?;
        let (enable, disable, source) = (fields.or_default("enable"), fields.or_default("disable"), fields.or_default("source"));
        fields.finish();
        Ok(Self { enable: enable?, disable: disable?, source: source? })
    }
}

impl Decode for DisableFeature {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        if matches!(node.value, Value::Scalar { .. }) {
            return Ok(Self { name: Name::decode(node, context)?, remove_files: false });
        }
        let mut fields = Fields::of(node, context)?;
        let (name, remove_files) = (fields.required("name"), fields.or_default("remove-files"));
        fields.finish();
        Ok(Self { name: name?, remove_files: remove_files? })
    }
}

impl Decode for RemovePackages {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let mut fields = Fields::of(node, context)?;
        let remove = fields.or_default("remove");
        fields.finish();
        Ok(Self { remove: remove? })
    }
}

impl Decode for Servicing {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let mut fields = Fields::of(node, context)?;
        let (engine, allow_unsigned, roots) = (fields.optional("engine"), fields.optional("allow-unsigned"), fields.or_default("roots"));
        let (dictionary, deferred, cleanup) = (fields.optional("dictionary"), fields.optional("deferred"), fields.optional("cleanup"));
        fields.finish();
        Ok(Self {
            engine: engine?,
            allow_unsigned: allow_unsigned?,
            roots: roots?,
            dictionary: dictionary?,
            deferred: deferred?,
            cleanup: cleanup?,
        })
    }
}

impl Decode for Deferred {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        context.word(node, &[("defer", Self::Defer), ("omit", Self::Omit), ("fail", Self::Fail)])
    }
}

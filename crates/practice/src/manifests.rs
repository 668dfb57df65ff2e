//! Components, deployments and packages of practice Windows, and the manifests that say what they are.
//!
//! A [`Package`] has updates; an update carries a [`Deployment`] or another package; a deployment lists components. What is in an
//! image and what is in an update's cabinet are made from the same values: the one by [`crate::store`], the other by
//! [`crate::updates`].

use std::fmt::Write as _;

use base64ct::{Base64, Encoding};
use wimwright_format::catalog::NewCatalog;
use wimwright_format::manifest::{Identity, PackageId};
use wimwright_format::regf::Data;
use wimwright_format::wim::BlobId;

use crate::generated::seed_of;
use crate::security;

const HEADER: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>\r\n<assembly xmlns=\"urn:schemas-microsoft-com:asm.v3\" manifestVersion=\"1.0\"";
/// When catalogs were made, as UTCTime: [`crate::data::BUILD_TIME`].
const CATALOG_TIME: &str = "240906000000Z";

/// How far a package or update has come in an image: `CurrentState` and the values of `Updates`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// A feature that is off, its payload removed.
    Removed = 0,
    /// In the store, not installed; a feature that is off.
    Staged = 0x40,
    /// A newer version of the package is installed.
    Superseded = 0x50,
    /// Installed; a feature that is on.
    Installed = 0x70,
    /// Installed for good.
    Permanent = 0x80,
}

impl State {
    /// True when what the package brings is in the image, not only in its store.
    pub(crate) fn is_installed(self) -> bool {
        matches!(self, Self::Superseded | Self::Installed | Self::Permanent)
    }
}

/// A file of a component.
#[derive(Debug, Clone)]
pub(crate) struct PayloadFile {
    /// Its path in the component's folder, separated by `\`.
    pub name: String,
    /// Its second name: a path with slashes below the image's root. None for files that stay in the component's folder.
    pub destination: Option<String>,
    /// Its contents; none for an empty file.
    pub blob: Option<BlobId>,
    /// Hash of the contents.
    pub sha256: [u8; 32],
}

/// A value that a component sets in the SOFTWARE hive.
#[derive(Debug, Clone)]
pub(crate) struct RegistryValue {
    /// Key below the hive's root.
    pub key: String,
    pub name: String,
    pub data: Data,
}

/// A directory that a component makes.
#[derive(Debug, Clone)]
pub(crate) struct PayloadDirectory {
    /// As in the manifest: `$(runtime.programData)\Practice`.
    pub path: String,
    /// Its security descriptor.
    pub sddl: String,
}

/// A component before its manifest is made.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    pub identity: Identity,
    pub files: Vec<PayloadFile>,
    pub registry: Vec<RegistryValue>,
    pub directories: Vec<PayloadDirectory>,
    /// More elements of the manifest: services, firewall rules.
    pub elements: String,
}

/// A component or deployment with its manifest.
#[derive(Debug, Clone)]
pub(crate) struct Assembly {
    pub identity: Identity,
    /// The manifest, as XML.
    pub manifest: Vec<u8>,
    /// The manifest as the store holds it where that is not its XML.
    pub stored_manifest: Option<Vec<u8>>,
    pub payload: Vec<PayloadFile>,
    pub registry: Vec<RegistryValue>,
    pub is_deployment: bool,
}

/// A deployment: components that come and go together.
#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    pub identity: Identity,
    pub components: Vec<Assembly>,
}

/// When an update is applicable.
#[derive(Debug, Clone)]
pub(crate) enum Applicable {
    /// A feature of the parent package is on.
    ParentFeature(String),
    /// An older version of one of these components is installed.
    Components(Vec<Identity>),
}

/// What an update carries.
#[derive(Debug, Clone)]
pub(crate) enum Carried {
    Deployment(Deployment),
    Package(Box<Package>),
}

/// An update of a package.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    pub name: String,
    /// A feature, and whether it is on when nobody says anything.
    pub feature: Option<bool>,
    pub applicable: Option<Applicable>,
    pub carried: Carried,
    /// In an image; what the package's state is unless the update is a feature.
    pub state: State,
}

/// A package that must be there.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    pub identity: Identity,
    /// It need only be staged, in exactly this version; otherwise installed, in this version or a newer one.
    pub staged: bool,
}

/// A package.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub identity: Identity,
    /// `identifier`: KB number or name.
    pub identifier: String,
    pub title: String,
    pub release_type: &'static str,
    /// `applicabilityEvaluation="deep"`.
    pub deep: bool,
    /// Alternatives, of which one must be there.
    pub parents: Vec<Parent>,
    /// Name of the capability that it declares, version 1.0, and the language that the capability is for.
    pub capability: Option<(String, Option<&'static str>)>,
    pub updates: Vec<Update>,
    /// In an image.
    pub state: State,
}

impl Component {
    /// A component with files only.
    pub(crate) fn of_files(identity: Identity, files: Vec<PayloadFile>) -> Self {
        Self { identity, files, registry: Vec::new(), directories: Vec::new(), elements: String::new() }
    }

    /// Makes the manifest.
    pub(crate) fn assemble(self) -> Assembly {
        let mut xml = format!("{HEADER} copyright=\"Wimwright practice media\">\r\n  {}\r\n", identity_element(&self.identity));
        let architecture = self.identity.architecture.as_deref().unwrap_or_default();
        for file in &self.files {
            file_element(&mut xml, file, architecture);
        }
        if !self.directories.is_empty() {
            xml.push_str("  <directories>\r\n");
            for (number, directory) in self.directories.iter().enumerate() {
                let path = &directory.path;
                let _ = write!(
                    xml,
                    "    <directory destinationPath=\"{path}\" owner=\"true\">\r\n      <securityDescriptor name=\"DIRECTORY_{number}_SDDL\" />\r\n    </directory>\r\n"
                );
            }
            xml.push_str("  </directories>\r\n");
        }
        registry_elements(&mut xml, &self.registry);
        xml.push_str(&self.elements);
        let mut definitions: Vec<(String, &str)> = Vec::new();
        if self.files.iter().any(|file| file.destination.is_some()) {
            definitions.push(("WRP_FILE_DEFAULT_SDDL".to_owned(), security::SYSTEM_FILE));
        }
        let directories = self.directories.iter().enumerate();
        definitions.extend(directories.map(|(number, directory)| (format!("DIRECTORY_{number}_SDDL"), directory.sddl.as_str())));
        if !definitions.is_empty() {
            xml.push_str("  <trustInfo>\r\n    <security>\r\n      <accessControl>\r\n        <securityDescriptorDefinitions>\r\n");
            for (name, sddl) in definitions {
                let sddl = security::spelled_out(sddl);
                let _ =
                    write!(xml, "          <securityDescriptorDefinition name=\"{name}\" sddl=\"{sddl}\" operationHint=\"replace\" />\r\n");
            }
            xml.push_str("        </securityDescriptorDefinitions>\r\n      </accessControl>\r\n    </security>\r\n  </trustInfo>\r\n");
        }
        xml.push_str("</assembly>\r\n");
        let Self { identity, files: payload, registry, .. } = self;
        Assembly { identity, manifest: xml.into_bytes(), stored_manifest: None, payload, registry, is_deployment: false }
    }
}

impl Deployment {
    /// The deployment's own manifest.
    pub(crate) fn assembly(&self) -> Assembly {
        let mut xml = format!(
            "{HEADER} copyright=\"Wimwright practice media\">\r\n  {}\r\n  <deployment xmlns=\"urn:schemas-microsoft-com:asm.v3\" />\r\n",
            identity_element(&self.identity)
        );
        for component in &self.components {
            let _ = write!(
                xml,
                "  <dependency discoverable=\"yes\">\r\n    <dependentAssembly dependencyType=\"install\">\r\n      {}\r\n    </dependentAssembly>\r\n  </dependency>\r\n",
                identity_element(&component.identity)
            );
        }
        xml.push_str("</assembly>\r\n");
        Assembly {
            identity: self.identity.clone(),
            manifest: xml.into_bytes(),
            stored_manifest: None,
            payload: Vec::new(),
            registry: Vec::new(),
            is_deployment: true,
        }
    }
}

impl Update {
    /// An update that is no feature and carries a deployment.
    pub(crate) fn hidden(deployment: Deployment, state: State) -> Self {
        let name = hidden_name(&deployment.identity.name);
        Self { name, feature: None, applicable: None, carried: Carried::Deployment(deployment), state }
    }
}

impl Package {
    /// An installed package of Windows without updates.
    pub(crate) fn new(identity: Identity, release_type: &'static str) -> Self {
        let (identifier, title) = (identity.name.clone(), identity.name.clone());
        let state = State::Installed;
        Self { identity, identifier, title, release_type, deep: false, parents: Vec::new(), capability: None, updates: Vec::new(), state }
    }

    pub(crate) fn id(&self) -> PackageId {
        PackageId::from(&self.identity)
    }

    /// The package manifest (`.mum`).
    pub(crate) fn manifest(&self) -> Vec<u8> {
        let Self { identifier, title, release_type, .. } = self;
        let deep = if self.deep { " applicabilityEvaluation=\"deep\"" } else { "" };
        let mut xml = format!(
            "{HEADER} description=\"{title}\" displayName=\"{title}\" company=\"Wimwright practice media\">\r\n  {}\r\n  <package identifier=\"{identifier}\"{deep} releaseType=\"{release_type}\">\r\n",
            identity_element(&self.identity)
        );
        for Parent { identity, staged } in &self.parents {
            // A satellite belongs to one version of its parent.
            let attributes = if *staged {
                "disposition=\"staged\" integrate=\"separate\""
            } else {
                "buildCompare=\"GE\" disposition=\"detect\" integrate=\"separate\" revisionCompare=\"GE\""
            };
            let identity = identity_element(identity);
            let _ = write!(xml, "    <parent {attributes}>\r\n      {identity}\r\n    </parent>\r\n");
        }
        if let Some((name, language)) = &self.capability {
            let language = language.map(|language| format!(" language=\"{language}\"")).unwrap_or_default();
            let _ = write!(
                xml,
                "    <declareCapability>\r\n      <capability>\r\n        <capabilityIdentity name=\"{name}\" version=\"1.0\"{language} />\r\n      </capability>\r\n    </declareCapability>\r\n"
            );
        }
        for update in &self.updates {
            update_element(&mut xml, update);
        }
        xml.push_str("  </package>\r\n</assembly>\r\n");
        xml.into_bytes()
    }

    /// The catalog of the package: its manifest, and those of its deployments and their components.
    pub(crate) fn catalog(&self) -> Vec<u8> {
        let id = self.id();
        let seed = seed_of(&id.to_string());
        let mut identifier = [0; 16];
        identifier[..8].copy_from_slice(&seed.to_le_bytes());
        identifier[8..].copy_from_slice(&seed.rotate_left(29).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
        let mut catalog = NewCatalog::new(identifier, CATALOG_TIME);
        let name = (id.to_string(), id.version.to_string());
        for (key, text) in [("PackageName", name.0), ("PackageVersion", name.1), ("OSAttr", "2:10.0".to_owned())] {
            catalog.attributes.push((key.to_owned(), text));
        }
        catalog.add_file(&self.manifest());
        for deployment in self.deployments() {
            catalog.add_file(&deployment.assembly().manifest);
            for component in &deployment.components {
                catalog.add_file(&component.manifest);
            }
        }
        catalog.to_bytes()
    }

    /// Its own deployments, not those of packages inside.
    pub(crate) fn deployments(&self) -> impl Iterator<Item = &Deployment> {
        self.updates.iter().filter_map(|update| match &update.carried {
            Carried::Deployment(deployment) => Some(deployment),
            Carried::Package(_) => None,
        })
    }

    /// The packages that its updates carry.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Self> {
        self.updates.iter().filter_map(|update| match &update.carried {
            Carried::Package(package) => Some(&**package),
            Carried::Deployment(_) => None,
        })
    }
}

/// A name as hidden updates have them: 32 hexadecimal digits.
pub(crate) fn hidden_name(text: &str) -> String {
    let seed = seed_of(text);
    format!("{seed:016x}{:016x}", seed.rotate_left(23).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn identity_element(identity: &Identity) -> String {
    let Identity { name, version, .. } = identity;
    let mut xml = format!("<assemblyIdentity name=\"{name}\" version=\"{version}\"");
    let attributes = [
        ("processorArchitecture", identity.architecture.as_deref()),
        ("language", Some(identity.language.as_deref().unwrap_or("neutral"))),
        ("buildType", identity.build_type.as_deref()),
        ("publicKeyToken", identity.public_key_token.as_deref()),
        ("type", identity.assembly_type.as_deref()),
        ("versionScope", identity.version_scope.as_deref()),
    ];
    for (name, value) in attributes {
        if let Some(value) = value {
            let _ = write!(xml, " {name}=\"{value}\"");
        }
    }
    xml + " />"
}

/// A directory of the image as manifests write it.
fn destination_path(directory: &str, architecture: &str) -> String {
    let system = if matches!(architecture, "wow64") { "Windows/SysWOW64" } else { "Windows/System32" };
    let directories = [
        (format!("{system}/drivers"), "$(runtime.drivers)"),
        (system.to_owned(), "$(runtime.system32)"),
        ("Windows".to_owned(), "$(runtime.windows)"),
        ("ProgramData".to_owned(), "$(runtime.programData)"),
        ("Program Files".to_owned(), "$(runtime.programFiles)"),
        (String::new(), "$(runtime.bootDrive)"),
    ];
    for (prefix, name) in directories {
        if let Some(rest) = directory.strip_prefix(&prefix).filter(|rest| rest.is_empty() || rest.starts_with('/') || prefix.is_empty()) {
            return format!("{name}\\{}\\", rest.trim_matches('/').replace('/', "\\")).replace("\\\\", "\\");
        }
    }
    directory.to_owned()
}

fn file_element(xml: &mut String, file: &PayloadFile, architecture: &str) {
    let name = &file.name;
    let destination = match file.destination.as_deref().and_then(|path| path.rsplit_once('/')) {
        Some((directory, _)) => format!(" destinationPath=\"{}\"", destination_path(directory, architecture)),
        None => String::new(),
    };
    let security = if destination.is_empty() { "" } else { "    <securityDescriptor name=\"WRP_FILE_DEFAULT_SDDL\" />\r\n" };
    let digest = Base64::encode_string(&file.sha256);
    let _ = write!(
        xml,
        "  <file name=\"{name}\"{destination} sourceName=\"{name}\" importPath=\"$(build.nttree)\\\" sourcePath=\".\\\">\r\n{security}\
    <asmv2:hash xmlns:asmv2=\"urn:schemas-microsoft-com:asm.v2\" xmlns:dsig=\"http://www.w3.org/2000/09/xmldsig#\">\r\n\
      <dsig:Transforms>\r\n        <dsig:Transform Algorithm=\"urn:schemas-microsoft-com:HashTransforms.Identity\" />\r\n      </dsig:Transforms>\r\n\
      <dsig:DigestMethod Algorithm=\"http://www.w3.org/2000/09/xmldsig#sha256\" />\r\n\
      <dsig:DigestValue>{digest}</dsig:DigestValue>\r\n    </asmv2:hash>\r\n  </file>\r\n"
    );
}

fn registry_elements(xml: &mut String, registry: &[RegistryValue]) {
    if registry.is_empty() {
        return;
    }
    xml.push_str("  <registryKeys>\r\n");
    for value in registry {
        let key = format!(r"HKEY_LOCAL_MACHINE\SOFTWARE\{}", value.key);
        let (kind, text) = match &value.data {
            Data::Dword(number) => ("REG_DWORD", format!("0x{number:08x}")),
            Data::Text(text) => ("REG_SZ", text.clone()),
            Data::ExpandableText(text) => ("REG_EXPAND_SZ", text.clone()),
            other => ("REG_BINARY", other.encode().1.iter().map(|byte| format!("{byte:02x}")).collect()),
        };
        let name = &value.name;
        let _ = write!(
            xml,
            "    <registryKey keyName=\"{key}\">\r\n      <registryValue name=\"{name}\" valueType=\"{kind}\" value=\"{text}\" />\r\n    </registryKey>\r\n"
        );
    }
    xml.push_str("  </registryKeys>\r\n");
}

fn update_element(xml: &mut String, update: &Update) {
    let _ = write!(xml, "    <update name=\"{}\">\r\n", update.name);
    if let Some(on) = update.feature {
        // `default` states whether the feature is on where nobody says: so Internet Explorer's package is, which is on once it is added.
        let _ = write!(
            xml,
            "      <selectable disposition=\"staged\">\r\n        <detectNone default=\"{}\" />\r\n      </selectable>\r\n",
            on
        );
    }
    match &update.applicable {
        None => {}
        Some(Applicable::ParentFeature(name)) => {
            let _ = write!(
                xml,
                "      <applicable disposition=\"staged\">\r\n        <detectUpdate>\r\n          <parent name=\"{name}\" />\r\n        </detectUpdate>\r\n      </applicable>\r\n"
            );
        }
        Some(Applicable::Components(identities)) => {
            xml.push_str("      <applicable disposition=\"staged\">\r\n");
            for identity in identities {
                let _ = write!(
                    xml,
                    "        <updateComponent elevate=\"install\">\r\n          {}\r\n        </updateComponent>\r\n",
                    identity_element(identity)
                );
            }
            xml.push_str("      </applicable>\r\n");
        }
    }
    match &update.carried {
        Carried::Deployment(deployment) => {
            let _ = write!(xml, "      <component>\r\n        {}\r\n      </component>\r\n", identity_element(&deployment.identity));
        }
        Carried::Package(package) => {
            let _ = write!(
                xml,
                "      <package contained=\"false\" integrate=\"hidden\">\r\n        {}\r\n      </package>\r\n",
                identity_element(&package.identity)
            );
        }
    }
    xml.push_str("    </update>\r\n");
}

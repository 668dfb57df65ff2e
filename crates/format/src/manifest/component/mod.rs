//! Component manifests: one indivisible unit of Windows and everything that installing it does.
//!
//! [`Component::parse`] gives a typed model of what has a publicly known result on disk: files, directories, registry,
//! security descriptors, dependencies, category memberships (services, groups of `svchost`, environment), firewall rules,
//! event providers, scheduled tasks. Every other element is kept in [`Component::other`] under its path, whole: most are read
//! by an *advanced installer*, code inside Windows' servicing stack with results of its own.
//!
//! Attributes that only Microsoft's build uses (`importPath`, `sourcePath`, `copyright`, `buildFilter` of the root) are not
//! kept. Elements and attributes: smx-smx/Winter's schema (names only) and counts over real manifests (facts/cbs.md 2.3).

mod category;
mod file;
mod instrumentation;
pub mod registry;

use std::collections::{BTreeMap, HashMap};

use roxmltree::Node;

pub use category::{
    CategoryEntry, CategoryInstance, FailureAction, FailureActions, Membership, Position, Service, ServiceTrigger, StartType, TriggerData,
};
pub use file::{Directory, File, FileHash, HashAlgorithm};
pub use instrumentation::{Channel, EventProvider};
pub use registry::{Operation, Overridable, RegistryData, RegistryKey, RegistryValue};

use super::macros::{Directories, Macros};
use super::other::OtherElements;
use super::{Error, Identity, OtherElement, xml};

/// What a component manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Component {
    /// Who it is.
    pub identity: Identity,
    /// True when it says `<deployment/>`: it stands for the components that it depends on.
    pub is_deployment: bool,
    /// Other components that it names.
    pub dependencies: Vec<Dependency>,
    /// Payload files.
    pub files: Vec<File>,
    /// Directories that are to exist.
    pub directories: Vec<Directory>,
    /// Registry keys with their values.
    pub registry_keys: Vec<RegistryKey>,
    /// Named security descriptors that files, directories, keys and services refer to.
    pub security_descriptors: Vec<SecurityDescriptorDefinition>,
    /// Categories that it belongs to, with what it contributes to each.
    pub memberships: Vec<Membership>,
    /// Firewall rules.
    pub firewall_rules: Vec<FirewallRule>,
    /// Publishers of the event log, with their channels.
    pub event_providers: Vec<EventProvider>,
    /// Scheduled tasks, each the `Task` document of the task scheduler.
    pub scheduled_tasks: Vec<String>,
    /// Texts for `$(string.…)` and `$(resourceString.…)`, by language.
    pub strings: Vec<StringTable>,
    /// True when it has a `migration` element: the manifest is then listed in `WinSxS\migration.xml`.
    pub has_migration: bool,
    /// All elements without a field above, in the order of the manifest. Windows' own *advanced installers* read them: each is
    /// work that an offline installer must do otherwise, hand over, or refuse.
    pub other: Vec<OtherElement>,
    /// Elements that ask nothing of an installer: path, and how often it is there.
    pub inert: BTreeMap<String, usize>,
}

/// A `dependency` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dependency {
    /// The component meant; its language is `*` for resources in any language.
    pub identity: Identity,
    /// `dependencyType`: `install`, `prerequisite`, or absent.
    pub dependency_type: Option<String>,
    /// `resourceType`: `Resources` for a component's own language files.
    pub resource_type: Option<String>,
    /// `discoverable`: only affects bookkeeping for detection.
    pub discoverable: Option<bool>,
    /// `optional`.
    pub optional: Option<bool>,
}

impl Dependency {
    /// True when installing the one installs the other. All others are resources or order: no part of a closure.
    #[must_use]
    pub fn is_install(&self) -> bool {
        self.dependency_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("install"))
    }
}

/// A `securityDescriptorDefinition` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityDescriptorDefinition {
    /// Name that references use.
    pub name: String,
    /// The descriptor in SDDL; `(inherit)` for what the parent gives.
    pub sddl: String,
    /// `operationHint`, `replace` wherever it was seen.
    pub operation_hint: Option<String>,
    /// `buildFilter`.
    pub build_filter: Option<String>,
}

/// A `securityDescriptor` element: names a definition of the same manifest or one that Windows knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityDescriptorReference {
    /// Name of the definition.
    pub name: String,
    /// `offline`.
    pub offline: Option<String>,
    /// `buildFilter`.
    pub build_filter: Option<String>,
}

impl SecurityDescriptorReference {
    fn read(node: Node<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            name: xml::required(node, "name")?,
            offline: xml::owned(node, "offline"),
            build_filter: xml::owned(node, "buildFilter").filter(|filter| !filter.is_empty()),
        })
    }
}

/// A `firewallRule` element: its attributes, whose names Microsoft spells in any case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirewallRule {
    /// Attributes in the order of the manifest, as spelled.
    pub attributes: Vec<(String, String)>,
}

impl FirewallRule {
    /// An attribute by its name, case ignored: `internalName`, `action`, `dir`, `lport`, …
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The texts of one language.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StringTable {
    /// Language tag, `en-US`.
    pub culture: String,
    /// Identifier and text.
    pub strings: Vec<(String, String)>,
}

impl Component {
    /// Reads a manifest: the decoded XML, UTF-8 or UTF-16 ([`super::stored`] decodes stored ones).
    ///
    /// # Errors
    /// When it is not XML within the bounds of this module, has no identity, or holds a value that cannot be understood.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = crate::xml::decode(bytes)?;
        let document = crate::xml::parse(&text)?;
        let root = document.root_element();
        let missing = |element| Error::MissingElement { parent: xml::element_name(root), element, wanted: "component" };
        if xml::name(root) != "assembly" {
            return Err(missing("assembly"));
        }
        let identity = xml::child(root, "assemblyIdentity").ok_or_else(|| missing("assemblyIdentity"))?;
        let mut component = Self { identity: Identity::read(identity)?, ..Self::default() };
        let mut other = OtherElements::default();
        for element in xml::elements(root) {
            component.read_element(element, &mut other)?;
        }
        (component.other, component.inert) = other.finish()?;
        Ok(component)
    }

    fn read_element(&mut self, node: Node<'_, '_>, other: &mut OtherElements) -> Result<(), Error> {
        match xml::name(node) {
            "assemblyIdentity" => {}
            "deployment" => self.is_deployment = true,
            "dependency" => self.read_dependency(node, other)?,
            "file" => self.files.push(File::read(node, other)?),
            "directories" => {
                for element in xml::elements(node) {
                    match xml::name(element) {
                        "directory" => self.directories.push(Directory::read(element, other)?),
                        _ => other.keep(element),
                    }
                }
            }
            "registryKeys" => {
                for element in xml::elements(node) {
                    match xml::name(element) {
                        "registryKey" => self.registry_keys.push(RegistryKey::read(element, other)?),
                        _ => other.keep(element),
                    }
                }
            }
            "trustInfo" => self.read_trust(node, other)?,
            "memberships" => {
                for element in xml::elements(node) {
                    match xml::name(element) {
                        "categoryMembership" => self.memberships.push(Membership::read(element, other)?),
                        _ => other.keep(element),
                    }
                }
            }
            "firewallRule" => {
                let attributes = node.attributes().map(|attribute| (attribute.name().to_owned(), attribute.value().to_owned()));
                self.firewall_rules.push(FirewallRule { attributes: attributes.collect() });
                other.keep_children(node);
            }
            "instrumentation" => instrumentation::read(node, &mut self.event_providers, other)?,
            "taskScheduler" => {
                for element in xml::elements(node) {
                    match element.tag_name().name() {
                        "Task" => self.scheduled_tasks.push(other.standalone(element)),
                        _ => other.keep(element),
                    }
                }
            }
            "localization" => self.read_strings(node, other),
            "migration" => self.has_migration = true,
            _ => other.keep(node),
        }
        Ok(())
    }

    fn read_dependency(&mut self, node: Node<'_, '_>, other: &mut OtherElements) -> Result<(), Error> {
        for element in xml::elements(node) {
            let identity = xml::child(element, "assemblyIdentity").filter(|_| xml::name(element) == "dependentAssembly");
            let Some(identity) = identity else {
                other.keep(element);
                continue;
            };
            self.dependencies.push(Dependency {
                identity: Identity::read(identity)?,
                dependency_type: xml::owned(element, "dependencyType"),
                resource_type: xml::owned(node, "resourceType"),
                discoverable: xml::boolean(node, "discoverable")?,
                optional: xml::boolean(node, "optional")?,
            });
            xml::elements(element).filter(|inner| xml::name(*inner) != "assemblyIdentity").for_each(|inner| other.keep(inner));
        }
        Ok(())
    }

    /// `trustInfo/security/accessControl/securityDescriptorDefinitions/securityDescriptorDefinition`.
    fn read_trust(&mut self, node: Node<'_, '_>, other: &mut OtherElements) -> Result<(), Error> {
        for element in xml::elements(node) {
            match xml::name(element) {
                "security" | "accessControl" | "securityDescriptorDefinitions" => self.read_trust(element, other)?,
                "securityDescriptorDefinition" => self.security_descriptors.push(SecurityDescriptorDefinition {
                    name: xml::required(element, "name")?,
                    sddl: xml::required(element, "sddl")?,
                    operation_hint: xml::owned(element, "operationHint"),
                    build_filter: xml::owned(element, "buildFilter").filter(|filter| !filter.is_empty()),
                }),
                _ => other.keep(element),
            }
        }
        Ok(())
    }

    /// `localization/resources/stringTable/string`.
    fn read_strings(&mut self, node: Node<'_, '_>, other: &mut OtherElements) {
        for resources in xml::elements(node) {
            if xml::name(resources) != "resources" {
                other.keep(resources);
                continue;
            }
            let mut table = StringTable { culture: xml::owned(resources, "culture").unwrap_or_default(), strings: Vec::new() };
            for element in xml::elements(resources).flat_map(|tables| match xml::name(tables) {
                "stringTable" => xml::elements(tables).collect::<Vec<_>>(),
                _ => vec![tables],
            }) {
                match (xml::name(element), xml::owned(element, "id"), xml::owned(element, "value")) {
                    ("string", Some(id), Some(value)) => table.strings.push((id, value)),
                    _ => other.keep(element),
                }
            }
            self.strings.push(table);
        }
    }

    /// The components that installing this one installs.
    pub fn install_dependencies(&self) -> impl Iterator<Item = &Identity> {
        self.dependencies.iter().filter(|dependency| dependency.is_install()).map(|dependency| &dependency.identity)
    }

    /// The security descriptors that this manifest defines: SDDL by name in ASCII lower case, as references are compared.
    #[must_use]
    pub fn sddl_by_name(&self) -> HashMap<String, &str> {
        let definitions = self.security_descriptors.iter();
        definitions.map(|definition| (definition.name.to_ascii_lowercase(), definition.sddl.as_str())).collect()
    }

    /// The texts of this manifest's own string tables by identifier in ASCII lower case: those of `culture`, where it has none
    /// those of any other.
    #[must_use]
    pub fn texts(&self, culture: &str) -> HashMap<String, &str> {
        let (preferred, others): (Vec<_>, Vec<_>) = self.strings.iter().partition(|table| table.culture.eq_ignore_ascii_case(culture));
        let strings = others.into_iter().chain(preferred).flat_map(|table| &table.strings);
        strings.map(|(id, text)| (id.to_ascii_lowercase(), text.as_str())).collect()
    }

    /// Runs `expand` with the macros of this component: directories for `directories`, `$(string.…)` and
    /// `$(resourceString.…)` from its own tables (`en-US` first), all others from `other`.
    pub fn with_macros<T>(
        &self,
        directories: Directories,
        other: &dyn Fn(&str) -> Option<String>,
        run: impl FnOnce(&Macros<'_>) -> T,
    ) -> T {
        let keyform = self.identity.keyform();
        let texts = self.texts("en-US");
        let lookup = |name: &str| {
            let lower = name.to_ascii_lowercase();
            let id = lower.strip_prefix("string.").or_else(|| lower.strip_prefix("resourcestring."));
            let own = id.and_then(|id| texts.get(id)).map(|text| (*text).to_owned());
            own.or_else(|| other(name))
        };
        run(&Macros { component: &keyform, directories, other: &lookup })
    }
}

#[cfg(test)]
mod tests;

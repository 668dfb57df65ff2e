//! Answer files (`unattend.xml`, `autounattend.xml`): what Windows Setup, Sysprep and DISM are told instead of asking.
//!
//! A file has one `settings` element per configuration pass, and in it `component` elements that name, by an assembly
//! identity, whose settings follow. Windows passes over what it does not expect without a word: a misspelt component, a
//! component in a pass that it has no settings for, the wrong architecture. [`AnswerFile::check`] says so instead.
//!
//! Source: learn.microsoft.com "Answer files (unattend.xml)", "How configuration passes work", Unattended Windows Setup Reference.

mod check;
mod components;
mod packages;
#[cfg(test)]
mod tests;

use crate::xml::{self, Position, Positions, XmlError};
use std::fmt;
use std::str::FromStr;

pub use packages::{AddPackagesError, PackageToInstall, add_packages};

/// The namespace of answer files.
pub const NAMESPACE: &str = "urn:schemas-microsoft-com:unattend";

/// Most answer-file elements of interest (passes, components, packages, strays) that are read. Real files have some 30.
pub const MAX_ELEMENTS: usize = 2_000;

/// Why bytes are no answer file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFileError {
    /// Not XML.
    #[error("answer file: {source}")]
    Xml {
        /// What is wrong with the XML.
        #[from]
        source: XmlError,
    },
    /// XML with another root.
    #[error("answer file: the root element is `{found}`, not `unattend` in the namespace {NAMESPACE}")]
    Root {
        /// The root's name, with its namespace in braces.
        found: String,
    },
    /// More elements than any real file.
    #[error("answer file: more than {MAX_ELEMENTS} passes, components and packages")]
    TooLarge,
}

/// A configuration pass of Windows Setup, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pass {
    /// Windows PE and Setup itself, before the image is applied.
    WindowsPe,
    /// On the applied image, not running: drivers, packages. Also what `DISM /Apply-Unattend` does.
    OfflineServicing,
    /// `sysprep /generalize`.
    Generalize,
    /// First start of the installed system: the machine's own settings.
    Specialize,
    /// Audit mode, before a user signs in.
    AuditSystem,
    /// Audit mode, after a user signed in.
    AuditUser,
    /// Before the out-of-box experience.
    OobeSystem,
}

impl Pass {
    /// All passes, in their order.
    pub const ALL: [Self; 7] =
        [Self::WindowsPe, Self::OfflineServicing, Self::Generalize, Self::Specialize, Self::AuditSystem, Self::AuditUser, Self::OobeSystem];

    /// The name in `settings pass="…"`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WindowsPe => "windowsPE",
            Self::OfflineServicing => "offlineServicing",
            Self::Generalize => "generalize",
            Self::Specialize => "specialize",
            Self::AuditSystem => "auditSystem",
            Self::AuditUser => "auditUser",
            Self::OobeSystem => "oobeSystem",
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that is no pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no configuration pass")]
pub struct UnknownPass {
    /// The name.
    pub name: String,
}

impl FromStr for Pass {
    type Err = UnknownPass;

    /// Reads the exact name; case counts.
    fn from_str(name: &str) -> Result<Self, UnknownPass> {
        Self::ALL.into_iter().find(|pass| pass.name() == name).ok_or_else(|| UnknownPass { name: name.to_owned() })
    }
}

/// A parsed answer file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFile {
    /// The `settings` elements, in the order of the file.
    pub settings: Vec<Settings>,
    /// Packages that the `servicing` element asks for; they are serviced in the offlineServicing pass.
    pub packages: Vec<Package>,
    /// Elements of the answer file's namespace that stand where nothing reads them.
    pub strays: Vec<Stray>,
}

/// The settings of one pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name of the pass as the file has it.
    pub pass: String,
    /// `wasProcessed`: set by Setup on its cached copy when the pass is done.
    pub was_processed: bool,
    /// The components, in the order of the file.
    pub components: Vec<Component>,
    /// Where the element starts.
    pub position: Position,
}

/// A component's settings in one pass, with the attributes as the file has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The assembly name.
    pub name: String,
    /// `amd64`, `x86`, `arm64`, `wow64`, `neutral`, …
    pub processor_architecture: Option<String>,
    /// `neutral` in nearly every file.
    pub language: Option<String>,
    /// `31bf3856ad364e35` for Microsoft's components.
    pub public_key_token: Option<String>,
    /// `nonSxS` in nearly every file.
    pub version_scope: Option<String>,
    /// Names of the settings directly below, in their order.
    pub settings: Vec<String>,
    /// Where the element starts.
    pub position: Position,
}

/// A package of the `servicing` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// `install`, `remove`, `stage`, `configure`.
    pub action: String,
    /// The attributes of its `assemblyIdentity`, in their order.
    pub identity: Vec<(String, String)>,
    /// Where Setup finds the package's files (`source location`).
    pub source: Option<String>,
    /// Where the element starts.
    pub position: Position,
}

/// An element out of place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Its name.
    pub name: String,
    /// The name of the element it stands in.
    pub parent: String,
    /// Where it starts.
    pub position: Position,
}

impl AnswerFile {
    /// Reads an answer file in UTF-8 or UTF-16.
    ///
    /// # Errors
    /// When the bytes are no XML, or the root is not that of an answer file.
    pub fn parse(bytes: &[u8]) -> Result<Self, AnswerFileError> {
        let text = xml::decode(bytes)?;
        let document = xml::parse(&text)?;
        let root = document.root_element();
        if !root.has_tag_name((NAMESPACE, "unattend")) {
            let name = root.tag_name();
            let found = name.namespace().map_or_else(|| name.name().to_owned(), |namespace| format!("{{{namespace}}}{}", name.name()));
            return Err(AnswerFileError::Root { found });
        }
        let mut reader = Reader { positions: Positions::new(&text), elements: 0 };
        let mut file = Self { settings: Vec::new(), packages: Vec::new(), strays: Vec::new() };
        // Elements of other namespaces (`offlineImage`, generators' notes) are nobody's concern.
        for node in answer_file_elements(root) {
            match node.tag_name().name() {
                "settings" => {
                    let settings = reader.settings(node, &mut file.strays)?;
                    file.settings.push(settings);
                }
                "servicing" => {
                    for package in answer_file_elements(node).filter(|node| node.tag_name().name() == "package") {
                        file.packages.push(reader.package(package)?);
                    }
                }
                _ => file.strays.push(reader.stray(node, "unattend")?),
            }
        }
        Ok(file)
    }

    /// Every component with the pass it stands in, in the order of the file.
    pub fn components(&self) -> impl Iterator<Item = (&Settings, &Component)> {
        self.settings.iter().flat_map(|settings| settings.components.iter().map(move |component| (settings, component)))
    }
}

type Node<'a> = roxmltree::Node<'a, 'a>;

fn answer_file_elements<'a>(node: Node<'a>) -> impl Iterator<Item = Node<'a>> {
    node.children().filter(|child| child.is_element() && child.tag_name().namespace() == Some(NAMESPACE))
}

struct Reader<'a> {
    positions: Positions<'a>,
    elements: usize,
}

impl Reader<'_> {
    fn place(&mut self, node: Node<'_>) -> Result<Position, AnswerFileError> {
        self.elements = self.elements.saturating_add(1);
        if self.elements > MAX_ELEMENTS {
            return Err(AnswerFileError::TooLarge);
        }
        Ok(self.positions.at(node.range().start))
    }

    fn stray(&mut self, node: Node<'_>, parent: &str) -> Result<Stray, AnswerFileError> {
        Ok(Stray { name: node.tag_name().name().to_owned(), parent: parent.to_owned(), position: self.place(node)? })
    }

    fn settings(&mut self, node: Node<'_>, strays: &mut Vec<Stray>) -> Result<Settings, AnswerFileError> {
        let position = self.place(node)?;
        let mut components = Vec::new();
        for child in answer_file_elements(node) {
            if child.tag_name().name() == "component" {
                components.push(self.component(child)?);
            } else {
                strays.push(self.stray(child, "settings")?);
            }
        }
        let pass = node.attribute("pass").unwrap_or_default().to_owned();
        Ok(Settings { pass, was_processed: node.attribute("wasProcessed") == Some("true"), components, position })
    }

    fn component(&mut self, node: Node<'_>) -> Result<Component, AnswerFileError> {
        let attribute = |name| node.attribute(name).map(str::to_owned);
        Ok(Component {
            name: attribute("name").unwrap_or_default(),
            processor_architecture: attribute("processorArchitecture"),
            language: attribute("language"),
            public_key_token: attribute("publicKeyToken"),
            version_scope: attribute("versionScope"),
            settings: node.children().filter(roxmltree::Node::is_element).map(|child| child.tag_name().name().to_owned()).collect(),
            position: self.place(node)?,
        })
    }

    fn package(&mut self, node: Node<'_>) -> Result<Package, AnswerFileError> {
        let child = |name| answer_file_elements(node).find(|child| child.tag_name().name() == name);
        let identity = child("assemblyIdentity")
            .map(|identity| identity.attributes().map(|attribute| (attribute.name().to_owned(), attribute.value().to_owned())).collect());
        Ok(Package {
            action: node.attribute("action").unwrap_or_default().to_owned(),
            identity: identity.unwrap_or_default(),
            source: child("source").and_then(|source| source.attribute("location")).map(str::to_owned),
            position: self.place(node)?,
        })
    }
}

//! What can be wrong with a manifest.

use crate::xml::XmlError;

/// Why a manifest, a name of the component store, or a macro in it could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no XML, or XML beyond all bounds.
    #[error("the manifest cannot be read")]
    Xml(#[from] XmlError),
    /// Much more without a place in the model than any real manifest has.
    #[error("the manifest has more than {elements} elements that are not known, or more than {bytes} bytes of them")]
    TooManyElements {
        /// Allowed number of elements.
        elements: usize,
        /// Allowed bytes.
        bytes: usize,
    },
    /// The root is not `assembly`, or the kind of manifest asked for lacks its main element.
    #[error("the {parent} element has no {element} element: this is not a {wanted} manifest")]
    MissingElement {
        /// Where it was looked for.
        parent: String,
        /// What is missing.
        element: &'static str,
        /// The kind of manifest that was to be read.
        wanted: &'static str,
    },
    /// An element lacks an attribute that gives it its meaning.
    #[error("line {line}: the {element} element has no {attribute} attribute")]
    MissingAttribute {
        /// The element.
        element: String,
        /// The attribute.
        attribute: &'static str,
        /// Line in the manifest, from 1.
        line: u32,
    },
    /// An attribute or text has a value that is none of those known.
    #[error("line {line}: {attribute} of the {element} element is \"{value}\", expected {expected}")]
    Value {
        /// The element.
        element: String,
        /// The attribute.
        attribute: &'static str,
        /// The value, shortened.
        value: String,
        /// What it may be.
        expected: &'static str,
        /// Line in the manifest, from 1.
        line: u32,
    },
    /// A version is not four numbers below 65536.
    #[error("\"{text}\" is not a version of four numbers")]
    Version {
        /// The text, shortened.
        text: String,
    },
    /// A text is not a package identity.
    #[error("\"{text}\" is not a package identity: name~publicKeyToken~architecture~language~version")]
    PackageId {
        /// The text, shortened.
        text: String,
    },
    /// A text is not a component identity as the COMPONENTS hive holds it.
    #[error("\"{text}\" is not a component identity: {problem}")]
    ComponentIdentity {
        /// The text, shortened.
        text: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A setting has a word that no public source explains.
    #[error("{setting} is \"{word}\", which has no known meaning")]
    UnknownWord {
        /// What the word sets.
        setting: &'static str,
        /// The word.
        word: String,
    },
    /// A `$(…)` macro that is not in the table: a path is never guessed.
    #[error("component {component} uses the macro $({name}), which is not known")]
    UnknownMacro {
        /// Keyform of the component.
        component: String,
        /// The macro, without `$(` and `)`.
        name: String,
    },
    /// A `$(` without `)`.
    #[error("component {component}: \"{text}\" has a macro without end")]
    OpenMacro {
        /// Keyform of the component.
        component: String,
        /// The text, shortened.
        text: String,
    },
    /// Macros make a text longer than any that Windows takes.
    #[error("component {component}: \"{text}\" grows by more than {limit} bytes when its macros are expanded")]
    Expansion {
        /// Keyform of the component.
        component: String,
        /// The text, shortened.
        text: String,
        /// Allowed growth in bytes.
        limit: usize,
    },
    /// A path that would leave the image, or is none.
    #[error("component {component}: \"{path}\" is not a path inside the image")]
    Path {
        /// Keyform of the component.
        component: String,
        /// The path.
        path: String,
    },
    /// It is not public where components of this architecture go in such an image.
    #[error("the directories of {component} components in an image for {image} are not known")]
    Architecture {
        /// Architecture of the component.
        component: String,
        /// Architecture of the image.
        image: String,
    },
    /// The manifest is stored in a form that manifests never have.
    #[error("the manifest starts with \"{magic}\", a compression that only payload files use")]
    StoredForm {
        /// The four bytes, as text.
        magic: String,
    },
    /// The delta that a manifest is stored as could not be applied.
    #[error("the stored manifest could not be decompressed")]
    Decompress {
        /// What the decompressor says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Enough of a text to recognize it in an error.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}

//! Answer files that have Windows Setup install packages.
//!
//! A `servicing` element names packages by identity, and where their files lie. Setup installs them into the image that it has just
//! applied, in the offlineServicing pass. Facts that shape what is written:
//!
//! - The medium's drive letter is not known. In a *configuration set* (`UseConfigurationSet` of Microsoft-Windows-Setup, pass windowsPE)
//!   `%configsetroot%` stands for the folder of the answer file: learn.microsoft.com "UseConfigurationSet"; the fragments in Microsoft's
//!   own MSU files have `%configsetroot%\NAME.CAB`.
//! - Setup passes over `servicing` in an answer file that it found by itself, unless the file has a windowsPE or offlineServicing pass
//!   (support.microsoft.com KB939289). The pass with `UseConfigurationSet` is one.
//! - `servicing` stands before all `settings` (the schema `unattend.xsd` of the ADK).

use std::fmt::Write as _;

use super::{AnswerFile, AnswerFileError, NAMESPACE, Pass, answer_file_elements};
use crate::manifest::PackageId;
use crate::xml;

/// A package for Setup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageToInstall {
    /// Its root package.
    pub identity: PackageId,
    /// Where its cabinet lies: a path with backslashes from the folder of the answer file.
    pub path: String,
}

/// Why an answer file cannot have packages added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddPackagesError {
    /// It is none.
    #[error(transparent)]
    File(#[from] AnswerFileError),
    /// It has packages of its own, whose order with the new ones nobody knows.
    #[error("the answer file has packages of its own (`servicing`)")]
    Servicing,
    /// It has settings for Setup, but not the one that packages need.
    #[error("the answer file has a windowsPE pass without `UseConfigurationSet`, which packages on the medium need")]
    ConfigurationSet,
}

/// An answer file, UTF-8, that installs packages, in their order; `given` with them added, or a new one. `architecture` is that of the
/// Setup program: `amd64`.
///
/// # Errors
/// See [`AddPackagesError`].
pub fn add_packages(given: Option<&[u8]>, packages: &[PackageToInstall], architecture: &str) -> Result<Vec<u8>, AddPackagesError> {
    let (mut head, mut tail, mut has_set, mut namespace) =
        (format!("<unattend xmlns=\"{NAMESPACE}\">"), "</unattend>".to_owned(), false, String::new());
    if let Some(bytes) = given {
        let parsed = AnswerFile::parse(bytes)?;
        let text = xml::decode(bytes).map_err(AnswerFileError::from)?;
        let document = xml::parse(&text).map_err(AnswerFileError::from)?;
        let root = document.root_element();
        if answer_file_elements(root).any(|node| node.has_tag_name((NAMESPACE, "servicing"))) {
            return Err(AddPackagesError::Servicing);
        }
        if parsed.settings.iter().any(|settings| settings.pass == Pass::WindowsPe.name()) {
            let is_set = |node: roxmltree::Node<'_, '_>| {
                node.has_tag_name((NAMESPACE, "UseConfigurationSet")) && node.text().is_some_and(|text| text.trim() == "true")
            };
            has_set = root.descendants().any(is_set);
            if !has_set {
                return Err(AddPackagesError::ConfigurationSet);
            }
        }
        // A root without contents has nothing to keep.
        if let Some(first) = root.first_child() {
            let (start, end) = (root.range().start, root.range().end);
            let inside = first.range().start;
            head = text.get(start..inside).unwrap_or_default().to_owned();
            tail = text.get(inside..end).unwrap_or_default().to_owned();
            if root.default_namespace() != Some(NAMESPACE) {
                namespace = format!(" xmlns=\"{NAMESPACE}\"");
            }
        }
    }
    let mut text = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n{head}\r\n  <servicing{namespace}>\r\n");
    for PackageToInstall { identity, path } in packages {
        let PackageId { name, public_key_token, architecture, language, version } = identity;
        let language = if language.is_empty() { "neutral" } else { language };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "    <package action=\"install\">\r\n      <assemblyIdentity name=\"{}\" version=\"{version}\" processorArchitecture=\"{}\" \
             publicKeyToken=\"{}\" language=\"{}\" />\r\n      <source location=\"%configsetroot%\\{}\" />\r\n    </package>\r\n",
            escaped(name),
            escaped(architecture),
            escaped(public_key_token),
            escaped(language),
            escaped(path),
        );
    }
    text.push_str("  </servicing>\r\n");
    if !has_set {
        let _ = write!(
            text,
            "  <settings{namespace} pass=\"windowsPE\">\r\n    <component name=\"Microsoft-Windows-Setup\" processorArchitecture=\"{}\" \
             publicKeyToken=\"31bf3856ad364e35\" language=\"neutral\" versionScope=\"nonSxS\">\r\n      \
             <UseConfigurationSet>true</UseConfigurationSet>\r\n    </component>\r\n  </settings>\r\n",
            escaped(architecture)
        );
    }
    text.push_str(tail.trim_start_matches(['\r', '\n']));
    text.push_str("\r\n");
    Ok(text.into_bytes())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

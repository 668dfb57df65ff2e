//! Default app associations: which app opens what for new users.
//!
//! `DISM /Import-DefaultAppAssociations` copies such a file to [`PATH`], where Windows reads it for every user who signs in
//! for the first time. The file that Windows comes with has more attributes than the one that DISM exports.
//!
//! Source: learn.microsoft.com "Export or import default application associations"; the files of Windows 10 and 11.

use crate::problem::{Findings, Problem};
use crate::xml::{self, Position, Positions, XmlError};
use std::collections::HashMap;

/// Where the file lies in an image.
pub const PATH: &str = r"Windows\System32\OEMDefaultAssociations.xml";

/// Most associations that are read. Windows' own file has some 400.
pub const MAX_ASSOCIATIONS: usize = 20_000;

/// Why bytes are no list of default associations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefaultAssociationsError {
    /// Not XML.
    #[error("default associations: {source}")]
    Xml {
        /// What is wrong with the XML.
        #[from]
        source: XmlError,
    },
    /// Another document.
    #[error("default associations: the root element is `{found}`, not `DefaultAssociations`")]
    Root {
        /// The root's name.
        found: String,
    },
    /// More than any real file.
    #[error("default associations: more than {MAX_ASSOCIATIONS} associations")]
    TooLarge,
}

/// A list of default associations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultAssociations {
    /// The associations, in the order of the file.
    pub associations: Vec<Association>,
}

/// What opens a kind of file or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Association {
    /// A file extension with its dot, or the name of a protocol.
    pub identifier: Option<String>,
    /// The programmatic identifier of the app's handler.
    pub prog_id: Option<String>,
    /// The app's name for people.
    pub application_name: Option<String>,
    /// The other attributes (`ApplyOnUpgrade`, `OverwriteIfProgIdIs`, …), in their order.
    pub others: Vec<(String, String)>,
    /// Where the element starts.
    pub position: Position,
}

/// Attributes of Windows' own files besides the three that every association has.
const OTHER_ATTRIBUTES: [&str; 5] = ["ApplyOnUpgrade", "OverwriteIfProgIdIs", "OverwriteOnVersionMax", "NewBrowserProgId", "Suggested"];

impl DefaultAssociations {
    /// Reads a list in UTF-8 or UTF-16.
    ///
    /// # Errors
    /// When it is no XML, or another document.
    pub fn parse(bytes: &[u8]) -> Result<Self, DefaultAssociationsError> {
        let text = xml::decode(bytes)?;
        let document = xml::parse(&text)?;
        let root = document.root_element();
        if root.tag_name().name() != "DefaultAssociations" {
            return Err(DefaultAssociationsError::Root { found: root.tag_name().name().to_owned() });
        }
        let mut positions = Positions::new(&text);
        let mut associations = Vec::new();
        for node in root.children().filter(|node| node.is_element() && node.tag_name().name() == "Association") {
            if associations.len() >= MAX_ASSOCIATIONS {
                return Err(DefaultAssociationsError::TooLarge);
            }
            let attribute = |name| node.attribute(name).map(str::to_owned);
            let known = ["Identifier", "ProgId", "ApplicationName"];
            let others = node.attributes().filter(|attribute| !known.contains(&attribute.name()));
            associations.push(Association {
                identifier: attribute("Identifier"),
                prog_id: attribute("ProgId"),
                application_name: attribute("ApplicationName"),
                others: others.map(|attribute| (attribute.name().to_owned(), attribute.value().to_owned())).collect(),
                position: positions.at(node.range().start),
            });
        }
        Ok(Self { associations })
    }

    /// What is wrong with the list, in the order of the file.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        let mut findings = Findings::default();
        let mut seen: HashMap<String, Position> = HashMap::new();
        for association in &self.associations {
            let position = association.position;
            let empty = |value: &Option<String>| value.as_deref().is_none_or(str::is_empty);
            if empty(&association.prog_id) {
                findings.error(position, "the association has no ProgId: it is ignored");
            }
            if empty(&association.application_name) {
                findings.unknown(position, "the association has no ApplicationName, which DISM always writes");
            }
            for (name, _) in association.others.iter().filter(|(name, _)| !OTHER_ATTRIBUTES.contains(&name.as_str())) {
                findings.unknown(position, format!("the attribute {name} is in no file of Windows"));
            }
            let Some(identifier) = association.identifier.as_deref().filter(|identifier| !identifier.is_empty()) else {
                findings.error(position, "the association has no Identifier: it is ignored");
                continue;
            };
            if identifier == "." || identifier.contains(|character: char| character.is_whitespace() || "\\/:*?\"<>|".contains(character)) {
                let message = format!("`{identifier}` is neither a file extension like .pdf nor a protocol like http");
                findings.error(position, message);
            }
            if let Some(first) = seen.insert(identifier.to_lowercase(), position) {
                findings.error(position, format!("{identifier} is associated twice, first at {first}: keep one"));
            }
        }
        findings.into_problems()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(content: &str) -> Vec<String> {
        let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DefaultAssociations>\n{content}\n</DefaultAssociations>");
        DefaultAssociations::parse(text.as_bytes()).unwrap().check().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_list_of_windows_has_no_problems() {
        let content = r#"<Association Identifier=".3gp" ProgId="AppX6eg8h5sxqq90pv53845wmnbewywdqq5h" ApplicationName="Movies &amp; TV" ApplyOnUpgrade="true" OverwriteIfProgIdIs="WMP11.AssocFile.3GP;AppXk" />
<Association Identifier="http" ProgId="MSEdgeHTM" ApplicationName="Microsoft Edge"/>"#;
        assert_eq!(findings(content), [""; 0]);
    }

    #[test]
    fn every_kind_of_problem_is_found() {
        let content = r#"<Association Identifier=".pdf" ProgId="A" ApplicationName="A"/>
<Association Identifier=".PDF" ProgId="B" ApplicationName="B"/>
<Association ProgId="B" ApplicationName="B"/>
<Association Identifier="a b" ProgId="" Odd="x"/>"#;
        assert_eq!(
            findings(content),
            [
                "4:1: error: .PDF is associated twice, first at 3:1: keep one",
                "5:1: error: the association has no Identifier: it is ignored",
                "6:1: error: the association has no ProgId: it is ignored",
                "6:1: unknown: the association has no ApplicationName, which DISM always writes",
                "6:1: unknown: the attribute Odd is in no file of Windows",
                "6:1: error: `a b` is neither a file extension like .pdf nor a protocol like http",
            ]
        );
        assert!(matches!(DefaultAssociations::parse(b"<a/>"), Err(DefaultAssociationsError::Root { .. })));
    }
}

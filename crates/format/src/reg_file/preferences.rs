//! Reading the `Registry.xml` of Group Policy Preferences.
//!
//! `RegistrySettings` holds `Registry` elements, in any depth of `Collection`s; the `Properties` of each say what to do.
//! Source: Microsoft, "[MS-GPPREF]: Group Policy: Preferences Extension Data Structure", Registry.

use roxmltree::{Document, Node, ParsingOptions};

use super::{Change, Error, normalize_path, text};
use crate::regf::{Data, ValueKind};

/// Elements and attributes in one document: far above what any policy has, far below what memory holds.
const MAX_NODES: u32 = 1_000_000;

/// Reads a `Registry.xml`.
///
/// Action D deletes the value, or the key where no value is named (`default="1"` names the default value). C, R and U all set: an image has no earlier state
/// that would make them differ for a value, and a replaced key is not emptied first. Disabled items are left out.
///
/// # Errors
/// [`Error`] when this is no such document, or has an item whose effect depends on the machine (filters, bit fields).
pub fn parse_preferences(file: &[u8]) -> Result<Vec<Change>, Error> {
    let text = text::decode(file)?;
    // Document type definitions are refused by this parser unless asked for.
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&text, options)?;
    let root = document.root_element();
    if !root.has_tag_name("RegistrySettings") {
        return Err(Error::NotPreferences { root: root.tag_name().name().to_owned() });
    }
    let mut changes = Vec::new();
    let mut waiting = vec![Item { element: root, disabled: false, filtered: false }];
    while let Some(outer) = waiting.pop() {
        if outer.element.has_tag_name("Registry") && !outer.disabled {
            changes.push(outer.change()?);
        }
        let inner = outer.element.children().filter(|node| node.has_tag_name("Registry") || node.has_tag_name("Collection"));
        let inner: Vec<Item<'_, '_>> = inner.map(|element| outer.inner(element)).collect();
        waiting.extend(inner.into_iter().rev());
    }
    Ok(changes)
}

/// A `Registry` element, or one around it.
struct Item<'a, 'input> {
    element: Node<'a, 'input>,
    /// Disabled itself, or by an element around it.
    disabled: bool,
    /// Has filters, or an element around it has.
    filtered: bool,
}

impl<'a, 'input> Item<'a, 'input> {
    fn inner(&self, element: Node<'a, 'input>) -> Self {
        let mut filters = element.children().filter(|node| node.has_tag_name("Filters"));
        Self {
            element,
            disabled: self.disabled || element.attribute("disabled") == Some("1"),
            filtered: self.filtered || filters.any(|filters| filters.children().any(|filter| filter.is_element())),
        }
    }

    fn change(&self) -> Result<Change, Error> {
        let properties = self.element.children().find(|node| node.has_tag_name("Properties"));
        let properties = Properties { element: properties.unwrap_or(self.element) };
        if properties.element == self.element {
            return properties.fail("a Registry item without Properties");
        }
        if self.filtered {
            return properties.fail("the item has filters (item-level targeting), which only a running machine can answer");
        }
        properties.change()
    }
}

/// What an item does.
struct Properties<'a, 'input> {
    element: Node<'a, 'input>,
}

impl<'a> Properties<'a, '_> {
    fn fail<T>(&self, what: impl Into<String>) -> Result<T, Error> {
        let position = self.element.document().text_pos_at(self.element.range().start);
        Err(Error::Preference { line: position.row as usize, what: what.into() })
    }

    fn attribute(&self, name: &str) -> &'a str {
        self.element.attribute(name).unwrap_or_default()
    }

    fn change(&self) -> Result<Change, Error> {
        if self.element.children().any(|node| node.has_tag_name("SubProp")) {
            return self.fail("the item sets single bits, which depends on the value that a running machine has");
        }
        let path = self.path()?;
        let name = self.attribute("name").to_owned();
        let names_value = match self.element.attribute("default") {
            _ if !name.is_empty() => true,
            Some(default) => default == "1",
            None => !self.attribute("type").is_empty(),
        };
        match (self.attribute("action"), names_value) {
            ("D", true) => Ok(Change::DeleteValue { path, name }),
            ("D", false) => Ok(Change::DeleteKey { path }),
            ("C" | "R" | "U" | "", true) => self.data().map(|(kind, data)| Change::SetValue { path, name, kind, data }),
            ("C" | "R" | "U" | "", false) => Ok(Change::CreateKey { path }),
            (other, _) => self.fail(format!("the action {other:?} is unknown")),
        }
    }

    fn path(&self) -> Result<String, Error> {
        let path = format!("{}\\{}", self.attribute("hive"), self.attribute("key"));
        match normalize_path(&path) {
            Some(path) => Ok(path),
            None => self.fail(format!("{:?} is no root of the registry", self.attribute("hive"))),
        }
    }

    fn data(&self) -> Result<(ValueKind, Vec<u8>), Error> {
        let value = self.attribute("value");
        let number = || u64::from_str_radix(value.trim_start_matches("0x"), 16).ok();
        let data = match self.attribute("type") {
            "REG_SZ" => Data::Text(value.to_owned()),
            "REG_EXPAND_SZ" => Data::ExpandableText(value.to_owned()),
            "REG_MULTI_SZ" => Data::Texts(self.texts()),
            // Numbers are hexadecimal; the attribute displayDecimal only concerns Microsoft's editor.
            "REG_DWORD" => match number().and_then(|number| u32::try_from(number).ok()) {
                Some(number) => Data::Dword(number),
                None => return self.fail(format!("{value:?} is no hexadecimal number of 32 bits")),
            },
            "REG_QWORD" => match number() {
                Some(number) => Data::Qword(number),
                None => return self.fail(format!("{value:?} is no hexadecimal number of 64 bits")),
            },
            "REG_BINARY" => match bytes(value) {
                Some(bytes) => Data::Binary(bytes),
                None => return self.fail("the value is not pairs of hexadecimal digits"),
            },
            other => return self.fail(format!("the type {other:?} is unknown")),
        };
        Ok(data.encode())
    }

    /// The texts of a REG_MULTI_SZ: `Values/Value`, or the attribute as the only one.
    fn texts(&self) -> Vec<String> {
        let values = self.element.children().find(|node| node.has_tag_name("Values"));
        match values {
            Some(values) => {
                let texts = values.children().filter(|node| node.has_tag_name("Value"));
                texts.map(|node| node.text().unwrap_or_default().to_owned()).collect()
            }
            None => Some(self.attribute("value").to_owned()).filter(|text| !text.is_empty()).into_iter().collect(),
        }
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().filter(|digit| !digit.is_whitespace()).map(digit).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn digit(character: char) -> Option<u8> {
    character.to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

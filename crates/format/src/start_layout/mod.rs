//! The start menu and taskbar that new users get: `LayoutModification.xml` (Windows 10; the taskbar of Windows 11 too) and
//! `LayoutModification.json` (the start menu of Windows 11).
//!
//! Both are read from the profile of the default user when a user signs in for the first time. What Windows cannot use it leaves
//! out without a word; the checks here say so before.
//!
//! Source: learn.microsoft.com "Customize the Windows 10 Start layout", "Start layout XML for desktop editions of Windows 10",
//! "Customize the Windows 11 Start menu", "Customize the Windows 11 taskbar".

mod layout;
mod pins;
#[cfg(test)]
mod tests;

pub use layout::{App, Group, StartLayout, TaskbarPin, Tile};
pub use pins::{Pin, PinList, PinnedApp};

use crate::xml::{Position, XmlError};

/// Where the XML layout lies in an image.
pub const LAYOUT_XML_PATH: &str = r"Users\Default\AppData\Local\Microsoft\Windows\Shell\LayoutModification.xml";
/// Where the JSON layout lies in an image.
pub const LAYOUT_JSON_PATH: &str = r"Users\Default\AppData\Local\Microsoft\Windows\Shell\LayoutModification.json";

/// Most tiles, groups and pins that are read. Real layouts have some 50.
pub const MAX_ITEMS: usize = 5_000;

/// Why bytes are no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartLayoutError {
    /// Not XML.
    #[error("start layout: {source}")]
    Xml {
        /// What is wrong with the XML.
        #[from]
        source: XmlError,
    },
    /// XML with another root.
    #[error("start layout: the root element is `{found}`, not `LayoutModificationTemplate` in its namespace")]
    Root {
        /// The root's name.
        found: String,
    },
    /// Not JSON, or JSON of another shape.
    #[error("start layout: {position}: {problem}")]
    Json {
        /// Where.
        position: Position,
        /// What is wrong.
        problem: String,
    },
    /// More than any real layout.
    #[error("start layout: more than {MAX_ITEMS} tiles and pins")]
    TooLarge,
}

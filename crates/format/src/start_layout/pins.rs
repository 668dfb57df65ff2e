//! `LayoutModification.json`.

use super::{MAX_ITEMS, StartLayoutError};
use crate::problem::{Findings, Problem};
use crate::xml::{self, Position, Positions};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The lists of pins and how many pins Windows takes of each. `pinnedList` is for policies and provisioning packages.
const LISTS: [(&str, Option<usize>); 4] =
    [("primaryOEMPins", Some(4)), ("secondaryOEMPins", Some(4)), ("firstRunOEMPins", Some(1)), ("pinnedList", None)];
/// Other members.
const OTHER_MEMBERS: [&str; 1] = ["applyOnce"];
/// Keys of a pin besides the app.
const PIN_KEYS: [&str; 3] = ["tileId", "caption", "secondaryTile"];

/// A parsed `LayoutModification.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinList {
    /// The lists by their names, in the order of the file.
    pub lists: Vec<(String, Vec<Pin>)>,
    /// Members that are no lists of pins, with their places.
    pub others: Vec<(String, Position)>,
    /// The text was not UTF-8, which Windows asks for.
    pub utf16: bool,
}

/// A pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// What it starts; `None` when the pin says nothing that is understood.
    pub app: Option<PinnedApp>,
    /// For web links: the tile of `LayoutModification.xml` that it stands for.
    pub tile_id: Option<String>,
    /// All its keys.
    pub keys: Vec<String>,
    /// Where it starts.
    pub position: Position,
}

/// What a pin starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinnedApp {
    /// `packagedAppId`: an Application User Model ID.
    Packaged(String),
    /// `desktopAppId`: an Application User Model ID of a desktop program.
    Desktop(String),
    /// `desktopAppLink`: a shortcut.
    Link(String),
    /// `secondaryTile`: a web link with all its properties.
    SecondaryTile,
}

/// A JSON text and places in it.
struct Json<'a> {
    text: &'a str,
    positions: Positions<'a>,
}

impl<'a> Json<'a> {
    /// Where a part of the text starts.
    fn offset(&self, part: &str) -> usize {
        part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr())
    }

    fn place(&mut self, part: &str) -> Position {
        let offset = self.offset(part);
        self.positions.at(offset)
    }

    fn parse<T: serde::Deserialize<'a>>(&mut self, part: &'a str, what: &str) -> Result<T, StartLayoutError> {
        serde_json::from_str(part).map_err(|error| {
            let position = self.place(part);
            StartLayoutError::Json { position, problem: format!("{what}: {error}") }
        })
    }

    /// Members of an object with their values, in the order of the text.
    fn members(&mut self, part: &'a str, what: &str) -> Result<Vec<(String, &'a str)>, StartLayoutError> {
        let object: BTreeMap<String, &'a RawValue> = self.parse(part, what)?;
        let mut members: Vec<_> = object.into_iter().map(|(name, value)| (name, value.get())).collect();
        members.sort_by_key(|(_, value)| self.offset(value));
        Ok(members)
    }
}

impl PinList {
    /// Reads a list.
    ///
    /// # Errors
    /// When it is no JSON, or a list of pins is no array of objects.
    pub fn parse(bytes: &[u8]) -> Result<Self, StartLayoutError> {
        let text = xml::decode(bytes)?;
        let mut json = Json { text: &text, positions: Positions::new(&text) };
        let mut list = Self { lists: Vec::new(), others: Vec::new(), utf16: matches!(text, std::borrow::Cow::Owned(_)) };
        let mut count = 0_usize;
        for (name, value) in json.members(&text, "expected an object")? {
            if !LISTS.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                let position = json.place(value);
                list.others.push((name, position));
                continue;
            }
            let items: Vec<&RawValue> = json.parse(value, &format!("expected {name} to be an array of pins"))?;
            count = count.saturating_add(items.len());
            if count > MAX_ITEMS {
                return Err(StartLayoutError::TooLarge);
            }
            let pins = items.into_iter().map(|item| Pin::read(&mut json, item.get())).collect::<Result<_, _>>()?;
            list.lists.push((name, pins));
        }
        Ok(list)
    }

    /// What is wrong with the list, in the order of the file.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        let mut findings = Findings::default();
        if self.utf16 {
            findings.error(Position { line: 1, column: 1 }, "the file is UTF-16: Windows reads UTF-8");
        }
        for (name, position) in &self.others {
            if !OTHER_MEMBERS.contains(&name.as_str()) {
                findings.unknown(*position, format!("`{name}` is no member that Microsoft describes"));
            }
        }
        for (name, pins) in &self.lists {
            let most = LISTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).and_then(|(_, most)| *most);
            for (index, pin) in pins.iter().enumerate() {
                check_pin(&mut findings, pin);
                if let Some(most) = most.filter(|most| index >= *most) {
                    findings.error(pin.position, format!("Windows takes {most} of {name}: this one is ignored"));
                }
            }
        }
        findings.into_problems()
    }
}

impl Pin {
    fn read<'a>(json: &mut Json<'a>, part: &'a str) -> Result<Self, StartLayoutError> {
        let position = json.place(part);
        let members = json.members(part, "expected a pin to be an object")?;
        let mut pin = Self { app: None, tile_id: None, keys: Vec::new(), position };
        for (name, value) in members {
            // Microsoft's own pages write packagedAppId and packagedAppID.
            match name.to_ascii_lowercase().as_str() {
                "packagedappid" => pin.app = Some(PinnedApp::Packaged(json.parse(value, &name)?)),
                "desktopappid" => pin.app = Some(PinnedApp::Desktop(json.parse(value, &name)?)),
                "desktopapplink" => pin.app = Some(PinnedApp::Link(json.parse(value, &name)?)),
                "secondarytile" => pin.app = Some(PinnedApp::SecondaryTile),
                "tileid" => pin.tile_id = Some(json.parse(value, &name)?),
                _ => {}
            }
            pin.keys.push(name);
        }
        Ok(pin)
    }
}

fn check_pin(findings: &mut Findings, pin: &Pin) {
    match &pin.app {
        None => {
            findings.error(pin.position, "the pin names no app: it needs packagedAppId, desktopAppId or desktopAppLink");
        }
        Some(PinnedApp::Link(link)) if !link.to_ascii_lowercase().ends_with(".lnk") => {
            findings.error(pin.position, format!("`{link}` is no shortcut: its name must end in .lnk"));
        }
        Some(PinnedApp::Packaged(id)) if !id.contains('!') => {
            findings.unknown(pin.position, format!("`{id}` has no `!`: an app of a package is written FamilyName!App"));
        }
        Some(_) => {}
    }
    let is_app = |key: &str| ["packagedAppId", "desktopAppId", "desktopAppLink"].iter().any(|known| known.eq_ignore_ascii_case(key));
    if pin.keys.iter().filter(|key| is_app(key)).count() > 1 {
        findings.error(pin.position, "the pin names more than one app: keep one");
    }
    for key in pin.keys.iter().filter(|key| !is_app(key) && !PIN_KEYS.iter().any(|known| known.eq_ignore_ascii_case(key))) {
        findings.unknown(pin.position, format!("`{key}` is no key of a pin that Microsoft describes"));
    }
}

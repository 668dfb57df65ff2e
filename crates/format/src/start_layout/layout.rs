//! `LayoutModification.xml`.

use super::{MAX_ITEMS, StartLayoutError};
use crate::problem::{Findings, Problem};
use crate::xml::{self, Position, Positions};

const NAMESPACE: &str = "http://schemas.microsoft.com/Start/2014/LayoutModification";
const START: &str = "http://schemas.microsoft.com/Start/2014/StartLayout";
const TASKBAR: &str = "http://schemas.microsoft.com/Start/2014/TaskbarLayout";

/// Sizes of tiles in cells.
const TILE_SIZES: [(&str, u32, u32); 4] = [("1x1", 1, 1), ("2x2", 2, 2), ("4x2", 4, 2), ("4x4", 4, 4)];
/// Tiles whose app lies in attributes of their own.
const TILES: [&str; 4] = ["Tile", "DesktopApplicationTile", "SecondaryTile", "Folder"];
/// Widths that a group may have, in cells.
const GROUP_WIDTHS: [u32; 2] = [6, 8];
/// Lowest row that is taken for real.
const MAX_ROW: u32 = 1000;

/// A parsed `LayoutModification.xml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartLayout {
    /// Width of a group in cells (`GroupCellWidth` of the layout, or `StartTileGroupCellWidth` of the options).
    pub group_width: Option<u32>,
    /// The groups of tiles, in the order of the file.
    pub groups: Vec<Group>,
    /// The taskbar's pins replace those of Windows (`PinListPlacement="Replace"`) instead of following them.
    pub replaces_taskbar: bool,
    /// The taskbar's pins.
    pub taskbar: Vec<TaskbarPin>,
}

/// A group of tiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name, shown above it.
    pub name: String,
    /// Its tiles.
    pub tiles: Vec<Tile>,
    /// Where the element starts.
    pub position: Position,
}

/// A tile; attributes as the file has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// The element: `Tile`, `DesktopApplicationTile`, `SecondaryTile`, `Folder`.
    pub element: String,
    /// Such as `2x2`.
    pub size: String,
    /// Column in cells, from 0.
    pub column: String,
    /// Row in cells, from 0.
    pub row: String,
    /// What it starts.
    pub app: Option<App>,
    /// Where the element starts.
    pub position: Position,
}

/// What a tile or pin starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum App {
    /// An Application User Model ID of a packaged app.
    UserModelId(String),
    /// An Application User Model ID of a desktop program.
    DesktopId(String),
    /// A shortcut; `%ALLUSERSPROFILE%` and `%APPDATA%` are replaced.
    Link(String),
}

/// A pin of the taskbar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskbarPin {
    /// The element: `UWA` or `DesktopApp`.
    pub element: String,
    /// What it starts.
    pub app: Option<App>,
    /// Where the element starts.
    pub position: Position,
}

type Node<'a> = roxmltree::Node<'a, 'a>;

fn app(node: Node<'_>) -> Option<App> {
    let attribute = |name| node.attribute(name).filter(|text: &&str| !text.is_empty()).map(str::to_owned);
    attribute("AppUserModelID")
        .map(App::UserModelId)
        .or_else(|| attribute("DesktopApplicationID").map(App::DesktopId))
        .or_else(|| attribute("DesktopApplicationLinkPath").map(App::Link))
}

impl StartLayout {
    /// Reads a layout in UTF-8 or UTF-16.
    ///
    /// # Errors
    /// When it is no XML, or another document.
    pub fn parse(bytes: &[u8]) -> Result<Self, StartLayoutError> {
        let text = xml::decode(bytes)?;
        let document = xml::parse(&text)?;
        let root = document.root_element();
        if !root.has_tag_name((NAMESPACE, "LayoutModificationTemplate")) {
            return Err(StartLayoutError::Root { found: root.tag_name().name().to_owned() });
        }
        let mut positions = Positions::new(&text);
        let mut layout = Self { group_width: None, groups: Vec::new(), replaces_taskbar: false, taskbar: Vec::new() };
        let mut items = 0_usize;
        for node in root.descendants().filter(Node::is_element) {
            let name = node.tag_name().name();
            let attribute = |name| node.attribute(name).unwrap_or_default().to_owned();
            match (node.tag_name().namespace().unwrap_or_default(), name) {
                (NAMESPACE, "LayoutOptions") => {
                    layout.group_width = node.attribute("StartTileGroupCellWidth").and_then(|width| width.parse().ok());
                }
                (NAMESPACE, "CustomTaskbarLayoutCollection") => {
                    layout.replaces_taskbar = node.attribute("PinListPlacement") == Some("Replace");
                }
                (_, "StartLayout") => {
                    let width = node.attribute("GroupCellWidth").and_then(|width| width.parse().ok());
                    layout.group_width = width.or(layout.group_width);
                }
                (START, "Group") => {
                    items = items.saturating_add(1);
                    layout.groups.push(Group { name: attribute("Name"), tiles: Vec::new(), position: positions.at(node.range().start) });
                }
                (START, element) if node.parent_element().is_some_and(|parent| parent.has_tag_name((START, "Group"))) => {
                    items = items.saturating_add(1);
                    let tile = Tile {
                        element: element.to_owned(),
                        size: attribute("Size"),
                        column: attribute("Column"),
                        row: attribute("Row"),
                        app: app(node),
                        position: positions.at(node.range().start),
                    };
                    // Elements come in the order of the document, so the tile's group is the last one.
                    if let Some(group) = layout.groups.last_mut() {
                        group.tiles.push(tile);
                    }
                }
                (TASKBAR, element) if element != "TaskbarPinList" => {
                    items = items.saturating_add(1);
                    let position = positions.at(node.range().start);
                    layout.taskbar.push(TaskbarPin { element: element.to_owned(), app: app(node), position });
                }
                _ => {}
            }
            if items > MAX_ITEMS {
                return Err(StartLayoutError::TooLarge);
            }
        }
        Ok(layout)
    }

    /// What is wrong with the layout, in the order of the file.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        let mut findings = Findings::default();
        let start = Position { line: 1, column: 1 };
        let width = self.group_width.unwrap_or(6);
        if !GROUP_WIDTHS.contains(&width) {
            findings.error(start, format!("groups are {width} cells wide: Windows has 6 or 8"));
        }
        for group in &self.groups {
            let mut placed: Vec<Rectangle> = Vec::new();
            for tile in &group.tiles {
                check_tile(&mut findings, tile, width, &mut placed);
            }
        }
        for pin in &self.taskbar {
            match (pin.element.as_str(), &pin.app) {
                ("UWA", Some(App::UserModelId(_))) | ("DesktopApp", Some(App::DesktopId(_))) => {}
                ("DesktopApp", Some(App::Link(link))) => check_link(&mut findings, pin.position, link),
                ("UWA", _) => findings.error(pin.position, "the pin has no AppUserModelID: it is left out"),
                ("DesktopApp", _) => {
                    findings.error(pin.position, "the pin has neither DesktopApplicationID nor DesktopApplicationLinkPath: it is left out");
                }
                (other, _) => findings.error(pin.position, format!("`{other}` is no pin: write UWA or DesktopApp")),
            }
        }
        findings.into_problems()
    }
}

/// A shortcut must be one. `#leaveempty` is a well-known way to have no pins at all.
fn check_link(findings: &mut Findings, position: Position, link: &str) {
    let shortcut = link.len() >= 4 && link.get(link.len().saturating_sub(4)..).is_some_and(|end| end.eq_ignore_ascii_case(".lnk"));
    if !shortcut && !link.starts_with('#') {
        findings.error(position, format!("`{link}` is no shortcut: its name must end in .lnk"));
    }
}

/// Columns and rows that a tile takes, the ends not included.
struct Rectangle {
    left: u32,
    right: u32,
    top: u32,
    bottom: u32,
}

impl Rectangle {
    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }
}

fn check_tile(findings: &mut Findings, tile: &Tile, width: u32, placed: &mut Vec<Rectangle>) {
    let position = tile.position;
    if !TILES.contains(&tile.element.as_str()) {
        return findings.unknown(position, format!("`{}` is no kind of tile that Microsoft describes", tile.element));
    }
    match (tile.element.as_str(), &tile.app) {
        ("Folder", _) => {}
        ("Tile" | "SecondaryTile", Some(App::UserModelId(_))) | ("DesktopApplicationTile", Some(App::DesktopId(_))) => {}
        ("DesktopApplicationTile", Some(App::Link(link))) => check_link(findings, position, link),
        ("DesktopApplicationTile", _) => {
            findings.error(position, "the tile has neither DesktopApplicationID nor DesktopApplicationLinkPath: it is left out");
        }
        _ => findings.error(position, "the tile has no AppUserModelID: it is left out"),
    }
    let Some((_, columns, rows)) = TILE_SIZES.iter().find(|(name, ..)| *name == tile.size) else {
        return findings.error(position, format!("`{}` is no size of a tile: 1x1, 2x2, 4x2 or 4x4", tile.size));
    };
    let (Ok(left), Ok(top)) = (tile.column.parse::<u32>(), tile.row.parse::<u32>()) else {
        return findings.error(position, "the tile needs a Column and a Row, counted from 0");
    };
    let rectangle = Rectangle { left, right: left.saturating_add(*columns), top, bottom: top.saturating_add(*rows) };
    if rectangle.right > width || rectangle.bottom > MAX_ROW {
        return findings
            .error(position, format!("the tile {} at column {left}, row {top} reaches past its group, {width} cells wide", tile.size));
    }
    if placed.iter().any(|other| other.overlaps(&rectangle)) {
        findings.error(position, format!("the tile {} at column {left}, row {top} lies on another", tile.size));
    }
    placed.push(rectangle);
}

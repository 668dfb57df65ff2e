//! The consistency check: every rule of the format that Windows relies on, over the whole hive.

use std::cmp::Ordering;
use std::collections::HashMap;

use thiserror::Error as ThisError;

use super::Error;
use super::big_data::BigData;
use super::cell::{CELL_UNIT, Cells, Extent};
use super::key_node::KeyNode;
use super::security::SecurityCell;
use super::subkey_list::SubkeyList;
use super::value::{Storage, Value};

/// Deepest key tree that Windows makes (Microsoft Learn, "Registry element size limits").
pub const MAX_DEPTH: usize = 512;
/// Problems reported before the check stops listing them: a hive worse than this is beyond repair by hand.
const MAX_PROBLEMS: usize = 1000;

/// Something wrong in a hive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The cell (or bin) concerned, as an offset from the first bin.
    pub cell: u32,
    /// What is wrong there.
    pub kind: ProblemKind,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, output: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(output, "cell {:#x}: {}", self.cell, self.kind)
    }
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum ProblemKind {
    /// A bin's header is not where it must be, or its size is impossible.
    #[error("the bin's header is damaged")]
    Bin,
    /// A cell's size is impossible.
    #[error("the cell's size is impossible in its bin")]
    CellSize,
    /// Something points at a place where no allocated cell starts.
    #[error("it is used but is no allocated cell")]
    NotAllocated,
    /// Two structures own the same cell, or a key is its own ancestor.
    #[error("it is used more than once")]
    Shared,
    /// A structure cannot be read.
    #[error("{what}")]
    Damaged {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A key says another number of subkeys than its list has.
    #[error("the key counts {stored} subkeys, its list has {listed}")]
    SubkeyCount {
        /// The key's number.
        stored: u32,
        /// The list's.
        listed: u32,
    },
    /// A key names another parent than the key that lists it.
    #[error("a key's parent is {stored:#x}, but {parent:#x} lists it")]
    Parent {
        /// What the key says.
        stored: u32,
        /// The key that lists it.
        parent: u32,
    },
    /// Subkeys are not in ascending order: Windows cannot find some of them.
    #[error("its subkeys are out of order")]
    Order,
    /// The hint or hash beside a subkey is not that of its name.
    #[error("the name hint or hash of its subkey {key:#x} is wrong")]
    NameTag {
        /// The subkey.
        key: u32,
    },
    /// A security cell says another number of keys than use it.
    #[error("the security cell counts {stored} keys, {counted} use it")]
    References {
        /// The cell's number.
        stored: u32,
        /// The keys that use it.
        counted: u32,
    },
    /// The ring of security cells is broken at this cell.
    #[error("the ring of security cells is broken here")]
    SecurityRing,
    /// One of the key's size hints is smaller than what it must cover: Windows would truncate names or data it returns.
    #[error("the key's hint for the {hint} is {stored}, but one has {actual}")]
    SizeHint {
        /// Which hint.
        hint: &'static str,
        /// The key's number.
        stored: u32,
        /// The size it must cover.
        actual: u32,
    },
    /// Data that Windows stores in segments lies in one cell.
    #[error("large data lies in one cell instead of segments")]
    OversizedCell,
    /// The key lies deeper than Windows allows.
    #[error("the key lies deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl ProblemKind {
    /// True for what could make an edit destroy something else. A hive with such a problem can be read only.
    #[must_use]
    pub fn blocks_editing(&self) -> bool {
        match self {
            Self::Bin
            | Self::CellSize
            | Self::NotAllocated
            | Self::Shared
            | Self::Damaged { .. }
            | Self::SubkeyCount { .. }
            | Self::SecurityRing => true,
            Self::Parent { .. }
            | Self::Order
            | Self::NameTag { .. }
            | Self::References { .. }
            | Self::SizeHint { .. }
            | Self::OversizedCell
            | Self::TooDeep => false,
        }
    }
}

/// What the check of a whole hive found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Everything wrong, at most 1000 entries.
    pub problems: Vec<Problem>,
    /// Number of keys.
    pub keys: u64,
    /// Number of values.
    pub values: u64,
    /// Cells that are allocated but that nothing uses. Windows leaves some behind; they do no harm.
    pub lost_cells: u64,
    /// Bytes of free cells.
    pub free_bytes: u64,
}

/// What the check learns beside its verdict, for the editor.
#[derive(Default)]
pub(super) struct Inspection {
    pub verification: Verification,
    /// Each security cell with the number of keys that use it.
    pub securities: HashMap<u32, u32>,
    /// One byte for each cell unit.
    states: Vec<CellState>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CellState {
    NoCell,
    Unused,
    Used,
}

/// Checks everything that hangs under the key `root`.
pub(super) fn inspect(cells: &Cells, minor: u32, root: u32) -> Inspection {
    let states = vec![CellState::NoCell; (cells.size() as usize).div_ceil(CELL_UNIT as usize)];
    let mut inspection = Inspection { states, ..Inspection::default() };
    inspection.scan_bins(cells);
    inspection.walk_keys(cells, minor, root);
    inspection.check_securities(cells);
    inspection.verification.lost_cells = inspection.states.iter().filter(|state| **state == CellState::Unused).count() as u64;
    inspection
}

impl Inspection {
    /// Refuses a hive that an edit could harm further.
    pub fn check_editable(&self) -> Result<(), Error> {
        let mut blocking = self.verification.problems.iter().filter(|problem| problem.kind.blocks_editing());
        match blocking.next() {
            Some(first) => Err(Error::Unsafe { first: first.clone(), count: blocking.count().saturating_add(1) }),
            None => Ok(()),
        }
    }

    fn report(&mut self, cell: u32, kind: ProblemKind) {
        if self.verification.problems.len() < MAX_PROBLEMS {
            self.verification.problems.push(Problem { cell, kind });
        }
    }

    fn report_error(&mut self, cell: u32, error: Error) {
        match error {
            Error::Damaged { cell, what } => self.report(cell, ProblemKind::Damaged { what }),
            _ => self.report(cell, ProblemKind::Damaged { what: "it cannot be read" }),
        }
    }

    fn scan_bins(&mut self, cells: &Cells) {
        for bin in cells.bin_headers() {
            match bin {
                Ok(bin) => cells.cells_of(bin).for_each(|cell| self.note_cell(cell)),
                Err(problem) => self.report(problem.cell, problem.kind),
            }
        }
    }

    fn note_cell(&mut self, cell: Result<Extent, Problem>) {
        match cell {
            Ok(Extent { offset, allocated: true, .. }) => {
                if let Some(state) = self.state(offset) {
                    *state = CellState::Unused;
                }
            }
            Ok(free) => self.verification.free_bytes = self.verification.free_bytes.saturating_add(u64::from(free.size)),
            Err(problem) => self.report(problem.cell, problem.kind),
        }
    }

    fn state(&mut self, cell: u32) -> Option<&mut CellState> {
        if !cell.is_multiple_of(CELL_UNIT) {
            return None;
        }
        self.states.get_mut(cell.checked_div(CELL_UNIT)? as usize)
    }

    /// Takes a cell for one structure; false (and reported) when that cannot be.
    fn claim(&mut self, cell: u32) -> bool {
        let kind = match self.state(cell) {
            Some(state @ CellState::Unused) => {
                *state = CellState::Used;
                return true;
            }
            Some(CellState::Used) => ProblemKind::Shared,
            Some(CellState::NoCell) | None => ProblemKind::NotAllocated,
        };
        self.report(cell, kind);
        false
    }

    fn walk_keys(&mut self, cells: &Cells, minor: u32, root: u32) {
        if !self.claim(root) {
            return;
        }
        let mut waiting = vec![(root, 0_usize)];
        while let Some((key, depth)) = waiting.pop() {
            self.verification.keys = self.verification.keys.saturating_add(1);
            if depth == MAX_DEPTH {
                self.report(key, ProblemKind::TooDeep);
            }
            let node = match KeyNode::read(cells, key) {
                Ok(node) => node,
                Err(error) => {
                    self.report_error(key, error);
                    continue;
                }
            };
            let mut largest = Largest::default();
            if let Err(error) = self.check_values(cells, minor, &node, &mut largest) {
                self.report_error(key, error);
            }
            let children = self.check_list(cells, key, &node).unwrap_or_else(|error| {
                self.report_error(key, error);
                Vec::new()
            });
            for child in children {
                if self.check_child(cells, key, child, &mut largest) {
                    waiting.push((child, depth.saturating_add(1)));
                }
            }
            self.check_hints(key, &node, &largest);
        }
    }

    fn check_values(&mut self, cells: &Cells, minor: u32, node: &KeyNode<'_>, largest: &mut Largest) -> Result<(), Error> {
        *self.securities.entry(node.security).or_default() = self.securities.get(&node.security).map_or(1, |count| count.saturating_add(1));
        if node.class_bytes(cells)?.is_some() {
            self.claim(node.class);
        }
        let values = node.value_cells(cells)?;
        // A list that other keys have too is read once only: reading it for each could take forever.
        if values.is_empty() || !self.claim(node.value_list) {
            return Ok(());
        }
        for cell in values {
            self.verification.values = self.verification.values.saturating_add(1);
            if self.claim(cell)
                && let Err(error) = self.check_value(cells, minor, cell, largest)
            {
                self.report_error(cell, error);
            }
        }
        Ok(())
    }

    fn check_value(&mut self, cells: &Cells, minor: u32, cell: u32, largest: &mut Largest) -> Result<(), Error> {
        let value = Value::read(cells, minor, cell)?;
        largest.value_name = largest.value_name.max(value.stored_name.utf16_length());
        largest.value_data = largest.value_data.max(u32::try_from(value.size()).unwrap_or(u32::MAX));
        match value.storage()? {
            Storage::Resident => value.data().map(drop),
            Storage::Cell(data) => {
                self.claim(data);
                if value.is_oversized_cell() {
                    self.report(cell, ProblemKind::OversizedCell);
                }
                value.data().map(drop)
            }
            Storage::BigData(record) => {
                let big = BigData::read(cells, record)?;
                let mut whole = self.claim(record) && self.claim(big.list);
                if whole {
                    for segment in big.segments() {
                        whole &= self.claim(segment);
                    }
                }
                if whole { value.data().map(drop) } else { Ok(()) }
            }
        }
    }

    /// Checks a key's subkey list; returns the children.
    fn check_list(&mut self, cells: &Cells, key: u32, node: &KeyNode<'_>) -> Result<Vec<u32>, Error> {
        if node.subkey_count == 0 {
            return Ok(Vec::new());
        }
        let list = SubkeyList::read(cells, node.subkey_list)?;
        if list.is_root() && !self.claim(node.subkey_list) {
            return Ok(Vec::new());
        }
        let mut children = Vec::new();
        let mut before = None;
        let mut sorted = true;
        for leaf in list.leaves(cells) {
            let leaf = leaf?;
            if !self.claim(leaf.cell) {
                continue;
            }
            for (child, tag) in leaf.entries() {
                children.push(child);
                let Ok(child_node) = KeyNode::read(cells, child) else { continue };
                if tag != leaf.kind.tag(child_node.name) {
                    self.report(key, ProblemKind::NameTag { key: child });
                }
                let ascends =
                    before.replace(child_node.name).is_none_or(|before| before.upcased().cmp(child_node.name.upcased()) == Ordering::Less);
                sorted &= ascends;
            }
        }
        if !sorted {
            self.report(key, ProblemKind::Order);
        }
        let listed = u32::try_from(children.len()).unwrap_or(u32::MAX);
        if listed != node.subkey_count {
            self.report(key, ProblemKind::SubkeyCount { stored: node.subkey_count, listed });
        }
        Ok(children)
    }

    /// True when the child can be walked.
    fn check_child(&mut self, cells: &Cells, key: u32, child: u32, largest: &mut Largest) -> bool {
        if !self.claim(child) {
            return false;
        }
        if let Ok(node) = KeyNode::read(cells, child) {
            largest.subkey_name = largest.subkey_name.max(node.name.utf16_length());
            largest.class = largest.class.max(u32::from(node.class_length));
            if node.parent != key {
                self.report(child, ProblemKind::Parent { stored: node.parent, parent: key });
            }
        }
        true
    }

    fn check_hints(&mut self, key: u32, node: &KeyNode<'_>, largest: &Largest) {
        let hints = [
            ("longest subkey name", node.largest_subkey_name & 0xFFFF, largest.subkey_name),
            ("longest class name", node.largest_class, largest.class),
            ("longest value name", node.largest_value_name, largest.value_name),
            ("largest value data", node.largest_value_data, largest.value_data),
        ];
        for (hint, stored, actual) in hints {
            if stored < actual {
                self.report(key, ProblemKind::SizeHint { hint, stored, actual });
            }
        }
    }

    /// Checks the cells that keys use, and that their ring is whole. Cells of the ring that no key uses are claimed too.
    fn check_securities(&mut self, cells: &Cells) {
        let mut used: Vec<(u32, u32)> = self.securities.iter().map(|(cell, counted)| (*cell, *counted)).collect();
        used.sort_unstable();
        for (cell, counted) in &used {
            match SecurityCell::read(cells, *cell) {
                Ok(security) if security.references != *counted => {
                    self.report(*cell, ProblemKind::References { stored: security.references, counted: *counted });
                }
                Ok(_) => {}
                Err(error) => self.report_error(*cell, error),
            }
        }
        let Some((start, _)) = used.first().copied() else { return };
        let mut cell = start;
        loop {
            if !self.claim(cell) {
                return;
            }
            let Ok(security) = SecurityCell::read(cells, cell) else { return self.report(cell, ProblemKind::SecurityRing) };
            let next = security.forward;
            if SecurityCell::read(cells, next).is_ok_and(|next| next.backward != cell) {
                return self.report(cell, ProblemKind::SecurityRing);
            }
            if next == start {
                break;
            }
            cell = next;
        }
        for (cell, _) in used {
            if self.state(cell).is_some_and(|state| *state != CellState::Used) {
                self.report(cell, ProblemKind::SecurityRing);
            }
        }
    }
}

/// The sizes that a key's hints must cover.
#[derive(Default)]
struct Largest {
    subkey_name: u32,
    class: u32,
    value_name: u32,
    value_data: u32,
}

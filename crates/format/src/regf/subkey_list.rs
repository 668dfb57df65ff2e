//! Subkey lists: the sorted index of a key's children.
//!
//! A leaf is `lf` (with the first four characters of each name), `lh` (with a hash of each name) or `li` (offsets
//! only). A list that outgrows a leaf is an `ri` root over leaves. All names under one list ascend in upper case.
//!
//! What Windows writes, seen in real hives: `lh` from version 1.5 on; before that `lf`, and `li` once a list outgrows
//! one page; a full leaf is split in halves. We do the same.

use std::cmp::Ordering;

use super::Error;
use super::cell::{Cells, NIL};
use super::field::{put, u16_at, u32_at};
use super::key_node::KeyNode;
use super::name::{Name, hash, hint};

/// The most entries of an `lh` or `li` leaf. Windows never has more (the largest seen is 968), and its halves are 506.
const MAX_LEAF: usize = 1012;
/// The most entries of an `lf` leaf: one page, (4096 - 32 - 4 - 4) / 8.
const MAX_FAST_LEAF: usize = 507;
/// The first minor version whose hives have `lh` leaves.
const FIRST_HASH_MINOR: u32 = 5;
/// Bytes before the first entry of any list: signature and count.
const HEADER_SIZE: usize = 4;

/// The kinds of leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeafKind {
    Fast,
    Hash,
    Plain,
}

impl LeafKind {
    fn entry_size(self) -> usize {
        if self == Self::Plain { 4 } else { 8 }
    }

    fn max_entries(self) -> usize {
        if self == Self::Fast { MAX_FAST_LEAF } else { MAX_LEAF }
    }

    fn signature(self) -> [u8; 2] {
        match self {
            Self::Fast => *b"lf",
            Self::Hash => *b"lh",
            Self::Plain => *b"li",
        }
    }

    /// What the list says of a name beside its key.
    pub fn tag(self, name: Name<'_>) -> Option<u32> {
        match self {
            Self::Fast => Some(hint(name.units())),
            Self::Hash => Some(hash(name.upcased())),
            Self::Plain => None,
        }
    }

    fn entry(self, key: u32, name: Name<'_>) -> Vec<u8> {
        let mut entry = key.to_le_bytes().to_vec();
        if let Some(tag) = self.tag(name) {
            entry.extend_from_slice(&tag.to_le_bytes());
        }
        entry
    }
}

/// A leaf as read.
#[derive(Clone, Copy)]
pub(super) struct Leaf<'a> {
    pub cell: u32,
    pub kind: LeafKind,
    entries: &'a [u8],
}

impl<'a> Leaf<'a> {
    /// Reads the leaf in the cell at `cell`.
    pub fn read(cells: &'a Cells, cell: u32) -> Result<Self, Error> {
        let contents = cells.cell(cell)?;
        let kind = match contents.first_chunk() {
            Some(b"lf") => LeafKind::Fast,
            Some(b"lh") => LeafKind::Hash,
            Some(b"li") => LeafKind::Plain,
            _ => return Err(Error::Damaged { cell, what: "the cell holds no subkey list" }),
        };
        let count = u16_at(contents, 2).map(usize::from);
        let length = count.and_then(|count| count.checked_mul(kind.entry_size()));
        let entries = length.and_then(|length| contents.get(HEADER_SIZE..)?.get(..length));
        Ok(Self { cell, kind, entries: entries.ok_or(Error::Damaged { cell, what: "the subkey list is longer than its cell" })? })
    }

    pub fn len(&self) -> usize {
        self.entries.len().checked_div(self.kind.entry_size()).unwrap_or_default()
    }

    fn key(&self, index: usize) -> Result<u32, Error> {
        let at = index.checked_mul(self.kind.entry_size());
        let key = at.and_then(|at| u32_at(self.entries, at));
        key.ok_or(Error::Damaged { cell: self.cell, what: "an index past the end of a subkey list" })
    }

    /// Each key's cell with the hint or hash beside it.
    pub fn entries(&self) -> impl Iterator<Item = (u32, Option<u32>)> + 'a {
        self.entries.chunks_exact(self.kind.entry_size()).filter_map(|entry| Some((u32_at(entry, 0)?, u32_at(entry, 4))))
    }
}

/// A whole list: a leaf, or a root over leaves.
#[derive(Clone, Copy)]
pub(super) struct SubkeyList<'a> {
    list: u32,
    /// The leaves' offsets, where the list is a root.
    root: Option<&'a [u8]>,
}

impl<'a> SubkeyList<'a> {
    /// Reads the list in the cell at `list`.
    pub fn read(cells: &'a Cells, list: u32) -> Result<Self, Error> {
        let contents = cells.cell(list)?;
        if !contents.starts_with(b"ri") {
            return Ok(Self { list, root: None });
        }
        let length = u16_at(contents, 2).map(|count| usize::from(count).saturating_mul(4));
        let leaves = length.and_then(|length| contents.get(HEADER_SIZE..)?.get(..length));
        Ok(Self { list, root: Some(leaves.ok_or(Error::Damaged { cell: list, what: "the index root is longer than its cell" })?) })
    }

    pub fn is_root(&self) -> bool {
        self.root.is_some()
    }

    fn leaf_count(&self) -> usize {
        self.root.map_or(1, |leaves| leaves.len().checked_div(4).unwrap_or_default())
    }

    fn leaf_cell(&self, index: usize) -> Result<u32, Error> {
        let Some(leaves) = self.root else { return Ok(self.list) };
        let cell = index.checked_mul(4).and_then(|at| u32_at(leaves, at));
        cell.ok_or(Error::Damaged { cell: self.list, what: "the index root has no such leaf" })
    }

    /// The leaves in order.
    pub fn leaves(self, cells: &'a Cells) -> impl Iterator<Item = Result<Leaf<'a>, Error>> + 'a {
        (0..self.leaf_count()).map(move |index| Leaf::read(cells, self.leaf_cell(index)?))
    }
}

/// Where a name stands in a list, or would stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    leaf: usize,
    entry: usize,
    /// The key of that name.
    pub found: Option<u32>,
}

/// Finds a name (in upper case) by bisection.
pub(super) fn search(cells: &Cells, list: u32, name: &[u16]) -> Result<Place, Error> {
    if list == NIL {
        return Ok(Place { leaf: 0, entry: 0, found: None });
    }
    let whole = SubkeyList::read(cells, list)?;
    let compare = |key: u32| -> Result<Ordering, Error> { Ok(KeyNode::read(cells, key)?.name.upcased().cmp(name.iter().copied())) };
    // The last leaf that starts at or before the name.
    let after = bisect(whole.leaf_count(), |index| Ok(compare(Leaf::read(cells, whole.leaf_cell(index)?)?.key(0)?)? == Ordering::Greater))?;
    let leaf_index = after.saturating_sub(1);
    let leaf = Leaf::read(cells, whole.leaf_cell(leaf_index)?)?;
    let entry = bisect(leaf.len(), |index| Ok(compare(leaf.key(index)?)? != Ordering::Less))?;
    let candidate = if entry < leaf.len() { Some(leaf.key(entry)?) } else { None };
    let found = match candidate {
        Some(key) if compare(key)? == Ordering::Equal => Some(key),
        _ => None,
    };
    Ok(Place { leaf: leaf_index, entry, found })
}

/// The first index below `count` for which `is_past` holds, given that it holds for all later ones too; else `count`.
fn bisect(count: usize, is_past: impl Fn(usize) -> Result<bool, Error>) -> Result<usize, Error> {
    let (mut low, mut high) = (0_usize, count);
    while low < high {
        let middle = low.midpoint(high);
        if is_past(middle)? {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    Ok(low)
}

/// Finds a name (in upper case) entry by entry: for lists that are not in order.
pub(super) fn scan(cells: &Cells, list: u32, name: &[u16]) -> Result<Option<u32>, Error> {
    if list == NIL {
        return Ok(None);
    }
    let wanted = hash(name.iter().copied());
    for leaf in SubkeyList::read(cells, list)?.leaves(cells) {
        let leaf = leaf?;
        for (key, tag) in leaf.entries() {
            let possible = leaf.kind != LeafKind::Hash || tag == Some(wanted);
            if possible && KeyNode::read(cells, key)?.name.upcased().eq(name.iter().copied()) {
                return Ok(Some(key));
            }
        }
    }
    Ok(None)
}

/// Inserts a key where [`search`] found its place; returns the list's cell, which may have changed.
pub(super) fn insert(cells: &mut Cells, minor: u32, list: u32, place: Place, key: u32) -> Result<u32, Error> {
    if list == NIL {
        let kind = if minor >= FIRST_HASH_MINOR { LeafKind::Hash } else { LeafKind::Fast };
        let entry = kind.entry(key, KeyNode::read(cells, key)?.name);
        return cells.allocate(&leaf_contents(kind, &entry)?, 0);
    }
    let (list, place) = make_room(cells, list, place)?;
    let whole = SubkeyList::read(cells, list)?;
    let cell = whole.leaf_cell(place.leaf)?;
    let leaf = Leaf::read(cells, cell)?;
    let (is_root, kind, count) = (whole.is_root(), leaf.kind, leaf.len());
    let entry = kind.entry(key, KeyNode::read(cells, key)?.name);
    let size = kind.entry_size();
    let needed = HEADER_SIZE.saturating_add(count.saturating_add(1).saturating_mul(size));
    let roomy = count.saturating_add(count / 2).saturating_add(1).min(kind.max_entries()).saturating_mul(size);
    let moved = if cells.capacity(cell)? < needed { cells.grow(cell, HEADER_SIZE.saturating_add(roomy).max(needed))? } else { cell };
    let contents = cells.cell_mut(moved)?;
    insert_entry(contents, count, place.entry, &entry).ok_or(Error::Damaged { cell: moved, what: "the subkey list has no room" })?;
    replace_leaf(cells, list, is_root, place.leaf, moved)
}

/// Removes the entry that [`search`] found; returns the list's cell, `NIL` once it is empty.
pub(super) fn remove(cells: &mut Cells, list: u32, place: Place) -> Result<u32, Error> {
    let cell = SubkeyList::read(cells, list)?.leaf_cell(place.leaf)?;
    let leaf = Leaf::read(cells, cell)?;
    let (size, count) = (leaf.kind.entry_size(), leaf.len());
    if count > 1 {
        let contents = cells.cell_mut(cell)?;
        remove_entry(contents, count, place.entry, size).ok_or(Error::Damaged { cell, what: "the subkey list has no such entry" })?;
        return Ok(list);
    }
    cells.release(cell)?;
    if cell == list {
        return Ok(NIL);
    }
    let leaves = SubkeyList::read_count(cells, list)?;
    let contents = cells.cell_mut(list)?;
    remove_entry(contents, leaves, place.leaf, 4).ok_or(Error::Damaged { cell: list, what: "the index root has no such leaf" })?;
    if leaves > 1 {
        return Ok(list);
    }
    cells.release(list)?;
    Ok(NIL)
}

/// Frees all cells of a list; not the keys.
pub(super) fn release(cells: &mut Cells, list: u32) -> Result<(), Error> {
    if list == NIL {
        return Ok(());
    }
    let whole = SubkeyList::read(cells, list)?;
    if whole.is_root() {
        let leaves: Vec<u32> = (0..whole.leaf_count()).map(|index| whole.leaf_cell(index)).collect::<Result<_, _>>()?;
        for leaf in leaves {
            cells.release(leaf)?;
        }
    }
    cells.release(list)
}

impl SubkeyList<'_> {
    /// Number of leaves of the list at `list`.
    fn read_count(cells: &Cells, list: u32) -> Result<usize, Error> {
        Ok(SubkeyList::read(cells, list)?.leaf_count())
    }
}

/// Sees to it that the leaf of `place` can take one entry more.
fn make_room(cells: &mut Cells, list: u32, place: Place) -> Result<(u32, Place), Error> {
    let whole = SubkeyList::read(cells, list)?;
    let (is_root, cell) = (whole.is_root(), whole.leaf_cell(place.leaf)?);
    let leaf = Leaf::read(cells, cell)?;
    if leaf.len() < leaf.kind.max_entries() {
        return Ok((list, place));
    }
    let (kind, count) = (leaf.kind, leaf.len());
    if kind == LeafKind::Fast && count < MAX_LEAF {
        let keys: Vec<u8> = leaf.entries().flat_map(|(key, _)| key.to_le_bytes()).collect();
        let plain = cells.allocate(&leaf_contents(LeafKind::Plain, &keys)?, 0)?;
        cells.release(cell)?;
        return Ok((replace_leaf(cells, list, is_root, place.leaf, plain)?, place));
    }
    let half = count / 2;
    let (first, second) = leaf.entries.split_at_checked(half.saturating_mul(kind.entry_size())).unwrap_or_default();
    let (first, second) = (leaf_contents(kind, first)?, leaf_contents(kind, second)?);
    let new = cells.allocate(&second, 0)?;
    let old = cells.cell_mut(cell)?;
    let (now, rest) =
        old.split_at_mut_checked(first.len()).ok_or(Error::Damaged { cell, what: "the subkey list is longer than its cell" })?;
    now.copy_from_slice(&first);
    rest.fill(0);
    let list = add_leaf(cells, list, place.leaf, new)?;
    let place = if place.entry > half {
        Place { leaf: place.leaf.saturating_add(1), entry: place.entry.saturating_sub(half), ..place }
    } else {
        place
    };
    Ok((list, place))
}

/// Puts the leaf `new` behind leaf `index`, making the list a root where it is not; returns the list's cell.
fn add_leaf(cells: &mut Cells, list: u32, index: usize, new: u32) -> Result<u32, Error> {
    let whole = SubkeyList::read(cells, list)?;
    if !whole.is_root() {
        let mut contents = b"ri".to_vec();
        contents.extend_from_slice(&2_u16.to_le_bytes());
        contents.extend_from_slice(&list.to_le_bytes());
        contents.extend_from_slice(&new.to_le_bytes());
        return cells.allocate(&contents, 0);
    }
    let count = whole.leaf_count();
    let needed = HEADER_SIZE.saturating_add(count.saturating_add(1).saturating_mul(4));
    let roomy = needed.saturating_add(count.saturating_mul(2));
    let moved = if cells.capacity(list)? < needed { cells.grow(list, roomy)? } else { list };
    let contents = cells.cell_mut(moved)?;
    insert_entry(contents, count, index.saturating_add(1), &new.to_le_bytes()).ok_or(Error::Full)?;
    Ok(moved)
}

/// Points leaf `index` of a list at the cell `new`; returns the list's cell.
fn replace_leaf(cells: &mut Cells, list: u32, is_root: bool, index: usize, new: u32) -> Result<u32, Error> {
    if !is_root {
        return Ok(new);
    }
    cells.put_u32(list, HEADER_SIZE.saturating_add(index.saturating_mul(4)), new)?;
    Ok(list)
}

fn leaf_contents(kind: LeafKind, entries: &[u8]) -> Result<Vec<u8>, Error> {
    let count = entries.len().checked_div(kind.entry_size()).and_then(|count| u16::try_from(count).ok()).ok_or(Error::Full)?;
    let mut contents = kind.signature().to_vec();
    contents.extend_from_slice(&count.to_le_bytes());
    contents.extend_from_slice(entries);
    Ok(contents)
}

/// Inserts `entry` at `index` of a list of `count` such entries and raises the count. `None` when there is no room.
fn insert_entry(contents: &mut [u8], count: usize, index: usize, entry: &[u8]) -> Option<()> {
    let raised = u16::try_from(count.checked_add(1)?).ok()?;
    let used = count.checked_add(1)?.checked_mul(entry.len())?;
    let entries = contents.get_mut(HEADER_SIZE..)?.get_mut(..used)?;
    let at = index.checked_mul(entry.len())?;
    let tail = entries.get_mut(at..)?;
    let kept = tail.len().checked_sub(entry.len())?;
    tail.copy_within(..kept, entry.len());
    put(tail, 0, entry)?;
    put(contents, 2, &raised.to_le_bytes())
}

/// Removes the entry at `index` and lowers the count. `None` when there is no such entry.
fn remove_entry(contents: &mut [u8], count: usize, index: usize, size: usize) -> Option<()> {
    let lowered = u16::try_from(count.checked_sub(1)?).ok()?;
    let entries = contents.get_mut(HEADER_SIZE..)?.get_mut(..count.checked_mul(size)?)?;
    let tail = entries.get_mut(index.checked_mul(size)?..)?;
    let kept = tail.len().checked_sub(size)?;
    tail.copy_within(size.., 0);
    tail.get_mut(kept..)?.fill(0);
    put(contents, 2, &lowered.to_le_bytes())
}

//! Reading keys and values.

use super::key_node::{KeyNode, at};
use super::security::SecurityCell;
use super::subkey_list::{self, SubkeyList};
use super::verify::{MAX_DEPTH, Verification, inspect};
use super::{Error, Hive, InMemory, KeyId, Value, name};

/// Characters that separate the keys of a path.
const SEPARATOR: char = '\\';

impl<S> Hive<S> {
    /// The root key.
    #[must_use]
    pub fn root(&self) -> KeyId {
        self.root
    }

    pub(super) fn node(&self, key: KeyId) -> Result<KeyNode<'_>, Error> {
        KeyNode::read(&self.cells, key.0)
    }

    /// The key at a path below the root, such as `Microsoft\Windows NT\CurrentVersion`. Case does not matter; empty parts
    /// are skipped.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the hive is damaged on the way.
    pub fn open(&self, path: &str) -> Result<Option<KeyId>, Error> {
        self.open_from(self.root, path)
    }

    /// The key at a path below another key.
    ///
    /// # Errors
    /// As [`Hive::open`].
    pub fn open_from(&self, key: KeyId, path: &str) -> Result<Option<KeyId>, Error> {
        let mut key = key;
        for part in path.split(SEPARATOR).filter(|part| !part.is_empty()) {
            match self.subkey(key, part)? {
                Some(child) => key = child,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }

    /// The subkey of a name. Case does not matter.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the key or its list is damaged.
    pub fn subkey(&self, key: KeyId, name: &str) -> Result<Option<KeyId>, Error> {
        let node = self.node(key)?;
        if node.subkey_count == 0 {
            return Ok(None);
        }
        let name = name::upcased(name);
        let found = subkey_list::search(&self.cells, node.subkey_list, &name)?.found;
        // A list may be out of order.
        if found.is_some() || self.order.is_sorted(key) {
            return Ok(found.map(KeyId));
        }
        if self.order.count_scan(key) {
            // A list that cannot be checked is not known to be in order.
            self.order.note(key, subkey_list::is_sorted(&self.cells, node.subkey_list).unwrap_or(false));
        }
        Ok(subkey_list::scan(&self.cells, node.subkey_list, &name)?.map(KeyId))
    }

    /// The subkeys in the order of their list: ascending in upper case.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the key or its list is damaged.
    pub fn subkeys(&self, key: KeyId) -> Result<Vec<KeyId>, Error> {
        let node = self.node(key)?;
        let mut keys = Vec::new();
        if node.subkey_count == 0 {
            return Ok(keys);
        }
        for leaf in SubkeyList::read(&self.cells, node.subkey_list)?.leaves(&self.cells) {
            let leaf = leaf?;
            // A leaf that a root lists many times would give more keys than there is room for.
            if keys.len().saturating_add(leaf.len()) > self.most_keys() {
                return Err(Error::Damaged { cell: leaf.cell, what: "the subkey list has more entries than the hive has room for" });
            }
            keys.extend(leaf.entries().map(|(key, _)| KeyId(key)));
        }
        Ok(keys)
    }

    /// A key's name. Unpaired surrogates show as U+FFFD.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the key is damaged.
    pub fn name(&self, key: KeyId) -> Result<String, Error> {
        Ok(self.node(key)?.name.to_string())
    }

    /// The key that lists this one; `None` for the root.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the key is damaged.
    pub fn parent(&self, key: KeyId) -> Result<Option<KeyId>, Error> {
        if key == self.root {
            return Ok(None);
        }
        let parent = KeyId(self.node(key)?.parent);
        self.node(parent)?;
        Ok(Some(parent))
    }

    /// The path of a key below the root, without the root's name.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::TooDeep`] when the way up is damaged.
    pub fn path(&self, key: KeyId) -> Result<String, Error> {
        let mut names = Vec::new();
        let mut at = key;
        while let Some(parent) = self.parent(at)? {
            if names.len() == MAX_DEPTH {
                return Err(Error::TooDeep { cell: key.0 });
            }
            names.push(self.name(at)?);
            at = parent;
        }
        names.reverse();
        Ok(names.join("\\"))
    }

    /// A key's class name.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the key is damaged.
    pub fn class(&self, key: KeyId) -> Result<Option<String>, Error> {
        let bytes = self.node(key)?.class_bytes(&self.cells)?;
        Ok(bytes.map(|bytes| name::Name { bytes, compressed: false }.to_string()))
    }

    /// When a key was last written, as FILETIME (100 ns since 1601, UTC).
    ///
    /// # Errors
    /// [`Error::Damaged`] when the key is damaged.
    pub fn last_written(&self, key: KeyId) -> Result<u64, Error> {
        Ok(self.node(key)?.last_written)
    }

    /// A key's self-relative security descriptor.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the key or its security cell is damaged.
    pub fn security(&self, key: KeyId) -> Result<&[u8], Error> {
        Ok(SecurityCell::read(&self.cells, self.node(key)?.security)?.descriptor)
    }

    /// A key's values in the order of their list.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the key, its list or a value is damaged. The data is looked at by [`Value::data`] only.
    pub fn values(&self, key: KeyId) -> Result<Vec<Value<'_>>, Error> {
        let cells = self.node(key)?.value_cells(&self.cells)?;
        cells.into_iter().map(|cell| Value::read(&self.cells, self.minor, cell)).collect()
    }

    /// The value of a name; the empty name is the key's default value. Case does not matter.
    ///
    /// # Errors
    /// As [`Hive::values`].
    pub fn value(&self, key: KeyId, name: &str) -> Result<Option<Value<'_>>, Error> {
        self.value_by_upcased(key, &name::upcased(name))
    }

    pub(super) fn value_by_upcased(&self, key: KeyId, name: &[u16]) -> Result<Option<Value<'_>>, Error> {
        for cell in self.node(key)?.value_cells(&self.cells)? {
            let value = Value::read(&self.cells, self.minor, cell)?;
            if value.stored_name.upcased().eq(name.iter().copied()) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The key and everything below it, parents first, siblings in the order of their lists.
    pub fn walk(&self, key: KeyId) -> Walk<'_, S> {
        Walk { hive: self, waiting: vec![(key, 0)], left: self.most_keys() }
    }

    /// No hive of this size holds more keys.
    fn most_keys(&self) -> usize {
        (self.cells.size() as usize).checked_div(at::NAME).unwrap_or_default()
    }

    /// Checks every structure of the hive. Costs about as much as reading it whole.
    #[must_use]
    pub fn verify(&self) -> Verification {
        inspect(&self.cells, self.minor, self.root.0).verification
    }
}

/// A walk over keys: see [`Hive::walk`]. Ends after the first error; a hive that lists keys twice makes one rather than a
/// walk without end.
#[derive(Debug)]
pub struct Walk<'a, S = InMemory> {
    hive: &'a Hive<S>,
    waiting: Vec<(KeyId, usize)>,
    left: usize,
}

impl<S> Iterator for Walk<'_, S> {
    /// The key, and its depth below the start.
    type Item = Result<(KeyId, usize), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, depth) = self.waiting.pop()?;
        let children = match self.left.checked_sub(1).filter(|_| depth <= MAX_DEPTH) {
            Some(left) => {
                self.left = left;
                self.hive.subkeys(key)
            }
            None => Err(Error::TooDeep { cell: key.0 }),
        };
        let endless = |children: &Vec<KeyId>| self.waiting.len().saturating_add(children.len()) > self.left;
        let children = match children {
            Ok(children) if endless(&children) => Err(Error::TooDeep { cell: key.0 }),
            children => children,
        };
        match children {
            Ok(children) => self.waiting.extend(children.into_iter().rev().map(|child| (child, depth.saturating_add(1)))),
            Err(error) => {
                self.waiting.clear();
                return Some(Err(error));
            }
        }
        Some(Ok((key, depth)))
    }
}

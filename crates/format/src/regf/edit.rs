//! Editing keys and values in place.

use std::collections::HashMap;

use super::cell::{CELL_HEADER_SIZE, Cells, NIL};
use super::field::put;
use super::key_node::{FLAG_COMPRESSED_NAME, KeyNode, NewKeyNode, at};
use super::name::{MAX_KEY_NAME, MAX_VALUE_NAME, encode, upcased};
use super::security::{self, SecurityCell};
use super::subkey_list::{self, Place};
use super::value::{self, MAX_DATA};
use super::verify::{MAX_DEPTH, inspect};
use super::{Data, Error, Hive, KeyId, ValueKind};

/// Keys with more values than this get an index of them by name.
const INDEXED_VALUES: u32 = 32;
/// Bytes that the largest subkey name takes in its field.
const SUBKEY_NAME_MASK: u32 = 0xFFFF;

/// What editing knows beyond the cells themselves.
#[derive(Clone, Default)]
pub(super) struct Editor {
    /// For keys with many values: value cells by name in upper case.
    value_indexes: HashMap<u32, HashMap<Vec<u16>, u32>>,
    /// What is known once the whole hive has been checked.
    securities: Option<Securities>,
}

/// The security cells of a hive.
#[derive(Clone, Default)]
struct Securities {
    /// Keys that use each cell, as counted.
    references: HashMap<u32, u32>,
    /// Cells by descriptor.
    cells: HashMap<Vec<u8>, u32>,
}

/// Refuses names that no key of Windows can have.
pub(super) fn check_key_name(name: &str) -> Result<(), Error> {
    let refuse = |why| Err(Error::Name { name: name.into(), why });
    if name.is_empty() {
        return refuse("it is empty");
    }
    if name.contains('\\') {
        return refuse("it contains a backslash");
    }
    if name.encode_utf16().count() > MAX_KEY_NAME {
        return refuse("it is longer than 255 characters");
    }
    Ok(())
}

fn check_value_name(name: &str) -> Result<(), Error> {
    if name.encode_utf16().count() > MAX_VALUE_NAME {
        return Err(Error::Name { name: name.into(), why: "it is longer than 16383 characters" });
    }
    Ok(())
}

impl<S> Hive<S> {
    /// The editor, made at the first edit: refuses a hive whose bins leave gaps.
    fn editor(&mut self) -> Result<&mut Editor, Error> {
        if self.dirty {
            return Err(Error::Dirty);
        }
        if self.editor.is_none() {
            self.cells.start_allocating()?;
        }
        Ok(self.editor.get_or_insert_default())
    }

    /// What the first edit that takes keys or security cells away must know: counts every key, and refuses a hive where
    /// something is shared that must not be.
    fn securities(&mut self) -> Result<&mut Securities, Error> {
        if self.editor()?.securities.is_none() {
            let inspection = inspect(&self.cells, self.minor, self.root.0);
            inspection.check_editable()?;
            let mut cells = HashMap::new();
            for cell in inspection.securities.keys() {
                let descriptor = SecurityCell::read(&self.cells, *cell)?.descriptor.to_vec();
                let shared: &mut u32 = cells.entry(descriptor).or_insert(*cell);
                // Of equal cells the first, whatever the order of the map.
                *shared = (*shared).min(*cell);
            }
            self.editor()?.securities = Some(Securities { references: inspection.securities, cells });
        }
        Ok(self.editor()?.securities.get_or_insert_default())
    }

    /// Refuses to change the list of a key whose subkeys are out of order.
    fn sorted_parent(&mut self, parent: KeyId) -> Result<(), Error> {
        self.editor()?;
        if self.order.is_sorted(parent) {
            return Ok(());
        }
        let list = list_of(&self.node(parent)?);
        if !subkey_list::is_sorted(&self.cells, list)? {
            return Err(Error::Unsorted { cell: parent.0 });
        }
        self.order.note(parent, true);
        Ok(())
    }

    /// Sets when a key was last written (FILETIME).
    ///
    /// # Errors
    /// When the hive cannot be edited, or the key is damaged.
    pub fn set_last_written(&mut self, key: KeyId, last_written: u64) -> Result<(), Error> {
        self.editor()?;
        self.cells.put(key.0, at::LAST_WRITTEN, &last_written.to_le_bytes())
    }

    /// The subkey of a name, made where there is none. A new key has its parent's security descriptor; the parent's time
    /// becomes `last_written` too, as in Windows.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Unsorted`]; when the hive cannot be edited or is full.
    pub fn create_key(&mut self, parent: KeyId, name: &str, last_written: u64) -> Result<KeyId, Error> {
        check_key_name(name)?;
        self.editor()?;
        // A search that finds nothing is cheap only in a list that is known to be in order.
        let unsorted = self.sorted_parent(parent);
        if let Some(existing) = self.subkey(parent, name)? {
            return Ok(existing);
        }
        unsorted?;
        let node = self.node(parent)?;
        let (list, security) = (list_of(&node), node.security);
        let new = NewKeyNode { name, extra_flags: 0, last_written, parent: parent.0, security, inherit: Some(&node) };
        let contents = new.encode()?;
        let place = subkey_list::search(&self.cells, list, &upcased(name))?;
        let key = self.cells.allocate(&contents, 0)?;
        self.attach(parent, list, place, key)?;
        self.add_reference(security)?;
        self.set_last_written(parent, last_written)?;
        Ok(KeyId(key))
    }

    /// The key at a path below the root, with all keys on the way, made where they are missing.
    ///
    /// # Errors
    /// As [`Hive::create_key`].
    pub fn create_path(&mut self, path: &str, last_written: u64) -> Result<KeyId, Error> {
        let parts: Vec<&str> = path.split('\\').filter(|part| !part.is_empty()).collect();
        if parts.len() > MAX_DEPTH {
            return Err(Error::Name { name: path.into(), why: "it is deeper than 512 levels" });
        }
        parts.into_iter().try_fold(self.root, |key, part| self.create_key(key, part, last_written))
    }

    /// Puts a key into its parent's list and raises count and hint.
    fn attach(&mut self, parent: KeyId, list: u32, place: Place, key: u32) -> Result<(), Error> {
        let list = subkey_list::insert(&mut self.cells, self.minor, list, place, key)?;
        let node = self.node(parent)?;
        let count = node.subkey_count.checked_add(1).ok_or(Error::Full)?;
        let child = KeyNode::read(&self.cells, key)?;
        let longest = (node.largest_subkey_name & SUBKEY_NAME_MASK).max(child.name.utf16_length());
        let longest = node.largest_subkey_name & !SUBKEY_NAME_MASK | longest;
        let class = node.largest_class.max(u32::from(child.class_length));
        self.cells.put_u32(parent.0, at::SUBKEY_LIST, list)?;
        self.cells.put_u32(parent.0, at::SUBKEY_COUNT, count)?;
        self.cells.put_u32(parent.0, at::LARGEST_SUBKEY_NAME, longest)?;
        self.cells.put_u32(parent.0, at::LARGEST_CLASS, class)
    }

    /// Takes a key out of its parent's list.
    fn detach(&mut self, parent: KeyId, key: KeyId) -> Result<(), Error> {
        let name: Vec<u16> = self.node(key)?.name.upcased().collect();
        let node = self.node(parent)?;
        let (list, count) = (list_of(&node), node.subkey_count);
        let place = subkey_list::search(&self.cells, list, &name)?;
        if place.found != Some(key.0) {
            return Err(Error::Damaged { cell: parent.0, what: "the parent does not list the key" });
        }
        let list = subkey_list::remove(&mut self.cells, list, place)?;
        self.cells.put_u32(parent.0, at::SUBKEY_LIST, list)?;
        self.cells.put_u32(parent.0, at::SUBKEY_COUNT, count.saturating_sub(1))
    }

    /// The parent of a key that may be deleted or renamed.
    fn editable_parent(&mut self, key: KeyId) -> Result<KeyId, Error> {
        self.securities()?;
        let parent = self.parent(key)?.ok_or(Error::Root)?;
        self.sorted_parent(parent)?;
        Ok(parent)
    }

    /// Deletes a key with everything below it. The parent's time becomes `last_written`.
    ///
    /// # Errors
    /// [`Error::Root`]; [`Error::Unsorted`]; when the hive cannot be edited.
    pub fn delete_key(&mut self, key: KeyId, last_written: u64) -> Result<(), Error> {
        let parent = self.editable_parent(key)?;
        // The check of the whole hive has shown that no key is listed twice.
        let keys: Vec<KeyId> = self.walk(key).map(|step| step.map(|(key, _)| key)).collect::<Result<_, _>>()?;
        self.detach(parent, key)?;
        for key in keys {
            self.release_key(key)?;
        }
        self.set_last_written(parent, last_written)
    }

    /// Frees all cells of a key that is in no list any more.
    fn release_key(&mut self, key: KeyId) -> Result<(), Error> {
        let node = self.node(key)?;
        let (security, list) = (node.security, list_of(&node));
        let class = node.class_bytes(&self.cells)?.map(|_| node.class);
        let values = node.value_cells(&self.cells)?;
        let value_list = Some(node.value_list).filter(|_| !values.is_empty());
        for value in values {
            value::release(&mut self.cells, self.minor, value)?;
        }
        for cell in [value_list, class].into_iter().flatten() {
            self.cells.release(cell)?;
        }
        subkey_list::release(&mut self.cells, list)?;
        self.remove_reference(security)?;
        self.editor()?.value_indexes.remove(&key.0);
        self.order.forget(key);
        self.cells.release(key.0)
    }

    /// Gives a key another name; returns its new identity, since the key may move. Its time and the parent's become
    /// `last_written`.
    ///
    /// # Errors
    /// [`Error::Exists`]; [`Error::Name`]; [`Error::Root`]; [`Error::Unsorted`]; when the hive cannot be edited or is
    /// full.
    pub fn rename_key(&mut self, key: KeyId, name: &str, last_written: u64) -> Result<KeyId, Error> {
        check_key_name(name)?;
        let parent = self.editable_parent(key)?;
        if self.subkey(parent, name)?.is_some_and(|other| other != key) {
            return Err(Error::Exists { name: name.into() });
        }
        let (name_bytes, compressed) = encode(name);
        let name_length = u16::try_from(name_bytes.len()).map_err(|_| Error::Full)?;
        let flags = self.node(key)?.flags & !FLAG_COMPRESSED_NAME | if compressed { FLAG_COMPRESSED_NAME } else { 0 };
        let mut contents = self.cells.cell(key.0)?.get(..at::NAME).unwrap_or_default().to_vec();
        contents.extend_from_slice(&name_bytes);
        for (offset, field) in [(at::FLAGS, flags), (at::NAME_LENGTH, name_length)] {
            put(&mut contents, offset, &field.to_le_bytes()).ok_or(Error::Full)?;
        }
        let moved = self.cells.allocate(&contents, 0)?;
        self.detach(parent, key)?;
        for child in self.subkeys(key)? {
            self.cells.put_u32(child.0, at::PARENT, moved)?;
        }
        self.cells.release(key.0)?;
        let list = list_of(&self.node(parent)?);
        let place = subkey_list::search(&self.cells, list, &upcased(name))?;
        self.attach(parent, list, place, moved)?;
        let editor = self.editor()?;
        if let Some(index) = editor.value_indexes.remove(&key.0) {
            editor.value_indexes.insert(moved, index);
        }
        self.order.move_key(key, KeyId(moved));
        self.set_last_written(KeyId(moved), last_written)?;
        self.set_last_written(parent, last_written)?;
        Ok(KeyId(moved))
    }

    /// Sets or removes a key's class name.
    ///
    /// # Errors
    /// [`Error::Name`] for one longer than 65535 bytes; when the hive cannot be edited or is full.
    pub fn set_class(&mut self, key: KeyId, class: Option<&str>, last_written: u64) -> Result<(), Error> {
        self.editor()?;
        let bytes: Vec<u8> = class.unwrap_or_default().encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = u16::try_from(bytes.len());
        let length = length.map_err(|_| Error::Name { name: class.unwrap_or_default().into(), why: "it is too long for a class" })?;
        let node = self.node(key)?;
        let old = node.class_bytes(&self.cells)?.map(|_| node.class);
        let new = if bytes.is_empty() { NIL } else { self.cells.allocate(&bytes, 0)? };
        self.cells.put_u32(key.0, at::CLASS, new)?;
        self.cells.put(key.0, at::CLASS_LENGTH, &length.to_le_bytes())?;
        if let Some(old) = old {
            self.cells.release(old)?;
        }
        if let Some(parent) = self.parent(key)? {
            let longest = self.node(parent)?.largest_class.max(u32::from(length));
            self.cells.put_u32(parent.0, at::LARGEST_CLASS, longest)?;
        }
        self.set_last_written(key, last_written)
    }

    /// Gives a key a security descriptor (self-relative). Keys with the same descriptor share one cell. The key's time is
    /// left alone, as Windows leaves it.
    ///
    /// # Errors
    /// [`Error::SecurityDescriptor`]; when the hive cannot be edited or is full.
    pub fn set_security(&mut self, key: KeyId, descriptor: &[u8]) -> Result<(), Error> {
        security::check_descriptor(descriptor)?;
        let known = self.securities()?.cells.get(descriptor).copied();
        let old = self.node(key)?.security;
        if known == Some(old) {
            return Ok(());
        }
        let new = match known {
            Some(cell) => cell,
            None => {
                let cell = security::create(&mut self.cells, descriptor, Some(old))?;
                self.securities()?.cells.insert(descriptor.to_vec(), cell);
                cell
            }
        };
        self.add_reference(new)?;
        self.cells.put_u32(key.0, at::SECURITY, new)?;
        self.remove_reference(old)
    }

    fn add_reference(&mut self, security: u32) -> Result<(), Error> {
        let stored = SecurityCell::read(&self.cells, security)?.references;
        let references = match &mut self.editor()?.securities {
            Some(securities) => securities.references.entry(security).or_default(),
            None => &mut { stored },
        };
        *references = references.checked_add(1).ok_or(Error::Full)?;
        let references = *references;
        self.cells.put_u32(security, security::at::REFERENCES, references)
    }

    /// Takes one reference away; the cell is freed with the last.
    fn remove_reference(&mut self, security: u32) -> Result<(), Error> {
        let references = self.securities()?.references.entry(security).or_default();
        *references = references.saturating_sub(1);
        let references = *references;
        if references > 0 {
            return self.cells.put_u32(security, security::at::REFERENCES, references);
        }
        let descriptor = SecurityCell::read(&self.cells, security)?.descriptor.to_vec();
        let securities = self.securities()?;
        securities.references.remove(&security);
        if securities.cells.get(&descriptor) == Some(&security) {
            securities.cells.remove(&descriptor);
        }
        security::release(&mut self.cells, security)
    }

    /// Sets a value; the empty name is the key's default value. A value of that name (in any case) keeps its name. The
    /// key's time becomes `last_written`.
    ///
    /// # Errors
    /// [`Error::Name`]; when the hive cannot be edited or is full.
    pub fn set_value(&mut self, key: KeyId, name: &str, kind: ValueKind, data: &[u8], last_written: u64) -> Result<(), Error> {
        check_value_name(name)?;
        if data.len() > MAX_DATA {
            return Err(Error::Full);
        }
        self.editor()?;
        let upcased_name = upcased(name);
        let value = match self.find_value(key, &upcased_name)? {
            Some(value) => value,
            None => self.add_value(key, name, upcased_name)?,
        };
        value::set_data(&mut self.cells, self.minor, value, kind, data)?;
        let largest = self.node(key)?.largest_value_data.max(u32::try_from(data.len()).unwrap_or(u32::MAX));
        self.cells.put_u32(key.0, at::LARGEST_VALUE_DATA, largest)?;
        self.set_last_written(key, last_written)
    }

    /// Sets a value to what [`Data::encode`] gives.
    ///
    /// # Errors
    /// As [`Hive::set_value`].
    pub fn set_data(&mut self, key: KeyId, name: &str, data: &Data, last_written: u64) -> Result<(), Error> {
        let (kind, bytes) = data.encode();
        self.set_value(key, name, kind, &bytes, last_written)
    }

    /// The cell of the value of a name (in upper case).
    fn find_value(&mut self, key: KeyId, name: &[u16]) -> Result<Option<u32>, Error> {
        if self.node(key)?.value_count <= INDEXED_VALUES {
            self.editor()?.value_indexes.remove(&key.0);
            return Ok(self.value_by_upcased(key, name)?.map(|value| value.cell));
        }
        if !self.editor()?.value_indexes.contains_key(&key.0) {
            let mut index = HashMap::new();
            for value in self.values(key)? {
                if index.insert(value.stored_name.upcased().collect(), value.cell).is_some() {
                    // Two values of one name: not for an index.
                    return Ok(self.value_by_upcased(key, name)?.map(|value| value.cell));
                }
            }
            self.editor()?.value_indexes.insert(key.0, index);
        }
        Ok(self.editor()?.value_indexes.get(&key.0).and_then(|index| index.get(name)).copied())
    }

    /// Adds a value without data at the end of a key's list.
    fn add_value(&mut self, key: KeyId, name: &str, upcased_name: Vec<u16>) -> Result<u32, Error> {
        let node = self.node(key)?;
        let (old_list, count) = (node.value_list, node.value_count as usize);
        let longest = node.largest_value_name.max(u32::try_from(upcased_name.len()).unwrap_or(u32::MAX).saturating_mul(2));
        let raised = node.value_count.checked_add(1).ok_or(Error::Full)?;
        let value = value::create(&mut self.cells, name)?;
        let length = count.saturating_mul(4);
        let needed = length.saturating_add(4);
        let list = if count == 0 {
            self.cells.allocate(&value.to_le_bytes(), 0)?
        } else {
            let roomy = if self.cells.capacity(old_list)? < needed { needed.saturating_add(length / 2) } else { needed };
            self.cells.grow(old_list, roomy)?
        };
        self.cells.put_u32(list, length, value)?;
        self.cells.put_u32(key.0, at::VALUE_LIST, list)?;
        self.cells.put_u32(key.0, at::VALUE_COUNT, raised)?;
        self.cells.put_u32(key.0, at::LARGEST_VALUE_NAME, longest)?;
        if let Some(index) = self.editor()?.value_indexes.get_mut(&key.0) {
            index.insert(upcased_name, value);
        }
        Ok(value)
    }

    /// Deletes a value; says whether there was one. The key's time becomes `last_written` if so.
    ///
    /// # Errors
    /// When the hive cannot be edited, or the key is damaged.
    pub fn delete_value(&mut self, key: KeyId, name: &str, last_written: u64) -> Result<bool, Error> {
        self.editor()?;
        let name = upcased(name);
        let Some(value) = self.find_value(key, &name)? else { return Ok(false) };
        let node = self.node(key)?;
        let (list, count) = (node.value_list, node.value_count);
        let index = node.value_cells(&self.cells)?.iter().position(|cell| *cell == value);
        let index = index.ok_or(Error::Damaged { cell: list, what: "the value list lacks the value" })?;
        if let Some(index) = self.editor()?.value_indexes.get_mut(&key.0) {
            index.remove(&name);
        }
        remove_from_list(&mut self.cells, list, count as usize, index)?;
        if count == 1 {
            self.cells.release(list)?;
            self.cells.put_u32(key.0, at::VALUE_LIST, NIL)?;
        }
        self.cells.put_u32(key.0, at::VALUE_COUNT, count.saturating_sub(1))?;
        value::release(&mut self.cells, self.minor, value)?;
        self.set_last_written(key, last_written)?;
        Ok(true)
    }
}

/// The cell of a key's subkey list; `NIL` without subkeys, whatever the field says.
fn list_of(node: &KeyNode<'_>) -> u32 {
    if node.subkey_count == 0 { NIL } else { node.subkey_list }
}

fn remove_from_list(cells: &mut Cells, list: u32, count: usize, index: usize) -> Result<(), Error> {
    let short = Error::Damaged { cell: list, what: "the value list is shorter than the key's value count" };
    let used = cells.cell_mut(list)?.get_mut(..count.saturating_mul(4)).ok_or(short)?;
    let tail = used.get_mut(index.saturating_mul(4)..).unwrap_or_default();
    if let Some(kept) = tail.len().checked_sub(CELL_HEADER_SIZE as usize) {
        tail.copy_within(4.., 0);
        tail.get_mut(kept..).unwrap_or_default().fill(0);
    }
    Ok(())
}

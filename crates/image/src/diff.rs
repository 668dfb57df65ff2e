//! What differs between two trees.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::tree::{Entry, Tree};

/// The difference between two trees: paths in walk order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeDiff {
    /// Paths that only the second tree has.
    pub added: Vec<String>,
    /// Paths that only the first tree has.
    pub removed: Vec<String>,
    /// Paths that both have, with every field that differs.
    pub changed: Vec<Changed>,
}

/// A path whose metadata or contents differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The path.
    pub path: String,
    /// Field name, then its value in the first and in the second tree.
    pub fields: BTreeMap<&'static str, (String, String)>,
}

impl TreeDiff {
    /// Compares `before` with `after`: names, contents and every kind of metadata.
    #[must_use]
    pub fn between(before: &Tree, after: &Tree) -> Self {
        Self::between_entries(before.root(), after.root())
    }

    /// The same for two entries with all that is below them; paths start there.
    #[must_use]
    pub fn between_entries(before: Entry<'_>, after: Entry<'_>) -> Self {
        let mut diff = Self::default();
        diff.compare("", before, after);
        diff
    }

    /// True when the trees are equal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn compare(&mut self, path: &str, before: Entry<'_>, after: Entry<'_>) {
        let fields = differing_fields(before, after);
        if !fields.is_empty() {
            let path = if path.is_empty() { "/" } else { path };
            self.changed.push(Changed { path: path.to_owned(), fields });
        }
        let mut left = before.children().peekable();
        let mut right = after.children().peekable();
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(left), Some(right)) => left.name_order(right),
            };
            let below = |entry: &Entry<'_>| format!("{path}/{}", entry.name());
            match order {
                std::cmp::Ordering::Less => left.next().into_iter().for_each(|entry| list(&below(&entry), entry, &mut self.removed)),
                std::cmp::Ordering::Greater => right.next().into_iter().for_each(|entry| list(&below(&entry), entry, &mut self.added)),
                std::cmp::Ordering::Equal => {
                    if let (Some(left), Some(right)) = (left.next(), right.next()) {
                        if left.is_directory() == right.is_directory() {
                            self.compare(&below(&right), left, right);
                        } else {
                            list(&below(&left), left, &mut self.removed);
                            list(&below(&right), right, &mut self.added);
                        }
                    }
                }
            }
        }
    }
}

/// Appends an entry and all that is below it.
fn list(path: &str, entry: Entry<'_>, into: &mut Vec<String>) {
    into.push(path.to_owned());
    entry.children().for_each(|child| list(&format!("{path}/{}", child.name()), child, into));
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn differing_fields(before: Entry<'_>, after: Entry<'_>) -> BTreeMap<&'static str, (String, String)> {
    let (old, new) = (before.inode(), after.inode());
    let mut fields = BTreeMap::new();
    let mut field = |name, left: String, right: String| {
        if left != right {
            fields.insert(name, (left, right));
        }
    };
    let blob = |id: Option<_>| id.map_or_else(|| "empty".to_owned(), |id: wimwright_format::wim::BlobId| id.to_string());
    let streams = |entry: Entry<'_>| {
        entry.inode().streams.iter().map(|stream| format!("{}={}", stream.name, blob(stream.blob))).collect::<Vec<_>>().join(", ")
    };
    field("name", before.name(), after.name());
    field("short_name", before.short_name(), after.short_name());
    field("contents", blob(old.contents), blob(new.contents));
    field("streams", streams(before), streams(after));
    field("attributes", format!("{:#x}", old.attributes), format!("{:#x}", new.attributes));
    field("created", old.created.to_string(), new.created.to_string());
    field("accessed", old.accessed.to_string(), new.accessed.to_string());
    field("written", old.written.to_string(), new.written.to_string());
    let security = |entry: Entry<'_>| entry.security().map_or_else(|| "none".to_owned(), |descriptor| hexadecimal(descriptor));
    field("security", security(before), security(after));
    let reparse = |entry: Entry<'_>| match &entry.inode().reparse {
        None => "none".to_owned(),
        Some(reparse) => format!("{:#010x} {} {} {}", reparse.tag, reparse.reserved, reparse.flags, blob(reparse.data)),
    };
    field("reparse", reparse(before), reparse(after));
    field("hard_link_group", old.hard_link_group.to_string(), new.hard_link_group.to_string());
    field("tagged_items", hexadecimal(old.tagged_items.as_bytes()), hexadecimal(new.tagged_items.as_bytes()));
    field("unknown_fields", format!("{:?} {}", old.unused, old.unknown), format!("{:?} {}", new.unused, new.unknown));
    fields
}

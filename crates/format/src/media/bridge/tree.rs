//! The files and directories of a disc, in the form that both file systems are written from.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Where a content came to lie.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Placed {
    /// First sector; 0 for an empty content.
    pub sector: u32,
    /// Bytes.
    pub size: u64,
}

pub(crate) enum NodeKind {
    Directory {
        /// Nodes in the directory, by folded name.
        children: BTreeMap<String, usize>,
    },
    File {
        /// Index of the content.
        content: usize,
    },
}

pub(crate) struct Node {
    /// Empty for the root.
    pub name: String,
    /// The root's is its own.
    pub parent: usize,
    /// FILETIME.
    pub modified: u64,
    pub kind: NodeKind,
}

impl Node {
    /// A file's content.
    pub fn content(&self) -> Option<usize> {
        match self.kind {
            NodeKind::File { content } => Some(content),
            NodeKind::Directory { .. } => None,
        }
    }
}

/// Nodes; the root is the first.
pub(crate) struct Tree {
    pub nodes: Vec<Node>,
}

impl Tree {
    pub fn new(time: u64) -> Self {
        Self {
            nodes: vec![Node { name: String::new(), parent: 0, modified: time, kind: NodeKind::Directory { children: BTreeMap::new() } }],
        }
    }

    /// Adds a node to a directory; returns its index, or nothing where `parent` holds its folded name already or is a file.
    pub fn insert(&mut self, folded: String, node: Node) -> Option<usize> {
        let index = self.nodes.len();
        let NodeKind::Directory { children } = &mut self.nodes.get_mut(node.parent)?.kind else { return None };
        match children.entry(folded) {
            Entry::Vacant(vacant) => vacant.insert(index),
            Entry::Occupied(_) => return None,
        };
        self.nodes.push(node);
        Some(index)
    }

    /// The node in a directory that has this folded name.
    pub fn child(&self, directory: usize, folded: &str) -> Option<usize> {
        match self.nodes.get(directory) {
            Some(Node { kind: NodeKind::Directory { children }, .. }) => children.get(folded).copied(),
            _ => None,
        }
    }

    pub fn is_directory(&self, index: usize) -> bool {
        matches!(self.nodes.get(index), Some(Node { kind: NodeKind::Directory { .. }, .. }))
    }

    /// What lies in a directory, in the order of folded names; nothing for a file.
    pub fn children(&self, index: usize) -> impl Iterator<Item = usize> {
        let children = match self.nodes.get(index) {
            Some(Node { kind: NodeKind::Directory { children }, .. }) => Some(children.values().copied()),
            _ => None,
        };
        children.into_iter().flatten()
    }

    /// Directories, breadth first from the root.
    pub fn directories(&self) -> Vec<usize> {
        let mut found = vec![0];
        let mut next = 0_usize;
        while let Some(directory) = found.get(next) {
            let inner: Vec<usize> = self.children(*directory).filter(|child| self.is_directory(*child)).collect();
            found.extend(inner);
            next = next.saturating_add(1);
        }
        found
    }

    /// Path of a node, components joined by `/`.
    pub fn path(&self, index: usize) -> String {
        let mut names = Vec::new();
        let mut at = index;
        while let Some(node) = self.nodes.get(at).filter(|_| at != 0) {
            names.push(node.name.as_str());
            at = node.parent;
        }
        names.reverse();
        names.join("/")
    }
}

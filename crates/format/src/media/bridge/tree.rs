//! The files and directories of a disc, in the form that both file systems are written from.

use std::collections::BTreeMap;

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
        /// Nodes in the directory, sorted by folded name.
        children: Vec<usize>,
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
        Self { nodes: vec![Node { name: String::new(), parent: 0, modified: time, kind: NodeKind::Directory { children: Vec::new() } }] }
    }

    /// Sets each directory's children from the names in it.
    pub fn set_children(&mut self, names: &[BTreeMap<String, usize>]) {
        for (node, names) in self.nodes.iter_mut().zip(names) {
            if let NodeKind::Directory { children } = &mut node.kind {
                *children = names.values().copied().collect();
            }
        }
    }

    pub fn is_directory(&self, index: usize) -> bool {
        matches!(self.nodes.get(index), Some(Node { kind: NodeKind::Directory { .. }, .. }))
    }

    /// What lies in a directory; nothing for a file.
    pub fn children(&self, index: usize) -> &[usize] {
        match self.nodes.get(index) {
            Some(Node { kind: NodeKind::Directory { children }, .. }) => children,
            _ => &[],
        }
    }

    /// Directories, breadth first from the root.
    pub fn directories(&self) -> Vec<usize> {
        let mut found = vec![0];
        let mut next = 0_usize;
        while let Some(directory) = found.get(next) {
            let inner: Vec<usize> = self.children(*directory).iter().copied().filter(|child| self.is_directory(*child)).collect();
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

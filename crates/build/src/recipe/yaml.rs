//! YAML text to a tree of nodes with positions.
//!
//! Parsing is `granit-parser`'s; this module composes its events, because a recipe needs what no serde front end gives
//! at once: positions in several files, merging of included files before anything is typed, refusal of duplicate keys,
//! and several errors in one run (docs/design/yaml.md has the verdict on the crates). Aliases are replaced by what they
//! stand for, `<<` merges are carried out, and scalars stay text until a type is asked for: so anchors, quoting and
//! layout cannot reach the meaning.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::error::ProblemKind;
use super::source::Position;

/// Nodes of one file after aliases are replaced: far more than a person writes, far less than an alias bomb.
const MAX_NODES: usize = 200_000;
/// Bytes of text of one file after aliases are replaced.
const MAX_TEXT: usize = 16 << 20;
/// Nesting of lists and mappings. A recipe needs seven; what is decoded recursively must not exhaust the stack.
const MAX_DEPTH: usize = 64;

/// A value with its position.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub position: Position,
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// `plain`: written without quotes, so it may stand for a number, a truth value or nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_position: Position,
    pub value: Node,
}

impl Node {
    /// What this is, in words for an error.
    pub fn describe(&self) -> &'static str {
        match &self.value {
            Value::Scalar { plain: true, .. } if self.is_null() => "nothing",
            Value::Scalar { plain: true, text } if parse_integer(text).is_some() => "a number",
            Value::Scalar { plain: true, text } if parse_boolean(text).is_some() => "true or false",
            Value::Scalar { .. } => "text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }

    /// The same as a JSON value: unquoted scalars by YAML's core schema, everything else text.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Scalar { .. } if self.is_null() => serde_json::Value::Null,
            Value::Scalar { text, plain: true } => {
                match (parse_integer(text).and_then(|number| i64::try_from(number).ok()), parse_boolean(text)) {
                    (Some(number), _) => number.into(),
                    (None, Some(truth)) => truth.into(),
                    (None, None) => text.clone().into(),
                }
            }
            Value::Scalar { text, .. } => text.clone().into(),
            Value::Sequence(items) => items.iter().map(Self::to_json).collect(),
            Value::Mapping(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
        }
    }

    /// Nothing was written: an empty value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// An integer of YAML's core schema (decimal, `0x`, `0o`).
pub(super) fn parse_integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(digits, radix).ok()?);
    Some(if negative { -value } else { value })
}

/// A truth value of YAML's core schema. `yes` and `no` are text.
pub(super) fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A syntax error and its position.
pub(super) type Failure = (ProblemKind, Option<Position>);

fn position(source: u32, span: &Span) -> Position {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let length = if span.start.line() == span.end.line() { span.end.col().saturating_sub(span.start.col()) } else { 1 };
    Position { source, line: number(span.start.line()), column: number(span.start.col().saturating_add(1)), length: number(length.max(1)) }
}

fn syntax(reason: impl Into<String>, position: Position) -> Failure {
    (ProblemKind::Syntax { reason: reason.into() }, Some(position))
}

/// The one document of a file, as a tree. An empty file is an empty mapping's worth: a null scalar.
pub(super) fn parse(text: &str, source: u32) -> Result<Node, Failure> {
    let start = Position { source, line: 1, column: 1, length: 1 };
    let mut composer = Composer { open: Vec::new(), anchors: HashMap::new(), nodes: 0, text: 0, root: None };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let marker = error.marker();
            let place = Span::empty(*marker);
            syntax(error.info(), position(source, &place))
        })?;
        composer.event(event, position(source, &span))?;
    }
    Ok(composer.root.unwrap_or(Node { position: start, value: Value::Scalar { text: String::new(), plain: true } }))
}

/// A list or mapping whose end has not come yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value.
    key: Option<(String, Position)>,
    /// Lines of the keys seen so far.
    keys: HashMap<String, u32>,
    /// Mappings that `<<` brings in.
    merged: Vec<Node>,
}

struct Composer {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    text: usize,
    root: Option<Node>,
}

impl Composer {
    fn event(&mut self, event: Event<'_>, position: Position) -> Result<(), Failure> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.is_some(), position)?;
                let plain = style == ScalarStyle::Plain;
                let node = Node { position, value: Value::Scalar { text: text.into_owned(), plain } };
                self.count(&node)?;
                self.remember(anchor, &node)?;
                self.place(node)
            }
            Event::SequenceStart(_, anchor, tag) => self.begin(Value::Sequence(Vec::new()), anchor, tag.is_some(), position),
            Event::MappingStart(_, anchor, tag) => self.begin(Value::Mapping(Vec::new()), anchor, tag.is_some(), position),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                // The anchor of a list or mapping that is still open is not known yet: a value cannot contain itself.
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(syntax("a value cannot contain itself", position));
                };
                self.count(&node).map_err(|(kind, _)| (kind, Some(position)))?;
                self.place(node)
            }
            Event::DocumentStart(..) if self.root.is_some() => Err(syntax("a recipe is one YAML document", position)),
            _ => Ok(()),
        }
    }

    /// Counts a node and all that is in it against the limits.
    fn count(&mut self, node: &Node) -> Result<(), Failure> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err((ProblemKind::TooLarge { what: "values in one file", limit: MAX_NODES }, Some(node.position)));
        }
        match &node.value {
            Value::Scalar { text, .. } => self.text += text.len(),
            Value::Sequence(items) => items.iter().try_for_each(|item| self.count(item))?,
            Value::Mapping(entries) => {
                for entry in entries {
                    self.text += entry.key.len();
                    self.count(&entry.value)?;
                }
            }
        }
        if self.text > MAX_TEXT {
            return Err((ProblemKind::TooLarge { what: "bytes of text in one file", limit: MAX_TEXT }, Some(node.position)));
        }
        Ok(())
    }

    /// Keeps what an anchor names. The copy counts too: anchors nested in anchors would multiply what is kept.
    fn remember(&mut self, anchor: usize, node: &Node) -> Result<(), Failure> {
        if anchor != 0 {
            self.count(node)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    fn begin(&mut self, value: Value, anchor: usize, tagged: bool, position: Position) -> Result<(), Failure> {
        refuse_tag(tagged, position)?;
        if self.open.len() >= MAX_DEPTH {
            return Err((ProblemKind::TooLarge { what: "levels of nesting", limit: MAX_DEPTH }, Some(position)));
        }
        let node = Node { position: Position { length: 1, ..position }, value };
        self.count(&node)?;
        self.open.push(Open { node, anchor, key: None, keys: HashMap::new(), merged: Vec::new() });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        let Some(mut open) = self.open.pop() else { return Ok(()) };
        if let Value::Mapping(entries) = &mut open.node.value {
            // What is written in the mapping itself wins over what it merges; the first merged wins over later ones.
            for merged in open.merged {
                let Value::Mapping(inherited) = merged.value else { return Err(merge_failure(merged.position)) };
                for entry in inherited {
                    if !open.keys.contains_key(&entry.key) {
                        open.keys.insert(entry.key.clone(), entry.key_position.line);
                        entries.push(entry);
                    }
                }
            }
        }
        self.remember(open.anchor, &open.node)?;
        self.place(open.node)
    }

    /// Puts a complete node where it belongs: into the innermost open list or mapping, or at the root.
    fn place(&mut self, node: Node) -> Result<(), Failure> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.node.value {
            Value::Sequence(items) => items.push(node),
            Value::Mapping(entries) => match open.key.take() {
                None => {
                    let Value::Scalar { text, .. } = node.value else {
                        return Err(syntax("a key must be text", node.position));
                    };
                    if text != "<<" {
                        if let Some(&first) = open.keys.get(&text) {
                            return Err((ProblemKind::DuplicateKey { key: text, first }, Some(node.position)));
                        }
                        open.keys.insert(text.clone(), node.position.line);
                    }
                    open.key = Some((text, node.position));
                }
                Some((key, _)) if key == "<<" => match node.value {
                    Value::Mapping(_) => open.merged.push(node),
                    Value::Sequence(items) => open.merged.extend(items),
                    Value::Scalar { .. } => return Err(merge_failure(node.position)),
                },
                Some((key, key_position)) => entries.push(Entry { key, key_position, value: node }),
            },
            Value::Scalar { .. } => {}
        }
        Ok(())
    }
}

fn refuse_tag(tagged: bool, position: Position) -> Result<(), Failure> {
    if tagged { Err(syntax("recipes have no YAML tags; put text into quotes", position)) } else { Ok(()) }
}

fn merge_failure(position: Position) -> Failure {
    syntax("`<<` merges a mapping or a list of mappings", position)
}

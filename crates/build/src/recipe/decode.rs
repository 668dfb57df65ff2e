//! From nodes to types. A decoder reports every problem it meets and goes on, so that one run shows them all.

use super::error::{Problem, ProblemKind, nearest};
use super::source::{Position, Sources, Spanned};
use super::yaml::{Entry, Node, Value, parse_boolean, parse_integer};

/// Says that something is wrong and has been reported to the [`Context`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Reported;

/// Problems shown of one recipe; after that many, the rest is noise.
const MAX_PROBLEMS: usize = 20;

/// What decoders share: the files, and the problems met so far.
pub(super) struct Context<'s> {
    pub sources: &'s Sources,
    pub problems: Vec<Problem>,
}

impl<'s> Context<'s> {
    pub fn new(sources: &'s Sources) -> Self {
        Self { sources, problems: Vec::new() }
    }

    /// Reports a problem at a place.
    pub fn report(&mut self, kind: ProblemKind, position: Position) -> Reported {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem::new(kind, Some(position), self.sources));
        }
        Reported
    }

    /// Reports a value that cannot be, with what to do about it.
    pub fn invalid(&mut self, reason: impl Into<String>, advice: Option<&str>, position: Position) -> Reported {
        if self.problems.len() < MAX_PROBLEMS {
            let kind = ProblemKind::InvalidValue { reason: reason.into() };
            let advice = advice.map(str::to_owned);
            self.problems.push(Problem { advice, ..Problem::new(kind, Some(position), self.sources) });
        }
        Reported
    }

    /// Reports a problem with something that was not written in a file.
    pub fn report_unplaced(&mut self, kind: ProblemKind) -> Reported {
        self.problems.push(Problem::new(kind, None, self.sources));
        Reported
    }

    /// Reports that something of another type belongs here.
    pub fn wrong_type(&mut self, expected: &'static str, node: &Node) -> Reported {
        self.report(ProblemKind::WrongType { expected, found: node.describe() }, node.position)
    }

    /// The text of a scalar, numbers included: `name: 2026` is a name.
    pub fn text<'n>(&mut self, expected: &'static str, node: &'n Node) -> Result<&'n str, Reported> {
        match &node.value {
            Value::Scalar { text, plain } if !(*plain && (node.is_null() || parse_boolean(text).is_some())) => Ok(text),
            _ => Err(self.wrong_type(expected, node)),
        }
    }

    /// One of several words.
    pub fn word<T: Copy>(&mut self, node: &Node, words: &[(&'static str, T)]) -> Result<T, Reported> {
        let text = self.text("a word", node)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let kind = ProblemKind::UnknownValue { value: text.to_owned(), allowed: words.iter().map(|(word, _)| *word).collect() };
        Err(self.report(kind, node.position))
    }
}

/// A type that can be read from a recipe.
pub(super) trait Decode: Sized {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported>;
}

impl<T: Decode> Decode for Spanned<T> {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        Ok(Self { value: T::decode(node, context)?, position: Some(node.position) })
    }
}

impl Decode for String {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        context.text("text", node).map(str::to_owned)
    }
}

impl Decode for bool {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        match &node.value {
            Value::Scalar { text, plain: true } if parse_boolean(text).is_some() => Ok(parse_boolean(text).unwrap_or_default()),
            _ => Err(context.wrong_type("true or false", node)),
        }
    }
}

impl Decode for u32 {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let integer = match &node.value {
            Value::Scalar { text, plain: true } => parse_integer(text),
            _ => None,
        };
        let Some(integer) = integer else { return Err(context.wrong_type("a number", node)) };
        Self::try_from(integer).map_err(|_| context.invalid(format!("{integer} is not between 0 and {}", u32::MAX), None, node.position))
    }
}

/// A list, for which one item may stand alone; nothing is an empty list.
impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        match &node.value {
            Value::Sequence(items) => {
                let results: Vec<_> = items.iter().map(|item| T::decode(item, context)).collect();
                results.into_iter().collect()
            }
            _ if node.is_null() => Ok(Self::new()),
            _ => Ok(vec![T::decode(node, context)?]),
        }
    }
}

/// The keys of one mapping, asked for one after the other; what was never asked for is unknown.
pub(super) struct Fields<'n, 'c, 's> {
    pub context: &'c mut Context<'s>,
    position: Position,
    entries: &'n [Entry],
    asked: Vec<&'static str>,
}

impl<'n, 'c, 's> Fields<'n, 'c, 's> {
    /// The keys of `node`, which must be a mapping.
    pub fn of(node: &'n Node, context: &'c mut Context<'s>) -> Result<Self, Reported> {
        match &node.value {
            Value::Mapping(entries) => Ok(Self { context, position: node.position, entries, asked: Vec::new() }),
            _ => Err(context.wrong_type("a mapping", node)),
        }
    }

    /// Which one of several keys is there: it says what the mapping means.
    pub fn choice(&mut self, keys: &[&'static str]) -> Result<&'static str, Reported> {
        let mut present = keys.iter().filter(|key| self.entries.iter().any(|entry| entry.key == **key));
        match (present.next(), present.next()) {
            (Some(key), None) => Ok(key),
            (Some(first), Some(second)) => Err(self.context.report(ProblemKind::Conflict { first, second }, self.position)),
            (None, _) => {
                let slip = self.entries.iter().find(|entry| nearest(&entry.key, keys).is_some());
                Err(match slip {
                    Some(entry) => {
                        let kind = ProblemKind::UnknownKey { key: entry.key.clone(), allowed: keys.to_vec() };
                        self.context.report(kind, entry.key_position)
                    }
                    None => self.context.report(ProblemKind::NoChoice { allowed: keys.to_vec() }, self.position),
                })
            }
        }
    }

    fn find(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.asked.push(key);
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The node of a key that may be absent. A key without a value is absent.
    pub fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        self.find(key).map(|entry| &entry.value).filter(|node| !node.is_null())
    }

    /// The value of a key that may be absent.
    pub fn optional<T: Decode>(&mut self, key: &'static str) -> Result<Option<T>, Reported> {
        self.node(key).map(|node| T::decode(node, self.context)).transpose()
    }

    /// The value of a key that must be there.
    pub fn required<T: Decode>(&mut self, key: &'static str) -> Result<T, Reported> {
        match self.find(key) {
            Some(entry) => T::decode(&entry.value, self.context),
            None => Err(self.missing(key)),
        }
    }

    /// The value of a key, or what its absence means.
    pub fn or_default<T: Decode + Default>(&mut self, key: &'static str) -> Result<T, Reported> {
        self.optional(key).map(Option::unwrap_or_default)
    }

    /// Reports that a key must be there.
    pub fn missing(&mut self, key: &'static str) -> Reported {
        self.context.report(ProblemKind::MissingKey { key }, self.position)
    }

    /// Reports that a key cannot have this value here.
    pub fn invalid(&mut self, key: &'static str, reason: &str) -> Reported {
        let position = self.entries.iter().find(|entry| entry.key == key).map_or(self.position, |entry| entry.key_position);
        self.context.invalid(reason, None, position)
    }

    /// Keys that have been dealt with elsewhere.
    pub fn also_allow(&mut self, keys: &[&'static str]) {
        self.asked.extend(keys);
    }

    /// Reports the keys that nobody asked for.
    pub fn finish(self) {
        for entry in self.entries {
            if !self.asked.contains(&entry.key.as_str()) {
                let kind = ProblemKind::UnknownKey { key: entry.key.clone(), allowed: self.asked.clone() };
                self.context.report(kind, entry.key_position);
            }
        }
    }
}

//! Which images of a medium are meant.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::decode::{Context, Decode, Fields, Reported};
use super::source::Spanned;
use super::values::{Pattern, text_schema};
use super::yaml::{Node, Value, parse_integer};

/// What selectors look at: one image of a medium, as its WIM describes it.
#[derive(Debug, Clone, Copy)]
pub struct ImageFacts<'a> {
    /// Index in the WIM, the first is 1.
    pub index: u32,
    /// The image's name (`NAME` of the WIM's XML).
    pub name: &'a str,
    /// The edition (`EDITIONID`: `Professional`, `Enterprise`, …); empty when the image has none.
    pub edition: &'a str,
}

/// `select:` of an entry under `images:`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selection {
    /// Every image.
    #[default]
    All,
    /// Every image that at least one of these means.
    AnyOf(Vec<Spanned<Selector>>),
}

impl Selection {
    /// Whether an image is meant.
    #[must_use]
    pub fn matches(&self, image: ImageFacts<'_>) -> bool {
        match self {
            Self::All => true,
            Self::AnyOf(selectors) => selectors.iter().any(|selector| selector.matches(image)),
        }
    }
}

/// One way to name images. Images are numbered as they are in the input, before any is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Selector {
    /// The image with this index; the first is 1.
    Index(u32),
    /// The images whose name matches: `Windows 11 *`.
    Name(Pattern),
    /// The images whose edition id matches: `Professional`, `Enterprise*`.
    Edition(Pattern),
}

impl Selector {
    /// Whether an image is meant.
    #[must_use]
    pub fn matches(&self, image: ImageFacts<'_>) -> bool {
        match self {
            Self::Index(index) => *index == image.index,
            Self::Name(pattern) => pattern.matches(image.name),
            Self::Edition(pattern) => pattern.matches(image.edition),
        }
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index(index) => write!(formatter, "index {index}"),
            Self::Name(pattern) => write!(formatter, "name `{}`", pattern.as_str()),
            Self::Edition(pattern) => write!(formatter, "edition `{}`", pattern.as_str()),
        }
    }
}

impl Serialize for Selection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::AnyOf(selectors) => selectors.serialize(serializer),
        }
    }
}

fn index(node: &Node, context: &mut Context) -> Result<Selector, Reported> {
    match u32::decode(node, context)? {
        0 => Err(context.invalid("the first image has index 1", None, node.position)),
        index => Ok(Selector::Index(index)),
    }
}

/// The items of a list, or the one value that stands for a list.
fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::Sequence(items) => items,
        _ => std::slice::from_ref(node),
    }
}

/// The selectors of a number, of a mapping with one key (its value one or several), or of a list of those.
pub(super) fn selectors(node: &Node, context: &mut Context) -> Result<Vec<Spanned<Selector>>, Reported> {
    let mut all = Vec::new();
    for item in items(node) {
        match &item.value {
            Value::Mapping(_) => {
                let mut fields = Fields::of(item, context)?;
                let key = fields.choice(&["index", "name", "edition"])?;
                let values = fields.node(key).map(items).unwrap_or_default();
                if values.is_empty() {
                    return Err(fields.invalid(key, "this selects no image"));
                }
                for value in values {
                    let selector = match key {
                        "index" => index(value, fields.context),
                        "name" => Pattern::decode(value, fields.context).map(Selector::Name),
                        _ => Pattern::decode(value, fields.context).map(Selector::Edition),
                    };
                    all.push(Spanned { value: selector?, position: Some(value.position) });
                }
                fields.finish();
            }
            Value::Scalar { .. } => all.push(Spanned { value: index(item, context)?, position: Some(item.position) }),
            Value::Sequence(_) => return Err(context.wrong_type("an index, a name or an edition", item)),
        }
    }
    Ok(all)
}

impl Decode for Selection {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        match &node.value {
            Value::Scalar { text, .. } if parse_integer(text).is_none() => context.word(node, &[("all", ())]).map(|()| Self::All),
            _ => match selectors(node, context)? {
                none if none.is_empty() => Err(context.invalid("this selects no image", None, node.position)),
                some => Ok(Self::AnyOf(some)),
            },
        }
    }
}

text_schema!(Selector, "Selector", {
    "description": "Images by index, name or edition. `*` and `?` stand for any characters and for one.",
    "anyOf": [
        { "type": "integer", "minimum": 1, "description": "The image with this index." },
        keyed_selector("index", "The images with these indexes.", json!({ "type": "integer", "minimum": 1 })),
        keyed_selector("name", "The images with these names.", json!({ "type": ["string", "number"], "minLength": 1 })),
        keyed_selector("edition", "The images with these edition ids: Professional, Enterprise, …", json!({ "type": ["string", "number"], "minLength": 1 }))
    ]
});

/// A mapping with this one key, whose value is one item or a list of them.
fn keyed_selector(key: &str, description: &str, item: serde_json::Value) -> serde_json::Value {
    json!({
        "type": "object",
        "properties": { key: { "description": description, "anyOf": [item, { "type": "array", "items": item, "minItems": 1 }] } },
        "required": [key],
        "additionalProperties": false
    })
}

impl JsonSchema for Selection {
    fn schema_name() -> Cow<'static, str> {
        "Selection".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let selector = generator.subschema_for::<Selector>();
        json_schema!({
            "description": "Which images are meant: `all`, an index, names, editions, or a list of these.",
            "anyOf": [{ "const": "all" }, selector, { "type": "array", "items": selector, "minItems": 1 }]
        })
    }
}

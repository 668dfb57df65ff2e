//! `registry:` — changes of an image's registry.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::decode::{Context, Decode, Fields, Reported};
use super::error::ProblemKind;
use super::source::Spanned;
use super::values::HostPath;
use super::yaml::{Node, Value, parse_boolean, parse_integer};

/// One change of an image's registry. Changes are made in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RegistryChange {
    /// A `.reg` file, or a `Registry.xml` of Group Policy Preferences.
    File(HostPath),
    /// Values are set in a key, which is made where it is missing.
    Set(SetValues),
    /// A key is deleted with all that is in it.
    Delete(DeleteKey),
}

/// Sets values of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetValues {
    /// The key as regedit shows it: `HKLM\SOFTWARE\Contoso`. HKCU is the default user's.
    pub key: Spanned<String>,
    /// The values by name; `@` is the key's default value. Text is REG_SZ, a number REG_DWORD, a list REG_MULTI_SZ;
    /// `null` deletes the value; a mapping with `type` and `data` says it exactly.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, RegistryData>,
}

/// Deletes a key with all that is in it. A key that is not there is no error, as in a `.reg` file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeleteKey {
    /// The key as regedit shows it.
    #[serde(rename = "delete")]
    pub key: Spanned<String>,
}

/// What a value becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryData {
    /// The value is deleted.
    Delete,
    /// REG_SZ.
    String(String),
    /// REG_EXPAND_SZ.
    ExpandString(String),
    /// REG_MULTI_SZ; none of the strings is empty.
    MultiString(Vec<String>),
    /// REG_DWORD.
    Dword(u32),
    /// REG_QWORD.
    Qword(u64),
    /// REG_BINARY.
    Binary(Vec<u8>),
    /// REG_NONE.
    None(Vec<u8>),
}

/// The name under which the default value of a key is written, as in a `.reg` file.
pub const DEFAULT_VALUE: &str = "@";

impl Decode for RegistryChange {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        if matches!(node.value, Value::Scalar { .. }) {
            return HostPath::decode(node, context).map(Self::File);
        }
        let mut fields = Fields::of(node, context)?;
        match fields.choice(&["key", "delete"])? {
            "key" => {
                let (key, values) = (fields.required("key"), fields.node("values"));
                let values = values.map(|node| decode_values(node, fields.context)).transpose();
                fields.finish();
                Ok(Self::Set(SetValues { key: key?, values: values?.unwrap_or_default() }))
            }
            _ => {
                let key = fields.required("delete");
                fields.finish();
                Ok(Self::Delete(DeleteKey { key: key? }))
            }
        }
    }
}

fn decode_values(node: &Node, context: &mut Context) -> Result<BTreeMap<String, RegistryData>, Reported> {
    let Value::Mapping(entries) = &node.value else {
        return Err(context.wrong_type("a mapping of value names to data", node));
    };
    let mut values = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for entry in entries {
        if entry.key.is_empty() || entry.key.contains('\0') {
            context.invalid("not a value name", Some("the default value of a key is written '@'"), entry.key_position);
            continue;
        }
        // Value names differ by more than case.
        if let Some(first) = lines.insert(entry.key.to_lowercase(), entry.key_position.line) {
            let kind = ProblemKind::DuplicateKey { key: entry.key.clone(), first };
            context.report(kind, entry.key_position);
        }
        if let Ok(data) = RegistryData::decode(&entry.value, context) {
            values.insert(entry.key.clone(), data);
        }
    }
    Ok(values)
}

/// What a value's data was written as, once its type is known.
#[derive(Clone, Copy)]
enum DataType {
    String,
    ExpandString,
    MultiString,
    Dword,
    Qword,
    Binary,
    None,
}

const TYPES: [(&str, DataType); 7] = [
    ("REG_SZ", DataType::String),
    ("REG_EXPAND_SZ", DataType::ExpandString),
    ("REG_MULTI_SZ", DataType::MultiString),
    ("REG_DWORD", DataType::Dword),
    ("REG_QWORD", DataType::Qword),
    ("REG_BINARY", DataType::Binary),
    ("REG_NONE", DataType::None),
];

impl Decode for RegistryData {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        match &node.value {
            _ if node.is_null() => Ok(Self::Delete),
            Value::Scalar { text, plain: true } if parse_integer(text).is_some() => {
                u32::try_from(parse_integer(text).unwrap_or(-1)).map(Self::Dword).map_err(|_| {
                    let advice = "write { type: REG_QWORD, data: … }, or quotes around it for text";
                    context.invalid(format!("{text} does not fit a REG_DWORD"), Some(advice), node.position)
                })
            }
            Value::Scalar { text, plain: true } if parse_boolean(text).is_some() => {
                let advice = "write 1 or 0 for a REG_DWORD, or quotes around it for text";
                Err(context.invalid("the registry has no true and false", Some(advice), node.position))
            }
            Value::Scalar { .. } => string(node, context).map(Self::String),
            Value::Sequence(_) => strings(node, context).map(Self::MultiString),
            Value::Mapping(_) => {
                let mut fields = Fields::of(node, context)?;
                let data_type = fields.required::<DataType>("type");
                let Some(data) = fields.node("data") else {
                    return Err(fields.missing("data"));
                };
                let data_type = data_type?;
                let value = match data_type {
                    DataType::String => string(data, fields.context).map(Self::String),
                    DataType::ExpandString => string(data, fields.context).map(Self::ExpandString),
                    DataType::MultiString => strings(data, fields.context).map(Self::MultiString),
                    DataType::Dword => u32::decode(data, fields.context).map(Self::Dword),
                    DataType::Qword => qword(data, fields.context).map(Self::Qword),
                    DataType::Binary => bytes(data, fields.context).map(Self::Binary),
                    DataType::None => bytes(data, fields.context).map(Self::None),
                };
                fields.finish();
                value
            }
        }
    }
}

impl Decode for DataType {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        context.word(node, &TYPES)
    }
}

fn string(node: &Node, context: &mut Context) -> Result<String, Reported> {
    let text = context.text("text", node)?;
    if text.contains('\0') {
        return Err(context.invalid("registry text cannot contain a null character", None, node.position));
    }
    Ok(text.to_owned())
}

fn strings(node: &Node, context: &mut Context) -> Result<Vec<String>, Reported> {
    let Value::Sequence(items) = &node.value else { return Err(context.wrong_type("a list of texts", node)) };
    let mut strings = Vec::with_capacity(items.len());
    for item in items {
        let text = string(item, context)?;
        if text.is_empty() {
            return Err(context.invalid("a REG_MULTI_SZ ends at its first empty string, so none can be in it", None, item.position));
        }
        strings.push(text);
    }
    Ok(strings)
}

fn qword(node: &Node, context: &mut Context) -> Result<u64, Reported> {
    let integer = match &node.value {
        Value::Scalar { text, plain: true } => parse_integer(text),
        _ => None,
    };
    let Some(integer) = integer else { return Err(context.wrong_type("a number", node)) };
    u64::try_from(integer).map_err(|_| context.invalid(format!("{integer} is not between 0 and {}", u64::MAX), None, node.position))
}

/// Hexadecimal digits in pairs; spaces and commas between pairs are only for the eye.
fn bytes(node: &Node, context: &mut Context) -> Result<Vec<u8>, Reported> {
    let text = context.text("hexadecimal digits", node)?;
    text.split([',', ' ', '\n'])
        .flat_map(|group| group.as_bytes().chunks(2))
        .map(|pair| match pair {
            [high, low] => Some(hex_digit(*high)? << 4 | hex_digit(*low)?),
            _ => None,
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| context.invalid("not pairs of hexadecimal digits", Some("write them like 'de ad be ef'"), node.position))
}

fn hex_digit(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

impl Serialize for RegistryData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Delete => serializer.serialize_unit(),
            Self::String(text) => serializer.serialize_str(text),
            Self::MultiString(texts) => texts.serialize(serializer),
            Self::Dword(number) => serializer.serialize_u32(*number),
            Self::ExpandString(text) => typed(serializer, "REG_EXPAND_SZ", text),
            Self::Qword(number) => typed(serializer, "REG_QWORD", number),
            Self::Binary(bytes) => typed(serializer, "REG_BINARY", &hex(bytes)),
            Self::None(bytes) => typed(serializer, "REG_NONE", &hex(bytes)),
        }
    }
}

fn typed<S: Serializer>(serializer: S, name: &str, data: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("type", name)?;
    map.serialize_entry("data", data)?;
    map.end()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl JsonSchema for RegistryData {
    fn schema_name() -> Cow<'static, str> {
        "RegistryData".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = TYPES.map(|(name, _)| name);
        json_schema!({
            "description": "Text (REG_SZ), a number (REG_DWORD), a list (REG_MULTI_SZ), null (the value is deleted), or { type, data }.",
            "anyOf": [
                { "type": "string" },
                { "type": "integer", "minimum": 0, "maximum": u32::MAX },
                { "type": "null" },
                { "type": "array", "items": { "type": ["string", "number", "boolean"] } },
                {
                    "type": "object",
                    "properties": {
                        "type": { "enum": names, "description": "The type as reg.exe names it." },
                        "data": {
                            "description": "Text, number, list, or the bytes as hexadecimal digits.",
                            "type": ["string", "number", "array", "boolean"]
                        }
                    },
                    "required": ["type", "data"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

//! The small types of a recipe's values: paths on the host and in the image, patterns, times, sizes.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::decode::{Context, Decode, Reported};
use super::source::Position;
use super::yaml::Node;

/// A schema of a text with a description and, where one helps an editor, a pattern.
macro_rules! text_schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}
pub(super) use text_schema;

/// A file or folder on this machine that a recipe names. Relative paths start from the folder of the file that names
/// them.
///
/// Two are equal when their canonical forms are: where the recipe's folder lies on the machine is no part of the
/// meaning.
#[derive(Debug, Clone)]
pub struct HostPath {
    /// What to open: the written path joined to the folder of the file that names it.
    pub path: PathBuf,
    /// Where it was written.
    pub position: Option<Position>,
    /// The path relative to the recipe's folder, `/` between its parts, without `.` and resolvable `..`; an absolute
    /// path as written.
    canonical: String,
}

impl HostPath {
    /// A path that was not read from a recipe (a command line option), relative to the current folder.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { canonical: normalize(&path), path, position: None }
    }

    /// The name of this path that does not depend on the machine; see [`HostPath`].
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Joins a written path to the folder of the file it was written in.
    fn written(text: &str, position: Position, context: &Context) -> Self {
        let source = context.sources.get(position.source);
        let folder = source.and_then(|source| source.path.parent()).unwrap_or(Path::new(""));
        let canonical_folder = source.map_or(Path::new(""), |source| source.canonical_folder.as_path());
        Self { path: without_dots(&folder.join(text)), position: Some(position), canonical: normalize(&canonical_folder.join(text)) }
    }
}

/// A path without `.` and doubled separators; `..` stays, since after a symbolic link it leads elsewhere.
pub(super) fn without_dots(path: &Path) -> PathBuf {
    path.components().filter(|component| *component != Component::CurDir).collect()
}

/// A path without `.`, doubled separators, and `..` after a named part. Only a name: what is opened is
/// [`without_dots`].
pub(super) fn normalize(path: &Path) -> String {
    let mut parts: Vec<Cow<'_, str>> = Vec::new();
    let mut root = "";
    for component in path.components() {
        match component {
            Component::RootDir | Component::Prefix(_) => root = "/",
            Component::CurDir => {}
            Component::ParentDir => match parts.last() {
                Some(last) if last != ".." => {
                    parts.pop();
                }
                _ if root.is_empty() => parts.push("..".into()),
                _ => {}
            },
            Component::Normal(part) => parts.push(part.to_string_lossy()),
        }
    }
    if parts.is_empty() && root.is_empty() { ".".to_owned() } else { format!("{root}{}", parts.join("/")) }
}

impl PartialEq for HostPath {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for HostPath {}

impl Serialize for HostPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.canonical)
    }
}

impl Decode for HostPath {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let text = context.text("a path", node)?;
        if text.is_empty() || text.contains('\0') {
            return Err(context.invalid("not a path", None, node.position));
        }
        Ok(Self::written(text, node.position, context))
    }
}

text_schema!(HostPath, "HostPath", {
    "type": "string",
    "minLength": 1,
    "description": "A file or folder on this machine. A relative path starts from the folder of the file that names it."
});

/// A path inside an image: `/Windows/System32`, from the image's root, without a drive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ImagePath(String);

/// UTF-16 units of one name: the limit of NTFS.
const MAX_NAME: usize = 255;

impl ImagePath {
    /// Reads a path; `\` is taken as `/`. It starts at the root, has no drive, and each of its parts is a name that
    /// NTFS and Win32 allow.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let slashed = text.replace('\\', "/");
        if slashed.as_bytes().get(1) == Some(&b':') {
            return Err(format!("`{text}` has a drive: a path in an image starts with `/` at the image's own root"));
        }
        let Some(relative) = slashed.strip_prefix('/') else {
            return Err(format!("`{text}` does not start with `/`: a path in an image starts at the image's root"));
        };
        let mut path = String::with_capacity(slashed.len());
        for name in relative.split('/').filter(|name| !name.is_empty()) {
            if name == "." || name == ".." {
                return Err(format!("`{name}` is not allowed in a path in an image"));
            }
            if let Some(bad) = name.chars().find(|c| c.is_control() || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*')) {
                return Err(format!("{bad:?} is not allowed in a file name of Windows"));
            }
            if name.ends_with(['.', ' ']) {
                return Err(format!("`{name}` ends with a dot or a space, which Windows does not allow in a file name"));
            }
            if name.encode_utf16().count() > MAX_NAME {
                return Err(format!("a file name has more than {MAX_NAME} characters"));
            }
            path.push('/');
            path.push_str(name);
        }
        if path.is_empty() {
            path.push('/');
        }
        Ok(Self(path))
    }

    /// The path: starts with `/`, has `/` between names, none at the end; the root is `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Decode for ImagePath {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let text = context.text("a path in the image", node)?;
        Self::parse(text).map_err(|reason| context.invalid(reason, None, node.position))
    }
}

text_schema!(ImagePath, "ImagePath", {
    "type": "string",
    "pattern": "^[/\\\\]",
    "description": "A path inside the image, from its root and without a drive: `/ProgramData/Contoso`."
});

/// A name in which `*` stands for any characters and `?` for one; upper and lower case are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when it has neither `*` nor `?`, so that at most one name is meant.
    #[must_use]
    pub fn is_name(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    /// Whether `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        wimwright_servicing::pattern::matches(&self.0, name)
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Decode for Pattern {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        match context.text("a name", node)? {
            "" => Err(context.invalid("a name cannot be empty", None, node.position)),
            text => Ok(Self(text.to_owned())),
        }
    }
}

text_schema!(Pattern, "Pattern", {
    "type": ["string", "number"],
    "minLength": 1,
    "description": "A name in which `*` stands for any characters and `?` for one; upper and lower case are the same."
});

/// The whole name of something of Windows, as DISM shows it; upper and lower case are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Decode for Name {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        match context.text("a name", node)? {
            "" => Err(context.invalid("a name cannot be empty", None, node.position)),
            text if text.contains(['*', '?']) => {
                Err(context.invalid(format!("`{text}` is a pattern: a whole name is needed here"), None, node.position))
            }
            text => Ok(Self(text.to_owned())),
        }
    }
}

text_schema!(Name, "Name", {
    "type": "string",
    "pattern": "^[^*?]+$",
    "description": "A whole name, as DISM shows it; upper and lower case are the same."
});

/// A moment, as Windows counts: 100-nanosecond units since 1601-01-01T00:00:00Z (FILETIME).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// 100-nanosecond units since 1601.
    pub filetime: u64,
}

/// 1970-01-01T00:00:00Z as FILETIME.
const UNIX_EPOCH_AS_FILETIME: i128 = 116_444_736_000_000_000;

impl Timestamp {
    /// Reads an RFC 3339 moment (`2026-11-01T08:30:00Z`, with `+01:00` for another zone) or a date, which means its
    /// first moment in UTC. `None` when it is neither or lies outside what FILETIME counts.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let of_date;
        let text = if text.len() == "YYYY-MM-DD".len() {
            of_date = format!("{text}T00:00:00Z");
            &of_date
        } else {
            text
        };
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let filetime = moment.unix_timestamp_nanos().div_euclid(100) + UNIX_EPOCH_AS_FILETIME;
        // The high bit is a sign in Windows' own arithmetic.
        u64::try_from(filetime).ok().filter(|filetime| *filetime <= i64::MAX.unsigned_abs()).map(|filetime| Self { filetime })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nanoseconds = (i128::from(self.filetime) - UNIX_EPOCH_AS_FILETIME) * 100;
        let text = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok())
            .ok_or_else(|| serde::ser::Error::custom("a time past the year 9999"))?;
        serializer.serialize_str(&text)
    }
}

impl Decode for Timestamp {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let text = context.text("a time", node)?;
        Self::parse(text).ok_or_else(|| {
            context.invalid(format!("`{text}` is not a time"), Some("write it like 2026-11-01T00:00:00Z or 2026-11-01"), node.position)
        })
    }
}

text_schema!(Timestamp, "Timestamp", {
    "type": "string",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].*)?$",
    "description": "A moment like `2026-11-01T00:00:00Z`, or a date, which means its first moment in UTC."
});

/// A size in bytes, written with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize {
    /// The size in bytes.
    pub bytes: u64,
}

/// Units of sizes. `MB` is 2^20 bytes: DISM's `/FileSize` counts so, and so does Windows wherever it shows a size.
const SIZE_UNITS: [(&str, u32); 3] = [("KB", 10), ("MB", 20), ("GB", 30)];

impl ByteSize {
    /// Reads a size like `4000MB` or `3 GB`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (unit, shift) = SIZE_UNITS.iter().find(|(unit, _)| text.len() > 2 && text.to_ascii_uppercase().ends_with(unit))?;
        let number: u64 = text.get(..text.len() - unit.len())?.trim_end().parse().ok()?;
        number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).map(|bytes| Self { bytes })
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Sizes are whole KB by construction.
        let (unit, shift) = SIZE_UNITS.iter().rev().find(|(_, shift)| self.bytes.is_multiple_of(1 << shift)).unwrap_or(&SIZE_UNITS[0]);
        serializer.serialize_str(&format!("{}{unit}", self.bytes >> shift))
    }
}

impl Decode for ByteSize {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let text = context.text("a size", node)?;
        Self::parse(text).ok_or_else(|| {
            let advice = "write a whole number and KB, MB or GB, for example 4000MB";
            context.invalid(format!("`{text}` is not a size"), Some(advice), node.position)
        })
    }
}

text_schema!(ByteSize, "ByteSize", {
    "type": "string",
    "pattern": "^[0-9]+ *([kK]|[mM]|[gG])[bB]$",
    "description": "A size: a whole number and KB, MB (2^20 bytes, as DISM counts) or GB."
});

/// Anything in place of a list of it: in a recipe one item may stand without its list. Exists for the schema only.
pub(super) struct OneOrMany<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [item, { "type": "array", "items": item }] })
    }
}

/// Lets a schema's mapping be written as a text alone: its main value.
pub(super) fn text_alone(schema: &mut Schema) {
    let mapping = std::mem::take(schema);
    *schema = json_schema!({ "anyOf": [{ "type": "string", "minLength": 1 }, mapping] });
}

//! The XML of a container index. Read as a stream: an index of a cumulative update is 100 MB.

use std::collections::HashMap;
use std::fmt::Write;

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;

use super::{
    Basis, BasisLocation, ContainerIndex, ContainerKind, Delta, IndexError, IndexedFile, LARGEST_COUNT, Place, Source, SourceKind,
    checked_name,
};
use crate::digest::Digest;

const NAMESPACE: &str = "urn:ContainerIndex";
/// Elements inside each other at most; `Container/Files/File/Delta/Source/Hash` is six.
const DEEPEST: usize = 16;
/// Attributes of one element at most; `File` has five.
const MOST_ATTRIBUTES: usize = 32;

const KINDS: [(&str, ContainerKind); 3] = [("CAB", ContainerKind::Cab), ("PSF", ContainerKind::Psf), ("PSFX", ContainerKind::Psfx)];
const SOURCE_KINDS: [(&str, SourceKind); 7] = [
    ("RAW", SourceKind::Raw),
    ("PA19", SourceKind::Pa19),
    ("PA30", SourceKind::Pa30),
    ("PA31", SourceKind::Pa31),
    ("LZX", SourceKind::Lzx),
    ("XPRESS", SourceKind::Xpress),
    ("LZMS", SourceKind::Lzms),
];

/// A basis before its id is resolved.
enum ReadBasis {
    File(u64),
    External { length: u64, digest: Option<Digest> },
}

#[derive(Default)]
struct ReadDelta {
    source: Option<Source>,
    basis: Option<ReadBasis>,
}

struct ReadFile {
    id: u64,
    name: String,
    length: u64,
    time: u64,
    attributes: u32,
    digest: Option<Digest>,
    deltas: Vec<ReadDelta>,
}

/// Attributes of one element.
struct Attributes<'a> {
    element: &'static str,
    values: Vec<(String, std::borrow::Cow<'a, str>)>,
}

impl<'a> Attributes<'a> {
    fn read(element: &'static str, start: &'a BytesStart, position: u64) -> Result<Self, IndexError> {
        let mut values = Vec::new();
        // The reader's own check for duplicates takes time by the square of their number.
        for attribute in start.attributes().with_checks(false) {
            if values.len() == MOST_ATTRIBUTES {
                return Err(IndexError::TooMany("attributes"));
            }
            let attribute = attribute.map_err(|error| IndexError::Xml { position, source: error.into() })?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| IndexError::Xml { position, source: error })?;
            values.push((attribute.key.local_name().as_ref().to_owned(), value));
        }
        Ok(Self { element, values })
    }

    fn get(&self, attribute: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_ref())
    }

    fn text(&self, attribute: &'static str) -> Result<&str, IndexError> {
        self.get(attribute).ok_or(IndexError::Missing { element: self.element, attribute })
    }

    fn wrong(&self, attribute: &'static str, value: &str) -> IndexError {
        IndexError::Value { element: self.element, attribute, value: value.to_owned() }
    }

    /// A decimal number, if the attribute is there.
    fn optional_number<T: std::str::FromStr>(&self, attribute: &'static str) -> Result<Option<T>, IndexError> {
        self.get(attribute).map(|value| value.parse().map_err(|_| self.wrong(attribute, value))).transpose()
    }

    fn number<T: std::str::FromStr>(&self, attribute: &'static str) -> Result<T, IndexError> {
        self.optional_number(attribute)?.ok_or(IndexError::Missing { element: self.element, attribute })
    }

    fn one_of<T: Copy>(&self, attribute: &'static str, names: &[(&str, T)]) -> Result<T, IndexError> {
        let value = self.text(attribute)?;
        let found = names.iter().find(|(name, _)| value.eq_ignore_ascii_case(name));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| self.wrong(attribute, value))
    }

    fn digest(&self) -> Result<Digest, IndexError> {
        let (algorithm, value) = (self.text("alg")?, self.text("value")?);
        Digest::parse(algorithm, value).ok_or_else(|| self.wrong("value", &format!("{algorithm} {value}")))
    }
}

/// Elements that mean something, by their path from the root.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Container,
    Files,
    Search,
    Location,
    File,
    FileHash,
    Delta,
    Source,
    SourceHash,
    Basis,
    BasisHash,
    /// `Description` and whatever else there may be.
    Other,
}

impl Element {
    fn of(parent: Option<Self>, name: &str) -> Option<Self> {
        use Element::*;
        Some(match (parent, name) {
            (None, "Container") => Container,
            (None, _) => return None,
            (Some(Container), "Files") => Files,
            (Some(Container), "DeltaBasisSearch") => Search,
            (Some(Search), "Location") => Location,
            (Some(Files), "File") => File,
            (Some(File), "Hash") => FileHash,
            (Some(File), "Delta") => Delta,
            (Some(Delta), "Source") => Source,
            (Some(Delta), "Basis") => Basis,
            (Some(Source), "Hash") => SourceHash,
            (Some(Basis), "Hash") => BasisHash,
            _ => Other,
        })
    }
}

#[derive(Default)]
struct Document {
    header: Option<(String, ContainerKind, u64, u32)>,
    locations: Vec<BasisLocation>,
    files: Vec<ReadFile>,
}

impl Document {
    fn delta(&mut self) -> Option<&mut ReadDelta> {
        self.files.last_mut()?.deltas.last_mut()
    }

    fn start(&mut self, element: Element, start: &BytesStart, position: u64) -> Result<(), IndexError> {
        let attributes = |element| Attributes::read(element, start, position);
        match element {
            Element::Container => {
                let attributes = attributes("Container")?;
                let kind = attributes.one_of("type", &KINDS)?;
                let name = attributes.get("name").unwrap_or_default().to_owned();
                let length = attributes.optional_number("length")?.unwrap_or(0);
                self.header = Some((name, kind, length, attributes.optional_number("version")?.unwrap_or(1)));
            }
            Element::Location => {
                let attributes = attributes("Location")?;
                let text = |attribute: &str| attributes.get(attribute).unwrap_or_default().to_owned();
                self.locations.push(BasisLocation { id: attributes.number("id")?, path: text("path"), flags: text("flags") });
            }
            Element::File => {
                if self.files.len() == LARGEST_COUNT {
                    return Err(IndexError::TooMany("files"));
                }
                let attributes = attributes("File")?;
                self.files.push(ReadFile {
                    id: attributes.number("id")?,
                    name: checked_name(attributes.text("name")?)?,
                    length: attributes.number("length")?,
                    time: attributes.optional_number("time")?.unwrap_or(0),
                    attributes: attributes.optional_number("attr")?.unwrap_or(0),
                    digest: None,
                    deltas: Vec::new(),
                });
            }
            Element::FileHash => {
                let digest = attributes("Hash")?.digest()?;
                if let Some(file) = self.files.last_mut() {
                    // Where there are several, the stronger one counts.
                    if !matches!(file.digest, Some(Digest::Sha256(_))) {
                        file.digest = Some(digest);
                    }
                }
            }
            Element::Delta => {
                if let Some(file) = self.files.last_mut() {
                    file.deltas.push(ReadDelta::default());
                }
            }
            Element::Source => {
                let source = source(&attributes("Source")?)?;
                if let Some(delta) = self.delta()
                    && delta.source.replace(source).is_some()
                {
                    return Err(IndexError::TooMany("sources in one delta"));
                }
            }
            Element::SourceHash => {
                let digest = attributes("Hash")?.digest()?;
                if let Some(source) = self.delta().and_then(|delta| delta.source.as_mut()) {
                    source.digest = Some(digest);
                }
            }
            Element::Basis => {
                let attributes = attributes("Basis")?;
                let basis = match attributes.optional_number("file")? {
                    Some(id) => ReadBasis::File(id),
                    None => ReadBasis::External { length: attributes.number("length")?, digest: None },
                };
                if let Some(delta) = self.delta()
                    && delta.basis.replace(basis).is_some()
                {
                    return Err(IndexError::TooMany("bases in one delta"));
                }
            }
            Element::BasisHash => {
                let found = attributes("Hash")?.digest()?;
                if let Some(ReadBasis::External { digest, .. }) = self.delta().and_then(|delta| delta.basis.as_mut()) {
                    *digest = Some(found);
                }
            }
            Element::Files | Element::Search | Element::Other => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<ContainerIndex, IndexError> {
        let (name, kind, length, version) = self.header.ok_or(IndexError::Structure("there is no Container"))?;
        let mut by_id = HashMap::with_capacity(self.files.len());
        for (index, file) in self.files.iter().enumerate() {
            if by_id.insert(file.id, index).is_some() {
                return Err(IndexError::DuplicateId(file.id));
            }
        }
        let files = self.files.into_iter().map(|file| file.finish(&by_id)).collect::<Result<_, _>>()?;
        Ok(ContainerIndex { name, kind, length, version, locations: self.locations, files })
    }
}

impl ReadFile {
    fn finish(self, by_id: &HashMap<u64, usize>) -> Result<IndexedFile, IndexError> {
        let mut deltas = Vec::with_capacity(self.deltas.len());
        for delta in self.deltas {
            let basis = match delta.basis {
                None => None,
                Some(ReadBasis::File(id)) => {
                    let found = by_id.get(&id).ok_or_else(|| IndexError::NoSuchBasis { name: self.name.clone(), basis: id })?;
                    Some(Basis::File(*found))
                }
                Some(ReadBasis::External { length, digest }) => {
                    let digest = digest.ok_or(IndexError::Missing { element: "Basis", attribute: "Hash" })?;
                    Some(Basis::External { length, digest })
                }
            };
            if delta.source.is_none() && basis.is_none() {
                return Err(IndexError::Missing { element: "Delta", attribute: "Source or Basis" });
            }
            deltas.push(Delta { source: delta.source, basis });
        }
        let digest = self.digest.ok_or(IndexError::Missing { element: "File", attribute: "Hash" })?;
        let Self { id, name, length, time, attributes, .. } = self;
        Ok(IndexedFile { id, name, length, time, attributes, digest, deltas })
    }
}

fn source(attributes: &Attributes) -> Result<Source, IndexError> {
    let kind = attributes.one_of("type", &SOURCE_KINDS)?;
    let place = match attributes.get("name") {
        Some(name) => Place::Member(name.to_owned()),
        None => Place::Range { offset: attributes.number("offset")?, length: attributes.number("length")? },
    };
    Ok(Source { kind, place, digest: None })
}

pub(super) fn parse(xml: &[u8]) -> Result<ContainerIndex, IndexError> {
    let text = std::str::from_utf8(xml)?;
    let mut reader = NsReader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut document = Document::default();
    let mut path: Vec<Element> = Vec::new();
    loop {
        let position = reader.buffer_position();
        let (namespace, event) = reader.read_resolved_event().map_err(|source| IndexError::Xml { position, source })?;
        let (start, is_empty) = match &event {
            Event::Start(start) => (start, false),
            Event::Empty(start) => (start, true),
            Event::End(_) => {
                path.pop();
                continue;
            }
            Event::DocType(_) => return Err(IndexError::DocumentType),
            Event::Eof if path.is_empty() => return document.finish(),
            Event::Eof => return Err(IndexError::Structure("the document ends inside of it")),
            _ => continue,
        };
        if path.len() == DEEPEST {
            return Err(IndexError::TooMany("nested elements"));
        }
        let ours = match namespace {
            ResolveResult::Bound(namespace) => AsRef::<str>::as_ref(&namespace) == NAMESPACE,
            ResolveResult::Unbound => true,
            ResolveResult::Unknown(_) => false,
        };
        if path.is_empty() && (!ours || document.header.is_some()) {
            return Err(IndexError::Structure("the root is not one Container of urn:ContainerIndex"));
        }
        let name = start.local_name();
        let element = Element::of(path.last().copied(), if ours { AsRef::<str>::as_ref(&name) } else { "" })
            .ok_or(IndexError::Structure("the root is not one Container of urn:ContainerIndex"))?;
        document.start(element, start, position)?;
        if !is_empty {
            path.push(element);
        }
    }
}

/// The name that stands for a meaning.
fn name_of<T: PartialEq>(names: &[(&'static str, T)], meaning: &T) -> &'static str {
    names.iter().find(|(_, known)| known == meaning).map_or("", |(name, _)| name)
}

fn write_hash(xml: &mut String, digest: &Digest) -> std::fmt::Result {
    write!(xml, r#"<Hash alg="{}" value="{digest}"/>"#, digest.algorithm())
}

fn write_file(xml: &mut String, file: &IndexedFile, files: &[IndexedFile]) -> std::fmt::Result {
    let IndexedFile { id, name, length, time, attributes, digest, deltas } = file;
    write!(xml, r#"<File id="{id}" name="{}" length="{length}" time="{time}" attr="{attributes}">"#, escape(name.as_str()))?;
    write_hash(xml, digest)?;
    for delta in deltas {
        xml.push_str("<Delta>");
        if let Some(source) = &delta.source {
            write!(xml, r#"<Source type="{}""#, name_of(&SOURCE_KINDS, &source.kind))?;
            match &source.place {
                Place::Member(name) => write!(xml, r#" name="{}">"#, escape(name.as_str()))?,
                Place::Range { offset, length } => write!(xml, r#" offset="{offset}" length="{length}">"#)?,
            }
            if let Some(digest) = &source.digest {
                write_hash(xml, digest)?;
            }
            xml.push_str("</Source>");
        }
        match &delta.basis {
            Some(Basis::File(index)) => {
                let id = files.get(*index).map_or(0, |basis| basis.id);
                write!(xml, r#"<Basis file="{id}"/>"#)?;
            }
            Some(Basis::External { length, digest }) => {
                write!(xml, r#"<Basis length="{length}">"#)?;
                write_hash(xml, digest)?;
                xml.push_str("</Basis>");
            }
            None => {}
        }
        xml.push_str("</Delta>");
    }
    xml.push_str("</File>");
    Ok(())
}

fn write_container(xml: &mut String, index: &ContainerIndex) -> std::fmt::Result {
    let ContainerIndex { name, kind, length, version, locations, files } = index;
    xml.push_str(r#"<?xml version="1.0" encoding="UTF-8"?>"#);
    xml.push('\n');
    let kind = name_of(&KINDS, kind);
    write!(xml, r#"<Container name="{}" type="{kind}" length="{length}" version="{version}" xmlns="{NAMESPACE}">"#, escape(name.as_str()))?;
    if locations.is_empty() {
        xml.push_str("<Description/>");
    } else {
        xml.push_str("<DeltaBasisSearch>");
        for BasisLocation { id, path, flags } in locations {
            write!(xml, r#"<Location id="{id}" path="{}" flags="{}"/>"#, escape(path.as_str()), escape(flags.as_str()))?;
        }
        xml.push_str("</DeltaBasisSearch>");
    }
    xml.push_str("<Files>");
    files.iter().try_for_each(|file| write_file(xml, file, files))?;
    xml.push_str("</Files></Container>");
    Ok(())
}

pub(super) fn write(index: &ContainerIndex) -> String {
    let mut xml = String::new();
    // A String takes whatever is written to it.
    let written = write_container(&mut xml, index);
    debug_assert!(written.is_ok());
    xml
}

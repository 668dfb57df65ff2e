//! Event log publishers and their channels.

use roxmltree::Node;

use super::super::other::OtherElements;
use super::super::{Error, xml};

/// An `instrumentation/events/provider` element: a publisher of the event log.
///
/// Its events, tasks, levels, keywords and templates are compiled into the resource file; what is registered are the names
/// and channels here (what `wevtutil im` writes to `WINEVT\Publishers` and `WINEVT\Channels`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventProvider {
    /// `name`.
    pub name: String,
    /// `guid`, in braces.
    pub guid: String,
    /// `symbol`.
    pub symbol: Option<String>,
    /// `resourceFileName`: the file with the compiled definitions.
    pub resource_file: Option<String>,
    /// `messageFileName`.
    pub message_file: Option<String>,
    /// `parameterFileName`.
    pub parameter_file: Option<String>,
    /// Channels that it defines or imports, in the order of their references.
    pub channels: Vec<Channel>,
}

/// A `channel` or `importChannel` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Channel {
    /// `name`, `OpenSSH/Operational`.
    pub name: String,
    /// `chid`, which events refer to.
    pub id: Option<String>,
    /// `value`: the number in events; given in order from 16 where it is not stated.
    pub value: Option<String>,
    /// True when another publisher defines it.
    pub imported: bool,
    /// `type`: `Admin`, `Operational`, `Analytic`, `Debug`; absent when imported.
    pub kind: Option<String>,
    /// `enabled`.
    pub enabled: Option<bool>,
    /// `isolation`: `Application`, `System`, `Custom`.
    pub isolation: Option<String>,
    /// `access`: who may use it, in SDDL.
    pub access: Option<String>,
    /// `message`: its name for people, `$(string.…)`.
    pub message: Option<String>,
    /// `symbol`.
    pub symbol: Option<String>,
    /// Settings below `logging` and `publishing`, as `logging/maxSize` and its text.
    pub settings: Vec<(String, String)>,
}

pub(super) fn read(node: Node<'_, '_>, providers: &mut Vec<EventProvider>, other: &mut OtherElements) -> Result<(), Error> {
    for element in xml::elements(node) {
        if xml::name(element) != "events" {
            other.keep(element);
            continue;
        }
        for inner in xml::elements(element) {
            match xml::name(inner) {
                "provider" => providers.push(EventProvider::read(inner, other)?),
                // Resources that were compiled into the resource file.
                "messageTable" => {}
                _ => other.keep(inner),
            }
        }
    }
    Ok(())
}

impl EventProvider {
    fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let mut provider = Self {
            name: xml::required(node, "name")?,
            guid: xml::required(node, "guid")?,
            symbol: xml::owned(node, "symbol"),
            resource_file: xml::owned(node, "resourceFileName"),
            message_file: xml::owned(node, "messageFileName"),
            parameter_file: xml::owned(node, "parameterFileName"),
            channels: Vec::new(),
        };
        for element in xml::elements(node) {
            match xml::name(element) {
                "channels" => {
                    for channel in xml::elements(element) {
                        match xml::name(channel) {
                            "channel" | "importChannel" => provider.channels.push(Channel::read(channel, other)?),
                            _ => other.keep(channel),
                        }
                    }
                }
                // Definitions that were compiled into the resource file.
                "events" | "tasks" | "opcodes" | "keywords" | "levels" | "maps" | "templates" | "filters" | "namedQueries" => {}
                _ => other.keep(element),
            }
        }
        Ok(provider)
    }
}

impl Channel {
    fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let mut channel = Self {
            name: xml::required(node, "name")?,
            id: xml::owned(node, "chid"),
            value: xml::owned(node, "value"),
            imported: xml::name(node) == "importChannel",
            kind: xml::owned(node, "type"),
            enabled: xml::boolean(node, "enabled")?,
            isolation: xml::owned(node, "isolation"),
            access: xml::owned(node, "access"),
            message: xml::owned(node, "message"),
            symbol: xml::owned(node, "symbol"),
            settings: Vec::new(),
        };
        for element in xml::elements(node) {
            match xml::name(element) {
                group @ ("logging" | "publishing") => {
                    for setting in xml::elements(element) {
                        let text = setting.text().unwrap_or_default().trim().to_owned();
                        channel.settings.push((format!("{group}/{}", setting.tag_name().name()), text));
                    }
                }
                _ => other.keep(element),
            }
        }
        Ok(channel)
    }
}

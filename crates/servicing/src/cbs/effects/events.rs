//! Publishers of the event log and their channels.
//!
//! Three places: `WINEVT\Publishers\{guid}` and `WINEVT\Channels\<name>`, as `wevtutil im` writes them (Microsoft's own listing in
//! the driver documentation, "Porting an INF to follow driver package isolation", and a public export of the keys of the
//! Windows 10 calculator agree), and, for channels that are enabled, the publisher's key in the trace session that writes the
//! log (`Autologger\EventLog-Application`, `EventLog-System`; its other values are the same for all 871 publishers in two real SYSTEM hives).
//!
//! A channel's place in the publisher's list is its bit in `MatchAnyKeyword`, from the highest down.

use wimwright_format::manifest::component::{Channel, EventProvider};
use wimwright_format::regf::Data;
use wimwright_format::security_descriptor::Guid;

use super::first_boot::quoted;
use super::{Context, Deferred, EffectError, Effects, RegistryEffect, ValueEffect};

const PUBLISHERS: &str = r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\WINEVT\Publishers";
const CHANNELS: &str = r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\WINEVT\Channels";
const SESSIONS: &str = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\WMI\Autologger";
const EVENT_LOGS: &str = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\EventLog";

/// Most channels of one publisher (documentation of `ChannelListType`).
const MAXIMUM_CHANNELS: usize = 8;

/// Channels of Windows itself: name and the number that all publishers refer to them by (`winmeta.xml`).
const OWN_CHANNELS: &[(&str, u32)] = &[("System", 8), ("Application", 9), ("Security", 10)];

/// Who may use a channel for which the manifest does not say it, by isolation: Windows 8 and later, as `wevtutil gl` shows it.
const APPLICATION_ACCESS: &str = "O:BAG:SYD:(A;;0x2;;;S-1-15-2-1)(A;;0xf0007;;;SY)(A;;0x7;;;BA)(A;;0x7;;;SO)(A;;0x3;;;IU)(A;;0x3;;;SU)(A;;0x3;;;S-1-5-3)\
     (A;;0x3;;;S-1-5-33)(A;;0x1;;;S-1-5-32-573)";
const SYSTEM_ACCESS: &str = "O:BAG:SYD:(A;;0xf0007;;;SY)(A;;0x7;;;BA)(A;;0x3;;;BO)(A;;0x5;;;SO)(A;;0x1;;;IU)(A;;0x3;;;SU)(A;;0x1;;;S-1-5-3)\
     (A;;0x2;;;S-1-5-33)(A;;0x1;;;S-1-5-32-573)";

/// `EVT_CHANNEL_TYPE`.
const TYPES: &[(&str, u32)] = &[("Admin", 0), ("Operational", 1), ("Analytic", 2), ("Debug", 3)];
/// `EVT_CHANNEL_ISOLATION_TYPE`.
const ISOLATIONS: &[(&str, u32)] = &[("Application", 0), ("System", 1), ("Custom", 2)];

/// Options of `wevtutil sl` for the settings of a channel.
const SETTINGS: &[(&str, &str)] = &[
    ("logging/maxSize", "ms"),
    ("logging/retention", "rt"),
    ("logging/autoBackup", "ab"),
    ("publishing/level", "l"),
    ("publishing/keywords", "k"),
];

fn text(name: &str, text: &str) -> ValueEffect {
    ValueEffect::set(name, &Data::Text(text.to_owned()))
}

fn number(name: &str, number: u32) -> ValueEffect {
    ValueEffect::set(name, &Data::Dword(number))
}

/// A word's number, case ignored.
fn find(words: &[(&str, u32)], word: &str) -> Option<u32> {
    words.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, number)| *number)
}

/// Which keywords a publisher's events of the channels in one log have.
#[derive(Default)]
struct LogKeywords {
    application: u64,
    system: u64,
}

impl Context<'_> {
    pub(super) fn add_event_providers(&self, effects: &mut Effects) -> Result<(), EffectError> {
        for provider in &self.component.event_providers {
            let guid = Guid::parse(provider.guid.trim().trim_start_matches('{').trim_end_matches('}'))
                .ok_or_else(|| self.unknown("the guid of an event provider", &provider.guid))?;
            self.add_event_provider(provider, &format!("{{{guid}}}"), effects)?;
        }
        Ok(())
    }

    /// The event log is one for programs of all architectures: its keys are not redirected.
    fn event_key(&self, key: &str, owner: bool, values: Vec<ValueEffect>) -> Result<RegistryEffect, EffectError> {
        let path = self.native_registry_path(key)?;
        Ok(RegistryEffect { path, security: None, owner, values })
    }

    fn add_event_provider(&self, provider: &EventProvider, guid: &str, effects: &mut Effects) -> Result<(), EffectError> {
        if provider.channels.len() > MAXIMUM_CHANNELS {
            return Err(self.unknown("the number of channels of an event provider", &provider.channels.len().to_string()));
        }
        let publisher = format!(r"{PUBLISHERS}\{guid}");
        let files = [
            ("ResourceFileName", "EventResourceFile", &provider.resource_file),
            ("MessageFileName", "EventMessageFile", &provider.message_file),
            ("ParameterFileName", "ParameterMessageFile", &provider.parameter_file),
        ];
        let mut values = vec![text("", &provider.name)];
        let mut classic = vec![text("ProviderGuid", guid)];
        for (name, classic_name, file) in files {
            let Some(file) = file else { continue };
            let file = Data::ExpandableText(self.text(file)?);
            values.push(ValueEffect::set(name, &file));
            if name != "ResourceFileName" {
                classic.push(ValueEffect::set(classic_name, &file));
            }
        }
        effects.registry.push(self.event_key(&publisher, true, values)?);
        if !provider.channels.is_empty() {
            let count = u32::try_from(provider.channels.len()).unwrap_or(u32::MAX);
            effects.registry.push(self.event_key(&format!(r"{publisher}\ChannelReferences"), true, vec![number("Count", count)])?);
        }
        let mut keywords = LogKeywords::default();
        let mut next_id = 16;
        for (place, channel) in provider.channels.iter().enumerate() {
            let own = OWN_CHANNELS.iter().find(|(name, _)| channel.imported && name.eq_ignore_ascii_case(&channel.name));
            let id = match (own, &channel.value) {
                (Some((_, id)), _) => *id,
                (None, Some(value)) => value.parse().map_err(|_| self.unknown("the value of a channel", value))?,
                (None, None) => next_id,
            };
            if own.is_none() {
                next_id = id.saturating_add(1);
            }
            let reference = vec![text("", &channel.name), number("Id", id), number("Flags", u32::from(channel.imported))];
            effects.registry.push(self.event_key(&format!(r"{publisher}\ChannelReferences\{place}"), true, reference)?);
            let keyword = 1_u64.checked_shl(63_u32.saturating_sub(u32::try_from(place).unwrap_or(63))).unwrap_or_default();
            if channel.imported {
                self.import_channel(channel, &provider.name, &classic, keyword, &mut keywords, effects)?;
            } else {
                self.add_channel(channel, guid, keyword, &mut keywords, effects)?;
            }
        }
        for (session, keywords) in [("EventLog-Application", keywords.application), ("EventLog-System", keywords.system)] {
            if keywords != 0 {
                // `Status`, which Windows also shows there, is the outcome of its last start.
                let values = vec![
                    number("Enabled", 1),
                    number("EnableLevel", 0),
                    text("LoggerName", session),
                    ValueEffect::set("MatchAnyKeyword", &Data::Qword(keywords)),
                    ValueEffect::set("MatchAllKeyword", &Data::Qword(0)),
                    number("EnableProperty", 1),
                ];
                effects.registry.push(self.event_key(&format!(r"{SESSIONS}\{session}\{guid}"), true, values)?);
            }
        }
        Ok(())
    }

    /// A channel that another publisher, or Windows, defines.
    fn import_channel(
        &self,
        channel: &Channel,
        provider: &str,
        classic: &[ValueEffect],
        keyword: u64,
        keywords: &mut LogKeywords,
        effects: &mut Effects,
    ) -> Result<(), EffectError> {
        let log = match channel.name.to_ascii_lowercase().as_str() {
            "application" => {
                keywords.application |= keyword;
                "Application"
            }
            "system" => {
                keywords.system |= keyword;
                "System"
            }
            _ => {
                effects.deferred.push(Deferred {
                    installer: "instrumentation/events/provider/channels/importChannel".to_owned(),
                    what: channel.name.clone(),
                    command: None,
                    reason: "which trace session writes the log stands in the manifest of another component; its events are not logged"
                        .to_owned(),
                    definition: Some(provider.to_owned()),
                });
                return Ok(());
            }
        };
        if provider.contains('\\') {
            return Err(self.unknown("the name of an event provider", provider));
        }
        effects.registry.push(self.event_key(&format!(r"{EVENT_LOGS}\{log}\{provider}"), true, classic.to_vec())?);
        Ok(())
    }

    /// A channel that the publisher defines.
    fn add_channel(
        &self,
        channel: &Channel,
        guid: &str,
        keyword: u64,
        keywords: &mut LogKeywords,
        effects: &mut Effects,
    ) -> Result<(), EffectError> {
        if channel.name.is_empty() || channel.name.contains('\\') {
            return Err(self.unknown("the name of a channel", &channel.name));
        }
        let kind = channel.kind.as_deref().unwrap_or_default();
        let kind = find(TYPES, kind).ok_or_else(|| self.unknown("the type of a channel", kind))?;
        let isolation = channel.isolation.as_deref().unwrap_or("Application");
        let isolation = find(ISOLATIONS, isolation).ok_or_else(|| self.unknown("the isolation of a channel", isolation))?;
        let enabled = channel.enabled == Some(true);
        let mut values = vec![text("OwningPublisher", guid), number("Enabled", u32::from(enabled)), number("Isolation", isolation)];
        let access = match (&channel.access, isolation) {
            (Some(access), _) => Some(access.as_str()),
            (None, 0) => Some(APPLICATION_ACCESS),
            (None, 1) => Some(SYSTEM_ACCESS),
            (None, _) => None,
        };
        values.extend(access.map(|access| text("ChannelAccess", access)));
        values.push(number("Type", kind));
        // What administrators set with `wevtutil sl` or the event viewer stays at an upgrade.
        for value in values.iter_mut().filter(|value| matches!(value.name.as_str(), "Enabled" | "ChannelAccess")) {
            value.mutable = true;
        }
        effects.registry.push(self.event_key(&format!(r"{CHANNELS}\{}", channel.name), true, values)?);
        match (enabled, kind, isolation) {
            (true, 0 | 1, 0) => keywords.application |= keyword,
            (true, 0 | 1, 1) => keywords.system |= keyword,
            (true, ..) => {
                let reason = "the channel has a trace session of its own, which the event log makes; nothing is logged until then";
                effects.deferred.push(deferred_setting(channel, "channels/channel", "e", "true", reason));
            }
            (false, ..) => {}
        }
        for (setting, value) in &channel.settings {
            let reason = "how the event log stores this setting is not public; the channel has its default until then";
            let option = SETTINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(setting)).map_or("", |(_, option)| option);
            effects.deferred.push(deferred_setting(channel, setting, option, value, reason));
        }
        Ok(())
    }
}

/// A setting of a channel that `wevtutil sl` makes; without an option, none does.
fn deferred_setting(channel: &Channel, element: &str, option: &str, value: &str, reason: &str) -> Deferred {
    let command = quoted(&channel.name)
        .zip(quoted(value))
        .filter(|_| !option.is_empty())
        .map(|(name, value)| format!("wevtutil.exe set-log {name} /{option}:{value}"));
    Deferred {
        installer: format!("instrumentation/events/provider/{element}"),
        what: channel.name.clone(),
        command,
        reason: reason.to_owned(),
        definition: Some(value.to_owned()),
    }
}

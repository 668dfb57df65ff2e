//! Category memberships: services, groups of service hosts, the environment.
//!
//! A membership names a category (`id`) and contributes instances to it. Words are kept as the manifest spells them and
//! translated to the numbers of the registry on request, so that an unknown word hinders only who needs it. Meanings: Microsoft's
//! documentation of `CreateService`, `SERVICE_FAILURE_ACTIONS`, `SERVICE_TRIGGER`, `SERVICE_SID_INFO` and
//! `SERVICE_LAUNCH_PROTECTED_INFO`; the words from facts/cbs.md 2.6 and real manifests.

use roxmltree::Node;

use super::super::error::shortened;
use super::super::other::OtherElements;
use super::super::{Error, Version, xml};
use super::{SecurityDescriptorReference, registry};
use crate::security_descriptor::Guid;

/// A `categoryMembership` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// `id/@name`: `Microsoft.Windows.Categories`, `Microsoft.Windows.Categories.Services`.
    pub category: String,
    /// `id/@typeName`: `Service`, `SvcHost`, `Environment`, `BootCritical`, `SingleInstanceFiles`, …
    pub type_name: String,
    /// `id/@version`; zero where none is stated.
    pub version: Version,
    /// What the component contributes; empty when belonging is all.
    pub instances: Vec<CategoryInstance>,
}

/// A `categoryInstance` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CategoryInstance {
    /// `subcategory`: the group of service hosts, `path` for the environment, …
    pub subcategory: Option<String>,
    /// What it holds; elements that are none of these are kept in [`super::Component::other`].
    pub entries: Vec<CategoryEntry>,
}

/// What a category instance holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CategoryEntry {
    /// `serviceData`: a service or driver.
    Service(Box<Service>),
    /// `serviceGroup`: a service in the group of service hosts that the subcategory names.
    ServiceGroup {
        /// Name of the service.
        service: String,
        /// Where in the list.
        position: Position,
    },
    /// `path`: a directory for the `Path` variable.
    EnvironmentPath {
        /// The directory, with `%variables%`.
        directory: String,
        /// Where in the list.
        position: Position,
    },
}

/// Where an entry goes in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Position {
    /// Before all others.
    First,
    /// After all others.
    #[default]
    Last,
}

impl Position {
    fn read(node: Node<'_, '_>) -> Result<Self, Error> {
        match xml::attribute(node, "position").unwrap_or("last").to_ascii_lowercase().as_str() {
            "first" => Ok(Self::First),
            "last" | "" => Ok(Self::Last),
            other => Err(xml::invalid(node, "position", other, "first or last")),
        }
    }
}

impl Membership {
    pub(super) fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let mut membership = Self::default();
        for element in xml::elements(node) {
            match xml::name(element) {
                "id" => {
                    membership.category = xml::required(element, "name")?;
                    membership.type_name = xml::owned(element, "typeName").unwrap_or_default();
                    membership.version = xml::attribute(element, "version").and_then(|text| text.parse().ok()).unwrap_or_default();
                }
                "categoryInstance" => {
                    let subcategory = xml::owned(element, "subcategory");
                    let mut entries = Vec::new();
                    for entry in xml::elements(element) {
                        match CategoryEntry::read(entry, other)? {
                            Some(read) => entries.push(read),
                            None => other.keep(entry),
                        }
                    }
                    membership.instances.push(CategoryInstance { subcategory, entries });
                }
                _ => other.keep(element),
            }
        }
        Ok(membership)
    }
}

impl CategoryEntry {
    fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Option<Self>, Error> {
        let entry = match xml::name(node) {
            "serviceData" => return Service::read(node, other).map(|service| Some(Self::Service(Box::new(service)))),
            "serviceGroup" => Self::ServiceGroup { service: xml::required(node, "serviceName")?, position: Position::read(node)? },
            "path" => Self::EnvironmentPath { directory: xml::required(node, "name")?, position: Position::read(node)? },
            _ => return Ok(None),
        };
        other.keep_children(node);
        Ok(Some(entry))
    }
}

/// A `serviceData` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// `name`: the key under `Services`.
    pub name: String,
    /// `displayName`.
    pub display_name: Option<String>,
    /// `description`.
    pub description: Option<String>,
    /// `type`, see [`Service::type_bits`].
    pub service_type: Option<String>,
    /// `start`, see [`Service::start_type`].
    pub start: Option<String>,
    /// `errorControl`, see [`Service::error_control_value`].
    pub error_control: Option<String>,
    /// `imagePath`, with `%variables%`.
    pub image_path: Option<String>,
    /// `objectName`: the account.
    pub object_name: Option<String>,
    /// `group`: the load order group.
    pub group: Option<String>,
    /// `tag`: order inside the group.
    pub tag: Option<String>,
    /// `dependOnService`.
    pub depend_on_service: Vec<String>,
    /// `dependOnGroup`.
    pub depend_on_group: Vec<String>,
    /// `requiredPrivileges`.
    pub required_privileges: Vec<String>,
    /// `sidType`, see [`Service::sid_type_value`].
    pub sid_type: Option<String>,
    /// `launchProtected`, see [`Service::launch_protected_value`].
    pub launch_protected: Option<String>,
    /// `startAfterInstall`.
    pub start_after_install: Option<String>,
    /// `failureActionsFlag`: whether the failure actions also follow an exit with an error.
    pub failure_actions_flag: Option<bool>,
    /// `failureActions`.
    pub failure_actions: Option<FailureActions>,
    /// `serviceTrigger` elements.
    pub triggers: Vec<ServiceTrigger>,
    /// References to security descriptor definitions: who may control the service.
    pub security_descriptors: Vec<SecurityDescriptorReference>,
}

/// When a service starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartType {
    /// The `Start` value: boot 0, system 1, automatic 2, on demand 3, disabled 4.
    pub value: u32,
    /// True when the value `DelayedAutostart` = 1 stands beside it.
    pub delayed: bool,
}

fn unknown(setting: &'static str, word: &str) -> Error {
    Error::UnknownWord { setting, word: shortened(word) }
}

/// Looks a word up, case ignored. `None` where the manifest has no such attribute.
fn translate(setting: &'static str, word: Option<&str>, meanings: &[(&str, u32)]) -> Result<Option<u32>, Error> {
    let Some(word) = word else { return Ok(None) };
    let found = meanings.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
    found.map(|(_, value)| Some(*value)).ok_or_else(|| unknown(setting, word))
}

impl Service {
    fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let given = |attribute| xml::owned(node, attribute).filter(|value| !value.is_empty());
        let list = |attribute| {
            let text = xml::attribute(node, attribute).unwrap_or_default();
            let entries = text.split(',').map(|entry| entry.trim().trim_matches('"'));
            entries.filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
        };
        let mut service = Self {
            name: xml::required(node, "name")?,
            display_name: given("displayName"),
            description: given("description"),
            service_type: given("type"),
            start: given("start"),
            error_control: given("errorControl"),
            image_path: given("imagePath"),
            object_name: given("objectName"),
            group: given("group"),
            tag: given("tag"),
            depend_on_service: list("dependOnService"),
            depend_on_group: list("dependOnGroup"),
            required_privileges: list("requiredPrivileges"),
            sid_type: given("sidType"),
            launch_protected: given("launchProtected"),
            start_after_install: given("startAfterInstall"),
            failure_actions_flag: xml::boolean(node, "failureActionsFlag")?,
            ..Self::default()
        };
        for element in xml::elements(node) {
            match xml::name(element) {
                "failureActions" => service.failure_actions = Some(FailureActions::read(element, other)?),
                "serviceTrigger" => service.triggers.push(ServiceTrigger::read(element, other)?),
                "securityDescriptor" => service.security_descriptors.push(SecurityDescriptorReference::read(element)?),
                _ => other.keep(element),
            }
        }
        Ok(service)
    }

    /// The `Type` value: bits of the service type, several words joined by `|` or commas.
    ///
    /// # Errors
    /// [`Error::UnknownWord`].
    pub fn type_bits(&self) -> Result<Option<u32>, Error> {
        const TYPES: &[(&str, u32)] = &[
            ("kernelDriver", 0x1),
            ("fileSystemDriver", 0x2),
            ("recognizerDriver", 0x8),
            ("win32OwnProcess", 0x10),
            ("win32ShareProcess", 0x20),
            ("userOwnProcess", 0x50),
            ("userShareProcess", 0x60),
            ("win32UserOwnProcess", 0x50),
            ("win32UserShareProcess", 0x60),
            ("interactiveProcess", 0x100),
        ];
        let Some(words) = &self.service_type else { return Ok(None) };
        let words = words.split(['|', ',']).map(str::trim).filter(|word| !word.is_empty());
        let bits = words.map(|word| translate("service type", Some(word), TYPES).map(Option::unwrap_or_default));
        bits.reduce(|all, bits| Ok(all? | bits?)).transpose()
    }

    /// The `Start` value.
    ///
    /// # Errors
    /// [`Error::UnknownWord`].
    pub fn start_type(&self) -> Result<Option<StartType>, Error> {
        const STARTS: &[(&str, u32)] = &[("boot", 0), ("system", 1), ("auto", 2), ("delayedAuto", 2), ("demand", 3), ("disabled", 4)];
        let delayed = self.start.as_deref().is_some_and(|start| start.eq_ignore_ascii_case("delayedAuto"));
        Ok(translate("service start", self.start.as_deref(), STARTS)?.map(|value| StartType { value, delayed }))
    }

    /// The `ErrorControl` value.
    ///
    /// # Errors
    /// [`Error::UnknownWord`].
    pub fn error_control_value(&self) -> Result<Option<u32>, Error> {
        translate("errorControl", self.error_control.as_deref(), &[("ignore", 0), ("normal", 1), ("severe", 2), ("critical", 3)])
    }

    /// The `ServiceSidType` value.
    ///
    /// # Errors
    /// [`Error::UnknownWord`].
    pub fn sid_type_value(&self) -> Result<Option<u32>, Error> {
        translate("sidType", self.sid_type.as_deref(), &[("none", 0), ("unrestricted", 1), ("restricted", 3)])
    }

    /// The `LaunchProtected` value.
    ///
    /// # Errors
    /// [`Error::UnknownWord`].
    pub fn launch_protected_value(&self) -> Result<Option<u32>, Error> {
        const LEVELS: &[(&str, u32)] = &[("none", 0), ("windows", 1), ("windowsLight", 2), ("antimalwareLight", 3)];
        translate("launchProtected", self.launch_protected.as_deref(), LEVELS)
    }
}

/// A `failureActions` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailureActions {
    /// `resetPeriod`: seconds without failure after which counting starts again; `infinite` is the largest number.
    pub reset_period: u32,
    /// `command`: what `runCommand` runs.
    pub command: Option<String>,
    /// `rebootMessage`.
    pub reboot_message: Option<String>,
    /// What is done after the first, second, … failure.
    pub actions: Vec<FailureAction>,
}

/// An `action` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailureAction {
    /// `type`: `none`, `restartService`, `rebootMachine`, `runCommand`.
    pub kind: String,
    /// `delay` in milliseconds.
    pub delay: u32,
}

fn number(node: Node<'_, '_>, attribute: &'static str) -> Result<u32, Error> {
    let text = xml::attribute(node, attribute).unwrap_or("0");
    if text.eq_ignore_ascii_case("infinite") {
        return Ok(u32::MAX);
    }
    let value = text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u32::from_str_radix(digits, 16));
    value.map_err(|_| xml::invalid(node, attribute, text, "a number below 2^32"))
}

impl FailureActions {
    fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let mut actions = Self {
            reset_period: number(node, "resetPeriod")?,
            command: xml::owned(node, "command"),
            reboot_message: xml::owned(node, "rebootMessage"),
            actions: Vec::new(),
        };
        for element in xml::elements(node) {
            match xml::name(element) {
                "actions" => {
                    for action in xml::elements(element) {
                        let kind = xml::owned(action, "type").unwrap_or_default();
                        actions.actions.push(FailureAction { kind, delay: number(action, "delay")? });
                    }
                }
                _ => other.keep(element),
            }
        }
        Ok(actions)
    }

    /// The `FailureActions` value (REG_BINARY): five little-endian 32-bit numbers (reset period; two pointers, 0 on disk; count;
    /// offset of the actions, 20), then type and delay of each action. Command and message are values of their own.
    ///
    /// # Errors
    /// [`Error::UnknownWord`] for an unknown type of action.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        const KINDS: &[(&str, u32)] = &[("none", 0), ("restartService", 1), ("rebootMachine", 2), ("reboot", 2), ("runCommand", 3)];
        let count = u32::try_from(self.actions.len()).unwrap_or(u32::MAX);
        let mut numbers = vec![self.reset_period, 0, 0, count, 20];
        for action in &self.actions {
            numbers.push(translate("failure action", Some(&action.kind), KINDS)?.unwrap_or_default());
            numbers.push(action.delay);
        }
        Ok(numbers.into_iter().flat_map(u32::to_le_bytes).collect())
    }
}

/// A `serviceTrigger` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceTrigger {
    /// `type`, see [`ServiceTrigger::type_value`].
    pub kind: String,
    /// `action`, see [`ServiceTrigger::action_value`].
    pub action: String,
    /// `subtype`: a GUID in braces or a name, see [`ServiceTrigger::subtype_guid`].
    pub subtype: Option<String>,
    /// `triggerData` elements.
    pub data: Vec<TriggerData>,
}

/// A `triggerData` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TriggerData {
    /// `type`: `string`, `binary`, `level`, `keywordAny`, `keywordAll`.
    pub kind: String,
    /// `value`.
    pub value: String,
}

impl TriggerData {
    /// The `DataType<n>` value below `TriggerInfo\<n>` (`SERVICE_TRIGGER_DATA_TYPE_…`).
    ///
    /// # Errors
    /// [`Error::UnknownWord`].
    pub fn type_value(&self) -> Result<u32, Error> {
        const TYPES: &[(&str, u32)] = &[("binary", 1), ("string", 2), ("level", 3), ("keywordAny", 4), ("keywordAll", 5)];
        translate("type of trigger data", Some(&self.kind), TYPES).map(Option::unwrap_or_default)
    }

    /// The `Data<n>` value beside it (REG_BINARY): text as UTF-16LE with a NUL, a quoted list (`"5355","UDP"`, as for the ports
    /// of the firewall) with a NUL after each and one at the end, a level in one byte, keywords as a 64-bit number,
    /// bytes from hexadecimal digits. Forms: real SYSTEM hives.
    ///
    /// # Errors
    /// [`Error::UnknownWord`], for data that does not have the form of its type as well.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        let wide = |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let malformed = || unknown("data of a service trigger", &self.value);
        let number = || {
            let digits = self.value.strip_prefix("0x").or_else(|| self.value.strip_prefix("0X"));
            digits.map_or_else(|| self.value.parse(), |digits| u64::from_str_radix(digits, 16)).map_err(|_| malformed())
        };
        match self.type_value()? {
            1 => registry::read_hexadecimal(&self.value).ok_or_else(malformed),
            2 if self.value.starts_with('"') => {
                let texts = registry::read_list(&self.value).ok_or_else(malformed)?;
                Ok(texts.iter().flat_map(|text| wide(text)).chain([0, 0]).collect())
            }
            2 => Ok(wide(&self.value)),
            3 => u8::try_from(number()?).map(|level| vec![level]).map_err(|_| malformed()),
            _ => Ok(number()?.to_le_bytes().to_vec()),
        }
    }
}

impl ServiceTrigger {
    fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let mut trigger = Self {
            kind: xml::required(node, "type")?,
            action: xml::required(node, "action")?,
            subtype: xml::owned(node, "subtype"),
            data: Vec::new(),
        };
        for element in xml::elements(node) {
            match xml::name(element) {
                "triggerData" => trigger.data.push(TriggerData {
                    kind: xml::owned(element, "type").unwrap_or_default(),
                    value: xml::owned(element, "value").unwrap_or_default(),
                }),
                _ => other.keep(element),
            }
        }
        Ok(trigger)
    }

    /// The `Type` value below `TriggerInfo\<n>`.
    ///
    /// # Errors
    /// [`Error::UnknownWord`].
    pub fn type_value(&self) -> Result<u32, Error> {
        const TYPES: &[(&str, u32)] = &[
            ("DeviceInterfaceArrival", 1),
            ("IpAddressAvailability", 2),
            ("DomainJoin", 3),
            ("FirewallPortEvent", 4),
            ("GroupPolicy", 5),
            ("NetworkEndpoint", 6),
            ("NetworkEndpointEvent", 6),
            ("CustomSystemStateChange", 7),
            ("WnfStateEvent", 7),
            ("Custom", 20),
            ("Aggregate", 30),
        ];
        translate("service trigger type", Some(&self.kind), TYPES).map(Option::unwrap_or_default)
    }

    /// The `GUID` value below `TriggerInfo\<n>`: the GUID that `subtype` gives, or that `winsvc.h` gives its name (there with
    /// `_GUID` at the end). `WNF_STATE_CHANGE`, the manifests' name for a change of the system's state, is not in that header; the
    /// GUID is that of all such triggers of real SYSTEM hives.
    ///
    /// # Errors
    /// [`Error::UnknownWord`].
    pub fn subtype_guid(&self) -> Result<Guid, Error> {
        const NAMES: &[(&str, &str)] = &[
            ("NETWORK_MANAGER_FIRST_IP_ADDRESS_ARRIVAL", "4f27f2de-14e2-430b-a549-7cd48cbc8245"),
            ("NETWORK_MANAGER_LAST_IP_ADDRESS_REMOVAL", "cc4ba62a-162e-4648-847a-b6bdf993e335"),
            ("DOMAIN_JOIN", "1ce20aba-9851-4421-9430-1ddeb766e809"),
            ("DOMAIN_LEAVE", "ddaf516e-58c2-4866-9574-c3b615d42ea1"),
            ("FIREWALL_PORT_OPEN", "b7569e07-8421-4ee0-ad10-86915afdad09"),
            ("FIREWALL_PORT_CLOSE", "a144ed38-8e12-4de4-9d96-e64740b1a524"),
            ("MACHINE_POLICY_PRESENT", "659fcae6-5bdb-4da9-b1ff-ca2a178d46e0"),
            ("USER_POLICY_PRESENT", "54fb46c8-f089-464c-b1fd-59d1b62c3b50"),
            ("RPC_INTERFACE_EVENT", "bc90d167-9470-4139-a9ba-be0bbbf5b74d"),
            ("NAMED_PIPE_EVENT", "1f81d131-3fac-4537-9e0c-7e7b0c2f4b55"),
            ("CUSTOM_SYSTEM_STATE_CHANGE_EVENT", "2d7a2816-0c5e-45fc-9ce7-570e5ecde9c9"),
            ("WNF_STATE_CHANGE", "2d7a2816-0c5e-45fc-9ce7-570e5ecde9c9"),
        ];
        let subtype = self.subtype.as_deref().unwrap_or_default().trim();
        let name = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(subtype.strip_suffix("_GUID").unwrap_or(subtype)));
        let text = name.map_or_else(|| subtype.trim_start_matches('{').trim_end_matches('}'), |(_, guid)| guid);
        Guid::parse(text).ok_or_else(|| unknown("service trigger subtype", subtype))
    }

    /// The `Action` value below `TriggerInfo\<n>`.
    ///
    /// # Errors
    /// [`Error::UnknownWord`].
    pub fn action_value(&self) -> Result<u32, Error> {
        translate("service trigger action", Some(&self.action), &[("start", 1), ("stop", 2)]).map(Option::unwrap_or_default)
    }
}

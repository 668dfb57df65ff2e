//! Category memberships: services, groups of service hosts, the `Path` variable.
//!
//! The values of a service are those that the service control manager itself writes (`CreateService`,
//! `ChangeServiceConfig2`). Their types were compared with all services of two real SYSTEM hives; the values of five services,
//! triggers, failure actions and security descriptors included, equal those that Windows made from the same or other versions of
//! their manifests (tests).

use wimwright_format::manifest::component::{CategoryEntry, CategoryInstance, Membership, Position, Service, ServiceTrigger, TriggerData};
use wimwright_format::regf::Data;

use super::security::ObjectKind;
use super::{Context, Deferred, EffectError, Effects, Operation, RegistryEffect, ValueEffect};

const SERVICES: &str = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services";
const SERVICE_HOSTS: &str = r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Svchost";
const ENVIRONMENT: &str = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Session Manager\Environment";

/// Categories that mark a component without asking anything of an installer: what happens to its files if Windows does not
/// start, and how many copies of them there may be (facts/cbs.md 2.6).
const MARKS: &[&str] = &["BootCritical", "BootRecovery", "SingleInstanceFiles", "ServicingStackComponent"];

impl Context<'_> {
    pub(super) fn add_categories(&mut self, effects: &mut Effects) -> Result<(), EffectError> {
        for membership in &self.component.memberships {
            let without_entries = membership.instances.iter().all(|instance| instance.entries.is_empty());
            // Without a type it is a group of components that another component names, for resources: nothing installs by it.
            let is_group = membership.type_name.is_empty() && membership.instances.is_empty();
            if without_entries && !is_group && !MARKS.contains(&membership.type_name.as_str()) {
                effects.deferred.push(unknown_category(membership));
            }
            for instance in &membership.instances {
                for entry in &instance.entries {
                    self.add_category_entry(instance, entry, effects)?;
                }
            }
        }
        Ok(())
    }

    fn add_category_entry(&mut self, instance: &CategoryInstance, entry: &CategoryEntry, effects: &mut Effects) -> Result<(), EffectError> {
        let subcategory = instance.subcategory.as_deref().unwrap_or_default();
        match entry {
            CategoryEntry::Service(service) => self.add_service(service, &mut effects.registry)?,
            CategoryEntry::ServiceGroup { service, position } => {
                if subcategory.is_empty() {
                    return Err(self.unknown("the subcategory of a serviceGroup", subcategory));
                }
                let operation = match position {
                    Position::First => Operation::PrependEntries,
                    Position::Last => Operation::AppendEntries,
                };
                let value = ValueEffect { operation, ..ValueEffect::set(subcategory, &Data::Texts(vec![service.clone()])) };
                effects.registry.push(self.key(SERVICE_HOSTS, false, vec![value])?);
            }
            CategoryEntry::EnvironmentPath { directory, position } => {
                if !subcategory.eq_ignore_ascii_case("path") {
                    return Err(self.unknown("the subcategory of a path", subcategory));
                }
                let operation = match position {
                    Position::First => Operation::PrependPath,
                    Position::Last => Operation::AppendPath,
                };
                let value = ValueEffect { operation, ..ValueEffect::set("Path", &Data::ExpandableText(self.text(directory)?)) };
                effects.registry.push(self.key(ENVIRONMENT, false, vec![value])?);
            }
        }
        Ok(())
    }

    fn add_service(&mut self, service: &Service, registry: &mut Vec<RegistryEffect>) -> Result<(), EffectError> {
        if service.name.is_empty() || service.name.contains(['\\', '/']) {
            return Err(self.unknown("the name of a service", &service.name));
        }
        let key = format!(r"{SERVICES}\{}", service.name);
        registry.push(self.key(&key, true, self.service_values(service)?)?);
        for (number, trigger) in service.triggers.iter().enumerate() {
            registry.push(self.key(&format!(r"{key}\TriggerInfo\{number}"), true, self.trigger_values(trigger)?)?);
        }
        if let Some(descriptor) = self.security(&service.security_descriptors, ObjectKind::Service)? {
            let value = ValueEffect::set("Security", &Data::Binary(descriptor.to_vec()));
            registry.push(self.key(&format!(r"{key}\Security"), true, vec![value])?);
        }
        Ok(())
    }

    fn service_values(&self, service: &Service) -> Result<Vec<ValueEffect>, EffectError> {
        let translated = |number: Result<Option<u32>, _>| number.map_err(|error| self.manifest_error(error));
        let mut values = Vec::new();
        let mut number = |name: &str, number: Option<u32>| values.extend(number.map(|number| ValueEffect::set(name, &Data::Dword(number))));
        number("Type", translated(service.type_bits())?);
        let start = service.start_type().map_err(|error| self.manifest_error(error))?;
        number("Start", start.map(|start| start.value));
        number("DelayedAutostart", start.filter(|start| start.delayed).map(|_| 1));
        number("ErrorControl", translated(service.error_control_value())?);
        number("ServiceSidType", translated(service.sid_type_value())?);
        number("LaunchProtected", translated(service.launch_protected_value())?);
        let tag = service.tag.as_deref().map(|tag| tag.parse().map_err(|_| self.unknown("the tag of a service", tag)));
        number("Tag", tag.transpose()?);
        number("FailureActionsOnNonCrashFailures", service.failure_actions_flag.map(u32::from));

        let actions = service.failure_actions.as_ref();
        let texts = [
            ("DisplayName", &service.display_name),
            ("Description", &service.description),
            ("ObjectName", &service.object_name),
            ("Group", &service.group),
            ("FailureCommand", &actions.and_then(|actions| actions.command.clone())),
            ("RebootMessage", &actions.and_then(|actions| actions.reboot_message.clone())),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                values.push(ValueEffect::set(name, &Data::Text(self.text(text)?)));
            }
        }
        if let Some(path) = &service.image_path {
            values.push(ValueEffect::set("ImagePath", &Data::ExpandableText(self.text(path)?)));
        }
        let lists = [
            ("DependOnService", &service.depend_on_service),
            ("DependOnGroup", &service.depend_on_group),
            ("RequiredPrivileges", &service.required_privileges),
        ];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            values.push(ValueEffect::set(name, &Data::Texts(list.clone())));
        }
        if let Some(actions) = actions {
            let bytes = actions.bytes().map_err(|error| self.manifest_error(error))?;
            values.push(ValueEffect::set("FailureActions", &Data::Binary(bytes)));
        }
        // How a service starts is the one setting that administrators change: an upgrade keeps it.
        for value in values.iter_mut().filter(|value| matches!(value.name.as_str(), "Start" | "DelayedAutostart")) {
            value.mutable = true;
        }
        Ok(values)
    }

    /// The values below `TriggerInfo\<n>` (`SERVICE_TRIGGER`; names and types from real SYSTEM hives).
    fn trigger_values(&self, trigger: &ServiceTrigger) -> Result<Vec<ValueEffect>, EffectError> {
        let number = |name: &str, number: Result<u32, _>| -> Result<ValueEffect, EffectError> {
            Ok(ValueEffect::set(name, &Data::Dword(number.map_err(|error| self.manifest_error(error))?)))
        };
        let guid = trigger.subtype_guid().map_err(|error| self.manifest_error(error))?;
        let mut values = vec![
            number("Type", trigger.type_value())?,
            number("Action", trigger.action_value())?,
            ValueEffect::set("GUID", &Data::Binary(guid.0.to_vec())),
        ];
        for (place, item) in trigger.data.iter().enumerate() {
            let kind = item.type_value().map_err(|error| self.manifest_error(error))?;
            values.push(ValueEffect::set(&format!("DataType{place}"), &Data::Dword(kind)));
            values.push(ValueEffect::set(&format!("Data{place}"), &Data::Binary(self.trigger_data(item)?)));
        }
        Ok(values)
    }

    fn trigger_data(&self, item: &TriggerData) -> Result<Vec<u8>, EffectError> {
        item.bytes().map_err(|error| self.manifest_error(error))
    }
}

fn unknown_category(membership: &Membership) -> Deferred {
    Deferred {
        installer: format!("memberships/{}", membership.type_name),
        what: membership.category.clone(),
        command: None,
        reason: "no public source says what belonging to this category does".to_owned(),
        definition: None,
    }
}

//! Registry keys and values that the manifest spells out.

use wimwright_format::manifest::component::{Operation as Hint, RegistryKey, RegistryValue};
use wimwright_format::regf::ValueKind;

use super::security::ObjectKind;
use super::{Context, EffectError, Effects, Operation, RegistryEffect, ValueEffect};

impl Context<'_> {
    pub(super) fn add_keys(&mut self, effects: &mut Effects) -> Result<(), EffectError> {
        for key in &self.component.registry_keys {
            let name = self.text(&key.name)?;
            let values: Result<Vec<ValueEffect>, EffectError> = key.values.iter().map(|value| self.value(key, value)).collect();
            effects.registry.push(RegistryEffect {
                path: self.registry_path(&name)?,
                security: self.security(&key.security_descriptors, ObjectKind::Key)?,
                // Manifests only ever say `false`: a key belongs to its component unless it says otherwise.
                owner: key.owner != Some(false),
                values: values?,
            });
        }
        Ok(())
    }

    fn value(&self, key: &RegistryKey, value: &RegistryValue) -> Result<ValueEffect, EffectError> {
        let kind = ValueKind(value.value_type);
        let operation = match (value.operation, kind) {
            (Hint::Replace, _) => Operation::Set,
            (Hint::Append, ValueKind::MULTI_SZ) => Operation::AppendEntries,
            (Hint::Prepend, ValueKind::MULTI_SZ) => Operation::PrependEntries,
            (Hint::Append | Hint::Prepend, _) => {
                let setting = format!("operationHint of the {kind} value {}", value.name);
                return Err(self.unknown(setting, &key.name));
            }
        };
        Ok(ValueEffect {
            name: value.name.clone(),
            kind,
            data: value.data.bytes(|text| self.expand(text)).map_err(|error| self.manifest_error(error))?,
            operation,
            mutable: value.mutable,
            owner: value.owner != Some(false),
        })
    }
}

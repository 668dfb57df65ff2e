//! Security descriptors: SDDL of the manifest, completed to what an object of its kind holds.
//!
//! An access check compares the rights of an entry with the rights asked for, bit by bit; generic rights (`GA`, `GR`) in an
//! entry grant nothing until they are replaced by the rights of the kind of object. Windows does so whenever a descriptor is
//! given to an object, and where an entry is also inherited it splits it: one entry that takes effect here, and one that is
//! only inherited and keeps the generic rights (MS-DTYP 2.5.3.4). SDDL without owner or group means those of the installer:
//! SYSTEM for both. Files and keys also get the marks of automatic inheritance (`AI`), services do not. All this was compared
//! with what Windows stored in two real SYSTEM hives for keys and services of the same manifests (tests). One difference:
//! without `S:` in the SDDL real keys have an empty SACL, or one without a list, depending on the version of Windows; ours have
//! none. It means the same.

use std::sync::Arc;

use wimwright_format::manifest::component::SecurityDescriptorReference;
use wimwright_format::security_descriptor::{Ace, AceBody, Acl, SecurityDescriptor, Sid, ace_flags, control};

use super::{Context, EffectError};

/// What a descriptor protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ObjectKind {
    File,
    Directory,
    Key,
    Service,
}

const GENERIC_READ: u32 = 0x8000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
const GENERIC_EXECUTE: u32 = 0x2000_0000;
const GENERIC_ALL: u32 = 0x1000_0000;

impl ObjectKind {
    /// What the generic rights mean (Windows SDK: `FILE_GENERIC_…`, `KEY_…`, `SERVICE_…`).
    fn mapping(self) -> [(u32, u32); 4] {
        let [read, write, execute, all] = match self {
            Self::File | Self::Directory => [0x0012_0089, 0x0012_0116, 0x0012_00a0, 0x001f_01ff],
            Self::Key => [0x0002_0019, 0x0002_0006, 0x0002_0019, 0x000f_003f],
            Self::Service => [0x0002_008d, 0x0002_0002, 0x0002_0170, 0x000f_01ff],
        };
        [(GENERIC_READ, read), (GENERIC_WRITE, write), (GENERIC_EXECUTE, execute), (GENERIC_ALL, all)]
    }

    fn specific(self, mask: u32) -> u32 {
        const GENERIC: u32 = GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL;
        self.mapping().iter().filter(|(generic, _)| mask & generic != 0).fold(mask & !GENERIC, |all, (_, rights)| all | rights)
    }

    /// The list with the rights of this kind of object.
    fn specific_list(self, list: &Acl) -> Acl {
        const INHERITABLE: u8 = ace_flags::OBJECT_INHERIT | ace_flags::CONTAINER_INHERIT;
        const INHERITANCE: u8 = INHERITABLE | ace_flags::NO_PROPAGATE_INHERIT | ace_flags::INHERIT_ONLY;
        let mut aces = Vec::with_capacity(list.aces.len());
        for ace in &list.aces {
            let AceBody::Simple { mask, sid, application_data } = &ace.body else {
                aces.push(ace.clone());
                continue;
            };
            let specific = self.specific(*mask);
            if specific == *mask || ace.flags & ace_flags::INHERIT_ONLY != 0 {
                aces.push(ace.clone());
                continue;
            }
            let body = AceBody::Simple { mask: specific, sid: sid.clone(), application_data: application_data.clone() };
            let inherited = matches!(self, Self::Directory | Self::Key) && ace.flags & INHERITABLE != 0;
            let flags = if inherited { ace.flags & !INHERITANCE } else { ace.flags };
            aces.push(Ace { flags, body, ..ace.clone() });
            if inherited {
                aces.push(Ace { flags: ace.flags | ace_flags::INHERIT_ONLY, ..ace.clone() });
            }
        }
        Acl { revision: list.revision, aces }
    }

    /// The descriptor as an object of this kind holds it.
    fn complete(self, mut descriptor: SecurityDescriptor) -> SecurityDescriptor {
        let system = || Sid::from_sddl("SY").ok();
        descriptor.owner = descriptor.owner.or_else(system);
        descriptor.group = descriptor.group.or_else(system);
        if self != Self::Service {
            descriptor.control |= control::DACL_AUTO_INHERITED | control::SACL_AUTO_INHERITED;
        }
        descriptor.dacl = descriptor.dacl.map(|list| self.specific_list(&list));
        descriptor.sacl = descriptor.sacl.map(|list| self.specific_list(&list));
        descriptor
    }
}

impl Context<'_> {
    /// The self-relative descriptor that an object's references mean; `None` for what the parent hands down.
    pub(super) fn security(
        &mut self,
        references: &[SecurityDescriptorReference],
        kind: ObjectKind,
    ) -> Result<Option<Arc<[u8]>>, EffectError> {
        let mut found: Option<Option<Arc<[u8]>>> = None;
        for reference in references {
            let descriptor = self.named_security(&reference.name, kind)?;
            if found.as_ref().is_some_and(|first| *first != descriptor) {
                let names: Vec<&str> = references.iter().map(|reference| reference.name.as_str()).collect();
                return Err(EffectError::AmbiguousSecurity { component: self.keyform(), names: names.join(", ") });
            }
            found = Some(descriptor);
        }
        Ok(found.flatten())
    }

    fn named_security(&mut self, name: &str, kind: ObjectKind) -> Result<Option<Arc<[u8]>>, EffectError> {
        let key = (name.to_ascii_lowercase(), kind);
        if let Some(made) = self.descriptors.get(&key) {
            return Ok(made.clone());
        }
        let component = self.keyform();
        let Some(sddl) = self.sddl.get(&key.0) else {
            return Err(EffectError::UndefinedSecurity { component, name: name.to_owned() });
        };
        let descriptor = if sddl.trim().eq_ignore_ascii_case("(inherit)") {
            None
        } else {
            let named = |component| (component, name.to_owned());
            let descriptor = SecurityDescriptor::from_sddl(sddl).map_err(|source| {
                let (component, name) = named(component.clone());
                EffectError::Sddl { component, name, source }
            })?;
            let bytes = kind.complete(descriptor).encode().map_err(|source| {
                let (component, name) = named(component.clone());
                EffectError::EncodeSecurity { component, name, source }
            })?;
            Some(Arc::from(bytes))
        };
        self.descriptors.insert(key, descriptor.clone());
        Ok(descriptor)
    }
}

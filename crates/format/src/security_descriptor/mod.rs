//! Windows security descriptors: who owns an object, who may do what with it, and what is audited.
//!
//! A descriptor has two outer forms. On disk (WIM security data, registry `sk` cells, NTFS `$Secure`) it is *self-relative*:
//! a 20-byte header whose offsets point at the parts behind it, little-endian throughout. In manifests, INF files and
//! tools it is text in the Security Descriptor Definition Language (SDDL). Both are read into the same [`SecurityDescriptor`].
//!
//! What holds in every value: an absent ACL and an empty one differ (a *null* DACL lets everyone in, an empty one lets
//! nobody in), the order of ACEs is meaning, and an ACE that we do not know keeps its bytes.
//!
//! Source: MS-DTYP 2.4 (SID, ACE, ACL, SECURITY_DESCRIPTOR) and 2.5.1 (SDDL); Win32 `sddl.h`, `winnt.h`.

mod ace;
mod binary;
mod sddl;
mod sddl_names;
mod sid;
#[cfg(test)]
mod tests;

pub use ace::{Ace, AceBody, AceType, Acl, Guid, ace_flags};
pub use binary::{DecodeError, EncodeError};
pub use sddl::{PrintError, SddlError};
pub use sid::{Sid, SidError};

/// Bits of [`SecurityDescriptor::control`] (`SECURITY_DESCRIPTOR_CONTROL`, MS-DTYP 2.4.6).
pub mod control {
    /// The owner was set by a default, not by a person.
    pub const OWNER_DEFAULTED: u16 = 0x0001;
    /// The group was set by a default.
    pub const GROUP_DEFAULTED: u16 = 0x0002;
    /// There is a DACL. With no DACL in place it is a *null* DACL: everyone has every right.
    pub const DACL_PRESENT: u16 = 0x0004;
    /// The DACL was set by a default.
    pub const DACL_DEFAULTED: u16 = 0x0008;
    /// There is a SACL; with none in place, a null SACL.
    pub const SACL_PRESENT: u16 = 0x0010;
    /// The SACL was set by a default.
    pub const SACL_DEFAULTED: u16 = 0x0020;
    /// The caller asks that the DACL be inherited to existing children (SDDL `AR`).
    pub const DACL_AUTO_INHERIT_REQUIRED: u16 = 0x0100;
    /// The same for the SACL.
    pub const SACL_AUTO_INHERIT_REQUIRED: u16 = 0x0200;
    /// Inherited ACEs of the DACL are marked as such (SDDL `AI`).
    pub const DACL_AUTO_INHERITED: u16 = 0x0400;
    /// The same for the SACL.
    pub const SACL_AUTO_INHERITED: u16 = 0x0800;
    /// The DACL inherits nothing (SDDL `P`).
    pub const DACL_PROTECTED: u16 = 0x1000;
    /// The SACL inherits nothing.
    pub const SACL_PROTECTED: u16 = 0x2000;
    /// `resource_manager_control` holds bits of a resource manager.
    pub const RESOURCE_MANAGER_CONTROL_VALID: u16 = 0x4000;
    /// The descriptor is one run of bytes with offsets. Every encoded descriptor has it.
    pub const SELF_RELATIVE: u16 = 0x8000;
}

/// A security descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityDescriptor {
    /// Bits of [`control`]. `SELF_RELATIVE`, and the `PRESENT` bit of an ACL that is there, need not be set: encoding sets them.
    pub control: u16,
    /// Bits of a resource manager; 0 unless `RESOURCE_MANAGER_CONTROL_VALID`.
    pub resource_manager_control: u8,
    /// Who owns the object.
    pub owner: Option<Sid>,
    /// The primary group (POSIX subsystems only).
    pub group: Option<Sid>,
    /// System ACL: auditing, integrity label, resource attributes.
    pub sacl: Option<Acl>,
    /// Discretionary ACL: who may do what.
    pub dacl: Option<Acl>,
}

impl SecurityDescriptor {
    /// True when the descriptor says outright that everyone has every right.
    #[must_use]
    pub fn has_null_dacl(&self) -> bool {
        self.control & control::DACL_PRESENT != 0 && self.dacl.is_none()
    }

    /// `control` with the bits that follow from the parts in place.
    fn effective_control(&self) -> u16 {
        let present = |acl: &Option<Acl>, bit| if acl.is_some() { bit } else { 0 };
        self.control | control::SELF_RELATIVE | present(&self.sacl, control::SACL_PRESENT) | present(&self.dacl, control::DACL_PRESENT)
    }
}

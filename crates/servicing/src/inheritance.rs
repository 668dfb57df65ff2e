//! The security descriptor that Windows gives a new file or folder: what the folder above hands down.
//!
//! Rules: MS-DTYP 2.5.3.4 (ACL inheritance, generic rights, CREATOR OWNER). Owner is Administrators, as for everything that
//! an administrator creates in a mounted image; group is SYSTEM.

use wimwright_format::security_descriptor::{Ace, AceBody, Acl, SecurityDescriptor, Sid, ace_flags, control};

const GENERIC_READ: u32 = 0x8000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
const GENERIC_EXECUTE: u32 = 0x2000_0000;
const GENERIC_ALL: u32 = 0x1000_0000;
/// What the generic rights mean for something.
type Mapping = [(u32, u32); 4];
/// For files (Windows SDK, `FILE_GENERIC_…` and `FILE_ALL_ACCESS`).
const FILE_MAPPING: Mapping =
    [(GENERIC_READ, 0x0012_0089), (GENERIC_WRITE, 0x0012_0116), (GENERIC_EXECUTE, 0x0012_00a0), (GENERIC_ALL, 0x001f_01ff)];

/// For keys (Windows SDK, `KEY_READ`, `KEY_WRITE`, `KEY_EXECUTE`, `KEY_ALL_ACCESS`).
const KEY_MAPPING: Mapping =
    [(GENERIC_READ, 0x0002_0019), (GENERIC_WRITE, 0x0002_0006), (GENERIC_EXECUTE, 0x0002_0019), (GENERIC_ALL, 0x000f_003f)];

/// What has a security descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file.
    File,
    /// A folder.
    Directory,
    /// A registry key.
    Key,
}

/// What Windows makes of a descriptor that is given to something below `parent`: unless it is protected, it takes over what the parent
/// hands down, behind its own entries (MS-DTYP 2.5.3.4.1).
pub(crate) fn with_inherited(own: &SecurityDescriptor, parent: &SecurityDescriptor, kind: Kind) -> SecurityDescriptor {
    let Some(own_list) = own.dacl.as_ref().filter(|_| own.control & control::DACL_PROTECTED == 0) else { return own.clone() };
    let mut aces: Vec<Ace> = own_list.aces.iter().filter(|ace| ace.flags & ace_flags::INHERITED == 0).cloned().collect();
    let mapping = if kind == Kind::Key { KEY_MAPPING } else { FILE_MAPPING };
    for ace in parent.dacl.iter().flat_map(|acl| &acl.aces) {
        hand_down(ace, kind != Kind::File, own.owner.as_ref(), &mapping, &mut aces);
    }
    SecurityDescriptor { control: own.control | control::DACL_AUTO_INHERITED, dacl: Some(Acl::new(aces)), ..own.clone() }
}

/// The same for descriptors in self-relative form. One that cannot be read stays as it is: it was checked before.
pub(crate) fn encoded_with_inherited(own: &[u8], parent: &[u8], kind: Kind) -> Vec<u8> {
    let merged = || {
        let (own, parent) = (SecurityDescriptor::decode(own).ok()?, SecurityDescriptor::decode(parent).ok()?);
        let merged = with_inherited(&own, &parent, kind);
        (merged != own).then(|| merged.encode().ok()).flatten()
    };
    merged().unwrap_or_else(|| own.to_vec())
}

/// What a child of a folder with this security gets.
pub(crate) fn inherited_by_child(parent: &SecurityDescriptor, is_directory: bool) -> SecurityDescriptor {
    let owner = Sid::from_sddl("BA").ok();
    let mut aces = Vec::new();
    for ace in parent.dacl.iter().flat_map(|acl| &acl.aces) {
        hand_down(ace, is_directory, owner.as_ref(), &FILE_MAPPING, &mut aces);
    }
    SecurityDescriptor {
        control: control::SELF_RELATIVE | control::DACL_PRESENT | control::DACL_AUTO_INHERITED,
        resource_manager_control: 0,
        owner: owner.clone(),
        group: Sid::from_sddl("SY").ok(),
        sacl: None,
        dacl: Some(Acl::new(aces)),
    }
}

fn hand_down(ace: &Ace, is_directory: bool, owner: Option<&Sid>, mapping: &Mapping, into: &mut Vec<Ace>) {
    const INHERITABLE: u8 = ace_flags::OBJECT_INHERIT | ace_flags::CONTAINER_INHERIT;
    let to_files = ace.flags & ace_flags::OBJECT_INHERIT != 0;
    let to_folders = ace.flags & ace_flags::CONTAINER_INHERIT != 0;
    let stops_here = ace.flags & ace_flags::NO_PROPAGATE_INHERIT != 0;
    let audit_flags = ace.flags & (ace_flags::SUCCESSFUL_ACCESS | ace_flags::FAILED_ACCESS | ace_flags::CRITICAL);
    let inherited = ace_flags::INHERITED | audit_flags;
    let handed_on = if is_directory && !stops_here { ace.flags & INHERITABLE } else { 0 };
    if if is_directory { to_folders } else { to_files } {
        let effective = effective_body(&ace.body, owner, mapping);
        // What changes when it takes effect here is handed on unchanged by a second entry.
        let split = effective != ace.body && handed_on != 0;
        let flags = if split { 0 } else { handed_on };
        into.push(Ace { flags: flags | inherited, body: effective, ..ace.clone() });
        if split {
            into.push(Ace { flags: handed_on | ace_flags::INHERIT_ONLY | inherited, ..ace.clone() });
        }
    } else if handed_on != 0 {
        into.push(Ace { flags: handed_on | ace_flags::INHERIT_ONLY | inherited, ..ace.clone() });
    }
}

/// The entry as it takes effect: generic rights as file rights, CREATOR OWNER as the owner.
fn effective_body(body: &AceBody, owner: Option<&Sid>, mapping: &Mapping) -> AceBody {
    let AceBody::Simple { mask, sid, application_data } = body else { return body.clone() };
    let mapped = mapping.iter().filter(|(generic, _)| mask & generic != 0).fold(mask & 0x0fff_ffff, |all, (_, rights)| all | rights);
    let creator_owner = Sid::from_sddl("CO").ok();
    let sid = if Some(sid) == creator_owner.as_ref() { owner.unwrap_or(sid) } else { sid };
    AceBody::Simple { mask: mapped, sid: sid.clone(), application_data: application_data.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(parent: &str, is_directory: bool) -> String {
        inherited_by_child(&SecurityDescriptor::from_sddl(parent).unwrap(), is_directory).to_sddl().unwrap()
    }

    // The expected texts are what Windows shows for new children of these well-known folders.
    #[test]
    fn children_of_program_data() {
        let parent = "O:SYG:SYD:PAI(A;OICIIO;GA;;;CO)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)(A;CI;DCLCRPCR;;;BU)";
        assert_eq!(child(parent, false), "O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)");
        assert_eq!(
            child(parent, true),
            "O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)(A;CIID;DCLCRPCR;;;BU)"
        );
    }

    #[test]
    fn a_descriptor_takes_over_what_is_handed_down_unless_it_is_protected() {
        let merged = |own: &str, parent: &str, kind| {
            let (own, parent) = (SecurityDescriptor::from_sddl(own).unwrap(), SecurityDescriptor::from_sddl(parent).unwrap());
            with_inherited(&own, &parent, kind).to_sddl().unwrap()
        };
        let parent = "O:SYD:PAI(A;OICIIO;GA;;;CO)(A;CI;GR;;;BU)";
        assert_eq!(merged("O:BAD:P(A;;FA;;;SY)", parent, Kind::File), "O:BAD:P(A;;FA;;;SY)");
        assert_eq!(merged("O:BAD:(A;;FA;;;SY)", parent, Kind::File), "O:BAD:AI(A;;FA;;;SY)(A;ID;FA;;;BA)");
        assert_eq!(
            merged("O:BAD:(A;CI;KA;;;SY)", "D:(A;CI;GA;;;CO)(A;CI;KR;;;BU)", Kind::Key),
            "O:BAD:AI(A;CI;KA;;;SY)(A;ID;KA;;;BA)(A;CIIOID;GA;;;CO)(A;CIID;KR;;;BU)"
        );
    }

    #[test]
    fn what_stops_or_skips_a_level() {
        let parent = "D:(A;OI;FR;;;WD)(A;OICINP;FX;;;BU)(A;;FA;;;SY)";
        assert_eq!(child(parent, false), "O:BAG:SYD:AI(A;ID;FR;;;WD)(A;ID;FX;;;BU)");
        assert_eq!(child(parent, true), "O:BAG:SYD:AI(A;OIIOID;FR;;;WD)(A;ID;FX;;;BU)");
    }
}

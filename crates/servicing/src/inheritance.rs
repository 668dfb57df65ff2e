//! The security descriptor that Windows gives a new file or folder: what the folder above hands down.
//!
//! Rules: MS-DTYP 2.5.3.4 (ACL inheritance, generic rights, CREATOR OWNER). Owner is Administrators, as for everything that
//! an administrator creates in a mounted image; group is SYSTEM.

use wimwright_format::security_descriptor::{Ace, AceBody, Acl, SecurityDescriptor, Sid, ace_flags, control};

const GENERIC_READ: u32 = 0x8000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
const GENERIC_EXECUTE: u32 = 0x2000_0000;
const GENERIC_ALL: u32 = 0x1000_0000;
/// What the generic rights mean for files (Windows SDK, `FILE_GENERIC_…` and `FILE_ALL_ACCESS`).
const FILE_MAPPING: [(u32, u32); 4] =
    [(GENERIC_READ, 0x0012_0089), (GENERIC_WRITE, 0x0012_0116), (GENERIC_EXECUTE, 0x0012_00a0), (GENERIC_ALL, 0x001f_01ff)];

/// What a child of a folder with this security gets.
pub(crate) fn inherited_by_child(parent: &SecurityDescriptor, is_directory: bool) -> SecurityDescriptor {
    let owner = Sid::from_sddl("BA").ok();
    let mut aces = Vec::new();
    for ace in parent.dacl.iter().flat_map(|acl| &acl.aces) {
        hand_down(ace, is_directory, owner.as_ref(), &mut aces);
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

fn hand_down(ace: &Ace, is_directory: bool, owner: Option<&Sid>, into: &mut Vec<Ace>) {
    const INHERITABLE: u8 = ace_flags::OBJECT_INHERIT | ace_flags::CONTAINER_INHERIT;
    let to_files = ace.flags & ace_flags::OBJECT_INHERIT != 0;
    let to_folders = ace.flags & ace_flags::CONTAINER_INHERIT != 0;
    let stops_here = ace.flags & ace_flags::NO_PROPAGATE_INHERIT != 0;
    let audit_flags = ace.flags & (ace_flags::SUCCESSFUL_ACCESS | ace_flags::FAILED_ACCESS | ace_flags::CRITICAL);
    let inherited = ace_flags::INHERITED | audit_flags;
    let handed_on = if is_directory && !stops_here { ace.flags & INHERITABLE } else { 0 };
    if if is_directory { to_folders } else { to_files } {
        let effective = effective_body(&ace.body, owner);
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
fn effective_body(body: &AceBody, owner: Option<&Sid>) -> AceBody {
    let AceBody::Simple { mask, sid, application_data } = body else { return body.clone() };
    let mapped = FILE_MAPPING.iter().filter(|(generic, _)| mask & generic != 0).fold(mask & 0x0fff_ffff, |all, (_, rights)| all | rights);
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
    fn what_stops_or_skips_a_level() {
        let parent = "D:(A;OI;FR;;;WD)(A;OICINP;FX;;;BU)(A;;FA;;;SY)";
        assert_eq!(child(parent, false), "O:BAG:SYD:AI(A;ID;FR;;;WD)(A;ID;FX;;;BU)");
        assert_eq!(child(parent, true), "O:BAG:SYD:AI(A;OIIOID;FR;;;WD)(A;ID;FX;;;BU)");
    }
}

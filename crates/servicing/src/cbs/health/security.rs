//! Security descriptors made comparable.

use wimwright_format::security_descriptor::{AceBody, SecurityDescriptor, ace_flags};

/// Generic rights of a file, and the specific rights that Windows puts in their place when it sets a descriptor (`FILE_GENERIC_…`,
/// MS-DTYP 2.4.3, `winnt.h`).
const GENERIC: [(u32, u32); 4] =
    [(0x8000_0000, 0x0012_0089), (0x4000_0000, 0x0012_0116), (0x2000_0000, 0x0012_00a0), (0x1000_0000, 0x001f_01ff)];

/// The descriptor as a file has it: generic rights mapped, no mark of inheritance.
pub(super) fn normal(mut descriptor: SecurityDescriptor) -> SecurityDescriptor {
    for ace in descriptor.dacl.iter_mut().flat_map(|acl| &mut acl.aces) {
        ace.flags &= !ace_flags::INHERITED;
        if let AceBody::Simple { mask, .. } | AceBody::Object { mask, .. } = &mut ace.body {
            for (generic, specific) in GENERIC {
                if *mask & generic != 0 {
                    *mask = *mask & !generic | specific;
                }
            }
        }
    }
    descriptor
}

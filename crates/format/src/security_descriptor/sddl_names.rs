//! The two-letter names of SDDL.
//!
//! Source: Win32 `sddl.h`; learn.microsoft.com "SID strings", "ACE strings", "Security descriptor string format"; values in `winnt.h`.

use super::{Sid, ace_flags};

/// A SID with a name in SDDL.
pub(super) struct SidName {
    pub(super) name: &'static str,
    authority: u64,
    sub_authorities: &'static [u32],
}

impl SidName {
    pub(super) fn sid(&self) -> Option<Sid> {
        Sid::new(self.authority, self.sub_authorities).ok()
    }

    pub(super) fn is(&self, sid: &Sid) -> bool {
        self.authority == sid.authority() && self.sub_authorities == sid.sub_authorities()
    }
}

const fn name(name: &'static str, authority: u64, sub_authorities: &'static [u32]) -> SidName {
    SidName { name, authority, sub_authorities }
}

/// Every SDDL SID name that means the same SID on every machine.
pub(super) const SID_NAMES: &[SidName] = &[
    name("AA", 5, &[32, 579]),           // access control assistance operators
    name("AC", 15, &[2, 1]),             // all application packages
    name("AN", 5, &[7]),                 // anonymous logon
    name("AO", 5, &[32, 548]),           // account operators
    name("AS", 18, &[1]),                // authentication authority asserted identity
    name("AU", 5, &[11]),                // authenticated users
    name("BA", 5, &[32, 544]),           // administrators
    name("BG", 5, &[32, 546]),           // guests
    name("BO", 5, &[32, 551]),           // backup operators
    name("BU", 5, &[32, 545]),           // users
    name("CD", 5, &[32, 574]),           // certificate service DCOM access
    name("CG", 3, &[1]),                 // creator group
    name("CO", 3, &[0]),                 // creator owner
    name("CY", 5, &[32, 569]),           // cryptographic operators
    name("ED", 5, &[9]),                 // enterprise domain controllers
    name("ER", 5, &[32, 573]),           // event log readers
    name("ES", 5, &[32, 576]),           // RDS endpoint servers
    name("HA", 5, &[32, 578]),           // Hyper-V administrators
    name("HI", 16, &[12288]),            // high integrity
    name("HO", 5, &[32, 584]),           // user mode hardware operators
    name("IS", 5, &[32, 568]),           // IIS_IUSRS
    name("IU", 5, &[4]),                 // interactive
    name("LS", 5, &[19]),                // local service
    name("LU", 5, &[32, 559]),           // performance log users
    name("LW", 16, &[4096]),             // low integrity
    name("ME", 16, &[8192]),             // medium integrity
    name("MP", 16, &[8448]),             // medium plus integrity
    name("MS", 5, &[32, 577]),           // RDS management servers
    name("MU", 5, &[32, 558]),           // performance monitor users
    name("NO", 5, &[32, 556]),           // network configuration operators
    name("NS", 5, &[20]),                // network service
    name("NU", 5, &[2]),                 // network
    name("OW", 3, &[4]),                 // owner rights
    name("PO", 5, &[32, 550]),           // print operators
    name("PS", 5, &[10]),                // principal self
    name("PU", 5, &[32, 547]),           // power users
    name("RA", 5, &[32, 575]),           // RDS remote access servers
    name("RC", 5, &[12]),                // restricted code
    name("RD", 5, &[32, 555]),           // remote desktop users
    name("RE", 5, &[32, 552]),           // replicator
    name("RM", 5, &[32, 580]),           // remote management users
    name("RU", 5, &[32, 554]),           // pre-Windows 2000 compatible access
    name("SH", 5, &[32, 585]),           // OpenSSH users
    name("SI", 16, &[16384]),            // system integrity
    name("SO", 5, &[32, 549]),           // server operators
    name("SS", 18, &[2]),                // service asserted identity
    name("SU", 5, &[6]),                 // service
    name("SY", 5, &[18]),                // local system
    name("UD", 5, &[84, 0, 0, 0, 0, 0]), // user-mode drivers
    name("WD", 1, &[0]),                 // everyone
    name("WR", 5, &[33]),                // write restricted
];

/// SID names whose SID depends on the machine or domain; an image has neither.
pub(super) const RELATIVE_SID_NAMES: &[&str] =
    &["AP", "CA", "CN", "DA", "DC", "DD", "DG", "DU", "EA", "EK", "KA", "LA", "LG", "PA", "RO", "RS", "SA"];

/// A name for bits.
pub(super) type BitName<T> = (&'static str, T);

/// Names that stand for a whole mask: files, registry keys. The first with a mask is printed for it.
pub(super) const WHOLE_RIGHTS: &[BitName<u32>] = &[
    ("FA", 0x001F_01FF),
    ("FR", 0x0012_0089),
    ("FW", 0x0012_0116),
    ("FX", 0x0012_00A0),
    ("KA", 0x000F_003F),
    ("KR", 0x0002_0019),
    ("KW", 0x0002_0006),
    ("KX", 0x0002_0019),
];

/// Names of single rights, in the order in which Windows prints them.
pub(super) const SINGLE_RIGHTS: &[BitName<u32>] = &[
    ("CC", 0x0000_0001),
    ("DC", 0x0000_0002),
    ("LC", 0x0000_0004),
    ("SW", 0x0000_0008),
    ("RP", 0x0000_0010),
    ("WP", 0x0000_0020),
    ("DT", 0x0000_0040),
    ("LO", 0x0000_0080),
    ("CR", 0x0000_0100),
    ("SD", 0x0001_0000),
    ("RC", 0x0002_0000),
    ("WD", 0x0004_0000),
    ("WO", 0x0008_0000),
    ("GA", 0x1000_0000),
    ("GX", 0x2000_0000),
    ("GW", 0x4000_0000),
    ("GR", 0x8000_0000),
];

/// Policy bits of a mandatory label ACE, which stand where the others have rights.
pub(super) const LABEL_RIGHTS: &[BitName<u32>] = &[("NW", 1), ("NR", 2), ("NX", 4)];

/// ACE flags in the order in which Windows prints them.
pub(super) const ACE_FLAG_NAMES: &[BitName<u8>] = &[
    ("OI", ace_flags::OBJECT_INHERIT),
    ("CI", ace_flags::CONTAINER_INHERIT),
    ("NP", ace_flags::NO_PROPAGATE_INHERIT),
    ("IO", ace_flags::INHERIT_ONLY),
    ("ID", ace_flags::INHERITED),
    ("CR", ace_flags::CRITICAL),
    ("SA", ace_flags::SUCCESSFUL_ACCESS),
    ("FA", ace_flags::FAILED_ACCESS),
];

/// `TRUST_PROTECTED_FILTER_ACE_FLAG`, which has the bit of `SA` on access filter ACEs.
pub(super) const TRUST_PROTECTED: BitName<u8> = ("TP", ace_flags::SUCCESSFUL_ACCESS);

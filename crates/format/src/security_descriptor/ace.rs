//! Access control lists and their entries.

use super::Sid;
use std::fmt;

/// An access control list. The order of its entries is the order in which Windows evaluates them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    /// 2 (`ACL_REVISION`), or 4 (`ACL_REVISION_DS`) when an entry is of an object type. Windows also writes 4 on lists without one.
    pub revision: u8,
    /// The entries, first evaluated first.
    pub aces: Vec<Ace>,
}

impl Acl {
    /// `ACL_REVISION`.
    pub const REVISION: u8 = 2;
    /// `ACL_REVISION_DS`: object ACEs are allowed.
    pub const REVISION_DS: u8 = 4;

    /// A list of `aces` with the lowest revision that holds them.
    #[must_use]
    pub fn new(aces: Vec<Ace>) -> Self {
        let object = aces.iter().any(|ace| ace.ace_type.is_object());
        Self { revision: if object { Self::REVISION_DS } else { Self::REVISION }, aces }
    }
}

/// Bits of [`Ace::flags`] (MS-DTYP 2.4.4.1).
pub mod ace_flags {
    /// Files and other leaves below inherit the entry (SDDL `OI`).
    pub const OBJECT_INHERIT: u8 = 0x01;
    /// Folders and keys below inherit the entry (`CI`).
    pub const CONTAINER_INHERIT: u8 = 0x02;
    /// Only direct children inherit it (`NP`).
    pub const NO_PROPAGATE_INHERIT: u8 = 0x04;
    /// The entry does not apply to the object itself (`IO`).
    pub const INHERIT_ONLY: u8 = 0x08;
    /// The entry came from a parent (`ID`).
    pub const INHERITED: u8 = 0x10;
    /// `CRITICAL_ACE_FLAG`: an allow ACE that may not be removed (`CR`).
    pub const CRITICAL: u8 = 0x20;
    /// Audit successes (`SA`); on an access filter ACE `TRUST_PROTECTED_FILTER_ACE_FLAG` (`TP`).
    pub const SUCCESSFUL_ACCESS: u8 = 0x40;
    /// Audit failures (`FA`).
    pub const FAILED_ACCESS: u8 = 0x80;
}

/// One entry of an ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ace {
    /// What the entry does.
    pub ace_type: AceType,
    /// Bits of [`ace_flags`].
    pub flags: u8,
    /// Whom and what it concerns.
    pub body: AceBody,
}

/// What stands behind the four-byte header of an ACE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AceBody {
    /// Mask and SID, as most types have them.
    Simple {
        /// The rights.
        mask: u32,
        /// Who.
        sid: Sid,
        /// What follows the SID: the condition of a callback ACE (`artx…`), the claim of a resource attribute. Not interpreted.
        application_data: Vec<u8>,
    },
    /// The object types: rights to one property or one class of children of a directory object.
    Object {
        /// The rights.
        mask: u32,
        /// Property, property set, extended right or class that the entry is about.
        object_type: Option<Guid>,
        /// Class of the children that inherit the entry.
        inherited_object_type: Option<Guid>,
        /// Who.
        sid: Sid,
        /// What follows the SID.
        application_data: Vec<u8>,
    },
    /// An unknown type, or a known one whose body is not what its type says: the bytes as they were.
    Raw(Vec<u8>),
}

macro_rules! ace_types {
    ($($(#[$doc:meta])* $name:ident = $code:literal $sddl:literal $shape:ident,)+) => {
        /// Type of an ACE (MS-DTYP 2.4.4.1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AceType {
            $($(#[$doc])* $name,)+
            /// A type that this list does not name; keep to numbers it does not hold ([`AceType::from_code`] does).
            Other(u8),
        }

        impl AceType {
            /// The type with this number in the header of an ACE.
            #[must_use]
            pub fn from_code(code: u8) -> Self {
                match code {
                    $($code => Self::$name,)+
                    other => Self::Other(other),
                }
            }

            /// Its number in the header of an ACE.
            #[must_use]
            pub fn code(self) -> u8 {
                match self {
                    $(Self::$name => $code,)+
                    Self::Other(code) => code,
                }
            }

            /// Its name in SDDL; empty for types that SDDL cannot say.
            pub(super) fn sddl(self) -> &'static str {
                match self {
                    $(Self::$name => $sddl,)+
                    Self::Other(_) => "",
                }
            }

            pub(super) fn from_sddl(name: &str) -> Option<Self> {
                match name {
                    $($sddl if !name.is_empty() => Some(Self::$name),)+
                    _ => None,
                }
            }

            pub(super) fn shape(self) -> Shape {
                match self {
                    $(Self::$name => Shape::$shape,)+
                    Self::Other(_) => Shape::Unknown,
                }
            }
        }
    };
}

/// How the body of an ACE type is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Simple,
    Object,
    Unknown,
}

ace_types! {
    /// `ACCESS_ALLOWED_ACE`.
    AccessAllowed = 0x00 "A" Simple,
    /// `ACCESS_DENIED_ACE`.
    AccessDenied = 0x01 "D" Simple,
    /// `SYSTEM_AUDIT_ACE`.
    SystemAudit = 0x02 "AU" Simple,
    /// `SYSTEM_ALARM_ACE`, reserved.
    SystemAlarm = 0x03 "AL" Simple,
    /// `ACCESS_ALLOWED_OBJECT_ACE`.
    AccessAllowedObject = 0x05 "OA" Object,
    /// `ACCESS_DENIED_OBJECT_ACE`.
    AccessDeniedObject = 0x06 "OD" Object,
    /// `SYSTEM_AUDIT_OBJECT_ACE`.
    SystemAuditObject = 0x07 "OU" Object,
    /// `SYSTEM_ALARM_OBJECT_ACE`, reserved.
    SystemAlarmObject = 0x08 "OL" Object,
    /// `ACCESS_ALLOWED_CALLBACK_ACE`: allowed under a condition.
    AccessAllowedCallback = 0x09 "XA" Simple,
    /// `ACCESS_DENIED_CALLBACK_ACE`: denied under a condition.
    AccessDeniedCallback = 0x0A "XD" Simple,
    /// `ACCESS_ALLOWED_CALLBACK_OBJECT_ACE`.
    AccessAllowedCallbackObject = 0x0B "ZA" Object,
    /// `ACCESS_DENIED_CALLBACK_OBJECT_ACE`; SDDL has no name for it.
    AccessDeniedCallbackObject = 0x0C "" Object,
    /// `SYSTEM_AUDIT_CALLBACK_ACE`: audited under a condition.
    SystemAuditCallback = 0x0D "XU" Simple,
    /// `SYSTEM_AUDIT_CALLBACK_OBJECT_ACE`; SDDL has no name for it.
    SystemAuditCallbackObject = 0x0F "" Object,
    /// `SYSTEM_MANDATORY_LABEL_ACE`: the integrity level.
    MandatoryLabel = 0x11 "ML" Simple,
    /// `SYSTEM_RESOURCE_ATTRIBUTE_ACE`: a claim about the object.
    ResourceAttribute = 0x12 "RA" Simple,
    /// `SYSTEM_SCOPED_POLICY_ID_ACE`: the central access policy.
    ScopedPolicyId = 0x13 "SP" Simple,
    /// `SYSTEM_PROCESS_TRUST_LABEL_ACE`: the protected-process level that is needed.
    ProcessTrustLabel = 0x14 "TL" Simple,
    /// `SYSTEM_ACCESS_FILTER_ACE`.
    AccessFilter = 0x15 "FL" Simple,
}

impl AceType {
    /// True for the types that may name an object type, and so need ACL revision 4.
    #[must_use]
    pub fn is_object(self) -> bool {
        self.shape() == Shape::Object
    }
}

/// A GUID in its stored byte order: the first three fields little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

/// Position in the stored bytes of each byte of the text form.
const GUID_TEXT_ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl fmt::Display for Guid {
    /// Lower case with hyphens and without braces, as SDDL writes it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, index) in GUID_TEXT_ORDER.into_iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{:02x}", self.0.get(index).copied().unwrap_or_default())?;
        }
        Ok(())
    }
}

impl Guid {
    /// Reads `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hyphens_stand_right = text.char_indices().all(|(index, character)| (character == '-') == matches!(index, 8 | 13 | 18 | 23));
        let digits: Vec<u8> = text.chars().filter_map(|character| u8::try_from(character.to_digit(16)?).ok()).collect();
        if text.len() != 36 || !hyphens_stand_right || digits.len() != 32 {
            return None;
        }
        let mut bytes = [0; 16];
        for (pair, index) in digits.chunks_exact(2).zip(GUID_TEXT_ORDER) {
            if let (Some(byte), [high, low]) = (bytes.get_mut(index), pair) {
                *byte = high << 4 | low;
            }
        }
        Some(Self(bytes))
    }
}

//! Security identifiers.

use std::fmt;
use std::str::FromStr;

/// A SID: an authority and a path of up to 15 numbers below it, such as `S-1-5-32-544`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sid {
    authority: u64,
    sub_authorities: Vec<u32>,
}

/// Why a SID cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SidError {
    /// The text does not have the form `S-1-authority-number…`.
    #[error("`{text}` is not a SID: write it like S-1-5-32-544")]
    Syntax {
        /// What was read.
        text: String,
    },
    /// The identifier authority does not fit its 48 bits.
    #[error("the identifier authority {authority} of a SID does not fit 48 bits")]
    Authority {
        /// What was given.
        authority: u64,
    },
    /// More sub-authorities than a SID can hold.
    #[error("a SID has {count} sub-authorities; Windows allows 15")]
    TooLong {
        /// How many were given.
        count: usize,
    },
}

impl Sid {
    /// The most sub-authorities that Windows takes (`SID_MAX_SUB_AUTHORITIES`).
    pub const MAX_SUB_AUTHORITIES: usize = 15;

    /// Revision of the structure, the `1` of `S-1-`; there is no other.
    pub(super) const REVISION: u8 = 1;

    /// A SID of an authority and the path below it.
    ///
    /// # Errors
    /// When the authority needs more than 48 bits, or there are more than 15 sub-authorities.
    pub fn new(authority: u64, sub_authorities: impl Into<Vec<u32>>) -> Result<Self, SidError> {
        let sub_authorities = sub_authorities.into();
        if authority >> 48 != 0 {
            return Err(SidError::Authority { authority });
        }
        if sub_authorities.len() > Self::MAX_SUB_AUTHORITIES {
            return Err(SidError::TooLong { count: sub_authorities.len() });
        }
        Ok(Self { authority, sub_authorities })
    }

    /// The identifier authority, 48 bits; 5 is `SECURITY_NT_AUTHORITY`.
    #[must_use]
    pub fn authority(&self) -> u64 {
        self.authority
    }

    /// The numbers behind the authority; the last is the relative identifier (RID).
    #[must_use]
    pub fn sub_authorities(&self) -> &[u32] {
        &self.sub_authorities
    }
}

impl fmt::Display for Sid {
    /// The standard text form. An authority above 32 bits is hexadecimal, as `ConvertSidToStringSid` writes it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u32::try_from(self.authority) {
            Ok(authority) => write!(formatter, "S-1-{authority}")?,
            Err(_) => write!(formatter, "S-1-0x{:012X}", self.authority)?,
        }
        self.sub_authorities.iter().try_for_each(|number| write!(formatter, "-{number}"))
    }
}

impl FromStr for Sid {
    type Err = SidError;

    fn from_str(text: &str) -> Result<Self, SidError> {
        let syntax = || SidError::Syntax { text: text.chars().take(200).collect() };
        let rest = text.strip_prefix("S-1-").or_else(|| text.strip_prefix("s-1-")).ok_or_else(syntax)?;
        let mut numbers = rest.split('-');
        let authority = numbers.next().and_then(number).ok_or_else(syntax)?;
        let mut sub_authorities = Vec::new();
        for part in numbers {
            let value = number(part).and_then(|value| u32::try_from(value).ok()).ok_or_else(syntax)?;
            sub_authorities.push(value);
            if sub_authorities.len() > Self::MAX_SUB_AUTHORITIES {
                return Err(SidError::TooLong { count: sub_authorities.len() });
            }
        }
        Self::new(authority, sub_authorities)
    }
}

/// Decimal, or hexadecimal behind `0x`; no sign.
fn number(text: &str) -> Option<u64> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((text, 10), |digits| (digits, 16));
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

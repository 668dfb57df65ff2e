//! Security Descriptor Definition Language: reading and printing.
//!
//! ```text
//! O:sid G:sid D:flags(type;flags;rights;object GUID;inherited GUID;sid)… S:flags(…)…
//! ```
//! Source: MS-DTYP 2.5.1; learn.microsoft.com "Security descriptor string format", "ACE strings".
//! Conditions, claims and filters (a seventh field) are not translated: reading or printing one is an error, never a loss.

use super::ace::Shape;
use super::sddl_names::{
    ACE_FLAG_NAMES, BitName, LABEL_RIGHTS, RELATIVE_SID_NAMES, SID_NAMES, SINGLE_RIGHTS, TRUST_PROTECTED, WHOLE_RIGHTS,
};
use super::{Ace, AceBody, AceType, Acl, Guid, SecurityDescriptor, Sid, control};
use std::fmt::Write;

/// Longest SDDL text that is read, in bytes. The largest binary descriptor holds two ACLs of 64 KiB; a character of SDDL
/// says at least a few bits of it, so real text stays far below.
pub const MAX_LENGTH: usize = 1 << 20;

/// Why a text is not SDDL, or not SDDL that stands for bytes without a running system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SDDL, character {position}: {problem}")]
pub struct SddlError {
    /// Byte offset in the text.
    pub position: usize,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Why a descriptor cannot be said in SDDL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrintError {
    /// An ACE type without a name in SDDL, or with a body that does not fit its type.
    #[error("ACE {index} has the type {code:#04x}, which SDDL cannot say")]
    AceType {
        /// Which entry of its ACL, from 0.
        index: usize,
        /// The type's number.
        code: u8,
    },
    /// An ACE with a condition or claim.
    #[error("ACE {index} carries {length} bytes of a condition or claim, which are not translated to SDDL")]
    ApplicationData {
        /// Which entry of its ACL, from 0.
        index: usize,
        /// How much there is.
        length: usize,
    },
}

type Result<T> = std::result::Result<T, SddlError>;

impl Sid {
    /// A SID as SDDL writes it: a two-letter name such as `BA`, or `S-1-…`.
    ///
    /// # Errors
    /// When it is neither, or names a domain account (`DA`), whose SID is not known here.
    pub fn from_sddl(text: &str) -> Result<Self> {
        parse_sid(text, 0)
    }

    /// The SDDL name of the SID if it has one on every machine, `S-1-…` otherwise.
    #[must_use]
    pub fn to_sddl(&self) -> String {
        SID_NAMES.iter().find(|known| known.is(self)).map_or_else(|| self.to_string(), |known| known.name.to_owned())
    }
}

impl SecurityDescriptor {
    /// Reads SDDL. Parts may stand in any order, each once; white space between them is passed over.
    ///
    /// # Errors
    /// With the place and the problem.
    pub fn from_sddl(text: &str) -> Result<Self> {
        if text.len() > MAX_LENGTH {
            return fail(MAX_LENGTH, format!("the text has {} bytes; {MAX_LENGTH} are read", text.len()));
        }
        let mut descriptor = Self { control: control::SELF_RELATIVE, ..Self::default() };
        let mut seen = Vec::new();
        let mut cursor = Cursor { text, position: 0 };
        loop {
            cursor.skip_space();
            let start = cursor.position;
            let Some(tag) = cursor.next() else { return Ok(descriptor) };
            if cursor.next() != Some(':') {
                return fail(start, "expected `O:`, `G:`, `D:` or `S:`");
            }
            if seen.contains(&tag) {
                return fail(start, format!("`{tag}:` appears twice"));
            }
            seen.push(tag);
            match tag {
                'O' => descriptor.owner = Some(cursor.sid()?),
                'G' => descriptor.group = Some(cursor.sid()?),
                'D' => {
                    let (flags, acl) = cursor.acl(&DACL)?;
                    descriptor.control |= flags | control::DACL_PRESENT;
                    descriptor.dacl = acl;
                }
                'S' => {
                    let (flags, acl) = cursor.acl(&SACL)?;
                    descriptor.control |= flags | control::SACL_PRESENT;
                    descriptor.sacl = acl;
                }
                _ => return fail(start, "expected `O:`, `G:`, `D:` or `S:`"),
            }
        }
    }

    /// Prints SDDL the way `ConvertSecurityDescriptorToStringSecurityDescriptor` does: owner, group, DACL, SACL.
    /// What SDDL has no place for is left out: the `DEFAULTED` bits and the resource manager control.
    ///
    /// # Errors
    /// When an entry cannot be said in SDDL.
    pub fn to_sddl(&self) -> std::result::Result<String, PrintError> {
        let mut text = String::new();
        let sids = [("O:", &self.owner), ("G:", &self.group)];
        for (tag, sid) in sids.into_iter().filter_map(|(tag, sid)| Some((tag, sid.as_ref()?))) {
            text.push_str(tag);
            text.push_str(&sid.to_sddl());
        }
        let control = self.effective_control();
        for (kind, acl) in [(&DACL, &self.dacl), (&SACL, &self.sacl)] {
            if control & kind.present == 0 {
                continue;
            }
            text.push_str(kind.tag);
            kind.flags.iter().filter(|(_, bit)| control & bit != 0).for_each(|(name, _)| text.push_str(name));
            match acl {
                Some(acl) => {
                    for (index, ace) in acl.aces.iter().enumerate() {
                        print_ace(&mut text, index, ace)?;
                    }
                }
                None => text.push_str(NULL_ACL),
            }
        }
        Ok(text)
    }
}

const NULL_ACL: &str = "NO_ACCESS_CONTROL";

/// What differs between DACL and SACL.
struct AclKind {
    tag: &'static str,
    present: u16,
    flags: [BitName<u16>; 3],
}

const DACL: AclKind = AclKind {
    tag: "D:",
    present: control::DACL_PRESENT,
    flags: [("P", control::DACL_PROTECTED), ("AR", control::DACL_AUTO_INHERIT_REQUIRED), ("AI", control::DACL_AUTO_INHERITED)],
};

const SACL: AclKind = AclKind {
    tag: "S:",
    present: control::SACL_PRESENT,
    flags: [("P", control::SACL_PROTECTED), ("AR", control::SACL_AUTO_INHERIT_REQUIRED), ("AI", control::SACL_AUTO_INHERITED)],
};

fn fail<T>(position: usize, problem: impl Into<String>) -> Result<T> {
    Err(SddlError { position, problem: problem.into() })
}

struct Cursor<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest().chars().next()?;
        self.position = self.position.saturating_add(next.len_utf8());
        Some(next)
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.position = self.position.saturating_add(token.len());
        }
        found
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let token = rest.get(..rest.find(|character| !accept(character)).unwrap_or(rest.len())).unwrap_or_default();
        self.position = self.position.saturating_add(token.len());
        token
    }

    fn skip_space(&mut self) {
        self.take_while(char::is_whitespace);
    }

    /// A SID behind `O:` or `G:`. It ends where the next part's tag, a letter and a colon, begins.
    fn sid(&mut self) -> Result<Sid> {
        self.skip_space();
        let start = self.position;
        let rest = self.rest();
        let end = rest.find(':').and_then(|colon| colon.checked_sub(1)).unwrap_or(rest.len());
        let token = rest.get(..end).unwrap_or_default();
        self.position = start.saturating_add(token.len());
        parse_sid(token.trim_end(), start)
    }

    fn acl(&mut self, kind: &AclKind) -> Result<(u16, Option<Acl>)> {
        let mut flags = 0;
        loop {
            self.skip_space();
            if self.take(NULL_ACL) {
                return Ok((flags, None));
            }
            match kind.flags.iter().find(|(name, _)| self.take(name)) {
                Some((_, bit)) => flags |= bit,
                None => break,
            }
        }
        let mut aces = Vec::new();
        loop {
            self.skip_space();
            let start = self.position;
            if !self.take("(") {
                break;
            }
            let fields = self.take_while(|character| character != '(' && character != ')');
            if !self.take(")") {
                let conditional = self.rest().starts_with('(');
                return fail(self.position, if conditional { "conditional ACEs are not supported" } else { "the ACE has no `)`" });
            }
            aces.push(parse_ace(fields, start.saturating_add(1))?);
        }
        Ok((flags, Some(Acl::new(aces))))
    }
}

fn parse_sid(text: &str, position: usize) -> Result<Sid> {
    let name = text.to_ascii_uppercase();
    if let Some(sid) = SID_NAMES.iter().find(|known| known.name == name).and_then(|known| known.sid()) {
        return Ok(sid);
    }
    if RELATIVE_SID_NAMES.contains(&name.as_str()) {
        return fail(position, format!("`{name}` names an account of a domain or machine, which an image does not have: write its SID"));
    }
    text.parse().or_else(|error| fail(position, format!("{error}, or a two-letter name like BA")))
}

fn parse_ace(fields: &str, position: usize) -> Result<Ace> {
    let mut start = position;
    let located: Vec<(usize, &str)> = fields
        .split(';')
        .map(|field| {
            let here = start;
            start = start.saturating_add(field.len()).saturating_add(1);
            (here, field.trim())
        })
        .collect();
    let [ace_type, flags, rights, object_type, inherited_object_type, sid] = located.as_slice() else {
        return fail(position, format!("the ACE has {} fields between semicolons; 6 are understood", located.len()));
    };
    let Some(kind) = AceType::from_sddl(&ace_type.1.to_ascii_uppercase()) else {
        return fail(ace_type.0, format!("`{}` is no ACE type", ace_type.1));
    };
    let mask = parse_rights(kind, *rights)?;
    let who = parse_sid(sid.1, sid.0)?;
    let object_type = parse_guid(*object_type)?;
    let inherited_object_type = parse_guid(*inherited_object_type)?;
    let body = match kind.shape() {
        Shape::Object => AceBody::Object { mask, object_type, inherited_object_type, sid: who, application_data: Vec::new() },
        Shape::Simple | Shape::Unknown if object_type.is_some() || inherited_object_type.is_some() => {
            return fail(ace_type.0, format!("an ACE of type `{}` cannot name an object type", ace_type.1));
        }
        Shape::Simple | Shape::Unknown => AceBody::Simple { mask, sid: who, application_data: Vec::new() },
    };
    Ok(Ace { ace_type: kind, flags: parse_ace_flags(kind, *flags)?, body })
}

fn parse_guid((position, text): (usize, &str)) -> Result<Option<Guid>> {
    if text.is_empty() {
        return Ok(None);
    }
    match Guid::parse(text) {
        Some(guid) => Ok(Some(guid)),
        None => fail(position, format!("`{text}` is no GUID")),
    }
}

fn ace_flag_names(kind: AceType) -> impl Iterator<Item = &'static BitName<u8>> {
    let filter = kind == AceType::AccessFilter;
    let names = ACE_FLAG_NAMES.iter().filter(move |(_, bit)| !(filter && *bit == TRUST_PROTECTED.1));
    names.chain(filter.then_some(&TRUST_PROTECTED))
}

fn parse_ace_flags(kind: AceType, (position, text): (usize, &str)) -> Result<u8> {
    let mut flags = 0;
    let mut cursor = Cursor { text, position: 0 };
    while !cursor.rest().is_empty() {
        match ace_flag_names(kind).find(|(name, _)| cursor.take(name)) {
            Some((_, bit)) => flags |= bit,
            None => return fail(position.saturating_add(cursor.position), format!("`{}` is no ACE flag", cursor.rest())),
        }
    }
    Ok(flags)
}

/// Names in a row, or one number: hexadecimal behind `0x`, octal behind `0`, else decimal.
fn parse_rights(kind: AceType, (position, text): (usize, &str)) -> Result<u32> {
    if text.starts_with(|character: char| character.is_ascii_digit()) {
        let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let octal = text.strip_prefix('0').filter(|digits| !digits.is_empty());
        let (digits, radix) = hexadecimal.map(|digits| (digits, 16)).or(octal.map(|digits| (digits, 8))).unwrap_or((text, 10));
        return u32::from_str_radix(digits, radix).or_else(|_| fail(position, format!("`{text}` is no 32-bit access mask")));
    }
    let label = if kind == AceType::MandatoryLabel { LABEL_RIGHTS } else { &[] };
    let mut mask = 0;
    let mut cursor = Cursor { text, position: 0 };
    while !cursor.rest().is_empty() {
        match label.iter().chain(SINGLE_RIGHTS).chain(WHOLE_RIGHTS).find(|(name, _)| cursor.take(name)) {
            Some((_, bits)) => mask |= bits,
            None => return fail(position.saturating_add(cursor.position), format!("`{}` is no access right", cursor.rest())),
        }
    }
    Ok(mask)
}

/// Windows prints a whole-mask name, or the names of all bits, or else the number.
fn print_rights(kind: AceType, mask: u32) -> String {
    let names = if kind == AceType::MandatoryLabel { LABEL_RIGHTS } else { SINGLE_RIGHTS };
    if kind != AceType::MandatoryLabel
        && let Some((name, _)) = WHOLE_RIGHTS.iter().find(|(_, whole)| *whole == mask)
    {
        return (*name).to_owned();
    }
    let named = names.iter().fold(0, |bits, (_, bit)| bits | bit);
    if mask & !named != 0 {
        return format!("{mask:#x}");
    }
    names.iter().filter(|(_, bit)| mask & bit != 0).map(|(name, _)| *name).collect()
}

fn print_ace(text: &mut String, index: usize, ace: &Ace) -> std::result::Result<(), PrintError> {
    let unsayable = PrintError::AceType { index, code: ace.ace_type.code() };
    let (mask, object_type, inherited_object_type, sid, application_data) = match (&ace.body, ace.ace_type.shape()) {
        (AceBody::Simple { mask, sid, application_data }, Shape::Simple) => (*mask, None, None, sid, application_data),
        (AceBody::Object { mask, object_type, inherited_object_type, sid, application_data }, Shape::Object) => {
            (*mask, *object_type, *inherited_object_type, sid, application_data)
        }
        _ => return Err(unsayable),
    };
    if ace.ace_type.sddl().is_empty() {
        return Err(unsayable);
    }
    if application_data.iter().any(|byte| *byte != 0) {
        return Err(PrintError::ApplicationData { index, length: application_data.len() });
    }
    let guid = |guid: Option<Guid>| guid.map(|guid| guid.to_string()).unwrap_or_default();
    let flags: String = ace_flag_names(ace.ace_type).filter(|(_, bit)| ace.flags & bit != 0).map(|(name, _)| *name).collect();
    let rights = print_rights(ace.ace_type, mask);
    let name = ace.ace_type.sddl();
    // Writing to a String cannot fail.
    let _ = write!(text, "({name};{flags};{rights};{};{};{})", guid(object_type), guid(inherited_object_type), sid.to_sddl());
    Ok(())
}

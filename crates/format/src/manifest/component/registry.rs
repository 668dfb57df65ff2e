//! Registry keys and values of a component.

use roxmltree::Node;

use super::super::macros::Directories;
use super::super::other::OtherElements;
use super::super::{Error, xml};
use super::SecurityDescriptorReference;

/// Registry value types (`winnt.h`).
pub mod value_type {
    /// No type.
    pub const NONE: u32 = 0;
    /// Text.
    pub const SZ: u32 = 1;
    /// Text with `%variables%`.
    pub const EXPAND_SZ: u32 = 2;
    /// Bytes.
    pub const BINARY: u32 = 3;
    /// 32-bit little-endian number.
    pub const DWORD: u32 = 4;
    /// List of texts.
    pub const MULTI_SZ: u32 = 7;
    /// 64-bit little-endian number.
    pub const QWORD: u32 = 11;
}

/// A `registryKey` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistryKey {
    /// `keyName` as written: `HKEY_LOCAL_MACHINE\Software\OpenSSH`; [`RegistryKey::path`] gives where it goes.
    pub name: String,
    /// `owner`: whether uninstalling deletes the key.
    pub owner: Option<bool>,
    /// `perUserVirtualization`, without offline effect.
    pub per_user_virtualization: Option<String>,
    /// References to security descriptor definitions, usually one.
    pub security_descriptors: Vec<SecurityDescriptorReference>,
    /// Values; none means that the key itself is to exist.
    pub values: Vec<RegistryValue>,
    /// Values that another component may own as well.
    pub overridable: Vec<Overridable>,
}

/// An `overridable` element: a value that others may set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overridable {
    /// Name of the value.
    pub name: String,
    /// Who may, `Microsoft`.
    pub scope: Option<String>,
    /// Type of the value, `REG_DWORD`.
    pub value_type: Option<String>,
}

/// A `registryValue` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryValue {
    /// Name, empty for the key's default value.
    pub name: String,
    /// Registry type: one of [`value_type`], or a raw code such as `0xFFFF0012` (device properties).
    pub value_type: u32,
    /// Data with macros not yet expanded.
    pub data: RegistryData,
    /// How it meets a value that exists.
    pub operation: Operation,
    /// `mutable`: an upgrade keeps what the user changed.
    pub mutable: bool,
    /// `owner`: which component decides when two set the value, and whether uninstalling deletes it.
    pub owner: Option<bool>,
}

/// `operationHint` of a registry value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Operation {
    /// Replaces the value.
    #[default]
    Replace,
    /// Adds to the end of a list.
    Append,
    /// Adds to the start of a list.
    Prepend,
}

/// The data of a registry value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryData {
    /// `REG_SZ`, `REG_EXPAND_SZ`; may hold macros.
    Text(String),
    /// `REG_MULTI_SZ`; may hold macros.
    List(Vec<String>),
    /// Everything else, in the byte order of the registry.
    Bytes(Vec<u8>),
}

impl RegistryData {
    /// The bytes as a hive holds them: text as UTF-16LE with a NUL, a list with a NUL after each text and one at the end.
    /// `expand` replaces macros.
    ///
    /// # Errors
    /// What `expand` returns.
    pub fn bytes(&self, expand: impl Fn(&str) -> Result<String, Error>) -> Result<Vec<u8>, Error> {
        let wide = |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        match self {
            Self::Text(text) => Ok(wide(&expand(text)?)),
            Self::List(texts) => {
                let mut bytes = Vec::new();
                for text in texts {
                    bytes.extend(wide(&expand(text)?));
                }
                bytes.extend([0, 0]);
                Ok(bytes)
            }
            Self::Bytes(bytes) => Ok(bytes.clone()),
        }
    }
}

impl RegistryKey {
    /// Where the key goes after macros are expanded: `HKEY_…\…`, redirected for 32-bit components on a 64-bit image
    /// ([`redirected`]).
    ///
    /// # Errors
    /// What `expand` returns.
    pub fn path(&self, directories: Directories, expand: impl Fn(&str) -> Result<String, Error>) -> Result<String, Error> {
        let name = expand(&self.name)?;
        let name = name.trim_end_matches('\\');
        Ok(match directories {
            Directories::Native => name.to_owned(),
            Directories::Wow64 => redirected(name),
        })
    }

    pub(super) fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let mut key = Self {
            name: xml::required(node, "keyName")?,
            owner: xml::boolean(node, "owner")?,
            per_user_virtualization: xml::owned(node, "perUserVirtualization"),
            ..Self::default()
        };
        for element in xml::elements(node) {
            match xml::name(element) {
                "registryValue" => key.values.push(RegistryValue::read(element, other)?),
                "securityDescriptor" => key.security_descriptors.push(SecurityDescriptorReference::read(element)?),
                "overridable" => key.overridable.push(Overridable {
                    name: xml::owned(element, "name").unwrap_or_default(),
                    scope: xml::owned(element, "scope"),
                    value_type: xml::owned(element, "type"),
                }),
                _ => other.keep(element),
            }
        }
        Ok(key)
    }
}

impl RegistryValue {
    fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        for element in xml::elements(node) {
            other.keep(element);
        }
        let kind = xml::required(node, "valueType")?;
        let text = xml::attribute(node, "value").unwrap_or_default();
        let (value_type, data) = read_data(&kind, text).ok_or_else(|| {
            let expected = "a registry type with data in its form: text, quoted list, 0x number, or hexadecimal bytes";
            xml::invalid(node, "value", &format!("{kind} {text}"), expected)
        })?;
        let operation = match xml::attribute(node, "operationHint").unwrap_or("replace").to_ascii_lowercase().as_str() {
            "replace" | "" => Operation::Replace,
            "append" => Operation::Append,
            "prepend" => Operation::Prepend,
            other => return Err(xml::invalid(node, "operationHint", other, "replace, append or prepend")),
        };
        Ok(Self {
            name: xml::owned(node, "name").unwrap_or_default(),
            value_type,
            data,
            operation,
            mutable: xml::boolean(node, "mutable")?.unwrap_or(false),
            owner: xml::boolean(node, "owner")?,
        })
    }
}

/// Type and data of a value from the texts of `valueType` and `value`.
fn read_data(kind: &str, text: &str) -> Option<(u32, RegistryData)> {
    let bytes = |value_type, bytes: Option<Vec<u8>>| Some((value_type, RegistryData::Bytes(bytes?)));
    let number = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match kind.to_ascii_uppercase().as_str() {
        "REG_SZ" => Some((value_type::SZ, RegistryData::Text(text.to_owned()))),
        "REG_EXPAND_SZ" => Some((value_type::EXPAND_SZ, RegistryData::Text(text.to_owned()))),
        "REG_MULTI_SZ" => Some((value_type::MULTI_SZ, RegistryData::List(read_list(text)?))),
        "REG_DWORD" => {
            let value = match number {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None if text.is_empty() => 0,
                None => text.parse().ok()?,
            };
            bytes(value_type::DWORD, Some(value.to_le_bytes().into()))
        }
        "REG_QWORD" => match number {
            Some(digits) => bytes(value_type::QWORD, u64::from_str_radix(digits, 16).ok().map(|value| value.to_le_bytes().into())),
            None => bytes(value_type::QWORD, read_hexadecimal(text)),
        },
        "REG_BINARY" => bytes(value_type::BINARY, read_hexadecimal(text)),
        "REG_NONE" => bytes(value_type::NONE, read_hexadecimal(text)),
        code if code.len() == 8 => bytes(u32::from_str_radix(code, 16).ok()?, read_hexadecimal(text)),
        _ => None,
    }
}

pub(super) fn read_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| (high << 4) | low).collect())
}

/// Reads `"a","b"`: a quote inside is doubled. A text that starts without quote is one entry. Empty entries, which a list in
/// the registry cannot hold, are left out: `""` is the empty list.
pub(super) fn read_list(text: &str) -> Option<Vec<String>> {
    let mut entries = Vec::new();
    let mut rest = text.trim();
    if !rest.is_empty() && !rest.starts_with('"') {
        return Some(vec![rest.to_owned()]);
    }
    while let Some(quoted) = rest.strip_prefix('"') {
        let mut entry = String::new();
        let mut part = quoted;
        loop {
            let (inside, after) = part.split_once('"')?;
            entry.push_str(inside);
            match after.strip_prefix('"') {
                Some(more) => {
                    entry.push('"');
                    part = more;
                }
                None => {
                    rest = after.trim_start();
                    break;
                }
            }
        }
        entries.push(entry);
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None => break,
        }
    }
    entries.retain(|entry| !entry.is_empty());
    rest.is_empty().then_some(entries)
}

/// Subkeys of `HKEY_LOCAL_MACHINE\SOFTWARE` that 32-bit and 64-bit programs share: not redirected.
///
/// Source: Microsoft, "Registry keys affected by WOW64" (Windows 7 and later).
const SHARED: &[&str] = &[
    r"Clients",
    r"Microsoft\COM3",
    r"Microsoft\Cryptography\Calais\Current",
    r"Microsoft\Cryptography\Calais\Readers",
    r"Microsoft\Cryptography\Services",
    r"Microsoft\CTF\SystemShared",
    r"Microsoft\CTF\TIP",
    r"Microsoft\DFS",
    r"Microsoft\Driver Signing",
    r"Microsoft\EnterpriseCertificates",
    r"Microsoft\EventSystem",
    r"Microsoft\MSMQ",
    r"Microsoft\Non-Driver Signing",
    r"Microsoft\Notepad\DefaultFonts",
    r"Microsoft\OLE",
    r"Microsoft\RAS",
    r"Microsoft\RPC",
    r"Microsoft\Shared Tools\MSInfo",
    r"Microsoft\SystemCertificates",
    r"Microsoft\TermServLicensing",
    r"Microsoft\Transaction Server",
    r"Microsoft\Windows\CurrentVersion\App Paths",
    r"Microsoft\Windows\CurrentVersion\Control Panel\Cursors\Schemes",
    r"Microsoft\Windows\CurrentVersion\Explorer\AutoplayHandlers",
    r"Microsoft\Windows\CurrentVersion\Explorer\DriveIcons",
    r"Microsoft\Windows\CurrentVersion\Explorer\KindMap",
    r"Microsoft\Windows\CurrentVersion\Group Policy",
    r"Microsoft\Windows\CurrentVersion\Policies",
    r"Microsoft\Windows\CurrentVersion\PreviewHandlers",
    r"Microsoft\Windows\CurrentVersion\Setup",
    r"Microsoft\Windows\CurrentVersion\Telephony\Locations",
    r"Microsoft\Windows NT\CurrentVersion\Console",
    r"Microsoft\Windows NT\CurrentVersion\FontDpi",
    r"Microsoft\Windows NT\CurrentVersion\FontLink",
    r"Microsoft\Windows NT\CurrentVersion\FontMapper",
    r"Microsoft\Windows NT\CurrentVersion\Fonts",
    r"Microsoft\Windows NT\CurrentVersion\FontSubstitutes",
    r"Microsoft\Windows NT\CurrentVersion\Gre_Initialize",
    r"Microsoft\Windows NT\CurrentVersion\Image File Execution Options",
    r"Microsoft\Windows NT\CurrentVersion\Language Pack",
    r"Microsoft\Windows NT\CurrentVersion\NetworkCards",
    r"Microsoft\Windows NT\CurrentVersion\Perflib",
    r"Microsoft\Windows NT\CurrentVersion\Ports",
    r"Microsoft\Windows NT\CurrentVersion\Print",
    r"Microsoft\Windows NT\CurrentVersion\ProfileList",
    r"Microsoft\Windows NT\CurrentVersion\Time Zones",
    r"Policies",
    r"RegisteredApplications",
];

/// Subkeys of `HKEY_CLASSES_ROOT` that 32-bit programs have for themselves; all others are shared (same source).
const REDIRECTED_CLASSES: &[&str] = &["CLSID", "DirectShow", "Interface", "Media Type", "MediaFoundation"];

/// Where a 32-bit component's key goes on a 64-bit image.
///
/// `HKEY_LOCAL_MACHINE\SOFTWARE\X` becomes `…\SOFTWARE\WOW6432Node\X` unless `X` is shared; of the classes only those of
/// [`REDIRECTED_CLASSES`] become `…\Classes\WOW6432Node\X` (what `SOFTWARE\WOW6432Node\Classes` is a link to). Everything else,
/// and a key that names `WOW6432Node` itself, stays. Approximate: Microsoft documents the run-time view, not what its installer
/// does.
#[must_use]
pub fn redirected(key: &str) -> String {
    const SOFTWARE: &str = r"HKEY_LOCAL_MACHINE\SOFTWARE";
    let at_or_below = |parent: &str, path: &str| below(path, parent).is_some();
    if let Some(class) = below(key, "HKEY_CLASSES_ROOT").or_else(|| below(key, r"HKEY_LOCAL_MACHINE\SOFTWARE\Classes")) {
        let parent = key.get(..key.len().saturating_sub(class.len())).unwrap_or(key).trim_end_matches('\\');
        let own = REDIRECTED_CLASSES.iter().any(|redirected| at_or_below(redirected, class));
        return if own { format!(r"{parent}\WOW6432Node\{class}") } else { key.to_owned() };
    }
    match below(key, SOFTWARE) {
        Some(path) if !path.is_empty() && !at_or_below("WOW6432Node", path) && !SHARED.iter().any(|shared| at_or_below(shared, path)) => {
            let parent = key.get(..SOFTWARE.len()).unwrap_or(SOFTWARE);
            format!(r"{parent}\WOW6432Node\{path}")
        }
        _ => key.to_owned(),
    }
}

/// What follows `parent` in `path`, case ignored: empty for the parent itself.
fn below<'a>(path: &'a str, parent: &str) -> Option<&'a str> {
    let (start, rest) = path.split_at_checked(parent.len())?;
    if !start.eq_ignore_ascii_case(parent) {
        return None;
    }
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('\\') }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(kind: &str, text: &str) -> Option<(u32, Vec<u8>)> {
        read_data(kind, text).map(|(value_type, data)| (value_type, data.bytes(|text| Ok(text.to_owned())).unwrap()))
    }

    #[test]
    fn every_kind_of_value_has_its_bytes() {
        assert_eq!(data("REG_SZ", "ab"), Some((1, b"a\0b\0\0\0".to_vec())));
        assert_eq!(data("REG_EXPAND_SZ", ""), Some((2, vec![0, 0])));
        assert_eq!(data("REG_MULTI_SZ", r#""a","b""#), Some((7, b"a\0\0\0b\0\0\0\0\0".to_vec())));
        assert_eq!(data("REG_MULTI_SZ", r#""""#), Some((7, vec![0, 0])));
        assert_eq!(data("REG_MULTI_SZ", ""), Some((7, vec![0, 0])));
        assert_eq!(data("REG_DWORD", "0x80000001"), Some((4, vec![1, 0, 0, 0x80])));
        assert_eq!(data("REG_DWORD", "10"), Some((4, vec![10, 0, 0, 0])));
        assert_eq!(data("REG_QWORD", "0A88000000000000"), Some((11, vec![10, 0x88, 0, 0, 0, 0, 0, 0])));
        assert_eq!(data("REG_BINARY", "02FF0000"), Some((3, vec![2, 255, 0, 0])));
        assert_eq!(data("REG_NONE", ""), Some((0, vec![])));
        assert_eq!(data("FFFF0012", "3300"), Some((0xFFFF_0012, vec![0x33, 0])));
        for (kind, text) in [("REG_DWORD", "0x1FFFFFFFF"), ("REG_BINARY", "123"), ("REG_BINARY", "xx"), ("REG_MOON", ""), ("1234567", "")] {
            assert_eq!(data(kind, text), None, "{kind} {text}");
        }
    }

    #[test]
    fn lists_are_quoted() {
        assert_eq!(read_list(r#""a b", "c""d","e,f""#).unwrap(), ["a b", "c\"d", "e,f"]);
        assert_eq!(read_list("a,b").unwrap(), ["a,b"]);
        assert_eq!(read_list(r#""a" x"#), None);
        assert_eq!(read_list(r#""a"#), None);
    }

    #[test]
    fn keys_of_32_bit_components_are_redirected() {
        let cases = [
            (r"HKEY_LOCAL_MACHINE\Software\OpenSSH", r"HKEY_LOCAL_MACHINE\Software\WOW6432Node\OpenSSH"),
            (r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\OLEDB", r"HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Microsoft\OLEDB"),
            (r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Ole\a", r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Ole\a"),
            (r"HKEY_LOCAL_MACHINE\SOFTWARE\Wow6432Node\a", r"HKEY_LOCAL_MACHINE\SOFTWARE\Wow6432Node\a"),
            (r"HKEY_LOCAL_MACHINE\SOFTWARE", r"HKEY_LOCAL_MACHINE\SOFTWARE"),
            (r"HKEY_LOCAL_MACHINE\SYSTEM\a", r"HKEY_LOCAL_MACHINE\SYSTEM\a"),
            (r"HKEY_CLASSES_ROOT\Interface\{1}", r"HKEY_CLASSES_ROOT\WOW6432Node\Interface\{1}"),
            (r"HKEY_LOCAL_MACHINE\SOFTWARE\Classes\CLSID", r"HKEY_LOCAL_MACHINE\SOFTWARE\Classes\WOW6432Node\CLSID"),
            (r"HKEY_CLASSES_ROOT\.exe", r"HKEY_CLASSES_ROOT\.exe"),
            (r"HKEY_CURRENT_USER\Software\a", r"HKEY_CURRENT_USER\Software\a"),
        ];
        for (key, expected) in cases {
            assert_eq!(redirected(key), expected);
        }
    }
}

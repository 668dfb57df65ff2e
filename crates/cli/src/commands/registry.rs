//! `registry get` and `registry export`: read the registry of an image.

use serde::Serialize;
use wimwright_format::reg_file;
use wimwright_format::regf::{self, Data, Hive, KeyId};
use wimwright_image::ImageError;
use wimwright_image::registry::RegistryPath;

use super::{Result, open_image};
use crate::args::{RegistryExport, RegistryGet};
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;

/// A key for programs.
#[derive(Serialize)]
struct Key {
    key: String,
    values: Vec<Value>,
    subkeys: Vec<String>,
}

/// A value for programs.
#[derive(Serialize)]
struct Value {
    name: String,
    /// `REG_SZ`, …, or the number of a type without name.
    kind: String,
    /// Text, list of texts, number, or bytes in hexadecimal.
    data: serde_json::Value,
}

/// Opens the key that the arguments name, and hands it on with its full path.
fn with_key<T>(image: &str, key: &str, action: impl FnOnce(&Hive, KeyId, &str) -> std::result::Result<T, regf::Error>) -> Result<T> {
    let (mut image, _) = open_image(image)?;
    let path = RegistryPath::parse(key)?;
    let file = path.hive.path();
    let hive =
        image.hive(path.hive)?.ok_or_else(|| CommandError::user(format!("the image has no hive `{file}`, which would hold {path}")))?;
    let failed = |source| CommandError::from(ImageError::Hive { path: file.to_owned(), source });
    let resolved = path.resolved(&hive).map_err(failed)?;
    let found = hive.open(&resolved).map_err(failed)?.ok_or_else(|| CommandError::user(format!("the key `{path}` does not exist")))?;
    let full = if resolved.is_empty() { path.hive.mount_point().to_owned() } else { format!("{}\\{resolved}", path.hive.mount_point()) };
    action(&hive, found, &full).map_err(failed)
}

/// Shows a key, or one of its values.
pub fn get(arguments: &RegistryGet, printer: &Printer) -> Result {
    let key = with_key(&arguments.image, &arguments.key, |hive, key, path| {
        let values = hive.values(key)?.into_iter().map(|value| value_of(&value)).collect::<std::result::Result<_, _>>()?;
        let subkeys = hive.subkeys(key)?.into_iter().map(|subkey| hive.name(subkey)).collect::<std::result::Result<_, _>>()?;
        Ok(Key { key: path.to_owned(), values, subkeys })
    })?;
    let Some(wanted) = &arguments.value else {
        return printer.result(&key, || render(&key));
    };
    let wanted = if wanted == "@" { "" } else { wanted };
    let value = key.values.iter().find(|value| value.name.eq_ignore_ascii_case(wanted));
    let value = value.ok_or_else(|| CommandError::user(format!("the key `{}` has no value `{wanted}`", key.key)))?;
    printer.result(value, || format!("{}\n", text_of(&value.data)))
}

fn value_of(value: &regf::Value<'_>) -> std::result::Result<Value, regf::Error> {
    let bytes = value.data()?;
    let hexadecimal = |bytes: &[u8]| serde_json::Value::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let data = match Data::decode(value.kind(), &bytes) {
        Data::Text(text) | Data::ExpandableText(text) => text.into(),
        Data::Texts(texts) => texts.into(),
        Data::Dword(number) => number.into(),
        Data::Qword(number) => number.into(),
        Data::Binary(bytes) | Data::Other(_, bytes) => hexadecimal(&bytes),
    };
    Ok(Value { name: value.name(), kind: value.kind().to_string(), data })
}

fn text_of(data: &serde_json::Value) -> String {
    match data {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(texts) => texts.iter().map(text_of).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}

fn render(key: &Key) -> String {
    let mut text = format!("{}\n", key.key);
    let row = |value: &Value| {
        let name = if value.name.is_empty() { "(default)" } else { &value.name };
        vec![format!("  {name}"), value.kind.clone(), text_of(&value.data).replace('\n', " | ")]
    };
    text.push_str(&crate::ui::text::table(&key.values.iter().map(row).collect::<Vec<_>>()));
    key.subkeys.iter().for_each(|name| text.push_str(&format!("  {name}\\\n")));
    text
}

/// Prints a key and all below it as a `.reg` file.
pub fn export(arguments: &RegistryExport, printer: &Printer) -> Result {
    let text = with_key(&arguments.image, &arguments.key, |hive, key, path| {
        let full = path.replacen("HKLM\\", "HKEY_LOCAL_MACHINE\\", 1).replacen("HKCU", "HKEY_CURRENT_USER", 1).replacen(
            "HKU\\",
            "HKEY_USERS\\",
            1,
        );
        reg_file::export(hive, key, &full)
    })?;
    if printer.is_json() { printer.json(&serde_json::json!({ "reg": text })) } else { printer.bytes(text.as_bytes()) }
}

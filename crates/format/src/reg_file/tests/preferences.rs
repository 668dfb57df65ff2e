//! Group Policy Preferences.

use super::super::{Change, Error, parse_preferences};
use crate::regf::{Data, ValueKind};

const KEY: &str = r"HKEY_LOCAL_MACHINE\SOFTWARE\Test";

fn document(items: &str) -> Vec<u8> {
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<RegistrySettings clsid=\"{{A3CCFC41-DFDB-43a5-8D26-0FE8B954DA51}}\">{items}</RegistrySettings>")
        .into_bytes()
}

fn item(properties: &str, inner: &str) -> String {
    format!(
        r#"<Registry clsid="{{9CD4B2F4-923D-47f5-A062-E897DD1DAD50}}" name="n"><Properties hive="HKEY_LOCAL_MACHINE" key="SOFTWARE\Test" {properties}>{inner}</Properties></Registry>"#
    )
}

fn one(properties: &str, inner: &str) -> Result<Change, Error> {
    parse_preferences(&document(&item(properties, inner))).map(|mut changes| changes.remove(0))
}

fn set(name: &str, data: &Data) -> Change {
    let (kind, data) = data.encode();
    Change::SetValue { path: KEY.into(), name: name.into(), kind, data }
}

#[test]
fn actions_and_types() {
    let texts = Data::Texts(vec!["a".into(), "b".into()]);
    let cases = [
        (r#"action="U" default="0" name="v" type="REG_SZ" value="text""#, "", set("v", &Data::Text("text".into()))),
        (r#"action="C" default="1" name="" type="REG_EXPAND_SZ" value="%x%""#, "", set("", &Data::ExpandableText("%x%".into()))),
        (r#"action="R" displayDecimal="1" default="0" name="v" type="REG_DWORD" value="0000001F""#, "", set("v", &Data::Dword(31))),
        (r#"name="v" type="REG_QWORD" value="FFFFFFFFFF""#, "", set("v", &Data::Qword(0xFF_FFFF_FFFF))),
        (r#"name="v" type="REG_BINARY" value="00ffA0""#, "", set("v", &Data::Binary(vec![0, 0xFF, 0xA0]))),
        (r#"name="v" type="REG_MULTI_SZ" value="a b""#, "<Values><Value>a</Value><Value>b</Value></Values>", set("v", &texts)),
    ];
    for (properties, inner, expected) in cases {
        assert_eq!(one(properties, inner).unwrap(), expected, "{properties}");
    }
    let path = || KEY.to_owned();
    assert_eq!(
        one(r#"action="D" default="0" name="v" type="REG_SZ""#, "").unwrap(),
        Change::DeleteValue { path: path(), name: "v".into() }
    );
    assert_eq!(one(r#"action="D" default="1" name="""#, "").unwrap(), Change::DeleteValue { path: path(), name: String::new() });
    assert_eq!(one(r#"action="D" default="0" name="" type="REG_SZ""#, "").unwrap(), Change::DeleteKey { path: path() });
    assert_eq!(one(r#"action="C" default="0" name="" type="" value="""#, "").unwrap(), Change::CreateKey { path: path() });
}

#[test]
fn order_collections_and_disabled_items() {
    let named = |name: &str| item(&format!(r#"name="{name}" type="REG_DWORD" value="1""#), "");
    let off = named("off").replace("<Registry ", "<Registry disabled=\"1\" ");
    let items = format!(
        "{}<Collection name=\"c\">{}<Collection name=\"d\">{}</Collection>{off}</Collection><Collection disabled=\"1\">{}</Collection>{}",
        named("1"),
        named("2"),
        named("3"),
        named("off too"),
        named("4")
    );
    let changes = parse_preferences(&document(&items)).unwrap();
    let names: Vec<_> = changes
        .iter()
        .map(|change| match change {
            Change::SetValue { name, kind: ValueKind::DWORD, .. } => name.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["1", "2", "3", "4"]);
}

#[test]
fn what_depends_on_the_machine_is_refused() {
    let refused = |items: &str, expected: &str| match parse_preferences(&document(items)) {
        Err(Error::Preference { line, what }) => assert!(line == 2 && what.contains(expected), "{line}: {what}"),
        other => panic!("{other:?}"),
    };
    let plain = item(r#"name="v" type="REG_DWORD" value="1""#, "");
    let filters = r#"<Filters><FilterOs version="10"/></Filters>"#;
    refused(&plain.replace("</Registry>", &format!("{filters}</Registry>")), "filters");
    refused(&format!("<Collection>{filters}{plain}</Collection>"), "filters");
    refused(&item(r#"name="v" type="REG_DWORD" value="1""#, r#"<SubProp id="0" value="1" mask="1"/>"#), "single bits");
    refused(&item(r#"name="v" type="REG_DWORD" value="xyz""#, ""), "32 bits");
    refused(&item(r#"name="v" type="REG_BINARY" value="123""#, ""), "pairs");
    refused(&item(r#"name="v" type="REG_LINK" value="""#, ""), "unknown");
    refused(&item(r#"action="X" name="v""#, ""), "unknown");
    refused("<Registry name=\"n\"/>", "without Properties");
    assert!(parse_preferences(&document(&plain.replace("</Registry>", "<Filters/></Registry>"))).is_ok());
    assert!(matches!(parse_preferences(b"<Other/>"), Err(Error::NotPreferences { .. })));
    assert!(matches!(parse_preferences(b"<!DOCTYPE x [<!ENTITY y \"z\">]><RegistrySettings/>"), Err(Error::Xml(_))));
}

//! Damaged scripts: a value or an error, in bounded time.

use super::super::{parse, parse_preferences};

#[test]
fn damaged_scripts_never_panic() {
    let script = b"REGEDIT4\r\n\r\n[HKLM\\a]\r\n@=\"b\\\\\"\r\n\"c\"=dword:00000001\r\n\"d\"=hex(7):61,00,\\\r\n  62,00\r\n\"e\"=-\r\n[-HKCU\\x]\r\n";
    let xml = br#"<RegistrySettings><Registry><Properties hive="HKLM" key="a" name="b" type="REG_BINARY" value="00"/></Registry></RegistrySettings>"#;
    assert!(parse(script).is_ok() && parse_preferences(xml).is_ok());
    for at in 0..script.len() {
        let _cut = parse(&script[..at]);
        for byte in [0, b'\\', b'"', b'\n', b'[', 0x80, 0xFF] {
            let mut damaged = script.to_vec();
            damaged[at] = byte;
            let _damaged = parse(&damaged);
        }
    }
    for at in 0..xml.len() {
        let _cut = parse_preferences(&xml[..at]);
        for byte in [0, b'<', b'"', b'&', 0xFF] {
            let mut damaged = xml.to_vec();
            damaged[at] = byte;
            let _damaged = parse_preferences(&damaged);
        }
    }
}

#[test]
fn large_and_deep_scripts_are_bounded() {
    let comment = ";".repeat(1_000_000);
    assert_eq!(parse(format!("REGEDIT4\n{comment}\n").as_bytes()).unwrap(), []);
    let lines = "[HKLM\\a]\n@=hex:00,\\\n".repeat(50_000);
    assert!(parse(format!("REGEDIT4\n{lines}").as_bytes()).is_err());
    let deep = format!("<RegistrySettings>{}", "<Collection>".repeat(100_000));
    assert!(parse_preferences(deep.as_bytes()).is_err());
    let closed = format!("<RegistrySettings>{}{}</RegistrySettings>", "<Collection>".repeat(900), "</Collection>".repeat(900));
    assert_eq!(parse_preferences(closed.as_bytes()).unwrap(), []);
}

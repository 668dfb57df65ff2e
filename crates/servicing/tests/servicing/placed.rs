//! The steps `unattend`, `start-layout` and `default-apps`.

use wimwright_servicing::placed::{DefaultApps, StartLayout, Unattend};
use wimwright_servicing::step::Step;

use crate::windows::{apply, effect, ignores_time, payload, put, refusal, refused, windows};

fn unattend(pass: &str, architecture: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<unattend xmlns=\"urn:schemas-microsoft-com:unattend\">\n\
<settings pass=\"{pass}\">\n<component name=\"Microsoft-Windows-Shell-Setup\" processorArchitecture=\"{architecture}\" \
publicKeyToken=\"31bf3856ad364e35\" language=\"neutral\" versionScope=\"nonSxS\"><TimeZone>UTC</TimeZone></component>\n</settings>\n</unattend>\n"
    )
    .into_bytes()
}

#[test]
fn the_answer_file_goes_where_setup_looks() {
    let step = Unattend::new(payload("unattend.xml", &unattend("specialize", "amd64")), None).unwrap();
    insta::assert_snapshot!(effect(&step, &windows()), @r"
    + /Windows/Panther (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Windows/Panther/unattend.xml (336 bytes, attributes 0x20, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)
    report (Exact):
      added /Windows/Panther/unattend.xml
    ");
    assert!(step.writes_time());
    assert!(!ignores_time(&step, &windows()));
    insta::assert_snapshot!(step.describe().join("\n"), @"place the answer file (specialize) at /Windows/Panther/unattend.xml");
}

#[test]
fn an_answer_file_that_is_there_is_replaced() {
    let mut image = windows();
    put(&mut image, "/Windows/Panther/Unattend.xml", b"old");
    let contents = unattend("oobeSystem", "amd64");
    let after = apply(&Unattend::new(payload("unattend.xml", &contents), None).unwrap(), &image);
    assert_eq!(*after.read("/Windows/Panther/unattend.xml").unwrap(), *contents);
    assert_eq!(after.tree.at("/Windows/Panther").unwrap().children().len(), 1);
}

#[test]
fn answer_files_that_windows_would_not_follow_are_refused() {
    let new = |bytes: &[u8]| refusal(Unattend::new(payload("unattend.xml", bytes), None));
    let messages = [
        new(&unattend("specialise", "amd64")),
        new(String::from_utf8(unattend("specialize", "amd64")).unwrap().replace("Shell-Setup", "Shel-Setup").as_bytes()),
        new(b"<unattend>"),
        new(b"MZ"),
        refused(&Unattend::new(payload("unattend.xml", &unattend("specialize", "arm64")), None).unwrap(), &windows()),
        refused(
            &Unattend::new(payload("unattend.xml", &unattend("specialize", "amd64")), Some("/Windows/System32".into())).unwrap(),
            &windows(),
        ),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    the answer file does not fit Windows:
    3:1: error: `specialise` is no configuration pass: did you mean specialize?
    hint: correct the lines named above
    the answer file does not fit Windows:
    4:1: error: there is no component Microsoft-Windows-Shel-Setup: did you mean Microsoft-Windows-Shell-Setup?
    hint: correct the lines named above
    answer file: not well-formed XML at 1:1: the root node was opened but never closed
    answer file: not well-formed XML at 1:1: unknown token
    the answer file does not fit Windows:
    4:1: error: Microsoft-Windows-Shell-Setup is for arm64, the image is amd64, so it is ignored: write amd64
    hint: correct the lines named above
    `/Windows/System32` is a directory: a file cannot replace it
    ");
}

const LAYOUT: &[u8] = br#"<LayoutModificationTemplate xmlns="http://schemas.microsoft.com/Start/2014/LayoutModification" Version="1">
<LayoutOptions StartTileGroupCellWidth="6"/>
</LayoutModificationTemplate>"#;

#[test]
fn start_layouts_of_both_kinds() {
    let pins = br#"{"pinnedList":[{"desktopAppId":"MSEdge"}]}"#;
    let xml = StartLayout::new(payload("layout.xml", LAYOUT)).unwrap();
    insta::assert_snapshot!(effect(&xml, &windows()), @r"
    + /Users/Default/AppData (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Users/Default/AppData/Local (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Users/Default/AppData/Local/Microsoft (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Users/Default/AppData/Local/Microsoft/Windows (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Users/Default/AppData/Local/Microsoft/Windows/Shell (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Users/Default/AppData/Local/Microsoft/Windows/Shell/LayoutModification.xml (182 bytes, attributes 0x20, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)
    report (Exact):
      added /Users/Default/AppData/Local/Microsoft/Windows/Shell/LayoutModification.xml
    ");
    let json = StartLayout::new(payload("layout.json", &[b"\xef\xbb\xbf \r\n", &pins[..]].concat())).unwrap();
    insta::assert_snapshot!(effect(&json, &windows()), @r"
    + /Users/Default/AppData (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Users/Default/AppData/Local (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Users/Default/AppData/Local/Microsoft (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Users/Default/AppData/Local/Microsoft/Windows (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Users/Default/AppData/Local/Microsoft/Windows/Shell (0 bytes, attributes 0x10, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)
    + /Users/Default/AppData/Local/Microsoft/Windows/Shell/LayoutModification.json (48 bytes, attributes 0x20, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)
    report (Exact):
      added /Users/Default/AppData/Local/Microsoft/Windows/Shell/LayoutModification.json
    ");
    assert!(xml.writes_time() && !ignores_time(&xml, &windows()));
    let messages = [&b"no layout"[..], b"{\"pinnedList\":[{\"desktopAppId\":5}]}", b"<Layout/>", b""]
        .map(|bytes| refusal(StartLayout::new(payload("layout", bytes))));
    insta::assert_snapshot!(messages.join("\n"), @r"
    start layout: not well-formed XML at 1:1: unknown token
    start layout: 1:32: desktopAppId: invalid type: integer `5`, expected a string at line 1 column 1
    start layout: the root element is `Layout`, not `LayoutModificationTemplate` in its namespace
    start layout: not well-formed XML at 1:1: the document does not have a root node
    ");
}

#[test]
fn default_apps() {
    let list = br#"<?xml version="1.0" encoding="UTF-8"?><DefaultAssociations>
<Association Identifier=".txt" ProgId="Contoso.Text" ApplicationName="Editor"/></DefaultAssociations>"#;
    let step = DefaultApps::new(payload("associations.xml", list)).unwrap();
    insta::assert_snapshot!(effect(&step, &windows()), @r"
    + /Windows/System32/OEMDefaultAssociations.xml (161 bytes, attributes 0x20, times 2 2 2)
        O:BAG:SYD:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)
    report (Exact):
      added /Windows/System32/OEMDefaultAssociations.xml
    ");
    assert!(step.writes_time() && !ignores_time(&step, &windows()));
    let without = br#"<DefaultAssociations><Association Identifier=".txt" ApplicationName="Editor"/></DefaultAssociations>"#;
    let messages = [&without[..], b"<Associations/>", b""].map(|bytes| refusal(DefaultApps::new(payload("associations.xml", bytes))));
    insta::assert_snapshot!(messages.join("\n"), @r"
    the default app associations do not fit Windows:
    1:22: error: the association has no ProgId: it is ignored
    hint: correct the lines named above
    default associations: the root element is `Associations`, not `DefaultAssociations`
    default associations: not well-formed XML at 1:1: the document does not have a root node
    ");
}

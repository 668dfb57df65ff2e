use super::*;
use proptest::prelude::*;

fn layout(content: &str) -> String {
    format!(
        r#"<LayoutModificationTemplate xmlns="http://schemas.microsoft.com/Start/2014/LayoutModification" xmlns:defaultlayout="http://schemas.microsoft.com/Start/2014/FullDefaultLayout" xmlns:start="http://schemas.microsoft.com/Start/2014/StartLayout" xmlns:taskbar="http://schemas.microsoft.com/Start/2014/TaskbarLayout" Version="1">
{content}
</LayoutModificationTemplate>"#
    )
}

fn xml_findings(content: &str) -> Vec<String> {
    StartLayout::parse(layout(content).as_bytes()).unwrap().check().iter().map(ToString::to_string).collect()
}

fn json_findings(text: &str) -> Vec<String> {
    PinList::parse(text.as_bytes()).unwrap().check().iter().map(ToString::to_string).collect()
}

#[test]
fn a_layout_as_microsoft_describes_it() {
    let content = r##"<LayoutOptions StartTileGroupCellWidth="6" />
<DefaultLayoutOverride><StartLayoutCollection><defaultlayout:StartLayout GroupCellWidth="6"><start:Group Name="Work">
<start:Tile Size="2x2" Column="0" Row="0" AppUserModelID="Microsoft.MicrosoftEdge_8wekyb3d8bbwe!MicrosoftEdge" />
<start:DesktopApplicationTile Size="4x2" Column="2" Row="0" DesktopApplicationLinkPath="%ALLUSERSPROFILE%\Outlook.lnk" />
</start:Group></defaultlayout:StartLayout></StartLayoutCollection></DefaultLayoutOverride>
<CustomTaskbarLayoutCollection PinListPlacement="Replace"><defaultlayout:TaskbarLayout><taskbar:TaskbarPinList>
<taskbar:UWA AppUserModelID="A_8wekyb3d8bbwe!App" /><taskbar:DesktopApp DesktopApplicationID="MSEdge"/><taskbar:DesktopApp DesktopApplicationLinkPath="#leaveempty"/>
</taskbar:TaskbarPinList></defaultlayout:TaskbarLayout></CustomTaskbarLayoutCollection>"##;
    let parsed = StartLayout::parse(layout(content).as_bytes()).unwrap();
    assert_eq!((parsed.groups.len(), parsed.groups[0].tiles.len(), parsed.taskbar.len(), parsed.replaces_taskbar), (1, 2, 3, true));
    assert_eq!(parsed.groups[0].tiles[1].position.to_string(), "5:1");
    assert_eq!(parsed.check(), []);
}

#[test]
fn problems_of_tiles_and_pins() {
    let content = r#"<DefaultLayoutOverride><StartLayoutCollection><defaultlayout:StartLayout GroupCellWidth="6"><start:Group Name="Work">
<start:Tile Size="2x2" Column="0" Row="0" AppUserModelID="A!App" />
<start:Tile Size="2x2" Column="1" Row="1" AppUserModelID="B!App" />
<start:Tile Size="4x4" Column="4" Row="0" AppUserModelID="C!App" />
<start:Tile Size="3x3" Column="4" Row="0" AppUserModelID="D!App" />
<start:Tile Size="2x2" Row="4" />
<start:DesktopApplicationTile Size="2x2" Column="4" Row="4" DesktopApplicationLinkPath="C:\a.exe" />
</start:Group></defaultlayout:StartLayout></StartLayoutCollection></DefaultLayoutOverride>
<CustomTaskbarLayoutCollection><defaultlayout:TaskbarLayout><taskbar:TaskbarPinList>
<taskbar:UWA DesktopApplicationID="A"/>
<taskbar:App/>
</taskbar:TaskbarPinList></defaultlayout:TaskbarLayout></CustomTaskbarLayoutCollection>"#;
    assert_eq!(
        xml_findings(content),
        [
            "4:1: error: the tile 2x2 at column 1, row 1 lies on another",
            "5:1: error: the tile 4x4 at column 4, row 0 reaches past its group, 6 cells wide",
            "6:1: error: `3x3` is no size of a tile: 1x1, 2x2, 4x2 or 4x4",
            "7:1: error: the tile has no AppUserModelID: it is left out",
            "7:1: error: the tile needs a Column and a Row, counted from 0",
            "8:1: error: `C:\\a.exe` is no shortcut: its name must end in .lnk",
            "11:1: error: the pin has no AppUserModelID: it is left out",
            "12:1: error: `App` is no pin: write UWA or DesktopApp",
        ]
    );
    assert!(matches!(StartLayout::parse(b"<a/>"), Err(StartLayoutError::Root { .. })));
}

#[test]
fn pins_as_microsoft_describes_them() {
    let text = r#"{
  "primaryOEMPins": [
    { "packagedAppId": "OEM.App1_1abcde2f3ghjk!App" },
    { "packagedAppID": "Microsoft.MicrosoftEdge.Stable_8wekyb3d8bbwe!App", "tileId": "MSEdge.paomdnjincdkenhiicpl.UserData.Default" }
  ],
  "firstRunOEMPins": [ { "desktopAppLink": "%ALLUSERSPROFILE%\\Recommended.lnk", "caption": { "default": "x" } } ]
}"#;
    let parsed = PinList::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.lists[0].1[1].tile_id.as_deref(), Some("MSEdge.paomdnjincdkenhiicpl.UserData.Default"));
    assert_eq!(parsed.lists[1].1[0].app, Some(PinnedApp::Link("%ALLUSERSPROFILE%\\Recommended.lnk".to_owned())));
    assert_eq!(parsed.check(), []);
}

#[test]
fn problems_of_the_json() {
    let text = "{\n\"firstRunOEMPins\": [\n{ \"desktopAppLink\": \"a.exe\" },\n{ \"packagedAppId\": \"a\", \"desktopAppId\": \"b\", \"odd\": 1 },\n{}],\n\"more\": 1}";
    assert_eq!(
        json_findings(text),
        [
            "3:1: error: `a.exe` is no shortcut: its name must end in .lnk",
            "4:1: error: the pin names more than one app: keep one",
            "4:1: unknown: `odd` is no key of a pin that Microsoft describes",
            "4:1: error: Windows takes 1 of firstRunOEMPins: this one is ignored",
            "5:1: error: the pin names no app: it needs packagedAppId, desktopAppId or desktopAppLink",
            "5:1: error: Windows takes 1 of firstRunOEMPins: this one is ignored",
            "6:9: unknown: `more` is no member that Microsoft describes",
        ]
    );
    for (wrong, position) in [("[]", "1:1"), ("{\"pinnedList\": {}}", "1:16"), ("{\"pinnedList\": [1]}", "1:17"), ("{", "1:1")] {
        match PinList::parse(wrong.as_bytes()) {
            Err(StartLayoutError::Json { position: found, .. }) => assert_eq!(found.to_string(), position, "{wrong}"),
            other => panic!("{wrong}: {other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn damaged_documents_give_a_value_or_an_error(index in 0_usize..600, byte in 0x20_u8..0x7F) {
        let xml = layout(r#"<defaultlayout:StartLayout><start:Group Name=""><start:Tile Size="2x2" Column="0" Row="0"/></start:Group></defaultlayout:StartLayout>"#);
        for text in [xml, r#"{"pinnedList": [{"desktopAppId": "a"}, {"desktopAppLink": "b.lnk"}]}"#.to_owned()] {
            let mut bytes = text.into_bytes();
            let index = index % bytes.len();
            bytes[index] = byte;
            let _ = StartLayout::parse(&bytes).map(|layout| layout.check());
            let _ = PinList::parse(&bytes).map(|list| list.check());
        }
    }
}

//! Tasks, other elements, the first-boot script, and what becomes obsolete.

use wimwright_format::regf::Data;

use super::super::{Deferred, Effects, elements::WITHOUT_EFFECT, first_boot_script, obsolete};
use super::{of, try_effects};

fn commands(effects: &Effects) -> Vec<(&str, &str, Option<&str>)> {
    effects.deferred.iter().map(|item| (item.installer.as_str(), item.what.as_str(), item.command.as_deref())).collect()
}

#[test]
fn tasks_are_laid_down_for_schtasks() {
    let body = r"<taskScheduler><Task xmlns='http://schemas.microsoft.com/windows/2004/02/mit/task'><RegistrationInfo>
        <URI>Practice\Work Item</URI><Author>$(@%SystemRoot%\a.dll,-1)</Author></RegistrationInfo>
        <Actions><Exec><Command>$(runtime.system32)\a.exe</Command></Exec></Actions></Task></taskScheduler>";
    let effects = of(body);
    let [file] = effects.new_files.as_slice() else { panic!() };
    assert!(file.path.starts_with(r"\Windows\Setup\Scripts\Tasks\amd64_practice_") && file.path.ends_with("-0.xml"), "{}", file.path);
    let units: Vec<u16> = file.contents.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let text = String::from_utf16(&units).unwrap();
    assert!(text.starts_with("\u{feff}<?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n<Task xmlns='http://schemas"), "{text}");
    assert!(
        text.contains(r"<Author>$(@%SystemRoot%\a.dll,-1)</Author>") && text.contains(r"<Command>C:\Windows\System32\a.exe</Command>"),
        "{text}"
    );
    assert!(wimwright_format::xml::parse(&wimwright_format::xml::decode(&file.contents).unwrap()).is_ok());
    let command = format!(r#"schtasks.exe /create /f /tn "\Practice\Work Item" /xml "%SystemDrive%{}""#, file.path);
    assert_eq!(commands(&effects), [("taskScheduler/Task", r"\Practice\Work Item", Some(command.as_str()))]);
}

#[test]
fn each_other_element_has_its_fate() {
    let body = r"<mof name='$(runtime.wbem)\a.mof'/><HTTPAI><AddUrl url='http://+:80/x' sddl='D:(A;;GX;;;NS)'/></HTTPAI>
      <genericCommands><genericCommand executableName='$(runtime.system32)\a.exe' arguments='/i x' install='true'/>
        <genericCommand executableName='$(runtime.system32)\a.exe' arguments='/u' install='false'/></genericCommands>
      <file name='a.ini'><lodctr/><ngen/><gac/></file><sppInstaller xmlns='urn:schemas-microsoft-com:spp:installer'/>
      <rescache/><bfsvc/><networkComponents/><unheard/><HTTPAI/>
      <memberships><categoryMembership><id name='c' typeName='Shortcut'/><categoryInstance><shortCut/></categoryInstance></categoryMembership></memberships>";
    let effects = of(body);
    let expected = [
        ("memberships/Shortcut", "c", None),
        ("mof", r"\Windows\System32\wbem\a.mof", Some(r#"mofcomp.exe "%SystemDrive%\Windows\System32\wbem\a.mof""#)),
        ("HTTPAI", "http://+:80/x", Some(r#"netsh.exe http add urlacl url="http://+:80/x" sddl="D:(A;;GX;;;NS)""#)),
        ("genericCommands", r"\Windows\System32\a.exe", Some(r#""%SystemDrive%\Windows\System32\a.exe" /i x"#)),
        ("file/lodctr", "", Some("lodctr.exe /R")),
        ("file/gac", "", None),
        ("sppInstaller", "", Some(r#"cscript.exe //B "%windir%\System32\slmgr.vbs" /rilc"#)),
        ("networkComponents", "", None),
        ("unheard", "", None),
        ("HTTPAI", "", None),
        ("memberships/categoryMembership/categoryInstance/shortCut", "", None),
    ];
    let mut found = commands(&effects);
    found.sort_by_key(|item| expected.iter().position(|other| other == item));
    assert_eq!(found, expected);
    assert!(effects.deferred.iter().all(|item| !item.reason.is_empty()));
    let unheard = effects.deferred.iter().find(|item| item.installer == "unheard").unwrap();
    assert_eq!(unheard.reason, "no public source says what this element does");
    for (name, reason) in WITHOUT_EFFECT {
        assert!(!name.is_empty() && !reason.is_empty());
    }
}

#[test]
fn full_languages_are_registered() {
    let pack = |sequence: &str| {
        of(&format!("<languagePack xmlns='urn:schemas-microsoft-com:asm.internal.v1'><sequence {sequence}/></languagePack>"))
    };
    let german = pack("type='full' value='DE-de;en-US'");
    let key = r"CurrentControlSet\Control\MUI\UILanguages\de-DE";
    assert_eq!(super::values(&german, key), [super::number("LCID", 0x407), super::number("Type", 0x111)]);
    assert_eq!(german.deferred, []);
    for other in ["type='partial' value='ca-ES;es-ES'", "type='full' value='tlh-Piqd'", "type='full'"] {
        let effects = pack(other);
        assert_eq!((effects.registry.len(), commands(&effects)), (0, vec![("languagePack", "", None)]), "{other}");
    }
}

#[test]
fn names_do_not_become_commands() {
    let hostile = [
        r#"<mof name='$(runtime.wbem)\a%b.mof'/>"#,
        r#"<HTTPAI><AddUrl url='x&quot; &amp; calc &quot;' sddl='D:'/></HTTPAI>"#,
        r#"<HTTPAI><AddUrl url='x' sddl='D:&#10;calc'/></HTTPAI>"#,
        r#"<genericCommands><genericCommand executableName='$(runtime.system32)\a.exe' arguments='x &amp; calc' install='true'/></genericCommands>"#,
        r#"<instrumentation><events><provider name='p' guid='{00000000-0000-0000-0000-000000000001}'><channels><channel name='a&quot;&amp;calc'
           type='Debug' enabled='true'/></channels></provider></events></instrumentation>"#,
    ];
    for body in hostile {
        let effects = try_effects("amd64", body).unwrap();
        assert!(effects.deferred.len() == 1 && effects.deferred[0].command.is_none(), "{body}");
    }
}

#[test]
fn the_first_boot_script() {
    let item = |installer: &str, what: &str, command: Option<&str>| Deferred {
        installer: installer.to_owned(),
        what: what.to_owned(),
        command: command.map(str::to_owned),
        reason: "r".to_owned(),
        definition: None,
    };
    let items = [
        ("a".to_owned(), item("mof", "x\r\ndel & %y", Some("mofcomp.exe \"x\""))),
        ("b".to_owned(), item("gac", "", None)),
        ("b".to_owned(), item("mof", "x", Some("mofcomp.exe \"x\""))),
    ];
    let expected = "@echo off\r\nrem Work that servicing this image offline left to Windows.\r\n\
        rem a: mof x__del _ _y\r\nmofcomp.exe \"x\" >>\"%windir%\\Logs\\wimwright-first-boot.log\" 2>&1\r\nexit /b 0\r\n";
    assert_eq!(first_boot_script(&items).as_deref(), Some(expected));
    assert_eq!(first_boot_script(&items[1..2]), None);
    assert_eq!(first_boot_script(&[]), None);
}

#[test]
fn what_a_new_version_does_not_make_is_obsolete() {
    let old = of(r#"<file name='a' destinationPath='$(runtime.windows)\x'><link destination='$(runtime.windows)\Link'/></file>
      <file name='b' destinationPath='$(runtime.windows)'/>
      <directories><directory destinationPath='$(runtime.windows)\x' owner='true'/><directory destinationPath='$(runtime.windows)\x\y' owner='true'/>
        <directory destinationPath='$(runtime.windows)\shared'/></directories>
      <registryKeys><registryKey keyName='HKEY_LOCAL_MACHINE\SOFTWARE\A'><registryValue name='gone' valueType='REG_SZ' value=''/>
        <registryValue name='Stays' valueType='REG_SZ' value='1'/><registryValue name='kept' valueType='REG_SZ' value='' mutable='true'/>
        <registryValue name='foreign' valueType='REG_SZ' value='' owner='false'/>
        <registryValue name='list' valueType='REG_MULTI_SZ' value='"old"' operationHint='append'/></registryKey>
        <registryKey keyName='HKEY_LOCAL_MACHINE\SOFTWARE\A\B'/><registryKey keyName='HKEY_LOCAL_MACHINE\SOFTWARE\C' owner='false'/></registryKeys>"#);
    let new = of(r#"<file name='B' destinationPath='$(runtime.windows)'/>
      <registryKeys><registryKey keyName='HKEY_LOCAL_MACHINE\SOFTWARE\a'><registryValue name='STAYS' valueType='REG_SZ' value='2'/>
        <registryValue name='list' valueType='REG_MULTI_SZ' value='"new"' operationHint='append'/></registryKey></registryKeys>"#);
    let upgrade = obsolete(&old, &new);
    assert_eq!(upgrade.names, [r"\Windows\x\a", r"\Windows\Link"]);
    assert_eq!(upgrade.directories, [r"\Windows\x\y", r"\Windows\x"]);
    let values: Vec<_> = upgrade.values.iter().map(|value| (value.path.key.as_str(), value.value.name.as_str())).collect();
    assert_eq!(values, [("A", "gone"), ("A", "list")]);
    let list = &upgrade.values[1].value;
    assert_eq!(Data::decode(list.kind, &list.data), Data::Texts(vec!["old".to_owned()]));
    assert_eq!(upgrade.keys.iter().map(|key| key.key.as_str()).collect::<Vec<_>>(), [r"A\B"]);

    let removal = obsolete(&old, &Effects::default());
    assert_eq!((removal.names.len(), removal.directories.len(), removal.values.len()), (3, 2, 4));
    assert_eq!(removal.keys.iter().map(|key| key.key.as_str()).collect::<Vec<_>>(), [r"A\B", "A"]);
    assert_eq!(obsolete(&old, &old), super::super::Obsolete::default());
}

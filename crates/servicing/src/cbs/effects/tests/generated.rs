//! Effects of manifests written here; all expectations computed by hand.

use wimwright_format::manifest::Component;
use wimwright_format::regf::{Data, ValueKind};
use wimwright_format::security_descriptor::SecurityDescriptor;
use wimwright_image::registry::HiveFile;

use super::super::{EffectError, Operation, effects};
use super::{expandable, key, manifest, number, of, text, texts, try_effects, values};

const SECURITY: &str = "<trustInfo><security><accessControl><securityDescriptorDefinitions>
  <securityDescriptorDefinition name='Generic' sddl='D:P(A;OICI;GA;;;BA)(A;;GRGX;;;BU)(A;CIIO;GW;;;SY)'/>
  <securityDescriptorDefinition name='Other' sddl='O:BAG:BAD:(A;;FA;;;SY)'/>
  <securityDescriptorDefinition name='Parent' sddl='(inherit)'/>
  <securityDescriptorDefinition name='Wrong' sddl='D:P(A;;'/>
</securityDescriptorDefinitions></accessControl></security></trustInfo>";

fn sddl(security: Option<&std::sync::Arc<[u8]>>) -> String {
    SecurityDescriptor::decode(security.unwrap()).unwrap().to_sddl().unwrap()
}

#[test]
fn files_and_directories() {
    let body = format!(
        r"<file name='a.exe' sourceName='b.exe' destinationPath='$(runtime.system32)\x\' destinationName='c.exe' attributes='readOnly hidden'
            writeableType='dynamic'><securityDescriptor name='generic'/><link destination='$(runtime.windows)\c.exe'/></file>
          <file name='stays.dll' writeableType='static'/>
          <directories><directory destinationPath='$(runtime.programData)\x' attributes='system notContentIndexed' owner='true'>
            <securityDescriptor name='Generic'/></directory>
            <directory destinationPath='$(runtime.bootDrive)\' ><securityDescriptor name='Parent'/></directory></directories>{SECURITY}"
    );
    let effects = of(&body);
    let [moved, stays] = effects.files.as_slice() else { panic!() };
    assert_eq!((moved.payload.as_str(), moved.attributes, moved.writeable), ("b.exe", Some(3), true));
    assert_eq!(moved.names, [r"\Windows\System32\x\c.exe", r"\Windows\c.exe"]);
    assert_eq!(sddl(moved.security.as_ref()), "O:SYG:SYD:PAI(A;OICI;FA;;;BA)(A;;0x1200a9;;;BU)(A;CIIO;GW;;;SY)");
    assert_eq!((stays.names.len(), stays.attributes, stays.writeable, stays.security.is_none()), (0, None, false, true));
    let [data, root] = effects.directories.as_slice() else { panic!() };
    assert_eq!((data.path.as_str(), data.attributes, data.owner), (r"\ProgramData\x", 0x2014, true));
    assert_eq!(sddl(data.security.as_ref()), "O:SYG:SYD:PAI(A;;FA;;;BA)(A;OICIIO;GA;;;BA)(A;;0x1200a9;;;BU)(A;CIIO;GW;;;SY)");
    assert_eq!((root.path.as_str(), root.attributes, root.owner, root.security.is_none()), ("", 0x10, false, true));
}

#[test]
fn keys_go_to_their_hives_and_share_descriptors() {
    let body = format!(
        r#"<registryKeys>
          <registryKey keyName='HKEY_LOCAL_MACHINE\SOFTWARE\Practice\'><securityDescriptor name='GENERIC'/>
            <registryValue name='' valueType='REG_SZ' value='$(runtime.programFiles)\x'/>
            <registryValue name='list' valueType='REG_MULTI_SZ' value='"a","b"' operationHint='append' owner='false'/>
            <registryValue name='first' valueType='REG_MULTI_SZ' value='"a"' operationHint='prepend'/>
            <registryValue name='kept' valueType='REG_DWORD' value='0x1' mutable='true'/>
            <registryValue name='property' valueType='FFFF0012' value='3100'/></registryKey>
          <registryKey keyName='HKEY_CLASSES_ROOT\CLSID\{{1}}' owner='false'><securityDescriptor name='Generic'/></registryKey>
          <registryKey keyName='HKEY_CURRENT_USER\Control Panel'/>
          <registryKey keyName='HKEY_USERS\.DEFAULT\x'/>
          <registryKey keyName='HKEY_CLASSES_ROOT\MIME\Database\Content Type\text/html'/>
          <registryKey keyName='HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\x'/></registryKeys>{SECURITY}"#
    );
    let effects = of(&body);
    let places: Vec<_> = effects.registry.iter().map(|key| (key.path.hive, key.path.key.as_str())).collect();
    let expected = [
        (HiveFile::Software, "Practice"),
        (HiveFile::Software, r"Classes\CLSID\{1}"),
        (HiveFile::DefaultUser, "Control Panel"),
        (HiveFile::LocalSystem, "x"),
        (HiveFile::Software, r"Classes\MIME\Database\Content Type\text/html"),
        (HiveFile::System, r"CurrentControlSet\Control\x"),
    ];
    assert_eq!(places, expected);
    let first = &effects.registry[0];
    let operations: Vec<_> = first.values.iter().map(|value| (value.operation, value.mutable, value.owner)).collect();
    let set = (Operation::Set, false, true);
    assert_eq!(
        operations,
        [set, (Operation::AppendEntries, false, false), (Operation::PrependEntries, false, true), (Operation::Set, true, true), set]
    );
    assert_eq!(values(&effects, "Practice")[..2], [text("", r"C:\Program Files\x"), texts("list", &["a", "b"])]);
    assert_eq!((first.values[4].kind, first.values[4].data.as_slice()), (ValueKind(0xffff_0012), &b"1\0"[..]));
    assert!(first.owner && !effects.registry[1].owner);
    assert_eq!(sddl(first.security.as_ref()), "O:SYG:SYD:PAI(A;;KA;;;BA)(A;OICIIO;GA;;;BA)(A;;KR;;;BU)(A;CIIO;GW;;;SY)");
    assert!(std::sync::Arc::ptr_eq(first.security.as_ref().unwrap(), effects.registry[1].security.as_ref().unwrap()));
}

#[test]
fn components_for_32_bit_programs_use_their_own_places() {
    let body = r"<file name='a.dll' destinationPath='$(runtime.system32)'/><registryKeys>
        <registryKey keyName='HKEY_LOCAL_MACHINE\Software\Practice'><registryValue name='p' valueType='REG_SZ' value='$(runtime.system32)'/></registryKey>
        <registryKey keyName='HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\App Paths\a.exe'/>
        <registryKey keyName='HKEY_CLASSES_ROOT\CLSID\{1}'/><registryKey keyName='HKEY_CLASSES_ROOT\.txt'/></registryKeys>
        <instrumentation><events><provider name='P' guid='{00000000-0000-0000-0000-000000000001}'/></events></instrumentation>";
    let effects = try_effects("wow64", body).unwrap();
    assert_eq!(effects.files[0].names, [r"\Windows\SysWOW64\a.dll"]);
    let keys: Vec<&str> = effects.registry.iter().map(|key| key.path.key.as_str()).collect();
    let expected = [
        r"WOW6432Node\Practice",
        r"Microsoft\Windows\CurrentVersion\App Paths\a.exe",
        r"Classes\WOW6432Node\CLSID\{1}",
        r"Classes\.txt",
        r"Microsoft\Windows\CurrentVersion\WINEVT\Publishers\{00000000-0000-0000-0000-000000000001}",
    ];
    assert_eq!(keys, expected);
    assert_eq!(values(&effects, expected[0]), [text("p", r"C:\Windows\SysWOW64")]);
    assert!(matches!(try_effects("arm", body), Err(EffectError::Manifest { .. })));
}

#[test]
fn services_with_everything() {
    let body = format!(
        r#"<memberships><categoryMembership><id name='Microsoft.Windows.Categories.Services' typeName='Service'/><categoryInstance subcategory='S'>
        <serviceData name='svc' displayName='Display' description='Text' type='win32ShareProcess|interactiveProcess' start='delayedAuto'
          errorControl='severe' imagePath='%SystemRoot%\system32\svchost.exe -k x' objectName='LocalSystem' group='G' tag='7'
          dependOnService='"RpcSs","Tcpip"' dependOnGroup='NDIS' requiredPrivileges='SeA,SeB' sidType='restricted' launchProtected='windowsLight'
          failureActionsFlag='true'>
          <failureActions resetPeriod='infinite' command='repair.exe' rebootMessage='Bye'><actions><action delay='1000' type='runCommand'/>
            <action type='rebootMachine' delay='0'/></actions></failureActions>
          <serviceTrigger action='start' type='NetworkEndpoint' subtype='{{BC90D167-9470-4139-A9BA-BE0BBBF5B74D}}'>
            <triggerData type='string' value='ab'/></serviceTrigger>
          <serviceTrigger action='stop' type='FirewallPortEvent' subtype='b7569e07-8421-4ee0-ad10-86915afdad09'>
            <triggerData type='string' value='"5355","UDP"'/><triggerData type='keywordAny' value='0x100'/>
            <triggerData type='level' value='4'/><triggerData type='binary' value='0A0B'/></serviceTrigger>
          <securityDescriptor name='Generic'/></serviceData>
        </categoryInstance></categoryMembership>
        <categoryMembership><id name='Microsoft.Windows.Categories' typeName='SvcHost'/><categoryInstance subcategory='netsvcs'>
          <serviceGroup serviceName='svc' position='first'/></categoryInstance></categoryMembership>
        <categoryMembership><id name='Microsoft.Windows.Categories' typeName='Environment'/><categoryInstance subcategory='PATH'>
          <path name='$(runtime.windows)\x' position='first'/></categoryInstance></categoryMembership>
        <categoryMembership><id name='Microsoft.Windows.Categories' typeName='BootCritical'/></categoryMembership>
        <categoryMembership><id name='Practice.Categories' typeName='Unheard'/></categoryMembership></memberships>{SECURITY}"#
    );
    let effects = of(&body);
    let expected = [
        number("Type", 0x120),
        number("Start", 2),
        number("DelayedAutostart", 1),
        number("ErrorControl", 2),
        number("ServiceSidType", 3),
        number("LaunchProtected", 2),
        number("Tag", 7),
        number("FailureActionsOnNonCrashFailures", 1),
        text("DisplayName", "Display"),
        text("Description", "Text"),
        text("ObjectName", "LocalSystem"),
        text("Group", "G"),
        text("FailureCommand", "repair.exe"),
        text("RebootMessage", "Bye"),
        expandable("ImagePath", r"%SystemRoot%\system32\svchost.exe -k x"),
        texts("DependOnService", &["RpcSs", "Tcpip"]),
        texts("DependOnGroup", &["NDIS"]),
        texts("RequiredPrivileges", &["SeA", "SeB"]),
        // Reset period, two unused, two actions from byte 20: run a command after 1000 ms, restart the machine.
        (
            "FailureActions".to_owned(),
            Data::Binary([u32::MAX, 0, 0, 2, 20, 3, 1000, 2, 0].into_iter().flat_map(u32::to_le_bytes).collect()),
        ),
    ];
    let service = r"CurrentControlSet\Services\svc";
    assert_eq!(values(&effects, service), expected);
    let mutable: Vec<_> = key(&effects, service).values.iter().filter(|value| value.mutable).map(|value| value.name.as_str()).collect();
    assert_eq!(mutable, ["Start", "DelayedAutostart"]);
    let binary = |name: &str, bytes: &[u8]| (name.to_owned(), Data::Binary(bytes.to_vec()));
    let guid = [0x67, 0xd1, 0x90, 0xbc, 0x70, 0x94, 0x39, 0x41, 0xa9, 0xba, 0xbe, 0x0b, 0xbb, 0xf5, 0xb7, 0x4d];
    let first = [number("Type", 6), number("Action", 1), binary("GUID", &guid), number("DataType0", 2), binary("Data0", b"a\0b\0\0\0")];
    assert_eq!(values(&effects, &format!(r"{service}\TriggerInfo\0")), first);
    let second = values(&effects, &format!(r"{service}\TriggerInfo\1"));
    assert_eq!((&second[0], &second[1]), (&number("Type", 4), &number("Action", 2)));
    let ports: Vec<u8> = "5355\0UDP\0\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let data = [
        number("DataType0", 2),
        binary("Data0", &ports),
        number("DataType1", 4),
        binary("Data1", &[0, 1, 0, 0, 0, 0, 0, 0]),
        number("DataType2", 3),
        binary("Data2", &[4]),
        number("DataType3", 1),
        binary("Data3", &[10, 11]),
    ];
    assert_eq!(second[3..], data);
    let security = &key(&effects, &format!(r"{service}\Security")).values[0];
    let security = SecurityDescriptor::decode(&security.data).unwrap().to_sddl().unwrap();
    assert_eq!(security, "O:SYG:SYD:P(A;OICI;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;BA)(A;;CCLCSWRPWPDTLOCRRC;;;BU)(A;CIIO;GW;;;SY)");
    let group = &key(&effects, r"Microsoft\Windows NT\CurrentVersion\Svchost").values[0];
    assert_eq!(
        (group.name.as_str(), group.operation, Data::decode(group.kind, &group.data)),
        ("netsvcs", Operation::PrependEntries, texts("", &["svc"]).1)
    );
    let path = &key(&effects, r"CurrentControlSet\Control\Session Manager\Environment").values[0];
    assert_eq!((path.operation, Data::decode(path.kind, &path.data)), (Operation::PrependPath, expandable("", r"C:\Windows\x").1));
    let deferred: Vec<_> = effects.deferred.iter().map(|item| (item.installer.as_str(), item.what.as_str(), &item.command)).collect();
    assert_eq!(deferred, [("memberships/Unheard", "Practice.Categories", &None)]);
}

#[test]
fn firewall_rules_take_the_lowest_version_that_has_their_fields() {
    let rule = |attributes: &str| {
        let effects = try_effects("amd64", &format!("<firewallRule internalName='r' {attributes}/>"))?;
        let key = key(&effects, r"CurrentControlSet\Services\SharedAccess\Defaults\FirewallPolicy\FirewallRules");
        assert_eq!(
            key.values,
            super::key(&effects, r"CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules").values
        );
        let Data::Text(text) = Data::decode(key.values[0].kind, &key.values[0].data) else { panic!() };
        Ok::<_, EffectError>(text)
    };
    let shortest = "Action='BLOCK' Active='no' Dir='out'";
    assert_eq!(rule(shortest).unwrap(), "v2.0|Action=Block|Active=FALSE|Dir=Out|");
    let all =
        "protocol='UDP' LPort='80, 443,5000-5020,RPC' rport='1-2' profile='public,domain' ra4='LocalSubnet' ra6='fe80::/64,Ply2Renders'
        svc='s' name='n' desc='d' group='g' edge='TRUE' edgedefer='app' ttk='UPnP' binary='$(runtime.system32)\\a.exe'";
    assert_eq!(
        rule(&format!("{shortest} {all}")).unwrap(),
        "v2.27|Action=Block|Active=FALSE|Dir=Out|Protocol=17|Profile=Domain|Profile=Public|LPort=80|LPort=443|LPort=RPC|LPort2_10=5000-5020|\
         RPort2_10=1-2|RA4=LocalSubnet|RA62=Ply2Renders|RA6=fe80::/64|App=C:\\Windows\\System32\\a.exe|Svc=s|Name=n|Desc=d|EmbedCtxt=g|\
         TTK2_27=UPnP|Edge=TRUE|Defer=App|"
    );
    let without = "protocol='any' profile='all' edge='false' icmp4='8:*' icmp6='128:0'";
    assert_eq!(rule(&format!("{shortest} {without}")).unwrap(), "v2.0|Action=Block|Active=FALSE|Dir=Out|ICMP4=8:*|ICMP6=128:0|");
    for wrong in ["lport='70000'", "lport='http'", "protocol='999'", "name='a|Action=Allow'", "ra4='a'", "color='red'", "icmp4='8'"] {
        assert!(matches!(rule(&format!("{shortest} {wrong}")), Err(EffectError::UnknownValue { .. })), "{wrong}");
    }
    assert!(matches!(rule("action='allow' active='true'"), Err(EffectError::UnknownValue { .. })));
    assert!(matches!(try_effects("amd64", "<firewallRule action='allow' active='true' dir='in'/>"), Err(EffectError::UnknownValue { .. })));
}

/// The keys of the calculator of Windows 10, as a public export holds them (DrEmpiricism/Optimize-Offline, `Win32Calc.reg`), and
/// those for channels of Windows itself, as real SYSTEM hives hold them for `Microsoft-Windows-Time-Service`.
#[test]
fn event_publishers() {
    let body = r"<instrumentation><events>
      <provider name='Microsoft-Windows-Calculator' guid='{75F48521-4131-4AC3-9887-65473224FCB2}' resourceFileName='%SystemRoot%\system32\win32calc.exe'
        messageFileName='%SystemRoot%\system32\win32calc.exe'><channels>
        <channel name='Microsoft-Windows-Calculator/Diagnostic' type='Analytic'/>
        <channel name='Microsoft-Windows-Calculator/Debug' type='Debug' enabled='false'/></channels></provider>
      <provider name='Microsoft-Windows-Time-Service' guid='{06edcfeb-0fd0-4e53-acca-a6f8bbf81bcb}' messageFileName='%SystemRoot%\system32\w32time.dll'
        parameterFileName='p.dll'><channels><importChannel name='System' chid='S'/>
        <channel name='Microsoft-Windows-Time-Service/Operational' type='Operational' enabled='true'><logging><maxSize>1048576</maxSize></logging>
          <publishing><clockType>SystemTime</clockType></publishing></channel>
        <channel name='T/Health' type='Admin' enabled='true' isolation='System' value='40'/>
        <channel name='T/Custom' type='Admin' enabled='true' isolation='Custom'/><importChannel name='Other/Log'/></channels></provider>
      </events></instrumentation>";
    let effects = of(body);
    const EVENTS: &str = r"Microsoft\Windows\CurrentVersion\WINEVT";
    let guid = "{75f48521-4131-4ac3-9887-65473224fcb2}";
    let publisher = format!(r"{EVENTS}\Publishers\{guid}");
    let file = r"%SystemRoot%\system32\win32calc.exe";
    let expected = [text("", "Microsoft-Windows-Calculator"), expandable("ResourceFileName", file), expandable("MessageFileName", file)];
    assert_eq!(values(&effects, &publisher), expected);
    assert_eq!(values(&effects, &format!(r"{publisher}\ChannelReferences")), [number("Count", 2)]);
    let reference = |place: u32, name| {
        assert_eq!(
            values(&effects, &format!(r"{publisher}\ChannelReferences\{place}")),
            [text("", name), number("Id", 0x10 + place), number("Flags", 0)]
        )
    };
    reference(0, "Microsoft-Windows-Calculator/Diagnostic");
    reference(1, "Microsoft-Windows-Calculator/Debug");
    let access = "O:BAG:SYD:(A;;0x2;;;S-1-15-2-1)(A;;0xf0007;;;SY)(A;;0x7;;;BA)(A;;0x7;;;SO)(A;;0x3;;;IU)(A;;0x3;;;SU)(A;;0x3;;;S-1-5-3)\
        (A;;0x3;;;S-1-5-33)(A;;0x1;;;S-1-5-32-573)";
    for (name, kind) in [("Diagnostic", 2), ("Debug", 3)] {
        let channel = [
            text("OwningPublisher", guid),
            number("Enabled", 0),
            number("Isolation", 0),
            text("ChannelAccess", access),
            number("Type", kind),
        ];
        assert_eq!(values(&effects, &format!(r"{EVENTS}\Channels\Microsoft-Windows-Calculator/{name}")), channel);
    }

    let guid = "{06edcfeb-0fd0-4e53-acca-a6f8bbf81bcb}";
    let time = format!(r"{EVENTS}\Publishers\{guid}\ChannelReferences");
    let references: Vec<_> = (0..5).map(|place| values(&effects, &format!(r"{time}\{place}"))[1..].to_vec()).collect();
    let id = |id, flags| vec![number("Id", id), number("Flags", flags)];
    assert_eq!(references, [id(8, 1), id(16, 0), id(40, 0), id(41, 0), id(42, 1)]);
    let classic = r"CurrentControlSet\Services\EventLog\System\Microsoft-Windows-Time-Service";
    let messages = expandable("EventMessageFile", r"%SystemRoot%\system32\w32time.dll");
    assert_eq!(values(&effects, classic), [text("ProviderGuid", guid), messages, expandable("ParameterMessageFile", "p.dll")]);
    let keywords = |session| values(&effects, &format!(r"CurrentControlSet\Control\WMI\Autologger\{session}\{guid}"))[3].clone();
    assert_eq!(keywords("EventLog-Application"), ("MatchAnyKeyword".to_owned(), Data::Qword(0x4000_0000_0000_0000)));
    assert_eq!(keywords("EventLog-System"), ("MatchAnyKeyword".to_owned(), Data::Qword(0xa000_0000_0000_0000)));
    let commands: Vec<_> = effects.deferred.iter().map(|item| (item.what.as_str(), item.command.as_deref())).collect();
    let operational = "Microsoft-Windows-Time-Service/Operational";
    let expected = [
        (operational, Some(r#"wevtutil.exe set-log "Microsoft-Windows-Time-Service/Operational" /ms:"1048576""#)),
        (operational, None),
        ("T/Custom", Some(r#"wevtutil.exe set-log "T/Custom" /e:"true""#)),
        ("Other/Log", None),
    ];
    assert_eq!(commands, expected);
}

#[test]
fn what_has_no_known_meaning_is_an_error_that_names_the_component() {
    let file = |attributes: &str, inner: &str| format!("<file name='a' {attributes}>{inner}</file>{SECURITY}");
    let value = |attributes: &str| {
        format!(
            r"<registryKeys><registryKey keyName='HKEY_LOCAL_MACHINE\SOFTWARE\x'><registryValue name='v' {attributes}/></registryKey></registryKeys>"
        )
    };
    let service = |attributes: &str, inner: &str| {
        format!(
            "<memberships><categoryMembership><id name='c' typeName='Service'/><categoryInstance>\
             <serviceData name='s' {attributes}>{inner}</serviceData></categoryInstance></categoryMembership></memberships>"
        )
    };
    let provider = |channel: &str| {
        format!(
            "<instrumentation><events><provider name='p' guid='{{00000000-0000-0000-0000-000000000001}}'><channels>{channel}</channels>\
             </provider></events></instrumentation>"
        )
    };
    let key = |name: &str| format!("<registryKeys><registryKey keyName='{name}'/></registryKeys>");
    let wrong = [
        file("destinationPath='$(runtime.moon)'", ""),
        file(r"destinationPath='$(runtime.windows)\..'", ""),
        file("attributes='shiny'", ""),
        file("", "<securityDescriptor name='Missing'/>"),
        file("", "<securityDescriptor name='Wrong'/>"),
        file("", "<securityDescriptor name='Generic'/><securityDescriptor name='Other'/>"),
        value("valueType='REG_SZ' value='$(string.missing)'"),
        value("valueType='REG_DWORD' value='1' operationHint='append'"),
        value("valueType='REG_SZ' value='$(dependentAssembly.x.path)'"),
        key(r"HKEY_LOCAL_MACHINE\MOON\x"),
        key(r"HKEY_PERFORMANCE_DATA\x"),
        key(r"HKEY_LOCAL_MACHINE\SOFTWARE/x"),
        key(&format!(r"HKEY_LOCAL_MACHINE\SOFTWARE\{}", "x".repeat(256))),
        service("start='sometimes'", ""),
        service("tag='x'", ""),
        service("", "<serviceTrigger action='start' type='Custom' subtype='x'/>"),
        service("", "<serviceTrigger action='wait' type='Custom' subtype='{00000000-0000-0000-0000-000000000001}'/>"),
        service("", "<failureActions><actions><action type='pray'/></actions></failureActions>"),
        provider("<channel name='c' type='Loud'/>"),
        provider("<channel name='c' type='Admin' isolation='Total'/>"),
        provider(r"<channel name='a\b' type='Admin'/>"),
        provider("<channel name='c' type='Admin' value='x'/>"),
        provider(&"<channel name='c' type='Admin'/>".repeat(9)),
        "<instrumentation><events><provider name='p' guid='x'/></events></instrumentation>".to_owned(),
        "<taskScheduler><Task xmlns='http://schemas.microsoft.com/windows/2004/02/mit/task'/></taskScheduler>".to_owned(),
        r"<mof name='..\x.mof'/>".to_owned(),
    ];
    for body in wrong {
        let error = try_effects("amd64", &body).expect_err(&body);
        assert!(error.to_string().contains("amd64_practice_31bf3856ad364e35_10.0.1.2_none_"), "{error}");
    }
    assert_eq!(of(&file("", "<securityDescriptor name='Generic'/><securityDescriptor name='generic'/>")).files.len(), 1);
}

/// A small manifest that means very much: refused, before the memory is used.
#[test]
fn expansion_is_bounded() {
    let text = "x".repeat(60_000);
    let strings = format!(
        "<localization><resources culture='en-US'><stringTable><string id='a' value='{text}'/></stringTable></resources></localization>"
    );
    let list = r#""$(string.a)","#.repeat(1200);
    let list = format!("<registryValue name='v' valueType='REG_MULTI_SZ' value='{}'/>", list.trim_end_matches(','));
    let value = "<registryValue name='v' valueType='REG_SZ' value='$(string.a)'/>".repeat(1200);
    for values in [list, value] {
        let body =
            format!(r"{strings}<registryKeys><registryKey keyName='HKEY_LOCAL_MACHINE\SOFTWARE\x'>{values}</registryKey></registryKeys>");
        assert!(matches!(try_effects("amd64", &body), Err(EffectError::Manifest { .. })));
    }
}

/// Bits flipped at many places: effects or an error, never a panic.
#[test]
fn damaged_manifests_give_effects_or_an_error() {
    let body = r#"<file name='a' destinationPath='$(runtime.system32)'/><firewallRule internalName='r' action='allow' active='true' dir='in' lport='1-2'/>
      <memberships><categoryMembership><id name='c' typeName='Service'/><categoryInstance><serviceData name='s' start='auto' type='kernelDriver' tag='1'>
      <serviceTrigger action='start' type='Custom' subtype='{00000000-0000-0000-0000-000000000001}'><triggerData type='string' value='"a"'/>
      </serviceTrigger></serviceData></categoryInstance></categoryMembership></memberships><mof name='$(runtime.wbem)\a.mof'/>
      <instrumentation><events><provider name='p' guid='{00000000-0000-0000-0000-000000000001}'><channels><channel name='c' type='Admin' enabled='1'/>
      </channels></provider></events></instrumentation>"#;
    let bytes = manifest("amd64", body).into_bytes();
    let (mut fine, mut failed) = (0, 0);
    for place in 0..bytes.len() {
        for flip in [1, 2, 0x20] {
            let mut damaged = bytes.clone();
            damaged[place] ^= flip;
            if let Ok(component) = Component::parse(&damaged) {
                match effects(&component, "amd64") {
                    Ok(_) => fine += 1,
                    Err(_) => failed += 1,
                }
            }
        }
    }
    assert!(fine > 100 && failed > 100, "{fine} {failed}");
}

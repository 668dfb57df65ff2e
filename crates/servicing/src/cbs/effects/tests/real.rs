//! Effects of real manifests, and what Windows itself wrote for the same components into two real SYSTEM hives.

use std::collections::BTreeMap;
use std::process::Command;

use wimwright_format::manifest::Component;
use wimwright_format::manifest::component::FirewallRule;
use wimwright_format::regf::{Data, Hive, KeyId};
use wimwright_format::security_descriptor::{SecurityDescriptor, control};
use wimwright_image::registry::HiveFile;

use super::super::{Effects, Operation, RegistryEffect, effects};
use super::{corpus, expandable, key, number, text, texts, values};

/// A hive of Windows 10 that has the OpenSSH server.
const WITH_OPENSSH: &str = "hives/regipy/SYSTEM_WIN_10_1709.xz";
const HIVES: [&str; 2] = [WITH_OPENSSH, "hives/regipy/SYSTEM_B.xz"];

fn hive(relative: &str) -> Option<Hive> {
    let path = wimwright_testkit::test_data(relative)?;
    if !wimwright_testkit::oracles(&["xz"]) {
        return None;
    }
    Some(Hive::from_bytes(wimwright_testkit::run(Command::new("xz").arg("-dc").arg(path)).stdout).unwrap())
}

fn of(name: &str) -> Option<Effects> {
    let manifests = corpus::manifests()?;
    let (_, bytes) = manifests.iter().find(|(file, _)| file.starts_with(name)).unwrap_or_else(|| panic!("{name}"));
    let component = Component::parse(bytes).unwrap();
    Some(effects(&component, image_for(&component)).unwrap())
}

/// An image that a component of this architecture belongs into.
fn image_for(component: &Component) -> &str {
    match component.identity.architecture.as_deref() {
        Some("wow64" | "msil") | None => "amd64",
        Some(own) => own,
    }
}

fn open(hive: &Hive, key: &RegistryEffect) -> Option<KeyId> {
    hive.open(&key.path.resolved(hive).unwrap()).unwrap()
}

/// The values of a key in a hive, sorted by name.
fn stored(hive: &Hive, key: KeyId) -> Vec<(String, u32, Vec<u8>)> {
    let values = hive.values(key).unwrap();
    let mut values: Vec<_> = values.iter().map(|value| (value.name(), value.kind().0, value.data().unwrap().into_owned())).collect();
    values.sort();
    values
}

fn made(key: &RegistryEffect) -> Vec<(String, u32, Vec<u8>)> {
    let mut values: Vec<_> = key.values.iter().map(|value| (value.name.clone(), value.kind.0, value.data.clone())).collect();
    values.sort();
    values
}

#[test]
fn real_components_have_effects() {
    let Some(manifests) = corpus::manifests() else { return };
    let (mut deferred, mut counts) = (BTreeMap::<String, usize>::new(), [0; 6]);
    for (name, bytes) in manifests {
        let component = Component::parse(bytes).unwrap();
        let effects = match effects(&component, image_for(&component)) {
            Ok(effects) => effects,
            Err(error) => panic!("{name}: {error}: {:?}", std::error::Error::source(&error)),
        };
        assert_eq!(effects.files.len(), component.files.len());
        for item in &effects.deferred {
            *deferred.entry(format!("{} ({})", item.installer, if item.command.is_some() { "tool" } else { "no tool" })).or_default() += 1;
        }
        let values = effects.registry.iter().map(|key| key.values.len()).sum();
        let sizes = [1, effects.directories.len(), effects.files.len(), effects.registry.len(), values, effects.new_files.len()];
        counts.iter_mut().zip(sizes).for_each(|(count, size)| *count += size);
    }
    let expected: BTreeMap<String, usize> = [
        ("ConfigureIEOptionalComponentsAI (no tool)", 2),
        ("SetIEInstalledDateAI (no tool)", 2),
        ("configuration (no tool)", 12),
        ("imaging (no tool)", 1),
        ("mof (tool)", 6),
        ("networkComponents (no tool)", 2),
        ("sppInstaller (tool)", 3),
        ("taskScheduler/Task (tool)", 4),
        ("unattendActions (no tool)", 3),
    ]
    .map(|(name, count)| (name.to_owned(), count))
    .into();
    assert_eq!(deferred, expected);
    let [components, directories, files, .., new_files] = counts;
    assert_eq!([components, directories, files, new_files], [248, 53, 558, 4]);
}

/// All that installing the OpenSSH server does, computed by hand from its two manifests.
#[test]
fn real_openssh_server_is_complete() {
    let Some(server) = of("amd64_openssh-server-components-onecore_31bf3856ad364e35_10.0.20348.1_") else { return };
    assert_eq!((server.directories.len(), server.new_files.len(), server.deferred.len()), (0, 0, 0));
    let names: Vec<&str> = server.files.iter().flat_map(|file| &file.names).map(String::as_str).collect();
    let file = |name| format!(r"\Windows\System32\OpenSSH\{name}");
    assert_eq!(names, ["sftp-server.exe", "sshd.exe", "ssh-shellhost.exe", "sshd_config_default", "moduli"].map(file));
    let sshd = &server.files[1];
    assert_eq!((sshd.payload.as_str(), sshd.attributes, sshd.writeable), ("sshd.exe", None, false));
    assert!(sshd.hash.is_some());
    let security = SecurityDescriptor::decode(sshd.security.as_ref().unwrap()).unwrap().to_sddl().unwrap();
    let installer = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
    let readers: String = ["BA", "SY", "BU", "AC", "S-1-15-2-2"].map(|who| format!("(A;;0x1200a9;;;{who})")).concat();
    let expected = format!("O:{installer}G:{installer}D:PAI(A;;FA;;;{installer}){readers}S:AI(AU;SAFA;DCLCRPCRSDWDWO;;;WD)");
    assert_eq!(security, expected);

    let keys: Vec<&str> = server.registry.iter().map(|key| key.path.key.as_str()).collect();
    let rules = |policy| format!(r"CurrentControlSet\Services\SharedAccess\{policy}\FirewallPolicy\FirewallRules");
    let service = r"CurrentControlSet\Services\sshd";
    // The first is the manifest's own key, which only says who else may set its values.
    assert_eq!(keys, [service, service, &rules("Parameters"), &rules("Defaults")]);
    assert!(server.registry.iter().all(|key| key.path.hive == HiveFile::System));
    assert_eq!(server.registry[0].values, []);
    let rule = "v2.0|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=22|App=%SystemRoot%\\system32\\OpenSSH\\sshd.exe|\
                Name=OpenSSH SSH Server (sshd)|Desc=Inbound rule for OpenSSH SSH Server (sshd)|EmbedCtxt=OpenSSH Server|";
    assert_eq!(values(&server, &rules("Parameters")), [text("OpenSSH-Server-In-TCP", rule)]);

    let common = of("amd64_openssh-common-components-onecore_31bf3856ad364e35_10.0.20348.1_").unwrap();
    let directories: Vec<_> =
        common.directories.iter().map(|directory| (directory.path.as_str(), directory.attributes, directory.owner)).collect();
    assert_eq!(directories, [(r"\Windows\System32\OpenSSH", 0x10, true), (r"\ProgramData\ssh", 0x10, true)]);
    let data = SecurityDescriptor::decode(common.directories[1].security.as_ref().unwrap()).unwrap();
    assert_eq!(data.to_sddl().unwrap(), "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;AU)");
    assert_eq!(common.registry[0].path.hive, HiveFile::Software);
    let [first, second] = [0, 1].map(|place: usize| common.registry[place].path.key.as_str());
    assert_eq!((first, second), ("OpenSSH", r"OpenSSH\Agent"));
    let path = &key(&common, r"CurrentControlSet\Control\Session Manager\Environment").values[0];
    assert_eq!((path.operation, path.name.as_str()), (Operation::AppendPath, "Path"));
    assert_eq!(Data::decode(path.kind, &path.data), Data::ExpandableText(r"%SYSTEMROOT%\System32\OpenSSH\".to_owned()));
    assert_eq!(common.deferred, []);
}

/// The keys of the event log for the publisher of OpenSSH, by hand from the manifest and Microsoft's listing of the keys.
#[test]
fn real_openssh_publisher() {
    let Some(common) = of("amd64_openssh-common-components-onecore_31bf3856ad364e35_10.0.20348.1_") else { return };
    const EVENTS: &str = r"Microsoft\Windows\CurrentVersion\WINEVT";
    let guid = "{c4b57d35-0636-4bc3-a262-370f249f9802}";
    let publisher = format!(r"{EVENTS}\Publishers\{guid}");
    let agent = r"%windir%\system32\openssh\ssh-agent.exe";
    let expected = [text("", "OpenSSH"), expandable("ResourceFileName", agent), expandable("MessageFileName", agent)];
    assert_eq!(values(&common, &publisher), expected);
    assert_eq!(values(&common, &format!(r"{publisher}\ChannelReferences")), [number("Count", 3)]);
    for (place, name) in ["OpenSSH/Admin", "OpenSSH/Operational", "OpenSSH/Debug"].into_iter().enumerate() {
        let id = 16 + u32::try_from(place).unwrap();
        let reference = values(&common, &format!(r"{publisher}\ChannelReferences\{place}"));
        assert_eq!(reference, [text("", name), number("Id", id), number("Flags", 0)]);
    }
    let access = "O:BAG:SYD:(A;;0x2;;;S-1-15-2-1)(A;;0xf0007;;;SY)(A;;0x7;;;BA)(A;;0x7;;;SO)(A;;0x3;;;IU)(A;;0x3;;;SU)\
                  (A;;0x3;;;S-1-5-3)(A;;0x3;;;S-1-5-33)(A;;0x1;;;S-1-5-32-573)";
    let admin =
        [text("OwningPublisher", guid), number("Enabled", 1), number("Isolation", 0), text("ChannelAccess", access), number("Type", 0)];
    assert_eq!(values(&common, &format!(r"{EVENTS}\Channels\OpenSSH/Admin")), admin);
    let debug = values(&common, &format!(r"{EVENTS}\Channels\OpenSSH/Debug"));
    assert_eq!((&debug[1], &debug[2], &debug[4]), (&number("Enabled", 0), &number("Isolation", 2), &number("Type", 3)));
    assert!(matches!(&debug[3].1, Data::Text(access) if access.starts_with("O:BAG:BAD:(A;;0x2;;;BU)")));

    // Windows' own key for the trace session: the same but for the outcome of its last start.
    let Some(hive) = hive(WITH_OPENSSH) else { return };
    let session = key(&common, &format!(r"CurrentControlSet\Control\WMI\Autologger\EventLog-Application\{guid}"));
    let mut real = stored(&hive, open(&hive, session).unwrap());
    real.retain(|(name, ..)| name != "Status");
    assert_eq!(made(session), real);
}

/// Services as Windows installed them, from older or newer versions of the same manifests.
#[test]
fn real_services_equal_those_of_windows() {
    let Some(hive) = hive(WITH_OPENSSH) else { return };
    let service = |component: &str, name: &str, other_values: &[&str]| {
        let effects = of(component).unwrap();
        let prefix = format!(r"CurrentControlSet\Services\{name}");
        let is_part =
            |key: &str| key == prefix || key.starts_with(&format!(r"{prefix}\TriggerInfo")) || key == format!(r"{prefix}\Security");
        let mut compared = 0;
        for key in effects.registry.iter().filter(|key| is_part(&key.path.key) && !key.values.is_empty()) {
            let mut real = stored(&hive, open(&hive, key).unwrap());
            real.retain(|(name, ..)| !other_values.contains(&name.as_str()));
            assert_eq!(made(key), real, "{}", key.path.key);
            compared += 1;
        }
        compared
    };
    assert_eq!(service("amd64_openssh-server-components-onecore_31bf3856ad364e35_10.0.20348.1_", "sshd", &[]), 1);
    assert_eq!(service("amd64_openssh-common-components-onecore_31bf3856ad364e35_10.0.20348.1_", "ssh-agent", &[]), 2);
    // Not part of the service element: the manifest has it among its registry values.
    let bfe = "amd64_microsoft-windows-network-security_31bf3856ad364e35_10.0.26100.1591_";
    assert_eq!(service(bfe, "BFE", &["SvcHostSplitDisable"]), 2);
    // The texts moved to another file between the versions, and failure actions were added.
    let heartbeat = of("amd64_microsoft-hyper-v-integration-services_31bf3856ad364e35_6.3.9600.19456_").unwrap();
    let trigger = key(&heartbeat, r"CurrentControlSet\Services\vmicheartbeat\TriggerInfo\0");
    assert_eq!(made(trigger), stored(&hive, open(&hive, trigger).unwrap()));
    let expected = [number("Type", 0x20), number("Start", 3), number("ErrorControl", 1), number("ServiceSidType", 1)];
    assert_eq!(values(&heartbeat, r"CurrentControlSet\Services\vmicheartbeat")[..4], expected);
    let group = &key(&heartbeat, r"Microsoft\Windows NT\CurrentVersion\Svchost").values[0];
    assert_eq!((group.operation, group.name.as_str()), (Operation::AppendEntries, "ICService"));
    assert_eq!(Data::decode(group.kind, &group.data), texts("", &["vmicheartbeat"]).1);
}

/// Elements of three manifests of Windows 11 (values from seven-mile/UFCase, `docs/manifests`), as two older Windows installed
/// them: a service of a user with a trigger, a driver, a firewall rule, a publisher whose log belongs to the system.
#[test]
fn real_elements_of_other_manifests_equal_those_of_windows() {
    let body = r#"<memberships><categoryMembership><id name='Microsoft.Windows.Categories.Services' typeName='Service'/><categoryInstance>
        <serviceData name="MessagingService" displayName="@%SystemRoot%\system32\MessagingService.dll,-100" errorControl="ignore" start="demand"
          type="win32UserShareProcess" description="@%SystemRoot%\system32\MessagingService.dll,-101" objectName="LocalSystem"
          imagePath="%SystemRoot%\system32\svchost.exe -k UnistackSvcGroup" sidType="unrestricted"
          requiredPrivileges="SeChangeNotifyPrivilege,SeCreateGlobalPrivilege">
          <serviceTrigger action="start" subtype="WNF_STATE_CHANGE" type="WnfStateEvent"><triggerData type="binary" value="7518BCA33E039513"/></serviceTrigger>
          <failureActions resetPeriod="86400"><actions><action delay="10000" type="restartService"/><action delay="10000" type="restartService"/>
            <action delay="10000" type="restartService"/><action delay="10000" type="none"/></actions></failureActions></serviceData>
        <serviceData name="smbdirect" errorControl="normal" start="demand" type="fileSystemDriver" group="Network" imagePath="System32\DRIVERS\smbdirect.sys"/>
      </categoryInstance></categoryMembership></memberships>
      <firewallRule Action="Allow" Active="FALSE" Binary="System" Desc="@FirewallAPI.dll,-28606" Dir="In" LPort="5445" Name="@FirewallAPI.dll,-28603"
        Profile="Domain, Private, Public" Protocol="6" group="@FirewallAPI.dll,-28602" internalName="FPSSMBD-iWARP-In-TCP"/>
      <instrumentation><events><provider guid="{DB66EA65-B7BB-4CA9-8748-334CB5C32400}" name="Microsoft-Windows-SMBDirect"
        messageFileName="%SystemRoot%\system32\drivers\smbdirect.sys"><channels>
        <channel enabled="true" isolation="System" name="Microsoft-Windows-SMBDirect/Admin" type="Admin"/>
        <channel enabled="false" isolation="System" name="Microsoft-Windows-SMBDirect/Debug" type="Debug"/></channels></provider></events></instrumentation>"#;
    let effects = super::of(body);
    let services = r"CurrentControlSet\Services";
    let (mut keys, mut rules_found) = (0, 0);
    for file in HIVES {
        let Some(hive) = hive(file) else { return };
        for name in [
            format!(r"{services}\MessagingService"),
            format!(r"{services}\MessagingService\TriggerInfo\0"),
            format!(r"{services}\smbdirect"),
            r"CurrentControlSet\Control\WMI\Autologger\EventLog-System\{db66ea65-b7bb-4ca9-8748-334cb5c32400}".to_owned(),
        ] {
            let key = key(&effects, &name);
            let Some(found) = open(&hive, key) else { continue };
            let mut real = stored(&hive, found);
            real.retain(|(name, ..)| name != "Status");
            assert_eq!(made(key), real, "{file} {name}");
            keys += 1;
        }
        for policy in ["Parameters", "Defaults"] {
            let rules = key(&effects, &format!(r"{services}\SharedAccess\{policy}\FirewallPolicy\FirewallRules"));
            let found = hive.value(open(&hive, rules).unwrap(), "FPSSMBD-iWARP-In-TCP").unwrap();
            let rule = |data: Data| match data {
                Data::Text(rule) => rule.split_once('|').unwrap().1.to_owned(),
                other => panic!("{other:?}"),
            };
            if let Some(found) = found {
                assert_eq!(
                    rule(Data::decode(rules.values[0].kind, &rules.values[0].data)),
                    rule(found.decode().unwrap()),
                    "{file} {policy}"
                );
                rules_found += 1;
            }
        }
    }
    // Only the older of the two has the driver, its publisher and its rule.
    assert_eq!((keys, rules_found), (6, 2));
}

/// Owner, group, DACL and audit flags of keys that the manifests give a security descriptor, as Windows stored them.
#[test]
fn real_keys_have_the_security_of_windows() {
    let of_windows = |bytes: &[u8]| {
        let mut descriptor = SecurityDescriptor::decode(bytes).unwrap();
        // An empty SACL, or one without a list: the two hives differ in this, and it means the same as none.
        if descriptor.sacl.as_ref().is_none_or(|list| list.aces.is_empty()) {
            descriptor.sacl = None;
            descriptor.control &= !control::SACL_PRESENT;
        }
        descriptor.control |= control::SELF_RELATIVE;
        descriptor
    };
    let mut equal = Vec::new();
    for file in HIVES {
        let Some(hive) = hive(file) else { return };
        for component in [
            "amd64_microsoft-hyper-v-integration-services_31bf3856ad364e35_6.3.9600.19456_",
            "amd64_microsoft-windows-network-security_31bf3856ad364e35_10.0.26100.1591_",
            "UFCase-comp_shell32",
        ] {
            let Some(effects) = of(component) else { return };
            for key in effects.registry.iter().filter(|key| key.path.hive == HiveFile::System) {
                let (Some(ours), Some(found)) = (&key.security, open(&hive, key)) else { continue };
                assert_eq!(of_windows(ours), of_windows(hive.security(found).unwrap()), "{}", key.path.key);
                equal.push(key.path.key.clone());
            }
        }
    }
    equal.sort();
    equal.dedup();
    assert!(equal.iter().any(|key| key.ends_with("VMICTimeProvider")) && equal.len() >= 3, "{equal:?}");
}

/// Each rule of two real hives, taken apart and put together again from attributes in another order.
#[test]
fn real_firewall_rules_keep_their_form() {
    const ATTRIBUTES: &[(&str, &str)] = &[
        ("Action", "action"),
        ("Active", "active"),
        ("Dir", "dir"),
        ("Protocol", "protocol"),
        ("Profile", "profile"),
        ("LPort", "lport"),
        ("LPort2_10", "lport"),
        ("LPort2_20", "lport"),
        ("LPort2_24", "lport"),
        ("RPort", "rport"),
        ("RPort2_10", "rport"),
        ("ICMP4", "icmp4"),
        ("ICMP6", "icmp6"),
        ("LA4", "la4"),
        ("LA6", "la6"),
        ("RA4", "ra4"),
        ("RA42", "ra4"),
        ("RA6", "ra6"),
        ("RA62", "ra6"),
        ("App", "binary"),
        ("Svc", "svc"),
        ("Name", "name"),
        ("Desc", "desc"),
        ("EmbedCtxt", "group"),
        ("LUAuth", "luauth"),
        ("TTK", "TTK"),
        ("TTK2_22", "TTK"),
        ("TTK2_27", "TTK"),
        ("TTK2_28", "TTK"),
        ("Edge", "edge"),
        ("Defer", "edgedefer"),
    ];
    let (mut same, mut foreign) = (0, 0);
    for file in HIVES {
        let Some(hive) = hive(file) else { return };
        let rules = hive.open(r"ControlSet001\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules").unwrap().unwrap();
        for (name, kind, data) in stored(&hive, rules) {
            let Data::Text(rule) = Data::decode(wimwright_format::regf::ValueKind(kind), &data) else { panic!("{name}") };
            let (_, fields) = rule.split_once('|').unwrap();
            let mut attributes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            let known = fields.split_terminator('|').all(|field| {
                let (field, value) = field.split_once('=').unwrap();
                let attribute = ATTRIBUTES.iter().find(|(known, _)| *known == field);
                attribute.inspect(|(_, attribute)| attributes.entry(attribute).or_default().push(value)).is_some()
            });
            // Rules for one app or one user, which no component makes; and $(…), which would be a macro.
            if !known || rule.contains("$(") {
                foreign += 1;
                continue;
            }
            let attributes = attributes.iter().map(|(name, values)| ((*name).to_owned(), values.join(","))).collect();
            let component = Component { firewall_rules: vec![FirewallRule { attributes }], ..Component::default() };
            let written = component.with_macros(wimwright_format::manifest::macros::Directories::Native, &|_| None, |macros| {
                super::super::Context::new(&component, macros).firewall_rule(&component.firewall_rules[0]).unwrap()
            });
            assert_eq!(written.split_once('|').unwrap().1, fields, "{name}");
            same += 1;
        }
    }
    assert!(same >= 700, "{same} of {}", same + foreign);
}

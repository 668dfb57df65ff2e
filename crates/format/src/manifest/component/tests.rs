use std::collections::BTreeMap;

use super::*;
use crate::manifest::corpus::corpus;
use crate::manifest::stored::Stored;

const MANIFEST: &str = r##"<?xml version="1.0" encoding="utf-8"?>
<m:assembly xmlns:m="urn:schemas-microsoft-com:asm.v3" manifestVersion="1.0">
  <m:assemblyIdentity name="Practice-Component" version="10.0.1.2" processorArchitecture="wow64" language="neutral"
    buildType="release" publicKeyToken="31bf3856ad364e35" versionScope="nonSxS"/>
  <m:deployment/>
  <m:dependency discoverable="no"><m:dependentAssembly dependencyType="install">
    <m:assemblyIdentity name="Other" version="1.0.0.0" processorArchitecture="amd64" language="*"/></m:dependentAssembly></m:dependency>
  <m:dependency discoverable="no" resourceType="Resources"><m:dependentAssembly dependencyType="prerequisite">
    <m:assemblyIdentity name="Other.Resources" version="1.0.0.0"/></m:dependentAssembly></m:dependency>
  <m:file name="a.exe" destinationPath="$(runtime.system32)\a\" destinationName="b.exe" sourceName="c.exe">
    <m:securityDescriptor name="SD"/><m:link destination="$(runtime.windows)\a.exe"/><m:infFile/>
    <asmv2:hash xmlns:asmv2="urn:schemas-microsoft-com:asm.v2" xmlns:dsig="http://www.w3.org/2000/09/xmldsig#">
      <dsig:Transforms><dsig:Transform Algorithm="urn:schemas-microsoft-com:HashTransforms.Identity"/></dsig:Transforms>
      <dsig:DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#sha256"/>
      <dsig:DigestValue>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=</dsig:DigestValue></asmv2:hash>
    <m:gac clrversion="4"/>
  </m:file>
  <m:directories><m:directory destinationPath="$(runtime.programData)\a" owner="true"/></m:directories>
  <m:registryKeys>
    <m:registryKey keyName="HKEY_LOCAL_MACHINE\SOFTWARE\a\" owner="false">
      <m:registryValue name="" valueType="REG_SZ" value="$(runtime.system32) $(string.greeting)" mutable="true"/>
      <m:registryValue name="n" valueType="REG_MULTI_SZ" value='"x"' operationHint="append"/>
    </m:registryKey>
  </m:registryKeys>
  <m:trustInfo><m:security><m:accessControl><m:securityDescriptorDefinitions>
    <m:securityDescriptorDefinition name="SD" sddl="O:BAG:BAD:" operationHint="replace"/>
  </m:securityDescriptorDefinitions></m:accessControl></m:security></m:trustInfo>
  <m:memberships>
    <m:categoryMembership><m:id name="Microsoft.Windows.Categories.Services" version="1.0.0.0" typeName="Service"/>
      <m:categoryInstance subcategory="S">
        <m:serviceData name="s" type="win32ShareProcess|interactiveProcess" start="delayedAuto" errorControl="normal" sidType="unrestricted"
          requiredPrivileges="SeA,SeB" dependOnService="RpcSs" launchProtected="windowsLight">
          <m:failureActions resetPeriod="86400"><m:actions><m:action delay="60000" type="restartService"/></m:actions></m:failureActions>
          <m:serviceTrigger action="start" type="DeviceInterfaceArrival" subtype="{1}"><m:triggerData type="string" value="v"/></m:serviceTrigger>
          <m:securityDescriptor name="SD"/>
        </m:serviceData>
        <m:shortCut destinationName="x"/>
      </m:categoryInstance></m:categoryMembership>
    <m:categoryMembership><m:id name="Microsoft.Windows.Categories" typeName="SvcHost"/>
      <m:categoryInstance subcategory="netsvcs"><m:serviceGroup serviceName="s" position="last"/></m:categoryInstance></m:categoryMembership>
    <m:categoryMembership><m:id name="Microsoft.Windows.Categories" typeName="Environment"/>
      <m:categoryInstance subcategory="path"><m:path name="%SystemRoot%\a" position="first"/></m:categoryInstance></m:categoryMembership>
  </m:memberships>
  <m:firewallRule Action="allow" LPort="22" internalName="r"/>
  <m:instrumentation><m:events><m:provider guid="{2}" name="P" resourceFileName="a.dll"><m:channels>
    <m:channel chid="C" name="P/Admin" type="Admin" enabled="true"><m:logging><m:maxSize>1</m:maxSize></m:logging></m:channel>
    <m:importChannel chid="I" name="Application"/></m:channels></m:provider></m:events><m:counters/></m:instrumentation>
  <m:taskScheduler><Task xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task"><Actions/></Task></m:taskScheduler>
  <m:localization><m:resources culture="en-US"><m:stringTable><m:string id="Greeting" value="hello"/></m:stringTable></m:resources></m:localization>
  <m:migration/>
  <m:mof name="a.mof"/>
  <m:feature/>
</m:assembly>"##;

#[test]
fn every_part_of_a_manifest_is_read_or_kept() {
    let component = Component::parse(MANIFEST.as_bytes()).unwrap();
    assert!(component.is_deployment && component.has_migration);
    assert_eq!(component.install_dependencies().map(|identity| identity.name.as_str()).collect::<Vec<_>>(), ["Other"]);
    assert_eq!(component.dependencies[0].identity.language.as_deref(), Some("*"));
    assert_eq!(component.sddl_by_name()["sd"], "O:BAG:BAD:");
    assert_eq!(component.firewall_rules[0].get("lport"), Some("22"));
    assert_eq!(component.event_providers[0].channels[0].settings, [("logging/maxSize".to_owned(), "1".to_owned())]);
    assert!(component.event_providers[0].channels[1].imported);
    assert!(component.scheduled_tasks[0].starts_with("<Task xmlns=\"http://schemas"));
    let other: Vec<&str> = component.other.iter().map(|element| element.path.as_str()).collect();
    assert_eq!(other, ["file/gac", "memberships/categoryMembership/categoryInstance/shortCut", "instrumentation/counters", "mof"]);
    assert_eq!(component.inert, [("feature".to_owned(), 1)].into());

    let file = &component.files[0];
    assert!(file.is_inf && file.hash.as_ref().unwrap().matches(b"") && !file.hash.as_ref().unwrap().matches(b"a"));
    assert_eq!(file.payload_name(), "c.exe");
    let directories = Directories::of("wow64", "amd64").unwrap();
    component.with_macros(directories, &|_| None, |macros| {
        assert_eq!(file.destination(macros).unwrap().as_deref(), Some(r"\Windows\SysWOW64\a\b.exe"));
        assert_eq!(macros.path(&file.links[0]).unwrap(), r"\Windows\a.exe");
        assert_eq!(component.directories[0].destination(macros).unwrap(), r"\ProgramData\a");
        let key = &component.registry_keys[0];
        assert_eq!(key.path(directories, |text| macros.text(text)).unwrap(), r"HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\a");
        let bytes = key.values[0].data.bytes(|text| macros.text(text)).unwrap();
        let expected: Vec<u8> = "C:\\Windows\\SysWOW64 hello\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(bytes, expected);
        assert!(key.values[0].mutable && key.values[1].operation == Operation::Append && key.owner == Some(false));
    });
}

#[test]
fn services_translate_to_registry_numbers() {
    let component = Component::parse(MANIFEST.as_bytes()).unwrap();
    let CategoryEntry::Service(service) = &component.memberships[0].instances[0].entries[0] else { panic!("not a service") };
    assert_eq!(service.type_bits().unwrap(), Some(0x120));
    assert_eq!(service.start_type().unwrap(), Some(StartType { value: 2, delayed: true }));
    assert_eq!(service.error_control_value().unwrap(), Some(1));
    assert_eq!(service.sid_type_value().unwrap(), Some(1));
    assert_eq!(service.launch_protected_value().unwrap(), Some(2));
    assert_eq!(service.required_privileges, ["SeA", "SeB"]);
    let bytes = service.failure_actions.as_ref().unwrap().bytes().unwrap();
    assert_eq!(bytes, [128, 81, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 96, 234, 0, 0]);
    assert_eq!((service.triggers[0].type_value().unwrap(), service.triggers[0].action_value().unwrap()), (1, 1));
    assert_eq!(service.triggers[0].data[0].value, "v");
    assert_eq!(
        component.memberships[1].instances[0].entries,
        [CategoryEntry::ServiceGroup { service: "s".into(), position: Position::Last }]
    );
    assert_eq!(
        component.memberships[2].instances[0].entries,
        [CategoryEntry::EnvironmentPath { directory: r"%SystemRoot%\a".into(), position: Position::First }]
    );
    let unknown = Service { start: Some("sometimes".into()), ..Service::default() };
    assert!(matches!(unknown.start_type(), Err(Error::UnknownWord { .. })));
}

#[test]
fn trigger_data_has_the_form_of_its_type() {
    let bytes = |kind: &str, value: &str| TriggerData { kind: kind.to_owned(), value: value.to_owned() }.bytes();
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    assert_eq!(bytes("string", "ab").unwrap(), wide("ab\0"));
    assert_eq!(bytes("String", r#""139","TCP""#).unwrap(), wide("139\0TCP\0\0"));
    assert_eq!(bytes("binary", "0aFF").unwrap(), [10, 255]);
    assert_eq!(bytes("level", "4").unwrap(), [4]);
    assert_eq!(bytes("keywordAny", "0x8000000000000001").unwrap(), [1, 0, 0, 0, 0, 0, 0, 0x80]);
    assert_eq!(bytes("keywordAll", "258").unwrap(), [2, 1, 0, 0, 0, 0, 0, 0]);
    for (kind, value) in [("poem", ""), ("binary", "0"), ("level", "256"), ("keywordAny", "x"), ("string", r#""a"#)] {
        assert!(matches!(bytes(kind, value), Err(Error::UnknownWord { .. })), "{kind} {value}");
    }
}

#[test]
fn what_is_no_component_is_an_error() {
    for wrong in ["", "<a/>", "<assembly/>", "<assembly><assemblyIdentity version='1.0.0.0'/></assembly>"] {
        assert!(Component::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let bad_hash = MANIFEST.replace("47DEQpj8", "47DE");
    assert!(matches!(Component::parse(bad_hash.as_bytes()), Err(Error::Value { attribute: "text", .. })));
    assert!(matches!(Component::parse(MANIFEST.replace("10.0.1.2", "10.0").as_bytes()), Err(Error::Value { attribute: "version", .. })));
}

/// Cuts and flips at many places: a value or an error, never a panic.
#[test]
fn damaged_manifests_give_a_value_or_an_error() {
    let bytes = MANIFEST.as_bytes();
    let mut read = 0;
    for place in (0..bytes.len()).step_by(7) {
        read += usize::from(Component::parse(&bytes[..place]).is_ok());
        for flip in [1, 0x20, 0x80] {
            let mut damaged = bytes.to_vec();
            damaged[place] ^= flip;
            read += usize::from(Component::parse(&damaged).is_ok());
        }
    }
    assert!(read > 0, "harmless changes, such as in a name, are read");
}

/// The name of a real manifest in the store is its keyform, computed from the identity inside.
#[test]
fn real_manifests_are_read_and_named_by_their_identity() {
    let Some(corpus) = corpus() else { return };
    let samples = corpus.with_extension("manifest");
    let (mut read, mut stored_as_delta) = (0, 0);
    let mut unhandled: BTreeMap<String, usize> = BTreeMap::new();
    let mut payload = [0_usize; 2];
    for sample in &samples {
        let Stored::Plain(bytes) = Stored::of(&sample.bytes).unwrap() else {
            stored_as_delta += 1;
            continue;
        };
        let component = Component::parse(bytes).unwrap_or_else(|error| panic!("{}: {error}", sample.path));
        read += 1;
        // Assemblies of the side-by-side store before Windows Vista are named by another hash.
        if !sample.path.contains("vc90-winsxs") && !sample.path.contains("VC90_VC_RED") {
            assert_eq!(format!("{}.manifest", component.identity.keyform()), sample.name, "{}", sample.path);
        }
        component.other.iter().for_each(|element| *unhandled.entry(element.path.clone()).or_default() += 1);
        check_payload(&component, sample, &mut payload);
        check_expansion(&component, &sample.path);
    }
    assert_eq!((read, stored_as_delta, payload), (241, 38, [106, 516]), "manifests read, stored as deltas, payload right and absent");
    let expected = [("configuration", 7), ("mof", 6), ("rescache", 47), ("sppInstaller", 3), ("unattendActions", 2)];
    assert_eq!(unhandled, expected.map(|(path, count)| (path.to_owned(), count)).into());
}

/// `sourceName` names the payload; where `name` is the same below folders, those count (KB3040017).
#[test]
fn payload_below_folders() {
    for (name, source, payload) in [
        (r"I386\UNIDRV.DLL", "unidrv.dll", r"I386\UNIDRV.DLL"),
        (r"I386\a.dll", "b.dll", "b.dll"),
        (r"I386\a.dll", "", r"I386\a.dll"),
        ("a.dll", "b.dll", "b.dll"),
    ] {
        let file = File { name: name.into(), source_name: Some(source.into()), ..File::default() };
        assert_eq!(file.payload_name(), payload);
    }
}

/// Payload beside a manifest lies under its payload name and has its hash.
fn check_payload(component: &Component, sample: &crate::manifest::corpus::Sample, payload: &mut [usize; 2]) {
    let folder = sample.folder.join(sample.name.trim_end_matches(".manifest"));
    for file in &component.files {
        match std::fs::read(folder.join(file.payload_name().replace('\\', "/"))) {
            Ok(bytes) => {
                assert!(file.hash.as_ref().unwrap().matches(&bytes), "{} {}", sample.path, file.name);
                payload[0] += 1;
            }
            Err(_) => payload[1] += 1,
        }
    }
}

/// Every path, key and value of a real manifest expands, and every word of its services is known.
fn check_expansion(component: &Component, path: &str) {
    let architecture = component.identity.architecture.as_deref().unwrap_or("neutral");
    let image = if architecture == "wow64" { "amd64" } else { architecture };
    let directories = Directories::of(architecture, image).unwrap();
    let result: Result<(), Error> = component.with_macros(directories, &|_| None, |macros| {
        for file in &component.files {
            file.destination(macros)?;
        }
        for directory in &component.directories {
            directory.destination(macros)?;
        }
        for key in &component.registry_keys {
            key.path(directories, |text| macros.text(text))?;
            for value in &key.values {
                value.data.bytes(|text| macros.text(text))?;
            }
        }
        for entry in component.memberships.iter().flat_map(|membership| &membership.instances).flat_map(|instance| &instance.entries) {
            if let CategoryEntry::Service(service) = entry {
                service.type_bits()?;
                service.start_type()?;
                service.error_control_value()?;
                service.sid_type_value()?;
                service.failure_actions.as_ref().map(FailureActions::bytes).transpose()?;
                for trigger in &service.triggers {
                    trigger.type_value()?;
                }
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Migration manifests share the identity and the root; two of Microsoft's own are refused.
#[test]
fn real_migration_manifests_are_read_except_two() {
    let Some(corpus) = corpus() else { return };
    let samples = corpus.with_extension("man");
    let mut failed = Vec::new();
    for sample in &samples {
        match Component::parse(&sample.bytes) {
            Ok(component) => assert!(component.has_migration, "{}", sample.path),
            Err(error) => failed.push((sample.name.as_str(), error)),
        }
    }
    // Typographic quotes around an attribute; a version that the build should have filled in.
    let [
        ("security-ntlm-lmc.man", Error::Xml(crate::xml::XmlError::Syntax { .. })),
        ("microsoft-windows-container-manager.man", Error::Value { attribute: "version", .. }),
    ] = failed.as_slice()
    else {
        panic!("{failed:?}");
    };
    assert_eq!(samples.len(), 58);
}

/// Names of `WinSxS` directories from public listings: the parts that need no hash agree with their shortening.
#[test]
fn real_directory_names_have_the_shape_of_keyforms() {
    let Some(path) = wimwright_testkit::test_data("text/names/winsxs-dirnames-mixed.txt") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let mut checked = 0;
    for name in text.lines().filter(|name| !name.is_empty()) {
        let parts: Vec<&str> = name.rsplitn(5, '_').collect();
        let [hash, culture, version, token, rest] = parts.as_slice() else { panic!("{name}") };
        let (architecture, plain) = rest.split_once('_').unwrap();
        if plain.contains("..") {
            assert!(plain.len() == 40 && &plain[19..21] == "..", "{name}");
            continue;
        }
        // A whole name gives the whole identity but its type: drivers and win32 assemblies have one.
        let identity = |assembly_type: Option<&str>, version_scope: Option<&str>| Identity {
            name: plain.to_owned(),
            version: version.parse().unwrap(),
            architecture: Some(architecture.to_owned()),
            language: Some((*culture).to_owned()).filter(|culture| culture != "none"),
            public_key_token: Some((*token).to_owned()),
            assembly_type: assembly_type.map(str::to_owned),
            version_scope: version_scope.map(str::to_owned),
            build_type: None,
        };
        let kinds = [
            (None, Some("nonSxS")),
            (Some("driverUpdate"), Some("nonSxS")),
            (Some("dualModeDriver"), Some("nonSxS")),
            (Some("win32"), None),
            (Some("win32"), Some("nonSxS")),
            (None, None),
        ];
        let matching = kinds.iter().any(|(kind, scope)| format!("{:016x}", identity(*kind, *scope).hash()) == *hash);
        // This one stands in the unit test of a public program and nowhere else: taken to be made up.
        assert_eq!(matching, !name.contains("servicingstack_31bf3856ad364e35_10.0.19041.4585"), "{name}");
        checked += 1;
    }
    assert!(checked >= 30, "{checked}");
}

/// Two manifests of Windows 11 that a public repository holds as XML: the largest of the test data, and one with settings.
#[test]
fn real_large_manifests_expand() {
    for (file, keyform, values) in [
        (
            "manifests/UFCase-comp_shell32.xml",
            "amd64_microsoft-windows-shell32_31bf3856ad364e35_10.0.22621.2359_none_4c1ded678d870974",
            5534,
        ),
        (
            "text/unattend/UFCase-comp_unattend-manifest.xml",
            "amd64_microsoft-windows-shell-setup_31bf3856ad364e35_10.0.22621.900_none_349b3c4bb2a12857",
            0,
        ),
    ] {
        let Some(path) = wimwright_testkit::test_data(file) else { return };
        let bytes = std::fs::read(path).unwrap();
        let component = Component::parse(&bytes).unwrap();
        assert_eq!(component.identity.keyform(), keyform);
        assert_eq!(component.registry_keys.iter().map(|key| key.values.len()).sum::<usize>(), values, "{file}");
        check_expansion(&component, file);
    }
}

/// Python's ElementTree counts the same elements in every manifest.
#[test]
fn oracle_python_counts_the_same_elements() {
    const COUNT: &str = r#"
import sys, xml.etree.ElementTree as tree
names = ["file", "directory", "registryKey", "registryValue", "securityDescriptorDefinition", "serviceData", "channel", "dependentAssembly", "string"]
for path in sys.stdin.read().splitlines():
    count = dict.fromkeys(names, 0)
    for element in tree.parse(path).getroot().iter():
        name = element.tag.split("}")[-1]
        if name in count:
            count[name] += 1
    print(*count.values())
"#;
    if !wimwright_testkit::python_oracles(&["xml.etree.ElementTree"]) {
        return;
    }
    let Some(corpus) = corpus() else { return };
    let samples = corpus.with_extension("manifest");
    let plain: Vec<_> = samples.iter().filter(|sample| matches!(Stored::of(&sample.bytes), Ok(Stored::Plain(_)))).collect();
    let scratch = tempfile::tempdir().unwrap();
    let (script, list) = (scratch.path().join("count.py"), scratch.path().join("list"));
    std::fs::write(&script, COUNT).unwrap();
    std::fs::write(&list, plain.iter().map(|sample| format!("{}\n", sample.folder.join(&sample.name).display())).collect::<String>())
        .unwrap();
    let output = wimwright_testkit::run(wimwright_testkit::python().arg(script).stdin(std::fs::File::open(list).unwrap()));
    let counted = String::from_utf8(output.stdout).unwrap();
    assert_eq!(counted.lines().count(), plain.len());
    for (sample, line) in plain.iter().zip(counted.lines()) {
        let component = Component::parse(&sample.bytes).unwrap();
        let instances = component.memberships.iter().flat_map(|membership| &membership.instances);
        let services = instances.flat_map(|instance| &instance.entries).filter(|entry| matches!(entry, CategoryEntry::Service(_)));
        let ours = [
            component.files.len(),
            component.directories.len(),
            component.registry_keys.len(),
            component.registry_keys.iter().map(|key| key.values.len()).sum(),
            component.security_descriptors.len(),
            services.count(),
            component.event_providers.iter().map(|provider| provider.channels.len()).sum(),
            component.dependencies.len(),
            component.strings.iter().map(|table| table.strings.len()).sum(),
        ];
        assert_eq!(ours.map(|count| count.to_string()).join(" "), line, "{}", sample.path);
    }
}

use std::collections::BTreeMap;

use super::*;
use crate::manifest::corpus::corpus;

const PACKAGE: &str = r#"<assembly xmlns="urn:schemas-microsoft-com:asm.v3" manifestVersion="1.0" displayName="D">
  <assemblyIdentity name="Practice-Package" version="10.0.1.2" processorArchitecture="amd64" language="neutral" publicKeyToken="31bf3856ad364e35"/>
  <package identifier="KB1" releaseType="OnDemand Pack" applicabilityEvaluation="deep" restart="possible" binaryPartition="false">
    <x:customInformation xmlns:x="urn:schemas-microsoft-com:asm.v3" PackageFormat="PSFX"><x:file name="a"/></x:customInformation>
    <installerAssembly name="Microsoft-Windows-ServicingStack" version="6.0.0.0" language="neutral" processorArchitecture="amd64"/>
    <parent buildCompare="GE" revisionCompare="GE" disposition="staged" integrate="separate">
      <assemblyIdentity name="P1" version="10.0.0.0"/><assemblyIdentity name="P2" version="10.0.0.0"/>
      <parent disposition="detect"><assemblyIdentity name="P3" version="10.0.0.0"/></parent>
    </parent>
    <parent><assemblyIdentity name="P4" version="10.0.0.0"/></parent>
    <localizedStrings><string language="de-DE" displayName="N" description="B"/></localizedStrings>
    <declareCapability>
      <capability><capabilityIdentity name="Practice.Thing" version="1.0"/></capability>
      <dependency><capabilityIdentity name="Practice.Base" version="11.0" language="de-DE"/></dependency>
      <satelliteInfo><applyTo type="language" value="de"/></satelliteInfo>
    </declareCapability>
    <update name="Feature"><selectable disposition="staged"><detectNone default="yes"/></selectable>
      <component><assemblyIdentity name="C" version="10.0.1.2"/></component></update>
    <update name="Follower" restart="required"><applicable disposition="detect"><detectUpdate><update name="Feature"/><parent name="Up"/></detectUpdate></applicable>
      <package contained="false" integrate="hidden"><assemblyIdentity name="Q" version="10.0.1.2"/></package></update>
    <update name="Driver"><applicable><updateDriver elevate="install"><assemblyIdentity name="d.inf" version="1.0.0.0"/></updateDriver>
      <updateComponent elevate="revision"><assemblyIdentity name="C" version="1.0.0.0"/></updateComponent></applicable>
      <driver inf="d.inf" ranking="normal"><driverExtended deviceInstallRequired="true"/><assemblyIdentity name="d.inf" version="1.0.0.0"/></driver></update>
    <packageExtended completelyOfflineCapable="yes" packageSize="42"/>
    <surprise/>
  </package>
</assembly>"#;

#[test]
fn every_part_of_a_package_is_read_or_kept() {
    let package = Package::parse(PACKAGE.as_bytes()).unwrap();
    assert_eq!(package.id().to_string(), "Practice-Package~31bf3856ad364e35~amd64~~10.0.1.2");
    assert!(package.deep_evaluation && package.completely_offline_capable == Some(true) && package.size == Some(42));
    assert_eq!(package.custom_information.as_ref().unwrap().get("packageformat"), Some("PSFX"));
    assert_eq!(package.installer.as_ref().unwrap().version.to_string(), "6.0.0.0");
    assert_eq!(package.parents.len(), 2);
    let parent = &package.parents[0];
    assert_eq!(parent.identities.iter().map(|identity| identity.name.as_str()).collect::<Vec<_>>(), ["P1", "P2"]);
    assert_eq!(parent.disposition, Some(Disposition::Staged));
    let compare = VersionComparison {
        build: Some(Comparison::GreaterOrEqual),
        revision: Some(Comparison::GreaterOrEqual),
        ..VersionComparison::default()
    };
    assert_eq!(parent.compare, compare);
    assert_eq!(parent.parents[0].identities[0].name, "P3");
    let declared = &package.capabilities[0];
    assert_eq!(package.capability_name(&declared.capabilities[0]), "Practice.Thing~~~~0.0.1.0");
    assert_eq!(package.capability_name(&declared.dependencies[0]), "Practice.Base~~~de-DE~0.0.11.0");
    assert_eq!(declared.satellites[0].value.as_deref(), Some("de"));
    assert_eq!(package.features().map(|feature| feature.name.as_str()).collect::<Vec<_>>(), ["Feature"]);
    assert_eq!(package.updates[0].selectable.as_ref().unwrap().detect_none, Some(true));
    let follower = package.updates[1].applicable.as_ref().unwrap();
    assert_eq!(follower.detections[0], Detection::Update { name: "Feature".into() });
    assert!(matches!(&follower.detections[1], Detection::Parent(parent) if parent.name.as_deref() == Some("Up")));
    assert!(matches!(&package.updates[1].payload[..], [Payload::Package { contained: Some(false), .. }]));
    let driver = package.updates[2].applicable.as_ref().unwrap();
    assert_eq!(driver.drivers[0].elevate.as_deref(), Some("install"));
    assert_eq!(driver.components[0].elevate.as_deref(), Some("revision"));
    assert!(matches!(&package.updates[2].payload[..], [Payload::Driver { device_install_required: Some(true), .. }]));
    assert_eq!(package.other.iter().map(|element| element.path.as_str()).collect::<Vec<_>>(), ["package/surprise"]);
}

#[test]
fn what_is_no_package_is_an_error() {
    assert!(matches!(Package::parse(b"<assembly/>"), Err(Error::MissingElement { element: "assemblyIdentity", .. })));
    let component = "<assembly><assemblyIdentity name='a' version='1.0.0.0'/></assembly>";
    assert!(matches!(Package::parse(component.as_bytes()), Err(Error::MissingElement { element: "package", .. })));
    for (right, wrong) in [("\"GE\"", "\"GT\""), ("\"staged\"", "\"stage\""), ("default=\"yes\"", "default=\"maybe\"")] {
        assert!(matches!(Package::parse(PACKAGE.replace(right, wrong).as_bytes()), Err(Error::Value { .. })), "{wrong}");
    }
}

#[test]
fn damaged_packages_give_a_value_or_an_error() {
    let bytes = PACKAGE.as_bytes();
    let mut read = 0;
    for place in (0..bytes.len()).step_by(7) {
        read += usize::from(Package::parse(&bytes[..place]).is_ok());
        for flip in [1, 0x20, 0x80] {
            let mut damaged = bytes.to_vec();
            damaged[place] ^= flip;
            read += usize::from(Package::parse(&damaged).is_ok());
        }
    }
    assert!(read > 0, "harmless changes, such as in a name, are read");
}

#[test]
fn packages_are_classified_by_their_manifests() {
    let named = |name: &str| Package { identity: Identity { name: name.into(), ..Identity::default() }, ..Package::default() };
    assert_eq!(classify(None, ["setup.exe"]), PackageClass::Setup);
    assert_eq!(
        classify(Some(&named("Package_for_RollupFix")), ["amd64_microsoft-windows-servicingstack_1.manifest"]),
        PackageClass::Cumulative
    );
    assert_eq!(classify(Some(&named("Package_for_DotNetRollup_481")), []), PackageClass::DotNet);
    assert_eq!(classify(Some(&named("Microsoft-Windows-23H2Enablement-Package")), []), PackageClass::Enablement);
    let stack = "amd64_microsoft-windows-servicingstack_31bf3856ad364e35_10.0.19041.1220_none_1.manifest";
    assert_eq!(classify(Some(&named("Package_for_KB5005260")), [stack]), PackageClass::ServicingStack);
    let reset = "amd64_microsoft-windows-sysreset_31bf3856ad364e35_10.0.19041.1_none_1.manifest";
    assert_eq!(classify(Some(&named("Package_for_KB5005039")), [reset]), PackageClass::SafeOs);
    let release = |name: &str, release_type: &str| Package { release_type: Some(release_type.into()), ..named(name) };
    assert_eq!(classify(Some(&release("Microsoft-Windows-CoreEdition", "Product")), []), PackageClass::Edition);
    let language = release("Microsoft-Windows-Client-LanguagePack-Package", "Language Pack");
    assert_eq!(classify(Some(&language), []), PackageClass::LanguagePack);
    assert_eq!(classify(Some(&release("Package_for_KB1", "Update")), []), PackageClass::Other);
    let driver = Payload::Driver { identity: Identity::default(), inf: None, ranking: None, device_install_required: None };
    let drivers = Package { updates: vec![Update { payload: vec![driver], ..Update::default() }], ..release("Drivers", "Update") };
    assert_eq!(classify(Some(&drivers), []), PackageClass::Driver);
}

#[test]
fn real_packages_are_read_and_named_by_their_identity() {
    let Some(corpus) = corpus() else { return };
    let samples = corpus.with_extension("mum");
    let mut classes: BTreeMap<PackageClass, usize> = BTreeMap::new();
    let mut other: BTreeMap<String, usize> = BTreeMap::new();
    let mut named = 0;
    for sample in &samples {
        let package = Package::parse(&sample.bytes).unwrap_or_else(|error| panic!("{}: {error}", sample.path));
        let id = package.id();
        assert_eq!(id, id.to_string().parse().unwrap());
        if let Ok(stated) = sample.name.trim_end_matches(".mum").parse::<PackageId>() {
            assert_eq!(stated, id, "{}", sample.path);
            named += 1;
        } else {
            assert!(sample.name.starts_with("update"), "{}", sample.path);
        }
        *classes.entry(classify(Some(&package), [])).or_default() += 1;
        package.other.iter().for_each(|element| *other.entry(element.path.clone()).or_default() += 1);
        assert!(package.updates.iter().all(|update| update.payload.len() == 1), "{}", sample.path);
    }
    assert!(other.is_empty(), "{other:?}");
    assert_eq!((samples.len(), named), (186, 148));
    let expected = [
        (PackageClass::Edition, 2),
        (PackageClass::FeatureOnDemand, 13),
        (PackageClass::Feature, 80),
        (PackageClass::Driver, 10),
        (PackageClass::Other, 81),
    ];
    assert_eq!(classes, expected.into());
}

#[test]
fn real_capabilities_have_the_names_of_dism() {
    let Some(folder) = wimwright_testkit::test_data("manifests") else { return };
    let cases = [
        ("fod-openssh-server/OpenSSH-Server-Package~31bf3856ad364e35~amd64~~10.0.20348.1.mum", "OpenSSH.Server~~~~0.0.1.0"),
        (
            "fod-ie-neutral/Microsoft-Windows-InternetExplorer-Optional-Package~31bf3856ad364e35~amd64~~11.0.19041.1.mum",
            "Browser.InternetExplorer~~~~0.0.11.0",
        ),
    ];
    for (path, name) in cases {
        let package = Package::parse(&std::fs::read(folder.join(path)).unwrap()).unwrap();
        assert_eq!(package.capability_name(&package.capabilities[0].capabilities[0]), name);
        assert_eq!(classify(Some(&package), []), PackageClass::FeatureOnDemand);
    }
}

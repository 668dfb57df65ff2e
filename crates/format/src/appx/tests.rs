use super::provisioning::*;
use super::*;
use crate::io::{FileSource, ReadAt};
use proptest::prelude::*;
use std::fs::File;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zip::write::SimpleFileOptions;

const MICROSOFT: &str = "CN=Microsoft Corporation, O=Microsoft Corporation, L=Redmond, S=Washington, C=US";

fn identity(name: &str, version: &str, architecture: Architecture, resource_id: &str) -> Identity {
    Identity {
        name: name.to_owned(),
        publisher: MICROSOFT.to_owned(),
        version: version.parse().unwrap(),
        architecture,
        resource_id: resource_id.to_owned(),
    }
}

#[test]
fn publisher_ids_of_public_packages() {
    for (publisher, id) in
        [(MICROSOFT, "8wekyb3d8bbwe"), ("CN=Microsoft Windows, O=Microsoft Corporation, L=Redmond, S=Washington, C=US", "cw5n1h2txyewy")]
    {
        assert_eq!(publisher_id(publisher), id);
    }
    let calculator = identity("Microsoft.WindowsCalculator", "2022.507.446.0", Architecture::Neutral, "~");
    assert_eq!(calculator.full_name().to_string(), "Microsoft.WindowsCalculator_2022.507.446.0_neutral_~_8wekyb3d8bbwe");
    assert_eq!(calculator.family_name(), "Microsoft.WindowsCalculator_8wekyb3d8bbwe");
    let name = "Microsoft.WindowsNotepad_11.2112.32.0_neutral_split.scale-125_8wekyb3d8bbwe";
    assert_eq!(name.parse::<PackageFullName>().unwrap().to_string(), name);
    for wrong in ["", "a_1.0.0.0_x64__", "a_1.0.0_x64__8wekyb3d8bbwe", "..\\a_1.0.0.0_x64__8wekyb3d8bbwe", "a_1.0.0.0_x64__8wekyb3d8bbwe_b"]
    {
        assert!(wrong.parse::<PackageFullName>().is_err(), "{wrong}");
    }
}

fn zip_of(parts: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in parts {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(contents).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn source(bytes: Vec<u8>) -> Arc<dyn ReadAt> {
    Arc::new(bytes)
}

#[test]
fn bombs_and_unsafe_names_are_refused() {
    let bomb = zip_of(&[("a", &vec![0; 300 << 20])], zip::CompressionMethod::Deflated);
    assert!(matches!(Archive::open(source(bomb)), Err(AppxError::Limit { .. })));
    for name in ["../a", "a%5c..%5cb", "c:a"] {
        let bytes = zip_of(&[(name, b"x")], zip::CompressionMethod::Stored);
        assert!(matches!(Archive::open(source(bytes)), Err(AppxError::Part { .. })), "{name}");
    }
    let twice = zip_of(&[("a", b"x"), ("A", b"y")], zip::CompressionMethod::Stored);
    assert!(matches!(Archive::open(source(twice)), Err(AppxError::Part { .. })));
}

#[test]
fn parts_are_read_exactly() {
    let contents = b"abc".repeat(100_000);
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        let bytes = zip_of(&[("dir/a%20b", &contents)], method);
        let archive = Archive::open(source(bytes)).unwrap();
        let member = archive.member("DIR\\A B").unwrap();
        assert_eq!(archive.read(member).unwrap(), contents);
        // A directory that lies about the size is found out.
        for size in [member.size - 1, member.size + 1] {
            let liar = Member { size, ..member.clone() };
            assert!(matches!(archive.read(&liar), Err(AppxError::Part { .. })), "{method} {size}");
        }
    }
}

#[test]
fn provisioning_facts_of_a_bundle() {
    let bundle = identity("Contoso.App", "2.0.0.0", Architecture::Neutral, "~");
    let app = identity("Contoso.App", "2.0.0.0", Architecture::X64, "");
    let framework = identity("Microsoft.VCLibs.140.00", "14.0.30704.0", Architecture::X64, "");
    let addition = addition(&bundle, &[app], &[framework]);
    let keys: Vec<_> =
        addition.keys.iter().map(|key| format!("{} = {}", key.path.strip_prefix(ALL_USER_STORE).unwrap(), key.values[0].1)).collect();
    assert_eq!(
        keys,
        [
            r"\Applications\Contoso.App_2.0.0.0_neutral_~_8wekyb3d8bbwe = %SYSTEMDRIVE%\Program Files\WindowsApps\Contoso.App_2.0.0.0_neutral_~_8wekyb3d8bbwe\AppxMetadata\AppxBundleManifest.xml",
            r"\Applications\Contoso.App_2.0.0.0_neutral_~_8wekyb3d8bbwe\Microsoft.VCLibs.140.00_14.0.30704.0_x64__8wekyb3d8bbwe = %SYSTEMDRIVE%\Program Files\WindowsApps\Microsoft.VCLibs.140.00_14.0.30704.0_x64__8wekyb3d8bbwe\AppxManifest.xml",
            r"\Staged\Contoso.App_8wekyb3d8bbwe\Contoso.App_2.0.0.0_neutral_~_8wekyb3d8bbwe = %SYSTEMDRIVE%\Program Files\WindowsApps\Contoso.App_2.0.0.0_neutral_~_8wekyb3d8bbwe\AppxMetadata\AppxBundleManifest.xml",
            r"\Staged\Contoso.App_8wekyb3d8bbwe\Contoso.App_2.0.0.0_x64__8wekyb3d8bbwe = %SYSTEMDRIVE%\Program Files\WindowsApps\Contoso.App_2.0.0.0_x64__8wekyb3d8bbwe\AppxManifest.xml",
            r"\Staged\Microsoft.VCLibs.140.00_8wekyb3d8bbwe\Microsoft.VCLibs.140.00_14.0.30704.0_x64__8wekyb3d8bbwe = %SYSTEMDRIVE%\Program Files\WindowsApps\Microsoft.VCLibs.140.00_14.0.30704.0_x64__8wekyb3d8bbwe\AppxManifest.xml",
        ]
    );
    let removal =
        removal("Contoso.App_8wekyb3d8bbwe", &[bundle.full_name(), identity("Other", "1.0.0.0", Architecture::X64, "").full_name()]);
    assert_eq!(removal.folders, [r"Program Files\WindowsApps\Contoso.App_2.0.0.0_neutral_~_8wekyb3d8bbwe"]);
    assert_eq!(removal.files, [r"ProgramData\Microsoft\Windows\ClipSVC\Install\Apps\contoso.app_8wekyb3d8bbwe.xml"]);
    assert_eq!(removal.created_keys, addition.deleted_keys);
}

#[test]
fn the_provision_list_round_trips() {
    let text = r#"<AppxProvisionList xmlns="http://schemas.microsoft.com/appx/2013/appxprovisionpackage"><EndOfLife><Package FamilyName="Old_8wekyb3d8bbwe"/></EndOfLife>
<Provisioned><Package FullName="Contoso.App_2.0.0.0_neutral_~_8wekyb3d8bbwe" PackageType="bundle"/><Package FullName="Contoso.App_2.0.0.0_x64__8wekyb3d8bbwe" ProvisionSourceIsBundle="true"/><Package FullName="Keep_1.0.0.0_x64__8wekyb3d8bbwe" IsLOBApp="true" Odd="&lt;&quot;&amp;"/></Provisioned></AppxProvisionList>"#;
    let mut list = ProvisionList::parse(text.as_bytes()).unwrap();
    assert_eq!(ProvisionList::parse(list.to_xml().as_bytes()).unwrap(), list);
    assert!(list.remove_family("contoso.app_8wekyb3d8bbwe") && !list.remove_family("contoso.app_8wekyb3d8bbwe"));
    assert_eq!(list.provisioned.len(), 1);
    assert_eq!(list.provisioned[0].attributes[1], ("Odd".to_owned(), "<\"&".to_owned()));
    let unknown = text.replace("EndOfLife>", "Elsewhere>");
    assert!(matches!(ProvisionList::parse(unknown.as_bytes()), Err(AppxError::Part { .. })));
}

#[test]
fn versions_and_architectures() {
    for wrong in ["", "1", "1.2.3", "1.2.3.4.5", "1.2.3.65536", "+1.2.3.4", "1..3.4"] {
        assert!(wrong.parse::<Version>().is_err(), "{wrong}");
    }
    assert!("1.10.0.0".parse::<Version>().unwrap() > "1.9.0.0".parse().unwrap());
    assert_eq!("X64".parse::<Architecture>().unwrap(), Architecture::X64);
    assert!("amd64".parse::<Architecture>().is_err());
}

fn open(path: &Path) -> Arc<dyn ReadAt> {
    Arc::new(FileSource::new(File::open(path).unwrap()).unwrap())
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Opens and verifies; what a user would be told.
fn verdict(path: &Path) -> String {
    let checked = AppFile::open(open(path)).and_then(|file| match &file {
        AppFile::Package(package) => package.verify().map(|()| package.manifest().identity.full_name()),
        AppFile::Bundle(bundle) => bundle.verify().map(|()| bundle.manifest().identity.full_name()),
    });
    checked.map_or_else(|error| error.to_string(), |name| name.to_string())
}

#[test]
fn real_packages_and_bundles() {
    let Some(folder) = wimwright_testkit::test_data("appx") else { return };
    let mut files = Vec::new();
    files_below(&folder, &mut files);
    let found: Vec<_> = files
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension != "xml"))
        .map(|path| format!("{}: {}", path.file_name().unwrap().to_string_lossy(), verdict(path)))
        .collect();
    assert_eq!(found, REAL_VERDICTS);
}

/// Packages that Windows would refuse only for their signature are whole here.
const REAL_VERDICTS: &[&str] = &[
    "IoTOnboardingTask-x64.appx: IoTOnboardingTask-uwp_1.0.0.0_x64__1w720vyc4ccym",
    "LumiaWOA.Tips_btf4vqatnxdpt.appxbundle: LumiaWOA.Tips_1.0.3.0_neutral_~_btf4vqatnxdpt",
    "Microsoft.NET.Native.Runtime.2.1-x64.appx: Microsoft.NET.Native.Runtime.2.1_2.1.26424.0_x64__8wekyb3d8bbwe",
    "Microsoft.VCLibs.x64.14.00.appx: Microsoft.VCLibs.140.00_14.0.25426.0_x64__8wekyb3d8bbwe",
    "Microsoft.VP9VideoExtensions_8wekyb3d8bbwe.x86.Appx: Microsoft.VP9VideoExtensions_1.2.20.0_x86__8wekyb3d8bbwe",
    "Bad_Namespace_Blockmap.appx: app package: AppxBlockMap.xml: not well-formed XML at 3:6: an unknown namespace prefix 'fake'",
    "ContentTypes_in_blockmap.appx: microsoft.devx.appx.HelloWorld_1.0.0.0_neutral_NorthAmerica_8wekyb3d8bbwe",
    "Extra_file_in_blockmap.msix: app package: App1.exe: in the block map, but not in the package, or twice in the map",
    "Missing_Manifest_in_blockmap.appx: app package: AppxManifest.xml: in the package, but not in the block map",
    "CentennialCoffee.appx: CentennialCoffee_1.1.0.0_neutral__8wekyb3d8bbwe",
    "Empty.appx: app package: not a ZIP file that can be read: invalid Zip archive: Could not find EOCD",
    "HelloWorld.appx: 987c313f-792a-5734-8852-88815fdfef0c_1.2.0.3_neutral__8wekyb3d8bbwe",
    "IntlPackage.appx: 20477fca-282d-49fb-b03e-371dca074f0f_1.0.0.0_x86__8wekyb3d8bbwe",
    "InvalidSignatureBadCodeIntegrity.appx: Microsoft.Help_1.0.0.0_neutral_neutral_8wekyb3d8bbwe",
    "OPC_E_ZIP_CORRUPTED_ARCHIVE.appx: google.ietoolbar_1.0.0.0_neutral__95ne894fmhfgy",
    "SignatureNotLastPart-ERROR_BAD_FORMAT.appx: AppxPackaging.Signing.UnitTests.Data_1.0.0.0_neutral__8wekyb3d8bbwe",
    "SignedTamperedBlockMap-TRUST_E_BAD_DIGEST.appx: google.ietoolbar_1.0.0.0_neutral__95ne894fmhfgy",
    "SignedTamperedCD-TRUST_E_BAD_DIGEST.appx: google.ietoolbar_1.0.0.0_neutral__95ne894fmhfgy",
    "SignedTamperedContentTypes-TRUST_E_BAD_DIGEST.appx: google.ietoolbar_1.0.0.0_neutral__95ne894fmhfgy",
    "SignedUntrustedCert-CERT_E_CHAINING.appx: AppxPackaging.Signing.UnitTests.Data_1.0.0.0_neutral__8wekyb3d8bbwe",
    "TestAppxPackage_x64.appx: 20477fca-282d-49fb-b03e-371dca074f0f_1.0.0.0_x64__8wekyb3d8bbwe",
    "UnsignedZip64WithCI-APPX_E_MISSING_REQUIRED_FILE.appx: Microsoft.Help_1.0.0.0_neutral_neutral_8wekyb3d8bbwe",
    "BlockMapIsMissing.appxbundle: app package: there is no AppxBlockMap.xml",
    "BlockMapViolatesSchema.appxbundle: app package: AppxMetadata\\AppxBundleManifest.xml: in the package, but not in the block map",
    "ContainsNeutralAndX86AppPackages.appxbundle: Test_2013.110.2352.3948_neutral_~_q7djbd8vek6zr",
    "ContainsNoPayload.appxbundle: Test_2013.111.2.5363_neutral_~_q7djbd8vek6zr",
    "ContainsTwoNeutralAppPackages.appxbundle: Test_2013.110.2351.2853_neutral_~_q7djbd8vek6zr",
    "ManifestDeclaresAppPackageForResourcePackage.appxbundle: app package: ResourcePackage_English.appx: is not of the kind that the bundle's manifest says: Application",
    "ManifestHasExtraPackage.appxbundle: app package: there is no ResourcePackage_English.appx",
    "ManifestPackageHasIncorrectArchitecture.appxbundle: app package: AppPackage_Neutral.appx: is Test_1.0.0.2_neutral_Default_q7djbd8vek6zr; the bundle's manifest says Test_1.0.0.2_x86_Default_q7djbd8vek6zr",
    "ManifestPackageHasIncorrectPublisher.appxbundle: app package: AppPackage_Neutral.appx: is Test_1.0.0.2_neutral_Default_q7djbd8vek6zr; the bundle's manifest says Test_1.0.0.2_neutral_Default_ea0tcpdrsram6",
    "ManifestPackageHasIncorrectSize.appxbundle: app package: AppPackage_Neutral.appx: has 3206 bytes; the bundle's manifest says 3205",
    "ManifestPackageHasInvalidOffset.appxbundle: app package: ResourcePackage_English.appx: starts at 3341; the bundle's manifest says 3300",
    "ManifestPackageHasInvalidRange.appxbundle: app package: AppPackage_Neutral.appx: starts at 53; the bundle's manifest says 3000",
    "PayloadPackageHasNonAppxExtension.appxbundle: Test_2013.110.2145.4821_neutral_~_q7djbd8vek6zr",
    "PayloadPackageIsCompressed.appxbundle: app package: AppPackage_Neutral.appx: a package in a bundle must not be compressed",
    "PayloadPackageIsNotAppxPackage.appxbundle: app package: not a ZIP file that can be read: invalid Zip archive: Could not find EOCD",
    "PayloadPackageNotListedInManifest.appxbundle: app package: AppPackage_X86.appx: in the package, but not in the block map",
    "FlatBundleWithAsset.appxbundle: b12bc6ce-be37-44c5-b058-2b1cf98befd9_2017.1107.2305.0_neutral_~_8wekyb3d8bbwe",
    "language-de.appx: b12bc6ce-be37-44c5-b058-2b1cf98befd9_0.1.1.0_neutral_split.language-de_8wekyb3d8bbwe",
    "language-es.appx: b12bc6ce-be37-44c5-b058-2b1cf98befd9_0.1.1.0_neutral_split.language-es_8wekyb3d8bbwe",
    "language-fr.appx: b12bc6ce-be37-44c5-b058-2b1cf98befd9_0.1.1.0_neutral_split.language-fr_8wekyb3d8bbwe",
    "language-ja.appx: b12bc6ce-be37-44c5-b058-2b1cf98befd9_0.1.1.0_neutral_split.language-ja_8wekyb3d8bbwe",
    "language-ko.appx: b12bc6ce-be37-44c5-b058-2b1cf98befd9_0.1.1.0_neutral_split.language-ko_8wekyb3d8bbwe",
    "language-ru.appx: b12bc6ce-be37-44c5-b058-2b1cf98befd9_0.1.1.0_neutral_split.language-ru_8wekyb3d8bbwe",
    "language-uk.appx: b12bc6ce-be37-44c5-b058-2b1cf98befd9_0.1.1.0_neutral_split.language-uk_8wekyb3d8bbwe",
    "language-zh-hant.appx: b12bc6ce-be37-44c5-b058-2b1cf98befd9_0.1.1.0_neutral_split.language-zh-hant_8wekyb3d8bbwe",
    "scale-140.appx: b12bc6ce-be37-44c5-b058-2b1cf98befd9_0.1.1.0_neutral_split.scale-140_8wekyb3d8bbwe",
    "scale-240.appx: b12bc6ce-be37-44c5-b058-2b1cf98befd9_0.1.1.0_neutral_split.scale-240_8wekyb3d8bbwe",
    "TestAosp.msix: BestAppExtension_1.0.0.0_neutral__s7d21py8hx46g",
    "TestLinux.msix: BestAppExtension_1.0.0.0_neutral__s7d21py8hx46g",
    "TestMac.msix: BestAppExtension_1.0.0.0_neutral__s7d21py8hx46g",
    "TestWindows.msix: BestAppExtension_1.0.0.0_neutral__s7d21py8hx46g",
    "TestWindows7.msix: BestAppExtension_1.0.0.0_neutral__s7d21py8hx46g",
];

#[test]
fn real_manifest_license_and_choice_from_a_bundle() {
    let Some(folder) = wimwright_testkit::test_data("appx") else { return };
    let AppFile::Package(task) = AppFile::open(open(&folder.join("IoTOnboardingTask-x64.appx"))).unwrap() else { unreachable!() };
    let manifest = task.manifest();
    assert_eq!(manifest.dependencies[0].family_name().unwrap(), "Microsoft.VCLibs.140.00_8wekyb3d8bbwe");
    assert_eq!(manifest.target_device_families[0].min_version.to_string(), "10.0.10240.0");
    assert_eq!((manifest.applications[0].id.as_str(), manifest.framework), ("App", false));
    let AppFile::Package(runtime) = AppFile::open(open(&folder.join("Microsoft.VCLibs.x64.14.00.appx"))).unwrap() else { unreachable!() };
    assert!(runtime.manifest().framework);

    let AppFile::Bundle(tips) = AppFile::open(open(&folder.join("LumiaWOA.Tips_btf4vqatnxdpt.appxbundle"))).unwrap() else {
        unreachable!()
    };
    assert_eq!(tips.manifest().identity.family_name(), "LumiaWOA.Tips_btf4vqatnxdpt");
    let app = tips.manifest().application_for(Architecture::Arm64).unwrap();
    assert_eq!(tips.package(app).unwrap().manifest().identity.full_name().to_string(), "LumiaWOA.Tips_1.0.3.0_arm64__btf4vqatnxdpt");
    assert!(tips.manifest().application_for(Architecture::X64).is_none());
    let resources: Vec<_> = tips.manifest().resources_for(&["de"], &[125]).map(|package| package.file_name.as_str()).collect();
    assert_eq!(resources, ["Tips_1.0.3.0_scale-125.appx"]);

    let license = std::fs::read(folder.join("Microsoft.VP9VideoExtensions_8wekyb3d8bbwe.x86.xml")).unwrap();
    let license = License::parse(&license).unwrap();
    assert_eq!(license.family_name, "microsoft.vp9videoextensions_8wekyb3d8bbwe");
    assert_eq!((license.binding.as_deref(), license.usage.as_deref()), (Some("Machine"), Some("Offline")));
}

/// Bytes of a small real package, damaged at many places: a value or an error.
#[test]
fn real_damaged_packages_never_panic() {
    let Some(path) = wimwright_testkit::test_data("appx/msix-packaging/unpack/platforms/TestWindows.msix") else { return };
    let bytes = std::fs::read(path).unwrap();
    for index in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[index] ^= 0xFF;
        for bytes in [damaged, bytes[..index].to_vec()] {
            if let Ok(AppFile::Package(package)) = AppFile::open(source(bytes)) {
                let _ = package.verify();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn publisher_ids_have_their_form(publisher in ".{0,60}") {
        let id = publisher_id(&publisher);
        prop_assert_eq!(id.len(), 13);
        let name = format!("Contoso.App_1.2.3.4_x64__{id}");
        prop_assert_eq!(name.parse::<PackageFullName>().unwrap().family_name(), format!("Contoso.App_{id}"));
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = AppFile::open(source(bytes.clone()));
        let _ = Manifest::parse(&bytes);
        let _ = License::parse(&bytes);
    }
}

//! Packages, features and capabilities: what the component-based servicing of Windows records.

use sha2::{Digest, Sha256};
use wimwright_format::regf::Data;

use crate::contents::Contents;
use crate::data::{BUILD_TIME, VERSION_TEXT};
use crate::error::Error;
use crate::hives::HiveFile;
use crate::identity::PUBLIC_KEY_TOKEN;
use crate::tree::ImageTree;

/// The key of servicing, below the root of the SOFTWARE hive.
const SERVICING: &str = r"Microsoft\Windows\CurrentVersion\Component Based Servicing";
/// States of packages and features.
const REMOVED: u32 = 0;
const STAGED: u32 = 0x40;
const INSTALLED: u32 = 0x70;

/// A package: name, architecture, language, state, kind of release, its features with their states.
struct Package {
    name: &'static str,
    architecture: &'static str,
    language: &'static str,
    state: u32,
    release_type: &'static str,
    features: &'static [(&'static str, u32)],
}

impl Package {
    const fn new(name: &'static str, state: u32, release_type: &'static str, features: &'static [(&'static str, u32)]) -> Self {
        Self { name, architecture: "amd64", language: "", state, release_type, features }
    }

    fn identity(&self, version: &str) -> String {
        format!("{}~{PUBLIC_KEY_TOKEN}~{}~{}~{version}", self.name, self.architecture, self.language)
    }
}

const PACKAGES: [Package; 12] = [
    Package::new(
        "Microsoft-Windows-Foundation-Package",
        INSTALLED,
        "Foundation",
        &[
            ("TelnetClient", STAGED),
            ("TFTP", STAGED),
            ("Printing-PrintToPDFServices-Features", INSTALLED),
            ("SearchEngine-Client-Package", INSTALLED),
        ],
    ),
    Package::new(
        "Microsoft-Windows-Client-Features-Package",
        INSTALLED,
        "Feature Pack",
        &[("MediaPlayback", INSTALLED), ("WorkFolders-Client", INSTALLED), ("Microsoft-Hyper-V-All", STAGED), ("Containers", STAGED)],
    ),
    Package::new("Microsoft-Windows-NetFx3-OC-Package", STAGED, "OnDemand Pack", &[("NetFx3", REMOVED)]),
    Package::new("Microsoft-Windows-SMB1-Package", STAGED, "Feature Pack", &[("SMB1Protocol", REMOVED), ("SMB1Protocol-Client", REMOVED)]),
    Package::new(
        "Microsoft-Windows-Printing-Foundation-Package",
        INSTALLED,
        "Feature Pack",
        &[("Printing-Foundation-Features", INSTALLED)],
    ),
    Package { language: "en-US", ..Package::new("Microsoft-Windows-Client-LanguagePack-Package", INSTALLED, "Language Pack", &[]) },
    Package { language: "en-US", ..Package::new("Microsoft-Windows-Foundation-Package", INSTALLED, "Foundation", &[]) },
    Package::new("Microsoft-Windows-EditionSpecific-Professional-Package", INSTALLED, "Product", &[]),
    Package::new("Microsoft-Windows-EditionSpecific-Enterprise-Package", STAGED, "Product", &[]),
    Package {
        language: "en-US",
        ..Package::new("Microsoft-Windows-LanguageFeatures-Basic-en-us-Package", INSTALLED, "OnDemand Pack", &[])
    },
    Package::new("Microsoft-Windows-Notepad-System-FoD-Package", INSTALLED, "OnDemand Pack", &[]),
    Package::new("Package_for_ServicingStack_1738", INSTALLED, "Update", &[]),
];

/// Capabilities (features on demand) with the package of each that is installed.
const CAPABILITIES: [(&str, &str, &str); 2] = [
    ("Language.Basic~~~en-US~0.0.1.0", "Microsoft-Windows-LanguageFeatures-Basic-en-us-Package", "en-US"),
    ("Microsoft.Windows.Notepad.System~~~~0.0.1.0", "Microsoft-Windows-Notepad-System-FoD-Package", ""),
];

/// Writes the packages' manifests and catalogs, and their keys.
pub(crate) fn add(tree: &mut ImageTree, contents: &mut Contents, software: &mut HiveFile) -> Result<(), Error> {
    software.set(SERVICING, "EnableLog", &Data::Dword(1))?;
    software.set(SERVICING, "ProcessorArchitecture", &Data::Dword(9))?;
    software.set(SERVICING, "BuildBranch", &Data::Text("ge_release".into()))?;
    for name in ["ApplicabilityEvaluationCache", "PackageDetect", "PackagesPending", "SessionsPending", "UpdateDetect", "Sessions"] {
        software.key(&format!(r"{SERVICING}\{name}"))?;
    }
    let stack = r"%SystemRoot%\WinSxS\amd64_microsoft-windows-servicingstack_31bf3856ad364e35_10.0.26100.1738_none_a55a2c5b6f2c8b7c";
    software.set(&format!(r"{SERVICING}\Version"), "10.0.26100.1738", &Data::ExpandableText(stack.into()))?;
    for package in &PACKAGES {
        add_package(tree, contents, software, package)?;
    }
    for (capability, package, language) in CAPABILITIES {
        let identity = format!("{package}~{PUBLIC_KEY_TOKEN}~amd64~{language}~{VERSION_TEXT}");
        let key = format!(r"{SERVICING}\CapabilityIndex\{capability}");
        software.set(&key, &identity, &Data::Dword(0))?;
    }
    let sessions = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Sessions>\r\n<Session version=\"2\" id=\"31129598_1077936128\" client=\"DISM Package Manager Provider\" options=\"8\" currentphase=\"6\" lastsuccessfulstate=\"Complete\" pendingfollower=\"False\" retry=\"False\" Queued=\"2024/09/06/03:14:07\" Started=\"2024/09/06/03:14:07\" Complete=\"2024/09/06/03:15:30\" status=\"0x0\"/>\r\n</Sessions>\r\n";
    tree.file("Windows/servicing/Sessions/Sessions.xml", contents.add(sessions))?;
    Ok(())
}

fn add_package(tree: &mut ImageTree, contents: &mut Contents, software: &mut HiveFile, package: &Package) -> Result<(), Error> {
    let identity = package.identity(VERSION_TEXT);
    let path = format!("Windows/servicing/Packages/{identity}");
    let manifest = contents.add(package_manifest(package));
    tree.file(&format!("{path}.mum"), manifest)?;
    let catalog = catalog(&identity);
    let thumbprint: String = Sha256::digest(&catalog).iter().map(|byte| format!("{byte:02x}")).collect();
    let catalog = contents.add(catalog);
    tree.file(&format!("{path}.cat"), catalog)?;
    tree.link(&format!("{path}.cat"), &format!("Windows/System32/CatRoot/{{F750E6C3-38EE-11D1-85E5-00C04FC295EE}}/{identity}.cat"))?;
    tree.file(&format!("Windows/WinSxS/Catalogs/{thumbprint}.cat"), catalog)?;

    let key = format!(r"{SERVICING}\Packages\{identity}");
    let values = [
        ("CurrentState", Data::Dword(package.state)),
        ("InstallClient", Data::Text("DISM Package Manager Provider".into())),
        ("InstallLocation", Data::Text(format!(r"\\?\C:\Windows\CbsTemp\31129598_1077936128\{}\", package.name))),
        ("InstallName", Data::Text(format!("{identity}.mum"))),
        ("InstallTimeHigh", Data::Dword((BUILD_TIME >> 32) as u32)),
        ("InstallTimeLow", Data::Dword(BUILD_TIME as u32)),
        ("InstallUser", Data::Text("S-1-5-18".into())),
        ("SelfUpdate", Data::Dword(0)),
        ("Visibility", Data::Dword(1)),
    ];
    for (name, data) in values {
        software.set(&key, name, &data)?;
    }
    software.set(&format!(r"{key}\Owners"), &identity, &Data::Dword(0x2_0000 | package.state))?;
    for (feature, state) in package.features {
        software.set(&format!(r"{key}\Updates"), feature, &Data::Dword(*state))?;
        let notifications = format!(r"{SERVICING}\Notifications\OptionalFeatures\{feature}");
        software.set(&notifications, "Selection", &Data::Dword(u32::from(*state == INSTALLED)))?;
        if *state == REMOVED {
            software.set(&notifications, "Removed", &Data::Dword(1))?;
        }
    }
    software.set(&format!(r"{SERVICING}\PackageIndex\{}", package.identity("0.0.0.0")), &identity, &Data::Dword(0))?;
    Ok(())
}

fn package_manifest(package: &Package) -> String {
    let Package { name, architecture, language, release_type, features, .. } = package;
    let language = if language.is_empty() { "neutral" } else { language };
    let update = |(feature, state): &(&str, u32)| {
        format!(
            "    <update name=\"{feature}\">\r\n      <selectable disposition=\"{}\"/>\r\n      <component>\r\n        <assemblyIdentity name=\"Microsoft-Windows-Foundation-Deployment\" version=\"{VERSION_TEXT}\" processorArchitecture=\"amd64\" language=\"neutral\" buildType=\"release\" publicKeyToken=\"{PUBLIC_KEY_TOKEN}\" versionScope=\"nonSxS\"/>\r\n      </component>\r\n    </update>\r\n",
            if *state == INSTALLED { "detect" } else { "staged" }
        )
    };
    let updates: String = features.iter().map(update).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>\r\n\
<assembly xmlns=\"urn:schemas-microsoft-com:asm.v3\" manifestVersion=\"1.0\" description=\"{name}\" displayName=\"{name}\" company=\"Wimwright practice media\">\r\n\
  <assemblyIdentity name=\"{name}\" version=\"{VERSION_TEXT}\" processorArchitecture=\"{architecture}\" language=\"{language}\" buildType=\"release\" publicKeyToken=\"{PUBLIC_KEY_TOKEN}\"/>\r\n\
  <package identifier=\"{name}\" releaseType=\"{release_type}\">\r\n{updates}  </package>\r\n\
</assembly>\r\n"
    )
}

/// Stands for a security catalog: the DER frame of a PKCS #7 message whose content is the package's name, unsigned.
fn catalog(identity: &str) -> Vec<u8> {
    // ContentInfo { contentType 1.2.840.113549.1.7.1 (data), content [0] { OCTET STRING } }
    const DATA: [u8; 11] = [0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01];
    let element = |tag: u8, contents: &[u8]| {
        let mut bytes = vec![tag, 0x82];
        bytes.extend((contents.len() as u16).to_be_bytes());
        bytes.extend(contents);
        bytes
    };
    let text = element(0x04, identity.as_bytes());
    element(0x30, &[DATA.to_vec(), element(0xA0, &text)].concat())
}

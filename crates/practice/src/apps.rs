//! Provisioned apps: package folders in `WindowsApps`, the keys of the all-user store, the list of provisioning.

use wimwright_format::appx::provisioning::{self, ProvisionList, ProvisionedPackage};
use wimwright_format::appx::{Architecture, Identity, Version};
use wimwright_format::regf::Data;

use crate::contents::Contents;
use crate::error::Error;
use crate::generated::{Generated, Kind, seed_of};
use crate::hives::HiveFile;
use crate::msix::{AppPackage, MICROSOFT};
use crate::program::Program;
use crate::tree::{ImageTree, add_stream};

/// The C++ runtime, which most apps need.
pub(crate) const FRAMEWORK: &str = "Microsoft.VCLibs.140.00";
/// The version that images have.
const FRAMEWORK_VERSION: Version = Version([14, 0, 33519, 0]);

/// Apps of every image: name, what people call it, version.
const APPS: [(&str, &str, Version); 5] = [
    ("Microsoft.BingNews", "News", Version([4, 55, 62231, 0])),
    ("Microsoft.GetHelp", "Get Help", Version([10, 2302, 10601, 0])),
    ("Microsoft.WindowsCalculator", "Calculator", Version([11, 2405, 2, 0])),
    ("Microsoft.Xbox.TCUI", "Xbox TCUI", Version([1, 24, 10001, 0])),
    ("Microsoft.ZuneMusic", "Media Player", Version([11, 2404, 5, 0])),
];

/// An identity of Microsoft.
pub(crate) fn identity(name: &str, version: Version, architecture: Architecture, resource_id: &str) -> Identity {
    Identity { name: name.to_owned(), publisher: MICROSOFT.to_owned(), version, architecture, resource_id: resource_id.to_owned() }
}

/// The framework as a package of some version.
pub(crate) fn framework(version: Version) -> Result<AppPackage, Error> {
    let library = "vcruntime140_app.dll";
    Ok(AppPackage {
        identity: identity(FRAMEWORK, version, Architecture::X64, ""),
        display_name: "Practice C++ Runtime",
        executable: None,
        framework: None,
        parts: vec![(library.to_owned(), program(library, 96 << 10)?), ("Assets/Logo.png".to_owned(), picture("VCLibs")?)],
    })
}

/// A program of so many bytes.
pub(crate) fn program(name: &str, size: u64) -> Result<Vec<u8>, Error> {
    Ok(Generated { kind: Kind::Program(Program::of_name(name, true)), seed: seed_of(name), size }.bytes()?)
}

/// Bytes that stand for a picture.
pub(crate) fn picture(name: &str) -> Result<Vec<u8>, Error> {
    Ok(Generated { kind: Kind::Packed, seed: seed_of(name), size: 2048 }.bytes()?)
}

/// Provisions the apps.
pub(crate) fn add(tree: &mut ImageTree, contents: &mut Contents, software: &mut HiveFile) -> Result<(), Error> {
    let runtime = framework(FRAMEWORK_VERSION)?;
    install(tree, contents, &runtime)?;
    let mut list = ProvisionList { end_of_life: vec!["Microsoft.Getstarted_8wekyb3d8bbwe".to_owned()], provisioned: Vec::new() };
    for (name, display_name, version) in APPS {
        let bundle = identity(name, version, Architecture::Neutral, "~");
        let executable = "App.exe";
        let package = AppPackage {
            identity: identity(name, version, Architecture::X64, ""),
            display_name,
            executable: Some(executable),
            framework: Some((FRAMEWORK, "14.0.30035.0")),
            parts: vec![(executable.to_owned(), program(name, 64 << 10)?), ("Assets/Logo.png".to_owned(), picture(name)?)],
        };
        install(tree, contents, &package)?;
        install_bundle(tree, contents, &bundle, &package)?;
        let addition = provisioning::addition(&bundle, std::slice::from_ref(&package.identity), std::slice::from_ref(&runtime.identity));
        for key in &addition.keys {
            for (value, text) in &key.values {
                software.set(&key.path, value, &Data::Text(text.clone()))?;
            }
        }
        let license = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<License xmlns=\"urn:schemas-microsoft-com:windows:store:licensing:ls\" LicenseID=\"{:032x}\">practice</License>\r\n",
            seed_of(name)
        );
        tree.file(&addition.license.replace('\\', "/"), contents.add(license))?;
        let entry = |full_name: String, attribute: (&str, &str)| ProvisionedPackage {
            full_name,
            attributes: vec![(attribute.0.to_owned(), attribute.1.to_owned())],
        };
        list.provisioned.push(entry(bundle.full_name().to_string(), ("PackageType", "bundle")));
        list.provisioned.push(entry(package.identity.full_name().to_string(), ("ProvisionSourceIsBundle", "true")));
    }
    tree.file("ProgramData/Microsoft/Windows/AppxProvisioning.xml", contents.add(list.to_xml()))?;
    for key in ["Config", "Deprovisioned", "EndOfLife", "InboxApplications", "Upgrade"] {
        software.key(&format!(r"{}\{key}", provisioning::ALL_USER_STORE))?;
    }
    Ok(())
}

fn install(tree: &mut ImageTree, contents: &mut Contents, package: &AppPackage) -> Result<(), Error> {
    let folder = format!("Program Files/WindowsApps/{}", package.identity.full_name());
    for (path, bytes) in package.installed() {
        let is_program = path.ends_with(".exe");
        let blob = contents.add(bytes);
        let file = tree.file(&format!("{folder}/{path}"), blob)?;
        if is_program {
            // Windows marks packages' programs with an empty stream.
            add_stream(file, "Win32App_1", None);
        }
    }
    Ok(())
}

fn install_bundle(tree: &mut ImageTree, contents: &mut Contents, bundle: &Identity, package: &AppPackage) -> Result<(), Error> {
    let Identity { name, publisher, version, .. } = bundle;
    let manifest = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
<Bundle xmlns=\"http://schemas.microsoft.com/appx/2013/bundle\" SchemaVersion=\"3.0\">\r\n\
  <Identity Name=\"{name}\" Publisher=\"{publisher}\" Version=\"{version}\"/>\r\n\
  <Packages>\r\n    <Package Type=\"application\" Version=\"{version}\" Architecture=\"{}\" FileName=\"App_x64.appx\" Offset=\"61\" Size=\"70000\">\r\n      <Resources>\r\n        <Resource Language=\"en-us\"/>\r\n      </Resources>\r\n    </Package>\r\n  </Packages>\r\n</Bundle>\r\n",
        package.identity.architecture
    );
    let path = format!("Program Files/WindowsApps/{}/AppxMetadata/AppxBundleManifest.xml", bundle.full_name());
    tree.file(&path, contents.add(manifest))?;
    Ok(())
}

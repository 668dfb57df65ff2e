//! The packages of a practice image: what they are, what they bring, and their features and capabilities.

use std::collections::HashMap;

use wimwright_format::manifest::{Identity, PackageId, Version};
use wimwright_format::regf::Data;

use crate::apps;
use crate::contents::Contents;
use crate::data::{STACK_VERSION, VERSION};
use crate::error::Error;
use crate::generated::{Generated, Kind, seed_of};
use crate::identity::{component, deployment, package};
use crate::manifests::{Applicable, Assembly, Carried, Component, Deployment, Package, Parent, PayloadFile, RegistryValue, State, Update};
use crate::program::{Program, Resource};
use crate::system::SystemFile;

/// The fourth number of the packages that cumulative updates come in.
const ROLLUP_REVISION: u16 = 10;

/// The version of the practice Windows.
pub(crate) const WINDOWS: Version = Version(VERSION);

/// A feature: its name, and its state in a practice image.
type Feature = (&'static str, State);

/// Packages with features.
const FEATURES: [(&str, &[Feature]); 5] = [
    (
        "Microsoft-Windows-Foundation-Package",
        &[
            ("TelnetClient", State::Staged),
            ("TFTP", State::Staged),
            ("Printing-PrintToPDFServices-Features", State::Installed),
            ("SearchEngine-Client-Package", State::Installed),
        ],
    ),
    (
        "Microsoft-Windows-Client-Features-Package",
        &[
            ("MediaPlayback", State::Installed),
            ("WorkFolders-Client", State::Installed),
            ("Microsoft-Hyper-V-All", State::Staged),
            ("Containers", State::Staged),
        ],
    ),
    ("Microsoft-Windows-NetFx3-OC-Package", &[("NetFx3", State::Removed)]),
    ("Microsoft-Windows-SMB1-Package", &[("SMB1Protocol", State::Removed), ("SMB1Protocol-Client", State::Removed)]),
    ("Microsoft-Windows-Printing-Foundation-Package", &[("Printing-Foundation-Features", State::Installed)]),
];

/// What makes the packages of one Windows.
pub(crate) struct PackageMaker<'a> {
    pub contents: &'a mut Contents,
    pub architecture: &'a str,
    pub version: Version,
}

impl PackageMaker<'_> {
    /// The packages of an edition with these files of Windows.
    pub(crate) fn of_edition(&mut self, files: &[&SystemFile]) -> Result<Vec<Package>, Error> {
        let (language, neutral): (Vec<&SystemFile>, Vec<&SystemFile>) = files.iter().partition(|file| file.component.language.is_some());
        let mut packages = Vec::new();
        for (name, features) in FEATURES {
            let release_type = if name.contains("Foundation-Package") { "Foundation" } else { "Feature Pack" };
            let mut package = self.package(name, "neutral", release_type);
            if name == "Microsoft-Windows-Foundation-Package" {
                package
                    .updates
                    .push(Update::hidden(of_files("Microsoft-Windows-Foundation", &package.identity, &neutral), State::Installed));
            }
            for (feature, state) in features {
                package.updates.push(self.feature(feature, *state, &package.identity)?);
            }
            packages.push(package);
        }
        let mut language_pack = self.package("Microsoft-Windows-Client-LanguagePack-Package", "en-US", "Language Pack");
        let deployment = of_files("Microsoft-Windows-Client-LanguagePack", &language_pack.identity, &language);
        language_pack.updates.push(Update::hidden(deployment, State::Installed));
        packages.push(language_pack);
        packages.push(self.plain("Microsoft-Windows-Foundation-Package", "en-US", "Foundation", State::Installed)?);
        packages.push(self.plain("Microsoft-Windows-EditionSpecific-Professional-Package", "neutral", "Product", State::Installed)?);
        packages.push(self.plain("Microsoft-Windows-EditionSpecific-Enterprise-Package", "neutral", "Product", State::Staged)?);
        for (name, capability, language) in [
            ("Microsoft-Windows-LanguageFeatures-Basic-en-us-Package", "Language.Basic", Some("en-US")),
            ("Microsoft-Windows-Notepad-System-FoD-Package", "Microsoft.Windows.Notepad.System", None),
        ] {
            let mut package = self.plain(name, "neutral", "OnDemand Pack", State::Installed)?;
            package.capability = Some((capability.to_owned(), language));
            package.parents.push(self.parent("Microsoft-Windows-Client-Features-Package"));
            packages.push(package);
        }
        packages.push(self.servicing_stack(STACK_VERSION)?);
        packages.push(self.rollup(Vec::new()));
        Ok(packages)
    }

    /// The packages of a Windows PE.
    pub(crate) fn of_preinstallation(&mut self, files: &[&SystemFile]) -> Result<Vec<Package>, Error> {
        let mut foundation = self.package("Microsoft-Windows-WinPE-Package", "neutral", "Foundation");
        foundation.updates.push(Update::hidden(of_files("Microsoft-Windows-WinPE", &foundation.identity, files), State::Installed));
        let language_pack = self.plain("Microsoft-Windows-WinPE-LanguagePack-Package", "en-US", "Language Pack", State::Installed)?;
        Ok(vec![foundation, language_pack, self.servicing_stack(STACK_VERSION)?, self.rollup(Vec::new())])
    }

    /// The package of a servicing stack, with the library that knows the dictionary of compressed manifests.
    pub(crate) fn servicing_stack(&mut self, stack: Version) -> Result<Package, Error> {
        let Version([_, _, build, revision]) = stack;
        let name = format!("Package_for_ServicingStack_{revision}");
        let identity = package(&name, self.architecture, "neutral", Version([build, revision, 1, 1]));
        let mut program = Program::of_name("wcp.dll", self.architecture != "x86");
        program.version = stack.0;
        program.resources.push(Resource { kind: MANIFEST_DICTIONARY, name: 1, bytes: DICTIONARY.as_bytes().to_vec() });
        let library = Generated { kind: Kind::Program(program), seed: seed_of("wcp.dll"), size: 48 << 10 }.bytes()?;
        let files = vec![self.file("wcp.dll", None, library)];
        let stack = Component::of_files(servicing_stack(self.architecture, stack), files).assemble();
        let elevated = vec![stack.identity.clone()];
        let identity_of_deployment = Identity { version: stack.identity.version, ..deployment(&name, &identity) };
        let deployment = Deployment { identity: identity_of_deployment, components: vec![stack] };
        let mut update = Update::hidden(deployment, State::Installed);
        update.applicable = Some(Applicable::Components(elevated));
        Ok(Package { identifier: format!("KB50{revision:05}"), updates: vec![update], ..Package::new(identity, "Update") })
    }

    /// The cumulative update that Windows has: sets the revision of its build, and brings these components.
    pub(crate) fn rollup(&mut self, mut components: Vec<Assembly>) -> Package {
        let Version([major, minor, build, revision]) = self.version;
        let mut version = component("Microsoft-Windows-CoreOS-Revision", self.architecture, "neutral", self.version);
        version.assembly_type = None;
        let value =
            |name: &str, data: Data| RegistryValue { key: r"Microsoft\Windows NT\CurrentVersion".to_owned(), name: name.to_owned(), data };
        let registry = vec![
            value("UBR", Data::Dword(u32::from(revision))),
            value("LCUVer", Data::Text(format!("{major}.{minor}.{build}.{revision}"))),
        ];
        components.insert(0, Component { registry, ..Component::of_files(version.clone(), Vec::new()) }.assemble());
        let package_version = Version([build, revision, 1, ROLLUP_REVISION]);
        let identity = package("Package_for_RollupFix", self.architecture, "neutral", package_version);
        let parent = self.parent("Microsoft-Windows-Foundation-Package");
        // Any version of the build will do.
        let parent = Parent { identity: Identity { version: Version([major, minor, build, 1]), ..parent.identity }, ..parent };

        let inner = package(&format!("Package_1_for_KB50{revision:05}"), self.architecture, "neutral", package_version);
        let deployment = Deployment { identity: Identity { version: self.version, ..deployment(&inner.name, &inner) }, components };
        let mut update = Update::hidden(deployment, State::Installed);
        update.applicable = Some(Applicable::Components(vec![version]));
        let inner = Package { deep: true, updates: vec![update], ..Package::new(inner, "Security Update") };
        let update = Update {
            name: hidden_update(&inner),
            feature: None,
            applicable: None,
            carried: Carried::Package(Box::new(inner)),
            state: State::Installed,
        };
        Package {
            identifier: format!("KB50{revision:05}"),
            parents: vec![parent],
            updates: vec![update],
            ..Package::new(identity, "Security Update")
        }
    }

    /// A package that must be there.
    pub(crate) fn parent(&self, name: &str) -> Parent {
        Parent { identity: package(name, self.architecture, "neutral", self.version), staged: false }
    }

    /// A package without updates.
    pub(crate) fn package(&self, name: &str, language: &str, release_type: &'static str) -> Package {
        Package::new(package(name, self.architecture, language, self.version), release_type)
    }

    /// A package of this version of Windows with one component, which has one file.
    fn plain(&mut self, name: &str, language: &str, release_type: &'static str, state: State) -> Result<Package, Error> {
        let package = self.package(name, language, release_type);
        self.filled(package, state)
    }

    /// A package with one component, which has one file.
    pub(crate) fn plain_of(&mut self, id: &PackageId, state: State) -> Result<Package, Error> {
        let language = if id.language.is_empty() { "neutral" } else { &id.language };
        let mut identity = package(&id.name, &id.architecture, language, id.version);
        identity.public_key_token = Some(id.public_key_token.clone());
        self.filled(Package::new(identity, "Feature Pack"), state)
    }

    fn filled(&mut self, mut package: Package, state: State) -> Result<Package, Error> {
        let name = package.identity.name.trim_end_matches("-Package").to_owned();
        let suffix = package.identity.language.as_ref().map(|language| format!(".{}", language.to_lowercase())).unwrap_or_default();
        let library = self.program(&format!("{}{suffix}.dll", name.trim_start_matches("Microsoft-Windows-")), "Windows/System32")?;
        let identity = Identity { name: format!("{name}{suffix}"), version_scope: Some("nonSxS".to_owned()), ..package.identity.clone() };
        let components = vec![Component::of_files(identity, vec![library]).assemble()];
        let deployment = Deployment { identity: deployment(&name, &package.identity), components };
        package.updates.push(Update::hidden(deployment, state));
        package.state = state;
        Ok(package)
    }

    /// A feature with one component: a file and a value of the registry.
    pub(crate) fn feature(&mut self, name: &str, state: State, package: &Identity) -> Result<Update, Error> {
        let files = vec![self.program(&format!("{name}.dll"), "Windows/System32")?];
        let value = RegistryValue {
            key: format!(r"Microsoft\Windows\CurrentVersion\Practice\Features\{name}"),
            name: "Version".to_owned(),
            data: Data::Text(self.version.to_string()),
        };
        let identity = component(&format!("Microsoft-Windows-{name}"), self.architecture, "neutral", self.version);
        let components = vec![Component { registry: vec![value], ..Component::of_files(identity, files) }.assemble()];
        let deployment = Deployment { identity: deployment(&format!("Microsoft-Windows-{name}"), package), components };
        Ok(Update {
            name: name.to_owned(),
            feature: Some(state.is_installed()),
            applicable: None,
            carried: Carried::Deployment(deployment),
            state,
        })
    }

    /// A small library or program as a component's file.
    pub(crate) fn program(&mut self, name: &str, directory: &str) -> Result<PayloadFile, Error> {
        let bytes = apps::program(name, 12 << 10)?;
        Ok(self.file(name, Some(directory), bytes))
    }

    /// A component's file.
    pub(crate) fn file(&mut self, name: &str, directory: Option<&str>, bytes: Vec<u8>) -> PayloadFile {
        let (blob, sha256) = self.contents.add_hashed(bytes);
        PayloadFile { name: name.to_owned(), destination: directory.map(|directory| format!("{directory}/{name}")), blob, sha256 }
    }
}

/// The servicing stack as a component.
pub(crate) fn servicing_stack(architecture: &str, version: Version) -> Identity {
    component("Microsoft-Windows-ServicingStack", architecture, "neutral", version)
}

/// The name of the update that brings a package.
pub(crate) fn hidden_update(package: &Package) -> String {
    crate::manifests::hidden_name(&package.identity.name)
}

/// A deployment of files of Windows.
fn of_files(name: &str, package: &Identity, files: &[&SystemFile]) -> Deployment {
    let files = files.iter().map(|file| (file.component.clone(), file.payload.clone()));
    Deployment { identity: deployment(name, package), components: components_of(files).into_iter().map(Component::assemble).collect() }
}

/// Components by their files, in the order of their first ones. Few have more than one: `winload.exe` and `winload.efi` belong
/// together.
pub(crate) fn components_of(files: impl Iterator<Item = (Identity, PayloadFile)>) -> Vec<Component> {
    let mut components: Vec<Component> = Vec::new();
    let mut places: HashMap<Identity, usize> = HashMap::new();
    for (identity, file) in files {
        let place = *places.entry(identity.clone()).or_insert(components.len());
        match components.get_mut(place) {
            Some(component) => component.files.push(file),
            None => components.push(Component::of_files(identity, vec![file])),
        }
    }
    components
}

/// Type of the resource of `wcp.dll` that holds the dictionary.
const MANIFEST_DICTIONARY: u32 = 614;

/// The practice stack's dictionary: what manifests often say, in our own words. Manifests of Microsoft are compressed against
/// another, which is theirs.
const DICTIONARY: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>\r\n\
<assembly xmlns=\"urn:schemas-microsoft-com:asm.v3\" manifestVersion=\"1.0\" copyright=\"Wimwright practice media\">\r\n\
  <assemblyIdentity name=\"Microsoft-Windows-\" version=\"10.0.26100.\" processorArchitecture=\"amd64\" language=\"neutral\" buildType=\"release\" publicKeyToken=\"31bf3856ad364e35\" versionScope=\"nonSxS\" />\r\n\
  <deployment xmlns=\"urn:schemas-microsoft-com:asm.v3\" />\r\n\
  <dependency discoverable=\"yes\">\r\n    <dependentAssembly dependencyType=\"install\">\r\n    </dependentAssembly>\r\n  </dependency>\r\n\
  <file name=\".dll\" destinationPath=\"$(runtime.system32)\\\" sourceName=\".dll\" importPath=\"$(build.nttree)\\\" sourcePath=\".\\\">\r\n\
    <securityDescriptor name=\"WRP_FILE_DEFAULT_SDDL\" />\r\n\
    <asmv2:hash xmlns:asmv2=\"urn:schemas-microsoft-com:asm.v2\" xmlns:dsig=\"http://www.w3.org/2000/09/xmldsig#\">\r\n\
      <dsig:DigestMethod Algorithm=\"http://www.w3.org/2000/09/xmldsig#sha256\" />\r\n      <dsig:DigestValue></dsig:DigestValue>\r\n    </asmv2:hash>\r\n  </file>\r\n\
  <registryKeys>\r\n    <registryKey keyName=\"HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\\">\r\n\
      <registryValue name=\"\" valueType=\"REG_SZ\" value=\"\" />\r\n    </registryKey>\r\n  </registryKeys>\r\n</assembly>\r\n";

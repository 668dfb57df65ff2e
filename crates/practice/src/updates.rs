//! Practice packages: what Microsoft ships as updates and features on demand, for the practice Windows.
//!
//! [`files`] gives them as files. None is signed, so installing one needs leave to. They are made from the same values as the
//! packages of a practice image, and can be installed into one: a cumulative update that raises the revision of the build, a
//! servicing stack update, a capability, and its language satellite. Features to switch on and off are in the image itself.

use sha1::{Digest, Sha1};
use wimwright_format::cab::{CabinetWriter, WriterCompression};
use wimwright_format::file_hashes;
use wimwright_format::manifest::Version;
use wimwright_format::regf::Data;

use crate::contents::Contents;
use crate::data::{self, BUILD_TIME};
use crate::error::Error;
use crate::generated::{Generated, Kind, seed_of};
use crate::identity::{component, deployment, package};
use crate::manifests::{
    Applicable, Assembly, Carried, Component, Deployment, Package, Parent, PayloadDirectory, PayloadFile, RegistryValue, State, Update,
};
use crate::packages::{PackageMaker, components_of};
use crate::program::Program;
use crate::recipe::RecipeFile;

/// The capability of the practice package, as `dism` would name it.
pub const CAPABILITY: &str = "Practice.Tools~~~~0.0.1.0";
/// A feature that is off in practice images, its files staged.
pub const FEATURE_OFF: &str = "TelnetClient";
/// A feature that is on in practice images.
pub const FEATURE_ON: &str = "WorkFolders-Client";

/// The feature of the capability's package: on once the capability is added.
pub const CAPABILITY_FEATURE: &str = "Practice-Tools";

/// The version of features on demand: that of the first release.
const RELEASE: Version = Version([10, 0, 26100, 1]);
/// `FILE_ATTRIBUTE_ARCHIVE`.
const ARCHIVE: u16 = 0x20;
/// Bytes of a program in an update.
const PROGRAM_SIZE: u64 = 8 << 10;

/// What the practice packages are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateOptions {
    /// The revision of the build that the cumulative update and the servicing stack raise to. The practice image has 1742.
    pub revision: u16,
    /// Files of the cumulative update, nearly all in a component of their own. The first 112 replace programs of the practice
    /// Windows, those after them belong to new versions of what [`crate::store::StoreSpec::filler`] made.
    pub files: usize,
    /// Elements that the manifest of the cumulative update's first component has besides, for example one that only Windows' own
    /// installers act on.
    pub elements: &'static str,
}

impl Default for UpdateOptions {
    fn default() -> Self {
        Self { revision: 4061, files: 6, elements: "" }
    }
}

/// The packages as files: an MSU with the cumulative update, and cabinets with the servicing stack, the capability and the
/// capability's English texts. The bytes depend on the options alone.
///
/// # Errors
/// [`Error::Cabinet`] for a cumulative update that no cabinet can hold; otherwise none is expected.
pub fn files(options: &UpdateOptions) -> Result<Vec<RecipeFile>, Error> {
    let revision = options.revision;
    let mut contents = Contents::default();
    let Version([major, minor, build, _]) = RELEASE;
    let version = Version([major, minor, build, revision]);
    let mut maker = PackageMaker { contents: &mut contents, architecture: "amd64", version };
    let components = replaced(&mut maker, options)?;
    let rollup = maker.rollup(components);
    let stack = maker.servicing_stack(version)?;
    let mut maker = PackageMaker { contents: &mut contents, architecture: "amd64", version: RELEASE };
    let tools = tools(&mut maker)?;
    let texts = texts(&mut maker, &tools)?;

    let number = &rollup.identifier;
    let inner = cabinet(&rollup, &contents)?;
    let mut files = vec![
        (format!("Windows11.0-{number}-x64.msu"), standalone_update(&rollup, &format!("Windows11.0-{number}-x64"), inner)?),
        (format!("SSU-{build}.{revision}-x64.cab"), cabinet(&stack, &contents)?),
    ];
    for package in [&tools, &texts] {
        let id = package.id();
        let name = format!("{}~{}~{}~{}~.cab", id.name, id.public_key_token, id.architecture, id.language);
        files.push((name, cabinet(package, &contents)?));
    }
    Ok(files.into_iter().map(|(path, bytes)| RecipeFile { path, bytes }).collect())
}

/// Components in a new version, each with a program.
fn replaced(maker: &mut PackageMaker<'_>, options: &UpdateOptions) -> Result<Vec<Assembly>, Error> {
    let system = data::SYSTEM_FILES.iter().map(|name| (*name, "Windows/System32"));
    let programs = system.chain(data::DRIVERS.iter().map(|name| (*name, "Windows/System32/drivers")));
    let of_windows = programs.map(|(name, directory)| {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        (format!("Microsoft-Windows-{stem}"), name.to_owned(), directory)
    });
    let filler =
        (0..).map(|number| (format!("Practice-Filler-{number:05}"), format!("practice.filler.{number:05}.dll"), "Windows/System32"));
    let mut files = Vec::new();
    for (component_name, name, directory) in of_windows.chain(filler).take(options.files) {
        let mut program = Program::of_name(&name, true);
        program.version = maker.version.0;
        let seed = seed_of(&name) ^ u64::from(maker.version.0[3]);
        let bytes = Generated { kind: Kind::Program(program), seed, size: PROGRAM_SIZE }.bytes()?;
        let file = maker.file(&name, Some(directory), bytes);
        let identity = component(&component_name, maker.architecture, "neutral", maker.version);
        files.push((identity, file));
    }
    let mut components = components_of(files.into_iter());
    if let Some(first) = components.first_mut() {
        options.elements.clone_into(&mut first.elements);
    }
    Ok(components.into_iter().map(Component::assemble).collect())
}

/// The capability's package: a service, a rule of the firewall, a directory with its own security, programs and a value.
fn tools(maker: &mut PackageMaker<'_>) -> Result<Package, Error> {
    let identity = package("Practice-Tools-Package", maker.architecture, "neutral", RELEASE);
    let folder = "Windows/System32/PracticeTools";
    let service = Component {
        directories: vec![
            PayloadDirectory {
                path: r"$(runtime.system32)\PracticeTools".to_owned(),
                sddl: "O:{TI}G:{TI}D:PAI(A;OICI;FA;;;{TI})(A;OICI;0x1200a9;;;SY)(A;OICI;0x1200a9;;;BA)(A;OICI;0x1200a9;;;BU)".to_owned(),
            },
            PayloadDirectory {
                path: r"$(runtime.programData)\PracticeTools".to_owned(),
                sddl: "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;AU)".to_owned(),
            },
        ],
        registry: vec![
            RegistryValue {
                key: r"Practice\Tools".to_owned(),
                name: "InstallPath".to_owned(),
                data: Data::ExpandableText(r"%SystemRoot%\System32\PracticeTools".to_owned()),
            },
            RegistryValue { key: r"Practice\Tools".to_owned(), name: "LogLevel".to_owned(), data: Data::Dword(2) },
        ],
        elements: SERVICE.to_owned(),
        ..Component::of_files(
            component("Practice-Tools-Agent", maker.architecture, "neutral", RELEASE),
            vec![
                maker.program("practiceagent.exe", folder)?,
                maker.program("practiceagent.dll", folder)?,
                maker.file("practiceagent.ini", Some(folder), b"[Agent]\r\nPort=5072\r\n".to_vec()),
            ],
        )
    };
    let command = Component::of_files(
        component("Practice-Tools-Command", maker.architecture, "neutral", RELEASE),
        vec![maker.program("practice.exe", "Windows/System32")?, maker.file("empty.dat", Some(folder), Vec::new())],
    );
    let components = vec![service.assemble(), command.assemble()];
    let deployment = Deployment { identity: deployment(CAPABILITY_FEATURE, &identity), components };
    let update = Update {
        name: CAPABILITY_FEATURE.to_owned(),
        feature: Some(true),
        applicable: None,
        carried: Carried::Deployment(deployment),
        state: State::Installed,
    };
    Ok(Package {
        identifier: "Practice-Tools".to_owned(),
        title: "Practice Tools".to_owned(),
        parents: vec![maker.parent("Microsoft-Windows-Client-Features-Package"), maker.parent("Microsoft-Windows-Server-Features-Package")],
        capability: Some(("Practice.Tools".to_owned(), None)),
        updates: vec![update],
        ..Package::new(identity, "OnDemand Pack")
    })
}

/// The English texts of the capability: installed where the neutral package's feature is on.
fn texts(maker: &mut PackageMaker<'_>, tools: &Package) -> Result<Package, Error> {
    let identity = package("Practice-Tools-Package", maker.architecture, "en-US", RELEASE);
    let texts = maker.program("practiceagent.dll.mui", "Windows/System32/PracticeTools/en-US")?;
    let component = component("Practice-Tools-Agent.Resources", maker.architecture, "en-US", RELEASE);
    let components = vec![Component::of_files(component, vec![texts]).assemble()];
    let deployment = Deployment { identity: deployment("Practice-Tools-LanguagePack", &identity), components };
    let update = Update {
        name: CAPABILITY_FEATURE.to_owned(),
        feature: None,
        applicable: Some(Applicable::ParentFeature(CAPABILITY_FEATURE.to_owned())),
        carried: Carried::Deployment(deployment),
        state: State::Installed,
    };
    Ok(Package {
        identifier: "Practice-Tools_en-US".to_owned(),
        title: "Practice Tools".to_owned(),
        parents: vec![Parent { identity: tools.identity.clone(), staged: true }],
        updates: vec![update],
        ..Package::new(identity, "Language Pack")
    })
}

/// The members of a package's cabinet, and their hashes.
struct Members {
    cabinet: CabinetWriter,
    hashes: String,
}

impl Members {
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.cabinet.add(name, bytes, BUILD_TIME, ARCHIVE)?;
        let digest: String = Sha1::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect();
        self.hashes.push_str(&format!("{name}={digest},{:x}\r\n", bytes.len()));
        Ok(())
    }

    fn add_package(&mut self, package: &Package, contents: &Contents) -> Result<(), Error> {
        let id = package.id();
        self.add(&format!("{id}.mum"), &package.manifest())?;
        self.add(&format!("{id}.cat"), &package.catalog())?;
        for deployment in package.deployments() {
            for assembly in std::iter::once(&deployment.assembly()).chain(&deployment.components) {
                let key_form = assembly.identity.keyform();
                self.add(&format!("{key_form}.manifest"), &assembly.manifest)?;
                for PayloadFile { name, blob, .. } in &assembly.payload {
                    self.add(&format!(r"{key_form}\{name}"), &contents.bytes(blob.as_ref())?)?;
                }
            }
        }
        package.packages().try_for_each(|inner| self.add_package(inner, contents))
    }
}

/// A package as a cabinet.
fn cabinet(package: &Package, contents: &Contents) -> Result<Vec<u8>, Error> {
    let mut members = Members { cabinet: CabinetWriter::new(WriterCompression::Mszip), hashes: "[sha1]\r\n".to_owned() };
    members.add("update.mum", &package.manifest())?;
    members.add("update.cat", &package.catalog())?;
    members.add_package(package, contents)?;
    let Members { mut cabinet, hashes } = members;
    let hashes: Vec<u8> =
        ['\u{FEFF}'].into_iter().chain(hashes.chars()).collect::<String>().encode_utf16().flat_map(u16::to_le_bytes).collect();
    cabinet.add(file_hashes::FILE_NAME, &hashes, BUILD_TIME, ARCHIVE)?;
    let mut bytes = Vec::new();
    cabinet.finish(&mut bytes)?;
    Ok(bytes)
}

/// An MSU of the classic kind around a package's cabinet.
fn standalone_update(package: &Package, name: &str, inner: Vec<u8>) -> Result<Vec<u8>, Error> {
    let id = package.id();
    let (architecture, token) = (&id.architecture, &id.public_key_token);
    let answers = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<unattend xmlns=\"urn:schemas-microsoft-com:unattend\">\r\n  <servicing>\r\n    <package action=\"install\">\r\n\
      <assemblyIdentity name=\"{}\" version=\"{}\" language=\"neutral\" processorArchitecture=\"{architecture}\" publicKeyToken=\"{token}\"/>\r\n\
      <source location=\"%configsetroot%\\{name}.CAB\" />\r\n    </package>\r\n  </servicing>\r\n</unattend>\r\n",
        id.name, id.version
    );
    let number = package.identifier.trim_start_matches("KB");
    let properties = format!(
        "ApplicabilityInfo=\"Windows 11.0 Client;\"\r\nApplies to=\"Windows 11.0\"\r\nBuild Date=\"2024/09/06\"\r\nCompany=\"Wimwright practice media\"\r\n\
File Version=\"1\"\r\nInstallation Type=\"FULL\"\r\nInstaller Engine=\"Component Based Servicing - WUSA.exe\"\r\nInstaller Version=\"6.0.0.0\"\r\n\
KB Article Number=\"{number}\"\r\nLanguage=\"ALL\"\r\nPackage Type=\"Security Update\"\r\nProcessor Architecture=\"{architecture}\"\r\nProduct Name=\"Windows 11.0\"\r\n"
    );
    let mut cabinet = CabinetWriter::new(WriterCompression::Mszip);
    cabinet.add(&format!("{name}.cab"), &inner, BUILD_TIME, ARCHIVE)?;
    cabinet.add(&format!("{name}.xml"), answers.as_bytes(), BUILD_TIME, ARCHIVE)?;
    cabinet.add(&format!("{name}-pkgProperties.txt"), properties.as_bytes(), BUILD_TIME, ARCHIVE)?;
    let mut bytes = Vec::new();
    cabinet.finish(&mut bytes)?;
    Ok(bytes)
}

const SERVICE: &str = "  <memberships>\r\n    <categoryMembership>\r\n\
      <id name=\"Microsoft.Windows.Categories.Services\" version=\"10.0.26100.1\" publicKeyToken=\"31bf3856ad364e35\" typeName=\"Service\" />\r\n\
      <categoryInstance subcategory=\"PracticeAgent\">\r\n\
        <serviceData name=\"PracticeAgent\" displayName=\"Practice Agent\" errorControl=\"normal\" start=\"demand\" type=\"win32OwnProcess\" description=\"Practises.\" imagePath=\"%SystemRoot%\\System32\\PracticeTools\\practiceagent.exe\" objectName=\"LocalSystem\" dependOnService=\"RpcSs\" requiredPrivileges=\"SeImpersonatePrivilege\" />\r\n\
      </categoryInstance>\r\n    </categoryMembership>\r\n  </memberships>\r\n\
  <firewallRule action=\"allow\" active=\"true\" binary=\"%SystemRoot%\\System32\\PracticeTools\\practiceagent.exe\" desc=\"Lets the practice agent be reached\" dir=\"in\" group=\"Practice Tools\" internalName=\"Practice-Agent-In-TCP\" lport=\"5072\" name=\"Practice Agent (TCP)\" protocol=\"TCP\" />\r\n";

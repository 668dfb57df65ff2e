//! Small stores and deliveries, and plans as text.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use wimwright_format::cab::{CabinetWriter, WriterCompression};
use wimwright_format::io::FileSource;
use wimwright_format::manifest::{Identity, Package, PackageId};
use wimwright_format::regf::{Data, Hive, NewHive};
use wimwright_format::security_descriptor::SecurityDescriptor;
use wimwright_format::wim::ImageInfo;
use wimwright_image::registry::HiveFile;
use wimwright_image::tree::{ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY, Inode};
use wimwright_image::{Blobs, Image, ImagePath, Tree};

use crate::cbs::dictionary::Dictionary;
use crate::cbs::plan::{Plan, PlanError, Request, plan};
use crate::cbs::source::{PackageSource, Trust, open};
use crate::cbs::state::State;
use crate::cbs::store::{PACKAGES_FOLDER, SERVICING, Store, WINNERS, payload_path};
use crate::step::Payload;

/// 2026-01-01.
const TIME: u64 = 1_767_225_600;

/// An identity element: `Name`, `Name@1.2.3.4`, `Name~de-DE@1.2.3.4`; 10.0.1.1 when no version is given.
pub fn identity(name: &str) -> String {
    let (name, version) = name.split_once('@').unwrap_or((name, "10.0.1.1"));
    let (name, language) = name.split_once('~').unwrap_or((name, "neutral"));
    format!(
        r#"<assemblyIdentity name="{name}" version="{version}" processorArchitecture="amd64" language="{language}" buildType="release" publicKeyToken="31bf3856ad364e35"/>"#
    )
}

/// The same as a package identity.
pub fn id(name: &str) -> String {
    let (name, version) = name.split_once('@').unwrap_or((name, "10.0.1.1"));
    let (name, language) = name.split_once('~').unwrap_or((name, ""));
    format!("{name}~31bf3856ad364e35~amd64~{language}~{version}")
}

/// A package manifest: `attributes` of its `package` element, and what is in it.
pub fn mum(name: &str, attributes: &str, body: &str) -> String {
    let identity = identity(name);
    format!(
        r#"<assembly xmlns="urn:schemas-microsoft-com:asm.v3" manifestVersion="1.0">{identity}<package {attributes}>{body}</package></assembly>"#
    )
}

/// A `parent` element with one identity.
pub fn parent(attributes: &str, name: &str) -> String {
    format!("<parent {attributes}>{}</parent>", identity(name))
}

/// An update that carries a package.
pub fn carries(name: &str, conditions: &str, package: &str) -> String {
    let identity = identity(package);
    format!(r#"<update name="{name}">{conditions}<package contained="false" integrate="hidden">{identity}</package></update>"#)
}

/// An update that carries a deployment.
pub fn deploys(name: &str, conditions: &str, deployment: &str) -> String {
    let identity = identity(deployment);
    format!(r#"<update name="{name}">{conditions}<component>{identity}</component></update>"#)
}

/// An update that is a feature and carries nothing.
pub fn selectable(default: bool) -> String {
    format!(r#"<selectable disposition="staged"><detectNone default="{default}"/></selectable>"#)
}

/// The condition that a feature of the same or of any package is on.
pub fn follows(name: &str) -> String {
    format!(r#"<applicable disposition="detect"><detectUpdate><update name="{name}"/></detectUpdate></applicable>"#)
}

/// The condition that a component is older.
pub fn lifts(elevate: &str, component: &str) -> String {
    let identity = identity(component);
    format!(r#"<applicable disposition="staged"><updateComponent elevate="{elevate}">{identity}</updateComponent></applicable>"#)
}

/// A component manifest; with dependencies, a deployment.
pub fn manifest(name: &str, dependencies: &[&str]) -> String {
    let mut text = format!(r#"<assembly xmlns="urn:schemas-microsoft-com:asm.v3" manifestVersion="1.0">{}"#, identity(name));
    if !dependencies.is_empty() {
        text += "<deployment/>";
    }
    for dependency in dependencies {
        let identity = identity(dependency);
        let _ = write!(
            text,
            r#"<dependency discoverable="no"><dependentAssembly dependencyType="install">{identity}</dependentAssembly></dependency>"#
        );
    }
    text + "</assembly>"
}

/// A component's identity.
pub fn component(name: &str) -> Identity {
    wimwright_format::manifest::Component::parse(manifest(name, &[]).as_bytes()).unwrap().identity
}

/// A delivery of packages, the root first, and component manifests.
pub fn delivery(packages: &[&str], manifests: &[&str]) -> PackageSource {
    delivery_with(packages, manifests, &[])
}

/// The same with files, by their names in the delivery.
pub fn delivery_with(packages: &[&str], manifests: &[&str], files: &[&str]) -> PackageSource {
    let mut cabinet = CabinetWriter::new(WriterCompression::Stored);
    for (number, package) in packages.iter().enumerate() {
        let name = if number == 0 { "update.mum".to_owned() } else { format!("{}.mum", Package::parse(package.as_bytes()).unwrap().id()) };
        cabinet.add(&name, package.as_bytes(), 0x01d0_0000_0000_0000, 0x20).unwrap();
    }
    for manifest in manifests {
        let identity = wimwright_format::manifest::Component::parse(manifest.as_bytes()).unwrap().identity;
        cabinet.add(&format!("{}.manifest", identity.keyform()), manifest.as_bytes(), 0x01d0_0000_0000_0000, 0x20).unwrap();
    }
    for file in files {
        cabinet.add(file, b"differential", 0x01d0_0000_0000_0000, 0x20).unwrap();
    }
    let mut bytes = Vec::new();
    cabinet.finish(&mut bytes).unwrap();
    opened(Payload { name: "test.cab".into(), sha256: [0; 32], source: Arc::new(bytes) }, Dictionary::default())
}

fn opened(payload: Payload, dictionary: Dictionary) -> PackageSource {
    let trust = Trust { allow_unsigned: true, ..Trust::microsoft(TIME) };
    let mut sources = open(&[payload], &dictionary, &trust).unwrap();
    assert_eq!(sources.len(), 1);
    sources.remove(0)
}

/// A real delivery; `None` without test data.
pub fn real(path: &str) -> Option<PackageSource> {
    let path = wimwright_testkit::test_data(&format!("msu_cab/{path}"))?;
    let dictionary = wimwright_testkit::test_data("manifests/msdelta/base_manifest.bin")?;
    let name = Path::new(&path).file_name().unwrap().to_string_lossy().into_owned();
    let source = FileSource::new(std::fs::File::open(path).unwrap()).unwrap();
    let payload = Payload { name, sha256: [0; 32], source: Arc::new(source) };
    Some(opened(payload, Dictionary::new(std::fs::read(dictionary).unwrap())))
}

/// An image in the making.
pub struct Windows {
    image: Image,
    software: Hive,
}

impl Windows {
    /// An image without packages; `architecture` is that of the Windows SDK (9 is x64, 0 is x86).
    pub fn new(architecture: &str) -> Self {
        let mut info = ImageInfo::named("Windows");
        info.set("WINDOWS/ARCH", architecture);
        let security = SecurityDescriptor::from_sddl("O:BAG:SYD:(A;CI;KA;;;SY)").unwrap().encode().unwrap();
        let hive = NewHive { minor: 5, file_name: "HIVE", root_name: "ROOT", security: &security, last_written: 1 };
        Self { image: Image::new(Tree::default(), info, Blobs::default()), software: Hive::new(&hive).unwrap() }
    }

    fn set(&mut self, key: &str, name: &str, data: &Data) {
        let key = self.software.create_path(key, 1).unwrap();
        let (kind, bytes) = data.encode();
        self.software.set_value(key, name, kind, &bytes, 1).unwrap();
    }

    fn put(&mut self, path: &str, contents: &[u8]) {
        let path = ImagePath::parse(path).unwrap();
        let directory = Inode { attributes: ATTRIBUTE_DIRECTORY, ..Inode::default() };
        let contents = self.image.blobs.add_bytes(contents.to_vec());
        self.image.tree.make_directories(&path.parent().unwrap(), &directory).unwrap();
        self.image.tree.put_file(&path, Inode { attributes: ATTRIBUTE_ARCHIVE, contents, ..Inode::default() }).unwrap();
    }

    /// A package with its state, that of its updates in the manifest's order, and its owners; itself when none is given.
    pub fn package(mut self, manifest: &str, state: State, updates: &[State], owners: &[&str]) -> Self {
        let parsed = Package::parse(manifest.as_bytes()).unwrap();
        let key = format!(r"{SERVICING}\Packages\{}", parsed.id());
        self.put(&format!("{PACKAGES_FOLDER}/{}.mum", parsed.id()), manifest.as_bytes());
        self.set(&key, "CurrentState", &Data::Dword(state.0));
        self.set(&key, "Visibility", &Data::Dword(if owners.is_empty() { 1 } else { 2 }));
        assert_eq!(parsed.updates.len(), updates.len(), "{}", parsed.id());
        for (update, state) in parsed.updates.iter().zip(updates) {
            self.set(&format!(r"{key}\Updates"), &update.name, &Data::Dword(state.0));
        }
        let itself = parsed.id().to_string();
        let owners: Vec<String> = if owners.is_empty() {
            vec![itself]
        } else {
            owners.iter().map(|owner| if owner.contains("~31bf") { (*owner).to_owned() } else { id(owner) }).collect()
        };
        for owner in owners {
            self.set(&format!(r"{key}\Owners"), &owner, &Data::Dword(0x20070));
        }
        self
    }

    /// Loses the manifest of a package.
    pub fn loses(mut self, name: &str) -> Self {
        let path = ImagePath::parse(&format!("{PACKAGES_FOLDER}/{}.mum", id(name))).unwrap();
        self.image.tree.remove(&path).unwrap();
        self
    }

    /// An installed package without updates.
    pub fn has(self, name: &str) -> Self {
        self.package(&mum(name, "", ""), State::INSTALLED, &[], &[])
    }

    /// An installed package without updates, by its whole identity.
    pub fn has_id(self, text: &str) -> Self {
        let PackageId { name, architecture, language, version, .. } = text.parse().unwrap();
        let language = if language.is_empty() { "neutral".to_owned() } else { language };
        let identity = format!(
            r#"<assemblyIdentity name="{name}" version="{version}" processorArchitecture="{architecture}" language="{language}" publicKeyToken="31bf3856ad364e35"/>"#
        );
        let manifest = format!(r#"<assembly xmlns="urn:schemas-microsoft-com:asm.v3">{identity}<package/></assembly>"#);
        self.package(&manifest, State::INSTALLED, &[], &[])
    }

    /// The manifest of a component in the store, without effect.
    pub fn stored(mut self, manifest: &str) -> Self {
        let component = wimwright_format::manifest::Component::parse(manifest.as_bytes()).unwrap();
        self.put(&crate::cbs::store::manifest_path(&component.identity.keyform()), manifest.as_bytes());
        self
    }

    /// A file of a component in the store.
    pub fn payload(mut self, name: &str, file: &str) -> Self {
        self.put(&payload_path(&component(name).keyform(), file), b"contents");
        self
    }

    /// An installed component.
    pub fn winner(mut self, identity: &Identity) -> Self {
        let key = format!(r"{WINNERS}\{}\{}", identity.family_key(), identity.version.bucket());
        self.set(&key, "", &Data::Text(identity.version.to_string()));
        self.set(&key, &identity.version.to_string(), &Data::Binary(vec![1]));
        self
    }

    pub fn store(mut self) -> Store {
        let bytes = std::mem::replace(&mut self.software, Windows::new("9").software).into_bytes();
        self.put(HiveFile::Software.path(), &bytes);
        Store::read(&mut self.image, Some(Dictionary::default())).unwrap()
    }
}

/// A plan as text: a line for each package, one below for each update.
pub fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let name = |id: &PackageId| {
            let language = if id.language.is_empty() { String::new() } else { format!("~{}", id.language) };
            format!("{}{language}@{}", id.name, id.version)
        };
        let owners: Vec<String> =
            change.owners.iter().map(|owner| if *owner == change.package { "itself".to_owned() } else { name(owner) }).collect();
        let source = change.source.map_or(String::new(), |source| format!(" from {source}"));
        let visible = if change.visible { "" } else { " hidden" };
        let _ = writeln!(
            text,
            "{}: {} > {}{source}{visible}, of {}",
            name(&change.package),
            change.before,
            change.after,
            if owners.is_empty() { "nobody".to_owned() } else { owners.join(" and ") }
        );
        for update in &change.updates {
            let _ = writeln!(text, "  {}: {} > {}", change.manifest.updates[update.update].name, update.before, update.after);
        }
    }
    text
}

/// Plans, and shows the plan as text.
pub fn planned(store: &Store, sources: &[PackageSource], request: &Request) -> String {
    match plan(store, sources, request) {
        Ok(plan) => text(&plan),
        Err(error) => panic!("{error}"),
    }
}

/// Plans what cannot be planned.
pub fn refused(store: &Store, sources: &[PackageSource], request: &Request) -> PlanError {
    match plan(store, sources, request) {
        Ok(plan) => panic!("planned:\n{}", text(&plan)),
        Err(error) => error,
    }
}

/// A request for deliveries.
pub fn install(updates: &[usize]) -> Request {
    Request { updates: updates.to_vec(), ..Request::default() }
}

/// Compares texts whose lines are indented by the source code.
#[track_caller]
pub fn same(found: &str, expected: &str) {
    let plain = |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    assert_eq!(plain(found), plain(expected), "\n{found}");
}

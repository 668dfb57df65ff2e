//! What provisioning leaves in an image that is not running: where files go, which registry keys there are.
//!
//! None of this is documented by Microsoft. What is known, from whom, and how surely: `docs/formats/appx.md`. In short, removal
//! was measured by others on images before and after DISM; the keys that an added app gets were read from Microsoft's own
//! images; nobody has published a comparison of an image before and after an offline addition.
//!
//! An image that has been started also has `ProgramData\Microsoft\Windows\AppRepository\StateRepository-Machine.srd`, a
//! database of Windows with triggers of its own. Nothing here is right for such an image.

use super::{AppxError, CONTENT_TYPES, Identity, Member, PackageFullName, Result, part_error};
use crate::xml;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The folder of package folders.
pub const WINDOWS_APPS: &str = r"Program Files\WindowsApps";
/// The key of provisioning, below the root of the SOFTWARE hive.
pub const ALL_USER_STORE: &str = r"Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore";
/// Where the list of provisioned packages lies: Windows 11 and 8.1, Windows 10.
pub const PROVISION_LISTS: [&str; 2] = [r"ProgramData\Microsoft\Windows\AppxProvisioning.xml", r"Windows\System32\AppxProvisioning.xml"];

/// Where the licence of an app lies; `ClipSVC` takes it in when Windows starts.
#[must_use]
pub fn license_path(family_name: &str) -> String {
    format!(r"ProgramData\Microsoft\Windows\ClipSVC\Install\Apps\{}.xml", family_name.to_lowercase())
}

/// True for the parts of a package that Windows puts into the package's folder: all but the media types. Of a bundle, only the
/// parts that are not packages are put into the bundle's folder.
#[must_use]
pub fn is_installed(member: &Member) -> bool {
    !member.path.eq_ignore_ascii_case(CONTENT_TYPES)
}

/// A registry key with its `REG_SZ` values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryKey {
    /// Below the root of the SOFTWARE hive.
    pub path: String,
    /// Name and text of each value.
    pub values: Vec<(String, String)>,
}

/// What an image gets when an app is provisioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    /// The folder of each package, in the order bundle or main package, its parts, frameworks.
    pub folders: Vec<String>,
    /// Keys to create, sorted by path.
    pub keys: Vec<RegistryKey>,
    /// Keys to delete: the mark of an earlier removal.
    pub deleted_keys: Vec<String>,
    /// Where the licence goes, if there is one.
    pub license: String,
}

/// What an image gets when an app is provisioned: `main` is the bundle, or the package if it came alone; `parts` are the
/// packages taken from the bundle; `frameworks` those that the app depends on.
///
/// Read from Microsoft's images, not compared with what DISM writes: see the module's documentation.
#[must_use]
pub fn addition(main: &Identity, parts: &[Identity], frameworks: &[Identity]) -> Addition {
    let main_name = main.full_name();
    let staged = std::iter::once(main).chain(parts).chain(frameworks).map(Identity::full_name);
    let entry = |path: String, package: &PackageFullName| RegistryKey { path, values: vec![("Path".to_owned(), manifest_path(package))] };
    let mut keys: BTreeSet<RegistryKey> = BTreeSet::new();
    let mut folders = Vec::new();
    for package in staged {
        keys.insert(entry(format!(r"{ALL_USER_STORE}\Staged\{}\{package}", package.family_name()), &package));
        folders.push(format!(r"{WINDOWS_APPS}\{package}"));
    }
    let application = format!(r"{ALL_USER_STORE}\Applications\{main_name}");
    for framework in frameworks.iter().map(Identity::full_name) {
        keys.insert(entry(format!(r"{application}\{framework}"), &framework));
    }
    keys.insert(entry(application, &main_name));
    let family_name = main_name.family_name();
    Addition {
        folders,
        keys: keys.into_iter().collect(),
        deleted_keys: vec![format!(r"{ALL_USER_STORE}\Deprovisioned\{family_name}")],
        license: license_path(&family_name),
    }
}

/// The text of a `Path` value: the manifest in the package's folder, with the drive left open.
fn manifest_path(package: &PackageFullName) -> String {
    let manifest = if package.is_bundle() { super::BUNDLE_MANIFEST } else { super::MANIFEST };
    format!(r"%SYSTEMDRIVE%\{WINDOWS_APPS}\{package}\{manifest}")
}

/// What an image loses when an app is deprovisioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Folders to delete with all they hold.
    pub folders: Vec<String>,
    /// Files to delete, if they are there.
    pub files: Vec<String>,
    /// Keys to delete with all below them, if they are there.
    pub deleted_keys: Vec<String>,
    /// Keys to create, without values: they keep Windows from provisioning the app again when it is upgraded.
    pub created_keys: Vec<String>,
}

/// What an image loses when the app of a family is deprovisioned. `staged` are the full names of the family's packages: the
/// subkeys of `Staged\<family>`, or where an image has no such key the folders of the family in `WindowsApps`. Names of other
/// families are passed over, so that no other app is touched.
///
/// Frameworks stay: DISM removes those that nothing refers to any more, which is for the caller to decide.
#[must_use]
pub fn removal(family_name: &str, staged: &[PackageFullName]) -> Removal {
    let own: BTreeSet<&PackageFullName> = staged.iter().filter(|package| package.family_name().eq_ignore_ascii_case(family_name)).collect();
    let applications = own.iter().map(|package| format!(r"{ALL_USER_STORE}\Applications\{package}"));
    Removal {
        folders: own.iter().map(|package| format!(r"{WINDOWS_APPS}\{package}")).collect(),
        files: vec![license_path(family_name)],
        deleted_keys: applications.chain([format!(r"{ALL_USER_STORE}\Staged\{family_name}")]).collect(),
        created_keys: vec![format!(r"{ALL_USER_STORE}\Deprovisioned\{family_name}")],
    }
}

const LIST_NAMESPACE: &str = "http://schemas.microsoft.com/appx/2013/appxprovisionpackage";
const LIST: &str = "AppxProvisioning.xml";

/// `AppxProvisioning.xml`: the packages that Microsoft provisioned when it made the image, and families that must not come back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProvisionList {
    /// Family names that setup removes when Windows is upgraded.
    pub end_of_life: Vec<String>,
    /// The packages: bundles, apps, resources, frameworks.
    pub provisioned: Vec<ProvisionedPackage>,
}

/// A package of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionedPackage {
    /// Its full name.
    pub full_name: String,
    /// The other attributes, in their order: `PackageType` (`bundle`, `resource`), `ProvisionSourceIsBundle`, `IsLOBApp`.
    pub attributes: Vec<(String, String)>,
}

impl ProvisionList {
    /// Reads the list.
    ///
    /// # Errors
    /// When it is no XML, or another document.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let xml_error = |source| AppxError::Xml { part: LIST, source };
        let text = xml::decode(bytes).map_err(xml_error)?;
        let document = xml::parse(&text).map_err(xml_error)?;
        let root = document.root_element();
        if !root.has_tag_name((LIST_NAMESPACE, "AppxProvisionList")) {
            return part_error(LIST, format!("the root is not `AppxProvisionList` in the namespace {LIST_NAMESPACE}"));
        }
        let mut list = Self::default();
        for section in root.children().filter(roxmltree::Node::is_element) {
            let end_of_life = match section.tag_name().name() {
                "EndOfLife" => true,
                "Provisioned" => false,
                other => return part_error(LIST, format!("`{other}` is not known here, and would be lost")),
            };
            for package in section.children().filter(|node| node.has_tag_name((LIST_NAMESPACE, "Package"))) {
                let key = if end_of_life { "FamilyName" } else { "FullName" };
                let Some(name) = package.attribute(key) else { return part_error(LIST, format!("a `Package` has no {key}")) };
                if end_of_life {
                    list.end_of_life.push(name.to_owned());
                    continue;
                }
                let others = package.attributes().filter(|attribute| attribute.name() != key);
                let attributes = others.map(|attribute| (attribute.name().to_owned(), attribute.value().to_owned())).collect();
                list.provisioned.push(ProvisionedPackage { full_name: name.to_owned(), attributes });
            }
        }
        Ok(list)
    }

    /// Writes the list as UTF-8 XML, one package to a line.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut text =
            format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<AppxProvisionList xmlns=\"{LIST_NAMESPACE}\">\r\n  <EndOfLife>\r\n");
        // Writing to a String cannot fail.
        for family in &self.end_of_life {
            let _ = write!(text, "    <Package FamilyName=\"{}\"/>\r\n", quick_xml::escape::escape(family));
        }
        text.push_str("  </EndOfLife>\r\n  <Provisioned>\r\n");
        for package in &self.provisioned {
            let _ = write!(text, "    <Package FullName=\"{}\"", quick_xml::escape::escape(&package.full_name));
            for (name, value) in &package.attributes {
                let _ = write!(text, " {name}=\"{}\"", quick_xml::escape::escape(value));
            }
            text.push_str("/>\r\n");
        }
        text.push_str("  </Provisioned>\r\n</AppxProvisionList>\r\n");
        text
    }

    /// Takes every package of a family out of the list. True when there was one.
    pub fn remove_family(&mut self, family_name: &str) -> bool {
        let before = self.provisioned.len();
        let of_family = |package: &ProvisionedPackage| {
            package.full_name.parse::<PackageFullName>().is_ok_and(|name| name.family_name().eq_ignore_ascii_case(family_name))
        };
        self.provisioned.retain(|package| !of_family(package));
        self.provisioned.len() < before
    }
}

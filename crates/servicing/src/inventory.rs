//! What is in an image: read from its XML data, its hives and its files, changing nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wimwright_format::regf::{self, Hive};
use wimwright_format::wim::ImageInfo;
use wimwright_image::registry::{self, HiveFile};
use wimwright_image::{Image, ImageError};

use crate::cbs::listing::{ListedCapability, ListedFeature, ListedPackage, Listing};
use crate::cbs::store::SERVICING;
use crate::provenance::Provenance;

const CURRENT_VERSION: &str = r"Microsoft\Windows NT\CurrentVersion";
const UNINSTALL: [&str; 2] = [r"Microsoft\Windows\CurrentVersion\Uninstall", r"WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall"];
const APPLICATIONS: &str = r"Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore\Applications";

/// What is in an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inventory {
    /// Number of the image, from 1.
    pub index: u32,
    /// Name in the XML data.
    pub name: String,
    /// Description in the XML data.
    pub description: String,
    /// `EditionID`: `Professional`, `Enterprise`, …
    pub edition: String,
    /// `x64`, `x86`, `arm64`, `arm`, `ia64`; empty when unknown.
    pub architecture: String,
    /// `Client`, `Server`, `Server Core`, `WindowsPE`.
    pub installation_type: String,
    /// Product name in the registry.
    pub product_name: String,
    /// `10.0.26100.1742`: major, minor, build, UBR.
    pub version: String,
    /// Build number.
    pub build: u32,
    /// Update build revision: what cumulative updates raise.
    pub ubr: u32,
    /// `24H2`, `22H2`, `1809`; empty when Windows has none.
    pub release: String,
    /// Branch and build as Microsoft's build lab names them.
    pub build_lab: String,
    /// Languages, as in the XML data.
    pub languages: Vec<String>,
    /// The one that Windows starts with.
    pub default_language: String,
    /// As OSDBuilder names a medium: `Windows 10 Enterprise x64 1909 18363.592`.
    pub media_name: String,
    /// As OSDBuilder groups media: `Client Enterprise x64 18363 en-US`. Of one family, the newest supersedes the others.
    pub family: String,
    /// When the image was last changed, FILETIME.
    pub modified: u64,
    /// Directories.
    pub directories: u64,
    /// Files (names; hard links count each).
    pub files: u64,
    /// Bytes of all files' contents (names; hard links count each).
    pub total_bytes: u64,
    /// Windows packages.
    pub packages: Vec<Package>,
    /// Optional features.
    pub features: Vec<Feature>,
    /// Capabilities (features on demand) whose packages the image knows, in the state of those packages.
    pub capabilities: Vec<Feature>,
    /// Provisioned Appx packages, by full name.
    pub provisioned_apps: Vec<String>,
    /// Third-party drivers.
    pub drivers: Vec<Driver>,
    /// Installed desktop applications.
    pub applications: Vec<Application>,
    /// Servicing operations that Windows would have to finish; empty for an image that can be serviced.
    pub pending: Vec<String>,
    /// Whether it was captured, with the evidence.
    pub provenance: Provenance,
}

/// A Windows package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Package {
    /// `Name~PublicKeyToken~Architecture~Language~Version`.
    pub identity: String,
    /// In DISM's words: `Installed`, `Staged`, `Superseded`, …
    pub state: String,
}

/// An optional feature or a capability.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// In DISM's words: `Enabled`, `Disabled`, `Disabled with Payload Removed`, `Installed`, …
    pub state: String,
}

/// A third-party driver package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Driver {
    /// `oem0.inf`.
    pub published_name: String,
    /// The name that its maker gave it.
    pub original_name: String,
    /// Its maker.
    pub provider: String,
}

/// An installed desktop application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Application {
    /// Display name.
    pub name: String,
    /// Display version.
    pub version: String,
    /// Publisher.
    pub publisher: String,
}

/// The architecture as Microsoft's answer files and packages name it; `None` when the image does not say.
#[must_use]
pub fn architecture_name(info: &ImageInfo) -> Option<&'static str> {
    // PROCESSOR_ARCHITECTURE_… of the Windows SDK.
    Some(match info.number("WINDOWS/ARCH")? {
        0 => "x86",
        5 => "arm",
        6 => "ia64",
        9 => "amd64",
        12 => "arm64",
        _ => return None,
    })
}

/// What Windows would have to finish at its next start. An image with any of it must not be serviced: what is done now would be
/// mixed with what is done then.
///
/// # Errors
/// The SOFTWARE hive cannot be read.
pub fn pending_operations(image: &mut Image) -> Result<Vec<String>, ImageError> {
    let mut pending = Vec::new();
    if image.tree.at("/Windows/WinSxS/pending.xml").is_some() {
        pending.push("`/Windows/WinSxS/pending.xml` is there".to_owned());
    }
    if let Some(hive) = image.hive(HiveFile::Software)? {
        for (key, what) in [("PackagesPending", "package"), ("SessionsPending", "session")] {
            let names = registry::subkey_names(&hive, &format!("{SERVICING}\\{key}"));
            let names = names.map_err(|source| ImageError::Hive { path: HiveFile::Software.path().to_owned(), source })?;
            pending.extend(names.into_iter().map(|name| format!("{what} {name} is pending")));
        }
    }
    Ok(pending)
}

impl Inventory {
    /// Reads everything about image number `index`.
    ///
    /// # Errors
    /// A hive or file of the image cannot be read. A hive that is not there is no error: a practice or data image has none.
    pub fn read(image: &mut Image, index: u32) -> Result<Self, ImageError> {
        let provenance = Provenance::weigh(image)?;
        let software = image.hive(HiveFile::Software)?;
        let system = image.hive(HiveFile::System)?;
        let drivers = image.hive(HiveFile::Drivers)?;
        let info = image.info.clone();
        let of_info = |path: &str| info.get(path).unwrap_or_default();
        let number_of_info = |path: &str| info.number(path).unwrap_or_default();
        let damaged = |file: HiveFile| move |source| ImageError::Hive { path: file.path().to_owned(), source };

        let mut found = Found::default();
        if let Some(hive) = &software {
            found.software(hive).map_err(damaged(HiveFile::Software))?;
        }
        for (hive, file) in [(&system, HiveFile::System), (&drivers, HiveFile::Drivers)] {
            if let Some(hive) = hive {
                found.drivers(hive).map_err(damaged(file))?;
            }
        }

        let text = |path: &str, registry: String| if registry.is_empty() { of_info(path) } else { registry };
        let number = |path: &str, registry: Option<u32>| registry.unwrap_or_else(|| number_of_info(path) as u32);
        let build = number("WINDOWS/VERSION/BUILD", found.build);
        let ubr = number("WINDOWS/VERSION/SPBUILD", found.ubr);
        let major = number("WINDOWS/VERSION/MAJOR", found.major);
        let minor = number("WINDOWS/VERSION/MINOR", found.minor);
        let languages = info.windows().map(|windows| windows.languages).unwrap_or_default();
        let architecture = match architecture_name(&info) {
            Some("amd64") => "x64",
            Some(other) => other,
            None => "",
        };
        let edition = text("WINDOWS/EDITIONID", found.edition);
        let installation_type = text("WINDOWS/INSTALLATIONTYPE", found.installation_type);
        let name = of_info("NAME");
        let has_windows = build > 0;
        Ok(Self {
            index,
            description: of_info("DESCRIPTION"),
            media_name: if has_windows {
                media_name(&name, architecture, major, &found.release, build, ubr, &languages)
            } else {
                name.clone()
            },
            family: if has_windows {
                format!("{installation_type} {edition} {architecture} {build} {}", languages.join(" "))
            } else {
                String::new()
            },
            name,
            edition,
            architecture: architecture.to_owned(),
            installation_type,
            product_name: found.product_name,
            version: if has_windows { format!("{major}.{minor}.{build}.{ubr}") } else { String::new() },
            build,
            ubr,
            release: found.release,
            build_lab: found.build_lab,
            default_language: of_info("WINDOWS/LANGUAGES/DEFAULT"),
            languages,
            modified: info.time("LASTMODIFICATIONTIME").unwrap_or_default(),
            directories: number_of_info("DIRCOUNT"),
            files: number_of_info("FILECOUNT"),
            total_bytes: number_of_info("TOTALBYTES"),
            packages: found.packages,
            features: found.features,
            capabilities: found.capabilities,
            provisioned_apps: found.provisioned_apps,
            drivers: found.third_party_drivers,
            applications: found.applications,
            pending: pending_operations(image)?,
            provenance,
        })
    }
}

/// OSDBuilder's name for a medium (`Public/Update-OSMedia.ps1`, lines 1113-1175): image name without parentheses,
/// architecture, release, build and UBR, languages unless it is English alone.
fn media_name(name: &str, architecture: &str, major: u32, release: &str, build: u32, ubr: u32, languages: &[String]) -> String {
    let mut words = vec![name.replace(['(', ')'], ""), architecture.to_owned()];
    if major == 10 && !release.is_empty() {
        words.push(release.to_owned());
    }
    words.push(format!("{build}.{ubr}"));
    if languages.iter().any(|language| !language.eq_ignore_ascii_case("en-US")) {
        words.extend(languages.iter().cloned());
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// What the hives and files say, before it is put together.
#[derive(Default)]
struct Found {
    product_name: String,
    edition: String,
    installation_type: String,
    release: String,
    build_lab: String,
    build: Option<u32>,
    ubr: Option<u32>,
    major: Option<u32>,
    minor: Option<u32>,
    packages: Vec<Package>,
    features: Vec<Feature>,
    capabilities: Vec<Feature>,
    provisioned_apps: Vec<String>,
    third_party_drivers: Vec<Driver>,
    applications: Vec<Application>,
}

impl Found {
    fn software(&mut self, hive: &Hive) -> Result<(), regf::Error> {
        let text = |name: &str| registry::text(hive, CURRENT_VERSION, name).map(Option::unwrap_or_default);
        let number = |name: &str| registry::number(hive, CURRENT_VERSION, name);
        self.product_name = text("ProductName")?;
        self.edition = text("EditionID")?;
        self.installation_type = text("InstallationType")?;
        // ReleaseId stands still at 2009 since 20H2; DisplayVersion goes on.
        self.release = Some(text("DisplayVersion")?).filter(|release| !release.is_empty()).map_or_else(|| text("ReleaseId"), Ok)?;
        self.build_lab = text("BuildLabEx")?;
        self.build = text("CurrentBuild")?.parse().ok();
        self.ubr = number("UBR")?;
        self.major = number("CurrentMajorVersionNumber")?;
        self.minor = number("CurrentMinorVersionNumber")?;
        self.provisioned_apps = registry::subkey_names(hive, APPLICATIONS)?;
        self.provisioned_apps.sort();
        self.servicing(hive)?;
        self.installed_applications(hive)
    }

    fn servicing(&mut self, hive: &Hive) -> Result<(), regf::Error> {
        let listing = Listing::of_registry(hive)?;
        let package = |listed: &ListedPackage| Package { identity: listed.id.to_string(), state: listed.state.package_word().to_owned() };
        self.packages = listing.packages.iter().map(package).collect();
        let feature = |listed: ListedFeature| Feature { name: listed.name, state: listed.state.feature_words().to_owned() };
        self.features = listing.features.into_iter().map(feature).collect();
        let capability = |listed: ListedCapability| Feature { name: listed.name, state: listed.state.package_word().to_owned() };
        self.capabilities = listing.capabilities.into_iter().map(capability).collect();
        Ok(())
    }

    fn installed_applications(&mut self, hive: &Hive) -> Result<(), regf::Error> {
        for root in UNINSTALL {
            for name in registry::subkey_names(hive, root)? {
                let key = format!("{root}\\{name}");
                let text = |value: &str| registry::text(hive, &key, value).map(Option::unwrap_or_default);
                let hidden = registry::number(hive, &key, "SystemComponent")? == Some(1);
                let display = text("DisplayName")?;
                if !display.is_empty() && !hidden {
                    self.applications.push(Application { name: display, version: text("DisplayVersion")?, publisher: text("Publisher")? });
                }
            }
        }
        self.applications.sort();
        self.applications.dedup();
        Ok(())
    }

    fn drivers(&mut self, hive: &Hive) -> Result<(), regf::Error> {
        let packages = r"DriverDatabase\DriverPackages";
        for package in registry::subkey_names(hive, packages)? {
            let key = format!("{packages}\\{package}");
            let text = |value: &str| registry::text(hive, &key, value).map(Option::unwrap_or_default);
            let published = text("")?;
            let number = published.strip_prefix("oem").and_then(|rest| rest.strip_suffix(".inf"));
            if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
                let original_name = text("InfName")?;
                self.third_party_drivers.push(Driver { published_name: published, original_name, provider: text("Provider")? });
            }
        }
        self.third_party_drivers.sort();
        self.third_party_drivers.dedup();
        Ok(())
    }
}

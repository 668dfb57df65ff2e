//! The steps `apps.remove` and `apps.add`: provisioned Appx and MSIX apps, which Windows installs for every new user.
//!
//! What provisioning leaves in an image, from whom that is known and how surely, stands in `docs/formats/appx.md`.

use serde::Serialize;
use wimwright_format::appx::{self, AppFile, Archive, Identity, License, Manifest, Package, PackageFullName, provisioning};
use wimwright_format::regf::{self, Data, Hive};
use wimwright_image::registry::{self, HiveFile};
use wimwright_image::{Image, ImageError, ImagePath};

use crate::files::NewFile;
use crate::inventory::architecture_name;
use crate::pattern;
use crate::step::{Certainty, Context, Payload, Step, StepError, StepKind, StepReport};

/// The database that Windows makes at its first start; from then on it holds what is provisioned.
const STATE_REPOSITORY: &str = "/ProgramData/Microsoft/Windows/AppRepository/StateRepository-Machine.srd";
/// Largest licence that is read.
const MAX_LICENSE: u64 = 1 << 20;
/// The scale that Microsoft's own images carry; Windows fetches others when a screen needs them.
const SCALES: [u16; 1] = [100];

/// The step `apps.remove`, as DISM's `/Remove-ProvisionedAppxPackage`.
#[derive(Debug, Clone, Serialize)]
pub struct RemoveApps {
    /// Names, family names or full names, with wildcards.
    pub patterns: Vec<String>,
    /// Whether it is no error when a pattern matches nothing.
    pub ignore_missing: bool,
}

/// The step `apps.add`, as DISM's `/Add-ProvisionedAppxPackage`.
#[derive(Debug, Clone, Serialize)]
pub struct AddApps {
    apps: Vec<App>,
}

/// An app to be provisioned.
#[derive(Debug, Clone, Serialize)]
pub struct App {
    /// Package or bundle.
    pub package: Payload,
    /// Frameworks that it needs and the image may not have.
    pub dependencies: Vec<Payload>,
    /// Its licence; apps that are not from the Store have none.
    pub license: Option<Payload>,
}

fn check_never_started(image: &Image) -> Result<(), StepError> {
    if image.tree.at(STATE_REPOSITORY).is_none() {
        return Ok(());
    }
    Err(StepError::refused(
        format!("this Windows has been started: what is provisioned stands in `{STATE_REPOSITORY}`, which only Windows may change"),
        "change the apps in an image that was never started, and capture again from that",
    ))
}

fn software<T>(image: &mut Image, edit: impl FnOnce(&mut Hive) -> Result<T, regf::Error>) -> Result<T, ImageError> {
    image.edit_hive(HiveFile::Software, |hive| {
        edit(hive).map_err(|source| ImageError::hive_edit(HiveFile::Software, provisioning::ALL_USER_STORE, source))
    })
}

fn delete_key(hive: &mut Hive, path: &str, time: u64) -> Result<(), regf::Error> {
    match hive.open(path)? {
        Some(key) => hive.delete_key(key, time),
        None => Ok(()),
    }
}

/// The full names below a key of the provisioning store; names that are none are not ours to touch.
fn full_names(hive: &Hive, key: &str) -> Result<Vec<PackageFullName>, regf::Error> {
    let names = registry::subkey_names(hive, &format!(r"{}\{key}", provisioning::ALL_USER_STORE))?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

fn damaged(source: regf::Error) -> StepError {
    StepError::Image(ImageError::Hive { path: HiveFile::Software.path().to_owned(), source })
}

impl Step for RemoveApps {
    fn kind(&self) -> StepKind {
        StepKind { name: "apps.remove", revision: 1 }
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    fn writes_time(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        self.patterns.iter().map(|pattern| format!("remove the provisioned app {pattern}")).collect()
    }

    fn apply(&self, mut image: Image, context: &Context) -> Result<(Image, StepReport), StepError> {
        check_never_started(&image)?;
        let Some(hive) = image.hive(HiveFile::Software)? else {
            return Err(ImageError::NoFile { what: "registry hive", path: HiveFile::Software.path().to_owned() }.into());
        };
        let provisioned = full_names(&hive, "Applications").map_err(damaged)?;
        let mut families = Vec::new();
        let mut details = Vec::new();
        for wanted in &self.patterns {
            let is_meant = |app: &&PackageFullName| {
                [app.name.clone(), app.family_name(), app.to_string()].iter().any(|name| pattern::matches(wanted, name))
            };
            let found: Vec<_> = provisioned.iter().filter(is_meant).collect();
            if found.is_empty() && !self.ignore_missing {
                let names: Vec<_> = provisioned.iter().map(|app| app.name.as_str()).collect();
                return Err(StepError::refused(
                    format!("no provisioned app is called `{wanted}`"),
                    format!("the image has: {}; with `missing: ignore` it is no error", names.join(", ")),
                ));
            }
            if found.is_empty() {
                details.push(format!("{wanted} was not provisioned"));
            }
            families.extend(found.into_iter().map(PackageFullName::family_name));
        }
        families.sort();
        families.dedup();
        for family in families {
            let mut staged = full_names(&hive, &format!(r"Staged\{family}")).map_err(damaged)?;
            staged.extend(provisioned.iter().filter(|app| app.family_name() == family).cloned());
            let removal = provisioning::removal(&family, &staged);
            for path in removal.folders.iter().chain(&removal.files) {
                let path = ImagePath::parse(path).map_err(|error| StepError::refused(error.to_string(), ""))?;
                if image.tree.get(&path).is_some() {
                    image.tree.remove(&path)?;
                    details.push(format!("deleted {path}"));
                }
            }
            software(&mut image, |hive| {
                removal.deleted_keys.iter().try_for_each(|key| delete_key(hive, key, context.time))?;
                removal.created_keys.iter().try_for_each(|key| hive.create_path(key, context.time).map(drop))
            })?;
            details.push(format!("{family} is not provisioned any more and will not come back with an upgrade"));
        }
        image.commit(context.time)?;
        Ok((image, StepReport::exact(details)))
    }
}

/// An app whose files were opened and checked.
struct Opened {
    main: Identity,
    /// The folder that each package is unpacked to, with the package's parts.
    unpacked: Vec<(Identity, Archive)>,
    frameworks: Vec<Identity>,
    license: Option<(License, Vec<u8>)>,
}

impl AddApps {
    /// Opens every package and checks all of its parts against its block map.
    ///
    /// # Errors
    /// A file is no app package, is damaged, or is an installer.
    pub fn new(apps: Vec<App>) -> Result<Self, StepError> {
        for app in &apps {
            for payload in std::iter::once(&app.package).chain(&app.dependencies) {
                let damaged =
                    |error: appx::AppxError| StepError::refused(format!("`{}` is not a sound app package: {error}", payload.name), "");
                match open(payload)? {
                    AppFile::Package(package) => package.verify().map_err(damaged)?,
                    AppFile::Bundle(bundle) => bundle.verify().map_err(damaged)?,
                }
            }
        }
        Ok(Self { apps })
    }
}

fn open(payload: &Payload) -> Result<AppFile, StepError> {
    let mut magic = [0; 8];
    let known = payload.source.size() >= 8 && payload.source.read_exact_at(&mut magic, 0).is_ok();
    // PE programs, and the compound files that MSI databases are.
    let installer = known && (magic.starts_with(b"MZ") || magic == [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]);
    if installer {
        return Err(StepError::refused(
            format!(
                "`{}` is a program installer (EXE or MSI): it only runs in a started Windows, and an image that was never started, the only kind that can upgrade a Windows, cannot take it",
                payload.name
            ),
            "install it when Windows is deployed (task sequence, Intune, winget, SetupComplete.cmd), or build a reference image that holds it",
        ));
    }
    AppFile::open(payload.source.clone())
        .map_err(|error| StepError::refused(format!("`{}` is not an app package: {error}", payload.name), ""))
}

/// The application package that a file brings for this machine, with what belongs to it.
fn opened(app: &App, machine: appx::Architecture, languages: &[&str]) -> Result<(Opened, Manifest), StepError> {
    let refused = |payload: &Payload, error: &dyn std::fmt::Display| StepError::refused(format!("`{}`: {error}", payload.name), "");
    let fits = |package: &Package| machine.runs().contains(&package.manifest().identity.architecture);
    let other_machine = |payload: &Payload| StepError::refused(format!("`{}` holds no package for {machine} Windows", payload.name), "");
    let (main, manifest, mut unpacked) = match open(&app.package)? {
        AppFile::Package(package) => {
            if !fits(&package) {
                return Err(other_machine(&app.package));
            }
            let manifest = package.manifest().clone();
            let archive = Archive::open(app.package.source.clone()).map_err(|error| refused(&app.package, &error))?;
            (manifest.identity.clone(), manifest.clone(), vec![(manifest.identity, archive)])
        }
        AppFile::Bundle(bundle) => {
            let application = bundle.manifest().application_for(machine).ok_or_else(|| other_machine(&app.package))?;
            let chosen = std::iter::once(application).chain(bundle.manifest().resources_for(languages, &SCALES));
            let mut unpacked = Vec::new();
            let mut manifest = None;
            for entry in chosen {
                let package = bundle.package(entry).map_err(|error| refused(&app.package, &error))?;
                let member = bundle.archive().member(&entry.file_name).ok_or_else(|| refused(&app.package, &"a package is missing"))?;
                let section = bundle.archive().section(member).map_err(|error| refused(&app.package, &error))?;
                let archive = Archive::open(std::sync::Arc::new(section)).map_err(|error| refused(&app.package, &error))?;
                unpacked.push((entry.identity.clone(), archive));
                manifest.get_or_insert_with(|| package.manifest().clone());
            }
            let manifest = manifest.ok_or_else(|| other_machine(&app.package))?;
            (bundle.manifest().identity.clone(), manifest, unpacked)
        }
    };
    let mut frameworks = Vec::new();
    for dependency in &app.dependencies {
        let AppFile::Package(package) = open(dependency)? else {
            return Err(refused(dependency, &"a dependency must be a single package, not a bundle"));
        };
        if !fits(&package) {
            return Err(other_machine(dependency));
        }
        let identity = package.manifest().identity.clone();
        let archive = Archive::open(dependency.source.clone()).map_err(|error| refused(dependency, &error))?;
        unpacked.push((identity.clone(), archive));
        frameworks.push(identity);
    }
    let license = match &app.license {
        Some(payload) => {
            let bytes = payload.bytes(MAX_LICENSE)?;
            let license = License::parse(&bytes).map_err(|error| refused(payload, &error))?;
            Some((license, bytes))
        }
        None => None,
    };
    Ok((Opened { main, unpacked, frameworks, license }, manifest))
}

/// Every framework that the app needs must come with it or be in the image.
fn check_dependencies(app: &App, opened: &Opened, manifest: &Manifest, hive: &Hive) -> Result<(), StepError> {
    for needed in &manifest.dependencies {
        let family = needed.family_name();
        let enough = |version: appx::Version| needed.min_version.is_none_or(|least| version >= least);
        let brought = opened.frameworks.iter().any(|own| own.name == needed.name && enough(own.version));
        let staged = match &family {
            Some(family) => full_names(hive, &format!(r"Staged\{family}")).map_err(damaged)?,
            None => Vec::new(),
        };
        if !brought && !staged.iter().any(|package| enough(package.version)) {
            let version = needed.min_version.map(|version| format!(" {version} or newer")).unwrap_or_default();
            return Err(StepError::refused(
                format!(
                    "`{}` needs the framework {}{version}, which neither comes with it nor is in the image",
                    app.package.name, needed.name
                ),
                "name the framework's package under `dependencies`",
            ));
        }
    }
    Ok(())
}

impl Step for AddApps {
    fn kind(&self) -> StepKind {
        StepKind { name: "apps.add", revision: 1 }
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    fn writes_time(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        self.apps.iter().map(|app| format!("provision the app in {}", app.package.name)).collect()
    }

    fn apply(&self, mut image: Image, context: &Context) -> Result<(Image, StepReport), StepError> {
        check_never_started(&image)?;
        let machine = match architecture_name(&image.info) {
            Some("x86") => appx::Architecture::X86,
            Some("amd64") => appx::Architecture::X64,
            Some("arm") => appx::Architecture::Arm,
            Some("arm64") => appx::Architecture::Arm64,
            _ => return Err(StepError::refused("the image does not say for which processor it is", "set WINDOWS/ARCH in its XML data")),
        };
        let languages = image.info.windows().map(|windows| windows.languages).unwrap_or_default();
        let languages: Vec<_> = languages.iter().map(String::as_str).collect();
        let mut details = Vec::new();
        for app in &self.apps {
            let (opened, manifest) = opened(app, machine, &languages)?;
            let Some(hive) = image.hive(HiveFile::Software)? else {
                return Err(ImageError::NoFile { what: "registry hive", path: HiveFile::Software.path().to_owned() }.into());
            };
            check_dependencies(app, &opened, &manifest, &hive)?;
            let family = opened.main.family_name();
            let present = full_names(&hive, "Applications").map_err(damaged)?.into_iter().find(|known| known.family_name() == family);
            drop(hive);
            if let Some(present) = present {
                return Err(StepError::refused(
                    format!("{present} is provisioned already"),
                    format!("remove it first: `apps: {{ remove: [{}] }}`", present.name),
                ));
            }
            details.push(provision(&mut image, app, &opened, context)?);
        }
        image.commit(context.time)?;
        details.push("Windows checks signature and licence, and registers the app, at each user's first sign-in".to_owned());
        Ok((image, StepReport { certainty: Certainty::Deferred, ..StepReport::exact(details) }))
    }
}

/// Writes files and keys of one app.
fn provision(image: &mut Image, app: &App, opened: &Opened, context: &Context) -> Result<String, StepError> {
    let new = NewFile { attributes: None, security: None, time: context.time };
    let path = |text: &str| ImagePath::parse(text).map_err(|error| StepError::refused(error.to_string(), ""));
    let mut files = 0;
    let mut unpack =
        |image: &mut Image, identity: &Identity, archive: &Archive, wanted: &dyn Fn(&appx::Member) -> bool| -> Result<(), StepError> {
            let folder = path(&format!(r"{}\{}", provisioning::WINDOWS_APPS, identity.full_name()))?;
            for member in archive.members().iter().filter(|member| provisioning::is_installed(member) && wanted(member)) {
                let bytes = archive.read(member).map_err(|error| StepError::refused(format!("`{}`: {error}", app.package.name), ""))?;
                let blob = image.blobs.add_bytes(bytes);
                new.put_blob(image, &folder.join(&path(&member.path)?), blob)?;
                files += 1;
            }
            Ok(())
        };
    let is_bundle = opened.main.full_name().is_bundle();
    if is_bundle {
        let archive = Archive::open(app.package.source.clone()).map_err(|error| StepError::refused(error.to_string(), ""))?;
        let is_package = |member: &appx::Member| [".appx", ".msix"].iter().any(|suffix| member.path.to_lowercase().ends_with(suffix));
        unpack(image, &opened.main, &archive, &|member| !is_package(member))?;
    }
    for (identity, archive) in &opened.unpacked {
        unpack(image, identity, archive, &|_| true)?;
    }
    let frameworks = &opened.frameworks;
    let parts: Vec<_> = opened
        .unpacked
        .iter()
        .map(|(identity, _)| identity.clone())
        .filter(|identity| is_bundle && !frameworks.contains(identity))
        .collect();
    let addition = provisioning::addition(&opened.main, &parts, frameworks);
    software(image, |hive| {
        for key in &addition.keys {
            let created = hive.create_path(&key.path, context.time)?;
            for (name, text) in &key.values {
                let (kind, data) = Data::Text(text.clone()).encode();
                hive.set_value(created, name, kind, &data, context.time)?;
            }
        }
        addition.deleted_keys.iter().try_for_each(|key| delete_key(hive, key, context.time))
    })?;
    if let Some((license, bytes)) = &opened.license {
        check_license(license, opened, app)?;
        let blob = image.blobs.add_bytes(bytes.clone());
        new.put_blob(image, &path(&addition.license)?, blob)?;
    }
    let license = if opened.license.is_some() { " with its licence" } else { "" };
    Ok(format!("provisioned {}{license}: {files} files in {} folders", opened.main.full_name(), addition.folders.len()))
}

fn check_license(license: &License, opened: &Opened, app: &App) -> Result<(), StepError> {
    let family = opened.main.family_name();
    if license.family_name.eq_ignore_ascii_case(&family) {
        return Ok(());
    }
    Err(StepError::refused(
        format!("the licence given with `{}` is for {}, not for {family}", app.package.name, license.family_name),
        "give the licence that was downloaded with the app",
    ))
}

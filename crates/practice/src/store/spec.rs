//! Small images with a component store, made to measure.

use std::io::Cursor;

use sha2::{Digest, Sha256};
use wimwright_format::manifest::macros::Directories;
use wimwright_format::manifest::{self, Identity, PackageId, Version};
use wimwright_format::wim::write::{ImageSource, ImageToWrite, WimPlan};

use super::{ServicedHives, add_packages};
use crate::contents::Contents;
use crate::disc::wim_options;
use crate::error::Error;
use crate::hives;
use crate::identity::{component, deployment};
use crate::info::{Description, describe};
use crate::manifests::{Assembly, Carried, Component, Deployment, Package, PayloadFile, State, Update, hidden_name};
use crate::packages::PackageMaker;
use crate::tree::ImageTree;

/// Components in one deployment of those that are made for their number.
const DEPLOYMENT_SIZE: usize = 500;

/// What an image's component store is to have.
#[derive(Debug, Clone, Default)]
pub struct StoreSpec {
    /// `amd64`, `x86`, `arm`, `arm64`.
    pub architecture: String,
    /// Version of Windows.
    pub version: Version,
    /// Packages, each with a small component, besides the servicing stack and, from Windows 10 on, a cumulative update.
    pub packages: Vec<PackageSpec>,
    /// Components besides; installed, all by one package.
    pub components: Vec<ComponentSpec>,
    /// So many components without files besides, for stores of the usual size (some 30,000).
    pub filler: usize,
}

/// A package of a store.
#[derive(Debug, Clone)]
pub struct PackageSpec {
    /// Who it is.
    pub id: PackageId,
    /// How far it has come.
    pub state: State,
    /// Features with their states.
    pub features: Vec<(String, State)>,
}

impl PackageSpec {
    /// An installed package without features.
    #[must_use]
    pub fn installed(id: PackageId) -> Self {
        Self { id, state: State::Installed, features: Vec::new() }
    }
}

/// An installed component of a store.
#[derive(Debug, Clone)]
pub struct ComponentSpec {
    /// Its manifest: XML, as its hash covers it. The files that it lists are put where it says; registry, services and the like
    /// are not.
    pub manifest: Vec<u8>,
    /// The manifest as the store holds it where that is not the XML itself (`DCM`).
    pub stored_manifest: Option<Vec<u8>>,
    /// Its files: path in the component's folder and contents. Files that the manifest lists may be missing: the image is damaged
    /// then.
    pub payload: Vec<(String, Vec<u8>)>,
}

impl ComponentSpec {
    /// A component that has nothing but its identity.
    #[must_use]
    pub fn of_identity(identity: Identity) -> Self {
        let manifest = Component::of_files(identity, Vec::new()).assemble().manifest;
        Self { manifest, stored_manifest: None, payload: Vec::new() }
    }

    fn assembly(&self, architecture: &str, contents: &mut Contents) -> Result<Assembly, Error> {
        let component = manifest::Component::parse(&self.manifest)?;
        let directories = Directories::of(component.identity.architecture.as_deref().unwrap_or(architecture), architecture)?;
        let mut payload = Vec::new();
        for (name, bytes) in &self.payload {
            let file = component.files.iter().find(|file| file.payload_name().eq_ignore_ascii_case(name));
            let destination = match file {
                Some(file) => component.with_macros(directories, &|_| None, |macros| file.destination(macros))?,
                None => None,
            };
            let blob = contents.add(bytes.clone());
            let destination = destination.map(|path| path.trim_start_matches('\\').replace('\\', "/"));
            payload.push(PayloadFile { name: name.clone(), destination, blob, sha256: Sha256::digest(bytes).into() });
        }
        Ok(Assembly {
            is_deployment: component.is_deployment,
            identity: component.identity,
            manifest: self.manifest.clone(),
            stored_manifest: self.stored_manifest.clone(),
            payload,
            registry: Vec::new(),
        })
    }
}

/// The packages that a package needs, the first of each alternative and of the alternatives inside: an image with these accepts it.
#[must_use]
pub fn parents_of(package: &manifest::Package) -> Vec<PackageId> {
    let mut ids = Vec::new();
    let mut waiting: Vec<&manifest::package::Parent> = package.parents.iter().collect();
    while let Some(parent) = waiting.pop() {
        ids.extend(parent.identities.first().map(PackageId::from));
        waiting.extend(&parent.parents);
    }
    ids.sort();
    ids.dedup();
    ids
}

/// The components and drivers whose older versions a package replaces, each in an older version: with these in an image, all its
/// updates are applicable.
#[must_use]
pub fn elevated_by(package: &manifest::Package) -> Vec<Identity> {
    let conditions = package.updates.iter().filter_map(|update| update.applicable.as_ref());
    let elevations = conditions.flat_map(|applicable| applicable.components.iter().chain(&applicable.drivers));
    let elevated = elevations.flat_map(|elevation| &elevation.identities);
    let mut identities: Vec<Identity> =
        elevated.map(|identity| Identity { version: older(identity.version), ..identity.clone() }).collect();
    identities.sort_by_cached_key(Identity::keyform);
    identities.dedup_by_key(|identity| identity.keyform());
    identities
}

/// An older version of the same build: that of the build's first release where it is known.
fn older(Version([major, minor, build, revision]): Version) -> Version {
    let first = match build {
        6000 | 6001 | 6002 | 7600 => 16_385,
        7601 => 17_514,
        9200 | 9600 => 16_384,
        _ => 1,
    };
    Version([major, minor, build, if first < revision { first } else { revision.saturating_sub(1) }])
}

/// Makes an image file (WIM) with one image that has this store. The bytes depend on the specification alone.
///
/// # Errors
/// [`Error::Manifest`] for a component whose manifest cannot be read; otherwise none is expected.
pub fn write(spec: &StoreSpec) -> Result<Vec<u8>, Error> {
    let StoreSpec { architecture, version, .. } = spec;
    let mut contents = Contents::default();
    let mut tree = ImageTree::new()?;
    for path in DIRECTORIES.split('|') {
        tree.directory(path)?;
    }
    if matches!(architecture.as_str(), "amd64" | "arm64") {
        tree.directory("Windows/SysWOW64")?;
        tree.directory("Program Files (x86)")?;
    }
    let mut software = hives::skeleton_software(architecture, *version)?;
    let system = hives::system(architecture)?;
    let mut components = hives::components(architecture, *version)?;
    let packages = packages(spec, &mut contents)?;
    let serviced = ServicedHives { software: &mut software, components: &mut components };
    add_packages(&mut tree, &mut contents, serviced, &packages, (architecture, *version))?;
    let mut written = vec![
        ("Windows/System32/config/SOFTWARE", software),
        ("Windows/System32/config/SYSTEM", system),
        ("Windows/System32/config/COMPONENTS", components),
    ];
    written.extend(hives::small()?);
    for (path, hive) in written {
        tree.file(path, contents.add(hive.into_bytes()))?;
    }
    let metadata = tree.into_metadata();
    let description = Description {
        name: "Practice store",
        edition: "Professional",
        installation_type: "Client",
        flags: "Professional",
        captured_at: None,
        architecture: hives::architecture_number(architecture),
        version: version.0,
    };
    let info = describe(&description, &metadata, &contents);
    let image = ImageToWrite { source: ImageSource::Tree(Box::new(metadata)), info };
    let plan = WimPlan::new(vec![image], wim_options(*b"practice store w", 0), &|id| contents.source(id))?;
    let mut output = Cursor::new(Vec::new());
    plan.write(&mut output, &mut |_| {})?;
    Ok(output.into_inner())
}

fn packages(spec: &StoreSpec, contents: &mut Contents) -> Result<Vec<Package>, Error> {
    let StoreSpec { architecture, version, .. } = spec;
    let mut packages = Vec::new();
    let mut assemblies = Vec::new();
    for component in &spec.components {
        assemblies.push(component.assembly(architecture, contents)?);
    }
    let mut maker = PackageMaker { contents, architecture, version: *version };
    for PackageSpec { id, state, features } in &spec.packages {
        let mut package = maker.plain_of(id, *state)?;
        for (feature, state) in features {
            package.updates.push(maker.feature(feature, *state, &package.identity)?);
        }
        packages.push(package);
    }
    packages.push(maker.servicing_stack(*version)?);
    let Version([major, ..]) = version;
    if *major >= 10 {
        packages.push(maker.rollup(Vec::new()));
    }
    let mut add = |name: &str, groups: Vec<Vec<Assembly>>| {
        let mut package = maker.package(&format!("{name}-Package"), "neutral", "Feature Pack");
        for (number, components) in groups.into_iter().enumerate() {
            let identity = deployment(&format!("{name}-{number}"), &package.identity);
            let carried = Carried::Deployment(Deployment { components, identity });
            let name = hidden_name(&format!("{name}-{number}"));
            package.updates.push(Update { name, feature: None, applicable: None, carried, state: State::Installed });
        }
        packages.push(package);
    };
    if !assemblies.is_empty() {
        add("Practice-Components", vec![assemblies]);
    }
    let filler = |number: usize| {
        let identity = component(&format!("Practice-Filler-{number:05}"), architecture, "neutral", *version);
        Component::of_files(identity, Vec::new()).assemble()
    };
    if spec.filler > 0 {
        let starts = (0..spec.filler).step_by(DEPLOYMENT_SIZE);
        add("Practice-Filler", starts.map(|start| (start..spec.filler.min(start + DEPLOYMENT_SIZE)).map(filler).collect()).collect());
    }
    Ok(packages)
}

/// Directories that packages expect of every Windows.
const DIRECTORIES: &str = "Program Files/Common Files|ProgramData/Microsoft/Windows/Start Menu/Programs/StartUp|Users/Default/AppData|Users/Public|\
Windows/AppPatch|Windows/Fonts|Windows/Help|Windows/INF|Windows/System32/DriverStore/FileRepository|Windows/System32/Tasks|Windows/System32/catroot2|\
Windows/System32/config|Windows/System32/drivers|Windows/System32/en-US|Windows/System32/wbem|Windows/Temp";

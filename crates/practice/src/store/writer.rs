//! Writes packages into an image: files, names, keys and values, as the servicing stack of Windows leaves them.
//!
//! Names and values follow the one public footprint of an installed package (`PermanentInjection.reg` of
//! fadilfadz01/CMD.Injector) and the sources that `docs/reference/practice.md` lists.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use wimwright_format::manifest::store_name::{Reference, ReferenceKind, payload_value_name};
use wimwright_format::manifest::{Identity, PackageId, Version};
use wimwright_format::regf::Data;

use crate::contents::Contents;
use crate::data::BUILD_TIME;
use crate::error::Error;
use crate::hives::HiveFile;
use crate::manifests::{Applicable, Assembly, Carried, Deployment, Package, PayloadFile, RegistryValue, State, Update};
use crate::tree::ImageTree;

/// The key of servicing, below the root of the SOFTWARE hive.
pub(crate) const SERVICING: &str = r"Microsoft\Windows\CurrentVersion\Component Based Servicing";
/// The key of the winning components, below the root of the SOFTWARE hive.
const WINNERS: &str = r"Microsoft\Windows\CurrentVersion\SideBySide\Winners";
/// The folder of catalogs that Windows trusts.
const CATALOG_ROOT: &str = "Windows/System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}";
/// `CF` of a deployment: its closure's manifests are there.
const CLOSURE_MANIFESTS_PRESENT: u32 = 4;
/// `CF` of a component whose payload was removed.
const PAYLOAD_DELETED: u32 = 0x40;
/// `f!`: the file is staged.
const STAGE_MARK: u32 = 1;

/// The hives that servicing writes to.
pub(crate) struct ServicedHives<'a> {
    pub software: &'a mut HiveFile,
    pub components: &'a mut HiveFile,
}

/// What an installed component projects.
struct Projection {
    key_form: String,
    payload: Vec<PayloadFile>,
    registry: Vec<RegistryValue>,
}

/// The component store of an image being made.
pub(crate) struct StoreWriter<'a> {
    tree: &'a mut ImageTree,
    contents: &'a mut Contents,
    hives: ServicedHives<'a>,
    /// Installed components by family and version.
    installed: BTreeMap<String, BTreeMap<Version, Projection>>,
}

impl<'a> StoreWriter<'a> {
    /// An empty store.
    pub(crate) fn new(tree: &'a mut ImageTree, contents: &'a mut Contents, hives: ServicedHives<'a>) -> Self {
        Self { tree, contents, hives, installed: BTreeMap::new() }
    }

    /// Adds a package that nothing else brings, with all that it carries.
    pub(crate) fn add_package(&mut self, package: &Package) -> Result<(), Error> {
        self.add_owned(package, &package.id(), 1)
    }

    /// Lets the winning components take their places. Nothing can be added afterwards.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let Self { tree, hives, installed, .. } = self;
        for (family, versions) in installed {
            let mut winners: BTreeMap<(u16, u16), Version> = BTreeMap::new();
            for version in versions.keys() {
                let Version([major, minor, ..]) = *version;
                // Versions ascend: the last of a bucket is its highest.
                winners.insert((major, minor), *version);
                let bucket = format!(r"{WINNERS}\{family}\{major}.{minor}");
                hives.software.set(&bucket, &version.to_string(), &Data::Binary(vec![1]))?;
            }
            for ((major, minor), version) in &winners {
                hives.software.set(&format!(r"{WINNERS}\{family}\{major}.{minor}"), "", &Data::Text(version.to_string()))?;
            }
            if let Some(((major, minor), _)) = winners.last_key_value() {
                hives.software.set(&format!(r"{WINNERS}\{family}"), "", &Data::Text(format!("{major}.{minor}")))?;
            }
            let Some((_, winner)) = versions.last_key_value() else { continue };
            for file in &winner.payload {
                if let Some(destination) = &file.destination {
                    tree.link(&format!("Windows/WinSxS/{}/{}", winner.key_form, file.name.replace('\\', "/")), destination)?;
                }
            }
            for value in &winner.registry {
                hives.software.set(&value.key, &value.name, &value.data)?;
            }
        }
        Ok(())
    }

    /// Adds a package whose owner may be another. `visibility` is 1 for what people see, 2 for a part of another package.
    fn add_owned(&mut self, package: &Package, owner: &PackageId, visibility: u32) -> Result<(), Error> {
        let thumbprint = self.add_package_files(package)?;
        self.add_package_keys(package, owner, visibility)?;
        for update in &package.updates {
            match &update.carried {
                Carried::Deployment(deployment) => self.add_deployment(package, update, deployment, &thumbprint)?,
                Carried::Package(inner) => self.add_owned(inner, owner, 2)?,
            }
        }
        Ok(())
    }

    /// Manifest and catalog. Gives the hash of the catalog, by which the store knows it.
    fn add_package_files(&mut self, package: &Package) -> Result<String, Error> {
        let id = package.id();
        let path = format!("Windows/servicing/Packages/{id}");
        let manifest = self.contents.add(package.manifest());
        self.tree.file(&format!("{path}.mum"), manifest)?;
        let catalog = package.catalog();
        let thumbprint = hexadecimal(&Sha256::digest(&catalog));
        let catalog = self.contents.add(catalog);
        self.tree.file(&format!("{path}.cat"), catalog)?;
        self.tree.link(&format!("{path}.cat"), &format!("{CATALOG_ROOT}/{id}.cat"))?;
        self.tree.file(&format!("Windows/WinSxS/Catalogs/{thumbprint}.cat"), catalog)?;
        Ok(thumbprint)
    }

    fn add_package_keys(&mut self, package: &Package, owner: &PackageId, visibility: u32) -> Result<(), Error> {
        let id = package.id();
        let state = package.state as u32;
        let software = &mut *self.hives.software;
        let key = format!(r"{SERVICING}\Packages\{id}");
        let values = [
            ("CurrentState", Data::Dword(state)),
            ("InstallClient", Data::Text("DISM Package Manager Provider".into())),
            ("InstallLocation", Data::Text(format!(r"\\?\C:\Windows\CbsTemp\31129598_1077936128\{}\", id.name))),
            ("InstallName", Data::Text(format!("{id}.mum"))),
            ("InstallTimeHigh", Data::Dword((BUILD_TIME >> 32) as u32)),
            ("InstallTimeLow", Data::Dword(BUILD_TIME as u32)),
            ("InstallUser", Data::Text("S-1-5-18".into())),
            ("SelfUpdate", Data::Dword(0)),
            ("Visibility", Data::Dword(visibility)),
        ];
        software.set_all(&key, &values)?;
        software.set(&format!(r"{key}\Owners"), &owner.to_string(), &Data::Dword(0x2_0000 | state))?;
        let without_version = |id: &PackageId| id.with_version(Version::ZERO);
        software.set(&format!(r"{SERVICING}\PackageIndex\{}", without_version(&id)), &id.to_string(), &Data::Dword(0))?;
        if let Some((name, language)) = &package.capability {
            let name = format!("{name}~~~{}~0.0.1.0", language.unwrap_or_default());
            software.set(&format!(r"{SERVICING}\CapabilityIndex\{name}"), &id.to_string(), &Data::Dword(0))?;
        }
        for parent in &package.parents {
            let parent = PackageId::from(&parent.identity);
            software.set(&format!(r"{SERVICING}\PackageDetect\{}", without_version(&parent)), &id.to_string(), &Data::Dword(0))?;
        }
        for update in &package.updates {
            let reference = format!("{id}.{}", update.name);
            match &update.applicable {
                // What Windows writes below `UpdateDetect` for a feature is not public.
                None | Some(Applicable::ParentFeature(_)) => {}
                Some(Applicable::Components(identities)) => {
                    for identity in identities {
                        let any = Identity { version: Version::ZERO, ..identity.clone() };
                        let key = format!(r"{SERVICING}\ComponentDetect\{}", any.keyform());
                        software.set(&key, &reference, &Data::Text(format!("{}@16", identity.version)))?;
                    }
                }
            }
            if update.feature.is_some() {
                software.set(&format!(r"{key}\Updates"), &update.name, &Data::Dword(update.state as u32))?;
                let notifications = format!(r"{SERVICING}\Notifications\OptionalFeatures\{}", update.name);
                software.set(&notifications, "Selection", &Data::Dword(u32::from(update.state.is_installed())))?;
                if update.state == State::Removed {
                    software.set(&notifications, "Removed", &Data::Dword(1))?;
                }
            }
        }
        Ok(())
    }

    fn add_deployment(&mut self, package: &Package, update: &Update, deployment: &Deployment, thumbprint: &str) -> Result<(), Error> {
        let deployment_key = deployment.identity.deployment_key();
        let reference = Reference::new(&package.id(), &update.name);
        let mut values = vec![
            ("appid".to_owned(), Data::Binary(deployment.identity.component_string().into_bytes())),
            ("CatalogThumbprint".to_owned(), Data::Text(thumbprint.to_owned())),
        ];
        let mut kinds = vec![ReferenceKind::Planned];
        if update.state != State::Removed {
            kinds.push(ReferenceKind::Staged);
        }
        if update.state.is_installed() {
            kinds.push(ReferenceKind::Installed);
        }
        values.extend(kinds.into_iter().map(|kind| (reference.value_name(kind), Data::Binary(reference.data()))));
        let components = &mut *self.hives.components;
        components.set_all(&format!(r"CanonicalData\Deployments\{deployment_key}"), &values)?;
        components.set(&format!(r"CanonicalData\Catalogs\{thumbprint}"), &format!("c!{deployment_key}"), &Data::Binary(Vec::new()))?;
        self.add_assembly(&deployment.assembly(), &deployment_key, update.state)?;
        for component in &deployment.components {
            self.add_assembly(component, &deployment_key, update.state)?;
        }
        Ok(())
    }

    fn add_assembly(&mut self, assembly: &Assembly, deployment_key: &str, state: State) -> Result<(), Error> {
        let identity = &assembly.identity;
        let key_form = identity.keyform();
        let hash: [u8; 32] = Sha256::digest(&assembly.manifest).into();
        let stored = assembly.stored_manifest.as_ref().unwrap_or(&assembly.manifest).clone();
        let manifest = self.contents.add(stored);
        self.tree.file(&format!("Windows/WinSxS/Manifests/{key_form}.manifest"), manifest)?;
        let mut values = vec![
            ("identity".to_owned(), Data::Binary(identity.component_string().into_bytes())),
            ("S256H".to_owned(), Data::Binary(hash.to_vec())),
            (format!("c!{deployment_key}"), Data::Binary(Vec::new())),
        ];
        let removed = state == State::Removed && !assembly.payload.is_empty();
        let flags = if assembly.is_deployment { CLOSURE_MANIFESTS_PRESENT } else { 0 } | if removed { PAYLOAD_DELETED } else { 0 };
        if flags != 0 {
            values.push(("CF".to_owned(), Data::Dword(flags)));
        }
        for file in &assembly.payload {
            if !removed {
                let path = format!("Windows/WinSxS/{key_form}/{}", file.name.replace('\\', "/"));
                self.tree.file(&path, file.blob)?;
            }
            values.push((payload_value_name(&file.name), Data::Dword(STAGE_MARK)));
        }
        self.hives.components.set_all(&format!(r"DerivedData\Components\{key_form}"), &values)?;
        if state.is_installed() {
            let projection = Projection { key_form, payload: assembly.payload.clone(), registry: assembly.registry.clone() };
            self.installed.entry(identity.family_key()).or_default().insert(identity.version, projection);
        }
        Ok(())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use wimwright_format::manifest::{self, Identity};
    use wimwright_format::reg_file::{self, Change};
    use wimwright_format::regf::Hive;

    use super::*;
    use crate::hives;

    /// Values of all keys, by hive, key and name.
    type Values = BTreeMap<(String, String, String), Vec<u8>>;

    fn values(hive: &'static str, file: HiveFile, below: &[&str]) -> Values {
        let hive_file = Hive::from_bytes(file.into_bytes()).unwrap();
        let mut values = Values::new();
        let mut waiting: Vec<_> = below.iter().map(|path| hive_file.open(path).unwrap().unwrap()).collect();
        while let Some(key) = waiting.pop() {
            for value in hive_file.values(key).unwrap() {
                let path = hive_file.path(key).unwrap().trim_start_matches('\\').to_owned();
                values.insert((hive.to_owned(), path, value.name()), value.data().unwrap().into_owned());
            }
            waiting.extend(hive_file.subkeys(key).unwrap());
        }
        values
    }

    /// The one public footprint of a package that Windows installed: ours is the same but for what is named here.
    #[test]
    fn real_footprint_of_an_installed_package() {
        let Some(folder) = wimwright_testkit::test_data("manifests/cmdinjector") else { return };
        let Some(dictionary) = wimwright_testkit::test_data("manifests/msdelta/base_manifest.bin") else { return };
        let dictionary = std::fs::read(dictionary).unwrap();
        let package: PackageId = "FadilFadz.CMDInjector.Permanent~628844477771337a~arm~~1.0.0.0".parse().unwrap();
        let mum = manifest::Package::parse(&std::fs::read(folder.join(format!("{package}.mum"))).unwrap()).unwrap();
        let [update] = mum.updates.as_slice() else { panic!("one update") };
        let [manifest::package::Payload::Component(deployment)] = update.payload.as_slice() else { panic!("a deployment") };

        let mut contents = Contents::default();
        let mut components = Vec::new();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "manifest") {
                continue;
            }
            let stored = std::fs::read(&path).unwrap();
            let xml = wimwright_codec::delta::apply(&dictionary, &stored[4..], 1 << 20).unwrap();
            let component = manifest::Component::parse(&xml).unwrap();
            if component.is_deployment {
                continue;
            }
            let payload = component.files.iter().map(|file| PayloadFile {
                name: file.payload_name().to_owned(),
                destination: None,
                blob: contents.add("stands for the file"),
                sha256: [0; 32],
            });
            components.push(Assembly {
                payload: payload.collect(),
                identity: component.identity,
                manifest: xml,
                stored_manifest: Some(stored),
                registry: Vec::new(),
                is_deployment: false,
            });
        }
        let update = Update {
            name: update.name.clone(),
            feature: None,
            applicable: None,
            carried: Carried::Deployment(Deployment { identity: deployment.clone(), components }),
            state: State::Installed,
        };
        let made = Package { updates: vec![update], ..Package::new(Identity { version_scope: None, ..mum.identity }, "Product") };
        let version = Version([10, 0, 15063, 0]);
        let mut software = hives::skeleton_software("arm", version).unwrap();
        let mut store = hives::components("arm", version).unwrap();
        let mut tree = ImageTree::new().unwrap();
        let serviced = ServicedHives { software: &mut software, components: &mut store };
        let mut writer = StoreWriter::new(&mut tree, &mut contents, serviced);
        writer.add_package(&made).unwrap();
        writer.finish().unwrap();

        let mut ours = values("COMPONENTS", store, &[r"CanonicalData\Deployments", r"DerivedData\Components"]);
        let packages = [format!(r"{SERVICING}\Packages"), format!(r"{SERVICING}\PackageIndex"), WINNERS.to_owned()];
        ours.extend(values("SOFTWARE", software, &packages.each_ref().map(String::as_str)));
        let mut theirs = Values::new();
        for change in reg_file::parse(&std::fs::read(folder.join("PermanentInjection.reg")).unwrap()).unwrap() {
            let path = change.path().trim_end_matches('\\').to_owned();
            let (hive, path) = path.strip_prefix(r"HKEY_LOCAL_MACHINE\").unwrap().split_once('\\').unwrap();
            if let Change::SetValue { name, data, .. } = change {
                theirs.insert((hive.to_owned(), path.to_owned(), name), data);
            }
        }
        let describe = |key: &(String, String, String)| format!(r"{}\{}!{}", key.0, key.1, key.2);
        let differing: BTreeSet<String> =
            ours.keys().chain(theirs.keys()).filter(|key| ours.get(*key) != theirs.get(*key)).map(describe).collect();
        let unexpected: Vec<_> = differing
            .iter()
            .filter(|place| {
                // A cache that servicing rebuilds; of phones; who installed from where and when; later versions of Windows write it; our
                // manifest of the deployment.
                let explained =
                    ["VersionedIndex", "ConvertedPackages", "!InstallClient", "!InstallLocation", "!InstallTime", "!CatalogThumbprint"];
                let own_manifest = place.contains("ermanent.deployment") && place.ends_with("!S256H");
                !own_manifest && !explained.iter().any(|part| place.contains(part))
            })
            .collect();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
        let same = ours.iter().filter(|(key, data)| theirs.get(*key) == Some(data)).count();
        assert_eq!((same, ours.len()), (30, 36));
    }
}

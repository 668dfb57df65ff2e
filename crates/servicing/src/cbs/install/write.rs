//! The store itself: manifests, payload, catalogs, and the COMPONENTS hive.

use std::collections::BTreeMap;

use wimwright_format::manifest::store_name::payload_value_name;
use wimwright_format::regf::{self, Data, Hive};
use wimwright_image::registry::HiveFile;
use wimwright_image::{Image, ImageError, ImagePath};

use super::payload::Made;
use super::resolve::{DeploymentChange, Resolution, Touched};
use super::{InstallError, Known, image_path};
use crate::cbs::store::{CATALOGS, COMPONENTS, DEPLOYMENTS, STORE_FOLDER, manifest_path, payload_path};
use crate::files::NewFile;

/// `CF`: the manifests of everything that the deployment stands for are there (smx-smx, facts; seen in CMD.Injector's export).
const CLOSURE_MANIFESTS_PRESENT: u32 = 4;
/// `CF`: the component's files were removed (gowim: so in all 3,791 components of a real image that have none).
const PAYLOAD_DELETED: u32 = 0x40;
/// Indexes that the servicing stack makes anew when they are gone (abbodi1406's W10UI does so on millions of images).
const DERIVED_INDEX: &str = r"DerivedData\VersionedIndex";
/// The same on disk.
const MANIFEST_CACHE: &str = "/Windows/WinSxS/ManifestCache";

/// Writes what is staged. What nothing refers to any more is [removed](Gone::remove) at the very end: until then it tells which names
/// in the image are its own.
pub(super) fn stage(image: &mut Image, resolution: &Resolution, effects: &Known, made: Made, time: u64) -> Result<Gone, InstallError> {
    let mut flags = BTreeMap::<String, BTreeMap<String, u32>>::new();
    for (keyform, touched) in resolution.components.iter().filter(|(_, touched)| touched.stage) {
        let blob = image.blobs.add_bytes(touched.manifest.stored.clone());
        NewFile { attributes: None, security: None, time }.put_blob(image, &image_path(keyform, &manifest_path(keyform))?, blob)?;
    }
    for (keyform, files) in made {
        let known = effects.get(&keyform);
        for file in files {
            flags.entry(keyform.clone()).or_default().insert(file.name.clone(), file.flags());
            let effect = known.and_then(|effects| effects.files.iter().find(|effect| effect.payload.eq_ignore_ascii_case(&file.name)));
            let new = NewFile {
                attributes: effect.and_then(|effect| effect.attributes),
                security: effect.and_then(|effect| effect.security.as_deref()),
                time,
            };
            let path = image_path(&keyform, &payload_path(&keyform, &file.name))?;
            // The folders above inherit; only the file has a descriptor of its own.
            if let Some(parent) = path.parent() {
                NewFile { attributes: None, security: None, time }.put(image, &parent, None)?;
            }
            new.put_blob(image, &path, file.contents)?;
            for (folder, contents) in file.differentials {
                let path = image_path(&keyform, &payload_path(&keyform, &format!("{folder}\\{}", file.name)))?;
                NewFile { attributes: None, security: None, time }.put_blob(image, &path, contents)?;
            }
        }
    }
    if resolution.deployments.is_empty() {
        return Ok(Gone::default());
    }
    drop_manifest_cache(image)?;
    image.edit_hive(HiveFile::Components, |hive| {
        components_hive(hive, resolution, &flags, time).map_err(|source| ImageError::hive_edit(HiveFile::Components, "", source).into())
    })
}

impl Gone {
    /// Removes the files of what is gone.
    pub fn remove(self, image: &mut Image) -> Result<(), InstallError> {
        for keyform in self.components {
            for path in [manifest_path(&keyform), format!("{STORE_FOLDER}/{keyform}")] {
                remove(image, &image_path(&keyform, &path)?)?;
            }
        }
        for keyform in self.payload {
            remove(image, &image_path(&keyform, &format!("{STORE_FOLDER}/{keyform}"))?)?;
        }
        for catalog in self.catalogs {
            remove(image, &image_path("", &format!("{STORE_FOLDER}/Catalogs/{catalog}.cat"))?)?;
        }
        Ok(())
    }
}

pub(super) fn remove(image: &mut Image, path: &ImagePath) -> Result<(), InstallError> {
    if image.tree.get(path).is_some() {
        image.tree.remove(path)?;
    }
    Ok(())
}

/// What COMPONENTS refers to no more.
#[derive(Default)]
pub(super) struct Gone {
    components: Vec<String>,
    /// Components whose files alone are gone.
    payload: Vec<String>,
    catalogs: Vec<String>,
}

fn components_hive(
    hive: &mut Hive,
    resolution: &Resolution,
    flags: &BTreeMap<String, BTreeMap<String, u32>>,
    time: u64,
) -> Result<Gone, regf::Error> {
    let mut gone = Gone::default();
    for (key, deployment) in &resolution.deployments {
        write_deployment(hive, key, deployment, time, &mut gone)?;
    }
    for (keyform, touched) in &resolution.components {
        write_component(hive, keyform, touched, flags.get(keyform), time, &mut gone)?;
    }
    if let Some(index) = hive.open(DERIVED_INDEX)? {
        for key in hive.subkeys(index)? {
            hive.delete_key(key, time)?;
        }
    }
    Ok(gone)
}

fn write_deployment(hive: &mut Hive, key: &str, deployment: &DeploymentChange, time: u64, gone: &mut Gone) -> Result<(), regf::Error> {
    let path = format!("{DEPLOYMENTS}\\{key}");
    let reference = format!("c!{key}");
    if deployment.is_dropped() {
        if let Some(found) = hive.open(&path)? {
            hive.delete_key(found, time)?;
        }
        if let Some(catalog) = &deployment.catalog
            && let Some(found) = hive.open(&format!("{CATALOGS}\\{catalog}"))?
        {
            hive.delete_value(found, &reference, time)?;
            if hive.values(found)?.is_empty() {
                hive.delete_key(found, time)?;
                gone.catalogs.push(catalog.clone());
            }
        }
        return Ok(());
    }
    let found = hive.create_path(&path, time)?;
    if !deployment.existed {
        hive.set_data(found, "appid", &Data::Binary(deployment.identity.component_string().into_bytes()), time)?;
        if let Some(catalog) = &deployment.catalog {
            hive.set_data(found, "CatalogThumbprint", &Data::Text(catalog.clone()), time)?;
        }
    }
    if let Some(catalog) = &deployment.catalog {
        let catalog = hive.create_path(&format!("{CATALOGS}\\{catalog}"), time)?;
        set(hive, catalog, &reference, &Data::Binary(Vec::new()), time)?;
    }
    for name in &deployment.removed {
        hive.delete_value(found, name, time)?;
    }
    for (name, data) in &deployment.added {
        set(hive, found, name, &Data::Binary(data.clone()), time)?;
    }
    Ok(())
}

fn write_component(
    hive: &mut Hive,
    keyform: &str,
    touched: &Touched,
    flags: Option<&BTreeMap<String, u32>>,
    time: u64,
    gone: &mut Gone,
) -> Result<(), regf::Error> {
    let path = format!("{COMPONENTS}\\{keyform}");
    if touched.added.is_empty() {
        let Some(found) = hive.open(&path)? else { return Ok(()) };
        for deployment in &touched.dropped {
            hive.delete_value(found, &format!("c!{deployment}"), time)?;
        }
        let values = hive.values(found)?;
        if !values.iter().any(|value| value.name().to_ascii_lowercase().starts_with("c!")) {
            hive.delete_key(found, time)?;
            gone.components.push(keyform.to_owned());
            return Ok(());
        }
        return if touched.strip { strip_component(hive, found, keyform, time, gone) } else { Ok(()) };
    }
    let component = &touched.manifest.component;
    let found = hive.create_path(&path, time)?;
    set(hive, found, "identity", &Data::Binary(component.identity.component_string().into_bytes()), time)?;
    set(hive, found, "S256H", &Data::Binary(touched.manifest.sha256.to_vec()), time)?;
    if component.is_deployment {
        set(hive, found, "CF", &Data::Dword(CLOSURE_MANIFESTS_PRESENT), time)?;
    } else if touched.stage {
        // Its files are there again.
        hive.delete_value(found, "CF", time)?;
    }
    for deployment in &touched.added {
        set(hive, found, &format!("c!{deployment}"), &Data::Binary(Vec::new()), time)?;
    }
    for deployment in &touched.dropped {
        hive.delete_value(found, &format!("c!{deployment}"), time)?;
    }
    for (file, flags) in flags.into_iter().flatten() {
        set(hive, found, &payload_value_name(file), &Data::Dword(*flags), time)?;
    }
    if touched.strip { strip_component(hive, found, keyform, time, gone) } else { Ok(()) }
}

/// Notes that a component has no files any more.
fn strip_component(hive: &mut Hive, key: regf::KeyId, keyform: &str, time: u64, gone: &mut Gone) -> Result<(), regf::Error> {
    let known = match hive.value(key, "CF")? {
        Some(value) => match Data::decode(value.kind(), &value.data()?) {
            Data::Dword(flags) => flags,
            _ => 0,
        },
        None => 0,
    };
    set(hive, key, "CF", &Data::Dword(known | PAYLOAD_DELETED), time)?;
    gone.payload.push(keyform.to_owned());
    Ok(())
}

/// Sets a value unless it is so already: a key's time changes with its values only.
fn set(hive: &mut Hive, key: regf::KeyId, name: &str, data: &Data, time: u64) -> Result<(), regf::Error> {
    let (kind, bytes) = data.encode();
    let same = match hive.value(key, name)? {
        Some(value) => value.kind() == kind && *value.data()? == *bytes,
        None => false,
    };
    if same { Ok(()) } else { hive.set_value(key, name, kind, &bytes, time) }
}

fn drop_manifest_cache(image: &mut Image) -> Result<(), InstallError> {
    let Some(cache) = image.tree.at(MANIFEST_CACHE) else { return Ok(()) };
    let names: Vec<String> = cache.children().map(|child| child.name()).collect();
    for name in names {
        remove(image, &image_path("", &format!("{MANIFEST_CACHE}/{name}"))?)?;
    }
    Ok(())
}

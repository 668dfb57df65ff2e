//! The records of packages: manifests and catalogs in the image, keys in the SOFTWARE hive, winners.

use wimwright_format::manifest::{PackageId, Version};
use wimwright_format::regf::{self, Data, Hive};
use wimwright_image::registry::HiveFile;
use wimwright_image::{Image, ImageError};

use super::resolve::{FamilyChange, Resolution};
use super::{InstallError, image_path, index_name};
use crate::cbs::plan::PackageChange;
use crate::cbs::source::PackageSource;
use crate::cbs::state::State;
use crate::cbs::store::{PACKAGES_FOLDER, SERVICING, STORE_FOLDER, WINNERS};
use crate::files::NewFile;

/// Where Windows looks for catalogs that sign parts of itself.
const CATALOG_ROOT: &str = "/Windows/System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}";
/// Marks an entry of `Owners`, beside the state (seen in CMD.Injector's export; what it says is not public).
const OWNER_FLAG: u32 = 0x2_0000;
/// What the servicing stack's component is called.
const SERVICING_STACK: &str = "microsoft-windows-servicingstack";

/// Writes the records of all changed packages.
pub(super) fn packages(
    image: &mut Image,
    sources: &[PackageSource],
    changes: &[PackageChange],
    resolution: &Resolution,
    time: u64,
) -> Result<(), InstallError> {
    for change in changes {
        package_files(image, sources, change, time)?;
    }
    let stacks = stacks(resolution);
    image.edit_hive(HiveFile::Software, |hive| {
        let write = |hive: &mut Hive| -> Result<(), regf::Error> {
            for change in changes {
                package_keys(hive, change, time)?;
            }
            for ((family, bucket), change) in &resolution.families {
                winner(hive, family, bucket, change, time)?;
            }
            for (version, keyform) in &stacks {
                let key = hive.create_path(&format!("{SERVICING}\\Version"), time)?;
                let folder = Data::ExpandableText(format!("%SystemRoot%\\WinSxS\\{keyform}"));
                hive.set_data(key, &version.to_string(), &folder, time)?;
            }
            Ok(())
        };
        write(hive).map_err(|source| ImageError::hive_edit(HiveFile::Software, SERVICING, source))
    })?;
    for (version, keyform) in stacks {
        let architecture = keyform.split('_').next().unwrap_or_default();
        let path = format!("/Windows/servicing/Version/{version}/{architecture}_installed");
        NewFile { attributes: None, security: None, time }.put_blob(image, &image_path(&keyform, &path)?, None)?;
    }
    Ok(())
}

/// Servicing stacks that win: version and keyform.
fn stacks(resolution: &Resolution) -> Vec<(Version, String)> {
    let stack = |family: &FamilyChange| {
        let winner = family.after.as_ref()?;
        let is_stack = family.identity.name.eq_ignore_ascii_case(SERVICING_STACK) && family.identity.language.is_none();
        is_stack.then(|| (winner.version, family.keyform(winner.version)))
    };
    resolution.families.values().filter_map(stack).collect()
}

fn package_files(image: &mut Image, sources: &[PackageSource], change: &PackageChange, time: u64) -> Result<(), InstallError> {
    let id = &change.package;
    let name = |folder: &str, extension: &str| image_path("", &format!("{folder}/{id}.{extension}"));
    let places = [name(PACKAGES_FOLDER, "mum")?, name(PACKAGES_FOLDER, "cat")?, name(CATALOG_ROOT, "cat")?];
    if change.after == State::ABSENT {
        for path in &places {
            if image.tree.get(path).is_some() {
                image.tree.remove(path)?;
            }
        }
        return Ok(());
    }
    let Some(package) = change.source.and_then(|number| sources.get(number)).and_then(|source| source.package(id)) else { return Ok(()) };
    let new = NewFile { attributes: None, security: None, time };
    let [manifest, catalog, root] = &places;
    let blob = image.blobs.add_bytes(package.manifest_bytes.clone());
    new.put_blob(image, manifest, blob)?;
    if let (Some(bytes), Some(thumbprint)) = (&package.catalog, package.catalog_thumbprint()) {
        let blob = image.blobs.add_bytes(bytes.clone());
        new.put_blob(image, catalog, blob)?;
        new.put_blob(image, root, blob)?;
        new.put_blob(image, &image_path("", &format!("{STORE_FOLDER}/Catalogs/{thumbprint}.cat"))?, blob)?;
    }
    Ok(())
}

fn package_keys(hive: &mut Hive, change: &PackageChange, time: u64) -> Result<(), regf::Error> {
    let id = change.package.to_string();
    let path = format!("{SERVICING}\\Packages\\{id}");
    // What was found out about the package before is not true any more.
    if let Some(cached) = hive.open(&format!("{SERVICING}\\ApplicabilityEvaluationCache\\{id}"))? {
        hive.delete_key(cached, time)?;
    }
    if change.after == State::ABSENT {
        return remove_package(hive, change, &path, &id, time);
    }
    let known = hive.open(&path)?.is_some();
    let key = hive.create_path(&path, time)?;
    hive.set_data(key, "CurrentState", &Data::Dword(change.after.0), time)?;
    if !known {
        let values = [
            ("InstallClient", Data::Text("DISM Package Manager Provider".into())),
            ("InstallLocation", Data::Text(r"\\?\C:\Windows\servicing\Packages\".into())),
            ("InstallName", Data::Text(format!("{id}.mum"))),
            ("InstallTimeHigh", Data::Dword((time >> 32) as u32)),
            ("InstallTimeLow", Data::Dword((time & 0xFFFF_FFFF) as u32)),
            ("InstallUser", Data::Text("S-1-5-18".into())),
            ("SelfUpdate", Data::Dword(u32::from(change.manifest.self_update == Some(true)))),
            ("Visibility", Data::Dword(if change.visible { 1 } else { 2 })),
        ];
        for (name, data) in values {
            hive.set_data(key, name, &data, time)?;
        }
        let index = hive.create_path(&format!("{SERVICING}\\PackageIndex\\{}", index_name(&change.package)), time)?;
        hive.set_data(index, &id, &Data::Dword(0), time)?;
        for parent in parents(change) {
            let detect = hive.create_path(&format!("{SERVICING}\\PackageDetect\\{}", index_name(&parent)), time)?;
            hive.set_data(detect, &id, &Data::Dword(0), time)?;
        }
        for declared in change.manifest.capabilities.iter().flat_map(|declaration| &declaration.capabilities) {
            let name = change.manifest.capability_name(declared);
            let index = hive.create_path(&format!("{SERVICING}\\CapabilityIndex\\{name}"), time)?;
            hive.set_data(index, &id, &Data::Dword(0), time)?;
        }
    }
    let owners = hive.create_path(&format!("{path}\\Owners"), time)?;
    for owner in &change.owners {
        hive.set_data(owners, &owner.to_string(), &Data::Dword(OWNER_FLAG | change.after.0), time)?;
    }
    for update in &change.updates {
        let Some(declared) = change.manifest.updates.get(update.update).filter(|declared| declared.selectable.is_some()) else { continue };
        let updates = hive.create_path(&format!("{path}\\Updates"), time)?;
        hive.set_data(updates, &declared.name, &Data::Dword(update.after.0), time)?;
        let feature = hive.create_path(&format!("{SERVICING}\\Notifications\\OptionalFeatures\\{}", declared.name), time)?;
        hive.set_data(feature, "Selection", &Data::Dword(u32::from(update.after.is_installed())), time)?;
        if update.after == State::ABSENT {
            hive.set_data(feature, "Removed", &Data::Dword(1), time)?;
        } else {
            hive.delete_value(feature, "Removed", time)?;
        }
    }
    Ok(())
}

/// Packages that the manifest names as parents, each once.
fn parents(change: &PackageChange) -> Vec<PackageId> {
    let mut open: Vec<_> = change.manifest.parents.iter().collect();
    let mut found = Vec::new();
    while let Some(parent) = open.pop() {
        found.extend(parent.identities.iter().map(PackageId::from));
        open.extend(&parent.parents);
    }
    found.sort();
    found.dedup_by(|left, right| left.same_package(right));
    found
}

fn remove_package(hive: &mut Hive, change: &PackageChange, path: &str, id: &str, time: u64) -> Result<(), regf::Error> {
    if let Some(key) = hive.open(path)? {
        hive.delete_key(key, time)?;
    }
    let mut indexes = vec![format!("{SERVICING}\\PackageIndex\\{}", index_name(&change.package))];
    indexes.extend(parents(change).iter().map(|parent| format!("{SERVICING}\\PackageDetect\\{}", index_name(parent))));
    for declared in change.manifest.capabilities.iter().flat_map(|declaration| &declaration.capabilities) {
        indexes.push(format!("{SERVICING}\\CapabilityIndex\\{}", change.manifest.capability_name(declared)));
    }
    for index in indexes {
        let Some(key) = hive.open(&index)? else { continue };
        hive.delete_value(key, id, time)?;
        if hive.values(key)?.is_empty() && hive.subkeys(key)?.is_empty() {
            hive.delete_key(key, time)?;
        }
    }
    for feature in change.manifest.features() {
        if let Some(key) = hive.open(&format!("{SERVICING}\\Notifications\\OptionalFeatures\\{}", feature.name))? {
            hive.delete_key(key, time)?;
        }
    }
    Ok(())
}

/// `Winners\<family>`: the default value names `major.minor`; the subkey of that name has the winning version as its default value,
/// and each installed version as a value of one byte, 1 (CMD.Injector's export, W10UI).
fn winner(hive: &mut Hive, family: &str, bucket: &str, change: &FamilyChange, time: u64) -> Result<(), regf::Error> {
    let path = format!("{WINNERS}\\{family}");
    let Some(after) = &change.after else {
        if let Some(key) = hive.open(&format!("{path}\\{bucket}"))? {
            hive.delete_key(key, time)?;
        }
        if let Some(key) = hive.open(&path)? {
            let highest = highest_bucket(hive, key)?;
            match highest {
                Some(highest) => hive.set_data(key, "", &Data::Text(highest), time)?,
                None => hive.delete_key(key, time)?,
            }
        }
        return Ok(());
    };
    let key = hive.create_path(&format!("{path}\\{bucket}"), time)?;
    hive.set_data(key, "", &Data::Text(after.version.to_string()), time)?;
    for version in &after.installed {
        hive.set_data(key, &version.to_string(), &Data::Binary(vec![1]), time)?;
    }
    for gone in change.before.iter().flat_map(|before| &before.installed).filter(|version| !after.installed.contains(version)) {
        hive.delete_value(key, &gone.to_string(), time)?;
    }
    let key = hive.create_path(&path, time)?;
    let highest = highest_bucket(hive, key)?.unwrap_or_else(|| bucket.to_owned());
    hive.set_data(key, "", &Data::Text(highest), time)
}

/// The highest `major.minor` below a family's key.
fn highest_bucket(hive: &Hive, family: regf::KeyId) -> Result<Option<String>, regf::Error> {
    let mut highest: Option<(Vec<u32>, String)> = None;
    for key in hive.subkeys(family)? {
        let name = hive.name(key)?;
        let numbers: Vec<u32> = name.split('.').filter_map(|part| part.parse().ok()).collect();
        if highest.as_ref().is_none_or(|(known, _)| *known < numbers) {
            highest = Some((numbers, name));
        }
    }
    Ok(highest.map(|(_, name)| name))
}

//! The records of packages: manifests and catalogs in the image, keys in the SOFTWARE hive, winners.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use wimwright_format::manifest::package::{Elevation, PackageClass, Payload};
use wimwright_format::manifest::{Identity, PackageId, Version};
use wimwright_format::regf::{self, Data, Hive};
use wimwright_image::registry::HiveFile;
use wimwright_image::{Image, ImageError, ImagePath};

use super::resolve::{FamilyChange, Resolution};
use super::{InstallError, image_path, index_name};
use crate::cbs::plan::PackageChange;
use crate::cbs::source::{PackageSource, hexadecimal};
use crate::cbs::state::State;
use crate::cbs::store::{CATALOGS, PACKAGES_FOLDER, SERVICING, STORE_FOLDER, WINNERS};
use crate::files::NewFile;

/// Where Windows looks for catalogs that sign parts of itself.
const CATALOG_ROOT: &str = "/Windows/System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}";
/// Marks an entry of `Owners`, beside the state (seen in CMD.Injector's export; what it says is not public).
const OWNER_FLAG: u32 = 0x2_0000;
/// What the manifest of a cumulative update has somewhere when later ones start from it, and what marks it below `Packages`
/// (abbodi1406's W10UI looks for no more than the word; how the manifest says it is not public).
const BASELINE: &str = "Baseline";
/// Packages of Windows PE that carry the mark as their checkpoint does (W10UI).
const PREINSTALLATION: [&str; 2] = ["Microsoft-Windows-WinPE-Package", "Microsoft-Windows-WinPE-LanguagePack-Package"];
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
            mark_checkpoints(hive, sources, changes, time)?;
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
        remove_catalog(image, &places[1])?;
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

/// Removes the store's copy of a package's catalog unless COMPONENTS names it: it may vouch for deployments of others.
fn remove_catalog(image: &mut Image, catalog: &ImagePath) -> Result<(), InstallError> {
    let Some(entry) = image.tree.get(catalog).filter(|entry| !entry.is_directory()) else { return Ok(()) };
    let thumbprint = hexadecimal(&Sha256::digest(image.contents(entry)?));
    let known = match image.hive(HiveFile::Components)? {
        Some(hive) => {
            let known = hive.open(&format!("{CATALOGS}\\{thumbprint}"));
            known.map_err(|source| ImageError::Hive { path: HiveFile::Components.path().to_owned(), source })?.is_some()
        }
        None => false,
    };
    let path = image_path("", &format!("{STORE_FOLDER}/Catalogs/{thumbprint}.cat"))?;
    if !known && image.tree.get(&path).is_some() {
        image.tree.remove(&path)?;
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
        return remove_package(hive, change, &path, time);
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
        for entry in index_entries(change) {
            let index = hive.create_path(&entry.key, time)?;
            hive.set_data(index, &entry.name, &entry.data, time)?;
        }
    }
    let owners = hive.create_path(&format!("{path}\\Owners"), time)?;
    for name in hive.values(owners)?.iter().map(regf::Value::name).collect::<Vec<_>>() {
        if !change.owners.iter().any(|owner| owner.to_string().eq_ignore_ascii_case(&name)) {
            hive.delete_value(owners, &name, time)?;
        }
    }
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

/// Marks checkpoints, with those of their packages of which another version has the mark already.
fn mark_checkpoints(hive: &mut Hive, sources: &[PackageSource], changes: &[PackageChange], time: u64) -> Result<(), regf::Error> {
    let source_of = |change: &PackageChange| sources.get(change.source?).filter(|source| is_checkpoint(source));
    let of_checkpoints: Vec<_> =
        changes.iter().filter(|change| change.after.is_staged()).filter_map(|change| Some((&change.package, source_of(change)?))).collect();
    if of_checkpoints.is_empty() {
        return Ok(());
    }
    let mut marked = BTreeSet::new();
    if let Some(packages) = hive.open(&format!("{SERVICING}\\Packages"))? {
        for key in hive.subkeys(packages)? {
            if let (Some(_), Ok(id)) = (hive.value(key, BASELINE)?, hive.name(key)?.parse::<PackageId>()) {
                marked.insert(id.with_version(Version::ZERO));
            }
        }
    }
    for (id, source) in of_checkpoints {
        let preinstallation = PREINSTALLATION.iter().any(|name| name.eq_ignore_ascii_case(&id.name));
        if *id == source.root || preinstallation || marked.contains(&id.with_version(Version::ZERO)) {
            let key = hive.create_path(&format!("{SERVICING}\\Packages\\{id}"), time)?;
            hive.set_data(key, BASELINE, &Data::Dword(1), time)?;
        }
    }
    Ok(())
}

fn is_checkpoint(source: &PackageSource) -> bool {
    let says = |bytes: &[u8]| bytes.windows(BASELINE.len()).any(|word| word.eq_ignore_ascii_case(BASELINE.as_bytes()));
    source.class == PackageClass::Cumulative && source.package(&source.root).is_some_and(|root| says(&root.manifest_bytes))
}

/// A value of an index by which the servicing stack finds packages.
struct IndexEntry {
    key: String,
    name: String,
    data: Data,
}

/// Where indexes lead to a package: by its own name, those of its parents, of its capabilities, and of the components that it lifts.
/// `UpdateDetect`, by the features that it follows, is not written: no public source shows what its values hold.
fn index_entries(change: &PackageChange) -> Vec<IndexEntry> {
    let id = change.package.to_string();
    let entry =
        |index: &str, name: &str| IndexEntry { key: format!("{SERVICING}\\{index}\\{name}"), name: id.clone(), data: Data::Dword(0) };
    let mut entries = vec![entry("PackageIndex", &index_name(&change.package))];
    entries.extend(parents(change).iter().map(|parent| entry("PackageDetect", &index_name(parent))));
    let declared = change.manifest.capabilities.iter().flat_map(|declaration| &declaration.capabilities);
    entries.extend(declared.map(|declared| entry("CapabilityIndex", &change.manifest.capability_name(declared))));
    for update in &change.manifest.updates {
        let carries = update.payload.iter().any(|payload| matches!(payload, Payload::Component(_)));
        for elevation in update.applicable.iter().flat_map(|applicable| &applicable.components).filter(|_| carries) {
            // Of an update without component, or of several identities, the form is not known for sure.
            let ([identity], Some(number)) = (&elevation.identities[..], elevation_number(elevation)) else { continue };
            let any = Identity { version: Version::ZERO, ..identity.clone() };
            entries.push(IndexEntry {
                key: format!("{SERVICING}\\ComponentDetect\\{}", any.keyform()),
                name: format!("{id}.{}", update.name),
                data: Data::Text(format!("{}@{number}", identity.version)),
            });
        }
    }
    entries
}

/// The number that the servicing stack has for the word of `elevate`. Evidence, and what is inferred: `docs/formats/cbs.md`.
fn elevation_number(elevation: &Elevation) -> Option<u32> {
    const NUMBERS: [(&str, u32); 4] = [("revision", 2), ("distribution", 4), ("serviceLevel", 8), ("install", 16)];
    let word = elevation.elevate.as_deref()?;
    NUMBERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, number)| *number)
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

fn remove_package(hive: &mut Hive, change: &PackageChange, path: &str, time: u64) -> Result<(), regf::Error> {
    if let Some(key) = hive.open(path)? {
        hive.delete_key(key, time)?;
    }
    for entry in index_entries(change) {
        let Some(key) = hive.open(&entry.key)? else { continue };
        hive.delete_value(key, &entry.name, time)?;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wimwright_format::manifest::Package;

    use super::*;
    use crate::cbs::plan::PackageChange;

    /// What Windows 7 had written for a fix of its kernel: figure 1 of ksj1230/Update-State-Checker, an export of the registry. The
    /// manifest is made after those of the same kind in KB2883457; its first words are those that the numbers must stand for.
    #[test]
    fn components_lead_to_what_lifts_them_as_windows_7_wrote_it() {
        let update = |name: &str, elevate: &str, versions: &[&str], payload: &str| {
            let identity = |name: &str, version: &str| {
                format!(
                    r#"<assemblyIdentity name="{name}" version="{version}" processorArchitecture="amd64" language="neutral"
                         buildType="release" publicKeyToken="31bf3856ad364e35" versionScope="nonSxS"/>"#
                )
            };
            let kernel: String = versions.iter().map(|version| identity("Microsoft-Windows-OS-Kernel", version)).collect();
            format!(
                r#"<update name="{name}"><applicable disposition="staged"><updateComponent elevate="{elevate}">{kernel}</updateComponent>
                   </applicable><{payload}>{}</{payload}></update>"#,
                identity("ba59922f493b824b6e17cdfef645d5ce", "6.1.7601.21701")
            )
        };
        let manifest = format!(
            r#"<assembly xmlns="urn:schemas-microsoft-com:asm.v3" manifestVersion="1.0">
               <assemblyIdentity name="Package_3_for_KB2534366" version="6.1.1.0" language="neutral" processorArchitecture="amd64"
                 publicKeyToken="31bf3856ad364e35"/><package identifier="KB2534366" releaseType="Hotfix">{}{}{}{}{}{}</package></assembly>"#,
            update("2534366-6_neutral_LDR", "revision", &["6.1.7601.21701"], "component"),
            update("2534366-7_neutral_LDR", "distribution", &["6.1.7601.21701"], "component"),
            update("2534366-8_neutral_GDR", "revision", &["6.1.7601.17592"], "component"),
            update("Trigger_1", "revision", &["6.1.7601.21701"], "package"),
            update("Several", "revision", &["6.1.7601.21701", "6.1.7601.21702"], "component"),
            update("Unknown", "somehow", &["6.1.7601.21701"], "component"),
        );
        let manifest = Package::parse(manifest.as_bytes()).unwrap();
        let change = PackageChange {
            package: manifest.id(),
            source: None,
            manifest: Arc::new(manifest),
            before: State::ABSENT,
            after: State::STAGED,
            updates: Vec::new(),
            visible: false,
            owners: Vec::new(),
        };
        let text = |entry: IndexEntry| match entry.data {
            Data::Text(text) => format!("{}: {} = {text}", entry.key.trim_start_matches(SERVICING), entry.name),
            other => panic!("{other:?}"),
        };
        let found: Vec<String> = index_entries(&change).into_iter().skip(1).map(text).collect();
        let expected =
            [("6_neutral_LDR", "6.1.7601.21701@2"), ("7_neutral_LDR", "6.1.7601.21701@4"), ("8_neutral_GDR", "6.1.7601.17592@2")];
        let expected = expected.map(|(name, data)| {
            format!(
                r"\ComponentDetect\amd64_microsoft-windows-os-kernel_31bf3856ad364e35_0.0.0.0_none_ec28f2d1b4aabfd4: Package_3_for_KB2534366~31bf3856ad364e35~amd64~~6.1.1.0.2534366-{name} = {data}"
            )
        });
        assert_eq!(found, expected);
    }
}

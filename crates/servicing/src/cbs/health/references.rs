//! What refers to what: components to deployments, deployments to packages and catalogs, winners to components.

use std::collections::{HashMap, HashSet};

use wimwright_format::manifest::store_name::string_hash;
use wimwright_format::manifest::{Identity, PackageId, Version};

use super::catalogs::stored_catalog;
use super::packages::UpdateNames;
use super::{FindingKind, Scan};
use crate::cbs::store::{CATALOGS, DEPLOYMENTS, Deployment, STORE_FOLDER, StoreError, WINNERS, Winner, bucket};

impl Scan<'_> {
    pub(super) fn check_references(&self, updates: &UpdateNames) -> Result<(), StoreError> {
        self.check_index()?;
        // Without the hive, nothing of this is known, which is reported.
        if self.store.components_hive().is_some() {
            self.check_deployments(updates);
            self.check_components_of_deployments();
            self.check_winners();
            self.check_folders();
        }
        Ok(())
    }

    fn check_deployments(&self, updates: &UpdateNames) {
        for (key, deployment) in &self.records.deployments {
            let place = format!(r"HKLM\COMPONENTS\{DEPLOYMENTS}\{key}");
            match &deployment.identity {
                Some(identity) if identity.deployment_key() != *key => {
                    self.findings.add(FindingKind::DeploymentName, &place, format!("`appid` is that of {}", identity.deployment_key()));
                }
                Some(identity) if !self.records.components.contains_key(&identity.keyform()) => {
                    self.findings.add(FindingKind::DeploymentWithoutComponent, &place, format!("{} is not registered", identity.keyform()));
                }
                Some(_) => {}
                None => self.findings.add(FindingKind::DeploymentName, &place, "it has no `appid` that can be read"),
            }
            self.check_catalog_of(&place, key, deployment);
            for (value, text) in &deployment.references {
                if let Some(problem) = self.problem_of_reference(value, text, updates) {
                    self.findings.add(FindingKind::ReferenceUnknown, &place, format!("`{value}`: {problem}"));
                }
            }
        }
        for (thumbprint, deployments) in &self.records.catalogs {
            for deployment in deployments.iter().filter(|deployment| !self.records.deployments.contains_key(*deployment)) {
                let place = format!(r"HKLM\COMPONENTS\{CATALOGS}\{thumbprint}");
                self.findings.add(FindingKind::DeploymentUnknown, place, format!("`c!{deployment}` leads nowhere"));
            }
        }
    }

    fn check_catalog_of(&self, place: &str, key: &str, deployment: &Deployment) {
        let Some(thumbprint) = &deployment.catalog else { return };
        let path = stored_catalog(thumbprint);
        if self.store.tree().at(&path).is_none() {
            self.findings.add(FindingKind::CatalogMissing, path, "it is not there, and a deployment needs it");
        }
        if !self.records.catalogs.get(&thumbprint.to_ascii_lowercase()).is_some_and(|deployments| deployments.contains(key)) {
            self.findings.add(FindingKind::CatalogUnknown, place, format!("its catalog {thumbprint} does not have it as `c!{key}`"));
        }
    }

    /// What is wrong with a reference (`PackageId.UpdateName`).
    fn problem_of_reference(&self, value: &str, text: &str, updates: &UpdateNames) -> Option<String> {
        let Some((package, update)) = split_reference(text) else { return Some(format!("`{text}` names no package and update")) };
        let known = self.store.packages().get_key_value(&package);
        let Some((package, _)) = known else { return Some(format!("package {package} is not registered")) };
        if updates.get(package).is_some_and(|names| !names.contains(&update.to_ascii_lowercase())) {
            return Some(format!("package {package} has no update {update}"));
        }
        let (_, hash) = value.rsplit_once('_')?;
        let expected = format!("{:016x}", string_hash(text));
        (!hash.eq_ignore_ascii_case(&expected)).then(|| format!("its name does not follow from `{text}`"))
    }

    fn check_components_of_deployments(&self) {
        for component in self.records.components.values() {
            if component.deployments.is_empty() {
                self.findings.add(FindingKind::ComponentUnreferenced, component.key(), "it has no `c!` value");
            }
            for deployment in component.deployments.iter().filter(|deployment| !self.records.deployments.contains_key(*deployment)) {
                self.findings.add(FindingKind::DeploymentUnknown, component.key(), format!("`c!{deployment}` leads nowhere"));
            }
        }
    }

    fn check_winners(&self) {
        // Versions of families that the store has, and whether they are installed.
        let mut versions: HashMap<String, HashMap<Version, bool>> = HashMap::new();
        for component in self.records.components.values() {
            let identity = component.identity.as_deref().and_then(|text| Identity::from_component_string(text).ok());
            // One without is reported with its manifest.
            let Some(identity) = identity else { continue };
            let installed = self.records.is_installed(component);
            versions.entry(identity.family_key()).or_default().insert(identity.version, installed);
        }
        let place = |family: &str, bucket: &str| format!(r"HKLM\SOFTWARE\{WINNERS}\{family}\{bucket}");
        for (family, versions) in &versions {
            let winners = self.records.winners.get(family);
            for version in versions.iter().filter(|(_, installed)| **installed).map(|(version, _)| *version) {
                let known =
                    winners.and_then(|winners| winners.get(&bucket(version))).is_some_and(|winner| winner.installed.contains(&version));
                if !known {
                    self.findings.add(
                        FindingKind::WinnerMissing,
                        place(family, &bucket(version)),
                        format!("version {version} is installed"),
                    );
                }
            }
        }
        let none = HashMap::new();
        for (family, winners) in &self.records.winners {
            let there = versions.get(family).unwrap_or(&none);
            for (bucket, Winner { version, installed }) in winners {
                for missing in installed.iter().filter(|version| !there.contains_key(version)) {
                    self.findings.add(FindingKind::WinnerUnknown, place(family, bucket), format!("the store has no version {missing}"));
                }
                for version in installed.iter().filter(|version| there.get(version) == Some(&false)) {
                    let detail = format!("version {version} is recorded, and not installed");
                    self.findings.add(FindingKind::WinnerNotInstalled, place(family, bucket), detail);
                }
                if let Some(highest) = installed.iter().max().filter(|highest| *highest != version) {
                    self.findings.add(
                        FindingKind::WinnerWrong,
                        place(family, bucket),
                        format!("{version} wins, and {highest} is installed"),
                    );
                }
            }
        }
    }

    /// Folders of components that are not registered.
    fn check_folders(&self) {
        let mut registered: HashSet<&str> = self.records.components.keys().map(String::as_str).collect();
        registered.extend(self.records.components.values().map(|component| component.keyform.as_str()));
        let Some(store) = self.store.tree().at(STORE_FOLDER) else { return };
        for folder in store.children().filter(wimwright_image::tree::Entry::is_directory) {
            let name = folder.name();
            // `architecture_name_token_version_culture_hash`; all others are the store's own.
            if name.split('_').count() >= 6 && !registered.contains(name.to_ascii_lowercase().as_str()) {
                self.findings.add(FindingKind::FolderOrphaned, format!("{STORE_FOLDER}/{name}"), "no component of this name is registered");
            }
        }
    }
}

/// The package and the update of a reference: the package's version is four numbers, what comes after them is the update's name.
pub(super) fn split_reference(text: &str) -> Option<(PackageId, &str)> {
    let version = text.rfind('~')? + 1;
    let end = text.get(version..)?.match_indices('.').nth(3)?.0 + version;
    Some((text.get(..end)?.parse().ok()?, text.get(end + 1..)?))
}

//! Features that are to be turned on and off.

use std::collections::BTreeSet;
use std::sync::Arc;

use wimwright_format::manifest::package::{Detection, Update};
use wimwright_format::manifest::{Package, PackageId};

use super::super::source::PackageSource;
use super::super::state::State;
use super::Request;
use super::assess::Assessor;
use super::capability::Companions;
use super::error::{PlanError, nearest};
use super::planner::Planner;
use super::verdict::Selector;

/// Features above each other at most.
const MAX_CHAIN: usize = 64;

impl Planner<'_> {
    /// A feature that no installed package has can be in a delivery that nobody asked to install: that serves as its source.
    pub(super) fn resolve_features(&self, request: &Request, companions: &mut Companions) -> Result<(), PlanError> {
        let languages = self.languages(request);
        for name in &request.enable {
            if self.find(name).is_ok() {
                continue;
            }
            let has = |source: &PackageSource| {
                let root = source.package(&source.root);
                root.is_some_and(|package| feature(&package.manifest, name).is_some() && source.root.language.is_empty())
            };
            let Some(number) = self.best_delivery(has) else { continue };
            if request.updates.contains(&number) {
                continue;
            }
            companions.required.insert(number);
            if let Some(source) = self.model.sources.get(number) {
                companions.optional.extend(self.satellites(&source.root, &languages));
            }
        }
        companions.optional.retain(|number| !companions.required.contains(number));
        Ok(())
    }

    /// What was asked for has come to pass.
    pub(super) fn check_features(&self, request: &Request) -> Result<(), PlanError> {
        for name in &request.enable {
            let (package, manifest) = self.find(name)?;
            let Some(update) = feature(&manifest, name) else { continue };
            if !self.model.update_state(&package, update)?.is_installed() {
                let assessed = Assessor::new(&self.model).assess(&package, State::INSTALLED)?;
                let number = manifest.updates.iter().position(|other| std::ptr::eq(other, update));
                let assessed = assessed.as_ref().zip(number).and_then(|(assessed, number)| assessed.updates.get(number));
                let reason = match assessed {
                    // It could be on, and nobody asks its package to go along.
                    Some(update) if update.state.is_installed() => {
                        format!("its package {package} belongs to others, and none that is installed for its own sake carries it")
                    }
                    Some(update) => update.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
                    None => format!("its package {package} does not have it any more"),
                };
                return Err(PlanError::FeatureUnavailable { name: name.clone(), reason });
            }
        }
        Ok(())
    }

    /// Notes which features are to be on and off, with the features that they follow, as `dism /All` does. What follows from it is
    /// decided when the plan settles.
    pub(super) fn select_features(&mut self, request: &Request) -> Result<(), PlanError> {
        for disable in &request.disable {
            self.find(&disable.name)?;
            let name = disable.name.to_ascii_lowercase();
            self.model.selected.insert(name.clone(), (false, Selector::Request));
            if disable.remove_payload {
                self.model.unwanted.insert(name);
            }
        }
        for name in &request.enable {
            self.select(name, Selector::Request, 0)?;
        }
        Ok(())
    }

    /// The package whose feature it is, in its newest installed version.
    fn find(&self, name: &str) -> Result<(PackageId, Arc<Package>), PlanError> {
        let (mut staged, mut lost) = (None, None);
        let candidates: BTreeSet<&PackageId> = self.model.named(name).collect();
        for id in candidates.into_iter().rev() {
            let Some(manifest) = self.model.manifest(id)? else {
                lost = lost.or_else(|| self.model.lacks_manifest(id).then(|| id.to_string()));
                continue;
            };
            if feature(&manifest, name).is_none() {
                continue;
            }
            if self.model.state(id).is_installed() {
                return Ok((id.clone(), manifest));
            }
            staged.get_or_insert(id.clone());
        }
        if let Some(package) = lost {
            return Err(PlanError::NoManifest { package, need: format!("it has the feature `{name}`") });
        }
        if let Some(package) = staged {
            let state = self.model.state(&package);
            return Err(PlanError::FeatureOfPackage { name: name.to_owned(), package: package.to_string(), state });
        }
        self.find_unrecorded(name)
    }

    /// A feature that was never switched may have no record: the manifests of the installed packages know it. Those that are damaged
    /// are not in its way.
    fn find_unrecorded(&self, name: &str) -> Result<(PackageId, Arc<Package>), PlanError> {
        let mut names: BTreeSet<String> = self.model.names().map(str::to_owned).collect();
        for (id, _) in self.model.packages.iter().rev().filter(|(_, known)| known.state.is_installed()) {
            let Ok(Some(manifest)) = self.model.manifest(id) else { continue };
            if feature(&manifest, name).is_some() {
                return Ok((id.clone(), manifest));
            }
            names.extend(manifest.features().map(|feature| feature.name.clone()));
        }
        Err(PlanError::UnknownFeature { name: name.to_owned(), nearest: nearest(name, names.iter().map(String::as_str)) })
    }

    fn select(&mut self, name: &str, by: Selector, depth: usize) -> Result<(), PlanError> {
        let (package, manifest) = self.find(name)?;
        let key = name.to_ascii_lowercase();
        match self.model.selected.get(&key) {
            Some((true, _)) => return Ok(()),
            Some((false, _)) => return Err(PlanError::Contradiction { name: name.to_owned() }),
            None => {}
        }
        if depth > MAX_CHAIN {
            let reason = format!("it follows more than {MAX_CHAIN} others");
            return Err(PlanError::FeatureUnavailable { name: name.to_owned(), reason });
        }
        self.model.selected.insert(key, (true, by));
        let Some(update) = feature(&manifest, name) else { return Ok(()) };
        let depth = depth.saturating_add(1);
        let Some(applicable) = &update.applicable else { return Ok(()) };
        let mut followed = None;
        for detection in &applicable.detections {
            let Some(other) = name_of(detection) else { continue };
            if self.is_on(&package, &manifest, detection)? {
                return Ok(());
            }
            followed.get_or_insert(other);
        }
        match followed {
            Some(other) => self.select(other, Selector::Dependant, depth),
            None => Ok(()),
        }
    }

    /// Whether what a detection is about is on, and stays so.
    fn is_on(&self, package: &PackageId, manifest: &Package, detection: &Detection) -> Result<bool, PlanError> {
        let Some(name) = name_of(detection) else { return Ok(false) };
        if let Some((on, _)) = self.model.selected.get(&name.to_ascii_lowercase()) {
            return Ok(*on);
        }
        match manifest.updates.iter().find(|other| other.name.eq_ignore_ascii_case(name)) {
            Some(own) if matches!(detection, Detection::Update { .. }) => Ok(self.model.update_state(package, own)?.is_installed()),
            _ => Ok(super::applicability::feature(&self.model, manifest, detection)?.met),
        }
    }
}

fn feature<'p>(manifest: &'p Package, name: &str) -> Option<&'p Update> {
    manifest.features().find(|update| update.name.eq_ignore_ascii_case(name))
}

fn name_of(detection: &Detection) -> Option<&str> {
    match detection {
        Detection::Update { name } => Some(name),
        Detection::Parent(parent) => parent.name.as_deref(),
    }
}

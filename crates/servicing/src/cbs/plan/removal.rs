//! Packages that are to leave the image.

use std::collections::BTreeSet;

use wimwright_format::manifest::PackageId;

use super::super::state::State;
use super::applicability;
use super::apply::Decider;
use super::error::{PlanError, nearest};
use super::planner::Planner;
use super::verdict::Reason;

impl Planner<'_> {
    /// Removes packages by their whole identities, with what they alone own. The newest older version that they superseded comes
    /// back.
    pub(super) fn remove(&mut self, names: &[String]) -> Result<(), PlanError> {
        let mut wanted = BTreeSet::new();
        for name in names {
            wanted.insert(self.removable(name)?);
        }
        for id in &wanted {
            let mut decider = Decider::new(&mut self.model, &mut self.log);
            let carried = decider.remove(id, Reason::Requested)?;
            for child in carried {
                decider.release(id, &child)?;
            }
        }
        for id in &wanted {
            self.restore(id);
        }
        let dependants = if wanted.is_empty() { Vec::new() } else { self.dependants()? };
        if dependants.is_empty() {
            return Ok(());
        }
        Err(PlanError::Needed { packages: wanted.iter().map(ToString::to_string).collect(), dependants })
    }

    fn removable(&self, name: &str) -> Result<PackageId, PlanError> {
        let id = name.parse::<PackageId>().ok();
        let known = id.and_then(|id| self.model.packages.get_key_value(&id)).filter(|(_, known)| known.state != State::ABSENT);
        let Some((id, known)) = known else {
            let there: Vec<String> = self.model.packages.keys().map(ToString::to_string).collect();
            let nearest = nearest(name, there.iter().map(String::as_str));
            return Err(PlanError::UnknownPackage { name: name.to_owned(), nearest });
        };
        if self.model.lacks_manifest(id) {
            return Err(PlanError::NoManifest { package: id.to_string(), need: "it is to be removed".to_owned() });
        }
        let manifest = self.model.manifest(id)?;
        let permanence = manifest.as_ref().and_then(|manifest| manifest.permanence.as_deref());
        if known.state == State::PERMANENT || permanence.is_some_and(|word| word.eq_ignore_ascii_case("permanent")) {
            return Err(PlanError::Permanent { package: id.to_string() });
        }
        if !known.owners.is_empty() && !known.owners.contains(id) {
            let owners = known.owners.iter().map(ToString::to_string).collect();
            return Err(PlanError::Owned { package: id.to_string(), owners });
        }
        Ok(id.clone())
    }

    /// What a removed version had superseded has its effect again, unless something newer is there still.
    fn restore(&mut self, id: &PackageId) {
        let older = self.model.versions(id).rev().find(|(_, known)| known.state >= State::SUPERSEDED);
        let Some((older, known)) = older.filter(|(_, known)| known.state == State::SUPERSEDED) else { return };
        let (older, before) = (older.clone(), known.state);
        let mut decider = Decider::new(&mut self.model, &mut self.log);
        decider.set(&older, State::INSTALLED);
        decider.verdict(&older, None, before, State::INSTALLED, vec![Reason::Restored { package: id.clone() }]);
    }

    /// Installed packages whose parents were there, and no longer are.
    fn dependants(&self) -> Result<Vec<String>, PlanError> {
        let mut found = Vec::new();
        for (id, known) in &self.model.packages {
            if !known.state.is_installed() {
                continue;
            }
            let Some(manifest) = self.model.manifest(id)? else { continue };
            let (before, _) = applicability::parents(&self.base, &manifest);
            let (after, _) = applicability::parents(&self.model, &manifest);
            if after < before {
                found.push(id.to_string());
            }
        }
        Ok(found)
    }
}

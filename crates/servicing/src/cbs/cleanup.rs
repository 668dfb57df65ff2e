//! Cleanup: what `dism /Cleanup-Image /StartComponentCleanup` does, as far as it is provably safe.
//!
//! Superseded packages lose their references; deployments and components to which nothing refers any more leave the store. A
//! component that any package still refers to stays, and so does every winner. Checkpoints stay: later cumulative updates lead back
//! to them (`Baseline`, abbodi1406's W10UI).

use std::collections::BTreeSet;

use wimwright_format::manifest::PackageId;
use wimwright_format::manifest::package::Payload;
use wimwright_image::registry;

use super::install::component_deployments;

use super::plan::{PackageChange, UpdateChange};
use super::state::State;
use super::store::{PackageRecord, SERVICING, Store, StoreError};

/// The changes that remove superseded packages, each with the packages that it alone owns. One whose components still win, since what
/// superseded it does not have them, stays.
///
/// # Errors
/// A manifest of the store is missing or damaged.
pub fn superseded(store: &Store) -> Result<Vec<PackageChange>, StoreError> {
    let mut changes = Vec::new();
    for (id, record) in store.packages().iter().filter(|(_, record)| record.state == State::SUPERSEDED) {
        let mut kept = is_checkpoint(store, id)?;
        for owner in record.owners.keys().filter(|owner| *owner != id) {
            let current = store.packages().get(owner).is_some_and(|owner| owner.state != State::SUPERSEDED);
            kept |= current || is_checkpoint(store, owner)?;
        }
        if kept {
            continue;
        }
        let removed = with_owned(store, id);
        if still_wins(store, &removed)? {
            continue;
        }
        for id in removed {
            if let Some(record) = store.packages().get(&id) {
                changes.push(removal(store, id, record)?);
            }
        }
    }
    Ok(changes)
}

fn removal(store: &Store, id: PackageId, record: &PackageRecord) -> Result<PackageChange, StoreError> {
    let manifest = store.package_manifest(&id)?;
    let mut updates = Vec::new();
    for (number, update) in manifest.updates.iter().enumerate() {
        let before = store.update_state(&id, update)?;
        if before != State::ABSENT {
            updates.push(UpdateChange { update: number, before, after: State::ABSENT });
        }
    }
    let (before, visible) = (record.state, record.visible);
    Ok(PackageChange { package: id, source: None, manifest, before, after: State::ABSENT, updates, visible, owners: Vec::new() })
}

/// A package and all that it alone owns, directly or through those.
fn with_owned(store: &Store, id: &PackageId) -> BTreeSet<PackageId> {
    let mut owned = BTreeSet::from([id.clone()]);
    loop {
        let before = owned.len();
        for (id, record) in store.packages() {
            let mut owners = record.owners.keys().filter(|owner| *owner != id).peekable();
            if owners.peek().is_some() && owners.all(|owner| owned.contains(owner)) && !record.owners.contains_key(id) {
                owned.insert(id.clone());
            }
        }
        if owned.len() == before {
            return owned;
        }
    }
}

/// True when a winner is installed by these packages alone. Deployments do not count: each update has its own.
fn still_wins(store: &Store, packages: &BTreeSet<PackageId>) -> Result<bool, StoreError> {
    let mut seen = BTreeSet::new();
    for id in packages {
        let manifest = store.package_manifest(id)?;
        for payload in manifest.updates.iter().flat_map(|update| &update.payload) {
            let (Payload::Component(identity) | Payload::Driver { identity, .. }) = payload else { continue };
            let mut open = vec![identity.clone()];
            while let Some(identity) = open.pop() {
                let keyform = identity.keyform();
                if !seen.insert(keyform.clone()) {
                    continue;
                }
                let Some(found) = store.component(&keyform)? else { continue };
                open.extend(found.component.install_dependencies().cloned());
                let wins = store.winner(&identity)?.is_some_and(|winner| winner.version == identity.version);
                if wins && !found.component.is_deployment && !is_installed_by_others(store, &keyform, packages)? {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn is_installed_by_others(store: &Store, keyform: &str, packages: &BTreeSet<PackageId>) -> Result<bool, StoreError> {
    for key in component_deployments(store, keyform)? {
        for (name, reference) in store.deployment(&key)?.unwrap_or_default().references {
            // `PackageId.UpdateName`
            let own = packages.iter().any(|id| {
                let id = id.to_string();
                reference.get(..id.len()).is_some_and(|start| start.eq_ignore_ascii_case(&id))
                    && reference.get(id.len()..).is_some_and(|rest| rest.starts_with('.'))
            });
            if name.to_ascii_lowercase().starts_with("i!") && !own {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn is_checkpoint(store: &Store, id: &PackageId) -> Result<bool, StoreError> {
    let baseline = registry::number(store.software_hive(), &format!("{SERVICING}\\Packages\\{id}"), "Baseline");
    Ok(baseline.map_err(|source| StoreError::Hive { path: registry::HiveFile::Software.path(), source })? == Some(1))
}

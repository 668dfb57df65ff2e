//! Cleanup: what `dism /Cleanup-Image /StartComponentCleanup` does, as far as it is provably safe.
//!
//! Superseded packages lose their references; deployments and components to which nothing refers any more leave the store. A
//! component that any package still refers to stays, and so does every winner. A superseded package that owns an installed one stays with it. Checkpoints stay: later cumulative updates lead back
//! to them (`Baseline`, abbodi1406's W10UI).

use std::collections::BTreeSet;

use wimwright_format::manifest::PackageId;
use wimwright_image::registry;

use super::plan::{PackageChange, UpdateChange};
use super::state::State;
use super::store::{SERVICING, Store, StoreError};

/// The changes that remove superseded packages.
///
/// # Errors
/// A manifest of the store is missing or damaged.
pub fn superseded(store: &Store) -> Result<Vec<PackageChange>, StoreError> {
    let mut removable = BTreeSet::new();
    for (id, _) in store.packages().iter().filter(|(_, record)| record.state == State::SUPERSEDED) {
        if !is_checkpoint(store, id)? && !is_owned(store, id) {
            removable.insert(id);
        }
    }
    // What owns a package that stays, stays.
    loop {
        let staying = store.packages().iter().filter(|(id, _)| !removable.contains(id));
        let owners: BTreeSet<_> = staying.flat_map(|(_, record)| record.owners.keys()).collect();
        let count = removable.len();
        removable.retain(|id| !owners.contains(id));
        if removable.len() == count {
            break;
        }
    }
    let mut changes = Vec::new();
    for (id, record) in store.packages().iter().filter(|(id, _)| removable.contains(id)) {
        let manifest = store.package_manifest(id)?;
        let mut updates = Vec::new();
        for (number, update) in manifest.updates.iter().enumerate() {
            let before = store.update_state(id, update)?;
            if before != State::ABSENT {
                updates.push(UpdateChange { update: number, before, after: State::ABSENT });
            }
        }
        changes.push(PackageChange {
            package: id.clone(),
            source: None,
            manifest,
            before: record.state,
            after: State::ABSENT,
            updates,
            visible: record.visible,
            owners: Vec::new(),
        });
    }
    Ok(changes)
}

fn is_checkpoint(store: &Store, id: &PackageId) -> Result<bool, StoreError> {
    let baseline = registry::number(store.software_hive(), &format!("{SERVICING}\\Packages\\{id}"), "Baseline");
    Ok(baseline.map_err(|source| StoreError::Hive { path: registry::HiveFile::Software.path(), source })? == Some(1))
}

/// True when a package that is not superseded itself owns it.
fn is_owned(store: &Store, id: &PackageId) -> bool {
    let Some(record) = store.packages().get(id) else { return false };
    let current = |owner: &PackageId| store.packages().get(owner).is_some_and(|owner| owner.state != State::SUPERSEDED);
    record.owners.keys().any(|owner| owner != id && current(owner))
}

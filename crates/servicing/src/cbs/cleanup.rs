//! Cleanup: what `dism /Cleanup-Image /StartComponentCleanup` does, as far as it is provably safe.
//!
//! Superseded packages lose their references; deployments and components to which nothing refers any more leave the store. A
//! component that any package still refers to stays, and so does every winner. Checkpoints stay: later cumulative updates lead back
//! to them (`Baseline`, abbodi1406's W10UI).

use std::collections::{BTreeSet, HashMap};

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
    let owned = Owned::of(store);
    let mut changes = Vec::new();
    let mut gone = BTreeSet::new();
    for (id, record) in store.packages().iter().filter(|(_, record)| record.state == State::SUPERSEDED) {
        if gone.contains(id) {
            continue;
        }
        let mut kept = is_checkpoint(store, id)?;
        for owner in record.owners.keys().filter(|owner| *owner != id) {
            let current = store.packages().get(owner).is_some_and(|owner| owner.state != State::SUPERSEDED);
            kept |= current || is_checkpoint(store, owner)?;
        }
        if kept {
            continue;
        }
        let removed = owned.with(store, id, &gone);
        if still_wins(store, &removed, &gone)? {
            continue;
        }
        for id in removed {
            if let Some(record) = store.packages().get(&id)
                && gone.insert(id.clone())
            {
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

/// What each package owns besides itself.
struct Owned<'a>(HashMap<&'a PackageId, Vec<&'a PackageId>>);

impl<'a> Owned<'a> {
    fn of(store: &'a Store) -> Self {
        let mut owned: HashMap<_, Vec<_>> = HashMap::new();
        for (id, record) in store.packages() {
            record.owners.keys().filter(|owner| *owner != id).for_each(|owner| owned.entry(owner).or_default().push(id));
        }
        Self(owned)
    }

    /// A package and all that it alone owns, directly or through those, but for what has gone already.
    fn with(&self, store: &Store, id: &PackageId, gone: &BTreeSet<PackageId>) -> BTreeSet<PackageId> {
        let mut found = BTreeSet::from([id.clone()]);
        let mut open = vec![id.clone()];
        while let Some(owner) = open.pop() {
            for id in self.0.get(&owner).into_iter().flatten() {
                let record = store.packages().get(*id).filter(|_| !gone.contains(id));
                let alone = |owner: &PackageId| found.contains(owner) || gone.contains(owner);
                if record.is_some_and(|record| record.owners.keys().all(alone)) && found.insert((*id).clone()) {
                    open.push((*id).clone());
                }
            }
        }
        found
    }
}

/// True when a winner is installed by these packages alone, but for those that go before. Deployments do not count: each update has
/// its own.
fn still_wins(store: &Store, packages: &BTreeSet<PackageId>, gone: &BTreeSet<PackageId>) -> Result<bool, StoreError> {
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
                let goes = |id: &PackageId| packages.contains(id) || gone.contains(id);
                if wins && !found.component.is_deployment && !is_installed_by_others(store, &keyform, goes)? {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// True when a package that stays has the component installed.
fn is_installed_by_others(store: &Store, keyform: &str, goes: impl Fn(&PackageId) -> bool) -> Result<bool, StoreError> {
    for key in component_deployments(store, keyform)? {
        for (name, reference) in store.deployment(&key)?.unwrap_or_default().references {
            if name.to_ascii_lowercase().starts_with("i!") && !package_of(&reference).is_some_and(|id| goes(&id)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The package of a reference, `name~token~architecture~language~a.b.c.d.UpdateName`.
fn package_of(reference: &str) -> Option<PackageId> {
    let version = reference.match_indices('~').nth(3)?.0;
    let end = reference.get(version..)?.match_indices('.').nth(3)?.0;
    reference.get(..version.checked_add(end)?)?.parse().ok()
}

fn is_checkpoint(store: &Store, id: &PackageId) -> Result<bool, StoreError> {
    let baseline = registry::number(store.software_hive(), &format!("{SERVICING}\\Packages\\{id}"), "Baseline");
    Ok(baseline.map_err(|source| StoreError::Hive { path: registry::HiveFile::Software.path(), source })? == Some(1))
}

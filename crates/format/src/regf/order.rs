//! Which subkey lists are known to be in order.
//!
//! A list need not be sorted on disk, so a bisection that finds nothing proves nothing until the list was looked through.
//! A list that is in order stays so: edits refuse others, and put each key in its place.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::KeyId;

/// Scans of a key's list before its order is checked: the check reads every subkey, the scan of a hash leaf none.
const SCANS_BEFORE_CHECK: u8 = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Not known after so many scans.
    Scanned(u8),
    Sorted,
    Unsorted,
}

/// What is known of the subkey lists, by the cells of their keys.
#[derive(Default)]
pub(super) struct KnownOrder(Mutex<HashMap<u32, Order>>);

impl Clone for KnownOrder {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.lock().clone()))
    }
}

impl KnownOrder {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Order>> {
        // Every single change of the map is complete.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when the key's subkeys are known to be in order.
    pub fn is_sorted(&self, key: KeyId) -> bool {
        self.lock().get(&key.0) == Some(&Order::Sorted)
    }

    /// Notes that the key's list has to be scanned; true when that has happened so often that its order should be checked.
    pub fn count_scan(&self, key: KeyId) -> bool {
        let mut known = self.lock();
        let Order::Scanned(scans) = known.entry(key.0).or_insert(Order::Scanned(0)) else { return false };
        *scans = scans.saturating_add(1);
        *scans > SCANS_BEFORE_CHECK
    }

    /// Notes what a check has found.
    pub fn note(&self, key: KeyId, sorted: bool) {
        self.lock().insert(key.0, if sorted { Order::Sorted } else { Order::Unsorted });
    }

    /// A key's cell is freed.
    pub fn forget(&self, key: KeyId) {
        self.lock().remove(&key.0);
    }

    /// A key moves to another cell.
    pub fn move_key(&self, from: KeyId, to: KeyId) {
        let mut known = self.lock();
        if let Some(order) = known.remove(&from.0) {
            known.insert(to.0, order);
        }
    }
}

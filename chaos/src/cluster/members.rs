//! Which nodes are members now: nemeses change it, everybody else asks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ids of the members; a clone is another handle on them.
#[derive(Debug, Clone)]
pub(crate) struct Members(Arc<Mutex<BTreeSet<u64>>>);

impl Members {
    /// The members to begin with.
    pub(crate) fn new(ids: impl IntoIterator<Item = u64>) -> Self {
        Self(Arc::new(Mutex::new(ids.into_iter().collect())))
    }

    /// Their ids, in order.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.lock().iter().copied().collect()
    }

    /// From now on these are the members.
    pub(super) fn set(&self, ids: impl IntoIterator<Item = u64>) {
        *self.lock() = ids.into_iter().collect();
    }

    /// A node is one.
    pub(super) fn add(&self, id: u64) {
        self.lock().insert(id);
    }

    /// A node is none.
    pub(super) fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

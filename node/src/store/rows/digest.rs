//! A digest over every row: two replicas at the same applied position must have the same one.

use super::columns::Column;
use super::{APPLIED, Progress, RowStore};
use crate::store::fatal_io;

impl RowStore {
    /// BLAKE3 over every column, key and value, and the position that they are worth. Blocks; reads everything.
    ///
    /// Reads one snapshot of the store, so it may run while entries are applied.
    pub fn digest(&self) -> (Progress, blake3::Hash) {
        let snapshot = self.db.view();
        let mut hasher = blake3::Hasher::new();
        for column in Column::ALL {
            hasher.update(column.name().as_bytes());
            for item in snapshot.ascend(column.name(), &[], None) {
                let (key, value) = item.unwrap_or_else(|error| fatal_io("digest rows", &error));
                update(&mut hasher, &key);
                update(&mut hasher, &value);
            }
        }
        let applied = snapshot
            .get(Column::Progress.name(), APPLIED)
            .unwrap_or_else(|error| fatal_io("digest rows", &error));
        let progress = applied.map_or_else(Progress::default, |value| self.decoded("progress", &value));
        (progress, hasher.finalize())
    }
}

/// Length first, so that no two sequences of keys and values read the same.
fn update(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

//! Which functions a child knows, counted in step with the child.
//!
//! The child keeps its 128 most recently used functions (`functions.py`). Repeating its bookkeeping
//! here tells the agent when a payload must be sent again, without asking.

use std::collections::HashMap;

use super::job::FunctionKey;

/// Must agree with `LIMIT` in `python/raftwork/_runtime/functions.py`.
const LIMIT: usize = 128;

/// The functions that one child knows, by their last use.
#[derive(Debug, Default)]
pub(super) struct KnownFunctions {
    last_use: HashMap<FunctionKey, u64>,
    uses: u64,
}

impl KnownFunctions {
    /// Whether the child knows `key`.
    pub(super) fn contains(&self, key: &FunctionKey) -> bool {
        self.last_use.contains_key(key)
    }

    /// Records that `key` is used now; returns true if its payload must be sent first.
    pub(super) fn use_now(&mut self, key: FunctionKey) -> bool {
        self.uses += 1;
        let new = self.last_use.insert(key, self.uses).is_none();
        if self.last_use.len() > LIMIT {
            let oldest = self.last_use.iter().min_by_key(|(_, used)| **used).map(|(key, _)| *key);
            self.last_use.remove(&oldest.expect("the map holds more than LIMIT entries"));
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> FunctionKey {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        FunctionKey(bytes)
    }

    #[test]
    fn the_function_unused_for_longest_is_forgotten_first() {
        let mut known = KnownFunctions::default();
        assert!((0..LIMIT).all(|number| known.use_now(key(number))));
        assert!(!known.use_now(key(0)));
        assert!(known.use_now(key(LIMIT)));
        assert!(known.contains(&key(0)));
        assert!(known.use_now(key(1)), "key 1 was the oldest and was dropped");
    }
}

//! A table that is asked on every command of an entry, and never listed: in what order its keys lie is nobody's business.
//!
//! A tree in its place cost a fifth of what `apply` does (`benches/instructions.toml`): a node to allocate and free for an
//! entry of one command, and a walk to free a tree of many.
#![expect(clippy::disallowed_types, reason = "nothing here can be listed, so the order in it is never seen")]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::mix::mix;

/// Values by key, which can only be written and asked for.
#[derive(Debug)]
pub(super) struct Lookup<K, V> {
    /// The first one, which is the only one in an entry of one command: no memory is asked for.
    first: Option<(K, V)>,
    others: HashMap<K, V, BuildHasherDefault<Mixed>>,
}

impl<K, V> Default for Lookup<K, V> {
    fn default() -> Self {
        Self { first: None, others: HashMap::default() }
    }
}

impl<K: Eq + Hash, V> Lookup<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        match &self.first {
            Some((first, value)) if first == key => Some(value),
            // What does not occur is not hashed.
            Some(_) if !self.others.is_empty() => self.others.get(key),
            Some(_) | None => None,
        }
    }

    /// Returns what was there before.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match &mut self.first {
            Some((first, there)) if *first == key => Some(std::mem::replace(there, value)),
            Some(_) => self.others.insert(key, value),
            None => {
                self.first = Some((key, value));
                None
            }
        }
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, more: usize) {
        self.others.reserve(more.saturating_sub(1));
    }
}

/// Mixes ids, whose bits may be chosen by whoever submits, eight bytes at a time. The same on every replica.
#[derive(Debug, Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.0 = mix(self.0 ^ u64::from_ne_bytes(*word));
        }
        for byte in rest {
            self.0 = mix(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = mix(self.0 ^ u64::from(number));
    }

    /// Lengths of ids, which are all the same.
    fn write_usize(&mut self, _: usize) {}
}

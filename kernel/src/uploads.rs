//! What is being sent in pieces: which are there, and when those of a sender that stopped are dropped.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::time::LogTime;

/// Something that is being sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Size of each piece that is there: the number of items of a piece of a map, the bytes of a part of a payload.
    pub pieces: BTreeMap<u32, u32>,
    /// When it may be forgotten, unless it goes on.
    pub expires: LogTime,
}

impl Upload {
    /// Number of pieces from the first one on without a gap, which is the place of the first one that is missing.
    pub(crate) fn unbroken(&self) -> u32 {
        let there = (0..).zip(self.pieces.keys()).take_while(|(index, there)| index == *there);
        u32::try_from(there.count()).expect("places are of 32 bits")
    }

    /// Sizes of all pieces together.
    pub(crate) fn size(&self) -> u64 {
        self.pieces.values().map(|len| u64::from(*len)).sum()
    }

    /// The place after the last piece.
    pub(crate) fn end(&self) -> u32 {
        self.pieces.last_key_value().map_or(0, |(index, _)| index + 1)
    }
}

/// All that is being sent of one kind, and the order in which it is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uploads<K> {
    kept: BTreeMap<K, Upload>,
    ends: BTreeSet<(LogTime, K)>,
}

impl<K> Default for Uploads<K> {
    fn default() -> Self {
        Self { kept: BTreeMap::new(), ends: BTreeSet::new() }
    }
}

impl<K: Ord + Copy> Uploads<K> {
    pub(crate) fn get(&self, id: &K) -> Option<&Upload> {
        self.kept.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &Upload)> {
        self.kept.iter()
    }

    /// The ids from one to another, both included.
    pub(crate) fn between(&self, from: K, to: K) -> impl Iterator<Item = K> {
        self.kept.range(from..=to).map(|(id, _)| *id)
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(crate) fn put(&mut self, id: K, upload: Upload) {
        self.remove(&id);
        self.ends.insert((upload.expires, id));
        self.kept.insert(id, upload);
    }

    pub(crate) fn remove(&mut self, id: &K) -> Option<Upload> {
        let upload = self.kept.remove(id)?;
        self.ends.remove(&(upload.expires, *id));
        Some(upload)
    }

    /// The one that may be forgotten first.
    pub(crate) fn next_end(&self) -> Option<(LogTime, K)> {
        self.ends.first().copied()
    }

    /// # Errors
    /// When the order is not what the uploads say.
    pub(crate) fn check(&self) -> Result<(), String> {
        let ends: BTreeSet<(LogTime, K)> =
            self.kept.iter().map(|(id, upload)| (upload.expires, *id)).collect();
        if ends == self.ends { Ok(()) } else { Err("the order of uploads is not what they say".to_owned()) }
    }
}

//! Values that many tasks share: each is kept once, counted, and named by its slot.

use std::collections::BTreeMap;

use super::slab::{Slab, Slot};

/// Every value that a live task has.
#[derive(Debug, Clone)]
pub(super) struct Interned<T> {
    kept: Slab<Kept<T>>,
    slots: BTreeMap<T, Slot>,
}

#[derive(Debug, Clone)]
struct Kept<T> {
    value: T,
    /// Number of live tasks that have it.
    tasks: u32,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { kept: Slab::default(), slots: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> Interned<T> {
    pub(super) fn get(&self, slot: Slot) -> &T {
        &self.kept.get(slot).value
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn contains(&self, value: &T) -> bool {
        self.slots.contains_key(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&T, Slot)> {
        self.slots.iter().map(|(value, slot)| (value, *slot))
    }

    pub(super) fn intern(&mut self, value: T) -> Slot {
        let slot = if let Some(slot) = self.slots.get(&value) {
            *slot
        } else {
            let slot = self.kept.insert(Kept { value: value.clone(), tasks: 0 });
            self.slots.insert(value, slot);
            slot
        };
        self.kept.get_mut(slot).tasks += 1;
        slot
    }

    /// One task less has this value.
    pub(super) fn release(&mut self, slot: Slot) {
        let kept = self.kept.get_mut(slot);
        kept.tasks -= 1;
        if kept.tasks == 0 {
            let Kept { value, .. } = self.kept.remove(slot);
            self.slots.remove(&value);
        }
    }

    /// Each value and its number of tasks.
    pub(super) fn counts(&self) -> BTreeMap<T, u32> {
        self.slots.iter().map(|(value, slot)| (value.clone(), self.kept.get(*slot).tasks)).collect()
    }
}

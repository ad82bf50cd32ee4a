//! What is limited: every key that something speaks of, with its limit, who holds it, and which queues wait for it.

use core::ops::Bound::{Excluded, Unbounded};
use std::collections::{BTreeMap, BTreeSet};

use super::super::ready::Needed;
use super::super::slab::{Slab, Slot};
use crate::ids::Seq;
use crate::limit::{Limit, LimitKind, LimitName};
use crate::time::LogTime;

/// Where the head of a queue stands among all: what it needs, and when it was accepted, its rank counted in and not.
pub(super) type Place = (Needed, Seq, Seq);

/// A queue at the place of its head: its gate and its rank.
pub(super) type Entry = (Slot, u8);

/// One limit and what hangs on it.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: LimitName,
    pub(super) limit: Limit,
    /// Live tasks that name it.
    pub(super) tasks: u32,
    /// Those of them that are leased.
    pub(super) held: u32,
    /// The queues that are kept here, by the places of their heads.
    pub(super) entries: BTreeMap<Place, Entry>,
    /// The first entry of each need, while the limit has room: what `Keys::fronts` has of this one.
    fronts: Vec<Place>,
}

impl Key {
    pub(super) fn room(&self) -> u64 {
        self.limit.room(self.held)
    }

    /// When time alone changes it.
    pub(super) fn due(&self) -> Option<LogTime> {
        if self.name.kind == LimitKind::Rate { self.limit.due() } else { None }
    }

    fn is_idle(&self) -> bool {
        self.tasks == 0 && self.limit.by_hand.is_none() && self.limit.starts.is_empty()
    }

    fn first_of_each_need(&self) -> Vec<Place> {
        let mut firsts: Vec<Place> = Vec::new();
        let mut next = self.entries.first_key_value();
        while let Some((place, _)) = next {
            firsts.push(*place);
            let rest = (place.0, Seq(u64::MAX), Seq(u64::MAX));
            next = self.entries.range((Excluded(rest), Unbounded)).next();
        }
        firsts
    }
}

/// Every key.
///
/// Invariants, checked with the others of the live tasks:
/// - a key is here exactly as long as a task names it, a setting was made by hand, or a start still counts;
/// - `fronts` has the first entry of each need of each key that has room, and nothing else;
/// - `due` has each key of which time alone changes something.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    slab: Slab<Key>,
    by_name: BTreeMap<LimitName, Slot>,
    pub(super) fronts: BTreeMap<Place, Slot>,
    due: BTreeSet<(LogTime, LimitName)>,
    /// Limits whose rows are not what is here any more.
    changed: BTreeSet<LimitName>,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn get(&self, slot: Slot) -> &Key {
        self.slab.get(slot)
    }

    pub(super) fn find(&self, name: &LimitName) -> Option<Slot> {
        self.by_name.get(name).copied()
    }

    /// Each, by name, or those after one of them.
    pub(super) fn after(&self, name: Option<&LimitName>) -> impl Iterator<Item = &Key> {
        let first = name.map_or(Unbounded, Excluded);
        self.by_name.range::<LimitName, _>((first, Unbounded)).map(|(_, slot)| self.slab.get(*slot))
    }

    /// The key of this name; a new one, if need be.
    pub(super) fn find_or_add(&mut self, name: &LimitName) -> Slot {
        if let Some(slot) = self.find(name) {
            return slot;
        }
        let slot = self.slab.insert(Key {
            name: name.clone(),
            limit: Limit::default(),
            tasks: 0,
            held: 0,
            entries: BTreeMap::new(),
            fronts: Vec::new(),
        });
        self.by_name.insert(name.clone(), slot);
        slot
    }

    /// Changes a key and keeps the orders true. One that nothing speaks of any more is dropped.
    pub(super) fn update<T>(&mut self, slot: Slot, change: impl FnOnce(&mut Key) -> T) -> T {
        let key = self.slab.get_mut(slot);
        let due_before = key.due();
        let changed = change(key);
        let due = key.due();
        if due != due_before {
            let name = &key.name;
            due_before.map(|due| self.due.remove(&(due, name.clone())));
            due.map(|due| self.due.insert((due, name.clone())));
        }
        let has_room = key.room() > 0;
        // Nothing waits, as before: the common case.
        if !(key.entries.is_empty() && key.fronts.is_empty()) {
            let fronts = if has_room { key.first_of_each_need() } else { Vec::new() };
            if fronts != key.fronts {
                for place in std::mem::replace(&mut key.fronts, fronts) {
                    self.fronts.remove(&place);
                }
                self.fronts.extend(key.fronts.iter().map(|place| (*place, slot)));
            }
        }
        if key.is_idle() {
            let key = self.slab.remove(slot);
            self.by_name.remove(&key.name);
            self.changed.insert(key.name);
        }
        changed
    }

    /// As [`Keys::update`], where what changes is stored.
    pub(super) fn update_limit(&mut self, slot: Slot, change: impl FnOnce(&mut Limit)) {
        self.changed.insert(self.slab.get(slot).name.clone());
        self.update(slot, |key| change(&mut key.limit));
    }

    /// The first key that time alone changes, and when.
    pub(super) fn next_due(&self) -> Option<(LogTime, Slot)> {
        self.due.first().map(|(due, name)| (*due, self.by_name[name]))
    }

    /// The limits whose rows must be written or dropped.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    pub(super) fn take_changed(&mut self) -> BTreeSet<LimitName> {
        std::mem::take(&mut self.changed)
    }

    /// The entries of each key that has any.
    pub(super) fn entries(&self) -> BTreeMap<Slot, BTreeMap<Place, Entry>> {
        let keys = self.by_name.values().map(|slot| (*slot, self.get(*slot).entries.clone()));
        keys.filter(|(_, entries)| !entries.is_empty()).collect()
    }

    /// Recomputes the orders, and compares.
    pub(super) fn check(&self) -> Result<(), String> {
        let with_room = self.by_name.values().filter(|slot| self.get(**slot).room() > 0);
        let firsts = |slot: &Slot| {
            let slot = *slot;
            self.get(slot).first_of_each_need().into_iter().map(move |place| (place, slot))
        };
        if self.fronts != with_room.flat_map(firsts).collect() {
            return Err("the fronts are not the first entries of keys with room".to_owned());
        }
        let due = |key: &Key| key.due().map(|due| (due, key.name.clone()));
        if self.due != self.after(None).filter_map(due).collect() {
            return Err("a limit is not due when it says".to_owned());
        }
        if let Some(idle) = self.after(None).find(|key| key.is_idle()) {
            return Err(format!("nothing speaks of the {}", idle.name));
        }
        Ok(())
    }
}

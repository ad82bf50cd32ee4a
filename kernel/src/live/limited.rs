//! Ready tasks under limits, in the order in which they are granted, however many of them must wait.
//!
//! Tasks with the same needs, rank and keys are one queue, and only its head can be next. The queue is kept with one of
//! its keys. A search takes the earliest head among those that are kept with keys that have room; if that one's other key
//! has none, the queue moves there, and the search goes on. So a queue whose limit is reached costs nothing until there is
//! room again, it holds up no other, and a step costs the logarithm of the number of queues. Where a queue is kept depends
//! on the searches that were made, and decides about nothing but the cost of the next one.

mod keys;

use std::collections::{BTreeMap, BTreeSet};

use self::keys::{Entry, Key, Keys};
use super::cell::Cell;
use super::interned::Interned;
use super::ready::{Head, Needed, Queue, aged, handicap};
use super::slab::{Slab, Slot};
use crate::ids::Seq;
use crate::limit::{Limit, LimitKind, LimitName};
use crate::rules::Rules;
use crate::time::LogTime;

/// The keys that a task names: at least one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Gate {
    concurrency: Option<Slot>,
    rate: Option<Slot>,
}

impl Gate {
    fn keys(self) -> impl Iterator<Item = Slot> {
        [self.concurrency, self.rate].into_iter().flatten()
    }

    fn other(self, key: Slot) -> Option<Slot> {
        self.keys().find(|other| *other != key)
    }
}

/// One queue: what its tasks need, their gate and their rank.
pub(super) type LimitedLane = (Needed, Slot, u8);

/// A queue, and the key that it is kept with.
#[derive(Debug, Clone)]
struct Kept {
    queue: Queue,
    key: Slot,
}

/// Limits as readers see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitStanding {
    /// Which.
    pub name: LimitName,
    /// What it says.
    pub limit: Limit,
    /// Live tasks that name it.
    pub tasks: u32,
    /// Those of them that are leased.
    pub held: u32,
    /// When a rate that is used up lets the next task start.
    pub opens: Option<LogTime>,
    /// How many more tasks may start now.
    pub room: u64,
}

/// The limits, and the ready tasks under them.
///
/// Invariants, beside those of [`Keys`]:
/// - a ready task that names keys is in the queue of its needs, rank and keys; no queue is empty;
/// - a queue is an entry of one key of its gate, at the place of its head;
/// - a key counts the live tasks that name it, and those of them that are leased.
#[derive(Debug, Clone, Default)]
pub(super) struct Limited {
    keys: Keys,
    gates: Interned<Gate>,
    queues: BTreeMap<LimitedLane, Kept>,
    /// Number of ready tasks by what they need.
    ready: BTreeMap<Needed, usize>,
}

/// Keys that are looked at one by one to say how many tasks can be granted; of more, the sum is an upper bound.
const ROOM_KEYS_MAX: usize = 64;

impl Limited {
    /// Takes in a limit as it was stored.
    pub(super) fn restore(&mut self, name: &LimitName, limit: Limit) {
        let slot = self.keys.find_or_add(name);
        self.keys.update_limit(slot, |there| *there = limit);
        self.keys.take_changed();
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn contains(&self, name: &LimitName) -> bool {
        self.keys.find(name).is_some()
    }

    /// Changes what a limit says.
    pub(super) fn change(&mut self, name: &LimitName, now: LogTime, change: impl FnOnce(&mut Limit)) {
        let slot = self.keys.find_or_add(name);
        self.keys.update_limit(slot, |limit| limit.change(now, change));
    }

    /// The gate of a new task; none if its rules name no key.
    pub(super) fn enter(&mut self, rules: &Rules) -> Option<Slot> {
        let mut gate = Gate { concurrency: None, rate: None };
        for (name, _) in rules.limits() {
            let slot = self.keys.find_or_add(&name);
            self.keys.update(slot, |key| key.tasks += 1);
            match name.kind {
                LimitKind::Concurrency => gate.concurrency = Some(slot),
                LimitKind::Rate => gate.rate = Some(slot),
            }
        }
        gate.keys().next().map(|_| self.gates.intern(gate))
    }

    /// A task with this gate lives no more.
    pub(super) fn leave(&mut self, gate: Slot) {
        let keys = *self.gates.get(gate);
        self.gates.release(gate);
        for key in keys.keys() {
            self.keys.update(key, |key| key.tasks -= 1);
        }
    }

    /// A task with this gate is leased from now on (`true`) or no more.
    pub(super) fn hold(&mut self, gate: Slot, leased: bool) {
        let change = |key: &mut Key| if leased { key.held += 1 } else { key.held -= 1 };
        for key in self.gates.get(gate).keys() {
            self.keys.update(key, change);
        }
    }

    /// A task with this gate starts.
    pub(super) fn start(&mut self, gate: Slot, now: LogTime) {
        if let Some(rate) = self.gates.get(gate).rate {
            self.keys.update_limit(rate, |limit| limit.start(now));
        }
    }

    pub(super) fn next_due(&self) -> Option<LogTime> {
        self.keys.next_due().map(|(due, _)| due)
    }

    /// Does the first thing that is due by `now`. Returns whether there was one.
    pub(super) fn relax(&mut self, now: LogTime) -> bool {
        let due = self.keys.next_due().filter(|(due, _)| *due <= now);
        if let Some((_, slot)) = due {
            self.keys.update_limit(slot, |limit| limit.relax(now));
        }
        due.is_some()
    }

    /// The limits that changed since the last call; `None`: dropped.
    pub(super) fn take_changed(&mut self) -> Vec<(LimitName, Option<Limit>)> {
        if !self.keys.has_changed() {
            return Vec::new();
        }
        let changed = self.keys.take_changed().into_iter();
        changed
            .map(|name| {
                let limit = self.keys.find(&name).map(|slot| self.keys.get(slot).limit.clone());
                (name, limit)
            })
            .collect()
    }

    pub(super) fn standing(&self, name: &LimitName) -> Option<LimitStanding> {
        self.keys.find(name).map(|slot| standing(self.keys.get(slot)))
    }

    /// Every limit, by name.
    pub(super) fn standings(&self) -> impl Iterator<Item = LimitStanding> {
        self.keys.after(None).map(standing)
    }

    /// Those after this one, by name.
    pub(super) fn standings_after(&self, name: &LimitName) -> impl Iterator<Item = LimitStanding> {
        self.keys.after(Some(name)).map(standing)
    }

    /// The names of the keys of a gate.
    pub(super) fn names(&self, gate: Slot) -> impl Iterator<Item = &LimitName> {
        self.gates.get(gate).keys().map(|key| &self.keys.get(key).name)
    }

    pub(super) fn insert(&mut self, cells: &mut Slab<Cell>, (needed, gate, rank): LimitedLane, slot: Slot) {
        let key = self.gates.get(gate).keys().next().expect("a gate names a key");
        let kept =
            self.queues.entry((needed, gate, rank)).or_insert_with(|| Kept { queue: Queue::default(), key });
        let before = kept.queue.head(cells);
        kept.queue.insert(cells, slot);
        let (key, after) = (kept.key, kept.queue.head(cells));
        *self.ready.entry(needed).or_default() += 1;
        self.move_head(key, (needed, gate, rank), before, after);
    }

    pub(super) fn remove(&mut self, cells: &mut Slab<Cell>, lane: LimitedLane, slot: Slot) {
        let kept = self.queues.get_mut(&lane).expect("a ready task is in its queue");
        let before = kept.queue.head(cells);
        kept.queue.remove(cells, slot);
        let (key, after) = (kept.key, kept.queue.head(cells));
        if after.is_none() {
            self.queues.remove(&lane);
        }
        let ready = self.ready.get_mut(&lane.0).expect("a ready task is counted");
        *ready -= 1;
        if *ready == 0 {
            self.ready.remove(&lane.0);
        }
        self.move_head(key, lane, before, after);
    }

    fn move_head(
        &mut self,
        key: Slot,
        (needed, gate, rank): LimitedLane,
        before: Option<(Seq, Slot)>,
        after: Option<(Seq, Slot)>,
    ) {
        if before == after {
            return;
        }
        self.keys.update(key, |key| {
            before.map(|(seq, _)| key.entries.remove(&(needed, aged(seq, rank), seq)));
            after.map(|(seq, _)| key.entries.insert((needed, aged(seq, rank), seq), (gate, rank)));
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// The task that is next among those that need this and whose limits have room.
    pub(super) fn best_for(&mut self, cells: &Slab<Cell>, needed: Needed) -> Option<Head> {
        let all = (needed, Seq(0), Seq(0))..=(needed, Seq(u64::MAX), Seq(u64::MAX));
        loop {
            let (&place, &key) = self.keys.fronts.range(all.clone()).next()?;
            let (gate, rank) = self.keys.get(key).entries[&place];
            let (.., seq) = place;
            let kept = self.queues.get_mut(&(needed, gate, rank)).expect("an entry is the place of a queue");
            let other = self.gates.get(gate).other(key).filter(|other| self.keys.get(*other).room() == 0);
            let Some(other) = other else {
                let (_, slot) = kept.queue.head(cells).expect("no queue is empty");
                return Some(Head { rank, seq, slot });
            };
            kept.key = other;
            self.keys.update(key, |key| key.entries.remove(&place));
            self.keys.update(other, |key| key.entries.insert(place, (gate, rank)));
        }
    }

    /// Number of ready tasks by what they need.
    pub(super) fn ready(&self) -> impl Iterator<Item = (Needed, usize)> {
        self.ready.iter().map(|(needed, count)| (*needed, *count))
    }

    /// Number of ready tasks by what they need that could be granted now; too many rather than too few.
    pub(super) fn grantable(&self) -> impl Iterator<Item = (Needed, usize)> {
        self.ready.iter().map(|(needed, count)| (*needed, self.room_for(*needed).min(*count)))
    }

    fn room_for(&self, needed: Needed) -> usize {
        let all = (needed, Seq(0), Seq(0))..=(needed, Seq(u64::MAX), Seq(u64::MAX));
        let mut room: u64 = 0;
        for (n, (_, key)) in self.keys.fronts.range(all).enumerate() {
            if n == ROOM_KEYS_MAX {
                return usize::MAX;
            }
            room = room.saturating_add(self.keys.get(*key).room());
        }
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// Every queue, as seqs.
    pub(super) fn listing(&self, cells: &Slab<Cell>) -> BTreeMap<LimitedLane, BTreeSet<Seq>> {
        let all = |kept: &Kept| {
            let (list, tree) = kept.queue.listing(cells);
            list.into_iter().chain(tree).collect()
        };
        self.queues.iter().map(|(lane, kept)| (*lane, all(kept))).collect()
    }

    /// Recomputes what is derived, but for what the tasks say, and compares.
    pub(super) fn check(&self, cells: &Slab<Cell>) -> Result<(), String> {
        self.keys.check()?;
        let mut entries: BTreeMap<Slot, BTreeMap<_, Entry>> = BTreeMap::new();
        let mut ready: BTreeMap<Needed, usize> = BTreeMap::new();
        for ((needed, gate, rank), kept) in &self.queues {
            let Some((seq, _)) = kept.queue.head(cells) else {
                return Err("an empty queue of limited tasks was not dropped".to_owned());
            };
            if !self.gates.get(*gate).keys().any(|key| key == kept.key) {
                return Err("a queue is kept with a key that its tasks do not name".to_owned());
            }
            entries.entry(kept.key).or_default().insert((*needed, aged(seq, *rank), seq), (*gate, *rank));
            *ready.entry(*needed).or_default() += kept.queue.len();
        }
        if entries != self.keys.entries() || ready != self.ready {
            return Err("the queues of limited tasks are not where they say".to_owned());
        }
        Ok(())
    }

    /// Number of tasks in front of a ready one with the same needs and keys, counted up to `most`.
    pub(super) fn ahead_of(&self, cells: &Slab<Cell>, lane: LimitedLane, seq: Seq, most: usize) -> usize {
        let (needed, gate, rank) = lane;
        let place = aged(seq, rank);
        self.queues.range((needed, gate, u8::MIN)..=(needed, gate, u8::MAX)).fold(0, |ahead, (lane, kept)| {
            ahead + kept.queue.before(cells, place.before(handicap(lane.2)), most - ahead)
        })
    }
}

fn standing(key: &Key) -> LimitStanding {
    let is_closed = key.room() == 0;
    LimitStanding {
        name: key.name.clone(),
        limit: key.limit.clone(),
        tasks: key.tasks,
        held: key.held,
        opens: key.due().filter(|_| is_closed),
        room: key.room(),
    }
}

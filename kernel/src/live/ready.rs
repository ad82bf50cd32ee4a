//! Ready tasks without limits, in the order in which they are granted: the order of acceptance, in which each level of
//! priority is worth an hour. Since all tasks age alike, the order of two never changes, and nothing is sorted anew as time
//! passes.
//!
//! Tasks become ready in the order of acceptance, but for the few that waited or came back. So a queue is a list through
//! the tasks themselves, which costs nothing to extend, and a tree of those that belong somewhere in its midst.

use std::collections::BTreeMap;

use super::cell::Cell;
use super::slab::{Slab, Slot};
use super::terms::Terms;
use crate::function::PythonVersion;
use crate::ids::Seq;
use crate::limits::{PRIORITY_LEVEL, PRIORITY_MAX};
use crate::time::Millis;

/// What the tasks of some queues need: tags (`None`: none), and a Python (`None`: any).
pub(super) type Needed = (Option<Slot>, Option<PythonVersion>);

/// One queue: what its tasks need, and their rank, the best one being the lowest.
pub(super) type Lane = (Needed, u8);

/// The lane of tasks with these terms. A priority out of bounds, which no submit gets through, ranks best.
pub(super) const fn lane(terms: &Terms) -> Lane {
    ((terms.tags, terms.python), PRIORITY_MAX.saturating_sub(terms.priority))
}

/// A lane in one number, since every grant looks for some: tags, then Python, then rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Packed(u64);

impl Packed {
    fn new(((tags, python), rank): Lane) -> Self {
        let tags = tags.map_or(0, Slot::number);
        let python = python.map_or(0, |python| u32::from_be_bytes([0, 1, python.major, python.minor]));
        Self(u64::from(tags) << 32 | u64::from(python) << 8 | u64::from(rank))
    }
}

/// The queues. Empty ones are dropped.
#[derive(Debug, Clone, Default)]
pub(super) struct Ready {
    queues: BTreeMap<Packed, (Lane, Queue)>,
}

/// Ready tasks in the order of acceptance.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    /// Ends of a list with rising seqs, linked by `ready_before` and `ready_after`.
    ends: Option<(Slot, Slot)>,
    listed: usize,
    /// Tasks that became ready after a later one had.
    returned: BTreeMap<Seq, Slot>,
}

impl Ready {
    pub(super) fn insert(&mut self, cells: &mut Slab<Cell>, lane: Lane, slot: Slot) {
        let (_, queue) = self.queues.entry(Packed::new(lane)).or_insert_with(|| (lane, Queue::default()));
        queue.insert(cells, slot);
    }

    pub(super) fn remove(&mut self, cells: &mut Slab<Cell>, lane: Lane, slot: Slot) {
        let place = Packed::new(lane);
        let (_, queue) = self.queues.get_mut(&place).expect("a ready task is in its queue");
        queue.remove(cells, slot);
        if queue.len() == 0 {
            self.queues.remove(&place);
        }
    }

    /// The ready task that a worker with this Python should run next, among those that need these tags.
    pub(super) fn best_for(
        &self,
        cells: &Slab<Cell>,
        python: PythonVersion,
        tags: Option<Slot>,
    ) -> Option<Head> {
        let heads = [self.head(cells, (tags, Some(python))), self.head(cells, (tags, None))];
        heads.into_iter().flatten().min_by_key(Head::place)
    }

    fn head(&self, cells: &Slab<Cell>, needed: Needed) -> Option<Head> {
        let heads = self.lanes(needed).filter_map(|((_, rank), queue)| {
            queue.head(cells).map(|(seq, slot)| Head { rank: *rank, seq, slot })
        });
        heads.min_by_key(Head::place)
    }

    /// The queues of tasks that need the same, one for each rank, best rank first.
    fn lanes(&self, needed: Needed) -> impl Iterator<Item = &(Lane, Queue)> {
        let first = Packed::new((needed, u8::MIN));
        let lanes = self.queues.range(first..).map(|(_, kept)| kept);
        lanes.take_while(move |((other, _), _)| *other == needed)
    }

    /// Number of ready tasks by what they need; none that is zero.
    pub(super) fn by_need(&self) -> BTreeMap<Needed, usize> {
        let mut numbers = BTreeMap::new();
        for ((needed, _), queue) in self.queues.values() {
            *numbers.entry(*needed).or_default() += queue.len();
        }
        numbers
    }

    /// Number of tasks in front of a ready one, among those of its need, counted up to `most`.
    pub(super) fn ahead_of(&self, cells: &Slab<Cell>, lane: Lane, seq: Seq, most: usize) -> usize {
        let (needed, rank) = lane;
        let place = aged(seq, rank);
        self.lanes(needed).fold(0, |ahead, ((_, other), queue)| {
            ahead + queue.before(cells, place.before(handicap(*other)), most - ahead)
        })
    }

    /// Every queue, each as the seqs of its list and its tree.
    pub(super) fn listing(&self, cells: &Slab<Cell>) -> BTreeMap<Lane, (Vec<Seq>, Vec<Seq>)> {
        self.queues.values().map(|(lane, queue)| (*lane, queue.listing(cells))).collect()
    }
}

/// A task at the head of its queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) rank: u8,
    pub(super) seq: Seq,
    pub(super) slot: Slot,
}

impl Head {
    /// Where it stands among all heads; no two are equal.
    pub(super) const fn place(&self) -> (Seq, Seq) {
        (aged(self.seq, self.rank), self.seq)
    }
}

/// Where a task would stand if all had the best rank.
pub(super) const fn aged(seq: Seq, rank: u8) -> Seq {
    seq.after(handicap(rank))
}

/// How much later than it was accepted a task of this rank counts as accepted.
pub(super) const fn handicap(rank: u8) -> Millis {
    Millis(rank as u64 * PRIORITY_LEVEL.0)
}

impl Queue {
    /// Number of tasks that were accepted before `seq`, counted up to `most`.
    pub(super) fn before(&self, cells: &Slab<Cell>, seq: Seq, most: usize) -> usize {
        let returned = self.returned.range(..seq).take(most).count();
        let first = self.ends.map(|(first, _)| first);
        let slots = core::iter::successors(first, |slot| cells.get(*slot).ready_after);
        returned + slots.take(most).take_while(|slot| cells.get(*slot).seq < seq).count()
    }

    pub(super) fn len(&self) -> usize {
        self.listed + self.returned.len()
    }

    pub(super) fn head(&self, cells: &Slab<Cell>) -> Option<(Seq, Slot)> {
        let listed = self.ends.map(|(first, _)| (cells.get(first).seq, first));
        if self.returned.is_empty() {
            return listed;
        }
        let returned = self.returned.first_key_value().map(|(seq, slot)| (*seq, *slot));
        listed.into_iter().chain(returned).min_by_key(|(seq, _)| *seq)
    }

    pub(super) fn insert(&mut self, cells: &mut Slab<Cell>, slot: Slot) {
        let seq = cells.get(slot).seq;
        match self.ends {
            Some((_, last)) if seq < cells.get(last).seq => {
                self.returned.insert(seq, slot);
                return;
            }
            Some((first, last)) => {
                cells.get_mut(last).ready_after = Some(slot);
                cells.get_mut(slot).ready_before = Some(last);
                self.ends = Some((first, slot));
            }
            None => self.ends = Some((slot, slot)),
        }
        self.listed += 1;
    }

    pub(super) fn remove(&mut self, cells: &mut Slab<Cell>, slot: Slot) {
        if !self.returned.is_empty() && self.returned.remove(&cells.get(slot).seq).is_some() {
            return;
        }
        let cell = cells.get_mut(slot);
        let (before, after) = (cell.ready_before.take(), cell.ready_after.take());
        if let Some(before) = before {
            cells.get_mut(before).ready_after = after;
        }
        if let Some(after) = after {
            cells.get_mut(after).ready_before = before;
        }
        let (first, last) = self.ends.expect("a task that is not in the tree is in the list");
        let first = if first == slot { after } else { Some(first) };
        let last = if last == slot { before } else { Some(last) };
        self.ends = first.zip(last);
        self.listed -= 1;
    }

    /// Its list and its tree, as seqs.
    pub(super) fn listing(&self, cells: &Slab<Cell>) -> (Vec<Seq>, Vec<Seq>) {
        (self.list(cells), self.returned.keys().copied().collect())
    }

    fn list(&self, cells: &Slab<Cell>) -> Vec<Seq> {
        let first = self.ends.map(|(first, _)| first);
        let slots = core::iter::successors(first, |slot| cells.get(*slot).ready_after);
        slots.map(|slot| cells.get(slot).seq).collect()
    }
}

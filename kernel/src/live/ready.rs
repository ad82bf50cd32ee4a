//! Ready tasks, in the order in which they are granted: rank, then order of acceptance.
//!
//! Tasks become ready in the order of acceptance, but for the few that waited or came back. So a queue is a list through
//! the tasks themselves, which costs nothing to extend, and a tree of those that belong somewhere in its midst.

use std::collections::BTreeMap;

use super::cell::Cell;
use super::slab::{Slab, Slot};
use super::terms::Terms;
use crate::function::PythonVersion;
use crate::ids::Seq;

/// One queue: the Python that its tasks need (`None`: any), and their rank, the best one being the lowest.
pub(super) type Lane = (Option<PythonVersion>, u8);

/// The lane of tasks with these terms.
pub(super) const fn lane(terms: &Terms) -> Lane {
    (terms.python, u8::MAX - terms.priority)
}

/// The queues. Empty ones are dropped.
#[derive(Debug, Clone, Default)]
pub(super) struct Ready {
    queues: BTreeMap<Lane, Queue>,
}

/// Ready tasks in the order of acceptance.
#[derive(Debug, Clone, Default)]
struct Queue {
    /// Ends of a list with rising seqs, linked by `ready_before` and `ready_after`.
    ends: Option<(Slot, Slot)>,
    listed: usize,
    /// Tasks that became ready after a later one had.
    returned: BTreeMap<Seq, Slot>,
}

impl Ready {
    pub(super) fn insert(&mut self, cells: &mut Slab<Cell>, lane: Lane, slot: Slot) {
        self.queues.entry(lane).or_default().insert(cells, slot);
    }

    pub(super) fn remove(&mut self, cells: &mut Slab<Cell>, lane: Lane, slot: Slot) {
        let queue = self.queues.get_mut(&lane).expect("a ready task is in its queue");
        queue.remove(cells, slot);
        if queue.len() == 0 {
            self.queues.remove(&lane);
        }
    }

    /// The ready task that a worker with this Python should run next: of the best rank, the earliest accepted.
    pub(super) fn best_for(&self, cells: &Slab<Cell>, python: PythonVersion) -> Option<Slot> {
        let heads = [self.head(cells, Some(python)), self.head(cells, None)];
        heads.into_iter().flatten().min_by_key(|(rank, seq, _)| (*rank, *seq)).map(|(_, _, slot)| slot)
    }

    fn head(&self, cells: &Slab<Cell>, python: Option<PythonVersion>) -> Option<(u8, Seq, Slot)> {
        let ((_, rank), queue) = self.lanes(python).next()?;
        queue.head(cells).map(|(seq, slot)| (*rank, seq, slot))
    }

    /// The queues of one Python, best rank first.
    fn lanes(&self, python: Option<PythonVersion>) -> impl Iterator<Item = (&Lane, &Queue)> {
        self.queues.range((python, u8::MIN)..=(python, u8::MAX))
    }

    /// Number of ready tasks that need this Python.
    pub(super) fn len(&self, python: Option<PythonVersion>) -> usize {
        self.lanes(python).map(|(_, queue)| queue.len()).sum()
    }

    /// Number of ready tasks by the Python that they need; none that is zero.
    pub(super) fn by_python(&self) -> BTreeMap<Option<PythonVersion>, usize> {
        let mut numbers = BTreeMap::new();
        for ((python, _), queue) in &self.queues {
            *numbers.entry(*python).or_default() += queue.len();
        }
        numbers
    }

    /// Every queue, each as the seqs of its list and its tree.
    pub(super) fn listing(&self, cells: &Slab<Cell>) -> BTreeMap<Lane, (Vec<Seq>, Vec<Seq>)> {
        let of_queue = |(lane, queue): (&Lane, &Queue)| {
            (*lane, (queue.list(cells), queue.returned.keys().copied().collect()))
        };
        self.queues.iter().map(of_queue).collect()
    }
}

impl Queue {
    fn len(&self) -> usize {
        self.listed + self.returned.len()
    }

    fn head(&self, cells: &Slab<Cell>) -> Option<(Seq, Slot)> {
        let listed = self.ends.map(|(first, _)| (cells.get(first).seq, first));
        let returned = self.returned.first_key_value().map(|(seq, slot)| (*seq, *slot));
        listed.into_iter().chain(returned).min_by_key(|(seq, _)| *seq)
    }

    fn insert(&mut self, cells: &mut Slab<Cell>, slot: Slot) {
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

    fn remove(&mut self, cells: &mut Slab<Cell>, slot: Slot) {
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

    fn list(&self, cells: &Slab<Cell>) -> Vec<Seq> {
        let first = self.ends.map(|(first, _)| first);
        let slots = core::iter::successors(first, |slot| cells.get(*slot).ready_after);
        slots.map(|slot| cells.get(slot).seq).collect()
    }
}

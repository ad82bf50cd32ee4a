//! Live tasks by id: a hash table that grows and shrinks by one bucket at a time (linear hashing, Litwin 1980), so that
//! no apply ever pays for moving millions of tasks.
//!
//! A bucket is a chain through the tasks themselves, so that a task costs one head of four bytes. Nothing is ever listed
//! in the order of the buckets: how ids spread over them is nobody's business.

use super::cell::Cell;
use super::slab::{Slab, Slot};
use crate::ids::TaskId;
use crate::mix::mix;

/// Heads in one run: growth copies none of them.
const RUN_LEN: usize = 4096;

/// The heads of the chains. As many as there are tasks, or up to twice as many after most tasks have gone.
#[derive(Debug, Clone, Default)]
pub(super) struct ById {
    runs: Vec<Vec<Option<Slot>>>,
    buckets: usize,
}

impl ById {
    pub(super) fn find(&self, cells: &Slab<Cell>, id: &TaskId) -> Option<Slot> {
        if self.buckets == 0 {
            return None;
        }
        let mut next = self.head(bucket(id, self.buckets));
        while let Some(slot) = next {
            let cell = cells.get(slot);
            if cell.id == *id {
                return Some(slot);
            }
            next = cell.bucket_next;
        }
        None
    }

    /// Adds a task that was put into `cells` just now.
    pub(super) fn insert(&mut self, cells: &mut Slab<Cell>, slot: Slot) {
        if self.buckets < cells.len() {
            self.grow(cells);
        }
        self.link(cells, slot);
    }

    /// Removes a task that is still in `cells`.
    pub(super) fn remove(&mut self, cells: &mut Slab<Cell>, slot: Slot) {
        let Cell { id, bucket_next, .. } = *cells.get(slot);
        let bucket = bucket(&id, self.buckets);
        match self.before(cells, bucket, slot) {
            Some(before) => cells.get_mut(before).bucket_next = bucket_next,
            None => *self.head_mut(bucket) = bucket_next,
        }
        // Two at a time, so that none are left when the tasks are gone.
        for _ in 0..2 {
            if self.buckets > 2 * cells.len() {
                self.shrink(cells);
            }
        }
    }

    /// The task before `slot` in its chain; none if it is the first.
    fn before(&self, cells: &Slab<Cell>, bucket: usize, slot: Slot) -> Option<Slot> {
        let mut before = None;
        let mut next = self.head(bucket);
        while next != Some(slot) {
            before = next;
            let there = next.expect("a live task is in the chain of its bucket");
            next = cells.get(there).bucket_next;
        }
        before
    }

    fn link(&mut self, cells: &mut Slab<Cell>, slot: Slot) {
        let cell = cells.get_mut(slot);
        let head = self.head_mut(bucket(&cell.id, self.buckets));
        cell.bucket_next = head.replace(slot);
    }

    fn grow(&mut self, cells: &mut Slab<Cell>) {
        if self.buckets.is_multiple_of(RUN_LEN) {
            self.runs.push(Vec::with_capacity(RUN_LEN));
        }
        self.runs.last_mut().expect("one was just added if there was none with room").push(None);
        self.buckets += 1;
        let split = self.head_mut(buddy(self.buckets - 1)).take();
        self.link_all(cells, split);
    }

    fn shrink(&mut self, cells: &mut Slab<Cell>) {
        let run = self.runs.last_mut().expect("there is a bucket to drop");
        let dropped = run.pop().expect("a run without heads is dropped at once");
        if run.is_empty() {
            self.runs.pop();
        }
        self.buckets -= 1;
        self.link_all(cells, dropped);
    }

    fn link_all(&mut self, cells: &mut Slab<Cell>, mut chain: Option<Slot>) {
        while let Some(slot) = chain {
            chain = cells.get(slot).bucket_next;
            self.link(cells, slot);
        }
    }

    fn head(&self, bucket: usize) -> Option<Slot> {
        self.runs[bucket / RUN_LEN][bucket % RUN_LEN]
    }

    fn head_mut(&mut self, bucket: usize) -> &mut Option<Slot> {
        &mut self.runs[bucket / RUN_LEN][bucket % RUN_LEN]
    }
}

/// Which of `buckets` buckets an id is in: as many low bits of its hash as are needed, or one less where the bucket with
/// all of them is not there yet.
const fn bucket(id: &TaskId, buckets: usize) -> usize {
    let (high, low) = id.as_uuid().as_u64_pair();
    let mask = buckets.next_power_of_two() - 1;
    #[expect(clippy::cast_possible_truncation, reason = "low bits are wanted")]
    let bucket = mix(low ^ mix(high)) as usize & mask;
    if bucket < buckets { bucket } else { bucket & (mask >> 1) }
}

/// The bucket that shares all bits but the highest: the one that a new bucket takes its tasks from.
const fn buddy(bucket: usize) -> usize {
    match bucket.checked_ilog2() {
        None => 0,
        Some(highest) => bucket ^ (1 << highest),
    }
}

//! A live task as memory holds it: what every task has of its own, and where it hangs in the indexes.

use super::slab::Slot;
use crate::ids::{Seq, TaskId, Token};
use crate::task::{Counters, Phase, Task};

/// What changes in the life of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) token: Token,
    pub(crate) counters: Counters,
    pub(crate) phase: Phase,
}

/// One live task. What it shares with others is interned: see [`Terms`](super::terms::Terms).
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) id: TaskId,
    pub(crate) seq: Seq,
    pub(crate) standing: Standing,
    /// Its terms, in the slab of terms.
    pub(super) terms: Slot,
    /// The next task whose id is in the same bucket.
    pub(super) bucket_next: Option<Slot>,
    /// Its neighbours in the ready queue, while it is in one.
    pub(super) ready_before: Option<Slot>,
    pub(super) ready_after: Option<Slot>,
}

// Memory grows with the backlog by this much for each task: think twice before it grows.
const _: () = assert!(size_of::<Option<Cell>>() <= 72);

impl Cell {
    pub(super) fn new(id: TaskId, task: Task, terms: Slot) -> Self {
        let Task { seq, token, phase, counters, .. } = task;
        Self {
            id,
            seq,
            standing: Standing { token, counters, phase },
            terms,
            bucket_next: None,
            ready_before: None,
            ready_after: None,
        }
    }
}

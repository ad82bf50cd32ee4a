//! The leases that the worker holds, each at its stage between grant and verdict.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raftwork_api::kernel::{CodeHash, LeaseRef, TaskId, Token};
use raftwork_api::stream::Work;

use super::Moment;

/// Invariants: `queue` names exactly the leases that are queued, oldest grant first; `busy` counts those that are
/// running or stopping.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    held: BTreeMap<LeaseRef, Stage>,
    queue: VecDeque<LeaseRef>,
    busy: usize,
}

#[derive(Debug)]
enum Stage {
    /// Waits for a free child since then, and for its code if that is not here yet.
    Queued { since: Moment, work: Box<Work>, code: Option<Bytes> },
    /// A child has it since then.
    Running { since: Moment },
    /// A child has it since then and was told to stop.
    Stopping { since: Moment, then: Then },
    /// Over; the leader has not judged the report yet.
    Reported { started: bool },
}

/// What follows when a stopped child is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing: somebody else holds the task, or nobody needs it.
    Forget,
    /// The task is given back, so that it need not wait for the lease to expire.
    GiveBack,
}

/// What a child that is free again had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ran {
    /// When the task was given to it.
    pub(super) since: Moment,
    /// What was planned if it had been told to stop.
    pub(super) planned: Option<Then>,
}

/// Where a task was when it was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It had not started, and is no longer held.
    Queued,
    /// A child runs it, and must be told.
    Running,
    /// There was nothing to stop.
    Nothing,
}

impl Tasks {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Children in use.
    pub(super) const fn busy(&self) -> usize {
        self.busy
    }

    /// Leases that take up room: all but those that only wait for their verdict.
    pub(super) fn occupied(&self) -> usize {
        self.queue.len() + self.busy
    }

    /// Everything held, and whether it has started: what `Hello` and heartbeats say.
    pub(super) fn list(&self) -> Vec<(LeaseRef, bool)> {
        self.held.iter().map(|(lease, stage)| (*lease, stage.has_started())).collect()
    }

    /// The leases on `task` that are held; more than one if it was granted again.
    pub(super) fn leases_of(&self, task: TaskId) -> Vec<LeaseRef> {
        let from = LeaseRef { task, token: Token(0) };
        let to = LeaseRef { task, token: Token(u64::MAX) };
        self.held.range(from..=to).map(|(lease, _)| *lease).collect()
    }

    pub(super) fn queued(&self) -> Vec<LeaseRef> {
        self.queue.iter().copied().collect()
    }

    pub(super) fn queued_len(&self) -> usize {
        self.queue.len()
    }

    /// Since when the task that was granted first waits for a child.
    pub(super) fn waiting_since(&self) -> Option<Moment> {
        self.held.get(self.queue.front()?).and_then(Stage::queued_since)
    }

    /// When the newest of the tasks that have a child was given to it.
    pub(super) fn newest_start(&self) -> Option<Moment> {
        self.held.values().filter_map(Stage::child_since).max()
    }

    pub(super) fn running(&self) -> Vec<LeaseRef> {
        let running = self.held.iter().filter(|(_, stage)| matches!(stage, Stage::Running { .. }));
        running.map(|(lease, _)| *lease).collect()
    }

    pub(super) fn is_running(&self, lease: &LeaseRef) -> bool {
        matches!(self.held.get(lease), Some(Stage::Running { .. }))
    }

    pub(super) fn enqueue(&mut self, now: Moment, work: Work, code: Option<Bytes>) {
        let lease = work.lease;
        self.held.insert(lease, Stage::Queued { since: now, work: Box::new(work), code });
        self.queue.push_back(lease);
    }

    /// Takes the oldest queued task that can start, for a child that is free.
    ///
    /// A task whose earlier attempt still has a child here waits, so that the two never overlap on one worker.
    pub(super) fn start_next(&mut self, now: Moment) -> Option<(Work, Bytes)> {
        let at = self.queue.iter().position(|lease| self.can_start(lease))?;
        let lease = self.queue.remove(at).expect("position found it");
        self.busy += 1;
        match self.held.insert(lease, Stage::Running { since: now }) {
            Some(Stage::Queued { work, code: Some(code), .. }) => Some((*work, code)),
            other => unreachable!("{lease:?} was queued with its code, not {other:?}"),
        }
    }

    fn can_start(&self, lease: &LeaseRef) -> bool {
        matches!(self.held.get(lease), Some(Stage::Queued { code: Some(_), .. }))
            && !self.leases_of(lease.task).iter().any(|other| self.held[other].has_child())
    }

    /// The code of `hash` is here.
    pub(super) fn give_code(&mut self, hash: &CodeHash, code: &Bytes) {
        for lease in &self.queue {
            if let Some(Stage::Queued { work, code: slot, .. }) = self.held.get_mut(lease)
                && work.code_hash == *hash
            {
                *slot = Some(code.clone());
            }
        }
    }

    /// Queued tasks that wait for the code of `hash`.
    pub(super) fn waiting_for(&self, hash: &CodeHash) -> Vec<LeaseRef> {
        let waits = |lease: &&LeaseRef| matches!(&self.held[lease], Stage::Queued { work, code: None, .. } if work.code_hash == *hash);
        self.queue.iter().filter(waits).copied().collect()
    }

    /// The task must not run (any more).
    pub(super) fn stop(&mut self, lease: &LeaseRef, then: Then) -> Stopped {
        match self.held.get_mut(lease) {
            Some(Stage::Queued { .. }) => {
                self.held.remove(lease);
                self.queue.retain(|queued| queued != lease);
                Stopped::Queued
            }
            Some(stage @ Stage::Running { .. }) => {
                let since = stage.child_since().expect("it runs");
                *stage = Stage::Stopping { since, then };
                Stopped::Running
            }
            Some(Stage::Stopping { then: planned, .. }) => {
                // Once nobody needs it, giving it back would be refused.
                if then == Then::Forget {
                    *planned = then;
                }
                Stopped::Nothing
            }
            Some(Stage::Reported { .. }) | None => Stopped::Nothing,
        }
    }

    /// A child is free again, and the lease is out of the books.
    pub(super) fn end(&mut self, lease: &LeaseRef) -> Ran {
        self.busy -= 1;
        match self.held.remove(lease) {
            Some(Stage::Stopping { since, then }) => Ran { since, planned: Some(then) },
            Some(Stage::Running { since }) => Ran { since, planned: None },
            other => unreachable!("a child had {lease:?}, which was {other:?}"),
        }
    }

    /// The task is over for this worker and waits for its verdict.
    pub(super) fn await_verdict(&mut self, lease: LeaseRef, started: bool) {
        self.held.insert(lease, Stage::Reported { started });
    }

    /// The leader has judged the report.
    pub(super) fn judged(&mut self, lease: &LeaseRef) {
        if matches!(self.held.get(lease), Some(Stage::Reported { .. })) {
            self.held.remove(lease);
        }
    }
}

impl Stage {
    const fn has_child(&self) -> bool {
        self.child_since().is_some()
    }

    const fn queued_since(&self) -> Option<Moment> {
        match self {
            Self::Queued { since, .. } => Some(*since),
            Self::Running { .. } | Self::Stopping { .. } | Self::Reported { .. } => None,
        }
    }

    const fn child_since(&self) -> Option<Moment> {
        match self {
            Self::Running { since } | Self::Stopping { since, .. } => Some(*since),
            Self::Queued { .. } | Self::Reported { .. } => None,
        }
    }

    const fn has_started(&self) -> bool {
        self.has_child() || matches!(self, Self::Reported { started: true })
    }
}

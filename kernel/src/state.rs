//! The live state: every unfinished task, and the indexes that make each command cheap.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::command::LeaseRef;
use crate::function::PythonVersion;
use crate::ids::{RequestId, Seq, TaskId, Token, WorkerId};
use crate::indexes::Indexes;
use crate::record::Status;
use crate::task::{Lease, Phase, Task};
use crate::time::{LogTime, WallTime};

/// A million a second use up 64 bits in half a million years. Stopping is right even then: a token must never repeat.
const NEVER_USED_UP: &str = "2^64 numbers are never used up";

/// The few numbers of the state that are not tasks; stored beside the applied index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scalars {
    /// The latest log time applied.
    pub log_time: LogTime,
    /// The latest wall time applied; never goes back.
    pub wall_time: WallTime,
    /// The newest token given out.
    pub last_token: Token,
    /// The newest place in the order of acceptance.
    pub last_seq: Seq,
}

/// The live state of one Raft group.
///
/// Invariants, checked by [`State::check_invariants`]:
/// - every task is in exactly the indexes that its phase asks for, and no index names anything else;
/// - no token is above `last_token`, no seq above `last_seq`, and no two tasks share a seq;
/// - a leased task has a token, and no two tasks that were ever granted share one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) scalars: Scalars,
    /// Boxed, because a tree node is little more than half full when ids rise: the air in it is then worth a pointer
    /// for each task and not a whole task.
    tasks: BTreeMap<TaskId, Box<Task>>,
    pub(crate) indexes: Indexes,
}

impl State {
    /// Rebuilds the state from what the shell stored: its numbers and its live rows, in any order.
    pub fn restore(scalars: Scalars, live: impl IntoIterator<Item = (TaskId, Task)>) -> Self {
        let mut state = Self { scalars, ..Self::default() };
        for (id, task) in live {
            state.insert(id, task);
        }
        state
    }

    /// The numbers to store with the applied index.
    pub const fn scalars(&self) -> Scalars {
        self.scalars
    }

    /// A live task.
    pub fn task(&self, id: &TaskId) -> Option<&Task> {
        self.tasks.get(id).map(Box::as_ref)
    }

    /// Every live task, by id.
    pub fn tasks(&self) -> impl Iterator<Item = (&TaskId, &Task)> {
        self.tasks.iter().map(|(id, task)| (id, task.as_ref()))
    }

    /// Status of a live task; finished ones have a record instead.
    pub fn status(&self, id: &TaskId) -> Option<Status> {
        self.tasks.get(id).map(|task| match task.phase {
            Phase::Waiting { .. } => Status::Waiting,
            Phase::Ready => Status::Queued,
            Phase::Leased(_) => Status::Running,
        })
    }

    /// Number of live tasks.
    pub fn live_len(&self) -> usize {
        self.tasks.len()
    }

    /// Number of leases.
    pub fn leased_len(&self) -> usize {
        self.indexes.leases.len()
    }

    /// Number of ready tasks that a worker with this Python may run.
    pub fn ready_len_for(&self, python: PythonVersion) -> usize {
        self.indexes.ready_len(Some(python)) + self.indexes.ready_len(None)
    }

    /// Number of ready tasks, by the Python that they need.
    pub fn ready_by_python(&self) -> impl Iterator<Item = (Option<PythonVersion>, usize)> {
        self.indexes.ready_by_python().into_iter()
    }

    /// The next moment at which time alone would change something.
    pub fn next_due(&self) -> Option<LogTime> {
        self.indexes.due.first().map(|(due, _)| *due)
    }

    /// Whether this is the lease under which its task runs now.
    pub fn holds(&self, lease: &LeaseRef) -> bool {
        self.tasks
            .get(&lease.task)
            .is_some_and(|task| task.token == lease.token && matches!(task.phase, Phase::Leased(_)))
    }

    /// Every lease, by worker and then by token.
    pub fn leases(&self) -> impl Iterator<Item = (WorkerId, LeaseRef)> {
        self.indexes
            .leases
            .iter()
            .map(|((worker, token), task)| (*worker, LeaseRef { task: *task, token: *token }))
    }

    /// The leases of one worker, by token.
    pub fn leases_of(&self, worker: WorkerId) -> impl Iterator<Item = LeaseRef> {
        self.indexes
            .leases
            .range((worker, Token(0))..=(worker, Token(u64::MAX)))
            .map(|((_, token), task)| LeaseRef { task: *task, token: *token })
    }

    /// Whether the worker holds leases that it was granted under this request.
    pub fn has_leases_under(&self, worker: WorkerId, request: RequestId) -> bool {
        self.leases_of(worker)
            .any(|lease| self.lease(&lease.task).is_some_and(|held| held.request == request))
    }

    /// A task that an index names.
    pub(crate) fn expect_task(&self, id: &TaskId) -> &Task {
        self.task(id).expect("indexes name live tasks only")
    }

    pub(crate) fn insert(&mut self, id: TaskId, task: Task) {
        self.indexes.add(id, &task);
        let before = self.tasks.insert(id, Box::new(task));
        assert!(before.is_none(), "task {id} was inserted twice");
    }

    pub(crate) fn remove(&mut self, id: &TaskId) -> Task {
        let task = self.tasks.remove(id).expect("only live tasks are removed");
        self.indexes.remove(id, &task);
        *task
    }

    /// Changes a live task and keeps the indexes true.
    pub(crate) fn update(&mut self, id: &TaskId, change: impl FnOnce(&mut Task)) {
        let task = self.tasks.get_mut(id).expect("only live tasks are changed");
        self.indexes.remove(id, task);
        change(task);
        self.indexes.add(*id, task);
    }

    pub(crate) fn lease(&self, id: &TaskId) -> Option<&Lease> {
        match &self.tasks.get(id)?.phase {
            Phase::Leased(lease) => Some(lease),
            Phase::Waiting { .. } | Phase::Ready => None,
        }
    }

    pub(crate) const fn next_seq(&mut self) -> Seq {
        self.scalars.last_seq.0 = self.scalars.last_seq.0.checked_add(1).expect(NEVER_USED_UP);
        self.scalars.last_seq
    }

    pub(crate) const fn next_token(&mut self) -> Token {
        self.scalars.last_token.0 = self.scalars.last_token.0.checked_add(1).expect(NEVER_USED_UP);
        self.scalars.last_token
    }

    /// Recomputes everything that is derived and compares.
    ///
    /// # Errors
    /// The first broken invariant, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut indexes = Indexes::default();
        for (id, task) in &self.tasks {
            indexes.add(*id, task);
            if task.token > self.scalars.last_token || task.seq > self.scalars.last_seq {
                return Err(format!("{id} has a token or seq that was never given out"));
            }
            if matches!(task.phase, Phase::Leased(_)) && task.token == Token(0) {
                return Err(format!("{id} is leased without a token"));
            }
        }
        if indexes != self.indexes {
            return Err("an index is not what the tasks say".to_owned());
        }
        self.check_uniqueness()
    }

    fn check_uniqueness(&self) -> Result<(), String> {
        let seqs: BTreeSet<Seq> = self.tasks.values().map(|task| task.seq).collect();
        if seqs.len() != self.tasks.len() {
            return Err("two tasks share a seq".to_owned());
        }
        let granted = self.tasks.values().map(|task| task.token).filter(|token| *token != Token(0));
        let mut tokens = BTreeSet::new();
        for token in granted {
            if !tokens.insert(token) {
                return Err(format!("two tasks share the token {token}"));
            }
        }
        Ok(())
    }
}

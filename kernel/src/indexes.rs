//! Orders in which live tasks are looked up; all of it derived from the tasks themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::function::PythonVersion;
use crate::ids::{Seq, TaskId, Token, WorkerId};
use crate::task::{Phase, Task};
use crate::time::LogTime;

/// One ready queue: the Python that its tasks need (`None`: any), and their rank, the best one being the lowest.
///
/// A queue for each rank, and not the rank in each key: with a million ready tasks that is 15 MB less.
type Lane = (Option<PythonVersion>, u8);

/// The indexes over live tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Indexes {
    /// Ready tasks in the order of acceptance. Empty queues are dropped.
    ready: BTreeMap<Lane, BTreeMap<Seq, TaskId>>,
    /// What time alone will change, earliest first.
    pub(crate) due: BTreeSet<(LogTime, TaskId)>,
    /// Leases by worker.
    pub(crate) leases: BTreeMap<(WorkerId, Token), TaskId>,
}

impl Indexes {
    pub(crate) fn add(&mut self, id: TaskId, task: &Task) {
        match &task.phase {
            Phase::Waiting { due } => {
                self.due.insert((*due, id));
            }
            Phase::Ready => {
                self.ready.entry(lane(task)).or_default().insert(task.seq, id);
            }
            Phase::Leased(lease) => {
                self.leases.insert((lease.worker, task.token), id);
                self.due.extend(lease.run_until.map(|until| (until, id)));
            }
        }
    }

    pub(crate) fn remove(&mut self, id: &TaskId, task: &Task) {
        match &task.phase {
            Phase::Waiting { due } => {
                self.due.remove(&(*due, *id));
            }
            Phase::Ready => self.remove_ready(task),
            Phase::Leased(lease) => {
                self.leases.remove(&(lease.worker, task.token));
                if let Some(until) = lease.run_until {
                    self.due.remove(&(until, *id));
                }
            }
        }
    }

    fn remove_ready(&mut self, task: &Task) {
        let lane = lane(task);
        let queue = self.ready.get_mut(&lane).expect("a ready task is in its queue");
        queue.remove(&task.seq);
        if queue.is_empty() {
            self.ready.remove(&lane);
        }
    }

    /// Number of ready tasks by the Python that they need; none that is zero.
    pub(crate) fn ready_by_python(&self) -> BTreeMap<Option<PythonVersion>, usize> {
        let mut numbers = BTreeMap::new();
        for ((python, _), queue) in &self.ready {
            *numbers.entry(*python).or_default() += queue.len();
        }
        numbers
    }

    pub(crate) fn ready_len(&self, python: Option<PythonVersion>) -> usize {
        self.lanes(python).map(|(_, queue)| queue.len()).sum()
    }

    /// The ready task that a worker with this Python should run next: of the best rank, the earliest accepted.
    pub(crate) fn best_for(&self, python: PythonVersion) -> Option<TaskId> {
        let heads = [self.head(Some(python)), self.head(None)];
        heads.into_iter().flatten().min().map(|(_, _, id)| id)
    }

    fn head(&self, python: Option<PythonVersion>) -> Option<(u8, Seq, TaskId)> {
        let ((_, rank), queue) = self.lanes(python).next()?;
        queue.first_key_value().map(|(seq, id)| (*rank, *seq, *id))
    }

    /// The queues of one Python, best rank first.
    fn lanes(&self, python: Option<PythonVersion>) -> impl Iterator<Item = (&Lane, &BTreeMap<Seq, TaskId>)> {
        self.ready.range((python, u8::MIN)..=(python, u8::MAX))
    }
}

const fn lane(task: &Task) -> Lane {
    (task.python, u8::MAX - task.priority)
}

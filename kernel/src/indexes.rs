//! Orders in which live tasks are looked up; all of it derived from the tasks themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::function::PythonVersion;
use crate::ids::{Seq, TaskId, Token, WorkerId};
use crate::limits::PRIORITY_MAX;
use crate::task::{Phase, Task};
use crate::time::LogTime;

/// Place in a ready queue: the higher priority first, then the earlier acceptance.
type Place = (u8, Seq);

/// The indexes over live tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Indexes {
    /// Ready tasks by the Python that they need (`None`: any), best first. Empty queues are dropped.
    pub(crate) ready: BTreeMap<Option<PythonVersion>, BTreeMap<Place, TaskId>>,
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
                self.ready.entry(task.python).or_default().insert(place(task), id);
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
        let queue = self.ready.get_mut(&task.python).expect("a ready task is in its queue");
        queue.remove(&place(task));
        if queue.is_empty() {
            self.ready.remove(&task.python);
        }
    }

    pub(crate) fn ready_len(&self, python: Option<PythonVersion>) -> usize {
        self.ready.get(&python).map_or(0, BTreeMap::len)
    }

    /// The ready task that a worker with this Python should run next.
    pub(crate) fn best_for(&self, python: PythonVersion) -> Option<TaskId> {
        let head = |key| self.ready.get(&key).and_then(BTreeMap::first_key_value);
        let heads = [head(Some(python)), head(None)];
        heads.into_iter().flatten().min_by_key(|(place, _)| **place).map(|(_, id)| *id)
    }
}

const fn place(task: &Task) -> Place {
    (PRIORITY_MAX - task.priority, task.seq)
}

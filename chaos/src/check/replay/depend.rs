//! Dependencies in the replay: tasks that wait until others have ended, and what becomes of them then.

use std::collections::BTreeSet;

use raftwork_api::kernel::{Status, TaskId};

use super::job::{At, Job};
use super::model::{DUE_MAX, Model};
use crate::history::{Options, Refusal};

/// Most tasks that depend on one.
const DEPENDENTS_MAX: usize = 10_000;

/// Tasks that run after others and have not ended, in the order of acceptance.
#[derive(Debug, Default)]
pub(super) struct Dependents(BTreeSet<(u64, TaskId)>);

impl Dependents {
    /// A job stands elsewhere now.
    pub(super) fn note(&mut self, place: (u64, TaskId), job: &Job) {
        if job.options.after.is_none() {
            return;
        }
        if matches!(job.at, At::Ended(..)) {
            self.0.remove(&place);
        } else {
            self.0.insert(place);
        }
    }
}

impl Model {
    fn runs_after(&self, task: TaskId, other: TaskId) -> bool {
        self.jobs[&task].options.after.as_ref().is_some_and(|after| after.tasks.contains(&other))
    }

    fn users(&self, task: TaskId) -> usize {
        self.dependents.0.iter().filter(|(_, user)| self.runs_after(*user, task)).count()
    }

    /// Whether a task that has not ended runs after this one.
    pub(super) fn is_needed(&self, task: TaskId) -> bool {
        self.users(task) > 0
    }

    /// Whether so many new tasks may run after what the options say: it is there, and was before them.
    pub(super) fn may_depend(&self, count: usize, options: &Options) -> Result<(), (Refusal, Option<u64>)> {
        let after = options.after.as_ref().filter(|_| count > 0);
        for task in after.into_iter().flat_map(|after| &after.tasks) {
            if !self.jobs.contains_key(task) {
                return Err((Refusal::UnknownTask, None));
            }
            if self.users(*task) + count > DEPENDENTS_MAX {
                return Err((Refusal::TooLarge, None));
            }
        }
        Ok(())
    }

    /// What an entry does after its commands; how many tasks may start by it, and how many fail by what they run after.
    pub(super) fn settle(&mut self) -> (u64, u64) {
        let (mut released, mut broken) = (0, 0);
        for _ in 0..DUE_MAX {
            let over = self.dependents.0.iter().find_map(|(_, task)| Some((*task, self.may_run(*task)?)));
            match over {
                None => break,
                Some((task, false)) => {
                    broken += 1;
                    self.end(task, Status::Failed, None);
                }
                Some((task, true)) => {
                    released += 1;
                    self.release_dependent(task);
                }
            }
        }
        (released, broken)
    }

    /// Whether a task may run that has waited for others; `None` while it waits, and once it did.
    fn may_run(&self, task: TaskId) -> Option<bool> {
        let job = self.jobs.get(&task).filter(|job| job.at == At::Blocked)?;
        let after = job.options.after.as_ref()?;
        // Only an item that was cancelled before its turn can be gone.
        let end = |task: &TaskId| match self.jobs.get(task).map(|job| job.at) {
            None => Some(Status::Cancelled),
            Some(At::Ended(status, ..)) => Some(status),
            Some(At::Unborn(_) | At::Pause(_) | At::Dated(_) | At::Blocked | At::Ready | At::Held(..)) => {
                None
            }
        };
        let ends: Vec<Option<Status>> = after.tasks.iter().map(end).collect();
        let failed = ends.iter().flatten().any(|status| *status != Status::Completed);
        if failed && !after.all_the_same {
            return Some(false);
        }
        ends.iter().all(Option::is_some).then_some(true)
    }

    /// Its delay counts from its acceptance.
    fn release_dependent(&mut self, task: TaskId) {
        let job = &self.jobs[&task];
        let due = job.accepted.saturating_add(job.options.delay_ms());
        let at = match job.options.run_at_ms {
            Some(at) if at > self.calendar => At::Dated(at),
            None if due > self.now => At::Pause(due),
            Some(_) | None => At::Ready,
        };
        self.put(task, at);
    }
}

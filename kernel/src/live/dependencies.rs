//! Which live tasks depend on which others, and what those that wait still wait for. Tasks without dependencies are in no
//! table here.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Seq, TaskId};
use crate::record::Status;
use crate::rules::{After, OnFailure};

/// The table of dependencies.
///
/// Invariants, checked by [`Live::check`](super::Live::check):
/// - `users` is what `of` says, the other way round;
/// - a task is ripe exactly if it waits here, and has nothing more to wait for.
///
/// All of it follows from the rules of live tasks and from how the tasks that they name stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dependencies {
    of: BTreeMap<TaskId, Depends>,
    /// By task: the live tasks that depend on it. While there are some, it is not forgotten.
    users: BTreeMap<TaskId, BTreeSet<TaskId>>,
    /// Tasks whose waiting is over, whatever comes of it, in the order of acceptance.
    ripe: BTreeMap<Seq, TaskId>,
}

/// What a live task depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Depends {
    after: After,
    /// `None` once its waiting is over.
    waits: Option<Waits>,
}

/// What a waiting task knows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waits {
    seq: Seq,
    left: BTreeSet<TaskId>,
    /// Of those that ended without a result, the one with the lowest id: the same in whatever order they are learned of.
    broken: Option<(TaskId, Status)>,
}

impl Waits {
    fn learn(&mut self, task: TaskId, status: Status) {
        self.left.remove(&task);
        if status != Status::Completed {
            let broken = self.broken.into_iter().chain([(task, status)]);
            self.broken = broken.min_by_key(|(task, _)| *task);
        }
    }

    fn is_over(&self, on_failure: OnFailure) -> bool {
        self.left.is_empty() || on_failure == OnFailure::Fail && self.broken.is_some()
    }
}

impl Dependencies {
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Whether a live task depends on this one.
    pub(crate) fn is_needed(&self, task: &TaskId) -> bool {
        self.users.contains_key(task)
    }

    /// Number of live tasks that depend on this one.
    pub(crate) fn users_len(&self, task: &TaskId) -> usize {
        self.users.get(task).map_or(0, BTreeSet::len)
    }

    /// Takes in a live task; `ended` says of the tasks that it depends on how they ended, if it waits for the others.
    pub(crate) fn enter(
        &mut self,
        (task, seq): (TaskId, Seq),
        after: After,
        ended: Option<&[(TaskId, Status)]>,
    ) {
        for dependency in &after.tasks {
            self.users.entry(*dependency).or_default().insert(task);
        }
        let waits = ended.map(|ended| {
            let mut waits = Waits { seq, left: after.tasks.clone(), broken: None };
            for (dependency, status) in ended {
                waits.learn(*dependency, *status);
            }
            waits
        });
        if waits.as_ref().is_some_and(|waits| waits.is_over(after.on_failure)) {
            self.ripe.insert(seq, task);
        }
        self.of.insert(task, Depends { after, waits });
    }

    /// A task lives no more.
    pub(super) fn leave(&mut self, task: &TaskId) {
        let Some(Depends { after, waits }) = self.of.remove(task) else { return };
        if let Some(waits) = waits {
            self.ripe.remove(&waits.seq);
        }
        for dependency in &after.tasks {
            let users = self.users.get_mut(dependency).expect("it is used by the task");
            users.remove(task);
            if users.is_empty() {
                self.users.remove(dependency);
            }
        }
    }

    /// A task has ended: those that wait for it learn of it. Nothing is done about it yet.
    pub(crate) fn tell(&mut self, ended: TaskId, status: Status) {
        for task in self.users.get(&ended).into_iter().flatten() {
            let depends = self.of.get_mut(task).expect("a user depends on something");
            let on_failure = depends.after.on_failure;
            let Some(waits) = &mut depends.waits else { continue };
            waits.learn(ended, status);
            if waits.is_over(on_failure) {
                self.ripe.insert(waits.seq, *task);
            }
        }
    }

    /// Those that are depended on among the tasks from `from` to `to`.
    pub(crate) fn needed_within(&self, from: TaskId, to: TaskId) -> Vec<TaskId> {
        self.users.range(from..=to).map(|(task, _)| *task).collect()
    }

    /// The first task whose waiting is over, and the task that will keep it from running, if one does.
    pub(crate) fn next_ripe(&self) -> Option<(TaskId, Option<(TaskId, Status)>)> {
        let (_, task) = self.ripe.first_key_value()?;
        let Depends { after, waits } = &self.of[task];
        let broken = waits.as_ref().and_then(|waits| waits.broken);
        Some((*task, broken.filter(|_| after.on_failure == OnFailure::Fail)))
    }

    /// The task waits no more for others, but depends on them as long as it lives.
    pub(crate) fn release(&mut self, task: &TaskId) {
        let depends = self.of.get_mut(task).expect("a ripe task depends on something");
        if let Some(waits) = depends.waits.take() {
            self.ripe.remove(&waits.seq);
        }
    }

    /// The tasks that this one still waits for.
    pub(crate) fn left(&self, task: &TaskId) -> impl Iterator<Item = TaskId> {
        let waits = self.of.get(task).and_then(|depends| depends.waits.as_ref());
        waits.into_iter().flat_map(|waits| waits.left.iter().copied())
    }

    /// The tasks whose results this one, which lives, is to be given.
    pub(crate) fn results(&self, task: &TaskId) -> impl Iterator<Item = TaskId> {
        self.of.get(task).into_iter().flat_map(|depends| depends.after.results.iter().copied())
    }

    /// # Errors
    /// The first broken invariant, in words.
    pub(super) fn check(&self, depending: &BTreeMap<TaskId, bool>) -> Result<(), String> {
        let kept: BTreeMap<TaskId, bool> =
            self.of.iter().map(|(task, depends)| (*task, depends.waits.is_some())).collect();
        if kept != *depending {
            return Err("the table of dependencies is not what the tasks say".to_owned());
        }
        let mut users: BTreeMap<TaskId, BTreeSet<TaskId>> = BTreeMap::new();
        let mut ripe = BTreeMap::new();
        for (task, Depends { after, waits }) in &self.of {
            for dependency in &after.tasks {
                users.entry(*dependency).or_default().insert(*task);
            }
            let over = waits.as_ref().filter(|waits| waits.is_over(after.on_failure));
            ripe.extend(over.map(|waits| (waits.seq, *task)));
        }
        if users == self.users && ripe == self.ripe {
            return Ok(());
        }
        Err("the users of a dependency are not what depends on it".to_owned())
    }
}

//! Dependencies: tasks that wait until others have ended, and what becomes of them then.

use super::bounds::within;
use super::transition::Transition;
use crate::ids::{MapId, TaskId};
use crate::limits::{DEPENDENTS_MAX, DUE_PER_ENTRY_MAX};
use crate::map::{MapRow, Unborn};
use crate::record::{FailureKind, Outcome, Status, TaskError};
use crate::reply::Rejection;
use crate::rows::Rows;
use crate::rules::{After, Rules};
use crate::task::Phase;
use crate::time::{LogTime, Millis};

/// How a task stands that another is to depend on.
enum Dependency {
    /// There is no such task.
    Unknown,
    /// It has not ended: it lives, or is an item of a map whose turn comes.
    Lives,
    Ended(Status),
}

impl<R: Rows> Transition<'_, R> {
    /// Whether tasks under these ids may depend on what the rules say.
    ///
    /// A dependency is there before the task that waits for it, so no two ever wait for each other. The item of a map that
    /// has had no turn is the one thing that can be waited for before there is a task of its id: see
    /// [`Self::check_ids`].
    pub(super) fn check_dependencies(&self, ids: &[TaskId], rules: &Rules) -> Result<(), Rejection> {
        let Some(after) = rules.after() else { return Ok(()) };
        if let Some(own) = ids.iter().find(|id| after.tasks.contains(id)) {
            let text = format!(
                "task {own} is of this submit: only tasks that were accepted before can be waited for"
            );
            return Err(Rejection::Invalid(text));
        }
        for task in &after.tasks {
            if matches!(self.dependency(task), Dependency::Unknown) {
                return Err(Rejection::UnknownDependency(*task));
            }
            let users = self.state.live.dependencies.users_len(task) + ids.len();
            within("the number of tasks that depend on one", users, DEPENDENTS_MAX)?;
        }
        Ok(())
    }

    /// Whether tasks can be made under these ids: not if they are those of items of maps that live, or others wait for items
    /// that had them.
    pub(super) fn check_ids(&self, mut ids: impl Iterator<Item = TaskId>) -> Result<(), Rejection> {
        let (maps, dependencies) = (&self.state.maps, &self.state.live.dependencies);
        if maps.is_empty() && dependencies.is_empty() {
            return Ok(());
        }
        let is_taken = |id: &TaskId| maps.has_item(id) || dependencies.is_needed(id);
        ids.find(is_taken).map_or(Ok(()), |id| Err(Rejection::TaskConflict(id)))
    }

    fn dependency(&self, id: &TaskId) -> Dependency {
        if self.state.live.find(id).is_some() {
            return Dependency::Lives;
        }
        if let Some(record) = self.record(id) {
            return Dependency::Ended(record.outcome.status());
        }
        let unborn = id.as_item().and_then(|(map, index)| {
            let (row, standing) = self.map_of(&map)?;
            standing.unborn(&row, index)
        });
        match unborn {
            Some(Unborn::Queued) => Dependency::Lives,
            Some(Unborn::Cancelled(_)) => Dependency::Ended(Status::Cancelled),
            None => Dependency::Unknown,
        }
    }

    /// Where a task stands that depends on others: what is over by then is found at the end of the entry. Its delay counts
    /// from its acceptance, as its deadlines do.
    pub(super) fn blocked(&self, delay: Millis) -> Phase {
        Phase::Blocked { not_before: if delay == Millis(0) { LogTime(0) } else { self.now().after(delay) } }
    }

    /// A task that was just accepted waits for others.
    pub(super) fn wait(&mut self, id: TaskId, after: &After) {
        let ended: Vec<(TaskId, Status)> = after
            .tasks
            .iter()
            .filter_map(|task| match self.dependency(task) {
                Dependency::Ended(status) => Some((*task, status)),
                Dependency::Lives | Dependency::Unknown => None,
            })
            .collect();
        let slot = self.state.live.find(&id).expect("it was just accepted");
        let seq = self.state.live.cell(slot).seq;
        self.state.live.dependencies.enter((id, seq), after.clone(), Some(&ended));
    }

    /// A task has ended: what depends on it learns of it.
    pub(super) fn tell_dependents(&mut self, task: TaskId, status: Status) {
        if !self.state.live.dependencies.is_empty() {
            self.state.live.dependencies.tell(task, status);
        }
    }

    /// The same of the items of a map that will have no turn, from this one on.
    pub(super) fn tell_dependents_of_items(&mut self, map: MapId, row: &MapRow, from: u32) {
        if self.state.live.dependencies.is_empty() || from >= row.items() {
            return;
        }
        let items = self.state.live.dependencies.needed_within(map.item(from), map.item(row.items() - 1));
        // Another task may have taken the id of an item.
        for item in items {
            if self.task_row(&item).is_none() {
                self.tell_dependents(item, Status::Cancelled);
            }
        }
    }

    /// Goes on with tasks whose waiting is over, at the end of an entry: up to a number, the others have their turn in the
    /// next one. What ends here ends what depends on it in turn.
    pub(super) fn settle(&mut self) {
        for _ in 0..DUE_PER_ENTRY_MAX {
            let Some((task, broken)) = self.state.live.dependencies.next_ripe() else { return };
            let slot = self.state.live.find(&task).expect("what depends on something lives");
            if let Some((dependency, status)) = broken {
                self.finish(slot, Outcome::Failed(broken_by(dependency, status)));
                continue;
            }
            let Phase::Blocked { not_before } = self.state.live.cell(slot).standing.phase else {
                unreachable!("only a blocked task waits for others")
            };
            let run_at = self.rules(&task).and_then(|rules| rules.run_at());
            let phase = match run_at {
                Some(at) if at > self.calendar => Phase::Scheduled { at },
                None if not_before > self.now() => Phase::Waiting { due: not_before },
                Some(_) | None => Phase::Ready,
            };
            self.state.live.dependencies.release(&task);
            self.set_phase(slot, phase);
        }
    }
}

fn broken_by(task: TaskId, status: Status) -> TaskError {
    let ended = match status {
        Status::Parked => "was parked",
        Status::Cancelled => "was cancelled",
        Status::Waiting | Status::Queued | Status::Running | Status::Completed | Status::Failed => "failed",
    };
    TaskError {
        kind: FailureKind::Dependency { task },
        type_name: String::new(),
        message: format!("task {task}, which it was to run after, {ended}"),
        traceback: String::new(),
        exception: None,
    }
}

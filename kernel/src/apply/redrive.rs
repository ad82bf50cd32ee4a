//! `redrive`: runs a task that failed or was parked again, as a task of its own. A repeat names the same one.

use super::transition::Transition;
use crate::command::{Redrive, Submit};
use crate::record::Status;
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;
use crate::rules::Rules;
use crate::task::{TaskOptions, TaskRow};
use crate::time::Millis;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn redrive(&mut self, command: &Redrive) -> Reply {
        let Redrive { task, into } = *command;
        let row = self.task_row(&task).ok_or(Rejection::UnknownTask(task))?;
        let status = self.record(&task).map(|record| record.outcome.status());
        let status =
            status.or_else(|| self.state.status(&task)).expect("a task that has a row stands somewhere");
        if !matches!(status, Status::Failed | Status::Parked) {
            return Err(Rejection::NotRedrivable { task, status });
        }
        if self.task_row(&into).is_some() {
            let before = self.rules(&into).and_then(|rules| rules.redrive_of());
            let created = false;
            return if before == Some(task) {
                Ok(Accepted::Redriven { created })
            } else {
                Err(Rejection::TaskConflict(into))
            };
        }
        let rules = self.rules(&task).unwrap_or_default().redriven(task);
        if rules.in_parts().is_some() {
            return Err(Rejection::NotRedrivableInParts(task));
        }
        self.check_ids([into].into_iter())?;
        self.check_dependencies(&[into], &rules)?;
        self.check_room_for(&rules)?;
        self.accept_again(command, row, &rules);
        Ok(Accepted::Redriven { created: true })
    }

    /// As the task was accepted, but for its delay, which is long over.
    fn accept_again(&mut self, command: &Redrive, row: TaskRow, rules: &Rules) {
        let function = self.function(&row.function).expect("the function of a task is never dropped");
        let options = TaskOptions { delay: Millis(0), ..row.options };
        let submit = Submit { function: row.function, options, items: Vec::new() };
        self.accept(command.into, &submit, rules, &function.spec, (self.now(), row.args));
    }
}

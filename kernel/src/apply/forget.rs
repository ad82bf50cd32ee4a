//! `forget`: drops finished tasks whose retention is over.

use super::transition::Transition;
use crate::command::Forget;
use crate::ids::TaskId;
use crate::reply::Accepted;
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn forget(&mut self, command: &Forget) -> Accepted {
        let mut forgotten = 0;
        for id in &command.tasks {
            forgotten += u32::from(self.forget_one(*id));
        }
        Accepted::Forgotten(forgotten)
    }

    fn forget_one(&mut self, id: TaskId) -> bool {
        let Some(record) = self.record(&id) else { return false };
        if record.expires > self.now() {
            return false;
        }
        let row = self.task_row(&id).expect("a finished task keeps its row as long as its record");
        self.forget_rows(id, row, record);
        true
    }
}

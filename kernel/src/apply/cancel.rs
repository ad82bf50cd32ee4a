//! `cancel`: ends a task before it ends itself. Once accepted, the task never starts (again).

use super::transition::Transition;
use crate::command::Cancel;
use crate::record::{Outcome, Status};
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn cancel(&mut self, command: &Cancel) -> Reply {
        let id = &command.task;
        if let Some(slot) = self.state.live.find(id) {
            self.revoke(slot);
            self.finish(slot, Outcome::Cancelled);
            return Ok(Accepted::Cancelled);
        }
        let Some(record) = self.record(id) else {
            return self.cancel_unborn(id).unwrap_or(Err(Rejection::UnknownTask(*id)));
        };
        let status = record.outcome.status();
        if status == Status::Cancelled {
            return Ok(Accepted::Cancelled);
        }
        Err(Rejection::AlreadyFinished { task: *id, status })
    }
}

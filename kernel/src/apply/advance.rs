//! Time: moves the clocks forward and does what has become due.

use super::transition::Transition;
use crate::command::Entry;
use crate::limits::DUE_PER_ENTRY_MAX;
use crate::record::{FailureKind, TaskError};
use crate::rows::Rows;
use crate::task::Phase;

impl<R: Rows> Transition<'_, R> {
    /// Neither clock ever goes back, whatever a new leader believes.
    pub(super) fn advance(&mut self, entry: &Entry) {
        let scalars = &mut self.state.scalars;
        scalars.log_time = scalars.log_time.max(entry.log_time);
        scalars.wall_time = scalars.wall_time.max(entry.wall_time);
        for _ in 0..DUE_PER_ENTRY_MAX {
            let Some(&(due, id)) = self.state.indexes.due.first() else { return };
            if due > self.now() {
                return;
            }
            match self.state.expect_task(&id).phase {
                Phase::Waiting { .. } => self.set_phase(&id, Phase::Ready),
                Phase::Leased(_) => {
                    self.revoke(&id);
                    self.charge(&id, overran(), true);
                }
                Phase::Ready => unreachable!("a ready task is not due"),
            }
        }
    }
}

fn overran() -> TaskError {
    TaskError {
        kind: FailureKind::Timeout,
        type_name: String::new(),
        message: "the attempt overran its time limit, and its worker did not end it".to_owned(),
        traceback: String::new(),
        exception: None,
    }
}

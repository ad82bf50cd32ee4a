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
            let Some((due, slot)) = self.state.live.next_due() else { return };
            if due > self.now() {
                return;
            }
            match self.state.live.cell(slot).standing.phase {
                Phase::Waiting { .. } => self.set_phase(slot, Phase::Ready),
                Phase::Leased(_) => {
                    self.revoke(slot);
                    self.charge(slot, overran(), true);
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

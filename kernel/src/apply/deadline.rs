//! Deadlines: a task that was not started, or has not ended, by then has failed.

use super::transition::Transition;
use crate::live::Slot;
use crate::record::{FailureKind, Outcome, TaskError};
use crate::rows::Rows;

/// A deadline that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missed {
    Start,
    End,
}

impl<R: Rows> Transition<'_, R> {
    /// The deadline that the task has missed as it stands.
    pub(super) fn missed(&self, slot: Slot) -> Option<Missed> {
        let deadlines = self.state.live.deadlines(slot)?;
        let passed = |at: Option<_>| at.is_some_and(|at| at <= self.now());
        let standing = &self.state.live.cell(slot).standing;
        let before_start = standing.phase.is_before_any_start(standing.counters);
        if passed(deadlines.end_by) {
            Some(Missed::End)
        } else if before_start && passed(deadlines.start_by) {
            Some(Missed::Start)
        } else {
            None
        }
    }

    /// Ends the task if it has missed a deadline; says whether it has.
    pub(super) fn end_if_late(&mut self, slot: Slot) -> bool {
        let Some(missed) = self.missed(slot) else { return false };
        self.revoke(slot);
        self.finish(slot, Outcome::Failed(late(missed)));
        true
    }
}

fn late(missed: Missed) -> TaskError {
    let (kind, message) = match missed {
        Missed::Start => {
            (FailureKind::Expired, "the task was not started by the time that its start_by allows")
        }
        Missed::End => {
            (FailureKind::Timeout, "the task had not ended by the time that its total_timeout allows")
        }
    };
    TaskError {
        kind,
        type_name: String::new(),
        message: message.to_owned(),
        traceback: String::new(),
        exception: None,
    }
}

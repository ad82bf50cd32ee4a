//! `fail`: charges a failed attempt, and decides whether the task is tried again, has failed, or is parked.

use super::transition::{Superseded, Transition};
use crate::command::Fail;
use crate::ids::TaskId;
use crate::limits::{CRASHES_MAX, LOSSES_MAX};
use crate::record::{FailureKind, Outcome, Status, TaskError};
use crate::reply::{Accepted, Reply};
use crate::rows::Rows;
use crate::task::{Phase, Task};
use crate::time::Millis;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn fail(&mut self, command: &Fail) -> Reply {
        match self.check_newest(&command.lease) {
            Ok(()) => Ok(self.fail_newest(command)),
            Err(Superseded::Ended(record))
                if record.token == command.lease.token
                    && matches!(record.outcome.status(), Status::Failed | Status::Parked) =>
            {
                Ok(Accepted::Finished { status: record.outcome.status() })
            }
            Err(superseded) => Err(superseded.refuse(&command.lease)),
        }
    }

    /// A report whose lease has ended before changes nothing. Either it is a repeat, or the end of the lease was
    /// charged, and one attempt would count twice; or the task was handed back uncharged, and is tried again anyway.
    fn fail_newest(&mut self, command: &Fail) -> Accepted {
        let id = &command.lease.task;
        if self.state.lease(id).is_some() {
            self.put_output(command.lease, &command.output);
            self.charge(id, command.error.within_bounds(), command.retryable);
        }
        self.standing(id)
    }

    fn standing(&self, id: &TaskId) -> Accepted {
        match self.state.task(id).map(|task| &task.phase) {
            Some(Phase::Waiting { due }) => Accepted::WillRetry { due: *due },
            Some(Phase::Ready | Phase::Leased(_)) => Accepted::WillRetry { due: self.now() },
            None => {
                let record = self.record(id).expect("a task that lives no more has its record");
                Accepted::Finished { status: record.outcome.status() }
            }
        }
    }

    /// Ends the current lease with a failure on the account that the failure's kind belongs to.
    pub(super) fn charge(&mut self, id: &TaskId, error: TaskError, retryable: bool) {
        self.state.update(id, |task| count(task, error.kind));
        self.touch(*id);
        match verdict(id, self.state.expect_task(id), error.kind, retryable) {
            Verdict::Again(Millis(0)) => self.set_phase(id, Phase::Ready),
            Verdict::Again(pause) => {
                let due = self.now().after(pause);
                self.set_phase(id, Phase::Waiting { due });
            }
            Verdict::Failed => self.finish(id, Outcome::Failed(error)),
            Verdict::Parked => self.finish(id, Outcome::Parked(error)),
        }
    }
}

enum Verdict {
    Again(Millis),
    Failed,
    Parked,
}

const fn count(task: &mut Task, kind: FailureKind) {
    let counters = &mut task.counters;
    let counter = if kind.is_crash() {
        &mut counters.crashes
    } else if matches!(kind, FailureKind::WorkerLost) {
        &mut counters.losses
    } else {
        &mut counters.failures
    };
    *counter = counter.saturating_add(1);
}

/// Decides after counting. Crashes and losses are tried again whatever the retry policy says, up to their own bounds:
/// the task did not get to say whether it works.
fn verdict(id: &TaskId, task: &Task, kind: FailureKind, retryable: bool) -> Verdict {
    let counters = &task.counters;
    if kind == FailureKind::WorkerLost {
        return if counters.losses >= LOSSES_MAX { Verdict::Parked } else { Verdict::Again(Millis(0)) };
    }
    if kind.is_crash() {
        return if counters.crashes >= CRASHES_MAX {
            Verdict::Parked
        } else {
            Verdict::Again(task.retry.pause(id, counters.crashes))
        };
    }
    if retryable && counters.failures < task.retry.max_attempts {
        Verdict::Again(task.retry.pause(id, counters.failures))
    } else {
        Verdict::Failed
    }
}

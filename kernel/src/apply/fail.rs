//! `fail`: charges a failed attempt, and decides whether the task is tried again, has failed, or is parked.

use core::iter;

use super::transition::{Superseded, Transition};
use crate::command::Fail;
use crate::ids::TaskId;
use crate::limits::{CRASHES_MAX, EXCEPTIONS_MAX, LOSSES_MAX};
use crate::live::{Slot, Standing};
use crate::record::{FailureKind, Outcome, Status, TaskError};
use crate::reply::{Accepted, Reply};
use crate::retry::RetryPolicy;
use crate::rows::Rows;
use crate::task::{Counters, Phase};
use crate::time::Millis;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn fail(&mut self, command: &Fail) -> Reply {
        match self.check_newest(&command.lease) {
            Ok(slot) => Ok(self.fail_newest(command, slot)),
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
    fn fail_newest(&mut self, command: &Fail, slot: Slot) -> Accepted {
        if self.state.lease(slot).is_some() {
            self.put_output(command.lease, &command.output);
            let retryable = command.retryable && !self.is_final(slot, &command.error, &command.bases);
            self.charge(slot, command.error.within_bounds(), retryable);
        }
        self.standing(&command.lease.task)
    }

    /// Whether the task must have ended before another attempt could start.
    fn ends_before(&self, slot: Slot, pause: Millis) -> bool {
        let end_by = self.state.live.deadlines(slot).and_then(|deadlines| deadlines.end_by);
        end_by.is_some_and(|end_by| end_by <= self.now().after(pause))
    }

    /// Whether the rules of the task say that trying again does not help against this.
    pub(super) fn is_final(&self, slot: Slot, error: &TaskError, bases: &[String]) -> bool {
        if !self.state.live.terms(slot).no_retry {
            return false;
        }
        let rules = self.rules(&self.state.live.cell(slot).id).unwrap_or_default();
        let of_timeout = if error.kind == FailureKind::Timeout { TIMEOUT_CLASSES } else { &[] };
        let bases = bases.iter().take(EXCEPTIONS_MAX).map(String::as_str);
        let mut classes = iter::once(&*error.type_name).chain(bases).chain(of_timeout.iter().copied());
        rules.no_retry().is_some_and(|names| names.name_any(&mut classes))
    }

    fn standing(&self, id: &TaskId) -> Accepted {
        let slot = self.state.live.find(id);
        match slot.map(|slot| &self.state.live.cell(slot).standing.phase) {
            Some(Phase::Waiting { due }) => Accepted::WillRetry { due: *due },
            Some(Phase::Ready | Phase::Leased(_) | Phase::Scheduled { .. } | Phase::Blocked { .. }) => {
                Accepted::WillRetry { due: self.now() }
            }
            None => {
                let record = self.record(id).expect("a task that lives no more has its record");
                Accepted::Finished { status: record.outcome.status() }
            }
        }
    }

    /// Ends the current lease with a failure on the account that the failure's kind belongs to.
    pub(super) fn charge(&mut self, slot: Slot, error: TaskError, retryable: bool) {
        self.state.live.update(slot, |standing| count(standing, error.kind));
        self.touch(slot);
        let (cell, terms) = (self.state.live.cell(slot), self.state.live.terms(slot));
        match verdict(&cell.id, cell.standing.counters, terms.retry, error.kind, retryable) {
            // The error tells more than that the time was over while nothing happened.
            Verdict::Again(pause) if self.ends_before(slot, pause) => {
                self.finish(slot, Outcome::Failed(error));
            }
            Verdict::Again(Millis(0)) => self.set_phase(slot, Phase::Ready),
            Verdict::Again(pause) => {
                let due = self.now().after(pause);
                self.set_phase(slot, Phase::Waiting { due });
            }
            Verdict::Failed => self.finish(slot, Outcome::Failed(error)),
            Verdict::Parked => self.finish(slot, Outcome::Parked(error)),
        }
    }
}

/// What `raftwork.TaskTimeout` is, by which a task over its time ends whether or not it could be raised.
const TIMEOUT_CLASSES: &[&str] = &["TaskTimeout", "TimeoutError", "OSError", "Exception"];

enum Verdict {
    Again(Millis),
    Failed,
    Parked,
}

const fn count(standing: &mut Standing, kind: FailureKind) {
    let counters = &mut standing.counters;
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
fn verdict(
    id: &TaskId,
    counters: Counters,
    retry: RetryPolicy,
    kind: FailureKind,
    retryable: bool,
) -> Verdict {
    if kind == FailureKind::WorkerLost {
        return if counters.losses >= LOSSES_MAX { Verdict::Parked } else { Verdict::Again(Millis(0)) };
    }
    if kind.is_crash() {
        return if counters.crashes >= CRASHES_MAX {
            Verdict::Parked
        } else {
            Verdict::Again(retry.pause(id, counters.crashes))
        };
    }
    if retryable && counters.failures < retry.max_attempts {
        Verdict::Again(retry.pause(id, counters.failures))
    } else {
        Verdict::Failed
    }
}

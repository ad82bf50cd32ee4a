//! The way out: no new work, what runs may finish, then exit.

use std::time::Duration;

use super::Moment;
use crate::ExitReason;
use crate::times;

/// A worker that leaves.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) reason: ExitReason,
    /// When tasks that still run are stopped; `None` once they were.
    kill_at: Option<Moment>,
    /// Since when no child is busy.
    quiet: Option<Moment>,
    /// When the worker leaves, whatever is left; set when it has to be at once.
    exit_at: Option<Moment>,
}

impl Leaving {
    pub(super) fn new(now: Moment, reason: ExitReason, patience: Duration) -> Self {
        Self { reason, kill_at: Some(now + patience), quiet: None, exit_at: None }
    }

    /// Out of patience.
    pub(super) fn hurry(&mut self, now: Moment) {
        self.reason = ExitReason::Stopped;
        self.kill_at = self.kill_at.map(|_| now);
        self.exit_at.get_or_insert(now + times::STOP_LINGER);
    }

    /// Whether the tasks that run must be stopped now: true once.
    pub(super) fn must_kill(&mut self, now: Moment) -> bool {
        let due = self.kill_at.is_some_and(|at| at <= now);
        if due {
            self.kill_at = None;
        }
        due
    }

    /// Notes whether a child is busy.
    pub(super) fn observe(&mut self, now: Moment, busy: bool) {
        self.quiet = if busy { None } else { self.quiet.or(Some(now)) };
    }

    /// When to leave with reports undelivered.
    fn deadline(&self) -> Option<Moment> {
        self.exit_at.or_else(|| self.quiet.map(|quiet| quiet + times::REPORT_LINGER))
    }

    /// Whether the time for delivering reports is over.
    pub(super) fn is_overdue(&self, now: Moment) -> bool {
        self.deadline().is_some_and(|at| at <= now)
    }

    /// When to look again.
    pub(super) fn next(&self) -> Option<Moment> {
        [self.kill_at, self.deadline()].into_iter().flatten().min()
    }
}

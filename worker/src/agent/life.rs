//! How long the worker may trust its leases: the clock behind "a cut-off worker stops itself".
//!
//! A lease holds for the TTL after the leader last heard of it, and the leader cannot have heard a heartbeat before it
//! was sent. So counting from the *send* time of the last answered heartbeat is safe on the worker's own clock.

use std::time::Duration;

use super::Moment;
use crate::times;

#[derive(Debug, Default)]
pub(super) struct Life {
    ttl: Duration,
    /// When the last answered heartbeat was sent.
    heard: Option<Moment>,
    /// The deadline has passed, and the tasks were stopped for it.
    stopped: bool,
}

impl Life {
    /// The leader said how long leases last.
    pub(super) fn set_ttl(&mut self, ttl: Duration) {
        self.ttl = ttl;
    }

    /// What was sent at `sent` has been answered by a leader that was one.
    pub(super) fn confirm(&mut self, now: Moment, sent: Moment) {
        self.heard = self.heard.max(Some(sent));
        self.stopped = self.stopped && !self.has_time(now);
    }

    /// Whether a task may start now.
    pub(super) fn allows_starting(&self, now: Moment) -> bool {
        !self.stopped && self.has_time(now)
    }

    /// When everything must stop, unless an answer comes before.
    pub(super) fn deadline(&self) -> Option<Moment> {
        if self.stopped { None } else { self.end() }
    }

    /// Whether the deadline has just passed: true once, until the next answer.
    pub(super) fn expires(&mut self, now: Moment) -> bool {
        let expires = self.deadline().is_some_and(|deadline| deadline <= now);
        self.stopped |= expires;
        expires
    }

    fn end(&self) -> Option<Moment> {
        self.heard.map(|heard| heard + times::trust(self.ttl))
    }

    fn has_time(&self, now: Moment) -> bool {
        self.end().is_some_and(|end| now < end)
    }
}

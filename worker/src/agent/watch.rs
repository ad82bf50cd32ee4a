//! What must end: tasks of a worker that is cut off, and the worker itself when it was told to leave.

use std::time::Duration;

use super::leaving::Leaving;
use super::link::Link;
use super::{Action, Agent, Moment};
use crate::ExitReason;

impl Agent {
    /// Stops what must not go on.
    pub(super) fn keep_watch(&mut self, now: Moment) {
        if self.life.expires(now) {
            let (queued, running) = (self.tasks.queued().len(), self.tasks.running().len());
            if queued + running > 0 {
                tracing::warn!(
                    queued,
                    running,
                    "cut off from the leader for too long; the tasks are stopped"
                );
            }
            self.give_back_queued(now);
            self.stop_running();
            if !matches!(self.link, Link::Down) {
                self.hang_up(None);
            }
        }
        if self.leaving.as_mut().is_some_and(|leaving| leaving.must_kill(now)) {
            self.stop_running();
        }
    }

    /// When tasks that wait for a slot have waited for too long.
    pub(super) fn patience_ends(&self) -> Option<Moment> {
        let patience = self.pace.patience()?;
        let since = self.tasks.waiting_since()?;
        (self.tasks.busy() >= usize::from(self.identity.slots)).then_some(since + patience)
    }

    /// Gives back what waits behind tasks that are longer than was thought: others may have a free slot.
    pub(super) fn give_back_stalled(&mut self, now: Moment) {
        if self.patience_ends().is_none_or(|end| now < end) {
            return;
        }
        let run = self.tasks.newest_start().map_or(Duration::ZERO, |start| now.saturating_sub(start));
        self.pace.stalled(run);
        tracing::debug!(waiting = self.tasks.queued_len(), "tasks wait here for too long and are given back");
        self.give_back_queued(now);
    }

    pub(super) fn leave(&mut self, now: Moment, reason: ExitReason) {
        if self.leaving.is_some() {
            return;
        }
        tracing::info!(running = self.tasks.busy(), %reason, "leaving: nothing more is taken");
        self.leaving = Some(Leaving::new(now, reason, self.drain_timeout));
        // First the heartbeat: what is given back must not be granted to this worker again.
        self.beat(now);
        self.give_back_queued(now);
    }

    pub(super) fn exit_when_done(&mut self, now: Moment) {
        let Some(leaving) = &mut self.leaving else { return };
        leaving.observe(now, self.tasks.busy() > 0);
        let done = self.tasks.is_empty();
        if done || leaving.is_overdue(now) {
            if !done {
                tracing::warn!(undelivered = !self.reports.is_empty(), "leaving with unfinished business");
            }
            self.actions.push(Action::Exit(leaving.reason));
        }
    }
}

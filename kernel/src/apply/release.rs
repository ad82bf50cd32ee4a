//! `release`: gives a task back unharmed and uncharged.

use super::transition::Transition;
use crate::command::{LeaseRef, Release};
use crate::ids::TaskId;
use crate::reply::{Accepted, Reply};
use crate::rows::Rows;
use crate::task::Phase;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn release(&mut self, command: &Release) -> Reply {
        self.check_newest(&command.lease).map_err(|superseded| superseded.refuse(&command.lease))?;
        if self.holds(&command.lease) {
            self.hand_back(&command.lease.task);
        }
        Ok(Accepted::Released)
    }

    pub(super) fn holds(&self, lease: &LeaseRef) -> bool {
        self.state.holds(lease)
    }

    /// The attempt counts as never made; the token stays, so that its holder may still report until the next grant.
    pub(super) fn hand_back(&mut self, id: &TaskId) {
        self.state.update(id, |task| {
            task.counters.returns = task.counters.returns.saturating_add(1);
            task.phase = Phase::Ready;
        });
        self.touch(*id);
    }
}

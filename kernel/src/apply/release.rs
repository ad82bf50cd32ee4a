//! `release`: gives a task back unharmed and uncharged.

use super::transition::Transition;
use crate::command::Release;
use crate::live::Slot;
use crate::reply::{Accepted, Reply};
use crate::rows::Rows;
use crate::task::Phase;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn release(&mut self, command: &Release) -> Reply {
        let slot =
            self.check_newest(&command.lease).map_err(|superseded| superseded.refuse(&command.lease))?;
        if self.state.lease(slot).is_some() {
            self.hand_back(slot);
        }
        Ok(Accepted::Released)
    }

    /// The attempt counts as never made; the token stays, so that its holder may still report until the next grant.
    pub(super) fn hand_back(&mut self, slot: Slot) {
        self.state.live.update(slot, |standing| {
            standing.counters.returns = standing.counters.returns.saturating_add(1);
            standing.phase = Phase::Ready;
        });
        self.touch(slot);
        // The start that did not happen may have been due meanwhile.
        self.end_if_late(slot);
    }
}

//! `acquire`: hands the best ready tasks to a worker, each under a new token. A repeat returns what it got before.

use super::transition::Transition;
use crate::command::Acquire;
use crate::limits::{ACQUIRE_MAX, RUN_GRACE};
use crate::live::Slot;
use crate::reply::{Accepted, Grant};
use crate::rows::Rows;
use crate::rules::Tags;
use crate::task::{Lease, Phase};
use crate::time::Millis;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn acquire(&mut self, command: &Acquire, tags: &Tags) -> Accepted {
        let before = self.grants_under(command);
        if !before.is_empty() {
            return Accepted::Granted(before);
        }
        let mut grants = Vec::new();
        for _ in 0..command.max.min(ACQUIRE_MAX) {
            let Some(slot) = self.state.live.best_for(command.python, tags) else { break };
            #[cfg(feature = "mutants")]
            let slot = if crate::mutants::mutant("M12") { self.any_ready(slot) } else { slot };
            // There may be more of them than one entry ends by itself; each takes a turn of this acquire.
            if self.end_if_late(slot) {
                continue;
            }
            grants.push(self.grant(slot, command));
        }
        Accepted::Granted(grants)
    }

    /// A ready task in the order of a hash map, which is another in every process: what only a planted bug does.
    #[cfg(feature = "mutants")]
    fn any_ready(&self, best: Slot) -> Slot {
        use std::hash::BuildHasher;
        let slots = self.state.live.slots();
        let ready = slots.filter(|(_, cell)| matches!(cell.standing.phase, Phase::Ready));
        let order = std::hash::RandomState::new();
        ready.min_by_key(|(_, cell)| order.hash_one(cell.id)).map_or(best, |(slot, _)| slot)
    }

    /// What the worker still holds under this request id: the answer that may have been lost on its way.
    fn grants_under(&self, command: &Acquire) -> Vec<Grant> {
        let held = self.state.leases_under(command.worker, command.request);
        held.map(|slot| self.describe(slot, self.state.live.terms(slot).run_max)).collect()
    }

    fn grant(&mut self, slot: Slot, command: &Acquire) -> Grant {
        let token = self.state.next_token();
        let now = self.now();
        let terms = self.state.live.terms(slot);
        let (run_max, limited) = (terms.run_max, terms.is_limited());
        let run_until = run_max.map(|run_max| now.after(run_max).after(RUN_GRACE));
        let lease = Lease { worker: command.worker, request: command.request, run_until };
        self.state.live.update(slot, |standing| {
            standing.token = token;
            standing.phase = Phase::Leased(Box::new(lease));
        });
        if limited {
            self.state.live.start(slot, now);
        }
        self.touch(slot);
        self.describe(slot, run_max)
    }

    fn describe(&self, slot: Slot, run_max: Option<Millis>) -> Grant {
        let cell = self.state.live.cell(slot);
        let attempt = cell.standing.counters.next_attempt();
        Grant { task: cell.id, token: cell.standing.token, attempt, run_max }
    }
}

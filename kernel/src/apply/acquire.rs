//! `acquire`: hands the best ready tasks to a worker, each under a new token. A repeat returns what it got before.

use super::transition::Transition;
use crate::command::Acquire;
use crate::ids::TaskId;
use crate::limits::{ACQUIRE_MAX, RUN_GRACE};
use crate::reply::{Accepted, Grant};
use crate::rows::Rows;
use crate::task::{Lease, Phase};

impl<R: Rows> Transition<'_, R> {
    pub(super) fn acquire(&mut self, command: &Acquire) -> Accepted {
        let before = self.grants_under(command);
        if !before.is_empty() {
            return Accepted::Granted(before);
        }
        let mut grants = Vec::new();
        for _ in 0..command.max.min(ACQUIRE_MAX) {
            let Some(id) = self.state.indexes.best_for(command.python) else { break };
            grants.push(self.grant(id, command));
        }
        Accepted::Granted(grants)
    }

    /// What the worker still holds under this request id: the answer that may have been lost on its way.
    fn grants_under(&self, command: &Acquire) -> Vec<Grant> {
        let held = self.state.leases_of(command.worker);
        let same = held.filter(|lease| {
            self.state.lease(&lease.task).is_some_and(|held| held.request == command.request)
        });
        same.map(|lease| self.describe(lease.task)).collect()
    }

    fn grant(&mut self, id: TaskId, command: &Acquire) -> Grant {
        let token = self.state.next_token();
        let now = self.now();
        self.state.update(&id, |task| {
            let run_until = task.run_max.map(|run_max| now.after(run_max).after(RUN_GRACE));
            task.token = token;
            task.phase = Phase::Leased(Box::new(Lease {
                worker: command.worker,
                request: command.request,
                run_until,
            }));
        });
        self.touch(id);
        self.describe(id)
    }

    fn describe(&self, id: TaskId) -> Grant {
        let task = self.state.expect_task(&id);
        Grant { task: id, token: task.token, attempt: task.counters.next_attempt(), run_max: task.run_max }
    }
}

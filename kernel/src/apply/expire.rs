//! `expire`: ends the leases of a worker that the leader has not heard from.

use super::transition::Transition;
use crate::command::Expire;
use crate::live::Slot;
use crate::record::{FailureKind, TaskError};
use crate::reply::Accepted;
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn expire(&mut self, command: &Expire) -> Accepted {
        let mut ended = 0;
        for (lease, started) in &command.leases {
            if self.state.holds(lease)
                && let Some(slot) = self.state.live.find(&lease.task)
            {
                self.end_unheard(slot, *started);
                ended += 1;
            }
        }
        Accepted::Expired(ended)
    }

    /// Only a started attempt is charged: a grant that never reached its worker is nobody's fault.
    fn end_unheard(&mut self, slot: Slot, started: bool) {
        self.revoke(slot);
        if started {
            self.charge(slot, lost(), true);
        } else {
            self.hand_back(slot);
        }
    }
}

fn lost() -> TaskError {
    TaskError {
        kind: FailureKind::WorkerLost,
        type_name: String::new(),
        message: "the worker was lost while it ran the task".to_owned(),
        traceback: String::new(),
        exception: None,
    }
}

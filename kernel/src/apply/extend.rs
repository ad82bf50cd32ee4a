//! `extend`: lets an attempt run longer than its limit, counted from now.

use super::transition::{Transition, stale};
use crate::command::Extend;
use crate::limits::RUN_GRACE;
use crate::reply::{Accepted, Reply};
use crate::rows::Rows;
use crate::task::{Lease, Phase};

impl<R: Rows> Transition<'_, R> {
    pub(super) fn extend(&mut self, command: &Extend) -> Reply {
        let slot =
            self.check_newest(&command.lease).map_err(|superseded| superseded.refuse(&command.lease))?;
        let Some(lease) = self.state.lease(slot).cloned() else {
            return Err(stale(&command.lease, command.lease.token));
        };
        let run_until = self.now().after(command.run).after(RUN_GRACE);
        self.set_phase(slot, Phase::Leased(Box::new(Lease { run_until: Some(run_until), ..lease })));
        Ok(Accepted::Extended { run_until })
    }
}

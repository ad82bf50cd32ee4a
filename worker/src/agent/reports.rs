//! Reports that the leader has not judged yet, in the order in which they were made.

use std::collections::VecDeque;
use std::time::Duration;

use raftwork_api::kernel::LeaseRef;
use raftwork_api::stream::FromWorker;

use super::Moment;

/// Bounded by the leases that the worker holds: each has at most one report.
#[derive(Debug, Default)]
pub(super) struct Reports {
    waiting: VecDeque<Report>,
}

#[derive(Debug)]
struct Report {
    lease: LeaseRef,
    message: FromWorker,
    /// When it was last said.
    said: Moment,
}

impl Reports {
    pub(super) fn add(&mut self, now: Moment, lease: LeaseRef, message: FromWorker) {
        self.waiting.push_back(Report { lease, message, said: now });
    }

    /// Forgets the report on `lease`; false if there was none.
    pub(super) fn judged(&mut self, lease: &LeaseRef) -> bool {
        // Verdicts come in the order of the reports, so this finds it at the front.
        let at = self.waiting.iter().position(|report| report.lease == *lease);
        at.and_then(|at| self.waiting.remove(at)).is_some()
    }

    /// Those that have waited for `patience` since they were last said, oldest first; they count as said now.
    pub(super) fn repeat(&mut self, now: Moment, patience: Duration) -> Vec<FromWorker> {
        let unheard = self.waiting.iter_mut().filter(|report| report.said + patience <= now);
        let said_again = unheard.map(|report| {
            report.said = now;
            report.message.clone()
        });
        said_again.collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

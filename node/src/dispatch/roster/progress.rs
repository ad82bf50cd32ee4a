//! How far running tasks say they are: kept for whoever looks, and for nothing else.

use std::time::Instant;

use raftwork_api::tasks::Progress;
use raftwork_kernel::{LeaseRef, WorkerId};

use super::Roster;

impl<O: Clone, W> Roster<O, W> {
    /// A worker passes on what its tasks say. Of a lease that it does not hold here nobody would ask.
    pub(in crate::dispatch) fn progress(
        &mut self,
        now: Instant,
        worker: WorkerId,
        news: Vec<(LeaseRef, Progress)>,
    ) {
        let Some(session) = self.sessions.get_mut(&worker) else { return };
        session.hear(now);
        for (lease, mut progress) in news {
            if session.held.contains_key(&lease) {
                let end = progress.message.floor_char_boundary(Progress::MESSAGE_BYTES_MAX);
                progress.message.truncate(end);
                session.progress.insert(lease, progress);
            }
        }
        // Bounded by what is held; leases that are over go with the next news.
        let held = &session.held;
        session.progress.retain(|lease, _| held.contains_key(lease));
    }

    /// What the task said last under this lease.
    pub(in crate::dispatch) fn progress_of(&self, worker: WorkerId, lease: &LeaseRef) -> Option<Progress> {
        self.sessions.get(&worker)?.progress.get(lease).cloned()
    }
}

//! What the leader does by the clock: expires leases, moves log time on, and drops finished tasks after their retention.

use std::time::{Duration, Instant};

use raftwork_kernel::{Command, Forget, LogTime, TaskId};
use tokio::time::MissedTickBehavior;

use super::Dispatcher;
use crate::group::wall_time;

/// How often leases and due tasks are looked at: the coarseness of every delay and time-out.
const TICK: Duration = Duration::from_millis(50);
/// How often it is looked whether there is anything, while there was nothing that time could change, unless an entry is
/// applied. Below [`GAP_MAX`], with a tick.
const REST: Duration = Duration::from_millis(350);
/// How often the roster is compared with the applied leases, and retention is looked at.
const ROUND: Duration = Duration::from_secs(1);
/// Longest time between two looks that the node's own work explains. Beyond, it stood still (a paused process, a paused
/// machine): what workers said meanwhile waits in its sockets, and a look must not come before the hearing.
const GAP_MAX: Duration = Duration::from_millis(500);
/// Most tasks dropped by one entry.
const FORGET_MAX: usize = 1000;

impl Dispatcher {
    /// Keeps house whenever this node leads, until it stops. A follower sleeps: an idle cluster costs next to nothing.
    pub(crate) async fn run_housekeeping(self) {
        let mut forgotten_until = LogTime(0);
        while self.inner.reign.begun().await {
            forgotten_until = self.keep_house(forgotten_until).await;
        }
    }

    /// Until the reign ends; takes and returns the moment before which everything due was forgotten.
    async fn keep_house(&self, mut forgotten_until: LogTime) -> LogTime {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        let mut round: Option<Instant> = None;
        loop {
            interval.tick().await;
            self.notice_gap(&mut last);
            let Some(clock) = self.inner.reign.clock() else { break };
            let overdue = self.roster().overdue(Instant::now());
            self.expire(overdue).await;
            let due = self.inner.replica.next_due().is_some_and(|due| due <= clock.now());
            // Asked anew at every look: a calendar may be set at any time.
            if due || self.inner.replica.next_dated().is_some_and(|at| at <= wall_time()) {
                self.inner.proposals.tick();
            }
            if round.is_none_or(|round| round.elapsed() >= ROUND) {
                round = Some(Instant::now());
                self.roster().reconcile(Instant::now(), &self.inner.replica.leases());
                forgotten_until = self.forget(forgotten_until, clock.now()).await;
            }
            if self.nothing_can_come_due() {
                // What makes it otherwise is an entry, or is in no hurry.
                let _ = tokio::time::timeout(REST, self.inner.applied.notified()).await;
            }
        }
        forgotten_until
    }

    /// Whether no lease can end and no task change by the passing of time alone.
    fn nothing_can_come_due(&self) -> bool {
        let replica = &self.inner.replica;
        !self.roster().holds_leases() && replica.next_due().is_none() && replica.next_dated().is_none()
    }

    fn notice_gap(&self, last: &mut Instant) {
        let now = Instant::now();
        let gap = now.saturating_duration_since(std::mem::replace(last, now));
        if gap > GAP_MAX {
            tracing::debug!(?gap, "this node stood still; nobody's time is up for that");
            self.roster().slept(now, gap);
        }
    }

    /// Drops what is due, and returns the moment from which to look the next time: what lies before it is gone, and
    /// looking over its remains again would cost more each time. What live tasks run after is kept, and looked at again:
    /// the moment that is returned is then that of the first that was kept.
    async fn forget(&self, from: LogTime, now: LogTime) -> LogTime {
        let from = from.min(now);
        let mut most = FORGET_MAX;
        loop {
            let due = self.inner.replica.rows().expired(from, now, most);
            let Some((last, _)) = due.last().copied() else { return from };
            let full = due.len() == most;
            let (kept, free) = self.inner.replica.split_needed(due);
            let last = kept.first().map_or(last, |(at, _)| *at);
            let tasks: Vec<TaskId> = free.iter().take(FORGET_MAX).map(|(_, task)| *task).collect();
            if tasks.is_empty() {
                if !full {
                    return last;
                }
                // Beyond those that are kept there may be others.
                most *= 2;
                continue;
            }
            let full = full || free.len() > FORGET_MAX;
            let forgotten = self.inner.proposals.propose(vec![Command::Forget(Forget { tasks })]).await;
            if forgotten.is_err() || !full {
                return if forgotten.is_ok() { last } else { from };
            }
        }
    }
}

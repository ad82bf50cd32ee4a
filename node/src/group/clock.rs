//! The leader's log time: its own monotonic elapsed time on top of the log time that it found applied.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use raftwork_kernel::{LogTime, WallTime};

/// Longest step between two readings. A leader that was paused for an hour, and is still the leader, must not make an
/// hour's worth of deadlines due at once.
const STEP_MAX: Duration = Duration::from_secs(1);

/// A clock that runs while this node leads.
#[derive(Debug)]
pub(crate) struct LogClock {
    last: Mutex<(Instant, Duration)>,
}

impl LogClock {
    /// Starts at `base`, the log time of the applied state.
    pub(crate) fn starting_at(base: LogTime) -> Self {
        Self { last: Mutex::new((Instant::now(), Duration::from_millis(base.0))) }
    }

    /// The log time now; never less than before.
    pub(crate) fn now(&self) -> LogTime {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let step = now.saturating_duration_since(last.0).min(STEP_MAX);
        *last = (now, last.1 + step);
        LogTime(u64::try_from(last.1.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The wall clock, for people and for what they date.
pub(crate) fn wall_time() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

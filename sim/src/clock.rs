//! Time: one true time for the whole simulation, and for each node a clock that may run fast or slow or jump.
//!
//! A node's own time is the paused clock of its runtime, which only moves when the simulation lets it. The true time is
//! the simulation's alone.

use std::cell::Cell;
use std::time::Duration;

/// Where every clock begins, so that "earlier than now" can be said at the start.
const BEGINNING: Duration = Duration::from_secs(1_000_000);
/// What calendars say at the beginning.
const CALENDAR: Duration = Duration::from_secs(1_790_000_000);

/// Whose clock is looked at.
#[derive(Debug, Clone, Copy)]
struct Current {
    /// The true time at which this stretch began, in nanoseconds since the beginning.
    true_start: u64,
    /// The runtime's time at which it began; `None` outside of any.
    local_start: Option<tokio::time::Instant>,
    /// What the runtime's time at the start is worth on the node's monotonic clock.
    monotonic_start: u64,
    /// The node's calendar is so much ahead.
    wall_ahead: i64,
    /// Millionths by which the node's clock is too fast.
    fast: i64,
}

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread's time is simulated, and it is `now`.
pub(crate) fn set(now: u64) {
    let outside =
        Current { true_start: now, local_start: None, monotonic_start: now, wall_ahead: 0, fast: 0 };
    CURRENT.set(Some(outside));
}

/// The thread does a node's work now, whose runtime's time was `start` when the true time was `now`.
pub(crate) fn enter(now: u64, start: tokio::time::Instant, monotonic: u64, wall_ahead: i64, fast: i64) {
    let local_start = Some(start);
    CURRENT.set(Some(Current { true_start: now, local_start, monotonic_start: monotonic, wall_ahead, fast }));
}

/// The true time, in nanoseconds since the beginning.
pub(crate) fn true_now() -> u64 {
    CURRENT.get().map_or(0, |current| current.true_start + stretch(elapsed(&current), -current.fast))
}

/// How long a node's clock takes for so much true time, or the other way round.
pub(crate) fn stretch(nanos: u64, fast: i64) -> u64 {
    let by = i128::from(nanos) * i128::from(fast) / 1_000_000;
    u64::try_from(i128::from(nanos) + by).unwrap_or(0)
}

/// A wait of so much true time, as the current node's runtime must be told.
pub(crate) fn local(nanos: u64) -> Duration {
    let fast = CURRENT.get().map_or(0, |current| current.fast);
    Duration::from_nanos(stretch(nanos, fast))
}

/// The node's own time since its stretch began.
fn elapsed(current: &Current) -> u64 {
    let Some(start) = current.local_start else { return 0 };
    // The runtime may ask for the time itself to answer this.
    if ASKING.replace(true) {
        return 0;
    }
    let elapsed = tokio::time::Instant::now().saturating_duration_since(start);
    ASKING.set(false);
    nanos(elapsed)
}

/// What the system call answers; `None` if this thread simulates nothing.
pub(crate) fn simulated(calendar: bool) -> Option<u128> {
    let current = CURRENT.get()?;
    let since = current.monotonic_start + elapsed(&current);
    let base = if calendar { CALENDAR } else { BEGINNING };
    let ahead = if calendar { current.wall_ahead } else { 0 };
    let time = i128::try_from(base.as_nanos()).ok()? + i128::from(since) + i128::from(ahead);
    u128::try_from(time).ok()
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

//! A job as the log makes it: what was asked for, where it stands, and what follows from that alone.

use raftwork_api::kernel::{FunctionId, PythonVersion, RequestId, Status, TaskId, WorkerId};

use crate::check::dossier::Sight;
use crate::history::{FailureKind, Fingerprint, Options, Retry};

/// Highest priority.
pub(super) const PRIORITY_MAX: u8 = 9;
/// Milliseconds of waiting that a level of priority is worth.
const LEVEL_MS: u64 = 3_600_000;
/// Places in the order of acceptance for each millisecond of log time.
pub(super) const PLACES: u64 = 1 << 20;
/// What a task over its time is, beside its own exception.
const TIMEOUT_CLASSES: [&str; 4] = ["TaskTimeout", "TimeoutError", "OSError", "Exception"];

#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Fingerprint,
    pub(super) function: FunctionId,
    pub(super) options: Options,
    /// 0: an item of a map that has had no turn.
    pub(super) seq: u64,
    pub(super) accepted: u64,
    pub(super) priority: u8,
    pub(super) python: Option<PythonVersion>,
    pub(super) retry: Retry,
    pub(super) run_max_ms: Option<u64>,
    pub(super) retention_ms: u64,
    /// Key of the limit that it is under.
    pub(super) limit: Option<Fingerprint>,
    pub(super) token: u64,
    pub(super) failures: u16,
    pub(super) crashes: u16,
    pub(super) losses: u16,
    pub(super) at: At,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum At {
    /// An item of a map whose turn comes, not before a moment.
    Unborn(u64),
    Pause(u64),
    Dated(u64),
    /// Until what it runs after has ended.
    Blocked,
    Ready,
    Held(WorkerId, RequestId, Option<u64>),
    Ended(Status, Option<Fingerprint>, u64),
}

impl Job {
    pub(super) const fn attempts(&self) -> u16 {
        self.failures + self.crashes + self.losses
    }

    /// Where it stands among ready ones: a level of priority less is an hour later.
    pub(super) fn rank(&self) -> u64 {
        self.seq.saturating_add(u64::from(PRIORITY_MAX - self.priority) * LEVEL_MS * PLACES)
    }

    /// By when it has failed, as it stands.
    pub(super) fn deadline(&self) -> Option<u64> {
        let started = matches!(self.at, At::Held(..)) || self.attempts() > 0;
        let spans = [self.options.start_by_ms.filter(|_| !started), self.options.total_ms];
        // Time does nothing to what has had no turn.
        let spans = spans.into_iter().flatten().filter(|_| !matches!(self.at, At::Unborn(_) | At::Ended(..)));
        spans.map(|span| self.accepted.saturating_add(span)).min()
    }

    pub(super) fn is_final(&self, kind: FailureKind, classes: &[String]) -> bool {
        let named = |class: &str| self.options.no_retry.iter().any(|name| name == class);
        let timeout = kind == FailureKind::Timeout && TIMEOUT_CLASSES.iter().any(|class| named(class));
        timeout || classes.iter().any(|class| named(class))
    }

    pub(super) fn sight(&self) -> Sight {
        let (status, result) = match self.at {
            At::Unborn(0) | At::Ready => (Status::Queued, None),
            At::Unborn(_) | At::Pause(_) | At::Dated(_) | At::Blocked => (Status::Waiting, None),
            At::Held(..) => (Status::Running, None),
            At::Ended(status, result, _) => (status, result),
        };
        Sight { status, token: Some(self.token), attempts: Some(u32::from(self.attempts())), result }
    }
}

/// The pause after the given number of failures: exponential, half of it certain and half of it drawn from a hash of task
/// and number ("equal jitter"), as the guarantees of retries describe it.
pub(super) fn pause_ms(retry: Retry, task: TaskId, failures: u16) -> u64 {
    let doublings = u32::from(failures.saturating_sub(1)).min(31);
    let bound = (u64::from(retry.initial_ms) << doublings).min(u64::from(retry.max_ms));
    let (high, low) = task.as_uuid().as_u64_pair();
    let half = bound / 2;
    bound - half + split_mix(low ^ high.rotate_left(32) ^ u64::from(failures)) % (half + 1)
}

/// One step of `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
const fn split_mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

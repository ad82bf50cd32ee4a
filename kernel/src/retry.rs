//! When a failed attempt is tried again: exponential backoff with jitter that every replica computes alike.

use serde::{Deserialize, Serialize};

use crate::ids::TaskId;
use crate::mix::mix;
use crate::time::Millis;

/// How often, and after which pauses, a task that failed by its own exception or deadline is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Failed attempts after which the task has failed; 1 means no retry. At most [`crate::limits::ATTEMPTS_MAX`].
    pub max_attempts: u16,
    /// Upper bound of the first pause, in milliseconds; it doubles with every failure.
    pub initial_ms: u32,
    /// Upper bound of any pause, in milliseconds.
    pub max_ms: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 1, initial_ms: 1_000, max_ms: 60_000 }
    }
}

impl RetryPolicy {
    /// The pause before the next attempt after `failures` failures (1 or more).
    ///
    /// "Equal jitter": half of the exponential bound is certain, the other half is drawn; see Brooker, "Exponential
    /// Backoff and Jitter", AWS Architecture Blog, 2015. The draw is a hash of task and count, not randomness.
    pub fn pause(&self, task: &TaskId, failures: u16) -> Millis {
        let doublings = u32::from(failures.saturating_sub(1)).min(31);
        let bound = (u64::from(self.initial_ms) << doublings).min(u64::from(self.max_ms));
        let half = bound / 2;
        Millis(bound - half + draw(task, failures) % (half + 1))
    }
}

/// A well-mixed number that depends on `task` and `count` alone.
fn draw(task: &TaskId, count: u16) -> u64 {
    let (high, low) = task.as_uuid().as_u64_pair();
    mix(low ^ high.rotate_left(32) ^ u64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy { max_attempts: 10, initial_ms: 100, max_ms: 1_000 };

    #[test]
    fn pauses_double_up_to_the_bound_and_keep_half_of_it() {
        let task = TaskId::from_u128(7);
        for (failures, bound) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1_000), (200, 1_000)] {
            let Millis(pause) = POLICY.pause(&task, failures);
            assert!((bound / 2..=bound).contains(&pause), "failure {failures}: {pause} ms");
        }
    }

    #[test]
    fn two_tasks_do_not_wake_in_step() {
        let pauses: std::collections::BTreeSet<u64> =
            (0..100).map(|n| POLICY.pause(&TaskId::from_u128(n), 5).0).collect();
        assert!(pauses.len() > 50);
    }
}

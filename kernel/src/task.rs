//! Tasks: what was submitted (a row, never changed) and where it stands (in memory, while it lives).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::function::PythonVersion;
use crate::ids::{FunctionId, RequestId, Seq, Token, WorkerId};
use crate::limits;
use crate::retry::RetryPolicy;
use crate::time::{LogTime, Millis, WallTime};

/// What a submit may ask for beyond function and arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOptions {
    /// 0 (lowest) to 9: each level is worth [`PRIORITY_LEVEL`](limits::PRIORITY_LEVEL) of waiting.
    pub priority: u8,
    /// Not before this long after acceptance.
    pub delay: Millis,
    /// Overrides the function's policy.
    pub retry: Option<RetryPolicy>,
    /// Overrides the function's bound on one attempt.
    pub run_max: Option<Millis>,
    /// Overrides the Python version that the function was registered with.
    pub python: Option<PythonVersion>,
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self {
            priority: limits::PRIORITY_DEFAULT,
            delay: Millis(0),
            retry: None,
            run_max: None,
            python: None,
        }
    }
}

/// The row of an accepted task: written once, dropped when the task is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    /// What to run.
    pub function: FunctionId,
    /// With which options.
    pub options: TaskOptions,
    /// The arguments, opaque.
    pub args: Bytes,
    /// Place in the cluster's order of acceptance.
    pub seq: Seq,
    /// When it was accepted, for people.
    pub submitted_wall: WallTime,
    /// How long it is kept once finished (from the function, so that finishing needs no look-up).
    pub retention: Millis,
}

impl TaskRow {
    /// Whether a repeated submit asks for the same thing, and so may be answered with the first one's task.
    pub fn same_request(&self, function: &FunctionId, options: &TaskOptions, args: &Bytes) -> bool {
        self.function == *function && self.options == *options && self.args == *args
    }
}

/// How many attempts ended in which way; three reasons that are never mixed, and one that is weak evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The function raised, or missed its deadline.
    pub failures: u16,
    /// The child process died under the task, as its worker witnessed.
    pub crashes: u16,
    /// The worker was lost after it had started the task.
    pub losses: u16,
    /// The grant came back unstarted, or the worker drained; charged to nobody.
    pub returns: u16,
}

impl Counters {
    /// Number of the attempt that starts next, from 1. Returns are no attempts.
    pub const fn next_attempt(&self) -> u16 {
        self.failures.saturating_add(self.crashes).saturating_add(self.losses).saturating_add(1)
    }
}

/// One grant: the exclusive right of one worker to report the outcome of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it.
    pub worker: WorkerId,
    /// The acquire that it answers.
    pub request: RequestId,
    /// When the state machine itself ends the attempt, if the task has a bound on its run.
    pub run_until: Option<LogTime>,
}

/// Moments by which something must have happened to a task; most tasks have none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// The first attempt must have been granted.
    pub start_by: Option<LogTime>,
    /// The task must have ended.
    pub end_by: Option<LogTime>,
}

/// Where a live task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Delayed, or pausing before a retry.
    Waiting {
        /// When it becomes ready.
        due: LogTime,
    },
    /// May be granted.
    Ready,
    /// Granted to a worker.
    Leased(Box<Lease>),
    /// Dated.
    Scheduled {
        /// What the calendar must say before it becomes ready.
        at: WallTime,
    },
    /// Waits until other tasks have ended.
    Blocked {
        /// Then it waits until this moment, if it has not come.
        not_before: LogTime,
    },
}

impl Phase {
    /// Whether no attempt has begun, or counts as begun, of a task that stands here and whose attempts ended like this.
    pub const fn is_before_any_start(&self, counters: Counters) -> bool {
        !matches!(self, Self::Leased(_)) && counters.next_attempt() == 1
    }
}

/// A live task: all that memory holds of it, as rows and readers have it. While it waits in memory, it is packed to about
/// 80 bytes, its id and its place in every index included; `examples/memory.rs` measures it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Place in the order of acceptance.
    pub seq: Seq,
    /// The newest grant's token, kept after the lease ended until the next grant ("late but unsuperseded wins").
    pub token: Token,
    /// Where it stands.
    pub phase: Phase,
    /// How its attempts ended so far.
    pub counters: Counters,
    /// 0 to 9.
    pub priority: u8,
    /// Which workers may run it; `None`: any.
    pub python: Option<PythonVersion>,
    /// What happens after a failure.
    pub retry: RetryPolicy,
    /// Bound on one attempt.
    pub run_max: Option<Millis>,
    /// How long its record is kept.
    pub retention: Millis,
    /// What must have happened by when.
    pub deadlines: Option<Box<Deadlines>>,
}

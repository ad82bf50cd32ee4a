//! The Raft log as it was read from the nodes' disks: the order in which everything really happened.
//!
//! Written down here in words of its own, payloads replaced by fingerprints: the checkers share no code with the state
//! machine that carried it out.

use std::collections::BTreeSet;

use raftwork_api::kernel::{FunctionId, MapId, PythonVersion, RequestId, TaskId, Token, WorkerId};
use serde::{Deserialize, Serialize};

use super::Fingerprint;

/// One entry of the log, as some nodes hold it. If nodes hold different entries under one index, there is a line for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEntry {
    /// Its place in the log; the first entry has 0 or 1.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: u64,
    /// The nodes on whose disks it was found like this.
    pub nodes: Vec<u64>,
    /// Log time in milliseconds; `None` for an entry that is Raft's own (blank, or a membership).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_ms: Option<u64>,
    /// What its leader's calendar said, in milliseconds since 1970; 0 in histories that do not say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wall_ms: u64,
    /// In order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<LogCommand>,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LogCommand {
    /// A function.
    Register {
        /// Its id.
        function: FunctionId,
        /// Of its code.
        code: Fingerprint,
        /// Of everything else in its specification that is not below (name, language), so that a conflict can be told.
        spec: Fingerprint,
        /// What happens after a failure.
        retry: Retry,
        /// Longest run of one attempt, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_max_ms: Option<u64>,
        /// How long a finished task is kept, in milliseconds.
        retention_ms: u64,
        /// The Python that its tasks need.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        python: Option<PythonVersion>,
    },
    /// Tasks.
    Submit {
        /// What to run.
        function: FunctionId,
        /// Options of every item.
        #[serde(default)]
        options: Options,
        /// In order.
        items: Vec<LogItem>,
    },
    /// A worker wants tasks.
    Acquire {
        /// Who.
        worker: WorkerId,
        /// The request's id.
        request: RequestId,
        /// Most tasks wanted.
        max: u16,
        /// The worker's Python.
        python: PythonVersion,
    },
    /// More time.
    Extend {
        /// Which task.
        task: TaskId,
        /// Under which token.
        token: Token,
        /// From then on, in milliseconds.
        run_ms: u64,
    },
    /// A result.
    Complete {
        /// Which task.
        task: TaskId,
        /// Under which token.
        token: Token,
        /// Of the result.
        result: Fingerprint,
    },
    /// A failure.
    Fail {
        /// Which task.
        task: TaskId,
        /// Under which token.
        token: Token,
        /// What kind.
        kind: FailureKind,
        /// Names of the exception's class and of those that it is derived from.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        classes: Vec<String>,
        /// Whether trying again can help.
        retryable: bool,
    },
    /// Given back.
    Release {
        /// Which task.
        task: TaskId,
        /// Under which token.
        token: Token,
    },
    /// Cancelled.
    Cancel {
        /// Which task.
        task: TaskId,
    },
    /// Leases of a silent worker end: task, token, and whether it was known to have started.
    Expire {
        /// Which.
        leases: Vec<(TaskId, Token, bool)>,
    },
    /// A failed task runs again, as another.
    Redrive {
        /// Which.
        task: TaskId,
        /// As which.
        into: TaskId,
    },
    /// Finished tasks are dropped.
    Forget {
        /// Which.
        tasks: Vec<TaskId>,
    },
    /// Items of a map that is being sent.
    Store {
        /// Which map.
        map: MapId,
        /// Place of the piece.
        index: u32,
        /// Of the arguments of each item.
        items: Vec<Fingerprint>,
    },
    /// A map, whose items were stored before.
    Map {
        /// Its id.
        map: MapId,
        /// What to run.
        function: FunctionId,
        /// Options of every item.
        #[serde(default)]
        options: Options,
        /// Number of pieces.
        pieces: u32,
        /// Of all pieces, by whoever sent them.
        digest: Fingerprint,
    },
    /// All items of a map are cancelled.
    CancelMap {
        /// Which map.
        map: MapId,
    },
    /// A part of large arguments, or of a large result.
    StorePart {
        /// Which task.
        task: TaskId,
        /// Of the attempt; 0: the arguments.
        token: Token,
        /// Place of the part.
        index: u32,
        /// Of its bytes.
        part: Fingerprint,
        /// How many they are.
        bytes: u32,
    },
    /// A result whose parts were stored before.
    CompleteInParts {
        /// Which task.
        task: TaskId,
        /// Under which token.
        token: Token,
        /// What is said of the whole.
        whole: Whole,
    },
}

/// What is said of a payload that is in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whole {
    /// Number of parts.
    pub count: u32,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Of all of them, by whoever sent them.
    pub digest: Fingerprint,
}

/// One task of a submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogItem {
    /// Its id.
    pub task: TaskId,
    /// Of its arguments.
    pub args: Fingerprint,
}

/// So many tasks under a key are leased at a time, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// Of the key.
    pub key: Fingerprint,
    /// How many.
    pub max: u32,
}

/// Tasks that one runs after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// Which.
    pub tasks: BTreeSet<TaskId>,
    /// Whether it runs though one of them ended without a result; otherwise it fails then.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub all_the_same: bool,
}

/// Options of a submit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The limit that the tasks are under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// 0 to 9; 5 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Not before so many milliseconds after acceptance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Instead of the function's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Instead of the function's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_max_ms: Option<u64>,
    /// Instead of the function's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonVersion>,
    /// Exceptions that are final.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_retry: Vec<String>,
    /// Milliseconds after acceptance by which it must have been granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_by_ms: Option<u64>,
    /// Milliseconds after acceptance by which it must have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u64>,
    /// What the calendar must say before it starts, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at_ms: Option<u64>,
    /// What is said of the arguments, if they were sent in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_parts: Option<Box<Whole>>,
    /// What it runs after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Box<After>>,
}

impl Options {
    /// The priority that a task with these options has.
    pub fn priority(&self) -> u8 {
        self.priority.unwrap_or(5)
    }

    /// The delay that a task with these options has, in milliseconds.
    pub fn delay_ms(&self) -> u64 {
        self.delay_ms.unwrap_or(0)
    }

    /// Whether both ask for the same: what is left out is its default.
    pub fn same(&self, other: &Self) -> bool {
        let filled = |options: &Self| Self {
            priority: Some(options.priority()),
            delay_ms: Some(options.delay_ms()),
            ..options.clone()
        };
        filled(self) == filled(other)
    }
}

/// How often, and after which pauses, a failed attempt is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Failed attempts after which the task has failed.
    pub max_attempts: u16,
    /// Upper bound of the first pause, in milliseconds.
    pub initial_ms: u32,
    /// Upper bound of any pause, in milliseconds.
    pub max_ms: u32,
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The function raised.
    Exception,
    /// It ran too long.
    Timeout,
    /// Its result could not be written down.
    Unserializable,
    /// Its code or arguments could not be loaded.
    Load,
    /// Its process died.
    Crash,
    /// Its process used too much memory.
    OutOfMemory,
    /// Its worker went away.
    WorkerLost,
    /// It was not started in time.
    Expired,
    /// A task that it was to run after ended without a result.
    Dependency,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(ms: &u64) -> bool {
    *ms == 0
}

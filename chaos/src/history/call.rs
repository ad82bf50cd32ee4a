//! What clients and workers ask a cluster, and what comes of it.

use raftwork_api::kernel::{FunctionId, LeaseRef, PythonVersion, RequestId, Status, TaskId, Token, WorkerId};
use serde::{Deserialize, Serialize};

use super::{FailureKind, Fingerprint, LogItem, Options};

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "calls are written down or filed one by one, and not kept")]
pub enum Call {
    /// Make a function known.
    Register {
        /// Chosen by the caller's side; `None` where the server draws it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        function: Option<FunctionId>,
        /// Of the code.
        code: Fingerprint,
    },
    /// Submit tasks of one function, all or none. A batch is one call.
    Submit {
        /// What to run.
        function: FunctionId,
        /// The idempotency key, where one was sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// Options of every task.
        #[serde(default)]
        options: Options,
        /// The tasks. Ids are always given: where the call carries a key, as the key's mapping to ids says.
        items: Vec<LogItem>,
        /// What each returns if it completes, in the order of `items`; none where the caller does not know.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        results: Vec<Fingerprint>,
    },
    /// Ask for work.
    Acquire {
        /// Who asks.
        worker: WorkerId,
        /// A repeat carries the same.
        request: RequestId,
        /// Most tasks wanted.
        max: u16,
        /// The worker's Python.
        python: PythonVersion,
    },
    /// Say that granted tasks have started. Soft state: not in the log.
    Start {
        /// Who says so.
        worker: WorkerId,
        /// Which leases.
        leases: Vec<LeaseRef>,
    },
    /// Keep leases alive. Soft state: not in the log.
    Heartbeat {
        /// Whose.
        worker: WorkerId,
        /// Which.
        leases: Vec<LeaseRef>,
    },
    /// Let an attempt run longer.
    Extend {
        /// Which task.
        task: TaskId,
        /// Under which token.
        token: Token,
        /// From then on, in milliseconds.
        run_ms: u64,
    },
    /// Report a result.
    Complete {
        /// Which task.
        task: TaskId,
        /// Under which token.
        token: Token,
        /// Of the result.
        result: Fingerprint,
    },
    /// Report a failure.
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
    /// Give a task back.
    Release {
        /// Which task.
        task: TaskId,
        /// Under which token.
        token: Token,
    },
    /// Cancel a task.
    Cancel {
        /// Which.
        task: TaskId,
    },
    /// Read where a task stands.
    Status {
        /// Which.
        task: TaskId,
        /// Whether whatever the asked node has applied was good enough.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        stale: bool,
    },
    /// Read the result of a task, or wait for it.
    Result {
        /// Which.
        task: TaskId,
        /// Whether whatever the asked node has applied was good enough.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        stale: bool,
    },
}

impl Call {
    /// The word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register",
            Self::Submit { .. } => "submit",
            Self::Acquire { .. } => "acquire",
            Self::Start { .. } => "start",
            Self::Heartbeat { .. } => "heartbeat",
            Self::Extend { .. } => "extend",
            Self::Complete { .. } => "complete",
            Self::Fail { .. } => "fail",
            Self::Release { .. } => "release",
            Self::Cancel { .. } => "cancel",
            Self::Status { .. } => "status",
            Self::Result { .. } => "result",
        }
    }
}

/// What came of a call, as far as its caller can tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Carried out.
    Ok(Reply),
    /// Refused by the state machine: an answer that says something about the state, and changed nothing.
    Refused {
        /// Why.
        code: Refusal,
        /// The newest token of the task, where the answer names it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        current: Option<Token>,
    },
    /// Surely not carried out, neither then nor later: the connection was refused, or the node said busy or no leader
    /// before it proposed anything.
    Fail {
        /// For people.
        why: String,
    },
    /// Nobody can tell: a timeout, a reset connection, a node that died. The process takes no further call.
    Info {
        /// For people.
        why: String,
    },
}

/// What the answer to a call that was carried out says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// To `register`.
    Registered {
        /// The function.
        function: FunctionId,
    },
    /// To `submit`.
    Submitted {
        /// One for each item, in order.
        tasks: Vec<TaskId>,
        /// How many of them the call made, where the answer says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created: Option<u32>,
    },
    /// To `acquire`.
    Granted {
        /// Empty if there was nothing in time.
        grants: Vec<Grant>,
    },
    /// To `heartbeat` and `start`.
    Beat {
        /// Leases that are over.
        lost: Vec<LeaseRef>,
    },
    /// To `extend`, `complete`, `fail`, `release`, `cancel`.
    Done {
        /// Where the task stood then, where the answer says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<Status>,
    },
    /// To `status` and `result`.
    Seen {
        /// Where the task stands.
        status: Status,
        /// The newest grant's token, where the answer says so; 0 if there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<Token>,
        /// Attempts that were charged so far (failures, crashes and losses), where the answer says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempts: Option<u32>,
        /// Of the result, for a completed task whose result was read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Fingerprint>,
    },
}

/// One task handed to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Which task.
    pub task: TaskId,
    /// Under which token.
    pub token: Token,
    /// Number of the attempt, from 1.
    pub attempt: u16,
}

/// Why the state machine refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No such function.
    UnknownFunction,
    /// No such task.
    UnknownTask,
    /// The function id is taken by another function.
    FunctionConflict,
    /// The task id is taken by another submit.
    TaskConflict,
    /// The lease is over.
    StaleLease,
    /// The task had ended before.
    AlreadyFinished,
    /// A value is over its bound.
    TooLarge,
    /// A part is missing.
    PayloadIncomplete,
}

impl Refusal {
    /// The word for it, as on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownFunction => "unknown_function",
            Self::UnknownTask => "unknown_task",
            Self::FunctionConflict => "function_conflict",
            Self::TaskConflict => "task_conflict",
            Self::StaleLease => "stale_lease",
            Self::AlreadyFinished => "already_finished",
            Self::TooLarge => "too_large",
            Self::PayloadIncomplete => "payload_incomplete",
        }
    }
}

//! `/v1/leases`: enough to write a pull worker with curl.

use raftwork_kernel::{LeaseRef, RequestId, TaskId, Token, WorkerId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::functions::CodeFormat;
use crate::parts::PartsInfo;
use crate::payload::PickleText;
use crate::tasks::{Tag, TaskName};
use crate::{Span, number};

/// Body of `POST /v1/leases/acquire`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"worker_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "python": "3.11", "max": 1, "wait": "30s"}))]
pub struct AcquireLeases {
    /// Chosen by the worker, once for each process.
    #[schema(value_type = String, format = Uuid)]
    pub worker_id: WorkerId,
    /// Repeat a request whose answer was lost under the same id, and get the same grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub request_id: Option<RequestId>,
    /// Most tasks wanted; 1 if left out.
    #[serde(default, deserialize_with = "number::maybe", skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 65535)]
    pub max: Option<u16>,
    /// The worker's Python, as in `3.11`.
    #[schema(
        pattern = "^(0|[1-9]\\d?|1\\d\\d|2[0-4]\\d|25[0-5])\\.(0|[1-9]\\d?|1\\d\\d|2[0-4]\\d|25[0-5])$"
    )]
    pub python: String,
    /// What else it offers: it also gets tasks that need some of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Tag>, max_items = 64)]
    pub tags: Vec<String>,
    /// How long to wait for work; the default is not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Span>,
}

/// A task to run, with all that is needed to run it but the code.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LeaseInfo {
    /// The task.
    #[schema(value_type = String, format = Uuid)]
    pub task_id: TaskId,
    /// The fencing token; give it with every report.
    #[schema(value_type = u64)]
    pub token: Token,
    /// Number of the attempt, from 1.
    pub attempt: u16,
    /// What to run; its code is at `/v1/functions/{function_id}/code`.
    pub function_id: String,
    /// How code, arguments and result are written down.
    pub format: CodeFormat,
    /// For pickled functions: base64 of the pickled pair `(args, kwargs)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// For source functions: `{"args": [...], "kwargs": {...}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<serde_json::Value>,
    /// In the place of both, for arguments that are in parts: read them at `/v1/tasks/{task_id}/arguments/parts/{index}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments_parts: Option<PartsInfo>,
    /// Tasks whose results stand in the arguments, as references: read them at `/v1/tasks/{task_id}/result`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<TaskName>)]
    pub results_of: Vec<TaskId>,
    /// Longest run of this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// Answer of `POST /v1/leases/acquire`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AcquiredLeases {
    /// The tasks; empty if there were none in time.
    pub leases: Vec<LeaseInfo>,
    /// Leases end this long after the last heartbeat.
    pub ttl: Span,
    /// A lease whose start is not confirmed (start or heartbeat) within this time goes back.
    pub start_deadline: Span,
}

/// Body of `POST /v1/leases/start` and `POST /v1/leases/heartbeat`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"worker_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "leases": [{"task": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "token": 7}]}))]
pub struct HeldLeases {
    /// The worker.
    #[schema(value_type = String, format = Uuid)]
    pub worker_id: WorkerId,
    /// The leases that it has started and still works on.
    #[serde(deserialize_with = "number::leases")]
    #[schema(value_type = Vec<Lease>)]
    pub leases: Vec<LeaseRef>,
}

/// A lease as requests write it (the type itself is the kernel's).
#[derive(Debug, Deserialize, ToSchema)]
pub struct Lease {
    /// The task.
    #[schema(value_type = String, format = Uuid)]
    pub(crate) task: TaskId,
    /// The token of the grant.
    #[serde(deserialize_with = "number::number")]
    pub(crate) token: u64,
}

/// Answer of `POST /v1/leases/heartbeat`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatAnswer {
    /// Leases that are over: stop that work, its result would be refused.
    #[schema(value_type = Vec<Lease>)]
    pub lost: Vec<LeaseRef>,
}

/// Body of `POST /v1/leases/complete`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"task_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "token": 7, "value": 3}))]
pub struct CompleteLease {
    /// The task.
    #[schema(value_type = String, format = Uuid)]
    pub task_id: TaskId,
    /// The token of the grant.
    #[serde(deserialize_with = "number::number")]
    #[schema(value_type = u64)]
    pub token: Token,
    /// For pickled functions: base64 of the pickled result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PickleText>)]
    pub payload: Option<String>,
    /// For source functions: the result itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// In the place of both: the result was sent in parts, to `/v1/leases/{task_id}/{token}/result/parts/{index}`, as the
    /// bytes of the pickle or of the JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_parts: Option<PartsInfo>,
    /// What it printed.
    #[serde(default)]
    pub stdout: String,
    /// What it printed.
    #[serde(default)]
    pub stderr: String,
}

/// Body of `POST /v1/leases/fail`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"task_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "token": 7, "type": "shop.NoSuchColour", "bases": ["ValueError", "Exception"], "message": "no such colour"}))]
pub struct FailLease {
    /// The task.
    #[schema(value_type = String, format = Uuid)]
    pub task_id: TaskId,
    /// The token of the grant.
    #[serde(deserialize_with = "number::number")]
    #[schema(value_type = u64)]
    pub token: Token,
    /// Qualified name of the exception's type.
    #[serde(default, rename = "type")]
    pub type_name: String,
    /// Qualified names of the classes that it is derived from, for the task's `no_retry`; the first 64 are looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<String>,
    /// One line for people.
    pub message: String,
    /// Traceback.
    #[serde(default)]
    pub traceback: String,
    /// Whether trying again can help; yes if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// What it printed.
    #[serde(default)]
    pub stdout: String,
    /// What it printed.
    #[serde(default)]
    pub stderr: String,
}

/// Body of `POST /v1/leases/release`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"task_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "token": 7}))]
pub struct NamedLease {
    /// The task.
    #[schema(value_type = String, format = Uuid)]
    pub task_id: TaskId,
    /// The token of the grant.
    #[serde(deserialize_with = "number::number")]
    #[schema(value_type = u64)]
    pub token: Token,
}

/// Body of `POST /v1/leases/extend`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"task_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "token": 7, "run": "30s"}))]
pub struct ExtendLease {
    /// The task.
    #[schema(value_type = String, format = Uuid)]
    pub task_id: TaskId,
    /// The token of the grant.
    #[serde(deserialize_with = "number::number")]
    #[schema(value_type = u64)]
    pub token: Token,
    /// How long the attempt may run from now on.
    pub run: Span,
}

/// Answer of `complete`, `fail`, `release` and `extend`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LeaseAnswer {
    /// Where the task stands now.
    #[schema(value_type = String, example = "completed")]
    pub status: raftwork_kernel::Status,
}

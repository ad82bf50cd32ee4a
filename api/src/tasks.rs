//! `/v1/tasks`.

use raftwork_kernel::{Counters, FailureKind, OnFailure, RetryPolicy, Status, TaskId, Token};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::arguments::Arguments;
use crate::functions::Retry;
use crate::limits::{Concurrency, Rate};
use crate::parts::{PartsInfo, SentArguments};
use crate::schedules::Origin;
use crate::{Span, number};

/// Schema of the id of a task, in lists.
#[derive(ToSchema)]
#[schema(format = Uuid, example = "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e")]
#[expect(dead_code, reason = "describes the kernel's ids to OpenAPI")]
pub(crate) struct TaskName(String);

/// Schema of a tag.
#[derive(ToSchema)]
#[schema(pattern = "^[A-Za-z0-9._:=/-]{1,64}$", example = "gpu")]
#[expect(dead_code, reason = "describes the kernel's tags to OpenAPI")]
pub(crate) struct Tag(String);

/// What a submit may ask for beyond function and arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmitOptions {
    /// 0 (lowest) to 9; 5 if left out. Each level is worth an hour of waiting.
    #[serde(default, deserialize_with = "number::maybe", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 9)]
    pub priority: Option<u8>,
    /// Not before this long from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// Overrides the function's retry policy.
    #[serde(default, deserialize_with = "number::retry", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Retry>)]
    pub retry: Option<RetryPolicy>,
    /// Overrides the function's bound on one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Only a worker that offers all of these tags may run it, as in `["gpu", "zone=eu"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Tag>, max_items = 64)]
    pub tags: Vec<String>,
    /// Most tasks under a key that are leased at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Most tasks under a key that start within a span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Exceptions that are final, whatever the retry policy says: names of classes as in `["ValueError",
    /// "shop.errors.Broken"]`; those that are derived from them are as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_retry: Vec<String>,
    /// It has failed, and never runs, unless a worker was given it by then, counted from now: as in `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_by: Option<Span>,
    /// It has failed unless it has ended by then, counted from now: a bound on waiting, all attempts and all pauses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_timeout: Option<Span>,
    /// Not before the leader's calendar says so: RFC 3339 with an offset, as in `2026-12-24T18:00:00+01:00`. Instead of
    /// `delay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<String>,
    /// It waits until these tasks have ended, up to 64; they must have been accepted before. Items of maps may be named,
    /// whole maps not. A delay counts from the submit all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<TaskName>, max_items = 64)]
    pub after: Vec<TaskId>,
    /// What happens if one of `after` fails, is parked or is cancelled: `fail` (if left out), and the task fails at once
    /// and never runs; or `run`, and it runs once all have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(fail|run)$", example = "run")]
    pub on_failure: Option<OnFailure>,
    /// It runs after these tasks as well, and its worker is given their results: for pickled functions in the place of the
    /// references that the SDK makes of handles, for source functions in the place of `{"$result_of": "TASK_ID"}` anywhere
    /// in the arguments. The task fails (`load`) if one of them has none, which `on_failure` `run` lets happen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<TaskName>, max_items = 64)]
    pub results_of: Vec<TaskId>,
}

/// Body of `POST /v1/tasks`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"function_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "args": [1, 2]}))]
pub struct NewTask {
    /// What to run.
    #[schema(format = Uuid)]
    pub function_id: String,
    /// With what.
    #[serde(flatten)]
    pub arguments: Arguments,
    /// In the place of all of these: the arguments were sent in parts, as the bytes of the pickled pair, or of
    /// `{"args": [...], "kwargs": {...}}` for source functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments_parts: Option<SentArguments>,
    /// Anything else.
    #[serde(flatten)]
    pub options: SubmitOptions,
}

/// Body of `POST /v1/tasks/batch`: up to 10,000 tasks of one function, all or none.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"function_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "items": [{"args": [1, 2]}, {"args": [3, 4]}]}))]
pub struct NewBatch {
    /// What to run.
    #[schema(format = Uuid)]
    pub function_id: String,
    /// One task each.
    pub items: Vec<Arguments>,
    /// Options of every item.
    #[serde(flatten)]
    pub options: SubmitOptions,
}

/// Answer of `POST /v1/tasks/batch`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BatchAccepted {
    /// One for each item, in order.
    #[schema(value_type = Vec<String>)]
    pub task_ids: Vec<TaskId>,
    /// How many of them this request made; the others were there before, under the same idempotency key.
    pub created: u32,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskInfo {
    /// The task.
    #[schema(value_type = String, format = Uuid)]
    pub task_id: TaskId,
    /// What it runs.
    pub function_id: String,
    /// Where it stands.
    #[schema(value_type = String, example = "queued")]
    pub status: Status,
    /// 0 to 9.
    pub priority: u8,
    /// When it was accepted, RFC 3339 in UTC.
    pub submitted_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// How its attempts ended so far.
    #[schema(value_type = AttemptCounters)]
    pub counters: Counters,
    /// The newest grant's fencing token; 0 if it was never granted.
    #[schema(value_type = u64)]
    pub token: Token,
    /// The worker that holds it, or ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<String>,
    /// How far it says it is, while it runs; forgotten when the leader changes, until the task says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
    /// Size of its arguments in bytes, if they are in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments_bytes: Option<u64>,
    /// Size of its result in bytes, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<u64>,
    /// Tags that its worker must offer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The concurrency limit that it was submitted under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// The rate limit that it was submitted under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The schedule that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Origin>,
    /// Exceptions after which it is not tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_retry: Vec<String>,
    /// How long after acceptance a worker must have been given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_by: Option<Span>,
    /// How long after acceptance it must have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_timeout: Option<Span>,
    /// The tasks that it runs after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<TaskName>)]
    pub after: Vec<TaskId>,
    /// Those among them whose results its worker is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<TaskName>)]
    pub results_of: Vec<TaskId>,
    /// What happens if one of them ends without a result: `fail` or `run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(fail|run)$", example = "run")]
    pub on_failure: Option<OnFailure>,
    /// The date before which it does not start, RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<String>,
    /// The failed task that this one is another try of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub redrive_of: Option<TaskId>,
    /// The task that is another try of this one, which has failed; as far as the asked node knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub redriven_as: Option<TaskId>,
    /// Why it has not started, where there is a reason beyond its turn; `/v1/tasks/{task_id}/explain` has all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
}

/// How far a running task says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"done": 40, "total": 100, "message": "resizing"}))]
pub struct Progress {
    /// What is done, in the task's own unit.
    pub done: u64,
    /// Of how much; absent if the task does not know.
    #[serde(default)]
    pub total: Option<u64>,
    /// What it is doing, for people; may be empty.
    #[serde(default)]
    pub message: String,
}

impl Progress {
    /// Longest message, in bytes.
    pub const MESSAGE_BYTES_MAX: usize = 1000;
}

/// Schema of the counters (the type itself is the kernel's).
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the kernel's Counters to OpenAPI")]
pub struct AttemptCounters {
    /// The function raised, or missed its deadline.
    failures: u16,
    /// The child process died under the task.
    crashes: u16,
    /// The worker was lost after it had started the task.
    losses: u16,
    /// The grant came back unstarted, or the worker drained.
    returns: u16,
}

/// Why a task failed, for people and programs that do not unpickle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorInfo {
    /// `exception`, `timeout`, `unserializable`, `load`, `crash`, `out_of_memory`, `worker_lost` or `expired` (not started
    /// in time).
    pub kind: String,
    /// Qualified name of the exception's type; empty if there was none.
    #[serde(rename = "type")]
    pub type_name: String,
    /// One line for people.
    pub message: String,
    /// Python traceback, or the last lines printed.
    pub traceback: String,
    /// Exit code of the process, if it exited under the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Number of the signal that ended the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

impl From<&raftwork_kernel::TaskError> for ErrorInfo {
    fn from(error: &raftwork_kernel::TaskError) -> Self {
        let (kind, exit_code, signal) = match error.kind {
            FailureKind::Exception => ("exception", None, None),
            FailureKind::Timeout => ("timeout", None, None),
            FailureKind::Unserializable => ("unserializable", None, None),
            FailureKind::Load => ("load", None, None),
            FailureKind::Crash { exit_code, signal } => ("crash", exit_code, signal),
            FailureKind::OutOfMemory { .. } => ("out_of_memory", None, None),
            FailureKind::WorkerLost => ("worker_lost", None, None),
            FailureKind::Expired => ("expired", None, None),
            FailureKind::Dependency { .. } => ("dependency", None, None),
        };
        Self {
            kind: kind.to_owned(),
            type_name: error.type_name.clone(),
            message: error.message.clone(),
            traceback: error.traceback.clone(),
            exit_code,
            signal,
        }
    }
}

/// A page of tasks, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskInfo>,
    /// Give it as `after` for the next page; absent on the last one.
    pub next: Option<String>,
}

/// Answer of `GET /v1/tasks/{task_id}/result`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResultInfo {
    /// The task.
    #[schema(value_type = String, format = Uuid)]
    pub task_id: TaskId,
    /// Where it stands; only a `completed` one has a result.
    #[schema(value_type = String, example = "completed")]
    pub status: Status,
    /// For pickled functions: base64 of the pickled result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// For source functions: the result itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// In the place of both, for a result that is in parts: read them at `/v1/tasks/{task_id}/result/parts/{index}`, from 0
    /// on. Together they are the pickled result, or its JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_parts: Option<PartsInfo>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
    /// Base64 of the pickled exception, if it could be pickled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
}

/// What one attempt printed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AttemptLog {
    /// The attempt's token.
    #[schema(value_type = u64)]
    pub token: Token,
    /// Standard output; invalid UTF-8 is replaced, what was too much is cut out with a marker.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

/// Answer of `GET /v1/tasks/{task_id}/logs`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TaskLogs {
    /// Attempts that printed something and ended, oldest first.
    pub attempts: Vec<AttemptLog>,
}

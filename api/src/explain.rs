//! `/v1/tasks/{task_id}/explain`: why a task does not run.

use raftwork_kernel::{Status, TaskId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Span;
use crate::limits::LimitInfo;

/// Why a task stands where it stands. Programs may depend on a reason: it never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It was submitted with a delay that is not over.
    Delayed,
    /// It was submitted to run at a date that has not come.
    Scheduled,
    /// It runs after other tasks, which have not ended.
    Dependency,
    /// It failed, and pauses before the next attempt.
    RetryBackoff,
    /// No worker is connected.
    NoWorker,
    /// Workers are connected, but none has the Python or the tags that it needs.
    NoSuitableWorker,
    /// As many tasks under its concurrency key are leased as may be.
    ConcurrencyLimit,
    /// As many tasks under its rate key have started as may within the span.
    RateLimit,
    /// It is an item of a map, of which a bounded number live as tasks at a time: others come before it.
    MapTurn,
    /// All slots of the workers that could run it are taken.
    SlotsBusy,
    /// It is about to be granted.
    NextInTurn,
    /// A worker has it.
    Running,
    /// It ended.
    Ended,
    /// It killed its process, or lost its worker, too often to be tried again.
    Parked,
    /// The asked node knows no leader that a majority confirms, and nothing can start without one.
    NoQuorum,
}

/// Answer of `GET /v1/tasks/{task_id}/explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "task_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "status": "queued", "reason": "no_suitable_worker",
    "detail": "no worker offers gpu (offered: none)", "hint": "start a worker that does",
    "python": "3.12", "tags": ["gpu"],
    "queue": {"workers": 4, "suitable_workers": 0, "slots": 0, "slots_busy": 0, "ahead": 0}
}))]
pub struct Explanation {
    /// The task.
    #[schema(value_type = String, format = Uuid)]
    pub task_id: TaskId,
    /// Where it stands.
    #[schema(value_type = String, example = "queued")]
    pub status: Status,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people.
    pub detail: String,
    /// What to do about it, if there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// When the reason ends by itself, counted from now, if time alone ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_in: Option<Span>,
    /// The Python that it needs; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// The tags that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// For a queued task: what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueuePosition>,
    /// The limit that holds it back, and who has the leases under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitInfo>,
    /// The worker that has it, or had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<String>,
}

/// Where a queued task stands, and who could run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueuePosition {
    /// Workers that take tasks.
    pub workers: u32,
    /// Those among them that could run this one.
    pub suitable_workers: u32,
    /// Their slots.
    pub slots: u32,
    /// Slots that are taken.
    pub slots_busy: u32,
    /// Tasks with the same needs that are granted before it, counted up to 10,000.
    pub ahead: u32,
}

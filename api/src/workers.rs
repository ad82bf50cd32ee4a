//! `/v1/workers`.

use raftwork_kernel::WorkerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a worker gets its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkerMode {
    /// The leader sends tasks as soon as there are tasks and free slots.
    Push,
    /// The worker asks.
    Pull,
}

/// A worker that the leader knows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkerInfo {
    /// The worker.
    #[schema(value_type = String, format = Uuid)]
    pub worker_id: WorkerId,
    /// For people; host and process id if nothing else was given.
    pub name: String,
    /// Push or pull.
    pub mode: WorkerMode,
    /// Its Python, as in `3.11`.
    pub python: String,
    /// What else it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Tasks that it runs at once.
    pub slots: u16,
    /// Tasks that it holds now.
    pub held: usize,
    /// Whether it takes nothing more.
    pub draining: bool,
    /// Milliseconds since the leader heard from it.
    pub silent_ms: u64,
}

/// Answer of `GET /v1/workers`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkerList {
    /// Workers that the leader has heard from within their TTL.
    pub workers: Vec<WorkerInfo>,
}

//! The course contract: four calls at the root, unchanged since the course, so that its programs run as they are.

use raftwork_kernel::Status;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::payload::PickleText;

/// Body of `POST /register_function`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"name": "none", "payload": "gANjYnVpbHRpbnMKaWQKcQAu\n"}))]
pub struct RegisterFunction {
    /// For people; need not be unique.
    pub name: String,
    /// MIME base64 of `dill.dumps(function)`.
    #[schema(value_type = PickleText)]
    pub payload: String,
}

/// Answer of `POST /register_function`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RegisteredFunction {
    /// Names the function from now on.
    pub function_id: String,
}

/// Body of `POST /execute_function`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"function_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "payload": "gARLB4WUfZSGlC4=\n"}))]
pub struct ExecuteFunction {
    /// What to run.
    #[schema(format = Uuid)]
    pub function_id: String,
    /// MIME base64 of `dill.dumps((args, kwargs))`.
    #[schema(value_type = PickleText)]
    pub payload: String,
}

/// Answer of `POST /execute_function`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExecutedFunction {
    /// Names the task from now on.
    pub task_id: String,
}

/// The four words of the course contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CourseStatus {
    /// Not with a worker.
    Queued,
    /// With a worker.
    Running,
    /// Ended with a result.
    Completed,
    /// Ended in any other way.
    Failed,
}

impl From<Status> for CourseStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Waiting | Status::Queued => Self::Queued,
            Status::Running => Self::Running,
            Status::Completed => Self::Completed,
            Status::Failed | Status::Parked | Status::Cancelled => Self::Failed,
        }
    }
}

/// Answer of `GET /status/{task_id}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TaskStatus {
    /// The task that was asked about.
    pub task_id: String,
    /// Where it stands.
    pub status: CourseStatus,
}

/// Answer of `GET /result/{task_id}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TaskResult {
    /// The task that was asked about.
    pub task_id: String,
    /// Where it stands.
    pub status: CourseStatus,
    /// MIME base64 of the pickled result, or of the pickled exception; empty while the task is unfinished.
    pub result: String,
}

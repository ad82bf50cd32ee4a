//! Errors of each operation.

use std::time::Duration;

use raftwork_api::Problem;
use raftwork_api::kernel::limits::PAYLOAD_BYTES_MAX;
use raftwork_api::kernel::{Rejection, Status, TaskId};

/// Why there is no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The list of URLs is empty.
    #[error("no URL of a node was given")]
    NoUrl,
    /// A URL that cannot be one.
    #[error("'{url}' is not the URL of a node such as http://127.0.0.1:7001: {reason}")]
    InvalidUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be set up: {0}")]
    Setup(String),
}

/// No leader answered a request in time. It may or may not have been carried out; repeating it under the same ids is safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no leader answered within {waited:?}; the last trouble was: {trouble}")]
pub struct Unavailable {
    /// How long it was tried.
    pub waited: Duration,
    /// What the last attempt ran into.
    pub trouble: String,
}

/// Why a function was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The cluster refused it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// See there.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why tasks were not submitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The cluster refused them, all.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The batch does not fit into one message: split it.
    #[error("the batch has {bytes} bytes, over the limit of {limit} for one submit")]
    TooLarge {
        /// Its size, encoded.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The arguments of one task are larger than any may be.
    #[error(
        "the arguments have {bytes} bytes, over the limit of {PAYLOAD_BYTES_MAX} (256 MiB): keep such data where workers can reach it, and pass its place instead"
    )]
    ArgumentsTooLarge {
        /// Their size.
        bytes: usize,
    },
    /// See there.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a task was not cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// No such task.
    #[error("there is no task {0}")]
    UnknownTask(TaskId),
    /// It had ended before.
    #[error("task {task} has already ended: {status:?}")]
    AlreadyFinished {
        /// The task.
        task: TaskId,
        /// How it ended.
        status: Status,
    },
    /// The cluster refused for another reason.
    #[error(transparent)]
    Rejected(Rejection),
    /// See there.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a task was not redriven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedriveError {
    /// The cluster refused: there is no such task, or it has not failed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// See there.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a map was not cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelMapError {
    /// The cluster refused: no such map, or all of its items have ended.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// See there.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a status is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// No such task.
    #[error("there is no task {0}")]
    UnknownTask(TaskId),
    /// The cluster refused to say.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// See there.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// No such task, or it was forgotten after its retention.
    #[error("there is no task {0}")]
    UnknownTask(TaskId),
    /// The task did not end in time; it goes on.
    #[error("task {task} has not ended within {waited:?}")]
    NotYet {
        /// The task.
        task: TaskId,
        /// How long was waited.
        waited: Duration,
    },
}

/// Why a plain HTTP request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// No node could be reached.
    #[error("no node answered: {trouble}")]
    Unreachable {
        /// What the last attempt ran into.
        trouble: String,
    },
    /// A node answered with an error.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// A node answered with something that is not in the contract.
    #[error("the answer of {url} does not follow the contract: {reason}")]
    Malformed {
        /// Who answered.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

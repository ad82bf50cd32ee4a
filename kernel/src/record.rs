//! The terminal record of a task: written once, never changed.

use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::excerpt;
use crate::ids::{TaskId, Token, WorkerId};
use crate::limits::{ERROR_TEXT_BYTES_MAX, EXCEPTION_BYTES_MAX, OUTPUT_BYTES_MAX};
use crate::parts::InParts;
use crate::payload;
use crate::task::Counters;
use crate::time::{LogTime, WallTime};

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The function raised.
    Exception,
    /// The function ran longer than it may.
    Timeout,
    /// The function returned what cannot be pickled, or is no JSON.
    Unserializable,
    /// The code or the arguments could not be loaded.
    Load,
    /// The child process ended under the task.
    Crash {
        /// Exit code, if it exited.
        exit_code: Option<i32>,
        /// Signal number, if a signal ended it.
        signal: Option<i32>,
    },
    /// The child process used more memory than it may and was killed.
    OutOfMemory {
        /// The limit, in bytes.
        limit: u64,
        /// The highest use seen, in bytes.
        peak: u64,
    },
    /// The worker went away with the task (too often).
    WorkerLost,
    /// The task was not started in time, and never will be.
    Expired,
    /// A task that it was to run after ended without a result.
    Dependency {
        /// Which.
        task: TaskId,
    },
}

impl FailureKind {
    /// Whether the process died under the task: charged as a crash, not as a failure.
    pub const fn is_crash(&self) -> bool {
        matches!(self, Self::Crash { .. } | Self::OutOfMemory { .. })
    }
}

/// What is known of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// Why.
    pub kind: FailureKind,
    /// Qualified name of the exception's type, as in `builtins.ValueError`; empty if there was no exception.
    pub type_name: String,
    /// One line for people.
    pub message: String,
    /// Python traceback or last lines of the log; may be empty.
    pub traceback: String,
    /// The exception object itself, pickled, if it can be.
    pub exception: Option<Bytes>,
}

impl TaskError {
    /// The error as far as it is kept.
    pub(crate) fn within_bounds(&self) -> Self {
        Self {
            kind: self.kind,
            type_name: excerpt::of_text(&self.type_name, ERROR_TEXT_BYTES_MAX),
            message: excerpt::of_text(&self.message, ERROR_TEXT_BYTES_MAX),
            traceback: excerpt::of_text(&self.traceback, ERROR_TEXT_BYTES_MAX),
            exception: self.exception.clone().filter(|pickle| pickle.len() <= EXCEPTION_BYTES_MAX),
        }
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It returned; the result is opaque (a pickle, or JSON for source functions).
    Completed(Bytes),
    /// It failed for good.
    Failed(TaskError),
    /// It killed its process, or lost its worker, too often to be tried again.
    Parked(TaskError),
    /// Somebody cancelled it.
    Cancelled,
    /// It returned; the result lies in parts, under the record's token.
    CompletedInParts(InParts),
}

impl Outcome {
    /// The status that this outcome gives its task.
    pub const fn status(&self) -> Status {
        match self {
            Self::Completed(_) | Self::CompletedInParts(_) => Status::Completed,
            Self::Failed(_) => Status::Failed,
            Self::Parked(_) => Status::Parked,
            Self::Cancelled => Status::Cancelled,
        }
    }
}

/// The terminal record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How it ended.
    pub outcome: Outcome,
    /// Token of the grant that ended it; `Token(0)` if it never ran.
    pub token: Token,
    /// Who ran the last attempt, if the record came from a lease.
    pub worker: Option<WorkerId>,
    /// How all attempts ended.
    pub counters: Counters,
    /// When it ended, for people.
    pub finished_wall: WallTime,
    /// When it may be forgotten.
    pub expires: LogTime,
}

/// Everything that can be said of where a task stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Delayed, dated, pausing before a retry, or until other tasks have ended.
    Waiting,
    /// May be granted to a worker.
    Queued,
    /// Granted to a worker.
    Running,
    /// Ended with a result.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended by being too dangerous to try again.
    Parked,
    /// Ended by a cancel.
    Cancelled,
}

impl Status {
    /// The status in the one word that people, JSON and logs see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the task will never change again.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Parked | Self::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an attempt printed: head and tail of each stream, with a marker where something was cut out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Standard output.
    #[serde(deserialize_with = "payload::deserialize")]
    pub stdout: Bytes,
    /// Standard error.
    #[serde(deserialize_with = "payload::deserialize")]
    pub stderr: Bytes,
}

impl Output {
    /// The output as far as it is kept.
    pub(crate) fn within_bounds(&self) -> Self {
        Self {
            stdout: excerpt::of_bytes(&self.stdout, OUTPUT_BYTES_MAX),
            stderr: excerpt::of_bytes(&self.stderr, OUTPUT_BYTES_MAX),
        }
    }

    /// Whether nothing was printed.
    pub fn is_empty(&self) -> bool {
        self.stdout.is_empty() && self.stderr.is_empty()
    }
}

//! What a pool is asked to run, and what became of it.

use std::time::Duration;

use bytes::Bytes;
use raftwork_api::kernel::{LeaseRef, Status, TaskId};
use raftwork_api::tasks::Progress;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::frame::ErrorCode;
use super::output::Captured;

/// The content hash of a function: what is edited or registered under another name has another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionKey(pub [u8; 32]);

impl FunctionKey {
    /// Hashes all that decides what is called: the encoding, the registered name and the payload.
    ///
    /// Costs about 1 µs a kilobyte; compute it once per function, not per task.
    pub fn new(kind: &FunctionKind, code: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        match kind {
            FunctionKind::Dill => hasher.update(b"dill"),
            FunctionKind::Source { name } => {
                hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes())
            }
        };
        Self(*hasher.update(code).finalize().as_bytes())
    }
}

/// How a function and its arguments are encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// A dill payload; arguments are a pickled `(args, kwargs)`, the result is a pickle.
    Dill,
    /// Python source text; arguments and result are JSON.
    Source {
        /// The registered name: the function of that name is called if the source defines it.
        name: String,
    },
}

/// One attempt of one task.
#[derive(Debug)]
pub struct Job {
    /// The task's id as text; user code can read it.
    pub task_id: String,
    /// The fencing token of this attempt; user code can read it.
    pub token: u64,
    /// Which attempt this is, from 1; user code can read it.
    pub attempt: u32,
    /// The key of `code`.
    pub function: FunctionKey,
    /// The function's payload; sent to a child only once.
    pub code: Bytes,
    /// How to read `code` and `args`.
    pub kind: FunctionKind,
    /// The encoded arguments.
    pub args: Bytes,
    /// Results of other tasks that stand in the arguments, or how those ended without one.
    pub given: Vec<(TaskId, Result<Bytes, Status>)>,
    /// How long the task may run, loading included, before it is interrupted.
    pub timeout: Option<Duration>,
    /// Ends the task early: for a cancelled task and for a lost lease.
    pub cancel: CancellationToken,
    /// Told how far the task says it is. What does not fit is dropped: more will come.
    pub progress: Option<Listener>,
    /// Told once the child has taken the task up. Costs one more frame, so it is optional.
    pub started: Option<oneshot::Sender<()>>,
}

/// Who listens to how far a task says it is.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The lease under which it runs.
    pub lease: LeaseRef,
    /// Where to say it.
    pub to: mpsc::Sender<(LeaseRef, Progress)>,
}

/// What became of a job.
#[derive(Debug)]
pub struct JobOutcome {
    /// The result, or why there is none.
    pub result: Result<JobSuccess, Box<JobError>>,
    /// What the task wrote to its standard output.
    pub stdout: Captured,
    /// What the task wrote to its standard error.
    pub stderr: Captured,
    /// How long it took: in the child if it answered, else as seen by the agent.
    pub duration: Duration,
    /// Highest resident size that was seen, in bytes; 0 if the task never ran.
    pub peak_rss: u64,
}

/// The encoded result of a task that completed: a pickle, or JSON for a source function.
#[derive(Debug, PartialEq, Eq)]
pub struct JobSuccess(pub Bytes);

/// Why a task has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobError {
    /// Who or what ended it.
    pub kind: JobErrorKind,
    /// The exception's type name, such as `ValueError` or `mypkg.errors.Broken`; `WorkerFailure` for
    /// tasks that were ended from outside.
    pub type_name: String,
    /// What a user should read first.
    pub message: String,
    /// The traceback, or the last lines of standard error if the child died.
    pub traceback: String,
    /// Names of the classes that the exception's own is derived from; empty for tasks that were ended from outside.
    pub bases: Vec<String>,
    /// A pickled exception that any Python can load, with or without the package. Empty if it would
    /// have been larger than a result may be.
    pub exception: Bytes,
}

/// The ways in which a task ends without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobErrorKind {
    /// The function raised.
    Exception,
    /// The result cannot be encoded.
    UnpicklableResult,
    /// The encoded result is larger than [`super::PoolOptions::result_bytes_max`].
    ResultTooLarge,
    /// The function or its arguments could not be loaded.
    Load,
    /// It ran longer than its timeout.
    Timeout,
    /// Its cancel token fired.
    Cancelled,
    /// Its processes used more memory than allowed.
    OutOfMemory {
        /// The limit, in bytes.
        limit: u64,
        /// What was seen, in bytes.
        peak: u64,
    },
    /// The child died of itself.
    Crash {
        /// The code that it exited with.
        exit_code: Option<i32>,
        /// The signal that killed it.
        signal: Option<i32>,
    },
    /// The task never ran or lost its child through no fault of its own; another try may succeed.
    Infrastructure,
}

impl JobErrorKind {
    /// What an error means that the child itself reported, given what the agent had asked of it.
    pub(super) fn reported(code: ErrorCode, asked: Option<Self>) -> Self {
        match (code, asked) {
            // Whatever a cancelled task raises on its way out, it was cancelled.
            (_, Some(Self::Cancelled)) => Self::Cancelled,
            (ErrorCode::Interrupted, Some(kind)) => kind,
            (ErrorCode::Exception | ErrorCode::Interrupted, _) => Self::Exception,
            (ErrorCode::UnpicklableResult, _) => Self::UnpicklableResult,
            (ErrorCode::Load, _) => Self::Load,
            (ErrorCode::ResultTooLarge, _) => Self::ResultTooLarge,
        }
    }
}

//! How a worker's life ends.

use core::fmt;

use crate::config::ConfigError;
use crate::python::StartError;

/// Why a worker that had started has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// It was told to finish its tasks and leave, and did.
    Drained,
    /// The leader told it so.
    Dismissed,
    /// It was told to leave at once.
    Stopped,
    /// Its Python runs no more tasks.
    Broken,
}

impl ExitReason {
    /// Whether the worker left as it was told to; a command line exits with 0 then.
    pub const fn is_orderly(self) -> bool {
        !matches!(self, Self::Broken)
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drained => "told to drain",
            Self::Dismissed => "dismissed by the leader",
            Self::Stopped => "told to stop at once",
            Self::Broken => "python runs no more tasks",
        })
    }
}

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The configuration cannot work.
    #[error("bad worker configuration: {0}")]
    Config(#[from] ConfigError),
    /// The Python children did not come up.
    #[error("failed to start python: {0}")]
    Python(#[from] StartError),
    /// No HTTP client could be made, or no signal handler installed.
    #[error("failed to set up the worker: {0}")]
    Setup(String),
}

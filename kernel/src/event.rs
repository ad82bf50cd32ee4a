//! What happened while an entry was applied: hints for the shell, derivable from state, never needed for safety.

use crate::ids::{MapId, TaskId, Token, WorkerId};
use crate::record::Status;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A task ended; whoever waits for its result can have it.
    Finished {
        /// Which.
        task: TaskId,
        /// How.
        status: Status,
    },
    /// A schedule was made, changed, fired or deleted.
    ScheduleChanged {
        /// Its name.
        name: String,
    },
    /// A lease ended although its holder did not say so: tell the holder to stop.
    Revoked {
        /// Which task.
        task: TaskId,
        /// Which grant.
        token: Token,
        /// Whose.
        worker: WorkerId,
    },
    /// All items of a map have ended. If it was cancelled, some of them never became tasks: nothing else tells of their end.
    MapFinished {
        /// Which.
        map: MapId,
    },
}

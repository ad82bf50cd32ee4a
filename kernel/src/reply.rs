//! Deterministic answers to commands.

use serde::{Deserialize, Serialize};

use crate::ids::{FunctionId, MapId, TaskId, Token};
use crate::limits;
use crate::record::Status;
use crate::time::{LogTime, Millis};

/// One answer for each command of an entry, in the same order.
pub type Reply = Result<Accepted, Rejection>;

/// One task handed to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Which task.
    pub task: TaskId,
    /// Under which fencing token.
    pub token: Token,
    /// Number of this attempt, from 1.
    pub attempt: u16,
    /// Longest run of the attempt.
    pub run_max: Option<Millis>,
}

/// A command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accepted {
    /// The function exists now (or did before, identically).
    Registered,
    /// The tasks exist now.
    Submitted {
        /// How many of them this command made; the others were there before, identically.
        created: u32,
    },
    /// The tasks are the worker's; empty if there were none for it.
    Granted(Vec<Grant>),
    /// The attempt may run until then.
    Extended {
        /// When the state machine itself ends the attempt: [`RUN_GRACE`](crate::limits::RUN_GRACE) after its worker
        /// should have done so.
        run_until: LogTime,
    },
    /// The result is the task's one result.
    Completed,
    /// The failure was charged, and the task will be tried again.
    WillRetry {
        /// When it becomes ready.
        due: LogTime,
    },
    /// The failure is the task's one outcome.
    Finished {
        /// `Failed` or `Parked`.
        status: Status,
    },
    /// The lease is over, and the task is ready again.
    Released,
    /// The task will never start (again).
    Cancelled,
    /// So many leases were ended; those that had ended by themselves are not counted.
    Expired(u32),
    /// So many finished tasks were dropped.
    Forgotten(u32),
    /// The task has its redrive.
    Redriven {
        /// Whether this command made it; it was there before otherwise.
        created: bool,
    },
    /// The piece or part is kept.
    Stored,
    /// The map exists now.
    Mapped {
        /// Its number of items.
        items: u32,
        /// Whether this command made it; it was there before, identically, otherwise.
        created: bool,
    },
    /// The limit is set, or left to submits.
    LimitSet,
    /// The schedule is as wanted.
    SchedulePut {
        /// Whether there was none of its name.
        created: bool,
    },
    /// The schedule is paused, resumed or deleted.
    ScheduleChanged,
    /// So many tasks were submitted.
    Fired {
        /// How many.
        submitted: u32,
    },
}

/// A command that changed nothing, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// No such function.
    #[error("there is no function {0}")]
    UnknownFunction(FunctionId),
    /// No such task, or it was forgotten after its retention.
    #[error("there is no task {0}")]
    UnknownTask(TaskId),
    /// The function id is taken by another function.
    #[error("function id {0} is taken by another function")]
    FunctionConflict(FunctionId),
    /// The task id (or idempotency key) is taken by another submit.
    #[error("task {0} was submitted before with another function, other arguments or other options")]
    TaskConflict(TaskId),
    /// Somebody else holds the task now, or nobody does any more.
    #[error("lease {offered} of task {task} is over; {}", newest(*.current))]
    StaleLease {
        /// The task.
        task: TaskId,
        /// The token that was offered.
        offered: Token,
        /// The token that is current.
        current: Token,
    },
    /// The task had ended before.
    #[error("task {task} has already ended: {status}")]
    AlreadyFinished {
        /// The task.
        task: TaskId,
        /// How it ended.
        status: Status,
    },
    /// A value is over its bound.
    #[error("{what} is {got}, over the limit of {limit}")]
    OverLimit {
        /// What is too large.
        what: String,
        /// Its size.
        got: u64,
        /// The bound.
        limit: u64,
    },
    /// A request that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Only a task that failed or was parked can be redriven.
    #[error("task {task} is {status}: only a task that failed or was parked can be redriven")]
    NotRedrivable {
        /// The task.
        task: TaskId,
        /// Where it stands.
        status: Status,
    },
    /// No such map, or it was forgotten after its retention.
    #[error("there is no map {0}")]
    UnknownMap(MapId),
    /// The map's id (or idempotency key) is taken by another map.
    #[error("map {0} was sent before with another function, other items or other options")]
    MapConflict(MapId),
    /// A piece of the map is missing.
    #[error("piece {piece} of map {map} is missing: it was never sent, or {}", forgotten())]
    MapIncomplete {
        /// The map.
        map: MapId,
        /// The first piece that is not there.
        piece: u32,
    },
    /// The map had ended before.
    #[error("map {0} has already ended")]
    MapFinished(MapId),
    /// No such schedule.
    #[error("there is no schedule '{0}'")]
    UnknownSchedule(String),
    /// A part of the arguments or of the result is missing.
    #[error("part {part} of the {} of task {task} is missing: it was never sent, or was dropped with the others, {}", payload(*.token), silence())]
    PartMissing {
        /// The task.
        task: TaskId,
        /// The token of the attempt whose result it is; 0: the arguments.
        token: Token,
        /// The first part that is not there.
        part: u32,
    },
    /// A part was sent before with other bytes.
    #[error("part {part} of the {} of task {task} was sent before with other bytes", payload(*.token))]
    PartConflict {
        /// The task.
        task: TaskId,
        /// The token of the attempt whose result it is; 0: the arguments.
        token: Token,
        /// The part.
        part: u32,
    },
    /// Arguments in parts belong to one task.
    #[error("the arguments of task {0} lie in parts, which belong to it alone: submit the call again")]
    NotRedrivableInParts(TaskId),
    /// A task to depend on does not exist, or was forgotten after its retention.
    #[error("there is no task {0} to run after: it was never accepted, or was forgotten after its retention")]
    UnknownDependency(TaskId),
}

fn forgotten() -> String {
    format!("the map was forgotten, {}", silence())
}

fn silence() -> String {
    format!("as nothing came for {} s", limits::UPLOAD_KEPT.0 / 1000)
}

fn payload(token: Token) -> &'static str {
    if token == Token(0) { "arguments" } else { "result" }
}

fn newest(token: Token) -> String {
    if token == Token(0) {
        "the task was never granted".to_owned()
    } else {
        format!("the newest grant is {token}")
    }
}

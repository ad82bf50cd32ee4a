//! Everything that may enter the log.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::function::{FunctionSpec, PythonVersion};
use crate::ids::{FunctionId, MapId, RequestId, ScheduleId, TaskId, Token, WorkerId};
use crate::limit::{Bound, LimitName};
use crate::pack::Piece;
use crate::parts::{InParts, PayloadId};
use crate::payload;
use crate::record::{Output, TaskError};
use crate::rules::{Rules, Tags};
use crate::schedule::ScheduleSpec;
use crate::task::TaskOptions;
use crate::time::{LogTime, Millis, WallTime};

/// One Raft entry's worth of work: commands in order, and the time at which they happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The leader's log time when it proposed the entry.
    pub log_time: LogTime,
    /// The leader's wall clock when it proposed the entry; for people.
    pub wall_time: WallTime,
    /// Carried out in order; each gets one reply. An empty list only moves time.
    pub commands: Vec<Command>,
}

/// One thing that somebody wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Make a function known.
    Register(Register),
    /// Accept tasks, all or none.
    Submit(Submit),
    /// Hand tasks to a worker.
    Acquire(Acquire),
    /// Let an attempt run longer.
    Extend(Extend),
    /// Record a result.
    Complete(Complete),
    /// Record a failure.
    Fail(Fail),
    /// Give tasks back unharmed.
    Release(Release),
    /// End a task before it ends itself.
    Cancel(Cancel),
    /// End the leases of a worker that is gone.
    Expire(Expire),
    /// Drop finished tasks whose retention is over.
    Forget(Forget),
    /// Accept tasks that ask for more than options can say.
    SubmitUnder(SubmitUnder),
    /// Hand tasks to a worker that offers more than its Python.
    AcquireWith(AcquireWith),
    /// Run a failed task again, as a task of its own.
    Redrive(Redrive),
    /// Keep some items of a map that is being sent.
    Store(Store),
    /// Accept a map, all of whose items have been stored.
    Map(Map),
    /// End all items of a map before they end themselves.
    CancelMap(CancelMap),
    /// Set a limit by hand, or leave it to submits again.
    SetLimit(SetLimit),
    /// Make a schedule, or replace it.
    PutSchedule(PutSchedule),
    /// Pause, resume or delete a schedule.
    ChangeSchedule(ChangeSchedule),
    /// Submit what schedules ask for.
    Fire(Fire),
    /// Submit a task of a schedule now.
    Trigger(Trigger),
    /// Keep a part of a large payload that is being sent.
    StorePart(StorePart),
    /// Record a result, all of whose parts have been stored.
    CompleteInParts(CompleteInParts),
}

/// Make a function known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Chosen by the caller's side, so that a repeated register names the same function.
    pub function: FunctionId,
    /// What it is.
    pub spec: FunctionSpec,
    /// Its code, opaque.
    #[serde(deserialize_with = "payload::deserialize")]
    pub code: Bytes,
}

/// Accept tasks of one function, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// What to run.
    pub function: FunctionId,
    /// Options of every item.
    pub options: TaskOptions,
    /// One task each: its id and its arguments.
    #[serde(deserialize_with = "payload::deserialize_items")]
    pub items: Vec<(TaskId, Bytes)>,
}

/// Hand tasks to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquire {
    /// Who asks.
    pub worker: WorkerId,
    /// Repeating the request id returns the grants that are still held under it.
    pub request: RequestId,
    /// Most tasks wanted.
    pub max: u16,
    /// The worker's Python.
    pub python: PythonVersion,
}

/// Accept tasks of one function, all or none, under rules that hold for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitUnder {
    /// The tasks.
    pub submit: Submit,
    /// What they ask for.
    pub rules: Rules,
}

/// Hand tasks to a worker, those that need some of its tags among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcquireWith {
    /// Who asks, and for how many.
    pub acquire: Acquire,
    /// What the worker offers.
    pub tags: Tags,
}

/// Set a limit by hand: it stands above what submits say, whenever they say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetLimit {
    /// Which.
    pub name: LimitName,
    /// What holds from now on; `None`: what submits say. A bound of 0 holds all tasks back.
    pub bound: Option<Bound>,
}

/// Make a schedule, or replace what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutSchedule {
    /// Its name.
    pub name: String,
    /// What is wanted.
    pub spec: ScheduleSpec,
}

/// Change whether a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSchedule {
    /// Its name.
    pub name: String,
    /// How.
    pub change: ScheduleChange,
}

/// What becomes of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleChange {
    /// It fires for nothing until it is resumed.
    Pause,
    /// It fires for times from now on.
    Resume,
    /// It is no more; its tasks go on.
    Delete,
}

/// Submit the tasks of nominal times that have come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fire {
    /// Each for one schedule; those that are not as of how it stands are left out.
    pub firings: Vec<Firing>,
}

/// Nominal times of one schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    /// The schedule's name.
    pub name: String,
    /// Its id.
    pub schedule: ScheduleId,
    /// The last nominal time that was dealt with, as the leader saw it: the firing is left out unless it still is.
    pub after: WallTime,
    /// Times up to this one are dealt with by this; not in the future.
    pub until: WallTime,
    /// Those of them to submit a task for, rising.
    pub nominal: Vec<WallTime>,
}

/// Submit a task of a schedule now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// The schedule's name.
    pub name: String,
    /// The task; repeating it changes nothing.
    pub task: TaskId,
}

/// Run a task that failed or was parked again, as a task of its own: its record stays what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive {
    /// The task that has ended.
    pub task: TaskId,
    /// The new task. Chosen by the caller's side as a function of `task`, so that one task has one redrive.
    pub into: TaskId,
}

/// Keep some items of a map that is being sent. Pieces may come in any order, and again; nothing runs before the map itself
/// is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Which map. Chosen by whoever sends it, so that a repeat names the same one.
    pub map: MapId,
    /// Place of the piece, from 0.
    pub index: u32,
    /// The items.
    pub piece: Piece,
}

/// Accept a map: one function over the items of all its pieces, in order. From here on it is one request: repeating it
/// changes nothing, and nothing else can be stored under its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Which map.
    pub map: MapId,
    /// What to run.
    pub function: FunctionId,
    /// Options of every item; a delay counts from now, for all of them.
    pub options: TaskOptions,
    /// Rules of every item.
    pub rules: Rules,
    /// Number of pieces.
    pub pieces: u32,
    /// Digest of all pieces, by whoever sends them: it is how a repeat is told from another map under the same id.
    pub digest: [u8; 32],
}

/// End all items of a map before they end themselves. Those that have ended keep their records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelMap {
    /// Which map.
    pub map: MapId,
}

/// The right to speak for one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseRef {
    /// The task.
    pub task: TaskId,
    /// The token of the grant.
    pub token: Token,
}

/// Let an attempt run longer: its run ends `run` after now instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extend {
    /// Which attempt.
    pub lease: LeaseRef,
    /// How long it may run from now on.
    pub run: Millis,
}

/// Record a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// Which attempt.
    pub lease: LeaseRef,
    /// The result, opaque.
    #[serde(deserialize_with = "payload::deserialize")]
    pub result: Bytes,
    /// What it printed.
    pub output: Output,
}

/// Keep a part of arguments or of a result. Parts may come in any order, and again. Those of a result are taken from whom the
/// result would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorePart {
    /// Of which payload.
    pub of: PayloadId,
    /// Place of the part, from 0.
    pub index: u32,
    /// The part, opaque; not empty.
    #[serde(deserialize_with = "payload::deserialize")]
    pub bytes: Bytes,
}

/// Record a result, all of whose parts have been stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteInParts {
    /// Which attempt.
    pub lease: LeaseRef,
    /// What there is.
    pub parts: InParts,
    /// What it printed.
    pub output: Output,
}

/// Record a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fail {
    /// Which attempt.
    pub lease: LeaseRef,
    /// What went wrong.
    pub error: TaskError,
    /// Names of the classes that the exception's own is derived from, nearest first; may be empty.
    pub bases: Vec<String>,
    /// Whether trying again can help; crashes are tried again whatever this says.
    pub retryable: bool,
    /// What it printed.
    pub output: Output,
}

/// Give tasks back unharmed and uncharged: never started, or the worker drains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Which attempt.
    pub lease: LeaseRef,
}

/// End a task before it ends itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Which task.
    pub task: TaskId,
}

/// End leases whose worker the leader has not heard from for a whole TTL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expire {
    /// Which attempts, and whether each was known to have started.
    pub leases: Vec<(LeaseRef, bool)>,
}

/// Drop finished tasks whose retention is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {
    /// Which ones; those not due, not finished or not there are skipped.
    pub tasks: Vec<TaskId>,
}

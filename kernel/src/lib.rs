//! The pure, deterministic state machine of Raftwork: committed entries in, replies, events and row changes out.
//!
//! The kernel knows the life of a task and nothing else: no clock, no randomness, no I/O, no floating point, no order
//! that depends on a hash. Two replicas that apply the same entries are equal, byte for byte. Time, ids and rows arrive
//! as data; see [`State::apply`].
//!
//! ```
//! use raftwork_kernel::{Command, Entry, LogTime, NoRows, Rejection, State, TaskId, WallTime, Cancel};
//!
//! let mut state = State::default();
//! let task = TaskId::from_u128(1);
//! let entry = Entry {
//!     log_time: LogTime(10),
//!     wall_time: WallTime(0),
//!     commands: vec![Command::Cancel(Cancel { task })],
//! };
//! let applied = state.apply(&entry, &NoRows);
//! assert_eq!(applied.replies, [Err(Rejection::UnknownTask(task))]);
//! ```
#![deny(clippy::float_arithmetic)]

mod apply;
mod codec;
mod command;
mod event;
mod excerpt;
mod function;
mod ids;
mod limit;
pub mod limits;
mod live;
mod map;
mod maps;
mod mix;
pub mod mutants;
mod pack;
mod parts;
mod payload;
mod record;
mod reply;
mod retry;
mod rows;
mod rules;
mod schedule;
mod state;
mod task;
mod time;
mod uploads;

pub use apply::Applied;
pub use codec::{DecodeError, FORMAT, decode, decode_shared, encode};
pub use command::{
    Acquire, AcquireWith, Cancel, CancelMap, ChangeSchedule, Command, Complete, CompleteInParts, Entry,
    Expire, Extend, Fail, Fire, Firing, Forget, LeaseRef, Map, PutSchedule, Redrive, Register, Release,
    ScheduleChange, SetLimit, Store, StorePart, Submit, SubmitUnder, Trigger,
};
pub use event::Event;
pub use function::{CodeHash, Function, FunctionSpec, Language, ParsePythonVersionError, PythonVersion};
pub use ids::{FunctionId, MapId, ParseIdError, RequestId, ScheduleId, Seq, TaskId, Token, WorkerId};
pub use limit::{Bound, Limit, LimitKind, LimitName, Starts};
pub use live::LimitStanding;
pub use map::{Ended, MapFinished, MapRow, MapStanding, Unborn};
pub use pack::{Pack, Piece};
pub use parts::{InParts, PayloadId};
pub use record::{FailureKind, Outcome, Output, Record, Status, TaskError};
pub use reply::{Accepted, Grant, Rejection, Reply};
pub use retry::RetryPolicy;
pub use rows::{Change, NoRows, Rows};
pub use rules::{After, Exceptions, OnFailure, Rule, Rules, Tags};
pub use schedule::{CatchUp, Overlap, Schedule, ScheduleSpec, Timing, check_schedule_name};
pub use state::{Need, Scalars, State};
pub use task::{Counters, Deadlines, Lease, Phase, Task, TaskOptions, TaskRow};
pub use time::{LogTime, Millis, WallTime};
pub use uploads::Upload;

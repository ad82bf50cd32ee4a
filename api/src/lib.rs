//! The HTTP and stream contract of Raftwork, once, for everybody who speaks it.
//!
//! Requests and answers embed the kernel's own vocabulary, re-exported as [`kernel`]'s names, so that nothing is
//! defined twice. The state machine itself is not re-exported: who depends on this crate alone cannot name it.

pub mod arguments;
pub mod cluster;
pub mod course;
mod error;
pub mod explain;
pub mod frame;
pub mod functions;
mod key;
pub mod leases;
pub mod limits;
pub mod maps;
mod number;
pub mod parts;
pub mod paths;
pub mod payload;
pub mod rfc3339;
pub mod schedules;
mod span;
pub mod stream;
pub mod tasks;
pub mod workers;

pub use error::{ErrorCode, PROBLEM_JSON, Problem};
pub use key::{KEY_BYTES_MAX, KeyLengthError, task_of_key, task_of_redrive};
pub use span::{ParseSpanError, Span, SpanText};

/// The kernel's vocabulary, without its state machine.
pub mod kernel {
    pub use raftwork_kernel::limits;
    pub use raftwork_kernel::mutants;
    pub use raftwork_kernel::{
        Accepted, Acquire, AcquireWith, After, Bound, Cancel, CancelMap, CatchUp, ChangeSchedule, CodeHash,
        Command, Complete, CompleteInParts, Counters, DecodeError, Ended, Entry, Exceptions, Expire, Extend,
        Fail, FailureKind, Fire, Firing, Forget, FunctionId, FunctionSpec, Grant, InParts, Language,
        LeaseRef, LimitKind, LimitName, LogTime, Map, MapId, Millis, OnFailure, Outcome, Output, Overlap,
        Pack, ParseIdError, PayloadId, Piece, PutSchedule, PythonVersion, Record, Redrive, Register,
        Rejection, Release, Reply, RequestId, RetryPolicy, Rule, Rules, Schedule, ScheduleChange, ScheduleId,
        ScheduleSpec, SetLimit, Status, Store, StorePart, Submit, SubmitUnder, Tags, TaskError, TaskId,
        TaskOptions, Timing, Token, Trigger, WallTime, WorkerId, check_schedule_name, decode, encode,
    };
}

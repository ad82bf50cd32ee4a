//! The history of a run: everything that clients, faults and nodes did, one JSON object a line, on one monotonic clock.
//!
//! It is the contract between the harness, which writes it, and the checkers, which trust nothing else. A line is
//! `{"at": MICROSECONDS, "event": {KIND: {...}}}`; the first one is the `run` header. What a call asks and what came of it
//! are two lines, so that a history cut off by a crash still says what was under way. The file may end in a torn line.

mod call;
mod edn;
mod event;
mod fingerprint;
mod log;
mod read;
mod write;

pub use call::{Call, Grant, Outcome, Refusal, Reply};
pub use edn::EdnWriter;
pub use event::{
    Effect, Event, Fault, FaultStep, Invoke, Leader, Line, NodeDigest, Phase, Return, Run, Wanted,
};
pub use fingerprint::{Fingerprint, ParseFingerprintError};
pub use log::{After, Concurrency, FailureKind, LogCommand, LogEntry, LogItem, Options, Retry, Whole};
pub use read::{ReadError, Reader, Reason};
pub use write::Recorder;

/// Version of the format, in the header of every history. A reader refuses every other.
pub const FORMAT: u32 = 1;

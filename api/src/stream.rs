//! Messages on framed streams: what workers, SDK clients and nodes say to each other after `Upgrade: raftwork/1`.
//!
//! Every message is one frame of kind [`MESSAGE`] whose payload is the kernel codec's encoding of one of these enums. The
//! role that a connection plays is in its request's [`ROLE_HEADER`].

use bytes::Bytes;
use raftwork_kernel::{
    Cancel, CancelMap, CodeHash, Complete, CompleteInParts, Fail, FunctionId, InParts, Language, LeaseRef,
    Map, Millis, PythonVersion, Record, Register, Rejection, Release, Reply, RequestId, Status, Store,
    StorePart, Submit, SubmitUnder, Tags, TaskId, Token, WorkerId,
};
use serde::{Deserialize, Serialize};

pub use crate::frame::{PROTOCOL, ROLE_HEADER};
use crate::tasks::Progress;
use crate::workers::WorkerMode;

/// Role of another node.
pub const ROLE_PEER: &str = "peer";
/// Role of a worker.
pub const ROLE_WORKER: &str = "worker";
/// Role of an SDK client.
pub const ROLE_CLIENT: &str = "client";
/// Frame kind of the messages in this module.
pub const MESSAGE: u8 = 1;
/// Most bytes of results, errors and output in one report, unless one ending alone has more: an entry of the log stays a
/// bounded piece of work.
pub const REPORT_BYTES_MAX: usize = 1 << 20;

/// Who a worker is: its first message on every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The same on every connection of one process.
    pub worker: WorkerId,
    /// For people.
    pub name: String,
    /// Its Python.
    pub python: PythonVersion,
    /// Tasks that it runs at once.
    pub slots: u16,
    /// Tasks that it will hold at once: `slots`, and more if it prefetches.
    pub capacity: u16,
    /// Whether the leader sends on its own.
    pub mode: WorkerMode,
    /// Leases that it holds from before, with whether each has started.
    pub held: Vec<(LeaseRef, bool)>,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// First of all.
    Hello(Hello),
    /// Pull mode: wants up to `max` tasks. Answered by exactly one `Grants`, when there are some. A newer ask replaces
    /// an unanswered one; the same request id repeats it, and `max: 0` withdraws it unless the answer is on its way.
    Ask {
        /// Names the ask.
        request: RequestId,
        /// Most tasks wanted.
        max: u16,
    },
    /// What has happened to its tasks since the last report. The payloads of one message take at most
    /// [`REPORT_BYTES_MAX`], unless one ending alone is larger.
    Report {
        /// These grants have started to run.
        started: Vec<LeaseRef>,
        /// These are over; each is answered by a verdict. The worker keeps it until then, and repeats it on a new
        /// connection.
        ended: Vec<Ending>,
    },
    /// Still alive; answered by `Beat` with the same number, once the leader has confirmed that it leads.
    Heartbeat {
        /// Counts up on each connection.
        number: u64,
        /// Everything that it holds, with whether each has started.
        held: Vec<(LeaseRef, bool)>,
        /// Whether it takes nothing more.
        draining: bool,
    },
    /// Needs the code of a function; answered by `Code`.
    FetchCode(FunctionId),
    /// Push mode: from now on it will hold so many tasks at once, instead of what `Hello` said.
    Capacity(u16),
    /// What it offers beside its Python, from now on: said after `Hello` on every connection, if there is anything.
    Offer(Tags),
    /// How far its tasks say they are, those that said something new. Said again to a new leader.
    Progress(Vec<(LeaseRef, Progress)>),
}

/// How a lease ended on its worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// With a result.
    Complete(Complete),
    /// With a result whose parts have been sent, to [`paths::LEASE_RESULT_PART`](crate::paths::LEASE_RESULT_PART).
    CompleteInParts(CompleteInParts),
    /// With a failure.
    Fail(Fail),
    /// The task is given back.
    Release(Release),
}

impl Ending {
    /// Which lease.
    pub const fn lease(&self) -> LeaseRef {
        match self {
            Self::Complete(complete) => complete.lease,
            Self::CompleteInParts(complete) => complete.lease,
            Self::Fail(fail) => fail.lease,
            Self::Release(release) => release.lease,
        }
    }
}

/// A task to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The task and its fencing token.
    pub lease: LeaseRef,
    /// Number of the attempt, from 1.
    pub attempt: u16,
    /// Longest run of the attempt.
    pub run_max: Option<Millis>,
    /// What to run.
    pub function: FunctionId,
    /// Its name: for people, and the entry point of source code.
    pub name: String,
    /// How code, arguments and result are written down.
    pub language: Language,
    /// Digest of the code: fetch it once, keep it under this key.
    pub code_hash: CodeHash,
    /// The arguments; empty if they are in parts.
    pub args: Bytes,
    /// Arguments in parts: to be read at [`paths::TASK_ARGUMENTS_PART`](crate::paths::TASK_ARGUMENTS_PART) of any node.
    pub in_parts: Option<InParts>,
    /// What came of the tasks whose results it was submitted to be given.
    pub given: Vec<Given>,
}

/// What came of a task that another one was submitted to be given the result of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Which task.
    pub task: TaskId,
    /// What came of it.
    pub result: GivenResult,
}

/// Where the result of a task is, if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GivenResult {
    /// Here.
    Here(Bytes),
    /// It has so many bytes, too many beside others for one message: to be read at
    /// [`paths::TASK_RESULT`](crate::paths::TASK_RESULT) of any node, as it is.
    Apart(u64),
    /// It is in parts: to be read at [`paths::TASK_RESULT_PART`](crate::paths::TASK_RESULT_PART) of any node.
    InParts(InParts),
    /// Nowhere: the task ended in this way.
    None(Status),
}

impl GivenResult {
    /// How large the result is, in bytes.
    pub const fn bytes(&self) -> u64 {
        match self {
            Self::Here(result) => result.len() as u64,
            Self::Apart(bytes) => *bytes,
            Self::InParts(said) => said.bytes,
            Self::None(_) => 0,
        }
    }
}

/// What a node says to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The node leads and has taken the worker in.
    Welcome {
        /// Leases end this long after the last answered heartbeat.
        ttl: Millis,
        /// How often to beat.
        heartbeat: Millis,
    },
    /// The node does not lead (any more): connect to the leader. The stream ends after this.
    NotLeader {
        /// Base URL of the leader, if the node knows it.
        leader: Option<String>,
    },
    /// Tasks to run.
    Grants {
        /// The ask that they answer (pull), or the leader's own (push).
        request: RequestId,
        /// The tasks.
        work: Vec<Work>,
    },
    /// What became of endings that were reported. `Err` is final too: drop the work quietly.
    Verdicts(Vec<(LeaseRef, Reply)>),
    /// Answers a heartbeat.
    Beat {
        /// Which.
        number: u64,
        /// Leases among those held that are over: stop that work.
        lost: Vec<LeaseRef>,
    },
    /// These leases are over (cancelled, overrun, expired): stop that work.
    Revoke(Vec<LeaseRef>),
    /// The code that was asked for; `None` if there is no such function.
    Code {
        /// Which function.
        function: FunctionId,
        /// Its code.
        code: Option<Bytes>,
    },
    /// Finish what is held, take nothing more, then leave.
    Drain,
    /// Where the nodes are from now on: said after `Welcome`, and whenever the members change.
    Members(Vec<String>),
}

/// What an SDK client asks. The answer's frame has the request's frame id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromClient {
    /// Make a function known.
    Register(Register),
    /// Accept tasks, all or none.
    Submit {
        /// The tasks.
        submit: Submit,
        /// Whether to send `Finished` for each as it ends, as if each were watched.
        watch: bool,
    },
    /// Cancel a task.
    Cancel(Cancel),
    /// Where does a task stand?
    Status(TaskId),
    /// Send `Finished` for each of these tasks as it ends, at once for those that have.
    Watch(Vec<TaskId>),
    /// Accept tasks under rules, all or none.
    SubmitUnder {
        /// The tasks, and what they ask for.
        submit: SubmitUnder,
        /// As in `Submit`.
        watch: bool,
    },
    /// Run a task that failed or was parked again, as the task that [`task_of_redrive`](crate::task_of_redrive) names.
    Redrive(TaskId),
    /// Keep some items of a map that is being sent.
    Store(Store),
    /// Keep a part of large arguments that are being sent.
    StorePart(StorePart),
    /// Accept a map, all of whose items have been stored. Its items can be watched like any task.
    Map(Map),
    /// Cancel all items of a map.
    CancelMap(CancelMap),
}

/// What a node says to an SDK client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToClient {
    /// What became of a register, submit, cancel or redrive.
    Reply(Reply),
    /// Answers `Status`: the live status, or the record; `None` if there is no such task.
    Status(Option<(Status, Token)>),
    /// The watch is in place.
    Watching,
    /// Watched tasks that have ended (frame id 0: answers no request). `None`: there is no such task.
    Finished(Vec<(TaskId, Option<Record>)>),
    /// The node does not lead (any more); nothing was done. Connect to the leader and repeat.
    NotLeader {
        /// Base URL of the leader, if the node knows it.
        leader: Option<String>,
    },
    /// Nothing was done; repeat after a while.
    Busy {
        /// How long.
        retry_after: Millis,
    },
    /// It is unknown whether it was done; repeat it under the same ids.
    Unknown {
        /// Why.
        reason: String,
    },
    /// Where the nodes are from now on: said first of all, and whenever the members change (frame id 0: answers no
    /// request).
    Members(Vec<String>),
}

impl ToClient {
    /// The refusal, if this is one.
    pub const fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Reply(Err(rejection)) => Some(rejection),
            Self::Reply(Ok(_))
            | Self::Status(_)
            | Self::Watching
            | Self::Finished(_)
            | Self::NotLeader { .. }
            | Self::Busy { .. }
            | Self::Unknown { .. }
            | Self::Members(_) => None,
        }
    }
}

/// The nodes to look for a leader at: the members as they were last told, then the URLs that one began with, for they may
/// be names that outlive the nodes behind them.
pub fn whom_to_try(members: Vec<String>, seeds: &[String]) -> Vec<String> {
    let mut urls = members;
    for seed in seeds {
        if !urls.contains(seed) {
            urls.push(seed.clone());
        }
    }
    urls
}

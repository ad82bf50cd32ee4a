//! The lines of a history.

use std::collections::BTreeMap;

use raftwork_api::kernel::{TaskId, Token};
use serde::{Deserialize, Serialize};

use super::{Call, LogEntry, Outcome};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// When, in microseconds since the start of the run, on the harness's monotonic clock. Never less than the line before.
    pub at: u64,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The run begins: the first line, and no other.
    Run(Run),
    /// A client or worker asks something.
    Invoke(Invoke),
    /// It learns what came of it.
    Return(Return),
    /// A fault begins or ends.
    Fault(Fault),
    /// The run enters its next phase.
    Phase(Phase),
    /// A node was seen to lead.
    Leader(Leader),
    /// A node told the digest of its state.
    Digest(NodeDigest),
    /// An entry of the Raft log, read from disk after the nodes had stopped.
    Log(LogEntry),
    /// A worker offered an effect to the fenced register outside of the cluster.
    Effect(Effect),
}

/// What was run, so that it can be run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// [`FORMAT`](super::FORMAT).
    pub format: u32,
    /// All choices of the harness follow from it.
    pub seed: u64,
    /// Ids of the nodes that the run begins with.
    pub nodes: Vec<u64>,
    /// The commit that was built, or empty if unknown.
    #[serde(default)]
    pub commit: String,
    /// The command line that does it again.
    pub command: String,
    /// When, RFC 3339 in UTC; for people.
    #[serde(default)]
    pub started: String,
    /// Whatever else matters, for people: timeouts, modes, versions.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Names of the faults that are planned: each must happen, or the run proves nothing.
    #[serde(default)]
    pub faults: Vec<String>,
    /// Faults that were asked for and cannot happen here, with the reason.
    #[serde(default)]
    pub skipped: BTreeMap<String, String>,
    /// What else must have happened for the run to prove something.
    #[serde(default)]
    pub wanted: Wanted,
    /// Whether the history lacks the Raft log by its nature: the cluster is somebody else's.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub without_log: bool,
}

/// What must have happened for a run to prove something; zero asks for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Calls that were answered.
    #[serde(default)]
    pub operations: u64,
    /// Times that another node, or the same in another term, was seen to lead.
    #[serde(default)]
    pub leader_changes: u64,
    /// Leases that were ended because their worker was silent, by the log.
    #[serde(default)]
    pub expiries: u64,
    /// Reports that were refused as stale.
    #[serde(default)]
    pub stale_refusals: u64,
    /// Effects that tasks offered, and that were taken: Python workers ran something.
    #[serde(default)]
    pub effects: u64,
    /// Tasks that waited for others, and then might start, by the log.
    #[serde(default)]
    pub released: u64,
    /// Tasks that failed because one that they were to run after ended without a result, by the log.
    #[serde(default)]
    pub broken: u64,
    /// Arguments that were put together of parts, by the log.
    #[serde(default)]
    pub arguments_in_parts: u64,
    /// Results that were put together of parts, by the log.
    #[serde(default)]
    pub results_in_parts: u64,
    /// Of all of these, those whose parts came under more than one leadership.
    #[serde(default)]
    pub parts_across_leaders: u64,
}

/// A client or worker asks something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invoke {
    /// Names the operation; never used twice.
    pub op: u64,
    /// Who asks: a process has one operation at a time, and takes a new number after an unknown outcome.
    pub process: u64,
    /// The node that is asked; `None` where the SDK chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// What.
    pub call: Call,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Return {
    /// The operation.
    pub op: u64,
    /// The log index as of which the answer holds, where it says so: a stale read's `x-raftwork-applied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What came of it.
    pub outcome: Outcome,
}

/// A fault begins or ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Pairs a start with its stop; counts up.
    pub id: u64,
    /// Its name in `raftwork-chaos run --list`.
    pub name: String,
    /// Which of the two.
    pub step: FaultStep,
    /// Nodes that it concerns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<u64>,
    /// Worker processes that it killed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<u32>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Beginning or end of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultStep {
    /// It begins.
    Start,
    /// It is over, or was over at once.
    Stop {
        /// Whether the harness saw that it took effect (the process was gone, the frames were dropped).
        happened: bool,
    },
}

/// Phases of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Load, and faults.
    Load,
    /// The last fault was taken back: from here on everything must get well.
    Heal,
    /// No more is submitted; what was accepted must end.
    Drain,
    /// Everything that was accepted has ended, as far as the harness can tell; every node is read once more.
    Settled,
    /// The harness gave up waiting for that.
    Stuck,
}

/// A node was seen to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leader {
    /// Which.
    pub node: u64,
    /// In which term.
    pub term: u64,
}

/// A node told the digest of its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeDigest {
    /// Which.
    pub node: u64,
    /// As of which entry.
    pub applied: u64,
    /// In hexadecimal.
    pub digest: String,
}

/// A worker offered an effect to the register outside of the cluster, which accepts it if its token is not below the
/// task's highest so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// For which task.
    pub task: TaskId,
    /// Under which token.
    pub token: Token,
    /// Whether the register took it.
    pub accepted: bool,
    /// The process that offered it and its ancestors: the worker is among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pids: Vec<u32>,
}

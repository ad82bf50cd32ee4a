//! `/v1/cluster`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::number;

/// One node, as the asked node sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NodeInfo {
    /// Its number, which no other node of the cluster has or had.
    pub id: u64,
    /// Its base URL.
    pub url: String,
    /// `leader`, `follower` or `learner`.
    pub role: String,
    /// Log entries that the leader knows it lacks; only the leader can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// Whether it has answered the leader lately; only the leader can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<bool>,
    /// Drawn when its data folder was made (UUID): an emptied folder is another node.
    #[serde(default)]
    pub incarnation: String,
}

/// Answer of `GET /v1/cluster`: the asked node's own view, served even without a leader.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ClusterInfo {
    /// Name of the cluster.
    pub cluster: String,
    /// The node that answers.
    pub node: u64,
    /// Where it says that it is reached.
    #[serde(default)]
    pub url: String,
    /// Drawn when its data folder was made (UUID).
    #[serde(default)]
    pub incarnation: String,
    /// Whether it has ever been a member of the cluster; a new node is not one before it is added.
    #[serde(default)]
    pub joined: bool,
    /// Version of its build.
    pub version: String,
    /// The leader, if the node knows one.
    pub leader: Option<u64>,
    /// Raft term.
    pub term: u64,
    /// Index of the last log entry.
    pub last_log: u64,
    /// Index of the last committed entry that this node knows.
    pub committed: u64,
    /// Index of the last applied entry.
    pub applied: u64,
    /// Index that the newest snapshot covers.
    pub snapshot: u64,
    /// Index up to which the log was purged.
    pub purged: u64,
    /// The members.
    pub nodes: Vec<NodeInfo>,
    /// Live tasks by status (`waiting`, `queued`, `running`).
    pub tasks: BTreeMap<String, u64>,
}

/// Answer of `GET /v1/cluster/digest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DigestInfo {
    /// The node that answers.
    pub node: u64,
    /// Two nodes at the same applied index ...
    pub applied: u64,
    /// ... have the same digest (BLAKE3 over every row, in hexadecimal), or they have diverged.
    pub digest: String,
}

/// Body of `POST /v1/cluster/members`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"url": "http://10.0.0.4:7001", "replaces": 3}))]
pub struct NewMember {
    /// Base URL of the new node, which must be running.
    pub url: String,
    /// The member whose place it takes, and which is gone then.
    #[serde(default, deserialize_with = "number::maybe", skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u64>,
    /// Whether to do so although too few of the nodes answer.
    #[serde(default)]
    pub force: bool,
}

/// How far a change of the membership has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// The new node receives what the others have, and has no vote yet: repeat the request.
    CatchingUp,
    /// The node votes.
    Member,
    /// The node is no member.
    Removed,
}

/// Answer to a change of the membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"node": 4, "state": "catching_up", "lag": 120_000}))]
pub struct MemberChange {
    /// Which node.
    pub node: u64,
    /// How far it is.
    pub state: MemberState,
    /// Log entries that it lacks, while it is catching up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
}

/// Body of `POST /v1/cluster/transfer`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"from": 1, "to": 2}))]
pub struct Transfer {
    /// The node that shall lead no more: with it, the request can be repeated, and does nothing once another leads.
    #[serde(default, deserialize_with = "number::maybe", skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The node that shall lead; any up-to-date one if left out.
    #[serde(default, deserialize_with = "number::maybe", skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

//! `/v1/cluster`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One node, as the asked node sees it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NodeInfo {
    /// Its number in `cluster.toml`.
    pub id: u64,
    /// Its base URL.
    pub url: String,
    /// `leader`, `follower` or `learner`.
    pub role: String,
    /// Log entries that the leader knows it lacks; only the leader can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
}

/// Answer of `GET /v1/cluster`: the asked node's own view, served even without a leader.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ClusterInfo {
    /// Name of the cluster.
    pub cluster: String,
    /// The node that answers.
    pub node: u64,
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

/// Body of `POST /v1/cluster/transfer`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"to": 2}))]
pub struct Transfer {
    /// The node that shall lead; any up-to-date one if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

//! Who leads, as Raft sees it.
//!
//! Followed apart from Raft's other metrics, which change several times with every entry: whoever watches those is woken
//! as often. Measured for one task at a time: 0.6 instead of 0.86 ms of a follower's CPU a task.

use openraft::async_runtime::watch::WatchReceiver;

use super::handle::{Role, role};
use super::image::VoteImage;
use super::types::{NodeId, Peer, ServerMetrics, ServerMetricsWatch};
use crate::store::log::Ballot;

/// Who leads, and what this node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftLeadership {
    /// This node.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// The term that it is in.
    pub term: u64,
    /// The vote that it has last made durable.
    pub vote: Ballot,
    /// The leader that it knows, and where that is reached.
    pub leader: Option<(NodeId, Peer)>,
    /// Everybody, and where they are reached.
    pub members: Vec<(NodeId, Peer)>,
}

/// Follows a node's [`RaftLeadership`].
#[derive(Clone)]
pub struct LeadershipWatch {
    metrics: ServerMetricsWatch,
}

impl LeadershipWatch {
    pub(super) fn new(metrics: ServerMetricsWatch) -> Self {
        Self { metrics }
    }

    /// The leadership now.
    pub fn now(&mut self) -> RaftLeadership {
        leadership(&self.metrics.borrow_and_update())
    }

    /// Waits until it is perhaps another than [`LeadershipWatch::now`] last gave; false if Raft has ended.
    pub async fn changed(&mut self) -> bool {
        self.metrics.changed().await.is_ok()
    }

    /// Resolves when Raft has ended.
    pub async fn ended(&mut self) {
        while self.changed().await {}
    }
}

fn leadership(metrics: &ServerMetrics) -> RaftLeadership {
    let peer = |id| metrics.membership_config.nodes().find(|(known, _)| **known == id);
    RaftLeadership {
        node: metrics.id,
        role: role(metrics.state),
        term: metrics.vote.leader_id.term,
        vote: VoteImage::from(metrics.vote).into(),
        leader: metrics.current_leader.and_then(peer).map(|(id, peer)| (*id, peer.clone())),
        members: metrics.membership_config.nodes().map(|(id, peer)| (*id, peer.clone())).collect(),
    }
}

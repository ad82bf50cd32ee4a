//! Who votes and who listens: what a quorum is, and changes as Raft carries them out.

use std::collections::{BTreeMap, BTreeSet};

use openraft::ChangeMembers;

use super::handle::{ChangeError, RaftHandle, leader_of};
use super::transfer::Machine;
use super::types::{ChangeFailure, NodeId, Peer, WriteRefusal};

/// Whether most voters agree: in each set of them, while they change (joint consensus; Ongaro, "Consensus: Bridging Theory
/// and Practice", 2014, section 4.3).
pub(super) fn is_quorum(configs: &[BTreeSet<NodeId>], agrees: impl Fn(NodeId) -> bool) -> bool {
    configs.iter().all(|voters| voters.iter().filter(|id| agrees(**id)).count() > voters.len() / 2)
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new node listens.
    Add(NodeId, Peer),
    /// A node is reached elsewhere from now on.
    Move(NodeId, Peer),
    /// A node that has no vote is gone.
    Drop(NodeId),
    /// These vote, by joint consensus; whoever did and does no more is gone.
    Vote(BTreeSet<NodeId>),
    /// Whatever change of voters was left half-way is finished.
    Finish,
}

impl<SM: Machine> RaftHandle<SM> {
    /// Changes the membership: when it is `Ok`, the change is committed, and applied here.
    ///
    /// # Errors
    /// When this node does not lead, or the change cannot be made now.
    pub async fn change_members(&self, change: Change) -> Result<(), ChangeError> {
        let (change, keeps) = match change {
            Change::Add(id, peer) => (ChangeMembers::AddNodes(BTreeMap::from([(id, peer)])), true),
            Change::Move(id, peer) => (ChangeMembers::SetNodes(BTreeMap::from([(id, peer)])), true),
            Change::Drop(id) => (ChangeMembers::RemoveNodes(BTreeSet::from([id])), true),
            Change::Vote(ids) => (ChangeMembers::ReplaceAllVoters(ids), false),
            Change::Finish => (ChangeMembers::AddVoterIds(BTreeSet::new()), false),
        };
        match self.raft().change_membership(change, keeps).await {
            Ok(_) => Ok(()),
            Err(ChangeFailure::Fatal(fatal)) => Err(ChangeError::Stopped(fatal.to_string())),
            Err(ChangeFailure::APIError(refusal)) => Err(match refusal {
                WriteRefusal::ForwardToLeader(forward) => {
                    ChangeError::NotLeader { leader: leader_of(forward) }
                }
                WriteRefusal::LogEntryDiscarded(_) => ChangeError::Unknown,
                refusal @ (WriteRefusal::ChangeMembershipError(_) | WriteRefusal::PreconditionFailed(_)) => {
                    ChangeError::NotNow(refusal.to_string())
                }
            }),
        }
    }
}

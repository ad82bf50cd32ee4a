//! The next step towards a membership that is wished for. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::raft::membership::Change;
use crate::raft::types::{NodeId, Peer};

/// Entries that a node may lack when it is given its vote: what replication has on its way under load.
const CAUGHT_UP: u64 = 1000;

/// What the membership shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// This node votes; and another, whose place it takes, is gone.
    Member {
        /// Its id.
        node: NodeId,
        /// Where it is, and which one.
        peer: Peer,
        /// Whose place it takes.
        replaces: Option<NodeId>,
        /// Although too few nodes would answer.
        force: bool,
    },
    /// This node is gone.
    Gone {
        /// Its id.
        node: NodeId,
        /// Although too few nodes would answer.
        force: bool,
    },
}

/// Why a wish must not be fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The id is another's.
    #[error(
        "node {node} is a member with another data folder than the one at {addr}: it was emptied or exchanged, or two machines \
         have one id"
    )]
    Known {
        /// The id.
        node: NodeId,
        /// Where the new one is.
        addr: String,
    },
    /// A node cannot take its own place.
    #[error("node {node} cannot replace itself")]
    Itself {
        /// The id.
        node: NodeId,
    },
    /// Whose place is to be taken has none.
    #[error("node {node} is not a member, so that nothing can take its place")]
    Unknown {
        /// The id.
        node: NodeId,
    },
    /// A cluster has one voter at least.
    #[error("node {node} is the only one that votes")]
    Last {
        /// The id.
        node: NodeId,
    },
    /// Too few of the voters would answer.
    #[error(
        "the voters would be nodes {voters:?}, of which {healthy:?} answer now, and {needed} are needed to accept anything"
    )]
    Unsafe {
        /// Who would vote.
        voters: Vec<NodeId>,
        /// Those of them that answer.
        healthy: Vec<NodeId>,
        /// A majority.
        needed: usize,
    },
}

/// The membership as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// The leader.
    pub(super) own: NodeId,
    /// The sets of voters: one, or two while they change.
    pub(super) configs: Vec<BTreeSet<NodeId>>,
    /// Everybody.
    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// Entries that each lacks.
    pub(super) lags: BTreeMap<NodeId, u64>,
    /// Who has answered the leader lately, the leader itself included.
    pub(super) healthy: BTreeSet<NodeId>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Done,
    /// Wait for the new node.
    CatchUp {
        lag: u64,
    },
    /// Let another lead, which then goes on.
    HandOver {
        to: NodeId,
    },
    Change(Change),
}

/// The next step of the leader that sees `view`.
pub(super) fn next_step(wish: &Wish, view: &View) -> Result<Step, Refusal> {
    if view.configs.len() > 1 {
        return Ok(Step::Change(Change::Finish));
    }
    match wish {
        Wish::Member { node, peer, replaces, force } => view.admit(*node, peer, *replaces, *force),
        Wish::Gone { node, force } => view.dismiss(*node, *force),
    }
}

impl View {
    fn voters(&self) -> BTreeSet<NodeId> {
        self.configs.last().cloned().unwrap_or_default()
    }

    fn admit(
        &self,
        node: NodeId,
        peer: &Peer,
        replaces: Option<NodeId>,
        force: bool,
    ) -> Result<Step, Refusal> {
        if replaces == Some(node) {
            return Err(Refusal::Itself { node });
        }
        match self.peers.get(&node) {
            None => {
                if let Some(node) = replaces.filter(|old| !self.peers.contains_key(old)) {
                    return Err(Refusal::Unknown { node });
                }
                return Ok(Step::Change(Change::Add(node, peer.clone())));
            }
            Some(known) if known.incarnation != peer.incarnation => {
                return Err(Refusal::Known { node, addr: peer.addr.clone() });
            }
            Some(known) if known.addr != peer.addr => {
                return Ok(Step::Change(Change::Move(node, peer.clone())));
            }
            Some(_) => {}
        }
        let leaving = replaces.filter(|old| self.peers.contains_key(old));
        let voters = self.voters();
        let mut wanted = voters.clone();
        wanted.insert(node);
        if let Some(old) = leaving {
            wanted.remove(&old);
        }
        if wanted == voters {
            return Ok(leaving.map_or(Step::Done, |old| Step::Change(Change::Drop(old))));
        }
        let lag = self.lags.get(&node).copied().unwrap_or(u64::MAX);
        if node != self.own && !voters.contains(&node) && (lag > CAUGHT_UP || !self.healthy.contains(&node)) {
            return Ok(Step::CatchUp { lag });
        }
        self.vote(wanted, force)
    }

    fn dismiss(&self, node: NodeId, force: bool) -> Result<Step, Refusal> {
        let mut wanted = self.voters();
        if !self.peers.contains_key(&node) {
            return Ok(Step::Done);
        }
        if !wanted.remove(&node) {
            return Ok(Step::Change(Change::Drop(node)));
        }
        if wanted.is_empty() {
            return Err(Refusal::Last { node });
        }
        self.vote(wanted, force)
    }

    /// Lets `wanted` vote, if enough of them answer; under another leader, if this one is not among them.
    fn vote(&self, wanted: BTreeSet<NodeId>, force: bool) -> Result<Step, Refusal> {
        let healthy: Vec<NodeId> = wanted.intersection(&self.healthy).copied().collect();
        let needed = wanted.len() / 2 + 1;
        if healthy.len() < needed && !force {
            return Err(Refusal::Unsafe { voters: wanted.into_iter().collect(), healthy, needed });
        }
        if wanted.contains(&self.own) {
            return Ok(Step::Change(Change::Vote(wanted)));
        }
        // A new node has no vote before the change, and so cannot lead through it.
        let heirs = healthy.into_iter().filter(|id| self.voters().contains(id));
        let best = heirs.min_by_key(|id| (self.lags.get(id).copied().unwrap_or(u64::MAX), *id));
        match best {
            Some(to) => Ok(Step::HandOver { to }),
            // Only new nodes would stay: they get their votes first, beside those who have one.
            None => Ok(Step::Change(Change::Vote(&wanted | &self.voters()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn peer(id: NodeId) -> Peer {
        Peer { addr: format!("host:{id}"), incarnation: Uuid::from_u128(id.into()) }
    }

    fn set(ids: &[NodeId]) -> BTreeSet<NodeId> {
        ids.iter().copied().collect()
    }

    /// Node 1 leads; whoever is in `members` and not in `voters` listens.
    fn view(voters: &[NodeId], members: &[NodeId], healthy: &[NodeId]) -> View {
        View {
            own: 1,
            configs: vec![set(voters)],
            peers: members.iter().map(|id| (*id, peer(*id))).collect(),
            lags: members.iter().map(|id| (*id, 0)).collect(),
            healthy: set(healthy),
        }
    }

    fn member(node: NodeId, replaces: Option<NodeId>) -> Wish {
        Wish::Member { node, peer: peer(node), replaces, force: false }
    }

    fn gone(node: NodeId) -> Wish {
        Wish::Gone { node, force: false }
    }

    fn vote(ids: &[NodeId]) -> Step {
        Step::Change(Change::Vote(set(ids)))
    }

    #[test]
    fn a_new_node_listens_then_catches_up_then_votes() {
        let mut view = view(&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]);
        let wish = member(4, None);
        assert_eq!(next_step(&wish, &view), Ok(Step::Change(Change::Add(4, peer(4)))));
        view.peers.insert(4, peer(4));
        assert_eq!(next_step(&wish, &view), Ok(Step::CatchUp { lag: u64::MAX }));
        view.lags.insert(4, 50_000);
        view.healthy.insert(4);
        assert_eq!(next_step(&wish, &view), Ok(Step::CatchUp { lag: 50_000 }));
        view.lags.insert(4, 12);
        assert_eq!(next_step(&wish, &view), Ok(vote(&[1, 2, 3, 4])));
        view.configs = vec![set(&[1, 2, 3]), set(&[1, 2, 3, 4])];
        assert_eq!(next_step(&wish, &view), Ok(Step::Change(Change::Finish)));
        view.configs.remove(0);
        assert_eq!(next_step(&wish, &view), Ok(Step::Done));
    }

    #[test]
    fn a_node_takes_the_place_of_another_in_one_change() {
        let four = [1, 2, 3, 4];
        for (wish, view, expected) in [
            (member(4, Some(3)), view(&[1, 2, 3], &four, &[1, 2, 4]), Ok(vote(&[1, 2, 4]))),
            // Of which it makes no difference how much was done before.
            (member(4, Some(3)), view(&four, &four, &[1, 2, 4]), Ok(vote(&[1, 2, 4]))),
            (member(4, Some(3)), view(&[1, 2, 4], &four, &four), Ok(Step::Change(Change::Drop(3)))),
            (member(4, Some(3)), view(&[1, 2, 4], &[1, 2, 4], &[1, 2, 4]), Ok(Step::Done)),
            (member(4, Some(1)), view(&[1, 2, 3], &four, &four), Ok(Step::HandOver { to: 2 })),
            (member(4, Some(4)), view(&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]), Err(Refusal::Itself { node: 4 })),
            (member(4, Some(9)), view(&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]), Err(Refusal::Unknown { node: 9 })),
            // The only node is replaced: both vote for a moment, then the new one leads.
            (member(2, Some(1)), view(&[1], &[1, 2], &[1, 2]), Ok(vote(&[1, 2]))),
            (member(2, Some(1)), view(&[1, 2], &[1, 2], &[1, 2]), Ok(Step::HandOver { to: 2 })),
        ] {
            assert_eq!(next_step(&wish, &view), expected, "{wish:?} {view:?}");
        }
    }

    #[test]
    fn a_node_goes_and_a_leader_hands_over_first() {
        let three = [1, 2, 3];
        for (wish, view, expected) in [
            (gone(3), view(&three, &three, &three), Ok(vote(&[1, 2]))),
            (gone(1), view(&three, &three, &[1, 3]), Err((vec![2, 3], vec![3], 2))),
            (gone(1), view(&three, &three, &three), Ok(Step::HandOver { to: 2 })),
            (gone(4), view(&three, &[1, 2, 3, 4], &three), Ok(Step::Change(Change::Drop(4)))),
            (gone(9), view(&three, &three, &three), Ok(Step::Done)),
            // The healthy one goes, and the dead one would be half of the rest.
            (gone(2), view(&three, &three, &[1, 2]), Err((vec![1, 3], vec![1], 2))),
            (gone(3), view(&three, &three, &[1, 2]), Ok(vote(&[1, 2]))),
        ] {
            let expected =
                expected.map_err(|(voters, healthy, needed)| Refusal::Unsafe { voters, healthy, needed });
            assert_eq!(next_step(&wish, &view), expected, "{wish:?} {view:?}");
        }
        assert_eq!(next_step(&gone(1), &view(&[1], &[1], &[1])), Err(Refusal::Last { node: 1 }));
        let forced = Wish::Gone { node: 2, force: true };
        assert_eq!(next_step(&forced, &view(&three, &three, &[1, 2])), Ok(vote(&[1, 3])));
    }

    #[test]
    fn an_id_belongs_to_one_folder_but_may_move() {
        let view = view(&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]);
        let at = |addr: &str, incarnation| {
            let peer = Peer { addr: addr.to_owned(), incarnation: Uuid::from_u128(incarnation) };
            Wish::Member { node: 3, peer, replaces: None, force: false }
        };
        let emptied = Err(Refusal::Known { node: 3, addr: "host:3".to_owned() });
        assert_eq!(next_step(&at("host:3", 33), &view), emptied);
        let moved = Peer { addr: "new:3".to_owned(), incarnation: Uuid::from_u128(3) };
        assert_eq!(next_step(&at("new:3", 3), &view), Ok(Step::Change(Change::Move(3, moved))));
    }
}

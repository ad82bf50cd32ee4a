//! Which requests of this node its peers have answered: the evidence that it leads.
//!
//! A read needs a majority that answered what was sent to it after the read had begun (read index; Ongaro, "Consensus:
//! Bridging Theory and Practice", 2014, section 6.4). openraft 0.10.0-alpha.37 cannot tell which of the requests under way
//! an answer is for, if several end at the same entry: it takes the answer to an entry for that to the news of a commit
//! that was sent behind it (`InflightAppendQueue::drain_acked`). A leader that got answers from before it was cut off and
//! deposed would confirm reads by them. So reads ask here as well, where each answer belongs to its request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::membership::is_quorum;
use super::types::{LeaderId, NodeId};

/// A place in the order in which requests are sent and reads begin; no clock that could be set or stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// The newest request that each peer has answered, and under which leadership it was sent.
type Answered = BTreeMap<NodeId, (LeaderId, Moment)>;

/// What the peers of this node have answered.
#[derive(Debug, Default)]
pub(super) struct Acks {
    moments: AtomicU64,
    answered: watch::Sender<Answered>,
}

impl Acks {
    /// Now: after every moment before.
    pub(super) fn now(&self) -> Moment {
        Moment(self.moments.fetch_add(1, Ordering::SeqCst))
    }

    /// A peer has answered what was sent to it at `sent`: it knew no later leader than `leader` then.
    pub(super) fn note(&self, peer: NodeId, leader: LeaderId, sent: Moment) {
        let newest = (leader, sent);
        self.answered.send_if_modified(|answered| {
            let known = answered.entry(peer).or_insert(newest);
            let is_news = *known <= newest;
            *known = newest.max(*known);
            is_news
        });
    }

    /// Follows what is answered.
    pub(super) fn follow(&self) -> watch::Receiver<Answered> {
        self.answered.subscribe()
    }
}

/// Whether `leader`, which is `own`, led after `since`: in each set of voters, most have answered what it sent to them later.
pub(super) fn confirm(
    answered: &Answered,
    (own, leader): (NodeId, LeaderId),
    since: Moment,
    configs: &[BTreeSet<NodeId>],
) -> bool {
    is_quorum(configs, |node| {
        node == own || answered.get(&node).is_some_and(|(to, sent)| *to == leader && *sent > since)
    })
}

#[cfg(test)]
mod tests {
    use super::super::types::Vote;
    use super::*;

    fn leader(term: u64) -> LeaderId {
        Vote::new_committed(term, 1).leader_id
    }

    fn voters(nodes: &[NodeId]) -> BTreeSet<NodeId> {
        nodes.iter().copied().collect()
    }

    fn confirmed(acks: &Acks, leader: LeaderId, since: Moment, configs: &[BTreeSet<NodeId>]) -> bool {
        confirm(&acks.follow().borrow(), (1, leader), since, configs)
    }

    #[test]
    fn most_must_have_answered_what_was_sent_later() {
        let acks = Acks::default();
        let (early, since, late) = (acks.now(), acks.now(), acks.now());
        let is_confirmed = || confirmed(&acks, leader(1), since, &[voters(&[1, 2, 3, 4, 5])]);
        acks.note(2, leader(1), late);
        acks.note(3, leader(1), early);
        assert!(!is_confirmed());
        acks.note(3, leader(1), late);
        assert!(is_confirmed());
        // An answer that was long under way takes nothing back.
        acks.note(3, leader(1), early);
        assert!(is_confirmed());
    }

    #[test]
    fn answers_to_another_leadership_of_the_same_node_confirm_nothing() {
        let acks = Acks::default();
        let (since, late) = (acks.now(), acks.now());
        acks.note(2, leader(2), late);
        acks.note(2, leader(1), acks.now());
        assert!(!confirmed(&acks, leader(1), since, &[voters(&[1, 2])]));
        assert!(confirmed(&acks, leader(2), since, &[voters(&[1, 2])]));
    }

    #[test]
    fn while_the_voters_change_both_sets_must_have_answered() {
        let acks = Acks::default();
        let (since, late) = (acks.now(), acks.now());
        let configs = [voters(&[1, 2, 3]), voters(&[1, 4, 5])];
        acks.note(2, leader(1), late);
        assert!(!confirmed(&acks, leader(1), since, &configs));
        acks.note(4, leader(1), late);
        assert!(confirmed(&acks, leader(1), since, &configs));
    }

    #[test]
    fn a_node_alone_needs_nobody() {
        let acks = Acks::default();
        assert!(confirmed(&acks, leader(1), acks.now(), &[voters(&[1])]));
    }
}

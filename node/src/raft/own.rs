//! Who this node is among its peers, and whether it still may be.
//!
//! A node is an id *and* an incarnation, which is drawn when its data folder is made. What a node has voted and acknowledged
//! is in that folder; one that comes back without it would vote twice and deny what it has acknowledged. So the membership
//! names the incarnation of every node, everybody who calls says which one is meant, and nobody answers for another.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use raftwork_kernel::mutants::mutant;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::types::NodeId;
use super::wire::Meet;

/// Who a node is.
#[derive(Debug)]
pub struct Own {
    /// Its id.
    pub node: NodeId,
    /// Which of all nodes that ever had this id.
    pub incarnation: Uuid,
    /// The nodes that found the cluster, in order; none if this node is to be added to one.
    pub founders: Vec<NodeId>,
    heard: Mutex<Instant>,
    barred: watch::Sender<Option<Barred>>,
}

/// Why a node must not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Barred {
    /// The cluster knows this id with another data folder.
    Emptied {
        /// This node.
        node: NodeId,
        /// The incarnation of its folder.
        own: Uuid,
        /// The one that the cluster knows.
        known: Uuid,
    },
    /// It is no member any more.
    Removed {
        /// This node.
        node: NodeId,
    },
}

impl fmt::Display for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Emptied { node, own, known } => write!(
                f,
                "the cluster knows node {node} with another data folder (incarnation {known}, this one is {own}): it was emptied \
                 or exchanged, and with it went what the node had voted and acknowledged. Put the old folder back; if it is \
                 lost, start this machine as a new node, with a new id and --join, and say: raftwork cluster replace {node} URL"
            ),
            Self::Removed { node } => write!(
                f,
                "node {node} was removed from the cluster, and its data folder is of no more use. To take this machine in again, \
                 start it with an empty folder and --join, and say: raftwork cluster add URL"
            ),
        }
    }
}

impl Own {
    /// Node `node`, as its data folder says.
    pub fn new(node: NodeId, incarnation: Uuid, founders: Vec<NodeId>) -> Self {
        let (heard, barred) = (Mutex::new(Instant::now()), watch::Sender::new(None));
        Self { node, incarnation, founders, heard, barred }
    }

    /// Resolves if this node must not go on.
    pub async fn barred(&self) -> Barred {
        let mut barred = self.barred.subscribe();
        let found = barred.wait_for(Option::is_some).await;
        found.expect("the sender is here").clone().expect("it was waited for")
    }

    /// From now on it must not.
    pub(super) fn bar(&self, reason: Barred) {
        self.barred.send_replace(Some(reason));
    }

    /// A leader has been heard.
    pub(super) fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// For how long none has been.
    pub(super) fn silence(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Why this node does not answer who says `meet`, given what it knows of the caller, if it does not.
    pub(super) fn refusal(&self, meet: &Meet, known: Option<Uuid>) -> Option<String> {
        let Meet { from, incarnation, meant } = meet;
        let node = self.node;
        if let Some(meant) = meant.filter(|meant| !is_same(*meant, self.incarnation)) {
            return Some(format!(
                "node {node} is meant with the data folder {meant}, but this one is {}: it was emptied or exchanged",
                self.incarnation
            ));
        }
        let other = known.filter(|known| !is_same(*known, *incarnation))?;
        Some(format!(
            "node {from} is known with the data folder {other}, and calls with {incarnation}: it was emptied or exchanged"
        ))
    }
}

/// Whether two incarnations are one node.
pub(super) fn is_same(one: Uuid, other: Uuid) -> bool {
    one == other || mutant("M16")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uuid(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn only_the_incarnation_that_is_meant_answers_and_only_to_the_one_that_is_known() {
        let own = Own::new(1, uuid(10), vec![1, 2]);
        for (meant, caller, known, refused) in [
            (Some(10), 20, Some(20), None),
            // Somebody whom this node has not heard of yet may be a member all the same.
            (Some(10), 20, None, None),
            (None, 20, Some(20), None),
            (Some(11), 20, Some(20), Some("node 1 is meant")),
            (Some(10), 21, Some(20), Some("node 2 is known")),
        ] {
            let meet = Meet { from: 2, incarnation: uuid(caller), meant: meant.map(uuid) };
            let text = own.refusal(&meet, known.map(uuid));
            assert_eq!(text.is_some(), refused.is_some(), "{meet:?}");
            assert!(text.unwrap_or_default().starts_with(refused.unwrap_or_default()), "{meet:?}");
        }
    }
}

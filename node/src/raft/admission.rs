//! How a node comes into a cluster, and how it learns that it is in it no more.
//!
//! A cluster is founded once, by the first of the nodes that its file names, as soon as it has reached all others and each
//! was as new as itself: the first membership names the incarnation of every one. All other new nodes wait until a leader
//! sends them what it has. So there is never a moment at which a node takes part that the membership does not know.
//!
//! A node that no leader speaks to asks the others what they know of it. Whoever was removed, or has lost its folder, finds
//! out by that; what decides is the newest membership that anybody knows to be committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::sleep;
use uuid::Uuid;

use super::dial::Dial;
use super::handle::{InitializeError, RaftHandle};
use super::image::LogIdImage;
use super::link::Link;
use super::own::{Barred, Own, is_same};
use super::transfer::Machine;
use super::types::{NodeId, Peer};
use super::wire::{self, Meet, Met};

/// Pause between two looks at a new node's surroundings.
const LOOK: Duration = Duration::from_millis(100);
/// Silence of all leaders after which a node asks what is known of it, and how often it does.
const SILENCE: Duration = Duration::from_secs(3);
/// Time for another node to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often somebody who waits says so.
const REMIND: Duration = Duration::from_secs(30);

/// Gives the members of the cluster that a new node is to be added to, and where they are, as far as they can be reached.
pub type Contacts = Arc<dyn Fn() -> BoxFuture<'static, BTreeMap<NodeId, String>> + Send + Sync>;

/// Whom a new node knows.
#[derive(Clone)]
pub struct Surroundings {
    /// The nodes that found the cluster, this one among them, and where each is reached.
    pub founders: BTreeMap<NodeId, String>,
    /// Where nodes are reached that are not reached where they say.
    pub routes: BTreeMap<NodeId, String>,
    /// Who else to ask, for a node that is to be added.
    pub contacts: Option<Contacts>,
}

/// Follows a node's place in its cluster.
pub(super) struct Admission<SM: Machine> {
    handle: RaftHandle<SM>,
    own: Arc<Own>,
    dialer: Arc<dyn Dial>,
    surroundings: Surroundings,
    reminded: Option<(tokio::time::Instant, String)>,
}

/// What a new node does next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Found the cluster with these.
    Found(BTreeMap<NodeId, Uuid>),
    /// Wait, for this.
    Wait(String),
    /// End.
    End(Barred),
}

impl<SM: Machine> Admission<SM> {
    pub(super) fn new(handle: RaftHandle<SM>, surroundings: Surroundings) -> Self {
        let (own, dialer) = (Arc::clone(handle.own()), handle.dialer());
        Self { handle, own, dialer, surroundings, reminded: None }
    }

    /// Runs until Raft ends, or this node must.
    pub(super) async fn run(mut self) {
        let entered = self.enter().await;
        let outcome = match entered {
            Ok(None) => self.watch_over().await,
            Ok(Some(barred)) => Some(barred),
            Err(error) => {
                tracing::debug!(%error, "raft has ended");
                None
            }
        };
        if let Some(barred) = outcome {
            self.own.bar(barred);
        }
    }

    /// Until this node has a membership.
    async fn enter(&mut self) -> Result<Option<Barred>, InitializeError> {
        while !self.handle.is_founded().await? {
            let contacts = match &self.surroundings.contacts {
                Some(ask) => ask().await,
                None => self.surroundings.founders.clone(),
            };
            let met = self.meet(contacts).await;
            match self.next(&met) {
                Next::Found(incarnations) => {
                    self.handle.initialize(self.members(&incarnations)).await?;
                    tracing::info!(nodes = ?incarnations.keys(), "founded the cluster");
                }
                Next::Wait(reason) => {
                    self.remind(reason);
                    sleep(LOOK).await;
                }
                Next::End(barred) => return Ok(Some(barred)),
            }
        }
        Ok(None)
    }

    fn members(&self, incarnations: &BTreeMap<NodeId, Uuid>) -> BTreeMap<NodeId, Peer> {
        let founders = self.surroundings.founders.iter();
        founders.map(|(id, addr)| (*id, Peer { addr: addr.clone(), incarnation: incarnations[id] })).collect()
    }

    /// What follows from what the others said.
    fn next(&self, met: &BTreeMap<NodeId, Met>) -> Next {
        let own = &self.own;
        if let Some(barred) = verdict(own, None, met) {
            return Next::End(barred);
        }
        if met.values().any(|met| met.you.is_some()) {
            return Next::Wait("the leader sends what the others have".to_owned());
        }
        if let Some((id, _)) = met.iter().find(|(_, met)| met.members_at.is_some()) {
            return Next::Wait(format!(
                "node {id} is in a cluster that does not know this node; add it: raftwork cluster add URL-OF-THIS-NODE"
            ));
        }
        let Some(first) = own.founders.first() else {
            return Next::Wait("no node of a cluster answers; see --join".to_owned());
        };
        if *first != own.node {
            return Next::Wait(format!("node {first} founds the cluster once it has reached all others"));
        }
        let others = own.founders.iter().filter(|id| **id != own.node);
        if let Some((id, _)) = met.iter().find(|(_, met)| met.founded) {
            return Next::Wait(format!(
                "node {id} is in a cluster already, whose members it does not know yet"
            ));
        }
        let away: Vec<_> = others.clone().filter(|id| !met.contains_key(id)).collect();
        if !away.is_empty() {
            return Next::Wait(format!("nodes {away:?} must be there, once, before the cluster is founded"));
        }
        if let Some(id) = others.clone().find(|id| met[id].founders != own.founders) {
            return Next::Wait(format!(
                "node {id} was started with another list of nodes: {:?}",
                met[id].founders
            ));
        }
        let incarnations = others.map(|id| (*id, met[id].incarnation)).chain([(own.node, own.incarnation)]);
        Next::Found(incarnations.collect())
    }

    fn remind(&mut self, reason: String) {
        let is_news =
            self.reminded.as_ref().is_none_or(|(at, said)| *said != reason || at.elapsed() > REMIND);
        if is_news {
            tracing::info!(node = self.own.node, "waiting: {reason}");
            self.reminded = Some((tokio::time::Instant::now(), reason));
        }
    }

    /// Until this node is no member any more; `None` if Raft ends first.
    async fn watch_over(&self) -> Option<Barred> {
        let raft = self.handle.raft();
        let mut ended = self.handle.leadership();
        loop {
            tokio::select! {
                biased;
                () = ended.ended() => return None,
                () = sleep(SILENCE) => {}
            }
            if self.own.silence() < SILENCE || self.handle.leads() {
                continue;
            }
            let (at, peers) = {
                let metrics = raft.metrics();
                let metrics = metrics.borrow_watched();
                let peers = metrics.membership_config.nodes().map(|(id, peer)| (*id, peer.addr.clone()));
                let at = metrics.committed_membership_config.log_id().as_ref().copied().map(LogIdImage::from);
                (at, peers.collect())
            };
            let met = self.meet(peers).await;
            if let Some(barred) = verdict(&self.own, at, &met) {
                return Some(barred);
            }
        }
    }

    /// Asks all of these but this node itself.
    async fn meet(&self, places: BTreeMap<NodeId, String>) -> BTreeMap<NodeId, Met> {
        let others = places.into_iter().filter(|(id, _)| *id != self.own.node);
        let asked = others.map(|(id, addr)| async move {
            let addr = self.surroundings.routes.get(&id).cloned().unwrap_or(addr);
            let link = Link::new(&self.own, id, None, addr, Arc::clone(&self.dialer));
            let question = Meet { from: self.own.node, incarnation: self.own.incarnation, meant: None };
            let met = link.ask_for::<Met>(wire::MEET, wire::encode(&question), PATIENCE).await;
            met.inspect_err(|error| tracing::debug!(node = id, %error, "no answer to who this node is"))
                .ok()
                .map(|met| (id, met))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// What the newest membership that anybody knows says of this node, which itself knows the one at `at`.
fn verdict(own: &Own, at: Option<LogIdImage>, met: &BTreeMap<NodeId, Met>) -> Option<Barred> {
    let newest = met.values().filter(|met| met.members_at > at).max_by_key(|met| met.members_at)?;
    match newest.you {
        Some(known) if is_same(known, own.incarnation) => None,
        Some(known) => Some(Barred::Emptied { node: own.node, own: own.incarnation, known }),
        // A new node may be added yet; one that was a member has been removed.
        None => at.map(|_| Barred::Removed { node: own.node }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Own {
        Own::new(3, Uuid::from_u128(30), vec![1, 2, 3])
    }

    fn at(index: u64) -> LogIdImage {
        LogIdImage { term: 1, node: 1, index }
    }

    fn met(members_at: Option<LogIdImage>, you: Option<u128>) -> Met {
        Met {
            incarnation: Uuid::from_u128(1),
            founded: members_at.is_some(),
            founders: vec![1, 2, 3],
            members_at,
            you: you.map(Uuid::from_u128),
        }
    }

    #[test]
    fn the_newest_committed_membership_decides() {
        let emptied = Barred::Emptied { node: 3, own: Uuid::from_u128(30), known: Uuid::from_u128(31) };
        let removed = Barred::Removed { node: 3 };
        for (at_own, said, expected) in [
            // A new node: unknown so far, known as itself, known as another.
            (None, vec![met(Some(at(5)), None)], None),
            (None, vec![met(Some(at(5)), Some(30))], None),
            (None, vec![met(Some(at(5)), Some(31))], Some(emptied)),
            (None, vec![met(Some(at(5)), Some(31)), met(Some(at(9)), Some(30))], None),
            // A member that has not heard of the last changes.
            (Some(at(5)), vec![met(Some(at(5)), None)], None),
            (Some(at(5)), vec![met(Some(at(4)), None)], None),
            (Some(at(5)), vec![met(Some(at(6)), None), met(Some(at(4)), Some(30))], Some(removed)),
            (Some(at(5)), vec![met(Some(at(6)), Some(30))], None),
            (Some(at(5)), vec![], None),
        ] {
            let said: BTreeMap<_, _> = (1..).zip(said).collect();
            assert_eq!(verdict(&own(), at_own, &said), expected, "{at_own:?} {said:?}");
        }
    }
}

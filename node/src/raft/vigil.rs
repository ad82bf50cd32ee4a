//! Notices that the leader's process is gone, long before its silence would tell.
//!
//! A process that dies closes its sockets at once, and from then on its machine refuses connections to its port. A follower
//! therefore keeps a connection to its leader on which nothing is said. When that ends and a new one is *refused*, the
//! follower asks the other voters to try for themselves. If a majority (itself included) is refused, no leader is there to
//! be disturbed, and the one among them that has most of the log stands for election without waiting for the lease to run
//! out. A leader that is merely slow, paused or unreachable refuses nobody; for it the timeouts of Raft remain.
//!
//! Safety never rests on this: elections are Raft's own, and no read relies on a lease.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openraft::async_runtime::watch::WatchReceiver;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::dial::Dial;
use super::image::{LogIdImage, VoteImage};
use super::leadership::LeadershipWatch;
use super::link::{Connection, Link};
use super::membership::is_quorum;
use super::own::Own;
use super::transfer::Machine;
use super::types::{NodeId, Peer, Raft, TransferRequest, Vote};
use super::wire;

/// Time for a connection to be refused. Where the process is gone but its machine is not, it takes a round trip.
const REFUSED_WITHIN: Duration = Duration::from_millis(200);
/// Time for another voter to find out the same, and to say so.
const ANSWER_WITHIN: Duration = Duration::from_millis(400);
/// Pause before a leader that could not be reached, but did not refuse, is dialled again. A dying process closes its
/// sockets one after the other.
const REDIAL: Duration = Duration::from_millis(25);
/// Longest pause before anything is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// What each follower with less of the log leaves to those before it: a few fsyncs and round trips.
const PRECEDENCE: Duration = Duration::from_millis(100);

/// Asks another voter whether the leader's machine refuses it, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IsGone {
    /// The leader's vote: a later leader is not meant.
    pub(super) leader: VoteImage,
    /// Who asks.
    pub(super) asker: NodeId,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Testimony {
    /// Whether it was refused.
    pub(super) gone: bool,
    /// The voter's last entry.
    pub(super) last: Option<LogIdImage>,
}

/// A follower's watch over its leader.
pub(super) struct Vigil<SM: Machine> {
    raft: Raft<SM>,
    me: Arc<Own>,
    dialer: Arc<dyn Dial>,
}

/// What a follower knows when it finds its leader gone.
struct Heir {
    own: NodeId,
    leader: Vote,
    last: Option<LogIdImage>,
    /// The sets of voters: one, or two while they change.
    configs: Vec<BTreeSet<NodeId>>,
    /// The other voters that may be asked, and where.
    others: Vec<(NodeId, Peer)>,
}

impl<SM: Machine> Vigil<SM> {
    pub(super) fn new(raft: Raft<SM>, me: Arc<Own>, dialer: Arc<dyn Dial>) -> Self {
        Self { raft, me, dialer }
    }

    /// Watches over one leader after the other, until Raft ends.
    pub(super) async fn run(self) {
        let mut watch = LeadershipWatch::new(self.raft.server_metrics());
        loop {
            let now = watch.now();
            let term = now.term;
            let Some((leader, peer)) = now.leader.filter(|(leader, _)| *leader != now.node) else {
                if !watch.changed().await {
                    return;
                }
                continue;
            };
            let another = async {
                while watch.changed().await {
                    let now = watch.now();
                    if now.term != term || now.leader.as_ref().map(|(id, _)| *id) != Some(leader) {
                        return true;
                    }
                }
                false
            };
            let go_on = tokio::select! {
                biased;
                go_on = another => go_on,
                never = self.watch_over(leader, &peer) => never,
            };
            if !go_on {
                return;
            }
        }
    }

    /// Goes on until somebody else leads.
    async fn watch_over(&self, leader: NodeId, peer: &Peer) -> ! {
        let mut pause = PRECEDENCE;
        loop {
            self.until_refused(leader, &peer.addr).await;
            if let Some(heir) = self.heir(leader).await {
                self.consult(&heir).await;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Holds a connection to the leader for as long as it can be held or made.
    async fn until_refused(&self, leader: NodeId, addr: &str) {
        let mut pause = REDIAL;
        loop {
            let began = Instant::now();
            if let Ok(stream) = self.dialer.dial(leader, addr).await {
                Connection::start(stream).ended().await;
                if began.elapsed() > PAUSE_MAX {
                    pause = REDIAL;
                }
            }
            if refuses(self.dialer.as_ref(), leader, addr).await {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// `None` if this node cannot stand, or follows somebody else by now.
    async fn heir(&self, leader: NodeId) -> Option<Heir> {
        let own = *self.raft.node_id();
        let state = self.raft.with_raft_state(|state| (*state.vote_ref(), state.log_ids.last().copied()));
        let (vote, last) = state.await.ok()?;
        if vote.leader_id.node_id != leader || !vote.committed {
            return None;
        }
        let watch = self.raft.server_metrics();
        let membership = watch.borrow_watched().membership_config.clone();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let others = membership.nodes().filter(|(id, _)| voters.contains(id) && ![own, leader].contains(id));
        let others = others.map(|(id, peer)| (*id, peer.clone())).collect();
        let configs = membership.get_joint_config().clone();
        let heir = Heir { own, leader: vote, last: last.map(Into::into), configs, others };
        voters.contains(&own).then_some(heir)
    }

    /// Asks the other voters; if a majority is refused too, stands for election, after those that have more of the log.
    async fn consult(&self, heir: &Heir) {
        let question = IsGone { leader: heir.leader.into(), asker: heir.own };
        let question = wire::encode(&question);
        let mut asked: FuturesUnordered<_> = heir
            .others
            .iter()
            .map(|(id, Peer { addr, incarnation })| {
                let meant = Some(*incarnation);
                let link = Link::new(&self.me, *id, meant, addr.clone(), Arc::clone(&self.dialer));
                let question = question.clone();
                async move {
                    let answer = link.ask_for::<Testimony>(wire::IS_GONE, question, ANSWER_WITHIN).await;
                    answer.ok().filter(|testimony| testimony.gone).map(|testimony| (*id, testimony.last))
                }
            })
            .collect();
        let mut agreed = vec![(heir.own, heir.last)];
        while let Some(answer) = asked.next().await {
            agreed.extend(answer);
            // Those who have not answered yet may be dead too; nobody waits for them.
            if heir.is_quorum(&agreed) {
                return self.succeed(heir, heir.precedence(&agreed)).await;
            }
        }
    }

    async fn succeed(&self, heir: &Heir, before: u32) {
        if before > 0 {
            sleep(PRECEDENCE * before).await;
        }
        tracing::info!(
            leader = heir.leader.leader_id.node_id,
            "the leader's process is gone; standing for election"
        );
        // In the leader's place: had it had the time, it would have asked for this. It is refused if another leads by now.
        let request = TransferRequest::new(heir.leader, heir.own, None);
        if let Err(error) = self.raft.handle_transfer_leader(request).await {
            tracing::debug!(%error, "raft has stopped");
        }
    }
}

impl Heir {
    fn is_quorum(&self, agreed: &[(NodeId, Option<LogIdImage>)]) -> bool {
        is_quorum(&self.configs, |voter| agreed.iter().any(|(id, _)| *id == voter))
    }

    /// How many of those who agree have more of the log, or as much and a higher id, which wins between candidates.
    fn precedence(&self, agreed: &[(NodeId, Option<LogIdImage>)]) -> u32 {
        let before = agreed.iter().filter(|(id, last)| (*last, *id) > (self.last, self.own)).count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }
}

/// Answers [`IsGone`] by trying. A voter that is refused stops believing in its leader's lease.
pub(super) async fn testify<SM: Machine>(
    raft: &Raft<SM>,
    dialer: &dyn Dial,
    question: IsGone,
) -> wire::Answer<Testimony> {
    let leader = Vote::from(question.leader);
    let state = raft.with_raft_state(|state| (*state.vote_ref(), state.log_ids.last().copied()));
    let (vote, last) = state.await.map_err(|error| error.to_string())?;
    let last = last.map(Into::into);
    let still_here = Testimony { gone: false, last };
    let id = leader.leader_id.node_id;
    if vote != leader || id == *raft.node_id() {
        return Ok(still_here);
    }
    let addr = {
        let watch = raft.server_metrics();
        let metrics = watch.borrow_watched();
        metrics.membership_config.nodes().find(|(known, _)| **known == id).map(|(_, peer)| peer.addr.clone())
    };
    let Some(addr) = addr else { return Ok(still_here) };
    if !refuses(dialer, id, &addr).await {
        return Ok(still_here);
    }
    let request = TransferRequest::new(leader, question.asker, None);
    let accepted = raft.handle_transfer_leader(request).await.map_err(|error| error.to_string())?;
    Ok(Testimony { gone: accepted.is_ok(), last })
}

async fn refuses(dialer: &dyn Dial, target: NodeId, addr: &str) -> bool {
    timeout(REFUSED_WITHIN, dialer.refuses(target, addr)).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heir(configs: &[&[NodeId]], last: u64) -> Heir {
        let configs = configs.iter().map(|config| config.iter().copied().collect()).collect();
        Heir { own: 2, leader: Vote::new_committed(1, 1), last: Some(at(last)), configs, others: Vec::new() }
    }

    fn at(index: u64) -> LogIdImage {
        LogIdImage { term: 1, node: 1, index }
    }

    #[test]
    fn a_majority_of_each_set_of_voters_must_agree() {
        for (configs, agreed, is_quorum) in [
            (&[&[1, 2, 3][..]][..], &[2][..], false),
            (&[&[1, 2, 3]], &[2, 3], true),
            (&[&[1, 2, 3, 4, 5]], &[2, 3], false),
            (&[&[1, 2, 3], &[2, 3, 4, 5, 6]], &[2, 3], false),
            (&[&[1, 2, 3], &[2, 3, 4, 5, 6]], &[2, 3, 4], true),
            // A learner's word counts for nothing.
            (&[&[1, 2, 3]], &[2, 9], false),
        ] {
            let agreed: Vec<_> = agreed.iter().map(|id| (*id, Some(at(7)))).collect();
            assert_eq!(heir(configs, 7).is_quorum(&agreed), is_quorum, "{configs:?} {agreed:?}");
        }
    }

    #[test]
    fn more_of_the_log_goes_first_and_then_the_higher_id() {
        let heir = heir(&[&[1, 2, 3]], 7);
        for (other, last, before) in [(3, 7, 1), (3, 6, 0), (1, 7, 0), (1, 8, 1)] {
            assert_eq!(
                heir.precedence(&[(2, Some(at(7))), (other, Some(at(last)))]),
                before,
                "node {other} at {last}"
            );
        }
    }
}

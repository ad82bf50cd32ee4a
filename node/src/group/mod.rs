//! One Raft group on this node: proposals, reads, what is applied, and the dispatcher.
//!
//! A node has one group today. Nothing outside the router may assume so: more groups, by task id, are the way past what
//! one leader can do.

pub(crate) mod clock;
pub mod members;
mod proposals;
mod reign;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use raftwork_api::cluster::{ClusterInfo, DigestInfo, NodeInfo};
use raftwork_kernel::mutants::mutant;
use raftwork_kernel::{
    Accepted, Command, Event, LogTime, MapId, PayloadId, Record, Reply, StorePart, TaskId, Token,
};
use tokio::sync::Semaphore;

pub(crate) use self::clock::wall_time;
pub use self::proposals::ProposalCounters;
pub(crate) use self::proposals::{Coalescer, Proposal, Proposals, Queue};
pub(crate) use self::reign::{Members, Reign, ReignSeed};
pub use self::watch::Watch;
use self::watch::Watchers;
use crate::dispatch::{Dispatcher, Timings};
use crate::raft::handle::{Begun, ProposeError, RaftStatus, ReadIndexError, Role};
use crate::raft::state_machine::{Observer, StateMachine};
use crate::raft::{RaftHandle, RaftLeadership};
use crate::replica::Replica;
use crate::schedule::{Changed, Scheduler};

/// Raft over our state machine.
pub(crate) type RaftNode = RaftHandle<StateMachine>;

/// Where the leader is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderAt {
    /// Its id.
    pub id: u64,
    /// Its base URL.
    pub url: String,
}

/// Who leads, as this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// This node, and everything before its reign is applied.
    Leader,
    /// Another node, or nobody that this one knows of.
    Follower {
        /// The other node.
        leader: Option<LeaderAt>,
    },
}

/// Why the group cannot serve a request now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Another node leads; nothing was done.
    #[error("this node does not lead; the leader is node {}", leader.id)]
    NotLeader {
        /// Which one.
        leader: LeaderAt,
    },
    /// No leader is known; nothing was done.
    #[error("the cluster has no leader at the moment")]
    NoLeader,
    /// Too much waits; nothing was done.
    #[error("the cluster is busy")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// It is not known whether it was done: repeat it under the same ids.
    #[error("the outcome is unknown: {reason}")]
    Unknown {
        /// Why.
        reason: String,
    },
    /// The node stops.
    #[error("the node is stopping")]
    Stopping,
}

impl Unavailable {
    /// Base URL of the leader, where it is known.
    pub fn leader_url(&self) -> Option<String> {
        match self {
            Self::NotLeader { leader } => Some(leader.url.clone()),
            Self::NoLeader | Self::Busy { .. } | Self::Unknown { .. } | Self::Stopping => None,
        }
    }
}

/// One group on this node; a clone is another handle on it.
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
}

struct Inner {
    cluster: String,
    /// Where this node says that it is reached.
    url: String,
    raft: RaftNode,
    replica: Replica,
    reign: Reign,
    proposals: Proposals,
    dispatcher: Dispatcher,
    watchers: Arc<Watchers>,
    counters: Arc<ProposalCounters>,
    queued_max: usize,
    /// Held by whoever changes the membership.
    changing: Arc<Semaphore>,
}

/// What a group can be told.
#[derive(Debug, Clone, Copy)]
pub struct GroupSettings {
    /// The rhythm of leases.
    pub timings: Timings,
    /// Live tasks above which submits are turned away.
    pub queued_max: usize,
}

/// The parts of a group that must exist before Raft runs, because the state machine calls on them.
pub(crate) struct GroupSeed {
    replica: Replica,
    reign: Reign,
    reign_seed: ReignSeed,
    proposals: Proposals,
    queue: Queue,
    dispatcher: Dispatcher,
    beats: crate::dispatch::Beats,
    watchers: Arc<Watchers>,
    schedules: Arc<Changed>,
    settings: GroupSettings,
}

impl GroupSeed {
    pub(crate) fn new(replica: Replica, settings: GroupSettings) -> Self {
        let (reign, reign_seed) = Reign::new();
        let (proposals, queue) = Proposals::new();
        let (dispatcher, beats) =
            Dispatcher::new(replica.clone(), proposals.clone(), reign.clone(), settings.timings);
        let watchers = Arc::<Watchers>::default();
        let schedules = Arc::<Changed>::default();
        Self {
            replica,
            reign,
            reign_seed,
            proposals,
            queue,
            dispatcher,
            beats,
            watchers,
            schedules,
            settings,
        }
    }

    /// Whom the state machine tells of what it applied.
    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(GroupObserver {
            replica: self.replica.clone(),
            reign: self.reign.clone(),
            dispatcher: self.dispatcher.clone(),
            watchers: Arc::clone(&self.watchers),
            schedules: Arc::clone(&self.schedules),
        })
    }

    /// Starts the group's tasks in the current runtime.
    pub(crate) fn start(self, cluster: &str, url: String, raft: RaftNode) -> Group {
        let counters = Arc::<ProposalCounters>::default();
        let coalescer = Coalescer {
            queue: self.queue,
            raft: raft.clone(),
            reign: self.reign.clone(),
            dispatcher: self.dispatcher.clone(),
            counters: Arc::clone(&counters),
        };
        let linearizer = Linearizer { raft: raft.clone() };
        let scheduler = Scheduler {
            replica: self.replica.clone(),
            proposals: self.proposals.clone(),
            reign: self.reign.clone(),
            changed: self.schedules,
        };
        tokio::spawn(coalescer.run());
        tokio::spawn(scheduler.run());
        tokio::spawn(self.dispatcher.clone().run_beats(self.beats, linearizer));
        tokio::spawn(self.dispatcher.clone().run_housekeeping());
        tokio::spawn(self.reign_seed.keeper(raft.clone(), self.replica.clone()).run(self.dispatcher.clone()));
        let inner = Inner {
            cluster: cluster.to_owned(),
            url,
            raft,
            replica: self.replica,
            reign: self.reign,
            proposals: self.proposals,
            dispatcher: self.dispatcher,
            watchers: self.watchers,
            counters,
            queued_max: self.settings.queued_max,
            changing: Arc::new(Semaphore::new(1)),
        };
        let group = Group { inner: Arc::new(inner) };
        tokio::spawn(group.clone().tend_members());
        group
    }
}

/// Tells the rest of the group what the state machine applied.
struct GroupObserver {
    replica: Replica,
    reign: Reign,
    dispatcher: Dispatcher,
    watchers: Arc<Watchers>,
    schedules: Arc<Changed>,
}

impl Observer for GroupObserver {
    fn applied(&self, events: &[Event]) {
        self.watchers.notify(events);
        self.schedules.note(events);
        if self.reign.leads() {
            self.dispatcher.observe(events);
        }
    }

    fn replaced(&self) {
        self.watchers.recheck(&self.replica);
    }
}

/// Confirms that this node leads.
#[derive(Clone)]
pub(crate) struct Linearizer {
    raft: RaftNode,
}

impl Linearizer {
    /// A quorum confirms, in a round that begins now, that this node leads, and everything committed by then is applied.
    pub(crate) async fn linearize(&self) -> Result<(), Unavailable> {
        self.raft.read_index().await.map(drop).map_err(|error| match error {
            ReadIndexError::NotLeader { leader } => not_leader(leader),
            ReadIndexError::NoQuorum(_) => Unavailable::NoLeader,
            ReadIndexError::Stopped(_) => Unavailable::Stopping,
        })
    }
}

impl Group {
    /// Who leads, as this node knows.
    pub fn leadership(&self) -> Leadership {
        self.inner.reign.leadership()
    }

    /// Whether this node leads, as far as it knows.
    pub fn leads(&self) -> bool {
        self.inner.reign.leads()
    }

    /// What Raft itself says of the leadership, confirmed or not.
    pub fn raft_leadership(&self) -> RaftLeadership {
        self.inner.raft.leadership().now()
    }

    /// The same as [`Group::leadership`], after waiting up to `patience` for an election that is under way.
    pub async fn settled_leadership(&self, patience: Duration) -> Leadership {
        self.inner.reign.settled(patience).await
    }

    /// Proposes commands: when it is `Ok`, they are durable on a majority and applied here, and each has its reply.
    ///
    /// # Errors
    /// When this node does not lead, too much waits, or no majority answers in time.
    pub async fn propose(&self, commands: Vec<Command>) -> Result<Vec<Reply>, Unavailable> {
        let adds_load = commands.iter().any(|command| {
            matches!(
                command,
                Command::Submit(_)
                    | Command::SubmitUnder(_)
                    | Command::Register(_)
                    | Command::Redrive(_)
                    | Command::Store(_)
                    | Command::Map(_)
                    | Command::PutSchedule(_)
                    | Command::Trigger(_)
                    // Of arguments: the parts of a result take load away.
                    | Command::StorePart(StorePart { of: PayloadId { token: Token(0), .. }, .. })
            )
        });
        if !adds_load {
            return self.inner.proposals.propose(commands).await;
        }
        if self.inner.replica.live_len() >= self.inner.queued_max {
            return Err(Unavailable::Busy { retry_after: Duration::from_secs(5) });
        }
        if mutant("M18") {
            let early = commands.iter().map(|_| Ok(Accepted::Submitted { created: 0 })).collect();
            let proposals = self.inner.proposals.clone();
            tokio::spawn(async move { proposals.try_propose(commands).await });
            return Ok(early);
        }
        self.inner.proposals.try_propose(commands).await
    }

    /// A barrier for linearizable reads; concurrent calls share one round.
    ///
    /// # Errors
    /// When this node does not lead, or cannot confirm that it does.
    pub async fn linearize(&self) -> Result<(), Unavailable> {
        if mutant("M4") {
            return Ok(());
        }
        self.inner.reign.check()?;
        Linearizer { raft: self.inner.raft.clone() }.linearize().await
    }

    /// What this node has applied.
    pub fn replica(&self) -> &Replica {
        &self.inner.replica
    }

    /// The log time now, if this node leads; the last one applied otherwise.
    pub fn log_time(&self) -> LogTime {
        self.inner.reign.clock().map_or_else(|| self.inner.replica.log_time(), |clock| clock.now())
    }

    /// The leader's soft state about workers.
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.inner.dispatcher
    }

    /// Watches tasks until they end.
    pub fn watch(&self) -> Watch {
        Watch::new(self.inner.replica.clone(), Arc::clone(&self.inner.watchers))
    }

    /// Waits until the task's record is applied on this node; `None` at the deadline, or if there is no such task here.
    pub async fn finished(&self, task: TaskId, deadline: tokio::time::Instant) -> Option<Record> {
        let mut watch = self.watch();
        watch.add(&[task]);
        let ended = tokio::time::timeout_at(deadline, watch.next()).await.ok()?;
        ended.into_iter().next().and_then(|(_, record)| record)
    }

    /// Where the nodes are, and where they will be.
    pub(crate) fn members(&self) -> Members {
        self.inner.reign.members()
    }

    /// Waits until all items of the map have ended on this node, or the deadline, or at once if there is no such map here.
    pub async fn map_finished(&self, map: MapId, deadline: tokio::time::Instant) {
        let mut watch = self.watch();
        watch.add_map(map);
        let _ = tokio::time::timeout_at(deadline, watch.next()).await;
    }

    /// What Raft says about itself.
    pub fn status(&self) -> RaftStatus {
        self.inner.raft.status()
    }

    /// Counts of proposals.
    pub fn proposal_counters(&self) -> &ProposalCounters {
        &self.inner.counters
    }

    /// This node's own view of the cluster.
    pub fn info(&self) -> ClusterInfo {
        let status = self.status();
        let tasks = self.inner.replica.counts();
        let tasks =
            tasks.iter().map(|(status, count)| (format!("{status:?}").to_lowercase(), *count)).collect();
        ClusterInfo {
            cluster: self.inner.cluster.clone(),
            node: status.node,
            url: self.inner.url.clone(),
            incarnation: self.inner.raft.own().incarnation.to_string(),
            joined: status.joined,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            leader: status.leader,
            term: status.term,
            last_log: status.last.unwrap_or(0),
            committed: status.committed.unwrap_or(0),
            applied: status.applied.unwrap_or(0),
            snapshot: status.snapshot.unwrap_or(0),
            purged: status.purged.unwrap_or(0),
            nodes: nodes(&status),
            tasks,
        }
    }

    /// A digest over everything applied. Blocks; reads every row.
    pub fn digest(&self) -> DigestInfo {
        let (progress, digest) = self.inner.replica.rows().digest();
        DigestInfo {
            node: self.status().node,
            applied: progress.applied.map_or(0, |position| position.index),
            digest: digest.to_hex().to_string(),
        }
    }

    /// Before a stop: if this node leads, another one takes over first.
    ///
    /// # Errors
    /// As [`Group::transfer`].
    pub async fn hand_over(&self) -> Result<(), Unavailable> {
        if self.leads() { self.transfer(None).await } else { Ok(()) }
    }

    /// Hands leadership to `to`, or to the voter that has most of the log, and waits until this node leads no more.
    ///
    /// # Errors
    /// When this node does not lead, or nobody took over in time.
    pub async fn transfer(&self, to: Option<u64>) -> Result<(), Unavailable> {
        const PATIENCE: Duration = Duration::from_secs(5);
        self.inner.reign.check()?;
        let status = self.status();
        let Some(to) = to.or_else(|| successor(&status)).filter(|to| *to != status.node) else {
            return Ok(());
        };
        self.inner.raft.transfer_leader(to).await.map_err(|_| Unavailable::Stopping)?;
        tokio::time::timeout(PATIENCE, self.inner.reign.ended()).await.map_err(|_| Unavailable::Unknown {
            reason: format!("node {to} did not take over within {PATIENCE:?}"),
        })
    }
}

impl RaftNode {
    /// Waits for the outcome of an entry that was begun; the errors are the group's.
    pub(crate) async fn commit(begun: Result<Begun, ProposeError>) -> Result<Vec<Reply>, Unavailable> {
        let outcome = async { begun?.outcome().await }.await;
        outcome.map(|proposed| proposed.replies.0).map_err(|error| match error {
            ProposeError::NotLeader { leader } => not_leader(leader),
            ProposeError::Unknown { .. } => Unavailable::Unknown { reason: error.to_string() },
            ProposeError::Stopped(_) => Unavailable::Stopping,
        })
    }
}

fn not_leader(leader: Option<(u64, crate::raft::types::Peer)>) -> Unavailable {
    leader.map_or(Unavailable::NoLeader, |(id, peer)| {
        let url = format!("http://{}", peer.addr);
        Unavailable::NotLeader { leader: LeaderAt { id, url } }
    })
}

/// The voter, other than this node, that has most of the log, and answers if any does.
fn successor(status: &RaftStatus) -> Option<u64> {
    let others = status.replicated.iter().filter(|(id, _)| **id != status.node && status.voters.contains(id));
    others.max_by_key(|(id, matched)| (members::answers(status, **id), **matched)).map(|(id, _)| *id)
}

fn nodes(status: &RaftStatus) -> Vec<NodeInfo> {
    let lags: BTreeMap<u64, u64> = status
        .replicated
        .iter()
        .map(|(id, matched)| (*id, status.last.unwrap_or(0).saturating_sub(matched.unwrap_or(0))))
        .collect();
    let role = |id: u64| match (status.leader == Some(id), status.voters.contains(&id)) {
        (true, _) => "leader",
        (false, true) => "follower",
        (false, false) => "learner",
    };
    let node = |(id, peer): (&u64, &crate::raft::types::Peer)| NodeInfo {
        id: *id,
        url: format!("http://{}", peer.addr),
        role: role(*id).to_owned(),
        lag: if status.role == Role::Leader { lags.get(id).copied() } else { None },
        answers: (status.role == Role::Leader).then(|| members::answers(status, *id)),
        incarnation: peer.incarnation.to_string(),
    };
    status.peers.iter().map(node).collect()
}

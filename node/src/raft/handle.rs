//! Raft as the rest of the node sees it: propose, confirm a read, follow what happens.
//!
//! No type of openraft goes out of here but behind a short name; errors are the operation's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, LinearizerOption, ServerState};
use raftwork_kernel::mutants::mutant;
use tokio::time::timeout;

use super::acks::{Acks, Moment, confirm};
use super::admission::{Admission, Surroundings};
use super::brevity;
use super::dial::Dial;
use super::leadership::LeadershipWatch;
use super::log_store::LogStore;
use super::network::Network;
use super::own::Own;
use super::settings::RaftSettings;
use super::transfer::Machine;
use super::types::{
    EntryBytes, Forward, LeaderId, Metrics, MetricsWatch, NodeId, Peer, Raft, ReadError, ReadRefusal,
    Replies, Responder, StartError, StartRefusal, WriteRefusal, Written,
};
use super::vigil::Vigil;

/// A running Raft node; a clone is another handle on it.
pub struct RaftHandle<SM: Machine> {
    raft: Raft<SM>,
    own: Arc<Own>,
    dialer: Arc<dyn Dial>,
    acks: Arc<Acks>,
    /// How long a read waits for a majority to confirm the leader.
    read_patience: Duration,
}

/// Why Raft could not be started.
#[derive(Debug, thiserror::Error)]
pub enum OpenRaftError {
    /// The settings contradict one another.
    #[error("the settings of Raft are not valid: {0}")]
    Settings(#[from] openraft::ConfigError),
    /// What is stored cannot be read, or contradicts itself.
    #[error("raft cannot start: {0}")]
    Fatal(String),
}

/// An entry that was committed and applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// Its index in the log.
    pub index: u64,
    /// The answers to its commands.
    pub replies: Replies,
}

/// An entry that Raft was given, and that has no outcome yet.
pub struct Begun(Written);

impl Begun {
    /// Waits until the entry is durable on a majority and applied here, or will not be as far as is known.
    pub async fn outcome(self) -> Result<Proposed, ProposeError> {
        match self.0.await {
            Ok(Ok(written)) => Ok(Proposed { index: written.log_id.index, replies: written.data }),
            Ok(Err(refusal)) => Err(refused(refusal)),
            Err(_) => Err(ProposeError::Stopped("it gave no answer".to_owned())),
        }
    }
}

/// Why a proposal was not carried out, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads; nothing happened.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, if it is known.
        leader: Option<(NodeId, Peer)>,
    },
    /// Leadership was lost while the entry was under way: it may be committed yet, or never.
    #[error("leadership was lost before the outcome was known")]
    Unknown {
        /// Who leads now, if it is known.
        leader: Option<(NodeId, Peer)>,
    },
    /// Raft has stopped; the outcome is not known.
    #[error("raft has stopped: {0}")]
    Stopped(String),
}

/// Why a read cannot be answered from this node's state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadIndexError {
    /// Another node leads.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, if it is known.
        leader: Option<(NodeId, Peer)>,
    },
    /// No majority confirmed in time that this node still leads.
    #[error("no majority of the nodes answers: {0}")]
    NoQuorum(String),
    /// Raft has stopped.
    #[error("raft has stopped: {0}")]
    Stopped(String),
}

/// Why the membership was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Another node leads; nothing happened, or the first half of it.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, if it is known.
        leader: Option<(NodeId, Peer)>,
    },
    /// Leadership was lost while the change was under way.
    #[error("leadership was lost before the outcome of the change was known")]
    Unknown,
    /// Another change is under way, or the leader has committed nothing yet, or the membership is another by now.
    #[error("not now: {0}")]
    NotNow(String),
    /// Raft has stopped.
    #[error("raft has stopped: {0}")]
    Stopped(String),
}

/// Why a cluster was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitializeError {
    /// This node is not among the members.
    #[error("node {node} is not among the members {members:?}")]
    NotMember {
        /// This node.
        node: NodeId,
        /// Those that were given.
        members: Vec<NodeId>,
    },
    /// Raft has stopped.
    #[error("raft has stopped: {0}")]
    Stopped(String),
}

/// What a node is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It listens, and has no vote.
    Learner,
    /// It follows a leader, or looks for one.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
    /// It has stopped.
    Stopped,
}

/// What Raft says about itself, in plain values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftStatus {
    /// This node.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// The leader that it knows.
    pub leader: Option<NodeId>,
    /// The term that it is in.
    pub term: u64,
    /// Index of its last entry.
    pub last: Option<u64>,
    /// Index up to which it knows the log to be committed.
    pub committed: Option<u64>,
    /// Index up to which it has applied.
    pub applied: Option<u64>,
    /// Index that its last snapshot covers.
    pub snapshot: Option<u64>,
    /// Index up to which its log was purged.
    pub purged: Option<u64>,
    /// Leader only: when each node last answered.
    pub heard: BTreeMap<NodeId, Instant>,
    /// Who votes.
    pub voters: Vec<NodeId>,
    /// The sets of voters: one, or two while they change; none on a node that is new.
    pub configs: Vec<BTreeSet<NodeId>>,
    /// Whether the membership is committed.
    pub members_settled: bool,
    /// Whether this node has ever seen a committed membership.
    pub joined: bool,
    /// Who listens.
    pub learners: Vec<NodeId>,
    /// Where each of them is reached.
    pub peers: BTreeMap<NodeId, Peer>,
    /// Leader only: up to where each node has the log.
    pub replicated: BTreeMap<NodeId, Option<u64>>,
    /// Why Raft has stopped, if it has.
    pub stopped: Option<String>,
}

impl<SM: Machine> Clone for RaftHandle<SM> {
    fn clone(&self) -> Self {
        let (raft, own, dialer) = (self.raft.clone(), Arc::clone(&self.own), Arc::clone(&self.dialer));
        Self { raft, own, dialer, acks: Arc::clone(&self.acks), read_patience: self.read_patience }
    }
}

impl<SM: Machine> RaftHandle<SM> {
    /// Reads what is stored, re-applies what was committed, and starts. Runs on the runtime that it is called on.
    pub async fn start(
        cluster: &str,
        settings: &RaftSettings,
        network: Network<SM::SnapshotData>,
        log: LogStore,
        state_machine: SM,
    ) -> Result<Self, OpenRaftError> {
        let config = settings.config(cluster)?;
        let (own, dialer, acks) = (network.own(), network.dialer(), network.acks());
        let log_size = log.size();
        let raft = Raft::new(own.node, config, network, log, state_machine).await;
        let raft = raft.map_err(|error| OpenRaftError::Fatal(error.to_string()))?;
        tokio::spawn(Vigil::new(raft.clone(), Arc::clone(&own), Arc::clone(&dialer)).run());
        tokio::spawn(brevity::keep_short(raft.clone(), log_size, settings.clone()));
        Ok(Self { raft, own, dialer, acks, read_patience: settings.election_max * 2 })
    }

    /// Who this node is.
    pub fn own(&self) -> &Arc<Own> {
        &self.own
    }

    /// Brings this node into its cluster, and follows its place there; [`Own::barred`] tells how that ends.
    pub fn enter(&self, surroundings: Surroundings) {
        tokio::spawn(Admission::new(self.clone(), surroundings).run());
    }

    /// Whether this node has ever been part of a cluster.
    pub(super) async fn is_founded(&self) -> Result<bool, InitializeError> {
        let founded = self.raft.is_initialized().await;
        founded.map_err(|fatal| InitializeError::Stopped(fatal.to_string()))
    }

    /// Whether this node leads, as Raft says.
    pub(super) fn leads(&self) -> bool {
        self.raft.server_metrics().borrow_watched().state == ServerState::Leader
    }

    /// What makes connections to peers.
    pub(super) fn dialer(&self) -> Arc<dyn Dial> {
        Arc::clone(&self.dialer)
    }

    /// openraft's own handle, for the server side of the network.
    pub fn raft(&self) -> &Raft<SM> {
        &self.raft
    }

    /// Makes the first membership of a new cluster. One node does so, and the others hear of it.
    ///
    /// Does nothing on a node that has ever been part of a cluster.
    pub async fn initialize(&self, members: BTreeMap<NodeId, Peer>) -> Result<(), InitializeError> {
        let ids = members.keys().copied().collect();
        match self.raft.initialize(members).await {
            // "Not allowed" is openraft's word for "has been done".
            Ok(()) | Err(StartError::APIError(StartRefusal::NotAllowed(_))) => Ok(()),
            Err(StartError::APIError(StartRefusal::NotInMembers(_))) => {
                Err(InitializeError::NotMember { node: *self.raft.node_id(), members: ids })
            }
            Err(StartError::Fatal(fatal)) => Err(InitializeError::Stopped(fatal.to_string())),
        }
    }

    /// Puts an entry into the log, and waits until it is durable on a majority and applied here.
    pub async fn propose(&self, entry: EntryBytes) -> Result<Proposed, ProposeError> {
        self.begin(entry).await?.outcome().await
    }

    /// Hands an entry to Raft, and does not wait for the outcome. Whoever begins one entry after the other finds them in
    /// this order in the log.
    pub async fn begin(&self, entry: EntryBytes) -> Result<Begun, ProposeError> {
        let (responder, answer) = Responder::complete_only();
        match self.raft.client_write_ff(entry, Some(responder)).await {
            Ok(()) => Ok(Begun(answer)),
            Err(fatal) => Err(ProposeError::Stopped(fatal.to_string())),
        }
    }

    /// Confirms with a majority that this node leads *now*, and waits until everything committed by then is applied here.
    ///
    /// A read of the state after it is linearizable. Concurrent calls share one round. Gives the index.
    pub async fn read_index(&self) -> Result<u64, ReadIndexError> {
        let fresh = if mutant("M5") { None } else { Some(Duration::ZERO) };
        let option = LinearizerOption::new(fresh, fresh.is_some()).with_wait_timeout(self.read_patience);
        let begun = self.acks.now();
        let linearizer = self.raft.get_read_linearizer(option).await.map_err(unconfirmed)?;
        if fresh.is_some() {
            let led = self.led_after(begun, *linearizer.read_log_id().committed_leader_id());
            let none = |_| ReadIndexError::NoQuorum("answers came to older requests only".to_owned());
            timeout(self.read_patience, led).await.map_err(none)??;
        }
        let ready = linearizer.await_ready(&self.raft).await;
        let ready = ready.map_err(|fatal| ReadIndexError::Stopped(fatal.to_string()))?;
        Ok(ready.read_log_id().index())
    }

    /// Waits until a majority has answered what it was sent under this leadership after `begun`: mostly, it has.
    async fn led_after(&self, begun: Moment, leader: LeaderId) -> Result<(), ReadIndexError> {
        let (mut server, mut answers) = (self.raft.server_metrics(), self.acks.follow());
        loop {
            {
                let metrics = server.borrow_and_update();
                if metrics.vote.leader_id > leader {
                    drop(metrics);
                    return Err(ReadIndexError::NotLeader { leader: self.leader() });
                }
                let configs = metrics.membership_config.membership().get_joint_config();
                if confirm(&answers.borrow_and_update(), (self.own.node, leader), begun, configs) {
                    return Ok(());
                }
            }
            let ended = tokio::select! {
                answered = answers.changed() => answered.is_err(),
                changed = server.changed() => changed.is_err(),
            };
            if ended {
                return Err(ReadIndexError::Stopped("it confirms nothing".to_owned()));
            }
        }
    }

    /// The leader that this node knows, and where it is reached.
    pub fn leader(&self) -> Option<(NodeId, Peer)> {
        let watch = self.raft.metrics();
        let metrics = watch.borrow_watched();
        let leader = metrics.current_leader?;
        let peer = metrics.membership_config.nodes().find(|(id, _)| **id == leader)?.1.clone();
        Some((leader, peer))
    }

    /// What Raft says about itself.
    pub fn status(&self) -> RaftStatus {
        status(&self.raft.metrics().borrow_watched())
    }

    /// Follows who leads; far cheaper than [`RaftHandle::watch`].
    pub fn leadership(&self) -> LeadershipWatch {
        LeadershipWatch::new(self.raft.server_metrics())
    }

    /// Follows [`RaftHandle::status`], which changes several times with every entry.
    pub fn watch(&self) -> StatusWatch {
        StatusWatch { metrics: self.raft.metrics() }
    }

    /// Asks `successor` to lead, when it has everything. Returns at once; follow [`RaftHandle::watch`] to see it happen.
    pub async fn transfer_leader(&self, successor: NodeId) -> Result<(), ProposeError> {
        let asked = self.raft.trigger().transfer_leader(successor).await;
        asked.map_err(|fatal| ProposeError::Stopped(fatal.to_string()))
    }

    /// Asks for a snapshot now.
    pub async fn snapshot(&self) -> Result<(), ProposeError> {
        self.raft.trigger().snapshot().await.map_err(|fatal| ProposeError::Stopped(fatal.to_string()))
    }

    /// Waits until the state of before the last stop is applied again, and thus may be shown.
    pub async fn recovered(&self, patience: Duration) -> bool {
        self.raft.wait_for_recovery(Some(patience)).await.is_ok()
    }

    /// Resolves, with the reason, when Raft has died under a process that goes on. The process must then end: it would
    /// answer nothing for ever, and hold its place.
    pub async fn died(&self) -> String {
        self.leadership().ended().await;
        self.status().stopped.unwrap_or_else(|| "its tasks are gone".to_owned())
    }

    /// Stops Raft. What is committed stays committed.
    pub async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "raft did not end well");
        }
    }
}

/// Follows a node's [`RaftStatus`].
#[derive(Clone)]
pub struct StatusWatch {
    metrics: MetricsWatch,
}

impl StatusWatch {
    /// The status now.
    pub fn now(&mut self) -> RaftStatus {
        status(&self.metrics.borrow_and_update())
    }

    /// Waits until it is another than [`StatusWatch::now`] last gave; false if there will be none.
    pub async fn changed(&mut self) -> bool {
        self.metrics.changed().await.is_ok()
    }

    /// Waits until `wanted` holds; `None` if Raft ends first.
    pub async fn until(&mut self, wanted: impl Fn(&RaftStatus) -> bool) -> Option<RaftStatus> {
        loop {
            let status = self.now();
            if wanted(&status) {
                return Some(status);
            }
            if !self.changed().await {
                return None;
            }
        }
    }
}

fn status(metrics: &Metrics) -> RaftStatus {
    let membership = &metrics.membership_config;
    let voters: Vec<NodeId> = membership.voter_ids().collect();
    let index = |id: &Option<super::types::LogId>| id.as_ref().map(|id| id.index);
    RaftStatus {
        node: metrics.id,
        role: role(metrics.state),
        leader: metrics.current_leader,
        term: metrics.current_term,
        last: metrics.last_log_index,
        committed: index(&metrics.local_committed),
        applied: index(&metrics.last_applied),
        snapshot: index(&metrics.snapshot),
        purged: index(&metrics.purged),
        heard: heard(metrics),
        configs: membership.get_joint_config().clone(),
        members_settled: membership.log_id() == metrics.committed_membership_config.log_id(),
        joined: metrics.committed_membership_config.log_id().is_some(),
        learners: membership.nodes().map(|(id, _)| *id).filter(|id| !voters.contains(id)).collect(),
        peers: membership.nodes().map(|(id, peer)| (*id, peer.clone())).collect(),
        replicated: replicated(metrics),
        voters,
        stopped: metrics.running_state.as_ref().err().map(ToString::to_string),
    }
}

fn replicated(metrics: &Metrics) -> BTreeMap<NodeId, Option<u64>> {
    let progress = metrics.replication.iter().flatten();
    progress.map(|(id, matched)| (*id, matched.as_ref().map(|id| id.index))).collect()
}

fn heard(metrics: &Metrics) -> BTreeMap<NodeId, Instant> {
    let now = Instant::now();
    let heard = metrics.heartbeat.iter().flatten();
    heard.filter_map(|(id, at)| Some((*id, now.checked_sub(at.as_ref()?.elapsed())?))).collect()
}

pub(super) fn role(state: ServerState) -> Role {
    match state {
        ServerState::Learner => Role::Learner,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Leader => Role::Leader,
        ServerState::Shutdown => Role::Stopped,
    }
}

fn unconfirmed(error: ReadError) -> ReadIndexError {
    match error {
        ReadError::APIError(ReadRefusal::ForwardToLeader(forward)) => {
            ReadIndexError::NotLeader { leader: leader_of(forward) }
        }
        ReadError::APIError(ReadRefusal::QuorumNotEnough(error)) => {
            ReadIndexError::NoQuorum(error.to_string())
        }
        ReadError::Fatal(fatal) => ReadIndexError::Stopped(fatal.to_string()),
    }
}

fn refused(refusal: WriteRefusal) -> ProposeError {
    match refusal {
        WriteRefusal::ForwardToLeader(forward) => ProposeError::NotLeader { leader: leader_of(forward) },
        WriteRefusal::LogEntryDiscarded(forward) => ProposeError::Unknown { leader: leader_of(forward) },
        // Only changes of membership and conditional writes are refused so; a proposal is neither.
        refusal @ (WriteRefusal::ChangeMembershipError(_) | WriteRefusal::PreconditionFailed(_)) => {
            ProposeError::Stopped(refusal.to_string())
        }
    }
}

/// Who leads instead.
pub(super) fn leader_of(forward: Forward) -> Option<(NodeId, Peer)> {
    forward.leader_id.zip(forward.leader_node)
}

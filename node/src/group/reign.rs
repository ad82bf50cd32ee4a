//! Whether this node leads, as the group sees it: only once a read barrier has shown that everything before is applied.

use std::sync::Arc;
use std::time::Duration;

use raftwork_kernel::LogTime;
use raftwork_kernel::mutants::mutant;
use tokio::sync::watch;

use super::clock::LogClock;
use super::{LeaderAt, Leadership, Unavailable};
use crate::dispatch::Dispatcher;
use crate::group::RaftNode;
use crate::raft::handle::Role;
use crate::raft::{LeadershipWatch, RaftLeadership};
use crate::replica::Replica;

/// How long to wait before a barrier that failed is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// What is known of the leadership now.
#[derive(Clone)]
enum State {
    Leading(Arc<LogClock>),
    Following(Option<LeaderAt>),
}

/// Base URLs of the nodes.
pub(crate) type Members = watch::Receiver<Vec<String>>;

/// Follows the leadership; a clone is another handle on it.
#[derive(Clone)]
pub(crate) struct Reign {
    state: watch::Receiver<State>,
    members: Members,
}

/// Changes what [`Reign`] shows.
pub(crate) struct ReignKeeper {
    state: watch::Sender<State>,
    members: watch::Sender<Vec<String>>,
    raft: RaftNode,
    replica: Replica,
}

/// The keeper's half before Raft is running.
pub(crate) struct ReignSeed(watch::Sender<State>, watch::Sender<Vec<String>>);

impl Reign {
    pub(crate) fn new() -> (Self, ReignSeed) {
        let (sender, state) = watch::channel(State::Following(None));
        let (told, members) = watch::channel(Vec::new());
        (Self { state, members }, ReignSeed(sender, told))
    }

    pub(crate) fn leadership(&self) -> Leadership {
        match &*self.state.borrow() {
            State::Leading(_) => Leadership::Leader,
            State::Following(leader) => Leadership::Follower { leader: leader.clone() },
        }
    }

    pub(crate) fn leads(&self) -> bool {
        matches!(*self.state.borrow(), State::Leading(_))
    }

    /// Where the nodes are, and where they will be.
    pub(crate) fn members(&self) -> Members {
        self.members.clone()
    }

    /// The leader's clock, while this node leads.
    pub(crate) fn clock(&self) -> Option<Arc<LogClock>> {
        match &*self.state.borrow() {
            State::Leading(clock) => Some(Arc::clone(clock)),
            State::Following(_) => None,
        }
    }

    /// # Errors
    /// When this node does not lead.
    pub(crate) fn check(&self) -> Result<(), Unavailable> {
        if self.leads() { Ok(()) } else { Err(self.unavailable()) }
    }

    /// What to say to somebody who needs the leader.
    pub(crate) fn unavailable(&self) -> Unavailable {
        match self.leadership() {
            Leadership::Leader => Unavailable::Unknown { reason: "leadership changed meanwhile".to_owned() },
            Leadership::Follower { leader: Some(leader) } => Unavailable::NotLeader { leader },
            Leadership::Follower { leader: None } => Unavailable::NoLeader,
        }
    }

    /// The leadership, after waiting up to `patience` for an election that is under way.
    pub(crate) async fn settled(&self, patience: Duration) -> Leadership {
        let mut state = self.state.clone();
        let known = state.wait_for(|state| !matches!(state, State::Following(None)));
        let _ = tokio::time::timeout(patience, known).await;
        self.leadership()
    }

    /// Waits until this node leads. `false`: the node stops.
    pub(crate) async fn begun(&self) -> bool {
        let mut state = self.state.clone();
        state.wait_for(|state| matches!(state, State::Leading(_))).await.is_ok()
    }

    /// Resolves when this node does not lead.
    pub(crate) async fn ended(&self) {
        let mut state = self.state.clone();
        // An error means that the node stops, which ends its reign too.
        let _ = state.wait_for(|state| matches!(state, State::Following(_))).await;
    }
}

impl ReignSeed {
    pub(crate) fn keeper(self, raft: RaftNode, replica: Replica) -> ReignKeeper {
        ReignKeeper { state: self.0, members: self.1, raft, replica }
    }
}

impl ReignKeeper {
    /// Follows Raft until it ends.
    pub(crate) async fn run(self, dispatcher: Dispatcher) {
        let mut watch = self.raft.leadership();
        let mut reigning = None;
        loop {
            let now = watch.now();
            self.tell_members(&now);
            let leads = now.role == Role::Leader;
            if reigning.is_some_and(|term| !leads || term != now.term) {
                self.end(&dispatcher, &now);
                reigning = None;
            }
            if leads && reigning.is_none() {
                reigning = self.begin(&dispatcher, now.term, &mut watch).await;
                continue;
            }
            if !leads {
                self.follow(&now);
            }
            if !watch.changed().await {
                return self.end(&dispatcher, &now);
            }
        }
    }

    /// The state must hold everything that earlier leaders committed before its leases and its time are believed.
    async fn begin(&self, dispatcher: &Dispatcher, term: u64, watch: &mut LeadershipWatch) -> Option<u64> {
        if let Err(error) = self.raft.read_index().await {
            tracing::debug!(%error, term, "elected, but not yet confirmed");
            tokio::time::sleep(RETRY).await;
            return None;
        }
        if watch.now().term != term {
            return None;
        }
        dispatcher.reign_begins();
        let clock =
            Arc::new(LogClock::starting_at(if mutant("M24") { LogTime(0) } else { self.replica.log_time() }));
        self.state.send_replace(State::Leading(clock));
        tracing::info!(term, "this node leads");
        Some(term)
    }

    fn end(&self, dispatcher: &Dispatcher, now: &RaftLeadership) {
        let leader = leader_at(now);
        self.state.send_replace(State::Following(leader.clone()));
        dispatcher.reign_ends(leader.as_ref().map(|leader| leader.url.as_str()));
        tracing::info!(term = now.term, "this node leads no more");
    }

    fn tell_members(&self, now: &RaftLeadership) {
        let urls: Vec<String> = now.members.iter().map(|(_, peer)| format!("http://{}", peer.addr)).collect();
        self.members.send_if_modified(|members| {
            let changed = *members != urls;
            *members = urls;
            changed
        });
    }

    fn follow(&self, now: &RaftLeadership) {
        let leader = leader_at(now);
        self.state.send_if_modified(|state| {
            let changed = !matches!(state, State::Following(known) if *known == leader);
            if changed {
                *state = State::Following(leader);
            }
            changed
        });
    }
}

/// The leader that Raft knows; a node that has just lost its own leadership knows none.
fn leader_at(now: &RaftLeadership) -> Option<LeaderAt> {
    let (id, peer) = now.leader.as_ref().filter(|(leader, _)| *leader != now.node)?;
    Some(LeaderAt { id: *id, url: format!("http://{}", peer.addr) })
}

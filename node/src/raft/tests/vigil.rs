//! A leader's process that is gone is missed at once; one that merely says nothing has its time.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::dial::{Dial, DialError, HttpDialer, PeerStream};
use super::super::handle::Role;
use super::super::settings::RaftSettings;
use super::super::types::NodeId;
use super::cluster::{Cluster, PATIENCE};

/// Elections so slow that none happens in a test, unless somebody knows better than to wait.
pub(super) fn patient() -> RaftSettings {
    RaftSettings {
        heartbeat: Duration::from_secs(1),
        election_min: Duration::from_mins(2),
        election_max: Duration::from_mins(4),
        ..RaftSettings::default()
    }
}

/// Counts how often it was tried whether somebody is gone.
#[derive(Debug, Clone)]
pub(super) struct Probes(watch::Sender<usize>);

impl Default for Probes {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Probes {
    /// Waits for so many more.
    async fn more(&self, count: usize) {
        let mut seen = self.0.subscribe();
        let wanted = *seen.borrow_and_update() + count;
        timeout(PATIENCE, seen.wait_for(|seen| *seen >= wanted)).await.unwrap().unwrap();
    }
}

/// Dials as the daemon does, and counts probes.
#[derive(Debug)]
pub(super) struct ProbingDialer {
    dialer: HttpDialer,
    probes: Probes,
}

impl ProbingDialer {
    pub(super) fn new(cluster: &str, probes: Probes) -> Self {
        Self { dialer: HttpDialer::new(cluster.to_owned(), None).unwrap(), probes }
    }
}

impl Dial for ProbingDialer {
    fn dial<'a>(&'a self, target: NodeId, addr: &'a str) -> BoxFuture<'a, Result<PeerStream, DialError>> {
        self.dialer.dial(target, addr)
    }

    fn refuses<'a>(&'a self, target: NodeId, addr: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let refused = self.dialer.refuses(target, addr).await;
            self.probes.0.send_modify(|count| *count += 1);
            refused
        })
    }
}

/// A cluster that has a leader: one that waits for an election waits for minutes.
async fn start(size: u64) -> (Cluster, NodeId) {
    let cluster = Cluster::start_by_one(size, patient()).await;
    cluster.propose("first").await;
    let (leader, _) = cluster.leader().await;
    (cluster, leader)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_port_refuses_is_replaced_at_once() {
    for size in [3, 5] {
        let (mut cluster, old) = start(size).await;
        cluster.stop(old).await;
        let (new, heir) = timeout(PATIENCE, cluster.leader()).await.expect("elected before the time-out");
        assert_ne!(new, old);
        assert_eq!(heir.raft.status().role, Role::Leader);
        cluster.propose("second").await;
        cluster.agree_on(&["first".into(), "second".into()]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_hangs_up_and_still_listens_keeps_its_time() {
    let (mut cluster, old) = start(3).await;
    let term = cluster.nodes[&old].raft.status().term;
    cluster.numb(old).await;
    cluster.probes.more(10).await;
    for (id, node) in cluster.nodes.iter().filter(|(id, _)| **id != old) {
        let status = node.raft.status();
        assert_eq!((status.term, status.leader), (term, Some(old)), "node {id} did not wait");
    }
}

/// One of four others is no majority of five: the rest is gone too, and nobody may lead.
#[tokio::test(flavor = "multi_thread")]
async fn a_minority_that_finds_the_leader_gone_does_not_lead() {
    let (mut cluster, old) = start(5).await;
    let term = cluster.nodes[&old].raft.status().term;
    let survivors: Vec<NodeId> = cluster.nodes.keys().copied().filter(|id| *id != old).take(2).collect();
    let gone: Vec<NodeId> = cluster.nodes.keys().copied().filter(|id| !survivors.contains(id)).collect();
    for id in gone.into_iter().filter(|id| *id != old) {
        cluster.stop(id).await;
    }
    cluster.stop(old).await;
    cluster.probes.more(6).await;
    for id in survivors {
        let status = cluster.nodes[&id].raft.status();
        assert_eq!((status.term, status.leader), (term, Some(old)), "node {id} did not wait");
    }
}

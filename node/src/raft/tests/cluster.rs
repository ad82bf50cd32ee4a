//! Nodes in one process that talk over real sockets, with the upgrade that the daemon's port performs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use raftwork_api::frame::{PROTOCOL, STREAM_PATH};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::super::handle::{ProposeError, RaftHandle, RaftStatus, Role};
use super::super::hello::Hello;
use super::super::log_store::LogStore;
use super::super::network::{Network, NetworkSettings};
use super::super::own::Own;
use super::super::server::PeerServer;
use super::super::settings::RaftSettings;
use super::super::types::{EntryBytes, NodeId, Peer};
use super::gate::{GatedDialer, Gates};
use super::machine::Machine;
use super::vigil::{Probes, ProbingDialer};
use crate::store::log::{Log, Witness};

/// Longest wait for anything that must happen.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
const CLUSTER: &str = "test";

/// A node that runs.
pub(super) struct Node {
    pub(super) raft: RaftHandle<Machine>,
    pub(super) machine: Machine,
    pub(super) log: Log,
    server: JoinHandle<()>,
}

/// Nodes, running or not, each with a folder and a port of its own.
pub(super) struct Cluster {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    folders: BTreeMap<NodeId, TempDir>,
    pub(super) members: BTreeMap<NodeId, Peer>,
    settings: RaftSettings,
    /// How often anybody tried whether another is gone.
    pub(super) probes: Probes,
    /// What nodes ask one another, and are answered.
    pub(super) gates: Gates,
}

impl Cluster {
    /// Starts `size` nodes; each makes the first membership, all at once.
    pub(super) async fn start(size: u64, settings: RaftSettings) -> Self {
        let cluster = Self::start_empty(size, settings).await;
        let started = cluster.nodes.values().map(|node| node.raft.initialize(cluster.members.clone()));
        futures::future::try_join_all(started).await.unwrap();
        cluster
    }

    /// Starts `size` nodes; one makes the first membership, and nobody stands against it: it leads, however long elections
    /// take.
    pub(super) async fn start_by_one(size: u64, settings: RaftSettings) -> Self {
        let cluster = Self::start_empty(size, settings).await;
        cluster.nodes[&1].raft.initialize(cluster.members.clone()).await.unwrap();
        cluster
    }

    /// Starts `size` nodes that know nobody.
    pub(super) async fn start_empty(size: u64, settings: RaftSettings) -> Self {
        let mut listeners = BTreeMap::new();
        let mut members = BTreeMap::new();
        for id in 1..=size {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap().to_string();
            members.insert(id, Peer { addr, incarnation: incarnation(id) });
            listeners.insert(id, listener);
        }
        let folders = members.keys().map(|id| (*id, tempfile::tempdir().unwrap())).collect();
        let (nodes, probes, gates) = (BTreeMap::new(), Probes::default(), Gates::default());
        let mut cluster = Self { nodes, folders, members, settings, probes, gates };
        for (id, listener) in listeners {
            cluster.run(id, listener, Machine::default(), None).await;
        }
        cluster
    }

    async fn run(&mut self, id: NodeId, listener: TcpListener, machine: Machine, applied: Option<u64>) {
        let folder = self.folders[&id].path();
        let log = open_log(&folder.join("log"), applied).await;
        let network = NetworkSettings {
            routes: BTreeMap::new(),
            own: Arc::new(Own::new(id, incarnation(id), self.members.keys().copied().collect())),
            cluster: CLUSTER.to_owned(),
            token: None,
            append_timeout: self.settings.append_timeout(),
        };
        let dialer = ProbingDialer::new(CLUSTER, self.probes.clone());
        let dialer = GatedDialer::new(id, dialer, self.gates.clone());
        let network = Network::over(network, Arc::new(dialer));
        let store = LogStore::new(log.clone());
        let raft = RaftHandle::start(CLUSTER, &self.settings, network, store, machine.clone()).await.unwrap();
        let peers = PeerServer::new(&raft, folder.join("snap"));
        let hello = Hello { cluster: CLUSTER.to_owned(), target: id };
        let server = tokio::spawn(serve(listener, Arc::new((peers, hello))));
        self.nodes.insert(id, Node { raft, machine, log, server });
    }

    /// Ends a node: it answers nobody from now on. Gives what its state machine holds.
    pub(super) async fn stop(&mut self, id: NodeId) -> Machine {
        let node = self.nodes.remove(&id).unwrap();
        node.server.abort();
        node.raft.shutdown().await;
        node.machine
    }

    /// Ends a node's Raft and all its connections, but lets its port listen on, as that of a paused process does.
    pub(super) async fn numb(&mut self, id: NodeId) {
        self.nodes[&id].raft.shutdown().await;
    }

    /// Starts a stopped node on its folder and port, with a state machine that had applied up to `applied`.
    pub(super) async fn restart(&mut self, id: NodeId, machine: Machine, applied: Option<u64>) {
        let addr: SocketAddr = self.members[&id].addr.parse().unwrap();
        let listener = until("the port is free again", || TcpListener::bind(addr)).await;
        self.run(id, listener, machine, applied).await;
    }

    /// Waits until a node leads and every running node says so, and gives it.
    pub(super) async fn leader(&self) -> (NodeId, &Node) {
        let found = until("all agree on who leads", || async {
            let status: Vec<RaftStatus> = self.nodes.values().map(|node| node.raft.status()).collect();
            let leader = status.iter().find(|status| status.role == Role::Leader).map(|status| status.node);
            let agreed = leader.filter(|id| status.iter().all(|status| status.leader == Some(*id)));
            agreed.ok_or(status)
        });
        let id = found.await;
        (id, &self.nodes[&id])
    }

    /// Proposes at whoever leads until it is accepted. A repetition may apply it twice.
    pub(super) async fn propose(&self, entry: impl Into<Bytes>) -> u64 {
        let entry = EntryBytes(entry.into());
        until("an entry is accepted", || async {
            let (_, leader) = self.leader().await;
            leader.raft.propose(entry.clone()).await.map(|proposed| proposed.index)
        })
        .await
    }

    /// Waits until every running node has applied exactly `entries`.
    pub(super) async fn agree_on(&self, entries: &[Bytes]) {
        for (id, node) in &self.nodes {
            let mut watch = node.raft.watch();
            let agreed = watch.until(|_| node.machine.entries().len() >= entries.len());
            let agreed = timeout(PATIENCE, agreed).await;
            assert!(agreed.is_ok(), "node {id} is at {:?}", node.raft.status());
            assert!(node.machine.entries() == entries, "node {id} holds something else");
        }
    }
}

/// Repeats an attempt until it succeeds; the tests' only wait that is not for an event.
pub(super) async fn until<T, E: std::fmt::Debug, F>(what: &str, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < end, "{what}: {error:?}"),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// The last tasks of a stopped node may hold its log a moment longer.
async fn open_log(dir: &Path, applied: Option<u64>) -> Log {
    let witness = Witness { applied, existed: applied.is_some() };
    until("the log opens", || async {
        let opened = Log::open(dir, witness);
        if let Err(error) = &opened {
            assert!(!error.is_damage(), "{error}");
        }
        opened
    })
    .await
}

/// A port like the daemon's, for peers alone.
async fn serve(listener: TcpListener, node: Arc<(PeerServer<Machine>, Hello)>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let node = Arc::clone(&node);
        let answer =
            service_fn(move |request| std::future::ready(Ok::<_, Infallible>(upgrade(&node, request))));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        // A caller that goes away is part of the tests.
        tokio::spawn(async move { drop(connection.with_upgrades().await) });
    }
}

/// What the daemon's port does with a peer.
fn upgrade(
    node: &Arc<(PeerServer<Machine>, Hello)>,
    mut request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    assert_eq!(request.uri().path(), STREAM_PATH);
    if let Err(error) = node.1.check(request.headers()) {
        let mut refusal = Response::new(Full::from(error.to_string()));
        *refusal.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        return refusal;
    }
    let node = Arc::clone(node);
    tokio::spawn(async move {
        let stream = hyper::upgrade::on(&mut request).await.unwrap();
        // A peer that is stopped in the middle of a frame is part of the tests, too.
        drop(node.0.serve(TokioIo::new(stream)).await);
    });
    let mut accepted = Response::new(Full::default());
    *accepted.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    accepted.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    accepted.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
    accepted
}

/// Times that a busy machine keeps, for tests that want one leader to stay.
fn calm() -> RaftSettings {
    RaftSettings {
        heartbeat: Duration::from_millis(500),
        election_min: Duration::from_secs(2),
        election_max: Duration::from_secs(4),
        ..RaftSettings::default()
    }
}

/// The incarnation of a node, as long as nothing is done to its folder.
pub(super) fn incarnation(id: NodeId) -> Uuid {
    Uuid::from_u128(id.into())
}

fn numbered(count: usize) -> Vec<Bytes> {
    (0..count).map(|number| Bytes::from(format!("entry {number}"))).collect()
}

/// Many proposals at once: each is answered with an index of its own, in the order of the log, and all nodes apply the same.
#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_apply_the_same_entries() {
    let cluster = Cluster::start(3, calm()).await;
    let (_, leader) = cluster.leader().await;
    let entries = numbered(500);
    // At whoever leads: on a loaded machine another election may fall into the burst.
    let indexes = futures::future::join_all(entries.iter().map(|entry| cluster.propose(entry.clone()))).await;
    let mut order: Vec<(u64, Bytes)> = indexes.into_iter().zip(entries).collect();
    order.sort();
    assert!(order.windows(2).all(|pair| pair[0].0 < pair[1].0));
    cluster.agree_on(&order.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>()).await;
    assert!(leader.log.counters().fsyncs() < leader.log.counters().records());
}

/// Many at once, none waited for before the next: the log has them in the order in which they were begun.
#[tokio::test(flavor = "multi_thread")]
async fn entries_that_are_begun_in_order_are_in_the_log_in_order() {
    let cluster = Cluster::start(1, calm()).await;
    let (_, leader) = cluster.leader().await;
    let entries = numbered(500);
    let mut begun = Vec::new();
    for entry in &entries {
        begun.push(leader.raft.begin(EntryBytes(entry.clone())).await.unwrap());
    }
    for begun in begun {
        begun.outcome().await.unwrap();
    }
    assert_eq!(leader.machine.entries(), entries);
}

/// Requests of megabytes, several in flight.
#[tokio::test(flavor = "multi_thread")]
async fn large_entries_get_through() {
    let cluster = Cluster::start(3, calm()).await;
    let (_, leader) = cluster.leader().await;
    let entries: Vec<Bytes> = (0..20u8).map(|number| Bytes::from(vec![number; 1 << 20])).collect();
    for entry in &entries {
        leader.raft.propose(EntryBytes(entry.clone())).await.unwrap();
    }
    cluster.agree_on(&entries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_names_the_leader() {
    let cluster = Cluster::start(3, calm()).await;
    let (leader, _) = cluster.leader().await;
    let (_, follower) = cluster.nodes.iter().find(|(id, _)| **id != leader).unwrap();
    let mut watch = follower.raft.watch();
    timeout(PATIENCE, watch.until(|status| status.leader == Some(leader))).await.unwrap().unwrap();
    let refused = follower.raft.propose(EntryBytes(Bytes::from_static(b"x"))).await;
    let named = Some((leader, cluster.members[&leader].clone()));
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: named.clone() }));
    assert_eq!(follower.raft.leader(), named);
    assert!(follower.raft.read_index().await.is_err());
}

/// A read that was confirmed sees every write that was answered before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_read_sees_what_was_written() {
    let cluster = Cluster::start(3, calm()).await;
    for entry in numbered(20) {
        let index = cluster.propose(entry.clone()).await;
        let (_, leader) = cluster.leader().await;
        assert!(leader.raft.read_index().await.unwrap() >= index);
        assert_eq!(leader.machine.entries().last(), Some(&entry));
    }
}

/// A leader that nobody hears must not confirm a read.
#[tokio::test(flavor = "multi_thread")]
async fn a_lone_leader_confirms_nothing() {
    let mut cluster = Cluster::start(3, calm()).await;
    cluster.propose("x").await;
    let (leader, _) = cluster.leader().await;
    let others: Vec<NodeId> = cluster.nodes.keys().copied().filter(|id| *id != leader).collect();
    for id in others {
        cluster.stop(id).await;
    }
    let refused = timeout(PATIENCE, cluster.nodes[&leader].raft.read_index()).await.unwrap();
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over() {
    let cluster = Cluster::start(3, calm()).await;
    cluster.propose("before").await;
    let (old, leader) = cluster.leader().await;
    let successor = if old == 1 { 2 } else { 1 };
    let mut watch = cluster.nodes[&successor].raft.watch();
    let asked = Instant::now();
    leader.raft.transfer_leader(successor).await.unwrap();
    timeout(PATIENCE, watch.until(|status| status.role == Role::Leader)).await.unwrap().unwrap();
    // An election takes longer than its shortest time; a hand-over does not wait for it.
    assert!(asked.elapsed() < calm().election_min, "{:?}", asked.elapsed());
    cluster.propose("after").await;
    cluster.agree_on(&["before".into(), "after".into()]).await;
}

/// One node alone is a cluster too, and starting it again changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_node_is_a_majority() {
    let cluster = Cluster::start(1, RaftSettings::default()).await;
    cluster.propose("x").await;
    let node = &cluster.nodes[&1];
    node.raft.initialize(cluster.members.clone()).await.unwrap();
    let RaftStatus { voters, learners, leader, stopped, .. } = node.raft.status();
    assert_eq!((voters, learners, leader, stopped), (vec![1], vec![], Some(1), None));
    assert!(node.raft.read_index().await.is_ok());
    cluster.agree_on(&["x".into()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_learns_that_raft_ended() {
    let cluster = Cluster::start(1, RaftSettings::default()).await;
    let raft = cluster.nodes[&1].raft.clone();
    let watching = tokio::spawn(async move { raft.died().await });
    cluster.nodes[&1].raft.shutdown().await;
    let reason = timeout(PATIENCE, watching).await.unwrap().unwrap();
    assert!(!reason.is_empty());
    let refused = cluster.nodes[&1].raft.propose(EntryBytes(Bytes::new())).await;
    assert!(matches!(refused, Err(ProposeError::Stopped(_))), "{refused:?}");
}

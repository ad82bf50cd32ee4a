//! The connection to a peer that is not what it should be.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use super::super::dial::{DialError, HttpDialer};
use super::super::link::{Link, LinkError};
use super::super::own::Own;
use super::super::server::append_alone;
use super::super::settings::RaftSettings;
use super::super::types::{AppendRequest, Vote};
use super::super::wire::{self, Appended, Voted};
use super::cluster::{Cluster, PATIENCE, incarnation, until};

const SHORT: Duration = Duration::from_millis(50);

fn link(cluster: &str, target: u64, addr: String) -> Link {
    link_of(&Own::new(9, incarnation(9), Vec::new()), cluster, target, incarnation(target), addr)
}

fn link_of(own: &Own, cluster: &str, target: u64, meant: Uuid, addr: String) -> Link {
    let dialer = Arc::new(HttpDialer::new(cluster.to_owned(), None).unwrap());
    Link::new(own, target, Some(meant), addr, dialer)
}

fn heartbeat() -> AppendRequest {
    AppendRequest {
        vote: Vote::new_committed(1, 9),
        prev_log_id: None,
        entries: Vec::new(),
        leader_commit: None,
    }
}

async fn ask(link: &Link, patience: Duration) -> Result<Voted, LinkError> {
    link.ask_for(wire::VOTE, Bytes::new(), patience).await
}

/// A peer that upgrades every connection and then says nothing; gives its address and the number of its connections.
async fn silent_peer() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(upgrade_and_fall_silent(stream));
        }
    });
    (addr, accepted)
}

async fn upgrade_and_fall_silent(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: raftwork/1\r\n\r\n";
    stream.write_all(answer).await.unwrap();
    while stream.read_u8().await.is_ok() {}
}

/// One missed answer may be a slow disk; after two the connection is made anew.
#[tokio::test]
async fn a_silent_connection_is_dropped_after_two_misses() {
    let (addr, accepted) = silent_peer().await;
    let link = link("test", 1, addr);
    for connections in [1, 1, 2, 2, 3] {
        let error = ask(&link, SHORT).await.unwrap_err();
        assert!(matches!(error, LinkError::Timeout { .. }), "{error}");
        assert_eq!(accepted.load(Ordering::SeqCst), connections);
    }
}

/// Who waits on a connection that ends is told at once, not when its patience ends.
#[tokio::test]
async fn a_lost_connection_is_noticed_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = link("test", 1, listener.local_addr().unwrap().to_string());
    let peer = tokio::spawn(async move {
        let upgraded = upgrade_and_fall_silent(listener.accept().await.unwrap().0);
        // Long enough for the upgrade, far shorter than the patience below.
        let _ = timeout(Duration::from_secs(1), upgraded).await;
    });
    let error = timeout(PATIENCE / 2, ask(&link, PATIENCE))
        .await
        .expect("told before its patience ends")
        .unwrap_err();
    assert!(matches!(error, LinkError::Lost { .. }), "{error}");
    peer.await.unwrap();
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error_that_names_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = ask(&link("test", 1, addr.clone()), PATIENCE).await.unwrap_err().to_string();
    assert!(error.contains(&addr) && error.contains("refused"), "{error}");
}

/// A node refuses who means another node or another cluster, and says who it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_refuses_who_means_another() {
    let cluster = Cluster::start(1, RaftSettings::default()).await;
    cluster.propose("x").await;
    let addr = cluster.nodes[&1].raft.leader().expect("it leads").1.addr;
    for (name, target, own) in [("test", 7, "node 1"), ("other", 1, "\"test\"")] {
        let error = ask(&link(name, target, addr.clone()), PATIENCE).await.unwrap_err();
        assert!(
            matches!(&error, LinkError::Dial(DialError::Refused { text, .. }) if text.contains(own)),
            "{error}"
        );
    }
}

/// A folder that was emptied makes another node of the same id: nobody votes for it, and it votes for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_node_is_refused_by_who_knows_it_and_refuses_who_means_another() {
    let cluster = Cluster::start(2, RaftSettings::default()).await;
    cluster.propose("x").await;
    let addr = cluster.members[&1].addr.clone();
    let ballot = wire::encode(&wire::Ballot { vote: Vote::new(99, 2).into(), last: None, transfer: false });
    let (itself, emptied) = (incarnation(2), Uuid::from_u128(22));
    for (own, meant, part) in [
        (itself, incarnation(1), None),
        (emptied, incarnation(1), Some("node 2 is known")),
        (itself, Uuid::from_u128(11), Some("node 1 is meant")),
    ] {
        let link = link_of(&Own::new(2, own, Vec::new()), "test", 1, meant, addr.clone());
        let answer = link.ask_for::<Voted>(wire::PRE_VOTE, ballot.clone(), PATIENCE).await;
        let text = answer.map(drop).map_err(|error| error.to_string());
        assert_eq!(text.is_err(), part.is_some(), "{text:?}");
        assert!(text.err().unwrap_or_default().contains(part.unwrap_or_default()));
    }
}

/// No task can be started any more on threads that are about to end, and so no session of appends: found by a thread that made
/// one after the other, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_comes_while_its_threads_end_is_given_up() {
    let cluster = Cluster::start_empty(1, RaftSettings::default()).await;
    let raft = cluster.nodes[&1].raft.raft().clone();
    let threads = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (begun, begins) = oneshot::channel();
    let (given_up, ends) = oneshot::channel();
    threads.spawn(async move {
        begun.send(()).unwrap();
        while !tokio::spawn(pending::<()>()).is_finished() {
            sleep(SHORT);
        }
        let _ = given_up.send(append_alone(raft, heartbeat()).await);
    });
    begins.await.unwrap();
    threads.shutdown_background();
    assert!(timeout(PATIENCE, ends).await.expect("it ends").unwrap().is_err());
}

/// Whatever a connection had under way ends with it: a peer that reconnects for ever costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_leaves_no_task_behind() {
    let cluster = Cluster::start_empty(1, RaftSettings::default()).await;
    let addr = cluster.members[&1].addr.clone();
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    for _ in 0..10 {
        let link = link("test", 1, addr.clone());
        let answer: Appended =
            link.ask_for(wire::APPEND, wire::encode_append(&heartbeat()), PATIENCE).await.unwrap();
        assert_eq!(answer, Appended::Matching(None));
        assert!(alive() > before);
    }
    until("the tasks end", || async { if alive() <= before { Ok(()) } else { Err(alive()) } }).await;
}

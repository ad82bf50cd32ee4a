//! Nodes that stop and come back: by election, by the log, by a snapshot.

use bytes::Bytes;
use tokio::time::timeout;

use super::super::settings::RaftSettings;
use super::super::types::NodeId;
use super::cluster::{Cluster, PATIENCE};
use super::machine::Machine;

/// The leader goes, again and again; what was answered stays, and whoever comes back holds the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_is_replaced_and_comes_back() {
    let mut cluster = Cluster::start(3, RaftSettings::default()).await;
    let mut entries = Vec::new();
    for round in 0..3 {
        for number in 0..10 {
            entries.push(Bytes::from(format!("round {round}, entry {number}")));
            cluster.propose(entries[entries.len() - 1].clone()).await;
        }
        let (leader, _) = cluster.leader().await;
        let machine = cluster.stop(leader).await;
        assert!(machine.entries() == entries);
        entries.push(Bytes::from(format!("round {round}, without node {leader}")));
        cluster.propose(entries[entries.len() - 1].clone()).await;
        // It comes back with an empty state machine, and applies its log anew.
        cluster.restart(leader, Machine::default(), None).await;
        cluster.agree_on(&entries).await;
    }
}

/// Everybody stops at once; the log alone brings everything back.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_cluster_comes_back() {
    let mut cluster = Cluster::start(3, RaftSettings::default()).await;
    let entries: Vec<Bytes> = (0..50).map(|number| Bytes::from(format!("entry {number}"))).collect();
    for entry in &entries {
        cluster.propose(entry.clone()).await;
    }
    let ids: Vec<NodeId> = cluster.nodes.keys().copied().collect();
    for id in &ids {
        cluster.stop(*id).await;
    }
    for id in &ids {
        cluster.restart(*id, Machine::default(), None).await;
    }
    cluster.agree_on(&entries).await;
    for node in cluster.nodes.values() {
        assert!(node.raft.recovered(PATIENCE).await);
    }
}

/// A few entries are large: the log is cut by its bytes, long before it is by their number, on every node.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_large_entries_is_kept_short() {
    let settings =
        RaftSettings { log_bytes_max: 8 << 20, log_bytes_kept: 4 << 20, ..RaftSettings::default() };
    let cluster = Cluster::start(3, settings).await;
    let entries: Vec<Bytes> = (0..24u8).map(|number| Bytes::from(vec![number; 1 << 20])).collect();
    for entry in &entries {
        cluster.propose(entry.clone()).await;
    }
    for node in cluster.nodes.values() {
        let mut watch = node.raft.watch();
        let purged = timeout(PATIENCE, watch.until(|status| status.purged > Some(10))).await;
        let status = purged.expect("the log is purged").expect("raft runs");
        assert!(status.snapshot >= status.purged);
    }
    cluster.agree_on(&entries).await;
}

/// A follower misses so much that its leader's log no longer has it: it gets a snapshot of several chunks, and the rest from
/// the log. Then it restarts on what it was given.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_missed_too_much_gets_a_snapshot() {
    let settings = RaftSettings { snapshot_every: 40, keep_entries: 10, ..RaftSettings::default() };
    let mut cluster = Cluster::start(3, settings).await;
    let mut entries: Vec<Bytes> = vec![Bytes::from_static(b"first")];
    cluster.propose(entries[0].clone()).await;
    let (leader, _) = cluster.leader().await;
    let follower = if leader == 1 { 2 } else { 1 };
    let machine = cluster.stop(follower).await;
    let applied = Some(machine.entries().len() as u64);
    for number in 0..150u8 {
        entries.push(Bytes::from(vec![number; 50_000]));
        cluster.propose(entries[entries.len() - 1].clone()).await;
    }
    let mut watch = cluster.leader().await.1.raft.watch();
    let purged = watch.until(|status| status.purged > Some(50));
    timeout(PATIENCE, purged).await.expect("the leader snapshots and purges");

    cluster.restart(follower, machine, applied).await;
    cluster.agree_on(&entries).await;
    assert!(cluster.nodes[&follower].machine.installed() >= 1);

    let machine = cluster.stop(follower).await;
    entries.push(Bytes::from_static(b"last"));
    cluster.propose(entries[entries.len() - 1].clone()).await;
    let last = machine.entries().len() as u64;
    cluster.restart(follower, machine, Some(last)).await;
    cluster.agree_on(&entries).await;
}

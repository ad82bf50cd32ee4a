//! Reads of a leader that may be none any more.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;

use super::super::settings::RaftSettings;
use super::super::types::{EntryBytes, NodeId};
use super::cluster::{Cluster, PATIENCE};
use super::vigil::patient;

/// Nothing happens by itself.
fn still() -> RaftSettings {
    RaftSettings { heartbeat: Duration::from_mins(1), ..patient() }
}

/// Answers to what a leader sent before it was cut off come late, while the news of a commit is on its way behind the same
/// entry: they say nothing of who leads now.
#[tokio::test(flavor = "multi_thread")]
async fn late_answers_confirm_no_read() {
    let cluster = Cluster::start_by_one(3, still()).await;
    let before = cluster.propose("before").await;
    let last = Some(before + 1);
    let (leader, node) = cluster.leader().await;
    // Only to a peer that has answered is one append sent behind the other.
    let mut watch = node.raft.watch();
    let answered = watch.until(|status| status.replicated.values().all(|at| *at == Some(before)));
    timeout(PATIENCE, answered).await.unwrap().unwrap();
    let others: Vec<NodeId> = cluster.nodes.keys().copied().filter(|id| *id != leader).collect();
    let gates: Vec<_> = others.iter().map(|other| cluster.gates.of(leader, *other)).collect();
    for gate in &gates {
        gate.hold_answers();
        gate.mark(b"the last one");
    }
    let _begun = node.raft.begin(EntryBytes(Bytes::from_static(b"the last one"))).await.unwrap();
    for other in &others {
        let mut watch = cluster.nodes[other].raft.watch();
        timeout(PATIENCE, watch.until(|status| status.last == last)).await.unwrap().unwrap();
    }

    for gate in &gates {
        gate.lose_questions();
    }
    let since = Instant::now();
    let raft = node.raft.clone();
    let mut read = tokio::spawn(async move { raft.read_index().await });
    for gate in &gates {
        gate.lost().await;
    }
    gates[0].release_answers();
    timeout(PATIENCE, watch.until(|status| status.committed == last)).await.unwrap().unwrap();
    gates[1].lost_behind_mark().await;
    gates[1].release_answers();
    let heard = watch.until(|status| status.heard.get(&others[1]).is_some_and(|heard| *heard > since));
    timeout(PATIENCE, heard).await.expect("openraft takes it for an answer to what was lost").unwrap();

    // It would be confirmed by now; it is waited for a little, since that is how a wrong one would show.
    let confirmed = timeout(Duration::from_secs(2), &mut read).await;
    assert!(confirmed.is_err(), "{confirmed:?}");
    read.abort();
}

//! A follower that missed more than the log keeps: it catches up by snapshot, and becomes equal.

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::api::{Api, Call};
use crate::cluster::{ALL, Cluster, QUICK};
use crate::wait::{PATIENCE, until};
use crate::worker::Puller;

/// Snapshots so often that a short absence is too long for the log.
const FORGETFUL: &str = "snapshot_every = 50\nkeep_log = 10\n";
/// Entries beyond which the leader gives up on the log: three times what a snapshot and the log keep.
const TOO_MANY: u64 = 200;

/// Makes entries of every kind: tasks that stay, tasks that end, and tasks that are forgotten. Returns one that stays and
/// one that ended.
async fn make_history(api: &Api, nodes: &[u64], round: &str) -> (String, String) {
    let kept = api.function(nodes, "24h").await;
    let forgotten = api.function(nodes, "1ms").await;
    let worker = Puller::new(api, nodes);
    let ended = api.submit_first(nodes, &kept, json!([round, "ended"])).await;
    let lease = worker.one().await;
    worker.complete(&lease, json!(round)).await.expect(200);
    for n in 0..10 {
        api.submit_first(nodes, &forgotten, json!([round, "forgotten", n])).await;
        let lease = worker.one().await;
        worker.complete(&lease, json!(n)).await.expect(200);
    }
    let mut stays = String::new();
    for n in 0..TOO_MANY {
        stays = api.submit(nodes, &kept, json!([round, n])).await;
    }
    (stays, ended)
}

async fn purged(api: &Api, node: u64) -> u64 {
    api.info(node).await.map_or(0, |info| info["purged"].as_u64().unwrap())
}

/// How often a node has installed a snapshot.
fn installs(cluster: &Cluster, node: u64) -> usize {
    cluster.log(node).matches("installed a snapshot").count()
}

/// Whether the node shows, by itself, a task that stays and one that ended.
async fn knows(api: &Api, node: u64, (stays, ended): &(String, String), round: &str) {
    let stale = |path: String| Call::get(format!("{path}?read=stale"));
    assert_eq!(api.ask(node, &stale(format!("/v1/tasks/{stays}"))).await.expect(200)["status"], "queued");
    let result = api.ask(node, &stale(format!("/v1/tasks/{ended}/result"))).await.expect(200);
    assert_eq!(result["value"], json!(round));
}

/// History goes on without `absent` until the log has forgotten what it missed.
async fn outpace(cluster: &Cluster, leader: u64, absent: u64, seen: u64, round: &str) -> (String, String) {
    let awake = cluster.awake();
    assert!(!awake.contains(&absent));
    let history = make_history(&cluster.api, &awake, round).await;
    until("the log has forgotten what the follower missed", async || {
        (purged(&cluster.api, leader).await > seen).then_some(())
    })
    .await;
    history
}

/// Tells from a data folder whether it is time.
type IsNow = fn(&Path) -> bool;

/// Moments of an install at which a crash must leave either the old rows or the new ones.
const MOMENTS: [(&str, IsNow); 3] = [
    ("files arrive", |data| has(&data.join("snap"), "recv-")),
    ("the new rows are unpacked", |data| count(data, "sm-") > 1),
    ("the new rows count, and the log is behind them", |data| {
        let pointer = std::fs::read_to_string(data.join("CURRENT_SM")).unwrap_or_default();
        pointer.starts_with("sm-") && pointer.trim() != current_at_start(data)
    }),
];

fn count(folder: &Path, prefix: &str) -> usize {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with(prefix)).count()
}

fn has(folder: &Path, prefix: &str) -> bool {
    count(folder, prefix) > 0
}

/// The pointer as [`crash_at`] found it.
fn current_at_start(data: &Path) -> String {
    std::fs::read_to_string(data.with_extension("pointer")).unwrap()
}

/// Starts a node and kills it at that moment, looking as often as can be: these moments are short.
fn crash_at(cluster: &mut Cluster, node: u64, what: &str, is_now: IsNow) {
    let data = cluster.data(node);
    std::fs::copy(data.join("CURRENT_SM"), data.with_extension("pointer")).unwrap();
    cluster.spawn(node);
    let end = Instant::now() + PATIENCE;
    while !is_now(&data) {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::yield_now();
    }
    cluster.kill(node);
}

#[tokio::test]
async fn a_killed_follower_catches_up_by_snapshot_and_survives_a_kill_at_any_moment_of_it() {
    let mut cluster = Cluster::start(&format!("{QUICK}{FORGETFUL}")).await;
    let leader = cluster.leader().await;
    let [follower, _] = Cluster::others(leader);
    make_history(&cluster.api, &ALL, "before").await;
    for (moment, is_now) in MOMENTS {
        let seen = cluster.api.info(follower).await.unwrap()["last_log"].as_u64().unwrap();
        cluster.kill(follower);
        let history = outpace(&cluster, leader, follower, seen, moment).await;
        crash_at(&mut cluster, follower, moment, is_now);
        cluster.spawn(follower);
        cluster.until_ready(&[follower]).await;
        cluster.until_equal().await;
        knows(&cluster.api, follower, &history, moment).await;
    }
    assert!(installs(&cluster, follower) > 0, "the log was enough");

    // It is a full member again: with it alone beside one other, writes go on.
    let [_, other] = Cluster::others(leader);
    cluster.kill(other);
    let kept = cluster.api.function(&[follower, leader], "24h").await;
    cluster.api.submit(&[follower, leader], &kept, json!(["after"])).await;
    cluster.spawn(other);
    cluster.until_ready(&ALL).await;
    cluster.until_equal().await;
}

#[tokio::test]
async fn a_paused_follower_catches_up_and_becomes_equal() {
    let mut cluster = Cluster::start(&format!("{QUICK}{FORGETFUL}")).await;
    let leader = cluster.leader().await;
    let [follower, _] = Cluster::others(leader);
    let seen = cluster.api.info(follower).await.unwrap()["last_log"].as_u64().unwrap();
    cluster.pause(&[follower]);
    let history = outpace(&cluster, leader, follower, seen, "absent").await;
    cluster.resume(&[follower]);
    cluster.until_ready(&ALL).await;
    cluster.until_equal().await;
    assert!(installs(&cluster, follower) > 0, "the log was enough");
    knows(&cluster.api, follower, &history, "absent").await;
    cluster.kill(follower);
    cluster.spawn(follower);
    cluster.until_ready(&ALL).await;
    cluster.until_equal().await;
    knows(&cluster.api, follower, &history, "absent").await;
}

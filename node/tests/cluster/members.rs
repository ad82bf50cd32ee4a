//! Nodes come and go while the cluster works; who was sent away, or has lost its folder, does not come back.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Answer, Api, Call};
use crate::cluster::{ALL, Cluster, QUICK};
use crate::wait::until;

/// Snapshots so often that a new node needs one.
const FORGETFUL: &str = "snapshot_every = 50\nkeep_log = 10\n";
const FIVE: [u64; 5] = [1, 2, 3, 4, 5];

fn settings() -> String {
    format!("{QUICK}{FORGETFUL}")
}

/// Asks for a node to be added, in the place of another if there is one.
fn add(api: &Api, node: u64, replaces: Option<u64>) -> Call {
    Call::post("/v1/cluster/members?wait=1s", json!({"url": api.url(node), "replaces": replaces}))
}

fn remove(node: u64) -> Call {
    Call { method: Method::DELETE, path: format!("/v1/cluster/members/{node}"), ..Call::default() }
}

/// Repeats a change at `nodes` until it is made, as the command line does.
async fn made(api: &Api, nodes: &[u64], call: &Call) -> Value {
    until(&format!("{call:?} is done"), async || {
        let answer = api.served(nodes, call).await;
        assert!([200, 202, 421].contains(&answer.status), "{answer:?}");
        (answer.status == 200).then(|| answer.expect(200))
    })
    .await
}

/// The ids of the members and of those that vote, as a node sees them.
async fn members(api: &Api, node: u64) -> Option<(Vec<u64>, Vec<u64>)> {
    let info = api.info(node).await?;
    let nodes = info["nodes"].as_array().unwrap();
    let id = |node: &Value| node["id"].as_u64().unwrap();
    let voters = nodes.iter().filter(|node| node["role"] != "learner").map(id).collect();
    Some((nodes.iter().map(id).collect(), voters))
}

async fn until_members(api: &Api, node: u64, ids: &[u64]) {
    until(&format!("node {node} knows the members {ids:?}"), async || {
        let (members, voters) = members(api, node).await?;
        (members == ids && voters == ids).then_some(())
    })
    .await;
}

/// Starts a node, and waits until it says who it is.
async fn spawn(cluster: &mut Cluster, node: u64) {
    cluster.spawn(node);
    let api = cluster.api.clone();
    until("the new node says who it is", async || api.info(node).await).await;
}

/// So many tasks, of which each has a name of its own.
async fn work(api: &Api, nodes: &[u64], name: &str, count: usize) {
    let function = api.function(nodes, "24h").await;
    for n in 0..count {
        api.submit(nodes, &function, json!([name, n])).await;
    }
}

/// Waits until a process has ended by itself with this code, having said so.
async fn ends(cluster: &mut Cluster, node: u64, code: i32, saying: &str) {
    let status = cluster.daemon(node).end().await;
    assert_eq!(status.code(), Some(code), "{}", cluster.log(node));
    assert!(cluster.log(node).contains(saying), "{}", cluster.log(node));
    cluster.forget(node);
}

#[tokio::test]
async fn three_become_five_and_two_of_the_five_may_die() {
    let mut cluster = Cluster::with_spares(&ALL, &[4, 5], &settings());
    cluster.spawn_all();
    cluster.until_ready(&ALL).await;
    let api = cluster.api.clone();
    work(&api, &ALL, "before", 200).await;
    for node in [4, 5] {
        spawn(&mut cluster, node).await;
        let done = made(&api, &ALL, &add(&api, node, None)).await;
        assert_eq!(done, json!({"node": node, "state": "member"}));
        // Asked again, as after a lost answer, it changes nothing.
        assert_eq!(made(&api, &ALL, &add(&api, node, None)).await, done);
    }
    assert!(cluster.log(4).contains("installed a snapshot"), "the log was enough");
    cluster.until_ready(&FIVE).await;
    work(&api, &[4, 5], "after", 20).await;
    cluster.until_equal_on(&FIVE).await;

    // An added node comes back without --join, and two of the first three may be gone.
    cluster.kill(4);
    cluster.launch(4).join = None;
    cluster.spawn(4);
    cluster.until_ready(&[4]).await;
    for node in [1, 2] {
        cluster.kill(node);
    }
    work(&api, &[3, 4, 5], "with three of five", 20).await;
    assert_eq!(api.tasks(&[3, 4, 5]).await.len(), 240);
    cluster.until_equal_on(&[3, 4, 5]).await;
}

#[tokio::test]
async fn a_leader_that_is_removed_hands_over_first_and_ends() {
    let mut cluster = Cluster::start(QUICK).await;
    let api = cluster.api.clone();
    work(&api, &ALL, "before", 20).await;
    let leader = cluster.leader().await;
    let others = Cluster::others(leader);
    let mut stay = others.to_vec();
    stay.sort_unstable();
    let gone = json!({"node": leader, "state": "removed"});
    assert_eq!(made(&api, &others, &remove(leader)).await, gone);
    assert_eq!(made(&api, &others, &remove(leader)).await, gone);
    until_members(&api, stay[0], &stay).await;
    ends(&mut cluster, leader, 5, "was removed from the cluster").await;
    work(&api, &others, "after", 20).await;
    assert_eq!(api.tasks(&others).await.len(), 40);

    // It does not come back by itself, not even with its folder.
    cluster.spawn(leader);
    ends(&mut cluster, leader, 5, "was removed from the cluster").await;
}

#[tokio::test]
async fn a_dead_node_is_replaced_and_one_that_was_removed_may_come_back_with_an_empty_folder() {
    let mut cluster = Cluster::with_spares(&ALL, &[4], QUICK);
    cluster.spawn_all();
    cluster.until_ready(&ALL).await;
    let api = cluster.api.clone();
    work(&api, &ALL, "before", 20).await;
    cluster.kill(3);
    cluster.launch(4).join = Some(api.url(2).to_owned());
    spawn(&mut cluster, 4).await;
    let replaced = json!({"node": 4, "state": "member"});
    assert_eq!(made(&api, &[1, 2], &add(&api, 4, Some(3))).await, replaced);
    assert_eq!(made(&api, &[1, 2], &add(&api, 4, Some(3))).await, replaced);
    until_members(&api, 1, &[1, 2, 4]).await;
    work(&api, &[4], "after", 20).await;
    cluster.until_equal_on(&[1, 2, 4]).await;

    cluster.spawn(3);
    ends(&mut cluster, 3, 5, "was removed from the cluster").await;
    cluster.wipe(3);
    cluster.launch(3).join = Some(api.url(4).to_owned());
    spawn(&mut cluster, 3).await;
    made(&api, &[1, 2, 4], &add(&api, 3, None)).await;
    cluster.until_equal_on(&[1, 2, 3, 4]).await;
}

#[tokio::test]
async fn a_node_whose_folder_was_emptied_refuses_to_start_and_can_be_replaced() {
    let mut cluster = Cluster::with_spares(&ALL, &[4], QUICK);
    cluster.spawn_all();
    cluster.until_ready(&ALL).await;
    let api = cluster.api.clone();
    work(&api, &ALL, "before", 20).await;
    // The first of them founds the cluster, if it is new; the others wait for it.
    for node in [1, 3] {
        cluster.kill(node);
        let kept = cluster.data(node).with_extension("kept");
        std::fs::rename(cluster.data(node), &kept).unwrap();
        cluster.spawn(node);
        ends(&mut cluster, node, 3, &format!("raftwork cluster replace {node} URL")).await;
        if node == 1 {
            cluster.wipe(node);
            std::fs::rename(&kept, cluster.data(node)).unwrap();
            cluster.spawn(node);
            cluster.until_ready(&ALL).await;
        }
    }
    spawn(&mut cluster, 4).await;
    made(&api, &[1, 2], &add(&api, 4, Some(3))).await;
    assert_eq!(api.tasks(&[4]).await.len(), 20);
    cluster.until_equal_on(&[1, 2, 4]).await;
}

#[tokio::test]
async fn a_new_node_that_hears_nothing_gets_no_vote_and_a_change_survives_its_leader() {
    let mut cluster = Cluster::with_spares(&ALL, &[4], &settings());
    cluster.spawn_all();
    cluster.until_ready(&ALL).await;
    let api = cluster.api.clone();
    work(&api, &ALL, "before", 100).await;
    spawn(&mut cluster, 4).await;
    let leader = cluster.leader().await;
    let others = Cluster::others(leader);
    // It is known, but it hears nothing: the change waits, and the cluster does not.
    let asked = {
        let (api, call) = (api.clone(), add(&api, 4, None));
        tokio::spawn(async move { api.within(Duration::from_secs(10), leader, &call).await })
    };
    until("it is a member", async || {
        let (members, _) = members(&api, leader).await?;
        members.contains(&4).then_some(())
    })
    .await;
    cluster.pause(&[4]);
    let answer: Option<Answer> = asked.await.unwrap();
    let was_quick = answer.is_some_and(|answer| answer.status == 200);
    work(&api, &ALL, "meanwhile", 20).await;
    let (_, voters) = members(&api, leader).await.unwrap();
    assert_eq!(voters.contains(&4), was_quick);
    // Its leader dies under it; the next one is asked for the same, and goes on.
    cluster.kill(leader);
    cluster.resume(&[4]);
    until("somebody leads", async || {
        let info = api.info(others[0]).await?;
        info["leader"].as_u64().filter(|new| *new != leader)
    })
    .await;
    made(&api, &others, &add(&api, 4, None)).await;
    cluster.spawn(leader);
    cluster.until_ready(&[1, 2, 3, 4]).await;
    cluster.until_equal_on(&[1, 2, 3, 4]).await;
    until_members(&api, 4, &[1, 2, 3, 4]).await;
}

#[tokio::test]
async fn what_would_break_the_cluster_is_refused_with_the_reason() {
    let mut cluster = Cluster::with_spares(&ALL, &[4], QUICK);
    cluster.spawn_all();
    cluster.until_ready(&ALL).await;
    let api = cluster.api.clone();
    let leader = cluster.leader().await;
    let [dead, healthy] = Cluster::others(leader);
    let nobody = Call::post("/v1/cluster/members", json!({"url": api.url(4)}));
    api.ask(healthy, &nobody).await.expect_problem(409, "unusable_node");
    spawn(&mut cluster, 4).await;
    for (call, status, code) in [
        (add(&api, 4, Some(9)), 404, "unknown_node"),
        (add(&api, 4, Some(4)), 400, "bad_request"),
        (Call::post("/v1/cluster/transfer", json!({"to": 4})), 404, "unknown_node"),
    ] {
        api.ask(leader, &call).await.expect_problem(status, code);
    }
    cluster.kill(dead);
    // Removing the healthy one would leave the leader and a dead one; the refusal says who answers.
    let refused = until("the dead one is missed", async || {
        let answer = api.ask(leader, &Call::get("/v1/cluster")).await.expect(200);
        let nodes = answer["nodes"].as_array().unwrap().clone();
        nodes.iter().any(|node| node["id"] == json!(dead) && node["answers"] == json!(false)).then_some(())
    });
    refused.await;
    let answer = api.ask(leader, &remove(healthy)).await;
    answer.expect_problem(409, "unsafe_change");
    assert!(answer.text.contains(&format!("[{leader}] answer now, and 2 are needed")), "{}", answer.text);
    let (members, _) = members(&api, leader).await.unwrap();
    assert_eq!(members, ALL, "it was refused, and changed something");
    // The dead one can go.
    made(&api, &[leader], &remove(dead)).await;
    work(&api, &[leader, healthy], "after", 5).await;
}

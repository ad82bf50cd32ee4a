//! Any node answers any request, whoever leads, also while that changes.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, until, worker_id};

async fn leader_of(cluster: &Cluster, node: u64) -> u64 {
    until("a leader is known", async || {
        let info = Answer::of(cluster.request_to(node, Method::GET, "/v1/cluster")).await.expect(200);
        info["leader"].as_u64()
    })
    .await
}

async fn send(cluster: &Cluster, node: u64, path: &str, body: &Value) -> Answer {
    Answer::of(cluster.request_to(node, Method::POST, path).json(body)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_answers_every_request() {
    let cluster = Cluster::start(3, "").await;
    let leader = leader_of(&cluster, 1).await;
    let function = cluster.source().await;
    for node in 1..=3 {
        let submitted =
            send(&cluster, node, "/v1/tasks", &json!({"function_id": function, "args": [node]})).await;
        let task = submitted.expect(201)["task_id"].as_str().unwrap().to_owned();
        let by = (node != leader).then(|| leader.to_string());
        assert_eq!(submitted.header("x-raftwork-leader"), by.as_deref());
        assert_eq!(submitted.header("x-raftwork-node"), Some(node.to_string().as_str()));
        for reader in 1..=3 {
            let path = format!("/v1/tasks/{task}");
            let info = Answer::of(cluster.request_to(reader, Method::GET, &path)).await.expect(200);
            assert_eq!(info["task_id"], json!(task), "node {reader} does not know what node {node} accepted");
        }
        let acquire = json!({"worker_id": worker_id(), "python": "3.11", "wait": "20s"});
        let lease =
            send(&cluster, node, "/v1/leases/acquire", &acquire).await.expect(200)["leases"][0].clone();
        let report = json!({"task_id": lease["task_id"], "token": lease["token"], "value": node});
        // The wait is served by the node that was asked, wherever the task ends.
        let path = format!("/v1/tasks/{task}/result?wait=20s");
        let (result, completed) = tokio::join!(
            Answer::of(cluster.request_to(node, Method::GET, &path)),
            send(&cluster, node, "/v1/leases/complete", &report)
        );
        completed.expect(200);
        assert_eq!(result.expect(200)["value"], json!(node));
    }
    let missing =
        Answer::of(cluster.request_to(leader % 3 + 1, Method::GET, &format!("/status/{}", worker_id())))
            .await;
    missing.expect_problem(404, "unknown_task");
    cluster.stop().await;
}

/// Writes without a key go through two planned changes of the leader: none fails, and none is done twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_leader_is_not_noticed() {
    let mut cluster = Cluster::start(3, "").await;
    let function = cluster.source().await;
    let first = leader_of(&cluster, 1).await;
    let survivor = first % 3 + 1;
    let writer = tokio::spawn({
        let (http, url, function) = (cluster.http.clone(), cluster.urls[&survivor].clone(), function.clone());
        async move {
            let mut tasks = Vec::new();
            for n in 0..300 {
                let body = json!({"function_id": function, "args": [n]});
                let answer = Answer::of(http.post(format!("{url}/v1/tasks")).json(&body)).await;
                tasks.push(answer.expect(201)["task_id"].as_str().unwrap().to_owned());
            }
            tasks
        }
    });
    send(&cluster, survivor, "/v1/cluster/transfer", &json!({"to": survivor % 3 + 1})).await;
    let second = leader_of(&cluster, survivor).await;
    if second != survivor {
        cluster.nodes.remove(&second).unwrap().stop().await;
    }
    let tasks = writer.await.unwrap();
    let path = "/v1/tasks?limit=1000";
    let listed = Answer::of(cluster.request_to(survivor, Method::GET, path)).await.expect(200);
    let listed: BTreeSet<&str> =
        listed["tasks"].as_array().unwrap().iter().map(|task| task["task_id"].as_str().unwrap()).collect();
    assert_eq!(listed, tasks.iter().map(String::as_str).collect(), "a write was lost or done twice");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_a_node_says_so_and_when_to_come_back() {
    let mut cluster = Cluster::start(3, "").await;
    let function = cluster.source().await;
    let task = cluster.submit(&function, &json!([])).await;
    for id in [2, 3] {
        cluster.nodes.remove(&id).unwrap().stop().await;
    }
    let answer = until("the node has noticed", async || {
        let answer = cluster.post("/v1/tasks", &json!({"function_id": function})).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    answer.expect_problem(503, "no_leader");
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    cluster.get(&format!("/v1/tasks/{task}")).await.expect_problem(503, "no_leader");
    let stale = cluster.get(&format!("/v1/tasks/{task}?read=stale")).await.expect(200);
    assert_eq!(stale["status"], "queued");
    cluster.get("/healthz").await.expect(200);
    cluster.get("/v1/cluster").await.expect(200);
    until("the node says that it is not ready", async || {
        (cluster.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    cluster.stop().await;
}

//! Too much, and too few: over a bound, or without a majority, a request is refused, and the rest goes on.

use serde_json::json;

use crate::api::{Api, Call, submit};
use crate::cluster::{ALL, Cluster, QUICK};
use crate::wait::{PATIENCE, until};
use crate::worker::Puller;

#[tokio::test]
async fn a_full_queue_refuses_submits_alone() {
    let cluster = Cluster::start(&format!("{QUICK}[limits]\nqueued_max = 20\n")).await;
    let api = &cluster.api;
    let function = api.function(&ALL, "24h").await;
    let mut tasks = Vec::new();
    for n in 0..20 {
        tasks.push(api.submit(&ALL, &function, json!([n])).await);
    }
    let more = submit(&function, &json!(["more"]));
    let items = json!({"function_id": function, "items": [{"args": [1]}, {"args": [2]}]});
    for node in ALL {
        let refused = api.ask(node, &more).await;
        refused.expect_problem(429, "busy");
        assert!(refused.retry_after().is_some_and(|seconds| seconds >= 1), "{refused:?}");
        api.ask(node, &Call::post("/v1/tasks/batch", items.clone())).await.expect_problem(429, "busy");
        api.ask(node, &Call::get(format!("/v1/tasks/{}", tasks[0]))).await.expect(200);
        assert_eq!(
            api.ask(node, &Call::get("/v1/tasks")).await.expect(200)["tasks"].as_array().unwrap().len(),
            20
        );
    }
    // A worker makes room: what it takes still counts, what it ends does not.
    let worker = Puller::new(api, &ALL);
    let lease = worker.one().await;
    api.ask(1, &more).await.expect_problem(429, "busy");
    worker.complete(&lease, json!(null)).await.expect(200);
    api.ask(1, &more).await.expect(201);
    // So does a cancel.
    let last = submit(&function, &json!(["last"]));
    api.ask(2, &last).await.expect_problem(429, "busy");
    let cancel = Call::post(format!("/v1/tasks/{}/cancel", tasks[19]), json!({}));
    api.ask(2, &cancel).await.expect(200);
    api.ask(2, &last).await.expect(201);
    assert_eq!(api.tasks(&ALL).await.len(), 22);
}

/// What a node without a majority can do: it lives, says that it cannot serve, and shows what it has to those who ask for
/// just that.
async fn shows_what_it_has(api: &Api, node: u64, task: &str) {
    api.ask(node, &Call::get(format!("/v1/tasks/{task}?read=stale"))).await.expect(200);
    api.ask(node, &Call::get("/healthz")).await.expect(200);
    until("the node says that it is not ready", async || {
        (api.ask(node, &Call::get("/readyz")).await.status == 503).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_a_majority_nothing_is_served_and_with_it_everything_is_again() {
    let mut cluster = Cluster::start(QUICK).await;
    let api = cluster.api.clone();
    let function = api.function(&ALL, "24h").await;
    let task = api.submit(&ALL, &function, json!(["before"])).await;
    let leader = cluster.leader().await;
    let paused = Cluster::others(leader);
    cluster.pause(&paused);
    let (write, read) = (submit(&function, &json!(["alone"])), Call::get(format!("/v1/tasks/{task}")));
    let (written, read) =
        tokio::join!(api.within(PATIENCE, leader, &write), api.within(PATIENCE, leader, &read));
    for answer in [written, read] {
        let answer = answer.expect("a node without a majority says so");
        assert!(matches!(answer.status, 503 | 504), "{answer:?}");
    }
    shows_what_it_has(&api, leader, &task).await;
    cluster.resume(&paused);
    cluster.until_ready(&ALL).await;
    // The outcome of the first try was unknown; the same key finds it, or makes it.
    api.served(&ALL, &write).await.expect(201);

    // And a follower alone.
    let leader = cluster.leader().await;
    let [alone, other] = Cluster::others(leader);
    cluster.pause(&[leader, other]);
    shows_what_it_has(&api, alone, &task).await;
    cluster.resume(&[leader, other]);
    cluster.until_ready(&ALL).await;
    api.served(&ALL, &submit(&function, &json!(["after"]))).await.expect(201);
    until("three tasks are there", async || (api.tasks(&ALL).await.len() == 3).then_some(())).await;
    cluster.until_equal().await;
}

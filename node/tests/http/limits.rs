//! Limits by key over REST: who waits, who holds, and what a restart and a fail-over leave of it.

use raftwork_api::explain::{Explanation, Reason};
use raftwork_api::limits::LimitInfo;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, until, worker_id};

async fn limit(cluster: &Cluster, path: &str) -> LimitInfo {
    serde_json::from_value(cluster.get(path).await.expect(200)).unwrap()
}

#[tokio::test]
async fn a_task_over_its_concurrency_limit_says_who_holds_it_and_starts_when_they_end() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let worker = worker_id();
    let options = json!({"concurrency": {"key": "tenant/7", "max": 2}});
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(cluster.submit_with(&function, options.clone()).await);
    }
    let held = cluster.leases(&worker, json!({"max": 9, "wait": "20s"})).await;
    assert_eq!(held.len(), 2);
    assert_eq!(cluster.leases(&worker, json!({"max": 9, "wait": "100ms"})).await, [] as [Value; 0]);

    let waiting = cluster.explain(&tasks[2]).await;
    assert_eq!(waiting.reason, Reason::ConcurrencyLimit);
    assert!(waiting.detail.contains("'tenant/7' is reached: 2 of at most 2 tasks"), "{}", waiting.detail);
    let holders: Vec<String> =
        waiting.limit.unwrap().holders.iter().map(|holder| holder.task_id.to_string()).collect();
    assert!(holders.contains(&tasks[0]) && holders.contains(&tasks[1]), "{holders:?}");
    let info = cluster.get(&format!("/v1/tasks/{}", tasks[2])).await.expect(200);
    assert_eq!(info["concurrency"], options["concurrency"]);
    assert!(info["waiting_for"].as_str().unwrap().contains("is reached"), "{info}");

    // A task under another key, and one without, pass by.
    let other = cluster.submit_with(&function, json!({"concurrency": {"key": "other", "max": 1}})).await;
    assert_eq!(cluster.leases(&worker, json!({"max": 9, "wait": "20s"})).await[0]["task_id"], json!(other));

    cluster.complete(&held[0], json!(1)).await.expect(200);
    assert_eq!(
        cluster.leases(&worker, json!({"max": 9, "wait": "20s"})).await[0]["task_id"],
        json!(tasks[2])
    );
    let shown = limit(&cluster, "/v1/limits/concurrency/tenant%2F7").await;
    assert_eq!((shown.max, shown.tasks, shown.held, shown.reached), (2, 2, 2, true));
    cluster.stop().await;
}

#[tokio::test]
async fn items_of_a_map_are_under_its_limit() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let worker = worker_id();
    let items: Vec<Value> = (0..5).map(|n| json!({"args": [n, 1]})).collect();
    let map = json!({"function_id": function, "items": items, "concurrency": {"key": "few", "max": 2}});
    cluster.post("/v1/maps", &map).await.expect(201);
    let held = cluster.leases(&worker, json!({"max": 9, "wait": "20s"})).await;
    assert_eq!(held.len(), 2);
    assert_eq!(cluster.leases(&worker, json!({"max": 9, "wait": "100ms"})).await, [] as [Value; 0]);
    cluster.complete(&held[0], json!(1)).await.expect(200);
    assert_eq!(cluster.leases(&worker, json!({"max": 9, "wait": "20s"})).await.len(), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn a_rate_lets_the_next_task_start_by_itself() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let worker = worker_id();
    let options = json!({"rate": {"key": "api", "max": 2, "per": "2s"}});
    for _ in 0..3 {
        cluster.submit_with(&function, options.clone()).await;
    }
    assert_eq!(cluster.leases(&worker, json!({"max": 9, "wait": "20s"})).await.len(), 2);
    let last = cluster.submit_with(&function, options).await;
    let waiting = cluster.explain(&last).await;
    assert_eq!(waiting.reason, Reason::RateLimit);
    let left = waiting.ends_in.unwrap().0.0;
    assert!((1..=2_100).contains(&left), "{left}");
    // Nobody does anything: time alone opens it.
    assert_eq!(cluster.leases(&worker, json!({"max": 9, "wait": "20s"})).await.len(), 2);
    cluster.stop().await;
}

#[tokio::test]
async fn what_is_set_by_hand_stands_above_submits_until_it_is_deleted() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let worker = worker_id();
    let path = "/v1/limits/concurrency/k";
    cluster.get(path).await.expect_problem(404, "unknown_limit");
    let put = cluster.request(Method::PUT, path).json(&json!({"max": 0}));
    let set: LimitInfo = serde_json::from_value(Answer::of(put).await.expect(200)).unwrap();
    assert!(set.set_by_hand && set.reached);
    let task = cluster.submit_with(&function, json!({"concurrency": {"key": "k", "max": 5}})).await;
    assert_eq!(cluster.leases(&worker, json!({"max": 1, "wait": "100ms"})).await, [] as [Value; 0]);
    let waiting = cluster.explain(&task).await;
    assert!(waiting.detail.ends_with("(set by hand)"), "{}", waiting.detail);

    for _ in 0..2 {
        let answer = cluster.request(Method::DELETE, path).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    }
    assert_eq!(cluster.leases(&worker, json!({"max": 1, "wait": "20s"})).await[0]["task_id"], json!(task));
    let shown = limit(&cluster, path).await;
    assert_eq!((shown.max, shown.set_by_hand), (5, false));
    cluster.stop().await;
}

#[tokio::test]
async fn limits_are_listed_in_pages_and_nonsense_is_refused() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    for key in ["b", "a", "c"] {
        cluster.submit_with(&function, json!({"concurrency": {"key": key, "max": 1}})).await;
    }
    cluster.submit_with(&function, json!({"rate": {"key": "a", "max": 1, "per": "1h"}})).await;
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = cluster.get(&format!("/v1/limits?limit=2{after}")).await.expect(200);
        for one in page["limits"].as_array().unwrap() {
            found.push(format!("{}:{}", one["kind"].as_str().unwrap(), one["key"].as_str().unwrap()));
        }
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(found, ["concurrency:a", "concurrency:b", "concurrency:c", "rate:a"]);

    for options in [
        json!({"concurrency": {"key": "k", "max": 0}}),
        json!({"concurrency": {"key": "", "max": 1}}),
        json!({"rate": {"key": "k", "max": 1, "per": "0s"}}),
        json!({"rate": {"key": "k", "max": 1}}),
    ] {
        let mut body = options;
        body["function_id"] = json!(function);
        cluster.post("/v1/tasks", &body).await.expect_problem(400, "bad_request");
    }
    for (path, body) in [
        ("/v1/limits/rate/k", json!({"max": 1})),
        ("/v1/limits/concurrency/k", json!({"max": 1, "per": "1s"})),
        ("/v1/limits/concurrency/k", json!({"max": -1})),
    ] {
        let put = cluster.request(Method::PUT, path).json(&body);
        Answer::of(put).await.expect_problem(400, "bad_request");
    }
    cluster.get("/v1/limits?after=nowhere").await.expect_problem(400, "bad_request");
    cluster.stop().await;
}

#[tokio::test]
async fn a_new_leader_knows_who_holds_what() {
    let mut cluster = Cluster::start(3, "").await;
    let function = cluster.source().await;
    let options = json!({"concurrency": {"key": "k", "max": 1}});
    cluster.submit_with(&function, options.clone()).await;
    let second = cluster.submit_with(&function, options).await;
    let held = cluster.leases(&worker_id(), json!({"max": 9, "wait": "20s"})).await;
    assert_eq!(held.len(), 1);
    let leader = cluster.get("/v1/cluster").await.expect(200)["leader"].as_u64().unwrap();
    if leader == 1 {
        Answer::of(cluster.request(Method::POST, "/v1/cluster/transfer").json(&json!({}))).await;
    } else {
        cluster.nodes.remove(&leader).unwrap().stop().await;
    }
    let waiting = until("another node leads, and says why", async || {
        let answer = cluster.get(&format!("/v1/tasks/{second}/explain")).await;
        let explanation = serde_json::from_str::<Explanation>(&answer.text).ok()?;
        (explanation.reason == Reason::ConcurrencyLimit).then_some(explanation)
    })
    .await;
    assert_eq!(json!(waiting.limit.unwrap().holders[0].task_id), held[0]["task_id"]);
    assert_eq!(cluster.leases(&worker_id(), json!({"max": 9, "wait": "200ms"})).await, [] as [Value; 0]);
    cluster.complete(&held[0], json!(1)).await.expect(200);
    assert_eq!(
        cluster.leases(&worker_id(), json!({"max": 9, "wait": "20s"})).await[0]["task_id"],
        json!(second)
    );
    cluster.stop().await;
}

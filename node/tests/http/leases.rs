//! A pull worker in plain HTTP.

use serde_json::{Value, json};

use crate::support::{Cluster, worker_id};

fn report(lease: &Value, more: &Value) -> Value {
    let mut report = json!({"task_id": lease["task_id"], "token": lease["token"]});
    report.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    report
}

#[tokio::test]
async fn nothing_to_do_is_told_after_the_wait() {
    let cluster = Cluster::one().await;
    let body = json!({"worker_id": worker_id(), "python": "3.11", "wait": "50ms"});
    let answer = cluster.post("/v1/leases/acquire", &body).await.expect(200);
    assert_eq!(answer["leases"], json!([]));
    assert_eq!((&answer["ttl"], &answer["start_deadline"]), (&json!("10s"), &json!("5s")));
    cluster.stop().await;
}

#[tokio::test]
async fn a_repeated_acquire_returns_the_same_grants() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    cluster.submit(&function, &json!([])).await;
    cluster.submit(&function, &json!([])).await;
    let body = json!({"worker_id": worker_id(), "request_id": worker_id(), "python": "3.11", "wait": "20s"});
    let first = cluster.post("/v1/leases/acquire", &body).await.expect(200);
    let again = cluster.post("/v1/leases/acquire", &body).await.expect(200);
    assert_eq!(first["leases"].as_array().unwrap().len(), 1);
    assert_eq!(first["leases"], again["leases"]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_lease_is_started_kept_extended_and_given_back() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let task = cluster.submit(&function, &json!([])).await;
    let worker = worker_id();
    let lease = cluster.acquire(&worker).await;
    let held = json!({"worker_id": worker, "leases": [{"task": task, "token": lease["token"]}, {"task": task, "token": 999}]});
    for path in ["/v1/leases/start", "/v1/leases/heartbeat"] {
        let answer = cluster.post(path, &held).await.expect(200);
        assert_eq!(answer["lost"], json!([{"task": task, "token": 999}]), "{path}");
    }
    let longer = report(&lease, &json!({"run": "1h"}));
    assert_eq!(cluster.post("/v1/leases/extend", &longer).await.expect(200)["status"], "running");
    let back = report(&lease, &json!({}));
    assert_eq!(cluster.post("/v1/leases/release", &back).await.expect(200)["status"], "queued");
    let second = cluster.acquire(&worker_id()).await;
    assert!(second["token"].as_u64() > lease["token"].as_u64());
    cluster.complete(&lease, json!(1)).await.expect_problem(409, "stale_lease");
    cluster.complete(&second, json!(2)).await.expect(200);
    // A report whose answer was lost is repeated, and answered alike; another one comes too late.
    cluster.complete(&second, json!(2)).await.expect(200);
    let failure = report(&second, &json!({"message": "no"}));
    cluster.post("/v1/leases/fail", &failure).await.expect_problem(409, "already_finished");
    let counters = cluster.get(&format!("/v1/tasks/{task}")).await.expect(200)["counters"].clone();
    assert_eq!(counters, json!({"failures": 0, "crashes": 0, "losses": 0, "returns": 1}));
    cluster.stop().await;
}

#[tokio::test]
async fn a_failure_is_retried_as_the_function_says_and_shown_in_the_end() {
    let cluster = Cluster::one().await;
    let body = json!({"name": "f", "format": "source", "code": "def f(): ...",
        "retry": {"max_attempts": 2, "initial_ms": 1, "max_ms": 1}});
    let function =
        cluster.post("/v1/functions", &body).await.expect(201)["function_id"].as_str().unwrap().to_owned();
    let task = cluster.submit(&function, &json!([])).await;
    let failure = json!({"type": "ValueError", "message": "no", "traceback": "line 1", "stdout": "tried"});
    let first = cluster.acquire(&worker_id()).await;
    let answer = cluster.post("/v1/leases/fail", &report(&first, &failure)).await.expect(200);
    assert_eq!(answer["status"], "waiting");
    let second = cluster.acquire(&worker_id()).await;
    assert_eq!(second["attempt"], 2);
    let answer = cluster.post("/v1/leases/fail", &report(&second, &failure)).await.expect(200);
    assert_eq!(answer["status"], "failed");
    let info = cluster.get(&format!("/v1/tasks/{task}")).await.expect(200);
    assert_eq!(info["error"]["type"], "ValueError");
    assert_eq!(info["counters"]["failures"], 2);
    let logs = cluster.get(&format!("/v1/tasks/{task}/logs")).await.expect(200);
    let tokens: Vec<&Value> =
        logs["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["token"]).collect();
    assert_eq!(tokens, [&first["token"], &second["token"]]);
    assert_eq!(logs["attempts"][0]["stdout"], "tried");
    cluster.stop().await;
}

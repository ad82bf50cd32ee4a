//! `/v1/tasks`: submit, wait, repeat, list, cancel.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, worker_id};

#[tokio::test]
async fn a_source_function_is_run_with_curl_alone() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let task = cluster.submit(&function, &json!([1, 2])).await;
    let waiting = cluster.get(&format!("/v1/tasks/{task}")).await.expect(200);
    assert_eq!(waiting["status"], "queued");
    assert_eq!(waiting["waiting_for"], "no worker is connected");

    let lease = cluster.acquire(&worker_id()).await;
    assert_eq!(lease["arguments"], json!({"args": [1, 2], "kwargs": {}}));
    let code = cluster.get(&format!("/v1/functions/{function}/code")).await;
    assert!(code.text.starts_with("def add"));
    assert_eq!(code.header("content-type"), Some("text/x-python; charset=utf-8"));

    assert_eq!(cluster.complete(&lease, json!(3)).await.expect(200)["status"], "completed");
    let result = cluster.get(&format!("/v1/tasks/{task}/result")).await.expect(200);
    assert_eq!(result, json!({"task_id": task, "status": "completed", "value": 3}));
    cluster.stop().await;
}

#[tokio::test]
async fn a_wait_ends_when_the_task_does() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let worker = async {
        let lease = cluster.acquire(&worker_id()).await;
        cluster.complete(&lease, json!("done")).await.expect(200);
    };
    let body = json!({"function_id": function});
    let began = Instant::now();
    let (answer, ()) = tokio::join!(cluster.post("/v1/tasks?wait=25s", &body), worker);
    let info = answer.expect(201);
    assert_eq!(info["status"], "completed");
    let task = info["task_id"].as_str().unwrap();
    cluster.get(&format!("/v1/tasks/{task}/result?wait=25s")).await.expect(200);
    assert!(began.elapsed() < Duration::from_secs(20), "the wait went on after the task had ended");

    let slow = cluster.submit(&function, &json!([])).await;
    let info = cluster.get(&format!("/v1/tasks/{slow}?wait=100ms")).await.expect(200);
    assert_eq!(info["status"], "queued");
    cluster.stop().await;
}

async fn keyed(cluster: &Cluster, path: &str, key: &str, body: &Value) -> Answer {
    Answer::of(cluster.request(Method::POST, path).header("idempotency-key", key).json(body)).await
}

#[tokio::test]
async fn a_key_makes_one_task_however_often_it_is_sent() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let body = json!({"function_id": function, "args": [1]});
    let first = keyed(&cluster, "/v1/tasks", "order-17", &body).await;
    let again = keyed(&cluster, "/v1/tasks", "order-17", &body).await;
    assert_eq!(first.expect(201)["task_id"], again.expect(201)["task_id"]);
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other =
        keyed(&cluster, "/v1/tasks", "order-17", &json!({"function_id": function, "args": [2]})).await;
    other.expect_problem(422, "task_conflict");
    keyed(&cluster, "/v1/tasks", &"k".repeat(256), &body).await.expect_problem(400, "bad_request");
    assert_eq!(cluster.get("/v1/tasks").await.expect(200)["tasks"].as_array().unwrap().len(), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn a_batch_is_all_or_nothing_and_its_key_names_every_item() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let batch = |n: i32| json!({"function_id": function, "items": (0..n).map(|i| json!({"args": [i]})).collect::<Vec<_>>()});
    let three = keyed(&cluster, "/v1/tasks/batch", "b", &batch(3)).await.expect(201);
    let five = keyed(&cluster, "/v1/tasks/batch", "b", &batch(5)).await.expect(201);
    assert_eq!((&three["created"], &five["created"]), (&json!(3), &json!(2)));
    assert_eq!(three["task_ids"].as_array().unwrap()[..], five["task_ids"].as_array().unwrap()[..3]);
    let again = keyed(&cluster, "/v1/tasks/batch", "b", &batch(5)).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let mut spoiled = batch(7);
    spoiled["items"][6] = json!({"payload": "aGVsbG8="});
    cluster.post("/v1/tasks/batch", &spoiled).await.expect_problem(400, "bad_payload");
    assert_eq!(cluster.post("/v1/tasks/batch", &batch(0)).await.expect(201)["task_ids"], json!([]));
    assert_eq!(cluster.get("/v1/tasks").await.expect(200)["tasks"].as_array().unwrap().len(), 5);
    cluster.stop().await;
}

#[tokio::test]
async fn lists_go_from_the_newest_to_the_oldest_in_pages() {
    let cluster = Cluster::one().await;
    let (one, two) = (cluster.source().await, cluster.source().await);
    let mut submitted = Vec::new();
    for n in 0..5 {
        submitted.push(cluster.submit(if n == 2 { &two } else { &one }, &json!([n])).await);
    }
    cluster.post(&format!("/v1/tasks/{}/cancel", submitted[1]), &json!(null)).await.expect(200);
    let mut listed = Vec::new();
    let mut path = "/v1/tasks?limit=2".to_owned();
    loop {
        let page = cluster.get(&path).await.expect(200);
        listed.extend(
            page["tasks"].as_array().unwrap().iter().map(|task| task["task_id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/tasks?limit=2&after={next}");
    }
    submitted.reverse();
    assert_eq!(listed, submitted);
    let only = async |filter: &str| {
        let page = cluster.get(&format!("/v1/tasks?{filter}")).await.expect(200);
        page["tasks"].as_array().unwrap().iter().map(|task| task["task_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(only("status=cancelled").await, [json!(submitted[3])]);
    assert_eq!(only(&format!("function_id={two}")).await, [json!(submitted[2])]);
    assert_eq!(only(&format!("function_id={two}&status=cancelled")).await, [] as [Value; 0]);
    let functions = cluster.get("/v1/functions?limit=1").await.expect(200);
    assert_eq!(functions["functions"][0]["function_id"], json!(two));
    let next = format!("/v1/functions?limit=1&after={}", functions["next"].as_str().unwrap());
    assert_eq!(cluster.get(&next).await.expect(200)["functions"][0]["function_id"], json!(one));
    cluster.stop().await;
}

#[tokio::test]
async fn what_a_client_has_seen_is_not_sent_again() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let task = cluster.submit(&function, &json!([])).await;
    let paths = [
        format!("/v1/tasks/{task}"),
        format!("/v1/tasks/{task}/result"),
        format!("/v1/functions/{function}"),
    ];
    for path in &paths {
        let tag = cluster.get(path).await.header("etag").unwrap().to_owned();
        let again = Answer::of(cluster.request(Method::GET, path).header("if-none-match", &tag)).await;
        assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""), "{path}");
    }
    let seen = cluster.get(&paths[0]).await.header("etag").unwrap().to_owned();
    cluster.acquire(&worker_id()).await;
    let changed = Answer::of(cluster.request(Method::GET, &paths[0]).header("if-none-match", seen)).await;
    assert_eq!(changed.expect(200)["status"], "running");
    cluster.stop().await;
}

#[tokio::test]
async fn a_stale_read_says_how_stale_it_may_be() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let task = cluster.submit(&function, &json!([])).await;
    let stale = cluster.get(&format!("/v1/tasks/{task}?read=stale")).await;
    assert!(stale.header("x-raftwork-applied").unwrap().parse::<u64>().unwrap() > 1);
    assert_eq!(cluster.get(&format!("/v1/tasks/{task}")).await.header("x-raftwork-applied"), None);
    cluster.stop().await;
}

#[tokio::test]
async fn a_cancelled_task_never_starts_and_a_finished_one_stays() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let cancelled = cluster.submit(&function, &json!([])).await;
    let path = format!("/v1/tasks/{cancelled}/cancel");
    assert_eq!(cluster.post(&path, &json!(null)).await.expect(200)["status"], "cancelled");
    assert_eq!(cluster.post(&path, &json!(null)).await.expect(200)["status"], "cancelled");
    let finished = cluster.submit(&function, &json!([])).await;
    let lease = cluster.acquire(&worker_id()).await;
    assert_eq!(lease["task_id"], json!(finished), "the cancelled task was granted");
    cluster.complete(&lease, json!(1)).await.expect(200);
    let late = cluster.post(&format!("/v1/tasks/{finished}/cancel"), &json!(null)).await;
    late.expect_problem(409, "already_finished");
    cluster.stop().await;
}

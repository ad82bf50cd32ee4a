//! Large arguments and results in plain HTTP: sent part by part, read part by part, at any node.

use raftwork_api::kernel::InParts;
use raftwork_api::parts::{PartsInfo, cut};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, worker_id};

/// Arguments of a source function, of two parts and a bit.
fn arguments() -> bytes::Bytes {
    let text = "x".repeat(2 << 20);
    json!({"args": [text, 1], "kwargs": {}}).to_string().into()
}

fn said(parts: InParts) -> Value {
    serde_json::to_value(PartsInfo::from(parts)).unwrap()
}

async fn put(cluster: &Cluster, node: u64, path: &str, part: bytes::Bytes) -> Answer {
    Answer::of(cluster.request_to(node, Method::PUT, path).body(part)).await
}

fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Submits a task with large arguments, which were sent to the nodes in turn.
async fn submit(cluster: &Cluster, nodes: u64) -> String {
    let function = cluster.source().await;
    let task = worker_id();
    let (whole, parts) = cut(&arguments());
    // The last one first, each to the next node.
    for (node, (index, part)) in (0..).zip(parts.into_iter().enumerate().rev()) {
        let path = format!("/v1/tasks/{task}/arguments/parts/{index}");
        assert_eq!(put(cluster, 1 + node % nodes, &path, part).await.status, 204);
    }
    let body =
        json!({"function_id": function, "arguments_parts": with(json!({"task_id": task}), &said(whole))});
    let created = cluster.post("/v1/tasks", &body).await.expect(201);
    assert_eq!((&created["task_id"], &created["arguments_bytes"]), (&json!(task), &json!(whole.bytes)));
    // A repeat is the same request.
    assert_eq!(cluster.post("/v1/tasks", &body).await.expect(201)["task_id"], task);
    task
}

#[tokio::test]
async fn arguments_and_result_make_the_round_trip_at_any_node() {
    let cluster = Cluster::start(3, "").await;
    let task = submit(&cluster, 3).await;
    let lease = cluster.acquire(&worker_id()).await;
    assert_eq!((&lease["task_id"], &lease["arguments"]), (&json!(task), &Value::Null));
    let count = u64::from(cut(&arguments()).0.count);
    assert_eq!(lease["arguments_parts"]["count"], count);
    let mut read = Vec::new();
    for index in 0..count {
        let path = format!("/v1/tasks/{task}/arguments/parts/{index}");
        let request = cluster.request_to(1 + index % 3, Method::GET, &path);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        read.extend_from_slice(&answer.bytes().await.unwrap());
    }
    assert_eq!(read, arguments());

    let result = bytes::Bytes::from(format!("\"{}\"", "y".repeat(1 << 20)));
    let (whole, parts) = cut(&result);
    let report = json!({"task_id": task, "token": lease["token"], "result_parts": said(whole)});
    cluster.post("/v1/leases/complete", &report).await.expect_problem(409, "payload_incomplete");
    for (index, part) in (0..).zip(parts.clone()) {
        let path = format!("/v1/leases/{task}/{}/result/parts/{index}", lease["token"]);
        assert_eq!(put(&cluster, 2, &path, part).await.status, 204);
    }
    assert_eq!(cluster.post("/v1/leases/complete", &report).await.expect(200)["status"], "completed");

    let told = cluster.get(&format!("/v1/tasks/{task}/result")).await.expect(200);
    assert_eq!((&told["result_parts"], &told["value"]), (&said(whole), &Value::Null));
    for node in 1..=3 {
        let path = format!("/v1/tasks/{task}/result/parts/1");
        let part = cluster.request_to(node, Method::GET, &path).send().await.unwrap();
        assert_eq!(part.bytes().await.unwrap(), parts[1]);
        let path = format!("/v1/tasks/{task}/result");
        let whole = cluster.request_to(node, Method::GET, &path).header("accept", "application/octet-stream");
        assert_eq!(whole.send().await.unwrap().bytes().await.unwrap(), result);
        let info = Answer::of(cluster.request_to(node, Method::GET, &format!("/v1/tasks/{task}"))).await;
        assert_eq!(info.expect(200)["result_bytes"], whole_bytes(&result));
    }
    cluster.stop().await;
}

fn whole_bytes(result: &bytes::Bytes) -> Value {
    json!(result.len())
}

#[tokio::test]
async fn a_stale_lease_sends_in_vain() {
    let cluster = Cluster::one().await;
    let task = submit(&cluster, 1).await;
    let lease = cluster.acquire(&worker_id()).await;
    let path = |token: &Value| format!("/v1/leases/{task}/{token}/result/parts/0");
    assert_eq!(put(&cluster, 1, &path(&lease["token"]), "old".into()).await.status, 204);
    let back = json!({"task_id": task, "token": lease["token"]});
    cluster.post("/v1/leases/release", &back).await.expect(200);
    let newer = cluster.acquire(&worker_id()).await;
    put(&cluster, 1, &path(&lease["token"]), "old".into()).await.expect_problem(409, "stale_lease");
    assert_eq!(put(&cluster, 1, &path(&newer["token"]), "\"new\"".into()).await.status, 204);
    let (whole, _) = cut(&"\"new\"".into());
    let report = json!({"task_id": task, "token": newer["token"], "result_parts": said(whole)});
    cluster.post("/v1/leases/complete", &report).await.expect(200);
    put(&cluster, 1, &path(&lease["token"]), "old".into()).await.expect_problem(409, "stale_lease");
    cluster.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_says_why() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let task = worker_id();
    let arguments = |index: &str| format!("/v1/tasks/{task}/arguments/parts/{index}");
    put(&cluster, 1, &arguments("x"), "a".into()).await.expect_problem(400, "bad_request");
    put(&cluster, 1, &arguments("0"), bytes::Bytes::new()).await.expect_problem(400, "bad_request");
    put(&cluster, 1, &arguments("256"), "a".into()).await.expect_problem(400, "bad_request");
    let large = vec![7; (1 << 20) + 1].into();
    put(&cluster, 1, &arguments("0"), large).await.expect_problem(413, "too_large");
    let lease = format!("/v1/leases/{task}/0/result/parts/0");
    put(&cluster, 1, &lease, "a".into()).await.expect_problem(400, "bad_request");
    let lease = format!("/v1/leases/{task}/1/result/parts/0");
    put(&cluster, 1, &lease, "a".into()).await.expect_problem(404, "unknown_task");

    assert_eq!(put(&cluster, 1, &arguments("0"), "a".into()).await.status, 204);
    put(&cluster, 1, &arguments("0"), "b".into()).await.expect_problem(409, "part_conflict");
    let (whole, _) = cut(&"a".into());
    let sent = with(json!({"task_id": task}), &said(whole));
    let body = json!({"function_id": function, "arguments_parts": sent, "args": [1]});
    cluster.post("/v1/tasks", &body).await.expect_problem(400, "bad_payload");
    let no_digest = with(sent.clone(), &json!({"digest": "xyz"}));
    let body = json!({"function_id": function, "arguments_parts": no_digest});
    cluster.post("/v1/tasks", &body).await.expect_problem(400, "bad_request");
    let more = with(sent, &json!({"count": 2, "bytes": 3}));
    let body = json!({"function_id": function, "arguments_parts": more});
    let problem = cluster.post("/v1/tasks", &body).await.expect_problem(409, "payload_incomplete");
    assert!(problem["detail"].as_str().unwrap().starts_with("part 1 of the arguments"), "{problem}");

    let small = cluster.submit(&function, &json!([1, 2])).await;
    let path = format!("/v1/tasks/{small}/arguments/parts/0");
    cluster.get(&path).await.expect_problem(404, "unknown_part");
    cluster.get(&format!("/v1/tasks/{small}/result/parts/0")).await.expect_problem(404, "unknown_part");
    cluster.get(&arguments("0")).await.expect_problem(404, "unknown_task");
    cluster.stop().await;
}

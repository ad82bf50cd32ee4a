//! Whatever is wrong with a request, the answer says what, and nothing else is hurt.

use raftwork_api::paths;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Cluster, NO_ARGS, PICKLE};

const NOBODY: &str = "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e";

#[tokio::test]
async fn what_does_not_exist_is_told_from_what_is_malformed() {
    let cluster = Cluster::one().await;
    for (path, status, code) in [
        (format!("/status/{NOBODY}"), 404, "unknown_task"),
        (format!("/result/{NOBODY}"), 404, "unknown_task"),
        (format!("/v1/tasks/{NOBODY}"), 404, "unknown_task"),
        (format!("/v1/tasks/{NOBODY}?wait=1"), 404, "unknown_task"),
        (format!("/v1/tasks/{NOBODY}?read=stale"), 404, "unknown_task"),
        (format!("/v1/tasks/{NOBODY}/result"), 404, "unknown_task"),
        (format!("/v1/tasks/{NOBODY}/logs"), 404, "unknown_task"),
        (format!("/v1/functions/{NOBODY}"), 404, "unknown_function"),
        (format!("/v1/functions/{NOBODY}/code"), 404, "unknown_function"),
        ("/status/banana".to_owned(), 400, "bad_request"),
        ("/v1/tasks/banana".to_owned(), 400, "bad_request"),
        (format!("/v1/tasks/{NOBODY}?wait=soon"), 400, "bad_request"),
        (format!("/v1/tasks/{NOBODY}?wait=2m"), 404, "unknown_task"),
        (format!("/v1/tasks/{NOBODY}?read=maybe"), 400, "bad_request"),
        ("/v1/tasks?limit=0".to_owned(), 400, "bad_request"),
        ("/v1/tasks?after=banana".to_owned(), 400, "bad_request"),
        ("/v1/tasks?status=lost".to_owned(), 400, "bad_request"),
        ("/v1/tasks?function_id=banana".to_owned(), 400, "bad_request"),
        ("/nothing/here".to_owned(), 404, "not_found"),
    ] {
        let answer = cluster.get(&path).await;
        assert_eq!(answer.status, status, "GET {path}: {}", answer.text);
        answer.expect_problem(status, code);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn bodies_that_cannot_be_served_are_refused_with_the_reason() {
    let cluster = Cluster::one().await;
    let (pickled, source) = (cluster.pickled().await, cluster.source().await);
    let cases: Vec<(&str, Value, u16, &str)> = vec![
        ("/register_function", json!({"name": "f"}), 400, "bad_request"),
        ("/register_function", json!({"name": "f", "payload": "%%%"}), 400, "bad_payload"),
        ("/register_function", json!({"name": "f", "payload": "aGVsbG8="}), 400, "bad_payload"),
        ("/execute_function", json!({"function_id": NOBODY, "payload": NO_ARGS}), 404, "unknown_function"),
        ("/execute_function", json!({"function_id": "banana", "payload": NO_ARGS}), 400, "bad_request"),
        ("/execute_function", json!({"function_id": pickled, "payload": "aGVsbG8="}), 400, "bad_payload"),
        ("/execute_function", json!({"function_id": pickled}), 400, "bad_request"),
        ("/v1/functions", json!({"name": "f", "format": "java", "code": ""}), 400, "bad_request"),
        ("/v1/functions", json!({"name": "f", "format": "pickle", "code": "aGVsbG8="}), 400, "bad_payload"),
        (
            "/v1/functions",
            json!({"name": "n".repeat(257), "format": "pickle", "code": PICKLE}),
            413,
            "too_large",
        ),
        ("/v1/tasks", json!({"function_id": source, "payload": NO_ARGS}), 400, "bad_payload"),
        ("/v1/tasks", json!({"function_id": pickled, "args": []}), 400, "bad_payload"),
        ("/v1/tasks", json!({"function_id": source, "args": [], "priority": 10}), 413, "too_large"),
        ("/v1/tasks", json!({"function_id": source, "args": [], "timeout": "soon"}), 400, "bad_request"),
        ("/v1/tasks", json!({"function_id": source, "args": {}}), 400, "bad_request"),
        (
            "/v1/tasks/batch",
            json!({"function_id": source, "items": vec![json!({}); 10_001]}),
            413,
            "too_large",
        ),
        ("/v1/leases/acquire", json!({"worker_id": NOBODY, "python": "three"}), 400, "bad_request"),
        ("/v1/leases/acquire", json!({"worker_id": "me", "python": "3.11"}), 400, "bad_request"),
        ("/v1/leases/complete", json!({"task_id": NOBODY, "token": 1, "value": 1}), 404, "unknown_task"),
        ("/v1/leases/fail", json!({"task_id": NOBODY, "token": 1, "message": "x"}), 404, "unknown_task"),
        ("/v1/leases/extend", json!({"task_id": NOBODY, "token": 1}), 400, "bad_request"),
        ("/v1/cluster/transfer", json!({"to": 9}), 404, "unknown_node"),
    ];
    for (path, body, status, code) in cases {
        let answer = cluster.post(path, &body).await;
        let start: String = body.to_string().chars().take(100).collect();
        assert_eq!(answer.status, status, "POST {path} {start}: {}", answer.text);
        answer.expect_problem(status, code);
    }
    let path = format!("/v1/workers/{NOBODY}/drain");
    cluster.post(&path, &json!(null)).await.expect_problem(404, "unknown_worker");
    cluster
        .post(&format!("/v1/tasks/{NOBODY}/cancel"), &json!(null))
        .await
        .expect_problem(404, "unknown_task");
    cluster.stop().await;
}

#[tokio::test]
async fn what_is_not_json_is_named_with_its_place() {
    let cluster = Cluster::one().await;
    let send = async |body: &'static str, content_type: &'static str| {
        let request = cluster
            .request(Method::POST, "/execute_function")
            .header("content-type", content_type)
            .body(body);
        Answer::of(request).await.expect_problem(400, "bad_request")["detail"].as_str().unwrap().to_owned()
    };
    assert!(send("{\"function_id\": ", "application/json").await.contains("line 1 column 16"));
    assert!(send("", "application/json").await.contains("empty"));
    // A web page can send this without asking its reader; it must not run code.
    assert!(send("{}", "text/plain").await.contains("application/json"));
    cluster.stop().await;
}

#[tokio::test]
async fn the_wrong_method_is_told_which_are_right() {
    let cluster = Cluster::one().await;
    let answer = Answer::of(cluster.request(Method::DELETE, "/v1/tasks")).await;
    answer.expect_problem(405, "method_not_allowed");
    let allow = answer.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    cluster.stop().await;
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_with_the_limit() {
    let cluster = Cluster::one().await;
    for (path, size, limit) in
        [("/execute_function", 41 << 20, "41943040 bytes"), (paths::LEASES_ACQUIRE, 2 << 20, "1048576 bytes")]
    {
        let request = cluster.request(Method::POST, path).header("content-type", "application/json");
        let problem = Answer::of(request.body(vec![b' '; size])).await.expect_problem(413, "too_large");
        assert!(problem["detail"].as_str().unwrap().contains(limit), "{problem}");
    }
    cluster.get("/healthz").await.expect(200);
    cluster.stop().await;
}

#[tokio::test]
async fn a_payload_over_its_own_limit_is_refused_before_the_log_has_it() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let before = cluster.get("/v1/cluster").await.expect(200)["last_log"].as_u64().unwrap();
    let body = json!({"function_id": function, "args": ["x".repeat(25 << 20)]});
    let problem = cluster.post("/v1/tasks", &body).await.expect_problem(413, "too_large");
    assert!(problem["detail"].as_str().unwrap().contains("over the limit of 25165824"), "{problem}");
    let after = cluster.get("/v1/cluster").await.expect(200)["last_log"].as_u64().unwrap();
    assert!(after - before < 10, "{before} -> {after}");
    cluster.stop().await;
}

#[tokio::test]
async fn garbage_on_the_port_hurts_nobody() {
    let cluster = Cluster::one().await;
    let address = cluster.urls[&1].trim_start_matches("http://").to_owned();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x00\x00\x00\x00\x00",
        b"GET\r\n\r\n",
        b"GET /internal/v1/stream HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: raftwork/1\r\nx-raftwork-role: worker\r\n\r\n\xff\xff\xff\xff",
        b"GET /internal/v1/stream HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: raftwork/1\r\nx-raftwork-role: client\r\n\r\nnonsense, nonsense",
    ] {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        socket.write_all(garbage).await.unwrap();
        socket.shutdown().await.unwrap();
        // Whatever the node says, it must end the connection.
        let mut said = Vec::new();
        let ended = tokio::time::timeout(crate::support::PATIENCE, socket.read_to_end(&mut said)).await;
        ended.expect("the node kept a connection that makes no sense").ok();
        cluster.get("/healthz").await.expect(200);
    }
    cluster.pickled().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_stream_without_a_proper_upgrade_is_refused() {
    let cluster = Cluster::one().await;
    let ask = async |headers: &[(&str, &str)]| {
        let request = cluster.request(Method::GET, paths::STREAM);
        Answer::of(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    };
    let plain = ask(&[]).await;
    plain.expect_problem(426, "bad_request");
    assert_eq!(plain.header("upgrade"), Some("raftwork/1"));
    let ours = [("connection", "upgrade"), ("upgrade", "raftwork/1")];
    ask(&[("connection", "upgrade"), ("upgrade", "websocket")]).await.expect_problem(426, "bad_request");
    ask(&ours).await.expect_problem(400, "bad_request");
    ask(&[ours[0], ours[1], ("x-raftwork-role", "king")]).await.expect_problem(400, "bad_request");
    let peer = [ours[0], ours[1], ("x-raftwork-role", "peer"), ("x-raftwork-peer-version", "1")];
    let other = [("x-raftwork-cluster", "other"), ("x-raftwork-target", "1")];
    let problem = ask(&[&peer[..], &other].concat()).await.expect_problem(400, "bad_request");
    assert!(problem["detail"].as_str().unwrap().contains("\"other\""), "{problem}");
    cluster.stop().await;
}

//! `/v1/tasks`: submit, wait, repeat, list, cancel.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Cluster, until, worker_id};

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

#[tokio::test]
async fn a_failed_task_is_redriven_once_and_stays_what_it_is() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let body = json!({"function_id": function, "args": [[1]], "priority": 7, "delay": "1ms"});
    let task = cluster.post("/v1/tasks", &body).await.expect(201)["task_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/tasks/{task}/redrive");
    cluster.post(&path, &json!(null)).await.expect_problem(409, "not_redrivable");
    let lease = cluster.acquire(&worker_id()).await;
    let body = json!({"task_id": task, "token": lease["token"], "message": "no"});
    cluster.post("/v1/leases/fail", &body).await.expect(200);
    let failed = cluster.get(&format!("/v1/tasks/{task}")).await;
    assert_eq!((&failed.json()["status"], &failed.json()["redriven_as"]), (&json!("failed"), &Value::Null));

    let redriven = cluster.post(&path, &json!(null)).await;
    assert_eq!(redriven.header("idempotent-replayed"), None);
    let redriven = redriven.expect(201);
    assert_eq!((&redriven["redrive_of"], &redriven["priority"]), (&json!(task), &json!(7)));
    assert_eq!((&redriven["status"], &redriven["counters"]["failures"]), (&json!("queued"), &json!(0)));
    let again = cluster.post(&path, &json!(null)).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.expect(201)["task_id"], redriven["task_id"]);

    let lease = cluster.acquire(&worker_id()).await;
    assert_eq!((&lease["task_id"], &lease["arguments"]["args"]), (&redriven["task_id"], &json!([[1]])));
    cluster.complete(&lease, json!(1)).await.expect(200);
    let tag = failed.header("etag").unwrap().to_owned();
    let info =
        Answer::of(cluster.request(Method::GET, &format!("/v1/tasks/{task}")).header("if-none-match", tag))
            .await
            .expect(200);
    assert_eq!((&info["status"], &info["redriven_as"]), (&json!("failed"), &redriven["task_id"]));
    let explained = cluster.get(&format!("/v1/tasks/{task}/explain")).await.expect(200);
    assert!(explained["detail"].as_str().unwrap().ends_with(redriven["task_id"].as_str().unwrap()));
    let done = redriven["task_id"].as_str().unwrap();
    cluster
        .post(&format!("/v1/tasks/{done}/redrive"), &json!(null))
        .await
        .expect_problem(409, "not_redrivable");
    let nobody = worker_id();
    cluster
        .post(&format!("/v1/tasks/{nobody}/redrive"), &json!(null))
        .await
        .expect_problem(404, "unknown_task");
    cluster.stop().await;
}

#[tokio::test]
async fn an_exception_that_is_final_is_known_by_what_it_is_derived_from() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let retry = json!({"max_attempts": 5, "initial_ms": 0, "max_ms": 0});
    let body = json!({"function_id": function, "retry": retry, "no_retry": ["ValueError", "shop.Closed"]});
    let task = cluster.post("/v1/tasks", &body).await.expect(201);
    assert_eq!(task["no_retry"], json!(["ValueError", "shop.Closed"]));
    for (class, base, status) in
        [("KeyError", "LookupError", "waiting"), ("shop.Odd", "ValueError", "failed")]
    {
        let lease = cluster.acquire(&worker_id()).await;
        let report = json!({
            "task_id": lease["task_id"], "token": lease["token"], "message": "no", "type": class, "bases": [base],
        });
        assert_eq!(cluster.post("/v1/leases/fail", &report).await.expect(200)["status"], status, "{class}");
    }
    let wrong = json!({"function_id": function, "no_retry": ["Value Error"]});
    let problem = cluster.post("/v1/tasks", &wrong).await.expect_problem(400, "bad_request");
    assert!(problem["detail"].as_str().unwrap().contains("'Value Error' is no name of an exception"));
    cluster.stop().await;
}

#[tokio::test]
async fn a_task_that_is_not_started_in_time_fails_and_says_so() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let body = json!({"function_id": function, "start_by": "300ms", "total_timeout": "1h"});
    let task = cluster.post("/v1/tasks", &body).await.expect(201);
    assert_eq!((&task["start_by"], &task["total_timeout"]), (&json!("300ms"), &json!("1h")));
    let path = format!("/v1/tasks/{}", task["task_id"].as_str().unwrap());
    let explained = cluster.get(&format!("{path}/explain")).await.expect(200);
    assert!(
        explained["detail"].as_str().unwrap().contains("; it fails unless it starts within "),
        "{explained}"
    );
    let failed = until("its time is over", async || {
        let info = cluster.get(&path).await.expect(200);
        (info["status"] == "failed").then_some(info)
    })
    .await;
    assert_eq!((&failed["error"]["kind"], &failed["token"]), (&json!("expired"), &json!(0)));

    let body = json!({"function_id": function, "total_timeout": "300ms"});
    let task = cluster.post("/v1/tasks", &body).await.expect(201)["task_id"].clone();
    let lease = cluster.acquire(&worker_id()).await;
    let path = format!("/v1/tasks/{}", task.as_str().unwrap());
    until("its time is over", async || {
        (cluster.get(&path).await.expect(200)["error"]["kind"] == "timeout").then_some(())
    })
    .await;
    cluster.complete(&lease, json!(1)).await.expect_problem(409, "already_finished");
    for never in [json!({"start_by": "0s"}), json!({"delay": "2s", "total_timeout": "2s"})] {
        let mut body = never;
        body["function_id"] = json!(function);
        cluster.post("/v1/tasks", &body).await.expect_problem(400, "bad_request");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_dated_task_starts_at_its_date() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let submit = async |run_at: &str| {
        cluster.post("/v1/tasks", &json!({"function_id": function, "run_at": run_at})).await
    };
    let later = submit("2100-03-01T01:00:00.5+01:00").await.expect(201);
    assert_eq!((&later["status"], &later["run_at"]), (&json!("waiting"), &json!("2100-03-01T00:00:00.500Z")));
    let explain = format!("/v1/tasks/{}/explain", later["task_id"].as_str().unwrap());
    assert_eq!(cluster.get(&explain).await.expect(200)["reason"], "scheduled");
    let soon = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() + 700;
    let date = raftwork_api::rfc3339::format(raftwork_kernel::WallTime(u64::try_from(soon).unwrap()));
    let soon = submit(&date).await.expect(201);
    assert_eq!(soon["status"], "waiting");
    let lease = cluster.acquire(&worker_id()).await;
    assert_eq!(lease["task_id"], soon["task_id"]);
    assert!(raftwork_api::rfc3339::format(now()) >= date, "it was granted before {date}");
    for wrong in ["tomorrow", "2026-12-24T18:00:00", "2026-02-30T18:00:00Z"] {
        let problem = submit(wrong).await.expect_problem(400, "bad_request");
        assert!(problem["detail"].as_str().unwrap().contains("is no date"), "{problem}");
    }
    cluster.stop().await;
}

fn now() -> raftwork_kernel::WallTime {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    raftwork_kernel::WallTime(u64::try_from(since.as_millis()).unwrap())
}

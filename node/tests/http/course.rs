//! The course contract, as its programs use it.

use serde_json::json;

use crate::support::{Cluster, NO_ARGS, NONE, PICKLE, python, worker_id};

#[tokio::test]
async fn a_task_goes_from_queued_to_its_result() {
    let cluster = Cluster::one().await;
    let function = cluster.pickled().await;
    let answer =
        cluster.post("/execute_function", &json!({"function_id": function, "payload": NO_ARGS})).await;
    let task = answer.expect(201)["task_id"].as_str().unwrap().to_owned();
    let status = cluster.get(&format!("/status/{task}")).await.expect(200);
    assert_eq!(status, json!({"task_id": task, "status": "QUEUED"}));
    let result = cluster.get(&format!("/result/{task}")).await.expect(200);
    assert_eq!(result, json!({"task_id": task, "status": "QUEUED", "result": ""}));

    let lease = cluster.acquire(&worker_id()).await;
    assert_eq!(lease["payload"], NO_ARGS);
    assert_eq!(cluster.get(&format!("/status/{task}")).await.expect(200)["status"], "RUNNING");

    let report = json!({"task_id": task, "token": lease["token"], "payload": NONE});
    cluster.post("/v1/leases/complete", &report).await.expect(200);
    let result = cluster.get(&format!("/result/{task}")).await.expect(200);
    assert_eq!(result, json!({"task_id": task, "status": "COMPLETED", "result": format!("{NONE}\n")}));
    cluster.stop().await;
}

#[tokio::test]
async fn a_failed_task_has_an_exception_that_any_python_can_raise() {
    let cluster = Cluster::one().await;
    let function = cluster.pickled().await;
    let folder = tempfile::tempdir().unwrap();
    let execute = json!({"function_id": function, "payload": NO_ARGS});
    let failed = cluster.post("/execute_function", &execute).await.expect(201)["task_id"].clone();
    let lease = cluster.acquire(&worker_id()).await;
    assert_eq!(lease["task_id"], failed);
    let report = json!({"task_id": failed, "token": lease["token"], "type": "app.Odd", "message": "it broke",
        "traceback": "Traceback: line 1"});
    assert_eq!(cluster.post("/v1/leases/fail", &report).await.expect(200)["status"], "failed");
    let cancelled = cluster.post("/execute_function", &execute).await.expect(201)["task_id"].clone();
    let path = format!("/v1/tasks/{}/cancel", cancelled.as_str().unwrap());
    cluster.post(&path, &json!(null)).await.expect(200);
    for (task, repr) in [
        (failed, "RuntimeError('app.Odd: it broke\\n\\nTraceback: line 1')"),
        (cancelled, "RuntimeError('WorkerFailure: the task was cancelled')"),
    ] {
        let result = cluster.get(&format!("/result/{}", task.as_str().unwrap())).await.expect(200);
        assert_eq!(result["status"], "FAILED");
        let unpickled = "repr(pickle.loads(codecs.decode(data.encode(), 'base64')))";
        assert_eq!(python(unpickled, result["result"].as_str().unwrap(), folder.path()), repr);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn registering_twice_gives_two_functions() {
    let cluster = Cluster::one().await;
    assert_ne!(cluster.pickled().await, cluster.pickled().await);
    cluster.stop().await;
}

#[tokio::test]
async fn payloads_of_sixteen_mebibytes_pass() {
    let cluster = Cluster::one().await;
    let function = cluster.pickled().await;
    let folder = tempfile::tempdir().unwrap();
    let make = "codecs.encode(pickle.dumps(((bytes(16 << 20),), {}), protocol=4), 'base64').decode()";
    let payload = python(make, "", folder.path());
    let execute = json!({"function_id": function, "payload": payload});
    cluster.post("/execute_function", &execute).await.expect(201);
    let lease = cluster.acquire(&worker_id()).await;
    let one_line: String = payload.split_whitespace().collect();
    assert!(lease["payload"] == one_line, "the payload was changed on its way");
    cluster.stop().await;
}

#[tokio::test]
async fn the_oldest_course_tests_can_be_let_through() {
    let strict = Cluster::one().await;
    let body = json!({"name": "hello", "payload": "payload"});
    strict.post("/register_function", &body).await.expect_problem(400, "bad_payload");
    strict.stop().await;
    let lenient = Cluster::start(1, "[rest]\nlenient_register = true\n").await;
    lenient.post("/register_function", &body).await.expect(201);
    lenient.post("/register_function", &json!({"name": "hello", "payload": PICKLE})).await.expect(201);
    lenient.stop().await;
}

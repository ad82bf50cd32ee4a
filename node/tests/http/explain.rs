//! `/v1/tasks/{task_id}/explain`, and tags over REST: why a task does not run.

use raftwork_api::explain::{Explanation, Reason};
use serde_json::{Value, json};

use crate::support::{Cluster, until, worker_id};

#[tokio::test]
async fn a_task_with_tags_says_who_is_missing_and_goes_to_whom_it_suits() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let task = cluster.submit_with(&function, json!({"tags": ["zone=eu", "gpu"]})).await;
    assert_eq!(cluster.explain(&task).await.reason, Reason::NoWorker);

    let small = worker_id();
    assert_eq!(cluster.leases(&small, json!({"tags": ["gpu"], "wait": "100ms"})).await, [] as [Value; 0]);
    let lacking = cluster.explain(&task).await;
    assert_eq!(lacking.reason, Reason::NoSuitableWorker);
    assert_eq!(lacking.detail, "no worker offers gpu, zone=eu (connected: gpu x1)");
    let info = cluster.get(&format!("/v1/tasks/{task}")).await.expect(200);
    assert_eq!((&info["waiting_for"], &info["tags"]), (&json!(lacking.detail), &json!(["gpu", "zone=eu"])));

    let large = worker_id();
    let lease =
        cluster.leases(&large, json!({"tags": ["big", "gpu", "zone=eu"], "wait": "20s"})).await[0].clone();
    assert_eq!(lease["task_id"], json!(task));
    let running = cluster.explain(&task).await;
    assert_eq!((running.reason, running.worker_id.as_deref()), (Reason::Running, Some(&*large)));
    cluster.complete(&lease, json!(1)).await.expect(200);
    assert_eq!(cluster.explain(&task).await.reason, Reason::Ended);
    cluster.stop().await;
}

#[tokio::test]
async fn a_task_behind_others_says_how_many() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let worker = worker_id();
    cluster.submit_with(&function, json!({})).await;
    cluster.acquire(&worker).await;
    for _ in 0..3 {
        cluster.submit_with(&function, json!({})).await;
    }
    let last = cluster.submit_with(&function, json!({"priority": 4})).await;
    cluster.submit_with(&function, json!({})).await;
    let busy = cluster.explain(&last).await;
    assert_eq!(busy.reason, Reason::SlotsBusy, "{busy:?}");
    let queue = busy.queue.unwrap();
    assert_eq!((queue.ahead, queue.suitable_workers, queue.slots, queue.slots_busy), (4, 1, 1, 1));
    cluster.stop().await;
}

#[tokio::test]
async fn what_time_alone_ends_says_when() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let delayed = cluster.submit_with(&function, json!({"delay": "1h"})).await;
    let explanation = cluster.explain(&delayed).await;
    assert_eq!(explanation.reason, Reason::Delayed);
    let left = explanation.ends_in.unwrap().0.0;
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");

    let retry = json!({"max_attempts": 2, "initial_ms": 3_600_000, "max_ms": 3_600_000});
    let failing = cluster.submit_with(&function, json!({"retry": retry})).await;
    let lease = cluster.acquire(&worker_id()).await;
    assert_eq!(lease["task_id"], json!(failing));
    let body = json!({"task_id": failing, "token": lease["token"], "message": "no"});
    cluster.post("/v1/leases/fail", &body).await.expect(200);
    let explanation = cluster.explain(&failing).await;
    assert_eq!(explanation.reason, Reason::RetryBackoff);
    assert!(explanation.detail.starts_with("attempt 1 failed"), "{}", explanation.detail);
    assert!(explanation.ends_in.is_some());
    cluster.stop().await;
}

#[tokio::test]
async fn without_a_majority_that_is_the_reason() {
    let mut cluster = Cluster::start(3, "").await;
    let function = cluster.source().await;
    let task = cluster.submit_with(&function, json!({})).await;
    until("the task is known everywhere", async || {
        let path = format!("/v1/tasks/{task}?read=stale");
        let known = cluster.get(&path).await;
        (known.status == 200).then_some(())
    })
    .await;
    for node in [2, 3] {
        cluster.nodes.remove(&node).unwrap().stop().await;
    }
    let explanation = until("the last node knows that it is alone", async || {
        let answer = cluster.get(&format!("/v1/tasks/{task}/explain")).await;
        let explanation = serde_json::from_str::<Explanation>(&answer.text).ok()?;
        (explanation.reason == Reason::NoQuorum).then_some(explanation)
    })
    .await;
    assert!(explanation.detail.contains("no leader"), "{}", explanation.detail);
    cluster.stop().await;
}

#[tokio::test]
async fn bad_tags_are_refused_and_an_unknown_task_has_no_reason() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let body = json!({"function_id": function, "tags": ["no tag"]});
    let problem = cluster.post("/v1/tasks", &body).await.expect_problem(400, "bad_request");
    assert!(problem["detail"].as_str().unwrap().contains("'no tag' is no tag"));
    let body = json!({"worker_id": worker_id(), "python": "3.11", "tags": [""]});
    cluster.post("/v1/leases/acquire", &body).await.expect_problem(400, "bad_request");
    let nobody = worker_id();
    cluster.get(&format!("/v1/tasks/{nobody}/explain")).await.expect_problem(404, "unknown_task");
    cluster.stop().await;
}

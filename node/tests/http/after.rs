//! Dependencies over REST: what waits, for what, and what comes of it.

use raftwork_api::explain::Reason;
use serde_json::json;

use crate::support::{Cluster, worker_id};

#[tokio::test]
async fn a_task_starts_when_the_last_task_that_it_runs_after_has_ended_and_says_what_it_waits_for() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let worker = worker_id();
    let first = cluster.submit_with(&function, json!({})).await;
    let second = cluster.submit_with(&function, json!({"after": [first]})).await;
    let held = cluster.leases(&worker, json!({"max": 9, "wait": "20s"})).await;
    assert_eq!(held.iter().map(|lease| &lease["task_id"]).collect::<Vec<_>>(), [&json!(first)]);

    let info = cluster.get(&format!("/v1/tasks/{second}")).await.expect(200);
    assert_eq!((&info["status"], &info["after"]), (&json!("waiting"), &json!([first])));
    assert_eq!(info["waiting_for"], json!(format!("the end of task {first}")));
    let why = cluster.explain(&second).await;
    assert_eq!(why.reason, Reason::Dependency);
    assert!(why.detail.contains(&first), "{}", why.detail);

    cluster.complete(&held[0], json!(1)).await.expect(200);
    assert_eq!(cluster.leases(&worker, json!({"max": 9, "wait": "20s"})).await[0]["task_id"], json!(second));
    cluster.stop().await;
}

#[tokio::test]
async fn a_cancelled_task_fails_what_runs_after_it_unless_it_is_to_run_all_the_same() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let first = cluster.submit_with(&function, json!({})).await;
    let second = cluster.submit_with(&function, json!({"after": [first]})).await;
    let third = cluster.submit_with(&function, json!({"after": [second]})).await;
    let anyway = cluster.submit_with(&function, json!({"after": [first], "on_failure": "run"})).await;
    cluster.post(&format!("/v1/tasks/{first}/cancel"), &json!({})).await.expect(200);
    for (task, of) in [(&second, &first), (&third, &second)] {
        let info = cluster.get(&format!("/v1/tasks/{task}")).await.expect(200);
        assert_eq!((&info["status"], &info["error"]["kind"]), (&json!("failed"), &json!("dependency")));
        assert!(info["error"]["message"].as_str().unwrap().contains(of.as_str()), "{info}");
    }
    let info = cluster.get(&format!("/v1/tasks/{anyway}")).await.expect(200);
    assert_eq!((&info["status"], &info["on_failure"]), (&json!("queued"), &json!("run")));
    cluster.stop().await;
}

#[tokio::test]
async fn a_task_that_is_to_be_given_results_runs_after_those_and_its_lease_names_them() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let worker = worker_id();
    let first = cluster.submit_with(&function, json!({})).await;
    let other = cluster.submit_with(&function, json!({})).await;
    let args = json!([{"$result_of": first}, 2]);
    let taking =
        cluster.submit_with(&function, json!({"args": args, "results_of": [first], "after": [other]})).await;
    let held = cluster.leases(&worker, json!({"max": 9, "wait": "20s"})).await;
    assert_eq!(held.len(), 2, "it waits for both");
    for lease in &held {
        assert!(lease.get("results_of").is_none(), "{lease}");
        cluster.complete(lease, json!(1)).await.expect(200);
    }
    let lease = cluster.leases(&worker, json!({"max": 9, "wait": "20s"})).await.remove(0);
    assert_eq!((&lease["task_id"], &lease["results_of"]), (&json!(taking), &json!([first])));
    let info = cluster.get(&format!("/v1/tasks/{taking}")).await.expect(200);
    assert_eq!((&info["results_of"], &info["after"]), (&json!([first]), &json!([first, other])));
    cluster.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let nobody = "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e";
    let unknown = json!({"function_id": function, "after": [nobody]});
    let answer = cluster.post("/v1/tasks", &unknown).await.expect_problem(404, "unknown_task");
    assert!(answer["detail"].as_str().unwrap().contains("to run after"), "{answer}");
    let alone = json!({"function_id": function, "on_failure": "run"});
    cluster.post("/v1/tasks", &alone).await.expect(400);
    cluster.stop().await;
}

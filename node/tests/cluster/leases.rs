//! The rules of leases, with a clock: what a silent, a late and a slow worker may still do.

use raftwork_api::kernel::Accepted;
use raftwork_api::stream::FromWorker;
use serde_json::{Value, json};

use crate::api::Call;
use crate::cluster::{ALL, Cluster, QUICK};
use crate::worker::{Puller, Pusher, named, request};

const SHORT: &str = "[worker]\nlease_ttl = \"1500ms\"\nheartbeat = \"500ms\"\nstart_deadline = \"500ms\"\n";

async fn counters(cluster: &Cluster, task: &Value) -> Value {
    cluster.api.task(&ALL, task.as_str().unwrap()).await["counters"].clone()
}

/// A started lease whose worker falls silent.
async fn abandoned(cluster: &Cluster, worker: &Puller, function: &str, name: &str) -> Value {
    cluster.api.submit(&ALL, function, json!([name])).await;
    let lease = worker.one().await;
    assert_eq!(worker.start(std::slice::from_ref(&lease)).await, json!([]));
    lease
}

/// A worker that was paused for longer than its time to live comes back on the connection that it has, and works on.
#[tokio::test]
async fn a_worker_that_was_silent_for_long_is_given_work_again() {
    let cluster = Cluster::start(&format!("{QUICK}{SHORT}")).await;
    let function = cluster.api.function(&ALL, "24h").await;
    let mut worker = Pusher::new();
    worker.join(cluster.api.url(cluster.leader().await), 1, &[]).await;
    let task = cluster.api.submit(&ALL, &function, json!(["silent"])).await;
    let first = worker.work(1).await[0].lease;
    worker.say(&FromWorker::Report { started: vec![first], ended: Vec::new() }).await;
    cluster.api.until_status(&ALL, &task, "queued").await;
    assert_eq!(worker.beat(&[first]).await, [first]);
    let second = worker.work(1).await[0].lease;
    assert!(second.task == first.task && second.token > first.token, "{first:?} {second:?}");
    assert_eq!(worker.complete(second, "1").await, Ok(Accepted::Completed));
}

/// One cluster for all rules, because a cluster costs more than a rule.
#[tokio::test]
async fn leases_end_when_they_must_and_not_before() {
    let cluster = Cluster::start(&format!("{QUICK}{SHORT}")).await;
    let function = cluster.api.function(&ALL, "24h").await;
    let worker = Puller::new(&cluster.api, &ALL);
    superseded(&cluster, &worker, &function).await;
    late(&cluster, &worker, &function).await;
    unstarted(&cluster, &worker, &function).await;
    kept_alive(&cluster, &worker, &function).await;
    cancelled(&cluster, &worker, &function).await;
    cluster.until_equal().await;
}

/// The lease of a silent worker goes to another under a higher token, and the first worker's result is refused.
async fn superseded(cluster: &Cluster, worker: &Puller, function: &str) {
    let first = abandoned(cluster, worker, function, "superseded").await;
    let other = Puller::new(&cluster.api, &ALL);
    let second = other.one().await;
    assert_eq!(second["task_id"], first["task_id"]);
    assert!(second["token"].as_u64() > first["token"].as_u64(), "{first} {second}");
    assert_eq!(second["attempt"], 2);
    worker.complete(&first, json!("first")).await.expect_problem(409, "stale_lease");
    assert_eq!(worker.beat(std::slice::from_ref(&first)).await, json!([named(&first)]));
    other.complete(&second, json!("second")).await.expect(200);
    worker.complete(&first, json!("first")).await.expect_problem(409, "stale_lease");
    let task = first["task_id"].as_str().unwrap();
    let result = cluster.api.served(&ALL, &Call::get(format!("/v1/tasks/{task}/result"))).await.expect(200);
    assert_eq!(result["value"], "second");
    let losses = json!({"failures": 0, "crashes": 0, "losses": 1, "returns": 0});
    assert_eq!(counters(cluster, &first["task_id"]).await, losses);
}

/// A result that comes after its lease, but before anybody else was granted the task, counts.
async fn late(cluster: &Cluster, worker: &Puller, function: &str) {
    let lease = abandoned(cluster, worker, function, "late").await;
    let task = lease["task_id"].as_str().unwrap();
    cluster.api.until_status(&ALL, task, "queued").await;
    worker.complete(&lease, json!("late")).await.expect(200);
    let other = Puller::new(&cluster.api, &ALL);
    assert_eq!(other.acquire(&request(), 1, "0s").await, Vec::<Value>::new());
    assert_eq!(cluster.api.task(&ALL, task).await["status"], "completed");
}

/// A grant that is not started goes back at its deadline, although its worker lives, and is charged to nobody.
async fn unstarted(cluster: &Cluster, worker: &Puller, function: &str) {
    cluster.api.submit(&ALL, function, json!(["unstarted"])).await;
    let first = worker.one().await;
    let beating = async {
        loop {
            worker.beat(&[]).await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let other = Puller::new(&cluster.api, &ALL);
    let second = tokio::select! {
        second = other.one() => second,
        () = beating => unreachable!("it beats for ever"),
    };
    assert_eq!((&second["task_id"], &second["attempt"]), (&first["task_id"], &json!(1)));
    assert!(second["token"].as_u64() > first["token"].as_u64());
    let returned = json!({"failures": 0, "crashes": 0, "losses": 0, "returns": 1});
    assert_eq!(counters(cluster, &first["task_id"]).await, returned);
    other.complete(&second, json!(null)).await.expect(200);
}

/// Heartbeats, through whatever node, keep a started lease for several times to live.
async fn kept_alive(cluster: &Cluster, worker: &Puller, function: &str) {
    let lease = abandoned(cluster, worker, function, "kept alive").await;
    let other = Puller::new(&cluster.api, &ALL);
    let beating = async {
        loop {
            assert_eq!(worker.beat(std::slice::from_ref(&lease)).await, json!([]));
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    let ask = request();
    let stolen = tokio::select! {
        stolen = other.acquire(&ask, 1, "4s") => stolen,
        () = beating => unreachable!("it beats for ever"),
    };
    assert_eq!(stolen, Vec::<Value>::new());
    worker.complete(&lease, json!(null)).await.expect(200);
}

/// A cancelled task is taken from its worker, and one that waits never starts.
async fn cancelled(cluster: &Cluster, worker: &Puller, function: &str) {
    let lease = abandoned(cluster, worker, function, "cancelled").await;
    let waiting = cluster.api.submit(&ALL, function, json!(["never started"])).await;
    for task in [lease["task_id"].as_str().unwrap(), &waiting] {
        let cancel = Call::post(format!("/v1/tasks/{task}/cancel"), json!({}));
        cluster.api.served(&ALL, &cancel).await.expect(200);
        assert_eq!(cluster.api.task(&ALL, task).await["status"], "cancelled");
    }
    assert_eq!(worker.beat(std::slice::from_ref(&lease)).await, json!([named(&lease)]));
    worker.complete(&lease, json!("too late")).await.expect_problem(409, "already_finished");
    assert_eq!(worker.acquire(&request(), 1, "0s").await, Vec::<Value>::new());
}

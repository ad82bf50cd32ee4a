//! `kill -9` of the leader under running work: nothing that lives is run again.

use raftwork_kernel::{Accepted, LeaseRef};
use serde_json::{Value, json};

use crate::cluster::{ALL, Cluster, QUICK};
use crate::wait::until;
use crate::worker::{Puller, Pusher, named, request};

/// A lease outlives an election and a good part of a busy machine's delays; a grant must be started soon.
const LEASES: &str = "[worker]\nlease_ttl = \"8s\"\nheartbeat = \"1s\"\nstart_deadline = \"1s\"\n";
/// Longer than a start may take, and than the leader needs to notice a lease that it does not know: a worker that is
/// silent for so long after an election still has its leases.
const SILENCE: &str = "4s";

#[tokio::test]
async fn a_killed_leader_takes_no_lease_with_it() {
    let mut cluster = Cluster::start(&format!("{QUICK}{LEASES}")).await;
    let leader = cluster.leader().await;
    let survivors = Cluster::others(leader);
    let api = cluster.api.clone();
    let function = api.function(&ALL, "24h").await;
    for n in 0..3 {
        api.submit(&ALL, &function, json!([n])).await;
    }
    let (worker, other) = (Puller::new(&api, &survivors), Puller::new(&api, &survivors));
    let ask = request();
    let leases = worker.acquire(&ask, 3, "4s").await;
    assert_eq!(leases.len(), 3);
    assert_eq!(worker.start(&leases).await, json!([]));

    cluster.kill(leader);
    // Nobody gets them while their worker says nothing: the election counts as the last that was heard of it.
    assert_eq!(other.acquire(&request(), 3, SILENCE).await, Vec::<Value>::new());
    // The answer was lost on its way, says the worker: it gets the same grants from whoever leads.
    let again = worker.acquire(&ask, 3, "1s").await;
    let tokens = |leases: &[Value]| {
        let mut tokens: Vec<u64> = leases.iter().map(|lease| lease["token"].as_u64().unwrap()).collect();
        tokens.sort_unstable();
        tokens
    };
    assert_eq!(tokens(&again), tokens(&leases));
    assert_eq!(worker.beat(&leases).await, json!([]), "a lease was lost with the leader");
    assert_eq!(other.acquire(&request(), 3, SILENCE).await, Vec::<Value>::new());
    assert_eq!(worker.beat(&leases).await, json!([]));
    for lease in &leases {
        worker.complete(lease, lease["token"].clone()).await.expect(200);
        let info = api.task(&survivors, lease["task_id"].as_str().unwrap()).await;
        assert_eq!((&info["status"], &info["token"]), (&json!("completed"), &lease["token"]));
        assert_eq!(info["counters"], json!({"failures": 0, "crashes": 0, "losses": 0, "returns": 0}));
    }
}

/// A worker that died with the leader is missed one time to live after the election, and its task goes to another.
#[tokio::test]
async fn a_worker_that_dies_with_the_leader_is_missed() {
    let ttl = "[worker]\nlease_ttl = \"2s\"\nheartbeat = \"500ms\"\nstart_deadline = \"1s\"\n";
    let mut cluster = Cluster::start(&format!("{QUICK}{ttl}")).await;
    let leader = cluster.leader().await;
    let survivors = Cluster::others(leader);
    let api = cluster.api.clone();
    let function = api.function(&ALL, "24h").await;
    let task = api.submit(&ALL, &function, json!([])).await;
    let dead = Puller::new(&api, &survivors);
    let lost = dead.one().await;
    assert_eq!(dead.start(std::slice::from_ref(&lost)).await, json!([]));
    cluster.kill(leader);
    let heir = Puller::new(&api, &survivors);
    let found = heir.one().await;
    assert_eq!(found["task_id"], json!(task));
    assert!(found["token"].as_u64() > lost["token"].as_u64());
    dead.complete(&lost, json!("late")).await.expect_problem(409, "stale_lease");
    assert_eq!(dead.beat(std::slice::from_ref(&lost)).await, json!([named(&lost)]));
    heir.complete(&found, json!("in time")).await.expect(200);
}

#[tokio::test]
async fn push_workers_keep_their_tasks_over_two_killed_leaders() {
    let mut cluster = Cluster::start(&format!("{QUICK}{LEASES}")).await;
    let api = cluster.api.clone();
    let function = api.function(&ALL, "24h").await;
    let mut leader = cluster.leader().await;
    let (mut worker, mut idle) = (Pusher::new(), Pusher::new());
    worker.join(api.url(leader), 2, &[]).await;
    for n in 0..2 {
        api.submit(&ALL, &function, json!([n])).await;
    }
    let held: Vec<LeaseRef> = worker.work(2).await.iter().map(|work| work.lease).collect();
    worker.say(&raftwork_api::stream::FromWorker::Report { started: held.clone(), ended: Vec::new() }).await;
    assert_eq!(worker.beat(&held).await, []);
    for _ in 0..2 {
        cluster.kill(leader);
        let killed = leader;
        leader = cluster.leader().await;
        idle.join(api.url(leader), 2, &[]).await;
        worker.join(api.url(leader), 2, &held).await;
        assert_eq!(worker.beat(&held).await, [], "a lease was lost with the leader");
        assert_eq!(idle.beat(&[]).await, []);
        cluster.spawn(killed);
        cluster.until_ready(&[killed]).await;
    }
    for lease in &held {
        assert_eq!(worker.complete(*lease, "1").await, Ok(Accepted::Completed));
    }
    assert!(idle.granted().is_empty(), "a running task was granted again");
    let ended = until("both have ended", async || {
        let tasks = api.tasks(&ALL).await;
        tasks.iter().all(|task| task["status"] == "completed").then_some(tasks)
    })
    .await;
    for task in ended {
        assert_eq!(task["counters"], json!({"failures": 0, "crashes": 0, "losses": 0, "returns": 0}));
    }
    cluster.until_equal().await;
}

//! A leader that is paused: it must not speak from memory if it was deposed, nor blame others for its own silence if not.

use raftwork_api::stream::ToWorker;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::api::Call;
use crate::cluster::{ALL, Cluster, QUICK};
use crate::raw::Raw;
use crate::wait::PATIENCE;
use crate::worker::{Puller, Pusher, named};

/// Requests that wait in the paused leader's sockets and are the first that it sees.
const QUEUED: usize = 8;

/// Sends `call` so often to the paused `node`; the answers come when it goes on.
async fn queued(cluster: &Cluster, node: u64, call: &Call) -> Vec<Raw> {
    let mut waiting = Vec::new();
    for _ in 0..QUEUED {
        waiting.push(Raw::send(cluster.api.url(node), call.as_http().as_bytes()).await);
    }
    waiting
}

/// Those of the answers that say something, as JSON.
async fn spoken(waiting: Vec<Raw>) -> Vec<Value> {
    let mut spoken = Vec::new();
    for raw in waiting {
        let (status, body) = raw.answer().await;
        assert!(matches!(status, 200 | 503 | 504), "{status} {body}");
        spoken.extend((status == 200).then_some(body));
    }
    spoken
}

#[tokio::test]
async fn a_leader_that_was_paused_reads_nothing_stale() {
    let mut cluster = Cluster::start(QUICK).await;
    let api = cluster.api.clone();
    let function = api.function(&ALL, "24h").await;
    for round in 0..3 {
        let old = cluster.leader().await;
        let others = Cluster::others(old);
        let waiting = api.submit(&ALL, &function, json!([round, "waiting"])).await;
        let worker = Puller::new(&api, &others);
        let lease = worker.one().await;
        assert_eq!(lease["task_id"], json!(waiting));
        let mut streaming = Pusher::new();
        streaming.join(api.url(old), 1, &[]).await;

        cluster.pause(&[old]);
        worker.complete(&lease, json!(round)).await.expect(200);
        let read = Call::get(format!("/v1/tasks/{waiting}"));
        let reads = queued(&cluster, old, &read).await;
        let beat = Call::post("/v1/leases/heartbeat", worker.holding(std::slice::from_ref(&lease)));
        let beats = queued(&cluster, old, &beat).await;
        cluster.resume(&[old]);
        for body in spoken(reads).await {
            assert_eq!(body["status"], "completed", "a stale read");
        }
        for body in spoken(beats).await {
            assert_eq!(body["lost"], json!([named(&lease)]), "a stale heartbeat");
        }
        let leader = streaming
            .hear(|message| match message {
                ToWorker::NotLeader { leader } => Some(leader.clone()),
                _ => None,
            })
            .await;
        assert_ne!(leader.as_deref(), Some(api.url(old)));
        assert_eq!(api.task(&ALL, &waiting).await["status"], "completed");
        cluster.until_ready(&ALL).await;
    }
    cluster.until_equal().await;
}

#[tokio::test]
async fn a_leader_that_was_paused_denies_no_task_that_its_successor_accepted() {
    let mut cluster = Cluster::start(QUICK).await;
    let api = cluster.api.clone();
    let function = api.function(&ALL, "24h").await;
    for round in 0..3 {
        let old = cluster.leader().await;
        let others = Cluster::others(old);
        cluster.pause(&[old]);
        let task = api.submit(&others, &function, json!([round])).await;
        let lease = Puller::new(&api, &others).one().await;
        assert_eq!(lease["task_id"], json!(task));
        let body = json!({"task_id": task, "token": lease["token"], "value": round});
        let reports = queued(&cluster, old, &Call::post("/v1/leases/complete", body)).await;
        cluster.resume(&[old]);
        for body in spoken(reports).await {
            assert_eq!(body["status"], "completed");
        }
        cluster.until_ready(&ALL).await;
    }
}

/// Reads everywhere, writes wherever they are taken, and pauses of whoever leads: no read is older than a write that was
/// acknowledged before it began, and none is older than an earlier read.
#[tokio::test]
async fn reads_on_every_node_keep_up_with_acknowledged_writes() {
    let mut cluster = Cluster::start(QUICK).await;
    let api = cluster.api.clone();
    let function = api.function(&ALL, "24h").await;
    let mut readers = JoinSet::new();
    let newest = std::sync::Arc::new(std::sync::Mutex::new(None::<String>));
    let (over, watch) = tokio::sync::watch::channel(false);
    for node in ALL {
        let (api, newest, watch) = (api.clone(), std::sync::Arc::clone(&newest), watch.clone());
        readers.spawn(async move {
            let mut served = 0;
            while !*watch.borrow() {
                let task: Option<String> = newest.lock().unwrap().clone();
                let Some(task) = task else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let read = Call::get(format!("/v1/tasks/{task}"));
                if let Some(answer) = api.within(PATIENCE, node, &read).await
                    && !matches!(answer.status, 503 | 504)
                {
                    assert_eq!(answer.status, 200, "node {node} does not know an acknowledged task");
                    served += 1;
                }
            }
            served
        });
    }
    for round in 0..3 {
        let leader = cluster.leader().await;
        let others = Cluster::others(leader);
        for n in 0..10 {
            let task = api.submit(&ALL, &function, json!([round, n])).await;
            newest.lock().unwrap().replace(task);
        }
        cluster.pause(&[leader]);
        for n in 10..20 {
            let task = api.submit(&others, &function, json!([round, n])).await;
            newest.lock().unwrap().replace(task);
        }
        cluster.resume(&[leader]);
        cluster.until_ready(&ALL).await;
    }
    over.send_replace(true);
    let served: Vec<u32> = readers.join_all().await;
    assert!(served.iter().all(|served| *served > 20), "too few reads to say anything: {served:?}");
    let listed: Vec<Value> = api.tasks(&ALL).await;
    assert_eq!(listed.len(), 60);
    cluster.until_equal().await;
}

/// Nobody can depose a leader that is alone. What its workers said while it stood still waits in its sockets, and they keep
/// their leases.
#[tokio::test]
async fn a_leader_that_was_paused_takes_no_lease_for_that() {
    let leases = "[worker]\nlease_ttl = \"1500ms\"\nheartbeat = \"500ms\"\nstart_deadline = \"1s\"\n";
    let mut cluster = Cluster::of(&[1], &format!("{QUICK}{leases}"));
    cluster.spawn(1);
    cluster.until_ready(&[1]).await;
    let api = cluster.api.clone();
    let function = api.function(&[1], "24h").await;
    let task = api.submit(&[1], &function, json!([])).await;
    let worker = Puller::new(&api, &[1]);
    let lease = worker.one().await;
    assert_eq!(worker.start(std::slice::from_ref(&lease)).await, json!([]));
    let beat = Call::post("/v1/leases/heartbeat", worker.holding(std::slice::from_ref(&lease)));
    for _ in 0..5 {
        cluster.pause(&[1]);
        let beats = queued(&cluster, 1, &beat).await;
        // The time that passes is what this is about: nothing happens that could be waited for.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        cluster.resume(&[1]);
        for body in spoken(beats).await {
            assert_eq!(body["lost"], json!([]), "the leader's pause has cost a lease");
        }
    }
    worker.complete(&lease, json!("the first attempt")).await.expect(200);
    let counters = api.task(&[1], &task).await["counters"].clone();
    assert_eq!(counters, json!({"failures": 0, "crashes": 0, "losses": 0, "returns": 0}));
}

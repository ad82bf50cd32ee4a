//! `kill -9` of every node at once, under load: what was acknowledged is there, once, whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::api::{Api, Call, submit};
use crate::cluster::{ALL, Cluster, QUICK};
use crate::wait::until;
use crate::worker::{Puller, request};

/// Tasks in one batch.
const BATCH: usize = 5;

/// What one client has sent, and what was acknowledged of it.
#[derive(Default)]
struct Sent {
    /// Key to the ids that were acknowledged; none yet for what is on its way, or was cut off.
    singles: BTreeMap<String, Option<String>>,
    batches: BTreeMap<String, Option<Vec<String>>>,
}

type Ledger = Arc<Mutex<Sent>>;

fn batch(function: &str, key: &str) -> Call {
    let items: Vec<Value> = (0..BATCH).map(|n| json!({"args": [key, n]})).collect();
    Call::post("/v1/tasks/batch", json!({"function_id": function, "items": items})).key(key)
}

fn ids_of(answer: &Value) -> Vec<String> {
    answer["task_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// Submits to one node until the connection breaks, and notes what was acknowledged.
async fn submit_on(api: Api, node: u64, function: String, round: String, ledger: Ledger) {
    for n in 0.. {
        let (args, key) = (json!([round, node, n]), format!("batch {round} {node} {n}"));
        let call = submit(&function, &args);
        ledger.lock().unwrap().singles.insert(args.to_string(), None);
        let Some(answer) = api.within(crate::wait::PATIENCE, node, &call).await else { return };
        if answer.status == 201 {
            let id = answer.expect(201)["task_id"].as_str().unwrap().to_owned();
            ledger.lock().unwrap().singles.insert(args.to_string(), Some(id));
        }
        ledger.lock().unwrap().batches.insert(key.clone(), None);
        let Some(answer) = api.within(crate::wait::PATIENCE, node, &batch(&function, &key)).await else {
            return;
        };
        if answer.status == 201 {
            ledger.lock().unwrap().batches.insert(key, Some(ids_of(&answer.expect(201))));
        }
    }
}

/// Repeats everything that was ever sent: what was acknowledged keeps its id; what was cut off is done whole, once.
async fn repeat(api: &Api, function: &str, sent: &mut Sent) {
    let acknowledged = |answer: &crate::api::Answer| answer.headers.contains_key("idempotent-replayed");
    for (key, id) in &mut sent.singles {
        let answer = api.served(&ALL, &submit(function, &serde_json::from_str(key).unwrap())).await;
        let again = answer.expect(201)["task_id"].as_str().unwrap().to_owned();
        if let Some(id) = id {
            assert!(acknowledged(&answer), "the acknowledged task {id} is gone");
            assert_eq!(*id, again);
        }
        *id = Some(again);
    }
    for (key, ids) in &mut sent.batches {
        let answer = api.served(&ALL, &batch(function, key)).await.expect(201);
        let (again, created) = (ids_of(&answer), answer["created"].as_u64().unwrap());
        assert!(
            [0, BATCH as u64].contains(&created),
            "half a batch was there: {created} of {BATCH} were new"
        );
        if let Some(ids) = ids {
            assert_eq!((created, &*ids), (0, &again), "an acknowledged batch is gone");
        }
        *ids = Some(again);
    }
}

/// Id to arguments of everything that must be there.
fn expected(sent: &Sent) -> BTreeMap<String, Value> {
    let singles =
        sent.singles.iter().map(|(key, id)| (id.clone().unwrap(), serde_json::from_str(key).unwrap()));
    let batches = sent.batches.iter().flat_map(|(key, ids)| {
        ids.as_ref().unwrap().iter().enumerate().map(move |(n, id)| (id.clone(), json!([key, n])))
    });
    singles.chain(batches).collect()
}

async fn crash_under_load(cluster: &mut Cluster, function: &str, round: &str, sent: Ledger) {
    let mut clients = JoinSet::new();
    for node in ALL {
        let (api, function, sent) = (cluster.api.clone(), function.to_owned(), Arc::clone(&sent));
        clients.spawn(submit_on(api, node, function, round.to_owned(), sent));
    }
    let before = sent.lock().unwrap().singles.len();
    until("there is some load", async || (sent.lock().unwrap().singles.len() > before + 60).then_some(()))
        .await;
    cluster.kill_all();
    clients.join_all().await;
    cluster.spawn_all();
    cluster.until_ready(&ALL).await;
}

#[tokio::test]
async fn a_crash_of_every_node_loses_nothing_acknowledged_and_halves_nothing() {
    let mut cluster = Cluster::start(QUICK).await;
    let function = cluster.api.function(&ALL, "24h").await;
    let sent = Ledger::default();
    for round in ["first", "second", "third"] {
        crash_under_load(&mut cluster, &function, round, Arc::clone(&sent)).await;
    }
    let mut sent = sent.lock().map(|mut sent| std::mem::take(&mut *sent)).unwrap();
    assert!(sent.singles.values().any(Option::is_none), "no request was cut off: the load was too thin");
    repeat(&cluster.api, &function, &mut sent).await;
    let expected = expected(&sent);

    let listed = cluster.api.tasks(&ALL).await;
    let ids: BTreeMap<&str, u32> = listed.iter().fold(BTreeMap::new(), |mut ids, task| {
        *ids.entry(task["task_id"].as_str().unwrap()).or_default() += 1;
        ids
    });
    assert!(ids.values().all(|count| *count == 1), "a task is listed twice");
    assert!(ids.keys().copied().eq(expected.keys().map(String::as_str)), "lost, or made up");

    let worker = Puller::new(&cluster.api, &ALL);
    let mut granted = BTreeMap::new();
    while granted.len() < expected.len() {
        let leases = worker.acquire(&request(), 1000, "4s").await;
        assert!(!leases.is_empty(), "{} of {} tasks were granted", granted.len(), expected.len());
        for lease in leases {
            let id = lease["task_id"].as_str().unwrap().to_owned();
            assert_eq!(granted.insert(id, lease["arguments"]["args"].clone()), None, "granted twice");
        }
    }
    assert!(granted == expected, "a payload has changed");
    cluster.until_equal().await;
}

//! Framed streams, spoken by hand: an SDK client's, and as much of a worker's as HTTP shows of it.

use raftwork_api::frame::{self, Frame, FrameReader, FrameWriter};
use raftwork_api::kernel::{
    Accepted, Cancel, FunctionId, Outcome, Rejection, Status, Submit, TaskId, TaskOptions, WorkerId, decode,
    encode,
};
use raftwork_api::paths;
use raftwork_api::stream::{
    FromClient, FromWorker, Hello, MESSAGE, PROTOCOL, ROLE_CLIENT, ROLE_HEADER, ROLE_WORKER, ToClient,
    ToWorker,
};
use raftwork_api::workers::WorkerMode;
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::io::ReadHalf;

use crate::support::{Cluster, PATIENCE, worker_id};

struct Caller {
    reader: FrameReader<ReadHalf<reqwest::Upgraded>>,
    writer: FrameWriter,
}

impl Caller {
    async fn connect(cluster: &Cluster, role: &str) -> Self {
        let request = cluster.request(Method::GET, paths::STREAM);
        let headers = [("connection", "upgrade"), ("upgrade", PROTOCOL), (ROLE_HEADER, role)];
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 101);
        let (reader, writer) = frame::split(response.upgrade().await.unwrap());
        Self { reader, writer }
    }

    /// A client, which is told first where the nodes are.
    async fn client(cluster: &Cluster) -> Self {
        let mut caller = Self::connect(cluster, ROLE_CLIENT).await;
        assert_eq!(caller.receive().await, (0, ToClient::Members(vec![cluster.url(1)])));
        caller
    }

    async fn send<T: Serialize>(&self, id: u64, request: &T) {
        self.writer.send(Frame { id, kind: MESSAGE, payload: encode(request).into() }).await.unwrap();
    }

    async fn receive<T: DeserializeOwned>(&mut self) -> (u64, T) {
        let frame = tokio::time::timeout(PATIENCE, self.reader.next()).await.unwrap().unwrap().unwrap();
        (frame.id, decode("message", &frame.payload).unwrap())
    }
}

fn submit(function: &str, task: TaskId) -> Submit {
    let function: FunctionId = function.parse().unwrap();
    let args = br#"{"args":[],"kwargs":{}}"#.to_vec().into();
    Submit { function, options: TaskOptions::default(), items: vec![(task, args)] }
}

#[tokio::test]
async fn submitted_tasks_are_watched_to_their_end() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let mut client = Caller::client(&cluster).await;
    let task = TaskId::from_u128(17);
    client.send(1, &FromClient::Submit { submit: submit(&function, task), watch: true }).await;
    assert_eq!(client.receive().await, (1, ToClient::Reply(Ok(Accepted::Submitted { created: 1 }))));
    client.send(2, &FromClient::Status(task)).await;
    let (id, answer): (u64, ToClient) = client.receive().await;
    assert!(id == 2 && matches!(answer, ToClient::Status(Some((Status::Queued, _)))), "{answer:?}");
    let lease = cluster.acquire(&worker_id()).await;
    cluster.complete(&lease, json!(5)).await.expect(200);
    let (id, answer): (u64, ToClient) = client.receive().await;
    let ToClient::Finished(ended) = answer else { panic!("{answer:?}") };
    assert_eq!((id, ended.len(), ended[0].0), (0, 1, task));
    assert_eq!(ended[0].1.as_ref().unwrap().outcome, Outcome::Completed(b"5".to_vec().into()));
    cluster.stop().await;
}

#[tokio::test]
async fn requests_are_answered_under_their_ids_and_refusals_are_answers() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let mut client = Caller::client(&cluster).await;
    for n in 1..=100u64 {
        let watch = false;
        client
            .send(n, &FromClient::Submit { submit: submit(&function, TaskId::from_u128(n.into())), watch })
            .await;
    }
    let nobody = TaskId::from_u128(1000);
    client.send(101, &FromClient::Cancel(Cancel { task: nobody })).await;
    client.send(102, &FromClient::Watch(vec![nobody])).await;
    let mut answers = std::collections::BTreeMap::new();
    while answers.len() < 103 {
        let (id, answer): (u64, ToClient) = client.receive().await;
        assert!(answers.insert(id, answer).is_none(), "{id} was answered twice");
    }
    assert!((1..=100).all(|id| answers[&id] == ToClient::Reply(Ok(Accepted::Submitted { created: 1 }))));
    assert_eq!(answers[&101], ToClient::Reply(Err(Rejection::UnknownTask(nobody))));
    assert_eq!(answers[&102], ToClient::Watching);
    assert_eq!(answers[&0], ToClient::Finished(vec![(nobody, None)]));
    cluster.stop().await;
}

/// A worker with Python 3.11 that asks for nothing.
async fn idle_worker(cluster: &Cluster) -> (Caller, WorkerId) {
    let mut caller = Caller::connect(cluster, ROLE_WORKER).await;
    let worker: WorkerId = worker_id().parse().unwrap();
    let hello = Hello {
        worker,
        name: "idle".to_owned(),
        python: "3.11".parse().unwrap(),
        slots: 4,
        capacity: 4,
        mode: WorkerMode::Pull,
        held: Vec::new(),
    };
    caller.send(1, &FromWorker::Hello(hello)).await;
    let (_, welcome): (u64, ToWorker) = caller.receive().await;
    assert!(matches!(welcome, ToWorker::Welcome { .. }), "{welcome:?}");
    assert_eq!(caller.receive().await, (0, ToWorker::Members(vec![cluster.url(1)])));
    (caller, worker)
}

#[tokio::test]
async fn a_connected_worker_is_listed_and_told_to_drain() {
    let cluster = Cluster::one().await;
    let (mut caller, worker) = idle_worker(&cluster).await;
    let list = cluster.get("/v1/workers").await.expect(200);
    assert_eq!(list["workers"][0]["worker_id"], json!(worker));
    assert_eq!((&list["workers"][0]["name"], &list["workers"][0]["slots"]), (&json!("idle"), &json!(4)));
    let drained = cluster.post(&format!("/v1/workers/{worker}/drain"), &json!(null)).await.expect(200);
    assert_eq!(drained["draining"], true);
    assert_eq!(caller.receive::<ToWorker>().await.1, ToWorker::Drain);
    cluster.stop().await;
}

#[tokio::test]
async fn a_task_that_needs_another_python_says_so() {
    let cluster = Cluster::one().await;
    let body = json!({"name": "f", "format": "source", "code": "def f(): ...", "python": "3.99"});
    let function =
        cluster.post("/v1/functions", &body).await.expect(201)["function_id"].as_str().unwrap().to_owned();
    let _connected = idle_worker(&cluster).await;
    let task = cluster.submit(&function, &json!([])).await;
    let info = cluster.get(&format!("/v1/tasks/{task}")).await.expect(200);
    assert_eq!(info["waiting_for"], "no worker with Python 3.99 is connected (connected: 3.11 x1)");
    cluster.stop().await;
}

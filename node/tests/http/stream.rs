//! The framed stream of an SDK client, spoken by hand.

use raftwork_api::frame::{self, Frame, FrameReader, FrameWriter};
use raftwork_api::kernel::{Accepted, Cancel, FunctionId, Outcome, Rejection, Status, Submit, TaskId, TaskOptions, decode, encode};
use raftwork_api::paths;
use raftwork_api::stream::{FromClient, MESSAGE, ToClient};
use reqwest::Method;
use serde_json::json;
use tokio::io::ReadHalf;

use crate::support::{Cluster, PATIENCE, worker_id};

struct Client {
    reader: FrameReader<ReadHalf<reqwest::Upgraded>>,
    writer: FrameWriter,
}

impl Client {
    async fn connect(cluster: &Cluster, node: u64) -> Self {
        let request = cluster.request_to(node, Method::GET, paths::STREAM);
        let headers = [("connection", "upgrade"), ("upgrade", "raftwork/1"), ("x-raftwork-role", "client")];
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 101);
        let (reader, writer) = frame::split(response.upgrade().await.unwrap());
        Self { reader, writer }
    }

    async fn send(&self, id: u64, request: &FromClient) {
        self.writer.send(Frame { id, kind: MESSAGE, payload: encode(request).into() }).await.unwrap();
    }

    async fn receive(&mut self) -> (u64, ToClient) {
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
    let mut client = Client::connect(&cluster, 1).await;
    let task = TaskId::from_u128(17);
    client.send(1, &FromClient::Submit { submit: submit(&function, task), watch: true }).await;
    assert_eq!(client.receive().await, (1, ToClient::Reply(Ok(Accepted::Submitted { created: 1 }))));
    client.send(2, &FromClient::Status(task)).await;
    let (id, answer) = client.receive().await;
    assert!(id == 2 && matches!(answer, ToClient::Status(Some((Status::Queued, _)))), "{answer:?}");
    let lease = cluster.acquire(&worker_id()).await;
    cluster.complete(&lease, json!(5)).await.expect(200);
    let (id, answer) = client.receive().await;
    let ToClient::Finished(ended) = answer else { panic!("{answer:?}") };
    assert_eq!((id, ended.len(), ended[0].0), (0, 1, task));
    assert_eq!(ended[0].1.as_ref().unwrap().outcome, Outcome::Completed(b"5".to_vec().into()));
    cluster.stop().await;
}

#[tokio::test]
async fn requests_are_answered_under_their_ids_and_refusals_are_answers() {
    let cluster = Cluster::one().await;
    let function = cluster.source().await;
    let mut client = Client::connect(&cluster, 1).await;
    for n in 1..=100u64 {
        let watch = false;
        client.send(n, &FromClient::Submit { submit: submit(&function, TaskId::from_u128(n.into())), watch }).await;
    }
    let nobody = TaskId::from_u128(1000);
    client.send(101, &FromClient::Cancel(Cancel { task: nobody })).await;
    client.send(102, &FromClient::Watch(vec![nobody])).await;
    let mut answers = std::collections::BTreeMap::new();
    while answers.len() < 103 {
        let (id, answer) = client.receive().await;
        assert!(answers.insert(id, answer).is_none(), "{id} was answered twice");
    }
    assert!((1..=100).all(|id| answers[&id] == ToClient::Reply(Ok(Accepted::Submitted { created: 1 }))));
    assert_eq!(answers[&101], ToClient::Reply(Err(Rejection::UnknownTask(nobody))));
    assert_eq!(answers[&102], ToClient::Watching);
    assert_eq!(answers[&0], ToClient::Finished(vec![(nobody, None)]));
    cluster.stop().await;
}

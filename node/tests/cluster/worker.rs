//! Workers for tests: one in plain HTTP, and one that speaks a worker's stream by hand.

use std::collections::BTreeSet;

use raftwork_api::frame::{self, Frame, FrameReader, FrameWriter};
use raftwork_api::kernel::{
    Complete, LeaseRef, Output, PythonVersion, Reply, RequestId, TaskId, WorkerId, decode, encode,
};
use raftwork_api::paths;
use raftwork_api::stream::{
    Ending, FromWorker, Hello, MESSAGE, PROTOCOL, ROLE_HEADER, ROLE_WORKER, ToWorker, Work,
};
use raftwork_api::workers::WorkerMode;
use serde_json::{Value, json};
use tokio::io::ReadHalf;
use uuid::Uuid;

use crate::api::{Answer, Api, Call};
use crate::wait::{PATIENCE, until};

/// A pull worker in plain HTTP.
pub struct Puller {
    pub id: String,
    pub nodes: Vec<u64>,
    api: Api,
}

impl Puller {
    /// One that asks these nodes, in turn, until it is served.
    pub fn new(api: &Api, nodes: &[u64]) -> Self {
        Self { id: Uuid::now_v7().to_string(), nodes: nodes.to_vec(), api: api.clone() }
    }

    /// Asks for up to `max` tasks under `request`, and waits for some.
    pub async fn acquire(&self, request: &str, max: u16, wait: &str) -> Vec<Value> {
        let body =
            json!({"worker_id": self.id, "request_id": request, "python": "3.11", "max": max, "wait": wait});
        let answer = self.api.served(&self.nodes, &Call::post("/v1/leases/acquire", body)).await;
        answer.expect(200)["leases"].as_array().unwrap().clone()
    }

    /// Takes exactly one task; waits for it.
    pub async fn one(&self) -> Value {
        // Less than a try's patience, so that a wait is never cut off with a grant on its way.
        for _ in 0..8 {
            let mut leases = self.acquire(&Uuid::now_v7().to_string(), 1, "4s").await;
            assert!(leases.len() <= 1, "{leases:?}");
            if let Some(lease) = leases.pop() {
                return lease;
            }
        }
        panic!("there was nothing to do");
    }

    pub async fn start(&self, leases: &[Value]) -> Value {
        self.held("/v1/leases/start", leases).await
    }

    pub async fn beat(&self, leases: &[Value]) -> Value {
        self.held("/v1/leases/heartbeat", leases).await
    }

    /// Returns the leases among these that are over.
    async fn held(&self, path: &str, leases: &[Value]) -> Value {
        let answer = self.api.served(&self.nodes, &Call::post(path, self.holding(leases))).await;
        answer.expect(200)["lost"].clone()
    }

    /// The body of a heartbeat.
    pub fn holding(&self, leases: &[Value]) -> Value {
        let leases: Vec<Value> = leases.iter().map(named).collect();
        json!({"worker_id": self.id, "leases": leases})
    }

    pub async fn complete(&self, lease: &Value, value: Value) -> Answer {
        let body = json!({"task_id": lease["task_id"], "token": lease["token"], "value": value});
        self.api.served(&self.nodes, &Call::post("/v1/leases/complete", body)).await
    }
}

/// A lease as heartbeats name it.
pub fn named(lease: &Value) -> Value {
    json!({"task": lease["task_id"], "token": lease["token"]})
}

/// A connection that was upgraded to frames.
pub struct Connection {
    pub reader: FrameReader<ReadHalf<reqwest::Upgraded>>,
    pub writer: FrameWriter,
}

impl Connection {
    /// Connects in this role, with more headers if it needs them. `None`: the node cannot be reached.
    pub async fn open(url: &str, role: &str, more: &[(&str, &str)]) -> Option<Self> {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let headers = [("connection", "upgrade"), ("upgrade", PROTOCOL), (ROLE_HEADER, role)];
        let request = http.get(format!("{url}{}", paths::STREAM));
        let request =
            headers.iter().chain(more).fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.ok()?;
        assert_eq!(response.status(), 101);
        let (reader, writer) = frame::split(response.upgrade().await.ok()?);
        Some(Self { reader, writer })
    }

    pub async fn say(&self, kind: u8, payload: Vec<u8>) {
        // An error says that the node has hung up, which the reader sees too.
        let _ = self.writer.send(Frame { id: 1, kind, payload: payload.into() }).await;
    }

    /// Reads until the node hangs up.
    pub async fn until_closed(&mut self) {
        let closed = async { while let Ok(Some(_)) = self.reader.next().await {} };
        tokio::time::timeout(PATIENCE, closed).await.expect("the node hangs up");
    }
}

/// A push worker on a stream.
pub struct Pusher {
    pub id: WorkerId,
    connection: Option<Connection>,
    /// What the node has said and nobody has asked for yet.
    heard: Vec<ToWorker>,
    beats: u64,
}

impl Pusher {
    pub fn new() -> Self {
        Self { id: WorkerId::from(Uuid::now_v7()), connection: None, heard: Vec::new(), beats: 0 }
    }

    /// Connects to the node at `url`, and again if that does not lead yet. `held` is from before.
    pub async fn join(&mut self, url: &str, capacity: u16, held: &[LeaseRef]) {
        until("the worker is taken in", async || {
            self.connect(url, capacity, held).await?;
            let leads = |message: &ToWorker| match message {
                ToWorker::Welcome { .. } => Some(true),
                ToWorker::NotLeader { .. } => Some(false),
                _ => None,
            };
            self.hear(leads).await.then_some(())
        })
        .await;
    }

    async fn connect(&mut self, url: &str, capacity: u16, held: &[LeaseRef]) -> Option<()> {
        self.heard.clear();
        self.connection = Some(Connection::open(url, ROLE_WORKER, &[]).await?);
        let hello = Hello {
            worker: self.id,
            name: "pusher".to_owned(),
            python: PythonVersion { major: 3, minor: 11 },
            slots: capacity,
            capacity,
            mode: WorkerMode::Push,
            held: held.iter().map(|lease| (*lease, true)).collect(),
        };
        self.say(&FromWorker::Hello(hello)).await;
        Some(())
    }

    pub async fn say(&self, message: &FromWorker) {
        self.connection.as_ref().unwrap().say(MESSAGE, encode(message)).await;
    }

    /// Waits for the first message that `wanted` takes; the others are kept.
    pub async fn hear<T>(&mut self, wanted: impl Fn(&ToWorker) -> Option<T>) -> T {
        loop {
            if let Some((at, taken)) =
                self.heard.iter().enumerate().find_map(|(at, message)| Some((at, wanted(message)?)))
            {
                self.heard.remove(at);
                return taken;
            }
            let reader = &mut self.connection.as_mut().unwrap().reader;
            let frame = tokio::time::timeout(PATIENCE, reader.next()).await.expect("a message comes in time");
            let frame = frame.unwrap().unwrap_or_else(|| panic!("hung up after {:?}", self.heard));
            self.heard.push(decode("message", &frame.payload).unwrap());
        }
    }

    /// Waits for work, until there are `count` pieces.
    pub async fn work(&mut self, count: usize) -> Vec<Work> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.extend(
                self.hear(|message| match message {
                    ToWorker::Grants { work, .. } => Some(work.clone()),
                    _ => None,
                })
                .await,
            );
        }
        taken
    }

    /// Beats with what it holds; returns what of it is over.
    pub async fn beat(&mut self, held: &[LeaseRef]) -> Vec<LeaseRef> {
        self.beats += 1;
        let beat = self.beats;
        let held = held.iter().map(|lease| (*lease, true)).collect();
        self.say(&FromWorker::Heartbeat { number: beat, held, draining: false }).await;
        self.hear(|message| match message {
            ToWorker::Beat { number, lost } if *number == beat => Some(lost.clone()),
            _ => None,
        })
        .await
    }

    /// Reports a result, and waits for what becomes of it.
    pub async fn complete(&mut self, lease: LeaseRef, result: &str) -> Reply {
        let result = result.as_bytes().to_vec().into();
        let ending = Ending::Complete(Complete { lease, result, output: Output::default() });
        self.say(&FromWorker::Report { started: Vec::new(), ended: vec![ending] }).await;
        self.hear(|message| match message {
            ToWorker::Verdicts(verdicts) => {
                verdicts.iter().find(|(of, _)| *of == lease).map(|(_, reply)| reply.clone())
            }
            _ => None,
        })
        .await
    }

    /// Tasks that were granted and not taken up yet.
    pub fn granted(&self) -> BTreeSet<TaskId> {
        let grants = self.heard.iter().filter_map(|message| match message {
            ToWorker::Grants { work, .. } => Some(work),
            _ => None,
        });
        grants.flatten().map(|work| work.lease.task).collect()
    }
}

/// Names an ask.
pub fn request() -> String {
    RequestId::from(Uuid::now_v7()).to_string()
}

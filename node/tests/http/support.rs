//! Nodes for tests, and a client that talks to them in JSON.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use raftwork_api::explain::Explanation;
use raftwork_node::Node;
use raftwork_node::config::Config;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A pickle of `{}`, of `((), {})` and of `None`, in base64.
pub const PICKLE: &str = "gAR9lC4=";
pub const NO_ARGS: &str = "gAQpfZSGlC4=";
pub const NONE: &str = "gAROLg==";

/// Nodes of one cluster in this process.
pub struct Cluster {
    pub nodes: BTreeMap<u64, Node>,
    pub urls: BTreeMap<u64, String>,
    pub http: reqwest::Client,
    _folder: TempDir,
}

/// So many ports that were free a moment ago.
fn free_ports(count: u64) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// `cluster.toml` of a cluster of `count` nodes, and their ports.
pub fn cluster_toml(count: u64, extra: &str) -> (String, Vec<u16>) {
    let ports = free_ports(count);
    let nodes = (1..)
        .zip(&ports)
        .map(|(id, port)| format!("[[node]]\nid = {id}\naddr = \"127.0.0.1:{port}\"\ndata = \"n{id}\"\n"));
    (format!("[cluster]\nname = \"test\"\n{}{extra}", nodes.collect::<String>()), ports)
}

impl Cluster {
    /// One node, ready.
    pub async fn one() -> Self {
        Self::start(1, "").await
    }

    /// `count` nodes, all ready; `extra` goes into `cluster.toml`.
    pub async fn start(count: u64, extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (text, ports) = cluster_toml(count, extra);
        let config = Config::parse(&text, &folder.path().join("cluster.toml")).unwrap();
        let mut nodes = BTreeMap::new();
        for id in 1..=count {
            nodes.insert(id, Node::start(&config, id, &[]).await.unwrap());
        }
        let urls = (1..).zip(&ports).map(|(id, port)| (id, format!("http://127.0.0.1:{port}"))).collect();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let cluster = Self { nodes, urls, http, _folder: folder };
        for id in 1..=count {
            cluster.until_ready(id).await;
        }
        cluster
    }

    pub async fn until_ready(&self, id: u64) {
        let url = format!("{}/readyz", self.urls[&id]);
        until("the node is ready", async || {
            self.http
                .get(&url)
                .send()
                .await
                .is_ok_and(|answer| answer.status() == StatusCode::OK)
                .then_some(())
        })
        .await;
    }

    pub fn url(&self, node: u64) -> String {
        self.urls[&node].clone()
    }

    /// A request to node 1.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_to(1, method, path)
    }

    pub fn request_to(&self, node: u64, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.urls[&node]))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    /// Registers a pickled function by the course contract.
    pub async fn pickled(&self) -> String {
        let answer = self.post("/register_function", &json!({"name": "f", "payload": PICKLE})).await;
        answer.expect(201)["function_id"].as_str().unwrap().to_owned()
    }

    /// Registers a source function.
    pub async fn source(&self) -> String {
        let body = json!({"name": "add", "format": "source", "code": "def add(a, b):\n    return a + b\n"});
        self.post("/v1/functions", &body).await.expect(201)["function_id"].as_str().unwrap().to_owned()
    }

    /// Submits a task of a source function.
    pub async fn submit(&self, function: &str, args: &Value) -> String {
        let answer = self.post("/v1/tasks", &json!({"function_id": function, "args": args})).await;
        answer.expect(201)["task_id"].as_str().unwrap().to_owned()
    }

    /// A task without arguments, under these options.
    pub async fn submit_with(&self, function: &str, options: Value) -> String {
        let mut body = options;
        body["function_id"] = json!(function);
        self.post("/v1/tasks", &body).await.expect(201)["task_id"].as_str().unwrap().to_owned()
    }

    /// Why a task is where it is.
    pub async fn explain(&self, task: &str) -> Explanation {
        let answer = self.get(&format!("/v1/tasks/{task}/explain")).await.expect(200);
        serde_json::from_value(answer).unwrap()
    }

    /// Takes one task as a worker; waits for it.
    pub async fn acquire(&self, worker: &str) -> Value {
        let mut leases = self.leases(worker, json!({"wait": "20s"})).await;
        assert_eq!(leases.len(), 1, "{leases:?}");
        leases.remove(0)
    }

    /// What a worker is given that asks for this: `{"max": 9, "wait": "20s"}`.
    pub async fn leases(&self, worker: &str, asks: Value) -> Vec<Value> {
        let mut body = asks;
        body["worker_id"] = json!(worker);
        body["python"] = json!("3.11");
        let answer = self.post("/v1/leases/acquire", &body).await.expect(200);
        answer["leases"].as_array().unwrap().clone()
    }

    /// Completes a lease of a source function.
    pub async fn complete(&self, lease: &Value, value: Value) -> Answer {
        let body = json!({"task_id": lease["task_id"], "token": lease["token"], "value": value});
        self.post("/v1/leases/complete", &body).await
    }

    pub async fn stop(self) {
        for (_, node) in self.nodes {
            node.stop().await;
        }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body, of an answer that must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// Checks everything that every problem must have.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("/docs/errors#{code}"));
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert!(self.header("x-request-id").is_some() && self.header("x-raftwork-node").is_some());
        assert_eq!(self.header("x-raftwork-not-served"), None);
        problem
    }
}

/// Tries until there is something, or the patience is over.
pub async fn until<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What Python makes of an expression, with `data` read from `input`.
pub fn python(expression: &str, input: &str, folder: &Path) -> String {
    let file = folder.join("input");
    std::fs::write(&file, input).unwrap();
    let program = format!("import codecs, pickle, sys; data = open(sys.argv[1]).read(); print({expression})");
    let output = std::process::Command::new("python3").arg("-c").arg(program).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

pub fn worker_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

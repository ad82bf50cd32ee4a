//! The REST interface as a careful client uses it: any node, any moment, the same key until there is an answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::wait::{PATIENCE, PAUSE, until};

/// A cluster's addresses, and a client; a clone is another handle on them.
#[derive(Clone)]
pub struct Api {
    http: Client,
    urls: Arc<BTreeMap<u64, String>>,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

/// A request, before anybody is asked.
#[derive(Debug, Clone, Default)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub body: Option<Value>,
    pub key: Option<String>,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, path: path.into(), body: Some(body), key: None }
    }

    /// As bytes on the wire, for a connection of its own.
    pub fn as_http(&self) -> String {
        let body = self.body.as_ref().map_or_else(String::new, Value::to_string);
        format!(
            "{} {} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.method,
            self.path,
            body.len()
        )
    }

    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl Api {
    pub fn new(urls: BTreeMap<u64, String>) -> Self {
        let http = Client::builder().no_proxy().build().unwrap();
        Self { http, urls: Arc::new(urls) }
    }

    pub fn url(&self, node: u64) -> &str {
        &self.urls[&node]
    }

    /// One try; `None` if no answer came within `patience`, for whatever reason.
    pub async fn within(&self, patience: Duration, node: u64, call: &Call) -> Option<Answer> {
        let mut request =
            self.http.request(call.method.clone(), format!("{}{}", self.urls[&node], call.path));
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        if let Some(key) = &call.key {
            request = request.header("idempotency-key", key);
        }
        let response = request.timeout(patience).send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Some(Answer { status, headers, text: response.text().await.ok()? })
    }

    /// One try at one node, which must answer.
    pub async fn ask(&self, node: u64, call: &Call) -> Answer {
        self.within(PATIENCE, node, call)
            .await
            .unwrap_or_else(|| panic!("node {node} did not answer {call:?}"))
    }

    /// Asks `nodes` in turn, again and again, until one has served it. Give a `POST` a key, unless a repeat is harmless.
    pub async fn served(&self, nodes: &[u64], call: &Call) -> Answer {
        let end = Instant::now() + PATIENCE;
        for node in nodes.iter().cycle() {
            let answer = self.within(Duration::from_secs(5), *node, call).await;
            if let Some(answer) = answer.filter(|answer| !matches!(answer.status, 503 | 504)) {
                return answer;
            }
            assert!(Instant::now() < end, "waited in vain until one of {nodes:?} served {call:?}");
            tokio::time::sleep(PAUSE).await;
        }
        unreachable!("the nodes come round again and again, and there is at least one")
    }

    /// Registers a function of source text whose tasks are forgotten after `retention`.
    pub async fn function(&self, nodes: &[u64], retention: &str) -> String {
        let body = json!({"name": "f", "format": "source", "code": "def f(*args): return args", "retention": retention});
        let key = uuid::Uuid::new_v4().to_string();
        let answer = self.served(nodes, &Call::post("/v1/functions", body).key(key)).await;
        answer.expect(201)["function_id"].as_str().unwrap().to_owned()
    }

    /// Submits a task under a key that is its arguments.
    pub async fn submit(&self, nodes: &[u64], function: &str, args: Value) -> String {
        let answer = self.served(nodes, &submit(function, &args)).await;
        answer.expect(201)["task_id"].as_str().unwrap().to_owned()
    }

    /// Submits a task that is granted before those of [`Api::submit`].
    pub async fn submit_first(&self, nodes: &[u64], function: &str, args: Value) -> String {
        let body = json!({"function_id": function, "args": args, "priority": 9});
        let answer = self.served(nodes, &Call::post("/v1/tasks", body).key(args.to_string())).await;
        answer.expect(201)["task_id"].as_str().unwrap().to_owned()
    }

    /// Where a task stands, in full.
    pub async fn task(&self, nodes: &[u64], task: &str) -> Value {
        self.served(nodes, &Call::get(format!("/v1/tasks/{task}"))).await.expect(200)
    }

    /// Waits until a task has this status.
    pub async fn until_status(&self, nodes: &[u64], task: &str, status: &str) -> Value {
        until(&format!("the task is {status}"), async || {
            let info = self.task(nodes, task).await;
            (info["status"] == status).then_some(info)
        })
        .await
    }

    /// Every task, newest first.
    pub async fn tasks(&self, nodes: &[u64]) -> Vec<Value> {
        let mut tasks = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/tasks?limit=1000{after}");
            let page = self.served(nodes, &Call::get(path)).await.expect(200);
            tasks.extend(page["tasks"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return tasks,
            }
        }
    }

    /// What a node says of itself and the others, if it answers at once.
    pub async fn info(&self, node: u64) -> Option<Value> {
        let answer = self.within(Duration::from_secs(1), node, &Call::get("/v1/cluster")).await?;
        Some(answer.expect(200))
    }
}

/// A submit under a key that is its arguments.
pub fn submit(function: &str, args: &Value) -> Call {
    Call::post("/v1/tasks", json!({"function_id": function, "args": args})).key(args.to_string())
}

impl Answer {
    /// The body, of an answer that must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Checks that it is this problem.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!(self.expect(status)["code"], code, "{}", self.text);
    }

    pub fn retry_after(&self) -> Option<u64> {
        self.headers.get("retry-after")?.to_str().ok()?.parse().ok()
    }
}

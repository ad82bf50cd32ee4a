//! Plain HTTP requests when nodes are down, busy, or answer with problems.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use raftwork_api::ErrorCode;
use raftwork_client::{Client, RestError, Settings, new_task_id};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A node that gives one prepared answer after another, and keeps the heads of the requests.
struct Node {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Node {
    async fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let head = read_head(&mut socket).await;
                kept.lock().unwrap().push(head);
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn problem(code: &str, status: u16) -> String {
    format!(
        r#"{{"type": "/docs/errors#{code}", "title": "t", "status": {status}, "code": "{code}", "detail": "it is so"}}"#
    )
}

fn client(urls: &[&str], patience: Duration) -> Client {
    let settings = Settings { patience, ..Settings::default() };
    Client::with_settings(urls, settings).expect("the URL of a node is one")
}

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_node_that_is_down_is_passed_over() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let node = Node::start(&[&answer("200 OK", "", r#"{"workers": []}"#)]).await;
    let client = client(&[&format!("http://{gone}"), &node.url], PATIENCE);
    assert!(client.rest().workers().await.unwrap().workers.is_empty());
    assert!(node.heads()[0].starts_with("GET /v1/workers "));
}

#[tokio::test]
async fn a_busy_cluster_is_asked_again_when_it_said_and_under_the_same_key() {
    let busy = answer("429 Too Many Requests", "retry-after: 0.3\r\n", &problem("busy", 429));
    let node = Node::start(&[&busy, &answer("201 Created", "", "{}")]).await;
    let client = client(&[&node.url], PATIENCE);
    let start = Instant::now();

    let said = client.rest().request("POST".parse().unwrap(), "/v1/tasks", Some("{}".into())).await.unwrap();

    assert_eq!(said.status, 201);
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    let keys: Vec<String> = node.heads().iter().filter_map(|head| key_of(head)).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

fn key_of(head: &str) -> Option<String> {
    head.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).map(str::to_owned)
}

#[tokio::test]
async fn a_problem_is_passed_on_as_what_it_is() {
    let node = Node::start(&[&answer("404 Not Found", "", &problem("unknown_task", 404))]).await;
    let error = client(&[&node.url], PATIENCE).rest().task(new_task_id()).await.unwrap_err();
    let RestError::Problem(problem) = error else { panic!("{error}") };
    assert_eq!((problem.code, problem.detail.as_str()), (ErrorCode::UnknownTask, "it is so"));
}

#[tokio::test]
async fn patience_ends_with_the_last_answer_or_the_last_trouble() {
    let busy = answer("503 Service Unavailable", "", &problem("no_leader", 503));
    let node = Node::start(&[&busy, &busy, &busy, &busy]).await;
    let error = client(&[&node.url], Duration::from_millis(300)).rest().cluster().await.unwrap_err();
    assert!(matches!(&error, RestError::Problem(problem) if problem.code == ErrorCode::NoLeader), "{error}");

    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{gone}");
    let error = client(&[&url], Duration::from_millis(300)).rest().cluster().await.unwrap_err();
    assert!(matches!(&error, RestError::Unreachable { .. }) && error.to_string().contains(&url), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_not_in_the_contract_is_named() {
    let node = Node::start(&[&answer("200 OK", "", "[1]")]).await;
    let error = client(&[&node.url], PATIENCE).rest().cluster().await.unwrap_err();
    assert!(matches!(&error, RestError::Malformed { url, .. } if *url == node.url), "{error}");
}

//! Submits by plain HTTP requests, one task each, every lane on a connection of its own that is kept alive.

use anyhow::Context;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::measure::Writer;
use crate::submit::SOURCE;

/// Base64 of `pickle.dumps(abs, 3)`: a function that every Python can load.
const COURSE_FUNCTION: &str = "gANjYnVpbHRpbnMKYWJzCnEALg==";
/// Base64 of `pickle.dumps(((1,), {}), 3)`.
const COURSE_ARGS: &str = "gANLAYVxAH1xAYZxAi4=";

pub(crate) struct Poster {
    connection: SendRequest<Full<Bytes>>,
    host: String,
    path: &'static str,
    body: Bytes,
    answers_with: &'static str,
}

/// What one lane posts again and again.
struct Post {
    path: &'static str,
    body: Bytes,
    answers_with: &'static str,
}

/// A writer for each lane. The course contract names no size: its argument is a pickled small number.
pub(crate) async fn writers(
    url: &str,
    course: bool,
    lanes: usize,
    bytes: usize,
) -> anyhow::Result<Vec<Poster>> {
    let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let post = if course { course_post(&host).await? } else { v1_post(&host, bytes).await? };
    let mut writers = Vec::with_capacity(lanes.max(1));
    for _ in 0..lanes.max(1) {
        let connection = connect(&host).await?;
        let Post { path, answers_with, .. } = post;
        let body = post.body.clone();
        writers.push(Poster { connection, host: host.clone(), path, body, answers_with });
    }
    Ok(writers)
}

async fn v1_post(host: &str, bytes: usize) -> anyhow::Result<Post> {
    let function = json!({ "name": "weigh", "format": "source", "code": SOURCE });
    let id = register(host, "/v1/functions", &function).await?;
    let body = json!({ "function_id": id, "args": ["v".repeat(bytes)] }).to_string().into();
    Ok(Post { path: "/v1/tasks", body, answers_with: "task_id" })
}

async fn course_post(host: &str) -> anyhow::Result<Post> {
    let function = json!({ "name": "abs", "payload": COURSE_FUNCTION });
    let id = register(host, "/register_function", &function).await?;
    let body = json!({ "function_id": id, "payload": COURSE_ARGS }).to_string().into();
    Ok(Post { path: "/execute_function", body, answers_with: "task_id" })
}

async fn register(host: &str, path: &str, function: &Value) -> anyhow::Result<Value> {
    let mut connection = connect(host).await?;
    let answer = post(&mut connection, host, path, function.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    answer.get("function_id").cloned().context("no function id in the answer")
}

async fn connect(host: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(host).await.with_context(|| format!("cannot connect to {host}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn post(
    connection: &mut SendRequest<Full<Bytes>>,
    host: &str,
    path: &str,
    body: Bytes,
) -> anyhow::Result<Bytes> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    connection.ready().await?;
    let answer = connection.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    anyhow::ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(body)
}

impl Writer for Poster {
    async fn write(&mut self) -> anyhow::Result<()> {
        let answer = post(&mut self.connection, &self.host, self.path, self.body.clone()).await?;
        let name = self.answers_with.as_bytes();
        anyhow::ensure!(answer.windows(name.len()).any(|part| part == name), "an answer without its id");
        Ok(())
    }
}

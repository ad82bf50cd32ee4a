//! Any node answers any request: what only the leader can serve is sent on to it, and sent again if the leader changes.
//!
//! A request is read whole before it is first tried, so that it can be tried again. It is tried again when it was
//! certainly not carried out (this node stopped leading, the leader could not be reached), and also when that is unknown but
//! repeating it does no harm: reads, and writes whose ids were fixed before the first try (see `ids`).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use raftwork_api::paths;
use tokio::time::Instant;

use super::error::{ApiError, NotServed};
use super::state::AppState;
use super::{body, ids};
use crate::group::{LeaderAt, Leadership};
use crate::raft::dial::causes;

/// Marks a request that another node has sent on: it is never sent on a second time, so no loop can form.
const FORWARDED: &str = "x-raftwork-forwarded";
/// Says which node served a request that was sent on.
const LEADER: HeaderName = HeaderName::from_static("x-raftwork-leader");
/// How long a request waits for a leader that can serve it. An election takes one second as a rule.
const LEADER_PATIENCE: Duration = Duration::from_secs(3);
/// Pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(25);
/// How often a node that waits for the leader's answer looks whether that still leads.
const LEADER_CHECK: Duration = Duration::from_millis(100);
/// How often it asks whether the leader is alive at all, and how long that may take. A process that is paused, or behind a
/// partition, keeps its connections and its name until somebody else is elected, which without a majority is never.
const PULSE_CHECK: Duration = Duration::from_secs(2);
/// Longest wait for an answer: longer than any `wait` that a client may ask for.
const ANSWER_PATIENCE: Duration = Duration::from_secs(75);

/// What the middleware of one group of routes needs.
#[derive(Clone)]
pub(super) struct Lane {
    pub(super) state: AppState,
    /// Largest body.
    pub(super) body_max: usize,
}

/// The client for sending requests on.
pub(super) struct Forwarder {
    client: reqwest::Client,
    /// Where nodes are reached that are not reached where everybody does.
    routes: BTreeMap<u64, String>,
}

impl Forwarder {
    pub(super) fn new(routes: BTreeMap<u64, String>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(1))
            .tcp_nodelay(true)
            .pool_max_idle_per_host(256)
            .build()?;
        Ok(Self { client, routes })
    }

    /// Base URL at which this node reaches another.
    pub(super) fn base(&self, node: &LeaderAt) -> String {
        self.routes.get(&node.id).map_or_else(|| node.url.clone(), |via| format!("http://{via}"))
    }

    /// Asks somebody who may be no node at all for a small text, or says why there is none.
    pub(super) async fn look(&self, url: String) -> Result<String, String> {
        const PATIENCE: Duration = Duration::from_secs(3);
        let answer =
            async { self.client.get(url).timeout(PATIENCE).send().await?.error_for_status()?.text().await };
        answer.await.map_err(|error| causes(&error))
    }

    /// Asks another node for a small text, or says why there is none.
    pub(super) async fn fetch(&self, url: String) -> Result<String, reqwest::Error> {
        self.client.get(url).timeout(ANSWER_PATIENCE).send().await?.error_for_status()?.text().await
    }
}

/// A request that was read whole.
struct Call {
    parts: Parts,
    body: Bytes,
}

impl Call {
    fn request(&self) -> Request {
        Request::from_parts(self.parts.clone(), Body::from(self.body.clone()))
    }

    fn was_forwarded(&self) -> bool {
        self.parts.headers.contains_key(FORWARDED)
    }

    /// Whether repeating it after it was carried out does no harm.
    fn is_repeatable(&self) -> bool {
        // The state machine takes every report on a lease twice, and a change of the members says what shall be; only a second
        // hand-over would be another one.
        self.parts.uri.path() != paths::CLUSTER_TRANSFER
    }
}

/// Serves a request here if this node can, and through the leader if it cannot.
pub(super) async fn through_leader(State(lane): State<Lane>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = match body::read(body, &parts.headers, lane.body_max).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    let mut call = Call { parts, body };
    if call.was_forwarded() {
        return serve_here(&call, next).await;
    }
    if !is_read(&call.parts.method) {
        ids::draw(&mut call.parts.headers);
    }
    let deadline = Instant::now() + LEADER_PATIENCE;
    let mut in_doubt = false;
    loop {
        let response = try_once(&lane.state, &call, next.clone()).await;
        let again = match NotServed::of(&response) {
            None => false,
            Some(NotServed::NotLeader) => true,
            Some(NotServed::Unknown) => call.is_repeatable(),
        };
        in_doubt |= !is_read(&call.parts.method) && NotServed::of(&response) == Some(NotServed::Unknown);
        if !again || Instant::now() >= deadline {
            let mut response = if in_doubt { without_denial(response) } else { response };
            response.headers_mut().remove(super::error::NOT_SERVED);
            return response;
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// The answer to a request of which an earlier try may have been carried out: that the last try was not does not mean that
/// nothing was done.
fn without_denial(response: Response) -> Response {
    let denies =
        [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE, StatusCode::MISDIRECTED_REQUEST];
    if !denies.contains(&response.status()) {
        return response;
    }
    ApiError::unknown("the leader changed before it answered, and no other could be asked").into_response()
}

/// For a request that another node sent: what this node cannot serve goes back to that node.
async fn serve_here(call: &Call, next: Next) -> Response {
    let response = next.run(call.request()).await;
    match NotServed::of(&response) {
        Some(NotServed::NotLeader) => {
            ApiError::no_leader("the node that was taken for the leader does not lead").into_response()
        }
        Some(NotServed::Unknown) | None => response,
    }
}

async fn try_once(state: &AppState, call: &Call, next: Next) -> Response {
    let mut refused = None;
    // Reads are tried here even on a follower: finished tasks never change.
    if state.group.leadership() == Leadership::Leader || is_read(&call.parts.method) {
        let response = next.run(call.request()).await;
        if NotServed::of(&response) != Some(NotServed::NotLeader) {
            return response;
        }
        refused = Some(response);
    }
    match state.group.leadership() {
        Leadership::Follower { leader: Some(leader) } => state.forwarder.send(state, call, &leader).await,
        Leadership::Leader | Leadership::Follower { leader: None } => refused.unwrap_or_else(|| {
            ApiError::no_leader(
                "this node knows no leader: there is an election, or no majority of the nodes",
            )
            .into_response()
        }),
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

impl Forwarder {
    async fn send(&self, state: &AppState, call: &Call, leader: &LeaderAt) -> Response {
        let request = self
            .client
            .request(call.parts.method.clone(), target(&self.base(leader), &call.parts))
            .headers(request_headers(&call.parts.headers))
            .timeout(ANSWER_PATIENCE)
            .body(call.body.clone());
        let answer = tokio::select! {
            answer = request.send() => answer,
            () = lost(state, leader) => {
                return ApiError::unknown(format!("node {} stopped leading, or answering, before it answered", leader.id))
                    .into_response();
            }
        };
        match answer {
            Ok(answer) => passed_on(answer, leader),
            Err(error) if error.is_connect() => {
                ApiError::no_leader(format!("the leader, node {}, cannot be reached", leader.id))
                    .into_response()
            }
            Err(error) => {
                tracing::debug!(leader = leader.id, %error, "the leader did not answer");
                ApiError::unknown(format!("the leader, node {}, did not answer", leader.id)).into_response()
            }
        }
    }
}

/// Resolves when `leader` is no longer who this node takes for the leader, or gives no sign of life.
async fn lost(state: &AppState, leader: &LeaderAt) {
    tokio::select! {
        () = deposed(state, leader) => {}
        () = silent(state, leader) => {}
    }
}

async fn deposed(state: &AppState, leader: &LeaderAt) {
    loop {
        tokio::time::sleep(LEADER_CHECK).await;
        match state.group.leadership() {
            Leadership::Follower { leader: Some(now) } if now.id == leader.id => {}
            Leadership::Follower { .. } | Leadership::Leader => return,
        }
    }
}

async fn silent(state: &AppState, leader: &LeaderAt) {
    loop {
        tokio::time::sleep(PULSE_CHECK).await;
        let pulse = state.forwarder.client.get(format!("{}{}", state.forwarder.base(leader), paths::HEALTHZ));
        if pulse.timeout(PULSE_CHECK).send().await.is_err() {
            return;
        }
    }
}

/// The same path at the leader. A read has waited here already (the node that was asked waits), so its `wait` is cut.
fn target(base: &str, parts: &Parts) -> String {
    let query =
        if is_read(&parts.method) { without_wait(&parts.uri) } else { parts.uri.query().map(str::to_owned) };
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!("{}{}{query}", base.trim_end_matches('/'), parts.uri.path())
}

fn without_wait(uri: &Uri) -> Option<String> {
    let kept: Vec<&str> = uri.query()?.split('&').filter(|pair| !pair.starts_with("wait=")).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

fn request_headers(headers: &HeaderMap) -> HeaderMap {
    let mut headers = end_to_end(headers);
    headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    headers.remove(http::header::EXPECT);
    headers.insert(FORWARDED, HeaderValue::from_static("1"));
    headers
}

/// Without what concerns one connection alone (RFC 9110, 7.6.1).
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    let keep_alive = HeaderName::from_static("keep-alive");
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, http::header::TE, http::header::TRAILER, keep_alive]
    {
        headers.remove(name);
    }
    headers
}

fn passed_on(answer: reqwest::Response, leader: &LeaderAt) -> Response {
    let status = answer.status();
    let headers = end_to_end(answer.headers());
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(LEADER, HeaderValue::from(leader.id));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: Method, uri: &str) -> Parts {
        Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_read_is_sent_on_without_its_wait() {
        let base = "http://127.0.0.1:7002";
        for (method, uri, url) in [
            (Method::GET, "/v1/tasks/x?wait=30s", "http://127.0.0.1:7002/v1/tasks/x"),
            (
                Method::GET,
                "/v1/tasks?limit=1&wait=1&status=queued",
                "http://127.0.0.1:7002/v1/tasks?limit=1&status=queued",
            ),
            (Method::POST, "/v1/tasks?wait=30s", "http://127.0.0.1:7002/v1/tasks?wait=30s"),
        ] {
            assert_eq!(target(base, &parts(method, uri)), url);
        }
    }

    #[test]
    fn after_a_lost_try_nobody_is_told_that_nothing_was_done() {
        let no_leader = ApiError::no_leader("there is an election").into_response();
        assert_eq!(without_denial(no_leader).status(), StatusCode::GATEWAY_TIMEOUT);
        let done = StatusCode::CREATED.into_response();
        assert_eq!(without_denial(done).status(), StatusCode::CREATED);
    }

    #[test]
    fn headers_of_one_connection_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close"), ("host", "a"), ("content-length", "3"), ("idempotency-key", "k")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let sent = request_headers(&headers);
        assert_eq!(sent.len(), 2);
        assert_eq!(sent["idempotency-key"], "k");
        assert_eq!(sent[FORWARDED], "1");
    }

    #[test]
    fn what_would_be_refused_the_second_time_is_not_repeated() {
        for (path, repeatable) in [
            ("/v1/tasks", true),
            ("/execute_function", true),
            ("/v1/leases/complete", true),
            ("/v1/cluster/members", true),
            ("/v1/cluster/transfer", false),
        ] {
            let call = Call { parts: parts(Method::POST, path), body: Bytes::new() };
            assert_eq!(call.is_repeatable(), repeatable, "{path}");
        }
    }
}

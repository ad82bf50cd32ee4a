//! What every request and every answer has, whatever it is about: an id, the node's number, a count, a log line.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue};
use raftwork_api::{ErrorCode, paths};
use tracing::Instrument;
use uuid::Uuid;

use super::error::ApiError;
use super::state::AppState;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NODE: HeaderName = HeaderName::from_static("x-raftwork-node");
/// Longest request id that is taken over from a client.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Marks the requests of a connection beyond `connections_max`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowded;

/// The outermost layer.
pub(super) async fn envelope(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(&request);
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let span = tracing::debug_span!("request", %method, path = request.uri().path(), id = id.to_str().unwrap_or_default());
    let mut response =
        if is_turned_away(&request) { crowded() } else { next.run(request).instrument(span.clone()).await };
    let status = response.status();
    state.metrics.answered(&method, route, status.as_u16(), began.elapsed());
    span.in_scope(|| tracing::debug!(status = status.as_u16(), took = ?began.elapsed(), "answered"));
    response.headers_mut().insert(REQUEST_ID, id);
    response.headers_mut().insert(NODE, HeaderValue::from(state.node));
    response
}

/// The client's own id if it is a sane one, so that its log and ours can be read together.
fn request_id(request: &Request) -> HeaderValue {
    let is_sane = |id: &&HeaderValue| {
        let id = id.as_bytes();
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
    };
    request.headers().get(REQUEST_ID).filter(is_sane).cloned().unwrap_or_else(|| {
        HeaderValue::try_from(Uuid::now_v7().to_string()).expect("a UUID is a header value")
    })
}

/// Peers are let in however crowded it is: clients must not be able to keep Raft from talking.
fn is_turned_away(request: &Request) -> bool {
    request.extensions().get::<Crowded>().is_some() && request.uri().path() != paths::STREAM
}

fn crowded() -> Response {
    let error = ApiError::new(ErrorCode::Busy, "this node has as many connections as it takes")
        .retry_after(std::time::Duration::from_secs(1))
        .hint("keep connections open and use them again; see connections_max in cluster.toml");
    let mut response = error.into_response();
    response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn id_of(given: &str) -> String {
        let request = Request::builder().header(REQUEST_ID, given).body(Body::empty()).unwrap();
        request_id(&request).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_sane_request_id_is_taken_over() {
        assert_eq!(id_of("build-17/step-4"), "build-17/step-4");
        for odd in ["", "two words", &"x".repeat(65)] {
            assert!(Uuid::try_parse(&id_of(odd)).is_ok(), "{odd}");
        }
    }
}

//! `GET /internal/v1/stream`: where a connection stops being HTTP and becomes a framed stream.

use std::io::{self, Cursor};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use raftwork_api::frame::{PROTOCOL, ROLE_HEADER};
use raftwork_api::stream::{ROLE_CLIENT, ROLE_PEER, ROLE_WORKER};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

use super::client_stream;
use super::error::{ApiError, ApiResult};
use super::state::{AppState, Stream};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Peer,
    Worker,
    Client,
}

pub(super) async fn stream(State(state): State<AppState>, mut request: Request) -> Response {
    let role = match admit(&state, request.headers()) {
        Ok(role) => role,
        Err(error) => return refused(error),
    };
    if request.extensions().get::<OnUpgrade>().is_none() {
        return refused(upgrade_required());
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => serve(&state, role, TokioIo::new(upgraded)).await,
            Err(error) => tracing::debug!(%error, "a connection ended before it was upgraded"),
        }
    });
    let headers =
        [(CONNECTION, HeaderValue::from_static("upgrade")), (UPGRADE, HeaderValue::from_static(PROTOCOL))];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn admit(state: &AppState, headers: &HeaderMap) -> ApiResult<Role> {
    if !asks_for_upgrade(headers) {
        return Err(upgrade_required());
    }
    let role = role_of(headers)?;
    if role == Role::Peer {
        state.hello.check(headers).map_err(|error| ApiError::bad_request(error.to_string()))?;
    }
    Ok(role)
}

fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    let names = |name, token: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
    };
    names(CONNECTION, "upgrade") && names(UPGRADE, PROTOCOL)
}

fn role_of(headers: &HeaderMap) -> ApiResult<Role> {
    let role = headers.get(ROLE_HEADER).and_then(|role| role.to_str().ok());
    match role {
        Some(ROLE_PEER) => Ok(Role::Peer),
        Some(ROLE_WORKER) => Ok(Role::Worker),
        Some(ROLE_CLIENT) => Ok(Role::Client),
        Some(_) | None => Err(ApiError::bad_request(format!(
            "header {ROLE_HEADER} must be peer, worker or client on this path"
        ))),
    }
}

/// 426 is the status for this (RFC 9110, 15.5.22); the code is that of any malformed request.
fn upgrade_required() -> ApiError {
    let detail = format!("this path only takes requests that upgrade the connection to {PROTOCOL}");
    ApiError::bad_request(detail)
        .hint("it is for nodes, workers and the SDK; /docs has the rest")
        .with_status(StatusCode::UPGRADE_REQUIRED)
}

fn refused(error: ApiError) -> Response {
    let mut response = error.into_response();
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}

async fn serve(state: &AppState, role: Role, stream: Stream) {
    match role {
        Role::Peer => (state.peers)(stream),
        Role::Worker => state.group.dispatcher().serve(stream).await,
        Role::Client => client_stream::serve(state.group.clone(), stream).await,
    }
}

/// The same connection, waited for by the runtime that calls this.
///
/// A socket belongs to the runtime that accepted it. Where another one serves it, each message would wake a thread of the
/// first only to wake one of the second: a tenth of what a follower did for an entry.
///
/// # Errors
/// If the system does not let go of the socket or take it again, or it is none of TCP.
pub fn adopt(stream: Stream) -> io::Result<impl AsyncRead + AsyncWrite + Send + use<>> {
    let parts = stream.into_inner().downcast::<TokioIo<TcpStream>>();
    let parts = parts.map_err(|_| io::Error::new(io::ErrorKind::Unsupported, "it is no TCP connection"))?;
    let socket = TcpStream::from_std(parts.io.into_inner().into_std()?)?;
    let (read, write) = socket.into_split();
    // What came along with the request was read already.
    Ok(tokio::io::join(Cursor::new(parts.read_buf).chain(read), write))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn only_our_own_upgrade_is_one() {
        for (pairs, asks) in [
            (&[("connection", "Upgrade"), ("upgrade", "raftwork/1")][..], true),
            (&[("connection", "keep-alive, upgrade"), ("upgrade", "raftwork/1")], true),
            (&[("connection", "upgrade"), ("upgrade", "websocket")], false),
            (&[("upgrade", "raftwork/1")], false),
            (&[], false),
        ] {
            assert_eq!(asks_for_upgrade(&headers(pairs)), asks, "{pairs:?}");
        }
    }

    #[test]
    fn the_role_must_be_known() {
        assert_eq!(role_of(&headers(&[("x-raftwork-role", "worker")])).ok(), Some(Role::Worker));
        assert!(role_of(&headers(&[("x-raftwork-role", "king")])).is_err());
        assert!(role_of(&headers(&[])).is_err());
    }
}

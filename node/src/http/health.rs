//! `/healthz` and `/readyz`, for people and for whatever restarts processes and routes requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use raftwork_api::paths;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiResult;
use super::extract::json;
use super::state::AppState;
use crate::group::Leadership;

/// Path at which a node tells another one how far it must have applied to be up to date. Between nodes only.
pub(super) const BARRIER: &str = "/internal/v1/barrier";
/// Time for a majority to confirm the leader; probes of whoever asks are impatient too.
const BARRIER_PATIENCE: Duration = Duration::from_secs(1);
const CHECK: Duration = Duration::from_millis(50);

/// Whether this node has caught up since it started.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    caught_up: AtomicBool,
}

/// Answer of `/healthz`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Always true: a process that is not alive does not answer.
    alive: bool,
    /// Version of the build.
    version: &'static str,
}

/// Answer of `/readyz`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    /// Whether the node can serve.
    ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// Whether the process is alive.
#[utoipa::path(get, path = paths::HEALTHZ, tag = "node", responses((status = 200, description = "It is", body = Health)))]
pub(super) async fn healthz() -> Response {
    json(StatusCode::OK, &Health { alive: true, version: env!("CARGO_PKG_VERSION") })
}

/// Whether the node can serve: a majority confirms a leader now, and the node has applied everything that was committed
/// before it started.
#[utoipa::path(
    get, path = paths::READYZ, tag = "node",
    responses((status = 200, description = "It can", body = Ready), (status = 503, description = "Not yet, or not now", body = Ready))
)]
pub(super) async fn readyz(State(state): State<AppState>) -> Response {
    let reason = if raise_barrier(&state).await.is_none() {
        Some("no leader is confirmed by a majority: there is an election, or too few nodes can be reached")
    } else if !state.readiness.caught_up.load(Ordering::Acquire) {
        Some("the node is catching up with what was committed before it started")
    } else {
        None
    };
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &Ready { ready: reason.is_none(), reason })
}

/// How far a node must have applied to know everything that is committed now.
pub(super) async fn barrier(State(state): State<AppState>) -> ApiResult<Response> {
    state.group.linearize().await?;
    Ok(state.group.replica().applied_index().to_string().into_response())
}

/// Runs until this node has caught up with a barrier that was raised after its start.
pub(super) async fn catch_up(state: AppState) {
    let barrier = loop {
        match raise_barrier(&state).await {
            Some(barrier) => break barrier,
            None => tokio::time::sleep(CHECK).await,
        }
    };
    while state.group.replica().applied_index() < barrier {
        tokio::time::sleep(CHECK).await;
    }
    state.readiness.caught_up.store(true, Ordering::Release);
    tracing::info!(barrier, "ready");
}

/// Asks whoever is taken for the leader. What Raft believes is not enough: a follower goes on believing in a leader that
/// died, and a leader in itself, when no majority is left to elect another.
async fn raise_barrier(state: &AppState) -> Option<u64> {
    tokio::time::timeout(BARRIER_PATIENCE, raised(state)).await.ok()?
}

async fn raised(state: &AppState) -> Option<u64> {
    match state.group.leadership() {
        Leadership::Leader => {
            state.group.linearize().await.ok()?;
            Some(state.group.replica().applied_index())
        }
        Leadership::Follower { leader: Some(leader) } => {
            let answer =
                state.forwarder.fetch(format!("{}{BARRIER}", state.forwarder.base(&leader))).await.ok()?;
            answer.parse().ok()
        }
        Leadership::Follower { leader: None } => None,
    }
}

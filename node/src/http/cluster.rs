//! `/v1/cluster`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use raftwork_api::cluster::{ClusterInfo, DigestInfo, Transfer};
use raftwork_api::{ErrorCode, paths};

use super::error::{ApiError, ApiResult};
use super::extract::json;
use super::list::blocking;
use super::openapi::Problems;
use super::read;
use super::state::AppState;

/// State of the cluster, as the asked node sees it; served even without a leader.
#[utoipa::path(
    get, path = paths::CLUSTER, tag = "cluster",
    responses((status = 200, description = "The node's own view", body = ClusterInfo), Problems)
)]
pub(super) async fn get(State(state): State<AppState>) -> Response {
    json(StatusCode::OK, &state.group.info())
}

/// Digest over everything that the asked node has applied. Reads every row: for tests and operators.
#[utoipa::path(
    get, path = paths::CLUSTER_DIGEST, tag = "cluster",
    responses((status = 200, description = "Two nodes at the same applied index have the same", body = DigestInfo), Problems)
)]
pub(super) async fn digest(State(state): State<AppState>) -> Response {
    let group = state.group.clone();
    json(StatusCode::OK, &blocking(move || group.digest()).await)
}

/// Hand leadership over; answered when the leader leads no more.
#[utoipa::path(
    post, path = paths::CLUSTER_TRANSFER, tag = "cluster", request_body = Option<Transfer>,
    responses((status = 204, description = "Done"), Problems)
)]
pub(super) async fn transfer(State(state): State<AppState>, body: Bytes) -> ApiResult<Response> {
    // Nothing at all means "to anybody", so that `curl -X POST` is enough.
    let transfer = if body.is_empty() {
        Transfer { from: None, to: None }
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| ApiError::bad_request(format!("the body is not {{\"to\": 2}}: {error}")))?
    };
    read::leads(&state)?;
    let leads = state.group.status().node;
    if let Some(to) = transfer.to {
        check_voter(&state, to)?;
    }
    // A repetition finds what it asks for.
    if transfer.to != Some(leads) && transfer.from.is_none_or(|from| from == leads) {
        state.group.transfer(transfer.to).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn check_voter(state: &AppState, to: u64) -> ApiResult<()> {
    let voters = state.group.status().voters;
    if voters.contains(&to) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::UnknownNode, format!("node {to} cannot lead; the voters are {voters:?}")))
}

//! `/v1/workers`: what the leader knows of the workers.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use raftwork_api::kernel::WorkerId;
use raftwork_api::workers::{WorkerInfo, WorkerList};
use raftwork_api::{ErrorCode, paths};

use super::error::{ApiError, ApiResult};
use super::extract::{Id, json};
use super::openapi::Problems;
use super::read::{self, Read};
use super::state::AppState;

/// Connected workers.
#[utoipa::path(
    get, path = paths::WORKERS, tag = "workers",
    responses((status = 200, description = "Workers that the leader has heard from", body = WorkerList), Problems)
)]
pub(super) async fn list(State(state): State<AppState>) -> ApiResult<Response> {
    read::barrier(&state, Read::Linearizable).await?;
    Ok(json(StatusCode::OK, &WorkerList { workers: state.group.dispatcher().workers() }))
}

/// Let a worker finish what it has and take nothing more.
#[utoipa::path(
    post, path = paths::WORKER_DRAIN, tag = "workers",
    params(("worker_id" = uuid::Uuid, Path, description = "The worker")),
    responses((status = 200, description = "It was told", body = WorkerInfo), Problems)
)]
pub(super) async fn drain(State(state): State<AppState>, Id(id): Id<WorkerId>) -> ApiResult<Response> {
    read::leads(&state)?;
    let dispatcher = state.group.dispatcher();
    let told = dispatcher.drain(id);
    let worker = dispatcher.workers().into_iter().find(|worker| told && worker.worker_id == id);
    let worker = worker.ok_or_else(|| {
        ApiError::new(ErrorCode::UnknownWorker, format!("no worker {id} is connected"))
            .hint("GET /v1/workers lists those that are")
    })?;
    Ok(json(StatusCode::OK, &worker))
}

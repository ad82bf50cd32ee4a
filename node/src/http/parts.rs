//! Arguments and results that are too large for one request: part by part, so that no node ever holds a whole one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use raftwork_api::kernel::{
    Accepted, InParts, Outcome, PayloadId, Rejection, StorePart, TaskId, Token, limits,
};
use raftwork_api::{ErrorCode, paths};
use raftwork_kernel::{Command, Record, Rows};

use super::error::{ApiError, ApiResult};
use super::extract::Raw;
use super::openapi::Problems;
use super::read::{self, ReadQuery};
use super::state::AppState;
use super::write;
use crate::replica::Standing;
use crate::store::rows::RowStore;

pub(super) const OCTET_STREAM: &str = "application/octet-stream";

/// A part of a task's payload, as a path names it.
pub(super) struct OfTask {
    task: TaskId,
    index: u32,
}

impl<S: Send + Sync> FromRequestParts<S> for OfTask {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let Path((task, index)) = Path::<(String, String)>::from_request_parts(parts, state).await?;
        Ok(Self { task: task.parse()?, index: place(&index)? })
    }
}

/// A part of the result of an attempt, as a path names it.
pub(super) struct OfLease {
    task: TaskId,
    token: Token,
    index: u32,
}

impl<S: Send + Sync> FromRequestParts<S> for OfLease {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        type Words = Path<(String, String, String)>;
        let Path((task, token, index)) = Words::from_request_parts(parts, state).await?;
        let token = token.parse().ok().filter(|token| *token > 0).map(Token);
        let token = token.ok_or_else(|| {
            ApiError::bad_request("the token of a lease is a number from 1 on, as it was granted")
        })?;
        Ok(Self { task: task.parse()?, token, index: place(&index)? })
    }
}

fn place(text: &str) -> ApiResult<u32> {
    text.parse().ok().filter(|place| (*place as usize) < limits::PARTS_MAX).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        let text =
            format!("'{shown}' is no place of a part: they are counted from 0, below {}", limits::PARTS_MAX);
        ApiError::bad_request(text)
    })
}

/// Send a part of the arguments of a task that is not submitted yet.
///
/// Choose a UUID for the task, cut its arguments into parts of 1 MiB (the last one may be shorter), send them in any order,
/// and then submit the task with `arguments_parts`. A part may be sent again. Parts of which no task comes are dropped ten
/// minutes after the last one.
#[utoipa::path(
    put, path = paths::TASK_ARGUMENTS_PART, tag = "tasks",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "1 byte to 1 MiB"),
    params(
        ("task_id" = uuid::Uuid, Path, description = "The task to be"),
        ("index" = u32, Path, minimum = 0, maximum = 255, description = "Place of the part, from 0")
    ),
    responses((status = 204, description = "Kept, durably"), Problems)
)]
pub(super) async fn put_arguments(
    State(state): State<AppState>,
    OfTask { task, index }: OfTask,
    Raw(bytes): Raw,
) -> ApiResult<StatusCode> {
    store(&state, StorePart { of: PayloadId::arguments(task), index, bytes }).await
}

/// Send a part of a large result, under its lease.
///
/// As for arguments; then complete the lease with `result_parts`. Refused as the result itself would be: once the task was
/// granted to somebody else, what was sent under older tokens is of no use, and goes.
#[utoipa::path(
    put, path = paths::LEASE_RESULT_PART, tag = "leases",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "1 byte to 1 MiB"),
    params(
        ("task_id" = uuid::Uuid, Path, description = "The task"),
        ("token" = u64, Path, minimum = 1, description = "The token of the grant"),
        ("index" = u32, Path, minimum = 0, maximum = 255, description = "Place of the part, from 0")
    ),
    responses((status = 204, description = "Kept, durably"), Problems)
)]
pub(super) async fn put_result(
    State(state): State<AppState>,
    OfLease { task, token, index }: OfLease,
    Raw(bytes): Raw,
) -> ApiResult<StatusCode> {
    store(&state, StorePart { of: PayloadId { task, token }, index, bytes }).await
}

async fn store(state: &AppState, part: StorePart) -> ApiResult<StatusCode> {
    let accepted = write::propose(state, Command::StorePart(part)).await?;
    if accepted == Accepted::Stored { Ok(StatusCode::NO_CONTENT) } else { Err(write::unexpected(&accepted)) }
}

/// A part of the arguments of a task that were sent in parts.
#[utoipa::path(
    get, path = paths::TASK_ARGUMENTS_PART, tag = "tasks",
    params(
        ("task_id" = uuid::Uuid, Path, description = "The task"),
        ("index" = u32, Path, minimum = 0, maximum = 255, description = "Place of the part, from 0")
    ),
    responses((status = 200, description = "The part", content_type = "application/octet-stream", body = Vec<u8>), Problems)
)]
pub(super) async fn arguments(
    State(state): State<AppState>,
    OfTask { task, index }: OfTask,
) -> ApiResult<Response> {
    // Parts never change once the task is there, so whichever node knows it has them.
    if state.group.replica().rows().task(&task).is_none() {
        state.group.linearize().await?;
    }
    let rows = state.group.replica().rows();
    if rows.task(&task).is_none() {
        return Err(read::unknown_task(task));
    }
    let said = rows.rules(&task).and_then(|rules| rules.in_parts());
    let said = said.ok_or_else(|| not_in_parts(task, "arguments"))?;
    part(&rows, PayloadId::arguments(task), &said, index)
}

/// A part of the result of a task, if that is in parts.
#[utoipa::path(
    get, path = paths::TASK_RESULT_PART, tag = "tasks",
    params(
        ("task_id" = uuid::Uuid, Path, description = "The task"),
        ("index" = u32, Path, minimum = 0, maximum = 255, description = "Place of the part, from 0")
    ),
    responses((status = 200, description = "The part", content_type = "application/octet-stream", body = Vec<u8>), Problems)
)]
pub(super) async fn result(
    State(state): State<AppState>,
    OfTask { task, index }: OfTask,
) -> ApiResult<Response> {
    let standing = read::task(&state, task, ReadQuery::default()).await?;
    let (of, said) = result_of(task, &standing).ok_or_else(|| not_in_parts(task, "result"))?;
    part(&state.group.replica().rows(), of, &said, index)
}

/// Where the result of a task lies, if it is in parts.
fn result_of(task: TaskId, standing: &Standing) -> Option<(PayloadId, InParts)> {
    match standing {
        Standing::Finished(Record { outcome: Outcome::CompletedInParts(said), token, .. }) => {
            Some((PayloadId { task, token: *token }, *said))
        }
        Standing::Live { .. } | Standing::Finished(_) => None,
    }
}

fn part(rows: &RowStore, of: PayloadId, said: &InParts, index: u32) -> ApiResult<Response> {
    if index >= said.count {
        let detail = format!("there is no part {index}: there are {}, counted from 0", said.count);
        return Err(ApiError::new(ErrorCode::UnknownPart, detail));
    }
    // Between the two look-ups, the task may have been forgotten.
    let bytes = rows.part(&of, index).ok_or_else(|| read::unknown_task(of.task))?;
    Ok(([(CONTENT_TYPE, OCTET_STREAM)], bytes).into_response())
}

fn not_in_parts(task: TaskId, what: &str) -> ApiError {
    ApiError::new(ErrorCode::UnknownPart, format!("the {what} of task {task} are not there in parts"))
        .hint("small ones are told whole: GET /v1/tasks/{task_id}/result says how a result is to be read")
}

/// The bytes of a result, part by part, as far as the reader takes them; `None` if there is none.
pub(super) fn stream(state: &AppState, task: TaskId, standing: &Standing) -> Option<Response> {
    if let Standing::Finished(Record { outcome: Outcome::Completed(result), .. }) = standing {
        return Some(([(CONTENT_TYPE, OCTET_STREAM)], result.clone()).into_response());
    }
    let (of, said) = result_of(task, standing)?;
    let rows = state.group.replica().rows();
    let gone = || std::io::Error::other("the task was forgotten while its result was read");
    let parts = (0..said.count).map(move |index| rows.part(&of, index).ok_or_else(gone));
    let headers = [(CONTENT_TYPE, OCTET_STREAM.to_owned()), (CONTENT_LENGTH, said.bytes.to_string())];
    Some((headers, Body::from_stream(futures::stream::iter(parts))).into_response())
}

/// The whole of a result for those who can only take it whole, up to the size that one entry of the log may have.
///
/// # Errors
/// `too_large` above it.
pub(super) fn whole(state: &AppState, task: TaskId, (token, said): (Token, InParts)) -> ApiResult<Bytes> {
    if said.bytes > limits::RESULT_BYTES_MAX as u64 {
        let error: ApiError = Rejection::OverLimit {
            what: "the size of a result that is answered whole".to_owned(),
            got: said.bytes,
            limit: limits::RESULT_BYTES_MAX as u64,
        }
        .into();
        return Err(error.hint("read it in parts: GET /v1/tasks/{task_id}/result says how"));
    }
    let rows: Arc<RowStore> = state.group.replica().rows();
    let of = PayloadId { task, token };
    let parts: Option<Vec<Bytes>> = (0..said.count).map(|index| rows.part(&of, index)).collect();
    Ok(parts.ok_or_else(|| read::unknown_task(task))?.concat().into())
}

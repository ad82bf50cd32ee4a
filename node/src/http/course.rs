//! The course contract: four calls at the root. See `raftwork_api::course`.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use raftwork_api::arguments::Arguments;
use raftwork_api::course::{
    CourseStatus, ExecuteFunction, ExecutedFunction, RegisterFunction, RegisteredFunction, TaskResult,
    TaskStatus,
};
use raftwork_api::kernel::{Language, Outcome, TaskId};
use raftwork_api::paths;
use raftwork_api::payload::{check_pickle, from_base64};
use raftwork_kernel::{Record, Rules, TaskOptions};

use super::error::ApiResult;
use super::extract::{Id, Json, json};
use super::functions::{self, NewCode};
use super::ids::Ids;
use super::openapi::Problems;
use super::read::ReadQuery;
use super::state::AppState;
use super::{parts, pickle, read, submit};
use crate::replica::Standing;

/// Register a pickled function.
#[utoipa::path(
    post, path = paths::REGISTER_FUNCTION, tag = "course", request_body = RegisterFunction,
    responses((status = 201, description = "Registered", body = RegisteredFunction), Problems)
)]
pub(super) async fn register_function(
    State(state): State<AppState>,
    ids: Ids,
    Json(body): Json<RegisterFunction>,
) -> ApiResult<Response> {
    let code = code_of(&body.payload, state.lenient_register)?;
    let id = functions::register(&state, &ids, NewCode::plain(body.name, Language::Pickle, code)).await?;
    Ok(json(StatusCode::CREATED, &RegisteredFunction { function_id: id.to_string() }))
}

/// The pickle in a payload; with `lenient`, whatever is in it, and the first call of the function fails instead.
fn code_of(payload: &str, lenient: bool) -> ApiResult<Bytes> {
    let code = from_base64(payload).and_then(|code| check_pickle(&code).map(|()| code));
    match code {
        Ok(code) => Ok(code),
        Err(_) if lenient => {
            Ok(from_base64(payload).unwrap_or_else(|_| Bytes::copy_from_slice(payload.as_bytes())))
        }
        Err(error) => Err(error.into()),
    }
}

/// Run a function on pickled arguments `(args, kwargs)`.
#[utoipa::path(
    post, path = paths::EXECUTE_FUNCTION, tag = "course", request_body = ExecuteFunction,
    responses((status = 201, description = "Accepted, durably", body = ExecutedFunction), Problems)
)]
pub(super) async fn execute_function(
    State(state): State<AppState>,
    ids: Ids,
    Json(body): Json<ExecuteFunction>,
) -> ApiResult<Response> {
    let function = submit::find_function(&state, &body.function_id).await?;
    let args = submit::encode_args(&function, Arguments::pickled(body.payload))?;
    let task = ids.task()?;
    submit::submit(&state, function.id, (TaskOptions::default(), Rules::default()), vec![(task, args)])
        .await?;
    Ok(json(StatusCode::CREATED, &ExecutedFunction { task_id: task.to_string() }))
}

/// Where a task stands.
#[utoipa::path(
    get, path = paths::STATUS, tag = "course", params(("task_id" = uuid::Uuid, Path, description = "The task")),
    responses((status = 200, description = "Its status", body = TaskStatus), Problems)
)]
pub(super) async fn status(State(state): State<AppState>, Id(id): Id<TaskId>) -> ApiResult<Response> {
    let standing = read::task(&state, id, ReadQuery::default()).await?;
    let status = status_of(&standing);
    Ok(json(StatusCode::OK, &TaskStatus { task_id: id.to_string(), status }))
}

/// A task's result: the pickled value, the pickled exception of a failed task, or nothing yet.
#[utoipa::path(
    get, path = paths::RESULT, tag = "course", params(("task_id" = uuid::Uuid, Path, description = "The task")),
    responses((status = 200, description = "Its status, and its result if it has ended", body = TaskResult), Problems)
)]
pub(super) async fn result(State(state): State<AppState>, Id(id): Id<TaskId>) -> ApiResult<Response> {
    let standing = read::task(&state, id, ReadQuery::default()).await?;
    let result = match &standing {
        Standing::Live { .. } => String::new(),
        Standing::Finished(record) => pickle::mime_base64(&outcome_of(&state, id, record)?),
    };
    let status = status_of(&standing);
    Ok(json(StatusCode::OK, &TaskResult { task_id: id.to_string(), status, result }))
}

fn status_of(standing: &Standing) -> CourseStatus {
    match standing {
        Standing::Live { status, .. } => (*status).into(),
        Standing::Finished(record) => record.outcome.status().into(),
    }
}

fn outcome_of(state: &AppState, task: TaskId, record: &Record) -> ApiResult<Bytes> {
    Ok(match &record.outcome {
        Outcome::Completed(result) => result.clone(),
        Outcome::CompletedInParts(said) => parts::whole(state, task, (record.token, *said))?,
        Outcome::Failed(_) | Outcome::Parked(_) | Outcome::Cancelled => {
            pickle::exception_of(record).expect("only a completed task has no exception")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lenient_node_takes_what_is_no_pickle() {
        assert_eq!(code_of("gAR9\nlC4=\n", false).unwrap(), b"\x80\x04}\x94.".as_slice());
        for payload in ["payload", "aGVsbG8=", "%%%"] {
            assert!(code_of(payload, false).is_err(), "{payload}");
            assert!(code_of(payload, true).is_ok(), "{payload}");
        }
    }
}

//! `/v1/tasks`, but for submitting: one task, its result, its logs, its end, and lists.

use axum::extract::State;
use axum::response::Response;
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use raftwork_api::kernel::{Accepted, Cancel, FunctionId, Output, Redrive, Status, TaskId, Token};
use raftwork_api::tasks::{AttemptLog, ResultInfo, TaskInfo, TaskLogs, TaskPage};
use raftwork_api::{paths, task_of_redrive};
use raftwork_kernel::{Command, Rows, Seq};
use serde::Deserialize;

use super::error::ApiResult;
use super::etag::tagged;
use super::extract::{Id, Params, json};
use super::list::{self, Page};
use super::openapi::Problems;
use super::parts::OCTET_STREAM;
use super::read::{self, Read, ReadQuery};
use super::state::AppState;
use super::view::{self, Connected};
use super::{parts, submit, write};
use crate::replica::Standing;

/// A task.
#[utoipa::path(
    get, path = paths::TASK, tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task"), ReadQuery),
    responses((status = 200, description = "Where it stands", body = TaskInfo), Problems)
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Id(id): Id<TaskId>,
    Params(query): Params<ReadQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let standing = read::task(&state, id, query).await?;
    let info = view::task(&state, &Connected::to(&state), id, &standing)?;
    let tag = view::info_tag(&standing, &info);
    let response = tagged(&tag, &headers, || json(StatusCode::OK, &info));
    Ok(read::mark(&state, query.read, response))
}

/// The result of a task.
///
/// With `Accept: application/octet-stream`, the answer for a completed task is the bytes of its result, of whatever size.
#[utoipa::path(
    get, path = paths::TASK_RESULT, tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task"), ReadQuery),
    responses((status = 200, description = "Its result if it has ended, and its status", body = ResultInfo), Problems)
)]
pub(super) async fn result(
    State(state): State<AppState>,
    Id(id): Id<TaskId>,
    Params(query): Params<ReadQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let standing = read::task(&state, id, query).await?;
    let octets = headers.get(ACCEPT).is_some_and(|accept| accept == OCTET_STREAM);
    if let Some(bytes) = octets.then(|| parts::stream(&state, id, &standing)).flatten() {
        return Ok(read::mark(&state, query.read, bytes));
    }
    let info = view::result(&state, id, &standing)?;
    let response = tagged(&view::task_tag(&standing), &headers, || json(StatusCode::OK, &info));
    Ok(read::mark(&state, query.read, response))
}

/// What the attempts of a task printed.
#[utoipa::path(
    get, path = paths::TASK_LOGS, tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task"), ReadQuery),
    responses((status = 200, description = "Output of ended attempts", body = TaskLogs), Problems)
)]
pub(super) async fn logs(
    State(state): State<AppState>,
    Id(id): Id<TaskId>,
    Params(query): Params<ReadQuery>,
) -> ApiResult<Response> {
    read::task(&state, id, query).await?;
    let attempts = state.group.replica().rows().outputs(&id).into_iter().map(attempt_log).collect();
    let response = json(StatusCode::OK, &TaskLogs { attempts });
    Ok(read::mark(&state, query.read, response))
}

fn attempt_log((token, output): (Token, Output)) -> AttemptLog {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    AttemptLog { token, stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// End a task before it ends itself.
#[utoipa::path(
    post, path = paths::TASK_CANCEL, tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task")),
    responses((status = 200, description = "It will never start (again)", body = TaskInfo), Problems)
)]
pub(super) async fn cancel(State(state): State<AppState>, Id(id): Id<TaskId>) -> ApiResult<Response> {
    let accepted = write::propose(&state, Command::Cancel(Cancel { task: id })).await?;
    if accepted != Accepted::Cancelled {
        return Err(write::unexpected(&accepted));
    }
    let standing = state.group.replica().standing(&id).ok_or_else(|| read::unknown_task(id))?;
    Ok(json(StatusCode::OK, &view::task(&state, &Connected::to(&state), id, &standing)?))
}

/// Run a task that failed or was parked again, as a new task.
///
/// It has the function, the arguments and the options of the old one, but starts now, and counts its attempts from
/// nothing. The old one stays as it is. Each task has one redrive: a repeat answers with the same new task.
#[utoipa::path(
    post, path = paths::TASK_REDRIVE, tag = "tasks",
    params(("task_id" = uuid::Uuid, Path, description = "The task that failed")),
    responses((status = 201, description = "The new task, accepted durably", body = TaskInfo), Problems)
)]
pub(super) async fn redrive(State(state): State<AppState>, Id(task): Id<TaskId>) -> ApiResult<Response> {
    let into = task_of_redrive(task);
    let accepted = write::propose(&state, Command::Redrive(Redrive { task, into })).await?;
    let Accepted::Redriven { created } = accepted else { return Err(write::unexpected(&accepted)) };
    let standing = state.group.replica().standing(&into).ok_or_else(|| read::unknown_task(into))?;
    let redriven = view::task(&state, &Connected::to(&state), into, &standing)?;
    Ok(submit::replayed(!created, json(StatusCode::CREATED, &redriven)))
}

/// Query of `GET /v1/tasks`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Most tasks in the answer, 1 to 1000; 100 if left out. A page can be shorter and still have a `next`.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// `next` of the page before.
    #[param(pattern = "^t[0-9a-f]{1,16}$")]
    after: Option<String>,
    /// Only tasks with this status.
    #[param(value_type = Option<String>, pattern = "^(waiting|queued|running|completed|failed|parked|cancelled)$", example = "failed")]
    status: Option<Status>,
    /// Only tasks of this function.
    #[param(value_type = Option<uuid::Uuid>)]
    function_id: Option<String>,
    /// How fresh the answer must be.
    #[serde(default)]
    #[param(inline)]
    read: Read,
}

/// Tasks, newest first.
#[utoipa::path(
    get, path = paths::TASKS, tag = "tasks", params(ListQuery),
    responses((status = 200, description = "One page", body = TaskPage), Problems)
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Params(query): Params<ListQuery>,
) -> ApiResult<Response> {
    let limit = list::limit_of(query.limit)?;
    let after = query.after.as_deref().map(list::parse_task_cursor).transpose()?;
    let function = query.function_id.as_deref().map(str::parse).transpose()?;
    let filter = Filter { status: query.status, function };
    read::barrier(&state, query.read).await?;
    let scanned = state.clone();
    let page = list::blocking(move || page(&scanned, limit, after, &filter)).await;
    Ok(read::mark(&state, query.read, json(StatusCode::OK, &page)))
}

/// Which tasks a list shows.
struct Filter {
    status: Option<Status>,
    function: Option<FunctionId>,
}

fn page(state: &AppState, limit: usize, after: Option<Seq>, filter: &Filter) -> TaskPage {
    let rows = state.group.replica().rows();
    let connected = Connected::to(state);
    let mut cut = None;
    let shown = list::bounded(rows.tasks_before(after), &mut cut)
        .map(|(seq, id)| show(state, &connected, id, filter).map(|info| (seq, info)));
    let page = Page::fill(limit, shown);
    let last = page.next.map(|(seq, _)| seq).or_else(|| cut.map(|(seq, _)| seq));
    TaskPage {
        tasks: page.items.into_iter().map(|(_, info)| info).collect(),
        next: last.map(list::task_cursor),
    }
}

/// The task, if the filter lets it pass and it was not forgotten meanwhile.
fn show(state: &AppState, connected: &Connected, id: TaskId, filter: &Filter) -> Option<TaskInfo> {
    let standing = state.group.replica().standing(&id)?;
    let status = match &standing {
        Standing::Live { status, .. } => *status,
        Standing::Finished(record) => record.outcome.status(),
    };
    if filter.status.is_some_and(|wanted| wanted != status) {
        return None;
    }
    if let Some(function) = filter.function {
        let row = state.group.replica().rows().task(&id)?;
        if row.function != function {
            return None;
        }
    }
    view::task(state, connected, id, &standing).ok()
}

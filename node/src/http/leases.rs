//! `/v1/leases`: enough to write a pull worker with curl.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use raftwork_api::kernel::{
    Accepted, Complete, CompleteInParts, Extend, Fail, FailureKind, InParts, Language, LeaseRef, Output,
    Release, Status, Tags, TaskError, WorkerId, limits,
};
use raftwork_api::leases::{
    AcquireLeases, AcquiredLeases, CompleteLease, ExtendLease, FailLease, HeartbeatAnswer, HeldLeases,
    LeaseAnswer, LeaseInfo, NamedLease,
};
use raftwork_api::payload::{check_pickle, from_base64, to_base64};
use raftwork_api::stream::Work;
use raftwork_api::{ErrorCode, Span, paths};
use raftwork_kernel::{Command, Millis, Phase, TaskId};

use super::error::{ApiError, ApiResult};
use super::extract::{Json, json};
use super::functions::parse_python;
use super::ids::Ids;
use super::openapi::Problems;
use super::state::AppState;
use super::{read, view, write};
use crate::dispatch::AcquireRequest;
use crate::replica::Standing;

/// Most that is kept of what an attempt printed to one stream, in bytes.
const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// Ask for work, and wait for it.
#[utoipa::path(
    post, path = paths::LEASES_ACQUIRE, tag = "leases", request_body = AcquireLeases,
    responses((status = 200, description = "Tasks that are the worker's now; none if there were none in time", body = AcquiredLeases), Problems)
)]
pub(super) async fn acquire(
    State(state): State<AppState>,
    ids: Ids,
    Json(body): Json<AcquireLeases>,
) -> ApiResult<Response> {
    let request = AcquireRequest {
        worker: body.worker_id,
        request: body.request_id.map_or_else(|| ids.request(), Ok)?,
        python: parse_python(&body.python)?,
        tags: parse_tags(body.tags)?,
        max: body.max.unwrap_or(1).clamp(1, limits::ACQUIRE_MAX),
        wait: read::wait_of(body.wait),
    };
    let work = state.group.dispatcher().acquire(request).await?;
    let timings = state.group.dispatcher().timings();
    let answer = AcquiredLeases {
        leases: work.iter().map(lease_info).collect::<ApiResult<_>>()?,
        ttl: span(timings.ttl),
        start_deadline: span(timings.start_deadline),
    };
    Ok(json(StatusCode::OK, &answer))
}

fn parse_tags(tags: Vec<String>) -> ApiResult<Tags> {
    let tags: Tags = tags.into_iter().collect();
    tags.check().map_err(ApiError::bad_request)?;
    Ok(tags)
}

fn span(duration: std::time::Duration) -> Span {
    Span(Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
}

fn lease_info(work: &Work) -> ApiResult<LeaseInfo> {
    let (payload, arguments) = match work.language {
        _ if work.in_parts.is_some() => (None, None),
        Language::Pickle => (Some(to_base64(&work.args)), None),
        Language::Source => {
            let arguments = serde_json::from_slice(&work.args).map_err(|error| {
                ApiError::new(
                    ErrorCode::Internal,
                    format!("the arguments of {} are not JSON: {error}", work.lease.task),
                )
            })?;
            (None, Some(arguments))
        }
    };
    Ok(LeaseInfo {
        task_id: work.lease.task,
        token: work.lease.token,
        attempt: work.attempt,
        function_id: work.function.to_string(),
        format: view::format_of(work.language),
        payload,
        arguments,
        arguments_parts: work.in_parts.map(Into::into),
        results_of: work.given.iter().map(|given| given.task).collect(),
        timeout: work.run_max.map(Span),
    })
}

/// Say that granted tasks have started.
#[utoipa::path(
    post, path = paths::LEASES_START, tag = "leases", request_body = HeldLeases,
    responses((status = 200, description = "Leases among them that are over", body = HeartbeatAnswer), Problems)
)]
pub(super) async fn start(
    State(state): State<AppState>,
    Json(body): Json<HeldLeases>,
) -> ApiResult<Response> {
    read::leads(&state)?;
    state.group.dispatcher().started(body.worker_id, &body.leases);
    let lost = state.group.replica().lost(&body.leases);
    Ok(json(StatusCode::OK, &HeartbeatAnswer { lost }))
}

/// Keep leases alive; answered once a majority has confirmed that the answering node leads.
#[utoipa::path(
    post, path = paths::LEASES_HEARTBEAT, tag = "leases", request_body = HeldLeases,
    responses((status = 200, description = "Leases among them that are over", body = HeartbeatAnswer), Problems)
)]
pub(super) async fn heartbeat(
    State(state): State<AppState>,
    Json(body): Json<HeldLeases>,
) -> ApiResult<Response> {
    let held: Vec<(LeaseRef, bool)> = body.leases.iter().map(|lease| (*lease, true)).collect();
    let lost = state.group.dispatcher().beat(body.worker_id, &held).await?;
    Ok(json(StatusCode::OK, &HeartbeatAnswer { lost }))
}

/// Let an attempt run longer.
#[utoipa::path(
    post, path = paths::LEASES_EXTEND, tag = "leases", request_body = ExtendLease,
    responses((status = 200, description = "It may", body = LeaseAnswer), Problems)
)]
pub(super) async fn extend(
    State(state): State<AppState>,
    Json(body): Json<ExtendLease>,
) -> ApiResult<Response> {
    let lease = LeaseRef { task: body.task_id, token: body.token };
    answer(write::propose(&state, Command::Extend(Extend { lease, run: body.run.0 })).await?)
}

/// Report a result.
#[utoipa::path(
    post, path = paths::LEASES_COMPLETE, tag = "leases", request_body = CompleteLease,
    responses((status = 200, description = "It is the task's one result", body = LeaseAnswer), Problems)
)]
pub(super) async fn complete(
    State(state): State<AppState>,
    Json(body): Json<CompleteLease>,
) -> ApiResult<Response> {
    let lease = LeaseRef { task: body.task_id, token: body.token };
    read::leads(&state)?;
    let output = output(body.stdout, body.stderr);
    let language = language(&state, lease.task).await?;
    if let Some(parts) = &body.result_parts {
        if body.payload.is_some() || body.value.is_some() {
            let text =
                "a result that was sent in parts stands in the place of payload and value: leave those out";
            return Err(ApiError::new(ErrorCode::BadPayload, text));
        }
        let parts = InParts::try_from(parts).map_err(ApiError::bad_request)?;
        let complete = CompleteInParts { lease, parts, output };
        return report(&state, lease, Command::CompleteInParts(complete)).await;
    }
    let result = encode_result(language, body.payload, body.value)?;
    report(&state, lease, Command::Complete(Complete { lease, result, output })).await
}

/// How the task's result is written down.
async fn language(state: &AppState, task: TaskId) -> ApiResult<Language> {
    if let Ok(language) = view::language(state, task) {
        return Ok(language);
    }
    // A leader that was deposed while it was paused does not know what its successor accepted since.
    state.group.linearize().await?;
    view::language(state, task)
}

/// The result as whoever reads it expects it.
fn encode_result(
    language: Language,
    payload: Option<String>,
    value: Option<serde_json::Value>,
) -> ApiResult<Bytes> {
    match (language, payload, value) {
        (Language::Pickle, Some(payload), None) => {
            let result = from_base64(&payload)?;
            check_pickle(&result)?;
            Ok(result)
        }
        // A value of null reads as no value at all.
        (Language::Source, None, value) => Ok(Bytes::from(value.unwrap_or_default().to_string())),
        (Language::Pickle, _, _) => Err(ApiError::new(
            ErrorCode::BadPayload,
            "this function is pickled: its result goes in payload alone, as base64 of a pickle",
        )),
        (Language::Source, Some(_), _) => Err(ApiError::new(
            ErrorCode::BadPayload,
            "this function is source text: its result goes in value",
        )),
    }
}

/// Report a failure.
#[utoipa::path(
    post, path = paths::LEASES_FAIL, tag = "leases", request_body = FailLease,
    responses((status = 200, description = "It was charged to the task", body = LeaseAnswer), Problems)
)]
pub(super) async fn fail(State(state): State<AppState>, Json(body): Json<FailLease>) -> ApiResult<Response> {
    let lease = LeaseRef { task: body.task_id, token: body.token };
    let error = TaskError {
        kind: FailureKind::Exception,
        type_name: shortened(body.type_name, limits::ERROR_TEXT_BYTES_MAX),
        message: shortened(body.message, limits::ERROR_TEXT_BYTES_MAX),
        traceback: shortened(body.traceback, limits::ERROR_TEXT_BYTES_MAX),
        exception: None,
    };
    let output = output(body.stdout, body.stderr);
    let bases = body.bases.into_iter().take(limits::EXCEPTIONS_MAX);
    let bases = bases.map(|base| shortened(base, limits::EXCEPTION_NAME_BYTES_MAX)).collect();
    let fail = Fail { lease, error, bases, retryable: body.retryable.unwrap_or(true), output };
    report(&state, lease, Command::Fail(fail)).await
}

/// Give a task back, unharmed and uncharged.
#[utoipa::path(
    post, path = paths::LEASES_RELEASE, tag = "leases", request_body = NamedLease,
    responses((status = 200, description = "It is ready for another worker", body = LeaseAnswer), Problems)
)]
pub(super) async fn release(
    State(state): State<AppState>,
    Json(body): Json<NamedLease>,
) -> ApiResult<Response> {
    let lease = LeaseRef { task: body.task_id, token: body.token };
    report(&state, lease, Command::Release(Release { lease })).await
}

/// Ends a lease, and tells the dispatcher that its worker is still there and holds one less.
async fn report(state: &AppState, lease: LeaseRef, command: Command) -> ApiResult<Response> {
    let holder = holder(state, &lease);
    let accepted = write::propose(state, command).await?;
    if let Some(worker) = holder {
        state.group.dispatcher().reported(worker, &lease);
    }
    answer(accepted)
}

fn holder(state: &AppState, lease: &LeaseRef) -> Option<WorkerId> {
    match state.group.replica().standing(&lease.task)? {
        Standing::Live { task, .. } if task.token == lease.token => match task.phase {
            Phase::Leased(held) => Some(held.worker),
            Phase::Waiting { .. } | Phase::Scheduled { .. } | Phase::Blocked { .. } | Phase::Ready => None,
        },
        Standing::Live { .. } | Standing::Finished(_) => None,
    }
}

fn answer(accepted: Accepted) -> ApiResult<Response> {
    let status = match accepted {
        Accepted::Completed => Status::Completed,
        Accepted::WillRetry { .. } => Status::Waiting,
        Accepted::Finished { status } => status,
        Accepted::Released => Status::Queued,
        Accepted::Extended { .. } => Status::Running,
        other @ (Accepted::Registered
        | Accepted::Submitted { .. }
        | Accepted::Granted(_)
        | Accepted::Cancelled
        | Accepted::Expired(_)
        | Accepted::Forgotten(_)
        | Accepted::Redriven { .. }
        | Accepted::Stored
        | Accepted::Mapped { .. }
        | Accepted::LimitSet
        | Accepted::SchedulePut { .. }
        | Accepted::ScheduleChanged
        | Accepted::Fired { .. }) => return Err(write::unexpected(&other)),
    };
    Ok(json(StatusCode::OK, &LeaseAnswer { status }))
}

fn output(stdout: String, stderr: String) -> Output {
    let kept = |text: String| Bytes::from(shortened(text, OUTPUT_BYTES_MAX));
    Output { stdout: kept(stdout), stderr: kept(stderr) }
}

/// Stands where something was cut out.
const MARKER: &str = "\n[... cut ...]\n";

/// Head and tail of a text that is too long, with a marker between them.
fn shortened(text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    let half = (limit - MARKER.len()) / 2;
    let head = text.floor_char_boundary(half);
    let tail = text.ceil_char_boundary(text.len() - half);
    format!("{}{MARKER}{}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_must_fit_its_function() {
        let pickle = || Some("gAR9lC4=".to_owned());
        assert!(encode_result(Language::Pickle, pickle(), None).is_ok());
        assert_eq!(encode_result(Language::Source, None, None).unwrap(), b"null".as_slice());
        assert_eq!(encode_result(Language::Source, None, Some(3.into())).unwrap(), b"3".as_slice());
        for (language, payload, value) in [
            (Language::Pickle, None, Some(3.into())),
            (Language::Pickle, Some("aGVsbG8=".to_owned()), None),
            (Language::Source, pickle(), None),
        ] {
            let error = encode_result(language, payload, value).unwrap_err();
            assert_eq!(error.problem().code, ErrorCode::BadPayload);
        }
    }

    #[test]
    fn long_text_keeps_its_ends() {
        assert_eq!(shortened("short".to_owned(), 100), "short");
        let text = shortened(format!("ä{}ö", "x".repeat(500)), 100);
        assert!(
            text.len() <= 100 && text.starts_with('ä') && text.ends_with('ö') && text.contains("cut"),
            "{text}"
        );
        assert!(shortened("ä".repeat(500), 101).len() <= 101);
    }
}

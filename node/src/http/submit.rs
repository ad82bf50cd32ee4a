//! `POST /v1/tasks` and `POST /v1/tasks/batch`.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use raftwork_api::arguments::Arguments;
use raftwork_api::kernel::{
    Accepted, After, FunctionId, InParts, Language, Rule, Rules, Submit, SubmitUnder, TaskId, TaskOptions,
    WallTime, limits,
};
use raftwork_api::limits::{Concurrency, Rate};
use raftwork_api::parts::SentArguments;
use raftwork_api::payload::{check_pickle, from_base64};
use raftwork_api::tasks::{BatchAccepted, NewBatch, NewTask, SubmitOptions, TaskInfo};
use raftwork_api::{ErrorCode, Span, paths, rfc3339};
use raftwork_kernel::Command;
use serde::Deserialize;
use tokio::time::Instant;

use super::error::{ApiError, ApiResult};
use super::extract::{Json, Params, json};
use super::functions::run_max;
use super::ids::Ids;
use super::openapi::Problems;
use super::read::{self, Read};
use super::state::AppState;
use super::view::{self, Connected};
use super::write;
use crate::replica::Standing;

/// Response header: the request was carried out before, under the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a submit must know of its function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Callee {
    pub(super) id: FunctionId,
    language: Language,
}

/// The function with the id in `text`.
pub(super) async fn find_function(state: &AppState, text: &str) -> ApiResult<Callee> {
    let id: FunctionId = text.parse()?;
    let function = read::function(state, id, Read::Linearizable).await?;
    Ok(Callee { id, language: function.spec.language })
}

/// The arguments as the function takes them, out of what a request can hold.
pub(super) fn encode_args(function: &Callee, arguments: Arguments) -> ApiResult<Bytes> {
    let Arguments { payload, args, kwargs } = arguments;
    match (function.language, payload, args.is_some() || kwargs.is_some()) {
        (Language::Pickle, Some(payload), false) => {
            let args = from_base64(&payload)?;
            check_pickle(&args)?;
            Ok(args)
        }
        (Language::Pickle, _, _) => Err(ApiError::new(
            ErrorCode::BadPayload,
            "this function is pickled: its arguments go in payload alone",
        )
        .hint("payload is base64 of dill.dumps((args, kwargs))")),
        (Language::Source, None, _) => {
            // Always the same bytes for the same arguments: a repeated submit is compared byte by byte.
            let args =
                serde_json::json!({"args": args.unwrap_or_default(), "kwargs": kwargs.unwrap_or_default()});
            Ok(Bytes::from(args.to_string()))
        }
        (Language::Source, Some(_), _) => Err(ApiError::new(
            ErrorCode::BadPayload,
            "this function is source text: its arguments go in args and kwargs",
        )
        .hint("as in {\"function_id\": \"...\", \"args\": [1, 2], \"kwargs\": {}}")),
    }
}

/// Submits tasks, all or none; returns how many were new.
pub(super) async fn submit(
    state: &AppState,
    function: FunctionId,
    (options, rules): (TaskOptions, Rules),
    items: Vec<(TaskId, Bytes)>,
) -> ApiResult<u32> {
    let submit = Submit { function, options, items };
    let command = if rules.is_empty() {
        Command::Submit(submit)
    } else {
        Command::SubmitUnder(SubmitUnder { submit, rules })
    };
    let accepted = write::propose(state, command).await?;
    let Accepted::Submitted { created } = accepted else { return Err(write::unexpected(&accepted)) };
    Ok(created)
}

pub(super) fn options_of(options: &SubmitOptions) -> ApiResult<(TaskOptions, Rules)> {
    let task_options = TaskOptions {
        priority: options.priority.unwrap_or(limits::PRIORITY_DEFAULT),
        delay: options.delay.unwrap_or_default().0,
        retry: options.retry,
        run_max: run_max(options.timeout)?,
        python: None,
    };
    Ok((task_options, rules_of(options)?))
}

fn rules_of(options: &SubmitOptions) -> ApiResult<Rules> {
    let tags = (!options.tags.is_empty()).then(|| Rule::Tags(options.tags.iter().cloned().collect()));
    let no_retry =
        (!options.no_retry.is_empty()).then(|| Rule::NoRetry(options.no_retry.iter().cloned().collect()));
    let start_by = options.start_by.map(|span| Rule::StartBy(span.0));
    let total = options.total_timeout.map(|span| Rule::Total(span.0));
    let run_at = options.run_at.as_deref().map(date).transpose()?.map(Rule::RunAt);
    let concurrency =
        options.concurrency.clone().map(|Concurrency { key, max }| Rule::Concurrency { key, max });
    let rate = options.rate.clone().map(|Rate { key, max, per }| Rule::Rate { key, max, per: per.0 });
    let after = after(options)?;
    Ok([tags, no_retry, start_by, total, run_at, concurrency, rate, after].into_iter().flatten().collect())
}

fn after(options: &SubmitOptions) -> ApiResult<Option<Rule>> {
    let results = options.results_of.iter().copied().collect();
    let after = After::of(options.after.iter().copied(), results, options.on_failure);
    Ok(after.map_err(ApiError::bad_request)?.map(Rule::After))
}

fn date(text: &str) -> ApiResult<WallTime> {
    rfc3339::parse(text).ok_or_else(|| {
        let text: String = text.chars().take(64).collect();
        ApiError::bad_request(format!("run_at = '{text}' is no date such as 2026-12-24T18:00:00+01:00"))
            .hint("RFC 3339, from 1970 on, with an offset from UTC or Z")
    })
}

/// Query of `POST /v1/tasks`.
#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Wait this long for the task to end, as in `30s`; at most `60s`. The answer can come earlier.
    #[serde(default)]
    #[param(value_type = Option<raftwork_api::SpanText>, inline)]
    wait: Option<Span>,
}

/// Submit a task.
#[utoipa::path(
    post, path = paths::TASKS, tag = "tasks", request_body = NewTask,
    params(
        WaitQuery,
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = "Repeat the request under the same key, and no second task is made")
    ),
    responses((status = 201, description = "Accepted, durably", body = TaskInfo), Problems)
)]
pub(super) async fn one(
    State(state): State<AppState>,
    ids: Ids,
    Params(query): Params<WaitQuery>,
    Json(new): Json<NewTask>,
) -> ApiResult<Response> {
    let wait = read::wait_of(query.wait);
    let function = find_function(&state, &new.function_id).await?;
    let options = options_of(&new.options)?;
    let (task, options, args) = if let Some(sent) = &new.arguments_parts {
        (sent.task_id, in_parts(&new, sent, options)?, Bytes::new())
    } else {
        let args = encode_args(&function, new.arguments)?;
        (ids.task()?, options, args)
    };
    let created = submit(&state, function.id, options, vec![(task, args)]).await?;
    let ended = if wait.is_zero() { None } else { state.group.finished(task, Instant::now() + wait).await };
    let standing = ended.map(Standing::Finished).or_else(|| state.group.replica().standing(&task));
    let standing = standing.ok_or_else(|| read::unknown_task(task))?;
    let info = view::task(&state, &Connected::to(&state), task, &standing)?;
    Ok(replayed(ids.are_keyed() && created == 0, json(StatusCode::CREATED, &info)))
}

/// The options of a task whose arguments were sent before it.
fn in_parts(
    new: &NewTask,
    sent: &SentArguments,
    (options, rules): (TaskOptions, Rules),
) -> ApiResult<(TaskOptions, Rules)> {
    if new.arguments != Arguments::default() {
        return Err(ApiError::new(
            ErrorCode::BadPayload,
            "arguments that were sent in parts stand in the place of payload, args and kwargs: leave those out",
        ));
    }
    let parts = InParts::try_from(&sent.parts).map_err(ApiError::bad_request)?;
    Ok((options, rules.iter().cloned().chain([Rule::InParts(parts)]).collect()))
}

/// Submit many tasks of one function, all or none.
#[utoipa::path(
    post, path = paths::TASKS_BATCH, tag = "tasks", request_body = NewBatch,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = "Names every item by its place in the batch")),
    responses((status = 201, description = "Accepted, durably", body = BatchAccepted), Problems)
)]
pub(super) async fn batch(
    State(state): State<AppState>,
    ids: Ids,
    Json(new): Json<NewBatch>,
) -> ApiResult<Response> {
    let function = find_function(&state, &new.function_id).await?;
    let options = options_of(&new.options)?;
    let task_ids = ids.tasks(new.items.len())?;
    let args = encode_items(&function, new.items)?;
    let items: Vec<_> = task_ids.iter().copied().zip(args).collect();
    let created = if items.is_empty() { 0 } else { submit(&state, function.id, options, items).await? };
    let is_replay = ids.are_keyed() && created == 0 && !task_ids.is_empty();
    Ok(replayed(is_replay, json(StatusCode::CREATED, &BatchAccepted { task_ids, created })))
}

/// The arguments of each item.
pub(super) fn encode_items(function: &Callee, items: Vec<Arguments>) -> ApiResult<Vec<Bytes>> {
    items.into_iter().map(|item| encode_args(function, item)).collect()
}

/// Marks an answer to a request that was carried out before.
pub(super) fn replayed(is_replay: bool, mut response: Response) -> Response {
    if is_replay {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const PICKLED: Callee = Callee { id: FunctionId::from_u128(1), language: Language::Pickle };
    const SOURCE: Callee = Callee { id: FunctionId::from_u128(1), language: Language::Source };

    fn pickled(payload: &str) -> Arguments {
        Arguments::pickled(payload.to_owned())
    }

    fn plain(args: Vec<Value>) -> Arguments {
        Arguments { args: Some(args), ..Arguments::default() }
    }

    #[test]
    fn arguments_are_written_as_the_function_reads_them() {
        let args = encode_args(&PICKLED, pickled("gAR9\nlC4=\n")).unwrap();
        assert_eq!(args, b"\x80\x04}\x94.".as_slice());
        let args = encode_args(&SOURCE, plain(vec![Value::from(1)])).unwrap();
        assert_eq!(args, br#"{"args":[1],"kwargs":{}}"#.as_slice());
        let args = encode_args(&SOURCE, Arguments::default()).unwrap();
        assert_eq!(args, br#"{"args":[],"kwargs":{}}"#.as_slice());
    }

    #[test]
    fn arguments_of_the_other_kind_are_refused_with_the_right_form() {
        let both = Arguments { args: Some(vec![]), ..pickled("gAR9lC4=") };
        for (function, arguments, part) in [
            (PICKLED, Arguments::default(), "go in payload"),
            (PICKLED, both, "go in payload alone"),
            (PICKLED, pickled("aGVsbG8="), "not of a pickle"),
            (SOURCE, pickled("gAR9lC4="), "go in args and kwargs"),
        ] {
            let error = encode_args(&function, arguments).unwrap_err();
            assert_eq!(error.problem().code, ErrorCode::BadPayload);
            assert!(error.problem().detail.contains(part), "{part}: {}", error.problem());
        }
    }
}

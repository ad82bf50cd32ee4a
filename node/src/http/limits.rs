//! `/v1/limits`: limits by key, whoever said them first.

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use raftwork_api::kernel::{Accepted, Bound, LimitKind, LimitName, LogTime, Millis, SetLimit};
use raftwork_api::limits::{Holder, LimitInfo, LimitPage, NewConcurrency, NewRate};
use raftwork_api::{ErrorCode, Span, paths};
use raftwork_kernel::{Command, LimitStanding};

use super::error::{ApiError, ApiResult};
use super::extract::{Json, Params, json};
use super::list::{self, Page, PageQuery};
use super::openapi::Problems;
use super::read::{self, Read};
use super::state::AppState;
use super::write;

/// Holders that are named: enough to see who it is.
const HOLDERS_MAX: usize = 100;

/// Limits that a live task names, that were set by hand, or of which a start still counts.
#[utoipa::path(
    get, path = paths::LIMITS, tag = "limits", params(PageQuery, ("after" = Option<String>, Query, pattern = "^(concurrency|rate)(:.*)?$", description = "`next` of the page before")),
    responses((status = 200, description = "One page", body = LimitPage), Problems)
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Params(query): Params<PageQuery>,
) -> ApiResult<Response> {
    let limit = query.limit()?;
    let after = query.after(parse_cursor)?;
    read::barrier(&state, query.read).await?;
    let standings = state.group.replica().limits_after(after.as_ref(), limit + 1);
    let page = Page::fill(limit, standings.into_iter().map(Some));
    let next = page.next.map(|standing| cursor(&standing.name));
    let now = state.group.log_time();
    let limits = page.items.iter().map(|standing| info(standing, now)).collect();
    Ok(read::mark(&state, query.read, json(StatusCode::OK, &LimitPage { limits, next })))
}

/// One concurrency limit, and who has the leases under it.
#[utoipa::path(
    get, path = paths::LIMIT_CONCURRENCY, tag = "limits",
    params(("key" = String, Path, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,128}$", description = "What its tasks share")),
    responses((status = 200, description = "What it says, and who is under it", body = LimitInfo), Problems)
)]
pub(super) async fn get_concurrency(
    State(state): State<AppState>,
    Path(key): Path<String>,
) -> ApiResult<Response> {
    get(&state, &named(LimitKind::Concurrency, key)?).await
}

/// Set a concurrency limit by hand. It stands above what submits say, until it is deleted.
#[utoipa::path(
    put, path = paths::LIMIT_CONCURRENCY, tag = "limits", request_body = NewConcurrency,
    params(("key" = String, Path, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,128}$", description = "What its tasks share")),
    responses((status = 200, description = "Set, durably", body = LimitInfo), Problems)
)]
pub(super) async fn put_concurrency(
    State(state): State<AppState>,
    Path(key): Path<String>,
    Json(new): Json<NewConcurrency>,
) -> ApiResult<Response> {
    put(&state, &named(LimitKind::Concurrency, key)?, Bound { max: new.max, per: Millis(0) }).await
}

/// Leave a concurrency limit to what submits say again. Harmless if it was not set by hand.
#[utoipa::path(
    delete, path = paths::LIMIT_CONCURRENCY, tag = "limits",
    params(("key" = String, Path, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,128}$", description = "What its tasks share")),
    responses((status = 204, description = "Done, durably"), Problems)
)]
pub(super) async fn delete_concurrency(
    State(state): State<AppState>,
    Path(key): Path<String>,
) -> ApiResult<StatusCode> {
    set(&state, &named(LimitKind::Concurrency, key)?, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One rate limit, and who has the leases under it.
#[utoipa::path(
    get, path = paths::LIMIT_RATE, tag = "limits",
    params(("key" = String, Path, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,128}$", description = "What its tasks share")),
    responses((status = 200, description = "What it says, and who is under it", body = LimitInfo), Problems)
)]
pub(super) async fn get_rate(State(state): State<AppState>, Path(key): Path<String>) -> ApiResult<Response> {
    get(&state, &named(LimitKind::Rate, key)?).await
}

/// Set a rate limit by hand. It stands above what submits say, until it is deleted.
#[utoipa::path(
    put, path = paths::LIMIT_RATE, tag = "limits", request_body = NewRate,
    params(("key" = String, Path, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,128}$", description = "What its tasks share")),
    responses((status = 200, description = "Set, durably", body = LimitInfo), Problems)
)]
pub(super) async fn put_rate(
    State(state): State<AppState>,
    Path(key): Path<String>,
    Json(new): Json<NewRate>,
) -> ApiResult<Response> {
    put(&state, &named(LimitKind::Rate, key)?, Bound { max: new.max, per: new.per.0 }).await
}

/// Leave a rate limit to what submits say again. Harmless if it was not set by hand.
#[utoipa::path(
    delete, path = paths::LIMIT_RATE, tag = "limits",
    params(("key" = String, Path, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,128}$", description = "What its tasks share")),
    responses((status = 204, description = "Done, durably"), Problems)
)]
pub(super) async fn delete_rate(
    State(state): State<AppState>,
    Path(key): Path<String>,
) -> ApiResult<StatusCode> {
    set(&state, &named(LimitKind::Rate, key)?, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn named(kind: LimitKind, key: String) -> ApiResult<LimitName> {
    let name = LimitName { kind, key };
    name.check(None).map_err(ApiError::bad_request)?;
    Ok(name)
}

async fn get(state: &AppState, name: &LimitName) -> ApiResult<Response> {
    read::barrier(state, Read::Linearizable).await?;
    shown(state, name)
}

async fn put(state: &AppState, name: &LimitName, bound: Bound) -> ApiResult<Response> {
    name.check(Some(bound)).map_err(ApiError::bad_request)?;
    set(state, name, Some(bound)).await?;
    shown(state, name)
}

fn shown(state: &AppState, name: &LimitName) -> ApiResult<Response> {
    let limit = with_holders(state, name).ok_or_else(|| unknown(name))?;
    Ok(json(StatusCode::OK, &limit))
}

async fn set(state: &AppState, name: &LimitName, bound: Option<Bound>) -> ApiResult<()> {
    let command = Command::SetLimit(SetLimit { name: name.clone(), bound });
    let accepted = write::propose(state, command).await?;
    if accepted == Accepted::LimitSet { Ok(()) } else { Err(write::unexpected(&accepted)) }
}

fn unknown(name: &LimitName) -> ApiError {
    ApiError::new(ErrorCode::UnknownLimit, format!("nothing speaks of a {name}"))
        .hint("GET /v1/limits lists those that there are")
}

/// What is known of a limit on this node, and who has its leases.
pub(super) fn with_holders(state: &AppState, name: &LimitName) -> Option<LimitInfo> {
    let replica = state.group.replica();
    let (standing, leases) = replica.limit(name, HOLDERS_MAX)?;
    let holder = |(worker, task): &(raftwork_kernel::WorkerId, raftwork_kernel::TaskId)| Holder {
        task_id: *task,
        worker_id: worker.to_string(),
    };
    let holders = leases.iter().map(holder).collect();
    Some(LimitInfo { holders, ..info(&standing, state.group.log_time()) })
}

pub(super) fn info(standing: &LimitStanding, now: LogTime) -> LimitInfo {
    let LimitStanding { name, limit, tasks, held, opens, room } = standing;
    // Nobody said anything only while a submit is being carried out.
    let bound = limit.bound().unwrap_or(Bound { max: u32::MAX, per: Millis(0) });
    let is_rate = name.kind == LimitKind::Rate;
    LimitInfo {
        kind: name.kind,
        key: name.key.clone(),
        max: bound.max,
        per: is_rate.then_some(Span(bound.per)),
        set_by_hand: limit.by_hand.is_some(),
        tasks: *tasks,
        held: *held,
        starts: is_rate.then(|| limit.starts_at(now)),
        reached: *room == 0,
        opens_in: opens.map(|opens| Span(Millis(opens.0.saturating_sub(now.0)))),
        holders: Vec::new(),
    }
}

/// A limit that is reached, in words.
pub(super) fn reached(limit: &LimitInfo) -> String {
    let by = if limit.set_by_hand { " (set by hand)" } else { "" };
    let key = &limit.key;
    match limit.kind {
        LimitKind::Concurrency => format!(
            "its concurrency limit '{key}' is reached: {} of at most {} tasks are leased{by}",
            limit.held, limit.max
        ),
        LimitKind::Rate => format!(
            "its rate limit '{key}' is reached: {} of at most {} tasks started within {}{by}",
            limit.starts.unwrap_or_default(),
            limit.max,
            limit.per.unwrap_or_default()
        ),
    }
}

fn cursor(name: &LimitName) -> String {
    format!("{}:{}", name.kind, name.key)
}

fn parse_cursor(text: &str) -> ApiResult<LimitName> {
    let (kind, key) = text.split_once(':').unwrap_or((text, ""));
    let kind = match kind {
        "concurrency" => LimitKind::Concurrency,
        "rate" => LimitKind::Rate,
        _ => return Err(list::no_cursor(text)),
    };
    Ok(LimitName { kind, key: key.to_owned() })
}

#[cfg(test)]
mod tests {
    use raftwork_kernel::{Limit, Starts};

    use super::*;

    #[test]
    fn a_limit_that_is_reached_says_how() {
        let name = LimitName { kind: LimitKind::Rate, key: "api".to_owned() };
        let limit = Limit {
            declared: None,
            by_hand: Some(Bound { max: 0, per: Millis(60_000) }),
            starts: Starts::default(),
        };
        let opens = Some(LogTime(5_000));
        let standing = LimitStanding { name, limit, tasks: 3, held: 2, opens, room: 0 };
        let shown = info(&standing, LogTime(2_000));
        assert_eq!((shown.opens_in, shown.reached), (Some(Span(Millis(3_000))), true));
        let text = "its rate limit 'api' is reached: 0 of at most 0 tasks started within 1m (set by hand)";
        assert_eq!(reached(&shown), text);
    }

    #[test]
    fn cursors_read_back_and_nothing_else_does() {
        let name = LimitName { kind: LimitKind::Rate, key: "a:b".to_owned() };
        assert_eq!(parse_cursor(&cursor(&name)).ok(), Some(name));
        assert!(parse_cursor("t1").is_err() && parse_cursor("").is_err());
    }
}

//! `/v1/schedules`: tasks that are submitted again and again.

use axum::extract::{FromRequestParts, Path, State};
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use raftwork_api::kernel::{
    Accepted, CatchUp, ChangeSchedule, Overlap, PutSchedule, Schedule, ScheduleChange, ScheduleSpec, Timing,
    Trigger, WallTime, check_schedule_name,
};
use raftwork_api::schedules::{
    CatchUpPolicy, NewSchedule, OverlapPolicy, ScheduleInfo, SchedulePage, ScheduleTiming,
};
use raftwork_api::tasks::TaskInfo;
use raftwork_api::{ErrorCode, Span, paths, rfc3339};
use raftwork_kernel::Command;

use super::error::{ApiError, ApiResult};
use super::extract::{Json, Params, json};
use super::ids::Ids;
use super::list::{Page, PageQuery};
use super::openapi::Problems;
use super::read::{self, Read};
use super::state::AppState;
use super::view::{self, Connected};
use super::{submit, write};
use crate::schedule::timing::Calendar;

/// Times that lie ahead and are shown of one schedule.
const NEXT_SHOWN: usize = 5;
/// Most times that are caught up with if a schedule does not say.
const CATCH_UP_DEFAULT: u16 = 100;
const CATCH_UP_MAX: u16 = 1_000;

/// The name in the path.
pub(super) struct Named(String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let Path(name) = Path::<String>::from_request_parts(parts, state).await?;
        check_schedule_name(&name).map_err(ApiError::bad_request)?;
        Ok(Self(name))
    }
}

/// Schedules, by name.
#[utoipa::path(
    get, path = paths::SCHEDULES, tag = "schedules", params(PageQuery, ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "One page", body = SchedulePage), Problems)
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Params(query): Params<PageQuery>,
) -> ApiResult<Response> {
    let limit = query.limit()?;
    read::barrier(&state, query.read).await?;
    let found = state.group.replica().schedules_after(query.after.as_deref(), limit + 1);
    let page = Page::fill(limit, found.into_iter().map(Some));
    let next = page.next.map(|(name, ..)| name);
    let schedules = page.items.iter().map(|(name, schedule, live)| info(name, schedule, *live, 1)).collect();
    Ok(read::mark(&state, query.read, json(StatusCode::OK, &SchedulePage { schedules, next })))
}

/// One schedule, and its next times.
#[utoipa::path(
    get, path = paths::SCHEDULE, tag = "schedules",
    params(("name" = String, Path, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,100}$", description = "Its name")),
    responses((status = 200, description = "How it stands", body = ScheduleInfo), Problems)
)]
pub(super) async fn get(State(state): State<AppState>, Named(name): Named) -> ApiResult<Response> {
    read::barrier(&state, Read::Linearizable).await?;
    Ok(json(StatusCode::OK, &found(&state, &name)?))
}

/// Make a schedule, or replace it. One that fires at other times than before goes on from now.
#[utoipa::path(
    put, path = paths::SCHEDULE, tag = "schedules", request_body = NewSchedule,
    params(("name" = String, Path, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,100}$", description = "Its name")),
    responses((status = 200, description = "It is so now, durably", body = ScheduleInfo), Problems)
)]
pub(super) async fn put(
    State(state): State<AppState>,
    Named(name): Named,
    Json(new): Json<NewSchedule>,
) -> ApiResult<Response> {
    let function = submit::find_function(&state, &new.function_id).await?;
    let timing = timing_of(&new.timing)?;
    let (options, rules) = submit::options_of(&new.options)?;
    let args = submit::encode_args(&function, new.arguments)?;
    let catch_up = catch_up_of(new.catch_up, new.catch_up_max)?;
    let overlap = match new.overlap {
        OverlapPolicy::Allow => Overlap::Allow,
        OverlapPolicy::Skip => Overlap::Skip,
        OverlapPolicy::Queue => Overlap::Queue,
    };
    let spec = ScheduleSpec { timing, function: function.id, args, options, rules, catch_up, overlap };
    let command = PutSchedule { name: name.clone(), spec };
    let accepted = write::propose(&state, Command::PutSchedule(command)).await?;
    let Accepted::SchedulePut { .. } = accepted else { return Err(write::unexpected(&accepted)) };
    Ok(json(StatusCode::OK, &found(&state, &name)?))
}

/// Delete a schedule. Its tasks go on.
#[utoipa::path(
    delete, path = paths::SCHEDULE, tag = "schedules",
    params(("name" = String, Path, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,100}$", description = "Its name")),
    responses((status = 204, description = "Gone, durably"), Problems)
)]
pub(super) async fn delete(State(state): State<AppState>, Named(name): Named) -> ApiResult<StatusCode> {
    change(&state, &name, ScheduleChange::Delete).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Fire for nothing until it is resumed.
#[utoipa::path(
    post, path = paths::SCHEDULE_PAUSE, tag = "schedules",
    params(("name" = String, Path, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,100}$", description = "Its name")),
    responses((status = 200, description = "It is paused, durably", body = ScheduleInfo), Problems)
)]
pub(super) async fn pause(State(state): State<AppState>, Named(name): Named) -> ApiResult<Response> {
    change(&state, &name, ScheduleChange::Pause).await?;
    Ok(json(StatusCode::OK, &found(&state, &name)?))
}

/// Fire again, for times from now on.
#[utoipa::path(
    post, path = paths::SCHEDULE_RESUME, tag = "schedules",
    params(("name" = String, Path, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,100}$", description = "Its name")),
    responses((status = 200, description = "It fires, durably", body = ScheduleInfo), Problems)
)]
pub(super) async fn resume(State(state): State<AppState>, Named(name): Named) -> ApiResult<Response> {
    change(&state, &name, ScheduleChange::Resume).await?;
    Ok(json(StatusCode::OK, &found(&state, &name)?))
}

/// Submit a task of a schedule now, paused or not. Its nominal times stay as they are.
#[utoipa::path(
    post, path = paths::SCHEDULE_TRIGGER, tag = "schedules",
    params(
        ("name" = String, Path, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,100}$", description = "Its name"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = "Repeat the request under the same key, and no second task is made")
    ),
    responses((status = 201, description = "Accepted, durably", body = TaskInfo), Problems)
)]
pub(super) async fn trigger(
    State(state): State<AppState>,
    Named(name): Named,
    ids: Ids,
) -> ApiResult<Response> {
    let task = ids.task()?;
    let accepted = write::propose(&state, Command::Trigger(Trigger { name, task })).await?;
    let Accepted::Submitted { .. } = accepted else { return Err(write::unexpected(&accepted)) };
    let standing = state.group.replica().standing(&task).ok_or_else(|| read::unknown_task(task))?;
    let info = view::task(&state, &Connected::to(&state), task, &standing)?;
    Ok(json(StatusCode::CREATED, &info))
}

async fn change(state: &AppState, name: &str, change: ScheduleChange) -> ApiResult<()> {
    let command = ChangeSchedule { name: name.to_owned(), change };
    let accepted = write::propose(state, Command::ChangeSchedule(command)).await?;
    if accepted == Accepted::ScheduleChanged { Ok(()) } else { Err(write::unexpected(&accepted)) }
}

fn found(state: &AppState, name: &str) -> ApiResult<ScheduleInfo> {
    let found = state.group.replica().schedule(name);
    let (schedule, live) = found.ok_or_else(|| {
        ApiError::new(ErrorCode::UnknownSchedule, format!("there is no schedule '{name}'"))
            .hint("GET /v1/schedules lists those that there are")
    })?;
    Ok(info(name, &schedule, live, NEXT_SHOWN))
}

fn timing_of(timing: &ScheduleTiming) -> ApiResult<Timing> {
    let timing = match timing {
        ScheduleTiming { cron: Some(pattern), time_zone, every: None } => {
            let zone = time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
            Timing::Cron { pattern: pattern.trim().to_owned(), zone }
        }
        ScheduleTiming { cron: None, time_zone: None, every: Some(span) } => {
            Timing::Every { span: span.0, from: None }
        }
        _ => {
            let text = "a schedule has either cron, with or without a time_zone, or every";
            return Err(ApiError::bad_request(text)
                .hint("as in {\"cron\": \"30 9 * * MON-FRI\", \"time_zone\": \"Europe/Berlin\"} or {\"every\": \"15m\"}"));
        }
    };
    Calendar::read(&timing, WallTime(0)).map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(timing)
}

fn catch_up_of(policy: CatchUpPolicy, most: Option<u16>) -> ApiResult<CatchUp> {
    match (policy, most) {
        (CatchUpPolicy::Skip, None) => Ok(CatchUp::Skip),
        (CatchUpPolicy::Latest, None) => Ok(CatchUp::Latest),
        (CatchUpPolicy::All, most @ (None | Some(1..=CATCH_UP_MAX))) => {
            Ok(CatchUp::All(most.unwrap_or(CATCH_UP_DEFAULT)))
        }
        (CatchUpPolicy::All, Some(most)) => {
            Err(ApiError::bad_request(format!("catch_up_max = {most} is not between 1 and {CATCH_UP_MAX}")))
        }
        (CatchUpPolicy::Skip | CatchUpPolicy::Latest, Some(_)) => {
            Err(ApiError::bad_request("catch_up_max goes with catch_up = 'all'"))
        }
    }
}

fn info(name: &str, schedule: &Schedule, live: u32, shown: usize) -> ScheduleInfo {
    let spec = &schedule.spec;
    let timing = match &spec.timing {
        Timing::Cron { pattern, zone } => {
            ScheduleTiming { cron: Some(pattern.clone()), time_zone: Some(zone.clone()), every: None }
        }
        Timing::Every { span, .. } => {
            ScheduleTiming { every: Some(Span(*span)), ..ScheduleTiming::default() }
        }
    };
    let (catch_up, catch_up_max) = match spec.catch_up {
        CatchUp::Skip => (CatchUpPolicy::Skip, None),
        CatchUp::Latest => (CatchUpPolicy::Latest, None),
        CatchUp::All(most) => (CatchUpPolicy::All, Some(most)),
    };
    let overlap = match spec.overlap {
        Overlap::Allow => OverlapPolicy::Allow,
        Overlap::Skip => OverlapPolicy::Skip,
        Overlap::Queue => OverlapPolicy::Queue,
    };
    // One that another build wrote may be unreadable here: it is shown all the same, without times.
    let calendar = Calendar::read(&spec.timing, schedule.made_wall).ok();
    let last =
        calendar.as_ref().map_or_else(|| rfc3339::format(schedule.last), |one| one.show(schedule.last));
    let next = calendar.filter(|_| !schedule.paused).map(|one| next(&one, schedule.last, shown));
    ScheduleInfo {
        name: name.to_owned(),
        function_id: spec.function.to_string(),
        timing,
        catch_up,
        catch_up_max,
        overlap,
        paused: schedule.paused,
        fired: schedule.fired,
        skipped: schedule.skipped,
        live,
        last,
        next: next.unwrap_or_default(),
        made_at: rfc3339::format(schedule.made_wall),
    }
}

fn next(calendar: &Calendar, last: WallTime, shown: usize) -> Vec<String> {
    let times = core::iter::successors(calendar.after(last), |time| calendar.after(*time));
    times.take(shown).map(|time| calendar.show(time)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timing_is_one_of_two() {
        let timing = |text: &str| timing_of(&serde_json::from_str(text).unwrap());
        assert!(timing(r#"{"cron": "@hourly"}"#).is_ok());
        assert!(timing(r#"{"every": "15m"}"#).is_ok());
        for text in [
            "{}",
            r#"{"cron": "@hourly", "every": "15m"}"#,
            r#"{"every": "15m", "time_zone": "UTC"}"#,
            r#"{"cron": "* * *"}"#,
            r#"{"cron": "@hourly", "time_zone": "Berlin"}"#,
        ] {
            assert!(timing(text).is_err(), "{text}");
        }
    }
}

//! `/v1/schedules`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::arguments::Arguments;
use crate::tasks::SubmitOptions;
use crate::{Span, number};

/// What becomes of nominal times that passed while no leader could fire for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUpPolicy {
    /// Those that are more than a minute late are left out.
    Skip,
    /// Only the latest one is fired for.
    #[default]
    Latest,
    /// All are fired for, oldest first; of more than `catch_up_max`, the latest so many.
    All,
}

/// What becomes of a nominal time at which a task of the schedule has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverlapPolicy {
    /// Another task is submitted all the same.
    #[default]
    Allow,
    /// It is left out.
    Skip,
    /// One task waits until the other has ended; beyond that one, it is left out.
    Queue,
}

/// When a schedule fires: `cron` with a `time_zone`, or `every`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleTiming {
    /// Minute, hour, day of the month, month, day of the week; a field of seconds may stand in front. Or `@daily` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "30 9 * * MON-FRI")]
    pub cron: Option<String>,
    /// Name of a time zone in the IANA data; UTC if left out. With `cron` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub time_zone: Option<String>,
    /// The span between two nominal times, as in `15m`; at least a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
}

/// Body of `PUT /v1/schedules/{name}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "function_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "args": ["eu"],
    "cron": "30 9 * * MON-FRI", "time_zone": "Europe/Berlin", "catch_up": "latest", "overlap": "skip"
}))]
pub struct NewSchedule {
    /// What to run.
    #[schema(format = Uuid)]
    pub function_id: String,
    /// With what.
    #[serde(flatten)]
    pub arguments: Arguments,
    /// When.
    #[serde(flatten)]
    pub timing: ScheduleTiming,
    /// What becomes of times that were missed.
    #[serde(default)]
    pub catch_up: CatchUpPolicy,
    /// With `all`: most times that are caught up with, 1 to 1,000; 100 if left out.
    #[serde(default, deserialize_with = "number::maybe", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub catch_up_max: Option<u16>,
    /// What becomes of times at which a task has not ended.
    #[serde(default)]
    pub overlap: OverlapPolicy,
    /// Options of every task, but for `run_at`: the schedule says when.
    #[serde(flatten)]
    pub options: SubmitOptions,
}

/// A schedule as it stands. Moments are in its time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "name": "report", "function_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "cron": "30 9 * * MON-FRI",
    "time_zone": "Europe/Berlin", "catch_up": "latest", "overlap": "skip", "paused": false, "fired": 12, "skipped": 0,
    "live": 1, "last": "2026-11-27T09:30:00+01:00", "next": ["2026-11-30T09:30:00+01:00"], "made_at": "2026-11-12T08:00:00Z"
}))]
pub struct ScheduleInfo {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub function_id: String,
    /// When.
    #[serde(flatten)]
    pub timing: ScheduleTiming,
    /// What becomes of times that were missed.
    pub catch_up: CatchUpPolicy,
    /// With `all`: most times that are caught up with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up_max: Option<u16>,
    /// What becomes of times at which a task has not ended.
    pub overlap: OverlapPolicy,
    /// Whether it fires for nothing until it is resumed.
    pub paused: bool,
    /// Tasks that it submitted.
    pub fired: u64,
    /// Nominal times that were left out because a task had not ended.
    pub skipped: u64,
    /// Tasks of it that have not ended.
    pub live: u32,
    /// Times up to this one are dealt with.
    pub last: String,
    /// The next times; none while it is paused. One in lists.
    pub next: Vec<String>,
    /// When it was made, RFC 3339 in UTC.
    pub made_at: String,
}

/// Answer of `GET /v1/schedules`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SchedulePage {
    /// By name.
    pub schedules: Vec<ScheduleInfo>,
    /// The `after` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The schedule that a task comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"name": "report", "nominal": "2026-11-27T08:30:00Z"}))]
pub struct Origin {
    /// Its name.
    pub name: String,
    /// The nominal time that the task was submitted for, RFC 3339 in UTC; of a triggered one, when that was.
    pub nominal: String,
}

//! `/v1/limits`, and what a submit says of limits.

use raftwork_kernel::{LimitKind, TaskId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::span::Positive;
use crate::{Span, number};

/// At most so many tasks under a key are leased at a time, wherever they were submitted and whatever they run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"key": "tenant-7", "max": 3}))]
pub struct Concurrency {
    /// What the tasks share: 1 to 128 characters.
    #[schema(pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,128}$")]
    pub key: String,
    /// How many; at least 1. Holds for every task under the key, until another submit says otherwise.
    #[serde(deserialize_with = "number::number")]
    #[schema(minimum = 1)]
    pub max: u32,
}

/// At most so many tasks under a key start within any span of this length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"key": "api.example.com", "max": 100, "per": "1m"}))]
pub struct Rate {
    /// What the tasks share: 1 to 128 characters.
    #[schema(pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,128}$")]
    pub key: String,
    /// How many starts; at least 1. Holds for every task under the key, until another submit says otherwise.
    #[serde(deserialize_with = "number::number")]
    #[schema(minimum = 1)]
    pub max: u32,
    /// The span, as in `30s`.
    #[schema(value_type = Positive)]
    pub per: Span,
}

/// Body of `PUT /v1/limits/concurrency/{key}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"max": 3}))]
pub struct NewConcurrency {
    /// How many at a time; 0 holds all tasks under the key back.
    #[serde(deserialize_with = "number::number")]
    pub max: u32,
}

/// Body of `PUT /v1/limits/rate/{key}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"max": 100, "per": "1m"}))]
pub struct NewRate {
    /// How many starts within the span; 0 holds all tasks under the key back.
    #[serde(deserialize_with = "number::number")]
    pub max: u32,
    /// The span, as in `30s`.
    #[schema(value_type = Positive)]
    pub per: Span,
}

/// A limit, and who is under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "kind": "concurrency", "key": "tenant-7", "max": 3, "set_by_hand": false, "tasks": 17, "held": 3, "reached": true,
    "holders": [{"task_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "worker_id": "5f0c3c5e-8f0f-4f5e-9d5c-0d4c9a4f6f10"}]
}))]
pub struct LimitInfo {
    /// `concurrency` or `rate`.
    #[schema(value_type = String, example = "concurrency")]
    pub kind: LimitKind,
    /// What its tasks share.
    pub key: String,
    /// How many.
    pub max: u32,
    /// For a rate: the span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Span>,
    /// Whether it was set by hand; else the last submit that named it says what it is.
    pub set_by_hand: bool,
    /// Tasks under it that have not ended.
    pub tasks: u32,
    /// Those of them that are leased.
    pub held: u32,
    /// For a rate: starts that still count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<u64>,
    /// Whether no further task under it may start now.
    pub reached: bool,
    /// For a rate that is reached: when the next task may start, counted from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_in: Option<Span>,
    /// Who has the leases, up to 100 of them; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
}

/// A lease under a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Holder {
    /// The task.
    #[schema(value_type = String, format = Uuid)]
    pub task_id: TaskId,
    /// Its worker.
    pub worker_id: String,
}

/// Answer of `GET /v1/limits`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LimitPage {
    /// Concurrency before rate, each by key.
    pub limits: Vec<LimitInfo>,
    /// The `after` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

//! Errors on the wire: RFC 9457 problem documents with a stable `code`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Media type of every error body.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, as a word that programs may depend on. Additions are the only change ever made to this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is not what the endpoint takes (malformed JSON, missing field, bad id, bad query).
    BadRequest,
    /// The payload is not base64, or not a pickle.
    BadPayload,
    /// No such path.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The body is larger than the limit, or a value is over its bound.
    TooLarge,
    /// No such function.
    UnknownFunction,
    /// No such task, or it was forgotten after its retention.
    UnknownTask,
    /// No such map, or it was forgotten after its retention.
    UnknownMap,
    /// No such worker is connected.
    UnknownWorker,
    /// Nothing speaks of such a limit.
    UnknownLimit,
    /// No such schedule.
    UnknownSchedule,
    /// The function id is taken by another function.
    FunctionConflict,
    /// The idempotency key or task id is taken by another submit.
    TaskConflict,
    /// Some parts of the arguments or the result were never sent, or the upload was dropped before it was finished.
    PayloadIncomplete,
    /// A part was sent before with other bytes.
    PartConflict,
    /// The arguments, or the result, have no such part; or they are not in parts.
    UnknownPart,
    /// Some items of a map were never sent, or the upload was forgotten before it was finished.
    MapIncomplete,
    /// Somebody else holds the task now, or nobody does any more.
    StaleLease,
    /// The task had ended before.
    AlreadyFinished,
    /// No such node is a member.
    UnknownNode,
    /// The node that is to be added cannot be: it is not there, is of another cluster, or its id is taken.
    UnusableNode,
    /// The change would leave too few nodes that answer.
    UnsafeChange,
    /// The task has not failed, so it cannot be redriven.
    NotRedrivable,
    /// Too much is queued; try again after `Retry-After`.
    Busy,
    /// There is no leader right now (election, or no majority); try again after `Retry-After`.
    NoLeader,
    /// This node does not lead, and the request may only be served by the leader.
    NotLeader,
    /// The answer did not come in time; the request may or may not have been carried out.
    Timeout,
    /// A defect of the server.
    Internal,
}

impl ErrorCode {
    /// The HTTP status that goes with the code.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadRequest | Self::BadPayload => 400,
            Self::NotFound
            | Self::UnknownFunction
            | Self::UnknownTask
            | Self::UnknownMap
            | Self::UnknownWorker
            | Self::UnknownNode
            | Self::UnknownLimit
            | Self::UnknownPart
            | Self::UnknownSchedule => 404,
            Self::MethodNotAllowed => 405,
            Self::FunctionConflict
            | Self::MapIncomplete
            | Self::PayloadIncomplete
            | Self::PartConflict
            | Self::StaleLease
            | Self::AlreadyFinished
            | Self::UnusableNode
            | Self::UnsafeChange
            | Self::NotRedrivable => 409,
            Self::TooLarge => 413,
            Self::NotLeader => 421,
            Self::TaskConflict => 422,
            Self::Busy => 429,
            Self::Internal => 500,
            Self::NoLeader => 503,
            Self::Timeout => 504,
        }
    }

    /// One line for people that fits every problem with this code.
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is malformed",
            Self::BadPayload => "The payload is not what it should be",
            Self::NotFound => "There is nothing at this path",
            Self::MethodNotAllowed => "This path does not take this method",
            Self::TooLarge => "Something is over its limit",
            Self::UnknownFunction => "There is no such function",
            Self::UnknownTask => "There is no such task",
            Self::UnknownMap => "There is no such map",
            Self::UnknownWorker => "There is no such worker",
            Self::UnknownLimit => "There is no such limit",
            Self::UnknownSchedule => "There is no such schedule",
            Self::FunctionConflict => "The function id is taken",
            Self::TaskConflict => "The task id or idempotency key is taken",
            Self::MapIncomplete => "Items of the map are missing",
            Self::PayloadIncomplete => "Parts of the payload are missing",
            Self::PartConflict => "The part was sent before with other bytes",
            Self::UnknownPart => "There is no such part",
            Self::StaleLease => "The lease is stale",
            Self::AlreadyFinished => "The task has already ended",
            Self::UnknownNode => "There is no such node",
            Self::UnusableNode => "The node cannot be added",
            Self::UnsafeChange => "The change would leave too few nodes",
            Self::NotRedrivable => "The task cannot be redriven",
            Self::Busy => "The cluster is busy",
            Self::NoLeader => "The cluster has no leader at the moment",
            Self::NotLeader => "This node does not lead",
            Self::Timeout => "No answer in time",
            Self::Internal => "The server failed",
        }
    }

    /// Whether the same request can succeed later without any change.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Busy | Self::NoLeader | Self::NotLeader | Self::Timeout)
    }
}

/// The body of every error response (RFC 9457), with our `code` and `hint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where the code is explained.
    #[serde(rename = "type")]
    #[schema(example = "/docs/errors#unknown_task")]
    pub kind: String,
    /// One line that fits every problem with this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable word.
    pub code: ErrorCode,
    /// What is wrong with this very request.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Base URL of the leader, where that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
}

impl Problem {
    /// A problem with `code` and what is wrong with this very request.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        let word = serde_json::to_value(code).expect("a unit variant is a string");
        Self {
            kind: format!("/docs/errors#{}", word.as_str().unwrap_or_default()),
            title: code.title().to_owned(),
            status: code.http_status(),
            code,
            detail: detail.into(),
            hint: None,
            leader: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds where the leader is.
    #[must_use]
    pub fn with_leader(mut self, leader: Option<String>) -> Self {
        self.leader = leader;
        self
    }
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.detail)?;
        self.hint.iter().try_for_each(|hint| write!(f, " ({hint})"))
    }
}

impl std::error::Error for Problem {}

impl From<raftwork_kernel::Rejection> for Problem {
    fn from(rejection: raftwork_kernel::Rejection) -> Self {
        use raftwork_kernel::Rejection as R;
        let code = match &rejection {
            R::UnknownFunction(_) => ErrorCode::UnknownFunction,
            R::UnknownSchedule(_) => ErrorCode::UnknownSchedule,
            R::UnknownTask(_) | R::UnknownDependency(_) => ErrorCode::UnknownTask,
            R::FunctionConflict(_) => ErrorCode::FunctionConflict,
            R::TaskConflict(_) | R::MapConflict(_) => ErrorCode::TaskConflict,
            R::StaleLease { .. } => ErrorCode::StaleLease,
            R::AlreadyFinished { .. } | R::MapFinished(_) => ErrorCode::AlreadyFinished,
            R::OverLimit { .. } => ErrorCode::TooLarge,
            R::Invalid(_) => ErrorCode::BadRequest,
            R::NotRedrivable { .. } | R::NotRedrivableInParts(_) => ErrorCode::NotRedrivable,
            R::UnknownMap(_) => ErrorCode::UnknownMap,
            R::MapIncomplete { .. } => ErrorCode::MapIncomplete,
            R::PartMissing { .. } => ErrorCode::PayloadIncomplete,
            R::PartConflict { .. } => ErrorCode::PartConflict,
        };
        Self::new(code, rejection.to_string())
    }
}

//! How fresh a read is, and how long it may wait.
//!
//! Finished tasks and registered functions never change, so whichever node has applied them serves them. Everything else
//! is read behind a barrier that only the leader can raise; a follower's handler says so, and `forward` sends the request on.

use std::time::Duration;

use http::HeaderValue;
use raftwork_api::kernel::{FunctionId, TaskId};
use raftwork_api::{ErrorCode, Span};
use raftwork_kernel::{Function, Rows};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ApiResult};
use super::state::AppState;
use crate::group::{Leadership, Unavailable};
use crate::replica::Standing;

/// Longest `wait`.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// How long a follower waits to hear of a task that it does not know: it learns of a commit with the next heartbeat.
const HEARSAY_PATIENCE: Duration = Duration::from_millis(300);
const HEARSAY_CHECK: Duration = Duration::from_millis(10);

/// Response header of stale reads: the log index that this node has applied.
pub(super) const APPLIED: &str = "x-raftwork-applied";

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Read {
    /// As of a moment after the request arrived, whichever node is asked.
    #[default]
    Linearizable,
    /// Whatever the asked node has applied; the answer says how far that is in `x-raftwork-applied`.
    Stale,
}

/// Query of reads that can wait for a task to end.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadQuery {
    /// How fresh the answer must be.
    #[serde(default)]
    #[param(inline)]
    pub(super) read: Read,
    /// Wait this long for the task to end, as in `30s`; at most `60s`. The answer can come earlier.
    #[serde(default)]
    #[param(value_type = Option<raftwork_api::SpanText>, inline)]
    pub(super) wait: Option<Span>,
}

/// Query of reads that cannot wait.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FreshQuery {
    /// How fresh the answer must be.
    #[serde(default)]
    #[param(inline)]
    pub(super) read: Read,
}

/// Query of a request that may take a while.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// How long to wait until the new node has caught up, as in `30s`; at most 60s.
    #[param(value_type = Option<raftwork_api::SpanText>, inline)]
    pub(super) wait: Option<Span>,
}

/// Query of a removal.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ForceQuery {
    /// Whether to do so although too few of the remaining nodes answer.
    #[serde(default)]
    pub(super) force: bool,
}

/// How long a request waits: an answer may always come earlier than it asked for.
pub(super) fn wait_of(wait: Option<Span>) -> Duration {
    Duration::from(wait.unwrap_or_default()).min(WAIT_MAX)
}

/// Where a task stands, after waiting for its end if `query` asks for that.
pub(super) async fn task(state: &AppState, id: TaskId, query: ReadQuery) -> ApiResult<Standing> {
    let wait = wait_of(query.wait);
    let replica = state.group.replica();
    if !wait.is_zero() {
        make_known(state, id, query.read).await?;
        if let Some(record) = state.group.finished(id, Instant::now() + wait).await {
            return Ok(Standing::Finished(record));
        }
    }
    let standing = replica.standing(&id);
    if query.read == Read::Stale || matches!(standing, Some(Standing::Finished(_))) {
        return standing.ok_or_else(|| unknown_task(id));
    }
    state.group.linearize().await?;
    replica.standing(&id).ok_or_else(|| unknown_task(id))
}

/// Makes sure that the task is known here before anybody waits for its end.
async fn make_known(state: &AppState, id: TaskId, read: Read) -> ApiResult<()> {
    let is_known = || state.group.replica().standing(&id).is_some();
    if is_known() {
        return Ok(());
    }
    if read == Read::Linearizable && state.group.leadership() == Leadership::Leader {
        state.group.linearize().await?;
    } else {
        let deadline = Instant::now() + HEARSAY_PATIENCE;
        while !is_known() && Instant::now() < deadline {
            tokio::time::sleep(HEARSAY_CHECK).await;
        }
        if !is_known() && read == Read::Linearizable {
            // Raises "not the leader", upon which the leader is asked.
            state.group.linearize().await?;
        }
    }
    if is_known() { Ok(()) } else { Err(unknown_task(id)) }
}

/// A registered function.
pub(super) async fn function(state: &AppState, id: FunctionId, read: Read) -> ApiResult<Function> {
    if let Some(function) = state.group.replica().rows().function(&id) {
        return Ok(function);
    }
    if read == Read::Linearizable {
        state.group.linearize().await?;
    }
    state.group.replica().rows().function(&id).ok_or_else(|| {
        ApiError::new(ErrorCode::UnknownFunction, format!("there is no function {id}"))
            .hint("register it first; a function id is what registering answers")
    })
}

/// Raises the barrier that a read of many rows needs.
pub(super) async fn barrier(state: &AppState, read: Read) -> ApiResult<()> {
    match read {
        Read::Linearizable => Ok(state.group.linearize().await?),
        Read::Stale => Ok(()),
    }
}

/// Marks a stale answer.
pub(super) fn mark(
    state: &AppState,
    read: Read,
    mut response: axum::response::Response,
) -> axum::response::Response {
    if read == Read::Stale {
        response.headers_mut().insert(APPLIED, HeaderValue::from(state.group.replica().applied_index()));
    }
    response
}

pub(super) fn unknown_task(id: TaskId) -> ApiError {
    ApiError::new(ErrorCode::UnknownTask, format!("there is no task {id}"))
        .hint("a finished task is forgotten when its function's retention is over")
}

/// Refuses, with the leader's place, unless this node leads.
pub(super) fn leads(state: &AppState) -> ApiResult<()> {
    match state.group.leadership() {
        Leadership::Leader => Ok(()),
        Leadership::Follower { leader: Some(leader) } => Err(Unavailable::NotLeader { leader }.into()),
        Leadership::Follower { leader: None } => Err(Unavailable::NoLeader.into()),
    }
}

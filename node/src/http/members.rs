//! `/v1/cluster/members`: nodes come and go.
//!
//! Every request says what shall be, and can be repeated until it is so; see [`crate::group::members`].

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use raftwork_api::cluster::{ClusterInfo, MemberChange, MemberState, NewMember};
use raftwork_api::{ErrorCode, paths};
use tokio::time::Instant;
use uuid::Uuid;

use super::error::{ApiError, ApiResult};
use super::extract::{Id, Json, Params, json};
use super::openapi::Problems;
use super::read::{self, ForceQuery, WaitQuery, wait_of};
use super::state::AppState;
use crate::group::members::{MemberError, Progress, Refusal, Wish};
use crate::raft::types::Peer;

/// Add a node, or put it in the place of another: it receives what the others have, and votes then.
///
/// Repeat the request while it answers 202, or when its answer was lost: it goes on where it was.
#[utoipa::path(
    post, path = paths::CLUSTER_MEMBERS, tag = "cluster", params(WaitQuery), request_body = NewMember,
    responses(
        (status = 200, description = "The node votes", body = MemberChange),
        (status = 202, description = "The node is catching up", body = MemberChange),
        Problems
    )
)]
pub(super) async fn add(
    State(state): State<AppState>,
    Params(WaitQuery { wait }): Params<WaitQuery>,
    Json(new): Json<NewMember>,
) -> ApiResult<Response> {
    let deadline = Instant::now() + wait_of(wait);
    read::leads(&state)?;
    let (node, peer) = identify(&state, &new.url).await?;
    let wish = Wish::Member { node, peer, replaces: new.replaces, force: new.force };
    let change = |state, lag| MemberChange { node, state, lag };
    Ok(match state.group.change_members(&wish, deadline).await? {
        Progress::Done => json(StatusCode::OK, &change(MemberState::Member, None)),
        Progress::CatchingUp { lag } => {
            let lag = (lag < u64::MAX).then_some(lag);
            json(StatusCode::ACCEPTED, &change(MemberState::CatchingUp, lag))
        }
    })
}

/// Remove a node; a leader hands over first. Removing what is no member does nothing.
#[utoipa::path(
    delete, path = paths::CLUSTER_MEMBER, tag = "cluster",
    params(("node_id" = u64, Path, description = "The node", example = 3), ForceQuery),
    responses((status = 200, description = "It is no member", body = MemberChange), Problems)
)]
pub(super) async fn remove(
    State(state): State<AppState>,
    Id(NodeNumber(node)): Id<NodeNumber>,
    Params(ForceQuery { force }): Params<ForceQuery>,
) -> ApiResult<Response> {
    read::leads(&state)?;
    state.group.change_members(&Wish::Gone { node, force }, Instant::now()).await?;
    Ok(json(StatusCode::OK, &MemberChange { node, state: MemberState::Removed, lag: None }))
}

/// A node's id in a path.
pub(super) struct NodeNumber(u64);

impl std::str::FromStr for NodeNumber {
    type Err = ApiError;

    fn from_str(text: &str) -> ApiResult<Self> {
        let number =
            text.parse().map_err(|_| ApiError::bad_request(format!("'{text}' is no number of a node")))?;
        Ok(Self(number))
    }
}

/// Asks the new node who it is.
async fn identify(state: &AppState, url: &str) -> ApiResult<(u64, Peer)> {
    let unusable = |detail: String| ApiError::new(ErrorCode::UnusableNode, detail);
    let base = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let base = base.trim_end_matches('/');
    let told = state.forwarder.look(format!("{base}{}", paths::CLUSTER)).await.map_err(|error| {
        unusable(format!("no node answers at {base}: {error}"))
            .hint("start it first: raftworkd serve --config cluster.toml --node ID --join URL-OF-A-MEMBER")
    })?;
    let info: ClusterInfo = serde_json::from_str(&told)
        .map_err(|error| unusable(format!("what answers at {base} is no node of Raftwork: {error}")))?;
    let incarnation: Uuid = info.incarnation.parse().map_err(|_| {
        unusable(format!("the node at {base} does not say who it is; it may be older than this one"))
    })?;
    let own = state.group.info();
    if info.cluster != own.cluster {
        return Err(unusable(format!(
            "the node at {base} is of cluster {:?}, and this is {:?}",
            info.cluster, own.cluster
        )));
    }
    let is_member = own.nodes.iter().any(|node| node.id == info.node && node.incarnation == info.incarnation);
    if info.joined && !is_member {
        let detail =
            format!("node {} at {base} has been a member of a cluster, and is none of this one", info.node);
        return Err(unusable(detail).hint("move its data folder away, and start it again with --join"));
    }
    Ok((info.node, Peer { addr: info.url.trim_start_matches("http://").to_owned(), incarnation }))
}

impl From<MemberError> for ApiError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Unavailable(unavailable) => unavailable.into(),
            MemberError::Refused(refusal) => refusal.into(),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Known { node, .. } => Self::new(ErrorCode::UnusableNode, detail).hint(format!(
                "give the new node an id of its own, and say: raftwork cluster replace {node} URL"
            )),
            Refusal::Itself { .. } => Self::bad_request(detail),
            Refusal::Unknown { .. } => {
                Self::new(ErrorCode::UnknownNode, detail).hint("raftwork cluster lists the members; to add one: cluster add")
            }
            Refusal::Last { .. } => {
                Self::new(ErrorCode::UnsafeChange, detail).hint("add the node that shall take its place first")
            }
            Refusal::Unsafe { .. } => Self::new(ErrorCode::UnsafeChange, detail).hint(
                "bring back the nodes that do not answer, or replace those; with force it is done all the same, and nothing is \
                 accepted until enough of them are back",
            ),
        }
    }
}

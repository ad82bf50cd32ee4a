//! `/v1/maps`: one function over any number of items.

use axum::extract::State;
use axum::response::Response;
use futures::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use raftwork_api::kernel::{Accepted, CancelMap, Map, MapId, Pack, Piece, Status, Store};
use raftwork_api::maps::{ItemPage, ItemResult, MapInfo, MapPage, NewMap};
use raftwork_api::tasks::ResultInfo;
use raftwork_api::{ErrorCode, maps, paths, rfc3339};
use raftwork_kernel::{Command, MapRow, MapStanding};
use serde::Deserialize;
use tokio::time::Instant;

use super::error::{ApiError, ApiResult};
use super::extract::{Id, Json, Params, json};
use super::ids::Ids;
use super::list::{self, Page, PageQuery};
use super::openapi::Problems;
use super::read::{self, Read, ReadQuery};
use super::state::AppState;
use super::{submit, view, write};
use crate::replica::Standing;

/// Submit one function over any number of items. It is accepted as a whole, at once; items become tasks as others end.
#[utoipa::path(
    post, path = paths::MAPS, tag = "maps", request_body = NewMap,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = "Repeat the request under the same key, and no second map is made")),
    responses((status = 201, description = "Accepted, durably", body = MapInfo), Problems)
)]
pub(super) async fn create(
    State(state): State<AppState>,
    ids: Ids,
    Json(new): Json<NewMap>,
) -> ApiResult<Response> {
    let function = submit::find_function(&state, &new.function_id).await?;
    let (options, rules) = submit::options_of(&new.options)?;
    let items = submit::encode_items(&function, new.items)?;
    let pieces = maps::pieces(items.into_iter().map(|args| Pack::Each(vec![args])));
    let id = ids.map()?;
    let map = Map {
        map: id,
        function: function.id,
        options,
        rules,
        pieces: u32::try_from(pieces.len()).map_err(|_| ApiError::bad_request("there are too many items"))?,
        digest: maps::digest(&pieces),
    };
    store(&state, id, pieces).await?;
    let accepted = write::propose(&state, Command::Map(map)).await?;
    let Accepted::Mapped { created, .. } = accepted else { return Err(write::unexpected(&accepted)) };
    let info = info(&state, id)?;
    Ok(submit::replayed(ids.are_keyed() && !created, json(StatusCode::CREATED, &info)))
}

/// Pieces that are under way at once: enough that entries of the log are full.
const PIECES_IN_FLIGHT: usize = 32;

async fn store(state: &AppState, map: MapId, pieces: Vec<Piece>) -> ApiResult<()> {
    let sends = (0..).zip(pieces).map(|(index, piece)| async move {
        let accepted = write::propose(state, Command::Store(Store { map, index, piece })).await?;
        if accepted == Accepted::Stored { Ok(()) } else { Err(write::unexpected(&accepted)) }
    });
    stream::iter(sends).buffer_unordered(PIECES_IN_FLIGHT).try_collect().await
}

/// A map.
#[utoipa::path(
    get, path = paths::MAP, tag = "maps",
    params(("map_id" = uuid::Uuid, Path, description = "The map"), ReadQuery),
    responses((status = 200, description = "Where it stands", body = MapInfo), Problems)
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Id(id): Id<MapId>,
    Params(query): Params<ReadQuery>,
) -> ApiResult<Response> {
    let wait = read::wait_of(query.wait);
    read::barrier(&state, query.read).await?;
    if !wait.is_zero() {
        state.group.map_finished(id, Instant::now() + wait).await;
    }
    Ok(read::mark(&state, query.read, json(StatusCode::OK, &info(&state, id)?)))
}

/// End all items of a map before they end themselves. Those that have not become tasks never will.
#[utoipa::path(
    post, path = paths::MAP_CANCEL, tag = "maps",
    params(("map_id" = uuid::Uuid, Path, description = "The map")),
    responses((status = 200, description = "No item of it will start (again)", body = MapInfo), Problems)
)]
pub(super) async fn cancel(State(state): State<AppState>, Id(id): Id<MapId>) -> ApiResult<Response> {
    let accepted = write::propose(&state, Command::CancelMap(CancelMap { map: id })).await?;
    if accepted != Accepted::Cancelled {
        return Err(write::unexpected(&accepted));
    }
    Ok(json(StatusCode::OK, &info(&state, id)?))
}

/// Maps, newest id first.
#[utoipa::path(
    get, path = paths::MAPS, tag = "maps", params(PageQuery, ("after" = Option<String>, Query, pattern = "^m[0-9a-f]{32}$", description = "`next` of the page before")),
    responses((status = 200, description = "One page", body = MapPage), Problems)
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Params(query): Params<PageQuery>,
) -> ApiResult<Response> {
    let limit = query.limit()?;
    let after = query.after(list::parse_map_cursor)?;
    read::barrier(&state, query.read).await?;
    let scanned = state.clone();
    let page = list::blocking(move || {
        let rows = scanned.group.replica().rows();
        let Page { items, next } = Page::fill(limit, rows.maps_before(after).map(Some));
        let maps = items.into_iter().filter_map(|id| info(&scanned, id).ok()).collect();
        MapPage { maps, next: next.map(list::map_cursor) }
    });
    Ok(read::mark(&state, query.read, json(StatusCode::OK, &page.await)))
}

/// Query of `GET /v1/maps/{map_id}/results`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ResultsQuery {
    /// The first item, from 0.
    #[serde(default)]
    from: u32,
    /// Most items in the answer, 1 to 1000; 100 if left out. With large results there are fewer.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// How fresh the answer must be.
    #[serde(default)]
    #[param(inline)]
    read: Read,
}

/// Bytes of results after which a page ends.
const PAGE_BYTES: usize = 16 << 20;

/// The items of a map, in order, with the results of those that have ended.
#[utoipa::path(
    get, path = paths::MAP_RESULTS, tag = "maps",
    params(("map_id" = uuid::Uuid, Path, description = "The map"), ResultsQuery),
    responses((status = 200, description = "One page", body = ItemPage), Problems)
)]
pub(super) async fn results(
    State(state): State<AppState>,
    Id(id): Id<MapId>,
    Params(query): Params<ResultsQuery>,
) -> ApiResult<Response> {
    let limit = list::limit_of(query.limit)?;
    read::barrier(&state, query.read).await?;
    let (row, _) = state.group.replica().map(&id).ok_or_else(|| unknown_map(id))?;
    let (scanned, from) = (state.clone(), query.from);
    let page = list::blocking(move || page(&scanned, id, &row, from, limit)).await?;
    Ok(read::mark(&state, query.read, json(StatusCode::OK, &page)))
}

fn page(state: &AppState, id: MapId, row: &MapRow, from: u32, limit: usize) -> ApiResult<ItemPage> {
    let (mut results, mut bytes, mut next) = (Vec::new(), 0, None);
    for index in from..row.items() {
        if results.len() == limit || bytes >= PAGE_BYTES {
            next = Some(index);
            break;
        }
        let item = item(state, id, index)?;
        bytes += item.payload.as_ref().map_or(0, String::len);
        bytes += item.value.as_ref().map_or(0, |value| value.to_string().len());
        results.push(item);
    }
    Ok(ItemPage { results, next })
}

fn item(state: &AppState, map: MapId, index: u32) -> ApiResult<ItemResult> {
    let task_id = map.item(index);
    let bare = ItemResult {
        index,
        task_id,
        status: None,
        payload: None,
        value: None,
        result_parts: None,
        error: None,
    };
    let Some(standing) = state.group.replica().standing(&task_id) else { return Ok(bare) };
    if let Standing::Live { status, .. } = standing {
        return Ok(ItemResult { status: Some(status), ..bare });
    }
    let result = view::result(state, task_id, &standing)?;
    let ResultInfo { status, payload, value, result_parts, error, .. } = result;
    Ok(ItemResult { status: Some(status), payload, value, result_parts, error, ..bare })
}

fn info(state: &AppState, id: MapId) -> ApiResult<MapInfo> {
    let replica = state.group.replica();
    let (row, standing) = replica.map(&id).ok_or_else(|| unknown_map(id))?;
    let live = replica.map_counts(&id);
    let count = |status| live.get(&status).copied().unwrap_or_default();
    let unborn = unborn(&row, &standing);
    Ok(MapInfo {
        map_id: id,
        function_id: row.function.to_string(),
        items: row.items(),
        queued: count(Status::Queued) + unborn,
        waiting: count(Status::Waiting),
        running: count(Status::Running),
        completed: standing.ended.completed,
        failed: standing.ended.failed,
        parked: standing.ended.parked,
        cancelled: standing.ended.cancelled,
        submitted_at: rfc3339::format(row.submitted_wall),
        finished_at: standing.finished.map(|finished| rfc3339::format(finished.wall)),
    })
}

/// Items whose turn comes.
fn unborn(row: &MapRow, standing: &MapStanding) -> u64 {
    let items = u64::from(row.items() - standing.next);
    items - standing.ahead.len() as u64
}

fn unknown_map(id: MapId) -> ApiError {
    ApiError::new(ErrorCode::UnknownMap, format!("there is no map {id}"))
        .hint("a map is forgotten some time after its last item has ended")
}

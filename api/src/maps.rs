//! `/v1/maps`: one function over any number of items, as one request; and how items are cut into pieces.

use raftwork_kernel::limits::PIECE_BYTES_MAX;
use raftwork_kernel::{MapId, Pack, Piece, Status, TaskId, encode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::arguments::Arguments;
use crate::parts::PartsInfo;
use crate::tasks::{ErrorInfo, SubmitOptions};

/// Bytes of items after which whoever sends a map begins another piece. Smaller than what an entry holds: a piece is read
/// again each time some of its items become tasks.
pub const PIECE_BYTES: usize = 64 << 10;
/// Items after which another piece begins, however small they are.
pub const PIECE_ITEMS: usize = 65_536;

/// Body of `POST /v1/maps`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"function_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e", "items": [{"args": [1, 2]}, {"args": [3, 4]}]}))]
pub struct NewMap {
    /// What to run.
    #[schema(format = Uuid)]
    pub function_id: String,
    /// One task each, in the order in which their turn comes.
    pub items: Vec<Arguments>,
    /// Options of every item; a delay counts from now, for all of them.
    #[serde(flatten)]
    pub options: SubmitOptions,
}

/// Where a map stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "map_id": "0190a5e4-7c3b-7cc1-8a54-2f6a00000000", "function_id": "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e",
    "items": 1_000_000, "queued": 991_807, "waiting": 0, "running": 4, "completed": 8_189, "failed": 0, "parked": 0,
    "cancelled": 0, "submitted_at": "2026-11-24T17:58:14.123Z"
}))]
pub struct MapInfo {
    /// The map.
    #[schema(value_type = String, format = Uuid)]
    pub map_id: MapId,
    /// What it runs.
    pub function_id: String,
    /// Number of items.
    pub items: u32,
    /// Items that wait for a worker, or for their turn: those that have not had it are no tasks yet.
    pub queued: u64,
    /// Items that are delayed, or pause before another attempt.
    pub waiting: u64,
    /// Items that a worker has.
    pub running: u64,
    /// Items that ended with a result.
    pub completed: u32,
    /// Items that ended with an error.
    pub failed: u32,
    /// Items that were parked.
    pub parked: u32,
    /// Items that were cancelled.
    pub cancelled: u32,
    /// When it was accepted, RFC 3339 in UTC.
    pub submitted_at: String,
    /// When the last item had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// Answer of `GET /v1/maps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MapPage {
    /// Newest id first.
    pub maps: Vec<MapInfo>,
    /// What to pass as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What is known of one item.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ItemResult {
    /// Its place, from 0.
    pub index: u32,
    /// Its task: `/v1/tasks/{task_id}` has more.
    #[schema(value_type = String, format = Uuid)]
    pub task_id: TaskId,
    /// Where it stands; absent if it ended so long ago that it was forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "completed")]
    pub status: Option<Status>,
    /// For pickled functions: base64 of the pickled result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// For source functions: the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// In the place of both, for a result that is in parts: as of any task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_parts: Option<PartsInfo>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
}

/// Answer of `GET /v1/maps/{map_id}/results`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ItemPage {
    /// In the order of the items.
    pub results: Vec<ItemResult>,
    /// What to pass as `from` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// Cuts packs into pieces that entries of the log can carry. An item that is larger than a piece has one of its own.
pub fn pieces(packs: impl IntoIterator<Item = Pack>) -> Vec<Piece> {
    let (mut pieces, mut packs_of_next, mut bytes, mut items) = (Vec::new(), Vec::new(), 0, 0);
    for pack in packs.into_iter().flat_map(within_a_piece) {
        if items > 0 && (bytes + pack.bytes() > PIECE_BYTES || items + pack.len() > PIECE_ITEMS) {
            pieces.push(Piece(core::mem::take(&mut packs_of_next)));
            (bytes, items) = (0, 0);
        }
        (bytes, items) = (bytes + pack.bytes(), items + pack.len());
        packs_of_next.push(pack);
    }
    if items > 0 {
        pieces.push(Piece(packs_of_next));
    }
    pieces
}

/// A pack that is small enough, or its items in packs that are.
fn within_a_piece(pack: Pack) -> Vec<Pack> {
    match pack {
        Pack::Each(items) if pack_is_large(&items) => {
            items.into_iter().map(|item| Pack::Each(vec![item])).collect()
        }
        Pack::Each(_) | Pack::Numbered { .. } => vec![pack],
    }
}

fn pack_is_large(items: &[bytes::Bytes]) -> bool {
    items.len() > 1 && items.iter().map(bytes::Bytes::len).sum::<usize>() > PIECE_BYTES
}

/// Digest of a map's pieces: BLAKE3 over the encoding of each, in order.
pub fn digest(pieces: &[Piece]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("raftwork 2026 pieces of a map");
    for piece in pieces {
        let bytes = encode(piece);
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    *hasher.finalize().as_bytes()
}

const _: () = assert!(PIECE_BYTES <= PIECE_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_cut_into_pieces_that_are_accepted_and_none_is_lost() {
        let each = |sizes: &[usize]| Pack::Each(sizes.iter().map(|size| vec![7; *size].into()).collect());
        let numbered = Pack::Numbered { head: vec![1; 200].into(), tail: "t".into(), count: 60_000 };
        for packs in [
            vec![],
            vec![each(&[1, 2, 3])],
            vec![each(&[PIECE_BYTES, PIECE_BYTES, 10])],
            vec![each(&[10]), each(&[2 << 20]), each(&[10])],
            vec![numbered.clone(), numbered.clone(), each(&[1])],
        ] {
            let pieces = pieces(packs.clone());
            assert!(pieces.iter().all(|piece| piece.check().is_ok()), "{packs:?}");
            let items = |pieces: &[Piece]| pieces.iter().flat_map(|piece| piece.from(0)).collect::<Vec<_>>();
            assert_eq!(items(&pieces), items(&[Piece(packs)]));
        }
        let whole = pieces(vec![numbered.clone(), numbered]);
        assert_eq!(whole.iter().map(Piece::len).collect::<Vec<_>>(), [60_000, 60_000]);
    }

    #[test]
    fn a_digest_tells_other_items_apart() {
        let piece = |text: &'static str| Piece(vec![Pack::Each(vec![text.into()])]);
        assert_eq!(digest(&[piece("a"), piece("b")]), digest(&[piece("a"), piece("b")]));
        assert_ne!(digest(&[piece("a"), piece("b")]), digest(&[piece("b"), piece("a")]));
        assert_ne!(digest(&[piece("a")]), digest(&[]));
    }
}
